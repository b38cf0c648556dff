-- Events beside those of audited tables: reported with log_audit_event, or seen on the auth schema.
begin;
set local search_path = bulwark, public, extensions;
select plan(42);
select tests.create_organizations();

create temporary view mine as
  select e.* from bulwark.audit_logs e where e.action like 'test-%';
create function pg_temp.log(arguments text)
  returns text
  language sql
as $$ select tests.error('select log_audit_event(' || arguments || ')'); $$;

-- acting as the analyst of acme
select tests.act_as('analyst@acme.test');
select is(
  pg_temp.log($$ 'data.read', 'test-read', tests.acme(), 'public.reports', '7',
    details => '{"rows": 3}' $$),
  'no error', 'AUE-01: a member reports an act of their own'
);
select is(
  pg_temp.log($$ 'data.update', 'test-x', tests.acme() $$),
  '42501 AUDIT_EVENT_NOT_REPORTABLE', 'AUE-02: what triggers see is not reported by clients'
);
select is(
  pg_temp.log($$ 'security.breach_attempt' $$), '42501 AUDIT_EVENT_NOT_REPORTABLE',
  'AUE-03: nothing in security'
);
select is(
  pg_temp.log($$ 'system.error' $$), '42501 AUDIT_EVENT_NOT_REPORTABLE', 'AUE-04: nothing in system'
);
select is(
  pg_temp.log($$ 'auth.login' $$), '42501 AUDIT_EVENT_NOT_REPORTABLE', 'AUE-05: nothing in auth'
);
select is(
  pg_temp.log($$ 'authz.role_assigned' $$), '42501 AUDIT_EVENT_NOT_REPORTABLE',
  'AUE-06: nothing in authz'
);
select is(
  pg_temp.log($$ 'data.read', actor_id => tests.user_id('admin@acme.test') $$),
  '42501 AUDIT_ACTOR_NOT_YOU', 'AUE-07: nobody reports as somebody else'
);
select is(
  pg_temp.log($$ 'data.read', 'test-self', actor_id => auth.uid() $$), 'no error',
  'AUE-08: naming oneself is fine'
);
select is(
  pg_temp.log($$ 'data.read', organization_id => tests.globex() $$),
  '42501 AUDIT_NOT_A_MEMBER', 'AUE-09: nobody reports into a foreign organization'
);
select is(
  pg_temp.log($$ 'data.read', organization_id => gen_random_uuid() $$),
  '42501 AUDIT_NOT_A_MEMBER', 'AUE-10: nor into one that does not exist, with the same answer'
);
select is(
  pg_temp.log($$ 'data.read', severity => 'critical' $$), '42501 AUDIT_SEVERITY_NOT_REPORTABLE',
  'AUE-11: a client cannot make an entry that retention keeps for ever'
);
select is(
  pg_temp.log($$ 'data.raed' $$), '22023 AUDIT_UNKNOWN_EVENT_TYPE', 'AUE-12: a typo is an error'
);
select is(pg_temp.log('null'), '22004 AUDIT_NULL_ARGUMENT', 'AUE-13: a null type is an error');
select is(
  pg_temp.log($$ 'data.read', details => '[1]' $$), '22023 AUDIT_INVALID_DETAILS',
  'AUE-14: details are an object'
);
select is(
  pg_temp.log($$ 'data.read', details => jsonb_build_object('x', repeat('y', 16385)) $$),
  'PT413 AUDIT_DETAILS_TOO_LARGE', 'AUE-15: details have a limit'
);
select is(got, want, claim)
from (values
  ('AUE-16: broken JSON is an error', pg_temp.log($$ 'data.read', details => '{"x": ' $$), '22P02'),
  ('AUE-17: a NUL character is an error',
   pg_temp.log($$ 'data.read', details => '{"x": "\u0000"}' $$), '22P05'),
  ('AUE-18: invalid UTF-8 is an error',
   pg_temp.log($$ 'data.read', convert_from('\xff', 'UTF8') $$), '22021'),
  ('AUE-19: a control character is an error',
   pg_temp.log($$ 'data.read', E'two\nlines' $$), '22023 AUDIT_INVALID_TEXT'),
  ('AUE-20: text has a limit',
   pg_temp.log($$ 'data.read', repeat('x', 257) $$), '22023 AUDIT_INVALID_TEXT'),
  ('AUE-21: a parent exists',
   pg_temp.log($$ 'data.read', parent_id => gen_random_uuid() $$), 'PT404 AUDIT_UNKNOWN_ENTRY')
) as t (claim, got, want);

-- acting as a stranger, and as nobody
select tests.act_as('stranger@bulwark.test');
select is(
  pg_temp.log($$ 'data.read', organization_id => tests.acme() $$),
  '42501 AUDIT_NOT_A_MEMBER', 'AUE-22: a stranger reports into no organization'
);
select is(pg_temp.log($$ 'data.read', 'test-alone' $$), 'no error', 'AUE-23: but for himself');
select is(
  tests.error_as('admin@acme.test', 'anon', $$ select bulwark.log_audit_event('data.read') $$),
  '42501', 'AUE-24: anon reports nothing'
);
select tests.act_as_owner();
select results_eq(
  $$ select action, source::text, actor_type::text, actor_id, organization_id, severity::text
     from mine order by id $$,
  $$ values
    ('test-read', 'client', 'user', tests.user_id('analyst@acme.test'),
      tests.acme(), 'info'),
    ('test-self', 'client', 'user', tests.user_id('analyst@acme.test'), null, 'info'),
    ('test-alone', 'client', 'user', tests.user_id('stranger@bulwark.test'), null, 'info') $$,
  'AUE-25: an entry says that a client reported it, and which'
);

