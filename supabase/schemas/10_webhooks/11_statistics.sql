-- Webhooks statistics: how deliveries to the endpoints of an organization go, and the content that
-- an endpoint would get for an event.
-- Protects against readers of other organizations (webhook:read), and against a preview as a way to
-- read events (audit:read, security:read); counts say nothing of the events.
-- SECURITY DEFINER: webhook_stats, because row-level security would ask for each delivery which
--   events the caller may read; preview_webhook_delivery, because clients read no bodies.

create function bulwark.webhook_stats(
  organization_id uuid default null,
  since timestamptz default null
)
  returns table (
    endpoint_id uuid,
    name text,
    state text,
    counted_since timestamptz,
    pending bigint,
    delivered bigint,
    dead bigint,
    attempts bigint,
    p50_ms double precision,
    p95_ms double precision,
    oldest_pending_at timestamptz,
    last_delivered_at timestamptz,
    failing_since timestamptz
  )
  language plpgsql
  stable
  rows 25
  security definer            -- definer because row-level security would decide for each delivery
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
#variable_conflict use_column
declare
  v_since constant timestamptz := coalesce(webhook_stats.since, now() - interval '1 day');
begin
  if webhook_stats.organization_id is not null then
    perform bulwark.require_permission('webhook:read', webhook_stats.organization_id);
  else
    perform bulwark_private.require_webhook_rights(null, null);
  end if;
  return query
    select
      e.id, e.name, coalesce(e.disabled_reason, 'enabled'), s.counted_since, coalesce(s.pending, 0),
      coalesce(s.delivered, 0), coalesce(s.dead, 0), coalesce(s.attempts, 0)::bigint, t.p50, t.p95,
      s.oldest_pending_at, s.last_delivered_at, h.failing_since
    from bulwark.webhook_endpoints e
    join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id
    cross join lateral (
      select
        min(d.occurred_at) as counted_since,
        count(*) filter (where d.status = 'pending') as pending,
        count(*) filter (where d.status = 'delivered') as delivered,
        count(*) filter (where d.status = 'dead') as dead,
        sum(d.attempts) as attempts,
        min(d.occurred_at) filter (where d.status = 'pending') as oldest_pending_at,
        max(d.finished_at) filter (where d.status = 'delivered') as last_delivered_at,
        array_agg(d.id order by d.sequence desc) filter (where d.status = 'delivered') as done
      from (
        select * from bulwark.webhook_deliveries r
        where r.endpoint_id = e.id
        order by r.sequence desc
        limit 1000
      ) d
      where d.occurred_at >= v_since
    ) s
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by a.latency_ms)::double precision as p50,
        percentile_disc(0.95) within group (order by a.latency_ms)::double precision as p95
      from bulwark.webhook_attempts a
      where a.delivery_id = any (s.done[1:200]) and a.outcome = 'delivered'
    ) t
    where e.organization_id is not distinct from webhook_stats.organization_id
    order by e.name, e.id;
end;
$$;
comment on function bulwark.webhook_stats(uuid, timestamptz) is
  'The endpoints of an organization (webhook:read there; null: of the installation, for a
   super_admin) with state (enabled, manual, failing or gone) and counts of the newest 1,000
   deliveries of each since a time (default: a day ago): pending, delivered, dead and attempts;
   latencies in milliseconds of the newest 200 delivered; counted_since: the oldest event counted.
   Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because clients read neither routes nor bodies
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_body jsonb;
  v_delivery bulwark.webhook_deliveries;
  v_endpoint bulwark.webhook_endpoints;
  v_entry bulwark.audit_logs;
  v_event bulwark.security_events;
begin
  perform bulwark_private.require_caller();
  select * into v_endpoint
  from bulwark.webhook_endpoints e where e.id = preview_webhook_delivery.endpoint_id;
  if not found or bulwark_private.sees_webhooks(v_endpoint.organization_id) is not true then
    raise exception 'Cannot find the webhook endpoint: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_ENDPOINT',
        hint = 'List them with: select id from webhook_endpoints';
  end if;
  if v_endpoint.organization_id is not null then
    perform bulwark.require_permission('webhook:read', v_endpoint.organization_id);
  end if;
  select * into v_entry from bulwark.audit_logs a where a.id = event_id;
  if found then
    v_delivery.source := 'audit';
    v_delivery.organization_id := v_entry.organization_id;
    v_delivery.occurred_at := v_entry.occurred_at;
    v_delivery.severity := v_entry.severity;
    v_delivery.event_type := 'audit.' || v_entry.event_type;
  else
    select * into v_event from bulwark.security_events s where s.id = event_id;
    v_delivery.source := 'security';
    v_delivery.organization_id := v_event.organization_id;
    v_delivery.occurred_at := coalesce(v_event.resolved_at, v_event.raised_at);
    v_delivery.severity := case v_event.severity
      when 'low' then 'info'::bulwark.audit_severity
      when 'medium' then 'warning'
      when 'high' then 'error'
      else 'critical'
    end;
    v_delivery.event_type := concat(
      'security.', v_event.event_type,
      case when v_event.resolved_at is not null then '.resolved' end
    );
  end if;
  -- A foreign event and none get the same answer.
  if num_nonnulls(v_entry.id, v_event.id) = 0
    or not v_endpoint.every_organization
      and v_delivery.organization_id is distinct from v_endpoint.organization_id
  then
    raise exception 'Cannot preview the delivery: the endpoint gets no event with this id'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_EVENT',
        hint = 'Pass the id of an entry or event that the endpoint subscribes to';
  end if;
  if v_delivery.organization_id is not null then
    perform bulwark.require_permission(v_delivery.source || ':read', v_delivery.organization_id);
  end if;
  begin
    -- Workers read bodies from this view, so the preview is not another text. The delivery is
    -- undone at once, and nobody else ever sees it.
    insert into bulwark.webhook_deliveries (
      endpoint_id, organization_id, event_id, occurred_at, source, severity, status, event_type
    )
    values (
      v_endpoint.id, v_endpoint.organization_id, preview_webhook_delivery.event_id,
      v_delivery.occurred_at, v_delivery.source, v_delivery.severity, 'delivered',
      v_delivery.event_type
    )
    returning id into v_delivery.id;
    if v_event.id is not null then
      insert into bulwark_private.webhook_payloads (delivery_id, data)
      values (v_delivery.id, to_jsonb(v_event));
    end if;
    select b.body into v_body
    from bulwark_private.webhook_bodies b where b.delivery_id = v_delivery.id;
    raise exception using errcode = 'BWK01';
  exception
    when sqlstate 'BWK01' then
      null;
  end;
  return jsonb_build_object(
    'subscribed', exists (
      select from bulwark.webhook_subscriptions s
      where s.endpoint_id = v_endpoint.id
        and s.minimum_severity <= v_delivery.severity
        and starts_with(v_delivery.event_type, s.stem)
        and (s.open_ended or s.stem = v_delivery.event_type)
    ),
    'enabled', v_endpoint.disabled_at is null,
    'format', v_endpoint.format,
    'event', v_body
  );
end;
$$;
comment on function bulwark.preview_webhook_delivery(uuid, uuid) is
  'The content that an endpoint would get for an event, the id of an audit entry or a security
   event, as it is now (webhook:read, and audit:read or security:read where the event belongs):
   { subscribed (a subscription matches), enabled, format, event }. The function webhooks makes the
   body of the event, in the endpoint''s format. Nothing is sent or kept, and it has no address or
   secret. Errors: WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_UNKNOWN_EVENT,
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
