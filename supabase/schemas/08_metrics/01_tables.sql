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
