/** Errors of both ways into Bulwark, from servers that answer as gateways and Bulwark do. */
import assert from "node:assert/strict";
import { FunctionsClient } from "@supabase/functions-js";
import { PostgrestClient } from "@supabase/postgrest-js";
import { BulwarkError, createBulwark } from "../../../clients/js/src/index.ts";
import { codes, textOf, texts } from "../../../clients/js/src/errors.ts";
import { inRepository } from "../../../scripts/stack/paths.ts";

interface Told {
  status: number;
  body: string;
  headers?: Record<string, string>;
}

let answer: Told = { status: 200, body: "" };
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  () => new Response(answer.body, answer),
);
server.unref();
const here = `http://127.0.0.1:${server.addr.port}`;

function clientAt(url: string, signal?: AbortSignal) {
  const rest = new PostgrestClient(url, { schema: "bulwark" });
  return createBulwark({
    rpc: (name: string, args: object) =>
      signal ? rest.rpc(name, args).abortSignal(signal) : rest.rpc(name, args),
    from: (table: string) => rest.from(table),
    functions: new FunctionsClient(url, {
      ...(signal
        ? { customFetch: (to: string, init: RequestInit) => fetch(to, { ...init, signal }) }
        : {}),
    } as object),
  });
}

/** The errors of both ways. */
async function errorsAt(url: string, signal?: AbortSignal): Promise<[BulwarkError, BulwarkError]> {
  const bulwark = clientAt(url, signal);
  const [{ error: one }, { error: other }] = [
    await bulwark.can("audit:read"),
    await bulwark.mfa.verify("123456"),
  ];
  assert.ok(one instanceof BulwarkError && other instanceof BulwarkError);
  return [one, other];
}

Deno.test("CLIENT-05: without an answer the error has the network's own reason", async () => {
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = closed.addr;
  closed.close();
  for (const error of await errorsAt(`http://127.0.0.1:${port}`)) {
    assert.equal(error.code, "CLIENT_NETWORK");
    assert.equal(error.status, 0);
    assert.match(error.message, /refused/i);
    assert.ok(error.cause);
  }
});

Deno.test("CLIENT-06: an aborted call says so", async () => {
  for (const error of await errorsAt(here, AbortSignal.abort())) {
    assert.equal(error.code, "CLIENT_ABORTED", error.message);
    assert.equal(error.status, 0);
  }
});

const json = (value: unknown) => JSON.stringify(value);
const page = "<html>Bad gateway</html>";

Deno.test("CLIENT-07: an answer without a code of Bulwark gets one by its kind", async () => {
  const cases: [Told, string, string][] = [
    [{ status: 502, body: page }, "DATA_API_UNAVAILABLE", "DATA_API_UNAVAILABLE"],
    [{ status: 504, body: "" }, "DATA_API_UNAVAILABLE", "DATA_API_UNAVAILABLE"],
    [{ status: 401, body: json({ message: "no key" }) }, "UNAUTHORIZED", "UNAUTHORIZED"],
    [{ status: 403, body: json({ message: "no" }) }, "FORBIDDEN", "FORBIDDEN"],
    [
      { status: 429, body: json({ message: "slow" }) },
      "RATE_LIMIT_EXCEEDED",
      "RATE_LIMIT_EXCEEDED",
    ],
    [{ status: 500, body: page }, "INTERNAL", "INTERNAL"],
    // The gateway of functions answers so where no function has the name.
    [
      { status: 404, body: json({ code: "NOT_FOUND", message: "not found" }) },
      "CLIENT_NOT_INSTALLED",
      "CLIENT_NOT_INSTALLED",
    ],
    [
      {
        status: 404,
        body: json({ code: "PGRST202", message: "no function", details: "Searched" }),
      },
      "CLIENT_NOT_INSTALLED",
      "CLIENT_NOT_INSTALLED",
    ],
    [
      { status: 406, body: json({ code: "PGRST106", message: "no schema" }) },
      "CLIENT_NOT_INSTALLED",
      "INTERNAL",
    ],
    [{ status: 400, body: json({ code: "22P05", message: "x" }) }, "INVALID_INPUT", "INTERNAL"],
    [{ status: 409, body: json({ code: "23505", message: "x" }) }, "CONFLICT", "INTERNAL"],
    [{ status: 500, body: json({ code: "54001", message: "x" }) }, "INVALID_INPUT", "INTERNAL"],
    [{ status: 400, body: json({ code: "P0001", message: "x" }) }, "INVALID_INPUT", "INTERNAL"],
    [
      { status: 500, body: json({ code: "40P01", message: "deadlock" }) },
      "DATA_API_UNAVAILABLE",
      "INTERNAL",
    ],
    [
      { status: 500, body: json({ code: "57014", message: "timeout" }) },
      "DATA_API_UNAVAILABLE",
      "INTERNAL",
    ],
  ];
  for (const [told, dataApi, fn] of cases) {
    answer = told;
    const [one, other] = await errorsAt(here);
    assert.deepEqual([one.code, other.code], [dataApi, fn], json(told));
    assert.deepEqual([one.status, other.status], [told.status, told.status]);
  }
});

