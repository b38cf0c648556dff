import { BulwarkError } from "../errors.ts";
import { fromBase64, sameBytes } from "./encoding.ts";
import { readSigningKeys } from "./keys.ts";
import type { CheckpointLog, StoredCheckpoint, TreeHead } from "./log.ts";
import {
  type Checkpoint,
  formatCheckpoint,
  NoteError,
  openCheckpoint,
  parseVerifierKey,
  type Signer,
  signNote,
  type VerifierKey,
} from "./note.ts";
import { verifyConsistency } from "./proof.ts";
import type { Sink } from "./sink.ts";

/** The keys of a log: those that sign, and those that did. */
export interface LogKeys {
  signers: readonly Signer[];
  /** All that a checkpoint of the log may be signed with. */
  known: readonly VerifierKey[];
}

/** What a call did. */
export interface CheckpointReport {
  tree_size: number;
  /** Whether there was anything new to sign. */
  signed: boolean;
  delivered: number;
  undelivered: number;
}

/** Deliveries begin no later than this after the first, in milliseconds; the next call goes on. */
const deliveryTime = 15_000;

/**
 * Reads the keys that the environment names.
 * @throws BulwarkError 503 AUDIT_NOT_CONFIGURED where no signing key is set
 */
export async function readLogKeys(
  env: { signingKeys: string | null; retiredKeys: string; origin: string },
): Promise<LogKeys> {
  if (env.signingKeys === null) {
    throw new BulwarkError(
      503,
      "AUDIT_NOT_CONFIGURED",
      "Cannot make a checkpoint: BULWARK_AUDIT_SIGNING_KEYS is not set",
    );
  }
  const signers = await readSigningKeys(env.signingKeys, env.origin);
  const retired = env.retiredKeys.split(",").filter((text) => text.trim() !== "");
  return { signers, known: [...signers, ...await Promise.all(retired.map(parseVerifierKey))] };
}

/**
 * Seals what is new, signs the head of the log, stores the note and delivers what no sink has yet.
 * Signs only a head that the newest checkpoint leads to: a log that was rewritten or cut short gets
 * no signature but a critical entry.
 * @throws BulwarkError 409 AUDIT_LOG_FORKED
 */
export async function makeCheckpoint(
  log: CheckpointLog,
  { signers, known }: LogKeys,
  sink: Sink | null,
): Promise<CheckpointReport> {
  await log.seal();
  const head = await log.head();
  const newest = await log.newest();
  if (newest) await requireContinuation(log, head, newest, known);
  let signed = false;
  const [signer] = signers;
  if (signer && head.size > (newest?.size ?? 0)) {
    const root = fromBase64(head.root, "root_hash", 32);
    const text = formatCheckpoint({ origin: signer.name, size: head.size, root });
    signed = await log.store(head, signer, await signNote(text, signers));
  }
  return { tree_size: head.size, signed, ...await deliver(log, sink) };
}

async function requireContinuation(
  log: CheckpointLog,
  head: TreeHead,
  newest: StoredCheckpoint,
  known: readonly VerifierKey[],
): Promise<void> {
  const why = await whyNoContinuation(log, head, newest, known);
  if (why === null) return;
  await log.reportRefusal({ reason: why, tree_size: head.size, checkpoint_size: newest.size });
  throw new BulwarkError(409, "AUDIT_LOG_FORKED", `Cannot sign the log: ${why}`);
}

async function whyNoContinuation(
  log: CheckpointLog,
  head: TreeHead,
  newest: StoredCheckpoint,
  known: readonly VerifierKey[],
): Promise<string | null> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(newest.note, known);
  } catch (thrown) {
    if (thrown instanceof NoteError) return "the newest checkpoint is by no key of this log";
    throw thrown;
  }
  if (checkpoint.size !== newest.size) return "the newest checkpoint was moved to another size";
  if (head.size < checkpoint.size) return "it is shorter than the newest checkpoint says";
  const proof = await log.consistency(checkpoint.size, head.size);
  const fits = sameBytes(fromBase64(proof.from_root, "from_root", 32), checkpoint.root) &&
    proof.from_size === checkpoint.size && proof.to_size === head.size &&
    proof.to_root === head.root;
  return fits && await verifyConsistency(proof)
    ? null
    : "it does not contain what the newest checkpoint signed";
}

async function deliver(
  log: CheckpointLog,
  sink: Sink | null,
): Promise<{ delivered: number; undelivered: number }> {
  const waiting = await log.undelivered();
  const started = performance.now();
  let delivered = 0;
  for (const { size, note } of sink ? waiting : []) {
    if (!sink || performance.now() - started > deliveryTime) break;
    const error = await sink.deliver(size, note).then(() => null, (thrown) => reasonOf(thrown));
    await log.noteDelivery(size, sink.name, error);
    // In order: what the sink does not take now it is asked to take at the next call.
    if (error !== null) break;
    delivered += 1;
  }
  return { delivered, undelivered: waiting.length - delivered };
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof DOMException && thrown.name === "TimeoutError") return "no answer in time";
  return thrown instanceof TypeError || !(thrown instanceof Error)
    ? "the sink cannot be reached"
    : thrown.message;
}
