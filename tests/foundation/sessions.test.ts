/** A session that has ended is worth nothing over HTTP, whatever token is kept. */
import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import type { Database } from "../../supabase/functions/_bulwark/foundation/database.types.ts";
import { clientWith } from "../mfa/support.ts";
import {
  anonymous,
  callFunction,
  type Client,
  connect,
  createOrganization,
  freshSlug,
  join,
  ok,
  type Person,
  signUp,
  superuserUrl,
  url,
} from "../support.ts";

/** An administrator with an organization, and a second one that shall notice nothing. */
async function place() {
  const [admin, other] = [await signUp("admin"), await signUp("other")];
  const organization = await createOrganization(admin);
  await createOrganization(other);
  return { admin, other, organization, kept: clientWith(admin.token) };
}

/** HTTP status and code of a call of a function with a token. */
async function refused(token: string, method: string, path: string, body?: unknown) {
  const answer = await callFunction(path, { token, method, body });
  const { code } = await answer.json();
  return `${answer.status} ${code}`;
}

/** Status and code with which the Data API refuses. */
function code(answer: { status: number; error: { details?: string | null } | null }): string {
  return `${answer.status} ${answer.error?.details}`;
}

/** Calls that make something to be used later. */
const durable = (client: Client, organization: string) => ({
  create_api_key: () =>
    client.rpc("create_api_key", {
      organization_id: organization,
      name: "outlives",
      scopes: ["analytics:read"],
    }),
  invite_member: () =>
    client.rpc("invite_member", {
      organization_id: organization,
      email: "accomplice@people.test",
      role: "admin",
    }),
  create_organization: () =>
    client.rpc("create_organization", { name: "Outlives", slug: freshSlug() }),
  create_role: () =>
    client.rpc("create_role", {
      organization_id: organization,
      name: "backdoor",
      permissions: ["audit:read"],
    }),
  accept_invitation: () => client.rpc("accept_invitation", { token: "any" }),
  set_api_key_policy: () =>
    client.rpc("set_api_key_policy", { organization_id: organization, allowed: true }),
  set_mfa_policy: () =>
    client.rpc("set_mfa_policy", {
      organization_id: organization,
      required: false,
      reset_needs_approval: false,
    }),
  export_audit_log: () => client.rpc("export_audit_log", { organization_id: organization }),
  trust_device: () => client.rpc("trust_device", { name: "laptop" }),
  begin_mfa_enrolment: () => client.rpc("begin_mfa_enrolment"),
});

/** That nothing is left of a token's rights. */
async function assertWorthless(person: Person, organization: string, reason: string) {
  const kept = clientWith(person.token);
  const question = { permission: "org:update", organization_id: organization };
  const { data, error } = await kept.rpc("has_permission", question);
  assert.deepEqual({ data, error }, { data: false, error: null }, reason);
  for (const [name, call] of Object.entries(durable(kept, organization))) {
    assert.equal(code(await call()), "401 SESSION_ENDED", `${name}, ${reason}`);
  }
  for (
    const table of ["organizations", "user_roles", "roles", "audit_logs", "permissions"] as const
  ) {
    assert.deepEqual(ok(await kept.from(table).select("*").limit(1)), [], `${table}, ${reason}`);
  }
}

Deno.test("SES-F01: signed out everywhere, a token reads, decides and makes nothing", async () => {
  const { admin, other, organization, kept } = await place();
  const question = { permission: "org:update", organization_id: organization };
  assert.equal(ok(await kept.rpc("has_permission", question)), true);
  assert.equal((await admin.client.auth.signOut({ scope: "global" })).error, null);
  await assertWorthless(admin, organization, "signed out");
  assert.equal(ok(await other.client.from("organizations").select("id")).length, 1, "others go on");
});

Deno.test("SES-F02: nor does the token of a session that ran out, or of another person", async () => {
  const sql = connect(1);
  const signer = await openSigner();
  try {
    const one = await place();
    await sql`update auth.sessions set not_after = now() where user_id = ${one.admin.id}`;
    await assertWorthless(one.admin, one.organization, "not_after");

    const two = await place();
    const [session] = await sql`select id from auth.sessions where user_id = ${two.other.id}`;
    for (
      const claims of [
        { session_id: session?.["id"] },
        { session_id: crypto.randomUUID() },
        { session_id: null },
        {},
      ]
    ) {
      const token = await signer({ sub: two.admin.id, ...claims });
      await assertWorthless({ ...two.admin, token }, two.organization, JSON.stringify(claims));
    }
  } finally {
    await sql.end();
  }
});

