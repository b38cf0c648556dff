-- Roles and permissions: the catalogue, and who may do what where.
begin;
set local search_path = bulwark, public, extensions;
select plan(77);
select tests.create_organizations();

-- the catalogue
select is((select count(*)::int from permissions), 40, 'RBAC-01: there are forty permissions');
select results_eq(
  $$ select name, level::int from roles where organization_id is null order by level desc $$,
  $$ values ('super_admin', 100), ('admin', 80), ('analyst', 50), ('viewer', 20),
            ('api_user', 10) $$,
  'RBAC-02: there are five system roles with their levels'
);
select results_eq(
  $$ select r.name, count(*)::int from bulwark_private.effective_permissions e
     join roles r on r.id = e.role_id and r.organization_id is null group by 1 order by 1 $$,
  $$ values ('admin', 36), ('analyst', 14), ('api_user', 6), ('super_admin', 40), ('viewer', 6) $$,
  'RBAC-03: each role holds what it adds and what it inherits'
);
select set_eq(
  $$ select permission from bulwark_private.effective_permissions e join roles r on r.id = e.role_id
     where r.name = 'super_admin'
     except
     select permission from bulwark_private.effective_permissions e join roles r on r.id = e.role_id
     where r.name = 'admin' $$,
  array['org:create', 'org:delete', 'compliance:manage', 'system:admin'],
  'RBAC-04: super_admin alone administers the installation'
);

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select ok(held, claim)
from (values
  ('RBAC-05: an admin holds a permission of the role', has_permission('role:grant', tests.acme())),
  ('RBAC-06: an admin holds a permission inherited over two roles',
   has_permission('analytics:read', tests.acme())),
  ('RBAC-07: an admin does not hold what only super_admin does',
   not has_permission('org:delete', tests.acme())),
  ('RBAC-08: a role in one organization does not answer for another',
   not has_permission('analytics:read', tests.globex())),
  ('RBAC-09: an organization that does not exist is a plain no',
   not has_permission('analytics:read', gen_random_uuid())),
  ('RBAC-10: without an organization only system-wide roles count',
   not has_permission('analytics:read') and not has_permission('analytics:read', null))
) as t (claim, held);
select tests.error_is('RBAC-11: a typo is an error and not a silent no',
  '22023 RBAC_UNKNOWN_PERMISSION', $$ select has_permission('analytics:raed', tests.acme()) $$);
