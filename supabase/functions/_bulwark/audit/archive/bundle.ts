import { sameBytes } from "../../foundation/bytes.ts";
import { fromBase64, MalformedError } from "../encoding.ts";
import { merkleRoot, sha256 } from "../merkle.ts";
import type { VerifierKey } from "../note.ts";
import { entryLeaf, groupHash, verifyGroupProof } from "../proof.ts";
import type { AuditEntry, AuditGroup, GroupProof } from "../records.ts";
import { openStatement } from "../statement.ts";

/** A file of the archive that was verified: whole groups of one organization. */
export interface ArchivedBundle {
  groups: ArchivedGroup[];
  entries: number;
  /** How many entries have no payload. */
  removed: number;
}

/** The entries of an organization in a seal. */
export interface ArchivedGroup {
  group: AuditGroup;
  entries: AuditEntry[];
}

/** The part of the log that a file has to be. */
export interface BundleRange {
  organization_id: string | null;
  after: string | null;
  cursor: string;
  entries: number;
}

const nothing = new Uint8Array(32);

/**
 * Reads a file of the archive, which is a bundle of whole groups, and verifies all of it: every
 * entry, the chain of groups, the proof up to a signed checkpoint, and the signed statement over its
 * bytes. `npm run verify-audit` accepts more bundles and names what is wrong with one.
 * @throws MalformedError, NoteError, ProofError
 */
export async function readArchivedBundle(
  bytes: Uint8Array,
  range: BundleRange,
  keys: readonly VerifierKey[],
): Promise<ArchivedBundle> {
  const lines = new TextDecoder("utf-8", { fatal: true }).decode(bytes).split("\n");
  if (lines.pop() !== "") throw new MalformedError("the last line is cut");
  const last = lines.pop() ?? "";
  const read: ArchivedBundle = { groups: [], entries: 0, removed: 0 };
  let proof: GroupProof | null = null;
  let previous: AuditGroup | null = null;
  let isEnded = false;
  for (const [place, line] of lines.entries()) {
    const { type, ...record } = JSON.parse(line);
    const current = read.groups.at(-1);
    if (isEnded || (type === "bundle") !== (place === 0)) throw odd(place, "is out of place");
    if (type === "bundle") {
      if (record.organization_id !== range.organization_id || record.after !== range.after) {
        throw odd(place, "is of another part of the log");
      }
      previous = record.previous;
    } else if (type === "group") {
      if (record.first !== 0 || record.organization_id !== range.organization_id) {
        throw odd(place, "begins within a group");
      }
      if (current) await close(current);
      const { first: _first, before: _before, ...group } = record;
      await requireChained(group, current?.group ?? previous);
      read.groups.push({ group, entries: [] });
    } else if (type === "entry" && current && record.organization_id === range.organization_id) {
      current.entries.push(record);
      read.entries += 1;
      if (record.payload === undefined) read.removed += 1;
    } else if (type === "proof") {
      proof = record;
    } else if (type === "end") {
      if (record.cursor !== range.cursor || record.entries !== range.entries) {
        throw odd(place, "ends elsewhere");
      }
      isEnded = true;
    } else throw odd(place, "has no place in it");
  }
  const end = read.groups.at(-1);
  if (!end || !proof || !isEnded || read.entries !== range.entries) {
    throw new MalformedError("the file is not whole");
  }
  await close(end);
  const hash = await groupHash(end.group);
  if (!sameBytes(await groupHash(proof.group), hash)) {
    throw new MalformedError("the proof is not its");
  }
  await verifyGroupProof(proof, keys);
  await requireStated(last, bytes, range, hash, keys);
  return read;
}

async function requireStated(
  line: string,
  bytes: Uint8Array,
  { organization_id, after, cursor, entries }: BundleRange,
  lastGroup: Uint8Array,
  keys: readonly VerifierKey[],
): Promise<void> {
  const { type, note } = JSON.parse(line);
  if (type !== "statement" || typeof note !== "string") {
    throw new MalformedError("it is not stated");
  }
  const length = bytes.length - new TextEncoder().encode(`${line}\n`).length;
  const digest = await sha256(bytes.subarray(0, length));
  const stated = await openStatement(note, keys);
  const fits = stated.organization === organization_id && stated.after === after &&
    stated.cursor === cursor && stated.entries === entries && stated.bytes === length &&
    sameBytes(stated.digest, digest) && stated.lastGroup !== null &&
    sameBytes(stated.lastGroup, lastGroup);
  if (!fits) throw new MalformedError("it is not what the statement at its end says");
}

/** Compares the entries of a group with its root. */
async function close({ group, entries }: ArchivedGroup): Promise<void> {
  const root = await merkleRoot(await Promise.all(entries.map(entryLeaf)));
  if (
    entries.length !== group.entry_count || !sameBytes(root, fromBase64(group.root, "root", 32))
  ) {
    throw new MalformedError(`the entries of seal ${group.seal} are not what was sealed`);
  }
}

async function requireChained(group: AuditGroup, previous: AuditGroup | null): Promise<void> {
  const before = previous === null ? nothing : await groupHash(previous);
  const count = previous === null ? 0 : previous.entries_before + previous.entry_count;
  if (
    !sameBytes(before, fromBase64(group.previous, "previous", 32)) ||
    group.entries_before !== count
  ) {
    throw new MalformedError(`seal ${group.seal} does not follow the one before`);
  }
}

function odd(place: number, what: string): MalformedError {
  return new MalformedError(`line ${place + 1} ${what}`);
}
