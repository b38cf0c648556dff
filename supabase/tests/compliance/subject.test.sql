-- Everything known of a person, for themselves and for those who may erase them.
begin;
set local search_path = bulwark, public, extensions;
select plan(51);
select tests.create_organizations();
insert into bulwark.permissions values ('test:nothing', 'Nothing');

create table public.tickets (id bigint primary key, org uuid, customer uuid, mail text, iban text);
select declare_personal_data('public.tickets', 'customer', 'org');
create table public.letters (sender text, words text);
select declare_personal_data('public.letters', 'sender');
select enable_audit('public.tickets', 'org');

create table public."support calls" (id bigint primary key, customer uuid);
select declare_personal_data('public."support calls"', 'customer');
create table public.visits (visitor uuid, year integer) partition by list (year);
create table public.visits_2025 partition of public.visits for values in (2025);
create table public.visits_2026 partition of public.visits for values in (2026);
select declare_personal_data('public.visits', 'visitor');

-- The viewer is a member of both organizations, and things were done by and to them.
select grant_role(tests.user_id('viewer@acme.test'), 'viewer', tests.globex());
insert into public.tickets
select n, case when n < 3 then tests.acme() else tests.globex() end,
  tests.user_id(case when n = 2 then 'analyst@acme.test' else 'viewer@acme.test' end),
  null, 'DE' || n
from generate_series(1, 5) n;
insert into public.letters values
  ('VIEWER@acme.test', 'Dear Acme'), ('analyst@acme.test', 'Dear analyst');
insert into bulwark.security_events (event_type, severity, organization_id, user_id, subject) values
  ('brute_force', 'high', tests.acme(), tests.user_id('viewer@acme.test'), ''),
  ('brute_force', 'high', tests.acme(), tests.user_id('analyst@acme.test'), '');
update bulwark.security_events set assigned_to = tests.user_id('admin@acme.test')
where user_id = tests.user_id('viewer@acme.test');
insert into bulwark.audit_legal_holds (organization_id, subject_id, reason, placed_by_operator)
values (tests.acme(), tests.user_id('viewer@acme.test'), 'Suspected', true);
insert into public."support calls" select n, tests.user_id('viewer@acme.test')
from generate_series(1, 3) n;
insert into public.visits select tests.user_id('viewer@acme.test'), n
from generate_series(2025, 2026) n;
insert into bulwark.api_keys (organization_id, owner_id, name, environment, first_characters,
  scopes, rate_limit_rule, issued_with_mfa, expires_at)
values (tests.acme(), tests.user_id('viewer@acme.test'), 'mine', 'live', 'bwk_live_abc',
  '{analytics:read}', 'api_default', false, now() + interval '1 day');
select tests.act_as('admin@acme.test');
select grant_role(tests.user_id('viewer@acme.test'), 'analyst', tests.acme());
select invite_member(tests.acme(), 'someone@else.test', 'viewer');
select tests.act_as('viewer@acme.test');
select log_audit_event('data.read', organization_id => tests.acme(),
  resource_type => 'report', resource_id => '7', details => '{"to": "someone@else.test"}');

create function pg_temp.pages(
  organization uuid default null, size integer default 500, person uuid default null
) returns jsonb language plpgsql as $$
declare
  v_page jsonb; v_after text; v_all jsonb := '[]'; v_calls integer := 0;
begin
  loop
    v_page := export_subject(person, organization, v_after, size);
    v_all := v_all || (v_page -> 'rows');
    v_after := v_page ->> 'next';
    v_calls := v_calls + 1;
    exit when v_after is null or v_calls > 500;
  end loop;
  return v_all;
end;
$$;

-- acting as the person
create temporary table got as select pg_temp.pages() as r;
grant all on got to public;
create temporary view found as
  select e ->> 'source' as source, e -> 'names' as names, e -> 'row' as content
  from got, jsonb_array_elements(r) e;
