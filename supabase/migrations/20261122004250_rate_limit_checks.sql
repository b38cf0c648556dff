-- Decisions: whether a call may go on, for functions that ask and for the Data API itself.
-- Protects against callers who choose their own bucket: only the service role asks, with identifiers
-- that it has verified. Several buckets are charged all or none: what is refused for its address
-- takes nothing from the account it is about.
-- SECURITY DEFINER: check_rate_limit, rate_limit_rule, rate_limit_block_of and record_rate_limit_denial,
--   because not even the service role reads or writes buckets.

create type private.rate_limit_decision as (
  allowed boolean,
  reason text,
  rule text,
  capacity integer,
  window_seconds integer,
  remaining integer,
  reset_seconds integer,
  retry_after_seconds integer
);
comment on type private.rate_limit_decision is
  'A decision: reason is rate or block where it is no; reset is when the bucket is full again, retry
   after when the same call would be let through (null where it was).';

create table private.known_networks (
  owner uuid not null,
  network uuid not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  constraint known_networks_pkey primary key (owner, network)
);
comment on table private.known_networks is
  'From which networks an account has signed in or an API key was used, both hashed. Not audited: it
   follows from sign-ins that are.';
create index known_networks_last_seen_at_idx on private.known_networks (last_seen_at);
alter table private.known_networks enable row level security;

create function private.decide_rate_limit(
  rule text,
  kinds text[],
  names text[],
  address text,
  cost integer,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid
)
  returns private.rate_limit_decision
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_address text := address;
  v_admitted uuid[];
  v_buckets uuid[];
  v_cost interval;
  v_decision private.rate_limit_decision;
  v_denied uuid[];
  v_full_at timestamptz;
  v_lists public.network_verdict[];
  v_present timestamptz;
  v_salt bytea;
  v_scope text;
  v_until timestamptz;
  v_whole interval;
  v_waits timestamptz;
