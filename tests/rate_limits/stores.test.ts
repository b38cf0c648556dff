/** The same tests on both stores: Postgres, and Redis if redis-server is installed. */
import assert from "node:assert/strict";
import type {
  Charge,
  Decision,
  RateLimitStore,
} from "../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { postgresStore } from "../../supabase/functions/_bulwark/rate_limits/postgres_store.ts";
import { redisStore } from "../../supabase/functions/_bulwark/rate_limits/redis_store.ts";
import { boundedStore } from "../../supabase/functions/_bulwark/rate_limits/limiter.ts";
import { openStore } from "../../supabase/functions/_bulwark/rate_limits/mod.ts";
import { connect, createOrganization, publishableKey, service, signUp, url } from "../support.ts";
import { redisServer, startRedis } from "../../scripts/testing/redis.ts";

interface Subject {
  store: RateLimitStore;
  /** The store of another isolate, with its own connection. */
  isolate(): Promise<RateLimitStore>;
  /** Moves all buckets into the past; negative: as if the clock had jumped back. */
  pass(milliseconds: number): Promise<void>;
  stop(): Promise<void>;
}

const rules = `
  insert into bulwark.rate_limit_rules values
    ('store_fast', 100, 10, 'caller', 'open', null, 'For this test'),
    ('store_both', 5, 900, 'address_and_account', 'closed', null, 'For this test'),
    ('store_seven', 7, 60, 'caller', 'open', null, 'For this test')
  on conflict do nothing
`;

function postgresSubject(): Promise<Subject> {
  const sql = connect(1);
  return Promise.resolve({
    store: postgresStore(service()),
    isolate: () => Promise.resolve(postgresStore(service())),
    async pass(milliseconds) {
      await sql`
        update bulwark_private.rate_limits
        set full_at = full_at - ${Math.round(milliseconds * 1000)}
      `;
    },
    stop: () => sql.end(),
  });
}

async function redisSubject(): Promise<Subject> {
  const server = await startRedis();
  const redis = server.connect();
  const storeOn = (connection: typeof redis) =>
    redisStore(connection, service(), "a secret of the project", {
      ruleSeconds: 0,
      blockSeconds: 1,
      reportMilliseconds: 0,
    });
  return {
    store: storeOn(redis),
    async isolate() {
      const own = server.connect();
      await own.ping();
      return storeOn(own);
    },
    async pass(milliseconds) {
      for (const key of await redis.keys("bulwark:*")) {
        const value = Number(await redis.get(key));
        if (value > 1e15) await redis.set(key, String(value - milliseconds * 1000), "KEEPTTL");
      }
    },
    stop: server.stop,
  };
}

const subjects: [name: string, open: () => Promise<Subject>, ignore: boolean][] = [
  ["postgres", postgresSubject, false],
  ["redis", redisSubject, redisServer === null],
];

