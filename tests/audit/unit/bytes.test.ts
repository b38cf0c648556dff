import assert from "node:assert/strict";
import {
  entryBytes,
  groupBytes,
  sealBytes,
  timeText,
  uuidBytes,
} from "../../../supabase/functions/_bulwark/audit/bytes.ts";
import { toBase64, toHex } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { fromBase64 } from "../../../supabase/functions/_bulwark/audit/encoding.ts";
import type { AuditEntry } from "../../../supabase/functions/_bulwark/audit/records.ts";

const entry: AuditEntry = {
  id: "01a204b3-7679-7cc1-b36f-33779ec9bd95",
  organization_id: null,
  timeline: 1,
  xid: "784",
  occurred_at: "2026-11-22T19:19:59.865797Z",
  occurred_at_us: 848690399865797,
  source: "table",
  severity: "info",
  result: "success",
  event_type: "data.create",
  resource_type: null,
};
const commitment = new Uint8Array(32).fill(0xcc);

Deno.test("entryBytes() writes version, skeleton and commitment as the format says", () => {
  assert.equal(
    toHex(entryBytes(entry, commitment)),
    "01" + "01a204b376797cc1b36f33779ec9bd95" + "00" + "00000001" + "0000000000000310" +
      "000303e121ceebc5" + "0005" + "0004" + "0007" + "000b" + "0000" +
      toHex(new TextEncoder().encode("tableinfosuccessdata.create")) + "cc".repeat(32),
  );
});

Deno.test("entryBytes() counts bytes, not characters, and tells neighbours apart", () => {
  const named = (resource_type: string, event_type = "data.create") =>
    toHex(entryBytes({ ...entry, event_type, resource_type }, commitment));
  assert.ok(named("public.größe").includes("000e"));
  assert.notEqual(named("b", "a"), named("", "ab"));
  assert.notEqual(
    toHex(entryBytes({ ...entry, organization_id: entry.id }, commitment)),
    toHex(entryBytes(entry, commitment)),
  );
});

Deno.test("entryBytes() takes transaction ids of 64 bits and refuses what has no valid form", () => {
  const write = (change: Record<string, unknown>) =>
    entryBytes({ ...entry, ...change }, commitment);
  assert.ok(toHex(write({ xid: "18446744073709551615" })).includes("ffffffffffffffff"));
  const wrong = [
    { id: "01A204B3-7679-7CC1-B36F-33779EC9BD95" },
    { id: "01a204b3x7679-7cc1-b36f-33779ec9bd95" },
    { id: 7 },
    { organization_id: undefined },
    { timeline: 1.5 },
    // As 32 bits these would be timelines 1 and 0.
    { timeline: 2 ** 32 + 1 },
    { timeline: -(2 ** 32) },
    { xid: "18446744073709551616" },
    { xid: "-1" },
    { xid: "0784" },
    { xid: 784 },
    { occurred_at_us: 2 ** 53 },
    { occurred_at_us: "848690399865797" },
    { resource_type: 5 },
    { resource_type: "x".repeat(70_000) },
  ];
  for (const change of wrong) {
    assert.throws(() => write(change), { name: "MalformedError" }, JSON.stringify(change));
  }
});

Deno.test("groupBytes() and sealBytes() write fixed widths and the snapshot's length", () => {
  const hash = toBase64(new Uint8Array(32));
  const group = {
    organization_id: null,
    seal: 7,
    entry_count: 3,
    entries_before: 120,
    previous: hash,
    root: hash,
  };
  assert.equal(
    toHex(groupBytes(group)),
    "0100" + "0000000000000007" + "0000000000000003" + "0000000000000078" + "00".repeat(64),
  );
  const seal = {
    number: 7,
    previous_hash: hash,
    root: hash,
    timeline: 1,
    sealed_at: "",
    sealed_at_us: -1,
    snapshot: "8:9:",
    through: null,
    hash,
  };
  const sealed = "01" + "0000000000000007" + "00".repeat(64) + "00000001" + "ffffffffffffffff" +
    "00000004" + "383a393a";
  assert.equal(toHex(sealBytes(seal)), `${sealed}00`);
  assert.equal(toHex(sealBytes({ ...seal, through: hash })), `${sealed}01${"00".repeat(32)}`);
  assert.throws(() => groupBytes({ ...group, root: "AAAA" }), /root is not base64 of 32 bytes/);
});

Deno.test("timeText() is the microsecond of Postgres, before and after 2000", () => {
  assert.equal(timeText(entry.occurred_at_us), entry.occurred_at);
  assert.equal(timeText(0), "2000-01-01T00:00:00.000000Z");
  assert.equal(timeText(-1), "1999-12-31T23:59:59.999999Z");
});

Deno.test("fromBase64() takes one spelling of every byte string", () => {
  assert.deepEqual(fromBase64("AAE=", "x"), Uint8Array.of(0, 1));
  for (const wrong of ["AAE", "AAF=", "AA E=", "AAE=\n", "_-8=", null, 7]) {
    assert.throws(() => fromBase64(wrong, "x"), { name: "MalformedError" });
  }
  assert.equal(toHex(uuidBytes(entry.id, "id")), entry.id.replaceAll("-", ""));
});
