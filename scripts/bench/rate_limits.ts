/**
 * Decisions a second and their 99th percentile with 16 clients, compared with rate-limiter-flexible on
 * the same Postgres (durability is on; its table is logged, ours is not) and the same Redis; and the
 * cost of a million identifiers. Every call is admitted: refusals are cheaper for the peer, which does
 * not record them.
 */
import { RateLimiterPostgres, RateLimiterRedis } from "rate-limiter-flexible";
import type { CallerClient } from "../../supabase/functions/_bulwark/foundation/caller.ts";
import { postgresStore } from "../../supabase/functions/_bulwark/rate_limits/postgres_store.ts";
import { redisStore } from "../../supabase/functions/_bulwark/rate_limits/redis_store.ts";
import { openRedis } from "../../supabase/functions/_bulwark/foundation/redis/client.ts";
import { startRedis } from "../testing/redis.ts";
import type { Sql } from "../stack/connection.ts";
import { bench, type BenchRow, milliseconds, perSecond } from "./harness.ts";
import { canCount, claimsOf, instructionCounter } from "./instructions.ts";

const clients = 16;
const keys = 100_000;
const million = 1_000_000;

/** The result of a run. */
interface Load {
  perSecond: number;
  p99: number;
}

/** Lets 16 clients make calls in a row for some milliseconds. */
async function load(call: (n: number) => Promise<unknown>, duration = 2000): Promise<Load> {
  const durations: number[] = [];
  const start = performance.now();
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    let last = performance.now();
    for (let n = client; last - start < duration; n += clients) {
      await call(n);
      const now = performance.now();
      durations.push(now - last);
      last = now;
    }
  }));
  const seconds = (performance.now() - start) / 1000;
  durations.sort((a, b) => a - b);
  return {
    perSecond: durations.length / seconds,
    p99: durations[Math.floor(durations.length * 0.99)] ?? NaN,
  };
}

const chargeCost =
  "A write finds the rules of its path, and charges the bucket of its caller: a row that is locked, " +
  "updated and logged. A read needs neither.";

