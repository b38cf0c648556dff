/** The cache without Redis, and the parts of both levels. */
import assert from "node:assert/strict";
import { PendingSet } from "../../../supabase/functions/_bulwark/cache/pending_invalidations.ts";
import { openCache } from "../../../supabase/functions/_bulwark/cache/mod.ts";
import { Cache, type CacheOptions } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import {
  any,
  type CacheKey,
  cacheKey,
  cachePattern,
  matcher,
} from "../../../supabase/functions/_bulwark/cache/catalog.ts";
import { MemoryLevel } from "../../../supabase/functions/_bulwark/cache/memory.ts";
import { warm } from "../../../supabase/functions/_bulwark/cache/warm.ts";

const options: CacheOptions = {
  memory: { maxEntries: 100, maxSize: 10_000 },
  memorySeconds: 5,
  loadWait: 200,
};
const make = (more: Partial<CacheOptions> = {}) => new Cache(null, { ...options, ...more });
const key = (name: string) => cacheKey("user", name);
const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** A load that the test ends. */
function gate<T>(value: () => T) {
  const { promise, resolve } = Promise.withResolvers<void>();
  let loads = 0;
  const load = async () => {
    loads++;
    const read = value();
    await promise;
    return read;
  };
  return { load, open: resolve, loads: () => loads };
}

Deno.test("CACHE-01: getOrSet() loads once and answers from memory after that", async () => {
  const cache = make();
  let loads = 0;
  const load = () => Promise.resolve({ loads: ++loads });
  assert.deepEqual(await cache.getOrSet(key("a"), load, { ttl: 60 }), { loads: 1 });
  assert.deepEqual(await cache.getOrSet(key("a"), load, { ttl: 60 }), { loads: 1 });
  assert.deepEqual(await cache.getOrSet(key("b"), load, { ttl: 60 }), { loads: 2 });
});

Deno.test("CACHE-02: a hundred callers at once cause one load", async () => {
  const cache = make();
  const slow = gate(() => 1);
  const all = Array.from(
    { length: 100 },
    () => cache.getOrSet(key("a"), slow.load, { ttl: 60 }),
  );
  slow.open();
  assert.deepEqual(new Set(await Promise.all(all)), new Set([1]));
  assert.equal(slow.loads(), 1);
});

Deno.test("CACHE-03: an error reaches every waiting caller and is not remembered", async () => {
  const cache = make();
  let fail = true;
  const load = () => fail ? Promise.reject(new Error("away")) : Promise.resolve("back");
  const both = [1, 2].map(() => cache.getOrSet(key("a"), load, { ttl: 60 }));
  for (const result of await Promise.allSettled(both)) assert.equal(result.status, "rejected");
  fail = false;
  assert.equal(await cache.getOrSet(key("a"), load, { ttl: 60 }), "back");
});

/** Runs a test with its own clock. */
async function onOwnClock(test: (wait: (milliseconds: number) => void) => Promise<void>) {
  const clock = Date.now;
  let now = clock();
  Date.now = () => now;
  try {
    await test((milliseconds) => void (now += milliseconds));
  } finally {
    Date.now = clock;
  }
}

Deno.test("CACHE-04: a null result is cached, with its own lifetime", () =>
  onOwnClock(async (wait) => {
    const cache = make();
    let loads = 0;
    const load = () => Promise.resolve(loads++ === 0 ? null : "now there is");
    assert.equal(await cache.getOrSet(key("a"), load, { ttl: 60, negativeTtl: 10 }), null);
    wait(8900);
    assert.equal(await cache.getOrSet(key("a"), load, { ttl: 60, negativeTtl: 10 }), null);
    wait(1100);
    assert.equal(await cache.getOrSet(key("a"), load, { ttl: 60 }), "now there is");
    const never = { ttl: 60, negativeTtl: 0 };
    assert.equal(await cache.getOrSet(key("b"), () => Promise.resolve(null), never), null);
    assert.equal(await cache.getOrSet(key("b"), () => Promise.resolve(2), never), 2);
  }));

