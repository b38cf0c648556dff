-- Webhooks: contents of deliveries, their visibility, ordering keys, samples and reused ids.
begin;
set local search_path = bulwark, public, extensions;
select plan(35);
select tests.create_organizations();
update bulwark.settings set value = '3' where name = 'webhooks.maximum_attempts';
create temporary table claimed (delivery_id uuid, attempt_id uuid, place bigint, body jsonb);
grant select on claimed to public;
select tests.webhook_endpoint(tests.b(), tests.globex(), '{audit.data.delete}');

-- security events
select tests.webhook_endpoint(tests.a(), tests.acme(), '{security.*}', minimum_severity => 'error');
update bulwark.webhook_endpoint_health set proven = true;
select bulwark.raise_security_event('permission_probing', tests.acme(), null, 'x');
select is(
  tests.queued(tests.a()), 0::bigint, 'WHK-55: a security event of medium urgency is a warning'
);
select bulwark.raise_security_event('brute_force', tests.acme(), null, 'x');
select bulwark.raise_security_event('brute_force', tests.acme(), null, 'x');
select is(
  tests.queued(tests.a()),
  1::bigint, 'WHK-55: one of high urgency an error, told when it is opened and not again'
);

select is(
  (select p.data ? 'resolution_note' and b.body::jsonb -> 'data' ? 'resolution_note'
     or b.body::jsonb -> 'data' ? 'details'
   from bulwark.webhook_deliveries d
   join bulwark_private.webhook_payloads p on p.delivery_id = d.id
   join bulwark_private.webhook_bodies b on b.delivery_id = d.id
   where d.endpoint_id = tests.a()),
  false, 'WHK-56: nor with what somebody wrote about it, unless details were asked for'
);

-- leftovers of an endpoint that is no longer in order
delete from bulwark.webhook_deliveries;
select bulwark.update_webhook_endpoint(tests.a(), ordering => 'resource',
  subscriptions => '[{"pattern": "audit.data.*"}]');
select tests.cause('acme', resource => 'left');
select bulwark.update_webhook_endpoint(tests.a(), ordering => 'none');
select tests.cause('acme', resource => 'next');
select is(
  tests.claim(), 2::bigint, 'WHK-57: what waited in order arrives when order is no longer asked for'
);
select tests.complete('delivered', 200);

-- keys in turn
delete from bulwark.webhook_deliveries;
select bulwark.update_webhook_endpoint(tests.a(), ordering => 'resource');
insert into bulwark.webhook_deliveries
  (endpoint_id, event_id, occurred_at, source, severity, event_type, ordering_key, attempts, due_at)
select tests.a(), gen_random_uuid(), now(), 'audit', 'info', 'audit.data.read', 'waits/' || n, 1,
  now() + interval '1 hour'
