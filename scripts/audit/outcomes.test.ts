/** The outcomes of docs/audit-verification.md: each has a bundle that causes it, and its code. */
import assert from "node:assert/strict";
import { timeText } from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  type Checkpoint,
  formatVerifierKey,
  openCheckpoint,
  parseVerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { commitmentOf, entryLeaf } from "../../supabase/functions/_bulwark/audit/proof.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import { inRepository } from "../stack/paths.ts";
import { compareWithKept } from "../../clients/js/src/audit/anchor.ts";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import {
  asBytes,
  exported,
  type Line,
  makeSample,
  organization,
  otherOrganization,
  restated,
  SampleLog,
} from "./sample.ts";
import { exitCode } from "./report.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

/** A bundle and the request to verify it with. */
interface Shown {
  lines: Line[];
  asked?: Asked;
  kept?: Checkpoint;
}

const sample = await makeSample([3, 1, 5, 8]);
const signer = sample.signer;
const keys = [await parseVerifierKey(await formatVerifierKey(signer))];
const lines = sample.lines;
const groupAt = (seal: number) =>
  lines.findIndex((line) => line.type === "group" && line.seal === seal);

/** The bundle with another value in a line, and a statement that fits it. */
async function changed(at: number, change: Line): Promise<Shown> {
  return { lines: await restated(lines.with(at, { ...lines.at(at)!, ...change }), signer) };
}

/** The sample's log, with another entry 6. */
function relogged(change: (entry: AuditEntry) => void) {
  return makeSample([3, 1, 5, 8], { change: (entry, index) => index === 6 && change(entry) });
}

async function stripped(): Promise<Line[]> {
  const { payload: _payload, salt: _salt, ...entry } = lines[2] as unknown as AuditEntry;
  const commitment = toBase64(await commitmentOf(lines[2] as unknown as AuditEntry));
  return lines.with(2, { ...entry, commitment, removed_by: entry.id });
}

async function keptOf(log: SampleLog): Promise<Checkpoint> {
  return await openCheckpoint(log.note!, keys);
}

const findings: Record<string, () => Promise<Shown>> = {
  ENTRY_ALTERED: () => changed(2, { severity: "debug" }),
  ENTRY_MISSING: async () => ({ lines: await restated(lines.toSpliced(3, 1), signer) }),
  ENTRY_INSERTED: async () => ({ lines: await restated(lines.toSpliced(3, 0, lines[3]!), signer) }),
  ENTRY_BACKDATED: () =>
    relogged((entry) => {
      entry.occurred_at_us -= 3_600_000_000;
      entry.occurred_at = timeText(entry.occurred_at_us);
    }),
  PREFIX_MISSING: async () => ({ lines: await restated(lines.toSpliced(1, 4), signer) }),
  GROUP_ALTERED: async () => {
    const entry = { ...lines[2]!, severity: "debug" };
    return await changed(2, { ...entry, leaf: toBase64(await entryLeaf(entry as never)) });
  },
  GROUP_MISSING: async () => ({ lines: await restated(lines.toSpliced(groupAt(2), 2), signer) }),
  NOT_AS_SIGNED: async () => {
    const forged = await relogged((entry) => entry.payload = "{}");
    return { lines: await restated(forged.lines.with(-3, lines.at(-3)!), signer) };
  },
  CHECKPOINT_FORGED: () =>
    changed(-3, { checkpoint: String(lines.at(-3)!.checkpoint).replace("\n4\n", "\n5\n") }),
  STATEMENT_FORGED: () => {
    const note = String(lines.at(-1)!.note).replace("entries 17", "entries 18");
    return Promise.resolve({ lines: lines.with(-1, { type: "statement", note }) });
  },
  BUNDLE_ALTERED: () =>
    Promise.resolve({ lines: lines.with(0, { ...lines[0]!, exported_at: new Date(0).toJSON() }) }),
  LOG_TRUNCATED: async () => ({
    lines: (await makeSample([3, 1, 5])).lines,
    kept: await keptOf(sample.log),
  }),
  LOG_FORKED: async () => ({
    lines,
    kept: { ...await keptOf(sample.log), root: new Uint8Array(32) },
  }),
  REMOVAL_UNRECORDED: async () => ({ lines: await restated(await stripped(), signer) }),
};

