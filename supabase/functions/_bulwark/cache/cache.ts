import {
  type CacheKey,
  type CachePattern,
  escape,
  matcher,
  type Namespace,
  namespaceOf,
} from "./catalog.ts";
import { Unavailable } from "../foundation/redis/breaker.ts";
import { MemoryLevel, type MemoryOptions, type Stamp } from "./memory.ts";
import type { Lease, SharedLevel } from "./shared.ts";

/** Options of an entry. */
export interface EntryOptions {
  /** Maximum lifetime in seconds. Up to a tenth less, so that entries do not all expire at once. */
  ttl: number;
  /** Lifetime in seconds of a null result; 30 by default, 0: not cached. */
  negativeTtl?: number;
  /** Each tag can invalidate the entry. */
  tags?: readonly string[];
  /** Keeps the entry out of Redis. */
  memoryOnly?: boolean;
}

/** The source of an answer; reported once for each answer. */
export type Outcome = "memory" | "shared" | "load" | "joined" | "negative" | "miss";

/** Counts what happens in a cache. */
export interface CacheObserver {
  answered(namespace: Namespace, outcome: Outcome): void;
  /** Redis was away or slow. */
  unavailable(): void;
}

export interface CacheOptions {
  memory: MemoryOptions;
  /**
   * Seconds for which the isolate keeps an entry that Redis has too. An invalidation by another
   * isolate takes effect here after that time at the latest.
   */
  memorySeconds: number;
  /** Milliseconds for which a process waits for another that loads the same key. */
  loadWait: number;
  observer?: CacheObserver;
}

/** An entry to load ahead. */
export interface WarmEntry<T> {
  key: CacheKey;
  load: () => Promise<T>;
  options: EntryOptions;
}

/** A running load. */
interface Flight {
  promise: Promise<unknown>;
  tags: readonly string[];
  /** Its key or one of its tags was invalidated since it began. */
  revoked: boolean;
  /** Whether it has ended. */
  landed: boolean;
  /** Milliseconds on the monotonic clock. */
  since: number;
}

const defaultNegativeTtl = 30;
/** A load that takes longer is no longer joined: it may never end. In milliseconds. */
const longestLoad = 30_000;
/** No entry lives longer than a tag's generation is kept. */
const longestSeconds = 2 * 86_400;
const none: readonly string[] = [];
const landing = Promise.resolve();

/**
 * A two-level cache: memory in the isolate, and Redis if one is configured.
 *
 * - Values are converted to JSON and back, and frozen; all callers get the same object.
 * - One load runs at a time for a key: in a process callers join it, across processes the holder of
 *   the key's lease loads and others wait for a limited time.
 * - A load that began before its key or tag was invalidated is not stored and no longer joined. Only
 *   the callers who were waiting already get its value.
 * - Errors of a load are passed on and never cached. If Redis is away or slow, that is a miss.
 */
export class Cache {
  readonly #memory: MemoryLevel;
  readonly #shared: SharedLevel | null;
  readonly #options: CacheOptions;
  readonly #flights = new Map<CacheKey, Flight>();

  constructor(shared: SharedLevel | null, options: CacheOptions) {
    this.#shared = shared;
    this.#options = options;
    this.#memory = new MemoryLevel(options.memory);
  }

  /**
   * The cached value of a key, else the result of the load. Null or undefined becomes null.
   * @throws the load's error
   */
  getOrSet<T>(key: CacheKey, load: () => Promise<T>, options: EntryOptions): Promise<T> {
    const hit = this.#memory.get(key);
    if (hit !== undefined) {
      this.#answered(key, hit.value === null ? "negative" : "memory");
      return Promise.resolve(hit.value as T);
    }
    const flying = this.#flights.get(key);
    if (flying && performance.now() - flying.since < longestLoad) {
      this.#answered(key, "joined");
      return flying.promise as Promise<T>;
    }
    // The replaced load no longer hears of invalidations, so it must not store anything.
    if (flying) this.#revoke(key);
    const flight: Flight = {
      tags: options.tags ? options.tags.map(escape) : none,
      revoked: false,
      landed: false,
      since: performance.now(),
      promise: landing,
    };
    const promise = this.#serve(key, flight, load, options);
    flight.promise = promise;
    if (!flight.landed) this.#flights.set(key, flight);
    return promise;
  }

  /** The cached value of a key; undefined if it is not cached, null if null was cached. */
  async get<T>(key: CacheKey): Promise<T | null | undefined> {
    return (await this.getMany<T>([key]))[0];
  }

