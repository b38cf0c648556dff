/** Buckets in a real redis-server: a batch decides as single calls would. */
import assert from "node:assert/strict";
import type { Redis } from "ioredis";
import { redisTest as testWithRedis, type TestRedis } from "../../../scripts/testing/redis.ts";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import type { Terms } from "../../../supabase/functions/_bulwark/rate_limits/arithmetic.ts";
import type {
  Charge,
  Decision,
  RateLimitStore,
} from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { boundedStore } from "../../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import { LocalBuckets } from "../../../supabase/functions/_bulwark/rate_limits/local_buckets.ts";
import {
  type RedisConnection,
  redisStore,
} from "../../../supabase/functions/_bulwark/rate_limits/redis_store.ts";

const secret = "a secret of the project";

// A token takes more than a day to refill, so that none does during a test.
const rules: Record<string, Terms> = Object.fromEntries(
  ([
    ["seven", 7, 7e6, "caller", "open"],
    ["twenty", 20, 3e6, "caller", "open"],
    ["closed", 20, 3e6, "caller", "closed"],
    // Tokens of these two cost as much as one of the first.
    ["nine", 9, 9e6, "caller", "open"],
    ["both", 9, 9e6, "address_and_account", "closed"],
  ] as const).map(([scope, capacity, windowSeconds, identifiedBy, whenStoreFails]) => [
    scope,
    { scope, capacity, windowSeconds, identifiedBy, whenStoreFails },
  ]),
);

/** A database with the rules, a blocked address and an allowed one. */
const client = {
  rpc(name: string, { rule = "", address = "" }: Record<string, string>) {
    if (name === "record_rate_limit_denial") return Promise.resolve({ data: null, error: null });
    const terms = rules[rule]!;
    const row = name === "rate_limit_rule"
      ? {
        capacity: terms.capacity,
        window_seconds: terms.windowSeconds,
        identified_by: terms.identifiedBy,
        when_store_fails: terms.whenStoreFails,
        scope: terms.scope,
      }
      : {
        retry_after_seconds: address === "192.0.2.8" ? 600 : null,
        allowed: address === "192.0.2.7",
      };
    return Promise.resolve({ data: [row], error: null });
  },
} as unknown as CallerClient;

/** An isolate with its own connection, and the sizes of its batches. */
interface Isolate {
  store: RateLimitStore;
  redis: Redis;
  asked: string[][];
}

interface Place {
  server: TestRedis;
  isolate(): Promise<Isolate>;
}

function redisTest(claim: string, test: (place: Place) => Promise<void>): void {
  testWithRedis(claim, (server) =>
    test({
      server,
      async isolate() {
        const redis = server.connect(0);
        await redis.ping();
        const asked: string[][] = [];
        const watched: RedisConnection = {
          call(command, ...args) {
            if (command === "EVALSHA") asked.push(args.map(String));
            return redis.call(command, ...args);
          },
        };
        return { store: redisStore(watched, client, secret), redis, asked };
      },
    }));
}

const user = () => crypto.randomUUID();
const atOnce = (store: RateLimitStore, charges: Charge[]) =>
  Promise.all(charges.map((charge) => store.decide(charge)));
const oneByOne = async (store: RateLimitStore, charges: Charge[]) => {
  const decisions: Decision[] = [];
  for (const charge of charges) decisions.push(await store.decide(charge));
  return decisions;
};
const said = (decisions: Decision[]) =>
  decisions.map(({ allowed, remaining }) => `${allowed ? "yes" : "no"} ${remaining}`);

/** Reproducible pseudo-random numbers (Park and Miller, CACM 31, 1988). */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => (state = state * 48_271 % 2_147_483_647) % below;
}

redisTest("RATE-R01: mixed calls at once are decided as one by one", async ({ isolate }) => {
  const { store, redis, asked } = await isolate();
  for (let round = 1; round <= 30; round++) {
    const random = sequence(round);
    const [users, accounts] = [[user(), user(), user()], [`${user()}@x.test`, `${user()}@x.test`]];
    const callers: Charge[] = [
      ...users.flatMap((userId) => [
        { rule: "seven", userId },
        { rule: "twenty", userId },
        { rule: "closed", userId, address: "203.0.113.1" },
        { rule: "nine", userId },
        { rule: "nine", userId, address: "203.0.113.1" },
      ]),
      ...accounts.map((account) => ({ rule: "both", account })),
      ...[`10.1.${round}.1`, `10.1.${round}.2`].flatMap((address) =>
        accounts.map((account) => ({ rule: "both", address, account }))
      ),
    ];
    const charges = Array.from({ length: 120 }, () => ({
      ...callers[random(callers.length)]!,
      cost: 1 + random(3),
    }));
    const model = new LocalBuckets(() => 1e12);
    const expect = (list: Charge[]) =>
      list.map((charge) => model.decide(rules[charge.rule]!, charge));
    await redis.flushdb();
    // One call each, so that the rules and the statuses are cached.
    compare(await oneByOne(store, callers), expect(callers));
    asked.length = 0;
    const decisions = await atOnce(store, charges);
    assert.equal(asked.length, 2, "all of them in two questions");
    const expected = expect(charges);
    compare(decisions, expected);
    assert.ok(expected.some(({ allowed }) => !allowed) && expected.some(({ allowed }) => allowed));
  }
});

