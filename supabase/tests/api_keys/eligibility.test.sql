-- API keys and unusual tables: tables that are not eligible, later changes that are reported, and
-- tables that are safe.
begin;
set local search_path = bulwark, public, extensions;
select plan(64);
select tests.create_organizations();
select tests.act_as('admin@acme.test');
create temporary table key as
  select k.id from bulwark.create_api_key(
    tests.acme(), 'key', '{analytics:read,analytics:write}'
  ) k;
select tests.act_as_owner();

select is(tests.key_problems(), null, 'KEY-93: (no problem yet)');

-- relations that are no tables of the host application
create view public.a_view as select 1 as id;
create materialized view public.copied as select 1 as id;
create sequence public.numbers;
create temporary table passing (id integer, organization_id uuid);
alter table passing enable row level security;
create schema closed;
create table closed.notes (id integer, organization_id uuid);
alter table closed.notes enable row level security;
select is(
  tests.error(format(
    'select bulwark.admit_api_keys(%L, ''analytics:read'', organization_column => %L)',
    c.target, c.organization_column
  )), c.problem, 'KEY-93: not admitted: ' || c.target
)
from (values
  ('bulwark.api_keys', 'organization_id', '42809 API_KEY_TABLE_OF_BULWARK'),
  ('bulwark.user_roles', 'organization_id', '42809 API_KEY_TABLE_OF_BULWARK'),
  ('bulwark.audit_logs', 'organization_id', '42809 API_KEY_TABLE_OF_BULWARK'),
  ('bulwark.role_permissions', 'role_id', '42809 API_KEY_TABLE_OF_BULWARK'),
  ('bulwark_private.api_key_hashes', 'api_key_id', '42809 API_KEY_TABLE_OF_BULWARK'),
  ('passing', 'organization_id', '42809 API_KEY_TABLE_WITHOUT_RLS'),
  ('closed.notes', 'organization_id', '42809 API_KEY_SCHEMA_CLOSED')
) as c (target, organization_column, problem);
select is(
  tests.admit_error(t), '42809 API_KEY_TABLE_WITHOUT_RLS', 'KEY-93: not admitted: ' || t
)
from unnest('{public.a_view,public.copied,public.numbers,pg_catalog.pg_class}'::text[]) as t;
grant usage on schema closed to api_key;
select tests.error_is('KEY-93: nor where keys come and people do not',
  '42809 API_KEY_SCHEMA_CLOSED',
  $$ select bulwark.admit_api_keys('closed.notes', 'analytics:read') $$);
grant usage on schema closed to authenticated;
select tests.error_is('KEY-93: where both may use the schema it is', 'no error',
  $$ select bulwark.admit_api_keys('closed.notes', 'analytics:read') $$);
select is(
  tests.key_problems_after('revoke usage on schema closed from authenticated'),
  'closed.notes: authenticated may not use the schema of closed.notes',
  'KEY-93: and noticed once people may no longer'
);

