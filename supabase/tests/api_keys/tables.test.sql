-- API keys and tables: access derived from a table's policies, and the limits of it.
begin;
set local search_path = bulwark, public, extensions;
select plan(37);
select is_empty(
  $$ select * from bulwark.api_key_table_problems() $$,
  'CONV-20: no table is open to API keys but those that were admitted, and as they were'
);
select tests.create_organizations();
select tests.act_as('admin@acme.test');
create temporary table key as
  select k.id from bulwark.create_api_key(
    tests.acme(), 'key', '{analytics:read,analytics:write,conversation:read}'
  ) k;
select tests.act_as_owner();
create function pg_temp.policies(target regclass) returns setof text language sql as $$
  select p.polname::text from pg_policy p
  where p.polrelid = target and 'api_key'::regrole = any (p.polroles) order by 1;
$$;

create table public.notes (
  id serial primary key,
  organization_id uuid not null,
  owner_id uuid,
  archived boolean not null default false,
  body text,
  secret text
);
insert into public.notes (organization_id, body, archived) values
  (tests.acme(), 'one', false), (tests.acme(), 'old', true),
  (tests.globex(), 'theirs', false);
select tests.error_is('KEY-80: a table without row-level security is not admitted',
  '42809 API_KEY_TABLE_WITHOUT_RLS', $$ select bulwark.admit_api_keys('public.notes') $$);
alter table public.notes enable row level security;
select tests.error_is('KEY-80: nor one without policies', '22023 API_KEY_NOTHING_TO_ADMIT',
  $$ select bulwark.admit_api_keys('public.notes') $$);
revoke all on public.notes from anon, authenticated, service_role;
grant select, delete on public.notes to authenticated;
grant insert (organization_id, body), update (body) on public.notes to authenticated;
create policy "Owners" on public.notes for all to authenticated
  using (owner_id = (select auth.uid()));
select tests.error_is('KEY-80: a policy for owners gives a key nothing',
  '22023 API_KEY_NOTHING_TO_ADMIT', $$ select bulwark.admit_api_keys('public.notes') $$);
create policy "Members read" on public.notes for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members write" on public.notes for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "Members change" on public.notes for update to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
create policy "Members or owners delete" on public.notes for delete to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('analytics:write')))
    or owner_id = (select auth.uid())
  );
create policy "Nobody sees the archive" on public.notes as restrictive for select to authenticated
  using (not archived);
select is(
  tests.with_key('select count(*) from public.notes'), '42501',
  'KEY-81: before it is admitted a table is closed to keys'
);
select lives_ok($$ select bulwark.admit_api_keys('public.notes') $$, 'KEY-82: (it is admitted)');
select results_eq(
  $$ select pg_temp.policies('public.notes') $$,
  $$ values ('bulwark_api_key_copy_1'), ('bulwark_api_key_permissive_insert'),
       ('bulwark_api_key_permissive_select'), ('bulwark_api_key_permissive_update'),
       ('bulwark_api_key_restrictive_delete'), ('bulwark_api_key_restrictive_insert'),
       ('bulwark_api_key_restrictive_select'), ('bulwark_api_key_restrictive_update') $$,
  'KEY-82: what is under a permission alone is opened, every command bound, restrictions copied'
);
select is(
  tests.with_key('select string_agg(body, '','') from public.notes'), 'one',
  'KEY-83: a key reads its organization''s rows, without those withheld from people'
);
select is(
  tests.with_key(format(
    $$ insert into public.notes (organization_id, body) values (%L, 'two') returning body $$,
    tests.acme()
  )), 'two', 'KEY-84: and writes there, sequence and all'
);
select is(
  tests.with_key(format(
    $$ insert into public.notes (organization_id, secret) values (%L, 'x') returning 'x' $$,
    tests.acme()
  )), '42501', 'KEY-84: not in columns that people may not write'
);
select is(
  tests.with_key($$ update public.notes set body = 'two!' where body = 'two' returning body $$),
  'two!', 'KEY-85: changing is under its own policy'
);
select is(
  tests.with_key(format(
    $$ update public.notes set organization_id = %L returning 'x' $$,
    tests.globex()
  )), '42501', 'KEY-85: and takes no row elsewhere'
);
select is(
  tests.with_key($$ delete from public.notes returning 'x' $$), '42501',
  'KEY-86: what is under more than a permission stays closed'
);
select is(
  tests.with_key($$ truncate public.notes $$), '42501', 'KEY-86: as does what no policy governs'
);

