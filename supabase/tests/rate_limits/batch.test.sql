-- Batches: concurrent calls of users, decided in one statement.
begin;
set local search_path = bulwark, public, extensions;
select plan(7);

create function pg_temp.batch(rules text[], users integer[]) returns text
language sql
as $$
  select string_agg(concat(coalesce(c.allowed::text, '-'), ' ', c.rule, ' ', c.remaining), ', ')
  from bulwark.check_rate_limits(
    rules, array(select tests.caller(u) from unnest(users) with ordinality as t (u, place)
      order by place), array_fill(null::text, array[cardinality(rules)])
  ) c
$$;
select is(
  pg_temp.batch('{api_default,api_strict,nonsense,auth_login,api_default}', '{1,1,1,1,2}'),
  'true api_default 59, true api_strict 9, false  , false  , true api_default 59',
  'RATE-90: a batch is answered in order, and leaves other calls to check_rate_limit'
);
select is(
  pg_temp.batch(array_fill('api_strict'::text, '{9}'), array_fill(1, '{9}')),
  rtrim(repeat('true api_strict 0, ', 9), ', '), 'RATE-91: calls on one bucket are all admitted'
);
select is(
  pg_temp.batch('{api_strict,api_strict,api_strict}', '{3,1,3}'),
  'true api_strict 8, false api_strict , true api_strict 8',
  'RATE-92: or none of them, and nothing is charged'
);
select is(
  (select allowed from bulwark.check_rate_limit('api_strict', tests.caller(1))), false,
  'RATE-93: check_rate_limit refuses it too'
);
select tests.error_is('RATE-94: nothing to decide is an error', '22023 RATE_LIMIT_INVALID_CALLS',
  $$ select bulwark.check_rate_limits('{}', '{}', '{}') $$);
select tests.error_is('RATE-95: so are calls without a user', '22023 RATE_LIMIT_INVALID_CALLS',
  $$ select bulwark.check_rate_limits('{api_default}', '{}', '{null}') $$);
select tests.error_is('RATE-96: and more than a hundred', '22023 RATE_LIMIT_INVALID_CALLS',
  $$ select bulwark.check_rate_limits(
    array_fill('api_default'::text, '{101}'), array_fill(gen_random_uuid(), '{101}'),
    array_fill(null::text, '{101}')) $$);

select * from finish();
rollback;
