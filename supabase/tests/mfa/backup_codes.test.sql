-- MFA: backup codes, repeated codes, trusted devices, the removal of factors, and the records.
begin;
set local search_path = bulwark, public, extensions;
select plan(47);
select tests.create_organizations();
select tests.mfa_sessions();
select tests.mfa_enroll('ada'), tests.mfa_activate('ada', tests.totp_step(-1));

-- backup codes
select is(got, want::jsonb, claim)
from (values
  ('MFA-29: a backup code verifies, and nine are left',
   tests.mfa_backup('ada', 'ada1'), '{"accepted": true, "backup_codes_left": 9}'),
  ('MFA-29: it does so once', tests.mfa_backup('ada', 'ada1'), '{"accepted": false}'),
  ('MFA-29: and for its own account', tests.mfa_backup('vic', 'ada2'), '{"accepted": false}')
) as t (claim, got, want);
select tests.act_as_owner();
select isnt_empty(
  $$ select from bulwark.security_events where event_type = 'mfa_backup_code_used' $$,
  'MFA-29: its use is a security event'
);
create function pg_temp.regenerate(name text, word text) returns boolean language plpgsql as $$
declare
  v_ticket uuid;
begin
  perform tests.act_in_session(name);
  v_ticket := bulwark.begin_backup_codes();
  perform tests.act_as_role('service_role');
  return bulwark.store_backup_codes(v_ticket, tests.code_hashes(word));
end;
$$;
select ok(pg_temp.regenerate('ada', 'new'), 'MFA-30: a verified session makes a new set');
select is(
  tests.mfa_backup('ada', 'ada3'), '{"accepted": false}', 'MFA-30: which ends the old one'
);
select is(
  tests.mfa_backup('ada', 'new3'), '{"accepted": true, "backup_codes_left": 9}',
  'MFA-30: and begins with ten'
);
select tests.act_in_session('vic');
select tests.error_is('MFA-30: without a fresh verification there is no new set',
  '42501 MFA_VERIFICATION_REQUIRED', $$ select bulwark.begin_backup_codes() $$);
select tests.act_as_role('service_role');
select tests.error_is('MFA-30: and a completion without an attempt stores nothing', 'no error',
  $$ select bulwark.complete_mfa_activation(gen_random_uuid(), null, null, null) $$);

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
  perform tests.act_in_session(name);
  return bulwark.mfa_verified('10 minutes');
end;
$$;
do $$ begin perform tests.mfa_backup('ada', 'new3') from generate_series(1, 6); end $$;
select is(
  pg_temp.charged(), '0 0 f', 'MFB-41: a backup code sent again by its session costs nothing'
);
select is(
  tests.mfa_backup('ada', 'new3'), '{"accepted": false}', 'MFB-41: and is not accepted twice'
);
select tests.mfa_backup('ada 2', 'new3');
select is(pg_temp.charged(), '1 1 f', 'MFB-41: from another session it is a replay, and counts');
update bulwark.mfa_secrets set last_step = 0;
delete from bulwark_private.mfa_sessions where session_id = (
  select id from session where name = 'ada 2'
);
create temporary table accepted as select tests.totp_step() as step;
grant select on accepted to public;
select is(
  tests.mfa_verify('ada', 'ada', (select step from accepted)), '{"accepted": true}',
  'MFB-41: (a code)'
);
do $$ begin
  perform tests.mfa_verify('ada', 'ada', a.step) from accepted a, generate_series(1, 6);
end $$;
select is(pg_temp.charged(), '0 0 f', 'MFB-41: nor does a code of the app');
select tests.mfa_verify('ada', 'ada', (select step - 1 from accepted));
select is(pg_temp.charged(), '1 1 f', 'MFB-41: an older one counts');
select tests.mfa_verify('ada 2', 'ada', (select step from accepted));
select is(pg_temp.charged(), '2 2 f', 'MFB-41: and so does a replay from another session');
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;
create temporary table storm as
  select tests.mfa_attempt('ada', 'verify') as id from generate_series(1, 5);
