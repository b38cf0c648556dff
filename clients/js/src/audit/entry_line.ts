/**
 * Reads an entry's line from its bytes, four times as fast as JSON.parse(), a test of the spelling and
 * the encoding of each field again. It takes the usual lines alone, and exactly as `readEntry` would:
 * the tests compare the two on altered lines.
 */
import { timeText } from "../../../../supabase/functions/_bulwark/audit/bytes.ts";
import type { Block } from "./block.ts";
import { idOf } from "./clock.ts";
import { addLeaf, isBase64Of, noteSuspect } from "./entry.ts";
import { sha256Into } from "./sha256.ts";

/** The fields of an entry with a payload; their order in a line does not matter. */
const fields = [
  "type",
  "id",
  "xid",
  "leaf",
  "salt",
  "result",
  "source",
  "payload",
  "severity",
  "timeline",
  "event_type",
  "occurred_at",
  "resource_type",
  "occurred_at_us",
  "organization_id",
] as const;
type Field = typeof fields[number];
const place = Object.fromEntries(fields.map((name, index) => [name, index])) as Record<
  Field,
  number
>;
const all = 2 ** fields.length - 1;

const encoder = new TextEncoder();
const names = fields.map((name) => encoder.encode(name));
/** Fields by the length and the first character of their names. */
const byName = new Int8Array(16 * 128).fill(-1);
names.forEach((name, index) => byName[128 * name.length + name[0]!] = index);
const hashedNames = (["source", "severity", "result", "event_type", "resource_type"] as const)
  .map((name) => place[name]);
const removal = encoder.encode("compliance.data_deleted");
const start = encoder.encode('{"type":"entry",');

/** The value of a hexadecimal digit in lower case; 16 for any other byte. */
const digits = new Uint8Array(256).fill(16);
encoder.encode("0123456789abcdef").forEach((code, value) => digits[code] = value);
/** The character of an escape such as `\n`; 0 for those that JSON.stringify() does not write. */
const escapes = new Uint8Array(256);
encoder.encode('""\\\\b\bf\fn\nr\rt\t').forEach((code, index, pairs) => {
  if (index % 2 === 1) escapes[pairs[index - 1]!] = code;
});

const quote = 0x22, backslash = 0x5c, colon = 0x3a, comma = 0x2c, minus = 0x2d, zero = 0x30;

// Where the value of each field is in the line, without quotes. Null has no length and no quotes.
const from = new Int32Array(fields.length);
const to = new Int32Array(fields.length);
let salted = new Uint8Array(64 * 1024);
let preimage = new Uint8Array(64 * 1024);
const commitment = new Uint8Array(32);

/**
 * Adds the entry of a line to a block; false, without any effect, if the line is not of the usual form.
 * Then it may still be valid.
 */
export function readEntryLine(
  block: Block,
  bytes: Uint8Array,
  begin: number,
  end: number,
): boolean {
  for (let index = 0; index < start.length; index++) {
    if (bytes[begin + index] !== start[index]) return false;
  }
  if (salted.length < end - begin + 16) salted = new Uint8Array(2 * (end - begin));
  const payload = scan(bytes, begin + 1, end);
  if (payload < 0) return false;
  const [timeline, time, xid] = [
    integer(bytes, place.timeline),
    integer(bytes, place.occurred_at_us),
    integer(bytes, place.xid),
  ];
  if (!Number.isSafeInteger(time) || timeline !== (timeline | 0)) return false;
  if (!(xid >= 0) || to[place.xid]! - from[place.xid]! > 15) return false;
  if (!isText(bytes, place.occurred_at, timeText(time))) return false;
  if (to[place.leaf]! - from[place.leaf]! !== 44 || isRemoval(bytes)) return false;
  if (!uuid(bytes, place.salt, salted, 0)) return false;

  let length = 0;
  for (const field of hashedNames) length += to[field]! - from[field]!;
  if (preimage.length < 128 + length) preimage = new Uint8Array(2 * (128 + length));
  const at = writeHead(bytes, timeline, xid, time);
  if (at < 0) return false;
  sha256Into(commitment, 0, salted.subarray(0, 16 + payload));
  preimage.set(commitment, at);

  const leaf = addLeaf(block, preimage.subarray(0, at + 32), time, timeline, xid);
  if (!isBase64Of(bytes, from[place.leaf]!, block.leaves, leaf)) {
    noteSuspect(block, block.suspects, idOf(preimage, 2));
  }
  noteOrganization(block, preimage);
  block.entries += 1;
  return true;
}

