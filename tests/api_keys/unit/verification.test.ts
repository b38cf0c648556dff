import assert from "node:assert/strict";
import type { CallerClient } from "../../../supabase/functions/_bulwark/foundation/caller.ts";
import { hashOf } from "../../../supabase/functions/_bulwark/api_keys/format.ts";
import { keyVerifier } from "../../../supabase/functions/_bulwark/api_keys/verification.ts";

/** A database that knows one key, and the calls it received. */
function database() {
  const state = { inForce: true, allowed: true, asked: [] as unknown[] };
  const row = () => ({
    api_key_id: state.inForce ? "id" : null,
    organization_id: state.inForce ? "acme" : null,
    expires_at: state.inForce ? "2030-01-01T00:00:00Z" : null,
    allowed: state.allowed,
    reason: state.allowed ? null : "rate",
  });
  const rpc = (name: string, parameters: unknown) => {
    state.asked.push([name, parameters]);
    return Promise.resolve({ data: [row()], error: null, status: 200 });
  };
  return { state, client: { rpc } as unknown as CallerClient };
}

Deno.test("keyVerifier() asks by the hash alone, with the address where there is one", async () => {
  const { state, client } = database();
  const verify = keyVerifier(client, { now: () => 0 });
  const { key } = await verify("a key", null);
  assert.deepEqual(key, {
    apiKeyId: "id",
    organizationId: "acme",
    expiresAt: Date.UTC(2030, 0),
  });
  await verify("a key", "192.0.2.1");
  assert.deepEqual(state.asked, [
    ["exchange_api_key", { key_hash: hashOf("a key") }],
    ["exchange_api_key", { key_hash: hashOf("a key"), address: "192.0.2.1" }],
  ]);
});

Deno.test("keyVerifier() remembers a key in force for half a second, from this address", async () => {
  const { state, client } = database();
  let now = 0;
  const verify = keyVerifier(client, { now: () => now });
  await verify("a key", "192.0.2.1");
  state.inForce = false;
  now = 499;
  assert.ok((await verify("a key", "192.0.2.1")).key);
  assert.equal((await verify("a key", "192.0.2.2")).key, null);
  now = 500;
  assert.equal((await verify("a key", "192.0.2.1")).key, null);
});

Deno.test("keyVerifier() remembers neither a refusal nor what is too much", async () => {
  const { state, client } = database();
  const verify = keyVerifier(client, { now: () => 0 });
  state.inForce = false;
  assert.equal((await verify("a key", null)).key, null);
  Object.assign(state, { inForce: true, allowed: false });
  assert.equal((await verify("a key", null)).decision.allowed, false);
  state.allowed = true;
  assert.equal((await verify("a key", null)).decision.allowed, true);
  assert.equal(state.asked.length, 3);
});
