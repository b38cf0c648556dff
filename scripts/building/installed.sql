begin;
-- pgTAP first: the project may have functions of the same names.
set local search_path = extensions, public;
select plan(24);

create temporary table built_objects (noun text, kind text, names text);
insert into built_objects values
  @OBJECTS@;
create temporary table built_grants (
  noun text, kind text, privilege text, roles text, objects text
);
insert into built_grants values
  @GRANTS@;
create temporary table built_policies (
  noun text, relation text, command text, roles text, name text
);
insert into built_policies values
  @POLICIES@;

-- Null for what is not there, also if a type in its signature is not.
create function pg_temp.object_of(kind text, name text) returns oid language plpgsql as $$
begin
  return case coalesce(kind, 'table')
    when 'function' then to_regprocedure(name)::oid
    when 'schema' then to_regnamespace(name)::oid
    else to_regclass(name)::oid
  end;
exception
  when undefined_object or undefined_function or invalid_schema_name then
    return null;
end;
$$;
create temporary view built as
  select b.noun, b.kind, n.name
  from built_objects b
  cross join regexp_split_to_table(btrim(b.names, E' \n'), '\s+') as n (name);
-- A capability is installed if any of its tables is there. One without tables has functions alone.
create temporary view installed as
  select distinct b.noun
  from built b
  where b.kind = 'table' and to_regclass(b.name) is not null
    or b.kind = 'function'
    and not exists (select from built t where t.noun = b.noun and t.kind = 'table')
    and exists (
      select from pg_catalog.pg_proc p
      where p.pronamespace = to_regnamespace(split_part(b.name, '.', 1))
        and p.proname = split_part(b.name, '.', 2)
    );
create temporary view present_tables as
  select c.oid, c.oid::regclass::text as name, c.relkind, c.relrowsecurity, c.reloptions,
    c.relowner, n.nspname as schema, coalesce(c.relacl, acldefault('r', c.relowner)) as acl
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and (
    n.nspname = 'bulwark_private'
    or n.nspname = 'bulwark'
      and format('bulwark.%I', c.relname) in (select b.name from built b where b.kind = 'table')
  );
create temporary view present_functions as
  select p.oid, p.oid::regprocedure::text as name, p.prosecdef, p.proconfig, p.prorettype,
    p.proowner, n.nspname as schema, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'bulwark_private'
    or n.nspname = 'bulwark'
      and format('bulwark.%I', p.proname) in (select b.name from built b where b.kind = 'function');
create temporary view clients as
  select r.oid, r.rolname as name from pg_catalog.pg_roles r
  where r.rolname in ('anon', 'authenticated', 'service_role', 'api_key', 'authenticator');

create temporary view expected_grants as
  select g.kind, pg_temp.object_of(g.kind, n.name) as oid, n.name, r.role, p.privilege
  from built_grants g
  cross join lateral (
    select btrim(regexp_replace(s, '\s+', ' ', 'g')) as name
    from regexp_split_to_table(g.objects, ';') as s
  ) n
  cross join regexp_split_to_table(g.roles, ' ') as r (role)
  cross join lateral (
    -- select (a, b) is a privilege on each of the columns.
    select case when g.privilege ~ '[(]'
      then concat(split_part(g.privilege, ' ', 1), '(', btrim(c), ')') else g.privilege end
    from regexp_split_to_table(coalesce(substring(g.privilege from '[(](.*)[)]'), '-'), ',') as c
  ) p (privilege)
  where n.name <> '' and g.noun in (select i.noun from installed i);
create temporary view present_grants as
  select a.kind, a.oid, a.name, coalesce(r.rolname, 'public')::text as role, a.privilege
  from (
    select 'table' as kind, t.oid, t.name, t.relowner as owner, e.grantee,
      lower(e.privilege_type) as privilege
    from present_tables t cross join aclexplode(t.acl) e
    union all
    select 'table', t.oid, t.name, t.relowner, e.grantee,
      format('%s(%s)', lower(e.privilege_type), c.attname)
    from present_tables t
    join pg_catalog.pg_attribute c on c.attrelid = t.oid and c.attacl is not null
    cross join aclexplode(c.attacl) e
    union all
    select 'function', f.oid, f.name, f.proowner, e.grantee, lower(e.privilege_type)
    from present_functions f cross join aclexplode(f.acl) e
    union all
    select 'schema', n.oid, n.nspname, n.nspowner, e.grantee, lower(e.privilege_type)
    from pg_catalog.pg_namespace n
    cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) e
    where n.nspname in ('bulwark', 'bulwark_private')
  ) a
  left join pg_catalog.pg_roles r on r.oid = a.grantee
  where a.grantee <> a.owner;

