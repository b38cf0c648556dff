-- Usage: the limits of an organization and how much of them its API keys have left.
-- Protects against readers of other organizations (settings:read), and of its keys (api_key:read).
-- SECURITY DEFINER: rate_limit_usage, because clients read neither buckets nor overrides of keys.

-- A view and no function, as bulwark_private.api_key_rules.
create view bulwark_private.organization_api_keys with (security_invoker = true) as
  select null::uuid as organization_id, null::uuid as api_key_id, null::text as name,
    null::text as rule, null::timestamptz as created_at
  where false;
comment on view bulwark_private.organization_api_keys is
  'The API keys in force of each organization: none until api_keys is installed, which replaces the
   view.';

create function bulwark.rate_limit_usage(organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients read neither buckets nor overrides of keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys jsonb;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
begin
  perform bulwark.require_permission('settings:read', organization_id);
  if bulwark_private.caller_is_service() or bulwark_private.session_permits(
    bulwark.current_person(), 'api_key:read', organization_id
  ) then
    select coalesce(jsonb_agg(to_jsonb(u) order by u.remaining, u.created_at desc), '[]')
    into v_keys
    from (
      select k.api_key_id, k.name, k.rule, l.capacity, l.window_seconds,
        -- A bucket that is gone is full.
        case
          when b.id is null then l.capacity
          else least(l.capacity, greatest(
            0, (v_present + l.emission_us * l.capacity - b.full_at) / l.emission_us
          ))
        end as remaining,
        coalesce(ceil(greatest(0, b.full_at - v_present) / 1e6)::integer, 0) as reset_seconds,
        b.id is not null and b.limit_at is null as refused,
        (
          select max(x.expires_at)
          from bulwark.rate_limit_blocks x
          where x.organization_id = rate_limit_usage.organization_id
            and x.api_key_id = k.api_key_id
            and x.lifted_at is null
            and x.expires_at > clock_timestamp()
        ) as blocked_until,
        k.created_at
      from (
        select * from bulwark_private.organization_api_keys o
        where o.organization_id = rate_limit_usage.organization_id
        order by o.created_at desc
        limit 1000
      ) k
      join bulwark.rate_limit_rules r on r.name = k.rule
      left join lateral (
        select v.scope, v.capacity, v.window_seconds, v.emission_us
        from bulwark.rate_limit_overrides v
        where v.rule = r.name
          and (
            v.api_key_id = k.api_key_id or v.organization_id = rate_limit_usage.organization_id
          )
        order by v.api_key_id nulls last
        limit 1
      ) v on true
      cross join lateral (
        select coalesce(v.scope, r.scope), coalesce(v.capacity, r.capacity),
          coalesce(v.window_seconds, r.window_seconds), coalesce(v.emission_us, r.emission_us)
      ) l (scope, capacity, window_seconds, emission_us)
      left join bulwark_private.rate_limits b
        on b.id = bulwark_private.api_key_bucket(k.api_key_id) and b.scope = l.scope
    ) u;
  end if;
  return jsonb_build_object(
    'rules', (
      select jsonb_agg(jsonb_build_object(
        'name', r.name, 'description', r.description, 'identified_by', r.identified_by,
        'capacity', coalesce(v.capacity, r.capacity),
        'window_seconds', coalesce(v.window_seconds, r.window_seconds),
        'overridden', v.id is not null
      ) order by r.name)
      from bulwark.rate_limit_rules r
      left join bulwark.rate_limit_overrides v
        on v.rule = r.name and v.organization_id = rate_limit_usage.organization_id
    ),
    'api_keys', v_keys
  );
end;
$$;
comment on function bulwark.rate_limit_usage(uuid) is
  'The limits of an organization (settings:read there; null: those of all): { rules, api_keys }.
   rules: name, description, identified_by, capacity and window_seconds as they apply to it, and
   whether they are overridden for it. api_keys (null without api_key:read): the keys in force, up
   to the newest 1,000, those with the least left first: api_key_id, name, rule, capacity,
   window_seconds, remaining, reset_seconds, whether the last call was refused, and blocked_until.
   Calls that functions count in Redis are not in it. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';
