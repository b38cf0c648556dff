/** The first migration, in projects that have already what it would make. */
import assert from "node:assert/strict";
import { embeddedPostgres } from "../../scripts/stack/binaries.ts";
import { connect } from "../../scripts/stack/connection.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { startHostedCluster } from "../../scripts/testing/prepared_clusters.ts";

Deno.test("FND-P01: what is in the way is listed, all of it, and nothing is made", async () => {
  const { cluster, password, stop } = await startHostedCluster("preflight", embeddedPostgres());
  const admin = connect(cluster.url("supabase_admin", password));
  try {
    await admin`create schema bulwark_private`;
    await admin`create role api_key login`;
    await admin`alter role authenticator set pgrst.db_pre_request = 'public.gone'`;
    await assert.rejects(migrate({ cluster, password }), (thrown: Error) => {
      const conflicts = [
        "role api_key exists and has rights of its own",
        "role api_key exists and postgres may not grant it to authenticator",
        "schema bulwark_private exists",
        "the pre-request hook public.gone is no function without arguments",
      ];
      assert.ok(thrown.message.includes(`Cannot install Bulwark: ${conflicts.join("; ")}`));
      return true;
    });
    const [left] = await admin`
      select
        (select count(*)::int from pg_class
         where relnamespace in (select oid from pg_namespace where nspname ~ '^bulwark')) as relations,
        to_regnamespace('bulwark') is null as none
    `;
    assert.deepEqual({ ...left }, { relations: 0, none: true });

    await admin`drop schema bulwark_private`;
    await admin`alter role api_key nologin`;
    await admin`grant api_key to postgres with admin option`;
    await admin`create function public.gone() returns void language sql as 'select'`;
    await migrate({ cluster, password });
    const [made] = await admin`select to_regclass('bulwark.roles') is not null as there`;
    assert.equal(made?.there, true);
    const strangers = await admin`
      select n.nspname, o.name
      from pg_namespace n
      cross join lateral (
        select relname::text from pg_class where relnamespace = n.oid
        union all select proname::text from pg_proc where pronamespace = n.oid
        union all select typname::text from pg_type where typnamespace = n.oid
      ) as o (name)
      where n.nspname in ('public', 'private') and o.name <> 'gone'
    `;
    assert.deepEqual([...strangers], [], "nothing of ours lies where the host's things are");
  } finally {
    await admin.end();
    await stop();
  }
});
