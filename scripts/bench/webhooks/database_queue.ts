import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { CachedDataKeys } from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { memoryStore } from "../../../tests/encryption/unit/memory_store.ts";
import type { DataKeys } from "../../../supabase/functions/_bulwark/encryption/mod.ts";
import type { Claim, WebhookQueue } from "../../../supabase/functions/_bulwark/webhooks/queue.ts";
import {
  newSecret,
  sealDestination,
  sealSecret,
} from "../../../supabase/functions/_bulwark/webhooks/sealing.ts";
import type { Sql } from "../../stack/connection.ts";

/** The outbox on a service role's connection, without PostgREST. */
export function databaseQueue(sql: Sql): WebhookQueue {
  return {
    async claim({ worker, maximum, maximumUnproven, lease, busyEndpoints, busyAccounts, only }) {
      const [row] = await sql`
        select bulwark.claim_webhook_deliveries(
          ${worker}, ${maximum}, ${lease}, ${only ?? null}, ${busyEndpoints}, ${busyAccounts},
          ${maximumUnproven}
        ) as claim
      `;
      return row?.["claim"] as Claim;
    },
    async complete(results) {
      await sql`select bulwark.complete_webhook_deliveries(${sql.json(results as never)})`;
    },
  };
}

/** Data keys in the memory of this process. */
export function memoryKeys(encoded: string): DataKeys {
  return new CachedDataKeys(new KeyRing(encoded), memoryStore());
}

/** Creates an endpoint directly in the database, as the function does. */
export async function makeEndpoint(
  sql: Sql,
  keys: DataKeys,
  organization: string,
  address: string,
  patterns: string[],
): Promise<{ id: string; secret: string }> {
  const [id, secretId, secret] = [crypto.randomUUID(), crypto.randomUUID(), newSecret()];
  const url = new URL(address);
  const destination = await sealDestination(keys, id, organization, { url: url.href });
  const subscriptions = patterns.map((pattern) => ({ pattern }));
  await sql`
    select bulwark.create_webhook_endpoint(
      ${id}, ${organization}, 'Receiver', ${url.origin}, ${destination}, ${secretId},
      ${await sealSecret(keys, secretId, organization, secret)},
      ${sql.json(subscriptions)}
    )
  `;
  return { id, secret };
}
