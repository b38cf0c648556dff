import type { CallerClient } from "../foundation/caller.ts";
import { type DataApiFailure, fromDataApi } from "../foundation/errors.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { lines, together } from "./together.ts";

/** Calls that are decided alike: the same buckets, charged the same. */
function bucketsOf(charge: Charge): string {
  const { rule, userId, apiKeyId, address, account, organizationId, cost } = charge;
  return JSON.stringify([rule, userId, apiKeyId, address, account, organizationId, cost]);
}

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
  /** How many of the calls that were asked about at once; begin_login asks about one. */
  admitted?: number;
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

/**
 * Buckets in Postgres, through the Data API and with the secret key. Calls of users that come at once
 * are decided together. What is not simply admitted, and what is not a user's, is asked about by
 * itself: one question at a time for one bucket, about all the calls that wait for it. So one caller
 * has one connection at most, however many calls they make or however long their bucket is held.
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

  const alone = lines<Charge, Decision>(async (charges) => {
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
    // The calls before the last one in a batch have left what the calls behind them used, too.
    return charges.map((_, index) =>
      index < count
        ? { ...admitted, remaining: row.remaining + (count - 1 - index) * (charge.cost ?? 1) }
        : decision
    );
  });
  const byItself = (charge: Charge) => alone(bucketsOf(charge), charge);

  const ofUsers = together<Charge, Decision>(async (calls) => {
    const answer = await client.rpc("check_rate_limits", {
      rules: calls.map(({ rule }) => rule),
      // Nulls among them, which the generated types do not know of.
      user_ids: calls.map(({ userId }) => userId ?? null) as string[],
      addresses: calls.map(({ address }) => address ?? null) as string[],
    });
    if (answer.error) throw fromDataApi({ status: answer.status, error: answer.error });
    const rows = answer.data as DecisionRow[];
    return calls.map((call, index) => {
      const row = rows[index];
      return row?.allowed ? fromRow(call.rule, row) : byItself(call);
    });
  });

  return {
    async decide(charge) {
      const { userId, apiKeyId, account, organizationId, cost = 1 } = charge;
      const isUsers = userId && !apiKeyId && !account && !organizationId && cost === 1;
      return await (isUsers ? ofUsers(charge) : byItself(charge));
    },
  };
}
