import assert from "node:assert/strict";
import { readServiceEnv } from "../../../supabase/functions/_bulwark/foundation/env.ts";
import { readMetricsEnv } from "../../../supabase/functions/_bulwark/metrics/env.ts";

const base = {
  SUPABASE_URL: "https://abc.supabase.co/",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_x"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
};

Deno.test("keys that are no JSON are named and never quoted", () => {
  const junk = "sb_secret_abcdefgh";
  for (const keys of [junk, "null", '{"default":5}', `["${junk}"]`]) {
    const read = (name: string) =>
      ({ ...base, SUPABASE_SECRET_KEYS: keys } as typeof base)[name as keyof typeof base];
    for (const reading of [readServiceEnv, readMetricsEnv]) {
      assert.throws(
        () => reading(read),
        (thrown: Error) =>
          thrown.message.includes("SUPABASE_SECRET_KEYS") && !thrown.message.includes("sb_"),
      );
    }
  }
});

Deno.test("an empty new key leaves the legacy one, a malformed list does not", () => {
  const legacy = { SUPABASE_ANON_KEY: "anon", SUPABASE_SERVICE_ROLE_KEY: "service" };
  const reading = (keys: string) => {
    const env: Record<string, string> = {
      ...{ SUPABASE_URL: base.SUPABASE_URL, ...legacy },
      ...{ SUPABASE_PUBLISHABLE_KEYS: keys, SUPABASE_SECRET_KEYS: keys },
    };
    return readServiceEnv((name) => env[name]);
  };
  const { publishableKey, secretKey } = reading('{"default":""}');
  assert.deepEqual([publishableKey, secretKey], ["anon", "service"]);
  assert.throws(() => reading("{}"), /holds a key/);
});
