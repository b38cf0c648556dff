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
