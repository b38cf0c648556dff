-- Audit, plain answers: functions that later capabilities of the core replace with their own.
-- No function here is SECURITY DEFINER.

create function bulwark.raise_security_event(
  event_type text,
  organization_id uuid,
  user_id uuid,
  subject text,
  details jsonb default '{}'
)
  returns uuid
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select null::uuid; $$;
comment on function bulwark.raise_security_event(text, uuid, uuid, text, jsonb) is
  'Raises a security event: nothing until security_events is installed.';

create function bulwark_private.restore_problems()
  returns table (problem text, object text, grantee text)
  language sql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
as $$ select null::text, null::text, null::text where false; $$;
comment on function bulwark_private.restore_problems() is
  'The problems that a restore left: unknown until restores is installed.';

create function bulwark_private.mend_restore()
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select; $$;
comment on function bulwark_private.mend_restore() is
  'Repairs what a restore lost or left open: nothing until restores is installed.';
