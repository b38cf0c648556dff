-- Helpers for webhooks: endpoints, events, claims and results. This file commits, like the other
-- helpers.
begin;
set local search_path = bulwark, public, extensions;
create schema if not exists tests;
-- They call helpers of other files and use the temporary table claimed of a test.
set local check_function_bodies = off;

create or replace function tests.webhook_endpoint(
  id uuid, organization_id uuid, patterns text[], ordering bulwark.webhook_ordering default 'none',
  every_organization boolean default false, minimum_severity text default 'debug',
  include_details boolean default false
)
  returns uuid language sql as $$
  select e.id from bulwark.create_webhook_endpoint(
    webhook_endpoint.id, webhook_endpoint.organization_id, 'Receiver', 'https://receiver.example',
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120), gen_random_uuid(),
    'bw1.a256gcm.' || repeat('A', 22) || '.' || repeat('B', 120),
    (select jsonb_agg(jsonb_build_object('pattern', p, 'minimum_severity', minimum_severity))
     from unnest(patterns) p),
    ordering => webhook_endpoint.ordering,
    every_organization => webhook_endpoint.every_organization,
    include_details => webhook_endpoint.include_details
  ) e;
$$;
create or replace function tests.a() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000a'::uuid $$;
create or replace function tests.b() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000b'::uuid $$;
create or replace function tests.e() returns uuid
  language sql as $$ select '00000000-0000-4000-8000-00000000000e'::uuid $$;
-- An event, and its delivery as the sealer makes it, which a test's own transaction cannot run.
create or replace function tests.cause(
  organization text, severity bulwark.audit_severity default 'info', resource text default 'r'
) returns uuid language plpgsql as $$
declare
  v_id constant uuid := bulwark.log_audit_event(
    'data.read', 'look', tests.organization_id(organization), 'public.reports', resource,
    severity => cause.severity, details => '{"why": "because"}'
  );
begin
  perform bulwark_private.queue_webhooks(array[v_id]);
  return v_id;
end;
$$;
create or replace function tests.queued(endpoint uuid) returns bigint language sql as $$
  select count(*) from bulwark.webhook_deliveries d where d.endpoint_id = endpoint;
$$;
-- Claims as the service role does, into the temporary table claimed.
create or replace function tests.claim(maximum integer default 100)
  returns bigint language plpgsql as $$
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
create or replace function tests.complete(outcome text, status integer default null)
  returns integer language sql as $$
  select bulwark.complete_webhook_deliveries(jsonb_agg(jsonb_build_object(
    'delivery_id', c.delivery_id, 'attempt_id', c.attempt_id, 'outcome', outcome, 'status', status,
    'latency_ms', 5, 'response', repeat('x', 2000)
  ))) from claimed c;
$$;
create or replace function tests.make_due() returns void language sql as $$
  update bulwark.webhook_deliveries set due_at = clock_timestamp() - interval '1 second'
  where status = 'pending';
  update bulwark_private.webhook_turns set held_until = null;
$$;
grant execute on all functions in schema tests to public;

select plan(1);
select is(tests.queued(tests.a()), 0::bigint, 'HELP-05: without endpoints nothing is queued');
select * from finish();
commit;
