-- MFA: enrolment, verification and the throttle, as the function uses them.
begin;
set local search_path = bulwark, public, extensions;
select plan(39);
select tests.create_organizations();
select tests.mfa_sessions();

-- enrolment
select tests.act_in_session('old');
select tests.error_is('MFA-20: the first factor needs a recent sign-in',
  '42501 MFA_RECENT_SIGN_IN_REQUIRED', $$ select bulwark.begin_mfa_enrolment() $$);
select tests.act_in('admin@acme.test', null);
select tests.error_is('MFA-20: and a session', 'PT401 SESSION_ENDED',
  $$ select bulwark.begin_mfa_enrolment() $$);
select ok(tests.mfa_enroll('ada'), 'MFA-20: with both it can be begun');
select ok(
  not bulwark.store_mfa_secret((select factor from begun where name = 'ada'), 'other', 'phone'),
  'MFA-20: one beginning stores one secret'
);
select ok(
  not bulwark.store_mfa_secret(gen_random_uuid(), 'other', 'phone'),
  'MFA-20: and nothing is stored without one'
);
select ok(tests.mfa_enroll('ada 2'), 'MFA-21: another session of the same user may begin as well');
select is(
  tests.mfa_activate('ada 2', tests.totp_step(-1), 'ada'), '{"accepted": false}',
  'MFA-21: but does not finish what the first began'
);
select is(
  tests.mfa_open('ada', 'verify'), null, 'MFA-21: what is not activated verifies nothing'
);
select is(
  tests.mfa_open('ada', 'activate'), array[tests.ciphertext('of_ada_')],
  'MFA-21: an attempt is judged by the secret of its own session'
);
select is(got, want::jsonb, claim)
from (values
  ('MFA-22: a first code activates',
   tests.mfa_activate('ada', tests.totp_step(-1)),
   '{"accepted": true, "backup_codes_stored": true}'),
  ('MFA-22: of two first factors begun at once, the slower one needs the other and is refused',
   tests.mfa_activate('ada 2', tests.totp_step()), '{"accepted": false}'),
  ('MFA-23: the code of the enrolment is not accepted again',
   tests.mfa_verify('ada', 'ada', tests.totp_step(-1)), '{"accepted": false}')
) as t (claim, got, want);
select tests.act_in_session('ada');
select ok(bulwark.mfa_verified('1 minute'), 'MFA-22: activating verifies the session');
select tests.act_in_session('ada 2');
select ok(not bulwark.mfa_verified('1 minute'), 'MFA-22: and no other one');
select tests.error_is('MFA-22: every further factor needs a fresh verification',
  '42501 MFA_VERIFICATION_REQUIRED', $$ select bulwark.begin_mfa_enrolment() $$);

-- verification
select is(got, want::jsonb, claim)
from (values
  ('MFA-23: the next code is accepted',
   tests.mfa_verify('ada 2', 'ada', tests.totp_step()), '{"accepted": true}'),
  ('MFA-23: and is not accepted again, in no session',
   tests.mfa_verify('ada', 'ada', tests.totp_step()), '{"accepted": false}'),
  ('MFA-24: a step that is two ahead of the database''s clock is refused',
   tests.mfa_verify('ada', 'ada', tests.totp_step(2)), '{"accepted": false}'),
  ('MFA-24: one ahead is not',
   tests.mfa_verify('ada', 'ada', tests.totp_step(1)), '{"accepted": true}'),
  ('MFA-25: another user gains nothing with it',
   tests.mfa_verify('vic', 'ada', tests.totp_step(1)), '{"accepted": false}')
) as t (claim, got, want);
create temporary table spent as select tests.mfa_attempt('ada', 'verify') as id;
select tests.act_as_role('service_role');
select bulwark.complete_mfa_verification((select id from spent), null, null);
select is(
  bulwark.complete_mfa_verification(
    (select id from spent), (select factor from begun where name = 'ada'), tests.totp_step(1)
  ),
  '{"accepted": false}', 'MFA-25: an attempt completes once'
);
select tests.act_as_owner();
update bulwark.mfa_secrets set last_step = 0 where activated_at is not null;
create temporary table left_behind as select tests.mfa_attempt('ada', 'verify') as id;
select tests.act_as_owner();
update bulwark_private.mfa_attempts set created_at = now() - interval '3 minutes'
where id = (select id from left_behind);
select is(
  bulwark.complete_mfa_verification(
    (select id from left_behind), (select factor from begun where name = 'ada'), tests.totp_step()
  ),
  '{"accepted": false}', 'MFA-25: and within two minutes'
);
create temporary table abandoned as select tests.mfa_attempt('ada', 'verify') as id;
select tests.act_as_owner();
savepoint signed_in;
delete from auth.sessions where id = (select id from session where name = 'ada');
select is(
  bulwark.complete_mfa_verification(
    (select id from abandoned), (select factor from begun where name = 'ada'), tests.totp_step()
  ),
  '{"accepted": false}', 'MFA-25: and while its session lives'
);
rollback to savepoint signed_in;
select tests.act_in('admin@acme.test', null);
select tests.error_is('MFA-25: without a session nothing is attempted', 'PT401 SESSION_ENDED',
  $$ select bulwark.begin_mfa_attempt('nonsense') $$);
