/** Roles and permissions over HTTP, as supabase-js calls them and with the tokens Auth issues. */
import assert from "node:assert/strict";
import {
  anonymous,
  createOrganization,
  freshSlug,
  join,
  ok,
  service,
  signUp,
  url,
} from "../support.ts";

Deno.test("RBAC-E01: a revocation is felt by the very next request, with the old token", async () => {
  const [admin, member] = [await signUp("admin"), await signUp("member")];
  const organization = await createOrganization(admin);
  await join(admin, organization, member, "viewer");
  const asked = { permission: "analytics:read", organization_id: organization };
  assert.equal(ok(await member.client.rpc("has_permission", asked)), true);
  const before = (await member.client.auth.getSession()).data.session?.access_token;
  const revoked = await admin.client.rpc("revoke_role", {
    user_id: member.id,
    role: "viewer",
    organization_id: organization,
  });
  assert.equal(revoked.error, null);
  assert.equal((await member.client.rpc("has_permission", asked)).data, false);
  assert.deepEqual(ok(await member.client.from("organizations").select("id")), []);
  assert.equal((await member.client.auth.getSession()).data.session?.access_token, before);
});

Deno.test("RBAC-E02: a member of one organization learns nothing of another", async () => {
  const [one, two] = [await signUp("one"), await signUp("two")];
  const [mine, theirs] = [await createOrganization(one), await createOrganization(two)];
  assert.deepEqual(ok(await one.client.from("organizations").select("*").eq("id", theirs)), []);
  for (const table of ["user_roles", "roles", "invitations"] as const) {
    const rows = await one.client.from(table).select("*").eq("organization_id", theirs);
    assert.deepEqual(ok(rows), [], table);
  }
  const answers = await Promise.all(
    [theirs, crypto.randomUUID()].map((organization_id) =>
      one.client.rpc("grant_role", { user_id: one.id, role: "admin", organization_id })
    ),
  );
  assert.deepEqual(answers.map(({ status }) => status), [403, 403]);
  assert.deepEqual(answers[0]?.error, answers[1]?.error, "foreign and missing are one answer");
  assert.ok(mine);
});

Deno.test("RBAC-E03: tables refuse every direct write, from every role", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  const grant = { user_id: admin.id, role_id: "00000000-0000-4000-8000-000000000100" };
  for (const client of [anonymous(), admin.client, service()]) {
    const inserted = await client.from("user_roles").insert(grant);
    const merged = await client.from("user_roles").upsert({ ...grant, organization_id: null });
    const updated = await client.from("user_roles").update({ expires_at: null }).eq(
      "user_id",
      admin.id,
    );
    const removed = await client.from("organizations").delete().eq("id", organization);
    for (const { error } of [inserted, merged, updated, removed]) assert.ok(error);
  }
  assert.equal(ok(await admin.client.from("user_roles").select("id")).length, 1);
});

Deno.test("RBAC-E04: internals are not reachable over HTTP", async () => {
  const admin = await signUp("admin");
  for (const path of ["rpc/user_permits", "permission_versions", "invitation_tokens"]) {
    const answer = await fetch(`${url}/rest/v1/${path}`, {
      headers: {
        apikey: Deno.env.get("BULWARK_TEST_PUBLISHABLE_KEY") ?? "",
        authorization: `Bearer ${admin.token}`,
        "accept-profile": "bulwark_private",
      },
    });
    assert.ok(answer.status >= 400, `${path}: ${answer.status}`);
    await answer.body?.cancel();
  }
});

Deno.test("RBAC-E05: errors carry a SQLSTATE, a stable code and a hint", async () => {
  const admin = await signUp("admin");
  const slug = freshSlug();
  ok(await admin.client.rpc("create_organization", { name: "One", slug }));
  const taken = await admin.client.rpc("create_organization", { name: "Two", slug });
  assert.equal(taken.status, 409);
  assert.equal(taken.error?.code, "23505");
  assert.equal(taken.error?.details, "RBAC_SLUG_TAKEN");
  const unknown = await admin.client.rpc("has_permission", { permission: "audit:raed" });
  assert.equal(unknown.status, 400);
  assert.equal(unknown.error?.details, "RBAC_UNKNOWN_PERMISSION");
  assert.match(unknown.error?.hint ?? "", /permissions/);
  const denied = await admin.client.rpc("grant_role", { user_id: admin.id, role: "super_admin" });
  assert.equal(denied.status, 403);
  assert.equal(denied.error?.details, "RBAC_PERMISSION_DENIED");
});

