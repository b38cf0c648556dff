-- Rate limits levels: blocks in force, of all organizations together, for metrics.
begin;
set local search_path = bulwark, public, extensions;
select plan(1);
select tests.create_organizations();

create temporary table before (metric text, labels jsonb, value double precision);
create function pg_temp.remember() returns void language sql as $$
  delete from before;
  insert into before select l.metric, l.labels, l.value from bulwark_private.rate_limit_levels() l;
$$;
create function pg_temp.level(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value from bulwark_private.rate_limit_levels() l
  where l.metric = level.metric and l.labels = level.labels;
$$;
-- How a level changed since it was remembered.
create function pg_temp.change(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select pg_temp.level(metric, labels) - b.value from before b
  where b.metric = change.metric and b.labels = change.labels;
$$;

select pg_temp.remember();
insert into rate_limit_blocks (kind, identifier, rule, step, expires_at, lifted_at) values
  ('address', gen_random_uuid(), 'api_default', 1, now() + interval '1 hour', null),
  ('pair', gen_random_uuid(), 'login', 1, now() + interval '1 hour', null),
  ('pair', gen_random_uuid(), 'login', 1, now() + interval '1 hour', null),
  ('address', gen_random_uuid(), 'api_default', 1, now() - interval '1 second', null),
  ('api_key', gen_random_uuid(), 'api_default', 1, now() + interval '1 hour', now());
select is(
  array[
    pg_temp.change('blocked_callers', '{"kind": "address"}'),
    pg_temp.change('blocked_callers', '{"kind": "pair"}'),
    pg_temp.change('blocked_callers', '{"kind": "api_key"}')
  ],
  array[1, 2, 0]::double precision[], 'MET-69: blocks in force count, not those that are over'
);

select * from finish();
rollback;
