-- Who has a second factor in an organization, and where an account is signed in.
begin;
set local search_path = bulwark, public, extensions;
select plan(33);
select tests.create_organizations();
create function pg_temp.listed(state text default null) returns setof text language sql as $$
  select c.email from mfa_compliance(tests.acme(), state) c order by c.email;
$$;
update auth.users set last_sign_in_at = now() - interval '1 day'
where email in ('analyst@acme.test', 'admin@globex.test');
create function pg_temp.signed_in()
  returns table (email text, last_sign_in_at timestamptz)
  language sql
  security definer
as $$
  select u.email::text, u.last_sign_in_at from auth.users u where u.email like '%@acme.test';
$$;
select tests.add_factor('analyst@acme.test');
update bulwark.mfa_secrets set last_used_at = now()
where user_id = tests.user_id('analyst@acme.test');
insert into bulwark_private.mfa_accounts (user_id, locked_until, consecutive_failures) values
  (tests.user_id('analyst@acme.test'), now() + interval '15 minutes', 5),
  (tests.user_id('viewer@acme.test'), now() - interval '1 minute', 5),
  (tests.user_id('api_user@acme.test'), now() - interval '1 minute', 100);

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select results_eq(
  'select * from pg_temp.listed()',
  array['admin@acme.test', 'analyst@acme.test', 'api_user@acme.test', 'viewer@acme.test'],
  'MFC-01: an administrator sees every member, and nobody else'
);
select results_eq(
  $$ select email, enrolled, overdue, locked, locked_until > now(), last_used_at is not null,
       required_from is not null
     from mfa_compliance(tests.acme()) order by email $$,
  $$ values ('admin@acme.test', false, null::boolean, false, null::boolean, false, false),
       ('analyst@acme.test', true, false, true, true, true, false),
       ('api_user@acme.test', false, null, true, null, false, false),
       ('viewer@acme.test', false, null, false, null, false, false) $$,
  'MFC-02: who is enrolled, and who is locked and until when'
);
select results_eq(
  $$ select email, last_sign_in_at from mfa_compliance(tests.acme()) order by email $$,
  $$ select email, last_sign_in_at from pg_temp.signed_in() order by email $$,
  'MFC-12: and when they signed in'
);
select results_eq(
  format('select * from pg_temp.listed(%L)', s), e, 'MFC-03: only those who are ' || s
)
from (values
  ('enrolled', array['analyst@acme.test']),
  ('missing', array['admin@acme.test', 'api_user@acme.test', 'viewer@acme.test']),
  ('locked', array['analyst@acme.test', 'api_user@acme.test'])
) as c (s, e);
select is_empty(
  $$ select * from pg_temp.listed('overdue') $$,
  'MFC-04: nobody is overdue where it is not required'
);
select results_eq(
  $$ select user_id from mfa_compliance(tests.acme(), page_size => 2)
     union all
     select user_id from mfa_compliance(tests.acme(), page_size => 2, after => (
       select (array_agg(user_id order by user_id desc))[1]
       from mfa_compliance(tests.acme(), page_size => 2))) $$,
  $$ select user_id from mfa_compliance(tests.acme()) $$, 'MFC-05: page by page'
);
select tests.error_is('MFC-06: a state is one of four', '22023 MFA_UNKNOWN_STATE',
  $$ select * from mfa_compliance(tests.acme(), 'lost') $$);
select tests.error_is('MFC-06: and an organization is one', '22004 MFA_NULL_ARGUMENT',
  $$ select * from mfa_compliance(null) $$);
select tests.error_is('MFC-07: a foreign organization is closed', '42501 RBAC_PERMISSION_DENIED',
  $$ select * from mfa_compliance(tests.globex()) $$);
select tests.act_as('viewer@acme.test');
select tests.error_is('MFC-07: and one''s own to a viewer', '42501 RBAC_PERMISSION_DENIED',
  $$ select * from mfa_compliance(tests.acme()) $$);

-- without user:read, and where MFA is required
select tests.act_as_owner();
insert into bulwark.permissions values ('test:nothing', 'Nothing');
select create_role(tests.acme(), 'security', '{security:read}');
select revoke_role(tests.user_id('api_user@acme.test'), 'api_user', tests.acme());
select grant_role(tests.user_id('api_user@acme.test'), 'security', tests.acme());
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() + interval '1 day');
select tests.act_as('api_user@acme.test');
select is(
  (select array[count(*), count(email), count(name), count(required_from)]
   from mfa_compliance(tests.acme())),
  array[4, 0, 0, 4]::bigint[], 'MFC-08: without user:read there are ids, and no names'
);
select tests.act_as('admin@acme.test');
select is_empty($$ select * from pg_temp.listed('overdue') $$, 'MFC-09: the grace period counts');
select tests.act_as_owner();
update bulwark.mfa_policies set required_from = now() where organization_id = tests.acme();
select tests.act_as('admin@acme.test');
select tests.error_is('MFC-10: then it is closed to those who lack a factor themselves',
  '42501 MFA_REQUIRED', $$ select * from mfa_compliance(tests.acme()) $$);
