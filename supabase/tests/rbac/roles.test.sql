-- Roles that organizations make themselves: nothing in them is more than their maker holds.
begin;
set local search_path = public, bulwark, extensions;
select plan(36);
select tests.create_organizations();

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select is(
  (select level::int from create_role(
    tests.organization_id('acme'), 'auditor', '{audit:read,audit:export}', '{viewer}', 'Reads')),
  20, 'ROLE-01: a role has the highest level among those it inherits'
);
select is(
  (select level::int from create_role(tests.organization_id('acme'), 'bot', '{analytics:read}')),
  0, 'ROLE-02: and none where it inherits none'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'lead', '{}',
    '{auditor,analyst,bot}') $$),
  'no error', 'ROLE-03: a role inherits from several others'
);
select tests.act_as_owner();
select grant_role(tests.user_id('api_user@acme.test'), 'lead', tests.organization_id('acme'));
select tests.act_as('api_user@acme.test');
select ok(
  has_permission('audit:export', tests.organization_id('acme'))
  and has_permission('symbi:export', tests.organization_id('acme'))
  and not has_permission('role:grant', tests.organization_id('acme')),
  'ROLE-04: and holds what all of them hold, and no more'
);
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'auditor',
    inherits => '{viewer,lead}') $$),
  '23514 RBAC_ROLE_CYCLE', 'ROLE-05: a cycle over another role is refused'
);
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'bot', inherits => '{bot}') $$),
  '23514 RBAC_ROLE_CYCLE', 'ROLE-06: a role does not inherit itself'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'godlike', '{system:admin}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-07: what the maker does not hold is refused'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'godlike', '{}',
    '{super_admin}') $$),
  '23514 RBAC_ROLE_NOT_ASSIGNABLE', 'ROLE-08: super_admin is not inherited'
);
select is_empty(
  $$ select * from roles where name = 'godlike' $$, 'ROLE-09: nothing is left of a refused role'
);
select is(
  tests.error($$ select create_role(tests.organization_id('globex'), 'spy', '{audit:read}') $$),
  '42501 RBAC_PERMISSION_DENIED', 'ROLE-10: nobody makes roles for a foreign organization'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'auditor') $$),
  '23505 RBAC_ROLE_EXISTS', 'ROLE-11: a name is taken once'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'admin') $$),
  '23505 RBAC_ROLE_EXISTS', 'ROLE-12: no role takes the name of a system role'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), '') $$),
  '22023 RBAC_INVALID_NAME', 'ROLE-13: an empty name is an error'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), repeat('a', 64)) $$),
  '22023 RBAC_INVALID_NAME', 'ROLE-14: an over-long name is an error'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'chatty',
    description => repeat('a', 501)) $$),
  '22023 RBAC_INVALID_NAME', 'ROLE-15: an over-long description is an error'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'typo', '{audit:raed}') $$),
  '22023 RBAC_UNKNOWN_PERMISSION', 'ROLE-16: an unknown permission is an error'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'typo', '{}', '{veiwer}') $$),
  'PT404 RBAC_UNKNOWN_ROLE', 'ROLE-17: an unknown role to inherit is an error'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'huge',
    array(select 'audit:read' from generate_series(1, 201))) $$),
  '22023 RBAC_BATCH_TOO_LARGE', 'ROLE-18: a list beyond the limit is an error'
);
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'viewer',
    permissions => '{audit:read}') $$),
  '22023 RBAC_ROLE_IS_SYSTEM', 'ROLE-19: system roles are not edited'
);
select is(
  tests.error($$ select delete_role(tests.organization_id('acme'), 'auditor') $$),
  '23503 RBAC_ROLE_IN_USE', 'ROLE-20: a role that others inherit is not deleted'
);
select is(
  tests.error($$ select delete_role(tests.organization_id('acme'), 'lead') $$),
  '23503 RBAC_ROLE_IN_USE', 'ROLE-21: nor one that somebody holds'
);
select is(
  (select name from update_role(tests.organization_id('acme'), 'bot', 'robot',
    description => 'Runs at night')),
  'robot', 'ROLE-22: a role is renamed'
);
select results_eq(
  $$ select p.permission from role_permissions p join roles r on r.id = p.role_id
     where r.name = 'robot' $$,
  array['analytics:read'], 'ROLE-23: and keeps what it holds'
);
select update_role(tests.organization_id('acme'), 'auditor', permissions => '{audit:read}');
select tests.act_as('api_user@acme.test');
select ok(
  has_permission('audit:read', tests.organization_id('acme'))
  and not has_permission('audit:export', tests.organization_id('acme')),
  'ROLE-24: taking a permission from a role takes it from those who inherit it, at once'
);

-- acting as a holder of role:manage in a role of the organization's own making
select tests.act_as_owner();
select create_role(tests.organization_id('acme'), 'registrar', '{role:manage,role:read,user:read}');
select grant_role(
  tests.user_id('viewer@acme.test'), 'registrar', tests.organization_id('acme')
);
select revoke_role(
  tests.user_id('viewer@acme.test'), 'viewer', tests.organization_id('acme')
);
select tests.act_as('viewer@acme.test');
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'registrar',
    permissions => '{role:manage,role:read,user:read,role:grant}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-25: nobody widens a role they hold'
);
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'registrar',
    inherits => '{admin}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-26: nor lets it inherit a higher one'
);
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'lead', inherits => '{}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-27: nor empties a role that holds more'
);
select is(
  tests.error($$ select update_role(tests.organization_id('acme'), 'robot',
    permissions => '{}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-28: nor a role that a higher one inherits'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'clerk', '{user:read}') $$),
  'no error', 'ROLE-29: but makes a role of what it holds'
);
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'peer', '{}', '{viewer}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-30: and not of what it does not'
);
select is(
  tests.error($$ select delete_role(tests.organization_id('acme'), 'clerk') $$),
  'no error', 'ROLE-31: and deletes it again'
);

-- acting as an administrator for a week
select tests.act_as_owner();
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.organization_id('acme'),
  expires_at => now() + interval '7 days'
);
select tests.act_as('analyst@acme.test');
select is(
  tests.error($$ select create_role(tests.organization_id('acme'), 'backdoor', '{role:grant}') $$),
  '42501 RBAC_PERMISSION_NOT_HELD', 'ROLE-32: what one holds for a week does not go into a role'
);

-- two organizations
select tests.act_as('admin@globex.test');
select is_empty(
  $$ select * from roles where organization_id = tests.organization_id('acme') $$,
  'ROLE-33: an organization does not see the roles of another'
);
select is_empty(
  $$ select p.* from role_permissions p
     where p.role_id not in (select id from roles) $$,
  'ROLE-34: nor what they hold'
);
select is(
  tests.error($$ select create_role(tests.organization_id('globex'), 'thief', '{}',
    '{auditor}') $$),
  'PT404 RBAC_UNKNOWN_ROLE', 'ROLE-35: nor inherits from them'
);
select tests.act_as_owner();
select is(
  tests.error($$ insert into user_roles (user_id, role_id, organization_id)
    select tests.user_id('viewer@globex.test'), r.id, tests.organization_id('globex')
    from roles r where r.name = 'auditor' $$),
  '23514 RBAC_UNKNOWN_ROLE', 'ROLE-36: a role is granted in its own organization only'
);

select * from finish();
rollback;
