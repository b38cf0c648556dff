-- Helpers for rate limits: one call, many calls, callers, and time that passes. This file commits,
-- like the other helpers.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;

create or replace function tests.charge(
  rule text default 'api_default', u uuid default null, k uuid default null,
  a text default null, account text default null, o uuid default null, cost integer default 1
)
  returns text
  language sql
as $$
  select concat_ws(' ', case when c.allowed then 'yes' else 'no' end, c.reason, c.remaining)
  from bulwark.check_rate_limit(rule, u, k, a, account, o, cost) c;
$$;
create or replace function tests.drain(
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
create or replace function tests.caller(n integer) returns uuid language sql
as $$ select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid; $$;
-- Moves all buckets into the past.
create or replace function tests.pass_time(i interval) returns void language sql
as $$ update bulwark_private.rate_limits
   set full_at = full_at - (date_part('epoch', i) * 1000000)::bigint; $$;
grant execute on all functions in schema tests to public;

select plan(1);
select isnt(tests.caller(1), tests.caller(2), 'HELP-07: callers differ');
select * from finish();
commit;
