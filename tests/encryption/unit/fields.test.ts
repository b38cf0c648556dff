import assert from "node:assert/strict";
import {
  blindIndex,
  blindIndexes,
} from "../../../supabase/functions/_bulwark/encryption/blind_index.ts";
import {
  fromBase64Url,
  toBase64Url,
} from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import {
  CachedDataKeys,
  defaultBounds,
} from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import {
  EncryptionError,
  type EncryptionFault,
} from "../../../supabase/functions/_bulwark/encryption/errors.ts";
import {
  decryptField,
  decryptRecord,
  encryptField,
  encryptRecord,
} from "../../../supabase/functions/_bulwark/encryption/fields.ts";
import type { FieldAddress } from "../../../supabase/functions/_bulwark/encryption/format.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import { memoryStore } from "./memory_store.ts";

const kek = (byte: number) => btoa(String.fromCharCode(...new Uint8Array(32).fill(byte)));
const acme = "11111111-1111-4111-8111-111111111111";
const globex = "22222222-2222-4222-8222-222222222222";
const address: FieldAddress = {
  schema: "public",
  table: "contacts",
  column: "email",
  primaryKey: "7",
  organizationId: acme,
};

function open(store = memoryStore(), keys = `k1:${kek(1)}`, bounds = defaultBounds) {
  return { store, keys: new CachedDataKeys(new KeyRing(keys), store, bounds) };
}

const fails = (promise: Promise<unknown>, fault: EncryptionFault, about?: string) =>
  assert.rejects(
    promise,
    (thrown: unknown) => {
      assert.ok(thrown instanceof EncryptionError, String(thrown));
      assert.equal(thrown.fault, fault, about);
      return true;
    },
    about,
  );

Deno.test("decryptField() gives back what encryptField() was given", async () => {
  const { keys } = open();
  for (const text of ["", "ada@example.com", "\0", "日本語 😀", "\ufeffmark", "x".repeat(65_536)]) {
    for (const organizationId of [acme, null]) {
      const ciphertext = await encryptField(keys, { ...address, organizationId }, text);
      assert.match(ciphertext, /^bw1\.a256gcm\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{110,}$/);
      assert.equal(await decryptField(keys, { ...address, organizationId }, ciphertext), text);
    }
  }
});

Deno.test("a primary key may be any text, and is bound as a whole", async () => {
  const { keys } = open();
  const primaryKeys = ["", "7", "日本 😀", "é".repeat(3000), "a\0b"];
  for (const primaryKey of primaryKeys) {
    const ciphertext = await encryptField(keys, { ...address, primaryKey }, "secret");
    assert.equal(await decryptField(keys, { ...address, primaryKey }, ciphertext), "secret");
    for (const other of primaryKeys.filter((each) => each !== primaryKey)) {
      await fails(decryptField(keys, { ...address, primaryKey: other }, ciphertext), "tampered");
    }
  }
});

Deno.test("text that UTF-8 cannot hold is refused, not replaced", async () => {
  await fails(encryptField(open().keys, address, "a\ud800b"), "invalid_plaintext");
});

Deno.test("a value moved to another place is refused", async () => {
  const { keys } = open();
  const ciphertext = await encryptField(keys, address, "secret");
  const places: [Partial<FieldAddress>, EncryptionFault][] = [
    [{ primaryKey: "8" }, "tampered"],
    [{ column: "phone" }, "tampered"],
    [{ table: "contact" }, "tampered"],
    [{ schema: "private" }, "tampered"],
    [{ organizationId: globex }, "wrong_organization"],
    [{ organizationId: null }, "wrong_organization"],
    // Another place with the same joined text.
    [{ schema: "public.contacts", table: "email", column: "" }, "tampered"],
    [{ table: "contact", column: "semail" }, "tampered"],
    [{ column: "emai", primaryKey: "l7" }, "tampered"],
  ];
  for (const [place, fault] of places) {
    await fails(decryptField(keys, { ...address, ...place }, ciphertext), fault);
  }
});

Deno.test("a value under another key of the same organization is refused", async () => {
  const { keys, store } = open();
  const ciphertext = await encryptField(keys, address, "secret");
  await keys.addVersion(acme, "field", 1, null);
  const other = store.keys.at(-1)!;
  keys.forget();
  const [, , key] = (await encryptField(keys, address, "secret")).split(".");
  assert.equal(other.version, 2);
  await fails(
    decryptField(keys, address, ciphertext.replace(/\.[^.]{22}\./, `.${key}.`)),
    "wrong_key",
  );
});

