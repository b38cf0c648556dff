import { toHex, utf8 } from "../foundation/bytes.ts";

/** Crockford's base32: no letter that is taken for another or for a digit. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const groups = 6;
const groupLength = 4;

/**
 * Ten backup codes of 120 random bits each, in six groups of four. From 112 bits on NIST SP 800-63B
 * asks for no password hash.
 */
export function makeBackupCodes(): string[] {
  return Array.from({ length: 10 }, () => {
    const bytes = crypto.getRandomValues(new Uint8Array(groups * groupLength));
    const letters = Array.from(bytes, (byte) => alphabet[byte & 31]).join("");
    return letters.match(/.{4}/g)!.join("-");
  });
}

/**
 * The stored hash of a backup code: HMAC-SHA-256 (RFC 2104) under the pepper, in hex.
 * @param code as readBackupCode returns it
 */
export async function hashBackupCode(pepper: string, code: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8(pepper), algorithm, false, [
    "sign",
  ]);
  return toHex(new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8(code))));
}
