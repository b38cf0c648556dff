/** Accounts and sessions of Supabase Auth: how they begin, change and end. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { clientWith, signInAgain } from "../mfa/support.ts";
import {
  anonymous,
  type Client,
  connect,
  createOrganization,
  freshSlug,
  join,
  ok,
  type Person,
  service,
  signUp,
  superuserUrl,
} from "../support.ts";

const sql = connect(2);
globalThis.addEventListener("unload", () => void sql.end({ timeout: 1 }));

const admin = () => service().auth.admin;

/** Status and code of Bulwark's answer to a token. */
async function standing(token: string): Promise<string> {
  const { status, error } = await clientWith(token).rpc("my_sessions");
  return error ? `${status} ${error.details}` : "live";
}

/** The installation's entries about an account: event and action, oldest first. */
async function entries(user: string): Promise<string[]> {
  const rows = await sql`
    select event_type || ' ' || action as entry from bulwark.audit_logs
    where parent_id is null and organization_id is null and source = 'auth'
      and (resource_id = ${user} or actor_id = ${user})
    order by id
  `;
  return rows.map(({ entry }) => entry);
}

async function refreshes(client: Client): Promise<boolean> {
  const { data, error } = await client.auth.refreshSession();
  return error === null && data.session !== null;
}

Deno.test("RAUTH-A00: the demo's accounts sign in, and have their roles", async () => {
  const client = anonymous();
  const password = Deno.env.get("BULWARK_TEST_DEMO_PASSWORD") ?? "";
  const { error } = await client.auth.signInWithPassword({ email: "admin@acme.test", password });
  assert.equal(error, null);
  const organizations = ok(await client.from("organizations").select("slug"));
  assert.deepEqual(organizations.map(({ slug }) => slug), ["acme"]);
});

Deno.test("RAUTH-A01: signing out ends one session, the others, or all, for tokens that are kept", async () => {
  const ada = await signUp("three-devices");
  const [phone, tablet] = [await signInAgain(ada), await signInAgain(ada)];
  assert.equal((await phone.client.auth.signOut({ scope: "local" })).error, null);
  assert.equal(await standing(phone.token), "401 SESSION_ENDED");
  assert.equal(await standing(tablet.token), "live");
  assert.equal((await ada.client.auth.signOut({ scope: "others" })).error, null);
  assert.equal(await standing(tablet.token), "401 SESSION_ENDED");
  assert.equal(await standing(ada.token), "live");
  assert.equal((await ada.client.auth.signOut({ scope: "global" })).error, null);
  assert.equal(await standing(ada.token), "401 SESSION_ENDED");
  assert.equal((await entries(ada.id)).filter((entry) => /logout/.test(entry)).length, 3);
});

Deno.test("RAUTH-A02: a refresh continues the session: both tokens name it", async () => {
  const ada = await signUp("refreshing");
  await new Promise((resolve) => setTimeout(resolve, 1100)); // tokens of one second are alike
  const { data } = await ada.client.auth.refreshSession();
  const next = data.session?.access_token ?? "";
  assert.notEqual(next, ada.token);
  assert.deepEqual([await standing(ada.token), await standing(next)], ["live", "live"]);
  const [session] = ok(await clientWith(next).rpc("my_sessions"));
  assert.ok(session?.is_current && session.refreshed_at > session.created_at);
  await admin().signOut(next, "global");
  assert.deepEqual(
    [await standing(ada.token), await standing(next)],
    ["401 SESSION_ENDED", "401 SESSION_ENDED"],
  );
});

Deno.test("RAUTH-A03: after a copied refresh token nobody refreshes, and a sign-out ends it", async () => {
  const ada = await signUp("copied");
  const { data } = await ada.client.auth.getSession();
  const refresh_token = data.session?.refresh_token ?? "";
  for (let n = 0; n < 2; n++) assert.ok(await refreshes(ada.client));
  const reused = await anonymous().auth.refreshSession({ refresh_token });
  assert.ok(reused.error, "the copy is refused");
  assert.equal(await refreshes(ada.client), false, "and so is the owner from now on");
  // Auth revokes refresh tokens of its first version and leaves the session; it ends the session with
  // those of the second. Bulwark says the same of the access token, which has not expired.
  const { error } = await anonymous().auth.getUser(ada.token);
  assert.equal(await standing(ada.token), error ? "401 SESSION_ENDED" : "live");
  if (error) return;
  const again = await signInAgain(ada);
  const old = ok(await again.client.rpc("my_sessions")).find(({ is_current }) => !is_current);
  assert.equal((await again.client.rpc("end_session", { session_id: old?.id ?? "" })).error, null);
  assert.equal(await standing(ada.token), "401 SESSION_ENDED");
});

