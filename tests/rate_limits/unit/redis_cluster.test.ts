/** Rate limits and the cache on a Redis Cluster of three nodes and a replica. */
import assert from "node:assert/strict";
import { freePort } from "../../../scripts/stack/ports.ts";
import { redisServer, startRedis, type TestRedis } from "../../../scripts/testing/redis.ts";
import { Cache } from "../../../supabase/functions/_bulwark/cache/cache.ts";
import { cacheKey, cachePattern } from "../../../supabase/functions/_bulwark/cache/catalog.ts";
import { SharedLevel } from "../../../supabase/functions/_bulwark/cache/shared.ts";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import {
  openRedis,
  type RedisClient,
} from "../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { boundedStore } from "../../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import { redisStore } from "../../../supabase/functions/_bulwark/rate_limits/redis_store.ts";

const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));
const scopes = Array.from({ length: 30 }, (_, index) => `rule-${index}`);

/** Rules of 5 requests, without refill during the test; those with an odd number fail closed. */
const database = {
  rpc(name: string, { rule = "" }: Record<string, string>) {
    if (name === "record_rate_limit_denial") return Promise.resolve({ data: null, error: null });
    const row = name === "rate_limit_rule"
      ? {
        capacity: 5,
        window_seconds: 5e6,
        identified_by: "caller",
        when_store_fails: Number(rule.slice(5)) % 2 ? "closed" : "open",
        scope: rule,
      }
      : { retry_after_seconds: null, allowed: false };
    return Promise.resolve({ data: [row], error: null });
  },
} as unknown as CallerClient;

const charge = (rule: string, user = 1) => ({
  rule,
  userId: `11111111-1111-4111-8111-11111111111${user}`,
  address: "192.0.2.1",
});

/** A cluster of three primaries, the first with a replica. */
async function startCluster() {
  const nodes: TestRedis[] = [];
  for (let index = 0; index < 4; index++) {
    nodes.push(
      await startRedis([
        ...["--cluster-enabled", "yes", "--cluster-port", String(freePort())],
        ...["--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no"],
      ]),
    );
  }
  const admins = nodes.map((node) => node.connect());
  const [first, second, third, replica] = admins as [
    typeof admins[0],
    typeof admins[0],
    typeof admins[0],
    typeof admins[0],
  ];
  const { port } = new URL(nodes[0]!.url);
  const ports = await Promise.all(admins.map(async (admin) => {
    const [, , bus] = /:(\d+)@(\d+)/.exec(String(await admin.call("CLUSTER", "NODES"))) ?? [];
    return bus!;
  }));
  await first.call("CLUSTER", "ADDSLOTSRANGE", 0, 5460);
  await second.call("CLUSTER", "ADDSLOTSRANGE", 5461, 10_922);
  await third.call("CLUSTER", "ADDSLOTSRANGE", 10_923, 16_383);
  for (const [index, admin] of admins.entries()) {
    await admin.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    if (index > 0) await admin.call("CLUSTER", "MEET", "127.0.0.1", port, ports[0]!);
  }
  const id = String(await first.call("CLUSTER", "MYID"));
  const until = async (what: string, ready: () => Promise<boolean>) => {
    for (let tries = 0; !await ready(); tries++) {
      if (tries > 1500) throw new Error(`never: ${what}`);
      await pause(20);
    }
  };
  const says = async (admin: typeof first, word: RegExp) =>
    word.test(String(await admin.call("CLUSTER", "INFO")));
  for (const admin of admins) {
    await until("four nodes", () => says(admin, /cluster_known_nodes:4/));
  }
  await until(
    "replica",
    () => replica.call("CLUSTER", "REPLICATE", id).then(() => true, () => false),
  );
  for (const admin of admins) {
    await until("state ok", () => says(admin, /cluster_state:ok[^]*cluster_slots_ok:16384/));
  }
  await until(
    "linked",
    async () => /master_link_status:up/.test(await replica.info("replication")),
  );
  return { nodes, admins: { first, second, third, replica }, until };
}

