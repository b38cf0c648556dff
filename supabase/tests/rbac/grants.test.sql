-- Grants: nobody gives more than they have, and no organization loses its last administrator.
begin;
set local search_path = bulwark, public, extensions;
select plan(46);
select tests.create_organizations();

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select tests.error_is('GRANT-01: an admin grants a role to a member', 'no error',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst', tests.acme()) $$);
select tests.act_as('viewer@acme.test');
select ok(
  has_permission('analytics:write', tests.acme()),
  'GRANT-02: it counts at once'
);
select tests.act_as('admin@acme.test');
select is(
  (select count(*)::int from user_roles
   where user_id = tests.user_id('viewer@acme.test')
     and granted_by = tests.user_id('admin@acme.test')), 1,
  'GRANT-03: the grant names who gave it'
);
select tests.error_is('GRANT-04: nobody is made a member unasked', '42501 RBAC_NOT_A_MEMBER',
  $$ select grant_role(tests.user_id('analyst@globex.test'), 'viewer', tests.acme()) $$);
select tests.error_is('GRANT-05: an account that does not exist is the same answer',
  '42501 RBAC_NOT_A_MEMBER', $$ select grant_role(gen_random_uuid(), 'viewer', tests.acme()) $$);
select tests.error_is('GRANT-06: an admin grants nothing in a foreign organization',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('viewer@globex.test'), 'analyst', tests.globex()) $$);
select tests.error_is('GRANT-07: a missing organization is the same answer',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst', gen_random_uuid()) $$);
select tests.error_is('GRANT-08: an admin of one organization grants nothing system-wide',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst') $$);
select tests.error_is('GRANT-09: an admin does not make itself super_admin',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('admin@acme.test'), 'super_admin') $$);
select tests.error_is('GRANT-10: nor in its organization', '22023 RBAC_ROLE_NOT_ASSIGNABLE',
  $$ select grant_role(tests.user_id('admin@acme.test'), 'super_admin', tests.acme()) $$);
select tests.error_is('GRANT-11: an unknown role is an error', 'PT404 RBAC_UNKNOWN_ROLE',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'overlord', tests.acme()) $$);
select tests.error_is('GRANT-12: a null role is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select grant_role(tests.user_id('viewer@acme.test'), null, tests.acme()) $$);
select tests.error_is('GRANT-13: a null user is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select grant_role(null, 'viewer', tests.acme()) $$);
select tests.error_is('GRANT-14: an expiry in the past is an error', '22023 RBAC_INVALID_EXPIRY',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.acme(), expires_at => now() - interval '1 second') $$);
select tests.error_is('GRANT-15: an expiry before the start is an error',
  '22023 RBAC_INVALID_EXPIRY',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.acme(), now() + interval '2 days', now() + interval '1 day') $$);
select tests.error_is('GRANT-16: no end is null, not infinity', '22023 RBAC_INVALID_EXPIRY',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst',
    tests.acme(), expires_at => 'infinity') $$);
select is(
  (select starts_at >= now() from grant_role(tests.user_id('viewer@acme.test'), 'api_user',
    tests.acme(), now() - interval '1 year', now() + interval '1 day')), true,
  'GRANT-17: a grant is not dated back'
);
select tests.error_is('GRANT-18: the last administrator does not leave',
  'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme()) $$);
select tests.error_is('GRANT-19: nor puts an end to its own role', 'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.acme(), expires_at => now() + interval '1 year') $$);
select tests.error_is('GRANT-20: nor puts off its beginning', 'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.acme(), now() + interval '1 day') $$);
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.acme(),
  expires_at => now() + interval '1 year'
);
select tests.error_is('GRANT-21: an administrator that will expire does not count',
  'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme()) $$);
select grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.acme());
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'analyst@acme.test';
select tests.act_as('admin@acme.test');
select tests.error_is('GRANT-22: a banned administrator does not count',
  'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme()) $$);
select tests.act_as_owner();
update auth.users set banned_until = null where email = 'analyst@acme.test';

-- acting as an administrator for a week
select grant_role(
  tests.user_id('viewer@acme.test'), 'admin', tests.acme(),
  expires_at => now() + interval '7 days'
);
select tests.act_as('viewer@acme.test');
select tests.error_is('GRANT-23: what one holds for a week is not given for ever',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select grant_role(tests.user_id('api_user@acme.test'), 'admin', tests.acme()) $$);
select tests.error_is('GRANT-24: nor prolonged for oneself', '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'admin',
    tests.acme(), expires_at => now() + interval '8 days') $$);
select tests.error_is('GRANT-25: within the week it is', 'no error',
  $$ select grant_role(tests.user_id('api_user@acme.test'), 'analyst',
    tests.acme(), expires_at => now() + interval '7 days') $$);
select tests.error_is('GRANT-26: an invitation is a grant without an end',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select invite_member(tests.acme(), 'new@acme.test', 'admin') $$);

select tests.act_as_owner();
select create_role(tests.acme(), 'everything_but_rank', array(
  select e.permission from bulwark_private.effective_permissions e
    where e.role_id = bulwark_private.admin_role()));
select create_role(tests.acme(), 'empty');
select grant_role(tests.user_id('viewer@acme.test'), 'everything_but_rank', tests.acme());
select tests.act_as('viewer@acme.test');
select tests.error_is('GRANT-43: a rank held for a week is not given for ever',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'admin', tests.acme()) $$);
select tests.act_as_owner();
select revoke_role(tests.user_id('viewer@acme.test'), 'everything_but_rank', tests.acme());
select tests.act_as('viewer@acme.test');
select tests.error_is('GRANT-44: not even a role that holds nothing',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'empty', tests.acme()) $$);

