-- Webhooks: writing the outbox, claims, results, replay and retention.
begin;
set local search_path = public, bulwark, extensions;
select plan(87);
select tests.create_organizations();
update bulwark.settings set value = '3' where name = 'webhooks.maximum_attempts';

create function tests.endpoint(
  id uuid, organization_id uuid, patterns text[], ordering bulwark.webhook_ordering default 'none',
  every_organization boolean default false, minimum_severity text default 'debug',
  include_details boolean default false
)
  returns uuid language sql as $$
  select e.id from bulwark.create_webhook_endpoint(
    endpoint.id, endpoint.organization_id, 'Receiver', 'https://receiver.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120), gen_random_uuid(),
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120),
    (select jsonb_agg(jsonb_build_object('pattern', p, 'minimum_severity', minimum_severity))
     from unnest(patterns) p),
    ordering => endpoint.ordering, every_organization => endpoint.every_organization,
    include_details => endpoint.include_details
  ) e;
$$;
create function tests.a() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000a'::uuid $$;
create function tests.b() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000b'::uuid $$;
create function tests.e() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000e'::uuid $$;
create function tests.cause(
  organization text, severity bulwark.audit_severity default 'info', resource text default 'r'
) returns uuid language sql as $$
  select bulwark.log_audit_event(
    'data.read', 'look', tests.organization_id(organization), 'public.reports', resource,
    severity => cause.severity, details => '{"why": "because"}'
  );
$$;
create function tests.queued(endpoint uuid) returns bigint language sql as $$
  select count(*) from bulwark.webhook_deliveries d where d.endpoint_id = endpoint;
$$;
-- Claims as the service role does, and stores the result.
create temporary table claimed (delivery_id uuid, attempt_id uuid, place bigint, body jsonb);
grant select on claimed to public;
create function tests.claim(maximum integer default 100) returns bigint language plpgsql as $$
begin
  delete from claimed;
  insert into claimed
  select (d ->> 'id')::uuid, (d ->> 'attempt_id')::uuid, n, d -> 'body'
  from jsonb_array_elements(
    bulwark.claim_webhook_deliveries('tester', maximum, 60)::jsonb -> 'deliveries'
  ) with ordinality as t (d, n);
  return (select count(*) from claimed);
end;
$$;
create function tests.complete(outcome text, status integer default null)
  returns integer language sql as $$
  select bulwark.complete_webhook_deliveries(jsonb_agg(jsonb_build_object(
    'delivery_id', c.delivery_id, 'attempt_id', c.attempt_id, 'outcome', outcome, 'status', status,
    'latency_ms', 5, 'response', repeat('x', 2000)
  ))) from claimed c;
$$;
create function tests.make_due() returns void language sql as $$
  update bulwark.webhook_deliveries set due_at = clock_timestamp() - interval '1 second'
  where status = 'pending';
  update bulwark_private.webhook_turns set held_until = null;
$$;

-- the outbox
select tests.endpoint(
  tests.a(), tests.organization_id('acme'), '{audit.data.*,audit.data.read}',
  minimum_severity => 'info'
);
select tests.endpoint(tests.b(), tests.organization_id('globex'), '{audit.data.delete}');
select tests.endpoint(tests.e(), null, '{audit.data.read}', every_organization => true);
update bulwark.webhook_endpoint_health set proven = true;
select tests.cause('acme');
select is(
  tests.queued(tests.a()),
  1::bigint, 'WHK-20: an event is queued once, however many patterns it matches'
);
select is(tests.queued(tests.b()), 0::bigint, 'WHK-21: and never for another organization');
select is(
  tests.queued(tests.e()),
  1::bigint, 'WHK-22: the installation''s endpoint hears of every organization'
);
select tests.cause('globex');
select is(
  tests.queued(tests.b()), 0::bigint, 'WHK-23: what the pattern does not name is not queued'
);
select is(tests.queued(tests.e()), 2::bigint, 'WHK-22: of this one as well');
select tests.cause('acme', 'debug');
select is(tests.queued(tests.a()), 1::bigint, 'WHK-24: nor what is less severe than asked for');
do $$
begin
  perform tests.cause('acme');
  raise exception 'undone';
