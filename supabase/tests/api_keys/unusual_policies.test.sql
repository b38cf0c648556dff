-- API keys and unusual policies: look-alikes of permissions, restrictive policies that ask for a
-- person, and statements to which several policies apply.
begin;
set local search_path = bulwark, public, extensions;
select plan(34);
select tests.create_organizations();
select tests.act_as('admin@acme.test');
create temporary table key as
  select k.id from bulwark.create_api_key(
    tests.acme(), 'key', '{analytics:read,analytics:write}'
  ) k;
select tests.act_as_owner();

select tests.make_host_table('public.orders');
alter table public.orders add primary key (id);

-- how rows are written
select tests.fill_host_table('public.orders');
create policy "insert" on public.orders for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
select bulwark.admit_api_keys('public.orders');
select is(
  tests.with_key(format(c.statement, tests.acme())), c.answer,
  'KEY-101: a key does not reach another''s row: ' || c.statement
)
from (values
  ('insert into public.orders values (2, %L) on conflict (id)
    do update set body = ''x'' returning 1', '42501'),
  ('insert into public.orders values (2, %L) on conflict (id)
    do update set organization_id = excluded.organization_id returning 1', '42501'),
  ('with w as (insert into public.orders values (2, %L) on conflict do nothing returning 1)
    select count(*) from w', '0'),
  ('with w as (update public.orders set body = %L returning id) select count(*) from w', '1'),
  ('update public.orders set organization_id = null where organization_id = %L returning 1',
    '42501')
) as c (statement, answer);
create function pg_temp.merge() returns text language plpgsql as $$
begin
  merge into public.orders o using (values (1), (2)) as v (id) on o.id = v.id
  when matched then update set body = 'merged';
  return 'merged';
end;
$$;
select is(tests.with_key('select pg_temp.merge()'), 'merged', 'KEY-101: (its own by merge)');
select results_eq(
  $$ select id, body from public.orders order by id $$,
  $$ values (1, 'merged'), (2, 'theirs') $$, 'KEY-101: nor by merge'
);
create function public.move() returns trigger language plpgsql as $$
begin
  new.organization_id := tests.globex();
  return new;
end;
$$;
create trigger move before insert on public.orders for each row execute function public.move();
select is(
  tests.with_key(format(
    'insert into public.orders values (3, %L) returning 1', tests.acme()
  )), '42501', 'KEY-101: nor does a trigger write for it what it may not'
);
drop trigger move on public.orders;

-- policies that only look like a permission
create schema app;
grant usage on schema app to public;
create function app.organizations_with(text) returns setof uuid language sql as 'select null::uuid';
create function bulwark.organizations_with(varchar) returns setof uuid
  language sql as 'select null::uuid';
create function app.equal(uuid, uuid) returns boolean language sql as 'select true';
create operator app.= (leftarg = uuid, rightarg = uuid, function = app.equal);
create domain app.organization as uuid;
create table public.alike (organization_id uuid, of_domain app.organization, in_text varchar);
alter table public.alike enable row level security;
create function pg_temp.with_policy(expression text) returns text language plpgsql as $$
declare
  v_error text;
begin
  execute format(
    'create policy p on public.alike for select to authenticated using (%s)', expression
  );
  v_error := tests.admit_error('public.alike');
  drop policy p on public.alike;
  return v_error;
end;
$$;
select is(
  pg_temp.with_policy(e), '22023 API_KEY_NOTHING_TO_ADMIT', 'KEY-102: no permission alone: ' || e
)
from unnest(array[
  $$organization_id = any (array(select app.organizations_with('analytics:read')))$$,
  $$organization_id = any (array(select bulwark.organizations_with('analytics:read'::varchar)))$$,
  $$organization_id operator(app.=)
    any (array(select bulwark.organizations_with('analytics:read')))$$,
  $$of_domain = any (array(select bulwark.organizations_with('analytics:read')))$$,
  $$in_text::uuid = any (array(select bulwark.organizations_with('analytics:read')))$$,
  $$organization_id <> all (array(select bulwark.organizations_with('analytics:read')))$$,
  $$not organization_id = any (array(select bulwark.organizations_with('analytics:read')))$$,
  $$organization_id = any (array(select bulwark.organizations_with('analytics:read')))
    and now() < '2030-01-01'$$
]) as e;
select is(
  pg_temp.with_policy(
    $$organization_id = any (array(select bulwark.organizations_with('analytics:read')))$$
  ), 'no error', 'KEY-102: (which is one)'
);
select bulwark.expel_api_keys('public.alike');
create policy "After a second factor" on public.alike for select to authenticated
  using (organization_id is not null and (select bulwark.mfa_verified('10 minutes')));
select tests.error_is(
  'KEY-102: what people read after a second factor alone no permission opens to keys',
  '42809 API_KEY_TABLE_NEEDS_MFA',
  $$ select bulwark.admit_api_keys('public.alike', 'analytics:read') $$);
create policy "Or without" on public.alike for select to authenticated using (true);
select bulwark.admit_api_keys('public.alike', 'analytics:read');
select is(
  tests.key_problems_after('drop policy "Or without" on public.alike'),
  'public.alike: people need a second factor for SELECT on public.alike',
  'KEY-102: and once there is no other way that is noticed'
);
drop table public.alike;
create table public.alike (organization_id uuid);
select is(
  concat(tests.key_problems(), tests.with_key('select count(*) from public.alike')), '42501',
  'KEY-102: a table that is made again is closed again'
);
drop function bulwark.organizations_with(varchar);

-- restrictive policies that ask for a person
create table public.suspended (user_id uuid);
insert into public.suspended values (tests.user_id('admin@acme.test'));
create function public.is_suspended() returns boolean language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$ select exists (select from public.suspended s where s.user_id = auth.uid()) $$;
select bulwark.expel_api_keys('public.orders');
savepoint unrestricted;
create policy "Not the suspended" on public.orders as restrictive for select
  using (not public.is_suspended());
select is(
  tests.admit_error('public.orders'), '42809 API_KEY_RESTRICTION_UNCLEAR',
  'KEY-99: to a restriction of persons a key is nobody: with one the table is not admitted'
);
alter policy "Not the suspended" on public.orders to authenticated, api_key;
select is(
  tests.admit_error('public.orders'), 'no error',
  'KEY-99: unless the policy says that it holds for keys as it is written'
);
rollback to savepoint unrestricted;
select is(
  bulwark_private.depends_on_row_only(c.expression), c.expected,
    'KEY-99: the row alone: ' || c.expression
)
from (values
  ('(NOT archived)', true),
  ('((COALESCE(lower(kind), ''x''::text) = ANY (ARRAY[''a''::text])) AND (until > now()))', true),
  ('(organization_id = ANY (ARRAY( SELECT bulwark.organizations_with(''a:b''::text) AS '
    || 'organizations_with)))', true),
  ('(user_id IS DISTINCT FROM auth.uid())', false),
  ('(current_setting(''request.jwt.claims''::text, true) IS NULL)', false),
  ('("user" <> ''x''::text)', true),
  ('(owner <> CURRENT_USER)', false),
  ('(owner <> "current_user"())', false),
  ('(NOT (EXISTS ( SELECT 1 FROM orders)))', false),
  ('(owner OPERATOR(public.=) 1)', false),
  ('(app.lower(kind) = ''a''::text)', false)
) as c (expression, expected);
create role people;
alter role authenticated inherit;
grant people to authenticated;
create policy "Not the first" on public.orders as restrictive for select to people using (id > 1);
select bulwark.admit_api_keys('public.orders');
select is(
  tests.with_key('select count(*) from public.orders'), '0',
  'KEY-99: what restricts people as members of a role restricts keys'
);
rollback to savepoint unrestricted;

select * from finish();
rollback;
