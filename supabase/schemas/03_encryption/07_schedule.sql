-- Encryption schedule: re-encryption goes on with nobody calling.
-- Protects against a rotation that is begun and forgotten.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create function bulwark_private.request_encryption_work()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark_private.reencryptions r where r.state in ('running', 'settling')
  ) then
    return null;
  end if;
  return bulwark_private.request_function('bulwark-encryption/work');
end;
$$;
comment on function bulwark_private.request_encryption_work() is
  'Asks the function encryption by pg_net to go on re-encrypting, where there is something to do:
   returns the request''s id, else null. Errors: SCHEDULER_NOT_CONFIGURED.';

create function bulwark_private.schedule_encryption_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return to_regproc('net.http_post') is not null and bulwark_private.schedule_job(
    'bulwark-encryption-work', '* * * * *', 'select bulwark_private.request_encryption_work()'
  );
end;
$$;
comment on function bulwark_private.schedule_encryption_jobs() is
  'Schedules re-encryption each minute where pg_cron and pg_net are installed; false where they are
   not. Call it again after installing them.';
