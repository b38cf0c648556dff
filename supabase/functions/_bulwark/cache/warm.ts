import type { Cache, WarmEntry } from "./cache.ts";

/** Progress of warming. */
export interface Progress {
  done: number;
  failed: number;
  total: number;
}

/**
 * Loads entries ahead that are not cached yet. A failed load is counted and does not stop the others.
 * @param concurrency concurrent loads, at least 1
 * @param onProgress called after each entry
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
