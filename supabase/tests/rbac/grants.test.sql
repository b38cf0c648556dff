-- Grants: nobody gives more than they have, and no organization loses its last administrator.
begin;
set local search_path = public, bulwark, extensions;
select plan(46);
select tests.create_organizations();

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'analyst', tests.organization_id('acme')) $$),
  'no error', 'GRANT-01: an admin grants a role to a member'
);
select tests.act_as('viewer@acme.test');
select ok(
  has_permission('analytics:write', tests.organization_id('acme')),
  'GRANT-02: it counts at once'
);
select tests.act_as('admin@acme.test');
select is(
  (select count(*)::int from user_roles
   where user_id = tests.user_id('viewer@acme.test')
     and granted_by = tests.user_id('admin@acme.test')), 1,
  'GRANT-03: the grant names who gave it'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('analyst@globex.test'), 'viewer', tests.organization_id('acme')) $$),
  '42501 RBAC_NOT_A_MEMBER', 'GRANT-04: nobody is made a member unasked'
);
select is(
  tests.error($$ select grant_role(
    gen_random_uuid(), 'viewer', tests.organization_id('acme')) $$),
  '42501 RBAC_NOT_A_MEMBER', 'GRANT-05: an account that does not exist is the same answer'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@globex.test'), 'analyst', tests.organization_id('globex')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-06: an admin grants nothing in a foreign organization'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'analyst', gen_random_uuid()) $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-07: a missing organization is the same answer'
);
select is(
  tests.error($$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst') $$),
  '42501 RBAC_PERMISSION_DENIED',
  'GRANT-08: an admin of one organization grants nothing system-wide'
);
select is(
  tests.error($$ select grant_role(tests.user_id('admin@acme.test'), 'super_admin') $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-09: an admin does not make itself super_admin'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('admin@acme.test'), 'super_admin', tests.organization_id('acme')) $$),
  '22023 RBAC_ROLE_NOT_ASSIGNABLE', 'GRANT-10: nor in its organization'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'overlord', tests.organization_id('acme')) $$),
  'PT404 RBAC_UNKNOWN_ROLE', 'GRANT-11: an unknown role is an error'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), null, tests.organization_id('acme')) $$),
  '22004 RBAC_NULL_ARGUMENT', 'GRANT-12: a null role is an error'
);
select is(
  tests.error($$ select grant_role(null, 'viewer', tests.organization_id('acme')) $$),
  '22004 RBAC_NULL_ARGUMENT', 'GRANT-13: a null user is an error'
);
select is(
  tests.error($$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.organization_id('acme'), expires_at => now() - interval '1 second') $$),
  '22023 RBAC_INVALID_EXPIRY', 'GRANT-14: an expiry in the past is an error'
);
select is(
  tests.error($$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.organization_id('acme'), now() + interval '2 days', now() + interval '1 day') $$),
  '22023 RBAC_INVALID_EXPIRY', 'GRANT-15: an expiry before the start is an error'
);
select is(
  tests.error($$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.organization_id('acme'), expires_at => 'infinity') $$),
  '22023 RBAC_INVALID_EXPIRY', 'GRANT-16: no end is null, not infinity'
);
select is(
  (select starts_at >= now() from grant_role(tests.user_id('viewer@acme.test'), 'api_user',
    tests.organization_id('acme'), now() - interval '1 year', now() + interval '1 day')), true,
  'GRANT-17: a grant is not dated back'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('admin@acme.test'), 'admin', tests.organization_id('acme')) $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'GRANT-18: the last administrator does not leave'
);
select is(
  tests.error($$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.organization_id('acme'), expires_at => now() + interval '1 year') $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'GRANT-19: nor puts an end to its own role'
);
select is(
  tests.error($$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.organization_id('acme'), now() + interval '1 day') $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'GRANT-20: nor puts off its beginning'
);
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.organization_id('acme'),
  expires_at => now() + interval '1 year'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('admin@acme.test'), 'admin', tests.organization_id('acme')) $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'GRANT-21: an administrator that will expire does not count'
);
select grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.organization_id('acme'));
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'analyst@acme.test';
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ select revoke_role(
    tests.user_id('admin@acme.test'), 'admin', tests.organization_id('acme')) $$),
  'PT409 RBAC_LAST_ADMINISTRATOR', 'GRANT-22: a banned administrator does not count'
);
select tests.act_as_owner();
update auth.users set banned_until = null where email = 'analyst@acme.test';

-- acting as an administrator for a week
select grant_role(
  tests.user_id('viewer@acme.test'), 'admin', tests.organization_id('acme'),
  expires_at => now() + interval '7 days'
);
select tests.act_as('viewer@acme.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('api_user@acme.test'), 'admin', tests.organization_id('acme')) $$),
  '42501 RBAC_GRANT_OUTLIVES_GRANTER', 'GRANT-23: what one holds for a week is not given for ever'
);
select is(
  tests.error($$ select grant_role(tests.user_id('viewer@acme.test'), 'admin',
    tests.organization_id('acme'), expires_at => now() + interval '8 days') $$),
  '42501 RBAC_GRANT_OUTLIVES_GRANTER', 'GRANT-24: nor prolonged for oneself'
);
select is(
  tests.error($$ select grant_role(tests.user_id('api_user@acme.test'), 'analyst',
    tests.organization_id('acme'), expires_at => now() + interval '7 days') $$),
  'no error', 'GRANT-25: within the week it is'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'new@acme.test', 'admin') $$),
  '42501 RBAC_GRANT_OUTLIVES_GRANTER', 'GRANT-26: an invitation is a grant without an end'
);

