import type {
  Checkpoint,
  VerifierKey,
} from "../../../../supabase/functions/_bulwark/audit/note.ts";
import type { Block } from "./block.ts";
import { type Asked, BundleVerifier } from "./bundle.ts";
import { wholeLines } from "./lines.ts";
import { type BlockReader, inline } from "./reader.ts";
import { type StreamHash, streamHash } from "./sha256.ts";
import { chunksOf, type ExportSource } from "./source.ts";
import type { Verdict } from "./verdict.ts";

/** Options of a verification. */
export interface VerifyOptions {
  keys: readonly VerifierKey[];
  /** By default this thread. */
  reader?: BlockReader | undefined;
  /** SHA-256 of a stream; by default one of our own. */
  newHash?: (() => StreamHash) | undefined;
  /** The part of the log that has to be present; by default all of it. */
  asked?: Asked | undefined;
  /** Called after every block with the bytes and entries so far. */
  onProgress?: ((bytes: number, entries: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Verifies a bundle as a stream. Blocks are hashed in parallel and processed in order.
 * @throws VerificationError NOT_A_BUNDLE, MALFORMED_BUNDLE, BUNDLE_CUT, WRONG_KEY, BAD_KEY,
 *   LINE_TOO_LONG; the reason of the signal
 */
export async function verifyBundle(
  source: ExportSource,
  { keys, reader = inline(), newHash = streamHash, asked = {}, onProgress, signal }: VerifyOptions,
): Promise<{ verdict: Verdict; checkpoint: Checkpoint | null }> {
  const verifier = new BundleVerifier(keys, asked, newHash);
  const underWay: { size: number; block: Promise<Block> }[] = [];
  let bytes = 0;
  const takeOne = async () => {
    const { size, block } = underWay.shift()!;
    await verifier.add(await block);
    bytes += size;
    onProgress?.(bytes, verifier.entries);
  };
  for await (const lines of wholeLines(chunksOf(source, signal))) {
    underWay.push({ size: lines.length, block: reader.read(lines) });
    if (underWay.length >= reader.parallel) await takeOne();
  }
  while (underWay.length > 0) await takeOne();
  return { verdict: verifier.finish(), checkpoint: verifier.checkpoint };
}
