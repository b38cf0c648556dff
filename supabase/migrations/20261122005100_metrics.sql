-- Metrics: counters, gauges and distributions that isolates without a memory leave behind, so that
-- a percentile over any range comes from merged buckets and never from an average of percentiles.
-- Protects against lost and doubled counts when many write at once, and against a label that takes
-- a new value with every request.
-- Buckets are those of an exponential histogram of scale 6 (OpenTelemetry): bucket i holds the
-- values above 2^((i-1)/64) up to 2^(i/64), so that a percentile is off by 0.55 % at most.
-- SECURITY DEFINER: record_metrics, because not even the service role writes the tables.

create type public.metric_kind as enum ('counter', 'gauge', 'histogram');
comment on type public.metric_kind is
  'What a metric is: a sum that only rises, a level that is sampled, or a distribution.';

create table private.metrics (
  name text primary key,
  kind public.metric_kind not null,
  unit text not null default '',
  description text not null default '',
  max_series bigint not null default 500,
  created_at timestamptz not null default now(),
  constraint metrics_name_format check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint metrics_unit_format check (unit ~ '^[a-z]{0,32}$'),
  constraint metrics_description_length check (length(description) <= 200),
  constraint metrics_max_series_range check (max_series between 1 and 100000)
);
comment on table private.metrics is
  'Every metric there is. A name that is new registers itself at its first flush.
   Not audited: what was measured is no act of anybody.';
comment on column private.metrics.max_series is
  'How many combinations of labels it may have; what comes beyond is one series, overflow.';

