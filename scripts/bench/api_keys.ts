/**
 * API keys: verifications and exchanges a second, among ten keys and among a million, beside a bare
 * look-up and beside the usual way; what a key in the header adds to a request to the Data API, beside
 * the same request with a token; what a key costs a policy; whether refusals can be told apart by
 * their time; and how long a revocation takes. The usual way is a table of hashes in which each
 * verification finds the row and then counts the use in it, as libraries for applications do.
 * A request is the transaction that PostgREST makes of it, on one connection as authenticator.
 */
import postgres from "postgres";
import type { CallerClient } from "../../supabase/functions/_shared/caller.ts";
import { exchangeKey } from "../../supabase/functions/_shared/api_keys/exchange.ts";
import { hashOf } from "../../supabase/functions/_shared/api_keys/format.ts";
import { openSigner } from "../../supabase/functions/_shared/api_keys/signer.ts";
import { keyVerifier } from "../../supabase/functions/_shared/api_keys/verification.ts";
import type { Sql } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { bench, type BenchPeer, type BenchRow, milliseconds, perSecond } from "./harness.ts";

const user = "00000000-0000-4000-9000-000000000001";
const scopes = "{analytics:read,analytics:write}";

export default bench({
  async setup({ postgres: sql, url, connect, log }) {
    // Before anybody is connected to the original.
    const template = postgres(url("supabase_admin").replace(/postgres$/, "template1"), { max: 1 });
    await template`create database ten template postgres owner postgres`;
    await template.end();
    const ten = postgres(url("postgres").replace(/postgres$/, "ten"), { max: 1 });
    globalThis.addEventListener("unload", () => void ten.end());

    log("a million keys, a million rows in a thousand organizations");
    const [among10, key] = [await fill(ten, 10, 10), await fill(sql, 1_000_000, 1_000_000)];
    await sql`
      create table public.usual_keys as
      select h.api_key_id as id, encode(h.key_hash, 'hex') as key, k.owner_id, k.name, k.scopes,
        true as enabled, k.expires_at, 0::bigint as request_count, null::timestamptz as last_request
      from private.api_key_hashes h join public.api_keys k on k.id = h.api_key_id
    `;
    await sql`alter table public.usual_keys add primary key (id), add unique (key)`;
    await sql`vacuum analyze public.usual_keys`;
    for (const on of [sql, ten]) {
      await on`vacuum analyze public.api_keys, private.api_key_hashes, public.reports`;
    }

    const verify = (on: Sql, apiKey: string) => {
      const hash = hashOf(apiKey);
      return () => on`select api_key_id from public.exchange_api_key(${hash}, '198.51.100.1')`;
    };
    const find = (on: Sql, apiKey: string) => {
      const hash = hashOf(apiKey);
      return () => on`select (private.find_api_key(decode(${hash}, 'hex'))).in_force`;
    };
    const bare = (apiKey: string) => {
      const hash = hashOf(apiKey);
      return () =>
        sql`select api_key_id from private.api_key_hashes where key_hash = decode(${hash}, 'hex')`;
    };
    const usual = (apiKey: string) => {
      const hash = hashOf(apiKey);
      return async () => {
        const [row] = await sql`select * from public.usual_keys where key = ${hash}`;
        if (!row?.enabled || row.expires_at < new Date()) throw new Failure("BENCH", "no key");
        await sql`
          update public.usual_keys set request_count = request_count + 1, last_request = now()
          where id = ${row.id} returning *
        `;
      };
    };
    const [{ hashed }] = await sql<[{ hashed: string }]>`
      select extensions.crypt(${key.api_key}, extensions.gen_salt('bf', 8)) as hashed
    `;
    const sign = await openSigner({ jwtSigningKey: null, jwtSecret: "x".repeat(40) });
    const exchange = (verifier = keyVerifier(throughSql(sql)), fresh = false) => async () => {
      const parts = { verify: fresh ? keyVerifier(throughSql(sql)) : verifier, sign, issuer: "x" };
      const request = { apiKey: key.api_key, address: "198.51.100.1", correlationId: "bench" };
      return await exchangeKey(parts, request);
    };

    const pool = connect("authenticator", { max: 1 });
    const ways = requests(pool, key);
    const page = (organization: string) =>
      `select * from public.reports where organization_id = '${organization}' limit 20`;
    const write = (organization: string) =>
      `insert into public.reports (organization_id, title) values ('${organization}', 'x')`;
    const requestRow = (name: string, method: "GET" | "POST", statement: string): BenchRow => {
      const timed = (way: keyof typeof ways) => () =>
        milliseconds(() => ways[way](method, statement), 200);
      return {
        name,
        unit: "ms",
        better: "lower",
        ours: timed("header"),
        peers: [
          { name: "with a token of the key", run: timed("token") },
          { name: "with a person's token", run: timed("person") },
          { name: "with a person's token, no hook", run: timed("unchecked") },
        ],
      };
    };
    const refused = (api_key: string): BenchPeer["run"] => {
      const { header } = requests(pool, { ...key, api_key });
      return () =>
        milliseconds(async () => {
          const thrown = await header("GET", "select 1").then(() => null, (thrown) => thrown);
          if (thrown?.code !== "PT401") throw new Failure("BENCH", "a key that is not refused");
        }, 200);
    };

    return [
      {
        name: "verifications among 1M keys, one connection",
        unit: "keys/s",
        better: "higher",
        ours: () => perSecond(find(sql, key.api_key)),
        peers: [
          { name: "among 10 keys", run: () => perSecond(find(ten, among10.api_key)) },
          { name: "a bare look-up of the hash", run: () => perSecond(bare(key.api_key)) },
          {
            name: "one bcrypt hash (cost 8) of a key that is known already",
            run: () =>
              perSecond(() => sql`select extensions.crypt(${key.api_key}, ${hashed}) = ${hashed}`),
          },
        ],
      },
      {
        name: "the same with its rate limit charged and its use noted",
        unit: "keys/s",
        better: "higher",
        ours: () => perSecond(verify(sql, key.api_key)),
        peers: [
          { name: "among 10 keys", run: () => perSecond(verify(ten, among10.api_key)) },
          { name: "the usual way", run: () => perSecond(usual(key.api_key)) },
        ],
      },
      {
        name: "exchanges for a token, each looked up",
        unit: "tokens/s",
        better: "higher",
        ours: () => perSecond(exchange(undefined, true)),
        peers: [
          { name: "signing alone", run: () => perSecond(() => sign({ role: "api_key" })) },
          { name: "the same key again within half a second", run: () => perSecond(exchange()) },
        ],
      },
      requestRow("a read with a key in the header, page of 20", "GET", page(key.organization)),
      requestRow("a write with a key in the header", "POST", write(key.organization)),
      {
        name: "count(*) over 1M rows with a key",
        unit: "ms",
        better: "lower",
        ours: () =>
          milliseconds(() => ways.token("GET", "select count(*) from public.reports"), 20),
        peers: [{
          name: "as its owner, a person",
          run: () =>
            milliseconds(() => ways.person("GET", "select count(*) from public.reports"), 20),
        }],
      },
      {
        name: "refusing a key that does not exist",
        unit: "ms",
        better: "lower",
        ours: refused(`bwk_live_${"0".repeat(38)}`),
        peers: [
          { name: "one that was revoked", run: refused(key.revoked) },
          { name: "one that has expired", run: refused(key.expired) },
          { name: "one from elsewhere", run: refused(key.elsewhere) },
        ],
      },
      ...revocations(sql, pool),
    ];
  },
});

