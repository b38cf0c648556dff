/** The cache while Redis is away, full or restarted: a real redis-server. */
import assert from "node:assert/strict";
import {
  RedisClient,
  type RedisCommands,
} from "../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { Cache } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import { cacheKey, cachePattern } from "../../../supabase/functions/_bulwark/cache/catalog.ts";
import { SharedLevel } from "../../../supabase/functions/_bulwark/cache/shared.ts";
import { key, pause, redisTest } from "./redis_isolates.ts";

redisTest(
  "CACHE-R11: a Redis that is killed and comes back under load fails no request",
  async (place) => {
    const isolates = [1, 2, 3].map(() => place.isolate({}, 300));
    const outcomes = { failed: 0, wrong: 0, served: 0, loaded: 0 };
    let stop = false;
    const client = async (cache: Cache) => {
      while (!stop) {
        const n = Math.floor(Math.random() * 50);
        const load = () => {
          outcomes.loaded++;
          return Promise.resolve(n);
        };
        await cache.getOrSet(key(`${n}`), load, { ttl: 60 }).then(
          (value) => value === n ? outcomes.served++ : outcomes.wrong++,
          () => outcomes.failed++,
        );
        await pause(1);
      }
    };
    const clients = isolates.flatMap((cache) => Array.from({ length: 5 }, () => client(cache)));
    const hitRate = async () => {
      const { served, loaded } = outcomes;
      while (outcomes.served < served + 200) await pause(10);
      return 1 - (outcomes.loaded - loaded) / (outcomes.served - served);
    };
    /** Without a deadline, because the machine may be busy. */
    const recovered = async () => {
      let rate = 0;
      for (let tries = 0; tries < 200 && rate < 0.95; tries++) rate = await hitRate();
      return rate >= 0.95;
    };
    const warmed = await recovered();
    await place.server.kill();
    await hitRate();
    const during = await hitRate();
    await place.server.start();
    const restarted = await recovered();
    place.server.freeze();
    await hitRate();
    place.server.thaw();
    const thawed = await recovered();
    stop = true;
    await Promise.all(clients);
    assert.deepEqual({ warmed, restarted, thawed }, {
      warmed: true,
      restarted: true,
      thawed: true,
    });
    assert.ok(during < 0.5, `hits while it was away: ${during}`);
    assert.deepEqual([outcomes.failed, outcomes.wrong], [0, 0]);
  },
);

redisTest(
  "CACHE-R12: a deletion while Redis is away is done when it is back",
  async (place) => {
    // Frozen, not killed, so that it keeps its data.
    const [one, two] = [place.isolate(), place.isolate({}, 300)];
    await one.set(key("a"), "old", { ttl: 600 });
    await one.set(key("b"), "old", { ttl: 600, tags: ["team"] });
    place.server.freeze();
    await two.delete(key("a"));
    await two.invalidateTags("team");
    place.server.thaw();
    const load = () => Promise.resolve("new");
    const options = { ttl: 600, tags: ["team"] };
    let seen: unknown = "old";
    for (let tries = 0; tries < 200 && seen !== "new"; tries++) {
      assert.equal(await two.getOrSet(key("a"), load, { ttl: 600 }), "new");
      assert.equal(await two.getOrSet(key("b"), load, options), "new");
      seen = await one.get(key("a"));
      await pause(50);
    }
    assert.equal(seen, "new", "for the others too, as soon as it could be told");
    assert.equal(await one.getOrSet(key("b"), load, options), "new");
  },
);

redisTest("CACHE-R13: no Redis at all is a cache in memory", async ({ server, isolate }) => {
  await server.kill();
  const cache = isolate({ memorySeconds: 5 }, 50);
  let loads = 0;
  const load = () => Promise.resolve(++loads);
  for (let i = 0; i < 20; i++) await cache.getOrSet(key("a"), load, { ttl: 60 });
  assert.equal(loads, 1);
  await cache.set(key("b"), 2, { ttl: 60 });
  assert.equal(await cache.get(key("b")), 2);
  await cache.delete(key("b"));
  assert.equal(await cache.get(key("b")), undefined);
});

redisTest("CACHE-R19: a full Redis still serves its entries", async (place) => {
  const cache = place.isolate();
  await cache.set(key("a"), "kept", { ttl: 60 });
  await place.redis.call("CONFIG", "SET", "maxmemory", "1");
  for (let i = 0; i < 10; i++) await cache.set(key(`new ${i}`), i, { ttl: 60 });
  const unused = () => Promise.reject(new Error("loaded"));
  assert.equal(await cache.getOrSet(key("a"), unused, { ttl: 60 }), "kept");
  assert.equal(await cache.getOrSet(key("b"), () => Promise.resolve(2), { ttl: 60 }), 2);
  assert.equal(cache.state, "shared");
});

