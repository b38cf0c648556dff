-- Settings: administrators of the installation change some of them, within bounds.
begin;
set local search_path = bulwark, public, extensions;
select plan(34);
select tests.create_organizations();
create temporary table present as select * from bulwark.settings;
grant select on present to public;

select is_empty(
  $$ select s.name, s.value from bulwark.settings s
     join bulwark_private.setting_rules r on r.name = s.name
     where not bulwark_private.schema_accepts(r.accepts, s.value) $$,
  'SET-01: each rule accepts the value that is there'
);
select is_empty(
  $$ select r.name from bulwark_private.setting_rules r
     where r.name ~ '^(audit|encryption|sessions)\.|_hook$|prefix|address_h|trust_|reuse_' $$,
  'SET-02: what binds administrators too has no rule'
);

-- values
select is(
  bulwark_private.schema_accepts(s::jsonb, v::jsonb), e, format('SET-03: %s of %s', v, s)
)
from (values
  ('{"type": "boolean"}', 'true', true),
  ('{"type": "boolean"}', '"true"', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', '5', true),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', '5.5', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', '6', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', '0', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', '"3"', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', 'null', false),
  ('{"type": "integer", "minimum": 1, "maximum": 5}', null, false),
  ('{"type": "number", "minimum": 1, "maximum": 5}', '1.5', true),
  ('{"type": "string", "pattern": "^a+$"}', '"aa"', true),
  ('{"type": "string", "pattern": "^a+$"}', '"ab"', false),
  ('{"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "boolean"}}', '[true]', true),
  ('{"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "boolean"}}', '[]', false),
  ('{"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "boolean"}}', '[true, 1]',
    false)
) as c (s, v, e);

-- acting as an administrator of an organization
select tests.act_as('admin@acme.test');
select tests.error_is('SET-04: an organization''s administrator lists no settings',
  '42501 RBAC_PERMISSION_DENIED', 'select * from list_settings()');
select tests.error_is('SET-04: and sets none', '42501 RBAC_PERMISSION_DENIED',
  $$ select set_setting('rbac.self_service_limit', '5') $$);

-- acting as a super_admin
select tests.act_as('super@bulwark.test');
select results_eq(
  $$ select name, value, accepts ->> 'type', description <> '' from list_settings()
     where name in ('rbac.self_service_limit', 'audit.retention_days') order by name $$,
  $$ select name, value, case name when 'rbac.self_service_limit' then 'integer' end, true
     from present where name in ('rbac.self_service_limit', 'audit.retention_days')
     order by name $$,
  'SET-05: a super_admin lists all of them, and which may be set'
);
select tests.error_is('SET-06: sets one', 'no error',
  $$ select set_setting('rbac.self_service_limit', '7') $$);
select is(
  (select value from list_settings() where name = 'rbac.self_service_limit'), '7',
  'SET-06: and it counts'
);
select tests.error_is('SET-07: ' || claim, error, format('select set_setting(%L, %L)', name, value))
from (values
  ('no value out of bounds', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit', '-1'),
  ('of no other type', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit', '"7"'),
  ('and not null', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit', null),
  ('no number beyond all numbers', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit',
    '1e-200000'),
  ('of either sign', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit', '-1e200000'),
  ('no text that jsonb cannot hold', '22023 SETTING_INVALID_VALUE', 'rbac.self_service_limit',
    '"\u0000"'),
  ('none that is the operator''s', '42501 SETTING_IS_OPERATORS', 'audit.retention_days', '1'),
  ('such as who is trusted', '42501 SETTING_IS_OPERATORS',
    'sessions.accept_tokens_without_session', 'true'),
  ('or a function that requests call', '42501 SETTING_IS_OPERATORS',
    'rbac.next_access_token_hook', '"public.evil"'),
  ('none that does not exist', '22023 UNKNOWN_SETTING', 'rbac.nothing', '1'),
  ('and none without a name', '22023 UNKNOWN_SETTING', null, '1')
) as c (claim, error, name, value);
select tests.act_as_owner();
select results_eq(
  $$ select actor_id, before -> 'value', after -> 'value', organization_id from audit_logs
     where event_type = 'settings.updated' and resource_type = 'bulwark.settings'
       and actor_id is not null order by id desc limit 1 $$,
  $$ values (tests.user_id('super@bulwark.test'), '10'::jsonb, '7'::jsonb, null::uuid) $$,
  'SET-08: who changed it, from what to what, is in the log'
);
select * from finish();
rollback;
