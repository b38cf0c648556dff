-- MFA: who may take the second factors from an account, and together with whom.
begin;
set local search_path = bulwark, public, extensions;
select plan(51);
select tests.create_organizations();
select tests.create_user('second@acme.test');
select bulwark.grant_role(tests.user_id('second@acme.test'), 'admin', tests.acme());
-- A help desk that may reset and nothing else; Gus is in both organizations.
insert into bulwark.roles (id, organization_id, name)
values ('00000000-0000-4000-8000-0000000000aa', tests.acme(), 'help_desk');
insert into bulwark.role_permissions values
  ('00000000-0000-4000-8000-0000000000aa', 'mfa:reset');
insert into bulwark.role_inheritance
select '00000000-0000-4000-8000-0000000000aa', id from bulwark.roles
where name = 'viewer' and organization_id is null;
select tests.create_user('desk@acme.test');
select bulwark.grant_role(tests.user_id('desk@acme.test'), 'help_desk', tests.acme());
select tests.create_user('gus@both.test');
select bulwark.grant_role(tests.user_id('gus@both.test'), 'viewer', o.id)
from bulwark.organizations o;

-- Everybody has a factor, and all but the victims have just verified it.
select tests.add_factor(u.email), tests.verify_session(u.email) from auth.users u;
insert into bulwark_private.mfa_backup_codes (user_id, code_hash)
select u.id, sha256(u.id::text::bytea) from auth.users u;

create function pg_temp.request(victim text, slug text default 'acme') returns text
language sql as $$
  select tests.error(format(
    $q$ select bulwark.request_mfa_reset(%L, 'lost the phone', %L) $q$,
    tests.user_id(victim), tests.organization_id(slug)
  ));
$$;
create function pg_temp.factors(email text) returns bigint language sql security definer as $$
  select count(*) from bulwark.mfa_secrets f where f.user_id = tests.user_id(email);
$$;
create function pg_temp.open_reset() returns uuid language sql security definer as $$
  select r.id from bulwark.mfa_resets r where r.completed_at is null and r.cancelled_at is null;
$$;

-- one administrator, where the organization asks for no more
select tests.act_as('viewer@acme.test');
select is(
  pg_temp.request('analyst@acme.test'), '42501 RBAC_PERMISSION_DENIED',
  'MFR-40: without mfa:reset nobody is reset'
);
select tests.act_as('admin@acme.test');
select is(got, want, claim)
from (values
  ('MFR-40: an administrator resets members, not strangers',
   pg_temp.request('viewer@globex.test'), '42501 RBAC_NOT_A_MEMBER'),
  ('MFR-40: and nobody of another organization',
   pg_temp.request('viewer@globex.test', 'globex'), '42501 RBAC_PERMISSION_DENIED'),
  ('MFR-40: and not himself', pg_temp.request('admin@acme.test'), '42501 MFA_OWN_RESET')
) as t (claim, got, want);
select tests.error_is('MFR-40: and not without a reason', '22023 MFA_INVALID_REASON',
  format($$ select bulwark.request_mfa_reset(%L, ' ', %L) $$, tests.user_id('viewer@acme.test'),
    tests.acme()));
select is(pg_temp.request('viewer@acme.test'), 'no error', 'MFR-41: a member is reset');
select is(
  pg_temp.factors('viewer@acme.test'), 0::bigint, 'MFR-41: at once, where no approval is asked for'
);
select tests.act_as_owner();
select is(
  (select count(*) from bulwark_private.mfa_sessions where user_id = tests.user_id(
    'viewer@acme.test'
  ))
    + (select count(*) from bulwark_private.mfa_backup_codes
       where user_id = tests.user_id('viewer@acme.test')),
  0::bigint, 'MFR-41: with backup codes, and what sessions had proven'
);
select results_eq(
  format(
    $$ select e.actor_id, e.details ->> 'requested_by' from bulwark.audit_logs e
       where e.event_type = 'auth.mfa_disabled' and e.action = 'reset'
         and e.organization_id = %L $$,
    tests.acme()
  ),
  format($$ values (%L::uuid, %L) $$, tests.user_id('admin@acme.test'),
    tests.user_id('admin@acme.test')),
  'MFR-41: the audit log says who did it'
);
select ok(
  exists (
    select from bulwark.security_events
    where event_type = 'mfa_reset' and user_id = tests.user_id('viewer@acme.test')
  ),
  'MFR-41: a security event tells of it'
);
select tests.act_as('viewer@acme.test');
select isnt_empty(
  $$ select from bulwark.mfa_usage_log where event = 'reset' $$, 'MFR-41: and the user is told'
);
select isnt_empty(
  $$ select from bulwark.mfa_resets where completed_at is not null $$,
  'MFR-41: and reads by whom and why'
);
select tests.act_as('admin@globex.test');
select is_empty($$ select from bulwark.mfa_resets $$, 'MFR-41: another organization does not');

