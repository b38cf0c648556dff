import assert from "node:assert/strict";
import { readTrackingEnv } from "../../../../supabase/functions/_bulwark/foundation/tracking/env.ts";
import { scrub } from "../../../../supabase/functions/_bulwark/foundation/tracking/scrub.ts";

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
