-- Sessions: who is calling, whatever the token says.
begin;
set local search_path = bulwark, public, extensions;
select plan(30);
select tests.create_organizations();
create temporary table session as
  select name, tests.create_session(email) as id
  from (values ('admin', 'admin@acme.test'), ('globex', 'admin@globex.test')) as s (name, email);
grant select on session to public;
create function pg_temp.claims(claims jsonb) returns void language sql as $$
  select set_config('role', 'none', true);
  select set_config('request.jwt.claims', claims::text, true),
    set_config('role', 'authenticated', true);
$$;
create function pg_temp.admin(more jsonb default '{}') returns jsonb language sql as $$
  select jsonb_build_object('sub', tests.user_id('admin@acme.test'), 'role', 'authenticated')
    || more;
$$;
-- A caller's status: the person, the answers of decisions and checks, and the rows shown.
create function pg_temp.status() returns text language plpgsql as $$
begin
  return concat_ws(
    ', ',
    coalesce(bulwark.current_person() = tests.user_id('admin@acme.test'), false),
    (select count(*) from bulwark.organizations_with('org:update')),
    (select count(*) from bulwark.organizations),
    tests.error($q$ select bulwark.my_permissions() $q$)
  );
end;
$$;
create function pg_temp.decides() returns boolean language sql as $$
  select bulwark.has_permission('org:update', tests.acme());
$$;

-- a session that lives
select pg_temp.claims(pg_temp.admin(jsonb_build_object(
  'session_id', (select id from session where name = 'admin'))));
select is(pg_temp.status(), 't, 1, 1, no error', 'SES-01: a session that lives is its user''s');
select ok(pg_temp.decides(), 'SES-01: and decisions are made for them');

-- one that does not
select pg_temp.claims(pg_temp.admin(jsonb_build_object('session_id', s.id)))
from (select gen_random_uuid() as id) as s;
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-02: an unknown session is none');
select ok(not pg_temp.decides(), 'SES-02: and has no permission');
select pg_temp.claims(pg_temp.admin(jsonb_build_object(
  'session_id', (select id from session where name = 'globex'))));
select is(
  pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-03: nor is somebody else''s'
);
select ok(not pg_temp.decides(), 'SES-03: and it has no permission');
select pg_temp.claims(pg_temp.admin(c.claims))
from (values ('{"session_id": "x"}'::jsonb)) as c (claims);
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-04: nor one that is no id');
select pg_temp.claims(pg_temp.admin('{"session_id": {"id": 1}}'));
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-04: nor an object');
select pg_temp.claims(pg_temp.admin('{"session_id": ""}'));
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-04: nor an empty text');
select pg_temp.claims(pg_temp.admin('{"session_id": null}'));
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-05: nor null');
select pg_temp.claims(pg_temp.admin());
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-05: nor none at all');
select ok(not pg_temp.decides(), 'SES-05: without a session nobody has a permission');

-- it ends
select tests.act_as_owner();
update auth.sessions set not_after = now() + interval '1 hour'
where id = (select id from session where name = 'admin');
select tests.act_in('admin@acme.test', (select id from session where name = 'admin'));
select ok(pg_temp.decides(), 'SES-06: a session that will run out has not yet');
select tests.act_as_owner();
update auth.sessions set not_after = now() where id = (select id from session where name = 'admin');
select tests.act_in('admin@acme.test', (select id from session where name = 'admin'));
select is(pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-06: one that has is none');
select is_empty(
  (
    select string_agg(format('select from bulwark.%I', name), ' union all ')
    from unnest('{
      user_roles, permissions, roles, mfa_policies, rate_limit_rules, audit_event_types,
      security_event_types, mfa_usage_log, audit_logs
    }'::text[]) as name
    where tests.is_expected('bulwark.' || name)
  ),
  'SES-06: and reads nothing, not even catalogues'
);
select tests.act_as_owner();
update auth.sessions set not_after = null
where id = (select id from session where name = 'admin');
savepoint signed_in;
delete from auth.sessions where id = (select id from session where name = 'admin');
select tests.act_in('admin@acme.test', (select id from session where name = 'admin'));
select is(
  pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-07: one that was signed out is none'
);
select is_empty(
  $$ select call, tests.error(call) from (values
     ($q$ select bulwark.create_organization('Later', 'later') $q$),
     ($q$ select bulwark.create_api_key(tests.acme(), 'x',
       '{analytics:read}') $q$),
     ($q$ select bulwark.rotate_api_key(gen_random_uuid()) $q$),
     ($q$ select bulwark.invite_member(tests.acme(), 'a@b.test', 'viewer') $q$),
     ($q$ select bulwark.accept_invitation('x') $q$),
     ($q$ select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'analyst',
       tests.acme()) $q$),
     ($q$ select bulwark.revoke_role(tests.user_id('admin@acme.test'), 'admin',
       tests.acme()) $q$),
     ($q$ select bulwark.log_audit_event('data.export') $q$),
     ($q$ select bulwark.place_legal_hold('because', tests.acme()) $q$),
     ($q$ select bulwark.authorize_field_access('encrypt', 't', '{c}', '{k}',
       tests.acme()) $q$),
     ($q$ select bulwark.create_webhook_endpoint(gen_random_uuid(), tests.acme(),
       'x', 'https://example.com', 'x', gen_random_uuid(), 'x', '[{"pattern": "audit.*"}]') $q$),
     ($q$ select bulwark.begin_mfa_attempt('verify') $q$),
     ($q$ select bulwark.present_trusted_device('x') $q$),
     ($q$ select bulwark.revoke_trusted_device() $q$),
     ($q$ select bulwark.remove_mfa_factor(gen_random_uuid()) $q$)
     ) as q (call)
     where tests.is_expected(substring(call from 'bulwark\.\w+'))
       and tests.error(call) <> 'PT401 SESSION_ENDED' $$,
  'SES-08: nor does it do anything'
);
select tests.act_as_owner();
rollback to savepoint signed_in;

