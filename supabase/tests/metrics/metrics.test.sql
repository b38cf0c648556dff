-- Metrics: exact counts, percentiles within the stated error, and reading only with a system-wide
-- system:monitor.
begin;
set local search_path = bulwark, public, extensions;
select plan(49);
select tests.create_organizations();

-- The sample of one value in one series, as an isolate sends it.
create function pg_temp.sample(
  metric text, kind text, labels jsonb, at timestamptz, vals double precision[],
  unit text default ''
) returns jsonb language sql as $$
  select jsonb_build_object(
    'metric', metric, 'kind', kind, 'unit', unit, 'description', 'a test', 'labels', labels,
    'at', extract(epoch from at), 'count', cardinality(vals),
    'total', (select sum(v) from unnest(vals) v),
    'minimum', (select min(v) from unnest(vals) v), 'maximum', (select max(v) from unnest(vals) v),
    'last', vals[cardinality(vals)],
    'zeros', (select count(*) from unnest(vals) v where v = 0),
    'indexes', coalesce((select jsonb_agg(i order by i) from (
      select distinct ceil(log(2, v::numeric) * 64)::int as i
      from unnest(vals) v where v > 0 and kind <> 'counter') x), '[]'),
    'counts', coalesce((select jsonb_agg(n order by i) from (
      select ceil(log(2, v::numeric) * 64)::int as i, count(*) as n
      from unnest(vals) v where v > 0 and kind <> 'counter'
      group by 1) x), '[]')
  );
$$;

-- recording
select is(
  record_metrics(
    '00000000-0000-4000-8000-00000000000a',
    jsonb_build_array(
      pg_temp.sample(
        't_time', 'histogram', '{"route": "a"}', now(), '{1, 2, 3, 4, 0}', 'milliseconds'
      ),
      pg_temp.sample('t_time', 'histogram', '{"route": "b"}', now(), '{100}', 'milliseconds'),
      pg_temp.sample('t_count', 'counter', '{}', now(), '{5}'),
      pg_temp.sample('t_level', 'gauge', '{}', now(), '{7, 3}')
    )
  ),
  9::bigint, 'MET-01: a flush returns how many values it counted'
);
select is(
  record_metrics(
    '00000000-0000-4000-8000-00000000000a',
    jsonb_build_array(pg_temp.sample('t_count', 'counter', '{}', now(), '{5}'))
  ),
  0::bigint, 'MET-02: the same flush again counts nothing'
);
select is(
  (select total from read_metric('t_count')),
  5::double precision, 'MET-03: and leaves the sum as it was'
);
select results_eq(
  $$ select count, total, minimum, maximum, mean, last
     from read_metric('t_time', labels => '{"route": "a"}') $$,
  $$ values (5::bigint, 10::float8, 0::float8, 4::float8, 2::float8, 0::float8) $$,
  'MET-04: count, total, minimum, maximum, mean and last are exact'
);
select results_eq(
  $$ select label, count from read_metric('t_time', group_by => 'route') $$,
  $$ values ('a', 5::bigint), ('b', 1::bigint) $$,
  'MET-05: a metric is read by the values of a label'
);
select results_eq(
  $$ select count, maximum from read_metric('t_time') $$,
  $$ values (6::bigint, 100::float8) $$,
  'MET-06: or all together'
);
select is(
  (select p50 from read_metric('t_count')), null, 'MET-07: a counter has no percentiles'
);
select is(
  record_metrics(gen_random_uuid(), jsonb_build_array(
    pg_temp.sample('t_count', 'gauge', '{}', now(), '{5}'),
    pg_temp.sample('Bad name', 'counter', '{}', now(), '{5}'),
    pg_temp.sample('t_count', 'counter', '{"le": "1"}', now(), '{5}'),
    pg_temp.sample('t_count', 'counter', '{"a": 1}', now(), '{5}'),
    pg_temp.sample('t_count', 'wrong', '{}', now(), '{5}'),
    pg_temp.sample('t_count', 'counter', jsonb_build_object('a', repeat('x', 129)), now(), '{5}'),
    pg_temp.sample('t_count', 'counter', '{}', now(), '{1}')
  )),
  1::bigint, 'MET-08: samples that are malformed or of another kind are skipped'
);
select tests.error_is('MET-09: a batch has an id', '22023 METRICS_INVALID_BATCH',
  $$ select record_metrics(null, '[]') $$);
