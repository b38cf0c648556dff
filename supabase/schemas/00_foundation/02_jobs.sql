-- Jobs: what runs with nobody calling, by pg_cron and, where it needs a function, by pg_net. The
-- local stack, which has neither, reads the same table.
-- Protects the scheduler's secret: it is read from Vault when it is sent, so that no job's text and
-- no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create table bulwark_private.jobs (
  name text primary key check (name ~ '^[a-z]+(-[a-z]+)*$'),
  every interval check (every between '1 second' and '1 day'),
  seconds_setting text references bulwark.settings (name),
  local_every interval check (local_every between '1 second' and '1 day'),
  command text not null,
  function_path text,
  check (num_nonnulls(every, seconds_setting) = 1)
);
comment on table bulwark_private.jobs is
  'What runs with nobody calling, one row each. After a change: bulwark.schedule_jobs().';
comment on column bulwark_private.jobs.seconds_setting is
  'The setting that says how often, in seconds, where that can be chosen.';
comment on column bulwark_private.jobs.local_every is
  'How often in the local stack, where nobody likes to wait; null: as often as anywhere.';
comment on column bulwark_private.jobs.function_path is
  'The edge function that the command asks by pg_net: without pg_net the job is not scheduled, and
   the local stack asks the function itself.';
create index jobs_seconds_setting_idx on bulwark_private.jobs (seconds_setting);
alter table bulwark_private.jobs enable row level security;

create function bulwark_private.crontab(job text, seconds integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    -- pg_cron takes 1 to 59 seconds since version 1.5, and before that minutes alone.
    when seconds < 60 and exists (
      select from pg_catalog.pg_extension e
      where e.extname = 'pg_cron'
        and string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
    ) then format('%s seconds', seconds)
    when seconds < 120 then '* * * * *'
    when seconds < 3600 then format('*/%s * * * *', seconds / 60)
    -- Not everything at once: a minute of its own for each.
    when seconds < 86400 then format('%s */%s * * *', m.minute, seconds / 3600)
    else format('%s 3 * * *', m.minute)
  end
  from (select abs(hashtext(job) % 60)) as m (minute);
$$;
comment on function bulwark_private.crontab(text, integer) is
  'About every so many seconds, as pg_cron wants it: seconds where it can, whole minutes, whole
   hours or once a day.';

create function bulwark.schedule_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    return false;
  end if;
  perform cron.unschedule(j.jobid)
  from cron.job j
  where j.jobname like 'bulwark-%' and j.username = current_user
    and not exists (
      select from bulwark_private.jobs b
      where 'bulwark-' || b.name = j.jobname
        and (b.function_path is null or to_regproc('net.http_post') is not null)
    );
  perform cron.schedule(
    'bulwark-' || b.name,
    bulwark_private.crontab(b.name, coalesce(
      extract(epoch from b.every)::integer,
      (bulwark_private.setting(b.seconds_setting))::integer
    )),
    b.command
  )
  from bulwark_private.jobs b
  where b.function_path is null or to_regproc('net.http_post') is not null;
  return true;
end;
$$;
comment on function bulwark.schedule_jobs() is
  'Has pg_cron run every job of bulwark_private.jobs, as whoever calls this (postgres), and no other
   of Bulwark''s: those that ask an edge function only where pg_net is installed. False where
   pg_cron is not. Call it again after installing either and after changing how often a job runs; it
   may be repeated.';

create function bulwark_private.cleanup_job_log()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_deleted bigint;
begin
  if to_regclass('cron.job_run_details') is null then
    return 0;
  end if;
  delete from cron.job_run_details d
  using cron.job j
  where j.jobid = d.jobid
    and j.jobname like 'bulwark-%'
    and d.end_time < now() - interval '1 day';
  get diagnostics v_deleted = row_count;
  return v_deleted;
end;
$$;
comment on function bulwark_private.cleanup_job_log() is
  'Removes the entries of the scheduler''s log about our jobs that are older than a day: a job that
   runs each second fills it within days.';

insert into bulwark_private.jobs (name, every, command) values
  ('job-log', '1 hour', 'select bulwark_private.cleanup_job_log()');

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