/** Finds the values of all fields and copies the payload; its length, or -1 for another form. */
function scan(bytes: Uint8Array, begin: number, end: number): number {
  let seen = 0;
  let payload = -1;
  let at = begin;
  for (let count = 0; count < fields.length; count++) {
    // The byte after a value: a comma, or the brace after the last one.
    if (count > 0 && bytes[at++] !== comma) return -1;
    if (bytes[at++] !== quote) return -1;
    let stop = at;
    while (stop < at + 15 && bytes[stop] !== quote) stop += 1;
    if (bytes[stop] !== quote || bytes[stop + 1] !== colon || bytes[at]! > 127) return -1;
    const field = byName[128 * (stop - at) + bytes[at]!]!;
    if (field < 0 || (seen & 1 << field) !== 0) return -1;
    const name = names[field]!;
    for (let index = 1; index < name.length; index++) {
      if (bytes[at + index] !== name[index]) return -1;
    }
    seen |= 1 << field;
    at = stop + 2;
    const isQuoted = bytes[at] === quote;
    if (isQuoted) at += 1;
    if (isQuoted === (field === place.timeline || field === place.occurred_at_us)) {
      const isNull = field === place.organization_id || field === place.resource_type;
      if (isQuoted || !isNull) return -1;
    }
    from[field] = at;
    if (field === place.payload) {
      at = copyPayload(bytes, at, end);
      if (at < 0) return -1;
      payload = copied;
    } else if (isQuoted) {
      for (;; at++) {
        const code = bytes[at]!;
        if (code === quote) break;
        if (code < 0x20 || code > 0x7f || code === backslash || at >= end) return -1;
      }
    } else if (field === place.timeline || field === place.occurred_at_us) {
      while (bytes[at] === minus || bytes[at]! >= zero && bytes[at]! <= zero + 9) at += 1;
    } else if (!isNullAt(bytes, at)) {
      return -1;
    }
    to[field] = at;
    // Null has no length.
    if (isQuoted && field === place.organization_id && at === from[field]) return -1;
    if (isQuoted) at += 1;
    else if (field === place.organization_id || field === place.resource_type) at += 4;
  }
  return seen === all && bytes[at] === 0x7d && at + 1 === end ? payload : -1;
}

/** The number of bytes that `copyPayload` wrote. */
let copied = 0;

/** Copies the text of a payload behind the salt; the place of its closing quote, or -1. */
function copyPayload(bytes: Uint8Array, begin: number, end: number): number {
  const into = salted;
  let written = 16;
  let at = begin;
  while (at < end) {
    const code = bytes[at]!;
    if (code === quote) {
      copied = written - 16;
      return at;
    }
    if (code === backslash) {
      const escaped = escapes[bytes[at + 1]!]!;
      if (escaped !== 0) {
        into[written++] = escaped;
        at += 2;
        continue;
      }
      const control = controlAt(bytes, at);
      if (control < 0) return -1;
      into[written++] = control;
      at += 6;
    } else if (code < 0x80) {
      if (code < 0x20) return -1;
      into[written++] = code;
      at += 1;
    } else {
      const length = lengthOfCharacter(bytes, at);
      if (length === 0) return -1;
      for (const last = at + length; at < last; at++) into[written++] = bytes[at]!;
    }
  }
  return -1;
}

/** The control character that has only an escape such as `\u001f`, or -1. */
function controlAt(bytes: Uint8Array, at: number): number {
  if (bytes[at + 1] !== 0x75 || bytes[at + 2] !== zero || bytes[at + 3] !== zero) return -1;
  const code = 16 * digits[bytes[at + 4]!]! + digits[bytes[at + 5]!]!;
  if (code >= 0x20 || digits[bytes[at + 5]!] === 16) return -1;
  // The others have short escapes.
  return code >= 8 && code <= 13 && code !== 11 ? -1 : code;
}

/** The number of bytes of a character beyond ASCII (RFC 3629); 0 if it is not one. */
function lengthOfCharacter(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!;
  const second = bytes[at + 1]!;
  if (lead >= 0xc2 && lead <= 0xdf) return second >> 6 === 2 ? 2 : 0;
  if (second >> 6 !== 2 || bytes[at + 2]! >> 6 !== 2) return 0;
  if (lead >> 4 === 0xe) {
    // Neither longer than needed nor a surrogate.
    if (lead === 0xe0 && second < 0xa0 || lead === 0xed && second > 0x9f) return 0;
    return 3;
  }
  if (lead < 0xf0 || lead > 0xf4 || bytes[at + 3]! >> 6 !== 2) return 0;
  return lead === 0xf0 && second < 0x90 || lead === 0xf4 && second > 0x8f ? 0 : 4;
}