Deno.test("RBAC-E06: nobody signed in gets nothing", async () => {
  const client = anonymous();
  for (const table of ["organizations", "roles", "permissions", "user_roles"] as const) {
    assert.ok((await client.from(table).select("*")).error, table);
  }
  assert.ok((await client.rpc("has_permission", { permission: "audit:read" })).error);
  assert.ok((await client.rpc("create_organization", { name: "No", slug: freshSlug() })).error);
});

Deno.test("RBAC-E07: the service role administers without a user", async () => {
  const person = await signUp("owner");
  const organization = ok(
    await service().rpc("create_organization", {
      name: "Made for somebody",
      slug: freshSlug(),
      administrator_id: person.id,
    }),
  );
  const roles = ok(
    await person.client.rpc("get_user_roles", {
      user_id: person.id,
      organization_id: organization.id,
    }),
  );
  assert.deepEqual(roles.map(({ role, active }) => ({ role, active })), [
    { role: "admin", active: true },
  ]);
});

Deno.test("RBAC-E08: an expiring role ends by itself", async () => {
  const [admin, member] = [await signUp("admin"), await signUp("member")];
  const organization = await createOrganization(admin);
  await join(admin, organization, member, "viewer");
  const end = Date.now() + 4000;
  ok(
    await admin.client.rpc("grant_role", {
      user_id: member.id,
      role: "analyst",
      organization_id: organization,
      expires_at: new Date(end).toISOString(),
    }),
  );
  const asked = { permission: "analytics:write", organization_id: organization };
  const { data: before } = await member.client.rpc("has_permission", asked);
  // On a slow machine the answer may come after the end.
  if (Date.now() < end) assert.equal(before, true);
  await new Promise((resolve) => setTimeout(resolve, end + 300 - Date.now()));
  assert.equal((await member.client.rpc("has_permission", asked)).data, false);
  const why = ok(
    await member.client.rpc("explain_permission", { user_id: member.id, ...asked }),
  );
  assert.equal(why[0]?.reason, "expired");
});

Deno.test("RBAC-E09: whoami answers once, and then that nothing is new until something is", async () => {
  const [admin, member] = [await signUp("admin"), await signUp("member")];
  const organization = await createOrganization(admin);
  await join(admin, organization, member, "viewer");
  type Answer = { version: string; organizations: { id: string; permissions: string[] }[] };
  const first = ok(await member.client.rpc("whoami")) as unknown as Answer;
  assert.deepEqual(first.organizations.map(({ id }) => id), [organization]);
  const known = { known_version: first.version };
  // By GET too, which costs a poll no preflight.
  const news = await member.client.rpc("whoami", known, { get: true });
  assert.deepEqual([news.error, news.data], [null, null]);
  const changed = await admin.client.rpc("set_member_roles", {
    organization_id: organization,
    user_id: member.id,
    roles: ["analyst"],
  });
  assert.equal(changed.error, null);
  const second = ok(await member.client.rpc("whoami", known)) as unknown as Answer;
  assert.ok(second.organizations[0]?.permissions.includes("analytics:write"));
  const left = await member.client.rpc("leave_organization", { organization_id: organization });
  assert.equal(left.error, null);
  assert.deepEqual(ok(await member.client.from("organizations").select("id")), []);
});

Deno.test("RBAC-E10: an invitation is previewed without an account, by POST alone", async () => {
  const [admin, other] = [await signUp("admin"), await signUp("other")];
  const organization = await createOrganization(admin);
  const [sent] = ok(
    await admin.client.rpc("invite_member", {
      organization_id: organization,
      email: other.email,
      role: "viewer",
    }),
  );
  const shown = { token: sent?.token ?? "" };
  const [preview] = ok(await anonymous().rpc("preview_invitation", shown));
  assert.equal(preview?.is_mine, false);
  assert.equal(preview?.invitation_id, null);
  assert.ok(!JSON.stringify(preview).includes(other.email));
  assert.deepEqual(ok(await anonymous().rpc("preview_invitation", { token: "wrong" })), []);
  const read = await anonymous().rpc("preview_invitation", shown, { get: true });
  assert.deepEqual([read.status, read.data], [405, null], "a GET would not be charged");
  const [mine] = ok(await other.client.rpc("my_invitations"));
  assert.equal(mine?.organization_id, organization);
  const accepted = await other.client.rpc("accept_my_invitation", {
    invitation_id: mine?.invitation_id ?? "",
  });
  assert.equal(accepted.error, null);
});
