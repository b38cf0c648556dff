/** Whom a call is charged to. The function has verified each of these; none is a client's claim. */
export interface Charge {
  rule: string;
  userId?: string | null;
  apiKeyId?: string | null;
  /** The address as a trusted proxy wrote it. */
  address?: string | null;
  /** The account that is being tried, as in a sign-in: an e-mail address. */
  account?: string | null;
  /** Whose override applies. */
  organizationId?: string | null;
  /** How many tokens the call takes; 1 by default. */
  cost?: number;
}

/** What becomes of a call that cannot be decided. */
export type FailureMode = "open" | "closed";

/** A decision about one call. */
export interface Decision {
  allowed: boolean;
  /** Why not: too much, blocked for going on, or the store is away. */
  reason: "rate" | "block" | "unavailable" | null;
  rule: string;
  /** Calls at once. */
  capacity: number;
  /** In how many seconds an empty bucket is full again. */
  windowSeconds: number;
  remaining: number;
  /** In how many seconds this bucket is full again. */
  resetSeconds: number;
  /** In how many seconds the same call would be let through; null where it was. */
  retryAfterSeconds: number | null;
  whenStoreFails: FailureMode;
}

/** Where buckets are kept. */
export interface RateLimitStore {
  /**
   * Decides a call and charges it, all of its buckets or none. A refusal is returned.
   * @throws Error where it cannot be decided
   */
  decide(charge: Charge): Promise<Decision>;
}