-- a suspended account
update auth.users set banned_until = 'infinity' where email = 'admin@acme.test';
select tests.act_in('admin@acme.test', (select id from session where name = 'admin'));
select is(
  pg_temp.status(), 'f, 0, 0, 42501 ACCOUNT_SUSPENDED',
  'SES-09: a suspended account is told so, in a session of its own'
);
select tests.act_in('admin@acme.test', gen_random_uuid());
select is(
  pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED', 'SES-09: and in no other'
);
select tests.act_as_owner();
update auth.users set banned_until = null where email = 'admin@acme.test';

-- tokens that are not Supabase Auth's
select pg_temp.claims('{"sub": "user_2abc", "role": "authenticated"}');
select is(
  pg_temp.status(), 'f, 0, 0, 42501 TOKEN_SUBJECT_INVALID',
  'SES-10: a subject that is no UUID has a code of its own'
);
select tests.error_is('SES-10: also where it asks for a permission', '42501 TOKEN_SUBJECT_INVALID',
  $$ select bulwark.has_permission('org:update') $$);
select pg_temp.claims('{"role": "authenticated"}');
select is(
  pg_temp.status(), 'f, 0, 0, 42501 RBAC_NOT_AUTHENTICATED', 'SES-10: none at all has another'
);
select tests.act_as_owner();
select set_config('request.jwt.claims', format(
  '{"sub": "%s", "session_id": "%s", "n": 1e400000, "t": "a\u0000b\ud800", "role": 1}',
  tests.user_id('admin@acme.test'), (select id from session where name = 'admin')
), true);
set local role authenticated;
select is(
  pg_temp.status(), 't, 1, 1, no error', 'SES-11: claims that jsonb cannot hold fail nothing'
);
reset role;
select lives_ok(
  $$ select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'analyst',
       tests.acme()) $$,
  'SES-11: nor does the audit log'
);

-- where tokens without a session are accepted
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'sessions.accept_tokens_without_session';
select pg_temp.claims(pg_temp.admin());
select is(
  pg_temp.status(), 't, 1, 1, no error', 'SES-12: tokens without a session can be accepted'
);
select pg_temp.claims(pg_temp.admin(jsonb_build_object('session_id', gen_random_uuid())));
select is(
  pg_temp.status(), 'f, 0, 0, PT401 SESSION_ENDED',
  'SES-12: one that names a session ends with it'
);
select tests.act_as_owner();
update auth.users set deleted_at = now() where email = 'admin@acme.test';
select pg_temp.claims(pg_temp.admin());
select is(
  pg_temp.status(), 'f, 0, 0, 42501 ACCOUNT_SUSPENDED', 'SES-12: and suspended is suspended'
);
select tests.act_as_owner();
select is(
  tests.error_as('admin@globex.test', 'authenticated',
    $$ update bulwark.settings set value = 'true' $$),
  '42501', 'SES-13: no client changes the setting'
);
-- it is held
select tests.act_as_owner();
select is_empty(
  $$ select p.proname from pg_catalog.pg_proc p
     where p.pronamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
       and p.prorettype <> 'trigger'::regtype
       and p.prosrc ~ 'bulwark_private\.(lock_rights|bump_permission_version)\('
       and p.prosrc !~ 'bulwark_private\.(hold_session|require_permission_to_(act|change))\('
       -- Parts of those that do.
       and p.proname not in ('bump_permission_version', 'refresh_effective_permissions')
       -- The rows of the host decide here, or its owner: no right of a session is used.
       and p.proname not in ('delete_host_organization', 'follow_members',
         'lock_rights_of_many', 'release_members', 'use_members', 'use_organizations') $$,
  'SES-14: whatever acts on rights makes a sign-out wait'
);
select tests.act_in('admin@globex.test', tests.create_session('admin@globex.test'));
select bulwark.create_role(tests.globex(), 'held', '{audit:read}');
select tests.act_as_owner();
select isnt_empty(
  $$ select from auth.sessions s
     where s.user_id = tests.user_id('admin@globex.test') and s.xmax::text <> '0' $$,
  'SES-15: until commit its session is locked'
);

select * from finish();
rollback;
