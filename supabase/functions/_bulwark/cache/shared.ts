import { Unavailable } from "../foundation/redis/breaker.ts";
import type { RedisClient } from "../foundation/redis/client.ts";
import type { CacheKey, CachePattern } from "./catalog.ts";
import { OwedDeletions } from "./owed_deletions.ts";
import { list, PrefixedRedis } from "./prefixed_redis.ts";
import { claim, fill, generationSeconds, store } from "./scripts.ts";

/** How the level in Redis behaves. */
export interface SharedOptions {
  /** Before every name in Redis, so that several applications share one. */
  prefix: string;
  /** How long a load may take before another process loads too, in milliseconds. */
  leaseTime: number;
}

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

/** Somebody who waits for an entry. */
interface Read {
  key: CacheKey;
  /** The tags that the code gives such an entry; null where it does not say. */
  tags: readonly string[] | null;
  resolve(text: string | null): void;
  reject(thrown: unknown): void;
}

/** An entry's tags with their generations, and its JSON. */
interface Stored {
  tags: [string, string][];
  text: string;
}

/** The present generation of each tag that was looked up; null for one that has none. */
type Generations = Map<string, string | null>;

const mostAtOnce = 1000;

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
  readonly #redis: PrefixedRedis;
  readonly #owed: OwedDeletions;
  readonly #leaseTime: number;
  #reads: Read[] = [];

  constructor(redis: RedisClient, options: SharedOptions) {
    this.#redis = new PrefixedRedis(redis, options.prefix);
    this.#owed = new OwedDeletions(this.#redis);
    this.#leaseTime = options.leaseTime;
  }

  /**
   * The JSON of a key's entry; null where it has none. Whoever gives the tags that the code gives such
   * an entry gets it in one round trip. What is asked for in one go is one command.
   */
  read(key: CacheKey, tags: readonly string[] | null): Promise<string | null> {
    return new Promise((resolve, reject) => {
      if (this.#reads.push({ key, tags, resolve, reject }) === 1) {
        queueMicrotask(() => this.#readTogether());
      }
    });
  }

  /** The entry where somebody stored it just now, else the lease to load it, unless that is taken. */
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
      // Given to nobody it would make everybody wait for as long as a load may take.
      this.#owed.releaseLater(token, key);
      throw thrown;
    }
  }

  /** Stores what was loaded under a lease and gives it back; false where it was taken away. */
  async fill(lease: Lease, { key, text, ttl }: SharedEntry): Promise<boolean> {
    const args = [lease.token, lease.head + text, Math.ceil(ttl)];
    return await this.#redis.script(
      fill,
      [this.#redis.entryKey(key), this.#redis.leaseKey(key)],
      args,
    ) === 1;
  }

  /** Gives a lease back with nothing to store. */
  async release(lease: Lease, key: CacheKey): Promise<void> {
    await this.#owed.release(lease.token, key);
  }

  /** Stores entries whose values are known, and ends whatever load of them is under way. */
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
    if (keys.length > 0) await this.#owed.delete(keys);
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    if (tags.length > 0) await this.#owed.invalidate(tags);
  }

  async clear(pattern: CachePattern): Promise<void> {
    await this.#owed.clear(pattern);
  }

  get isAway(): boolean {
    return this.#redis.client.isAway;
  }

  close(): void {
    this.#owed.close();
    this.#redis.client.close();
  }

  #readTogether(): void {
    const cleared = this.#owed.cleared;
    const reads = cleared ? this.#without(cleared, this.#reads) : this.#reads;
    this.#reads = [];
    const [first] = reads;
    if (!first) return;
    if (reads.length === 1 && first.tags?.length === 0 && !this.#owed.any) {
      return this.#readAlone(first);
    }
    this.#readAll(reads).catch((thrown) => {
      for (const { reject } of reads) reject(thrown);
    });
  }

  /** Nobody waits for a scan: what is about to be deleted by it is not there. */
  #without(cleared: (key: CacheKey) => boolean, reads: readonly Read[]): Read[] {
    const { gone = [], others = [] } = Object.groupBy(
      reads,
      ({ key }) => cleared(key) ? "gone" : "others",
    );
    for (const { reject } of gone) reject(new Unavailable("it is being cleared"));
    return others;
  }

  /** What most reads are, without what only several or tags need: a round trip and hardly more. */
  #readAlone(read: Read): void {
    this.#redis.call("GET", this.#redis.entryKey(read.key)).then((stored) => {
      if (typeof stored !== "string") read.resolve(null);
      else if (stored.startsWith("\n")) read.resolve(stored.slice(1));
      else this.#answerTagged([[read, split(stored)]], new Map()).catch(read.reject);
    }, read.reject);
  }

  async #readAll(reads: readonly Read[]): Promise<void> {
    if (this.#owed.any) await this.#owed.payKeysAndTags();
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

  /** Answers with entries that are current, after looking up those of their tags that were not yet. */
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
      // Tags that were added to the code since would not reach an entry stored without them.
      const whole = (read.tags ?? []).every((tag) => tags.some(([own]) => own === tag));
      read.resolve(current && whole ? text : null);
    }
  }

  /** The values of some names, in their order, so many at a time. */
  async #fetch(names: readonly string[]): Promise<(string | null)[]> {
    const values: (string | null)[] = [];
    for (let start = 0; start < names.length; start += mostAtOnce) {
      const some = names.slice(start, start + mostAtOnce);
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
