/**
 * Real bundles altered in many ways. No bundle that differs in a byte ends with 0. With a new
 * statement at the end, as if the database had lied to the function, none with other entries ends
 * with 0.
 */
import assert from "node:assert/strict";
import { concat, toBase64 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { uuidBytes } from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { sha256 } from "../../supabase/functions/_bulwark/audit/merkle.ts";
import {
  formatVerifierKey,
  parseVerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { commitmentOf } from "../../supabase/functions/_bulwark/audit/proof.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import { VerificationError } from "../../clients/js/src/audit/error.ts";
import type { Asked } from "../../clients/js/src/audit/bundle.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import {
  asBytes,
  exported,
  type Line,
  organization,
  otherOrganization,
  restated,
  SampleLog,
  sampleSigner,
} from "./sample.ts";
import { exitCode } from "./report.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

/** An untouched bundle, and the request with which it is proved. */
interface Genuine {
  name: string;
  lines: Line[];
  asked: Asked;
}

const signer = await sampleSigner(1);
const keys = [await parseVerifierKey(await formatVerifierKey(signer))];
const genuine = await makeGenuine();
/** Lines of other bundles: another range, organization, log and key. */
const foreign = await makeForeign();

async function makeGenuine(): Promise<Genuine[]> {
  const log = await makeLog();
  const pages: Line[][] = [];
  for (let after: string | null = null;;) {
    pages.push(await exported(log, organization, { after, limit: 5, sealsPerPage: 2 }));
    const { next } = pages.at(-1)!.at(-2)!;
    if (next === null) break;
    after = next as string;
  }
  const pruned = await makeLog();
  pruned.prune(1);
  const early = await exported(await makeLog(), organization, { limit: 5 });
  const later = await makeLog();
  later.prune(2);
  const rest = await exported(later, organization, { after: String(early.at(-2)!.cursor) });
  return [
    { name: "whole", lines: await exported(log, organization), asked: {} },
    { name: "joined", lines: pages.flat(), asked: { organization } },
    {
      name: "part",
      lines: await exported(log, organization, { after: "2:1", limit: 3 }),
      asked: { after: "2:1", until: "2:4" },
    },
    { name: "pruned", lines: await exported(pruned, otherOrganization), asked: { pruned: 1 } },
    { name: "gap", lines: [...early, ...rest], asked: { pruned: 2 } },
    { name: "system", lines: await exported(log, null, { sealsPerPage: 1 }), asked: {} },
    {
      name: "empty",
      lines: await exported(log, crypto.randomUUID()),
      asked: { empty: true },
    },
  ];
}

/** Three organizations in four seals; a payload of the first is removed under a record. */
async function makeLog(change: (entry: AuditEntry) => void = () => {}): Promise<SampleLog> {
  const log = new SampleLog(signer);
  const lists = (...counts: [number, string | null][]) =>
    counts.map(([count, of]) => log.entries(count, of).map((entry) => (change(entry), entry)));
  const [first, ...others] = lists([2, organization], [1, otherOrganization], [1, null]);
  await log.seal(first!, ...others);
  await log.seal(...lists([5, organization], [2, otherOrganization]));
  await log.seal(...lists([2, null]));
  const [last, ...rest] = lists([3, organization], [1, otherOrganization]);
  const [gone, record] = [first![1]!, last![2]!];
  record.event_type = "compliance.data_deleted";
  record.source = "system";
  const digest = toBase64(await sha256(concat(uuidBytes(gone.id, "id"))));
  const details = { kind: "erasure", entries: 1, digest };
  record.payload = JSON.stringify({ action: "erase_subject", details });
  await log.seal(last!, ...rest);
  gone.commitment = toBase64(await commitmentOf(gone));
  gone.removed_by = record.id;
  delete gone.salt;
  delete gone.payload;
  await log.sign();
  return log;
}

async function makeForeign(): Promise<Line[]> {
  const log = await makeLog((entry) => entry.resource_type = "public.others");
  const thief = new SampleLog(await sampleSigner(2, signer.name));
  await thief.seal(thief.entries(3, organization));
  await thief.sign();
  const grown = await makeLog();
  await grown.seal(grown.entries(2, organization));
  await grown.sign();
  return (await Promise.all([
    exported(log, organization),
    exported(thief, organization),
    exported(grown, organization),
    exported(await makeLog(), organization, { limit: 6 }),
    exported(await makeLog(), otherOrganization),
  ])).flat();
}

/** The exit code of `npm run verify-audit`. */
async function codeOf(bytes: Uint8Array, asked: Asked): Promise<number> {
  try {
    const stream = ReadableStream.from([bytes]);
    const { verdict } = await verifyBundle(stream, { keys, reader: inline(), asked });
    return exitCode(verdict);
  } catch (thrown) {
    // Any other error is a defect of the verifier.
    if (thrown instanceof VerificationError) return 2;
    throw thrown;
  }
}

/** Asserts that an altered bundle is found, as it is and with a statement that fits it. */
async function assertFound({ name, lines, asked }: Genuine, altered: Line[], what: string) {
  if (isSame(altered, lines)) return;
  assert.notEqual(await codeOf(asBytes(altered), asked), 0, `${name}: ${what}`);
  const lying = await restated(altered, signer);
  if (await codeOf(asBytes(lying), asked) !== 0) return;
  assert.deepEqual(entriesOf(lying), entriesOf(lines), `${name}, stated anew: ${what}`);
}

/** Whether two bundles have the same bytes. */
function isSame(one: Line[], other: Line[]): boolean {
  return one.length === other.length &&
    one.every((line, at) =>
      line === other[at] || JSON.stringify(line) === JSON.stringify(other[at])
    );
}

/** The entries of a bundle as a reader sees them, in any order of fields. */
function entriesOf(lines: Line[]): unknown[] {
  return lines.filter(({ type }) => type === "entry").map((entry) => Object.entries(entry).sort());
}

/** Pseudo-random numbers, the same in each run (a linear congruential generator). */
function* numbers(seed: number): Generator<number> {
  for (let state = seed;;) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    yield state >> 8;
  }
}