/** Writes all that is hashed before the commitment; its length, or -1. */
function writeHead(bytes: Uint8Array, timeline: number, xid: number, time: number): number {
  preimage[0] = 0;
  preimage[1] = 1;
  if (!uuid(bytes, place.id, preimage, 2)) return -1;
  let at = 19;
  preimage[18] = isNull(place.organization_id) ? 0 : 1;
  if (preimage[18] === 1) {
    if (!uuid(bytes, place.organization_id, preimage, at)) return -1;
    at += 16;
  }
  at = writeWord(at, timeline);
  at = writeWord(writeWord(at, Math.floor(xid / 2 ** 32)), xid % 2 ** 32);
  at = writeWord(
    writeWord(at, Math.floor(time / 2 ** 32)),
    time - 2 ** 32 * Math.floor(time / 2 ** 32),
  );
  let text = at + 10;
  for (const field of hashedNames) {
    const length = to[field]! - from[field]!;
    if (length > 0xffff) return -1;
    preimage[at++] = length >>> 8;
    preimage[at++] = length;
    for (let index = from[field]!; index < to[field]!; index++) preimage[text++] = bytes[index]!;
  }
  return text;
}

function writeWord(at: number, word: number): number {
  preimage[at] = word >>> 24;
  preimage[at + 1] = word >>> 16;
  preimage[at + 2] = word >>> 8;
  preimage[at + 3] = word;
  return at + 4;
}

/** A decimal number of at most 16 digits as JSON.stringify() writes it; NaN for any other value. */
function integer(bytes: Uint8Array, field: number): number {
  let at = from[field]!;
  const end = to[field]!;
  const isNegative = bytes[at] === minus;
  if (isNegative) at += 1;
  if (at === end || end - at > 16) return NaN;
  if (bytes[at] === zero && (isNegative || end - at > 1)) return NaN;
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - zero;
    if (digit < 0 || digit > 9) return NaN;
    value = 10 * value + digit;
  }
  return isNegative ? -value : value;
}

function isText(bytes: Uint8Array, field: number, text: string): boolean {
  const at = from[field]!;
  if (to[field]! - at !== text.length) return false;
  for (let index = 0; index < text.length; index++) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** A record of removals: its payload is parsed. */
function isRemoval(bytes: Uint8Array): boolean {
  const at = from[place.event_type]!;
  if (to[place.event_type]! - at !== removal.length) return false;
  return removal.every((code, index) => bytes[at + index] === code);
}

function isNullAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x6e && bytes[at + 1] === 0x75 && bytes[at + 2] === 0x6c &&
    bytes[at + 3] === 0x6c;
}

function isNull(field: number): boolean {
  return to[field] === from[field];
}

/** Writes the 16 bytes of a UUID in canonical lower-case form. */
function uuid(bytes: Uint8Array, field: number, into: Uint8Array, at: number): boolean {
  let read = from[field]!;
  if (to[field]! - read !== 36) return false;
  let seen = 0;
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) {
      if (bytes[read++] !== minus) return false;
    }
    const high = digits[bytes[read++]!]!;
    const low = digits[bytes[read++]!]!;
    seen |= high | low;
    into[at + index] = high << 4 | low;
  }
  return seen < 16;
}

/** Notes the organization of the entry whose leaf was computed last, if it is another one. */
function noteOrganization(block: Block, preimage: Uint8Array): void {
  if (!isSame(organizationBytes, preimage)) {
    organizationBytes.set(preimage.subarray(18, 35));
    organizationText = preimage[18] === 1 ? idOf(preimage, 19) : null;
  }
  const organization = organizationText;
  if (block.organizations.at(-1)?.organization === organization) return;
  block.organizations.push({ entriesBefore: block.entries, organization });
}

/** The organization of the line before: most lines have the same. */
const organizationBytes = new Uint8Array(17);
let organizationText: string | null = null;

function isSame(organization: Uint8Array, preimage: Uint8Array): boolean {
  const length = preimage[18] === 1 ? 17 : 1;
  for (let index = 0; index < length; index++) {
    if (organization[index] !== preimage[18 + index]) return false;
  }
  return true;
}
