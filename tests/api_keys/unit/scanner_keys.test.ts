import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { scannerKeys } from "../../../supabase/functions/_bulwark/api_keys/scanner_keys.ts";

const scannerKeysUrl = "https://scanner.test/keys";

const pemOf = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
const pem = pemOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);

function endpoint() {
  const state = { asked: 0, keys: ["one"], status: 200 };
  const answer = (async () => {
    state.asked++;
    await Promise.resolve();
    const public_keys = state.keys.map((name) => ({
      key_identifier: name,
      key: pem,
      is_current: true,
    }));
    return Response.json({ public_keys }, { status: state.status });
  }) as typeof fetch;
  let now = 0;
  const find = scannerKeys({ scannerKeys: null, scannerKeysUrl }, {
    fetch: answer,
    now: () => now,
  });
  return { state, find, fetch: answer, pass: (milliseconds: number) => now += milliseconds };
}

Deno.test("scannerKeys() keeps to the keys that were configured", async () => {
  const { state, fetch } = endpoint();
  const configured = JSON.stringify({ public_keys: [{ key_identifier: "mine", key: pem }] });
  const find = scannerKeys({ scannerKeys: configured, scannerKeysUrl }, { fetch });
  assert.equal(await find("mine"), pem);
  assert.equal(await find("one"), null);
  assert.equal(state.asked, 0);
  assert.throws(() => scannerKeys({ scannerKeys: "[]", scannerKeysUrl }));
});

Deno.test("scannerKeys() takes keys on P-256 and no others", async () => {
  const others = {
    wider: pemOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey),
    rsa: pemOf(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey),
    edwards: pemOf(generateKeyPairSync("ed25519").publicKey),
    private: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
      .export({ type: "pkcs8", format: "pem" }).toString(),
    nonsense: "PEM",
  };
  const public_keys = Object.entries({ ...others, right: pem })
    .map(([key_identifier, key]) => ({ key_identifier, key }));
  const find = scannerKeys({ scannerKeys: JSON.stringify({ public_keys }), scannerKeysUrl });
  for (const name of Object.keys(others)) assert.equal(await find(name), null, name);
  assert.equal(await find("right"), pem);
});

Deno.test("scannerKeys() asks the endpoint once an hour, and for a new name once a minute", async () => {
  const { state, find, pass } = endpoint();
  assert.equal(await find("one"), pem);
  assert.equal(await find("two"), null);
  assert.equal(state.asked, 1, "made-up names do not make us ask");
  state.keys = ["one", "two"];
  pass(60_001);
  assert.equal(await find("two"), pem);
  assert.equal(state.asked, 2);
  await find("one");
  assert.equal(state.asked, 2);
  state.keys = ["two"];
  pass(3600_001);
  assert.equal(await find("one"), null, "a key that was withdrawn is none");
});

Deno.test("scannerKeys() asks once, however many wait for it", async () => {
  const { state, find } = endpoint();
  const found = await Promise.all(["one", "two", "one", "three"].map((name) => find(name)));
  assert.deepEqual(found, [pem, null, pem, null]);
  assert.equal(state.asked, 1);
});

Deno.test("scannerKeys() goes on with the keys it has while the endpoint fails", async () => {
  const { state, find, pass } = endpoint();
  await find("one");
  state.status = 500;
  pass(3600_001);
  assert.equal(await find("one"), pem);
  await assert.rejects(find("two"), /answered 500/);
  assert.equal(state.asked, 2, "and is not asked by everybody who comes");
  state.status = 200;
  pass(60_001);
  assert.equal(await find("two"), null);
});

Deno.test("scannerKeys() fails where the endpoint does and nothing is known", async () => {
  const { state, find } = endpoint();
  state.status = 500;
  await assert.rejects(find("one"), /answered 500/);
  await assert.rejects(find("one"), /answered 500/);
  assert.equal(state.asked, 1);
});
