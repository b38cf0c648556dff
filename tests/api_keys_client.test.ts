/** The helper for programs, clients/api_key.ts: against the stack, and by a clock that tests turn. */
import assert from "node:assert/strict";
import { ApiKeyRefused, apiKeyToken } from "../clients/api_key.ts";
import { issueKey } from "./api_keys.ts";
import { createOrganization, ok, signUp, url } from "./support.ts";

/** An endpoint that answers what the test says, and counts. */
function endpoint() {
  const state = { asked: 0, status: 200, expires_in: 300, reachable: true };
  const answer: typeof fetch = async () => {
    state.asked++;
    const number = state.asked;
    await Promise.resolve();
    if (!state.reachable) throw new TypeError("network");
    return Response.json(
      state.status === 200
        ? { access_token: `token ${number}`, expires_in: state.expires_in }
        : { code: "SOMETHING" },
      { status: state.status },
    );
  };
  return { state, fetch: answer };
}

Deno.test("KEY-E40: a token is renewed when it nears its end, and not before", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "k", fetch, now: () => now });
  assert.equal(await token(), "token 1");
  now = 239_000;
  assert.equal(await token(), "token 1");
  now = 240_000;
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
  }
  now = 300_000;
  await assert.rejects(token(), /503 SOMETHING/);
  Object.assign(state, { status: 200 });
  assert.match(await token(), /^token /);
});

Deno.test("KEY-E43: a refusal ends the token at hand, and says what it is", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const token = apiKeyToken({ url: "http://x", apiKey: "secret", fetch, now: () => now });
  await token();
  now = 250_000;
  state.status = 401;
  const refused = await token().then(() => null, (thrown) => thrown);
  assert.ok(refused instanceof ApiKeyRefused);
  assert.ok(!String(refused.stack).includes("secret"), "and not the key");
  state.reachable = false;
  await assert.rejects(token(), TypeError);
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
  // The function may remember a key for half a second.
  let refused: unknown;
  for (let attempt = 0; attempt < 100 && !refused; attempt++) {
    refused = await token().then(() => null, (thrown) => thrown);
    now += 300_000;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(refused instanceof ApiKeyRefused);
});
