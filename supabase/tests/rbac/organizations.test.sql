-- Organizations, and the claims for display.
begin;
set local search_path = public, bulwark, extensions;
select plan(41);
select tests.create_organizations();

-- acting as somebody who has just signed up
select tests.act_as('stranger@bulwark.test');
select is(
  (select slug from create_organization('  Initech  ', 'initech')), 'initech',
  'ORG-01: anybody signed in makes an organization'
);
select is(
  (select name from organizations where slug = 'initech'), 'Initech',
  'ORG-02: its name is trimmed'
);
select ok(
  has_permission('role:grant', tests.organization_id('initech')),
  'ORG-03: the maker becomes its administrator'
);
select is(
  tests.error($$ select create_organization('Acme again', 'acme') $$),
  '23505 RBAC_SLUG_TAKEN', 'ORG-04: a slug is taken once'
);
select is(
  tests.error($$ select create_organization('API', 'api') $$),
  '22023 RBAC_SLUG_RESERVED', 'ORG-05: a reserved slug is refused'
);
select is(
  tests.error($$ select create_organization('', 'empty') $$),
  '22023 RBAC_INVALID_NAME', 'ORG-06: an empty name is refused'
);
select is(
  tests.error($$ select create_organization(null, 'empty') $$),
  '22023 RBAC_INVALID_NAME', 'ORG-07: a null name is refused'
);
select is(
  tests.error($$ select create_organization(repeat('a', 121), 'long') $$),
  '22023 RBAC_INVALID_NAME', 'ORG-08: an over-long name is refused'
);
select is(
  tests.error($$ select create_organization(E'Line\nbreak', 'control') $$),
  '22023 RBAC_INVALID_NAME', 'ORG-09: a control character is refused'
);
select is(
  tests.error($$ select create_organization('Upper', 'Upper-Case') $$),
  '22023 RBAC_INVALID_SLUG', 'ORG-10: a slug is lower case'
);
select is(
  tests.error($$ select create_organization('Short', 'ab') $$),
  '22023 RBAC_INVALID_SLUG', 'ORG-11: a slug has three characters at least'
);
select is(
  tests.error($$ select create_organization('Gift', 'gift', tests.user_id('admin@acme.test')) $$),
  '42501 RBAC_PERMISSION_DENIED', 'ORG-12: making one for somebody else needs org:create'
);
select is_empty(
  $$ select * from user_roles where organization_id not in (select id from organizations) $$,
  'ORG-13: nothing is left of a refused organization'
);
select is(
  tests.error($$ select update_organization(
    tests.organization_id('acme'), 'Mine now', 'mine-now') $$),
  '42501 RBAC_PERMISSION_DENIED', 'ORG-14: a stranger renames nothing'
);
select is(
  tests.error($$ select update_organization(
    tests.organization_id('initech'), 'Initech', 'acme') $$),
  '23505 RBAC_SLUG_TAKEN', 'ORG-15: a rename does not take a taken slug'
);
select is(
  (select slug from update_organization(
    tests.organization_id('initech'), 'Initrode', 'initrode')), 'initrode',
  'ORG-16: an administrator renames the organization'
);
select is(
  tests.error($$ select delete_organization(tests.organization_id('initrode'), 'initrode') $$),
  '42501 RBAC_PERMISSION_DENIED', 'ORG-17: an administrator does not delete it'
);
select is_empty(
  $$ select * from organizations where slug = 'acme' $$,
  'ORG-18: a stranger does not see an organization'
);

select is(
  tests.error($$ select create_organization(E'Ac\u202Eme', 'reversed') $$),
  '22023 RBAC_INVALID_NAME', 'ORG-26: a character that reverses what follows is refused'
);
select is(
  tests.error($$ select create_organization('Puny', 'xn--acme') $$),
  '22023 RBAC_INVALID_SLUG', 'ORG-27: a slug that browsers would decode is refused'
);
select tests.act_as_owner();
update bulwark.settings set value = '1' where name = 'rbac.self_service_limit';
select tests.act_as('stranger@bulwark.test');
select is(
  tests.error($$ select create_organization('One more', 'one-more') $$),
  '42501 RBAC_TOO_MANY_ORGANIZATIONS', 'ORG-28: one account makes no more than the limit'
);
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'viewer@acme.test';
select tests.act_as('viewer@acme.test');
select is(
  tests.error($$ select create_organization('Banned', 'banned') $$),
  '42501 ACCOUNT_SUSPENDED', 'ORG-29: a banned account makes none'
);

-- acting where only operators make organizations
select tests.act_as_owner();
update bulwark.settings set value = 'false' where name = 'rbac.self_service_organizations';
select tests.act_as('stranger@bulwark.test');
select is(
  tests.error($$ select create_organization('Another', 'another') $$),
  '42501 RBAC_PERMISSION_DENIED', 'ORG-19: self-service can be switched off'
);

-- acting as super_admin
select tests.act_as('super@bulwark.test');
select is(
  tests.error($$ select create_organization('Gift', 'gift',
    tests.user_id('stranger@bulwark.test')) $$),
  'no error', 'ORG-20: org:create makes one on somebody''s behalf'
);
select ok(
  user_has_permission(
    tests.user_id('stranger@bulwark.test'), 'role:grant', tests.organization_id('gift')),
  'ORG-21: who becomes its administrator'
);
select is(
  tests.error($$ select create_organization('Gift', 'gift-2', gen_random_uuid()) $$),
  'PT404 RBAC_UNKNOWN_USER', 'ORG-22: an administrator has to exist'
);
select is(
  tests.error($$ select delete_organization(tests.organization_id('gift'), 'acme') $$),
  'PT404 RBAC_UNKNOWN_ORGANIZATION', 'ORG-23: a deletion is confirmed by the right slug'
);
select is(
  tests.error($$ select delete_organization(tests.organization_id('gift'), 'gift') $$),
  'no error', 'ORG-24: and then done'
);

