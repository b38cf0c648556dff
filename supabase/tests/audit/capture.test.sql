-- Capture of unusual rows: values that JSON cannot hold, session settings that would change an
-- image, and tables whose key has changed since they were audited.
begin;
set local search_path = bulwark, public, extensions;
select plan(42);
select tests.create_organizations();

create function pg_temp.last(resource text)
  returns bulwark.audit_logs
  language sql
as $$
  select e from bulwark.audit_logs e
  where e.resource_type = last.resource and e.xid = pg_current_xact_id()
  order by e.id desc limit 1;
$$;

-- values that JSON cannot hold
create type public.broken as enum ('one');
create function public.broken_json(public.broken)
  returns json
  language plpgsql
  immutable
as $$ begin raise exception 'no json of this'; end; $$;
create cast (public.broken as json) with function public.broken_json(public.broken);
create domain public.document as json;
create table public.odd_values (
  id integer primary key, plain text, doc json, docs json[], nested public.document,
  custom public.broken, secret json, masked json
);
select bulwark.enable_audit('public.odd_values', ignore => '{secret}', redact => '{masked}');
create table public.odd_bulk (like public.odd_values including all);
select bulwark.enable_audit(
  'public.odd_bulk', ignore => '{secret}', redact => '{masked}', bulk => true
);
select tests.error_is('AUC-01: a NUL character in a json column does not block the write',
  'no error', $$ insert into public.odd_values (id, doc) values (1, '{"a": "\u0000"}') $$);
select results_eq(
  $$ select l.resource_id, l.after #>> '{doc,unconvertible}', l.after #>> '{doc,error}',
       l.after #>> '{doc,text}', l.after #>> '{doc,bytes}', l.after #>> '{doc,sha256}'
     from pg_temp.last('public.odd_values') l $$,
  $$ select '1', 'json', '22P05', '{"a": "\u0000"}', '15',
       encode(sha256(convert_to('{"a": "\u0000"}', 'UTF8')), 'hex') $$,
  'AUC-02: and the entry says which value it could not hold'
);
select is(
  (select string_agg(tests.error(format(
     'insert into public.odd_values (id, plain, %I) values (%s, ''kept'', %L)', c, n, v
   )), ' ' order by n)
   from (values
     (11, 'doc', '1e400000'), (12, 'doc', '"\ud800"'), (13, 'docs', '{"1e400000"}'),
     (14, 'nested', '{"a": ["\u0000"]}'), (15, 'custom', 'one'),
     (16, 'doc', repeat('[', 6000) || repeat(']', 6000))
   ) as t (n, c, v)),
  'no error no error no error no error no error no error',
  'AUC-03: nor do huge numbers, lone surrogates, arrays, domains, types whose cast fails, depth'
);
select is(
  (select count(*)::int from audit_logs
   where resource_type = 'public.odd_values' and resource_id in ('11', '12', '13', '14', '15')
     and after ->> 'plain' = 'kept' and after::text like '%unconvertible%'),
  5, 'AUC-04: the other columns are in the entry as ever'
);
select tests.error_is('AUC-05: one such value is replaced by another', 'no error',
  $$ update public.odd_values set doc = '{"a": "\u0000 again"}' where id = 1 $$);
select ok(
  (select l.before #>> '{doc,text}' = '{"a": "\u0000"}' and l.after #>> '{doc,text}' ~ 'again'
     and (select count(*) = 1 from jsonb_object_keys(l.after))
   from pg_temp.last('public.odd_values') l),
  'AUC-06: and the entry has both, and no column that did not change'
);
select tests.error_is('AUC-07: and deleted', 'no error',
  $$ delete from public.odd_values where id = 1 $$);
select tests.error_is('AUC-08: an ignored column may hold it', 'no error',
  $$ insert into public.odd_values (id, secret) values (2, '{"a": "\u0000"}') $$);
select ok(
  (select not l.after ? 'secret' and l.after::text !~ 'unconvertible'
   from pg_temp.last('public.odd_values') l),
  'AUC-09: and leaves nothing in the entry'
);
insert into public.odd_values (id, masked) values (3, '{"pin": "\u0000 0815"}');
select ok(
  (select l.after ->> 'masked' = '[redacted]' and l.after::text !~ '0815|sha256'
   from pg_temp.last('public.odd_values') l),
  'AUC-10: of a redacted one neither the value nor its hash is told'
);
select tests.error_is('AUC-11: in bulk as well', 'no error',
  $$ insert into public.odd_bulk (id, doc, secret, masked)
                 select n, '{"a": "\u0000"}', '1e400000', '"\u0000 0815"'
                 from generate_series(1, 3) as n;
                 update public.odd_bulk set doc = '"\u0000"' where id < 3;
                 delete from public.odd_bulk where id = 3 $$);