Deno.test("only the untouched bundles are intact", async () => {
  for (const { name, lines, asked } of genuine) {
    assert.equal(await codeOf(asBytes(lines), asked), 0, name);
    assert.equal(await codeOf(asBytes(await restated(lines, signer)), asked), 0, name);
  }
});

Deno.test("no line can be dropped, doubled or swapped with another", async () => {
  const random = numbers(4);
  for (const bundle of genuine) {
    const { lines } = bundle;
    for (const [at, line] of lines.entries()) {
      await assertFound(bundle, lines.toSpliced(at, 1), `line ${at} dropped`);
      await assertFound(bundle, lines.toSpliced(at, 0, line), `line ${at} doubled`);
      for (let other = at + 1; other < lines.length; other++) {
        if (other > at + 2 && random.next().value % 3 !== 0) continue;
        const swapped = lines.with(at, lines[other]!).with(other, line);
        await assertFound(bundle, swapped, `lines ${at} and ${other} swapped`);
        const cut = lines.toSpliced(at, other - at + 1);
        await assertFound(bundle, cut, `lines ${at} to ${other} dropped`);
      }
    }
  }
});

Deno.test("no line can be taken from another bundle", async () => {
  const random = numbers(1);
  for (const bundle of genuine) {
    for (const at of bundle.lines.keys()) {
      const type = bundle.lines[at]!.type;
      const others = [...foreign, ...genuine.flatMap(({ lines }) => lines)];
      for (const [index, line] of others.entries()) {
        // All lines of each type, but only some of the many entries.
        const isLikely = line.type === type && type !== "entry";
        if (!isLikely && random.next().value % 61 !== 0) continue;
        await assertFound(bundle, bundle.lines.with(at, line), `line ${at} is foreign ${index}`);
      }
    }
  }
});

/** Every position in a value, as a path of keys. */
function* placesIn(value: unknown, path: (string | number)[] = []): Generator<(string | number)[]> {
  if (typeof value !== "object" || value === null) return;
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    yield [...path, key];
    yield* placesIn((value as Line)[key], [...path, key]);
  }
}

/** A copy with another value at a path; undefined: without it. */
function changed(line: Line, path: (string | number)[], value: unknown): Line {
  const copy = structuredClone(line);
  let holder = copy;
  for (const key of path.slice(0, -1)) holder = holder[key] as Line;
  const key = path.at(-1)!;
  if (value !== undefined) holder[key] = value;
  else if (Array.isArray(holder)) holder.splice(key as number, 1);
  else delete holder[key];
  return copy;
}

const odd = [
  undefined,
  null,
  0,
  1,
  -1,
  2 ** 53,
  1.5,
  "",
  "0:0",
  "4:3",
  true,
  [],
  {},
  organization,
  otherOrganization,
];

Deno.test("no field can be removed, added or have another value", async () => {
  const random = numbers(2);
  for (const bundle of genuine) {
    const { lines } = bundle;
    const entryCounts = lines.filter(({ type }) => type === "group")
      .map(({ entry_count }) => entry_count);
    for (const [at, line] of lines.entries()) {
      for (const path of placesIn(line)) {
        const name = path.at(-1)!;
        const siblings = [...lines, ...foreign].flatMap((other) =>
          Object.hasOwn(other, name) && path.length === 1 ? [other[name]] : []
        );
        const value = path.reduce<unknown>((within, key) => (within as Line)[key], line);
        // Equal in the lower bits, if a number is hashed with fewer.
        const wrapped = typeof value === "number" ? [value + 2 ** 32, value - 2 ** 32] : [];
        for (const other of wrapped) {
          const altered = lines.with(at, changed(line, path, other));
          await assertFound(bundle, altered, `line ${at}, ${path.join(".")} = ${other}`);
        }
        const values = [...odd, ...new Set([...entryCounts, ...siblings])];
        for (const [index, value] of values.entries()) {
          const rare = index >= odd.length || line.type === "entry" ? 41 : 4;
          if (random.next().value % rare !== 0) continue;
          const altered = lines.with(at, changed(line, path, value));
          await assertFound(bundle, altered, `line ${at}, ${path.join(".")} = ${value}`);
        }
      }
      for (const field of ["first", "leaf", "payload", "surplus", "constructor", "toString"]) {
        if (Object.hasOwn(line, field)) continue;
        const altered = lines.with(at, { ...line, [field]: 1 });
        await assertFound(bundle, altered, `line ${at} with ${field}`);
      }
    }
  }
});

