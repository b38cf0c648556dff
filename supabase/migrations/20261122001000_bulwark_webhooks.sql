-- Built by npm run build from supabase/schemas/10_webhooks: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

-- Webhooks: endpoints of an organization, their subscriptions and signing secrets.
-- Protects addresses and secrets in a stolen database: both are encrypted with the organization's
-- keys, which never enter Postgres. Protects against a member who may manage webhooks but not read
-- the audit log, and reads it through an endpoint.
-- No function here is SECURITY DEFINER.

create type bulwark.webhook_format as enum ('json', 'slack', 'pagerduty');
comment on type bulwark.webhook_format is
  'The body of deliveries: Bulwark''s JSON envelope, a Slack message, or a PagerDuty event.';
create type bulwark.webhook_ordering as enum ('none', 'resource', 'endpoint');
comment on type bulwark.webhook_ordering is
  'The order of deliveries: none, by resource, or all of the endpoint.';

create table bulwark.webhook_endpoints (
  id uuid primary key,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  every_organization boolean not null default false,
  name text not null,
  origin text not null,
  format bulwark.webhook_format not null default 'json',
  ordering bulwark.webhook_ordering not null default 'none',
  include_details boolean not null default false,
  follow_redirects boolean not null default false,
  created_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  disabled_at timestamptz,
  disabled_reason text,
  constraint webhook_endpoints_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(name) between 1 and 100),
  constraint webhook_endpoints_origin_format
    check (origin ~ '^https?://[^/?#@\s[:cntrl:]]+$' and length(origin) <= 300),
  constraint webhook_endpoints_every_organization_is_the_installations
    check (not every_organization or organization_id is null),
  constraint webhook_endpoints_disabled_for_a_reason
    check (
      (disabled_at is null) = (disabled_reason is null)
      and disabled_reason in ('manual', 'failing', 'gone')
    )
);
comment on table bulwark.webhook_endpoints is
  'Receivers of an organization or, without one, of the installation. The address is encrypted in
   bulwark_private.webhook_destinations, because an address of Slack is a credential.';
comment on column bulwark.webhook_endpoints.origin is
  'Scheme and host of the address, to tell endpoints apart. Deliveries to another origin are
   refused.';
comment on column bulwark.webhook_endpoints.every_organization is
  'Whether an endpoint of the installation gets the events of all organizations too, not only those
   without an organization.';
comment on column bulwark.webhook_endpoints.include_details is
  'Whether deliveries contain details, old and new values, addresses and user agents. Otherwise they
   contain the event type and ids.';
comment on column bulwark.webhook_endpoints.disabled_reason is
  'manual, failing (too many failures) or gone (the receiver answered 410).';
create index webhook_endpoints_organization_id_idx on bulwark.webhook_endpoints (organization_id);

create table bulwark.webhook_subscriptions (
  endpoint_id uuid not null references bulwark.webhook_endpoints (id) on delete cascade,
  pattern text not null,
  minimum_severity bulwark.audit_severity not null default 'debug',
  scope uuid not null,
  stem text not null generated always as (rtrim(pattern, '*')) stored,
  open_ended boolean not null generated always as (right(pattern, 1) = '*') stored,
  primary key (endpoint_id, pattern),
  constraint webhook_subscriptions_pattern_format check (
    pattern
      ~ '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
    and length(pattern) <= 160
  )
);
comment on table bulwark.webhook_subscriptions is
  'The events an endpoint receives: those whose type equals the pattern, or begins with it up to its
   asterisk, from a severity upwards. Types are audit.<type of the entry>, security.<type of the
   event> and security.<type of the event>.resolved. The type invitation.created, with the token,
   goes to one endpoint of the installation, which subscribes to it by name.';
comment on column bulwark.webhook_subscriptions.scope is
  'The organization, all zeros for events without one, all ones for every organization, so that one
   index look-up finds the subscribers.';
create index webhook_subscriptions_scope_idx on bulwark.webhook_subscriptions (scope);
create unique index webhook_subscriptions_invitations_idx on bulwark.webhook_subscriptions (pattern)
  where pattern = 'invitation.created';

create table bulwark_private.webhook_destinations (
  endpoint_id uuid primary key references bulwark.webhook_endpoints (id) on delete cascade,
  organization_id uuid,
  ciphertext text not null,
  constraint webhook_destinations_ciphertext_length check (length(ciphertext) between 1 and 8192)
);
comment on table bulwark_private.webhook_destinations is
  'The address and, for PagerDuty, the routing key of an endpoint, encrypted with the
   organization''s keys and bound to the endpoint.';

create table bulwark_private.webhook_secrets (
  id uuid primary key,
  endpoint_id uuid not null references bulwark.webhook_endpoints (id) on delete cascade,
  organization_id uuid,
  ciphertext text not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  constraint webhook_secrets_ciphertext_length check (length(ciphertext) between 1 and 4096)
);
comment on table bulwark_private.webhook_secrets is
  'Signing secrets, encrypted with the organization''s keys and bound to the row.';
comment on column bulwark_private.webhook_secrets.expires_at is
  'End of the overlap of a replaced secret; null for the newest.';
create index webhook_secrets_endpoint_id_idx on bulwark_private.webhook_secrets (endpoint_id);

-- Lets key rotation re-encrypt these columns, and adds checks that refuse plaintext.
select bulwark.declare_encrypted_column(
  'bulwark_private.webhook_destinations', 'ciphertext', 'organization_id'
);
select bulwark.declare_encrypted_column(
  'bulwark_private.webhook_secrets', 'ciphertext', 'organization_id'
);

create table bulwark.webhook_endpoint_health (
  endpoint_id uuid primary key references bulwark.webhook_endpoints (id) on delete cascade,
  proven boolean not null default false,
  consecutive_failures bigint not null default 0,
  consecutive_timeouts bigint not null default 0,
  failing_since timestamptz,
  last_failure_at timestamptz
) with (fillfactor = 70);
comment on table bulwark.webhook_endpoint_health is
  'Consecutive failures of an endpoint and their start; reset by a success. Not audited, but
   disabling is.';
comment on column bulwark.webhook_endpoint_health.proven is
  'Whether a delivery arrived, and since then the endpoint neither timed out nor failed three times
   in a row. Unproven endpoints get one attempt at a time.';
comment on column bulwark.webhook_endpoint_health.consecutive_timeouts is
  'Consecutive timeouts, including failures after five seconds or more. Each lengthens the pause and
   shortens the next timeout.';

alter table bulwark.webhook_endpoints enable row level security;
alter table bulwark.webhook_subscriptions enable row level security;
alter table bulwark.webhook_endpoint_health enable row level security;
alter table bulwark_private.webhook_destinations enable row level security;
alter table bulwark_private.webhook_secrets enable row level security;

create table bulwark_private.webhook_turns (
  endpoint_id uuid primary key references bulwark.webhook_endpoints (id) on delete cascade,
  account_id uuid not null,
  ordering_key text not null default '',
  held_until timestamptz
) with (fillfactor = 50);
comment on table bulwark_private.webhook_turns is
  'The account of an endpoint and the last ordering key served. The next claim continues after that
   key, so that no key starves. Not audited: it changes with each claim.';
comment on column bulwark_private.webhook_turns.account_id is
  'The account of the endpoint, see bulwark_private.webhook_account. Endpoints of one account share
   its part of the workers.';
