import assert from "node:assert/strict";
import {
  formatVerifierKey,
  parseVerifierKey,
} from "../../supabase/functions/_bulwark/audit/note.ts";
import { type BlockReader, inline } from "../../clients/js/src/audit/reader.ts";
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
