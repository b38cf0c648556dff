/**
 * API keys: verifications and exchanges per second among ten keys and among a million, compared
 * with a bare look-up and with the usual way; the cost of a key in the header of a Data API
 * request, compared with a token; the cost in a policy; whether refusals can be told apart by their
 * time; and the delay of a revocation. The usual way is a table of hashes in which each
 * verification finds the row and counts the use in it, as application libraries do. A request is
 * the transaction that PostgREST runs for it, on one connection as authenticator.
 */
import { exchangeKey } from "../../supabase/functions/_bulwark/api_keys/exchange.ts";
import { hashOf } from "../../supabase/functions/_bulwark/api_keys/format.ts";
import { openSigner } from "../../supabase/functions/_bulwark/api_keys/signer.ts";
import { keyVerifier } from "../../supabase/functions/_bulwark/api_keys/verification.ts";
import { connect as connectTo, type Sql } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { fill } from "./api_keys/fill.ts";
import { refusals } from "./api_keys/refusals.ts";
import { revocations } from "./api_keys/revocations.ts";
import { requests, throughSql } from "./api_keys/ways.ts";
import { bench, type BenchPeer, type BenchRow, milliseconds, perSecond } from "./harness.ts";

export default bench({
  async setup({ postgres: sql, admin, url, connect, onStop, log }) {
    // Before any connection to the template database exists, which would keep it from being copied.
    const template = connectTo(url("supabase_admin").replace(/postgres$/, "template1"));
    await template`create database ten template postgres owner postgres`;
    await template.end();
    const ten = connectTo(url("postgres").replace(/postgres$/, "ten"));
    onStop(() => ten.end());

    log("a million keys, a million rows in a thousand organizations");
    const [among10, key] = [await fill(ten, 10, 10), await fill(sql, 1_000_000, 1_000_000)];
    await sql`
      create table public.usual_keys as
      select h.api_key_id as id, encode(h.key_hash, 'hex') as key, k.owner_id, k.name, k.scopes,
        true as enabled, k.expires_at, 0::bigint as request_count, null::timestamptz as last_request
      from bulwark_private.api_key_hashes h join bulwark.api_keys k on k.id = h.api_key_id
    `;
    await sql`alter table public.usual_keys add primary key (id), add unique (key)`;
    await sql`vacuum analyze public.usual_keys`;
    // Writes the filled rows back now, not during the first measurement.
    await admin`checkpoint`;

    const verify = (on: Sql, apiKey: string) => {
      const hash = hashOf(apiKey);
      return () => on`select api_key_id from bulwark.exchange_api_key(${hash}, '198.51.100.1')`;
    };
    const find = (on: Sql, apiKey: string) => {
      const hash = hashOf(apiKey);
      return () => on`select (bulwark_private.find_api_key(decode(${hash}, 'hex'))).in_force`;
    };
    const bare = (apiKey: string) => {
      const hash = hashOf(apiKey);
      return () =>
        sql`select api_key_id from bulwark_private.api_key_hashes where key_hash = decode(${hash}, 'hex')`;
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
    const requestRow = (
      name: string,
      method: "GET" | "POST",
      statement: string,
      aim?: BenchPeer["aim"],
    ): BenchRow => {
      const timed = (way: keyof typeof ways) => () =>
        milliseconds(() => ways[way](method, statement), 200);
      return {
        name,
        unit: "ms",
        better: "lower",
        ours: timed("header"),
        peers: [
          { name: "with a token of the key", run: timed("token") },
          { name: "with a person's token", run: timed("person"), ...aim && { aim } },
          { name: "with a person's token, no hook", run: timed("unchecked") },
        ],
      };
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
      requestRow("a read with a key in the header, page of 20", "GET", page(key.organization), {
        ratio: 1 / 1.5,
        cause: "The key is looked up, its network and owner checked, and its own limit charged.",
      }),
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
      ...await refusals(sql, pool, key),
      ...revocations(sql, pool),
    ];
  },
});