select tests.error_is('MET-10: and is a list', '22023 METRICS_INVALID_BATCH',
  $$ select record_metrics(gen_random_uuid(), '{}') $$);
select tests.error_is('MET-11: of bounded length', '22023 METRICS_INVALID_BATCH',
  $$ select record_metrics(gen_random_uuid(), (select jsonb_agg(1) from generate_series(1, 5001)))
    $$);
select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_clock', 'counter', '{}', now() + interval '1 day', '{1}'),
  pg_temp.sample('t_clock', 'counter', '{}', now() - interval '1 year', '{1}')
));
select is_empty(
  $$ select p.at from bulwark_private.metric_points p
    where p.at > now() or p.at < now() - interval '62 minutes' $$,
  'MET-12: an isolate''s clock does not put values into the future or far into the past'
);
select is(
  (select total from read_metric('t_clock', since => now() - interval '2 hours')),
  2::double precision, 'MET-13: and loses none'
);

-- invalid values, and the limit of sums
select is(
  record_metrics(gen_random_uuid(), (
    select jsonb_agg(
      pg_temp.sample('t_sum', 'counter', '{}', now(), '{1}') || jsonb_build_object(field, value)
    )
    from unnest(array['total', 'minimum', 'maximum', 'last']) as field,
      unnest(array['"NaN"', '"Infinity"', '"-Infinity"']::jsonb[]) as value
  )),
  0::bigint, 'MET-40: a value that is no number is skipped'
);
select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_sum', 'counter', '{}', now(), '{1}') || '{"total": 1e300}',
  pg_temp.sample('t_sum', 'counter', '{}', now(), '{1}') || '{"total": 1e300}',
  pg_temp.sample('t_sum', 'counter', '{}', now(), '{1}') || '{"total": null}'
)) from generate_series(1, 5);
select results_eq(
  $$ select count, total from read_metric('t_sum') $$, $$ values (10::bigint, 1e300::float8) $$,
  'MET-41: a sum is limited'
);

-- cardinality
update bulwark.settings set value = '60' where name = 'metrics.max_metrics';
select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_many', 'counter', '{"user": "first"}', now(), '{1}')
));
update bulwark_private.metrics set max_series = 10 where name = 't_many';
select record_metrics(gen_random_uuid(), (
  select jsonb_agg(pg_temp.sample(
    't_many', 'counter', jsonb_build_object('user', i::text), now(), '{1}'))
  from generate_series(1, 500) as i
));
select is(
  (select count(*) from bulwark_private.metric_series where metric = 't_many'), 11::bigint,
  'MET-14: labels take as many combinations as the metric may have, and one for the rest'
);
select is(
  (select total from read_metric('t_many')), 501::double precision, 'MET-15: nothing of it is lost'
);
select is(
  (select total from read_metric('t_many', labels => '{"overflow": "true"}')),
  491::double precision, 'MET-16: the rest is under overflow'
);
select record_metrics(gen_random_uuid(), (
  select jsonb_agg(pg_temp.sample('t_name_' || i, 'counter', '{}', now(), '{1}'))
  from generate_series(1, 100) as i
));
select is(
  (select count(*) from bulwark_private.metrics), 60::bigint, 'MET-17: metrics are bounded too'
);

update bulwark.settings set value = '500' where name = 'metrics.max_metrics';

-- percentiles, over several minutes and several flushes
select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_spread', 'histogram', '{}', now() - make_interval(mins => i),
    (select array_agg(exp(v / 100.0)) from generate_series(i, 1000, 10) as v))
)) from generate_series(1, 10) as i;
select results_eq(
  $$ select
       abs(p50 / exp(5.00) - 1) < 0.0055, abs(p95 / exp(9.50) - 1) < 0.0055,
       abs(p99 / exp(9.90) - 1) < 0.0055, count
     from read_metric('t_spread') $$,
  $$ values (true, true, true, 1000::bigint) $$,
  'MET-18: percentiles of merged minutes are within 0.55 % of the exact ones'
);
select is(
  (select count(*) from read_metric('t_spread', step => '1 minute')), 10::bigint,
  'MET-19: a range is read in steps'
);
select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_below', 'gauge', '{}', now(), '{-5, 5}')
));
select results_eq(
  $$ select p50, minimum, maximum from read_metric('t_below') $$,
  $$ values (null::float8, -5::float8, 5::float8) $$,
  'MET-20: a level below zero has no percentiles rather than wrong ones'
);

