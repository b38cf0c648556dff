/** A malformed value in one of the audit log's formats; the message names the field. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

/** Base64 (RFC 4648, section 4) with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/**
 * Decodes padded base64 in its canonical form.
 * @throws MalformedError if it has another form or another length than required
 */
export function fromBase64(text: unknown, field: string, length?: number): Uint8Array {
  const bytes = typeof text === "string" ? decode(text) : null;
  if (!bytes || length !== undefined && bytes.length !== length) {
    throw new MalformedError(`${field} is not base64${length ? ` of ${length} bytes` : ""}`);
  }
  return bytes;
}

function decode(text: string): Uint8Array | null {
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

/** Lowercase hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Concatenates byte strings. */
export function concat(...parts: Uint8Array[]): Uint8Array {
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
