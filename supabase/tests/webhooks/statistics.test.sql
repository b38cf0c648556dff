-- How deliveries go, and what an endpoint would get for an event.
begin;
set local search_path = bulwark, public, extensions;
select plan(29);
select tests.create_organizations();
create temporary table claimed (delivery_id uuid, attempt_id uuid, n bigint, body jsonb);
grant all on claimed to public;
select tests.webhook_endpoint(tests.a(), tests.acme(), '{audit.data.*}',
  minimum_severity => 'info');
select tests.webhook_endpoint(tests.b(), tests.globex(), '{*}', include_details => true);
select tests.webhook_endpoint(tests.e(), null, '{*}', every_organization => true);
create temporary table event as
  select tests.cause('acme') as acme, tests.cause('globex') as globex,
    raise_security_event('breach_attempt', tests.acme(), null, 'preview') as security;
grant select on event to public;
select tests.claim();
select tests.complete('delivered', 200);
select tests.cause('acme');
create temporary table before as select count(*) as deliveries from webhook_deliveries;
grant select on before to public;

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select endpoint_id, name, state, pending, delivered, dead, attempts, p50_ms, p95_ms,
       oldest_pending_at is not null, last_delivered_at is not null
     from webhook_stats(tests.acme()) $$,
  $$ values (tests.a(), 'Receiver', 'enabled', 1::bigint, 1::bigint, 0::bigint, 1::bigint,
       5::double precision, 5::double precision, true, true) $$,
  'WHS-01: the endpoints of an organization, with counts and latencies'
);
select results_eq(
  $$ select delivered, p50_ms from webhook_stats(tests.acme(), now() + interval '1 hour') $$,
  $$ values (0::bigint, null::double precision) $$, 'WHS-02: of a range of time'
);
select tests.error_is('WHS-03: another organization is closed', '42501 RBAC_PERMISSION_DENIED',
  'select * from webhook_stats(tests.globex())');
select tests.error_is('WHS-03: and so is the installation', '42501 RBAC_PERMISSION_DENIED',
  'select * from webhook_stats()');
create function pg_temp.preview(endpoint uuid, event uuid) returns jsonb language sql as $$
  select preview_webhook_delivery(endpoint, event);
$$;
select is(
  (select p - 'event' from event, pg_temp.preview(tests.a(), acme) as p),
  '{"subscribed": true, "enabled": true, "format": "json"}',
  'WHS-04: an endpoint gets what it subscribed to'
);
select is(
  (select p -> 'event' from event, pg_temp.preview(tests.a(), acme) as p),
  (select body from claimed, event where body #>> '{data,id}' = acme::text limit 1),
  'WHS-05: the preview is what was delivered'
);
select is(
  (select p #> '{event,data}' ?| '{details,ip}' from event, pg_temp.preview(tests.a(), acme) as p),
  false, 'WHS-06: without details where the endpoint gets none'
);
select is(
  (select array[p ->> 'subscribed', p #>> '{event,type}', p #>> '{event,data,subject}',
     p #>> '{event,severity}']
   from event, pg_temp.preview(tests.a(), security) as p),
  '{false,security.breach_attempt,preview,critical}',
  'WHS-07: an event that no subscription matches is shown, and that it is not sent'
);
select is(
  (select p::text ~ 'bw1\.|receiver\.example' from event, pg_temp.preview(tests.a(), acme) as p),
  false, 'WHS-08: no address and no secret is in it'
);
select tests.error_is('WHS-09: ' || claim, 'PT404 ' || code,
  format('select preview_webhook_delivery(%L, %L)', endpoint, id))
from event, lateral (values
  ('a foreign event is none', 'WEBHOOK_UNKNOWN_EVENT', tests.a(), globex),
  ('nor is one that does not exist', 'WEBHOOK_UNKNOWN_EVENT', tests.a(), gen_random_uuid()),
  ('or null', 'WEBHOOK_UNKNOWN_EVENT', tests.a(), null),
  ('a foreign endpoint is none', 'WEBHOOK_UNKNOWN_ENDPOINT', tests.b(), acme),
  ('not even for its own event', 'WEBHOOK_UNKNOWN_ENDPOINT', tests.b(), globex),
  ('nor is the installation''s', 'WEBHOOK_UNKNOWN_ENDPOINT', tests.e(), acme),
  ('and one that does not exist', 'WEBHOOK_UNKNOWN_ENDPOINT', gen_random_uuid(), acme)
) as c (claim, code, endpoint, id);
select tests.act_as_owner();
select is(
  (select count(*) from webhook_deliveries), (select deliveries from before),
  'WHS-10: nothing is sent or kept'
);

-- who may read webhooks, but not events
select create_role(tests.acme(), 'watcher', '{webhook:read}');
select grant_role(tests.user_id('api_user@acme.test'), 'watcher', tests.acme());
select tests.act_as('api_user@acme.test');
select tests.error_is('WHS-11: counts need webhook:read alone', 'no error',
  'select * from webhook_stats(tests.acme())');
select tests.error_is('WHS-12: a preview the right to read the event',
  '42501 RBAC_PERMISSION_DENIED',
  (select format('select preview_webhook_delivery(%L, %L)', tests.a(), acme) from event));
select tests.error_is('WHS-12: whatever it is', '42501 RBAC_PERMISSION_DENIED',
  (select format('select preview_webhook_delivery(%L, %L)', tests.a(), security) from event));
select tests.act_as('viewer@acme.test');
select tests.error_is('WHS-13: a viewer sees no counts', '42501 RBAC_PERMISSION_DENIED',
  'select * from webhook_stats(tests.acme())');
select tests.error_is('WHS-13: and no endpoint', 'PT404 WEBHOOK_UNKNOWN_ENDPOINT',
  (select format('select preview_webhook_delivery(%L, %L)', tests.a(), acme) from event));

-- acting as the administrator of globex, whose endpoint gets details
select tests.act_as('admin@globex.test');
select is(
  (select p #> '{event,data,details}' from event, pg_temp.preview(tests.b(), globex) as p),
  '{"why": "because"}', 'WHS-14: an endpoint that gets details gets them'
);

-- acting as a super_admin
select tests.act_as('super@bulwark.test');
select is(
  (select array_agg(s.endpoint_id) from webhook_stats() s where s.name = 'Receiver'),
  array[tests.e()], 'WHS-15: a super_admin sees the installation''s'
);
select is(
  (select p ->> 'subscribed' from event, pg_temp.preview(tests.e(), globex) as p),
  'true', 'WHS-16: whose endpoints hear of every organization'
);

-- a disabled endpoint, and MFA
select tests.act_as_owner();
update webhook_endpoints set disabled_at = now(), disabled_reason = 'manual' where id = tests.a();
select tests.act_as('admin@acme.test');
select is(
  (select p ->> 'enabled' from event, pg_temp.preview(tests.a(), acme) as p),
  'false', 'WHS-17: a disabled endpoint says so'
);
select is(
  (select state from webhook_stats(tests.acme())), 'manual', 'WHS-17: and why, among the counts'
);
select tests.act_as_owner();
insert into mfa_policies (organization_id, required_from) values (tests.acme(), now());
select tests.act_as('admin@acme.test');
select tests.error_is('WHS-18: where MFA is required, counts need it', '42501 MFA_REQUIRED',
  'select * from webhook_stats(tests.acme())');
select tests.error_is('WHS-18: and previews', '42501 MFA_REQUIRED',
  (select format('select preview_webhook_delivery(%L, %L)', tests.a(), acme) from event));
select * from finish();
rollback;
