import type { Calls } from "../calls.ts";
import type { Inputs } from "../generated/inputs.ts";
import type { FunctionAnswers } from "../generated/answers.ts";

/** Encrypted fields: encrypt before a write, decrypt after a read. */
export function encryption<T extends boolean>({ rpc, invoke }: Calls<T>) {
  const post = <Path extends keyof FunctionAnswers & keyof Inputs>(
    path: Path,
    body: Inputs[Path],
  ) => invoke<FunctionAnswers[Path]>(path, { body });
  return {
    /** The columns to write; the values are bound to their organization and primary key. */
    encrypt: (rows: Inputs["bulwark-encryption/encrypt"]) =>
      post("bulwark-encryption/encrypt", rows),
    /** The texts of rows that the caller can read. */
    decrypt: (rows: Inputs["bulwark-encryption/decrypt"]) =>
      post("bulwark-encryption/decrypt", rows),
    /** The primary keys of rows that have a text. */
    find: (search: Inputs["bulwark-encryption/find"]) => post("bulwark-encryption/find", search),
    /** Makes a new data key; values under the old one are encrypted again in the background. */
    rotate: (organization: string | null, purpose?: "field" | "index") =>
      post("bulwark-encryption/rotate", { organization_id: organization, purpose }),
    /** The data keys, declared columns, and what is being encrypted again or failed. */
    overview: (organization: string | null) =>
      rpc("encryption_overview", { organization_id: organization }),
    /** Tries again what could not be encrypted again; returns how many. */
    retry: (organization: string | null) =>
      rpc("retry_reencryption", { organization_id: organization }),
    /** How far re-encryption is. */
    progress: (organization: string | null) =>
      rpc("encryption_progress", { organization_id: organization }),
    /** The key-encryption keys and how many data keys each wraps. */
    keys: () => rpc("key_encryption_status", {}),
    /** Destroys all keys of an organization, for good; its slug confirms that. */
    shred: (organization: string, slug: string) =>
      rpc("shred_organization", { organization_id: organization, confirm_slug: slug }),
  };
}
