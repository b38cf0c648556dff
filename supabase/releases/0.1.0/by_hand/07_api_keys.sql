-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('api_keys.environments', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "string", "pattern": "^[a-z]{2,12}$"}}'),
  ('api_keys.default_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_overlap_days', '{"type": "integer", "minimum": 0, "maximum": 365}'),
  ('api_keys.limit_per_owner', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('api_keys.rate_limit_rules', '{"type": "array", "minItems": 1, "maxItems": 100, "items":
      {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,62}$"}}'),
  ('api_keys.use_precision_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}');
