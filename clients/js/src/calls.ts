// deno-lint-ignore-file no-explicit-any -- a client of any database fits
import { BulwarkError, type DataApiAnswer, dataApiError, functionError } from "./error.ts";
import type { Rows } from "./generated/database.ts";
import type { Args, FunctionName, Returns } from "./overlay.ts";
import type { Answer, Result } from "./result.ts";
import { type AskForCode, type RunCall, withStepUp } from "./step_up.ts";

/**
 * The parts of supabase-js that the client uses. `schema` selects schema `bulwark`; without it, `rpc`
 * and `from` are taken to be in that schema already.
 */
export interface SupabaseLike {
  rpc: (...args: any[]) => any;
  from: (...args: any[]) => any;
  schema?: (...args: any[]) => any;
  functions: { invoke: (...args: any[]) => PromiseLike<any> };
  /** `signIn` gives it the session. */
  auth?: { setSession: (...args: any[]) => PromiseLike<unknown> };
}

/** Options of a client. */
export interface ClientOptions<Throws extends boolean = boolean> {
  /** Calls give the data and throw a BulwarkError, instead of `{ data, error }`. */
  throwOnError?: Throws | undefined;
  /**
   * Called if a call needs a fresh second factor (MFA_VERIFICATION_REQUIRED). It returns the code that
   * the person typed, `true` if it has verified the session itself, or null to give up. Then the call is
   * repeated once. Concurrent calls share one question. A call that the handler itself makes is not
   * asked about.
   */
  onVerificationRequired?: AskForCode | undefined;
}

/** The part of a query of postgrest-js that lists use. */
export interface Query extends PromiseLike<DataApiAnswer> {
  eq(column: string, value: unknown): Query;
  is(column: string, value: null): Query;
  in(column: string, values: readonly unknown[]): Query;
  lt(column: string, value: unknown): Query;
  order(column: string, options?: { ascending?: boolean }): Query;
  limit(count: number): Query;
}

/** A request to an edge function. */
export interface FunctionRequest {
  method?: "GET" | "PUT";
  body?: object;
  query?: Record<string, string | number | null | undefined>;
  signal?: AbortSignal | undefined;
}

/** The data of a function's answer, and its headers if functions-js gives them. */
export interface FunctionReply {
  data: unknown;
  headers: Headers | undefined;
}

/** The ways into Bulwark. */
export interface Calls<Throws extends boolean> {
  /** Calls a function of the database. */
  rpc<Name extends FunctionName, Data = Returns<Name>>(
    name: Name,
    args: Args<Name>,
    read?: (returned: Returns<Name>) => Data,
  ): Promise<Answer<Data, Throws>>;
  /** Reads rows of a table. */
  select<Name extends keyof Rows, Data = Rows[Name][]>(
    table: Name,
    refine: (query: Query) => Query,
    read?: (rows: Rows[Name][]) => Data,
    columns?: string,
  ): Promise<Answer<Data, Throws>>;
  /** Calls an edge function. */
  invoke<Data>(path: string, request?: FunctionRequest): Promise<Answer<Data, Throws>>;
  /** Calls an edge function whose answer is text, and also gives its headers. */
  reply(path: string, request: FunctionRequest): Promise<Answer<FunctionReply, Throws>>;
}

/** A row of which there is exactly one. */
export function first<Row>(rows: readonly Row[]): Row {
  return rows[0] as Row;
}

/** The first row; null if there is none. */
export function firstOrNull<Row>(rows: readonly Row[]): Row | null {
  return rows[0] ?? null;
}

interface DataApi {
  rpc(name: string, args: object): PromiseLike<DataApiAnswer>;
  from(table: string): { select(columns: string): Query };
}

interface Functions {
  invoke(path: string, options: object): PromiseLike<
    { data: unknown; error: unknown; response?: Response }
  >;
}

/** Opens the ways into Bulwark through a client of Supabase. Both share the question for a code. */
export function openCalls<Throws extends boolean>(
  supabase: SupabaseLike,
  { throwOnError, onVerificationRequired }: ClientOptions<Throws>,
): { calls: Calls<Throws>; throwing: Calls<true> } {
  const database: DataApi = supabase.schema?.("bulwark") ?? supabase;
  const functions: Functions = supabase.functions;

  const ask = async (query: PromiseLike<DataApiAnswer>): Promise<Result<unknown>> => {
    const { data, error, status } = await query;
    if (error) return failed(dataApiError(error, status));
    // A gateway in front of the Data API may answer without an error that it can express.
    if (status >= 400) return failed(dataApiError({ message: `HTTP ${status}` }, status));
    return { data, error: null };
  };
  const reply = async (
    path: string,
    { method, body, query, signal }: FunctionRequest,
  ): Promise<Result<FunctionReply>> => {
    // An id with slashes or dots could lead to another function, with the caller's token.
    if (!/^[a-z-]+(?:\/[\w-]+)*$/.test(path)) return failed(malformedId());
    const { data, error, response } = await functions.invoke(path + queryOf(query), {
      method: method ?? "POST",
      ...(body ? { body } : {}),
      ...(signal ? { signal } : {}),
    });
    if (error) return failed(await functionError(error));
    return { data: { data, headers: response?.headers }, error: null };
  };

  const run: RunCall = onVerificationRequired
    ? withStepUp(
      onVerificationRequired,
      async (code) => (await reply("bulwark-mfa/verify", { body: { code } })).error,
    )
    : (call) => call();
  const open = <Throwing extends boolean>(throws: Throwing | undefined): Calls<Throwing> => {
    const settle = async <From, Data>(
      call: () => Promise<Result<From>>,
      read: (data: From) => Data,
      signal?: AbortSignal,
    ): Promise<Answer<Data, Throwing>> => {
      const result = await run(call, signal);
      if (result.error && throws) throw result.error;
      const data = result.error ? null : read(result.data);
      return (throws ? data : { data, error: result.error }) as Answer<Data, Throwing>;
    };
    return {
      rpc: (name, args, read) =>
        settle(
          () => ask(database.rpc(name, args)) as Promise<Result<never>>,
          read ?? (same as NonNullable<typeof read>),
        ),
      select: (table, refine, read, columns = "*") =>
        settle(
          () => ask(refine(database.from(table).select(columns))) as Promise<Result<never>>,
          read ?? (same as NonNullable<typeof read>),
        ),
      invoke: (path, request = {}) =>
        settle(
          () => reply(path, request),
          // functions-js gives an empty text where there is no body.
          ({ data }) => (data === "" ? null : data) as never,
          request.signal,
        ),
      reply: (path, request) =>
        settle(() => reply(path, request), (answer) => answer, request.signal),
    };
  };
  return { calls: open(throwOnError), throwing: open(true) };
}

function malformedId(): BulwarkError {
  return new BulwarkError({
    code: "INVALID_INPUT",
    message: "Cannot call the function: the id is malformed",
    status: 0,
  });
}

const same = (data: unknown): unknown => data;

function failed(error: BulwarkError): Result<never> {
  return { data: null, error };
}

function queryOf(query: FunctionRequest["query"] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  return given.length === 0
    ? ""
    : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
