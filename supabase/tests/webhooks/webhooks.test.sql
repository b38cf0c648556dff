-- Webhooks: creating and changing endpoints, subscriptions, and visibility.
begin;
set local search_path = bulwark, public, extensions;
select plan(49);
select tests.create_organizations();

-- Values in the form in which the function webhooks encrypts them.
create function tests.sealed(text) returns text language sql immutable as $$
  select 'bw1.a256gcm.' || rpad($1, 22, 'A') || '.' || repeat('B', 120);
$$;
create function tests.endpoint(
  id uuid, organization_id uuid, patterns text[] default '{audit.*}',
  ordering bulwark.webhook_ordering default 'none', every_organization boolean default false,
  minimum_severity text default 'debug'
)
  returns uuid language sql as $$
  select e.id from bulwark.create_webhook_endpoint(
    endpoint.id, endpoint.organization_id, 'Receiver', 'https://receiver.example',
    tests.sealed('destination'), gen_random_uuid(), tests.sealed('secret'),
    (select jsonb_agg(jsonb_build_object('pattern', p, 'minimum_severity', minimum_severity))
     from unnest(patterns) p),
    ordering => endpoint.ordering, every_organization => endpoint.every_organization
  ) e;
$$;
grant execute on all functions in schema tests to public;

-- acting as an administrator
select tests.act_as('admin@acme.test');
select lives_ok(
  $$ select tests.endpoint(
       '00000000-0000-4000-8000-00000000000a', tests.acme(), '{*}'
     ) $$,
  'WHK-01: an administrator makes an endpoint for the own organization'
);
select tests.error_is('WHK-01: and none for another', '42501 RBAC_PERMISSION_DENIED',
  $$ select tests.endpoint(gen_random_uuid(), tests.globex()) $$);
select tests.error_is('WHK-02: nor for the installation', '42501 RBAC_PERMISSION_DENIED',
  $$ select tests.endpoint(gen_random_uuid(), null) $$);
select tests.error_is('WHK-02: nor one that hears of every organization', '23514',
  $$ select tests.endpoint(gen_random_uuid(), tests.acme(), every_organization => true) $$);
select tests.error_is('WHK-03: an id is taken once', '23505 WEBHOOK_ID_TAKEN',
  $$ select tests.endpoint('00000000-0000-4000-8000-00000000000a', tests.acme()) $$);
select is(
  (select count(*) from bulwark.webhook_endpoints), 1::bigint,
  'WHK-04: a member with webhook:read reads the organization''s endpoints'
);
select is(
  (select array_agg(s.pattern) from bulwark.webhook_subscriptions s), '{*}',
  'WHK-04: and their subscriptions'
);

-- acting as others
select tests.act_as('admin@globex.test');
select is_empty('select from bulwark.webhook_endpoints', 'WHK-04: another organization reads none');
select is_empty('select from bulwark.webhook_subscriptions', 'WHK-04: no subscription either');
select tests.error_is('WHK-05: a foreign endpoint is one that does not exist',
  'PT404 WEBHOOK_UNKNOWN_ENDPOINT',
  $$ select bulwark.delete_webhook_endpoint('00000000-0000-4000-8000-00000000000a') $$);
select tests.error_is('WHK-05: with the same answer', 'PT404 WEBHOOK_UNKNOWN_ENDPOINT',
  $$ select bulwark.delete_webhook_endpoint(gen_random_uuid()) $$);
select tests.act_as('viewer@acme.test');
select is_empty('select from bulwark.webhook_endpoints', 'WHK-04: a viewer reads none');
select tests.error_is('WHK-01: a viewer makes none', '42501 RBAC_PERMISSION_DENIED',
  $$ select tests.endpoint(gen_random_uuid(), tests.acme()) $$);
select tests.act_as('super@bulwark.test');
select lives_ok(
  $$ select tests.endpoint(
       '00000000-0000-4000-8000-00000000000e', null, '{*}', every_organization => true
     ) $$,
  'WHK-02: a super_admin makes one for the installation that hears of every organization'
);
select is(
  (select count(*) from bulwark.webhook_endpoints), 2::bigint,
  'WHK-04: and reads those of all'
);

-- a role that may manage webhooks but not read the audit log
select tests.act_as('admin@acme.test');
select bulwark.create_role(tests.acme(), 'plumber', '{webhook:read,webhook:manage}');
select tests.act_as_owner();
select bulwark.grant_role(tests.user_id('stranger@bulwark.test'), 'plumber', tests.acme());
select tests.act_as('stranger@bulwark.test');
select is(
  tests.error(format(
    $$ select tests.endpoint(gen_random_uuid(), tests.acme(), '{%s}') $$, p
  )),
  '42501 RBAC_PERMISSION_DENIED',
  format('WHK-06: nobody is told of %s who may not read it', p)
)
from unnest('{*,audit.*,audit.authz.role_assigned,security.*}'::text[]) p;
select is(
  tests.error(s), '42501 RBAC_PERMISSION_DENIED', 'WHK-06: ' || s
)
from unnest(array[
  $$ select bulwark.set_webhook_destination('00000000-0000-4000-8000-00000000000a',
       'https://evil.example', tests.sealed('x')) $$,
  $$ select bulwark.update_webhook_endpoint('00000000-0000-4000-8000-00000000000a',
       include_details => true) $$,
  $$ select bulwark.enable_webhook_endpoint('00000000-0000-4000-8000-00000000000a') $$
]) s;
select lives_ok(
  $$ select bulwark.update_webhook_endpoint('00000000-0000-4000-8000-00000000000a',
    name => 'New') $$,
  'WHK-06: who may manage it may still give it another name'
);

