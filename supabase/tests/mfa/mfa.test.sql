-- MFA: which session counts as verified, and what an organization that requires it withholds.
begin;
set local search_path = bulwark, public, extensions;
select plan(69);
select tests.create_organizations();
-- The admin of acme is a viewer in globex, and signed in twice.
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'viewer', tests.globex());
create temporary table session as
  select name, tests.create_session(email) as id, email
  from (values
    ('admin', 'admin@acme.test'), ('other', 'admin@acme.test'), ('viewer', 'viewer@acme.test'),
    ('super', 'super@bulwark.test'), ('stranger', 'stranger@bulwark.test'),
    ('globex', 'admin@globex.test')
  ) as s (name, email);
grant select on session to public;

create function pg_temp.verify(name text, age interval default '0') returns void language sql as $$
  select tests.verify_session(s.email, age, s.id) from session s where s.name = verify.name;
$$;
create function pg_temp.sees(permission text) returns text[] language sql as $$
  select coalesce(array_agg(distinct o.slug order by o.slug), '{}')
  from bulwark.organizations_with(sees.permission) as held
  join bulwark.organizations o on o.id = held;
$$;

create function tests.passes() returns boolean language sql security definer as $$
  select bulwark_private.session_passes_mfa();
$$;
create function pg_temp.passes_as(role text) returns boolean language plpgsql as $$
declare
  v_passes boolean;
begin
  perform tests.act_as('admin@acme.test', role);
  v_passes := tests.passes();
  perform tests.act_as_owner();
  return v_passes;
end;
$$;

-- a session that verified a factor
select tests.add_factor('admin@acme.test');
select pg_temp.verify('admin', '5 minutes');
select tests.act_in_session('admin');
select ok(
  bulwark.mfa_verified('10 minutes'), 'MFA-01: a session that verified a factor is verified'
);
select ok(not bulwark.mfa_verified('4 minutes'), 'MFA-01: and no longer than asked for');
select ok(not bulwark.mfa_verified(null), 'MFA-01: without an age nothing is fresh');
select ok(not bulwark.mfa_verified('-1 minute'), 'MFA-01: a negative age is none');
select tests.act_in_session('other');
select ok(
  not bulwark.mfa_verified('10 minutes'), 'MFA-02: another session of the same user is not verified'
);
select tests.act_in('admin@acme.test', null);
select ok(
  not bulwark.mfa_verified('10 minutes'), 'MFA-02: a token without a session is never verified'
);
select tests.act_in('viewer@acme.test', (select id from session where name = 'admin'));
select ok(
  not bulwark.mfa_verified('10 minutes'), 'MFA-02: another user gains nothing by naming the session'
);
select tests.act_as('admin@acme.test');
select set_config('request.jwt.claims', (
  current_setting('request.jwt.claims')::jsonb || '{"session_id": "x''y", "aal": "aal2"}'
)::text, true);
select ok(
  not bulwark.mfa_verified('10 minutes'),
  'MFA-02: neither a session that is no id nor the claim aal verifies anything'
);
select tests.act_as_owner();
update auth.sessions set not_after = now() - interval '1 second'
  where id = (select id from session where name = 'admin');
select tests.act_in_session('admin');
select ok(not bulwark.mfa_verified('10 minutes'), 'MFA-03: a session past its end is not verified');
select tests.act_as_owner();
update auth.sessions set not_after = null
  where id = (select id from session where name = 'admin');
savepoint signed_in;
delete from auth.sessions where id = (select id from session where name = 'admin');
select tests.act_in_session('admin');
select ok(
  not bulwark.mfa_verified('10 minutes'),
  'MFA-03: signing out ends it, whatever token is still around'
);
select tests.act_as_owner();
select is_empty(
  $$ select from bulwark_private.mfa_sessions $$, 'MFA-03: and takes the row of the session along'
);
rollback to savepoint signed_in;

-- an organization that requires MFA
select bulwark.set_mfa_policy(tests.acme(), true);
select tests.act_in_session('other');
select is(
  pg_temp.sees('settings:read'), '{globex}',
  'MFA-04: organizations_with leaves out the organization that requires MFA, and no other'
);
select ok(
  not bulwark.has_permission('analytics:read', tests.acme()),
  'MFA-04: has_permission says no there'
);
select ok(
  bulwark.has_permission('analytics:read', tests.globex()),
  'MFA-04: and yes elsewhere'
);
select is(
  (select array_agg(allowed order by permission)
   from bulwark.check_permissions('{audit:read, role:grant}', tests.acme())),
  '{f, f}', 'MFA-04: check_permissions says no'
);
select tests.error_is('MFA-05: require_permission names the reason', '42501 MFA_REQUIRED',
  format($$ select bulwark.require_permission('audit:read', %L) $$, tests.acme()));