select ok(
  (select count(*) = 6 and bool_and(coalesce(after, before) #>> '{doc,unconvertible}' = 'json')
     and bool_and(concat(before, after) !~ '0815|secret')
   from audit_logs where resource_type = 'public.odd_bulk'),
  'AUC-12: with an entry a row'
);
update bulwark.settings set value = 'true' where name = 'audit.refuse_unconvertible';
select tests.error_is('AUC-13: a setting refuses such values', '22000 AUDIT_UNCONVERTIBLE_VALUE',
  $$ insert into public.odd_values (id, doc) values (9, '"\u0000"') $$);
update bulwark.settings set value = 'false' where name = 'audit.refuse_unconvertible';
alter table public.odd_values add column late json;
select tests.error_is('AUC-14: nor does a column that came later block a write', 'no error',
  $$ insert into public.odd_values (id, late) values (21, '"\u0000"') $$);

-- changes that JSON does not show, and settings that hide them
create table public.exact (
  id integer primary key, f double precision, r real, doc json, jb jsonb, n numeric, a integer[],
  at timestamptz, span interval, period tstzrange, raw bytea, price money, note text
);
create table public.exact_bulk (like public.exact including all);
select bulwark.enable_audit('public.exact');
select bulwark.enable_audit('public.exact_bulk', bulk => true);
create function pg_temp.change(assignment text)
  returns text
  language plpgsql
as $$
declare
  v_found text[];
  v_table text;
begin
  foreach v_table in array '{public.exact,public.exact_bulk}'::text[] loop
    execute format('update %s set %s', v_table, assignment);
    v_found := v_found || (
      select (l).before::text || ' ' || (l).after::text from pg_temp.last(v_table) as l
    );
  end loop;
  return case when v_found[1] = v_found[2] then v_found[1] else 'row ' || v_found[1] || ' bulk '
    || v_found[2] end;
end;
$$;
insert into public.exact (id, f, r, doc, n, a) values (1, 0.1, 1, '{"a": 1, "a": 2}', 1.0, '{1}');
insert into public.exact_bulk select * from public.exact;
set local extra_float_digits = -15;
select is(
  pg_temp.change('f = 0.1 + 1e-15'), '{"f": 0.1} {"f": 0.100000000000001}',
  'AUC-15: a session that prints few digits hides no change of a float'
);
set local extra_float_digits = 0;
select is(
  pg_temp.change('f = 0.1::float8 + 0.2::float8'),
  '{"f": 0.100000000000001} {"f": 0.30000000000000004}',
  'AUC-16: and each digit is in the entry'
);
reset extra_float_digits;
select is(
  pg_temp.change('f = 0'), '{"f": 0.30000000000000004} {"f": 0}', 'AUC-17: zero is a value'
);
select is(
  pg_temp.change($$ f = '-0' $$), '{"f": "0"} {"f": "-0"}', 'AUC-18: minus zero is another'
);
select is(
  pg_temp.change($$ doc = '{"a": 3, "a": 2}' $$),
  '{"doc": "{\"a\": 1, \"a\": 2}"} {"doc": "{\"a\": 3, \"a\": 2}"}',
  'AUC-19: a json column whose keys are doubled shows which changed'
);
select is(
  pg_temp.change($$ doc = '{"a": 4, "a": 2}', note = 'x' $$),
  '{"doc": "{\"a\": 3, \"a\": 2}", "note": null} {"doc": "{\"a\": 4, \"a\": 2}", "note": "x"}',
  'AUC-20: also beside another change'
);
select is(got, want, claim)
from (values
  ('AUC-21: digits after the point are a change',
   pg_temp.change('n = 1.00'), '{"n": 1.0} {"n": 1.00}'),
  ('AUC-22: a JSON null is a value',
   pg_temp.change($$ jb = 'null' $$), '{"jb": null} {"jb": "null"}'),
  ('AUC-23: an array has bounds',
   pg_temp.change($$ a = '[0:0]={1}' $$), '{"a": "{1}"} {"a": "[0:0]={1}"}')
) as t (claim, got, want);
create temporary table image (settings text, image text);
create function pg_temp.take_images(settings text)
  returns void
  language plpgsql
as $$
declare
  v_table text;
begin
  foreach v_table in array '{public.exact,public.exact_bulk}'::text[] loop
    execute format('delete from %s', v_table);
    execute format(
      $sql$ insert into %s values (
        7, 0.1::float8 + 0.2::float8, 0.1, '{}', '{}', 1, '{}', '2026-01-02 03:04:05.678+00',
        '1 year 2 days 03:04:05', '[2026-01-02 00:00+00,2026-03-04 00:00+00)', '\x00ff', $1, ''
      ) $sql$, v_table
    ) using (select 1234.5::numeric::money);
    insert into image select take_images.settings, (l).after::text from pg_temp.last(v_table) as l;
  end loop;
end;
$$;
select pg_temp.take_images('as they are');
set local timezone = 'Asia/Tokyo';
set local datestyle = 'German, DMY';
set local intervalstyle = 'iso_8601';
set local extra_float_digits = -3;
set local bytea_output = 'escape';
select pg_temp.take_images('others');
select is(
  (select count(distinct i.image)::int from image i), 1,
  'AUC-24: an image is the same under any time zone, date and interval style, digits and escape'
);
reset timezone;
reset datestyle;
reset intervalstyle;
reset extra_float_digits;
reset bytea_output;
select is(
  (select concat(
    current_setting('search_path'), current_setting('timezone'), current_setting('datestyle')
  )),
  (select 'bulwark, public, extensions'
     || string_agg(s.reset_val, '') filter (where s.name = 'TimeZone')
     || string_agg(s.reset_val, '') filter (where s.name = 'DateStyle') from pg_settings s),
  'AUC-25: and the session''s settings are its own again'
);

-- keys
create table public."odd ""keys" (
  "we,ird" integer, "Größe ""x""" text, value text, primary key ("we,ird", "Größe ""x""")
);
create table public.comma ("a,b" integer primary key, value text);
select bulwark.enable_audit('public."odd ""keys"');
select bulwark.enable_audit('public.comma');
insert into public."odd ""keys" values (1, 'L', 'x');
insert into public.comma values (7, 'x');
update public."odd ""keys" set value = 'y';
update public.comma set value = 'y';
select is(
  (select string_agg(distinct resource_id, ' ' order by resource_id) from audit_logs
   where resource_type in ('public.odd "keys', 'public.comma')),
  '7 {"we,ird": 1, "Größe \"x\"": "L"}',
  'AUC-26: a key column may have any name, also one with a comma'
);
select bulwark.enable_audit('public.comma', bulk => true);
update public.comma set value = 'z';
delete from public.comma;
select is(
  (select string_agg(distinct resource_id, ' ') from audit_logs
   where resource_type = 'public.comma'),
  '7', 'AUC-27: in bulk, too'
);

create table public.moved (id integer primary key, code uuid not null, value text);
select bulwark.enable_audit('public.moved');
insert into public.moved values (1, '00000000-0000-4000-8000-000000000001', 'a');
alter table public.moved rename column id to number;
update public.moved set value = 'b';
insert into public.moved values (2, '00000000-0000-4000-8000-000000000002', 'a');
delete from public.moved where number = 2;
select is(
  (select string_agg(resource_id, ' ' order by id) from audit_logs
   where resource_type = 'public.moved'),
  '1 1 2 2', 'AUC-28: a key column that was renamed goes on naming the row'
);
select bulwark_private.inspect_audit_fingerprints();
select ok(
  (select severity = 'warning' and details ->> 'found' ~ 'missing/key'
   from pg_temp.last('public.moved')),
  'AUC-29: and leaves a warning'
);
alter table public.moved drop constraint moved_pkey;
alter table public.moved add constraint moved_pkey primary key (code);
update public.moved set value = 'c';
select is(
  (pg_temp.last('public.moved')).resource_id, '00000000-0000-4000-8000-000000000001',
  'AUC-30: a key that was replaced is the new one, also where the index has the old name'
);
alter table public.moved rename column number to spare;
alter table public.moved rename column code to number;
alter table public.moved rename column spare to code;
update public.moved set value = 'd';
select is(
  (pg_temp.last('public.moved')).resource_id, '00000000-0000-4000-8000-000000000001',
  'AUC-31: so it is where columns swap their names'
);
alter table public.moved drop constraint moved_pkey;
update public.moved set value = 'e';
select ok(
  (select l.resource_id is not null and l.before = '{"code": 1, "value": "d",
     "number": "00000000-0000-4000-8000-000000000001"}' and l.after ->> 'value' = 'e'
   from pg_temp.last('public.moved') l),
  'AUC-32: without a key the whole row names itself'
);
alter table public.moved add primary key (code);
select bulwark.enable_audit('public.moved', bulk => true);
alter table public.moved rename column code to id;
update public.moved set value = 'f';
select is(
  (pg_temp.last('public.moved')).resource_id, '1', 'AUC-33: in bulk as well'
);

