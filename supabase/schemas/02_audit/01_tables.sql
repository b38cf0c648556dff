-- Audit: the log of who did what, its vocabulary, and who reads it.
-- Protects against an organization that reads what another one did. That no entry is altered,
-- removed, forged or back-dated is the subject of audit_append_only; what a superuser does, who can
-- switch triggers off, is found by verification (audit_verification), not prevented.
-- SECURITY DEFINER: audited_organizations, because the chains of organizations are for no client.

create type bulwark.audit_severity as enum ('debug', 'info', 'warning', 'error', 'critical');
comment on type bulwark.audit_severity is 'How serious an event is, in rising order.';
create type bulwark.audit_result as enum ('success', 'failure', 'partial');
comment on type bulwark.audit_result is 'How what the entry tells of ended.';
create type bulwark.audit_source as enum ('table', 'auth', 'client', 'service', 'system');
comment on type bulwark.audit_source is
  'How an entry came to be: seen by the trigger of a guarded table, seen on the auth schema,
   reported by a client about itself, reported by the service role, or recorded by Bulwark''s own
   functions (system), which nobody can report: only such an entry accounts for a removal.';
create type bulwark.audit_actor_type as enum (
  'user', 'api_key', 'service', 'anonymous', 'database'
);
comment on type bulwark.audit_actor_type is
  'What acted: a person, an API key, the service role, a request without a user, or somebody
   connected to the database without an API role (database_user says as whom).';

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
  -- What is more serious is kept when payloads are cleaned up, and who reports does not
  -- decide that.
  constraint audit_event_types_clients_report_up_to_warning check (
    not reported_by_clients or severity <= 'warning'
  )
);
comment on table bulwark.audit_event_types is
  'The catalogue of event types (category.name). A host application adds rows of its own.';
comment on column bulwark.audit_event_types.severity is
  'What an entry has when its writer names none.';
comment on column bulwark.audit_event_types.reported_by_clients is
  'Whether a client may report it of itself with log_audit_event.';

-- No foreign keys: an entry outlives what it tells of. No check constraints: each would be parsed
-- anew on every append; the triggers check. Columns stand in order of their alignment.
create table bulwark.audit_logs (
  id uuid primary key,
  xid xid8 not null,
  occurred_at timestamptz not null,
  -- squawk-ignore prefer-bigint-over-int
  era integer not null,
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
);
comment on table bulwark.audit_logs is
  'What happened, one entry each, never changed and never removed but by retention and erasure,
   which take the payload and leave the skeleton: id, xid, occurred_at, era, source, severity,
   result, organization_id, event_type, resource_type. Everything else is payload and may be
   personal.';
comment on column bulwark.audit_logs.id is 'UUID version 7: ordered by time, down to the
   microsecond.';
comment on column bulwark.audit_logs.xid is
  'The transaction that wrote the entry; it decides which seal holds it.';
comment on column bulwark.audit_logs.era is
  'Counts the clusters the log has lived in: transaction ids restart where a dump is restored.';
comment on column bulwark.audit_logs.actor_id is
  'Who acted, as the request claims: whoever can run SQL can claim anything. database_user is what
   the database itself knows.';
comment on column bulwark.audit_logs.database_user is 'The session_user: who logged in to the
   database.';
comment on column bulwark.audit_logs.ip is
  'Where the request came from by the header that a trusted proxy writes (the settings
   rate_limits.address_header and address_hops) or, of an auth event, by what Supabase Auth saw.
   While no proxy is trusted it is the first address of X-Forwarded-For, the client''s own claim.';
comment on column bulwark.audit_logs.correlation_id is
  'The same in all entries of a request: its header x-correlation-id where that is a UUID, else made
   of the transaction id.';
comment on column bulwark.audit_logs.parent_id is 'The entry this one belongs to.';
comment on column bulwark.audit_logs.before is 'Old values: of an update only those that changed.';
comment on column bulwark.audit_logs.after is 'New values: of an update only those that changed.';
comment on column bulwark.audit_logs.salt is
  'Blinds the commitment to the payload, and leaves together with the payload.';
comment on column bulwark.audit_logs.removed_by is
  'The entry that records why the payload is gone; null while it is here.';
comment on column bulwark.audit_logs.commitment is
  'Of a removed payload: SHA-256 of salt and payload, so that every proof still holds.';

-- The sealer finds what is new by transaction, readers page through organizations by id, and
-- verification counts what a removal record covers.
create index audit_logs_xid_idx on bulwark.audit_logs (era, xid);
create index audit_logs_organization_id_idx on bulwark.audit_logs (organization_id, id);
create index audit_logs_removed_by_idx on bulwark.audit_logs (removed_by)
  where removed_by is not null;

alter table bulwark.audit_event_types enable row level security;
alter table bulwark.audit_logs enable row level security;

create function bulwark_private.audited_organizations()
  returns setof uuid
  language plpgsql
  stable
  rows 10
  security definer            -- definer because groups are for no client
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query select bulwark.organizations_with('audit:read');
  -- An organization that was deleted is in no list but that of the log.
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
  'The organizations whose log the caller may read, for the policy: those with audit:read and, of a
   super_admin, those that no longer exist too.';

create policy "Anyone signed in reads the catalogue of event types"
  on bulwark.audit_event_types for select to authenticated
  using ((select bulwark.current_person()) is not null);

-- Each side of the or has an index; a bare is_super_admin() would make everybody scan.
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
