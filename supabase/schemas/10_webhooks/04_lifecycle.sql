-- Webhooks lifecycle: moving, disabling, enabling and deleting endpoints, and rotating secrets.
-- Protects against a member who may manage an endpoint but not read its events, and redirects them
-- to themselves. Rotating a secret loses no delivery.
-- SECURITY DEFINER: all of bulwark, because no client writes the tables.

create function bulwark_private.reset_webhook_health(endpoint_id uuid)
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  update bulwark.webhook_endpoint_health h
  set proven = false, consecutive_failures = 0, consecutive_timeouts = 0, failing_since = null
  where h.endpoint_id = reset_webhook_health.endpoint_id;
  update bulwark_private.webhook_turns t set held_until = null
  where t.endpoint_id = reset_webhook_health.endpoint_id;
$$;
comment on function bulwark_private.reset_webhook_health(uuid) is
  'Resets the health of an endpoint: it has another address, or somebody says that it is fixed.';

create function bulwark.set_webhook_destination(
  endpoint_id uuid,
  origin text,
  destination text
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, true);
  update bulwark.webhook_endpoints e set origin = set_webhook_destination.origin
  where e.id = set_webhook_destination.endpoint_id;
  update bulwark_private.webhook_destinations d set ciphertext = destination
  where d.endpoint_id = set_webhook_destination.endpoint_id;
  perform bulwark_private.reset_webhook_health(endpoint_id);
end;
$$;
comment on function bulwark.set_webhook_destination(uuid, text, text) is
  'Moves an endpoint to another address (webhook:manage, and the right to read its events); called
   by the function webhooks. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.rotate_webhook_secret(
  endpoint_id uuid,
  secret_id uuid,
  secret text,
  overlap interval default '24 hours'
)
  returns timestamptz
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints := bulwark_private.take_webhook_endpoint(endpoint_id, false);
  v_until timestamptz;
begin
  if not bulwark_private.lasts_up_to(overlap, '7 days') then
    raise exception 'Cannot rotate the secret: the overlap is not between 0 and 7 days'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_OVERLAP';
  end if;
  v_until := clock_timestamp() + overlap;
  delete from bulwark_private.webhook_secrets s
  where s.endpoint_id = rotate_webhook_secret.endpoint_id and s.expires_at <= clock_timestamp();
  if (
    select count(*) from bulwark_private.webhook_secrets s
    where s.endpoint_id = rotate_webhook_secret.endpoint_id
  ) >= 5 then
    raise exception 'Cannot rotate the secret: five secrets are valid already'
      using errcode = 'PT409', detail = 'WEBHOOK_TOO_MANY_SECRETS',
            hint = 'Wait until one has expired';
  end if;
  -- Never extends the overlap of an earlier rotation.
  update bulwark_private.webhook_secrets s set expires_at = v_until
  where s.endpoint_id = rotate_webhook_secret.endpoint_id
    and (s.expires_at is null or s.expires_at > v_until);
  insert into bulwark_private.webhook_secrets (id, endpoint_id, organization_id, ciphertext)
  values (secret_id, v_endpoint.id, v_endpoint.organization_id, secret);
  return v_until;
end;
$$;
comment on function bulwark.rotate_webhook_secret(uuid, uuid, text, interval) is
  'Gives an endpoint a new secret and returns until when the previous one signs too (0 to 7 days,
   default 24 hours). Needs webhook:manage; called by the function webhooks. Errors:
   WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_INVALID_OVERLAP, WEBHOOK_TOO_MANY_SECRETS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.disable_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, false);
  update bulwark.webhook_endpoints e set disabled_at = now(), disabled_reason = 'manual'
  where e.id = endpoint_id and e.disabled_at is null;
end;
$$;
comment on function bulwark.disable_webhook_endpoint(uuid) is
  'Disables an endpoint (webhook:manage). New events are not queued for it; pending deliveries wait.
   Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.enable_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, true);
  update bulwark.webhook_endpoints e set disabled_at = null, disabled_reason = null
  where e.id = enable_webhook_endpoint.endpoint_id;
  perform bulwark_private.reset_webhook_health(endpoint_id);
end;
$$;
comment on function bulwark.enable_webhook_endpoint(uuid) is
  'Enables an endpoint (webhook:manage, and the right to read its events). Pending deliveries go
   out. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';

create function bulwark.delete_webhook_endpoint(endpoint_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.take_webhook_endpoint(endpoint_id, false);
  delete from bulwark.webhook_endpoints e where e.id = endpoint_id;
end;
$$;
comment on function bulwark.delete_webhook_endpoint(uuid) is
  'Deletes an endpoint with its address and secrets (webhook:manage). Pending deliveries are
   dropped. Errors: WEBHOOK_UNKNOWN_ENDPOINT, RBAC_PERMISSION_DENIED.';
