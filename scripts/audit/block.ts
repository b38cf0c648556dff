import {
  entryOverhead,
  timeText,
  writeEntry,
  writeUuid,
} from "../../supabase/functions/_shared/audit/bytes.ts";
import { fromBase64, MalformedError } from "../../supabase/functions/_shared/audit/encoding.ts";
import type { AuditEntry, AuditPayload } from "../../supabase/functions/_shared/audit/records.ts";
import { sha256Into } from "./sha256.ts";

/** What whole lines of a bundle hold, with the leaves of their entries computed anew. */
export interface Block {
  lines: number;
  entries: number;
  /** 32 bytes for each entry, in order. */
  leaves: Uint8Array;
  /** Every line that is no entry, with the number of entries of the block before it. */
  records: { entriesBefore: number; line: number; record: Record<string, unknown> }[];
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
  removals: { id: string; entries: number; digest: string }[];
  /** Where the block stops making sense; what follows was not read. */
  malformed: { line: number; message: string } | null;
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

/** From 1970 to 2000, where Postgres counts from. */
const millisecondsTo2000 = 946684800000;

/** More suspects than this in a block say nothing new. */
const suspectLimit = 16;

/** What an entry line has: `type`, the skeleton, and payload or what is left of it. */
const entryFields = 14;

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();
let scratch = new Uint8Array(64 * 1024);
const commitment = new Uint8Array(32);

/** Reads a block of whole lines and hashes its entries. Never throws for what the lines hold. */
export function readBlock(bytes: Uint8Array): Block {
  const block: Block = {
    lines: 0,
    entries: 0,
    leaves: new Uint8Array(32 * 1024),
    records: [],
    organizations: [],
    suspects: [],
    times: makeTimes(1024),
    misdated: [],
    removed: [],
    removals: [],
    malformed: null,
  };
  try {
    for (const line of linesOf(bytes, block)) readLine(block, line);
  } catch (thrown) {
    block.malformed = { line: block.lines, message: whyMalformed(thrown) };
  }
  block.leaves = block.leaves.subarray(0, 32 * block.entries);
  block.times = resized(block.times, block.entries);
  return block;
}

/**
 * The lines of a block as text, counted as they are read. Decoding them together takes a third less time; where that fails
 * they are decoded one by one, up to the one that is broken.
 */
function* linesOf(bytes: Uint8Array, block: Block): Generator<string> {
  let text: string | null = null;
  try {
    text = decoder.decode(bytes);
  } catch {
    // Which line it is shows below.
  }
  for (let start = 0; start < (text ?? bytes).length;) {
    const newline = text === null ? bytes.indexOf(10, start) : text.indexOf("\n", start);
    const end = newline < 0 ? (text ?? bytes).length : newline;
    block.lines += 1;
    yield text?.slice(start, end) ?? decoder.decode(bytes.subarray(start, end));
    start = end + 1;
  }
}

function readLine(block: Block, line: string): void {
  const record: Record<string, unknown> | null = JSON.parse(line);
  if (typeof record !== "object" || record === null) {
    throw new MalformedError("it is no JSON object");
  }
  if (record.type === "entry") {
    readEntry(block, record as unknown as AuditEntry);
    return;
  }
  block.records.push({ entriesBefore: block.entries, line: block.lines, record });
}

function whyMalformed(thrown: unknown): string {
  if (thrown instanceof MalformedError) return thrown.message;
  return thrown instanceof SyntaxError
    ? "it is not JSON"
    : "it is not UTF-8, or a field is missing";
}

function readEntry(block: Block, entry: AuditEntry): void {
  const fields = Object.keys(entry).length - ("leaf" in entry ? 1 : 0);
  if (fields !== entryFields || entry.resource_type === undefined) {
    throw new MalformedError("an entry has fields it should not have");
  }
  if (entry.occurred_at !== timeText(entry.occurred_at_us)) {
    throw new MalformedError("occurred_at is not the time that was sealed (occurred_at_us)");
  }
  if (block.leaves.length === 32 * block.entries) {
    const larger = new Uint8Array(2 * block.leaves.length);
    larger.set(block.leaves);
    block.leaves = larger;
    block.times = resized(block.times, 2 * block.times.eras.length);
  }
  const at = 32 * block.entries;
  writeLeaf(block.leaves, at, entry);
  if (entry.leaf && !isBase64Of(entry.leaf, block.leaves, at)) noteSuspect(block, entry);
  if (block.organizations.at(-1)?.organization !== entry.organization_id) {
    block.organizations.push({
      entriesBefore: block.entries,
      organization: entry.organization_id,
    });
  }
  if (entry.event_type === "compliance.data_deleted") noteRemovals(block, entry);
  noteTime(block, entry);
  block.entries += 1;
  if (entry.payload !== undefined) return;
  if (typeof entry.removed_by !== "string") throw new MalformedError("removed_by is not a UUID");
  block.removed.push({ record: entry.removed_by, id: entry.id });
}

/** Whether a text is the base64 of the 32 bytes at a place; faster than decoding millions. */
function isBase64Of(text: string, bytes: Uint8Array, at: number): boolean {
  if (text.length !== 44 || text.charCodeAt(43) !== 0x3d) return false;
  let different = 0;
  for (let index = 0; index < 43; index++) {
    const bit = 6 * index;
    const byte = at + (bit >>> 3);
    const next = index < 42 ? bytes[byte + 1]! : 0;
    const six = (bytes[byte]! << 8 | next) >>> (10 - (bit & 7)) & 63;
    different |= alphabet.charCodeAt(six) ^ text.charCodeAt(index);
  }
  return different === 0;
}

function noteSuspect(block: Block, { id }: AuditEntry, list = block.suspects): void {
  if (list.length === suspectLimit) return;
  list.push({ entriesBefore: block.entries, line: block.lines, id });
}

function makeTimes(length: number): Times {
  return {
    occurredAt: new Float64Array(length),
    eras: new Float64Array(length),
    transactions: new Float64Array(length),
    ids: new Uint8Array(16 * length),
  };
}

function resized(times: Times, length: number): Times {
  const made = makeTimes(length);
  const kept = Math.min(length, times.eras.length);
  made.occurredAt.set(times.occurredAt.subarray(0, kept));
  made.eras.set(times.eras.subarray(0, kept));
  made.transactions.set(times.transactions.subarray(0, kept));
  made.ids.set(times.ids.subarray(0, 16 * kept));
  return made;
}

/** The id begins with 48 bits of milliseconds since 1970 (RFC 9562, version 7). */
function noteTime(block: Block, entry: AuditEntry): void {
  const { occurredAt, eras, transactions, ids } = block.times;
  occurredAt[block.entries] = entry.occurred_at_us;
  eras[block.entries] = entry.era;
  transactions[block.entries] = Number(entry.xid);
  const at = 16 * block.entries;
  // Where writeLeaf has just put it: a prefix byte, a version byte, the id.
  ids.set(scratch.subarray(2, 18), at);
  let milliseconds = 0;
  for (let index = at; index < at + 6; index++) milliseconds = 256 * milliseconds + ids[index]!;
  const said = entry.occurred_at_us / 1000 + millisecondsTo2000;
  if (Math.abs(milliseconds - said) > 1001) noteSuspect(block, entry, block.misdated);
}

function writeLeaf(into: Uint8Array, at: number, entry: AuditEntry): void {
  const names = entry.source.length + entry.severity.length + entry.result.length +
    entry.event_type.length + (entry.resource_type?.length ?? 0);
  const payload = entry.payload;
  reserve(Math.max(16 + 3 * (payload?.length ?? 0), 1 + entryOverhead + 3 * names));
  if (payload === undefined) {
    commitment.set(fromBase64(entry.commitment, "commitment", 32));
  } else {
    if (typeof payload !== "string") throw new MalformedError("payload is not text");
    writeUuid(scratch, 0, entry.salt ?? "", "salt");
    const { written } = encoder.encodeInto(payload, scratch.subarray(16));
    sha256Into(commitment, 0, scratch.subarray(0, 16 + written));
  }
  scratch[0] = 0;
  const length = writeEntry(scratch.subarray(1), entry, commitment);
  sha256Into(into, at, scratch.subarray(0, 1 + length));
}

function reserve(length: number): void {
  if (scratch.length < length) scratch = new Uint8Array(2 * length);
}

/** What a record says of the entries that name it; a tombstone restates it for what is left. */
function noteRemovals(block: Block, entry: AuditEntry): void {
  if (entry.payload === undefined || entry.source !== "system") return;
  const { details } = JSON.parse(entry.payload) as AuditPayload;
  const note = (id: string, said: unknown) => {
    const { entries, digest } = (said ?? {}) as { entries?: unknown; digest?: unknown };
    if (typeof entries !== "number" || typeof digest !== "string") return;
    block.removals.push({ id, entries, digest });
  };
  note(entry.id, details);
  for (const [id, said] of Object.entries(details?.removals ?? {})) note(id, said);
}
