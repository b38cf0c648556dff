import { keyVerifier } from "../../../supabase/functions/_bulwark/api_keys/verification.ts";
import type { Sql } from "../../stack/connection.ts";
import { Failure } from "../../stack/failure.ts";
import type { BenchRow } from "../harness.ts";
import { issueKey } from "./fill.ts";
import { requests, throughSql } from "./ways.ts";

/** Delay between the commit of a revocation and its effect, for both kinds of access. */
export function revocations(sql: Sql, pool: Sql): BenchRow[] {
  const statement = "select id from public.reports limit 1";
  const until = async (revoked: string, refused: () => Promise<boolean>): Promise<number> => {
    await sql`select bulwark.revoke_api_key(${revoked}, 'for the benchmark')`;
    const start = performance.now();
    while (!await refused()) {
      if (performance.now() - start > 10_000) throw new Failure("BENCH", "a revoked key goes on");
    }
    return performance.now() - start;
  };
  const refuses = (call: () => Promise<unknown>) => () => call().then(() => false, () => true);
  const fresh = async () => {
    const [row] = await sql`select id from bulwark.organizations where slug = 'org-1'`;
    return { organization: row?.id as string, ...await issueKey(sql, row?.id) };
  };
  const request = (way: "header" | "token") => async () => {
    const key = await fresh();
    const ways = requests(pool, key);
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
