-- Audit tables: the log, its event types, and who reads it.
-- Protects one organization's log from readers of another. audit_append_only keeps entries from
-- being altered, removed, forged or back-dated. A superuser can switch triggers off; verification
-- (audit_verification) detects that, nothing prevents it.
-- SECURITY DEFINER: audited_organizations, because clients cannot read the chains of organizations.

create type bulwark.audit_severity as enum ('debug', 'info', 'warning', 'error', 'critical');
comment on type bulwark.audit_severity is 'How serious an event is, in rising order.';
create type bulwark.audit_result as enum ('success', 'failure', 'partial');
comment on type bulwark.audit_result is 'Whether the event succeeded.';
create type bulwark.audit_source as enum ('table', 'auth', 'client', 'service', 'system');
comment on type bulwark.audit_source is
  'Where an entry comes from: the trigger of an audited table, the auth schema, a client''s report
   about itself, a report by the service role, or Bulwark''s own functions (system). Nobody can
   report an entry with source system, and only such an entry accounts for a removal.';
create type bulwark.audit_actor_type as enum (
  'user', 'api_key', 'service', 'anonymous', 'database'
);
comment on type bulwark.audit_actor_type is
  'Kind of actor: a person, an API key, the service role, a request without a user, or a database
   connection without an API role (database_user names its login role).';

create table bulwark.audit_event_types (
  name text primary key,
  description text not null,
  severity bulwark.audit_severity not null default 'info',
  reported_by_clients boolean not null default false,
  constraint audit_event_types_name_format check (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$'),
  constraint audit_event_types_name_length check (length(name) <= 64),
  constraint audit_event_types_closed_categories check (
    not reported_by_clients or split_part(name, '.', 1) <> all (
      array['auth', 'authz', 'config', 'security', 'settings', 'system']
    )
  ),
  -- More serious entries survive retention, so clients must not be able to report them.
  constraint audit_event_types_clients_report_up_to_warning check (
    not reported_by_clients or severity <= 'warning'
  )
);
comment on table bulwark.audit_event_types is
  'The catalogue of event types (category.name). A host application adds rows of its own.';
comment on column bulwark.audit_event_types.severity is
  'Severity of an entry whose writer names none.';
comment on column bulwark.audit_event_types.reported_by_clients is
  'Whether clients may report this type about themselves with log_audit_event.';

-- No foreign keys: an entry outlives the rows it is about. No check constraints: Postgres would
-- parse each of them again on every append, so the triggers check. Columns are ordered by
-- alignment. Partitions are months (audit_partitions), by the time in the id: so an id is unique in
-- the whole log, and an entry is found by it in one partition. Rows are routed before triggers run,
-- so the default makes the id: 48 bits of milliseconds, 12 of their fraction, version, random bits.
create table bulwark.audit_logs (
  id uuid primary key default (
    substr(
      overlay(
        encode(
          int8send((date_part('epoch', clock_timestamp()) * 4096000)::bigint)
            || int8send((-9223372036854775808) + (random() * 4611686018427387904)::bigint),
          'hex'
        )
        placing '7' from 14 for 0
      ),
      2
    )
  )::uuid,
  xid xid8 not null,
  occurred_at timestamptz not null,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  source bulwark.audit_source not null,
  severity bulwark.audit_severity not null,
  result bulwark.audit_result not null default 'success',
  actor_type bulwark.audit_actor_type,
  organization_id uuid,
  actor_id uuid,
  session_id uuid,
  correlation_id uuid,
  parent_id uuid,
  salt uuid,
  removed_by uuid,
  event_type text not null,
  resource_type text,
  resource_id text,
  action text,
  database_user text,
  ip text,
  user_agent text,
  before jsonb,
  after jsonb,
  details jsonb,
  commitment bytea
) partition by range (id);
comment on table bulwark.audit_logs is
  'One entry for each event. Entries never change. Only retention and erasure remove a payload; the
   skeleton stays: id, xid, occurred_at, timeline, source, severity, result, organization_id,
   event_type, resource_type. All other columns are payload and may be personal data.';
comment on column bulwark.audit_logs.id is 'UUID version 7: ordered by time, down to the
   microsecond.';
comment on column bulwark.audit_logs.xid is
  'The transaction that wrote the entry; it decides which seal holds it.';
comment on column bulwark.audit_logs.timeline is
  'Number of the cluster that wrote the entry. Transaction ids restart where a dump is restored, so
   each cluster has a number of its own.';
comment on column bulwark.audit_logs.actor_id is
  'The actor, as the request claims it; anyone who can run SQL can claim to be anybody.
   database_user is known to the database itself.';
comment on column bulwark.audit_logs.database_user is
  'The session_user: the role that logged in to the database.';
comment on column bulwark.audit_logs.ip is
  'Client address. From the header that a trusted proxy writes (settings rate_limits.address_header
   and address_hops) or, for an auth event, as Supabase Auth saw it. While no proxy is trusted it is
   the first address of X-Forwarded-For, which the client can make up.';
comment on column bulwark.audit_logs.correlation_id is
  'Shared by all entries of a request: its header x-correlation-id if that is a UUID, else derived
   from the transaction id.';
comment on column bulwark.audit_logs.parent_id is 'The entry that this one belongs to.';
comment on column bulwark.audit_logs.before is
  'Old values; for an update only of the columns that changed.';
comment on column bulwark.audit_logs.after is
  'New values; for an update only of the columns that changed.';
