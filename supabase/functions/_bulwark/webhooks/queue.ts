import type { CallerClient } from "../foundation/caller.ts";
import { unwrap } from "../foundation/errors.ts";
import type { Json } from "../foundation/database.types.ts";
import type { AttemptResult, ClaimedDelivery } from "./attempt.ts";
import type { WebhookFormat } from "./formats.ts";

/** An endpoint as it is stored: its address and its secrets are ciphertext. */
export interface SealedEndpoint {
  id: string;
  organization_id: string | null;
  /** The account behind it: its endpoints share what one account may have of a worker. */
  account_id: string;
  /** Whether deliveries arrived lately. */
  proven: boolean;
  /** How often in a row it timed out. */
  timeouts: number;
  name: string;
  origin: string;
  format: WebhookFormat;
  follow_redirects: boolean;
  destination: string;
  /** The newest first. */
  secrets: { id: string; ciphertext: string }[];
}

/** What a worker asks for. */
export interface Wanted {
  worker: string;
  /** Deliveries, at most. */
  maximum: number;
  /** Seconds. */
  lease: number;
  /** Deliveries to endpoints that are not proven, at most. */
  maximumUnproven: number;
  /** Endpoints and accounts of which it has enough. */
  busyEndpoints: string[];
  busyAccounts: string[];
  /** This delivery and no other. */
  only?: string | undefined;
}

/** What a worker got, until its lease ends. */
export interface Claim {
  deliveries: ClaimedDelivery[];
  endpoints: SealedEndpoint[];
}

/** The outbox. */
export interface WebhookQueue {
  /** Takes what is due. */
  claim(asked: Wanted): Promise<Claim>;
  /** Says how attempts ended; each is taken once, however often it is said. */
  complete(results: AttemptResult[]): Promise<void>;
}

/** The outbox as the service role reaches it through the Data API. */
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
