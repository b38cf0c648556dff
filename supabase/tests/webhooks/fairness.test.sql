-- Webhooks: shares of accounts, organizations and endpoints, and hanging endpoints.
begin;
set local search_path = bulwark, public, extensions;
select plan(30);
select tests.create_organizations();

-- Endpoints of an organization, each with this many due deliveries.
create function tests.receivers(
  organization uuid, number integer, deliveries integer, proven boolean default true
) returns uuid[] language plpgsql as $$
declare
  v_sealed constant text := 'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120);
  v_ids uuid[];
begin
  v_ids := array(
    select (bulwark.create_webhook_endpoint(
      gen_random_uuid(), organization, 'Receiver', 'https://receiver.example', v_sealed,
      gen_random_uuid(), v_sealed, '[{"pattern": "audit.data.*"}]'
    )).id
    from generate_series(1, number)
  );
  if deliveries = 0 then
    return v_ids;
  end if;
  update bulwark.webhook_endpoint_health h set proven = receivers.proven
  where h.endpoint_id = any (v_ids);
  insert into bulwark.webhook_deliveries
    (endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type)
  select e, organization, gen_random_uuid(), now(), 'audit', 'info', 'audit.data.read'
  from unnest(v_ids) e, generate_series(1, deliveries);
  return v_ids;
end;
$$;
create temporary table claimed (
  delivery_id uuid, attempt_id uuid, endpoint_id uuid, organization_id uuid, account_id uuid
);
create function tests.claim_shares(
  maximum integer default 100, unproven integer default null, accounts uuid[] default '{}'
) returns bigint language plpgsql as $$
begin
  delete from claimed;
  insert into claimed
  select (d ->> 'id')::uuid, (d ->> 'attempt_id')::uuid, e.id, e.organization_id, t.account_id
  from jsonb_array_elements(bulwark.claim_webhook_deliveries(
    'tester', maximum, 60, busy_accounts => accounts, maximum_unproven => unproven
  )::jsonb -> 'deliveries') d
  join bulwark.webhook_endpoints e on e.id = (d ->> 'endpoint_id')::uuid
  join bulwark_private.webhook_turns t on t.endpoint_id = e.id;
  return (select count(*) from claimed);
end;
$$;
create function tests.end_attempts(outcome text, latency integer default 5) returns integer
  language sql as $$
  select bulwark.complete_webhook_deliveries(jsonb_agg(jsonb_build_object(
    'delivery_id', c.delivery_id, 'attempt_id', c.attempt_id, 'outcome', outcome,
    'latency_ms', latency
  ))) from claimed c;
$$;
create function tests.claimed_of(organization uuid) returns bigint language sql as $$
  select count(*) from claimed c where c.organization_id = organization;
$$;
create function tests.pause_of(endpoint uuid) returns integer language sql as $$
  select ceil(extract(epoch from t.held_until - clock_timestamp()))::integer
  from bulwark_private.webhook_turns t where t.endpoint_id = endpoint;
$$;

-- the account behind an endpoint
select tests.act_as('stranger@bulwark.test');
create temporary table mine as
  select o.id from (values ('One', 'mine-one'), ('Two', 'mine-two')) as v (name, slug),
    lateral bulwark.create_organization(v.name, v.slug) o;
grant select on mine to public;
select tests.receivers((select m.id from mine m limit 1), 1, 0);
select tests.act_as_owner();
select is(
  (select t.account_id from bulwark_private.webhook_turns t), tests.user_id(
    'stranger@bulwark.test'
  ),
  'WHK-70: an endpoint counts for the account that made the organization'
);
select tests.act_as('super@bulwark.test');
create temporary table gifts as
  select o.id from (values ('One', 'gift-one'), ('Two', 'gift-two')) as v (name, slug),
    lateral bulwark.create_organization(v.name, v.slug, tests.user_id('viewer@acme.test')) o;
grant select on gifts to public;
select tests.act_as('viewer@acme.test');
select tests.receivers(g.id, 1, 0) from gifts g;
select tests.act_as_owner();
select is(
  (select array_agg(distinct t.account_id) from bulwark_private.webhook_turns t
   join bulwark.webhook_endpoints e on e.id = t.endpoint_id
   where e.organization_id in (select g.id from gifts g)),
  array[tests.user_id('viewer@acme.test')],
  'WHK-70: of one that was made for somebody else, for who makes the endpoint'
);
select tests.act_as('super@bulwark.test');
select tests.receivers(g.id, 1, 0) from gifts g;
select tests.act_as_owner();
select is(
  (select count(distinct t.account_id) from bulwark_private.webhook_turns t
   join bulwark.webhook_endpoints e on e.id = t.endpoint_id
   where e.created_by = tests.user_id('super@bulwark.test')
     and t.account_id = e.organization_id),
  2::bigint, 'WHK-70: and for the organization where that is who makes them for others'
);
delete from bulwark.webhook_endpoints;

