-- MFA schedule: deletes expired and unfinished rows.
-- Security does not depend on it: every function that reads these rows checks their time.
-- SECURITY DEFINER: cleanup_mfa, because no role of the API writes these tables.

insert into bulwark.settings (name, value, description) values
  ('mfa.reset_days', '180',
    'How many days a reset is kept after it was completed, cancelled or expired');

create function bulwark.cleanup_mfa()
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes these tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_free uuid[];
  v_logged_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('mfa.usage_log_days'))::integer
  );
  v_people uuid[];
begin
  -- The accounts are locked first, as everywhere. Locked ones are left for the next run.
  v_people := array(
    select u.id
    from auth.users u
    where u.id in (
      select l.user_id from bulwark.mfa_usage_log l where l.occurred_at < v_logged_before
      union all
      select a.user_id from bulwark_private.mfa_attempts a
      where a.created_at < now() - interval '2 minutes'
      union all
      select d.user_id from bulwark_private.mfa_trusted_devices d where d.expires_at < now()
      union all
      select f.user_id from bulwark.mfa_secrets f
      where f.activated_at is null and f.created_at < now() - interval '1 hour'
    )
    for key share skip locked
  );
  v_free := array(
    select a.user_id from bulwark_private.mfa_accounts a
    where a.user_id = any (v_people)
    for update skip locked
  );
  v_people := array(
    select p from unnest(v_people) as p
    where p = any (v_free)
      or not exists (select from bulwark_private.mfa_accounts a where a.user_id = p)
  );
  delete from bulwark.mfa_usage_log l
  where l.user_id = any (v_people) and l.occurred_at < v_logged_before;
  delete from bulwark_private.mfa_attempts a
  where a.user_id = any (v_people) and a.created_at < now() - interval '2 minutes';
  delete from bulwark_private.mfa_trusted_devices d
  where d.user_id = any (v_people) and d.expires_at < now();
  delete from bulwark.mfa_secrets f
  where f.user_id = any (v_people)
    and f.activated_at is null and f.created_at < now() - interval '1 hour';
  delete from bulwark.mfa_resets r
  where r.id in (
    select o.id from bulwark.mfa_resets o
    where coalesce(o.completed_at, o.cancelled_at, o.expires_at) < now() - make_interval(
      days => (bulwark_private.setting('mfa.reset_days'))::integer
    )
    for update skip locked
  );
end;
$$;
comment on function bulwark.cleanup_mfa() is
  'Deletes log rows after mfa.usage_log_days, resets mfa.reset_days after they ended, attempts after
   two minutes, enrolments that were not finished within an hour, and expired devices.';

insert into bulwark_private.jobs (name, every, command) values
  ('mfa-cleanup', '15 minutes', 'select bulwark.cleanup_mfa()');
