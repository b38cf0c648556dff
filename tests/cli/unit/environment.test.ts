import assert from "node:assert/strict";
import { extendEnv, reduceEnv, variablesFor } from "../../../cli/environment.ts";

const wanted = variablesFor(["foundation", "audit", "mfa"]);
const names = wanted.map(({ name }) => name);

Deno.test("extendEnv() generates what is missing, different each time, and reduceEnv() undoes it", () => {
  const before = "# Mine\nAPI_KEY=1\n";
  const first = extendEnv(before, wanted);
  assert.deepEqual(first.added, names);
  assert.ok(first.text.startsWith(before));
  assert.notEqual(first.text, extendEnv(before, wanted).text);
  assert.deepEqual(extendEnv(first.text, wanted), { text: first.text, added: [] });
  assert.equal(reduceEnv(first.text, names), before);
  assert.equal(reduceEnv(extendEnv(null, wanted).text, names), "");
});

Deno.test("extendEnv() never overwrites a value, also an empty or exported one", () => {
  const before = "export BULWARK_MFA_PEPPER=mine\nBULWARK_SCHEDULER_SECRET=\n";
  const { text, added } = extendEnv(before, wanted);
  assert.ok(text.startsWith(before));
  assert.deepEqual(added, ["BULWARK_AUDIT_SIGNING_KEYS", "BULWARK_ENCRYPTION_KEYS"]);
});

Deno.test("secrets have 256 bits, and keys the form that functions read", () => {
  const { text } = extendEnv(null, wanted);
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? "";
  assert.equal(atob(value("BULWARK_AUDIT_SIGNING_KEYS")).length, 32);
  const [id = "", key = ""] = value("BULWARK_ENCRYPTION_KEYS").split(":");
  assert.match(id, /^local-[0-9a-f]{8}$/);
  assert.equal(atob(key).length, 32);
  assert.ok(value("BULWARK_MFA_PEPPER").length >= 43);
});