  /** The cached values of some keys, in their order and in one round trip; see {@link get}. */
  async getMany<T>(keys: readonly CacheKey[]): Promise<(T | null | undefined)[]> {
    const found = new Map<CacheKey, unknown>();
    const missing: CacheKey[] = [];
    for (const key of new Set(keys)) {
      const hit = this.#memory.get(key);
      if (!hit) missing.push(key);
      else {
        found.set(key, hit.value);
        this.#answered(key, "memory");
      }
    }
    const texts = missing.length > 0
      ? await this.#try((shared) => Promise.all(missing.map((key) => shared.read(key, null)))) ?? []
      : [];
    for (const [i, key] of missing.entries()) {
      const value = readable(texts[i]);
      if (value !== undefined) found.set(key, value);
      this.#answered(key, value === undefined ? "miss" : "shared");
    }
    return keys.map((key) => found.get(key) as T | null | undefined);
  }

  /** Stores a value. A running load does not overwrite it. */
  async set(key: CacheKey, value: unknown, options: EntryOptions): Promise<void> {
    await this.setMany([[key, value]], options);
  }

  /** Stores many values in one round trip. */
  async setMany(
    entries: readonly (readonly [CacheKey, unknown])[],
    options: EntryOptions,
  ): Promise<void> {
    const tags = (options.tags ?? []).map(escape);
    const stamp = this.#memory.stamp(tags);
    const frozen = entries.map(([key, value]) => ({ key, ...freeze(value) }));
    for (const { key, value, text } of frozen) {
      this.#revoke(key);
      this.#remember(key, value, text, stamp, options);
    }
    if (options.memoryOnly) return;
    const shared = frozen.map(({ key, value, text }) => ({
      key,
      text,
      ttl: lifetime(value, options),
    }))
      .filter((entry) => entry.ttl > 0);
    await this.#try((level) => level.store(shared, tags));
  }

  /** Deletes some keys. */
  async delete(...keys: CacheKey[]): Promise<void> {
    for (const key of keys) {
      this.#revoke(key);
      this.#memory.delete(key);
    }
    await this.#try((shared) => shared.delete(keys));
  }

  /** Invalidates all entries that carry one of the tags, in constant time a tag. */
  async invalidateTags(...tags: string[]): Promise<void> {
    const escaped = tags.map(escape);
    this.#memory.invalidate(escaped);
    for (const [key, flight] of this.#flights) {
      if (flight.tags.some((tag) => escaped.includes(tag))) this.#revoke(key);
    }
    await this.#try((shared) => shared.invalidate(escaped));
  }

