import postgres from "postgres";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import type { Sql } from "../../stack/connection.ts";
import { type KeyInUse, owner } from "./fill.ts";

/** Prepares statements without parameters too; the package's types lack the second option. */
type UnsafeOptions = postgres.UnsafeQueryOptions & { simple: false };

/** Kinds of access: with the key in the header, or with a token. */
export function requests(pool: Sql, { id, api_key, organization }: KeyInUse) {
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
      if (hook) await transaction`select bulwark.check_request()`;
      await transaction.unsafe(statement, [], { prepare: true, simple: false } as UnsafeOptions);
    });
  const headers = { "user-agent": "bench", "x-forwarded-for": "198.51.100.1" };
  return {
    header: run("anon", {}, { ...headers, "x-api-key": api_key }),
    token: run("api_key", { api_key_id: id, organization_id: organization }, headers),
    person: run("authenticated", { sub: owner, session_id: owner }, headers),
    unchecked: run("authenticated", { sub: owner, session_id: owner }, headers, false),
  };
}

/** The function's Data API calls, made on a direct connection. */
export function throughSql(sql: Sql): CallerClient {
  const rpc = async (_name: string, { key_hash, address }: Record<string, string>) => {
    const data = await sql`
      select * from bulwark.exchange_api_key(${key_hash ?? null}, ${address ?? null})
    `;
    return { data, error: null, status: 200 };
  };
  return { rpc } as unknown as CallerClient;
}
