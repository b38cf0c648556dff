-- Adopting a table of the host as the one where organizations are made.
-- Protects against adopting half of it: rows are taken over and triggers created under one lock.
-- SECURITY DEFINER: the helper of policies that make_host_helper creates, because clients may not
--   read the keys. Nothing else here; all of it is the owner's.

create function bulwark_private.host_organization_triggers()
  returns table (relation regclass, name text)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select h.relation, 'bulwark_organizations_' || t
  from bulwark_private.host_organizations h
  cross join unnest('{lock,insert,update,delete,truncate}'::text[]) as t;
$$;
comment on function bulwark_private.host_organization_triggers() is
  'The triggers by which organizations follow a table of the host.';

create function bulwark_private.watch_host_organizations()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed text;
  v_host bulwark_private.host_organizations;
begin
  select * into v_host from bulwark_private.host_organizations;
  if not found then
    return;
  end if;
  select string_agg(format('old.%1$I is distinct from new.%1$I', c), ' or ') into v_changed
  from unnest(array[v_host.key_column, v_host.name_column, v_host.slug_column]) as c
  where c is not null;
  execute format(
    'create or replace trigger bulwark_organizations_lock
      before insert or update or delete or truncate on %1$s
      for each statement execute function bulwark_private.lock_host_rows();
    create or replace trigger bulwark_organizations_insert
      after insert on %1$s referencing new table as changed
      for each statement execute function bulwark_private.follow_host_organizations();
    create or replace trigger bulwark_organizations_update
      after update on %1$s for each row when (%2$s)
      execute function bulwark_private.follow_host_name();
    create or replace trigger bulwark_organizations_delete
      after delete on %1$s referencing old table as changed
      for each statement execute function bulwark_private.follow_host_organizations();
    create or replace trigger bulwark_organizations_truncate
      after truncate on %1$s
      for each statement execute function bulwark_private.follow_host_organizations()',
    v_host.relation, v_changed
  );
end;
$$;
comment on function bulwark_private.watch_host_organizations() is
  'Creates the triggers by which organizations follow a table of the host, and enables them.';

