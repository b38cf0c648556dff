/** Rotation: new data keys at once, re-encryption in the background, rewrapping on request. */
import type { CallerClient } from "../foundation/caller.ts";
import { requirePermission } from "../rbac/permissions.ts";
import { blindIndex, type Normalization } from "./blind_index.ts";
import type { CachedDataKeys, StoredDataKey } from "./data_keys.ts";
import { EncryptionError, isAboutTheRow } from "./errors.ts";
import { decryptField, encryptField } from "./fields.ts";
import type { RotateInput, WorkInput } from "./operations.ts";
import type { DataKeyIdentity } from "./key_ring.ts";
import { unwrap } from "./store.ts";

/** A new version of a data key. */
export interface RotatedKey {
  organization_id: string | null;
  purpose: DataKeyIdentity["purpose"];
  version: number;
}

/**
 * Makes a new version of an organization's data key (null: the system's) the current one, and
 * queues values under the old one for re-encryption. An organization without a key gets its first.
 */
export async function rotateDataKey(
  keys: CachedDataKeys,
  organizationId: string | null,
  purpose: DataKeyIdentity["purpose"],
): Promise<RotatedKey> {
  const { key, kek } = await keys.store.reserve(organizationId, purpose, 0);
  const after = key?.version ?? 0;
  const id = await keys.addVersion(organizationId, purpose, after, kek);
  keys.forgetOrganization(organizationId);
  const [made] = await keys.store.read([id]);
  return { organization_id: organizationId, purpose, version: made?.version ?? after + 1 };
}

/**
 * {@link rotateDataKey} for callers with encryption:rotate in the organization (null: system-wide).
 * @throws BulwarkError 403 RBAC_PERMISSION_DENIED
 */
export async function rotate(
  { caller, keys }: { caller: CallerClient; keys: CachedDataKeys },
  { organization_id, purpose }: RotateInput,
): Promise<RotatedKey> {
  await requirePermission(caller, "encryption:rotate", organization_id);
  return await rotateDataKey(keys, organization_id, purpose);
}

/** Result of one call of {@link work}. */
export interface WorkDone {
  rotated: RotatedKey[];
  rewrapped: number;
  /** Data keys still wrapped by another key-encryption key than requested. */
  left_to_rewrap: boolean;
  reencrypted: number;
  failed: number;
  /** Whether there is more work right now. */
  more: boolean;
  /** Total and done rows of unfinished re-encryptions. */
  progress: { total: number; done: number; running: number; settling: number; incomplete: number };
}

/** Rotates as requested, rewraps, and re-encrypts until the time is over. */
export async function work(
  service: CallerClient,
  keys: CachedDataKeys,
  asked: WorkInput,
): Promise<WorkDone> {
  const deadline = performance.now() + asked.milliseconds;
  const rotated: RotatedKey[] = [];
  for (const id of asked.rotate) rotated.push(await rotateDataKey(keys, id, asked.purpose));
  if (asked.retry) unwrap(await service.rpc("retry_reencryption"));
  const done: WorkDone = {
    rotated,
    rewrapped: 0,
    left_to_rewrap: false,
    reencrypted: 0,
    failed: 0,
    more: false,
    progress: { total: 0, done: 0, running: 0, settling: 0, incomplete: 0 },
  };
  if (asked.key_encryption_key !== null) {
    const { changed, left } = await rewrap(service, keys, asked.key_encryption_key, deadline);
    done.rewrapped = changed;
    done.left_to_rewrap = left;
  }
  while (performance.now() < deadline) {
    const batch = await reencryptBatch(service, keys, asked.batch_size);
    if (!batch) break;
    done.reencrypted += batch.changed;
    done.failed += batch.failed;
  }
  done.progress = await progressOf(service);
  done.more = done.left_to_rewrap || done.progress.running > 0;
  return done;
}

async function progressOf(service: CallerClient): Promise<WorkDone["progress"]> {
  const progress = { total: 0, done: 0, running: 0, settling: 0, incomplete: 0 };
  for (const { state, total, done } of unwrap(await service.rpc("encryption_progress"))) {
    if (state === "done") continue;
    // Null until the first batch has counted.
    progress.total += total ?? 0;
    progress.done += done;
    progress[state as "running" | "settling" | "incomplete"]++;
  }
  return progress;
}

/** Makes a key-encryption key the current one and rewraps data keys under it. */
async function rewrap(
  service: CallerClient,
  keys: CachedDataKeys,
  kek: string,
  deadline: number,
): Promise<{ changed: number; left: boolean }> {
  // A test wrapping proves that the secret is here before anything depends on it.
  const identity = { id: crypto.randomUUID(), organizationId: null, purpose: "field" as const };
  const probe = new Uint8Array(32);
  await keys.ring.unwrap(
    await keys.ring.wrap(kek, probe, identity, keys.store),
    identity,
    keys.store,
  );
  unwrap(await service.rpc("choose_key_encryption_key", { key_id: kek }));
  for (let changed = 0;;) {
    const found = unwrap(await service.rpc("data_keys_to_rewrap", { kek, batch_size: 100 }));
    if (found.length === 0) return { changed, left: false };
    const changes = await Promise.all(found.map(async (row) => {
      const stored: StoredDataKey = {
        id: row.id,
        organizationId: row.organization_id,
        purpose: row.purpose === "index" ? "index" : "field",
        version: row.version,
        wrapped: row.wrapped_key,
      };
      const secret = await keys.ring.unwrap(row.wrapped_key, stored, keys.store);
      const wrapped = await keys.ring.wrap(kek, secret, stored, keys.store);
      secret.fill(0);
      return { id: row.id, c: row.wrapped_key, n: wrapped };
    }));
    changed += unwrap(await service.rpc("rewrap_data_keys", { changes }));
    if (performance.now() > deadline) return { changed, left: true };
  }
}

/** A row of a batch: primary key, organization, ciphertext. */
interface BatchRow {
  k: string;
  o: string | null;
  c: string;
}

/** Re-encrypts the next batch; null if there is no work now. */
export async function reencryptBatch(
  service: CallerClient,
  keys: CachedDataKeys,
  batchSize: number,
): Promise<{ changed: number; failed: number } | null> {
  const [lent] = unwrap(await service.rpc("next_reencryption_batch", { batch_size: batchSize }));
  if (!lent) return null;
  const failures: { k: string; f: string }[] = [];
  const rows = lent.batch as unknown as BatchRow[];
  const changed = await Promise.all(rows.map(async ({ k, o, c }) => {
    const address = {
      schema: lent.schema_name,
      table: lent.table_name,
      column: lent.column_name,
      primaryKey: k,
      organizationId: o,
    };
    try {
      const text = await decryptField(keys, address, c);
      const n = await encryptField(keys, address, text);
      const i = lent.is_indexed
        ? await blindIndex(keys, address, text, lent.normalization as Normalization)
        : null;
      return [{ k, c, n, i }];
    } catch (thrown) {
      // A row that cannot be decrypted is skipped; other errors are not the row's fault.
      if (!(thrown instanceof EncryptionError) || !isAboutTheRow(thrown)) throw thrown;
      failures.push({ k, f: thrown.fault });
      return [];
    }
  }));
  const applied = unwrap(
    await service.rpc("apply_reencryption_batch", {
      reencryption_id: lent.reencryption_id,
      next_place: lent.next_place,
      changes: changed.flat(),
      failures,
      ...(lent.place === null ? {} : { place: lent.place }),
    }),
  );
  return { changed: applied, failed: failures.length };
}
