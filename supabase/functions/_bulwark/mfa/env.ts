import { fromDeno, type GetVariable, readServiceEnv, type ServiceEnv } from "../foundation/env.ts";

/** The environment of the function `bulwark-mfa`. */
export interface MfaEnv extends ServiceEnv {
  /** The key-encryption keys, the current one first; null: nothing is encrypted. */
  encryptionKeys: string | null;
  /** Keys the hashes of backup codes; null: no factor can be enrolled or verified. */
  pepper: string | null;
}

/** @throws Error naming the variable that is missing, or too short */
export function readMfaEnv(get: GetVariable = fromDeno): MfaEnv {
  const pepper = get("BULWARK_MFA_PEPPER") || null;
  if (pepper && pepper.length < 32) {
    throw new Error("BULWARK_MFA_PEPPER has fewer than 32 characters");
  }
  return {
    ...readServiceEnv(get),
    encryptionKeys: get("BULWARK_ENCRYPTION_KEYS") || null,
    pepper,
  };
}
