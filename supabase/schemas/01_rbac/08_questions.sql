-- Questions: clients ask for their own permissions, and for those of users that they may see.
-- Protects against probing other people's rights: a stranger and a missing user get one answer.
-- SECURITY DEFINER, each because clients may not read the grants it decides from:
--   has_permission, check_permissions, user_has_permission, get_user_roles, explain_permission.

create function bulwark.has_permission(permission text, organization_id uuid default null)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims constant json := bulwark_private.claims();
  v_session constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'session_id');
begin
  if bulwark_private.session_permits(
    case
      when v_session is null then bulwark.current_person()
      else bulwark_private.uuid_or_null(v_claims ->> 'sub')
    end,
    permission, organization_id, v_session
  ) then
    return true;
  end if;
  perform bulwark_private.require_subject();
  -- Only a refusal may be a typo: a permission that the caller holds exists.
  perform bulwark_private.require_known_permission(has_permission.permission);
  return false;
end;
$$;
comment on function bulwark.has_permission(text, uuid) is
  'Whether the caller holds a permission in an organization; null: by system-wide roles only. False
   for a foreign or missing organization, and for one that requires MFA while the session is not
   verified (see mfa_required). Errors: RBAC_NOT_AUTHENTICATED,
   RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.user_has_permission(
  user_id uuid,
  permission text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_known_permission(user_has_permission.permission);
  perform bulwark_private.require_visible_user(user_id, organization_id);
  return bulwark_private.user_permits(user_id, permission, organization_id);
end;
$$;
comment on function bulwark.user_has_permission(uuid, text, uuid) is
  'Whether a user holds a permission in an organization, regardless of MFA in their session. The
   user must be the caller or a fellow member that user:read makes visible. Errors:
   RBAC_USER_NOT_VISIBLE, RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.check_permissions(permissions text[], organization_id uuid default null)
  returns table (permission text, allowed boolean)
  language plpgsql
  stable
  rows 40
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark.current_person();
  v_unknown text;
begin
  perform bulwark_private.require_subject();
  if cardinality(permissions) > 100 or array_ndims(permissions) > 1 then
    raise exception 'Cannot check permissions: a batch is a plain list of at most 100'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if permissions is null or array_position(permissions, null) is not null then
    raise exception 'Cannot check permissions: the list is null or has a null in it'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  select wanted into v_unknown
  from unnest(permissions) as wanted
  where not exists (select from bulwark.permissions p where p.name = wanted)
  limit 1;
  if found then
    perform bulwark_private.require_known_permission(v_unknown);
  end if;
  return query
    select wanted, bulwark_private.session_permits(
      v_user, wanted, check_permissions.organization_id
    )
    from unnest(permissions) with ordinality as asked (wanted, place)
    group by wanted
    order by min(place);
end;
$$;
comment on function bulwark.check_permissions(text[], uuid) is
  'has_permission for a batch of up to 100 permissions: one row for each distinct permission, in the
   order given. One unknown permission fails the batch. Errors: RBAC_BATCH_TOO_LARGE and those of
   has_permission.';

create function bulwark.get_user_roles(user_id uuid, organization_id uuid default null)
  returns table (
    role text,
    level smallint,
    starts_at timestamptz,
    expires_at timestamptz,
    active boolean,
    granted_by uuid
  )
  language plpgsql
  stable
  rows 10
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_visible_user(
    get_user_roles.user_id, get_user_roles.organization_id, former => true
  );
  return query
    select
      r.name,
      r.level,
      g.starts_at,
      g.expires_at,
      exists (
        select from bulwark_private.active_grants a
        where a.user_id = g.user_id
          and a.role_id = g.role_id
          and a.organization_id is not distinct from g.organization_id
          and a.source = g.source
      ),
      g.granted_by
    from bulwark.user_roles g
    join bulwark.roles r on r.id = g.role_id
    where g.user_id = get_user_roles.user_id
      and g.organization_id is not distinct from get_user_roles.organization_id
    order by r.level desc, r.name;
end;
$$;
comment on function bulwark.get_user_roles(uuid, uuid) is
  'The roles granted to a user in an organization (null: system-wide), highest first. Grants that
   have not begun or have expired have active = false. Errors: RBAC_USER_NOT_VISIBLE,
   RBAC_NULL_ARGUMENT.';

create function bulwark.explain_permission(
  user_id uuid,
  permission text,
  organization_id uuid default null
)
  returns table (
    allowed boolean,
    reason text,
    role text,
    inherited_from text,
    system_wide boolean,
    starts_at timestamptz,
    expires_at timestamptz
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_visible boolean;
  v_withheld boolean := false;
begin
  perform bulwark_private.require_known_permission(explain_permission.permission);
  perform bulwark_private.require_visible_user(
    explain_permission.user_id, explain_permission.organization_id, former => true
  );
  -- For a former member only the organization's own grants are visible.
  v_visible := bulwark_private.can_see_user(
    explain_permission.user_id, explain_permission.organization_id
  );
  -- MFA is considered for the caller only: other users' sessions stay private.
  if explain_permission.user_id = bulwark.current_person() then
    v_withheld := bulwark_private.user_permits(user_id, permission, organization_id)
      and not bulwark_private.session_permits(user_id, permission, organization_id);
  end if;
  return query
    with recursive grants as (
      select g.*, r.name as role_name
      from bulwark.user_roles g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = explain_permission.user_id
        and (
          g.organization_id is not distinct from explain_permission.organization_id
          or (
            v_visible and g.organization_id is null
              and g.role_id = bulwark_private.super_admin_role()
          )
        )
    ),
    ancestry (role_id, ancestor_id) as (
      select g.role_id, g.role_id from grants g
      union
      select a.role_id, i.inherits_role_id
      from ancestry a
      join bulwark.role_inheritance i on i.role_id = a.ancestor_id
    )
    select
      a.user_id is not null and not v_withheld,
      case
        when a.user_id is not null and v_withheld then 'mfa_required'
        when a.user_id is not null then 'active'
        when g.starts_at > now() then 'not_started'
        when g.expires_at <= now() then 'expired'
        else 'account_suspended'
      end,
      g.role_name,
      r.name,
      g.organization_id is null,
      g.starts_at,
      g.expires_at
    from grants g
    join ancestry c on c.role_id = g.role_id
    join bulwark.role_permissions p
      on p.role_id = c.ancestor_id and p.permission = explain_permission.permission
    join bulwark.roles r on r.id = c.ancestor_id
    left join bulwark_private.active_grants a
      on a.user_id = g.user_id
      and a.role_id = g.role_id
      and a.organization_id is not distinct from g.organization_id
      and a.source = g.source
    order by 1 desc, g.expires_at desc nulls first, g.role_name, r.name;
  if not found then
    return query
      select
        false,
        case
          when exists (
            select from bulwark.user_roles g
            where g.user_id = explain_permission.user_id
              and g.organization_id is not distinct from explain_permission.organization_id
          ) then 'not_in_roles'
          else 'no_role'
        end,
        null::text, null::text, null::boolean, null::timestamptz, null::timestamptz;
  end if;
end;
$$;
comment on function bulwark.explain_permission(uuid, text, uuid) is
  'Why a user has a permission or not. One row for each granted role that holds it, with the role
   that it inherits it from, and the reason: active, not_started, expired, account_suspended or, for
   the caller in a session without the required second factor, mfa_required. If no role holds it:
   one row with the reason not_in_roles or no_role. Errors: RBAC_USER_NOT_VISIBLE,
   RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';
