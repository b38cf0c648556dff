-- Invitations as invitees and senders see them: nobody sees or answers one of another address, a
-- token tells a stranger little, and nobody is sent messages without end.
begin;
set local search_path = bulwark, public, extensions;
select plan(44);
select tests.create_organizations();
select tests.create_user('new@acme.test');
select tests.create_user('other@acme.test');
update auth.users set raw_user_meta_data = '{"full_name": "Ada"}' where email = 'admin@acme.test';
create temporary table sent (name text primary key, token text, id uuid);
grant all on sent to public;
create function pg_temp.id(name text) returns uuid language sql stable as
  'select id from sent s where s.name = id.name';
create function pg_temp.token(name text) returns text language sql stable as
  'select s.token from sent s where s.name = token.name';

select tests.act_as('admin@acme.test');
insert into sent select 'new', i.token, i.invitation_id
from invite_member(tests.acme(), 'new@acme.test', 'analyst') i;
insert into sent select 'other', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'viewer') i;
select tests.act_as('admin@globex.test');
insert into sent select 'globex', i.token, i.invitation_id
from invite_member(tests.globex(), 'new@acme.test', 'viewer') i;

-- the caller's own
select tests.act_as('new@acme.test');
select results_eq(
  $$ select organization_name, role, invited_by_name, invited_by_email from my_invitations() $$,
  $$ values ('Globex', 'viewer', null, 'admin@globex.test'),
     ('Acme', 'analyst', 'Ada', 'admin@acme.test') $$,
  'INV-40: an invitee sees organization, role and sender, newest first'
);
select tests.act_as('stranger@bulwark.test');
select is_empty($$ select * from my_invitations() $$, 'INV-41: others see none of them');
select tests.act_as_owner();
update auth.users set email_confirmed_at = null where email = 'new@acme.test';
select tests.act_as('new@acme.test');
select is_empty(
  $$ select * from my_invitations() $$,
  'INV-42: nor does an account that did not confirm the address'
);
select tests.error_is('INV-43: it accepts none', '42501 RBAC_EMAIL_NOT_CONFIRMED',
  $$ select accept_my_invitation(pg_temp.id('new')) $$);
select tests.error_is('INV-44: and declines none', '42501 RBAC_EMAIL_NOT_CONFIRMED',
  $$ select decline_invitation(pg_temp.id('new')) $$);
select is(
  (select is_mine from preview_invitation(pg_temp.token('new'))), false,
  'INV-45: and the preview does not take it for the invitee'
);
select tests.act_as_owner();
update auth.users set email_confirmed_at = now() where email = 'new@acme.test';
select tests.act_as_role('authenticated');
select tests.error_is('INV-46: without a user there are none', '42501 RBAC_NOT_AUTHENTICATED',
  $$ select * from my_invitations() $$);

-- the preview
select tests.act_as_role('anon');
select results_eq(
  $$ select invitation_id, organization_name, role, invited_by_name, email, is_mine
     from preview_invitation(pg_temp.token('new')) $$,
  $$ values (null::uuid, 'Acme', 'analyst', 'Ada', 'n***@acme.test', false) $$,
  'INV-47: a token shows a visitor the invitation, with a masked address and no id'
);
select is_empty(
  $$ select * from preview_invitation('wrong') union all select * from preview_invitation(null) $$,
  'INV-48: a wrong token shows nothing'
);
select tests.error_is('INV-49: a visitor sees no list', '42501', $$ select my_invitations() $$);
select tests.act_as('other@acme.test');
select is(
  (select email from preview_invitation(pg_temp.token('new'))), 'n***@acme.test',
  'INV-50: nor does a forwarded token show the address'
);
select tests.act_as('new@acme.test');
select results_eq(
  $$ select invitation_id, email, is_mine from preview_invitation(pg_temp.token('new')) $$,
  $$ values (pg_temp.id('new'), 'new@acme.test', true) $$, 'INV-51: the invitee sees all of it'
);

-- accepting by id
select tests.act_as('other@acme.test');
select tests.error_is('INV-52: nobody accepts the invitation of another',
  'PT404 RBAC_INVITATION_INVALID', $$ select accept_my_invitation(pg_temp.id('new')) $$);
select tests.error_is('INV-53: one that does not exist is the same answer',
  'PT404 RBAC_INVITATION_INVALID', $$ select accept_my_invitation(gen_random_uuid()) $$);
select tests.error_is('INV-54: so is none',
  'PT404 RBAC_INVITATION_INVALID', $$ select accept_my_invitation(null) $$);
select tests.error_is('INV-55: nobody declines that of another',
  'PT404 RBAC_INVITATION_INVALID', $$ select decline_invitation(pg_temp.id('new')) $$);
select tests.act_as('new@acme.test');
select is(
  (select organization_id from accept_my_invitation(pg_temp.id('new'))), tests.acme(),
  'INV-56: the invited account accepts by id'
);
select tests.error_is('INV-57: once', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_my_invitation(pg_temp.id('new')) $$);
select tests.error_is('INV-58: by neither way', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation(pg_temp.token('new')) $$);
select is_empty(
  $$ select * from preview_invitation(pg_temp.token('new')) $$,
  'INV-59: and then its token shows nothing'
);
select results_eq(
  $$ select organization_name from my_invitations() $$, array['Globex'], 'INV-60: and is not listed'
);

