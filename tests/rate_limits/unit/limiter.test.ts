/** boundedStore(): decisions when the store is slow or away. */
import assert from "node:assert/strict";
import type { Decision } from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { boundedStore } from "../../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import { LocalBuckets } from "../../../supabase/functions/_bulwark/rate_limits/local_buckets.ts";
import { admitted, refused, silent } from "./decisions.ts";

Deno.test("boundedStore() bridges a store that is away for rules that stay open", async () => {
  let away = false;
  const store = boundedStore({
    decide: () =>
      away ? Promise.reject(new Error("connection refused")) : Promise.resolve(admitted),
  }, silent);
  const charge = { rule: "api_default", userId: "someone" };
  assert.equal((await store.decide(charge)).remaining, 59);
  away = true;
  const left: number[] = [];
  for (let call = 0; call < 61; call++) left.push((await store.decide(charge)).remaining);
  assert.deepEqual([left[0], left[58]], [58, 0], "what the store charged counts");
  assert.equal((await store.decide(charge)).allowed, false, "open is not boundless");
});

Deno.test("boundedStore() opens nothing to a flood: what the store charged is charged here", async () => {
  let now = 1_700_000_000_000;
  const local = new LocalBuckets(() => now);
  let [left, late] = [60, false];
  const store = boundedStore({
    decide: () => {
      const decision = left > 0 ? { ...admitted, remaining: --left } : refused;
      return late ? new Promise((resolve) => setTimeout(resolve, 60, decision)) : Promise.resolve(
        decision,
      );
    },
  }, { timeoutMs: 20, local, ...silent });
  const charge = { rule: "api_default", userId: "someone" };
  const drain = async (times: number, who = charge) =>
    (await Promise.all(Array.from({ length: times }, () => store.decide(who))))
      .filter(({ allowed }) => allowed).length;
  assert.equal(await drain(40), 40);
  late = true;
  assert.equal(await drain(600), 20, "no more than the rule allows, wherever it was decided");
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(await drain(10), 0, "what came too late is charged as well");
  await new Promise((resolve) => setTimeout(resolve, 80));
  // The store has lost its buckets.
  [left, late] = [60, false];
  assert.equal(await drain(60), 0, "what was admitted here counts on when the store is back");
  now += 60_000;
  left = 60;
  assert.equal(await drain(60), 60, "for no longer than a bucket takes to fill");
});

Deno.test("boundedStore() keeps an organization's numbers and a block to whom they are", async () => {
  let away = false;
  const store = boundedStore({
    decide: ({ organizationId, userId }) =>
      away ? Promise.reject(new Error("no")) : Promise.resolve(
        userId === "blocked"
          ? { ...refused, reason: "block", retryAfterSeconds: 60 }
          : { ...admitted, capacity: organizationId ? 1000 : 60 },
      ),
  }, silent);
  await store.decide({ rule: "api_default", userId: "a", organizationId: "acme" });
  await store.decide({ rule: "api_default", userId: "a" });
  await store.decide({ rule: "api_default", userId: "blocked" });
  away = true;
  assert.equal((await store.decide({ rule: "api_default", userId: "b" })).capacity, 60);
  const big = await store.decide({ rule: "api_default", userId: "b", organizationId: "acme" });
  assert.equal(big.capacity, 1000);
  assert.equal((await store.decide({ rule: "api_default", userId: "blocked" })).reason, "block");
});

Deno.test("boundedStore() refuses where the rule is closed, or was never heard of", async () => {
  let away = false;
  const closed: Decision = { ...admitted, whenStoreFails: "closed" };
  const store = boundedStore({
    decide: () => away ? Promise.reject(new Error("no")) : Promise.resolve(closed),
  }, silent);
  await store.decide({ rule: "auth_login" });
  away = true;
  for (const rule of ["auth_login", "never_decided"]) {
    const decision = await store.decide({ rule });
    assert.deepEqual([decision.allowed, decision.reason], [false, "unavailable"]);
  }
});

Deno.test("boundedStore() waits no longer than it may", async () => {
  const store = boundedStore({ decide: () => new Promise(() => {}) }, { timeoutMs: 20, ...silent });
  assert.equal((await store.decide({ rule: "api_strict" })).reason, "unavailable");
});