-- tables that were altered
create table public.altered (id integer primary key, organization_id uuid, value integer);
select bulwark.enable_audit('public.altered', organization_column => 'organization_id');
alter table public.altered add column added text, alter column value type double precision;
alter table public.altered alter column organization_id type text;
select tests.error_is('AUC-34: an organization column of another type blocks no write', 'no error',
  $$ insert into public.altered values (1, 'no uuid', 0.5, 'x') $$);
select tests.error_is('AUC-35: nor do the functions that are made anew for the table', 'no error',
  $$ select bulwark_private.inspect_audit_fingerprints(); update public.altered set value = 0.25,
    added = 'y' $$);
select bulwark_private.inspect_audit_fingerprints();
select ok(
  (select g.shape = bulwark_private.audit_shape(g.relation)
     and g.fingerprint = bulwark_private.audit_fingerprint(g.relation)
   from bulwark_private.audit_watched_tables g where g.relation = 'public.altered'::regclass),
  'AUC-36: which leaves no trace of a touched trigger'
);
insert into public.altered values (2, tests.acme()::text, 1, 'x');
select is(
  (pg_temp.last('public.altered')).organization_id, tests.acme(),
  'AUC-37: and the organization is found where it is one'
);
select is_empty(
  $$ select g.relation from bulwark_private.audit_watched_tables g
     where g.captures and g.shape is distinct from bulwark_private.audit_shape(g.relation) $$,
  'AUC-38: the functions of every audited table are made for its present columns'
);

