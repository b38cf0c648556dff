import { Breaker, Unavailable } from "./breaker.ts";
import type { CacheKey, CachePattern } from "./catalog.ts";
import type { RedisCommands } from "./redis.ts";
import { claim, fill, invalidate, type Script, store } from "./scripts.ts";

/** Leave to load a key and to store what was loaded; a deletion takes it away. */
export interface Lease {
  token: string;
  /** What the entry will begin with: its tags, with the generations they had before the load. */
  head: string;
}

/** What asking to load a key leads to. */
export type Claim = { text: string } | { lease: Lease } | "taken";

/** What to store. */
export interface SharedEntry {
  key: CacheKey;
  /** JSON. */
  text: string;
  /** Milliseconds. */
  ttl: number;
}

/** Somebody who waits for entries. */
interface Read {
  keys: readonly CacheKey[];
  tags: readonly string[] | null;
  resolve(texts: (string | null)[]): void;
  reject(thrown: unknown): void;
}

/** An entry's tags with their generations, and its JSON. */
interface Stored {
  tags: [string, string][];
  text: string;
}

/** How the level in Redis behaves. */
export interface SharedOptions {
  /** Before every name in Redis, so that several applications share one. */
  prefix: string;
  /** How long a call to Redis may take, in milliseconds. */
  timeout: number;
  /** How long a load may take before another process loads too, in milliseconds. */
  leaseTime: number;
}

/** Longer than any entry lives. */
const generationSeconds = 2 * 86_400;
const scanCount = 500;
const mostAtOnce = 1000;

/** With more than this to delete later, everything is deleted later. */
const maxOwed = 10_000;

/**
 * The level in Redis. An entry is `tag=generation tag=generation\njson` and counts only while each
 * of its tags has that generation. Whoever loads a key holds its lease; storing needs the lease, and
 * deleting the key ends it, so that a load that began before cannot bring the old value back
 * (Nishtala et al., Scaling Memcache at Facebook, NSDI 2013, 3.2.1).
 *
 * Every method throws {@link Unavailable} when Redis is away or slow, and nothing else. What was to
 * be deleted meanwhile is deleted before anything is read again.
 */
export class SharedLevel {
  readonly #redis: RedisCommands;
  readonly #breaker: Breaker;
  readonly #options: SharedOptions;
  #reads: Read[] = [];
  readonly #owedKeys = new Set<CacheKey>();
  readonly #owedTags = new Set<string>();
  readonly #owedPatterns = new Set<CachePattern>();

  constructor(redis: RedisCommands, options: SharedOptions) {
    this.#redis = redis;
    this.#options = options;
    this.#breaker = new Breaker({ timeout: options.timeout });
  }

