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
  | "BUNDLE_ALTERED"
  | "STATEMENT_FORGED"
  | "LOG_FORKED"
  | "LOG_TRUNCATED"
  | "REMOVAL_UNRECORDED";

/** Something that is neither proved nor disproved; the code is stable. */
export interface Unproved {
  code: UnprovedCode;
  message: string;
}

/** Why nobody can say of a bundle that it is the whole log, or the part that was asked for. */
export type UnprovedCode =
  | "NOT_SIGNED"
  | "NOT_STATED"
  | "NOT_COVERED"
  | "NOT_COMPARED"
  | "NOT_AS_ASKED"
  | "BEGINS_LATER"
  | "BEGINS_PRUNED"
  | "ENDS_EARLY"
  | "REMOVAL_UNDECIDED";

/** A list that counts what is beyond its first thousand: one bundle may have millions of findings. */
export class ShortList<Item> {
  readonly items: Item[] = [];
  more = 0;

  add(item: Item): void {
    if (this.items.length < 1000) this.items.push(item);
    else this.more += 1;
  }
}

/** The outcome of a verification. */
export interface Verdict {
  organization: string | null;
  entries: number;
  /** Entries that a signed checkpoint covers. */
  covered: number;
  groups: number;
  payloadsRemoved: number;
  /** When the last of its exports was made: what came later is not in it. */
  exportedAt: string;
  /** The keys that signed it, as the log's name and the key's hash: of each note the first given. */
  signers: string[];
  /** The size of the tree that the newest checkpoint of the bundle signed; null without one. */
  treeSize: number | null;
  /** Where the export has to go on; null where the bundle holds all that was there. */
  next: string | null;
  /** The first thousand of each, and how many more there are. */
  findings: Finding[];
  unproved: Unproved[];
  more: number;
  /** What is proved and worth knowing, for people. */
  notes: string[];
}

/** 0 where every entry of what was asked for is proved, 1 where something is wrong, 2 otherwise. */
export function exitCode({ findings, unproved }: Pick<Verdict, "findings" | "unproved">): number {
  if (findings.length > 0) return 1;
  return unproved.length > 0 ? 2 : 0;
}
