alter table bulwark.invitations add column declined boolean not null default false;
alter table bulwark.invitations
  add column role_expires_at timestamptz,
  add constraint invitations_ends_before_its_role check (expires_at <= role_expires_at);
insert into bulwark.settings (name, value, description) values
  ('rbac.invitations_per_address', '10',
    'How many invitations an organization may make for one address within a day');
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('rbac.self_service_organizations', '{"type": "boolean"}'),
  ('rbac.self_service_limit', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('rbac.anonymous_members', '{"type": "boolean"}'),
  ('rbac.delete_last_administrators', '{"type": "boolean"}'),
  ('rbac.pending_invitations', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitations_per_address', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitation_retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}');
