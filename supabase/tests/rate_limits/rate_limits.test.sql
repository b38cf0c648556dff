-- Rate limits: buckets, who is charged, and blocks.
begin;
set local search_path = bulwark, public, extensions;
select plan(50);
select tests.create_organizations();

-- the catalogue
select set_eq(
  $$ select name, capacity, window_seconds, identified_by::text, when_store_fails::text
     from bulwark.rate_limit_rules $$,
  $$ values ('api_default', 60, 60, 'caller', 'open'), ('api_strict', 10, 60, 'caller', 'closed'),
       ('api_relaxed', 120, 60, 'caller', 'open'),
       ('auth_login', 5, 900, 'address_and_account', 'closed'),
       ('password_reset', 3, 3600, 'address_and_account', 'closed'),
       ('export', 10, 3600, 'user_or_key', 'closed'),
       ('symbi_assessment', 30, 60, 'user_or_key', 'open') $$,
  'RATE-01: the rules are those of the catalogue'
);

-- one bucket
select is(tests.charge(u => tests.caller(1)), 'yes 59', 'RATE-02: a full bucket admits');
select is(
  tests.drain(70, u => tests.caller(1)), 59::bigint, 'RATE-03: no more than its capacity'
);
select is(
  tests.charge(u => tests.caller(1)), 'no rate 0', 'RATE-04: a refusal is a row, not an error'
);
select is(
  (select array[retry_after_seconds, capacity, window_seconds]
   from bulwark.check_rate_limit('api_default', tests.caller(1))),
  array[1, 60, 60], 'RATE-05: with the time to retry after'
);
select is(
  (select array[c.when_store_fails::text, c.rule] from unnest(array['api_default', 'api_strict']) r,
    lateral bulwark.check_rate_limit(r, tests.caller(40)) c where r = 'api_strict'),
  array['closed', 'api_strict'],
  'RATE-77: a decision has its rule and failure mode'
);
select is(
  tests.charge(u => tests.caller(2)), 'yes 59', 'RATE-06: another user has another bucket'
);
select is(
  tests.charge('api_relaxed', u => tests.caller(1)), 'yes 119',
  'RATE-07: and so has another rule'
);
select tests.pass_time('10 seconds');
select is(
  tests.drain(70, u => tests.caller(1)), 10::bigint,
  'RATE-08: it is refilled evenly: a sixth of the window is a sixth of the capacity'
);
select tests.pass_time('1 hour');
select is(
  tests.drain(70, u => tests.caller(1)), 60::bigint, 'RATE-09: and never beyond its capacity'
);
-- A row that was written before the clock jumped back by an hour.
select tests.pass_time('-1 hour');
select is(
  tests.drain(70, u => tests.caller(1)), 0::bigint,
  'RATE-10: a clock that jumps back gains nothing'
);
select cmp_ok(
  (select reset_seconds from bulwark.check_rate_limit('api_default', tests.caller(1))), '<=', 60,
  'RATE-11: and refuses nobody for longer than a window'
);
select is(got, want, claim)
from (values
  ('RATE-12: a call may cost the whole bucket',
   tests.charge(u => tests.caller(3), cost => 60), 'yes 0'),
  ('RATE-13: or any part of it', tests.charge(u => tests.caller(4), cost => 59), 'yes 1'),
  ('RATE-14: a call that costs more than the remaining tokens is refused',
   tests.charge(u => tests.caller(4), cost => 2), 'no rate 1'),
  ('RATE-15: and is not lost by its refusal', tests.charge(u => tests.caller(4)), 'yes 0')
) as t (claim, got, want);
select tests.error_is('RATE-16: a call that could never pay is an error',
  '22023 RATE_LIMIT_INVALID_COST', $$ select tests.charge(cost => 61) $$);
select tests.error_is('RATE-17: and so is one for nothing', '22023 RATE_LIMIT_INVALID_COST',
  $$ select tests.charge(cost => 0) $$);
select tests.error_is('RATE-18: or for null', '22023 RATE_LIMIT_INVALID_COST',
  $$ select tests.charge(cost => null) $$);
select tests.error_is('RATE-19: an unknown rule is an error and never a yes',
  '22023 RATE_LIMIT_UNKNOWN_RULE', $$ select tests.charge('api_defualt') $$);
