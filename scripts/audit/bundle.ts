import {
  fromBase64,
  MalformedError,
  sameBytes,
} from "../../supabase/functions/_shared/audit/encoding.ts";
import {
  type Checkpoint,
  NoteError,
  openCheckpoint,
  type VerifierKey,
} from "../../supabase/functions/_shared/audit/note.ts";
import { ProofError, verifyGroupProof } from "../../supabase/functions/_shared/audit/proof.ts";
import type {
  AuditGroup,
  GroupProof,
  PrunedLog,
} from "../../supabase/functions/_shared/audit/records.ts";
import { Failure } from "../stack/failure.ts";
import type { Block, Suspect } from "./block.ts";
import { Chain } from "./chain.ts";
import { Clock } from "./clock.ts";
import { groupHash } from "./hashes.ts";
import { Removals } from "./removals.ts";
import { GrowingTree } from "./tree.ts";
import type { Finding, FindingCode, Verdict } from "./verdict.ts";

/** The group whose entries are being read. */
interface OpenGroup {
  group: AuditGroup;
  hash: Uint8Array;
  line: number;
  /** Entries of the group that stand before the bundle; their leaves cannot be computed. */
  skipped: number;
  suspect: Suspect | null;
}

const nothing = new Uint8Array(32);

/**
 * Follows a bundle line by line, several exports one after the other included, where each begins at
 * the cursor the one before ended with. Memory: a tree's edge, 48 bytes for each group, and the ids
 * of entries whose payload was removed.
 */
export class BundleVerifier {
  readonly #keys: readonly VerifierKey[];
  readonly #chain = new Chain();
  readonly #clock = new Clock();
  readonly #removals = new Removals();
  readonly #tree = new GrowingTree();
  readonly #findings: Finding[] = [];
  readonly #remarks: string[] = [];
  #line = 0;
  #entries = 0;
  #groups = 0;
  #unverifiable = 0;
  #open: OpenGroup | null = null;
  #header: { organization: string | null; fromStart: boolean; pruned: PrunedLog | null } | null =
    null;
  #ended: { next: string | null } | null = null;
  #checkpoint: Checkpoint | null = null;
  #pruned = false;
  /** The last seal of which a checkpoint covers the group. */
  #coveredSeal = 0;

  constructor(keys: readonly VerifierKey[]) {
    this.#keys = keys;
  }

  get entries(): number {
    return this.#entries;
  }

  /** The newest checkpoint that the bundle was found to agree with. */
  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  /**
   * Takes the next block.
   * @throws Failure NOT_A_BUNDLE, MALFORMED_BUNDLE naming the line
   */
  async add(block: Block): Promise<void> {
    const first = this.#line;
    let leaves = 0;
    const organizations = [...block.organizations];
    const suspects = [...block.suspects];
    const entriesUpTo = (count: number) => {
      while (organizations[0] && organizations[0].entriesBefore < count) {
        this.#checkOrganization(organizations.shift()!.organization, first);
      }
      while (suspects[0] && suspects[0].entriesBefore < count) {
        const suspect = suspects.shift()!;
        if (this.#open) this.#open.suspect ??= { ...suspect, line: first + suspect.line };
      }
      this.#takeEntries(block.leaves.subarray(32 * leaves, 32 * count), first);
      this.#clock.take(block.times, leaves, count);
      leaves = count;
    };
    for (const { entriesBefore, line, record } of block.records) {
      entriesUpTo(entriesBefore);
      this.#line = first + line;
      await this.#takeRecord(record);
    }
    entriesUpTo(block.entries);
    for (const { id, line } of block.misdated) {
      this.#find(
        "ENTRY_BACKDATED",
        `entry ${id} (line ${first + line}): its id is of another time`,
      );
    }
    this.#removals.add(block);
    this.#line = first + block.lines;
    if (block.malformed) this.#refuse(first + block.malformed.line, block.malformed.message);
  }

  /**
   * The verdict, once everything was taken.
   * @throws Failure BUNDLE_CUT where the bundle has no end
   */
  finish(): Verdict {
    if (!this.#header) throw notABundle("the file is empty");
    if (!this.#ended) {
      throw new Failure(
        "BUNDLE_CUT",
        `Cannot verify: the bundle was cut after line ${this.#line}, it has no end line`,
        2,
      );
    }
    this.#closeGroup(this.#ended.next !== null);
    this.#findMisdated();
    if (this.#header.fromStart && this.#ended.next === null) {
      this.#checkRemovals();
    } else if (this.#removals.count > 0) {
      this.#remarks.push(
        "whether the removed payloads were removed under a record: the bundle is not the whole log",
      );
    }
    if (!this.#checkpoint && this.#groups > 0) {
      this.#find("NOT_SIGNED", "nothing in the bundle is covered by a signed checkpoint");
    }
    return {
      organization: this.#header.organization,
      entries: this.#entries,
      covered: this.#chain.entriesThrough(this.#coveredSeal),
      unverifiable: this.#unverifiable,
      groups: this.#groups,
      payloadsRemoved: this.#removals.count,
      treeSize: this.#checkpoint?.size ?? null,
      next: this.#ended.next,
      findings: this.#findings,
      remarks: this.#remarks,
    };
  }

