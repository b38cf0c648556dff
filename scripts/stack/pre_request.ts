/**
 * Adds to Lite what PostgREST does around the statement of each request: the request's method, path
 * and headers as settings, read-only transactions for reads, the pre-request hook in the settings of
 * the role authenticator (`pgrst.db_pre_request`), and the response headers that it sets.
 * @see https://docs.postgrest.org/en/stable/references/transactions.html
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { PostgresConnection } from "@supabase/lite/postgres";

type Fetch = (request: Request) => Promise<Response>;

/** A request while it is served. */
interface Exchange {
  method: string;
  path: string;
  headers: Record<string, string>;
  /** Response headers that the hook or the statement set. */
  answer: [name: string, value: string][];
}

/** Settings of the database for serving requests. */
interface Configuration {
  /** The hook's name, quoted; null: there is none. */
  hook: string | null;
  /** The paths of functions that write nothing. */
  readers: ReadonlySet<string>;
}

/** The part of Kysely's transaction that is used here. */
interface Transaction {
  executeQuery(query: unknown): Promise<{ rows: Record<string, unknown>[] }>;
}

type WithContext = (
  vars: unknown,
  run: (transaction: Transaction) => Promise<unknown>,
  options?: { transaction?: unknown },
) => Promise<unknown>;

/**
 * Gives the transactions of a connection what PostgREST gives them, for requests that `serve`
 * answers through it. `reload` reads anew what the database says about that.
 */
export async function withPreRequest(
  connection: PostgresConnection,
  serve: Fetch,
): Promise<{ fetch: Fetch; reload(): Promise<void> }> {
  const exchanges = new AsyncLocalStorage<Exchange>();
  let configuration = await readConfiguration(connection);
  const withContext = connection.withContext.bind(connection) as unknown as WithContext;
  const inContext: WithContext = (vars, run, options) => {
    const exchange = exchanges.getStore();
    if (!exchange || !vars || options?.transaction) return withContext(vars, run, options);
    return withContext(vars, async (transaction) => {
      await introduce(transaction, exchange, configuration);
      const result = await run(transaction);
      exchange.answer = await answerHeaders(transaction);
      return result;
    }, options);
  };
  Object.assign(connection, { withContext: inContext });
  return {
    async reload() {
      configuration = await readConfiguration(connection);
    },
    async fetch(request) {
      const exchange = exchangeOf(request);
      const response = await exchanges.run(exchange, () => serve(request));
      const headers = new Headers(response.headers);
      for (const [name] of exchange.answer) headers.delete(name);
      for (const [name, value] of exchange.answer) headers.append(name, value);
      return new Response(response.body, { status: response.status, headers });
    },
  };
}

function exchangeOf({ method, url, headers }: Request): Exchange {
  const path = new URL(url).pathname.replace(/^\/rest\/v1(?=\/)/, "");
  return { method, path, headers: Object.fromEntries(headers), answer: [] };
}

/** Says what the request is, and asks the hook whether it may go on. */
async function introduce(
  transaction: Transaction,
  { method, path, headers }: Exchange,
  { hook, readers }: Configuration,
): Promise<void> {
  await execute(
    transaction,
    `select set_config('request.method', $1, true), set_config('request.path', $2, true),
       set_config('request.headers', $3, true), set_config('response.headers', '', true)`,
    [method, path, JSON.stringify(headers)],
  );
  if (method === "GET" || method === "HEAD" || readers.has(path)) {
    await execute(transaction, "set transaction read only");
  }
  if (hook) await execute(transaction, `select ${hook}()`);
}

/**
 * The setting `response.headers`: a list of objects, each with one header. Anything else fails the
 * request while what it wrote can still be taken back.
 */
async function answerHeaders(transaction: Transaction): Promise<Exchange["answer"]> {
  const { rows } = await execute(
    transaction,
    "select current_setting('response.headers', true) as headers",
  );
  const text = rows[0]?.["headers"];
  if (!text) return [];
  try {
    const headers = (JSON.parse(String(text)) as object[]).map((header) => {
      const [only, ...more] = Object.entries(header);
      if (!only || more.length > 0 || typeof only[1] !== "string") throw new TypeError("no header");
      return only as [string, string];
    });
    // Throws where a name or a value is none that HTTP allows.
    new Headers(headers);
    return headers;
  } catch {
    throw new UnusableHeaders();
  }
}

/** PostgREST's error for invalid headers, in the form that Lite passes on. */
class UnusableHeaders extends Error {
  readonly code = "PGRST";
  readonly detail = JSON.stringify({ status: 500, headers: {} });

  constructor() {
    super(JSON.stringify({
      code: "PGRST111",
      message: "response.headers guc must be a JSON array composed of objects with a single key " +
        "and a string value",
      details: null,
      hint: null,
    }));
  }
}

async function readConfiguration({ driver }: PostgresConnection): Promise<Configuration> {
  const [settings] = await driver`
    select (
      select string_agg(quote_ident(part), '.')
      from unnest(parse_ident(substring(setting from '=(.*)$'))) as part
    ) as hook
    from pg_catalog.pg_db_role_setting s
    cross join unnest(s.setconfig) as setting
    where s.setrole = 'authenticator'::regrole
      and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and setting like 'pgrst.db\\_pre\\_request=_%'
    order by s.setdatabase desc
    limit 1
  `;
  const readers = await driver`
    select '/rpc/' || p.proname as path
    from pg_catalog.pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'bulwark'::regnamespace)
    group by p.proname
    having bool_and(p.provolatile <> 'v')
  `;
  return {
    hook: settings?.hook ?? null,
    readers: new Set(readers.map(({ path }) => path as string)),
  };
}

function execute(transaction: Transaction, sql: string, parameters: unknown[] = []) {
  return transaction.executeQuery({
    sql,
    parameters,
    query: { kind: "RawNode", sqlFragments: [sql], parameters: [] },
    queryId: { queryId: crypto.randomUUID() },
  });
}
