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
