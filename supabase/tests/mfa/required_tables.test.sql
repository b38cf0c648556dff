-- MFA: step-up for tables of the host application, and the check that finds ways around it.
begin;
set local search_path = bulwark, public, extensions;
select plan(39);
select is_empty(
  $$ select * from bulwark.mfa_uncovered_tables() $$,
  'CONV-19: nothing goes around the guard of a table that asks for a second factor'
);
select tests.create_organizations();
create temporary table session as
  select tests.create_session('admin@acme.test') as fresh, tests.create_session('admin@acme.test')
    as stale;
grant select on session to public;
select tests.add_factor('admin@acme.test'),
  tests.verify_session('admin@acme.test', '1 minute', fresh),
  tests.verify_session('admin@acme.test', '11 minutes', stale)
from session;

create table tests.payouts (id integer primary key, amount integer not null);
insert into tests.payouts values (1, 100);
grant select, insert, update, delete on tests.payouts to authenticated;
select tests.error_is('MFA-50: a table without row-level security cannot require MFA',
  '42809 MFA_TABLE_WITHOUT_RLS', $$ select bulwark.require_mfa('tests.payouts') $$);
alter table tests.payouts enable row level security;
create policy "Anybody signed in reads" on tests.payouts for select to authenticated using (true);
create policy "And writes" on tests.payouts for insert to authenticated with check (true);
create policy "And changes" on tests.payouts for update to authenticated using (true);
create policy "And deletes" on tests.payouts for delete to authenticated using (true);
select tests.error_is('MFA-50: nor for no time at all', '22023 MFA_INVALID_MAX_AGE',
  $$ select bulwark.require_mfa('tests.payouts', '0') $$);
select tests.error_is('MFA-50: nor for null', '22004 MFA_NULL_ARGUMENT',
  $$ select bulwark.require_mfa('tests.payouts', null) $$);
select lives_ok(
  $$ select bulwark.require_mfa('tests.payouts', max_age => '10 minutes') $$,
  'MFA-50: with it, one call requires it'
);
select is_empty(
  $$ select * from bulwark.mfa_uncovered_tables() $$, 'MFA-50: and nothing goes around'
);

-- a session verified a minute ago
select tests.act_in('admin@acme.test', (select fresh from session));
select isnt_empty($$ select from tests.payouts $$, 'MFA-51: a fresh session reads');
select lives_ok($$ insert into tests.payouts values (2, 5) $$, 'MFA-51: inserts');
select isnt_empty(
  $$ update tests.payouts set amount = 6 where id = 2 returning 1 $$, 'MFA-51: updates'
);
select isnt_empty($$ delete from tests.payouts where id = 2 returning 1 $$, 'MFA-51: and deletes');
-- a session verified eleven minutes ago
select tests.act_in('admin@acme.test', (select stale from session));
select is_empty($$ select from tests.payouts $$, 'MFA-51: a stale one reads nothing');
select tests.error_is('MFA-51: inserts nothing', '42501',
  $$ insert into tests.payouts values (2, 5) $$);
select is_empty($$ update tests.payouts set amount = 0 returning 1 $$, 'MFA-51: updates nothing');
select is_empty($$ delete from tests.payouts returning 1 $$, 'MFA-51: and deletes nothing');
select tests.act_as_owner();
create policy "Added later, for all" on tests.payouts for all to authenticated using (true);
select tests.act_in('admin@acme.test', (select stale from session));
select is_empty(
  $$ select from tests.payouts $$, 'MFA-51: a permissive policy added later opens nothing'
);
select tests.act_as_owner();
select results_eq(
  $$ select * from tests.payouts $$, $$ values (1, 100) $$, 'MFA-51: (the row is as it was)'
);

-- ways around that the check finds
create function pg_temp.found() returns text[] language sql as $$
  select array_agg(concat_ws(' ', u.relation, u.role, u.problem) order by u.role, u.problem)
  from bulwark.mfa_uncovered_tables() u;
