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

insert into bulwark_private.jobs (name, every, local_every, command, function_path) values
  (
    'encryption-work', '1 minute', '15 seconds', 'select bulwark_private.request_encryption_work()',
    'bulwark-encryption/work'
  );
