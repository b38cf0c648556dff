import { fromDeno, type GetVariable, readServiceEnv, type ServiceEnv } from "../foundation/env.ts";

/** The environment of a function that encrypts. */
export interface EncryptionEnv extends ServiceEnv {
  /** The bearer token of the scheduler; null: its routes are closed. */
  schedulerSecret: string | null;
  /** The key-encryption keys, the current one first; null: nothing is encrypted. */
  encryptionKeys: string | null;
}

/** @throws Error naming the variable that is missing */
export function readEncryptionEnv(get: GetVariable = fromDeno): EncryptionEnv {
  return {
    ...readServiceEnv(get),
    schedulerSecret: get("BULWARK_SCHEDULER_SECRET") || null,
    encryptionKeys: get("BULWARK_ENCRYPTION_KEYS") || null,
  };
}
