import assert from "node:assert/strict";
import {
  BulwarkError,
  type DataApiFailure,
  fromDataApi,
  unwrap,
} from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { readEnv } from "../../../supabase/functions/_bulwark/foundation/env.ts";
import {
  correlationIdOf,
  handle,
  readBody,
  readJson,
} from "../../../supabase/functions/_bulwark/foundation/http.ts";
import type { Limit } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";
import { router } from "../../../supabase/functions/_bulwark/foundation/router.ts";

const unlimited: Limit = (_, handler) => (request) =>
  handler(request, { rule: null, caller: null });

const request = (init?: RequestInit) => new Request("http://localhost/bulwark-rbac", init);

Deno.test("handle() tells a client nothing of an unexpected error but its id", async () => {
  const logged: string[] = [];
  const failing = handle(() => Promise.reject(new Error("password=hunter2")), (line) => {
    logged.push(line);
  });
  const answer = await failing(request());
  const text = await answer.text();
  assert.equal(answer.status, 500);
  assert.ok(!text.includes("hunter2"));
  assert.ok(logged[0]?.startsWith(JSON.parse(text).correlation_id));
});

Deno.test("handle() answers a known error with its status and code", async () => {
  const refusing = handle(() => Promise.reject(new BulwarkError(403, "NO", "Cannot")));
  const answer = await refusing(request());
  assert.equal(answer.status, 403);
  assert.equal((await answer.json()).code, "NO");
});

Deno.test("handle() gives the handler the correlation id that the answer carries", async () => {
  let seen = "";
  const handler = handle((request) => {
    seen = correlationIdOf(request);
    return Promise.resolve(new Response("fine"));
  });
  assert.equal((await handler(request())).headers.get("x-correlation-id"), seen);
});

Deno.test("handle() allows in a preflight what clients of Supabase send, and what a page names", async () => {
  const handler = handle(() => Promise.resolve(new Response("fine")));
  const sent = "authorization, apikey, x-client-info, content-type, x-retry-count, traceparent, " +
    "tracestate, baggage, x-region, sentry-trace, x-api-key, x-correlation-id, prefer, range, " +
    "accept-profile, content-profile, x-supabase-api-version";
  const allowed = async (headers: Record<string, string> = {}) => {
    const { headers: answer } = await handler(request({
      method: "OPTIONS",
      headers: { origin: "https://app.test", ...headers },
    }));
    assert.equal(answer.get("access-control-max-age"), "86400");
    assert.equal(
      answer.get("access-control-allow-methods"),
      "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    );
    assert.match(answer.get("vary") ?? "", /access-control-request-headers/i);
    assert.equal(answer.get("access-control-allow-credentials"), null);
    return (answer.get("access-control-allow-headers") ?? "").split(", ");
  };
  const known = await allowed();
  for (const name of sent.split(", ")) assert.ok(known.includes(name), name);
  const asked = await allowed({ "access-control-request-headers": "X-Host-App, bad name,,apikey" });
  assert.deepEqual(asked, [...known, "x-host-app"]);
});

Deno.test("handle() answers HEAD as GET, without the body, and only where GET is", async () => {
  const handler = handle(({ method }) => Promise.resolve(new Response(method)));
  const answer = await handler(request({ method: "HEAD" }));
  assert.deepEqual([answer.status, await answer.text()], [200, ""]);
  assert.match(answer.headers.get("content-type") ?? "", /text/);
  const routes = { "POST /bulwark-rbac": () => Promise.resolve(new Response("fine")) };
  const posting = handle(router(unlimited, routes));
  assert.equal((await posting(request({ method: "HEAD" }))).status, 405);
});

Deno.test("handle() keeps the region that functions-js names from the handler", async () => {
  const handler = handle(
    async (request) =>
      Response.json([new URL(request.url).search, request.method, await request.text()]),
  );
  const url = "https://x.test/f?a=1&forceFunctionRegion=eu-west-1";
  const posted = await handler(new Request(url, { method: "POST", body: "text" }));
  assert.deepEqual(await posted.json(), ["?a=1", "POST", "text"]);
  const got = await handler(new Request("https://x.test/f?forceFunctionRegion=any"));
  assert.deepEqual(await got.json(), ["", "GET", ""]);
});

Deno.test("handle() answers a preflight, and passes on any other OPTIONS", async () => {
  const refused = () => Promise.reject(new BulwarkError(405, "METHOD_NOT_ALLOWED", "Cannot"));
  const handler = handle(refused);
  for (const asking of ["origin", "access-control-request-method"]) {
    const headers = { [asking]: "x" };
    const preflight = await handler(request({ method: "OPTIONS", headers }));
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /x-correlation-id/);
  }
  assert.equal((await handler(request({ method: "OPTIONS" }))).status, 405);
});

