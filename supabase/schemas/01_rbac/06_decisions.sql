-- Decisions: whether a user may do something in an organization. They are made from the tables and
-- never from claims, so that a revocation counts even while the token is valid.
-- Protects against stale tokens, and the tables of roles from unauthorized reads.
-- SECURITY DEFINER, each because clients may not read the grants it decides from:
--   organizations_with, member_organizations, is_super_admin, user_permits, session_permits.

-- Read memberships from these two views, never from user_roles, whose rows may have expired. The
-- conventions test lists the exceptions.
create view bulwark_private.unexpired_grants with (security_invoker = true) as
  select
    g.user_id,
    g.role_id,
    g.organization_id,
    g.starts_at,
    coalesce(g.expires_at, 'infinity') as held_until,
    -- A ban and a soft deletion revoke all grants.
    u.deleted_at is not null or coalesce(u.banned_until > now(), false) as suspended,
    g.source,
    g.granted_by,
    g.created_at
  from bulwark.user_roles g
  join auth.users u on u.id = g.user_id
  where g.expires_at is null or g.expires_at > now();
comment on view bulwark_private.unexpired_grants is
  'The grants that have not expired, including those that have not begun and those of suspended
   accounts (banned or soft-deleted). For rules that must also hold once they become active.';

create view bulwark_private.active_grants with (security_invoker = true) as
  select g.user_id, g.role_id, g.organization_id, g.held_until, g.source
  from bulwark_private.unexpired_grants g
  where g.starts_at <= now() and not g.suspended;
comment on view bulwark_private.active_grants is
  'The grants that count now: begun, not expired, of an account neither banned nor deleted. Members
   of an organization are the users with such a grant there.';

create view bulwark_private.held_permissions with (security_invoker = true) as
  select
    g.user_id,
    g.organization_id,
    e.permission,
    g.held_until,
    -- super_admin is the only system-wide role that counts inside every organization.
    g.organization_id is null and g.role_id = bulwark_private.super_admin_role() as everywhere
  from bulwark_private.active_grants g
  join bulwark_private.effective_permissions e on e.role_id = g.role_id;
comment on view bulwark_private.held_permissions is
  'The permissions of each user now, with the organization and the end.';

create function bulwark_private.is_member(user_id uuid, organization_id uuid)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark_private.active_grants g
    where g.user_id = is_member.user_id and g.organization_id = is_member.organization_id
  );
end;
$$;
comment on function bulwark_private.is_member(uuid, uuid) is
  'Whether a user is a member of an organization now.';

create function bulwark_private.organizations_of(user_id uuid, suspended boolean default false)
  returns setof uuid
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select distinct g.organization_id
    from bulwark_private.unexpired_grants g
    where g.user_id = organizations_of.user_id
      and g.organization_id is not null
      and g.starts_at <= now()
      and (organizations_of.suspended or not g.suspended)
    order by 1;
end;
$$;
comment on function bulwark_private.organizations_of(uuid, boolean) is
  'The organizations of which a user is a member now, ordered by id. With suspended a ban or
   deletion of the account is ignored, so that the organizations learn of the ban itself.';

create function bulwark_private.require_known_permission(permission text)
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  if permission is null then
    raise exception 'Cannot check permission: the permission is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from bulwark.permissions p where p.name = require_known_permission.permission
  ) then
    raise exception 'Cannot check permission: "%" is not in the catalogue', left(permission, 64)
      using errcode = 'invalid_parameter_value', detail = 'RBAC_UNKNOWN_PERMISSION',
            hint = 'List them with: select name from permissions';
  end if;
end;
$$;
comment on function bulwark_private.require_known_permission(text) is
  'Raises RBAC_UNKNOWN_PERMISSION for a permission that is not in the catalogue, so that a typo is
   an error and not a silent refusal.';

create function bulwark_private.user_permits(user_id uuid, permission text, organization_id uuid)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return exists (
    select from bulwark_private.held_permissions h
    where h.user_id = user_permits.user_id
      and h.permission = user_permits.permission
      and (
        h.organization_id = user_permits.organization_id
        or h.everywhere
        or (h.organization_id is null and user_permits.organization_id is null)
      )
  );
end;
$$;
comment on function bulwark_private.user_permits(uuid, text, uuid) is
  'Whether a user holds a permission in an organization (null: system-wide). It does not check the
   caller.';

create function bulwark_private.session_permits(
  user_id uuid,
  permission text,
  organization_id uuid,
  session_id uuid default null
)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  if current_setting('role') = 'api_key' then
    return false;
  end if;
  return exists (
    select from bulwark_private.held_permissions h
    where h.user_id = session_permits.user_id
      and h.permission = session_permits.permission
      and (
        h.organization_id = session_permits.organization_id
        or h.everywhere
        or (h.organization_id is null and session_permits.organization_id is null)
      )
      and (
        session_permits.session_id is null
        or exists (
          select from bulwark_private.unexpired_sessions s
          where s.id = session_permits.session_id and s.user_id = session_permits.user_id
        )
      )
      -- The session is looked up only if a second factor is required.
      and (
        not exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id = session_permits.organization_id
              or (p.organization_id is null and h.organization_id is null)
            )
            and p.required_from <= now()
        )
        or bulwark_private.session_passes_mfa()
      )
  );
