/** Exports joined in one file: made on different days, pruned in between, or ending within a seal. */
import assert from "node:assert/strict";
import { uuidBytes } from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { concat, toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { sha256 } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import {
  formatVerifierKey,
  openCheckpoint,
  parseVerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { commitmentOf } from "../../supabase/functions/_bulwark/audit/proof.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import { compareWithKept } from "../../clients/js/src/audit/anchor.ts";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import {
  asBytes,
  exported,
  type Line,
  organization,
  restated,
  SampleLog,
  sampleSigner,
} from "./sample.ts";
import { exitCode } from "./report.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

const signer = await sampleSigner(1);
const keys = [await parseVerifierKey(await formatVerifierKey(signer))];

/** A signed log of so many seals with two entries each. */
async function logOf(seals: number, change: (entry: AuditEntry) => void = () => {}) {
  const log = new SampleLog(signer);
  for (let seal = 0; seal < seals; seal++) {
    const entries = log.entries(2, organization);
    entries.forEach(change);
    await log.seal(entries);
  }
  await log.sign();
  return log;
}

/** The exit code, its codes, and the notes. */
async function verify(lines: Line[], asked: Asked = {}) {
  const stream = ReadableStream.from([asBytes(lines)]);
  const { verdict } = await verifyBundle(stream, { keys, reader: inline(), asked });
  const codes = [...verdict.findings, ...verdict.unproved].map(({ code }) => code);
  return { outcome: [exitCode(verdict), ...codes], notes: verdict.notes };
}

async function outcomeOf(lines: Line[], asked: Asked = {}) {
  return (await verify(lines, asked)).outcome;
}

/** The exports of a log up to a limit, and after it once the log was pruned through a seal. */
async function prunedBetween(limit: number, throughSeal: number) {
  const log = await logOf(4);
  const early = await exported(log, organization, { limit });
  log.prune(throughSeal);
  const after = String(early.at(-2)!.cursor);
  return { early, late: await exported(log, organization, { after }), after };
}

Deno.test("what was pruned between two parts is gone without a proof, as before the first", async () => {
  // At the end of a seal, and within one.
  for (const [limit, through, gone] of [[4, 3, 2], [3, 2, 1], [3, 3, 3]] as const) {
    const { early, late, after } = await prunedBetween(limit, through);
    const joined = [...early, ...late];
    assert.deepEqual(await outcomeOf(joined), [2, "BEGINS_PRUNED"]);
    assert.deepEqual(await outcomeOf(joined, { pruned: through - 1 }), [2, "BEGINS_PRUNED"]);
    const accepted = await verify(joined, { pruned: through });
    assert.deepEqual(accepted.outcome, [0]);
    const [note] = accepted.notes;
    assert.equal(
      note,
      `${gone} entries after ${after} were pruned, as --pruned says, up to seal ${through}`,
    );
    // The claim covers less than is missing.
    const [header, ...rest] = late;
    const previous = header!.previous as Line;
    for (
      const claim of [
        { pruned: null },
        { pruned: through - 1 },
        { previous: null },
        { previous: { ...previous, entry_count: 1 } },
        { previous: { ...previous, seal: through - 1 } },
      ]
    ) {
      const lying = await restated([...early, { ...header, ...claim }, ...rest], signer);
      assert.equal((await outcomeOf(lying, { pruned: 9 }))[0], 1, JSON.stringify(claim));
    }
  }
});

Deno.test("where all that follows was pruned, a part without entries is no proof of it", async () => {
  for (const limit of [4, 3]) {
    const { early, late, after } = await prunedBetween(limit, 4);
    assert.equal(late.filter(({ type }) => type === "entry").length, 0);
    assert.deepEqual(await outcomeOf(late, { after }), [2, "BEGINS_PRUNED"]);
    assert.deepEqual(await outcomeOf(late, { after, pruned: 4 }), [0]);
    const joined = [...early, ...late];
    assert.deepEqual(await outcomeOf(joined), [2, "BEGINS_PRUNED"]);
    assert.deepEqual(await outcomeOf(joined, { pruned: 3 }), [2, "BEGINS_PRUNED"]);
    assert.deepEqual(await outcomeOf(joined, { pruned: 4 }), [0]);
  }
  // Pruned no further than the earlier parts go: nothing is missing.
  const { early, late } = await prunedBetween(8, 4);
  assert.deepEqual(await outcomeOf([...early, ...late]), [0]);
});

Deno.test("parts before a pruned gap are proved by themselves, for nothing chains to them", async () => {
  const { late } = await prunedBetween(4, 3);
  const forged = await logOf(4, (entry) => entry.payload = "{}");
  const early = await exported(forged, organization, { limit: 4 });
  const proof = early.findIndex(({ type }) => type === "proof");
  const genuine = await exported(await logOf(4), organization, { limit: 4 });
  const unsigned = { ...early[proof]!, checkpoint: null };
  for (const proofs of [[], [unsigned], [genuine[proof]!], [late.at(-3)!]]) {
    const lines = [...early.toSpliced(proof, 1, ...proofs), ...late];
    const [code] = await outcomeOf(await restated(lines, signer), { pruned: 3 });
    assert.notEqual(code, 0, JSON.stringify(proofs));
  }
});

Deno.test("an old tail on a newer part is older than a checkpoint that was kept", async () => {
  const log = await logOf(4);
  const tail = await exported(log, organization, { after: "1:2" });
  const empty = await exported(log, organization, { after: "4:2" });
  await log.seal(log.entries(2, organization));
  await log.sign();
  const kept = await openCheckpoint(log.note!, keys);
  const compare = async (...parts: Line[][]) => {
    const stream = ReadableStream.from([asBytes(parts.flat())]);
    const { verdict, checkpoint } = await verifyBundle(stream, { keys, reader: inline() });
    assert.equal(exitCode(verdict), 0);
    return (await compareWithKept(checkpoint, kept, null))?.code ?? null;
  };
  const head = await exported(log, organization, { limit: 2 });
  const heads = await exported(log, organization, { limit: 8 });
  assert.equal(await compare(head, tail), "LOG_TRUNCATED");
  // It has no checkpoint, and was exported before the previous part.
  const [header, ...rest] = empty;
  const exported_at = new Date(Date.parse(String(header!.exported_at)) - 60_000).toISOString();
  const early = await restated([{ ...header, exported_at }, ...rest], signer);
  assert.equal(await compare(heads, early), "NOT_COMPARED");
  assert.equal(await compare(head, await exported(log, organization, { after: "1:2" })), null);
  const whole = await exported(log, organization);
  assert.equal(await compare(whole, await exported(log, organization, { after: "5:2" })), null);
});

Deno.test("a file that ends within a seal says that more follows", async () => {
  const log = await logOf(3);
  const early = await exported(log, organization, { limit: 3 });
  const ended = early.with(-2, { ...early.at(-2)!, next: null });
  assert.deepEqual(await outcomeOf(await restated(ended, signer)), [1, "ENTRY_MISSING"]);
  // The database hides everything after the first part, and the function signs that.
  const empty = (await exported(log, organization, { after: "3:2" })).map((line) => {
    if (line.type === "bundle") return { ...line, after: "2:1" };
    return line.type === "end" ? { ...line, cursor: "2:1" } : line;
  });
  const joined = await restated([...early, ...empty], signer);
  assert.deepEqual(await outcomeOf(joined), [1, "ENTRY_MISSING"]);
});

/** A log whose last entry records that one entry of each part was removed. */
async function erased(named: number) {
  const log = new SampleLog(signer);
  const early = log.entries(2, organization);
  const late = log.entries(2, organization);
  const record = log.entries(1, organization)[0]!;
  const gone = [early[0]!, late[0]!].slice(-named);
  const digest = toBase64(
    await sha256(concat(...gone.map(({ id }) => uuidBytes(id, "id")))),
  );
  record.event_type = "compliance.data_deleted";
  record.source = "system";
  record.payload = JSON.stringify({ details: { kind: "erasure", entries: named, digest } });
  await log.seal(early);
  await log.sign();
  const before = await exported(log, organization);
  await log.seal(late);
  await log.seal([record]);
  await log.sign();
  for (const entry of gone) {
    entry.commitment = toBase64(await commitmentOf(entry));
    entry.removed_by = record.id;
    delete entry.salt;
    delete entry.payload;
  }
  const after = await exported(log, organization, { after: "1:2" });
  return { log, before, after, recordedAt: Date.parse(record.occurred_at) };
}

/** The exports as if the first of them had been made at a time. */
async function exportedAt(time: number, before: Line[], after: Line[]): Promise<Line[]> {
  const header = { ...before[0]!, exported_at: new Date(time).toISOString() };
  return await restated([header, ...before.slice(1), ...after], signer);
}

Deno.test("an erasure between two exports is no tampering, but what it removed is undecided", async () => {
  const { log, before, after, recordedAt } = await erased(2);
  assert.deepEqual(await outcomeOf(await exported(log, organization)), [0]);
  const hour = 3_600_000;
  assert.deepEqual(
    await outcomeOf(await exportedAt(recordedAt - hour, before, after)),
    [2, "REMOVAL_UNDECIDED"],
  );
  // An export made after the removal shows all that was removed.
  assert.deepEqual(
    await outcomeOf(await exportedAt(recordedAt + hour, before, after)),
    [1, "REMOVAL_UNRECORDED"],
  );
  const one = await erased(1);
  assert.deepEqual(
    await outcomeOf(await exportedAt(recordedAt - hour, one.before, one.after)),
    [0],
  );
});

Deno.test("a record that was pruned between two parts leaves a removal undecided", async () => {
  const log = await logOf(4);
  const entry = log.seals[0]!.groups[0]!.entries[0]!;
  const record = log.seals[2]!.groups[0]!.entries[0]!.id;
  const commitment = toBase64(await commitmentOf(entry));
  Object.assign(entry, { commitment, removed_by: record, salt: undefined, payload: undefined });
  const early = await exported(log, organization, { limit: 4 });
  log.prune(3);
  const late = await exported(log, organization, { after: "2:2" });
  assert.deepEqual(
    await outcomeOf([...early, ...late], { pruned: 3 }),
    [2, "REMOVAL_UNDECIDED"],
  );
});
