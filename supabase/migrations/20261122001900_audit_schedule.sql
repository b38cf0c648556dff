-- Audit schedule: what keeps the log sealed, signed and within its retention with nobody calling.
-- Protects against a log that quietly stays unsealed. The secret that the function wants is read
-- from Vault when it is sent, so that no job's text and no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

insert into private.settings (name, value, description) values
  ('audit.seal_interval_seconds', '1', 'How often the log is sealed, where the scheduler can');

create function private.request_audit_checkpoint()
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
    raise exception 'Cannot request checkpoint: Vault lacks the project''s URL or the secret'
      using errcode = 'object_not_in_prerequisite_state',
            detail = 'AUDIT_SCHEDULER_NOT_CONFIGURED',
            hint = 'Create the secrets bulwark_project_url and bulwark_scheduler_secret';
  end if;
  execute format(
    $query$
      select %I.http_post(
        url => $1, body => '{}'::jsonb, headers => $2, timeout_milliseconds => 20000
      )
    $query$,
    'net'
  )
  into v_request
  using rtrim(v_url, '/') || '/functions/v1/audit/checkpoint',
    jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || v_secret
    );
  return v_request;
end;
$$;
comment on function private.request_audit_checkpoint() is
  'Asks the function audit for a checkpoint by pg_net, with the address and the secret that Vault
   holds as bulwark_project_url and bulwark_scheduler_secret. Returns the request''s id. Errors:
   AUDIT_SCHEDULER_NOT_CONFIGURED.';

create function private.schedule_audit_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_seconds integer := (private.setting('audit.seal_interval_seconds'))::integer;
  v_version integer[];
begin
  select string_to_array(substring(e.extversion from '^[0-9.]+'), '.')::integer[] into v_version
  from pg_catalog.pg_extension e where e.extname = 'pg_cron';
  if not found then
    return false;
  end if;
  perform cron.schedule(
    'bulwark-audit-seal',
    case
      when v_version >= '{1,5}' and v_seconds < 60 then v_seconds || ' seconds'
      else '* * * * *'
    end,
    'select public.seal_audit_log()'
  );
  perform cron.schedule(
    'bulwark-audit-retention', '*/10 * * * *',
    $job$
      select public.cleanup_old_audit_logs((private.setting('audit.retention_days'))::integer);
      select public.prune_audit_log(keep_days)
      from (select (nullif(private.setting('audit.keep_days'), 'null'))::integer as keep_days) s
      where keep_days is not null
    $job$
  );
  perform cron.schedule(
    'bulwark-audit-check', '*/5 * * * *', 'select public.check_audit_log()'
  );
  if to_regproc('net.http_post') is not null then
    perform cron.schedule(
      'bulwark-audit-checkpoint', '* * * * *', 'select private.request_audit_checkpoint()'
    );
  end if;
  -- A job that runs each second fills the scheduler's log within days.
  perform cron.schedule(
    'bulwark-audit-run-log', '23 * * * *',
    $job$
      delete from cron.job_run_details d
      using cron.job j
      where j.jobid = d.jobid
        and j.jobname like 'bulwark-%'
        and d.end_time < now() - interval '1 day'
    $job$
  );
  return true;
end;
$$;
comment on function private.schedule_audit_jobs() is
  'Schedules sealing, retention, verification and the scheduler''s own cleaning where pg_cron is
   installed, and checkpoints where pg_net is as well; false where it is not. Call it again after
   installing either or changing the interval.';

select private.schedule_audit_jobs();

-- The guards were set up before all functions were there.
update private.audit_guards g set fingerprint = private.audit_fingerprint(g.relation)
where g.fingerprint <> private.audit_fingerprint(g.relation);

revoke all on function private.request_audit_checkpoint(), private.schedule_audit_jobs()
  from public, anon, authenticated, service_role;
