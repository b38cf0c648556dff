-- Sign-ins: the hooks of Supabase Auth, and the functions that bulwark-login calls.
begin;
set local search_path = bulwark, public, extensions;
select plan(31);
select tests.create_organizations();
-- As the owner: on Postgres 17 the tests cannot become supabase_auth_admin. End-to-end tests cover
-- that role.
create function pg_temp.hook(name text, email text, valid boolean)
  returns text
  language plpgsql
as $$
declare
  v_answer jsonb;
begin
  execute format('select bulwark.%I($1)', name)
  into v_answer using jsonb_build_object('user_id', tests.user_id(email), 'valid', valid);
  return coalesce(v_answer ->> 'decision', v_answer -> 'error' ->> 'http_code');
end;
$$;
create function pg_temp.hooks(name text, email text, valid boolean, times integer)
  returns text
  language sql
as $$
  select string_agg(pg_temp.hook(name, email, valid), ' ') from generate_series(1, times)
  where generate_series > 0;
$$;

-- as Supabase Auth calls them
select is(
  pg_temp.hooks('password_verification_attempt_hook', 'admin@acme.test', false, 6),
  'continue continue continue continue continue reject',
  'LOG-01: an account is tried five times, and then slowed down'
);
select is(
  pg_temp.hook('password_verification_attempt_hook', 'admin@acme.test', true), 'reject',
  'LOG-02: for the right password too: otherwise guessing would go on'
);
select is(
  pg_temp.hooks('password_verification_attempt_hook', 'viewer@acme.test', true, 20),
  (select string_agg('continue', ' ') from generate_series(1, 20)),
  'LOG-03: signing in costs nothing'
);
select is(
  pg_temp.hook('password_verification_attempt_hook', 'admin@globex.test', false), 'continue',
  'LOG-04: another account is another bucket'
);
update bulwark_private.rate_limits set full_at = full_at - 180000000;
select is(
  pg_temp.hook('password_verification_attempt_hook', 'admin@acme.test', true), 'continue',
  'LOG-05: three minutes later the owner signs in'
);
select is_empty($$ select from bulwark.rate_limit_blocks $$, 'LOG-06: and there is no block');
select is(
  pg_temp.hooks('mfa_verification_attempt_hook', 'admin@acme.test', false, 6),
  'continue continue continue continue continue 429',
  'LOG-07: codes are guessed five times, in a bucket of their own, and no session ends by it'
);
select is(
  (select count(*) from bulwark.audit_logs
   where event_type = 'auth.login_failed' and resource_id = tests.user_id('admin@acme.test')::text
     and organization_id = tests.acme()),
  10::bigint, 'LOG-08: the user''s organization sees each failed attempt in its log'
);
select is(
  (select count(*) from bulwark.security_events
   where event_type = 'brute_force' and organization_id = tests.acme()
     and user_id = tests.user_id('admin@acme.test')),
  2::bigint, 'LOG-09: and has the security events'
);
select is_empty(
  $$ select from bulwark.security_events where organization_id = tests.globex() $$,
  'LOG-10: another organization has none'
);
select is(
  (select array_agg(tests.error_as('admin@acme.test', role, s))
   from unnest(array['authenticated', 'service_role']) role,
     unnest(array[
       $$ select bulwark.password_verification_attempt_hook('{}') $$,
       $$ select bulwark.mfa_verification_attempt_hook('{}') $$]) s),
  array_fill('42501'::text, array[4]), 'LOG-11: no other role calls the hooks'
);

-- acting as the function login
select tests.act_as_role('service_role');
select is(
  (select string_agg((select c.allowed from bulwark.begin_login(
    'viewer@acme.test', case when n > 0 then '203.0.113.1' end) c)::text, ' ')
   from generate_series(1, 6) n),
  'true true true true true false', 'LOG-12: a sign-in is charged before it is tried'
);
select results_eq(
  $$ select b.allowed, b.remaining, b.capacity
     from bulwark.begin_login('viewer@acme.test', '203.0.113.2') b $$,
  $$ select b.allowed, b.remaining, b.capacity
     from bulwark.begin_login('viewer@acme.test', '203.0.113.3') b $$,
  'LOG-13: one account, wherever from'
);
select bulwark.finish_login(
  'analyst@acme.test', '203.0.113.4', tests.user_id('analyst@acme.test'), 52.5, 13.4
);
select count(*) from generate_series(1, 6) n,
  lateral bulwark.begin_login('analyst@acme.test', '203.0.113.' || 100 + n) b;