/** Seconds may differ by the elapsed time, which is far less than a token. */
function compare(decisions: Decision[], expected: Decision[]): void {
  const untimed = (decision: Decision) => ({ ...decision, resetSeconds: 0, retryAfterSeconds: 0 });
  assert.deepEqual(decisions.map(untimed), expected.map(untimed));
  for (const [index, { resetSeconds, retryAfterSeconds }] of decisions.entries()) {
    const other = expected[index]!;
    assert.ok(Math.abs(resetSeconds - other.resetSeconds) < 60);
    assert.equal(retryAfterSeconds === null, other.retryAfterSeconds === null);
    assert.ok(Math.abs((retryAfterSeconds ?? 0) - (other.retryAfterSeconds ?? 0)) < 60);
  }
}

redisTest(
  "RATE-R02: a bucket that runs empty in mid-batch admits its capacity and what still fits",
  async ({ isolate }) => {
    const { store } = await isolate();
    const call = (userId: string, cost = 1) => ({ rule: "seven", userId, cost });
    const [ada, eve, bob] = [user(), user(), user()];
    await store.decide(call(bob));
    const decisions = await atOnce(store, [
      ...Array.from({ length: 9 }, () => call(ada)),
      call(eve, 5),
      call(eve, 3),
      call(eve, 2),
      call(bob),
    ]);
    assert.deepEqual(said(decisions), [
      ...["yes 6", "yes 5", "yes 4", "yes 3", "yes 2", "yes 1", "yes 0", "no 0", "no 0"],
      ...["yes 2", "no 2", "yes 0", "yes 5"],
    ]);
    assert.deepEqual(said(await oneByOne(store, [call(ada), call(eve), call(bob)])), [
      "no 0",
      "no 0",
      "yes 4",
    ]);
  },
);

redisTest(
  "RATE-R03: of two buckets both are charged or none, also to calls beside each other",
  async ({ isolate }) => {
    const { store, redis } = await isolate();
    const call = (address: string, account: string, cost = 1) => ({
      rule: "both",
      address,
      account: `${account}@x.test`,
      cost,
    });
    const [near, far] = ["203.0.113.1", "203.0.113.2"];
    await atOnce(store, [call(near, "one"), call(near, "two"), call(far, "one"), call(far, "two")]);
    for (const key of await redis.keys("bulwark:bucket:*")) await redis.del(key);
    const decisions = await atOnce(store, [
      call(near, "one", 8),
      call(near, "two", 3),
      call(far, "two", 2),
      call(far, "one", 2),
      call(near, "two"),
      call(near, "one"),
      call(far, "two", 6),
    ]);
    assert.deepEqual(said(decisions), ["yes 1", "no 1", "yes 7", "no 1", "yes 0", "no 0", "yes 0"]);
  },
);

redisTest(
  "RATE-R04: blocked and allowed callers stay so in a batch with others",
  async ({ isolate }) => {
    const { store } = await isolate();
    const [ada, account] = [user(), "ada@x.test"];
    const charges: Charge[] = [
      { rule: "seven", userId: ada },
      { rule: "seven", address: "192.0.2.8" },
      { rule: "seven", address: "192.0.2.7", cost: 7 },
      { rule: "seven", address: "192.0.2.7", cost: 7 },
      { rule: "both", address: "192.0.2.8", account },
      { rule: "both", address: "192.0.2.7", account, cost: 9 },
      { rule: "seven", userId: ada, cost: 7 },
      { rule: "seven", userId: ada, cost: 6 },
    ];
    const outcome = (decisions: Decision[]) =>
      decisions.map(({ allowed, reason }) => allowed ? "allowed" : reason);
    const expected = [
      ...["allowed", "block", "allowed", "allowed", "block", "allowed", "rate", "allowed"],
    ];
    assert.deepEqual(outcome(await atOnce(store, charges)), expected);
    const again = await atOnce(store, charges);
    assert.deepEqual(
      outcome(again),
      ["rate", "block", "allowed", "allowed", "block", "rate", "rate", "rate"],
    );
  },
);

redisTest(
  "RATE-R05: a call that cannot be decided fails alone, and charges nothing",
  async ({ isolate }) => {
    const { store, redis, asked } = await isolate();
    const [ada, eve, bob] = [user(), user(), user()];
    const from = { rule: "twenty", userId: bob, address: "203.0.113.5" };
    await oneByOne(store, [{ rule: "seven", userId: ada }, from]);
    const [status = ""] = await redis.keys("bulwark:status:{twenty}:*");
    await redis.set(status, "what is this");
    await redis.set(`bulwark:bucket:{seven}:user:${eve}`, "what is this");
    asked.length = 0;
    const outcomes = await Promise.allSettled([
      store.decide({ rule: "seven", userId: eve }),
      store.decide(from),
      store.decide({ rule: "seven", userId: ada, cost: 8 }),
      store.decide({ rule: "seven", userId: ada }),
      store.decide({ rule: "seven", userId: eve }),
      store.decide({ rule: "twenty", userId: bob }),
    ]);
    assert.equal(asked.length, 2);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status === "rejected" ? "error" : outcome.value.remaining),
      ["error", "error", "error", 5, "error", 18],
    );
  },
);

