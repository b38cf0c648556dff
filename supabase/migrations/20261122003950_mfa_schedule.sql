-- MFA schedule: what was begun and not finished, and what is over, goes by itself.
-- Protects nothing by its timeliness: every function that reads these rows checks their time.
-- SECURITY DEFINER: cleanup_mfa, because no role of the API writes these tables.

insert into private.settings (name, value, description) values
  ('mfa.reset_days', '180',
    'How long a reset is kept after it was done, was cancelled or ran out');

create function public.cleanup_mfa()
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes these tables
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from public.mfa_usage_log l
  where l.occurred_at < now() - make_interval(
    days => (private.setting('mfa.usage_log_days'))::integer
  );
  delete from private.mfa_attempts a where a.created_at < now() - interval '2 minutes';
  delete from private.mfa_trusted_devices d where d.expires_at < now();
  delete from public.mfa_secrets f
  where f.activated_at is null and f.created_at < now() - interval '1 hour';
  delete from public.mfa_resets r
  where coalesce(r.completed_at, r.cancelled_at, r.expires_at) < now() - make_interval(
    days => (private.setting('mfa.reset_days'))::integer
  );
end;
$$;
comment on function public.cleanup_mfa() is
  'Removes what has had its time: log rows after mfa.usage_log_days, resets mfa.reset_days after they
   ended, attempts, enrolments that were not finished within an hour, and devices whose trust is
   over.';

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

revoke all on function public.cleanup_mfa(), private.schedule_mfa_jobs()
  from public, anon, authenticated, service_role;
grant execute on function public.cleanup_mfa() to service_role;
