import {
  type CacheKey,
  type CachePattern,
  escape,
  matcher,
  type Namespace,
  namespaceOf,
} from "./catalog.ts";
import { Unavailable } from "../foundation/redis/breaker.ts";
import { type Entry, MemoryLevel, type MemoryOptions } from "./memory.ts";
import type { Lease, SharedLevel } from "./shared.ts";

/** How one entry is kept. */
export interface EntryOptions {
  /** Seconds it lives at most; up to a tenth less, so that not all expire at once. */
  ttl: number;
  /** Seconds for "there is none" (null or undefined); 30 by default, 0 not to remember it. */
  negativeTtl?: number;
  /** What can invalidate it together with others. */
  tags?: readonly string[];
  /** Keeps it in the isolate alone. */
  memoryOnly?: boolean;
}

/** Where an answer came from, told once for each. */
export type Outcome = "memory" | "shared" | "load" | "joined" | "negative" | "miss";

/** What happens in a cache, for whoever counts it. */
export interface CacheObserver {
  answered(namespace: Namespace, outcome: Outcome): void;
  /** The level in Redis was away or slow. */
  unavailable(): void;
}

export interface CacheOptions {
  memory: MemoryOptions;
  /**
   * Seconds an entry that Redis has as well is kept in the isolate: so long may another isolate go
   * on with what was invalidated elsewhere.
   */
  memorySeconds: number;
  /** How long one process waits while another loads the same key, in milliseconds. */
  loadWait: number;
  observer?: CacheObserver;
}

/** One of many entries that are read or stored together. */
export interface WarmEntry<T> {
  key: CacheKey;
  load: () => Promise<T>;
  options: EntryOptions;
}

/** A load that is under way. */
interface Flight {
  promise: Promise<unknown>;
  tags: readonly string[];
  /** The key or a tag of it was invalidated since it began. */
  revoked: boolean;
  /** It is over. */
  landed: boolean;
  /** On a clock that nobody sets, in milliseconds. */
  since: number;
}

const defaultNegativeTtl = 30;
/** A load that takes longer is not joined any more: it may never end. */
const longestLoad = 30_000;
/** Longer than a tag is remembered no entry lives. */
const longestSeconds = 2 * 86_400;
const none: readonly string[] = [];
const landing = Promise.resolve();

