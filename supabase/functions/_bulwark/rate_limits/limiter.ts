import { Late, Unavailable } from "../foundation/redis/breaker.ts";
import { within } from "../foundation/within.ts";
import type { Terms } from "./arithmetic.ts";
import type { Charge, Decision, RateLimitStore } from "./decision.ts";
import { LocalBuckets } from "./local_buckets.ts";

/** How long the store may take; longer than any decision that is worth waiting for. */
export const patience = 3000;

/** In how many seconds whoever could not be decided may come again. */
const retrySeconds = 5;

/** Between two lines of the log about the same failure, in milliseconds. */
const quietMilliseconds = 10_000;

const maximumRules = 10_000;

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
 *
 * A flood that makes the store slow opens nothing: the bucket of this process begins with what the
 * store said last, and an answer that comes too late is charged to it. What was admitted here
 * meanwhile counts on when the store is back.
 */
export function boundedStore(store: RateLimitStore, options: LimiterOptions = {}): RateLimitStore {
  const local = options.local ?? new LocalBuckets();
  const log = quietly(options.log ?? console.error);
  const known = new Map<string, Terms>();

  function learn(charge: Charge, decision: Decision): Terms {
    const terms: Terms = {
      capacity: decision.capacity,
      windowSeconds: decision.windowSeconds,
      whenStoreFails: decision.whenStoreFails,
      identifiedBy: "caller",
      scope: scopeOf(charge),
    };
    if (known.size >= maximumRules) known.clear();
    known.set(terms.scope, terms);
    local.follow(terms, charge, decision);
    return terms;
  }

  return {
    async decide(charge) {
      const asked = store.decide(charge);
      try {
        const decision = await within(options.patience ?? patience, asked);
        const owed = known.get(scopeOf(charge));
        if (decision.allowed && owed && local.owes(owed, charge)) {
          const own = local.decide(owed, charge);
          if (!own.allowed) return own;
        }
        learn(charge, decision);
        return decision;
      } catch (thrown) {
        // The client of Redis has logged why it is away, once for all rules.
        if (!(thrown instanceof Unavailable)) {
          log(`rate limit ${charge.rule}: ${thrown instanceof Error ? thrown.message : thrown}`);
        }
        const late = thrown instanceof Late ? thrown.answer as Promise<Decision> : asked;
        late.then((decision) => learn(charge, decision), () => {});
        return stopGap(local, charge, known.get(scopeOf(charge)));
      }
    },
  };
}

/** An organization's or a key's own numbers are nobody else's. */
function scopeOf({ rule, organizationId, apiKeyId }: Charge): string {
  return organizationId || apiKeyId ? `${rule}/${organizationId ?? ""}/${apiKeyId ?? ""}` : rule;
}

function stopGap(local: LocalBuckets, charge: Charge, terms: Terms | undefined): Decision {
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

/** Logs each line once in a while: a store that is away fails every call alike. */
function quietly(log: (line: string) => void): (line: string) => void {
  const quietUntil = new Map<string, number>();
  return (line) => {
    const now = performance.now();
    if ((quietUntil.get(line) ?? 0) > now) return;
    if (quietUntil.size >= 100) quietUntil.clear();
    quietUntil.set(line, now + quietMilliseconds);
    log(line);
  };
}
