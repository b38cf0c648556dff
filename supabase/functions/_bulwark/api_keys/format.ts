import { utf8 } from "../foundation/bytes.ts";
import { createHash } from "node:crypto";

/** `<prefix>_<environment>_<32 characters><6 characters of checksum>`. */
const form = /^[a-z]{2,12}_[a-z]{2,12}_([0-9A-Za-z]{32})([0-9A-Za-z]{6})$/;

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * Whether a text has the form of an API key and the right checksum. Does not say whether the key
 * exists. For reports and scanners, never for authentication.
 */
export function isApiKey(text: string): boolean {
  const [, secret = "", checksum] = form.exec(text) ?? [];
  return checksum !== undefined && checksumOf(secret) === checksum;
}

/** CRC-32 (ISO 3309) of ASCII text as six characters of 0-9A-Za-z, the same as in the database. */
export function checksumOf(text: string): string {
  let crc = 0xffffffff;
  for (const byte of utf8(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  let rest = (crc ^ 0xffffffff) >>> 0;
  let digits = "";
  for (let place = 0; place < 6; place++) {
    digits = alphabet.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** SHA-256 of a key in hex, by which the database finds it. The key itself is not passed on. */
export function hashOf(apiKey: string): string {
  return createHash("sha256").update(apiKey, "utf8").digest("hex");
}
