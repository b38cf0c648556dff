import type { Checkpoint, VerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import type { Block } from "./block.ts";
import { type Asked, BundleVerifier } from "./bundle.ts";
import { wholeLines } from "./lines.ts";
import type { BlockReader } from "./pool.ts";
import type { Verdict } from "./verdict.ts";

/** How to verify a bundle. */
export interface VerifyOptions {
  keys: readonly VerifierKey[];
  reader: BlockReader;
  /** What of the log has to be there; by default all of it. */
  asked?: Asked;
  /** Called after every block with the bytes and entries so far. */
  onProgress?: (bytes: number, entries: number) => void;
}

/**
 * Verifies a bundle as it streams by. Blocks are hashed side by side and taken in order.
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