/**
 * A cache before something slow, on two levels: memory in the isolate, and Redis where there is one.
 *
 * - A value is what JSON makes of it, the same frozen object for everybody who gets it.
 * - In a process one load runs at a time for a key; across processes whoever holds the key's lease
 *   loads, and others wait for it for a while.
 * - A load that began before its key or tag was invalidated gives its value to whoever was waiting
 *   then, and to nobody else: it is not stored and nobody joins it any more.
 * - Errors are the loader's own and are never remembered. Redis away or slow is a miss.
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
   * The value of a key, loaded where there is none; null where the load finds that there is none.
   * @throws whatever the load throws
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
    // Whose place is taken is told of no invalidation any more: it stores nothing.
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

  /** The value of a key; undefined where it is not cached, null where there is known to be none. */
  async get<T>(key: CacheKey): Promise<T | null | undefined> {
    return (await this.getMany<T>([key]))[0];
  }

  /** The values of some keys in one round trip, in their order; undefined for what is not cached. */
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

  /** Stores a value that is known to be right: a load under way does not overwrite it. */
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

  /** Forgets some keys. */
  async delete(...keys: CacheKey[]): Promise<void> {
    for (const key of keys) {
      this.#revoke(key);
      this.#memory.delete(key);
    }
    await this.#try((shared) => shared.delete(keys));
  }

  /** Invalidates every entry that carries one of the tags, however many there are, at once. */
  async invalidateTags(...tags: string[]): Promise<void> {
    const escaped = tags.map(escape);
    this.#memory.invalidate(escaped);
    for (const [key, flight] of this.#flights) {
      if (flight.tags.some((tag) => escaped.includes(tag))) this.#revoke(key);
    }
    await this.#try((shared) => shared.invalidate(escaped));
  }

  /** Forgets all keys that a pattern names; in Redis by SCAN and UNLINK, so that nobody waits. */
  async clear(pattern: CachePattern): Promise<void> {
    const matches = matcher(pattern);
    for (const key of [...this.#flights.keys()].filter(matches)) this.#revoke(key);
    this.#memory.deleteMatching(matches);
    await this.#try((shared) => shared.clear(pattern));
  }

  /** Drops what the isolate keeps and ends the connection to Redis. */
  close(): void {
    this.#memory.clear();
    this.#shared?.close();
  }

  /** Whether Redis is in use and answers. */
  get state(): "memory" | "shared" | "away" {
    if (!this.#shared) return "memory";
    return this.#shared.isAway ? "away" : "shared";
  }

  /** How many entries the isolate keeps. */
  get size(): number {
    return this.#memory.size;
  }

  /** The entry where Redis has it, else what the load gives. */
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

  /** What the load gives, stored under the lease if there is one, and then in memory. */
  async #load<T>(
    key: CacheKey,
    flight: Flight,
    load: () => Promise<T>,
    stamp: Entry["tags"],
    options: EntryOptions,
    lease: Lease | null,
  ): Promise<T> {
    this.#answered(key, "load");
    let stored: boolean | null = null;
    let held = lease;
    try {
      const { value, text } = freeze(await load());
      const ttl = lifetime(value, options);
      // What was invalidated here meanwhile may not be so in Redis yet.
      if (lease && ttl > 0 && !flight.revoked) {
        held = null;
        stored = await this.#try((shared) => shared.fill(lease, { key, text, ttl }));
      }
      // False: somebody invalidated it elsewhere. Null: nobody could say, memory keeps it shortly.
      if (!flight.revoked && stored !== false) this.#remember(key, value, text, stamp, options);
      return value as T;
    } finally {
      const kept = held;
      if (kept) await this.#try((shared) => shared.release(kept, key));
    }
  }

  /**
   * The entry where somebody has stored it, or the lease to load it; null to load it without, because
   * whoever has the lease takes too long.
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
    tags: Entry["tags"],
    options: EntryOptions,
  ): void {
    const whole = lifetime(value, options);
    if (whole <= 0) return;
    const ttl = this.#shared && !options.memoryOnly
      ? Math.min(whole, this.#options.memorySeconds * 1000)
      : whole;
    if (ttl > 0) {
      const storedAt = Date.now();
      const entry = { value, storedAt, expiresAt: storedAt + ttl, tags, size: text.length };
      this.#memory.set(key, entry);
    }
  }

  #revoke(key: CacheKey): void {
    const flight = this.#flights.get(key);
    if (!flight) return;
    flight.revoked = true;
    this.#flights.delete(key);
  }

  /** Does something in Redis; null where there is none, or it is away or slow. */
  async #try<T>(task: (shared: SharedLevel) => Promise<T>): Promise<T | null> {
    if (!this.#shared) return null;
    try {
      return await task(this.#shared);
    } catch (thrown) {
      this.#missed(thrown);
      return null;
    }
  }

  /** Redis away or slow is counted; what is wrong in the code is not swallowed. */
  #missed(thrown: unknown): void {
    if (!(thrown instanceof Unavailable)) throw thrown;
    this.#options.observer?.unavailable();
  }

  #answered(key: CacheKey, outcome: Outcome): void {
    this.#options.observer?.answered(namespaceOf(key), outcome);
  }
}

/** Milliseconds that a value may live: up to a tenth less than it could. */
function lifetime(value: unknown, { ttl, negativeTtl = defaultNegativeTtl }: EntryOptions): number {
  const seconds = value === null ? Math.min(ttl, negativeTtl) : ttl;
  if (!(seconds > 0)) return 0;
  return Math.min(seconds, longestSeconds) * 1000 * (1 - Math.random() / 10);
}

/** A value as everybody gets it, from either level: what JSON makes of it, never to be changed. */
function freeze(value: unknown): { value: unknown; text: string } {
  const text = JSON.stringify(value ?? null);
  return { value: thaw(text), text };
}

/** What was found in Redis; undefined where that is nothing, or nothing that this code put there. */
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
  // A list and no recursion: JSON may be deeper than the stack.
  for (let value = rest.pop(); value !== undefined; value = rest.pop()) {
    if (typeof value !== "object" || value === null) continue;
    for (const child of Object.values(value)) {
      if (typeof child === "object" && child !== null) rest.push(child);
    }
    Object.freeze(value);
  }
  return whole;
}
