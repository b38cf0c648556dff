-- Security events: what somebody has to look at, once each, with who takes care of it and how it
-- ended. Protects against alarms that drown in their own repetition, that one organization closes
-- for another, or that disappear without a trace.
-- Raising never waits for another transaction and so never closes a circle of waiting ones: where
-- the same event is being raised elsewhere at this moment it leaves an echo that is counted later.
-- SECURITY DEFINER: assign_security_event and resolve_security_event, because no client writes
--   events; report_security_event, because the service role does not either.

insert into private.settings (name, value, description) values
  ('security.open_events_about_nobody', '1000',
    'How many events of one type are open that concern no user and no organization');

create type public.security_severity as enum ('low', 'medium', 'high', 'critical');
comment on type public.security_severity is 'How urgent a security event is, in rising order.';

create table public.security_event_types (
  name text primary key,
  severity public.security_severity not null,
  description text not null,
  constraint security_event_types_name_format check (name ~ '^[a-z][a-z0-9_]{2,62}$')
);
comment on table public.security_event_types is
  'What can be raised, and how urgent it is. Migrations and the host application add rows.';

-- No foreign key to users and organizations: an event outlives what it is about, and raising one
-- must not wait for whoever changes them.
create table public.security_events (
  id uuid primary key default gen_random_uuid(),
  event_type text not null references public.security_event_types (name),
  severity public.security_severity not null,
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
comment on table public.security_events is
  'What somebody has to look at. While one is open, the same again (type, organization, user,
   subject) counts it up. What concerns a user and no organization has a row in each organization of
   the user, resolved by each for itself, beside the installation''s own.';
comment on column public.security_events.subject is
  'What else tells it apart, such as the hash of an address; no secret and nobody''s name.';
comment on column public.security_events.details is
  'What was known when it was first raised.';
comment on column public.security_events.resolved_by is
  'Who resolved it; null with resolved_at set: the operator.';
create unique index security_events_is_open_once on public.security_events
  (event_type, organization_id, user_id, subject) nulls not distinct
  where resolved_at is null;
create index security_events_organization_id_idx
  on public.security_events (organization_id, raised_at, id);
create index security_events_resolved_at_idx on public.security_events (resolved_at)
  where resolved_at is not null;

create table private.security_event_echoes (
  id bigint generated always as identity primary key,
  event_type text not null,
  organization_id uuid,
  user_id uuid,
  subject text not null,
  details jsonb not null,
  seen_at timestamptz not null default clock_timestamp()
);
comment on table private.security_event_echoes is
  'Events raised while another transaction was raising the same one; counted by the next run of
   private.count_security_echoes. Not audited: the events themselves are.';

alter table public.security_event_types enable row level security;
alter table public.security_events enable row level security;
alter table private.security_event_echoes enable row level security;

create policy "Anyone signed in reads the catalogue of security event types"
  on public.security_event_types for select to authenticated
  using (true);

create policy "Members read security events of organizations where they may"
  on public.security_events for select to authenticated
  using (
    organization_id = any (array(select private.organizations_with('security:read')))
    or (organization_id is null and (select private.is_super_admin()))
  );

