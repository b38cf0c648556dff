update bulwark.settings s
set value = '{"/rpc/preview_invitation": "api_strict"}' || s.value
where s.name = 'rate_limits.request_rules';
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('rate_limits.overrides', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.listed_networks', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.denials_before_block', '{"type": "integer", "minimum": 1, "maximum": 1000000}'),
  ('rate_limits.denials_window_seconds', '{"type": "integer", "minimum": 1, "maximum": 2678400}'),
  ('rate_limits.block_minutes', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "integer", "minimum": 1, "maximum": 525600}}'),
  ('rate_limits.block_memory_hours', '{"type": "integer", "minimum": 0, "maximum": 87600}'),
  ('rate_limits.request_wait_ms', '{"type": "integer", "minimum": 1, "maximum": 60000}'),
  ('rate_limits.violation_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.network_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.travel_kmh', '{"type": "integer", "minimum": 100, "maximum": 100000}'),
  ('rate_limits.travel_km', '{"type": "integer", "minimum": 0, "maximum": 40000}');
