/** The cache over a real redis-server: several isolates and races. */
import assert from "node:assert/strict";
import { openRedis } from "../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { Cache } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import {
  type CacheKey,
  cacheKey,
  cachePattern,
} from "../../../supabase/functions/_bulwark/cache/catalog.ts";
import { SharedLevel } from "../../../supabase/functions/_bulwark/cache/shared.ts";
import { key, pause, redisTest } from "./redis_isolates.ts";

redisTest(
  "CACHE-R01: an entry loaded by one isolate is not loaded by another",
  async ({ isolate }) => {
    const [one, two] = [isolate(), isolate()];
    await one.getOrSet(key("a"), () => Promise.resolve({ n: 1 }), { ttl: 60 });
    const unused = () => Promise.reject(new Error("loaded again"));
    assert.deepEqual(await two.getOrSet(key("a"), unused, { ttl: 60 }), { n: 1 });
  },
);

redisTest("CACHE-R24: invalid JSON in Redis is a miss", async ({ redis, isolate }) => {
  const cache = isolate();
  for (const junk of ["\njunk", "\n", "junk", ""]) {
    await redis.call("SET", "{t}:e:user:a", junk);
    const answer = await cache.getOrSet(key("a"), () => Promise.resolve("loaded"), { ttl: 60 });
    assert.equal(answer, "loaded", junk.slice(0, 10));
    await redis.call("SET", "{t}:e:user:a", junk);
    assert.deepEqual(await cache.getMany([key("a"), key("b")]), [undefined, undefined]);
  }
});

redisTest(
  "CACHE-R26: JSON nested deeper than the stack can be read",
  async ({ redis, isolate }) => {
    await redis.call("SET", "{t}:e:user:a", `\n${"[".repeat(200_000)}${"]".repeat(200_000)}`);
    const unused = () => Promise.reject(new Error("loaded again"));
    let value = await isolate().getOrSet<unknown[]>(key("a"), unused, { ttl: 60 });
    for (; value.length > 0; value = value[0] as unknown[]) assert.ok(Object.isFrozen(value));
  },
);

redisTest("CACHE-R25: another type in Redis is a miss", async ({ redis, isolate }) => {
  const cache = isolate();
  await redis.call("RPUSH", "{t}:e:user:a", "x");
  await redis.call("RPUSH", "{t}:t:tag", "x");
  for (const tags of [[], ["tag"]]) {
    const options = { ttl: 60, tags };
    assert.equal(
      await cache.getOrSet(key("a"), () => Promise.resolve("loaded"), options),
      "loaded",
    );
  }
});

redisTest(
  "CACHE-R02: of ten isolates that miss at the same time one loads",
  async ({ isolate }) => {
    const isolates = Array.from({ length: 10 }, () => isolate());
    let loads = 0;
    const load = async () => {
      loads++;
      await pause(50);
      return "value";
    };
    const all = isolates.flatMap((cache) =>
      [1, 2, 3].map(() => cache.getOrSet(key("hot"), load, { ttl: 60 }))
    );
    assert.deepEqual(new Set(await Promise.all(all)), new Set(["value"]));
    assert.equal(loads, 1);
  },
);

