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
import { lengthPrefixed, longId, shortId } from "./bytes.ts";
import { EncryptionError } from "./errors.ts";

export const version = "bw1";
export const algorithm = "a256gcm";

export const saltLength = 25;
export const commitmentLength = 32;
const tagLength = 16;
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
  const numbers = new Uint8Array(9);
  const view = new DataView(numbers.buffer);
  view.setUint32(0, message);
  // 40 bits; strings need at most 32 of them.
  view.setUint32(5, sealed.length - tagLength);
  return start + toBase64Url(numbers) + toBase64Url(sealed);
}

/**
 * Parses an envelope without verifying it.
 * @throws EncryptionError malformed, unknown_version, unknown_algorithm, truncated, extended
 */
export function readEnvelope(text: string): Envelope {
  if (!text.startsWith(beginning)) throw misread(text);
  const short = text.slice(beginning.length, beginning.length + 22);
  const keyId = knownIds.get(short) ?? remember(short);
  const encoded = text.slice(beginning.length + 23);
  // From the end: anything appended to a complete value has a wrong character at one of its ends.
  if (!keyId || text[beginning.length + 22] !== "." || /[^A-Za-z0-9_-]/.test(encoded.slice(-4))) {
    throw new EncryptionError("malformed", "key or payload is not base64url");
  }
  const numbers = fromBase64Url(encoded.slice(keyPartLength, headLength));
  if (encoded.length < headLength) throw new EncryptionError("truncated", keyId);
  if (!numbers) throw new EncryptionError("malformed", "the payload is not base64url");
  const view = new DataView(numbers.buffer);
  const length = view.getUint8(4) * 2 ** 32 + view.getUint32(5) + tagLength;
  const missing = headLength + Math.ceil(length * 4 / 3) - encoded.length;
  // Counted in characters, so that a text cut or extended anywhere is reported as such.
  if (missing !== 0) throw new EncryptionError(missing > 0 ? "truncated" : "extended", keyId);
  const sealed = fromBase64Url(encoded.slice(headLength));
  if (!sealed) throw new EncryptionError("malformed", "the payload is not canonical base64url");
  return { keyId, keyPart: encoded.slice(0, keyPartLength), message: view.getUint32(0), sealed };
}

const beginning = `${version}.${algorithm}.`;

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

/** The 96-bit nonce of a message. */
export function nonceOf(message: number): Bytes {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(8, message);
  return nonce;
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
