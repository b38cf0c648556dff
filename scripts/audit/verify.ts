import type { Checkpoint, VerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import type { Block } from "./block.ts";
import { type Asked, BundleVerifier } from "./bundle.ts";
import { wholeLines } from "./lines.ts";
import type { BlockReader } from "./pool.ts";
import type { Verdict } from "./verdict.ts";

/** Options of a verification. */
export interface VerifyOptions {
  keys: readonly VerifierKey[];
  reader: BlockReader;
  /** The part of the log that has to be present; by default all of it. */
  asked?: Asked;
  /** Called after every block with the bytes and entries so far. */
  onProgress?: (bytes: number, entries: number) => void;
}

/**
 * Verifies a bundle as a stream. Blocks are hashed in parallel and processed in order.
 * @throws Failure NOT_A_BUNDLE, MALFORMED_BUNDLE, BUNDLE_CUT, WRONG_KEY, BAD_KEY, LINE_TOO_LONG
 */
export async function verifyBundle(
  stream: AsyncIterable<Uint8Array>,
  { keys, reader, asked = {}, onProgress }: VerifyOptions,
): Promise<{ verdict: Verdict; checkpoint: Checkpoint | null }> {
  const verifier = new BundleVerifier(keys, asked);
  const underWay: { size: number; block: Promise<Block> }[] = [];
  let bytes = 0;
  const takeOne = async () => {
    const { size, block } = underWay.shift()!;
    await verifier.add(await block);
    bytes += size;
    onProgress?.(bytes, verifier.entries);
  };
  for await (const lines of wholeLines(stream)) {
    underWay.push({ size: lines.length, block: reader.read(lines) });
    if (underWay.length >= reader.parallel) await takeOne();
  }
  while (underWay.length > 0) await takeOne();
  return { verdict: verifier.finish(), checkpoint: verifier.checkpoint };
}