Deno.test("SES-F03: every function answers 401 SESSION_ENDED", async () => {
  const { admin, organization } = await place();
  const { token } = admin;
  const endpoint = crypto.randomUUID();
  assert.equal((await admin.client.auth.signOut({ scope: "global" })).error, null);
  const row = { primary_key: crypto.randomUUID(), fields: { email: "a@b.test" } };
  const table = "contacts";
  for (
    const [method, path, body] of [
      ["GET", `rbac?permission=org:update&organization_id=${organization}`],
      ["POST", "rbac", { permissions: ["org:update"], organization_id: organization }],
      ["GET", "mfa"],
      ["POST", "mfa/enroll", { name: "Phone" }],
      ["POST", "mfa/verify", { code: "123456" }],
      ["POST", "mfa/activate", { code: "123456" }],
      ["POST", "mfa/devices", { name: "laptop" }],
      ["POST", "mfa/devices/present", { token: "x" }],
      ["POST", "mfa/devices/revoke", {}],
      ["POST", "mfa/backup-codes", {}],
      ["POST", "mfa/resets", { user_id: admin.id, organization_id: organization, reason: "lost" }],
      ["POST", "mfa/resets/approve", { reset_id: crypto.randomUUID() }],
      ["POST", "encryption/encrypt", { table, organization_id: organization, rows: [row] }],
      ["POST", "encryption/decrypt", { table, columns: ["email"], primary_keys: [endpoint] }],
      ["POST", "encryption/find", {
        table,
        organization_id: organization,
        column: "email",
        value: "a@b.test",
      }],
      ["POST", "encryption/rotate", { organization_id: organization, purpose: "field" }],
      ["GET", `audit/export?organization_id=${organization}&format=ndjson`],
      ["GET", `audit/proof?id=${endpoint}`],
      ["GET", "metrics"],
      ["POST", "webhooks/endpoints", {
        organization_id: organization,
        name: "Hook",
        url: "https://example.com/hook",
        subscriptions: [{ pattern: "audit.*" }],
      }],
      ["POST", `webhooks/endpoints/${endpoint}/rotate`, { overlap_seconds: 0 }],
      ["POST", `webhooks/endpoints/${endpoint}/test`, {}],
    ] as [string, string, unknown?][]
  ) {
    assert.equal(await refused(token, method, path, body), "401 SESSION_ENDED", path);
  }
});

Deno.test("SES-F04: a suspended account does nothing with the session it still has", async () => {
  const sql = postgres(superuserUrl, { max: 1 });
  try {
    for (const suspension of ["banned_until = 'infinity'", "deleted_at = now()"]) {
      const { admin, organization, kept } = await place();
      await sql`update auth.users set ${sql.unsafe(suspension)} where id = ${admin.id}`;
      for (const [name, call] of Object.entries(durable(kept, organization))) {
        assert.equal(code(await call()), "403 ACCOUNT_SUSPENDED", `${name}, ${suspension}`);
      }
      for (const path of ["enroll", "verify", "activate", "devices", "backup-codes", "disable"]) {
        const body = {
          enroll: {},
          verify: { code: "123456" },
          activate: { code: "123456" },
          devices: {},
          disable: { factor_id: crypto.randomUUID() },
        }[path] ?? {};
        assert.equal(
          await refused(admin.token, "POST", `mfa/${path}`, body),
          "403 ACCOUNT_SUSPENDED",
          `${path}, ${suspension}`,
        );
      }
      assert.equal(await refused(admin.token, "GET", "mfa"), "403 ACCOUNT_SUSPENDED", suspension);
    }
  } finally {
    await sql.end();
  }
});

Deno.test("SES-F05: an anonymous account gets no factor and makes no organization", async () => {
  const sql = postgres(superuserUrl, { max: 1 });
  try {
    const visitor = await signUp("visitor");
    await sql`update auth.users set is_anonymous = true where id = ${visitor.id}`;
    assert.equal(
      await refused(visitor.token, "POST", "mfa/enroll", {}),
      "403 ACCOUNT_ANONYMOUS",
    );
    assert.equal(
      code(await visitor.client.rpc("create_organization", { name: "V", slug: freshSlug() })),
      "403 ACCOUNT_ANONYMOUS",
    );
  } finally {
    await sql.end();
  }
});

Deno.test("SES-F06: a subject that is no UUID is refused by name, not by a cast", async () => {
  const signer = await openSigner();
  const { organization } = await place();
  for (const sub of ["user_2abc", "auth0|123", "", "11111111-1111-1111-1111-11111111111g"]) {
    const token = await signer({ sub, session_id: crypto.randomUUID() });
    const kept = clientWith(token);
    const expected = sub === "" ? "403 RBAC_NOT_AUTHENTICATED" : "403 TOKEN_SUBJECT_INVALID";
    const question = { permission: "org:update", organization_id: organization };
    assert.equal(code(await kept.rpc("has_permission", question)), expected, sub);
    assert.equal(code(await kept.rpc("my_permissions", {})), expected, sub);
    assert.deepEqual(ok(await kept.from("organizations").select("id")), [], sub);
  }
});

