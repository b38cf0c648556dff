import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";

/** Row-level security, triggers and privileges of Bulwark's own objects, and the role of API keys. */
export const ownObjects: Check = async ({ sql, has }) => {
  const tables = await sql<{ relation: string }[]>`
    select c.oid::regclass::text as relation
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relrowsecurity
      and n.nspname in ('bulwark', 'bulwark_private')
    order by 1
  `;
  const triggers = await sql<{ relation: string; trigger: string }[]>`
    select t.tgrelid::regclass::text as relation, t.tgname::text as trigger
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_namespace n on n.oid = c.relnamespace
    join pg_proc p on p.oid = t.tgfoid
    where not t.tgisinternal and n.nspname <> 'auth'
      and (
        n.nspname in ('bulwark', 'bulwark_private')
        or p.pronamespace in (to_regnamespace('bulwark'), to_regnamespace('bulwark_private'))
      )
      and (
        t.tgenabled in ('D', 'R')
        -- enable_audit makes its triggers "always".
        or t.tgenabled <> 'A' and t.tgname ~ '^bulwark_audit_(insert|update|delete|truncate)$'
      )
    order by 1, 2
  `;
  const privileges = has("bulwark_private.opened_privileges")
    ? await sql<{ object: string; grantee: string; privileges: string }[]>`
        select o.object, o.grantee, string_agg(lower(o.privilege), ', ' order by o.privilege)
          as privileges
        from bulwark_private.opened_privileges() o
        group by 1, 2 order by 1, 2
      `
    : [];
  return [
    ...tables.map(({ relation }): Found => ({
      code: "RLS_OFF",
      object: relation,
      message: `Row-level security of ${relation} is off`,
    })),
    ...triggers.map(({ relation, trigger }): Found => ({
      code: "TRIGGER_DISABLED",
      object: `${relation}: ${trigger}`,
      message: `The trigger ${trigger} on ${relation} does not run, or not always`,
    })),
    ...privileges.map(({ object, grantee, privileges }): Found => ({
      code: "PRIVILEGE_OPEN",
      object,
      message: `${grantee} has ${privileges} on ${object}, which no migration granted`,
    })),
  ];
};

/** The triggers on the auth schema. */
export const authTriggers: Check = async ({ sql, has }) => {
  const lists = ["bulwark_private.outside_triggers", "bulwark_private.auth_watches"];
  const list = lists.find(has);
  if (!list) return [];
  const rows = await sql<{ relation: string; name: string }[]>`
    select w.relation::text, w.name
    from ${sql.unsafe(`${list}()`)} w
    join pg_class c on c.oid = w.relation and c.relnamespace = to_regnamespace('auth')
    where not exists (
      select from pg_trigger t
      where t.tgrelid = w.relation and t.tgname = w.name and t.tgenabled in ('O', 'A')
    )
    order by 1, 2
  `;
  return rows.map(({ relation, name }) => ({
    code: "AUTH_TRIGGER_MISSING",
    object: `${relation}: ${name}`,
    message: `The trigger ${name} on ${relation} is missing or disabled`,
  }));
};

/** The role of API keys has no right but those of Bulwark's grants. */
export const keyRole: Check = async ({ sql, has }) => {
  if (!has("bulwark.api_keys")) return [];
  const rows = await sql<{ problem: string }[]>`
    select 'authenticator is no member of api_key, so that no request can run as it' as problem
    where not coalesce(pg_has_role('authenticator', to_regrole('api_key'), 'member'), false)
    union all
    select 'api_key can log in, or has attributes of its own' from pg_roles r
    where r.rolname = 'api_key' and (r.rolsuper or r.rolbypassrls or r.rolcanlogin
      or r.rolcreaterole or r.rolcreatedb or r.rolreplication)
    union all
    select 'api_key is a member of ' || m.roleid::regrole
    from pg_auth_members m where m.member = to_regrole('api_key')
    order by 1
  `;
  return rows.map(({ problem }) => ({
    code: "API_KEY_ROLE_CHANGED",
    object: "api_key",
    message: `The role of API keys: ${problem}`,
  }));
};