comment on column bulwark_private.webhook_turns.held_until is
  'For an unproven endpoint: no attempt until then, because one is in progress or it pauses after a
   timeout.';
alter table bulwark_private.webhook_turns enable row level security;

create policy "Members read webhook endpoints of organizations where they may"
  on bulwark.webhook_endpoints for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('webhook:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create policy "Readers of an endpoint read its subscriptions"
  on bulwark.webhook_subscriptions for select to authenticated
  using (endpoint_id in (select e.id from bulwark.webhook_endpoints e));

create policy "Readers of an endpoint read its health"
  on bulwark.webhook_endpoint_health for select to authenticated
  using (endpoint_id in (select e.id from bulwark.webhook_endpoints e));

create function bulwark_private.webhook_scope(organization_id uuid, every_organization boolean)
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when every_organization then 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    else coalesce(organization_id, '00000000-0000-0000-0000-000000000000')
  end::uuid;
$$;
comment on function bulwark_private.webhook_scope(uuid, boolean) is
  'The scope for the subscriptions of an endpoint.';

create view bulwark_private.webhook_routes with (security_invoker = true) as
  select
    s.scope,
    s.stem,
    s.open_ended,
    s.minimum_severity,
    s.endpoint_id,
    e.organization_id,
    e.ordering
  from bulwark.webhook_subscriptions s
  join bulwark.webhook_endpoints e on e.id = s.endpoint_id and e.disabled_at is null;
comment on view bulwark_private.webhook_routes is
  'The active subscriptions: those of endpoints that are not disabled.';

insert into bulwark.settings (name, value, description) values
  ('webhooks.maximum_endpoints', '25', 'How many endpoints an organization may have'),
  (
    'webhooks.maximum_attempts', '11',
    'How often a delivery is attempted before it is a dead letter'
  ),
  ('webhooks.retry_base_seconds', '5', 'The wait after the first failed attempt'),
  ('webhooks.retry_factor', '3', 'Factor of each further wait'),
  ('webhooks.retry_maximum_seconds', '28800', 'The longest wait between two attempts'),
  (
    'webhooks.disable_after_failures', '50',
    'How many failures in a row an endpoint may have before it is disabled'
  ),
  (
    'webhooks.disable_after_hours', '24',
    'How long an endpoint must have been failing before it is disabled'
  ),
  ('webhooks.retention_days', '30', 'How long finished deliveries stay in the delivery log'),
  ('webhooks.tests_per_minute', '10', 'How many samples an endpoint may be sent in a minute');

insert into bulwark.security_event_types (name, severity, description) values
  ('webhook_endpoint_disabled', 'medium', 'A webhook endpoint kept failing and was disabled');

create trigger webhook_endpoints_touch_updated_at
  before update on bulwark.webhook_endpoints
  for each row execute function bulwark_private.touch_updated_at();
create trigger webhook_endpoints_keep_columns
  before update on bulwark.webhook_endpoints
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'every_organization', 'format', 'created_by', 'created_at'
  );

select bulwark.enable_audit(
  'bulwark.webhook_endpoints', organization_column => 'organization_id', ignore => '{updated_at}',
  event_types => '{config.changed,config.changed,config.changed}'
);

create function bulwark_private.webhook_endpoint_organization(endpoint_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select e.organization_id
  from bulwark.webhook_endpoints e where e.id = webhook_endpoint_organization.endpoint_id;
$$;
comment on function bulwark_private.webhook_endpoint_organization(uuid) is
  'The organization of an endpoint, for the audit log.';

select bulwark.enable_audit(
  'bulwark.webhook_subscriptions', organization_column => 'endpoint_id',
  organization_lookup => 'bulwark_private.webhook_endpoint_organization',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.webhook_destinations', organization_column => 'organization_id',
  redact => '{ciphertext}',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.webhook_secrets', organization_column => 'organization_id',
  redact => '{ciphertext}',
  event_types => '{config.changed,config.changed,config.changed}'
);
-- webhook_endpoint_health is not audited: deliveries change it, not people.

revoke all on
  bulwark.webhook_endpoints, bulwark.webhook_subscriptions, bulwark.webhook_endpoint_health
  from public, anon, authenticated, service_role;
revoke all on
  bulwark_private.webhook_destinations, bulwark_private.webhook_secrets,
  bulwark_private.webhook_turns,
  bulwark_private.webhook_routes
  from public, anon, authenticated, service_role;

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

-- Webhooks endpoints: creating them and their subscriptions.
-- Protects against an endpoint that sees more than its creator: subscriptions need audit:read and
-- security:read besides webhook:manage, and an endpoint of the installation needs a super_admin.
-- The function webhooks has the keys and encrypts addresses and secrets. Values encrypted elsewhere
-- cannot be decrypted, so nothing is delivered.
-- SECURITY DEFINER: all of bulwark, because no client writes the tables.

create function bulwark_private.require_webhook_rights(organization_id uuid, patterns text[])
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is null then
    if not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
      raise exception 'Cannot manage webhooks: those of the installation need a super_admin'
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
          hint = 'Name an organization, or ask a super_admin';
    end if;
    return;
  end if;
  perform bulwark.require_permission('webhook:manage', organization_id);
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'audit.')) then
    perform bulwark.require_permission('audit:read', organization_id);
  end if;
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'security.')) then
    perform bulwark.require_permission('security:read', organization_id);
  end if;
end;
$$;
comment on function bulwark_private.require_webhook_rights(uuid, text[]) is
  'Check: webhook:manage in the organization, and the right to read events of the patterns; a
   super_admin for endpoints of the installation. Errors: RBAC_PERMISSION_DENIED.';

