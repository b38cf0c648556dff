-- Alerts, evaluation: evaluates each rule over its window. An alert raises one security event when
-- its threshold is exceeded, and resolves it when the metric recovers.
-- Protects against repeated events for one problem, events for a single spike or a flapping metric,
-- missing data that looks healthy, a failing rule that stops the others, and a wrong clock.
-- No function here is SECURITY DEFINER: the scheduler runs them.

create function bulwark_private.alert_statistic(
  metric text,
  statistic bulwark.metric_statistic,
  labels jsonb,
  time_window interval,
  minimum_count bigint
)
  returns double precision
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_summary record;
begin
  select * into v_summary
  from bulwark_private.summarize_metric(
    alert_statistic.metric, now() - time_window, now(), alert_statistic.labels, null, null
  );
  if not found and minimum_count = 1 and statistic in ('rate', 'total') and exists (
    select from bulwark_private.metric_series s
    join bulwark_private.metrics m on m.name = s.metric and m.kind = 'counter'
    where s.metric = alert_statistic.metric and s.labels @> alert_statistic.labels
  ) then
    return 0;                 -- a counter has no samples while nothing happens
  end if;
  if not found or v_summary.count < minimum_count then
    return null;
  end if;
  return case statistic
    when 'p50' then v_summary.p50
    when 'p95' then v_summary.p95
    when 'p99' then v_summary.p99
    when 'mean' then v_summary.mean
    when 'minimum' then v_summary.minimum
    when 'maximum' then v_summary.maximum
    when 'last' then v_summary.last
    when 'rate' then v_summary.total / extract(epoch from time_window)
    when 'total' then v_summary.total
  end;
end;
$$;
comment on function bulwark_private.alert_statistic(
  text, bulwark.metric_statistic, jsonb, interval, bigint
) is
  'The statistic of a rule over the window that ends now; null if there are too few values, 0 if a
   known counter counted nothing.';

create function bulwark_private.next_alert_state(
  rule bulwark_private.alert_rules,
  status bulwark_private.alert_states,
  seen bulwark.alert_state,
  evaluated_at timestamptz
)
  returns bulwark.alert_state
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when evaluated_at - status.critical_since >= rule.lasting then 'critical'
    when evaluated_at - status.warning_since >= rule.lasting and status.state <> 'critical'
      then 'warning'
    when evaluated_at - status.silent_since >= rule.lasting then 'no_data'
    when evaluated_at - status.recovering_since >= rule.recovering then seen
    -- From no_data to ok needs no wait.
    when status.state = 'no_data' and seen = 'ok' and status.raised_type is null then 'ok'
    else status.state
  end;
end;
$$;
comment on function bulwark_private.next_alert_state(
  bulwark_private.alert_rules, bulwark_private.alert_states, bulwark.alert_state, timestamptz
) is
  'The next state of an alert: higher if the threshold was exceeded for rule.lasting, lower if the
   metric was below it for rule.recovering, otherwise unchanged.';

create function bulwark_private.notify_alert(
  rule bulwark_private.alert_rules,
  inout status bulwark_private.alert_states,
  wanted text
)
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_cooled constant boolean := status.evaluated_at - rule.cool_down >= all (array[
    coalesce(status.alarmed_at, '-infinity'),
    case
      -- A critical event does not wait for the cool-down of a warning.
      when wanted = 'alert_critical' then '-infinity'
      else coalesce(status.warned_at, '-infinity')
    end
  ]);
begin
  if status.raised_type is not null and status.raised_type is distinct from wanted then
    perform bulwark_private.close_alert(
      rule.name, status.raised_type,
      case when wanted is null then 'Recovered: ' else 'Now ' || status.state || ': ' end
        || coalesce(round(status.value::numeric, 2)::text, 'nothing was measured')
    );
    status.raised_type := null;
  end if;
  if wanted is null or status.raised_type is not null or not v_cooled then
    return;
  end if;
  perform bulwark.raise_security_event(
    wanted, null, null, rule.name,
    jsonb_build_object(
      'metric', rule.metric, 'statistic', rule.statistic, 'labels', rule.labels,
      'value', status.value, 'warning', rule.warning, 'critical', rule.critical,
      'time_window', rule.time_window
    )
  );
  status.raised_type := wanted;
  if wanted = 'alert_critical' then
    status.alarmed_at := status.evaluated_at;
  else
    status.warned_at := status.evaluated_at;
  end if;
