-- 08_metrics: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: changed: create table bulwark_private.metrics (
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- By hand: new: insert into bulwark_private.jobs (name, every, local_every, command) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('metrics.alert_rules', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('metrics.max_metrics', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('metrics.series_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.minute_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('metrics.hour_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.day_days', '{"type": "integer", "minimum": 1, "maximum": 36500}');

alter table bulwark_private.metrics
  add column valid_for interval not null default '5 minutes';
insert into bulwark_private.jobs (name, every, local_every, command) values
  (
    'metrics-levels', '1 minute', '5 seconds',
    $$select bulwark_private.record_levels('levels', '5 minutes')$$
  ),
  (
    'metrics-coverage', '15 minutes', '1 minute',
    $$select bulwark_private.record_levels('coverage', '45 minutes')$$
  );
comment on column bulwark_private.metrics.valid_for is
  'How long a scrape shows the last value of a gauge.';
create or replace function bulwark.scrape_metrics()
  returns json                -- not jsonb, which would be parsed and printed again
  language plpgsql
  stable
  security definer            -- definer because clients read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:monitor', null);
  -- One value instead of rows: the Data API limits rows, and a scrape must be complete.
  return (
    select coalesce(
      json_agg(
        json_build_object(
          'name', m.name, 'kind', m.kind, 'unit', m.unit, 'description', m.description,
          'series', s.series
        )
        order by m.name
      ),
      '[]'
    )
    from bulwark_private.metrics m
    join lateral (
      select json_agg(
        json_build_array(
          s.labels, s.count, s.total, s.last, s.zeros, s.octaves, s.octave_counts
        )
        order by s.id
      ) as series
      from bulwark_private.metric_series s
      where s.metric = m.name
        -- A gauge that is no longer reported has no current level.
        and (m.kind <> 'gauge' or s.last_at > now() - m.valid_for)
    ) as s on s.series is not null
  );
end;
$$;
create or replace function bulwark.roll_up_metrics()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_kept constant timestamptz :=
    now() - make_interval(days => (bulwark_private.setting('metrics.day_days'))::integer);
  v_moved bigint;
begin
  -- A concurrent run would find nothing to do.
  if not pg_try_advisory_xact_lock(hashtextextended('bulwark.roll_up_metrics', 0)) then
    return 0;
  end if;
  v_moved := bulwark_private.roll_up_points(
      1, 60, now() - make_interval(
        hours => (bulwark_private.setting('metrics.minute_hours'))::integer
      )
    )
    + bulwark_private.roll_up_points(
      60, 1440, now() - make_interval(
        days => (bulwark_private.setting('metrics.hour_days'))::integer
      )
    );
  delete from bulwark_private.metric_points p
  where p.minutes = 1440 and p.at < v_kept;
  -- A series is removed with its last point, and a metric with its last series. Those that are
  -- being recorded right now are left for the next run.
  delete from bulwark_private.metric_series d
  where d.id in (
    select s.id from bulwark_private.metric_series s
    where s.last_at < v_kept
      and not exists (select from bulwark_private.metric_points p where p.series_id = s.id)
    for update skip locked
  );
  delete from bulwark_private.metrics d
  where d.name in (
    select m.name from bulwark_private.metrics m
    where m.created_at < v_kept
      and not exists (select from bulwark_private.metric_series s where s.metric = m.name)
    for update skip locked
  );
  delete from bulwark_private.metric_batches b where b.received_at < now() - interval '1 hour';
  return v_moved;
end;
$$;
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
create function bulwark_private.level_sample(
  metric text,
  unit text,
  description text,
  labels jsonb,
  value double precision
)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'metric', metric, 'kind', 'gauge', 'unit', unit, 'description', description,
    'labels', labels, 'at', extract(epoch from now()), 'count', 1, 'total', value,
    'minimum', value, 'maximum', value, 'last', value, 'zeros', (value = 0)::integer
  ) || case
    -- The bucket of an exponential histogram of scale 6.
    when value > 0 then jsonb_build_object(
      'indexes', jsonb_build_array(greatest(ceil(log(2, value::numeric) * 64), -32000)),
      'counts', '[1]'::jsonb
    )
    else '{"indexes": [], "counts": []}'
  end;
$$;
comment on function bulwark_private.level_sample(text, text, text, jsonb, double precision) is
  'A sample of a gauge with one value, for record_metrics.';
create function bulwark_private.record_levels(kind text, valid_for interval)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_counted bigint;
  v_function record;
  v_measured integer;
  v_samples jsonb := '[]'::jsonb;
  v_some jsonb;
begin
  -- The catalogue is the list, so that a capability that is added later needs no entry.
  for v_function in
    select p.oid::regproc as name, left(p.proname, -length(kind) - 1) as source
    from pg_catalog.pg_proc p
    where p.pronamespace = 'bulwark_private'::regnamespace and p.pronargs = 0
      and right(p.proname, length(kind) + 1) = '_' || kind
    order by p.proname
  loop
    begin
      execute format(
        'select coalesce(
           jsonb_agg(bulwark_private.level_sample(
             l.metric, l.unit, l.description, l.labels, l.value
           )),
           ''[]''
         )
         from %s() l where l.value is not null', v_function.name
      )
      into v_some;
      v_measured := 1;
    exception
      -- A failing measurement must not stop the others.
      when others then
        raise warning 'Cannot measure %: % %', v_function.source, sqlstate, sqlerrm;
        v_some := '[]';
        v_measured := 0;
    end;
    v_samples := v_samples || v_some || bulwark_private.level_sample(
      kind || '_measured', '', 'Whether a capability could be measured: 0 or 1',
      jsonb_build_object('source', v_function.source), v_measured
    );
  end loop;
  v_counted := bulwark.record_metrics(gen_random_uuid(), v_samples);
  update bulwark_private.metrics m
  set valid_for = record_levels.valid_for
  where m.valid_for <> record_levels.valid_for
    and m.name in (select s.value ->> 'metric' from jsonb_array_elements(v_samples) s);
  return v_counted;
end;
$$;
comment on function bulwark_private.record_levels(text, interval) is
  'Measures all capabilities with the functions <noun>_<kind>() and stores the values as gauges,
   which a scrape shows for so long. Returns the number of values.';
create table bulwark_private.job_runs (
  job text primary key references bulwark_private.jobs (name) on delete cascade,
  known_since timestamptz not null default now(),
  runid bigint,
  started_at timestamptz,
  failed boolean not null default false
);
comment on table bulwark_private.job_runs is
  'The last run of each job that ended, as of the last measurement. Not audited: it changes each
   minute.';
comment on column bulwark_private.job_runs.started_at is
  'When the newest run started, whether it ended or not.';
alter table bulwark_private.job_runs enable row level security;
create function bulwark_private.note_job_runs()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_after bigint;
begin
  insert into bulwark_private.job_runs (job)
  select j.name from bulwark_private.jobs j
  on conflict do nothing;
  if to_regclass('cron.job_run_details') is null then
    return;
  end if;
  -- The log has an index on runid alone. The last 2000 runs are read again, because a run can end
  -- after later ones began.
  select coalesce(max(r.runid), 0) - 2000 into v_after from bulwark_private.job_runs r;
  update bulwark_private.job_runs r
  set runid = coalesce(n.ended, r.runid), started_at = coalesce(n.started_at, r.started_at),
    failed = case when n.ended is null then r.failed else n.failed end
  from (
    select
      substr(j.jobname, 9) as job,
      max(d.runid) filter (where d.status in ('succeeded', 'failed')) as ended,
      max(d.start_time) as started_at,
      (
        array_agg(d.status = 'failed' order by d.runid desc)
          filter (where d.status in ('succeeded', 'failed'))
      )[1] as failed
    from cron.job_run_details d
    join cron.job j on j.jobid = d.jobid and j.jobname like 'bulwark-%'
    where d.runid > v_after
    group by j.jobname
  ) n
  where n.job = r.job;
end;
$$;
comment on function bulwark_private.note_job_runs() is
  'Notes the last run of each job in bulwark_private.job_runs. It reads only the newest part of the
   log of pg_cron.';
create function bulwark_private.job_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language plpgsql
  volatile
  rows 25
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.note_job_runs();
  if to_regclass('cron.job') is null
    or current_setting('cron.log_run', true) in ('off', 'false', '0') then
    return query
      select
        'job_state', '', 'State of a job: -1 unknown, 0 runs, 1 late, 2 fails, 3 not scheduled',
        jsonb_build_object('name', b.name), -1::double precision
      from bulwark_private.jobs b;
    return;
  end if;
  return query
    select
      'job_state', '', 'State of a job: -1 unknown, 0 runs, 1 late, 2 fails, 3 not scheduled',
      jsonb_build_object('name', b.name),
      case
        when j.active is not true then 3
        when r.failed then 2
        when coalesce(r.started_at, r.known_since) < now() - greatest(
          interval '5 minutes', 3 * coalesce(b.every, make_interval(
            secs => (bulwark_private.setting(b.seconds_setting))::integer
          ))
        ) then 1
        else 0
      end::double precision
    from bulwark_private.jobs b
    join bulwark_private.job_runs r on r.job = b.name
    left join cron.job j on j.jobname = 'bulwark-' || b.name and j.username = current_user;
end;
$$;
comment on function bulwark_private.job_levels() is
  'The levels of scheduled jobs: see docs/metrics.md. Unknown where pg_cron is missing or keeps no
   log.';
create function bulwark_private.alert_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select
    'alerts_silenced', '', 'Alerts that reach nobody',
    '{"reason": "alert_rule_disabled"}'::jsonb, count(*)::double precision
  from bulwark_private.alert_rules r where not r.enabled;
$$;
comment on function bulwark_private.alert_levels() is
  'The levels of alerts: see docs/metrics.md.';
create function bulwark.check_health()
  returns table (name text, healthy boolean, seconds double precision)
  language plpgsql
  stable
  rows 4
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_checkpoint_lag constant double precision := coalesce(
    extract(epoch from now() - bulwark_private.audit_unsigned_since()), 0
  );
  v_checks bulwark_private.audit_check_progress;
  v_measured double precision;
  v_seal_lag double precision;
begin
  perform bulwark.require_permission('system:monitor', null);
  select extract(epoch from now() - max(s.last_at)) into v_measured
  from bulwark_private.metric_series s where s.metric = 'levels_measured';
  select coalesce(extract(epoch from now() - w.since), 0) into v_seal_lag
  from bulwark_private.audit_waiting(1) w;
  select * into v_checks from bulwark_private.audit_check_progress p;
  return query values
    ('jobs', coalesce(v_measured < 180, false), v_measured),
    (
      'seals',
      v_seal_lag <= (bulwark_private.setting('audit.seal_overdue_seconds'))::integer, v_seal_lag
    ),
    (
      'checkpoints', v_checkpoint_lag <= 3 * (
        bulwark_private.setting('audit.checkpoint_interval_seconds')
      )::integer,
      v_checkpoint_lag
    ),
    (
      'verification', not bulwark_private.audit_verification_failed(v_checks),
      extract(epoch from now() - v_checks.checked_at)::double precision
    );
end;
$$;
comment on function bulwark.check_health() is
  'Whether jobs run, entries are sealed, seals are signed and the log verifies, from a few index
   look-ups; seconds: since jobs ran, the oldest entry waits, the oldest seal waits, a part was
   verified. Needs system:monitor. Errors: RBAC_PERMISSION_DENIED.';
revoke all on table bulwark_private.job_runs from public;
revoke all on table bulwark_private.job_runs from anon;
revoke all on table bulwark_private.job_runs from authenticated;
revoke all on table bulwark_private.job_runs from service_role;
revoke all on function bulwark.delete_alert_rule(name text) from public;
revoke all on function bulwark.delete_alert_rule(name text) from anon;
revoke all on function bulwark.delete_alert_rule(name text) from authenticated;
revoke all on function bulwark.delete_alert_rule(name text) from service_role;
revoke all on function bulwark_private.level_sample(metric text, unit text, description text, labels jsonb, value double precision) from public;
revoke all on function bulwark_private.level_sample(metric text, unit text, description text, labels jsonb, value double precision) from anon;
revoke all on function bulwark_private.level_sample(metric text, unit text, description text, labels jsonb, value double precision) from authenticated;
revoke all on function bulwark_private.level_sample(metric text, unit text, description text, labels jsonb, value double precision) from service_role;
revoke all on function bulwark_private.record_levels(kind text, valid_for interval) from public;
revoke all on function bulwark_private.record_levels(kind text, valid_for interval) from anon;
revoke all on function bulwark_private.record_levels(kind text, valid_for interval) from authenticated;
revoke all on function bulwark_private.record_levels(kind text, valid_for interval) from service_role;
revoke all on function bulwark_private.note_job_runs() from public;
revoke all on function bulwark_private.note_job_runs() from anon;
revoke all on function bulwark_private.note_job_runs() from authenticated;
revoke all on function bulwark_private.note_job_runs() from service_role;
revoke all on function bulwark_private.job_levels() from public;
revoke all on function bulwark_private.job_levels() from anon;
revoke all on function bulwark_private.job_levels() from authenticated;
revoke all on function bulwark_private.job_levels() from service_role;
revoke all on function bulwark_private.alert_levels() from public;
revoke all on function bulwark_private.alert_levels() from anon;
revoke all on function bulwark_private.alert_levels() from authenticated;
revoke all on function bulwark_private.alert_levels() from service_role;
revoke all on function bulwark.check_health() from public;
revoke all on function bulwark.check_health() from anon;
revoke all on function bulwark.check_health() from authenticated;
revoke all on function bulwark.check_health() from service_role;
grant execute on function bulwark.check_health() to authenticated;
grant execute on function bulwark.check_health() to service_role;
grant execute on function bulwark.delete_alert_rule(text) to authenticated;
grant execute on function bulwark.delete_alert_rule(text) to service_role;
