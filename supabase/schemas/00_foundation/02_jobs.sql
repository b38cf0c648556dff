-- Jobs: scheduled work. pg_cron runs it, and pg_net calls edge functions. The local stack has
-- neither and reads the same table.
-- Protects the scheduler's secret: it is read from Vault when it is sent, so no job text and no run
-- log contains it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

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
  'The scheduled jobs, one row each. Call bulwark.schedule_jobs() after a change.';
comment on column bulwark_private.jobs.seconds_setting is
  'The setting that holds the interval in seconds, for jobs whose interval can be configured.';
comment on column bulwark_private.jobs.local_every is
  'A shorter interval for the local stack; null: the same interval as elsewhere.';
comment on column bulwark_private.jobs.function_path is
  'The edge function that the command calls through pg_net. Without pg_net the job is not scheduled;
   the local stack calls the function itself.';
create index jobs_seconds_setting_idx on bulwark_private.jobs (seconds_setting);
alter table bulwark_private.jobs enable row level security;

create function bulwark_private.crontab(job text, seconds integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    -- pg_cron accepts 1 to 59 seconds since version 1.5, before that only minutes.
    when seconds < 60 and exists (
      select from pg_catalog.pg_extension e
      where e.extname = 'pg_cron'
        and string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] >= '{1,5}'
    ) then format('%s seconds', seconds)
    when seconds < 120 then '* * * * *'
    when seconds < 3600 then format('*/%s * * * *', seconds / 60)
    -- Each job has a minute of its own, so that they do not all run at once.
    when seconds < 86400 then format('%s */%s * * *', m.minute, seconds / 3600)
    else format('%s 3 * * *', m.minute)
  end
  from (select abs(hashtext(job) % 60)) as m (minute);
$$;
comment on function bulwark_private.crontab(text, integer) is
  'An interval in seconds as a pg_cron schedule, rounded down: to seconds if pg_cron supports them,
   minutes, hours or one day.';

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
  'Schedules every job of bulwark_private.jobs with pg_cron, as the calling role (postgres), and
   unschedules other jobs of Bulwark. Jobs that call an edge function need pg_net. Returns false if
   pg_cron is not installed. Call it again after installing either extension or changing an
   interval; repeating it is safe.';

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
  'Deletes the run log of Bulwark''s jobs after a day, because a job that runs each second would
   fill it. Returns how many entries.';

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
  -- Dynamic SQL, so that the migration applies without these extensions.
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
  'Posts to an edge function through pg_net, as the scheduler. Vault holds the URL and the secret as
   bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   SCHEDULER_NOT_CONFIGURED.';
