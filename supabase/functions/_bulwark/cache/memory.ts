import { LRUCache } from "lru-cache";
import type { CacheKey } from "./catalog.ts";

/** An entry; its value may be null. */
export interface Entry {
  value: unknown;
  /** Milliseconds since 1970. An entry from the future is ignored: the clock was set back. */
  storedAt: number;
  expiresAt: number;
  stamp: Stamp;
  size: number;
}

/** The tags of an entry, and how many invalidations there had been when its load began. */
export interface Stamp {
  tags: readonly string[];
  at: number;
}

/** Bounds of the memory level. */
export interface MemoryOptions {
  maxEntries: number;
  /** Characters of keys and JSON. */
  maxSize: number;
}

/** The last invalidation is kept for so many tags; tagged entries loaded before those are dropped. */
const maxTags = 10_000;

/**
 * The level in the isolate. The least recently used entry is evicted first. Invalidating a tag takes
 * constant time, however many entries carry it.
 */
export class MemoryLevel {
  readonly #entries: LRUCache<string, Entry>;
  readonly #invalidated: LRUCache<string, number>;
  #invalidations = 0;
  #forgotten = 0;

  constructor({ maxEntries, maxSize }: MemoryOptions) {
    this.#entries = new LRUCache({
      max: maxEntries,
      maxSize,
      maxEntrySize: Math.ceil(maxSize / 4),
      sizeCalculation: (entry, key) => entry.size + key.length + 1,
    });
    this.#invalidated = new LRUCache({
      max: maxTags,
      dispose: (at, _tag, reason) => {
        if (reason === "evict") this.#forgotten = at;
      },
    });
  }

  get(key: CacheKey): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = Date.now();
    if (now >= entry.storedAt && now < entry.expiresAt && this.#isCurrent(entry.stamp)) {
      return entry;
    }
    this.#entries.delete(key);
    return undefined;
  }

  set(key: CacheKey, entry: Entry): void {
    if (this.#isCurrent(entry.stamp)) this.#entries.set(key, entry);
  }

  delete(key: CacheKey): void {
    this.#entries.delete(key);
  }

  deleteMatching(matches: (key: string) => boolean): number {
    const found = [...this.#entries.keys()].filter(matches);
    for (const key of found) this.#entries.delete(key);
    return found.length;
  }

  /** To be kept with an entry whose load begins now. */
  stamp(tags: readonly string[]): Stamp {
    return { tags, at: this.#invalidations };
  }

  invalidate(tags: readonly string[]): void {
    this.#invalidations++;
    for (const tag of tags) this.#invalidated.set(tag, this.#invalidations);
  }

  clear(): void {
    this.#entries.clear();
  }

  get size(): number {
    return this.#entries.size;
  }

  #isCurrent({ tags, at }: Stamp): boolean {
    if (tags.length > 0 && at < this.#forgotten) return false;
    // peek(): what is forgotten first is the oldest invalidation, not the one that is asked for least.
    for (const tag of tags) if ((this.#invalidated.peek(tag) ?? 0) > at) return false;
    return true;
  }
}
