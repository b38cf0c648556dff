/** The health check: each dependency fails alone, takes no longer than its timeout, and is shared. */
import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import type { Handler } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import { keyComparison } from "../../../supabase/functions/_bulwark/encryption/key_comparison.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import {
  type Health,
  healthCheck,
  type HealthParts,
} from "../../../supabase/functions/_bulwark/metrics/health.ts";
import {
  answerHealth,
  healthRoute,
} from "../../../supabase/functions/_bulwark/metrics/health_route.ts";

const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));
const other = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));

type Answers = Record<string, unknown>;

/** A Data API with these answers; an Error is an error of the database. */
function service(answers: Answers, calls: string[] = []): CallerClient {
  return {
    async rpc(name: string, args: { key_id?: string } = {}) {
      calls.push(name);
      const answer = answers[args.key_id ? `${name} ${args.key_id}` : name];
      if (answer instanceof Promise) await answer;
      return answer instanceof Error
        ? { status: 500, data: null, error: { code: "XX000", message: answer.message } }
        : { status: 200, data: answer ?? [], error: null };
    },
  } as unknown as CallerClient;
}

const states = [
  { name: "jobs", healthy: true, seconds: 3 },
  { name: "seals", healthy: true, seconds: 0 },
];
const working = { check_health: states, key_encryption_status: [] };

function parts(answers: Answers, more: Partial<HealthParts> = {}): HealthParts {
  return {
    service: service(answers),
    redis: null,
    compareKeys: null,
    log: () => {},
    ...more,
  };
}

const statuses = ({ checks }: Health) =>
  Object.fromEntries(Object.entries(checks).map(([name, { status }]) => [name, status]));

Deno.test("MET-U40: with everything at work the status is ok, and what is not configured is no check", async () => {
  const health = await healthCheck(parts(working))();
  assert.equal(health.status, "ok");
  assert.deepEqual(statuses(health), { database: "ok", jobs: "ok", seals: "ok" });
  assert.equal(health.checks.jobs?.seconds, 3);
});

Deno.test("MET-U41: without the database it is unavailable, and nothing is claimed about its jobs", async () => {
  const health = await healthCheck(parts({ check_health: new Error("gone") }))();
  assert.equal(health.status, "unavailable");
  assert.deepEqual(statuses(health), { database: "failing" });
});

Deno.test("MET-U42: a Redis that fails, or a job that is late, degrades it", async () => {
  const away = { call: () => Promise.reject(new Error("redis://:secret@host")) };
  const health = await healthCheck(parts(working, { redis: away }))();
  assert.equal(health.status, "degraded");
  assert.equal(statuses(health).redis, "failing");
  assert.ok(!JSON.stringify(health).includes("secret"), "no error text is answered");
  const late = [{ name: "jobs", healthy: false, seconds: 900 }];
  const behind = await healthCheck(parts({ ...working, check_health: late }))();
  assert.deepEqual([behind.status, statuses(behind).jobs], ["degraded", "failing"]);
});

Deno.test("MET-U43: a dependency that does not answer costs its timeout, and holds up no other", async () => {
  const never = new Promise<never>(() => {});
  const start = performance.now();
  const health = await healthCheck(
    parts(working, { redis: { call: () => never }, timeoutMs: 50 }),
  )();
  assert.ok(performance.now() - start < 1000);
  assert.deepEqual(statuses(health), { database: "ok", redis: "failing", jobs: "ok", seals: "ok" });
  const silent = await healthCheck(parts({ check_health: never }, { timeoutMs: 50 }))();
  assert.equal(silent.status, "unavailable");
});

Deno.test("MET-U44: a hundred calls at once and those of the next five seconds share one answer", async () => {
  const calls: string[] = [];
  let now = 0;
  const check = healthCheck(parts({}, { service: service(working, calls), now: () => now }));
  await Promise.all(Array.from({ length: 100 }, () => check()));
  now = 4999;
  await check();
  assert.equal(calls.length, 1);
  now = 5000;
  await check();
  assert.equal(calls.length, 2);
});

/** How KeyRing registers a key. */
async function registered(id: string, text: string) {
  let kept: Record<string, unknown> = {};
  const ring = new KeyRing(`${id}:${text}`);
  const identity = { id: "k", organizationId: null, purpose: "field" as const };
  await ring.wrap(id, new Uint8Array(32), identity, {
    find: () => Promise.resolve(null),
    register(_id, { derivation, salt, rounds, checkValue }) {
      kept = { derivation, salt, rounds, check_value: checkValue };
      return Promise.resolve({ derivation, salt, rounds, checkValue });
    },
    report: () => Promise.resolve(),
  });
  return [kept];
}

