-- Webhooks claims: how workers share the outbox.
-- Protects against a delivery that is lost with its worker (a claim lapses and the next worker
-- takes it, under the same id), that is attempted by two at once, or that overtakes one before it
-- where order was asked; and against one endpoint, or one key of an endpoint, that keeps workers
-- from all others: each gets its share, and an endpoint one attempt at a time while it is failing.
-- SECURITY DEFINER: claim_webhook_deliveries, because the service role writes no table.

create view private.webhook_bodies with (security_invoker = true) as
  select
    d.id as delivery_id,
    jsonb_build_object(
      'type', d.event_type,
      'timestamp', to_char(d.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      'severity', d.severity,
      'data', case
        when d.source <> 'audit' and (e.include_details or d.source = 'test') then p.data
        when d.source <> 'audit' then p.data - '{details,resolution_note}'::text[]
        when a.id is null then jsonb_build_object('id', d.event_id, 'removed', true)
        else jsonb_strip_nulls(jsonb_build_object(
          'id', a.id,
          'organization_id', a.organization_id,
          'event_type', a.event_type,
          'source', a.source,
          'result', a.result,
          'resource_type', a.resource_type,
          'resource_id', a.resource_id,
          'action', a.action,
          'actor_type', a.actor_type,
          'actor_id', a.actor_id,
          'correlation_id', a.correlation_id,
          'removed', nullif(a.removed_by is not null, false),
          'ip', case when e.include_details then a.ip end,
          'user_agent', case when e.include_details then a.user_agent end
        ))
        -- Of these a null inside says something: they are told as they are.
        || case
          when e.include_details and a.before is not null
          then jsonb_build_object('before', a.before) else '{}'
        end
        || case
          when e.include_details and a.after is not null
          then jsonb_build_object('after', a.after) else '{}'
        end
        || case
          when e.include_details and a.details is not null
          then jsonb_build_object('details', a.details) else '{}'
        end
      end
    ) as body
  from public.webhook_deliveries d
  left join public.webhook_endpoints e on e.id = d.endpoint_id
  left join public.audit_logs a on a.id = d.event_id and d.source = 'audit'
  left join private.webhook_payloads p on p.delivery_id = d.id;
comment on view private.webhook_bodies is
  'What deliveries say: type, time, severity and data. An audit entry is told as it is now: what
   retention or erasure took is gone.';

create view private.webhook_material with (security_invoker = true) as
  select
    e.id as endpoint_id,
    jsonb_build_object(
      'id', e.id,
      'organization_id', e.organization_id,
      'name', e.name,
      'origin', e.origin,
      'format', e.format,
      'follow_redirects', e.follow_redirects,
      'destination', t.ciphertext,
      'secrets', (
        select jsonb_agg(
          jsonb_build_object('id', s.id, 'ciphertext', s.ciphertext) order by s.created_at desc
        )
        from private.webhook_secrets s
        where s.endpoint_id = e.id
          and (s.expires_at is null or s.expires_at > clock_timestamp())
      )
    ) as material
  from public.webhook_endpoints e
  join private.webhook_destinations t on t.endpoint_id = e.id;
comment on view private.webhook_material is
  'What delivering needs of an endpoint: sealed address, and the sealed secrets that sign now, the
   newest first.';

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
      where exists (
        select from public.webhook_deliveries d
        where d.endpoint_id = l.endpoint_id and d.status = 'pending' and d.ordering_key is null
          and d.due_at <= clock_timestamp()
      )
    ) w
    join public.webhook_endpoints e on e.id = w.endpoint_id and e.disabled_at is null
    join public.webhook_endpoint_health h on h.endpoint_id = e.id
    where e.id <> all (busy)
    group by e.id, h.consecutive_failures
    order by random();
end;
$$;
comment on function private.take_webhook_turns(uuid[]) is
  'The endpoints that have something pending and are not among the busy ones, in the order in which
   they get their turn: by chance.';

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
  if v_free = '{}' and v_looks < c_looks then
    return array[]::uuid[];
  end if;
  update private.webhook_turns t set ordering_key = v_key.name
  where t.endpoint_id = pick_webhooks_in_order.endpoint_id and t.ordering_key <> v_key.name;
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