redisTest(
  "CACHE-R20: a load that outlived its Redis is not stored",
  async (place) => {
    const [one, two] = [
      place.isolate({ memorySeconds: 60 }, 300),
      place.isolate({}, 300),
    ];
    let truth = "old";
    const { promise, resolve } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const options = { ttl: 60, tags: ["team"] };
    const slow = one.getOrSet(key("a"), async () => {
      const read = truth;
      begin();
      await promise;
      return read;
    }, options);
    await begun;
    await place.server.kill();
    truth = "new";
    await two.delete(key("a"));
    await place.server.start();
    // Both are connected again.
    for (const cache of [one, two]) {
      for (let i = 0; i < 500 && await cache.get(key("b")) !== "there"; i++) {
        await cache.set(key("b"), "there", { ttl: 60, memoryOnly: false });
        await pause(10);
      }
    }
    resolve();
    assert.equal(await slow, "old", "for callers who asked before");
    const load = () => Promise.resolve(truth);
    assert.equal(await two.getOrSet(key("a"), load, options), "new");
    assert.equal(await one.getOrSet(key("a"), load, options), "new");
  },
);

/** An isolate whose connection can be cut before a command or before its answer arrives. */
function cuttable(redis: RedisClient) {
  const way: { is: "open" | "cut" | "mute" } = { is: "open" };
  const commands: RedisCommands = {
    isConnected: true,
    async call(command, ...args) {
      if (way.is === "cut") throw new Error("cut");
      const mute = way.is === "mute" && command.startsWith("EVAL");
      const answer = await redis.call(command, ...args);
      return mute ? await new Promise(() => {}) : answer;
    },
    drop() {},
  };
  const client = new RedisClient(commands, { timeoutMs: 100, log: () => {} });
  const shared = new SharedLevel(client, { prefix: "t", leaseTime: 5000 });
  const cache = new Cache(shared, {
    memory: { maxEntries: 100, maxSize: 100_000 },
    memorySeconds: 0,
    loadWait: 20_000,
  });
  return { cache, way };
}

redisTest(
  "CACHE-R21: a deletion while Redis is away is retried without a call, and nothing stale is stored",
  async (place) => {
    const one = place.isolate();
    const two = cuttable(place.redis);
    await one.set(key("a"), "old", { ttl: 600 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const slow = two.cache.getOrSet(key("b"), () => {
      begin();
      return promise;
    }, { ttl: 600 });
    await begun;
    two.way.is = "cut";
    await two.cache.delete(key("a"), key("b"));
    two.way.is = "open";
    resolve("old");
    assert.equal(await slow, "old", "for callers who asked before");
    assert.equal(await one.get(key("b")), undefined, "and to nobody else");
    for (let i = 0; i < 300 && await one.get(key("a")) !== undefined; i++) await pause(20);
    assert.equal(await one.get(key("a")), undefined);
    two.cache.close();
  },
);

redisTest("CACHE-R22: a lease whose answer was lost is released", async (place) => {
  const one = cuttable(place.redis);
  const two = place.isolate({ loadWait: 30_000 });
  const load = () => Promise.resolve("mine");
  // Loads the script first, so that only an answer gets lost.
  await one.cache.getOrSet(key("warm"), load, { ttl: 60 });
  one.way.is = "mute";
  assert.equal(await one.cache.getOrSet(key("a"), load, { ttl: 60 }), "mine");
  one.way.is = "open";
  const start = performance.now();
  assert.equal(await two.getOrSet(key("a"), load, { ttl: 60 }), "mine");
  assert.ok(performance.now() - start < 4000, "nobody waits for a lease that nobody has");
  one.cache.close();
});

redisTest(
  "CACHE-R23: while a pattern is cleared others read, and one scan runs at a time",
  async (place) => {
    const cache = place.isolate();
    const keys = Array.from({ length: 5000 }, (_, i) => cacheKey("user", "1", i));
    await cache.setMany(keys.map((each) => [each, "old"]), { ttl: 60 });
    await cache.set(cacheKey("organization", "1"), "there", { ttl: 60 });
    const scans = async () => {
      const info = String(await place.redis.call("INFO", "commandstats"));
      return Number(/cmdstat_scan:calls=(\d+)/.exec(info)?.[1] ?? 0);
    };
    let cleared = false;
    const clearing = cache.clear(cachePattern("user", "1")).then(() => cleared = true);
    const unused = () => Promise.reject(new Error("loaded"));
    let during = 0;
    for (let i = 0; !cleared; i++) {
      const own = await cache.getOrSet(keys[i]!, () => Promise.resolve("new"), { ttl: 60 });
      assert.equal(own, "new", "what is being cleared is gone at once");
      const others = await cache.getOrSet(cacheKey("organization", "1"), unused, { ttl: 60 });
      assert.equal(others, "there");
      during++;
    }
    await clearing;
    assert.ok(during > 0);
    assert.ok(await scans() < 60, `${await scans()} scans`);
    assert.equal(await cache.get(keys.at(-1)!), undefined);
  },
);
