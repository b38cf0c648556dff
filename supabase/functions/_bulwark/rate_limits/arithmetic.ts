import type { Charge, Decision, FailureMode } from "./decision.ts";

/** A rule as it applies to a call. */
export interface Terms {
  capacity: number;
  windowSeconds: number;
  identifiedBy: "caller" | "user_or_key" | "address_and_account";
  whenStoreFails: FailureMode;
  /** The id of the rule or override. Each scope has its own buckets. */
  scope: string;
}

/** An identifier of a call; each has a bucket. */
export interface Identifier {
  kind: "user" | "api_key" | "address" | "account" | "shared";
  name: string;
}

/**
 * The cost of a call and of a whole bucket, in microseconds of refilling. Rounded up, so that the
 * rule is never exceeded. Postgres and Redis use the same formula.
 */
export function costOf(terms: Terms, cost = 1): { cost: number; whole: number } {
  const token = Math.ceil(terms.windowSeconds * 1e6 / terms.capacity);
  return { cost: token * cost, whole: token * terms.capacity };
}

/** The identifiers a call is charged to. Callers without one share the bucket `nobody`. */
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
 * The decision of a call whose buckets have been charged, or not where they refused. `present` and
 * `fullAt`, when a bucket is full again, are in microseconds.
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

/** The refusal of a caller who is blocked for some more seconds. */
export function blockedDecision(charge: Charge, terms: Terms, seconds: number): Decision {
  const wait = Math.ceil(seconds);
  return {
    ...decisionOf(charge, terms, 0, []),
    allowed: false,
    reason: "block",
    remaining: 0,
    resetSeconds: wait,
    retryAfterSeconds: wait,
  };
}

/** Overrides of an organization or a key have their own scope. */
export function scopeOf({ rule, organizationId, apiKeyId }: Charge): string {
  return organizationId || apiKeyId ? `${rule}/${organizationId ?? ""}/${apiKeyId ?? ""}` : rule;
}
