-- Rate limits: buckets, who is charged, blocks, and who may change rules.
begin;
set local search_path = public, bulwark, extensions;
select plan(79);
select tests.create_organizations();

create function pg_temp.check(
  rule text default 'api_default', u uuid default null, k uuid default null,
  a text default null, account text default null, o uuid default null, cost integer default 1
)
  returns text
  language sql
as $$
  select concat_ws(' ', case when c.allowed then 'yes' else 'no' end, c.reason, c.remaining)
  from bulwark.check_rate_limit(rule, u, k, a, account, o, cost) c;
$$;
create function pg_temp.drain(
  times integer, rule text default 'api_default', u uuid default null, k uuid default null,
  a text default null, account text default null, o uuid default null
)
  returns bigint
  language plpgsql
as $$
declare
  v_admitted bigint := 0;
begin
  for n in 1 .. times loop
    v_admitted := v_admitted + (
      select c.allowed::integer from bulwark.check_rate_limit(rule, u, k, a, account, o) c
    );
  end loop;
  return v_admitted;
end;
$$;
create function pg_temp.user(n integer) returns uuid language sql
as $$ select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid; $$;
-- Moves all buckets into the past.
create function pg_temp.wait(i interval) returns void language sql
as $$ update bulwark_private.rate_limits
   set full_at = full_at - (date_part('epoch', i) * 1000000)::bigint; $$;

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
select is(pg_temp.check(u => pg_temp.user(1)), 'yes 59', 'RATE-02: a full bucket admits');
select is(
  pg_temp.drain(70, u => pg_temp.user(1)), 59::bigint, 'RATE-03: no more than its capacity'
);
select is(
  pg_temp.check(u => pg_temp.user(1)), 'no rate 0', 'RATE-04: a refusal is a row, not an error'
);
select is(
  (select array[retry_after_seconds, capacity, window_seconds]
   from bulwark.check_rate_limit('api_default', pg_temp.user(1))),
  array[1, 60, 60], 'RATE-05: with the time to retry after'
);
select is(
  (select array[c.when_store_fails::text, c.rule] from unnest(array['api_default', 'api_strict']) r,
    lateral bulwark.check_rate_limit(r, pg_temp.user(40)) c where r = 'api_strict'),
  array['closed', 'api_strict'],
  'RATE-77: a decision has its rule and failure mode'
);
select is(
  pg_temp.check(u => pg_temp.user(2)), 'yes 59', 'RATE-06: another user has another bucket'
);
select is(
  pg_temp.check('api_relaxed', u => pg_temp.user(1)), 'yes 119',
  'RATE-07: and so has another rule'
);
select pg_temp.wait('10 seconds');
select is(
  pg_temp.drain(70, u => pg_temp.user(1)), 10::bigint,
  'RATE-08: it is refilled evenly: a sixth of the window is a sixth of the capacity'
);
select pg_temp.wait('1 hour');
select is(
  pg_temp.drain(70, u => pg_temp.user(1)), 60::bigint, 'RATE-09: and never beyond its capacity'
);
-- A row that was written before the clock jumped back by an hour.
select pg_temp.wait('-1 hour');
select is(
  pg_temp.drain(70, u => pg_temp.user(1)), 0::bigint,
  'RATE-10: a clock that jumps back gains nothing'
);
select cmp_ok(
  (select reset_seconds from bulwark.check_rate_limit('api_default', pg_temp.user(1))), '<=', 60,
  'RATE-11: and refuses nobody for longer than a window'
);
select is(
  pg_temp.check(u => pg_temp.user(3), cost => 60),
  'yes 0', 'RATE-12: a call may cost the whole bucket'
);
select is(
  pg_temp.check(u => pg_temp.user(4), cost => 59), 'yes 1', 'RATE-13: or any part of it'
);
select is(
  pg_temp.check(u => pg_temp.user(4), cost => 2), 'no rate 1',
  'RATE-14: a call that costs more than the remaining tokens is refused'
);
select is(pg_temp.check(u => pg_temp.user(4)), 'yes 0', 'RATE-15: and is not lost by its refusal');
select is(
  tests.error($$ select pg_temp.check(cost => 61) $$), '22023 RATE_LIMIT_INVALID_COST',
  'RATE-16: a call that could never pay is an error'
);
select is(
  tests.error($$ select pg_temp.check(cost => 0) $$), '22023 RATE_LIMIT_INVALID_COST',
  'RATE-17: and so is one for nothing'
);
select is(
  tests.error($$ select pg_temp.check(cost => null) $$), '22023 RATE_LIMIT_INVALID_COST',
  'RATE-18: or for null'
);
select is(
  tests.error($$ select pg_temp.check('api_defualt') $$), '22023 RATE_LIMIT_UNKNOWN_RULE',
  'RATE-19: an unknown rule is an error and never a yes'
);
select is(
  tests.error($$ select pg_temp.check(null) $$), '22023 RATE_LIMIT_UNKNOWN_RULE',
  'RATE-20: and so is none'
);

