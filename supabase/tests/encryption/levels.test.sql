-- Encryption levels: the data key nearest to its limit, of all organizations, for metrics.
begin;
set local search_path = bulwark, public, extensions;
select plan(1);
select tests.create_organizations();

create temporary table before (metric text, labels jsonb, value double precision);
create function pg_temp.remember() returns void language sql as $$
  delete from before;
  insert into before select l.metric, l.labels, l.value from bulwark_private.encryption_levels() l;
$$;
create function pg_temp.level(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value from bulwark_private.encryption_levels() l
  where l.metric = level.metric and l.labels = level.labels;
$$;
-- How a level changed since it was remembered.
create function pg_temp.change(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select pg_temp.level(metric, labels) - b.value from before b
  where b.metric = change.metric and b.labels = change.labels;
$$;

select pg_temp.remember();
insert into bulwark_private.key_encryption_keys (id, derivation, check_value)
values ('levels', 'raw', 'check');
insert into bulwark_private.data_keys
  (id, organization_id, purpose, version, messages, kek, state, superseded_at, wrapped_key)
select gen_random_uuid(), n.organization, 'field', 90 + n.version, n.share *
    (bulwark_private.setting('encryption.messages_per_key'))::bigint, 'levels',
  n.state::bulwark_private.data_key_state, n.superseded_at, 'bwk1.levels.' || repeat('A', 150)
from (
  values
    (tests.acme(), 1, 0.5, 'current', null::timestamptz),
    (tests.globex(), 1, 0.95, 'current', null),
    (tests.globex(), 0, 1, 'superseded', now())
) as n (organization, version, share, state, superseded_at);
select is(
  array[pg_temp.change('data_keys_near_limit'), round(pg_temp.level('data_key_usage')::numeric)],
  array[1, 95]::double precision[],
  'MET-70: the current key nearest to its limit is seen, an old one that reached it is not'
);

select * from finish();
rollback;
