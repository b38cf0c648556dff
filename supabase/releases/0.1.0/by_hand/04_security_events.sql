-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('security.resolved_retention_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('security.open_events_about_nobody', '{"type": "integer", "minimum": 10, "maximum": 100000}');