-- who is charged
select pg_temp.drain(5, 'api_strict', a => '203.0.113.1');
select is(
  pg_temp.check('api_strict', a => '203.0.113.1'), 'yes 4', 'RATE-21: an address has a bucket'
);
select is(
  pg_temp.check('api_strict', u => pg_temp.user(5), a => '203.0.113.1'), 'yes 9',
  'RATE-22: a user or API key is not charged to the address'
);
select is(
  pg_temp.check('api_strict', k => pg_temp.user(5), a => '203.0.113.1'), 'yes 9',
  'RATE-23: an API key is charged to no user'
);
select pg_temp.check('api_strict', a => '2001:db8:1:2:3::4');
select is(
  pg_temp.check('api_strict', a => '2001:db8:1:2:ffff:1:2:3'), 'yes 8',
  'RATE-24: an IPv6 /64 is one address'
);
select is(
  pg_temp.check('api_strict', a => '2001:db8:1:3::4'), 'yes 9', 'RATE-25: the next one is another'
);
select is(
  pg_temp.check('api_strict', a => '::ffff:203.0.113.1'), 'yes 3',
  'RATE-26: an IPv4 address in IPv6 clothes is the same one'
);
select is(
  pg_temp.check('api_strict', a => '203.0.113.1:4711'), 'yes 2', 'RATE-27: also with a port'
);
select pg_temp.check('api_strict');
select is(
  (select array_agg(pg_temp.check('api_strict', a => j))
   from unnest(array[
     '', 'junk', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '::1::', 'fe80::1%eth0',
     repeat('9', 10000)
   ]) j),
  array['yes 8', 'yes 7', 'yes 6', 'yes 5', 'yes 4', 'yes 3', 'yes 2', 'yes 1', 'yes 0'],
  'RATE-28: malformed addresses share one bucket with missing ones'
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
select pg_temp.drain(5, 'auth_login', a => '203.0.113.2', account => 'victim@x.test');
select is(
  pg_temp.check('auth_login', a => '203.0.113.2', account => 'other@x.test'), 'no rate 0',
  'RATE-30: a sign-in is refused for its address'
);
select is(
  pg_temp.check('auth_login', a => '203.0.113.3', account => 'other@x.test'), 'yes 4',
  'RATE-31: which took nothing from the account it was about'
);
select is(
  pg_temp.check('auth_login', a => '203.0.113.3', account => ' VICTIM@x.test '), 'no rate 0',
  'RATE-32: it is refused for its account, however that is written'
);
select is(
  pg_temp.check('auth_login', a => '203.0.113.3', account => repeat(' ', 400) || 'victim@x.test'),
  'no rate 0', 'RATE-76: also behind more spaces than an address may be long'
);
select is(
  pg_temp.drain(9, 'auth_login', a => '203.0.113.3', account => 'third@x.test'), 4::bigint,
  'RATE-33: which took nothing from the address'
);

-- blocks: repeated refusals
select is(
  pg_temp.drain(40, 'api_strict', a => '203.0.113.4'), 10::bigint, 'RATE-34: somebody goes on'
);
select is(
  (select concat_ws(' ', kind, step, round(date_part('epoch', expires_at - blocked_at)))
   from bulwark.rate_limit_blocks),
  'address 1 60', 'RATE-35: and is blocked for a minute'
);
select pg_temp.wait('1 hour');
select is(
  pg_temp.check('api_strict', a => '203.0.113.4'), 'no block 0',
  'RATE-36: a blocked address is refused although its bucket is full'
);
select is(
  pg_temp.check('api_relaxed', u => pg_temp.user(6), a => '203.0.113.4'), 'no block 0',
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
select pg_temp.drain(3, 'auth_login', a => '198.51.100.' || n, account => 'target@x.test')
from generate_series(10, 60) n;
select is_empty(
  $$ select from bulwark.rate_limit_blocks
     where identifier = bulwark_private.rate_limit_hash('block/account/target@x.test') $$,
  'RATE-42: an account by itself is never blocked'
);
select is(
  pg_temp.drain(30, 'auth_login', a => '198.51.100.9', account => 'target@x.test'), 0::bigint,
  'RATE-43: a caller who continues from one address'
);
select is(
  (select kind from bulwark.rate_limit_blocks
   where identifier = bulwark_private.rate_limit_hash('block/pair/198.51.100.9/target@x.test')),
  'pair', 'RATE-44: is blocked from it there'
);
select pg_temp.wait('1 hour');
select is(
  pg_temp.check('auth_login', a => '198.51.100.9', account => 'target@x.test'), 'no block 0',
  'RATE-45: also when the bucket is full again'
);
select is(
  pg_temp.check('auth_login', a => '198.51.100.9', account => 'other2@x.test'), 'yes 4',
  'RATE-46: and from no other account'
);
select is(
  pg_temp.check('auth_login', a => '198.51.100.200', account => 'target@x.test'), 'yes 4',
  'RATE-47: while the account''s owner signs in from elsewhere'
);

-- lists
select lives_ok(
  $$ select bulwark.list_network('192.0.2.0/24', 'block', 'a botnet') $$,
  'RATE-48: a network is listed'
);
select is(pg_temp.check(a => '192.0.2.77'), 'no block 0', 'RATE-49: an address in it is refused');
select lives_ok(
  $$ select bulwark.list_network('192.0.2.77', 'allow', 'our office') $$,
  'RATE-50: an address in it is allowed'
);
select is(
  pg_temp.drain(100, a => '192.0.2.77'), 100::bigint, 'RATE-51: and is not limited by address'
);
select is(
  pg_temp.drain(100, u => pg_temp.user(7), a => '192.0.2.77'), 60::bigint,
  'RATE-52: while users from there are limited as users'
);
select lives_ok($$ select bulwark.unlist_network('192.0.2.0/24') $$, 'RATE-53: it is unlisted');
select is(pg_temp.check(a => '192.0.2.78'), 'yes 59', 'RATE-54: and admitted again');
select is(
  (select array_agg(tests.error(format('select bulwark.list_network(%L, ''block'', ''x'')', n)))
   from unnest(array['0.0.0.0/0', '::/0', 'junk', '192.0.2.1/24', null]) n),
  array_fill('22023 RATE_LIMIT_INVALID_NETWORK'::text, array[5]),
  'RATE-55: nobody blocks the whole internet, or an invalid network'
);
select is(
  tests.error($$ select bulwark.list_network('192.0.2.1', 'block', ' ') $$),
  '22023 RATE_LIMIT_INVALID_LISTING', 'RATE-56: or without a reason'
);

-- a changed rule applies to existing buckets
select pg_temp.drain(3, 'symbi_assessment', u => pg_temp.user(41));
select bulwark.set_rate_limit('symbi_assessment', 5, 60);
select is(
  pg_temp.drain(9, 'symbi_assessment', u => pg_temp.user(41)), 4::bigint,
  'RATE-78: a smaller limit applies at once, also to the remaining tokens'
);
select bulwark.set_rate_limit('symbi_assessment', 30, 60);
select is(
  (select array[capacity, window_seconds, remaining]
   from bulwark.check_rate_limit('symbi_assessment', pg_temp.user(41))),
  array[30, 60, 2], 'RATE-79: and a larger one'
);

-- overrides
select bulwark.set_rate_limit('api_strict', 3, 60, tests.organization_id('acme'));
select bulwark.set_rate_limit('api_strict', 2, 60, null, pg_temp.user(8));
select is(
  pg_temp.drain(9, 'api_strict', u => pg_temp.user(9), o => tests.organization_id('acme')),
  3::bigint, 'RATE-57: an organization has limits of its own'
);
select is(
  pg_temp.drain(20, 'api_strict', u => pg_temp.user(10), o => tests.organization_id('globex')),
  10::bigint, 'RATE-58: another one has not'
);
select is(
  pg_temp.drain(
    9, 'api_strict', k => pg_temp.user(8), o => tests.organization_id('acme')
  ),
  2::bigint, 'RATE-59: an API key''s override comes before its organization''s'
);
select lives_ok(
  $$ select bulwark.clear_rate_limit('api_strict', tests.organization_id('acme')) $$,
  'RATE-60: they are removed'
);

-- a key from a new network
select pg_temp.check(k => pg_temp.user(20), a => '203.0.113.50');
select is_empty(
  $$ select from bulwark.security_events where event_type = 'key_from_new_network' $$,
  'RATE-61: the first network of an API key is no event'
);
select pg_temp.check(
  k => pg_temp.user(20), a => '198.51.100.50', o => tests.organization_id('acme')
);
select results_eq(
  $$ select organization_id, subject from bulwark.security_events
     where event_type = 'key_from_new_network' $$,
  $$ select tests.organization_id('acme'), pg_temp.user(20)::text $$,
  'RATE-62: each new one after it is a security event'
);

-- cleanup
delete from bulwark_private.rate_limits;
select pg_temp.check(u => pg_temp.user(30));
select pg_temp.wait('30 minutes');
select is(
  bulwark.cleanup_old_rate_limits(), 0::bigint, 'RATE-63: a full bucket is kept for an hour'
);
select pg_temp.wait('1 day');
insert into bulwark_private.rate_limits
  (id, scope, full_at, emission_us, capacity, window_seconds, when_store_fails)
values (
  gen_random_uuid(), 0, date_part('epoch', now() + interval '1 minute') * 1000000, 1, 1, 1, 'open'
);
select is(
  bulwark.cleanup_old_rate_limits(), 1::bigint,
  'RATE-64: after that time it is removed, and no other'
);
select is(
  (select count(*) > 0 from bulwark.rate_limit_blocks), true, 'RATE-65: blocks stay'
);

-- acting as an administrator of acme: nobody changes their own limits
select tests.act_as('admin@acme.test');
select is(
  (select array_agg(distinct tests.error(s)) from unnest(array[
    $$ select bulwark.set_rate_limit('api_strict', 1000000, 1) $$,
    $$ select bulwark.set_rate_limit('api_strict', 9, 1, tests.organization_id('acme')) $$,
    $$ select bulwark.clear_rate_limit('api_strict', null, pg_temp.user(8)) $$,
    $$ select bulwark.list_network('192.0.2.77', 'allow', 'me') $$,
    $$ select bulwark.unlist_network('192.0.2.77') $$,
    $$ select bulwark.lift_rate_limit_block(gen_random_uuid()) $$
  ]) s),
  array['42501 RBAC_PERMISSION_DENIED'],
  'RATE-66: an organization raises no limits, lists no networks and lifts no blocks'
);
select is(
  (select array_agg(distinct tests.error(s)) from unnest(array[
    $$ select bulwark.check_rate_limit('api_default', pg_temp.user(1)) $$,
    $$ select bulwark.rate_limit_rule('api_default') $$,
    $$ select bulwark.rate_limit_block_of('api_default') $$,
    $$ select bulwark.record_rate_limit_denial('api_default', '{user}', '{x}') $$,
    $$ select bulwark.begin_login('victim@x.test') $$,
    $$ select bulwark.finish_login('victim@x.test') $$,
    $$ select bulwark.cleanup_old_rate_limits() $$,
    $$ update bulwark.rate_limit_rules set capacity = 1000000 $$,
    $$ delete from bulwark.rate_limit_blocks $$
  ]) s),
  array['42501'], 'RATE-67: a client charges no bucket and writes nothing'
);
select isnt_empty($$ select from bulwark.rate_limit_rules $$, 'RATE-68: the rules are visible');
select is_empty(
  $$ select from bulwark.rate_limit_blocks union all select from bulwark.rate_limit_networks
     union all select from bulwark.rate_limit_overrides $$,
  'RATE-69: blocks, lists and others'' overrides are not visible'
);

-- acting as a super_admin
select tests.act_as('super@bulwark.test');
select isnt_empty(
  $$ select from bulwark.rate_limit_blocks $$, 'RATE-70: a super_admin reads the blocks'
);
select is(
  (select lifted_by from bulwark.lift_rate_limit_block((
    select b.id from bulwark.rate_limit_blocks b where b.expires_at > now() order by b.id limit 1
  ))),
  tests.user_id('super@bulwark.test'), 'RATE-71: and lifts one'
);
select is(
  tests.error($$ select bulwark.lift_rate_limit_block(
    (select b.id from bulwark.rate_limit_blocks b where b.lifted_at is not null)) $$),
  'PT404 RATE_LIMIT_UNKNOWN_BLOCK', 'RATE-72: once'
);
select is(
  tests.error($$ select bulwark.set_rate_limit('api_strict', 0, 60) $$),
  '22023 RATE_LIMIT_INVALID_LIMIT', 'RATE-73: a limit is at least one call'
);
select is(
  tests.error($$ select bulwark.set_rate_limit('api_strict', 1, 60, gen_random_uuid()) $$),
  'PT404 RBAC_UNKNOWN_ORGANIZATION', 'RATE-74: of an organization that exists'
);

-- as the owner
select tests.act_as_owner();
select is(
  (select c.relpersistence::text from pg_class c
    where c.oid = 'bulwark_private.rate_limits'::regclass)
  || (select c.relpersistence::text from pg_class c
      where c.oid = 'bulwark.rate_limit_blocks'::regclass)
  || (select c.relpersistence::text from pg_class c
      where c.oid = 'bulwark_private.rate_limit_violations'::regclass),
  'upp', 'RATE-75: buckets are not logged; blocks and violations are'
);
select * from finish();
rollback;
