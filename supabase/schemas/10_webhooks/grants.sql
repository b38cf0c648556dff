-- Webhooks: grants. The build revokes everything else.

grant select on
  bulwark.webhook_endpoints,
  bulwark.webhook_subscriptions,
  bulwark.webhook_endpoint_health,
  bulwark.webhook_deliveries,
  bulwark.webhook_attempts
  to authenticated, service_role;

grant execute on function
  bulwark.create_webhook_endpoint(uuid, uuid, text, text, text, uuid, text, jsonb,
    bulwark.webhook_format, bulwark.webhook_ordering, boolean, boolean, boolean),
  bulwark.update_webhook_endpoint(uuid, text, bulwark.webhook_ordering, boolean, boolean, jsonb),
  bulwark.set_webhook_destination(uuid, text, text),
  bulwark.rotate_webhook_secret(uuid, uuid, text, interval),
  bulwark.disable_webhook_endpoint(uuid),
  bulwark.enable_webhook_endpoint(uuid),
  bulwark.delete_webhook_endpoint(uuid),
  bulwark.replay_webhook_delivery(uuid),
  bulwark.replay_webhook_deliveries(
    uuid, timestamptz, timestamptz, bulwark.webhook_delivery_status[]
  ),
  bulwark.send_test_webhook(uuid),
  bulwark.webhook_stats(uuid, timestamptz),
  bulwark.preview_webhook_delivery(uuid, uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.claim_webhook_deliveries(text, integer, integer, uuid, uuid[], uuid[], integer),
  bulwark.complete_webhook_deliveries(jsonb),
  bulwark.prune_webhook_deliveries(integer),
  bulwark.continue_webhook_deliveries(integer)
  to service_role;
