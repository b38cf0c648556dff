/** Keys that functions lack, have wrongly, or that were declared lost: which fault, told to whom. */
import assert from "node:assert/strict";
import { CachedDataKeys } from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import {
  EncryptionError,
  isAboutTheRow,
} from "../../../supabase/functions/_bulwark/encryption/errors.ts";
import {
  decryptField,
  encryptField,
} from "../../../supabase/functions/_bulwark/encryption/fields.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import { handle } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import { memoryStore } from "./memory_store.ts";

const kek = (byte: number) => btoa(String.fromCharCode(...new Uint8Array(32).fill(byte)));
const address = {
  schema: "public",
  table: "contacts",
  column: "email",
  primaryKey: "7",
  organizationId: "11111111-1111-4111-8111-111111111111",
};
const keysOf = (store: ReturnType<typeof memoryStore>, text: string) =>
  new CachedDataKeys(new KeyRing(text), store);

async function failureOf(promise: Promise<unknown>): Promise<EncryptionError> {
  const thrown = await promise.then(() => null, (thrown) => thrown);
  assert.ok(thrown instanceof EncryptionError, String(thrown));
  return thrown;
}

for (
  const [fault, text] of [["missing", `k2:${kek(2)}`], ["wrong", `k1:${kek(9)}`]] as const
) {
  Deno.test(`a key-encryption key that is ${fault} is reported to the store until it is there`, async () => {
    const store = memoryStore();
    const value = await encryptField(keysOf(store, `k1:${kek(1)}`), address, "text");
    const failure = await failureOf(decryptField(keysOf(store, text), address, value));
    assert.equal(store.registered.get("k1")?.fault, fault);
    const { status, code, message } = failure.refusal;
    assert.deepEqual([status, code], [503, "ENCRYPTION_KEY_UNAVAILABLE"]);
    assert.ok(!message.includes("k1"), "its id is for the log");
    assert.ok(!isAboutTheRow(failure), "no row is given up for it");
    assert.equal(await decryptField(keysOf(store, `k1:${kek(1)}`), address, value), "text");
    assert.equal(store.registered.get("k1")?.fault, null);
  });
}

Deno.test("values under a lost key are refused row by row, and new ones get another key", async () => {
  const store = memoryStore();
  const old = await encryptField(keysOf(store, `k1:${kek(1)}`), address, "text");
  const registered = store.registered.get("k1");
  assert.ok(registered);
  registered.isLost = true;
  for (const key of store.keys) key.current = false;
  // Also where the lost secret is still set: it may be another one.
  const keys = keysOf(store, `k2:${kek(2)},k1:${kek(1)}`);
  const failure = await failureOf(decryptField(keys, address, old));
  assert.deepEqual([failure.refusal.status, failure.refusal.code], [410, "ENCRYPTION_KEY_LOST"]);
  assert.ok(isAboutTheRow(failure));
  const value = await encryptField(keys, address, "new");
  assert.equal(await decryptField(keys, address, value), "new");
  assert.match(store.keys.at(-1)?.wrapped ?? "", /^bwk1\.k2\./);
  registered.isLost = false;
  assert.equal(await decryptField(keys, address, old), "text");
});

Deno.test("any function answers a fault of keys with its own code, and logs which key it is", async () => {
  const lines: string[] = [];
  const answer = await handle(
    () => Promise.reject(new EncryptionError("unknown_key_encryption_key", "k1")),
    (line) => lines.push(line),
    () => assert.fail("it is no unexpected error"),
  )(new Request("http://localhost/bulwark-mfa/verify", { method: "POST" }));
  const { code } = await answer.json();
  assert.deepEqual([answer.status, code], [503, "ENCRYPTION_KEY_UNAVAILABLE"]);
  assert.match(lines.join("\n"), /^\S+ unknown_key_encryption_key: k1$/);
  assert.ok(new EncryptionError("tampered", "x").refusal instanceof BulwarkError);
});
