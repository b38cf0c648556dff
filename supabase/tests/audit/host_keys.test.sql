-- Audited tables whose organization column holds the host's own keys: bigint, integer, text.
begin;
set local search_path = bulwark, public, extensions;
select plan(25);
select tests.create_organizations();

-- Two organizations with the keys 7 and 8, and one with a text key.
insert into organizations (id, name, slug)
select bulwark_private.organization_of(o.key), o.name, o.name
from (values ('7', 'seven'), ('8', 'eight'), ('team_a', 'letters')) as o (key, name);
select grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.organization_id('seven'));
select grant_role(tests.user_id('viewer@acme.test'), 'admin', tests.organization_id('eight'));
create function pg_temp.written(target regclass)
  returns table (event_type text, resource_id text, organization_id uuid)
  language sql
as $$
  select split_part(e.event_type, '.', 2), e.resource_id, e.organization_id
  from audit_logs e where e.resource_type = 'public.' || target order by e.id;
$$;
create function pg_temp.body(target regclass, operation text)
  returns text
  language sql
as $$
  select p.prosrc from pg_trigger t join pg_proc p on p.oid = t.tgfoid
  where t.tgrelid = target and t.tgname = 'bulwark_audit_' || operation;
$$;

create table public.by_bigint (id integer primary key, team_id bigint, body text);
create table public.by_integer (id integer primary key, team_id integer, body text);
create table public.by_text (id integer primary key, team_id text, body text);
create table public.by_varchar (id integer primary key, team_id varchar(40), body text);
create table public.by_uuid (id integer primary key, team_id uuid, body text);
create table public.by_date (id integer primary key, team_id date);
grant all on public.by_bigint to authenticated;
select lives_ok(
  format('select bulwark.enable_audit(%L, organization_column => ''team_id'')', t),
  format('AUH-01: %s can be audited', t)
)
from unnest('{by_bigint,by_integer,by_text,by_varchar,by_uuid}'::text[]) as t;
select is(
  tests.error($$ select bulwark.enable_audit('by_date', organization_column => 'team_id') $$),
  '42804 AUDIT_INVALID_ORGANIZATION_COLUMN', 'AUH-01: a date is no key of an organization'
);
select ok(
  pg_temp.body('by_uuid', 'insert') like '%v_organization := new.team_id;%'
    and pg_temp.body('by_uuid', 'insert') not like '%organization_of%'
    and pg_temp.body('by_bigint', 'insert') like '%organization_of%',
  'AUH-02: enable_audit chooses the conversion, so that uuid columns are only read'
);

-- row by row
insert into by_bigint values
  (1, 7, 'a'), (2, 8, 'b'), (3, null, 'c'), (4, 9223372036854775807, 'd');
update by_bigint set team_id = 8 where id = 1;
delete from by_bigint where id = 2;
select results_eq(
  $$ select * from pg_temp.written('by_bigint') $$,
  $$ values ('create', '1', tests.organization_id('seven')),
       ('create', '2', tests.organization_id('eight')),
       ('create', '3', null::uuid),
       ('create', '4', bulwark_private.organization_of('9223372036854775807')),
       ('delete', '1', tests.organization_id('seven')),
       ('create', '1', tests.organization_id('eight')),
       ('delete', '2', tests.organization_id('eight')) $$,
  'AUH-03: an entry belongs to the row''s organization; a row that moves leaves one and enters one'
);
insert into by_integer values (1, 7), (2, 8);
select results_eq(
  $$ select organization_id from pg_temp.written('by_integer') $$,
  $$ values (tests.organization_id('seven')), (tests.organization_id('eight')) $$,
  'AUH-04: an integer is the same key as a bigint'
);
insert into by_text values
  (1, 'team_a'), (2, '7'), (3, ''), (4, upper(tests.organization_id('acme')::text));
select results_eq(
  $$ select organization_id from pg_temp.written('by_text') $$,
  $$ values (tests.organization_id('letters')), (tests.organization_id('seven')),
       (bulwark_private.organization_of('')), (tests.organization_id('acme')) $$,
  'AUH-05: a text key may be a word, a number or a uuid'
);
insert into by_varchar values (1, 'team_a');
select results_eq(
  $$ select organization_id from pg_temp.written('by_varchar') $$,
  $$ values (tests.organization_id('letters')) $$, 'AUH-05: also as varchar'
);

-- readers of the log
select tests.act_as('analyst@acme.test');
select results_eq(
  $$ select resource_id, event_type from audit_logs where resource_type = 'public.by_bigint'
     order by id $$,
  $$ values ('1', 'data.create'), ('1', 'data.delete') $$,
  'AUH-06: the administrator of 7 reads the entries of 7'
);
select is_empty(
  $$ select from audit_logs
     where organization_id = tests.organization_id('eight')
       or resource_type = 'public.by_bigint' and organization_id is null $$,
  'AUH-06: and none of 8, or without an organization'
);
select tests.act_as('viewer@acme.test');
select is(
  (select count(*) from audit_logs where resource_type = 'public.by_bigint'), 3::bigint,
  'AUH-06: the administrator of 8 reads those of 8'
);
select tests.act_as('admin@globex.test');
select is_empty(
  $$ select from audit_logs where resource_type = 'public.by_bigint' $$,
  'AUH-06: the administrator of another organization reads none'
);
select tests.act_as_owner();

