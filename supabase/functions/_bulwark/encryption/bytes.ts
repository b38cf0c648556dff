import {
  type Bytes,
  concat,
  fromBase64Url,
  toBase64Url,
  toHex,
  utf8,
} from "../foundation/bytes.ts";

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
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
