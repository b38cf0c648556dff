import assert from "node:assert/strict";
import type { Limit } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";
import { forScheduler } from "../../../supabase/functions/_bulwark/foundation/scheduler.ts";

Deno.test("forScheduler() passes the scheduler, and charges everybody else before it refuses", async () => {
  const secret = "0123456789abcdef0123456789abcdef";
  const charged: string[] = [];
  const limit: Limit = (rule, handler) => (request) => {
    charged.push(String(rule));
    return handler(request, { rule: null, caller: null });
  };
  const ask = (authorization: string, expected: string | null = secret) =>
    forScheduler(limit, expected, () => Promise.resolve(new Response("done")))(
      new Request("http://localhost/audit", { headers: { authorization } }),
    );
  assert.equal((await ask(`Bearer ${secret}`)).status, 200);
  assert.deepEqual(charged, []);
  for (const wrong of ["", `Bearer ${secret.slice(1)}`, `Bearer ${secret.toUpperCase()}`]) {
    await assert.rejects(async () => await ask(wrong), { code: "UNAUTHORIZED", status: 401 });
  }
  await assert.rejects(async () => await ask("Bearer ", null), { code: "UNAUTHORIZED" });
  assert.deepEqual(charged, Array(4).fill("api_default"));
});
