import assert from "node:assert/strict";
import {
  type CacheBounds,
  CachedDataKeys,
  defaultBounds,
} from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import {
  blindIndex,
  blindIndexes,
} from "../../../supabase/functions/_bulwark/encryption/blind_index.ts";
import { EncryptionError } from "../../../supabase/functions/_bulwark/encryption/errors.ts";
import {
  decryptField,
  encryptField,
} from "../../../supabase/functions/_bulwark/encryption/fields.ts";
import { keyIdOf, readEnvelope } from "../../../supabase/functions/_bulwark/encryption/format.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { memoryStore } from "./memory_store.ts";
import { constantTimeEqual } from "../../../supabase/functions/_bulwark/foundation/constant_time.ts";
import { randomToken } from "../../../supabase/functions/_bulwark/encryption/random.ts";

const kek = (byte: number) => btoa(String.fromCharCode(...new Uint8Array(32).fill(byte)));
const ring = () => new KeyRing(`k1:${kek(1)}`);
const acme = "11111111-1111-4111-8111-111111111111";
const globex = "22222222-2222-4222-8222-222222222222";
const address = {
  schema: "public",
  table: "contacts",
  column: "email",
  primaryKey: "7",
  organizationId: acme,
};
const fault = (name: string) => (thrown: unknown) =>
  thrown instanceof EncryptionError && thrown.fault === name;

Deno.test("no nonce is used twice under one derived key, also by parallel users of one cache", async () => {
  const store = memoryStore();
  const seen = new Set<string>();
  const isolates = [1, 2, 3].map(() => new CachedDataKeys(ring(), store));
  await Promise.all(isolates.map(async (keys) => {
    for (let round = 0; round < 4; round++) {
      const made = await Promise.all(
        Array.from({ length: 2500 }, () => encryptField(keys, address, "same")),
      );
      for (const text of made) {
        const { keyId, keyPart, message } = readEnvelope(text);
        seen.add(`${keyId} ${keyPart} ${message}`);
      }
    }
  }));
  assert.equal(seen.size, 30_000);
});

Deno.test("messages are counted in the store before they are encrypted", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  for (let message = 0; message < 5000; message++) {
    await keys.slot(acme);
    assert.ok(store.keys[0]!.messages > message);
  }
  assert.ok(store.calls.reserve! <= 5, "blocks grow");
});

Deno.test("a key that reached its limit makes room for a new version, and stays readable", async () => {
  const store = memoryStore();
  store.limit = 2000;
  const keys = new CachedDataKeys(ring(), store, { ...defaultBounds, uses: 700 });
  const texts = [];
  for (let row = 0; row < 5000; row++) {
    texts.push(await encryptField(keys, { ...address, primaryKey: `${row}` }, `text ${row}`));
  }
  assert.ok(store.keys.length >= 3);
  for (const key of store.keys) {
    assert.ok(key.messages <= 2000);
    assert.ok(texts.filter((text) => keyIdOf(text) === key.id).length <= key.messages);
  }
  const fresh = new CachedDataKeys(ring(), store);
  for (const [row, text] of texts.entries()) {
    assert.equal(
      await decryptField(fresh, { ...address, primaryKey: `${row}` }, text),
      `text ${row}`,
    );
  }
});

Deno.test("two isolates that both make an organization's first key agree on one", async () => {
  const store = memoryStore();
  const [one, other] = [new CachedDataKeys(ring(), store), new CachedDataKeys(ring(), store)];
  const [a, b] = await Promise.all([
    encryptField(one, address, "a"),
    encryptField(other, address, "b"),
  ]);
  assert.equal(keyIdOf(a), keyIdOf(b));
  assert.equal(await decryptField(one, address, b), "b");
});

Deno.test("a cached key is fetched anew after its time and after its uses", async () => {
  let now = 0;
  const bounds: CacheBounds = { lifetime: 1000, uses: 10, keys: 10 };
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store, bounds, () => now);
  const text = await encryptField(keys, address, "secret");
  keys.forget();
  store.calls = {};
  await decryptField(keys, address, text);
  await decryptField(keys, address, text);
  assert.equal(store.calls.read, 1);
  now = 1001;
  await decryptField(keys, address, text);
  assert.equal(store.calls.read, 2);
  for (let use = 0; use < 10; use++) await decryptField(keys, address, text);
  await decryptField(keys, address, text);
  assert.equal(store.calls.read, 3);
});

Deno.test("a destroyed key is told as destroyed, once the cache has let go of it", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  const text = await encryptField(keys, address, "secret");
  for (const key of store.keys) key.wrapped = null;
  keys.forgetOrganization(acme);
  await assert.rejects(decryptField(keys, address, text), fault("key_destroyed"));
});

Deno.test("a wrapped key put into another row, or into another's purpose, does not unwrap", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  const text = await encryptField(keys, address, "secret");
  const wrapped = store.keys[0]!.wrapped!;
  store.keys[0]!.organizationId = globex;
  keys.forget();
  await assert.rejects(
    decryptField(keys, { ...address, organizationId: globex }, text),
    fault("tampered"),
  );
  const identity = { id: store.keys[0]!.id, organizationId: acme, purpose: "index" as const };
  await assert.rejects(ring().unwrap(wrapped, identity, store), fault("tampered"));
  const flipped = wrapped.slice(0, -8) + (wrapped.at(-8) === "A" ? "B" : "A") + wrapped.slice(-7);
  await assert.rejects(
    ring().unwrap(flipped, { ...identity, purpose: "field" }, store),
    fault("tampered"),
  );
});