select is(
  (select allowed from bulwark.begin_login('analyst@acme.test', '203.0.113.110')), false,
  'LOG-14: an account under attack is slowed down for strangers'
);
select is(
  (select allowed from bulwark.begin_login('analyst@acme.test', '203.0.113.4')), true,
  'LOG-15: but not from where its owner has signed in before'
);
select is(
  (select array_agg(b.allowed order by n) from generate_series(1, 5) n,
    lateral bulwark.begin_login('analyst@acme.test', case when n > 0 then '203.0.113.4' end) b),
  array[true, true, true, true, false], 'LOG-16: which has a bucket of its own, no larger'
);

-- places
select tests.act_as_owner();
update bulwark_private.sign_in_places set seen_at = now() - interval '1 hour';
select bulwark.finish_login(
  'analyst@acme.test', '203.0.113.4', tests.user_id('analyst@acme.test'), 51.5, 12.4
);
select is_empty(
  $$ select from bulwark.security_events where event_type = 'impossible_travel' $$,
  'LOG-17: an hour is enough to the next city'
);
update bulwark_private.sign_in_places set seen_at = now() - interval '1 hour';
select bulwark.finish_login(
  'analyst@acme.test', '203.0.113.4', tests.user_id('analyst@acme.test'), -33.9, 151.2
);
select results_eq(
  $$ select organization_id, (details ->> 'km')::integer / 100
     from bulwark.security_events where event_type = 'impossible_travel' order by 1 nulls last $$,
  $$ select tests.acme(), 161 union all select null, 161 $$,
  'LOG-18: and not to the other side of the world'
);
select lives_ok(
  $$ select bulwark.finish_login(
       'a@x.test', 'junk', tests.user_id('analyst@acme.test'), 999, -999) $$,
  'LOG-19: an invalid place is ignored'
);

-- rules over the log
select bulwark.evaluate_security_rules();
select bulwark.finish_login('a' || n || '@x.test', '198.51.100.1') from generate_series(1, 9) n;
select bulwark.finish_login('b@x.test', '198.51.100.2') from generate_series(1, 9) n where n > 0;
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select is_empty(
  $$ select from bulwark.security_events
     where event_type = 'credential_stuffing' or details ->> 'rule' = 'account_brute_force'
       and subject <> '' $$,
  'LOG-20: nine are not ten'
);
select bulwark.finish_login('a10@x.test', '198.51.100.1'),
  bulwark.finish_login('b@x.test', '198.51.100.2');
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select results_eq(
  $$ select event_type, (details ->> 'found')::integer from bulwark.security_events
     where details ? 'rule' and details ? 'found' and subject <> '' order by 1 $$,
  $$ values ('brute_force', 10), ('credential_stuffing', 10) $$,
  'LOG-21: one network on ten accounts, and ten times one account, are security events'
);
select bulwark_private.append_audit_entry('system.error', action => 'checkpoint_refused',
  resource_type => 'bulwark.audit_logs', severity => 'critical');
select bulwark_private.append_audit_entry('system.error', action => 'checkpoints_missing');
select bulwark_private.append_audit_entry(
  'authz.permission_denied', actor_id => tests.user_id('viewer@acme.test')
)
from generate_series(1, 20);
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select set_has(
  $$ select event_type, organization_id, user_id from bulwark.security_events $$,
  $$ values ('audit_verification_failed', null, null), ('audit_checkpoint_missing', null, null),
       ('permission_probing', tests.acme(), tests.user_id('viewer@acme.test')) $$,
  'LOG-22: and so are a log that is not signed, checkpoints that are gone, and probing'
);
-- one attempt that both the hook and the function record
create function pg_temp.both(times integer) returns void language plpgsql as $$
begin
  for n in 1..times loop
    perform pg_temp.hook('password_verification_attempt_hook', 'viewer@globex.test', false);
    update bulwark_private.rate_limits set full_at = full_at - 180000000;
    perform bulwark.finish_login('viewer@globex.test', '198.51.100.' || 50 + n);
  end loop;
