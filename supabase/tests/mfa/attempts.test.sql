-- MFA: attempts, factors, backup codes and devices, as the function uses them: the caller begins,
-- the service role completes. Codes are not computed here: a time step stands for the code of it.
begin;
set local search_path = public, bulwark, extensions;
select plan(86);
select tests.create_organizations();
create temporary table session as
  select name, tests.create_session(email, age) as id, email
  from (values
    ('ada', 'admin@acme.test', interval '0'), ('ada 2', 'admin@acme.test', '0'),
    ('old', 'analyst@acme.test', '11 minutes'), ('vic', 'viewer@acme.test', '0'),
    ('vic 2', 'viewer@acme.test', '0')
  ) as s (name, email, age);
create temporary table begun (name text, factor uuid);
grant all on session, begun to public;

create function pg_temp.act(name text) returns void language sql as $$
  select tests.act_in(s.email, s.id) from session s where s.name = act.name;
$$;
create function pg_temp.step(n integer default 0) returns bigint language sql as $$
  select floor(extract(epoch from clock_timestamp()) / 30)::bigint + n;
$$;
create function pg_temp.hashes(word text) returns text[] language sql as $$
  select array_agg(encode(sha256((word || n)::bytea), 'hex')) from generate_series(1, 10) as n;
$$;
-- Begins as a session and completes as the function does.
create function pg_temp.attempt(name text, purpose text) returns uuid language plpgsql as $$
declare
  v_attempt uuid;
begin
  perform pg_temp.act(name);
  v_attempt := bulwark.begin_mfa_attempt(purpose);
  perform tests.act_as_role('service_role');
  return v_attempt;
end;
$$;
create function pg_temp.enroll(name text, factor_name text default 'phone') returns boolean
language plpgsql as $$
declare
  v_factor uuid;
  v_stored boolean;
begin
  perform pg_temp.act(name);
  v_factor := (select b.factor_id from bulwark.begin_mfa_enrolment() b);
  perform tests.act_as_role('service_role');
  v_stored := bulwark.store_mfa_secret(
    v_factor, tests.ciphertext('of_' || replace(name, ' ', '_') || '_'), factor_name
  );
  delete from begun b where b.name = enroll.name;
  insert into begun values (name, v_factor);
  return v_stored;
end;
$$;
create function pg_temp.factor(name text) returns uuid language sql as $$
  select b.factor from begun b where b.name = factor.name;
$$;
create function pg_temp.activate(name text, step bigint, factor_of text default null) returns jsonb
language plpgsql as $$
declare
  v_attempt uuid := pg_temp.attempt(name, 'activate');
begin
  return bulwark.complete_mfa_activation(
    v_attempt, pg_temp.factor(coalesce(factor_of, name)), step, pg_temp.hashes(name)
  );
end;
$$;
create function pg_temp.verify(name text, factor_of text, step bigint) returns jsonb
language plpgsql as $$
declare
  v_attempt uuid := pg_temp.attempt(name, 'verify');
begin
  return bulwark.complete_mfa_verification(v_attempt, pg_temp.factor(factor_of), step);
end;
$$;
create function pg_temp.backup(name text, word text, purpose text default 'backup_code')
  returns jsonb language plpgsql as $$
declare
  v_attempt uuid := pg_temp.attempt(name, purpose);
begin
  return bulwark.complete_mfa_backup_code(v_attempt, encode(sha256(word::bytea), 'hex'));
end;
$$;
create function pg_temp.open(name text, purpose text) returns text[] language plpgsql as $$
declare
  v_attempt uuid := pg_temp.attempt(name, purpose);
begin
  return (select array_agg(o.secret) from bulwark.open_mfa_attempt(v_attempt) o);
end;
$$;