select is(pg_temp.charged(), '5 5 t', 'MFB-41: (five at once lock)');
select bulwark.complete_mfa_verification(s.id, tests.mfa_factor('ada'), a.step)
from accepted a, (select id from storm limit 1) s;
select is(pg_temp.charged(), '4 4 f', 'MFB-41: until the first proves to be a repeat');
select bulwark.complete_mfa_verification(s.id, tests.mfa_factor('ada'), a.step)
from accepted a, (select id from storm offset 1 limit 3) s;
select bulwark.complete_mfa_verification(s.id, null, null)
from (select id from storm offset 4) s;
select is(pg_temp.charged(), '1 1 f', 'MFB-41: and what is none goes on counting');
update bulwark_private.mfa_sessions set verified_at = verified_at - interval '3 minutes';
select tests.mfa_verify('ada', 'ada', (select step from accepted));
select is(pg_temp.charged(), '2 2 f', 'MFB-41: after two minutes a repeat is a replay');
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;
update bulwark.mfa_secrets set last_step = 0;
create temporary table told as select count(*) as times from mfa_usage_log where event = 'locked';
grant select on told to public;
do $$ begin perform tests.mfa_verify('ada', 'ada', null) from generate_series(1, 4); end $$;
create temporary table clicks as
  select n, tests.mfa_attempt('ada', 'verify') as id from generate_series(1, 2) as n;
grant select on clicks to public;
select is(pg_temp.charged(), '5 5 t', 'MFB-42: (four errors and the first click lock)');
select is(
  bulwark.complete_mfa_verification(c.id, tests.mfa_factor('ada'), a.step), '{"accepted": true}',
  'MFB-42: the first click is right'
) from accepted a, clicks c where n = 1;
select is(
  bulwark.complete_mfa_verification(c.id, tests.mfa_factor('ada'), a.step), '{"accepted": false}',
  'MFB-42: the second is a repeat'
) from accepted a, clicks c where n = 2;
select is(pg_temp.charged(), '0 0 f', 'MFB-42: and neither counts');
select is(
  (select count(*) from mfa_usage_log where event = 'locked'), (select times from told),
  'MFB-42: nobody was told of a lock'
);
update bulwark_private.mfa_accounts set failures = '{}', consecutive_failures = 0;

-- a proof goes with what it was made of
select tests.mfa_backup('ada 2', 'new4');
select tests.mfa_backup('ada', 'new5');
select ok(pg_temp.regenerate('ada', 'newer'), 'MFB-42: (a new set)');
select ok(
  not pg_temp.verified('ada 2'),
  'MFB-42: a new set of codes closes what codes of the old one opened'
);
select ok(pg_temp.verified('ada'), 'MFB-42: but not the session that made it');
select tests.act_as_owner();
update bulwark.mfa_secrets set last_step = 0;
with second as (
  insert into bulwark.mfa_secrets (
    id, user_id, name, secret, begun_in, begun_as_first, activated_at
  )
  select gen_random_uuid(), user_id, 'second', secret, begun_in, false, now()
  from bulwark.mfa_secrets where id = tests.mfa_factor('ada')
  returning id
)
insert into begun select 'second', id from second;
select is(
  tests.mfa_verify('ada 2', 'second', tests.totp_step()), '{"accepted": true}',
  'MFB-42: (by the second)'
);
select tests.act_as_owner();
delete from bulwark.mfa_secrets where id = tests.mfa_factor('second');
select ok(not pg_temp.verified('ada 2'), 'MFB-42: a factor that is gone verifies nothing');
select tests.mfa_backup('ada', 'newer1');

-- trusted devices
select tests.act_in_session('ada');
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
select tests.act_in_session('vic');
select ok(
  not bulwark.present_trusted_device((select token from device)),
  'MFA-31: another account gains nothing by the token'
);
select tests.act_in_session('ada 2');
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
select tests.error_is('MFA-32: a trusted device is not enough to remove a factor',
  '42501 MFA_VERIFICATION_REQUIRED',
  format(
    $$ select bulwark.remove_mfa_factor(%L) $$, (select factor from begun where name = 'ada')
  ));
select tests.act_in_session('ada');
select tests.error_is('MFA-32: one removes one''s own factors', 'PT404 MFA_UNKNOWN_FACTOR',
  $$ select bulwark.remove_mfa_factor(gen_random_uuid()) $$);
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
select tests.mfa_enroll('vic');
select tests.mfa_activate('vic', tests.totp_step(-1));
select is(
  tests.mfa_backup('vic 2', 'vic4', 'disable'), '{"accepted": true}',
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
   from bulwark.audit_logs where organization_id = tests.acme()),
  'MFA-33: the organization sees what its members'' factors did'
);
select is_empty(
  format($$ select from bulwark.audit_logs
    where event_type like 'auth.mfa%%' and organization_id = %L $$,
    tests.globex()),
  'MFA-33: and no other does'
);
select tests.act_in_session('vic');
select is_empty(
  $$ select from bulwark.mfa_usage_log where user_id <> auth.uid() $$,
  'MFA-33: the log of uses is one''s own'
);
select isnt_empty($$ select from bulwark.mfa_usage_log $$, 'MFA-33: and readable');

select * from finish();
rollback;
