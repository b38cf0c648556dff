import assert from "node:assert/strict";
import { readAuditEnv } from "../../../supabase/functions/_bulwark/audit/env.ts";

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
    archive: null,
  });
  assert.equal(read({ ...base, BULWARK_AUDIT_ORIGIN: "log.test/a" }).origin, "log.test/a");
  assert.equal(read({ ...base, BULWARK_AUDIT_SIGNING_KEYS: "" }).signingKeys, null);
});

Deno.test("readAuditEnv() names the secret key when it is missing", () => {
  assert.throws(() => read({ ...base, SUPABASE_SECRET_KEYS: "{}" }), /SUPABASE_SECRET_KEYS/);
});
