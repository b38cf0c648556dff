/** Rate limits while Redis is away: decided at once by the failure mode, with one log line. */
import assert from "node:assert/strict";
import { redisTest } from "../../../scripts/testing/redis.ts";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import { Late } from "../../../supabase/functions/_bulwark/foundation/redis/breaker.ts";
import { openRedis } from "../../../supabase/functions/_bulwark/foundation/redis/client.ts";
import type { Charge } from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { boundedStore } from "../../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import {
  type RedisConnection,
  redisStore,
} from "../../../supabase/functions/_bulwark/rate_limits/redis_store.ts";

const capacity = 20;

/** A database with two rules whose tokens take a day to refill. */
const database = {
  rpc(name: string, { rule }: Record<string, string>) {
    if (name === "record_rate_limit_denial") return Promise.resolve({ data: null, error: null });
    const row = name === "rate_limit_rule"
      ? {
        capacity,
        window_seconds: capacity * 86_400,
        identified_by: "caller",
        when_store_fails: rule,
        scope: rule,
      }
      : { retry_after_seconds: null, allowed: false };
    return Promise.resolve({ data: [row], error: null });
  },
} as unknown as CallerClient;

const charge = (rule: "open" | "closed"): Charge => ({ rule, userId: null, address: "192.0.2.1" });

redisTest(
  "RATE-R11: in an outage an open rule is decided here, a closed one refuses, one line says why",
  async (server) => {
    const env = { redisUrl: server.url, upstashUrl: null, upstashToken: null };
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    const redis = openRedis(env, { timeoutMs: 1000, log });
    assert.ok(redis);
    let sent = 0;
    const counted: RedisConnection = {
      call: (command, ...args) => (redis.isAway || sent++, redis.call(command, ...args)),
    };
    const limits = boundedStore(redisStore(counted, database, "secret"), { log });
    const tally = async (rule: "open" | "closed", count: number) => {
      const decisions = await Promise.all(
        Array.from({ length: count }, () => limits.decide(charge(rule))),
      );
      return Object.groupBy(decisions, ({ allowed, reason }) => allowed ? "allowed" : reason!);
    };
    try {
      for (const rule of ["open", "closed"] as const) {
        assert.equal((await tally(rule, 5)).allowed?.length, 5);
      }
      server.freeze();
      let allowed = 0;
      // Each of the first three rounds waits for Redis and admits a few calls locally.
      for (let i = 0; i < 3; i++) allowed += (await tally("open", 2)).allowed?.length ?? 0;
      assert.equal(redis.isAway, true);
      sent = 0;
      const opened = await tally("open", 500);
      allowed += opened.allowed?.length ?? 0;
      assert.equal(allowed, capacity - 5, "the bucket goes on with what the store said last");
      const closed = await tally("closed", 500);
      assert.deepEqual(Object.keys(closed), ["unavailable"]);
      assert.equal(sent, 0);
      assert.ok(lines.length === 1 && /no answer within/.test(lines[0]!), lines.join("\n"));
      server.thaw();
      let back = false;
      for (let tries = 0; tries < 400 && !back; tries++) {
        back = (await limits.decide(charge("closed"))).reason !== "unavailable";
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      assert.equal(back, true);
      assert.deepEqual(lines.slice(1), ["Redis is in use again"]);
    } finally {
      redis.close();
    }
  },
);

redisTest(
  "RATE-R12: a decision stands though Redis does not take what is noted about it",
  async (server) => {
    const env = { redisUrl: server.url, upstashUrl: null, upstashToken: null };
    const redis = openRedis(env, { timeoutMs: 5000, log: () => {} });
    assert.ok(redis);
    const forgetful: RedisConnection = {
      call: (command, ...args) =>
        command === "SET" && String(args[0]).startsWith("bulwark:reported:")
          ? Promise.reject(new Late("no answer", Promise.resolve("OK")))
          : redis.call(command, ...args),
    };
    try {
      const limits = boundedStore(redisStore(forgetful, database, "secret"));
      const decide = () => limits.decide(charge("closed"));
      for (let i = 0; i < capacity; i++) assert.equal((await decide()).allowed, true);
      for (let i = 0; i < 3; i++) {
        const { allowed, reason, capacity: told } = await decide();
        assert.deepEqual([allowed, reason, told], [false, "rate", capacity]);
      }
    } finally {
      redis.close();
    }
  },
);