select tests.error_is('MFA-05: but not for what one would not have anyway',
  '42501 RBAC_PERMISSION_DENIED',
  format($$ select bulwark.require_permission('system:admin', %L) $$, tests.acme()));
select results_eq(
  format(
    $$ select distinct allowed, reason from bulwark.explain_permission(%L, 'audit:read', %L) $$,
    tests.user_id('admin@acme.test'), tests.acme()
  ),
  $$ values (false, 'mfa_required') $$, 'MFA-05: explain_permission names the reason'
);
select ok(
  bulwark.user_has_permission(
    tests.user_id('admin@acme.test'), 'audit:read', tests.acme()
  ),
  'MFA-05: user_has_permission states what one is entitled to'
);
select ok(
  bulwark.mfa_required(tests.acme())
    and not bulwark.mfa_required(tests.globex()),
  'MFA-05: mfa_required says where something has to be proven'
);
select tests.error_is('MFA-05: no right is given by a session that is not verified',
  '42501 MFA_REQUIRED',
  format($$ select bulwark.grant_role(%L, 'analyst', %L) $$, tests.user_id('viewer@acme.test'),
    tests.acme()));
select tests.error_is('MFA-05: and others'' rights are not looked up by one',
  '42501 RBAC_USER_NOT_VISIBLE',
  format(
    $$ select bulwark.user_has_permission(%L, 'audit:read', %L) $$,
    tests.user_id('viewer@acme.test'), tests.acme()
  ));
-- reads without a verification
select results_eq(
  $$ select slug from bulwark.organizations order by slug $$, $$ values ('acme'), ('globex') $$,
  'MFA-06: one''s own membership stays readable'
);
select isnt_empty(
  $$ select from bulwark.user_roles where user_id = auth.uid() $$,
  'MFA-06: and one''s own grants'
);
select results_eq(
  $$ select required_from <= now() from bulwark.mfa_policies $$, $$ values (true) $$,
  'MFA-06: and the policy that withholds the rest'
);
select isnt_empty($$ select from bulwark.mfa_status() $$, 'MFA-06: and one''s status');
select tests.act_in_session('viewer');
select isnt_empty(
  $$ select from bulwark.begin_mfa_enrolment() $$, 'MFA-06: and enrolment'
);
select tests.act_in_session('stranger');
select is_empty(
  $$ select from bulwark.mfa_policies $$, 'MFA-06: strangers do not read the policy'
);
select ok(
  not bulwark.mfa_required(tests.acme()), 'MFA-06: nor learn that there is one'
);
-- verified
select tests.act_in_session('admin');
select is(
  pg_temp.sees('settings:read'), '{acme, globex}', 'MFA-07: a verified session sees both'
);
select ok(
  bulwark.has_permission('audit:read', tests.acme())
    and not bulwark.mfa_required(tests.acme()),
  'MFA-07: and may what its user may'
);
-- a trusted device
select tests.act_as_owner();
insert into bulwark_private.mfa_trusted_devices (id, user_id, name, token_hash, expires_at)
values ('00000000-0000-4000-8000-0000000000dd', tests.user_id('admin@acme.test'), 'laptop', '\x01',
  now() + interval '1 day');
insert into bulwark_private.mfa_sessions (session_id, user_id, trusted_device_id)
select id, tests.user_id(email), '00000000-0000-4000-8000-0000000000dd'
from session where name = 'other';
select tests.act_in_session('other');
select ok(
  bulwark.has_permission('audit:read', tests.acme()),
  'MFA-08: a trusted device satisfies the organization'
);
select ok(not bulwark.mfa_verified('30 days'), 'MFA-08: but is never fresh');
select tests.act_as_owner();
savepoint trusted;
update bulwark_private.mfa_trusted_devices set expires_at = now();
select tests.act_in_session('other');
select ok(
  not bulwark.has_permission('audit:read', tests.acme()),
  'MFA-08: nor trusted any longer than agreed, also in a session that it opened before'
);
rollback to savepoint trusted;
select tests.act_in_session('other');
select tests.error_is('MFA-08: nor does one trusted device make another',
  '42501 MFA_VERIFICATION_REQUIRED', $$ select bulwark.trust_device('another') $$);
