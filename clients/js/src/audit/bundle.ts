import { MalformedError } from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import type {
  Checkpoint,
  VerifierKey,
} from "../../../../supabase/functions/_bulwark/audit/note.ts";
import type { GroupProof } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Period } from "../period.ts";
import { VerificationError } from "./error.ts";
import type { Block, BlockRecord } from "./block.ts";
import { Clock, clockTolerance } from "./clock.ts";
import { Coverage } from "./coverage.ts";
import { Ending } from "./ending.ts";
import { millisecondsTo2000 } from "./entry.ts";
import { Groups } from "./groups.ts";
import { ProvedTimes } from "./period.ts";
import {
  type EndLine,
  type HeaderLine,
  readEnd,
  readGroup,
  readHeader,
  readProof,
  readRest,
  readStatement,
} from "./records.ts";
import { Removals } from "./removals.ts";
import type { StreamHash } from "./sha256.ts";
import {
  type Find,
  type Finding,
  ShortList,
  type Unproved,
  type UnprovedCode,
  type Verdict,
} from "./verdict.ts";

/** The part of a log that the caller asks for; by default the whole log of any organization. */
export interface Asked {
  /** An organization, or null for the entries without one. */
  organization?: string | null;
  /** Cursors: only entries after one, only up to another. */
  after?: string;
  until?: string;
  /** All that was sealed in a period. */
  period?: Period;
  /** The seal through which the log may have been pruned. */
  pruned?: number;
  /** Whether it may have no entry at all. */
  empty?: boolean;
}

/**
 * Verifies a file of one bundle, or of several, each of which begins at the cursor where the one
 * before ended. It believes hashes, signatures and the request, and compares every other claim of a
 * bundle with these. Memory: a tree's edge, 48 bytes for each group, and the ids of entries whose
 * payload was removed.
 */
export class BundleVerifier {
  readonly #asked: Asked;
  readonly #clock: Clock;
  readonly #times = new ProvedTimes();
  readonly #removals = new Removals();
  readonly #signers = new Set<string>();
  readonly #findings = new ShortList<Finding>();
  readonly #unproved = new ShortList<Unproved>();
  readonly #groups: Groups;
  readonly #coverage: Coverage;
  readonly #ending: Ending;
  #line = 0;
  #entries = 0;
  #first: HeaderLine | null = null;
  #exportedAt = "";
  /** The header of the current bundle, and its end line once it was read. */
  #header: HeaderLine | null = null;
  #end: EndLine | null = null;
  #entriesBefore = 0;
  #groupsInBundle = 0;
  #checkpoint: Checkpoint | null = null;
  #lastCheckpoint: Checkpoint | null = null;

  constructor(keys: readonly VerifierKey[], asked: Asked, newHash: () => StreamHash) {
    const find = this.#find;
    this.#asked = asked;
    this.#clock = new Clock(find);
    this.#groups = new Groups(find);
    this.#coverage = new Coverage(keys, this.#groups, find, this.#signers);
    this.#ending = new Ending(keys, find, this.#signers, newHash);
  }

  get entries(): number {
    return this.#entries;
  }

  /**
   * A signed checkpoint that the end of the file is not older than; null if nothing shows that.
   * Earlier parts may have newer ones, which say nothing about the end of the log.
   */
  get checkpoint(): Checkpoint | null {
    return this.#lastCheckpoint;
  }