-- rank
select tests.act_as('desk@acme.test');
select is(
  pg_temp.request('admin@acme.test'), '42501 MFA_USER_OUTRANKS',
  'MFR-42: the help desk does not reset an administrator'
);
select is(
  pg_temp.request('analyst@acme.test'), '42501 MFA_USER_OUTRANKS',
  'MFR-42: nor a member with a permission that it lacks'
);
select tests.act_as_owner();
select bulwark.grant_role(tests.user_id('super@bulwark.test'), 'viewer', tests.acme());
select tests.act_as('admin@acme.test');
select is(
  pg_temp.request('super@bulwark.test'), '42501 MFA_USER_OUTRANKS',
  'MFR-42: an organization does not reset a super_admin who happens to be a member'
);
select tests.act_as_owner();
update bulwark_private.mfa_sessions set verified_at = now() - interval '11 minutes'
where user_id = tests.user_id('admin@acme.test');
select tests.act_as('admin@acme.test');
select is(
  pg_temp.request('analyst@acme.test'), '42501 MFA_VERIFICATION_REQUIRED',
  'MFR-42: resetting needs a fresh verification'
);
select tests.act_as_owner();
update bulwark_private.mfa_sessions set verified_at = now();

-- two administrators
select bulwark.set_mfa_policy(tests.acme(), true, '0', true);
select tests.act_as('admin@acme.test');
select is(pg_temp.request('analyst@acme.test'), 'no error', 'MFR-43: where two have to agree');
select is(pg_temp.factors('analyst@acme.test'), 1::bigint, 'MFR-43: a request does nothing yet');
select tests.error_is('MFR-43: nobody approves his own', '42501 MFA_OWN_REQUEST',
  format($$ select bulwark.approve_mfa_reset(%L) $$, pg_temp.open_reset()));
select is(
  pg_temp.request('analyst@acme.test'), 'PT409 MFA_RESET_PENDING',
  'MFR-43: nor requests it twice'
);
select tests.act_as('analyst@acme.test');
select tests.error_is('MFR-43: the user approves nothing', '42501 RBAC_PERMISSION_DENIED',
  format($$ select bulwark.approve_mfa_reset(%L) $$, pg_temp.open_reset()));
select tests.act_as('admin@globex.test');
select tests.error_is('MFR-43: nor does another organization, which does not even see it',
  'PT404 MFA_UNKNOWN_RESET',
  format($$ select bulwark.approve_mfa_reset(%L) $$, pg_temp.open_reset()));
select tests.act_as('desk@acme.test');
select tests.error_is('MFR-43: nor whom the user outranks', '42501 MFA_USER_OUTRANKS',
  format($$ select bulwark.approve_mfa_reset(%L) $$, pg_temp.open_reset()));
select tests.act_as_owner();
savepoint demoted;
select bulwark.revoke_role(tests.user_id('admin@acme.test'), 'admin', tests.acme());
select tests.act_as('second@acme.test');
select ok(
  not bulwark.approve_mfa_reset(pg_temp.open_reset()),
  'MFR-43: the consent of somebody who was demoted since is worth nothing'
);
rollback to savepoint demoted;
savepoint expired;
update bulwark.mfa_resets set expires_at = now() where completed_at is null;
select tests.act_as('second@acme.test');
select tests.error_is('MFR-43: a request is open for a day', 'PT404 MFA_UNKNOWN_RESET',
  format($$ select bulwark.approve_mfa_reset(%L) $$, pg_temp.open_reset()));
rollback to savepoint expired;
savepoint vetoed;
select tests.act_as('analyst@acme.test');
select tests.error_is('MFR-43: a user who still has the factor ends it', 'no error',
  format($$ select bulwark.cancel_mfa_reset(%L) $$, pg_temp.open_reset()));
rollback to savepoint vetoed;
select tests.act_as('second@acme.test');
select ok(
  bulwark.approve_mfa_reset(pg_temp.open_reset()), 'MFR-43: a second administrator completes it'
);
select is(pg_temp.factors('analyst@acme.test'), 0::bigint, 'MFR-43: and the factors are gone');

