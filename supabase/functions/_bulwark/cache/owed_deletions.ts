import { type CacheKey, type CachePattern, everything, globOf, matcher } from "./catalog.ts";
import { Debts } from "./debts.ts";
import { list, type PrefixedRedis } from "./prefixed_redis.ts";
import { fill, generationSeconds, invalidate } from "./scripts.ts";

const scanCount = 500;
const retryMilliseconds = 1000;

/** With more than this to delete later, everything is deleted later. */
const maxOwed = 10_000;

/**
 * What is to be deleted from the level in Redis. What a Redis that is away or slow did not take is
 * owed: it is tried again by itself, and whoever reads pays keys, tags and leases before.
 */
export class OwedDeletions {
  readonly #redis: PrefixedRedis;
  readonly #keys = new Debts<CacheKey>();
  readonly #tags = new Debts<string>();
  readonly #patterns = new Debts<CachePattern>();
  /** Leases that may have been given without the answer having arrived. */
  readonly #leases = new Map<string, CacheKey>();
  #clearing: Promise<void> | null = null;
  #retrying = false;
  #closed = false;

  constructor(redis: PrefixedRedis) {
    this.#redis = redis;
  }

  /** Whether something has to be paid before anything is read. */
  get any(): boolean {
    return this.#keys.size + this.#tags.size + this.#leases.size > 0;
  }

  /** What tells whether a key is about to be deleted by a scan; null where there is none. */
  get cleared(): ((key: CacheKey) => boolean) | null {
    if (this.#patterns.size === 0) return null;
    const patterns = this.#patterns.items.map(matcher);
    return (key) => patterns.some((matches) => matches(key));
  }

  async delete(keys: readonly CacheKey[]): Promise<void> {
    keys.forEach((key) => this.#keys.add(key));
    this.#bound();
    await this.#settle();
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    tags.forEach((tag) => this.#tags.add(tag));
    this.#bound();
    await this.#settle();
  }

  async clear(pattern: CachePattern): Promise<void> {
    this.#patterns.add(pattern);
    await this.#settle();
  }

  /** Gives a lease back with nothing to store. */
  async release(token: string, key: CacheKey): Promise<void> {
    const keys = [this.#redis.entryKey(key), this.#redis.leaseKey(key)];
    await this.#redis.script(fill, keys, [token, "", 0]);
  }

  /** Gives a lease back that nobody knows whether it was given. */
  releaseLater(token: string, key: CacheKey): void {
    if (this.#leases.size < maxOwed) this.#leases.set(token, key);
    this.#retryLater();
  }

  /** Does what could not be done when it was asked for; nothing is read before. */
  async payKeysAndTags(): Promise<void> {
    const redis = this.#redis;
    await this.#keys.pay(async (keys) => {
      await redis.call("UNLINK", ...keys.flatMap((k) => [redis.entryKey(k), redis.leaseKey(k)]));
    });
    await this.#tags.pay(async (tags) => {
      const args = [crypto.randomUUID(), generationSeconds];
      await redis.script(invalidate, tags.map((tag) => redis.tagKey(tag)), args);
    });
    for (const [token, key] of this.#leases) {
      await this.release(token, key);
      this.#leases.delete(token);
    }
  }

  /** Tries nothing again any more. */
  close(): void {
    this.#closed = true;
  }

  #bound(): void {
    if (this.#keys.size + this.#tags.size <= maxOwed) return;
    this.#keys.clear();
    this.#tags.clear();
    this.#patterns.add(everything);
  }

  /** One scan at a time; one that is under way began before what is owed since. */
  async #payPatterns(): Promise<void> {
    await this.#clearing?.catch(() => {});
    if (this.#patterns.size === 0) return;
    this.#clearing ??= this.#patterns.pay(async (patterns) => {
      for (const pattern of patterns) {
        // The leases first: what is being loaded now must not be stored behind the second scan.
        await this.#unlinkMatching(pattern, this.#redis.leaseKey(""));
        await this.#unlinkMatching(pattern, this.#redis.entryKey(""));
      }
    }).finally(() => this.#clearing = null);
    await this.#clearing;
  }

  /** Pays what was owed to a Redis that was away, even if nobody asks this isolate for anything. */
  async #settle(): Promise<void> {
    try {
      await this.payKeysAndTags();
      await this.#payPatterns();
    } catch (thrown) {
      this.#retryLater();
      throw thrown;
    }
  }

  #retryLater(): void {
    if (this.#retrying || this.#closed) return;
    this.#retrying = true;
    const timer = setTimeout(() => {
      this.#retrying = false;
      if (this.any || this.#patterns.size > 0) this.#settle().catch(() => {});
    }, retryMilliseconds);
    Deno.unrefTimer(timer);
  }

  async #unlinkMatching(pattern: CachePattern, before: string): Promise<void> {
    const matches = matcher(pattern);
    const glob = globOf(before, pattern);
    let cursor = "0";
    do {
      const page = await this.#redis.call("SCAN", cursor, "MATCH", glob, "COUNT", scanCount);
      const [next, names] = list<[string, string[]]>(page);
      const mine = names.filter((name) => matches(name.slice(before.length)));
      if (mine.length > 0) await this.#redis.call("UNLINK", ...mine);
      cursor = String(next);
    } while (cursor !== "0");
  }
}
