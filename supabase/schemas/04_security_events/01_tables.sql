-- Security events: incidents for people to handle, each listed once, with assignee and resolution.
-- Protects against reading another organization's events and against events that disappear: clients
-- only read, and every change of an event is in the audit log.
-- No function here is SECURITY DEFINER.

create type bulwark.security_severity as enum ('low', 'medium', 'high', 'critical');
comment on type bulwark.security_severity is 'Urgency of a security event, in rising order.';

create table bulwark.security_event_types (
  name text primary key,
  severity bulwark.security_severity not null,
  description text not null,
  constraint security_event_types_name_format check (name ~ '^[a-z][a-z0-9_]{2,62}$')
);
comment on table bulwark.security_event_types is
  'The types of security events and their severity. Migrations and the host application add rows.';

-- No foreign keys to users and organizations: an event outlives them, and raising one must not wait
-- for a transaction that changes them.
create table bulwark.security_events (
  id uuid primary key default gen_random_uuid(),
  event_type text not null references bulwark.security_event_types (name),
  severity bulwark.security_severity not null,
  organization_id uuid,
  user_id uuid,
  subject text not null default '',
  details jsonb not null default '{}',
  occurrences bigint not null default 1,
  raised_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  assigned_to uuid,
  resolved_at timestamptz,
  resolved_by uuid,
  resolution_note text,
  constraint security_events_resolved_with_a_note
    check ((resolved_at is null) = (resolution_note is null)),
  constraint security_events_subject_length check (length(subject) <= 256),
  constraint security_events_note_length check (length(resolution_note) between 1 and 2000)
) with (fillfactor = 85);
comment on table bulwark.security_events is
  'One row per open incident. While it is open, the same event (type, organization, user, subject)
   only increases occurrences. An event about a user without an organization has one row for the
   installation and one in each organization of the user, each resolved separately.';
comment on column bulwark.security_events.subject is
  'Distinguishes events of the same type, for example by the hash of an address. Contains no secrets
   and no names.';
comment on column bulwark.security_events.details is
  'The details of the first occurrence.';
comment on column bulwark.security_events.resolved_by is
  'The person who resolved it; null with resolved_at set: the operator.';
create unique index security_events_is_open_once on bulwark.security_events
  (event_type, organization_id, user_id, subject) nulls not distinct
  where resolved_at is null;
create index security_events_organization_id_idx
  on bulwark.security_events (organization_id, raised_at, id);
create index security_events_resolved_at_idx on bulwark.security_events (resolved_at)
  where resolved_at is not null;

alter table bulwark.security_event_types enable row level security;
alter table bulwark.security_events enable row level security;

create policy "Anyone signed in reads the catalogue of security event types"
  on bulwark.security_event_types for select to authenticated
  using ((select bulwark.current_person()) is not null);

create policy "Members read security events of organizations where they may"
  on bulwark.security_events for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('security:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark.list_security_events(
  organization_id uuid default null,
  include_resolved boolean default false,
  minimum_severity bulwark.security_severity default 'low',
  before uuid default null,
  page_size integer default 50,
  assignee uuid default null,
  unassigned boolean default false,
  state text default null
)
  returns setof bulwark.security_events
  language plpgsql
  stable
  rows 50
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Row-level security decides; this only says so instead of answering with nothing. Within,
  -- because the service role may not even name the function.
  if current_user = 'authenticated' then
    perform bulwark.require_permission('security:read', organization_id);
  end if;
  if state <> all ('{open,assigned,resolved}'::text[]) then
    raise exception 'Cannot list security events: there is no such state'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_UNKNOWN_STATE',
            hint = 'One of open, assigned, resolved';
  end if;
  return query
    select e.*
    from bulwark.security_events e
    where e.organization_id is not distinct from list_security_events.organization_id
      and case state
        when 'open' then e.resolved_at is null
        when 'assigned' then e.resolved_at is null and e.assigned_to is not null
        when 'resolved' then e.resolved_at is not null
        else include_resolved or e.resolved_at is null
      end
      and e.severity >= minimum_severity
      and (assignee is null or e.assigned_to = assignee)
      and (not unassigned or e.assigned_to is null)
      and (
        before is null
        or (e.raised_at, e.id) < (
          select b.raised_at, b.id from bulwark.security_events b where b.id = before
        )
      )
    order by e.raised_at desc, e.id desc
    limit least(greatest(page_size, 1), 1000);
end;
$$;
comment on function bulwark.list_security_events(
  uuid, boolean, bulwark.security_severity, uuid, integer, uuid, boolean, text
) is
  'The events of an organization (security:read there; null: those of the installation, for a
   super_admin), newest first, by page: before is the id of the last event of the previous page.
   With assignee only theirs; unassigned: only those that nobody has; state: only those that are
   open, assigned (open, and somebody has them) or resolved. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED, SECURITY_UNKNOWN_STATE.';

insert into bulwark.security_event_types (name, severity, description) values
  ('brute_force', 'high', 'One account was tried too often'),
  ('credential_stuffing', 'critical', 'One address tried many accounts'),
  ('breach_attempt', 'critical', 'A function reported an attempt to break in'),
  ('permission_probing', 'medium', 'A person was refused repeatedly'),
  ('rate_limit_abuse', 'medium', 'Requests continued after more than one block'),
  ('key_from_new_network', 'medium', 'An API key was used from a new network'),
  ('impossible_travel', 'high', 'Two sign-ins were too far apart for travel'),
  ('audit_verification_failed', 'critical', 'The audit log did not verify'),
  ('audit_checkpoint_missing', 'high', 'The audit log went without a signed checkpoint'),
  ('audit_protection_touched', 'critical', 'The triggers of an audited table were changed');

-- Opening, assigning and resolving are audited; counting occurrences is not.
select bulwark.enable_audit(
  'bulwark.security_events', organization_column => 'organization_id',
  ignore => '{occurrences,last_seen_at}',
  event_types => '{security.suspicious_activity,data.update,data.delete}'
);
select bulwark.enable_audit(
  'bulwark.security_event_types', event_types => '{config.changed,config.changed,config.changed}'
);
