/**
 * The cost of a cached answer, compared with bentocache and cacheable on the same Redis:
 * `npm run bench -- cache`. Each library is measured with two levels (memory and a redis-server of the
 * benchmark), and with Redis alone, as in a cold isolate.
 */
import { createKeyv } from "@keyv/redis";
import { BentoCache, bentostore } from "bentocache";
import { memoryDriver } from "bentocache/drivers/memory";
import { redisDriver } from "bentocache/drivers/redis";
import { Cacheable } from "cacheable";
import { Redis } from "ioredis";
import { Cache } from "../../supabase/functions/_bulwark/cache/cache.ts";
import { cacheKey } from "../../supabase/functions/_bulwark/cache/catalog.ts";
import { SharedLevel } from "../../supabase/functions/_bulwark/cache/shared.ts";
import { openRedis } from "../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { Failure } from "../stack/failure.ts";
import { redisServer, startRedis } from "../testing/redis.ts";
import { bench, type BenchRow, milliseconds, perSecond } from "./harness.ts";

/** The cached value: a user with roles, about 300 bytes of JSON. */
const value = {
  id: "00000000-0000-4000-9000-000000000001",
  email: "ada@acme.test",
  roles: ["viewer", "analyst"],
  permissions: Array.from({ length: 8 }, (_, i) => `category_${i}:read`),
};
const keys = 1000;
const load = () => Promise.resolve(value);

export default bench({
  async setup({ postgres, asUser, log, onStop }) {
    if (!redisServer) {
      throw new Failure(
        "NO_REDIS",
        "Cannot measure the cache: no redis-server (Debian: redis-server)",
      );
    }
    const server = await startRedis();
    onStop(server.stop);

    const ours = (memorySeconds: number, prefix: string, tags: string[] = []) => {
      const redis = openRedis({ redisUrl: server.url, upstashUrl: null, upstashToken: null }, {
        timeoutMs: 1000,
      });
      if (!redis) throw new Failure("BENCH", "no Redis");
      onStop(() => Promise.resolve(redis.close()));
      const shared = new SharedLevel(redis, { prefix, leaseTime: 30_000 });
      const cache = new Cache(shared, {
        memory: { maxEntries: 5000, maxSize: 16 * 1024 * 1024 },
        memorySeconds,
        loadWait: 2000,
      });
      const names = Array.from({ length: keys }, (_, i) => cacheKey("user", i));
      return (i: number) => cache.getOrSet(names[i % keys]!, load, { ttl: 3600, tags });
    };
    const connection = new Redis(server.url);
    await new Promise((resolve) => connection.once("ready", resolve));
    onStop(() => Promise.resolve(connection.disconnect()));
    const bento = (memory: boolean, prefix: string, tags: string[] = []) => {
      const driver = redisDriver({ connection: connection as never });
      const store = memory
        ? bentostore().useL1Layer(memoryDriver({ maxItems: 5000 })).useL2Layer(driver)
        : bentostore().useL2Layer(driver);
      const cache = new BentoCache({ default: "store", prefix, stores: { store } });
      return (i: number) =>
        cache.getOrSet({ key: `user:${i % keys}`, ttl: "1h", factory: load, tags });
    };
    const able = (memory: boolean) => {
      const secondary = createKeyv(server.url, { namespace: memory ? "able" : "able-cold" });
      onStop(() => secondary.disconnect());
      const cache = new Cacheable(memory ? { secondary } : { primary: secondary });
      return (i: number) => cache.getOrSet(`user:${i % keys}`, load, { ttl: "1h" });
    };

    const hits = async (read: (i: number) => Promise<unknown>, parallel: number) => {
      for (let i = 0; i < keys; i++) await read(i);
      let next = 0;
      const each = parallel === 1
        ? () => read(next++)
        : () => Promise.all(Array.from({ length: parallel }, () => read(next++)));
      return await perSecond(each) * parallel;
    };
    const row = (name: string, memory: boolean, parallel: number): BenchRow => {
      const own = ours(memory ? 3600 : 0, `o${memory}${parallel}`);
      const [one, two] = [bento(memory, `b${memory}${parallel}`), able(memory)];
      return {
        name,
        unit: "hits/s",
        better: "higher",
        ours: () => hits(own, parallel),
        peers: [
          { name: "bentocache", run: () => hits(one, parallel) },
          { name: "cacheable", run: () => hits(two, parallel) },
        ],
      };
    };

    const tagged = (): BenchRow => {
      const [own, one] = [ours(0, "otagged", ["team"]), bento(false, "btagged", ["team"])];
      return {
        name: "getOrSet, cold isolate, from Redis, with a tag",
        unit: "hits/s",
        better: "higher",
        ours: () => hits(own, 1),
        peers: [{ name: "bentocache", run: () => hits(one, 1) }],
      };
    };

    log("a user with forty permissions");
    const user = "00000000-0000-4000-9000-000000000001";
    await postgres.unsafe(`
      insert into auth.users (id, email) values ('${user}', 'ada@bench.test');
      select bulwark.create_organization('Bench', 'bench', '${user}');
    `);
    const session = await asUser(user);
    const [organization] = await session`select bulwark.member_organizations() as id`;
    const [held] = await session`select version from bulwark.my_permissions(${organization?.id})`;
    const all = () => session`select * from bulwark.my_permissions(${organization?.id})`;
    return [
      row("getOrSet, warm isolate", true, 1),
      row("getOrSet, warm isolate, 50 at a time", true, 50),
      row("getOrSet, cold isolate, from Redis", false, 1),
      row("getOrSet, cold isolate, from Redis, 50 at a time", false, 50),
      tagged(),
      {
        name: "cached permissions, unchanged",
        unit: "ms",
        better: "lower",
        ours: () =>
          milliseconds(
            () =>
              session`select * from bulwark.my_permissions(${organization?.id}, ${held?.version})`,
            200,
          ),
        peers: [{ name: "the whole list anew", run: () => milliseconds(all, 200) }, {
          name: "one permission by has_permission",
          run: () =>
            milliseconds(
              () => session`select bulwark.has_permission('audit:read', ${organization?.id})`,
              200,
            ),
        }],
      },
    ];
  },
});
