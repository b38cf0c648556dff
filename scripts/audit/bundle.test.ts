import assert from "node:assert/strict";
import { concat, toBase64 } from "../../supabase/functions/_shared/audit/encoding.ts";
import { parseVerifierKey } from "../../supabase/functions/_shared/audit/note.ts";
import { sha256 } from "../../supabase/functions/_shared/audit/merkle.ts";
import { timeText, uuidBytes } from "../../supabase/functions/_shared/audit/bytes.ts";
import { commitmentOf } from "../../supabase/functions/_shared/audit/proof.ts";
import type { AuditEntry } from "../../supabase/functions/_shared/audit/records.ts";
import { inline } from "./pool.ts";
import { asBytes, idAt, type Line, makeSample, otherOrganization, sampleSigner } from "./sample.ts";
import { verifyBundle } from "./verify.ts";

const sample = await makeSample([3, 1, 5, 8]);
const copy = () => structuredClone(sample.lines);

async function verify(lines: Line[] | Uint8Array, vkey = sample.vkey) {
  const bytes = lines instanceof Uint8Array ? lines : asBytes(lines);
  const { verdict } = await verifyBundle(pieces(bytes), {
    keys: [await parseVerifierKey(vkey)],
    reader: inline(),
  });
  return verdict;
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes.slice(0, 700);
  yield bytes.slice(700);
}

async function codesOf(lines: Line[]): Promise<string[]> {
  return (await verify(lines)).findings.map(({ code }) => code);
}

/** Gives every entry the leaf that was sealed at its position, as an export of an altered log does. */
function exported(lines: Line[]): Line[] {
  const sealed = sample.lines;
  let at = 0;
  for (const line of lines) {
    if (line.type === "group") {
      at = sealed.findIndex(({ type, seal }) => type === "group" && seal === line.seal);
    }
    if (line.type !== "entry") continue;
    at += 1;
    if (sealed[at]?.type === "entry") line.leaf = sealed[at]!.leaf;
    else delete line.leaf;
  }
  return lines;
}

/** The index of the nth entry line, from 0. */
function entryAt(lines: Line[], nth: number): number {
  return lines.flatMap(({ type }, index) => type === "entry" ? [index] : [])[nth]!;
}

Deno.test("a bundle that nobody touched is intact and covered to its last entry", async () => {
  const verdict = await verify(copy());
  assert.deepEqual(verdict.findings, []);
  assert.deepEqual([verdict.entries, verdict.covered, verdict.treeSize], [17, 17, 4]);
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
    { era: 2 },
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
  delete line.leaf;
  line.payload = "{}";
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
  const first = await verify(exported(removed));
  assert.equal(first.findings[0]?.code, "ENTRY_MISSING");
  assert.ok(first.findings[0]?.message.includes(String(removed[entryAt(removed, 5)]!.id)));

  const inserted = copy();
  const made = { ...inserted[entryAt(inserted, 5)]!, id: idAt(848772000000000, "ffffffffffff") };
  inserted.splice(entryAt(inserted, 5), 0, made);
  const second = await verify(exported(inserted));
  assert.equal(second.findings[0]?.code, "ENTRY_INSERTED");
  assert.ok(second.findings[0]?.message.includes(made.id));

  const swapped = copy();
  const [one, other] = [entryAt(swapped, 5), entryAt(swapped, 6)];
  [swapped[one], swapped[other]] = [swapped[other]!, swapped[one]!];
  assert.deepEqual(await codesOf(exported(swapped)), ["ENTRY_ALTERED"]);
});

Deno.test("the last entry cannot be left out, nor a whole seal, nor the first one", async () => {
  const tail = copy();
  tail.splice(entryAt(tail, 16), 1);
  assert.deepEqual(await codesOf(tail), ["ENTRY_MISSING"]);

  const middle = copy();
  const at = middle.findIndex(({ type, seal }) => type === "group" && seal === 2);
  middle.splice(at, 2);
  assert.deepEqual(await codesOf(middle), ["GROUP_MISSING"]);
  const beheaded = [sample.lines[0]!, ...sample.lines.slice(5)];
  assert.deepEqual(await codesOf(beheaded), ["PREFIX_MISSING"]);
});

Deno.test("a bundle may begin later where it says so, and exactly there", async () => {
  const [header, ...rest] = copy();
  const begins = rest.findIndex(({ type, seal }) => type === "group" && seal === 2);
  const { entries_before: entries, previous } = rest[begins]!;
  const pruned = { through_seal: 1, entries, previous };
  const kept = rest.slice(begins);
  const verdict = await verify([{ ...header, pruned }, ...kept]);
  assert.deepEqual(verdict.findings, []);
  assert.match(verdict.remarks[0] ?? "", /the 3 entries before seal 2/);
  const later = kept.slice(2);
  for (
    const lines of [
      [{ ...header, pruned }, ...later],
      [{ ...header, pruned: { ...pruned, entries: 2 } }, ...kept],
      [{ ...header, pruned: { ...pruned, through_seal: 2 } }, ...kept],
      [{ ...header, pruned: { ...pruned, previous: sample.lines[1]!.root } }, ...kept],
    ]
  ) assert.equal((await codesOf(lines))[0], "PREFIX_MISSING");
  const after = await verify([{ ...header, after: "1:3" }, ...kept]);
  assert.deepEqual(after.findings, []);
  assert.match(after.remarks[0] ?? "", /what comes before 1:3/);
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
      // Below the snapshot of every seal before it: it was open then.
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
  const own = sample.lines.at(-2)!;
  const lines = [...forged.lines.slice(0, -2), own, forged.lines.at(-1)!];
  const { findings } = await verify(lines);
  assert.deepEqual(findings.map(({ code }) => code), ["NOT_AS_SIGNED", "NOT_SIGNED"]);
});