$$;
savepoint covered;
drop policy bulwark_mfa_delete on tests.payouts;
select is(
  pg_temp.found(), '{"tests.payouts authenticated delete: the MFA policy is missing or changed"}',
  'MFA-52: a policy that was dropped'
);
rollback to savepoint covered;
alter policy bulwark_mfa_update on tests.payouts using (true);
select is(
  pg_temp.found(), '{"tests.payouts authenticated update: the MFA policy is missing or changed"}',
  'MFA-52: one that was changed'
);
rollback to savepoint covered;
alter policy bulwark_mfa_select on tests.payouts to anon;
select is(
  pg_temp.found(), '{"tests.payouts authenticated select: the MFA policy is missing or changed"}',
  'MFA-52: one that was given to another role'
);
rollback to savepoint covered;
alter table tests.payouts disable row level security;
select is(
  pg_temp.found(), '{"tests.payouts row level security is off"}',
  'MFA-52: row-level security switched off'
);
rollback to savepoint covered;
grant select on tests.payouts to anon;
select is(
  pg_temp.found(), null, 'MFA-53: a privilege alone opens nothing'
);
create policy "Anybody at all reads" on tests.payouts for select to anon using (true);
select is(
  pg_temp.found(),
  '{"tests.payouts anon select: a policy admits the role, no MFA policy stops it"}',
  'MFA-53: with a policy it does'
);
rollback to savepoint covered;
grant insert (id) on tests.payouts to anon;
create policy "Anybody inserts" on tests.payouts for insert to public with check (true);
select is(
  pg_temp.found(),
  '{"tests.payouts anon insert: a policy admits the role, no MFA policy stops it"}',
  'MFA-53: also by a privilege on a column, and a policy for everybody'
);
rollback to savepoint covered;
grant truncate on tests.payouts to authenticated;
select is(
  pg_temp.found(),
  '{"tests.payouts authenticated truncate: the role may, and no policy can stop it"}',
  'MFA-54: truncate'
);
rollback to savepoint covered;
create view tests.leak as select * from tests.payouts;
grant select on tests.leak to authenticated;
select is(
  pg_temp.found(), '{"tests.payouts authenticated through the view tests.leak"}',
  'MFA-54: a view with its owner''s rights'
);
alter view tests.leak set (security_invoker = true);
select is(pg_temp.found(), null, 'MFA-54: but not one with its reader''s');
rollback to savepoint covered;
create view tests.leak as select * from tests.payouts;
grant insert, delete on tests.leak to authenticated;
select is(
  pg_temp.found(), '{"tests.payouts authenticated through the view tests.leak"}',
  'MFA-54: also one that is only written through'
);
create view tests.outer_leak as select * from tests.leak;
grant select on tests.outer_leak to authenticated;
revoke all on tests.leak from authenticated;
select is(
  pg_temp.found(), '{"tests.payouts authenticated through the view tests.outer_leak"}',
  'MFA-54: and a view of a view'
);
select tests.act_in('admin@acme.test', (select stale from session));
select isnt_empty($$ select from tests.outer_leak $$, 'MFA-54: (it does go around)');
select tests.act_as_owner();
alter view tests.leak set (security_invoker = true);
select tests.act_in('admin@acme.test', (select stale from session));
select is_empty(
  $$ select from tests.outer_leak $$, 'MFA-54: (with its reader''s inside it does not)'
);
select tests.act_as_owner();
select is(pg_temp.found(), null, 'MFA-54: which is no finding');
create materialized view tests.copied as select * from tests.leak;
grant select on tests.copied to authenticated;
select is(
  pg_temp.found(), '{"tests.payouts authenticated through the view tests.copied"}',
  'MFA-54: but a copy of what its owner read is'
);
select tests.act_as_owner();
rollback to savepoint covered;
create table tests.parts (id integer not null) partition by list (id);
create table tests.part partition of tests.parts default;
alter table tests.parts enable row level security;
select bulwark.require_mfa('tests.parts');
grant select on tests.part to authenticated;
select is(
  pg_temp.found(), '{"tests.parts authenticated directly in tests.part"}',
  'MFA-54: a partition that is read directly'
);
rollback to savepoint covered;
create table tests.parts (id integer not null, more integer) partition by list (id);
create table tests.part partition of tests.parts default partition by list (more);
create table tests.particle partition of tests.part default;
alter table tests.particle enable row level security;
select bulwark.require_mfa('tests.particle');
grant select on tests.parts to authenticated;
select is(
  pg_temp.found(), '{"tests.particle authenticated through its parent tests.parts"}',
  'MFA-54: a partition whose rows are read through a parent'
);
select bulwark_private.release_mfa('tests.particle');
alter table tests.parts enable row level security;
select bulwark.require_mfa('tests.parts');
grant select on tests.particle to authenticated;
create policy "Anybody" on tests.particle for select to authenticated using (true);
select is(
  pg_temp.found(), '{"tests.parts authenticated directly in tests.particle"}',
  'MFA-54: and a partition of a partition'
);
rollback to savepoint covered;

-- replaced and released
select lives_ok(
  $$ select bulwark.require_mfa('tests.payouts', '1 hour') $$,
  'MFA-55: requiring it again replaces max_age'
);
select tests.act_in('admin@acme.test', (select stale from session));
select isnt_empty($$ select from tests.payouts $$, 'MFA-55: how fresh it has to be');
select tests.act_as_owner();
select bulwark_private.release_mfa('tests.payouts');
select is(
  (select count(*) from pg_policy where polrelid = 'tests.payouts'::regclass and not polpermissive),
  0::bigint, 'MFA-55: releasing drops the policies'
);
select tests.error_is('MFA-55: once', 'PT404 MFA_NOT_GUARDED',
  $$ select bulwark_private.release_mfa('tests.payouts') $$);

select * from finish();
rollback;