select tests.error_is('RATE-20: and so is none', '22023 RATE_LIMIT_UNKNOWN_RULE',
  $$ select tests.charge(null) $$);

-- who is charged
select tests.drain(5, 'api_strict', a => '203.0.113.1');
select is(got, want, claim)
from (values
  ('RATE-21: an address has a bucket', tests.charge('api_strict', a => '203.0.113.1'), 'yes 4'),
  ('RATE-22: a user or API key is not charged to the address',
   tests.charge('api_strict', u => tests.caller(5), a => '203.0.113.1'), 'yes 9'),
  ('RATE-23: an API key is charged to no user',
   tests.charge('api_strict', k => tests.caller(5), a => '203.0.113.1'), 'yes 9')
) as t (claim, got, want);
select tests.charge('api_strict', a => '2001:db8:1:2:3::4');
select is(got, want, claim)
from (values
  ('RATE-24: an IPv6 /64 is one address',
   tests.charge('api_strict', a => '2001:db8:1:2:ffff:1:2:3'), 'yes 8'),
  ('RATE-25: the next one is another',
   tests.charge('api_strict', a => '2001:db8:1:3::4'), 'yes 9'),
  ('RATE-26: an IPv4 address in IPv6 clothes is the same one',
   tests.charge('api_strict', a => '::ffff:203.0.113.1'), 'yes 3'),
  ('RATE-27: also with a port', tests.charge('api_strict', a => '203.0.113.1:4711'), 'yes 2')
) as t (claim, got, want);
select tests.charge('api_strict');
select is(
  (select array_agg(tests.charge('api_strict', a => j))
   from unnest(array[
     '', 'junk', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '::1::', 'fe80::1%eth0',
     repeat('9', 10000)
   ]) j),
  array['yes 8', 'yes 7', 'yes 6', 'yes 5', 'yes 4', 'yes 3', 'yes 2', 'yes 1', 'yes 0'],
  'RATE-28: malformed addresses share one bucket with missing ones'
);
create table tests.addresses (address text, network text);
insert into tests.addresses values
  ('::', '::/64'), ('1::', '1::/64'), ('1:2:3:4:5:6:7::', '1:2:3:4::/64'),
  ('1:2:3:4:5:6:7:8', '1:2:3:4::/64'), ('1:2:3:4:5:6:9.8.7.6', '1:2:3:4::/64'),
  ('::FFFF:9.8.7.6', '9.8.7.6'), ('[2001:db8::1]:443', '2001:db8::/64'), (':', null),
  (':::', null), ('1::2::3', null), ('1:2:3', null), ('12345::', null), ('1:2:3:4:5:6:7:8:9', null),
  ('1:2:3:4::5:6:7:8', null), ('1:2:3:4:5:6:7:9.8.7.6', null), ('::9.8.7', null),
  ('9.8.7.6::', null), ('::9.8.7.256', null);
select set_config(
  case
    when current_setting('server_version_num')::integer < 160000 then 'force_parallel_mode'
    else 'debug_parallel_query'
  end, 'on', true
);
select is_empty(
  $$ select a.*, bulwark_private.client_network(a.address) from tests.addresses a
     where bulwark_private.client_network(a.address) is distinct from a.network $$,
  'RATE-28: addresses are read in a parallel plan too'
);
select set_config(
  case
    when current_setting('server_version_num')::integer < 160000 then 'force_parallel_mode'
    else 'debug_parallel_query'
  end, 'off', true
);
select is(
  (select array_agg(b.id = bulwark_private.rate_limit_hash('address/203.0.113.1'))
   from bulwark_private.rate_limits b
   where b.id in (
     bulwark_private.rate_limit_hash('address/203.0.113.1'),
     encode(substring(sha256('address/203.0.113.1') from 1 for 16), 'hex')::uuid
   )),
  array[true], 'RATE-29: no bucket names an address: its id takes the salt to find'
);

