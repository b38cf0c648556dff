-- Invitations into a role that ends: it begins when the invitee accepts and never lasts longer than
-- the sender's own right.
begin;
set local search_path = bulwark, public, extensions;
select plan(24);
select tests.create_organizations();
select tests.create_user('guest@people.test');
select tests.create_user('other@people.test');
create temporary table sent (name text primary key, id uuid, token text);
grant all on sent to public;
create function pg_temp.invite(name text, email text, role text, until timestamptz)
  returns void language sql as $$
  insert into sent select name, i.invitation_id, i.token
  from invite_member(tests.acme(), email, role, role_expires_at => until) i
$$;
create function pg_temp.id(name text) returns uuid language sql stable as
  'select id from sent s where s.name = id.name';

-- bad input
select tests.act_as('admin@acme.test');
select tests.error_is('INV-84: an end in the past is refused', '22023 RBAC_INVALID_EXPIRY',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', now()) $$);
select tests.error_is('INV-85: so is an end that is infinite', '22023 RBAC_INVALID_EXPIRY',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', 'infinity') $$);

-- acting as somebody who administrates for two days
select tests.act_as_owner();
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.acme(), expires_at => now() + interval '2 days'
);
select tests.act_as('analyst@acme.test');
select tests.error_is('INV-86: they invite into no role without an end',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', null) $$);
select tests.error_is('INV-87: nor into one that outlasts their own',
  '42501 RBAC_GRANT_OUTLIVES_GRANTER',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', now() + interval '3 days') $$);
select tests.error_is('INV-88: they do until their own ends', 'no error',
  $$ select pg_temp.invite('short', 'other@people.test', 'viewer', now() + interval '2 days') $$);
select tests.act_as('viewer@acme.test');
select tests.error_is('INV-89: a viewer invites nobody, not even for a time',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', now() + interval '1 hour') $$);
select tests.act_as('admin@globex.test');
select tests.error_is('INV-90: nor does the administrator of another organization',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select pg_temp.invite('x', 'guest@people.test', 'viewer', now() + interval '1 hour') $$);

-- for three days
select tests.act_as('admin@acme.test');
select pg_temp.invite('guest', 'guest@people.test', 'analyst', now() + interval '3 days');
select results_eq(
  $$ select email, state, expires_at - now(), role_expires_at - now()
     from list_invitations(tests.acme()) where email = 'guest@people.test' $$,
  $$ values ('guest@people.test', 'pending', interval '3 days', interval '3 days') $$,
  'INV-91: it ends no later than the role, and the list has both'
);
insert into sent select 'again', i.new_invitation_id, i.token
from resend_invitation(pg_temp.id('guest'), '1 day') i;
select results_eq(
  $$ select expires_at - created_at, role_expires_at - now() from invitations
     where id = pg_temp.id('again') $$,
  $$ values (interval '1 day', interval '3 days') $$, 'INV-92: sent again, it keeps the role''s end'
);
select tests.act_as_owner();
select tests.error_is('INV-93: nobody moves it afterwards', '23514 COLUMN_IS_FIXED',
  $$ update invitations set role_expires_at = null where id = pg_temp.id('again') $$);

-- acting as the invited account
select tests.act_as('guest@people.test');
select results_eq(
  $$ select role_expires_at - now() from my_invitations() $$, array[interval '3 days'],
  'INV-94: the invitee sees until when'
);
select results_eq(
  $$ select role_expires_at - now()
     from preview_invitation((select token from sent where name = 'again')) $$,
  array[interval '3 days'], 'INV-95: also in the preview'
);
select ok(
  not has_permission('analytics:write', tests.acme()),
  'INV-96: before it is accepted it gives nothing'
);
select results_eq(
  $$ select starts_at = now(), expires_at - now() from accept_my_invitation(pg_temp.id('again')) $$,
  $$ values (true, interval '3 days') $$, 'INV-97: the role begins with the acceptance, and ends'
);
select ok(has_permission('analytics:write', tests.acme()), 'INV-98: it is in force then');
select tests.act_as_owner();
update user_roles set starts_at = now() - interval '4 days', expires_at = now()
where user_id = tests.user_id('guest@people.test');
select tests.act_as('guest@people.test');
select ok(not has_permission('analytics:write', tests.acme()), 'INV-99: and not after its end');

-- a sender whose own time was shortened
select tests.act_as('other@people.test');
select results_eq(
  $$ select role from my_invitations() $$, array['viewer'], 'INV-100: an invitation holds'
);
select tests.act_as_owner();
select grant_role(
  tests.user_id('analyst@acme.test'), 'admin', tests.acme(), expires_at => now() + interval '1 day'
);
select tests.act_as('other@people.test');
select tests.error_is('INV-101: until its role would outlast the sender''s',
  'PT404 RBAC_INVITATION_INVALID', $$ select accept_my_invitation(pg_temp.id('short')) $$);
select is_empty($$ select * from my_invitations() $$, 'INV-102: and is not listed');

-- people who have the role already
select tests.act_as('admin@acme.test');
select pg_temp.invite('viewer', 'viewer@acme.test', 'viewer', now() + interval '1 day');
select tests.act_as('viewer@acme.test');
select is(
  (select expires_at from accept_my_invitation(pg_temp.id('viewer'))), null,
  'INV-103: an invitation ends no role that had no end'
);
select tests.act_as_owner();
select grant_role(
  tests.user_id('viewer@acme.test'), 'analyst', tests.acme(), expires_at => now() + interval '1 day'
);
select tests.act_as('admin@acme.test');
select pg_temp.invite('longer', 'viewer@acme.test', 'analyst', now() + interval '5 days');
select tests.act_as('viewer@acme.test');
select is(
  (select expires_at - now() from accept_my_invitation(pg_temp.id('longer'))), interval '5 days',
  'INV-104: it extends one that ends earlier'
);
select tests.act_as('admin@acme.test');
select pg_temp.invite('endless', 'viewer@acme.test', 'analyst', null);
select tests.act_as('viewer@acme.test');
select is(
  (select expires_at from accept_my_invitation(pg_temp.id('endless'))), null,
  'INV-105: as one without an end does'
);

-- rules that also bind the owner's own statements
select tests.act_as_owner();
select tests.error_is('INV-106: no invitation outlasts its role', '23514',
  $$ insert into invitations (organization_id, email, role_id, expires_at, role_expires_at)
     select tests.acme(), 'x@people.test', r.id, now() + interval '2 days', now() + interval '1 day'
     from roles r where r.name = 'viewer' $$);
select tests.error_is('INV-107: nor lasts longer because its role does',
  '22023 RBAC_INVALID_EXPIRY',
  $$ select invite_member(tests.acme(), 'x@people.test', 'viewer', '91 days',
    now() + interval '1 year') $$);

select * from finish();
rollback;