Deno.test("CACHE-05: entries expire up to a tenth early, each at its own time, and never late", () =>
  onOwnClock(async (wait) => {
    const cache = make();
    const names = Array.from({ length: 50 }, (_, i) => key(`${i}`));
    for (const name of names) await cache.set(name, 1, { ttl: 100 });
    const left = async () => (await cache.getMany(names)).filter((value) => value).length;
    wait(89_900);
    assert.equal(await left(), 50, "none before nine tenths");
    wait(5_100);
    const half = await left();
    assert.ok(half > 0 && half < 50, `not all at once: ${half} left`);
    wait(5_000);
    assert.equal(await left(), 0, "none late");
  }));

Deno.test("CACHE-06: a load that began before its key was deleted is not stored", async () => {
  const cache = make();
  let truth = "old";
  const slow = gate(() => truth);
  const before = cache.getOrSet(key("a"), slow.load, { ttl: 60 });
  truth = "new";
  await cache.delete(key("a"));
  const after = cache.getOrSet(key("a"), () => Promise.resolve(truth), { ttl: 60 });
  slow.open();
  assert.equal(await before, "old", "who asked before may get what was then");
  assert.equal(await after, "new", "who asks after the deletion does not join it");
  assert.equal(await cache.get(key("a")), "new");
});

Deno.test("CACHE-07: neither is one that began before its tag was invalidated", async () => {
  const cache = make();
  let truth = "old";
  const slow = gate(() => truth);
  const before = cache.getOrSet(key("a"), slow.load, { ttl: 60, tags: ["team"] });
  truth = "new";
  await cache.invalidateTags("team");
  slow.open();
  assert.equal(await before, "old");
  assert.equal(await cache.get(key("a")), undefined);
});

Deno.test("CACHE-08: a tag takes all of its entries and no other", async () => {
  const cache = make();
  await cache.setMany([[key("a"), 1], [key("b"), 2]], { ttl: 60, tags: ["x", "team 1"] });
  await cache.set(key("c"), 3, { ttl: 60, tags: ["team"] });
  await cache.invalidateTags("team 1");
  assert.deepEqual(await cache.getMany([key("a"), key("b"), key("c")]), [undefined, undefined, 3]);
  for (let i = 0; i < 10_001; i++) await cache.invalidateTags(`other ${i}`);
  await cache.set(key("a"), 4, { ttl: 60, tags: ["team 1"] });
  assert.equal(await cache.get(key("a")), 4, "with more tags than are told apart it still works");
});

Deno.test("CACHE-09: a pattern deletes its matches; a part is never a wildcard", async () => {
  const cache = make();
  const keys = [
    cacheKey("user", "1", "a"),
    cacheKey("user", "1", "b"),
    cacheKey("user", "2", "a"),
    cacheKey("user", "*", "a"),
    cacheKey("organization", "1", "a"),
  ];
  await cache.setMany(keys.map((each) => [each, true]), { ttl: 60 });
  await cache.clear(cachePattern("user", "*"));
  const left = () => cache.getMany<boolean>(keys);
  assert.deepEqual(await left(), [true, true, true, undefined, true]);
  await cache.clear(cachePattern("user", any, "a"));
  assert.deepEqual(await left(), [undefined, true, undefined, undefined, true]);
});

Deno.test("CACHE-10: keys of different parts are different keys", () => {
  const parts = [["a", "b"], ["a:b"], ["a", null], ["a", "~"], ["a", ""], ["a"], ["a", "null"]];
  const keys = parts.map((each) => cacheKey("user", ...each));
  assert.equal(new Set(keys).size, parts.length);
  assert.throws(() => cacheKey("user", "x".repeat(600)), RangeError);
  const matches = matcher(cachePattern("user", "a.b"));
  assert.ok(matches(cacheKey("user", "a.b", "c")) && !matches(cacheKey("user", "axb", "c")));
});

Deno.test("CACHE-11: a caller cannot change a cached value", async () => {
  const cache = make();
  const mine = { list: [{ n: 1 }] };
  const got = await cache.getOrSet(key("a"), () => Promise.resolve(mine), { ttl: 60 });
  mine.list[0]!.n = 2;
  assert.throws(() => got.list.push({ n: 3 }), TypeError);
  assert.throws(() => got.list[0]!.n = 4, TypeError);
  assert.deepEqual(await cache.get(key("a")), { list: [{ n: 1 }] });
});

