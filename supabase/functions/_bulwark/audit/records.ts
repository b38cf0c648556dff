/** JSON objects of the audit log in exports and proofs; hashes are base64. */
import type { EntryProof } from "./proof.types.ts";

export type { ConsistencyProof, EntryProof } from "./proof.types.ts";

/** One entry. Of a removed payload the commitment is left, and the id of the removal record. */
export type AuditEntry = EntryProof["entry"];

/** The payload of an entry; empty fields are absent. */
export interface AuditPayload {
  actor_type?: string;
  actor_id?: string;
  database_user?: string;
  session_id?: string;
  ip?: string;
  user_agent?: string;
  resource_id?: string;
  action?: string;
  correlation_id?: string;
  parent_id?: string;
  before?: Record<string, unknown>;
  after?: Record<string, unknown>;
  details?: Record<string, unknown>;
}

/** The entries of one organization in one seal. */
export type AuditGroup = EntryProof["group"];

/** One link of the chain of seals. */
export type AuditSeal = EntryProof["seal"];

/** From a group through its seal to the tree of all seals, and the note that signs its head. */
export type GroupProof = Omit<EntryProof, "entry" | "entry_index" | "entry_path">;
