/**
 * The cache of an isolate: `cache` keeps what functions ask for again and again, on two levels where
 * a Redis is set. docs/caching.md says how to use it, and what must not be in it.
 */
import { Cache, type CacheObserver } from "./cache/cache.ts";
import { openRedis } from "./cache/redis.ts";
import { SharedLevel } from "./cache/shared.ts";
import type { CacheEnv } from "./env.ts";

export { Cache, type EntryOptions, type Outcome, type WarmEntry } from "./cache/cache.ts";
export { any, type CacheKey, cacheKey, cachePattern, namespaces, ttl } from "./cache/catalog.ts";
export { warm } from "./cache/warm.ts";

const opened = new Map<string, Promise<Cache>>();

/** The isolate's cache, opened at its first use. */
export function openCache(env: CacheEnv, observer?: CacheObserver): Promise<Cache> {
  const name = JSON.stringify(env);
  const known = opened.get(name);
  if (known) return known;
  const cache = makeCache(env, observer);
  opened.set(name, cache);
  return cache;
}

/** A cache of its own, for tests and for whoever wants other bounds. */
export async function makeCache(
  env: CacheEnv,
  observer?: CacheObserver,
  log: (line: string) => void = console.error,
): Promise<Cache> {
  const redis = await openRedis(env).catch(() => {
    // What was thrown may quote the address, and in it a password.
    log("The address of Redis has no valid form; the cache is in memory alone");
    return null;
  });
  const shared = redis && new SharedLevel(redis, {
    prefix: env.cachePrefix,
    timeout: env.cacheTimeout,
    leaseTime: 30_000,
  });
  return new Cache(shared, {
    memory: { maxEntries: 5000, maxSize: 16 * 1024 * 1024 },
    memorySeconds: 5,
    loadWait: 2000,
    ...(observer ? { observer } : {}),
  });
}
