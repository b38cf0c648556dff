-- Built by npm run build from supabase/schemas/04_security_events: edit the sources, not this file.

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

-- Security raising: opens an event, or counts it while the same one is open.
-- Protects against floods of repeated events, also from a client with many addresses.
-- Raising never waits for another transaction, so it cannot deadlock. If another transaction is
-- raising the same event, it stores a deferred event that is counted later.
-- SECURITY DEFINER: report_security_event, because not even the service role writes events.

insert into bulwark.settings (name, value, description) values
  ('security.open_events_about_nobody', '1000',
    'Maximum number of open events of one type without user and organization');

create table bulwark_private.deferred_security_events (
  id bigint generated always as identity primary key,
  event_type text not null,
  organization_id uuid,
  user_id uuid,
  subject text not null,
  details jsonb not null,
  seen_at timestamptz not null default clock_timestamp()
);
comment on table bulwark_private.deferred_security_events is
  'Events raised while another transaction was raising the same one; counted by the next run of
   bulwark_private.count_deferred_security_events. Not audited, because the events are.';
alter table bulwark_private.deferred_security_events enable row level security;

create function bulwark_private.security_event_lock(
  event_type text,
  organization_id uuid,
  user_id uuid,
  subject text
)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select hashtextextended(
    concat_ws('/', 'bulwark.security_event', event_type, organization_id, user_id, subject), 0
  );
$$;
comment on function bulwark_private.security_event_lock(text, uuid, uuid, text) is
  'The key of the advisory lock for raising, assigning and resolving one event.';

create function bulwark_private.count_security_event(
  event_type text,
  organization_id uuid,
  user_id uuid,
  subject text,
  details jsonb,
  times bigint default 1
)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
#variable_conflict use_column
declare
  v_id uuid;
  -- In stricter isolation levels a concurrent insert would fail the whole transaction.
  v_first boolean := current_setting('transaction_isolation') = 'read committed';
  v_subject text := count_security_event.subject;
begin
  -- A client with many addresses could open any number of events. Beyond the limit they are counted
  -- in one event. New ones are opened one at a time, so that the limit holds.
  if v_first and num_nonnulls(
    count_security_event.organization_id, count_security_event.user_id
  ) = 0 and bulwark_private.is_new_event(count_security_event.event_type, v_subject) then
    v_first := pg_try_advisory_xact_lock(hashtextextended(
      'bulwark.security_events/' || count_security_event.event_type, 0
    ));
    if v_first and bulwark_private.event_limit_is_reached(count_security_event.event_type) then
      v_subject := 'others';
    end if;
  end if;
  if v_first and pg_try_advisory_xact_lock(bulwark_private.security_event_lock(
    count_security_event.event_type, count_security_event.organization_id,
    count_security_event.user_id, v_subject
  )) then
    insert into bulwark.security_events as e
      (event_type, severity, organization_id, user_id, subject, details, occurrences)
    select
      t.name, t.severity, count_security_event.organization_id, count_security_event.user_id,
      v_subject, count_security_event.details, times
    from bulwark.security_event_types t
    where t.name = count_security_event.event_type
    on conflict (event_type, organization_id, user_id, subject) where resolved_at is null
      do update set
        occurrences = e.occurrences + excluded.occurrences,
        last_seen_at = excluded.last_seen_at
    returning e.id into v_id;
    return v_id;
  end if;
  insert into bulwark_private.deferred_security_events (
    event_type, organization_id, user_id, subject, details
  )
  select
    count_security_event.event_type, count_security_event.organization_id,
    count_security_event.user_id, v_subject, count_security_event.details
  from generate_series(1, times);
  return (
    select e.id
    from bulwark.security_events e
    where e.event_type = count_security_event.event_type
      and e.organization_id is not distinct from count_security_event.organization_id
      and e.user_id is not distinct from count_security_event.user_id
      and e.subject = v_subject
      and e.resolved_at is null
  );
end;
$$;
comment on function bulwark_private.count_security_event(text, uuid, uuid, text, jsonb, bigint) is
  'Opens or counts one event without waiting. Returns its id, or null if it is not visible yet
   because another transaction is opening it.';

create function bulwark_private.is_new_event(event_type text, subject text)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return not exists (
    select from bulwark.security_events e
    where e.event_type = is_new_event.event_type
      and e.organization_id is null
      and e.user_id is null
      and e.subject = is_new_event.subject
      and e.resolved_at is null
  );