-- objects
select is_empty(
  $$ select n from unnest('{bulwark, bulwark_private}'::text[]) n
     where to_regnamespace(n) is null $$,
  'INST-01: Bulwark is installed'
);
select is_empty(
  $$ select b.noun, b.name from built b join installed i using (noun)
     where b.kind = 'table' and to_regclass(b.name) is null $$,
  'INST-02: no table of an installed capability is missing'
);
select is_empty(
  $$ select name from present_tables where relkind in ('r', 'p') and not relrowsecurity $$,
  'INST-03: row-level security is on for every table'
);
select is_empty(
  $$ select name from present_tables
     where relkind = 'v'
       and not coalesce(reloptions, '{}') && '{security_invoker=true,security_invoker=on}' $$,
  'INST-04: every view runs with the rights of its reader'
);
select is_empty(
  $$ select name from present_functions
     where not 'search_path=pg_catalog, pg_temp' = any (coalesce(proconfig, '{}')) $$,
  'INST-05: every function, and so each SECURITY DEFINER one, pins its search path'
);
select is_empty(
  $$ select o.name from (
       select name, relowner as owner from present_tables
       union all select name, proowner from present_functions
       union all select nspname, nspowner from pg_catalog.pg_namespace
       where nspname in ('bulwark', 'bulwark_private')
     ) o
     where exists (select from clients c where pg_has_role(c.oid, o.owner, 'member')) $$,
  'INST-06: no role of the API owns anything of Bulwark, or is a member of the owner'
);

-- privileges
select is_empty(
  $$ select p.name, p.role, p.privilege from present_grants p
     where not exists (
       select from expected_grants e
       where e.kind = p.kind and e.oid = p.oid and e.role = p.role and e.privilege = p.privilege
     ) $$,
  'INST-07: nobody has a privilege that no migration granted'
);
select is_empty(
  $$ select e.name, e.role, e.privilege from expected_grants e
     where not exists (
       select from present_grants p
       where p.kind = e.kind and p.oid = e.oid and p.role = e.role and p.privilege = e.privilege
     ) $$,
  'INST-08: and every privilege that was granted is there'
);
select is_empty(
  $$ select t.name, c.name from present_tables t cross join clients c
     where has_table_privilege(
         c.oid, t.oid, 'insert, update, delete, truncate, references, trigger'
       )
       or has_any_column_privilege(c.oid, t.oid, 'insert, update, references') $$,
  'INST-09: no role of the API writes a table, also not through another role'
);
select is_empty(
  $$ select t.name, c.name from present_tables t cross join clients c
     where t.schema = 'bulwark_private' and (
       has_table_privilege(c.oid, t.oid, 'select')
       or has_any_column_privilege(c.oid, t.oid, 'select')
     ) $$,
  'INST-10: nor reads one of bulwark_private'
);
select is_empty(
  $$ select s.relname, c.name
     from pg_catalog.pg_class s
     join pg_catalog.pg_namespace n on n.oid = s.relnamespace
     cross join clients c
     where s.relkind = 'S' and n.nspname in ('bulwark', 'bulwark_private')
       and has_sequence_privilege(c.oid, s.oid, 'usage, select, update') $$,
  'INST-11: nor reaches a sequence'
);
select is_empty(
  $$ select c.name, n.nspname from clients c cross join pg_catalog.pg_namespace n
     where n.nspname in ('bulwark', 'bulwark_private')
       and has_schema_privilege(c.oid, n.oid, 'create') $$,
  'INST-12: no role of the API makes anything in the schemas'
);
select is_empty(
  $$ select f.name, c.name from present_functions f cross join clients c
     where f.prorettype = 'trigger'::regtype and has_function_privilege(c.oid, f.oid, 'execute') $$,
  'INST-13: nor calls a trigger function'
);
select is_empty(
  $$ select s.setting
     from pg_catalog.pg_db_role_setting d
     cross join unnest(d.setconfig) as s (setting)
     where d.setrole in (0, to_regrole('authenticator'))
       and s.setting ~ '^pgrst\.db_schemas?=.*\mbulwark_private\M' $$,
  'INST-14: the Data API does not expose bulwark_private, as far as the database knows'
);

