begin;
create extension if not exists pgtap with schema extensions;
select plan(7);

-- Ben of North
set local role authenticated;
set local request.jwt.claims = '{"sub": "1a000000-0000-4000-8000-000000000002", "role": "authenticated"}';
select results_eq('select "name" from "teams"', array['North'], 'sees his team');
select is_empty('select from "tickets" where "teamId" = 2', 'sees no ticket of South');
select throws_ok(
  $$insert into "tickets" ("teamId", "subject", "customerEmail") values (2, 'x', 'x@x.example')$$,
  '42501', null, 'writes none there'
);
select lives_ok(
  $$update "tickets" set "state" = 'closed' where "subject" = 'The lamp is broken'$$,
  'closes one of his team'
);
select is_empty('select from "openTickets"', 'and then none is open');

-- somebody new
reset role;
insert into auth.users (id, email) values ('1a000000-0000-4000-8000-000000000009', 'di@west.example');
set local role authenticated;
set local request.jwt.claims = '{"sub": "1a000000-0000-4000-8000-000000000009", "role": "authenticated"}';
select isnt("create_team"('West'), null, 'makes a team');
select results_eq(
  'select t."name", m."role" from "teams" t join "team_members" m on m."teamId" = t."id"',
  $$values ('West', 'owner'::team_role)$$, 'and owns it'
);

select * from finish();
rollback;
