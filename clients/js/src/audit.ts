/** Verifies exports of the audit log with nothing but public keys: in browsers, Node and Deno. */
import {
  type Checkpoint,
  openCheckpoint,
  parseVerifierKey,
} from "../../../supabase/functions/_bulwark/audit/note.ts";
import { toBase64 } from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { compareWithKept } from "./audit/anchor.ts";
import type { Asked } from "./audit/bundle.ts";
import { VerificationError } from "./audit/error.ts";
import type { BlockReader } from "./audit/reader.ts";
import { readConsistency } from "./audit/records.ts";
import type { StreamHash } from "./audit/sha256.ts";
import type { ExportSource } from "./audit/source.ts";
import { type Outcome, outcomeOf, type Verdict } from "./audit/verdict.ts";
import { verifyBundle } from "./audit/verify.ts";
import type { Period } from "./period.ts";

export { type VerificationCode, VerificationError } from "./audit/error.ts";
export type { SealTimes } from "./audit/period.ts";
export type { ExportSource } from "./audit/source.ts";
export type { Period } from "./period.ts";
export type {
  Finding,
  FindingCode,
  Outcome,
  Place,
  Unproved,
  UnprovedCode,
  Verdict,
} from "./audit/verdict.ts";

/** How far a verification is. */
export interface VerificationProgress {
  bytes: number;
  entries: number;
}

/** The keys that are trusted, and the part of the log that the export has to be. */
export interface VerifyExportOptions {
  /**
   * Public keys, `name+hash+base64`, from a place that the database's owner cannot change: keys of the
   * export itself, or of the project, prove nothing against them.
   */
  keys: readonly string[];
  /** The organization whose log it has to be; null: the entries without one. By default any. */
  organization?: string | null | undefined;
  /** Cursors: only the entries after one, only those up to another. By default the whole log. */
  after?: string | undefined;
  until?: string | undefined;
  /** All that was sealed in a period, which `audit.export` gives. In place of cursors. */
  period?: Period | undefined;
  /** Accepts that the log was pruned up to this seal. */
  pruned?: number | undefined;
  /** Accepts that there is no entry. */
  empty?: boolean | undefined;
  /** A signed checkpoint that was kept elsewhere, to find a log that was rewritten or cut since. */
  checkpoint?: string | undefined;
  /** The proof from that checkpoint to the newer one of the export, as `audit.consistency` gives it. */
  consistency?: unknown;
  /** Called after each megabyte or so. */
  onProgress?: ((progress: VerificationProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Faster parts of a runtime, for programs that verify much. */
export interface VerifierParts {
  /** Reads blocks on other threads. */
  reader?: BlockReader | undefined;
  /** A native SHA-256 of a stream. */
  newHash?: (() => StreamHash) | undefined;
}

/** The result of a verification. */
export interface ExportVerdict extends Verdict {
  outcome: Outcome;
  /** The newest signed checkpoint that covers the export: the log's name, its size and its root. */
  checkpoint: { origin: string; size: number; root: string } | null;
}

/**
 * Verifies an NDJSON export of the audit log, of one request or of several in one file. Memory does
 * not grow with the entries, apart from 48 bytes for each seal and the ids of removed payloads. It
 * computes for a few milliseconds at a time: in a page, run it in a worker.
 * @throws VerificationError if nothing can be said about the log: the file is no export, is cut or
 *   malformed, or other keys signed it; the reason of the signal; what the source throws
 */
export async function verifyExport(
  source: ExportSource,
  options: VerifyExportOptions,
  parts: VerifierParts = {},
): Promise<ExportVerdict> {
  const { onProgress, signal } = options;
  if (options.keys.length === 0) {
    throw new VerificationError("BAD_KEY", "Cannot verify: a public key is needed");
  }
  if (given(options.consistency) && !given(options.checkpoint)) {
    const message = "Cannot verify: a consistency proof says nothing without the checkpoint";
    throw new VerificationError("BAD_OPTIONS", message);
  }
  await demandEd25519();
  const read = "Cannot read the key";
  const keys = await Promise.all(
    options.keys.map((text) => trying("BAD_KEY", read, () => parseVerifierKey(text.trim()))),
  );
  const kept = await trying(
    "BAD_CHECKPOINT",
    "Cannot use the checkpoint",
    () => given(options.checkpoint) ? openCheckpoint(options.checkpoint, keys) : null,
  );
  const proof = await trying(
    "BAD_PROOF",
    "Cannot use the consistency proof",
    () => given(options.consistency) ? readConsistency(options.consistency) : null,
  );
  const { verdict, checkpoint } = await verifyBundle(source, {
    ...parts,
    keys,
    asked: askedOf(options),
    onProgress: onProgress && ((bytes, entries) => onProgress({ bytes, entries })),
    signal,
  });
  const compared = kept && await compareWithKept(checkpoint, kept, proof);
  if (compared?.code === "NOT_COMPARED") verdict.unproved.push(compared);
  else if (compared) verdict.findings.push(compared);
  return { outcome: outcomeOf(verdict), ...verdict, checkpoint: checkpoint && shown(checkpoint) };
}

/** Any point of the curve: its generator (RFC 8032, section 5.1). */
const point = new Uint8Array(32).fill(0x66).fill(0x58, 0, 1);

async function demandEd25519(): Promise<void> {
  try {
    await crypto.subtle.importKey("raw", point, "Ed25519", true, ["verify"]);
  } catch (cause) {
    const message =
      "Cannot verify: WebCrypto has no Ed25519 here; it needs Chrome 137, Firefox 130, " +
      "Safari 17, Node 20 or newer, and in a page https";
    throw new VerificationError("NOT_SUPPORTED", message, { cause });
  }
}

function askedOf(
  { organization, after, until, period, pruned, empty }: VerifyExportOptions,
): Asked {
  return {
    ...(organization === undefined ? {} : { organization: organization?.toLowerCase() ?? null }),
    ...(after === undefined ? {} : { after }),
    ...(until === undefined ? {} : { until }),
    ...(period === undefined ? {} : { period }),
    ...(pruned === undefined ? {} : { pruned }),
    ...(empty === undefined ? {} : { empty }),
  };
}

function given<Value>(value: Value): value is NonNullable<Value> {
  return value !== undefined && value !== null;
}

async function trying<Result>(
  code: VerificationError["code"],
  what: string,
  read: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await read();
  } catch (thrown) {
    throw new VerificationError(code, `${what}: ${(thrown as Error).message}`);
  }
}

function shown({ origin, size, root }: Checkpoint) {
  return { origin, size, root: toBase64(root) };
}
