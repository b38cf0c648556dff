import { Unavailable } from "../foundation/redis/breaker.ts";
import type { RedisClient } from "../foundation/redis/client.ts";
import type { CacheKey, CachePattern } from "./catalog.ts";
import { PendingInvalidations } from "./pending_invalidations.ts";
import { list, PrefixedRedis } from "./prefixed_redis.ts";
import { claim, fill, generationSeconds, store } from "./scripts.ts";

/** Options of the level in Redis. */
export interface SharedOptions {
  /** Prefix of every name in Redis. */
  prefix: string;
  /** Lifetime of a lease in milliseconds: after it another process may load too. */
  leaseTime: number;
}

/** Permission to load a key and store the result. Deleting the key ends it. */
export interface Lease {
  token: string;
  /** The entry's tags with their generations from before the load. */
  head: string;
}

/** The result of claiming a key: its entry, the lease, or that another caller has the lease. */
export type Claim = { text: string } | { lease: Lease } | "taken";

/** An entry to store. */
export interface SharedEntry {
  key: CacheKey;
  /** JSON. */
  text: string;
  /** Milliseconds. */
  ttl: number;
}

/** A caller who waits for an entry. */
interface Read {
  key: CacheKey;
  /** The tags that the entry must carry; null: not specified. */
  tags: readonly string[] | null;
  resolve(text: string | null): void;
  reject(thrown: unknown): void;
}

/** An entry's tags with their generations, and its JSON. */
interface Stored {
  tags: [string, string][];
  text: string;
}

/** Current generations of tags; null for a tag without one. */
type Generations = Map<string, string | null>;

/** Keys in one MGET. */
const batchSize = 1000;

/**
 * The level in Redis. An entry is `tag=generation tag=generation\njson` and is valid only while each
 * of its tags has that generation. A load holds the key's lease. Storing needs the lease and deleting
 * the key ends it, so that an earlier load cannot bring the old value back (Nishtala et al., Scaling
 * Memcache at Facebook, NSDI 2013, 3.2.1).
 *
 * Every method throws {@link Unavailable} if Redis is away or slow, and nothing else. Pending
 * invalidations are flushed before the next read.
 */
export class SharedLevel {
  readonly #redis: PrefixedRedis;
  readonly #pending: PendingInvalidations;
  readonly #leaseTime: number;
  #reads: Read[] = [];

  constructor(redis: RedisClient, options: SharedOptions) {
    this.#redis = new PrefixedRedis(redis, options.prefix);
    this.#pending = new PendingInvalidations(this.#redis);
    this.#leaseTime = options.leaseTime;
  }

