-- API keys in the header of a request, driven as PostgREST drives its pre-request hook; the
-- exchange; reports of leaks. tests/api_keys/header.test.ts does this on a connection as
-- authenticator.
begin;
set local search_path = bulwark, public, extensions;
select plan(61);
select tests.create_organizations();
-- The settings of the Data API's connections.
set local log_parameter_max_length = 0;
update bulwark.settings set value = '"x-forwarded-for"' where name = 'rate_limits.address_header';
select tests.act_as('admin@acme.test');
create temporary table key as
  select 'key' as name, k.id, k.api_key from bulwark.create_api_key(
    tests.acme(), 'key', '{analytics:read,analytics:write}'
  ) k
  union all
  select 'office', k.id, k.api_key from bulwark.create_api_key(
    tests.acme(), 'office', '{analytics:read}', networks => '{203.0.113.0/24}'
  ) k
  union all
  select 'strict', k.id, k.api_key from bulwark.create_api_key(
    tests.acme(), 'strict', '{analytics:read}', rate_limit_rule => 'api_strict'
  ) k
  union all
  select 'expired', k.id, k.api_key from bulwark.create_api_key(
    tests.acme(), 'expired', '{analytics:read}'
  ) k
  union all
  select 'revoked', k.id, k.api_key from bulwark.create_api_key(
    tests.acme(), 'revoked', '{analytics:read}'
  ) k;
select tests.act_as_owner();
update bulwark.api_keys set expires_at = now() where name = 'expired';
select bulwark.revoke_api_key(id, 'for this test') from key where name = 'revoked';
create function pg_temp.key(name text) returns text language sql as $$
  select api_key from key k where k.name = key.name;
$$;

-- Sets the GUCs and the role and calls the hook. Returns the identity for the rest of the
-- transaction, or the error.
create function pg_temp.request(
  api_key text, role text default 'anon', claims jsonb default '{}',
  address text default '198.51.100.1'
)
  returns jsonb
  language plpgsql
as $$
declare
  v_answer jsonb;
  v_detail text;
  v_message text;
begin
  perform set_config(
    'request.jwt.claims', (claims || jsonb_build_object('role', role))::text, true
  );
  perform set_config('request.headers', jsonb_strip_nulls(jsonb_build_object(
    'x-api-key', api_key, 'x-forwarded-for', address, 'user-agent', 'a script'
  ))::text, true);
  perform set_config('request.path', '/reports', true);
  perform set_config('response.headers', '', true);
  perform set_config('role', role, true);
  begin
    perform bulwark.check_request();
    v_answer := jsonb_build_object(
      'role', current_setting('role'), 'claims', current_setting('request.jwt.claims')::jsonb,
      'headers', current_setting('request.headers')::jsonb,
      'limit', nullif(current_setting('response.headers', true), '')::jsonb -> 0
    );
  exception
    when sqlstate 'PT401' or sqlstate 'PT503' or sqlstate 'PGRST' then
      get stacked diagnostics v_detail = pg_exception_detail, v_message = message_text;
      v_answer := jsonb_build_object('error', sqlstate, 'detail', v_detail, 'message', v_message);
  end;
  perform tests.act_as_owner();
  perform set_config('request.headers', '', true);
  return v_answer;
end;
$$;

