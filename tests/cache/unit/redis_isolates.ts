import assert from "node:assert/strict";
import { redisTest as testWithRedis, type TestRedis } from "../../../scripts/testing/redis.ts";
import {
  openRedis,
  RedisClient,
} from "../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { Cache, type CacheOptions } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import { cacheKey } from "../../../supabase/functions/_bulwark/cache/catalog.ts";
import { SharedLevel } from "../../../supabase/functions/_bulwark/cache/shared.ts";

export const key = (name: string) => cacheKey("user", name);
export const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** A Redis and isolates on it, by default without entries in memory. */
export interface Place {
  server: TestRedis;
  redis: RedisClient;
  isolate(options?: Partial<CacheOptions>, timeoutMs?: number): Cache;
}

export function redisTest(name: string, test: (place: Place) => Promise<void>): void {
  testWithRedis(name, async (server) => {
    const env = { redisUrl: server.url, upstashUrl: null, upstashToken: null };
    const redis = openRedis(env, { timeoutMs: 5000, log: () => {} });
    assert.ok(redis);
    const opened: Cache[] = [];
    try {
      await test({
        server,
        redis,
        isolate(options = {}, timeoutMs = 5000) {
          const own = openRedis(env, { timeoutMs, log: () => {} });
          assert.ok(own);
          const shared = new SharedLevel(own, { prefix: "t", leaseTime: 5000 });
          const cache = new Cache(shared, {
            memory: { maxEntries: 1000, maxSize: 1_000_000 },
            memorySeconds: 0,
            loadWait: 20_000,
            ...options,
          });
          opened.push(cache);
          return cache;
        },
      });
    } finally {
      for (const cache of opened) cache.close();
      redis.close();
    }
  });
}
