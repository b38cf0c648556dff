/** Where a bundle begins and ends: pruned, hidden, cut, or joined with others. */
import assert from "node:assert/strict";
import { type ExportPage, startExport } from "../../supabase/functions/_bulwark/audit/export.ts";
import { exportFormat } from "../../supabase/functions/_bulwark/audit/formats.ts";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import {
  asBytes,
  asLines,
  exported,
  type Line,
  makeSample,
  organization,
  otherOrganization,
} from "./sample.ts";
import { exitCode } from "./report.ts";
import {
  codesOf,
  copy,
  entryAt,
  groupOf,
  sample,
  unprovedIn,
  verify,
  verifyBytes,
  withSealedLeaves,
} from "./bundle_sample.ts";

Deno.test("the last entry cannot be left out, nor a whole seal, nor the first one", async () => {
  const tail = copy();
  tail.splice(entryAt(tail, 16), 1);
  assert.ok((await codesOf(tail)).includes("ENTRY_MISSING"));

  const middle = copy();
  const at = middle.findIndex(({ type, seal }) => type === "group" && seal === 2);
  middle.splice(at, 2);
  assert.ok((await codesOf(middle)).includes("GROUP_MISSING"));
  const beheaded = [sample.lines[0]!, ...sample.lines.slice(5)];
  assert.ok((await codesOf(beheaded)).includes("PREFIX_MISSING"));
});

Deno.test("what was pruned is gone without a proof: a pruned log is intact where --pruned accepts it", async () => {
  const { log } = await makeSample([3, 1, 5, 8]);
  log.prune(2);
  const lines = await exported(log, organization);
  assert.deepEqual(await unprovedIn(lines), ["BEGINS_PRUNED"]);
  assert.deepEqual(await unprovedIn(lines, { pruned: 1 }), ["BEGINS_PRUNED"]);
  for (const pruned of [2, 9]) {
    const { findings, unproved, notes } = await verify(lines, sample.vkey, { pruned });
    assert.deepEqual([findings, unproved], [[], []]);
    assert.match(notes[0] ?? "", /^4 entries before were pruned, as --pruned says, up to seal 2/);
  }
  const [header, ...rest] = lines;
  const previous = header!.previous as Line;
  for (
    const altered of [
      [header, ...rest.slice(6)],
      [{ ...header, previous: { ...previous, entry_count: 2 } }, ...rest],
      [{ ...header, previous: { ...previous, seal: 1 } }, ...rest],
      [{ ...header, previous: groupOf(sample.lines[1]!) }, ...rest],
      [{ ...header, previous: null }, ...rest],
      [{ ...header, pruned: 1 }, ...rest],
      [{ ...header, pruned: null }, ...rest],
    ]
  ) {
    const { findings } = await verify(altered as Line[], sample.vkey, { pruned: 9 });
    assert.equal(findings[0]?.code, "PREFIX_MISSING", JSON.stringify(altered[0]));
  }
  // All entries of the organization.
  log.prune(4);
  const bare = await exported(log, organization);
  assert.deepEqual(await unprovedIn(bare), ["BEGINS_PRUNED"]);
  assert.deepEqual(await unprovedIn(bare, { pruned: 4 }), []);
});

Deno.test("seals hidden when it was exported are missed before the first that it shows", async () => {
  /** A signed export whose source hides the groups of some seals. */
  const hiding = async (seals: number[], after: string | null, claim: Line = {}) => {
    const source = sample.log.source(organization);
    const { body } = await startExport({
      ...source,
      async page(...asked) {
        const page = await source.page(...asked);
        const [first, ...others] = page.groups.filter(({ seal }) => !seals.includes(seal));
        const previous = groupOf(
          sample.lines.findLast(({ type, seal }) =>
            type === "group" && Number(seal) < first!.seal
          )!,
        );
        const altered: unknown = { ...page, groups: [first!, ...others], previous, ...claim };
        return altered as ExportPage;
      },
    }, {
      format: exportFormat("ndjson"),
      organization_id: organization,
      cursor: after,
      limit: 100,
      signers: [sample.signer],
    });
    return asLines(await new Response(body).text());
  };
  const cases: [number[], string | null, Line, Asked][] = [
    // The rest of a seal, the next seal, and both of them after the cursor.
    [[3], "3:2", {}, { after: "3:2" }],
    [[2], "1:3", {}, { after: "1:3" }],
    [[2, 3], "1:3", {}, { after: "1:3" }],
    [[1, 2], null, {}, {}],
    // Claims more pruning than the verifier accepts.
    [[1, 2, 3], null, { pruned: 3 }, { pruned: 2 }],
    [[2, 3], "1:3", { pruned: 3 }, { after: "1:3", pruned: 2 }],
    [[1, 2, 3], null, { pruned: 2 }, { pruned: 2 }],
  ];
  for (const [seals, after, claim, asked] of cases) {
    const bytes = asBytes(await hiding(seals, after, claim));
    const verdict = await verifyBytes(bytes, sample.vkey, asked);
    assert.notEqual(exitCode(verdict), 0, JSON.stringify([seals, after, claim]));
    const codes = [...verdict.findings, ...verdict.unproved].map(({ code }) => code);
    assert.ok(codes.includes("PREFIX_MISSING") || codes.includes("BEGINS_PRUNED"), `${codes}`);
  }
});

