import assert from "node:assert/strict";
import { handle } from "../../../supabase/functions/_bulwark/foundation/http.ts";
import type { Limit } from "../../../supabase/functions/_bulwark/rate_limits/mod.ts";
import { router } from "../../../supabase/functions/_bulwark/foundation/router.ts";

Deno.test("router() limits what has no route, and says which methods there are", async () => {
  const charged: string[] = [];
  const limit: Limit = (rule, handler) => (request) => {
    charged.push(String(rule));
    return handler(request, { rule: null, caller: null });
  };
  const fine = () => Promise.resolve(new Response("fine"));
  const handler = handle(router(limit, { "GET /x": fine, "POST /x": fine, "PUT /x/<id>": fine }));
  const ask = (method: string, path: string) =>
    handler(new Request(`http://localhost${path}`, { method }));
  assert.equal((await ask("GET", "/x//")).status, 200);
  assert.equal((await ask("PUT", `/x/${crypto.randomUUID()}`)).status, 200);
  assert.deepEqual(charged, [], "a route charges as it says itself");
  const refused = await ask("DELETE", "/x");
  assert.deepEqual([refused.status, refused.headers.get("allow")], [405, "GET, POST, HEAD"]);
  for (const [method, path] of [["GET", "/y"], ["OPTIONS", "/y"], ["GET", "/"]] as const) {
    assert.equal((await ask(method, path)).status, 404);
  }
  assert.deepEqual(charged, Array(4).fill("api_default"));
});
