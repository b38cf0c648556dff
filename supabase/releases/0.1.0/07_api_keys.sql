-- 07_api_keys: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('api_keys.environments', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "string", "pattern": "^[a-z]{2,12}$"}}'),
  ('api_keys.default_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_overlap_days', '{"type": "integer", "minimum": 0, "maximum": 365}'),
  ('api_keys.limit_per_owner', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('api_keys.rate_limit_rules', '{"type": "array", "minItems": 1, "maxItems": 100, "items":
      {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,62}$"}}'),
  ('api_keys.use_precision_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}');
comment on column bulwark.api_keys.revoked_by is
  'The person who revoked it; null with revoked_at set: the operator, or a report of a leak.';
create view bulwark_private.api_key_member_roles with (security_invoker = true) as
  select k.*, g.role_id
  from bulwark_private.api_key_states k
  left join bulwark_private.active_grants g
    on g.user_id = k.owner_id and g.organization_id between k.organization_id and k.organization_id;
comment on view bulwark_private.api_key_member_roles is
  'Each key with the roles of its owner in its organization: a row for each, or one without a
   role.';
create view bulwark_private.api_key_roles with (security_invoker = true) as
  select k.*, false as everywhere from bulwark_private.api_key_member_roles k
  union all
  select k.*, g.role_id, true
  from bulwark_private.api_key_states k
  left join bulwark_private.active_grants g
    on g.user_id = k.owner_id
    and g.organization_id is null
    and g.role_id = bulwark_private.super_admin_role()
    and (
      k.issued_with_mfa
      or not exists (
        select from bulwark.mfa_policies m
        where m.organization_id is null and m.required_from <= now()
      )
    );
comment on view bulwark_private.api_key_roles is
  'api_key_member_roles, and (everywhere) a row for each key with the role super_admin if its owner
   is one, otherwise without a role.';
create or replace view bulwark_private.api_key_holdings with (security_invoker = true) as
  select
    k.id as api_key_id, k.organization_id, k.networks, k.active, h.permission, k.everywhere
  from bulwark_private.api_key_roles k
  join bulwark_private.effective_permissions h
    on h.role_id = k.role_id and h.permission = any (k.scopes)
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission;
comment on view bulwark_private.api_key_holdings is
  'The permissions of each key, without regard to whether it is in force: those of its scopes that
   api_user and its owner hold, the latter by a role there or (everywhere) as a super_admin.';
create view bulwark_private.api_key_lookups with (security_invoker = true) as
  select
    k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks,
    -- Permissions are looked up first and with any role, that of programs if the owner has none, so
    -- that the time of a refusal does not tell its reason.
    exists (
      select
      from bulwark_private.effective_permissions h
      join bulwark_private.effective_permissions e
        on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
      where h.role_id = coalesce(
          k.role_id,
          (select bulwark_private.api_user_role() from auth.users u where u.id = k.owner_id)
        )
        and h.permission = any (k.scopes)
    )
      and k.role_id is not null
      and k.active as in_force
  from bulwark_private.api_key_member_roles k;
comment on view bulwark_private.api_key_lookups is
  'Each key as a look-up returns it, a row for each row of api_key_member_roles: in force if it has
   any permission right now by that role.';
create or replace view bulwark_private.api_key_permissions with (security_invoker = true) as
  select h.api_key_id, h.organization_id, h.permission, h.networks, h.everywhere
  from bulwark_private.api_key_holdings h
  where h.active;
create or replace function bulwark_private.api_key_organizations(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  -- For the role api_key, PostgREST has verified the claims or the hook has looked them up.
  v_key constant uuid := bulwark_private.uuid_or_null(
    bulwark_private.claims() ->> 'api_key_id'
  );
  v_networks cidr[];
  v_organization uuid;
begin
  -- The first part of bulwark_private.api_key_permissions alone: few owners are super_admins.
  select k.organization_id, k.networks into v_organization, v_networks
  from bulwark_private.api_key_member_roles k
  join bulwark_private.effective_permissions h
    on h.role_id = k.role_id and h.permission = api_key_organizations.permission
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
  where k.id = v_key and k.active and h.permission = any (k.scopes)
  limit 1;
  if not found then
    select p.organization_id, p.networks into v_organization, v_networks
    from bulwark_private.api_key_permissions p
    where p.api_key_id = v_key
      and p.permission = api_key_organizations.permission
      and p.everywhere
    limit 1;
  end if;
  if found and (
    v_networks is null
    or bulwark_private.network_is_allowed(
      v_networks,
      bulwark_private.client_address(nullif(current_setting('request.headers', true), '')::jsonb)
    )
  ) then
    return next v_organization;
  end if;
end;
$$;
create or replace function bulwark_private.require_issuer(organization_id uuid)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  if organization_id is null then
    raise exception 'Cannot issue an API key: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_act('api_key:create', organization_id);
  if bulwark_private.user_permits(v_user, 'api_key:create', organization_id) is not true then
    raise exception 'Cannot issue an API key: the caller is not a signed-in person'
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
        hint = 'Sign in: keys are issued by people';
  end if;
  if coalesce(
    (
      select p.allowed and (
        p.decided_with_mfa or not bulwark_private.mfa_is_required_in(p.organization_id)
      )
      from bulwark.api_key_policies p
      where p.organization_id = require_issuer.organization_id
    ),
    not bulwark_private.mfa_is_required_in(organization_id)
  ) is not true then
    raise exception 'Cannot issue an API key: the organization does not allow any'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_NOT_ALLOWED',
            hint = 'A member with settings:write can allow them with set_api_key_policy';
  end if;
  if bulwark_private.mfa_is_required_in(organization_id) then
    perform bulwark_private.require_step_up();
  end if;
  return v_user;
end;
$$;
create or replace function bulwark_private.api_key_not_found()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot find the API key: it does not exist or you may not see it'
    using errcode = 'PT404', detail = 'API_KEY_NOT_FOUND',
      hint = 'List them with list_api_keys';
end;
$$;
create or replace function bulwark.rotate_api_key(
  key_id uuid,
  overlap interval default '24 hours',
  expires_at timestamptz default null
)
  returns bulwark.issued_api_key
  language plpgsql
  volatile
  security definer            -- definer because no client writes keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_issued bulwark.issued_api_key;
  v_key bulwark.api_keys;
  v_owner constant uuid := bulwark_private.require_user();
  v_scopes text[];
begin
  if not bulwark_private.lasts_up_to(
    overlap, make_interval(days => (bulwark_private.setting('api_keys.max_overlap_days'))::integer)
  ) then
    raise exception 'Cannot rotate the API key: the overlap is too long, negative or null'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_OVERLAP';
  end if;
  -- The answer contains a key that acts for its owner, so only the owner may rotate it.
  select * into v_key from bulwark.api_keys k where k.id = key_id and k.owner_id = v_owner;
  if not found then
    perform bulwark_private.api_key_not_found();
  end if;
  perform bulwark_private.require_issuer(v_key.organization_id);
  select * into v_key from bulwark.api_keys k where k.id = key_id for no key update;
  if exists (select from bulwark.api_keys s where s.rotated_from = v_key.id) then
    raise exception 'Cannot rotate the API key: it has a successor'
      using errcode = 'PT409', detail = 'API_KEY_ALREADY_ROTATED',
            hint = 'Rotate the successor';
  end if;
  if v_key.revoked_at is not null or v_key.expires_at <= now() then
    raise exception 'Cannot rotate the API key: it is revoked or has expired'
      using errcode = 'PT409', detail = 'API_KEY_NOT_ACTIVE',
            hint = 'Issue another one';
  end if;
  select array_agg(s order by s) into v_scopes
  from unnest(v_key.scopes) as s
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = s
  where bulwark_private.session_permits(v_key.owner_id, s, v_key.organization_id);
  if v_scopes is null then
    raise exception 'Cannot rotate the API key: you hold none of its scopes any more'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_SCOPE_NOT_HELD',
        hint = 'Issue another key, with the permissions that you hold now';
  end if;
  v_key.scopes := v_scopes;
  v_key.rotated_from := v_key.id;
  update bulwark.api_keys k
  set expires_at = least(k.expires_at, now() + overlap)
  where k.id = v_key.id;
  perform bulwark_private.require_room_for_key(v_key.organization_id, v_owner, 2);
  v_key.expires_at := bulwark_private.api_key_expiry(
    v_key.organization_id,
    coalesce(
      rotate_api_key.expires_at,
      -- The same lifetime again, up to the maximum.
      now() + least(
        v_key.expires_at - v_key.created_at,
        make_interval(days => least(
          (bulwark_private.setting('api_keys.max_days'))::bigint,
          (
            select p.max_days from bulwark.api_key_policies p
            where p.organization_id = v_key.organization_id
          )
        )::integer)
      )
    )
  );
  v_issued := bulwark_private.issue_api_key(v_key);
  -- A rate limit set for this key alone is copied, so that rotation does not evade it.
  insert into bulwark.rate_limit_overrides (rule, api_key_id, capacity, window_seconds)
  select o.rule, v_issued.id, o.capacity, o.window_seconds
  from bulwark.rate_limit_overrides o
  where o.api_key_id = v_key.id;
  return v_issued;
end;
$$;
create or replace function bulwark.list_api_keys(
  organization_id uuid,
  include_ended boolean default false,
  before uuid default null,
  page_size integer default 100
)
  returns table (
    id uuid,
    name text,
    environment text,
    first_characters text,
    owner_id uuid,
    scopes text[],
    effective_scopes text[],
    status text,
    networks cidr[],
    rate_limit_rule text,
    rotated_from uuid,
    created_at timestamptz,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by uuid,
    revoked_because text
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because uses are for no client to read
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_all boolean := bulwark_private.caller_is_service();
  v_user uuid;
begin
  if not v_all then
    v_user := bulwark_private.require_user();
    v_all := bulwark_private.session_permits(v_user, 'api_key:read', list_api_keys.organization_id);
    -- Members see their own, also when they have none. A former member's keys remain visible too.
    if not v_all and not bulwark_private.is_member(v_user, list_api_keys.organization_id)
      and not exists (
        select from bulwark.api_keys k
        where k.owner_id = v_user and k.organization_id = list_api_keys.organization_id
      ) then
      perform bulwark.require_permission('api_key:read', list_api_keys.organization_id);
    end if;
  end if;
  return query
    -- Limits the page first, so that permissions are computed for its keys only.
    with page as materialized (
      select k.*
      from bulwark.api_keys k
      where k.organization_id = list_api_keys.organization_id
        and (v_all or k.owner_id = v_user)
        and (include_ended or k.revoked_at is null and k.expires_at > now())
        and (
          before is null
          or (k.created_at, k.id) < (
            select b.created_at, b.id from bulwark.api_keys b
            where b.id = before and b.organization_id = list_api_keys.organization_id
          )
        )
      order by k.created_at desc, k.id desc
      limit least(greatest(page_size, 1), 1000)
    )
    select
      k.id, k.name, k.environment, k.first_characters, k.owner_id, k.scopes,
      coalesce(p.held, '{}'),
      case
        when k.revoked_at is not null then 'revoked'
        when k.expires_at <= now() then 'expired'
        when p.held is null then 'suspended'
        else 'active'
      end,
      k.networks, k.rate_limit_rule, k.rotated_from, k.created_at, k.expires_at, u.last_used_at,
      k.revoked_at, k.revoked_by, k.revoked_because
    from page k
    left join bulwark_private.api_key_uses u on u.api_key_id = k.id
    cross join lateral (
      select array_agg(distinct e.permission) as held
      from bulwark_private.api_key_permissions e
      where e.api_key_id = k.id
    ) p
    order by k.created_at desc, k.id desc;
end;
$$;
comment on function bulwark.list_api_keys(uuid, boolean, uuid, integer) is
  'The keys of an organization, newest first: all with api_key:read, otherwise the caller''s own.
   before is the id of the last key of the previous page. status is active, suspended (no
   permissions right now), expired or revoked. effective_scopes are the permissions right now.
   last_used_at is exact to api_keys.use_precision_seconds and does not count reads with the header
   x-api-key. Errors: RBAC_NOT_AUTHENTICATED, and RBAC_PERMISSION_DENIED for those who are no member
   and have no key there.';
create function bulwark_private.super_admin_key_is_in_force(api_key_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
begin
  return (
    select
      exists (
        select
        from bulwark_private.effective_permissions h
        join bulwark_private.effective_permissions e
          on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
        where h.role_id = k.role_id and h.permission = any (k.scopes)
      )
      and k.active
    from bulwark_private.api_key_roles k
    where k.id = super_admin_key_is_in_force.api_key_id and k.everywhere
  );
end;
$$;
comment on function bulwark_private.super_admin_key_is_in_force(uuid) is
  'Whether a key is in force because its owner is a super_admin. Asked last, since few are.';
create or replace function bulwark_private.api_key_status(api_key_id uuid)
  returns bulwark_private.found_api_key
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_key bulwark_private.found_api_key;
begin
  select k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks, k.in_force
  into v_key
  from bulwark_private.api_key_lookups k
  where k.id = api_key_status.api_key_id
  order by k.in_force desc
  limit 1;
  if v_key.in_force is not true then
    v_key.in_force := bulwark_private.super_admin_key_is_in_force(api_key_status.api_key_id);
  end if;
  return v_key;
end;
$$;
create or replace function bulwark_private.find_api_key(key_hash bytea)
  returns bulwark_private.found_api_key
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_key bulwark_private.found_api_key;
  v_known boolean;
begin
  -- Finds the hash or the next one (after the last one the first), so that an unknown key takes the
  -- same steps and the time of a refusal tells nothing.
  select
    f.known, k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks,
    k.in_force and f.known
  into
    v_known, v_key.id, v_key.organization_id, v_key.expires_at, v_key.rate_limit_rule,
    v_key.networks, v_key.in_force
  from (
    (
      select h.api_key_id, h.key_hash = find_api_key.key_hash as known
      from bulwark_private.api_key_hashes h
      where h.key_hash >= find_api_key.key_hash
      order by h.key_hash
      limit 1
    )
    union all
    (select h.api_key_id, false from bulwark_private.api_key_hashes h order by h.key_hash limit 1)
    limit 1
  ) f
  cross join lateral (
    select l.*
    from bulwark_private.api_key_lookups l
    where l.id = f.api_key_id
    order by l.in_force desc
    limit 1
  ) k;
  -- All refusals take this step too.
  if v_key.in_force is not true then
    v_key.in_force := bulwark_private.super_admin_key_is_in_force(v_key.id) and v_known;
  end if;
  return v_key;
end;
$$;
create or replace function bulwark_private.parameters_are_logged()
  returns boolean
  language plpgsql            -- plpgsql, because an sql function is planned anew at every call
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if concat_ws(
      '/', current_setting('log_parameter_max_length'),
      current_setting('log_parameter_max_length_on_error'),
      -- A custom plan contains the parameters.
      current_setting('debug_print_plan')
    ) <> '0/0/off' then
    return true;
  end if;
  -- Settings of modules that log parameters or plans; null where the module is not loaded.
  if current_setting('auto_explain.log_min_duration', true) <> '-1' then
    if current_setting('auto_explain.log_parameter_max_length', true) <> '0'
      or current_setting('auto_explain.log_verbose', true) not in ('off', 'false') then
      return true;
    end if;
  end if;
  return coalesce(current_setting('pgaudit.log_parameter', true) not in ('off', 'false'), false);
end;
$$;
create or replace function bulwark_private.resolve_api_key()
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because hashes are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text;
  v_claims jsonb;
  v_headers jsonb;
  v_key bulwark_private.found_api_key;
  v_role constant text := bulwark_private.caller_role();
  v_ignored text;
begin
  begin
    v_headers := coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  exception
    -- Unreadable headers (a null byte, say) are refused here, by an error that does not quote them.
    when data_exception then
      v_headers := null;
  end;
  if v_headers ? 'x-api-key' then
    -- An assignment instead of perform, which would run it as a query.
    v_ignored := set_config('request.headers', (v_headers - 'x-api-key')::text, true);
  end if;
  if v_role = 'api_key' then
    -- The token may be valid for minutes after its key ended, so the key is checked again.
    v_claims := bulwark_private.claims()::jsonb;
    -- Bulwark signs no token of a key with a person's id. Policies of the host would trust that id.
    if not v_claims ? 'sub' then
      v_key := bulwark_private.api_key_status(
        bulwark_private.uuid_or_null(v_claims ->> 'api_key_id')
      );
    end if;
  elsif v_role = 'anon' then
    -- The key may be in the log by now. The sender is told at once, whether the key is right or
    -- not.
    if bulwark_private.parameters_are_logged() then
      raise exception 'Cannot authenticate: the server may log the headers of requests'
        using errcode = 'PT503', detail = 'API_KEY_HEADER_CLOSED',
              hint = 'Exchange the key for a token, or set log_parameter_max_length to 0';
    end if;
    v_key := bulwark_private.find_api_key(
      sha256(convert_to(coalesce(v_headers ->> 'x-api-key', ''), 'UTF8'))
    );
  elsif v_headers is not null then
    -- A request that is already authenticated keeps its identity.
    return null;
  end if;
  -- The address is read in every refusal too, so that the time does not tell.
  if v_key.in_force is not true or v_key.networks is not null or v_headers is null then
    v_address := bulwark_private.client_address(v_headers);
    if (
      bulwark_private.network_is_allowed(v_key.networks, v_address) and v_key.in_force
      and v_headers is not null
    ) is not true then
      raise exception 'Cannot authenticate: the API key is not valid'
        using errcode = 'PT401', detail = 'API_KEY_INVALID';
    end if;
  end if;
  if v_role = 'api_key' then
    return null;
  end if;
  if not current_setting('transaction_read_only')::boolean
    and bulwark_private.api_key_use_is_due(v_key.id) then
    perform bulwark_private.note_api_key_use(
      v_key.id, v_key.organization_id, coalesce(
        v_address, bulwark_private.client_address(v_headers)
      )
    );
  end if;
  return jsonb_build_object(
    'role', 'api_key', 'api_key_id', v_key.id, 'organization_id', v_key.organization_id
  );
end;
$$;
create or replace function bulwark.expel_api_keys(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_sequence regclass;
begin
  delete from bulwark_private.api_key_table_access a where a.relation = target;
  if not found then
    raise exception 'Cannot expel API keys: % does not admit them', target
      using errcode = 'PT404', detail = 'API_KEY_TABLE_NOT_ADMITTED',
        hint = 'Nothing is to be done: API keys cannot reach it';
  end if;
  perform bulwark_private.drop_policies(target, 'bulwark_api_key_');
  execute format('revoke all on %s from api_key', target);
  for v_sequence in select * from bulwark_private.sequences_of(target) loop
    execute format('revoke all on sequence %s from api_key', v_sequence);
  end loop;
end;
$$;
create or replace view bulwark_private.organization_api_keys with (security_invoker = true) as
  select k.organization_id, k.id as api_key_id, k.name, k.rate_limit_rule as rule, k.created_at
  from bulwark.api_keys k
  where k.revoked_at is null and k.expires_at > now();
comment on view bulwark_private.organization_api_keys is
  'The API keys in force of each organization.';
create function bulwark.api_key_options(organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients read neither grants nor settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('api_keys.limit_per_owner'))::bigint;
  v_mfa constant boolean := bulwark_private.mfa_is_required_in(organization_id);
  v_policy bulwark.api_key_policies;
  v_user constant uuid := bulwark_private.require_user();
begin
  if organization_id is null then
    raise exception 'Cannot list options: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  perform bulwark.require_permission('api_key:create', organization_id);
  select * into v_policy
  from bulwark.api_key_policies p where p.organization_id = api_key_options.organization_id;
  return jsonb_build_object(
    'allowed', coalesce(v_policy.allowed and (v_policy.decided_with_mfa or not v_mfa), not v_mfa),
    'step_up_required', v_mfa and not bulwark.mfa_verified(
      make_interval(mins => (bulwark_private.setting('mfa.step_up_minutes'))::integer)
    ),
    'scopes', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'permission', p.name, 'description', p.description
      ) order by p.name), '[]')
      from bulwark_private.effective_permissions e
      join bulwark.permissions p on p.name = e.permission
      where e.role_id = bulwark_private.api_user_role()
        and bulwark_private.session_permits(v_user, p.name, api_key_options.organization_id)
    ),
    'environments', bulwark_private.setting('api_keys.environments'),
    'rate_limit_rules', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', r.name, 'description', r.description,
        'capacity', coalesce(v.capacity, r.capacity),
        'window_seconds', coalesce(v.window_seconds, r.window_seconds)
      ) order by o.place), '[]')
      from jsonb_array_elements_text(bulwark_private.setting('api_keys.rate_limit_rules'))
        with ordinality as o (name, place)
      join bulwark.rate_limit_rules r on r.name = o.name
      left join bulwark.rate_limit_overrides v
        on v.rule = r.name and v.organization_id = api_key_options.organization_id
    ),
    'default_days', least(
      (bulwark_private.setting('api_keys.default_days'))::bigint,
      (bulwark_private.setting('api_keys.max_days'))::bigint, v_policy.max_days
    ),
    'max_days', least(
      (bulwark_private.setting('api_keys.max_days'))::bigint, v_policy.max_days
    ),
    'max_overlap_days', bulwark_private.setting('api_keys.max_overlap_days'),
    'keys_left', greatest(0, v_limit - (
      select count(*)
      from bulwark.api_keys k
      where k.organization_id = api_key_options.organization_id and k.owner_id = v_user
        and k.revoked_at is null and k.expires_at > now()
    ))
  );
