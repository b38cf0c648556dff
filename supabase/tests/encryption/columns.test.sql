-- Declared columns with long or similar names: each has its own checks and indexes.
begin;
set local search_path = bulwark, public, extensions;
select plan(17);

create table public.patients (
  id uuid primary key,
  organization_id uuid,
  "a_name_that_agrees_in_its_first_forty_chars_one" text,
  "a_name_that_agrees_in_its_first_forty_chars_two" text,
  "ключ_пациента_для_проверки_длин" text
);
select bulwark.declare_encrypted_column(
  'public.patients', 'a_name_that_agrees_in_its_first_forty_chars_one', 'organization_id', true
);
select bulwark.declare_encrypted_column(
  'public.patients', 'a_name_that_agrees_in_its_first_forty_chars_two', 'organization_id', true
);
select bulwark.declare_encrypted_column(
  'public.patients', 'ключ_пациента_для_проверки_длин', 'organization_id', true
);
select is(
  tests.error(format(
    'insert into public.patients (id, %I) values (gen_random_uuid(), ''plaintext'')', c
  )),
  '23514', format('ENC-47: %s refuses plaintext', c)
)
from unnest('{
  a_name_that_agrees_in_its_first_forty_chars_one, a_name_that_agrees_in_its_first_forty_chars_two,
  ключ_пациента_для_проверки_длин
}'::text[]) as c;
select is(
  tests.error(format(
    'insert into public.patients (id, %I) values (gen_random_uuid(), ''plaintext'')', e.index_column
  )),
  '23514', format('ENC-47: so does what %s is found by', e.column_name)
)
from bulwark_private.encrypted_columns e where e.relation = 'public.patients'::regclass;
select is(
  (select count(*) from pg_constraint c
   where c.conrelid = 'public.patients'::regclass and c.contype = 'c'),
  6::bigint, 'ENC-47: each column and each index has a check of its own'
);
select is(
  (select count(*) from bulwark_private.encrypted_columns e
   join pg_attribute a on a.attrelid = e.relation and a.attname = e.index_column
   where e.relation = 'public.patients'::regclass),
  3::bigint, 'ENC-47: the column that is searched is the one that is there'
);

-- Tables and columns whose joined names are equal.
create table public.a_b (id uuid primary key, c text);
create table public.a (id uuid primary key, b_c text);
select bulwark.declare_encrypted_column('public.a_b', 'c');
select bulwark.declare_encrypted_column('public.a', 'b_c');
select is(
  (select count(*) from pg_index i
   where i.indrelid in ('public.a_b'::regclass, 'public.a'::regclass) and not i.indisprimary),
  2::bigint, 'ENC-48: each table has the index that rotation reads by'
);
select bulwark.declare_encrypted_column('public.a', 'b_c');
select is(
  (select count(*) from pg_index i where i.indrelid = 'public.a'::regclass), 2::bigint,
  'ENC-48: declaring it again makes no second one'
);

select ok(
  octet_length(bulwark_private.object_name(array[repeat('я', 31), 'x'], '_index')) <= 63
    and bulwark_private.object_name(array[repeat('я', 31), 'x'], '_index')
      <> bulwark_private.object_name(array[repeat('я', 31), 'y'], '_index'),
  'FND-10: a name that has to be cut is cut at a character, and stays its own'
);
select is(
  bulwark_private.object_name(array['email'], '_index'), 'email_index'::name,
  'FND-10: one that fits reads as it is'
);

-- Tables of one name in two schemas.
create schema app;
create table public.people (id uuid primary key, email text);
create table app.people (id uuid primary key, email text, phone text);
select bulwark.declare_encrypted_column('public.people', 'email');
select bulwark.declare_encrypted_column('app.people', 'phone');
select results_eq(
  $$select column_name, schema_name, relation_name
    from bulwark.list_encrypted_columns('app.people')$$,
  $$values ('phone', 'app', 'people')$$, 'ENC-49: a table is found in the schema that is named'
);
select results_eq(
  $$select column_name, schema_name, relation_name from bulwark.list_encrypted_columns('people')$$,
  $$values ('email', 'public', 'people')$$, 'ENC-49: without a schema it is the one in public'
);
select is_empty(
  $$select from bulwark.list_encrypted_columns('app.none')
    union all select from bulwark.list_encrypted_columns('none.people')
    union all select from bulwark.list_encrypted_columns('app.people; drop table app.people')
    union all select from bulwark.list_encrypted_columns('"app".people')
    union all select from bulwark.list_encrypted_columns('.')$$,
  'ENC-49: a name without a table finds nothing, and is not parsed'
);
-- acting as the service role
set local role service_role;
select set_config('request.jwt.claims', '{"role":"service_role"}', true);
select bulwark.authorize_field_access('decrypt', 'app.people', '{phone}', '{}');
select bulwark.authorize_field_access('decrypt', 'people', '{email}', '{}');
reset role;
select set_eq(
  $$select resource_type from bulwark.audit_logs where event_type = 'compliance.data_accessed'$$,
  array['app.people', 'public.people'], 'ENC-49: the audit entry names the schema'
);
select tests.error_is('ENC-49: a name that no table can have is refused',
  '22023 ENCRYPTION_INVALID_ARGUMENT',
  $$select bulwark.authorize_field_access('decrypt', repeat('a', 128), '{email}', '{}')$$);

select * from finish();
rollback;
