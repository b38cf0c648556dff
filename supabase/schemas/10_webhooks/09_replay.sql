-- Webhooks replay: replaying deliveries, sending samples, and retention.
-- Protects against dead letters that cannot be replayed, and against a delivery log without end.
-- SECURITY DEFINER: all of bulwark, because no client and no service writes the tables.

create function bulwark.replay_webhook_delivery(delivery_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_delivery bulwark.webhook_deliveries;
begin
  perform bulwark_private.require_caller();
  select * into v_delivery
  from bulwark.webhook_deliveries d where d.id = replay_webhook_delivery.delivery_id;
  if not found or bulwark_private.sees_webhooks(v_delivery.organization_id) is not true then
    raise exception 'Cannot replay the delivery: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_DELIVERY',
        hint = 'List them with: select id from webhook_deliveries';
  end if;
  perform bulwark_private.take_webhook_endpoint(v_delivery.endpoint_id, false);
  if bulwark_private.replay_webhooks(array[delivery_id]) = 0 then
    raise exception 'Cannot replay the delivery: it is still being attempted'
      using errcode = 'PT409', detail = 'WEBHOOK_DELIVERY_PENDING',
        hint = 'Wait: it is delivered, or given up after its last attempt';
  end if;
end;
$$;
comment on function bulwark.replay_webhook_delivery(uuid) is
  'Delivers a finished delivery again, dead or delivered, under the same id (webhook:manage).
   Errors: WEBHOOK_UNKNOWN_DELIVERY, WEBHOOK_DELIVERY_PENDING, RBAC_PERMISSION_DENIED.';

create function bulwark.replay_webhook_deliveries(
  endpoint_id uuid,
  since timestamptz,
  until timestamptz,
  statuses bulwark.webhook_delivery_status[] default '{dead}'
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, false);
  if since is null or until is null or statuses is null then
    raise exception 'Cannot replay deliveries: since, until or the statuses are null'
      using errcode = 'null_value_not_allowed', detail = 'WEBHOOK_NULL_ARGUMENT';
  end if;
  return bulwark_private.replay_webhooks(array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.endpoint_id = replay_webhook_deliveries.endpoint_id
      and d.status = any (statuses)
      and d.status <> 'pending'
      and d.occurred_at >= since
      and d.occurred_at < until
    order by d.sequence
    limit 10000
  ));
end;
$$;
comment on function bulwark.replay_webhook_deliveries(
  uuid, timestamptz, timestamptz, bulwark.webhook_delivery_status[]
) is
  'Delivers events from since (inclusive) to until (exclusive) again that are dead, or have one of
   the statuses: at most 10,000 per call, oldest first. Returns how many (webhook:manage). Errors:
   WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_NULL_ARGUMENT, RBAC_PERMISSION_DENIED.';

create function bulwark_private.replay_webhooks(deliveries uuid[])
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_replayed integer;
begin
  update bulwark.webhook_deliveries d
  set status = 'pending', due_at = clock_timestamp(), finished_at = null,
    attempts_before = d.attempts
  where d.id = any (deliveries) and d.status <> 'pending';
  get diagnostics v_replayed = row_count;
  return v_replayed;
end;
$$;
comment on function bulwark_private.replay_webhooks(uuid[]) is
  'Makes finished deliveries due again. Their earlier attempts no longer count.';

create function bulwark.send_test_webhook(endpoint_id uuid)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_delivery uuid;
  v_endpoint bulwark.webhook_endpoints := bulwark_private.take_webhook_endpoint(endpoint_id, false);
begin
  -- The endpoint is locked, so the count cannot change.
  if (
    select count(*) from bulwark.webhook_deliveries d
    where d.endpoint_id = send_test_webhook.endpoint_id
      and d.source = 'test'
      and d.occurred_at > clock_timestamp() - interval '1 minute'
  ) >= (bulwark_private.setting('webhooks.tests_per_minute'))::integer then
    raise exception 'Cannot send a sample: the limit of this minute is reached'
      using errcode = 'PT429', detail = 'WEBHOOK_TOO_MANY_TESTS', hint = 'Try again in a minute';
  end if;
  insert into bulwark.webhook_deliveries (
    endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type
  )
  values (
    v_endpoint.id, v_endpoint.organization_id, gen_random_uuid(), clock_timestamp(), 'test', 'info',
    'webhook.test'
  )
  returning id into v_delivery;
  insert into bulwark_private.webhook_payloads (delivery_id, data)
  values (
    v_delivery,
    jsonb_build_object(
      'message', 'A sample, sent by hand: nothing happened.', 'endpoint', v_endpoint.name,
      'organization_id', v_endpoint.organization_id
    )
  );
  return v_delivery;
end;
$$;
comment on function bulwark.send_test_webhook(uuid) is
  'Writes a sample for one endpoint into the outbox and returns its id (webhook:manage), at most
   webhooks.tests_per_minute. Errors: WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_TOO_MANY_TESTS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.prune_webhook_deliveries(maximum integer default 100000)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('webhooks.retention_days'))::integer
  );
  v_pruned integer;
begin
  -- Rows that somebody has locked are left for the next run.
  delete from bulwark_private.webhook_secrets s
  where s.id in (
    select o.id from bulwark_private.webhook_secrets o
    where o.expires_at <= now()
    for update skip locked
  );
  with recursive seen (endpoint_id) as (
    (select d.endpoint_id from bulwark.webhook_deliveries d order by d.endpoint_id limit 1)
    union all
    select (
      select d.endpoint_id
      from bulwark.webhook_deliveries d
      where d.endpoint_id > s.endpoint_id
      order by d.endpoint_id
      limit 1
    )
    from seen s
    where s.endpoint_id is not null
  )
  delete from bulwark.webhook_deliveries d
  where d.id = any (
    array(
      select o.id
      from seen s
      join bulwark.webhook_deliveries o on o.endpoint_id = s.endpoint_id
      where not exists (select from bulwark.webhook_endpoints e where e.id = s.endpoint_id)
      limit maximum
      for update of o skip locked
    )
    || array(
      select o.id
      from bulwark.webhook_deliveries o
      where o.occurred_at < v_before
        and (
          o.finished_at < v_before
          -- Pending deliveries of an endpoint that was disabled longer ago than the retention.
          or o.status = 'pending' and exists (
            select from bulwark.webhook_endpoints e
            where e.id = o.endpoint_id and e.disabled_at < v_before
          )
        )
      limit maximum
      for update skip locked
    )
  );
  get diagnostics v_pruned = row_count;
  return v_pruned;
end;
$$;
comment on function bulwark.prune_webhook_deliveries(integer) is
  'Deletes deliveries that finished longer ago than webhooks.retention_days and those of deleted
   endpoints, up to maximum of each, and expired secrets. Returns the number of deliveries. For the
   scheduler (service role only).';
