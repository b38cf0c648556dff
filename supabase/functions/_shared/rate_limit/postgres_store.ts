import type { CallerClient } from "../caller.ts";
import { type DataApiFailure, fromDataApi } from "../errors.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { together } from "./together.ts";

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

/** A call that one bucket of a user decides, as most are. */
interface UserCall {
  rule: string;
  userId: string;
  address: string | null;
}

/**
 * Buckets in Postgres, through the Data API and with the secret key. Calls of users that come at once
 * are decided together; what is not simply admitted is asked for alone.
 */
export function postgresStore(client: CallerClient): RateLimitStore {
  async function alone(charge: Charge): Promise<Decision> {
    const { rule, userId, apiKeyId, address, account, organizationId, cost } = charge;
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
  }

  const ofUser = together<UserCall, Decision>(async (calls) => {
    const [only] = calls;
    if (only && calls.length === 1) return [await alone(only)];
    const answer = await client.rpc("check_rate_limits", {
      rules: calls.map(({ rule }) => rule),
      user_ids: calls.map(({ userId }) => userId),
      // Nulls among them, which the generated types do not know of.
      addresses: calls.map(({ address }) => address) as string[],
    });
    if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
    const rows = answer.data as DecisionRow[];
    return calls.map((call, index) => {
      const row = rows[index];
      return row?.allowed ? fromRow(call.rule, row) : alone(call);
    });
  });

  return {
    async decide(charge) {
      const { rule, userId, apiKeyId, address, account, organizationId, cost = 1 } = charge;
      return userId && !apiKeyId && !account && !organizationId && cost === 1
        ? await ofUser({ rule, userId, address: address ?? null })
        : await alone(charge);
    },
  };
}
