-- 01_rbac: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('rbac.self_service_organizations', '{"type": "boolean"}'),
  ('rbac.self_service_limit', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('rbac.anonymous_members', '{"type": "boolean"}'),
  ('rbac.delete_last_administrators', '{"type": "boolean"}'),
  ('rbac.pending_invitations', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitation_retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}');
drop function bulwark_private.require_organization_names(name text, slug text);
drop function bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid);
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
      using errcode = 'invalid_parameter_value', detail = 'RBAC_SLUG_RESERVED';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_slug(text) is
  'Raises RBAC_INVALID_SLUG or RBAC_SLUG_RESERVED.';
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
        using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_ORGANIZATIONS';
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
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN';
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
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION';
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
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN';
  end;
  return v_organization;
end;
$$;
comment on function bulwark.update_organization(uuid, text, text) is
  'Renames an organization (org:update there). A name or slug that is omitted or null stays. Errors:
   those of create_organization, and RBAC_UNKNOWN_ORGANIZATION for the service role and
   super_admin.';
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
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED';
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
  if roles is null or array_position(roles, null) is not null then
    raise exception 'Cannot set roles: the list is null or has a null in it'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if cardinality(roles) not between 1 and 20 or array_ndims(roles) > 1 then
    raise exception 'Cannot set roles: a plain list of 1 to 20 roles'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE',
            hint = 'Without a role nobody is a member: call remove_member';
  end if;
  perform bulwark_private.require_permission_to_change('role:grant', organization_id);
  perform bulwark_private.require_membership(user_id, organization_id);
  v_roles := array(
    select distinct (bulwark_private.find_role(n, organization_id)).id from unnest(roles) as n
  );
  if bulwark_private.super_admin_role() = any (v_roles) then
    raise exception 'Cannot set roles: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE';
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
  'Who is calling: version, user (id, email, email_confirmed, name, anonymous), mfa of the account
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
create function bulwark.set_setting(name text, value jsonb)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients write no settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_accepts jsonb;
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
  if not bulwark_private.schema_accepts(v_accepts, value) then
    raise exception 'Cannot set %: it does not accept this value', set_setting.name
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = format('It accepts %s', v_accepts);
  end if;
  update bulwark.settings s
  set value = set_setting.value
  where s.name = set_setting.name and s.value <> set_setting.value;
end;
$$;
comment on function bulwark.set_setting(text, jsonb) is
  'Changes a setting that list_settings shows with accepts (system:admin). It counts from the next
   statement on, and is recorded as settings.updated. Errors: SETTING_IS_OPERATORS,
   SETTING_INVALID_VALUE, UNKNOWN_SETTING, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
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
revoke all on function bulwark.set_setting(name text, value jsonb) from public;
revoke all on function bulwark.set_setting(name text, value jsonb) from anon;
revoke all on function bulwark.set_setting(name text, value jsonb) from authenticated;
revoke all on function bulwark.set_setting(name text, value jsonb) from service_role;
grant execute on function bulwark.whoami(text) to authenticated;
grant execute on function bulwark.leave_organization(uuid) to authenticated;
grant execute on function bulwark.list_settings() to authenticated;
grant execute on function bulwark.list_settings() to service_role;
grant execute on function bulwark.set_setting(text, jsonb) to authenticated;
grant execute on function bulwark.set_setting(text, jsonb) to service_role;
grant execute on function bulwark.list_members(uuid, text, text, text, integer) to authenticated;
grant execute on function bulwark.list_members(uuid, text, text, text, integer) to service_role;
grant execute on function bulwark.list_names(uuid, uuid[]) to authenticated;
grant execute on function bulwark.list_names(uuid, uuid[]) to service_role;
grant execute on function bulwark.set_member_roles(uuid, uuid, text[]) to authenticated;
grant execute on function bulwark.set_member_roles(uuid, uuid, text[]) to service_role;
grant execute on function bulwark.remove_member(uuid, uuid) to authenticated;
grant execute on function bulwark.remove_member(uuid, uuid) to service_role;
