/** Bulwark on the auth schema of each version of Supabase Auth since the oldest that it installs on. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { type Cluster } from "../../scripts/stack/cluster.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { migrateAuth } from "../../scripts/stack/real_auth.ts";
import { startScratchCluster } from "../../scripts/stack/scratch_cluster.ts";

const binary = Deno.env.get("SUPABASE_AUTH_BIN") ?? "";
/** The newest migration of Supabase Auth that Bulwark cannot do without: `deleted_at`. */
const oldest = "20230116124412";

/** Runs a task with a cluster whose auth schema has all migrations but some. */
async function withAuth(
  without: string[],
  task: (place: {
    owner: Sql;
    auth: Sql;
    cluster: Cluster;
    password: string;
    upgrade(version: string): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const run = (cluster: Cluster, password: string) =>
    migrateAuth({
      binary,
      folder,
      cluster,
      url: "http://127.0.0.1:1",
      secrets: {
        databasePassword: password,
        jwtSecret: "a secret that signs nothing at all here",
        publishableKey: "",
        secretKey: "",
      },
    });
  const made = await startScratchCluster(
    "auth",
    embeddedPostgres(),
    {},
    async (cluster, password) => {
      const sql = connect(cluster.url("supabase_auth_admin", password));
      // It takes for done each migration that it finds recorded.
      await sql`create table auth.schema_migrations (version varchar(255) primary key)`;
      for (
        const version of without
      ) await sql`insert into auth.schema_migrations values (${version})`;
      await sql.end();
      await run(cluster, password);
    },
  );
  const { cluster, password } = made;
  const owner = connect(cluster.url("postgres", password));
  const auth = connect(cluster.url("supabase_auth_admin", password));
  try {
    await migrate({ cluster, password });
    await task({
      owner,
      auth,
      cluster,
      password,
      async upgrade(version) {
        await auth`delete from auth.schema_migrations where version = ${version}`;
        await run(cluster, password);
      },
    });
  } finally {
    await owner.end();
    await auth.end();
    await made.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

/** An account and a session, as every version of Auth writes them; the log has both. */
async function signUpAndOut(owner: Sql, auth: Sql, version: string): Promise<void> {
  const [user, session] = [crypto.randomUUID(), crypto.randomUUID()];
  await auth`
    insert into auth.users (instance_id, id, aud, role, email, created_at, updated_at)
    values ('00000000-0000-0000-0000-000000000000', ${user}, 'authenticated', 'authenticated',
      ${`${user}@people.test`}, now(), now())
  `;
  await auth`
    insert into auth.sessions (id, user_id, created_at, updated_at, aal)
    values (${session}, ${user}, now(), now(), 'aal1')
  `;
  const [person] = await owner.begin(async (t) => {
    const claims = JSON.stringify({ sub: user, session_id: session, role: "authenticated" });
    await t`select set_config('request.jwt.claims', ${claims}, true)`;
    await t`set local role authenticated`;
    return await t`select bulwark.current_person() as id, bulwark.mfa_verified('1 day') as mfa`;
  });
  assert.deepEqual({ ...person }, { id: user, mfa: false }, version);
  await auth`update auth.users set email = ${`${user}@new.test`} where id = ${user}`;
  await auth`update auth.users set deleted_at = now() where id = ${user}`;
  await auth`delete from auth.sessions where id = ${session}`;
  await auth`delete from auth.users where id = ${user}`;
  const log = await owner`
    select event_type as event from bulwark.audit_logs
    where resource_id in (${user}, ${session}) and parent_id is null order by id
  `;
  assert.deepEqual(log.map(({ event }) => event), [
    "data.create",
    "auth.login",
    "data.update",
    "data.update",
    "auth.logout",
    "data.delete",
  ], version);
  const gaps = await owner`select source, reason from bulwark_private.audit_gaps`;
  assert.deepEqual(gaps.map((gap) => ({ ...gap })), [], version);
}

/** Bulwark's triggers on the auth schema, and the functions that are made for its tables. */
async function installed(owner: Sql): Promise<string[]> {
  const rows = await owner`
    select pg_get_triggerdef(t.oid) as text from pg_trigger t
    where t.tgname ~ '^bulwark_' and t.tgrelid::regclass::text ~ '^auth\\.'
    union all
    select pg_get_functiondef(p.oid) from pg_proc p
    where p.oid::regprocedure::text ~ '^bulwark_private.native_'
    order by 1
  `;
  return rows.map(({ text }) => text);
}

const problems = async (owner: Sql) =>
  (await owner`select problem, object, grantee from bulwark_private.restore_problems()`)
    .filter(({ problem }) => problem !== "job_missing")
    .map(({ problem, object, grantee }) => `${problem} ${object} ${grantee}`);

Deno.test("RAUTH-M01: installed on an old auth schema, Bulwark holds through each of Auth's migrations", async () => {
  let newer: string[] = [];
  let fresh: string[] = [];
  await withAuth([], async ({ owner, auth }) => {
    await signUpAndOut(owner, auth, "fresh");
    const versions = await auth`
      select version from auth.schema_migrations where version > ${oldest} order by version
    `;
    newer = versions.map(({ version }) => version);
    fresh = await installed(owner);
    assert.deepEqual(await problems(owner), []);
  });
  assert.ok(newer.length > 20, "the program has the migrations of years");
  await withAuth(newer, async ({ owner, auth, upgrade }) => {
    await signUpAndOut(owner, auth, oldest);
    for (const version of newer) {
      await upgrade(version);
      await signUpAndOut(owner, auth, version);
    }
    // Only what tells an account that is no longer anonymous cannot be there before such accounts.
    assert.deepEqual(await problems(owner), ["trigger_missing auth.users bulwark_named_account"]);
    await owner`select bulwark_private.mend_restore()`;
    assert.deepEqual(await problems(owner), []);
    assert.deepEqual(await installed(owner), fresh);
  });
});
