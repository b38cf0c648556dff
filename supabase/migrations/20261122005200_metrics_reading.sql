-- Metrics, reading: summaries and percentiles over any range, what a scraper takes, the slowest
-- queries, and the roll-up of what ages.
-- Protects what the installation does from whoever may not watch it: every function asks for the
-- permission system:monitor, system-wide. The texts of queries come without their literals.
-- SECURITY DEFINER: read_metric, list_metrics, scrape_metrics, because clients read no table of
--   private; top_queries, because clients may not read pg_stat_statements.

create function private.bucket_value(bucket smallint)
  returns double precision
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The point whose relative distance to both ends is the same: (base - 1) / (base + 1) = 0.0054.
  return 2 * power(2::double precision, bucket / 64.0) / (power(2::double precision, 1 / 64.0) + 1);
end;
$$;
comment on function private.bucket_value(smallint) is
  'What stands for every value of a bucket: 0.55 % off at most.';

create function private.summarize_metric(
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
    from private.metric_series s
    join private.metric_points p on p.series_id = s.id
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
    -- Of a rolled-up point, whose hour began before the range.
    greatest(s.slot, since), s.label, s.count, s.total, s.minimum, s.maximum, s.total / s.count,
    s.last,
    -- The true value lies between the two, which are exact.
    case when q.i50 is null then null when q.i50 = -32768 then 0
      else least(greatest(private.bucket_value(q.i50), s.minimum), s.maximum) end,
    case when q.i95 is null then null when q.i95 = -32768 then 0
      else least(greatest(private.bucket_value(q.i95), s.minimum), s.maximum) end,
    case when q.i99 is null then null when q.i99 = -32768 then 0
      else least(greatest(private.bucket_value(q.i99), s.minimum), s.maximum) end
  from sums s
  -- Where a value is in no bucket, because it is a sum or below zero, a percentile would be wrong.
  left join quantiles q on q.slot = s.slot and q.label = s.label and q.n = s.count
  order by 1, 2;
$$;
comment on function private.summarize_metric(
  text, timestamptz, timestamptz, jsonb, interval, text
) is 'public.read_metric, without asking who reads.';

create function public.read_metric(
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
  security definer            -- definer because clients read no table of private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform private.require_permission('system:monitor', null);
  if not exists (select from private.metrics m where m.name = read_metric.metric) then
    raise exception 'Cannot read metric: there is none of that name'
      using errcode = 'PT404', detail = 'METRICS_UNKNOWN_METRIC',
            hint = 'List them with: select name from list_metrics()';
  end if;
  if since is null or until is null or labels is null or not since < until
    or until - since > interval '1000 days' or not (isfinite(since) and isfinite(until))
    or step < interval '1 minute' or (until - since) / 1000 > step then
    raise exception 'Cannot read metric: the range or the step is not one'
      using errcode = 'invalid_parameter_value', detail = 'METRICS_INVALID_RANGE',
            hint = 'A range begins before it ends and has at most 1000 steps of a minute or more';
  end if;
  return query
    select * from private.summarize_metric(
      read_metric.metric, since, until, read_metric.labels, step, group_by
    );
end;
$$;
comment on function public.read_metric(text, timestamptz, timestamptz, jsonb, interval, text) is
  'A metric over a range: one row, or one for each step of time and each value of the label
   group_by. Percentiles (nearest rank) come from merged buckets and are 0.55 % off at most, count,
   total, minimum, maximum and mean are exact. The range widens to whole minutes, and to whole hours
   or days where they were rolled up. Needs system:monitor. Errors: METRICS_UNKNOWN_METRIC,
   METRICS_INVALID_RANGE, RBAC_PERMISSION_DENIED.';

create function public.list_metrics()
  returns table (
    name text,
    kind public.metric_kind,
    unit text,
    description text,
    series bigint,
    last_at timestamptz
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients read no table of private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform private.require_permission('system:monitor', null);
  return query
    select m.name, m.kind, m.unit, m.description, count(s.id), max(s.last_at)
    from private.metrics m
    left join private.metric_series s on s.metric = m.name
    group by m.name
    order by m.name;
end;
$$;
comment on function public.list_metrics() is
  'Every metric, with how many series it has. Needs system:monitor.';

create function public.scrape_metrics()
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients read no table of private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform private.require_permission('system:monitor', null);
  -- One value and not rows: the Data API cuts rows off at its limit, a scrape must be whole.
  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'name', m.name, 'kind', m.kind, 'unit', m.unit, 'description', m.description,
          'series', s.series
        )
        order by m.name
      ),
      '[]'
    )
    from private.metrics m
    join lateral (
      select jsonb_agg(
        jsonb_build_array(
          s.labels, s.count, s.total, s.last, s.zeros, to_jsonb(s.octaves), to_jsonb(s.octave_counts)
        )
        order by s.id
      ) as series
      from private.metric_series s
      where s.metric = m.name
        -- A level that nobody reports any more is not a level.
        and (m.kind <> 'gauge' or s.last_at > now() - interval '5 minutes')
    ) as s on s.series is not null
  );
