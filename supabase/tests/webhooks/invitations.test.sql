-- Invitations by webhook: the token is in one delivery to one endpoint of the installation, and
-- nowhere else.
begin;
set local search_path = bulwark, public, extensions;
select plan(33);
select tests.create_organizations();
select tests.create_user('new@acme.test');
create temporary table claimed (delivery_id uuid, attempt_id uuid, place bigint, body jsonb);
create temporary table sent (place bigint generated always as identity, id uuid, token text);
grant all on claimed, sent to public;
create function pg_temp.token() returns text language sql stable as
  $$ select c.body #>> '{data,token}' from claimed c order by c.place limit 1 $$;

-- The log is told to other endpoints, whose deliveries are not what is claimed here.
create function pg_temp.claim() returns bigint language plpgsql as $$
begin
  update bulwark.webhook_deliveries set status = 'delivered', finished_at = now()
  where source <> 'invitation';
  return tests.claim();
end;
$$;

-- which endpoints may be told
select tests.act_as('admin@acme.test');
select tests.error_is('WHI-70: no endpoint of an organization gets invitations',
  '22023 WEBHOOK_INVALID_SUBSCRIPTION',
  $$ select tests.webhook_endpoint(gen_random_uuid(), tests.acme(), '{invitation.created}') $$);
select tests.error_is('WHI-71: nor by a pattern', '22023 WEBHOOK_INVALID_SUBSCRIPTION',
  $$ select tests.webhook_endpoint(gen_random_uuid(), tests.acme(), '{invitation.*}') $$);
select tests.error_is('WHI-72: an endpoint of the installation is for a super_admin',
  '42501 RBAC_PERMISSION_DENIED',
  $$ select tests.webhook_endpoint(tests.e(), null, '{invitation.created}') $$);
select tests.act_as_owner();
select tests.webhook_endpoint(tests.a(), tests.acme(), '{*}');
select tests.webhook_endpoint(tests.b(), null, '{*}', every_organization => true);

-- without an endpoint for invitations
select tests.act_as('admin@acme.test');
insert into sent (id, token)
select i.invitation_id, i.token from invite_member(tests.acme(), 'old@acme.test', 'viewer') i;
select ok(
  (select token is not null from sent), 'WHI-73: without an endpoint the sender gets the token'
);

-- with one
select tests.act_as('super@bulwark.test');
select tests.webhook_endpoint(tests.e(), null, '{invitation.created,security.nothing}');
select tests.error_is('WHI-74: a second one is refused', '22023 WEBHOOK_INVALID_SUBSCRIPTION',
  $$ select tests.webhook_endpoint(gen_random_uuid(), null, '{invitation.created}') $$);
select tests.error_is('WHI-75: an endpoint is not moved to them later either',
  '22023 WEBHOOK_INVALID_SUBSCRIPTION',
  $$ select update_webhook_endpoint(tests.b(), subscriptions =>
    '[{"pattern": "invitation.created"}]') $$);
select tests.error_is('WHI-76: its subscriptions may be set again', 'no error',
  $$ select update_webhook_endpoint(tests.e(), subscriptions =>
    '[{"pattern": "invitation.created"}]') $$);
select tests.act_as_owner();
select tests.error_is('WHI-77: a link names the place of the token', '23514',
  $$ update settings set value = '"https://app.example.com/"'
    where name = 'webhooks.invitation_link' $$);
update settings set value = '"https://app.example.com/invitations#token={token}"'
where name = 'webhooks.invitation_link';
update auth.users set raw_user_meta_data = '{"name": "Ada"}' where email = 'admin@acme.test';
select tests.act_as('admin@acme.test');
insert into sent (id, token)
select i.invitation_id, i.token
from invite_member(
  tests.acme(), 'New@acme.test', 'analyst', role_expires_at => now() + interval '9 days'
) i;
select results_eq(
  $$ select place, token is null from sent order by 1 $$,
  $$ values (1::bigint, false), (2, true) $$,
  'WHI-78: with one the sender does not get it'
);
select is_empty(
  $$ select * from bulwark.webhook_deliveries where source = 'invitation' $$,
  'WHI-79: nor sees the delivery'
);
select tests.act_as_owner();
select is_empty(
  $$ select * from bulwark_private.invitation_tokens t
     join sent s on s.id = t.invitation_id where s.place = 2 $$,
  'WHI-80: before it is delivered there is no token at all'
);
select results_eq(
  $$ select endpoint_id, event_type, event_id from bulwark.webhook_deliveries
     where source = 'invitation' $$,
  $$ select tests.e(), 'invitation.created', id from sent where place = 2 $$,
  'WHI-81: there is one delivery, with the id of the invitation'
);

