-- Webhooks outbox: the deliveries of audit entries are written in the transaction of their seal,
-- those of security events in the transaction of the event.
-- Protects against lost and repeated events, at no cost for those who write the log. The outbox
-- references the audit entry and does not copy it, so that retention and erasure apply to waiting
-- deliveries.
-- SECURITY DEFINER: webhooks_take_security_event, because users who cause events may not write the
-- outbox.

create type bulwark.webhook_source as enum ('audit', 'security', 'test', 'invitation');
comment on type bulwark.webhook_source is 'The kind of event a delivery is about.';
create type bulwark.webhook_delivery_status as enum ('pending', 'delivered', 'dead');
comment on type bulwark.webhook_delivery_status is
  'pending, delivered, or dead: given up after the last attempt (a dead letter).';
create type bulwark.webhook_outcome as enum (
  'delivered', 'rejected', 'timed_out', 'unreachable', 'forbidden', 'unreadable', 'lost'
);
comment on type bulwark.webhook_outcome is
  'Result of an attempt: 2xx, another status, timeout, no or a broken connection, a forbidden
   address, an address or secret that cannot be decrypted, or a worker that never reported.';

-- No foreign key to the endpoint: it would lock the endpoint's row in every transaction with an
-- event. The scheduler deletes deliveries of deleted endpoints.
create table bulwark.webhook_deliveries (
  id uuid primary key default gen_random_uuid(),
  sequence bigint not null generated always as identity,
  endpoint_id uuid not null,
  organization_id uuid,
  event_id uuid not null,
  occurred_at timestamptz not null,
  due_at timestamptz not null default clock_timestamp(),
  source bulwark.webhook_source not null,
  severity bulwark.audit_severity not null,
  status bulwark.webhook_delivery_status not null default 'pending',
  attempts bigint not null default 0,
  attempts_before bigint not null default 0,
  event_type text not null,
  ordering_key text,
  claimed_by text,
  claimed_at timestamptz,
  attempt_id uuid,
  finished_at timestamptz
) with (fillfactor = 80);
comment on table bulwark.webhook_deliveries is
  'The outbox and the delivery log: one row for each event and subscribed endpoint. The id is the
   webhook-id, the same in every attempt. Not audited, because it is about audit entries.';
comment on column bulwark.webhook_deliveries.organization_id is
  'The organization of the endpoint, which decides who may read the delivery.';
comment on column bulwark.webhook_deliveries.event_id is
  'Id of the audit entry or the security event.';
comment on column bulwark.webhook_deliveries.due_at is
  'When it may be claimed. While a worker has it: when the claim expires.';
comment on column bulwark.webhook_deliveries.attempts_before is
  'Attempts before the last replay; they do not count towards the limit.';
comment on column bulwark.webhook_deliveries.ordering_key is
  'Deliveries of an endpoint with the same key arrive in order of their sequence; null: in any
   order.';
comment on column bulwark.webhook_deliveries.attempt_id is
  'The attempt in progress; its result is accepted once.';

-- The sealer pays for index entries. Of the first three indexes a new delivery is
-- in one only: the third has deliveries that were attempted.
create index webhook_deliveries_due_idx
  on bulwark.webhook_deliveries (endpoint_id, due_at)
  where status = 'pending' and ordering_key is null;
create index webhook_deliveries_in_order_idx
  on bulwark.webhook_deliveries (endpoint_id, ordering_key, sequence)
  where status = 'pending' and ordering_key is not null;
create index webhook_deliveries_attempted_in_order_idx
  on bulwark.webhook_deliveries (endpoint_id, ordering_key, due_at)
  where status = 'pending' and ordering_key is not null and attempts > 0;
create index webhook_deliveries_tests_idx
  on bulwark.webhook_deliveries (endpoint_id, occurred_at)
  where source = 'test';
create index webhook_deliveries_dead_idx
  on bulwark.webhook_deliveries (endpoint_id)
  where status = 'dead';
create index webhook_deliveries_endpoint_id_idx
  on bulwark.webhook_deliveries (endpoint_id, sequence);
create index webhook_deliveries_organization_id_idx
  on bulwark.webhook_deliveries (organization_id, sequence);