interface Filled {
  organization: string;
  api_key: string;
  id: string;
  revoked: string;
  expired: string;
  elsewhere: string;
}

/** So many keys and rows; and one key in force, with others that are not. */
async function fill(sql: Sql, keys: number, rows: number): Promise<Filled> {
  await sql`update public.rate_limit_rules set capacity = 1000000, window_seconds = 1`;
  await sql`update private.settings set value = '2000000' where name = 'api_keys.limit_per_owner'`;
  await sql`insert into auth.users (id, email) values (${user}, 'user@bench.test')`;
  await sql`
    select count(public.create_organization('Org ' || n, 'org-' || n, ${user}))
    from generate_series(1, 10) as n
  `;
  const [{ organization }] = await sql<[{ organization: string }]>`
    select id as organization from public.organizations where slug = 'org-1'
  `;
  await sql.begin(async (transaction) => {
    // In bulk, past the triggers that record each: as they would have been left.
    await transaction`set local session_replication_role = replica`;
    for (const table of ["public.api_keys", "private.api_key_hashes"]) {
      await transaction.unsafe(`alter table ${table} disable trigger user`);
    }
    await transaction`
      insert into public.api_keys (id, organization_id, owner_id, name, environment,
        first_characters, scopes, rate_limit_rule, issued_with_mfa, expires_at)
      select md5('key ' || n)::uuid, ${organization}, ${user}, 'key', 'live', 'bwk_live_xxxx',
        ${scopes}, 'api_default', false, now() + interval '90 days'
      from generate_series(1, ${keys}::integer) as n
    `;
    await transaction`
      insert into private.api_key_hashes (api_key_id, key_hash)
      select md5('key ' || n)::uuid, sha256(convert_to('secret ' || n, 'UTF8'))
      from generate_series(1, ${keys}::integer) as n
    `;
    for (const table of ["public.api_keys", "private.api_key_hashes"]) {
      await transaction.unsafe(`alter table ${table} enable trigger user`);
    }
  });
  await sql.unsafe(`
    create table public.reports (
      id bigint generated always as identity primary key,
      organization_id uuid not null,
      title text not null
    );
    insert into public.reports (organization_id, title)
      select case when n % 1000 = 0 then '${organization}'::uuid else md5((n % 1000)::text)::uuid end,
        repeat('x', 100) from generate_series(1, ${rows}) as n;
    create index on public.reports (organization_id);
    alter table public.reports enable row level security;
    grant select, insert on public.reports to authenticated;
    create policy "Members read" on public.reports for select to authenticated
      using (organization_id = any (array(select private.organizations_with('analytics:read'))));
    create policy "Members write" on public.reports for insert to authenticated
      with check (organization_id = any (array(select private.organizations_with('analytics:write'))));
    select private.admit_api_keys('public.reports');
  `);
  const issue = async (networks: string | null = null) =>
    await issueKey(sql, organization, networks);
  const [inForce, revoked, expired] = [await issue(), await issue(), await issue()];
  const elsewhere = await issue("{203.0.113.0/24}");
  await sql`select public.revoke_api_key(${revoked.id}, 'for the benchmark')`;
  await sql`update public.api_keys set expires_at = now() where id = ${expired.id}`;
  return {
    organization,
    ...inForce,
    revoked: revoked.api_key,
    expired: expired.api_key,
    elsewhere: elsewhere.api_key,
  };
}

