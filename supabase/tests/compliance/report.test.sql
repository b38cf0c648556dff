-- Compliance reports: the evidence about an organization, for those who may list all of it.
begin;
set local search_path = bulwark, public, extensions;
select plan(34);
select tests.create_organizations();
create function pg_temp.report(organization uuid default tests.acme()) returns jsonb
language sql as $$
  select compliance_report(organization);
$$;
insert into bulwark.permissions values ('test:nothing', 'Nothing');

-- acting as the administrator of acme, who grants, revokes and issues a key
select tests.add_factor('analyst@acme.test');
select tests.act_as('admin@acme.test');
select grant_role(tests.user_id('viewer@acme.test'), 'analyst', tests.acme());
select revoke_role(tests.user_id('viewer@acme.test'), 'analyst', tests.acme());
select create_role(tests.acme(), 'auditors', array[
  'compliance:read', 'audit:read', 'audit:export', 'user:read', 'security:read', 'api_key:read']);
select id from create_api_key(tests.acme(), 'reports', '{analytics:read}');
select tests.act_as_owner();
insert into bulwark.security_events (event_type, severity, organization_id, raised_at) values
  ('brute_force', 'high', tests.acme(), now() - interval '2 days'),
  ('permission_probing', 'medium', tests.acme(), now() - interval '1 day'),
  ('brute_force', 'high', tests.globex(), now());
insert into bulwark.security_events
  (event_type, severity, organization_id, raised_at, resolved_at, resolution_note)
values ('breach_attempt', 'critical', tests.acme(), now() - interval '5 hours',
  now() - interval '1 hour', 'A drill');

