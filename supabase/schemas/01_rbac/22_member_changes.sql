-- Changes of members: all roles of one at once, removal, leaving.
-- Protects against more than one may give or take, also in a list of roles; against a removal that
-- takes half of the roles; and organizations from losing their last administrator (03_rules).
-- SECURITY DEFINER: set_member_roles, remove_member, leave_organization, because clients may not
--   write grants.

create function bulwark_private.require_membership(user_id uuid, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null or organization_id is null then
    raise exception 'Cannot change member: the user or the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = require_membership.user_id
      and g.organization_id = require_membership.organization_id
  ) then
    raise exception 'Cannot change member: the user is not a member of the organization'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
            hint = 'Invite them with invite_member';
  end if;
end;
$$;
comment on function bulwark_private.require_membership(uuid, uuid) is
  'Raises RBAC_NOT_A_MEMBER unless a user has a grant there that has not expired, the same for a
   stranger and for a missing user; RBAC_NULL_ARGUMENT for null.';

create function bulwark_private.take_roles(
  user_id uuid,
  organization_id uuid,
  kept uuid[],
  taker uuid
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_grant record;
begin
  for v_grant in
    select g.role_id, g.source
    from bulwark_private.unexpired_grants g
    where g.user_id = take_roles.user_id
      and g.organization_id = take_roles.organization_id
      and g.role_id <> all (kept)
  loop
    if v_grant.source = 'host' then
      perform bulwark_private.require_no_host_grant(user_id, v_grant.role_id, organization_id);
    end if;
    if taker is not null then
      perform bulwark_private.raise_grant_refusal(
        bulwark_private.grant_refusal(taker, v_grant.role_id, organization_id, now()),
        'take role'
      );
    end if;
  end loop;
  delete from bulwark.user_roles g
  where g.user_id = take_roles.user_id
    and g.organization_id = take_roles.organization_id
    and g.role_id <> all (kept)
    and g.source = 'own'
    and (g.expires_at is null or g.expires_at > now());
end;
$$;
comment on function bulwark_private.take_roles(uuid, uuid, uuid[], uuid) is
  'Takes the roles of a member that are not kept, if the taker ranks at least as high as each (null:
   whatever they are). Errors: RBAC_GRANT_IS_HOSTS, RBAC_PERMISSION_DENIED,
   RBAC_ROLE_OUTRANKS_GRANTER, RBAC_LAST_ADMINISTRATOR.';

create function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[])
  returns setof bulwark.user_roles
  language plpgsql
  volatile
  rows 5
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_added uuid[];
  v_caller uuid := bulwark.current_person();
  v_is_service constant boolean := bulwark_private.caller_is_service();
  v_role_id uuid;
  v_roles uuid[];
begin
  if cardinality(roles) not between 1 and 20 or array_ndims(roles) > 1 then
    raise exception 'Cannot set roles: a plain list of 1 to 20 roles'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE',
            hint = 'Without a role nobody is a member: call remove_member';
  end if;
  if roles is null or array_position(roles, null) is not null then
    raise exception 'Cannot set roles: the list is null or has a null in it'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_change('role:grant', organization_id);
  perform bulwark_private.require_membership(user_id, organization_id);
  v_roles := array(
    select distinct (bulwark_private.find_role(n, organization_id)).id from unnest(roles) as n
  );
  if bulwark_private.super_admin_role() = any (v_roles) then
    raise exception 'Cannot set roles: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Choose admin';
  end if;
  v_added := array(
    select r from unnest(v_roles) as r
    where not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = set_member_roles.user_id
        and g.organization_id = set_member_roles.organization_id
        and g.role_id = r
    )
  );
  if cardinality(v_added) > 0 then
    perform bulwark_private.require_existing_user(user_id);
  end if;
  if not v_is_service then
    foreach v_role_id in array v_added loop
      perform bulwark_private.raise_grant_refusal(
        bulwark_private.grant_refusal(v_caller, v_role_id, organization_id, null), 'grant role'
      );
    end loop;
  end if;
  -- First the new ones, so that a change of role is no departure.
  insert into bulwark.user_roles as g (user_id, role_id, organization_id, granted_by)
  select set_member_roles.user_id, r, set_member_roles.organization_id, v_caller
  from unnest(v_added) as r
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = excluded.starts_at, expires_at = null, granted_by = excluded.granted_by;
  perform bulwark_private.take_roles(
    user_id, organization_id, v_roles, case when not v_is_service then v_caller end
  );
  return query
    select g.* from bulwark.user_roles g
    where g.user_id = set_member_roles.user_id
      and g.organization_id = set_member_roles.organization_id
      and g.role_id = any (v_roles);
end;
$$;
comment on function bulwark.set_member_roles(uuid, uuid, text[]) is
  'Makes a list of 1 to 20 roles the roles of a member (role:grant), all or nothing, and returns the
   grants. Roles that the member has keep their window, new ones begin now and have no end. The
   caller must be able to grant each that is added and to revoke each that is taken. Errors: those
   of grant_role and revoke_role, and RBAC_BATCH_TOO_LARGE.';

create function bulwark.remove_member(organization_id uuid, user_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_change('user:delete', organization_id);
  perform bulwark_private.require_membership(user_id, organization_id);
  perform bulwark_private.take_roles(
    user_id, organization_id, '{}',
    case when not bulwark_private.caller_is_service() then bulwark.current_person() end
  );
end;
$$;
comment on function bulwark.remove_member(uuid, uuid) is
  'Removes a member from an organization with all their roles (user:delete and role:grant, and a
   rank at least as high as each role), effective on the next request. Invitations of before do not
   bring them back. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED, RBAC_NOT_A_MEMBER,
   RBAC_GRANT_IS_HOSTS, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_LAST_ADMINISTRATOR, RBAC_NULL_ARGUMENT; to
   the service role and super_admin also RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.leave_organization(organization_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller constant uuid := bulwark_private.require_user();
begin
  -- Before the lock, so that strangers do not make others wait.
  perform bulwark_private.require_membership(v_caller, organization_id);
  perform bulwark_private.bump_permission_version(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark_private.require_membership(v_caller, organization_id);
  perform bulwark_private.take_roles(v_caller, organization_id, '{}', null);
end;
$$;
comment on function bulwark.leave_organization(uuid) is
  'Ends the caller''s own membership with all its roles. Like revoking one''s own role, it needs no
   permission and no second factor. A foreign and a missing organization get one answer. Errors:
   RBAC_NOT_A_MEMBER, RBAC_LAST_ADMINISTRATOR, RBAC_GRANT_IS_HOSTS, RBAC_NULL_ARGUMENT, and those of
   bulwark_private.require_user.';
