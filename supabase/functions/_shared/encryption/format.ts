/**
 * What an encrypted field looks like:
 *
 *     bw1.a256gcm.<data key, 22>.<payload, base64url>
 *     payload = salt (24) | message number (4) | commitment (32) | length (4) | ciphertext | tag (16)
 *
 * Numbers are big endian; the length is that of the ciphertext without its tag. The key is derived
 * from the data key and the salt; the nonce is the message number, zeros in front.
 */
import {
  type Bytes,
  fromBase64Url,
  lengthPrefixed,
  longId,
  shortId,
  toBase64Url,
} from "./bytes.ts";
import { EncryptionError } from "./errors.ts";

export const version = "bw1";
export const algorithm = "a256gcm";

export const saltLength = 24;
const commitmentLength = 32;
const tagLength = 16;
const commitmentAt = saltLength + 4;
const lengthAt = commitmentAt + commitmentLength;
const ciphertextAt = lengthAt + 4;

/** Where a field is, which its ciphertext is bound to. */
export interface FieldAddress {
  schema: string;
  table: string;
  column: string;
  /** The row's primary key as Postgres writes it as text. */
  primaryKey: string;
  /** Whose the row is; null: nobody's, which means the system's key. */
  organizationId: string | null;
}

/** A message under one derived key. */
export interface Envelope {
  /** The data key's UUID. */
  keyId: string;
  salt: Uint8Array;
  /** 0 to 2^32 - 1, never the same twice under one derived key. */
  message: number;
  commitment: Uint8Array;
  /** Ciphertext and tag, as WebCrypto has them. */
  sealed: Bytes;
}

/** The beginning of every field that is encrypted under a data key. */
export function prefixOf(keyId: string): string {
  return `${version}.${algorithm}.${shortId(keyId)}.`;
}

/** The text of an envelope; `prefix` is that of its key. */
export function writeEnvelope(
  prefix: string,
  { salt, message, commitment, sealed }: Omit<Envelope, "keyId">,
): string {
  const payload = new Uint8Array(ciphertextAt + sealed.length);
  const view = new DataView(payload.buffer);
  payload.set(salt);
  view.setUint32(saltLength, message);
  payload.set(commitment, commitmentAt);
  view.setUint32(lengthAt, sealed.length - tagLength);
  payload.set(sealed, ciphertextAt);
  return prefix + toBase64Url(payload);
}

/**
 * Reads an envelope, without deciding whether it is genuine.
 * @throws EncryptionError malformed, unknown_version, unknown_algorithm, truncated, extended
 */
export function readEnvelope(text: string): Envelope {
  const [found, named, key = "", encoded = "", ...surplus] = text.split(".", 5);
  if (!/^bw\d+$/.test(found ?? "")) {
    throw new EncryptionError("malformed", "not an encrypted field");
  }
  if (found !== version) throw new EncryptionError("unknown_version", `format ${found}`);
  if (named !== algorithm) throw new EncryptionError("unknown_algorithm", "of a known format");
  const keyId = longId(key);
  // From the end: whatever else may be in it, what follows a value begins with the wrong character.
  if (!keyId || surplus.length > 0 || /[^A-Za-z0-9_-]/.test(encoded.slice(-4))) {
    throw new EncryptionError("malformed", "key or payload is not base64url");
  }
  // By characters, so that a text cut or lengthened anywhere is told as what it is.
  const head = fromBase64Url(encoded.slice(0, Math.ceil(ciphertextAt / 3) * 4));
  if (!head || head.length < ciphertextAt) throw new EncryptionError("truncated", keyId);
  const length = ciphertextAt + new DataView(head.buffer).getUint32(lengthAt) + tagLength;
  const missing = Math.ceil(length * 4 / 3) - encoded.length;
  if (missing !== 0) throw new EncryptionError(missing > 0 ? "truncated" : "extended", keyId);
  const payload = fromBase64Url(encoded);
  if (!payload) throw new EncryptionError("malformed", "the payload is not canonical base64url");
  const view = new DataView(payload.buffer);
  return {
    keyId,
    salt: payload.subarray(0, saltLength),
    message: view.getUint32(saltLength),
    commitment: payload.subarray(commitmentAt, lengthAt),
    sealed: payload.subarray(ciphertextAt),
  };
}

/** The data key that a field names, without reading the rest; null where it is none of ours. */
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

/** The additional data up to the primary key, which comes last: the same for all rows of a column. */
export function columnBinding(
  keyId: string,
  { schema, table, column, organizationId }: Omit<FieldAddress, "primaryKey">,
): Bytes {
  return lengthPrefixed(version, algorithm, keyId, organizationId, schema, table, column);
}

/** What the subkeys of a data key are derived with beside their salt. */
export function subkeyInfo(keyId: string): Bytes {
  return lengthPrefixed("bulwark field key", version, algorithm, keyId);
}