exception when raise_exception then null;
end;
$$;
select is(
  tests.queued(tests.a()), 1::bigint, 'WHK-25: an event that is rolled back was never queued'
);
select is(
  (select array_agg(distinct d.organization_id) from bulwark.webhook_deliveries d
   where d.endpoint_id = tests.e()),
  array[null::uuid], 'WHK-26: deliveries belong to whose endpoint it is, not to whose event'
);
set local session_replication_role = replica;
select tests.cause('acme');
set local session_replication_role = origin;
select is(
  tests.queued(tests.a()),
  2::bigint, 'WHK-27: the outbox is written under session_replication_role as well'
);
select is(
  (select count(*) from bulwark_private.audit_guards g
    where g.relation = 'bulwark.audit_logs'::regclass
     and g.fingerprint <> bulwark_private.audit_fingerprint(g.relation)),
  0::bigint, 'WHK-28: the log watches the outbox''s trigger as its own'
);

-- visibility
select tests.act_as('admin@acme.test');
select is(
  (select count(*) from bulwark.webhook_deliveries),
  2::bigint, 'WHK-29: members see the deliveries of their organization'
);
select tests.act_as('admin@globex.test');
select is_empty('select from bulwark.webhook_deliveries', 'WHK-29: and of no other');
select tests.act_as('viewer@acme.test');
select is_empty(
  'select from bulwark.webhook_deliveries', 'WHK-29: without webhook:read none is visible'
);
select tests.act_as_owner();
delete from bulwark.webhook_deliveries where endpoint_id = tests.e();
select bulwark.disable_webhook_endpoint(tests.e());

-- claims
select tests.act_as_role('service_role');
select is(
  tests.error($$ select bulwark.claim_webhook_deliveries('x', 0) $$),
  '22023 WEBHOOK_INVALID_CLAIM', 'WHK-30: a claim takes something'
);
select is(
  tests.error($$ select bulwark.claim_webhook_deliveries(E'a\nb') $$),
  '22023 WEBHOOK_INVALID_CLAIM', 'WHK-30: and has a name'
);
select tests.act_as_owner();
select is(tests.claim(), 2::bigint, 'WHK-31: a worker gets what is due');
select is(
  (select body ->> 'type' from claimed limit 1), 'audit.data.read', 'WHK-31: with what to say'
);
select is(
  (select body -> 'data' ? 'details' from claimed limit 1),
  false, 'WHK-32: without details unless they were asked for'
);
create temporary table first_claim as select * from claimed;
select is(tests.claim(), 0::bigint, 'WHK-33: and nobody else gets it meanwhile');
select tests.make_due();
select is(tests.claim(), 2::bigint, 'WHK-34: until the claim lapses');
select is(
  (select count(*) from claimed c join first_claim f using (delivery_id)
   where c.attempt_id <> f.attempt_id),
  2::bigint, 'WHK-34: the same deliveries, as other attempts'
);
select is(
  (select array_agg(a.outcome::text || a.number order by a.number) from bulwark.webhook_attempts a),
  '{lost1,lost1}', 'WHK-35: the log says which attempts were lost'
);

-- results
select is(tests.complete('rejected', 500), 2, 'WHK-36: results are taken');
select is(tests.complete('delivered', 200), 0, 'WHK-36: once');
select is(
  (select max(length(a.response)) from bulwark.webhook_attempts a), 1024,
  'WHK-37: of the response its beginning is kept'
);
select is(
  (select count(*) from bulwark.webhook_deliveries d
   where d.status = 'pending' and d.due_at > now() and d.attempts = 2),
  2::bigint, 'WHK-38: a failure waits for its next attempt'
);
select lives_ok(
  $$ select bulwark.complete_webhook_deliveries(jsonb_agg(jsonb_build_object(
    'delivery_id', f.delivery_id, 'attempt_id', f.attempt_id))) from first_claim f $$,
  'WHK-39: a worker that gives back too late what it did not attempt changes nothing'
);
select bulwark.complete_webhook_deliveries((
  select jsonb_agg(jsonb_build_object('delivery_id', f.delivery_id, 'attempt_id', f.attempt_id,
    'outcome', 'delivered', 'status', 200)) from first_claim f
));
select is(
  (select array_agg(distinct a.outcome::text) from bulwark.webhook_attempts a where a.number = 1),
  '{delivered}', 'WHK-39: a result that comes too late corrects the log'
);
select is(
  (select count(*) from bulwark.webhook_deliveries d where d.status = 'delivered'), 0::bigint,
  'WHK-39: and nothing else'
);
select tests.make_due();
select tests.claim();
select tests.complete('timed_out');
select is(
  (select count(*) from bulwark.webhook_deliveries d
   where d.status = 'dead' and d.finished_at is not null),
  2::bigint, 'WHK-40: after the last attempt it is a dead letter'
);
select is(
  (select h.consecutive_failures from bulwark.webhook_endpoint_health h
   where h.endpoint_id = tests.a()),
  4::bigint, 'WHK-41: failures in a row are counted'
);

