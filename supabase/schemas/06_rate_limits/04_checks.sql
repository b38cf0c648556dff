-- Decisions: whether a call is admitted, for edge functions and for the Data API.
-- Protects against callers who choose their own bucket: only the service role may ask, with
-- identifiers that it has verified. All buckets of a call are charged, or none: a call that is
-- refused for its address costs the account nothing.
-- SECURITY DEFINER: check_rate_limit, because not even the service role reads or writes buckets.

create type bulwark.rate_limit_decision as (
  allowed boolean,
  reason text,
  rule text,
  capacity integer,
  window_seconds integer,
  remaining integer,
  reset_seconds integer,
  retry_after_seconds integer,
  when_store_fails bulwark.rate_limit_failure,
  admitted integer
);
comment on type bulwark.rate_limit_decision is
  'A decision: reason (rate or block) if it is refused; reset_seconds until the bucket is full
   again; retry_after_seconds until the same call would be admitted (null if it was); admitted is
   how many calls of a batch are admitted. allowed means all of them.';

create function bulwark_private.api_key_bucket(api_key_id uuid)
  returns uuid
  language plpgsql            -- not sql: an sql function is planned anew at every call
  immutable
  strict
  set search_path = pg_catalog, pg_temp
as $$
begin
  return encode(
    substring(sha256(convert_to('api_key/' || api_key_id, 'UTF8')) from 1 for 16), 'hex'
  )::uuid;
end;
$$;
comment on function bulwark_private.api_key_bucket(uuid) is
  'The id of an API key''s buckets. Hashed to differ from a user with the same id; not salted,
   because a key is no personal data.';

create function bulwark_private.charge_ahead(
  ids uuid[],
  terms bulwark_private.rate_limit_terms,
  cost integer,
  calls integer
)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_fit bigint;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
begin
  -- Rows must exist to be locked; in order of id, as charge_buckets locks them.
  insert into bulwark_private.rate_limits
    (id, scope, full_at, emission_us, capacity, window_seconds, when_store_fails)
  select
    i.id, terms.scope, v_present, terms.emission_us, terms.capacity, terms.window_seconds,
    terms.when_store_fails
  from unnest(ids) as i (id)
  order by i.id
  on conflict (id, scope) do nothing;
  select
    min(
      (terms.emission_us * terms.capacity - greatest(0, l.full_at - v_present))
      / (terms.emission_us * cost)
    )
  into v_fit
  from (
    select b.full_at
    from bulwark_private.rate_limits b
    where b.id = any (ids) and b.scope = terms.scope
    order by b.id
    for update
  ) l;
  -- The caller decides the last call that fits, and the first that does not.
  v_fit := least(greatest(v_fit, 0), calls - 1);
  if v_fit > 0 then
    perform bulwark_private.charge_buckets(ids, terms, (cost * v_fit)::integer);
  end if;
  return v_fit;
end;
$$;
comment on function bulwark_private.charge_ahead(
  uuid[], bulwark_private.rate_limit_terms, integer, integer
) is
  'Charges a batch of equal calls as far as all buckets have tokens, except for the last call;
   returns how many. The rows stay locked until the transaction ends.';

create function bulwark_private.decide_rate_limit(
  rule text,
  kinds text[],
  names text[],
  address text,
  cost integer,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid,
  calls integer default 1
)
  returns bulwark.rate_limit_decision
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_address text := address;
  v_admitted uuid[];
  v_ahead integer := 0;
  v_buckets uuid[];
  v_decision bulwark.rate_limit_decision;
  v_denied uuid[];
  v_full_at bigint;
  v_present bigint;
  v_status record;
  v_terms bulwark_private.rate_limit_terms;
  v_waits bigint;
  v_until timestamptz;