  /**
   * Reads the next block.
   * @throws VerificationError NOT_A_BUNDLE, MALFORMED_BUNDLE naming the line, BUNDLE_CUT, WRONG_KEY, BAD_KEY
   */
  async add(block: Block): Promise<void> {
    const first = this.#line;
    let leaves = 0;
    let bytes = 0;
    const organizations = [...block.organizations];
    const suspects = [...block.suspects];
    const entriesUpTo = (count: number) => {
      while (organizations[0] && organizations[0].entriesBefore < count) {
        this.#checkOrganization(organizations.shift()!.organization, first);
      }
      while (suspects[0] && suspects[0].entriesBefore < count) {
        const suspect = suspects.shift()!;
        this.#groups.suspect({ ...suspect, line: first + suspect.line });
      }
      this.#takeEntries(block.leaves.subarray(32 * leaves, 32 * count), first);
      this.#clock.take(block.times, leaves, count);
      leaves = count;
    };
    const bytesUpTo = (at: number) => {
      this.#ending.take(block.bytes.subarray(bytes, at));
      bytes = at;
    };
    for (const { entriesBefore, line, at, record } of block.records) {
      entriesUpTo(entriesBefore);
      bytesUpTo(at);
      this.#line = first + line;
      await this.#takeRecord(record);
    }
    entriesUpTo(block.entries);
    bytesUpTo(block.bytes.length);
    for (const { id, line } of block.misdated) {
      const message = `entry ${id} (line ${first + line}): its id is of another time`;
      this.#find("ENTRY_BACKDATED", message, { entry: id, line: first + line });
    }
    this.#removals.add(block);
    this.#line = first + block.lines;
    if (block.malformed?.isCut) throw wasCut(`in line ${first + block.malformed.line}`);
    if (block.malformed) this.#refuse(first + block.malformed.line, block.malformed.message);
  }

  /**
   * The verdict, after all blocks.
   * @throws VerificationError BUNDLE_CUT if the bundle has no end
   */
  finish(): Verdict {
    if (!this.#first) throw notABundle("the file is empty");
    if (this.#header || !this.#end) {
      throw wasCut(`after line ${this.#line}, it has no end`);
    }
    this.#checkCovered();
    const notes = this.#checkRange(this.#first, this.#end);
    if (this.#groups.count === 0 && this.#asked.empty) {
      notes.push("that there is no entry is what the function was shown");
    } else if (this.#groups.count === 0 && this.#groups.pruned.length === 0) {
      this.#leaveOpen(
        "NO_ENTRIES",
        "the bundle holds no entry; if that is right, --empty accepts it",
      );
    }
    this.#checkRemovals(this.#isFromStart() && this.#end.next === null);
    return {
      organization: this.#first.organization_id,
      entries: this.#entries,
      covered: this.#coverage.entries,
      groups: this.#groups.count,
      payloadsRemoved: this.#removals.count,
      exportedAt: this.#exportedAt,
      sealed: this.#times.shown,
      signers: [...this.#signers],
      treeSize: this.#coverage.newest?.size ?? null,
      next: this.#end.next,
      findings: this.#findings.items,
      unproved: this.#unproved.items,
      more: this.#findings.more + this.#unproved.more,
      notes,
    };
  }

  async #takeRecord(record: BlockRecord["record"]): Promise<void> {
    try {
      if (!this.#header) this.#begin(record);
      else if (this.#end) await this.#takeStatement(record);
      else if (record.type === "group") this.#takeGroup(record);
      else if (record.type === "rest") this.#takeRest(record);
      else if (record.type === "proof") await this.#takeProof(readProof(record));
      else if (record.type === "end") this.#takeEnd(readEnd(record));
      else throw new MalformedError("its type is not one that stands here");
    } catch (thrown) {
      if (!(thrown instanceof MalformedError)) throw thrown;
      this.#refuse(this.#line, thrown.message);
    }
  }

  #begin(record: BlockRecord["record"]): void {
    if (record.type !== "bundle") {
      if (this.#first) throw new MalformedError("it follows the end");
      throw notABundle("it does not begin with a bundle line");
    }
    if (record.version !== 1) throw notABundle("its version is not 1");
    const header = readHeader(record);
    if (this.#first) {
      const goesOn = header.after !== null && header.after === this.#end?.cursor;
      if (!goesOn || header.organization_id !== this.#first.organization_id) {
        throw new MalformedError("it begins elsewhere than the bundle before it ended");
      }
    }
    // A part without entries has no checkpoint: that of the previous part counts if it is older.
    if (header.exported_at < this.#exportedAt) this.#lastCheckpoint = null;
    this.#first ??= header;
    this.#exportedAt = header.exported_at;
    this.#header = header;
    this.#end = null;
    this.#entriesBefore = this.#entries;
    this.#groupsInBundle = 0;
    this.#checkpoint = null;
    this.#groups.beginBundle();
    // The line itself belongs to the digest of the next part.
    this.#ending.begin();
  }

  #takeGroup(record: BlockRecord["record"]): void {
    const group = readGroup(record);
    const { organization_id } = this.#header!;
    if (group.organization_id !== organization_id) {
      throw new MalformedError("the group is another organization's");
    }
    this.#groupsInBundle += 1;
    const gaps = this.#groups.pruned.length;
    const isValid = this.#groups.begin(group, this.#line, this.#header!);
    // Groups after a gap are not chained to those before it, and prove nothing about them.
    if (this.#groups.pruned.length > gaps) this.#checkCovered();
    if (!isValid) {
      throw new MalformedError("before is not the nodes of the entries before the first");
    }
  }

  #takeRest(record: BlockRecord["record"]): void {
    if (!this.#groups.rest(readRest(record).nodes)) {
      throw new MalformedError("nodes are not those of the entries that are left");
    }
  }

  #takeEntries(leaves: Uint8Array, line: number): void {
    const isInside = this.#header && !this.#end && this.#groups.take(leaves);
    if (leaves.length > 0 && !isInside) {
      this.#refuse(line + 1, "an entry after it stands outside of a group");
    }
    this.#entries += leaves.length / 32;
  }

  #checkOrganization(organization: string | null, line: number): void {
    if (organization === this.#header?.organization_id) return;
    this.#refuse(line + 1, "an entry of another organization is among the entries after it");
  }

  async #takeProof(proof: GroupProof): Promise<void> {
    const checkpoint = await this.#coverage.take(proof);
    if (!checkpoint) return;
    this.#checkpoint = checkpoint;
    this.#times.add(proof.seal);
    this.#clock.prove(proof.seal, proof.group.seal === this.#groups.last?.seal);
  }