Deno.test("MET-U45: keys are those that were registered: not another under the same id, not fewer", async () => {
  const known = {
    ...working,
    key_encryption_status: [{ id: "a", data_keys: 2 }, { id: "old", data_keys: 0 }],
    "find_key_encryption_key a": await registered("a", key),
  };
  const statusOf = async (encryptionKeys: string | null, answers: Answers = known) => {
    const compareKeys = keyComparison(service(answers), encryptionKeys);
    return statuses(await healthCheck(parts(answers, { compareKeys, timeoutMs: 60_000 }))()).keys;
  };
  assert.equal(await statusOf(`a:${key}`), "ok");
  assert.equal(await statusOf(`b:${other},a:${key}`), "ok", "a new one is not registered yet");
  assert.equal(await statusOf(`a:${other}`), "failing", "another key under the same id");
  assert.equal(await statusOf(`b:${key}`), "failing", "the key under another id");
  assert.equal(await statusOf(null), "failing", "no key");
  assert.equal(await statusOf("a:short"), "failing", "no valid key");
  assert.equal(await statusOf(null, working), "ok", "nothing was ever encrypted");
  const phrase = "passphrase:correct horse battery staple";
  const phrased = { ...known, "find_key_encryption_key a": await registered("a", phrase) };
  assert.equal(await statusOf(`a:${phrase}`, phrased), "ok");
  assert.equal(await statusOf(`a:${phrase}s`, phrased), "failing");
});

Deno.test("MET-U49: keys that could not be compared in time are compared again, others once a minute", async () => {
  let now = 0;
  let compared = 0;
  const compareKeys = () => ++compared === 1 ? new Promise<never>(() => {}) : Promise.resolve();
  const check = healthCheck(parts(working, { compareKeys, timeoutMs: 50, now: () => now }));
  assert.equal(statuses(await check()).keys, "failing");
  now += 5000;
  assert.equal(statuses(await check()).keys, "ok");
  now += 30_000;
  await check();
  assert.equal(compared, 2);
  now += 60_000;
  await check();
  assert.equal(compared, 3);
});

Deno.test("MET-U46: the log has the cause once, and its end", async () => {
  const lines: string[] = [];
  let now = 0;
  const answers: Answers = { check_health: new Error("no such function") };
  const check = healthCheck(parts(answers, { log: (line) => lines.push(line), now: () => now }));
  await check();
  now += 5000;
  await check();
  answers.check_health = states;
  now += 5000;
  await check();
  assert.equal(lines.length, 2, lines.join("\n"));
  assert.match(lines[0] ?? "", /^health: database fails: /);
  assert.equal(lines[1], "health: database works again");
});

Deno.test("MET-U47: 503 is for a missing database, and with strict for anything that fails", async () => {
  const checks = { database: { status: "ok" as const, seconds: 0.01 } };
  const answered = async (status: Health["status"], strict: boolean, details: boolean) => {
    const answer = answerHealth({ status, checks }, { strict, details });
    return [answer.status, await answer.json(), answer.headers.get("retry-after")];
  };
  assert.deepEqual(await answered("ok", true, false), [200, { status: "ok" }, null]);
  assert.deepEqual(await answered("degraded", false, false), [200, { status: "degraded" }, null]);
  assert.deepEqual(await answered("degraded", true, false), [503, { status: "degraded" }, "5"]);
  assert.deepEqual(await answered("unavailable", false, true), [
    503,
    { status: "unavailable", checks },
    "5",
  ]);
});

Deno.test("MET-U48: only a bearer that is not the publishable key is identified, and gets details", async () => {
  const checks = { database: { status: "ok" as const, seconds: 0.01 } };
  let identified = 0;
  const monitorOnly = (handler: Handler): Handler => (request) => {
    identified++;
    return handler(request);
  };
  const route = healthRoute(
    () => Promise.resolve({ status: "ok", checks }),
    "sb_publishable_x",
    monitorOnly,
  );
  const keysOf = async (bearer?: string) => {
    const headers: HeadersInit = bearer ? { authorization: `Bearer ${bearer}` } : {};
    return Object.keys(
      await (await route(new Request("https://p/bulwark-metrics/health", { headers }))).json(),
    );
  };
  assert.deepEqual(await keysOf(), ["status"]);
  assert.deepEqual(await keysOf("sb_publishable_x"), ["status"]);
  assert.equal(identified, 0);
  assert.deepEqual(await keysOf("another"), ["status", "checks"]);
  assert.equal(identified, 1);
});