Deno.test("a bundle that begins or ends elsewhere than the log is no proof of the log", async () => {
  const later = await exported(sample.log, organization, { after: "3:2" });
  assert.deepEqual(await unprovedIn(later), ["BEGINS_LATER"]);
  assert.deepEqual(await unprovedIn(later, { after: "3:2" }), []);
  assert.deepEqual(await unprovedIn(later, { after: "3:1" }), ["NOT_AS_ASKED"]);
  const early = await exported(sample.log, organization, { limit: 6 });
  assert.deepEqual(await unprovedIn(early), ["ENDS_EARLY"]);
  assert.deepEqual(await unprovedIn(early, { until: "3:2" }), []);
  assert.deepEqual(await unprovedIn(early, { until: "4:8" }), ["NOT_AS_ASKED"]);
  assert.deepEqual(await unprovedIn(copy(), { organization }), []);
  assert.deepEqual(await unprovedIn(copy(), { organization: otherOrganization }), ["NOT_AS_ASKED"]);
  assert.deepEqual(await unprovedIn(copy(), { organization: null }), ["NOT_AS_ASKED"]);
  // The first group's own hash shows that the log begins there, whatever the cursor.
  assert.deepEqual(
    await unprovedIn(await exported(sample.log, organization, { after: "0:0" })),
    [],
  );
});

Deno.test("an organization without entries has none because a signed statement says so", async () => {
  const empty = await exported(sample.log, otherOrganization);
  assert.deepEqual(await unprovedIn(empty), ["NO_ENTRIES"]);
  const verdict = await verifyBytes(asBytes(empty), sample.vkey, { empty: true });
  assert.deepEqual([exitCode(verdict), verdict.notes.length], [0, 1]);
  const renamed = empty.map((line) =>
    line.type === "bundle" ? { ...line, organization_id: organization } : line
  );
  assert.equal(exitCode(await verifyBytes(asBytes(renamed))), 1);
  const unstated = await exported(sample.log, otherOrganization, { signers: [] });
  assert.equal(exitCode(await verifyBytes(asBytes(unstated))), 2);
});

