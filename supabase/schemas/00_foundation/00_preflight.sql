-- Preflight: stops before anything is created if the project has objects that Bulwark would have to
-- take over.
-- Protects against half an installation, and against adopting a role that belongs to somebody else.

do $$
declare
  v_conflicts text[];
begin
  select array_agg(c.conflict order by c.conflict) into v_conflicts
  from (
    select format('schema %s exists', n.nspname)
    from pg_catalog.pg_namespace n
    where n.nspname in ('bulwark', 'bulwark_private')
    union all
    select format('role %s does not exist: this is no Supabase project', r.name)
    from unnest('{anon, authenticated, service_role, authenticator, supabase_auth_admin}'::text[])
      as r (name)
    where r.name not in (select p.rolname from pg_catalog.pg_roles p)
    union all
    -- Roles belong to the cluster, so api_key may exist from an earlier installation.
    select 'role api_key exists and has rights of its own'
    from pg_catalog.pg_roles r
    where r.rolname = 'api_key'
      and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
        or r.rolreplication
        or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
    union all
    -- Since Postgres 16 granting a role needs the admin option on it.
    select format('role api_key exists and %s may not grant it to authenticator', current_user)
    from pg_catalog.pg_roles r
    where r.rolname = 'api_key'
      and current_setting('server_version_num')::integer >= 160000
      and not pg_has_role(r.oid, 'member with admin option')
      and not exists (
        select from pg_catalog.pg_auth_members m
        where m.roleid = r.oid and m.member = to_regrole('authenticator')
      )
    union all
    -- bulwark.install_request_hook keeps and calls the host's hook; it must have no arguments.
    select format('the pre-request hook %s is no function without arguments', h.name)
    from (
      select substring(s.setting from '=(.*)$')
      from pg_catalog.pg_db_role_setting d
      cross join unnest(d.setconfig) as s (setting)
      where d.setrole = to_regrole('authenticator')
        and d.setdatabase in (
          0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database())
        )
        and s.setting ~ '^pgrst\.db_pre_request=.'
    ) as h (name)
    where to_regprocedure(h.name || '()') is null
  ) as c (conflict);
  if v_conflicts is not null then
    raise exception 'Cannot install Bulwark: %', array_to_string(v_conflicts, '; ')
      using hint = 'Nothing was changed. Rename what is yours, or remove what is left of an earlier
        installation, and push again';
  end if;
end;
$$;
