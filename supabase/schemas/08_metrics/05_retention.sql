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