select is(bulwark.revoke_trusted_device(), 1::bigint, 'MFA-08: it can be revoked');
select ok(
  not bulwark.has_permission('audit:read', tests.acme()),
  'MFA-08: and what it opened closes at once'
);
-- programs
select tests.act_as_role('service_role');
select lives_ok(
  format(
    $$ select bulwark.set_mfa_policy(%L, true, '0', true) $$, tests.acme()
  ),
  'MFA-09: the service role is no session of a person'
);
select tests.act_as_owner();
select ok(
  not pg_temp.passes_as('api_key'),
  'MFA-09: an API key has proven nothing, also where its token names a person'
);
select ok(not pg_temp.passes_as('authenticated'), 'MFA-09: its user, signed in, is one');
-- the grace period, and loosening
select bulwark.set_mfa_policy(tests.globex(), true, '7 days');
select tests.act_in_session('globex');
select ok(
  bulwark.has_permission('audit:read', tests.globex()),
  'MFA-10: within the grace period nothing is withheld'
);
select tests.error_is(
  'MFA-10: asking for less needs a second factor, also before the grace period ends',
  '42501 MFA_VERIFICATION_REQUIRED',
  format($$ select bulwark.set_mfa_policy(%L, false) $$, tests.globex()));
select is(
  (select p.required_from from bulwark.set_mfa_policy(tests.globex(), true) p),
  now() + interval '7 days', 'MFA-10: without a grace period it keeps its date'
);
select lives_ok(
  format($$ select bulwark.set_mfa_policy(%L, true, '0') $$, tests.globex()),
  'MFA-10: asking for more does not'
);
select ok(
  not bulwark.has_permission('audit:read', tests.globex()),
  'MFA-10: and counts at once'
);
select tests.error_is('MFA-10: a grace period has up to 90 days', '22023 MFA_INVALID_GRACE_PERIOD',
  format($$ select bulwark.set_mfa_policy(%L, true, '91 days') $$, tests.globex()));
select tests.error_is('MFA-10: however it is written', '22023 MFA_INVALID_GRACE_PERIOD',
  format($$ select bulwark.set_mfa_policy(%L, true, '1200 mons -35970 days') $$, tests.globex()));
select tests.error_is('MFA-10: null is no policy', '22004 MFA_NULL_ARGUMENT',
  format($$ select bulwark.set_mfa_policy(%L, null) $$, tests.globex()));
select tests.act_in_session('admin');
select tests.error_is('MFA-10: a viewer sets no policy, verified or not',
  '42501 RBAC_PERMISSION_DENIED',
  format($$ select bulwark.set_mfa_policy(%L, false) $$, tests.globex()));
select lives_ok(
  format(
    $$ select bulwark.set_mfa_policy(%L, false) $$, tests.acme()
  ),
  'MFA-10: an administrator who just verified may loosen it'
);
select tests.act_as_owner();
select isnt_empty(
  $$ select from bulwark.security_events where event_type = 'mfa_policy_weakened' $$,
  'MFA-10: which is a security event'
);
-- the installation's own policy
select tests.act_in_session('super');
select ok(bulwark.is_super_admin(), 'MFA-11: a super_admin acts without a factor by default');
select tests.act_as_owner();
select bulwark.set_mfa_policy(tests.acme(), true);
select bulwark.set_mfa_policy(tests.globex(), false);
select tests.act_in_session('super');
select tests.error_is('MFA-11: but not inside an organization that requires one',
  '42501 RBAC_USER_NOT_VISIBLE',
  format('select bulwark.get_user_roles(%L, %L)', tests.user_id('viewer@acme.test'), tests.acme()));
select isnt_empty(
  format(
    'select bulwark.get_user_roles(%L, %L)', tests.user_id('admin@globex.test'),
    tests.globex()
  ),
  'MFA-11: elsewhere it does'
);
select tests.act_as_owner();
select bulwark.set_mfa_policy(tests.acme(), false);
select bulwark.set_mfa_policy(null, true);
select tests.act_in_session('super');
select ok(
  not bulwark.is_super_admin() and not bulwark.has_permission('system:admin')
    and pg_temp.sees('org:read') = '{}',
  'MFA-11: where the installation requires it, only with one'
);
select tests.act_as_owner();
select tests.add_factor('super@bulwark.test');
select pg_temp.verify('super');
select tests.act_in_session('super');
select ok(
  bulwark.is_super_admin() and bulwark.has_permission('system:admin')
    and pg_temp.sees('org:read') @> '{acme, globex}',
  'MFA-11: and then everywhere'
);
-- factors of Supabase Auth's own, in both shapes that its schema has
select tests.act_as_owner();
select bulwark.read_native_mfa(null, null);
update auth.sessions set aal = 'aal2' where id in (
  select id from session where name in ('globex', 'admin')
);
select tests.act_in_session('globex');
select ok(
  not bulwark.mfa_verified('10 minutes'),
  'MFA-12: without a record of when, a native factor verifies nothing'
);
select tests.act_as_owner();
create table tests.mfa_amr_claims (
  id uuid primary key default gen_random_uuid(), session_id uuid not null,
  created_at timestamptz not null, updated_at timestamptz not null,
  authentication_method text not null
);
create table tests.mfa_factors (id uuid primary key, user_id uuid not null, status text not null);
insert into tests.mfa_factors
select gen_random_uuid(), tests.user_id(email), 'verified'
from (values ('admin@globex.test'), ('admin@acme.test')) as v (email);
insert into tests.mfa_amr_claims (session_id, created_at, updated_at, authentication_method)
select s.id, now() - interval '1 hour', now() - m.age, m.name
from session s
cross join (
  values ('totp', interval '5 minutes'), ('password', interval '1 minute')
) as m (name, age)
where s.name in ('globex', 'admin');
select bulwark.read_native_mfa('tests.mfa_amr_claims', 'tests.mfa_factors');
select tests.act_in_session('globex');
select ok(
  bulwark.mfa_verified('6 minutes') and not bulwark.mfa_verified('4 minutes'),
  'MFA-12: a native factor counts from when it was verified, a password does not'
);
select ok(
  bulwark.has_permission('audit:read', tests.globex()),
  'MFA-12: and satisfies an organization'
);
select tests.act_as_owner();
create function pg_temp.counts() returns boolean language plpgsql as $$
begin
  perform tests.act_in_session('globex');
  return bulwark.mfa_verified('6 minutes');