select tests.act_as('admin@acme.test');
create temporary table made as select pg_temp.report() as r;
select is(
  (select array_agg(m ->> 'email' order by m ->> 'email')
   from made, jsonb_array_elements(r #> '{access,members}') m),
  array['admin@acme.test', 'analyst@acme.test', 'api_user@acme.test', 'viewer@acme.test'],
  'CMP-01: a report lists who has access to the organization, and nobody of another'
);
select ok(
  (select bool_and(m ? 'member_since' and m ->> 'member_since' is not null
     and m -> 'roles' -> 0 ? 'starts_at')
   from made, jsonb_array_elements(r #> '{access,members}') m),
  'CMP-02: and since when'
);
select is(r #> '{access,members_total}', '4', 'CMP-02: with their number') from made;
select is(r #> '{access,administrators}', '1', 'CMP-02: and that of administrators') from made;
select is(
  (r -> 'mfa') - 'missing' - 'required_from',
  '{"members": 4, "enrolled": 1, "members_cut": false, "missing_cut": false}',
  'CMP-03: how many have a second factor'
) from made;
select is(jsonb_array_length(r #> '{mfa,missing}'), 3, 'CMP-03: and who has none') from made;
select is(
  (r -> 'api_keys') - 'keys',
  '{"in_force": 1, "in_force_cut": false, "older_than_30_days": 0, "older_than_90_days": 0,
    "older_than_180_days": 0, "never_used": 1, "unused_for_90_days": 0, "issued_without_mfa": 1,
    "keys_cut": false}',
  'CMP-04: API keys by age and last use'
) from made;
select is(r #>> '{api_keys,keys,0,name}', 'reports', 'CMP-04: each by name') from made;
select results_eq(
  $$ select e ->> 'type' as type, e ->> 'user_id' as "user", e ->> 'actor_id' as actor
     from made, jsonb_array_elements(r #> '{grants,entries}') with ordinality as g (e, n)
     where e ->> 'user_id' = tests.user_id('viewer@acme.test')::text order by n limit 2 $$,
  $$ select t, tests.user_id('viewer@acme.test')::text, tests.user_id('admin@acme.test')::text
     from unnest('{authz.role_removed,authz.role_assigned}'::text[]) with ordinality u (t, n)
     order by n $$,
  'CMP-05: grants made and ended, the newest first, with who did it'
);
select ok(
  exists (
    select from made, jsonb_array_elements(r #> '{privileged,entries}') e
    where e ->> 'type' = 'api.key_created'
  ) and exists (
    select from made, jsonb_array_elements(r #> '{privileged,entries}') e
    where e ->> 'resource_type' = 'bulwark.roles'
  ),
  'CMP-06: privileged acts'
);
select is(
  (r -> 'events') - 'open_events' - 'oldest_open_at' - 'median_hours_to_resolve',
  '{"open": 2, "unassigned": 2, "events_cut": false, "open_events_cut": false,
    "raised_in_range": 3, "resolved_in_range": 1, "open_by_severity": {"high": 1, "medium": 1}}',
  'CMP-07: open events, and those that were resolved'
) from made;
select is(r #>> '{events,median_hours_to_resolve}', '4.0', 'CMP-07: and how fast') from made;
select is(r #> '{verification,verdict,intact}', 'true', 'CMP-08: the log of the range verifies')
from made;
select is(r #> '{verification,verdict,whole_range}', 'true', 'CMP-08: all of it') from made;
select ok(
  (r #> '{log,entries}')::text::integer > 5 and r #> '{log,complete}' = 'true',
  'CMP-09: entries are counted, and the report says that it read all of them'
) from made;
select ok(
  (select bool_and(r ? part) from unnest(array[
    'access', 'mfa', 'api_keys', 'reviews', 'keys_in_use', 'retention_rules', 'events',
    'verification',
    'grants', 'privileged', 'keys', 'retention', 'incidents', 'log']) part),
  'CMP-10: every part is there'
) from made;

-- it is itself an entry
select tests.act_as_owner();
select is(
  (select row(e.event_type, e.organization_id, e.actor_id, e.action, e.source)::text
   from bulwark.audit_logs e, made where e.id = (r ->> 'entry')::uuid),
  row('compliance.export', tests.acme(), tests.user_id('admin@acme.test'),
    'compliance_report', 'system')::text,
  'CMP-11: a report is an entry of the log, which it names'
);
select is(
  (select e.details ->> 'sha256' from bulwark.audit_logs e, made
   where e.id = (r ->> 'entry')::uuid),
  (select encode(sha256(convert_to((r - 'entry')::text, 'utf8')), 'hex') from made),
  'CMP-12: which has the hash of its text'
);
select ok(
  (select strpos(r::text, k.key_hash::text) = 0 from made, bulwark_private.api_key_hashes k limit 1)
    and not (select r::text like '%wrapped_key%' from made),
  'CMP-13: and no hash of a key or wrapped key is in it'
);

-- legal holds and removals
select place_legal_hold('A claim', tests.acme());
select release_legal_hold(id) from bulwark.audit_legal_holds where organization_id = tests.acme();
select place_legal_hold('Another claim', tests.acme(), tests.user_id('viewer@acme.test'));
select tests.act_as('admin@acme.test');
truncate made;
insert into made select pg_temp.report();
select is(
  (select count(*) from made, jsonb_array_elements(r #> '{retention_rules,holds_in_force}')),
  1::bigint, 'CMP-14: the legal holds in force'
);
select ok((r #>> '{retention,total}')::integer >= 3, 'CMP-14: and what changed of them') from made;

-- the range
select is(
  compliance_report(tests.acme(), now() - interval '3 days', now() - interval '2 days')
    #> '{log,entries}', '0', 'CMP-15: a range without entries has none'
);
select tests.error_is('CMP-15: an empty range is refused', '22023 COMPLIANCE_INVALID_RANGE',
  $$ select compliance_report(tests.acme(), now(), now() - interval '1 day') $$);
select tests.error_is('CMP-15: and one that lies ahead', '22023 COMPLIANCE_INVALID_RANGE',
  $$ select compliance_report(tests.acme(), now() + interval '1 day', 'infinity') $$);
select tests.error_is('CMP-15: and an infinite one', '22023 COMPLIANCE_INVALID_RANGE',
  $$ select compliance_report(tests.acme(), '-infinity', now()) $$);
select tests.error_is('CMP-15: an organization is needed', '22004 COMPLIANCE_NULL_ARGUMENT',
  $$ select compliance_report(null) $$);

-- acting as others
select tests.error_is('CMP-16: another organization is closed', '42501 RBAC_PERMISSION_DENIED',
  $$ select compliance_report(tests.globex()) $$);
select tests.error_is('CMP-16: and so is one that does not exist', '42501 RBAC_PERMISSION_DENIED',
  $$ select compliance_report(gen_random_uuid()) $$);
select tests.act_as('viewer@acme.test');
select tests.error_is('CMP-16: and one''s own to a viewer', '42501 RBAC_PERMISSION_DENIED',
  $$ select compliance_report(tests.acme()) $$);
select tests.act_as_owner();
select grant_role(tests.user_id('viewer@acme.test'), 'auditors', tests.acme());
select tests.act_as('viewer@acme.test');
select ok(pg_temp.report() ? 'entry', 'CMP-17: a role of six permissions reads reports');
select tests.act_as_owner();
create function pg_temp.without(permission text) returns text language plpgsql as $$
declare v_error text;
begin
  delete from bulwark.role_permissions p using bulwark.roles r
  where r.id = p.role_id and r.name = 'auditors' and p.permission = without.permission;
  perform tests.act_as('viewer@acme.test');
  v_error := tests.error('select compliance_report(tests.acme())');
  perform tests.act_as_owner();
  insert into bulwark.role_permissions
  select r.id, without.permission from bulwark.roles r where r.name = 'auditors';
  return v_error;
end;
$$;
select is(
  (select array_agg(distinct pg_temp.without(p)) from unnest(array[
    'compliance:read', 'audit:read', 'audit:export', 'security:read', 'api_key:read']) p),
  array['42501 RBAC_PERMISSION_DENIED'],
  'CMP-17: and with one of them less, none'
);
insert into bulwark.mfa_policies (organization_id, required_from)
values (tests.acme(), now() - interval '1 minute');
select tests.act_as('admin@acme.test');
select tests.error_is('CMP-18: where a second factor is required, it is for reports too',
  '42501 MFA_REQUIRED', $$ select compliance_report(tests.acme()) $$);
select tests.act_as_role('service_role');
select ok(pg_temp.report(tests.globex()) ? 'entry', 'CMP-19: the service role may make any');
select tests.error_is('CMP-19: of an organization that exists', 'PT404 RBAC_UNKNOWN_ORGANIZATION',
  $$ select compliance_report(gen_random_uuid()) $$);

select * from finish();
rollback;
