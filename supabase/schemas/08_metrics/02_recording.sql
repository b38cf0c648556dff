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
