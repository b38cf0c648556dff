-- Invitations: one token, one address, one use, and no more authority than the sender.
begin;
set local search_path = public, bulwark, extensions;
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
from invite_member(tests.organization_id('acme'), ' New@Acme.test ', 'analyst') i;
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
     where t.token_hash <> sha256(convert_to(s.token, 'UTF8'))
        or position(s.token in t::text) > 0 $$,
  'INV-03: only a hash of the token is stored'
);

-- bad input
select tests.act_as('admin@acme.test');
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'nonsense', 'viewer') $$),
  '22023 RBAC_INVALID_EMAIL', 'INV-04: what is no address is refused'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), null, 'viewer') $$),
  '22023 RBAC_INVALID_EMAIL', 'INV-05: nor is null'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'),
    repeat('a', 250) || '@acme.test', 'viewer') $$),
  '22023 RBAC_INVALID_EMAIL', 'INV-06: an over-long address is refused'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'viewer',
    interval '-1 day') $$),
  '22023 RBAC_INVALID_EXPIRY', 'INV-07: an expiry in the past is refused'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'viewer',
    interval '91 days') $$),
  '22023 RBAC_INVALID_EXPIRY', 'INV-08: an expiry beyond 90 days is refused'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'viewer',
    interval '1200 mons -35970 days') $$),
  '22023 RBAC_INVALID_EXPIRY', 'INV-08: also where it is written as less'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'viewr') $$),
  'PT404 RBAC_UNKNOWN_ROLE', 'INV-09: an unknown role is refused'
);
select is(
  tests.error($$ select invite_member(
    tests.organization_id('acme'), 'x@acme.test', 'super_admin') $$),
  '22023 RBAC_ROLE_NOT_ASSIGNABLE', 'INV-10: nobody is invited as super_admin'
);
select is(
  tests.error($$ select invite_member(tests.organization_id('globex'), 'x@acme.test', 'viewer') $$),
  '42501 RBAC_PERMISSION_DENIED', 'INV-11: nobody invites into a foreign organization'
);
select tests.act_as('analyst@acme.test');
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'viewer') $$),
  '42501 RBAC_PERMISSION_DENIED', 'INV-12: nor without user:create'
);
select is_empty(
  $$ select * from invitations $$, 'INV-13: nor sees who was invited'
);
select tests.act_as_owner();
select create_role(tests.organization_id('acme'), 'recruiter', '{user:create,role:grant}');
select grant_role(tests.user_id('api_user@acme.test'), 'recruiter', tests.organization_id('acme'));
select tests.act_as('api_user@acme.test');
select is(
  tests.error($$ select invite_member(tests.organization_id('acme'), 'x@acme.test', 'admin') $$),
  '42501 RBAC_ROLE_OUTRANKS_GRANTER', 'INV-14: an invitation gives no more than its sender has'
);

-- acting as the wrong account
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'first')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-15: a forwarded token is worth nothing'
);
select is(
  tests.error($$ select accept_invitation('wrong') $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-16: a wrong token is the same answer'
);
select is(
  tests.error($$ select accept_invitation(null) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-17: so is none'
);
select tests.act_as_owner();
update auth.users set email_confirmed_at = null where email = 'new@acme.test';
select tests.act_as('new@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'first')) $$),
  '42501 RBAC_EMAIL_NOT_CONFIRMED', 'INV-18: an address that is not confirmed does not count'
);
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
  tests.organization_id('acme'), 'INV-21: the invited account accepts'
);
select ok(
  has_permission('analytics:write', tests.organization_id('acme'))
  and not has_permission('audit:read', tests.organization_id('acme')),
  'INV-22: and holds the role it was invited as'
);
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'first')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-23: a token is used once'
);

-- tokens that died on the way
select tests.act_as('admin@acme.test');
insert into sent
select 'revoked', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'other@acme.test', 'viewer') i;
select revoke_invitation((select id from sent where name = 'revoked'));
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'revoked')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-24: a revoked invitation is dead'
);
select tests.act_as('admin@acme.test');
insert into sent
select 'superseded', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'other@acme.test', 'viewer') i;
insert into sent
select 'latest', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'other@acme.test', 'viewer') i;
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'superseded')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-25: a newer invitation revokes the older'
);
select tests.act_as_owner();
alter table invitations disable trigger invitations_keep_columns;
update invitations set expires_at = now() where id = (select id from sent where name = 'latest');
alter table invitations enable trigger invitations_keep_columns;
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'latest')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-26: an expired invitation is dead'
);
select tests.act_as('admin@acme.test');
insert into sent
select 'orphaned', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'other@acme.test', 'analyst') i;
select tests.act_as_owner();
select grant_role(tests.user_id('analyst@acme.test'), 'admin', tests.organization_id('acme'));
select revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.organization_id('acme'));
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'orphaned')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-27: an invitation dies with the rights of its sender'
);
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
from invite_member(tests.organization_id('acme'), 'other@acme.test', 'viewer') i;
select tests.act_as('admin@globex.test');
select is(
  tests.error($$ select revoke_invitation((select id from sent where name = 'kept')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'INV-29: nobody revokes a foreign invitation'
);
select is(
  tests.error($$ select revoke_invitation(gen_random_uuid()) $$),
  '42501 RBAC_PERMISSION_DENIED', 'INV-30: one that does not exist is the same answer'
);
select tests.act_as('other@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'kept')) $$),
  'no error', 'INV-31: and it still works'
);
select tests.act_as('analyst@acme.test');
select is(
  tests.error($$ select revoke_invitation((select id from sent where name = 'kept')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-32: what was accepted is not revoked'
);

-- somebody who was removed
select tests.act_as_owner();
select tests.create_user('removed@acme.test');
insert into sent
select 'older', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'removed@acme.test', 'viewer') i;
select grant_role(
  tests.user_id('removed@acme.test'), 'viewer', tests.organization_id('acme')
);
select revoke_role(
  tests.user_id('removed@acme.test'), 'viewer', tests.organization_id('acme')
);
select tests.act_as('removed@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'older')) $$),
  'PT404 RBAC_INVITATION_INVALID', 'INV-35: nobody comes back by an invitation from before'
);

-- an account of a single sign-on provider with somebody else's address
select tests.act_as_owner();
insert into sent
select 'sso', i.token, i.invitation_id
from invite_member(tests.organization_id('acme'), 'removed@acme.test', 'viewer') i;
update auth.users set is_sso_user = true where email = 'removed@acme.test';
select tests.act_as('removed@acme.test');
select is_empty(
  $$ select * from invitations $$, 'INV-36: an address that a provider asserts shows nothing'
);
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'sso')) $$),
  '42501 RBAC_EMAIL_NOT_CONFIRMED', 'INV-37: and accepts nothing'
);
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'rbac.trust_sso_email';
select tests.act_as('removed@acme.test');
select is(
  tests.error($$ select accept_invitation((select token from sent where name = 'sso')) $$),
  'no error', 'INV-38: unless the installation trusts its providers'
);

-- rules that also bind the owner's own statements
select tests.act_as_owner();
select is(
  tests.error($$ update invitations set organization_id = tests.organization_id('globex') $$),
  '23514 COLUMN_IS_FIXED', 'INV-33: an invitation does not move to another organization'
);
select is(
  tests.error($$ update invitations set email = 'me@acme.test' $$),
  '23514 COLUMN_IS_FIXED', 'INV-34: nor to another address'
);

select * from finish();
rollback;
