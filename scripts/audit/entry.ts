import {
  entryOverhead,
  timeText,
  writeEntry,
  writeUuid,
} from "../../supabase/functions/_bulwark/audit/bytes.ts";
import { fromBase64, MalformedError } from "../../supabase/functions/_bulwark/audit/encoding.ts";
import type { AuditEntry } from "../../supabase/functions/_bulwark/audit/records.ts";
import type { Block, Times } from "./block.ts";
import { statedRemovals } from "./removals.ts";
import { sha256Into } from "./sha256.ts";

/** Milliseconds from 1970 to 2000, the epoch of Postgres. */
export const millisecondsTo2000 = 946684800000;

/** The maximum number of suspects a block reports. */
const suspectLimit = 16;

/**
 * Number of fields of an entry line: `type`, the skeleton, the leaf, and the payload or its
 * commitment.
 */
const entryFields = 15;

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const encoder = new TextEncoder();
let scratch = new Uint8Array(64 * 1024);
const commitment = new Uint8Array(32);
const unused = new Uint8Array(16);

/** Reads an entry line: computes its leaf, and keeps the fields that are compared later. */
export function readEntry(block: Block, entry: AuditEntry): void {
  if (
    Object.keys(entry).length !== entryFields || entry.leaf === undefined ||
    entry.resource_type === undefined
  ) {
    throw new MalformedError("an entry has fields it should not have");
  }
  if (entry.occurred_at !== timeText(entry.occurred_at_us)) {
    throw new MalformedError("occurred_at is not the time that was sealed (occurred_at_us)");
  }
  if (block.leaves.length === 32 * block.entries) {
    const larger = new Uint8Array(2 * block.leaves.length);
    larger.set(block.leaves);
    block.leaves = larger;
    block.times = resized(block.times, 2 * block.times.timelines.length);
  }
  const at = 32 * block.entries;
  writeLeaf(block.leaves, at, entry);
  if (!isBase64Of(entry.leaf, block.leaves, at)) noteSuspect(block, entry);
  if (block.organizations.at(-1)?.organization !== entry.organization_id) {
    block.organizations.push({
      entriesBefore: block.entries,
      organization: entry.organization_id,
    });
  }
  if (entry.event_type === "compliance.data_deleted") {
    block.removals.push(...statedRemovals(entry));
  }
  noteTime(block, entry);
  block.entries += 1;
  if (entry.payload !== undefined) return;
  const record = entry.removed_by ?? "";
  writeUuid(unused, 0, record, "removed_by");
  block.removed.push({ record, id: entry.id });
}

/** Whether a text is the base64 of the 32 bytes at an offset; faster than decoding. */
function isBase64Of(text: unknown, bytes: Uint8Array, at: number): boolean {
  if (typeof text !== "string" || text.length !== 44 || text.charCodeAt(43) !== 0x3d) return false;
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

/** Grows the columns of times to a length, and copies the existing ones. */
export function resized(times: Times | null, length: number): Times {
  const made = {
    occurredAt: new Float64Array(length),
    timelines: new Float64Array(length),
    transactions: new Float64Array(length),
    ids: new Uint8Array(16 * length),
  };
  if (times === null) return made;
  const kept = Math.min(length, times.timelines.length);
  made.occurredAt.set(times.occurredAt.subarray(0, kept));
  made.timelines.set(times.timelines.subarray(0, kept));
  made.transactions.set(times.transactions.subarray(0, kept));
  made.ids.set(times.ids.subarray(0, 16 * kept));
  return made;
}

/** The id begins with 48 bits of milliseconds since 1970 (RFC 9562, version 7). */
function noteTime(block: Block, entry: AuditEntry): void {
  const { occurredAt, timelines, transactions, ids } = block.times;
  occurredAt[block.entries] = entry.occurred_at_us;
  timelines[block.entries] = entry.timeline;
  transactions[block.entries] = Number(entry.xid);
  const at = 16 * block.entries;
  // writeLeaf has just put it there: a prefix byte, a version byte, the id.
  ids.set(scratch.subarray(2, 18), at);
  let milliseconds = 0;
  for (let index = at; index < at + 6; index++) milliseconds = 256 * milliseconds + ids[index]!;
  const said = entry.occurred_at_us / 1000 + millisecondsTo2000;
  if (Math.abs(milliseconds - said) > 1001) noteSuspect(block, entry, block.misdated);
}

function writeLeaf(into: Uint8Array, at: number, entry: AuditEntry): void {
  const names = lengthOf(entry.source) + lengthOf(entry.severity) + lengthOf(entry.result) +
    lengthOf(entry.event_type) + lengthOf(entry.resource_type);
  const payload = entry.payload;
  reserve(Math.max(16 + 3 * lengthOf(payload), 1 + entryOverhead + 3 * names));
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

/** The length of text; 0 for any other value, whose length property could be anything. */
function lengthOf(text: unknown): number {
  return typeof text === "string" ? text.length : 0;
}

function reserve(length: number): void {
  if (scratch.length < length) scratch = new Uint8Array(2 * length);
}
