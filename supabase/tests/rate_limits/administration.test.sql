-- Rate limits: lists of networks, overrides, cleanup, and who may change rules.
begin;
set local search_path = bulwark, public, extensions;
select plan(30);
select tests.create_organizations();
select tests.drain(40, 'api_strict', a => '203.0.113.4');

-- lists
select tests.error_is('RATE-48: a network is listed', 'no error',
  $$ select bulwark.list_network('192.0.2.0/24', 'block', 'a botnet') $$);
select is(tests.charge(a => '192.0.2.77'), 'no block 0', 'RATE-49: an address in it is refused');
select tests.error_is('RATE-50: an address in it is allowed', 'no error',
  $$ select bulwark.list_network('192.0.2.77', 'allow', 'our office') $$);
select is(
  tests.drain(100, a => '192.0.2.77'), 100::bigint, 'RATE-51: and is not limited by address'
);
select is(
  tests.drain(100, u => tests.caller(7), a => '192.0.2.77'), 60::bigint,
  'RATE-52: while users from there are limited as users'
);
select tests.error_is('RATE-53: it is unlisted', 'no error',
  $$ select bulwark.unlist_network('192.0.2.0/24') $$);
select is(tests.charge(a => '192.0.2.78'), 'yes 59', 'RATE-54: and admitted again');
select is(
  (select array_agg(tests.error(format('select bulwark.list_network(%L, ''block'', ''x'')', n)))
   from unnest(array['0.0.0.0/0', '::/0', 'junk', '192.0.2.1/24', null]) n),
  array_fill('22023 RATE_LIMIT_INVALID_NETWORK'::text, array[5]),
  'RATE-55: nobody blocks the whole internet, or an invalid network'
);
select tests.error_is('RATE-56: or without a reason', '22023 RATE_LIMIT_INVALID_LISTING',
  $$ select bulwark.list_network('192.0.2.1', 'block', ' ') $$);

-- a changed rule applies to existing buckets
select tests.drain(3, 'symbi_assessment', u => tests.caller(41));
select bulwark.set_rate_limit('symbi_assessment', 5, 60);
select is(
  tests.drain(9, 'symbi_assessment', u => tests.caller(41)), 4::bigint,
  'RATE-78: a smaller limit applies at once, also to the remaining tokens'
);
select bulwark.set_rate_limit('symbi_assessment', 30, 60);
select is(
  (select array[capacity, window_seconds, remaining]
   from bulwark.check_rate_limit('symbi_assessment', tests.caller(41))),
  array[30, 60, 2], 'RATE-79: and a larger one'
);

-- overrides
select bulwark.set_rate_limit('api_strict', 3, 60, tests.acme());
select bulwark.set_rate_limit('api_strict', 2, 60, null, tests.caller(8));
select is(got, want, claim)
from (values
  ('RATE-57: an organization has limits of its own',
   tests.drain(9, 'api_strict', u => tests.caller(9), o => tests.acme()), 3::bigint),
  ('RATE-58: another one has not',
   tests.drain(20, 'api_strict', u => tests.caller(10), o => tests.globex()), 10::bigint),
  ('RATE-59: an API key''s override comes before its organization''s',
   tests.drain(9, 'api_strict', k => tests.caller(8), o => tests.acme()), 2::bigint)
) as t (claim, got, want);
select tests.error_is('RATE-60: they are removed', 'no error',
  $$ select bulwark.clear_rate_limit('api_strict', tests.acme()) $$);

-- a key from a new network
select tests.charge(k => tests.caller(20), a => '203.0.113.50');
select is_empty(
  $$ select from bulwark.security_events where event_type = 'key_from_new_network' $$,
  'RATE-61: the first network of an API key is no event'
);
select tests.charge(k => tests.caller(20), a => '198.51.100.50', o => tests.acme());
select results_eq(
  $$ select organization_id, subject from bulwark.security_events
     where event_type = 'key_from_new_network' $$,
  $$ select tests.acme(), tests.caller(20)::text $$,
  'RATE-62: each new one after it is a security event'
);

-- cleanup
delete from bulwark_private.rate_limits;
select tests.charge(u => tests.caller(30));
select tests.pass_time('30 minutes');
select is(
  bulwark.cleanup_old_rate_limits(), 0::bigint, 'RATE-63: a full bucket is kept for an hour'
);
select tests.pass_time('1 day');
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
    $$ select bulwark.set_rate_limit('api_strict', 9, 1, tests.acme()) $$,
    $$ select bulwark.clear_rate_limit('api_strict', null, tests.caller(8)) $$,
    $$ select bulwark.list_network('192.0.2.77', 'allow', 'me') $$,
    $$ select bulwark.unlist_network('192.0.2.77') $$,
    $$ select bulwark.lift_rate_limit_block(gen_random_uuid()) $$
  ]) s),
  array['42501 RBAC_PERMISSION_DENIED'],
  'RATE-66: an organization raises no limits, lists no networks and lifts no blocks'
);
select is(
  (select array_agg(distinct tests.error(s)) from unnest(array[
    $$ select bulwark.check_rate_limit('api_default', tests.caller(1)) $$,
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
select tests.error_is('RATE-72: once', 'PT404 RATE_LIMIT_UNKNOWN_BLOCK',
  $$ select bulwark.lift_rate_limit_block((select b.id from bulwark.rate_limit_blocks b where
    b.lifted_at is not null)) $$);
select tests.error_is('RATE-73: a limit is at least one call', '22023 RATE_LIMIT_INVALID_LIMIT',
  $$ select bulwark.set_rate_limit('api_strict', 0, 60) $$);
select tests.error_is('RATE-74: of an organization that exists', 'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select bulwark.set_rate_limit('api_strict', 1, 60, gen_random_uuid()) $$);

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
