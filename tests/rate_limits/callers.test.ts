/** Every caller is charged, before a body is read: over HTTP. */
import assert from "node:assert/strict";
import { networkOf } from "../../supabase/functions/_bulwark/rate_limits/address.ts";
import { issueKey, tokenOf } from "../api_keys/support.ts";
import { connect, createOrganization, publishableKey, signUp, url } from "../support.ts";

/** All of these come from one address, which the local gateway writes. */
async function ask(
  authorization: string | null,
  path = "rbac",
  init: RequestInit = { method: "POST", body: JSON.stringify({ permissions: [] }) },
) {
  const answer = await fetch(`${url}/functions/v1/bulwark-${path}`, {
    ...init,
    headers: {
      apikey: publishableKey,
      "content-type": "application/json",
      ...init.headers as Record<string, string>,
      ...authorization === null ? {} : { authorization },
    },
  });
  await answer.body?.cancel();
  const left = answer.headers.get("x-ratelimit-remaining");
  return { status: answer.status, left: left === null ? null : Number(left) };
}

/** Sets a rule whose buckets do not refill during a test. */
async function slow(): Promise<void> {
  const sql = connect(1);
  await sql`select bulwark.set_rate_limit('api_default', 60, 864000)`;
  await sql.end();
}
async function usual(): Promise<void> {
  const sql = connect(1);
  await sql`select bulwark.set_rate_limit('api_default', 60, 60)`;
  await sql.end();
}

Deno.test("RATE-E16: the caller who is served is charged, however the token is written", async () => {
  await slow();
  try {
    const { token, client } = await signUp("ada");
    const left = async () => (await ask(`Bearer ${token}`)).left ?? NaN;
    const charged = async (authorization: string) => {
      const before = await left();
      const { status } = await ask(authorization);
      return { status, times: before - await left() - 1 };
    };
    for (
      const served of [`Bearer ${token}`, `bearer ${token}`, `BEARER ${token}`, `Bearer  ${token}`]
    ) assert.deepEqual(await charged(served), { status: 200, times: 1 }, served.slice(0, 9));
    for (
      const refused of [
        `Bearer ${token}=`,
        `Bearer ${token}==`,
        `Bearer ${token}, Bearer ${token}`,
        `Bearer ${token} x`,
        `Bearer ${token}.x`,
        `Basic ${token}`,
        token,
      ]
    ) assert.deepEqual(await charged(refused), { status: 401, times: 0 }, refused.slice(-9));
    const nobody = (await ask(null)).left ?? NaN;
    assert.ok(nobody < 60 - 7, `the address paid for those: ${nobody}`);

    await client.auth.signOut({ scope: "global" });
    const before = (await ask(null)).left ?? NaN;
    // Callers are cached for ten seconds.
    await new Promise((resolve) => setTimeout(resolve, 10_500));
    const { status } = await ask(`Bearer ${token}`);
    const paid = before - ((await ask(null)).left ?? NaN) === 2;
    assert.equal(paid, status !== 200, "a token of a session that ended");
  } finally {
    await usual();
  }
});

Deno.test("RATE-E17: an API key is charged as itself, not as where it comes from", async () => {
  await slow();
  try {
    const owner = await signUp("owner");
    const { api_key } = await issueKey(owner, await createOrganization(owner));
    const token = await tokenOf(api_key);
    const before = (await ask(null)).left ?? NaN;
    const first = await ask(`Bearer ${token}`);
    const second = await ask(`Bearer ${token}`);
    assert.equal(second.left, (first.left ?? NaN) - 1);
    assert.equal((await ask(null)).left, before - 1, "the address paid for itself");
  } finally {
    await usual();
  }
});

Deno.test("RATE-E18: what no route answers is charged like everything else; a preflight is not", async () => {
  await slow();
  try {
    const wrong = `Bearer ${"0123456789abcdef".repeat(4)}`;
    let last = 60;
    for (
      const [path, method, authorization, status] of [
        ["rbac/nothing", "GET", null, 404],
        ["mfa/nothing", "POST", null, 404],
        ["login", "GET", null, 405],
        ["api-keys/token", "DELETE", null, 405],
        ["audit/export", "OPTIONS", null, 405],
        ["audit/checkpoint", "POST", wrong, 401],
        ["encryption/work", "POST", wrong, 401],
        ["webhooks/deliver", "POST", wrong, 401],
        ["metrics", "GET", wrong, 401],
        ["login", "POST", null, 400],
      ] as const
    ) {
      const answer = await ask(authorization, path, { method });
      assert.equal(answer.status, status, `${method} ${path}`);
      assert.ok(answer.left !== null && answer.left < last, `${method} ${path}: ${answer.left}`);
      last = answer.left;
    }
    const preflight = await ask(null, "rbac", {
      method: "OPTIONS",
      headers: { "access-control-request-method": "POST" },
    });
    assert.deepEqual(preflight, { status: 204, left: null });
  } finally {
    await usual();
  }
});

Deno.test("RATE-E19: a caller with nothing left is refused before a body is read", async () => {
  await slow();
  try {
    const { token } = await signUp("ada");
    assert.equal((await ask(`Bearer ${token}`, "login")).status, 400, "who is known there");
    const nothing = () => ask(null, "rbac/nothing", { method: "GET" });
    for (let left = 100; (await nothing()).status !== 429; left--) assert.ok(left > 0);
    // Reading this body would be refused with 413.
    const init = { method: "POST", body: "{".repeat(1024 * 1024 + 1) };
    for (
      const path of [
        "login",
        "rbac",
        "mfa/verify",
        "encryption/work",
        "webhooks/endpoints",
        "webhooks/deliver",
        "audit/checkpoint",
        "api-keys/report",
        "rbac/nothing",
      ]
    ) assert.equal((await ask(null, path, init)).status, 429, path);
    const known = await ask(`Bearer ${token}`, "login", init);
    assert.equal(known.status, 413, "and has something left");
  } finally {
    await usual();
  }
});

Deno.test("RATE-S11: an address is the same network in the database and in functions", async () => {
  const addresses = [
    "203.0.113.1",
    "203.0.113.1:443",
    "0.0.0.0",
    "255.255.255.255",
    "256.0.0.1",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    " 203.0.113.1 ",
    "2001:db8::1",
    "2001:DB8:0:1::1",
    "2001:db8:1:2:3:4:5:6",
    "[2001:db8::1]:443",
    "[2001:db8::1]",
    "::",
    "::1",
    "::ffff:203.0.113.1",
    "::ffff:cb00:7101",
    "64:ff9b::203.0.113.1",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    ":::",
    "12345::",
    "g::1",
    "",
    "junk",
    "203.0.113.1, 203.0.113.2",
    "x".repeat(10_240),
    "2001:db8::1/64",
  ];
  const sql = connect(1);
  const rows = await sql`
    select bulwark_private.client_network(a) as network
    from unnest(${addresses}::text[]) with ordinality as t (a, n) order by n
  `;
  await sql.end();
  assert.deepEqual(
    addresses.map((address) => [address.slice(0, 40), networkOf(address)]),
    addresses.map((address, index) => [address.slice(0, 40), rows[index]?.network ?? null]),
  );
});