-- a member of two organizations
select tests.act_as('admin@globex.test');
select is(pg_temp.request('gus@both.test', 'globex'), 'no error', 'MFR-44: globex may ask');
select is(
  pg_temp.factors('gus@both.test'), 1::bigint,
  'MFR-44: but globex does not remove the factor that acme requires'
);
select tests.act_as('admin@acme.test');
select ok(
  not bulwark.approve_mfa_reset(pg_temp.open_reset()),
  'MFR-44: acme asks for two of its own people'
);
select tests.act_as('second@acme.test');
select ok(bulwark.approve_mfa_reset(pg_temp.open_reset()), 'MFR-44: and with both it is done');
select is(pg_temp.factors('gus@both.test'), 0::bigint, 'MFR-44: then for the whole account');

-- an organization that asks for two people, and does not require MFA
select tests.act_as_owner();
select bulwark.set_mfa_policy(tests.acme(), false, '0', true);
select tests.add_factor('gus@both.test');
select tests.act_as('admin@globex.test');
select is(pg_temp.request('gus@both.test', 'globex'), 'no error', 'MFR-46: globex asks again');
select is(
  pg_temp.factors('gus@both.test'), 1::bigint,
  'MFR-46: acme, which wants two people to agree, is asked as well'
);
select tests.act_as('desk@acme.test');
select isnt_empty(
  format($$ select from bulwark.mfa_resets where id = %L $$, pg_temp.open_reset()),
  'MFR-46: its people see what waits for them'
);
select tests.act_as('second@acme.test');
select isnt_empty(
  format(
    $$ select from bulwark.list_security_events(%L) where event_type = 'mfa_reset_requested'
       and user_id = %L $$,
    tests.acme(), tests.user_id('gus@both.test')
  ),
  'MFR-46: and are told'
);
select tests.act_as('viewer@acme.test');
select is_empty(
  $$ select from bulwark.mfa_resets where completed_at is null $$,
  'MFR-46: who decides nothing does not'
);
select tests.act_as('admin@acme.test');
select is(
  pg_temp.request('gus@both.test'), 'no error', 'MFR-46: a request in one hinders none in the other'
);
select tests.act_as_owner();
select bulwark.cancel_mfa_reset(r.id) from bulwark.mfa_resets r where r.completed_at is null
  and r.cancelled_at is null;

-- one administrator who changes the policy first
select tests.act_as('admin@acme.test');
select tests.error_is('MFR-47: an administrator may loosen the policy', 'no error',
  format($$ select bulwark.set_mfa_policy(%L, false) $$, tests.acme()));
select is(pg_temp.request('gus@both.test'), 'no error', 'MFR-47: and ask for a reset right after');
select is(pg_temp.factors('gus@both.test'), 1::bigint, 'MFR-47: which still takes two');
select bulwark.set_mfa_policy(tests.acme(), false);
select ok(
  (select approval_until > now() + interval '23 hours' from bulwark.mfa_policies p
   where p.organization_id = tests.acme()),
  'MFR-47: however often the policy is set'
);
select tests.act_as_owner();
update bulwark.mfa_policies set approval_until = now();
select bulwark.cancel_mfa_reset(pg_temp.open_reset());
select tests.act_as('admin@acme.test');
select is(pg_temp.request('gus@both.test'), 'no error', 'MFR-47: a day later');
select is(pg_temp.factors('gus@both.test'), 0::bigint, 'MFR-47: it takes one');
select tests.act_as_owner();
select bulwark.set_mfa_policy(tests.acme(), true, '0', true);

-- the operator
select tests.act_as('super@bulwark.test');
select is(
  pg_temp.request('second@acme.test'), 'no error', 'MFR-45: a super_admin resets an administrator'
);
select is(
  pg_temp.factors('second@acme.test'), 1::bigint,
  'MFR-45: but is one person only, where two are asked for'
);
select tests.act_as_role('service_role');
select tests.error_is('MFR-45: the operator needs nobody', 'no error',
  format($$ select bulwark.request_mfa_reset(%L, 'on the phone') $$,
    tests.user_id('second@acme.test')));
select tests.act_as_owner();
select is(pg_temp.factors('second@acme.test'), 0::bigint, 'MFR-45: which the log tells');

-- closed ones
update bulwark.mfa_resets r
set requested_at = now() - interval '182 days', expires_at = now() - interval '181 days',
    completed_at = case when r.completed_at is not null then now() - interval '181 days' end,
    cancelled_at = case when r.cancelled_at is not null then now() - interval '179 days' end
where r.user_id in (tests.user_id('second@acme.test'), tests.user_id('gus@both.test'));
select bulwark.cleanup_mfa();
select ok(
  count(*) > 0 and bool_and(r.cancelled_at is not null),
  'MFR-48: a reset is forgotten mfa.reset_days after it ended'
)
from bulwark.mfa_resets r
where r.user_id in (tests.user_id('second@acme.test'), tests.user_id('gus@both.test'));

select * from finish();
rollback;
