-- API keys and second factors: a key never counts as one.
begin;
set local search_path = bulwark, public, extensions;
select plan(33);
select tests.create_organizations();
create temporary table key (name text primary key, id uuid, api_key text);
grant select, insert on key to public;
create function pg_temp.issue(email text, name text) returns text language sql as $$
  select tests.error_as(email, 'authenticated', format(
    'insert into pg_temp.key select %L, k.id, k.api_key
     from bulwark.create_api_key(%L, %L, ''{analytics:read,analytics:write}'') k',
    name, tests.acme(), name
  ));
$$;
create function pg_temp.in_force(name text) returns boolean language sql as $$
  select e.api_key_id is not null
  from key k, bulwark.exchange_api_key(encode(sha256(convert_to(k.api_key, 'UTF8')), 'hex')) e
  where k.name = in_force.name;
$$;
create function pg_temp.with_key(name text, statement text) returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform set_config(
    'request.jwt.claims',
    json_build_object('role', 'api_key', 'api_key_id', k.id, 'aal', 'aal2')::text, true
  )
  from key k where k.name = with_key.name;
  perform set_config('role', 'api_key', true);
  begin
    execute statement into v_answer;
  exception when others then
    v_answer := sqlstate;
  end;
  perform tests.act_as_owner();
  return v_answer;
end;
$$;
create table public.payouts (
  id bigint generated always as identity primary key, organization_id uuid not null
);
alter table public.payouts enable row level security;
revoke all on public.payouts from anon, authenticated, service_role;
grant select, insert on public.payouts to authenticated;
create policy "Members read payouts" on public.payouts for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members make payouts" on public.payouts for insert to authenticated
  with check (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));
insert into public.payouts (organization_id) values (tests.acme());

select tests.add_factor('admin@acme.test'), tests.add_factor('super@bulwark.test');
select is(pg_temp.issue('admin@acme.test', 'before'), 'no error', 'KEY-50: (a key)');
select ok(pg_temp.in_force('before'), 'KEY-50: without a policy a key needs no second factor');

-- tables with an MFA requirement
select bulwark.admit_api_keys('public.payouts');
select is(
  pg_temp.with_key('before', 'select count(*) from public.payouts'), '1',
  'KEY-51: (a key reads an admitted table)'
);
select bulwark.require_mfa('public.payouts');
select is(
  pg_temp.with_key('before', 'select count(*) from public.payouts'), '0',
  'KEY-51: once the table asks for a second factor it does not, whatever its claims'
);
select is(
  pg_temp.with_key('before', format(
    'insert into public.payouts (organization_id) values (%L) returning 1',
    tests.acme()
  )), '42501', 'KEY-51: nor does it write'
);
select is(pg_temp.with_key('before', 'select bulwark.mfa_verified(''1 day'')'), 'false',
  'KEY-51: since a key has verified nothing');
select is_empty(
  $$ select relation, problem from bulwark.mfa_uncovered_tables()
     union all select * from bulwark.api_key_table_problems() $$, 'KEY-51: the guard covers keys'
);
select tests.error_is('KEY-52: and such a table is not admitted', '42809 API_KEY_TABLE_NEEDS_MFA',
  $$ select bulwark.admit_api_keys('public.payouts') $$);

-- organizations with an MFA requirement
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select ok(not pg_temp.in_force('before'), 'KEY-53: a policy stops the keys that were there');
select is(
  pg_temp.with_key('before', 'select bulwark.organizations_with(''analytics:read'')'), null,
  'KEY-53: also those that hold a token'
);
select is(
  pg_temp.issue('admin@acme.test', 'x'), '42501 MFA_REQUIRED',
  'KEY-54: a session without a second factor issues none'
);
select tests.verify_session('admin@acme.test');
select is(
  pg_temp.issue('admin@acme.test', 'x'), '42501 API_KEY_NOT_ALLOWED',
  'KEY-54: nor does a verified one, until the organization allows keys'
);
select tests.verify_session('admin@acme.test', '1 hour');
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, true)', tests.acme()
  )), '42501 MFA_VERIFICATION_REQUIRED', 'KEY-55: allowing them takes a fresh verification'
);
select tests.verify_session('admin@acme.test');
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, true)', tests.acme()
  )), 'no error', 'KEY-55: with one it is done'
);
select ok(
  not pg_temp.in_force('before'), 'KEY-56: a key that was issued without one stays out'
);
select is(
  pg_temp.issue('admin@acme.test', 'after'), 'no error', 'KEY-56: one that is issued with one'
);
select ok(pg_temp.in_force('after'), 'KEY-56: is in force');
select tests.verify_session('admin@acme.test', '1 hour');
select is(
  pg_temp.issue('admin@acme.test', 'x'), '42501 MFA_VERIFICATION_REQUIRED',
  'KEY-57: a verification of an hour ago is not enough'
);
select ok(pg_temp.in_force('after'), 'KEY-57: and takes nothing from the key');
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.rotate_api_key(%L)', (select id from key where name = 'after')
  )), '42501 MFA_VERIFICATION_REQUIRED', 'KEY-57: rotating is issuing'
);

-- system-wide roles
delete from bulwark.mfa_policies;
select is(
  pg_temp.issue('super@bulwark.test', 'of super'), 'no error', 'KEY-58: (a super_admin''s key)'
);
select ok(pg_temp.in_force('of super'), 'KEY-58: (which is in force)');
insert into bulwark.mfa_policies (organization_id, required_from)
values (null, now() - interval '1 minute');
select ok(
  not pg_temp.in_force('of super'),
  'KEY-58: what the installation requires of system-wide roles holds for their keys'
);
select ok(pg_temp.in_force('before'), 'KEY-58: and for no others');

-- a permission given before MFA was required
delete from bulwark.mfa_policies;
delete from bulwark.api_key_policies;
select tests.verify_session('admin@acme.test', '1 hour');
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, true)', tests.acme()
  )), 'no error', 'KEY-104: (a yes without a fresh verification, where none is required)'
);
select ok(pg_temp.in_force('after'), 'KEY-104: (keys are in force)');
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select ok(
  not pg_temp.in_force('after'), 'KEY-104: it keeps no key alive once MFA is required'
);
select tests.verify_session('admin@acme.test');
select is(
  pg_temp.issue('admin@acme.test', 'x'), '42501 API_KEY_NOT_ALLOWED', 'KEY-104: nor issues one'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', format(
    'select bulwark.set_api_key_policy(%L, true)', tests.acme()
  )), 'no error', 'KEY-104: said again with one'
);
select ok(pg_temp.in_force('after'), 'KEY-104: it does');
delete from bulwark.mfa_policies;
select tests.error_as('admin@acme.test', 'authenticated', format(
  'select bulwark.set_api_key_policy(%L, true)', tests.acme()
));
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select ok(
  pg_temp.in_force('after'),
  'KEY-105: a yes with a fresh verification before MFA is required goes on'
);
select bulwark.set_api_key_policy(tests.acme(), false);
select ok(not pg_temp.in_force('after'), 'KEY-105: (the operator says no)');
select bulwark.set_api_key_policy(tests.acme(), true);
select ok(pg_temp.in_force('after'), 'KEY-105: and the operator''s yes counts');

select * from finish();
rollback;