export default bench({
  settings: {
    fsync: "on",
    synchronous_commit: "on",
    full_page_writes: "on",
    autovacuum: "on",
  },
  async setup(context) {
    const { postgres, connect, onStop, asUser, log } = context;
    log("two servers");
    await postgres`
      insert into bulwark.rate_limit_rules values
        ('bench', 1000000, 1, 'caller', 'open', null, 'For the benchmark')
    `;
    await postgres`
      create table public.limits (key varchar(255) primary key, points integer not null default 0,
        expire bigint)
    `;
    const pool = connect("postgres", { max: clients });
    const server = await startRedis();
    onStop(() => server.stop());

    const postgresBuckets = postgresStore(throughSql(pool));
    const ours = (n: number) => postgresBuckets.decide({ rule: "bench", userId: user(n) });
    const oursAlone = (n: number) =>
      pool`select * from bulwark.check_rate_limit('bench', ${user(n)})`;
    const oursFrom = (n: number) =>
      pool`
        select * from bulwark.check_rate_limit('bench', ${user(n)}, address => ${address(n)})
      `;
    const peer = new RateLimiterPostgres({
      storeClient: forPeer(pool),
      storeType: "client",
      tableName: "limits",
      tableCreated: true,
      clearExpiredByTimeout: false,
      points: million,
      duration: 1,
    });
    const theirs = (n: number) => peer.consume(user(n));

    const env = { redisUrl: server.url, upstashUrl: null, upstashToken: null };
    const redis = openRedis(env, { timeoutMs: 1000 })!;
    const store = redisStore(redis, throughSql(pool), "a secret of the project", {
      blockSeconds: 600,
    });
    const oursOnRedis = (n: number) => store.decide({ rule: "bench", userId: user(n) });
    const oursOnRedisFrom = (n: number) =>
      store.decide({ rule: "bench", userId: user(n), address: address(n) });
    const peerOnRedis = new RateLimiterRedis({
      storeClient: server.connect(),
      points: million,
      duration: 1,
    });
    const theirsOnRedis = (n: number) => peerOnRedis.consume(user(n));
    log(`${keys} callers known to both stores`);
    await loadAll(oursOnRedisFrom);

    const rows: BenchRow[] = [];
    const compare = (
      name: string,
      call: (n: number) => Promise<unknown>,
      peerName: string,
      peerCall: (n: number) => Promise<unknown>,
    ) => {
      // The percentile comes from the same run as the rate before.
      let [last, lastPeer]: [Load | null, Load | null] = [null, null];
      rows.push({
        name,
        unit: "decisions/s",
        better: "higher",
        ours: async () => (last = await load(call)).perSecond,
        peers: [{
          name: peerName,
          run: async () => (lastPeer = await load(peerCall)).perSecond,
        }],
      }, {
        name: `${name}, p99`,
        unit: "ms",
        better: "lower",
        ours: () => Promise.resolve(last?.p99 ?? NaN),
        peers: [{ name: peerName, run: () => Promise.resolve(lastPeer?.p99 ?? NaN) }],
      });
    };
    const one = () => 0;
    const any = () => Math.floor(Math.random() * keys);
    const flexible = "rate-limiter-flexible";
    compare("Postgres, one hot key", () => ours(one()), flexible, () => theirs(one()));
    compare("Postgres, 100,000 keys", () => ours(any()), flexible, () => theirs(any()));
    compare("Redis, one hot key", () => oursOnRedis(one()), flexible, () => theirsOnRedis(one()));
    compare(
      "Redis, 100,000 keys",
      () => oursOnRedis(any()),
      flexible,
      () => theirsOnRedis(any()),
    );

    // With an address blocks are looked up too.
    const alone = (name: string, call: (n: number) => Promise<unknown>) =>
      rows.push({
        name,
        unit: "decisions/s",
        better: "higher",
        ours: async () => (await load(call)).perSecond,
        peers: [],
      });
    alone("Postgres, 100,000 keys, not batched", () => oursAlone(any()));
    alone(
      "Postgres, 100,000 users with their addresses, not batched",
      () => oursFrom(any()),
    );
    alone("Redis, 100,000 users with their addresses", () => oursOnRedisFrom(any()));

    await postgres`
      update bulwark.settings set value = '"x-forwarded-for"'
      where name = 'rate_limits.address_header'
    `;
    await postgres`insert into auth.users (id, email) values (${user(0)}, 'ada@bench.test')`;
    // One account makes all these requests, and none may be refused.
    await postgres`
      update bulwark.rate_limit_rules set capacity = 1000000, window_seconds = 1
      where name = 'api_default'
    `;
    const request = [
      `select set_config('request.headers', '{"x-forwarded-for": "203.0.113.1"}', false),
        set_config('request.path', '/reports', false)`,
    ];
    const count = instructionCounter(context);
    for (const [access, readOnly] of [["read", "on"], ["write", "off"]] as const) {
      const before = [...request, `set default_transaction_read_only = ${readOnly}`];
      const caller = await asUser(user(0));
      for (const statement of before) await caller.unsafe(statement);
      const each = async (query: () => Promise<unknown>) => 1000 / await perSecond(query, 1500);
      const row = (unit: string, ours: () => Promise<number>, aim?: BenchRow["aim"]) =>
        rows.push({
          name: `the hook in front of a ${access}, beside a query that does nothing`,
          ...{ unit, better: "lower", ours, peers: [], ...aim && { aim } },
        });
      row(
        "ms",
        async () =>
          await each(() => caller`select bulwark.check_request()`) -
          await each(() => caller`select`),
        { value: access === "read" ? 0.15 : 0.3, cause: chargeCost },
      );
      if (!canCount()) continue;
      const counted = (text: string) =>
        count({
          text,
          role: "authenticator",
          before: [...claimsOf(user(0)), ...before],
        });
      row(
        "instructions",
        async () => await counted("select bulwark.check_request()") - await counted("select"),
      );
    }

    const size = async () => {
      const [row] = await postgres`
        select pg_total_relation_size('bulwark_private.rate_limits')::float8 / 1048576 as megabytes
      `;
      return Number(row?.megabytes);
    };
    let generation = 0;
    const another = async () => {
      const first = keys * 2 + generation++ * million;
      await postgres`
        select count(c.admitted)
        from bulwark.rate_limit_rules r,
          generate_series(${first}::integer, ${first + million - 1}::integer, 1000) g,
          lateral (
            select array_agg(
              ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid) as ids
            from generate_series(g, g + 999) n
          ) batch,
          lateral bulwark_private.charge_buckets(batch.ids, row(
            r.scope, r.emission_us, r.capacity, r.window_seconds, r.when_store_fails
          )::bulwark_private.rate_limit_terms) c
        where r.name = 'bench'
      `;
    };
    rows.push({
      name: "table after each further million of identifiers, cleaned up in between",
      unit: "MiB",
      better: "lower",
      async ours() {
        await another();
        return await size();
      },
      peers: [],
    }, {
      name: "Postgres, a million keys",
      unit: "decisions/s",
      better: "higher",
      ours: async () => {
        // If the row before was skipped, the table is empty.
        if (generation === 0) await another();
        const first = keys * 2 + (generation - 1) * million;
        const { perSecond } = await load(() => ours(first + Math.floor(Math.random() * million)));
        return perSecond;
      },
      peers: [],
    }, {
      name: "cleaning up a million",
      unit: "ms",
      better: "lower",
      async ours() {
        // Removes full buckets at once instead of after an hour.
        await postgres`
          update bulwark.settings set value = '0' where name = 'rate_limits.keep_minutes'
        `;
        const elapsed = await milliseconds(() =>
          postgres`select bulwark.cleanup_old_rate_limits()`
        );
        await postgres`vacuum bulwark_private.rate_limits`;
        return elapsed;
      },
      peers: [],
    });
    return rows;
  },
});

