import type { CallerClient } from "../caller.ts";
import { type DataApiFailure, fromDataApi } from "../errors.ts";
import type { Decision, RateLimitStore } from "./decision.ts";

/** What check_rate_limit answers, or a row of begin_login. */
export interface DecisionRow {
  allowed: boolean;
  reason: string | null;
  capacity: number;
  window_seconds: number;
  remaining: number;
  reset_seconds: number;
  retry_after_seconds: number | null;
  when_store_fails: "open" | "closed";
}

/** What the database decided, as a decision. */
export function fromRow(rule: string, row: DecisionRow): Decision {
  return {
    allowed: row.allowed,
    reason: row.allowed ? null : row.reason === "block" ? "block" : "rate",
    rule,
    capacity: row.capacity,
    windowSeconds: row.window_seconds,
    remaining: row.remaining,
    resetSeconds: row.reset_seconds,
    retryAfterSeconds: row.retry_after_seconds,
    whenStoreFails: row.when_store_fails,
  };
}

/** The one row of an answer. */
export function onlyRow<Row>(
  answer:
    | { data: Row[]; error: null }
    | { data: null; error: DataApiFailure["error"]; status: number },
): Row {
  if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
  const [row] = answer.data;
  if (!row) throw new Error("the database answered with no row");
  return row;
}

/** Buckets in Postgres, through the Data API and with the secret key. */
export function postgresStore(client: CallerClient): RateLimitStore {
  return {
    async decide({ rule, userId, apiKeyId, address, account, organizationId, cost }) {
      const answer = await client.rpc("check_rate_limit", {
        rule,
        ...userId ? { user_id: userId } : {},
        ...apiKeyId ? { api_key_id: apiKeyId } : {},
        ...address ? { address } : {},
        ...account ? { account } : {},
        ...organizationId ? { organization_id: organizationId } : {},
        ...cost === undefined ? {} : { cost },
      });
      if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
      return fromRow(rule, answer.data as DecisionRow);
    },
  };
}
