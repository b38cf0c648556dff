import { hookSection as section, hookUri } from "../../config.ts";
import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

/** The pre-request hook of the Data API: Bulwark's is called, and it finds the project's own. */
export const requestHook: Check = async ({ sql, has }) => {
  if (!has("bulwark.check_request")) return [];
  const [row] = await sql`
    select h.name, to_regproc(h.name) = to_regproc('bulwark.check_request') as is_ours,
      -- A hook of the project may call Bulwark's.
      coalesce((select p.prosrc ~ '\\mbulwark[.]check_request\\M' from pg_proc p
        where p.oid = to_regproc(h.name)), false) as calls_ours
    from (
      select substring(s.setting from '=(.*)$') as name
      from pg_db_role_setting d
      cross join unnest(d.setconfig) as s (setting)
      where d.setrole = to_regrole('authenticator')
        and d.setdatabase in (0, (select b.oid from pg_database b
          where b.datname = current_database()))
        and s.setting ~ '^pgrst[.]db_pre_request=.'
      order by d.setdatabase desc
      limit 1
    ) h
  `;
  if (row?.["is_ours"] || row?.["calls_ours"]) return [];
  return [{
    code: "REQUEST_HOOK_NOT_INSTALLED",
    object: row ? String(row["name"]) : null,
    message: row
      ? `The Data API calls the pre-request hook ${row["name"]}, which does not call Bulwark's`
      : "The Data API calls no pre-request hook",
  }];
};

/** The hooks of the project that Bulwark's hooks call exist. */
export const nextHooks: Check = async ({ sql, has }) => {
  if (!has("bulwark.settings")) return [];
  const rows = await sql<{ setting: string; name: string; exists: boolean; open: boolean }[]>`
    select s.name as setting, s.value #>> '{}' as name, f.oid is not null as exists,
      s.name <> 'rbac.next_access_token_hook' or coalesce(
        has_function_privilege('supabase_auth_admin', f.oid, 'execute')
          and has_schema_privilege('supabase_auth_admin', p.pronamespace, 'usage'),
        false
      ) as open
    from bulwark.settings s
    cross join lateral (
      select to_regprocedure(format('%s(%s)', s.value #>> '{}', case s.name
        when 'rbac.next_access_token_hook' then 'jsonb' else '' end)) as oid
    ) f
    left join pg_proc p on p.oid = f.oid
    where s.name in ('rbac.next_access_token_hook', 'rate_limits.next_request_check')
      and s.value <> 'null'
  `;
  return rows.filter(({ exists, open }) => !exists || !open).map(({ setting, name, exists }) => ({
    code: exists ? "HOOK_NOT_EXECUTABLE" : "HOOK_FUNCTION_MISSING",
    object: name,
    message: exists
      ? `Supabase Auth may not execute ${name}, which the setting ${setting} names`
      : `The setting ${setting} names ${name}, which does not exist`,
  }));
};

/** The access token hook: may be executed, and is chosen as far as can be known. */
export const accessTokenHook: Check = async ({ sql, has, project }) => {
  if (!has("bulwark.custom_access_token_hook")) return [];
  const found: Found[] = [];
  const [row] = await sql`
    select has_function_privilege(
        'supabase_auth_admin', 'bulwark.custom_access_token_hook(jsonb)', 'execute'
      ) and has_schema_privilege('supabase_auth_admin', 'bulwark', 'usage') as open
  `;
  if (!row?.["open"]) {
    found.push({
      code: "HOOK_NOT_EXECUTABLE",
      object: "bulwark.custom_access_token_hook",
      message: "Supabase Auth may not execute bulwark.custom_access_token_hook",
    });
  }
  if (!project) {
    found.push({
      code: "TOKEN_HOOK_UNKNOWN",
      object: section,
      message: "Which access token hook Supabase Auth calls cannot be seen from the database",
    });
  } else if (project.config(`${section}.enabled`) !== true) {
    found.push({
      code: "TOKEN_HOOK_OFF",
      object: section,
      message: "supabase/config.toml enables no access token hook",
    });
  } else if (project.config(`${section}.uri`) !== hookUri) {
    found.push({
      code: "TOKEN_HOOK_NOT_CHAINED",
      object: section,
      message: "supabase/config.toml enables another access token hook than Bulwark's",
    });
  }
  return found;
};
