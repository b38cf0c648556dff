-- Adopting tables of the host that say who is a member.
-- Protects against adopting half of one: rows are taken over and triggers created under one lock;
-- and against a mapping that would make members super_admin.
-- No function here is SECURITY DEFINER: all of it is the owner's.

create function bulwark_private.host_member_triggers()
  returns table (relation regclass, name text)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select h.relation, 'bulwark_members_' || t
  from bulwark_private.host_members h
  cross join unnest('{lock,insert,update,delete,truncate}'::text[]) as t;
$$;
comment on function bulwark_private.host_member_triggers() is
  'The triggers by which members follow tables of the host.';

create function bulwark_private.watch_host_members()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  for v_host in select * from bulwark_private.host_members loop
    execute format(
      'create or replace trigger bulwark_members_lock
        before insert or update or delete or truncate on %1$s
        for each statement execute function bulwark_private.lock_host_rows();
      create or replace trigger bulwark_members_insert
        after insert on %1$s referencing new table as new_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_update
        after update on %1$s referencing old table as old_rows new table as new_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_delete
        after delete on %1$s referencing old table as old_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_truncate
        after truncate on %1$s
        for each statement execute function bulwark_private.follow_host_members()',
      v_host.relation
    );
  end loop;
end;
$$;
comment on function bulwark_private.watch_host_members() is
  'Creates the triggers by which members follow tables of the host, and enables them.';

