alter type bulwark.webhook_source add value 'invitation';
alter table bulwark.webhook_subscriptions
  drop constraint webhook_subscriptions_pattern_format,
  add constraint webhook_subscriptions_pattern_format check (
    pattern
      ~ '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
    and length(pattern) <= 160
  );
insert into bulwark.settings (name, value, description) values
  ('webhooks.invitation_link', 'null',
    'The link of messages to invitees: an address of the application with {token} in it');
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('webhooks.maximum_endpoints', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('webhooks.maximum_attempts', '{"type": "integer", "minimum": 1, "maximum": 50}'),
  ('webhooks.retry_base_seconds', '{"type": "integer", "minimum": 1, "maximum": 3600}'),
  ('webhooks.retry_factor', '{"type": "number", "minimum": 1, "maximum": 10}'),
  ('webhooks.retry_maximum_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}'),
  ('webhooks.disable_after_failures', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('webhooks.disable_after_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('webhooks.retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('webhooks.tests_per_minute', '{"type": "integer", "minimum": 0, "maximum": 1000}');
