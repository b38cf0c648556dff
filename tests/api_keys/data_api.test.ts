/** A key in the header x-api-key, sent to the local Data API by supabase-js. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { issueKey, type ReportsClient } from "./support.ts";
import {
  connect,
  createOrganization,
  installHook,
  ok,
  publishableKey,
  signUp,
  url,
} from "../support.ts";

/** A client that sends a key with each request, and other headers. */
function headerClient(apiKey: string, more: Record<string, string> = {}): ReportsClient {
  return createClient(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { "x-api-key": apiKey, ...more } },
  });
}

async function prepare() {
  await installHook();
  const owner = await signUp("owner");
  const [acme, globex] = [await createOrganization(owner), await createOrganization(owner)];
  const key = await issueKey(owner, acme);
  return { owner, acme, globex, key, script: headerClient(key.api_key) };
}

const read = (client: ReportsClient) => client.from("reports").select("title").order("id");
const write = (client: ReportsClient, organization_id: string, title: string) =>
  client.from("reports").insert({ organization_id, title });

Deno.test("KEY-H01: supabase-js reads and writes with a key in a header, under row-level security", async () => {
  const { owner, acme, globex, key, script } = await prepare();
  assert.equal(
    (await write(owner.client.schema("public" as never) as unknown as ReportsClient, globex, "x"))
      .error,
    null,
  );
  assert.equal((await write(script, acme, "by header")).status, 201);
  assert.deepEqual(ok(await read(script)), [{ title: "by header" }], "its organization's alone");
  assert.equal((await write(script, globex, "no")).error?.code, "42501");
  const [entry] = ok(
    await owner.client.from("audit_logs").select("actor_type, actor_id")
      .eq("resource_type", "public.reports").contains("after", { title: "by header" }),
  );
  assert.deepEqual(entry, { actor_type: "api_key", actor_id: key.id });
});

Deno.test("KEY-H02: beyond its scope, and for administration, it is refused", async () => {
  const { owner, acme } = await prepare();
  const { api_key } = await issueKey(owner, acme, ["analytics:read"]);
  const reader = headerClient(api_key);
  assert.equal((await read(reader)).status, 200);
  assert.equal((await write(reader, acme, "no")).error?.code, "42501");
  for (
    const { error } of [
      await reader.schema("bulwark").rpc("create_api_key", {
        organization_id: acme,
        name: "x",
        scopes: ["audit:read"],
      }),
      await reader.schema("bulwark").rpc("grant_role", {
        user_id: owner.id,
        role: "admin",
        organization_id: acme,
      }),
      await reader.schema("bulwark").rpc("has_permission", {
        permission: "audit:read",
        organization_id: acme,
      }),
    ]
  ) assert.equal(error?.code, "42501");
});

Deno.test("KEY-H03: every kind of key that is not in force gets the same 401, reads included", async () => {
  const { owner, acme, key } = await prepare();
  const [revoked, elsewhere] = [
    await issueKey(owner, acme),
    await issueKey(owner, acme, ["analytics:read"], { networks: ["203.0.113.0/24"] }),
  ];
  ok(await owner.client.rpc("revoke_api_key", { key_id: revoked.id, because: "a test" }));
  const expired = await issueKey(owner, acme);
  const sql = connect(1);
  await sql`alter table bulwark.api_keys disable trigger user`;
  await sql`
    update bulwark.api_keys
    set expires_at = now() - interval '1 second', created_at = now() - interval '1 day'
    where id = ${expired.id}
  `;
  await sql`alter table bulwark.api_keys enable trigger user`;
  await sql.end();
  const bodies = new Set<string>();
  for (
    const wrong of [
      revoked.api_key,
      elsewhere.api_key,
      expired.api_key,
      `${key.api_key.slice(0, -1)}_`,
      "",
      "x".repeat(8000),
    ]
  ) {
    const client = headerClient(wrong);
    for (const { status, error } of [await read(client), await write(client, acme, "no")]) {
      assert.equal(status, 401);
      bodies.add(JSON.stringify(error));
    }
  }
  assert.equal(bodies.size, 1);
});

Deno.test("KEY-H04: a key beside somebody's token is that somebody's request", async () => {
  const { owner, acme, key } = await prepare();
  const stranger = await signUp("stranger");
  ok(await owner.client.rpc("has_permission", { permission: "audit:read", organization_id: acme }));
  const mixed = headerClient(key.api_key, { authorization: `Bearer ${stranger.token}` });
  assert.deepEqual(ok(await read(mixed)), [], "the stranger reads what the stranger may");
  assert.equal((await write(mixed, acme, "no")).error?.code, "42501");
});

Deno.test("KEY-H05: revoked, the very next request is refused", async () => {
  const { owner, acme, key, script } = await prepare();
  assert.equal((await write(script, acme, "before")).status, 201);
  ok(await owner.client.rpc("revoke_api_key", { key_id: key.id, because: "a test" }));
  const { status, error } = await read(script);
  assert.deepEqual([status, error?.details], [401, "API_KEY_INVALID"]);
});
