-- Members of the host: tables of the host's say who is a member of which organization; triggers on
-- them grant and revoke the roles here, in the same transaction.
-- Protects against a member who was removed there and still may here, also if two rows of one
-- member change at once: the grants are computed from the rows behind the lock of the
-- organization's rights. A table that was altered since fails closed.
-- SECURITY DEFINER: the trigger functions, because writers of the host's tables and Supabase Auth
--   may not write grants.

create table bulwark_private.host_members (
  relation regclass primary key,
  organization_column text not null,
  organization_type text not null,
  member_column text not null,
  role_column text,
  roles jsonb not null,
  otherwise text,
  check (role_column is not null or otherwise is not null)
);
comment on table bulwark_private.host_members is
  'The tables of the host that say who is a member (bulwark.use_members).';
comment on column bulwark_private.host_members.roles is
  'The system role of each value of role_column; null: none.';
comment on column bulwark_private.host_members.otherwise is
  'The system role of other values, or of every row if role_column is null.';
alter table bulwark_private.host_members enable row level security;

create function bulwark_private.require_own_members()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from bulwark_private.host_members) then
    raise exception 'Cannot invite members here: the application makes them'
      using errcode = 'PT409', detail = 'RBAC_MEMBERS_ARE_HOSTS', hint = (
        select 'Write the table ' || string_agg(h.relation::text, ', ' order by h.relation::text)
        from bulwark_private.host_members h
      );
  end if;
end;
$$;
comment on function bulwark_private.require_own_members() is
  'Raises RBAC_MEMBERS_ARE_HOSTS if members follow a table of the host.';

create function bulwark_private.require_no_host_grant(
  user_id uuid,
  role_id uuid,
  organization_id uuid
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from bulwark.user_roles g
    where g.user_id = require_no_host_grant.user_id
      and g.role_id = require_no_host_grant.role_id
      and g.organization_id = require_no_host_grant.organization_id
      and g.source = 'host'
  ) then
    raise exception 'Cannot revoke role: the application grants it'
      using errcode = 'PT409', detail = 'RBAC_GRANT_IS_HOSTS', hint = (
        select 'Change the row in ' || string_agg(h.relation::text, ', ' order by h.relation::text)
        from bulwark_private.host_members h
      );
  end if;
end;
$$;
comment on function bulwark_private.require_no_host_grant(uuid, uuid, uuid) is
  'Raises RBAC_GRANT_IS_HOSTS if a grant follows a row of the host.';

create function bulwark_private.host_role(host bulwark_private.host_members, value text)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant text := case
    when host.role_column is not null and host.roles ? value then host.roles ->> value
    else host.otherwise
  end;
begin
  if host.role_column is not null and value is null then
    return null;
  end if;
  if v_name is null and (host.roles ? value) is not true then
    raise exception 'Cannot follow %: its role "%" stands for none here',
      host.relation, left(value, 64)
      using errcode = 'check_violation', detail = 'RBAC_HOST_ROLE_UNKNOWN',
            hint = 'Name it in roles, or a role for others in otherwise, of bulwark.use_members';
  end if;
  return case when v_name is not null then (bulwark_private.find_role(v_name, null)).id end;
end;
$$;
comment on function bulwark_private.host_role(bulwark_private.host_members, text) is
  'The system role for a value of the host''s role column; null: none. Errors:
   RBAC_HOST_ROLE_UNKNOWN, RBAC_UNKNOWN_ROLE.';

create function bulwark_private.require_members_host(relation oid)
  returns bulwark_private.host_members
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  select * into v_host
  from bulwark_private.host_members h
  where h.relation = require_members_host.relation
    and not exists (
      select from unnest(array[h.organization_column, h.member_column, h.role_column]) as c (name)
      where c.name is not null and not exists (
        select
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = h.relation and a.attname = c.name
          and (c.name <> h.organization_column or t.typname = h.organization_type)
      )
    );
  if not found then
    raise exception 'Cannot change %: it was altered since members follow it', relation::regclass
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_TABLE_CHANGED',
            hint = 'Call bulwark.use_members with its present columns';
  end if;
  return v_host;
