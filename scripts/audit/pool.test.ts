import assert from "node:assert/strict";
import {
  formatVerifierKey,
  parseVerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { type BlockReader, inline } from "../../clients/js/src/audit/reader.ts";
import { VerificationError } from "../../clients/js/src/audit/error.ts";
import { concat } from "../../supabase/functions/_bulwark/foundation/bytes.ts";
import { workerPool } from "./pool.ts";
import { asBytes, makeSample } from "./sample.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

// About three megabytes: three blocks, of groups that begin and end within them.
const sample = await makeSample([2500, 1, 700], { proofs: true });
const keys = [await parseVerifierKey(await formatVerifierKey(sample.signer))];
const bytes = asBytes(sample.lines);
const blockSize = 1024 * 1024;

/** The verdict if the bytes arrive in pieces that end at these offsets. */
async function verdictOf(reader: BlockReader, ends: number[]) {
  const pieces = [0, ...ends].map((from, index) => bytes.slice(from, ends[index]));
  const stream = ReadableStream.from(pieces);
  return (await verifyBundle(stream, { keys, reader })).verdict;
}

function everySo(size: number): number[] {
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, index) => size * (index + 1));
}

Deno.test("a bundle has the same verdict wherever its blocks end, and on every reader", async () => {
  const expected = await verdictOf(inline(), []);
  assert.deepEqual([expected.entries, expected.covered, expected.findings], [3201, 3201, []]);
  const lineEnd = bytes.lastIndexOf(10, blockSize - 1) + 1;
  const endings = [
    everySo(blockSize - 1),
    everySo(blockSize),
    everySo(blockSize + 1),
    everySo(65_521),
    // A line that ends with a piece, and pieces of one byte and of none.
    [lineEnd, lineEnd, lineEnd + 1],
    [lineEnd - 1, lineEnd],
    [bytes.length - 1],
  ];
  const pool = workerPool(2);
  for (const ends of endings) {
    assert.deepEqual(await verdictOf(inline(), ends), expected);
    assert.deepEqual(await verdictOf(pool, ends), expected);
  }
  pool.stop();
});

/** The verdict, or the code and message of the refusal. */
async function outcomeOf(reader: BlockReader, altered: Uint8Array): Promise<unknown> {
  try {
    return (await verifyBundle(new Blob([altered as BlobPart]), { keys, reader })).verdict;
  } catch (thrown) {
    if (!(thrown instanceof VerificationError)) throw thrown;
    return [thrown.code, thrown.message];
  }
}

Deno.test("what is altered or cut where the parts of two threads meet is found, by however many", async () => {
  const pools = [workerPool(1), workerPool(2), workerPool(3)];
  const seen = new Set<string>();
  for (const block of [1, 2]) {
    // The last line of a block that starts at a multiple of the size, and those beside it.
    const end = bytes.lastIndexOf(10, block * blockSize - 1) + 1;
    const begin = bytes.lastIndexOf(10, end - 2) + 1;
    const after = bytes.indexOf(10, end) + 1;
    const without = (from: number, to: number) =>
      concat(bytes.subarray(0, from), bytes.subarray(to));
    const doubled = concat(bytes.subarray(0, end), bytes.subarray(begin));
    const swapped = concat(
      bytes.subarray(0, begin),
      bytes.subarray(end, after),
      bytes.subarray(begin, end),
      bytes.subarray(after),
    );
    const digit = bytes.indexOf(0x35, end + 120);
    const flipped = bytes.slice();
    flipped[digit] = 0x36;
    const cases = {
      "the line before left out": without(begin, end),
      "the line after left out": without(end, after),
      "both": without(begin, after),
      "doubled": doubled,
      "swapped": swapped,
      "a digit": flipped,
      "the newline": without(end - 1, end),
      "cut at the end of a line": bytes.slice(0, end),
      "cut before its newline": bytes.slice(0, end - 1),
      "cut in a line": bytes.slice(0, end + 40),
      "cut at the block": bytes.slice(0, block * blockSize),
    };
    for (const [name, altered] of Object.entries(cases)) {
      const expected = await outcomeOf(inline(), altered);
      const { findings = [] } = expected as { findings?: unknown[] };
      assert.ok(Array.isArray(expected) || findings.length > 0, name);
      seen.add(JSON.stringify(expected));
      for (const pool of pools) assert.deepEqual(await outcomeOf(pool, altered), expected, name);
    }
  }
  assert.ok(seen.size > 10, "the cases are found for reasons of their own");
  for (const pool of pools) pool.stop();
});

Deno.test("a thread that dies later, or answers nonsense, does not end in a verdict", async () => {
  const real = new URL("./worker.ts", import.meta.url).href;
  const code = (fault: string) =>
    new URL(
      "data:text/javascript," + encodeURIComponent(`
      import ${JSON.stringify(real)};
      const read = self.onmessage;
      let count = 0;
      self.onmessage = (event) => { if (++count < 2) read(event); else { ${fault} } };
    `),
    );
  for (
    const fault of ["throw new Error('gone')", "self.postMessage(null)", "self.postMessage({})"]
  ) {
    const pool = workerPool(2, code(fault));
    await assert.rejects(verdictOf(pool, everySo(300_000)), { code: "WORKER_FAILED" });
    pool.stop();
  }
});

Deno.test("a thread that dies ends the verification with 2, also for what is handed to it later", async () => {
  const dying = new URL("data:text/javascript,self.onmessage = () => { throw new Error('gone') }");
  const missing = new URL("file:///nowhere/worker.ts");
  for (const script of [dying, missing]) {
    const pool = workerPool(2, script);
    const failed = { name: "Failure", code: "WORKER_FAILED", status: 2 };
    await assert.rejects(verdictOf(pool, everySo(65_521)), failed);
    await assert.rejects(pool.read(new Uint8Array(1)), failed);
    pool.stop();
  }
});
