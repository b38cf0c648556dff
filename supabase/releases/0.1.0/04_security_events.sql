-- 04_security_events: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('security.resolved_retention_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('security.open_events_about_nobody', '{"type": "integer", "minimum": 10, "maximum": 100000}');
drop function bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer);
comment on column bulwark.security_events.resolved_by is
  'The person who resolved it; null with resolved_at set: the operator.';
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
create or replace function bulwark.report_security_event(
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
create or replace function bulwark_private.find_security_event(event_id uuid)
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
create or replace function bulwark_private.evaluate_security_rule(
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
create or replace function bulwark.cleanup_security_events(retention_days integer default null)
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
revoke all on function bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer, assignee uuid, unassigned boolean, state text) from public;
revoke all on function bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer, assignee uuid, unassigned boolean, state text) from anon;
revoke all on function bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer, assignee uuid, unassigned boolean, state text) from authenticated;
revoke all on function bulwark.list_security_events(organization_id uuid, include_resolved boolean, minimum_severity bulwark.security_severity, before uuid, page_size integer, assignee uuid, unassigned boolean, state text) from service_role;
revoke all on function bulwark_private.security_event_levels() from public;
revoke all on function bulwark_private.security_event_levels() from anon;
revoke all on function bulwark_private.security_event_levels() from authenticated;
revoke all on function bulwark_private.security_event_levels() from service_role;
grant execute on function bulwark.list_security_events( uuid, boolean, bulwark.security_severity, uuid, integer, uuid, boolean, text ) to authenticated;
grant execute on function bulwark.list_security_events( uuid, boolean, bulwark.security_severity, uuid, integer, uuid, boolean, text ) to service_role;
