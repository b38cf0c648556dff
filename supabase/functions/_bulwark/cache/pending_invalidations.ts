import { type CacheKey, type CachePattern, everything, globOf, matcher } from "./catalog.ts";
import { list, type PrefixedRedis } from "./prefixed_redis.ts";
import { fill, generationSeconds, invalidate, scan } from "./scripts.ts";

const scanCount = 500;
const retryMilliseconds = 1000;

/** With more pending items than this, the whole cache is invalidated instead. */
const maxPending = 10_000;

/**
 * A set of pending items. An item that is added again during a flush stays pending: that flush may
 * have been too early for it.
 */
export class PendingSet<Item> {
  readonly #versions = new Map<Item, number>();
  #version = 0;

  get size(): number {
    return this.#versions.size;
  }

  get items(): Item[] {
    return [...this.#versions.keys()];
  }

  add(item: Item): void {
    this.#versions.set(item, ++this.#version);
  }

  clear(): void {
    this.#versions.clear();
  }

  /** Runs the task once with all items. If it fails, they stay pending. */
  async flush(task: (items: Item[]) => Promise<void>): Promise<void> {
    if (this.#versions.size === 0) return;
    const flushed = [...this.#versions];
    await task(flushed.map(([item]) => item));
    for (const [item, version] of flushed) {
      if (this.#versions.get(item) === version) this.#versions.delete(item);
    }
  }
}

/**
 * Invalidations of the level in Redis. If Redis is away or slow, they stay pending: a timer retries
 * them, and every read flushes keys, tags and leases first.
 */
export class PendingInvalidations {
  readonly #redis: PrefixedRedis;
  readonly #keys = new PendingSet<CacheKey>();
  readonly #tags = new PendingSet<string>();
  readonly #patterns = new PendingSet<CachePattern>();
  /** Leases that Redis may have granted although its answer never arrived. */
  readonly #leases = new Map<string, CacheKey>();
  #clearing: Promise<void> | null = null;
  #retrying = false;
  #closed = false;

  constructor(redis: PrefixedRedis) {
    this.#redis = redis;
  }

  /** Whether something has to be flushed before a read. */
  get any(): boolean {
    return this.#keys.size + this.#tags.size + this.#leases.size > 0;
  }

  /** Tells whether a pending scan will delete a key; null if no scan is pending. */
  get cleared(): ((key: CacheKey) => boolean) | null {
    if (this.#patterns.size === 0) return null;
    const patterns = this.#patterns.items.map(matcher);
    return (key) => patterns.some((matches) => matches(key));
  }

  async delete(keys: readonly CacheKey[]): Promise<void> {
    keys.forEach((key) => this.#keys.add(key));
    this.#bound();
    await this.#flush();
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    tags.forEach((tag) => this.#tags.add(tag));
    this.#bound();
    await this.#flush();
  }

  async clear(pattern: CachePattern): Promise<void> {
    this.#patterns.add(pattern);
    await this.#flush();
  }

  /** Releases a lease without storing anything. */
  async release(token: string, key: CacheKey): Promise<void> {
    const keys = [this.#redis.entryKey(key), this.#redis.leaseKey(key)];
    await this.#redis.script(fill, keys, [token, "", 0]);
  }

  /** Releases a lease later that Redis may have granted. */
  releaseLater(token: string, key: CacheKey): void {
    if (this.#leases.size < maxPending) this.#leases.set(token, key);
    this.#retryLater();
  }

  /** Flushes everything that a read has to wait for. */
  async flushKeysAndTags(): Promise<void> {
    const redis = this.#redis;
    await this.#keys.flush(async (keys) => {
      await redis.call("UNLINK", ...keys.flatMap((k) => [redis.entryKey(k), redis.leaseKey(k)]));
    });
    await this.#tags.flush(async (tags) => {
      const args = [crypto.randomUUID(), generationSeconds];
      await redis.script(invalidate, tags.map((tag) => redis.tagKey(tag)), args);
    });
    for (const [token, key] of this.#leases) {
      await this.release(token, key);
      this.#leases.delete(token);
    }
  }

  /** Stops retrying. */
  close(): void {
    this.#closed = true;
  }

  #bound(): void {
    if (this.#keys.size + this.#tags.size <= maxPending) return;
    this.#keys.clear();
    this.#tags.clear();
    this.#patterns.add(everything);
  }

  /** Runs one scan at a time. A running scan is too early for patterns that were added since. */
  async #flushPatterns(): Promise<void> {
    await this.#clearing?.catch(() => {});
    if (this.#patterns.size === 0) return;
    this.#clearing ??= this.#patterns.flush(async (patterns) => {
      for (const pattern of patterns) {
        // Leases first, so that a running load cannot store its value behind the second scan.
        await this.#unlinkMatching(pattern, this.#redis.leaseKey(""));
        await this.#unlinkMatching(pattern, this.#redis.entryKey(""));
      }
    }).finally(() => this.#clearing = null);
    await this.#clearing;
  }

  /** Flushes everything; if that fails, a timer retries it without waiting for the next call. */
  async #flush(): Promise<void> {
    try {
      await this.flushKeysAndTags();
      await this.#flushPatterns();
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
      if (this.any || this.#patterns.size > 0) this.#flush().catch(() => {});
    }, retryMilliseconds);
    Deno.unrefTimer(timer);
  }

  async #unlinkMatching(pattern: CachePattern, before: string): Promise<void> {
    const matches = matcher(pattern);
    const glob = globOf(before, pattern);
    let cursor = "0";
    do {
      const page = await this.#redis.script(scan, [before], [cursor, glob, scanCount]);
      const [next, names] = list<[string, string[]]>(page);
      const mine = names.filter((name) => matches(name.slice(before.length)));
      if (mine.length > 0) await this.#redis.call("UNLINK", ...mine);
      cursor = String(next);
    } while (cursor !== "0");
  }
}
