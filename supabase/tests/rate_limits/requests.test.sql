-- The pre-request hook, called as PostgREST calls it: with the role and the GUCs of a request, in
-- writing and in read-only transactions.
begin;
set local search_path = bulwark, public, extensions;
select plan(39);
select tests.create_organizations();
update bulwark.settings set value = '"x-forwarded-for"' where name = 'rate_limits.address_header';
update bulwark.settings set value = '{
  "*": "api_default", "/rpc/strict": "api_strict", "/rpc/größe": "api_strict", "/free": null
}'
where name = 'rate_limits.request_rules';

-- Sets the GUCs and the role and calls the hook, as PostgREST does. Returns "status code: headers"
-- of a refusal, else the headers of the response.
create function pg_temp.request(
  role text, claims jsonb default '{}', headers jsonb default '{}', path text default '/reports'
)
  returns jsonb
  language plpgsql
as $$
declare
  v_detail text;
  v_headers jsonb;
  v_message text;
begin
  perform set_config('request.jwt.claims', claims::text, true);
  perform set_config('request.headers', headers::text, true);
  perform set_config('request.path', path, true);
  perform set_config('response.headers', '', true);
  perform set_config('role', role, true);
  begin
    perform bulwark.check_request();
    v_headers := nullif(current_setting('response.headers', true), '')::jsonb;
  exception
    when sqlstate 'PGRST' then
      get stacked diagnostics v_detail = pg_exception_detail, v_message = message_text;
      v_headers := v_detail::jsonb || v_message::jsonb;
  end;
  perform set_config('role', 'none', true);
  return v_headers;
end;
$$;
create function pg_temp.user_request(email text, path text default '/reports')
  returns jsonb language sql
as $$
  select pg_temp.request(
    'authenticated', jsonb_build_object(
      'sub', tests.user_id(email), 'role', 'authenticated',
      'session_id', tests.session_of(tests.user_id(email))
    ),
    '{"x-forwarded-for": "203.0.113.1"}', path
  );
$$;
create function pg_temp.anonymous(header text) returns jsonb language sql
as $$
  select pg_temp.request('anon', '{"role": "anon"}', jsonb_build_object('x-forwarded-for', header));
$$;
create function pg_temp.value(headers jsonb, name text) returns text language sql
as $$ select h ->> name from jsonb_array_elements(headers) h where h ? name; $$;

-- writing requests
select results_eq(
  $$ select pg_temp.value(h, 'RateLimit-Policy'), pg_temp.value(h, 'RateLimit'),
       pg_temp.value(h, 'X-RateLimit-Limit'), pg_temp.value(h, 'X-RateLimit-Remaining'),
       pg_temp.value(h, 'X-RateLimit-Reset')
     from pg_temp.user_request('admin@acme.test') h $$,
  $$ values ('"api_default";q=60;w=60', '"api_default";r=59;t=1', '60', '59', '1') $$,
  'REQ-01: a writing request is charged, and its headers show it'
);
select is(
  pg_temp.value(pg_temp.user_request('admin@acme.test'), 'X-RateLimit-Remaining'), '58',
  'REQ-02: the next one as well'
);
select ok(
  pg_temp.value(pg_temp.user_request('viewer@globex.test'), 'Access-Control-Expose-Headers')
    ~ 'RateLimit, RateLimit-Policy, .*Retry-After',
  'REQ-34: which pages of another origin may read'
);
select is(
  pg_temp.value(pg_temp.user_request('viewer@acme.test'), 'X-RateLimit-Remaining'), '59',
  'REQ-03: another user from the same address has a bucket of their own'
);
select is(
  pg_temp.value(pg_temp.user_request('admin@acme.test', '/rpc/strict'), 'RateLimit'),
  '"api_strict";r=9;t=6', 'REQ-04: a path may have another rule'
);
select is(pg_temp.user_request('admin@acme.test', '/free'), null, 'REQ-05: or none');
select is(
  pg_temp.value(pg_temp.user_request('super@bulwark.test', '/rpc/stri%63%74'), 'RateLimit-Policy'),
  '"api_strict";q=10;w=60', 'REQ-30: however the path is written'
);
select is(
  pg_temp.value(
    pg_temp.user_request('super@bulwark.test', '/rpc/gr%C3%B6%c3%9fe'), 'RateLimit-Policy'
  ),
  '"api_strict";q=10;w=60', 'REQ-33: in whatever language'
);
select is(
  pg_temp.value(pg_temp.user_request('super@bulwark.test', '/rpc/"\%22%zz%'), 'RateLimit-Policy'),
  '"api_default";q=60;w=60', 'REQ-31: also where it is junk'
);
select throws_ok(
  $$ select pg_temp.user_request('super@bulwark.test', '/rpc/strict%00') $$, '22P05', null,
  'REQ-32: or names nothing that can be'
);
select tests.act_as_owner();
select is(
  (select count(*) from generate_series(1, 20), lateral (select pg_temp.user_request(
    'admin@acme.test', case when generate_series > 0 then '/rpc/strict' end) as h) r
   where jsonb_typeof(h) = 'array'),
  9::bigint, 'REQ-06: the rule is not exceeded'
);
select results_eq(
  $$ select h ->> 'status', h ->> 'code', h ->> 'details', h #>> '{headers,Retry-After}',
       h #>> '{headers,RateLimit}', h #>> '{headers,X-RateLimit-Remaining}'
     from pg_temp.user_request('admin@acme.test', '/rpc/strict') h $$,
  $$ values ('429', 'PT429', 'RATE_LIMIT_EXCEEDED', '6', '"api_strict";r=0;t=6', '0') $$,
  'REQ-07: beyond it is 429, with Retry-After'
);
select throws_ok(
  $$ select pg_temp.request('api_key', jsonb_build_object(
       'role', 'api_key', 'api_key_id', gen_random_uuid()
     )) $$,
  'PT401', 'Cannot authenticate: the API key is not valid',
  'REQ-08: the token of an unknown API key is refused'
);
select is(
  tests.error($$ select pg_temp.request(
    'anon', '{"role": "anon"}', '{"x-api-key": "of the host", "x-forwarded-for": "203.0.113.8"}'
  ) $$) = 'no error',
  to_regclass('bulwark.api_keys') is null,
  'REQ-35: without API keys the header x-api-key means nothing'
);
select tests.act_as_owner();
select is(
  pg_temp.request('service_role', '{"role": "service_role"}'), null,
  'REQ-09: the service role is not limited'
);

