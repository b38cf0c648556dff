/**
 * The cache of an isolate. docs/cache.md says how to use it and what must not be cached.
 */
import { Cache, type CacheObserver } from "./cache.ts";
import { SharedLevel } from "./shared.ts";
import type { CacheEnv } from "./env.ts";
import { type RedisClient, sharedRedis } from "../foundation/redis/client.ts";

export { Cache, type EntryOptions, type Outcome, type WarmEntry } from "./cache.ts";
export { any, type CacheKey, cacheKey, cachePattern, namespaces, ttl } from "./catalog.ts";
export { warm } from "./warm.ts";

const opened = new Map<string, Cache>();

/** The isolate's cache for this environment. It shares the isolate's Redis client. */
export function openCache(
  env: CacheEnv,
  observer?: CacheObserver,
  log: (line: string) => void = console.error,
): Cache {
  const name = JSON.stringify(env);
  const known = opened.get(name);
  if (known) return known;
  let redis: RedisClient | null = null;
  try {
    redis = sharedRedis(env, env.cacheTimeoutMs);
  } catch (thrown) {
    log(`The cache is in memory alone: ${(thrown as Error).message}`);
  }
  const shared = redis && new SharedLevel(redis, { prefix: env.cachePrefix, leaseTime: 30_000 });
  const cache = new Cache(shared, {
    memory: { maxEntries: 5000, maxSize: 16 * 1024 * 1024 },
    memorySeconds: 5,
    loadWait: 2000,
    ...(observer ? { observer } : {}),
  });
  opened.set(name, cache);
  return cache;
}
