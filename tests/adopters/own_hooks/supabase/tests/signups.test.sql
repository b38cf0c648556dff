begin;
create extension if not exists pgtap with schema extensions;
select plan(6);

select lives_ok(
  $$insert into auth.users (id, email) values ('2a000000-0000-4000-8000-000000000009', 'wes@field.example')$$,
  'signs up'
);
set local role authenticated;
set local request.jwt.claims = '{"sub": "2a000000-0000-4000-8000-000000000009", "role": "authenticated"}';
select isnt_empty(
  $$select from profiles where id = '2a000000-0000-4000-8000-000000000009'$$, 'has a profile'
);
select results_eq(
  'select title, personal from workspaces', $$values ('wes''s notes', true)$$, 'and a workspace'
);
select lives_ok(
  $$update profiles set username = 'wes' where id = '2a000000-0000-4000-8000-000000000009'$$, 'has a name'
);
select throws_ok('update profiles set suspended = false', '42501', null, 'but not that power');

reset role;
delete from auth.users where id = '2a000000-0000-4000-8000-000000000009';
select is_empty(
  $$select from profiles where id = '2a000000-0000-4000-8000-000000000009'$$, 'and when she goes, it goes'
);

select * from finish();
rollback;