-- which address
select is(
  pg_temp.value(pg_temp.anonymous('203.0.113.9'), 'X-RateLimit-Remaining'), '59',
  'REQ-10: an unidentified caller is known by the address'
);
select is(
  pg_temp.value(pg_temp.anonymous('192.0.2.1, 203.0.113.9'), 'X-RateLimit-Remaining'), '58',
  'REQ-11: which the trusted proxy wrote, not the client'
);
select is(
  pg_temp.value(pg_temp.anonymous(repeat('192.0.2.1, ', 1000) || '203.0.113.9'),
    'X-RateLimit-Remaining'), '57',
  'REQ-12: however much it claims'
);
select is(
  (select array_agg(pg_temp.value(pg_temp.anonymous(j), 'X-RateLimit-Remaining'))
   from unnest(array['junk', '', repeat('x', 10240), ',', null]) j),
  array['59', '58', '57', '56', '55'],
  'REQ-13: junk, an empty, a huge and a missing header share one bucket'
);
update bulwark.settings set value = '2' where name = 'rate_limits.address_hops';
select is(
  pg_temp.value(pg_temp.anonymous('192.0.2.66, 203.0.113.10, 10.0.0.1'), 'X-RateLimit-Remaining'),
  '59', 'REQ-14: with two proxies it is the last but one'
);
select is(
  pg_temp.value(pg_temp.anonymous('1.1.1.1, 203.0.113.10, 10.0.0.2'), 'X-RateLimit-Remaining'),
  '58', 'REQ-15: whatever is in front'
);
update bulwark.settings set value = 'null' where name = 'rate_limits.address_header';
select is(
  pg_temp.value(pg_temp.anonymous('203.0.113.99'), 'X-RateLimit-Remaining'), '54',
  'REQ-16: where no header is trusted, everybody without a name shares one bucket'
);
update bulwark.settings set value = '"x-forwarded-for"' where name = 'rate_limits.address_header';
update bulwark.settings set value = '1' where name = 'rate_limits.address_hops';

-- a read while nobody is blocked, undone afterwards
create function pg_temp.read_without(setting text) returns text language plpgsql
as $$
begin
  delete from bulwark.settings s where s.name = setting;
  perform set_config('transaction_read_only', 'on', true);
  perform pg_temp.anonymous('203.0.113.9');
  raise exception 'served';
exception
  when raise_exception or invalid_parameter_value then
    return sqlerrm;
end;
$$;
select is(pg_temp.read_without(''), 'served', 'REQ-37: a read passes');
select is(
  pg_temp.read_without('rate_limits.next_request_check'),
  'Cannot limit the request: a setting is missing',
  'REQ-37: but not where nobody knows whether the host has a hook'
);

-- headers that were set before, and the host's own hook
create schema host;
create table public.visits (path text);
grant insert on public.visits to authenticated;
create function host.hook() returns void language plpgsql as $$
begin
  -- Found by the usual search path.
  insert into visits values (current_setting('request.path', true));
  perform set_config('response.headers', (coalesce(
    nullif(current_setting('response.headers', true), '')::jsonb, '[]')
    || jsonb_build_array(jsonb_build_object('X-Host', current_user)))::text, true);
  if current_setting('request.path', true) = '/refused' then
    raise exception 'no' using errcode = 'PT418';
  end if;