comment on column bulwark.audit_logs.salt is
  'Blinds the commitment to the payload; removed together with the payload.';
comment on column bulwark.audit_logs.removed_by is
  'The entry that records the removal of the payload; null while the payload is present.';
comment on column bulwark.audit_logs.commitment is
  'SHA-256 of salt and payload, stored once the payload is removed, so that proofs stay valid.';

-- Indexes for the sealer (new entries by transaction, in the order of a seal), for readers (pages
-- of an organization by id) and for verification (entries that a removal record covers).
create index audit_logs_xid_idx on bulwark.audit_logs (timeline, xid, id);
create index audit_logs_organization_id_idx on bulwark.audit_logs (organization_id, id);
create index audit_logs_removed_by_idx on bulwark.audit_logs (removed_by)
  where removed_by is not null;
-- For searches by actor, correlation or resource. A filter for each 64 pages costs a writer next to
-- nothing, where three B-trees would cost as much as all other indexes together; it is made once
-- the pages are full, by autovacuum or the job.
create index audit_logs_search_idx on bulwark.audit_logs using brin (
  occurred_at,
  actor_id uuid_bloom_ops (n_distinct_per_range = 1000),
  correlation_id uuid_bloom_ops (n_distinct_per_range = 1000),
  resource_id text_bloom_ops (n_distinct_per_range = 1000)
) with (pages_per_range = 64, autosummarize = on);

alter table bulwark.audit_event_types enable row level security;
alter table bulwark.audit_logs enable row level security;

create function bulwark_private.audited_organizations()
  returns setof uuid
  language plpgsql
  stable
  rows 10
  security definer            -- definer because clients cannot read groups
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
begin
  return query select bulwark.organizations_with('audit:read');
  -- A deleted organization is listed only by its groups in the log.
  if bulwark.is_super_admin() then
    return query
      with recursive logged (organization_id) as (
        select min.organization_id
        from (
          select g.organization_id from bulwark_private.audit_groups g
          where g.organization_id is not null
          order by g.organization_id
          limit 1
        ) min
        union all
        select (
          select g.organization_id from bulwark_private.audit_groups g
          where g.organization_id > l.organization_id
          order by g.organization_id
          limit 1
        )
        from logged l
        where l.organization_id is not null
      )
      select l.organization_id
      from logged l
      where l.organization_id is not null
        and not exists (select from bulwark.organizations o where o.id = l.organization_id);
  end if;
end;
$$;
comment on function bulwark_private.audited_organizations() is
  'The organizations whose log the caller may read, for the policy: those with audit:read and, for a
   super_admin, also deleted ones.';

create policy "Anyone signed in reads the catalogue of event types"
  on bulwark.audit_event_types for select to authenticated
  using ((select bulwark.current_person()) is not null);

-- Each side of the or uses an index; a bare is_super_admin() would make every reader scan the
-- table.
create policy "Members read the audit log of organizations where they may"
  on bulwark.audit_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

insert into bulwark.audit_event_types (name, severity, reported_by_clients, description) values
  ('auth.login', 'info', false, 'A session began'),
  ('auth.logout', 'info', false, 'A session ended'),
  ('auth.login_failed', 'warning', false, 'A sign-in was refused'),
  ('auth.mfa_enabled', 'info', false, 'A second factor was added'),
  ('auth.mfa_disabled', 'warning', false, 'A second factor was removed'),
  ('auth.mfa_verified', 'info', false, 'A second factor was verified'),
  ('auth.password_changed', 'info', false, 'A password was changed'),
  ('auth.password_reset', 'info', false, 'A password reset was asked for'),
  ('authz.permission_granted', 'info', false, 'A role came to hold a permission'),
  ('authz.permission_denied', 'warning', false, 'Something was refused for want of a permission'),
  ('authz.role_assigned', 'info', false, 'Somebody was given a role, or its window was changed'),
  ('authz.role_removed', 'info', false, 'A role was taken from somebody'),
  ('data.read', 'info', true, 'Data was read'),
  ('data.create', 'info', false, 'A row was made'),
  ('data.update', 'info', false, 'A row was changed'),
  ('data.delete', 'info', false, 'Rows were deleted'),
  ('data.export', 'info', true, 'Data left the system in bulk'),
  ('api.request', 'debug', true, 'A request was made'),
  ('api.error', 'error', false, 'A request failed'),
  ('api.rate_limit', 'warning', false, 'A request was refused for its rate'),
  ('api.key_created', 'info', false, 'An API key was issued'),
  ('api.key_revoked', 'info', false, 'An API key was revoked'),
  ('config.changed', 'warning', false, 'The configuration of Bulwark was changed'),
  ('settings.updated', 'info', false, 'A setting was changed'),
  ('security.breach_attempt', 'critical', false, 'Somebody tried to break in'),
  ('security.suspicious_activity', 'warning', false, 'Something looks wrong'),
  ('security.ip_blocked', 'warning', false, 'An address was blocked'),
  ('compliance.data_accessed', 'info', true, 'Regulated data was accessed'),
  ('compliance.data_deleted', 'warning', false, 'Payloads of the audit log were removed'),
  ('compliance.export', 'info', true, 'A record was exported for compliance'),
  ('system.error', 'error', false, 'The installation has a fault'),
  ('system.warning', 'warning', false, 'The installation needs attention'),
  ('system.startup', 'info', false, 'A part of the installation started'),
  ('system.shutdown', 'info', false, 'A part of the installation stopped');
