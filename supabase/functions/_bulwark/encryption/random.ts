import { type Bytes, toBase64Url, utf8 } from "./bytes.ts";

/** OWASP's minimum for PBKDF2 with HMAC-SHA-256 (2023), enforced here. */
export const passwordRounds = 600_000;

/**
 * A random token of this many bytes, as base64url without padding: 32 bytes are 43 characters.
 * @throws RangeError for fewer than 16 bytes, which can be guessed, or more than 65,536
 */
export function randomToken(bytes = 32): string {
  if (!Number.isInteger(bytes) || bytes < 16 || bytes > 65_536) {
    throw new RangeError("Cannot make token: it takes 16 to 65,536 bytes");
  }
  return toBase64Url(crypto.getRandomValues(new Uint8Array(bytes)));
}

/**
 * Whether two secrets are equal, in a time that depends only on their lengths. If lengths are
 * secret, compare digests.
 */
export function constantTimeEqual(a: string | Uint8Array, b: string | Uint8Array): boolean {
  const one = bytesOf(a);
  const other = bytesOf(b);
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let index = 0; index < one.length; index++) difference |= one[index]! ^ other[index]!;
  return difference === 0;
}

/** Parameters of a key derivation from a password. */
export interface PasswordParameters {
  /** Random, at least 16 bytes, stored with the protected data. */
  salt: Uint8Array;
  /** PBKDF2 iterations: 600,000 to 10,000,000. */
  rounds: number;
  /** Length of the key in bytes; 32 by default. */
  length?: number;
}

/**
 * A key from a password: PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2). Takes a tenth of a
 * second or more: derive once and keep the key.
 * @throws RangeError for a short salt, too few iterations, or so many that the derivation would
 * hang
 */
export async function derivePasswordKey(
  password: string | Uint8Array,
  { salt, rounds, length = 32 }: PasswordParameters,
): Promise<Bytes> {
  if (salt.length < 16 || !(rounds >= passwordRounds && rounds <= 10_000_000)) {
    throw new RangeError("Cannot derive key: it takes 16 bytes of salt and 600,000 rounds");
  }
  return await pbkdf2(bytesOf(password), salt, rounds, length);
}

/** PBKDF2 with HMAC-SHA-256, without a minimum. */
export async function pbkdf2(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Promise<Bytes> {
  const key = await crypto.subtle.importKey("raw", password as Bytes, "PBKDF2", false, [
    "deriveBits",
  ]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt: salt as Bytes, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, length * 8));
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? utf8(value) : value;
}