for (const [name, open, ignore] of subjects) {
  const needs = ignore ? " (redis-server is not installed)" : "";
  const test = (claim: string, body: (subject: Subject) => Promise<void>) =>
    Deno.test({
      name: `${claim}: ${name}${needs}`,
      ignore,
      sanitizeResources: false,
      sanitizeOps: false,
      async fn() {
        const sql = connect(1);
        await sql.unsafe(rules);
        await sql`delete from bulwark_private.rate_limits`;
        await sql`update bulwark.rate_limit_blocks set lifted_at = now() where lifted_at is null`;
        await sql.end();
        const subject = await open();
        try {
          await body(subject);
        } finally {
          await subject.stop();
        }
      },
    });
  const user = () => crypto.randomUUID();
  const drain = async ({ store }: Subject, charge: Charge, times: number) => {
    let admitted = 0;
    for (let call = 0; call < times; call++) {
      if ((await store.decide(charge)).allowed) admitted++;
    }
    return admitted;
  };

  test("RATE-S01: a bucket admits its capacity, and returns the remaining tokens and the time to retry", async (s) => {
    const charge = { rule: "store_seven", userId: user() };
    const first = await s.store.decide(charge);
    assert.deepEqual(first, {
      allowed: true,
      reason: null,
      rule: "store_seven",
      capacity: 7,
      windowSeconds: 60,
      remaining: 6,
      resetSeconds: 9,
      retryAfterSeconds: null,
      whenStoreFails: "open",
    });
    assert.equal(await drain(s, charge, 6), 6);
    const refused = await s.store.decide(charge);
    assert.equal(refused.allowed, false);
    assert.equal(refused.reason, "rate");
    assert.equal(refused.remaining, 0);
    assert.ok(refused.retryAfterSeconds === 8 || refused.retryAfterSeconds === 9);
  });

  test("RATE-S02: it is refilled evenly, and never beyond its capacity", async (s) => {
    const charge = { rule: "store_seven", userId: user() };
    await drain(s, charge, 7);
    await s.pass(60_000 / 7 * 3 + 1);
    assert.equal(await drain(s, charge, 7), 3);
    await s.pass(3_600_000);
    assert.equal(await drain(s, charge, 20), 7);
  });

  test("RATE-S03: a clock that jumps back gains nothing, and refuses nobody for long", async (s) => {
    const charge = { rule: "store_seven", userId: user() };
    await drain(s, charge, 7);
    await s.pass(-3_600_000);
    const refused = await s.store.decide(charge);
    assert.equal(refused.allowed, false);
    assert.ok(refused.resetSeconds <= 61, String(refused.resetSeconds));
  });

  test("RATE-S20: each call of a batch is decided by its own rule, and fails alone", async (s) => {
    const [ada, eve] = [user(), user()];
    assert.equal(await drain(s, { rule: "store_seven", userId: eve }, 6), 6);
    const outcomes = await Promise.allSettled([
      s.store.decide({ rule: "store_fast", userId: ada }),
      s.store.decide({ rule: "store_seven", userId: ada }),
      s.store.decide({ rule: "there_is_none", userId: ada }),
      ...Array.from({ length: 3 }, () => s.store.decide({ rule: "store_seven", userId: eve })),
      s.store.decide({ rule: "store_fast", userId: eve, address: "not an address" }),
      s.store.decide({ rule: "store_both", userId: ada, address: "203.0.113.77" }),
    ]);
    const said = outcomes.map((outcome) =>
      outcome.status === "rejected" ? "error" : `${outcome.value.rule} ${outcome.value.allowed}`
    );
    assert.deepEqual([...said.slice(0, 3), ...said.slice(6)], [
      "store_fast true",
      "store_seven true",
      "error",
      "store_fast true",
      "store_both true",
    ]);
    assert.deepEqual(said.slice(3, 6).sort(), [
      "store_seven false",
      "store_seven false",
      "store_seven true",
    ]);
  });

  test("RATE-S21: isolates that batch the same users in any order admit no more", async (s) => {
    const users = Array.from({ length: 12 }, user);
    const isolates = await Promise.all(Array.from({ length: 4 }, () => s.isolate()));
    const start = performance.now();
    const decisions = await Promise.all(
      isolates.flatMap((store, isolate) =>
        Array.from({ length: 4 }, () => isolate % 2 ? users : users.toReversed()).flat()
          .map((userId) => store.decide({ rule: "store_seven", userId }))
      ),
    );
    const refilled = Math.ceil((performance.now() - start) / (60_000 / 7));
    const admitted = decisions.filter(({ allowed }) => allowed).length;
    assert.equal(decisions.length, 12 * 16);
    assert.ok(admitted >= 12 * 7 && admitted <= 12 * (7 + refilled), String(admitted));
  });

  test("RATE-S22: a batch admits as many calls as single calls, and leaves as much", async (s) => {
    const [ada, eve] = [user(), user()];
    const near = { rule: "store_both", address: "198.51.100.21" };
    const far = { rule: "store_both", address: "198.51.100.22" };
    const start = performance.now();
    const sevens = (userId: string) =>
      Array.from({ length: 12 }, () => s.store.decide({ rule: "store_seven", userId }));
    const [adas, eves, sum, both] = await Promise.all([
      Promise.all(sevens(ada)),
      Promise.all(sevens(eve)),
      Promise.all(
        [4, 4, 3].map(async (cost) =>
          (await s.store.decide({ rule: "store_seven", address: "198.51.100.23", cost })).allowed
            ? cost
            : 0
        ),
      ),
      Promise.all(
        ["s22a@x.test", "s22b@x.test"].flatMap((account) =>
          Array.from({ length: 4 }, () => s.store.decide({ ...near, account }))
        ),
      ),
    ]);
    // A refill meanwhile may admit one more.
    const refilled = Math.floor((performance.now() - start) / (60_000 / 7)) + 1;
    for (const decisions of [adas, eves]) {
      const left = decisions.filter(({ allowed }) => allowed).map(({ remaining }) => remaining)
        .toSorted().reverse();
      // A call that waited for a lock counts from its start and rounds down.
      const close = (count: number, nth: number) =>
        count <= 6 - nth && count >= Math.max(0, 5 - nth);
      assert.ok(left.slice(0, 7).every(close), String(left));
      assert.ok(left.length >= 7 && left.length <= 7 + refilled, String(left));
      assert.ok(decisions.every(({ allowed, remaining }) => allowed || remaining === 0));
    }
    // 4 and 3 fit; a call that waited counts from its start, when 3 may not fit yet.
    assert.ok([3, 4, 7].includes(sum.reduce((total, cost) => total + cost)), String(sum));
    const admitted = (decisions: Decision[]) => decisions.filter(({ allowed }) => allowed).length;
    assert.equal(admitted(both), 5, "one address");
    for (const [index, account] of ["s22a@x.test", "s22b@x.test"].entries()) {
      const charged = admitted(both.slice(4 * index, 4 * index + 4));
      const next = await s.store.decide({ ...far, account });
      assert.equal(next.remaining, Math.min(4 - index, 4 - charged), "refused calls took nothing");
    }
  });

  test("RATE-S04: 32 concurrent calls get no more than capacity and refill", async (s) => {
    const charge = { rule: "store_fast", userId: user() };
    const start = performance.now();
    const all = await Promise.all(
      Array.from({ length: 32 }, () => drain(s, charge, 10)),
    );
    const seconds = (performance.now() - start) / 1000;
    const admitted = all.reduce((sum, count) => sum + count, 0);
    assert.ok(admitted >= 100 && admitted <= 100 + Math.ceil(seconds * 10), `${admitted}`);
  });

  test("RATE-S05: of two buckets both are charged, or none", async (s) => {
    const place = (n: number) => `198.51.100.${n}`;
    const charge = { rule: "store_both", address: place(1), account: "one@x.test" };
    assert.equal(await drain(s, charge, 7), 5);
    assert.equal((await s.store.decide({ ...charge, account: "two@x.test" })).allowed, false);
    const other = { ...charge, address: place(2), account: "Two@X.test " };
    assert.equal((await s.store.decide(other)).remaining, 4);
    assert.equal((await s.store.decide({ ...other, account: "one@x.test" })).allowed, false);
    assert.equal((await s.store.decide(other)).remaining, 3);
  });

  test("RATE-S06: a call may cost several, at most the whole bucket", async (s) => {
    const userId = user();
    assert.equal((await s.store.decide({ rule: "store_seven", userId, cost: 5 })).remaining, 2);
    const refused = await s.store.decide({ rule: "store_seven", userId, cost: 3 });
    assert.deepEqual([refused.allowed, refused.remaining], [false, 2]);
    assert.equal((await s.store.decide({ rule: "store_seven", userId, cost: 2 })).remaining, 0);
    await assert.rejects(s.store.decide({ rule: "store_seven", userId, cost: 8 }));
    await assert.rejects(s.store.decide({ rule: "store_none", userId }));
  });

  test("RATE-S07: IPv6 by its /64, malformed addresses in one bucket", async (s) => {
    const left = async (address: string | null) =>
      (await s.store.decide({ rule: "store_seven", address })).remaining;
    assert.equal(await left("2001:db8:9:9::1"), 6);
    assert.equal(await left("2001:db8:9:9:ffff::2"), 5);
    assert.equal(await left("2001:db8:9:8::1"), 6);
    assert.equal(await left("198.51.100.9"), 6);
    assert.equal(await left("::ffff:198.51.100.9"), 5);
    assert.equal(await left(null), 6);
    assert.equal(await left("junk"), 5);
    assert.equal(await left("1".repeat(10_240)), 4);
    assert.equal(await left("999.1.1.1"), 3);
  });

  test("RATE-S08: a caller who continues is blocked, for every rule, until the block is lifted", async (s) => {
    const address = "203.0.113.66";
    await drain(s, { rule: "store_seven", address }, 35);
    const blocked = await s.store.decide({ rule: "store_seven", address });
    assert.equal(blocked.reason, "block");
    assert.ok((blocked.retryAfterSeconds ?? 0) > 50);
    await s.pass(3_600_000);
    assert.equal((await s.store.decide({ rule: "store_fast", address })).reason, "block");
    const sql = connect(1);
    await sql`update bulwark.rate_limit_blocks set lifted_at = now() where lifted_at is null`;
    await sql.end();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal((await s.store.decide({ rule: "store_fast", address })).allowed, true);
  });

  test("RATE-S09: listed networks are blocked or allowed", async (s) => {
    const sql = connect(1);
    await sql`select bulwark.list_network('192.0.2.0/24', 'block', 'a test')`;
    await sql`select bulwark.list_network('192.0.2.7', 'allow', 'a test')`;
    const refused = await s.store.decide({ rule: "store_seven", address: "192.0.2.8" });
    assert.equal(refused.reason, "block");
    assert.equal(await drain(s, { rule: "store_seven", address: "192.0.2.7" }, 20), 20);
    await sql`select bulwark.unlist_network('192.0.2.0/24')`;
    await sql`select bulwark.unlist_network('192.0.2.7')`;
    await sql.end();
  });

  test("RATE-S10: an organization's and an API key's own limits hold", async (s) => {
    const organizationId = await createOrganization(await signUp("owner"));
    const apiKeyId = user();
    const sql = connect(1);
    await sql`select bulwark.set_rate_limit('store_seven', 3, 60, ${organizationId})`;
    await sql`select bulwark.set_rate_limit('store_seven', 2, 60, null, ${apiKeyId})`;
    await sql.end();
    const rule = "store_seven";
    assert.equal(await drain(s, { rule, userId: user(), organizationId }, 9), 3);
    assert.equal(await drain(s, { rule, userId: user() }, 9), 7);
    assert.equal(await drain(s, { rule, apiKeyId, organizationId }, 9), 2);
  });
}

