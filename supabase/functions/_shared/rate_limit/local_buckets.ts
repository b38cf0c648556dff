import { costOf, decisionOf, identifiersOf, type Terms } from "./arithmetic.ts";
import { networkOf } from "./address.ts";
import type { Charge, Decision } from "./decision.ts";

const maximumBuckets = 10_000;

/**
 * Buckets in this process: the stop-gap for rules that stay open while the store is away. Another
 * isolate has others, and they are gone with it; it is a limit all the same.
 */
export class LocalBuckets {
  readonly #fullAt = new Map<string, number>();

  /** `now` in milliseconds. */
  constructor(readonly now: () => number = Date.now) {}

  /** Charges a call, all of its buckets or none. */
  decide(terms: Terms, charge: Charge): Decision {
    const present = this.now() * 1000;
    const { cost, whole } = costOf(terms, charge.cost);
    const buckets = identifiersOf(terms, charge, networkOf(charge.address)).map((identifier) => {
      const key = JSON.stringify([terms.scope, identifier]);
      const fullAt = Math.min(Math.max(this.#fullAt.get(key) ?? 0, present), present + whole);
      return { key, fullAt, admitted: fullAt + cost <= present + whole };
    });
    if (buckets.every(({ admitted }) => admitted)) {
      // Those that came longest ago go first; an attacker cannot make this grow.
      while (this.#fullAt.size > maximumBuckets) {
        this.#fullAt.delete(this.#fullAt.keys().next().value ?? "");
      }
      for (const bucket of buckets) {
        bucket.fullAt += cost;
        this.#fullAt.delete(bucket.key);
        this.#fullAt.set(bucket.key, bucket.fullAt);
      }
    }
    return decisionOf(charge, terms, present, buckets);
  }
}