-- replay
select tests.act_as('admin@globex.test');
select is(
  tests.error(format(
    $$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c limit 1)
  )),
  'PT404 WEBHOOK_UNKNOWN_DELIVERY', 'WHK-42: a foreign dead letter does not exist'
);
select tests.act_as('admin@acme.test');
select lives_ok(
  format(
    $$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c limit 1)
  ),
  'WHK-42: one''s own is replayed'
);
select is(
  tests.error(format(
    $$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c limit 1)
  )),
  'PT409 WEBHOOK_DELIVERY_PENDING', 'WHK-43: and not twice at once'
);
select is(
  bulwark.replay_webhook_deliveries(tests.a(), '-infinity', 'infinity'),
  1, 'WHK-44: a range takes the rest'
);
select is(
  bulwark.replay_webhook_deliveries(tests.a(), 'infinity', '-infinity'),
  0, 'WHK-44: an empty one nothing'
);
select tests.act_as_owner();
select tests.make_due();
select is(
  tests.claim(), 1::bigint,
  'WHK-45: what is replayed is due, one at a time where the endpoint was failing'
);
select tests.complete('rejected', 410);
select is(
  (select e.disabled_reason from bulwark.webhook_endpoints e where e.id = tests.a()), 'gone',
  'WHK-46: an endpoint that says it is gone is disabled'
);
select is(
  (select count(*) from bulwark.security_events s where s.event_type = 'webhook_endpoint_disabled'
     and s.organization_id = tests.organization_id('acme')),
  1::bigint, 'WHK-46: and its owners are told'
);
select tests.cause('acme');
select is(tests.queued(tests.a()), 2::bigint, 'WHK-47: nothing is queued for it meanwhile');
select tests.make_due();
select is(tests.claim(), 0::bigint, 'WHK-47: and nothing is taken');
select bulwark.enable_webhook_endpoint(tests.a());
select is(tests.claim(), 1::bigint, 'WHK-47: until it is enabled again');
select is(tests.complete('delivered', 200), 1, 'WHK-48: success');
select is(
  (select h.consecutive_failures from bulwark.webhook_endpoint_health h
   where h.endpoint_id = tests.a()),
  0::bigint, 'WHK-48: sets the count back'
);
select tests.claim();
select tests.complete('delivered', 200);

