-- Roles that organizations make themselves: nothing in them is more than their maker holds.
begin;
set local search_path = bulwark, public, extensions;
select plan(36);
select tests.create_organizations();

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select is(
  (select level::int from create_role(
    tests.acme(), 'auditor', '{audit:read,audit:export}', '{viewer}', 'Reads')),
  20, 'ROLE-01: a role has the highest level among those it inherits'
);
select is(
  (select level::int from create_role(tests.acme(), 'bot', '{analytics:read}')),
  0, 'ROLE-02: and none where it inherits none'
);
select tests.error_is('ROLE-03: a role inherits from several others', 'no error',
  $$ select create_role(tests.acme(), 'lead', '{}',
    '{auditor,analyst,bot}') $$);
select tests.act_as_owner();
select grant_role(tests.user_id('api_user@acme.test'), 'lead', tests.acme());
select tests.act_as('api_user@acme.test');
select ok(
  has_permission('audit:export', tests.acme())
  and has_permission('symbi:export', tests.acme())
  and not has_permission('role:grant', tests.acme()),
  'ROLE-04: and holds what all of them hold, and no more'
);
select tests.act_as('admin@acme.test');
select tests.error_is('ROLE-05: a cycle over another role is refused', '23514 RBAC_ROLE_CYCLE',
  $$ select update_role(tests.acme(), 'auditor',
    inherits => '{viewer,lead}') $$);
select tests.error_is('ROLE-06: a role does not inherit itself', '23514 RBAC_ROLE_CYCLE',
  $$ select update_role(tests.acme(), 'bot', inherits => '{bot}') $$);
select tests.error_is('ROLE-07: what the maker does not hold is refused',
  '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select create_role(tests.acme(), 'godlike', '{system:admin}') $$);
select tests.error_is('ROLE-08: super_admin is not inherited', '23514 RBAC_ROLE_NOT_ASSIGNABLE',
  $$ select create_role(tests.acme(), 'godlike', '{}',
    '{super_admin}') $$);
select is_empty(
  $$ select * from roles where name = 'godlike' $$, 'ROLE-09: nothing is left of a refused role'
);
select tests.error_is('ROLE-10: nobody makes roles for a foreign organization',
  '42501 RBAC_PERMISSION_DENIED', $$ select create_role(tests.globex(), 'spy', '{audit:read}') $$);
select tests.error_is('ROLE-11: a name is taken once', '23505 RBAC_ROLE_EXISTS',
  $$ select create_role(tests.acme(), 'auditor') $$);
select tests.error_is('ROLE-12: no role takes the name of a system role', '23505 RBAC_ROLE_EXISTS',
  $$ select create_role(tests.acme(), 'admin') $$);
select tests.error_is('ROLE-13: an empty name is an error', '22023 RBAC_INVALID_NAME',
  $$ select create_role(tests.acme(), '') $$);
select tests.error_is('ROLE-14: an over-long name is an error', '22023 RBAC_INVALID_NAME',
  $$ select create_role(tests.acme(), repeat('a', 64)) $$);
select tests.error_is('ROLE-15: an over-long description is an error', '22023 RBAC_INVALID_NAME',
  $$ select create_role(tests.acme(), 'chatty',
    description => repeat('a', 501)) $$);
select tests.error_is('ROLE-16: an unknown permission is an error', '22023 RBAC_UNKNOWN_PERMISSION',
  $$ select create_role(tests.acme(), 'typo', '{audit:raed}') $$);
select tests.error_is('ROLE-17: an unknown role to inherit is an error', 'PT404 RBAC_UNKNOWN_ROLE',
  $$ select create_role(tests.acme(), 'typo', '{}', '{veiwer}') $$);
select tests.error_is('ROLE-18: a list beyond the limit is an error', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select create_role(tests.acme(), 'huge',
    array(select 'audit:read' from generate_series(1, 201))) $$);
select tests.error_is('ROLE-19: system roles are not edited', '22023 RBAC_ROLE_IS_SYSTEM',
  $$ select update_role(tests.acme(), 'viewer',
    permissions => '{audit:read}') $$);
select tests.error_is('ROLE-20: a role that others inherit is not deleted',
  '23503 RBAC_ROLE_IN_USE', $$ select delete_role(tests.acme(), 'auditor') $$);
select tests.error_is('ROLE-21: nor one that somebody holds', '23503 RBAC_ROLE_IN_USE',
  $$ select delete_role(tests.acme(), 'lead') $$);
select is(
  (select name from update_role(tests.acme(), 'bot', 'robot',
    description => 'Runs at night')),
  'robot', 'ROLE-22: a role is renamed'
);
select results_eq(
  $$ select p.permission from role_permissions p join roles r on r.id = p.role_id
     where r.name = 'robot' $$,
  array['analytics:read'], 'ROLE-23: and keeps what it holds'
);
select update_role(tests.acme(), 'auditor', permissions => '{audit:read}');
select tests.act_as('api_user@acme.test');
select ok(
  has_permission('audit:read', tests.acme())
  and not has_permission('audit:export', tests.acme()),
  'ROLE-24: taking a permission from a role takes it from those who inherit it, at once'
);

-- acting as a holder of role:manage in a role of the organization's own making
select tests.act_as_owner();
select create_role(tests.acme(), 'registrar', '{role:manage,role:read,user:read}');
select grant_role(tests.user_id('viewer@acme.test'), 'registrar', tests.acme());
select revoke_role(tests.user_id('viewer@acme.test'), 'viewer', tests.acme());
select tests.act_as('viewer@acme.test');
select tests.error_is('ROLE-25: nobody widens a role they hold', '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select update_role(tests.acme(), 'registrar',
    permissions => '{role:manage,role:read,user:read,role:grant}') $$);
