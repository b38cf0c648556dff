-- Built by npm run build from supabase/schemas/11_restores: edit the sources, not this file.

-- Restores: finds and repairs what a backup loses or leaves open.
-- Protects against a project that after a restore is open to everybody (default privileges of the
-- new project open each object that is created), no longer sees sign-ins (backups leave out
-- triggers on the auth schema) or runs no jobs; and against a restore that mixes two logs.
-- No function here is SECURITY DEFINER: the sealer and the operator call them as the owner.

create table bulwark_private.known_privileges (
  object text primary key,
  grants text[] not null
);
comment on table bulwark_private.known_privileges is
  'The privileges that migrations granted to the API roles and to public, for each object of
   Bulwark. Not audited: migrations copy it from the catalogue.';
alter table bulwark_private.known_privileges enable row level security;

create view bulwark_private.present_privileges with (security_invoker = true) as
  with ours as (
    select 'function' as kind, p.oid,
      format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
      coalesce(p.proacl, acldefault('f', p.proowner)) as acl
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'bulwark_private'
      or n.nspname = 'bulwark' and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
    union all
    select case c.relkind when 'S' then 'sequence' else 'table' end, c.oid,
      format('%I.%I', n.nspname, c.relname),
      coalesce(c.relacl, acldefault(
        case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner
      ))
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and c.relkind = 'S'
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
    where c.relkind in ('r', 'p', 'v', 'm', 'S')
      and bulwark_private.is_of_bulwark(coalesce(d.refobjid, c.oid)::regclass)
    union all
    select 'type' as kind, t.oid, format('%I.%I', n.nspname, t.typname),
      coalesce(t.typacl, acldefault('T', t.typowner))
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typtype in ('e', 'd')
      and (
        n.nspname = 'bulwark_private'
        or n.nspname = 'bulwark' and obj_description(t.oid, 'pg_type') is not null and exists (
          select from pg_catalog.pg_attribute a
          where a.atttypid = t.oid and bulwark_private.is_of_bulwark(a.attrelid::regclass)
        )
      )
    union all
    select 'schema' as kind, n.oid, quote_ident(n.nspname),
      coalesce(n.nspacl, acldefault('n', n.nspowner))
    from pg_catalog.pg_namespace n
    where n.nspname = 'bulwark_private'
  )
  select
    o.kind, o.oid, o.name,
    array(
      select concat(case when a.grantee = 0 then 'public' else r.rolname end, '=', a.privilege_type)
      from aclexplode(o.acl) a
      left join pg_catalog.pg_roles r on r.oid = a.grantee
      where a.grantee = 0
        or r.rolname = any ('{anon, authenticated, service_role, api_key}')
      order by 1
    ) as grants
  from ours o
  where not exists (
    select from pg_catalog.pg_depend d where d.objid = o.oid and d.deptype = 'e'
  );
comment on view bulwark_private.present_privileges is
  'The present privileges of the API roles and of public on each object of Bulwark. Without grants
   on columns, which backups neither lose nor widen.';

create function bulwark_private.remember_privileges()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark_private.known_privileges;
  insert into bulwark_private.known_privileges (object, grants)
  select concat_ws(' ', p.kind, p.name), p.grants from bulwark_private.present_privileges p;
end;
$$;
comment on function bulwark_private.remember_privileges() is
  'Records the present privileges as the expected ones. The start calls it, and so does each later
   migration that grants anything.';

create function bulwark_private.opened_privileges()
  returns table (kind text, oid oid, object text, grantee text, privilege text)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select p.kind, p.oid, concat_ws(' ', p.kind, p.name), split_part(g, '=', 1), split_part(g, '=', 2)
  from bulwark_private.present_privileges p
  left join bulwark_private.known_privileges k on k.object = concat_ws(' ', p.kind, p.name)
  cross join unnest(p.grants) as g
  where g <> all (coalesce(k.grants, '{}'))
    -- Functions of the host and objects that enable_audit created are not recorded.
    and (k.object is not null or starts_with(p.name, 'bulwark_private.'))
    and exists (select from bulwark_private.known_privileges);
$$;
comment on function bulwark_private.opened_privileges() is
  'Privileges on objects of Bulwark that no migration granted, one row each.';

