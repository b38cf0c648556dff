/** DNS look-ups, shared fairly: each may occupy one of the few threads of the runtime. */
import { lookup } from "node:dns/promises";
import { literalOf } from "./destination.ts";

/** All addresses of a host. @throws if it has none */
export type Resolve = (url: URL) => Promise<string[]>;

/**
 * Asks the system's resolver once for all IPv4 and IPv6 addresses; an IP address is returned as it
 * is.
 */
export const systemResolve: Resolve = async (url) => {
  const literal = literalOf(url);
  if (literal !== null) return [literal];
  const found = await lookup(url.hostname, { all: true });
  return [...new Set(found.map(({ address }) => address))];
};

/** Limits of concurrent look-ups; further ones wait. */
export interface LookupLimits {
  /**
   * In total. Deno 2.9 shares 32 threads among look-ups, files and fetch(); Deno 2.1 needs none.
   */
  all: number;
  /** Per account. */
  each: number;
  /** Look-ups that waited longer are dropped. */
  timeoutMs: number;
}

const defaults: LookupLimits = { all: 24, each: 4, timeoutMs: 15_000 };

/** A waiting look-up. */
interface Waiting {
  account: string;
  since: number;
  begin(): void;
}

/**
 * Resolves names so that no account delays the others. A silent name server occupies a look-up for
 * ten seconds or more, even after its attempt has timed out, since a look-up cannot be aborted. So
 * look-ups are counted, not attempts.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #limits: LookupLimits;
  readonly #now: () => number;
  readonly #running = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #all = 0;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(resolve: Resolve, limits = defaults, now: () => number = () => performance.now()) {
    this.#resolve = resolve;
    this.#limits = limits;
    this.#now = now;
  }

  /** The resolver of an account. */
  of(account: string): Resolve {
    return (url) => {
      // IP addresses need no look-up.
      if (literalOf(url) !== null) return this.#resolve(url);
      return new Promise((resolve, reject) => {
        const begin = () => {
          this.#count(account, 1);
          const ended = () => {
            this.#count(account, -1);
            this.#next();
          };
          // Promise.resolve().then() also handles synchronous errors.
          const lookup = Promise.resolve().then(() => this.#resolve(url));
          lookup.then(resolve, reject);
          lookup.then(ended, ended);
        };
        this.#waiting.push({ account, since: this.#now(), begin });
        this.#next();
      });
    };
  }

  /** Starts waiting look-ups: of the account with the fewest running, in order of arrival. */
  #next(): void {
    const oldest = this.#now() - this.#limits.timeoutMs;
    const inTime = this.#waiting.findIndex(({ since }) => since > oldest);
    // Their attempts have timed out.
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
