-- Guards: what a function asks before it does anything, and what raises where the answer is no.
-- Protects against acting on a right that was just taken away, and against probing other people's
-- rights: an organization or a person that does not exist and one that is closed are one answer.
-- SECURITY DEFINER, each because clients may not read the grants it decides from:
--   require_permission, can_see_user, all of bulwark_private.

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
  'Guard for functions: raises RBAC_PERMISSION_DENIED unless the caller holds the permission in the
   organization (null: system-wide), and MFA_REQUIRED where it does but the organization requires
   MFA and the session is not verified. The service role passes. An organization that does not exist
   and one that is closed to the caller are the same answer.';

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
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION';
  end if;
  perform bulwark_private.hold_session();
  perform bulwark.require_permission(permission, organization_id);
end;
$$;
comment on function bulwark_private.require_permission_to_change(text, uuid) is
  'Guard for whatever changes rights: bulwark.require_permission, decided behind every other change
   of rights there, so that nobody acts on what was just taken from them.';

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
  'Guard for whatever writes and changes no rights: bulwark.require_permission, and until commit
   nobody takes the right away. It waits for changes of rights that are under way.';

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
    -- Of a super_admin the session is asked as of everybody: the organization may require MFA.
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
  'Whether the caller may learn about a user''s rights in an organization: oneself, fellow members
   with user:read, a super_admin, the service role. With former also of whom the organization still
   has a grant outside its time: about that grant alone.';

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
      using errcode = 'insufficient_privilege', detail = 'RBAC_USER_NOT_VISIBLE';
  end if;
end;
$$;
comment on function bulwark_private.require_visible_user(uuid, uuid, boolean) is
  'Raises RBAC_USER_NOT_VISIBLE, the same for a stranger and for nobody at all, and what
   bulwark_private.require_user raises.';