end;
$$;
comment on function bulwark_private.is_new_event(text, text) is
  'Whether no event of this type and subject is open that has no user and no organization.';

create function bulwark_private.event_limit_is_reached(event_type text)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('security.open_events_about_nobody'))::bigint;
begin
  return v_limit <= (
    select count(*)
    from (
      select from bulwark.security_events e
      where e.event_type = event_limit_is_reached.event_type
        and e.organization_id is null
        and e.user_id is null
        and e.subject <> 'others'
        and e.resolved_at is null
      limit v_limit
    ) as open
  );
end;
$$;
comment on function bulwark_private.event_limit_is_reached(text) is
  'Whether the limit security.open_events_about_nobody is reached: open events of a type without
   user and organization.';

-- Replaces the plain answer of audit.
create or replace function bulwark.raise_security_event(
  event_type text,
  organization_id uuid,
  user_id uuid,
  subject text,
  details jsonb default '{}'
)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_details jsonb := coalesce(nullif(details, 'null'), '{}');
  v_id uuid;
  v_organization uuid;
  v_subject text := left(
    regexp_replace(coalesce(subject, ''), '[[:cntrl:]]', '', 'g'), 256
  );
begin
  if event_type is null or not exists (
    select from bulwark.security_event_types t where t.name = raise_security_event.event_type
  ) then
    raise exception 'Cannot raise security event: type "%" is not in the catalogue',
      left(event_type, 64)
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from bulwark.security_event_types';
  end if;
  -- A read-only transaction cannot store the event, and must not fail because of it.
  if current_setting('transaction_read_only')::boolean then
    return null;
  end if;
  if jsonb_typeof(v_details) <> 'object' then
    v_details := jsonb_build_object('value', v_details);
  end if;
  if octet_length(v_details::text) > 8192 then
    v_details := jsonb_build_object('left_out_bytes', octet_length(v_details::text));
  end if;
  v_id := bulwark_private.count_security_event(
    event_type, organization_id, user_id, v_subject, v_details
  );
  if organization_id is null and user_id is not null then
    for v_organization in
      select bulwark_private.organizations_of(raise_security_event.user_id)
    loop
      perform bulwark_private.count_security_event(
        event_type, v_organization, user_id, v_subject, v_details
      );
    end loop;
  end if;
  return v_id;
end;
$$;
comment on function bulwark.raise_security_event(text, uuid, uuid, text, jsonb) is
  'Raises an event, or counts it while the same one is open. Returns its id, or null in a read-only
   transaction and while another transaction is opening the event. An event about a user without an
   organization is raised in each organization of the user too, so its details must not contain data
   of one organization. Events without user and organization are limited to
   security.open_events_about_nobody per type; further ones are counted in one event with the
   subject others. Rolled back with the caller''s transaction. Errors:
   SECURITY_UNKNOWN_EVENT_TYPE.';

create function bulwark_private.count_deferred_security_events()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_counted bigint := 0;
  v_event record;
begin
  for v_event in
    with taken as (
      delete from bulwark_private.deferred_security_events e
      where e.id in (
        select l.id from bulwark_private.deferred_security_events l
        order by l.id
        limit 10000
        for update skip locked
      )
      returning e.*
    )
    select
      t.event_type, t.organization_id, t.user_id, t.subject,
      (array_agg(t.details order by t.id))[1] as details, count(*) as times
    from taken t
    group by t.event_type, t.organization_id, t.user_id, t.subject
  loop
    perform bulwark_private.count_security_event(
      v_event.event_type, v_event.organization_id, v_event.user_id, v_event.subject,
      v_event.details, v_event.times
    );
    v_counted := v_counted + v_event.times;
  end loop;
  return v_counted;
end;
$$;
comment on function bulwark_private.count_deferred_security_events() is
  'Counts events that were raised while another transaction raised the same one, up to 10,000 per
   call, and returns their number.';