  async #takeRecord(record: Record<string, unknown>): Promise<void> {
    if (!this.#header || this.#ended) {
      if (record.type !== "bundle") {
        throw this.#header ? this.#refuse(this.#line, "it follows the end") : notABundle(
          "it does not begin with a bundle line",
        );
      }
      this.#begin(record);
      return;
    }
    try {
      if (record.type === "group") this.#beginGroup(record as unknown as AuditGroup);
      else if (record.type === "proof") await this.#takeProof(record as unknown as GroupProof);
      else if (record.type === "end") this.#end(record);
      else this.#refuse(this.#line, "its type is unknown");
    } catch (thrown) {
      if (!(thrown instanceof MalformedError)) throw thrown;
      this.#refuse(this.#line, thrown.message);
    }
  }

  #begin(record: Record<string, unknown>): void {
    if (record.version !== 1) throw notABundle("its version is not 1");
    const organization = record.organization_id as string | null;
    const after = record.after as string | null;
    if (this.#header) {
      const continues = this.#ended?.next === after && after !== null;
      if (!continues || organization !== this.#header.organization) {
        this.#refuse(this.#line, "it begins elsewhere than the bundle before it ended");
      }
    } else {
      const pruned = (record.pruned ?? null) as PrunedLog | null;
      this.#header = { organization, fromStart: after === null, pruned };
      if (after !== null) this.#remarks.push(`what comes before ${after}, where the bundle begins`);
    }
    this.#ended = null;
  }

  #beginGroup(record: AuditGroup & { first?: number }): void {
    const first = record.first ?? 0;
    const hash = groupHash(record);
    const open = this.#open;
    if (open && first > 0 && sameBytes(open.hash, hash)) {
      if (this.#found(open) !== first) {
        this.#refuse(this.#line, "it goes on at another entry than the one the group was left at");
      }
      return;
    }
    this.#closeGroup(false);
    this.#checkLink(record, first);
    if (record.organization_id !== this.#header?.organization) {
      this.#refuse(this.#line, "the group is another organization's");
    }
    this.#groups += 1;
    this.#open = { group: record, hash, line: this.#line, skipped: first, suspect: null };
  }

  /** That a group follows the one before it in the organization's own chain. */
  #checkLink(group: AuditGroup, first: number): void {
    const last = this.#chain.last;
    const previous = fromBase64(group.previous, "previous", 32);
    if (last) {
      if (!this.#chain.endsWith(previous) || group.seal <= last.seal) {
        this.#find(
          "GROUP_MISSING",
          `line ${this.#line}: the entries of seal ${group.seal} do not follow those of seal ` +
            `${last.seal}: what was between them is missing, or was altered`,
        );
      }
      return;
    }
    if (group.entries_before === 0 && sameBytes(previous, nothing) && first === 0) return;
    if (!this.#header?.fromStart) return;
    const { pruned } = this.#header;
    const begins = pruned !== null && first === 0 && group.seal > pruned.through_seal &&
      group.entries_before === pruned.entries &&
      sameBytes(previous, fromBase64(pruned.previous, "previous", 32));
    if (!begins) {
      this.#find(
        "PREFIX_MISSING",
        `line ${this.#line}: ${group.entries_before + first} entries come before the first, and ` +
          "the bundle does not say that they were pruned",
      );
      return;
    }
    this.#pruned = true;
    this.#remarks.push(
      `the ${group.entries_before} entries before seal ${group.seal}: the log says that they were ` +
        `pruned, through seal ${pruned.through_seal}`,
    );
  }

  #findMisdated(): void {
    for (const { id, why } of this.#clock.found()) {
      this.#find("ENTRY_BACKDATED", `entry ${id}: ${why}`);
    }
  }

  #takeEntries(leaves: Uint8Array, line: number): void {
    if (leaves.length === 0) return;
    if (!this.#open || this.#ended) this.#refuse(line + 1, "an entry stands outside of a group");
    this.#tree.append(leaves);
    this.#entries += leaves.length / 32;
  }

  #checkOrganization(organization: string | null, line: number): void {
    if (organization === this.#header?.organization) return;
    this.#refuse(line + 1, "an entry of another organization is among the entries after it");
  }

  /** Compares what was read of a group with what it says. */
  #closeGroup(mayBeUnfinished: boolean): void {
    const open = this.#open;
    if (!open) return;
    const { group, suspect } = open;
    const found = this.#found(open);
    const whole = open.skipped === 0 && found === group.entry_count;
    if (open.skipped > 0 || mayBeUnfinished && found < group.entry_count) {
      this.#unverifiable += this.#tree.size;
    } else if (!whole) {
      this.#findMiscount(open, found);
    } else if (!sameBytes(this.#tree.root(), fromBase64(group.root, "root", 32))) {
      this.#findAltered(open);
    } else if (suspect) {
      this.#find("ENTRY_ALTERED", `${nameOf(suspect)} has another leaf than the one it is given`);
    }
    this.#chain.add({
      seal: group.seal,
      hash: open.hash,
      entries: this.#entries - this.#unverifiable,
    });
    this.#tree.clear();
    this.#open = null;
  }

  /** How many entries of the open group there were so far, those before the bundle included. */
  #found({ skipped }: OpenGroup): number {
    return skipped + this.#tree.size;
  }

  #findMiscount({ group, suspect, line }: OpenGroup, found: number): void {
    const missing = found < group.entry_count;
    const where = suspect
      ? `${missing ? "what stood before " : ""}${nameOf(suspect)}`
      : `among those after line ${line}`;
    this.#find(
      missing ? "ENTRY_MISSING" : "ENTRY_INSERTED",
      `seal ${group.seal} holds ${group.entry_count} entries, the log has ${found}: ${where}`,
    );
  }

  #findAltered({ group, suspect, line }: OpenGroup): void {
    if (suspect) {
      this.#find("ENTRY_ALTERED", `${nameOf(suspect)} is not what seal ${group.seal} holds`);
      return;
    }
    this.#find(
      "GROUP_ALTERED",
      `the ${group.entry_count} entries of seal ${group.seal}, from line ${line + 1}, are not ` +
        "what was sealed",
    );
  }

  async #takeProof(proof: GroupProof): Promise<void> {
    // Where the export stopped inside a group, what follows goes on with it.
    if (this.#open && this.#found(this.#open) >= this.#open.group.entry_count) {
      this.#closeGroup(false);
    }
    if (typeof (proof.checkpoint ?? "") !== "string") {
      this.#refuse(this.#line, "checkpoint is no text");
    }
    const { seal } = proof.group;
    // A proof of what comes later says nothing of what was read.
    if (seal > (this.#open?.group.seal ?? this.#chain.last?.seal ?? 0)) return;
    const known = this.#open?.group.seal === seal ? this.#open.hash : this.#chain.hashOf(seal);
    if (!known || !sameBytes(known, groupHash(proof.group))) {
      this.#find(
        "NOT_AS_SIGNED",
        `the entries up to seal ${seal} are not those that were signed`,
      );
      return;
    }
    try {
      await verifyGroupProof(proof, this.#keys);
    } catch (thrown) {
      this.#takeBadProof(thrown);
      return;
    }
    this.#clock.prove(proof.seal, seal === (this.#open?.group.seal ?? this.#chain.last?.seal));
    this.#findMisdated();
    if (this.#checkpoint && this.#checkpoint.size > proof.tree_size) return;
    this.#coveredSeal = Math.max(this.#coveredSeal, seal);
    this.#checkpoint = await openCheckpoint(proof.checkpoint ?? "", this.#keys);
  }

  #takeBadProof(thrown: unknown): void {
    if (thrown instanceof ProofError) {
      if (thrown.problem === "unsigned") return;
      this.#find("NOT_AS_SIGNED", thrown.message);
    } else if (thrown instanceof NoteError) {
      if (thrown.problem === "unknown_key") throw new Failure("WRONG_KEY", wrongKey(thrown), 2);
      this.#find("CHECKPOINT_FORGED", thrown.message);
    } else throw thrown;
  }

  #end(record: Record<string, unknown>): void {
    const next = record.next;
    if (next !== null && typeof next !== "string") {
      this.#refuse(this.#line, "next has no valid form");
    }
    if (next === null) this.#closeGroup(false);
    this.#ended = { next };
  }

  #checkRemovals(): void {
    for (const { record, entries, entry, stated } of this.#removals.unrecorded()) {
      const what = `${entries} payloads, the first that of entry ${entry}, were removed under ` +
        `record ${record}`;
      if (this.#pruned && stated !== null && stated > entries) {
        this.#remarks.push(`${what}: it names ${stated}, the rest of which may have been pruned`);
      } else {
        const why = stated === null ? "which is not in the log" : "which names other entries";
        this.#find("REMOVAL_UNRECORDED", `${what}, ${why}`);
      }
    }
  }

  #find(code: FindingCode, message: string): void {
    this.#findings.push({ code, message });
  }

  #refuse(line: number, message: string): never {
    throw new Failure("MALFORMED_BUNDLE", `Cannot verify: line ${line}: ${message}`, 2);
  }
}

function nameOf({ id, line }: Suspect): string {
  return `entry ${id} (line ${line})`;
}

function notABundle(why: string): Failure {
  return new Failure("NOT_A_BUNDLE", `Cannot verify: this is no audit bundle: ${why}`, 2);
}

function wrongKey({ message }: NoteError): string {
  return `Cannot verify: ${message}; was the bundle signed by another key?`;
}
