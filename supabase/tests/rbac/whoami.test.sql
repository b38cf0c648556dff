-- Who is calling: the answer is what Postgres decides by, and its version changes with it.
begin;
set local search_path = bulwark, public, extensions;
select plan(25);
select tests.create_organizations();
create temporary table seen (answer jsonb);
grant all on seen to public;
create function pg_temp.is_new(claim text) returns text language plpgsql as $$
declare
  v_answer constant jsonb := bulwark.whoami((select answer ->> 'version' from seen));
begin
  if v_answer is not null then
    update seen set answer = v_answer;
  end if;
  return ok(v_answer is not null and bulwark.whoami(v_answer ->> 'version') is null, claim);
end;
$$;

-- acting as the administrator of acme, who is also a viewer of globex
select grant_role(tests.user_id('admin@acme.test'), 'viewer', tests.globex());
update auth.users set raw_user_meta_data = '{"full_name": "Ada"}' where email = 'admin@acme.test';
select tests.act_as('admin@acme.test');
insert into seen select whoami();
select is(
  (select answer -> 'user' from seen),
  jsonb_build_object('id', tests.user_id('admin@acme.test'), 'email', 'admin@acme.test',
    'email_confirmed', true, 'name', 'Ada', 'anonymous', false),
  'WHO-01: the account of the caller'
);
select is(
  (select answer -> 'mfa' from seen),
  '{"enrolled": false, "verified_at": null, "satisfied": false}'::jsonb,
  'WHO-02: the second factor of the account and the session'
);
select is(
  (select jsonb_path_query_array(answer, '$.organizations[*].slug') from seen),
  '["acme", "globex"]'::jsonb, 'WHO-03: their organizations, by slug'
);
select is(
  (select answer #- '{organizations,1,permissions}' -> 'organizations' -> 1 from seen),
  jsonb_build_object('id', tests.globex(), 'name', 'Globex', 'slug', 'globex',
    'roles', '["viewer"]'::jsonb, 'mfa_required', false, 'mfa_required_from', null,
    'mfa_met', true),
  'WHO-04: each with roles and what it requires'
);
select results_eq(
  $$ select o ->> 'id', p.name from seen, jsonb_array_elements(answer -> 'organizations') o,
       permissions p
     where has_permission(p.name, (o ->> 'id')::uuid) order by 1, 2 $$,
  $$ select o ->> 'id', jsonb_array_elements_text(o -> 'permissions')
     from seen, jsonb_array_elements(answer -> 'organizations') o order by 1, 2 $$,
  'WHO-05: permissions are those that has_permission grants'
);
select is(
  (select answer -> 'roles' || (answer -> 'permissions') from seen), '[]'::jsonb,
  'WHO-06: an administrator of organizations has no system-wide role'
);
select is(
  (select whoami(answer ->> 'version') from seen), null::jsonb,
  'WHO-07: with the current version there is nothing new'
);
select ok(
  (select whoami('another') -> 'version' = answer -> 'version' from seen),
  'WHO-08: with any other there is the whole answer'
);

-- each change is a new version
select tests.act_as_owner();
select grant_role(tests.user_id('admin@acme.test'), 'analyst', tests.globex(),
  expires_at => now() + '1 hour');
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-09: a role that is granted is a new version');
select tests.act_as_owner();
update user_roles set starts_at = now() - interval '2 hours', expires_at = now()
where user_id = tests.user_id('admin@acme.test') and expires_at is not null;
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-10: so is one that ends');
select is(
  (select answer #> '{organizations,1,roles}' from seen), '["viewer"]'::jsonb,
  'WHO-11: and it is not in the answer any more'
);
select update_organization(tests.acme(), 'Acme & Sons', 'acme');
select pg_temp.is_new('WHO-12: so is a new name of an organization');
select tests.act_as_owner();
insert into role_permissions (role_id, permission)
select id, 'audit:read' from roles where name = 'viewer' and organization_id is null;
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-13: so is another content of a role');
select tests.act_as_owner();
update auth.users set raw_user_meta_data = '{"full_name": "Grace"}'
where email = 'admin@acme.test';
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-14: so is another name of the account');

-- an organization that requires a second factor
select tests.act_as_owner();
insert into mfa_policies (organization_id, required_from)
values (tests.acme(), now() + interval '1 day');
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-15: so is a second factor that will be required');
select results_eq(
  $$ select answer #> '{organizations,0,mfa_required}', answer #> '{organizations,0,mfa_met}',
       jsonb_array_length(answer #> '{organizations,0,permissions}') > 20 from seen $$,
  $$ values ('false'::jsonb, 'true'::jsonb, true) $$,
  'WHO-16: which changes nothing before its time'
);
select tests.act_as_owner();
update mfa_policies set required_from = now() where organization_id = tests.acme();
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-17: so is one that is required now');
select results_eq(
  $$ select o ->> 'slug', o -> 'mfa_required', o -> 'mfa_met',
       jsonb_array_length(o -> 'permissions') > 0, o -> 'roles'
     from seen, jsonb_array_elements(answer -> 'organizations') o $$,
  $$ values ('acme', 'true'::jsonb, 'false'::jsonb, false, '["admin"]'::jsonb),
     ('globex', 'false', 'true', true, '["viewer"]') $$,
  'WHO-18: a session without it has roles there, and no permission'
);
select tests.act_as_owner();
select tests.add_factor('admin@acme.test');
select tests.verify_session('admin@acme.test');
select tests.act_as('admin@acme.test');
select pg_temp.is_new('WHO-19: so is its verification');
select results_eq(
  $$ select answer #> '{mfa,enrolled}', answer #> '{mfa,satisfied}',
       answer #> '{organizations,0,mfa_met}',
       jsonb_array_length(answer #> '{organizations,0,permissions}') > 20 from seen $$,
  $$ values ('true'::jsonb, 'true'::jsonb, 'true'::jsonb, true) $$,
  'WHO-20: which gives the permissions'
);

-- acting as others
select tests.act_as('super@bulwark.test');
select results_eq(
  $$ select w -> 'roles', w -> 'permissions' ? 'system:admin', w -> 'organizations'
     from whoami() w $$,
  $$ values ('["super_admin"]'::jsonb, true, '[]'::jsonb) $$,
  'WHO-21: a super_admin is a member of none'
);
select tests.act_as('stranger@bulwark.test');
select is(whoami() -> 'organizations', '[]'::jsonb, 'WHO-22: so is a stranger');
select tests.act_as_role('anon');
select tests.error_is('WHO-23: without a user there is no answer', '42501', $$ select whoami() $$);
select tests.act_as_role('authenticated');
select tests.error_is('WHO-24: nor for a token without a subject',
  '42501 RBAC_NOT_AUTHENTICATED', $$ select whoami() $$);
select tests.act_as_owner();
delete from auth.sessions where user_id = tests.user_id('admin@acme.test');
select set_config('request.jwt.claims', jsonb_build_object(
  'sub', tests.user_id('admin@acme.test'), 'role', 'authenticated',
  'session_id', gen_random_uuid()
)::text, true);
set local role authenticated;
select tests.error_is('WHO-25: nor in a session that has ended', 'PT401 SESSION_ENDED',
  $$ select whoami() $$);

select * from finish();
rollback;
