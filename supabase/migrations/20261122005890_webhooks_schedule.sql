-- Webhooks schedule: deliveries go out with nobody calling.
-- Protects against an outbox that quietly fills. The secret that the function wants is read from
-- Vault when it is sent, so that no job's text and no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create function private.request_webhook_deliveries()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_request bigint;
  v_secret text;
  v_url text;
begin
  -- Dynamic: neither extension has to be there for the migration to apply.
  execute format(
    $query$
      select
        max(s.decrypted_secret) filter (where s.name = 'bulwark_project_url'),
        max(s.decrypted_secret) filter (where s.name = 'bulwark_scheduler_secret')
      from %I.decrypted_secrets s
    $query$,
    'vault'
  )
  into v_url, v_secret;
  if v_url is null or v_secret is null then
    raise exception 'Cannot request deliveries: Vault lacks the project''s URL or the secret'
      using errcode = 'object_not_in_prerequisite_state',
            detail = 'WEBHOOK_SCHEDULER_NOT_CONFIGURED',
            hint = 'Create the secrets bulwark_project_url and bulwark_scheduler_secret';
  end if;
  execute format(
    $query$
      select %I.http_post(
        url => $1, body => '{}'::jsonb, headers => $2, timeout_milliseconds => 60000
      )
    $query$,
    'net'
  )
  into v_request
  -- The run looks again and again until the next one takes over.
  using format(
      '%s/functions/v1/webhooks/deliver?wait_seconds=%s', rtrim(v_url, '/'),
      least((private.setting('webhooks.interval_seconds'))::integer, 50)
    ),
    jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || v_secret
    );
  return v_request;
end;
$$;
comment on function private.request_webhook_deliveries() is
  'Asks the function webhooks by pg_net to deliver what is due, with the address and the secret that
   Vault holds as bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id.
   Errors: WEBHOOK_SCHEDULER_NOT_CONFIGURED.';

insert into private.settings (name, value, description) values
  (
    'webhooks.interval_seconds', '10',
    'How often the scheduler has deliveries made; call private.schedule_webhook_jobs after a change'
  );

create function private.schedule_webhook_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_seconds integer := (private.setting('webhooks.interval_seconds'))::integer;
  v_version integer[];
begin
  select string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] into v_version
  from pg_catalog.pg_extension e where e.extname = 'pg_cron';
  if not found then
    return false;
  end if;
  perform cron.schedule(
    'bulwark-webhooks-prune', '41 * * * *', 'select public.prune_webhook_deliveries()'
  );
  if to_regproc('net.http_post') is not null then
    perform cron.schedule(
      'bulwark-webhooks-deliver',
      case
        when v_version >= '{1,5}' and v_seconds < 60 then v_seconds || ' seconds'
        else '* * * * *'
      end,
      'select private.request_webhook_deliveries()'
    );
  end if;
  return true;
end;
$$;
comment on function private.schedule_webhook_jobs() is
  'Schedules the pruning of the delivery log where pg_cron is installed, and deliveries where pg_net
   is as well; false where it is not. Call it again after installing either or changing the interval.';

select private.schedule_webhook_jobs();

revoke all on function private.request_webhook_deliveries(), private.schedule_webhook_jobs()
  from public, anon, authenticated, service_role;