  /** Deletes all keys that match a pattern; in Redis by SCAN and UNLINK, which block no client. */
  async clear(pattern: CachePattern): Promise<void> {
    const matches = matcher(pattern);
    for (const key of [...this.#flights.keys()].filter(matches)) this.#revoke(key);
    this.#memory.deleteMatching(matches);
    await this.#try((shared) => shared.clear(pattern));
  }

  /** Clears the memory and closes the connection to Redis. */
  close(): void {
    this.#memory.clear();
    this.#shared?.close();
  }

  /** memory: no Redis is configured; shared: Redis is in use; away: it does not answer. */
  get state(): "memory" | "shared" | "away" {
    if (!this.#shared) return "memory";
    return this.#shared.isAway ? "away" : "shared";
  }

  /** Number of entries in memory. */
  get size(): number {
    return this.#memory.size;
  }

  /** The entry in Redis, else the result of the load. */
  async #serve<T>(
    key: CacheKey,
    flight: Flight,
    load: () => Promise<T>,
    options: EntryOptions,
  ): Promise<T> {
    const shared = options.memoryOnly ? null : this.#shared;
    const stamp = this.#memory.stamp(flight.tags);
    let found: string | Lease | null = null;
    try {
      if (shared) {
        try {
          found = await shared.read(key, flight.tags) ??
            await this.#claim(shared, key, flight.tags);
        } catch (thrown) {
          this.#missed(thrown);
        }
      }
      const value = readable(found);
      if (typeof found !== "string" || value === undefined) {
        const lease = typeof found === "string" ? null : found;
        return await this.#load(key, flight, load, stamp, options, lease);
      }
      if (!flight.revoked) this.#remember(key, value, found, stamp, options);
      this.#answered(key, value === null ? "negative" : "shared");
      return value as T;
    } finally {
      flight.landed = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    }
  }

  /** Loads a value, stores it in Redis if there is a lease, and then in memory. */
  async #load<T>(
    key: CacheKey,
    flight: Flight,
    load: () => Promise<T>,
    stamp: Stamp,
    options: EntryOptions,
    lease: Lease | null,
  ): Promise<T> {
    this.#answered(key, "load");
    let stored: boolean | null = null;
    let unused = lease;
    try {
      const { value, text } = freeze(await load());
      const ttl = lifetime(value, options);
      // An invalidation by this isolate may not have reached Redis yet.
      if (lease && ttl > 0 && !flight.revoked) {
        unused = null;
        stored = await this.#try((shared) => shared.fill(lease, { key, text, ttl }));
      }
      // False: it was invalidated elsewhere. Null: Redis did not answer, so memory keeps it briefly.
      if (!flight.revoked && stored !== false) this.#remember(key, value, text, stamp, options);
      return value as T;
    } finally {
      const rest = unused;
      if (rest) await this.#try((shared) => shared.release(rest, key));
    }
  }

  /**
   * The entry if it was stored meanwhile, else the lease to load it; null to load without a lease,
   * because its holder takes too long.
   */
  async #claim(
    shared: SharedLevel,
    key: CacheKey,
    tags: readonly string[],
  ): Promise<string | Lease | null> {
    const until = performance.now() + this.#options.loadWait;
    for (let pause = 5;; pause = Math.min(pause * 2, 50)) {
      const claimed = await shared.claim(key, tags);
      if (claimed !== "taken") return "text" in claimed ? claimed.text : claimed.lease;
      if (performance.now() + pause > until) return null;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  #remember(
    key: CacheKey,
    value: unknown,
    text: string,
    stamp: Stamp,
    options: EntryOptions,
  ): void {
    const whole = lifetime(value, options);
    if (whole <= 0) return;
    const ttl = this.#shared && !options.memoryOnly
      ? Math.min(whole, this.#options.memorySeconds * 1000)
      : whole;
    if (ttl > 0) {
      const storedAt = Date.now();
      const entry = { value, storedAt, expiresAt: storedAt + ttl, stamp, size: text.length };
      this.#memory.set(key, entry);
    }
  }

  #revoke(key: CacheKey): void {
    const flight = this.#flights.get(key);
    if (!flight) return;
    flight.revoked = true;
    this.#flights.delete(key);
  }

  /** Runs a task with Redis; null if there is none, or if it is away or slow. */
  async #try<T>(task: (shared: SharedLevel) => Promise<T>): Promise<T | null> {
    if (!this.#shared) return null;
    try {
      return await task(this.#shared);
    } catch (thrown) {
      this.#missed(thrown);
      return null;
    }
  }

  /** Counts that Redis was away or slow. Any other error is a bug and is thrown. */
  #missed(thrown: unknown): void {
    if (!(thrown instanceof Unavailable)) throw thrown;
    this.#options.observer?.unavailable();
  }

  #answered(key: CacheKey, outcome: Outcome): void {
    this.#options.observer?.answered(namespaceOf(key), outcome);
  }
}

/** The lifetime of a value in milliseconds: up to a tenth below its maximum, at random. */
function lifetime(value: unknown, { ttl, negativeTtl = defaultNegativeTtl }: EntryOptions): number {
  const seconds = value === null ? Math.min(ttl, negativeTtl) : ttl;
  if (!(seconds > 0)) return 0;
  return Math.min(seconds, longestSeconds) * 1000 * (1 - Math.random() / 10);
}

/** A value as all callers get it from either level: through JSON, and frozen. */
function freeze(value: unknown): { value: unknown; text: string } {
  const text = JSON.stringify(value ?? null);
  return { value: thaw(text), text };
}

/** The value of an entry in Redis; undefined if there is none or if it is not JSON. */
function readable(found: unknown): unknown {
  if (typeof found !== "string") return undefined;
  try {
    return thaw(found);
  } catch {
    return undefined;
  }
}

function thaw(text: string): unknown {
  const whole: unknown = JSON.parse(text);
  const rest = [whole];
  // No recursion: JSON may be nested deeper than the stack allows.
  for (let value = rest.pop(); value !== undefined; value = rest.pop()) {
    if (typeof value !== "object" || value === null) continue;
    for (const child of Object.values(value)) {
      if (typeof child === "object" && child !== null) rest.push(child);
    }
    Object.freeze(value);
  }
  return whole;
}