Deno.test("no line can be written in another way, not even one that means the same", async () => {
  const rewritten: ((text: string) => string)[] = [
    (text) => `${text} `,
    (text) => ` ${text}`,
    (text) => `${text}\r`,
    (text) => `\ufeff${text}`,
    (text) => `${text}\n`,
    (text) => `\n${text}`,
    (text) => `${text}\0`,
    (text) => text.replace(":", ": "),
    (text) => text.replace(/"(\w)/, (_, letter) => `"\\u00${letter.charCodeAt(0).toString(16)}`),
    (text) => text.replace(/^\{("[^"]+":)/, '{$1"other",$1'),
    (text) => text.replace(/\}$/, ',"type":"entry"}'),
    (text) => text.replace(/\}$/, ',"__proto__":{"type":"end"}}'),
    (text) => text.replace('{"', '{"__proto__":null,"'),
    (text) => text.replace('"type"', '"Type"'),
    (text) => text.replace(/:(\d+)([,}])/, ":$1.0$2"),
    (text) => text.replace(/:(\d+)([,}])/, ":$1e0$2"),
    (text) => text.replace(/:0([,}])/, ":-0$1"),
    (text) => text.replace(/:(\d+)([,}])/, ':"$1"$2'),
    (text) => text.replace("größer", "gr\\u00f6\\u00dfer"),
    (text) => text.replace("größer", "gro\u0308\u00dfer"),
    (text) => text.replace("größer", "gr\\ud800\\u00dfer"),
    (text) => text.replace("/", "\\/"),
    (text) => `[${text}]`,
    (text) => text.slice(0, -1),
    (text) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text)).reverse())),
  ];
  for (const { name, lines, asked } of genuine) {
    const texts = lines.map((line) => JSON.stringify(line));
    for (const [at, text] of texts.entries()) {
      for (const [index, rewrite] of rewritten.entries()) {
        if (rewrite(text) === text) continue;
        const altered = `${texts.with(at, rewrite(text)).join("\n")}\n`;
        const code = await codeOf(new TextEncoder().encode(altered), asked);
        assert.notEqual(code, 0, `${name}: line ${at} written in way ${index}`);
      }
    }
    const bytes = asBytes(lines);
    for (const cut of [1, 2, bytes.length - 1]) {
      assert.notEqual(await codeOf(bytes.slice(0, -cut), asked), 0, `${name}: ${cut} bytes less`);
    }
    const random = numbers(3);
    for (let time = 0; time < 300; time++) {
      const flipped = bytes.slice();
      flipped[random.next().value % bytes.length]! ^= 1 << (time % 8);
      assert.notEqual(await codeOf(flipped, asked), 0, `${name}: flip ${time}`);
    }
  }
});

Deno.test("the known ways to hide entries are found, alone and together", async () => {
  for (const bundle of genuine) {
    const { lines } = bundle;
    const groups = lines.flatMap(({ type }, at) => type === "group" ? [at] : []);
    for (const at of groups) {
      const group = lines[at]! as Line & { entry_count: number };
      const entries = lines.slice(at + 1).findIndex(({ type }) => type !== "entry");
      // Claims that all entries of a group stand before the bundle.
      for (const before of [group.before, []]) {
        const skipped = { ...group, first: group.entry_count, before };
        await assertFound(bundle, lines.toSpliced(at, 1 + entries, skipped), `group ${at} skipped`);
        const one = lines.toSpliced(at, 2, { ...group, first: 1, before });
        await assertFound(bundle, one, `the first entry of group ${at} skipped`);
      }
      // Claims that the last group continues in another bundle.
      const open = lines.toSpliced(at + 1, entries).map((line) =>
        line.type === "end" ? { ...line, next: line.cursor ?? "9:9" } : line
      );
      await assertFound(bundle, open, `group ${at} left open`);
      // Drops everything before a group, with a made-up beginning.
      for (const after of ["0:0", `${Number(group.seal) - 1}:1`, null]) {
        const pruned = Number(group.seal) - 1;
        const { type: _type, first: _first, before: _before, ...previous } =
          lines[groups.filter((each) => each < at).at(-1) ?? at]!;
        for (const claim of [{ after }, { after, pruned, previous }]) {
          const beheaded = [{ ...lines[0]!, ...claim }, ...lines.slice(at)];
          // Entries that --pruned accepts as gone may be gone.
          const isAccepted = "previous" in claim &&
            Number(previous.seal) <= (bundle.asked.pruned ?? 0);
          if (at > 1 && !isAccepted) {
            assert.notEqual(await codeOf(asBytes(beheaded), bundle.asked), 0, "beheaded");
            const lying = asBytes(await restated(beheaded, signer));
            assert.notEqual(await codeOf(lying, bundle.asked), 0, "beheaded, stated anew");
          }
        }
      }
    }
  }
});
