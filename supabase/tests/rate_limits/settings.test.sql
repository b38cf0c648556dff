-- Rate limits: malformed settings.
begin;
set local search_path = bulwark, public, extensions;
select plan(33);
select tests.create_organizations();

select is(
  tests.error(format(
    'update bulwark.settings set value = %L where name = %L', s.value, 'rate_limits.' || s.name
  )),
  s.problem, 'RATE-80: ' || s.name || ' as ' || s.value
)
from (values
  ('address_header', 'null', 'no error'), ('address_header', '"cf-connecting-ip"', 'no error'),
  ('address_header', '["x-forwarded-for"]', '23514'), ('address_header', '""', '23514'),
  ('address_hops', '2', 'no error'), ('address_hops', 'null', '23514'),
  ('address_hops', '"2"', '23514'), ('address_hops', '0', '23514'),
  ('request_rules', '{"*": "api_strict", "/rpc/free": null}', 'no error'),
  ('request_rules', 'null', '23514'), ('request_rules', '"api_default"', '23514'),
  ('request_rules', '{"/rpc/free": null}', '23514'),
  ('request_rules', '{"*": ["api_default"]}', '23514'),
  ('request_wait_ms', '"soon"', '23514'), ('request_wait_ms', '0', '23514'),
  ('next_request_check', '"public.mine"', 'no error'), ('next_request_check', 'true', '23514'),
  ('denials_before_block', '0', '23514'), ('denials_window_seconds', 'null', '23514'),
  ('block_minutes', '[]', '23514'), ('block_minutes', '[1, "5"]', '23514'),
  ('block_minutes', '[1, 2]', 'no error')
) as s (name, value, problem);

-- A missing rule or hook fails the requests that need it.
create function pg_temp.request(role text) returns text language plpgsql as $$
declare
  v_error text;
begin
  perform set_config('request.jwt.claims', json_build_object(
    'role', role, 'sub', tests.user_id('admin@acme.test'),
    'session_id', tests.session_of(tests.user_id('admin@acme.test'))
  )::text, true);
  perform set_config('request.headers', '{}', true);
  perform set_config('role', role, true);
  v_error := tests.error('select bulwark.check_request()');
  perform tests.act_as_owner();
  return v_error;
end;
$$;
update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check';
select is(pg_temp.request('authenticated'), 'no error', 'RATE-81: (a request that writes)');
update bulwark.settings set value = '{"*": "gone"}' where name = 'rate_limits.request_rules';
select is(
  pg_temp.request('authenticated'), '22023 RATE_LIMIT_UNKNOWN_RULE',
  'RATE-81: under a rule that does not exist nothing is written'
);
select is(pg_temp.request('anon'), '22023 RATE_LIMIT_UNKNOWN_RULE', 'RATE-81: by nobody either');
select is(pg_temp.request('service_role'), 'no error', 'RATE-81: the service role goes on');
update bulwark.settings set value = '{"*": null}' where name = 'rate_limits.request_rules';
select is(pg_temp.request('authenticated'), 'no error', 'RATE-81: no rule is said as null');
update bulwark.settings set value = '"public.gone"' where name = 'rate_limits.next_request_check';
select is(
  pg_temp.request('authenticated'), '42883', 'RATE-81: without the next hook there is no request'
);
update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check';

-- the lists
select tests.error_is('RATE-82: what would be found for nobody is not listed: ' || n.network,
  '22023 RATE_LIMIT_INVALID_NETWORK',
  format('select bulwark.list_network(%L, ''block'', ''a test'')', n.network))
from unnest('{2001:db8::1,2001:db8::/65,::ffff:203.0.113.5}'::text[]) as n (network);
select tests.error_is('RATE-82: a /64 is', 'no error',
  'select bulwark.list_network(''2001:db8::/64'', ''block'', ''a test'')');
select is(
  (select c.reason from bulwark.check_rate_limit('api_strict', address => '2001:db8::1') c),
  'block', 'RATE-82: and holds for each address in it'
);

select * from finish();
rollback;
