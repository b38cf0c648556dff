-- Alerts, evaluation: every rule over its window on a schedule; a security event is raised once
-- when a threshold is crossed and resolved when the metric recovers.
-- Protects against an alarm for every evaluation of the same trouble, for a single spike, for a
-- metric that flaps around its threshold, against silence being taken for health, against one rule
-- that fails and with it all others, and against a clock that was wrong for a while.
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
    return 0;                 -- what counts events says nothing while there are none
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
  'What a rule compares, over the window that ends now; null where too little was measured, 0 where
   a counter that is known counted nothing.';

create function bulwark_private.next_alert_state(
  rule bulwark_private.alert_rules,
  standing bulwark_private.alert_states,
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
    when evaluated_at - standing.critical_since >= rule.lasting then 'critical'
    when evaluated_at - standing.warning_since >= rule.lasting and standing.state <> 'critical'
      then 'warning'
    when evaluated_at - standing.silent_since >= rule.lasting then 'no_data'
    when evaluated_at - standing.calmer_since >= rule.recovering then seen
    -- From knowing nothing to health there is nothing to wait for.
    when standing.state = 'no_data' and seen = 'ok' and standing.raised_type is null then 'ok'
    else standing.state
  end;
end;
$$;
comment on function bulwark_private.next_alert_state(
  bulwark_private.alert_rules, bulwark_private.alert_states, bulwark.alert_state, timestamptz
) is
  'The state that what was seen leads to: up when it lasted, down when it was calmer for as long as
   the rule asks, and otherwise the same.';

create function bulwark_private.tell_alert(
  rule bulwark_private.alert_rules,
  inout standing bulwark_private.alert_states,
  wanted text
)
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_cooled constant boolean := standing.evaluated_at - rule.cool_down >= all (array[
    coalesce(standing.alarmed_at, '-infinity'),
    case
      -- Worse news does not wait for the cooling of the warning before it.
      when wanted = 'alert_critical' then '-infinity'
      else coalesce(standing.warned_at, '-infinity')
    end
  ]);
begin
  if standing.raised_type is not null and standing.raised_type is distinct from wanted then
    perform bulwark_private.close_alert(
      rule.name, standing.raised_type,
      case when wanted is null then 'Recovered: ' else 'Now ' || standing.state || ': ' end
        || coalesce(round(standing.value::numeric, 2)::text, 'nothing was measured')
    );
    standing.raised_type := null;
  end if;
  if wanted is null or standing.raised_type is not null or not v_cooled then
    return;
  end if;
  perform bulwark.raise_security_event(
    wanted, null, null, rule.name,
    jsonb_build_object(
      'metric', rule.metric, 'statistic', rule.statistic, 'labels', rule.labels,
      'value', standing.value, 'warning', rule.warning, 'critical', rule.critical,
      'time_window', rule.time_window
    )
  );
  standing.raised_type := wanted;
  if wanted = 'alert_critical' then
    standing.alarmed_at := standing.evaluated_at;
  else
    standing.warned_at := standing.evaluated_at;
  end if;
end;
$$;
comment on function bulwark_private.tell_alert(
  bulwark_private.alert_rules, bulwark_private.alert_states, text
) is
  'Resolves the event of an alert where another one is wanted (null: none), and raises that, unless
   the rule is still cooling down from the last.';

create function bulwark_private.evaluate_alert(
  rule bulwark_private.alert_rules,
  standing bulwark_private.alert_states
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
  v_standing bulwark_private.alert_states := standing;
begin
  v_standing.evaluated_at := v_now;
  v_standing.value := bulwark_private.alert_statistic(
    rule.metric, rule.statistic, rule.labels, rule.time_window, rule.minimum_count
  );
  v_seen := (case
    when v_standing.value is null then 'no_data'
    when v_standing.value >= rule.critical then 'critical'
    when v_standing.value >= rule.warning then 'warning'
    else 'ok'
  end)::bulwark.alert_state;
  -- What seems to come from the future was noted by a clock that was wrong.
  v_standing.warned_at := case
    when v_standing.warned_at is not null then least(v_standing.warned_at, v_now)
  end;
  v_standing.alarmed_at := case
    when v_standing.alarmed_at is not null then least(v_standing.alarmed_at, v_now)
  end;
  v_standing.critical_since := case
    when v_seen = 'critical' then least(coalesce(v_standing.critical_since, v_now), v_now)
  end;
  v_standing.warning_since := case
    when v_seen = 'critical' or v_seen = 'warning'
      then least(coalesce(v_standing.warning_since, v_now), v_now)
  end;
  v_standing.silent_since := case
    when v_seen = 'no_data' then least(coalesce(v_standing.silent_since, v_now), v_now)
  end;
  v_standing.calmer_since := case
    when v_seen = 'ok' and v_standing.state <> 'ok'
      or v_seen = 'warning' and v_standing.state = 'critical'
      then least(coalesce(v_standing.calmer_since, v_now), v_now)
  end;

  v_next := bulwark_private.next_alert_state(rule, v_standing, v_seen, v_now);
  if v_next <> v_standing.state then
    v_standing.state := v_next;
    v_standing.since := v_now;
    v_standing.calmer_since := null;
  end if;
  v_standing := bulwark_private.tell_alert(
    rule, v_standing,
    case v_next
      when 'warning' then 'alert_warning'
      when 'critical' then 'alert_critical'
      when 'no_data' then case
        when rule.raise_without_data then 'alert_no_data'
        -- Nobody knows whether it recovered: what is open stays open.
        else v_standing.raised_type
      end
    end
  );
  update bulwark_private.alert_states s
  set (state, value, since, warning_since, critical_since, calmer_since, silent_since,
      raised_type, warned_at, alarmed_at, evaluated_at)
    = (v_standing.state, v_standing.value, v_standing.since, v_standing.warning_since,
      v_standing.critical_since, v_standing.calmer_since, v_standing.silent_since,
      v_standing.raised_type, v_standing.warned_at, v_standing.alarmed_at,
      v_standing.evaluated_at)
  where s.rule = rule.name;
  return v_next <> standing.state;
end;
$$;
comment on function bulwark_private.evaluate_alert(
  bulwark_private.alert_rules, bulwark_private.alert_states
) is
  'Evaluates one rule, raises and resolves its security events, and says whether
   its state changed.';

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
    select r as rule, s as standing
    from bulwark_private.alert_states s
    join bulwark_private.alert_rules r on r.name = s.rule
    where r.enabled
    order by r.name
    -- Another evaluator has it: one is enough.
    for no key update of s skip locked
  loop
    begin
      if bulwark_private.evaluate_alert(v_alert.rule, v_alert.standing) then
        v_changes := v_changes + 1;
      end if;
    exception
      -- A rule that cannot be evaluated silences no other, and says that it knows nothing.
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
  'Evaluates every enabled rule, raises and resolves its security events, and returns how many
   alerts changed their state. A rule that fails is a warning and no_data, and fails no other.
   Several at once do the work of one. For the scheduler alone.';
