-- The choices of a member for a new key, and how much of their limits keys have left.
begin;
set local search_path = bulwark, public, extensions;
select plan(29);
select tests.create_organizations();
create temporary table issued (name text, id uuid);
grant all on issued to public;

-- acting as members of acme
select tests.act_as('admin@acme.test');
select is(
  api_key_options(tests.acme()) - '{scopes,rate_limit_rules}'::text[],
  '{"allowed": true, "step_up_required": false, "environments": ["live", "test"],
    "default_days": 90, "max_days": 365, "max_overlap_days": 30, "keys_left": 50}',
  'KEO-01: an issuer sees what may be chosen'
);
select is(
  (select array_agg(s ->> 'permission') from jsonb_array_elements(
     api_key_options(tests.acme()) -> 'scopes') s),
  (select array_agg(e.permission order by e.permission) from (
     select unnest('{analytics:read,analytics:write,conversation:read,conversation:write,
       encryption:encrypt,symbi:assess}'::text[]) as permission) e),
  'KEO-02: the scopes that programs may have'
);
select results_eq(
  $$ select r ->> 'name', (r ->> 'capacity')::bigint > 0, r ->> 'description' <> ''
     from jsonb_array_elements(api_key_options(tests.acme()) -> 'rate_limit_rules') r $$,
  $$ values ('api_strict', true, true), ('api_default', true, true), ('api_relaxed', true, true) $$,
  'KEO-03: and the rules that are open'
);
insert into issued
select 'first', id from create_api_key(tests.acme(), 'first', (
  select array_agg(s ->> 'permission')
  from jsonb_array_elements(api_key_options(tests.acme()) -> 'scopes') s
));
select is(
  (select count(*) from issued), 1::bigint, 'KEO-04: all of which create_api_key accepts'
);
select is(
  api_key_options(tests.acme()) -> 'keys_left', '49', 'KEO-05: a key counts'
);
select tests.act_as_owner();
select create_role(tests.acme(), 'issuer', '{api_key:create,analytics:read}');
select grant_role(tests.user_id('viewer@acme.test'), 'issuer', tests.acme());
select tests.act_as('viewer@acme.test');
select is(
  (select array_agg(s ->> 'permission') from jsonb_array_elements(
     api_key_options(tests.acme()) -> 'scopes') s),
  '{analytics:read,conversation:read}', 'KEO-06: nobody is offered more than they hold'
);
select is(
  api_key_options(tests.acme()) -> 'keys_left', '50', 'KEO-07: the keys of others do not count'
);
select tests.act_as('analyst@acme.test');
select tests.error_is('KEO-08: without api_key:create there is nothing to choose',
  '42501 RBAC_PERMISSION_DENIED', 'select api_key_options(tests.acme())');
select tests.act_as('admin@globex.test');
select tests.error_is('KEO-08: nor in another organization', '42501 RBAC_PERMISSION_DENIED',
  'select api_key_options(tests.acme())');
select tests.error_is('KEO-08: nor in none', '22004 API_KEY_NULL_ARGUMENT',
  'select api_key_options(null)');
select tests.act_as_role('service_role');
select tests.error_is('KEO-09: keys are for persons to issue', '42501',
  'select api_key_options(tests.acme())');

-- the organization's decisions
select tests.act_as_owner();
select set_api_key_policy(tests.acme(), true, 30);
select tests.act_as('admin@acme.test');
select is(
  (select array[o ->> 'default_days', o ->> 'max_days'] from api_key_options(tests.acme()) o),
  '{30,30}', 'KEO-10: the organization''s maximum counts'
);
select tests.act_as_owner();
select set_api_key_policy(tests.acme(), false);
select tests.act_as('admin@acme.test');
select is(
  api_key_options(tests.acme()) -> 'allowed', 'false', 'KEO-11: and so does its refusal'
);
select tests.act_as_owner();
select set_api_key_policy(tests.acme(), true);
insert into mfa_policies (organization_id, required_from) values (tests.acme(), now());
select tests.act_as('admin@acme.test');
select tests.error_is('KEO-12: where MFA is required it is needed to see them',
  '42501 MFA_REQUIRED', 'select api_key_options(tests.acme())');
select tests.act_as_owner();
select tests.add_factor('admin@acme.test');
select tests.verify_session('admin@acme.test', '1 hour');
select tests.act_as('admin@acme.test');
select is(
  api_key_options(tests.acme()) -> 'step_up_required', 'true',
  'KEO-13: and whether it has to be verified again'
);
select tests.act_as_owner();
select tests.verify_session('admin@acme.test');
select tests.act_as('admin@acme.test');
select is(
  api_key_options(tests.acme()) -> 'step_up_required', 'false', 'KEO-13: is said truly'
);
select tests.act_as_owner();
delete from mfa_policies where organization_id = tests.acme();

-- what is left of the limits
select set_rate_limit('api_default', 10, 100, api_key_id => (select id from issued));
select set_rate_limit('api_strict', 7, 60, organization_id => tests.acme());
select tests.act_as_role('service_role');
select count(check_rate_limit('api_default', api_key_id => i.id, organization_id => tests.acme()))
from issued i, generate_series(1, 4);
select tests.act_as('admin@acme.test');
select is(
  (select k - '{reset_seconds,created_at}'::text[]
   from jsonb_array_elements(rate_limit_usage(tests.acme()) -> 'api_keys') k),
  (select jsonb_build_object('api_key_id', id, 'name', 'first', 'rule', 'api_default',
     'capacity', 10, 'window_seconds', 100, 'remaining', 6, 'refused', false,
     'blocked_until', null) from issued),
  'RLU-01: a key, and what is left of its limit'
);
select results_eq(
  $$ select r ->> 'name', (r ->> 'capacity')::int from jsonb_array_elements(
       rate_limit_usage(tests.acme()) -> 'rules') r where (r ->> 'overridden')::boolean $$,
  $$ values ('api_strict', 7) $$, 'RLU-02: the rules, and which are the organization''s own'
);
select tests.act_as_role('service_role');
select count(check_rate_limit('api_default', api_key_id => i.id, organization_id => tests.acme()))
from issued i, generate_series(1, 7);
select tests.act_as('admin@acme.test');
select is(
  (select array[k ->> 'remaining', k ->> 'refused', ((k ->> 'reset_seconds')::int > 90)::text]
   from jsonb_array_elements(rate_limit_usage(tests.acme()) -> 'api_keys') k),
  '{0,true,true}', 'RLU-03: one that was refused says so'
);
select tests.act_as('viewer@acme.test');
select is(
  (select array[u ->> 'api_keys', (jsonb_array_length(u -> 'rules') > 3)::text]
   from rate_limit_usage(tests.acme()) u),
  array[null, 'true'], 'RLU-04: without api_key:read there are the rules alone'
);
select tests.act_as('admin@globex.test');
select is(
  (select array[(u -> 'api_keys')::text, (u::text ~ 'true')::text] from rate_limit_usage(
     tests.globex()) u),
  '{[],false}', 'RLU-05: another organization has neither'
);
select tests.error_is('RLU-06: and reads no foreign limits', '42501 RBAC_PERMISSION_DENIED',
  'select rate_limit_usage(tests.acme())');
select tests.error_is('RLU-06: nor those of all', '42501 RBAC_PERMISSION_DENIED',
  'select rate_limit_usage(null)');
select tests.act_as('api_user@acme.test');
select tests.error_is('RLU-07: nor does a member without settings:read',
  '42501 RBAC_PERMISSION_DENIED', 'select rate_limit_usage(tests.acme())');
select tests.act_as('admin@acme.test');
select revoke_api_key(id, 'tested') from issued;
select is(
  rate_limit_usage(tests.acme()) -> 'api_keys', '[]', 'RLU-08: a revoked key is none in force'
);
-- the setting that opens rules
select tests.act_as_owner();
select tests.error_is('KEO-20: rules that are open exist: ' || claim, error, format(
  $$ update bulwark.settings set value = %L where name = 'api_keys.rate_limit_rules' $$, value))
from (values
  ('a name of none', '22023 SETTING_INVALID_VALUE', '["api_default", "api_nothing"]'),
  ('no name', '22023 SETTING_INVALID_VALUE', '[null]'),
  ('no list', '22023 SETTING_INVALID_VALUE', '"api_nothing"'),
  ('names of some', 'no error', '["api_relaxed", "api_default"]')
) as c (claim, error, value);

select * from finish();
rollback;
