begin;
create extension if not exists pgtap with schema extensions;
select plan(4);

select is(
  add_workspace_claims(
    '{"user_id": "2a000000-0000-4000-8000-000000000001", "claims": {"aud": "authenticated"}}'
  ) -> 'claims' -> 'plan',
  '"free"', 'the token has the plan of the personal workspace'
);

set local role authenticated;
set local request.jwt.claims = '{"sub": "2a000000-0000-4000-8000-000000000001"}';
select lives_ok('select check_request()', 'a request of Uma passes');
select is(
  current_setting('response.headers'), '[{"X-Fieldnotes-Version": "7"}]', 'and is told our version'
);
reset role;
update profiles set suspended = true where id = '2a000000-0000-4000-8000-000000000001';
set local role authenticated;
select throws_ok('select check_request()', 'PT403', 'Your account is suspended', 'unless suspended');

select * from finish();
rollback;
