/** Buckets that another transaction has locked, and floods on one bucket: with real connections. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import type { Decision } from "../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { boundedStore } from "../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import { postgresStore } from "../../supabase/functions/_bulwark/rate_limits/postgres_store.ts";
import { callFunction, claimsOf, connect, type Person, service, signUp } from "../support.ts";

const open = () => boundedStore(postgresStore(service()), { log: () => {} });
const outcome = ({ allowed, reason }: Decision) => `${allowed} ${reason}`;

/** Runs a body while another connection keeps its transaction open. */
async function whileHeld(
  hold: (held: postgres.TransactionSql) => Promise<unknown>,
  body: () => Promise<void>,
): Promise<void> {
  const sql = connect(1);
  const release = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  const holder = sql.begin(async (held) => {
    await hold(held);
    holding.resolve();
    await release.promise;
    throw new Error("rolled back");
  }).catch((thrown) => holding.reject(thrown));
  try {
    await holding.promise;
    await body();
  } finally {
    release.resolve();
    await holder;
    await sql.end();
  }
}

/** A running write to the Data API, after the hook. */
const slowWrite = (writer: Person) => async (held: postgres.TransactionSql) => {
  const claims = JSON.stringify(claimsOf(writer));
  await held`select set_config('request.jwt.claims', ${claims}, true)`;
  await held`set local role authenticated`;
  await held`select bulwark.check_request()`;
};
const charge = (rule: string, user: string) => (held: postgres.TransactionSql) =>
  held`select bulwark.check_rate_limit(${rule}, ${user})`;
const lock = (user: string) => (held: postgres.TransactionSql) =>
  held`select from bulwark_private.rate_limits b where b.id = ${user} for update`;

Deno.test("RATE-E12: a locked bucket delays no other call of its batch", async () => {
  const sql = connect(1);
  const rules = ["held_closed", "held_open"];
  for (const rule of rules) {
    await sql`
      insert into bulwark.rate_limit_rules values
        (${rule}, 60, 60, 'caller', ${rule.slice(5)}, null, 'For this test')
      on conflict do nothing
    `;
  }
  await sql`update bulwark.rate_limit_rules set capacity = 60 where name = 'api_default'`;
  const known = async (rule: string, user: string) => {
    await sql`select bulwark.check_rate_limit(${rule}, ${user})`;
    return user;
  };
  const person = () => crypto.randomUUID();
  const [newcomer, regular] = [await signUp("newcomer"), await signUp("regular")];
  const cases = [
    ["a new bucket in a write", "api_default", () => slowWrite(newcomer), newcomer.id],
    [
      "a bucket in a write",
      "api_default",
      () => slowWrite(regular),
      await known("api_default", regular.id),
    ],
    ["a new bucket", "held_closed", (user: string) => charge("held_closed", user), person()],
    [
      "a bucket",
      "held_closed",
      (user: string) => charge("held_closed", user),
      await known("held_closed", person()),
    ],
    ["a locked row", "held_open", lock, await known("held_open", person())],
  ] as const;
  await sql.end();
  for (const [name, rule, hold, user] of cases) {
    const store = open();
    // Each isolate already knows the rule.
    await store.decide({ rule, userId: person() });
    await whileHeld(hold(user), async () => {
      let answered = false;
      const own = Promise.all(
        Array.from({ length: 30 }, () => store.decide({ rule, userId: user })),
      ).finally(() => answered = true);
      for (let round = 0; round < 3; round++) {
        const strangers = Array.from(
          { length: 20 },
          () => store.decide({ rule, userId: person() }),
        );
        assert.deepEqual(
          [...new Set((await Promise.all(strangers)).map(outcome))],
          ["true null"],
          `${name}: strangers`,
        );
        if (round === 0) assert.equal(answered, false, `${name}: they were first`);
      }
      assert.deepEqual(
        [...new Set((await own).map(outcome))],
        [rule === "held_closed" ? "false unavailable" : "true null"],
        `${name}: by its own rule`,
      );
    });
    const after = await store.decide({ rule, userId: user });
    assert.equal(after.allowed, true, `${name}: afterwards`);
  }
});

Deno.test("RATE-E13: a caller whose bucket is locked gets no more calls than the rule allows", async () => {
  const sql = connect(1);
  await sql`
    insert into bulwark.rate_limit_rules values
      ('held_seven', 7, 600, 'caller', 'open', null, 'For this test') on conflict do nothing
  `;
  await sql.end();
  const store = open();
  const userId = crypto.randomUUID();
  const ask = async (times: number) =>
    (await Promise.all(
      Array.from({ length: times }, () => store.decide({ rule: "held_seven", userId })),
    )).filter(({ allowed }) => allowed).length;
  assert.equal(await ask(3), 3);
  let admitted = 0;
  await whileHeld(lock(userId), async () => {
    admitted = await ask(20);
    // The remaining tokens are rounded down.
    assert.ok(admitted === 4 || admitted === 3, `what the store charged counts here: ${admitted}`);
  });
  admitted += await ask(20);
  assert.ok(admitted <= 4, `what was admitted here counts when the store is back: ${admitted}`);
});

Deno.test("RATE-E14: a login whose bucket is locked is refused without waiting", async () => {
  const email = `held-${crypto.randomUUID()}@people.test`;
  const begin = (held: postgres.TransactionSql) => held`select bulwark.begin_login(${email})`;
  await whileHeld(begin, async () => {
    const answer = await callFunction("login", {
      body: { email, password: "a password of some length" },
    });
    const { code } = await answer.json();
    assert.deepEqual([answer.status, code], [503, "RATE_LIMIT_UNAVAILABLE"]);
  });
});

Deno.test("RATE-E15: 600 calls at once on one bucket get its capacity and what is refilled", async () => {
  const { token } = await signUp("flood");
  const address = "198.51.100.61";
  const sql = connect(1);
  const rows = await sql`select capacity from bulwark.rate_limit_rules where name = 'api_default'`;
  await sql.end();
  const capacity = Number(rows[0]?.capacity);
  for (const who of [{ authorization: `Bearer ${token}` }, {}]) {
    const ask = async () => {
      const answer = await callFunction("rbac", {
        headers: { "x-forwarded-for": address, ...who },
        body: { permissions: ["audit:read"] },
      });
      await answer.body?.cancel();
      return answer.status;
    };
    const start = performance.now();
    const statuses = await Promise.all(Array.from({ length: 600 }, ask));
    const seconds = (performance.now() - start) / 1000;
    const refused = statuses.filter((status) => status === 429).length;
    const refilled = Math.ceil(seconds * capacity / 60) + 1;
    assert.equal(statuses.filter((status) => status >= 500).length, 0, "none is undecided");
    assert.ok(600 - refused >= 1 && 600 - refused <= capacity + refilled, String(600 - refused));
  }
});
