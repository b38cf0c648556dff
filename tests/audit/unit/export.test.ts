import assert from "node:assert/strict";
import {
  type ExportPage,
  type ExportSource,
  startExport,
} from "../../../supabase/functions/_bulwark/audit/export.ts";
import {
  exportFormat,
  type ExportFormatName,
} from "../../../supabase/functions/_bulwark/audit/formats.ts";
import { ocsfEvent } from "../../../supabase/functions/_bulwark/audit/ocsf.ts";
import type { AuditEntry } from "../../../supabase/functions/_bulwark/audit/records.ts";

const payload =
  '{"actor_id":"u","action":"update","resource_id":"9","details":{"n":9007199254740993}}';

function entry(index: number): AuditEntry {
  return {
    id: `01900000-0000-7000-8000-${String(index).padStart(12, "0")}`,
    organization_id: null,
    timeline: 1,
    xid: "7",
    occurred_at: "2026-11-22T18:00:00.123456Z",
    occurred_at_us: 848685600123456,
    source: "table",
    severity: "warning",
    result: "failure",
    event_type: "data.update",
    resource_type: "public.invoices",
    salt: "00000000-0000-4000-8000-000000000000",
    payload,
  };
}

/** A log of one group of so many entries, in pages like the database's. */
function pages(total: number) {
  const asked: number[] = [];
  const page = (after: string | null, pageSize: number): Promise<ExportPage> => {
    asked.push(pageSize);
    const first = Number(after?.split(":")[1] ?? 0);
    const count = Math.min(pageSize, total - first);
    const cursor = `1:${first + count}`;
    const group = {
      organization_id: null,
      seal: 1,
      entry_count: total,
      entries_before: 0,
      previous: "",
      root: "",
    };
    const entries = Array.from({ length: count }, (_, index) => entry(first + index));
    return Promise.resolve({
      groups: [{ ...group, first, entries }],
      next: first + count < total ? cursor : null,
      cursor,
      pruned: null,
      previous: null,
      proof: null,
    });
  };
  const nodes = (seal: number, from: number, to: number) =>
    Promise.resolve([`${seal}:${from}:${to}`]);
  return { source: { page, nodes }, asked };
}

async function exported(
  total: number,
  format: ExportFormatName,
  limit = 50_000,
  cursor: string | null = null,
) {
  const { source, asked } = pages(total);
  const { body, next } = await startExport(source, {
    format: exportFormat(format),
    organization_id: null,
    cursor,
    limit,
    signers: [],
  });
  return { text: await new Response(body).text(), next, asked };
}

Deno.test("startExport() joins pages, names a group once and ends with the next cursor", async () => {
  const { text, next, asked } = await exported(5000, "ndjson", 4500);
  assert.deepEqual(asked, [2000, 2000, 500]);
  assert.equal(next, undefined);
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.filter(({ type }) => type === "group").length, 1);
  assert.equal(new Set(lines.map(({ id }) => id).filter(Boolean)).size, 4500);
  const { entries, next: at } = lines.at(-2);
  assert.deepEqual([entries, at], [4500, "1:4500"]);
  assert.deepEqual(lines.at(-3), { type: "rest", nodes: ["1:4500:5000"] });
  assert.deepEqual(lines.at(-1), { type: "statement", note: null });
  const later = await exported(5000, "ndjson", 4500, "1:4000");
  assert.deepEqual(JSON.parse(later.text.split("\n")[1]!).before, ["1:0:4000"]);
  assert.equal((await exported(5, "ndjson")).next, null);
  assert.equal((await exported(5, "ndjson", 2)).next, "1:2");
});

Deno.test("startExport() reads no further than the reader takes", async () => {
  const { source, asked } = pages(100_000);
  const { body } = await startExport(source, {
    format: exportFormat("ndjson"),
    organization_id: null,
    cursor: null,
    limit: 50_000,
    signers: [],
  });
  const reader = body.getReader();
  await reader.read();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(asked.length <= 3, `${asked.length} pages`);
  await reader.cancel();
});

