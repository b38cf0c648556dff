-- Members: listing and naming them, all roles of one at once, removal and leaving.
begin;
set local search_path = bulwark, public, extensions;
select plan(57);
select tests.create_organizations();
update auth.users
set raw_user_meta_data = jsonb_build_object('full_name', E'Ada\u202eLovelace\n'),
  last_sign_in_at = '2026-01-02 03:04:05+00'
where email = 'admin@acme.test';
update auth.users set raw_user_meta_data = '{"name": "Vic_100%"}' where email = 'viewer@acme.test';
select tests.add_factor('admin@acme.test');

-- acting as a viewer, who holds user:read but not security:read
select tests.act_as('viewer@acme.test');
select results_eq(
  $$ select email from list_members(tests.acme()) $$,
  $$ values ('admin@acme.test'), ('analyst@acme.test'), ('viewer@acme.test') $$
  -- The role api_user has no user:read, and is listed all the same.
  || $$ union values ('api_user@acme.test') order by 1 $$,
  'MEM-01: members are listed by address'
);
select is(
  (select name from list_members(tests.acme(), search => 'ADMIN@')), 'Ada Lovelace',
  'MEM-02: a name has no characters that reverse what follows or break a line'
);
select results_eq(
  $$ select mfa_enrolled, last_sign_in_at from list_members(tests.acme()) group by 1, 2 $$,
  $$ values (null::boolean, null::timestamptz) $$,
  'MEM-03: who lacks a second factor is not told without security:read'
);
select is(
  (select roles #- '{0,starts_at}' from list_members(tests.acme(), role => 'analyst')),
  '[{"role": "analyst", "level": 50, "source": "own", "active": true,
    "expires_at": null, "granted_by": null}]'::jsonb,
  'MEM-04: roles have their window, and can be filtered'
);
select is_empty(
  $$ select * from list_members(tests.acme(), search => '%@%')
     union all select * from list_members(tests.acme(), search => '_dmin')
     union all select * from list_members(tests.acme(), search => 'globex') $$,
  'MEM-05: a search is no pattern, and finds nobody of another organization'
);
select is(
  (select email from list_members(tests.acme(), search => 'c_100%')), 'viewer@acme.test',
  'MEM-06: it finds a part of a name as it is written'
);
select results_eq(
  $$ with first as (select * from list_members(tests.acme(), page_size => 3)),
       rest as (
         select m.* from list_members(
           tests.acme(), after => (select max(page_key collate "C") from first), page_size => 3
         ) m
       )
     select email from first union all select email from rest $$,
  $$ select email from list_members(tests.acme()) $$,
  'MEM-07: pages have everybody once'
);
select tests.error_is('MEM-08: nobody lists members of another organization',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_members(tests.globex(), search => 'admin') $$);
select tests.error_is('MEM-09: a missing one is the same answer',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_members(gen_random_uuid()) $$);
select tests.error_is('MEM-10: none is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select list_members(null) $$);
select tests.act_as('api_user@acme.test');
select tests.error_is('MEM-11: nobody lists members or searches them without user:read',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_members(tests.acme(), search => 'a') $$);
select tests.act_as('stranger@bulwark.test');
select tests.error_is('MEM-12: nor does a stranger',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_members(tests.acme()) $$);

-- acting as the administrator
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select mfa_enrolled, last_sign_in_at from list_members(tests.acme(), search => 'admin@') $$,
  $$ values (true, '2026-01-02 03:04:05+00'::timestamptz) $$,
  'MEM-13: with security:read it is told who has a second factor and signed in when'
);
select is(
  (select mfa_enrolled from list_members(tests.acme(), search => 'viewer@')), false,
  'MEM-14: and who has none'
);
select tests.act_as_owner();
update bulwark.user_roles set starts_at = now() + interval '1 day'
where user_id = tests.user_id('viewer@acme.test');
update auth.users set banned_until = now() + interval '1 day' where email = 'analyst@acme.test';
select grant_role(tests.user_id('api_user@acme.test'), 'viewer', tests.acme());
update bulwark.user_roles set starts_at = now() - interval '2 days',
  expires_at = now() - interval '1 day'
where user_id = tests.user_id('api_user@acme.test') and organization_id = tests.acme()
  and role_id = (select id from roles where name = 'viewer' and organization_id is null);
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select email, suspended, roles -> 0 ->> 'role', roles -> 0 -> 'active',
       jsonb_array_length(roles)
     from list_members(tests.acme()) where email <> 'admin@acme.test' $$,
  $$ values
     ('analyst@acme.test', true, 'analyst', 'false'::jsonb, 1),
     ('api_user@acme.test', false, 'api_user', 'true'::jsonb, 1),
     ('viewer@acme.test', false, 'viewer', 'false'::jsonb, 1) $$,
  'MEM-15: suspended members and roles that wait are listed as such, expired roles not'
);
select tests.act_as_owner();
update bulwark.user_roles set starts_at = now()
where user_id = tests.user_id('viewer@acme.test');
update auth.users set banned_until = null where email = 'analyst@acme.test';

