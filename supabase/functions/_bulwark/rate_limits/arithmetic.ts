import type { Charge, Decision, FailureMode } from "./decision.ts";

/** A rule as it applies to a call. */
export interface Terms {
  capacity: number;
  windowSeconds: number;
  identifiedBy: "caller" | "user_or_key" | "address_and_account";
  whenStoreFails: FailureMode;
  /** The rule and its override: what is charged under another scope has other buckets. */
  scope: string;
}

/** One of the identifiers of a call. */
export interface Identifier {
  kind: "user" | "api_key" | "address" | "account" | "shared";
  name: string;
}

/**
 * What a call takes and what a whole bucket takes, in microseconds of refilling. Rounded up, so that
 * never more than the rule says is let through; the same in Postgres, in Redis and here.
 */
export function costOf(terms: Terms, cost = 1): { cost: number; whole: number } {
  const token = Math.ceil(terms.windowSeconds * 1e6 / terms.capacity);
  return { cost: token * cost, whole: token * terms.capacity };
}

/** Whose buckets a call is charged to; whoever cannot be told apart shares one. */
export function identifiersOf(terms: Terms, charge: Charge, address: string | null): Identifier[] {
  const { userId, apiKeyId } = charge;
  const nobody: Identifier = { kind: "shared", name: "nobody" };
  if (terms.identifiedBy === "address_and_account") {
    const account = charge.account?.trim().toLowerCase().slice(0, 320);
    return [
      address ? { kind: "address", name: address } : nobody,
      ...account ? [{ kind: "account" as const, name: account }] : [],
    ];
  }
  if (userId) return [{ kind: "user", name: userId }];
  if (apiKeyId) return [{ kind: "api_key", name: apiKeyId }];
  if (terms.identifiedBy === "caller" && address) return [{ kind: "address", name: address }];
  return [nobody];
}

/**
 * The decision that follows from when each bucket is full again, in microseconds, after an admitted
 * call was charged or a refused one was not.
 */
export function decisionOf(
  { rule, cost = 1 }: Charge,
  terms: Terms,
  present: number,
  buckets: { fullAt: number; admitted: boolean }[],
): Decision {
  const spent = costOf(terms, cost);
  let [last, latestDenied] = [present, -Infinity];
  for (const { fullAt, admitted } of buckets) {
    if (fullAt > last) last = fullAt;
    if (!admitted && fullAt > latestDenied) latestDenied = fullAt;
  }
  const allowed = latestDenied === -Infinity;
  const remaining = Math.max(
    0,
    Math.floor((present + spent.whole - last) / (spent.whole / terms.capacity)),
  );
  const wait = latestDenied + spent.cost - spent.whole - present;
  return {
    allowed,
    reason: allowed ? null : "rate",
    rule,
    capacity: terms.capacity,
    windowSeconds: terms.windowSeconds,
    remaining: allowed ? remaining : Math.min(remaining, cost - 1),
    resetSeconds: Math.ceil((last - present) / 1e6),
    retryAfterSeconds: allowed ? null : Math.max(1, Math.ceil(wait / 1e6)),
    whenStoreFails: terms.whenStoreFails,
  };
}