-- acting as a holder of role:grant and little else
select tests.act_as_owner();
select create_role(tests.acme(), 'steward', '{role:grant,user:read}');
select create_role(tests.acme(), 'greeter', '{user:read}');
select grant_role(tests.user_id('api_user@acme.test'), 'steward', tests.acme());
select revoke_role(tests.user_id('api_user@acme.test'), 'analyst', tests.acme());
select tests.act_as('api_user@acme.test');
select tests.error_is('GRANT-27: what one holds one may grant', 'no error',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'greeter', tests.acme()) $$);
select tests.error_is('GRANT-28: one''s own role is not raised', '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select grant_role(tests.user_id('api_user@acme.test'), 'viewer', tests.acme()) $$);
select tests.error_is('GRANT-29: nor a higher one taken away', '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme()) $$);
select tests.error_is('GRANT-30: nor cut short by granting it again',
  '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select grant_role(tests.user_id('admin@acme.test'), 'admin',
    tests.acme(), expires_at => now() + interval '1 second') $$);

-- acting as a viewer
select tests.act_as('viewer@globex.test');
select tests.error_is('GRANT-31: a viewer grants nothing', '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('viewer@globex.test'), 'analyst', tests.globex()) $$);
select tests.error_is('GRANT-32: and revokes nobody else''s role', '42501 RBAC_PERMISSION_DENIED',
  $$ select revoke_role(tests.user_id('analyst@globex.test'), 'analyst', tests.globex()) $$);
select tests.error_is('GRANT-33: but lays down the own one', 'no error',
  $$ select revoke_role(tests.user_id('viewer@globex.test'), 'viewer', tests.globex()) $$);
select tests.error_is('GRANT-34: only once', 'PT404 RBAC_GRANT_NOT_FOUND',
  $$ select revoke_role(tests.user_id('viewer@globex.test'), 'viewer', tests.globex()) $$);
select tests.error_is('GRANT-35: a null user is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select revoke_role(null, 'viewer', tests.globex()) $$);

-- members whose time is over
select tests.act_as_owner();
insert into user_roles (user_id, role_id, organization_id, starts_at, expires_at)
select tests.user_id('stranger@bulwark.test'), r.id, tests.globex(),
  now() - interval '2 days', now() - interval '1 day'
from roles r where r.name = 'viewer';
select tests.act_as('admin@globex.test');
select tests.error_is('GRANT-45: whose role has expired is asked again', '42501 RBAC_NOT_A_MEMBER',
  $$ select grant_role(tests.user_id('stranger@bulwark.test'), 'viewer', tests.globex()) $$);
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'admin@globex.test';
select grant_role(tests.user_id('analyst@globex.test'), 'admin', tests.globex(),
  expires_at => now() + interval '1 day');
select tests.error_is('GRANT-46: an administrator that never counted can always go', 'no error',
  $$ delete from auth.users where email = 'analyst@globex.test' $$);
select tests.create_user('analyst@globex.test');
update auth.users set banned_until = null where email = 'admin@globex.test';

-- acting as super_admin
select tests.act_as('super@bulwark.test');
select tests.error_is('GRANT-36: a super_admin makes another', 'no error',
  $$ select grant_role(tests.user_id('stranger@bulwark.test'), 'super_admin') $$);
select tests.error_is('GRANT-37: a super_admin is told that an account does not exist',
  'PT404 RBAC_UNKNOWN_USER', $$ select grant_role(gen_random_uuid(), 'viewer', tests.acme()) $$);
select tests.error_is('GRANT-38: or that the organization does not',
  'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select grant_role(tests.user_id('stranger@bulwark.test'), 'viewer', gen_random_uuid()) $$);

-- acting as a system-wide administrator below super_admin
select tests.act_as_owner();
select grant_role(tests.user_id('analyst@globex.test'), 'admin');
select tests.act_as('analyst@globex.test');
select tests.error_is('GRANT-39: only a super_admin makes one', '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select grant_role(tests.user_id('analyst@globex.test'), 'super_admin') $$);
select tests.error_is('GRANT-40: and only a super_admin unmakes one',
  '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select revoke_role(tests.user_id('super@bulwark.test'), 'super_admin') $$);
select tests.error_is('GRANT-41: a system-wide admin is no admin inside organizations',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('viewer@acme.test'), 'analyst', tests.acme()) $$);

-- acting as the service role
select tests.act_as_role('service_role');
select tests.error_is('GRANT-42: the service role makes a super_admin', 'no error',
  $$ select grant_role(tests.user_id('stranger@bulwark.test'), 'super_admin') $$);

select * from finish();
rollback;
