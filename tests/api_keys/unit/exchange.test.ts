import assert from "node:assert/strict";
import { BulwarkError } from "../../../supabase/functions/_bulwark/foundation/errors.ts";
import type { Decision } from "../../../supabase/functions/_bulwark/rate_limits/decision.ts";
import { exchangeKey } from "../../../supabase/functions/_bulwark/api_keys/exchange.ts";
import type { KeyInForce } from "../../../supabase/functions/_bulwark/api_keys/verification.ts";

const now = Date.UTC(2026, 0, 1);
const decision: Decision = {
  allowed: true,
  reason: null,
  rule: "api_default",
  capacity: 60,
  windowSeconds: 60,
  remaining: 59,
  resetSeconds: 1,
  retryAfterSeconds: null,
  whenStoreFails: "closed",
};

/**
 * The exchange's answer for a key with this many milliseconds left; null: for a key not in force.
 */
async function exchange(left: number | null, more: Partial<Decision> = {}) {
  const key: KeyInForce | null = left === null
    ? null
    : { apiKeyId: "key", organizationId: "organization", expiresAt: now + left };
  const signed: Record<string, unknown>[] = [];
  const parts = {
    verify: (apiKey: string) =>
      Promise.resolve(
        apiKey === "secret"
          ? { key, decision: { ...decision, ...more } }
          : { key: null, decision: { ...decision, rule: "of the address" } },
      ),
    sign: (claims: Record<string, unknown>) => {
      signed.push(claims);
      return Promise.resolve("token");
    },
    issuer: "issuer",
    now: () => now,
  };
  try {
    const request = { apiKey: "secret", address: null, correlationId: "correlation" };
    const answer = await exchangeKey(parts, request);
    return { status: answer.status, body: await answer.json(), signed };
  } catch (thrown) {
    if (!(thrown instanceof BulwarkError)) throw thrown;
    const rule = thrown.headers["RateLimit"]?.split(";")[0];
    return { status: thrown.status, body: { code: thrown.code }, signed, rule };
  }
}

Deno.test("exchangeKey() makes a token of five minutes that names the key and no user", async () => {
  const { status, body, signed } = await exchange(86_400_000);
  assert.equal(status, 200);
  assert.deepEqual(body, { access_token: "token", token_type: "bearer", expires_in: 300 });
  const iat = now / 1000;
  assert.deepEqual(signed, [{
    iss: "issuer",
    role: "api_key",
    api_key_id: "key",
    organization_id: "organization",
    iat,
    exp: iat + 300,
  }]);
});

Deno.test("exchangeKey() makes no token that outlives its key", async () => {
  assert.equal((await exchange(7_900)).body.expires_in, 7);
  for (const left of [999, 0, -5_000, null]) {
    const { status, body, signed } = await exchange(left);
    assert.deepEqual([status, body, signed], [401, { code: "API_KEY_INVALID" }, []]);
  }
});

Deno.test("exchangeKey() shows no limit of a key that has just ended", async () => {
  for (const left of [999, 0, -5_000]) {
    const { status, rule } = await exchange(left, { rule: "api_strict" });
    assert.deepEqual([status, rule], [401, '"of the address"']);
  }
});

Deno.test("exchangeKey() refuses what is too much before it tells whether there is such a key", async () => {
  const refused = { allowed: false, reason: "rate", retryAfterSeconds: 5 } as const;
  for (const left of [86_400_000, null]) {
    const { status, signed } = await exchange(left, refused);
    assert.deepEqual([status, signed], [429, []]);
  }
});