-- the limit counts what one makes for oneself without org:create
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'rbac.self_service_organizations';
select tests.create_user('founder@bulwark.test');
select grant_role(tests.user_id('founder@bulwark.test'), 'super_admin');
select tests.act_as('founder@bulwark.test');
select is(
  tests.error($$ select create_organization('For another', 'for-another',
      tests.user_id('stranger@bulwark.test')),
    create_organization('Own', 'own-1'), create_organization('Own', 'own-2') $$),
  'no error', 'ORG-36: a holder of org:create exceeds the limit'
);
select tests.act_as_owner();
select revoke_role(tests.user_id('founder@bulwark.test'), 'super_admin');
select tests.act_as('founder@bulwark.test');
select is(
  tests.error($$ select create_organization('Own', 'own-3') $$),
  'no error', 'ORG-37: and nothing of it counts when the right is gone'
);
select is(
  tests.error($$ select create_organization('Own', 'own-4') $$),
  '42501 RBAC_TOO_MANY_ORGANIZATIONS', 'ORG-38: but what was made without it'
);

select tests.act_as_owner();
select create_role(tests.organization_id('globex'), 'parent', '{user:read}');
select create_role(tests.organization_id('globex'), 'child', '{}', '{parent}');
select grant_role(tests.user_id('viewer@globex.test'), 'child', tests.organization_id('globex'));
select count(*) from invite_member(tests.organization_id('globex'), 'x@globex.test', 'child');
select tests.act_as('super@bulwark.test');
select is(
  tests.error($$ select delete_organization(tests.organization_id('globex'), 'globex') $$),
  'no error', 'ORG-30: an organization goes with its roles, grants and invitations'
);
select tests.act_as_owner();
select is(
  tests.error($$ set constraints all immediate $$), 'no error',
  'ORG-31: and nothing is left that refers to it'
);

-- acting as the service role, without a user
select tests.act_as_role('service_role');
select is(
  tests.error($$ select create_organization('Nobody', 'nobody') $$),
  '22004 RBAC_NULL_ARGUMENT', 'ORG-25: no organization is made without an administrator'
);

-- the claims for display
select tests.act_as_owner();
select is(
  bulwark.custom_access_token_hook(jsonb_build_object(
    'user_id', tests.user_id('analyst@acme.test'), 'claims', '{"sub": "x"}'::jsonb
  )) #> '{claims,organizations}',
  jsonb_build_array(jsonb_build_object(
    'id', tests.organization_id('acme'), 'slug', 'acme', 'roles', '["analyst"]'::jsonb)),
  'CLAIM-01: the token hook adds organizations and roles'
);
select is(
  bulwark.custom_access_token_hook('{"user_id": "not a uuid", "claims": {"sub": "x"}}'),
  '{"user_id": "not a uuid", "claims": {"sub": "x"}}'::jsonb,
  'CLAIM-02: the token hook never stops a sign-in'
);
select ok(
  has_function_privilege(
    'supabase_auth_admin', 'bulwark.custom_access_token_hook(jsonb)', 'execute')
  and has_schema_privilege('supabase_auth_admin', 'bulwark', 'usage'),
  'CLAIM-03: Supabase Auth may call the token hook'
);
create table public.plans (user_id uuid, plan text);
insert into public.plans values (tests.user_id('analyst@acme.test'), 'gold');
create function public.add_plan(event jsonb) returns jsonb language plpgsql as $$
begin
  if event ->> 'user_id' = tests.user_id('viewer@acme.test')::text then
    return '{"error": {"http_code": 403, "message": "no plan"}}';
  end if;
  return jsonb_set(event, '{claims,plan}', coalesce((
    select to_jsonb(p.plan) from plans p where p.user_id = (event ->> 'user_id')::uuid
  ), 'null'));
end;
$$;
update bulwark.settings set value = '"public.add_plan"'
where name = 'rbac.next_access_token_hook';
select is(
  (select concat(c -> 'plan', jsonb_array_length(c -> 'organizations'))
   from (select bulwark.custom_access_token_hook(jsonb_build_object(
     'user_id', tests.user_id('analyst@acme.test'), 'claims', '{"sub": "x"}'::jsonb
   )) -> 'claims') as h (c)),
  '"gold"1', 'CLAIM-04: a hook that was there before adds its claims, and ours are added to them'
);
select is(
  bulwark.custom_access_token_hook(jsonb_build_object(
    'user_id', tests.user_id('viewer@acme.test'), 'claims', '{}'::jsonb
  )) #>> '{error,message}',
  'no plan', 'CLAIM-05: what it refuses is refused'
);
update bulwark.settings set value = '"public.gone"' where name = 'rbac.next_access_token_hook';
select throws_ok(
  $$ select bulwark.custom_access_token_hook('{"claims": {}}') $$, '42883', null,
  'CLAIM-06: one that is gone stops sign-ins, as it did alone'
);
update bulwark.settings set value = 'null' where name = 'rbac.next_access_token_hook';
select ok(
  not has_function_privilege(
    'authenticated', 'bulwark.custom_access_token_hook(jsonb)', 'execute'),
  'CLAIM-04: and nobody else'
);

select * from finish();
rollback;
