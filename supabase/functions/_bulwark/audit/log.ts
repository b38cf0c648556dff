import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { ConsistencyProof } from "./records.ts";
import { writerSecret } from "./keys.ts";
import type { Signer } from "./note.ts";
import { toBase64 } from "../foundation/bytes.ts";

/** The head of the tree over all seals: its size, and its root in base64. */
export interface TreeHead {
  size: number;
  root: string;
}

/** A checkpoint as it is stored. */
export interface StoredCheckpoint {
  size: number;
  note: string;
}

/** The action of a critical entry about checkpoints. */
export type Alarm = "checkpoint_refused" | "checkpoint_forged" | "checkpoints_missing";

/** The database operations that checkpoints need. */
export interface CheckpointLog {
  seal(): Promise<void>;
  head(): Promise<TreeHead>;
  /** The newest stored checkpoints, newest first; some may be unsigned forgeries. */
  newest(): Promise<StoredCheckpoint[]>;
  /** Whether a key is known, so that a checkpoint must exist. */
  knowsKeys(): Promise<boolean>;
  consistency(fromSize: number, toSize: number): Promise<ConsistencyProof>;
  /** Stores a note with the lines of these signers; false if that size has one already. */
  store(head: TreeHead, signers: readonly Signer[], note: string): Promise<boolean>;
  undelivered(): Promise<StoredCheckpoint[]>;
  noteDelivery(size: number, sink: string, error: string | null): Promise<void>;
  /** Writes a critical entry: a checkpoint was refused, forged or is missing. */
  report(action: Alarm, details: Record<string, string | number>): Promise<void>;
}

/** Shows the database that the caller holds these keys. */
export async function writerProofs(signers: readonly Signer[]) {
  return await Promise.all(signers.map(async (signer) => ({
    name: signer.name,
    public_key: toBase64(signer.publicKey),
    writer: await writerSecret(signer),
  })));
}

/** The log, accessed as the service role through the Data API. */
export function checkpointLog(client: CallerClient): CheckpointLog {
  return {
    async seal() {
      unwrap(await client.rpc("seal_audit_log"));
    },
    async head() {
      const [row] = unwrap(await client.rpc("audit_tree_head"));
      return { size: row?.tree_size ?? 0, root: row?.root_hash ?? "" };
    },
    async newest() {
      const rows = unwrap(
        await client.from("audit_checkpoints").select("tree_size, note")
          .order("tree_size", { ascending: false }).limit(20),
      );
      return rows.map(({ tree_size, note }) => ({ size: tree_size, note }));
    },
    async knowsKeys() {
      return unwrap(await client.from("audit_keys").select("key_id").limit(1)).length > 0;
    },
    async consistency(from_size, to_size) {
      const proof = unwrap(await client.rpc("audit_consistency_proof", { from_size, to_size }));
      return proof as unknown as ConsistencyProof;
    },
    async store({ size, root }, signers, note) {
      const proofs = await writerProofs(signers);
      const stored = { tree_size: size, root_hash: root, note, signers: proofs };
      return unwrap(await client.rpc("store_audit_checkpoint", stored));
    },
    async undelivered() {
      const rows = unwrap(await client.rpc("undelivered_audit_checkpoints"));
      return rows.map(({ tree_size, note }) => ({ size: tree_size, note }));
    },
    async noteDelivery(tree_size, sink, error) {
      const delivery = { tree_size, sink, ...(error === null ? {} : { error }) };
      unwrap(await client.rpc("record_audit_delivery", delivery));
    },
    async report(action, details) {
      unwrap(await client.rpc("report_checkpoint_problem", { action, details }));
    },
  };
}
