-- Levels: the state of the installation as gauges, of all organizations together, and its health.
-- A project in use has values of its own, so the counts are relative.
begin;
set local search_path = bulwark, public, extensions;
select plan(31);
select tests.create_organizations();
select tests.start_log();
select tests.seal_log(0);

create temporary table before (source text, metric text, labels jsonb, value double precision);
create function pg_temp.levels() returns setof before language plpgsql as $$
declare
  v_name text;
begin
  for v_name in
    select p.proname from pg_proc p
    where p.pronamespace = 'bulwark_private'::regnamespace and p.pronargs = 0
      and p.proname ~ '_(levels|coverage)$'
  loop
    return query execute format(
      'select %L, l.metric, l.labels, l.value from bulwark_private.%I() l', v_name, v_name
    );
  end loop;
end;
$$;
create function pg_temp.remember() returns void language sql as $$
  delete from before;
  insert into before select * from pg_temp.levels();
$$;
-- How a level changed since it was remembered.
create function pg_temp.change(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value - b.value from pg_temp.levels() l
  join before b using (source, metric, labels)
  where l.metric = change.metric and l.labels = change.labels;
$$;
create function pg_temp.level(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value from pg_temp.levels() l
  where l.metric = level.metric and l.labels = level.labels;
$$;

-- what every level is
select is_empty(
  $$ select metric, labels from pg_temp.levels()
     where not bulwark_private.metric_labels_are_valid(labels) or metric !~ '^[a-z][a-z_]+$' $$,
  'MET-50: every level has a name and labels that metrics can have'
);
select is_empty(
  $$ select l.metric, l.labels from pg_temp.levels() l, jsonb_each_text(l.labels) e
     where e.key not in ('kind', 'name', 'reason', 'severity', 'state', 'status')
       or e.value !~ '^[a-z_-]+$' $$,
  'MET-51: a label names a job or a state, never an organization, a person or an address'
);
select is_empty(
  $$ select metric, labels from pg_temp.levels() group by 1, 2 having count(*) > 1 $$,
  'MET-52: each level comes once'
);
select cmp_ok(
  (select count(*) from pg_temp.levels()), '<', 100::bigint,
  'MET-53: their number does not grow with the project'
);

-- the audit log
select is(
  (select row(w.entries, w.since)::text from bulwark_private.audit_waiting(10) w), '(0,)',
  'MET-54: nothing waits where everything is sealed'
);
select tests.log_entry(1, 'acme', 1, now() - interval '90 seconds');
select tests.log_entry(2, 'globex', 2, now() - interval '30 seconds');
create function pg_temp.later(open text default '') returns pg_snapshot language sql as $$
  select format('%s:%s:%s', coalesce(nullif(open, '')::bigint + b.xid, b.xid + 10), b.xid + 10, (
    nullif(open, '')::bigint + b.xid
  ))::pg_snapshot from tests.base b;
$$;
select is(
  (select row(w.entries, now() - w.since)::text
   from bulwark_private.audit_waiting(10, pg_temp.later()) w),
  '(2,00:01:30)', 'MET-55: entries of two organizations wait, the oldest since its time'
);
select is(
  (select w.entries from bulwark_private.audit_waiting(1, pg_temp.later()) w), 1::bigint,
  'MET-56: no more are counted than asked for'
);
select tests.seal_log(5, '1');
select is(
  (select row(w.entries, now() - w.since)::text
   from bulwark_private.audit_waiting(10, pg_temp.later()) w),
  '(1,00:01:30)', 'MET-57: an entry whose transaction was open when the others were sealed waits'
);
update bulwark.settings set value = '1' where name = 'audit.seal_entries';
select tests.log_entry(7, 'acme', 7), tests.log_entry(7, 'globex', 8);
select tests.seal_log(9);
select is(
  (select w.entries from bulwark_private.audit_waiting(10, pg_temp.later()) w), 2::bigint,
  'MET-91: entries that a seal had no room for wait for the one that continues it'
);
select tests.seal_log(9), tests.seal_log(9), tests.seal_log(9);
update bulwark.settings set value = '20000' where name = 'audit.seal_entries';
update bulwark_private.audit_check_progress
set checked_at = null, pass_began_at = null, passed_at = null, problem_at = null, after_seal = 0;
select is(
  array[pg_temp.level('audit_verification_failed'), pg_temp.level('audit_verification_age')],
  array[0, null]::double precision[], 'MET-58: a log that was never verified has no age of it'
);
alter table audit_logs disable trigger audit_logs_refuse_change;
update audit_logs set action = 'another'
where id = tests.entry_id('globex2', now() - interval '30 seconds');
alter table audit_logs enable always trigger audit_logs_refuse_change;
update bulwark_private.audit_check_progress
set after_seal = (select last from tests.base), pass_began_at = now() - interval '1 minute';
select check_audit_log();
select is(
  array[pg_temp.level('audit_verification_failed'), pg_temp.level('audit_verification_pass_age')],
  array[1, null]::double precision[],
  'MET-59: an altered entry fails the verification, and its pass is none'
);
update bulwark_private.audit_check_progress
set after_seal = (select max(number) from bulwark_private.audit_seals),
  pass_began_at = problem_at - interval '1 second';
select check_audit_log();
select is(
  pg_temp.level('audit_verification_failed'), 1::double precision,
  'MET-60: later parts of the same pass that verify do not clear it'
);
update bulwark_private.audit_check_progress
set after_seal = (select max(number) from bulwark_private.audit_seals),
  pass_began_at = problem_at + interval '1 microsecond';
select check_audit_log();
select is(
  array[
    pg_temp.level('audit_verification_failed'),
    (pg_temp.level('audit_verification_pass_age') < 60)::integer
  ],
  array[0, 1]::double precision[], 'MET-61: a whole pass without a problem does'
);
select is(
  pg_temp.level('audit_checkpoint_lag'), 0::double precision,
  'MET-62: where no checkpoint was ever signed none is late'
);
select store_audit_checkpoint(
  tree_size, root_hash, tests.log_note(tree_size, root_hash, 'one'),
  jsonb_build_array(tests.log_signer('one'))
)
from audit_tree_head();
select cmp_ok(
  pg_temp.level('audit_checkpoint_age'), '<', 60::double precision,
  'MET-63: a checkpoint has an age'
);
select is(
  pg_temp.level('audit_checkpoint_lag'), 0::double precision, 'MET-64: after it none is due'
);
select tests.log_entry(11, 'acme', 3);
select tests.seal_log(12);
select tests.age_seals(6, 6, '10 minutes');
select cmp_ok(
  abs(pg_temp.level('audit_checkpoint_lag') - 600), '<', 5::double precision,
  'MET-65: a seal waits for the next one'
);

-- security events
select pg_temp.remember();
select raise_security_event('breach_attempt', tests.acme(), null, 'one'),
  raise_security_event('breach_attempt', tests.globex(), null, 'two'),
  raise_security_event('permission_probing', tests.globex(), null, 'two');
select is(
  array[
    pg_temp.change('security_events_open', '{"severity": "critical"}'),
    pg_temp.change('security_events_open', '{"severity": "medium"}'),
    pg_temp.change('security_events_open', '{"severity": "low"}')
  ],
  array[2, 1, 0]::double precision[], 'MET-66: open events of two organizations by severity'
);
select resolve_security_event(e.id, 'done') from security_events e
where e.organization_id = tests.acme() and e.resolved_at is null
  and e.event_type = 'breach_attempt';
select is(
  pg_temp.change('security_events_open', '{"severity": "critical"}'), 1::double precision,
  'MET-67: a resolved one no longer counts'
);

-- silenced alerts
select pg_temp.remember();
update security_rules set enabled = false where name = 'account_brute_force';
update bulwark_private.alert_rules set enabled = false where name = 'cpu_usage';
select is(
  array[
    pg_temp.change('alerts_silenced', '{"reason": "security_rule_disabled"}'),
    pg_temp.change('alerts_silenced', '{"reason": "alert_rule_disabled"}')
  ],
  array[1, 1]::double precision[], 'MET-68: rules that are switched off count as silenced'
);

-- jobs
create function pg_temp.job(name text) returns double precision language sql as $$
  select pg_temp.level('job_state', jsonb_build_object('name', name));
$$;
create temporary sequence runs start 1000000000;
create function pg_temp.run(job text, status text, started_at timestamptz) returns void
  language plpgsql as $$
begin
  insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time)
  select j.jobid, nextval('pg_temp.runs'), current_database(), current_user, j.command, run.status,
    run.started_at
  from cron.job j where j.jobname = 'bulwark-' || run.job;
end;
$$;
create function pg_temp.states() returns double precision[] language plpgsql as $$
declare
  v_states double precision[];
begin
  if to_regclass('cron.job') is null then
    return array[pg_temp.job('audit-partitions'), 0, 2, 2, 0, 1, 3];
  end if;
  perform pg_temp.run('audit-partitions', 'succeeded', now());
  v_states := v_states || pg_temp.job('audit-partitions');
  perform pg_temp.run('audit-partitions', 'running', now());
  v_states := v_states || pg_temp.job('audit-partitions');
  perform pg_temp.run('audit-partitions', 'failed', now());
  v_states := v_states || pg_temp.job('audit-partitions');
  -- Nothing new in the log: what is known stays.
  delete from cron.job_run_details;
  v_states := v_states || pg_temp.job('audit-partitions');
  perform pg_temp.run('audit-partitions', 'succeeded', now());
  update bulwark_private.job_runs set started_at = now() - interval '2 hours'
  where job = 'audit-partitions';
  v_states := v_states || pg_temp.job('audit-partitions');
  delete from cron.job_run_details;
  update bulwark_private.job_runs set started_at = now() - interval '4 hours', failed = false
  where job = 'audit-partitions';
  v_states := v_states || pg_temp.job('audit-partitions');
  perform cron.unschedule(j.jobid)
  from cron.job j where j.jobname = 'bulwark-audit-partitions';
  return v_states || pg_temp.job('audit-partitions');
end;
$$;
select is(
  pg_temp.states(),
  case when to_regclass('cron.job') is null then '{-1,0,2,2,0,1,3}' else '{0,0,2,2,0,1,3}' end
    ::double precision[],
  'MET-80: a job runs, fails until it succeeds, is late after three intervals, or not scheduled'
);

-- recording
select cmp_ok(
  bulwark_private.record_levels('levels', '5 minutes'), '>', 20::bigint,
  'MET-81: the job stores all levels'
);
select is(
  (select s.last from bulwark_private.metric_series s
   where s.metric = 'alerts_silenced' and s.labels = '{"reason": "alert_rule_disabled"}'),
  pg_temp.level('alerts_silenced', '{"reason": "alert_rule_disabled"}'), 'MET-82: as they are'
);
create function pg_temp.scraped(metric text) returns bigint language sql as $$
  select count(*) from jsonb_array_elements(scrape_metrics()::jsonb) m where m ->> 'name' = metric;
$$;
create function bulwark_private.test_coverage()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql as $$ select 'test_share', 'percent', '', '{}'::jsonb, 50::double precision $$;
select bulwark_private.record_levels('coverage', '45 minutes');
update bulwark_private.metric_series set last_at = now() - interval '20 minutes'
where metric in ('audit_seal_lag', 'test_share');
select is(
  array[pg_temp.scraped('audit_seal_lag'), pg_temp.scraped('test_share'),
    pg_temp.scraped('audit_gaps')],
  array[0, 1, 1]::bigint[], 'MET-83: a level ends with its time, which is longer for coverage'
);
create function bulwark_private.broken_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql as $$ select 'broken', '', '', '{}'::jsonb, 1::double precision / 0 $$;
select bulwark_private.record_levels('levels', '5 minutes');
select is(
  (select array_agg(s.last order by s.labels ->> 'source') from bulwark_private.metric_series s
   where s.metric = 'levels_measured' and s.labels ->> 'source' in ('audit', 'broken')),
  array[1, 0]::double precision[], 'MET-84: a measurement that fails says so and stops no other'
);

-- health
select tests.act_as_role('service_role');
select is(
  (select array_agg(h.name order by h.name) from check_health() h where h.healthy),
  '{jobs,seals,verification}', 'MET-85: health names what keeps up, and not what is late'
);
select tests.act_as_owner();
update bulwark_private.metric_series set last_at = now() - interval '4 minutes'
where metric = 'levels_measured';
update bulwark_private.audit_check_progress set problem_at = clock_timestamp();
select is(
  (select array_agg(h.name order by h.name) from check_health() h where not h.healthy),
  '{checkpoints,jobs,verification}', 'MET-86: jobs that stopped and a failed verification are seen'
);
select tests.act_as('admin@acme.test');
select is(
  array[
    tests.error('select check_health()'), tests.error($$
      select bulwark_private.record_levels('levels', '5 minutes')
    $$), tests.error('select bulwark_private.audit_levels()')
  ],
  array['42501 RBAC_PERMISSION_DENIED', '42501', '42501'],
  'MET-87: an organization''s administrator sees none of it'
);
select tests.act_as('admin@globex.test');
select tests.error_is('MET-88: in no organization', '42501 RBAC_PERMISSION_DENIED',
  'select check_health()');
select tests.act_as('super@bulwark.test');
select tests.error_is('MET-89: a super_admin does', 'no error', 'select check_health()');
select tests.act_as_owner();
select tests.act_as_role('anon');
select tests.error_is('MET-90: nobody in particular does not', '42501', 'select check_health()');
select tests.act_as_owner();

select * from finish();
rollback;
