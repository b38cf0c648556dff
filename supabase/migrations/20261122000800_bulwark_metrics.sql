-- Built by npm run build from supabase/schemas/08_metrics: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

-- Metrics: counters, gauges and histograms of isolates, which forget everything between requests.
-- Percentiles over any range come from merged buckets, never from averages of percentiles.
-- Protects against labels with unbounded values: the number of series is limited.
-- Buckets are those of an exponential histogram of scale 6 (OpenTelemetry): bucket i holds the
-- values above 2^((i-1)/64) up to 2^(i/64), so that a percentile is off by 0.55 % at most.
-- No function here is SECURITY DEFINER.

create type bulwark.metric_kind as enum ('counter', 'gauge', 'histogram');
comment on type bulwark.metric_kind is
  'Kind of a metric: counter is a sum that only rises, gauge a sampled level, histogram a
   distribution.';

create table bulwark_private.metrics (
  name text primary key,
  kind bulwark.metric_kind not null,
  unit text not null default '',
  description text not null default '',
  max_series bigint not null default 500,
  created_at timestamptz not null default now(),
  valid_for interval not null default '5 minutes',
  constraint metrics_name_format check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint metrics_unit_format check (unit ~ '^[a-z]{0,32}$'),
  constraint metrics_description_length check (length(description) <= 200),
  constraint metrics_max_series_range check (max_series between 1 and 100000)
);
comment on table bulwark_private.metrics is
  'All metrics. A new name is registered at its first flush. Not audited: measurements are no acts
   of users.';
comment on column bulwark_private.metrics.max_series is
  'Maximum number of combinations of labels; further ones are counted in the series overflow. Series
   without a value for metrics.series_days do not count.';
comment on column bulwark_private.metrics.valid_for is
  'How long a scrape shows the last value of a gauge.';

create table bulwark_private.metric_series (
  id bigint generated always as identity primary key,
  metric text not null references bulwark_private.metrics (name),
  labels jsonb not null default '{}',
  count bigint not null default 0,
  total double precision not null default 0,
  zeros bigint not null default 0,
  last double precision,
  last_at timestamptz not null default now(),
  octaves smallint[] not null default '{}',
  octave_counts bigint[] not null default '{}',
  constraint metric_series_is_one unique (metric, labels)
) with (fillfactor = 70);
comment on table bulwark_private.metric_series is
  'One combination of labels of a metric, with cumulative values for scrapers. Not audited:
   measurements are no acts of users.';
comment on column bulwark_private.metric_series.octaves is
  'Buckets of scale 0, merged from those of scale 6: octave k holds values above 2^(k-1) up to
   2^k.';

create table bulwark_private.metric_points (
  series_id bigint not null references bulwark_private.metric_series (id) on delete cascade,
  at timestamptz not null,
  minutes smallint not null default 1,
  count bigint not null,
  total double precision not null,
  minimum double precision,
  maximum double precision,
  last double precision,
  zeros bigint not null default 0,
  indexes smallint[] not null default '{}',
  counts bigint[] not null default '{}',
  primary key (series_id, at, minutes),
  constraint metric_points_minutes check (minutes in (1, 60, 1440))
) with (fillfactor = 70);
comment on table bulwark_private.metric_points is
  'Values of one series within a minute, later rolled up into hours and days. Not audited:
   measurements are no acts of users.';
comment on column bulwark_private.metric_points.indexes is
  'Non-empty buckets of scale 6 in ascending order; counts has the number of values in each.';
comment on column bulwark_private.metric_points.zeros is 'Number of values of 0, which are in no
   bucket.';

create table bulwark_private.metric_batches (
  id uuid primary key,
  received_at timestamptz not null default now()
);
comment on table bulwark_private.metric_batches is
  'Ids of the batches of the last hour, so that a repeated batch counts once. Not audited:
   measurements are no acts of users.';
create index metric_batches_received_at_idx on bulwark_private.metric_batches (received_at);

alter table bulwark_private.metrics enable row level security;
alter table bulwark_private.metric_series enable row level security;
alter table bulwark_private.metric_points enable row level security;
alter table bulwark_private.metric_batches enable row level security;