end;
$$;
comment on function public.scrape_metrics() is
  'All that was ever counted, for a scraper: a list of {name, kind, unit, description, series}, and
   each series [labels, count, total, last, zeros, octaves, counts]. Needs system:monitor.';

create function public.top_queries(page_size integer default 20)
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
  perform private.require_permission('system:monitor', null);
  select n.nspname into v_schema
  from pg_catalog.pg_extension e
  join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements';
  if not found then
    return;
  end if;
  -- Constants are numbered there, but not in utility statements (a password is one's literal), so
  -- those are left out, and of the rest whatever follows a quote or the mark of a comment.
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
end;
$$;
comment on function public.top_queries(integer) is
  'What the database spends its time on, from pg_stat_statements: the queries with the most time in
   total, without their literals, and each one''s share. Nothing where the extension is missing.
   Needs system:monitor.';

create function private.roll_up_points(from_minutes integer, into_minutes integer, before timestamptz)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_moved bigint;
begin
  with moved as (
    delete from private.metric_points p
    where p.minutes = from_minutes
      and p.at < date_bin(make_interval(mins => into_minutes), before, '2000-01-01 00:00:00+00')
    returning
      p.*, date_bin(make_interval(mins => into_minutes), p.at, '2000-01-01 00:00:00+00') as slot
  ),
  sums as (
    select
      m.series_id, m.slot, sum(m.count)::bigint as count, sum(m.total) as total,
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
    insert into private.metric_points as p
      (series_id, at, minutes, count, total, minimum, maximum, last, zeros, indexes, counts)
    select
      s.series_id, s.slot, into_minutes, s.count, s.total, s.minimum, s.maximum, s.last, s.zeros,
      coalesce(b.indexes, '{}'), coalesce(b.counts, '{}')
    from sums s
    left join buckets b on b.series_id = s.series_id and b.slot = s.slot
    on conflict (series_id, at, minutes) do update set
      count = p.count + excluded.count,
      total = p.total + excluded.total,
      minimum = least(p.minimum, excluded.minimum),
      maximum = greatest(p.maximum, excluded.maximum),
      last = excluded.last,
      zeros = p.zeros + excluded.zeros,
      (indexes, counts) = (
        select m.indexes, m.counts
        from private.merge_buckets(p.indexes, p.counts, excluded.indexes, excluded.counts) as m
      )
  )
  select coalesce(sum(s.points), 0)::bigint into v_moved from sums s;
  return v_moved;
end;
$$;
comment on function private.roll_up_points(integer, integer, timestamptz) is
  'Merges points that ended before a time into longer ones, in one statement: a reader sees each
   value once, before or after.';

create function public.roll_up_metrics()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_moved bigint;
begin
  -- A second one at the same time would find nothing to do.
  if not pg_try_advisory_xact_lock(hashtextextended('bulwark.roll_up_metrics', 0)) then
    return 0;
  end if;
  v_moved := private.roll_up_points(
      1, 60, now() - make_interval(hours => (private.setting('metrics.minute_hours'))::integer)
    )
    + private.roll_up_points(
      60, 1440, now() - make_interval(days => (private.setting('metrics.hour_days'))::integer)
    );
  delete from private.metric_points p
  where p.minutes = 1440
    and p.at < now() - make_interval(days => (private.setting('metrics.day_days'))::integer);
  delete from private.metric_batches b where b.received_at < now() - interval '1 hour';
  return v_moved;
end;
$$;
comment on function public.roll_up_metrics() is
  'Rolls minutes up into hours and hours into days by the settings metrics.minute_hours and
   metrics.hour_days, forgets what is older than metrics.day_days, and returns how many points it
   moved. For the scheduler alone.';

revoke all on function
  private.bucket_value(smallint),
  private.summarize_metric(text, timestamptz, timestamptz, jsonb, interval, text),
  private.roll_up_points(integer, integer, timestamptz),
  public.read_metric(text, timestamptz, timestamptz, jsonb, interval, text),
  public.list_metrics(), public.scrape_metrics(), public.top_queries(integer),
  public.roll_up_metrics()
  from public, anon, authenticated, service_role;
grant execute on function
  public.read_metric(text, timestamptz, timestamptz, jsonb, interval, text),
  public.list_metrics(), public.scrape_metrics(), public.top_queries(integer)
  to authenticated, service_role;
