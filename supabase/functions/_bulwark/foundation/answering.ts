import type { z } from "zod";
import { callerClient } from "./caller.ts";
import type { DataClient } from "./clients.ts";
import { carriesSecret } from "./credentials.ts";
import type { ServiceEnv } from "./env.ts";
import { BulwarkError } from "./errors.ts";
import { correlationIdOf, type Handler, readJson } from "./http.ts";
import { parse, queryOf } from "./input.ts";
import type { Credential, Operation } from "./operation.ts";
import { pathId, router } from "./router.ts";
import { serviceClient } from "./service.ts";
import type { Charged, ChooseRule, Limit } from "../rate_limits/mod.ts";

/** A request to an operation, authenticated and parsed. */
export interface Call<Declared extends Operation = Operation> {
  request: Request;
  asked: Declared["input"] extends z.ZodType ? z.output<Declared["input"]> : undefined;
  /** The UUID in the path; empty if it has none. */
  id: string;
  /** Acts as the user, or with the secret key for a trusted caller; null if everybody may call. */
  client: Declared["auth"] extends readonly [] ? null : DataClient;
  /** Whether the caller sent a secret of the installation in place of a user's token. */
  isTrusted: boolean;
  charged: Charged;
}

type Answer<Declared extends Operation> = Declared extends { output: () => infer Output }
  ? Output extends z.ZodType ? z.input<Output> : never
  : void;

/** Handlers by the names of their operations. They return the answer, or a response of their own. */
export type Handlers<Operations extends Record<string, Operation>> = {
  [Name in keyof Operations]: Operations[Name] extends { raw: true } ? Handler
    : (call: Call<Operations[Name]>) => Promise<Answer<Operations[Name]> | Response>;
};

/** The surroundings of operations. */
export interface Serving<Name extends string> {
  env: ServiceEnv & { schedulerSecret?: string | null; scrapeToken?: string | null };
  limit: Limit;
  /** Choose the rules of operations whose declared rule does not always apply. */
  rules?: Partial<Record<Name, ChooseRule>>;
}

/** How long a call of the scheduler may wait for the Data API. */
export const schedulerTimeoutMs = 60_000;

/**
 * Routes requests to operations. A caller with a secret of the installation that the operation
 * accepts is not limited. Everybody else is charged, then identified, and only then the input is read.
 * @throws BulwarkError 401 UNAUTHORIZED, 400 INVALID_INPUT, and those of {@link router}
 */
export function answering<Operations extends Record<string, Operation>>(
  operations: Operations,
  serving: Serving<keyof Operations & string>,
  handlers: Handlers<Operations>,
): Handler {
  const routes = Object.entries(operations).map(([name, operation]) => {
    const handler = handlers[name] as Handler & Run;
    const rule = serving.rules?.[name] ?? operation.rule ?? "api_default";
    const route = `${operation.method} ${operation.path}`;
    return [route, operation.raw ? handler : bound(operation, handler, rule, serving)] as const;
  });
  return router(serving.limit, Object.fromEntries(routes));
}

/** The holders of the secrets of an installation. */
const holders: { readonly [Name in Credential]?: string } = {
  secret_key: "the holder of the secret key",
  scheduler: "the scheduler",
  scraper: "the scraper of metrics",
};

// deno-lint-ignore no-explicit-any -- the declared types are those of Handlers
type Run = (call: any) => Promise<unknown>;

function bound(
  operation: Operation,
  run: Run,
  rule: string | ChooseRule,
  { env, limit }: Serving<never>,
): Handler {
  const { auth, method, input, inQuery, maximumBytes, output, status } = operation;
  const secrets: Record<string, string | null> = {
    secret_key: env.secretKey,
    scheduler: env.schedulerSecret ?? null,
    scraper: env.scrapeToken ?? null,
  };
  const accepted = auth.map((name) => secrets[name] ?? null);
  const allowed = auth.map((name) => holders[name]).join(" or ");
  /** `charged` is null for a caller with a secret of the installation. */
  const answer = async (request: Request, client: DataClient | null, charged: Charged | null) => {
    const given = input &&
      (method === "GET" || inQuery ? queryOf(request) : await readJson(request, maximumBytes));
    const made = await run({
      request,
      asked: input && parse(input, given),
      id: pathId(request),
      client,
      isTrusted: charged === null,
      charged: charged ?? { rule: null, caller: null },
    });
    if (made instanceof Response) return made;
    return output
      ? Response.json(made, { status: status ?? 200 })
      : new Response(null, { status: 204 });
  };
  const clientOf = (request: Request) => {
    if (auth.length === 0) return null;
    if (auth.includes("user")) return callerClient(request, env);
    throw new BulwarkError(401, "UNAUTHORIZED", `Cannot proceed: this is for ${allowed} alone`);
  };
  const limited = limit(
    rule,
    async (request, charged) => await answer(request, clientOf(request), charged),
  );
  const options = auth.includes("scheduler") ? { timeoutMs: schedulerTimeoutMs } : {};
  return (request) =>
    carriesSecret(request, accepted)
      ? answer(request, serviceClient(env, correlationIdOf(request), options), null)
      : limited(request);
}
