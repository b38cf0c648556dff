/**
 * Field encryption for edge functions: AES-256-GCM under data keys of each organization, which are
 * wrapped by keys that only functions hold.
 *
 *     const keys = openDataKeys(serviceClient(env, correlationId), readEncryptionEnv());
 *     const address = { schema: "public", table: "contacts", column: "email", primaryKey: id, organizationId };
 *     const stored = await encryptField(keys, address, "ada@example.com");
 *     const text = await decryptField(keys, address, stored);
 */
import type { CallerClient } from "../foundation/caller.ts";
import type { EncryptionEnv } from "./env.ts";
import { BulwarkError } from "../foundation/errors.ts";
import { CachedDataKeys, type DataKeys } from "./data_keys.ts";
import { KeyRing } from "./key_ring.ts";
import { dataKeyStore } from "./store.ts";

export { blindIndex, blindIndexes, type Normalization } from "./blind_index.ts";
export type { DataKeys } from "./data_keys.ts";
export { EncryptionError, type EncryptionFault } from "./errors.ts";
export { decryptField, decryptRecord, encryptField, encryptRecord } from "./fields.ts";
export type { FieldAddress } from "./format.ts";
export { constantTimeEqual } from "../foundation/constant_time.ts";
export { derivePasswordKey, randomToken } from "./random.ts";

/** One cache per process for each combination of keys and project. */
const opened = new Map<string, CachedDataKeys>();

/**
 * The source of data keys. Calls in the same process share one cache.
 * @param client with the secret key; kept as long as the cache
 * @throws BulwarkError 503 ENCRYPTION_NOT_CONFIGURED without a key-encryption key; Error for an
 * invalid one
 */
export function openDataKeys(
  client: CallerClient,
  env: Pick<EncryptionEnv, "url" | "encryptionKeys">,
): CachedDataKeys & DataKeys {
  if (!env.encryptionKeys) {
    throw new BulwarkError(
      503,
      "ENCRYPTION_NOT_CONFIGURED",
      "Cannot encrypt or decrypt: no key-encryption key is set",
    );
  }
  const name = `${env.url}\n${env.encryptionKeys}`;
  let keys = opened.get(name);
  if (!keys) {
    keys = new CachedDataKeys(new KeyRing(env.encryptionKeys), dataKeyStore(client));
    opened.set(name, keys);
  }
  return keys;
}
