import type { CallerClient } from "../foundation/caller.ts";
import { BulwarkError, unwrap as unwrapAnswer } from "../foundation/errors.ts";
import { batch } from "../rate_limits/batch.ts";
import type { DataKeyStore, StoredDataKey } from "./data_keys.ts";
import { EncryptionError } from "./errors.ts";
import type { KeyFault, RegisteredKey } from "./key_ring.ts";

/** Wrapped data keys through the Data API, as the service role. */
export function dataKeyStore(client: CallerClient): DataKeyStore {
  // Batches the keys of rows that are read at once. Some may not exist.
  const read = batch<string, StoredDataKey | undefined>(async (ids) => {
    const rows = unwrap(await client.rpc("read_data_keys", { key_ids: ids })).map(stored);
    const byId = new Map(rows.map((key) => [key.id, key]));
    return ids.map((id) => byId.get(id));
  }, { size: 200, concurrency: 2, timeoutMs: 30_000 });
  return {
    async find(id) {
      const [row] = unwrap(await client.rpc("find_key_encryption_key", { key_id: id }));
      return row ? registered(row) : null;
    },
    async register(id, { derivation, salt, rounds, checkValue }) {
      unwrap(
        await client.rpc("register_key_encryption_key", {
          key_id: id,
          derivation,
          check_value: checkValue,
          ...(salt === null ? {} : { salt }),
          ...(rounds === null ? {} : { rounds }),
        }),
      );
      // Another process may have been first.
      const [row] = unwrap(await client.rpc("find_key_encryption_key", { key_id: id }));
      return registered(row!);
    },
    async report(id, fault) {
      unwrap(
        await client.rpc("report_key_fault", { key_id: id, ...(fault === null ? {} : { fault }) }),
      );
    },
    async reserve(organizationId, purpose, messages) {
      const [row] = unwrap(
        await client.rpc("reserve_data_key", {
          key_purpose: purpose,
          messages,
          ...(organizationId === null ? {} : { for_organization: organizationId }),
        }),
      );
      if (!row) return { key: null, granted: 0, kek: null };
      return { key: row.id ? stored(row) : null, granted: row.granted, kek: row.current_kek };
    },
    async add({ id, organizationId, purpose, wrapped }, after) {
      unwrap(
        await client.rpc("add_data_key", {
          key_id: id,
          purpose,
          wrapped_key: wrapped,
          after_version: after,
          ...(organizationId === null ? {} : { organization_id: organizationId }),
        }),
      );
    },
    async read(ids) {
      return (await Promise.all(ids.map(read))).filter((key) => key !== undefined);
    },
    async indexKeys(organizationId) {
      const asked = organizationId === null ? {} : { for_organization: organizationId };
      return unwrap(await client.rpc("read_index_keys", asked)).map(stored);
    },
  };
}

/** A row of these functions; the generated types lack null. */
interface KeyRow {
  id: string;
  organization_id: string | null;
  purpose: string;
  version: number;
  wrapped_key: string | null;
}

function stored(row: KeyRow): StoredDataKey {
  return {
    id: row.id,
    organizationId: row.organization_id,
    purpose: row.purpose === "index" ? "index" : "field",
    version: Number(row.version),
    wrapped: row.wrapped_key,
  };
}

function registered(
  row: {
    derivation: string;
    salt: string | null;
    rounds: number | null;
    check_value: string;
    is_lost: boolean;
    fault: string | null;
  },
): RegisteredKey {
  const derivation = row.derivation === "raw" ? "raw" : "pbkdf2-sha256";
  return {
    derivation,
    salt: row.salt,
    rounds: row.rounds && Number(row.rounds),
    checkValue: row.check_value,
    isLost: row.is_lost,
    fault: row.fault as KeyFault | null,
  };
}

/** {@link unwrapAnswer}, with a destroyed key mapped to its fault. */
export function unwrap<Data>(answer: Parameters<typeof unwrapAnswer<Data>>[0]): Data {
  try {
    return unwrapAnswer(answer);
  } catch (thrown) {
    if (thrown instanceof BulwarkError && thrown.code === "ENCRYPTION_KEY_DESTROYED") {
      throw new EncryptionError("key_destroyed", "the organization's data keys");
    }
    throw thrown;
  }
}
