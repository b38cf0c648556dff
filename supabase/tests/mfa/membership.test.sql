-- Membership and MFA: an organization decides about the second factors of its members only.
begin;
set local search_path = bulwark, public, extensions;
select plan(10);
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

select tests.add_factor(u.email), tests.verify_session(u.email) from auth.users u;

create function pg_temp.told(event text, email text) returns setof text language sql as $$
  select distinct o.slug from bulwark.audit_logs e
  join bulwark.organizations o on o.id = e.organization_id
  where e.event_type = event and concat(e.actor_id, e.resource_id) ~ tests.user_id(email)::text
  order by 1;
$$;
create function pg_temp.request(victim text, slug text) returns text language sql as $$
  select tests.error(format(
    $q$ select bulwark.request_mfa_reset(%L, 'lost the phone', %L) $q$,
    tests.user_id(victim), tests.organization_id(slug)
  ));
$$;

-- uses
select bulwark_private.record_mfa(
  'auth.mfa_verified', 'verify', tests.user_id('former@both.test'), gen_random_uuid()
);
select results_eq(
  $$ select pg_temp.told('auth.mfa_verified', 'former@both.test') $$, array['globex'],
  'MEMB-08: an organization hears of no use of the second factor of a former member'
);

-- resets
select tests.act_as('admin@acme.test');
select is(
  pg_temp.request('former@both.test', 'acme'), '42501 RBAC_NOT_A_MEMBER',
  'MEMB-16: the organization of a former member resets no factor'
);
select is(
  pg_temp.request('waiting@both.test', 'acme'), '42501 RBAC_NOT_A_MEMBER',
  'MEMB-17: nor one that has yet to become theirs'
);
select tests.act_as_owner();
insert into bulwark.mfa_policies (organization_id, required_from, reset_needs_approval)
values (tests.acme(), now(), true);
select tests.act_as('admin@globex.test');
select is(pg_temp.request('waiting@both.test', 'globex'), 'no error', 'MEMB-18: globex asks');
select is(pg_temp.request('former@both.test', 'globex'), 'no error', 'MEMB-18: and for the other');
select tests.act_as_owner();
select ok(
  (select completed_at is null from bulwark.mfa_resets
   where user_id = tests.user_id('waiting@both.test')),
  'MEMB-19: a reset waits for the organization whose member the user becomes tomorrow'
);
select ok(
  (select completed_at is not null from bulwark.mfa_resets
   where user_id = tests.user_id('former@both.test')),
  'MEMB-20: not for one whose member the user was'
);
-- One that was asked for while the user was a member.
select tests.create_user('second@acme.test');
select bulwark.grant_role(tests.user_id('second@acme.test'), 'admin', tests.acme());
select tests.add_factor('second@acme.test'), tests.verify_session('second@acme.test');
select tests.act_as('admin@acme.test');
select is(pg_temp.request('viewer@acme.test', 'acme'), 'no error', 'MEMB-21: asked in time');
select tests.act_as_owner();
update bulwark.user_roles
set starts_at = now() - interval '2 days', expires_at = now() - interval '1 day'
where user_id = tests.user_id('viewer@acme.test');
select tests.act_as('second@acme.test');
select tests.error_is('MEMB-21: but consented to when it was over', '42501 RBAC_NOT_A_MEMBER',
  $$ select bulwark.approve_mfa_reset(r.id) from bulwark.mfa_resets r where r.user_id =
    tests.user_id('viewer@acme.test') $$);
select tests.act_as_owner();
select ok(
  exists (select from bulwark.mfa_secrets f where f.user_id = tests.user_id('viewer@acme.test')),
  'MEMB-21: the factor is there'
);

select * from finish();
rollback;