-- partitions and children
select tests.make_host_table('public.parts', 'partition by list (id)');
create table public.part_1 partition of public.parts for values in (1);
create table public.part_2 partition of public.parts for values in (2) partition by list (id);
create table public.part_2_2 partition of public.part_2 for values in (2);
alter table public.part_2_2 enable row level security;
select tests.fill_host_table('public.parts');
select bulwark.admit_api_keys('public.parts');
select is(
  tests.with_key('select string_agg(body, '','') from public.parts'), 'ours',
  'KEY-94: a partitioned table is read under its own policies'
);
select is(
  tests.with_key('select string_agg(body, '','') from public.part_1'), '42501',
  'KEY-94: and none of its partitions directly'
);
select is(
  tests.with_key('with w as (update public.parts set id = 2 returning 1) select count(*) from w'),
  '1', 'KEY-94: a row that changes its partition'
);
select is(
  tests.with_key(format(
    'update public.parts set id = 1, organization_id = %L returning 1',
    tests.globex()
  )), '42501', 'KEY-94: does not change its organization with it'
);
update public.parts set id = 1 where body = 'ours';
select is(
  tests.key_problems_after('grant select on public.part_1 to public'),
  'public.part_1: open to API keys without having been admitted',
  'KEY-94: a partition without row-level security, open to everybody, is noticed'
);
select is(
  tests.key_problems_after('select bulwark.require_mfa(''public.part_2_2'')'),
  'public.parts: public.parts would bypass the MFA requirement of public.part_2_2',
  'KEY-94: one that asks for a second factor is noticed, over generations'
);
select bulwark.require_mfa('public.part_2_2');
select bulwark.expel_api_keys('public.parts');
select is(
  tests.admit_error('public.parts'), '42809 API_KEY_TABLE_NEEDS_MFA',
  'KEY-94: through a parent it would be gone around, so that is not admitted'
);
select bulwark.require_mfa('public.parts');
select bulwark_private.release_mfa('public.part_2_2');
select tests.make_host_table('public.part_3');
select is(
  tests.admit_error('public.part_3'), 'no error', 'KEY-94: (a table that is no partition)'
);
alter table public.part_3 alter id set not null;
select is(
  tests.key_problems_after(
    'alter table public.parts attach partition public.part_3 for values in (3)'
  ), 'public.part_3: public.part_3 would bypass the MFA requirement of public.parts',
  'KEY-94: once it is one, of a parent that asks for a second factor, that is noticed'
);
select bulwark.expel_api_keys('public.part_3');
alter table public.parts attach partition public.part_3 for values in (3);
select is(
  tests.admit_error('public.part_3'), '42809 API_KEY_TABLE_NEEDS_MFA', 'KEY-94: and not admitted'
);
drop table public.parts;
select tests.make_host_table('public.mothers');
create table public.daughters (secret text) inherits (public.mothers);
alter table public.daughters enable row level security;
select bulwark.admit_api_keys('public.mothers');
insert into public.daughters values (1, tests.acme(), 'hers', 'secret');
select is(
  tests.with_key('select body from public.mothers'), 'hers',
  'KEY-94: a child''s rows are read through its parent'
);
select is(
  tests.with_key('select secret from public.daughters'), '42501',
  'KEY-94: but not its other columns'
);
select bulwark.require_mfa('public.daughters');
select is(
  tests.key_problems(),
  'public.mothers: public.mothers would bypass the MFA requirement of public.daughters',
  'KEY-94: a child that asks for a second factor is noticed'
);
select bulwark.require_mfa('public.mothers');
select is(
  concat(tests.key_problems(), tests.with_key('select count(*) from public.mothers')), '0',
  'KEY-94: and no problem once its parent asks for one: then the parent is closed'
);
drop table public.mothers cascade;