Deno.test("a page that fails never makes an export look complete, one that repeats does not loop", async () => {
  const { source } = pages(5000);
  const start = async (page: ExportSource["page"], format: ExportFormatName = "csv") => {
    const { body } = await startExport({ ...source, page }, {
      format: exportFormat(format),
      organization_id: null,
      cursor: null,
      limit: 50_000,
      signers: [],
    });
    // Over a connection, where only a reader sees how a body ends.
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response() },
      () => new Response(body),
    );
    try {
      const answer = await fetch(`http://127.0.0.1:${server.addr.port}`);
      assert.equal(answer.status, 200);
      return await answer.text();
    } finally {
      await server.shutdown();
    }
  };
  const failing = (after: string | null, size: number) =>
    after ? Promise.reject(new Error("gone")) : source.page(after, size);
  for (const page of [failing, (_: string | null, size: number) => source.page(null, size)]) {
    for (const format of ["csv", "ocsf"] as const) {
      await assert.rejects(start(page, format), format);
    }
    const lines = (await start(page, "ndjson")).trimEnd().split("\n").map((line) =>
      JSON.parse(line)
    );
    assert.deepEqual(lines.at(-3), { type: "rest", nodes: ["1:2000:5000"] });
    assert.deepEqual(lines.at(-2), {
      type: "end",
      entries: 2000,
      next: "1:2000",
      cursor: "1:2000",
    });
    const { log, next } = JSON.parse(await start(page, "json"));
    assert.deepEqual([log.length, next], [2000, "1:2000"]);
  }
});

Deno.test("an export that has to be whole ends with the error of the page that failed", async () => {
  const { source } = pages(5000);
  const gone = new Error("gone");
  const page: ExportSource["page"] = (after, size) =>
    after ? Promise.reject(gone) : source.page(after, size);
  const { body } = await startExport({ ...source, page }, {
    format: exportFormat("ndjson"),
    organization_id: null,
    cursor: null,
    limit: 5000,
    signers: [],
    isWhole: true,
  });
  await assert.rejects(new Response(body).text(), gone);
});

Deno.test("JSON keeps numbers that JavaScript cannot hold, CSV and OCSF the exact payload", async () => {
  const { text } = await exported(2, "json");
  assert.ok(text.includes('"n":9007199254740993'));
  assert.equal(JSON.parse(text).log.length, 2);
  const csv = await exported(1, "csv");
  assert.ok(csv.text.includes(`"${payload.replaceAll('"', '""')}",1:1\r\n`));
  assert.equal(ocsfEvent(entry(0), "1:1").raw_data, payload);
});

Deno.test("ocsfEvent() has the required attributes of its class, and no nulls", () => {
  const activity = ocsfEvent(entry(0), "1:1");
  assert.deepEqual(
    [activity.class_uid, activity.category_uid, activity.activity_id, activity.type_uid],
    [6003, 6, 3, 600303],
  );
  assert.deepEqual([activity.severity_id, activity.status_id], [3, 2]);
  assert.equal(activity.time, Date.parse("2026-11-22T18:00:00.123Z"));
  for (const required of ["actor", "api", "src_endpoint", "metadata"]) {
    assert.ok(activity[required]);
  }
  const change = { ...entry(0), event_type: "authz.role_removed", severity: "critical" };
  const management = ocsfEvent(change, "1:1");
  assert.deepEqual([management.class_uid, management.category_uid], [3004, 3]);
  assert.equal(management.severity_id, 5);
  assert.ok(management.entity);
  const { payload: _payload, salt: _salt, ...removed } = entry(0);
  const bare = JSON.stringify(ocsfEvent({ ...removed, removed_by: "r" }, "1:1"));
  assert.ok(!bare.includes("null") && bare.includes('"removed_by":"r"'));
});
