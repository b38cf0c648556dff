begin;
create extension if not exists pgtap with schema extensions;
select plan(6);

insert into auth.users (id, email) values ('0a000000-0000-4000-8000-000000000009', 'ivy@acme.example');
insert into profiles values ('0a000000-0000-4000-8000-000000000009', 'Ivy');

set local role authenticated;
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000002"}';
select throws_ok(
  $$insert into invitations (organization_id, email, role, token) values
    ('0b000000-0000-4000-8000-000000000001', 'ivy@acme.example', 'auditor', '0c000000-0000-4000-8000-000000000001')$$,
  '42501', null, 'a buyer invites nobody'
);
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000001"}';
select lives_ok(
  $$insert into invitations (organization_id, email, role, token) values
    ('0b000000-0000-4000-8000-000000000001', 'ivy@acme.example', 'auditor', '0c000000-0000-4000-8000-000000000001')$$,
  'an owner does'
);
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000003"}';
select throws_ok(
  $$select accept_invitation('0c000000-0000-4000-8000-000000000001')$$,
  'P0001', 'This invitation is not for you', 'it is of no use to somebody else'
);
set local request.jwt.claims = '{"sub": "0a000000-0000-4000-8000-000000000009"}';
select is_empty('select * from purchases', 'Ivy sees nothing before');
select is(
  accept_invitation('0c000000-0000-4000-8000-000000000001'),
  '0b000000-0000-4000-8000-000000000001'::uuid, 'Ivy accepts'
);
select isnt_empty('select * from purchases', 'and sees the purchases');

select * from finish();
rollback;