-- an organization that requires a second factor
insert into mfa_policies (organization_id, required_from) values (tests.acme(), now());
select tests.act_as('viewer@acme.test');
select tests.error_is('MEM-16: a session without the required factor lists nobody',
  '42501 MFA_REQUIRED', $$ select list_members(tests.acme()) $$);
select tests.error_is('MEM-17: and names nobody', '42501 MFA_REQUIRED',
  $$ select list_names(tests.acme(), '{}') $$);
select tests.act_as('admin@acme.test');
select tests.error_is('MEM-18: an administrator without it sets no roles', '42501 MFA_REQUIRED',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), '{analyst}') $$);
select tests.error_is('MEM-19: and removes nobody', '42501 MFA_REQUIRED',
  $$ select remove_member(tests.acme(), tests.user_id('viewer@acme.test')) $$);
select tests.act_as_owner();
delete from mfa_policies where organization_id = tests.acme();

-- names behind ids
select tests.act_as('viewer@acme.test');
select results_eq(
  $$ select name, email, is_member from list_names(tests.acme(), array[
       tests.user_id('admin@acme.test'), tests.user_id('admin@globex.test'), gen_random_uuid(),
       tests.user_id('super@bulwark.test'), tests.user_id('admin@acme.test'), null
     ]) $$,
  $$ values ('Ada Lovelace', 'admin@acme.test', true) $$,
  'MEM-20: ids of members have names; those of others no row, whether they exist or not'
);
select tests.error_is('MEM-21: nobody asks for names in another organization',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select list_names(tests.globex(), array[tests.user_id('admin@globex.test')]) $$);
select tests.error_is('MEM-22: nor everywhere', '42501 RBAC_PERMISSION_DENIED',
  $$ select list_names(null, array[tests.user_id('admin@globex.test')]) $$);
select tests.error_is('MEM-23: a batch is limited', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select list_names(tests.acme(), array_fill(gen_random_uuid(), array[1001])) $$);
select tests.error_is('MEM-24: null is an error', '22004 RBAC_NULL_ARGUMENT',
  $$ select list_names(tests.acme(), null) $$);
select tests.act_as('super@bulwark.test');
select is(
  (select email from list_names(null, array[tests.user_id('admin@globex.test')])),
  'admin@globex.test', 'MEM-25: a super_admin names everybody'
);

-- setting roles
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select r.name, g.expires_at, g.granted_by
     from set_member_roles(
       tests.acme(), tests.user_id('viewer@acme.test'), '{analyst,api_user,analyst}'
     ) g
     join roles r on r.id = g.role_id order by 1 $$,
  $$ values ('analyst', null::timestamptz, tests.user_id('admin@acme.test')),
     ('api_user', null, tests.user_id('admin@acme.test')) $$,
  'MEM-26: a list becomes the roles of a member'
);
select is(
  (select jsonb_path_query_array(roles, '$.role')
   from list_members(tests.acme(), search => 'viewer@')),
  '["analyst", "api_user"]'::jsonb, 'MEM-27: and those that are not in it end'
);
select grant_role(
  tests.user_id('viewer@acme.test'), 'analyst', tests.acme(), expires_at => now() + '1 hour'
);
select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), '{analyst}');
select is(
  (select (roles #>> '{0,expires_at}')::timestamptz
   from list_members(tests.acme(), search => 'viewer@')),
  now() + interval '1 hour', 'MEM-28: a role that stays keeps its window'
);
select tests.error_is('MEM-29: an unknown role changes nothing', 'PT404 RBAC_UNKNOWN_ROLE',
  $$ select set_member_roles(tests.acme(),
    tests.user_id('viewer@acme.test'), '{viewer,no_one}') $$);
select tests.error_is('MEM-30: an empty list is no removal', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), '{}') $$);
select tests.error_is('MEM-31: null neither', '22004 RBAC_NULL_ARGUMENT',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), array[null]) $$);
select tests.error_is('MEM-32: a list is limited', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'),
    array_fill('viewer'::text, array[21])) $$);
select tests.error_is('MEM-32: and plain', '22023 RBAC_BATCH_TOO_LARGE',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), '{{viewer}}') $$);
select tests.error_is('MEM-33: super_admin is not of one organization',
  '22023 RBAC_ROLE_NOT_ASSIGNABLE',
  $$ select set_member_roles(tests.acme(), tests.user_id('viewer@acme.test'), '{super_admin}') $$);
select tests.error_is('MEM-34: nobody becomes a member by it', '42501 RBAC_NOT_A_MEMBER',
  $$ select set_member_roles(tests.acme(), tests.user_id('stranger@bulwark.test'), '{viewer}') $$);
select tests.error_is('MEM-35: an account that does not exist is the same answer',
  '42501 RBAC_NOT_A_MEMBER',
  $$ select set_member_roles(tests.acme(), gen_random_uuid(), '{viewer}') $$);