Deno.test("a checkpoint signed by another key, or by the key over another tree, is refused", async () => {
  const thief = await makeSample([3, 1, 5, 8], { signer: await sampleSigner(2) });
  await assert.rejects(verify(thief.lines), { code: "WRONG_KEY" });
  await assert.rejects(verify(copy(), thief.vkey), { code: "WRONG_KEY" });

  const forged = copy();
  const proof = forged.at(-2)!;
  proof.checkpoint = String(proof.checkpoint).replace("\n4\n", "\n5\n");
  assert.equal((await codesOf(forged))[0], "CHECKPOINT_FORGED");

  const shorter = copy();
  shorter.at(-2)!.checkpoint = (await makeSample([3])).note;
  assert.equal((await codesOf(shorter))[0], "NOT_AS_SIGNED");
});

Deno.test("a bundle without a checkpoint proves nothing, and says so", async () => {
  const unsigned = copy();
  unsigned.at(-2)!.checkpoint = null;
  assert.deepEqual(await codesOf(unsigned), ["NOT_SIGNED"]);
  const ahead = copy();
  ahead.splice(ahead.findIndex(({ type, seal }) => type === "group" && seal === 4), 9);
  assert.deepEqual(await codesOf(ahead), ["NOT_SIGNED"]);
  const without = copy();
  without.splice(-2, 1);
  assert.deepEqual(await codesOf(without), ["NOT_SIGNED"]);
});

Deno.test("a bundle cut anywhere is refused", async () => {
  const bytes = asBytes(sample.lines);
  await assert.rejects(verify(bytes.slice(0, bytes.length / 2)), /Cannot verify: /);
  await assert.rejects(verify(sample.lines.slice(0, 9)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify(sample.lines.slice(0, -1)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify([]), { code: "NOT_A_BUNDLE" });
});

Deno.test("what is no bundle is refused with the line that is wrong", async () => {
  const header = sample.lines[0]!;
  const group = sample.lines[1]!;
  const entry = sample.lines[2]!;
  const cases: [Line[] | Uint8Array, RegExp][] = [
    [new TextEncoder().encode("id,event\r\n"), /line 1: it is not JSON/],
    [[{ type: "entry" }], /no audit bundle|line 1/],
    [[{ ...header, version: 2 }], /version is not 1/],
    [[header, { type: "surprise" }], /line 2: its type is unknown/],
    [[header, entry], /outside of a group/],
    [[header, group, { ...entry, surplus: 1 }], /line 3: an entry has fields/],
    [[header, group, { ...entry, id: "x" }], /line 3: id is not a UUID/],
    [[header, group, { ...entry, occurred_at: "2020-01-01T00:00:00.000000Z" }], /occurred_at/],
    [[header, group, { ...entry, organization_id: otherOrganization }], /another organization/],
    [[header, { ...group, organization_id: otherOrganization }], /another organization/],
    [[header, { ...group, root: "AAAA" }], /line 2: root is not base64 of 32 bytes/],
    [
      [...sample.lines.slice(0, -2), { ...sample.lines.at(-2)!, checkpoint: 1 }],
      /checkpoint is no/,
    ],
    [asBytes([header]).map((byte) => byte === 0x62 ? 0xff : byte), /line 1/],
  ];
  for (const [lines, message] of cases) await assert.rejects(verify(lines), message);
});

Deno.test("exports that follow one another verify as one, also split inside a seal", async () => {
  const parts = copy();
  const at = entryAt(parts, 6);
  const group = parts.find(({ type, seal }) => type === "group" && seal === 3)!;
  const [bundle, end] = [parts[0]!, parts.at(-1)!];
  const lines = [
    ...parts.slice(0, at),
    { ...end, next: "3:2" },
    { ...bundle, after: "3:2" },
    { ...group, first: 2 },
    ...parts.slice(at),
  ];
  const verdict = await verify(lines);
  assert.deepEqual([verdict.findings, verdict.covered, verdict.unverifiable], [[], 17, 0]);

  const second = await verify([
    { ...bundle, after: "3:2" },
    { ...group, first: 2 },
    ...parts.slice(at),
  ]);
  assert.deepEqual([second.findings, second.entries, second.unverifiable], [[], 11, 3]);

  const gap = [...lines];
  gap.splice(gap.findIndex(({ after }) => after === "3:2"), 1, { ...bundle, after: "3:1" });
  await assert.rejects(verify(gap), /begins elsewhere/);
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