create function private.security_event_lock(
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
comment on function private.security_event_lock(text, uuid, uuid, text) is
  'The advisory lock under which one event is raised, assigned and resolved.';

create function private.count_security_event(
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
  v_lock constant bigint := private.security_event_lock(
    count_security_event.event_type, count_security_event.organization_id,
    count_security_event.user_id, count_security_event.subject
  );
begin
  -- In a stricter isolation a row that somebody else just made would fail the whole transaction.
  if current_setting('transaction_isolation') = 'read committed'
    and pg_try_advisory_xact_lock(v_lock) then
    insert into public.security_events as e
      (event_type, severity, organization_id, user_id, subject, details, occurrences)
    select
      t.name, t.severity, count_security_event.organization_id, count_security_event.user_id,
      count_security_event.subject, count_security_event.details, times
    from public.security_event_types t
    where t.name = count_security_event.event_type
    on conflict (event_type, organization_id, user_id, subject) where resolved_at is null
      do update set
        occurrences = e.occurrences + excluded.occurrences,
        last_seen_at = excluded.last_seen_at
    returning e.id into v_id;
    return v_id;
  end if;
  insert into private.security_event_echoes (event_type, organization_id, user_id, subject, details)
  select
    count_security_event.event_type, count_security_event.organization_id,
    count_security_event.user_id, count_security_event.subject, count_security_event.details
  from generate_series(1, times);
  return (
    select e.id
    from public.security_events e
    where e.event_type = count_security_event.event_type
      and e.organization_id is not distinct from count_security_event.organization_id
      and e.user_id is not distinct from count_security_event.user_id
      and e.subject = count_security_event.subject
      and e.resolved_at is null
  );
end;
$$;
comment on function private.count_security_event(text, uuid, uuid, text, jsonb, bigint) is
  'Opens one event or counts it up, without ever waiting; its id, or null where it is not visible
   yet because another transaction is opening it.';

create function private.has_no_room_for_event(event_type text, subject text)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_limit constant bigint := (private.setting('security.open_events_about_nobody'))::bigint;
begin
  return not exists (
    select from public.security_events e
    where e.event_type = has_no_room_for_event.event_type
      and e.organization_id is null
      and e.user_id is null
      and e.subject = has_no_room_for_event.subject
      and e.resolved_at is null
  ) and v_limit <= (
    select count(*)
    from (
      select from public.security_events e
      where e.event_type = has_no_room_for_event.event_type
        and e.organization_id is null
        and e.user_id is null
        and e.subject <> 'others'
        and e.resolved_at is null
      limit v_limit
    ) as open
  );
end;
$$;
comment on function private.has_no_room_for_event(text, text) is
  'Whether an event that concerns no user and no organization would be one more than
   security.open_events_about_nobody of its type that are open.';

create function private.raise_security_event(
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
    select from public.security_event_types t where t.name = raise_security_event.event_type
  ) then
    raise exception 'Cannot raise security event: type "%" is not in the catalogue',
      left(event_type, 64)
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from security_event_types';
  end if;
  -- What is noticed in a read cannot be written down there, and the read shall not fail for it.
  if current_setting('transaction_read_only')::boolean then
    return null;
  end if;
  if jsonb_typeof(v_details) <> 'object' then
    v_details := jsonb_build_object('value', v_details);
  end if;
  if octet_length(v_details::text) > 8192 then
    v_details := jsonb_build_object('left_out_bytes', octet_length(v_details::text));
  end if;
  -- An address is anybody's, and whoever has many makes as many events: beyond so many open ones the
  -- rest is one more.
  if organization_id is null and user_id is null
    and private.has_no_room_for_event(event_type, v_subject) then
    v_subject := 'others';
  end if;
  v_id := private.count_security_event(event_type, organization_id, user_id, v_subject, v_details);
  if organization_id is null and user_id is not null then
    for v_organization in
      select distinct g.organization_id
      from public.user_roles g
      where g.user_id = raise_security_event.user_id and g.organization_id is not null
    loop
      perform private.count_security_event(
        event_type, v_organization, user_id, v_subject, v_details
      );
    end loop;
  end if;
  return v_id;
end;
$$;
comment on function private.raise_security_event(text, uuid, uuid, text, jsonb) is
  'Raises an event, or counts it up while the same one is open, and returns its id (null in a
   read-only transaction, or where another transaction is opening it right now). Of a user without
   an organization each organization of the user is told: the details then hold nothing of any one
   organization. Of nobody in particular security.open_events_about_nobody are open at once, and what
   comes beyond them is one, about others. It stands and falls with the caller''s transaction. Errors:
   SECURITY_UNKNOWN_EVENT_TYPE.';

create function private.count_security_echoes()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_counted bigint := 0;
  v_echo record;
begin
  for v_echo in
    with taken as (
      delete from private.security_event_echoes e
      where e.id in (
        select l.id from private.security_event_echoes l
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
    perform private.count_security_event(
      v_echo.event_type, v_echo.organization_id, v_echo.user_id, v_echo.subject, v_echo.details,
      v_echo.times
    );
    v_counted := v_counted + v_echo.times;
  end loop;
  return v_counted;
end;
$$;
comment on function private.count_security_echoes() is
  'Counts what was raised while the same event was being raised elsewhere, up to 10,000 at a time,
   and returns how many there were.';

create function public.report_security_event(
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
  return private.raise_security_event(event_type, organization_id, user_id, subject, details);
end;
$$;
comment on function public.report_security_event(text, uuid, uuid, text, jsonb) is
  'Raises an event for a function of the installation (service role only): see
   private.raise_security_event. Errors: SECURITY_UNKNOWN_EVENT_TYPE.';

create function public.list_security_events(
  organization_id uuid default null,
  include_resolved boolean default false,
  minimum_severity public.security_severity default 'low',
  before uuid default null,
  page_size integer default 50
)
  returns setof public.security_events
  language sql
  stable
  rows 50
  set search_path = pg_catalog, pg_temp
as $$
  select e.*
  from public.security_events e
  where e.organization_id is not distinct from list_security_events.organization_id
    and (include_resolved or e.resolved_at is null)
    and e.severity >= minimum_severity
    and (
      before is null
      or (e.raised_at, e.id) < (
        select b.raised_at, b.id from public.security_events b where b.id = before
      )
    )
  order by e.raised_at desc, e.id desc
  limit least(greatest(page_size, 1), 1000);
$$;
comment on function public.list_security_events(
  uuid, boolean, public.security_severity, uuid, integer
) is
  'The events of an organization (null: the installation''s own) that the caller may read, newest
   first, a page at a time: before is the id of the last one of the page before.';

create function private.take_security_event(event_id uuid)
  returns public.security_events
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events;
begin
  select * into v_event from public.security_events e where e.id = event_id;
  if not found or not private.caller_is_service() and not (
    case
      when v_event.organization_id is null then private.is_super_admin()
      else private.user_permits(private.require_user(), 'security:read', v_event.organization_id)
    end
  ) then
    raise exception 'Cannot change the security event: there is none here that you may see'
      using errcode = 'PT404', detail = 'SECURITY_EVENT_NOT_FOUND';
  end if;
  if v_event.organization_id is not null then
    perform private.require_permission('security:resolve', v_event.organization_id);
  end if;
  -- Whoever raises holds this lock and waits for nothing, so it comes free. The row is read again
  -- behind it.
  perform pg_advisory_xact_lock(private.security_event_lock(
    v_event.event_type, v_event.organization_id, v_event.user_id, v_event.subject
  ));
  select * into v_event from public.security_events e where e.id = event_id for update;
  if v_event.resolved_at is not null then
    raise exception 'Cannot change the security event: it is resolved'
      using errcode = 'PT409', detail = 'SECURITY_EVENT_RESOLVED',
            hint = 'Should it happen again, another one is raised';
  end if;
  return v_event;
end;
$$;
comment on function private.take_security_event(uuid) is
  'An open event that the caller may assign and resolve, locked. Raises SECURITY_EVENT_NOT_FOUND,
   the same for a foreign one and for none, RBAC_PERMISSION_DENIED, SECURITY_EVENT_RESOLVED.';

create function public.assign_security_event(event_id uuid, assignee uuid)
  returns public.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events := private.take_security_event(event_id);
begin
  -- The installation's own are read by super admins alone, whatever others hold system-wide.
  if assignee is not null and (
    private.user_permits(assignee, 'security:read', v_event.organization_id) is not true
    or v_event.organization_id is null and not exists (
      select from private.active_grants g
      where g.user_id = assignee
        and g.organization_id is null
        and g.role_id = private.super_admin_role()
    )
  ) then
    raise exception 'Cannot assign the security event: they could not read it'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_ASSIGNEE',
            hint = 'Choose a member who holds security:read';
  end if;
  update public.security_events e
  set assigned_to = assignee
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function public.assign_security_event(uuid, uuid) is
  'Says who takes care of an open event (security:resolve): a member who may read it, or null for
   nobody. Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_ASSIGNEE,
   RBAC_PERMISSION_DENIED.';

create function public.resolve_security_event(event_id uuid, note text)
  returns public.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events := private.take_security_event(event_id);
begin
  if btrim(coalesce(note, ''), E' \t\r\n') = '' or length(note) > 2000 then
    raise exception 'Cannot resolve the security event: the note has 1 to 2000 characters'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_NOTE',
            hint = 'Say what it was and what was done';
  end if;
  update public.security_events e
  set resolved_at = clock_timestamp(), resolved_by = auth.uid(), resolution_note = note
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function public.resolve_security_event(uuid, text) is
  'Closes an open event with a note of what it was (security:resolve); the same happening again
   opens another. Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_NOTE,
   RBAC_PERMISSION_DENIED.';

insert into public.security_event_types (name, severity, description) values
  ('brute_force', 'high', 'One account was tried too often'),
  ('credential_stuffing', 'critical', 'One address tried many accounts'),
  ('breach_attempt', 'critical', 'A function reported an attempt to break in'),
  ('permission_probing', 'medium', 'Somebody was refused again and again'),
  ('rate_limit_abuse', 'medium', 'Somebody went on after being blocked more than once'),
  ('key_from_new_network', 'medium', 'An API key was used from a network it never came from'),
  ('impossible_travel', 'high', 'Two sign-ins were further apart than anybody travels'),
  ('audit_verification_failed', 'critical', 'The audit log did not verify'),
  ('audit_checkpoint_missing', 'high', 'The audit log went without a signed checkpoint'),
  ('audit_protection_touched', 'critical', 'Somebody was at the triggers of a guarded table');

-- Counting up is no news; opening, assigning and resolving are.
select private.enable_audit(
  'public.security_events', organization_column => 'organization_id',
  ignore => '{occurrences,last_seen_at}',
  event_types => '{security.suspicious_activity,data.update,data.delete}'
);
select private.enable_audit(
  'public.security_event_types', event_types => '{config.changed,config.changed,config.changed}'
);

revoke all on public.security_event_types, public.security_events
  from public, anon, authenticated, service_role;
grant select on public.security_event_types, public.security_events to authenticated, service_role;

revoke all on function
  private.security_event_lock(text, uuid, uuid, text),
  private.count_security_event(text, uuid, uuid, text, jsonb, bigint),
  private.has_no_room_for_event(text, text),
  private.raise_security_event(text, uuid, uuid, text, jsonb), private.count_security_echoes(),
  private.take_security_event(uuid),
  public.report_security_event(text, uuid, uuid, text, jsonb),
  public.list_security_events(uuid, boolean, public.security_severity, uuid, integer),
  public.assign_security_event(uuid, uuid), public.resolve_security_event(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_security_events(uuid, boolean, public.security_severity, uuid, integer),
  public.assign_security_event(uuid, uuid), public.resolve_security_event(uuid, text)
  to authenticated, service_role;
grant execute on function public.report_security_event(text, uuid, uuid, text, jsonb)
  to service_role;