create table private.metric_series (
  id bigint generated always as identity primary key,
  metric text not null references private.metrics (name),
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
comment on table private.metric_series is
  'One combination of labels of one metric, with all it ever counted: what a scraper reads. Not
   audited: what was measured is no act of anybody.';
comment on column private.metric_series.octaves is
  'Buckets of scale 0, merged from those of scale 6: octave k holds values above 2^(k-1) up to 2^k.';

create table private.metric_points (
  series_id bigint not null references private.metric_series (id) on delete cascade,
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
comment on table private.metric_points is
  'What one series counted within a minute; rolled up into hours and days as it ages. Not
   audited: what was measured is no act of anybody.';
comment on column private.metric_points.indexes is
  'The buckets of scale 6 that are not empty, in rising order; counts has how many values each.';
comment on column private.metric_points.zeros is 'Values of 0, which no bucket holds.';

create table private.metric_batches (
  id uuid primary key,
  received_at timestamptz not null default now()
);
comment on table private.metric_batches is
  'Flushes that arrived within the last hour, so that one that is sent again counts once. Not
   audited: what was measured is no act of anybody.';
create index metric_batches_received_at_idx on private.metric_batches (received_at);

alter table private.metrics enable row level security;
alter table private.metric_series enable row level security;
alter table private.metric_points enable row level security;
alter table private.metric_batches enable row level security;

insert into private.settings (name, value, description) values
  ('metrics.max_metrics', '500', 'How many metrics may register themselves'),
  ('metrics.minute_hours', '48', 'After how many hours minutes are rolled up into hours'),
  ('metrics.hour_days', '60', 'After how many days hours are rolled up into days'),
  ('metrics.day_days', '730', 'After how many days what was measured is forgotten');

create function private.metric_labels_are_valid(labels jsonb)
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
comment on function private.metric_labels_are_valid(jsonb) is
  'At most 8 labels, named like columns, with short strings for values; le and quantile belong to
   the exposition format.';

create function private.merge_buckets(
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
comment on function private.merge_buckets(smallint[], bigint[], smallint[], bigint[]) is
  'The sum of two histograms: exact, whatever the order, so that ranges can be merged freely.';

create function private.add_metric_series(
  metric text,
  kind public.metric_kind,
  unit text,
  description text,
  labels jsonb
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
  insert into private.metrics (name, kind, unit, description)
  select
    add_metric_series.metric, add_metric_series.kind,
    coalesce(add_metric_series.unit, ''), left(coalesce(add_metric_series.description, ''), 200)
  where (select count(*) from private.metrics)
    < (private.setting('metrics.max_metrics'))::integer
  on conflict do nothing;
  -- Whoever adds a series of this metric waits here, so that the cap holds.
  select m.max_series into v_max
  from private.metrics m
  where m.name = add_metric_series.metric and m.kind = add_metric_series.kind
  for update;
  if not found then
    return;
  end if;
  insert into private.metric_series (metric, labels)
  select
    add_metric_series.metric,
    case
      when count(*) < v_max then add_metric_series.labels else '{"overflow": "true"}'
    end
  from private.metric_series s
  where s.metric = add_metric_series.metric and s.labels <> '{"overflow": "true"}'
  on conflict do nothing;
end;
$$;
comment on function private.add_metric_series(text, public.metric_kind, text, text, jsonb) is
  'Makes a series, or the metric''s series overflow where it has as many as it may have. Does
   nothing where the name belongs to a metric of another kind or there are too many metrics.';

create function public.record_metrics(batch uuid, samples jsonb)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes the tables
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
#variable_conflict use_column
declare
  v_new record;
  v_counted bigint;
begin
  if batch is null or samples is null or jsonb_typeof(samples) <> 'array'
    or jsonb_array_length(samples) > 5000 then
    raise exception 'Cannot record metrics: a batch has an id and a list of at most 5000 samples'
      using errcode = 'invalid_parameter_value', detail = 'METRICS_INVALID_BATCH';
  end if;
  insert into private.metric_batches (id) values (batch) on conflict do nothing;
  if not found then
    return 0;                 -- an answer was lost and it was sent again
  end if;

  -- Series that are new first, in one order, then every series that is written, in one order: so
  -- flushes wait for one another in line and never in a circle.
  for v_new in
    select distinct on (n.metric, n.labels)
      n.metric, n.kind::public.metric_kind as kind, n.unit, n.description, n.labels
    from jsonb_to_recordset(samples)
      as n (metric text, kind text, unit text, description text, labels jsonb)
    where n.metric ~ '^[a-z][a-z0-9_]{0,62}$'
      and n.kind in ('counter', 'gauge', 'histogram')
      and coalesce(n.unit, '') ~ '^[a-z]{0,32}$'
      and private.metric_labels_are_valid(n.labels)
      and not exists (
        select from private.metric_series s where s.metric = n.metric and s.labels = n.labels
      )
    order by n.metric, n.labels
  loop
    perform private.add_metric_series(
      v_new.metric, v_new.kind, v_new.unit, v_new.description, v_new.labels
    );
  end loop;

  perform from private.metric_series s
  where s.id in (
    select coalesce(own.id, overflow.id)
    from jsonb_to_recordset(samples) as n (metric text, labels jsonb)
    left join private.metric_series own on own.metric = n.metric and own.labels = n.labels
    left join private.metric_series overflow
      on overflow.metric = n.metric and overflow.labels = '{"overflow": "true"}'
  )
  order by s.id
  for no key update;

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
    join private.metrics m on m.name = n.metric and m.kind::text = n.kind
    left join private.metric_series own on own.metric = n.metric and own.labels = n.labels
    left join private.metric_series overflow
      on overflow.metric = n.metric and overflow.labels = '{"overflow": "true"}'
    where n.count > 0
      and coalesce(own.id, overflow.id) is not null
      and private.metric_labels_are_valid(n.labels)
      and coalesce(cardinality(n.indexes), 0) = coalesce(cardinality(n.counts), 0)
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
    select
      b.series_id, b.at, array_agg(b.i order by b.i) as indexes, array_agg(b.c order by b.i) as counts
    from (
      select t.series_id, t.at, u.i, sum(u.c)::bigint as c
      from told t
      cross join lateral unnest(t.indexes, t.counts) as u (i, c)
      group by t.series_id, t.at, u.i
    ) as b
    group by b.series_id, b.at
  ),
  written as (
    insert into private.metric_points as p
      (series_id, at, count, total, minimum, maximum, last, zeros, indexes, counts)
    select
      n.series_id, n.at, n.count, n.total, n.minimum, n.maximum, n.last, n.zeros,
      coalesce(b.indexes, '{}'), coalesce(b.counts, '{}')
    from points n
    left join buckets b on b.series_id = n.series_id and b.at = n.at
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
  ),
  octaves as (
    select
      o.series_id, array_agg(o.k order by o.k) as octaves, array_agg(o.c order by o.k) as counts
    from (
      select b.series_id, ((u.i + 63) >> 6)::smallint as k, sum(u.c)::bigint as c
      from buckets b
      cross join lateral unnest(b.indexes, b.counts) as u (i, c)
      group by b.series_id, (u.i + 63) >> 6
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
    update private.metric_series s
    set
      count = s.count + n.count,
      total = s.total + n.total,
      zeros = s.zeros + n.zeros,
      last = coalesce(n.last, s.last),
      last_at = now(),
      (octaves, octave_counts) = (
        select m.indexes, m.counts
        from private.merge_buckets(
          s.octaves, s.octave_counts, coalesce(o.octaves, '{}'), coalesce(o.counts, '{}')
        ) as m
      )
    from sums n
    left join octaves o on o.series_id = n.series_id
    where s.id = n.series_id
  )
  select coalesce(sum(n.count), 0)::bigint into v_counted from points n;
  return v_counted;
end;
$$;
comment on function public.record_metrics(uuid, jsonb) is
  'Adds a flush (service role only) and returns how many values it counted. A sample is
   {metric, kind, unit, description, labels, at (seconds), count, total, minimum, maximum, last,
   zeros, indexes[], counts[]}; one that is malformed, or of another kind than its metric, is left
   out. The same batch again counts nothing. Errors: METRICS_INVALID_BATCH.';

revoke all on function
  private.metric_labels_are_valid(jsonb),
  private.merge_buckets(smallint[], bigint[], smallint[], bigint[]),
  private.add_metric_series(text, public.metric_kind, text, text, jsonb),
  public.record_metrics(uuid, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.record_metrics(uuid, jsonb) to service_role;
