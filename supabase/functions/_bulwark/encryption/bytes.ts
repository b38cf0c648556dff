import { Buffer } from "node:buffer";

/** Bytes for WebCrypto: their type excludes shared buffers where TypeScript knows them. */
export type Bytes = ReturnType<typeof Uint8Array.from>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Methods of newer runtimes, several times faster; the hosted one (Deno 2.1) lacks them. */
interface NativeBase64 {
  toBase64(options: { alphabet: "base64url"; omitPadding: true }): string;
}
interface NativeBase64Constructor {
  fromBase64(text: string, options: { alphabet: "base64url" }): Bytes;
}
const isNative = "fromBase64" in Uint8Array;

/** Base64url without padding (RFC 4648, section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  if (isNative) {
    const native = bytes as unknown as NativeBase64;
    return native.toBase64({ alphabet: "base64url", omitPadding: true });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

/**
 * Decodes unpadded base64url. Null for every spelling but the canonical one, so that no two texts
 * mean the same bytes.
 */
export function fromBase64Url(text: string): Bytes | null {
  // Decoders accept another alphabet, blanks and padding, or skip unknown characters: then the
  // length is wrong. The unused bits of the last character must be zero.
  const surplus = [0, 0, 15, 3][text.length % 4] ?? 0;
  if (surplus && (alphabet.indexOf(text[text.length - 1] ?? "") & surplus)) return null;
  if (text.length % 4 === 1 || text.includes("+") || text.includes("/")) return null;
  const bytes = decode(text);
  return bytes?.length === Math.floor(text.length * 3 / 4) ? bytes : null;
}

function decode(text: string): Bytes | null {
  if (!isNative) {
    const decoded = Buffer.from(text, "base64url") as unknown as Uint8Array;
    // A small Buffer is a view of a shared pool that other code writes to.
    const bytes = new Uint8Array(decoded.length);
    bytes.set(decoded);
    return bytes;
  }
  try {
    const native = Uint8Array as unknown as NativeBase64Constructor;
    return native.fromBase64(text, { alphabet: "base64url" });
  } catch {
    return null;
  }
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** UTF-8. */
export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

/** Decodes UTF-8. @throws TypeError for invalid bytes */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Concatenates byte arrays. */
export function concat(...parts: Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Encodes null: a length that no text has. */
const nullLength = 0xffffffff;

/**
 * An injective encoding of a list of texts: each is preceded by its length in bytes (32 bits, big
 * endian); null is a length that no text has.
 */
export function lengthPrefixed(...texts: (string | null)[]): Bytes {
  const parts: Uint8Array[] = [];
  for (const text of texts) {
    const bytes = text === null ? new Uint8Array() : utf8(text);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, text === null ? nullLength : bytes.length);
    parts.push(length, bytes);
  }
  return concat(...parts);
}

/** The 16 bytes of a UUID as 22 characters of base64url. @throws TypeError for an invalid UUID */
export function shortId(uuid: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) {
    throw new TypeError("Cannot shorten id: it is not a UUID");
  }
  const bytes = uuid.replaceAll("-", "").match(/../g)!.map((pair) => parseInt(pair, 16));
  return toBase64Url(Uint8Array.from(bytes));
}

/** The UUID of a {@link shortId}, or null. */
export function longId(text: string): string | null {
  const bytes = text.length === 22 ? fromBase64Url(text) : null;
  if (!bytes) return null;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