-- enrolment
select pg_temp.act('old');
select is(
  tests.error($$ select bulwark.begin_mfa_enrolment() $$), '42501 MFA_RECENT_SIGN_IN_REQUIRED',
  'MFA-20: the first factor needs a recent sign-in'
);
select tests.act_in('admin@acme.test', null);
select is(
  tests.error($$ select bulwark.begin_mfa_enrolment() $$), 'PT401 SESSION_ENDED',
  'MFA-20: and a session'
);
select ok(pg_temp.enroll('ada'), 'MFA-20: with both it can be begun');
select ok(
  not bulwark.store_mfa_secret((select factor from begun where name = 'ada'), 'other', 'phone'),
  'MFA-20: one beginning stores one secret'
);
select ok(
  not bulwark.store_mfa_secret(gen_random_uuid(), 'other', 'phone'),
  'MFA-20: and nothing is stored without one'
);
select ok(pg_temp.enroll('ada 2'), 'MFA-21: another session of the same user may begin as well');
select is(
  pg_temp.activate('ada 2', pg_temp.step(-1), 'ada'), '{"accepted": false}',
  'MFA-21: but does not finish what the first began'
);
select is(
  pg_temp.open('ada', 'verify'), null, 'MFA-21: what is not activated verifies nothing'
);
select is(
  pg_temp.open('ada', 'activate'), array[tests.ciphertext('of_ada_')],
  'MFA-21: an attempt is judged by the secret of its own session'
);
select is(
  pg_temp.activate('ada', pg_temp.step(-1)), '{"accepted": true, "backup_codes_stored": true}',
  'MFA-22: a first code activates'
);
select is(
  pg_temp.activate('ada 2', pg_temp.step()), '{"accepted": false}',
  'MFA-22: of two first factors begun at once, the slower one needs the other and is refused'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step(-1)), '{"accepted": false}',
  'MFA-23: the code of the enrolment is not accepted again'
);
select pg_temp.act('ada');
select ok(bulwark.mfa_verified('1 minute'), 'MFA-22: activating verifies the session');
select pg_temp.act('ada 2');
select ok(not bulwark.mfa_verified('1 minute'), 'MFA-22: and no other one');
select is(
  tests.error($$ select bulwark.begin_mfa_enrolment() $$), '42501 MFA_VERIFICATION_REQUIRED',
  'MFA-22: every further factor needs a fresh verification'
);

-- verification
select is(
  pg_temp.verify('ada 2', 'ada', pg_temp.step()), '{"accepted": true}',
  'MFA-23: the next code is accepted'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step()), '{"accepted": false}',
  'MFA-23: and is not accepted again, in no session'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step(2)), '{"accepted": false}',
  'MFA-24: a step that is two ahead of the database''s clock is refused'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step(1)), '{"accepted": true}', 'MFA-24: one ahead is not'
);
select is(
  pg_temp.verify('vic', 'ada', pg_temp.step(1)), '{"accepted": false}',
  'MFA-25: another user gains nothing with it'
);
create temporary table spent as select pg_temp.attempt('ada', 'verify') as id;
select tests.act_as_role('service_role');
select bulwark.complete_mfa_verification((select id from spent), null, null);
select is(
  bulwark.complete_mfa_verification(
    (select id from spent), (select factor from begun where name = 'ada'), pg_temp.step(1)
  ),
  '{"accepted": false}', 'MFA-25: an attempt completes once'
);
select tests.act_as_owner();
update bulwark.mfa_secrets set last_step = 0 where activated_at is not null;
create temporary table left_behind as select pg_temp.attempt('ada', 'verify') as id;
select tests.act_as_owner();
update bulwark_private.mfa_attempts set created_at = now() - interval '3 minutes'
where id = (select id from left_behind);
select is(
  bulwark.complete_mfa_verification(
    (select id from left_behind), (select factor from begun where name = 'ada'), pg_temp.step()
  ),
  '{"accepted": false}', 'MFA-25: and within two minutes'
);
create temporary table abandoned as select pg_temp.attempt('ada', 'verify') as id;
select tests.act_as_owner();
savepoint signed_in;
delete from auth.sessions where id = (select id from session where name = 'ada');
select is(
  bulwark.complete_mfa_verification(
    (select id from abandoned), (select factor from begun where name = 'ada'), pg_temp.step()
  ),
  '{"accepted": false}', 'MFA-25: and while its session lives'
);
rollback to savepoint signed_in;
select tests.act_in('admin@acme.test', null);
select is(
  tests.error($$ select bulwark.begin_mfa_attempt('nonsense') $$),
  'PT401 SESSION_ENDED', 'MFA-25: without a session nothing is attempted'
);
select pg_temp.act('ada');
select is(
  tests.error($$ select bulwark.begin_mfa_attempt('enroll') $$), '22023 MFA_UNKNOWN_PURPOSE',
  'MFA-25: nor what no code is for'
);
select is(
  tests.error($$ select bulwark.complete_mfa_verification(gen_random_uuid(), null, null) $$),
  '42501', 'MFA-25: clients do not complete attempts'
);
select is(
  tests.error($$ select bulwark.open_mfa_attempt(gen_random_uuid()) $$), '42501',
  'MFA-25: nor see what they are judged by'
);

