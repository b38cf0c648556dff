import assert from "node:assert/strict";
import { withTimeout } from "../../../supabase/functions/_bulwark/foundation/timeout.ts";

const never = new Promise<string>(() => {});

Deno.test("withTimeout() gives what comes in time, its errors too, and leaves no timer", async () => {
  const options = { timeoutMs: 60_000, fallback: () => "fallback" };
  assert.equal(await withTimeout(Promise.resolve("in time"), options), "in time");
  await assert.rejects(withTimeout(Promise.reject(new Error("refused")), options), /refused/);
});

Deno.test("withTimeout() gives the fallback when the time is up, and an error where there is none", async () => {
  assert.equal(await withTimeout(never, { timeoutMs: 1, fallback: () => "fallback" }), "fallback");
  await assert.rejects(withTimeout(never, { timeoutMs: 1 }), /^Error: no answer within 1 ms$/);
  const fallback = () => {
    throw new TypeError("too late");
  };
  await assert.rejects(withTimeout(never, { timeoutMs: -1, fallback }), /^TypeError: too late$/);
});

Deno.test("withTimeout() ends at the signal, also at one that was given before", async () => {
  const cut = new AbortController();
  const options = { timeoutMs: 60_000, fallback: () => "fallback", signal: cut.signal };
  const before = withTimeout(never, options);
  cut.abort();
  assert.equal(await before, "fallback");
  assert.equal(await withTimeout(never, options), "fallback");
});