-- declining
select decline_invitation(pg_temp.id('globex'));
select is_empty($$ select * from my_invitations() $$, 'INV-61: what was declined is not listed');
select tests.error_is('INV-62: nor accepted', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation(pg_temp.token('globex')) $$);
select tests.error_is('INV-63: nor declined again', 'PT404 RBAC_INVITATION_INVALID',
  $$ select decline_invitation(pg_temp.id('globex')) $$);
select tests.act_as('admin@globex.test');
select results_eq(
  $$ select email, role, state, invited_by = tests.user_id('admin@globex.test'), ended_at
     from list_invitations(tests.globex()) $$,
  $$ values ('new@acme.test', 'viewer', 'declined', true, now()) $$,
  'INV-64: its sender sees that it was'
);
select tests.error_is('INV-65: and does not send it again', 'PT404 RBAC_INVITATION_INVALID',
  $$ select resend_invitation(pg_temp.id('globex')) $$);

-- the list
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select email, state, invited_by_name, accepted_by from list_invitations(tests.acme()) $$,
  $$ values ('other@acme.test', 'pending', 'Ada', null::uuid),
     ('new@acme.test', 'accepted', 'Ada', tests.user_id('new@acme.test')) $$,
  'INV-66: invitations are listed with their state, newest first'
);
select results_eq(
  $$ select email from list_invitations(tests.acme(), before => pg_temp.id('other')) $$,
  array['new@acme.test'], 'INV-67: by page'
);
select results_eq(
  $$ select email from list_invitations(tests.acme(), states => '{pending,expired}') $$,
  array['other@acme.test'], 'INV-68: and by state'
);
select tests.error_is('INV-69: nobody lists those of another organization',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_invitations(tests.globex()) $$);
select tests.act_as('viewer@acme.test');
select tests.error_is('INV-70: nor any without user:create',
  '42501 RBAC_PERMISSION_DENIED', $$ select list_invitations(tests.acme()) $$);
select tests.error_is('INV-71: nor sends one again',
  '42501 RBAC_PERMISSION_DENIED', $$ select resend_invitation(pg_temp.id('other')) $$);

-- sending again
select tests.act_as('admin@globex.test');
select tests.error_is('INV-72: nobody sends one of another organization again',
  '42501 RBAC_PERMISSION_DENIED', $$ select resend_invitation(pg_temp.id('other')) $$);
select tests.error_is('INV-73: one that does not exist is the same answer',
  '42501 RBAC_PERMISSION_DENIED', $$ select resend_invitation(gen_random_uuid()) $$);
select tests.act_as('admin@acme.test');
insert into sent select 'again', i.token, i.new_invitation_id
from resend_invitation(pg_temp.id('other')) i;
select tests.act_as('other@acme.test');
select tests.error_is('INV-74: the token of before is dead', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation(pg_temp.token('other')) $$);
select results_eq(
  $$ select invitation_id, role from my_invitations() $$,
  $$ values (pg_temp.id('again'), 'viewer') $$, 'INV-75: a new one has its role'
);

-- messages without end
select tests.act_as_owner();
update settings set value = '3' where name = 'rbac.invitations_per_address';
select tests.act_as('admin@acme.test');
select resend_invitation(pg_temp.id('again'));
select tests.error_is('INV-76: an address is invited a few times a day, also if they are revoked',
  '42501 RBAC_TOO_MANY_INVITATIONS',
  $$ select invite_member(tests.acme(), 'other@acme.test', 'viewer') $$);
select tests.error_is('INV-77: others are not in the way', 'no error',
  $$ select invite_member(tests.acme(), 'third@acme.test', 'viewer') $$);
select tests.act_as('admin@globex.test');
select tests.error_is('INV-78: nor are other organizations', 'no error',
  $$ select invite_member(tests.globex(), 'other@acme.test', 'viewer') $$);

-- the sender's rights
select tests.act_as_owner();
select grant_role(tests.user_id('analyst@globex.test'), 'admin', tests.globex());
select remove_member(tests.globex(), tests.user_id('admin@globex.test'));
select tests.act_as('other@acme.test');
select results_eq(
  $$ select organization_name from my_invitations() $$, array['Acme'],
  'INV-79: an invitation whose sender may no longer grant the role is not listed'
);

-- an organization that requires a second factor
select tests.act_as_owner();
insert into mfa_policies (organization_id, required_from) values (tests.acme(), now());
select tests.act_as('admin@acme.test');
select tests.error_is('INV-80: a session without it lists no invitations', '42501 MFA_REQUIRED',
  $$ select list_invitations(tests.acme()) $$);
select tests.error_is('INV-81: nor sends one again', '42501 MFA_REQUIRED',
  $$ select resend_invitation(pg_temp.id('again')) $$);

-- what the log has
select tests.act_as_owner();
select ok(
  exists (
    select from audit_logs a
    where a.resource_type = 'bulwark.invitations'
      and position(pg_temp.id('globex')::text in a.resource_id) > 0
      and a.after -> 'declined' = 'true' and a.actor_id = tests.user_id('new@acme.test')
  ), 'INV-82: the log has who declined'
);
select is_empty(
  $$ select a.id from audit_logs a, sent s
     where a.xid = pg_current_xact_id() and position(s.token in to_jsonb(a)::text) > 0 $$,
  'INV-83: and no token'
);

select * from finish();
rollback;