end;
$$;
select pg_temp.both(1);
select is(
  (select array_agg(e.result order by e.result)
   from bulwark.audit_logs e
   where e.event_type = 'auth.login_failed' and e.organization_id is null
     and e.resource_id = tests.user_id('viewer@globex.test')::text),
  '{failure,failure}'::bulwark.audit_result[], 'LOG-26: both say that it failed'
);
select results_eq(
  $$ select p.source::text, e.source::text, e.details ? 'network'
     from bulwark.audit_logs e join bulwark.audit_logs p on p.id = e.parent_id
     where e.event_type = 'auth.login_failed' and e.organization_id is null
       and e.resource_id = tests.user_id('viewer@globex.test')::text $$,
  $$ values ('auth', 'system', true) $$,
  'LOG-26: and the function''s entry, with the network, is below the hook''s'
);
select pg_temp.both(8);
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select is_empty(
  $$ select from bulwark.security_events
     where details ->> 'rule' = 'account_brute_force'
       and user_id = tests.user_id('viewer@globex.test') $$,
  'LOG-27: nine attempts that are recorded twice are not ten'
);
select pg_temp.both(1);
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select set_has(
  $$ select (details ->> 'found')::integer from bulwark.security_events
     where details ->> 'rule' = 'account_brute_force'
       and user_id = tests.user_id('viewer@globex.test') $$,
  $$ values (10) $$,
  'LOG-27: ten are'
);
-- An attempt that the hook refused has no entry of the hook, and is one all the same.
select tests.create_user('burst@globex.test');
select pg_temp.hook('password_verification_attempt_hook', 'burst@globex.test', false);
select bulwark.finish_login('burst@globex.test', '198.51.100.80') from generate_series(1, 3);
select is(
  (select row(count(*) filter (where e.parent_id is null),
     count(*) filter (where e.parent_id is not null))::text
   from bulwark.audit_logs e
   where e.event_type = 'auth.login_failed' and e.organization_id is null
     and e.resource_id = tests.user_id('burst@globex.test')::text),
  '(3,1)', 'LOG-28: one entry of the hook hides one attempt, not those that follow at once'
);
-- a flood of other entries hides nobody
select bulwark_private.append_audit_entry(
  'auth.login_failed', resource_type => 'account', resource_id => 'flood ' || n,
  details => jsonb_build_object('network', gen_random_uuid())
)
from generate_series(1, 1200) n;
select bulwark_private.append_audit_entry(
  'auth.login_failed', resource_type => 'account', resource_id => 'zz the last of all'
)
from generate_series(1, 10);
update bulwark_private.security_progress set snapshot = '1:1:';
select bulwark.evaluate_security_rules();
select isnt_empty(
  $$ select from bulwark.security_events
     where event_type = 'brute_force' and subject = 'zz the last of all' $$,
  'LOG-24: an account that is tried is seen among more than a thousand others'
);
select is_empty(
  $$ select from bulwark.security_events where subject like 'flood %' $$,
  'LOG-25: which are none'
);

update bulwark.security_events
set resolved_at = now() - interval '366 days', resolution_note = 'old'
where event_type = 'audit_checkpoint_missing';
select is(
  bulwark.cleanup_security_events(), 1::bigint,
  'LOG-23: resolved events are removed after a year, open ones never'
);

-- place of the last sign-in
insert into bulwark_private.sign_in_places (user_id, latitude, longitude, seen_at) values
  (gen_random_uuid(), 1, 1, now() - interval '181 days'),
  ('00000000-0000-4000-8000-0000000000cc', 1, 1, now() - interval '179 days');
select cleanup_old_rate_limits();
select results_eq(
  $$ select user_id from bulwark_private.sign_in_places
     where latitude = 1 and seen_at < now() - interval '1 day' $$,
  array['00000000-0000-4000-8000-0000000000cc'::uuid],
  'AUR-124: a place is forgotten when no account signed in from there for so long'
);

select * from finish();
rollback;
