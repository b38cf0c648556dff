/**
 * Measures one row of `npm run bench -- encryption` in a process of its own, so that the Deno of the
 * hosted edge runtime is measured as well. Ours and the peers take turns.
 */
import { decryptString, encryptString, generateKey, parseKey } from "@47ng/cloak";
import { CachedDataKeys } from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import { KeyRing } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";
import {
  decryptField,
  encryptField,
  randomToken,
} from "../../../supabase/functions/_bulwark/encryption/mod.ts";
import {
  fromBase64Url,
  toBase64Url,
} from "../../../supabase/functions/_bulwark/foundation/bytes.ts";
import { memoryStore } from "../../../tests/encryption/unit/memory_store.ts";
import { perSecond } from "../harness.ts";
import type { FieldsTask } from "./task.ts";

const { direction, size, inBatches }: FieldsTask = JSON.parse(Deno.args[0]!);
const count = size > 10_000 ? 20 : 100;
const text = randomToken(size).slice(0, size);
const places = Array.from({ length: count }, () => ({
  schema: "public",
  table: "contacts",
  column: "email",
  primaryKey: crypto.randomUUID(),
  organizationId: "11111111-1111-4111-8111-111111111111",
}));

const keys = new CachedDataKeys(new KeyRing(`bench:${randomToken(32)}`), memoryStore());
const raw = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
  "encrypt",
  "decrypt",
]);
const cloak = await parseKey(generateKey());
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const encrypt = [
  (row: number) => encryptField(keys, places[row]!, text),
  async () => {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, raw, encoder.encode(text));
    return toBase64Url(iv) + toBase64Url(new Uint8Array(sealed));
  },
  () => encryptString(text, cloak),
];
// As many different values for each, as pieces of one string, which a database driver returns.
const values = await Promise.all(encrypt.map(async (make) => {
  const made = await Promise.all(places.map((_, row) => make(row)));
  return JSON.parse(JSON.stringify(made)) as string[];
}));
const [ours, plain, cloaked] = values as [string[], string[], string[]];
const decrypt = [
  (row: number) => decryptField(keys, places[row]!, ours[row]!),
  async (row: number) => {
    const iv = fromBase64Url(plain[row]!.slice(0, 16))!;
    const sealed = fromBase64Url(plain[row]!.slice(16))!;
    return decoder.decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, raw, sealed));
  },
  (row: number) => decryptString(cloaked[row]!, cloak),
];

const tasks = direction === "encrypt" ? encrypt : decrypt;
const batch = async (task: (row: number) => Promise<unknown>) => {
  if (inBatches) await Promise.all(places.map((_, row) => task(row)));
  else for (let row = 0; row < count; row++) await task(row);
};
for (const task of tasks) await perSecond(() => batch(task), 400);
const rates = tasks.map(() => 0);
for (let round = 0; round < 60; round++) {
  for (const [index, task] of tasks.entries()) {
    // The best turn: one with another program on the processor, or with the garbage of the turn
    // before, says nothing about the code.
    rates[index] = Math.max(rates[index]!, await perSecond(() => batch(task), 8) * count);
  }
}
console.log(JSON.stringify(rates));
