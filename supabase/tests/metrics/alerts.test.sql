-- Alerts: raised once when a threshold is exceeded for long enough, resolved on recovery, and
-- no_data without values.
begin;
set local search_path = bulwark, public, extensions;
select plan(54);
select tests.create_organizations();
delete from bulwark_private.alert_rules;

create function pg_temp.set_level(level double precision) returns void language sql as $$
  select record_metrics(gen_random_uuid(), jsonb_build_array(jsonb_build_object(
    'metric', 't_level', 'kind', 'gauge', 'unit', '', 'description', '', 'labels', '{}'::jsonb,
    'at', extract(epoch from now()), 'count', 1, 'total', level, 'minimum', level,
    'maximum', level, 'last', level, 'zeros', 0, 'indexes', '[]'::jsonb, 'counts', '[]'::jsonb)));
$$;
-- Moves an alert's times into the past.
create function pg_temp.wait(duration interval) returns void language sql as $$
  update bulwark_private.alert_states set
    since = since - duration, warning_since = warning_since - duration,
    critical_since = critical_since - duration, recovering_since = recovering_since - duration,
    silent_since = silent_since - duration, warned_at = warned_at - duration,
    alarmed_at = alarmed_at - duration;
$$;
create function pg_temp.see(level double precision) returns text language plpgsql as $$
begin
  perform pg_temp.set_level(level);
  perform evaluate_alerts();
  return (select state from bulwark_private.alert_states where rule = 't_rule');
end;
$$;
create function pg_temp.events() returns table (type text, open boolean) language sql as $$
  select event_type, resolved_at is null from security_events
  where subject = 't_rule' order by raised_at;
$$;

select set_alert_rule('t_rule', 't_level', 'last', 100, 200,
  lasting => '2 minutes', recovering => '3 minutes', cool_down => '15 minutes');

-- rising
select is(evaluate_alerts(), 0, 'ALERT-01: a metric that was never measured is evaluated');
select is(
  (select state::text from bulwark_private.alert_states), 'no_data', 'ALERT-02: it has no data'
);
select is(pg_temp.see(50), 'ok', 'ALERT-03: a first measurement within bounds is ok at once');
select is(pg_temp.see(150), 'ok', 'ALERT-04: a threshold that was just exceeded is no alert yet');
select pg_temp.wait('1 minute');
select is(pg_temp.see(50), 'ok', 'ALERT-05: and a spike never becomes one');
select pg_temp.wait('5 minutes');
select is(pg_temp.see(150), 'ok', 'ALERT-06: the next spike begins anew');
select is_empty('select * from pg_temp.events()', 'ALERT-07: nothing was raised');
select pg_temp.wait('1 minute');
select is(pg_temp.see(250), 'ok', 'ALERT-08: worse meanwhile does not begin anew');
select pg_temp.wait('1 minute');
select is(
  pg_temp.see(150), 'warning', 'ALERT-09: above the threshold for as long as the rule requires'
);
select results_eq(
  'select * from pg_temp.events()', $$ values ('alert_warning', true) $$,
  'ALERT-10: a security event is raised'
);
select is(
  (select details ->> 'value' from security_events where subject = 't_rule'), '150',
  'ALERT-11: it has the measured value'
);
select is(pg_temp.see(160), 'warning', 'ALERT-12: it goes on');
select is(
  (select occurrences from security_events where subject = 't_rule'), 1::bigint,
  'ALERT-13: without another event for each evaluation'
);

-- worse, and better
select from pg_temp.see(250);
select pg_temp.wait('2 minutes');
select is(pg_temp.see(250), 'critical', 'ALERT-14: it gets worse');
select results_eq(
  'select * from pg_temp.events()',
  $$ values ('alert_warning', false), ('alert_critical', true) $$,
  'ALERT-15: a critical event is raised at once and replaces the warning'
);
select is(pg_temp.see(50), 'critical', 'ALERT-16: one good value is no recovery');
select pg_temp.wait('2 minutes');
select is(pg_temp.see(250), 'critical', 'ALERT-17: which ends with the next bad one');
select pg_temp.wait('5 minutes');
select from pg_temp.see(50);
select pg_temp.wait('3 minutes');
select is(
  pg_temp.see(50), 'ok', 'ALERT-18: it recovers once it was better for as long as the rule asks'
);
select results_eq(
  'select * from pg_temp.events()',
  $$ values ('alert_warning', false), ('alert_critical', false) $$,
  'ALERT-19: and its event is resolved'
);
select matches(
  (select resolution_note from security_events where event_type = 'alert_critical'),
  '^Recovered: 50', 'ALERT-20: with a note of what was measured then'
);