create function bulwark.close_privileges()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_open record;
begin
  for v_open in select * from bulwark_private.opened_privileges() loop
    case v_open.kind
      when 'function' then
        execute format(
          'revoke all on function %s from %I', v_open.oid::regprocedure, v_open.grantee
        );
      when 'type' then
        execute format('revoke all on type %s from %I', v_open.oid::regtype, v_open.grantee);
      when 'schema' then
        execute format(
          'revoke %s on schema %s from %I',
          case v_open.privilege when 'USAGE' then 'usage' else 'create' end,
          v_open.oid::regnamespace, v_open.grantee
        );
      else
        execute format(
          'revoke %s on %s %s from %I',
          case v_open.privilege
            when 'SELECT' then 'select' when 'INSERT' then 'insert' when 'UPDATE' then 'update'
            when 'DELETE' then 'delete' when 'TRUNCATE' then 'truncate' when 'USAGE' then 'usage'
            when 'REFERENCES' then 'references' when 'TRIGGER' then 'trigger'
            when 'MAINTAIN' then 'maintain' else 'all'
          end,
          case v_open.kind when 'sequence' then 'sequence' else 'table' end,
          v_open.oid::regclass, v_open.grantee
        );
    end case;
  end loop;
end;
$$;
comment on function bulwark.close_privileges() is
  'Revokes the privileges that opened_privileges finds. Call it as the last statement of a restore,
   in the same transaction, so that nothing is ever open. The first seal after a restore does the
   same.';

create function bulwark_private.outside_triggers()
  returns table (relation regclass, name text)
  language sql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
as $$
  select w.relation, w.name from bulwark_private.auth_watches() w
  union all
  values
    ('auth.users'::regclass, 'bulwark_rights_lock'),
    ('auth.users'::regclass, 'bulwark_invited_account')
  union all
  select 'auth.users'::regclass, 'bulwark_named_account'
  where exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and a.attname = 'is_anonymous'
  )
  union all
  select h.relation, h.name from bulwark_private.host_organization_triggers() h
  union all
  select h.relation, h.name from bulwark_private.host_member_triggers() h;
$$;
comment on function bulwark_private.outside_triggers() is
  'The triggers of Bulwark on the auth schema, which a backup of the Supabase CLI leaves out, and
   those by which it follows tables of the host.';

-- Replaces the plain answer of audit.
create or replace function bulwark_private.restore_problems()
  returns table (problem text, object text, grantee text)
  language plpgsql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_scheduled boolean;
begin
  return query
    select distinct 'privilege_open', o.object, o.grantee from bulwark_private.opened_privileges() o
    union all
    select 'trigger_missing', w.relation::text, w.name
    from bulwark_private.outside_triggers() w
    where not exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = w.relation and t.tgname = w.name and t.tgenabled in ('O', 'A')
    )
    union all
    -- pg_restore --disable-triggers turns "always" triggers into ordinary ones.
    select 'trigger_not_always', g.relation::text, t.tgname::text
    from bulwark_private.audit_watched_tables g
    cross join unnest(string_to_array(g.fingerprint, ' ')) as word
    join pg_catalog.pg_trigger t
      on t.tgrelid = g.relation and t.tgname = split_part(word, '|', 1) and t.tgenabled <> 'A'
    where word ~ '^[^|/]+\|[^|]*\|A:'
      -- A partition's follows its table's.
      and not exists (
        select from pg_catalog.pg_trigger p where p.oid = t.tgparentid and p.tgenabled <> 'A'
      )
    union all
    select 'role_not_granted', 'api_key', 'authenticator'
    where not pg_has_role('authenticator', 'api_key', 'member');
  if to_regclass('cron.job') is not null then
    execute
      $query$ select exists (select from cron.job where jobname = 'bulwark-audit-seal') $query$
    into v_scheduled;
    if not v_scheduled then
      return query select 'job_missing', 'bulwark-audit-seal', null::text;
    end if;
  end if;
end;
$$;
comment on function bulwark_private.restore_problems() is
  'The problems that a restore left, one row each. audit_status shows them, the sealer repairs
   them.';

