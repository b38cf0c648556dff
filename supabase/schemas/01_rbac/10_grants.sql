-- Grants: giving a role to a member and taking it back.
-- Protects against giving more than one has: a higher role, a permission that the giver does not
-- hold, or a longer time than the giver's own.
-- SECURITY DEFINER: grant_role, revoke_role, because clients may not write grants.

create function bulwark_private.find_role(name text, organization_id uuid)
  returns bulwark.roles
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  if name is null then
    raise exception 'Cannot find role: the role is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  -- A later version may add a system role whose name an organization uses: the system role wins.
  select * into v_role
  from bulwark.roles r
  where r.name = find_role.name
    and (r.organization_id is null or r.organization_id = find_role.organization_id)
  order by r.organization_id nulls first
  limit 1;
  if not found then
    raise exception 'Cannot find role: there is no "%" here', left(name, 64)
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ROLE',
            hint = 'List them with: select name from roles';
  end if;
  return v_role;
end;
$$;
comment on function bulwark_private.find_role(text, uuid) is
  'A system role or a role of that organization, by name. Raises RBAC_UNKNOWN_ROLE.';

-- Rank has three parts: level, permissions, and time. A role held until Friday cannot be granted
-- until Saturday.
create function bulwark_private.grant_refusal(
  granter uuid,
  role_id uuid,
  organization_id uuid,
  held_until timestamptz
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_until constant timestamptz := coalesce(held_until, 'infinity');
  v_grants_until timestamptz;
  v_level constant smallint := (
    select r.level from bulwark.roles r where r.id = grant_refusal.role_id
  );
  v_own_level smallint;
  v_own_lasting_level smallint;
  v_missing boolean;
  v_shortest timestamptz;
begin
  select max(h.held_until) into v_grants_until
  from bulwark_private.held_permissions h
  where h.user_id = granter
    and h.permission = 'role:grant'
    and (h.organization_id is not distinct from grant_refusal.organization_id or h.everywhere);
  if v_grants_until is null then
    return 'RBAC_PERMISSION_DENIED';
  end if;

  select max(r.level), coalesce(max(r.level) filter (where g.held_until >= v_until), -1)
  into v_own_level, v_own_lasting_level
  from bulwark_private.active_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = granter
    and (
      g.organization_id is not distinct from grant_refusal.organization_id
      or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
    );
  select bool_or(held.until is null), min(held.until) into v_missing, v_shortest
  from bulwark_private.effective_permissions e
  left join lateral (
    select max(h.held_until) as until
    from bulwark_private.held_permissions h
    where h.user_id = granter
      and h.permission = e.permission
      and (h.organization_id is not distinct from grant_refusal.organization_id or h.everywhere)
  ) as held on true
  where e.role_id = grant_refusal.role_id;

  if v_missing or v_own_level < v_level or (
    role_id = bulwark_private.super_admin_role() and not exists (
      select from bulwark_private.active_grants g
      where g.user_id = granter
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
  ) then
    return 'RBAC_ROLE_OUTRANKS_GRANTER';
  end if;
  if least(v_grants_until, v_shortest) < v_until or v_own_lasting_level < v_level then
    return 'RBAC_GRANT_OUTLIVES_GRANTER';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.grant_refusal(uuid, uuid, uuid, timestamptz) is
  'The error code that says why a user may not give (or, with held_until now(), take) a role in an
   organization; null if they may.';

create function bulwark_private.raise_grant_refusal(refusal text, action text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if refusal is not null then
    raise exception 'Cannot %: %', action, case refusal
        when 'RBAC_PERMISSION_DENIED' then 'permission role:grant is missing'
        when 'RBAC_ROLE_OUTRANKS_GRANTER' then 'it outranks your own'
        else 'it would last longer than your own'
      end
      using errcode = 'insufficient_privilege', detail = refusal,
            hint = 'Ask someone with a higher role';
  end if;
end;
$$;
comment on function bulwark_private.raise_grant_refusal(text, text) is
  'Raises the error that bulwark_private.grant_refusal returned; null raises nothing.';

create function bulwark.grant_role(
  user_id uuid,
  role text,
  organization_id uuid default null,
  starts_at timestamptz default null,
  expires_at timestamptz default null
)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_role bulwark.roles;
  v_grant bulwark.user_roles;
  v_starts_at timestamptz := greatest(coalesce(starts_at, now()), now());
begin
  if user_id is null then
    raise exception 'Cannot grant role: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if expires_at <= now() or expires_at <= v_starts_at or not isfinite(v_starts_at)
    or not isfinite(expires_at) then
    raise exception 'Cannot grant role: it would expire in the past or before it starts'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY',
            hint = 'Leave expires_at null for a role without an end';
  end if;
  if not bulwark_private.caller_is_service() then
    v_caller := bulwark_private.require_user();
    perform bulwark_private.require_permission_to_change('role:grant', organization_id);
    -- Only an invitation makes somebody a member. An expired grant is no membership.
    if organization_id is not null and not bulwark.is_super_admin() and not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = grant_role.user_id and g.organization_id = grant_role.organization_id
    ) then
      raise exception 'Cannot grant role: the user is not a member of the organization'
        using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
              hint = 'Invite them with invite_member';
    end if;
  end if;
  if bulwark_private.caller_is_service() then
    perform bulwark_private.bump_permission_version(organization_id);
  end if;
  v_role := bulwark_private.find_role(role, organization_id);
  if v_role.id = bulwark_private.super_admin_role() and organization_id is not null then
    raise exception 'Cannot grant role: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Grant admin in the organization, or super_admin without one';
  end if;
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, expires_at), 'grant role'
    );
  end if;
  perform bulwark_private.require_existing_user(user_id);
  if organization_id is not null and not exists (
    select from bulwark.organizations o where o.id = grant_role.organization_id
  ) then
    raise exception 'Cannot grant role: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  insert into bulwark.user_roles as g
    (user_id, role_id, organization_id, starts_at, expires_at, granted_by)
  values (
    grant_role.user_id, v_role.id, grant_role.organization_id, v_starts_at,
    grant_role.expires_at, v_caller
  )
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = case
          when grant_role.starts_at is null then least(g.starts_at, excluded.starts_at)
          else excluded.starts_at
        end,
        expires_at = excluded.expires_at,
        granted_by = excluded.granted_by
  returning * into v_grant;
  return v_grant;