create function public.claim_webhook_deliveries(
  worker text,
  maximum integer default 100,
  lease_seconds integer default 60,
  only_delivery uuid default null,
  busy_endpoints uuid[] default '{}'
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_claimed jsonb;
  v_lapsed uuid[];
  v_now constant timestamptz := clock_timestamp();
  v_picked uuid[] := array[]::uuid[];
  v_share integer;
  v_some uuid[];
  v_turn record;
begin
  if worker is null or worker !~ '^[\w.:-]{1,64}$' or maximum not between 1 and 1000
    or lease_seconds not between 5 and 3600 then
    raise exception 'Cannot claim deliveries: worker, maximum or lease are out of range'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_CLAIM';
  end if;
  if only_delivery is not null then
    v_picked := array(
      select d.id from public.webhook_deliveries d
      where d.id = only_delivery and d.status = 'pending' and d.due_at <= v_now
      for update skip locked
    );
  else
    for v_turn in
      select t.*, row_number() over () as place, count(*) over () as places
      from private.take_webhook_turns(coalesce(busy_endpoints, '{}')) t
    loop
      exit when cardinality(v_picked) >= maximum;
      v_share := case
        when v_turn.failing then 1
        else ceil(
          (maximum - cardinality(v_picked))::numeric / (v_turn.places - v_turn.place + 1)
        )
      end;
      v_some := private.pick_webhooks(v_turn.endpoint_id, v_share);
      if v_turn.in_order and cardinality(v_some) < v_share then
        v_some := v_some || private.pick_webhooks_in_order(
          v_turn.endpoint_id, v_share - cardinality(v_some)
        );
      end if;
      v_picked := v_picked || v_some;
    end loop;
  end if;
  if v_picked = '{}' then
    return jsonb_build_object('deliveries', '[]'::jsonb, 'endpoints', '[]'::jsonb);
  end if;
  -- A claim that lapsed: its worker never said how the attempt ended.
  v_lapsed := array(
    select d.id from public.webhook_deliveries d
    where d.id = any (v_picked) and d.attempt_id is not null
  );
  if v_lapsed <> '{}' then
    insert into public.webhook_attempts (id, delivery_id, number, outcome, worker, started_at)
    select d.attempt_id, d.id, d.attempts, 'lost', d.claimed_by, d.claimed_at
    from public.webhook_deliveries d
    where d.id = any (v_lapsed);
    update public.webhook_deliveries d
    set status = 'dead', finished_at = v_now, attempt_id = null
    where d.id = any (v_lapsed)
      and d.attempts - d.attempts_before
        >= (private.setting('webhooks.maximum_attempts'))::integer;
  end if;
  with claimed as (
    update public.webhook_deliveries d
    set attempt_id = gen_random_uuid(),
      attempts = d.attempts + 1,
      claimed_by = worker,
      claimed_at = clock_timestamp(),
      due_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.id = any (v_picked) and d.status = 'pending'
    returning d.id, d.sequence, d.endpoint_id, d.attempt_id, d.attempts, d.ordering_key
  )
  select jsonb_build_object(
    'deliveries', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', c.id,
            'attempt_id', c.attempt_id,
            'attempt', c.attempts,
            'endpoint_id', c.endpoint_id,
            'ordering_key', c.ordering_key,
            'body', b.body
          )
          order by c.sequence
        ),
        '[]'
      )
      from claimed c
      join private.webhook_bodies b on b.delivery_id = c.id
    ),
    'endpoints', (
      select coalesce(jsonb_agg(m.material), '[]')
      from private.webhook_material m
      where m.endpoint_id in (select c.endpoint_id from claimed c)
    )
  )
  into v_claimed;
  return v_claimed;
end;
$$;
comment on function public.claim_webhook_deliveries(text, integer, integer, uuid, uuid[]) is
  'Takes up to maximum deliveries that are due for a worker, until the lease ends, and returns them
   with the sealed addresses and secrets of their endpoints (service role only). Each endpoint gets
   its share, one of busy_endpoints none: of those the worker has enough. only_delivery takes that
   one, also of an endpoint that is disabled. Errors: WEBHOOK_INVALID_CLAIM.';

revoke all on private.webhook_bodies, private.webhook_material
  from public, anon, authenticated, service_role;
revoke all on function
  private.take_webhook_turns(uuid[]), private.pick_webhooks(uuid, integer),
  private.pick_webhooks_in_order(uuid, integer),
  public.claim_webhook_deliveries(text, integer, integer, uuid, uuid[])
  from public, anon, authenticated, service_role;
grant execute on function
  public.claim_webhook_deliveries(text, integer, integer, uuid, uuid[])
  to service_role;
