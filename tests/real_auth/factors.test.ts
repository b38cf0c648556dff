/** Supabase Auth's own second factors, as Bulwark judges them. */
import assert from "node:assert/strict";
import { call, clientWith, codeAt, signInAgain } from "../mfa/support.ts";
import { connect, createOrganization, join, ok, type Person, service, signUp } from "../support.ts";

const sql = connect(2);
globalThis.addEventListener("unload", () => void sql.end({ timeout: 1 }));

interface WithFactor extends Person {
  factorId: string;
  secret: string;
}

/** Adds a native factor, verified in the person's session. */
async function withNativeFactor(person: Person): Promise<WithFactor> {
  const { data: factor, error } = await person.client.auth.mfa.enroll({
    factorType: "totp",
    friendlyName: "Phone",
  });
  assert.equal(error, null);
  assert.ok(factor?.type === "totp");
  const enrolled = { ...person, factorId: factor.id, secret: factor.totp.secret };
  return { ...enrolled, token: await verify(enrolled) };
}

/** Verifies the factor in the client's session; returns the new token. */
async function verify({ client, factorId, secret }: WithFactor): Promise<string> {
  const code = codeAt(secret, Date.now());
  const { data, error } = await client.auth.mfa.challengeAndVerify({ factorId, code });
  assert.equal(error, null);
  assert.ok(data);
  return data.access_token;
}

async function isVerified(token: string, max_age = "1 year"): Promise<boolean> {
  const { data, error } = await clientWith(token).rpc("mfa_verified", { max_age });
  assert.equal(error, null);
  return data === true;
}

/** Events of the account's factors and their verification, oldest first. */
async function events(user: string): Promise<string[]> {
  const rows = await sql`
    select event_type || ' ' || resource_type as event from bulwark.audit_logs
    where organization_id is null and event_type like 'auth.mfa%' and actor_id = ${user}
    order by id
  `;
  return rows.map(({ event }) => event);
}

Deno.test("RAUTH-F01: a native factor verifies the session, for every token of it, and no other", async () => {
  const ada = await signUp("native");
  const organization_id = await createOrganization(ada);
  const before = ada.token;
  assert.equal(await isVerified(before), false);
  const enrolled = await withNativeFactor(ada);
  assert.equal(await isVerified(enrolled.token, "10 minutes"), true);
  assert.equal(await isVerified(before, "10 minutes"), true, "the session counts, not the token");
  const other = await signInAgain(enrolled);
  assert.equal(await isVerified(other.token), false, "a second session begins without it");
  const require = await enrolled.client.rpc("set_mfa_policy", {
    organization_id,
    required: true,
    grace_period: "0 days",
  });
  assert.equal(require.error, null);
  const may = (token: string) =>
    clientWith(token).rpc("has_permission", { permission: "org:update", organization_id });
  assert.equal(ok(await may(enrolled.token)), true);
  assert.equal((await may(other.token)).data, false, "an organization that requires MFA is closed");
  const token = await verify(other);
  assert.equal(ok(await may(token)), true);
  assert.deepEqual(await events(ada.id), [
    "auth.mfa_enabled auth.mfa_factors",
    "auth.mfa_verified auth.sessions",
    "auth.mfa_verified auth.sessions",
  ]);
  const compliance = await clientWith(token).rpc("mfa_compliance", { organization_id });
  assert.deepEqual(ok(compliance).map(({ enrolled }) => enrolled), [true]);
});

Deno.test("RAUTH-F02: a refreshed session stays verified, and its age is that of the code", async () => {
  const ada = await withNativeFactor(await signUp("refreshed"));
  const { data, error } = await ada.client.auth.refreshSession();
  assert.equal(error, null);
  const token = data.session?.access_token ?? "";
  assert.equal(await isVerified(token, "10 minutes"), true);
  await sql`
    update auth.mfa_amr_claims c set updated_at = now() - interval '1 hour'
    from auth.sessions s
    where s.id = c.session_id and s.user_id = ${ada.id} and c.authentication_method = 'totp'
  `;
  assert.equal(await isVerified(token, "10 minutes"), false, "not fresh");
  assert.equal(await isVerified(token), true, "but verified");
  await ada.client.auth.refreshSession();
  assert.equal(await isVerified(token, "10 minutes"), false, "a refresh makes nothing fresh");
  await verify(ada);
  assert.equal(await isVerified(token, "10 minutes"), true, "another code does");
});