-- order
select bulwark.update_webhook_endpoint(tests.a(), ordering => 'resource');
select tests.cause('acme', resource => x) from unnest('{p,q,p,q,p}'::text[]) x;
select is(tests.claim(2), 2::bigint, 'WHK-50: a run is claimed from its beginning');
select is(
  (select array_agg(c.body #>> '{data,resource_id}' order by c.place) from claimed c), '{p,q}',
  'WHK-50: in order'
);
create temporary table run as select * from claimed;
select is(
  tests.claim(),
  0::bigint, 'WHK-51: nothing of the same resources is taken while they are under way'
);
select bulwark.complete_webhook_deliveries((
  select jsonb_agg(jsonb_build_object('delivery_id', r.delivery_id, 'attempt_id', r.attempt_id,
    'outcome', case r.body #>> '{data,resource_id}' when 'p' then 'rejected' else 'delivered' end))
  from run r
));
select tests.claim();
select is(
  (select array_agg(c.body #>> '{data,resource_id}' order by c.place) from claimed c), '{q}',
  'WHK-52: what waits for its next attempt holds back its own resource alone'
);

-- erased data is missing from pending deliveries
select tests.act_as_owner();
create temporary table gone (delivery_id uuid, event_id uuid);
with made as (
  insert into bulwark.webhook_deliveries
    (endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type, status)
  values (
    tests.b(), tests.organization_id('globex'), gen_random_uuid(), now(), 'audit', 'info',
    'audit.data.read', 'dead'
  )
  returning id, event_id
)
insert into gone select * from made;
select is(
  (select b.body::jsonb -> 'data'
    from bulwark_private.webhook_bodies b join gone g using (delivery_id)),
  (select jsonb_build_object('id', g.event_id, 'removed', true) from gone g),
  'WHK-53: of an entry that is gone nothing is told but that'
);

-- retention
update bulwark.webhook_deliveries set status = 'delivered',
  occurred_at = now() - interval '31 days',
  finished_at = now() - interval '31 days', attempt_id = null
where endpoint_id = tests.a() and ordering_key is null;
select is(bulwark.prune_webhook_deliveries(), 2, 'WHK-54: what finished long ago is forgotten');
select bulwark.delete_webhook_endpoint(tests.a());
select ok(bulwark.prune_webhook_deliveries() > 0, 'WHK-54: and what a deleted endpoint leaves');
select is(tests.queued(tests.a()), 0::bigint, 'WHK-54: all of it');

-- security events
select tests.endpoint(
  tests.a(), tests.organization_id('acme'), '{security.*}', minimum_severity => 'error'
);
update bulwark.webhook_endpoint_health set proven = true;
select bulwark.raise_security_event('permission_probing', tests.organization_id('acme'), null, 'x');
select is(
  tests.queued(tests.a()), 0::bigint, 'WHK-55: a security event of medium urgency is a warning'
);
select bulwark.raise_security_event('brute_force', tests.organization_id('acme'), null, 'x');
select bulwark.raise_security_event('brute_force', tests.organization_id('acme'), null, 'x');
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
select bulwark.log_audit_event('data.read', organization_id => tests.organization_id('acme'),
  details => '{"was": null, "is": {"deep": null}}');
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
select lives_ok(
  $$ select bulwark.send_test_webhook(tests.a()) from generate_series(1, 10) $$,
  'WHK-63: an endpoint is sent ten samples in a minute'
);
select is(
  tests.error($$ select bulwark.send_test_webhook(tests.a()) $$),
  'PT429 WEBHOOK_TOO_MANY_TESTS', 'WHK-63: and no more'
);
select tests.act_as('admin@globex.test');
select is(
  tests.error($$ select bulwark.send_test_webhook(tests.a()) $$),
  'PT404 WEBHOOK_UNKNOWN_ENDPOINT', 'WHK-63: none by another organization'
);

-- visibility of contents and responses
select tests.act_as('admin@acme.test');
select bulwark.create_role(
  tests.organization_id('acme'), 'plumber', '{webhook:read,webhook:manage}'
);
select tests.act_as_owner();
select bulwark.grant_role(
  tests.user_id('stranger@bulwark.test'), 'plumber', tests.organization_id('acme')
);
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
select is(
  tests.error('select bulwark.continue_webhook_deliveries(5)'), '42501',
  'WHK-66: and nobody else does'
);

-- a member who may read security events but not the log, and an endpoint that received log entries
select tests.act_as('admin@acme.test');
select bulwark.enable_webhook_endpoint(tests.a());
select bulwark.create_role(
  tests.organization_id('acme'), 'watcher', '{webhook:read,webhook:manage,security:read}'
);
select tests.act_as_owner();
select bulwark.grant_role(
  tests.user_id('viewer@acme.test'), 'watcher', tests.organization_id('acme')
);
select tests.cause('acme');
select tests.act_as('viewer@acme.test');
select lives_ok(
  $$ select bulwark.update_webhook_endpoint(tests.a(),
    subscriptions => '[{"pattern": "security.*"}]') $$,
  'WHK-66: security:read alone allows an endpoint for security events only'
);
select is(
  tests.error($$ select bulwark.set_webhook_destination(tests.a(), 'https://watcher.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)) $$),
  '42501 RBAC_PERMISSION_DENIED',
  'WHK-66: but not move it: what it was told before can be replayed'
);
select tests.act_as('admin@acme.test');
select lives_ok(
  $$ select bulwark.set_webhook_destination(tests.a(), 'https://receiver.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)) $$,
  'WHK-66: with all rights to read its events this is allowed'
);

-- an endpoint that reuses the id of another
select bulwark.delete_webhook_endpoint(tests.a());
select tests.act_as('admin@globex.test');
select is(
  tests.error($$ select tests.endpoint(tests.a(), tests.organization_id('globex'), '{audit.*}') $$),
  '23505 WEBHOOK_ID_TAKEN',
  'WHK-67: nobody takes the id of an endpoint that was deleted, and what waits for it'
);
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
select tests.endpoint(
  gen_random_uuid(), tests.organization_id('acme'), '{audit.*}', ordering => 'resource'
);
select lives_ok(
  $$ insert into public.endless
     select left(string_agg(encode(sha256(n::text::bytea), 'base64'), ''), 2680),
       tests.organization_id('acme') from generate_series(1, 61) n $$,
  'WHK-68: a resource whose name is as long as an index can hold is told of in order too'
);

select * from finish();
rollback;