-- the throttle
select tests.act_as_owner();
delete from bulwark_private.mfa_attempts;
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0, locks = 0,
  locked_until = null;
do $$ begin perform pg_temp.attempt('ada', 'verify') from generate_series(1, 7); end $$;
select tests.act_as_owner();
select is(
  (select array_agg(admitted order by created_at) from bulwark_private.mfa_attempts),
  '{t, t, t, t, t, f, f}', 'MFA-26: five are admitted, the rest not'
);
select ok(
  (select locked_until between now() + interval '14 minutes' and now() + interval '16 minutes'
   from bulwark_private.mfa_accounts where user_id = tests.user_id('admin@acme.test')),
  'MFA-26: the account is locked for a quarter of an hour'
);
select is_empty(
  $$ select from bulwark.security_events where event_type = 'mfa_locked' $$,
  'MFA-26: which is no event while a right code could be among them'
);
select bulwark.complete_mfa_verification(a.id, null, null)
from bulwark_private.mfa_attempts a where a.admitted order by a.created_at limit 1;
select isnt_empty(
  $$ select from bulwark.security_events where event_type = 'mfa_locked' $$,
  'MFA-26: but as soon as one of them is wrong'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step()), '{"accepted": false}',
  'MFA-26: a right code gets the answer of a wrong one'
);
select tests.act_as_owner();
update bulwark_private.mfa_accounts set locked_until = now() - interval '1 second'
where user_id = tests.user_id('admin@acme.test');
do $$ begin perform pg_temp.attempt('ada', 'verify') from generate_series(1, 5); end $$;
select tests.act_as_owner();
select ok(
  (select locked_until > now() + interval '29 minutes' from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  'MFA-27: the next lock lasts twice as long'
);
update bulwark_private.mfa_accounts set locked_until = null, consecutive_failures = 99
where user_id = tests.user_id('admin@acme.test');
do $$ begin perform pg_temp.attempt('ada', 'verify') from generate_series(1, 2); end $$;
select tests.act_as_owner();
update bulwark_private.mfa_accounts set locked_until = null
where user_id = tests.user_id('admin@acme.test');
select is(
  (select consecutive_failures from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  100::bigint, 'MFA-27: a hundred failures in a row are the last'
);
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step()), '{"accepted": false}',
  'MFA-27: from then on not even time opens the account'
);
select tests.act_as_owner();
update bulwark_private.mfa_accounts set consecutive_failures = 4,
  failures = array_fill(now() - interval '14 minutes', '{4}')
