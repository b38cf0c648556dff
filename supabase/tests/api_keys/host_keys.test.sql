-- API keys and tables whose organizations are named by the host's own keys.
begin;
set local search_path = bulwark, public, extensions;
select plan(23);
select tests.create_organizations();
delete from organizations;

create table public.teams (id bigint primary key, name text not null);
insert into teams values (7, 'Seven'), (8, 'Eight');
create table public.reports (id integer primary key, team_id bigint not null, body text);
create table public.small_reports (id integer primary key, team_id integer not null, body text);
create table public.dated_reports (id integer primary key, team_id date);
insert into reports select n, 7 + n % 2, 'x' from generate_series(1, 5000) as n;
insert into small_reports values (1, 7), (2, 8);
create index on reports (team_id);
analyze reports;
grant select, insert, update, delete on reports, small_reports, dated_reports to authenticated;
alter table reports enable row level security;
alter table small_reports enable row level security;
alter table dated_reports enable row level security;

create function pg_temp.admit(target text) returns text language sql as $$
  select tests.error(format(
    'select bulwark.admit_api_keys(%L, read_permission => ''analytics:read'',
       write_permission => ''analytics:write'', organization_column => ''team_id'')', target
  ));
$$;
select is(
  pg_temp.admit('reports'), '42703 API_KEY_INVALID_ORGANIZATION_COLUMN',
  'KEH-01: without bulwark.use_organizations a bigint says no organization'
);
select bulwark.use_organizations('public.teams', id => 'id', name => 'name', helper => 'team_ids');
select is(
  pg_temp.admit('dated_reports'), '42703 API_KEY_INVALID_ORGANIZATION_COLUMN',
  'KEH-01: with it, a date still says none'
);
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'admin', bulwark.organization_id('7'));
select bulwark.grant_role(
  tests.user_id('admin@globex.test'), 'admin', bulwark.organization_id('8')
);
select tests.act_as('admin@acme.test');
create temporary table key as
  select k.id from bulwark.create_api_key(
    bulwark.organization_id('7'), 'key', '{analytics:read,analytics:write}'
  ) k;
select tests.act_as_owner();

-- with named permissions
select is(pg_temp.admit('reports'), 'no error', 'KEH-02: a table with bigint keys is admitted');
select is(pg_temp.admit('small_reports'), 'no error', 'KEH-02: so is one with integer keys');
select is(tests.key_problems(), null, 'KEH-02: and nothing is wrong with them');
select is(
  tests.with_key('select count(*) from reports where team_id = 7'), '2500',
  'KEH-03: a key of 7 reads the rows of 7'
);
select is(
  tests.with_key('select count(*) from reports where team_id <> 7'), '0',
  'KEH-03: and no other'
);
select is(
  tests.with_key('select string_agg(team_id::text, '','') from small_reports'), '7',
  'KEH-03: also where the key is an integer'
);
select is(
  tests.with_key('insert into reports values (9001, 7) returning id'), '9001',
  'KEH-04: it writes a row of 7'
);
select is(
  tests.with_key('insert into reports values (9002, 8) returning id'), '42501',
  'KEH-04: and none of 8'
);
select is(
  tests.with_key('update reports set team_id = 8 where id = 9001 returning id'), '42501',
  'KEH-04: nor moves one there'
);
select is(
  tests.with_key('update reports set body = ''y'' where id = 1 returning id'), null,
  'KEH-04: nor changes one there'
);
select is(
  tests.with_key('delete from reports where id = 9001 returning id'), '42501',
  'KEH-04: a command without a permission stays closed'
);
create function pg_temp.plan() returns setof text language plpgsql as $$
begin
  perform set_config(
    'request.jwt.claims', json_build_object('role', 'api_key', 'api_key_id', k.id)::text, true
  )
  from key k;
  set local role api_key;
  set local enable_seqscan = off;
  return query execute 'explain (costs off) select body from reports';
  reset role;
end;
$$;
create temporary table plan as select * from pg_temp.plan() as line;
select isnt_empty(
  $$ select from plan where line ~ 'Index Cond: \(team_id = ANY \(\$[0-9]+\)\)'
       or line ~ 'Index Cond: \(team_id = ANY \(\(InitPlan' $$,
  'KEH-05: the rows are found by the index on the host''s column'
);

-- from the table's own policies
select bulwark.expel_api_keys('reports');
create policy "Members read" on reports for select to authenticated
  using (team_id = any (array(select bulwark.team_ids('analytics:read'))));
select lives_ok(
  $$ select bulwark.admit_api_keys('reports') $$,
  'KEH-06: a policy with the helper of the host is a plain permission'
);
select is(
  tests.with_key('select count(*) from reports where team_id = 7'), '2501',
  'KEH-06: under which a key reads'
);
select is(
  tests.with_key('insert into reports values (9003, 7) returning id'), '42501',
  'KEH-06: and does no more'
);
select is(
  tests.key_problems_after($$ alter policy "Members read" on reports
    using (team_id = any (array(select bulwark.team_ids('conversation:read')))) $$),
  'public.reports: its policies or privileges have changed: admit API keys again',
  'KEH-06: a change of it is found'
);
create function bulwark.other_ids(text) returns setof bigint language sql stable as 'select 8';
select ok(
  not bulwark_private.plain_permission_policy(
    '(team_id = ANY (ARRAY( SELECT bulwark.other_ids(''a:b''::text) AS other_ids)))'
  ),
  'KEH-07: another function of the schema is no helper'
);
select ok(
  not bulwark_private.plain_permission_policy(
    '(team_id = ANY (ARRAY( SELECT team_ids(''a:b''::text) AS team_ids)))'
  ),
  'KEH-07: nor is one of that name elsewhere'
);

-- Text keys, in columns of both text types.
create table public.notes (id integer primary key, team text, club varchar(40));
create policy "Text" on public.notes using (
  team = any (array(select bulwark.organizations_with('org:read')::text))
);
select ok(
  not bulwark_private.plain_permission_policy(pg_get_expr(p.polqual, p.polrelid)),
  'KEH-08: a cast of the helper is no plain permission'
)
from pg_policy p where p.polname = 'Text';
select ok(
  bulwark_private.plain_permission_policy(
    '((club)::text = ANY ((ARRAY( SELECT bulwark.team_ids(''a:b''::text) AS team_ids))::text[]))'
  ),
  'KEH-08: varchar, as Postgres prints it, is'
);
select ok(
  not bulwark_private.plain_permission_policy(
    '((lower(club))::text = ANY (ARRAY( SELECT bulwark.team_ids(''a:b''::text) AS team_ids)))'
  ),
  'KEH-08: an expression of the column is not'
);

select * from finish();
rollback;