create function bulwark_private.sees_webhooks(organization_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.caller_is_service() or case
    when organization_id is null then bulwark.is_super_admin()
    else bulwark_private.user_permits(
      bulwark_private.require_user(), 'webhook:read', organization_id
    )
  end;
end;
$$;
comment on function bulwark_private.sees_webhooks(uuid) is
  'Whether the caller may know of webhooks of the organization or, without one, of the installation.
   Without it, existing and unknown endpoints are answered the same.';

create function bulwark_private.find_webhook_endpoint(endpoint_id uuid, changes_content boolean)
  returns bulwark.webhook_endpoints
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_endpoint from bulwark.webhook_endpoints e where e.id = endpoint_id;
  if not found or bulwark_private.sees_webhooks(v_endpoint.organization_id) is not true then
    raise exception 'Cannot find the webhook endpoint: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_ENDPOINT',
        hint = 'List them with: select id from webhook_endpoints';
  end if;
  perform bulwark_private.require_webhook_rights(
    v_endpoint.organization_id,
    -- A new address also receives waiting and replayed deliveries, so their types are checked too.
    -- A caller who may read everything needs no check of each.
    case when changes_content then array(
      select s.pattern
      from bulwark.webhook_subscriptions s
      where s.endpoint_id = find_webhook_endpoint.endpoint_id
      union all
      select o.source || '.*'
      from unnest('{audit,security}'::bulwark.webhook_source[]) as o (source)
      where bulwark_private.user_permits(v_user, o.source || ':read', v_endpoint.organization_id)
          is not true
        and exists (
          select from bulwark.webhook_deliveries d
          where d.endpoint_id = find_webhook_endpoint.endpoint_id and d.source = o.source
        )
    ) end
  );
  return v_endpoint;
end;
$$;
comment on function bulwark_private.find_webhook_endpoint(uuid, boolean) is
  'An endpoint that the caller may manage right now. With changes_content the caller also needs the
   right to read its past and future deliveries. Errors: WEBHOOK_UNKNOWN_ENDPOINT,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.take_webhook_endpoint(endpoint_id uuid, changes_content boolean)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(e.organization_id)
  from bulwark_private.find_webhook_endpoint(endpoint_id, changes_content) e;
  perform bulwark_private.hold_session();
  perform from bulwark.webhook_endpoints e
  where e.id = take_webhook_endpoint.endpoint_id
  for update;
  return bulwark_private.find_webhook_endpoint(endpoint_id, changes_content);
end;
$$;
comment on function bulwark_private.take_webhook_endpoint(uuid, boolean) is
  'Like bulwark_private.find_webhook_endpoint, and locks the endpoint and the right to manage it.';

create function bulwark_private.store_webhook_subscriptions(
  endpoint bulwark.webhook_endpoints,
  subscriptions jsonb
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_patterns text[];
begin
  if jsonb_typeof(subscriptions) is distinct from 'array'
    or jsonb_array_length(subscriptions) not between 1 and 50
    or exists (
      select from jsonb_array_elements(subscriptions) s
      where jsonb_typeof(s) <> 'object'
        or jsonb_typeof(s -> 'pattern') is distinct from 'string'
        or s ->> 'pattern' !~
          '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
        or length(s ->> 'pattern') > 160
        or coalesce(s ->> 'minimum_severity', 'debug') <> all (
          enum_range(null::bulwark.audit_severity)::text[]
        )
        or s - '{pattern,minimum_severity}'::text[] <> '{}'
    ) then
    raise exception 'Cannot subscribe: subscriptions are a list of 1 to 50 patterns with severities'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION',
            hint = '[{"pattern": "audit.authz.*", "minimum_severity": "warning"}]';
  end if;
  v_patterns := array(select s ->> 'pattern' from jsonb_array_elements(subscriptions) s);
  -- The receiver of this event gets tokens that accept invitations. Each delivery makes a new token
  -- and ends the one before, so a second receiver would get tokens that no longer work.
  if 'invitation.created' = any (v_patterns) and (
    endpoint.organization_id is not null or endpoint.format <> 'json' or exists (
      select from bulwark.webhook_subscriptions s
      where s.pattern = 'invitation.created' and s.endpoint_id <> endpoint.id
    )
  ) then
    raise exception 'Cannot subscribe: one endpoint of the installation, as json, gets invitations'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION';
  end if;
  perform bulwark_private.require_webhook_rights(endpoint.organization_id, v_patterns);
  delete from bulwark.webhook_subscriptions s
  where s.endpoint_id = endpoint.id and s.pattern <> all (v_patterns);
  insert into bulwark.webhook_subscriptions (endpoint_id, pattern, minimum_severity, scope)
  select
    endpoint.id, s ->> 'pattern',
    min(coalesce(s ->> 'minimum_severity', 'debug')::bulwark.audit_severity),
    bulwark_private.webhook_scope(endpoint.organization_id, endpoint.every_organization)
  from jsonb_array_elements(subscriptions) s
  group by s ->> 'pattern'
  on conflict on constraint webhook_subscriptions_pkey do update
    set minimum_severity = excluded.minimum_severity;
end;
$$;
comment on function bulwark_private.store_webhook_subscriptions(bulwark.webhook_endpoints, jsonb) is
  'Replaces the subscriptions of an endpoint. Errors: WEBHOOK_INVALID_SUBSCRIPTION,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.webhook_account(organization_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select a.account_id
      from unnest(array[
        (select o.created_by from bulwark.organizations o
         where o.id = webhook_account.organization_id),
        bulwark.current_person()
      ]) with ordinality as a (account_id, place)
      where a.account_id is not null
        and bulwark_private.user_permits(a.account_id, 'org:create', null) is not true
      order by a.place
      limit 1
    ),
    organization_id,
    '00000000-0000-0000-0000-000000000000'
  );
$$;
comment on function bulwark_private.webhook_account(uuid) is
  'The account that a new endpoint of an organization counts for: the creator of the organization,
   else the caller. For creators who may make organizations for others (org:create) each
   organization counts for itself.';

create function bulwark.create_webhook_endpoint(
  id uuid,
  organization_id uuid,
  name text,
  origin text,
  destination text,
  secret_id uuid,
  secret text,
  subscriptions jsonb,
  format bulwark.webhook_format default 'json',
  ordering bulwark.webhook_ordering default 'none',
  include_details boolean default false,
  follow_redirects boolean default false,
  every_organization boolean default false
)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
begin
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_count('webhook_endpoints', organization_id::text);
  if (
    select count(*) from bulwark.webhook_endpoints e
    where e.organization_id is not distinct from create_webhook_endpoint.organization_id
  ) >= (bulwark_private.setting('webhooks.maximum_endpoints'))::integer then
    raise exception 'Cannot create webhook endpoint: the limit is reached'
      using errcode = 'PT409', detail = 'WEBHOOK_TOO_MANY_ENDPOINTS',
            hint = 'Delete one first; the limit is the setting webhooks.maximum_endpoints';
  end if;
  if exists (
    select from bulwark.webhook_endpoints e where e.id = create_webhook_endpoint.id
  ) or exists (
    select from bulwark.webhook_deliveries d where d.endpoint_id = create_webhook_endpoint.id
  ) then
    raise exception 'Cannot create webhook endpoint: the id was used before'
      using errcode = 'unique_violation', detail = 'WEBHOOK_ID_TAKEN',
        hint = 'Choose a new random id';
  end if;
  insert into bulwark.webhook_endpoints (
    id, organization_id, every_organization, name, origin, format, ordering, include_details,
    follow_redirects, created_by
  )
  values (
    create_webhook_endpoint.id, create_webhook_endpoint.organization_id,
    create_webhook_endpoint.every_organization, create_webhook_endpoint.name,
    create_webhook_endpoint.origin, create_webhook_endpoint.format,
    create_webhook_endpoint.ordering, create_webhook_endpoint.include_details,
    create_webhook_endpoint.follow_redirects, bulwark.current_person()
  )
  returning * into v_endpoint;
  insert into bulwark_private.webhook_destinations (endpoint_id, organization_id, ciphertext)
  values (v_endpoint.id, v_endpoint.organization_id, destination);
  insert into bulwark_private.webhook_secrets (id, endpoint_id, organization_id, ciphertext)
  values (secret_id, v_endpoint.id, v_endpoint.organization_id, secret);
  insert into bulwark.webhook_endpoint_health (endpoint_id) values (v_endpoint.id);
  insert into bulwark_private.webhook_turns (endpoint_id, account_id)
  values (v_endpoint.id, bulwark_private.webhook_account(v_endpoint.organization_id));
  perform bulwark_private.store_webhook_subscriptions(v_endpoint, subscriptions);
  return v_endpoint;
