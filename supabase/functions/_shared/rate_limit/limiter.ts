import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { LocalBuckets } from "./local_buckets.ts";

/** How long the store may take; longer than any decision that is worth waiting for. */
export const patience = 3000;

/** In how many seconds whoever could not be decided may come again. */
const retrySeconds = 5;

/** What a limiter may be told to do otherwise than by default. */
export interface LimiterOptions {
  /** Milliseconds. */
  patience?: number;
  local?: LocalBuckets;
  log?: (line: string) => void;
}

/**
 * A store that always answers, in bounded time. Where the store is away or slow, a rule that stays
 * open is decided by a bucket of this process, and one that does not refuses. A rule that was never
 * decided here is not known to stay open, and refuses.
 */
export function boundedStore(store: RateLimitStore, options: LimiterOptions = {}): RateLimitStore {
  const local = options.local ?? new LocalBuckets();
  const log = options.log ?? console.error;
  const known = new Map<string, Decision>();
  return {
    async decide(charge) {
      try {
        const decision = await within(options.patience ?? patience, store.decide(charge));
        known.set(charge.rule, decision);
        return decision;
      } catch (thrown) {
        log(`rate limit ${charge.rule}: ${thrown instanceof Error ? thrown.message : thrown}`);
        return stopGap(local, charge, known.get(charge.rule));
      }
    },
  };
}

function stopGap(local: LocalBuckets, charge: Charge, last: Decision | undefined): Decision {
  if (last?.whenStoreFails === "open") {
    const { capacity, windowSeconds, whenStoreFails } = last;
    const terms = { capacity, windowSeconds, whenStoreFails, scope: charge.rule };
    return local.decide({ ...terms, identifiedBy: "caller" }, charge);
  }
  return {
    allowed: false,
    reason: "unavailable",
    rule: charge.rule,
    capacity: last?.capacity ?? 0,
    windowSeconds: last?.windowSeconds ?? 0,
    remaining: 0,
    resetSeconds: retrySeconds,
    retryAfterSeconds: retrySeconds,
    whenStoreFails: "closed",
  };
}

/** The outcome of a promise, or an error where it takes longer than that many milliseconds. */
export async function within<Value>(limit: number, promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no decision within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
