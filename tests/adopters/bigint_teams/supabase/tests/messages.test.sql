begin;
create extension if not exists pgtap with schema extensions;
select plan(5);

set local role authenticated;
set local request.jwt.claims = '{"sub": "1a000000-0000-4000-8000-000000000003", "role": "authenticated"}';
select results_eq('select "body" from "messages"', array['I want my money back.'], 'South reads its mail');
select is_empty('select from "messages_2025"', 'not around the policies');
select lives_ok(
  $$insert into "messages" ("teamId", "ticketId", "body") values (2, 3, 'It is on its way.')$$,
  'and answers'
);
select results_eq('select "messageCount" from "openTickets"', array[2::bigint], 'which counts');
select results_eq('select "open" from "teamLoad"', array[1::bigint], 'once');

select * from finish();
rollback;
