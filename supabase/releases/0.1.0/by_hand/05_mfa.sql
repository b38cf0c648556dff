-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  -- At least one character that is seen.
  ('mfa.issuer', '{"type": "string", "pattern":
      "^(?=.{1,64}$)[^\\u0001-\\u001f\\u007f:]*[^\\u0001- \\u007f-\\u00a0\\u00ad\\u1680\\u2000-'
      '\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff:][^\\u0001-\\u001f\\u007f:]*$"}'),
  ('mfa.recent_sign_in_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.step_up_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.trusted_device_days', '{"type": "integer", "minimum": 1, "maximum": 90}'),
  ('mfa.usage_log_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.reset_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.resets_per_day', '{"type": "integer", "minimum": 1, "maximum": 1000}');