-- in bulk
truncate by_bigint;
delete from bulwark_private.audit_parents;
select bulwark.enable_audit('by_bigint', organization_column => 'team_id', bulk => true);
create temporary table before as select id from audit_logs;
insert into by_bigint select n, 7 + n % 2, 'x' from generate_series(1, 20) as n;
update by_bigint set body = 'y' where team_id = 8;
select results_eq(
  $$ select action, organization_id, count(*) from audit_logs
     where resource_type = 'public.by_bigint' and id not in (select b.id from before b)
     group by 1, 2 order by 1, 3, 2 $$,
  $$ select * from (values
       ('insert', tests.organization_id('seven'), 10::bigint),
       ('insert', tests.organization_id('eight'), 10::bigint),
       ('update', tests.organization_id('eight'), 10::bigint)) as v (a, o, n)
     order by 1, 3, 2 $$,
  'AUH-07: a statement in bulk writes the entries of each organization'
);

-- through a parent
create table public.projects (id bigint primary key, team_id bigint not null);
create table public.tasks (
  id integer primary key, project_id bigint references public.projects (id) on delete cascade
);
create function public.team_of_project(bigint) returns bigint language sql stable as
  $$ select team_id from public.projects where id = $1 $$;
create function public.team_of_uuid(uuid) returns bigint language sql stable as $$ select 7 $$;
select is(
  tests.error($$ select bulwark.enable_audit('tasks', organization_column => 'project_id',
    organization_lookup => 'public.team_of_uuid') $$),
  '42804 AUDIT_INVALID_ORGANIZATION_COLUMN', 'AUH-08: a look-up takes the type of the column'
);
select bulwark.enable_audit(
  'tasks', organization_column => 'project_id', organization_lookup => 'public.team_of_project'
);
insert into projects values (1, 7), (2, 8);
insert into tasks values (1, 1), (2, 2), (3, null);
delete from projects where id = 1;
select results_eq(
  $$ select * from pg_temp.written('tasks') $$,
  $$ values ('create', '1', tests.organization_id('seven')),
       ('create', '2', tests.organization_id('eight')), ('create', '3', null),
       ('delete', '1', tests.organization_id('seven')) $$,
  'AUH-08: it may give a key; rows that a cascade deletes belong to whom they belonged'
);
select bulwark.enable_audit(
  'tasks', organization_column => 'project_id', organization_lookup => 'public.team_of_project',
  bulk => true
);
delete from projects where id = 2;
select results_eq(
  $$ select organization_id from pg_temp.written('tasks') where event_type = 'delete' offset 1 $$,
  $$ values (tests.organization_id('eight')) $$, 'AUH-08: also in bulk'
);

-- tables that change afterwards
alter table by_integer alter column team_id type bigint;
insert into by_integer values (3, 7);
alter table by_integer alter column team_id type text;
insert into by_integer values (4, '7');
select bulwark_private.renew_audit_functions();
insert into by_integer values (5, 'team_a');
select results_eq(
  $$ select organization_id from pg_temp.written('by_integer') offset 2 $$,
  $$ values (tests.organization_id('seven')), (tests.organization_id('seven')),
       (tests.organization_id('letters')) $$,
  'AUH-09: a key keeps its organization when the column gets a wider type'
);

-- names
create function pg_temp.functions(target regclass) returns text[] language sql as $$
  select array_agg(t.tgfoid::regproc::text order by t.tgname)
  from pg_trigger t where t.tgrelid = target and t.tgname ~ '^bulwark_audit_(insert|update|delete)';
$$;
create temporary table names as
  select pg_temp.functions('by_text') as by_text, pg_temp.functions('by_uuid') as by_uuid;
select bulwark.enable_audit('by_text', organization_column => 'team_id');
select is(
  pg_temp.functions('by_text'), (select n.by_text from names n),
  'AUH-10: auditing a table again gives its functions the same names'
);
alter table by_text rename to by_word;
insert into by_word values (5, 'team_a');
create table public.by_text (id integer primary key, team_id text, body text);
select bulwark.enable_audit('by_text', organization_column => 'team_id');
select ok(
  not pg_temp.functions('by_text') && pg_temp.functions('by_word'),
  'AUH-11: a table with the name of a renamed one has functions of its own'
);
insert into by_text values (1, '8');
insert into by_word values (6, '7');
select results_eq(
  $$ select resource_id, organization_id from audit_logs where resource_type = 'public.by_text'
     order by id desc limit 3 $$,
  $$ values ('6', tests.organization_id('seven')),
       ('1', tests.organization_id('eight')),
       ('5', tests.organization_id('letters')) $$,
  'AUH-11: each writes its own entries'
);
select bulwark.disable_audit('by_word');
select bulwark.enable_audit('by_word', organization_column => 'team_id');
select is(
  pg_temp.functions('by_word'),
  array(select format('bulwark_private.audit_%s_%s', o, md5('public.by_word'))
        from unnest('{delete,insert,update}'::text[]) as o),
  'AUH-12: auditing the renamed table again names them after it'
);
drop table by_word;
drop table by_text;
create table public.by_text (id integer primary key, team_id text, body text);
select bulwark.enable_audit('by_text', organization_column => 'team_id');
select is(
  pg_temp.functions('by_text'), (select n.by_text from names n),
  'AUH-12: a table made anew has the names of the first'
);

select * from finish();
rollback;
