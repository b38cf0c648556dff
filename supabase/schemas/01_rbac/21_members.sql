-- Members: who belongs to an organization, with names and addresses, and the names behind ids.
-- Protects against the enumeration of addresses: only members of one's own organization are found,
-- with user:read; whether they have a second factor and when they signed in is told to those who
-- hold security:read. The address of a former member is not told: it may be a new one.
-- SECURITY DEFINER: list_members, list_names, because clients may not read auth.users.

-- The name is what an account says of itself. Nothing is decided by it.
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
