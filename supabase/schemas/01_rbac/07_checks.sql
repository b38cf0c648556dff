-- Checks: functions call them first; they raise if the caller lacks the right.
-- Protects against acting on a right that was just revoked, and against probing other people's
-- rights: a missing and a forbidden organization or person get the same answer.
-- SECURITY DEFINER: require_permission, can_see_user and mfa_required, because clients may read
--   neither the grants nor sessions.

create function bulwark.require_permission(permission text, organization_id uuid)
  returns void
  language plpgsql
  stable
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_known_permission(require_permission.permission);
  if bulwark_private.caller_is_service() then
    return;
  end if;
  if bulwark_private.session_permits(
    bulwark_private.require_user(), permission, organization_id
  ) is not true then
    if bulwark_private.user_permits(bulwark.current_person(), permission, organization_id) then
      raise exception 'Cannot proceed: a second factor is required'
        using errcode = 'insufficient_privilege', detail = 'MFA_REQUIRED',
              hint = 'Verify a second factor in this session, or enrol one first';
    end if;
    raise exception 'Cannot proceed: permission % is missing', require_permission.permission
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
            hint = 'Ask an administrator of the organization for a role that holds it';
  end if;
end;
$$;
comment on function bulwark.require_permission(text, uuid) is
  'Check for functions: raises RBAC_PERMISSION_DENIED unless the caller holds the permission in the
   organization (null: system-wide), and MFA_REQUIRED if they hold it but the organization requires
   MFA and the session is not verified. The service role passes. A missing organization and one that
   is closed to the caller get the same answer.
   Errors: also those of has_permission.';

create function bulwark_private.require_permission_to_change(permission text, organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission(permission, organization_id);
  if not bulwark_private.bump_permission_version(organization_id) then
    raise exception 'Cannot proceed: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  perform bulwark_private.hold_session();
  perform bulwark.require_permission(permission, organization_id);
end;
$$;
comment on function bulwark_private.require_permission_to_change(text, uuid) is
  'bulwark.require_permission for functions that change rights: decided again behind the lock, after
   every concurrent change of rights there. So nobody acts on a right that was just revoked.';

create function bulwark_private.require_permission_to_act(permission text, organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission(permission, organization_id);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark.require_permission(permission, organization_id);
end;
$$;
comment on function bulwark_private.require_permission_to_act(text, uuid) is
  'bulwark.require_permission for functions that write but change no rights: nobody revokes the
   right until commit. It waits for concurrent changes of rights.';

create function bulwark_private.can_see_user(
  user_id uuid,
  organization_id uuid,
  former boolean default false
)
  returns boolean
  language sql
  stable
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.caller_is_service()
    or (can_see_user.user_id = bulwark.current_person() and current_setting('role') <> 'api_key')
    or (can_see_user.organization_id is null and bulwark.is_super_admin())
    -- Through session_permits for a super_admin too: the organization may require MFA.
    or (
      bulwark_private.session_permits(
        bulwark.current_person(), 'user:read', can_see_user.organization_id
      )
      and (
        bulwark.is_super_admin()
        or can_see_user.organization_id in (
          select bulwark_private.organizations_of(can_see_user.user_id, suspended => true)
        )
        or former and exists (
          select from bulwark.user_roles g
          where g.user_id = can_see_user.user_id
            and g.organization_id = can_see_user.organization_id
        )
      )
    );
$$;
comment on function bulwark_private.can_see_user(uuid, uuid, boolean) is
  'Whether the caller may see a user''s rights in an organization: their own, those of fellow
   members with user:read, all as super_admin or service role. With former also those of users whose
   grant there has expired or not begun.';

create function bulwark_private.require_visible_user(
  user_id uuid,
  organization_id uuid,
  former boolean default false
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null then
    raise exception 'Cannot look up user: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_caller();
  if bulwark_private.can_see_user(user_id, organization_id, former) is not true then
    raise exception 'Cannot look up user: there is none here that you may see'
      using errcode = 'insufficient_privilege', detail = 'RBAC_USER_NOT_VISIBLE',
        hint = 'Pass the organization that you share with the user';
  end if;
end;
$$;
comment on function bulwark_private.require_visible_user(uuid, uuid, boolean) is
  'Raises RBAC_USER_NOT_VISIBLE, the same for a stranger and for a missing user, and the errors of
   bulwark_private.require_user.';

create function bulwark.mfa_required(organization_id uuid default null)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_user();
  return exists (
      select from bulwark_private.active_grants g
      where g.user_id = bulwark.current_person()
        and (
          g.organization_id is not distinct from mfa_required.organization_id
          or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
        )
        and exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id is not distinct from mfa_required.organization_id
              or (p.organization_id is null and g.organization_id is null)
            )
            and p.required_from <= now()
        )
    )
    and not bulwark_private.session_passes_mfa();
end;
$$;
comment on function bulwark.mfa_required(uuid) is
  'Whether the caller, a member, gets no permission in the organization (null: by system-wide roles)
   until a second factor is verified in this session. False for non-members. Errors:
   RBAC_NOT_AUTHENTICATED.';
