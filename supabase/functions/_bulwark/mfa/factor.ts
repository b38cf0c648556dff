import { type DataKeys, decryptField, encryptField, type FieldAddress } from "../encryption/mod.ts";

/** A factor and its user. */
export interface Factor {
  factorId: string;
  userId: string;
}

const address = (factorId: string): FieldAddress => ({
  schema: "bulwark",
  table: "mfa_secrets",
  column: "secret",
  primaryKey: factorId,
  organizationId: null,
});

/** Encrypts a secret and its user, bound to the row, so that neither can be changed. */
export async function sealSecret(
  keys: DataKeys,
  { factorId, userId }: Factor,
  secret: string,
): Promise<string> {
  return await encryptField(keys, address(factorId), `${userId} ${secret}`);
}

/**
 * Decrypts the secret of a factor.
 * @throws Error if the ciphertext belongs to another row or another user
 */
export async function openSecret(
  keys: DataKeys,
  { factorId, userId }: Factor,
  ciphertext: string,
): Promise<string> {
  const [owner, secret] = (await decryptField(keys, address(factorId), ciphertext)).split(" ");
  if (owner !== userId || !secret) throw new Error("The secret belongs to another user");
  return secret;
}
