/** The schema of a database as text. */
import { debian, run } from "../restores/support.ts";
import { embeddedPostgres, type PostgresInstallation } from "../../scripts/stack/binaries.ts";
import type { Sql } from "../../scripts/stack/connection.ts";
import type { ScratchCluster } from "../../scripts/stack/scratch_cluster.ts";

/** The output of `pg_dump -s`, without the key that newer ones make up. Postgres 15 only. */
export async function dumpedSchema(source: ScratchCluster, database: string): Promise<string[]> {
  const dump = await run(source, database, { name: "pg_dump", args: ["--schema-only"] });
  return dump.split("\n").filter((line) => !/^\\(un)?restrict /.test(line));
}

/** The installations of Postgres to test on, by their number; null if one is missing. */
export const installations = { "15": debian, "17": embeddedPostgres() };

/** The schema of a database, on Debian's Postgres also as pg_dump prints it: it has no newer one. */
export async function schemaOf(
  target: ScratchCluster,
  installation: PostgresInstallation,
  [sql, name]: readonly [Sql, string],
): Promise<string[]> {
  const dumped = installation === debian ? await dumpedSchema(target, name) : [];
  return [...await schemaLines(sql), ...dumped];
}

/** Everything in Bulwark's schemas, and its triggers and policies elsewhere, a line each. */
export async function schemaLines(sql: Sql): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    with ours as (
      select n.oid from pg_namespace n where n.nspname in ('bulwark', 'bulwark_private')
    ), relations as (
      select c.*, c.oid::regclass::text as name from pg_class c
      where c.relnamespace in (select o.oid from ours o)
    )
    select format('schema %s %s %s', n.nspname, n.nspowner::regrole, n.nspacl) as line
    from pg_namespace n where n.oid in (select o.oid from ours o)
    union all
    select concat_ws(' ', 'function', pg_get_functiondef(p.oid), p.proowner::regrole,
      (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a),
      obj_description(p.oid, 'pg_proc'))
    from pg_proc p where p.pronamespace in (select o.oid from ours o)
    union all
    select concat_ws(' ', 'relation', r.name, r.relkind, r.relpersistence, r.relrowsecurity,
      r.reloptions, r.relowner::regrole,
      (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(
        r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner)
      )) a),
      obj_description(r.oid, 'pg_class'),
      case when r.relkind = 'v' then pg_get_viewdef(r.oid) end)
    from relations r where r.relkind in ('r', 'p', 'v', 'S')
    union all
    select concat_ws(' ', 'column', r.name, row_number() over (partition by r.oid order by a.attnum),
      a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
      pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(r.oid, a.attnum))
    from relations r
    join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where r.relkind in ('r', 'p', 'v')
    union all
    select concat_ws(' ', 'constraint', r.name, k.conname, pg_get_constraintdef(k.oid))
    from relations r join pg_constraint k on k.conrelid = r.oid and k.contype <> 'n'
    union all
    select concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
    from relations r join pg_index i on i.indrelid = r.oid
    union all
    select concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
    from pg_trigger t where not t.tgisinternal
    union all
    select concat_ws(' ', 'policy', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive,
      (select string_agg(m::regrole::text, ',' order by m::regrole::text) from unnest(p.polroles) m),
      pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_policy p
    union all
    select concat_ws(' ', 'type', t.oid::regtype, t.typtype, coalesce(t.typacl, acldefault('T', t.typowner)),
      obj_description(t.oid, 'pg_type'),
      (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e
       where e.enumtypid = t.oid))
    from pg_type t
    where t.typnamespace in (select o.oid from ours o) and t.typtype in ('e', 'd')
    order by 1
  `;
  return rows.map(({ line }) => line);
}