-- shares
select tests.receivers(m.id, 25, 5) from mine m;
select tests.receivers(tests.acme(), 1, 50);
select is(tests.claim_shares(20), 20::bigint, 'WHK-71: a claim takes what it may');
select is(
  tests.claimed_of(tests.acme()), 10::bigint,
  'WHK-71: of two accounts each gets half, however many organizations and endpoints one has'
);
select is(
  (select array_agg(tests.claimed_of(m.id)) from mine m), '{5,5}',
  'WHK-71: which the organizations of an account share'
);
select is(
  (select max(n) from (
    select count(*) as n from claimed c where c.organization_id <> tests.acme()
    group by c.endpoint_id) s),
  1::bigint, 'WHK-71: and the endpoints of an organization'
);
select is(
  tests.claim_shares(20, accounts => array[tests.user_id('stranger@bulwark.test')]), 20::bigint,
  'WHK-72: of an account of which a worker has enough it gets no more'
);
select is(
  tests.claimed_of(tests.acme()), 20::bigint, 'WHK-72: and all of the others'
);
select tests.end_attempts('delivered');
delete from bulwark.webhook_deliveries;
delete from bulwark.webhook_endpoints;

-- many accounts of one attacker and one honest account
update bulwark.organizations o set created_by = null where o.id in (select m.id from mine m);
with made as (
  insert into bulwark.organizations (name, slug)
  select 'Bad', 'bad-' || n from generate_series(1, 40) n returning id
)
select tests.receivers(m.id, 2, 5, proven => false) from made m;
select tests.receivers(tests.acme(), 1, 5);
create temporary table honest_new as
  select unnest(tests.receivers(tests.globex(), 1, 5, proven => false)) as id;
select is(
  tests.claim_shares(20, 8), 13::bigint, 'WHK-73: of what is not proven a worker gets what it wants'
);
select is(
  tests.claimed_of(tests.acme()), 5::bigint,
  'WHK-73: after all that is, however many accounts there are'
);
select is(
  (select count(distinct c.account_id) from claimed c
   where c.organization_id <> tests.acme()),
  8::bigint, 'WHK-73: one for each of them'
);
select tests.end_attempts('rejected');
select tests.claim_shares(1000, 1000);
select is(
  (select max(n) from (select count(*) as n from claimed c group by c.endpoint_id) s),
  1::bigint, 'WHK-73: an endpoint that is not proven gets one'
);
select is(
  (select count(*) from claimed c join honest_new h on h.id = c.endpoint_id), 1::bigint,
  'WHK-73: so that each gets it'
);
select is(
  tests.claim_shares(1000, 1000), 0::bigint, 'WHK-73: and no other while that is under way'
);
delete from bulwark.webhook_deliveries;
delete from bulwark.webhook_endpoints;

-- hanging endpoints
create temporary table target as
  select unnest(tests.receivers(tests.acme(), 1, 50)) as id;
select is(tests.claim_shares(5), 5::bigint, 'WHK-74: a proven endpoint gets many at once');
select tests.end_attempts('timed_out');
select is(
  (select row(h.proven, h.consecutive_timeouts)::text
   from bulwark.webhook_endpoint_health h join target t on t.id = h.endpoint_id),
  '(f,1)', 'WHK-74: until it times out: many at once are one timeout'
);
select is(
  (select tests.pause_of(t.id) from target t), 1, 'WHK-75: then it pauses for a second'
);
select is(tests.claim_shares(), 0::bigint, 'WHK-75: and gets nothing meanwhile');
create function tests.attempt(outcome text, latency integer default 5) returns bigint
  language plpgsql as $$
declare
  v_claimed bigint;
begin
  update bulwark_private.webhook_turns set held_until = null;
  v_claimed := tests.claim_shares(5);
  perform tests.end_attempts(outcome, latency);
  return v_claimed;
end;
$$;
select is(tests.attempt('timed_out'), 1::bigint, 'WHK-75: then one attempt');
select is((select tests.pause_of(t.id) from target t), 2, 'WHK-75: and a longer pause');
select tests.attempt('timed_out') from generate_series(1, 10);
select is((select tests.pause_of(t.id) from target t), 60, 'WHK-75: of a minute at most');
select is(
  (select m.material ->> 'timeouts' from bulwark_private.webhook_material m
   join target t on t.id = m.endpoint_id),
  '12', 'WHK-75: a worker learns how often, and waits less'
);
select tests.attempt('rejected', 14000);
select is(
  (select h.consecutive_timeouts from bulwark.webhook_endpoint_health h
   join target t on t.id = h.endpoint_id),
  13::bigint, 'WHK-76: to fail slowly is to hang'
);
select tests.attempt('rejected', 20);
select is(
  (select tests.pause_of(t.id) from target t), null, 'WHK-76: to fail quickly is not'
);
select is(tests.attempt('delivered'), 1::bigint, 'WHK-77: one attempt at a time');
select is(tests.attempt('delivered'), 5::bigint, 'WHK-77: until one arrives');
select tests.attempt('rejected') from generate_series(1, 3);
select is(
  tests.attempt('rejected'), 1::bigint, 'WHK-77: and again after three failures in a row'
);
select tests.attempt('delivered');
select bulwark.set_webhook_destination(t.id, 'https://elsewhere.example',
  'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120)) from target t;
select is(
  tests.attempt('delivered'), 1::bigint, 'WHK-77: and at an address where nothing arrived yet'
);
select ok(
  bulwark_private.setting('rbac.self_service_limit')::text::integer between 1 and 10,
  'WHK-78: one account has few organizations, and few endpoints with them'
);

select * from finish();
rollback;
