-- MFA schedule: what was begun and not finished, and what is over, goes by itself.
-- Protects nothing by its timeliness: every function that reads these rows checks their time.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create function private.schedule_mfa_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return private.schedule_job(
    'bulwark-mfa-cleanup', '*/15 * * * *', 'select public.cleanup_mfa()'
  );
end;
$$;
comment on function private.schedule_mfa_jobs() is
  'Schedules cleanup_mfa where pg_cron is installed; false where it is not. Call it again after
   installing it.';

revoke all on function private.schedule_mfa_jobs() from public, anon, authenticated, service_role;