create function bulwark.report_security_event(
  event_type text,
  organization_id uuid default null,
  user_id uuid default null,
  subject text default '',
  details jsonb default '{}'
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes events
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An event opened by others would mask the audit log's own, which would only be counted.
  if starts_with(event_type, 'audit_') then
    raise exception 'Cannot report security event: only the audit log itself raises it'
      using errcode = 'insufficient_privilege', detail = 'SECURITY_EVENT_NOT_REPORTABLE',
        hint = 'Report a type of your own, or another one of security_event_types';
  end if;
  return bulwark.raise_security_event(event_type, organization_id, user_id, subject, details);
end;
$$;
comment on function bulwark.report_security_event(text, uuid, uuid, text, jsonb) is
  'Raises an event for a function of the installation (service role only), see
   bulwark.raise_security_event. Types about the audit log (audit_…) are refused. Errors:
   SECURITY_UNKNOWN_EVENT_TYPE, SECURITY_EVENT_NOT_REPORTABLE.';

-- Security resolution: assigning and closing events.
-- Protects against events that are closed without a note, without permission, or by another
-- organization. Does not reveal whether another organization's event exists.
-- SECURITY DEFINER: assign_security_event and resolve_security_event, because no client writes
-- events.

create function bulwark_private.find_security_event(event_id uuid)
  returns bulwark.security_events
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events;
begin
  perform bulwark_private.require_caller();
  select * into v_event from bulwark.security_events e where e.id = event_id;
  if not found or not bulwark_private.caller_is_service() and not (
    case
      when v_event.organization_id is null then bulwark.is_super_admin()
      else bulwark_private.user_permits(
        bulwark_private.require_user(), 'security:read', v_event.organization_id
      )
    end
  ) then
    raise exception 'Cannot change the security event: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'SECURITY_EVENT_NOT_FOUND',
        hint = 'List them with list_security_events';
  end if;
  if v_event.organization_id is not null then
    perform bulwark.require_permission('security:resolve', v_event.organization_id);
  end if;
  return v_event;
end;
$$;
comment on function bulwark_private.find_security_event(uuid) is
  'An event that the caller may assign and resolve right now. Raises SECURITY_EVENT_NOT_FOUND, the
   same for another organization''s event and for an unknown one, and RBAC_PERMISSION_DENIED.';

create function bulwark_private.take_security_event(event_id uuid)
  returns bulwark.security_events
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.find_security_event(event_id);
begin
  perform bulwark_private.lock_rights(v_event.organization_id);
  perform bulwark_private.hold_session();
  -- Raising holds this lock without waiting, so the wait here is short. The row may have changed,
  -- so it is read again.
  perform pg_advisory_xact_lock(bulwark_private.security_event_lock(
    v_event.event_type, v_event.organization_id, v_event.user_id, v_event.subject
  ));
  perform from bulwark.security_events e where e.id = event_id for update;
  v_event := bulwark_private.find_security_event(event_id);
  if v_event.resolved_at is not null then
    raise exception 'Cannot change the security event: it is resolved'
      using errcode = 'PT409', detail = 'SECURITY_EVENT_RESOLVED',
            hint = 'If it happens again, a new event is raised';
  end if;
  return v_event;
end;
$$;
comment on function bulwark_private.take_security_event(uuid) is
  'Locks an open event, see bulwark_private.find_security_event. Raises also
   SECURITY_EVENT_RESOLVED.';

create function bulwark.assign_security_event(event_id uuid, assignee uuid)
  returns bulwark.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.take_security_event(event_id);
begin
  -- Only super admins may read events of the installation, so only they can be assigned.
  if assignee is not null and (
    bulwark_private.user_permits(assignee, 'security:read', v_event.organization_id) is not true
    or v_event.organization_id is null and not exists (
      select from bulwark_private.active_grants g
      where g.user_id = assignee
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
  ) then
    raise exception 'Cannot assign the security event: the assignee may not read it'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_ASSIGNEE',
            hint = 'Choose a member who holds security:read';
  end if;
  update bulwark.security_events e
  set assigned_to = assignee
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function bulwark.assign_security_event(uuid, uuid) is
  'Assigns an open event (security:resolve) to a member who may read it, or to nobody (null).
   Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_ASSIGNEE,
   RBAC_PERMISSION_DENIED.';

create function bulwark.resolve_security_event(event_id uuid, note text)
  returns bulwark.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.take_security_event(event_id);
begin
  if btrim(coalesce(note, ''), E' \t\r\n') = '' or length(note) > 2000 then
    raise exception 'Cannot resolve the security event: the note has 1 to 2000 characters'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_NOTE',
            hint = 'Say what it was and what was done';
  end if;
  update bulwark.security_events e
  set resolved_at = clock_timestamp(), resolved_by = bulwark.current_person(),
      resolution_note = note
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function bulwark.resolve_security_event(uuid, text) is
  'Closes an open event with a note (security:resolve). The next occurrence opens a new event.
   Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_NOTE,
   RBAC_PERMISSION_DENIED.';

-- Security rules: events from the number of audit entries. A rule counts entries of one type in a
-- time window, grouped by actor, resource or network, and raises an event at its threshold. It can
-- count distinct values instead, such as accounts per network.
-- Protects against slow or distributed attacks, of which each step is allowed. Entries that clients
-- report themselves do not count.
-- SECURITY DEFINER: evaluate_security_rules and cleanup_security_events, because nobody writes or
-- deletes events.

create type bulwark_private.security_key as enum (
  'actor', 'resource', 'network', 'installation', 'entry'
);
comment on type bulwark_private.security_key is
  'How entries are grouped: by actor, by resource, by hashed network, all together, or each entry
   alone.';

create table bulwark.security_rules (
  name text primary key,
  enabled boolean not null default true,
  event_type text not null references bulwark.security_event_types (name),
  counts text not null,
  action text,
  grouped_by bulwark_private.security_key not null,
  distinct_by bulwark_private.security_key,
  threshold bigint not null,
  window_seconds bigint not null,
  description text not null,
  constraint security_rules_threshold check (threshold between 1 and 100000),
  constraint security_rules_window check (window_seconds between 1 and 604800)
);
comment on table bulwark.security_rules is
  'A rule raises an event when a group (grouped_by) has threshold entries, or threshold different
   values of distinct_by, within the window.';
create index security_rules_event_type_idx on bulwark.security_rules (event_type);

create table bulwark_private.security_progress (
  only_row boolean primary key default true check (only_row),
  timeline bigint not null default 0,
  snapshot pg_snapshot not null default pg_current_snapshot()
);
comment on table bulwark_private.security_progress is
  'The snapshot of the last evaluation, so that entries committed late count as new. The row lock
   lets one evaluation run at a time. Not audited: it changes with every evaluation.';
insert into bulwark_private.security_progress default values;

alter table bulwark.security_rules enable row level security;
alter table bulwark_private.security_progress enable row level security;

insert into bulwark.settings (name, value, description) values
  ('security.resolved_retention_days', '365', 'After how many days resolved events are removed');

insert into bulwark.security_rules (
  name, event_type, counts, action, grouped_by, distinct_by, threshold, window_seconds, description
)
values
  ('account_brute_force', 'brute_force', 'auth.login_failed', null, 'resource', null, 10, 3600,
    'Ten failed sign-ins on one account within an hour'),
  ('credential_stuffing', 'credential_stuffing', 'auth.login_failed', null, 'network', 'resource',
    10, 3600, 'One network failed on ten different accounts within an hour'),
  ('permission_probing', 'permission_probing', 'authz.permission_denied', null, 'actor', null, 20,
    600, 'Twenty refusals of one person within ten minutes'),
  ('checkpoint_refused', 'audit_verification_failed', 'system.error', 'checkpoint_refused', 'entry',
    null, 1, 3600, 'The audit log was not signed, since it contradicts what was signed before'),
  ('checkpoint_forged', 'audit_verification_failed', 'system.error', 'checkpoint_forged', 'entry',
    null, 1, 3600, 'A checkpoint of the audit log was not signed with its key'),
  ('checkpoints_missing', 'audit_checkpoint_missing', 'system.error', 'checkpoints_missing',
    'entry', null, 1, 3600, 'Checkpoints of the audit log that were delivered are gone'),
  ('breach_attempt', 'breach_attempt', 'security.breach_attempt', null, 'entry', null, 1, 3600,
    'A function reported an attempt to break in');

-- Covers the types of the built-in rules; other rules read all entries of the window.
-- squawk-ignore require-concurrent-index-creation
create index audit_logs_security_idx on bulwark.audit_logs (event_type, id)
  where event_type in ('auth.login_failed', 'authz.permission_denied');

create function bulwark_private.security_key_expression(grouped_by bulwark_private.security_key)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case grouped_by
    when 'actor' then 'e.actor_id::text'
    when 'resource' then 'e.resource_id'
    when 'network' then 'e.details ->> ''network'''
    when 'installation' then ''''''
    when 'entry' then 'e.id::text'
  end;
$$;
comment on function bulwark_private.security_key_expression(bulwark_private.security_key) is
  'The SQL expression over an entry e that computes the group.';

create function bulwark_private.evaluate_security_rule(
  rule bulwark.security_rules,
  timeline integer,
  since pg_snapshot
)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off       -- statistics lag behind a bulk load
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_actor uuid;
  v_entry uuid;
  v_found bigint;
  v_key constant text := bulwark_private.security_key_expression(rule.grouped_by);
  -- Entries below another one repeat it, in each organization, and are not counted again. The
  -- network of a sign-in is in such an entry alone where the password hook recorded the attempt.
  v_matches constant text := format(
    'e.event_type = %L and e.source <> ''client'' and (e.parent_id is null or %L)
       and (%L is null or e.action = %L)',
    rule.counts, rule.grouped_by = 'network', rule.action, rule.action
  );
  v_name text;
  v_organization uuid;
  v_raised integer := 0;
  v_resource text;
  v_subject text;
begin
  for v_entry, v_organization, v_actor, v_resource, v_subject, v_name, v_found in execute format(
    $query$
      with fresh as materialized (
        select distinct on (k.key)
          k.key, e.id, e.organization_id,
          case when e.actor_type = 'user' then e.actor_id end as actor,
          case when e.resource_type = 'auth.users' then e.resource_id end as account,
          concat_ws(' ', e.resource_type, e.action) as name
        from bulwark.audit_logs e
        cross join lateral (select %1$s as key) k
        where e.id >= %6$L
          and e.timeline = $1 and e.xid >= pg_snapshot_xmin($2)::text::xid8
          and not pg_visible_in_snapshot(e.xid, $2)
          and %2$s and k.key is not null
        order by k.key, e.id desc
      ),
      -- One query for all groups without a limit: many groups can neither hide one nor cause one
      -- query each.
      counted as (
        select k.key, count(%3$s) as found
        from bulwark.audit_logs e
        cross join lateral (select %1$s as key) k
        where e.id >= %4$L and %2$s and k.key in (select f.key from fresh f)
        group by k.key
        having count(%3$s) >= %5$s
      )
      select f.id, f.organization_id, f.actor, f.account, f.key, f.name, c.found
      from fresh f
      join counted c on c.key = f.key
    $query$,
    v_key, v_matches,
    coalesce('distinct ' || bulwark_private.security_key_expression(rule.distinct_by), '*'),
    bulwark_private.audit_id_floor(clock_timestamp() - make_interval(secs => rule.window_seconds)),
    rule.threshold, bulwark_private.audit_open_from(timeline, since)
  )
  using timeline, since
  loop
    perform bulwark.raise_security_event(
      rule.event_type,
      case when rule.grouped_by = 'entry' then v_organization end,
      case rule.grouped_by
        when 'actor' then v_actor
        when 'resource' then bulwark_private.uuid_or_null(v_resource)
      end,
      case
        when rule.grouped_by = 'entry' then v_name
        when rule.grouped_by = 'actor' and v_actor is not null then ''
        when rule.grouped_by = 'resource' and v_resource is not null then ''
        else v_subject
      end,
      jsonb_build_object('rule', rule.name, 'found', v_found, 'entry', v_entry)
    );
    v_raised := v_raised + 1;
  end loop;
  return v_raised;
end;
$$;
comment on function bulwark_private.evaluate_security_rule(
  bulwark.security_rules, integer, pg_snapshot
) is
  'Evaluates one rule and raises its events, only for groups with a new entry, so that resolved
   events are not opened again.';

create function bulwark.evaluate_security_rules()
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because nobody writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeline integer;
  v_last bulwark_private.security_progress;
  v_present constant pg_snapshot := pg_current_snapshot();
  v_raised integer := 0;
  v_rule bulwark.security_rules;
begin
  -- After a restore the sealer starts the new timeline first.
  if not bulwark_private.audit_log_is_settled() then
    return 0;
  end if;
  v_timeline := bulwark_private.audit_timeline();
  select * into v_last from bulwark_private.security_progress p for update skip locked;
  if not found then
    return 0;
  end if;
  -- Transaction ids of another timeline cannot be compared: after a restore the count starts again.
  if v_last.timeline = v_timeline then
    for v_rule in select * from bulwark.security_rules r where r.enabled order by r.name loop
      v_raised := v_raised
        + bulwark_private.evaluate_security_rule(v_rule, v_timeline, v_last.snapshot);
    end loop;
  end if;
  update bulwark_private.security_progress p set timeline = v_timeline, snapshot = v_present;
  perform bulwark_private.count_deferred_security_events();
  return v_raised;
end;
$$;
comment on function bulwark.evaluate_security_rules() is
  'Evaluates all rules over entries committed since the last run. Returns the number of raised
   events. For the scheduler; a concurrent run does nothing.';

create function bulwark.cleanup_security_events(retention_days integer default null)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody deletes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_deleted bigint;
  v_before timestamptz := now() - make_interval(days => coalesce(
    retention_days, (bulwark_private.setting('security.resolved_retention_days'))::integer
  ));
begin
  if retention_days not between 1 and 36500 then
    raise exception 'Cannot clean up security events: retention is 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_RETENTION';
  end if;
  -- Rows that somebody has locked are left for the next run.
  delete from bulwark.security_events e
  where e.id in (
    select l.id
    from bulwark.security_events l
    where l.resolved_at < v_before
      -- The organization is gone, so nobody could resolve the event.
      or l.last_seen_at < v_before and l.organization_id is not null and not exists (
        select from bulwark.organizations o where o.id = l.organization_id
      )
    for update of l skip locked
  );
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function bulwark.cleanup_security_events(integer) is
  'Deletes events that were resolved this many days ago (null: the setting), and old events of
   deleted organizations; returns their number. Other open events stay. Errors:
   SECURITY_INVALID_RETENTION.';

insert into bulwark_private.jobs (name, every, local_every, command) values
  (
    'security-rules', '1 minute', '5 seconds', 'select bulwark.evaluate_security_rules()'
  ),
  ('security-retention', '1 day', null, 'select bulwark.cleanup_security_events()');

select bulwark.enable_audit(
  'bulwark.security_rules', event_types => '{config.changed,config.changed,config.changed}'
);

-- Security events settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks events. All other settings are the operator's.
-- No function here.

insert into bulwark_private.setting_rules (name, accepts) values
  ('security.resolved_retention_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('security.open_events_about_nobody', '{"type": "integer", "minimum": 10, "maximum": 100000}');

-- Security events levels: how many events are open, by severity, for metrics.
-- Protects against incidents that nobody handles. No label names an organization or a person.
-- No function here is SECURITY DEFINER.

create function bulwark_private.security_event_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select
    'security_events_open', '', 'Open security events',
    jsonb_build_object('severity', s.severity), count(e.id)::double precision
  from unnest(enum_range(null::bulwark.security_severity)) as s (severity)
  left join bulwark.security_events e on e.severity = s.severity and e.resolved_at is null
  group by s.severity
  union all
  select
    'alerts_silenced', '', 'Alerts that reach nobody',
    '{"reason": "security_rule_disabled"}', count(*)::double precision
  from bulwark.security_rules r where not r.enabled;
$$;
comment on function bulwark_private.security_event_levels() is
  'The levels of security events: see docs/metrics.md.';

revoke all on table
  bulwark.security_event_types,
  bulwark.security_events,
  bulwark_private.deferred_security_events,
  bulwark.security_rules,
  bulwark_private.security_progress
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer, assignee uuid, unassigned boolean, state text),
  bulwark_private.security_event_lock(event_type text, organization_id uuid, user_id uuid, subject text),
  bulwark_private.count_security_event(event_type text, organization_id uuid, user_id uuid, subject text, details jsonb, times bigint),
  bulwark_private.is_new_event(event_type text, subject text),
  bulwark_private.event_limit_is_reached(event_type text),
  bulwark_private.count_deferred_security_events(),
  bulwark.report_security_event(event_type text, organization_id uuid, user_id uuid, subject text, details jsonb),
  bulwark_private.find_security_event(event_id uuid),
  bulwark_private.take_security_event(event_id uuid),
  bulwark.assign_security_event(event_id uuid, assignee uuid),
  bulwark.resolve_security_event(event_id uuid, note text),
  bulwark_private.security_key_expression(grouped_by bulwark_private.security_key),
  bulwark_private.evaluate_security_rule(rule bulwark.security_rules, timeline integer, since pg_snapshot),
  bulwark.evaluate_security_rules(),
  bulwark.cleanup_security_events(retention_days integer),
  bulwark_private.security_event_levels()
  from public, anon, authenticated, service_role;

-- Security events: grants. The build revokes everything else.

grant select on
  bulwark.security_event_types,
  bulwark.security_events
  to authenticated, service_role;

grant execute on function
  bulwark.list_security_events(
    uuid, boolean, bulwark.security_severity, uuid, integer, uuid, boolean, text
  ),
  bulwark.assign_security_event(uuid, uuid),
  bulwark.resolve_security_event(uuid, text)
  to authenticated, service_role;

grant execute on function
  bulwark.report_security_event(text, uuid, uuid, text, jsonb),
  bulwark.evaluate_security_rules(),
  bulwark.cleanup_security_events(integer)
  to service_role;

insert into bulwark_private.capabilities values ('security_events', '0.1.0');
