import { type Bytes, fromBase64 as decode } from "../foundation/bytes.ts";

/** A malformed value in one of the audit log's formats; the message names the field. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
}

/**
 * Decodes padded base64 in its canonical form.
 * @throws MalformedError if it has another form or another length than required
 */
export function fromBase64(text: unknown, field: string, length?: number): Bytes {
  const bytes = typeof text === "string" ? decode(text) : null;
  if (!bytes || length !== undefined && bytes.length !== length) {
    throw new MalformedError(`${field} is not base64${length ? ` of ${length} bytes` : ""}`);
  }
  return bytes;
}