-- a key in the header
select is(
  pg_temp.request(pg_temp.key('key')) ->> 'role', 'api_key',
  'KEY-60: a request with a key in its header runs as api_key'
);
select is(
  pg_temp.request(pg_temp.key('key')) -> 'claims',
  jsonb_build_object(
    'role', 'api_key', 'api_key_id', (select id from key where name = 'key'),
    'organization_id', tests.acme()
  ), 'KEY-60: with the claims of the key and no others'
);
select ok(
  not pg_temp.request(pg_temp.key('key')) -> 'headers' ? 'x-api-key',
  'KEY-61: the key is not among the headers that the request''s functions can read'
);
select is(
  pg_temp.request(pg_temp.key('key')) -> 'limit' ->> 'RateLimit-Policy', '"api_default";q=60;w=60',
  'KEY-62: it is charged under the key''s own rule'
);
select is(
  pg_temp.request(pg_temp.key('strict')) -> 'limit' ->> 'RateLimit-Policy',
  '"api_strict";q=10;w=60', 'KEY-62: whichever that is'
);
select is(
  pg_temp.request(pg_temp.key('office'), address => '203.0.113.9') ->> 'role', 'api_key',
  'KEY-63: from an allowed network it is accepted'
);
select is(
  pg_temp.request(r.api_key, r.role, r.claims),
  '{"error": "PT401", "detail": "API_KEY_INVALID",
    "message": "Cannot authenticate: the API key is not valid"}',
  'KEY-64: one answer to a key that is ' || reason
)
from (
  select 'wrong' as reason, 'bwk_live_' || repeat('0', 38) as api_key, 'anon' as role,
    '{}'::jsonb as claims
  union all select 'malformed', 'bwk', 'anon', '{}'
  union all select 'empty', '', 'anon', '{}'
  union all
  select 'another installation''s', 'abc_live_' || substr(pg_temp.key('key'), 10), 'anon', '{}'
  union all select 'cut off', left(pg_temp.key('key'), -1), 'anon', '{}'
  union all select 'revoked', pg_temp.key('revoked'), 'anon', '{}'
  union all select 'expired', pg_temp.key('expired'), 'anon', '{}'
  union all select 'from elsewhere', pg_temp.key('office'), 'anon', '{}'
  union all select 'revoked, in a token', null, 'api_key', jsonb_build_object(
    'api_key_id', (select id from key where name = 'revoked'))
  union all select 'from elsewhere, in a token', null, 'api_key', jsonb_build_object(
    'api_key_id', (select id from key where name = 'office'))
  union all select 'none, in a token', null, 'api_key', '{}'
) r;
select is(
  pg_temp.request(pg_temp.key('key'), 'authenticated', jsonb_build_object(
    'sub', tests.user_id('viewer@acme.test'))) ->> 'role',
  'authenticated', 'KEY-65: a person''s request stays a person''s, whatever else it carries'
);
select is(
  pg_temp.request(null) ->> 'role', 'anon', 'KEY-65: and one without a key nobody''s'
);
select is(
  pg_temp.request(null, 'api_key', jsonb_build_object(
    'api_key_id', (select id from key where name = 'key'))) ->> 'role',
  'api_key', 'KEY-66: a token of a key in force goes through'
);
-- An authenticated request keeps its identity, and the key is removed from its headers too.
select results_eq(
  $$ select a ->> 'role', a -> 'headers' ? 'x-api-key',
       a -> 'claims' ->> 'api_key_id' = own.id::text
     from key own, unnest('{authenticated,service_role,api_key}'::text[]) as r (role), lateral (
       select pg_temp.request(pg_temp.key('key'), r.role, jsonb_strip_nulls(jsonb_build_object(
         'sub', case when r.role <> 'api_key' then tests.user_id('viewer@acme.test') end,
         'api_key_id', own.id)))) as q (a)
     where own.name = 'strict' order by r.role $$,
  $$ values ('api_key', false, true), ('authenticated', false, true),
            ('service_role', false, true) $$,
  'KEY-65: any token takes precedence over a key'
);

-- Malformed spellings of a key.
create function pg_temp.with_headers(headers text, role text, out error text, out said text)
  language plpgsql as $$
declare
  v_context text;
  v_detail text;
  v_message text;
begin
  perform set_config('request.jwt.claims', json_build_object('role', role)::text, true);
  perform set_config('request.headers', headers, true);
  perform set_config('role', role, true);
  begin
    perform bulwark.check_request();
    error := 'none';
  exception when others then
    get stacked diagnostics v_context = pg_exception_context, v_detail = pg_exception_detail,
      v_message = message_text;
    error := concat_ws(' ', sqlstate, v_detail);
    said := concat(v_message, v_detail, v_context);
  end;
  perform tests.act_as_owner();
  perform set_config('request.headers', '', true);
