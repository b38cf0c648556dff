import assert from "node:assert/strict";
import { readMfaEnv } from "../../../supabase/functions/_bulwark/mfa/env.ts";

const base = {
  SUPABASE_URL: "https://abc.supabase.co/",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_x"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
};

Deno.test("readMfaEnv() knows no pepper where none is set, and refuses one that can be guessed", () => {
  const readMfa = (pepper: string) =>
    readMfaEnv((name) => ({ ...base, BULWARK_MFA_PEPPER: pepper } as Record<string, string>)[name]);
  assert.equal(readMfa("").pepper, null);
  assert.equal(readMfa("x".repeat(32)).pepper, "x".repeat(32));
  assert.throws(() => readMfa("x".repeat(31)), /BULWARK_MFA_PEPPER/);
});
