/** Every function over HTTP with input that no honest client sends: never a fault of ours. */
import assert from "node:assert/strict";
import { addContacts, makeContacts } from "../encryption/support.ts";
import { callFunction, liftLimits, type Person, signUp } from "../support.ts";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Replacements for a text. */
const texts = [
  "a\u0000b",
  "\u0000",
  "\ud800",
  "\ufffe\u202e",
  "",
  " ",
  "null",
  "'; drop table x; --",
  'a,"b\\',
  "(a)",
  "*",
  "a\r\nb: c",
  "99999999999999999999",
  "1e999",
  "infinity",
  "{}",
  "ä".repeat(5000),
];
/** Replacements for anything else. */
const others: Json[] = [null, true, -1, 0, 1.5, 1e308, 2 ** 53, -(2 ** 63), [], {}, [[]], "text"];

/** A value with one part of it replaced, for each part and replacement; also with a part added. */
function* variants(value: Json): Generator<Json> {
  for (const other of [...typeof value === "string" ? texts : [], ...others]) yield other;
  if (Array.isArray(value)) {
    yield Array(2000).fill(value[0] ?? "a");
    for (const variant of variants(value[0] ?? "a")) yield [variant, ...value.slice(1)];
  } else if (typeof value === "object" && value !== null) {
    yield { ...value, more: "a" };
    yield { ...value, "a\u0000": "a" };
    yield JSON.parse(JSON.stringify(value).replace("{", '{"__proto__":{"a":1},'));
    for (const [name, part] of Object.entries(value)) {
      const { [name]: _, ...rest } = value;
      yield rest;
      for (const variant of variants(part)) yield { ...rest, [name]: variant };
    }
  }
}

/** The status of an answer, whose body is always one of ours. */
async function ask(method: string, path: string, token: string, body?: string): Promise<number> {
  const answer = await callFunction(path, { token, method, body });
  const text = await answer.text();
  if (answer.status >= 400) assert.match(text, /^\{"code":"[A-Z_]+","message":"Cannot /, text);
  return answer.status;
}

/** Asks with all of them, a few at a time, and returns those that were a fault of ours. */
async function faults(asks: [string, () => Promise<number>][]): Promise<string[]> {
  const found: string[] = [];
  const left = asks.entries();
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (const [, [name, run]] of left) {
      const status = await run();
      if (status >= 500 || status === 429) found.push(`${status} ${name}`);
    }
  }));
  return found;
}

async function bodiesOf(admin: Person, organization: string, contact: string) {
  const other = await signUp("other");
  const id = crypto.randomUUID();
  const fields = { email: "x@example.com" };
  const contacts = { table: "contacts", organization_id: organization };
  return Object.entries<Json>({
    "rbac": { permissions: ["audit:read"], organization_id: organization },
    "login": { email: admin.email, password: "wrong" },
    "encryption/encrypt": { ...contacts, rows: [{ primary_key: id, fields }] },
    "encryption/decrypt": { table: "contacts", columns: ["email"], primary_keys: [contact] },
    "encryption/find": { ...contacts, column: "email", value: "x@example.com", cursor: null },
    "encryption/rotate": { organization_id: crypto.randomUUID(), purpose: "field" },
    "mfa/enroll": { name: "Phone" },
    "mfa/activate": { code: "123456" },
    "mfa/verify": { code: "123456" },
    "mfa/verify-backup-code": { code: "abcd" },
    "mfa/disable": { factor_id: id },
    "mfa/devices": { name: "Laptop" },
    "mfa/devices/present": { token: "abcd" },
    "mfa/devices/revoke": { device_id: id },
    "mfa/resets": { user_id: other.id, organization_id: organization, reason: "lost it" },
    "mfa/resets/approve": { reset_id: id },
    "webhooks/endpoints": {
      organization_id: organization,
      name: "Endpoint",
      url: "https://example.com/hook",
      format: "json",
      ordering: "none",
      every_organization: false,
      subscriptions: [{ pattern: "data.*", minimum_severity: "info" }],
    },
    [`webhooks/endpoints/${id}/rotate`]: { overlap_seconds: 60 },
    "api-keys/report": [{ token: "bwk_live_x", type: "bulwark", url: "https://example.com" }],
  });
}

Deno.test("HTTP-20: no body of any function is answered with a fault of ours", async () => {
  await liftLimits();
  const acme = await makeContacts();
  const [contact] = await addContacts(acme, ["ada@example.com"]);
  const { admin, organization } = acme;
  const asks: [string, () => Promise<number>][] = [];
  for (const [path, body] of await bodiesOf(admin, organization, contact!)) {
    const broken = ["", "{", "[]", "null", '"a"', "\ufeff{}", '{"a":1e9999}', '{"a":"\\ud800"}'];
    const all = [...broken, ...[...variants(body)].map((variant) => JSON.stringify(variant))];
    for (const text of all) {
      asks.push([`${path} ${text.slice(0, 200)}`, () => ask("POST", path, admin.token, text)]);
    }
  }
  assert.ok(asks.length > 1000);
  assert.deepEqual(await faults(asks), []);
});

Deno.test("HTTP-21: no query and no path of any function is answered with a fault of ours", async () => {
  const acme = await makeContacts();
  const { admin, organization } = acme;
  const paths: Record<string, Record<string, string>> = {
    "rbac": { permission: "audit:read", organization_id: organization },
    "audit/proof": { id: crypto.randomUUID() },
    "audit/proof/consistency": { from: "1", to: "2" },
    "audit/export": { format: "csv", organization_id: organization, cursor: "0:0", limit: "1" },
    "audit/checkpoint": {},
    "mfa": {},
  };
  const asks: [string, () => Promise<number>][] = [];
  for (const [path, query] of Object.entries(paths)) {
    for (const name of [...Object.keys(query), "more"]) {
      for (const text of [...texts.filter((text) => text.length < 5000), "1:1:1", "-1", "01"]) {
        const asked = `${path}?${new URLSearchParams({ ...query, [name]: text })}`;
        asks.push([asked, () => ask("GET", asked, admin.token)]);
      }
    }
    for (const end of ["/%00", "/%", "/%ff", "//", "/..%2f", `/${"a".repeat(3000)}`]) {
      asks.push([path + end, () => ask("GET", path + end, admin.token)]);
    }
  }
  assert.ok(asks.length > 200);
  assert.deepEqual(await faults(asks), []);
});