redisTest(
  "CACHE-R03: an isolate that waits too long for another's load loads itself",
  async ({ isolate }) => {
    const one = isolate();
    const two = isolate({ loadWait: 30 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const load = () => {
      begin();
      return promise;
    };
    const slow = one.getOrSet(key("a"), load, { ttl: 60 });
    await begun;
    assert.equal(await two.getOrSet(key("a"), () => Promise.resolve("mine"), { ttl: 60 }), "mine");
    resolve("theirs");
    assert.equal(await slow, "theirs");
  },
);

redisTest(
  "CACHE-R04: a load in one isolate does not survive a deletion in another",
  async (place) => {
    const [one, two] = [place.isolate(), place.isolate({ memorySeconds: 5 })];
    for (const how of ["delete", "tag", "pattern", "set"] as const) {
      const each = key(how);
      const { promise, resolve } = Promise.withResolvers<string>();
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      const options = { ttl: 60, tags: ["team"] };
      const load = () => {
        begin();
        return promise;
      };
      const before = two.getOrSet(each, load, options);
      await begun;
      if (how === "delete") await one.delete(each);
      if (how === "tag") await one.invalidateTags("team");
      if (how === "pattern") await one.clear(cachePattern("user", how));
      if (how === "set") await one.set(each, "new", options);
      resolve("old");
      assert.equal(await before, "old");
      const expected = how === "set" ? "new" : undefined;
      assert.equal(await one.get(each), expected, how);
      // The isolate sees an invalidated tag at its next read of Redis; its memory entry expires.
      if (how !== "tag") assert.equal(await two.get(each), expected, `${how}, where it was loaded`);
    }
  },
);

redisTest("CACHE-R05: loads and deletions in a storm never leave an old value", async (place) => {
  const isolates = Array.from({ length: 4 }, () => place.isolate());
  let truth = 0;
  const options = { ttl: 60, tags: ["t"] };
  const load = async () => {
    const read = truth;
    await pause(Math.random() * 4);
    return read;
  };
  for (let round = 0; round < 150; round++) {
    const readers = isolates.map((cache) => cache.getOrSet(key("k"), load, options));
    if (round % 3 === 0) await pause(Math.random() * 4);
    truth = round + 1;
    const writer = isolates[round % 4]!;
    await (round % 2 ? writer.delete(key("k")) : writer.invalidateTags("t"));
    assert.equal(await writer.getOrSet(key("k"), load, options), truth, `round ${round}, at once`);
    // Callers may still join a running load of another isolate, but it is not stored.
    await Promise.all(readers);
    const again = isolates.map((cache) => cache.getOrSet(key("k"), load, options));
    assert.deepEqual(await Promise.all(again), Array(4).fill(truth), `round ${round}`);
  }
});

redisTest("CACHE-R06: a tag is invalidated by one write, whatever carries it", async (place) => {
  const cache = place.isolate();
  const keys = Array.from({ length: 500 }, (_, i) => key(`${i}`));
  await cache.setMany(keys.map((each, i) => [each, i]), { ttl: 60, tags: ["a", "b"] });
  assert.equal((await cache.getMany(keys)).filter((value) => value !== undefined).length, 500);
  const commands = async () => {
    const info = String(await place.redis.call("INFO", "commandstats"));
    return [...info.matchAll(/cmdstat_(set|del|unlink):calls=(\d+)/g)]
      .reduce((sum, [, , calls]) => sum + Number(calls), 0);
  };
  const before = await commands();
  await cache.invalidateTags("b");
  assert.equal(await commands() - before, 1);
  assert.deepEqual(await cache.getMany(keys), Array(500).fill(undefined));
});

redisTest(
  "CACHE-R07: a tag whose generation was evicted takes its entries along",
  async (place) => {
    const cache = place.isolate();
    await cache.set(key("a"), 1, { ttl: 60, tags: ["team"] });
    assert.equal(await cache.get(key("a")), 1);
    await place.redis.call("DEL", "{t}:t:team");
    assert.equal(await cache.get(key("a")), undefined);
    await cache.set(key("b"), 2, { ttl: 60, tags: ["team"] });
    assert.equal(await cache.get(key("a")), undefined, "a new generation does not bring it back");
  },
);

redisTest(
  "CACHE-R08: an entry stored without a tag is not taken for one that has it",
  async (place) => {
    const cache = place.isolate();
    await cache.set(key("a"), "before the tag was added to the code", { ttl: 60 });
    const got = await cache.getOrSet(key("a"), () => Promise.resolve("fresh"), {
      ttl: 60,
      tags: ["team"],
    });
    assert.equal(got, "fresh");
  },
);

redisTest("CACHE-R09: a pattern is cleared by SCAN and UNLINK, never by KEYS", async (place) => {
  const [one, two] = [place.isolate(), place.isolate({ memorySeconds: 60 })];
  const keys = Array.from({ length: 1200 }, (_, i) => cacheKey("user", "1", i));
  await one.setMany(keys.map((each) => [each, 1]), { ttl: 60 });
  await one.set(cacheKey("user", "2", "kept"), 2, { ttl: 60 });
  await two.clear(cachePattern("user", "1"));
  assert.deepEqual(await one.getMany(keys), Array(1200).fill(undefined));
  assert.equal(await one.get(cacheKey("user", "2", "kept")), 2);
  const info = String(await place.redis.call("INFO", "commandstats"));
  assert.match(info, /cmdstat_scan:/);
  assert.match(info, /cmdstat_unlink:/);
  assert.doesNotMatch(info, /cmdstat_(keys|flushdb|flushall):/);
});

redisTest(
  "CACHE-R10: in another isolate's memory an entry ends after memorySeconds",
  async (place) => {
    const one = place.isolate();
    const two = place.isolate({ memorySeconds: 30 });
    await one.set(key("a"), "old", { ttl: 60 });
    const load = () => Promise.resolve("new");
    assert.equal(await two.getOrSet(key("a"), load, { ttl: 60 }), "old");
    await one.delete(key("a"));
    assert.equal(await two.getOrSet(key("a"), load, { ttl: 60 }), "old", "as documented");
    const clock = Date.now;
    Date.now = () => clock() + 30_000;
    try {
      assert.equal(await two.getOrSet(key("a"), load, { ttl: 60 }), "new");
    } finally {
      Date.now = clock;
    }
  },
);

redisTest("CACHE-R14: entries expire in Redis too", async ({ redis, isolate }) => {
  const cache = isolate();
  await cache.set(key("a"), 1, { ttl: 60, tags: ["team"] });
  await cache.getOrSet(key("b"), () => Promise.resolve(2), { ttl: 60 });
  const [, names] = await redis.call("SCAN", "0", "COUNT", 1000) as [string, string[]];
  assert.deepEqual(names.sort(), ["{t}:e:user:a", "{t}:e:user:b", "{t}:t:team"]);
  for (const name of names) assert.ok(Number(await redis.call("PTTL", name)) > 0, name);
});

redisTest("CACHE-R15: over Upstash's HTTP it is the same cache", async ({ server, redis }) => {
  // A server with Upstash's REST API in front of the real Redis.
  const bridge = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    if (request.headers.get("authorization") !== "Bearer secret") {
      return Response.json({ error: "Unauthorized" }, { status: 401 });
    }
    const [command, ...args] = await request.json() as [string, ...string[]];
    try {
      return Response.json({ result: await redis.call(command, ...args) });
    } catch (thrown) {
      return Response.json({ error: (thrown as Error).message }, { status: 400 });
    }
  });
  try {
    const open = (token: string) => {
      const upstashUrl = `http://127.0.0.1:${bridge.addr.port}`;
      const http = openRedis({ redisUrl: null, upstashUrl, upstashToken: token }, {
        timeoutMs: 1000,
        log: () => {},
      });
      assert.ok(http);
      return new Cache(new SharedLevel(http, { prefix: "u", leaseTime: 5000 }), {
        memory: { maxEntries: 100, maxSize: 100_000 },
        memorySeconds: 0,
        loadWait: 500,
      });
    };
    const [one, two] = [open("secret"), open("secret")];
    const options = { ttl: 60, tags: ["team"] };
    const unused = () => Promise.reject(new Error("loaded again"));
    await one.getOrSet(key("a"), () => Promise.resolve({ text: '{"quoted": 1}' }), options);
    assert.deepEqual(await two.getOrSet(key("a"), unused, options), { text: '{"quoted": 1}' });
    await two.invalidateTags("team");
    assert.equal(await one.getOrSet(key("a"), () => Promise.resolve(5), options), 5);
    await one.clear(cachePattern("user"));
    assert.equal(await two.get(key("a")), undefined);
    const refused = open("wrong");
    assert.equal(await refused.getOrSet(key("a"), () => Promise.resolve(6), options), 6);
  } finally {
    await bridge.shutdown();
  }
  assert.ok(server.url);
});

