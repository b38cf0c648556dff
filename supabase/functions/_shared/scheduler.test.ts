import assert from "node:assert/strict";
import { requireScheduler } from "./scheduler.ts";

const secret = "0123456789abcdef0123456789abcdef";
const ask = (authorization: string | null, expected: string | null = secret) =>
  requireScheduler(
    new Request("http://localhost/audit", authorization ? { headers: { authorization } } : {}),
    expected,
  );

Deno.test("requireScheduler() passes the secret and nothing near it", () => {
  ask(`Bearer ${secret}`);
  for (const wrong of [null, "", "Bearer", "Bearer ", secret, `Basic ${secret}`]) {
    assert.throws(() => ask(wrong), { code: "UNAUTHORIZED", status: 401 });
  }
  for (const wrong of [secret.slice(1), `${secret}0`, secret.toUpperCase()]) {
    assert.throws(() => ask(`Bearer ${wrong}`), { code: "UNAUTHORIZED" });
  }
});

Deno.test("requireScheduler() passes nobody where the secret is missing or short", () => {
  assert.throws(() => ask("Bearer ", null), { code: "UNAUTHORIZED" });
  assert.throws(() => ask("Bearer ", ""), { code: "UNAUTHORIZED" });
  assert.throws(() => ask("Bearer short", "short"), { code: "UNAUTHORIZED" });
});