select tests.error_is('MEM-36: the last administrator is not demoted',
  'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select set_member_roles(tests.acme(), tests.user_id('admin@acme.test'), '{viewer}') $$);
select tests.error_is('MEM-37: nobody sets roles in another organization',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select set_member_roles(tests.globex(), tests.user_id('viewer@globex.test'), '{admin}') $$);

-- acting as a member with role:grant and user:delete, but a lower rank
select tests.act_as_owner();
select create_role(tests.acme(), 'recruiter', '{user:read,user:delete,role:grant}', '{viewer}');
select grant_role(tests.user_id('api_user@acme.test'), 'recruiter', tests.acme());
select tests.act_as('api_user@acme.test');
select tests.error_is('MEM-38: nobody raises themselves', '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select set_member_roles(tests.acme(),
    tests.user_id('api_user@acme.test'), '{recruiter,admin}') $$);
select tests.error_is('MEM-39: nor takes a higher role from another, together with others',
  '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select set_member_roles(tests.acme(), tests.user_id('admin@acme.test'), '{viewer}') $$);
select tests.error_is('MEM-40: nor removes somebody above', '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select remove_member(tests.acme(), tests.user_id('admin@acme.test')) $$);
select ok(
  user_has_permission(tests.user_id('admin@acme.test'), 'org:update', tests.acme())
  and not has_permission('org:update', tests.acme()), 'MEM-41: and nothing has changed'
);

-- removal
select tests.act_as('viewer@acme.test');
select tests.error_is('MEM-42: nobody removes a member without user:delete',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select remove_member(tests.acme(), tests.user_id('analyst@acme.test')) $$);
select tests.act_as('admin@globex.test');
select tests.error_is('MEM-43: nor one of another organization', '42501 RBAC_PERMISSION_DENIED',
  $$ select remove_member(tests.acme(), tests.user_id('analyst@acme.test')) $$);
select tests.act_as('admin@acme.test');
select grant_role(tests.user_id('analyst@acme.test'), 'viewer', tests.acme());
select remove_member(tests.acme(), tests.user_id('analyst@acme.test'));
select is_empty(
  $$ select * from list_members(tests.acme(), search => 'analyst@') $$,
  'MEM-44: a removal takes all roles'
);
select tests.act_as('analyst@acme.test');
select is_empty($$ select * from member_organizations() $$, 'MEM-45: with the next statement');
select tests.act_as('viewer@acme.test');
select results_eq(
  $$ select email, is_member from list_names(
    tests.acme(), array[tests.user_id('analyst@acme.test')]
  ) $$,
  $$ values (null::text, false) $$, 'MEM-46: who has left has a name, and no address'
);
select tests.act_as('viewer@globex.test');
select is_empty(
  $$ select * from list_names(tests.globex(), array[tests.user_id('analyst@acme.test')]) $$,
  'MEM-47: and neither in another organization'
);
select tests.act_as('admin@acme.test');
select tests.error_is('MEM-48: a removed member is none', '42501 RBAC_NOT_A_MEMBER',
  $$ select remove_member(tests.acme(), tests.user_id('analyst@acme.test')) $$);
select tests.error_is('MEM-49: the last administrator is not removed',
  'PT409 RBAC_LAST_ADMINISTRATOR',
  $$ select remove_member(tests.acme(), tests.user_id('admin@acme.test')) $$);
select tests.act_as_owner();
select results_eq(
  $$ select event_type, actor_id, count(*) from audit_logs
     where organization_id = tests.acme() and resource_type = 'bulwark.user_roles'
       and event_type = 'authz.role_removed' and xid = pg_current_xact_id()
       and before ->> 'user_id' = tests.user_id('analyst@acme.test')::text
     group by 1, 2 $$,
  $$ values ('authz.role_removed', tests.user_id('admin@acme.test'), 2::bigint) $$,
  'MEM-50: each role that ends is an entry with who ended it'
);

-- leaving
select tests.act_as('admin@acme.test');
select tests.error_is('MEM-51: the last administrator does not leave',
  'PT409 RBAC_LAST_ADMINISTRATOR', $$ select leave_organization(tests.acme()) $$);
select tests.error_is('MEM-52: nobody leaves where they are no member', '42501 RBAC_NOT_A_MEMBER',
  $$ select leave_organization(tests.globex()) $$);
select tests.error_is('MEM-53: a missing organization is the same answer',
  '42501 RBAC_NOT_A_MEMBER', $$ select leave_organization(gen_random_uuid()) $$);
select tests.act_as('viewer@acme.test');
select leave_organization(tests.acme());
select is_empty($$ select * from member_organizations() $$, 'MEM-54: anybody else leaves');
select tests.act_as_role('anon');
select tests.error_is('MEM-55: without a user nobody asks', '42501',
  $$ select bulwark.list_members(gen_random_uuid()) $$);
select tests.act_as_role('service_role');
select is(
  (select count(*) from list_members(tests.globex())), 4::bigint,
  'MEM-56: the service role lists every organization'
);

select * from finish();
rollback;
