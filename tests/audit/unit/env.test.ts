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
    abandoned: 0,
    origin: "abc.supabase.co/audit",
    sink: null,
    sinkToken: null,
    archive: null,
  });
  assert.equal(read({ ...base, BULWARK_AUDIT_ORIGIN: "log.test/a" }).origin, "log.test/a");
  assert.equal(read({ ...base, BULWARK_AUDIT_SIGNING_KEYS: "" }).signingKeys, null);
  assert.equal(read(base).abandoned, 0);
  assert.equal(read({ ...base, BULWARK_AUDIT_ABANDONED: "120" }).abandoned, 120);
  for (const size of ["0", "-1", "1.5", "all"]) {
    assert.throws(
      () => read({ ...base, BULWARK_AUDIT_ABANDONED: size }),
      /BULWARK_AUDIT_ABANDONED/,
    );
  }
});

Deno.test("readAuditEnv() names the secret key when it is missing", () => {
  assert.throws(() => read({ ...base, SUPABASE_SECRET_KEYS: "{}" }), /SUPABASE_SECRET_KEYS/);
});
