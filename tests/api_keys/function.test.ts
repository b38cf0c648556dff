/** API keys over HTTP: the exchange, supabase-js with a key under RLS, and revocation. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, sign } from "node:crypto";
import { isApiKey } from "../../supabase/functions/_bulwark/api_keys/format.ts";
import {
  exchange,
  issueKey,
  keyClient,
  type ReportsClient,
  tokenClient,
  tokenOf,
} from "./support.ts";
import {
  connect,
  createOrganization,
  join,
  ok,
  scannerPrivateKey,
  signUp,
  url,
} from "../support.ts";

/** Two organizations with the same administrator, each with a report. */
async function twoOrganizations() {
  const owner = await signUp("owner");
  const [acme, globex] = [await createOrganization(owner), await createOrganization(owner)];
  const reports = owner.client.schema("public" as never) as unknown as ReportsClient;
  for (const organization_id of [acme, globex]) {
    ok(await reports.from("reports").insert({ organization_id, title: "by hand" }).select());
  }
  return { owner, acme, globex };
}

Deno.test("KEY-E01: supabase-js reads and writes with a key, in its organization alone", async () => {
  const { owner, acme, globex } = await twoOrganizations();
  const { id, api_key } = await issueKey(owner, acme);
  assert.ok(isApiKey(api_key));
  const program = keyClient(api_key);
  const written = await program.from("reports")
    .insert({ organization_id: acme, title: "by script" }).select("title");
  assert.deepEqual(ok(written), [{ title: "by script" }]);
  const read = ok(await program.from("reports").select("organization_id, title").order("id"));
  assert.deepEqual(read, [
    { organization_id: acme, title: "by hand" },
    { organization_id: acme, title: "by script" },
  ]);
  const foreign = await program.from("reports").insert({ organization_id: globex, title: "no" });
  assert.equal(foreign.error?.code, "42501");
  assert.equal(foreign.status, 403);
  const [entry] = ok(
    await owner.client.from("audit_logs").select("actor_type, actor_id")
      .eq("resource_type", "public.reports").contains("after", { title: "by script" }),
  );
  assert.deepEqual(entry, { actor_type: "api_key", actor_id: id });
});

Deno.test("KEY-E02: a key is refused beyond its scope, and every administrative call", async () => {
  const { owner, acme } = await twoOrganizations();
  const { api_key } = await issueKey(owner, acme, ["analytics:read"]);
  const program = keyClient(api_key);
  assert.equal(ok(await program.from("reports").select()).length, 1);
  const write = await program.from("reports").insert({ organization_id: acme, title: "no" });
  assert.equal(write.error?.code, "42501");
  const calls = [
    program.schema("bulwark").rpc("create_api_key", {
      organization_id: acme,
      name: "x",
      scopes: ["analytics:read"],
    }),
    program.schema("bulwark").rpc("grant_role", {
      user_id: owner.id,
      role: "admin",
      organization_id: acme,
    }),
    program.schema("bulwark").rpc("log_audit_event", { event_type: "data.read" }),
    program.schema("bulwark").rpc("has_permission", {
      permission: "analytics:read",
      organization_id: acme,
    }),
  ];
  for (const { error } of await Promise.all(calls)) assert.ok(error, "no call is open to a key");
  for (const table of ["organizations", "user_roles", "api_keys", "audit_logs"] as const) {
    const { data } = await program.schema("bulwark").from(table).select();
    assert.equal(data?.length ?? 0, 0, `${table} is closed to a key`);
  }
});

Deno.test("KEY-E03: whatever is wrong with a key, the answer is one and the same", async () => {
  const { owner, acme, globex } = await twoOrganizations();
  const good = await issueKey(owner, acme);
  const revoked = await issueKey(owner, acme);
  ok(await owner.client.rpc("revoke_api_key", { key_id: revoked.id, because: "a test" }));
  const elsewhere = await issueKey(owner, acme, ["analytics:read"], {
    networks: ["203.0.113.0/24"],
  });
  const expired = await issueKey(owner, globex);
  const sql = connect(1);
  await sql`update bulwark.api_keys set expires_at = now() where id = ${expired.id}`;
  await sql.end();
  const answers = await Promise.all([
    null,
    "",
    "nonsense",
    `bwk_live_${"0".repeat(38)}`,
    good.api_key.slice(0, -1),
    good.api_key.replace("live", "test"),
    `${good.api_key}0`,
    revoked.api_key,
    expired.api_key,
    elsewhere.api_key,
  ].map((key) => exchange(key)));
  const [first] = answers;
  for (const { status, headers, body } of answers) {
    assert.equal(status, 401);
    assert.equal(body.code, "API_KEY_INVALID");
    assert.equal(body.message, first?.body.message);
    assert.deepEqual(Object.keys(body).sort(), ["code", "correlation_id", "message"]);
    assert.deepEqual(
      [...headers.keys()].filter((name) => name !== "date"),
      [...first!.headers.keys()].filter((name) => name !== "date"),
    );
  }
  const { status, body } = await exchange(good.api_key);
  assert.equal(status, 200);
  assert.equal(body.expires_in, 300);
});

