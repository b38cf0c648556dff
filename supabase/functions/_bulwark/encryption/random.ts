import { type Bytes, toBase64Url, utf8 } from "../foundation/bytes.ts";

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
  return await pbkdf2(
    typeof password === "string" ? utf8(password) : password,
    salt,
    rounds,
    length,
  );
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
