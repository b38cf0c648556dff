-- MFA settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks second factors. All other settings are the operator's.
-- No function here.

insert into bulwark_private.setting_rules (name, accepts) values
  ('mfa.issuer', '{"type": "string", "pattern": "^[^\\u0001-\\u001f\\u007f:]{1,64}$"}'),
  ('mfa.recent_sign_in_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.step_up_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.trusted_device_days', '{"type": "integer", "minimum": 1, "maximum": 90}'),
  ('mfa.usage_log_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.reset_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.resets_per_day', '{"type": "integer", "minimum": 1, "maximum": 1000}');