Deno.test({
  name: `RATE-S12: without its Redis a function still answers, as each rule says${
    redisServer ? "" : " (redis-server is not installed)"
  }`,
  ignore: redisServer === null,
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    const sql = connect(1);
    await sql.unsafe(rules);
    await sql.end();
    const server = await startRedis();
    const store = boundedStore(
      openStore({
        url,
        publishableKey,
        secretKey: Deno.env.get("BULWARK_TEST_SECRET_KEY") ?? "",
        redisUrl: server.url,
        addressHeader: null,
        addressHops: 1,
        placeHeaders: null,
      }),
      { log: () => {} },
    );
    const open = { rule: "store_seven", userId: crypto.randomUUID() };
    const closed = { rule: "store_both", address: "203.0.113.90", account: "s12@x.test" };
    // The first call may have to connect.
    while ((await store.decide(closed)).reason === "unavailable");
    while (!(await store.decide(open)).allowed);
    assert.ok((await server.connect().keys("bulwark:*")).length > 0, "the buckets are in Redis");
    await server.stop();
    assert.notEqual((await store.decide(open)).reason, "unavailable", "a bucket of its own");
    const refused = await store.decide(closed);
    assert.deepEqual([refused.allowed, refused.reason], [false, "unavailable"]);
  },
});
