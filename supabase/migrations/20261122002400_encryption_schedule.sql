-- Encryption schedule: re-encryption goes on with nobody calling.
-- Protects against a rotation that is begun and forgotten. The secret that the function wants is
-- read from Vault when it is sent, so that no job's text and no run log holds it.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as whoever scheduled them.

create function private.request_encryption_work()
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
  if not exists (
    select from private.reencryptions r where r.state in ('running', 'settling')
  ) then
    return null;
  end if;
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
    raise exception 'Cannot request work: Vault lacks the project''s URL or the secret'
      using errcode = 'object_not_in_prerequisite_state',
            detail = 'ENCRYPTION_SCHEDULER_NOT_CONFIGURED',
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
  using rtrim(v_url, '/') || '/functions/v1/encryption/work',
    jsonb_build_object(
      'content-type', 'application/json', 'authorization', 'Bearer ' || v_secret
    );
  return v_request;
end;
$$;
comment on function private.request_encryption_work() is
  'Asks the function encryption by pg_net to go on re-encrypting, where there is something to do:
   returns the request''s id, else null. Address and secret are those of the audit log''s
   checkpoints. Errors: ENCRYPTION_SCHEDULER_NOT_CONFIGURED.';

create function private.schedule_encryption_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regproc('cron.schedule') is null or to_regproc('net.http_post') is null then
    return false;
  end if;
  perform cron.schedule(
    'bulwark-encryption-work', '* * * * *', 'select private.request_encryption_work()'
  );
  return true;
end;
$$;
comment on function private.schedule_encryption_jobs() is
  'Schedules re-encryption each minute where pg_cron and pg_net are installed; false where they are
   not. Call it again after installing them.';

select private.schedule_encryption_jobs();

revoke all on function private.request_encryption_work(), private.schedule_encryption_jobs()
  from public, anon, authenticated, service_role;