end;
$$;
comment on function bulwark.create_webhook_endpoint(
  uuid, uuid, text, text, text, uuid, text, jsonb, bulwark.webhook_format, bulwark.webhook_ordering,
  boolean, boolean, boolean
) is
  'Creates an endpoint (webhook:manage, and the right to read the subscribed events). Called by the
   function webhooks, which checks and encrypts the address and the secret. Errors:
   RBAC_PERMISSION_DENIED, WEBHOOK_INVALID_SUBSCRIPTION, WEBHOOK_TOO_MANY_ENDPOINTS,
   WEBHOOK_ID_TAKEN.';

create function bulwark.update_webhook_endpoint(
  endpoint_id uuid,
  name text default null,
  ordering bulwark.webhook_ordering default null,
  include_details boolean default null,
  follow_redirects boolean default null,
  subscriptions jsonb default null
)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints := bulwark_private.take_webhook_endpoint(
    endpoint_id, include_details is not null or follow_redirects is not null
  );
begin
  update bulwark.webhook_endpoints e
  set name = coalesce(update_webhook_endpoint.name, e.name),
    ordering = coalesce(update_webhook_endpoint.ordering, e.ordering),
    include_details = coalesce(update_webhook_endpoint.include_details, e.include_details),
    follow_redirects = coalesce(update_webhook_endpoint.follow_redirects, e.follow_redirects)
  where e.id = v_endpoint.id
  returning * into v_endpoint;
  if subscriptions is not null then
    perform bulwark_private.store_webhook_subscriptions(v_endpoint, subscriptions);
  end if;
  return v_endpoint;
end;
$$;
comment on function bulwark.update_webhook_endpoint(
  uuid, text, bulwark.webhook_ordering, boolean, boolean, jsonb
) is
  'Changes the attributes of an endpoint that are not null (webhook:manage). Errors:
   WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_INVALID_SUBSCRIPTION, RBAC_PERMISSION_DENIED.';

-- Webhooks lifecycle: moving, disabling, enabling and deleting endpoints, and rotating secrets.
-- Protects against a member who may manage an endpoint but not read its events, and redirects them
-- to themselves. Rotating a secret loses no delivery.
-- SECURITY DEFINER: all of bulwark, because no client writes the tables.

create function bulwark_private.reset_webhook_health(endpoint_id uuid)
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  update bulwark.webhook_endpoint_health h
  set proven = false, consecutive_failures = 0, consecutive_timeouts = 0, failing_since = null
  where h.endpoint_id = reset_webhook_health.endpoint_id;
  update bulwark_private.webhook_turns t set held_until = null
  where t.endpoint_id = reset_webhook_health.endpoint_id;
$$;
comment on function bulwark_private.reset_webhook_health(uuid) is
  'Resets the health of an endpoint: it has another address, or somebody says that it is fixed.';

create function bulwark.set_webhook_destination(
  endpoint_id uuid,
  origin text,
  destination text
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, true);
  update bulwark.webhook_endpoints e set origin = set_webhook_destination.origin
  where e.id = set_webhook_destination.endpoint_id;
  update bulwark_private.webhook_destinations d set ciphertext = destination
  where d.endpoint_id = set_webhook_destination.endpoint_id;
  perform bulwark_private.reset_webhook_health(endpoint_id);
end;
$$;
comment on function bulwark.set_webhook_destination(uuid, text, text) is
  'Moves an endpoint to another address (webhook:manage, and the right to read its events); called
   by the function webhooks. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.rotate_webhook_secret(
  endpoint_id uuid,
  secret_id uuid,
  secret text,
  overlap interval default '24 hours'
)
  returns timestamptz
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints := bulwark_private.take_webhook_endpoint(endpoint_id, false);
  v_until timestamptz;
begin
  if not bulwark_private.lasts_up_to(overlap, '7 days') then
    raise exception 'Cannot rotate the secret: the overlap is not between 0 and 7 days'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_OVERLAP';
  end if;
  v_until := clock_timestamp() + overlap;
  delete from bulwark_private.webhook_secrets s
  where s.endpoint_id = rotate_webhook_secret.endpoint_id and s.expires_at <= clock_timestamp();
  if (
    select count(*) from bulwark_private.webhook_secrets s
    where s.endpoint_id = rotate_webhook_secret.endpoint_id
  ) >= 5 then
    raise exception 'Cannot rotate the secret: five secrets are valid already'
      using errcode = 'PT409', detail = 'WEBHOOK_TOO_MANY_SECRETS',
            hint = 'Wait until one has expired';
  end if;
  -- Never extends the overlap of an earlier rotation.
  update bulwark_private.webhook_secrets s set expires_at = v_until
  where s.endpoint_id = rotate_webhook_secret.endpoint_id
    and (s.expires_at is null or s.expires_at > v_until);
  insert into bulwark_private.webhook_secrets (id, endpoint_id, organization_id, ciphertext)
  values (secret_id, v_endpoint.id, v_endpoint.organization_id, secret);
  return v_until;
end;
$$;
comment on function bulwark.rotate_webhook_secret(uuid, uuid, text, interval) is
  'Gives an endpoint a new secret and returns until when the previous one signs too (0 to 7 days,
   default 24 hours). Needs webhook:manage; called by the function webhooks. Errors:
   WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_INVALID_OVERLAP, WEBHOOK_TOO_MANY_SECRETS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.disable_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, false);
  update bulwark.webhook_endpoints e set disabled_at = now(), disabled_reason = 'manual'
  where e.id = endpoint_id and e.disabled_at is null;
end;
$$;
comment on function bulwark.disable_webhook_endpoint(uuid) is
  'Disables an endpoint (webhook:manage). New events are not queued for it; pending deliveries wait.
   Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.enable_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, true);
  update bulwark.webhook_endpoints e set disabled_at = null, disabled_reason = null
  where e.id = enable_webhook_endpoint.endpoint_id;
  perform bulwark_private.reset_webhook_health(endpoint_id);
end;
$$;
comment on function bulwark.enable_webhook_endpoint(uuid) is
  'Enables an endpoint (webhook:manage, and the right to read its events). Pending deliveries go
   out. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.delete_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, false);
  delete from bulwark.webhook_endpoints e where e.id = endpoint_id;
end;
$$;
comment on function bulwark.delete_webhook_endpoint(uuid) is
  'Deletes an endpoint with its address and secrets (webhook:manage). Pending deliveries are
   dropped. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

-- Webhooks bodies: the content of deliveries and the data for sending them, as workers read them.
-- Protects against a receiver that sees too much: without include_details it gets ids only; erased
-- and expired parts of audit entries are left out; and an endpoint never gets events of another
-- organization, even if it reuses a deleted endpoint's id.
-- Views only, read by claim_webhook_deliveries.

