-- Webhooks results: outcomes of attempts, retries, and the disabling of failing endpoints.
-- Protects against a result that counts twice, and against retries that come all at once.
-- SECURITY DEFINER: complete_webhook_deliveries, because the service role writes no table.

create function bulwark_private.webhook_wait(attempt bigint, retry_after_seconds integer)
  returns interval
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_maximum constant double precision := (
    bulwark_private.setting('webhooks.retry_maximum_seconds')
  )::double precision;
begin
  return make_interval(secs => greatest(
    least(
      v_maximum,
      (bulwark_private.setting('webhooks.retry_base_seconds'))::double precision
      * power(
        (bulwark_private.setting('webhooks.retry_factor'))::double precision, least(attempt, 64) - 1
      )
    ) * (0.5 + random()),
    least(coalesce(retry_after_seconds, 0), v_maximum)
  ));
end;
$$;
comment on function bulwark_private.webhook_wait(bigint, integer) is
  'The delay after failed attempt number attempt (from 1): exponential with 50 % jitter, and at
   least the Retry-After of the receiver.';

create function bulwark.complete_webhook_deliveries(results jsonb)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_maximum constant integer := (bulwark_private.setting('webhooks.maximum_attempts'))::integer;
  v_now constant timestamptz := clock_timestamp();
  v_endpoint record;
  v_endpoints uuid[];
  v_taken bigint := 0;
begin
  if jsonb_typeof(results) is distinct from 'array' then
    raise exception 'Cannot complete deliveries: the results are not a list'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_RESULTS';
  end if;
  -- Claimed but not attempted: unchanged, and due again.
  with returned as (
    update bulwark.webhook_deliveries d
    set attempt_id = null, attempts = d.attempts - 1, due_at = v_now, claimed_by = null,
      claimed_at = null
    from jsonb_to_recordset(results) as r (attempt_id uuid, delivery_id uuid, outcome text)
    where d.id = r.delivery_id and d.attempt_id = r.attempt_id and r.outcome is null
    returning d.endpoint_id
  )
  select coalesce(array_agg(r.endpoint_id), '{}') into v_endpoints from returned r;
  for v_endpoint in
    with finished as (
      update bulwark.webhook_deliveries d
      set attempt_id = null,
        status = case
          when r.outcome = 'delivered' then 'delivered'
          when d.attempts - d.attempts_before >= v_maximum then 'dead'
          else 'pending'
        end::bulwark.webhook_delivery_status,
        finished_at = case
          when r.outcome = 'delivered' or d.attempts - d.attempts_before >= v_maximum then v_now
        end,
        due_at = case
          when r.outcome = 'delivered' then v_now
          else v_now
            + bulwark_private.webhook_wait(d.attempts - d.attempts_before, r.retry_after_seconds)
        end
      from jsonb_to_recordset(results) as r (
        attempt_id uuid, delivery_id uuid, outcome bulwark.webhook_outcome, status smallint,
        latency_ms bigint, response text, retry_after_seconds integer
      )
      where d.id = r.delivery_id and d.attempt_id = r.attempt_id and r.outcome is not null
      returning
        r.attempt_id, d.id, d.endpoint_id, d.attempts, r.outcome, d.claimed_by, d.claimed_at,
        r.latency_ms, r.status, left(r.response, 1024) as response
    ),
    logged as (
      insert into bulwark.webhook_attempts (
        id, delivery_id, number, outcome, worker, started_at, latency_ms, status, response
      )
      select
        f.attempt_id, f.id, f.attempts, f.outcome, f.claimed_by, f.claimed_at, f.latency_ms,
        f.status, f.response
      from finished f
    )
    select
      f.endpoint_id,
      count(*) as attempts,
      count(*) filter (where f.outcome <> 'delivered') as failures,
      -- A slow failure occupies a worker like a timeout.
      count(*) filter (
        where f.outcome = 'timed_out' or f.outcome <> 'delivered' and f.latency_ms >= 5000
      ) as timeouts,
      coalesce(bool_or(f.status = 410), false) as gone
    from finished f
    group by f.endpoint_id
    order by f.endpoint_id
  loop
    v_endpoints := v_endpoints || v_endpoint.endpoint_id;
    v_taken := v_taken + v_endpoint.attempts;
    perform bulwark_private.note_webhook_health(
      v_endpoint.endpoint_id, v_endpoint.attempts - v_endpoint.failures, v_endpoint.failures,
      v_endpoint.timeouts, v_endpoint.gone
    );
  end loop;
  -- Another worker has the delivery by now, but the outcome of this attempt is recorded.
  if v_taken < jsonb_array_length(results) then
    update bulwark.webhook_attempts a
    set outcome = r.outcome, status = r.status, latency_ms = r.latency_ms,
      response = left(r.response, 1024)
    from jsonb_to_recordset(results) as r (
      attempt_id uuid, delivery_id uuid, outcome bulwark.webhook_outcome, status smallint,
      latency_ms bigint, response text
    )
    where a.delivery_id = r.delivery_id and a.id = r.attempt_id and a.outcome = 'lost'
      and r.outcome is not null
      -- Deliveries that are being pruned take their attempts along.
      and a.delivery_id in (
        select d.id from bulwark.webhook_deliveries d
        where d.id in (
          select r.delivery_id from jsonb_to_recordset(results) as r (delivery_id uuid)
        )
        for key share skip locked
      );
  end if;
  perform bulwark_private.end_webhook_attempts(v_endpoints);
  return v_taken;
