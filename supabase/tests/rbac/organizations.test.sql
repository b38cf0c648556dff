-- Organizations, and the claims for display.
begin;
set local search_path = bulwark, public, extensions;
select plan(46);
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
select tests.error_is('ORG-04: a slug is taken once', '23505 RBAC_SLUG_TAKEN',
  $$ select create_organization('Acme again', 'acme') $$);
select tests.error_is('ORG-05: a reserved slug is refused', '22023 RBAC_SLUG_RESERVED',
  $$ select create_organization('API', 'api') $$);
select tests.error_is('ORG-06: an empty name is refused', '22023 RBAC_INVALID_NAME',
  $$ select create_organization('', 'empty') $$);
select tests.error_is('ORG-07: a null name is refused', '22023 RBAC_INVALID_NAME',
  $$ select create_organization(null, 'empty') $$);
select tests.error_is('ORG-08: an over-long name is refused', '22023 RBAC_INVALID_NAME',
  $$ select create_organization(repeat('a', 121), 'long') $$);
select tests.error_is('ORG-09: a control character is refused', '22023 RBAC_INVALID_NAME',
  $$ select create_organization(E'Line\nbreak', 'control') $$);
select tests.error_is('ORG-10: a slug is lower case', '22023 RBAC_INVALID_SLUG',
  $$ select create_organization('Upper', 'Upper-Case') $$);
select tests.error_is('ORG-11: a slug has three characters at least', '22023 RBAC_INVALID_SLUG',
  $$ select create_organization('Short', 'ab') $$);
select tests.error_is('ORG-12: making one for somebody else needs org:create',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select create_organization('Gift', 'gift', tests.user_id('admin@acme.test')) $$);
select is_empty(
  $$ select * from user_roles where organization_id not in (select id from organizations) $$,
  'ORG-13: nothing is left of a refused organization'
);
select tests.error_is('ORG-14: a stranger renames nothing', '42501 RBAC_PERMISSION_DENIED',
  $$ select update_organization(tests.acme(), 'Mine now', 'mine-now') $$);
select tests.error_is('ORG-15: a rename does not take a taken slug', '23505 RBAC_SLUG_TAKEN',
  $$ select update_organization(tests.organization_id('initech'), 'Initech', 'acme') $$);
select is(
  (select slug from update_organization(
    tests.organization_id('initech'), 'Initrode', 'initrode')), 'initrode',
  'ORG-16: an administrator renames the organization'
);
select is(
  (select array[o.name, o.slug]
   from update_organization(tests.organization_id('initrode'), slug => 'initech') o),
  '{Initrode,initech}', 'ORG-39: a name that is omitted stays'
);
select is(
  (select array[o.name, o.slug]
   from update_organization(tests.organization_id('initech'), name => ' Initrode Ltd ') o),
  '{Initrode Ltd,initech}', 'ORG-40: and so does a slug'
);
select tests.error_is('ORG-41: a name is not emptied', '22023 RBAC_INVALID_NAME',
  $$ select update_organization(tests.organization_id('initech'), name => ' ') $$);
select tests.act_as_owner();
insert into bulwark_private.reserved_slugs values ('initech');
select tests.act_as('stranger@bulwark.test');
select tests.error_is('ORG-42: a slug that was reserved since stays', 'no error',
  $$ select update_organization(tests.organization_id('initech'), 'Initrode', 'initech') $$);
select update_organization(tests.organization_id('initech'), slug => 'initrode');
select tests.error_is('ORG-42: but does not come back', '22023 RBAC_SLUG_RESERVED',
  $$ select update_organization(tests.organization_id('initrode'), slug => 'initech') $$);
select tests.error_is('ORG-17: an administrator does not delete it', '42501 RBAC_PERMISSION_DENIED',
  $$ select delete_organization(tests.organization_id('initrode'), 'initrode') $$);
select is_empty(
  $$ select * from organizations where slug = 'acme' $$,
  'ORG-18: a stranger does not see an organization'
);

select tests.error_is('ORG-26: a character that reverses what follows is refused',
  '22023 RBAC_INVALID_NAME', $$ select create_organization(E'Ac\u202Eme', 'reversed') $$);
select tests.error_is('ORG-27: a slug that browsers would decode is refused',
  '22023 RBAC_INVALID_SLUG',
  $$ select create_organization('Puny', 'xn--acme') $$);
select tests.act_as_owner();
update bulwark.settings set value = '1' where name = 'rbac.self_service_limit';
select tests.act_as('stranger@bulwark.test');
select tests.error_is('ORG-28: one account makes no more than the limit',
  '42501 RBAC_TOO_MANY_ORGANIZATIONS', $$ select create_organization('One more', 'one-more') $$);
