/**
 * The archive, end to end: months that are over are written to an S3 bucket, verified there, dropped
 * under a tombstone, and loaded back. The function runs in the stack, the bucket in this process.
 */
import assert from "node:assert/strict";
import S3rver from "@20minutes/s3rver";
import { DuckDBInstance } from "@duckdb/node-api";
import { fillPastMonth, makePastMonths } from "../../scripts/audit/past_months.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { compare } from "../api/answers.ts";
import {
  callFunction,
  connect,
  createOrganization,
  liftLimits,
  ok,
  publishableKey,
  schedulerSecret,
  secretKey,
  service,
  signUp,
  url,
} from "../support.ts";
import { keys, withSuperuser } from "./support.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

await liftLimits();
const place = new URL(Deno.env.get("BULWARK_TEST_ARCHIVE") ?? "");
const scratch = await makeScratchFolder("archive");
const bucket = new S3rver({
  address: "127.0.0.1",
  port: Number(place.port),
  silent: true,
  directory: `${scratch.path}/s3`,
  configureBuckets: [{ name: "archive" }],
});
await bucket.run();
const ada = await signUp("ada");
const eve = await signUp("eve");
const acme = await createOrganization(ada);
const globex = await createOrganization(eve);

/** Entries of a past month, as they would have been written then. */
async function fill(month: string, organization: string | null, count: number, actor = ada.id) {
  await withSuperuser((sql) => fillPastMonth(sql, { month, organization, actor, count }));
}

/** Seals, signs, and says that the checkpoint was delivered. */
async function sign(deliver = true): Promise<void> {
  while (ok(await service().rpc("audit_tree_head"))[0]!.tree_size === 0 || await pending()) {
    assert.equal((await service().rpc("seal_audit_log")).error, null);
  }
  const answer = await callFunction("audit/checkpoint", { method: "POST", token: schedulerSecret });
  const { tree_size } = await answer.json();
  if (!deliver) return;
  const noted = await service().rpc("record_audit_delivery", { tree_size, sink: "test" });
  assert.equal(noted.error, null);
}

async function pending(): Promise<boolean> {
  return (await service().rpc("seal_audit_log")).data !== null;
}

async function call(path: string, body: unknown, token: string | null = schedulerSecret) {
  const answer = await callFunction(`audit/${path}`, { token, body });
  assert.equal((await compare("POST", answer)).fault, "");
  return { status: answer.status, ...await answer.json() };
}

/** Archives months as the command does, until there is nothing to do. */
async function archiveAll(through: string) {
  const archived = [];
  for (;;) {
    const answer = await call("archive", { through });
    assert.equal(answer.status, 200, JSON.stringify(answer));
    archived.push(...answer.archived);
    if (!answer.more) return { archived, waiting: answer.waiting };
  }
}

async function run(args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--config",
      inRepository("deno.json"),
      inRepository("scripts", "audit_archive.ts"),
      ...args,
    ],
    stdin: "null",
    env: {
      NO_COLOR: "1",
      BULWARK_PARENT_PIPE: "",
      SUPABASE_URL: url,
      BULWARK_SCHEDULER_SECRET: schedulerSecret,
    },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

async function rows(month: string): Promise<number> {
  const sql = connect(1);
  const [found] = await sql<{ count: number }[]>`
    select count(*)::integer from bulwark.audit_logs e
    where e.resource_type = 'public.archived'
      and to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM') = ${month}
  `;
  await sql.end();
  return found!.count;
}

async function verdict() {
  const [found] = ok(await service().rpc("verify_audit_log"));
  return { intact: found!.intact, complete: found!.complete, problem: found!.problem };
}

const files = async (month: string, organization: string) =>
  ok(
    await service().from("audit_archive_files").select("key, parquet_key, entries, cursor, after")
      .eq("month", `${month}-01`).eq("organization_id", organization).order("number"),
  );

/** The path of a file of the bucket, as the server keeps it. */
const pathOf = (key: string) =>
  `${scratch.path}/s3/archive/log/${key.split("/").slice(0, -1).join("/")}`;

async function contentsOf(key: string): Promise<string> {
  const name = key.split("/").at(-1)!;
  for await (const entry of Deno.readDir(pathOf(key))) {
    if (entry.name.startsWith(name) && entry.name.endsWith("object")) {
      return `${pathOf(key)}/${entry.name}`;
    }
  }
  throw new Error(`${key} is not there`);
}

const alterations = { intact: true, complete: true, problem: null };

