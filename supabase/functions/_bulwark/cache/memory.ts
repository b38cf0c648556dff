import { LRUCache } from "lru-cache";
import type { CacheKey } from "./catalog.ts";

/** An entry; its value may be null. */
export interface Entry {
  value: unknown;
  /** Milliseconds since 1970. An entry from the future is ignored: the clock was set back. */
  storedAt: number;
  expiresAt: number;
  /** The tags, each with its generation at the start of the load. */
  tags: readonly (readonly [string, number])[];
  size: number;
}

/** Bounds of the memory level. */
export interface MemoryOptions {
  maxEntries: number;
  /** Characters of keys and JSON. */
  maxSize: number;
}

const unstamped: Entry["tags"] = [];

/** Beyond this number of tags all tagged entries are invalidated. */
const maxTags = 10_000;

/**
 * The level in the isolate. The least recently used entry is evicted first. Invalidating a tag
 * increments its generation, in constant time however many entries carry it.
 */
export class MemoryLevel {
  readonly #entries: LRUCache<string, Entry>;
  readonly #generations = new Map<string, number>();
  #floor = 0;

  constructor({ maxEntries, maxSize }: MemoryOptions) {
    this.#entries = new LRUCache({
      max: maxEntries,
      maxSize,
      maxEntrySize: Math.ceil(maxSize / 4),
      sizeCalculation: (entry, key) => entry.size + key.length + 1,
    });
  }

  get(key: CacheKey): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = Date.now();
    if (now >= entry.storedAt && now < entry.expiresAt && this.#isCurrent(entry.tags)) return entry;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: CacheKey, entry: Entry): void {
    if (this.#isCurrent(entry.tags)) this.#entries.set(key, entry);
  }

  delete(key: CacheKey): void {
    this.#entries.delete(key);
  }

  deleteMatching(matches: (key: string) => boolean): number {
    const found = [...this.#entries.keys()].filter(matches);
    for (const key of found) this.#entries.delete(key);
    return found.length;
  }

  /** The tags with their present generations, for an entry whose load begins now. */
  stamp(tags: readonly string[]): Entry["tags"] {
    return tags.length === 0 ? unstamped : tags.map((tag) => [tag, this.#generation(tag)] as const);
  }

  invalidate(tags: readonly string[]): void {
    for (const tag of tags) this.#generations.set(tag, this.#generation(tag) + 1);
    if (this.#generations.size <= maxTags) return;
    this.#floor = Math.max(...this.#generations.values()) + 1;
    this.#generations.clear();
  }

  clear(): void {
    this.#entries.clear();
  }

  get size(): number {
    return this.#entries.size;
  }

  #generation(tag: string): number {
    return this.#generations.get(tag) ?? this.#floor;
  }

  #isCurrent(tags: Entry["tags"]): boolean {
    for (const [tag, generation] of tags) {
      if (this.#generation(tag) !== generation) return false;
    }
    return true;
  }
}
