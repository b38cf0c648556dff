import { fromDeno, type GetVariable, readRedisTimeout } from "../foundation/env.ts";

/** Where the shared level of the cache is. */
export interface CacheEnv {
  /** `redis://` or `rediss://`; null: none by TCP. */
  redisUrl: string | null;
  /** Upstash's HTTP endpoint and its token; null: none by HTTP. */
  upstashUrl: string | null;
  upstashToken: string | null;
  /** Prefix of every name in Redis. */
  cachePrefix: string;
  /** How long Redis may take, in milliseconds, before the request goes on without it. */
  cacheTimeoutMs: number;
}

/** The cache's part of the environment: without any of it the cache is in memory alone. */
export function readCacheEnv(get: GetVariable = fromDeno): CacheEnv {
  const { host } = URL.parse(get("SUPABASE_URL") ?? "") ?? { host: "" };
  return {
    redisUrl: get("REDIS_URL") || null,
    upstashUrl: get("UPSTASH_REDIS_REST_URL") || null,
    upstashToken: get("UPSTASH_REDIS_REST_TOKEN") || null,
    cachePrefix: get("BULWARK_CACHE_PREFIX") || ["bulwark", ...host ? [host] : []].join(":"),
    cacheTimeoutMs: readRedisTimeout(get),
  };
}