-- the delivery
select pg_temp.claim();
select results_eq(
  $$ select body ->> 'type', body #> '{data,organization}', body #>> '{data,email}',
       body #>> '{data,role}', body #> '{data,invited_by}', body #>> '{data,link}',
       (body #>> '{data,role_expires_at}')::timestamptz - now()
     from claimed $$,
  $$ select 'invitation.created',
       jsonb_build_object('id', tests.acme(), 'name', 'Acme', 'slug', 'acme'), 'new@acme.test',
       'analyst', '{"name": "Ada", "email": "admin@acme.test"}'::jsonb,
       'https://app.example.com/invitations#token=' || pg_temp.token(),
       interval '9 days' $$,
  'WHI-82: it has all that a message needs'
);
select ok(pg_temp.token() ~ '^[A-Za-z0-9_-]{43}$', 'WHI-83: the token is 256 bits of base64url');
select is_empty(
  $$ select a.id from audit_logs a where position(pg_temp.token() in to_jsonb(a)::text) > 0
     union all
     select d.id from bulwark.webhook_deliveries d
     where position(pg_temp.token() in to_jsonb(d)::text) > 0
     union all
     select p.delivery_id from bulwark_private.webhook_payloads p
     where position(pg_temp.token() in p.data::text) > 0
     union all
     select t.invitation_id from bulwark_private.invitation_tokens t
     where position(pg_temp.token() in t::text) > 0 $$,
  'WHI-84: it is neither in the log nor in the outbox nor in a table'
);
select tests.act_as_role('anon');
select is(
  (select organization_name from preview_invitation(pg_temp.token())), 'Acme',
  'WHI-85: the token works'
);

-- a retry and a replay
insert into sent (token) select pg_temp.token();
select tests.act_as_owner();
select is(tests.complete('timed_out'), 1, 'WHI-86: an attempt without an answer');
select tests.make_due();
select pg_temp.claim();
select isnt(
  pg_temp.token(), (select token from sent where place = 3), 'WHI-87: the next has another token'
);
select is_empty(
  $$ select * from preview_invitation((select token from sent where place = 3)) $$,
  'WHI-88: and the first is dead'
);
select tests.complete('delivered', 200);
select tests.act_as('admin@acme.test');
select tests.error_is('WHI-89: nobody but a super_admin replays it',
  'PT404 WEBHOOK_UNKNOWN_DELIVERY',
  $$ select replay_webhook_delivery((select delivery_id from claimed)) $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('WHI-90: a super_admin does', 'no error',
  $$ select replay_webhook_delivery((select delivery_id from claimed)) $$);
select tests.act_as_owner();
insert into sent (token) select pg_temp.token();
select pg_temp.claim();
select results_eq(
  $$ select endpoint_id from bulwark.webhook_deliveries
     where id = (select delivery_id from claimed) $$,
  $$ select tests.e() $$, 'WHI-91: to the same endpoint'
);
select is_empty(
  $$ select * from preview_invitation((select token from sent where place = 4)) $$,
  'WHI-92: with another token again'
);
select tests.act_as('new@acme.test');
select is(
  (select organization_id from accept_invitation(pg_temp.token())), tests.acme(),
  'WHI-93: which the invitee accepts'
);

-- an invitation that ended before its delivery
select tests.act_as_owner();
select tests.complete('delivered', 200);
select tests.act_as('super@bulwark.test');
select replay_webhook_delivery((select delivery_id from claimed));
select tests.act_as_owner();
select pg_temp.claim();
select is(
  (select body -> 'data' from claimed),
  (select jsonb_build_object('id', id, 'removed', true) from sent where place = 2),
  'WHI-94: what was accepted is delivered without anything'
);
select tests.complete('delivered', 200);
select tests.act_as('admin@acme.test');
insert into sent (id, token)
select i.invitation_id, i.token from invite_member(tests.acme(), 'third@acme.test', 'viewer') i;
select revoke_invitation((select id from sent where place = 5));
select tests.act_as_owner();
select pg_temp.claim();
select is(
  (select body #> '{data,removed}' from claimed), 'true'::jsonb,
  'WHI-95: so is what was revoked meanwhile'
);
select is_empty(
  $$ select * from bulwark_private.invitation_tokens t
     join sent s on s.id = t.invitation_id where s.place = 5 $$,
  'WHI-96: and gets no token'
);
select tests.complete('delivered', 200);

-- sending again
select tests.act_as('admin@acme.test');
select is(
  (select token from resend_invitation((select id from sent where place = 1))), null,
  'WHI-97: an invitation that is sent again is a delivery too'
);
select tests.act_as_owner();
select is(
  (select count(*) from bulwark.webhook_deliveries where source = 'invitation'), 3::bigint,
  'WHI-98: one for each'
);

-- a deleted and a disabled endpoint
select disable_webhook_endpoint(tests.e());
select tests.act_as('admin@acme.test');
select is(
  (select token from invite_member(tests.acme(), 'fourth@acme.test', 'viewer')), null,
  'WHI-99: while the endpoint is disabled invitations wait'
);
select tests.act_as_owner();
select is(pg_temp.claim(), 0::bigint, 'WHI-100: and are not delivered');
select delete_webhook_endpoint(tests.e());
select tests.act_as('admin@acme.test');
select isnt(
  (select token from invite_member(tests.acme(), 'fifth@acme.test', 'viewer')), null,
  'WHI-101: without it the sender gets the token again'
);
select tests.act_as_role('anon');
select tests.error_is('WHI-102: nobody asks for a message', '42501',
  $$ select bulwark_private.invitation_message(gen_random_uuid()) $$);

select * from finish();
rollback;
