/**
 * The format of an encrypted field:
 *
 *     bw1.a256gcm.<data key, 22>.<payload, base64url>
 *     payload = salt (25) | commitment (32) | message number (4) | length (5) | ciphertext | tag (16)
 *
 * Numbers are big endian; the length is that of the ciphertext without its tag. The key is derived
 * from the data key and the salt; the nonce is the message number with leading zeros. The parts end
 * at base64 boundaries, so messages of one derived key share the same text up to the number.
 */
import { LRUCache } from "lru-cache";
import { type Bytes, concat, fromBase64Url, toBase64Url } from "../foundation/bytes.ts";
import { tagLength } from "./aes_gcm.ts";
import { lengthPrefixed, longId, shortId } from "./bytes.ts";
import { EncryptionError } from "./errors.ts";

export const version = "bw1";
export const algorithm = "a256gcm";

export const saltLength = 25;
export const commitmentLength = 32;
/** The message's number and its length. */
const numbersLength = 9;
/** Salt and commitment in base64url, then number and length. */
const keyPartLength = (saltLength + commitmentLength) / 3 * 4;
const headLength = keyPartLength + 12;

/** The place of a field, to which its ciphertext is bound. */
export interface FieldAddress {
  schema: string;
  table: string;
  column: string;
  /** The row's primary key as printed by Postgres. */
  primaryKey: string;
  /** The row's organization; null: none, which means the system's key. */
  organizationId: string | null;
}

/** An organization's id as printed by Postgres, in lower case. */
export function canonicalId(organizationId: string | null): string | null {
  return organizationId && organizationId.toLowerCase();
}

/** A message under one derived key. */
export interface Envelope {
  /** The data key's UUID. */
  keyId: string;
  /** Salt and commitment as text, which identify the derived key. */
  keyPart: string;
  /** 0 to 2^32 - 1, unique under one derived key. */
  message: number;
  /** Ciphertext and tag in WebCrypto's form. */
  sealed: Bytes;
}

/** The prefix of all fields under a data key. */
export function prefixOf(keyId: string): string {
  return `${version}.${algorithm}.${shortId(keyId)}.`;
}

/** The key part: salt and commitment as text. */
export function keyPartOf(salt: Uint8Array, commitment: Uint8Array): string {
  return toBase64Url(concat(salt, commitment));
}

/** The salt and the commitment of a key part; null for invalid base64url. */
export function readKeyPart(keyPart: string): { salt: Bytes; commitment: Bytes } | null {
  const bytes = fromBase64Url(keyPart);
  return bytes && { salt: bytes.slice(0, saltLength), commitment: bytes.slice(saltLength) };
}

/** The text of a message; `start` is the prefix of its data key and its key part. */
export function writeEnvelope(start: string, message: number, sealed: Bytes): string {
  numbersView.setUint32(0, message);
  // 40 bits; strings need at most 32 of them.
  numbersView.setUint32(5, sealed.length - tagLength);
  return start + toBase64Url(numbers) + toBase64Url(sealed);
}

/** Reused, as a new array takes longer than all that is done with it. */
const numbers = new Uint8Array(numbersLength);
const numbersView = new DataView(numbers.buffer);

/**
 * Parses an envelope without verifying it.
 * @throws EncryptionError malformed, unknown_version, unknown_algorithm, truncated, extended
 */
export function readEnvelope(text: string): Envelope {
  if (!text.startsWith(beginning)) throw misread(text);
  const short = text.slice(beginning.length, payloadStart - 1);
  const keyId = knownIds.get(short) ?? remember(short);
  const end = text.slice(Math.max(payloadStart, text.length - 4));
  // From the end: anything appended to a complete value has a wrong character at one of its ends.
  if (!keyId || text[payloadStart - 1] !== "." || /[^A-Za-z0-9_-]/.test(end)) {
    throw new EncryptionError("malformed", "key or payload is not base64url");
  }
  const bytes = fromBase64Url(text.slice(payloadStart + keyPartLength));
  const view = bytes && bytes.length >= numbersLength && new DataView(bytes.buffer);
  if (!view || view.byteLength !== numbersLength + sealedLength(view)) throw damage(text, keyId);
  return {
    keyId,
    keyPart: text.slice(payloadStart, payloadStart + keyPartLength),
    message: view.getUint32(0),
    sealed: bytes.subarray(numbersLength),
  };
}

function sealedLength(numbers: DataView): number {
  return numbers.getUint8(4) * 2 ** 32 + numbers.getUint32(5) + tagLength;
}

/** The fault of a text with a valid beginning, which is not whole. */
function damage(text: string, keyId: string): EncryptionError {
  const length = text.length - payloadStart;
  const start = payloadStart + keyPartLength;
  const numbers = fromBase64Url(text.slice(start, payloadStart + headLength));
  if (length < headLength) return new EncryptionError("truncated", keyId);
  if (!numbers) return new EncryptionError("malformed", "the payload is not base64url");
  const expected = Math.ceil(sealedLength(new DataView(numbers.buffer)) * 4 / 3);
  // Counted in characters, so that a text cut or extended anywhere is reported as such.
  const missing = headLength + expected - length;
  if (missing !== 0) return new EncryptionError(missing > 0 ? "truncated" : "extended", keyId);
  return new EncryptionError("malformed", "the payload is not canonical base64url");
}

const beginning = `${version}.${algorithm}.`;
/** After the data key and a dot. */
const payloadStart = beginning.length + 23;

/** The fault of a text with an invalid beginning. */
function misread(text: string): EncryptionError {
  const [found = "", named] = text.slice(0, 32).split(".");
  if (!/^bw\d+$/.test(found)) return new EncryptionError("malformed", "not an encrypted field");
  if (found !== version) return new EncryptionError("unknown_version", `format ${found}`);
  if (named !== algorithm) return new EncryptionError("unknown_algorithm", "of a known format");
  return new EncryptionError("truncated", "not even a key");
}

/** Cache of ids in their long form; a page of rows names few. */
const knownIds = new LRUCache<string, string>({ max: 1000 });

function remember(short: string): string | null {
  const long = longId(short);
  if (long) knownIds.set(short, long);
  return long;
}

/** The data key named in a field, without parsing the rest; null for another format. */
export function keyIdOf(text: string): string | null {
  const match = /^bw1\.a256gcm\.([A-Za-z0-9_-]{22})\./.exec(text);
  return match ? longId(match[1]!) : null;
}

/**
 * The additional data without the primary key, which comes last: the same for all rows of a column.
 */
export function columnBinding(
  keyId: string,
  { schema, table, column, organizationId }: Omit<FieldAddress, "primaryKey">,
): Bytes {
  const owner = canonicalId(organizationId);
  return lengthPrefixed(version, algorithm, keyId, owner, schema, table, column);
}

/** The info of the derivation of subkeys from a data key. */
export function subkeyInfo(keyId: string): Bytes {
  return lengthPrefixed("bulwark field key", version, algorithm, keyId);
}
