import { MalformedError } from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import type { AuditEntry } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import { readEntry, resized } from "./entry.ts";
import { readEntryLine } from "./entry_line.ts";
import type { StatedRemoval } from "./removals.ts";

/** A block of whole lines of a bundle, parsed, with the leaves of its entries computed. */
export interface Block {
  /** The lines themselves. */
  bytes: Uint8Array;
  lines: number;
  entries: number;
  /** 32 bytes for each entry, in order. */
  leaves: Uint8Array;
  /** All lines that are not entries. */
  records: BlockRecord[];
  /** The first entry of each run of the same organization. */
  organizations: { entriesBefore: number; organization: string | null }[];
  /** The first entries whose leaf differs from the one that was sealed at their position. */
  suspects: Suspect[];
  /** The claimed time of each entry: microseconds since 2000, timeline and transaction, id. */
  times: Times;
  /** The first entries whose id has another time than the entry. */
  misdated: Suspect[];
  /** Entries without payload, each with its removal record. */
  removed: { record: string; id: string }[];
  /** Removals that records in the block state. */
  removals: StatedRemoval[];
  /** The first malformed line; the rest of the block was not read. */
  malformed: { line: number; message: string; isCut: boolean } | null;
}

/** A line as parsed: nothing about it was checked. */
export interface AnyLine {
  type?: unknown;
  version?: unknown;
  [field: string]: unknown;
}

/** A line that is not an entry. */
export interface BlockRecord {
  /** Number of entries of the block before it. */
  entriesBefore: number;
  line: number;
  /** Its offset in the block, in bytes. */
  at: number;
  record: AnyLine;
}

/** The age of entries, as columns. Transactions above 2^53 lose their last bits. */
export interface Times {
  occurredAt: Float64Array;
  timelines: Float64Array;
  transactions: Float64Array;
  /** 16 bytes each. */
  ids: Uint8Array;
}

/** An entry that was altered, or is not at the position where it was sealed. */
export interface Suspect {
  entriesBefore: number;
  line: number;
  id: string;
}

export function emptyBlock(bytes: Uint8Array): Block {
  return {
    bytes,
    lines: 0,
    entries: 0,
    leaves: new Uint8Array(32 * 1024),
    records: [],
    organizations: [],
    suspects: [],
    times: resized(null, 1024),
    misdated: [],
    removed: [],
    removals: [],
    malformed: null,
  };
}

/**
 * Matches an entry as JSON.stringify() writes it: as many fields as an entry has, of text, integers
 * and null. Takes half the time of serializing it again.
 */
const entryLine =
  /^\{(?:"[a-z_]+":(?:"[^"\\]*(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\]*)*"|null|0|-?[1-9]\d*)[,}]){15}$/;

const longLine = 64 * 1024;

/** The last line is incomplete. */
class CutError extends Error {}

// A byte order mark must not be skipped: a bundle has only one valid form.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses a block of whole lines and hashes its entries. Never throws because of the lines' contents. */
export function readBlock(bytes: Uint8Array): Block {
  const block = emptyBlock(bytes);
  try {
    readLines(bytes, block);
  } catch (thrown) {
    const isCut = thrown instanceof CutError;
    block.malformed = { line: block.lines, message: whyMalformed(thrown), isCut };
  }
  block.leaves = block.leaves.subarray(0, 32 * block.entries);
  block.times = resized(block.times, block.entries);
  return block;
}

function readLines(bytes: Uint8Array, block: Block): void {
  for (let at = 0; at < bytes.length;) {
    block.lines += 1;
    const newline = bytes.indexOf(10, at);
    if (newline < 0) throw new CutError();
    if (!readEntryLine(block, bytes, at, newline)) {
      readLine(block, bytes.subarray(at, newline), at);
    }
    at = newline + 1;
  }
}

/** Reads a line of any kind. @throws MalformedError, or another error if it is not JSON or UTF-8 */
export function readLine(block: Block, bytes: Uint8Array, at: number): void {
  const line = decoder.decode(bytes);
  const record: AnyLine | null = JSON.parse(line);
  if (typeof record !== "object" || record === null) {
    throw new MalformedError("it is no JSON object");
  }
  const isEntry = record.type === "entry";
  if (!isWrittenOnce(line, record, isEntry)) {
    throw new MalformedError(
      "it is not written as an export writes it: an entry has fields it should not have, a key is " +
        "there twice, or there are spaces",
    );
  }
  if (isEntry) readEntry(block, record as unknown as AuditEntry);
  else block.records.push({ entriesBefore: block.entries, line: block.lines, at, record });
}

/**
 * Whether a line is exactly what JSON.stringify() writes, so that no other program can read it
 * differently: no duplicate key, no spaces, no other form of a number or a character.
 */
function isWrittenOnce(line: string, record: unknown, isEntry: boolean): boolean {
  // A regular expression needs memory for each backtracking step, so long lines are serialized
  // again.
  if (isEntry && line.length < longLine) return entryLine.test(line);
  return JSON.stringify(record) === line && isWellFormed(record);
}

/** Whether all text in a value can be encoded as UTF-8. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, each]) => key.isWellFormed() && isWellFormed(each));
}

function whyMalformed(thrown: unknown): string {
  if (thrown instanceof MalformedError) return thrown.message;
  return thrown instanceof SyntaxError
    ? "it is not JSON"
    : "it is not UTF-8, or a field is missing";
}