Deno.test("CLIENT-08: code, status, waiting time and correlation id come from either way", async () => {
  const message = "Cannot proceed: too many requests";
  const code = "RATE_LIMIT_EXCEEDED";
  const hint = "Try again in 7 seconds";
  answer = { status: 429, body: json({ code: "PT429", message, details: code, hint }) };
  const [dataApi] = await errorsAt(here);
  const { status, retryAfter } = dataApi;
  assert.deepEqual([dataApi.code, status, dataApi.message, retryAfter], [code, 429, message, 7]);
  assert.match(dataApi.hint ?? "", /^Try again in 7 seconds/);
  const correlation_id = crypto.randomUUID();
  answer = {
    status: 429,
    body: json({ code, message, correlation_id }),
    headers: { "retry-after": "7" },
  };
  const [, fn] = await errorsAt(here);
  assert.deepEqual([fn.code, fn.status, fn.message, fn.retryAfter], [code, 429, message, 7]);
  assert.equal(fn.hint, undefined);
  assert.equal(fn.correlationId, correlation_id);
});

Deno.test("CLIENT-09: codes and texts are those of docs/errors.md, without the command's", async () => {
  const document = await Deno.readTextFile(inRepository("docs", "errors.md"));
  const listed = [...document.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, code]) => code ?? "");
  const expected = listed.filter((code) => !/^(CLI|UNINSTALL)_/.test(code));
  assert.ok(expected.length > 200);
  assert.deepEqual([...codes].sort(), expected.sort());
  for (const code of codes) assert.match(texts[code], /^\w.*\.$/s, code);
  const error = { code: "RBAC_SLUG_TAKEN", message: "Cannot" } as const;
  assert.equal(textOf(error), "Another organization has the slug.");
});

Deno.test("CLIENT-18: a server's own word is neither a code nor a text", async () => {
  for (const code of ["constructor", "__proto__", "toString", "", "not a code"]) {
    answer = { status: 500, body: json({ code, message: "told", correlation_id: "1" }) };
    const [, error] = await errorsAt(here);
    assert.equal(error.code, "INTERNAL");
    assert.equal(textOf({ code: code as BulwarkError["code"], message: "told" }), "told");
  }
});

Deno.test("CLIENT-19: an id leads to no other function", async () => {
  answer = { status: 200, body: json({ reached: true }) };
  const { webhooks } = clientAt(here);
  assert.ok((await webhooks.test(crypto.randomUUID())).data);
  for (const id of ["../../bulwark-login", "..", "%2e%2e", "a?b", "a#b", "a\\b", "", "a\n"]) {
    const { data, error } = await webhooks.test(id);
    assert.deepEqual([data, error?.code], [null, "INVALID_INPUT"], id);
  }
});
