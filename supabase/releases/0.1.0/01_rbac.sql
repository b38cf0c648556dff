-- 01_rbac: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: gone: insert into bulwark.settings (name, value, description) values
-- By hand: new: insert into bulwark.settings (name, value, description) values
-- By hand: changed: create table bulwark.invitations (
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
alter table bulwark.invitations add column declined boolean not null default false;
alter table bulwark.invitations
  add column role_expires_at timestamptz,
  add constraint invitations_ends_before_its_role check (expires_at <= role_expires_at);
insert into bulwark.settings (name, value, description) values
  ('rbac.invitations_per_address', '10',
    'How many invitations an organization may make for one address within a day');
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('rbac.self_service_organizations', '{"type": "boolean"}'),
  ('rbac.self_service_limit', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('rbac.anonymous_members', '{"type": "boolean"}'),
  ('rbac.delete_last_administrators', '{"type": "boolean"}'),
  ('rbac.pending_invitations', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitations_per_address', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitation_retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}');
drop function bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval);
drop function bulwark_private.require_room_for_invitation(organization_id uuid);
drop function bulwark_private.require_organization_names(name text, slug text);
drop function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid);
create or replace function bulwark_private.bump_permission_version(organization_id uuid)
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
create or replace function bulwark_private.role_inheritance_validate()
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
create or replace function bulwark_private.user_roles_validate()
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
create or replace function bulwark_private.user_roles_keep_administrator()
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
comment on table bulwark.mfa_policies is
  'The second factors that an organization requires; organization_id null: those that the
   installation requires of system-wide roles. Members read it, set_mfa_policy writes it.';
create or replace view bulwark_private.unexpired_grants with (security_invoker = true) as
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
create or replace function bulwark.organizations_with(permission text)
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
comment on function bulwark.require_permission(text, uuid) is
  'Check for functions: raises RBAC_PERMISSION_DENIED unless the caller holds the permission in the
   organization (null: system-wide), and MFA_REQUIRED if they hold it but the organization requires
   MFA and the session is not verified. The service role passes. A missing organization and one that
   is closed to the caller get the same answer.
   Errors: also those of has_permission.';