const unproved: Record<string, () => Promise<Shown>> = {
  NO_ENTRIES: async () => ({ lines: await exported(sample.log, crypto.randomUUID()) }),
  NOT_SIGNED: () => changed(-3, { checkpoint: null }),
  NOT_STATED: async () => ({ lines: await exported(sample.log, organization, { signers: [] }) }),
  async NOT_COVERED() {
    const early = (await makeSample([3, 1, 5])).lines.at(-3)!;
    const moved = lines.toSpliced(-3, 1).toSpliced(groupAt(4), 0, early);
    return { lines: await restated(moved, signer) };
  },
  BEGINS_LATER: async () => ({ lines: await exported(sample.log, organization, { after: "3:2" }) }),
  async BEGINS_PRUNED() {
    const { log } = await makeSample([3, 1, 5, 8]);
    log.prune(2);
    return { lines: await exported(log, organization) };
  },
  ENDS_EARLY: async () => ({ lines: await exported(sample.log, organization, { limit: 6 }) }),
  NOT_AS_ASKED: () => Promise.resolve({ lines, asked: { organization: otherOrganization } }),
  async REMOVAL_UNDECIDED() {
    const { lines: short } = await makeSample([3]);
    const entry = (await stripped())[2]!;
    const cut = short.with(2, entry).with(-2, { ...short.at(-2)!, next: "1:3" });
    return { lines: await restated(cut, signer), asked: { until: "1:3" } };
  },
  NOT_COMPARED: async () => ({ lines, kept: await keptOf((await makeSample([3, 1])).log) }),
};

async function outcomeOf({ lines, asked = {}, kept }: Shown) {
  const stream = ReadableStream.from([asBytes(lines)]);
  const { verdict, checkpoint } = await verifyBundle(stream, { keys, reader: inline(), asked });
  const compared = kept && await compareWithKept(checkpoint, kept, null);
  if (compared?.code === "NOT_COMPARED") verdict.unproved.push(compared);
  else if (compared) verdict.findings.push(compared);
  return verdict;
}

Deno.test("the guide lists every code, and each has a bundle that ends with 1 or 2 for it", async () => {
  const guide = await Deno.readTextFile(inRepository("docs", "audit-verification.md"));
  const listed = (heading: string) => {
    const table = guide.split(`| ${heading} |`)[1]?.split("\n\n")[0] ?? "";
    return table.split("\n").slice(1).flatMap((row) =>
      [...(row.split("|")[1] ?? "").matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code!)
    );
  };
  assert.deepEqual(listed("Finding (1)").toSorted(), Object.keys(findings).toSorted());
  assert.deepEqual(listed("Not proved (2)").toSorted(), Object.keys(unproved).toSorted());
  for (const [code, show] of Object.entries(findings)) {
    const verdict = await outcomeOf(await show());
    assert.ok(verdict.findings.some((finding) => finding.code === code), JSON.stringify(verdict));
    assert.equal(exitCode(verdict), 1, code);
  }
  for (const [code, show] of Object.entries(unproved)) {
    const verdict = await outcomeOf(await show());
    assert.deepEqual(verdict.findings, [], code);
    assert.ok(verdict.unproved.some((open) => open.code === code), JSON.stringify(verdict));
    assert.equal(exitCode(verdict), 2, code);
  }
});

Deno.test("a whole log that nobody touched ends with 0, also beside a checkpoint that was kept", async () => {
  const verdict = await outcomeOf({
    lines,
    kept: await keptOf(sample.log),
    asked: { organization },
  });
  assert.deepEqual([verdict.findings, verdict.unproved, exitCode(verdict)], [[], [], 0]);
});