select tests.error_is('RBAC-12: a null permission is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select has_permission(null, tests.acme()) $$);
select results_eq(
  $$ select * from check_permissions(
       '{audit:read,org:delete,audit:read,analytics:read}', tests.acme()) $$,
  $$ values ('audit:read', true), ('org:delete', false), ('analytics:read', true) $$,
  'RBAC-13: a batch answers each different permission once, in the order asked'
);
select results_eq(
  $$ select * from check_permissions('{audit:read}', tests.globex()) $$,
  $$ values ('audit:read', false) $$,
  'RBAC-14: a batch about a foreign organization is a no'
);
select is_empty(
  $$ select * from check_permissions('{}', tests.acme()) $$,
  'RBAC-15: an empty batch is an empty answer'
);
select tests.error_is('RBAC-16: one unknown permission fails the batch',
  '22023 RBAC_UNKNOWN_PERMISSION',
  $$ select check_permissions('{audit:read,nonsense}', tests.acme()) $$);
select tests.error_is('RBAC-17: a null in a batch is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select check_permissions('{audit:read,null}', tests.acme()) $$);
select tests.error_is('RBAC-18: a null batch is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select check_permissions(null, tests.acme()) $$);
select tests.error_is('RBAC-19: ten thousand permissions in a batch are refused',
  '22023 RBAC_BATCH_TOO_LARGE',
  $$ select check_permissions(array(select 'audit:read' from generate_series(1, 10000)),
    tests.acme()) $$);

select tests.error_is('RBAC-75: a nested list is refused', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select check_permissions('{{audit:read},{org:read}}', tests.acme()) $$);

-- acting as a viewer: who may be asked about
select tests.act_as('viewer@acme.test');
select ok(
  user_has_permission(
    tests.user_id('viewer@acme.test'), 'analytics:read', tests.acme()),
  'RBAC-20: one may ask about oneself'
);
select ok(
  user_has_permission(
    tests.user_id('analyst@acme.test'), 'analytics:write', tests.acme())
  and not user_has_permission(
    tests.user_id('analyst@acme.test'), 'audit:read', tests.acme()),
  'RBAC-21: user:read lets one ask about a fellow member'
);
select tests.error_is('RBAC-22: nobody asks about members of a foreign organization',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(tests.user_id('analyst@globex.test'), 'analytics:read',
    tests.globex()) $$);
select tests.error_is('RBAC-23: nobody asks about a stranger to the organization',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(tests.user_id('analyst@globex.test'), 'analytics:read',
    tests.acme()) $$);
select tests.error_is('RBAC-24: an account that does not exist is the same answer',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(gen_random_uuid(), 'analytics:read', tests.acme()) $$);
select tests.error_is('RBAC-25: nobody finds out who is super_admin', '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(tests.user_id('super@bulwark.test'), 'system:admin') $$);
select tests.error_is('RBAC-26: a null user is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select user_has_permission(null, 'analytics:read', tests.acme()) $$);
select results_eq(
  $$ select role, active from get_user_roles(
       tests.user_id('analyst@acme.test'), tests.acme()) $$,
  $$ values ('analyst', true) $$,
  'RBAC-27: role names of a fellow member are visible'
);
select tests.error_is('RBAC-28: role names of a foreign organization are not',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select get_user_roles(tests.user_id('analyst@globex.test'), tests.globex()) $$);
select tests.error_is('RBAC-29: explanations stop at the organization, too',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select explain_permission(tests.user_id('analyst@globex.test'), 'audit:read', tests.globex())
    $$);

-- acting as an api_user, who has no user:read
select tests.act_as('api_user@acme.test');
select tests.error_is('RBAC-30: without user:read a member asks about nobody else',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(tests.user_id('analyst@acme.test'), 'analytics:read', tests.acme())
    $$);
select is_empty(
  $$ select * from user_roles where user_id <> tests.user_id('api_user@acme.test') $$,
  'RBAC-31: without role:read a member sees only the own grant'
);
select results_eq(
  $$ select slug from organizations $$, array['acme'],
  'RBAC-32: every member sees the organization, whatever the role'
);

-- explanations
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select allowed, reason, role, inherited_from, system_wide from explain_permission(
       tests.user_id('admin@acme.test'), 'analytics:read', tests.acme()) $$,
  $$ values (true, 'active', 'admin', 'viewer', false) $$,
  'RBAC-33: an explanation names the role and the one it is inherited from'
);
select results_eq(
  $$ select allowed, reason, role from explain_permission(
       tests.user_id('viewer@acme.test'), 'audit:read', tests.acme()) $$,
  $$ values (false, 'not_in_roles', null::text) $$,
  'RBAC-34: an explanation says that no role held has the permission'
);
select tests.act_as('stranger@bulwark.test');
select results_eq(
  $$ select allowed, reason from explain_permission(
       tests.user_id('stranger@bulwark.test'), 'audit:read', tests.acme()) $$,
  $$ values (false, 'no_role') $$,
  'RBAC-35: an explanation says that there is no role at all'
);

-- time
select tests.act_as_owner();
select grant_role(
  tests.user_id('viewer@acme.test'), 'analyst', tests.acme(),
  now() + interval '1 day', now() + interval '2 days'
);
insert into user_roles (user_id, role_id, organization_id, starts_at, expires_at)
select tests.user_id('viewer@acme.test'), r.id, tests.acme(),
  now() - interval '2 days', now() - interval '1 day'
from roles r where r.name = 'admin';
select tests.act_as('viewer@acme.test');
select ok(
  not has_permission('analytics:write', tests.acme()),
  'RBAC-36: a grant that has not begun gives nothing'
);
select ok(
  not has_permission('audit:read', tests.acme()),
  'RBAC-37: a grant that has expired gives nothing'
);
select results_eq(
  $$ select role, active from get_user_roles(
       tests.user_id('viewer@acme.test'), tests.acme()) $$,
  $$ values ('admin', false), ('analyst', false), ('viewer', true) $$,
  'RBAC-38: grants outside their time are listed as not active'
);
select results_eq(
  $$ select allowed, reason, role from explain_permission(
       tests.user_id('viewer@acme.test'), 'analytics:write', tests.acme())
     order by role $$,
  $$ values (false, 'expired', 'admin'), (false, 'not_started', 'analyst') $$,
  'RBAC-39: an explanation tells expired from not begun'
);

-- a ban and a soft deletion outrun the token
select tests.act_as_owner();
update auth.users set banned_until = now() + interval '1 hour' where email = 'analyst@acme.test';
update auth.users set deleted_at = now() where email = 'api_user@acme.test';
select tests.act_as('analyst@acme.test');
select ok(
  not has_permission('analytics:read', tests.acme()),
  'RBAC-40: a banned account holds nothing, whatever its token says'
);
select is_empty(
  $$ select bulwark.organizations_with('analytics:read') $$,
  'RBAC-41: a banned account reads no organization'
);
select tests.error_is('RBAC-42: it is told why', '42501 ACCOUNT_SUSPENDED',
  $$ select explain_permission(tests.user_id('analyst@acme.test'), 'analytics:read', tests.acme())
    $$);
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select distinct reason from explain_permission(
       tests.user_id('analyst@acme.test'), 'analytics:read', tests.acme()) $$,
  $$ values ('account_suspended') $$,
  'RBAC-42: and an explanation names the suspension'
);
select tests.act_as('api_user@acme.test');
select ok(
  not has_permission('analytics:read', tests.acme()),
  'RBAC-43: a deleted account holds nothing'
);
select tests.act_as_owner();
update auth.users set banned_until = now() - interval '1 second' where email = 'analyst@acme.test';
select tests.act_as('analyst@acme.test');
select ok(
  has_permission('analytics:read', tests.acme()),
  'RBAC-44: a ban that has ended is over'
);

-- acting as super_admin
select tests.act_as('super@bulwark.test');
select ok(
  has_permission('analytics:delete', tests.acme())
  and has_permission('analytics:delete', tests.globex())
  and has_permission('system:admin'),
  'RBAC-45: super_admin answers inside every organization and without one'
);
select set_has(
  $$ select bulwark.organizations_with('audit:read') $$,
  $$ values (tests.acme()), (tests.globex()) $$,
  'RBAC-46: super_admin reads every organization'
);
select set_has(
  $$ select slug from organizations $$, $$ values ('acme'), ('globex') $$,
  'RBAC-47: super_admin sees every organization'
);
select ok(
  user_has_permission(
    tests.user_id('admin@acme.test'), 'audit:read', tests.acme()),
  'RBAC-48: super_admin may ask about anybody'
);
select tests.act_as_owner();
select grant_role(tests.user_id('stranger@bulwark.test'), 'viewer');
select tests.act_as('stranger@bulwark.test');
select ok(
  has_permission('analytics:read')
  and not has_permission('analytics:read', tests.acme()),
  'RBAC-49: a system-wide role below super_admin answers in no organization'
);
select is_empty(
  $$ select bulwark.organizations_with('analytics:read') $$,
  'RBAC-50: and opens none'
);

-- a table of the host application with a policy in the array form
select tests.act_as_owner();
create table public.reports (
  id bigint generated always as identity primary key,
  organization_id uuid not null references organizations (id)
);
alter table public.reports enable row level security;
grant select, insert on public.reports to authenticated;
create policy "Members read reports where they may" on public.reports
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members write reports where they may" on public.reports
  for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
insert into public.reports (organization_id)
values (tests.acme()), (tests.globex());
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select organization_id from public.reports $$, array[tests.acme()],
  'RBAC-51: a guarded table shows the rows of one''s own organization'
);
select tests.act_as_owner();
select revoke_role(tests.user_id('viewer@acme.test'), 'viewer', tests.acme());
select tests.act_as('viewer@acme.test');
select is_empty(
  $$ select * from public.reports $$,
  'RBAC-52: after a revocation the old token reads nothing'
);
select tests.act_as('analyst@acme.test');
select tests.error_is('RBAC-53: an analyst writes at home', 'no error',
  $$ insert into public.reports (organization_id) values (tests.acme()) $$);
select tests.error_is('RBAC-54: and not in a foreign organization', '42501',
  $$ insert into public.reports (organization_id) values (tests.globex()) $$);

-- a token whose claims lie
select set_config(
  'request.jwt.claims',
  json_build_object(
    'sub', tests.user_id('stranger@bulwark.test'), 'role', 'service_role',
    'session_id', tests.session_of(tests.user_id('stranger@bulwark.test')),
    'user_metadata', json_build_object('role', 'super_admin'),
    'app_metadata', json_build_object('roles', array['super_admin']),
    'organizations', json_build_array(json_build_object('slug', 'acme', 'roles', array['admin']))
  )::text, true
);
select is_empty(
  $$ select * from public.reports $$,
  'RBAC-55: no claim but sub gives anything'
);
select tests.error_is('RBAC-56: the claim role does not make a service',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select grant_role(tests.user_id('stranger@bulwark.test'), 'admin', tests.acme()) $$);

-- acting without a user
select tests.act_as_role('authenticated');
select tests.error_is('RBAC-57: a token without a user is refused', '42501 RBAC_NOT_AUTHENTICATED',
  $$ select has_permission('audit:read', tests.acme()) $$);
select is_empty(
  $$ select * from public.reports $$, 'RBAC-58: and reads nothing'
);
select tests.act_as_role('anon');
select tests.error_is('RBAC-59: anon may not ask at all', '42501',
  $$ select has_permission('audit:read') $$);
select tests.error_is('RBAC-60: anon reads no table', '42501', $$ select * from organizations $$);
select tests.act_as_owner();
select is(
  tests.error_as('admin@acme.test', 'api_key',
    $$ select bulwark.has_permission('audit:read', tests.acme()) $$), '42501',
  'RBAC-61: an API key calls no function of ours, whosever it is'
);
select is(
  tests.error_as('admin@acme.test', 'api_key', $$ select * from bulwark.organizations $$), '42501',
  'RBAC-62: and reads no table of ours'
);
select is(
  tests.error_as('admin@acme.test', 'api_key', $$ select * from public.reports $$), '42501',
  'RBAC-63: and no guarded table of the host that did not opt in'
);

-- writing around the functions
select tests.act_as('admin@acme.test');
select tests.error_is('RBAC-64: clients update no grant', '42501',
  $$ update user_roles set expires_at = null $$);
select tests.error_is('RBAC-65: clients insert no grant', '42501',
  $$ insert into user_roles (user_id, role_id)
    values (tests.user_id('admin@acme.test'), bulwark_private.super_admin_role()) $$);
select tests.error_is('RBAC-66: clients delete no grant', '42501', $$ delete from user_roles $$);
select tests.error_is('RBAC-67: clients read nothing in private', '42501',
  $$ select * from bulwark_private.held_permissions $$);
select tests.error_is('RBAC-68: the unguarded check is not callable', '42501',
  $$ select bulwark_private.user_permits(tests.user_id('admin@globex.test'), 'audit:read',
    tests.globex()) $$);
select tests.act_as_role('service_role');
select tests.error_is('RBAC-69: the service role goes through the functions, too', '42501',
  $$ insert into user_roles (user_id, role_id)
    values (tests.user_id('admin@acme.test'), bulwark_private.super_admin_role()) $$);

-- rules that also bind the owner's own statements
select tests.act_as_owner();
select tests.error_is('RBAC-70: a grant does not move to another organization',
  '23514 COLUMN_IS_FIXED',
  $$ update user_roles set organization_id = tests.globex() where user_id =
    tests.user_id('analyst@acme.test') $$);
select tests.error_is('RBAC-71: super_admin is never of one organization',
  '23514 RBAC_ROLE_NOT_ASSIGNABLE',
  $$ insert into user_roles (user_id, role_id, organization_id)
    values (tests.user_id('admin@acme.test'), bulwark_private.super_admin_role(),
      tests.acme()) $$);
select tests.error_is('RBAC-72: the last administrator''s account is not deleted',
  'PT409 RBAC_LAST_ADMINISTRATOR', $$ delete from auth.users where email = 'admin@acme.test' $$);
select tests.error_is('RBAC-73: nor are all grants at once', 'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ delete from user_roles where organization_id = tests.acme() $$);
delete from public.reports;
select tests.error_is('RBAC-74: an organization that goes takes its administrators with it',
  'no error', $$ delete from organizations where slug = 'acme' $$);

-- an API key that nobody knows
select tests.act_as_owner();
select set_config('request.jwt.claims', jsonb_build_object(
  'role', 'api_key', 'api_key_id', gen_random_uuid(),
  'organization_id', tests.organization_id('acme')
)::text, true);
select is_empty(
  $$ select bulwark_private.api_key_organizations('org:read') $$,
  'RBAC-90: the token of an unknown API key holds no permission'
);

select * from finish();
rollback;
