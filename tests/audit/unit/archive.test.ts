/** The files of the archive: as bundle, as Parquet, and in an S3 bucket. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import S3rver from "@20minutes/s3rver";
import { DuckDBInstance } from "@duckdb/node-api";
import {
  asBytes,
  type Line,
  makeSample,
  restated,
  sampleSigner,
} from "../../../scripts/audit/sample.ts";
import { makeScratchFolder } from "../../../scripts/stack/scratch.ts";
import { openBucket } from "../../../supabase/functions/_bulwark/audit/archive/bucket.ts";
import {
  type BundleRange,
  readArchivedBundle,
} from "../../../supabase/functions/_bulwark/audit/archive/bundle.ts";
import { writeParquet } from "../../../supabase/functions/_bulwark/audit/archive/parquet.ts";
import { readAuditEnv } from "../../../supabase/functions/_bulwark/audit/env.ts";
import { parseVerifierKey } from "../../../supabase/functions/_bulwark/audit/note.ts";
import type { AuditEntry } from "../../../supabase/functions/_bulwark/audit/records.ts";

const sample = await makeSample([3, 1, 5, 8]);
const keys = [await parseVerifierKey(sample.vkey)];
const end = sample.lines.find(({ type }) => type === "end") as unknown as {
  cursor: string;
  entries: number;
};
const range: BundleRange = {
  organization_id: sample.lines[0]!.organization_id as string,
  after: null,
  cursor: end.cursor,
  entries: end.entries,
};

/** Reads lines with a statement that was made to fit them, as a lying database gets one. */
async function read(lines: Line[], asked = range) {
  return await readArchivedBundle(asBytes(await restated(lines, sample.signer)), asked, keys);
}

Deno.test("readArchivedBundle() reads what an auditor's program verifies", async () => {
  const bundle = await read(sample.lines);
  assert.equal(bundle.entries, end.entries);
  assert.deepEqual(
    bundle.groups.flatMap(({ entries }) => entries.map(({ id }) => id)),
    sample.lines.flatMap(({ type, id }) => type === "entry" ? [id] : []),
  );
  assert.equal(bundle.removed, 0);
});

Deno.test("readArchivedBundle() refuses a file in which anything differs", async () => {
  const at = (type: string) => sample.lines.findIndex((line) => line.type === type);
  const changes: Record<string, (lines: Line[]) => unknown> = {
    "a payload": (lines) => lines[at("entry")]!.payload = '{"actor_type":"user"}',
    "a skeleton": (lines) => lines[at("entry")]!.severity = "debug",
    "an entry is missing": (lines) => lines.splice(at("entry"), 1),
    "an entry comes twice": (lines) => lines.splice(at("entry"), 0, lines[at("entry")]!),
    "a group is missing": (lines) => lines.splice(at("group"), 4),
    "the count": (lines) => lines[at("group")]!.entry_count = 4,
    "the chain": (lines) => lines[at("group")]!.entries_before = 1,
    "the proof": (lines) => lines[at("proof")]!.tree_size = 3,
    "no proof": (lines) => lines.splice(at("proof"), 1),
    "the end": (lines) => lines[at("end")]!.entries = 1,
    "an odd line": (lines) => lines.splice(1, 0, { type: "note" }),
    "another organization's": (lines) => lines[0]!.organization_id = null,
  };
  for (const [name, change] of Object.entries(changes)) {
    const lines = structuredClone(sample.lines);
    change(lines);
    await assert.rejects(read(lines), Error, name);
  }
  const bytes = asBytes(sample.lines);
  for (const place of [5, bytes.length >> 1, bytes.length - 20]) {
    const altered = bytes.slice();
    altered[place]! ^= 1;
    await assert.rejects(readArchivedBundle(altered, range, keys), Error, `byte ${place}`);
  }
  await assert.rejects(readArchivedBundle(bytes.subarray(0, -1), range, keys));
  await assert.rejects(read(sample.lines, { ...range, cursor: "1:1" }));
  await assert.rejects(read(sample.lines, { ...range, after: "1:1" }));
});

