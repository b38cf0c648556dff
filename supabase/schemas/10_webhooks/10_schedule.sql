-- Webhooks schedule: runs deliveries and retention regularly.
-- Protects against an outbox and a delivery log that only grow.
-- SECURITY DEFINER: continue_webhook_deliveries, because the service role may not use Vault and
-- pg_net. pg_cron runs jobs as the role that scheduled them.

insert into bulwark.settings (name, value, description) values
  (
    'webhooks.interval_seconds', '10',
    'Seconds between two deliveries by the scheduler; call bulwark.schedule_jobs after a change'
  ),
  (
    'webhooks.workers', '1',
    'How many workers the scheduler starts each time, each by its own request'
  );

create function bulwark_private.request_webhook_deliveries()
  returns bigint
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- A run polls until the next run starts.
  select count(bulwark_private.request_function(
    format(
      'webhooks/deliver?wait_seconds=%s',
      least((bulwark_private.setting('webhooks.interval_seconds'))::integer, 50)
    ),
    timeout_milliseconds => 60000
  ))
  from generate_series(1, (bulwark_private.setting('webhooks.workers'))::integer);
$$;
comment on function bulwark_private.request_webhook_deliveries() is
  'Calls the function webhooks through pg_net to deliver, once for each worker. Returns the number
   of calls. Errors: SCHEDULER_NOT_CONFIGURED.';

create function bulwark.continue_webhook_deliveries(wait_seconds integer)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because Vault and pg_net are not the service role's
  set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regproc('net.http_post') is null then
    return false;
  end if;
  perform bulwark_private.request_function(
    format('webhooks/deliver?wait_seconds=%s', greatest(0, least(wait_seconds, 50))),
    timeout_milliseconds => 60000
  );
  return true;
end;
$$;
comment on function bulwark.continue_webhook_deliveries(integer) is
  'Starts a follow-up run for the remaining time of one that reached its maximum, so that there are
   never more runs than the scheduler starts (service role only). False without pg_net. Errors:
   SCHEDULER_NOT_CONFIGURED.';

insert into bulwark_private.jobs (
  name, every, seconds_setting, local_every, command, function_path
) values
  (
    'webhooks-deliver', null, 'webhooks.interval_seconds', '1 second',
    'select bulwark_private.request_webhook_deliveries()', 'bulwark-webhooks/deliver'
  ),
  (
    'webhooks-retention', '5 minutes', null, null, 'select bulwark.prune_webhook_deliveries()', null
  );