  /**
   * The JSON of a key's entry; null if there is none. With the entry's tags this takes one round trip,
   * without them two if it carries tags. Reads of one turn of the event loop are one command.
   */
  read(key: CacheKey, tags: readonly string[] | null): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#reads.push({ key, tags, resolve, reject }) === 1) {
        queueMicrotask(() => this.#readBatch());
      }
    });
  }

  /** The entry if it was stored meanwhile, else the lease to load it, unless another has it. */
  async claim(key: CacheKey, tags: readonly string[]): Promise<Claim> {
    const token = crypto.randomUUID();
    try {
      const answer = await this.#redis.script(
        claim,
        [this.#redis.entryKey(key), this.#redis.leaseKey(key)],
        [
          ...[token, this.#leaseTime, this.#redis.tagKey("")],
          ...[crypto.randomUUID(), generationSeconds, ...tags],
        ],
      );
      const [kind, text] = list<[1 | 2, string] | [3, undefined]>(answer);
      if (kind === 3) return "taken";
      return kind === 1 ? { text } : { lease: { token, head: text } };
    } catch (thrown) {
      // Redis may have granted the lease: unreleased, it would block other loads until it expires.
      this.#pending.releaseLater(token, key);
      throw thrown;
    }
  }

  /** Stores a loaded entry and releases its lease; false if the lease has ended. */
  async fill(lease: Lease, { key, text, ttl }: SharedEntry): Promise<boolean> {
    const args = [lease.token, lease.head + text, Math.ceil(ttl)];
    return await this.#redis.script(
      fill,
      [this.#redis.entryKey(key), this.#redis.leaseKey(key)],
      args,
    ) === 1;
  }

  /** Releases a lease without storing anything. */
  async release(lease: Lease, key: CacheKey): Promise<void> {
    await this.#pending.release(lease.token, key);
  }

  /** Stores entries and ends running loads of them. */
  async store(entries: readonly SharedEntry[], tags: readonly string[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#redis.script(
      store,
      entries.flatMap(({ key }) => [this.#redis.entryKey(key), this.#redis.leaseKey(key)]),
      [
        ...[this.#redis.tagKey(""), crypto.randomUUID(), generationSeconds, tags.length, ...tags],
        ...entries.flatMap(({ text, ttl }) => [text, Math.ceil(ttl)]),
      ],
    );
  }

  async delete(keys: readonly CacheKey[]): Promise<void> {
    if (keys.length > 0) await this.#pending.delete(keys);
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    if (tags.length > 0) await this.#pending.invalidate(tags);
  }

  async clear(pattern: CachePattern): Promise<void> {
    await this.#pending.clear(pattern);
  }

  get isAway(): boolean {
    return this.#redis.client.isAway;
  }

  close(): void {
    this.#pending.close();
    this.#redis.client.close();
  }

  #readBatch(): void {
    const cleared = this.#pending.cleared;
    const reads = cleared ? this.#without(cleared, this.#reads) : this.#reads;
    this.#reads = [];
    const [first] = reads;
    if (!first) return;
    if (reads.length === 1 && first.tags?.length === 0 && !this.#pending.any) {
      return this.#readAlone(first);
    }
    this.#readAll(reads).catch((thrown) => {
      for (const { reject } of reads) reject(thrown);
    });
  }

  /** Rejects reads of keys that a pending scan will delete: no read waits for a scan. */
  #without(cleared: (key: CacheKey) => boolean, reads: readonly Read[]): Read[] {
    const { gone = [], others = [] } = Object.groupBy(
      reads,
      ({ key }) => cleared(key) ? "gone" : "others",
    );
    for (const { reject } of gone) reject(new Unavailable("it is being cleared"));
    return others;
  }

  /** The fast path of a single read without tags. */
  #readAlone(read: Read): void {
    this.#redis.call("GET", this.#redis.entryKey(read.key)).then((stored) => {
      if (typeof stored !== "string") read.resolve(null);
      else if (stored.startsWith("\n")) read.resolve(stored.slice(1));
      else this.#answerTagged([[read, split(stored)]], new Map()).catch(read.reject);
    }, read.reject);
  }

  async #readAll(reads: readonly Read[]): Promise<void> {
    if (this.#pending.any) await this.#pending.flushKeysAndTags();
    const asked = [...new Set(reads.flatMap(({ tags }) => tags ?? []))];
    const values = await this.#fetch([
      ...reads.map(({ key }) => this.#redis.entryKey(key)),
      ...asked.map((tag) => this.#redis.tagKey(tag)),
    ]);
    const generations: Generations = new Map(
      asked.map((tag, i) => [tag, values[reads.length + i] ?? null]),
    );
    const tagged: [Read, Stored][] = [];
    for (const [i, read] of reads.entries()) {
      const stored = values[i] ?? null;
      if (stored === null) read.resolve(null);
      else tagged.push([read, split(stored)]);
    }
    await this.#answerTagged(tagged, generations);
  }

  /** Answers reads with their entries if valid, after looking up the generations still missing. */
  async #answerTagged(entries: [Read, Stored][], generations: Generations): Promise<void> {
    const missing = [
      ...new Set(
        entries.flatMap(([, { tags }]) => tags.map(([tag]) => tag))
          .filter((tag) => !generations.has(tag)),
      ),
    ];
    if (missing.length > 0) {
      const values = await this.#fetch(missing.map((tag) => this.#redis.tagKey(tag)));
      missing.forEach((tag, i) => generations.set(tag, values[i] ?? null));
    }
    for (const [read, { tags, text }] of entries) {
      const current = tags.every(([tag, generation]) => generations.get(tag) === generation);
      // An entry stored without a tag that the code now requires could not be invalidated by it.
      const whole = (read.tags ?? []).every((tag) => tags.some(([own]) => own === tag));
      read.resolve(current && whole ? text : null);
    }
  }

  /** The values of some names, in their order, a batch at a time. */
  async #fetch(names: readonly string[]): Promise<(string | null)[]> {
    const values: (string | null)[] = [];
    for (let start = 0; start < names.length; start += batchSize) {
      const some = names.slice(start, start + batchSize);
      values.push(...list<(string | null)[]>(await this.#redis.call("MGET", ...some)));
    }
    return values;
  }
}

function split(stored: string): Stored {
  const end = stored.indexOf("\n");
  const head = stored.slice(0, end);
  const tags = head === "" ? [] : head.split(" ").map((part): [string, string] => {
    const equals = part.indexOf("=");
    return [part.slice(0, equals), part.slice(equals + 1)];
  });
  return { tags, text: stored.slice(end + 1) };
}
