import assert from "node:assert/strict";
import { scannerKeys } from "./scanner_keys.ts";

const scannerKeysUrl = "https://scanner.test/keys";

function endpoint() {
  const state = { asked: 0, keys: ["one"] };
  const answer = (() => {
    state.asked++;
    const public_keys = state.keys.map((name) => ({
      key_identifier: name,
      key: `PEM of ${name}`,
      is_current: true,
    }));
    return Promise.resolve(Response.json({ public_keys }));
  }) as typeof fetch;
  return { state, fetch: answer };
}

Deno.test("scannerKeys() keeps to the keys that were configured", async () => {
  const { state, fetch } = endpoint();
  const configured = JSON.stringify({ public_keys: [{ key_identifier: "mine", key: "PEM" }] });
  const find = scannerKeys({ scannerKeys: configured, scannerKeysUrl }, { fetch });
  assert.equal(await find("mine"), "PEM");
  assert.equal(await find("one"), null);
  assert.equal(state.asked, 0);
  assert.throws(() => scannerKeys({ scannerKeys: "[]", scannerKeysUrl }));
});

Deno.test("scannerKeys() asks the endpoint once an hour, and for a new name once a minute", async () => {
  const { state, fetch } = endpoint();
  let now = 0;
  const options = { fetch, now: () => now };
  const find = scannerKeys({ scannerKeys: null, scannerKeysUrl }, options);
  assert.equal(await find("one"), "PEM of one");
  assert.equal(await find("two"), null);
  assert.equal(state.asked, 1, "made-up names do not make us ask");
  state.keys = ["one", "two"];
  now = 60_001;
  assert.equal(await find("two"), "PEM of two");
  assert.equal(state.asked, 2);
  await find("one");
  assert.equal(state.asked, 2);
  state.keys = ["two"];
  now += 3600_001;
  assert.equal(await find("one"), null, "a key that was withdrawn is none");
});

Deno.test("scannerKeys() fails where the endpoint does", async () => {
  const fetch = () => Promise.resolve(new Response("", { status: 500 }));
  const find = scannerKeys({ scannerKeys: null, scannerKeysUrl }, { fetch });
  await assert.rejects(find("one"), /answered 500/);
});