select tests.error_is('ROLE-26: nor lets it inherit a higher one', '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select update_role(tests.acme(), 'registrar',
    inherits => '{admin}') $$);
select tests.error_is('ROLE-27: nor empties a role that holds more',
  '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select update_role(tests.acme(), 'lead', inherits => '{}') $$);
select tests.error_is('ROLE-28: nor a role that a higher one inherits',
  '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select update_role(tests.acme(), 'robot',
    permissions => '{}') $$);
select tests.error_is('ROLE-29: but makes a role of what it holds', 'no error',
  $$ select create_role(tests.acme(), 'clerk', '{user:read}') $$);
select tests.error_is('ROLE-30: and not of what it does not', '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select create_role(tests.acme(), 'peer', '{}', '{viewer}') $$);
select tests.error_is('ROLE-31: and deletes it again', 'no error',
  $$ select delete_role(tests.acme(), 'clerk') $$);

-- acting as an administrator for a week
select tests.act_as_owner();
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.acme(),
  expires_at => now() + interval '7 days'
);
select tests.act_as('analyst@acme.test');
select tests.error_is('ROLE-32: what one holds for a week does not go into a role',
  '42501 RBAC_PERMISSION_NOT_HELD',
  $$ select create_role(tests.acme(), 'backdoor', '{role:grant}') $$);

-- two organizations
select tests.act_as('admin@globex.test');
select is_empty(
  $$ select * from roles where organization_id = tests.acme() $$,
  'ROLE-33: an organization does not see the roles of another'
);
select is_empty(
  $$ select p.* from role_permissions p
     where p.role_id not in (select id from roles) $$,
  'ROLE-34: nor what they hold'
);
select tests.error_is('ROLE-35: nor inherits from them', 'PT404 RBAC_UNKNOWN_ROLE',
  $$ select create_role(tests.globex(), 'thief', '{}',
    '{auditor}') $$);
select tests.act_as_owner();
select tests.error_is('ROLE-36: a role is granted in its own organization only',
  '23514 RBAC_UNKNOWN_ROLE',
  $$ insert into user_roles (user_id, role_id, organization_id)
    select tests.user_id('viewer@globex.test'), r.id, tests.globex()
    from roles r where r.name = 'auditor' $$);

select * from finish();
rollback;