-- cooling down
select from pg_temp.see(250);
select pg_temp.wait('2 minutes');
select is(pg_temp.see(250), 'critical', 'ALERT-21: it fires again within the cool-down');
select is(
  (select count(*) from pg_temp.events()), 2::bigint, 'ALERT-22: without another event'
);
select pg_temp.wait('15 minutes');
select from pg_temp.see(250);
select results_eq(
  'select type from pg_temp.events() where open', $$ values ('alert_critical') $$,
  'ALERT-23: which is raised when that is over and it still fires'
);

-- missing data
delete from bulwark_private.metric_points;
select evaluate_alerts();
select pg_temp.wait('2 minutes');
select evaluate_alerts();
select is(
  (select state::text from bulwark_private.alert_states),
  'no_data', 'ALERT-24: silence is a state of its own'
);
select is(
  (select count(*) from pg_temp.events() where open), 1::bigint,
  'ALERT-25: without data an open event stays open'
);
select from pg_temp.see(50);
select pg_temp.wait('3 minutes');
select is(pg_temp.see(50), 'ok', 'ALERT-26: with new data it can recover');
select is_empty('select * from pg_temp.events() where open', 'ALERT-27: and resolves it');
select set_alert_rule('t_rule', 't_level', 'last', 100, 200, raise_without_data => true,
  lasting => '2 minutes', cool_down => '0');
delete from bulwark_private.metric_points;
select evaluate_alerts();
select pg_temp.wait('2 minutes');
select evaluate_alerts();
select results_eq(
  'select type from pg_temp.events() where open', $$ values ('alert_no_data') $$,
  'ALERT-28: a rule can ask to be told of silence'
);
select set_alert_rule('t_rule', 't_level', 'last', 100, 200, enabled => false);
select is_empty(
  'select * from pg_temp.events() where open',
  'ALERT-29: a rule that is switched off takes its event along'
);

-- a counter, which has no values while nothing happens
create function pg_temp.count_errors(amount double precision) returns void language sql as $$
  select record_metrics(gen_random_uuid(), jsonb_build_array(jsonb_build_object(
    'metric', 't_errors', 'kind', 'counter', 'unit', '', 'description', '', 'labels', '{}'::jsonb,
    'at', extract(epoch from now()), 'count', 1, 'total', amount)));
$$;
create function pg_temp.evaluated() returns text language plpgsql as $$
begin
  perform evaluate_alerts();
  return (select state from bulwark_private.alert_states where rule = 't_errors');
end;
$$;
select set_alert_rule('t_errors', 't_errors', 'total', 10, lasting => '0', recovering => '0');
select is(pg_temp.evaluated(), 'no_data', 'ALERT-37: an unknown counter has no data');
select pg_temp.count_errors(50);
select is(pg_temp.evaluated(), 'warning', 'ALERT-38: its values raise its alert');
delete from bulwark_private.metric_points;
select is(
  pg_temp.evaluated(), 'ok', 'ALERT-39: and where it counts nothing any more that is a zero'
);

-- a clock that was a day ahead for a while
select pg_temp.count_errors(50);
update bulwark_private.alert_states set warning_since = now() + interval '1 day',
  recovering_since = now() + interval '1 day', warned_at = now() + interval '1 day'
where rule = 't_errors';
select set_alert_rule('t_errors', 't_errors', 'total', 10, lasting => '0', cool_down => '0');
select is(
  pg_temp.evaluated(), 'warning', 'ALERT-40: an alert does not wait for a clock that was ahead'
);
select is(
  (select count(*) from security_events where subject = 't_errors' and resolved_at is null),
  1::bigint, 'ALERT-41: nor does its event'
);
delete from bulwark_private.alert_rules where name = 't_errors';

-- rules
select tests.error_is('ALERT-30: thresholds rise', '22023 METRICS_INVALID_ALERT_RULE',
  $$ select set_alert_rule('t_bad', 't_level', 'last', 300, 200) $$);
select tests.error_is('ALERT-31: and are numbers', '22023 METRICS_INVALID_ALERT_RULE',
  $$ select set_alert_rule('t_bad', 't_level', 'last', 'NaN') $$);
select tests.error_is('ALERT-32: there is one at least', '22023 METRICS_INVALID_ALERT_RULE',
  $$ select set_alert_rule('t_bad', 't_level', 'last') $$);
select ok(
  exists (select from audit_logs where resource_type = 'bulwark_private.alert_rules'),
  'ALERT-33: a change of a rule is an entry in the audit log'
);

