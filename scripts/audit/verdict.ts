/** What is wrong with a log; the code is stable. */
export interface Finding {
  code: FindingCode;
  message: string;
}

/** The ways in which a bundle can fail to be the log that was sealed and signed. */
export type FindingCode =
  | "ENTRY_ALTERED"
  | "ENTRY_MISSING"
  | "ENTRY_INSERTED"
  | "ENTRY_BACKDATED"
  | "PREFIX_MISSING"
  | "GROUP_ALTERED"
  | "GROUP_MISSING"
  | "NOT_AS_SIGNED"
  | "CHECKPOINT_FORGED"
  | "NOT_SIGNED"
  | "LOG_FORKED"
  | "LOG_TRUNCATED"
  | "REMOVAL_UNRECORDED";

/** The outcome of a verification. */
export interface Verdict {
  organization: string | null;
  entries: number;
  /** Entries that a signed checkpoint covers. */
  covered: number;
  /** Entries of a group that begins before the bundle or ends after it: no root to compare with. */
  unverifiable: number;
  groups: number;
  payloadsRemoved: number;
  /** The size of the tree that the newest checkpoint of the bundle signed; null without one. */
  treeSize: number | null;
  /** Where the export has to go on; null where the bundle holds all that was sealed. */
  next: string | null;
  findings: Finding[];
  /** What the verification could not decide, for people. */
  remarks: string[];
}
