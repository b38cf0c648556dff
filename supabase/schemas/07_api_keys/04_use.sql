-- API keys in use: exchanged for a token by the function api-keys, or sent to the Data API as
-- header x-api-key and resolved before the request.
-- Protects against finding out why a key is refused: a wrong, malformed, revoked, expired,
-- suspended or foreign key, or one from another network, takes the same steps to the same answer.
-- Protects the raw key: it is hashed at once, removed from the request's headers, and refused where
-- the server would log it.
-- SECURITY DEFINER: resolve_api_key and rate_limit_caller, because no client reads hashes and
-- sessions; exchange_api_key and report_leaked_api_keys, because the service role reads no hashes.

insert into bulwark.security_event_types (name, severity, description) values
  ('api_key_leaked', 'critical', 'An API key was found in public and has been revoked');

create type bulwark_private.found_api_key as (
  id uuid,
  organization_id uuid,
  expires_at timestamptz,
  rate_limit_rule text,
  networks cidr[],
  in_force boolean
);
comment on type bulwark_private.found_api_key is
  'Result of a key look-up. Does not say whether the key is accepted from the request''s address.';

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

create function bulwark_private.api_key_status(api_key_id uuid)
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
comment on function bulwark_private.api_key_status(uuid) is
  'The status of a key: in force if it has any permission right now.';

create function bulwark_private.find_api_key(key_hash bytea)
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
comment on function bulwark_private.find_api_key(bytea) is
  'The key with this SHA-256, in force if it has any permission right now. Where it is not in force,
   the other columns belong to another key and mean nothing.';

