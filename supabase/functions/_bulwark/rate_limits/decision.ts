/** A call to decide. The function has verified every identifier; none is a claim of the client. */
export interface Charge {
  rule: string;
  userId?: string | null;
  apiKeyId?: string | null;
  /** The address as a trusted proxy wrote it. */
  address?: string | null;
  /** The e-mail address of the account that a sign-in is for. */
  account?: string | null;
  /** The organization whose override applies. */
  organizationId?: string | null;
  /** Tokens that the call costs; 1 by default. */
  cost?: number;
}

/** Whether a call that cannot be decided is admitted (open) or refused (closed). */
export type FailureMode = "open" | "closed";

/** A decision about one call. */
export interface Decision {
  allowed: boolean;
  /** Why it is refused: limit exceeded, caller blocked, or store not available; null: admitted. */
  reason: "rate" | "block" | "unavailable" | null;
  rule: string;
  /** Tokens in a full bucket. */
  capacity: number;
  /** Seconds that an empty bucket takes to refill. */
  windowSeconds: number;
  remaining: number;
  /** Seconds until this bucket is full again. */
  resetSeconds: number;
  /** Seconds until the same call would be admitted; null if it was. */
  retryAfterSeconds: number | null;
  whenStoreFails: FailureMode;
}

/** A store of buckets. */
export interface RateLimitStore {
  /**
   * Decides a call and charges all of its buckets, or none. A refusal is returned, not thrown.
   * @throws Error if it cannot be decided
   */
  decide(charge: Charge): Promise<Decision>;
}
