-- Webhooks levels: how many deliveries wait or were given up, for metrics.
-- Protects against a backlog and against receivers that get nothing, unnoticed.
-- No function here is SECURITY DEFINER.

create function bulwark_private.webhook_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 7
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- statistics lag behind an outbox that fills
  set jit = off
as $$
  -- Each branch reads the index of its condition.
  with pending as materialized (
    (
      select d.endpoint_id from bulwark.webhook_deliveries d
      where d.status = 'pending' and d.ordering_key is null
      limit 100000
    )
    union all
    (
      select d.endpoint_id from bulwark.webhook_deliveries d
      where d.status = 'pending' and d.ordering_key is not null
      limit 100000
    )
  ),
  -- With an order, only the first delivery of a key is due; the first key stands for the others.
  oldest as (
    select min(f.due_at) as due_at
    from bulwark.webhook_endpoints e
    cross join lateral (
      select least(
        (
          select min(d.due_at) from bulwark.webhook_deliveries d
          where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is null
        ),
        (
          select d.due_at from bulwark.webhook_deliveries d
          where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is not null
          order by d.ordering_key, d.sequence
          limit 1
        )
      )
    ) f (due_at)
    where e.disabled_at is null
  )
  select l.metric, l.unit, l.description, l.labels, l.value::double precision
  from (
    select
      'webhook_deliveries', '', 'Webhook deliveries, up to 100000 of a kind',
      '{"status": "pending"}'::jsonb, (
        select count(*) from pending p
        join bulwark.webhook_endpoints e on e.id = p.endpoint_id and e.disabled_at is null
      )
    union all
    select
      'webhook_deliveries', '', 'Webhook deliveries, up to 100000 of a kind',
      '{"status": "dead"}', (
        select count(*)
        from (
          select from bulwark.webhook_deliveries d where d.status = 'dead' limit 100000
        ) d
      )
    union all
    select
      'webhook_delivery_lag', 'seconds', 'How long the oldest due webhook delivery waits',
      '{}', greatest(coalesce((select extract(epoch from now() - o.due_at) from oldest o), 0), 0)
    union all
    select
      'webhook_endpoints_disabled', '', 'Endpoints that get nothing',
      jsonb_build_object('reason', r.reason), count(e.id)
    from unnest('{manual,failing,gone}'::text[]) as r (reason)
    left join bulwark.webhook_endpoints e on e.disabled_reason = r.reason
    group by r.reason
    union all
    select
      'alerts_silenced', '', 'Alerts that reach nobody', '{"reason": "no_receiver"}', count(*)
    from bulwark.security_event_types t
    where t.severity in ('high', 'critical') and not exists (
      select from bulwark.webhook_subscriptions s
      join bulwark.webhook_endpoints e on e.id = s.endpoint_id
      where e.organization_id is null and e.disabled_at is null and case
        when s.open_ended then starts_with('security.' || t.name, s.stem)
        else s.pattern = 'security.' || t.name
      end
    )
  ) as l (metric, unit, description, labels, value);
$$;
comment on function bulwark_private.webhook_levels() is
  'The levels of webhooks: see docs/metrics.md. Deliveries to disabled endpoints do not wait.';
