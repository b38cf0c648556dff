/**
 * The hashed bytes of the audit log, version 1; integers are big-endian. SQL functions of the
 * migrations write the same bytes independently.
 */
import { concat, utf8 } from "../foundation/bytes.ts";
import { fromBase64, MalformedError } from "./encoding.ts";
import type { AuditEntry, AuditGroup, AuditSeal } from "./records.ts";

const encoder = new TextEncoder();

/** Seconds from 1970 to 2000, the epoch of Postgres. */
const postgresEpoch = 946684800;

/** The bytes of an entry; its leaf is the hash of a prefix and these. */
export function entryBytes(entry: AuditEntry, commitment: Uint8Array): Uint8Array {
  const names = entry.source + entry.severity + entry.result + entry.event_type +
    (entry.resource_type ?? "");
  const bytes = new Uint8Array(entryOverhead + 3 * names.length);
  return bytes.subarray(0, writeEntry(bytes, entry, commitment));
}

/** The length of an entry's bytes without its five names. */
export const entryOverhead = 1 + 16 + 17 + 4 + 8 + 8 + 10 + 32;

/**
 * Writes the bytes of an entry into a buffer and returns their number. The buffer needs room for
 * {@link entryOverhead} and three bytes for every UTF-16 unit of the names.
 * @throws MalformedError naming the first malformed field
 */
export function writeEntry(into: Uint8Array, entry: AuditEntry, commitment: Uint8Array): number {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  into[0] = 1;
  writeUuid(into, 1, entry.id, "id");
  let at = writeOrganization(into, 17, entry.organization_id);
  view.setInt32(at, integer32(entry.timeline, "timeline"));
  writeDecimal(view, at + 4, entry.xid, "xid");
  writeInteger(view, at + 12, entry.occurred_at_us, "occurred_at_us");
  const lengths = at + 20;
  at = lengths + 10;
  let place = lengths;
  for (const field of nameFields) {
    const name = field === "resource_type" ? entry[field] ?? "" : entry[field];
    if (typeof name !== "string") throw new MalformedError(`${field} is not text`);
    const written = writeText(into, at, name);
    if (written > 0xffff) throw new MalformedError(`${field} is too long`);
    view.setUint16(place, written);
    place += 2;
    at += written;
  }
  into.set(commitment, at);
  return at + 32;
}

const nameFields = ["source", "severity", "result", "event_type", "resource_type"] as const;

/** The bytes of a group; its hash is that of a prefix and these. */
export function groupBytes(group: AuditGroup): Uint8Array {
  const bytes = new Uint8Array(1 + 17 + 24);
  bytes[0] = 1;
  const at = writeOrganization(bytes, 1, group.organization_id);
  const view = new DataView(bytes.buffer);
  writeInteger(view, at, group.seal, "seal");
  writeInteger(view, at + 8, group.entry_count, "entry_count");
  writeInteger(view, at + 16, group.entries_before, "entries_before");
  return concat(
    bytes.subarray(0, at + 24),
    fromBase64(group.previous, "previous", 32),
    fromBase64(group.root, "root", 32),
  );
}

/** The bytes of a seal; its hash has no prefix. */
export function sealBytes(seal: AuditSeal): Uint8Array {
  const head = new Uint8Array(9);
  head[0] = 1;
  writeInteger(new DataView(head.buffer), 1, seal.number, "number");
  const tail = new Uint8Array(16);
  const view = new DataView(tail.buffer);
  view.setInt32(0, integer32(seal.timeline, "timeline"));
  writeInteger(view, 4, seal.sealed_at_us, "sealed_at_us");
  if (typeof seal.snapshot !== "string") throw new MalformedError("snapshot is not text");
  const snapshot = utf8(seal.snapshot);
  view.setUint32(12, snapshot.length);
  const through = seal.through === null ? [] : [fromBase64(seal.through, "through", 32)];
  return concat(
    head,
    fromBase64(seal.previous_hash, "previous_hash", 32),
    fromBase64(seal.root, "root", 32),
    tail,
    snapshot,
    new Uint8Array([through.length]),
    ...through,
  );
}

/** The bytes of a UUID. */
export function uuidBytes(uuid: string, field: string): Uint8Array {
  const bytes = new Uint8Array(16);
  writeUuid(bytes, 0, uuid, field);
  return bytes;
}

/** Writes the 16 bytes of a UUID in canonical lower-case form, as Postgres prints it. */
export function writeUuid(into: Uint8Array, at: number, uuid: string, field: string): void {
  if (typeof uuid !== "string" || uuid.length !== 36) {
    throw new MalformedError(`${field} is not a UUID`);
  }
  let end = at;
  let wrong = 0;
  for (let index = 0; index < 36; index += 2) {
    if (index === 8 || index === 13 || index === 18 || index === 23) {
      wrong |= uuid.charCodeAt(index) ^ 0x2d;
      index += 1;
    }
    const high = digit(uuid.charCodeAt(index));
    const low = digit(uuid.charCodeAt(index + 1));
    wrong |= (high | low) & 0x10;
    into[end++] = high << 4 | low;
  }
  if (wrong !== 0) throw new MalformedError(`${field} is not a UUID`);
}

/** The value of a hexadecimal digit; 16 for any other character. */
function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : 0x10;
}

/** RFC 3339 in UTC with microseconds, from microseconds since 2000: the form of `occurred_at`. */
export function timeText(microseconds: number): string {
  const seconds = Math.floor(microseconds / 1e6);
  const fraction = microseconds - seconds * 1e6;
  if (seconds !== lastSecond) {
    lastSecond = seconds;
    lastText = new Date((seconds + postgresEpoch) * 1000).toISOString().slice(0, 20);
  }
  return `${lastText}${String(fraction).padStart(6, "0")}Z`;
}

// Entries are in order of time, so most share their second with the one before.
let lastSecond = NaN;
let lastText = "";

/** Writes UTF-8 and returns its length; names are ASCII, which needs no encoder. */
function writeText(into: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return encoder.encodeInto(text, into.subarray(at)).written;
    into[at + index] = code;
  }
  return text.length;
}

function writeOrganization(into: Uint8Array, at: number, organization: string | null): number {
  if (organization === null) {
    into[at] = 0;
    return at + 1;
  }
  into[at] = 1;
  writeUuid(into, at + 1, organization, "organization_id");
  return at + 17;
}

function integer(value: unknown, field: string): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw new MalformedError(`${field} is not an integer`);
}

/** A 32-bit integer; larger numbers would be hashed as another one. */
function integer32(value: unknown, field: string): number {
  const whole = integer(value, field);
  if (whole !== (whole | 0)) throw new MalformedError(`${field} exceeds 32 bits`);
  return whole;
}

/** A safe integer as 64 bits. */
function writeInteger(view: DataView, at: number, value: unknown, field: string): void {
  const whole = integer(value, field);
  view.setInt32(at, Math.floor(whole / 2 ** 32));
  view.setUint32(at + 4, whole % 2 ** 32 + (whole < 0 ? 2 ** 32 : 0));
}

/** A decimal number of up to 64 bits as 64 bits. */
function writeDecimal(view: DataView, at: number, text: unknown, field: string): void {
  if (typeof text !== "string" || !/^(?:0|[1-9]\d{0,19})$/.test(text)) {
    throw new MalformedError(`${field} is not a decimal number`);
  }
  if (text.length < 16) return writeInteger(view, at, Number(text), field);
  const value = BigInt(text);
  if (value >= 2n ** 64n) throw new MalformedError(`${field} exceeds 64 bits`);
  view.setBigUint64(at, value);
}