create function bulwark_private.api_key_use_is_due(api_key_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return not exists (
    select from bulwark_private.api_key_uses u
    cross join bulwark.settings s
    where u.api_key_id = api_key_use_is_due.api_key_id
      and s.name = 'api_keys.use_precision_seconds'
      -- A time in the future comes from a clock that was set back since.
      and u.last_used_at between clock_timestamp() - make_interval(secs => s.value::float8)
        and clock_timestamp()
  );
end;
$$;
comment on function bulwark_private.api_key_use_is_due(uuid) is
  'Whether api_keys.use_precision_seconds have passed since the last recorded use of the key.';

create function bulwark_private.note_api_key_use(
  api_key_id uuid, organization_id uuid, address text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- Skips instead of waiting: a concurrent call records the same. In stricter isolation levels the
  -- update could fail the request.
  if current_setting('transaction_isolation') <> 'read committed'
    or not pg_try_advisory_xact_lock(hashtextextended('bulwark.api_key/' || api_key_id, 0)) then
    return;
  end if;
  insert into bulwark_private.api_key_uses as u (api_key_id, last_used_at)
  values (note_api_key_use.api_key_id, clock_timestamp())
  on conflict on constraint api_key_uses_pkey do update set last_used_at = excluded.last_used_at;
  if address is not null then
    perform bulwark_private.note_key_network(api_key_id, organization_id, address);
  end if;
end;
$$;
comment on function bulwark_private.note_api_key_use(uuid, uuid, text) is
  'Records when and from which network a key was used, unless a concurrent call is doing so.';

create function bulwark.exchange_api_key(key_hash text, address text default null)
  returns table (
    api_key_id uuid,
    organization_id uuid,
    expires_at timestamptz,
    allowed boolean,
    reason text,
    rule text,
    capacity integer,
    window_seconds integer,
    remaining integer,
    reset_seconds integer,
    retry_after_seconds integer
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because not even the service role reads hashes
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- a request does not wait long for a rate limit bucket that is locked
as $$
#variable_conflict use_variable
declare
  v_address constant text := bulwark_private.client_network(address);
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_key bulwark_private.found_api_key;
begin
  if key_hash is null or key_hash !~ '^[0-9a-f]{64}$' then
    raise exception 'Cannot look the API key up: its hash is not 64 hex digits'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_HASH';
  end if;
  v_key := bulwark_private.find_api_key(decode(key_hash, 'hex'));
  if (
    bulwark_private.network_is_allowed(v_key.networks, v_address) and v_key.in_force
  ) is not true then
    v_key := null;
  end if;
  if v_key.id is not null then
    v_decision := bulwark.check_rate_limit(
      v_key.rate_limit_rule, null, v_key.id, v_address, null, v_key.organization_id
    );
  else
    -- Refusals are charged to the address and not to the key, so that guessing is limited and the
    -- holder of the key is not.
    v_identifiers := bulwark_private.rate_limit_identifiers('caller', null, null, v_address, null);
    v_decision := bulwark_private.decide_rate_limit(
      'api_default', v_identifiers.kinds, v_identifiers.names, v_address, 1, null, null, null
    );
  end if;
  if v_key.id is not null and v_decision.allowed
    and bulwark_private.api_key_use_is_due(v_key.id) then
    perform bulwark_private.note_api_key_use(v_key.id, v_key.organization_id, v_address);
  end if;
  return query
    select
      v_key.id, v_key.organization_id, v_key.expires_at, v_decision.allowed, v_decision.reason,
      v_decision.rule, v_decision.capacity, v_decision.window_seconds, v_decision.remaining,
      v_decision.reset_seconds, v_decision.retry_after_seconds;
end;
$$;
comment on function bulwark.exchange_api_key(text, text) is
  'The owner of the key with this SHA-256 in hex, with the decision of the rate limit (service role
   only). api_key_id is null for every key that is not in force. The address is the one written by a
   trusted proxy. Errors: API_KEY_INVALID_HASH.';

create function bulwark_private.parameters_are_logged()
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
comment on function bulwark_private.parameters_are_logged() is
  'Whether the server may log statement parameters on this connection. The headers of a request are
   such a parameter. Covers logs of all, slow and failed statements, and of plans.';

-- Replaces the plain answer of rate limits, which refuses every key.
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
comment on function bulwark_private.resolve_api_key() is
  'The part of check_request that resolves API keys. Removes the header x-api-key from every
   request. Returns the claims of the key if the request is not authenticated otherwise, else null.
   Raises API_KEY_INVALID for a key, or its token, that is not in force, and API_KEY_HEADER_CLOSED
   for every key where the server may log it. Reads do not record a use, since their transaction
   writes nothing.';

-- Replaces the plain answer of rate limits.
create or replace view bulwark_private.api_key_rules with (security_invoker = true) as
  select k.id as api_key_id, k.rate_limit_rule as rule from bulwark.api_keys k;
comment on view bulwark_private.api_key_rules is 'The rate limit rule of each API key.';

-- Replaces the plain answer of rate limits, which knows no keys.
create or replace function bulwark.rate_limit_caller()
  returns table (user_id uuid, api_key_id uuid, organization_id uuid)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client reads sessions or keys
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.caller_role() = 'api_key' then
    return query
      select null::uuid, k.id, k.organization_id
      from bulwark_private.api_key_status(bulwark_private.claimed_id('api_key_id')) k
      where k.in_force;
  else
    return query select bulwark.current_person(), null::uuid, null::uuid;
  end if;
end;
$$;
comment on function bulwark.rate_limit_caller() is
  'The caller of this request, for a function that limits it: the user of a live session, or an
   active API key.';

create function bulwark.report_leaked_api_keys(reports jsonb)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role reads hashes
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
  v_report jsonb;
begin
  if jsonb_typeof(reports) is distinct from 'array' or jsonb_array_length(reports) > 1000 then
    raise exception 'Cannot take the report: it is not a list of at most 1000 entries'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_REPORT';
  end if;
  -- In order of the hash, so that two reports of the same keys cannot deadlock.
  for v_report in
    select r.report
    from jsonb_array_elements(reports) as r (report)
    where r.report ->> 'key_hash' ~ '^[0-9a-f]{64}$'
    order by r.report ->> 'key_hash'
  loop
    select k.* into v_key
    from bulwark_private.api_key_hashes h
    join bulwark.api_keys k on k.id = h.api_key_id
    where h.key_hash = decode(v_report ->> 'key_hash', 'hex')
    for no key update of k;
    continue when not found or v_key.revoked_at is not null;
    perform bulwark_private.end_api_key(v_key, 'Reported as leaked', null);
    perform bulwark.raise_security_event(
      'api_key_leaked', v_key.organization_id, v_key.owner_id, v_key.id::text,
      jsonb_strip_nulls(jsonb_build_object(
        'name', v_key.name,
        'first_characters', v_key.first_characters,
        'found_at', left(v_report ->> 'url', 500),
        'found_in', left(v_report ->> 'source', 64)
      ))
    );
  end loop;
end;
$$;
comment on function bulwark.report_leaked_api_keys(jsonb) is
  'Revokes the keys of a report and raises a critical security event for each that was in force
   (service role only). A report is a list of {key_hash, url, source}. The answer does not tell
   which of the keys exist. Errors: API_KEY_INVALID_REPORT.';

-- PostgREST passes request headers as a statement parameter, and a server that logs statements logs
-- parameters. This turns such logs off for the Data API's connections. Where only a superuser may
-- do so, the header stays closed until it is done.
do $$
declare
  v_setting text;
begin
  foreach v_setting in array
    '{log_parameter_max_length, auto_explain.log_parameter_max_length}'::text[]
  loop
    continue when current_setting(v_setting, true) is null;
    -- One block each, so that a refused setting does not undo the others.
    begin
      execute format('alter role authenticator set %s = 0', v_setting);
    exception
      when insufficient_privilege or reserved_name then
        raise notice 'API keys in headers may be closed: % of authenticator is not 0', v_setting;
    end;
  end loop;
end;
$$;