-- bounded, and only what changed
select create_role(
  tests.acme(), 'keeper', permissions => '{audit:read, org:read}',
  inherits => '{viewer}'
);
create temporary table known as select id from audit_logs;
select update_role(
  tests.acme(), 'keeper', permissions => '{org:read, user:read}',
  inherits => '{viewer}'
);
select results_eq(
  $$ select resource_type, action, coalesce(after, before) ->> 'permission' from audit_logs
     where id not in (select k.id from known k) order by 1, 2 $$,
  $$ values ('bulwark.role_permissions', 'delete', 'audit:read'),
            ('bulwark.role_permissions', 'insert', 'user:read') $$,
  'AUC-39: a role that is set anew leaves entries of what differs only'
);
update bulwark.settings set value = '3' where name = 'audit.auth_entries';
insert into organizations (id, name, slug)
select md5('many' || n)::uuid, 'Many ' || n, 'many-' || n from generate_series(1, 9) as n;
insert into user_roles (user_id, role_id, organization_id)
select tests.user_id('stranger@bulwark.test'), r.id, md5('many' || n)::uuid
from generate_series(1, 9) as n, roles r where r.name = 'viewer' and r.organization_id is null;
insert into auth.sessions (id, user_id)
values (gen_random_uuid(), tests.user_id('stranger@bulwark.test'));
create temporary view sign_in as
  select e.* from audit_logs e where e.event_type = 'auth.login' and e.source = 'auth'
    and e.actor_id = tests.user_id('stranger@bulwark.test');
select is(
  (select count(*)::int from sign_in), 4,
  'AUC-40: a sign-in leaves a bounded number of entries, however many organizations a user has'
);
select is(
  (select (details ->> 'organizations') || ' ' || jsonb_array_length(details -> 'without_entry')
   from sign_in where organization_id is null),
  '9 6', 'AUC-41: the installation''s own says how many there were, and which have none'
);
update bulwark.settings set value = '100' where name = 'audit.auth_entries';
insert into auth.sessions (id, user_id)
values (gen_random_uuid(), tests.user_id('stranger@bulwark.test'));
select is(
  (select count(distinct organization_id)::int from sign_in), 9,
  'AUC-42: within the bound each organization has its own'
);

select * from finish();
rollback;