-- acting as the administrator again
select tests.act_as('admin@acme.test');
select is(
  tests.error(format(
    $$ select bulwark.update_webhook_endpoint('00000000-0000-4000-8000-00000000000a',
         subscriptions => %L) $$, s
  )),
  '22023 WEBHOOK_INVALID_SUBSCRIPTION', 'WHK-07: no subscription is ' || s
)
from unnest(array[
  '{}', '[]', 'null', '["audit.*"]', '[{"pattern": null}]', '[{"pattern": "audit"}]',
  '[{"pattern": "system.*"}]', '[{"pattern": "audit.**"}]',
  '[{"pattern": "*", "minimum_severity": "loud"}]', '[{"pattern": "*", "surplus": 1}]'
]) s;
select tests.error_is('WHK-08: an overlap is at most 7 days', '22023 WEBHOOK_INVALID_OVERLAP',
  $$ select bulwark.rotate_webhook_secret('00000000-0000-4000-8000-00000000000a',
    gen_random_uuid(), tests.sealed('x'), '8 days') $$);
select tests.error_is('WHK-08: however it is written', '22023 WEBHOOK_INVALID_OVERLAP',
  $$ select bulwark.rotate_webhook_secret('00000000-0000-4000-8000-00000000000a',
    gen_random_uuid(), tests.sealed('x'), '1200 mons -36000 days') $$);
select bulwark.rotate_webhook_secret('00000000-0000-4000-8000-00000000000a',
  gen_random_uuid(), tests.sealed('x')) from generate_series(1, 4);
select tests.error_is('WHK-08: five secrets sign at most', 'PT409 WEBHOOK_TOO_MANY_SECRETS',
  $$ select bulwark.rotate_webhook_secret('00000000-0000-4000-8000-00000000000a',
    gen_random_uuid(), tests.sealed('x')) $$);
select tests.error_is('WHK-08: also for who is in a hurry', 'PT409 WEBHOOK_TOO_MANY_SECRETS',
  $$ select bulwark.rotate_webhook_secret('00000000-0000-4000-8000-00000000000a',
    gen_random_uuid(), 'whsec_plaintext', '0') $$);
select tests.error_is('WHK-09: a check refuses plaintext from every writer', '23514',
  $$ select bulwark.set_webhook_destination('00000000-0000-4000-8000-00000000000a',
    'https://receiver.example', 'https://receiver.example/hook') $$);
select is(
  tests.error(s), '42501', 'WHK-10: nobody writes the tables or reads what is sealed: ' || s
)
from unnest(array[
  'insert into bulwark.webhook_subscriptions (endpoint_id, pattern, scope)
   select e.id, ''*'', gen_random_uuid() from bulwark.webhook_endpoints e',
  'update bulwark.webhook_endpoints set disabled_at = null',
  'delete from bulwark.webhook_deliveries',
  'select from bulwark_private.webhook_secrets',
  'select from bulwark_private.webhook_destinations',
  'select bulwark.claim_webhook_deliveries(''me'')',
  'select bulwark.complete_webhook_deliveries(''[]'')'
]) s;

-- acting as the operator
select tests.act_as_owner();
update bulwark.settings set value = '1' where name = 'webhooks.maximum_endpoints';
select tests.act_as('admin@acme.test');
select tests.error_is('WHK-11: an organization has so many and no more',
  'PT409 WEBHOOK_TOO_MANY_ENDPOINTS', $$ select tests.endpoint(gen_random_uuid(), tests.acme()) $$);
select tests.act_as_owner();
select ok(
  not exists (
    select from bulwark.audit_logs e
    where e.resource_type like '%webhook%'
      and concat(e.before, e.after) like '%bw1.%'
  ) and exists (
    select from bulwark.audit_logs e
    where e.resource_type = 'bulwark_private.webhook_secrets' and e.action = 'insert'
      and e.organization_id = tests.acme()
  ),
  'WHK-12: the audit log tells of new secrets without them'
);
delete from bulwark.organizations where id = tests.acme();
select is_empty(
  $$ select from bulwark_private.webhook_secrets s where s.organization_id is not null $$,
  'WHK-13: with an organization go its endpoints and secrets'
);

-- the seal
select tests.act_as_owner();
select ok(
  (
    select g.options -> 'functions' ?& '{
      bulwark_private.take_sealed_entries, bulwark_private.queue_webhooks
    }'
    from bulwark_private.audit_watched_tables g where g.relation = 'bulwark.audit_logs'::regclass
  ),
  'AUK-90: the sealer''s step that makes deliveries is watched with the log'
);
select * from finish();
rollback;
