-- API key options: what the caller may choose for a new key, for the form that issues one.
-- Protects nothing that create_api_key does not check: it says beforehand what that would refuse.
-- SECURITY DEFINER: api_key_options, because clients read neither grants nor settings.

-- Replaces the plain answer of rate limits.
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
