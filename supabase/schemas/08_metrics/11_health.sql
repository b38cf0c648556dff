-- Metrics health: whether scheduled work, seals and checkpoints keep up, measured at the call.
-- Protects against a stopped scheduler, with which the measurements stop too.
-- SECURITY DEFINER: check_health, because the service role reads no table of bulwark_private.

create function bulwark.check_health()
  returns table (name text, healthy boolean, seconds double precision)
  language plpgsql
  stable
  rows 4
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_checkpoint_lag constant double precision := coalesce(
    extract(epoch from now() - bulwark_private.audit_unsigned_since()), 0
  );
  v_checks bulwark_private.audit_check_progress;
  v_measured double precision;
  v_seal_lag double precision;
begin
  perform bulwark.require_permission('system:monitor', null);
  select extract(epoch from now() - max(s.last_at)) into v_measured
  from bulwark_private.metric_series s where s.metric = 'levels_measured';
  select coalesce(extract(epoch from now() - w.since), 0) into v_seal_lag
  from bulwark_private.audit_waiting(1) w;
  select * into v_checks from bulwark_private.audit_check_progress p;
  return query values
    ('jobs', coalesce(v_measured < 180, false), v_measured),
    (
      'seals',
      v_seal_lag <= (bulwark_private.setting('audit.seal_overdue_seconds'))::integer, v_seal_lag
    ),
    (
      'checkpoints', v_checkpoint_lag <= 3 * (
        bulwark_private.setting('audit.checkpoint_interval_seconds')
      )::integer,
      v_checkpoint_lag
    ),
    (
      'verification', not bulwark_private.audit_verification_failed(v_checks),
      extract(epoch from now() - v_checks.checked_at)::double precision
    );
end;
$$;
comment on function bulwark.check_health() is
  'Whether jobs run, entries are sealed, seals are signed and the log verifies, from a few index
   look-ups; seconds: since jobs ran, the oldest entry waits, the oldest seal waits, a part was
   verified. Needs system:monitor. Errors: RBAC_PERMISSION_DENIED.';