insert into bulwark.settings (name, value, description) values
  ('metrics.max_metrics', '500', 'Maximum number of metrics'),
  ('metrics.series_days', '30',
    'Days without a value after which a series no longer counts towards the maximum'),
  ('metrics.minute_hours', '48', 'Hours after which minutes are rolled up into hours'),
  ('metrics.hour_days', '60', 'Days after which hours are rolled up into days'),
  ('metrics.day_days', '730', 'Days after which measurements are removed');

create function bulwark_private.metric_labels_are_valid(labels jsonb)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_typeof(labels) = 'object'
    and (select count(*) <= 8 from jsonb_object_keys(labels))
    and not exists (
      select from jsonb_each(labels) as l (name, value)
      where l.name !~ '^[a-z][a-z0-9_]{0,62}$'
        or l.name in ('le', 'quantile')
        or jsonb_typeof(l.value) <> 'string'
        or length(l.value #>> '{}') > 128
    );
end;
$$;
comment on function bulwark_private.metric_labels_are_valid(jsonb) is
  'Whether these are at most 8 labels with valid names and values of up to 128 characters. le and
   quantile are reserved by Prometheus.';

-- Metrics, recording: adds the values of a flush to the stored ones.
-- Protects against lost and double counts when many isolates write at once or an answer is lost,
-- and against an invalid value that would spoil a sum.
-- SECURITY DEFINER: record_metrics, because not even the service role writes the tables.

create function bulwark_private.add_metric_series(
  metric text,
  kind bulwark.metric_kind,
  unit text,
  description text,
  labels jsonb[]
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_max bigint;
begin
  insert into bulwark_private.metrics (name, kind, unit, description)
  select
    add_metric_series.metric, add_metric_series.kind,
    coalesce(add_metric_series.unit, ''), left(coalesce(add_metric_series.description, ''), 200)
  where (select count(*) from bulwark_private.metrics)
    < (bulwark_private.setting('metrics.max_metrics'))::integer
  on conflict do nothing;
  -- The lock serializes additions of series to this metric, so that the maximum holds.
  select m.max_series into v_max
  from bulwark_private.metrics m
  where m.name = add_metric_series.metric and m.kind = add_metric_series.kind
  for update;
  if not found then
    return;
  end if;
  insert into bulwark_private.metric_series (metric, labels)
  select
    add_metric_series.metric,
    case when known.series + n.place <= v_max then n.labels else '{"overflow": "true"}' end
  from (
    select count(*) as series
    from bulwark_private.metric_series s
    where s.metric = add_metric_series.metric
      and s.labels <> '{"overflow": "true"}'
      -- Series without recent values do not count.
      and s.last_at > now() - make_interval(
        days => bulwark_private.setting('metrics.series_days')::integer
      )
  ) as known
  cross join (
    select l.labels, row_number() over (order by l.labels) as place
    from unnest(add_metric_series.labels) as l (labels)
    where not exists (
      select from bulwark_private.metric_series s
      where s.metric = add_metric_series.metric and s.labels = l.labels
    )
  ) as n
  on conflict do nothing;
end;
$$;
comment on function bulwark_private.add_metric_series(
  text, bulwark.metric_kind, text, text, jsonb[]
) is
  'Adds series, or the series overflow if the metric has reached its maximum. Does nothing if the
   name belongs to a metric of another kind, or if there are too many metrics.';

create function bulwark.record_metrics(batch uuid, samples jsonb)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes the tables
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for small tables would read all of them
as $$
#variable_conflict use_column
declare
  v_new record;
  v_counted bigint;
  v_ours bigint[];
begin
  if batch is null or samples is null or jsonb_typeof(samples) <> 'array'
    or jsonb_array_length(samples) > 5000 then
    raise exception 'Cannot record metrics: a batch has an id and a list of at most 5000 samples'
      using errcode = 'invalid_parameter_value', detail = 'METRICS_INVALID_BATCH';
  end if;
  insert into bulwark_private.metric_batches (id) values (batch) on conflict do nothing;
  if not found then
    return 0;                 -- the batch was stored before
  end if;

  -- New series are added in a fixed order, then all written series are locked in a fixed order, so
  -- that concurrent flushes never deadlock.
  for v_new in
    with unknown as materialized (
      select n.metric, n.kind, n.unit, n.description, n.labels
      from jsonb_to_recordset(samples)
        as n (metric text, kind text, unit text, description text, labels jsonb)
      where (
        select s.id from bulwark_private.metric_series s where s.metric = n.metric
          and s.labels = n.labels
      ) is null
    )
    select
      u.metric, u.kind::bulwark.metric_kind as kind, min(u.unit) as unit,
      min(u.description) as description, array_agg(distinct u.labels) as labels
    from unknown u
    where u.metric ~ '^[a-z][a-z0-9_]{0,62}$'
      and u.kind in ('counter', 'gauge', 'histogram')
      and coalesce(u.unit, '') ~ '^[a-z]{0,32}$'
      and bulwark_private.metric_labels_are_valid(u.labels)
    group by u.metric, u.kind
    order by u.metric, u.kind
  loop
    perform bulwark_private.add_metric_series(
      v_new.metric, v_new.kind, v_new.unit, v_new.description, v_new.labels
    );
  end loop;

  select coalesce(array_agg(l.id), '{}') into v_ours
  from (
    select s.id from bulwark_private.metric_series s
    where s.id in (
      select coalesce(
        (
          select own.id from bulwark_private.metric_series own
          where own.metric = n.metric and own.labels = n.labels
        ),
        (
          select overflow.id from bulwark_private.metric_series overflow
          where overflow.metric = n.metric and overflow.labels = '{"overflow": "true"}'
        )
      )
      from jsonb_to_recordset(samples) as n (metric text, labels jsonb)
    )
    order by s.id
    for no key update
  ) as l;

  with told as (
    select
      coalesce(own.id, overflow.id) as series_id,
      date_trunc(
        'minute', least(greatest(to_timestamp(n.at), now() - interval '1 hour'), now())
      ) as at,
      n.ordinal, n.count, n.total, n.minimum, n.maximum, n.last, n.zeros, n.indexes, n.counts
    from rows from (
      jsonb_to_recordset(samples) as (
        metric text, kind text, labels jsonb, at double precision, count bigint,
        total double precision, minimum double precision, maximum double precision,
        last double precision, zeros bigint, indexes smallint[], counts bigint[]
      )
    ) with ordinality as n (
      metric, kind, labels, at, count, total, minimum, maximum, last, zeros, indexes, counts,
      ordinal
    )
    join bulwark_private.metrics m on m.name = n.metric and m.kind::text = n.kind
    left join lateral (
      select s.id from bulwark_private.metric_series s
      where s.metric = n.metric and s.labels = n.labels and s.id = any (v_ours)
      offset 0                -- force a lookup by the whole key
    ) as own on true
    left join lateral (
      select s.id from bulwark_private.metric_series s
      where s.metric = n.metric and s.labels = '{"overflow": "true"}' and s.id = any (v_ours)
      offset 0
    ) as overflow on true
    where n.count > 0
      and coalesce(own.id, overflow.id) is not null
      -- The labels of existing series were validated before.
      and (own.id is not null or bulwark_private.metric_labels_are_valid(n.labels))
      and coalesce(cardinality(n.indexes), 0) = coalesce(cardinality(n.counts), 0)
      -- NaN and infinity would spoil the sum forever; the limit keeps sums from overflowing.
      and abs(n.total) <= 1e300
      and coalesce(abs(n.minimum), 0) < 'infinity'
      and coalesce(abs(n.maximum), 0) < 'infinity'
      and coalesce(abs(n.last), 0) < 'infinity'
  ),
  points as (
    select
      t.series_id, t.at, sum(t.count)::bigint as count, sum(t.total) as total,
      min(t.minimum) as minimum, max(t.maximum) as maximum,
      (array_agg(t.last order by t.ordinal desc))[1] as last,
      coalesce(sum(t.zeros), 0)::bigint as zeros
    from told t
    group by t.series_id, t.at
  ),
  buckets as (
    select t.series_id, t.at, u.i, sum(u.c)::bigint as c
    from told t
    cross join lateral unnest(t.indexes, t.counts) as u (i, c)
    group by t.series_id, t.at, u.i
  ),
  -- Stored buckets are included; nobody else changes them, because their series are locked.
  merged as (
    select
      b.series_id, b.at, array_agg(b.i order by b.i) as indexes,
      array_agg(b.c order by b.i) as counts
    from (
      select a.series_id, a.at, a.i, sum(a.c)::bigint as c
      from (
        select b.series_id, b.at, b.i, b.c from buckets b
        union all
        select p.series_id, p.at, u.i, u.c
        from points n
        cross join lateral (
          select o.* from bulwark_private.metric_points o
          where o.series_id = n.series_id and o.at = n.at and o.minutes = 1
          offset 0            -- force a lookup by the whole key
        ) as p
        cross join lateral unnest(p.indexes, p.counts) as u (i, c)
      ) as a
      group by a.series_id, a.at, a.i
    ) as b
    group by b.series_id, b.at
  ),
  written as (
    insert into bulwark_private.metric_points as p
      (series_id, at, count, total, minimum, maximum, last, zeros, indexes, counts)
    select
      n.series_id, n.at, n.count, n.total, n.minimum, n.maximum, n.last, n.zeros,
      coalesce(m.indexes, '{}'), coalesce(m.counts, '{}')
    from points n
    left join merged m on m.series_id = n.series_id and m.at = n.at
    on conflict (series_id, at, minutes) do update set
      count = p.count + excluded.count,
      total = greatest(least(p.total + excluded.total, 1e300), -1e300),
      minimum = least(p.minimum, excluded.minimum),
      maximum = greatest(p.maximum, excluded.maximum),
      last = excluded.last,
      zeros = p.zeros + excluded.zeros,
      indexes = excluded.indexes,
      counts = excluded.counts
  ),
  octaves as (
    select
      o.series_id, array_agg(o.k order by o.k) as octaves, array_agg(o.c order by o.k) as counts
    from (
      select a.series_id, a.k, sum(a.c)::bigint as c
      from (
        select b.series_id, ((b.i + 63) >> 6)::smallint as k, b.c from buckets b
        union all
        select s.id, u.k, u.c
        from bulwark_private.metric_series s
        cross join lateral unnest(s.octaves, s.octave_counts) as u (k, c)
        where s.id in (select b.series_id from buckets b)
      ) as a
      group by a.series_id, a.k
    ) as o
    group by o.series_id
  ),
  sums as (
    select
      n.series_id, sum(n.count)::bigint as count, sum(n.total) as total,
      sum(n.zeros)::bigint as zeros, (array_agg(n.last order by n.at desc))[1] as last
    from points n
    group by n.series_id
  ),
  summed as (
    update bulwark_private.metric_series s
    set
      count = s.count + n.count,
      total = greatest(least(s.total + n.total, 1e300), -1e300),
      zeros = s.zeros + n.zeros,
      last = coalesce(n.last, s.last),
      last_at = now(),
      octaves = coalesce(o.octaves, s.octaves),
      octave_counts = coalesce(o.counts, s.octave_counts)
    from sums n
    left join octaves o on o.series_id = n.series_id
    where s.id = n.series_id
  )
  select coalesce(sum(n.count), 0)::bigint into v_counted from points n;
  return v_counted;
end;
$$;
comment on function bulwark.record_metrics(uuid, jsonb) is
  'Stores a batch of samples (service role only) and returns how many values it counted. A sample is
   {metric, kind, unit, description, labels, at (seconds), count, total, minimum, maximum, last,
   zeros, indexes[], counts[]}. Malformed samples, and those of another kind than their metric, are
   skipped. A repeated batch counts nothing. Errors: METRICS_INVALID_BATCH.';

-- Metrics, reading: summaries and percentiles over any range, merged from buckets.
-- Protects the installation's metrics from members of organizations: reading needs a system-wide
-- system:monitor.
-- SECURITY DEFINER: read_metric and list_metrics, because clients read no table of bulwark_private.

create function bulwark_private.bucket_value(bucket smallint)
  returns double precision
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The value with the same relative distance to both bounds: (base - 1) / (base + 1) = 0.0054.
  return 2 * power(2::double precision, bucket / 64.0) / (power(2::double precision, 1 / 64.0) + 1);
end;
$$;
comment on function bulwark_private.bucket_value(smallint) is
  'The value that represents a bucket: 0.55 % off at most.';

create function bulwark_private.summarize_metric(
  metric text,
  since timestamptz,
  until timestamptz,
  labels jsonb,
  step interval,
  group_by text
)
  returns table (
    at timestamptz,
    label text,
    count bigint,
    total double precision,
    minimum double precision,
    maximum double precision,
    mean double precision,
    last double precision,
    p50 double precision,
    p95 double precision,
    p99 double precision
  )
  language sql
  stable
  rows 100
  set search_path = pg_catalog, pg_temp
as $$
  with chosen as materialized (
    select
      case when step is null then since else date_bin(step, p.at, since) end as slot,
      coalesce(s.labels ->> group_by, '') as label,
      p.at, p.count, p.total, p.minimum, p.maximum, p.last, p.zeros, p.indexes, p.counts
    from bulwark_private.metric_series s
    join bulwark_private.metric_points p on p.series_id = s.id
    where s.metric = summarize_metric.metric
      and s.labels @> summarize_metric.labels
      and p.at > since - interval '1 day'
      and p.at + make_interval(mins => p.minutes) > since
      and p.at <= until
  ),
  sums as (
    select
      c.slot, c.label, sum(c.count)::bigint as count, sum(c.total) as total,
      min(c.minimum) as minimum, max(c.maximum) as maximum,
      (array_agg(c.last order by c.at desc))[1] as last
    from chosen c
    group by c.slot, c.label
  ),
  buckets as (
    select c.slot, c.label, u.i, sum(u.c) as n
    from chosen c
    cross join lateral unnest(c.indexes, c.counts) as u (i, c)
    group by c.slot, c.label, u.i
    union all
    select c.slot, c.label, (-32768)::smallint, sum(c.zeros)
    from chosen c
    where c.zeros > 0
    group by c.slot, c.label
  ),
  ranked as (
    select
      b.slot, b.label, b.i,
      sum(b.n) over (partition by b.slot, b.label order by b.i) as upto,
      sum(b.n) over (partition by b.slot, b.label) as n
    from buckets b
  ),
  quantiles as (
    select
      r.slot, r.label, min(r.n) as n,
      min(r.i) filter (where r.upto >= ceil(0.50 * r.n)) as i50,
      min(r.i) filter (where r.upto >= ceil(0.95 * r.n)) as i95,
      min(r.i) filter (where r.upto >= ceil(0.99 * r.n)) as i99
    from ranked r
    group by r.slot, r.label
  )
  select
    -- A rolled-up point may begin before the range.
    greatest(s.slot, since), s.label, s.count, s.total, s.minimum, s.maximum, s.total / s.count,
    s.last,
    -- Minimum and maximum are exact, so they bound the percentile.
    case when q.i50 is null then null when q.i50 = -32768 then 0
      else least(greatest(bulwark_private.bucket_value(q.i50), s.minimum), s.maximum) end,
    case when q.i95 is null then null when q.i95 = -32768 then 0
      else least(greatest(bulwark_private.bucket_value(q.i95), s.minimum), s.maximum) end,
    case when q.i99 is null then null when q.i99 = -32768 then 0
      else least(greatest(bulwark_private.bucket_value(q.i99), s.minimum), s.maximum) end
  from sums s
  -- No percentiles if a value is in no bucket: sums of counters, and negative values.
  left join quantiles q on q.slot = s.slot and q.label = s.label and q.n = s.count
  order by 1, 2;
$$;
comment on function bulwark_private.summarize_metric(
  text, timestamptz, timestamptz, jsonb, interval, text
) is 'bulwark.read_metric without the check of permissions.';

create function bulwark.read_metric(
  metric text,
  since timestamptz default now() - interval '1 hour',
  until timestamptz default now(),
  labels jsonb default '{}',
  step interval default null,
  group_by text default null
)
  returns table (
    at timestamptz,
    label text,
    count bigint,
    total double precision,
    minimum double precision,
    maximum double precision,
    mean double precision,
    last double precision,
    p50 double precision,
    p95 double precision,
    p99 double precision
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because clients read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:monitor', null);
  if not exists (select from bulwark_private.metrics m where m.name = read_metric.metric) then
    raise exception 'Cannot read metric: it does not exist'
      using errcode = 'PT404', detail = 'METRICS_UNKNOWN_METRIC',
            hint = 'List them with: select name from list_metrics()';
  end if;
  if since is null or until is null or labels is null or not since < until
    or until - since > interval '1000 days' or not (isfinite(since) and isfinite(until))
    or step < interval '1 minute' or (until - since) / 1000 > step
    or extract(year from step) <> 0 or extract(month from step) <> 0 then
    raise exception 'Cannot read metric: the range or the step is invalid'
      using errcode = 'invalid_parameter_value', detail = 'METRICS_INVALID_RANGE',
            hint = 'A range begins before it ends and has at most 1000 steps of a minute or more';
  end if;
  return query
    select * from bulwark_private.summarize_metric(
      read_metric.metric, since, until, read_metric.labels, step, group_by
    );
end;
$$;
comment on function bulwark.read_metric(text, timestamptz, timestamptz, jsonb, interval, text) is
  'A metric over a range: one row, or one for each step and each value of the label group_by.
   Percentiles (nearest rank) come from merged buckets and are 0.55 % off at most; count, total,
   minimum, maximum and mean are exact. The range is extended to whole minutes, and to whole hours
   or days where points were rolled up. Needs system:monitor. Errors: METRICS_UNKNOWN_METRIC,
   METRICS_INVALID_RANGE, RBAC_PERMISSION_DENIED.';

create function bulwark.list_metrics()
  returns table (
    name text,
    kind bulwark.metric_kind,
    unit text,
    description text,
    series bigint,
    last_at timestamptz
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:monitor', null);
  return query
    select m.name, m.kind, m.unit, m.description, count(s.id), max(s.last_at)
    from bulwark_private.metrics m
    left join bulwark_private.metric_series s on s.metric = m.name
    group by m.name
    order by m.name;
end;
$$;
comment on function bulwark.list_metrics() is
  'All metrics with their number of series and last value''s time. Needs system:monitor. Errors:
   RBAC_PERMISSION_DENIED.';

-- Metrics, scraping: cumulative values for scrapers, and the queries with the most database time.
-- Protects literals, passwords and comments in queries from being shown.
-- SECURITY DEFINER: scrape_metrics, because clients read no table of bulwark_private; top_queries,
-- because they may not read pg_stat_statements.

create function bulwark.scrape_metrics()
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
comment on function bulwark.scrape_metrics() is
  'Cumulative values of all metrics, for scrapers: a list of {name, kind, unit, description,
   series}; a series is [labels, count, total, last, zeros, octaves, counts]. Needs system:monitor.
   Errors: RBAC_PERMISSION_DENIED.';

create function bulwark.top_queries(page_size integer default 20)
  returns table (
    query text,
    calls bigint,
    total_ms double precision,
    mean_ms double precision,
    maximum_ms double precision,
    returned_rows bigint,
    share double precision
  )
  language plpgsql
  stable
  rows 20
  security definer            -- definer because clients may not read pg_stat_statements
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_queries jsonb;
  v_schema name;
begin
  perform bulwark.require_permission('system:monitor', null);
  select n.nspname into v_schema
  from pg_catalog.pg_extension e
  join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements';
  if not found then
    return;
  end if;
  -- The extension replaces constants, but not in utility statements, which may contain passwords:
  -- those are omitted. Other queries are cut at a quote or a comment.
  execute format(
    $query$
      select jsonb_agg(q)
      from (
        select
          left(
            regexp_replace(
              regexp_replace(s.query, $re$('|--|/\*|\$[A-Za-z_]*\$).*$re$, '...'), '\s+', ' ', 'g'
            ),
            2000
          ) as query,
          s.calls, s.total_exec_time as total_ms, s.mean_exec_time as mean_ms,
          s.max_exec_time as maximum_ms, s.rows as returned_rows,
          s.total_exec_time / nullif(sum(s.total_exec_time) over (), 0) as share
        from %I.pg_stat_statements s
        where s.dbid = (select d.oid from pg_catalog.pg_database d
                        where d.datname = pg_catalog.current_database())
          and s.query ~* '^\s*(select|insert|update|delete|merge|with)\M'
        order by s.total_exec_time desc
        limit $1
      ) as q
    $query$,
    v_schema
  )
  into v_queries
  using least(greatest(page_size, 1), 100);
  return query
    select q.query, q.calls, q.total_ms, q.mean_ms, q.maximum_ms, q.returned_rows, q.share
    from jsonb_to_recordset(coalesce(v_queries, '[]')) as q (
      query text, calls bigint, total_ms double precision, mean_ms double precision,
      maximum_ms double precision, returned_rows bigint, share double precision
    );
exception
  when object_not_in_prerequisite_state then
    return;                   -- the extension exists but is not preloaded
end;
$$;
comment on function bulwark.top_queries(integer) is
  'The queries with the most total time, from pg_stat_statements, without literals; times in
   milliseconds, share of the total from 0 to 1. No rows if the extension is not in use. Needs
   system:monitor. Errors: RBAC_PERMISSION_DENIED.';

-- Metrics, retention: old minutes are rolled up into hours, hours into days, and old days removed.
-- Protects against tables that grow without limit, and against results that change: buckets are
-- merged exactly. No function here is SECURITY DEFINER.

create function bulwark_private.merge_buckets(
  inout indexes smallint[],
  inout counts bigint[],
  more_indexes smallint[],
  more_counts bigint[]
)
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  select coalesce(array_agg(m.i order by m.i), '{}'), coalesce(array_agg(m.c order by m.i), '{}')
  into indexes, counts
  from (
    select b.i, sum(b.c)::bigint as c
    from (
      select * from unnest(merge_buckets.indexes, merge_buckets.counts)
      union all
      select * from unnest(more_indexes, more_counts)
    ) as b (i, c)
    group by b.i
  ) as m;
end;
$$;
comment on function bulwark_private.merge_buckets(smallint[], bigint[], smallint[], bigint[]) is
  'The exact sum of two histograms.';

create function bulwark_private.roll_up_points(
  from_minutes integer,
  into_minutes integer,
  before timestamptz
)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_moved bigint;
begin
  with moved as (
    delete from bulwark_private.metric_points p
    where p.minutes = from_minutes
      and p.at < date_bin(make_interval(mins => into_minutes), before, '2000-01-01 00:00:00+00')
    returning
      p.*, date_bin(make_interval(mins => into_minutes), p.at, '2000-01-01 00:00:00+00') as slot
  ),
  sums as (
    select
      m.series_id, m.slot, sum(m.count)::bigint as count,
      greatest(least(sum(m.total), 1e300), -1e300) as total,
      min(m.minimum) as minimum, max(m.maximum) as maximum,
      (array_agg(m.last order by m.at desc))[1] as last, sum(m.zeros)::bigint as zeros,
      count(*) as points
    from moved m
    group by m.series_id, m.slot
  ),
  buckets as (
    select
      b.series_id, b.slot, array_agg(b.i order by b.i) as indexes,
      array_agg(b.c order by b.i) as counts
    from (
      select m.series_id, m.slot, u.i, sum(u.c)::bigint as c
      from moved m
      cross join lateral unnest(m.indexes, m.counts) as u (i, c)
      group by m.series_id, m.slot, u.i
    ) as b
    group by b.series_id, b.slot
  ),
  written as (
    insert into bulwark_private.metric_points as p
      (series_id, at, minutes, count, total, minimum, maximum, last, zeros, indexes, counts)
    select
      s.series_id, s.slot, into_minutes, s.count, s.total, s.minimum, s.maximum, s.last, s.zeros,
      coalesce(b.indexes, '{}'), coalesce(b.counts, '{}')
    from sums s
    left join buckets b on b.series_id = s.series_id and b.slot = s.slot
    on conflict (series_id, at, minutes) do update set
      count = p.count + excluded.count,
      total = greatest(least(p.total + excluded.total, 1e300), -1e300),
      minimum = least(p.minimum, excluded.minimum),
      maximum = greatest(p.maximum, excluded.maximum),
      last = excluded.last,
      zeros = p.zeros + excluded.zeros,
      (indexes, counts) = (
        select m.indexes, m.counts
        from bulwark_private.merge_buckets(
          p.indexes, p.counts, excluded.indexes, excluded.counts
        ) as m
      )
  )
  select coalesce(sum(s.points), 0)::bigint into v_moved from sums s;
  return v_moved;
end;
$$;
comment on function bulwark_private.roll_up_points(integer, integer, timestamptz) is
  'Rolls points up that ended before a time; returns how many. One statement, so that readers see
   each value exactly once.';

create function bulwark.roll_up_metrics()
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
comment on function bulwark.roll_up_metrics() is
  'Rolls minutes up into hours (setting metrics.minute_hours) and hours into days
   (metrics.hour_days), and removes points older than metrics.day_days, with empty series and
   metrics. Returns how many points were rolled up. Only for the scheduler.';

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

-- Metrics, schedule: jobs that evaluate alerts and roll up old points.

insert into bulwark_private.jobs (name, every, local_every, command) values
  ('metrics-alerts', '1 minute', '5 seconds', 'select bulwark.evaluate_alerts()'),
  ('metrics-retention', '10 minutes', null, 'select bulwark.roll_up_metrics()');

-- Metrics settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks metrics. All other settings are the operator's.
-- No function here.

insert into bulwark_private.setting_rules (name, accepts) values
  ('metrics.alert_rules', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('metrics.max_metrics', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('metrics.series_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.minute_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('metrics.hour_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.day_days', '{"type": "integer", "minimum": 1, "maximum": 36500}');

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

-- Metrics health: whether scheduled work, seals and checkpoints keep up, measured at the call.
-- Protects against a stopped scheduler, with which the measurements stop too.
-- SECURITY DEFINER: check_health, because the service role reads no table of bulwark_private.

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

revoke all on table
  bulwark_private.metrics,
  bulwark_private.metric_series,
  bulwark_private.metric_points,
  bulwark_private.metric_batches,
  bulwark_private.alert_rules,
  bulwark_private.alert_states,
  bulwark_private.job_runs
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.metric_labels_are_valid(labels jsonb),
  bulwark_private.add_metric_series(metric text, kind bulwark.metric_kind, unit text, description text, labels jsonb[]),
  bulwark.record_metrics(batch uuid, samples jsonb),
  bulwark_private.bucket_value(bucket smallint),
  bulwark_private.summarize_metric(metric text, since timestamptz, until timestamptz, labels jsonb, step interval, group_by text),
  bulwark.read_metric(metric text, since timestamptz, until timestamptz, labels jsonb, step interval, group_by text),
  bulwark.list_metrics(),
  bulwark.scrape_metrics(),
  bulwark.top_queries(page_size integer),
  bulwark_private.merge_buckets(inout indexes smallint[], inout counts bigint[], more_indexes smallint[], more_counts bigint[]),
  bulwark_private.roll_up_points(from_minutes integer, into_minutes integer, before timestamptz),
  bulwark.roll_up_metrics(),
  bulwark_private.close_alert(rule text, event_type text, note text),
  bulwark.list_alerts(),
  bulwark.set_alert_rule(name text, metric text, statistic bulwark.metric_statistic, warning double precision, critical double precision, labels jsonb, time_window interval, lasting interval, recovering interval, cool_down interval, minimum_count bigint, raise_without_data boolean, enabled boolean, description text),
  bulwark.delete_alert_rule(name text),
  bulwark_private.alert_rules_close(),
  bulwark_private.alert_statistic(metric text, statistic bulwark.metric_statistic, labels jsonb, time_window interval, minimum_count bigint),
  bulwark_private.next_alert_state(rule bulwark_private.alert_rules, status bulwark_private.alert_states, seen bulwark.alert_state, evaluated_at timestamptz),
  bulwark_private.notify_alert(rule bulwark_private.alert_rules, inout status bulwark_private.alert_states, wanted text),
  bulwark_private.evaluate_alert(rule bulwark_private.alert_rules, status bulwark_private.alert_states),
  bulwark.evaluate_alerts(),
  bulwark_private.level_sample(metric text, unit text, description text, labels jsonb, value double precision),
  bulwark_private.record_levels(kind text, valid_for interval),
  bulwark_private.note_job_runs(),
  bulwark_private.job_levels(),
  bulwark_private.alert_levels(),
  bulwark.check_health()
  from public, anon, authenticated, service_role;

-- Grants of metrics. The build revokes everything else.

grant execute on function
  bulwark.read_metric(text, timestamptz, timestamptz, jsonb, interval, text),
  bulwark.list_metrics(),
  bulwark.scrape_metrics(),
  bulwark.top_queries(integer),
  bulwark.list_alerts(),
  bulwark.check_health(),
  bulwark.delete_alert_rule(text),
  bulwark.set_alert_rule(text, text, bulwark.metric_statistic, double precision, double precision,
    jsonb, interval, interval, interval, interval, bigint, boolean, boolean, text)
  to authenticated, service_role;

grant execute on function bulwark.record_metrics(uuid, jsonb) to service_role;

insert into bulwark_private.capabilities values ('metrics', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
