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
