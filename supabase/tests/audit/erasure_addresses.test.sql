-- Erasure of e-mail addresses: entries and invitations that name a person by address alone.
begin;
set local search_path = bulwark, public, extensions;
select plan(28);
select tests.create_organizations();
select tests.create_user('b.o''b+x@acme.test');
create temporary table person as select tests.user_id('b.o''b+x@acme.test') as id;
grant select on person to public;
select grant_role(id, 'viewer', tests.acme()) from person;

-- entries by others
create function pg_temp.report(action text, details jsonb, slug text default 'acme') returns void
language sql as $$
  select log_audit_event('data.read', report.action, tests.organization_id(slug),
    details => report.details, actor_id => tests.user_id('analyst@acme.test'));
$$;
select tests.act_as_role('service_role');
select pg_temp.report('exact', '{"email": "b.o''b+x@acme.test"}');
select pg_temp.report('case', '{"email": "B.O''B+X@Acme.test"}');
select pg_temp.report('nested', '{"rows": [{"new": ["b.o''b+x@acme.test"]}]}');
select pg_temp.report('text', jsonb_build_object('t', E'Wrote to\nb.o''b+x@acme.test.'));
select pg_temp.report('to b.o''b+x@acme.test', null);
select pg_temp.report('another', '{"email": "a.b.o''b+x@acme.test"}');
select pg_temp.report('longer', '{"email": "b.o''b+x@acme.test.example"}');
select pg_temp.report('similar', '{"email": "bxo''b+x@acme.test"}');
select pg_temp.report('without', '{"name": "Bob"}');
select pg_temp.report('elsewhere', '{"email": "b.o''b+x@acme.test"}', 'globex');
select tests.act_as_owner();

-- invitations: of an earlier address, by somebody else, and of another organization
create temporary table sent as
  select 'acme' as name, i.invitation_id as id
  from invite_member(tests.acme(), 'b.o''b+x@acme.test', 'analyst') i
  union all
  select 'globex', i.invitation_id
  from invite_member(tests.globex(), 'b.o''b+x@acme.test', 'analyst') i
  union all
  select 'another', i.invitation_id
  from invite_member(tests.acme(), 'a.b.o''b+x@acme.test', 'analyst') i;
grant select on sent to public;
select ok(
  not exists (
    select from bulwark.audit_logs e
    where e.resource_type = 'bulwark.invitations' and position('@' in e.after::text) > 0
  ),
  'AUR-92: an invitation''s entries hold no address'
);
-- one of them was accepted, which the entry of its deletion would show
update bulwark.invitations i
set accepted_at = now(), accepted_by = (select id from person)
from sent s where s.id = i.id and s.name = 'acme';
create function pg_temp.erase(slug text) returns text language sql as $$
  select tests.error(format('select erase_subject(%L, %L, %L)',
    (select id from pg_temp.person), 'asked for', tests.organization_id(slug)));
$$;
create function pg_temp.left_over(slug text default 'acme') returns text[] language sql as $$
  select array_agg(e.action order by e.action)
  from bulwark.audit_logs e
  where e.event_type = 'data.read' and e.organization_id = tests.organization_id(slug)
    and e.removed_by is null;
$$;

-- permissions
insert into bulwark.roles (organization_id, name, description, level)
select tests.acme(), 'officer', '', 1;
insert into bulwark.role_permissions (role_id, permission)
select r.id, 'compliance:manage' from bulwark.roles r where r.name = 'officer';
select tests.create_user('officer@acme.test');
insert into bulwark.user_roles (user_id, role_id, organization_id)
select tests.user_id('officer@acme.test'), r.id, r.organization_id
from bulwark.roles r where r.name = 'officer';
select tests.act_as('analyst@acme.test');
select is(
  pg_temp.erase('acme'), '42501 RBAC_PERMISSION_DENIED', 'AUR-93: an analyst erases nobody'
);
select tests.act_as('officer@acme.test');
select is(
  pg_temp.erase('globex'), '42501 RBAC_PERMISSION_DENIED', 'AUR-94: nor an officer elsewhere'
);
select tests.act_as_owner();
select is(
  (select count(*)::int from invitations i join sent s using (id)), 3,
  'AUR-95: of which no invitation goes'
);

-- a hold on a person keeps what names the person by address
insert into bulwark.audit_legal_holds (reason, subject_id, placed_by_operator)
select 'narrow', id, true from person;
select is(
  (select count(*)::int from bulwark.audit_logs e
   where e.action = 'exact' and exists (
     select from bulwark_private.audit_removable r where r.id = e.id)),
  0, 'AUR-96: a hold on a person keeps entries with the address alone'
);
select is(
  (select count(*)::int from bulwark.audit_logs e
   where e.action in ('another', 'longer', 'similar', 'without') and exists (
     select from bulwark_private.audit_removable r where r.id = e.id)),
  4, 'AUR-97: and none with the address of another person'
);
select is(pg_temp.erase('acme'), 'PT409 AUDIT_LEGAL_HOLD', 'AUR-98: and nobody erases it');
update audit_legal_holds set released_at = now() where reason = 'narrow';

