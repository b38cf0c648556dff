import { MalformedError } from "../../supabase/functions/_bulwark/audit/encoding.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import { readEntry, resized } from "./entry.ts";
import type { StatedRemoval } from "./removals.ts";

/** What whole lines of a bundle hold, with the leaves of their entries computed anew. */
export interface Block {
  /** The lines themselves. */
  bytes: Uint8Array;
  lines: number;
  entries: number;
  /** 32 bytes for each entry, in order. */
  leaves: Uint8Array;
  /** Every line that is no entry. */
  records: BlockRecord[];
  /** The first entry of each run of the same organization. */
  organizations: { entriesBefore: number; organization: string | null }[];
  /** The first entries whose leaf is not the one that was sealed at their position. */
  suspects: Suspect[];
  /** When each entry says it was made: microseconds since 2000, era and transaction, id. */
  times: Times;
  /** The first entries whose id was made at another time than they say. */
  misdated: Suspect[];
  /** Entries without payload, each with the record that explains it. */
  removed: { record: string; id: string }[];
  /** What the records of removals in the block say they removed. */
  removals: StatedRemoval[];
  /** Where the block stops making sense; what follows was not read. */
  malformed: { line: number; message: string; isCut: boolean } | null;
}

/** A line that is no entry. */
export interface BlockRecord {
  /** How many entries of the block come before it. */
  entriesBefore: number;
  line: number;
  /** Where in the block it begins, in bytes. */
  at: number;
  record: Record<string, unknown>;
}

/** What tells the age of entries, one after the other. Transactions above 2^53 lose their last bits. */
export interface Times {
  occurredAt: Float64Array;
  eras: Float64Array;
  transactions: Float64Array;
  /** 16 bytes each. */
  ids: Uint8Array;
}

/** An entry that does not stand where it was sealed, or not as it was. */
export interface Suspect {
  entriesBefore: number;
  line: number;
  id: string;
}

/**
 * The form that JSON.stringify() gives an entry: as many fields as an entry has, of text, integers and
 * null. Half the time of writing it anew.
 */
const entryLine =
  /^\{(?:"[a-z_]+":(?:"[^"\\]*(?:\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))[^"\\]*)*"|null|0|-?[1-9]\d*)[,}]){15}$/;

const longLine = 64 * 1024;

/** The last line has no end. */
class CutError extends Error {}

// A byte order mark is not to be swallowed: there is one way to write a bundle.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads a block of whole lines and hashes its entries. Never throws for what the lines hold. */
export function readBlock(bytes: Uint8Array): Block {
  const block: Block = {
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

/**
 * Decoding the lines of a block together takes a third less time than one by one; where that fails
 * they are decoded one by one, up to the one that is broken.
 */
function readLines(bytes: Uint8Array, block: Block): void {
  let text: string | null = null;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Which line it is shows below.
  }
  for (let at = 0, start = 0; at < bytes.length;) {
    block.lines += 1;
    const newline = bytes.indexOf(10, at);
    if (newline < 0) throw new CutError();
    const end = text?.indexOf("\n", start) ?? 0;
    readLine(block, text?.slice(start, end) ?? decoder.decode(bytes.subarray(at, newline)), at);
    start = end + 1;
    at = newline + 1;
  }
}

function readLine(block: Block, line: string, at: number): void {
  const record: Record<string, unknown> | null = JSON.parse(line);
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
 * Whether a line is what JSON.stringify() writes, so that no other program can read something else out
 * of it: no key twice, no spaces, no other form of a number or a character.
 */
function isWrittenOnce(line: string, record: unknown, isEntry: boolean): boolean {
  // An expression needs room for each step back, so long lines are written anew.
  if (isEntry && line.length < longLine) return entryLine.test(line);
  return JSON.stringify(record) === line && isWellFormed(record);
}

/** Whether all text in a value can be written as UTF-8. */
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