  /**
   * The entries of some keys, in their order; null for a key that has none. Tags that are given are
   * those that the code gives such an entry. What is asked for in one go is one command.
   */
  read(keys: readonly CacheKey[], tags: readonly string[] | null): Promise<(string | null)[]> {
    return new Promise((resolve, reject) => {
      this.#reads.push({ keys, tags, resolve, reject });
      if (this.#reads.length === 1) queueMicrotask(() => void this.#readTogether());
    });
  }

  /** The entry where somebody stored it just now, else the lease to load it, unless that is taken. */
  async claim(key: CacheKey, tags: readonly string[]): Promise<Claim> {
    const token = crypto.randomUUID();
    const [kind, text] = await this.#script(
      claim,
      [this.#entryKey(key), this.#leaseKey(key)],
      [
        ...[token, this.#options.leaseTime, this.#tagKey("")],
        ...[crypto.randomUUID(), generationSeconds, ...tags],
      ],
    ) as [1 | 2, string] | [3, undefined];
    if (kind === 3) return "taken";
    return kind === 1 ? { text } : { lease: { token, head: text } };
  }

  /** Stores what was loaded under a lease and gives it back; false where it was taken away. */
  async fill(lease: Lease, { key, text, ttl }: SharedEntry): Promise<boolean> {
    const args = [lease.token, lease.head + text, Math.ceil(ttl)];
    return await this.#script(fill, [this.#entryKey(key), this.#leaseKey(key)], args) === 1;
  }

  /** Gives a lease back with nothing to store. */
  async release(lease: Lease, key: CacheKey): Promise<void> {
    await this.#script(fill, [this.#entryKey(key), this.#leaseKey(key)], [lease.token, "", 0]);
  }

  /** Stores entries whose values are known, and ends whatever load of them is under way. */
  async store(entries: readonly SharedEntry[], tags: readonly string[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#script(
      store,
      entries.flatMap(({ key }) => [this.#entryKey(key), this.#leaseKey(key)]),
      [
        ...[this.#tagKey(""), crypto.randomUUID(), generationSeconds, tags.length, ...tags],
        ...entries.flatMap(({ text, ttl }) => [text, Math.ceil(ttl)]),
      ],
    );
  }

  async delete(keys: readonly CacheKey[]): Promise<void> {
    if (keys.length === 0) return;
    keys.forEach((key) => this.#owedKeys.add(key));
    this.#boundDebts();
    await this.#payDebts();
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    if (tags.length === 0) return;
    tags.forEach((tag) => this.#owedTags.add(tag));
    this.#boundDebts();
    await this.#payDebts();
  }

  async clear(pattern: CachePattern): Promise<void> {
    this.#owedPatterns.add(pattern);
    await this.#payDebts();
  }

  async #readTogether(): Promise<void> {
    const reads = this.#reads;
    this.#reads = [];
    try {
      if (this.#owes) await this.#payDebts();
      const names = reads.flatMap(({ keys, tags }) => [
        ...keys.map((key) => this.#entryKey(key)),
        ...(tags ?? []).map((tag) => this.#tagKey(tag)),
      ]);
      const values = new Map<string, string | null>();
      await this.#fetch(names, values);
      const entries = new Map<string, Stored | null>();
      const generations: string[] = [];
      for (const name of reads.flatMap(({ keys }) => keys)) {
        const text = values.get(this.#entryKey(name)) ?? null;
        const entry = text === null ? null : split(text);
        entries.set(name, entry);
        for (const [tag] of entry?.tags ?? []) generations.push(this.#tagKey(tag));
      }
      await this.#fetch(generations.filter((name) => !values.has(name)), values);
      for (const { keys, tags, resolve } of reads) {
        resolve(keys.map((key) => {
          const entry = entries.get(key);
          if (!entry) return null;
          // Tags that were added to the code since would not reach an entry stored without them.
          if (tags && tags.some((tag) => !entry.tags.some(([own]) => own === tag))) return null;
          const current = entry.tags.every(([tag, generation]) =>
            values.get(this.#tagKey(tag)) === generation
          );
          return current ? entry.text : null;
        }));
      }
    } catch (thrown) {
      for (const { reject } of reads) reject(thrown);
    }
  }

  /** Fetches names into a map, some at a time. */
  async #fetch(names: readonly string[], into: Map<string, string | null>): Promise<void> {
    for (let start = 0; start < names.length; start += mostAtOnce) {
      const some = names.slice(start, start + mostAtOnce);
      const values = await this.#call("MGET", ...some) as (string | null)[];
      some.forEach((name, i) => into.set(name, values[i] ?? null));
    }
  }

  get #owes(): boolean {
    return this.#owedKeys.size + this.#owedTags.size + this.#owedPatterns.size > 0;
  }

  get isAway(): boolean {
    return this.#breaker.isOpen;
  }

  close(): void {
    this.#redis.close();
  }

  #boundDebts(): void {
    if (this.#owedKeys.size + this.#owedTags.size <= maxOwed) return;
    this.#owedKeys.clear();
    this.#owedTags.clear();
    this.#owedPatterns.add("*" as CachePattern);
  }

  /** Does what could not be done when it was asked for; nothing is read before. */
  async #payDebts(): Promise<void> {
    const keys = [...this.#owedKeys];
    if (keys.length > 0) {
      await this.#call("UNLINK", ...keys.flatMap((k) => [this.#entryKey(k), this.#leaseKey(k)]));
      keys.forEach((key) => this.#owedKeys.delete(key));
    }
    const tags = [...this.#owedTags];
    if (tags.length > 0) {
      const args = [crypto.randomUUID(), generationSeconds];
      await this.#script(invalidate, tags.map((tag) => this.#tagKey(tag)), args);
      tags.forEach((tag) => this.#owedTags.delete(tag));
    }
    for (const pattern of this.#owedPatterns) {
      // The leases first: what is being loaded now must not be stored behind the second scan.
      await this.#unlinkMatching(this.#leaseKey(pattern));
      await this.#unlinkMatching(this.#entryKey(pattern));
      this.#owedPatterns.delete(pattern);
    }
  }

  async #unlinkMatching(pattern: string): Promise<void> {
    let cursor = "0";
    do {
      const page = await this.#call("SCAN", cursor, "MATCH", pattern, "COUNT", scanCount);
      const [next, names] = page as [string, string[]];
      if (names.length > 0) await this.#call("UNLINK", ...names);
      cursor = String(next);
    } while (cursor !== "0");
  }

  async #script(
    { source, sha1 }: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return await this.#breaker.call(async () => {
      try {
        return await this.#redis.call("EVALSHA", sha1, keys.length, ...keys, ...args);
      } catch (thrown) {
        // A Redis that was started anew does not know it.
        if (!(thrown instanceof Error) || !thrown.message.includes("NOSCRIPT")) throw thrown;
        return await this.#redis.call("EVAL", source, keys.length, ...keys, ...args);
      }
    });
  }

  #call(command: string, ...args: (string | number)[]): Promise<unknown> {
    return this.#breaker.call(() => this.#redis.call(command, ...args));
  }

  #entryKey(key: string): string {
    return `${this.#options.prefix}:e:${key}`;
  }

  #leaseKey(key: string): string {
    return `${this.#options.prefix}:l:${key}`;
  }

  #tagKey(tag: string): string {
    return `${this.#options.prefix}:t:${tag}`;
  }
}

export { Unavailable };

function split(stored: string): Stored {
  const end = stored.indexOf("\n");
  const head = stored.slice(0, end);
  const tags = head === "" ? [] : head.split(" ").map((part): [string, string] => {
    const equals = part.indexOf("=");
    return [part.slice(0, equals), part.slice(equals + 1)];
  });
  return { tags, text: stored.slice(end + 1) };
}