end;
$$;
comment on function bulwark_private.require_members_host(oid) is
  'How members follow a table. Raises RBAC_HOST_TABLE_CHANGED if its columns are others now.';

create function bulwark_private.may_be_member(user_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from auth.users u
    where u.id = may_be_member.user_id
      -- Through jsonb, because older versions of Supabase Auth lack the column.
      and (
        (to_jsonb(u) -> 'is_anonymous') is distinct from 'true'
        or bulwark_private.setting('rbac.anonymous_members') = 'true'
      )
  );
$$;
comment on function bulwark_private.may_be_member(uuid) is
  'Whether an account exists and is not anonymous, or anonymous ones may be members.';

create function bulwark_private.host_grants(key text default null, members uuid[] default null)
  returns table (organization_id uuid, user_id uuid, role_id uuid)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  for v_host in select * from bulwark_private.host_members loop
    v_host := bulwark_private.require_members_host(v_host.relation);
    for organization_id, user_id, role_id in
      execute format(
        'select r.organization_id, r.user_id, r.role_id
         from (
           select bulwark_private.organization_of(m.%1$I::text) as organization_id,
             m.%2$I as user_id, bulwark_private.host_role($3, m.%3$I::text) as role_id
           from only %4$s m
           where ($1 is null or m.%1$I = $1::%5$I) and ($2 is null or m.%2$I = any ($2))
           group by m.%1$I, m.%2$I, m.%3$I
         ) r
         where r.role_id is not null and bulwark_private.may_be_member(r.user_id)',
        v_host.organization_column, v_host.member_column,
        coalesce(v_host.role_column, v_host.member_column), v_host.relation,
        v_host.organization_type
      ) using key, members, v_host
    loop
      return next;
    end loop;
  end loop;
end;
$$;
comment on function bulwark_private.host_grants(text, uuid[]) is
  'The grants that follow from the host''s rows: of some members in the organization with a key, or
   all. Whether the organization exists is not asked. Errors: RBAC_HOST_ROLE_UNKNOWN,
   RBAC_HOST_TABLE_CHANGED.';

-- From all rows of the members, behind the lock: a concurrent change of another row has been
-- committed by then, and is seen.
create function bulwark_private.follow_members(key text, members uuid[])
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization constant uuid := bulwark_private.organization_of(key);
  v_roles uuid[];
  v_users uuid[];
begin
  perform bulwark_private.require_plain_key(key);
  perform bulwark_private.lock_rights(v_organization, exclusively => true);
  if not exists (select from bulwark.organizations o where o.id = v_organization) then
    return;
  end if;
  select array_agg(g.user_id), array_agg(g.role_id) into v_users, v_roles
  from bulwark_private.host_grants(key, members) g;
  -- First the new ones, so that a change of role is no departure.
  insert into bulwark.user_roles (user_id, role_id, organization_id, granted_by, source)
  select w.user_id, w.role_id, v_organization, bulwark.current_person(), 'host'
  from unnest(v_users, v_roles) as w (user_id, role_id)
  on conflict on constraint user_roles_is_granted_once do nothing;
  -- With the last row of a member everything ends that was granted beside it.
  delete from bulwark.user_roles g
  where g.organization_id = v_organization
    and g.user_id in (select unnest(members))
    and case g.source
      when 'host' then (g.user_id, g.role_id) not in (select * from unnest(v_users, v_roles))
      else g.user_id not in (select unnest(v_users)) and exists (
        select from bulwark.user_roles h
        where h.user_id = g.user_id and h.organization_id = v_organization and h.source = 'host'
      )
    end;
end;
$$;
comment on function bulwark_private.follow_members(text, uuid[]) is
  'Grants members of an organization the roles of the host''s rows, and revokes the rest.';

create function bulwark_private.follow_members_of(key text default null, member uuid default null)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
  v_key text;
  v_members uuid[];