end;
$$;
comment on function bulwark.complete_webhook_deliveries(jsonb) is
  'Records results of attempts (service role only): a list of delivery_id, attempt_id, outcome
   (null: not attempted), status, latency_ms, response, retry_after_seconds. Idempotent: each
   attempt is recorded once. Returns how many were recorded. Errors: WEBHOOK_INVALID_RESULTS.';

create function bulwark_private.note_webhook_health(
  endpoint_id uuid,
  successes bigint,
  failures bigint,
  timeouts bigint,
  gone boolean
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Repeated successes change nothing, so nothing is locked or written.
  if failures = 0 and not exists (
    select from bulwark.webhook_endpoint_health h
    where h.endpoint_id = note_webhook_health.endpoint_id
      and (h.consecutive_failures > 0 or not h.proven)
  ) then
    return;
  end if;
  -- One worker at a time counts for an endpoint, in the order of endpoints. None waits for the row
  -- itself: somebody who deletes several endpoints locks them in another order, which would be a
  -- deadlock. The count is lost then.
  perform pg_advisory_xact_lock(hashtextextended('bulwark.webhook_health/' || endpoint_id, 0));
  update bulwark.webhook_endpoint_health h
  set consecutive_failures = case
      when successes > 0 then 0
      else h.consecutive_failures + failures
    end,
    -- The timeouts of a batch count once, and only if they outnumber its successes.
    consecutive_timeouts = case
      when timeouts > successes then h.consecutive_timeouts + 1
      else 0
    end,
    proven = timeouts <= successes
      and (successes > 0 or h.proven and h.consecutive_failures + failures < 3),
    failing_since = case
      when successes = 0 then coalesce(h.failing_since, clock_timestamp())
    end,
    last_failure_at = case when failures > 0 then clock_timestamp() else h.last_failure_at end
  where h.endpoint_id = (
    select f.endpoint_id
    from bulwark.webhook_endpoint_health f
    where f.endpoint_id = note_webhook_health.endpoint_id
    for update skip locked
  );
  if gone or successes = 0 then
    perform bulwark_private.disable_failing_webhook(endpoint_id, gone);
  end if;
end;
$$;
comment on function bulwark_private.note_webhook_health(uuid, bigint, bigint, bigint, boolean) is
  'Updates the consecutive failures and timeouts of an endpoint and whether it is proven, and
   disables it after too many failures over too long a time.';

create function bulwark_private.disable_failing_webhook(endpoint_id uuid, gone boolean)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint record;
begin
  update bulwark.webhook_endpoints e
  set disabled_at = clock_timestamp(),
    disabled_reason = case when gone then 'gone' else 'failing' end
  where e.id = (
    select e.id
    from bulwark.webhook_endpoints e
    join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id
    where e.id = disable_failing_webhook.endpoint_id
      and e.disabled_at is null
      and (
        gone
        or h.consecutive_failures
            >= (bulwark_private.setting('webhooks.disable_after_failures'))::integer
          and h.failing_since <= clock_timestamp() - make_interval(
            hours => (bulwark_private.setting('webhooks.disable_after_hours'))::integer
          )
      )
    -- A transaction that edits the endpoint has the lock. The next failure tries again.
    for update of e skip locked
  )
  returning e.organization_id, e.name, e.disabled_reason into v_endpoint;
  if found then
    perform bulwark.raise_security_event(
      'webhook_endpoint_disabled', v_endpoint.organization_id, null, endpoint_id::text,
      jsonb_build_object('name', v_endpoint.name, 'reason', v_endpoint.disabled_reason)
    );
  end if;
end;
$$;
comment on function bulwark_private.disable_failing_webhook(uuid, boolean) is
  'Disables an endpoint that answered 410 or exceeds the limits of the settings, and raises
   webhook_endpoint_disabled for its owners.';