Deno.test("handle() answers whatever was thrown, with or without a text", async () => {
  const unreadable = new Error("x");
  Object.defineProperty(unreadable, "stack", {
    get() {
      throw new Error("no stack");
    },
  });
  for (const thrown of [Symbol("odd"), Object.create(null), undefined, unreadable]) {
    const logged: string[] = [];
    const failing = handle(() => Promise.reject(thrown), (line) => logged.push(line));
    const answer = await failing(request());
    assert.equal(answer.status, 500);
    assert.ok(logged[0]?.startsWith((await answer.json()).correlation_id));
  }
});

Deno.test("handle() answers when error tracking itself fails", async () => {
  const report = () => {
    throw new Error("no tracking");
  };
  const failing = handle(() => Promise.reject(new Error("x")), () => {}, report);
  assert.equal((await failing(request())).status, 500);
});

Deno.test("handle() passes on an answer whose headers cannot be changed", async () => {
  const handler = handle(() => Promise.resolve(Response.redirect("http://localhost/x")));
  const answer = await handler(request());
  assert.deepEqual([answer.status, answer.headers.get("location")], [302, "http://localhost/x"]);
  assert.ok(answer.headers.get("x-correlation-id"));
});

Deno.test("handle() answers 400 to a host that is none, and reports nothing", async () => {
  const reported: unknown[] = [];
  const handler = handle(
    router(unlimited, { "GET /bulwark-rbac": () => Promise.resolve(new Response("fine")) }),
    (line) => reported.push(line),
    (thrown) => reported.push(thrown),
  );
  const escaped: unknown[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
    onError(thrown) {
      escaped.push(thrown);
      return new Response(null, { status: 500 });
    },
  }, handler);
  for (const host of ["[", "%", "a b", "x:99999999"]) {
    const connection = await Deno.connect({ port: server.addr.port });
    const lines = ["GET /bulwark-rbac HTTP/1.1", `host: ${host}`, "connection: close", "", ""];
    await connection.write(new TextEncoder().encode(lines.join("\r\n")));
    const answer = await new Response(connection.readable).text();
    assert.match(answer, /^HTTP\/1.1 400 [^]*INVALID_INPUT/, host);
  }
  await server.shutdown();
  assert.deepEqual([reported, escaped], [[], []]);
});

Deno.test("router() finds its way through as many slashes as there may be, at once", async () => {
  const answer = router(unlimited, {
    "GET /bulwark-rbac": () => Promise.resolve(new Response("fine")),
  });
  assert.equal(
    await (await answer(new Request("http://localhost/bulwark-rbac///"))).text(),
    "fine",
  );
  const start = performance.now();
  const path = "/".repeat(60_000);
  await assert.rejects(answer(new Request(`http://localhost${path}x`)), { code: "NOT_FOUND" });
  await assert.rejects(answer(new Request(`http://localhost/bulwark-rbac${path}x`)), {
    code: "NOT_FOUND",
  });
  assert.ok(performance.now() - start < 500);
});

Deno.test("correlationIdOf() keeps an id that has the form of one and replaces what has not", () => {
  const given = (id: string) => correlationIdOf(request({ headers: { "x-correlation-id": id } }));
  assert.equal(given("trace-12345678"), "trace-12345678");
  assert.notEqual(given("short"), "short");
  assert.notEqual(given("'; drop table --"), "'; drop table --");
  assert.match(correlationIdOf(request()), /^[0-9a-f-]{36}$/);
});

