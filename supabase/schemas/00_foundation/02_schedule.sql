-- Schedules: what runs with nobody calling, by pg_cron and, where it needs a function, by pg_net.
-- Protects the scheduler's secret: it is read from Vault when it is sent, so that no job's text and
-- no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

-- Both extensions are optional: a project without them calls the same functions from elsewhere.
create function bulwark_private.schedule_job(name text, schedule text, command text)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_seconds constant integer := (substring(schedule from '^([0-9]+) seconds$'))::integer;
  v_version integer[];
begin
  select string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] into v_version
  from pg_catalog.pg_extension e where e.extname = 'pg_cron';
  if not found then
    return false;
  end if;
  perform cron.schedule(
    name,
    -- It takes 1 to 59 seconds, and before 1.5 minutes alone.
    case
      when v_seconds > 59 or v_seconds is not null and v_version < '{1,5}' then '* * * * *'
      else schedule
    end,
    command
  );
  return true;
end;
$$;
comment on function bulwark_private.schedule_job(text, text, text) is
  'Has pg_cron run a command, as whoever calls this, on a schedule (crontab, or ''n seconds'', which
   is each minute where it cannot be had); false where pg_cron is not installed.';

create function bulwark_private.request_function(
  path text, timeout_milliseconds integer default 20000
)
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
    raise exception 'Cannot call the function: Vault lacks the project''s URL or the secret'
      using errcode = 'object_not_in_prerequisite_state',
            detail = 'SCHEDULER_NOT_CONFIGURED',
            hint = 'Create the secrets bulwark_project_url and bulwark_scheduler_secret';
  end if;
  execute format(
    $query$
      select %I.http_post(
        url => $1, body => '{}'::jsonb, headers => $2, timeout_milliseconds => $3
      )
    $query$,
    'net'
  )
  into v_request
  using rtrim(v_url, '/') || '/functions/v1/' || path,
    jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || v_secret
    ),
    timeout_milliseconds;
  return v_request;
end;
$$;
comment on function bulwark_private.request_function(text, integer) is
  'Posts to an edge function by pg_net, as the scheduler, with the address and the secret that Vault
   holds as bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   SCHEDULER_NOT_CONFIGURED.';