Deno.test("RAUTH-F03: a factor that an administrator deletes verifies nothing any more", async () => {
  const ada = await withNativeFactor(await signUp("deleted"));
  const bob = await withNativeFactor(await signUp("kept"));
  const deleted = await service().auth.admin.mfa.deleteFactor({
    id: ada.factorId,
    userId: ada.id,
  });
  assert.equal(deleted.error, null);
  assert.equal(await isVerified(ada.token), false);
  assert.equal(await isVerified(bob.token), true, "another account's stays");
  const { data } = await ada.client.auth.refreshSession();
  if (data.session) assert.equal(await isVerified(data.session.access_token), false, "refreshed");
  assert.deepEqual((await events(ada.id)).at(-1), "auth.mfa_disabled auth.mfa_factors");
});

Deno.test("RAUTH-F04: nor does one that its owner removes, in any session", async () => {
  const ada = await withNativeFactor(await signUp("removed"));
  const other = await signInAgain(ada);
  const token = await verify({ ...ada, client: other.client });
  assert.equal(await isVerified(token), true);
  const removed = await ada.client.auth.mfa.unenroll({ factorId: ada.factorId });
  assert.equal(removed.error, null);
  assert.equal(await isVerified(token), false);
  assert.equal(await isVerified(ada.token), false);
});

Deno.test("RAUTH-F05: of two native factors each verifies, and goes alone", async () => {
  const ada = await withNativeFactor(await signUp("two"));
  const second = await ada.client.auth.mfa.enroll({ factorType: "totp", friendlyName: "Tablet" });
  assert.ok(second.data?.type === "totp");
  const tablet = { ...ada, factorId: second.data.id, secret: second.data.totp.secret };
  await verify(tablet);
  const other = await signInAgain(tablet);
  await verify({ ...tablet, client: other.client });
  assert.equal(await isVerified(other.token), true);
  await service().auth.admin.mfa.deleteFactor({ id: ada.factorId, userId: ada.id });
  assert.equal(await isVerified(other.token), true, "verified by the other one");
  await service().auth.admin.mfa.deleteFactor({ id: tablet.factorId, userId: ada.id });
  assert.equal(await isVerified(other.token), false);
});

Deno.test("RAUTH-F06: a first factor of Bulwark's needs the native one verified, and then wins", async () => {
  const ada = await withNativeFactor(await signUp("both"));
  const other = await signInAgain(ada);
  const refused = await call(other.token, "/enroll", { name: "Phone" });
  assert.deepEqual([refused.status, refused.body.code], [403, "MFA_VERIFICATION_REQUIRED"]);
  const begun = await call(ada.token, "/enroll", { name: "Phone" });
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  const activated = await call(ada.token, "/activate", {
    code: codeAt(begun.body.secret, Date.now() - 30_000),
  });
  assert.equal(activated.status, 200);
  await verify({ ...ada, client: other.client });
  assert.equal(await isVerified(other.token), false, "the native factor no longer verifies");
  const code = codeAt(begun.body.secret, Date.now());
  assert.equal((await call(other.token, "/verify", { code })).status, 200);
  assert.equal(await isVerified(other.token), true);
});

Deno.test("RAUTH-F07: a stolen password adds no factor of Bulwark's beside a native one", async () => {
  const ada = await withNativeFactor(await signUp("stolen"));
  const thief = await signInAgain(ada);
  const refused = await call(thief.token, "/enroll", { name: "Thief's" });
  assert.equal(refused.body.code, "MFA_VERIFICATION_REQUIRED");
  const native = await thief.client.auth.mfa.enroll({ factorType: "totp", friendlyName: "Mine" });
  assert.ok(native.error, "nor another native one, which Auth refuses at aal1");
  assert.equal(await isVerified(thief.token), false);
});

Deno.test("RAUTH-F08: a member whose native factor goes loses the organization that requires one", async () => {
  const admin = await withNativeFactor(await signUp("boss"));
  const organization_id = await createOrganization(admin);
  const member = await withNativeFactor(await signUp("worker"));
  await join(admin, organization_id, member, "viewer");
  const policy = { organization_id, required: true, grace_period: "0 days" };
  assert.equal((await admin.client.rpc("set_mfa_policy", policy)).error, null);
  const rows = async (token: string) =>
    ok(await clientWith(token).from("organizations").select("id").eq("id", organization_id)).length;
  const reads = async (token: string) =>
    ok(
      await clientWith(token).rpc("has_permission", { permission: "org:read", organization_id }),
    );
  assert.equal(await reads(member.token), true);
  await service().auth.admin.mfa.deleteFactor({ id: member.factorId, userId: member.id });
  const kept = await clientWith(member.token).rpc("has_permission", {
    permission: "org:read",
    organization_id,
  });
  assert.equal(kept.data, false);
  assert.ok(await rows(admin.token) === 1);
});
