-- Encryption schedule: continues re-encryption regularly.
-- Protects against a rotation that is started and never finished.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

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
  'Calls the function encryption through pg_net to continue re-encryption, if there is work. Returns
   the request''s id, else null. Errors: SCHEDULER_NOT_CONFIGURED.';

insert into bulwark_private.jobs (name, every, local_every, command, function_path) values
  (
    'encryption-work', '1 minute', '15 seconds', 'select bulwark_private.request_encryption_work()',
    'bulwark-encryption/work'
  );
