/** JSON objects of the audit log in exports and proofs; hashes are base64. */

/** One entry. Of a removed payload the commitment is left, and the id of the removal record. */
export interface AuditEntry {
  id: string;
  organization_id: string | null;
  timeline: number;
  /** The transaction id, a decimal number of up to 64 bits. */
  xid: string;
  /** RFC 3339 in UTC with microseconds, for people. `occurred_at_us` is hashed instead. */
  occurred_at: string;
  /** Microseconds since 2000-01-01T00:00:00Z. */
  occurred_at_us: number;
  source: string;
  severity: string;
  result: string;
  event_type: string;
  resource_type: string | null;
  /** A UUID whose 16 bytes blind the commitment. */
  salt?: string;
  /** The exact JSON text that was committed to. Parse it to read it; never serialize it again. */
  payload?: string;
  commitment?: string;
  removed_by?: string;
  /** The leaf that was sealed at this position: shows whether the entry was altered. */
  leaf?: string | null;
}

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
export interface AuditGroup {
  organization_id: string | null;
  seal: number;
  entry_count: number;
  /** Number of the organization's entries in all earlier groups. */
  entries_before: number;
  /** Hash of the organization's previous group; 32 zero bytes for its first. */
  previous: string;
  /** RFC 6962 root over the leaves of the entries. */
  root: string;
}

/** One link of the chain of seals. */
export interface AuditSeal {
  number: number;
  previous_hash: string;
  root: string;
  timeline: number;
  sealed_at: string;
  sealed_at_us: number;
  snapshot: string;
  /** Hash of its last entry's position if the next seal continues it; null: it holds the rest. */
  through: string | null;
  hash: string;
}

/** From a group through its seal to the tree of all seals, and the note that signs its head. */
export interface GroupProof {
  group: AuditGroup;
  group_index: number;
  group_count: number;
  group_path: string[];
  seal: AuditSeal;
  tree_index: number;
  tree_size: number;
  tree_path: string[];
  tree_root: string;
  checkpoint: string | null;
}

/** From an entry to its group and on to the tree of all seals. */
export interface EntryProof extends GroupProof {
  entry: AuditEntry;
  entry_index: number;
  entry_path: string[];
}

/** Proves that the tree of `to_size` seals extends the tree of `from_size` seals. */
export interface ConsistencyProof {
  from_size: number;
  to_size: number;
  from_root: string;
  to_root: string;
  path: string[];
}
