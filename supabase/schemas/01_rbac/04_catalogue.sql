-- The catalogue: Bulwark's permissions, the system roles, and which role holds what.
-- Protects nothing by itself: it is data. Ids are the same in every installation.
-- No function here.

insert into bulwark.permissions (name, description) values
  ('user:create', 'Invite people into the organization'),
  ('user:read', 'See who is a member'),
  ('user:update', 'Change members'' profiles'),
  ('user:delete', 'Remove members'),
  ('org:create', 'Make organizations on others'' behalf'),
  ('org:read', 'See the organization'),
  ('org:update', 'Rename the organization'),
  ('org:delete', 'Delete the organization'),
  ('analytics:read', 'Read analytics'),
  ('analytics:write', 'Write analytics'),
  ('analytics:delete', 'Delete analytics'),
  ('analytics:export', 'Export analytics'),
  ('conversation:read', 'Read conversations'),
  ('conversation:write', 'Write conversations'),
  ('conversation:delete', 'Delete conversations'),
  ('symbi:assess', 'Run SYMBI assessments'),
  ('symbi:validate', 'Validate SYMBI assessments'),
  ('symbi:export', 'Export SYMBI assessments'),
  ('audit:read', 'Read the audit log'),
  ('audit:export', 'Export the audit log'),
  ('api_key:create', 'Create API keys'),
  ('api_key:read', 'See API keys'),
  ('api_key:revoke', 'Revoke API keys'),
  ('settings:read', 'Read settings'),
  ('settings:write', 'Change settings'),
  ('compliance:read', 'Read compliance records'),
  ('compliance:manage', 'Manage retention, holds and erasure'),
  ('system:admin', 'Administer the installation'),
  ('system:monitor', 'Read metrics and health'),
  ('role:read', 'See roles and who holds them'),
  ('role:grant', 'Grant and revoke roles'),
  ('role:manage', 'Make, change and delete the organization''s own roles'),
  ('security:read', 'Read security events'),
  ('security:resolve', 'Assign and resolve security events'),
  ('encryption:encrypt', 'Encrypt fields'),
  ('encryption:decrypt', 'Decrypt fields'),
  ('encryption:rotate', 'Rotate encryption keys'),
  ('mfa:reset', 'Reset a member''s second factor'),
  ('webhook:read', 'See webhooks and their deliveries'),
  ('webhook:manage', 'Manage webhooks');

insert into bulwark.roles (id, name, description, level) values
  ('00000000-0000-4000-8000-000000000100', 'super_admin',
    'The whole installation, inside every organization too', 100),
  ('00000000-0000-4000-8000-000000000080', 'admin',
    'Everything in one organization but system administration', 80),
  ('00000000-0000-4000-8000-000000000050', 'analyst', 'Reads and writes analytics', 50),
  ('00000000-0000-4000-8000-000000000020', 'viewer', 'Reads', 20),
  ('00000000-0000-4000-8000-000000000010', 'api_user', 'Programs', 10);

insert into bulwark.role_permissions (role_id, permission)
select r.id, unnest(held.permissions)
from (values
  ('super_admin', array['org:create', 'org:delete', 'compliance:manage', 'system:admin']),
  ('admin', array[
    'user:create', 'user:update', 'user:delete', 'org:update', 'analytics:delete',
    'conversation:delete', 'audit:read', 'audit:export', 'api_key:create', 'api_key:read',
    'api_key:revoke', 'settings:write', 'compliance:read', 'system:monitor', 'role:grant',
    'role:manage', 'security:read', 'security:resolve', 'encryption:rotate', 'mfa:reset',
    'webhook:read', 'webhook:manage']),
  ('analyst', array[
    'analytics:write', 'analytics:export', 'conversation:write', 'symbi:assess',
    'symbi:validate', 'symbi:export', 'encryption:encrypt', 'encryption:decrypt']),
  ('viewer', array[
    'user:read', 'org:read', 'analytics:read', 'conversation:read', 'settings:read',
    'role:read']),
  ('api_user', array[
    'analytics:read', 'analytics:write', 'conversation:read', 'conversation:write',
    'symbi:assess', 'encryption:encrypt'])
) as held (role, permissions)
join bulwark.roles r on r.name = held.role and r.organization_id is null;

insert into bulwark.role_inheritance (role_id, inherits_role_id)
select r.id, i.id
from (values ('super_admin', 'admin'), ('admin', 'analyst'), ('analyst', 'viewer'))
  as link (role, inherits)
join bulwark.roles r on r.name = link.role and r.organization_id is null
join bulwark.roles i on i.name = link.inherits and i.organization_id is null;
