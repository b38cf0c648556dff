-- Membership: who is a member right now, asked in one place, and what a grant outside its time
-- still tells or opens: nothing.
begin;
set local search_path = bulwark, public, extensions;
select plan(19);
select tests.create_organizations();
-- Members of globex. In acme the role of one is over, of one it begins tomorrow, one is banned.
select tests.create_user(name || '@both.test')
from unnest(array['former', 'waiting', 'banned', 'member']) as name;
select bulwark.grant_role(tests.user_id(n || '@both.test'), 'viewer', o.id)
from unnest(array['former', 'waiting', 'banned', 'member']) as n, bulwark.organizations o
where o.slug in ('acme', 'globex');
update bulwark.user_roles
set starts_at = now() - interval '2 days', expires_at = now() - interval '1 day'
where user_id = tests.user_id('former@both.test')
  and organization_id = tests.acme();
update bulwark.user_roles set starts_at = now() + interval '1 day'
where user_id = tests.user_id('waiting@both.test')
  and organization_id = tests.acme();
update auth.users set banned_until = now() + interval '1 day' where email = 'banned@both.test';

create function pg_temp.told(event text, email text) returns setof text language sql as $$
  select distinct o.slug from bulwark.audit_logs e
  join bulwark.organizations o on o.id = e.organization_id
  where e.event_type = event and concat(e.actor_id, e.resource_id) ~ tests.user_id(email)::text
  order by 1;
$$;
-- the definition
select results_eq(
  $$ select person, bulwark_private.is_member(tests.user_id(person || '@both.test'), o.id)
     from unnest(array['former', 'waiting', 'banned', 'member'])
       with ordinality as people (person, place),
       bulwark.organizations o
     where o.slug = 'acme' order by place $$,
  $$ values ('former', false), ('waiting', false), ('banned', false), ('member', true) $$,
  'MEMB-01: a member holds a role that has begun and not ended, of an account in force'
);
select results_eq(
  $$ select person, array(
       select o.slug::text from bulwark.organizations o
       where o.id in (
         select bulwark_private.organizations_of(tests.user_id(person || '@both.test'))
       )
       order by 1)
     from unnest(array['former', 'waiting', 'banned', 'member'])
       with ordinality as people (person, place)
     order by place $$,
  $$ values ('former', array['globex']), ('waiting', array['globex']), ('banned', array[]::text[]),
       ('member', array['acme', 'globex']) $$,
  'MEMB-02: and the organizations of a user are those'
);

-- events of an account are recorded in its organizations only
insert into auth.sessions (id, user_id, aal)
select gen_random_uuid(), u.id, 'aal1' from auth.users u where u.email like '%@both.test';
select results_eq(
  $$ select pg_temp.told('auth.login', 'former@both.test') $$, array['globex'],
  'MEMB-03: an organization hears of no sign-in of a former member'
);
select results_eq(
  $$ select pg_temp.told('auth.login', 'member@both.test') $$, array['acme', 'globex'],
  'MEMB-04: of a member''s it does'
);
update auth.users set encrypted_password = 'changed', email = 'new-' || email
where email in ('former@both.test', 'member@both.test');
update auth.users set email = replace(email, 'new-', '') where email like 'new-%';
select results_eq(
  $$ select pg_temp.told('auth.password_changed', 'former@both.test') $$, array['globex'],
  'MEMB-05: nor of a changed password'
);
select results_eq(
  $$ select pg_temp.told('data.update', 'former@both.test') $$, array['globex'],
  'MEMB-06: nor of a new address'
);
select results_eq(
  $$ select pg_temp.told('data.update', 'member@both.test') $$, array['acme', 'globex'],
  'MEMB-06: of a member''s it does'
);
select results_eq(
  $$ select pg_temp.told('data.update', 'banned@both.test') $$, array['acme', 'globex'],
  'MEMB-07: the ban that ends a membership is told where it ends'
);
select bulwark.raise_security_event(
  'brute_force', null, tests.user_id(name || '@both.test'), ''
)
from unnest(array['former', 'waiting', 'banned', 'member']) as name;
select results_eq(
  $$ select u.email::text, o.slug from bulwark.security_events e
     join auth.users u on u.id = e.user_id
     join bulwark.organizations o on o.id = e.organization_id
     where e.event_type = 'brute_force' order by 1, 2 $$,
  $$ values ('former@both.test', 'globex'), ('member@both.test', 'acme'),
       ('member@both.test', 'globex'), ('waiting@both.test', 'globex') $$,
  'MEMB-09: a security event about an account is raised in its organizations alone'
);

-- asking about people
select bulwark.grant_role(tests.user_id('former@both.test'), 'super_admin');
select tests.act_as('admin@acme.test');
select tests.error_is('MEMB-10: a former member''s rights are not to be learnt',
  '42501 RBAC_USER_NOT_VISIBLE',
  $$ select user_has_permission(tests.user_id('former@both.test'), 'org:read', tests.acme()) $$);
select results_eq(
  $$ select role, active from get_user_roles(
       tests.user_id('former@both.test'), tests.acme()) $$,
  $$ values ('viewer', false) $$,
  'MEMB-11: the organization''s own grant is, as one that is over'
);
select results_eq(
  $$ select allowed, reason, role from explain_permission(
       tests.user_id('former@both.test'), 'org:read', tests.acme()) $$,
  $$ values (false, 'expired', 'viewer') $$,
  'MEMB-12: an explanation does not tell that a former member is super_admin'
);
select tests.error_is('MEMB-13: a banned member stays visible', 'no error',
  $$ select user_has_permission(tests.user_id('banned@both.test'), 'org:read', tests.acme()) $$);
select tests.error_is('MEMB-14: a former member is not made one unasked', '42501 RBAC_NOT_A_MEMBER',
  $$ select grant_role(tests.user_id('former@both.test'), 'viewer', tests.acme()) $$);
select tests.error_is('MEMB-15: whose role begins tomorrow has agreed', 'no error',
  $$ select grant_role(tests.user_id('waiting@both.test'), 'viewer', tests.acme()) $$);
select tests.act_as_owner();
select bulwark.revoke_role(tests.user_id('former@both.test'), 'super_admin');
update bulwark.user_roles set starts_at = now() + interval '1 day'
where user_id = tests.user_id('waiting@both.test')
  and organization_id = tests.acme();

-- grants that are no membership
select is(
  bulwark_private.is_member(
    tests.user_id('super@bulwark.test'), tests.acme()
  ), false,
  'MEMB-22: a super_admin acts in every organization and is a member of none'
);
select is(
  bulwark_private.is_member(null, tests.acme()), false, 'MEMB-23: nobody is none'
);
select is(
  bulwark_private.is_member(tests.user_id('member@both.test'), null), false,
  'MEMB-23: there is no membership of no organization'
);
delete from bulwark.organizations where slug = 'acme';
select is_empty(
  $$ select bulwark_private.organizations_of(tests.user_id('member@both.test'))
     except select o.id from bulwark.organizations o $$,
  'MEMB-24: of an organization that is gone nobody is a member'
);
select * from finish();
rollback;