select tests.act_as_role('service_role');
select results_eq(
  $$ select * from pg_temp.listed('overdue') $$,
  array['admin@acme.test', 'api_user@acme.test', 'viewer@acme.test'],
  'MFC-11: the operator sees who is overdue'
);

-- sessions
select tests.act_as_owner();
create temporary table session as
  select name, tests.create_session(email, age) as id
  from (values
    ('desk', 'viewer@acme.test', interval '1 hour'), ('phone', 'viewer@acme.test', '2 hours'),
    ('ended', 'viewer@acme.test', '3 hours'), ('foreign', 'admin@globex.test', '1 hour'),
    ('analyst', 'analyst@acme.test', '1 hour')
  ) as s (name, email, age);
grant select on session to public;
create function pg_temp.session(name text) returns uuid language sql stable as $$
  select s.id from session s where s.name = session.name;
$$;
update auth.sessions set not_after = now() - interval '1 minute'
where id = pg_temp.session('ended');
update auth.sessions set ip = '203.0.113.7', user_agent = 'Browser',
  refreshed_at = now() at time zone 'UTC'
where id in (pg_temp.session('phone'), pg_temp.session('analyst'));
select tests.act_in('viewer@acme.test', pg_temp.session('desk'));
select results_eq(
  $$ select s.name, m.is_current, m.refreshed_at = now(), m.ip, m.user_agent
     from my_sessions() with ordinality as m join session s on s.id = m.id
     order by m.ordinality $$,
  $$ values ('phone', false, true, '203.0.113.7', 'Browser'),
       ('desk', true, false, null::text, null::text) $$,
  'SESS-01: users see their live sessions, the one used last first'
);
select tests.error_is('SESS-02: nobody ends another''s session', 'PT404 SESSION_NOT_FOUND',
  format('select end_session(%L)', pg_temp.session('foreign')));
select tests.error_is('SESS-02: one that does not exist is the same answer',
  'PT404 SESSION_NOT_FOUND', 'select end_session(gen_random_uuid())');
select tests.error_is('SESS-02: and so is null', 'PT404 SESSION_NOT_FOUND',
  'select end_session(null)');
select tests.act_as_owner();
select isnt_empty(
  $$ select from auth.sessions where id = pg_temp.session('foreign') $$, 'SESS-02: which goes on'
);
select tests.act_in('viewer@acme.test', pg_temp.session('phone'));
select ok(current_person() is not null, 'SESS-03: a session counts');
select tests.act_in('viewer@acme.test', pg_temp.session('desk'));
select tests.error_is('SESS-04: until its owner ends it', 'no error',
  format('select end_session(%L)', pg_temp.session('phone')));
select tests.act_in('viewer@acme.test', pg_temp.session('phone'));
select ok(current_person() is null, 'SESS-05: from then on its token is nobody''s');
select ok(refused, 'SESS-06: ' || call)
from (
  select call, tests.error(call) = 'PT401 SESSION_ENDED' as refused
  from unnest(array[
    'select * from my_sessions()', format('select end_session(%L)', pg_temp.session('desk'))
  ]) as call
) c;
select is_empty('select from organizations', 'SESS-07: and no policy of Bulwark lets it read');
select tests.act_as_owner();
select results_eq(
  $$ select organization_id is null, actor_id from audit_logs
     where event_type = 'auth.logout' and resource_id = pg_temp.session('phone')::text
     order by 1 $$,
  $$ select o, tests.user_id('viewer@acme.test') from (values (false), (true)) as v (o) $$,
  'SESS-08: it is in the log of the installation and of the organization, with who did it'
);
select tests.act_in('viewer@acme.test', pg_temp.session('desk'));
select tests.error_is('SESS-09: one ends the current session too', 'no error',
  format('select end_session(%L)', pg_temp.session('desk')));
select tests.error_is('SESS-09: and that is a sign-out', 'PT401 SESSION_ENDED',
  'select * from my_sessions()');

-- a thief of the password
select tests.act_in('analyst@acme.test', pg_temp.session('analyst'));
select results_eq(
  'select ip, user_agent, mfa_verified_at from my_sessions() where is_current',
  $$ values (null::text, null::text, null::timestamptz) $$,
  'SESS-10: without the second factor addresses and devices are hidden'
);
select tests.act_as_owner();
select tests.verify_session('analyst@acme.test', session => pg_temp.session('analyst'));
select tests.act_in('analyst@acme.test', pg_temp.session('analyst'));
select results_eq(
  'select ip, user_agent, mfa_verified_at > now() - interval ''1 minute''
   from my_sessions() where is_current',
  $$ values ('203.0.113.7', 'Browser', true) $$, 'SESS-11: with it they are shown'
);
select tests.act_as_role('service_role');
select tests.error_is('SESS-12: sessions are for persons, not for programs', '42501',
  'select * from my_sessions()');
select * from finish();
rollback;