-- policies
create temporary view present_policies as
  select format('%I.%I', n.nspname, c.relname) as relation,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
      when 'd' then 'delete' else 'all' end as command,
    (
      select string_agg(coalesce(r.rolname, 'public'), ' ' order by r.rolname)
      from unnest(p.polroles) as m (role) left join pg_catalog.pg_roles r on r.oid = m.role
    ) as roles, p.polname::text as name, p.polpermissive
  from pg_catalog.pg_policy p
  join pg_catalog.pg_class c on c.oid = p.polrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join present_tables t on t.oid = c.oid;
select is_empty(
  $$ select relation, command, roles, name from present_policies where polpermissive
     except select relation, command, roles, name from built_policies $$,
  'INST-15: no policy opens a table of Bulwark but those that were built'
);
select is_empty(
  $$ select relation, command, roles, name from built_policies
     where noun in (select i.noun from installed i)
     except select relation, command, roles, name from present_policies where polpermissive $$,
  'INST-16: and each of them is there'
);

-- triggers
create temporary view built_triggers as
  select b.noun, split_part(b.name, ':', 1) as relation, split_part(b.name, ':', 2) as name
  from built b join installed i using (noun)
  where b.kind = 'trigger';
select is_empty(
  $$ select b.relation, b.name from built_triggers b
     where not exists (
       select from pg_catalog.pg_trigger t
       where t.tgrelid = to_regclass(b.relation) and t.tgname = b.name
         and t.tgenabled in ('O', 'A')
     ) $$,
  'INST-17: every trigger is there and enabled, also those on the auth schema'
);
select is_empty(
  $$ select b.name, o.operation
     from built b join installed i using (noun)
     cross join unnest('{insert, update, delete, truncate}'::text[]) as o (operation)
     where b.kind = 'audited' and not exists (
       select from pg_catalog.pg_trigger t
       where t.tgrelid = to_regclass(b.name) and t.tgname = 'bulwark_audit_' || o.operation
         and t.tgenabled = 'A'
     ) $$,
  'INST-18: changes of tables that decide are audited, whatever session_replication_role is'
);
select is_empty(
  $$ select t.tgrelid::regclass, t.tgname from pg_catalog.pg_trigger t
     join present_functions f on f.oid = t.tgfoid
     where t.tgenabled in ('D', 'R') $$,
  'INST-19: no trigger of Bulwark is disabled, on tables of the project either'
);

-- roles and hooks
select is_empty(
  $$ select r.rolname from pg_catalog.pg_roles r
     where r.rolname = 'api_key' and (
       r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
       or r.rolreplication
       or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid)
       or not pg_has_role('authenticator', r.oid, 'member')
     ) $$,
  'INST-20: the role of API keys has no rights of its own, and the Data API may take it'
);
select is_empty(
  $$ select f.name from present_functions f
     where f.schema = 'bulwark' and f.name ~ 'custom_access_token_hook\(|_attempt_hook\('
       and not has_function_privilege('supabase_auth_admin', f.oid, 'execute') $$,
  'INST-21: Supabase Auth may call its hooks'
);
create function pg_temp.rows_of(query text, needs text) returns setof text language plpgsql as $$
begin
  if pg_temp.object_of(case when needs ~ '[(]' then 'function' end, needs) is not null then
    return query execute query;
  end if;
end;
$$;
select is_empty(
  $$ select pg_temp.rows_of(
       $q$ select s.value #>> '{}' from bulwark.settings s
           where s.value <> 'null' and to_regproc(s.value #>> '{}') is null
             and s.name in ('rbac.next_access_token_hook', 'rate_limits.next_request_check') $q$,
       'bulwark.settings'
     ) $$,
  'INST-22: the hooks of the project that settings name exist'
);

-- tables of the project that Bulwark guards
select is_empty(
  $$ select pg_temp.rows_of(
       'select concat_ws('': '', relation, role, problem) from bulwark.mfa_uncovered_tables()',
       'bulwark.mfa_uncovered_tables()'
     ) $$,
  'INST-23: nothing goes around a second factor that a table requires'
);
select is_empty(
  $$ select pg_temp.rows_of(
       'select concat_ws('': '', relation, problem) from bulwark.api_key_table_problems()',
       'bulwark.api_key_table_problems()'
     ) $$,
  'INST-24: no table is open to API keys but those that were admitted'
);

select * from finish();
rollback;
