-- Rules of roles and grants that bind every writer: functions, the service role and migrations.
-- Protects one organization from another, an organization from losing its last administrator, and
-- against concurrent changes that are harmless alone but not in combination: changes of one
-- organization queue.
-- SECURITY DEFINER: the trigger functions, because effective permissions and versions are in
--   bulwark_private, and the rules concern grants that the writer may not see.

create function bulwark_private.bump_permission_version(organization_id uuid)
  returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan kept from a small table would read all versions each time
  set jit = off
as $$
begin
  perform bulwark_private.lock_rights(bump_permission_version.organization_id, exclusively => true);
  -- The update makes caches notice, and makes a concurrent change under REPEATABLE READ fail with
  -- 40001 instead of deciding from an old snapshot.
  if bump_permission_version.organization_id is null then
    update bulwark_private.permission_versions v set version = v.version + 1
    where v.organization_id is null;
  else
    update bulwark_private.permission_versions v set version = v.version + 1
    where v.organization_id = bump_permission_version.organization_id;
  end if;
  return found;
end;
$$;
comment on function bulwark_private.bump_permission_version(uuid) is
  'Records a change of rights in an organization (null: system-wide) and holds its lock until
   commit, so that changes queue. False if the organization is being deleted.';

create function bulwark_private.organizations_start_permission_version()
  returns trigger
  language plpgsql
  security definer            -- definer because versions are in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.permission_versions (organization_id) values (new.id);
  return null;
end;
$$;
comment on function bulwark_private.organizations_start_permission_version() is
  'Trigger: creates the version of a new organization''s rights.';

create function bulwark_private.refresh_effective_permissions(role_ids uuid[])
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_affected uuid[];
begin
  -- The lock first: otherwise the result would miss a concurrent change.
  if exists (
    select from bulwark.roles r where r.id = any (role_ids) and r.organization_id is null
  ) then
    perform bulwark_private.bump_permission_version(null);
    update bulwark_private.permission_versions set version = version + 1
    where organization_id is not null;
  else
    perform bulwark_private.bump_permission_version(o.organization_id)
    from (
      select distinct r.organization_id from bulwark.roles r where r.id = any (role_ids) order by 1
    ) as o;
  end if;

  with recursive heirs (role_id) as (
    select unnest(role_ids)
    union
    select i.role_id
    from heirs h
    join bulwark.role_inheritance i on i.inherits_role_id = h.role_id
  )
  select array_agg(r.id) into v_affected
  from bulwark.roles r
  where r.id in (select h.role_id from heirs h);

  delete from bulwark_private.effective_permissions e where e.role_id = any (v_affected);

  with recursive ancestry (role_id, ancestor_id) as (
    select id, id from unnest(v_affected) as id
    union
    select a.role_id, i.inherits_role_id
    from ancestry a
    join bulwark.role_inheritance i on i.role_id = a.ancestor_id
  ),
  ranked as (
    update bulwark.roles r
    set level = (
      select coalesce(max(s.level), 0)
      from ancestry a
      join bulwark.roles s on s.id = a.ancestor_id and s.organization_id is null
      where a.role_id = r.id
    )
    where r.id = any (v_affected) and r.organization_id is not null
  )
  insert into bulwark_private.effective_permissions (role_id, permission)
  select distinct a.role_id, p.permission
  from ancestry a
  join bulwark.role_permissions p on p.role_id = a.ancestor_id;
end;
$$;
comment on function bulwark_private.refresh_effective_permissions(uuid[]) is
  'Recomputes the effective permissions of roles and of all roles that inherit them, and the levels
   of organizations'' own ones.';

create function bulwark_private.role_links_refresh()
  returns trigger
  language plpgsql
  security definer            -- definer because it writes to bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.refresh_effective_permissions(
    (select array_agg(distinct c.role_id) from changed c)
  );
  return null;
end;
$$;
comment on function bulwark_private.role_links_refresh() is
  'Trigger: updates effective permissions by the end of the statement.';

create function bulwark_private.role_inheritance_validate()
  returns trigger
  language plpgsql
  security definer            -- definer because a client that may insert need not see both roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
  v_inherited_organization uuid;
begin
  select r.organization_id into v_organization
  from bulwark.roles r where r.id = new.role_id;
  select r.organization_id into v_inherited_organization
  from bulwark.roles r where r.id = new.inherits_role_id;
  if v_inherited_organization is not null
    and v_inherited_organization is distinct from v_organization then
    raise exception 'Cannot inherit role: it belongs to another organization'
      using errcode = 'check_violation', detail = 'RBAC_UNKNOWN_ROLE',
        hint = 'Inherit from a system role or from one of the same organization';
  end if;
  if new.inherits_role_id = bulwark_private.super_admin_role() then
    raise exception 'Cannot inherit role: super_admin is granted, never inherited'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Inherit from admin, or name the permissions';
  end if;
  -- Two concurrent changes could form a cycle, so one waits for the other.
  perform bulwark_private.bump_permission_version(v_organization);
  if exists (
    with recursive ancestry (role_id) as (
      select new.inherits_role_id
      union
      select i.inherits_role_id
      from ancestry a
      join bulwark.role_inheritance i on i.role_id = a.role_id
    )
    select from ancestry a where a.role_id = new.role_id
  ) then
    raise exception 'Cannot inherit role: it would inherit itself'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_CYCLE',
        hint = 'Take the role out of those that it inherits from';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.role_inheritance_validate() is
  'Trigger: no cycle, no role of another organization, no super_admin by inheritance.';