end;
$$;
select is(
  h.error, 'PT401 API_KEY_INVALID', format('KEY-63: the same answer to %s, as %s', s.name, r.role)
)
from (values
  ('a null byte', '{"x-api-key": "' || pg_temp.key('key') || '\u0000"}'),
  ('half a character', '{"x-api-key": "' || pg_temp.key('key') || '\ud800"}'),
  ('what is no JSON', '{"x-api-key": "' || pg_temp.key('key'))
) as s (name, headers)
cross join unnest('{anon,authenticated,api_key}'::text[]) as r (role)
cross join lateral pg_temp.with_headers(s.headers, r.role) as h;
select is(
  h.error, 'PT401 API_KEY_INVALID', 'KEY-63: and to ' || s.name
)
from (values
  ('ten thousand characters', json_build_object('x-api-key', repeat('x', 10000))),
  ('a key with something around it', json_build_object('x-api-key', ' ' || pg_temp.key('key'))),
  ('letters of another alphabet', json_build_object('x-api-key', 'ключ 🔑')),
  ('two keys in one', json_build_object(
    'x-api-key', concat(pg_temp.key('key'), ', ', pg_temp.key('strict')))),
  ('two headers, of which the last is wrong',
    format('{"x-api-key": "%s", "x-api-key": "x"}', pg_temp.key('key'))::json),
  ('no text at all', '{"x-api-key": null}'), ('a number', '{"x-api-key": 1}')
) as s (name, headers)
cross join lateral pg_temp.with_headers(s.headers::text, 'anon') as h;
select is_empty(
  $$ select from (values
       ('{"x-api-key": "' || pg_temp.key('key') || '\u0000"}'),
       ('{"x-api-key": "' || pg_temp.key('key'))
     ) as s (headers), pg_temp.with_headers(s.headers, 'anon') as h
     where h.said like '%' || substr(pg_temp.key('key'), 14, 20) || '%' $$,
  'KEY-63: no error quotes a key'
);
delete from bulwark_private.rate_limits;
select is(
  (select count(*) from generate_series(1, 11) n, lateral (
     select pg_temp.request(case when n > 0 then pg_temp.key('strict') end) as answer) r
   where answer ->> 'error' = 'PGRST'),
  1::bigint, 'KEY-67: beyond its rule it is refused'
);

-- last use
create function pg_temp.use(out place tid, out fresh boolean) language sql as $$
  select u.ctid, u.last_used_at > clock_timestamp() - interval '1 minute'
  from bulwark_private.api_key_uses u join key k on k.id = u.api_key_id where k.name = 'key';
$$;
update bulwark_private.api_key_uses set last_used_at = now() - interval '1 hour';
select ok(not fresh, 'KEY-68: (a key that was used an hour ago)') from pg_temp.use();
select pg_temp.request(pg_temp.key('key'));
select ok(fresh, 'KEY-68: a request that writes notes that the key was used') from pg_temp.use();
create temporary table noted as select place from pg_temp.use();
select pg_temp.request(pg_temp.key('key'));
select is(
  (select place from pg_temp.use()), (select place from noted),
  'KEY-68: and the next one within a minute writes nothing'
);
update bulwark_private.api_key_uses set last_used_at = now() + interval '1 hour';
select pg_temp.request(pg_temp.key('key'));
select ok(
  (select u.last_used_at < now() + interval '1 minute' from bulwark_private.api_key_uses u
   join key k on k.id = u.api_key_id and k.name = 'key'),
  'KEY-68: a clock that was ahead is not believed for long'
);
savepoint reading;
set local transaction_read_only = on;
select is(
  pg_temp.request(pg_temp.key('key')) ->> 'role', 'api_key',
  'KEY-69: a read, whose transaction writes nothing, is let through as well'
);
rollback to reading;

-- where the server may log headers
create function pg_temp.closed_with(setting text, value text) returns jsonb language plpgsql as $$
declare
  v_answers jsonb;
begin
  begin
    perform set_config(setting, value, true);
    v_answers := jsonb_build_array(
      pg_temp.request(pg_temp.key('key')) - 'message', pg_temp.request('wrong') - 'message'
    );
    raise exception using errcode = 'TEST0';
  exception when sqlstate 'TEST0' then null;
  end;
  return v_answers;
