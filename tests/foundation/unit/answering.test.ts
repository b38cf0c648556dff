import assert from "node:assert/strict";
import { z } from "zod";
import { answering, type Call } from "../../../supabase/functions/_bulwark/foundation/answering.ts";
import { handle } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import { operation } from "../../../supabase/functions/_bulwark/foundation/operation.ts";
import { version } from "../../../supabase/functions/_bulwark/foundation/version.ts";
import type { Limit } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";

const secret = "0123456789abcdef0123456789abcdef";
const env = {
  url: "http://localhost",
  publishableKey: "p",
  secretKey: `${secret}-secret`,
  schedulerSecret: secret as string | null,
  scrapeToken: `${secret}-scrape`,
};
const common = { rule: "api_strict", errors: [] } as const;
const answered = () => z.object({ seen: z.string() });
const operations = {
  user: operation({
    ...common,
    method: "POST",
    path: "/bulwark-x/things/<id>",
    summary: "For users",
    auth: ["user", "secret_key"],
    input: z.strictObject({ name: z.string() }),
    output: answered,
    status: 201,
  }),
  run: operation({
    ...common,
    method: "POST",
    path: "/bulwark-x/run",
    summary: "For the scheduler",
    auth: ["scheduler"],
    input: z.strictObject({ seconds: z.coerce.number().default(1) }),
    inQuery: true,
  }),
  scrape: operation({
    ...common,
    method: "POST",
    path: "/bulwark-x/scrape",
    summary: "For the scraper and holders of the secret key",
    auth: ["scraper", "secret_key"],
  }),
  open: operation({
    ...common,
    method: "GET",
    path: "/bulwark-x",
    summary: "For everybody",
    auth: [],
    output: answered,
  }),
};

/** Asks the operations, and tells which rules were charged and what the handlers saw. */
function serve(changed: Partial<typeof env> = {}) {
  const charged: string[] = [];
  const calls: Call[] = [];
  const limit: Limit = (rule, handler) => (request) => {
    charged.push(String(rule));
    return handler(request, { rule: String(rule), caller: null });
  };
  const note = (call: unknown) => void calls.push(call as Call);
  const answer = handle(
    answering(operations, { env: { ...env, ...changed }, limit }, {
      user: (call) => Promise.resolve(note(call)).then(() => ({ seen: call.asked.name })),
      run: (call) => Promise.resolve(note(call)),
      scrape: (call) => Promise.resolve(note(call)),
      open: (call) => Promise.resolve(note(call)).then(() => ({ seen: String(call.client) })),
    }),
    () => {},
  );
  const ask = (path: string, bearer?: string, body?: string) =>
    answer(
      new Request(`http://localhost${path}`, {
        method: path === "/bulwark-x" ? "GET" : "POST",
        headers: bearer ? { authorization: `Bearer ${bearer}` } : {},
        ...body ? { body } : {},
      }),
    );
  return { ask, charged, calls };
}

const id = "11111111-1111-1111-1111-000000000001";
const codeOf = async (answer: Response) => (await answer.json()).code;

Deno.test("an operation gets its parsed input, its id and a client, and answers as declared", async () => {
  const { ask, charged, calls } = serve();
  const answer = await ask(`/bulwark-x/things/${id}`, "a.b.c", '{"name":"x"}');
  assert.deepEqual([answer.status, await answer.json()], [201, { seen: "x" }]);
  assert.equal(answer.headers.get("bulwark-version"), version);
  assert.deepEqual([calls[0]?.id, calls[0]?.isTrusted, charged], [id, false, ["api_strict"]]);
  assert.ok(calls[0]?.client);
  const open = await ask("/bulwark-x");
  assert.deepEqual(await open.json(), { seen: "null" }, "nobody's operation has no client");
});

Deno.test("a user is charged and identified before the input is read", async () => {
  const { ask, charged, calls } = serve();
  assert.equal(await codeOf(await ask(`/bulwark-x/things/${id}`, undefined, "{")), "UNAUTHORIZED");
  assert.equal(await codeOf(await ask(`/bulwark-x/things/${id}`, "a.b.c", "{")), "INVALID_JSON");
  assert.equal(await codeOf(await ask(`/bulwark-x/things/${id}`, "a.b.c", "{}")), "INVALID_INPUT");
  assert.deepEqual([calls, charged], [[], Array(3).fill("api_strict")]);
});

Deno.test("only the secrets that an operation accepts make a caller trusted, and are not limited", async () => {
  const { ask, charged, calls } = serve();
  assert.equal((await ask("/bulwark-x/run?seconds=5", secret)).status, 204);
  assert.equal((await ask(`/bulwark-x/things/${id}`, env.secretKey, '{"name":"x"}')).status, 201);
  assert.deepEqual(calls.map(({ isTrusted, asked }) => [isTrusted, asked]), [
    [true, { seconds: 5 }],
    [true, { name: "x" }],
  ]);
  assert.deepEqual(charged, []);
  for (const wrong of [undefined, secret.slice(1), secret.toUpperCase(), env.secretKey, "a.b.c"]) {
    assert.equal(await codeOf(await ask("/bulwark-x/run?seconds=x", wrong)), "UNAUTHORIZED");
  }
  const swapped = await ask(`/bulwark-x/things/${id}`, secret, '{"name":"x"}');
  assert.equal(await codeOf(swapped), "UNAUTHORIZED");
  assert.deepEqual(charged, Array(6).fill("api_strict"));
  assert.equal(calls.length, 2);
  const unset = serve({ schedulerSecret: null });
  assert.equal(await codeOf(await unset.ask("/bulwark-x/run", secret)), "UNAUTHORIZED");
});

Deno.test("a refusal names those whose secret an operation accepts, and nobody else gets in", async () => {
  const { ask, calls } = serve();
  const refusedBy = async (path: string) => {
    const answer = await ask(path, "a.b.c");
    assert.equal(answer.status, 401);
    return (await answer.json()).message;
  };
  assert.equal(
    await refusedBy("/bulwark-x/run"),
    "Cannot proceed: this is for the scheduler alone",
  );
  assert.equal(
    await refusedBy("/bulwark-x/scrape"),
    "Cannot proceed: this is for the scraper of metrics or the holder of the secret key alone",
  );
  assert.equal(await codeOf(await ask("/bulwark-x/scrape", secret)), "UNAUTHORIZED");
  assert.equal((await ask("/bulwark-x/scrape", env.scrapeToken)).status, 204);
  assert.equal(calls.length, 1);
});