end;
$$;
savepoint with_factor;
update auth.sessions set factor_id = f.id
from tests.mfa_factors f
where f.user_id = tests.user_id('admin@globex.test')
  and sessions.id = (select id from session where name = 'globex');
select ok(pg_temp.counts(), 'MFA-40: a session counts while the factor that verified it exists');
select tests.act_as_owner();
update tests.mfa_factors set status = 'unverified';
select ok(not pg_temp.counts(), 'MFA-40: and is verified itself');
select tests.act_as_owner();
update tests.mfa_factors set id = gen_random_uuid(), status = 'verified';
select ok(not pg_temp.counts(), 'MFA-40: another factor of the account does not stand in for it');
rollback to savepoint with_factor;
delete from tests.mfa_factors where user_id = tests.user_id('admin@globex.test');
select ok(
  not pg_temp.counts(), 'MFA-40: where Auth does not say which, the account has at least one'
);
select tests.act_as_owner();
rollback to savepoint with_factor;
delete from bulwark_private.mfa_sessions where session_id = (
  select id from session where name = 'admin'
);
select tests.act_in_session('admin');
select ok(
  not bulwark.mfa_verified('10 minutes'),
  'MFA-12: a native factor does not verify an account with a factor of Bulwark'
);
select tests.act_as_owner();
insert into tests.mfa_factors values
  (gen_random_uuid(), tests.user_id('viewer@acme.test'), 'verified');
select tests.act_in_session('viewer');
select tests.error_is(
  'MFA-12: with a native factor, a first one of Bulwark''s needs it to be verified',
  '42501 MFA_VERIFICATION_REQUIRED', $$ select bulwark.begin_mfa_enrolment() $$);
select tests.act_as_owner();
select bulwark.read_native_mfa();

-- secrets stay unreadable
select is(
  tests.error_as('admin@acme.test', 'authenticated', $$ select secret from bulwark.mfa_secrets $$),
  '42501', 'MFA-13: a client reads no secret'
);
select is(
  tests.error_as('admin@acme.test', 'service_role', $$ select secret from bulwark.mfa_secrets $$),
  '42501', 'MFA-13: nor does the service role'
);

-- where tokens without a session are accepted
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'sessions.accept_tokens_without_session';
select set_config('request.jwt.claims', jsonb_build_object(
  'sub', tests.user_id('admin@globex.test'), 'role', 'authenticated'
)::text, true), set_config('role', 'authenticated', true);
select is(
  tests.error($$ select bulwark.begin_mfa_attempt('verify') $$), '42501 MFA_SESSION_REQUIRED',
  'SES-16: a second factor is proven to a session, so it needs one'
);
select tests.act_as_owner();

-- settings
select is(
  (select array_agg(
     bulwark_private.schema_accepts(r.accepts, to_jsonb(v.issuer)) order by v.place
   )
   from bulwark_private.setting_rules r
   cross join unnest(array[
     'Acme', 'Café Ünïcode, Inc.', ' Acme', '✓', repeat('a', 64),
     '', ' ', E'\u00a0\u2003', E'\u200b', 'a:b', E'a\nb', repeat('a', 65)
   ]) with ordinality as v (issuer, place)
   where r.name = 'mfa.issuer'),
  '{t,t,t,t,t,f,f,f,f,f,f,f}', 'MFA-41: an issuer can be seen, and fits into a URI'
);
select * from finish();
rollback;