end;
$$;
select is(
  pg_temp.closed_with(c.setting, c.value),
  '[{"error": "PT503", "detail": "API_KEY_HEADER_CLOSED"},
    {"error": "PT503", "detail": "API_KEY_HEADER_CLOSED"}]',
  'KEY-78: where the server may log headers, none is taken, right or wrong: ' || c.setting
)
from (values
  ('log_parameter_max_length', '-1'), ('log_parameter_max_length', '64'),
  ('log_parameter_max_length_on_error', '64')
) as c (setting, value);
select is(
  pg_temp.closed_with(c.setting, c.value) #>> '{0, role}', 'api_key',
  'KEY-78: but statements alone may be logged: ' || c.setting
)
from (values ('log_min_duration_statement', '10000'), ('log_statement', 'mod'))
  as c (setting, value);
select set_config('log_parameter_max_length', '-1', true);
select is(
  pg_temp.request('a gateway''s own', 'service_role') ->> 'role', 'service_role',
  'KEY-78: and where the request is somebody''s, what is in the header does not matter'
);
select is(
  (
    select count(*) from pg_db_role_setting s cross join unnest(s.setconfig) as c
    where s.setrole = 'authenticator'::regrole and c = 'log_parameter_max_length=0'
  ), 1::bigint, 'KEY-78: the Data API''s connections log no parameters'
);
set local log_parameter_max_length = 0;

-- the exchange
create function pg_temp.hash(api_key text) returns text language sql as $$
  select encode(sha256(convert_to(api_key, 'UTF8')), 'hex');
$$;
select results_eq(
  $$ select e.api_key_id = k.id, e.organization_id = tests.acme(),
       e.allowed, e.rule
     from key k, bulwark.exchange_api_key(pg_temp.hash(k.api_key), '198.51.100.1') e
     where k.name = 'key' $$,
  $$ values (true, true, true, 'api_default') $$, 'KEY-70: the exchange knows a key by its hash'
);
select results_eq(
  $$ select e.api_key_id, e.organization_id, e.expires_at, e.rule, e.allowed
     from unnest(array[pg_temp.hash('x'), pg_temp.hash(pg_temp.key('revoked')),
       pg_temp.hash(pg_temp.key('expired')), pg_temp.hash(pg_temp.key('office'))]) as h (hash),
       bulwark.exchange_api_key(h.hash, '198.51.100.1') e $$,
  $$ select null::uuid, null::uuid, null::timestamptz, 'api_default', true
     from generate_series(1, 4) $$,
  'KEY-71: and says nothing of any other'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated',
    $$ select bulwark.exchange_api_key('') $$), '42501', 'KEY-71: to nobody but the function'
);
select tests.error_is('KEY-71: a hash has 64 digits', '22023 API_KEY_INVALID_HASH',
  $$ select bulwark.exchange_api_key('nonsense') $$);

-- reports of leaks
select tests.error_is('KEY-72: a report is taken, whatever is in it', 'no error',
  $$ select bulwark.report_leaked_api_keys(jsonb_build_array(
       jsonb_build_object('key_hash', pg_temp.hash(pg_temp.key('key')),
         'url', 'https://example.com/config.js', 'source', 'content'),
       jsonb_build_object('key_hash', pg_temp.hash(pg_temp.key('revoked'))),
       jsonb_build_object('key_hash', pg_temp.hash('somebody else''s')),
       jsonb_build_object('key_hash', 'nonsense'), '1')) $$);
select is(
  pg_temp.request(pg_temp.key('key')) ->> 'detail', 'API_KEY_INVALID', 'KEY-72: and ends the key'
);
select results_eq(
  $$ select e.severity::text, e.organization_id = tests.acme(),
       e.user_id = tests.user_id('admin@acme.test'), e.subject = k.id::text,
       e.details ->> 'found_at'
     from bulwark.security_events e, key k
     where k.name = 'key' and e.event_type = 'api_key_leaked' $$,
  $$ values ('critical', true, true, true, 'https://example.com/config.js') $$,
  'KEY-73: one critical event says whose it was and where it was found'
);
select results_eq(
  $$ select k.revoked_by, k.revoked_because from bulwark.api_keys k where k.name = 'key' $$,
  $$ values (null::uuid, 'Reported as leaked') $$, 'KEY-73: and the key why it ended'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated',
    $$ select bulwark.report_leaked_api_keys('[]') $$), '42501', 'KEY-74: nobody else reports'
);
select tests.error_is('KEY-74: a report is a list', '22023 API_KEY_INVALID_REPORT',
  $$ select bulwark.report_leaked_api_keys('{}') $$);

select * from finish();
rollback;
