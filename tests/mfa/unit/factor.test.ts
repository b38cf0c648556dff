import assert from "node:assert/strict";
import {
  CachedDataKeys,
  defaultBounds,
} from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { memoryStore } from "../../encryption/unit/memory_store.ts";
import { openSecret, sealSecret } from "../../../supabase/functions/_bulwark/mfa/factor.ts";

const kek = btoa(String.fromCharCode(...new Uint8Array(32).fill(7)));
const keys = new CachedDataKeys(new KeyRing(`k1:${kek}`), memoryStore(), defaultBounds);
const ada = { factorId: crypto.randomUUID(), userId: crypto.randomUUID() };
const eve = { factorId: crypto.randomUUID(), userId: crypto.randomUUID() };

Deno.test("openSecret() gives back what sealSecret() was given", async () => {
  const sealed = await sealSecret(keys, ada, "JBSWY3DPEHPK3PXP");
  assert.equal(await openSecret(keys, ada, sealed), "JBSWY3DPEHPK3PXP");
  assert.ok(!sealed.includes("JBSWY3DPEHPK3PXP"));
});

Deno.test("openSecret() refuses a ciphertext of another row, and a row of another user", async () => {
  const sealed = await sealSecret(keys, ada, "JBSWY3DPEHPK3PXP");
  await assert.rejects(openSecret(keys, eve, sealed));
  await assert.rejects(openSecret(keys, { ...ada, factorId: eve.factorId }, sealed));
  await assert.rejects(openSecret(keys, { ...ada, userId: eve.userId }, sealed), /another user/);
});
