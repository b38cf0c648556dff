import {
  entryOverhead,
  timeText,
  writeEntry,
  writeUuid,
} from "../../../../supabase/functions/_bulwark/audit/bytes.ts";
import {
  fromBase64,
  MalformedError,
} from "../../../../supabase/functions/_bulwark/audit/encoding.ts";
import { utf8 } from "../../../../supabase/functions/_bulwark/foundation/bytes.ts";
import type { AuditEntry } from "../../../../supabase/functions/_bulwark/audit/records.ts";
import type { Block, Times } from "./block.ts";
import { idOf } from "./clock.ts";
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

const encoder = new TextEncoder();
const alphabet = encoder.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const nothing = new Uint8Array();
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
  const { occurred_at_us: time, timeline, xid } = entry;
  const at = addLeaf(block, leafBytes(entry), time, timeline, Number(xid));
  const said = typeof entry.leaf === "string" ? utf8(entry.leaf) : nothing;
  if (said.length !== 44 || !isBase64Of(said, 0, block.leaves, at)) {
    noteSuspect(block, block.suspects, entry.id);
  }
  if (block.organizations.at(-1)?.organization !== entry.organization_id) {
    block.organizations.push({
      entriesBefore: block.entries,
      organization: entry.organization_id,
    });
  }
  if (entry.event_type === "compliance.data_deleted") {
    block.removals.push(...statedRemovals(entry));
  }
  block.entries += 1;
  if (entry.payload !== undefined) return;
  const record = entry.removed_by ?? "";
  writeUuid(unused, 0, record, "removed_by");
  block.removed.push({ record, id: entry.id });
}

/** Whether 44 characters are the base64 of the 32 bytes at an offset; faster than decoding. */
export function isBase64Of(text: Uint8Array, from: number, bytes: Uint8Array, at: number): boolean {
  let different = text[from + 43]! ^ 0x3d;
  for (let index = 0; index < 43; index++) {
    const bit = 6 * index;
    const byte = at + (bit >>> 3);
    const next = index < 42 ? bytes[byte + 1]! : 0;
    const six = (bytes[byte]! << 8 | next) >>> (10 - (bit & 7)) & 63;
    different |= alphabet[six]! ^ text[from + index]!;
  }
  return different === 0;
}

/** Keeps the next entry of a block in one of its lists. */
export function noteSuspect(block: Block, list: Block["suspects"], id: string): void {
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

/**
 * Adds the leaf of the next entry, of which these are the bytes, and its age: where the leaf is. The id
 * begins with 48 bits of milliseconds since 1970 (RFC 9562, version 7).
 */
export function addLeaf(
  block: Block,
  bytes: Uint8Array,
  time: number,
  timeline: number,
  transaction: number,
): number {
  if (block.leaves.length === 32 * block.entries) {
    const larger = new Uint8Array(2 * block.leaves.length);
    larger.set(block.leaves);
    block.leaves = larger;
    block.times = resized(block.times, 2 * block.times.timelines.length);
  }
  sha256Into(block.leaves, 32 * block.entries, bytes);
  const { occurredAt, timelines, transactions, ids } = block.times;
  occurredAt[block.entries] = time;
  timelines[block.entries] = timeline;
  transactions[block.entries] = transaction;
  const at = 16 * block.entries;
  // After a prefix and a version.
  for (let index = 0; index < 16; index++) ids[at + index] = bytes[2 + index]!;
  let milliseconds = 0;
  for (let index = at; index < at + 6; index++) milliseconds = 256 * milliseconds + ids[index]!;
  const said = time / 1000 + millisecondsTo2000;
  if (Math.abs(milliseconds - said) > 1001) noteSuspect(block, block.misdated, idOf(bytes, 2));
  return 32 * block.entries;
}

/** The bytes of which an entry's leaf is the hash. */
function leafBytes(entry: AuditEntry): Uint8Array {
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
  return scratch.subarray(0, 1 + writeEntry(scratch.subarray(1), entry, commitment));
}

/** The length of text; 0 for any other value, whose length property could be anything. */
function lengthOf(text: unknown): number {
  return typeof text === "string" ? text.length : 0;
}

function reserve(length: number): void {
  if (scratch.length < length) scratch = new Uint8Array(2 * length);
}