end;
$$;
grant usage on schema host to authenticated;
update bulwark.settings set value = '"host.hook"' where name = 'rate_limits.next_request_check';
select is(
  pg_temp.value(pg_temp.user_request('analyst@acme.test'), 'X-Host'), 'authenticated',
  'REQ-17: the hook that was there before runs, with the rights of the request'
);
select is(
  pg_temp.value(pg_temp.user_request('analyst@acme.test'), 'X-RateLimit-Remaining'), '58',
  'REQ-18: and its headers stand beside ours'
);
select throws_ok(
  $$ select pg_temp.user_request('analyst@acme.test', '/refused') $$, 'PT418', 'no',
  'REQ-19: its refusals are refusals'
);
select tests.act_as_owner();
select is(
  pg_temp.value(pg_temp.user_request('analyst@acme.test'), 'X-RateLimit-Remaining'), '57',
  'REQ-20: a failing request is not charged'
);
-- A hook that knows nothing of ours sets headers, too.
create or replace function host.hook() returns void language plpgsql as $$
begin
  perform set_config('response.headers', '[{"X-Host": "alone"}]', true);
end;
$$;
select results_eq(
  $$ select pg_temp.value(h, 'X-Host'), pg_temp.value(h, 'X-RateLimit-Remaining'),
       jsonb_array_length(h)
     from pg_temp.user_request('analyst@acme.test') h $$,
  $$ values ('alone', '56', 7) $$,
  'REQ-36: headers that a hook sets instead of ours stand beside ours'
);
create or replace function host.hook() returns void language plpgsql as $$
begin
  perform set_config('response.headers', '', true);
end;
$$;
select is(
  pg_temp.value(pg_temp.user_request('analyst@acme.test'), 'X-RateLimit-Remaining'), '55',
  'REQ-36: and where it removes them they are back'
);
update bulwark.settings set value = 'null' where name = 'rate_limits.next_request_check';
select tests.act_as('admin@acme.test');
select set_config('response.headers', '[{"X-Before": "1"}]', true);
select bulwark.check_request();
select is(
  pg_temp.value(current_setting('response.headers')::jsonb, 'X-Before'), '1',
  'REQ-21: headers that were set before are kept'
);
select tests.act_as_owner();

-- blocked callers
select bulwark_private.add_rate_limit_block(
  'api_strict', 'address', bulwark_private.rate_limit_hash(
    'block/address/203.0.113.30'
  ), null, null, null
);
select bulwark_private.add_rate_limit_block(
  'api_strict', 'pair',
  bulwark_private.rate_limit_hash(concat(
    'block/pair/203.0.113.1/', tests.user_id('viewer@globex.test'))), null, null, null
);
select bulwark.list_network('203.0.113.128/25', 'block', 'a botnet');
select is(
  pg_temp.anonymous('203.0.113.30') ->> 'details', 'RATE_LIMIT_BLOCKED',
  'REQ-22: a blocked caller writes nothing'
);

-- from here on read-only, without a user
select tests.session_of(u.id) from auth.users u;
set transaction read only;
select is(
  pg_temp.anonymous('203.0.113.30') ->> 'details', 'RATE_LIMIT_BLOCKED',
  'REQ-23: and reads nothing'
);
select is(
  pg_temp.anonymous('203.0.113.200') ->> 'status', '429',
  'REQ-24: nor does a caller from a listed network'
);
select is(
  pg_temp.user_request('viewer@globex.test') #>> '{headers,Retry-After}', '60',
  'REQ-25: nor an account from where it is blocked'
);
select is(
  pg_temp.request(
    'authenticated', jsonb_build_object('sub', tests.user_id('viewer@globex.test')),
    '{"x-forwarded-for": "203.0.113.2"}'
  ),
  null, 'REQ-26: which reads from elsewhere'
);
select is(
  (select count(*) from generate_series(1, 100) n, lateral (
    select pg_temp.anonymous('203.0.113.' || 40 + n * 0) as h) r where h is null),
  100::bigint, 'REQ-27: reads are not charged'
);
select is(
  pg_temp.request('service_role', '{}', '{"x-forwarded-for": "203.0.113.30"}'), null,
  'REQ-28: the service role is not blocked'
);
select is(
  (select array_agg(pg_temp.anonymous(j))
   from unnest(array['junk', '', repeat('x', 10240), null]) j),
  array_fill(null::jsonb, array[4]), 'REQ-29: junk does not make a read fail'
);
select * from finish();
rollback;