redisTest("CACHE-R16: no part of a key can name another entry", async ({ isolate }) => {
  const cache = isolate();
  const odd: CacheKey[] = ["a:b", "a\nb", "*", "[ab]", "a b=c", "é", '"'].map(key);
  await cache.setMany(odd.map((each, i) => [each, i]), { ttl: 60, tags: ["a b=c\n", "*"] });
  assert.deepEqual(await cache.getMany(odd), odd.map((_, i) => i));
  await cache.clear(cachePattern("user", "[ab]"));
  assert.deepEqual(await cache.getMany(odd), [0, 1, 2, undefined, 4, 5, 6]);
  await cache.invalidateTags("*");
  assert.deepEqual(await cache.getMany(odd), Array(7).fill(undefined));
});

redisTest("CACHE-R17: a hit is one round trip, with tags as well", async ({ redis, isolate }) => {
  const cache = isolate();
  const unused = () => Promise.reject(new Error("loaded"));
  const calls = async () => {
    const info = String(await redis.call("INFO", "commandstats"));
    return [...info.matchAll(/cmdstat_(?!info)\w+:calls=(\d+)/g)]
      .reduce((sum, [, count]) => sum + Number(count), 0);
  };
  for (const tags of [[], ["team"], ["team", "user 1"]]) {
    const name = key(`${tags.length}`);
    await cache.set(name, 1, { ttl: 60, tags });
    const before = await calls();
    for (let i = 0; i < 10; i++) await cache.getOrSet(name, unused, { ttl: 60, tags });
    assert.equal(await calls() - before, 10, `${tags.length} tags`);
  }
});

redisTest(
  "CACHE-R18: a prefix is no pattern, and names of others are not cleared",
  async (place) => {
    const open = (prefix: string) => {
      const env = { redisUrl: place.server.url, upstashUrl: null, upstashToken: null };
      const redis = openRedis(env, { timeoutMs: 5000 });
      assert.ok(redis);
      return new Cache(new SharedLevel(redis, { prefix, leaseTime: 5000 }), {
        memory: { maxEntries: 100, maxSize: 100_000 },
        memorySeconds: 0,
        loadWait: 500,
      });
    };
    const [wild, foreign] = [open("[ab]*"), open("app")];
    try {
      for (const cache of [wild, foreign]) await cache.set(key("1"), "mine", { ttl: 60 });
      await place.redis.call("SET", "{a}:e:user:1", "another program's");
      await foreign.set(cacheKey("user_permissions", "1"), "mine", { ttl: 60 });
      await wild.clear(cachePattern("user"));
      assert.equal(await wild.get(key("1")), undefined);
      assert.equal(await foreign.get(key("1")), "mine");
      assert.equal(await place.redis.call("GET", "{a}:e:user:1"), "another program's");
      await foreign.clear(cachePattern("user"));
      assert.equal(await foreign.get(key("1")), undefined);
      assert.equal(await foreign.get(cacheKey("user_permissions", "1")), "mine");
    } finally {
      wild.close();
      foreign.close();
    }
  },
);
