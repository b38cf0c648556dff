/** Capabilities that are added to an installation in use. */
import assert from "node:assert/strict";
import { capabilities } from "../../scripts/building/capabilities.ts";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { startUnmigratedCluster } from "../../scripts/testing/databases.ts";
import { applyMigration, install } from "../../scripts/testing/subsets.ts";

const further = capabilities.filter(({ core }) => !core).map(({ name }) => name);

/** The contents of an installation, comparable between databases. */
const contents = (sql: Sql) =>
  sql`
    select p.oid::regprocedure::text as name,
      concat_ws(' ', md5(p.prosrc), p.prosecdef, p.provolatile, p.proconfig,
        array(select a::text from unnest(p.proacl) as a order by 1)) as state
    from pg_proc p
    where p.pronamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
      and p.proname !~ '^audit_[a-z]+_[0-9a-f]{32}$'
    union all
    select c.oid::regclass::text, concat_ws(' ', c.relkind, c.relrowsecurity,
      array(select a::text from unnest(c.relacl) as a order by 1),
      (select string_agg(a.attname, ' ' order by a.attnum) from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0))
    from pg_class c
    where c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
      and c.relkind <> 'S'
    union all
    select 'job ' || j.name, j.command from bulwark_private.jobs j
    union all
    select 'setting ' || s.name, s.value::text from bulwark.settings s
    union all
    select 'known ' || k.object, k.grants::text from bulwark_private.known_privileges k
    where k.object !~ '_[0-9a-f]{32}'
    order by 1, 2
  `;

Deno.test("FND-P02: a capability that is added later raises no alarm and ends in the same schema", async () => {
  const cluster = await startUnmigratedCluster(embeddedPostgres());
  const onEmpty = <T>(task: (url: string, sql: Sql) => Promise<T>) =>
    cluster.withDatabase(async (database) => {
      const url = cluster.url("postgres", database);
      const sql = connect(url);
      try {
        return await task(url, sql);
      } finally {
        await sql.end();
      }
    });
  try {
    const whole = await onEmpty(async (url, sql) => {
      await install(further, url);
      return [...await contents(sql)];
    });
    const grown = await onEmpty(async (url, sql) => {
      await install([], url);
      for (const name of further) {
        // The sealer's next run may come between the two migrations.
        await sql`select bulwark.seal_audit_log()`;
        await applyMigration(name, sql);
        await sql`select bulwark.seal_audit_log()`;
        await applyMigration("start", sql);
      }
      await sql`select bulwark.seal_audit_log()`;
      const alarms = await sql`
        select event_type, action, details::text from bulwark.audit_logs
        where severity = 'critical' or event_type = 'security.suspicious_activity'
      `;
      assert.deepEqual([...alarms], []);
      assert.deepEqual([...await sql`select * from bulwark.security_events`], []);
      const [status] = await sql`select bulwark.audit_status() as status`;
      assert.deepEqual(
        [status?.status.touched_objects, status?.status.restore_problems],
        [[], []],
      );
      return [...await contents(sql)];
    });
    assert.deepEqual(grown, whole);
  } finally {
    await cluster.stop();
  }
});

Deno.test("FND-P03: a function that somebody replaces between two additions raises the alarm", async () => {
  const cluster = await startUnmigratedCluster(embeddedPostgres());
  try {
    await cluster.withDatabase(async (database) => {
      const url = cluster.url("postgres", database);
      await install([], url);
      const sql = connect(url);
      try {
        await sql`select bulwark.seal_audit_log()`;
        await sql`
          create or replace function bulwark_private.mend_restore() returns void
            language sql volatile set search_path = pg_catalog, pg_temp as 'select'
        `;
        await sql`select bulwark.seal_audit_log()`;
        const [{ count } = { count: 0 }] = await sql`
          select count(*)::int from bulwark.security_events
          where event_type = 'audit_protection_touched'
        `;
        assert.equal(count, 1);
      } finally {
        await sql.end();
      }
    });
  } finally {
    await cluster.stop();
  }
});

Deno.test("FND-P05: what a restore has opened is closed by an addition, and not taken for expected", async () => {
  const cluster = await startUnmigratedCluster(embeddedPostgres());
  try {
    await cluster.withDatabase(async (database) => {
      const url = cluster.url("postgres", database);
      await install([], url);
      const sql = connect(url);
      try {
        await sql`grant execute on function bulwark_private.mend_restore() to anon`;
        await sql`grant select on bulwark_private.known_privileges to authenticated`;
        await applyMigration("metrics", sql);
        await applyMigration("start", sql);
        const [opened] = await sql`
          select has_function_privilege('anon', 'bulwark_private.mend_restore()', 'execute')
              as function,
            has_table_privilege('authenticated', 'bulwark_private.known_privileges', 'select')
              as table,
            has_function_privilege('authenticated', 'bulwark.list_alerts()', 'execute') as added
        `;
        assert.deepEqual({ ...opened }, { function: false, table: false, added: true });
      } finally {
        await sql.end();
      }
    });
  } finally {
    await cluster.stop();
  }
});
