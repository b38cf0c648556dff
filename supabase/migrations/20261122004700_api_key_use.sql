-- API keys in use: exchanged for a token by the function api-keys, or sent to the Data API as
-- header x-api-key and resolved in front of the request.
-- Protects against telling apart why a key is refused: a key that is wrong, malformed, revoked,
-- expired, foreign, suspended or sent from elsewhere takes the same steps to the same answer; and
-- against a raw key that stays around: it is hashed at once and taken out of the request's headers.
-- SECURITY DEFINER: resolve_api_key, because hashes are for no client; exchange_api_key and
--   report_leaked_api_keys, because they are not for the service role either.

insert into public.security_event_types (name, severity, description) values
  ('api_key_leaked', 'critical', 'An API key was found in public and has been revoked');

create function private.api_key_in_force(api_key_id uuid, address text)
  returns public.api_keys
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_active boolean;
  v_decoy public.api_keys;
  v_from_there boolean;
  v_key public.api_keys;
  v_known boolean;
  v_permitted boolean;
begin
  -- Every step is taken whatever the one before has found, and where there is no such key with any
  -- other: how long a refusal takes does not tell what it is for.
  select * into v_decoy from public.api_keys k limit 1;
  select * into v_key from public.api_keys k where k.id = api_key_id;
  v_known := v_key.id is not null;
  if not v_known then
    v_key := v_decoy;
  end if;
  v_active := exists (select from private.active_api_keys k where k.id = v_key.id);
  v_from_there := private.network_is_allowed(v_key.networks, address);
  v_permitted := exists (select from private.api_key_holdings h where h.api_key_id = v_key.id);
  if not (v_known and v_active and v_from_there and v_permitted) then
    v_key := null;
  end if;
  return v_key;
end;
$$;
comment on function private.api_key_in_force(uuid, text) is
  'A key if it may anything right now, from this address; else null.';

create function private.find_api_key(key_hash bytea, address text)
  returns public.api_keys
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return private.api_key_in_force(
    (select h.api_key_id from private.api_key_hashes h where h.key_hash = find_api_key.key_hash),
    address
  );
end;
$$;
comment on function private.find_api_key(bytea, text) is
  'The key with this SHA-256 if it may anything right now, from this address; else null.';

