-- Webhooks turns: what the next claim takes.
-- Protects against a delivery that overtakes one before it where order was asked, and against one
-- endpoint, or one key of an endpoint, that keeps workers from all others: each gets its share, and
-- what looking costs depends on neither how many wait nor how many endpoints there are.
-- No function here is SECURITY DEFINER: claim_webhook_deliveries calls them.

create function private.take_webhook_turns(busy uuid[])
  returns table (endpoint_id uuid, in_order boolean, failing boolean)
  language plpgsql
  volatile
  rows 10
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return query
    -- From one endpoint with something pending to the next: all the others cost nothing.
    with recursive loose (endpoint_id) as (
      (
        select d.endpoint_id from public.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from loose b
      cross join lateral (
        select d.endpoint_id from public.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    ),
    ordered (endpoint_id) as (
      (
        select d.endpoint_id from public.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from ordered b
      cross join lateral (
        select d.endpoint_id from public.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    )
    select e.id, bool_or(w.in_order), h.consecutive_failures >= 3
    from (
      select o.endpoint_id, true as in_order from ordered o
      union all
      select l.endpoint_id, false from loose l
      -- The first in the index. Not "exists": that may read the whole table for what it finds late.
      where (
        select d.due_at from public.webhook_deliveries d
        where d.endpoint_id = l.endpoint_id and d.status = 'pending' and d.ordering_key is null
        order by d.due_at
        limit 1
      ) <= clock_timestamp()
    ) w
    join public.webhook_endpoints e on e.id = w.endpoint_id and e.disabled_at is null
    join public.webhook_endpoint_health h on h.endpoint_id = e.id
    join private.webhook_turns t on t.endpoint_id = e.id
    where e.id <> all (busy)
      and (h.consecutive_failures < 3 or (t.probing_until > clock_timestamp()) is not true)
    group by e.id, h.consecutive_failures
    order by random();
end;
$$;
comment on function private.take_webhook_turns(uuid[]) is
  'The endpoints that have something pending, are not among the busy ones and, where they are
   failing, have no attempt under way, in the order in which they get their turn: by chance.';

create function private.take_webhook_probe(endpoint_id uuid, until timestamptz)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update private.webhook_turns t set probing_until = until
  where t.endpoint_id = (
    select f.endpoint_id
    from private.webhook_turns f
    where f.endpoint_id = take_webhook_probe.endpoint_id
      and (f.probing_until > clock_timestamp()) is not true
    -- Whoever holds it claims for the endpoint at this moment.
    for update skip locked
  );
  return found;
end;
$$;
comment on function private.take_webhook_probe(uuid, timestamptz) is
  'Whether an endpoint that is failing may have an attempt: one, until its result is there or its
   claim has lapsed.';

create function private.end_webhook_probes(endpoint_ids uuid[])
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  update private.webhook_turns t set probing_until = null
  where t.endpoint_id in (
    select f.endpoint_id
    from private.webhook_turns f
    where f.endpoint_id = any (endpoint_ids) and f.probing_until is not null
    -- A claim that holds one may wait for what the caller holds.
    for update skip locked
  );
$$;
comment on function private.end_webhook_probes(uuid[]) is
  'Lets endpoints that are failing have their next attempt.';

create function private.pick_webhooks(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return array(
    select d.id
    from public.webhook_deliveries d
    where d.endpoint_id = pick_webhooks.endpoint_id
      and d.status = 'pending'
      and d.ordering_key is null
      and d.due_at <= clock_timestamp()
    order by d.due_at
    limit maximum
    for update skip locked
  );
end;
$$;
comment on function private.pick_webhooks(uuid, integer) is
  'Locks deliveries of an endpoint that are due and in no order.';

create function private.pick_webhooks_in_order(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  c_endless constant bigint := 9223372036854775807;
  -- However many keys wait, what a claim costs has a bound.
  c_looks constant integer := 250;
  v_free text[] := array[]::text[];
  v_from text;
  v_key record;
  v_locked uuid[];
  v_looks integer := 0;
  v_now timestamptz;
  v_run uuid[];
begin
  -- One at a time picks: behind the lock a new snapshot sees what the one before took.
  if not pg_try_advisory_xact_lock(hashtextextended('bulwark.webhooks/' || endpoint_id, 0)) then
    return array[]::uuid[];
  end if;
  v_now := clock_timestamp();
  select t.ordering_key into v_from
  from private.webhook_turns t where t.endpoint_id = pick_webhooks_in_order.endpoint_id;
  for v_key in
    -- From key to key: those behind the last turn, then those up to it.
    with recursive behind (name, due_at) as (
      (
        select d.ordering_key, d.due_at from public.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (v_from, c_endless)
        order by d.ordering_key, d.sequence
        limit 1
      )
      union all
      select n.*
      from behind b
      cross join lateral (
        select d.ordering_key, d.due_at from public.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (b.name, c_endless)
        order by d.ordering_key, d.sequence
        limit 1
      ) n
    ),
    before (name, due_at) as (
      (
        select d.ordering_key, d.due_at from public.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and d.ordering_key <= v_from
        order by d.ordering_key, d.sequence
        limit 1
      )
      union all
      select n.*
      from before b
      cross join lateral (
        select d.ordering_key, d.due_at from public.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (b.name, c_endless) and d.ordering_key <= v_from
        order by d.ordering_key, d.sequence
        limit 1
      ) n
    )
    select b.* from behind b union all select b.* from before b
  loop
    v_looks := v_looks + 1;
    -- Nothing passes what is under way or waiting for its next attempt.
    if v_key.due_at <= v_now and not exists (
      select from public.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key = v_key.name and d.attempts > 0
        and d.due_at > v_now
    ) then
      v_free := v_free || v_key.name;
    end if;
    exit when v_looks >= c_looks or cardinality(v_free) >= maximum;
  end loop;
  if v_looks >= c_looks or v_free <> '{}' then
    update private.webhook_turns t set ordering_key = v_key.name
    where t.endpoint_id = pick_webhooks_in_order.endpoint_id and t.ordering_key <> v_key.name;
  end if;
  if v_free = '{}' then
    return array[]::uuid[];
  end if;
  -- Of each key a run from its first on.
  v_run := array(
    select r.id
    from unnest(v_free) as f (name)
    cross join lateral (
      select d.id
      from public.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key is not null and d.ordering_key = f.name
      order by d.sequence
      limit maximum / cardinality(v_free)
    ) r
  );
  v_locked := array(
    select d.id
    from public.webhook_deliveries d
    where d.id = any (v_run) and d.status = 'pending' and d.due_at <= v_now
    for update skip locked
  );
  -- What is locked is being completed, late: what comes behind it stays behind it.
  return case when cardinality(v_locked) = cardinality(v_run) then v_run else array(
    select d.id
    from public.webhook_deliveries d
    where d.id = any (v_locked) and not exists (
      select from public.webhook_deliveries b
      where b.id = any (v_run) and b.id <> all (v_locked)
        and b.ordering_key = d.ordering_key and b.sequence < d.sequence
    )
  ) end;
end;
$$;
comment on function private.pick_webhooks_in_order(uuid, integer) is
  'Locks deliveries of an endpoint that are due and in order: of keys of which nothing is under way
   or waiting for another attempt, a run of each from its first on, the keys taking turns.';

revoke all on function
  private.take_webhook_turns(uuid[]), private.take_webhook_probe(uuid, timestamptz),
  private.end_webhook_probes(uuid[]),
  private.pick_webhooks(uuid, integer),
  private.pick_webhooks_in_order(uuid, integer)
  from public, anon, authenticated, service_role;