begin
  for v_host in select * from bulwark_private.host_members loop
    v_host := bulwark_private.require_members_host(v_host.relation);
    for v_key, v_members in
      execute format(
        'select m.%2$I::text, array_agg(distinct m.%3$I)
         from only %1$s m
         where m.%2$I is not null and m.%3$I is not null
           and ($1 is null or m.%2$I = $1::%4$I) and ($2 is null or m.%3$I = $2)
         group by m.%2$I
         order by bulwark_private.organization_of(m.%2$I::text)',
        v_host.relation, v_host.organization_column, v_host.member_column,
        v_host.organization_type
      ) using key, member
    loop
      perform bulwark_private.follow_members(v_key, v_members);
    end loop;
  end loop;
end;
$$;
comment on function bulwark_private.follow_members_of(text, uuid) is
  'bulwark_private.follow_members for one organization, the organizations of one account, or all.';

create function bulwark_private.follow_granted()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights_of_many((
    select count(distinct g.organization_id) from bulwark.user_roles g where g.source = 'host'
  ));
  perform bulwark_private.follow_members(coalesce(k.key, g.organization_id::text), g.members)
  from (
    select r.organization_id, array_agg(distinct r.user_id) as members
    from bulwark.user_roles r where r.source = 'host'
    group by 1
    order by 1
  ) g
  left join bulwark_private.organization_keys k on k.organization_id = g.organization_id;
end;
$$;
comment on function bulwark_private.follow_granted() is
  'bulwark_private.follow_members for everybody who has a grant of the host''s, so that those
   without a row lose it.';

-- Statement by statement, so that organizations are locked in the order of their ids.
create function bulwark_private.follow_host_members()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_members := bulwark_private.require_members_host(tg_relid);
  v_columns constant text := format(
    'select m.%I::text as key, m.%I as member, m.%I::text as role from ',
    v_host.organization_column, v_host.member_column,
    coalesce(v_host.role_column, v_host.member_column)
  );
  v_new constant text := v_columns || 'new_rows m';
  v_old constant text := v_columns || 'old_rows m';
  v_changed constant text := case tg_op
    when 'INSERT' then v_new
    when 'DELETE' then v_old
    else format('(%1$s except %2$s) union (%2$s except %1$s)', v_old, v_new)
  end;
  v_organizations bigint;
  v_key text;
  v_members uuid[];
begin
  if tg_op = 'TRUNCATE' then
    perform bulwark_private.follow_granted();
    return null;
  end if;
  execute format('select count(distinct c.key) from (%s) c', v_changed) into v_organizations;
  perform bulwark_private.lock_rights_of_many(v_organizations);
  for v_key, v_members in
    execute format(
      'select c.key, array_agg(distinct c.member)
       from (%s) c where c.key is not null and c.member is not null
       group by 1 order by bulwark_private.organization_of(c.key)',
      v_changed
    )
  loop
    perform bulwark_private.follow_members(v_key, v_members);
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.follow_host_members() is
  'Trigger: grants and revokes what rows of the host stand for. Errors: RBAC_HOST_ROLE_UNKNOWN,
   RBAC_HOST_TABLE_CHANGED.';

create function bulwark_private.follow_named_account()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not write grants
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a change of the account must not wait for long
as $$
begin
  perform bulwark_private.follow_members_of(member => new.id);
  return null;
exception
  -- An error here must not make the change of the account fail. The missing grant is a problem that
  -- the operator sees.
  when others then
    raise warning 'Cannot follow the memberships of an account: %', sqlstate;
    return null;
end;
$$;
comment on function bulwark_private.follow_named_account() is
  'Trigger: an account that is no longer anonymous gets the grants of its rows.';

create function bulwark_private.watch_named_accounts()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Older versions of Supabase Auth have no anonymous accounts.
  if not exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and a.attname = 'is_anonymous'
  ) then
    return false;
  end if;
  create or replace trigger bulwark_named_account
    after update on auth.users
    for each row when (old.is_anonymous and not new.is_anonymous)
    execute function bulwark_private.follow_named_account();
  return true;
end;
$$;
comment on function bulwark_private.watch_named_accounts() is
  'Creates the trigger on auth.users, if accounts can be anonymous. Called again after a restore,
   because backups leave it out.';
select bulwark_private.watch_named_accounts();