Deno.test("each way to damage a value is told apart, in the log alone", async () => {
  const { keys } = open();
  const ciphertext = await encryptField(keys, address, "a secret of some length");
  const [head, payload] = [ciphertext.slice(0, 35), ciphertext.slice(35)];
  assert.ok(head.endsWith("."));
  const cases: [string, EncryptionFault][] = [
    ["", "malformed"],
    ["ada@example.com", "malformed"],
    [ciphertext.replace("bw1", "bw2"), "unknown_version"],
    [ciphertext.replace("a256gcm", "a128gcm"), "unknown_algorithm"],
    [head, "truncated"],
    [ciphertext + ".", "malformed"],
    [ciphertext + "=", "malformed"],
    [ciphertext + "\n", "malformed"],
    [" " + ciphertext, "malformed"],
    [head + payload.replace(/.$/, "*"), "malformed"],
    [ciphertext.replace(/\.[^.]{22}\./, `.${"A".repeat(21)}Q.`), "unknown_key"],
    [ciphertext.replace(/\.[^.]{22}\./, `.${"A".repeat(21)}B.`), "malformed"],
  ];
  for (const [text, fault] of cases) await fails(decryptField(keys, address, text), fault, text);
  for (let length = 1; length < payload.length; length++) {
    await fails(decryptField(keys, address, head + payload.slice(0, length)), "truncated");
  }
  for (const more of ["A", "AA", "AAA", "AAAA", payload]) {
    await fails(decryptField(keys, address, ciphertext + more), "extended");
  }
});

Deno.test("no bit of a value can be flipped", async () => {
  const { keys } = open();
  const ciphertext = await encryptField(keys, address, "secret");
  const payload = fromBase64Url(ciphertext.slice(35))!;
  for (let bit = 0; bit < payload.length * 8; bit++) {
    const flipped = payload.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const at = bit >> 3;
    const text = ciphertext.slice(0, 35) + toBase64Url(flipped);
    // The salt determines the key, the number is the nonce, and the length is compared.
    if (at < 57) {
      await fails(decryptField(keys, address, text), "wrong_key", `bit ${bit}`);
    } else if (at >= 61 && at < 66) {
      const fault = flipped[at]! > payload[at]! ? "truncated" : "extended";
      await fails(decryptField(keys, address, text), fault, `bit ${bit}`);
    } else await fails(decryptField(keys, address, text), "tampered", `bit ${bit}`);
  }
});

Deno.test("no error says anything of the text or of a key", async () => {
  const { keys } = open();
  const ciphertext = await encryptField(keys, address, "ada@example.com");
  const told: string[] = [];
  for (const text of [ciphertext + "A", ciphertext.slice(0, -4), "ada@example.com"]) {
    await decryptField(keys, address, text).catch((thrown) => told.push(thrown.stack));
  }
  await decryptField(keys, { ...address, primaryKey: "8" }, ciphertext)
    .catch((thrown) => told.push(thrown.stack));
  assert.equal(told.length, 4);
  for (const text of told) assert.ok(!/ada@example|AQEB/.test(text), text);
});

Deno.test("encryptRecord() encrypts declared texts, keeps null and the rest, all or nothing", async () => {
  const { keys } = open();
  const { column: _, ...row } = address;
  const record = { id: 7, email: "ada@example.com", phone: null, name: "Ada" };
  const encrypted = await encryptRecord(keys, row, ["email", "phone"], record);
  assert.match(encrypted.email, /^bw1\./);
  assert.deepEqual({ ...encrypted, email: "" }, { ...record, email: "" });
  assert.deepEqual(await decryptRecord(keys, row, ["email", "phone"], encrypted), record);
  await assert.rejects(encryptRecord(keys, row, ["id"], record), TypeError);
});

Deno.test("an organization's id in capitals is the same organization", async () => {
  const { keys, store } = open();
  const capitals = acme.replace("1", "a").toUpperCase();
  const organizationId = capitals.toLowerCase();
  const one = await encryptField(keys, { ...address, organizationId: capitals }, "one");
  assert.equal(await decryptField(keys, { ...address, organizationId }, one), "one");
  const two = await encryptField(keys, { ...address, organizationId }, "two");
  assert.equal(await decryptField(keys, { ...address, organizationId: capitals }, two), "two");
  const index = await blindIndex(keys, { ...address, organizationId: capitals }, "one");
  assert.deepEqual(await blindIndexes(keys, { ...address, organizationId }, "one"), [index]);
  keys.forgetOrganization(capitals);
  await encryptField(keys, { ...address, organizationId }, "three");
  assert.deepEqual(new Set(store.keys.map((key) => key.organizationId)), new Set([organizationId]));
});
