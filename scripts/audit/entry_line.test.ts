/** The fast reading of an entry's line: it takes nothing that the other does not, and reads it alike. */
import assert from "node:assert/strict";
import { type Block, emptyBlock, readLine } from "../../clients/js/src/audit/block.ts";
import { readEntryLine } from "../../clients/js/src/audit/entry_line.ts";
import { concat, utf8 } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { type Line, makeSample } from "./sample.ts";

const texts = [
  '"\\\b\f\n\r\t\u0000\u001f\u007f',
  "größer 日本語 😀 \u2028 \ufeff",
  "\u07ff\u0800\uffff\u{10000}\u{10ffff}",
  "",
];
const { lines } = await makeSample([20], {
  change(entry, index) {
    const text = texts[index % texts.length]!;
    if (index > 2) entry.payload = JSON.stringify({ after: { text, index } });
    if (index === 5) entry.resource_type = null;
    if (index === 6) entry.organization_id = null;
    if (index === 7) entry.resource_type = "";
    if (index === 8) {
      Object.assign(entry, { occurred_at_us: -1, occurred_at: "1999-12-31T23:59:59.999999Z" });
    }
    if (index === 9) entry.xid = "0";
    if (index === 10) entry.timeline = -3;
  },
});
/** In the order of an export by the database: shorter names first. */
const sorted = ({ type, ...fields }: Line) => ({
  type,
  ...Object.fromEntries(
    Object.entries(fields).sort(([one], [other]) =>
      one.length - other.length || (one < other ? -1 : 1)
    ),
  ),
});
const entries = lines.filter(({ type }) => type === "entry");
const samples = [...entries, ...entries.map(sorted)].map((line) => utf8(JSON.stringify(line)));

/** The parts of a block that reading a line fills. */
function contents({ bytes: _bytes, lines: _lines, leaves, times, ...block }: Block) {
  const { occurredAt, timelines, transactions, ids } = times;
  const count = block.entries;
  const numbers = [occurredAt, timelines, transactions].map((
    column,
  ) => [...column.subarray(0, count)]);
  return {
    ...block,
    numbers,
    ids: [...ids.subarray(0, 16 * count)],
    leaves: [...leaves.subarray(0, 32 * count)],
  };
}

const [fast, slow] = [emptyBlock(new Uint8Array()), emptyBlock(new Uint8Array())];

/** Reads a line in both ways; whether the fast one took it. */
function compare(line: Uint8Array): boolean {
  // Within a block: what stands before and after it does not matter.
  const bytes = concat(utf8("}\n"), line, utf8('\n{"type":"entry"'));
  for (const block of [fast, slow]) {
    Object.assign(block, { entries: 0 });
    for (const list of [block.suspects, block.misdated, block.organizations, block.records]) {
      list.length = 0;
    }
  }
  const isTaken = readEntryLine(fast, bytes, 2, 2 + line.length);
  if (isTaken) {
    readLine(slow, line, 2);
    assert.equal(slow.entries, 1);
    assert.deepEqual(contents(fast), contents(slow));
  } else {
    assert.deepEqual([fast.entries, fast.suspects.length, fast.organizations.length], [0, 0, 0]);
  }
  return isTaken;
}

Deno.test("the usual lines are read fast, in any order of their fields, as they are read otherwise", () => {
  for (const line of samples) assert.ok(compare(line), new TextDecoder().decode(line));
});

const parts = [
  ...["0", "-0", "-1", "01", "1e3", "1.5", "null", '""', "true", "{}", "9007199254740993"],
  ...[
    '"',
    "\\",
    "\\\\",
    '\\"',
    "\\/",
    "\\u0041",
    "\\u001f",
    "\\u001F",
    "\\u000a",
    "\\u0008",
    "\\b",
  ],
  ...["\\ud800", "\\u00", "\\x", "\n", "\t", " ", ",", ":", "}", "é", "A", "a"],
  ...[
    '"id":',
    '"xid":"7",',
    '"payload":"{}",',
    '"salt":',
    '"type":"entry",',
    "compliance.data_deleted",
  ],
].map(utf8).concat(
  [[0x80], [0xc0, 0x80], [0xc3], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf]].map((
    bytes,
  ) => Uint8Array.from(bytes)),
  [[0xf0, 0x80, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0]].map((
    bytes,
  ) => Uint8Array.from(bytes)),
);

Deno.test("each part put into each place of a line, and over it, is read alike", () => {
  let taken = 0;
  for (const line of [samples[0]!, samples[26]!]) {
    for (let at = 0; at <= line.length; at++) {
      for (const part of parts) {
        if (compare(concat(line.subarray(0, at), part, line.subarray(at)))) taken += 1;
        if (compare(concat(line.subarray(0, at), part, line.subarray(at + part.length)))) {
          taken += 1;
        }
      }
    }
  }
  assert.ok(taken > 10_000, String(taken));
});

Deno.test("so are values of each field, parts that are cut out, and many small changes at once", () => {
  const values = [
    "",
    "x",
    "0",
    null,
    0,
    -1,
    1.5,
    2 ** 31,
    2 ** 53,
    true,
    [],
    {},
    "ü",
    '"',
    "9".repeat(16),
    "9".repeat(20),
  ];
  for (const entry of [entries[1]!, sorted(entries[6]!)] as Line[]) {
    for (const field of Object.keys(entry)) {
      for (const value of values) compare(utf8(JSON.stringify({ ...entry, [field]: value })));
      const { [field]: _left, ...others } = entry;
      compare(utf8(JSON.stringify(others)));
      compare(utf8(JSON.stringify({ ...entry, [field + "x"]: 1 })));
    }
  }
  let seed = 1;
  const random = (below: number) => (seed = seed * 48271 % 2147483647) % below;
  for (let round = 0; round < 20_000; round++) {
    let line = samples[random(samples.length)]!;
    for (let change = random(3); change >= 0; change--) {
      const [at, length] = [random(line.length + 1), random(4) === 0 ? random(60) : random(2)];
      line = concat(line.subarray(0, at), parts[random(parts.length)]!, line.subarray(at + length));
    }
    compare(line);
  }
});
