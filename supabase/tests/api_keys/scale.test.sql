-- API keys: rows read by a look-up. They must depend neither on the number of the owner's
-- organizations nor on the number of members, keys and limits, since the time of a refusal would
-- show it.
begin;
set local search_path = bulwark, public, extensions;
select plan(9);
select tests.create_organizations();
create temporary table key (name text, id uuid, key_hash bytea);
select tests.act_as('admin@acme.test');
create temporary table issued as
  select n.name, k.id, k.api_key
  from unnest('{held, revoked}'::text[]) as n (name),
    bulwark.create_api_key(tests.acme(), n.name, '{analytics:read}') k;
select tests.act_as_owner();
insert into key
select i.name, i.id, sha256(convert_to(i.api_key, 'UTF8')) from issued i;
select bulwark.revoke_api_key(id, 'for this test') from key where name = 'revoked';

-- As on a connection whose plans were made while the tables were small.
analyze bulwark.user_roles, bulwark.rate_limit_overrides, auth.users, bulwark.organizations;
do $$
begin
  perform bulwark_private.find_api_key(k.key_hash) from key k;
  perform bulwark.check_rate_limit('api_default', null, k.id, '198.51.100.1') from key k;
end;
$$;

-- In bulk, without the triggers that record each row.
set constraints all immediate;
set local session_replication_role = replica;
alter table bulwark.user_roles disable trigger user;
alter table bulwark.rate_limit_overrides disable trigger user;
-- Many organizations of one member and one of many, so that averages of the statistics mislead.
insert into bulwark.organizations (id, name, slug)
select md5('organization ' || n)::uuid, 'Organization', 'organization-' || n
from generate_series(1, 9000) as n;
insert into auth.users (id, email)
select md5('user ' || n)::uuid, n || '@scale.test' from generate_series(1, 12000) as n;
insert into bulwark.user_roles (user_id, role_id, organization_id)
select g.user_id, r.id, g.organization_id
from (
  select md5('user ' || n)::uuid, md5('organization ' || n)::uuid from generate_series(1, 9000) as n
  union all
  select md5('user ' || n)::uuid, tests.acme()
  from generate_series(9001, 12000) as n
  union all
  select tests.user_id('admin@acme.test'), md5('organization ' || n)::uuid
  from generate_series(1, 2000) as n
) as g (user_id, organization_id)
join bulwark.roles r on r.name = 'viewer' and r.organization_id is null;
insert into bulwark.rate_limit_overrides (rule, api_key_id, capacity, window_seconds)
select 'api_default', md5('key ' || n)::uuid, 10, 60 from generate_series(1, 3000) as n;
alter table bulwark.user_roles enable trigger user;
alter table bulwark.rate_limit_overrides enable trigger user;
set local session_replication_role = origin;

-- Rows of a table and its indexes that have been read so far.
create function pg_temp.read_of(relation regclass) returns bigint
  language sql
as $$
  select
    sum(pg_stat_get_xact_tuples_returned(r.oid) + pg_stat_get_xact_tuples_fetched(r.oid))::bigint
  from (
    select relation::oid union all
    select i.indexrelid from pg_index i where i.indrelid = relation
  ) as r (oid);
$$;
create function pg_temp.reads(statement text, relation regclass) returns bigint
  language plpgsql
as $$
declare
  v_before constant bigint := pg_temp.read_of(relation);
begin
  execute statement;
  return pg_temp.read_of(relation) - v_before;
end;
$$;
create function pg_temp.found(name text) returns text
  language sql
as $$ select format('select bulwark_private.find_api_key(%L)', k.key_hash) from key k
  where k.name = $1; $$;

select is(
  (select (
    bulwark_private.find_api_key(k.key_hash)
  ).in_force from key k where k.name = 'held'), true,
  'KEY-103: a key counts among many grants'
);
select cmp_ok(
  pg_temp.reads(pg_temp.found(k.name), 'bulwark.user_roles'), '<', 20::bigint,
  format('KEY-103: planned for few, what a %s key is asked for reads a grant or two', k.name)
)
from key k order by k.name;
select cmp_ok(
  pg_temp.reads(
    format('select bulwark.check_rate_limit(''api_default'', null, %L, ''198.51.100.1'')', k.id),
    'bulwark.rate_limit_overrides'
  ), '<', 20::bigint, 'KEY-103: and its rate limit no override of another'
)
from key k where k.name = 'held';

analyze bulwark.user_roles, bulwark.rate_limit_overrides, auth.users, bulwark.organizations;
select cmp_ok(
  pg_temp.reads(pg_temp.found(k.name), 'bulwark.user_roles'), '<', 20::bigint,
  format('KEY-103: with statistics, what a %s key is asked for reads a grant or two', k.name)
)
from key k order by k.name;
-- Removed from the organization, and a member of many others.
alter table bulwark.user_roles disable trigger user;
delete from bulwark.user_roles g
where g.user_id = tests.user_id('admin@acme.test')
  and g.organization_id = tests.acme();
alter table bulwark.user_roles enable trigger user;
select cmp_ok(
  pg_temp.reads(pg_temp.found('held'), 'bulwark.user_roles'), '<', 20::bigint,
  'KEY-103: nor more where its owner was removed and is in many others'
);
select is(
  (select (
    bulwark_private.find_api_key(k.key_hash)
  ).in_force is true from key k where k.name = 'held'),
  false,
  'KEY-103: which gives it nothing'
);
select cmp_ok(
  pg_temp.reads(
    format('select bulwark.check_rate_limit(''api_default'', null, %L, ''198.51.100.1'')', k.id),
    'bulwark.rate_limit_overrides'
  ), '<', 20::bigint, 'KEY-103: and its rate limit no override of another'
)
from key k where k.name = 'held';

select * from finish();
rollback;
