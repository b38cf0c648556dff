import { LRUCache } from "lru-cache";
import { networkOf } from "./address.ts";

const maximumNetworks = 10_000;
/** Maximum lifetime in seconds: a lifted block takes effect after it at the latest. */
const maximumSeconds = 10;

/**
 * A cache of networks whose bucket is empty, each until its next call would be admitted. Unknown
 * tokens from there are not verified meanwhile: a flood of forged tokens would otherwise flood the
 * Data API too.
 */
export class DeniedNetworkCache {
  readonly #until = new LRUCache<string, number>({ max: maximumNetworks });

  /** `now` in milliseconds of a monotonic clock. */
  constructor(readonly now: () => number = () => performance.now()) {}

  /** Adds the network of a refused, unidentified caller. */
  add(address: string | null, seconds: number | null): void {
    const network = networkOf(address);
    if (!network || !seconds) return;
    this.#until.set(network, this.now() + Math.min(seconds, maximumSeconds) * 1000);
  }

  /** Whether an unidentified caller from this address would be refused. */
  has(address: string | null): boolean {
    const until = this.#until.get(networkOf(address) ?? "");
    return until !== undefined && until > this.now();
  }
}
