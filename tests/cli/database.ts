/** A hosted-like database for the command's tests, and its schema as text. */
import { join } from "node:path";
import { debianPostgres, embeddedPostgres } from "../../scripts/stack/binaries.ts";
import type { PostgresInstallation } from "../../scripts/stack/binaries.ts";
import type { Cluster } from "../../scripts/stack/cluster.ts";
import { connect, type Sql } from "../../scripts/stack/connection.ts";
import { migrate } from "../../scripts/stack/migrate.ts";
import { missingFromDebian } from "../../scripts/testing/clusters.ts";
import { startHostedCluster } from "../../scripts/testing/prepared_clusters.ts";
import { push } from "../../scripts/testing/push.ts";
import { run } from "./support.ts";

/** A database that a project is pushed to. */
export interface ProjectDatabase {
  major: number;
  cluster: Cluster;
  password: string;
  /** As `postgres`, who is no superuser. */
  sql: Sql;
  /** As the superuser. */
  admin: Sql;
  /** The address for `--db`. */
  url: string;
  /** Pushes a project with the real Supabase CLI. */
  push(project: string): Promise<void>;
  /** The same without the CLI: faster, where it is not the subject. */
  apply(project: string): Promise<void>;
  /** The schema: pg_dump of 15, and a listing of the catalogue on 17, which comes without pg_dump. */
  schema(): Promise<string>;
  stop(): Promise<void>;
}

/** The servers to test on: always 17, and 15 with pg_cron where Debian's is installed. */
export const installations: PostgresInstallation[] = [
  embeddedPostgres(),
  ...missingFromDebian() === null ? [debianPostgres()].filter((each) => each !== null) : [],
];

/** Starts a database; Debian's runs pg_cron. */
export async function startDatabase(installation: PostgresInstallation): Promise<ProjectDatabase> {
  const { major, bin } = installation;
  const settings: Record<string, string> = major === 15
    ? { shared_preload_libraries: "pg_stat_statements,pg_cron" }
    : {};
  const { cluster, password, stop } = await startHostedCluster("cli", installation, settings);
  const sql = connect(cluster.url("postgres", password));
  const admin = connect(cluster.url("supabase_admin", password));
  if (major === 15) {
    await admin`create extension pg_cron with schema pg_catalog`;
    await admin`grant usage on schema cron to postgres with grant option`;
    await admin`grant all on all tables in schema cron to postgres with grant option`;
  }
  const dump = async () => {
    const args = [
      "--schema-only",
      "--exclude-schema=supabase_migrations",
      cluster.url("supabase_admin", password),
    ];
    const { code, stdout, stderr } = await run(join(bin, "pg_dump"), args, "/");
    if (code !== 0) throw new Error(stderr);
    return stdout.replace(/^\\(un)?restrict .*$/gm, "");
  };
  return {
    major,
    cluster,
    password,
    sql,
    admin,
    url: cluster.url("postgres", password),
    push: (project) => migrate({ cluster, password, project }),
    apply: (project) => push({ cluster, password, project }),
    schema: () => major === 15 ? dump() : catalogue(admin),
    async stop() {
      await sql.end();
      await admin.end();
      await stop();
    },
  };
}

/** Everything outside of the system's and the migrations' schemas, one line each. */
async function catalogue(admin: Sql): Promise<string> {
  const rows = await admin<{ line: string }[]>`
    with schemas as (
      select oid, nspname from pg_namespace
      where nspname !~ '^pg_' and nspname not in ('information_schema', 'supabase_migrations')
    )
    select concat_ws(' ', 'schema', nspname, nspacl) as line
    from pg_namespace where oid in (select oid from schemas)
    union all
    select concat_ws(' ', 'relation', c.oid::regclass, c.relkind, c.relowner::regrole, c.relacl,
      c.relrowsecurity, pg_get_viewdef(c.oid))
    from pg_class c where c.relnamespace in (select oid from schemas)
    union all
    select concat_ws(' ', 'column', a.attrelid::regclass, a.attname,
      format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
      pg_get_expr(d.adbin, d.adrelid))
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relnamespace in (select oid from schemas)
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped
    union all
    select concat_ws(' ', 'function', pg_get_functiondef(p.oid), p.proacl)
    from pg_proc p where p.pronamespace in (select oid from schemas) and p.prokind in ('f', 'p')
    union all
    select concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_trigger t where not t.tgisinternal
    union all
    select concat_ws(' ', 'constraint', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    from pg_constraint k where k.connamespace in (select oid from schemas)
    union all
    select concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where c.relnamespace in (select oid from schemas)
    union all
    select concat_ws(' ', 'policy', p.*) from pg_policies p
    union all
    select concat_ws(' ', 'default', a.defaclrole::regrole, a.defaclnamespace::regnamespace, a.defaclacl)
    from pg_default_acl a
    union all
    select concat_ws(' ', 'role', r.rolname, r.rolcanlogin, r.rolconfig) from pg_roles r
    union all
    select concat_ws(' ', 'setting', s.setrole::regrole, s.setdatabase, s.setconfig)
    from pg_db_role_setting s
    order by 1
  `;
  return rows.map(({ line }) => line).join("\n");
}