async function issueKey(
  sql: Sql,
  organization: string,
  networks: string | null = null,
): Promise<{ id: string; api_key: string }> {
  return await sql.begin(async (transaction) => {
    const claims = JSON.stringify({ sub: user, role: "authenticated" });
    await transaction`
      select set_config('request.jwt.claims', ${claims}, true),
        set_config('role', 'authenticated', true)
    `;
    const [issued] = await transaction`
      select id, api_key
      from public.create_api_key(${organization}, 'bench', ${scopes}, networks => ${networks})
    `;
    return { id: issued?.id, api_key: issued?.api_key };
  }) as { id: string; api_key: string };
}

/** With them a statement without parameters is prepared too; the package's types lack the second. */
type UnsafeOptions = postgres.UnsafeQueryOptions & { simple: false };

/** The ways to make a request: with the key in its header, or with a token. */
function requests(pool: Sql, { id, api_key, organization }: Filled) {
  const run = (
    role: string,
    claims: Record<string, unknown>,
    headers: Record<string, string>,
    hook = true,
  ) =>
  (method: "GET" | "POST", statement: string) =>
    pool.begin(method === "GET" ? "read only" : "", async (transaction) => {
      await transaction`
        select
          set_config('role', ${role}, true),
          set_config('request.jwt.claims', ${JSON.stringify({ role, ...claims })}, true),
          set_config('request.headers', ${JSON.stringify(headers)}, true),
          set_config('request.method', ${method}, true),
          set_config('request.path', '/reports', true)
      `;
      if (hook) await transaction`select public.check_request()`;
      await transaction.unsafe(statement, [], { prepare: true, simple: false } as UnsafeOptions);
    });
  const headers = { "user-agent": "bench", "x-forwarded-for": "198.51.100.1" };
  return {
    header: run("anon", {}, { ...headers, "x-api-key": api_key }),
    token: run("api_key", { api_key_id: id, organization_id: organization }, headers),
    person: run("authenticated", { sub: user }, headers),
    unchecked: run("authenticated", { sub: user }, headers, false),
  };
}

/** How long a revocation that was committed is not yet felt, each way in. */
function revocations(sql: Sql, pool: Sql): BenchRow[] {
  const statement = "select id from public.reports limit 1";
  const until = async (revoked: string, refused: () => Promise<boolean>): Promise<number> => {
    await sql`select public.revoke_api_key(${revoked}, 'for the benchmark')`;
    const start = performance.now();
    while (!await refused()) {
      if (performance.now() - start > 10_000) throw new Failure("BENCH", "a revoked key goes on");
    }
    return performance.now() - start;
  };
  const refuses = (call: () => Promise<unknown>) => () => call().then(() => false, () => true);
  const fresh = async () => {
    const [row] = await sql`select id from public.organizations where slug = 'org-1'`;
    return { organization: row?.id as string, ...await issueKey(sql, row?.id) };
  };
  const request = (way: "header" | "token") => async () => {
    const key = await fresh();
    const ways = requests(pool, { ...key, revoked: "", expired: "", elsewhere: "" });
    await ways[way]("GET", statement);
    return await until(key.id, refuses(() => ways[way]("GET", statement)));
  };
  const exchanged = async () => {
    const key = await fresh();
    const verify = keyVerifier(throughSql(sql));
    const find = async () => (await verify(key.api_key, "198.51.100.1")).key;
    await find();
    return await until(key.id, async () => await find() === null);
  };
  const alone = (name: string, ours: () => Promise<number>): BenchRow => ({
    name,
    unit: "ms",
    better: "lower",
    ours,
    peers: [],
  });
  return [
    alone("revoked until a request with the key is refused", request("header")),
    alone("revoked until a request with its token is refused", request("token")),
    alone("revoked until it is not exchanged any more", exchanged),
  ];
}

/** What the function asks through the Data API, asked on a connection. */
function throughSql(sql: Sql): CallerClient {
  const rpc = async (_name: string, { key_hash, address }: Record<string, string>) => {
    const data = await sql`
      select * from public.exchange_api_key(${key_hash ?? null}, ${address ?? null})
    `;
    return { data, error: null, status: 200 };
  };
  return { rpc } as unknown as CallerClient;
}
