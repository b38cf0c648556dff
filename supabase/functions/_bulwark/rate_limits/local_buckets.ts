import { LRUCache } from "lru-cache";
import { blockedDecision, costOf, decisionOf, identifiersOf, type Terms } from "./arithmetic.ts";
import { networkOf } from "./address.ts";
import type { Charge, Decision } from "./decision.ts";

const maximumBuckets = 10_000;

/** A bucket of this process, in microseconds since 1970. */
interface LocalBucket {
  fullAt: number;
  /** Until when it counts calls that were admitted here and that the store may not know. */
  unreportedUntil: number;
  /** Until when the store has blocked the caller. */
  blockedUntil: number;
}

/**
 * Buckets in this process: the fallback of rules that fail open while the store is away. They follow
 * the store's decisions, so that they start from its last state. Each isolate has its own.
 */
export class LocalBuckets {
  readonly #buckets = new LRUCache<string, LocalBucket>({ max: maximumBuckets });

  /** `now` in milliseconds. */
  constructor(readonly now: () => number = Date.now) {}

  /** Decides a call and charges all of its buckets, or none. */
  decide(terms: Terms, charge: Charge): Decision {
    const present = this.now() * 1000;
    const { cost, whole } = costOf(terms, charge.cost);
    const found = keysOf(terms, charge).map((key) => ({ key, bucket: this.#of(key) }));
    const blockedUntil = Math.max(...found.map(({ bucket }) => bucket.blockedUntil));
    if (blockedUntil > present) {
      return blockedDecision(charge, terms, (blockedUntil - present) / 1e6);
    }
    const buckets = found.map(({ bucket }) => {
      const fullAt = Math.min(Math.max(bucket.fullAt, present), present + whole);
      return { fullAt, admitted: fullAt + cost <= present + whole };
    });
    if (buckets.every(({ admitted }) => admitted)) {
      for (const [index, bucket] of buckets.entries()) {
        bucket.fullAt += cost;
        const { fullAt } = bucket;
        const { key, bucket: known } = found[index]!;
        this.#buckets.set(key, { ...known, fullAt, unreportedUntil: fullAt });
      }
    }
    return decisionOf(charge, terms, present, buckets);
  }

  /** Takes over a decision of the store if it leaves fewer tokens than this bucket has. */
  follow(terms: Terms, charge: Charge, decision: Decision): void {
    const present = this.now() * 1000;
    const { cost, whole } = costOf(terms, charge.cost);
    const wait = (decision.retryAfterSeconds ?? 0) * 1e6;
    const spent = decision.allowed
      ? (terms.capacity - decision.remaining) * (whole / terms.capacity)
      : Math.min(whole, whole - cost + wait);
    const blockedUntil = decision.reason === "block" ? present + wait : 0;
    for (const key of keysOf(terms, charge)) {
      const known = this.#of(key);
      const fullAt = Math.max(Math.min(known.fullAt, present + whole), present + spent);
      this.#buckets.set(key, { ...known, fullAt, blockedUntil });
    }
  }

  /** Whether calls were admitted here that the store may not know. */
  hasUnreported(terms: Terms, charge: Charge): boolean {
    const present = this.now() * 1000;
    return keysOf(terms, charge).some((key) => this.#of(key).unreportedUntil > present);
  }

  #of(key: string): LocalBucket {
    return this.#buckets.get(key) ?? { fullAt: 0, unreportedUntil: 0, blockedUntil: 0 };
  }
}

function keysOf(terms: Terms, charge: Charge): string[] {
  return identifiersOf(terms, charge, networkOf(charge.address))
    .map(({ kind, name }) => `${terms.scope} ${kind} ${name}`);
}
