import { LRUCache } from "lru-cache";
import { Late, Unavailable } from "../foundation/redis/breaker.ts";
import { withTimeout } from "../foundation/timeout.ts";
import { scopeOf, type Terms } from "./arithmetic.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { LocalBuckets } from "./local_buckets.ts";

/** Timeout of the store. */
export const storeTimeoutMs = 3000;

/** Retry-After, in seconds, of a call that could not be decided. */
const retrySeconds = 5;

/** Milliseconds between two log lines about the same failure. */
const quietMilliseconds = 10_000;

const maximumRules = 10_000;

/** Options of a bounded store. */
export interface LimiterOptions {
  timeoutMs?: number;
  local?: LocalBuckets;
  log?: (line: string) => void;
}

/**
 * A store that always answers in bounded time. If the store is away or slow, a rule that fails open
 * is decided by a bucket of this process, and one that fails closed refuses. A rule never decided
 * here before refuses too, because its failure mode is unknown.
 *
 * A flood that makes the store slow gains nothing: the local bucket starts from the store's last
 * decision, late answers are charged to it, and calls admitted here still count when the store is
 * back.
 */
export function boundedStore(store: RateLimitStore, options: LimiterOptions = {}): RateLimitStore {
  const local = options.local ?? new LocalBuckets();
  const { timeoutMs = storeTimeoutMs } = options;
  const log = quietly(options.log ?? console.error);
  const known = new LRUCache<string, Terms>({ max: maximumRules });

  function learn(charge: Charge, decision: Decision): Terms {
    const terms: Terms = {
      capacity: decision.capacity,
      windowSeconds: decision.windowSeconds,
      whenStoreFails: decision.whenStoreFails,
      identifiedBy: "caller",
      scope: scopeOf(charge),
    };
    known.set(terms.scope, terms);
    local.follow(terms, charge, decision);
    return terms;
  }

  return {
    async decide(charge) {
      const asked = store.decide(charge);
      try {
        const decision = await withTimeout(asked, { timeoutMs });
        const terms = known.get(scopeOf(charge));
        if (decision.allowed && terms && local.hasUnreported(terms, charge)) {
          const own = local.decide(terms, charge);
          if (!own.allowed) return own;
        }
        learn(charge, decision);
        return decision;
      } catch (thrown) {
        // The Redis client has logged the cause already, once for all rules.
        if (!(thrown instanceof Unavailable)) {
          log(`rate limit ${charge.rule}: ${thrown instanceof Error ? thrown.message : thrown}`);
        }
        const late = thrown instanceof Late ? thrown.answer as Promise<Decision> : asked;
        late.then((decision) => learn(charge, decision), () => {});
        return fallback(local, charge, known.get(scopeOf(charge)));
      }
    },
  };
}

function fallback(local: LocalBuckets, charge: Charge, terms: Terms | undefined): Decision {
  if (terms?.whenStoreFails === "open") return local.decide(terms, charge);
  return {
    allowed: false,
    reason: "unavailable",
    rule: charge.rule,
    capacity: terms?.capacity ?? 0,
    windowSeconds: terms?.windowSeconds ?? 0,
    remaining: 0,
    resetSeconds: retrySeconds,
    retryAfterSeconds: retrySeconds,
    whenStoreFails: "closed",
  };
}

/** Logs each line at most once in ten seconds: an outage fails every call in the same way. */
function quietly(log: (line: string) => void): (line: string) => void {
  const quietUntil = new LRUCache<string, number>({ max: 100 });
  return (line) => {
    const now = performance.now();
    if ((quietUntil.get(line) ?? 0) > now) return;
    quietUntil.set(line, now + quietMilliseconds);
    log(line);
  };
}
