-- Requests to the Data API: the pre-request hook of PostgREST (db_pre_request).
-- Protects every table and function of the exposed schemas: requests of blocked callers are
-- refused, reads included, and writing requests are charged. Limits: reads cannot be charged (their
-- transactions are read-only), nor failing requests (their charge is rolled back).
-- SECURITY DEFINER: charge_request, because clients touch neither buckets nor blocks. check_request
--   is not, so that the host's own hook runs with the rights of the request.

insert into bulwark.settings (name, value, description) values
  (
    'rate_limits.request_rules',
    '{"*": "api_default", "/rpc/preview_invitation": "api_strict"}',
    'Rule of a writing request by its path (/rpc/name); *: all other paths'
  ),
  ('rate_limits.request_wait_ms', '1000',
    'How long a request waits for a bucket that another request of its caller holds'),
  ('rate_limits.next_request_check', 'null',
    'The host''s own pre-request hook, as schema.name; it runs after this one');

alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_rate_limits_requests check (
    case name
      when 'rate_limits.request_rules' then
        jsonb_typeof(value) = 'object' and value ? '*'
        and not value @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
      when 'rate_limits.request_wait_ms' then value between '1' and '60000'
      when 'rate_limits.next_request_check' then jsonb_typeof(value) in ('string', 'null')
      else true
    end
  );

create function bulwark_private.exposed_limit_headers()
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select 'RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, '
    'X-RateLimit-Reset, Retry-After';
$$;
comment on function bulwark_private.exposed_limit_headers() is
  'The headers that pages of other origins may read, in addition to PostgREST''s.';

create function bulwark_private.refuse_request(decision bulwark.rate_limit_decision)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_blocked constant boolean := decision.reason = 'block';
begin
  -- PostgREST builds the response from SQLSTATE PGRST, headers included. Headers that were set
  -- before are lost.
  raise exception using
    errcode = 'PGRST',
    message = json_build_object(
      'code', 'PT429',
      'message', case
        when v_blocked then 'Cannot proceed: the caller is blocked for now'
        else 'Cannot proceed: too many requests'
      end,
      'details', case
        when v_blocked then 'RATE_LIMIT_BLOCKED'
        else 'RATE_LIMIT_EXCEEDED'
      end,
      'hint', format('Try again in %s seconds', decision.retry_after_seconds)
    )::text,
    detail = json_build_object(
      'status', 429,
      'headers', json_build_object(
        'Retry-After', decision.retry_after_seconds::text,
        'RateLimit-Policy',
        format('"%s";q=%s;w=%s', decision.rule, decision.capacity, decision.window_seconds),
        'RateLimit', format('"%s";r=0;t=%s', decision.rule, decision.retry_after_seconds),
        'X-RateLimit-Limit', decision.capacity::text,
        'X-RateLimit-Remaining', '0',
        'X-RateLimit-Reset', decision.reset_seconds::text,
        'Access-Control-Expose-Headers', bulwark_private.exposed_limit_headers()
      )
    )::text;
end;
$$;
comment on function bulwark_private.refuse_request(bulwark.rate_limit_decision) is
  'Raises SQLSTATE PGRST: PostgREST answers 429 with the headers of the decision.';

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

-- A view and no function, so that the request's plan contains the look-up.
create view bulwark_private.api_key_rules with (security_invoker = true) as
  select null::uuid as api_key_id, null::text as rule where false;
comment on view bulwark_private.api_key_rules is
  'The rate limit rule of each API key: none until api_keys is installed, which replaces the view.';

create function bulwark_private.resolve_api_key()
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Without the capability api_keys, which replaces this function, no key and no token of one is
  -- valid. The header alone means nothing.
  if current_setting('role') = 'api_key' then
    raise exception 'Cannot authenticate: the API key is not valid'
      using errcode = 'PT401', detail = 'API_KEY_INVALID';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.resolve_api_key() is
  'The part of check_request that resolves API keys: refuses the role api_key.';

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

create function bulwark_private.charge_request()
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
comment on function bulwark_private.charge_request() is
  'The part of check_request that needs buckets and blocks: refuses the request (429) or sets its
   headers. Returns the name of the next hook, or null.';

create function bulwark_private.blocked_decision(rule text, blocked_until timestamptz)
  returns bulwark.rate_limit_decision
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select
    false, 'block', r.name, r.capacity::integer, r.window_seconds::integer, 0, w.seconds, w.seconds,
    r.when_store_fails, 0
  from (
    select greatest(1, ceil(date_part('epoch', blocked_until - clock_timestamp())))::integer
  ) as w (seconds)
  left join bulwark.rate_limit_rules r on r.name = coalesce(rule, 'api_default');
$$;
comment on function bulwark_private.blocked_decision(text, timestamptz) is
  'The decision for a blocked caller.';

create function bulwark.check_request()
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
comment on function bulwark.check_request() is
  'Pre-request hook of PostgREST, see install_request_hook. Refuses blocked callers and requests
   over the limit with 429, charges writing requests, sets RateLimit headers, and runs the host''s
   own hook.';

create function bulwark.install_request_hook()
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_present text;
begin
  select substring(s.setting from '=(.*)$') into v_present
  from pg_catalog.pg_db_role_setting d
  cross join unnest(d.setconfig) as s (setting)
  where d.setrole = 'authenticator'::regrole
    and d.setdatabase in (
      0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database())
    )
    and s.setting ~ '^pgrst\.db_pre_request=.'
  order by d.setdatabase desc
  limit 1;
  if to_regproc(v_present) is distinct from 'bulwark.check_request'::regproc then
    update bulwark.settings s set value = to_jsonb(v_present)
    where s.name = 'rate_limits.next_request_check' and v_present is not null;
    alter role authenticator set pgrst.db_pre_request = 'bulwark.check_request';
  end if;
  notify pgrst, 'reload config';
  return (
    select s.value #>> '{}' from bulwark.settings s
    where s.name = 'rate_limits.next_request_check'
  );
end;
$$;
comment on function bulwark.install_request_hook() is
  'Installs check_request as the pre-request hook of PostgREST. A hook that was installed before is
   kept in the setting rate_limits.next_request_check and runs after it. Returns the name of that
   hook, or null. For the project''s owner (postgres); calling it again changes nothing.';
