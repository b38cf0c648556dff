/**
 * The helper for programs, clients/js/src/api_key.ts: against the local stack, and with a controlled
 * clock.
 */
import assert from "node:assert/strict";
import { ApiKeyRefused, apiKeyToken } from "../../clients/js/src/api_key.ts";
import { issueKey } from "./support.ts";
import { createOrganization, ok, signUp, url } from "../support.ts";

/** An endpoint that answers as the test says, and counts calls. */
function endpoint() {
  const state = {
    asked: 0,
    status: 200,
    code: "SOMETHING",
    expires_in: 300,
    reachable: true,
    retryAfter: "",
    hangs: 0,
  };
  const answer: typeof fetch = async () => {
    state.asked++;
    const number = state.asked;
    await new Promise((resolve) => setTimeout(resolve, state.hangs));
    if (!state.reachable) throw new TypeError("network");
    return Response.json(
      state.status === 200
        ? { access_token: `token ${number}`, expires_in: state.expires_in }
        : { code: state.code },
      {
        status: state.status,
        ...state.retryAfter ? { headers: { "retry-after": state.retryAfter } } : {},
      },
    );
  };
  return { state, fetch: answer };
}

/** Waits until background work has ended. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 10));

Deno.test("KEY-E40: a token is renewed when it nears its end, and not before", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  assert.equal(await token(), "token 1");
  now = 239_000;
  assert.equal(await token(), "token 1");
  now = 240_000;
  assert.equal(await token(), "token 1", "nobody waits for the next one");
  await settled();
  assert.equal(await token(), "token 2");
  assert.equal(state.asked, 2);
});

Deno.test("KEY-E41: however many ask at once, one exchange is under way", async () => {
  const { state, fetch } = endpoint();
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => 0 });
  const tokens = await Promise.all(Array.from({ length: 50 }, () => token()));
  assert.deepEqual([...new Set(tokens)], ["token 1"]);
  assert.equal(state.asked, 1);
});

Deno.test("KEY-E42: while the exchange is out of reach the token serves until its end", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  await token();
  now = 250_000;
  for (const outage of [{ reachable: false }, { reachable: true, status: 503 }]) {
    Object.assign(state, outage);
    assert.equal(await token(), "token 1");
    await settled();
    now += 1000;
  }
  now = 300_000;
  await assert.rejects(token(), /503 SOMETHING/);
  Object.assign(state, { status: 200 });
  now += 1000;
  assert.match(await token(), /^token /);
});

Deno.test("KEY-E43: a refusal ends the token at hand, and says what it is", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "secret", fetch, now: () => now });
  await token();
  now = 250_000;
  Object.assign(state, { status: 401, code: "API_KEY_INVALID" });
  await token();
  await settled();
  const refused = await token().then(() => null, (thrown) => thrown);
  assert.ok(refused instanceof ApiKeyRefused);
  assert.ok(!String(refused.stack).includes("secret"), "and not the key");
  state.reachable = false;
  now += 1000;
  await assert.rejects(token(), TypeError);
});

Deno.test("KEY-E50: another 401 is no refusal: it may come from whatever is in between", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  await token();
  for (const code of ["UNAUTHORIZED_NO_AUTH_HEADER", "SCHEDULER_UNAUTHORIZED", ""]) {
    now += 241_000;
    Object.assign(state, { status: 401, code });
    assert.match(await token(), /^token /, "the token at hand serves");
    await settled();
    now += 60_000;
    await assert.rejects(token(), { name: "Error" });
    Object.assign(state, { status: 200 });
    now += 1000;
    assert.match(await token(), /^token /);
  }
});

Deno.test("KEY-E51: Retry-After is heeded as a number or a date, for five minutes at most", async () => {
  const inAMinute = new Date(Date.now() + 60_000);
  for (
    const [retryAfter, least, most] of [
      ["9".repeat(30), 300, 300],
      ["Infinity", 1, 1],
      ["-5", 1, 1],
      ["soon", 1, 1],
      [inAMinute.toUTCString(), 55, 61],
      ["Fri, 31 Dec 9999 23:59:59 GMT", 300, 300],
      ["Sun Nov  6 08:49:37 1994", 1, 1],
    ] as const
  ) {
    const { state, fetch } = endpoint();
    let now = 0;
    const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
    Object.assign(state, { status: 503, retryAfter });
    await assert.rejects(token(), /503/);
    now = least * 1000 - 1;
    await assert.rejects(token(), /503/);
    assert.equal(state.asked, 1, `${retryAfter}: not before`);
    state.status = 200;
    now = most * 1000;
    assert.equal(await token(), "token 2", retryAfter);
  }
});

Deno.test("KEY-E45: an exchange that failed is not tried again by every request", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  state.status = 503;
  for (let n = 0; n < 20; n++) await assert.rejects(token(), /503/);
  assert.equal(state.asked, 1);
  now += 1000;
  Object.assign(state, { status: 429, retryAfter: "30" });
  await assert.rejects(token(), /again in 30 seconds/);
  now += 29_999;
  await assert.rejects(token(), /again in 30 seconds/);
  assert.equal(state.asked, 2, "nor before the time that it was told");
  Object.assign(state, { status: 200, retryAfter: "" });
  now += 1;
  assert.equal(await token(), "token 3");
});

Deno.test("KEY-E52: an exchange that hangs keeps nobody waiting who has a good token", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  await token();
  state.hangs = 4000;
  now = 240_000;
  const start = performance.now();
  for (let n = 0; n < 20; n++) assert.equal(await token(), "token 1");
  assert.ok(performance.now() - start < 3000);
  assert.equal(state.asked, 2);
  now = 300_000;
  assert.equal(await token(), "token 2", "without a valid token the call waits");
});

Deno.test("KEY-E47: an answer that is no token is none", async () => {
  for (const answer of [{}, { access_token: 1, expires_in: 300 }, { access_token: "x" }, null]) {
    const fetch = () => Promise.resolve(Response.json(answer));
    const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => 0 });
    await assert.rejects(token(), /Cannot exchange the API key/);
  }
});

Deno.test("KEY-E48: a token ends in its time, whichever way somebody turns the clock", async () => {
  const { state, fetch } = endpoint();
  state.expires_in = 10;
  const [wall, monotonic] = [Date.now, performance.now];
  let [time, ticks] = [1_000_000, 0];
  Date.now = () => time;
  performance.now = () => ticks;
  try {
    const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch });
    assert.equal(await token(), "token 1");
    [time, ticks] = [0, 11_000];
    assert.equal(await token(), "token 2", "the clock was set back");
    [time, ticks] = [11_000, 11_001];
    assert.equal(await token(), "token 3", "the machine slept");
  } finally {
    Date.now = wall;
    performance.now = monotonic;
  }
});

Deno.test("KEY-E49: a key that cannot be sent is in no error, and one read from a file is trimmed", async () => {
  for (const apiKey of ["bwk_live_x\nsecret", "secret\u0000", "secret\u200b", "", undefined]) {
    const thrown = await Promise.try(() => apiKeyToken({ url: "http://x", apiKey: apiKey! })())
      .then(() => null, (thrown) => thrown);
    assert.match(String(thrown), /Cannot use the API key/);
    assert.ok(!String(thrown.stack).includes("secret"));
  }
  const { state, fetch } = endpoint();
  let sent: unknown;
  const ask: typeof fetch = (input, init) => {
    sent = init?.headers;
    return fetch(input, init);
  };
  await apiKeyToken({ url: "http://x", apiKey: "secret\n", fetch: ask })();
  assert.deepEqual([sent, state.asked], [{ "x-api-key": "secret" }, 1]);
});

Deno.test("KEY-E44: against the stack it gives tokens until the key is revoked", async () => {
  const owner = await signUp("owner");
  const organization = await createOrganization(owner);
  const { id, api_key } = await issueKey(owner, organization);
  let now = Date.now();
  const token = apiKeyToken({ url, apiKey: api_key, now: () => now });
  const first = await token();
  assert.match(first, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.equal(await token(), first);
  ok(await owner.client.rpc("revoke_api_key", { key_id: id, because: "a test" }));
  now += 300_000;
  // The function caches accepted keys for half a second.
  let refused: unknown;
  for (let attempt = 0; attempt < 100 && !refused; attempt++) {
    refused = await token().then(() => null, (thrown) => thrown);
    now += 300_000;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(refused instanceof ApiKeyRefused);
});