Deno.test("RAUTH-A04: a new password ends the other sessions, and is recorded", async () => {
  const ada = await signUp("changing");
  const other = await signInAgain(ada);
  const { error } = await ada.client.auth.updateUser({ password: crypto.randomUUID() });
  assert.equal(error, null);
  assert.equal(await standing(ada.token), "live");
  assert.equal(await standing(other.token), "401 SESSION_ENDED");
  assert.ok((await entries(ada.id)).includes("auth.password_changed update"));
});

Deno.test("RAUTH-A05: an anonymous account becomes one that others can be invited by", async () => {
  const client = anonymous();
  const { data, error } = await client.auth.signInAnonymously();
  assert.equal(error, null);
  assert.ok(data.user?.is_anonymous && data.session);
  const slug = freshSlug();
  const create = () => client.rpc("create_organization", { name: slug, slug });
  assert.equal((await create()).error?.details, "ACCOUNT_ANONYMOUS");
  const email = `named-${crypto.randomUUID().slice(0, 8)}@people.test`;
  const named = await client.auth.updateUser({ email, password: crypto.randomUUID() });
  assert.equal(named.error, null);
  const [row] = await sql`select is_anonymous, email from auth.users where id = ${data.user.id}`;
  assert.deepEqual({ ...row }, { is_anonymous: false, email });
  assert.equal((await create()).error, null);
});

Deno.test("RAUTH-A06: an invitation to an address finds the account that gets it later", async () => {
  const boss = await signUp("inviting");
  const organization_id = await createOrganization(boss);
  const email = `later-${crypto.randomUUID().slice(0, 8)}@people.test`;
  ok(await boss.client.rpc("invite_member", { organization_id, email, role: "viewer" }));
  const client = anonymous();
  const { data } = await client.auth.signUp({ email, password: crypto.randomUUID() });
  assert.ok(data.session);
  const mine = ok(await client.rpc("my_invitations"));
  assert.equal(mine.length, 1);
});

Deno.test("RAUTH-A07: a ban suspends what is live, a session that goes on is the same after it", async () => {
  const [ada, bob] = [await signUp("banned"), await signUp("free")];
  const organization = await createOrganization(ada);
  const ban = await admin().updateUserById(ada.id, { ban_duration: "1h" });
  assert.equal(ban.error, null);
  assert.match(await standing(ada.token), /^(403 ACCOUNT_SUSPENDED|401 SESSION_ENDED)$/);
  assert.equal(await refreshes(anonymous()), false);
  const signIn = await anonymous().auth.signInWithPassword(ada);
  assert.match(signIn.error?.message ?? "", /banned/i);
  assert.equal(await standing(bob.token), "live");
  const told = await sql`
    select from bulwark.audit_logs
    where organization_id = ${organization} and resource_id = ${ada.id} and after ? 'banned_until'
  `;
  assert.equal(told.length, 1, "the organization sees the ban");
  await admin().updateUserById(ada.id, { ban_duration: "none" });
  assert.equal((await anonymous().auth.signInWithPassword(ada)).error, null);
});

Deno.test("RAUTH-A08: a soft deletion ends sessions, membership and the right to come back", async () => {
  const boss = await signUp("stays");
  const organization_id = await createOrganization(boss);
  const ada = await signUp("leaves");
  await join(boss, organization_id, ada, "viewer");
  const deleted = await admin().deleteUser(ada.id, true);
  assert.equal(deleted.error, null);
  assert.match(await standing(ada.token), /^(403 ACCOUNT_SUSPENDED|401 SESSION_ENDED)$/);
  assert.equal((await anonymous().auth.signInWithPassword(ada)).data.session, null);
  const members = ok(await boss.client.rpc("list_members", { organization_id }));
  assert.deepEqual(
    members.map(({ user_id, suspended }) => [user_id, suspended]).toSorted(),
    [[boss.id, false], [ada.id, true]].toSorted(),
  );
  assert.ok(members.every(({ email }) => email !== ada.email), "Auth has hashed the address");
  const rights = await sql`
    select bulwark.user_has_permission(${ada.id}, 'org:read', ${organization_id}) as held
  `;
  assert.equal(rights[0]?.["held"], false);
  const again = await anonymous().auth.signUp({
    email: ada.email,
    password: crypto.randomUUID(),
  });
  assert.notEqual(again.data.user?.id, ada.id);
  const log = (await entries(ada.id)).join("\n");
  assert.match(log, /data.update update/);
});