Deno.test("rewrapping under another key-encryption key changes no data key", async () => {
  const store = memoryStore();
  const text = await encryptField(new CachedDataKeys(ring(), store), address, "secret");
  const both = new KeyRing(`k2:${kek(2)},k1:${kek(1)}`);
  const key = store.keys[0]!;
  key.wrapped = await both.wrap("k2", await both.unwrap(key.wrapped!, key, store), key, store);
  const after = new CachedDataKeys(new KeyRing(`k2:${kek(2)}`), store);
  assert.equal(await decryptField(after, address, text), "secret");
  await assert.rejects(
    decryptField(new CachedDataKeys(ring(), store), address, text),
    fault("unknown_key_encryption_key"),
  );
});

Deno.test("a key-encryption key that is not the one registered wraps and unwraps nothing", async () => {
  const store = memoryStore();
  const text = await encryptField(new CachedDataKeys(ring(), store), address, "secret");
  const mistyped = new CachedDataKeys(new KeyRing(`k1:${kek(9)}`), store);
  await assert.rejects(decryptField(mistyped, address, text), fault("wrong_key_encryption_key"));
  await assert.rejects(
    encryptField(mistyped, { ...address, organizationId: globex }, "secret"),
    fault("wrong_key_encryption_key"),
  );
});

Deno.test("a passphrase wraps with stored parameters, and another one does not unwrap", async () => {
  const store = memoryStore();
  const passphrase = (text: string) =>
    new CachedDataKeys(new KeyRing(`p1:passphrase:${text}`), store);
  const text = await encryptField(passphrase("correct horse battery staple"), address, "secret");
  const { derivation, rounds, salt } = store.registered.get("p1")!;
  assert.deepEqual([derivation, rounds, salt?.length], ["pbkdf2-sha256", 600_000, 43]);
  const again = passphrase("correct horse battery staple");
  assert.equal(await decryptField(again, address, text), "secret");
  await assert.rejects(
    decryptField(passphrase("correct horse battery stable"), address, text),
    fault("wrong_key_encryption_key"),
  );
});

Deno.test("KeyRing() names a bad entry by its place and never by its text", () => {
  for (
    const [keys, message] of [
      ["", /there is none/],
      [`k1:${kek(1)},k1:${kek(2)}`, /two have one id/],
      ["k1:dG9vIHNob3J0", /key 1: it is neither/],
      [`k1:${kek(1)},K2:${kek(2)}`, /key 2: it is neither/],
      ["k1:passphrase:short", /key 1: it is neither/],
    ] as const
  ) {
    assert.throws(() => new KeyRing(keys), (thrown: unknown) => {
      assert.match(String(thrown), message);
      assert.ok(!/dG9v|short|AQEB/.test(String(thrown)));
      return true;
    });
  }
});

Deno.test("blindIndex() is equal for equal texts of one column and organization, and for no others", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  const index = await blindIndex(keys, address, "Ada@Example.com");
  assert.match(index, /^bwi1\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$/);
  const other = new CachedDataKeys(ring(), store);
  assert.equal(await blindIndex(other, address, "Ada@Example.com"), index);
  assert.notEqual(await blindIndex(keys, address, "ada@example.com"), index);
  assert.notEqual(
    await blindIndex(keys, { ...address, column: "phone" }, "Ada@Example.com"),
    index,
  );
  assert.notEqual(
    await blindIndex(keys, { ...address, organizationId: globex }, "Ada@Example.com"),
    index,
  );
  const folded = await blindIndex(keys, address, " ADA@example.com ", "folded");
  assert.equal(await blindIndex(keys, address, "ada@example.com", "folded"), folded);
});

Deno.test("blindIndexes() finds rows of every index key that is left, and makes none", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  assert.deepEqual(await blindIndexes(keys, address, "a"), []);
  assert.equal(store.keys.length, 0);
  const old = await blindIndex(keys, address, "a");
  await keys.addVersion(acme, "index", 1, null);
  keys.forget();
  const fresh = await blindIndex(keys, address, "a");
  assert.notEqual(fresh, old);
  assert.deepEqual(await blindIndexes(keys, address, "a"), [fresh, old]);
});

Deno.test("a blind index key does not decrypt, and a field key does not index", async () => {
  const store = memoryStore();
  const keys = new CachedDataKeys(ring(), store);
  const text = await encryptField(keys, address, "a");
  const index = await blindIndex(keys, address, "a");
  const swapped = text.replace(/\.[^.]{22}\./, `.${index.split(".")[1]}.`);
  keys.forget();
  await assert.rejects(decryptField(keys, address, swapped), fault("unknown_key"));
});

Deno.test("randomToken() has the bits it is asked for; constantTimeEqual() compares", () => {
  assert.equal(randomToken().length, 43);
  assert.equal(randomToken(16).length, 22);
  assert.notEqual(randomToken(), randomToken());
  assert.throws(() => randomToken(15), RangeError);
  assert.ok(constantTimeEqual("secret", "secret"));
  assert.ok(constantTimeEqual("é", new TextEncoder().encode("é")));
  assert.ok(!constantTimeEqual("secret", "secres"));
  assert.ok(!constantTimeEqual("secret", "secrets"));
});

Deno.test("a search has the index keys that another function made since", async () => {
  const store = memoryStore();
  const [one, other] = [new CachedDataKeys(ring(), store), new CachedDataKeys(ring(), store)];
  await other.indexKeys(acme, true);
  assert.equal((await one.indexKeys(acme, false)).length, 1);
  const id = await other.addVersion(acme, "index", 1, null);
  const found = await one.indexKeys(acme, false);
  assert.deepEqual([found.length, found[0]?.identity.id], [2, id]);
});
