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