-- access that no policy of the table controls
select tests.make_host_table('public.orders');
alter table public.orders add primary key (id);
create table public.payouts (
  order_id integer references public.orders on update cascade on delete restrict
);
alter table public.payouts enable row level security;
select bulwark.require_mfa('public.payouts');
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_TABLE_NEEDS_MFA',
  'KEY-98: changes that cascade to a table that asks for a second factor are not admitted'
);
revoke update on public.orders from authenticated;
grant update (body) on public.orders to authenticated;
select is(
  tests.admit_error('public.orders'), 'no error',
  'KEY-98: those of columns that nothing refers to are'
);
select is(
  tests.key_problems_after(
    'alter table public.payouts add foreign key (order_id) references public.orders
     on delete set null'
  ),
  'public.orders: public.orders would bypass the MFA requirement of public.payouts',
  'KEY-98: a foreign key that deletes or empties rows there is noticed'
);
drop table public.payouts;
create rule everything as on delete to public.orders do also delete from public.orders;
select is(
  tests.key_problems(), 'public.orders: the rules of public.orders act with its owner''s rights',
  'KEY-98: as is a rule'
);
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_TABLE_OPEN_OTHERWISE',
  'KEY-98: and a table with one is not admitted'
);
drop rule everything on public.orders;
grant truncate on public.orders to public;
select is(
  tests.key_problems(),
  'public.orders: public.orders lets API keys truncate, to which policies do not apply',
  'KEY-98: a privilege of PUBLIC to which policies do not apply is noticed'
);
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_TABLE_OPEN_OTHERWISE',
  'KEY-98: and not admitted'
);
revoke truncate on public.orders from public;
select bulwark.expel_api_keys('public.orders');
grant select (body) on public.orders to api_key;
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_TABLE_OPEN_OTHERWISE',
  'KEY-98: nor is a table that somebody opened to keys before'
);
revoke select (body) on public.orders from api_key;
create role another;
grant another to postgres;
grant usage on schema public to another;
grant select on public.orders to another with grant option;
set local role another;
grant select (body) on public.orders to api_key;
reset role;
revoke select (body) on public.orders from api_key;
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_TABLE_OPEN_OTHERWISE',
  'KEY-98: also where the grant is another role''s, which the table''s owner does not revoke'
);
set local role another;
revoke select (body) on public.orders from api_key;
reset role;
revoke select on public.orders from another;
select bulwark.admit_api_keys('public.orders');
select matches(
  tests.key_problems_after(c.change), c.problem, 'KEY-98: noticed: ' || c.change
)
from (values
  ('alter table public.orders disable row level security', 'table with row-level security'),
  ('grant select on public.orders to api_key with grant option',
    'privileges of API keys have changed'),
  ('grant authenticated to api_key', '^the role api_key has attributes or memberships'),
  ('grant api_key to authenticated', '^authenticated has the rights of API keys'),
  ('grant create on schema public to api_key; alter table public.orders owner to api_key',
    'API keys have the rights of the owner of public.orders'),
  ('alter default privileges in schema public grant select on tables to api_key',
    '^default privileges open future tables'),
  ('grant usage on sequence public.numbers to api_key',
    '^public.numbers: open to API keys without'),
  ('grant select on public.a_view to public', '^public.a_view: open to API keys without'),
  ('grant select on public.copied to api_key', '^public.copied: open to API keys without'),
  ('alter table public.orders rename organization_id to tenant_id', 'admit API keys again')
) as c (change, problem);
select is(
  tests.key_problems_after(c.change), null, 'KEY-98: nothing to notice: ' || c.change
)
from (values
  ('alter table public.orders add column note text; alter table public.orders drop column note'),
  ('alter table public.orders rename id to number'),
  ('alter table public.orders rename to orders_2; alter table public.orders_2 set schema closed'),
  ('alter policy "delete" on public.orders rename to "Members delete"'),
  ('analyze public.orders'),
  ('alter table public.orders force row level security'),
  ('create table closed.other (id integer)'),
  ('create view public.orders_view with (security_invoker) as select * from public.orders;
    grant select on public.orders_view to api_key'),
  ('select bulwark.require_mfa(''public.orders'')')
) as c (change);

-- sequences
create table public.counted (id serial, organization_id uuid);
alter table public.counted enable row level security;
grant insert on public.counted to authenticated;
create policy "Members insert" on public.counted for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
revoke all on sequence public.counted_id_seq from authenticated;
select bulwark.admit_api_keys('public.counted');
select is(
  tests.with_key(format(
    'insert into public.counted (organization_id) values (%L) returning 1',
    tests.acme()
  )), '42501', 'KEY-98: keys take no number from a sequence from which people take none'
);
select is(
  tests.key_problems_after('grant update on sequence public.counted_id_seq to api_key'),
  'public.counted: the policies or privileges of API keys have changed: admit them again',
  'KEY-98: and what a sequence of an admitted table grants is noticed'
);
drop table public.counted;

-- names
create schema "App % $$ '";
grant usage on schema "App % $$ '" to authenticated, api_key;
create table "App % $$ '"."Größe ""%I""
$$" ("order" serial, "Org "" % $$ '" uuid, "user" text);
alter table "App % $$ '"."Größe ""%I""
$$" enable row level security;
grant select ("user"), insert ("Org "" % $$ '", "user") on "App % $$ '"."Größe ""%I""
$$" to authenticated;
grant usage on all sequences in schema "App % $$ '" to authenticated;
create policy "p'; drop table public.orders; --" on "App % $$ '"."Größe ""%I""
$$" for all to authenticated
  using ("Org "" % $$ '" = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "not %s" on "App % $$ '"."Größe ""%I""
$$" as restrictive for select to authenticated using ("user" <> '%s $$');
create function pg_temp.odd() returns regclass language sql as $test$
  select c.oid::regclass from pg_class c
  join pg_namespace n on n.oid = c.relnamespace and n.nspname like 'App %' and c.relkind = 'r';
$test$;
select tests.error_is('KEY-100: tables, columns and policies may be called anything', 'no error',
  $test$ select bulwark.admit_api_keys(pg_temp.odd()) $test$);
select is(
  tests.with_key(format(
    'insert into %s (%I, "user") values (%L, ''x'') returning "user"',
    pg_temp.odd(), 'Org " % $$ ''', tests.organization_id(c.organization)
  )), c.expected, 'KEY-100: and mean the same: a key writes ' || c.organization
)
from (values ('acme', 'x'), ('globex', '42501')) as c (organization, expected);
select is(tests.key_problems(), null, 'KEY-100: (without a problem)');
select lives_ok(
  $test$ select bulwark.admit_api_keys(pg_temp.odd()), bulwark.expel_api_keys(pg_temp.odd()) $test$,
  'KEY-100: and are closed again'
);

select * from finish();
rollback;