end;
$$;
comment on function bulwark_private.notify_alert(
  bulwark_private.alert_rules, bulwark_private.alert_states, text
) is
  'Resolves the open event of an alert if it is not of the wanted type (null: none), and raises the
   wanted one unless the rule is in its cool-down.';

create function bulwark_private.evaluate_alert(
  rule bulwark_private.alert_rules,
  status bulwark_private.alert_states
)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_next bulwark.alert_state;
  v_now constant timestamptz := clock_timestamp();
  v_seen bulwark.alert_state;
  v_status bulwark_private.alert_states := status;
begin
  v_status.evaluated_at := v_now;
  v_status.value := bulwark_private.alert_statistic(
    rule.metric, rule.statistic, rule.labels, rule.time_window, rule.minimum_count
  );
  v_seen := (case
    when v_status.value is null then 'no_data'
    when v_status.value >= rule.critical then 'critical'
    when v_status.value >= rule.warning then 'warning'
    else 'ok'
  end)::bulwark.alert_state;
  -- Times in the future were written by a wrong clock.
  v_status.warned_at := case
    when v_status.warned_at is not null then least(v_status.warned_at, v_now)
  end;
  v_status.alarmed_at := case
    when v_status.alarmed_at is not null then least(v_status.alarmed_at, v_now)
  end;
  v_status.critical_since := case
    when v_seen = 'critical' then least(coalesce(v_status.critical_since, v_now), v_now)
  end;
  v_status.warning_since := case
    when v_seen = 'critical' or v_seen = 'warning'
      then least(coalesce(v_status.warning_since, v_now), v_now)
  end;
  v_status.silent_since := case
    when v_seen = 'no_data' then least(coalesce(v_status.silent_since, v_now), v_now)
  end;
  v_status.recovering_since := case
    when v_seen = 'ok' and v_status.state <> 'ok'
      or v_seen = 'warning' and v_status.state = 'critical'
      then least(coalesce(v_status.recovering_since, v_now), v_now)
  end;

  v_next := bulwark_private.next_alert_state(rule, v_status, v_seen, v_now);
  if v_next <> v_status.state then
    v_status.state := v_next;
    v_status.since := v_now;
    v_status.recovering_since := null;
  end if;
  v_status := bulwark_private.notify_alert(
    rule, v_status,
    case v_next
      when 'warning' then 'alert_warning'
      when 'critical' then 'alert_critical'
      when 'no_data' then case
        when rule.raise_without_data then 'alert_no_data'
        -- Without data an open event stays open.
        else v_status.raised_type
      end
    end
  );
  update bulwark_private.alert_states s
  set (state, value, since, warning_since, critical_since, recovering_since, silent_since,
      raised_type, warned_at, alarmed_at, evaluated_at)
    = (v_status.state, v_status.value, v_status.since, v_status.warning_since,
      v_status.critical_since, v_status.recovering_since, v_status.silent_since,
      v_status.raised_type, v_status.warned_at, v_status.alarmed_at,
      v_status.evaluated_at)
  where s.rule = rule.name;
  return v_next <> status.state;
end;
$$;
comment on function bulwark_private.evaluate_alert(
  bulwark_private.alert_rules, bulwark_private.alert_states
) is
  'Evaluates one rule, raises and resolves its security events, and returns whether its state
   changed.';

create function bulwark.evaluate_alerts()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_alert record;
  v_changes integer := 0;
begin
  insert into bulwark_private.alert_states (rule)
  select r.name from bulwark_private.alert_rules r
  on conflict do nothing;
  for v_alert in
    select r as rule, s as status
    from bulwark_private.alert_states s
    join bulwark_private.alert_rules r on r.name = s.rule
    where r.enabled
    order by r.name
    -- A rule that is being evaluated elsewhere is skipped.
    for no key update of s skip locked
  loop
    begin
      if bulwark_private.evaluate_alert(v_alert.rule, v_alert.status) then
        v_changes := v_changes + 1;
      end if;
    exception
      -- A failing rule must not stop the others.
      when others then
        raise warning 'Cannot evaluate alert %: % %', (v_alert.rule).name, sqlstate, sqlerrm;
        update bulwark_private.alert_states s
        set state = 'no_data', value = null,
          since = case when s.state = 'no_data' then s.since else clock_timestamp() end
        where s.rule = (v_alert.rule).name;
    end;
  end loop;
  return v_changes;
end;
$$;
comment on function bulwark.evaluate_alerts() is
  'Evaluates all enabled rules, raises and resolves their security events, and returns how many
   alerts changed their state. A failing rule becomes no_data, with a warning. Concurrent runs skip
   each other''s rules. Only for the scheduler.';