Deno.test("readJson() refuses what is too large, not UTF-8 or not JSON", async () => {
  const read = (body: BodyInit) => readJson(request({ method: "POST", body }));
  assert.deepEqual(await read('{"a":1}'), { a: 1 });
  await assert.rejects(read("x".repeat(1024 * 1024 + 1)), { code: "BODY_TOO_LARGE" });
  await assert.rejects(read(new Uint8Array([0x22, 0xff, 0x22])), { code: "INVALID_JSON" });
  await assert.rejects(read(" "), { code: "INVALID_JSON" });
  assert.deepEqual(await read(""), {}, "no body is an empty one");
});

Deno.test("readBody() takes a sender who goes away for a refusal and not for an error", async () => {
  const body = new ReadableStream({
    pull(controller) {
      controller.error(new TypeError("connection closed"));
    },
  });
  await assert.rejects(readBody(request({ method: "POST", body })), { code: "BODY_INCOMPLETE" });
});

Deno.test("fromDataApi() and unwrap() know a failure of something in front of the Data API", () => {
  const page = { message: "<html>Bad Gateway</html>" } as DataApiFailure["error"];
  const away = { status: 503, code: "DATA_API_UNAVAILABLE" };
  assert.throws(() => unwrap({ data: null, error: page, status: 502 }), away);
  assert.throws(() => unwrap({ data: null, error: null, status: 504 }), away);
  assert.throws(() => unwrap({ data: null, error: null, status: 500 }), /Data API 500/);
  assert.equal(unwrap({ data: 5, error: null, status: 200 }), 5);
});

Deno.test("fromDataApi() takes our code from details and hides everything else", () => {
  const error = (code: string, details: string | null, status: number) =>
    fromDataApi({ status, error: { code, message: "m", details } });
  const ours = error("42501", "RBAC_PERMISSION_DENIED", 403);
  assert.ok(ours instanceof BulwarkError && ours.code === "RBAC_PERMISSION_DENIED");
  const expired = error("PGRST303", null, 401);
  assert.ok(expired instanceof BulwarkError && expired.status === 401);
  const refused = error("42501", null, 403);
  assert.ok(refused instanceof BulwarkError && refused.code === "FORBIDDEN");
  const refusals: [state: string, asked: number, status: number, code: string][] = [
    ["22P05", 400, 400, "INVALID_INPUT"],
    ["22003", 400, 400, "INVALID_INPUT"],
    ["23514", 400, 400, "INVALID_INPUT"],
    ["P0001", 400, 400, "INVALID_INPUT"],
    ["54001", 500, 400, "INVALID_INPUT"],
    ["23505", 409, 409, "CONFLICT"],
    ["40P01", 500, 503, "DATA_API_UNAVAILABLE"],
    ["25006", 405, 503, "DATA_API_UNAVAILABLE"],
    ["55P03", 500, 503, "DATA_API_UNAVAILABLE"],
  ];
  for (const [state, asked, status, code] of refusals) {
    const refusal = error(state, "Failing row contains (secret).", asked);
    assert.ok(refusal instanceof BulwarkError, state);
    assert.deepEqual([refusal.status, refusal.code], [status, code], state);
    assert.doesNotMatch(refusal.message, /secret|^m$/);
  }
  for (const state of ["XX000", "55000", "25001", "P0002", "42P01"]) {
    const internal = error(state, "Failing row contains (secret).", 500);
    assert.ok(!(internal instanceof BulwarkError), state);
  }
});

Deno.test("readEnv() prefers the new keys, takes the old one, and names what is missing", () => {
  const read = (env: Record<string, string>) => readEnv((name) => env[name]);
  const url = "http://localhost:54321/";
  const keys = '{"default":"sb_publishable_x"}';
  assert.deepEqual(read({ SUPABASE_URL: url, SUPABASE_PUBLISHABLE_KEYS: keys }), {
    url: "http://localhost:54321",
    publishableKey: "sb_publishable_x",
  });
  assert.equal(read({ SUPABASE_URL: url, SUPABASE_ANON_KEY: "a" }).publishableKey, "a");
  assert.throws(() => read({ SUPABASE_ANON_KEY: "a" }), /SUPABASE_URL/);
  assert.throws(() => read({ SUPABASE_URL: url }), /SUPABASE_ANON_KEY/);
});