select record_metrics(gen_random_uuid(), jsonb_build_array(
  pg_temp.sample('t_one', 'histogram', '{}', now(), '{0.0000042}'),
  pg_temp.sample('t_same', 'histogram', '{}', now(), array_fill(123.456::float8, array[50])),
  pg_temp.sample('t_nothing', 'histogram', '{}', now(), array_fill(0::float8, array[50])),
  pg_temp.sample('t_modes', 'histogram', '{}', now(),
    array_fill(0::float8, array[94]) || array_fill(64::float8, array[2])
      || array_fill(1e9::float8, array[4]))
));
select results_eq(
  $$ select p50, p95, p99 from unnest(array['t_one', 't_same', 't_nothing']) m, read_metric(m) $$,
  $$ values (0.0000042::float8, 0.0000042::float8, 0.0000042::float8),
       (123.456::float8, 123.456::float8, 123.456::float8), (0::float8, 0::float8, 0::float8) $$,
  'MET-42: of one value, of equal ones and of nothing but zeros percentiles are exact'
);
select results_eq(
  $$ select p50, abs(p95 / 64 - 1) < 0.0055, abs(p99 / 1e9 - 1) < 0.0055
    from read_metric('t_modes') $$,
  $$ values (0::float8, true, true) $$,
  'MET-43: of modes far apart each percentile is in its own'
);

-- roll-up
create temporary table before as
  select count, total, minimum, maximum, p50, p95, p99
  from read_metric('t_spread', since => now() - interval '400 days');
update bulwark_private.metric_points set at = at - interval '3 days' where series_id in (
  select id from bulwark_private.metric_series where metric = 't_spread');
select cmp_ok(roll_up_metrics(), '>', 0::bigint, 'MET-21: minutes that age are rolled up');
select cmp_ok(
  (select count(*)
    from bulwark_private.metric_points p join bulwark_private.metric_series s on s.id = p.series_id
   where s.metric = 't_spread' and p.minutes = 60), '<=', 2::bigint, 'MET-22: into hours'
);
select results_eq(
  $$ select count, total::numeric, minimum, maximum, p50, p95, p99
     from read_metric('t_spread', since => now() - interval '400 days') $$,
  $$ select count, total::numeric, minimum, maximum, p50, p95, p99 from before $$,
  'MET-23: and no result changes'
);
update bulwark_private.metric_points set at = at - interval '70 days' where minutes = 60;
select roll_up_metrics();
select results_eq(
  $$ select count, p50, p95, p99
    from read_metric('t_spread', since => now() - interval '400 days') $$,
  $$ select count, p50, p95, p99 from before $$, 'MET-24: hours into days as well'
);
select is(roll_up_metrics(), 0::bigint, 'MET-25: a second time there is nothing to do');
update bulwark_private.metric_points set at = at - interval '800 days' where minutes = 1440;
select roll_up_metrics();
select is_empty(
  $$ select from bulwark_private.metric_points where minutes = 1440 $$,
  'MET-26: old points are removed'
);
select is(
  (select s ->> 1
   from jsonb_array_elements(scrape_metrics()::jsonb) m, jsonb_array_elements(m -> 'series') s
   where m ->> 'name' = 't_spread'),
  '1000', 'MET-27: values for scrapers only rise, whatever was removed'
);

-- reading
select tests.error_is('MET-28: a metric that is not there is an error',
  'PT404 METRICS_UNKNOWN_METRIC', $$ select * from read_metric('t_none') $$);
select tests.error_is('MET-29: so is a range that ends before it begins',
  '22023 METRICS_INVALID_RANGE',
  $$ select * from read_metric('t_time', since => now(), until => now() - interval '1 hour') $$);
select tests.error_is('MET-30: and one of too many steps', '22023 METRICS_INVALID_RANGE',
  $$ select * from read_metric('t_time', since => now() - interval '30 days', step => '1 minute')
    $$);

-- acting as an organization's administrator
select tests.act_as('admin@acme.test');
select tests.error_is('MET-31: system:monitor in an organization opens nothing of the installation',
  '42501 RBAC_PERMISSION_DENIED', $$ select * from read_metric('t_time') $$);
select is(
  array[
    tests.error('select list_metrics()'), tests.error('select scrape_metrics()'),
    tests.error('select top_queries()'), tests.error('select list_alerts()')
  ],
  array_fill('42501 RBAC_PERMISSION_DENIED'::text, array[4]),
  'MET-32: neither do the other functions'
);
select tests.error_is('MET-33: clients record nothing', '42501',
  $$ select record_metrics(gen_random_uuid(), '[]') $$);
