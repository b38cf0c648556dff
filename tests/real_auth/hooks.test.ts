/** Bulwark's hooks, as Supabase Auth calls them. */
import assert from "node:assert/strict";
import { clientWith, codeAt, signInAgain } from "../mfa/support.ts";
import {
  anonymous,
  callFunction,
  claimsOf,
  connect,
  createOrganization,
  join,
  ok,
  type Person,
  signUp,
} from "../support.ts";

const sql = connect(2);
globalThis.addEventListener("unload", () => void sql.end({ timeout: 1 }));

type Claim = { id: string; slug: string; roles: string[] }[];

/** The claim `organizations` of a token that is made now. */
async function organizations({ client }: Person): Promise<Claim> {
  const { data, error } = await client.auth.refreshSession();
  assert.equal(error, null);
  const token = data.session?.access_token ?? "";
  return claimsOf({ token } as Person)["organizations"] as Claim;
}

async function signInError({ email }: Person, password: string): Promise<string | undefined> {
  const { error } = await anonymous().auth.signInWithPassword({ email, password });
  return error?.message;
}

/** Failed attempts of the account that the log has, each once; and their entries in one organization. */
async function failures(user: string, organization: string): Promise<number[]> {
  const [row] = await sql`
    select count(*) filter (where parent_id is null)::integer as attempts,
      count(*) filter (where organization_id = ${organization})::integer as told
    from bulwark.audit_logs
    where event_type = 'auth.login_failed' and resource_id = ${user}
  `;
  return [row?.["attempts"], row?.["told"]];
}

const tooMany = "Too many attempts: try again later";

Deno.test("RAUTH-H01: tokens name the organizations and roles that their user has, and no others", async () => {
  const [admin, other, person] = [await signUp("a"), await signUp("b"), await signUp("c")];
  assert.deepEqual(claimsOf(person)["organizations"], [], "with the sign-up, too");
  const ours = await createOrganization(admin);
  const theirs = await createOrganization(other);
  await join(admin, ours, person, "viewer");
  assert.deepEqual((await organizations(person)).map(({ id, roles }) => [id, roles]), [
    [ours, ["viewer"]],
  ]);
  await join(other, theirs, person, "analyst");
  assert.deepEqual(
    (await organizations(person)).map(({ id }) => id).toSorted(),
    [ours, theirs].toSorted(),
  );
  const { session_id, role, aal, is_anonymous } = claimsOf(person);
  assert.ok(session_id);
  assert.deepEqual([role, aal, is_anonymous], ["authenticated", "aal1", false], "Auth's own stay");
});

Deno.test("RAUTH-H02: the host's own token hook runs first, and its refusal stands", async () => {
  const person = await signUp("hosted");
  await sql`
    create function public.own_hook(event jsonb) returns jsonb language sql as $$
      select case when event -> 'claims' ->> 'email' like 'refused-%'
        then '{"error": {"http_code": 403, "message": "Not today"}}'
        else jsonb_set(event, '{claims,plan}', '"free"') end
    $$
  `;
  await sql`grant execute on function public.own_hook(jsonb) to supabase_auth_admin`;
  const set = (value: string | null) =>
    sql`update bulwark.settings set value = ${value && sql.json(value)}
      where name = 'rbac.next_access_token_hook'`;
  await sql`grant usage on schema public to supabase_auth_admin`;
  await set("public.own_hook");
  try {
    const { data } = await person.client.auth.refreshSession();
    const claims = claimsOf({ token: data.session?.access_token ?? "" } as Person);
    assert.deepEqual([claims["plan"], claims["organizations"]], ["free", []]);
    const refused = await anonymous().auth.signUp({
      email: `refused-${crypto.randomUUID()}@people.test`,
      password: crypto.randomUUID(),
    });
    assert.match(refused.error?.message ?? "", /Not today/);
  } finally {
    await sql`update bulwark.settings set value = 'null' where name = 'rbac.next_access_token_hook'`;
    await sql`drop function public.own_hook(jsonb)`;
  }
});

Deno.test("RAUTH-H03: five wrong passwords, and not even the right one is accepted", async () => {
  const [admin, bystander] = [await signUp("owner"), await signUp("bystander")];
  const organization = await createOrganization(admin);
  for (let n = 0; n < 7; n++) await signInAgain(admin);
  for (let n = 0; n < 5; n++) {
    assert.equal(await signInError(admin, `wrong ${n}`), "Invalid login credentials");
  }
  assert.equal(await signInError(admin, "wrong once more"), tooMany);
  assert.equal(await signInError(admin, admin.password), tooMany);
  assert.equal(await signInError(bystander, bystander.password), undefined, "another account's");
  assert.deepEqual(await failures(admin.id, organization), [5, 5]);
  const { error } = await admin.client.auth.refreshSession();
  assert.equal(error, null, "who is signed in stays so");
});

Deno.test("RAUTH-H04: an attempt through bulwark-login that the hook sees, too, counts once", async () => {
  const admin = await signUp("through-login");
  const organization = await createOrganization(admin);
  for (const password of ["wrong one", "wrong two"]) {
    const answer = await callFunction("login", { body: { email: admin.email, password } });
    assert.equal(answer.status, 401);
    await answer.body?.cancel();
  }
  assert.deepEqual(await failures(admin.id, organization), [2, 2]);
  const [network] = await sql`
    select count(*)::integer as entries from bulwark.audit_logs
    where event_type = 'auth.login_failed' and resource_id = ${admin.id} and details ? 'network'
  `;
  assert.equal(network?.["entries"], 2, "and its network is known");
});

Deno.test("RAUTH-H05: five wrong codes of a native factor, and not even the right one is", async () => {
  const ada = await signUp("codes");
  const organization = await createOrganization(ada);
  const { data: factor } = await ada.client.auth.mfa.enroll({ factorType: "totp" });
  assert.ok(factor?.type === "totp");
  const attempt = async (code: string) => {
    const { error } = await ada.client.auth.mfa.challengeAndVerify({ factorId: factor.id, code });
    return error?.message ?? "verified";
  };
  const right = () => codeAt(factor.totp.secret, Date.now());
  assert.equal(await attempt(right()), "verified");
  for (let n = 0; n < 5; n++) {
    assert.match(await attempt(right() === "000000" ? "111111" : "000000"), /Invalid TOTP/);
  }
  assert.equal(await attempt(right()), tooMany);
  assert.deepEqual(await failures(ada.id, organization), [5, 5]);
  assert.equal(await signInError(ada, ada.password), undefined, "in a bucket of its own");
  assert.ok(ok(await ada.client.rpc("my_sessions")).length >= 1, "and nobody is signed out");
});

Deno.test("RAUTH-H06: a session that began through bulwark-login shows its user's address and device", async () => {
  const ada = await signUp("seen");
  const answer = await callFunction("login", {
    headers: { "user-agent": "Firefox/1", "x-forwarded-for": "203.0.113.7" },
    body: { email: ada.email, password: ada.password },
  });
  assert.equal(answer.status, 200);
  const { access_token } = await answer.json();
  const sessions = ok(await clientWith(access_token).rpc("my_sessions"));
  const current = sessions.find(({ is_current }) => is_current);
  // The local server appends the caller's own address, which is the one that can be trusted.
  assert.deepEqual([current?.ip, current?.user_agent], ["127.0.0.1", "Firefox/1"]);
});
