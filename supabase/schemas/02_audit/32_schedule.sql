-- Audit schedule: what keeps the log sealed, signed and within its retention with nobody calling.
-- Protects against a log that quietly stays unsealed.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_interval_seconds', '1', 'How often the log is sealed, where the scheduler can');

create function bulwark_private.schedule_audit_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regproc('net.http_post') is not null then
    perform bulwark_private.schedule_job(
      'bulwark-audit-checkpoint', '* * * * *',
      $job$select bulwark_private.request_function('bulwark-audit/checkpoint')$job$
    );
  end if;
  perform bulwark_private.schedule_job(
    'bulwark-audit-seal',
    format('%s seconds', bulwark_private.setting('audit.seal_interval_seconds')),
    'select bulwark.seal_audit_log()'
  );
  perform bulwark_private.schedule_job(
    'bulwark-audit-retention', '*/10 * * * *',
    $job$
      select bulwark.cleanup_old_audit_logs(
        (bulwark_private.setting('audit.retention_days'))::integer
      );
      select bulwark.prune_audit_log(keep_days)
      from (
        select (nullif(bulwark_private.setting('audit.keep_days'), 'null'))::integer as keep_days
      ) s
      where keep_days is not null
    $job$
  );
  perform bulwark_private.schedule_job(
    'bulwark-audit-check', '*/5 * * * *', 'select bulwark.check_audit_log()'
  );
  -- A job that runs each second fills the scheduler's log within days.
  return bulwark_private.schedule_job(
    'bulwark-audit-run-log', '23 * * * *',
    $job$
      delete from cron.job_run_details d
      using cron.job j
      where j.jobid = d.jobid
        and j.jobname like 'bulwark-%'
        and d.end_time < now() - interval '1 day'
    $job$
  );
end;
$$;
comment on function bulwark_private.schedule_audit_jobs() is
  'Schedules sealing, retention, verification and the scheduler''s own cleaning where pg_cron is
   installed, and checkpoints where pg_net is as well; false where it is not. Call it again after
   installing either or changing the interval.';