/** A user's id for each number. */
function user(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
}

/** One of a thousand addresses. */
function address(n: number): string {
  return `203.0.${Math.floor(n / 250) % 4}.${n % 250}`;
}

/** Decides one call of each caller. */
async function loadAll(call: (n: number) => Promise<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let n = client; n < keys; n += clients) await call(n);
  }));
}

/** A pool for the peer over the same driver and connections. */
function forPeer(sql: Sql) {
  return {
    async query({ text, values }: { text: string; values: (string | number | null)[] }) {
      const rows = await sql.unsafe(text, values, { prepare: true });
      return { rows: [...rows], rowCount: rows.count };
    },
  };
}

/** A client for the stores that queries the database without the Data API. */
function throughSql(sql: Sql): CallerClient {
  const ask: Record<string, (named: Record<string, string>) => PromiseLike<readonly unknown[]>> = {
    rate_limit_rule: ({ rule = "" }) => sql`select * from bulwark.rate_limit_rule(${rule})`,
    rate_limit_block_of: ({ rule = "", user_id = null, address = null }) =>
      sql`select * from bulwark.rate_limit_block_of(${rule}, ${user_id}, null, ${address})`,
    check_rate_limit: ({ rule = "", user_id = null, calls = 1 }) =>
      sql`select * from bulwark.check_rate_limit(${rule}, ${user_id}, calls => ${calls})`,
    check_rate_limits: ({ rules = null, user_ids = null, addresses = null }) =>
      sql`select * from bulwark.check_rate_limits(${rules}, ${user_ids}, ${addresses})`,
  };
  return {
    async rpc(name: string, named: Record<string, string>) {
      const rows = [...await ask[name]!(named)];
      // A function that returns one row of a type answers with that row.
      return { data: name === "check_rate_limit" ? rows[0] : rows, error: null };
    },
  } as unknown as CallerClient;
}
