import { BulwarkError } from "../foundation/errors.ts";
import { sameBytes, toBase64 } from "../foundation/bytes.ts";
import { fromBase64 } from "./encoding.ts";
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
import { OddSinkError, type Sink } from "./sink.ts";

/** The present and the retired keys of a log. */
export interface LogKeys {
  signers: readonly Signer[];
  /** All keys that may have signed a checkpoint of the log. */
  known: readonly VerifierKey[];
  /** Checkpoints up to this tree size sign a history that was given up; 0: none do. */
  abandoned: number;
}

/** The outcome of a call. */
export interface CheckpointReport {
  tree_size: number;
  /** Whether there were new seals to sign. */
  signed: boolean;
  delivered: number;
  undelivered: number;
}

/** Milliseconds after which no further delivery starts; the next call continues. */
const deliveryTime = 15_000;

/**
 * Reads the keys from the environment.
 * @throws BulwarkError 503 AUDIT_NOT_CONFIGURED if no signing key is set
 */
export async function readLogKeys(
  env: { signingKeys: string | null; retiredKeys: string; origin: string; abandoned: number },
): Promise<LogKeys> {
  if (env.signingKeys === null) {
    throw new BulwarkError(
      503,
      "AUDIT_NOT_CONFIGURED",
      "Cannot make a checkpoint: BULWARK_AUDIT_SIGNING_KEYS is not set",
    );
  }
  const signers = distinct(await readSigningKeys(env.signingKeys, env.origin));
  const retired = env.retiredKeys.split(",").map((text) => text.trim()).filter(Boolean);
  const past = await Promise.all(retired.map(parseVerifierKey));
  return {
    signers,
    known: distinct<VerifierKey>([...signers, ...past]),
    abandoned: env.abandoned,
  };
}

/** Each key once: a present key may be listed as retired too. */
function distinct<Key extends VerifierKey>(keys: Key[]): Key[] {
  const id = ({ name, publicKey }: Key) => `${name}+${toBase64(publicKey)}`;
  return keys.filter((key, place) => keys.findIndex((other) => id(other) === id(key)) === place);
}

/**
 * Seals new entries, signs the head of the log, stores the note and delivers undelivered
 * checkpoints. Signs only a head that extends the newest checkpoint, both stored and in the sink. A
 * log that was rewritten or cut short, or whose checkpoints are gone, gets a critical entry and no
 * signature, unless the operator gave that history up: then the first head beyond it begins another.
 * @throws BulwarkError 409 AUDIT_LOG_FORKED
 */
export async function makeCheckpoint(
  log: CheckpointLog,
  { signers, known, abandoned }: LogKeys,
  sink: Sink | null,
): Promise<CheckpointReport> {
  await log.seal();
  const head = await log.head();
  const stored = await newestSigned(log, known);
  const kept = await newestInSink(log, head, sink, known, stored !== null);
  for (const newest of [stored, kept?.checkpoint]) {
    if (newest && newest.size > abandoned) await requireContinuation(log, head, newest);
  }
  if (!stored && !kept && await log.knowsKeys()) {
    await refuse(log, head, "its checkpoints are gone, and no sink shows the newest", 0);
  }
  if (kept && kept.checkpoint.size > (stored?.size ?? 0)) {
    // The log matches its signature; only the stored checkpoint is gone.
    await log.report("checkpoints_missing", {
      tree_size: kept.checkpoint.size,
      checkpoint_size: stored?.size ?? 0,
    });
  }
  let signed = false;
  const [signer] = signers;
  if (signer && head.size > Math.max(stored?.size ?? 0, abandoned)) {
    const root = fromBase64(head.root, "root_hash", 32);
    const text = formatCheckpoint({ origin: signer.name, size: head.size, root });
    signed = await log.store(head, signers, await signNote(text, signers));
  }
  return { tree_size: head.size, signed, ...await deliver(log, sink, known, kept?.note) };
}

/**
 * The newest stored checkpoint that a known key signed; null if there is none. Newer ones are
 * reported as forged: no known key signed them.
 */
async function newestSigned(
  log: CheckpointLog,
  known: readonly VerifierKey[],
): Promise<Checkpoint | null> {
  const forged: number[] = [];
  const stored = await log.newest();
  for (const { size, note } of stored) {
    const checkpoint = await opened(note, known);
    if (checkpoint?.size === size) {
      if (forged.length > 0) await reportForged(log, forged);
      return checkpoint;
    }
    forged.push(size);
  }
  const head = { size: stored[0]?.size ?? 0, root: "" };
  if (forged.length > 0) await refuse(log, head, "its checkpoints are by no key of this log", 0);
  return null;
}

