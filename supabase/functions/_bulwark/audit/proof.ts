/** Verification of the proofs of the function `bulwark-audit`, with only the public keys. */
import { entryBytes, groupBytes, sealBytes, timeText, uuidBytes } from "./bytes.ts";
import { concat, sameBytes, utf8 } from "../foundation/bytes.ts";
import { fromBase64, MalformedError } from "./encoding.ts";
import { isConsistent, leafHash, rootOfInclusion, sha256 } from "./merkle.ts";
import { openCheckpoint, type VerifierKey } from "./note.ts";
import type {
  AuditEntry,
  AuditGroup,
  ConsistencyProof,
  EntryProof,
  GroupProof,
} from "./records.ts";

/** The step at which a proof fails. */
export type ProofProblem = "entry" | "group" | "seal" | "tree" | "unsigned";

/** An invalid proof; `problem` names the first step that fails. */
export class ProofError extends Error {
  override readonly name = "ProofError";

  constructor(readonly problem: ProofProblem, message: string) {
    super(message);
  }
}

/** The commitment to a payload: SHA-256 of salt and text, or the stored one if it was removed. */
export function commitmentOf(entry: AuditEntry): Promise<Uint8Array> {
  if (entry.payload === undefined || entry.salt === undefined) {
    return Promise.resolve(fromBase64(entry.commitment, "commitment", 32));
  }
  const payload = utf8(entry.payload);
  return sha256(concat(uuidBytes(entry.salt, "salt"), payload));
}

/** The leaf of an entry, computed from its fields. */
export async function entryLeaf(entry: AuditEntry): Promise<Uint8Array> {
  if (entry.occurred_at !== timeText(entry.occurred_at_us)) {
    throw new MalformedError("occurred_at is not occurred_at_us");
  }
  return leafHash(entryBytes(entry, await commitmentOf(entry)));
}

/** The hash of a group, computed from its fields. */
export function groupHash(group: AuditGroup): Promise<Uint8Array> {
  return leafHash(groupBytes(group));
}

/**
 * Verifies that a group belongs to the log that a known key signed, and returns the tree's size.
 * @throws ProofError, NoteError, MalformedError
 */
export async function verifyGroupProof(
  proof: GroupProof,
  keys: readonly VerifierKey[],
): Promise<number> {
  const { group, seal } = proof;
  const sealRoot = await rootOfInclusion(
    await groupHash(group),
    proof.group_index,
    proof.group_count,
    hashes(proof.group_path, "group_path"),
  );
  if (group.seal !== seal.number || !isHash(sealRoot, seal.root, "root")) {
    throw new ProofError("group", `the group does not belong to seal ${group.seal}`);
  }
  const sealHash = await sha256(sealBytes(seal));
  if (!isHash(sealHash, seal.hash, "hash") || seal.sealed_at !== timeText(seal.sealed_at_us)) {
    throw new ProofError("seal", `seal ${seal.number} is not what its hash says`);
  }
  const treeRoot = await rootOfInclusion(
    await leafHash(sealHash),
    proof.tree_index,
    proof.tree_size,
    hashes(proof.tree_path, "tree_path"),
  );
  if (proof.tree_index !== seal.number - 1 || !isHash(treeRoot, proof.tree_root, "tree_root")) {
    throw new ProofError("tree", `seal ${seal.number} does not belong to the tree`);
  }
  if (proof.checkpoint === null) {
    throw new ProofError("unsigned", `no checkpoint covers seal ${seal.number} yet`);
  }
  const checkpoint = await openCheckpoint(proof.checkpoint, keys);
  if (checkpoint.size !== proof.tree_size || !isHash(checkpoint.root, proof.tree_root, "root")) {
    throw new ProofError("tree", "the checkpoint is of another tree");
  }
  return proof.tree_size;
}

/** Verifies that an entry, with the fields in the proof, is in the log. Errors as of a group's proof. */
export async function verifyEntryProof(
  proof: EntryProof,
  keys: readonly VerifierKey[],
): Promise<number> {
  const { entry, group } = proof;
  const root = await rootOfInclusion(
    await entryLeaf(entry),
    proof.entry_index,
    group.entry_count,
    hashes(proof.entry_path, "entry_path"),
  );
  if (entry.organization_id !== group.organization_id || !isHash(root, group.root, "root")) {
    throw new ProofError("entry", `entry ${entry.id} is not what was sealed`);
  }
  return verifyGroupProof(proof, keys);
}

/** Whether a consistency proof is valid. The caller compares its sizes and roots with known ones. */
export function verifyConsistency(proof: ConsistencyProof): Promise<boolean> {
  return isConsistent(
    proof.from_size,
    proof.to_size,
    fromBase64(proof.from_root, "from_root", 32),
    fromBase64(proof.to_root, "to_root", 32),
    hashes(proof.path, "path"),
  );
}

function hashes(path: unknown, field: string): Uint8Array[] {
  if (!Array.isArray(path)) throw new MalformedError(`${field} is not a list`);
  return path.map((hash) => fromBase64(hash, field, 32));
}

function isHash(computed: Uint8Array | null, stated: string, field: string): boolean {
  return computed !== null && sameBytes(computed, fromBase64(stated, field, 32));
}