select tests.act_as_owner();
select create_role(tests.organization_id('acme'), 'everything_but_rank', array(
  select e.permission from bulwark_private.effective_permissions e
    where e.role_id = bulwark_private.admin_role()));
select create_role(tests.organization_id('acme'), 'empty');
select grant_role(
  tests.user_id('viewer@acme.test'), 'everything_but_rank', tests.organization_id('acme')
);
select tests.act_as('viewer@acme.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'admin', tests.organization_id('acme')) $$),
  '42501 RBAC_GRANT_OUTLIVES_GRANTER', 'GRANT-43: a rank held for a week is not given for ever'
);
select tests.act_as_owner();
select revoke_role(
  tests.user_id('viewer@acme.test'), 'everything_but_rank', tests.organization_id('acme')
);
select tests.act_as('viewer@acme.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'empty', tests.organization_id('acme')) $$),
  '42501 RBAC_GRANT_OUTLIVES_GRANTER', 'GRANT-44: not even a role that holds nothing'
);

-- acting as a holder of role:grant and little else
select tests.act_as_owner();
select create_role(tests.organization_id('acme'), 'steward', '{role:grant,user:read}');
select create_role(tests.organization_id('acme'), 'greeter', '{user:read}');
select grant_role(tests.user_id('api_user@acme.test'), 'steward', tests.organization_id('acme'));
select revoke_role(tests.user_id('api_user@acme.test'), 'analyst', tests.organization_id('acme'));
select tests.act_as('api_user@acme.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'greeter', tests.organization_id('acme')) $$),
  'no error', 'GRANT-27: what one holds one may grant'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('api_user@acme.test'), 'viewer', tests.organization_id('acme')) $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'GRANT-28: one''s own role is not raised'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('admin@acme.test'), 'admin', tests.organization_id('acme')) $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'GRANT-29: nor a higher one taken away'
);
select is(
  tests.error($$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.organization_id('acme'), expires_at => now() + interval '1 second') $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'GRANT-30: nor cut short by granting it again'
);

-- acting as a viewer
select tests.act_as('viewer@globex.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@globex.test'), 'analyst', tests.organization_id('globex')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-31: a viewer grants nothing'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('analyst@globex.test'), 'analyst', tests.organization_id('globex')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-32: and revokes nobody else''s role'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('viewer@globex.test'), 'viewer', tests.organization_id('globex')) $$),
  'no error', 'GRANT-33: but lays down the own one'
);
select is(
  tests.error($$ select revoke_role(
    tests.user_id('viewer@globex.test'), 'viewer', tests.organization_id('globex')) $$),
  'PT404 RBAC_GRANT_NOT_FOUND', 'GRANT-34: only once'
);
select is(
  tests.error($$ select revoke_role(null, 'viewer', tests.organization_id('globex')) $$),
  '22004 RBAC_NULL_ARGUMENT', 'GRANT-35: a null user is an error'
);

-- members whose time is over
select tests.act_as_owner();
insert into user_roles (user_id, role_id, organization_id, starts_at, expires_at)
select tests.user_id('stranger@bulwark.test'), r.id, tests.organization_id('globex'),
  now() - interval '2 days', now() - interval '1 day'
from roles r where r.name = 'viewer';
select tests.act_as('admin@globex.test');
select is(
  tests.error($$ select grant_role(
    tests.user_id('stranger@bulwark.test'), 'viewer', tests.organization_id('globex')) $$),
  '42501 RBAC_NOT_A_MEMBER', 'GRANT-45: whose role has expired is asked again'
);
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'admin@globex.test';
select grant_role(tests.user_id('analyst@globex.test'), 'admin', tests.organization_id('globex'),
  expires_at => now() + interval '1 day');
select is(
  tests.error($$ delete from auth.users where email = 'analyst@globex.test' $$),
  'no error', 'GRANT-46: an administrator that never counted can always go'
);
select tests.create_user('analyst@globex.test');
update auth.users set banned_until = null where email = 'admin@globex.test';

-- acting as super_admin
select tests.act_as('super@bulwark.test');
select is(
  tests.error($$ select grant_role(tests.user_id('stranger@bulwark.test'), 'super_admin') $$),
  'no error', 'GRANT-36: a super_admin makes another'
);
select is(
  tests.error($$ select grant_role(gen_random_uuid(), 'viewer', tests.organization_id('acme')) $$),
  'PT404 RBAC_UNKNOWN_USER', 'GRANT-37: a super_admin is told that an account does not exist'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('stranger@bulwark.test'), 'viewer', gen_random_uuid()) $$),
  'PT404 RBAC_UNKNOWN_ORGANIZATION', 'GRANT-38: or that the organization does not'
);

-- acting as a system-wide administrator below super_admin
select tests.act_as_owner();
select grant_role(tests.user_id('analyst@globex.test'), 'admin');
select tests.act_as('analyst@globex.test');
select is(
  tests.error($$ select grant_role(tests.user_id('analyst@globex.test'), 'super_admin') $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'GRANT-39: only a super_admin makes one'
);
select is(
  tests.error($$ select revoke_role(tests.user_id('super@bulwark.test'), 'super_admin') $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'GRANT-40: and only a super_admin unmakes one'
);
select is(
  tests.error($$ select grant_role(
    tests.user_id('viewer@acme.test'), 'analyst', tests.organization_id('acme')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'GRANT-41: a system-wide admin is no admin inside organizations'
);

-- acting as the service role
select tests.act_as_role('service_role');
select is(
  tests.error($$ select grant_role(tests.user_id('stranger@bulwark.test'), 'super_admin') $$),
  'no error', 'GRANT-42: the service role makes a super_admin'
);

select * from finish();
rollback;
