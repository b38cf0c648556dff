-- Metrics levels: the state of the installation as gauges, measured by jobs, so that a scrape reads
-- stored numbers only. Each capability has its own function <noun>_levels(), and <noun>_coverage()
-- for what takes longer to count.
-- Protects against a failing measurement that hides the others: levels_measured says which one.
-- No function here is SECURITY DEFINER: the scheduler runs them.

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

insert into bulwark_private.jobs (name, every, local_every, command) values
  (
    'metrics-levels', '1 minute', '5 seconds',
    $$select bulwark_private.record_levels('levels', '5 minutes')$$
  ),
  (
    'metrics-coverage', '15 minutes', '1 minute',
    $$select bulwark_private.record_levels('coverage', '45 minutes')$$
  );