create function private.note_api_key_use(api_key_id uuid, organization_id uuid, address text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_precision constant interval := make_interval(
    secs => (private.setting('api_keys.use_precision_seconds'))::float8
  );
begin
  if exists (
    select from private.api_key_uses u
    where u.api_key_id = note_api_key_use.api_key_id
      and u.last_used_at > clock_timestamp() - v_precision
  ) then
    return;
  end if;
  -- Nobody waits to say the same a moment later, and in a stricter isolation nobody fails for it.
  if current_setting('transaction_isolation') <> 'read committed'
    or not pg_try_advisory_xact_lock(hashtextextended('bulwark.api_key/' || api_key_id, 0)) then
    return;
  end if;
  insert into private.api_key_uses as u (api_key_id, last_used_at)
  values (note_api_key_use.api_key_id, clock_timestamp())
  on conflict on constraint api_key_uses_pkey do update set last_used_at = excluded.last_used_at;
  if address is not null then
    perform private.note_key_network(api_key_id, organization_id, address);
  end if;
end;
$$;
comment on function private.note_api_key_use(uuid, uuid, text) is
  'Remembers when and from which network a key was used, at most once in
   api_keys.use_precision_seconds.';

create function public.exchange_api_key(key_hash text, address text default null)
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
as $$
#variable_conflict use_variable
declare
  v_address constant text := private.client_network(address);
  v_decision public.rate_limit_decision;
  v_identifiers record;
  v_key public.api_keys;
begin
  if key_hash is null or key_hash !~ '^[0-9a-f]{64}$' then
    raise exception 'Cannot look the API key up: its hash is not 64 hex digits'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_HASH';
  end if;
  v_key := private.find_api_key(decode(key_hash, 'hex'), v_address);
  -- What is refused is charged to where it comes from, so that trying is limited and the key that
  -- somebody else holds is not.
  v_identifiers := private.rate_limit_identifiers('caller', null, v_key.id, v_address, null);
  v_decision := private.decide_rate_limit(
    coalesce(v_key.rate_limit_rule, 'api_default'), v_identifiers.kinds, v_identifiers.names,
    v_address, 1, v_key.organization_id, null, v_key.id
  );
  if v_key.id is not null and v_decision.allowed then
    perform private.note_api_key_use(v_key.id, v_key.organization_id, v_address);
  end if;
  return query
    select
      v_key.id, v_key.organization_id, v_key.expires_at, v_decision.allowed, v_decision.reason,
      v_decision.rule, v_decision.capacity, v_decision.window_seconds, v_decision.remaining,
      v_decision.reset_seconds, v_decision.retry_after_seconds;
end;
$$;
comment on function public.exchange_api_key(text, text) is
  'Whose key has this SHA-256 in hex (service role only), with the rate limit''s decision:
   api_key_id is null for every key that is not in force, whatever the reason. The address is what a
   trusted proxy wrote. Errors: API_KEY_INVALID_HASH.';

create function public.resolve_api_key()
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because hashes are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text;
  v_claims jsonb;
  v_headers jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
  v_key public.api_keys;
  v_role constant text := private.caller_role();
begin
  if v_role = 'api_key' then
    -- A token outlives the key it was made of by minutes; this request does not.
    v_claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    v_key := private.api_key_in_force(
      private.uuid_or_null(v_claims ->> 'api_key_id'), private.client_address(v_headers)
    );
  elsif v_role = 'anon' and v_headers ? 'x-api-key' then
    v_address := private.client_address(v_headers);
    v_key := private.find_api_key(
      sha256(convert_to(v_headers ->> 'x-api-key', 'UTF8')), v_address
    );
    perform set_config('request.headers', (v_headers - 'x-api-key')::text, true);
  else
    return null;
  end if;
  if v_key.id is null then
    raise exception 'Cannot authenticate: the API key is not valid'
      using errcode = 'PT401', detail = 'API_KEY_INVALID';
  end if;
  if v_role = 'api_key' then
    return null;
  end if;
  if not current_setting('transaction_read_only')::boolean then
    perform private.note_api_key_use(v_key.id, v_key.organization_id, v_address);
  end if;
  return jsonb_build_object(
    'role', 'api_key', 'api_key_id', v_key.id, 'organization_id', v_key.organization_id
  );
end;
$$;
comment on function public.resolve_api_key() is
  'The part of check_request that knows API keys: the claims of the key in the header x-api-key of a
   request that is nobody''s yet, null for every other request. Raises API_KEY_INVALID for a key, or
   a token of one, that is not in force. A read leaves no trace of use, since its transaction writes
   nothing.';

create function public.report_leaked_api_keys(reports jsonb)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role reads hashes
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key public.api_keys;
  v_report jsonb;
begin
  if jsonb_typeof(reports) is distinct from 'array' or jsonb_array_length(reports) > 1000 then
    raise exception 'Cannot take the report: it is no list of at most 1000'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_REPORT';
  end if;
  -- In order of the hash, so that two reports of the same keys do not wait in a circle.
  for v_report in
    select r.report
    from jsonb_array_elements(reports) as r (report)
    where r.report ->> 'key_hash' ~ '^[0-9a-f]{64}$'
    order by r.report ->> 'key_hash'
  loop
    select k.* into v_key
    from private.api_key_hashes h
    join public.api_keys k on k.id = h.api_key_id
    where h.key_hash = decode(v_report ->> 'key_hash', 'hex')
    for no key update of k;
    continue when not found or v_key.revoked_at is not null;
    perform private.end_api_key(v_key, 'Reported as leaked', null);
    perform private.raise_security_event(
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
comment on function public.report_leaked_api_keys(jsonb) is
  'Revokes the keys of a report and raises a critical security event for each that was still in use
   (service role only). A report is a list of {key_hash, url, source}; the answer does not tell
   which of them exist. Errors: API_KEY_INVALID_REPORT.';

revoke all on function
  private.api_key_in_force(uuid, text), private.find_api_key(bytea, text),
  private.note_api_key_use(uuid, uuid, text), public.exchange_api_key(text, text),
  public.resolve_api_key(), public.report_leaked_api_keys(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  public.exchange_api_key(text, text), public.report_leaked_api_keys(jsonb)
  to service_role;
-- The pre-request hook calls it as the role of the request, for none but these two.
grant execute on function public.resolve_api_key() to anon, api_key;
