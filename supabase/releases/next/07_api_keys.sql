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
revoke all on function bulwark.api_key_options(organization_id uuid) from public;
revoke all on function bulwark.api_key_options(organization_id uuid) from anon;
revoke all on function bulwark.api_key_options(organization_id uuid) from authenticated;
revoke all on function bulwark.api_key_options(organization_id uuid) from service_role;
grant execute on function bulwark.api_key_options(uuid) to authenticated;
