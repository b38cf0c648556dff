import { costOf, decisionOf, identifiersOf, type Terms } from "./arithmetic.ts";
import { networkOf } from "./address.ts";
import type { Charge, Decision } from "./decision.ts";

const maximumBuckets = 10_000;

/** A bucket of this process, in microseconds since 1970. */
interface LocalBucket {
  fullAt: number;
  /** Until when it holds calls that were admitted here and that the store may know nothing of. */
  owedUntil: number;
  /** Until when the store has blocked the caller. */
  blockedUntil: number;
}

/**
 * Buckets in this process: the stop-gap for rules that stay open while the store is away. They follow
 * what the store decides, so that what it has charged is charged here when it does not answer any
 * more. Another isolate has others, and they are gone with it; it is a limit all the same.
 */
export class LocalBuckets {
  readonly #buckets = new Map<string, LocalBucket>();

  /** `now` in milliseconds. */
  constructor(readonly now: () => number = Date.now) {}

  /** Charges a call, all of its buckets or none. */
  decide(terms: Terms, charge: Charge): Decision {
    const present = this.now() * 1000;
    const { cost, whole } = costOf(terms, charge.cost);
    const found = keysOf(terms, charge).map((key) => ({ key, bucket: this.#of(key) }));
    const blockedUntil = Math.max(...found.map(({ bucket }) => bucket.blockedUntil));
    if (blockedUntil > present) return blocked(charge, terms, (blockedUntil - present) / 1e6);
    const buckets = found.map(({ bucket }) => {
      const fullAt = Math.min(Math.max(bucket.fullAt, present), present + whole);
      return { fullAt, admitted: fullAt + cost <= present + whole };
    });
    if (buckets.every(({ admitted }) => admitted)) {
      for (const [index, bucket] of buckets.entries()) {
        bucket.fullAt += cost;
        const { fullAt } = bucket;
        const { key, bucket: known } = found[index]!;
        this.#keep(key, { ...known, fullAt, owedUntil: fullAt });
      }
    }
    return decisionOf(charge, terms, present, buckets);
  }

  /** Takes over what the store decided, where that leaves less than is known here. */
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
      this.#keep(key, { ...known, fullAt, blockedUntil });
    }
  }

  /** Whether calls were admitted here lately that the store may know nothing of. */
  owes(terms: Terms, charge: Charge): boolean {
    const present = this.now() * 1000;
    return keysOf(terms, charge).some((key) => this.#of(key).owedUntil > present);
  }

  #of(key: string): LocalBucket {
    return this.#buckets.get(key) ?? { fullAt: 0, owedUntil: 0, blockedUntil: 0 };
  }

  #keep(key: string, bucket: LocalBucket): void {
    // Those that came longest ago go first; an attacker cannot make this grow.
    while (this.#buckets.size > maximumBuckets) {
      this.#buckets.delete(this.#buckets.keys().next().value ?? "");
    }
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
  }
}

function keysOf(terms: Terms, charge: Charge): string[] {
  return identifiersOf(terms, charge, networkOf(charge.address))
    .map(({ kind, name }) => `${terms.scope} ${kind} ${name}`);
}

function blocked(charge: Charge, terms: Terms, seconds: number): Decision {
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