  #takeEnd(end: EndLine): void {
    this.#groups.close();
    if (this.#groupsInBundle === 0 && this.#header!.previous !== null) {
      throw new MalformedError("the bundle names a group before the first, and holds none");
    }
    this.#end = end;
    if (this.#groupsInBundle > 0) this.#lastCheckpoint = this.#checkpoint;
    const isPruned = this.#groupsInBundle === 0 && this.#groups.endEmpty(this.#header!);
    if (end.next === null && this.#groups.isWithin && !isPruned) {
      const message = `line ${this.#line}: it ends within a seal, at ${this.#groups.cursor}, and ` +
        "says that nothing follows";
      const seal = this.#groups.last?.seal;
      this.#find("ENTRY_MISSING", message, { seal, line: this.#line });
    }
    const cursor = this.#groupsInBundle > 0 ? this.#groups.cursor : this.#header!.after;
    const claims: [string, unknown, unknown][] = [
      ["entries", end.entries, this.#entries - this.#entriesBefore],
      ["cursor", end.cursor, cursor],
      ["next", end.next ?? cursor, cursor],
    ];
    for (const [name, claimed, actual] of claims) {
      if (claimed === actual) continue;
      this.#find("BUNDLE_ALTERED", `its end says ${name} ${claimed}, and it holds ${actual}`);
    }
  }

  async #takeStatement(record: BlockRecord["record"]): Promise<void> {
    if (record.type !== "statement") throw new MalformedError("it follows the end");
    const { note } = readStatement(record);
    const { organization_id: organization, after } = this.#header!;
    const { cursor, next, entries } = this.#end!;
    this.#header = null;
    if (note === null) {
      this.#leaveOpen("NOT_STATED", "where it begins and ends is not signed: no key was set");
      return;
    }
    const totals = {
      organization,
      after,
      cursor,
      isEnd: next === null,
      entries,
      groups: this.#groupsInBundle,
      lastGroup: this.#groupsInBundle > 0 ? this.#groups.last?.hash ?? null : null,
      tree: this.#checkpoint && { size: this.#checkpoint.size, root: this.#checkpoint.root },
    };
    await this.#ending.compare(note, totals, this.#coverage.newest);
  }