from generate_series(1, 1500) n;
select tests.cause('acme', resource => 'zz') from generate_series(1, 3);
select tests.claim() from generate_series(1, 7);
select is(
  (select count(*) from bulwark.webhook_deliveries d
   where d.ordering_key ~ 'zz$' and d.attempts = 1),
  3::bigint, 'WHK-58: however many keys wait for another attempt, one that does not gets its turn'
);
delete from bulwark.webhook_deliveries;
select tests.cause('acme', resource => k) from unnest('{p,p,p,q,q,q}'::text[]) k;
select is(tests.claim(2), 2::bigint, 'WHK-59: a claim takes a run of each key');
select is(
  (select array_agg(c.body #>> '{data,resource_id}' order by c.place) from claimed c), '{p,q}',
  'WHK-59: however long the first one is'
);
create temporary table first_of_both as select * from claimed;
select is(tests.claim(), 0::bigint, 'WHK-59: and nothing of a key of which something is under way');
select bulwark.complete_webhook_deliveries((
  select jsonb_agg(jsonb_build_object('delivery_id', f.delivery_id, 'attempt_id', f.attempt_id,
    'outcome', 'delivered', 'status', 200)) from first_of_both f
));
select is(tests.claim(), 4::bigint, 'WHK-59: until it is through');
select is(
  (select array_agg(c.body #>> '{data,resource_id}' order by c.place) from claimed c), '{p,p,q,q}',
  'WHK-59: in order'
);
select tests.complete('delivered', 200);

-- busy endpoints
select tests.cause('acme');
select is(
  json_array_length(
    bulwark.claim_webhook_deliveries('tester', busy_endpoints => array[tests.a()]) -> 'deliveries'
  ),
  0, 'WHK-60: of an endpoint of which a worker has enough it gets no more'
);
select is(tests.claim(), 1::bigint, 'WHK-60: which others get');
select tests.complete('delivered', 200);

-- repeated replays
update bulwark.webhook_deliveries set attempts = 40000, attempts_before = 40000
where endpoint_id = tests.a();
select bulwark.replay_webhook_deliveries(tests.a(), '-infinity', 'infinity', '{delivered,dead}');
select ok(tests.claim() > 0, 'WHK-61: a delivery may be attempted any number of times');
select tests.complete('delivered', 200);

-- details at the time of the event
select bulwark.update_webhook_endpoint(tests.a(), include_details => true);
select bulwark_private.queue_webhooks(array[bulwark.log_audit_event(
  'data.read', organization_id => tests.acme(), details => '{"was": null, "is": {"deep": null}}'
)]);
select tests.claim();
select is(
  (select c.body #> '{data,details}' from claimed c), '{"was": null, "is": {"deep": null}}',
  'WHK-62: a null in the details is told as what it is'
);
select tests.complete('delivered', 200);

-- an endpoint that fails and times out
update bulwark.webhook_endpoint_health
set consecutive_failures = 3, failing_since = now(), proven = false
where endpoint_id = tests.a();
select tests.cause('acme', resource => 'hangs/' || n) from generate_series(1, 3) n;
select is(tests.claim(), 1::bigint, 'WHK-69: a failing endpoint gets one attempt');
create temporary table hanging as select * from claimed;
select is(tests.claim(), 0::bigint, 'WHK-69: and no other while that is under way');
update bulwark.webhook_deliveries d set due_at = clock_timestamp()
where d.id in (select h.delivery_id from hanging h);
update bulwark_private.webhook_turns set held_until = clock_timestamp()
  where endpoint_id = tests.a();
select is(tests.claim(), 1::bigint, 'WHK-69: until the claim lapses');
select tests.complete('rejected', 500);
select is(tests.claim(), 1::bigint, 'WHK-69: or the attempt ends');
select tests.complete('delivered', 200);
select ok(tests.claim() >= 1, 'WHK-69: once one arrives it gets all again');
select tests.complete('delivered', 200);

-- samples
select tests.act_as('admin@acme.test');
select tests.error_is('WHK-63: an endpoint is sent ten samples in a minute', 'no error',
  $$ select bulwark.send_test_webhook(tests.a()) from generate_series(1, 10) $$);
select tests.error_is('WHK-63: and no more', 'PT429 WEBHOOK_TOO_MANY_TESTS',
  $$ select bulwark.send_test_webhook(tests.a()) $$);
select tests.act_as('admin@globex.test');
select tests.error_is('WHK-63: none by another organization', 'PT404 WEBHOOK_UNKNOWN_ENDPOINT',
  $$ select bulwark.send_test_webhook(tests.a()) $$);

-- visibility of contents and responses
select tests.act_as('admin@acme.test');
select bulwark.create_role(tests.acme(), 'plumber', '{webhook:read,webhook:manage}');
select tests.act_as_owner();
select bulwark.grant_role(tests.user_id('stranger@bulwark.test'), 'plumber', tests.acme());
select tests.act_as('stranger@bulwark.test');
select is(
  (select array_agg(distinct d.source::text) from bulwark.webhook_deliveries d), '{test}',
  'WHK-64: without audit:read no delivery of a log entry is visible'
);
select is_empty(
  'select from bulwark.webhook_attempts', 'WHK-64: nor what receivers answered to them'
);
select tests.act_as('admin@acme.test');
select ok(
  exists (select from bulwark.webhook_deliveries d where d.source = 'audit')
    and exists (select from bulwark.webhook_attempts),
  'WHK-64: with audit:read they are'
);
select tests.act_as_owner();
select bulwark.disable_webhook_endpoint(tests.a());
update bulwark.webhook_deliveries set occurred_at = now() - interval '31 days'
where status = 'pending';
select is(
  bulwark.prune_webhook_deliveries(),
  0, 'WHK-65: what waits for an endpoint that was just disabled is kept'
);
update bulwark.webhook_endpoints set disabled_at = now() - interval '31 days' where id = tests.a();
select is(
  bulwark.prune_webhook_deliveries(),
  (select count(*)::integer from bulwark.webhook_deliveries d where d.status = 'pending'),
  'WHK-65: for one that was disabled long ago it is forgotten'
);

-- the scheduler
select tests.act_as_role('service_role');
select is(
  bulwark.continue_webhook_deliveries(5), to_regproc('net.http_post') is not null,
  'WHK-66: a run has itself followed by another where pg_net is installed'
);
select tests.act_as('admin@acme.test');
select tests.error_is('WHK-66: and nobody else does', '42501',
  'select bulwark.continue_webhook_deliveries(5)');

-- a member who may read security events but not the log, and an endpoint that received log entries
select tests.act_as('admin@acme.test');
select bulwark.enable_webhook_endpoint(tests.a());
select bulwark.create_role(tests.acme(), 'watcher', '{webhook:read,webhook:manage,security:read}');
select tests.act_as_owner();
select bulwark.grant_role(tests.user_id('viewer@acme.test'), 'watcher', tests.acme());
select tests.cause('acme');
select tests.act_as('viewer@acme.test');
select tests.error_is('WHK-66: security:read alone allows an endpoint for security events only',
  'no error',
  $$ select bulwark.update_webhook_endpoint(tests.a(), subscriptions =>
    '[{"pattern": "security.*"}]') $$);
select tests.error_is('WHK-66: but not move it: what it was told before can be replayed',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select bulwark.set_webhook_destination(tests.a(), 'https://watcher.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)) $$);
select tests.act_as('admin@acme.test');
select tests.error_is('WHK-66: with all rights to read its events this is allowed', 'no error',
  $$ select bulwark.set_webhook_destination(tests.a(), 'https://receiver.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)) $$);

-- an endpoint that reuses the id of another
select bulwark.delete_webhook_endpoint(tests.a());
select tests.act_as('admin@globex.test');
select tests.error_is(
  'WHK-67: nobody takes the id of an endpoint that was deleted, and what waits for it',
  '23505 WEBHOOK_ID_TAKEN',
  $$ select tests.webhook_endpoint(tests.a(), tests.globex(), '{audit.*}') $$);
select tests.act_as_owner();
delete from bulwark.webhook_deliveries;
insert into bulwark.webhook_deliveries
  (endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type)
select tests.b(), tests.organization_id(o), gen_random_uuid(), now(), 'audit', 'info', o
from unnest('{acme,globex}'::text[]) o;
select tests.claim();
select is(
  (select array_agg(c.body ->> 'type') from claimed c), '{globex}',
  'WHK-67: and an endpoint gets no deliveries but its organization''s'
);

-- a resource with a very long name
create table public.endless (id text primary key, organization_id uuid);
select bulwark.enable_audit('public.endless', organization_column => 'organization_id');
select tests.webhook_endpoint(gen_random_uuid(), tests.acme(), '{audit.*}', ordering => 'resource');
select tests.error_is(
  'WHK-68: a resource whose name is as long as an index can hold is told of in order too',
  'no error',
  $$ insert into public.endless
     select left(string_agg(encode(sha256(n::text::bytea), 'base64'), ''), 2680),
       tests.acme() from generate_series(1, 61) n $$);

select * from finish();
rollback;
