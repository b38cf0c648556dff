-- MFA and tables whose organizations are named by the host's own keys.
begin;
set local search_path = bulwark, public, extensions;
select plan(8);
select tests.create_organizations();
delete from organizations;
create temporary table session as
  select tests.create_session('admin@acme.test') as fresh,
    tests.create_session('admin@acme.test') as stale;
grant select on session to public;
insert into bulwark.mfa_secrets (id, user_id, name, secret, begun_in, begun_as_first, activated_at)
values (gen_random_uuid(), tests.user_id('admin@acme.test'), 'phone', tests.ciphertext('secret'),
  gen_random_uuid(), true, now());
insert into bulwark_private.mfa_sessions (session_id, user_id, verified_at, method)
select fresh, tests.user_id('admin@acme.test'), now() - interval '1 minute', 'totp' from session;

create table public.teams (id bigint primary key, name text not null);
insert into teams values (7, 'Seven'), (8, 'Eight');
select bulwark.use_organizations('public.teams', id => 'id', name => 'name', helper => 'team_ids');
select bulwark.grant_role(tests.user_id('admin@acme.test'), 'admin', bulwark.organization_id('7'));
select bulwark.grant_role(
  tests.user_id('admin@globex.test'), 'admin', bulwark.organization_id('8')
);
create table public.payouts (id integer primary key, team_id bigint not null);
insert into payouts values (1, 7), (2, 8);
grant select, insert on payouts to authenticated;
alter table payouts enable row level security;
create policy "Members read" on payouts for select to authenticated
  using (team_id = any (array(select bulwark.team_ids('analytics:read'))));
create policy "Members write" on payouts for insert to authenticated
  with check (team_id = any (array(select bulwark.team_ids('analytics:write'))));
select lives_ok($$ select bulwark.require_mfa('payouts') $$, 'MFH-01: such a table requires MFA');
select is_empty(
  $$ select from bulwark.mfa_uncovered_tables() where relation = 'payouts' $$,
  'MFH-01: and nothing goes around it'
);
select tests.act_in('admin@acme.test', (select fresh from session));
select results_eq(
  $$ select id from payouts $$, $$ values (1) $$, 'MFH-02: a verified session reads its own rows'
);
select is(
  tests.error($$ insert into payouts values (3, 7) $$), 'no error', 'MFH-02: and writes there'
);
select is(
  tests.error($$ insert into payouts values (4, 8) $$), '42501', 'MFH-02: not in 8'
);
select tests.act_in('admin@acme.test', (select stale from session));
select is_empty($$ select from payouts $$, 'MFH-03: a session that is not verified reads none');

-- An organization that requires MFA gives its permissions to verified sessions only.
select tests.act_as_owner();
select bulwark_private.release_mfa('payouts');
insert into bulwark.mfa_policies (organization_id, required_from)
values (bulwark.organization_id('7'), now() - interval '1 minute');
select tests.act_in('admin@acme.test', (select stale from session));
select is_empty(
  $$ select from payouts $$, 'MFH-04: the helper knows what an organization requires'
);
select tests.act_in('admin@acme.test', (select fresh from session));
select isnt_empty($$ select from payouts $$, 'MFH-04: and who is verified');

select * from finish();
rollback;