Deno.test("readArchivedBundle() believes no other key", async () => {
  const other = await makeSample([3], { signer: await sampleSigner(9) });
  const otherKeys = [await parseVerifierKey(other.vkey)];
  await assert.rejects(readArchivedBundle(asBytes(sample.lines), range, otherKeys));
});

Deno.test("writeParquet() gives DuckDB the same values, exact to the last digit", async () => {
  const big = '{"n": 12345678901234567890.10, "s": "\\"}{,:[\\\\", "d": [1, {"a": null}]}';
  const entry = (more: Partial<AuditEntry>): AuditEntry => ({
    id: "01a204d7-6ac1-7683-aa0e-d7cc279e7f1c",
    organization_id: null,
    timeline: 1,
    xid: "18446744073709551615",
    occurred_at: "2026-01-31T23:59:59.123457Z",
    occurred_at_us: 1000 * (Date.parse("2026-01-31T23:59:59Z") - Date.UTC(2000, 0)) + 123457,
    source: "table",
    severity: "info",
    result: "success",
    event_type: "data.update",
    resource_type: "public.größe",
    ...more,
  });
  const bytes = writeParquet([
    { seal: 7, entry: entry({ salt: "x", payload: `{"actor_type":"user","before":${big}}` }) },
    { seal: 8, entry: entry({ removed_by: "01a204d7-6ac1-7683-aa0e-d7cc279e7f1d" }) },
  ]);
  const scratch = await makeScratchFolder("parquet");
  try {
    await Deno.writeFile(`${scratch.path}/a.parquet`, bytes);
    const rows = await query(
      `select * exclude (id), "before"::json ->> 's' as s from '${scratch.path}/a.parquet' order by seal`,
    );
    assert.equal(rows[0]?.occurred_at, "2026-01-31 23:59:59.123457+00");
    assert.equal(rows[0]?.before, big);
    assert.equal(rows[0]?.s, '"}{,:[\\');
    assert.equal(rows[0]?.xid, "18446744073709551615");
    assert.equal(rows[0]?.actor_type, "user");
    assert.equal(rows[0]?.resource_type, "public.größe");
    assert.deepEqual([rows[1]?.before, rows[1]?.actor_type], [null, null]);
    assert.match(String(rows[1]?.removed_by), /7f1d$/);
  } finally {
    await scratch.remove();
  }
});

Deno.test("a bucket stores, reads back, and names a file that is gone or another", async () => {
  const scratch = await makeScratchFolder("s3");
  const server = new S3rver({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: scratch.path,
    configureBuckets: [{ name: "archive" }],
  });
  const { port } = await server.run();
  const env = {
    url: `http://127.0.0.1:${port}/archive/log`,
    region: "us-east-1",
    accessKeyId: "S3RVER",
    secretAccessKey: "S3RVER",
    lock: null,
  };
  try {
    const bucket = openBucket(env);
    const bytes = new TextEncoder().encode("größe");
    const key = "ndjson/month=2026-01/organization=none/000001-0a.ndjson";
    const file = await bucket.store(key, bytes, "application/x-ndjson");
    assert.equal(file.sha256, createHash("sha256").update(bytes).digest("hex"));
    assert.deepEqual(await bucket.read(file), bytes);
    await bucket.check(file);
    await bucket.store(key, new TextEncoder().encode("grösse"), "text/plain");
    const altered = (thrown: Error) =>
      /ALTERED/.test(Reflect.get(thrown, "code")) &&
      thrown.message.includes(key);
    await assert.rejects(bucket.read(file), altered);
    await assert.rejects(bucket.check(file), altered);
    await bucket.remove(key);
    await bucket.remove(key);
    const missing = { code: "AUDIT_ARCHIVE_MISSING" };
    await assert.rejects(bucket.read(file), missing);
    await assert.rejects(bucket.check(file), missing);
    // Another bucket, other credentials, nobody there.
    const elsewhere = openBucket({ ...env, url: env.url.replace("archive", "other") });
    await assert.rejects(elsewhere.store(key, bytes, "text/plain"), {
      code: "AUDIT_ARCHIVE_NOT_STORED",
    });
    const wrong = openBucket({ ...env, secretAccessKey: "hidden-secret" });
    await assert.rejects(
      wrong.store(key, bytes, "text/plain"),
      (thrown: Error) => /403/.test(thrown.message) && !/hidden|S3RVER/.test(thrown.message),
    );
    await server.close();
    await assert.rejects(
      bucket.read(file),
      (thrown: Error) => !/S3RVER|Signature/.test(thrown.message + thrown.stack),
    );
  } finally {
    await scratch.remove();
  }
});

