/** The types of proofs, generated from proof_schema.ts; hashes are base64. */

/** Proves that an entry is in the log. */
export interface EntryProof {
  entry: {
    id: string;
    organization_id: string | null;
    timeline: number;
    /** The transaction id, a decimal number of up to 64 bits. */
    xid: string;
    /** RFC 3339 in UTC with microseconds, for people; occurred_at_us is hashed. */
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
    /** Left of a payload that was removed. */
    commitment?: string;
    /** The record of the removal. */
    removed_by?: string;
    /** The leaf that was sealed here: it shows whether the entry was altered. */
    leaf?: string | null;
  };
  entry_index: number;
  entry_path: string[];
  group: {
    organization_id: string | null;
    seal: number;
    entry_count: number;
    /** Number of the organization's entries in all earlier groups. */
    entries_before: number;
    /** Hash of the organization's previous group; 32 zero bytes for its first. */
    previous: string;
    /** RFC 6962 root over the leaves of the entries. */
    root: string;
  };
  group_index: number;
  group_count: number;
  group_path: string[];
  seal: {
    number: number;
    previous_hash: string;
    root: string;
    timeline: number;
    sealed_at: string;
    /** Microseconds since 2000-01-01T00:00:00Z. */
    sealed_at_us: number;
    snapshot: string;
    /** Hash of its last entry's position if the next seal continues it; null: it holds the rest. */
    through: string | null;
    hash: string;
  };
  tree_index: number;
  tree_size: number;
  tree_path: string[];
  tree_root: string;
  /** The signed note about the tree; null if no checkpoint covers the entry yet. */
  checkpoint: string | null;
}

/** Proves that the tree of `to_size` seals extends the tree of `from_size` seals. */
export interface ConsistencyProof {
  from_size: number;
  to_size: number;
  from_root: string;
  to_root: string;
  path: string[];
}
