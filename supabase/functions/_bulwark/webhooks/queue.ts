import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { Json } from "../foundation/database.types.ts";
import type { AttemptResult, ClaimedDelivery } from "./attempt.ts";
import type { WebhookFormat } from "./formats.ts";

/** An endpoint as stored: its address and secrets are encrypted. */
export interface SealedEndpoint {
  id: string;
  organization_id: string | null;
  /** The account of the endpoint. Endpoints of one account share its part of a worker. */
  account_id: string;
  /** Whether deliveries arrived recently. */
  proven: boolean;
  /** Consecutive timeouts. */
  timeouts: number;
  name: string;
  origin: string;
  format: WebhookFormat;
  follow_redirects: boolean;
  destination: string;
  /** The newest first. */
  secrets: { id: string; ciphertext: string }[];
}

/** Parameters of a claim. */
export interface Wanted {
  worker: string;
  /** Maximum number of deliveries. */
  maximum: number;
  /** Seconds. */
  lease: number;
  /** Maximum number of deliveries to unproven endpoints. */
  maximumUnproven: number;
  /** Endpoints and accounts that get no deliveries now. */
  busyEndpoints: string[];
  busyAccounts: string[];
  /** Claims this delivery only. */
  only?: string | undefined;
}

/** Claimed deliveries, until the lease ends. */
export interface Claim {
  deliveries: ClaimedDelivery[];
  endpoints: SealedEndpoint[];
}

/** The outbox. */
export interface WebhookQueue {
  /** Claims due deliveries. */
  claim(asked: Wanted): Promise<Claim>;
  /** Records results. Idempotent: each attempt is recorded once. */
  complete(results: AttemptResult[]): Promise<void>;
}

/** The outbox through the Data API, as the service role. */
export function webhookQueue(client: CallerClient): WebhookQueue {
  return {
    async claim({ worker, maximum, maximumUnproven, lease, busyEndpoints, busyAccounts, only }) {
      const claim = unwrap(
        await client.rpc("claim_webhook_deliveries", {
          worker,
          maximum,
          maximum_unproven: maximumUnproven,
          lease_seconds: lease,
          busy_endpoints: busyEndpoints,
          busy_accounts: busyAccounts,
          ...(only ? { only_delivery: only } : {}),
        }),
      );
      return claim as unknown as Claim;
    },
    async complete(results) {
      unwrap(
        await client.rpc("complete_webhook_deliveries", { results: results as unknown as Json }),
      );
    },
  };
}