Deno.test("AUD-A01: a month waits for a delivered checkpoint over its last seal", async () => {
  const sql = connect(1);
  await makePastMonths(sql, ["2025-03", "2025-04"]);
  await sql`update bulwark.settings set value = '100' where name = 'audit.archive_file_entries'`;
  await sql.end();
  await fill("2025-03", acme, 130);
  await sign(false);
  await fill("2025-03", acme, 100);
  await fill("2025-03", globex, 40, eve.id);
  await fill("2025-03", null, 5);
  await fill("2025-04", acme, 10);
  await sign(false);
  const early = await archiveAll("2025-03");
  assert.deepEqual(early, { archived: [], waiting: { month: "2025-03-01", for: "checkpoint" } });
  assert.equal(await rows("2025-03"), 275);
  await sign();
});

Deno.test("AUD-A02: only the scheduler archives, and nothing is due by the setting", async () => {
  assert.equal((await call("archive", {}, ada.token)).status, 401);
  assert.equal((await call("archive", {}, null)).status, 401);
  assert.equal((await call("archive/restore", {}, ada.token)).status, 401);
  assert.equal((await call("archive", { through: "2025-13" })).code, "INVALID_INPUT");
  assert.deepEqual(await archiveAll("2025-02"), { archived: [], waiting: null });
  const due = await call("archive", {});
  assert.deepEqual([due.status, due.archived], [200, []]);
  // The service role's key alone drops nothing: it cannot sign for the log.
  const alone = await service().rpc("finish_audit_archive", { month: "2025-03-01", signers: [] });
  assert.equal(alone.error?.details, "AUDIT_NOT_THE_KEY_HOLDER");
  assert.equal((await ada.client.rpc("next_audit_archive", {})).error?.code, "42501");
});

Deno.test("AUD-A03: a month under a legal hold is copied, and stays", async () => {
  const hold = ok(
    await service().rpc("place_legal_hold", {
      reason: "case 7",
      organization_id: acme,
      resource_type: "public.archived",
      resource_id: "7",
    }),
  );
  const { archived, waiting } = await archiveAll("2025-03");
  assert.deepEqual([archived, waiting], [[], { month: "2025-03-01", for: "legal_hold" }]);
  assert.equal(await rows("2025-03"), 275);
  assert.ok((await files("2025-03", acme)).length >= 2, "its files are in the bucket");
  const again = await run(["2025-03"]);
  assert.equal(again.code, 2, again.error);
  assert.match(again.error, /2025-03: a legal hold keeps an entry of it/);
  assert.equal((await service().rpc("release_legal_hold", { hold_id: hold })).error, null);
});

Deno.test("AUD-A04: payloads that were removed after a file was written are not in the archive", async () => {
  const before = (await files("2025-03", globex)).map(({ key }) => key);
  const erased = ok(
    await service().rpc("erase_subject", {
      user_id: eve.id,
      reason: "asked for it",
      organization_id: globex,
    }),
  );
  assert.ok(erased[0]!.removed >= 40);
  await sign();
  // One of the files is gone meanwhile: nothing is dropped.
  const [first] = await files("2025-03", acme);
  const path = await contentsOf(first!.key);
  await Deno.rename(path, `${scratch.path}/kept`);
  const refused = await call("archive", { through: "2025-03" });
  assert.deepEqual([refused.status, refused.code], [409, "AUDIT_ARCHIVE_MISSING"]);
  assert.ok(refused.message.includes(first!.key));
  await Deno.rename(`${scratch.path}/kept`, path);
  assert.equal(await rows("2025-03"), 275);
  // Now all are there.
  const { code, out, error } = await run(["2025-03"]);
  assert.equal(code, 0, error);
  assert.match(out, /2025-03: archived, 275 entries dropped/);
  assert.equal(await rows("2025-03"), 0);
  for (const key of before) await assert.rejects(contentsOf(key));
  for (const { key } of await files("2025-03", globex)) {
    const text = await Deno.readTextFile(await contentsOf(key));
    assert.ok(!text.includes(eve.id), "an erased person is not in it");
  }
});

Deno.test("AUD-A05: an auditor verifies the files offline, and together with the log that goes on", async () => {
  const parts = await files("2025-03", acme);
  let bundle = "";
  for (const { key } of parts) bundle += await Deno.readTextFile(await contentsOf(key));
  const from = parts[0]!.after;
  const rest = await callFunction(
    `audit/export?organization_id=${acme}&cursor=${parts.at(-1)!.cursor}`,
    { token: ada.token },
  );
  const { verdict } = await verifyBundle(new Blob([bundle, await rest.text()]).stream(), {
    keys: await keys(),
    reader: inline(),
    asked: from === null ? {} : { after: from },
  });
  // The entries say that they are of last year, and were sealed today.
  assert.deepEqual(verdict.findings.filter(({ code }) => code !== "ENTRY_BACKDATED"), []);
  assert.deepEqual(verdict.unproved, []);
  assert.ok(verdict.covered >= 240);
});