create function bulwark_private.user_roles_validate()
  returns trigger
  language plpgsql
  security definer            -- definer because a client that may insert need not see the role
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  select * into v_role from bulwark.roles r where r.id = new.role_id;
  if v_role.organization_id is not null
    and v_role.organization_id is distinct from new.organization_id then
    raise exception 'Cannot grant role: it belongs to another organization'
      using errcode = 'check_violation', detail = 'RBAC_UNKNOWN_ROLE',
        hint = 'Grant a system role or one of the same organization';
  end if;
  if new.role_id = bulwark_private.super_admin_role() and new.organization_id is not null then
    raise exception 'Cannot grant role: super_admin is system-wide, not of one organization'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Grant admin in the organization, or super_admin without one';
  end if;
  if bulwark_private.setting('rbac.anonymous_members') is distinct from 'true' then
    perform bulwark_private.require_named_account(new.user_id);
  end if;
  return new;
end;
$$;
comment on function bulwark_private.user_roles_validate() is
  'Trigger: a role is granted in its own organization only, super_admin in none, and to anonymous
   accounts only if the setting rbac.anonymous_members says so.';

create function bulwark_private.user_roles_keep_administrator()
  returns trigger
  language plpgsql
  security definer            -- definer because it counts everybody's grants
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in user_roles_note_departures
  set jit = off
as $$
declare
  v_exists boolean;
  v_is_excused boolean;
  v_organization uuid;
  v_was_administrator boolean;
begin
  -- The changed rows are read once, because a statement may change many organizations.
  for v_organization, v_was_administrator, v_is_excused in
    select
      c.organization_id,
      -- Only a grant that has begun and does not expire counts as an administrator's.
      bool_or(
        c.role_id = bulwark_private.admin_role() and c.expires_at is null and c.starts_at <= now()
      ),
      -- The host's rows decide about its members, a setting about deleted accounts.
      bool_or(
        c.source = 'host'
        or (
          bulwark_private.setting('rbac.delete_last_administrators') = 'true'
          and not exists (select from auth.users u where u.id = c.user_id)
        )
      )
    from changed c
    group by c.organization_id
    order by c.organization_id nulls first
  loop
    -- The lock before the count, so that the count sees concurrent revocations. In a statement of
    -- its own: Postgres does not evaluate it beside a condition that is known to be false.
    v_exists := bulwark_private.bump_permission_version(v_organization);
    if v_exists
      and tg_op <> 'INSERT'
      and v_was_administrator
      and v_is_excused is not true
      -- The organization itself may be in deletion.
      and exists (select from bulwark.organizations o where o.id = v_organization)
      and not exists (
        select from bulwark_private.active_grants a
        where a.organization_id = v_organization
          and a.role_id = bulwark_private.admin_role()
          and a.held_until = 'infinity'
      ) then
      raise exception 'Cannot take the role from the last administrator of an organization'
        using errcode = 'PT409', detail = 'RBAC_LAST_ADMINISTRATOR',
              hint = 'Make someone else an administrator without an expiry first';
    end if;
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.user_roles_keep_administrator() is
  'Trigger: an organization always keeps an administrator whose grant has begun and does not
   expire, unless a row of the host ended the last one''s, or the setting
   rbac.delete_last_administrators lets their account be deleted.';

create trigger organizations_start_permission_version
  after insert on bulwark.organizations
  for each row execute function bulwark_private.organizations_start_permission_version();
create trigger role_inheritance_validate
  before insert on bulwark.role_inheritance
  for each row execute function bulwark_private.role_inheritance_validate();
create trigger role_inheritance_refresh_on_insert
  after insert on bulwark.role_inheritance referencing new table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_inheritance_refresh_on_delete
  after delete on bulwark.role_inheritance referencing old table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_permissions_refresh_on_insert
  after insert on bulwark.role_permissions referencing new table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_permissions_refresh_on_delete
  after delete on bulwark.role_permissions referencing old table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger user_roles_validate
  before insert on bulwark.user_roles
  for each row execute function bulwark_private.user_roles_validate();
create trigger user_roles_keep_administrator_on_insert
  after insert on bulwark.user_roles referencing new table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();
create trigger user_roles_keep_administrator_on_update
  after update on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();
create trigger user_roles_keep_administrator_on_delete
  after delete on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();
