import type { CallerClient } from "../foundation/caller.ts";
import { type DataApiFailure, fromDataApi } from "../foundation/errors.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { batch, batchPerKey } from "./batch.ts";

/** Equal for calls that charge the same buckets by the same cost. */
function batchKey(charge: Charge): string {
  const { rule, userId, apiKeyId, address, account, organizationId, cost } = charge;
  return JSON.stringify([rule, userId, apiKeyId, address, account, organizationId, cost]);
}

/** A row of check_rate_limit or begin_login. */
export interface DecisionRow {
  allowed: boolean;
  reason: string | null;
  capacity: number;
  window_seconds: number;
  remaining: number;
  reset_seconds: number;
  retry_after_seconds: number | null;
  when_store_fails: "open" | "closed";
  /** Number of admitted calls of the batch; missing in rows of begin_login. */
  admitted?: number;
}

/** Converts a row of the database to a decision. */
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

/** The single row of an answer; throws if there is none. */
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

/**
 * Buckets in Postgres, through the Data API with the secret key. Concurrent calls of users are
 * decided in batches. Calls that a batch does not admit, and calls of other callers, are decided in
 * batches of their own bucket, one at a time. So a caller uses one connection at most, however long
 * their bucket is locked.
 */
export function postgresStore(client: CallerClient): RateLimitStore {
  async function ask(charge: Charge, calls: number): Promise<DecisionRow> {
    const { rule, userId, apiKeyId, address, account, organizationId, cost } = charge;
    const answer = await client.rpc("check_rate_limit", {
      rule,
      ...userId ? { user_id: userId } : {},
      ...apiKeyId ? { api_key_id: apiKeyId } : {},
      ...address ? { address } : {},
      ...account ? { account } : {},
      ...organizationId ? { organization_id: organizationId } : {},
      ...cost === undefined ? {} : { cost },
      ...calls === 1 ? {} : { calls },
    });
    if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
    return answer.data as DecisionRow;
  }

  const perBucket = batchPerKey<Charge, Decision>(async (charges) => {
    const [charge] = charges;
    if (!charge) return [];
    const row = await ask(charge, charges.length);
    const decision = fromRow(charge.rule, row);
    const admitted: Decision = {
      ...decision,
      allowed: true,
      reason: null,
      retryAfterSeconds: null,
    };
    const count = row.allowed ? charges.length : row.admitted ?? 0;
    // The row has what is left after the last admitted call; earlier calls left more.
    return charges.map((_, index) =>
      index < count
        ? { ...admitted, remaining: row.remaining + (count - 1 - index) * (charge.cost ?? 1) }
        : decision
    );
  });
  const decideOne = (charge: Charge) => perBucket(batchKey(charge), charge);

  const ofUsers = batch<Charge, Decision>(async (calls) => {
    const answer = await client.rpc("check_rate_limits", {
      rules: calls.map(({ rule }) => rule),
      // The generated types do not know that elements can be null.
      user_ids: calls.map(({ userId }) => userId ?? null) as string[],
      addresses: calls.map(({ address }) => address ?? null) as string[],
    });
    if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
    const rows = answer.data as DecisionRow[];
    return calls.map((call, index) => {
      const row = rows[index];
      return row?.allowed ? fromRow(call.rule, row) : decideOne(call);
    });
  });

  return {
    async decide(charge) {
      const { userId, apiKeyId, account, organizationId, cost = 1 } = charge;
      const isUsers = userId && !apiKeyId && !account && !organizationId && cost === 1;
      return await (isUsers ? ofUsers(charge) : decideOne(charge));
    },
  };
}
