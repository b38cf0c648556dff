import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import { KeyRing } from "./key_ring.ts";
import { dataKeyStore } from "./store.ts";

/**
 * Compares the key-encryption keys of the environment (null: none) with those that data keys are
 * wrapped under. A call rejects with the id of a key that is missing, or that is another one than was
 * registered under its id.
 */
export function keyComparison(
  service: CallerClient,
  encryptionKeys: string | null,
): () => Promise<void> {
  let ring: KeyRing | null = null;
  return async () => {
    // Kept, because deriving a key from a passphrase takes time.
    if (encryptionKeys) ring ??= new KeyRing(encryptionKeys);
    const used = unwrap(await service.rpc("key_encryption_status"))
      .filter(({ data_keys }) => data_keys > 0);
    const missing = used.find(({ id }) => !ring?.ids.includes(id));
    if (missing) throw new Error(`the key-encryption key ${missing.id} is not in the secrets`);
    await ring?.check(dataKeyStore(service));
  };
}
