/** Lookups of names, shared fairly: each may take one of the few threads that the runtime has. */
import { literalOf } from "./destination.ts";
import type { Resolve } from "./resolve.ts";

/** How many lookups are under way at once; the rest waits. */
export interface LookupLimits {
  /** Deno 2.9 has 32 threads for lookups, files and fetch() together; Deno 2.1 needs none. */
  all: number;
  /** Of one account. */
  each: number;
  /** Milliseconds after which nobody waits any more. */
  timeoutMs: number;
}

const defaults: LookupLimits = { all: 24, each: 4, timeoutMs: 15_000 };

/** A lookup that waits for its place. */
interface Waiting {
  account: string;
  since: number;
  begin(): void;
}

/**
 * Resolves names so that no account keeps the others waiting. A name server that does not answer
 * holds a lookup for ten seconds and more, long after the attempt has timed out: nothing ends it. So
 * what counts is the lookup and not the attempt.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #limits: LookupLimits;
  readonly #now: () => number;
  readonly #running = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #all = 0;

  /** `now` in milliseconds on a clock that never goes back. */
  constructor(resolve: Resolve, limits = defaults, now: () => number = () => performance.now()) {
    this.#resolve = resolve;
    this.#limits = limits;
    this.#now = now;
  }

  /** How an account resolves names. */
  of(account: string): Resolve {
    return (url) => {
      // An address is its own.
      if (literalOf(url) !== null) return this.#resolve(url);
      return new Promise((resolve, reject) => {
        const begin = () => {
          this.#count(account, 1);
          const ended = () => {
            this.#count(account, -1);
            this.#next();
          };
          // Promise.resolve().then: what throws at once is no different.
          const lookup = Promise.resolve().then(() => this.#resolve(url));
          lookup.then(resolve, reject);
          lookup.then(ended, ended);
        };
        this.#waiting.push({ account, since: this.#now(), begin });
        this.#next();
      });
    };
  }

  /** Begins what may begin: of the account that has the least under way, in the order it came. */
  #next(): void {
    const oldest = this.#now() - this.#limits.timeoutMs;
    const inTime = this.#waiting.findIndex(({ since }) => since > oldest);
    // Their attempts have timed out; a lookup would be for nobody.
    this.#waiting.splice(0, inTime === -1 ? this.#waiting.length : inTime);
    while (this.#all < this.#limits.all) {
      let best = -1;
      for (const [index, { account }] of this.#waiting.entries()) {
        const least = best === -1 ? this.#limits.each : this.#of(this.#waiting[best]!.account);
        if (this.#of(account) < least) best = index;
      }
      if (best === -1) return;
      this.#waiting.splice(best, 1)[0]!.begin();
    }
  }

  #of(account: string): number {
    return this.#running.get(account) ?? 0;
  }

  #count(account: string, change: number): void {
    this.#all += change;
    const count = this.#of(account) + change;
    if (count === 0) this.#running.delete(account);
    else this.#running.set(account, count);
  }
}