-- the account is gone already
delete from auth.users where id in (select id from person);
insert into bulwark.audit_legal_holds (reason, organization_id, resource_type, placed_by_operator)
select 'invitations', tests.acme(), 'bulwark.invitations', true;
select tests.act_as('officer@acme.test');
select is(pg_temp.erase('acme'), 'no error', 'AUR-99: an officer erases in the organization');
select tests.act_as_owner();
select is(
  pg_temp.left_over(), array['another', 'longer', 'similar', 'without'],
  'AUR-100: what names the address is gone, in any case and place; other addresses stay'
);
select is(
  pg_temp.left_over('globex'), array['elsewhere'], 'AUR-101: and another organization''s entries'
);
select results_eq(
  'select s.name from invitations i join sent s using (id) order by s.name',
  array['acme', 'another', 'globex'], 'AUR-102: a hold on invitations keeps them'
);
update audit_legal_holds set released_at = now() where reason = 'invitations';
select tests.act_as('officer@acme.test');
select is(pg_temp.erase('acme'), 'no error', 'AUR-103: a released one does not');
select tests.act_as_owner();
select results_eq(
  'select s.name from invitations i join sent s using (id) order by s.name',
  array['another', 'globex'],
  'AUR-104: the invitations of the address go; another''s and another organization''s stay'
);
select ok(
  not exists (
    select from bulwark.audit_logs e
    where e.organization_id = tests.acme()
      and concat(e.action, e.before, e.after, e.details) ilike '%"b.o''b+x@acme.test"%'
  ),
  'AUR-105: the removal itself leaves no address'
);
select is(
  (select count(*)::int from bulwark.audit_logs e
   join sent s on e.resource_id = s.id::text and s.name = 'acme'
   where e.resource_type = 'bulwark.invitations'),
  0, 'AUR-109: not even by an entry about the invitation that went'
);
select ok(
  not exists (
    select from bulwark.audit_logs e
    where e.organization_id = tests.acme()
      and concat(e.resource_id, e.before, e.after, e.details) like '%' || (select id from person)
        || '%'
  ),
  'AUR-110: nor anything that names the person'
);
select ok(
  exists (
    select from bulwark.audit_logs e
    join bulwark.audit_logs r on r.id = e.removed_by
    where e.event_type = 'data.delete' and e.resource_type = 'bulwark.invitations'
      and e.organization_id = tests.acme()
      and r.details ->> 'kind' = 'erasure'
  ),
  'AUR-111: but the deletion has an entry, and its payload a record'
);
select tests.error_is('AUR-106: who answers for the installation erases everywhere', 'no error',
  format('select erase_subject(%L, %L)', (select id from person), 'everywhere'));
select results_eq(
  'select s.name from invitations i join sent s using (id)', array['another'],
  'AUR-107: invitations too'
);
select is(
  array_length(pg_temp.left_over('globex'), 1), null, 'AUR-108: and entries'
);

-- the account is deleted after the erasure
create temporary table viewer as select tests.user_id('viewer@acme.test') as id;
select erase_subject(id, 'asked for', evidence => true) from viewer;
delete from auth.users where id = (select id from viewer);
select tests.error_is('AUR-112: an erased person is erased again after the account is gone',
  'no error',
  format('select erase_subject(%L, %L, evidence => true)',
    (select id from viewer), 'after the account'));
select is_empty(
  $$ select e.id from bulwark.audit_logs e, viewer v
     where e.actor_id = v.id
       or concat(e.resource_id, e.before, e.after, e.details) like '%' || v.id || '%' $$,
  'AUR-113: and then not even the deletion names them'
);

-- the account was deleted from a dashboard, and nobody erased before
select tests.create_user('former@acme.test');
create temporary table former as select tests.user_id('former@acme.test') as id;
select grant_role(id, 'viewer', tests.acme()) from former;
grant select on former to public;
delete from auth.users where id = (select id from former);
select ok(
  not exists (select from bulwark.audit_logs e, former f where e.actor_id = f.id),
  'AUR-114: somebody who never acted, and whose account is gone, is only named'
);
select tests.act_as('admin@globex.test');
select tests.error_is('AUR-114: another organization still erases nobody it does not know',
  '42501 RBAC_PERMISSION_DENIED',
  format('select erase_subject(%L, %L, tests.globex())', (select id from former), 'x'));
select tests.act_as_role('service_role');
select tests.error_is('AUR-114: nor does the operator in it', 'PT404 AUDIT_UNKNOWN_SUBJECT',
  format('select erase_subject(%L, %L, tests.globex())', (select id from former), 'x'));
select tests.error_is('AUR-115: a former account is erased by its id', 'no error',
  format('select erase_subject(%L, %L, evidence => true)', (select id from former), 'asked for'));
select tests.act_as_owner();
select is_empty(
  $$ select e.id from bulwark.audit_logs e, former f
     where concat(e.resource_id, e.before, e.after, e.details) like '%' || f.id || '%' $$,
  'AUR-115: and then no entry names it'
);
select tests.act_as_role('service_role');
select log_audit_event('data.read', resource_type => 'auth.users',
  resource_id => '00000000-0000-4000-8000-0000000000cc',
  details => '{"user_id": "00000000-0000-4000-8000-0000000000cc"}');
select tests.error_is('AUR-116: a reported entry makes nobody a person',
  'PT404 AUDIT_UNKNOWN_SUBJECT',
  $$ select erase_subject('00000000-0000-4000-8000-0000000000cc', 'x') $$);
select * from finish();
rollback;
