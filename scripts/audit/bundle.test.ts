/** Bundles whose entries, seals or signatures were altered. */
import assert from "node:assert/strict";
import { concat, toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  formatVerifierKey,
  parseVerifierKey,
  type Signer,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { sha256 } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import { timeText, uuidBytes } from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { commitmentOf, entryLeaf } from "../../supabase/functions/_bulwark/audit/proof.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { reportLines } from "./report.ts";
import {
  asBytes,
  exported,
  idAt,
  type Line,
  makeSample,
  organization,
  otherOrganization,
  SampleLog,
  sampleSigner,
} from "./sample.ts";
import { exitCode } from "./report.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";
import {
  codesOf,
  copy,
  entryAt,
  pieces,
  sample,
  unprovedIn,
  verify,
  verifyBytes,
  withSealedLeaves,
} from "./bundle_sample.ts";

Deno.test("a bundle that nobody touched is intact and covered to its last entry", async () => {
  const verdict = await verifyBytes(asBytes(sample.lines));
  assert.equal(exitCode(verdict), 0);
  assert.deepEqual(verdict.findings, []);
  assert.deepEqual([verdict.entries, verdict.covered, verdict.treeSize], [17, 17, 4]);
});

Deno.test("an entry with a payload of megabytes verifies, and has one spelling too", async () => {
  const long = await makeSample([2], {
    change: (entry) => entry.payload = JSON.stringify({ before: { text: '"\\\n'.repeat(1e5) } }),
  });
  const text = new TextDecoder().decode(asBytes(long.lines));
  const code = async (altered: string) =>
    exitCode(await verifyBytes(new TextEncoder().encode(altered), long.vkey));
  assert.equal(await code(text), 0);
  await assert.rejects(code(text.replace('"timeline":1', '"timeline": 1')), {
    code: "MALFORMED_BUNDLE",
  });
});

Deno.test("an altered entry is named, whichever of its fields was altered", async () => {
  const changes: Partial<AuditEntry>[] = [
    { payload: '{"action":"nothing"}' },
    { severity: "debug" },
    { result: "failure" },
    { event_type: "data.read" },
    { resource_type: "public.other" },
    { resource_type: null },
    { xid: "1" },
    { timeline: 2 },
    { source: "client" },
    { salt: "00000000-0000-4000-8000-000000000000" },
    { occurred_at: "2020-01-01T00:00:00.000001Z", occurred_at_us: 631152000000001 },
  ];
  for (const change of changes) {
    const lines = copy();
    const line = lines[entryAt(lines, 6)]!;
    Object.assign(line, change);
    const { findings } = await verify(lines);
    assert.equal(findings[0]?.code, "ENTRY_ALTERED", JSON.stringify(change));
    assert.ok(findings[0]?.message.includes(String(line.id)));
  }
});

Deno.test("an entry altered together with the leaf it is given is found by its seal", async () => {
  const lines = copy();
  const line = lines[entryAt(lines, 6)]!;
  line.payload = "{}";
  line.leaf = toBase64(await entryLeaf(line as unknown as AuditEntry));
  const { findings } = await verify(lines);
  assert.equal(findings[0]?.code, "GROUP_ALTERED");
  assert.ok(findings[0]?.message.includes("seal 3"));
});

Deno.test("text moved from one field into its neighbour is another entry", async () => {
  const lines = copy();
  Object.assign(lines[entryAt(lines, 0)]!, { source: "tabl", severity: "einfo" });
  assert.deepEqual(await codesOf(lines), ["ENTRY_ALTERED"]);
});

Deno.test("a removed entry, an inserted one and two that changed places are named", async () => {
  const removed = copy();
  removed.splice(entryAt(removed, 5), 1);
  const first = await verify(withSealedLeaves(removed));
  assert.equal(first.findings[0]?.code, "ENTRY_MISSING");
  assert.ok(first.findings[0]?.message.includes(String(removed[entryAt(removed, 5)]!.id)));

  const inserted = copy();
  const made = { ...inserted[entryAt(inserted, 5)]!, id: idAt(848772000000000, "ffffffffffff") };
  inserted.splice(entryAt(inserted, 5), 0, made);
  const second = await verify(withSealedLeaves(inserted));
  assert.equal(second.findings[0]?.code, "ENTRY_INSERTED");
  assert.ok(second.findings[0]?.message.includes(made.id));

  const swapped = copy();
  const [one, other] = [entryAt(swapped, 5), entryAt(swapped, 6)];
  [swapped[one], swapped[other]] = [swapped[other]!, swapped[one]!];
  assert.deepEqual(await codesOf(withSealedLeaves(swapped)), ["ENTRY_ALTERED"]);
});

Deno.test("an entry dated back before it was sealed is found by the seals that are proved", async () => {
  const hour = 3600 * 1_000_000;
  const dated = async (micros: number, idMicros = micros) => {
    const { lines } = await makeSample([3, 1, 5, 8], {
      proofs: true,
      change(entry, index) {
        if (index !== 6) return;
        entry.id = idAt(entry.occurred_at_us + idMicros, "00000000000f");
        entry.occurred_at_us += micros;
        entry.occurred_at = timeText(entry.occurred_at_us);
      },
    });
    const { findings } = await verify(lines);
    for (const { message } of findings) assert.match(message, /00000000000f/);
    return findings.map(({ code }) => code);
  };
  assert.deepEqual(await dated(0), []);
  assert.deepEqual(await dated(-hour / 30), []);
  assert.deepEqual(await dated(-hour), ["ENTRY_BACKDATED"]);
  assert.deepEqual(await dated(hour), ["ENTRY_BACKDATED"]);
  assert.deepEqual(await dated(0, -hour), ["ENTRY_BACKDATED"]);
});

Deno.test("a transaction that began before a seal may have older entries after it", async () => {
  const { lines } = await makeSample([3, 1, 5, 8], {
    proofs: true,
    change(entry, index) {
      if (index !== 6) return;
      // Below the snapshot of every earlier seal: it was open at that time.
      entry.xid = "1001";
      entry.occurred_at_us -= 3600 * 1_000_000;
      entry.occurred_at = timeText(entry.occurred_at_us);
      entry.id = idAt(entry.occurred_at_us, "00000000000f");
    },
  });
  assert.deepEqual(await codesOf(lines), []);
});

Deno.test("a log hashed anew from end to end is not the one that was signed", async () => {
  const forged = await makeSample([3, 1, 5, 8], {
    change: (entry, index) => {
      if (index === 4) entry.payload = "{}";
    },
  });
  const lines = forged.lines.with(-3, sample.lines.at(-3)!);
  assert.ok((await codesOf(lines)).includes("NOT_AS_SIGNED"));
});

Deno.test("a tail hashed anew is found though an early entry has a proof", async () => {
  const genuine = await makeSample([3, 1, 5, 8], { proofs: true });
  const forged = await makeSample([3, 1, 5, 8], {
    proofs: true,
    change: (entry, index) => {
      if (index >= 4) entry.payload = "{}";
    },
  });
  const isProof = ({ type }: Line) => type === "proof";
  const [first] = genuine.lines.filter(isProof);
  const at = forged.lines.findIndex(isProof);
  const lines = forged.lines.filter((line, index) => !isProof(line) || index === at).with(
    at,
    first!,
  );
  assert.deepEqual(await codesOf(lines), ["NOT_AS_SIGNED"]);
  // The same without a change: the entries are genuine, but nothing proves it.
  const unproved = genuine.lines.filter((line) => !isProof(line) || line === first);
  assert.deepEqual(await codesOf(unproved), ["NOT_AS_SIGNED"]);
});

Deno.test("a checkpoint signed by another key, or by the key over another tree, is refused", async () => {
  const thief = await makeSample([3, 1, 5, 8], { signer: await sampleSigner(2) });
  await assert.rejects(verifyBytes(asBytes(thief.lines)), { code: "WRONG_KEY" });
  await assert.rejects(verifyBytes(asBytes(sample.lines), thief.vkey), { code: "WRONG_KEY" });

  const forged = copy();
  const proof = forged.at(-3)!;
  proof.checkpoint = String(proof.checkpoint).replace("\n4\n", "\n5\n");
  assert.equal((await codesOf(forged))[0], "CHECKPOINT_FORGED");

  const shorter = copy();
  shorter.at(-3)!.checkpoint = (await makeSample([3])).note;
  assert.equal((await codesOf(shorter))[0], "NOT_AS_SIGNED");
});

Deno.test("the verdict names the key that each note was signed by, the first given where there are several", async () => {
  const current = sample.signer;
  const retired = await sampleSigner(3);
  const vkeys = await Promise.all([current, retired].map(formatVerifierKey));
  const names = vkeys.map((vkey) => vkey.split("+").slice(0, 2).join("+"));
  const signersOf = async (signer: Signer, stating: Signer[], order = vkeys) => {
    const { log } = await makeSample([2], { signer });
    const bytes = asBytes(await exported(log, organization, { signers: stating }));
    const given = await Promise.all(order.map(parseVerifierKey));
    const { verdict } = await verifyBundle(pieces(bytes), { keys: given, reader: inline() });
    assert.equal(exitCode(verdict), 0);
    return verdict.signers;
  };
  assert.deepEqual(await signersOf(current, [current]), names.slice(0, 1));
  assert.deepEqual(await signersOf(current, [retired, current]), names.slice(0, 1));
  assert.deepEqual(await signersOf(current, [retired, current], vkeys.toReversed()), names);
  assert.deepEqual(await signersOf(retired, [current]), names.toReversed());
  assert.deepEqual(await signersOf(current, [retired]), names);
});

Deno.test("of millions of findings a thousand are kept and the others counted", async () => {
  const lines = copy();
  const doubled = lines.toSpliced(1, 0, ...new Array<Line>(700).fill(lines[1]!));
  const verdict = await verify(doubled);
  assert.equal(verdict.findings.length, 1000);
  assert.ok(verdict.more >= 399, String(verdict.more));
  assert.equal(exitCode(verdict), 1);
  const [headline, ...others] = reportLines(verdict, 1);
  assert.equal(headline, "The log is NOT intact.");
  assert.match(others[20]!, /^ {2}and 1,\d{3} more$/);
});

Deno.test("a bundle without a checkpoint or a statement proves nothing, and says so", async () => {
  const unsigned = copy();
  unsigned.at(-3)!.checkpoint = null;
  assert.deepEqual(await unprovedIn(unsigned), ["NOT_SIGNED"]);
  const without = copy();
  without.splice(-3, 1);
  assert.deepEqual(await unprovedIn(without), ["NOT_SIGNED"]);
  const log = new SampleLog(sample.signer);
  await log.seal(log.entries(3, organization));
  const unstated = await verifyBytes(asBytes(await exported(log, organization, { signers: [] })));
  assert.deepEqual(unstated.unproved.map(({ code }) => code), ["NOT_STATED", "NOT_SIGNED"]);
  assert.equal(exitCode(unstated), 2);
});

Deno.test("entries sealed after the newest checkpoint are not in an export, nor proved by it", async () => {
  const { log } = await makeSample([3, 1]);
  await log.seal(log.entries(2, organization));
  const verdict = await verifyBytes(asBytes(await exported(log, organization)));
  assert.deepEqual([exitCode(verdict), verdict.entries], [0, 4]);
  const [header, ...groups] = copy().slice(0, -3);
  const early = (await makeSample([3, 1, 5])).lines.at(-3)!;
  const lines = [header!, ...groups, ...copy().slice(-2)];
  lines.splice(lines.findIndex(({ type, seal }) => type === "group" && seal === 4), 0, early);
  assert.deepEqual(await unprovedIn(lines), ["NOT_COVERED"]);
});

Deno.test("what is no bundle is refused with the line that is wrong", async () => {
  const header = sample.lines[0]!;
  const group = sample.lines[1]!;
  const entry = sample.lines[2]!;
  const cases: [Line[] | Uint8Array, RegExp][] = [
    [new TextEncoder().encode("id,event\r\n"), /line 1: it is not JSON/],
    [[{ type: "entry" }], /no audit bundle|line 1/],
    [[{ ...header, version: 2 }], /version is not 1/],
    [[header, { type: "surprise" }], /line 2: its type is not one that stands here/],
    [[header, entry], /outside of a group/],
    [[header, group, { ...entry, surplus: 1 }], /line 3: .*an entry has fields/],
    [[header, group, { ...entry, id: "x" }], /line 3: id is not a UUID/],
    [[header, group, { ...entry, occurred_at: "2020-01-01T00:00:00.000000Z" }], /occurred_at/],
    [[header, group, { ...entry, organization_id: otherOrganization }], /another organization/],
    [[header, { ...group, organization_id: otherOrganization }], /another organization/],
    [[header, { ...group, root: "AAAA" }], /line 2: root is not base64 of 32 bytes/],
    [sample.lines.with(-3, { ...sample.lines.at(-3)!, checkpoint: 1 }), /checkpoint is not text/],
    [asBytes([header]).map((byte) => byte === 0x62 ? 0xff : byte), /line 1/],
  ];
  for (const [lines, message] of cases) {
    const bytes = lines instanceof Uint8Array ? lines : asBytes(lines);
    await assert.rejects(verifyBytes(bytes), message);
  }
});

Deno.test("a removed payload needs a record that names exactly it", async () => {
  const ids = sample.lines.flatMap(({ type, id }) => type === "entry" ? [String(id)] : []);
  const [record, gone] = [ids[12]!, ids[4]!];
  const digest = toBase64(await sha256(concat(uuidBytes(gone, "id"))));
  const recorded = (details: unknown) =>
    makeSample([3, 1, 5, 8], {
      change(entry) {
        if (entry.id !== record) return;
        entry.event_type = "compliance.data_deleted";
        entry.source = "system";
        entry.payload = JSON.stringify({ details });
      },
    });
  const strip = async (lines: Line[]) => {
    const line = lines.find(({ id }) => id === gone) as unknown as AuditEntry;
    line.commitment = toBase64(await commitmentOf(line));
    line.removed_by = record;
    delete line.salt;
    delete line.payload;
    return lines;
  };
  const good = await recorded({ kind: "erasure", entries: 1, digest });
  const verdict = await verify(await strip(good.lines));
  assert.deepEqual([verdict.findings, verdict.payloadsRemoved], [[], 1]);

  const wrong = await recorded({ kind: "erasure", entries: 2, digest });
  assert.deepEqual(await codesOf(await strip(wrong.lines)), ["REMOVAL_UNRECORDED"]);
  assert.deepEqual(await codesOf(await strip(copy())), ["REMOVAL_UNRECORDED"]);
});
