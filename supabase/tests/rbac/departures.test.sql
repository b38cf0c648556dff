-- Departures: who has left an organization does not come back by an older invitation.
begin;
set local search_path = bulwark, public, extensions;
select plan(21);
select tests.create_organizations();
create temporary table sent (name text primary key, token text);
grant select on sent to public;
create function pg_temp.invite(name text, email text, slug text default 'acme') returns void
language sql as $$
  insert into pg_temp.sent
  select invite.name, i.token
  from bulwark.invite_member(tests.organization_id(slug), invite.email, 'analyst') i;
$$;
create function pg_temp.accept(name text, email text) returns text language plpgsql as $$
declare
  v_error text;
begin
  perform tests.act_as(email);
  v_error := tests.error(format(
    'select bulwark.accept_invitation(%L)', (select s.token from sent s where s.name = accept.name)
  ));
  perform tests.act_as_owner();
  return v_error;
end;
$$;
create function pg_temp.join(email text) returns void language sql as $$
  select tests.create_user(email);
  select bulwark.grant_role(tests.user_id(email), 'viewer', tests.acme());
$$;
create function pg_temp.leave(email text) returns void language sql as $$
  select bulwark.revoke_role(tests.user_id(email), 'viewer', tests.acme());
$$;

-- an expired grant beside it
select pg_temp.join('beside@acme.test');
insert into bulwark.user_roles (user_id, role_id, organization_id, starts_at, expires_at)
select tests.user_id('beside@acme.test'), r.id, tests.acme(),
  now() - interval '2 days', now() - interval '1 day'
from bulwark.roles r where r.name = 'analyst';
select pg_temp.invite('beside', 'beside@acme.test');
select pg_temp.invite('elsewhere', 'beside@acme.test', 'globex');
select pg_temp.leave('beside@acme.test');
select is(
  pg_temp.accept('beside', 'beside@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-01: not where a grant that has expired is left'
);
select pg_temp.invite('beside again', 'beside@acme.test');
delete from bulwark.user_roles
where user_id = tests.user_id('beside@acme.test') and expires_at < now();
select is(
  pg_temp.accept('beside again', 'beside@acme.test'), 'no error',
  'DEP-02: an invitation of afterwards holds, also when the expired grant is removed later'
);
select is(
  pg_temp.accept('elsewhere', 'beside@acme.test'), 'no error',
  'DEP-03: and so does one of another organization'
);

-- an address that was changed, and changed back
select pg_temp.join('changed@acme.test');
select pg_temp.invite('changed', 'changed@acme.test');
update auth.users set email = 'other@acme.test' where email = 'changed@acme.test';
select pg_temp.leave('other@acme.test');
select ok(
  (select revoked_at is not null from bulwark.invitations where email = 'changed@acme.test'),
  'DEP-04: a removal revokes by an address of before'
);
update auth.users set email = 'changed@acme.test' where email = 'other@acme.test';
select is(
  pg_temp.accept('changed', 'changed@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-04: so nobody comes back by changing it back'
);
select pg_temp.invite('changed again', 'changed@acme.test');
select is(pg_temp.accept('changed again', 'changed@acme.test'), 'no error', 'DEP-05: but anew');

-- an invitation to an address that becomes theirs after they have left
select pg_temp.join('before@acme.test');
select pg_temp.invite('later', 'later@acme.test');
select pg_temp.leave('before@acme.test');
update auth.users set email = 'later@acme.test' where email = 'before@acme.test';
select is(
  pg_temp.accept('later', 'later@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-06: nor by an address that they took afterwards'
);

-- an account that was deleted and made anew
select pg_temp.join('remade@acme.test');
select pg_temp.invite('remade', 'remade@acme.test');
delete from auth.users where email = 'remade@acme.test';
select tests.create_user('remade@acme.test');
select is(
  pg_temp.accept('remade', 'remade@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-07: nor with an account that was made anew'
);
select pg_temp.join('first@acme.test');
select pg_temp.invite('second', 'second@acme.test');
update auth.users set email = 'second@acme.test' where email = 'first@acme.test';
update auth.users set email = 'third@acme.test' where email = 'second@acme.test';
delete from auth.users where email = 'third@acme.test';
select tests.create_user('second@acme.test');
select is(
  pg_temp.accept('second', 'second@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-08: also with an address that the account had for a while'
);
select pg_temp.join('soft@acme.test');
select pg_temp.invite('soft', 'soft@acme.test');
update auth.users set deleted_at = now(), email = 'deleted' where email = 'soft@acme.test';
select tests.create_user('soft@acme.test');
select is(
  pg_temp.accept('soft', 'soft@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-09: a soft deletion is a departure'
);
select pg_temp.invite('soft again', 'soft@acme.test');
select is(pg_temp.accept('soft again', 'soft@acme.test'), 'no error', 'DEP-09: not for ever');

-- a role that runs out
select pg_temp.join('ended@acme.test');
select pg_temp.invite('ended', 'ended@acme.test');
update bulwark.invitations set created_at = now() - interval '2 hours'
where email = 'ended@acme.test';
update bulwark.user_roles
set starts_at = now() - interval '2 days', expires_at = now() - interval '1 hour'
where user_id = tests.user_id('ended@acme.test');
select is(
  pg_temp.accept('ended', 'ended@acme.test'), 'PT404 RBAC_INVITATION_INVALID',
  'DEP-10: the end of a role is a departure'
);
select pg_temp.invite('ended again', 'ended@acme.test');
select is(pg_temp.accept('ended again', 'ended@acme.test'), 'no error', 'DEP-10: not for ever');

-- who stays is not affected
select pg_temp.join('stays@acme.test');
select bulwark.grant_role(tests.user_id('stays@acme.test'), 'api_user', tests.acme());
select pg_temp.invite('stays', 'stays@acme.test');
select pg_temp.leave('stays@acme.test');
select is(
  pg_temp.accept('stays', 'stays@acme.test'), 'no error',
  'DEP-11: who lays down one of two roles has not left'
);

-- addresses
select is_empty(
  $$ select from bulwark.audit_logs e
     where e.resource_type = 'bulwark.invitations'
       and concat(e.before, e.after, e.details) like '%@acme.test%' $$,
  'DEP-12: no invited address is in the log'
);
select isnt_empty(
  $$ select from bulwark.audit_logs e where e.resource_type = 'bulwark.invitations' $$,
  'DEP-12: the invitations are'
);
select is(bulwark.cleanup_invitations(), 0::bigint, 'DEP-13: nothing is over for long');
update bulwark.invitations
set accepted_at = accepted_at - interval '91 days', revoked_at = revoked_at - interval '91 days';
select pg_temp.invite('pending', 'pending@acme.test');
select cmp_ok(bulwark.cleanup_invitations(), '>', 5::bigint, 'DEP-13: what is over goes');
select results_eq(
  $$ select distinct email from bulwark.invitations
     where accepted_at is null and revoked_at is null and email like '%@acme.test' order by 1 $$,
  array['later@acme.test', 'pending@acme.test'], 'DEP-13: what is pending stays'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', 'select bulwark.cleanup_invitations()'),
  '42501', 'DEP-14: clients do not clean up'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', 'select * from bulwark_private.departures'),
  '42501', 'DEP-14: nor read who left'
);
select * from finish();
rollback;
