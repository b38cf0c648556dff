import type { SealTimes } from "./period.ts";

/** A finding against a log; the code is stable. */
export interface Finding extends Place {
  code: FindingCode;
  message: string;
}

/** Where a finding is, as far as that is known. */
export interface Place {
  /** The id of the entry. */
  entry?: string | undefined;
  /** The number of the seal. */
  seal?: number | undefined;
  /** The line of the file. */
  line?: number | undefined;
}

/** Reports a finding. */
export type Find = (code: FindingCode, message: string, place?: Place) => void;

/** Ways in which a bundle differs from the log that was sealed and signed. */
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

/** A fact that is neither proved nor disproved; the code is stable. */
export interface Unproved {
  code: UnprovedCode;
  message: string;
}

/** Why a bundle is not proved to be the whole log, or the requested part. */
export type UnprovedCode =
  | "NO_ENTRIES"
  | "NOT_SIGNED"
  | "NOT_STATED"
  | "NOT_COVERED"
  | "NOT_COMPARED"
  | "NOT_AS_ASKED"
  | "BEGINS_LATER"
  | "BEGINS_PRUNED"
  | "ENDS_EARLY"
  | "REMOVAL_UNDECIDED";

/** A list that only counts items beyond its first thousand: a bundle may have millions of findings. */
export class ShortList<Item> {
  readonly items: Item[] = [];
  more = 0;

  add(item: Item): void {
    if (this.items.length < 1000) this.items.push(item);
    else this.more += 1;
  }
}

/** The result of a verification. */
export interface Verdict {
  organization: string | null;
  entries: number;
  /** Number of entries that a signed checkpoint covers. */
  covered: number;
  groups: number;
  payloadsRemoved: number;
  /** When its last export was made; later entries are not in it. */
  exportedAt: string;
  /** When the first and the last proved seals were made: no entry between them is missing. */
  sealed: SealTimes | null;
  /** The keys that signed it, as the log's name and the key's hash: of each note the first given one. */
  signers: string[];
  /** The tree size of the bundle's newest checkpoint; null without one. */
  treeSize: number | null;
  /** The cursor of the next export; null if the bundle holds everything there was. */
  next: string | null;
  /** The first thousand of each, and the number of further ones. */
  findings: Finding[];
  unproved: Unproved[];
  more: number;
  /** Proved facts worth knowing, for people. */
  notes: string[];
}

/** `intact`: every requested entry is proved; `altered`: something is wrong; else `unproved`. */
export type Outcome = "intact" | "altered" | "unproved";

/** The outcome in one word. */
export function outcomeOf({ findings, unproved }: Pick<Verdict, "findings" | "unproved">): Outcome {
  if (findings.length > 0) return "altered";
  return unproved.length > 0 ? "unproved" : "intact";
}
