import type { Check } from "../context.ts";

/**
 * Settings by which the server logs parameters: of requests, which hold API keys and tokens, and of
 * the scheduler's call, which holds its secret.
 */
export const logs: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.request_function")) return [];
  const rows = await sql<{ role: string; name: string; value: string }[]>`
    with effective as (
      select r.rolname as role, g.name, coalesce(
        (
          -- A role's setting for one database comes before its own, that before the database's.
          select substring(s.setting from '=(.*)$')
          from pg_db_role_setting d
          cross join unnest(d.setconfig) as s (setting)
          where d.setrole in (0, r.oid) and split_part(s.setting, '=', 1) = g.name
            and d.setdatabase in (0, (select b.oid from pg_database b
              where b.datname = current_database()))
          order by d.setrole = 0, d.setdatabase = 0
          limit 1
        ),
        case when g.source in ('user', 'database', 'database user', 'session', 'client')
          then g.boot_val else g.setting end
      ) as value
      from pg_settings g
      cross join pg_roles r
      where r.rolname in ('authenticator', 'postgres')
        and g.name in ('log_parameter_max_length', 'log_parameter_max_length_on_error',
          'log_statement', 'log_min_duration_statement',
          'debug_print_plan', 'auto_explain.log_min_duration', 'auto_explain.log_verbose',
          'auto_explain.log_parameter_max_length', 'auto_explain.log_nested_statements',
          'pgaudit.log_parameter')
    ),
    by_role as (
      select e.role, jsonb_object_agg(e.name, e.value) as v from effective e group by e.role
    )
    select b.role, p.name, b.v ->> p.name as value
    from by_role b
    cross join lateral (
      select 'log_parameter_max_length' as name
      where b.role = 'authenticator' and b.v ->> 'log_parameter_max_length' <> '0'
      union all
      select 'log_parameter_max_length_on_error'
      where b.role = 'authenticator' and b.v ->> 'log_parameter_max_length_on_error' <> '0'
      union all
      select 'debug_print_plan'
      where b.role = 'authenticator' and b.v ->> 'debug_print_plan' not in ('off', 'false')
      union all
      select 'auto_explain.log_parameter_max_length'
      where b.v ->> 'auto_explain.log_min_duration' <> '-1'
        and b.v ->> 'auto_explain.log_parameter_max_length' <> '0'
        and (b.role = 'authenticator'
          or b.v ->> 'auto_explain.log_nested_statements' not in ('off', 'false'))
      union all
      select 'auto_explain.log_verbose'
      where b.role = 'authenticator' and b.v ->> 'auto_explain.log_min_duration' <> '-1'
        and b.v ->> 'auto_explain.log_verbose' not in ('off', 'false')
      union all
      select 'pgaudit.log_parameter' where b.v ->> 'pgaudit.log_parameter' not in ('off', 'false')
      union all
      -- Statements that create secrets have them in their text, not in a parameter.
      select 'log_statement' where b.role = 'postgres' and b.v ->> 'log_statement' = 'all'
      union all
      select 'log_min_duration_statement'
      where b.role = 'postgres' and b.v ->> 'log_min_duration_statement' = '0'
    ) p
    order by 1, 2
  `;
  return rows.map(({ role, name, value }) => ({
    code: "LOG_SHOWS_KEYS",
    object: `${role}: ${name}`,
    message: `With ${name} = ${value} the server may log secrets of the role ${role}`,
  }));
};
