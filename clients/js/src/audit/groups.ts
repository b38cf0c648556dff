import { sameBytes } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { fromBase64 } from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import type { AuditGroup } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Suspect } from "./block.ts";
import { Chain } from "./chain.ts";
import { groupHash } from "./hashes.ts";
import type { GroupLine } from "./records.ts";
import { GrowingTree } from "./tree.ts";
import type { Find, Place } from "./verdict.ts";

/** The claimed beginning of a bundle, to be compared with the groups. */
export interface Beginning {
  after: string | null;
  /** The seal through which the log was pruned. */
  pruned: number | null;
  /** The group before the first. */
  previous: AuditGroup | null;
}

/** How the first group of a file begins, according to its own hash. */
export type Start = "first" | "later" | "pruned";

/** Entries that are gone because the log was pruned, as a bundle claims. */
export interface Pruned {
  /** The seal of the last group that is gone, or through which the log was pruned. */
  through: number;
  /** For people. */
  entries: string;
  /** Whether the file has entries before them. */
  isBetween: boolean;
}

/** The group whose entries are being read. */
interface OpenGroup {
  group: AuditGroup;
  hash: Uint8Array;
  line: number;
  /** Number of the group's entries read so far, including those before the bundle. */
  place: number;
  suspect: Suspect | null;
  /** Whether the bundle gave the nodes after its last entry. */
  isPart: boolean;
}

const nothing = new Uint8Array(32);

/** Compares the groups of a bundle with their roots, and each with the one before it. */
export class Groups {
  readonly chain = new Chain();
  readonly pruned: Pruned[] = [];
  readonly #tree = new GrowingTree();
  readonly #find: Find;
  #open: OpenGroup | null = null;
  /** The last closed group, and the position up to which it was read. */
  #closed: { group: AuditGroup; place: number } | null = null;
  #isNewBundle = true;
  #start: Start | null = null;
  #entries = 0;
  #count = 0;

  constructor(find: Find) {
    this.#find = find;
  }

  /** Number of groups; one that continues in the next bundle counts once. */
  get count(): number {
    return this.#count;
  }

  /** How the first group begins; null before there is one. */
  get start(): Start | null {
    return this.#start;
  }

  /** Whether the last group has more entries than were read. */
  get isWithin(): boolean {
    return this.#closed !== null && this.#closed.place < this.#closed.group.entry_count;
  }

  /** The seal and hash of the last or current group. */
  get last(): { seal: number; hash: Uint8Array } | null {
    return this.#open ? { seal: this.#open.group.seal, hash: this.#open.hash } : this.chain.last;
  }

  /** The cursor after the entries read; null before the first group. */
  get cursor(): string | null {
    return this.#closed && `${this.#closed.group.seal}:${this.#closed.place}`;
  }

  /** The hash of the group of a seal, or null if there is none. */
  hashOf(seal: number): Uint8Array | null {
    return this.#open?.group.seal === seal ? this.#open.hash : this.chain.hashOf(seal);
  }

  /** Starts the next bundle, which may continue within the last group. */
  beginBundle(): void {
    this.#isNewBundle = true;
  }