Deno.test("RAUTH-A09: a hard deletion takes rights along and leaves the log", async () => {
  const boss = await signUp("remains");
  const organization_id = await createOrganization(boss);
  const ada = await signUp("goes");
  await join(boss, organization_id, ada, "viewer");
  assert.equal((await admin().deleteUser(ada.id)).error, null);
  assert.equal(await standing(ada.token), "401 SESSION_ENDED");
  const rights = await sql`select from bulwark.user_roles where user_id = ${ada.id}`;
  assert.equal(rights.length, 0);
  assert.ok((await entries(ada.id)).includes("data.delete delete"));
});

Deno.test("RAUTH-A10: the last administrator is not deleted", async () => {
  const boss = await signUp("only");
  await createOrganization(boss);
  const refused = await admin().deleteUser(boss.id);
  assert.ok(refused.error);
  assert.equal(await standing(boss.token), "live");
});

Deno.test("RAUTH-A11: a sign-up makes an organization in a trigger of the host, or neither exists", async () => {
  await sql.unsafe(`
    create function public.make_workspace() returns trigger
      language plpgsql security definer set search_path = '' as $$
    begin
      perform bulwark.create_organization(
        'Workspace', new.raw_user_meta_data ->> 'slug', new.id);
      return new;
    end $$;
    create trigger make_workspace after insert on auth.users for each row
      when (new.raw_user_meta_data ? 'slug') execute function public.make_workspace();
  `);
  try {
    const join = (slug: string) =>
      anonymous().auth.signUp({
        email: `${crypto.randomUUID()}@people.test`,
        password: crypto.randomUUID(),
        options: { data: { slug } },
      });
    const slug = freshSlug();
    const { data, error } = await join(slug);
    assert.equal(error, null);
    const token = data.session?.access_token ?? "";
    const [own] = ok(await clientWith(token).from("organizations").select("slug, id"));
    assert.equal(own?.slug, slug);
    const permission = { permission: "org:update", organization_id: own?.id ?? "" };
    assert.equal(ok(await clientWith(token).rpc("has_permission", permission)), true);
    const taken = await join(slug);
    assert.ok(taken.error, "a taken slug fails the sign-up");
    const [count] = await sql`
      select count(*)::integer as n from auth.users where raw_user_meta_data ->> 'slug' = ${slug}
    `;
    assert.equal(count?.["n"], 1);
  } finally {
    // As the superuser: hosted lets postgres drop this trigger by an extension that is not here.
    const superuser = postgres(superuserUrl, { max: 1 });
    await superuser`drop trigger make_workspace on auth.users`;
    await superuser`drop function public.make_workspace()`;
    await superuser.end();
  }
});

Deno.test("RAUTH-A12: a recovery is recorded, and its session has no second factor", async () => {
  const ada: Person = await signUp("forgetful");
  const organization = await createOrganization(ada);
  const asked = await anonymous().auth.resetPasswordForEmail(ada.email);
  assert.equal(asked.error, null);
  const link = await admin().generateLink({ type: "recovery", email: ada.email });
  assert.equal(link.error, null);
  const client = anonymous();
  const recovered = await client.auth.verifyOtp({
    type: "recovery",
    token_hash: link.data.properties?.hashed_token ?? "",
  });
  assert.equal(recovered.error, null);
  const token = recovered.data.session?.access_token ?? "";
  assert.equal(await standing(token), "live");
  const fresh = await clientWith(token).rpc("mfa_verified", { max_age: "1 day" });
  assert.equal(fresh.data, false);
  assert.equal((await client.auth.updateUser({ password: crypto.randomUUID() })).error, null);
  assert.equal(await standing(ada.token), "401 SESSION_ENDED", "the sessions of before are over");
  const log = await entries(ada.id);
  assert.ok(log.includes("auth.password_reset request"), log.join("\n"));
  assert.ok(log.includes("auth.password_changed update"), log.join("\n"));
  const told = await sql`
    select from bulwark.audit_logs
    where organization_id = ${organization} and event_type = 'auth.password_reset'
  `;
  assert.ok(told.length >= 1);
});

Deno.test("RAUTH-A13: nothing that happened here is missing in the log", async () => {
  const gaps = await sql`select source, reason from bulwark_private.audit_gaps`;
  assert.deepEqual(gaps.map((gap) => ({ ...gap })), []);
});