create view bulwark_private.webhook_bodies with (security_invoker = true) as
  select
    d.id as delivery_id,
    -- json is faster than jsonb here: nested jsonb is rebuilt at each level.
    json_build_object(
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
        -- In these, null values are information and stay.
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
  from bulwark.webhook_deliveries d
  join bulwark.webhook_endpoints e
    on e.id = d.endpoint_id and e.organization_id is not distinct from d.organization_id
  left join bulwark.audit_logs a on a.id = d.event_id and d.source = 'audit'
  left join bulwark_private.webhook_payloads p on p.delivery_id = d.id;
comment on view bulwark_private.webhook_bodies is
  'The content of deliveries: type, time, severity and data. Audit entries are read at delivery, so
   erased and expired parts are missing.';

create view bulwark_private.webhook_material with (security_invoker = true) as
  select
    e.id as endpoint_id,
    json_build_object(
      'id', e.id,
      'organization_id', e.organization_id,
      'account_id', s.account_id,
      'proven', h.proven,
      'timeouts', h.consecutive_timeouts,
      'name', e.name,
      'origin', e.origin,
      'format', e.format,
      'follow_redirects', e.follow_redirects,
      'destination', t.ciphertext,
      'secrets', (
        select json_agg(
          json_build_object('id', k.id, 'ciphertext', k.ciphertext) order by k.created_at desc
        )
        from bulwark_private.webhook_secrets k
        where k.endpoint_id = e.id
          and (k.expires_at is null or k.expires_at > clock_timestamp())
      )
    ) as material
  from bulwark.webhook_endpoints e
  join bulwark_private.webhook_destinations t on t.endpoint_id = e.id
  join bulwark_private.webhook_turns s on s.endpoint_id = e.id
  join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id;
comment on view bulwark_private.webhook_material is
  'The data for delivering to an endpoint: encrypted address, the encrypted secrets that sign now
   (newest first), the account it counts for, and its health.';

-- Webhooks turns: which deliveries the next claim takes.
-- Protects the order of deliveries where it was requested. Protects against an account,
-- organization, endpoint or ordering key that occupies the workers: each gets its share, and a
-- hanging endpoint gets one attempt at a time and pauses. The cost of a claim depends only on the
-- number of endpoints with pending deliveries.
-- No function here is SECURITY DEFINER: claim_webhook_deliveries calls them.

create function bulwark_private.take_webhook_turns(busy_endpoints uuid[], busy_accounts uuid[])
  returns table (
    endpoint_id uuid,
    organization_id uuid,
    account_id uuid,
    in_order boolean,
    proven boolean,
    accounts bigint,
    organizations bigint,
    endpoints bigint
  )
  language plpgsql
  volatile
  rows 10
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_seed constant bigint := (random() * 1e15)::bigint;
begin
  return query
    -- A loose index scan over endpoints with pending deliveries; others cost nothing.
    with recursive loose (endpoint_id) as (
      (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from loose b
      cross join lateral (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    ),
    ordered (endpoint_id) as (
      (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from ordered b
      cross join lateral (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    ),
    waiting as (
      select
        e.id as endpoint_id,
        e.organization_id,
        t.account_id,
        bool_or(w.in_order) as in_order,
        h.proven,
        -- Random order, new for each claim.
        uuid_hash_extended(t.account_id, v_seed) as account_place,
        uuid_hash_extended(e.organization_id, v_seed) as organization_place,
        uuid_hash_extended(e.id, v_seed) as endpoint_place
      from (
        select o.endpoint_id, true as in_order from ordered o
        union all
        select l.endpoint_id, false from loose l
        -- The first row of the index. "exists" may scan the whole table.
        where (
          select d.due_at from bulwark.webhook_deliveries d
          where d.endpoint_id = l.endpoint_id and d.status = 'pending' and d.ordering_key is null
          order by d.due_at
          limit 1
        ) <= clock_timestamp()
      ) w
      join bulwark.webhook_endpoints e on e.id = w.endpoint_id and e.disabled_at is null
      join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id
      join bulwark_private.webhook_turns t on t.endpoint_id = e.id
      where e.id <> all (busy_endpoints)
        and t.account_id <> all (busy_accounts)
        and (h.proven or (t.held_until > clock_timestamp()) is not true)
      group by e.id, t.account_id, h.proven
    )
    select
      w.endpoint_id, w.organization_id, w.account_id, w.in_order, w.proven,
      dense_rank() over (partition by w.proven order by w.account_place desc),
      dense_rank() over (
        partition by w.proven, w.account_place order by w.organization_place desc
      ),
      row_number() over (
        partition by w.proven, w.account_place, w.organization_place order by w.endpoint_place desc
      )
    from waiting w
    order by w.proven desc, w.account_place, w.organization_place, w.endpoint_place;
end;
$$;
comment on function bulwark_private.take_webhook_turns(uuid[], uuid[]) is
  'The endpoints with pending deliveries that are not busy and, if unproven, not held, in random
   order by account, then organization, proven ones first. Also returns how many accounts,
   organizations of the account and endpoints of the organization follow.';

create function bulwark_private.hold_webhook_endpoint(endpoint_id uuid, until timestamptz)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Somebody who changes or deletes the endpoint holds its row. The update below would wait for it:
  -- a row that this transaction has updated before is checked against its foreign key again.
  perform from bulwark.webhook_endpoints e where e.id = hold_webhook_endpoint.endpoint_id
  for key share skip locked;
  if not found then
    return false;
  end if;
  update bulwark_private.webhook_turns t set held_until = until
  where t.endpoint_id = (
    select f.endpoint_id
    from bulwark_private.webhook_turns f
    where f.endpoint_id = hold_webhook_endpoint.endpoint_id
      and (f.held_until > clock_timestamp()) is not true
    -- A locked row means that another claim takes the endpoint right now.
    for update skip locked
  );
  return found;
end;
$$;
comment on function bulwark_private.hold_webhook_endpoint(uuid, timestamptz) is
  'Reserves the only attempt of an unproven endpoint until its result arrives or its claim expires.
   False if it is taken, or somebody is changing the endpoint.';

create function bulwark_private.webhook_pause(timeouts bigint)
  returns interval
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select make_interval(secs => least(60, power(2, least(timeouts, 16) - 1)))
  where timeouts > 0;
$$;
comment on function bulwark_private.webhook_pause(bigint) is
  'The pause of an endpoint after this many consecutive timeouts: 1, 2, 4, … up to 60 seconds; null
   for none.';

create function bulwark_private.end_webhook_attempts(endpoint_ids uuid[])
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  update bulwark_private.webhook_turns t
  set held_until = clock_timestamp() + bulwark_private.webhook_pause(h.consecutive_timeouts)
  from bulwark.webhook_endpoint_health h
  where h.endpoint_id = t.endpoint_id
    and t.endpoint_id in (
      select f.endpoint_id
      from bulwark_private.webhook_turns f
      join bulwark.webhook_endpoint_health h on h.endpoint_id = f.endpoint_id
      where f.endpoint_id = any (endpoint_ids)
        and (f.held_until is not null or h.consecutive_timeouts > 0)
      -- Skips locked rows: a claim that holds one may wait for a lock of the caller.
      for update of f skip locked
    );
$$;
comment on function bulwark_private.end_webhook_attempts(uuid[]) is
  'Ends the attempts of unproven endpoints, so that the next one may start; after a timeout with a
   pause.';

create function bulwark_private.hold_invitation(invitation_id uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from bulwark.invitations i where i.id = hold_invitation.invitation_id
  for key share skip locked;
  if not found then
    return not exists (
      select from bulwark.invitations i where i.id = hold_invitation.invitation_id
    );
  end if;
  -- The claim replaces the token, which somebody may be looking at.
  perform from bulwark_private.invitation_tokens t
  where t.invitation_id = hold_invitation.invitation_id
  for update skip locked;
  return found or not exists (
    select from bulwark_private.invitation_tokens t
    where t.invitation_id = hold_invitation.invitation_id
  );
end;
$$;
comment on function bulwark_private.hold_invitation(uuid) is
  'Keeps an invitation and its token from being changed until commit; true also if it is gone. False
   if another transaction deletes it or looks at the token.';

create function bulwark_private.pick_webhooks(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.endpoint_id = pick_webhooks.endpoint_id
      and d.status = 'pending'
      and d.ordering_key is null
      and d.due_at <= clock_timestamp()
      and (d.source <> 'invitation' or bulwark_private.hold_invitation(d.event_id))
    order by d.due_at
    limit maximum
    for update skip locked
  );
end;
$$;
comment on function bulwark_private.pick_webhooks(uuid, integer) is
  'Locks due deliveries of an endpoint without order, but for messages to invitees whose invitation
   is being deleted.';

create function bulwark_private.pick_webhooks_in_order(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  c_endless constant bigint := 9223372036854775807;
  -- Bounds the cost of a claim when many keys wait.
  c_looks constant integer := 250;
  v_free text[] := array[]::text[];
  v_from text;
  v_key record;
  v_locked uuid[];
  v_looks integer := 0;
  v_now timestamptz;
  v_run uuid[];
begin
  -- One claim at a time. The lock is followed by a new snapshot, which sees the previous claim.
  if not pg_try_advisory_xact_lock(hashtextextended('bulwark.webhooks/' || endpoint_id, 0)) then
    return array[]::uuid[];
  end if;
  v_now := clock_timestamp();
  select t.ordering_key into v_from
  from bulwark_private.webhook_turns t where t.endpoint_id = pick_webhooks_in_order.endpoint_id;
  for v_key in
    -- Continues after the last key served, then wraps around.
    with recursive behind (name, due_at) as (
      (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
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
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (b.name, c_endless)
        order by d.ordering_key, d.sequence
        limit 1
      ) n
    ),
    before (name, due_at) as (
      (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
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
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
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
    -- A delivery in progress or waiting for a retry blocks the later ones of its key.
    if v_key.due_at <= v_now and not exists (
      select from bulwark.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key = v_key.name and d.attempts > 0
        and d.due_at > v_now
    ) then
      v_free := v_free || v_key.name;
    end if;
    exit when v_looks >= c_looks or cardinality(v_free) >= maximum;
  end loop;
  if v_looks >= c_looks or v_free <> '{}' then
    update bulwark_private.webhook_turns t set ordering_key = v_key.name
    where t.endpoint_id = (
      select f.endpoint_id
      from bulwark_private.webhook_turns f
      where f.endpoint_id = pick_webhooks_in_order.endpoint_id and f.ordering_key <> v_key.name
      for update skip locked
    );
  end if;
  if v_free = '{}' then
    return array[]::uuid[];
  end if;
  -- Takes consecutive deliveries of each key, from its first.
  v_run := array(
    select r.id
    from unnest(v_free) as f (name)
    cross join lateral (
      select d.id
      from bulwark.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key is not null and d.ordering_key = f.name
      order by d.sequence
      limit maximum / cardinality(v_free)
    ) r
  );
  v_locked := array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.id = any (v_run) and d.status = 'pending' and d.due_at <= v_now
    for update skip locked
  );
  -- A locked delivery is being completed late, so the later ones of its key wait.
  return case when cardinality(v_locked) = cardinality(v_run) then v_run else array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.id = any (v_locked) and not exists (
      select from bulwark.webhook_deliveries b
      where b.id = any (v_run) and b.id <> all (v_locked)
        and b.ordering_key = d.ordering_key and b.sequence < d.sequence
    )
  ) end;
end;
$$;
comment on function bulwark_private.pick_webhooks_in_order(uuid, integer) is
  'Locks due deliveries of an endpoint in order. Skips keys with a delivery in progress or waiting
   for a retry, and takes consecutive deliveries of the other keys in turn.';

-- Webhooks claims: how workers share the outbox.
-- Protects against losing a delivery with its worker (the claim expires, and another worker
-- delivers it under the same id), against two workers making the same attempt, and against an
-- account that occupies the workers: accounts, their organizations and their endpoints get equal
-- shares, and unproven endpoints get one attempt at a time, after the others.
-- SECURITY DEFINER: claim_webhook_deliveries, because the service role writes no table.

create function bulwark.claim_webhook_deliveries(
  worker text,
  maximum integer default 100,
  lease_seconds integer default 60,
  only_delivery uuid default null,
  busy_endpoints uuid[] default '{}',
  busy_accounts uuid[] default '{}',
  maximum_unproven integer default null
)
  returns json
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off       -- a plan made for an empty queue is kept for a full one
  set jit = off
as $$
declare
  v_claimed json;
  v_lapsed uuid[];
  v_now constant timestamptz := clock_timestamp();
  v_picked uuid[] := array[]::uuid[];
  v_account uuid;
  v_account_left integer := 0;
  v_left integer := 0;
  v_organization uuid;
  v_organization_left integer := 0;
  v_proven boolean;
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
      select d.id from bulwark.webhook_deliveries d
      where d.id = only_delivery and d.status = 'pending' and d.due_at <= v_now
        and (d.source <> 'invitation' or bulwark_private.hold_invitation(d.event_id))
      for update skip locked
    );
  else
    for v_turn in
      select *
      from bulwark_private.take_webhook_turns(
        coalesce(busy_endpoints, '{}'), coalesce(busy_accounts, '{}')
      )
    loop
      -- Unused shares go to the next accounts; the same within an account.
      if v_turn.proven is distinct from v_proven then
        v_left := maximum - cardinality(v_picked);
        if not v_turn.proven then
          v_left := least(v_left, coalesce(maximum_unproven, maximum));
        end if;
        v_account := null;
      end if;
      if v_turn.account_id is distinct from v_account then
        v_account_left := ceil(v_left::numeric / v_turn.accounts);
        v_organization_left := ceil(v_account_left::numeric / v_turn.organizations);
      elsif v_turn.organization_id is distinct from v_organization then
        v_organization_left := ceil(v_account_left::numeric / v_turn.organizations);
      end if;
      v_proven := v_turn.proven;
      v_account := v_turn.account_id;
      v_organization := v_turn.organization_id;
      v_share := ceil(v_organization_left::numeric / v_turn.endpoints);
      if not v_proven then
        v_share := least(v_share, 1);
      end if;
      continue when v_share <= 0;
      v_some := bulwark_private.pick_webhooks(v_turn.endpoint_id, v_share);
      if v_turn.in_order and cardinality(v_some) < v_share then
        v_some := v_some || bulwark_private.pick_webhooks_in_order(
          v_turn.endpoint_id, v_share - cardinality(v_some)
        );
      end if;
      if v_proven or v_some <> '{}' and bulwark_private.hold_webhook_endpoint(
        v_turn.endpoint_id, clock_timestamp() + make_interval(secs => lease_seconds)
      ) then
        v_picked := v_picked || v_some;
        v_left := v_left - cardinality(v_some);
        v_account_left := v_account_left - cardinality(v_some);
        v_organization_left := v_organization_left - cardinality(v_some);
      end if;
    end loop;
  end if;
  if v_picked = '{}' then
    return json_build_object('deliveries', '[]'::json, 'endpoints', '[]'::json);
  end if;
  -- The claim expired: its worker never reported a result.
  v_lapsed := array(
    select d.id from bulwark.webhook_deliveries d
    where d.id = any (v_picked) and d.attempt_id is not null
  );
  if v_lapsed <> '{}' then
    insert into bulwark.webhook_attempts (id, delivery_id, number, outcome, worker, started_at)
    select d.attempt_id, d.id, d.attempts, 'lost', d.claimed_by, d.claimed_at
    from bulwark.webhook_deliveries d
    where d.id = any (v_lapsed);
    update bulwark.webhook_deliveries d
    set status = 'dead', finished_at = v_now, attempt_id = null
    where d.id = any (v_lapsed)
      and d.attempts - d.attempts_before
        >= (bulwark_private.setting('webhooks.maximum_attempts'))::integer;
  end if;
  with claimed as (
    update bulwark.webhook_deliveries d
    set attempt_id = gen_random_uuid(),
      attempts = d.attempts + 1,
      claimed_by = worker,
      claimed_at = clock_timestamp(),
      due_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.id = any (v_picked) and d.status = 'pending'
    returning d.id, d.sequence, d.endpoint_id, d.attempt_id, d.attempts, d.ordering_key, d.source,
      d.event_id
  )
  select json_build_object(
    'deliveries', (
      select coalesce(
        json_agg(
          json_build_object(
            'id', c.id,
            'attempt_id', c.attempt_id,
            'attempt', c.attempts,
            'endpoint_id', c.endpoint_id,
            'ordering_key', c.ordering_key,
            'body', case
              when c.source = 'invitation'
              then bulwark_private.invitation_message(c.event_id)
              else b.body
            end
          )
          order by c.sequence
        ),
        '[]'
      )
      from claimed c
      join bulwark_private.webhook_bodies b on b.delivery_id = c.id
    ),
    'endpoints', (
      select coalesce(json_agg(m.material), '[]')
      from bulwark_private.webhook_material m
      where m.endpoint_id in (select c.endpoint_id from claimed c)
    )
  )
  into v_claimed;
  return v_claimed;
end;
$$;
comment on function bulwark.claim_webhook_deliveries(
  text, integer, integer, uuid, uuid[], uuid[], integer
) is
  'Claims up to maximum due deliveries for a worker until the lease ends. Returns them with the
   encrypted addresses and secrets of their endpoints (service role only). Accounts, their
   organizations and their endpoints get equal shares. Unproven endpoints come last, with one
   delivery each and at most maximum_unproven in total. busy_endpoints and busy_accounts get none.
   only_delivery claims that delivery alone, also of a disabled endpoint. Errors:
   WEBHOOK_INVALID_CLAIM.';

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

-- Webhooks schedule: runs deliveries and retention regularly.
-- Protects against an outbox and a delivery log that only grow.
-- SECURITY DEFINER: continue_webhook_deliveries, because the service role may not use Vault and
-- pg_net. pg_cron runs jobs as the role that scheduled them.

insert into bulwark.settings (name, value, description) values
  (
    'webhooks.interval_seconds', '10',
    'Seconds between two deliveries by the scheduler; call bulwark.schedule_jobs after a change'
  ),
  (
    'webhooks.workers', '1',
    'How many workers the scheduler starts each time, each by its own request'
  );

create function bulwark_private.request_webhook_deliveries()
  returns bigint
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- A run polls until the next run starts.
  select count(bulwark_private.request_function(
    format(
      'webhooks/deliver?wait_seconds=%s',
      least((bulwark_private.setting('webhooks.interval_seconds'))::integer, 50)
    ),
    timeout_milliseconds => 60000
  ))
  from generate_series(1, (bulwark_private.setting('webhooks.workers'))::integer);
$$;
comment on function bulwark_private.request_webhook_deliveries() is
  'Calls the function webhooks through pg_net to deliver, once for each worker. Returns the number
   of calls. Errors: SCHEDULER_NOT_CONFIGURED.';

create function bulwark.continue_webhook_deliveries(wait_seconds integer)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because Vault and pg_net are not the service role's
  set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regproc('net.http_post') is null then
    return false;
  end if;
  perform bulwark_private.request_function(
    format('webhooks/deliver?wait_seconds=%s', greatest(0, least(wait_seconds, 50))),
    timeout_milliseconds => 60000
  );
  return true;
end;
$$;
comment on function bulwark.continue_webhook_deliveries(integer) is
  'Starts a follow-up run for the remaining time of one that reached its maximum, so that there are
   never more runs than the scheduler starts (service role only). False without pg_net. Errors:
   SCHEDULER_NOT_CONFIGURED.';

insert into bulwark_private.jobs (
  name, every, seconds_setting, local_every, command, function_path
) values
  (
    'webhooks-deliver', null, 'webhooks.interval_seconds', '1 second',
    'select bulwark_private.request_webhook_deliveries()', 'bulwark-webhooks/deliver'
  ),
  (
    'webhooks-retention', '5 minutes', null, null, 'select bulwark.prune_webhook_deliveries()', null
  );

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

-- Webhooks settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks webhooks. All other settings are the operator's.
-- No function here.

insert into bulwark_private.setting_rules (name, accepts) values
  ('webhooks.maximum_endpoints', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('webhooks.maximum_attempts', '{"type": "integer", "minimum": 1, "maximum": 50}'),
  ('webhooks.retry_base_seconds', '{"type": "integer", "minimum": 1, "maximum": 3600}'),
  ('webhooks.retry_factor', '{"type": "number", "minimum": 1, "maximum": 10}'),
  ('webhooks.retry_maximum_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}'),
  ('webhooks.disable_after_failures', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('webhooks.disable_after_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('webhooks.retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('webhooks.tests_per_minute', '{"type": "integer", "minimum": 0, "maximum": 1000}');

-- Webhooks invitations: the message to an invitee, as one delivery to the one endpoint that sends
-- messages for the installation.
-- Protects the token: it is made when a worker claims the delivery, so neither the outbox, the
-- audit log nor the sender has it, and each attempt and replay has another. Endpoints of
-- organizations never get the event.
-- No function here is SECURITY DEFINER: invite_member and claim_webhook_deliveries call them.

insert into bulwark.settings (name, value, description) values
  ('webhooks.invitation_link', 'null',
    'The link of messages to invitees: an address of the application with {token} in it');

-- A malformed link would reach people.
alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_webhooks_invitation_link check (
    name <> 'webhooks.invitation_link' or value = 'null'
    or jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^https?://[^[:space:]]*\{token\}'
  );

create or replace function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark.webhook_deliveries (
    endpoint_id, event_id, occurred_at, source, severity, event_type
  )
  select s.endpoint_id, i.id, i.created_at, 'invitation', 'info', s.pattern
  from bulwark.invitations i
  join bulwark.webhook_subscriptions s on s.pattern = 'invitation.created'
  where i.id = announce_invitation.invitation_id;
  return found;
end;
$$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: writes a
   delivery to the endpoint with the subscription invitation.created; false if there is none.';

create function bulwark_private.invitation_message(invitation_id uuid)
  returns json
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_token text;
begin
  select * into v_invitation
  from bulwark.invitations i
  where i.id = invitation_message.invitation_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.expires_at > now();
  if found then
    v_token := bulwark_private.issue_invitation_token(v_invitation.id);
  end if;
  return json_build_object(
    'type', 'invitation.created',
    'timestamp', to_char(
      coalesce(v_invitation.created_at, now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ),
    'severity', 'info',
    'data', case
      when v_token is null then json_build_object('id', invitation_id, 'removed', true)
      else (
        select json_build_object(
          'id', v_invitation.id,
          'organization', json_build_object('id', o.id, 'name', o.name, 'slug', o.slug),
          'email', v_invitation.email,
          'role', r.name,
          'invited_by', case when p.user_id is not null then json_build_object(
            'name', bulwark_private.printable_name(p.said_name), 'email', p.email
          ) end,
          'expires_at', v_invitation.expires_at,
          'role_expires_at', v_invitation.role_expires_at,
          'token', v_token,
          'link', replace(
            bulwark_private.setting('webhooks.invitation_link') #>> '{}', '{token}', v_token
          )
        )
        from bulwark.organizations o
        join bulwark.roles r on r.id = v_invitation.role_id
        left join bulwark_private.people p on p.user_id = v_invitation.invited_by
        where o.id = v_invitation.organization_id
      )
    end
  );
end;
$$;
comment on function bulwark_private.invitation_message(uuid) is
  'The content of a delivery about an invitation, with a new token, which replaces the one before.
   Without, and with removed true, if the invitation is no longer pending.';

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

revoke all on table
  bulwark.webhook_endpoints,
  bulwark.webhook_subscriptions,
  bulwark_private.webhook_destinations,
  bulwark_private.webhook_secrets,
  bulwark.webhook_endpoint_health,
  bulwark_private.webhook_turns,
  bulwark_private.webhook_routes,
  bulwark.webhook_deliveries,
  bulwark.webhook_attempts,
  bulwark_private.webhook_payloads,
  bulwark_private.webhook_upgrades,
  bulwark_private.webhook_bodies,
  bulwark_private.webhook_material
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.webhook_scope(organization_id uuid, every_organization boolean),
  bulwark_private.webhook_endpoint_organization(endpoint_id uuid),
  bulwark_private.webhook_resource_key(resource_type text, resource_id text),
  bulwark_private.queue_webhooks(entries uuid[]),
  bulwark_private.webhooks_take_security_event(),
  bulwark_private.require_webhook_rights(organization_id uuid, patterns text[]),
  bulwark_private.sees_webhooks(organization_id uuid),
  bulwark_private.find_webhook_endpoint(endpoint_id uuid, changes_content boolean),
  bulwark_private.take_webhook_endpoint(endpoint_id uuid, changes_content boolean),
  bulwark_private.store_webhook_subscriptions(endpoint bulwark.webhook_endpoints, subscriptions jsonb),
  bulwark_private.webhook_account(organization_id uuid),
  bulwark.create_webhook_endpoint(id uuid, organization_id uuid, name text, origin text, destination text, secret_id uuid, secret text, subscriptions jsonb, format bulwark.webhook_format, ordering bulwark.webhook_ordering, include_details boolean, follow_redirects boolean, every_organization boolean),
  bulwark.update_webhook_endpoint(endpoint_id uuid, name text, ordering bulwark.webhook_ordering, include_details boolean, follow_redirects boolean, subscriptions jsonb),
  bulwark_private.reset_webhook_health(endpoint_id uuid),
  bulwark.set_webhook_destination(endpoint_id uuid, origin text, destination text),
  bulwark.rotate_webhook_secret(endpoint_id uuid, secret_id uuid, secret text, overlap interval),
  bulwark.disable_webhook_endpoint(endpoint_id uuid),
  bulwark.enable_webhook_endpoint(endpoint_id uuid),
  bulwark.delete_webhook_endpoint(endpoint_id uuid),
  bulwark_private.take_webhook_turns(busy_endpoints uuid[], busy_accounts uuid[]),
  bulwark_private.hold_webhook_endpoint(endpoint_id uuid, until timestamptz),
  bulwark_private.webhook_pause(timeouts bigint),
  bulwark_private.end_webhook_attempts(endpoint_ids uuid[]),
  bulwark_private.hold_invitation(invitation_id uuid),
  bulwark_private.pick_webhooks(endpoint_id uuid, maximum integer),
  bulwark_private.pick_webhooks_in_order(endpoint_id uuid, maximum integer),
  bulwark.claim_webhook_deliveries(worker text, maximum integer, lease_seconds integer, only_delivery uuid, busy_endpoints uuid[], busy_accounts uuid[], maximum_unproven integer),
  bulwark_private.webhook_wait(attempt bigint, retry_after_seconds integer),
  bulwark.complete_webhook_deliveries(results jsonb),
  bulwark_private.note_webhook_health(endpoint_id uuid, successes bigint, failures bigint, timeouts bigint, gone boolean),
  bulwark_private.disable_failing_webhook(endpoint_id uuid, gone boolean),
  bulwark.replay_webhook_delivery(delivery_id uuid),
  bulwark.replay_webhook_deliveries(endpoint_id uuid, since timestamptz, until timestamptz, statuses bulwark.webhook_delivery_status[]),
  bulwark_private.replay_webhooks(deliveries uuid[]),
  bulwark.send_test_webhook(endpoint_id uuid),
  bulwark.prune_webhook_deliveries(maximum integer),
  bulwark_private.request_webhook_deliveries(),
  bulwark.continue_webhook_deliveries(wait_seconds integer),
  bulwark.webhook_stats(organization_id uuid, since timestamptz),
  bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid),
  bulwark_private.invitation_message(invitation_id uuid),
  bulwark_private.webhook_levels()
  from public, anon, authenticated, service_role;

-- Webhooks: grants. The build revokes everything else.

grant select on
  bulwark.webhook_endpoints,
  bulwark.webhook_subscriptions,
  bulwark.webhook_endpoint_health,
  bulwark.webhook_deliveries,
  bulwark.webhook_attempts
  to authenticated, service_role;

grant execute on function
  bulwark.create_webhook_endpoint(uuid, uuid, text, text, text, uuid, text, jsonb,
    bulwark.webhook_format, bulwark.webhook_ordering, boolean, boolean, boolean),
  bulwark.update_webhook_endpoint(uuid, text, bulwark.webhook_ordering, boolean, boolean, jsonb),
  bulwark.set_webhook_destination(uuid, text, text),
  bulwark.rotate_webhook_secret(uuid, uuid, text, interval),
  bulwark.disable_webhook_endpoint(uuid),
  bulwark.enable_webhook_endpoint(uuid),
  bulwark.delete_webhook_endpoint(uuid),
  bulwark.replay_webhook_delivery(uuid),
  bulwark.replay_webhook_deliveries(
    uuid, timestamptz, timestamptz, bulwark.webhook_delivery_status[]
  ),
  bulwark.send_test_webhook(uuid),
  bulwark.webhook_stats(uuid, timestamptz),
  bulwark.preview_webhook_delivery(uuid, uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.claim_webhook_deliveries(text, integer, integer, uuid, uuid[], uuid[], integer),
  bulwark.complete_webhook_deliveries(jsonb),
  bulwark.prune_webhook_deliveries(integer),
  bulwark.continue_webhook_deliveries(integer)
  to service_role;

insert into bulwark_private.capabilities values ('webhooks', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