Deno.test("KEY-E04: a key bound to a network is exchanged from there, whatever a caller claims", async () => {
  const { owner, acme } = await twoOrganizations();
  // The stack's own server appends the true address, that of this machine.
  const here = await issueKey(owner, acme, ["analytics:read"], { networks: ["127.0.0.0/8"] });
  assert.equal((await exchange(here.api_key)).status, 200);
  const there = await issueKey(owner, acme, ["analytics:read"], { networks: ["203.0.113.0/24"] });
  const claimed = await exchange(there.api_key, { "x-forwarded-for": "203.0.113.5" });
  assert.equal(claimed.status, 401);
});

Deno.test("KEY-E05: a revoked key ends at once, with the token that was made of it", async () => {
  const { owner, acme } = await twoOrganizations();
  const { id, api_key } = await issueKey(owner, acme);
  const program = tokenClient(await tokenOf(api_key));
  assert.equal(ok(await program.from("reports").select()).length, 1);
  ok(await owner.client.rpc("revoke_api_key", { key_id: id, because: "a test" }));
  assert.deepEqual(ok(await program.from("reports").select()), []);
  const write = await program.from("reports").insert({ organization_id: acme, title: "no" });
  assert.equal(write.error?.code, "42501");
});

Deno.test("KEY-E06: demoting and removing the owner narrows and ends the key at once", async () => {
  const { owner: admin, acme } = await twoOrganizations();
  const owner = await signUp("issuer");
  await join(admin, acme, owner, "admin");
  const { api_key } = await issueKey(owner, acme);
  const program = tokenClient(await tokenOf(api_key));
  const write = () => program.from("reports").insert({ organization_id: acme, title: "mine" });
  assert.equal((await write()).error, null);
  const user_id = owner.id;
  const change = { user_id, organization_id: acme };
  ok(await admin.client.rpc("grant_role", { ...change, role: "viewer" }));
  assert.equal((await admin.client.rpc("revoke_role", { ...change, role: "admin" })).error, null);
  assert.equal((await write()).error?.code, "42501");
  assert.equal(ok(await program.from("reports").select()).length, 2);
  assert.equal((await admin.client.rpc("revoke_role", { ...change, role: "viewer" })).error, null);
  assert.deepEqual(ok(await program.from("reports").select()), []);
  // The function caches a key for half a second; a token that it makes meanwhile reads nothing.
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal((await exchange(api_key)).status, 401);
});

Deno.test("KEY-E07: administrators see and revoke all keys of theirs, members their own", async () => {
  const { owner: admin, acme, globex } = await twoOrganizations();
  const [member, stranger] = [await signUp("member"), await signUp("stranger")];
  await join(admin, acme, member, "admin");
  const { id, api_key } = await issueKey(member, acme);
  await issueKey(admin, globex);
  await tokenOf(api_key);
  const list = ok(await admin.client.rpc("list_api_keys", { organization_id: acme }));
  assert.deepEqual(list.map((key) => [key.id, key.status, key.owner_id]), [
    [id, "active", member.id],
  ]);
  assert.ok(list[0]?.last_used_at, "an exchange is a use");
  const closed = await stranger.client.rpc("list_api_keys", { organization_id: acme });
  assert.equal(closed.error?.details, "RBAC_PERMISSION_DENIED");
  const refused = await stranger.client.rpc("revoke_api_key", { key_id: id, because: "mine" });
  assert.equal(refused.status, 404);
  assert.equal(refused.error?.details, "API_KEY_NOT_FOUND");
  ok(await admin.client.rpc("revoke_api_key", { key_id: id, because: "left the team" }));
  assert.deepEqual(ok(await admin.client.rpc("list_api_keys", { organization_id: acme })), []);
  const own = ok(
    await member.client.rpc("list_api_keys", { organization_id: acme, include_ended: true }),
  );
  assert.deepEqual(own.map(({ revoked_by, revoked_because }) => [revoked_by, revoked_because]), [
    [admin.id, "left the team"],
  ]);
});

Deno.test("KEY-E08: a forged or an altered token of a key is nobody's", async () => {
  const { owner, acme } = await twoOrganizations();
  const { api_key } = await issueKey(owner, acme);
  const [head = "", payload = "", signature = ""] = (await tokenOf(api_key)).split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  assert.equal(claims.role, "api_key");
  assert.ok(!("sub" in claims), "a key is no user");
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const forged = [
    `${head}.${encode({ ...claims, role: "service_role" })}.${signature}`,
    `${encode({ alg: "none", typ: "JWT" })}.${payload}.`,
    `${head}.${encode({ ...claims, exp: 1 })}.${signature}`,
  ];
  for (const token of forged) {
    const program = tokenClient(token);
    const read = await program.from("reports").select();
    assert.deepEqual(read.data ?? [], [], "reads nothing");
    const write = await program.from("reports").insert({ organization_id: acme, title: "no" });
    assert.ok(write.error, "writes nothing");
  }
});