-- policies for everybody
create policy "Everybody" on public.notes for select using (true);
select is(
  tests.with_key('select string_agg(body, '','' order by id) from public.notes'), 'one,two!',
  'KEY-87: a policy for everybody opens a key nothing'
);
select is_empty(
  $$ select * from bulwark.api_key_table_problems() $$, 'KEY-88: all is as it was admitted'
);
drop policy "Members change" on public.notes;
select results_eq(
  $$ select relation, problem from bulwark.api_key_table_problems() $$,
  $$ values ('public.notes', 'its policies or privileges have changed: admit API keys again') $$,
  'KEY-88: a policy that goes is noticed'
);
select bulwark.admit_api_keys('public.notes');
select is(
  tests.with_key($$ update public.notes set body = 'x' returning body $$), '42501',
  'KEY-88: and admitting again takes what it gave'
);
-- Reported changes: each alone, right after admit_api_keys.
create function pg_temp.problems_after(change text) returns text language plpgsql as $$
declare
  v_problems text;
begin
  begin
    execute change;
    select string_agg(p.problem, ', ' order by p.problem) into v_problems
    from bulwark.api_key_table_problems() p where p.relation = 'public.notes';
    raise exception using errcode = 'TEST0';
  exception when sqlstate 'TEST0' then null;
  end;
  return v_problems;
end;
$$;
select is(
  pg_temp.problems_after(c.change), c.problem || ': admit ' || c.whom || ' again',
  'KEY-88: noticed: ' || c.change
)
from (values
  ('drop policy bulwark_api_key_restrictive_select on public.notes',
    'the policies or privileges of API keys have changed', 'them'),
  ('alter policy bulwark_api_key_restrictive_select on public.notes using (true)',
    'the policies or privileges of API keys have changed', 'them'),
  ('alter policy bulwark_api_key_copy_1 on public.notes to anon',
    'the policies or privileges of API keys have changed', 'them'),
  ('grant delete on public.notes to api_key',
    'the policies or privileges of API keys have changed', 'them'),
  ('create policy "Nor drafts" on public.notes as restrictive for select to authenticated
    using (body is not null)', 'its policies or privileges have changed', 'API keys'),
  ('revoke insert (body) on public.notes from authenticated',
    'its policies or privileges have changed', 'API keys')
) as c (change, problem, whom);
create policy "Everybody deletes" on public.notes for delete using (true);
grant delete on public.notes to api_key;
select is(
  tests.with_key($$ with gone as (delete from public.notes returning 1)
    select count(*) from gone $$),
  '0', 'KEY-88: and a grant with a policy for everybody opens no command that was not admitted'
);
drop policy "Everybody deletes" on public.notes;
revoke delete on public.notes from api_key;
create table public.passing (id bigint primary key, organization_id uuid);
alter table public.passing enable row level security;
select bulwark.admit_api_keys('public.passing', read_permission => 'analytics:read');
drop table public.passing;
select is_empty(
  $$ select * from bulwark.api_key_table_problems() $$,
  'KEY-88: a table that is gone has no problems'
);
select lives_ok(
  $$ select bulwark.expel_api_keys('public.notes') $$, 'KEY-89: (it is closed again)'
);
select is(
  tests.with_key('select count(*) from public.notes'), '42501', 'KEY-89: to every key'
);
select is_empty($$ select pg_temp.policies('public.notes') $$, 'KEY-89: without a trace');
select tests.error_is('KEY-89: and closed once', 'PT404 API_KEY_TABLE_NOT_ADMITTED',
  $$ select bulwark.expel_api_keys('public.notes') $$);

-- by explicit permissions
select is(
  tests.error(s.statement), s.problem, 'KEY-90: ' || s.problem
)
from (values
  ('select bulwark.admit_api_keys(''public.notes'', ''conversation:raed'')',
    '22023 RBAC_UNKNOWN_PERMISSION'),
  ('select bulwark.admit_api_keys(''public.notes'', ''conversation:read'',
     organization_column => ''body'')', '42703 API_KEY_INVALID_ORGANIZATION_COLUMN'),
  ('select bulwark.admit_api_keys(null)', '22004 API_KEY_NULL_ARGUMENT')
) as s (statement, problem);
drop policy "Everybody" on public.notes;
drop policy "Nobody sees the archive" on public.notes;
select bulwark.admit_api_keys('public.notes', read_permission => 'conversation:read');
select is(
  tests.with_key('select string_agg(body, '','' order by id) from public.notes'), 'one,old,two!',
  'KEY-91: a table can be admitted under permissions that its policies do not name'
);
select is(
  tests.with_key(format(
    $$ insert into public.notes (organization_id, body) values (%L, 'x') returning body $$,
    tests.acme()
  )), '42501', 'KEY-91: and then for those commands alone'
);
grant select on public.notes to api_key;
select bulwark.expel_api_keys('public.notes');
grant select on public.notes to api_key;
select results_eq(
  $$ select relation, problem from bulwark.api_key_table_problems() $$,
  $$ values ('public.notes', 'open to API keys without having been admitted') $$,
  'KEY-92: a grant beside all this is noticed'
);
select is(
  tests.with_key('select count(*) from public.notes'), '0',
  'KEY-92: and opens nothing without a policy'
);

select * from finish();
rollback;
