/** Sessions that users end: over HTTP with Supabase Auth, and in parallel. */
import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { anonymous, callFunction, connect, createOrganization, ok, signUp } from "../support.ts";

Deno.test("SESS-E01: an ended session's token opens nothing of Bulwark, and cannot be refreshed", async () => {
  const ada = await signUp("two-devices");
  const organization_id = await createOrganization(ada);
  const phone = anonymous();
  const signedIn = await phone.auth.signInWithPassword(ada);
  const token = signedIn.data.session?.access_token;
  assert.ok(token);
  const bulwark = (client: typeof phone) =>
    client.rpc("check_permissions", { permissions: ["org:read"], organization_id });
  assert.equal(ok(await bulwark(phone))[0]?.allowed, true);

  const sessions = ok(await ada.client.rpc("my_sessions"));
  assert.equal(sessions.length, 2);
  const other = sessions.find(({ is_current }) => !is_current);
  assert.ok(other);
  const stranger = await signUp("stranger");
  const refused = await stranger.client.rpc("end_session", { session_id: other.id });
  assert.equal(refused.error?.details, "SESSION_NOT_FOUND");
  assert.equal(refused.status, 404);
  const ended = await ada.client.rpc("end_session", { session_id: other.id });
  assert.equal(ended.error, null);

  assert.equal(ok(await bulwark(phone))[0]?.allowed, false);
  assert.deepEqual(ok(await phone.from("organizations").select("id")), []);
  const listed = await phone.rpc("my_sessions");
  assert.equal(listed.status, 401);
  assert.equal(listed.error?.details, "SESSION_ENDED");
  const called = await callFunction(
    `rbac?permission=org:read&organization_id=${organization_id}`,
    { token },
  );
  assert.ok([401, 403].includes(called.status), String(called.status));
  await called.body?.cancel();
  assert.ok((await phone.auth.refreshSession()).error, "Auth does not refresh it");
  assert.equal(ok(await ada.client.rpc("my_sessions")).length, 1);
});

Deno.test("SESS-P01: two sessions that end each other leave one, and no deadlock", async () => {
  const sql = connect(2);
  const user = crypto.randomUUID();
  await sql`
    insert into auth.users (id, aud, role, email, email_confirmed_at)
    values (${user}, 'authenticated', 'authenticated', ${`${user}@races.test`}, now())
  `;
  const ends = async (from: string, session: string) => {
    try {
      await sql.begin(async (transaction) => {
        const t = transaction as unknown as Sql;
        const claims = JSON.stringify({ sub: user, session_id: from, role: "authenticated" });
        await t`select set_config('request.jwt.claims', ${claims}, true)`;
        await t`set local role authenticated`;
        await t`select bulwark.end_session(${session})`;
      });
      return "ended";
    } catch (thrown) {
      return (thrown as { detail?: string }).detail ?? String(thrown);
    }
  };
  for (let round = 0; round < 20; round++) {
    const pair = [crypto.randomUUID(), crypto.randomUUID()] as const;
    for (const id of pair) {
      await sql`insert into auth.sessions (id, user_id, aal) values (${id}, ${user}, 'aal1')`;
    }
    const answers = await Promise.all([ends(pair[0], pair[1]), ends(pair[1], pair[0])]);
    assert.deepEqual(answers.toSorted(), ["SESSION_ENDED", "ended"]);
    const left = await sql`select id from auth.sessions where id in ${sql(pair)}`;
    assert.equal(left.length, 1);
    await sql`delete from auth.sessions where id in ${sql(pair)}`;
  }
  await sql`delete from auth.users where id = ${user}`;
  await sql.end();
});