Deno.test("a bucket gets the hash of the contents, signed, and an object lock if one is set", async () => {
  const sent: Request[] = [];
  const bucket = openBucket({
    url: "https://ref.storage.supabase.co/storage/v1/s3/archive",
    region: "eu-central-1",
    accessKeyId: "ID",
    secretAccessKey: "secret",
    lock: { mode: "COMPLIANCE", days: 10 },
  }, (input) => {
    sent.push(input as Request);
    return Promise.resolve(new Response("x", { headers: { etag: '"1"' } }));
  });
  await bucket.store("a/b", new TextEncoder().encode("x"), "text/plain");
  const [put] = sent;
  const hash = createHash("sha256").update("x").digest();
  assert.equal(put?.url, "https://ref.storage.supabase.co/storage/v1/s3/archive/a/b");
  assert.equal(put?.headers.get("x-amz-content-sha256"), hash.toString("hex"));
  assert.equal(put?.headers.get("x-amz-checksum-sha256"), hash.toString("base64"));
  assert.equal(put?.headers.get("x-amz-object-lock-mode"), "COMPLIANCE");
  const until = Date.parse(put?.headers.get("x-amz-object-lock-retain-until-date") ?? "");
  assert.ok(Math.abs(until - Date.now() - 10 * 86_400_000) < 60_000);
  assert.match(
    put?.headers.get("authorization") ?? "",
    /eu-central-1\/s3\/aws4_request.*x-amz-object-lock-mode/,
  );
});

Deno.test("readAuditEnv() refuses a bucket without credentials, in plain HTTP, or with a password in it", () => {
  const base: Record<string, string> = {
    SUPABASE_URL: "https://ref.supabase.co",
    SUPABASE_ANON_KEY: "a",
    SUPABASE_SERVICE_ROLE_KEY: "b",
    BULWARK_AUDIT_ARCHIVE: "https://s3.test/archive/",
    BULWARK_AUDIT_ARCHIVE_KEY_ID: "id",
    BULWARK_AUDIT_ARCHIVE_SECRET: "secret",
  };
  const given = (more: Record<string, string>) =>
    readAuditEnv((name) => ({ ...base, ...more })[name]);
  assert.equal(given({}).archive?.url, "https://s3.test/archive");
  assert.equal(given({ BULWARK_AUDIT_ARCHIVE: "" }).archive, null);
  const lock = given({ BULWARK_AUDIT_ARCHIVE_LOCK: "governance:365" }).archive?.lock;
  assert.deepEqual(lock, { mode: "GOVERNANCE", days: 365 });
  for (
    const wrong of [
      { BULWARK_AUDIT_ARCHIVE: "http://s3.test/archive" },
      { BULWARK_AUDIT_ARCHIVE: "https://id:secret@s3.test/archive" },
      { BULWARK_AUDIT_ARCHIVE: "https://s3.test/archive?x-amz-signature=secret" },
      { BULWARK_AUDIT_ARCHIVE_KEY_ID: "" },
      { BULWARK_AUDIT_ARCHIVE_SECRET: "" },
      { BULWARK_AUDIT_ARCHIVE_LOCK: "365" },
    ]
  ) {
    assert.throws(() => given(wrong), (thrown: Error) => !thrown.message.includes("secret"));
  }
});

async function query(sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowObjectsJson();
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