-- acting as an administrator and as the super_admin
select tests.act_as('admin@acme.test');
select tests.error_is('ALERT-34: an organization''s administrator sets no rule',
  '42501 RBAC_PERMISSION_DENIED', $$ select set_alert_rule('t_rule', 't_level', 'last', 1) $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('ALERT-35: a super_admin does', 'no error',
  $$ select set_alert_rule('t_rule', 't_level', 'last', 1) $$);
select is((select count(*) from list_alerts()), 1::bigint, 'ALERT-36: and sees where alerts stand');
select set_alert_rule('t_errors', 't_errors', 'total', 10, lasting => '0');
select tests.act_as_owner();
select record_metrics(gen_random_uuid(), jsonb_build_array(jsonb_build_object(
  'metric', 't_errors', 'kind', 'counter', 'labels', '{}'::jsonb, 'at', extract(epoch from now()),
  'count', 1, 'total', 50, 'minimum', 50, 'maximum', 50, 'last', 50)));
select evaluate_alerts();
select tests.act_as('admin@acme.test');
select tests.error_is('ALERT-48: an organization''s administrator deletes no rule',
  '42501 RBAC_PERMISSION_DENIED', $$ select delete_alert_rule('t_errors') $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('ALERT-49: a super_admin does', 'no error',
  $$ select delete_alert_rule('t_errors') $$);
select tests.error_is('ALERT-50: but none that is not there', 'PT404 METRICS_UNKNOWN_ALERT_RULE',
  $$ select delete_alert_rule('t_errors') $$);
select tests.error_is('ALERT-50: nor null', 'PT404 METRICS_UNKNOWN_ALERT_RULE',
  $$ select delete_alert_rule(null) $$);
select results_eq('select name from list_alerts()', array['t_rule'], 'ALERT-51: the others stay');
select tests.act_as_owner();
select is(
  array[
    (select count(*) from security_events where subject = 't_errors'
       and resolution_note like 'The rule was removed%'),
    (select count(*) from security_events where subject = 't_errors' and resolved_at is null)
  ],
  array[2, 0]::bigint[], 'ALERT-52: the open event of a deleted rule is resolved'
);
select is(
  (select actor_id from audit_logs
   where resource_type = 'bulwark_private.alert_rules' and before ->> 'name' = 't_errors'
     and after is null and actor_id is not null),
  tests.user_id('super@bulwark.test'), 'ALERT-53: and who deleted it is in the audit log'
);
-- a rule that cannot be evaluated
select tests.act_as_owner();
delete from bulwark_private.alert_rules;
select set_alert_rule('t_broken', 't_broken', 'maximum', 100, lasting => '0', recovering => '0');
select set_alert_rule('t_whole', 't_level', 'last', 100, lasting => '0', recovering => '0');
create function pg_temp.break() returns void language sql as $$
  select record_metrics(gen_random_uuid(), jsonb_build_array(jsonb_build_object(
    'metric', 't_broken', 'kind', 'gauge', 'labels', '{}'::jsonb, 'at', extract(epoch from now()),
    'count', 9000000000000000000, 'total', 1, 'minimum', 150, 'maximum', 150, 'last', 150)));
$$;
select pg_temp.break();
select pg_temp.set_level(50);
select evaluate_alerts();
select is(
  (select state::text from bulwark_private.alert_states where rule = 't_broken'), 'warning',
  'ALERT-42: while it can be evaluated it is'
);
insert into bulwark_private.metric_points (series_id, at, count, total, maximum)
select id, date_trunc('minute', now() - interval '2 minutes'), count, 1, 150
from bulwark_private.metric_series where metric = 't_broken';
select pg_temp.set_level(150);
select tests.error_is('ALERT-43: a rule that fails fails no evaluation', 'no error',
  'select evaluate_alerts()');
select results_eq(
  'select rule, state::text from bulwark_private.alert_states order by rule',
  $$ values ('t_broken', 'no_data'), ('t_whole', 'warning') $$,
  'ALERT-44: a failing rule becomes no_data, and the others go on'
);
delete from bulwark_private.metric_points p using bulwark_private.metric_series s
where s.id = p.series_id and s.metric = 't_broken' and p.at < now() - interval '1 minute';
select evaluate_alerts();
select results_eq(
  $$ select e.event_type, e.occurrences, e.resolved_at is null from security_events e
     where e.subject = 't_broken' $$,
  $$ values ('alert_warning', 1::bigint, true) $$,
  'ALERT-45: when it can be evaluated again its event is still the same'
);
select is(
  array[
    tests.error($$ select set_alert_rule('t_never', 't_level', 'last', 1,
      labels => '{"a": 5}') $$),
    tests.error($$ select set_alert_rule('t_never', 't_level', 'last', 1,
      labels => '{"A": "b"}') $$)
  ],
  array_fill('22023 METRICS_INVALID_ALERT_RULE'::text, array[2]),
  'ALERT-46: labels that no series can have are refused'
);
select tests.error_is('ALERT-47: nor are they long', '22023 METRICS_INVALID_ALERT_RULE',
  format(
    $$ select set_alert_rule('t_never', 't_level', 'last', 1, labels => %L) $$,
    jsonb_build_object('a', repeat('x', 10000))
  ));
select * from finish();
rollback;
