/** Bytes and their encodings. Runs in browsers as well: the verifier of audit exports uses it. */
import { type Alphabet, decodeBase64, encodeBase64 } from "./base64.ts";

/** Bytes for WebCrypto: their type excludes shared buffers where TypeScript knows them. */
export type Bytes = ReturnType<typeof Uint8Array.from>;

/** Methods of newer runtimes, several times faster; the hosted one (Deno 2.1) lacks them. */
interface NativeBase64 {
  toBase64(options: { alphabet: Alphabet; omitPadding: boolean }): string;
}
interface NativeBase64Constructor {
  fromBase64(text: string, options: { alphabet: Alphabet }): Bytes;
}
const isNative = "fromBase64" in Uint8Array;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Base64 with padding (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  return encode(bytes, "base64");
}

/** Decodes padded base64. Null for every spelling but the canonical one. */
export function fromBase64(text: string): Bytes | null {
  const bytes = decode(text, "base64");
  return bytes && toBase64(bytes) === text ? bytes : null;
}

/** Base64url without padding (RFC 4648, section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  return encode(bytes, "base64url");
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
  const bytes = decode(text, "base64url");
  return bytes?.length === Math.floor(text.length * 3 / 4) ? bytes : null;
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function encode(bytes: Uint8Array, alphabet: Alphabet): string {
  if (!isNative) return encodeBase64(bytes, alphabet);
  const native = bytes as unknown as NativeBase64;
  return native.toBase64({ alphabet, omitPadding: alphabet === "base64url" });
}

function decode(text: string, alphabet: Alphabet): Bytes | null {
  if (!isNative) return decodeBase64(text, alphabet);
  try {
    const native = Uint8Array as unknown as NativeBase64Constructor;
    return native.fromBase64(text, { alphabet });
  } catch {
    return null;
  }
}

/** Lowercase hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** UTF-8. */
export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

/** Decodes UTF-8. @throws TypeError for invalid bytes */
export function fromUtf8(bytes: Uint8Array): string {
  // Several times faster in Deno. Its replacement character stands for invalid bytes, or for itself.
  const text = lenientDecoder.decode(bytes);
  return text.includes("\ufffd") ? decoder.decode(bytes) : text;
}

/** Concatenates byte strings. */
export function concat(...parts: Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Whether two byte strings are equal. Not for secrets: the time depends on their common prefix. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

/** A Buffer of Node as bytes. It is a Uint8Array, but the types of Deno 2.1 do not say so. */
export const asPlain = (buffer: unknown): Bytes => buffer as Bytes;