-- acting as the service role
select tests.act_as_role('service_role');
select is(
  pg_temp.log($$ 'security.breach_attempt', 'test-service', tests.acme(),
    severity => 'error', result => 'failure', actor_id => tests.user_id('viewer@acme.test') $$),
  'no error', 'AUE-26: the service role reports anything, on behalf of anybody'
);
select is(
  pg_temp.log($$ 'api.nonsense' $$), '22023 AUDIT_UNKNOWN_EVENT_TYPE',
  'AUE-27: but no unknown type'
);
select tests.act_as_owner();
select ok(
  (select source = 'service' and severity = 'error' and result = 'failure' and actor_type = 'user'
     and actor_id = tests.user_id('viewer@acme.test')
   from mine where action = 'test-service'),
  'AUE-28: and its entry says that the service did'
);

-- the auth schema
create temporary view auth_entries as
  select e.* from bulwark.audit_logs e where e.source = 'auth';
insert into auth.sessions (id, user_id, aal, ip, user_agent)
values (
  '00000000-0000-4000-8000-00000000aaaa', tests.user_id('analyst@acme.test'), 'aal1',
  '198.51.100.4', 'Browser'
);
select results_eq(
  $$ select organization_id, actor_id, session_id, ip, user_agent, parent_id is null
     from auth_entries where event_type = 'auth.login' order by id $$,
  $$ values
    (null::uuid, tests.user_id('analyst@acme.test'), '00000000-0000-4000-8000-00000000aaaa'::uuid,
      '198.51.100.4', 'Browser', true),
    (tests.acme(), tests.user_id('analyst@acme.test'),
      '00000000-0000-4000-8000-00000000aaaa'::uuid, '198.51.100.4', 'Browser', false) $$,
  'AUE-29: a sign-in is an entry, and under it one in each organization of the user'
);
update auth.sessions set aal = 'aal2' where id = '00000000-0000-4000-8000-00000000aaaa';
update auth.sessions set updated_at = now() where id = '00000000-0000-4000-8000-00000000aaaa';
select is(
  (select count(*)::int from auth_entries where event_type = 'auth.mfa_verified'), 2,
  'AUE-30: a session that reaches the second level is an event, a refresh is none'
);
delete from auth.sessions where id = '00000000-0000-4000-8000-00000000aaaa';
select is(
  (select count(*)::int from auth_entries where event_type = 'auth.logout'), 2,
  'AUE-31: a session that ends is an event'
);
update auth.users set encrypted_password = 'secret-hash' where email = 'analyst@acme.test';
select is(
  (select count(*)::int from auth_entries where event_type = 'auth.password_changed'
     and resource_id = tests.user_id('analyst@acme.test')::text and actor_id is null),
  2, 'AUE-32: a password that changes is an event, without a guess at who changed it'
);
update auth.users set recovery_sent_at = now() where email = 'analyst@acme.test';
select is(
  (select count(*)::int from auth_entries where event_type = 'auth.password_reset'), 2,
  'AUE-33: a reset that is asked for is an event'
);
update auth.users set banned_until = 'infinity' where email = 'analyst@acme.test';
select is(
  (select distinct after::text from auth_entries where after ? 'banned_until'),
  '{"banned_until": "infinity"}', 'AUE-34: a ban is an event, with what changed'
);
update auth.users set last_sign_in_at = now() where email = 'analyst@acme.test';
select is(
  (select count(*)::int from auth_entries where event_type = 'data.update'), 2,
  'AUE-35: other changes of an account are none'
);
select is_empty(
  $$ select from audit_logs e where concat(e.before, e.after, e.details) ~ 'secret-hash' $$,
  'AUE-36: no entry holds a password hash'
);
delete from auth.users where email = 'analyst@acme.test';
select is(
  (select count(*)::int from auth_entries
   where event_type = 'data.delete' and resource_type = 'auth.users'),
  2, 'AUE-37: an account that is deleted is an event in its organizations too'
);
select is((select count(*)::int from bulwark_private.audit_gaps), 0, 'AUE-38: nothing was missed');

-- an event that cannot be recorded
alter table bulwark.audit_event_types disable trigger user;
delete from bulwark.audit_event_types where name = 'auth.login';
select tests.error_is('AUE-39: a sign-in does not fail for the log''s sake', 'no error',
  $$ insert into auth.sessions (id, user_id)
     values ('00000000-0000-4000-8000-00000000bbbb', tests.user_id('viewer@acme.test')) $$);
select ok(
  exists (select from auth.sessions where id = '00000000-0000-4000-8000-00000000bbbb'),
  'AUE-40: the session is there'
);
select results_eq(
  $$ select source, reason from bulwark_private.audit_gaps $$,
  $$ values ('auth.sessions insert', '22023') $$,
  'AUE-41: and the gap is recorded, with the SQLSTATE only'
);
-- On a slow machine entries of the migrations are overdue by now, which is not tested here.
update bulwark.settings set value = '86400' where name = 'audit.seal_overdue_seconds';
select is(
  (select problem from verify_audit_log() where not complete), 'gap_recorded',
  'AUE-42: verification calls the log incomplete then'
);

select * from finish();
rollback;
