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