Deno.test("SES-F08: nor is a session that is no UUID one that fails a cast", async () => {
  const signer = await openSigner();
  const { admin } = await place();
  for (
    const odd of [
      { session_id: { id: 1 } },
      { session_id: true },
      { session_id: "a b" },
      {
        session_id: 7,
      },
      { session_id: [] },
      { role: true },
    ]
  ) {
    const token = await signer({ sub: admin.id, session_id: crypto.randomUUID(), ...odd });
    const kept = clientWith(token);
    const said = JSON.stringify(odd);
    assert.equal(code(await kept.rpc("my_permissions", {})), "401 SESSION_ENDED", said);
    assert.equal((await kept.from("organizations").select("id")).status, 401, said);
    assert.equal(await refused(token, "GET", "mfa"), "401 SESSION_ENDED", said);
    const { error } = await anonymous().auth.getUser(token);
    assert.equal(error?.status, 403, said);
  }
});

Deno.test("SES-F07: an API key goes on when its owner signs out", async () => {
  const { admin, organization } = await place();
  const viewer = await signUp("viewer");
  await join(admin, organization, viewer, "viewer");
  const issued = ok(
    await admin.client.rpc("create_api_key", {
      organization_id: organization,
      name: "program",
      scopes: ["analytics:read"],
    }),
  );
  assert.equal((await admin.client.auth.signOut({ scope: "global" })).error, null);
  const listed = ok(
    await createClient<Database>(url, Deno.env.get("BULWARK_TEST_SECRET_KEY")!)
      .schema("bulwark").rpc("list_api_keys", { organization_id: organization }),
  );
  assert.deepEqual(
    listed.map(({ id, status }) => ({ id, status })),
    [{ id: issued.id, status: "active" }],
  );
});

Deno.test("SES-F09: a thing that is made while a session is signed out is from before it, or refused", async () => {
  const sql = connect(2);
  const waiting = async () => {
    const [row] = await sql`
      select count(*)::int as n from pg_catalog.pg_stat_activity
      where wait_event_type = 'Lock' and pid <> pg_backend_pid()
    `;
    return row?.["n"] as number;
  };
  const things = {
    create_api_key: "bulwark.api_keys",
    invite_member: "bulwark.invitations",
    create_role: "bulwark.roles",
  } as const;
  try {
    for (const [name, table] of Object.entries(things)) {
      const { admin, organization, kept } = await place();
      const made = async () => {
        const rows = await sql`
          select from ${sql(table)} where organization_id = ${organization}
        `;
        return rows.length;
      };
      const [release, holding] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const holder = sql.begin(async (held) => {
        await held`select from bulwark.organizations where id = ${organization} for update`;
        holding.resolve();
        await release.promise;
      });
      await holding.promise;
      const call = durable(kept, organization)[name as keyof typeof things]();
      const answered = call.then(({ error }) => error === null);
      while (await waiting() < 1) await new Promise((resolve) => setTimeout(resolve, 10));
      let isOut = false;
      const signedOut = admin.client.auth.signOut({ scope: "global" }).then(async ({ error }) => {
        assert.equal(error, null);
        isOut = true;
        return await made();
      });
      while (!isOut && await waiting() < 2) await new Promise((resolve) => setTimeout(resolve, 10));
      if (isOut) await signedOut;
      release.resolve();
      await holder;
      assert.equal(await answered, await signedOut === 1, `${name} after the sign-out`);
    }
  } finally {
    await sql.end();
  }
});

/** Signs tokens as the local Auth does (HS256), with claims of the test's choice. */
async function openSigner(): Promise<(claims: Record<string, unknown>) => Promise<string>> {
  const secret = new TextEncoder().encode(Deno.env.get("BULWARK_TEST_JWT_SECRET"));
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  const text = (bytes: Uint8Array) =>
    btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (c) => ({ "+": "-", "/": "_" }[c] ?? ""));
  const part = (value: unknown) => text(new TextEncoder().encode(JSON.stringify(value)));
  return async (claims) => {
    const now = Math.floor(Date.now() / 1000);
    const all = {
      role: "authenticated",
      aud: "authenticated",
      iat: now,
      exp: now + 600,
      ...claims,
    };
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(all)}`;
    const bytes = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(signed));
    return `${signed}.${text(new Uint8Array(bytes))}`;
  };
}