-- two identifiers: all or none
select tests.drain(5, 'auth_login', a => '203.0.113.2', account => 'victim@x.test');
select is(
  tests.charge('auth_login', a => '203.0.113.2', account => 'other@x.test'), 'no rate 0',
  'RATE-30: a sign-in is refused for its address'
);
select is(
  tests.charge('auth_login', a => '203.0.113.3', account => 'other@x.test'), 'yes 4',
  'RATE-31: which took nothing from the account it was about'
);
select is(
  tests.charge('auth_login', a => '203.0.113.3', account => ' VICTIM@x.test '), 'no rate 0',
  'RATE-32: it is refused for its account, however that is written'
);
select is(
  tests.charge('auth_login', a => '203.0.113.3', account => repeat(' ', 400) || 'victim@x.test'),
  'no rate 0', 'RATE-76: also behind more spaces than an address may be long'
);
select is(
  tests.drain(9, 'auth_login', a => '203.0.113.3', account => 'third@x.test'), 4::bigint,
  'RATE-33: which took nothing from the address'
);

-- blocks: repeated refusals
select is(
  tests.drain(40, 'api_strict', a => '203.0.113.4'), 10::bigint, 'RATE-34: somebody goes on'
);
select is(
  (select concat_ws(' ', kind, step, round(date_part('epoch', expires_at - blocked_at)))
   from bulwark.rate_limit_blocks),
  'address 1 60', 'RATE-35: and is blocked for a minute'
);
select tests.pass_time('1 hour');
select is(
  tests.charge('api_strict', a => '203.0.113.4'), 'no block 0',
  'RATE-36: a blocked address is refused although its bucket is full'
);
select is(
  tests.charge('api_relaxed', u => tests.caller(6), a => '203.0.113.4'), 'no block 0',
  'RATE-37: under every rule, and for every caller from there'
);
select is(
  (select array_agg(n order by n) from (
    select round(date_part('epoch', (bulwark_private.add_rate_limit_block(
      'api_strict', 'address', bulwark_private.rate_limit_hash(
        'block/address/198.51.100.1'
      ), null, null,
      null)).expires_at - clock_timestamp()) / 60) as n
    from generate_series(1, 6)
  ) s),
  array[1, 5, 15, 60, 1440, 1440]::float8[],
  'RATE-38: each block is longer than the one before: 1, 5, 15, 60 minutes, then 24 hours'
);
select is(
  (select occurrences from bulwark.security_events
   where event_type = 'rate_limit_abuse'
     and subject = bulwark_private.rate_limit_hash('block/address/198.51.100.1')::text),
  5::bigint, 'RATE-39: from the second one on it is a security event'
);
select is(
  (select count(*) from bulwark.audit_logs
   where event_type = 'security.ip_blocked' and resource_type = 'bulwark.rate_limit_blocks'),
  7::bigint, 'RATE-40: each block is in the audit log'
);
select is(
  (select count(*) > 0 from bulwark.audit_logs where event_type = 'api.rate_limit'), true,
  'RATE-41: and so is the first refusal'
);
-- an account under attack from many addresses
select tests.drain(3, 'auth_login', a => '198.51.100.' || n, account => 'target@x.test')
from generate_series(10, 60) n;
select is_empty(
  $$ select from bulwark.rate_limit_blocks
     where identifier = bulwark_private.rate_limit_hash('block/account/target@x.test') $$,
  'RATE-42: an account by itself is never blocked'
);
select is(
  tests.drain(30, 'auth_login', a => '198.51.100.9', account => 'target@x.test'), 0::bigint,
  'RATE-43: a caller who continues from one address'
);
select is(
  (select kind from bulwark.rate_limit_blocks
   where identifier = bulwark_private.rate_limit_hash('block/pair/198.51.100.9/target@x.test')),
  'pair', 'RATE-44: is blocked from it there'
);
select tests.pass_time('1 hour');
select is(got, want, claim)
from (values
  ('RATE-45: also when the bucket is full again',
   tests.charge('auth_login', a => '198.51.100.9', account => 'target@x.test'), 'no block 0'),
  ('RATE-46: and from no other account',
   tests.charge('auth_login', a => '198.51.100.9', account => 'other2@x.test'), 'yes 4'),
  ('RATE-47: while the account''s owner signs in from elsewhere',
   tests.charge('auth_login', a => '198.51.100.200', account => 'target@x.test'), 'yes 4')
) as t (claim, got, want);

select * from finish();
rollback;