async function reportForged(log: CheckpointLog, sizes: number[]): Promise<void> {
  await log.report("checkpoint_forged", { tree_size: sizes[0] ?? 0, checkpoints: sizes.length });
}

async function newestInSink(
  log: CheckpointLog,
  head: TreeHead,
  sink: Sink | null,
  known: readonly VerifierKey[],
  hasStored: boolean,
): Promise<{ note: string; checkpoint: Checkpoint } | null> {
  let note: string | null;
  try {
    note = await sink?.newest() ?? null;
  } catch (thrown) {
    if (thrown instanceof OddSinkError) await refuse(log, head, thrown.message, 0);
    // An unreachable sink must not stop checkpoints, which are delivered later. The first
    // checkpoint waits for it: only the sink knows whether it is the first.
    if (hasStored || await log.knowsKeys()) return null;
    throw new BulwarkError(
      503,
      "AUDIT_SINK_UNREACHABLE",
      `Cannot make the first checkpoint: ${reasonOf(thrown)}`,
    );
  }
  if (note === null) return null;
  const checkpoint = await opened(note, known);
  if (!checkpoint) await refuse(log, head, "what the sink shows is by no key of this log", 0);
  return checkpoint && { note, checkpoint };
}

/** The checkpoint of a note, or null if no known key signed it. */
async function opened(note: string, known: readonly VerifierKey[]): Promise<Checkpoint | null> {
  try {
    return await openCheckpoint(note, known);
  } catch (thrown) {
    if (thrown instanceof NoteError) return null;
    throw thrown;
  }
}

async function requireContinuation(
  log: CheckpointLog,
  head: TreeHead,
  newest: Checkpoint,
): Promise<void> {
  if (head.size < newest.size) {
    await refuse(log, head, "it is shorter than the newest checkpoint says", newest.size);
  }
  // Every log extends the empty one.
  if (newest.size === 0) return;
  const proof = await log.consistency(newest.size, head.size);
  const fits = sameBytes(fromBase64(proof.from_root, "from_root", 32), newest.root) &&
    proof.from_size === newest.size && proof.to_size === head.size &&
    proof.to_root === head.root;
  if (fits && await verifyConsistency(proof)) return;
  await refuse(log, head, "it does not contain what the newest checkpoint signed", newest.size);
}

async function refuse(
  log: CheckpointLog,
  head: TreeHead,
  reason: string,
  checkpoint_size: number,
): Promise<never> {
  await log.report("checkpoint_refused", { reason, tree_size: head.size, checkpoint_size });
  throw new BulwarkError(409, "AUDIT_LOG_FORKED", `Cannot sign the log: ${reason}`);
}

async function deliver(
  log: CheckpointLog,
  sink: Sink | null,
  known: readonly VerifierKey[],
  kept: string | undefined,
): Promise<{ delivered: number; undelivered: number }> {
  const waiting = await log.undelivered();
  const started = performance.now();
  let delivered = 0;
  for (const { size, note } of sink ? await signedOf(waiting, known) : []) {
    if (!sink || performance.now() - started > deliveryTime) break;
    const error = await sink.deliver(size, note).then(() => null, (thrown) => reasonOf(thrown));
    await log.noteDelivery(size, sink.name, error);
    // In order; after a failure the rest is sent at the next call.
    if (error !== null) break;
    delivered += 1;
  }
  // The newest is always sent, whatever the database says: a forged delivery record would otherwise
  // keep checkpoints at home. The newest covers all before it.
  const [newest] = await signedOf(await log.newest(), known);
  if (newest && newest.note !== kept && !waiting.some(({ size }) => size === newest.size)) {
    await sink?.deliver(newest.size, newest.note).catch(() => {});
  }
  return { delivered, undelivered: waiting.length - delivered };
}

/** Only checkpoints that a known key signed: a sink gets nothing else. */
async function signedOf(
  checkpoints: StoredCheckpoint[],
  known: readonly VerifierKey[],
): Promise<StoredCheckpoint[]> {
  const signed: StoredCheckpoint[] = [];
  for (const checkpoint of checkpoints) {
    if ((await opened(checkpoint.note, known))?.size === checkpoint.size) signed.push(checkpoint);
  }
  return signed;
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof DOMException && thrown.name === "TimeoutError") return "no answer in time";
  return thrown instanceof TypeError || !(thrown instanceof Error)
    ? "the sink cannot be reached"
    : thrown.message;
}