begin
  select
    coalesce(o.scope, r.scope), coalesce(o.emission_us, r.emission_us),
    coalesce(o.capacity, r.capacity), coalesce(o.window_seconds, r.window_seconds),
    r.when_store_fails
  into v_terms
  from bulwark.rate_limit_rules r
  left join lateral (
    select v.*
    from bulwark.rate_limit_overrides v
    where v.rule = r.name
      and (
        v.api_key_id = decide_rate_limit.api_key_id
        or v.organization_id = decide_rate_limit.organization_id
      )
    order by v.api_key_id nulls last
    limit 1
  ) o on true
  where r.name = decide_rate_limit.rule;
  if not found then
    perform bulwark_private.require_rate_limit_rule(rule);
  end if;
  if cost is null or cost not between 1 and v_terms.capacity then
    raise exception 'Cannot limit: a call under % costs 1 to % tokens', rule, v_terms.capacity
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_COST';
  end if;
  v_decision := row(
    true, null, rule, v_terms.capacity, v_terms.window_seconds, v_terms.capacity, 0, null,
    v_terms.when_store_fails, calls
  );

  if v_address is not null or 'api_key' = any (kinds) then
    v_status := bulwark_private.rate_limit_status(kinds, names, v_address);
    if v_status.blocked_until is not null then
      v_decision.allowed := false;
      v_decision.admitted := 0;
      v_decision.reason := 'block';
      v_decision.remaining := 0;
      v_decision.reset_seconds :=
        greatest(1, ceil(date_part('epoch', v_status.blocked_until - clock_timestamp())));
      v_decision.retry_after_seconds := v_decision.reset_seconds;
      return v_decision;
    end if;
    if v_status.listed then
      select coalesce(array_agg(i.kind), '{}'), coalesce(array_agg(i.name), '{}')
      into kinds, names
      from unnest(kinds, names) as i (kind, name)
      where i.kind <> 'address';
      v_address := null;
    end if;
    if kinds = '{}' then
      return v_decision;
    end if;
  end if;

  v_buckets := array(
    select case
      when i.kind = 'user' then i.name::uuid
      when i.kind = 'api_key' then bulwark_private.api_key_bucket(i.name::uuid)
      else encode(
        substring(sha256(s.salt || convert_to(concat(i.kind, '/', i.name), 'UTF8')) from 1 for 16),
        'hex'
      )::uuid
    end
    from bulwark_private.rate_limit_salt s
    cross join unnest(kinds, names) with ordinality as i (kind, name, place)
    order by i.place
  );
  if calls > 1 then
    v_ahead := bulwark_private.charge_ahead(v_buckets, v_terms, cost, calls);
  end if;
  select
    max(c.full_at), max(c.full_at) filter (where not c.admitted),
    array_agg(c.id) filter (where c.admitted), array_agg(c.id) filter (where not c.admitted),
    max(c.present)
  into v_full_at, v_waits, v_admitted, v_denied, v_present
  from bulwark_private.charge_buckets(v_buckets, v_terms, cost) c;
  if v_denied is not null and v_admitted is not null then
    -- No other transaction has seen these charges: the rows are still locked.
    update bulwark_private.rate_limits b
    set full_at = b.full_at - v_terms.emission_us * cost
    where b.id = any (v_admitted) and b.scope = v_terms.scope;
  end if;
  v_decision.remaining := greatest(
    0, (v_present + v_terms.emission_us * v_terms.capacity - v_full_at) / v_terms.emission_us
  );
  v_decision.reset_seconds := ceil(greatest(0, v_full_at - v_present) / 1e6);
  if v_denied is null then
    v_decision.admitted := v_ahead + 1;
    if v_decision.admitted < calls then
      -- A token was refilled while the calls before were charged.
      v_decision.allowed := false;
      v_decision.reason := 'rate';
      v_decision.retry_after_seconds := 1;
    end if;
    return v_decision;
  end if;
  v_decision.admitted := v_ahead;
  v_decision.allowed := false;
  v_decision.reason := 'rate';
  v_decision.remaining := least(v_decision.remaining, cost - 1);
  v_decision.retry_after_seconds := greatest(
    1, ceil((v_waits + v_terms.emission_us * (cost - v_terms.capacity) - v_present) / 1e6)
  );
  select
    bulwark_private.note_denial(
      decide_rate_limit.rule, array_agg(i.kind), array_agg(i.name), v_address,
      decide_rate_limit.organization_id, decide_rate_limit.user_id, decide_rate_limit.api_key_id,
      calls - v_ahead
    )
  into v_until
  from unnest(kinds, names, v_buckets) as i (kind, name, bucket)
  where i.bucket = any (v_denied);
  if v_until is not null then
    v_decision.reason := 'block';
    v_decision.retry_after_seconds := greatest(
      v_decision.retry_after_seconds, ceil(date_part('epoch', v_until - clock_timestamp()))
    );
  end if;
  return v_decision;
end;
$$;
comment on function bulwark_private.decide_rate_limit(
  text, text[], text[], text, integer, uuid, uuid, uuid, integer
) is
  'Decides a call, or a batch of equal calls: listed networks, blocks, then the buckets of all
   identifiers. Refusals are counted and returned. Errors: RATE_LIMIT_UNKNOWN_RULE,
   RATE_LIMIT_INVALID_COST.';

create function bulwark_private.rate_limit_identifiers(
  subject bulwark.rate_limit_subject,
  user_id uuid,
  api_key_id uuid,
  address text,
  account text,
  out kinds text[],
  out names text[]
)
  returns record
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if subject = 'address_and_account' then
    kinds := array_remove(array[
      case when address is not null then 'address' end,
      case when account is not null then 'account' end
    ], null);
    names := array_remove(array[address, account], null);
  elsif user_id is not null then
    kinds := '{user}';
    names := array[user_id::text];
  elsif api_key_id is not null then
    kinds := '{api_key}';
    names := array[api_key_id::text];
  elsif subject = 'caller' and address is not null then
    kinds := '{address}';
    names := array[address];
  else
    kinds := '{}';
    names := '{}';
  end if;
  -- Callers without an identifier share one bucket.
  if kinds = '{}' or (subject = 'address_and_account' and address is null) then
    kinds := kinds || '{shared}';
    names := names || '{nobody}';
  end if;
end;
$$;
comment on function bulwark_private.rate_limit_identifiers(
  bulwark.rate_limit_subject, uuid, uuid, text, text
) is
  'The identifiers to which a call is charged. Calls without a trusted address share one bucket.';

create function bulwark.check_rate_limit(
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
comment on function bulwark.check_rate_limit(
  text, uuid, uuid, text, text, uuid, integer, integer
) is
  'Decides a call and charges it (service role only). Pass only verified values: user, API key,
   organization (whose override applies), the address as a trusted proxy wrote it, the account of a
   sign-in. Of a batch of equal calls as many are admitted as there are tokens. Refusals are
   returned. A bucket that is locked for more than a second fails the call with 55P03. Errors:
   RATE_LIMIT_UNKNOWN_RULE, RATE_LIMIT_INVALID_COST, RATE_LIMIT_INVALID_CALLS.';
