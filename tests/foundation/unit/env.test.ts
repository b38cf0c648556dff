import assert from "node:assert/strict";
import {
  readAuditEnv,
  readCacheEnv,
  readMetricsEnv,
  readMfaEnv,
  readTrackingEnv,
} from "../../../supabase/functions/_bulwark/foundation/env.ts";
import { scrub } from "../../../supabase/functions/_bulwark/foundation/tracking/scrub.ts";

const base = {
  SUPABASE_URL: "https://abc.supabase.co/",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_x"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
};
const read = (env: Record<string, string>) => readAuditEnv((name) => env[name]);

Deno.test("readAuditEnv() names the log after the project, and leaves off what is not set", () => {
  assert.deepEqual(read(base), {
    url: "https://abc.supabase.co",
    publishableKey: "sb_publishable_x",
    secretKey: "sb_secret_x",
    schedulerSecret: null,
    signingKeys: null,
    retiredKeys: "",
    origin: "abc.supabase.co/audit",
    sink: null,
    sinkToken: null,
  });
  assert.equal(read({ ...base, BULWARK_AUDIT_ORIGIN: "log.test/a" }).origin, "log.test/a");
  assert.equal(read({ ...base, BULWARK_AUDIT_SIGNING_KEYS: "" }).signingKeys, null);
});

Deno.test("readAuditEnv() names the secret key when it is missing", () => {
  assert.throws(() => read({ ...base, SUPABASE_SECRET_KEYS: "{}" }), /SUPABASE_SECRET_KEYS/);
});

Deno.test("readMfaEnv() knows no pepper where none is set, and refuses one that can be guessed", () => {
  const readMfa = (pepper: string) =>
    readMfaEnv((name) => ({ ...base, BULWARK_MFA_PEPPER: pepper } as Record<string, string>)[name]);
  assert.equal(readMfa("").pepper, null);
  assert.equal(readMfa("x".repeat(32)).pepper, "x".repeat(32));
  assert.throws(() => readMfa("x".repeat(31)), /BULWARK_MFA_PEPPER/);
});

Deno.test("keys that are no JSON are named and never quoted", () => {
  const junk = "sb_secret_abcdefgh";
  for (const keys of [junk, "null", '{"default":5}', `["${junk}"]`]) {
    const read = (name: string) =>
      ({ ...base, SUPABASE_SECRET_KEYS: keys } as typeof base)[name as keyof typeof base];
    for (const reading of [readAuditEnv, readMetricsEnv]) {
      assert.throws(
        () => reading(read),
        (thrown: Error) =>
          thrown.message.includes("SUPABASE_SECRET_KEYS") && !thrown.message.includes("sb_"),
      );
    }
  }
});

Deno.test("readCacheEnv() keeps projects apart that share a Redis", () => {
  const prefix = (env: Record<string, string>) => readCacheEnv((name) => env[name]).cachePrefix;
  assert.equal(prefix({ SUPABASE_URL: "https://abc.supabase.co" }), "bulwark:abc.supabase.co");
  assert.equal(prefix({ SUPABASE_URL: "https://def.supabase.co" }), "bulwark:def.supabase.co");
  assert.equal(prefix({ SUPABASE_URL: "no address" }), "bulwark");
  assert.equal(prefix({ ...base, BULWARK_CACHE_PREFIX: "mine" }), "mine");
});

Deno.test("readTrackingEnv() knows the single keys in a list, and the longest first", () => {
  const env = {
    SENTRY_DSN: "https://k@sentry.test/1",
    BULWARK_ENCRYPTION_KEYS: "k1:passphrase:correct horse battery,k2:c2Vjb25kLWtleQ==",
    DATABASE_URL: "postgres://app:p%40ssword1@localhost/db",
    SHORT_TOKEN: "abcdefgh",
    LONG_TOKEN: "abcdefgh12345678",
  };
  const { secrets } = readTrackingEnv((name) => env[name as keyof typeof env], () => env);
  for (const secret of ["correct horse battery", "c2Vjb25kLWtleQ==", "p@ssword1"]) {
    assert.ok(secrets.includes(secret), secret);
  }
  assert.equal(scrub("it was abcdefgh12345678 here", secrets), "it was [removed] here");
});
