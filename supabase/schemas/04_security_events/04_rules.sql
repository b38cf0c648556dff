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
