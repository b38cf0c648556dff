/** Function `bulwark-rbac` over HTTP, with real tokens and with forged ones. */
import assert from "node:assert/strict";
import { callFunction, createOrganization, signUp } from "../support.ts";

async function ask(token: string | null, body: unknown): Promise<Response> {
  return await callFunction("rbac", { token, body });
}

Deno.test("RBAC-F01: a batch is answered for the bearer of the token", async () => {
  const admin = await signUp("admin");
  const organization_id = await createOrganization(admin);
  const permissions = ["audit:read", "system:admin"];
  const answer = await ask(admin.token, { permissions, organization_id });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("x-correlation-id") ?? "", /^[\w-]{36}$/);
  assert.deepEqual(await answer.json(), {
    allowed: { "audit:read": true, "system:admin": false },
  });
  const stranger = await signUp("stranger");
  const foreign = await ask(stranger.token, { permissions, organization_id });
  assert.deepEqual(await foreign.json(), {
    allowed: { "audit:read": false, "system:admin": false },
  });
});

Deno.test("RBAC-F02: a reverse proxy gets 204, 403 or 401", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  const forward = async (permission: string, token?: string) => {
    const query = new URLSearchParams({ permission, organization_id: organization });
    const answer = await callFunction(`rbac?${query}`, { token });
    await answer.body?.cancel();
    return answer.status;
  };
  assert.equal(await forward("audit:read", admin.token), 204);
  assert.equal(await forward("system:admin", admin.token), 403);
  assert.equal(await forward("audit:read"), 401);
  assert.equal(await forward("audit:raed", admin.token), 400);
  assert.equal(await forward("org:read&permission=system:admin", admin.token), 400);
  const twice = await callFunction(
    `rbac?permission=system:admin&permission=org:read&organization_id=${organization}`,
    { token: admin.token },
  );
  assert.equal(twice.status, 400, "a parameter that comes twice is refused");
  await twice.body?.cancel();
});

Deno.test("RBAC-F03: a forged, an unsigned or an altered token is 401", async () => {
  const admin = await signUp("admin");
  const [head = "", payload = "", signature = ""] = admin.token.split(".");
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  const encode = (value: unknown) =>
    btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const forgeries = {
    altered: `${head}.${encode({ ...claims, role: "service_role" })}.${signature}`,
    unsigned: `${encode({ alg: "none", typ: "JWT" })}.${payload}.`,
    expired: `${head}.${encode({ ...claims, exp: 1 })}.${signature}`,
    nonsense: "not.a.token",
  };
  for (const [name, token] of Object.entries(forgeries)) {
    const answer = await ask(token, { permissions: ["audit:read"] });
    assert.equal(answer.status, 401, name);
    assert.equal((await answer.json()).code, "UNAUTHORIZED", name);
  }
});

Deno.test("RBAC-F04: bad input is a clear error and never a stack trace", async () => {
  const { token } = await signUp("anybody");
  const cases: [unknown, number, string][] = [
    ["{", 400, "INVALID_JSON"],
    ["[]", 400, "INVALID_INPUT"],
    [{ permissions: "audit:read" }, 400, "INVALID_INPUT"],
    [{ permissions: ["audit:read"], organization_id: "acme" }, 400, "INVALID_INPUT"],
    [{ permissions: ["audit:read"], surplus: 1 }, 400, "INVALID_INPUT"],
    [{ permissions: Array(101).fill("audit:read") }, 400, "INVALID_INPUT"],
    [{ permissions: ["audit:raed"] }, 400, "RBAC_UNKNOWN_PERMISSION"],
    [`"${"x".repeat(1024 * 1024)}"`, 413, "BODY_TOO_LARGE"],
  ];
  for (const [body, status, code] of cases) {
    const answer = await ask(token, body);
    const text = await answer.text();
    assert.equal(answer.status, status, text);
    assert.equal(JSON.parse(text).code, code);
    assert.ok(!/\bat \w+.*:\d+:\d+/.test(text), "no stack trace");
  }
  const wrong = await callFunction("rbac", { method: "DELETE" });
  assert.equal(wrong.status, 405);
  await wrong.body?.cancel();
});
