-- Alerts: rules with thresholds, and the status of each alert.
-- Protects against thresholds that are changed without permission or without a trace, or that can
-- never be exceeded.
-- SECURITY DEFINER: list_alerts, because clients read no table of bulwark_private; set_alert_rule
-- and delete_alert_rule, because clients and the service role write none; alert_rules_close,
-- because it resolves events.

create type bulwark.alert_state as enum ('ok', 'no_data', 'warning', 'critical');
comment on type bulwark.alert_state is
  'State of an alert: warning and critical are above the threshold for as long as the rule requires;
   no_data: too few values in the window.';
create type bulwark.metric_statistic as enum (
  'p50', 'p95', 'p99', 'mean', 'minimum', 'maximum', 'last', 'rate', 'total'
);
comment on type bulwark.metric_statistic is
  'The statistic of a window that is compared with the threshold; rate is the total a second.';

create table bulwark_private.alert_rules (
  name text primary key,
  metric text not null,
  statistic bulwark.metric_statistic not null,
  labels jsonb not null default '{}',
  warning double precision,
  critical double precision,
  time_window interval not null default '5 minutes',
  lasting interval not null default '2 minutes',
  recovering interval not null default '2 minutes',
  cool_down interval not null default '15 minutes',
  minimum_count bigint not null default 1,
  raise_without_data boolean not null default false,
  enabled boolean not null default true,
  description text not null default '',
  constraint alert_rules_name_format check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint alert_rules_metric_format check (metric ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint alert_rules_labels_can_match check (bulwark_private.metric_labels_are_valid(labels)),
  constraint alert_rules_have_a_threshold check (warning is not null or critical is not null),
  constraint alert_rules_thresholds_are_numbers
    check (warning > '-infinity' and warning < 'infinity'
      and critical > '-infinity' and critical < 'infinity'),
  constraint alert_rules_thresholds_rise check (warning <= critical),
  constraint alert_rules_time_window_range
    check (time_window between interval '1 minute' and interval '1 day'),
  constraint alert_rules_lasting_range
    check (lasting between interval '0' and interval '1 day'),
  constraint alert_rules_recovering_range
    check (recovering between interval '0' and interval '1 day'),
  constraint alert_rules_cool_down_range
    check (cool_down between interval '0' and interval '7 days'),
  constraint alert_rules_minimum_count_range check (minimum_count >= 1),
  constraint alert_rules_description_length check (length(description) <= 500)
);
comment on table bulwark_private.alert_rules is
  'Alert rules. No foreign key to the metric: a rule may exist before the metric''s first flush.';
comment on column bulwark_private.alert_rules.lasting is
  'How long the threshold must be exceeded without interruption before the alert fires.';
comment on column bulwark_private.alert_rules.recovering is
  'How long the metric must be below the threshold before the alert ends.';
comment on column bulwark_private.alert_rules.cool_down is
  'How long after an event no further one is raised.';
comment on column bulwark_private.alert_rules.minimum_count is
  'With fewer values in the window the state is no_data: one slow request is no trend.';

create table bulwark_private.alert_states (
  rule text primary key references bulwark_private.alert_rules (name) on delete cascade,
  state bulwark.alert_state not null default 'no_data',
  value double precision,
  since timestamptz not null default clock_timestamp(),
  warning_since timestamptz,
  critical_since timestamptz,
  recovering_since timestamptz,
  silent_since timestamptz,
  raised_type text,
  warned_at timestamptz,
  alarmed_at timestamptz,
  evaluated_at timestamptz
);
comment on table bulwark_private.alert_states is
  'State of each alert. Not audited: the events it raises are.';
comment on column bulwark_private.alert_states.critical_since is
  'Since when every evaluation was critical; null if the last one was not. In the same way
   warning_since (warning or critical), recovering_since (below the state), silent_since (no
   data).';
comment on column bulwark_private.alert_states.raised_type is
  'Type of the alert''s open security event.';

alter table bulwark_private.alert_rules enable row level security;
alter table bulwark_private.alert_states enable row level security;

insert into bulwark.security_event_types (name, severity, description) values
  ('alert_warning', 'medium', 'A metric exceeded its threshold for a warning'),
  ('alert_critical', 'high', 'A metric exceeded its critical threshold'),
  ('alert_no_data', 'low', 'A metric was not measured');

insert into bulwark_private.alert_rules
  (name, metric, statistic, warning, critical, minimum_count, description)
values
  ('api_response_time', 'api_response_time', 'p95', 200, 1000, 20,
    'Duration of requests in milliseconds, 95th percentile of all functions'),
  ('database_query_time', 'database_query_time', 'p95', 50, 200, 20,
    'Duration of calls to the Data API in milliseconds, 95th percentile'),
  ('memory_usage', 'memory_usage', 'maximum', 80, 95, 1,
    'Percent of an isolate''s memory limit, maximum of all'),
  ('cpu_usage', 'cpu_usage', 'p95', 70, 90, 5,
    'Percent of one processor an isolate uses, 95th percentile of the samples');

insert into bulwark.settings (name, value, description) values
  ('metrics.alert_rules', '200', 'Maximum number of alert rules');

create function bulwark_private.close_alert(rule text, event_type text, note text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event uuid;
begin
  select e.id into v_event
  from bulwark.security_events e
  where e.event_type = close_alert.event_type
    and e.organization_id is null
    and e.user_id is null
    and e.subject = rule
    and e.resolved_at is null;
  -- A person may have resolved it already, or may be doing so now.
  if found then
    perform bulwark.resolve_security_event(v_event, note);
  end if;
exception
  when sqlstate 'PT409' or sqlstate 'PT404' then
    return;
end;
$$;
comment on function bulwark_private.close_alert(text, text, text) is
  'Resolves the open event of an alert, if there is one.';

create function bulwark.list_alerts()
  returns table (
    name text,
    state bulwark.alert_state,
    value double precision,
    since timestamptz,
    metric text,
    statistic bulwark.metric_statistic,
    labels jsonb,
    warning double precision,
    critical double precision,
    time_window interval,
    lasting interval,
    recovering interval,
    cool_down interval,
    minimum_count bigint,
    raise_without_data boolean,
    enabled boolean,
    description text,
    raised_at timestamptz,
    evaluated_at timestamptz
  )
  language plpgsql
  stable
  rows 20
  security definer            -- definer because clients read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:monitor', null);
  return query
    select
      r.name, coalesce(s.state, 'no_data'), s.value, s.since, r.metric, r.statistic, r.labels,
      r.warning, r.critical, r.time_window, r.lasting, r.recovering, r.cool_down, r.minimum_count,
      r.raise_without_data, r.enabled, r.description,
      greatest(s.warned_at, s.alarmed_at), s.evaluated_at
    from bulwark_private.alert_rules r
    left join bulwark_private.alert_states s on s.rule = r.name
    order by r.name;
end;
$$;
comment on function bulwark.list_alerts() is
  'All alert rules with their state. Needs system:monitor. Errors: RBAC_PERMISSION_DENIED.';

create function bulwark.set_alert_rule(
  name text,
  metric text,
  statistic bulwark.metric_statistic,
  warning double precision default null,
  critical double precision default null,
  labels jsonb default '{}',
  time_window interval default '5 minutes',
  lasting interval default '2 minutes',
  recovering interval default '2 minutes',
  cool_down interval default '15 minutes',
  minimum_count bigint default 1,
  raise_without_data boolean default false,
  enabled boolean default true,
  description text default ''
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients and the service role write no table
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.lock_count('alert_rules', null);
  if not exists (select from bulwark_private.alert_rules r where r.name = set_alert_rule.name)
    and (select count(*) from bulwark_private.alert_rules)
      >= (bulwark_private.setting('metrics.alert_rules'))::integer then
    raise exception 'Cannot set alert rule: the maximum number is reached'
      using errcode = 'PT409', detail = 'METRICS_TOO_MANY_ALERT_RULES',
            hint = 'Replace one; the limit is the setting metrics.alert_rules';
  end if;
  insert into bulwark_private.alert_rules as r (
    name, metric, statistic, warning, critical, labels, time_window, lasting, recovering,
    cool_down, minimum_count, raise_without_data, enabled, description
  )
  values (
    set_alert_rule.name, set_alert_rule.metric, set_alert_rule.statistic, set_alert_rule.warning,
    set_alert_rule.critical, set_alert_rule.labels, set_alert_rule.time_window,
    set_alert_rule.lasting, set_alert_rule.recovering, set_alert_rule.cool_down,
    set_alert_rule.minimum_count, set_alert_rule.raise_without_data, set_alert_rule.enabled,
    set_alert_rule.description
  )
  on conflict (name) do update set
    metric = excluded.metric,
    statistic = excluded.statistic,
    warning = excluded.warning,
    critical = excluded.critical,
    labels = excluded.labels,
    time_window = excluded.time_window,
    lasting = excluded.lasting,
    recovering = excluded.recovering,
    cool_down = excluded.cool_down,
    minimum_count = excluded.minimum_count,
    raise_without_data = excluded.raise_without_data,
    enabled = excluded.enabled,
    description = excluded.description;
exception
  when check_violation or not_null_violation then
    raise exception 'Cannot set alert rule: a name, label, threshold or duration is invalid'
      using errcode = 'invalid_parameter_value', detail = 'METRICS_INVALID_ALERT_RULE',
            hint = 'Thresholds rise, the window is a minute to a day, durations are not negative, '
              'labels are a metric''s';
end;
$$;
comment on function bulwark.set_alert_rule(
  text, text, bulwark.metric_statistic, double precision, double precision, jsonb, interval,
  interval, interval, interval, bigint, boolean, boolean, text
) is
  'Creates or replaces an alert rule; its state stays. Needs system:admin. Errors:
   METRICS_INVALID_ALERT_RULE, METRICS_TOO_MANY_ALERT_RULES, RBAC_PERMISSION_DENIED.';

create function bulwark.delete_alert_rule(name text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients and the service role write no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  delete from bulwark_private.alert_rules r where r.name = delete_alert_rule.name;
  if not found then
    raise exception 'Cannot delete alert rule: there is none with this name'
      using errcode = 'PT404', detail = 'METRICS_UNKNOWN_ALERT_RULE',
            hint = 'List them with list_alerts';
  end if;
end;
$$;
comment on function bulwark.delete_alert_rule(text) is
  'Deletes an alert rule with its state, and resolves its open security event. Needs system:admin.
   Errors: METRICS_UNKNOWN_ALERT_RULE, RBAC_PERMISSION_DENIED.';

create function bulwark_private.alert_rules_close()
  returns trigger
  language plpgsql
  security definer            -- definer because it resolves an event that the caller may not see
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_raised text;
begin
  update bulwark_private.alert_states s
  set state = 'no_data', value = null, since = clock_timestamp(), raised_type = null,
    warning_since = null, critical_since = null, recovering_since = null, silent_since = null
  from bulwark_private.alert_states before
  where s.rule = old.name and before.rule = s.rule
  returning before.raised_type into v_raised;
  if v_raised is not null then
    perform bulwark_private.close_alert(old.name, v_raised, 'The rule was removed or switched off');
  end if;
  return case tg_op when 'DELETE' then old else new end;
end;
$$;
comment on function bulwark_private.alert_rules_close() is
  'Trigger: resolves the open event of a rule that is removed or disabled.';

create trigger alert_rules_close_when_removed before delete on bulwark_private.alert_rules
  for each row execute function bulwark_private.alert_rules_close();
create trigger alert_rules_close_when_disabled before update of enabled
  on bulwark_private.alert_rules
  for each row when (old.enabled and not new.enabled)
  execute function bulwark_private.alert_rules_close();

-- alert_states is not audited: it changes with every evaluation.
select bulwark.enable_audit(
  'bulwark_private.alert_rules', event_types => '{config.changed,config.changed,config.changed}'
);
