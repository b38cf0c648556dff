-- MFA levels: members with a second factor, of all organizations together, for metrics.
begin;
set local search_path = bulwark, public, extensions;
select plan(4);
select tests.create_organizations();

create temporary table before (metric text, labels jsonb, value double precision);
create function pg_temp.remember() returns void language sql as $$
  delete from before;
  insert into before select l.metric, l.labels, l.value from bulwark_private.mfa_coverage() l;
$$;
create function pg_temp.level(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value from bulwark_private.mfa_coverage() l
  where l.metric = level.metric and l.labels = level.labels;
$$;
-- How a level changed since it was remembered.
create function pg_temp.change(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select pg_temp.level(metric, labels) - b.value from before b
  where b.metric = change.metric and b.labels = change.labels;
$$;

select pg_temp.remember();
select tests.add_factor('admin@acme.test');
select is(
  array[
    pg_temp.change('mfa_members', '{"state": "enrolled"}'),
    pg_temp.change('mfa_members', '{"state": "missing"}')
  ],
  array[1, -1]::double precision[], 'MET-71: a member with a factor is enrolled'
);
insert into mfa_policies (organization_id, required_from) values
  (tests.acme(), now() - interval '1 day'), (tests.globex(), now() + interval '1 day')
on conflict (organization_id) do update set required_from = excluded.required_from;
select is(
  pg_temp.change('mfa_members', '{"state": "overdue"}'), 3::double precision,
  'MET-72: members of an organization that requires one and have none are overdue, in no other'
);
select is(
  pg_temp.level('mfa_coverage'),
  (select 100 * sum(value) filter (where labels ->> 'state' = 'enrolled') / sum(value)
   from bulwark_private.mfa_coverage() where metric = 'mfa_members'),
  'MET-73: the coverage is their share'
);
update auth.users set banned_until = now() + interval '1 day'
where id = tests.user_id('viewer@acme.test');
select is(
  pg_temp.change('mfa_members', '{"state": "overdue"}'), 2::double precision,
  'MET-74: a suspended account counts as no member'
);

select * from finish();
rollback;