create or replace function bulwark_private.require_permission_to_change(permission text, organization_id uuid)
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
create or replace function bulwark_private.require_visible_user(
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
create or replace function bulwark.has_permission(permission text, organization_id uuid default null)
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
create function bulwark_private.require_organization_name(name text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Besides control characters: characters that hide or reverse the text around them.
  if name is null or length(btrim(name)) not between 1 and 120
    or name ~ '[[:cntrl:]\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]' then
    raise exception 'Cannot name organization: a name has 1 to 120 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_name(text) is
  'Raises RBAC_INVALID_NAME.';
create function bulwark_private.require_organization_slug(slug text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if slug is null or slug !~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$' or slug ~ '^..--' then
    raise exception 'Cannot name organization: a slug has 3 to 63 of a-z, 0-9 and inner hyphens'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_SLUG';
  end if;
  if exists (
    select from bulwark_private.reserved_slugs r where r.slug = require_organization_slug.slug
  ) then
    raise exception 'Cannot name organization: the slug is reserved'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_SLUG_RESERVED',
        hint = 'Choose another slug';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_slug(text) is
  'Raises RBAC_INVALID_SLUG or RBAC_SLUG_RESERVED.';
create or replace function bulwark_private.require_existing_user(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null then
    raise exception 'Cannot name user: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from auth.users u
    where u.id = user_id
      and u.deleted_at is null
      and (u.banned_until is null or u.banned_until <= now())
  ) then
    raise exception 'Cannot name user: there is no such account, or it is suspended'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_USER',
        hint = 'Pass the id of an account that can sign in';
  end if;
end;
$$;
create or replace function bulwark.create_organization(
  name text,
  slug text,
  administrator_id uuid default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations or grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_administrator uuid := coalesce(administrator_id, v_caller);
  v_by_itself boolean := false;
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  if not bulwark_private.caller_is_service() and not bulwark_private.caller_is_sign_up() then
    v_caller := bulwark_private.require_user();
    perform bulwark_private.require_named_account(v_caller);
    v_by_itself := v_administrator = v_caller
      and bulwark_private.setting('rbac.self_service_organizations') = 'true'
      and not bulwark_private.session_permits(v_caller, 'org:create', null);
    if not v_by_itself then
      perform bulwark_private.require_permission_to_act('org:create', null);
    end if;
  end if;
  perform bulwark_private.lock_rights(null);
  perform bulwark_private.hold_session();
  if v_by_itself then
    perform bulwark_private.lock_count('organizations', v_caller::text);
    if (
      select count(*) >= (bulwark_private.setting('rbac.self_service_limit'))::integer
      from bulwark.organizations o where o.created_by = v_caller and o.self_service
    ) then
      raise exception 'Cannot create organization: you have made as many as one account may'
        using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_ORGANIZATIONS',
          hint = 'Delete one, or ask the operator: rbac.self_service_limit';
    end if;
  end if;
  perform bulwark_private.require_organization_name(name);
  perform bulwark_private.require_organization_slug(slug);
  perform bulwark_private.require_existing_user(v_administrator);
  begin
    insert into bulwark.organizations (name, slug, created_by, self_service)
    values (
      btrim(create_organization.name), create_organization.slug, v_caller, v_by_itself
    )
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot create organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  insert into bulwark.user_roles (user_id, role_id, organization_id, granted_by)
  values (v_administrator, bulwark_private.admin_role(), v_organization.id, v_caller);
  return v_organization;
end;
$$;
create or replace function bulwark.update_organization(
  organization_id uuid,
  name text default null,
  slug text default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_act('org:update', organization_id);
  select * into v_organization
  from bulwark.organizations o
  where o.id = organization_id
  for no key update;
  if not found then
    raise exception 'Cannot rename organization: it does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  -- A value that stays is not checked: the slug may have become reserved since.
  if name <> v_organization.name then
    perform bulwark_private.require_organization_name(name);
  end if;
  if slug <> v_organization.slug then
    perform bulwark_private.require_organization_slug(slug);
  end if;
  begin
    update bulwark.organizations o
    set name = coalesce(btrim(update_organization.name), o.name),
        slug = coalesce(update_organization.slug, o.slug)
    where o.id = organization_id
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot rename organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  return v_organization;
end;
$$;
comment on function bulwark.update_organization(uuid, text, text) is
  'Renames an organization (org:update there). A name or slug that is omitted or null stays. Errors:
   those of create_organization, and RBAC_UNKNOWN_ORGANIZATION for the service role and
   super_admin.';
create or replace function bulwark.delete_organization(organization_id uuid, confirm_slug text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in delete_host_organization
  set jit = off
as $$
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_change('org:delete', organization_id);
  delete from bulwark.organizations o
  where o.id = organization_id and o.slug = confirm_slug;
  if not found then
    raise exception 'Cannot delete organization: none has this id and this slug'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
            hint = 'Confirm with the slug of the organization';
  end if;
end;
$$;
create or replace function bulwark.grant_role(
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
create or replace function bulwark.revoke_role(user_id uuid, role text, organization_id uuid default null)
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
create or replace function bulwark_private.require_role_name(name text, description text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if name is null or name !~ '^[a-z][a-z0-9_]{1,62}$' then
    raise exception 'Cannot name role: a name has 2 to 63 of a-z, 0-9, _ and begins with a letter'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if description is null or length(description) > 500 then
    raise exception 'Cannot name role: a description has at most 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if exists (
    select from bulwark.roles r where r.organization_id is null and r.name = require_role_name.name
  ) then
    raise exception 'Cannot name role: a system role has that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end if;
end;
$$;
create or replace function bulwark.create_role(
  organization_id uuid,
  name text,
  permissions text[] default '{}',
  inherits text[] default '{}',
  description text default ''
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  if organization_id is null then
    raise exception 'Cannot create role: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT',
            hint = 'System roles are made by migrations';
  end if;
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  perform bulwark_private.require_role_name(name, description);
  if (
    select count(*) >= 100 from bulwark.roles r
    where r.organization_id = create_role.organization_id
  ) then
    raise exception 'Cannot create role: an organization has at most 100 of its own'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_TOO_MANY_ROLES',
        hint = 'Delete roles that nobody needs with delete_role';
  end if;
  begin
    insert into bulwark.roles (organization_id, name, description, created_by)
    values (
      create_role.organization_id, create_role.name, create_role.description,
      bulwark.current_person()
    )
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot create role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name, or change that role with update_role';
  end;
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  select * into v_role from bulwark.roles r where r.id = v_role.id;
  return v_role;
end;
$$;
create or replace function bulwark.update_role(
  organization_id uuid,
  role text,
  name text default null,
  permissions text[] default null,
  inherits text[] default null,
  description text default null
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  v_role := bulwark_private.find_own_role(role, organization_id);
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  perform bulwark_private.require_role_name(
    coalesce(name, v_role.name), coalesce(description, v_role.description)
  );
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  begin
    update bulwark.roles r
    set name = coalesce(update_role.name, r.name),
        description = coalesce(update_role.description, r.description)
    where r.id = v_role.id
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot rename role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end;
  return v_role;
end;
$$;
comment on function bulwark.delete_role(uuid, text) is
  'Deletes an organization''s own role (role:manage) with its pending invitations, unless somebody
   holds it or a role inherits it. Errors: RBAC_ROLE_IN_USE, RBAC_ROLE_IS_SYSTEM,
   RBAC_UNKNOWN_ROLE, RBAC_PERMISSION_DENIED, RBAC_PERMISSION_NOT_HELD,
   RBAC_ROLE_OUTRANKS_GRANTER.';
comment on column bulwark.invitations.declined is
  'Whether the invitee ended it, at revoked_at.';
comment on column bulwark.invitations.role_expires_at is
  'When the role ends that the invitee gets; null: it has no end.';
create function bulwark_private.require_room_for_invitation(organization_id uuid, email text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('rbac.pending_invitations'))::bigint;
begin
  if (
    select
      count(*) filter (
        where i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
      ) >= v_limit
      -- The second limit holds even if invitations are revoked in between.
      or count(*) filter (where i.created_at > now() - interval '1 day') >= 4 * v_limit
    from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and (
        i.created_at > now() - interval '1 day'
        or i.accepted_at is null and i.revoked_at is null
      )
  ) then
    raise exception 'Cannot invite member: the organization has as many invitations as it may'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Revoke those that are not needed, or have rbac.pending_invitations raised';
  end if;
  -- Each may be a message to somebody who did not ask for it.
  if (
    select count(*) from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and i.email = require_room_for_invitation.email
      and i.created_at > now() - interval '1 day'
  ) >= (bulwark_private.setting('rbac.invitations_per_address'))::integer then
    raise exception 'Cannot invite member: the address was invited too often today'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Try again tomorrow';
  end if;
end;
$$;
comment on function bulwark_private.require_room_for_invitation(uuid, text) is
  'Raises RBAC_TOO_MANY_INVITATIONS if an organization has rbac.pending_invitations pending ones, or
   created four times as many within a day, or rbac.invitations_per_address for the address. The
   caller holds the exclusive lock of the organization''s rights, so the count is exact.';
create function bulwark_private.issue_invitation_token(invitation_id uuid)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_token constant text := translate(
    encode(extensions.gen_random_bytes(32), 'base64'), E'+/=\n', '-_'
  );
begin
  insert into bulwark_private.invitation_tokens as t (invitation_id, token_hash)
  values (issue_invitation_token.invitation_id, sha256(convert_to(v_token, 'UTF8')))
  on conflict on constraint invitation_tokens_pkey do update set token_hash = excluded.token_hash;
  return v_token;
end;
$$;
comment on function bulwark_private.issue_invitation_token(uuid) is
  'A new token of an invitation, which replaces the one before. Only its hash is stored.';
create function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select false; $$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: false, the
   application sends it. The capability webhooks replaces this function.';
create function bulwark.invite_member(
  organization_id uuid,
  email text,
  role text,
  expires_in interval default '7 days',
  role_expires_at timestamptz default null
)
  returns table (invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_email text := lower(btrim(email));
  v_expires_at timestamptz;
  v_invitation uuid;
  v_now timestamptz;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_own_members();
  perform bulwark_private.require_permission_to_change('user:create', organization_id);
  v_now := clock_timestamp();
  if organization_id is null then
    raise exception 'Cannot invite member: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if v_email is null or length(v_email) > 254
    or v_email !~ '^[^@[:space:][:cntrl:]]{1,64}@[^@[:space:][:cntrl:]]+$' then
    raise exception 'Cannot invite member: that is not an e-mail address'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EMAIL';
  end if;
  if not bulwark_private.lasts_up_to(expires_in, '90 days') or now() + expires_in = now() then
    raise exception 'Cannot invite member: an invitation lasts up to 90 days'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY';
  end if;
  if role_expires_at <= v_now or not isfinite(role_expires_at) then
    raise exception 'Cannot invite member: the role would end in the past'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY',
            hint = 'Leave role_expires_at null for a role without an end';
  end if;
  -- Nobody accepts a role that has ended.
  v_expires_at := least(v_now + expires_in, role_expires_at);
  v_role := bulwark_private.find_role(role, organization_id);
  if v_role.id = bulwark_private.super_admin_role() then
    raise exception 'Cannot invite member: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Invite as admin';
  end if;
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, role_expires_at),
      'invite member'
    );
  end if;

  update bulwark.invitations i
  set revoked_at = now()
  where i.organization_id = invite_member.organization_id
    and i.email = v_email
    and i.accepted_at is null
    and i.revoked_at is null;
  perform bulwark_private.require_room_for_invitation(invite_member.organization_id, v_email);
  insert into bulwark.invitations
    (organization_id, email, role_id, invited_by, created_at, expires_at, role_expires_at)
  values (
    invite_member.organization_id, v_email, v_role.id, v_caller, v_now, v_expires_at,
    invite_member.role_expires_at
  )
  returning id into v_invitation;
  insert into bulwark_private.invitation_accounts (invitation_id, user_id)
  select v_invitation, u.id from auth.users u where u.email = v_email;
  return query
    select v_invitation,
      case
        when not bulwark_private.announce_invitation(v_invitation)
        then bulwark_private.issue_invitation_token(v_invitation)
      end,
      v_expires_at;
end;
$$;
comment on function bulwark.invite_member(uuid, text, text, interval, timestamptz) is
  'Invites an e-mail address into an organization with a role (user:create and role:grant, rank
   as for grant_role) for up to 90 days. The role begins when the invitee accepts and lasts until
   role_expires_at (null: no end), when the invitation ends, too. The token (base64url, 256 bits)
   is returned only here; the application sends it. It is null if an endpoint for invitations
   sends it (capability webhooks). An earlier pending invitation of the same address is revoked.
   Errors: RBAC_PERMISSION_DENIED, RBAC_INVALID_EMAIL, RBAC_INVALID_EXPIRY, RBAC_UNKNOWN_ROLE,
   RBAC_ROLE_NOT_ASSIGNABLE, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_GRANT_OUTLIVES_GRANTER,
   RBAC_TOO_MANY_INVITATIONS, RBAC_UNKNOWN_ORGANIZATION, RBAC_MEMBERS_ARE_HOSTS.';
create or replace function bulwark.revoke_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  select i.organization_id into v_organization
  from bulwark.invitations i where i.id = invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  if not found then
    v_organization := gen_random_uuid();
  end if;
  perform bulwark_private.require_permission_to_change('user:create', v_organization);
  update bulwark.invitations i
  set revoked_at = now()
  where i.id = invitation_id and i.accepted_at is null and i.revoked_at is null;
  if not found then
    raise exception 'Cannot revoke invitation: it is no longer pending'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List pending ones with list_invitations';
  end if;
end;
$$;
drop trigger invitations_keep_columns on bulwark.invitations;
create trigger invitations_keep_columns
  before update on bulwark.invitations
  for each row execute function bulwark.keep_columns(
    'organization_id', 'email', 'role_id', 'invited_by', 'expires_at', 'role_expires_at'
  );
create or replace function bulwark_private.user_roles_note_departures()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that revokes may not write invitations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan kept from small tables would read all grants for each member
  set jit = off
as $$
begin
  perform bulwark_private.depart(c.user_id, c.organization_id, c.left_at)
  from (
    select
      o.user_id, o.organization_id,
      max(least(coalesce(o.expires_at, 'infinity'), clock_timestamp())) as left_at
    from changed o
    group by o.user_id, o.organization_id
  ) c
  -- The organization itself may be in deletion, with its invitations.
  where exists (select from bulwark.organizations o where o.id = c.organization_id)
    and not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = c.user_id and g.organization_id = c.organization_id
    );
  return null;
end;
$$;
create or replace function bulwark_private.organizations_refuse_id()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The UUID of zeros stands for the installation, in indexes of keys and endpoints.
  if new.id = '00000000-0000-0000-0000-000000000000' then
    raise exception 'Cannot make organization: no organization has the UUID of zeros'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
  if bulwark_private.setting('rbac.reuse_organization_keys') is distinct from 'true' and exists (
    select from bulwark_private.former_organizations f where f.organization_id = new.id
  ) then
    raise exception 'Cannot make organization: another one had its key and was deleted'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Use a new key: with this one, the organization could read the log of the other';
  end if;
  return new;
end;
$$;
create or replace function bulwark_private.keep_host_organization(
  host bulwark_private.host_organizations,
  key text,
  name text,
  slug text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := bulwark_private.organization_of(key);
  v_made boolean;
  v_name constant text := bulwark_private.host_name(name, v_id);
  -- Without a column of slugs the caller gives any text.
  v_slug constant text := case when host.slug_column is not null then slug end;
begin
  perform bulwark_private.require_plain_key(key);
  if host.key_type <> 'uuid' and bulwark_private.is_hashed_id(key) then
    raise exception 'Cannot make organization: its key has the form of an id of Bulwark'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose a key that is no UUID';
  end if;
  insert into bulwark.organizations (id, name, slug, created_by)
  values (v_id, v_name, bulwark_private.host_slug(v_slug, v_id), bulwark.current_person())
  on conflict do nothing;
  v_made := found;
  if not v_made and exists (select from bulwark.organizations o where o.id = v_id) then
    perform bulwark_private.rename_host_organization(
      v_id, v_name,
      case when host.slug_column is not null then bulwark_private.host_slug(v_slug, v_id) end
    );
  elsif not v_made then
    -- Another transaction took the slug meanwhile. Nobody else's is made of this id.
    insert into bulwark.organizations (id, name, slug, created_by)
    values (v_id, v_name, bulwark_private.host_slug(null, v_id), bulwark.current_person());
  end if;
  insert into bulwark_private.organization_keys (organization_id, key)
  values (v_id, keep_host_organization.key)
  on conflict on constraint organization_keys_pkey do nothing;
  if found then
    -- Its members may be there already, if the host's foreign key is deferred.
    perform bulwark_private.follow_members_of(key);
  elsif not exists (
    select from bulwark_private.organization_keys k
    where k.organization_id = v_id and k.key = keep_host_organization.key
  ) then
    raise exception 'Cannot make organization: another key has its id'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
end;
$$;
create or replace function bulwark_private.delete_host_organization(organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- the cascades keep their plans, too
  set jit = off
as $$
begin
  perform bulwark_private.lock_rights(organization_id, exclusively => true);
  delete from bulwark.organizations o where o.id = organization_id;
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
comment on function bulwark_private.host_role(bulwark_private.host_members, text) is
  'The system role for a value of the host''s role column; null: none. Errors:
   RBAC_HOST_ROLE_UNKNOWN, RBAC_UNKNOWN_ROLE.';
comment on function bulwark_private.host_grants(text, uuid[]) is
  'The grants that follow from the host''s rows: of some members in the organization with a key, or
   all. Whether the organization exists is not asked. Errors: RBAC_HOST_ROLE_UNKNOWN,
   RBAC_HOST_TABLE_CHANGED.';
comment on function bulwark_private.follow_members(text, uuid[]) is
  'Grants members of an organization the roles of the host''s rows, and revokes the rest.';
create or replace function bulwark_private.require_host_roles(roles jsonb, otherwise text)
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
create view bulwark_private.people with (security_invoker = true) as
  select
    u.id as user_id,
    lower(u.email) as email,
    left(
      coalesce(u.raw_user_meta_data ->> 'full_name', u.raw_user_meta_data ->> 'name'), 500
    ) as said_name,
    u.last_sign_in_at
  from auth.users u;
comment on view bulwark_private.people is
  'Accounts with their address in lower case and the name that they say of themselves, as it is
   stored. Show it through bulwark_private.printable_name.';
create function bulwark_private.printable_name(said_name text)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select bulwark_private.host_name(said_name, null); $$;
comment on function bulwark_private.printable_name(text) is
  'A name without characters that do not print or that reverse what follows, cut to 120; null if
   nothing is left.';
create function bulwark_private.has_second_factor(user_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark.mfa_secrets f
    where f.user_id = has_second_factor.user_id and f.activated_at is not null
  ) or bulwark_private.native_factors(user_id) > 0;
end;
$$;
comment on function bulwark_private.has_second_factor(uuid) is
  'Whether an account has an activated second factor, of Bulwark or of Supabase Auth.';
create function bulwark.list_members(
  organization_id uuid,
  search text default null,
  role text default null,
  after text default null,
  page_size integer default 50
)
  returns table (
    user_id uuid,
    email text,
    name text,
    roles jsonb,
    member_since timestamptz,
    suspended boolean,
    mfa_enrolled boolean,
    last_sign_in_at timestamptz,
    page_key text
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_search constant text := lower(nullif(btrim(search), ''));
  v_sees_security boolean;
begin
  if organization_id is null then
    raise exception 'Cannot list members: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark.require_permission('user:read', organization_id);
  v_sees_security := bulwark_private.caller_is_service() or bulwark_private.session_permits(
    bulwark.current_person(), 'security:read', organization_id
  );
  return query
    with page as materialized (
      select p.*, k.page_key
      from (
        select distinct g.user_id
        from bulwark_private.unexpired_grants g
        where g.organization_id = list_members.organization_id
          and (
            list_members.role is null
            or g.role_id in (
              select r.id from bulwark.roles r
              where r.name = list_members.role
                and (r.organization_id is null or r.organization_id = g.organization_id)
            )
          )
      ) m
      join bulwark_private.people p on p.user_id = m.user_id
      -- In the key, not looked up by an id: that would tell how addresses of others are sorted.
      cross join lateral (select concat(p.email, '/', p.user_id) collate "C") k (page_key)
      where (list_members.after is null or k.page_key > list_members.after)
        -- No pattern: in one, the characters % and _ would stand for others.
        and (
          v_search is null
          or strpos(p.email, v_search) > 0
          or strpos(lower(p.said_name), v_search) > 0
        )
      order by k.page_key
      limit least(greatest(list_members.page_size, 1), 1000)
    )
    select
      p.user_id,
      p.email,
      bulwark_private.printable_name(p.said_name),
      h.roles,
      h.member_since,
      h.suspended,
      case when v_sees_security then bulwark_private.has_second_factor(p.user_id) end,
      case when v_sees_security then p.last_sign_in_at end,
      p.page_key
    from page p
    cross join lateral (
      select
        jsonb_agg(
          jsonb_build_object(
            'role', r.name, 'level', r.level, 'source', g.source,
            'starts_at', g.starts_at, 'expires_at', nullif(g.held_until, 'infinity'),
            'active', g.starts_at <= now() and not g.suspended, 'granted_by', g.granted_by
          )
          order by r.level desc, r.name, g.source
        ) as roles,
        min(g.created_at) as member_since,
        bool_or(g.suspended) as suspended
      from bulwark_private.unexpired_grants g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = p.user_id and g.organization_id = list_members.organization_id
    ) h
    order by p.page_key;
end;
$$;
comment on function bulwark.list_members(uuid, text, text, text, integer) is
  'The members of an organization (user:read), by address: those with a role that has not expired.
   search is a part of an address or a name, role the name of a role, after the page_key of the last
   row of the previous page; a page has up to 1,000. roles: a list of role, level, source (own or
   host), starts_at, expires_at, active and granted_by, highest first. name is what the account says
   of itself, and may be null, as email may. suspended: banned or deleted. mfa_enrolled and
   last_sign_in_at are null without security:read. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED,
   RBAC_NULL_ARGUMENT.';
create function bulwark.list_names(organization_id uuid, user_ids uuid[])
  returns table (user_id uuid, name text, email text, is_member boolean)
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_all constant boolean := organization_id is null;
  v_caller constant uuid := bulwark.current_person();
begin
  if user_ids is null then
    raise exception 'Cannot list names: the list is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if cardinality(user_ids) > 1000 or array_ndims(user_ids) > 1 then
    raise exception 'Cannot list names: a batch is a plain list of at most 1,000'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if v_all then
    perform bulwark_private.require_caller();
    if not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
      raise exception 'Cannot list names: without an organization it needs a super_admin'
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
          hint = 'Name an organization, or ask a super_admin';
    end if;
  else
    perform bulwark.require_permission('user:read', organization_id);
  end if;
  return query
    select
      p.user_id,
      bulwark_private.printable_name(p.said_name),
      case when v_all or m.is_member or p.user_id = v_caller then p.email end,
      m.is_member
    from (select distinct unnest(list_names.user_ids)) i (user_id)
    join bulwark_private.people p on p.user_id = i.user_id
    cross join lateral (
      select exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = i.user_id and g.organization_id = list_names.organization_id
      )
    ) m (is_member)
    where v_all or m.is_member or p.user_id = v_caller
      or exists (
        select from bulwark.user_roles g
        where g.user_id = i.user_id and g.organization_id = list_names.organization_id
      )
      or exists (
        select from bulwark_private.departures d
        where d.user_id = i.user_id and d.organization_id = list_names.organization_id
      );
end;
$$;
comment on function bulwark.list_names(uuid, uuid[]) is
  'The names behind up to 1,000 ids of accounts, wherever ids are shown: actors, assignees, owners
   of keys. Of members of the organization (user:read there), and without an address of those who
   left it in the last 91 days. For organization_id null, of all accounts (super_admin). Other ids
   get no row, whether they exist or not. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED,
   RBAC_BATCH_TOO_LARGE, RBAC_NULL_ARGUMENT.';
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
create function bulwark_private.permissions_here(
  user_id uuid,
  organization_id uuid,
  passes_mfa boolean
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- bulwark_private.session_permits for all permissions at once.
  return (
    select coalesce(jsonb_agg(distinct h.permission), '[]')
    from bulwark_private.held_permissions h
    where h.user_id = permissions_here.user_id
      and (
        h.organization_id = permissions_here.organization_id
        or h.everywhere
        or (h.organization_id is null and permissions_here.organization_id is null)
      )
      and (
        passes_mfa
        or not exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id = permissions_here.organization_id
              or (p.organization_id is null and h.organization_id is null)
            )
            and p.required_from <= now()
        )
      )
  );
end;
$$;
comment on function bulwark_private.permissions_here(uuid, uuid, boolean) is
  'The permissions of a user in an organization (null: system-wide) in a session that has or has not
   proven a second factor, as a sorted list.';
create function bulwark.whoami(known_version text default null)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients may read neither accounts nor all grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_account jsonb;
  v_enrolled boolean;
  v_user constant uuid := bulwark_private.require_user();
  v_verified_at timestamptz := bulwark_private.session_mfa(
    bulwark_private.claimed_id('session_id'), v_user
  );
  v_version text;
begin
  v_enrolled := bulwark_private.has_second_factor(v_user);
  select jsonb_build_object(
    'id', u.id,
    'email', p.email,
    'email_confirmed', u.email_confirmed_at is not null,
    'name', bulwark_private.printable_name(p.said_name),
    -- Through jsonb, because older versions of Supabase Auth lack the column.
    'anonymous', coalesce((to_jsonb(u) -> 'is_anonymous') = 'true', false)
  )
  into v_account
  from auth.users u
  join bulwark_private.people p on p.user_id = u.id
  where u.id = v_user;
  -- All that the answer is made of. Contents of roles are in the versions of rights, and the rest
  -- changes without one: times that pass, names, and the session.
  select md5(concat_ws(
    '/', v_account, v_enrolled, v_verified_at,
    (select v.version from bulwark_private.permission_versions v where v.organization_id is null),
    (
      select concat(p.required_from, p.required_from <= now())
      from bulwark.mfa_policies p where p.organization_id is null
    ),
    string_agg(concat_ws(
      ',', g.organization_id, g.role_id, g.source, v.version, o.name, o.slug, p.required_from,
      p.required_from <= now()
    ), '/' order by g.organization_id, g.role_id, g.source)
  ))
  into v_version
  from bulwark_private.active_grants g
  left join bulwark.organizations o on o.id = g.organization_id
  left join bulwark_private.permission_versions v on v.organization_id = g.organization_id
  left join bulwark.mfa_policies p on p.organization_id = g.organization_id
  where g.user_id = v_user;
  if v_version = known_version then
    return null;
  end if;
  return jsonb_build_object(
    'version', v_version,
    'user', v_account,
    'mfa', jsonb_build_object(
      'enrolled', v_enrolled,
      'verified_at', nullif(v_verified_at, '-infinity'),
      'satisfied', v_verified_at is not null
    ),
    'roles', (
      select coalesce(jsonb_agg(r.name order by r.level desc, r.name), '[]')
      from bulwark_private.active_grants g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = v_user and g.organization_id is null
    ),
    'permissions', bulwark_private.permissions_here(v_user, null, v_verified_at is not null),
    'organizations', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'id', o.id,
          'name', o.name,
          'slug', o.slug,
          'roles', o.roles,
          'permissions', bulwark_private.permissions_here(
            v_user, o.id, v_verified_at is not null
          ),
          'mfa_required', coalesce(p.required_from <= now(), false),
          'mfa_required_from', p.required_from,
          'mfa_met', coalesce(p.required_from > now(), true) or v_verified_at is not null
        )
        order by o.slug
      ), '[]')
      from (
        select o.id, o.name, o.slug, jsonb_agg(distinct r.name) as roles
        from bulwark_private.active_grants g
        join bulwark.organizations o on o.id = g.organization_id
        join bulwark.roles r on r.id = g.role_id
        where g.user_id = v_user
        group by o.id
        order by o.slug
        limit 100
      ) o
      left join bulwark.mfa_policies p on p.organization_id = o.id
    )
  );
end;
$$;
comment on function bulwark.whoami(text) is
  'The caller: version, user (id, email, email_confirmed, name, anonymous), mfa of the account
   and session (enrolled, verified_at, satisfied), system-wide roles and permissions, and the first
   100 organizations by slug (id, name, slug, roles, permissions, mfa_required, mfa_required_from,
   mfa_met). Permissions are those that the session has right now. Null if known_version is still
   current. Errors: those of bulwark_private.require_user.';
create function bulwark.list_settings()
  returns table (name text, value jsonb, description text, accepts jsonb)
  language plpgsql
  stable
  rows 100
  security definer            -- definer because clients read no settings
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:admin', null);
  return query
    select s.name, s.value, s.description, r.accepts
    from bulwark.settings s
    left join bulwark_private.setting_rules r on r.name = s.name
    order by s.name collate "C";
end;
$$;
comment on function bulwark.list_settings() is
  'All settings with their values (system:admin). accepts: the values that set_setting takes, as a
   JSON Schema; null: only the owner of the database changes it. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';
create function bulwark.set_setting(name text, value json)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients write no settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_accepts jsonb;
  v_value jsonb;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.setting(name);
  select r.accepts into v_accepts
  from bulwark_private.setting_rules r where r.name = set_setting.name;
  if not found then
    raise exception 'Cannot set %: only the owner of the database changes it', set_setting.name
      using errcode = 'insufficient_privilege', detail = 'SETTING_IS_OPERATORS',
            hint = 'In the SQL editor: update bulwark.settings';
  end if;
  begin
    v_value := value::jsonb;
  exception when data_exception then
    v_value := null;            -- which no rule accepts
  end;
  if not bulwark_private.schema_accepts(v_accepts, v_value) then
    raise exception 'Cannot set %: it does not accept this value', set_setting.name
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = format('It accepts %s', v_accepts);
  end if;
  update bulwark.settings s
  set value = v_value
  where s.name = set_setting.name and s.value <> v_value;
end;
$$;
comment on function bulwark.set_setting(text, json) is
  'Changes a setting that list_settings shows with accepts (system:admin). It counts from the next
   statement on, and is recorded as settings.updated. Errors: SETTING_IS_OPERATORS,
   SETTING_INVALID_VALUE, UNKNOWN_SETTING, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
create function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return invitation.accepted_at is null
    and invitation.revoked_at is null
    and invitation.expires_at > now()
    and not bulwark_private.has_departed_since(user_id, invitation)
    and (
      invitation.invited_by is null
      or bulwark_private.user_permits(
        invitation.invited_by, 'user:create', invitation.organization_id
      )
      and bulwark_private.grant_refusal(
        invitation.invited_by, invitation.role_id, invitation.organization_id,
        invitation.role_expires_at
      ) is null
    );
end;
$$;
comment on function bulwark_private.invitation_holds(uuid, bulwark.invitations) is
  'Whether an invitation is pending, its sender may still grant the role, and the user has not left
   the organization since. The address is not asked.';
create function bulwark_private.require_confirmed_email()
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_email constant text := bulwark_private.confirmed_email();
begin
  if v_email is null then
    raise exception 'Cannot answer invitation: your own e-mail address is not confirmed'
      using errcode = 'insufficient_privilege', detail = 'RBAC_EMAIL_NOT_CONFIRMED',
        hint = 'Follow the link that Supabase Auth sent to this address';
  end if;
  return v_email;
end;
$$;
comment on function bulwark_private.require_confirmed_email() is
  'bulwark_private.confirmed_email; raises RBAC_EMAIL_NOT_CONFIRMED instead of null.';
create function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea)
  returns bulwark.user_roles
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller constant uuid := bulwark_private.require_user();
  v_email text;
  v_grant bulwark.user_roles;
  v_invitation bulwark.invitations;
begin
  perform bulwark_private.require_own_members();
  v_email := bulwark_private.require_confirmed_email();
  -- Waits for every change of rights there, so that the sender's present rights decide. For an
  -- invitation of somebody else no lock is taken.
  perform bulwark_private.bump_permission_version(i.organization_id)
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  perform bulwark_private.hold_session();
  -- The account's address may have changed while waiting.
  v_email := bulwark_private.confirmed_email();
  select * into v_invitation
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  if v_invitation.id is null
    or bulwark_private.invitation_holds(v_caller, v_invitation) is not true then
    v_invitation := null;
  end if;
  -- One statement checks and accepts, so that a concurrent second attempt finds nothing to update.
  update bulwark.invitations i
  set accepted_at = now(), accepted_by = v_caller
  where i.id = v_invitation.id
    and i.accepted_at is null
    and i.revoked_at is null
    and (
      take_invitation.token_hash is null
      or exists (
        select from bulwark_private.invitation_tokens t
        where t.invitation_id = i.id and t.token_hash = take_invitation.token_hash
      )
    );
  if not found then
    raise exception 'Cannot accept invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Ask for a new one, sent to the address of this account';
  end if;
  insert into bulwark.user_roles as g
    (user_id, role_id, organization_id, expires_at, granted_by)
  values (
    v_caller, v_invitation.role_id, v_invitation.organization_id, v_invitation.role_expires_at,
    v_invitation.invited_by
  )
  -- An invitation shortens no role that the invitee has.
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = least(g.starts_at, now()),
        expires_at = nullif(
          greatest(coalesce(g.expires_at, 'infinity'), coalesce(excluded.expires_at, 'infinity')),
          'infinity'
        ),
        granted_by = excluded.granted_by
  returning * into v_grant;
  return v_grant;
end;
$$;
comment on function bulwark_private.take_invitation(uuid, bytea) is
  'Makes the caller a member with the invited role, once, if the invitation is theirs and holds.
   With a hash, it must be that of its token. Errors: those of accept_invitation.';
create or replace function bulwark.accept_invitation(token text)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash constant bytea := sha256(convert_to(token, 'UTF8'));
begin
  return bulwark_private.take_invitation(
    (select t.invitation_id from bulwark_private.invitation_tokens t where t.token_hash = v_hash),
    v_hash
  );
end;
$$;
create function bulwark.my_invitations()
  returns table (
    invitation_id uuid,
    organization_id uuid,
    organization_name text,
    organization_slug text,
    role text,
    role_description text,
    invited_by uuid,
    invited_by_name text,
    invited_by_email text,
    created_at timestamptz,
    expires_at timestamptz,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read organization and sender
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  return query
    select
      i.id, o.id, o.name, o.slug, r.name, r.description, i.invited_by,
      bulwark_private.printable_name(p.said_name), p.email, i.created_at, i.expires_at,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.organizations o on o.id = i.organization_id
    join bulwark.roles r on r.id = i.role_id
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.email = (select bulwark_private.confirmed_email())
      and i.accepted_at is null
      and i.revoked_at is null
      and bulwark_private.invitation_holds(v_user, i)
    order by i.created_at desc, i.id
    limit 100;
end;
$$;
comment on function bulwark.my_invitations() is
  'The invitations that the caller can accept now, newest first, up to 100: those of their confirmed
   address. invited_by is null for the operator. Empty while the address is not confirmed. Errors:
   those of bulwark_private.require_user.';
create function bulwark.preview_invitation(token text)
  returns table (
    invitation_id uuid,
    organization_name text,
    role text,
    invited_by_name text,
    email text,
    expires_at timestamptz,
    is_mine boolean,
    role_expires_at timestamptz
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not read tokens
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_user constant uuid := bulwark.current_person();
begin
  -- The lock makes a GET fail (405): only a POST is charged by the rate limits.
  select i.* into v_invitation
  from bulwark_private.invitation_tokens t
  join bulwark.invitations i on i.id = t.invitation_id
  where t.token_hash = sha256(convert_to(token, 'UTF8'))
  for key share of t;
  -- No error for a wrong token: the charge of a request that fails is rolled back.
  return query
    select
      case when m.is_mine then v_invitation.id end,
      o.name,
      r.name,
      bulwark_private.printable_name(p.said_name),
      case
        when m.is_mine then v_invitation.email
        else left(v_invitation.email, 1) || '***' || substring(v_invitation.email from '@.*$')
      end,
      v_invitation.expires_at,
      m.is_mine,
      v_invitation.role_expires_at
    from bulwark.organizations o
    join bulwark.roles r on r.id = v_invitation.role_id
    left join bulwark_private.people p on p.user_id = v_invitation.invited_by
    cross join lateral (
      select coalesce(v_invitation.email = bulwark_private.confirmed_email(), false)
    ) m (is_mine)
    where o.id = v_invitation.organization_id
      and bulwark_private.invitation_holds(v_user, v_invitation);
end;
$$;
comment on function bulwark.preview_invitation(text) is
  'The invitation of a token, for a page that asks somebody to sign up or in; no user is needed.
   No row for a wrong, used, revoked or expired token. is_mine: the caller''s confirmed address
   was invited; otherwise the address is masked and the id null. Call it by POST; a GET is
   refused (25006).';
create function bulwark.accept_my_invitation(invitation_id uuid)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.take_invitation(invitation_id, null);
end;
$$;
comment on function bulwark.accept_my_invitation(uuid) is
  'accept_invitation by id, for an invitation of my_invitations: the confirmed address takes the
   place of the token. Errors: those of accept_invitation.';
create function bulwark.decline_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_user();
  perform bulwark_private.require_confirmed_email();
  perform bulwark_private.hold_session();
  update bulwark.invitations i
  set revoked_at = now(), declined = true
  where i.id = invitation_id
    and i.email = bulwark_private.confirmed_email()
    and i.accepted_at is null
    and i.revoked_at is null;
  if not found then
    raise exception 'Cannot decline invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List yours with my_invitations';
  end if;
end;
$$;
comment on function bulwark.decline_invitation(uuid) is
  'Ends a pending invitation of the caller''s confirmed address. Errors: RBAC_INVITATION_INVALID,
   RBAC_EMAIL_NOT_CONFIRMED, and those of bulwark_private.require_user.';
create function bulwark_private.invitation_state(invitation bulwark.invitations)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when invitation.accepted_at is not null then 'accepted'
    when invitation.declined then 'declined'
    when invitation.revoked_at is not null then 'revoked'
    when invitation.expires_at <= now() then 'expired'
    else 'pending'
  end;
$$;
comment on function bulwark_private.invitation_state(bulwark.invitations) is
  'pending, accepted, declined, revoked or expired.';
create function bulwark.list_invitations(
  organization_id uuid,
  states text[] default null,
  before uuid default null,
  page_size integer default 50
)
  returns table (
    invitation_id uuid,
    email text,
    role text,
    state text,
    invited_by uuid,
    invited_by_name text,
    created_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    accepted_by uuid,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform bulwark.require_permission('user:create', organization_id);
  return query
    select
      i.id, i.email, r.name, s.state, i.invited_by, bulwark_private.printable_name(p.said_name),
      i.created_at, i.expires_at, coalesce(i.accepted_at, i.revoked_at), i.accepted_by,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.roles r on r.id = i.role_id
    cross join lateral (select bulwark_private.invitation_state(i)) s (state)
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.organization_id = list_invitations.organization_id
      and (states is null or s.state = any (states))
      and (
        before is null
        or (i.created_at, i.id) < (
          select b.created_at, b.id from bulwark.invitations b
          where b.id = before and b.organization_id = list_invitations.organization_id
        )
      )
    order by i.created_at desc, i.id desc
    limit least(greatest(page_size, 1), 1000);
end;
$$;
comment on function bulwark.list_invitations(uuid, text[], uuid, integer) is
  'The invitations of an organization (user:create), newest first, by page: before is the id of
   the last one of the previous page. states: of pending, accepted, declined, revoked and
   expired; null for all. ended_at: when it was accepted, declined or revoked. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
create function bulwark.resend_invitation(
  invitation_id uuid,
  expires_in interval default '7 days'
)
  returns table (new_invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_invitation bulwark.invitations;
begin
  select * into v_invitation
  from bulwark.invitations i where i.id = resend_invitation.invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  perform bulwark_private.require_permission_to_change(
    'user:create', coalesce(v_invitation.organization_id, gen_random_uuid())
  );
  select * into v_invitation
  from bulwark.invitations i where i.id = v_invitation.id;
  if bulwark_private.invitation_state(v_invitation) in ('pending', 'expired') is not true then
    raise exception 'Cannot send invitation again: it was answered or revoked'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Invite the address again with invite_member';
  end if;
  return query
    select n.* from bulwark.invite_member(
      v_invitation.organization_id, v_invitation.email,
      (select r.name from bulwark.roles r where r.id = v_invitation.role_id), expires_in,
      v_invitation.role_expires_at
    ) n;
end;
$$;
comment on function bulwark.resend_invitation(uuid, interval) is
  'Invites the address of a pending or expired invitation again with its role and the role''s end,
   as invite_member does: a new invitation with a new token, of the caller, replaces it. Errors:
   RBAC_INVITATION_INVALID and those of invite_member.';
revoke all on table bulwark_private.people from public;
revoke all on table bulwark_private.people from anon;
revoke all on table bulwark_private.people from authenticated;
revoke all on table bulwark_private.people from service_role;
revoke all on function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid, session_id uuid) from public;
revoke all on function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid, session_id uuid) from anon;
revoke all on function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid, session_id uuid) from authenticated;
revoke all on function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid, session_id uuid) from service_role;
revoke all on function bulwark_private.require_organization_name(name text) from public;
revoke all on function bulwark_private.require_organization_name(name text) from anon;
revoke all on function bulwark_private.require_organization_name(name text) from authenticated;
revoke all on function bulwark_private.require_organization_name(name text) from service_role;
revoke all on function bulwark_private.require_organization_slug(slug text) from public;
revoke all on function bulwark_private.require_organization_slug(slug text) from anon;
revoke all on function bulwark_private.require_organization_slug(slug text) from authenticated;
revoke all on function bulwark_private.require_organization_slug(slug text) from service_role;
revoke all on function bulwark_private.require_room_for_invitation(organization_id uuid, email text) from public;
revoke all on function bulwark_private.require_room_for_invitation(organization_id uuid, email text) from anon;
revoke all on function bulwark_private.require_room_for_invitation(organization_id uuid, email text) from authenticated;
revoke all on function bulwark_private.require_room_for_invitation(organization_id uuid, email text) from service_role;
revoke all on function bulwark_private.issue_invitation_token(invitation_id uuid) from public;
revoke all on function bulwark_private.issue_invitation_token(invitation_id uuid) from anon;
revoke all on function bulwark_private.issue_invitation_token(invitation_id uuid) from authenticated;
revoke all on function bulwark_private.issue_invitation_token(invitation_id uuid) from service_role;
revoke all on function bulwark_private.announce_invitation(invitation_id uuid) from public;
revoke all on function bulwark_private.announce_invitation(invitation_id uuid) from anon;
revoke all on function bulwark_private.announce_invitation(invitation_id uuid) from authenticated;
revoke all on function bulwark_private.announce_invitation(invitation_id uuid) from service_role;
revoke all on function bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval, role_expires_at timestamptz) from public;
revoke all on function bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval, role_expires_at timestamptz) from anon;
revoke all on function bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval, role_expires_at timestamptz) from authenticated;
revoke all on function bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval, role_expires_at timestamptz) from service_role;
revoke all on function bulwark_private.printable_name(said_name text) from public;
revoke all on function bulwark_private.printable_name(said_name text) from anon;
revoke all on function bulwark_private.printable_name(said_name text) from authenticated;
revoke all on function bulwark_private.printable_name(said_name text) from service_role;
revoke all on function bulwark_private.has_second_factor(user_id uuid) from public;
revoke all on function bulwark_private.has_second_factor(user_id uuid) from anon;
revoke all on function bulwark_private.has_second_factor(user_id uuid) from authenticated;
revoke all on function bulwark_private.has_second_factor(user_id uuid) from service_role;
revoke all on function bulwark.list_members(organization_id uuid, search text, role text, after text, page_size integer) from public;
revoke all on function bulwark.list_members(organization_id uuid, search text, role text, after text, page_size integer) from anon;
revoke all on function bulwark.list_members(organization_id uuid, search text, role text, after text, page_size integer) from authenticated;
revoke all on function bulwark.list_members(organization_id uuid, search text, role text, after text, page_size integer) from service_role;
revoke all on function bulwark.list_names(organization_id uuid, user_ids uuid[]) from public;
revoke all on function bulwark.list_names(organization_id uuid, user_ids uuid[]) from anon;
revoke all on function bulwark.list_names(organization_id uuid, user_ids uuid[]) from authenticated;
revoke all on function bulwark.list_names(organization_id uuid, user_ids uuid[]) from service_role;
revoke all on function bulwark_private.require_membership(user_id uuid, organization_id uuid) from public;
revoke all on function bulwark_private.require_membership(user_id uuid, organization_id uuid) from anon;
revoke all on function bulwark_private.require_membership(user_id uuid, organization_id uuid) from authenticated;
revoke all on function bulwark_private.require_membership(user_id uuid, organization_id uuid) from service_role;
revoke all on function bulwark_private.take_roles(user_id uuid, organization_id uuid, kept uuid[], taker uuid) from public;
revoke all on function bulwark_private.take_roles(user_id uuid, organization_id uuid, kept uuid[], taker uuid) from anon;
revoke all on function bulwark_private.take_roles(user_id uuid, organization_id uuid, kept uuid[], taker uuid) from authenticated;
revoke all on function bulwark_private.take_roles(user_id uuid, organization_id uuid, kept uuid[], taker uuid) from service_role;
revoke all on function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[]) from public;
revoke all on function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[]) from anon;
revoke all on function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[]) from authenticated;
revoke all on function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[]) from service_role;
revoke all on function bulwark.remove_member(organization_id uuid, user_id uuid) from public;
revoke all on function bulwark.remove_member(organization_id uuid, user_id uuid) from anon;
revoke all on function bulwark.remove_member(organization_id uuid, user_id uuid) from authenticated;
revoke all on function bulwark.remove_member(organization_id uuid, user_id uuid) from service_role;
revoke all on function bulwark.leave_organization(organization_id uuid) from public;
revoke all on function bulwark.leave_organization(organization_id uuid) from anon;
revoke all on function bulwark.leave_organization(organization_id uuid) from authenticated;
revoke all on function bulwark.leave_organization(organization_id uuid) from service_role;
revoke all on function bulwark_private.permissions_here(user_id uuid, organization_id uuid, passes_mfa boolean) from public;
revoke all on function bulwark_private.permissions_here(user_id uuid, organization_id uuid, passes_mfa boolean) from anon;
revoke all on function bulwark_private.permissions_here(user_id uuid, organization_id uuid, passes_mfa boolean) from authenticated;
revoke all on function bulwark_private.permissions_here(user_id uuid, organization_id uuid, passes_mfa boolean) from service_role;
revoke all on function bulwark.whoami(known_version text) from public;
revoke all on function bulwark.whoami(known_version text) from anon;
revoke all on function bulwark.whoami(known_version text) from authenticated;
revoke all on function bulwark.whoami(known_version text) from service_role;
revoke all on function bulwark.list_settings() from public;
revoke all on function bulwark.list_settings() from anon;
revoke all on function bulwark.list_settings() from authenticated;
revoke all on function bulwark.list_settings() from service_role;
revoke all on function bulwark.set_setting(name text, value json) from public;
revoke all on function bulwark.set_setting(name text, value json) from anon;
revoke all on function bulwark.set_setting(name text, value json) from authenticated;
revoke all on function bulwark.set_setting(name text, value json) from service_role;
revoke all on function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations) from public;
revoke all on function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations) from anon;
revoke all on function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations) from authenticated;
revoke all on function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations) from service_role;
revoke all on function bulwark_private.require_confirmed_email() from public;
revoke all on function bulwark_private.require_confirmed_email() from anon;
revoke all on function bulwark_private.require_confirmed_email() from authenticated;
revoke all on function bulwark_private.require_confirmed_email() from service_role;
revoke all on function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea) from public;
revoke all on function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea) from anon;
revoke all on function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea) from authenticated;
revoke all on function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea) from service_role;
revoke all on function bulwark.my_invitations() from public;
revoke all on function bulwark.my_invitations() from anon;
revoke all on function bulwark.my_invitations() from authenticated;
revoke all on function bulwark.my_invitations() from service_role;
revoke all on function bulwark.preview_invitation(token text) from public;
revoke all on function bulwark.preview_invitation(token text) from anon;
revoke all on function bulwark.preview_invitation(token text) from authenticated;
revoke all on function bulwark.preview_invitation(token text) from service_role;
revoke all on function bulwark.accept_my_invitation(invitation_id uuid) from public;
revoke all on function bulwark.accept_my_invitation(invitation_id uuid) from anon;
revoke all on function bulwark.accept_my_invitation(invitation_id uuid) from authenticated;
revoke all on function bulwark.accept_my_invitation(invitation_id uuid) from service_role;
revoke all on function bulwark.decline_invitation(invitation_id uuid) from public;
revoke all on function bulwark.decline_invitation(invitation_id uuid) from anon;
revoke all on function bulwark.decline_invitation(invitation_id uuid) from authenticated;
revoke all on function bulwark.decline_invitation(invitation_id uuid) from service_role;
revoke all on function bulwark_private.invitation_state(invitation bulwark.invitations) from public;
revoke all on function bulwark_private.invitation_state(invitation bulwark.invitations) from anon;
revoke all on function bulwark_private.invitation_state(invitation bulwark.invitations) from authenticated;
revoke all on function bulwark_private.invitation_state(invitation bulwark.invitations) from service_role;
revoke all on function bulwark.list_invitations(organization_id uuid, states text[], before uuid, page_size integer) from public;
revoke all on function bulwark.list_invitations(organization_id uuid, states text[], before uuid, page_size integer) from anon;
revoke all on function bulwark.list_invitations(organization_id uuid, states text[], before uuid, page_size integer) from authenticated;
revoke all on function bulwark.list_invitations(organization_id uuid, states text[], before uuid, page_size integer) from service_role;
revoke all on function bulwark.resend_invitation(invitation_id uuid, expires_in interval) from public;
revoke all on function bulwark.resend_invitation(invitation_id uuid, expires_in interval) from anon;
revoke all on function bulwark.resend_invitation(invitation_id uuid, expires_in interval) from authenticated;
revoke all on function bulwark.resend_invitation(invitation_id uuid, expires_in interval) from service_role;
grant execute on function bulwark.my_invitations() to authenticated;
grant execute on function bulwark.accept_my_invitation(uuid) to authenticated;
grant execute on function bulwark.decline_invitation(uuid) to authenticated;
grant execute on function bulwark.whoami(text) to authenticated;
grant execute on function bulwark.leave_organization(uuid) to authenticated;
grant execute on function bulwark.preview_invitation(text) to anon;
grant execute on function bulwark.preview_invitation(text) to authenticated;
grant execute on function bulwark.list_settings() to authenticated;
grant execute on function bulwark.list_settings() to service_role;
grant execute on function bulwark.set_setting(text, json) to authenticated;
grant execute on function bulwark.set_setting(text, json) to service_role;
grant execute on function bulwark.list_members(uuid, text, text, text, integer) to authenticated;
grant execute on function bulwark.list_members(uuid, text, text, text, integer) to service_role;
grant execute on function bulwark.list_names(uuid, uuid[]) to authenticated;
grant execute on function bulwark.list_names(uuid, uuid[]) to service_role;
grant execute on function bulwark.set_member_roles(uuid, uuid, text[]) to authenticated;
grant execute on function bulwark.set_member_roles(uuid, uuid, text[]) to service_role;
grant execute on function bulwark.remove_member(uuid, uuid) to authenticated;
grant execute on function bulwark.remove_member(uuid, uuid) to service_role;
grant execute on function bulwark.invite_member(uuid, text, text, interval, timestamptz) to authenticated;
grant execute on function bulwark.invite_member(uuid, text, text, interval, timestamptz) to service_role;
grant execute on function bulwark.list_invitations(uuid, text[], uuid, integer) to authenticated;
grant execute on function bulwark.list_invitations(uuid, text[], uuid, integer) to service_role;
grant execute on function bulwark.resend_invitation(uuid, interval) to authenticated;
grant execute on function bulwark.resend_invitation(uuid, interval) to service_role;
