import assert from "node:assert/strict";
import { CachedDataKeys } from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { memoryStore } from "../../encryption/unit/memory_store.ts";
import type { SealedEndpoint } from "../../../supabase/functions/_bulwark/webhooks/queue.ts";
import {
  newSecret,
  openEndpoint,
  sealDestination,
  sealSecret,
} from "../../../supabase/functions/_bulwark/webhooks/sealing.ts";

const keys = new CachedDataKeys(new KeyRing(`test:${btoa("k".repeat(32))}`), memoryStore());
const policy = { allowLoopback: false };
const [acme, globex] = [crypto.randomUUID(), crypto.randomUUID()];

async function sealed(changes: Partial<SealedEndpoint> = {}): Promise<SealedEndpoint> {
  const [id, secretId] = [crypto.randomUUID(), crypto.randomUUID()];
  const destination = { url: "https://hooks.slack.com/services/T0/B0/key", routingKey: "r" };
  return {
    id,
    organization_id: acme,
    account_id: acme,
    proven: true,
    timeouts: 0,
    name: "Receiver",
    origin: "https://hooks.slack.com",
    format: "slack",
    follow_redirects: false,
    destination: await sealDestination(keys, id, acme, destination),
    secrets: [{ id: secretId, ciphertext: await sealSecret(keys, secretId, acme, newSecret()) }],
    ...changes,
  };
}

Deno.test("openEndpoint() opens what was sealed", async () => {
  const { url, routingKey, signers } = await openEndpoint(keys, await sealed(), policy);
  assert.equal(url.href, "https://hooks.slack.com/services/T0/B0/key");
  assert.equal(routingKey, "r");
  assert.equal(signers.length, 1);
});

Deno.test("openEndpoint() refuses an address or a secret that was sealed for another endpoint or organization", async () => {
  const [one, other] = [await sealed(), await sealed()];
  for (
    const swapped of [
      { ...one, destination: other.destination },
      { ...one, secrets: [{ ...one.secrets[0]!, ciphertext: other.secrets[0]!.ciphertext }] },
      { ...one, organization_id: globex },
      { ...one, organization_id: null },
      { ...one, secrets: [] },
    ]
  ) await assert.rejects(openEndpoint(keys, swapped, policy));
});

Deno.test("openEndpoint() refuses an address of another origin than the one that is shown", async () => {
  const shown = await sealed({ origin: "https://example.com" });
  await assert.rejects(openEndpoint(keys, shown, policy), { name: "AddressRefused" });
});

Deno.test("openEndpoint() judges the address anew: what was allowed once may not be any more", async () => {
  const id = crypto.randomUUID();
  const destination = await sealDestination(keys, id, acme, { url: "http://127.0.0.1:9/" });
  const local = { ...await sealed(), id, origin: "http://127.0.0.1:9", destination };
  await openEndpoint(keys, local, { allowLoopback: true });
  await assert.rejects(openEndpoint(keys, local, policy), { code: "WEBHOOK_URL_NOT_ALLOWED" });
});
