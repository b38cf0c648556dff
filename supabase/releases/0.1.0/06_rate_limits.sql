-- 06_rate_limits: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: gone: insert into bulwark.settings (name, value, description) values
-- By hand: new: insert into bulwark.settings (name, value, description) values
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
update bulwark.settings s
set value = '{"/rpc/preview_invitation": "api_strict"}' || s.value
where s.name = 'rate_limits.request_rules';
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('rate_limits.overrides', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.listed_networks', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.denials_before_block', '{"type": "integer", "minimum": 1, "maximum": 1000000}'),
  ('rate_limits.denials_window_seconds', '{"type": "integer", "minimum": 1, "maximum": 2678400}'),
  ('rate_limits.block_minutes', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "integer", "minimum": 1, "maximum": 525600}}'),
  ('rate_limits.block_memory_hours', '{"type": "integer", "minimum": 0, "maximum": 87600}'),
  ('rate_limits.request_wait_ms', '{"type": "integer", "minimum": 1, "maximum": 60000}'),
  ('rate_limits.violation_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.network_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.travel_kmh', '{"type": "integer", "minimum": 100, "maximum": 100000}'),
  ('rate_limits.travel_km', '{"type": "integer", "minimum": 0, "maximum": 40000}');
drop function bulwark_private.announce_request(decision bulwark.rate_limit_decision);
create or replace function bulwark.set_rate_limit(
  rule text,
  capacity integer,
  window_seconds integer,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes rules
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:admin', null);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.require_rate_limit_rule(rule);
  if capacity is null or capacity not between 1 and 1000000
    or window_seconds is null or window_seconds not between 1 and 2678400
    or num_nonnulls(organization_id, api_key_id) > 1 then
    raise exception 'Cannot set the rate limit: 1 to 1000000 calls in 1 second to 31 days, of one'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_LIMIT';
  end if;
  if num_nonnulls(organization_id, api_key_id) = 0 then
    update bulwark.rate_limit_rules r
    set capacity = set_rate_limit.capacity, window_seconds = set_rate_limit.window_seconds
    where r.name = set_rate_limit.rule;
    return;
  end if;
  if organization_id is not null and not exists (
    select from bulwark.organizations o where o.id = set_rate_limit.organization_id
  ) then
    raise exception 'Cannot set the rate limit: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  perform bulwark_private.lock_count('rate_limit_overrides', null);
  if not exists (
    select from bulwark.rate_limit_overrides o
    where o.rule = set_rate_limit.rule
      and o.organization_id is not distinct from set_rate_limit.organization_id
      and o.api_key_id is not distinct from set_rate_limit.api_key_id
  ) and (select count(*) from bulwark.rate_limit_overrides)
    >= (bulwark_private.setting('rate_limits.overrides'))::integer then
    raise exception 'Cannot set the rate limit: the maximum number of overrides is reached'
      using errcode = 'PT409', detail = 'RATE_LIMIT_TOO_MANY_OVERRIDES',
            hint = 'Clear one first; the limit is the setting rate_limits.overrides';
  end if;
  insert into bulwark.rate_limit_overrides as o
    (rule, organization_id, api_key_id, capacity, window_seconds)
  values (
    set_rate_limit.rule, set_rate_limit.organization_id, set_rate_limit.api_key_id,
    set_rate_limit.capacity, set_rate_limit.window_seconds
  )
  on conflict on constraint rate_limit_overrides_is_one do update
    set capacity = excluded.capacity, window_seconds = excluded.window_seconds;
end;
$$;
create or replace function bulwark.clear_rate_limit(
  rule text,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes rules
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  delete from bulwark.rate_limit_overrides o
  where o.rule = clear_rate_limit.rule
    and o.organization_id is not distinct from clear_rate_limit.organization_id
    and o.api_key_id is not distinct from clear_rate_limit.api_key_id;
  if not found then
    raise exception 'Cannot clear the rate limit: there is no such override'
      using errcode = 'PT404', detail = 'RATE_LIMIT_UNKNOWN_OVERRIDE',
        hint = 'List them with: select * from rate_limit_overrides';
  end if;
end;
$$;
create or replace function bulwark_private.client_network(address text)
  returns text
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text := btrim(left(address, 100));
  v_groups text;
  v_inet inet;
  v_last text;
begin
  -- Some proxies append the port.
  if position(':' in v_address) > 0 or left(v_address, 1) = '[' then
    v_address := coalesce(
      substring(v_address from '^\[([^\]]*)\](?::\d{1,5})?$'),
      substring(v_address from '^([\d.]+):\d{1,5}$'),
      v_address
    );
  end if;
  if v_address ~ '^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$' then
    return v_address;
  end if;
  if v_address is null
    or v_address !~ '^[0-9A-Fa-f:.]{2,45}$'
    or position(':' in v_address) = 0 then
    return null;
  end if;
  -- Checked before the cast, because catching its error takes a subtransaction, and Postgres before
  -- 17 refuses those in a parallel plan. An IPv4 address at the end stands for two groups.
  v_groups := v_address;
  if position('.' in v_address) > 0 then
    v_last := substring(v_address from '[^:]*$');
    if bulwark_private.client_network(v_last) is null then
      return null;
    end if;
    v_groups := left(v_address, -length(v_last)) || '0:0';
  end if;
  if v_groups !~ '^(?:[^:]{1,4}:){7}[^:]{1,4}$'
    and (
      v_groups !~ '^(?:[^:]{1,4}(?::[^:]{1,4})*)?::(?:[^:]{1,4}(?::[^:]{1,4})*)?$'
      or regexp_count(v_groups, '[^:]+') > 7
    ) then
    return null;
  end if;
  v_inet := v_address::inet;
  -- An IPv4-mapped IPv6 address is the same client.
  if v_inet <<= '::ffff:0:0/96' then
    return host('0.0.0.0'::inet + (v_inet - '::ffff:0.0.0.0'::inet));
  end if;
  return network(set_masklen(v_inet, 64))::text;
end;
$$;
create or replace function bulwark.lift_rate_limit_block(block_id uuid)
  returns bulwark.rate_limit_blocks
  language plpgsql
  volatile
  security definer            -- definer because no client writes blocks
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_block bulwark.rate_limit_blocks;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  update bulwark.rate_limit_blocks b
  set lifted_at = clock_timestamp(), lifted_by = bulwark.current_person()
  where b.id = block_id and b.lifted_at is null and b.expires_at > clock_timestamp()
  returning * into v_block;
  if not found then
    raise exception 'Cannot lift the block: it is not in force'
      using errcode = 'PT404', detail = 'RATE_LIMIT_UNKNOWN_BLOCK',
        hint = 'List those in force with: select id from rate_limit_blocks';
  end if;
  return v_block;
end;
$$;
create or replace function bulwark.check_rate_limit(
  rule text,
  user_id uuid default null,
  api_key_id uuid default null,
  address text default null,
  account text default null,
  organization_id uuid default null,
  cost integer default 1,
  calls integer default 1
)
  returns bulwark.rate_limit_decision
  language plpgsql
  volatile
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- a slow request to the Data API may hold a bucket's lock for long
as $$
#variable_conflict use_variable
declare
  v_address text;
  v_bucket constant uuid := coalesce(user_id, bulwark_private.api_key_bucket(api_key_id));
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_ignored text;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
  v_until timestamptz;
begin
  if address is not null then
    v_address := bulwark_private.client_network(address);
  end if;
  if calls is null or calls not between 1 and 1000 then
    raise exception 'Cannot limit: 1 to 1000 calls are decided at once'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_CALLS';
  end if;
  -- Other transactions do not see a new bucket before this one commits, but they see this lock:
  -- check_rate_limits then skips the bucket instead of waiting.
  if user_id is not null then
    -- An assignment instead of perform, which would run it as a query.
    v_ignored := pg_advisory_xact_lock(hashtext(rule), hashtext(user_id::text));
  end if;
  -- Fast path of most calls: a user or an API key, one token, no override, no block. One statement
  -- decides it and writes only if it admits. All other calls continue below.
  if v_bucket is not null and cost = 1 and calls = 1 then
    if v_address is not null or user_id is null then
      v_until := (
        bulwark_private.rate_limit_status(
          case when user_id is null then '{api_key}' else '{user}' end::text[],
          array[coalesce(user_id, api_key_id)::text], v_address
        )
      ).blocked_until;
    end if;
    if v_until is null then
      insert into bulwark_private.rate_limits as b (
        id, scope, full_at, limit_at, emission_us, capacity, window_seconds, when_store_fails
      )
      select
        v_bucket, r.scope, v_present + r.emission_us, v_present + r.tolerance_us, r.emission_us,
        r.capacity::integer, r.window_seconds::integer, r.when_store_fails
      from bulwark.rate_limit_rules r
      where r.name = rule
        and r.identified_by <> 'address_and_account'
        and not exists (
          select from bulwark.rate_limit_overrides o
          where o.rule = r.name
            and (o.api_key_id = api_key_id or o.organization_id = organization_id)
        )
      on conflict (id, scope) do update set
        full_at = greatest(b.full_at, v_present) + excluded.emission_us,
        limit_at = excluded.limit_at, emission_us = excluded.emission_us,
        capacity = excluded.capacity, window_seconds = excluded.window_seconds,
        when_store_fails = excluded.when_store_fails
        where b.full_at <= excluded.limit_at
      returning
        true, null::text, rule, b.capacity, b.window_seconds,
        ((b.limit_at + b.emission_us - b.full_at) / b.emission_us)::integer,
        ((b.full_at - v_present + 999999) / 1000000)::integer, null::integer, b.when_store_fails,
        1
      into v_decision;
    end if;
  end if;

  if v_decision.allowed is not true then
    v_identifiers := bulwark_private.rate_limit_identifiers(
      (select r.identified_by from bulwark.rate_limit_rules r where r.name = rule),
      user_id, api_key_id, v_address, left(lower(btrim(account)), 320)
    );
    v_decision := bulwark_private.decide_rate_limit(
      rule, v_identifiers.kinds, v_identifiers.names, v_address, cost, organization_id, user_id,
      api_key_id, calls
    );
  end if;
  if v_decision.admitted > 0 and api_key_id is not null and v_address is not null then
    perform bulwark_private.note_key_network(api_key_id, organization_id, v_address);
  end if;
  return v_decision;
end;
$$;
create function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_headers constant jsonb := nullif(current_setting('response.headers', true), '')::jsonb;
  -- As text, because building it as jsonb takes several times as long. A rule's name has only
  -- letters, digits and underscores.
  v_ours constant text := format(
    '[{"RateLimit-Policy": "\"%1$s\";q=%2$s;w=%3$s"}, {"RateLimit": "\"%1$s\";r=%4$s;t=%5$s"}, '
      '{"X-RateLimit-Limit": "%2$s"}, {"X-RateLimit-Remaining": "%4$s"}, '
      '{"X-RateLimit-Reset": "%5$s"}, {"Access-Control-Expose-Headers": "%6$s"}]',
    decision.rule, decision.capacity, decision.window_seconds, decision.remaining,
    decision.reset_seconds, bulwark_private.exposed_limit_headers()
  );
begin
  return case when v_headers is null then v_ours else (v_headers || v_ours::jsonb)::text end;
end;
$$;
comment on function bulwark_private.headers_with_decision(bulwark.rate_limit_decision) is
  'The headers of the response so far and those of the decision, as PostgREST reads them.';
create function bulwark_private.decode_path(path text)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(convert_to(
    regexp_replace(
      to_json(path)::text, '%([0-9A-Fa-f]{2})', '\\u00\1', 'g'
    )::jsonb #>> '{}', 'LATIN1'
  ), 'UTF8');
end;
$$;
comment on function bulwark_private.decode_path(text) is
  'The path of a request, which PostgREST passes undecoded.';
create or replace function bulwark_private.charge_request()
  returns text
  language plpgsql
  volatile
  security definer            -- definer because clients touch neither buckets nor blocks
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_address text;
  v_claims json;
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_key uuid;
  v_listed boolean;
  v_next text;
  v_organization uuid;
  v_path text;
  v_reads constant boolean := current_setting('transaction_read_only')::boolean;
  v_role text;
  v_rule text;
  v_rules jsonb;
  v_ignored text;
  v_settings jsonb;
  v_status record;
  v_user uuid;
  v_wait text;
begin
  -- This runs before every request, and a read needs no more than this, unless somebody is blocked.
  if v_reads then
    select
      s.value #>> '{}',
      exists (
        select from bulwark.rate_limit_blocks b where b.expires_at > now() and b.lifted_at is null
      )
      -- In order, because the other index of this table takes longer to begin with.
      or (select true from bulwark.rate_limit_networks n order by n.network limit 1) is not null
    into v_next, v_listed
    from bulwark.settings s
    where s.name = 'rate_limits.next_request_check';
    if not v_listed then
      return case when v_next is not null then bulwark_private.quote_qualified(v_next) end;
    end if;
  end if;
  v_role := bulwark_private.caller_role();
  select
    jsonb_object_agg(s.name, s.value),
    exists (
      select from bulwark.rate_limit_blocks b where b.expires_at > now() and b.lifted_at is null
    )
    or (select true from bulwark.rate_limit_networks n order by n.network limit 1) is not null
  into v_settings, v_listed
  from bulwark.settings s
  where s.name in (
    'rate_limits.address_header', 'rate_limits.address_hops', 'rate_limits.request_rules',
    'rate_limits.request_wait_ms', 'rate_limits.next_request_check'
  )
  having count(*) = 5;
  if not found then
    raise exception 'Cannot limit the request: a setting is missing'
      using errcode = 'invalid_parameter_value', detail = 'UNKNOWN_SETTING',
        hint = 'Insert it again: bulwark.settings lacks a row that begins with rate_limits';
  end if;
  v_next := bulwark_private.quote_qualified(v_settings ->> 'rate_limits.next_request_check');
  if v_role in ('service_role', 'postgres', 'supabase_admin') then
    return v_next;
  end if;
  if v_role = 'api_key' then
    v_claims := bulwark_private.claims();
    v_key := bulwark_private.uuid_or_null(v_claims ->> 'api_key_id');
    v_organization := bulwark_private.uuid_or_null(v_claims ->> 'organization_id');
  elsif v_role <> 'anon' then
    -- Requests with the token of an ended session are charged to their address.
    v_user := bulwark.current_person();
  end if;
  -- A user who writes is charged as the user. The address matters only if one may be blocked.
  if v_listed or v_user is null then
    v_address := bulwark_private.forwarded_address(
      nullif(current_setting('request.headers', true), '')::jsonb,
      v_settings ->> 'rate_limits.address_header',
      (v_settings -> 'rate_limits.address_hops')::integer
    );
  end if;
  -- A letter written as %63 must not evade the path's rule.
  v_path := coalesce(current_setting('request.path', true), '');
  if position('%' in v_path) > 0 then
    v_path := bulwark_private.decode_path(v_path);
  end if;
  v_rules := v_settings -> 'rate_limits.request_rules';
  if v_key is not null and not v_rules ? v_path then
    -- API keys have their own rule.
    select k.rule into v_rule from bulwark_private.api_key_rules k where k.api_key_id = v_key;
  else
    v_rule := v_rules ->> case when v_rules ? v_path then v_path else '*' end;
  end if;

  if v_reads or v_rule is null then
    if v_listed and (v_address is not null or v_key is not null) then
      v_address := bulwark_private.client_network(v_address);
      v_identifiers := bulwark_private.rate_limit_identifiers(
        'caller', v_user, v_key, v_address, null
      );
      v_status := bulwark_private.rate_limit_status(
        v_identifiers.kinds, v_identifiers.names, v_address
      );
      if v_status.blocked_until is not null then
        perform bulwark_private.refuse_request(
          bulwark_private.blocked_decision(v_rule, v_status.blocked_until)
        );
      end if;
    end if;
    return v_next;
  end if;

  -- The bucket stays locked until the request ends. Other requests of the caller wait for it, for a
  -- limited time.
  v_wait := current_setting('lock_timeout');
  v_ignored := set_config('lock_timeout', v_settings ->> 'rate_limits.request_wait_ms', true);
  begin
    -- The same lock as in check_rate_limit, here for keys and addresses too.
    v_ignored := pg_advisory_xact_lock(
      hashtext(v_rule), hashtext(coalesce(v_user::text, v_key::text, v_address, ''))
    );
    v_decision := bulwark.check_rate_limit(
      v_rule, v_user, v_key, v_address, null, v_organization
    );
  exception
    when lock_not_available then
      -- Refused even if the rule fails open: a caller's slow request must not let their other
      -- requests through uncharged.
      select false, 'rate', r.name, r.capacity, r.window_seconds, 0, 1, 1, r.when_store_fails, 0
      into v_decision
      from bulwark.rate_limit_rules r where r.name = v_rule;
  end;
  v_ignored := set_config('lock_timeout', v_wait, true);
  if v_decision.allowed is not true then
    perform bulwark_private.refuse_request(v_decision);
  end if;
  v_ignored := set_config(
    'response.headers', bulwark_private.headers_with_decision(v_decision), true
  );
  return v_next;
end;
$$;
create or replace function bulwark.check_request()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb;
  v_next text;
  v_ours jsonb;
  v_ignored text;
  v_theirs jsonb;
begin
  -- The order matters: resolve API keys, decide about the caller, then run the next hook.
  if current_setting('role') = 'api_key'
    or position('"x-api-key"' in current_setting('request.headers', true)) > 0 then
    v_claims := bulwark_private.resolve_api_key();
    if v_claims is not null then
      -- Set here, because a SECURITY DEFINER function cannot set the role.
      -- Assignments instead of perform, which would run each call as a query.
      v_ignored := set_config('request.jwt.claims', v_claims::text, true);
      v_ignored := set_config('role', 'api_key', true);
    end if;
  end if;
  v_next := bulwark_private.charge_request();
  if v_next is not null then
    v_ours := nullif(current_setting('response.headers', true), '')::jsonb;
    -- The host's hook may rely on the usual path.
    v_ignored := set_config('search_path', 'public, extensions', true);
    execute format('select %s()', v_next);
    -- A hook that sets headers and does not know of ours must not remove them.
    v_theirs := coalesce(nullif(current_setting('response.headers', true), ''), '[]')::jsonb;
    if not v_theirs @> v_ours then
      v_ignored := set_config('response.headers', (v_ours || v_theirs)::text, true);
    end if;
  end if;
end;
$$;
create or replace function bulwark_private.charge_attempt(kind text, user_id uuid, valid boolean)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision bulwark.rate_limit_decision;
begin
  -- Every attempt is charged, and a correct one refunded: otherwise concurrent guesses would all be
  -- answered.
  v_decision := bulwark_private.decide_rate_limit(
    'auth_login', array[kind], array[user_id::text], null, 1, null, user_id, null
  );
  if v_decision.allowed and valid then
    update bulwark_private.rate_limits b
    set full_at = b.full_at - b.emission_us
    where b.id = bulwark_private.rate_limit_hash(
        concat(charge_attempt.kind, '/', charge_attempt.user_id)
      )
      and b.scope = (select r.scope from bulwark.rate_limit_rules r where r.name = 'auth_login');
  elsif v_decision.allowed then
    perform bulwark_private.append_auth_entry(
      'auth.login_failed', user_id, 'auth.users', user_id::text, kind
    );
  end if;
  if v_decision.allowed then
    return '{"decision": "continue"}'::jsonb;
  end if;
  if kind = 'password' then
    return jsonb_build_object(
      'decision', 'reject', 'message', 'Too many attempts: try again later',
      'should_logout_user', false
    );
  end if;
  -- Supabase Auth signs a user out everywhere when it is told to reject a second factor, so a thief
  -- of the password could end the owner's sessions. An error refuses the attempt and ends nothing.
  return jsonb_build_object('error', jsonb_build_object(
    'http_code', 429, 'message', 'Too many attempts: try again later'
  ));
end;
$$;
create or replace function bulwark.mfa_verification_attempt_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because Supabase Auth may not touch buckets
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.charge_attempt(
    'second_factor', (event ->> 'user_id')::uuid, (event ->> 'valid')::boolean
  );
end;
$$;
comment on function bulwark.mfa_verification_attempt_hook(jsonb) is
  'MFA verification attempt hook of Supabase Auth ({factor_id, user_id, valid}): limits guesses at
   codes, in another bucket than passwords. Over the limit the attempt is refused with 429, and no
   session ends.';
create or replace function bulwark.finish_login(
  account text,
  address text default null,
  user_id uuid default null,
  latitude real default null,
  longitude real default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes these tables
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_account constant text := left(lower(btrim(account)), 320);
  v_address constant text := bulwark_private.client_network(address);
  v_owner constant uuid := bulwark_private.rate_limit_hash('account/' || v_account);
  v_network constant uuid := bulwark_private.rate_limit_hash('network/' || v_address);
  v_recorded uuid;
  v_user constant uuid := (
    select u.id from auth.users u where u.email = v_account order by u.created_at limit 1
  );
begin
  if user_id is null then
    -- Where Supabase Auth calls the hook, that has recorded the attempt: it counts once. The entry
    -- here adds the network. Each entry of the hook stands for one attempt: one that the hook
    -- refused has none, and is not taken for an earlier attempt.
    select e.id into v_recorded
    from bulwark.audit_logs e
    where e.event_type = 'auth.login_failed' and e.action = 'password' and e.source = 'auth'
      and e.resource_type = 'auth.users' and e.resource_id = v_user::text
      and e.parent_id is null
      and e.id >= bulwark_private.audit_id_floor(clock_timestamp() - interval '10 seconds')
      and not exists (
        select from bulwark.audit_logs c
        where c.resource_type = e.resource_type and c.resource_id = e.resource_id
          and c.id > e.id and c.parent_id = e.id and c.details ? 'network'
      )
    order by e.id
    limit 1;
    perform bulwark_private.append_audit_entry(
      event_type => 'auth.login_failed', result => 'failure', action => 'password',
      parent_id => v_recorded,
      resource_type => case when v_user is null then 'account' else 'auth.users' end,
      resource_id => coalesce(v_user, v_owner)::text,
      details => jsonb_build_object('network', v_network), ip => v_address
    );
    return;
  end if;
  if v_network is not null then
    insert into bulwark_private.known_networks as k (owner, network)
    values (v_owner, v_network)
    on conflict on constraint known_networks_pkey do update
      set last_seen_at = excluded.last_seen_at;
  end if;
  perform bulwark_private.note_place(user_id, latitude, longitude);
end;
$$;
comment on function bulwark.finish_login(text, text, uuid, real, real) is
  'Records the result of a sign-in (service role only). Without a user it failed and is written to
   the audit log, below the entry of the password hook if there is one; with one its network becomes
   known and its place is compared with the last one.';
create or replace function bulwark.cleanup_old_rate_limits()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch bigint;
  v_before bigint;
  v_days integer := (bulwark_private.setting('rate_limits.violation_days'))::integer;
  v_deleted bigint := 0;
  v_known constant interval := make_interval(
    days => (bulwark_private.setting('rate_limits.network_days'))::integer
  );
  v_keep interval := make_interval(
    mins => (bulwark_private.setting('rate_limits.keep_minutes'))::integer
  );
begin
  if (
    -- A bucket takes 120 bytes, free space included.
    select pg_relation_size(c.oid) / 120
    from pg_catalog.pg_class c where c.oid = 'bulwark_private.rate_limits'::regclass
  ) > (bulwark_private.setting('rate_limits.maximum_buckets'))::bigint then
    v_keep := '0';
  end if;
  v_before := date_part('epoch', clock_timestamp() - v_keep) * 1000000;
  -- Locked rows are left for the next run.
  loop
    delete from bulwark_private.rate_limits b
    where b.ctid = any (array(
      select o.ctid
      from bulwark_private.rate_limits o
      where o.full_at < v_before
      limit 50000
      for update skip locked
    ));
    get diagnostics v_batch = row_count;
    v_deleted := v_deleted + v_batch;
    exit when v_batch < 50000;
  end loop;
  delete from bulwark_private.rate_limit_violations v
  where v.ctid = any (array(
    select o.ctid from bulwark_private.rate_limit_violations o
    where o.occurred_at < now() - make_interval(days => v_days)
    for update skip locked
  ));
  delete from bulwark.rate_limit_blocks b
  where b.ctid = any (array(
    select o.ctid from bulwark.rate_limit_blocks o
    where o.expires_at < now() - make_interval(days => v_days)
    for update skip locked
  ));
  delete from bulwark.rate_limit_networks n
  where n.ctid = any (array(
    select o.ctid from bulwark.rate_limit_networks o
    where o.expires_at < now()
    for update skip locked
  ));
  delete from bulwark_private.known_networks k
  where k.ctid = any (array(
    select o.ctid from bulwark_private.known_networks o
    where o.last_seen_at < now() - v_known
    for update skip locked
  ));
  delete from bulwark_private.sign_in_places p
  where p.ctid = any (array(
    select o.ctid from bulwark_private.sign_in_places o
    where o.seen_at < now() - v_known
    for update skip locked
  ));
  return v_deleted;
end;
$$;
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
create function bulwark_private.rate_limit_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 3
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
  with blocked as materialized (
    select b.kind from bulwark.rate_limit_blocks b
    where b.expires_at > now() and b.lifted_at is null
    limit 100000
  )
  select
    'blocked_callers', '', 'Blocks that are in force, up to 100000',
    jsonb_build_object('kind', k.kind), count(b.kind)::double precision
  from unnest('{address,api_key,pair}'::text[]) as k (kind)
  left join blocked b on b.kind = k.kind
  group by k.kind;
$$;
comment on function bulwark_private.rate_limit_levels() is
  'The levels of rate limits: see docs/metrics.md.';
revoke all on table bulwark_private.organization_api_keys from public;
revoke all on table bulwark_private.organization_api_keys from anon;
revoke all on table bulwark_private.organization_api_keys from authenticated;
revoke all on table bulwark_private.organization_api_keys from service_role;
revoke all on function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision) from public;
revoke all on function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision) from anon;
revoke all on function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision) from authenticated;
revoke all on function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision) from service_role;
revoke all on function bulwark_private.decode_path(path text) from public;
revoke all on function bulwark_private.decode_path(path text) from anon;
revoke all on function bulwark_private.decode_path(path text) from authenticated;
revoke all on function bulwark_private.decode_path(path text) from service_role;
revoke all on function bulwark.rate_limit_usage(organization_id uuid) from public;
revoke all on function bulwark.rate_limit_usage(organization_id uuid) from anon;
revoke all on function bulwark.rate_limit_usage(organization_id uuid) from authenticated;
revoke all on function bulwark.rate_limit_usage(organization_id uuid) from service_role;
revoke all on function bulwark_private.rate_limit_levels() from public;
revoke all on function bulwark_private.rate_limit_levels() from anon;
revoke all on function bulwark_private.rate_limit_levels() from authenticated;
revoke all on function bulwark_private.rate_limit_levels() from service_role;
grant execute on function bulwark.rate_limit_usage(uuid) to authenticated;
grant execute on function bulwark.rate_limit_usage(uuid) to service_role;