  #isFromStart(): boolean {
    const { start } = this.#groups;
    return start === "first" || start !== "later" && this.#first?.after === null;
  }

  /** Compares the requested part with the actual one; returns notes for people. */
  #checkRange(first: HeaderLine, end: EndLine): string[] {
    const { organization, after, until } = this.#asked;
    if (organization !== undefined && organization !== first.organization_id) {
      const whose = first.organization_id ?? "no organization";
      this.#leaveOpen("NOT_AS_ASKED", `the bundle is of ${whose}`);
    }
    if (this.#asked.period) {
      const isToEnd = end.next === null;
      const actual = { isFromStart: this.#isFromStart(), isToEnd, exportedAt: this.#exportedAt };
      for (const { code, message } of this.#times.compare(this.#asked.period, actual)) {
        this.#leaveOpen(code, message);
      }
      return this.#checkPruned();
    }
    if (after !== undefined && after !== first.after) {
      const where = first.after ?? "the beginning of the log";
      this.#leaveOpen("NOT_AS_ASKED", `the bundle begins after ${where}`);
    } else if (after === undefined && !this.#isFromStart()) {
      this.#leaveOpen("BEGINS_LATER", `what comes before ${first.after} is not in the bundle`);
    }
    if (until !== undefined && until !== end.cursor) {
      this.#leaveOpen("NOT_AS_ASKED", `the bundle ends at ${end.cursor ?? "the beginning"}`);
    } else if (until === undefined && end.next !== null) {
      this.#leaveOpen("ENDS_EARLY", `what comes after ${end.next} is not in the bundle`);
    }
    return this.#checkPruned();
  }

  /** Nothing in a bundle proves that its log was pruned, so the caller has to accept it. */
  #checkPruned(): string[] {
    const notes: string[] = [];
    for (const { through, entries } of this.#groups.pruned) {
      if (through <= (this.#asked.pruned ?? 0)) {
        notes.push(`${entries} were pruned, as --pruned says, up to seal ${through}`);
        continue;
      }
      const message =
        `${entries}, up to seal ${through}, are gone; the export says that they were ` +
        `pruned, which --pruned ${through} accepts`;
      this.#leaveOpen("BEGINS_PRUNED", message);
    }
    return notes;
  }

  #checkRemovals(isWhole: boolean): void {
    if (!isWhole && this.#removals.count > 0) {
      const message = "whether the removed payloads were removed under a record: the bundle is " +
        "not the whole log";
      this.#leaveOpen("REMOVAL_UNDECIDED", message);
      return;
    }
    const { pruned } = this.#groups;
    for (const { record, entries, entry, stated } of this.#removals.unrecorded()) {
      const what = `${entries} payloads, the first that of entry ${entry}, were removed under ` +
        `record ${record}`;
      const isLater = stated !== null && stated.at > this.#exportedFrom - clockTolerance;
      if (stated !== null && stated.entries > entries && (pruned.length > 0 || isLater)) {
        const rest = `it names ${stated.entries}, the rest of which may have been ` +
          (isLater ? "exported before it" : "pruned");
        this.#leaveOpen("REMOVAL_UNDECIDED", `${what}: ${rest}`);
      } else if (stated === null && pruned.some(({ isBetween }) => isBetween)) {
        this.#leaveOpen("REMOVAL_UNDECIDED", `${what}, which may have been pruned`);
      } else {
        const why = stated === null ? "which is not in the log" : "which names other entries";
        this.#find("REMOVAL_UNRECORDED", `${what}, ${why}`, { entry });
      }
    }
  }

  /** The start of the first export, in microseconds since 2000. */
  get #exportedFrom(): number {
    return (Date.parse(this.#first!.exported_at) - millisecondsTo2000) * 1000;
  }

  #checkCovered(): void {
    for (const { code, message } of this.#coverage.finish()) this.#leaveOpen(code, message);
  }

  readonly #find: Find = (code, message, place) => {
    this.#findings.add({ code, message, ...place });
  };

  #leaveOpen(code: UnprovedCode, message: string): void {
    this.#unproved.add({ code, message });
  }

  #refuse(line: number, message: string): never {
    throw new VerificationError("MALFORMED_BUNDLE", `Cannot verify: line ${line}: ${message}`);
  }
}

function notABundle(why: string): VerificationError {
  return new VerificationError("NOT_A_BUNDLE", `Cannot verify: this is no audit bundle: ${why}`);
}

function wasCut(where: string): VerificationError {
  return new VerificationError("BUNDLE_CUT", `Cannot verify: the bundle was cut ${where}`);
}