where user_id = tests.user_id('admin@acme.test');
select is(
  pg_temp.verify('ada', 'ada', pg_temp.step()), '{"accepted": true}',
  'MFA-28: the fifth attempt may be the right one'
);
select tests.act_as_owner();
select results_eq(
  format($$ select consecutive_failures, locks, locked_until from bulwark_private.mfa_accounts
    where user_id = %L $$, tests.user_id('admin@acme.test')),
  $$ values (0::bigint, 0::bigint, null::timestamptz) $$, 'MFA-28: and takes back what was charged'
);
update bulwark_private.mfa_accounts set failures = array_fill(now() - interval '16 minutes', '{4}')
where user_id = tests.user_id('admin@acme.test');
do $$ begin perform pg_temp.attempt('ada', 'verify'); end $$;
select tests.act_as_owner();
select is(
  (select cardinality(failures) from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  1, 'MFA-28: failures older than a quarter of an hour do not count'
);
do $$ begin perform pg_temp.attempt('vic', 'verify') from generate_series(1, 6); end $$;
select tests.act_as_owner();
select is(
  (select consecutive_failures from bulwark_private.mfa_accounts
   where user_id = tests.user_id('viewer@acme.test')),
  0::bigint, 'MFA-28: who has no factor cannot lock the account before enrolment'
);

-- backup codes
select is(
  pg_temp.backup('ada', 'ada1'), '{"accepted": true, "backup_codes_left": 9}',
  'MFA-29: a backup code verifies, and nine are left'
);
select is(
  pg_temp.backup('ada', 'ada1'), '{"accepted": false}', 'MFA-29: it does so once'
);
select is(
  pg_temp.backup('vic', 'ada2'), '{"accepted": false}', 'MFA-29: and for its own account'
);
select tests.act_as_owner();
select isnt_empty(
  $$ select from bulwark.security_events where event_type = 'mfa_backup_code_used' $$,
  'MFA-29: its use is a security event'
);
create function pg_temp.regenerate(name text, word text) returns boolean language plpgsql as $$
declare
  v_ticket uuid;
begin
  perform pg_temp.act(name);
  v_ticket := bulwark.begin_backup_codes();
  perform tests.act_as_role('service_role');
  return bulwark.store_backup_codes(v_ticket, pg_temp.hashes(word));
end;
$$;
select ok(pg_temp.regenerate('ada', 'new'), 'MFA-30: a verified session makes a new set');
select is(
  pg_temp.backup('ada', 'ada3'), '{"accepted": false}', 'MFA-30: which ends the old one'
);
select is(
  pg_temp.backup('ada', 'new3'), '{"accepted": true, "backup_codes_left": 9}',
  'MFA-30: and begins with ten'
);
select pg_temp.act('vic');
select is(
  tests.error($$ select bulwark.begin_backup_codes() $$), '42501 MFA_VERIFICATION_REQUIRED',
  'MFA-30: without a fresh verification there is no new set'
);
select tests.act_as_role('service_role');
select is(
  tests.error($$ select bulwark.complete_mfa_activation(gen_random_uuid(), null, null, null) $$),
  'no error', 'MFA-30: and a completion without an attempt stores nothing'
);

-- the code that this session was just verified by, sent again
create function pg_temp.charged() returns text language plpgsql as $$
begin
  perform tests.act_as_owner();
  return (
    select concat_ws(' ', consecutive_failures, cardinality(failures), locked_until is not null)
    from bulwark_private.mfa_accounts where user_id = tests.user_id('admin@acme.test')
  );
end;
$$;
create function pg_temp.verified(name text) returns boolean language plpgsql as $$
begin
  perform pg_temp.act(name);
  return bulwark.mfa_verified('10 minutes');
end;
$$;
do $$ begin perform pg_temp.backup('ada', 'new3') from generate_series(1, 6); end $$;
select is(
  pg_temp.charged(), '0 0 f', 'MFA-41: a backup code sent again by its session costs nothing'
);
select is(
  pg_temp.backup('ada', 'new3'), '{"accepted": false}', 'MFA-41: and is not accepted twice'
);
select pg_temp.backup('ada 2', 'new3');
select is(pg_temp.charged(), '1 1 f', 'MFA-41: from another session it is a replay, and counts');
update bulwark.mfa_secrets set last_step = 0;
delete from bulwark_private.mfa_sessions where session_id = (
  select id from session where name = 'ada 2'
);
create temporary table accepted as select pg_temp.step() as step;
grant select on accepted to public;
select is(
  pg_temp.verify('ada', 'ada', (select step from accepted)), '{"accepted": true}',
  'MFA-41: (a code)'
);
do $$ begin
  perform pg_temp.verify('ada', 'ada', a.step) from accepted a, generate_series(1, 6);
end $$;
select is(pg_temp.charged(), '0 0 f', 'MFA-41: nor does a code of the app');
select pg_temp.verify('ada', 'ada', (select step - 1 from accepted));
select is(pg_temp.charged(), '1 1 f', 'MFA-41: an older one counts');
select pg_temp.verify('ada 2', 'ada', (select step from accepted));
select is(pg_temp.charged(), '2 2 f', 'MFA-41: and so does a replay from another session');
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;
create temporary table storm as
  select pg_temp.attempt('ada', 'verify') as id from generate_series(1, 5);
select is(pg_temp.charged(), '5 5 t', 'MFA-41: (five at once lock)');
select bulwark.complete_mfa_verification(s.id, pg_temp.factor('ada'), a.step)
from accepted a, (select id from storm limit 1) s;
select is(pg_temp.charged(), '4 4 f', 'MFA-41: until the first proves to be a repeat');
select bulwark.complete_mfa_verification(s.id, pg_temp.factor('ada'), a.step)
from accepted a, (select id from storm offset 1 limit 3) s;
select bulwark.complete_mfa_verification(s.id, null, null)
from (select id from storm offset 4) s;
select is(pg_temp.charged(), '1 1 f', 'MFA-41: and what is none goes on counting');
update bulwark_private.mfa_sessions set verified_at = verified_at - interval '3 minutes';
select pg_temp.verify('ada', 'ada', (select step from accepted));
select is(pg_temp.charged(), '2 2 f', 'MFA-41: after two minutes a repeat is a replay');
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;
update bulwark.mfa_secrets set last_step = 0;
create temporary table told as select count(*) as times from mfa_usage_log where event = 'locked';
grant select on told to public;
do $$ begin perform pg_temp.verify('ada', 'ada', null) from generate_series(1, 4); end $$;
create temporary table clicks as
  select n, pg_temp.attempt('ada', 'verify') as id from generate_series(1, 2) as n;
grant select on clicks to public;
select is(pg_temp.charged(), '5 5 t', 'MFA-42: (four errors and the first click lock)');
select is(
  bulwark.complete_mfa_verification(c.id, pg_temp.factor('ada'), a.step), '{"accepted": true}',
  'MFA-42: the first click is right'
) from accepted a, clicks c where n = 1;
select is(
  bulwark.complete_mfa_verification(c.id, pg_temp.factor('ada'), a.step), '{"accepted": false}',
  'MFA-42: the second is a repeat'
) from accepted a, clicks c where n = 2;
select is(pg_temp.charged(), '0 0 f', 'MFA-42: and neither counts');
select is(
  (select count(*) from mfa_usage_log where event = 'locked'), (select times from told),
  'MFA-42: nobody was told of a lock'
);
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;

-- a proof goes with what it was made of
select pg_temp.backup('ada 2', 'new4');
select pg_temp.backup('ada', 'new5');
select ok(pg_temp.regenerate('ada', 'newer'), 'MFA-42: (a new set)');
select ok(
  not pg_temp.verified('ada 2'),
  'MFA-42: a new set of codes closes what codes of the old one opened'
);
select ok(pg_temp.verified('ada'), 'MFA-42: but not the session that made it');
select tests.act_as_owner();
update bulwark.mfa_secrets set last_step = 0;
with second as (
  insert into bulwark.mfa_secrets (
    id, user_id, name, secret, begun_in, begun_as_first, activated_at
  )
  select gen_random_uuid(), user_id, 'second', secret, begun_in, false, now()
  from bulwark.mfa_secrets where id = pg_temp.factor('ada')
  returning id
)
insert into begun select 'second', id from second;
select is(
  pg_temp.verify('ada 2', 'second', pg_temp.step()), '{"accepted": true}', 'MFA-42: (by the second)'
);
select tests.act_as_owner();
delete from bulwark.mfa_secrets where id = pg_temp.factor('second');
select ok(not pg_temp.verified('ada 2'), 'MFA-42: a factor that is gone verifies nothing');
select pg_temp.backup('ada', 'newer1');

-- trusted devices
select pg_temp.act('ada');
create temporary table device as select * from bulwark.trust_device('laptop');
select tests.act_as_owner();
delete from bulwark_private.mfa_sessions where session_id = (
  select id from session where name = 'ada 2'
);
select is(
  (select count(*) from bulwark_private.mfa_trusted_devices
   where token_hash = sha256((select token from device)::bytea)
     and expires_at between now() + interval '29 days' and now() + interval '31 days'),
  1::bigint, 'MFA-31: of a device only the hash of its token is kept, for 30 days'
);
grant select on device to public;
select pg_temp.act('vic');
select ok(
  not bulwark.present_trusted_device((select token from device)),
  'MFA-31: another account gains nothing by the token'
);
select pg_temp.act('ada 2');
select ok(
  not bulwark.present_trusted_device('wrong'), 'MFA-31: a wrong token is no device'
);
select is(
  (select factors from bulwark.mfa_status()), null,
  'MFA-31: before, the status says no more than that there is a factor'
);
select ok(
  bulwark.present_trusted_device((select token from device)), 'MFA-31: the right one is'
);
select results_eq(
  $$ select enrolled, satisfied, verified_at, backup_codes_left,
       jsonb_array_length(trusted_devices) from bulwark.mfa_status() $$,
  $$ values (true, true, null::timestamptz, 9::bigint, 1) $$,
  'MFA-31: afterwards the session satisfies organizations, unverified as it is'
);
select is(
  bulwark.revoke_trusted_device(gen_random_uuid()), 0::bigint, 'MFA-31: one revokes one''s own'
);

-- removal
select is(
  tests.error(format(
    $$ select bulwark.remove_mfa_factor(%L) $$, (select factor from begun where name = 'ada')
  )),
  '42501 MFA_VERIFICATION_REQUIRED', 'MFA-32: a trusted device is not enough to remove a factor'
);
select pg_temp.act('ada');
select is(
  tests.error($$ select bulwark.remove_mfa_factor(gen_random_uuid()) $$),
  'PT404 MFA_UNKNOWN_FACTOR', 'MFA-32: one removes one''s own factors'
);
select lives_ok(
  format($$ select bulwark.remove_mfa_factor(%L) $$, (select factor from begun where name = 'ada')),
  'MFA-32: after a fresh verification'
);
select tests.act_as_owner();
select is(
  (select count(*) from bulwark_private.mfa_backup_codes) + (
    select count(*) from bulwark_private.mfa_sessions
  )
    + (select count(*) from bulwark_private.mfa_trusted_devices)
    + (select count(*) from bulwark.mfa_secrets),
  0::bigint, 'MFA-32: with the last one goes all that stood for it'
);
select pg_temp.enroll('vic');
select pg_temp.activate('vic', pg_temp.step(-1));
select is(
  pg_temp.backup('vic 2', 'vic4', 'disable'), '{"accepted": true}',
  'MFA-32: a backup code takes the factors off as well'
);

-- records
select tests.act_as_owner();
select is_empty(
  $$ select from bulwark.audit_logs e
     where e.resource_type <> 'bulwark_private.audit_watched_tables'
       and concat(e.before, e.after, e.details) ~ 'bw1\.a256gcm|"token_hash"|"code_hash"' $$,
  'MFA-33: the audit log holds no secret, code or token'
);
select ok(
  (select array_agg(distinct event_type) @> '{auth.mfa_enabled, auth.mfa_verified,
     auth.mfa_disabled, security.suspicious_activity}'
   from bulwark.audit_logs where organization_id = tests.organization_id('acme')),
  'MFA-33: the organization sees what its members'' factors did'
);
select is_empty(
  format($$ select from bulwark.audit_logs
    where event_type like 'auth.mfa%%' and organization_id = %L $$,
    tests.organization_id('globex')),
  'MFA-33: and no other does'
);
select pg_temp.act('vic');
select is_empty(
  $$ select from bulwark.mfa_usage_log where user_id <> auth.uid() $$,
  'MFA-33: the log of uses is one''s own'
);
select isnt_empty($$ select from bulwark.mfa_usage_log $$, 'MFA-33: and readable');

select * from finish();
rollback;