begin
  select
    r.name, coalesce(o.capacity, r.capacity), coalesce(o.window_seconds, r.window_seconds),
    concat(r.name, '/', o.id, '/'), s.salt
  into
    v_decision.rule, v_decision.capacity, v_decision.window_seconds, v_scope, v_salt
  from public.rate_limit_rules r
  cross join private.rate_limit_salt s
  left join lateral (
    select v.id, v.capacity, v.window_seconds
    from public.rate_limit_overrides v
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
    perform private.require_rate_limit_rule(rule);
  end if;
  if cost is null or cost not between 1 and v_decision.capacity then
    raise exception 'Cannot limit: a call under % costs 1 to % tokens', rule, v_decision.capacity
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_COST';
  end if;

  if v_address is not null then
    select array_agg(n.verdict) into v_lists
    from public.rate_limit_networks n
    where n.network >>= v_address::inet
      and (n.expires_at is null or n.expires_at > now());
    if 'allow' = any (v_lists) then
      select coalesce(array_agg(i.kind), '{}'), coalesce(array_agg(i.name), '{}')
      into kinds, names
      from unnest(kinds, names) as i (kind, name)
      where i.kind <> 'address';
      v_address := null;
    elsif 'block' = any (v_lists) then
      v_until := now() + interval '1 day';
    end if;
  end if;
  if v_until is null and (v_address is not null or 'api_key' = any (kinds)) then
    v_until := private.blocked_until(array(
      select encode(
        substring(sha256(v_salt || convert_to(concat('block/', b.kind, '/', b.name), 'UTF8'))
          from 1 for 16),
        'hex'
      )::uuid
      from private.blockable(kinds, names, v_address) b
      union all
      -- A blocked address is blocked for every rule, also for those that ask about the user only.
      select encode(
        substring(sha256(v_salt || convert_to(concat('block/address/', v_address), 'UTF8'))
          from 1 for 16),
        'hex'
      )::uuid
      where v_address is not null
    ));
  end if;
  if v_until is not null then
    v_decision.allowed := false;
    v_decision.reason := 'block';
    v_decision.remaining := 0;
    v_decision.reset_seconds := ceil(date_part('epoch', v_until - clock_timestamp()));
    v_decision.retry_after_seconds := greatest(v_decision.reset_seconds, 1);
    return v_decision;
  end if;
  if kinds = '{}' then
    v_decision.allowed := true;
    v_decision.remaining := v_decision.capacity;
    v_decision.reset_seconds := 0;
    return v_decision;
  end if;

  -- Rounded up to the microsecond, so that never more than the rule says is let through.
  v_cost := interval '1 microsecond'
    * ceil(v_decision.window_seconds::float8 * 1000000 / v_decision.capacity);
  v_whole := v_cost * v_decision.capacity;
  v_cost := v_cost * cost;
  v_buckets := array(
    select encode(
      substring(sha256(v_salt || convert_to(concat(v_scope, i.kind, '/', i.name), 'UTF8'))
        from 1 for 16),
      'hex'
    )::uuid
    from unnest(kinds, names) as i (kind, name)
  );
  select
    max(c.full_at), max(c.full_at) filter (where not c.admitted),
    array_agg(c.id) filter (where c.admitted), array_agg(c.id) filter (where not c.admitted),
    clock_timestamp()
  into v_full_at, v_waits, v_admitted, v_denied, v_present
  from private.charge_buckets(v_buckets, v_cost, v_whole) c;
  if v_denied is not null and v_admitted is not null then
    -- Nobody has seen these charges: the rows are locked until this transaction ends.
    update private.rate_limits b
    set full_at = b.full_at - v_cost
    where b.id = any (v_admitted);
  end if;
  v_decision.allowed := v_denied is null;
  v_decision.remaining := greatest(0, floor(
    date_part('epoch', v_present + v_whole - v_full_at) / date_part('epoch', v_cost) * cost
  ));
  v_decision.reset_seconds := ceil(greatest(0, date_part('epoch', v_full_at - v_present)));
  if v_decision.allowed then
    return v_decision;
  end if;
  v_decision.reason := 'rate';
  v_decision.remaining := least(v_decision.remaining, cost - 1);
  v_decision.retry_after_seconds := greatest(
    1, ceil(date_part('epoch', v_waits + v_cost - v_whole - v_present))
  );
  select
    private.note_denial(
      decide_rate_limit.rule, array_agg(i.kind), array_agg(i.name), v_address,
      decide_rate_limit.organization_id, decide_rate_limit.user_id, decide_rate_limit.api_key_id
    )
  into v_until
  from unnest(kinds, names, v_buckets) as i (kind, name, bucket)
  where i.bucket = any (v_denied);
  if v_until is not null then
    v_decision.reason := 'block';
    v_decision.retry_after_seconds := greatest(
      v_decision.retry_after_seconds, ceil(date_part('epoch', v_until - v_present))
    );
  end if;
  return v_decision;
end;
$$;
comment on function private.decide_rate_limit(
  text, text[], text[], text, integer, uuid, uuid, uuid
) is
  'Decides one call: lists, blocks, then the buckets of all identifiers, all or none; a refusal is
   counted and returned, never raised. Errors: RATE_LIMIT_UNKNOWN_RULE, RATE_LIMIT_INVALID_COST.';

create function private.rate_limit_identifiers(
  subject public.rate_limit_subject,
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
  -- Whoever cannot be told apart shares one bucket.
  if kinds = '{}' or (subject = 'address_and_account' and address is null) then
    kinds := kinds || '{shared}';
    names := names || '{nobody}';
  end if;
end;
$$;
comment on function private.rate_limit_identifiers(
  public.rate_limit_subject, uuid, uuid, text, text
) is
  'Whose buckets a call is charged to. Without an address that can be trusted: one that everybody
   shares.';

create function public.check_rate_limit(
  rule text,
  user_id uuid default null,
  api_key_id uuid default null,
  address text default null,
  account text default null,
  organization_id uuid default null,
  cost integer default 1
)
  returns table (
    allowed boolean,
    reason text,
    capacity integer,
    window_seconds integer,
    remaining integer,
    reset_seconds integer,
    retry_after_seconds integer,
    when_store_fails public.rate_limit_failure
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
#variable_conflict use_variable
declare
  v_address constant text := private.client_network(address);
  v_decision private.rate_limit_decision;
  v_failure public.rate_limit_failure;
  v_identifiers record;
  v_subject public.rate_limit_subject;
begin
  select r.identified_by, r.when_store_fails into v_subject, v_failure
  from public.rate_limit_rules r where r.name = rule;
  v_identifiers := private.rate_limit_identifiers(
    v_subject, user_id, api_key_id, v_address, lower(btrim(left(account, 320)))
  );
  v_decision := private.decide_rate_limit(
    rule, v_identifiers.kinds, v_identifiers.names, v_address, cost, organization_id, user_id,
    api_key_id
  );
  if v_decision.allowed and api_key_id is not null and v_address is not null then
    perform private.note_key_network(api_key_id, organization_id, v_address);
  end if;
  allowed := v_decision.allowed;
  reason := v_decision.reason;
  capacity := v_decision.capacity;
  window_seconds := v_decision.window_seconds;
  remaining := v_decision.remaining;
  reset_seconds := v_decision.reset_seconds;
  retry_after_seconds := v_decision.retry_after_seconds;
  when_store_fails := v_failure;
  return next;
end;
$$;
comment on function public.check_rate_limit(text, uuid, uuid, text, text, uuid, integer) is
  'Decides whether a call may go on and charges it, in a transaction of its own (service role only).
   The caller has verified what it passes: user, API key, organization (whose override applies), the
   address as a trusted proxy wrote it, the account that is being tried. A refusal is a row like any
   other. Errors: RATE_LIMIT_UNKNOWN_RULE, RATE_LIMIT_INVALID_COST.';

create function private.note_key_network(api_key_id uuid, organization_id uuid, address text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_owner constant uuid := private.rate_limit_hash('key/' || api_key_id);
  v_network constant uuid := private.rate_limit_hash('network/' || address);
  v_seen timestamptz;
begin
  select k.last_seen_at into v_seen
  from private.known_networks k where k.owner = v_owner and k.network = v_network;
  if v_seen > now() - interval '1 day' then
    return;
  end if;
  if v_seen is null and exists (
    select from private.known_networks k where k.owner = v_owner
  ) then
    perform private.raise_security_event(
      'key_from_new_network', organization_id, null, api_key_id::text,
      jsonb_build_object('network', v_network)
    );
  end if;
  insert into private.known_networks as k (owner, network)
  values (v_owner, v_network)
  on conflict on constraint known_networks_pkey do update set last_seen_at = excluded.last_seen_at;
end;
$$;
comment on function private.note_key_network(uuid, uuid, text) is
  'Remembers from where an API key is used; from the second network on a new one is a security
   event.';

create function public.rate_limit_rule(
  rule text,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns table (
    capacity integer,
    window_seconds integer,
    identified_by public.rate_limit_subject,
    when_store_fails public.rate_limit_failure,
    scope text
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer for the same reach as its siblings
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform private.require_rate_limit_rule(rule);
  return query
    select
      coalesce(o.capacity, r.capacity)::integer,
      coalesce(o.window_seconds, r.window_seconds)::integer, r.identified_by, r.when_store_fails, concat(r.name, '/', o.id)
    from public.rate_limit_rules r
    left join lateral (
      select v.*
      from public.rate_limit_overrides v
      where v.rule = r.name
        and (v.api_key_id = api_key_id or v.organization_id = organization_id)
      order by v.api_key_id nulls last
      limit 1
    ) o on true
    where r.name = rule;
end;
$$;
comment on function public.rate_limit_rule(text, uuid, uuid) is
  'A rule as it applies there, for a store outside the database and for when the database is away
   (service role only). Errors: RATE_LIMIT_UNKNOWN_RULE.';

create function public.rate_limit_block_of(
  rule text,
  user_id uuid default null,
  api_key_id uuid default null,
  address text default null,
  account text default null
)
  returns table (allowed boolean, retry_after_seconds integer)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because blocks are kept under a secret salt
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_address text := private.client_network(address);
  v_identifiers record;
  v_lists public.network_verdict[];
  v_until timestamptz;
begin
  v_identifiers := private.rate_limit_identifiers(
    (select r.identified_by from public.rate_limit_rules r where r.name = rule),
    user_id, api_key_id, v_address, lower(btrim(left(account, 320)))
  );
  select array_agg(n.verdict) into v_lists
  from public.rate_limit_networks n
  where n.network >>= v_address::inet and (n.expires_at is null or n.expires_at > now());
  allowed := coalesce('allow' = any (v_lists), false);
  if not allowed then
    v_until := case
      when 'block' = any (v_lists) then now() + interval '1 day'
      else private.blocked_until(array(
        select private.rate_limit_hash(concat('block/', b.kind, '/', b.name))
        from private.blockable(
          v_identifiers.kinds || '{address}', v_identifiers.names || v_address, v_address
        ) b
        where b.name is not null
      ))
    end;
    -- greatest() alone would make a second of a null.
    retry_after_seconds := case when v_until is not null then
      greatest(1, ceil(date_part('epoch', v_until - clock_timestamp())))
    end;
  end if;
  return next;
end;
$$;
comment on function public.rate_limit_block_of(text, uuid, uuid, text, text) is
  'For a store outside the database (service role only): whether the address is on the list of those
   that are always allowed, and for how many more seconds the caller is blocked (null: not at all).';

create function public.record_rate_limit_denial(
  rule text,
  kinds text[],
  names text[],
  address text default null,
  organization_id uuid default null,
  user_id uuid default null,
  api_key_id uuid default null
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes blocks
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  perform private.require_rate_limit_rule(rule);
  if coalesce(cardinality(kinds), 0) not between 1 and 4
    or cardinality(kinds) is distinct from cardinality(names)
    or not kinds <@ '{address,user,api_key,account,shared}' or array_position(names, null) > 0 then
    raise exception 'Cannot record the refusal: 1 to 4 kinds of identifiers, and as many names'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_IDENTIFIERS';
  end if;
  v_until := private.note_denial(
    rule, kinds, names, private.client_network(address), organization_id, user_id, api_key_id
  );
  return ceil(date_part('epoch', v_until - clock_timestamp()));
end;
$$;
comment on function public.record_rate_limit_denial(
  text, text[], text[], text, uuid, uuid, uuid
) is
  'Counts a refusal that a store outside the database made (service role only); returns for how many
   seconds that blocks the caller, or null. Errors: RATE_LIMIT_UNKNOWN_RULE,
   RATE_LIMIT_INVALID_IDENTIFIERS.';

revoke all on function
  private.decide_rate_limit(text, text[], text[], text, integer, uuid, uuid, uuid),
  private.rate_limit_identifiers(public.rate_limit_subject, uuid, uuid, text, text),
  private.note_key_network(uuid, uuid, text),
  public.check_rate_limit(text, uuid, uuid, text, text, uuid, integer),
  public.rate_limit_rule(text, uuid, uuid),
  public.rate_limit_block_of(text, uuid, uuid, text, text),
  public.record_rate_limit_denial(text, text[], text[], text, uuid, uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.check_rate_limit(text, uuid, uuid, text, text, uuid, integer),
  public.rate_limit_rule(text, uuid, uuid),
  public.rate_limit_block_of(text, uuid, uuid, text, text),
  public.record_rate_limit_denial(text, text[], text[], text, uuid, uuid, uuid)
  to service_role;