redisTest(
  "RATE-R06: where the script fails nothing is charged, and each call is decided as its rule says",
  async ({ isolate }) => {
    const { store, redis } = await isolate();
    const lines: string[] = [];
    const bounded = boundedStore(store, { log: (line) => lines.push(line) });
    const [ada, eve] = [user(), user()];
    const calls = [
      { rule: "seven", userId: ada },
      { rule: "closed", userId: ada },
      { rule: "seven", userId: eve },
      { rule: "closed", userId: eve },
    ];
    assert.deepEqual(said(await atOnce(bounded, calls)), ["yes 6", "yes 19", "yes 6", "yes 19"]);
    await redis.config("SET", "maxmemory", "1");
    const without = await atOnce(bounded, calls);
    assert.deepEqual(without.map(({ allowed, reason }) => allowed || reason), [
      true,
      "unavailable",
      true,
      "unavailable",
    ]);
    assert.equal(lines.filter((line) => line.includes("OOM")).length, 2, "once a rule");
    await redis.config("SET", "maxmemory", "0");
    await redis.script("FLUSH");
    assert.deepEqual(said(await atOnce(bounded, calls)), ["yes 5", "yes 18", "yes 5", "yes 18"]);
  },
);

redisTest(
  "RATE-R07: a connection that is cut in mid-batch loses no call, asked or waiting",
  async ({ isolate, server }) => {
    const { store, redis, asked } = await isolate();
    const bounded = boundedStore(store, { log: () => {} });
    const calls = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        rule: index % 2 ? "closed" : "twenty",
        userId: user(),
      }));
    await atOnce(bounded, calls(2));
    server.freeze();
    asked.length = 0;
    const running = atOnce(bounded, calls(250));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const waiting = atOnce(bounded, calls(20));
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(asked.length, 2, "the others wait");
    await server.kill();
    const decisions = [...await running, ...await waiting];
    assert.equal(decisions.length, 270);
    for (const { allowed, rule, reason } of decisions) {
      assert.deepEqual(
        [allowed, reason],
        rule === "twenty" ? [true, null] : [false, "unavailable"],
      );
    }
    await server.start();
    while (await redis.ping().catch(() => null) === null);
    const after = await atOnce(bounded, calls(40));
    assert.ok(after.every(({ allowed, remaining }) => allowed && remaining === 19));
  },
);

redisTest(
  "RATE-R08: concurrent batches of several isolates admit the capacity and no more",
  async ({ isolate }) => {
    const isolates = [await isolate(), await isolate(), await isolate()];
    const users = Array.from({ length: 10 }, user);
    for (const { store } of isolates) await store.decide({ rule: "seven", userId: user() });
    const decisions = (await Promise.all(isolates.map(({ store }, index) =>
      atOnce(
        store,
        Array.from({ length: 5 }, () => index % 2 ? users : users.toReversed()).flat()
          .map((userId) => ({ rule: "seven", userId })),
      )
    ))).flat();
    assert.equal(decisions.length, 150);
    const left = decisions.filter(({ allowed }) => allowed).map(({ remaining }) => remaining)
      .sort();
    assert.deepEqual(left, [0, 1, 2, 3, 4, 5, 6].flatMap((n) => Array(10).fill(n)));
  },
);

redisTest(
  "RATE-R09: Redis keeps a bucket until it is full, and no address or account in the clear",
  async ({ isolate }) => {
    const { store, redis } = await isolate();
    const [ada, eve, key] = [user(), user(), user()];
    const charges: Charge[] = [
      { rule: "seven", userId: ada, address: "203.0.113.1" },
      { rule: "seven", userId: eve, address: "203.0.113.1" },
      { rule: "seven", userId: ada, address: "203.0.113.2" },
      { rule: "seven", apiKeyId: key, address: "203.0.113.1" },
      { rule: "seven", address: "203.0.113.1" },
      { rule: "both", address: "203.0.113.1", account: "ada@x.test" },
      { rule: "both", address: "203.0.113.1" },
    ];
    await atOnce(store, [...charges, ...charges]);
    const keys = await redis.keys("*");
    assert.equal(
      keys.filter((name) => name.startsWith("bulwark:status:")).length,
      charges.length,
    );
    for (const name of keys) {
      assert.match(name, /^bulwark:(bucket|status):/);
      assert.doesNotMatch(name, /203\.0|x\.test/);
      const [ttl, value] = [await redis.pttl(name), Number(await redis.get(name))];
      const kept = name.startsWith("bulwark:bucket:") ? value / 1000 - Date.now() : 15_000;
      assert.ok(ttl > 0 && Math.abs(ttl - kept) < 5000, name);
    }
  },
);