Deno.test("AUD-A06: verification, search, proofs and exports say what is archived, and raise no alarm", async () => {
  await sign();
  assert.deepEqual(await verdict(), alterations);
  const [said] = ok(await ada.client.rpc("verify_audit_log", { organization_id: acme }));
  assert.deepEqual([said!.intact, said!.complete, said!.problem], [true, true, null]);
  assert.match(said!.detail, /are archived/);
  const asked = { organization_id: acme, resource_type: "public.archived" };
  const search = async (more: object) =>
    ok(await ada.client.rpc("search_audit_logs", { ...asked, ...more })) as {
      entries: unknown[];
      archived: string[];
    };
  const year = await search({ since: "2025-01-01", until: "2025-12-31" });
  assert.deepEqual([year.entries.length, year.archived], [10, ["2025-03"]]);
  assert.deepEqual((await search({ since: "2025-04-01" })).archived, []);
  const status = ok(await service().rpc("audit_status")) as Record<string, unknown>;
  assert.equal(status.archived_through_month, "2025-03-01");
  const export_ = ok(
    await ada.client.rpc("export_audit_log", { organization_id: acme }),
  ) as { pruned: number };
  assert.equal(export_.pruned, status.archived_through_seal);
  const proof = await ada.client.rpc("audit_inclusion_proof", {
    entry_id: "01955555-0000-7000-8000-000000000000",
  });
  assert.equal(proof.error?.details, "AUDIT_ENTRY_ARCHIVED");
  // The restored entries are readable for members, and for nobody else.
  const tombstone = await ada.client.from("audit_archived_logs").select("*");
  assert.deepEqual(tombstone.data?.map(({ organization_id }) => organization_id), [acme]);
  assert.ok((tombstone.data?.[0]?.entries ?? 0) >= 230);
  assert.equal((await ada.client.from("audit_archives").select("*")).data?.length, 0);
  const alarms = ok(
    await service().from("audit_logs").select("action, details").eq("severity", "critical")
      .in("action", ["watched_object_changed", "watched_object_dropped", "verification_failed"]),
  );
  assert.deepEqual(alarms, []);
});