Deno.test("CACHE-12: memory is bounded by entries and by size, the oldest leave first", async () => {
  const cache = make();
  for (let i = 0; i < 150; i++) await cache.set(key(`${i}`), i, { ttl: 60 });
  assert.ok(cache.size <= 100);
  assert.equal(await cache.get(key("0")), undefined);
  assert.equal(await cache.get(key("149")), 149);
  await cache.set(key("large"), "x".repeat(9000), { ttl: 60 });
  assert.equal(await cache.get(key("large")), undefined, "one entry does not evict all others");
});

Deno.test("CACHE-13: warming has limited concurrency, reports progress and survives failed loads", async () => {
  const cache = make();
  let running = 0;
  let most = 0;
  const told: number[] = [];
  const entries = Array.from({ length: 20 }, (_, i) => ({
    key: key(`${i}`),
    options: { ttl: 60 },
    load: async () => {
      most = Math.max(most, ++running);
      await pause(2);
      running--;
      if (i % 10 === 3) throw new Error("no");
      return i;
    },
  }));
  const end = await warm(cache, entries, {
    concurrency: 3,
    onProgress: ({ done, failed }) => told.push(done + failed),
  });
  assert.deepEqual(end, { done: 18, failed: 2, total: 20 });
  assert.equal(most, 3);
  assert.deepEqual(told, Array.from({ length: 20 }, (_, i) => i + 1));
  assert.equal(await cache.get(key("7")), 7);
});

Deno.test("CACHE-14: every answer is told once, with where it came from", async () => {
  const told: string[] = [];
  const cache = make({
    observer: {
      answered: (namespace, outcome) => told.push(`${namespace} ${outcome}`),
      unavailable() {},
    },
  });
  const load = () => Promise.resolve(1);
  await Promise.all([1, 2].map(() => cache.getOrSet(key("a"), load, { ttl: 60 })));
  await cache.getOrSet(key("a"), load, { ttl: 60 });
  await cache.getMany([key("a"), key("b")]);
  assert.deepEqual(told, [
    "user load",
    "user joined",
    "user memory",
    "user memory",
    "user miss",
  ]);
});