select is(
  array[
    tests.error('select roll_up_metrics()'), tests.error('select evaluate_alerts()'),
    tests.error('select * from bulwark_private.metric_points')
  ],
  array['42501', '42501', '42501'],
  'MET-34: nor run the scheduler''s functions, nor read the tables'
);

-- acting as the super_admin
select tests.act_as('super@bulwark.test');
select tests.error_is('MET-35: a super_admin reads', 'no error',
  $$ select * from read_metric('t_time') $$);
select tests.error_is('MET-36: the slowest queries too', 'no error',
  $$ select * from top_queries() $$);
select tests.act_as_owner();

-- an organization's administrator elsewhere
select tests.act_as('admin@globex.test');
select is(
  array[tests.error($$ select read_metric('t_time') $$), tests.error('select list_metrics()')],
  array_fill('42501 RBAC_PERMISSION_DENIED'::text, array[2]),
  'MET-44: nor does one of another organization see anything'
);
select tests.act_as_owner();

-- literals; slow enough to be among the first hundred, whatever ran before
create role loud password 'rosebud-of-the-role';
create table pg_temp.secrets (word text);
insert into secrets values ('rosebud-of-the-row');
select count(*), pg_sleep(1)
from secrets /* rosebud-of-the-comment */ where word = 'rosebud-of-the-filter';
select record_metrics(gen_random_uuid(), '[]'), pg_sleep(1);
select is_empty(
  $$ select query from top_queries(100) where query like '%rosebud%' $$,
  'MET-37: no query is shown with its literals, its comments, or a password'
);
select isnt_empty(
  $$ select query from top_queries(100) where query like '%record_metrics%' and calls > 0 $$,
  'MET-38: but queries are shown'
);
select tests.act_as_role('service_role');
select tests.error_is('MET-39: the service role records, and reads for a scraper', 'no error',
  $$ select record_metrics(gen_random_uuid(), '[]'), scrape_metrics() $$);
select tests.act_as_owner();
-- series that ended
create function pg_temp.record(metric text, route text) returns bigint language sql as $$
  select record_metrics(gen_random_uuid(), jsonb_build_array(
    pg_temp.sample(metric, 'counter', jsonb_build_object('route', route), now(), '{1}')));
$$;
create function pg_temp.routes() returns setof text language sql as $$
  select coalesce(labels ->> 'route', 'overflow') from bulwark_private.metric_series
  where metric = 't_ending' order by id;
$$;
select pg_temp.record('t_ending', 'old');
select pg_temp.record('t_ending', 'older');
update bulwark_private.metrics set max_series = 2 where name = 't_ending';
select pg_temp.record('t_ending', 'new');
select results_eq(
  'select pg_temp.routes()', $$ values ('old'), ('older'), ('overflow') $$,
  'MET-45: beyond the maximum a new series is overflow'
);
update bulwark_private.metric_series set last_at = now() - interval '31 days'
where metric = 't_ending' and labels ->> 'route' like 'old%';
select pg_temp.record('t_ending', 'newer');
select results_eq(
  'select pg_temp.routes()', $$ values ('old'), ('older'), ('overflow'), ('newer') $$,
  'MET-46: series without values for a month do not count'
);
update bulwark_private.metric_series set last_at = now() - interval '731 days'
where metric = 't_ending' and labels ->> 'route' like 'old%';
delete from bulwark_private.metric_points p using bulwark_private.metric_series s
where s.id = p.series_id and s.metric = 't_ending' and s.labels ->> 'route' = 'older';
select roll_up_metrics();
select results_eq(
  'select pg_temp.routes()', $$ values ('old'), ('overflow'), ('newer') $$,
  'MET-47: a series ends when nothing is kept of it any more, and not before'
);
update bulwark_private.metrics set created_at = now() - interval '731 days';
select pg_temp.record('t_ended', 'only');
update bulwark_private.metrics set created_at = now() - interval '731 days' where name = 't_ended';
delete from bulwark_private.metric_series where metric = 't_ended';
select roll_up_metrics();
select is(
  array(
    select name from bulwark_private.metrics where name in ('t_ended', 't_ending')
  ), array['t_ending'],
  'MET-48: and a metric with its last series'
);
select tests.error_is('MET-49: a month is no step, because months differ in length',
  '22023 METRICS_INVALID_RANGE',
  $$ select read_metric('t_time', now() - interval '60 days', step => '1 month') $$);
select * from finish();
rollback;
