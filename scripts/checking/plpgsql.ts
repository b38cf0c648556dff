import { connect } from "../stack/connection.ts";
import { missingFromDebian, type TestClusters } from "../testing/clusters.ts";
import type { TestResult } from "../testing/result.ts";

/**
 * plpgsql_check finds no error and no warning in any PL/pgSQL function of ours; trigger functions
 * are checked against every table whose triggers call them. Where the extension is missing the
 * check is skipped. A result that nobody needs may be assigned to v_ignored: `perform` would run
 * the call as a query, which takes several times as long.
 */
export async function plpgsql(clusters: TestClusters): Promise<TestResult> {
  const missing = missingFromDebian("plpgsql_check");
  if (missing) return { passed: 0, failures: [], skipped: [missing] };
  const debian = await clusters.debian();
  const sql = connect(debian.url("supabase_admin"));
  try {
    await sql`create extension if not exists plpgsql_check with schema extensions`;
    const findings = await sql<{ finding: string }[]>`
      with functions as (
        select p.oid, coalesce(t.tgrelid, 0) as relation, t.tgoldtable, t.tgnewtable
        from pg_proc p
        join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
        left join pg_trigger t on t.tgfoid = p.oid and not t.tgisinternal
        where p.pronamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
          and (t.oid is not null or p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype))
        group by 1, 2, 3, 4
      )
      select concat_ws(
          ' ', f.oid::regprocedure || ':' || coalesce(c.lineno::text, '?'), c.level, c.message, c.detail
        ) as finding
      from functions f
      cross join lateral extensions.plpgsql_check_function_tb(
        f.oid::regprocedure, f.relation::regclass, fatal_errors => false,
        security_warnings => true, oldtable => f.tgoldtable, newtable => f.tgnewtable
      ) c
      where c.message is distinct from 'never read variable "v_ignored"'
      order by 1
    `;
    const failures = findings.map(({ finding }) => finding);
    return { passed: failures.length === 0 ? 1 : 0, failures };
  } finally {
    await sql.end();
  }
}