/** A breaker's timer ends by itself, a little later. */
Deno.test("CACHE-26: a value with __proto__ in it changes nobody's prototype", async () => {
  const told = JSON.parse(
    '{"__proto__": {"admin": true}, "constructor": {"prototype": {"admin": 1}}}',
  );
  const value = await make().getOrSet(key("proto"), () => Promise.resolve(told), { ttl: 60 });
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

Deno.test("CACHE-27: a malformed address leaves the cache in memory, with a log line", async () => {
  const env = { redisUrl: null, upstashUrl: null, upstashToken: null, cachePrefix: "p" };
  for (
    const wrong of [{ redisUrl: "redis://u:hunter2@h:99999" }, {
      upstashUrl: "hunter2",
      upstashToken: "x",
    }]
  ) {
    const said: string[] = [];
    const log = (line: string) => said.push(line);
    const cache = openCache({ ...env, cacheTimeoutMs: 100, ...wrong }, undefined, log);
    assert.equal(await cache.getOrSet(key("a"), () => Promise.resolve(1), { ttl: 60 }), 1);
    assert.equal(cache.state, "memory");
    assert.ok(said.length === 1 && !said[0]?.includes("hunter2"), said[0]);
  }
});

Deno.test("CACHE-17: a key's type is made by cacheKey() alone", () => {
  // @ts-expect-error: a plain string is no key
  const wrong: CacheKey = "user:1";
  assert.equal(wrong, cacheKey("user", 1));
});

Deno.test("CACHE-18: a pattern takes whole parts: no other namespace, no other organization", async () => {
  const cache = make();
  const kept = [
    cacheKey("user_permissions", "1"),
    cacheKey("organization", "12"),
    cacheKey("organization", "12", "plan"),
    cacheKey("organization", "2", "plan"),
  ];
  const taken = [
    cacheKey("user"),
    cacheKey("user", "1"),
    cacheKey("organization", "1"),
    cacheKey("organization", "1", "plan", "x"),
  ];
  await cache.setMany([...kept, ...taken].map((each) => [each, 1]), { ttl: 60 });
  await cache.clear(cachePattern("user"));
  await cache.clear(cachePattern("organization", "1"));
  assert.deepEqual(await cache.getMany(kept), [1, 1, 1, 1]);
  assert.deepEqual(await cache.getMany(taken), Array(4).fill(undefined));
  assert.ok(!matcher(cachePattern("user", any, "a"))(cacheKey("user", "1", "b", "a")));
});

Deno.test("CACHE-19: halves of characters are parts like others, and not one another", () => {
  const keys = ["\ud800", "\ud801", "\udc00", "\ufffd", "%ud800", "\ud83d\ude00"].map((part) =>
    cacheKey("user", part)
  );
  assert.equal(new Set(keys).size, keys.length);
});

Deno.test("CACHE-20: a clock that is set back makes no entry live longer", async () => {
  const cache = make();
  await cache.set(key("a"), 1, { ttl: 60 });
  const clock = Date.now;
  Date.now = () => clock() - 3_600_000;
  try {
    assert.equal(await cache.get(key("a")), undefined);
  } finally {
    Date.now = clock;
  }
});

Deno.test("CACHE-21: a load that does not end is no longer joined, and its late value is not stored", async () => {
  const cache = make();
  const { promise, resolve } = Promise.withResolvers<number>();
  const endless = cache.getOrSet(key("a"), () => promise, { ttl: 60 });
  const clock = performance.now;
  performance.now = () => clock.call(performance) + 30_001;
  try {
    assert.equal(await cache.getOrSet(key("a"), () => Promise.resolve(2), { ttl: 60 }), 2);
  } finally {
    performance.now = clock;
  }
  await cache.delete(key("a"));
  resolve(1);
  assert.equal(await endless, 1);
  assert.equal(await cache.get(key("a")), undefined);
});

Deno.test("CACHE-22: an invalid lifetime is 0", async () => {
  for (const ttl of [NaN, -1, 0, -Infinity]) {
    const cache = make();
    await cache.set(key("a"), 1, { ttl });
    assert.equal(await cache.get(key("a")), undefined, String(ttl));
  }
  const cache = make();
  await cache.set(key("a"), 1, { ttl: Infinity });
  const clock = Date.now;
  Date.now = () => clock() + 3 * 86_400_000;
  try {
    assert.equal(await cache.get(key("a")), undefined);
  } finally {
    Date.now = clock;
  }
});

Deno.test("CACHE-25: an item added again during a flush stays pending", async () => {
  const pending = new PendingSet<string>();
  pending.add("a");
  pending.add("b");
  const flushed: string[][] = [];
  await pending.flush((items) => {
    flushed.push(items);
    pending.add("a");
    return Promise.resolve();
  });
  await assert.rejects(pending.flush(() => Promise.reject(new Error("away"))), /away/);
  await pending.flush((items) => {
    flushed.push(items);
    return Promise.resolve();
  });
  assert.deepEqual(flushed, [["a", "b"], ["a"]]);
  assert.equal(pending.size, 0);
});

Deno.test("CACHE-28: a flood of invalidated tags drops what was loaded before it, and nothing else", () => {
  const level = new MemoryLevel(options.memory);
  const expiresAt = Date.now() + 60_000;
  const store = (name: string, tags: string[]) => {
    const stamp = level.stamp(tags);
    level.set(key(name), { value: name, storedAt: Date.now(), expiresAt, stamp, size: 10 });
  };
  const kept = () => ["before", "untagged", "after"].filter((name) => level.get(key(name)));
  store("before", ["one"]);
  store("untagged", []);
  level.invalidate(["other"]);
  store("after", ["one"]);
  level.invalidate(Array.from({ length: 9_999 }, (_, i) => `tag ${i}`));
  assert.deepEqual(kept(), ["before", "untagged", "after"]);
  level.invalidate(["one more"]);
  assert.deepEqual(kept(), ["untagged", "after"], "the invalidation of other is forgotten");
  level.invalidate(["one"]);
  assert.deepEqual(kept(), ["untagged"]);
});
