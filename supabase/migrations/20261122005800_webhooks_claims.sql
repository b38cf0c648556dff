-- Webhooks claims: how workers share the outbox.
-- Protects against a delivery that is lost with its worker (a claim lapses and the next worker takes
-- it, under the same id), that is attempted by two at once, or that overtakes one before it where
-- order was asked; and against one endpoint that keeps workers from all others: each gets its share,
-- and one attempt at a time while it is failing.
-- SECURITY DEFINER: claim_webhook_deliveries, because the service role writes no table.

create function private.webhook_entry_data(entry_id uuid, include_details boolean)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry public.audit_logs;
begin
  select * into v_entry from public.audit_logs e where e.id = entry_id;
  if not found then
    return jsonb_build_object('id', entry_id, 'removed', true);
  end if;
  return jsonb_strip_nulls(
    jsonb_build_object(
      'id', v_entry.id,
      'organization_id', v_entry.organization_id,
      'event_type', v_entry.event_type,
      'source', v_entry.source,
      'result', v_entry.result,
      'resource_type', v_entry.resource_type,
      'resource_id', v_entry.resource_id,
      'action', v_entry.action,
      'actor_type', v_entry.actor_type,
      'actor_id', v_entry.actor_id,
      'correlation_id', v_entry.correlation_id,
      'removed', nullif(v_entry.removed_by is not null, false)
    ) || case when include_details then jsonb_build_object(
      'ip', v_entry.ip,
      'user_agent', v_entry.user_agent,
      'before', v_entry.before,
      'after', v_entry.after,
      'details', v_entry.details
    ) else '{}' end
  );
end;
$$;
comment on function private.webhook_entry_data(uuid, boolean) is
  'An audit entry as deliveries tell of it, as it is now: what retention or erasure took is gone.';

create function private.webhook_body(delivery public.webhook_deliveries, include_details boolean)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_build_object(
    'type', delivery.event_type,
    'timestamp', to_char(
      delivery.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ),
    'severity', delivery.severity,
    'data', case
      when delivery.source = 'audit'
      then private.webhook_entry_data(delivery.event_id, include_details)
      else (
        select case
          when include_details or delivery.source = 'test' then p.data else p.data - 'details'
        end
        from private.webhook_payloads p
        where p.delivery_id = delivery.id
      )
    end
  );
end;
$$;
comment on function private.webhook_body(public.webhook_deliveries, boolean) is
  'What a delivery says: type, time, severity and data.';

create function private.pick_webhook_deliveries(
  endpoint_id uuid,
  ordering public.webhook_ordering,
  maximum integer
)
  returns setof uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_picked integer;
  v_run uuid[];
begin
  return query
    select d.id
    from public.webhook_deliveries d
    where d.endpoint_id = pick_webhook_deliveries.endpoint_id
      and d.status = 'pending'
      and d.ordering_key is null
      and d.due_at <= v_now
    order by d.due_at
    limit maximum
    for update skip locked;
  get diagnostics v_picked = row_count;
  -- One at a time picks in order: behind the lock a new snapshot sees what the one before took.
  if ordering = 'none' or v_picked >= maximum or not pg_try_advisory_xact_lock(
    hashtextextended('bulwark.webhooks/' || endpoint_id, 0)
  ) then
    return;
  end if;
  v_now := clock_timestamp();
  v_run := array(
    select d.id
    from public.webhook_deliveries d
    where d.endpoint_id = pick_webhook_deliveries.endpoint_id
      and d.status = 'pending'
      and d.ordering_key is not null
      and d.due_at <= v_now
      -- Nothing passes what is under way or waiting for its next attempt.
      and d.ordering_key not in (
        select b.ordering_key
        from public.webhook_deliveries b
        where b.endpoint_id = pick_webhook_deliveries.endpoint_id
          and b.status = 'pending'
          and b.ordering_key is not null
          and b.attempts > 0
          and b.due_at > v_now
      )
    order by d.sequence
    limit maximum - v_picked
    for update skip locked
  );
  -- What is locked is being completed, late: what comes behind it stays behind it.
  return query
    with left_out as materialized (
      select d.ordering_key, min(d.sequence) as first
      from public.webhook_deliveries d
      where d.endpoint_id = pick_webhook_deliveries.endpoint_id
        and d.status = 'pending'
        and d.ordering_key is not null
        and d.sequence < (
          select max(r.sequence) from public.webhook_deliveries r where r.id = any (v_run)
        )
        and d.id <> all (v_run)
      group by d.ordering_key
    )
    select d.id
    from public.webhook_deliveries d
    left join left_out l on l.ordering_key = d.ordering_key
    where d.id = any (v_run) and (l.first > d.sequence) is not false;