  /** Starts a group; false if the number of nodes before its first entry is wrong. */
  begin(line: GroupLine, lineNumber: number, beginning: Beginning): boolean {
    const { first, before, ...group } = line;
    const hash = groupHash(group);
    this.close();
    if (this.#isNewBundle && !follows(group, beginning.previous)) {
      const message = "the group before the first is not given, or not the one it is chained to";
      this.#find("PREFIX_MISSING", `line ${lineNumber}: ${message}`, {
        seal: group.seal,
        line: lineNumber,
      });
    }
    if (!this.#goesOn(hash, first)) {
      this.#checkFollows(group, first, lineNumber, beginning);
      this.#count += 1;
    }
    this.#isNewBundle = false;
    this.#open = { group, hash, line: lineNumber, place: first, suspect: null, isPart: false };
    return this.#tree.appendNodes(before.map((node) => fromBase64(node, "before", 32)), first);
  }

  /** Adds leaves to the open group; false if none is open. */
  take(leaves: Uint8Array): boolean {
    if (leaves.length === 0) return true;
    if (!this.#open || this.#open.isPart) return false;
    this.#tree.append(leaves);
    this.#open.place += leaves.length / 32;
    this.#entries += leaves.length / 32;
    return true;
  }

  suspect(suspect: Suspect): void {
    if (this.#open) this.#open.suspect ??= suspect;
  }

  /** Adds the nodes after the last entry; false if they cannot belong to the open group. */
  rest(nodes: string[]): boolean {
    const open = this.#open;
    if (!open || open.isPart || open.place >= open.group.entry_count) return false;
    open.isPart = true;
    const hashes = nodes.map((node) => fromBase64(node, "nodes", 32));
    return this.#tree.appendNodes(hashes, open.group.entry_count);
  }

  /** Compares the open group with its sealed root. */
  close(): void {
    const open = this.#open;
    if (!open) return;
    const { group, suspect, hash, isPart } = open;
    if (this.#tree.size !== group.entry_count) {
      this.#findMiscount(open);
    } else if (!sameBytes(this.#tree.root(), fromBase64(group.root, "root", 32))) {
      this.#findAltered(open);
    } else if (suspect) {
      const message = `${nameOf(suspect)} has another leaf than the one it is given`;
      this.#find("ENTRY_ALTERED", message, placeOf(open));
    }
    this.chain.add({ seal: group.seal, hash, entries: this.#entries });
    // If entries are missing, the log continues after them anyway.
    this.#closed = { group, place: isPart ? open.place : group.entry_count };
    this.#tree.clear();
    this.#open = null;
  }

  /** Whether a group line continues the group that the last bundle stopped within. */
  #goesOn(hash: Uint8Array, first: number): boolean {
    const { last } = this.chain;
    return this.#isNewBundle && this.#closed !== null && last !== null &&
      sameBytes(last.hash, hash) && first === this.#closed.place;
  }

  /** Checks that a group follows the one before it in the organization's chain. */
  #checkFollows(group: AuditGroup, first: number, line: number, beginning: Beginning): void {
    const closed = this.#closed;
    if (!closed) {
      const start = this.#startOf(group, first, beginning);
      this.#start = start ?? "later";
      if (!start) {
        this.#find(
          "PREFIX_MISSING",
          `line ${line}: it begins with entry ${first} of seal ${group.seal}, after ` +
            `${group.entries_before + first} entries: what comes after ` +
            `${beginning.after ?? "the beginning of the log"} is missing before it`,
          { seal: group.seal, line },
        );
      }
      return;
    }
    if (this.#isPrunedBefore(first, beginning)) return;
    const previous = fromBase64(group.previous, "previous", 32);
    if (closed.place < closed.group.entry_count || first > 0) {
      this.#find(
        "ENTRY_MISSING",
        `line ${line}: it goes on at entry ${first} of seal ${group.seal}, and what is before it ` +
          `ends at entry ${closed.place} of ${closed.group.entry_count} of seal ` +
          closed.group.seal,
        { seal: closed.group.seal, line },
      );
    } else if (
      !this.chain.endsWith(previous) || group.seal <= closed.group.seal ||
      group.entries_before !== countThrough(closed.group)
    ) {
      this.#find(
        "GROUP_MISSING",
        `line ${line}: the entries of seal ${group.seal} do not follow those of seal ` +
          `${closed.group.seal}: what was between them is missing, or was altered`,
        { seal: group.seal, line },
      );
    }
  }

  /**
   * Finds how the first group begins. Its hash contains that of the group before it, which proves
   * that nothing is left out after the cursor, or after the seal through which the log was pruned.
   */
  #startOf(group: AuditGroup, first: number, { after, pruned, previous }: Beginning): Start | null {
    const [seal, place] = (after ?? "0:0").split(":").map(Number) as [number, number];
    const isWithin = group.seal === seal && first === place;
    if (!isWithin && (first > 0 || group.seal <= seal)) return null;
    if (previous === null) return first > 0 ? "later" : "first";
    const isNext = isWithin || previous.seal < seal ||
      previous.seal === seal && previous.entry_count <= place;
    if (isNext) return "later";
    if (pruned === null || previous.seal > pruned) return null;
    const entries = after === null
      ? `${countThrough(previous)} entries before`
      : afterCursor(after);
    this.pruned.push({ through: previous.seal, entries, isBetween: false });
    return "pruned";
  }

  /**
   * Whether a bundle claims that everything between the previous bundle and its first group was
   * pruned. That group's own hash names the last one that is gone.
   */
  #isPrunedBefore(first: number, { pruned, previous }: Beginning): boolean {
    const { group, place } = this.#closed!;
    if (!this.#isNewBundle || first > 0 || previous === null || pruned === null) return false;
    if (previous.seal > pruned) return false;
    const isGap = previous.seal === group.seal
      ? this.isWithin && this.chain.endsWith(groupHash(previous))
      : previous.seal > group.seal && previous.entries_before >= countThrough(group);
    if (!isGap) return false;
    const gone = countThrough(previous) - group.entries_before - place;
    const entries = `${gone} entries after ${this.cursor}`;
    this.pruned.push({ through: previous.seal, entries, isBetween: true });
    return true;
  }

  /**
   * Handles the end of a bundle without groups. If the log was pruned beyond its beginning, nothing
   * says which entries are gone; false if it was not.
   */
  endEmpty({ after, pruned }: Beginning): boolean {
    const [seal, place] = (after ?? "0:0").split(":").map(Number) as [number, number];
    // Only a group that was read shows whether more entries follow in its seal.
    const isRead = this.#closed?.group.seal === seal && place >= this.#closed.group.entry_count;
    if (pruned === null || pruned < seal || pruned === seal && isRead) return false;
    const entries = after === null ? "all entries" : afterCursor(after);
    this.pruned.push({ through: pruned, entries, isBetween: this.#closed !== null });
    return true;
  }

  #findMiscount(open: OpenGroup): void {
    const { group, suspect, line, place } = open;
    const missing = place < group.entry_count;
    const where = suspect
      ? `${missing ? "what stood before " : ""}${nameOf(suspect)}`
      : `among those after line ${line}`;
    this.#find(
      missing ? "ENTRY_MISSING" : "ENTRY_INSERTED",
      `seal ${group.seal} holds ${group.entry_count} entries, the log has ${place}: ${where}`,
      placeOf(open),
    );
  }

  #findAltered(open: OpenGroup): void {
    const { group, suspect, line } = open;
    if (suspect) {
      const message = `${nameOf(suspect)} is not what seal ${group.seal} holds`;
      this.#find("ENTRY_ALTERED", message, placeOf(open));
      return;
    }
    this.#find(
      "GROUP_ALTERED",
      `the entries of seal ${group.seal}, from line ${line + 1}, are not what was sealed`,
      { seal: group.seal, line: line + 1 },
    );
  }
}

/** Whether a group is chained to the one before it; null: whether it is an organization's first. */
function follows(group: AuditGroup, previous: AuditGroup | null): boolean {
  const chained = fromBase64(group.previous, "previous", 32);
  if (previous === null) return group.entries_before === 0 && sameBytes(chained, nothing);
  return sameBytes(chained, groupHash(previous)) && previous.seal < group.seal &&
    previous.organization_id === group.organization_id &&
    countThrough(previous) === group.entries_before;
}

/** Number of an organization's entries up to and including a group. */
function countThrough({ entries_before, entry_count }: AuditGroup): number {
  return entries_before + entry_count;
}

function afterCursor(after: string): string {
  return `entries after ${after}`;
}

function placeOf({ group, suspect, line }: OpenGroup): Place {
  return { entry: suspect?.id, seal: group.seal, line: suspect?.line ?? line };
}

function nameOf({ id, line }: Suspect): string {
  return `entry ${id} (line ${line})`;
}
