import type { Bytes } from "../foundation/bytes.ts";
import { AesGcmKey } from "./aes_gcm.ts";

/** A key for HKDF only, which cannot be exported. */
export async function importSecret(secret: Bytes): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
}

/** HKDF with SHA-256 (RFC 5869). */
export async function hkdf(
  secret: CryptoKey,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Promise<Bytes> {
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: salt as Bytes, info: info as Bytes };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, secret, length * 8));
}

/** An AES-256-GCM key with its commitment. */
export interface CommittingKey {
  key: AesGcmKey;
  /**
   * 32 bytes that only this key has. GCM does not commit to its key: a ciphertext can be
   * constructed that decrypts under two keys, to two texts.
   */
  commitment: Bytes;
}

/** Derives an AES-256-GCM key and its commitment: the two halves of 64 bytes of HKDF. */
export async function deriveCommittingKey(
  secret: CryptoKey,
  salt: Uint8Array,
  info: Uint8Array,
): Promise<CommittingKey> {
  const derived = await hkdf(secret, salt, info, 64);
  const commitment = derived.slice(32);
  return { key: await AesGcmKey.of(derived.subarray(0, 32)), commitment };
}