Deno.test({
  name: "RATE-R10: rate limits and cache on a Redis Cluster: every slot, moved slots, dead nodes",
  ignore: !redisServer,
  // ioredis ends its sockets after disconnect() returns.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(test) {
    const { nodes, admins, until } = await startCluster();
    const clients: RedisClient[] = [];
    const lines: string[] = [];
    const open = (url: string) => {
      const env = { redisUrl: url, upstashUrl: null, upstashToken: null };
      const client = openRedis(env, { timeoutMs: 3000, log: (line) => lines.push(line) })!;
      clients.push(client);
      return client;
    };
    const urls = nodes.map(({ url }) => url);
    const owner = async (key: string) => {
      const slot = Number(await admins.second.call("CLUSTER", "KEYSLOT", key));
      return { slot, node: slot <= 5460 ? 0 : slot <= 10_922 ? 1 : 2 };
    };
    /** A rule whose buckets are on a node. */
    const ruleOn = async (node: number, isClosed: boolean) => {
      for (const [index, scope] of scopes.entries()) {
        const isRight = (index % 2 === 1) === isClosed;
        if (isRight && (await owner(`{${scope}}`)).node === node) return scope;
      }
      throw new Error(`no rule on node ${node}`);
    };
    const client = open(urls[1]!);
    const limits = boundedStore(redisStore(client, database, "secret"), {
      timeoutMs: 10_000,
      log: () => {},
    });
    try {
      await test.step("one address finds all nodes, and an address that is away hides none", async () => {
        for (const each of [client, open(`redis://127.0.0.1:${freePort()},${urls[2]}`)]) {
          for (let key = 0; key < 60; key++) {
            await each.call("SET", `key-${key}`, key);
            assert.equal(await each.call("GET", `key-${key}`), String(key));
          }
        }
        for (const admin of [admins.first, admins.second, admins.third]) {
          assert.ok(await admin.dbsize() > 0, "keys are on all nodes");
        }
      });

      await test.step("a password is given to all nodes, and a wrong one is not shown", async () => {
        const primaries = [admins.first, admins.second, admins.third];
        const set = (password: string) =>
          Promise.all(primaries.map((admin) => admin.config("SET", "requirepass", password)));
        await set("right,one");
        const [right, wrong] = ["right%2Cone", "hunter2"].map((password) =>
          open(urls[0]!.replace("//", `//:${password}@`))
        );
        for (let key = 0; key < 20; key++) await right!.call("SET", `key-${key}`, key);
        await assert.rejects(wrong!.call("GET", "key-1"));
        assert.ok(lines.length === 1 && /WRONGPASS/.test(lines[0]!), lines.join("\n"));
        assert.doesNotMatch(lines.pop()!, /hunter2/);
        right!.close();
        wrong!.close();
        await set("");
      });

      await test.step("a batch of many rules charges each of them exactly", async () => {
        const others = [open(urls[0]!), open(urls[2]!)].map((each) =>
          boundedStore(redisStore(each, database, "secret"), { timeoutMs: 10_000, log: () => {} })
        );
        const stores = [limits, ...others];
        const decisions = await Promise.all(
          scopes.flatMap((rule) =>
            stores.flatMap((store) => [0, 1, 2, 3].map(() => store.decide(charge(rule))))
          ),
        );
        for (const rule of scopes) {
          const own = decisions.filter((decision) => decision.rule === rule);
          assert.deepEqual(
            [own.length, own.filter(({ allowed }) => allowed).length],
            [12, 5],
            rule,
          );
        }
      });

      await test.step("the cache invalidates by tag and clears by pattern, as on one server", async () => {
        const isolate = (url: string, prefix: string) =>
          new Cache(new SharedLevel(open(url), { prefix, leaseTime: 5000 }), {
            memory: { maxEntries: 100, maxSize: 100_000 },
            memorySeconds: 0,
            loadWait: 5000,
          });
        for (const prefix of ["app", "other", "third", "{own}:tag"]) {
          const [one, two] = [isolate(urls[0]!, prefix), isolate(urls[2]!, prefix)];
          const keys = ["a", "b", "c"].map((name) => cacheKey("user", name));
          for (const key of keys) {
            const options = { ttl: 60, tags: ["team", `of-${key}`] };
            assert.equal(await one.getOrSet(key, () => Promise.resolve(key), options), key);
          }
          assert.deepEqual(await two.getMany(keys), keys);
          await one.invalidateTags("team");
          assert.deepEqual(await two.getMany(keys), [undefined, undefined, undefined]);
          await two.setMany(keys.map((key) => [key, 1]), { ttl: 60 });
          await one.clear(cachePattern("user"));
          assert.deepEqual(await two.getMany(keys), [undefined, undefined, undefined]);
          one.close();
          two.close();
        }
      });

      await test.step("a slot that is being moved, and has moved, keeps its buckets", async () => {
        const rule = await ruleOn(1, true);
        const { slot } = await owner(`{${rule}}`);
        const [from, to] = [
          String(await admins.second.call("CLUSTER", "MYID")),
          String(await admins.third.call("CLUSTER", "MYID")),
        ];
        await admins.third.call("CLUSTER", "SETSLOT", slot, "IMPORTING", from);
        await admins.second.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to);
        const names = await admins.second.call("CLUSTER", "GETKEYSINSLOT", slot, 100) as string[];
        const { port } = new URL(urls[2]!);
        await admins.second.call("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", ...names);
        // Asked for at its old node, which answers ASK.
        assert.equal((await limits.decide(charge(rule))).allowed, false);
        await admins.third.call("CLUSTER", "SETSLOT", slot, "NODE", to);
        await admins.second.call("CLUSTER", "SETSLOT", slot, "NODE", to);
        assert.equal((await limits.decide(charge(rule))).allowed, false);
        assert.equal(await admins.third.call("CLUSTER", "COUNTKEYSINSLOT", slot), names.length);
        assert.deepEqual(lines, []);
      });

      await test.step("with a node away its rules fail as they say, until it is back", async () => {
        const [closed, other] = [await ruleOn(2, true), await ruleOn(2, false)];
        await nodes[2]!.kill();
        assert.equal((await limits.decide(charge(closed, 2))).reason, "unavailable");
        assert.equal((await limits.decide(charge(other, 2))).reason, null, "open");
        await nodes[2]!.start();
        // It has lost its data: buckets are full again.
        await until("allowed", async () => {
          return (await limits.decide(charge(closed, 2))).allowed;
        });
      });

      await test.step("the replica of a dead node takes over with its buckets", async () => {
        const rule = await ruleOn(0, true);
        const before = lines.length;
        await nodes[0]!.kill();
        await until(
          "promoted",
          async () => /role:master/.test(await admins.replica.info("replication")),
        );
        const mine = open(urls[1]!);
        const store = redisStore(mine, database, "secret");
        let allowed: boolean | null = null;
        await until("decided", async () => {
          allowed = await store.decide(charge(rule)).then((decided) => decided.allowed, () => null);
          return allowed !== null;
        });
        assert.equal(allowed, false, "the bucket is still empty");
        await until(
          "in use",
          () => client.call("SET", `{${rule}}`, 1).then(() => true, () => false),
        );
        assert.ok(lines.slice(before).every((line) => /Redis is (not )?in use/.test(line)));
      });
    } finally {
      clients.forEach((each) => each.close());
      await Promise.all(nodes.map((node) => node.stop()));
    }
  },
});
