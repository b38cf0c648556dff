import { Breaker, Unavailable } from "./breaker.ts";
import { type CacheKey, type CachePattern, everything, globOf, matcher } from "./catalog.ts";
import { Debts } from "./debts.ts";
import { isReply, type RedisCommands } from "./redis.ts";
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
const retryMilliseconds = 1000;

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
  readonly #owedKeys = new Debts<CacheKey>();
  readonly #owedTags = new Debts<string>();
  readonly #owedPatterns = new Debts<CachePattern>();
  /** Leases that may have been given without the answer having arrived. */
  readonly #owedLeases = new Map<string, CacheKey>();
  #clearing: Promise<void> | null = null;
  #retrying = false;
  #closed = false;

  constructor(redis: RedisCommands, options: SharedOptions) {
    this.#redis = redis;
    this.#options = options;
    this.#breaker = new Breaker({ timeout: options.timeout, isAnswer: isReply });
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
    } catch (thrown) {
      // Given to nobody it would make everybody wait for as long as a load may take.
      if (this.#owedLeases.size < maxOwed) this.#owedLeases.set(token, key);
      this.#retryLater();
      throw thrown;
    }
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
    await this.#settle();
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    if (tags.length === 0) return;
    tags.forEach((tag) => this.#owedTags.add(tag));
    this.#boundDebts();
    await this.#settle();
  }

  async clear(pattern: CachePattern): Promise<void> {
    this.#owedPatterns.add(pattern);
    await this.#settle();
  }

  #readTogether(): void {
    const reads = this.#owedPatterns.size > 0 ? this.#withoutCleared(this.#reads) : this.#reads;
    this.#reads = [];
    const [first] = reads;
    if (!first) return;
    if (reads.length === 1 && first.tags?.length === 0 && !this.#owes) {
      return this.#readAlone(first);
    }
    this.#readAll(reads).catch((thrown) => {
      for (const { reject } of reads) reject(thrown);
    });
  }

  /** Nobody waits for a scan: what is about to be deleted by it is not there. */
  #withoutCleared(reads: readonly Read[]): Read[] {
    const patterns = this.#owedPatterns.items.map(matcher);
    const [cleared, others] = [true, false].map((wanted) =>
      reads.filter(({ key }) => patterns.some((matches) => matches(key)) === wanted)
    );
    for (const { reject } of cleared!) reject(new Unavailable("it is being cleared"));
    return others!;
  }

  /** What most reads are, without what only several or tags need: a round trip and hardly more. */
  #readAlone(read: Read): void {
    this.#call("GET", this.#entryKey(read.key)).then((stored) => {
      if (stored === null) read.resolve(null);
      else if ((stored as string).startsWith("\n")) read.resolve((stored as string).slice(1));
      else this.#answerTagged([[read, split(stored as string)]], new Map()).catch(read.reject);
    }, read.reject);
  }

  async #readAll(reads: readonly Read[]): Promise<void> {
    if (this.#owes) await this.#payKeysAndTags();
    const asked = [...new Set(reads.flatMap(({ tags }) => tags ?? []))];
    const values = await this.#fetch([
      ...reads.map(({ key }) => this.#entryKey(key)),
      ...asked.map((tag) => this.#tagKey(tag)),
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
      const values = await this.#fetch(missing.map((tag) => this.#tagKey(tag)));
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
      values.push(...await this.#call("MGET", ...some) as (string | null)[]);
    }
    return values;
  }

  get #owes(): boolean {
    return this.#owedKeys.size + this.#owedTags.size + this.#owedLeases.size > 0;
  }

  get isAway(): boolean {
    return this.#breaker.isOpen;
  }

  close(): void {
    this.#closed = true;
    this.#redis.close();
  }

  #boundDebts(): void {
    if (this.#owedKeys.size + this.#owedTags.size <= maxOwed) return;
    this.#owedKeys.clear();
    this.#owedTags.clear();
    this.#owedPatterns.add(everything);
  }

  /** Does what could not be done when it was asked for; nothing is read before. */
  async #payKeysAndTags(): Promise<void> {
    await this.#owedKeys.pay(async (keys) => {
      await this.#call("UNLINK", ...keys.flatMap((k) => [this.#entryKey(k), this.#leaseKey(k)]));
    });
    await this.#owedTags.pay(async (tags) => {
      const args = [crypto.randomUUID(), generationSeconds];
      await this.#script(invalidate, tags.map((tag) => this.#tagKey(tag)), args);
    });
    for (const [token, key] of this.#owedLeases) {
      await this.release({ token, head: "" }, key);
      this.#owedLeases.delete(token);
    }
  }

  /** One scan at a time; one that is under way began before what is owed since. */
  async #payPatterns(): Promise<void> {
    await this.#clearing?.catch(() => {});
    if (this.#owedPatterns.size === 0) return;
    this.#clearing ??= this.#owedPatterns.pay(async (patterns) => {
      for (const pattern of patterns) {
        // The leases first: what is being loaded now must not be stored behind the second scan.
        await this.#unlinkMatching(pattern, this.#leaseKey(""));
        await this.#unlinkMatching(pattern, this.#entryKey(""));
      }
    }).finally(() => this.#clearing = null);
    await this.#clearing;
  }

  /** Pays what was owed to a Redis that was away, even if nobody asks this isolate for anything. */
  async #settle(): Promise<void> {
    try {
      await this.#payKeysAndTags();
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
      if (this.#owes || this.#owedPatterns.size > 0) this.#settle().catch(() => {});
    }, retryMilliseconds);
    Deno.unrefTimer(timer);
  }

  async #unlinkMatching(pattern: CachePattern, before: string): Promise<void> {
    const matches = matcher(pattern);
    const glob = globOf(before, pattern);
    let cursor = "0";
    do {
      const page = await this.#call("SCAN", cursor, "MATCH", glob, "COUNT", scanCount);
      const [next, names] = page as [string, string[]];
      const mine = names.filter((name) => matches(name.slice(before.length)));
      if (mine.length > 0) await this.#call("UNLINK", ...mine);
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