create function bulwark_private.mend_restore_problem(problem text, object text, grantee text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_table constant regclass := to_regclass(object);
begin
  case problem
    when 'privilege_open' then
      perform bulwark.close_privileges();
    when 'trigger_missing' then
      perform bulwark_private.watch_auth();
      perform bulwark_private.watch_account_deletion();
      perform bulwark_private.watch_invited_accounts();
      perform bulwark_private.watch_named_accounts();
      perform bulwark_private.watch_host_organizations();
      perform bulwark_private.watch_host_members();
    when 'trigger_not_always' then
      execute format('alter table %s enable always trigger %I', v_table, grantee);
    when 'role_not_granted' then
      grant api_key to authenticator;
    when 'job_missing' then
      perform bulwark.schedule_jobs();
  end case;
exception
  -- The problem stays on the list, and mend_restore raises an alarm.
  when insufficient_privilege or undefined_object or undefined_table or undefined_function
    or lock_not_available then
    return;
end;
$$;
comment on function bulwark_private.mend_restore_problem(text, text, text) is
  'Repairs one problem of restore_problems, as far as the owner has the right.';

-- Replaces the plain answer of audit.
create or replace function bulwark_private.mend_restore()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_found jsonb;
  v_left jsonb;
  v_open boolean;
  v_problem record;
begin
  select
    jsonb_agg(distinct concat_ws(' ', p.problem, p.object, p.grantee)),
    bool_or(p.problem = 'privilege_open')
  into v_found, v_open
  from bulwark_private.restore_problems() p;
  if v_found is null then
    return;
  end if;
  for v_problem in
    select p.problem, p.object, p.grantee
    from bulwark_private.restore_problems() p
    where p.problem <> 'privilege_open'
    union all
    select 'privilege_open', null, null where v_open
  loop
    perform bulwark_private.mend_restore_problem(
      v_problem.problem, v_problem.object, v_problem.grantee
    );
  end loop;
  select jsonb_agg(distinct concat_ws(' ', p.problem, p.object, p.grantee)) into v_left
  from bulwark_private.restore_problems() p;
  -- Open privileges are critical even if revoked: they may have been used.
  perform bulwark_private.append_audit_entry(
    'system.warning', resource_type => 'bulwark.audit_logs', action => 'restore_mended',
    severity => case
      when v_open or v_left is not null then 'critical' else 'warning'
    end::bulwark.audit_severity,
    details => jsonb_build_object(
      'problems', jsonb_array_length(v_found),
      'first', jsonb_path_query_array(v_found, '$[0 to 99]'),
      'left', v_left
    )
  );
  if v_open or v_left is not null then
    perform bulwark.raise_security_event(
      'audit_protection_touched', null, null, 'restore',
      jsonb_build_object('problems', jsonb_array_length(v_found), 'open', v_open, 'left', v_left)
    );
  end if;
end;
$$;
comment on function bulwark_private.mend_restore() is
  'After a restore: revokes open privileges, recreates missing objects, and records it. Open
   privileges and problems that remain raise an alarm. The sealer calls it once in each new
   timeline; repeating it is safe.';

create function bulwark.empty_for_restore(first_month date default '2026-11-01')
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role constant text := current_setting('session_replication_role');
  v_tables constant regclass[] := array(
    select c.oid from pg_catalog.pg_class c
    where c.relkind in ('r', 'p') and bulwark_private.is_of_bulwark(c.oid) order by c.oid
  );
  v_table regclass;
  v_trigger record;
begin
  if exists (select from bulwark.organizations) or exists (select from bulwark.audit_keys)
    or exists (select from auth.users) then
    raise exception 'Cannot empty the project for a restore: it is in use'
      using errcode = 'object_not_in_prerequisite_state', detail = 'RESTORE_PROJECT_IN_USE',
            hint = 'Restore into a new project that has nothing but the migrations';
  end if;
  -- As a replica, because tables of the host may have foreign keys to these, without rows yet.
  perform set_config('session_replication_role', 'replica', true);
  foreach v_table in array v_tables loop
    for v_trigger in
      select t.tgname, t.tgenabled from pg_catalog.pg_trigger t
      where t.tgrelid = v_table and t.tgenabled = 'A' and not t.tgisinternal
    loop
      execute format('alter table %s disable trigger %I', v_table, v_trigger.tgname);
    end loop;
  end loop;
  foreach v_table in array v_tables loop
    execute format('delete from %s', v_table);
  end loop;
  foreach v_table in array v_tables loop
    for v_trigger in
      select t.tgname from pg_catalog.pg_trigger t
      where t.tgrelid = v_table and t.tgenabled = 'D' and not t.tgisinternal
    loop
      execute format('alter table %s enable always trigger %I', v_table, v_trigger.tgname);
    end loop;
  end loop;
  perform set_config('session_replication_role', v_role, true);
  perform bulwark_private.remake_audit_partitions(first_month);
  -- A stamp with an argument: rows loaded as a replica keep their values, and the first seal begins
  -- a timeline.
  create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
    for each row execute function bulwark_private.audit_logs_stamp('none');
  alter table bulwark.audit_logs enable always trigger audit_logs_stamp;
end;
$$;
comment on function bulwark.empty_for_restore(date) is
  'Deletes all rows that the migrations inserted into Bulwark''s tables, the log included, so that a
   data-only backup can be loaded; the log gets the partitions of the months from the given one on,
   which is the first that the backup has. For the owner, in the transaction of the restore, in a
   project without users, organizations and audit keys. Errors: RESTORE_PROJECT_IN_USE.';

revoke all on table
  bulwark_private.known_privileges,
  bulwark_private.present_privileges
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.remember_privileges(),
  bulwark_private.opened_privileges(),
  bulwark.close_privileges(),
  bulwark_private.outside_triggers(),
  bulwark_private.mend_restore_problem(problem text, object text, grantee text),
  bulwark.empty_for_restore(first_month date)
  from public, anon, authenticated, service_role;

insert into bulwark_private.capabilities values ('restores', '0.1.0');