grant select on found to public;
select is((select content ->> 'email' from found where source = 'auth.users'), 'viewer@acme.test',
  'CMP-30: a person gets their account');
select is(
  (select count(*) from found where source = 'bulwark.user_roles'
     and content ->> 'user_id' = tests.user_id('viewer@acme.test')::text),
  3::bigint, 'CMP-31: their roles in every organization');
select is((select content ->> 'name' from found where source = 'bulwark.api_keys'), 'mine',
  'CMP-31: and their keys');
select is(
  (select array_agg((content ->> 'id')::integer order by 1) from found
   where source = 'public.tickets'),
  array[1, 3, 4, 5], 'CMP-32: the rows of declared tables that have their id');
select is((select array_agg(content ->> 'words') from found where source = 'public.letters'),
  array['Dear Acme'], 'CMP-32: or their address, in any case');
select ok(
  exists (select from found where source = 'bulwark.audit_logs' and names ? 'actor_id'
    and content ->> 'event_type' = 'data.read' and content ->> 'resource_id' = '7'),
  'CMP-33: their acts');
select ok(
  exists (select from found where source = 'bulwark.audit_logs' and not names ? 'actor_id'
    and content ->> 'event_type' = 'authz.role_assigned'),
  'CMP-33: and the entries that mention them');
select is_empty(
  $$ select * from found where source = 'bulwark.audit_logs'
     and (content ?| array['before', 'after', 'details', 'salt', 'commitment']
       or not names ? 'actor_id'
         and content ?| array['actor_id', 'ip', 'user_agent', 'session_id']) $$,
  'CMP-34: without values, and without who acted on them');
select is_empty(
  $$ select * from found where content::text ~ 'else\.test|analyst@acme' $$,
  'CMP-34: so no page tells a person another''s address');
select is_empty($$ select * from found where source = 'bulwark.security_events' $$,
  'CMP-35: nor that somebody investigates them');
select is_empty(
  $$ select * from found where source = 'bulwark.audit_logs'
     and content ->> 'resource_type' in ('bulwark.security_events', 'bulwark.audit_legal_holds') $$,
  'CMP-35: neither by the entries about the event, nor by those about a hold');
select ok((select (export_subject(after => 'log ') ->> 'withheld')::integer) > 0,
  'CMP-35: but how many entries are withheld');
select is(
  (select count(*) from found),
  (select count(*) from (select distinct * from found) d), 'CMP-36: each row comes once');
truncate got;
insert into got select pg_temp.pages(size => 1);
select is(
  (select count(*) from found where source <> 'bulwark.audit_logs'),
  (select count(*) from (
     select jsonb_array_elements(pg_temp.pages()) ->> 'source' as s) e
   where s <> 'bulwark.audit_logs'),
  'CMP-36: in pages of one too');
select is(
  (select array_agg(source || count order by source) from (
     select source, count(*) from found where source ~ 'calls|visits' group by source) s),
  array['public."support calls"3', 'public.visits2'],
  'CMP-36: of a table whose name has a space, and of partitions without a key');
-- An account whose address is not proved to be its own.
select tests.act_as_owner();
update auth.users set email_confirmed_at = null where email = 'viewer@acme.test';
select tests.act_as('viewer@acme.test');
select is_empty($$ select from jsonb_array_elements(pg_temp.pages()) e
  where e ->> 'source' = 'public.letters' $$,
  'CMP-50: by an address that is not confirmed nothing is found');
select tests.act_as_owner();
update auth.users set email_confirmed_at = now(), is_sso_user = true
where email = 'viewer@acme.test';
select tests.act_as('viewer@acme.test');
select is_empty($$ select from jsonb_array_elements(pg_temp.pages()) e
  where e ->> 'source' = 'public.letters' $$,
  'CMP-50: nor by one that an identity provider says');
select tests.act_as_owner();
update auth.users set is_sso_user = false where email = 'viewer@acme.test';
select tests.act_as('viewer@acme.test');
select tests.error_is('CMP-38: a cursor is one of the export', '22023 COMPLIANCE_INVALID_CURSOR',
  $$ select export_subject(after => 'pg_authid [1]') $$);