create function bulwark_private.require_host_roles(roles jsonb, otherwise text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  if jsonb_typeof(roles) is distinct from 'object'
    or jsonb_path_exists(roles, '$.* ? (@.type() != "string" && @.type() != "null")') then
    raise exception 'Cannot follow table: roles is no object of names'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_HOST_ROLE_UNKNOWN',
            hint = 'Such as {"owner": "admin", "member": "analyst", "invited": null}';
  end if;
  for v_name in
    select r.value from jsonb_each_text(roles) r where r.value is not null
    union
    select otherwise where otherwise is not null
  loop
    if (bulwark_private.find_role(v_name, null)).id = bulwark_private.super_admin_role() then
      raise exception 'Cannot follow table: super_admin is system-wide, not of one organization'
        using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
          hint = 'Map the value to admin';
    end if;
  end loop;
end;
$$;
comment on function bulwark_private.require_host_roles(jsonb, text) is
  'Checks the mapping of bulwark.use_members: an object of names of system roles and nulls. Errors:
   RBAC_HOST_ROLE_UNKNOWN, RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE.';

create function bulwark_private.host_grant_differences()
  returns table (problem text, organization_id uuid, user_id uuid)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select
    case when g.user_id is null then 'grant_missing' else 'grant_left' end,
    coalesce(g.organization_id, w.organization_id), coalesce(g.user_id, w.user_id)
  from (select * from bulwark.user_roles r where r.source = 'host') g
  full join (
    select distinct h.*
    from bulwark_private.host_grants() h
    join bulwark.organizations o on o.id = h.organization_id
  ) w
    on w.user_id = g.user_id and w.organization_id = g.organization_id and w.role_id = g.role_id
  where g.user_id is null or w.user_id is null;
$$;
comment on function bulwark_private.host_grant_differences() is
  'The grants that rows of the host stand for and that are missing, and those that no row stands
   for.';

create function bulwark.use_members(
  target regclass,
  organization text default 'organization_id',
  member text default 'user_id',
  role text default 'role',
  roles jsonb default '{}',
  otherwise text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text;
begin
  perform bulwark_private.require_host_table(target);
  v_type := bulwark_private.require_host_column(
    target, organization, bulwark_private.host_key_types()
  );
  perform bulwark_private.require_host_column(target, member, '{uuid}');
  if role is not null then
    perform bulwark_private.require_host_column(target, role, null);
  elsif otherwise is null then
    raise exception 'Cannot follow %: it has neither a column of roles nor a role for all', target
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_host_roles(roles, otherwise);
  -- Rights before rows. No row is written between reading the table and watching it.
  perform bulwark_private.lock_rights(null, exclusively => true);
  execute format('lock table %s in share row exclusive mode', target);
  -- A table that was dropped gives nothing any more.
  delete from bulwark_private.host_members h
  where h.relation = target
    or not exists (select from pg_catalog.pg_class c where c.oid = h.relation);
  insert into bulwark_private.host_members
  values (target, organization, v_type, member, role, roles, otherwise);
  perform bulwark_private.watch_host_members();
  perform bulwark_private.follow_members(coalesce(k.key, c.organization_id::text), c.members)
  from (
    select d.organization_id, array_agg(d.user_id) as members
    from bulwark_private.host_grant_differences() d
    group by 1
    order by 1
  ) c
  left join bulwark_private.organization_keys k on k.organization_id = c.organization_id;
end;
$$;
comment on function bulwark.use_members(regclass, text, text, text, jsonb, text) is
  'Takes memberships from a table of yours: roles are granted and revoked with its
   rows, in the same transaction, and the present rows are taken over. organization and member name
   its columns (member: uuid, the id of an account), role the column that roles maps to system
   roles: {"owner": "admin", "invited": null}. otherwise: the role of other values; null: they are
   an error. With role null every row stands for otherwise. Rows without an organization, an account
   or a role grant nothing. It may be called for several tables. For the owner (migrations). Call it
   again after altering the table, and to repair what was written while its triggers were disabled.
   Errors: RBAC_HOST_TABLE_UNSUITABLE, RBAC_HOST_COLUMN_UNSUITABLE, RBAC_HOST_ROLE_UNKNOWN,
   RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE, RBAC_NULL_ARGUMENT.';

create function bulwark.release_members()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  perform bulwark_private.lock_rights(null, exclusively => true);
  for v_trigger in
    select t.relation, t.name
    from bulwark_private.host_member_triggers() t
    join pg_catalog.pg_class c on c.oid = t.relation
  loop
    execute format('drop trigger if exists %I on %s', v_trigger.name, v_trigger.relation);
  end loop;
  delete from bulwark_private.host_members;
  delete from bulwark.user_roles g
  where g.source = 'host' and exists (
    select from bulwark.user_roles o
    where o.user_id = g.user_id and o.organization_id = g.organization_id
      and o.role_id = g.role_id and o.source = 'own'
  );
  update bulwark.user_roles g set source = 'own' where g.source = 'host';
end;
$$;
comment on function bulwark.release_members() is
  'Members no longer follow tables of yours: those who are members stay, with grants that functions
   change from now on.';

create function bulwark_private.host_member_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation regclass;
begin
  for v_relation in select h.relation from bulwark_private.host_members h loop
    begin
      perform bulwark_private.require_host_table(v_relation);
      perform bulwark_private.require_members_host(v_relation);
    exception when wrong_object_type or object_not_in_prerequisite_state then
      return query select 'table_altered', v_relation::text;
      return;
    end;
  end loop;
  return query
    select 'trigger_missing', format('%s on %s', t.name, t.relation)
    from bulwark_private.host_member_triggers() t
    where not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = t.relation and g.tgname = t.name and g.tgenabled in ('O', 'A')
        and g.tgfoid in (
          'bulwark_private.lock_host_rows'::regproc, 'bulwark_private.follow_host_members'::regproc
        )
    )
    union all
    -- Without one, each change of a member reads the whole table.
    select 'index_missing', h.relation::text
    from bulwark_private.host_members h
    where not exists (
      select
      from pg_catalog.pg_index i
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indrelid = h.relation and i.indisvalid and i.indpred is null
        and a.attname in (h.organization_column, h.member_column)
    );
  return query
    select d.problem, format('%s in %s', d.user_id, d.organization_id)
    from bulwark_private.host_grant_differences() d;
end;
$$;
comment on function bulwark_private.host_member_problems() is
  'Where members no longer follow the tables of the host.';