end;
$$;
comment on function bulwark.api_key_options(uuid) is
  'The choices of the caller for a new key in an organization (api_key:create there): { allowed (the
   organization''s policy), step_up_required (a second factor has to be verified first), scopes
   (permission, description: those that create_api_key accepts), environments, rate_limit_rules
   (name, description, capacity, window_seconds), default_days, max_days, max_overlap_days,
   keys_left }. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED, RBAC_NOT_AUTHENTICATED,
   API_KEY_NULL_ARGUMENT.';
create function bulwark_private.settings_require_known_rules()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  select coalesce(i.item #>> '{}', 'null') into v_unknown
  from jsonb_array_elements(
    case when jsonb_typeof(new.value) = 'array' then new.value else jsonb_build_array(new.value) end
  ) as i (item)
  where not exists (
    select from bulwark.rate_limit_rules r where to_jsonb(r.name) = i.item
  )
  limit 1;
  if found then
    raise exception 'Cannot set %: there is no rate limit rule %', new.name, left(v_unknown, 64)
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = 'List them with: select name from rate_limit_rules';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.settings_require_known_rules() is
  'Trigger: raises SETTING_INVALID_VALUE where api_keys.rate_limit_rules names a rule that does not
   exist, also for the owner of the database.';
create trigger settings_require_known_rules
  before update on bulwark.settings
  for each row when (new.name = 'api_keys.rate_limit_rules' and new.value <> old.value)
  execute function bulwark_private.settings_require_known_rules();
revoke all on table bulwark_private.api_key_member_roles from public;
revoke all on table bulwark_private.api_key_member_roles from anon;
revoke all on table bulwark_private.api_key_member_roles from authenticated;
revoke all on table bulwark_private.api_key_member_roles from service_role;
revoke all on table bulwark_private.api_key_roles from public;
revoke all on table bulwark_private.api_key_roles from anon;
revoke all on table bulwark_private.api_key_roles from authenticated;
revoke all on table bulwark_private.api_key_roles from service_role;
revoke all on table bulwark_private.api_key_lookups from public;
revoke all on table bulwark_private.api_key_lookups from anon;
revoke all on table bulwark_private.api_key_lookups from authenticated;
revoke all on table bulwark_private.api_key_lookups from service_role;
revoke all on table bulwark_private.api_key_member_roles from public;
revoke all on table bulwark_private.api_key_member_roles from anon;
revoke all on table bulwark_private.api_key_member_roles from authenticated;
revoke all on table bulwark_private.api_key_member_roles from service_role;
revoke all on table bulwark_private.api_key_roles from public;
revoke all on table bulwark_private.api_key_roles from anon;
revoke all on table bulwark_private.api_key_roles from authenticated;
revoke all on table bulwark_private.api_key_roles from service_role;
revoke all on table bulwark_private.api_key_lookups from public;
revoke all on table bulwark_private.api_key_lookups from anon;
revoke all on table bulwark_private.api_key_lookups from authenticated;
revoke all on table bulwark_private.api_key_lookups from service_role;
revoke all on function bulwark_private.super_admin_key_is_in_force(api_key_id uuid) from public;
revoke all on function bulwark_private.super_admin_key_is_in_force(api_key_id uuid) from anon;
revoke all on function bulwark_private.super_admin_key_is_in_force(api_key_id uuid) from authenticated;
revoke all on function bulwark_private.super_admin_key_is_in_force(api_key_id uuid) from service_role;
revoke all on function bulwark.api_key_options(organization_id uuid) from public;
revoke all on function bulwark.api_key_options(organization_id uuid) from anon;
revoke all on function bulwark.api_key_options(organization_id uuid) from authenticated;
revoke all on function bulwark.api_key_options(organization_id uuid) from service_role;
revoke all on function bulwark_private.settings_require_known_rules() from public;
revoke all on function bulwark_private.settings_require_known_rules() from anon;
revoke all on function bulwark_private.settings_require_known_rules() from authenticated;
revoke all on function bulwark_private.settings_require_known_rules() from service_role;
grant execute on function bulwark.api_key_options(uuid) to authenticated;