Deno.test("a bundle cut anywhere is refused", async () => {
  const bytes = asBytes(sample.lines);
  await assert.rejects(verifyBytes(bytes.slice(0, bytes.length / 2)), /Cannot verify: /);
  await assert.rejects(verifyBytes(bytes.slice(0, -1)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify(sample.lines.slice(0, 9)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify(sample.lines.slice(0, -1)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify(sample.lines.slice(0, -2)), { code: "BUNDLE_CUT" });
  await assert.rejects(verify([]), { code: "NOT_A_BUNDLE" });
});

Deno.test("exports that follow one another verify as one, also split inside a seal", async () => {
  const pages: Line[][] = [];
  for (let after: string | null = null;;) {
    const page = await exported(sample.log, organization, { after, limit: 6 });
    pages.push(page);
    const { next } = page.at(-2)!;
    if (next === null) break;
    after = next as string;
  }
  assert.deepEqual(pages.map((page) => page.at(-2)!.cursor), ["3:2", "4:3", "4:8"]);
  const verdict = await verifyBytes(asBytes(pages.flat()));
  assert.deepEqual([exitCode(verdict), verdict.entries, verdict.covered], [0, 17, 17]);
  assert.equal(verdict.groups, 4);
  const [first, second, third] = pages as [Line[], Line[], Line[]];
  // A later export from that cursor on can be appended.
  const { log } = await makeSample([3, 1]);
  const before = await exported(log, organization);
  await log.seal(log.entries(2, organization));
  await log.sign();
  const later = await exported(log, organization, { after: before.at(-2)!.cursor as string });
  const whole = await verifyBytes(asBytes([...before, ...later]));
  assert.deepEqual([exitCode(whole), whole.entries], [0, 6]);

  for (const part of [first, second, third]) {
    const bytes = asBytes(part);
    const { after } = part[0] as { after: string | null };
    const { cursor } = part.at(-2) as { cursor: string };
    const asked = after === null ? {} : { after };
    assert.equal(exitCode(await verifyBytes(bytes)), 2);
    assert.equal(exitCode(await verifyBytes(bytes, sample.vkey, { ...asked, until: cursor })), 0);
  }
  for (const gap of [[first, third], [second, first], [first, second, second], [first, first]]) {
    await assert.rejects(verifyBytes(asBytes(gap.flat())), /begins elsewhere/);
  }
});

Deno.test("of a part of a seal no entry can be altered, left out or moved", async () => {
  const part = await exported(sample.log, organization, { after: "4:3", limit: 3 });
  const asked = { after: "4:3", until: "4:6" };
  assert.deepEqual(await unprovedIn(part, asked), []);
  const entry = entryAt(part, 1);
  const rest = part.findIndex(({ type }) => type === "rest");
  const { nodes } = part[rest] as { nodes: string[] };
  const { before } = part[1] as { before: string[] };
  for (
    const altered of [
      part.with(entry, { ...part[entry]!, severity: "debug" }),
      part.toSpliced(entry, 1),
      part.toSpliced(entry, 1, part[entry + 1]!, part[entry]!),
      part.toSpliced(rest, 1),
      part.with(rest, { type: "rest", nodes: [...nodes].reverse() }),
      part.with(rest, { type: "rest", nodes: nodes.slice(1) }),
      part.with(rest, { type: "rest", nodes: [...nodes, ...nodes] }),
      part.with(rest, { type: "rest", nodes: [] }),
      part.with(1, { ...part[1]!, before: [...before].reverse() }),
      part.with(1, { ...part[1]!, before: [] }),
      part.with(1, { ...part[1]!, first: 4 }),
      part.with(1, { ...part[1]!, first: 0, before: [] }),
    ]
  ) {
    const verdict = await verify(withSealedLeaves(altered), sample.vkey, asked).catch(() => null);
    assert.ok(verdict === null || exitCode(verdict) === 1, JSON.stringify(altered[1]));
  }
});

Deno.test("a period is proved by the seals beside it, or by the ends of the log", async () => {
  // The sample makes an entry each millisecond; a seal has the time of its last entry.
  const at = (millisecond: number) => new Date(1795456800000 + millisecond).toISOString();
  const period = { since: at(3), until: at(9) };
  const parts = [
    await exported(sample.log, organization, { after: "1:2", limit: 1 }),
    await exported(sample.log, organization, { after: "1:3", limit: 6 }),
    await exported(sample.log, organization, { after: "3:5", limit: 1 }),
  ] as [Line[], Line[], Line[]];
  const verdict = await verifyBytes(asBytes(parts.flat()), sample.vkey, { period });
  assert.deepEqual([verdict.findings, verdict.unproved, verdict.entries], [[], [], 8]);
  assert.deepEqual(verdict.sealed, { first: at(2), last: at(16) });

  const unproved = (lines: Line[], asked: Asked["period"]) =>
    unprovedIn(lines, { period: asked ?? {} });
  assert.deepEqual(await unproved(parts.flat(), { ...period, since: at(2) }), ["BEGINS_LATER"]);
  assert.deepEqual(await unproved(parts.flat(), { ...period, until: at(17) }), ["ENDS_EARLY"]);
  assert.deepEqual(await unproved(parts.slice(1).flat(), period), ["BEGINS_LATER"]);
  assert.deepEqual(await unproved(parts.slice(0, 2).flat(), period), ["ENDS_EARLY"]);
  assert.deepEqual(await unproved(parts.flat(), {}), ["BEGINS_LATER", "ENDS_EARLY"]);

  for (const whole of [{}, period, { since: at(100) }, { until: at(100) }]) {
    assert.deepEqual(await unproved(sample.lines, whole), []);
  }
  assert.deepEqual(await unproved(sample.lines, { until: "2999-01-01" }), ["ENDS_EARLY"]);
});
