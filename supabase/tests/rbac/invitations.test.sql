-- Invitations: one token, one address, one use, and no more authority than the sender.
begin;
set local search_path = bulwark, public, extensions;
select plan(39);
select tests.create_organizations();
select tests.create_user('new@acme.test');
select tests.create_user('other@acme.test');
create temporary table sent (name text primary key, token text, id uuid);
grant all on sent to public;

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
insert into sent
select 'first', i.token, i.invitation_id
from invite_member(tests.acme(), ' New@Acme.test ', 'analyst') i;
select ok(
  (select token ~ '^[A-Za-z0-9_-]{43}$' from sent), 'INV-01: a token is 256 bits of base64url'
);
select results_eq(
  $$ select email, invited_by, expires_at - created_at from invitations $$,
  $$ values ('new@acme.test', tests.user_id('admin@acme.test'), interval '7 days') $$,
  'INV-02: an invitation is listed, in lower case and for seven days'
);
select tests.act_as_owner();
select is_empty(
  $$ select * from bulwark_private.invitation_tokens t, sent s
     where t.invitation_id = s.id and t.token_hash <> sha256(convert_to(s.token, 'UTF8'))
        or position(s.token in t::text) > 0 $$,
  'INV-03: only a hash of the token is stored'
);

-- bad input
select tests.act_as('admin@acme.test');
select tests.error_is('INV-04: what is no address is refused', '22023 RBAC_INVALID_EMAIL',
  $$ select invite_member(tests.acme(), 'nonsense', 'viewer') $$);
select tests.error_is('INV-05: nor is null', '22023 RBAC_INVALID_EMAIL',
  $$ select invite_member(tests.acme(), null, 'viewer') $$);
select tests.error_is('INV-06: an over-long address is refused', '22023 RBAC_INVALID_EMAIL',
  $$ select invite_member(tests.acme(), repeat('a', 250) || '@acme.test', 'viewer') $$);
select tests.error_is('INV-07: an expiry in the past is refused', '22023 RBAC_INVALID_EXPIRY',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'viewer',
    interval '-1 day') $$);
select tests.error_is('INV-08: an expiry beyond 90 days is refused', '22023 RBAC_INVALID_EXPIRY',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'viewer',
    interval '91 days') $$);
select tests.error_is('INV-08: also where it is written as less', '22023 RBAC_INVALID_EXPIRY',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'viewer',
    interval '1200 mons -35970 days') $$);
select tests.error_is('INV-09: an unknown role is refused', 'PT404 RBAC_UNKNOWN_ROLE',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'viewr') $$);
select tests.error_is('INV-10: nobody is invited as super_admin', '22023 RBAC_ROLE_NOT_ASSIGNABLE',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'super_admin') $$);
select tests.error_is('INV-11: nobody invites into a foreign organization',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select invite_member(tests.globex(), 'x@acme.test', 'viewer') $$);
select tests.act_as('analyst@acme.test');
select tests.error_is('INV-12: nor without user:create', '42501 RBAC_PERMISSION_DENIED',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'viewer') $$);
select is_empty(
  $$ select * from invitations $$, 'INV-13: nor sees who was invited'
);
select tests.act_as_owner();
select create_role(tests.acme(), 'recruiter', '{user:create,role:grant}');
select grant_role(tests.user_id('api_user@acme.test'), 'recruiter', tests.acme());
select tests.act_as('api_user@acme.test');
select tests.error_is('INV-14: an invitation gives no more than its sender has',
  '42501 RBAC_ROLE_OUTRANKS_GRANTER',
  $$ select invite_member(tests.acme(), 'x@acme.test', 'admin') $$);

-- acting as the wrong account
select tests.act_as('other@acme.test');
select tests.error_is('INV-15: a forwarded token is worth nothing', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'first')) $$);
select tests.error_is('INV-16: a wrong token is the same answer', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation('wrong') $$);
select tests.error_is('INV-17: so is none', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation(null) $$);
select tests.act_as_owner();
update auth.users set email_confirmed_at = null where email = 'new@acme.test';
select tests.act_as('new@acme.test');
select tests.error_is('INV-18: an address that is not confirmed does not count',
  '42501 RBAC_EMAIL_NOT_CONFIRMED',
  $$ select accept_invitation((select token from sent where name = 'first')) $$);
select is_empty(
  $$ select * from invitations $$, 'INV-19: and does not even see the invitation'
);
select tests.act_as_owner();
update auth.users set email_confirmed_at = now() where email = 'new@acme.test';

-- acting as the invited account
select tests.act_as('new@acme.test');
select results_eq(
  $$ select email from invitations $$, array['new@acme.test'],
  'INV-20: an invitee sees the own invitation'
);
select is(
  (select organization_id from accept_invitation((select token from sent where name = 'first'))),
  tests.acme(), 'INV-21: the invited account accepts'
);
select ok(
  has_permission('analytics:write', tests.acme())
  and not has_permission('audit:read', tests.acme()),
  'INV-22: and holds the role it was invited as'
);
select tests.error_is('INV-23: a token is used once', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'first')) $$);

