-- Webhooks levels: deliveries of all organizations together, for metrics.
begin;
set local search_path = bulwark, public, extensions;
select plan(5);
select tests.create_organizations();

create temporary table before (metric text, labels jsonb, value double precision);
create function pg_temp.remember() returns void language sql as $$
  delete from before;
  insert into before select l.metric, l.labels, l.value from bulwark_private.webhook_levels() l;
$$;
create function pg_temp.level(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select l.value from bulwark_private.webhook_levels() l
  where l.metric = level.metric and l.labels = level.labels;
$$;
-- How a level changed since it was remembered.
create function pg_temp.change(metric text, labels jsonb default '{}') returns double precision
  language sql as $$
  select pg_temp.level(metric, labels) - b.value from before b
  where b.metric = change.metric and b.labels = change.labels;
$$;

select pg_temp.remember();
select tests.webhook_endpoint(tests.a(), tests.acme(), '{audit.*}');
select tests.webhook_endpoint(tests.b(), tests.globex(), '{audit.*}', 'endpoint');
select tests.cause('acme'), tests.cause('acme'), tests.cause('globex'), tests.cause('globex');
select is(
  array[
    pg_temp.change('webhook_deliveries', '{"status": "pending"}'),
    pg_temp.change('webhook_deliveries', '{"status": "dead"}')
  ],
  array[4, 0]::double precision[], 'MET-75: deliveries wait, with and without an order'
);
update webhook_deliveries set due_at = now() - interval '10 minutes' where endpoint_id = tests.b();
select cmp_ok(
  abs(pg_temp.level('webhook_delivery_lag') - 600), '<', 5::double precision,
  'MET-76: the oldest that is due says how far behind they are'
);
update webhook_deliveries set status = 'dead', finished_at = now() where endpoint_id = tests.b();
select is(
  array[
    pg_temp.change('webhook_deliveries', '{"status": "pending"}'),
    pg_temp.change('webhook_deliveries', '{"status": "dead"}')
  ],
  array[2, 2]::double precision[], 'MET-77: those that were given up are dead'
);
update webhook_endpoints set disabled_at = now(), disabled_reason = 'failing' where id = tests.a();
select is(
  array[
    pg_temp.change('webhook_deliveries', '{"status": "pending"}'),
    pg_temp.change('webhook_endpoints_disabled', '{"reason": "failing"}')
  ],
  array[0, 1]::double precision[], 'MET-78: nothing waits for an endpoint that is disabled'
);
select tests.webhook_endpoint(tests.e(), null, '{security.*}');
select is(
  pg_temp.level('alerts_silenced', '{"reason": "no_receiver"}'), 0::double precision,
  'MET-79: with an endpoint of the installation no serious event is unheard'
);

select * from finish();
rollback;