end;
$$;
comment on function bulwark.grant_role(uuid, text, uuid, timestamptz, timestamptz) is
  'Grants a role to a member (role:grant), from starts_at (null: now) until expires_at (null: no
   end); granting it again replaces the window. The role must not outrank the granter, hold what the
   granter lacks, or last longer. Errors: RBAC_PERMISSION_DENIED, RBAC_NOT_A_MEMBER,
   RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE, RBAC_ROLE_OUTRANKS_GRANTER,
   RBAC_GRANT_OUTLIVES_GRANTER, RBAC_INVALID_EXPIRY, RBAC_NULL_ARGUMENT, RBAC_LAST_ADMINISTRATOR;
   to the service role and super_admin also RBAC_UNKNOWN_USER, RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.revoke_role(user_id uuid, role text, organization_id uuid default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_role bulwark.roles;
begin
  if user_id is null then
    raise exception 'Cannot revoke role: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if bulwark_private.caller_is_service() then
    perform bulwark_private.bump_permission_version(organization_id);
    v_role := bulwark_private.find_role(role, organization_id);
  elsif user_id is distinct from bulwark_private.require_user() then
    perform bulwark_private.require_permission_to_change('role:grant', organization_id);
    v_role := bulwark_private.find_role(role, organization_id);
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, now()), 'revoke role'
    );
  else
    -- Anybody may give up their own role. A role of a foreign organization is not found.
    select r.* into v_role
    from bulwark.roles r
    join bulwark.user_roles g on g.role_id = r.id
    where g.user_id = v_caller
      and g.organization_id is not distinct from revoke_role.organization_id
      and r.name = revoke_role.role;
    if found then
      perform bulwark_private.bump_permission_version(organization_id);
      perform bulwark_private.hold_session();
    end if;
  end if;
  delete from bulwark.user_roles g
  where g.user_id = revoke_role.user_id
    and g.role_id = v_role.id
    and g.organization_id is not distinct from revoke_role.organization_id
    and g.source = 'own';
  if not found then
    perform bulwark_private.require_no_host_grant(user_id, v_role.id, organization_id);
    raise exception 'Cannot revoke role: the user does not hold it'
      using errcode = 'PT404', detail = 'RBAC_GRANT_NOT_FOUND',
        hint = 'List the roles of the user with get_user_roles';
  end if;
end;
$$;
comment on function bulwark.revoke_role(uuid, text, uuid) is
  'Revokes a role, effective on the next request: one''s own always, another user''s with
   role:grant and a rank at least as high. Errors: RBAC_GRANT_NOT_FOUND, RBAC_GRANT_IS_HOSTS,
   RBAC_LAST_ADMINISTRATOR, RBAC_PERMISSION_DENIED, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_UNKNOWN_ROLE,
   RBAC_NULL_ARGUMENT.';