select tests.act_in_session('ada');
select tests.error_is('MFA-25: nor what no code is for', '22023 MFA_UNKNOWN_PURPOSE',
  $$ select bulwark.begin_mfa_attempt('enroll') $$);
select tests.error_is('MFA-25: clients do not complete attempts', '42501',
  $$ select bulwark.complete_mfa_verification(gen_random_uuid(), null, null) $$);
select tests.error_is('MFA-25: nor see what they are judged by', '42501',
  $$ select bulwark.open_mfa_attempt(gen_random_uuid()) $$);

-- the throttle
select tests.act_as_owner();
delete from bulwark_private.mfa_attempts;
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0, locks = 0,
  locked_until = null;
do $$ begin perform tests.mfa_attempt('ada', 'verify') from generate_series(1, 7); end $$;
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
  tests.mfa_verify('ada', 'ada', tests.totp_step()), '{"accepted": false}',
  'MFA-26: a right code gets the answer of a wrong one'
);
select tests.act_as_owner();
update bulwark_private.mfa_accounts set locked_until = now() - interval '1 second'
where user_id = tests.user_id('admin@acme.test');
do $$ begin perform tests.mfa_attempt('ada', 'verify') from generate_series(1, 5); end $$;
select tests.act_as_owner();
select ok(
  (select locked_until > now() + interval '29 minutes' from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  'MFA-27: the next lock lasts twice as long'
);
update bulwark_private.mfa_accounts set locked_until = null, consecutive_failures = 99
where user_id = tests.user_id('admin@acme.test');
do $$ begin perform tests.mfa_attempt('ada', 'verify') from generate_series(1, 2); end $$;
select tests.act_as_owner();
update bulwark_private.mfa_accounts set locked_until = null
where user_id = tests.user_id('admin@acme.test');
select is(
  (select consecutive_failures from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  100::bigint, 'MFA-27: a hundred failures in a row are the last'
);
select is(
  tests.mfa_verify('ada', 'ada', tests.totp_step()), '{"accepted": false}',
  'MFA-27: from then on not even time opens the account'
);
select tests.act_as_owner();
update bulwark_private.mfa_accounts set consecutive_failures = 4,
  failures = array_fill(now() - interval '14 minutes', '{4}')
where user_id = tests.user_id('admin@acme.test');
select is(
  tests.mfa_verify('ada', 'ada', tests.totp_step()), '{"accepted": true}',
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
do $$ begin perform tests.mfa_attempt('ada', 'verify'); end $$;
select tests.act_as_owner();
select is(
  (select cardinality(failures) from bulwark_private.mfa_accounts
   where user_id = tests.user_id('admin@acme.test')),
  1, 'MFA-28: failures older than a quarter of an hour do not count'
);
do $$ begin perform tests.mfa_attempt('vic', 'verify') from generate_series(1, 6); end $$;
select tests.act_as_owner();
select is(
  (select consecutive_failures from bulwark_private.mfa_accounts
   where user_id = tests.user_id('viewer@acme.test')),
  0::bigint, 'MFA-28: who has no factor cannot lock the account before enrolment'
);

select * from finish();
rollback;