select tests.error_is('CMP-38: with a key', '22023 COMPLIANCE_INVALID_CURSOR',
  $$ select export_subject(after => 'log x') $$);
select tests.error_is('CMP-38: a page has up to 5,000 rows', '22023 COMPLIANCE_INVALID_LIMIT',
  $$ select export_subject(page_size => 5001) $$);
select tests.error_is('CMP-38: and one at least', '22023 COMPLIANCE_INVALID_LIMIT',
  $$ select export_subject(page_size => null) $$);
select tests.error_is('CMP-39: another person is for those who may erase them',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select export_subject(tests.user_id('analyst@acme.test')) $$);
select tests.error_is('CMP-39: in one''s organization too', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_subject(tests.user_id('viewer@acme.test'), tests.acme()) $$);
select tests.act_as('admin@acme.test');
select tests.error_is('CMP-39: which an administrator may not', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_subject(tests.user_id('viewer@acme.test'), tests.acme()) $$);

-- who may erase in acme
select tests.act_as_owner();
select is(
  (select row(e.actor_id, e.organization_id, e.details ->> 'own', e.details ->> 'subject')::text
   from bulwark.audit_logs e
   where e.event_type = 'compliance.export' and e.action = 'export_subject' order by e.id limit 1),
  row(tests.user_id('viewer@acme.test'), null::uuid, 'true', encode(sha256(uuid_send(
    tests.user_id('viewer@acme.test'))), 'hex'))::text,
  'CMP-37: each page is an entry, which has a hash instead of the person');
select create_role(tests.acme(), 'officers', '{compliance:manage}');
select grant_role(tests.user_id('api_user@acme.test'), 'officers', tests.acme());
select tests.act_as('api_user@acme.test');
truncate got;
insert into got select pg_temp.pages(tests.acme(), 500, tests.user_id('viewer@acme.test'));
select is(
  (select array_agg((content ->> 'id')::integer order by 1) from found
   where source = 'public.tickets'),
  array[1], 'CMP-40: an organization gets its own rows about the person');
select is(
  (select count(*) from found where source = 'bulwark.user_roles'
    and content ->> 'organization_id' = tests.globex()::text
    or content ->> 'organization_id' = tests.globex()::text), 0::bigint,
  'CMP-40: and nothing of another organization');
select is_empty($$ select * from found where source in
  ('public.letters', 'auth.sessions', 'bulwark.mfa_secrets', 'bulwark_private.mfa_sessions') $$,
  'CMP-40: nor what belongs to the account alone');
select is((select content ->> 'email' from found where source = 'auth.users'), 'viewer@acme.test',
  'CMP-41: of a member with name and address');
select ok(exists (select from found where source = 'bulwark.security_events')
  and not exists (select from found where source = 'bulwark.security_events'
    and content ->> 'user_id' <> tests.user_id('viewer@acme.test')::text),
  'CMP-41: and the events about them');
select ok(exists (select from found where source = 'bulwark.audit_logs' and content ? 'details'
    and names ? 'actor_id'), 'CMP-41: with the values of entries');
select tests.error_is('CMP-42: nobody whom the organization does not know',
  'PT404 COMPLIANCE_UNKNOWN_SUBJECT',
  $$ select export_subject(tests.user_id('admin@globex.test'), tests.acme()) $$);
select tests.error_is('CMP-42: nor anybody in another', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_subject(tests.user_id('viewer@acme.test'), tests.globex()) $$);
select tests.error_is('CMP-42: nor in all', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_subject(tests.user_id('viewer@acme.test')) $$);
select tests.error_is('CMP-42: a person is needed', '22004 COMPLIANCE_NULL_ARGUMENT',
  $$ select export_subject(null, tests.acme()) $$);

-- the operator
select tests.act_as_role('service_role');
select tests.error_is('CMP-43: nobody by that id', 'PT404 COMPLIANCE_UNKNOWN_SUBJECT',
  $$ select export_subject(gen_random_uuid()) $$);