end;
$$;
comment on function private.pick_webhook_deliveries(uuid, public.webhook_ordering, integer) is
  'Locks deliveries of an endpoint that are due; of those in order a run of each key from its
   first on, as long as none of the key is under way elsewhere.';

create function public.claim_webhook_deliveries(
  worker text,
  maximum integer default 100,
  lease_seconds integer default 60,
  only_delivery uuid default null
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claimed jsonb;
  v_endpoint record;
  v_now constant timestamptz := clock_timestamp();
  v_picked uuid[] := array[]::uuid[];
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
    for v_endpoint in
      select
        e.id, e.ordering, h.consecutive_failures,
        row_number() over turns as turn, count(*) over () as endpoints
      from public.webhook_endpoints e
      join public.webhook_endpoint_health h on h.endpoint_id = e.id
      where e.disabled_at is null
        and (
          exists (
            select from public.webhook_deliveries d
            where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is null
              and d.due_at <= v_now
          )
          or e.ordering <> 'none' and exists (
            select from public.webhook_deliveries d
            where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is not null
              and d.due_at <= v_now
          )
        )
      window turns as (order by random())
      order by turn
    loop
      exit when cardinality(v_picked) >= maximum;
      v_picked := v_picked || array(
        select private.pick_webhook_deliveries(
          v_endpoint.id, v_endpoint.ordering,
          case
            when v_endpoint.consecutive_failures >= 3 then 1
            else ceil(
              (maximum - cardinality(v_picked))::numeric
              / (v_endpoint.endpoints - v_endpoint.turn + 1)
            )::integer
          end
        )
      );
    end loop;
  end if;
  -- A claim that lapsed: its worker never said how the attempt ended.
  insert into public.webhook_attempts (id, delivery_id, number, outcome, worker, started_at)
  select d.attempt_id, d.id, d.attempts, 'lost', d.claimed_by, d.claimed_at
  from public.webhook_deliveries d
  where d.id = any (v_picked) and d.attempt_id is not null;
  update public.webhook_deliveries d
  set status = 'dead', finished_at = v_now, attempt_id = null
  where d.id = any (v_picked)
    and d.attempts - d.attempts_before
      >= (private.setting('webhooks.maximum_attempts'))::integer;
  with claimed as (
    update public.webhook_deliveries d
    set attempt_id = gen_random_uuid(),
      attempts = d.attempts + 1,
      claimed_by = worker,
      claimed_at = clock_timestamp(),
      due_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.id = any (v_picked) and d.status = 'pending'
    returning d as delivery
  )
  select jsonb_agg(
    jsonb_build_object(
      'id', (c.delivery).id,
      'attempt_id', (c.delivery).attempt_id,
      'attempt', (c.delivery).attempts,
      'endpoint_id', (c.delivery).endpoint_id,
      'ordering_key', (c.delivery).ordering_key,
      'body', private.webhook_body(c.delivery, coalesce(e.include_details, false))
    )
    order by (c.delivery).sequence
  )
  into v_claimed
  from claimed c
  left join public.webhook_endpoints e on e.id = (c.delivery).endpoint_id;
  return jsonb_build_object(
    'deliveries', coalesce(v_claimed, '[]'),
    'endpoints', coalesce(private.webhook_material(v_picked), '[]')
  );
end;
$$;
comment on function public.claim_webhook_deliveries(text, integer, integer, uuid) is
  'Takes up to maximum deliveries that are due for a worker, until the lease ends, and returns them
   with the sealed addresses and secrets of their endpoints (service role only). only_delivery takes
   that one, also of an endpoint that is disabled. Errors: WEBHOOK_INVALID_CLAIM.';

create function private.webhook_material(deliveries uuid[])
  returns jsonb
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_agg(jsonb_build_object(
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
  ))
  from public.webhook_endpoints e
  join private.webhook_destinations t on t.endpoint_id = e.id
  where e.id in (
    select d.endpoint_id from public.webhook_deliveries d where d.id = any (deliveries)
  );
$$;
comment on function private.webhook_material(uuid[]) is
  'What delivering needs of the endpoints: sealed address, and the sealed secrets that sign now,
   the newest first.';

revoke all on function
  private.webhook_entry_data(uuid, boolean),
  private.webhook_body(public.webhook_deliveries, boolean),
  private.pick_webhook_deliveries(uuid, public.webhook_ordering, integer),
  private.webhook_material(uuid[]),
  public.claim_webhook_deliveries(text, integer, integer, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.claim_webhook_deliveries(text, integer, integer, uuid)
  to service_role;
