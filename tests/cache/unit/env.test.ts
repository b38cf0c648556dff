import assert from "node:assert/strict";
import { readCacheEnv } from "../../../supabase/functions/_bulwark/cache/env.ts";

Deno.test("readCacheEnv() keeps projects apart that share a Redis", () => {
  const prefix = (env: Record<string, string>) => readCacheEnv((name) => env[name]).cachePrefix;
  assert.equal(prefix({ SUPABASE_URL: "https://abc.supabase.co" }), "bulwark:abc.supabase.co");
  assert.equal(prefix({ SUPABASE_URL: "https://def.supabase.co" }), "bulwark:def.supabase.co");
  assert.equal(prefix({ SUPABASE_URL: "no address" }), "bulwark");
  assert.equal(prefix({ BULWARK_CACHE_PREFIX: "mine" }), "mine");
});