select tests.act_as_owner();
update auth.users set banned_until = 'infinity' where email = 'viewer@acme.test';
select tests.act_as('viewer@acme.test');
select tests.error_is('ORG-29: a banned account makes none', '42501 ACCOUNT_SUSPENDED',
  $$ select create_organization('Banned', 'banned') $$);

-- acting where only operators make organizations
select tests.act_as_owner();
update bulwark.settings set value = 'false' where name = 'rbac.self_service_organizations';
select tests.act_as('stranger@bulwark.test');
select tests.error_is('ORG-19: self-service can be switched off', '42501 RBAC_PERMISSION_DENIED',
  $$ select create_organization('Another', 'another') $$);

-- acting as super_admin
select tests.act_as('super@bulwark.test');
select tests.error_is('ORG-20: org:create makes one on somebody''s behalf', 'no error',
  $$ select create_organization('Gift', 'gift',
    tests.user_id('stranger@bulwark.test')) $$);
select ok(
  user_has_permission(
    tests.user_id('stranger@bulwark.test'), 'role:grant', tests.organization_id('gift')),
  'ORG-21: who becomes its administrator'
);
select tests.error_is('ORG-22: an administrator has to exist', 'PT404 RBAC_UNKNOWN_USER',
  $$ select create_organization('Gift', 'gift-2', gen_random_uuid()) $$);
select tests.error_is('ORG-23: a deletion is confirmed by the right slug',
  'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select delete_organization(tests.organization_id('gift'), 'acme') $$);
select tests.error_is('ORG-24: and then done', 'no error',
  $$ select delete_organization(tests.organization_id('gift'), 'gift') $$);

-- the limit counts what one makes for oneself without org:create
select tests.act_as_owner();
update bulwark.settings set value = 'true' where name = 'rbac.self_service_organizations';
select tests.create_user('founder@bulwark.test');
select grant_role(tests.user_id('founder@bulwark.test'), 'super_admin');
select tests.act_as('founder@bulwark.test');
select tests.error_is('ORG-36: a holder of org:create exceeds the limit', 'no error',
  $$ select create_organization('For another', 'for-another',
      tests.user_id('stranger@bulwark.test')),
    create_organization('Own', 'own-1'), create_organization('Own', 'own-2') $$);
select tests.act_as_owner();
select revoke_role(tests.user_id('founder@bulwark.test'), 'super_admin');
select tests.act_as('founder@bulwark.test');
select tests.error_is('ORG-37: and nothing of it counts when the right is gone', 'no error',
  $$ select create_organization('Own', 'own-3') $$);
select tests.error_is('ORG-38: but what was made without it', '42501 RBAC_TOO_MANY_ORGANIZATIONS',
  $$ select create_organization('Own', 'own-4') $$);

select tests.act_as_owner();
select create_role(tests.globex(), 'parent', '{user:read}');
select create_role(tests.globex(), 'child', '{}', '{parent}');
select grant_role(tests.user_id('viewer@globex.test'), 'child', tests.globex());
select count(*) from invite_member(tests.globex(), 'x@globex.test', 'child');
select tests.act_as('super@bulwark.test');
select tests.error_is('ORG-30: an organization goes with its roles, grants and invitations',
  'no error', $$ select delete_organization(tests.globex(), 'globex') $$);
select tests.act_as_owner();
select tests.error_is('ORG-31: and nothing is left that refers to it', 'no error',
  $$ set constraints all immediate $$);

-- acting as the service role, without a user
select tests.act_as_role('service_role');
select tests.error_is('ORG-25: no organization is made without an administrator',
  '22004 RBAC_NULL_ARGUMENT', $$ select create_organization('Nobody', 'nobody') $$);

-- the claims for display
select tests.act_as_owner();
select is(
  bulwark.custom_access_token_hook(jsonb_build_object(
    'user_id', tests.user_id('analyst@acme.test'), 'claims', '{"sub": "x"}'::jsonb
  )) #> '{claims,organizations}',
  jsonb_build_array(jsonb_build_object(
    'id', tests.acme(), 'slug', 'acme', 'roles', '["analyst"]'::jsonb)),
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
  and has_schema_privilege('supabase_auth_admin', 'bulwark', 'usage')
  and has_schema_privilege('supabase_auth_admin', 'bulwark_private', 'usage'),
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
select tests.error_is('CLAIM-06: one that is gone stops sign-ins, as it did alone', '42883',
  $$ select bulwark.custom_access_token_hook('{"claims": {}}') $$);
update bulwark.settings set value = 'null' where name = 'rbac.next_access_token_hook';
select ok(
  not has_function_privilege(
    'authenticated', 'bulwark.custom_access_token_hook(jsonb)', 'execute'),
  'CLAIM-04: and nobody else'
);

select * from finish();
rollback;