-- tokens that died on the way
select tests.act_as('admin@acme.test');
insert into sent
select 'revoked', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'viewer') i;
select revoke_invitation((select id from sent where name = 'revoked'));
select tests.act_as('other@acme.test');
select tests.error_is('INV-24: a revoked invitation is dead', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'revoked')) $$);
select tests.act_as('admin@acme.test');
insert into sent
select 'superseded', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'viewer') i;
insert into sent
select 'latest', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'viewer') i;
select tests.act_as('other@acme.test');
select tests.error_is('INV-25: a newer invitation revokes the older',
  'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'superseded')) $$);
select tests.act_as_owner();
alter table invitations disable trigger invitations_keep_columns;
update invitations set expires_at = now() where id = (select id from sent where name = 'latest');
alter table invitations enable trigger invitations_keep_columns;
select tests.act_as('other@acme.test');
select tests.error_is('INV-26: an expired invitation is dead', 'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'latest')) $$);
select tests.act_as('admin@acme.test');
insert into sent
select 'orphaned', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'analyst') i;
select tests.act_as_owner();
select grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.acme());
select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme());
select tests.act_as('other@acme.test');
select tests.error_is('INV-27: an invitation dies with the rights of its sender',
  'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'orphaned')) $$);
select tests.act_as_owner();
delete from auth.users where email = 'admin@acme.test';
select is_empty(
  $$ select * from invitations where id = (select id from sent where name = 'orphaned') $$,
  'INV-28: and with the account of its sender'
);

-- revoking
select tests.act_as('analyst@acme.test');
insert into sent
select 'kept', i.token, i.invitation_id
from invite_member(tests.acme(), 'other@acme.test', 'viewer') i;
select tests.act_as('admin@globex.test');
select tests.error_is('INV-29: nobody revokes a foreign invitation', '42501 RBAC_PERMISSION_DENIED',
  $$ select revoke_invitation((select id from sent where name = 'kept')) $$);
select tests.error_is('INV-30: one that does not exist is the same answer',
  '42501 RBAC_PERMISSION_DENIED', $$ select revoke_invitation(gen_random_uuid()) $$);
select tests.act_as('other@acme.test');
select tests.error_is('INV-31: and it still works', 'no error',
  $$ select accept_invitation((select token from sent where name = 'kept')) $$);
select tests.act_as('analyst@acme.test');
select tests.error_is('INV-32: what was accepted is not revoked', 'PT404 RBAC_INVITATION_INVALID',
  $$ select revoke_invitation((select id from sent where name = 'kept')) $$);

-- somebody who was removed
select tests.act_as_owner();
select tests.create_user('removed@acme.test');
insert into sent
select 'older', i.token, i.invitation_id
from invite_member(tests.acme(), 'removed@acme.test', 'viewer') i;
select grant_role(tests.user_id('removed@acme.test'), 'viewer', tests.acme());
select revoke_role(tests.user_id('removed@acme.test'), 'viewer', tests.acme());
select tests.act_as('removed@acme.test');
select tests.error_is('INV-35: nobody comes back by an invitation from before',
  'PT404 RBAC_INVITATION_INVALID',
  $$ select accept_invitation((select token from sent where name = 'older')) $$);

-- an account of a single sign-on provider with somebody else's address
select tests.act_as_owner();
insert into sent
select 'sso', i.token, i.invitation_id
from invite_member(tests.acme(), 'removed@acme.test', 'viewer') i;
update auth.users set is_sso_user = true where email = 'removed@acme.test';
select tests.act_as('removed@acme.test');
select is_empty(
  $$ select * from invitations $$, 'INV-36: an address that a provider asserts shows nothing'
);
select tests.error_is('INV-37: and accepts nothing', '42501 RBAC_EMAIL_NOT_CONFIRMED',
  $$ select accept_invitation((select token from sent where name = 'sso')) $$);
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'rbac.trust_sso_email';
select tests.act_as('removed@acme.test');
select tests.error_is('INV-38: unless the installation trusts its providers', 'no error',
  $$ select accept_invitation((select token from sent where name = 'sso')) $$);

-- rules that also bind the owner's own statements
select tests.act_as_owner();
select tests.error_is('INV-33: an invitation does not move to another organization',
  '23514 COLUMN_IS_FIXED', $$ update invitations set organization_id = tests.globex() $$);
select tests.error_is('INV-34: nor to another address', '23514 COLUMN_IS_FIXED',
  $$ update invitations set email = 'me@acme.test' $$);

select * from finish();
rollback;
