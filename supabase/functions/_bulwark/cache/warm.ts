import type { Cache, WarmEntry } from "./cache.ts";

/** How far warming is. */
export interface Progress {
  done: number;
  failed: number;
  total: number;
}

/**
 * Loads entries before they are asked for, so many at a time. One that fails is counted and leaves
 * the others alone; what is cached already is not loaded again.
 * @param concurrency how many at a time, at least 1
 * @param onProgress told after each entry
 */
export async function warm<T>(
  cache: Cache,
  entries: Iterable<WarmEntry<T>>,
  { concurrency = 4, onProgress }: {
    concurrency?: number;
    onProgress?: (progress: Progress) => void;
  } = {},
): Promise<Progress> {
  const all = [...entries];
  const progress: Progress = { done: 0, failed: 0, total: all.length };
  const queue = all.values();
  const worker = async () => {
    for (const { key, load, options } of queue) {
      await cache.getOrSet(key, load, options).then(
        () => progress.done++,
        () => progress.failed++,
      );
      onProgress?.({ ...progress });
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, concurrency) }, worker));
  return progress;
}