create index webhook_deliveries_occurred_at_idx
  on bulwark.webhook_deliveries using brin (occurred_at);

create table bulwark.webhook_attempts (
  id uuid not null,
  delivery_id uuid not null references bulwark.webhook_deliveries (id) on delete cascade,
  number bigint not null,
  outcome bulwark.webhook_outcome not null,
  worker text not null,
  started_at timestamptz not null,
  latency_ms bigint,
  status smallint,
  response text,
  primary key (delivery_id, number),
  constraint webhook_attempts_response_length check (length(response) <= 1024)
);
comment on table bulwark.webhook_attempts is
  'Every attempt: outcome, HTTP status, latency, and the beginning of the response or the error. Not
   audited, like deliveries.';

create table bulwark_private.webhook_payloads (
  delivery_id uuid primary key references bulwark.webhook_deliveries (id) on delete cascade,
  data jsonb not null
);
comment on table bulwark_private.webhook_payloads is
  'The state of an event when it happened, for events that change later: security events and
   samples. Not audited, because their source is.';

alter table bulwark.webhook_deliveries enable row level security;
alter table bulwark.webhook_attempts enable row level security;
alter table bulwark_private.webhook_payloads enable row level security;

-- A response can repeat the content of the delivery, so it needs the same right.
create policy "Members read deliveries of what they may read, where they may"
  on bulwark.webhook_deliveries for select to authenticated
  using (
    (
      organization_id = any (array(select bulwark.organizations_with('webhook:read')))
      and (
        source = 'test'
        or source = 'audit'
          and organization_id = any (array(select bulwark.organizations_with('audit:read')))
        or source = 'security'
          and organization_id = any (array(select bulwark.organizations_with('security:read')))
      )
    )
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

-- Not "in": that would read every visible delivery to show one attempt.
create policy "Readers of a delivery read its attempts"
  on bulwark.webhook_attempts for select to authenticated
  using (
    exists (select from bulwark.webhook_deliveries d where d.id = webhook_attempts.delivery_id)
  );

create function bulwark_private.webhook_resource_key(resource_type text, resource_id text)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text := concat_ws('/', resource_type, resource_id);
begin
  -- Longer than an index entry may be, which would fail the transaction of the event.
  return case
    when octet_length(v_key) <= 512 then v_key
    else encode(sha256(convert_to(v_key, 'UTF8')), 'hex')
  end;
end;
$$;
comment on function bulwark_private.webhook_resource_key(text, text) is
  'The ordering key of a resource: its name, or a hash of a long one.';

create table bulwark_private.webhook_upgrades (
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  snapshot pg_snapshot not null,
  xid xid8 not null default pg_current_xact_id(),
  primary key (timeline, xid)
);
comment on table bulwark_private.webhook_upgrades is
  'Upgrades from a version whose writers made the deliveries: those of the entries that are finished
   in the snapshot exist already. Not audited: a release writes it.';
alter table bulwark_private.webhook_upgrades enable row level security;

-- The plans do not depend on statistics: an index leads to each entry and to each subscription.
create function bulwark_private.queue_webhooks(entries uuid[])
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
begin
  insert into bulwark.webhook_deliveries (
    endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type, ordering_key
  )
  select
    r.endpoint_id, r.organization_id, n.id, n.occurred_at, 'audit', n.severity,
    'audit.' || n.event_type,
    case r.ordering
      when 'resource' then bulwark_private.webhook_resource_key(n.resource_type, n.resource_id)
      when 'endpoint' then ''
    end
  from unnest(entries) with ordinality as t (id, place)
  join bulwark.audit_logs n on n.id = t.id
  cross join lateral (
    select distinct r.endpoint_id, r.organization_id, r.ordering
    from bulwark_private.webhook_routes r
    where r.scope = any (array[
        coalesce(n.organization_id, '00000000-0000-0000-0000-000000000000'),
        'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
      ])
      and r.minimum_severity <= n.severity
      and starts_with('audit.' || n.event_type, r.stem)
      and (r.open_ended or r.stem = 'audit.' || n.event_type)
  ) r
  order by t.place;
end;
$$;
comment on function bulwark_private.queue_webhooks(uuid[]) is
  'Writes a delivery for each of these audit entries and each subscribed endpoint, in this order.';

create or replace function bulwark_private.take_sealed_entries(
  seal bigint,
  range bulwark_private.audit_range
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_everybody constant boolean := exists (
    select from bulwark.webhook_subscriptions s
    where s.scope = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  );
  v_scopes uuid[];
begin
  if not v_everybody then
    v_scopes := array(
      select k.scope
      from bulwark_private.audit_groups g
      cross join lateral bulwark_private.webhook_scope(g.organization_id, false) as k (scope)
      where g.seal = take_sealed_entries.seal
        and exists (select from bulwark.webhook_subscriptions s where s.scope = k.scope)
    );
    if v_scopes = '{}' then
      return;
    end if;
  end if;
  -- Ids are ordered by time. So are the changes of a row, which its lock puts one after the other.
  perform bulwark_private.queue_webhooks(array(
    select e.id
    from bulwark_private.audit_entries(
      range, hashed => false, first_id => case
        when (range).base_timeline = (range).timeline
        then bulwark_private.audit_open_from((range).timeline, (range).base_snapshot)
      end
    ) e
    where (v_everybody
        or bulwark_private.webhook_scope(e.organization_id, false) = any (v_scopes))
      and not exists (
        select from bulwark_private.webhook_upgrades u
        where u.timeline = e.timeline
          and case
            when u.xid = e.xid
            then exists (select from bulwark.webhook_deliveries d where d.event_id = e.id)
            else pg_visible_in_snapshot(e.xid, u.snapshot)
          end
      )
    order by e.id
  ));
end;
$$;
comment on function bulwark_private.take_sealed_entries(bigint, bulwark_private.audit_range) is
  'Writes the deliveries of the entries of a seal, in its transaction: the log is the outbox, of
   which the sealer sees each committed entry once.';

create function bulwark_private.webhooks_take_security_event()
  returns trigger
  language plpgsql
  security definer            -- definer because users who cause events may not write the outbox
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event_type constant text := concat(
    'security.', new.event_type, case when new.resolved_at is not null then '.resolved' end
  );
  v_severity constant bulwark.audit_severity := case new.severity
    when 'low' then 'info'::bulwark.audit_severity
    when 'medium' then 'warning'
    when 'high' then 'error'
    else 'critical'
  end;
begin
  if bulwark_private.audit_log_is_loading() then
    return null;
  end if;
  with told as (
    insert into bulwark.webhook_deliveries (
      endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type,
      ordering_key
    )
    select
      r.endpoint_id, r.organization_id, new.id, coalesce(new.resolved_at, new.raised_at),
      'security', v_severity, v_event_type,
      case r.ordering when 'resource' then new.id::text when 'endpoint' then '' end
    from (
      select distinct r.endpoint_id, r.organization_id, r.ordering
      from bulwark_private.webhook_routes r
      where r.scope = any (array[
          coalesce(new.organization_id, '00000000-0000-0000-0000-000000000000'),
          'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
        ])
        and r.minimum_severity <= v_severity
        and starts_with(v_event_type, r.stem)
        and (r.open_ended or r.stem = v_event_type)
    ) r
    returning id
  )
  insert into bulwark_private.webhook_payloads (delivery_id, data)
  select t.id, to_jsonb(new) from told t;
  return null;
end;
$$;
comment on function bulwark_private.webhooks_take_security_event() is
  'Trigger: writes deliveries for a security event that was raised or resolved, with its state at
   that moment.';

create trigger webhooks_take_raised
  after insert on bulwark.security_events
  for each row execute function bulwark_private.webhooks_take_security_event();
create trigger webhooks_take_resolved
  after update of resolved_at on bulwark.security_events
  for each row when (old.resolved_at is null and new.resolved_at is not null)
  execute function bulwark_private.webhooks_take_security_event();

-- Enabled always, because session_replication_role skips ordinary triggers.
alter table bulwark.security_events enable always trigger webhooks_take_raised;
alter table bulwark.security_events enable always trigger webhooks_take_resolved;