Deno.test("AUD-A07: a query engine reads the Parquet files of a month, each entry once", async () => {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const copies = `${scratch.path}/parquet/month=2025-03/organization=${acme}`;
  await Deno.mkdir(copies, { recursive: true });
  for (const { parquet_key } of await files("2025-03", acme)) {
    await Deno.copyFile(
      await contentsOf(parquet_key),
      `${copies}/${parquet_key.split("/").at(-1)}`,
    );
  }
  try {
    const answer = await connection.runAndReadAll(`
      select count(*)::integer as entries, count(distinct id)::integer as ids,
        min(regexp_extract("after", '"big": ([0-9.]+)', 1)) as big, min(month) as month, max(organization) as organization
      from read_parquet('${scratch.path}/parquet/**/*.parquet', hive_partitioning = true)
      where resource_type = 'public.archived' and occurred_at < '2025-04-01'
    `);
    const [row] = answer.getRowObjectsJson();
    assert.deepEqual([row?.entries, row?.ids, String(row?.organization)], [230, 230, acme]);
    assert.equal(row?.big, "12345678901234567890.10");
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
});

Deno.test("AUD-A08: a month is restored for an investigation, for those who may read the log", async () => {
  const { code, out, error } = await run(
    ["2025-03", "--restore", "--reason", "case 8", "--organization", acme],
  );
  assert.equal(code, 0, error);
  assert.match(out, /[\d,]+ entries of 2025-03 are in bulwark\.audit_restored_logs/);
  const read = async (person: typeof ada) =>
    (await person.client.from("audit_restored_logs").select("resource_id, after")
      .eq("resource_type", "public.archived").lt("occurred_at", "2025-04-01")).data ?? [];
  assert.equal((await read(ada)).length, 230);
  assert.equal((await read(eve)).length, 0);
  const again = await call("archive/restore", {
    month: "2025-03",
    reason: "case 8",
    of: { organization_id: acme },
  });
  assert.deepEqual([again.status, again.entries], [200, 0]);
  const direct = await service().rpc("restore_audit_entries", {
    month: "2025-03-01",
    seal: 1,
    entries: [{ id: crypto.randomUUID(), organization_id: acme }],
    organization_id: acme,
  });
  assert.equal(direct.error?.details, "AUDIT_ARCHIVE_ALTERED");
  // The erasure of a person reaches the copies, and says what it does not reach.
  const erased = ok(
    await service().rpc("erase_subject", {
      user_id: ada.id,
      reason: "asked for it",
      organization_id: acme,
    }),
  );
  assert.deepEqual(erased[0]!.archived, ["2025-03"]);
  assert.equal((await read(ada)).length, 0);
  assert.ok((ok(await service().rpc("discard_restored_audit_logs", {}))) >= 0);
});

Deno.test("AUD-A09: a restore refuses a file that was altered or is gone, and names it", async () => {
  const [first] = await files("2025-03", acme);
  const path = await contentsOf(first!.key);
  const original = await Deno.readFile(path);
  const altered = original.slice();
  altered[altered.length >> 1]! ^= 1;
  const restore = () =>
    call("archive/restore", {
      month: "2025-03",
      reason: "case 9",
      of: { organization_id: acme },
    });
  await Deno.writeFile(path, altered);
  const refused = await restore();
  assert.deepEqual([refused.status, refused.code], [409, "AUDIT_ARCHIVE_ALTERED"]);
  assert.ok(refused.message.includes(first!.key));
  await Deno.remove(path);
  const missing = await restore();
  assert.deepEqual([missing.status, missing.code], [409, "AUDIT_ARCHIVE_MISSING"]);
  await Deno.writeFile(path, original);
  assert.equal((await restore()).status, 200);
});

Deno.test("AUD-A10: killed at any point, an archive loses nothing and goes on", async () => {
  for (let part = 0; part < 3; part++) {
    await fill("2025-04", acme, 120);
    await sign();
  }
  const before = await idsOf("2025-04");
  const stored = async () => {
    let count = 0;
    for await (const { name } of walk(`${scratch.path}/s3/archive/log`)) {
      if (name.includes("month=2025-04") && name.endsWith("object")) count += 1;
    }
    return count;
  };
  // After its first, second, … file is in the bucket: before it was read back or recorded, or the last
  // one after the drop.
  for (let killed = 0; killed < 6; killed++) {
    const child = archiver("2025-04").spawn();
    let isOver = false;
    const over = child.status.then(() => isOver = true);
    const from = await stored();
    while (!isOver && await stored() === from) await new Promise((go) => setTimeout(go, 2));
    if (!isOver) child.kill("SIGKILL");
    await over;
    await child.stdout.cancel();
    await child.stderr.cancel();
    const left = await rows("2025-04");
    assert.ok(left === 0 || left === before.length, "a month is there, or archived");
    assert.deepEqual(await verdict(), alterations);
  }
  const { code, stderr } = await archiver("2025-04").output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  assert.equal(await rows("2025-04"), 0);
  // Entries of April that a seal of March holds too are in a file of March.
  const kept: string[] = [];
  for (const month of ["2025-03", "2025-04"]) {
    for (const { key } of await files(month, acme)) {
      const text = await Deno.readTextFile(await contentsOf(key));
      kept.push(...text.matchAll(/"type":"entry","id":"([^"]+)"/g).map(([, id]) => id!));
    }
  }
  assert.equal(new Set(kept).size, kept.length, "each entry is in one file");
  assert.deepEqual(before.filter((id) => !kept.includes(id)), []);
  await sign();
  assert.deepEqual(await verdict(), alterations);
});

/** The program that archives, as the function does. */
function archiver(month: string): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--config",
      inRepository("deno.json"),
      inRepository("tests", "audit", "archiving.ts"),
      `${month}-01`,
    ],
    stdout: "piped",
    stderr: "piped",
    env: {
      SUPABASE_URL: url,
      SUPABASE_ANON_KEY: publishableKey,
      SUPABASE_SERVICE_ROLE_KEY: secretKey,
      BULWARK_AUDIT_ORIGIN: "bulwark.localhost/audit",
      BULWARK_AUDIT_SIGNING_KEYS: Deno.env.get("BULWARK_TEST_AUDIT_SIGNING_KEYS") ?? "",
      BULWARK_AUDIT_ARCHIVE: place.href,
      BULWARK_AUDIT_ARCHIVE_KEY_ID: "S3RVER",
      BULWARK_AUDIT_ARCHIVE_SECRET: "S3RVER",
    },
  });
}

async function idsOf(month: string): Promise<string[]> {
  const sql = connect(1);
  const found = await sql<{ id: string }[]>`
    select e.id from bulwark.audit_logs e
    where e.resource_type = 'public.archived'
      and to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM') = ${month}
  `;
  await sql.end();
  return found.map(({ id }) => id);
}

async function* walk(folder: string): AsyncGenerator<{ name: string }> {
  for await (const entry of Deno.readDir(folder)) {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* walk(name);
    else yield { name };
  }
}

Deno.test({
  name: "AUD-A99: (the bucket is stopped)",
  fn: async () => {
    await bucket.close();
    await scratch.remove();
  },
  sanitizeOps: false,
  sanitizeResources: false,
});