Deno.test("KEY-E09: a leaked key that is reported is revoked, with a critical event", async () => {
  const { owner, acme } = await twoOrganizations();
  const [leaked, other] = [await issueKey(owner, acme), await issueKey(owner, acme)];
  const key = createPrivateKey({
    key: Buffer.from(scannerPrivateKey, "base64"),
    format: "der",
    type: "pkcs8",
  });
  const report = async (tokens: string[], change: (headers: Headers) => void = () => {}) => {
    const body = JSON.stringify(
      tokens.map((token) => ({
        token,
        type: "bulwark_api_key",
        url: "https://github.com/acme/app/blob/main/.env",
        source: "content",
      })),
    );
    const headers = new Headers({
      "github-public-key-identifier": "local",
      "github-public-key-signature": sign("sha256", Buffer.from(body), key).toString("base64"),
    });
    change(headers);
    const address = `${url}/functions/v1/bulwark-api-keys/report`;
    const answer = await fetch(address, { method: "POST", headers, body });
    return { status: answer.status, body: await answer.json() };
  };
  const unsigned: ((headers: Headers) => void)[] = [
    (headers) => headers.delete("github-public-key-signature"),
    (headers) => headers.set("github-public-key-signature", "AAAAAAAAAAAA"),
    (headers) => headers.set("github-public-key-identifier", "another"),
    (headers) =>
      headers.set(
        "github-public-key-signature",
        sign("sha256", Buffer.from("[]"), key).toString("base64"),
      ),
  ];
  for (const change of unsigned) {
    assert.equal((await report([leaked.api_key], change)).status, 401);
  }
  assert.equal((await exchange(leaked.api_key)).status, 200);

  const answer = { status: 200, body: [] };
  assert.deepEqual(await report([`bwk_live_${"0".repeat(38)}`, "nonsense"]), answer);
  assert.deepEqual(await report([leaked.api_key, leaked.api_key]), answer);
  assert.deepEqual(await report([leaked.api_key]), answer);
  const program = keyClient(other.api_key);
  assert.equal(ok(await program.from("reports").select()).length, 1);
  const list = ok(
    await owner.client.rpc("list_api_keys", { organization_id: acme, include_ended: true }),
  );
  assert.deepEqual(
    list.filter(({ status }) => status === "revoked").map((key) => [key.id, key.revoked_because]),
    [[leaked.id, "Reported as leaked"]],
  );
  const events = ok(
    await owner.client.from("security_events").select("severity, subject, occurrences")
      .eq("event_type", "api_key_leaked").eq("organization_id", acme),
  );
  assert.deepEqual(events, [{ severity: "critical", subject: leaked.id, occurrences: 1 }]);
});

Deno.test("KEY-E10: the function knows two paths, and one method", async () => {
  const ask = async (path: string, method = "POST") => {
    const answer = await fetch(`${url}/functions/v1/bulwark-api-keys${path}`, { method });
    return [answer.status, (await answer.json()).code];
  };
  assert.deepEqual(await ask(""), [404, "NOT_FOUND"]);
  assert.deepEqual(await ask("/constructor"), [404, "NOT_FOUND"]);
  assert.deepEqual(await ask("/token", "GET"), [405, "METHOD_NOT_ALLOWED"]);
  assert.deepEqual(await ask("/report"), [401, "UNAUTHORIZED"]);
});

Deno.test("KEY-E46: a scanner may report as much as it likes; what it did not sign is limited", async () => {
  const key = createPrivateKey({
    key: Buffer.from(scannerPrivateKey, "base64"),
    format: "der",
    type: "pkcs8",
  });
  const report = async (body: string, signed = body) => {
    const answer = await fetch(`${url}/functions/v1/bulwark-api-keys/report`, {
      method: "POST",
      headers: {
        "github-public-key-identifier": "local",
        "github-public-key-signature": sign("sha256", Buffer.from(signed), key).toString("base64"),
      },
      body,
    });
    await answer.body?.cancel();
    return answer.status;
  };
  const { owner, acme } = await twoOrganizations();
  const leaked = await issueKey(owner, acme);
  const nested = `https://x.test/?a=${`%${"25".repeat(450)}41`}`;
  const entry = { token: leaked.api_key, url: nested };
  const large = JSON.stringify(Array(900).fill(entry));
  assert.equal(await report(large.replaceAll(leaked.api_key, "nothing")), 200, "a large one");
  for (let call = 0; call < 90; call++) assert.equal(await report("[]"), 200);
  const forged: number[] = [];
  for (let call = 0; call < 90; call++) forged.push(await report("[]", "{}"));
  assert.deepEqual([...new Set(forged)].sort(), [401, 429]);
  assert.equal(await report(large), 429, "a large one is charged before it is read");
  assert.equal(await report(JSON.stringify([entry])), 200, "also from where it is refused");
  const [state] = ok(await owner.client.from("api_keys").select("revoked_at").eq("id", leaked.id));
  assert.ok(state?.revoked_at, "the key was revoked");
});
