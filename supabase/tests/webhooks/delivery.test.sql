-- Webhooks: writing the outbox, claims, results, replay, order and retention.
begin;
set local search_path = bulwark, public, extensions;
select plan(50);
select tests.create_organizations();
update bulwark.settings set value = '3' where name = 'webhooks.maximum_attempts';
create temporary table claimed (delivery_id uuid, attempt_id uuid, place bigint, body jsonb);
grant select on claimed to public;

-- the outbox
select tests.webhook_endpoint(
  tests.a(), tests.acme(), '{audit.data.*,audit.data.read}',
  minimum_severity => 'info'
);
select tests.webhook_endpoint(tests.b(), tests.globex(), '{audit.data.delete}');
select tests.webhook_endpoint(tests.e(), null, '{audit.data.read}', every_organization => true);
update bulwark.webhook_endpoint_health set proven = true;
select tests.cause('acme');
select is(got, want, claim)
from (values
  ('WHK-20: an event is queued once, however many patterns it matches',
   tests.queued(tests.a()), 1::bigint),
  ('WHK-21: and never for another organization', tests.queued(tests.b()), 0::bigint),
  ('WHK-22: the installation''s endpoint hears of every organization',
   tests.queued(tests.e()), 1::bigint)
) as t (claim, got, want);
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
select tests.cause('acme');

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
select tests.error_is('WHK-30: a claim takes something', '22023 WEBHOOK_INVALID_CLAIM',
  $$ select bulwark.claim_webhook_deliveries('x', 0) $$);
select tests.error_is('WHK-30: and has a name', '22023 WEBHOOK_INVALID_CLAIM',
  $$ select bulwark.claim_webhook_deliveries(E'a\nb') $$);
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
select tests.error_is(
  'WHK-39: a worker that gives back too late what it did not attempt changes nothing',
  'no error',
  $$ select bulwark.complete_webhook_deliveries(jsonb_agg(jsonb_build_object('delivery_id',
    f.delivery_id, 'attempt_id', f.attempt_id))) from first_claim f $$);
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
select tests.error_is('WHK-42: a foreign dead letter does not exist',
  'PT404 WEBHOOK_UNKNOWN_DELIVERY',
  format($$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c
    limit 1)));
select tests.act_as('admin@acme.test');
select tests.error_is('WHK-42: one''s own is replayed', 'no error',
  format($$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c
    limit 1)));
select tests.error_is('WHK-43: and not twice at once', 'PT409 WEBHOOK_DELIVERY_PENDING',
  format($$ select bulwark.replay_webhook_delivery(%L) $$, (select c.delivery_id from claimed c
    limit 1)));
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
     and s.organization_id = tests.acme()),
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
    tests.b(), tests.globex(), gen_random_uuid(), now(), 'audit', 'info',
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

select * from finish();
rollback;
