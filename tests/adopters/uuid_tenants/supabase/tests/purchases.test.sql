begin;
create extension if not exists pgtap with schema extensions;
select plan(9);

-- Bob, a buyer
set local role authenticated;
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000002", "role": "authenticated"}';
select results_eq(
  'select title from purchases order by title', array['Desk', 'Laptop'],
  'a buyer sees the purchases of their company only'
);
select ok(has_permission('purchases.create'), 'a buyer may ask');
select ok(not has_permission('purchases.approve'), 'a buyer may not approve');
select lives_ok(
  $$insert into purchases (organization_id, title, cents) values ('0b000000-0000-4000-8000-000000000001', 'Chair', 9900)$$,
  'a buyer asks for a chair'
);
select throws_ok(
  $$insert into purchases (organization_id, title, cents) values ('0b000000-0000-4000-8000-000000000002', 'Chair', 9900)$$,
  '42501', null, 'but not at another company'
);
select is_empty(
  $$update purchases set status = 'approved' where title = 'Chair' returning id$$,
  'and does not approve it'
);

-- Olga, the owner
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000001", "role": "authenticated"}';
select lives_ok($$update purchases set status = 'approved' where title = 'Chair'$$, 'the owner does');
select results_eq(
  $$select action, actor::text from audit_logs where record ->> 'title' = 'Chair' order by id$$,
  $$values ('insert', '0a000000-0000-4000-8000-000000000002'), ('update', '0a000000-0000-4000-8000-000000000001')$$,
  'our log says who did it'
);
select results_eq('select sum(cents) from spending', array[199800::numeric], 'and the chair is spent');

select * from finish();
rollback;