truncate got;
insert into got select pg_temp.pages(null, 500, tests.user_id('viewer@acme.test'));
select ok(
  (select count(*) from found where source = 'public.tickets') = 4
    and exists (select from found where source = 'bulwark.security_events'),
  'CMP-43: the service role gets all of it');
select tests.act_as_owner();
select is(
  (select count(*) from found where source = 'bulwark.audit_logs'),
  (select count(*) from bulwark.audit_logs e
   where e.actor_id = tests.user_id('viewer@acme.test')
     or bulwark_private.mentions_person(
       concat_ws(' ', e.resource_id, e.action, e.before, e.after, e.details),
       tests.user_id('viewer@acme.test'),
       bulwark_private.address_pattern('{viewer@acme.test}'))),
  'CMP-44: which are the entries that erasure finds');
select is_empty(
  $$ select f.source, k.key from found f, jsonb_object_keys(f.content) k (key)
     where k.key ~ 'hash|secret|wrapped|cipher|token|password|salt'
       and f.source !~ '^public' $$,
  'CMP-45: without secrets and hashes');

-- second factors, API keys, nobody
select tests.add_factor('viewer@acme.test');
select tests.act_as('viewer@acme.test');
select tests.error_is('CMP-46: who has a second factor verifies it first',
  '42501 MFA_VERIFICATION_REQUIRED', 'select export_subject()');
select tests.act_as_owner();
select tests.verify_session('viewer@acme.test');
select tests.act_as('viewer@acme.test');
select ok(export_subject() ? 'rows', 'CMP-46: and then gets it');
select tests.act_as_owner();
select tests.add_factor('api_user@acme.test');
select tests.act_as('api_user@acme.test');
select tests.error_is('CMP-51: so does who exports others', '42501 MFA_VERIFICATION_REQUIRED',
  $$ select export_subject(tests.user_id('viewer@acme.test'), tests.acme()) $$);
select tests.act_as_owner();
select tests.verify_session('api_user@acme.test');
select tests.act_as('api_user@acme.test');
select ok(export_subject(tests.user_id('viewer@acme.test'), tests.acme()) ? 'rows',
  'CMP-51: who then gets it');
select tests.act_as('viewer@acme.test', 'anon');
select tests.error_is('CMP-47: nobody else calls it', '42501', 'select export_subject()');

-- declaring tables
select tests.act_as_owner();
select tests.error_is('CMP-48: a table of ours is declared already',
  '22023 COMPLIANCE_INVALID_TABLE',
  $$ select declare_personal_data('bulwark.roles', 'created_by') $$);
select tests.error_is('CMP-48: a view is none', '22023 COMPLIANCE_INVALID_TABLE',
  $$ select declare_personal_data('pg_catalog.pg_tables', 'tableowner') $$);
select tests.error_is('CMP-48: the column exists', '42703 COMPLIANCE_INVALID_COLUMN',
  $$ select declare_personal_data('public.tickets', 'nobody') $$);
select tests.error_is('CMP-48: and holds an id or an address', '42703 COMPLIANCE_INVALID_COLUMN',
  $$ select declare_personal_data('public.tickets', 'id') $$);
select is(
  (select e.event_type from bulwark.audit_logs e
   where e.resource_type = 'bulwark_private.personal_tables' order by e.id desc limit 1),
  'config.changed', 'CMP-49: what is declared is in the log');
alter table public.letters rename sender to writer;
select tests.error_is('CMP-49: and one that is gone is no empty answer',
  '42703 COMPLIANCE_INVALID_COLUMN',
  $$ select export_subject(tests.user_id('viewer@acme.test')) $$);
drop table public.letters;
select tests.act_as_role('service_role');
select ok(export_subject(tests.user_id('viewer@acme.test')) ? 'rows',
  'CMP-49: a table that is gone is no longer asked');

select * from finish();
rollback;
