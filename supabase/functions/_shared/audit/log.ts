import type { CallerClient } from "../caller.ts";
import { type DataApiFailure, fromDataApi } from "../errors.ts";
import type { ConsistencyProof } from "./records.ts";
import { keyId, type VerifierKey } from "./note.ts";
import { toBase64 } from "./encoding.ts";

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

/** What making checkpoints asks of the database. */
export interface CheckpointLog {
  seal(): Promise<void>;
  head(): Promise<TreeHead>;
  newest(): Promise<StoredCheckpoint | null>;
  consistency(fromSize: number, toSize: number): Promise<ConsistencyProof>;
  /** Stores a checkpoint under a key; false where that size has one already. */
  store(head: TreeHead, key: VerifierKey, note: string): Promise<boolean>;
  undelivered(): Promise<StoredCheckpoint[]>;
  noteDelivery(size: number, sink: string, error: string | null): Promise<void>;
  /** Leaves a critical entry in the log: no checkpoint was signed, and why. */
  reportRefusal(details: Record<string, string | number>): Promise<void>;
}

/** The log as the service role reaches it through the Data API. */
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
      const [row] = unwrap(
        await client.from("audit_checkpoints").select("tree_size, note")
          .order("tree_size", { ascending: false }).limit(1),
      );
      return row ? { size: row.tree_size, note: row.note } : null;
    },
    async consistency(from_size, to_size) {
      const proof = unwrap(await client.rpc("audit_consistency_proof", { from_size, to_size }));
      return proof as unknown as ConsistencyProof;
    },
    async store({ size, root }, key, note) {
      const key_id = await keyId(key);
      const public_key = toBase64(key.publicKey);
      unwrap(await client.rpc("register_audit_key", { key_name: key.name, key_id, public_key }));
      const stored = { tree_size: size, root_hash: root, key_id, note };
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
    async reportRefusal(details) {
      unwrap(
        await client.rpc("log_audit_event", {
          event_type: "system.error",
          severity: "critical",
          result: "failure",
          resource_type: "public.audit_checkpoints",
          action: "checkpoint_refused",
          details,
        }),
      );
    },
  };
}

/** The data of an answer that has no error. */
export function unwrap<Data>(
  answer:
    | { data: Data; error: null }
    | { data: null; error: DataApiFailure["error"] } & {
      status: number;
    },
): Data {
  if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
  return answer.data;
}