create function bulwark_private.make_host_helper(
  helper text,
  relation regclass,
  key_type text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if helper !~ '^[a-z][a-z0-9_]{0,62}$' then
    raise exception 'Cannot make the helper of policies: % is no plain name', quote_ident(helper)
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME',
            hint = 'Name it: helper => ''team_ids''';
  end if;
  if exists (
    select from pg_catalog.pg_proc p
    where p.pronamespace = 'bulwark'::regnamespace
      and p.proname = helper
      and (obj_description(p.oid, 'pg_proc') ~ '^Made by use_organizations:') is not true
  ) then
    raise exception 'Cannot make the helper of policies: there is another function bulwark.%',
      helper
      using errcode = 'duplicate_function', detail = 'RBAC_HOST_HELPER_TAKEN',
            hint = 'Name it: helper => ''team_ids''';
  end if;
  execute format(
    'create or replace function bulwark.%2$I(permission text)
      returns setof %3$I
      language plpgsql
      stable
      parallel safe
      rows 10
      security definer
      set search_path = pg_catalog, pg_temp
      set plan_cache_mode = force_generic_plan
    as $body$
    begin
      return query
        select k.key::%3$I
        from bulwark.organizations_with($1) as o (id)
        join bulwark_private.organization_keys k on k.organization_id = o.id;
    end;
    $body$;
    revoke all on function bulwark.%2$I(text) from public, anon, authenticated, service_role;
    grant execute on function bulwark.%2$I(text) to authenticated, api_key;
    alter function bulwark.%2$I(text) owner to %1$s;
    comment on function bulwark.%2$I(text) is %4$L',
    (
      select c.relowner::regrole from pg_catalog.pg_class c
      where c.oid = 'bulwark.organizations'::regclass
    ),
    helper, key_type,
    format(
      'Made by use_organizations: the keys in %s of the organizations that organizations_with '
        'returns, for policies in the array form. Errors: RBAC_UNKNOWN_PERMISSION.', relation
    )
  );
end;
$$;
comment on function bulwark_private.make_host_helper(text, regclass, text) is
  'Makes the function that returns organizations_with in the keys of the host. It reads the keys as
   the owner, since clients may not. Errors: RBAC_HOST_HELPER_TAKEN, RBAC_INVALID_NAME.';

create function bulwark_private.take_over_organizations(
  host bulwark_private.host_organizations,
  repeated boolean
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_foreign uuid;
  v_key text;
  v_name text;
  v_slug text;
begin
  for v_foreign in
    execute format(
      'select o.id from bulwark.organizations o
       left join only %1$s t on bulwark_private.organization_of(t.%2$I::text) = o.id
       where t.%2$I is null order by o.id',
      host.relation, host.key_column
    )
  loop
    if not repeated then
      raise exception 'Cannot follow %: there are organizations that are not in it', host.relation
        using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_IN_USE',
              hint = format('Delete them, or insert rows for them, first %s', v_foreign);
    end if;
    perform bulwark_private.delete_host_organization(v_foreign);
  end loop;
  for v_key, v_name, v_slug in
    execute format(
      'select t.%1$I::text, t.%2$I::text, t.%3$I::text
       from only %4$s t order by bulwark_private.organization_of(t.%1$I::text)',
      host.key_column, host.name_column, coalesce(host.slug_column, host.name_column),
      host.relation
    )
  loop
    perform bulwark_private.keep_host_organization(host, v_key, v_name, v_slug);
  end loop;
end;
$$;
comment on function bulwark_private.take_over_organizations(
  bulwark_private.host_organizations, boolean
) is
  'Makes organizations of the rows that the host has. Others are an error, if the table is followed
   for the first time, and are deleted otherwise: their rows are gone.';

create function bulwark.use_organizations(
  target regclass,
  id text default 'id',
  name text default 'name',
  slug text default null,
  helper text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
  v_known regclass;
  v_texts constant regtype[] := array_remove(array[
    'text', 'character varying', to_regtype('extensions.citext'), to_regtype('public.citext')
  ]::regtype[], null);
begin
  perform bulwark_private.require_host_table(target);
  v_host := row(
    true, target, id,
    bulwark_private.require_host_column(target, id, bulwark_private.host_key_types()),
    name, slug, helper
  );
  perform bulwark_private.require_host_column(target, name, v_texts);
  if slug is not null then
    perform bulwark_private.require_host_column(target, slug, v_texts);
  end if;
  if not bulwark_private.is_unique_column(target, id) then
    raise exception 'Cannot follow %: % is not unique, or may be null', target, quote_ident(id)
      using errcode = 'invalid_table_definition', detail = 'RBAC_HOST_COLUMN_UNSUITABLE',
            hint = 'It must be not null, and the primary key or unique by itself';
  end if;
  -- Rights before rows. No row is written between reading the table and watching it.
  perform bulwark_private.lock_rights(null, exclusively => true);
  execute format('lock table %s in share row exclusive mode', target);
  select h.relation into v_known from bulwark_private.host_organizations h;
  if v_known <> target then
    raise exception 'Cannot follow %: organizations follow % already', target, v_known
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_IN_USE',
            hint = 'Call bulwark.release_organizations first';
  end if;
  if v_host.helper is null and v_host.key_type <> 'uuid' then
    v_host.helper := (
      select format('%s_ids', regexp_replace(
        regexp_replace(lower(c.relname), 'ies$', 'y'), 's$', ''
      ))
      from pg_catalog.pg_class c where c.oid = target
    );
  end if;
  if v_host.helper is not null then
    perform bulwark_private.make_host_helper(v_host.helper, target, v_host.key_type);
  end if;
  delete from bulwark_private.host_organizations;
  insert into bulwark_private.host_organizations select v_host.*;
  perform bulwark_private.watch_host_organizations();
  perform bulwark_private.take_over_organizations(v_host, v_known is not null);
end;
$$;
comment on function bulwark.use_organizations(regclass, text, text, text, text) is
  'Takes organizations from a table of yours: ours are made, renamed and deleted with its rows, in
   the same transaction, and its rows are taken over. id: a unique column (uuid, bigint, integer,
   smallint, text); name and slug: columns of text, slug null: org- and the id. helper: the name of
   the function of policies that returns keys of your type, as in
   team_id = any (array(select bulwark.team_ids(''analytics:read''))); null: made of the table''s
   name, none for UUIDs. For the owner (migrations). Call it again after altering the table, and to
   repair what was written while its triggers were disabled. Errors: RBAC_HOST_TABLE_UNSUITABLE,
   RBAC_HOST_COLUMN_UNSUITABLE, RBAC_HOST_IN_USE, RBAC_HOST_HELPER_TAKEN, RBAC_HOST_KEY_REFUSED.';

create function bulwark.release_organizations()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.relation, t.name
    from bulwark_private.host_organization_triggers() t
    join pg_catalog.pg_class c on c.oid = t.relation
  loop
    execute format('drop trigger if exists %I on %s', v_trigger.name, v_trigger.relation);
  end loop;
  delete from bulwark_private.host_organizations;
end;
$$;
comment on function bulwark.release_organizations() is
  'Organizations no longer follow a table of yours: bulwark.create_organization makes them again.
   Those that exist stay, with their keys, and so does the function of policies.';

create function bulwark_private.host_row_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
begin
  select * into v_host from bulwark_private.host_organizations;
  if not found then
    return;
  end if;
  begin
    perform bulwark_private.require_host_table(v_host.relation);
    v_host := bulwark_private.require_host(v_host.relation);
  exception when wrong_object_type or object_not_in_prerequisite_state then
    return query select 'table_altered', v_host.relation::text;
    return;
  end;
  return query
    select 'trigger_missing', format('%s on %s', t.name, t.relation)
    from bulwark_private.host_organization_triggers() t
    where not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = t.relation and g.tgname = t.name and g.tgenabled in ('O', 'A')
        and g.tgfoid::regproc::text ~ '^bulwark_private\.(lock_host_rows|follow_host_)'
    )
    union all
    select 'key_not_unique', format('%s.%I', v_host.relation, v_host.key_column)
    where not bulwark_private.is_unique_column(v_host.relation, v_host.key_column)
    union all
    select 'helper_missing', format('bulwark.%I(text)', v_host.helper)
    where v_host.helper is not null
      and to_regprocedure(format('bulwark.%I(text)', v_host.helper)) is null;
  return query execute format(
    'select case when o.id is null then %3$L else %4$L end, coalesce(t.%2$I::text, o.id::text)
     from bulwark.organizations o
     full join only %1$s t on bulwark_private.organization_of(t.%2$I::text) = o.id
     where o.id is null or t.%2$I is null',
    v_host.relation, v_host.key_column, 'organization_missing', 'row_missing'
  );
end;
$$;
comment on function bulwark_private.host_row_problems() is
  'Where organizations no longer follow the table of the host.';

create function bulwark_private.host_organization_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select p.problem, p.object from bulwark_private.host_row_problems() p
    union all
    select p.problem, p.object from bulwark_private.host_member_problems() p;
end;
$$;
comment on function bulwark_private.host_organization_problems() is
  'Where Bulwark no longer follows the tables of the host: table_altered, trigger_missing,
   key_not_unique, index_missing, helper_missing, organization_missing (a row without one),
   row_missing (an organization without one), grant_missing, grant_left. bulwark.use_organizations
   and bulwark.use_members repair all but the index and the key.';