end;
$$;
comment on function bulwark_private.session_permits(uuid, text, uuid, uuid) is
  'bulwark_private.user_permits for the caller''s own session. If the organization requires MFA (for
   system-wide roles: the installation), a second factor must be verified in the session. False for
   API keys. Pass bulwark.current_person(), or the claimed user together with the claimed session,
   which is then looked up in the same query.';

create function bulwark.is_super_admin()
  returns boolean
  language sql
  stable
  parallel safe
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
  -- Case instead of "and", so that the session is looked up for a super_admin only.
  select case
    when current_setting('role') = 'api_key' then false
    when exists (
      select from bulwark_private.active_grants g
      where g.user_id = (select bulwark.current_person())
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
    then not exists (
        select from bulwark.mfa_policies p
        where p.organization_id is null and p.required_from <= now()
      )
      or bulwark_private.session_passes_mfa()
    else false
  end;
$$;
comment on function bulwark.is_super_admin() is
  'Whether the caller is a super_admin, and verified if the installation requires MFA of system-wide
   roles. Write it in policies as (select bulwark.is_super_admin()).';

create function bulwark_private.api_key_organizations(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Without the capability api_keys no key may do anything. It replaces this function.
  return;
end;
$$;
comment on function bulwark_private.api_key_organizations(text) is
  'The organizations in which the request''s API key holds a permission: none.';

create function bulwark.organizations_with(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 10
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_user uuid;
begin
  -- An API key may do less than its owner, and only in one organization.
  if current_setting('role') = 'api_key' then
    return query select bulwark_private.api_key_organizations(organizations_with.permission);
    if not found then
      perform bulwark_private.require_known_permission(organizations_with.permission);
    end if;
    return;
  end if;
  v_user := bulwark.current_person();
  -- One cached plan, because this runs in every query on a table with such a policy.
  return query
    with held as materialized (
      select h.organization_id, h.everywhere
      from bulwark_private.held_permissions h
      where h.user_id = v_user and h.permission = organizations_with.permission
    )
    -- Duplicates do no harm in an array, and removing them would cost more than the rest. An
    -- organization that requires MFA is left out until the session is verified. Case instead of
    -- "or", so that the session is looked up only if needed.
    select h.organization_id
    from held h
    where h.organization_id is not null
      and case
        when exists (
          select from bulwark.mfa_policies p
          where p.organization_id = h.organization_id and p.required_from <= now()
        )
        then (select bulwark_private.session_passes_mfa())
        else true
      end
    union all
    select o.id
    from bulwark.organizations o
    where (select bool_or(h.everywhere) from held h)
      and case
        when exists (
          select from bulwark.mfa_policies p
          where (p.organization_id = o.id or p.organization_id is null) and p.required_from <= now()
        )
        then (select bulwark_private.session_passes_mfa())
        else true
      end;
  if not found then
    perform bulwark_private.require_known_permission(organizations_with.permission);
  end if;
end;
$$;
comment on function bulwark.organizations_with(text) is
  'The organizations in which the caller holds a permission, for policies in the array form:
   organization_id = any (array(select bulwark.organizations_with(''audit:read''))). It runs once a
   query and may return an organization twice. A super_admin gets every organization; an API key
   gets its own, if the key holds the permission. An organization that requires MFA is left out
   while the session is not verified. Errors: RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.member_organizations()
  returns setof uuid
  language sql
  stable
  parallel safe
  rows 10
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
  select distinct g.organization_id
  from bulwark_private.active_grants g
  where g.user_id = (select bulwark.current_person()) and g.organization_id is not null
    and current_setting('role') <> 'api_key';
$$;
comment on function bulwark.member_organizations() is
  'The organizations of which the caller is a member now; none for an API key.';

create policy "Anyone signed in reads the catalogue of permissions"
  on bulwark.permissions for select to authenticated
  using ((select bulwark.current_person()) is not null);

create policy "Members read their organizations"
  on bulwark.organizations for select to authenticated
  using (
    id = any (array(select bulwark.member_organizations()))
    or id = any (array(select bulwark.organizations_with('org:read')))
  );

create policy "Anyone signed in reads system roles, members their own"
  on bulwark.roles for select to authenticated
  using (
    (organization_id is null and (select bulwark.current_person()) is not null)
    or organization_id = any (array(select bulwark.organizations_with('role:read')))
  );

create policy "Readers of a role read its permissions"
  on bulwark.role_permissions for select to authenticated
  using (role_id in (select r.id from bulwark.roles r));

create policy "Readers of a role read its inheritance"
  on bulwark.role_inheritance for select to authenticated
  using (role_id in (select r.id from bulwark.roles r));

create policy "Users read their own grants, members those of all"
  on bulwark.user_roles for select to authenticated
  using (
    user_id = (select bulwark.current_person())
    or organization_id = any (array(select bulwark.organizations_with('role:read')))
    -- Both sides of the "or" can use an index; a bare is_super_admin() would force a full scan.
    or (organization_id is null and (select bulwark.is_super_admin()))
  );
