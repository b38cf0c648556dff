-- Audit schedule: the jobs that seal, sign and clean up the log without anybody calling.
-- Protects against a log that silently stays unsealed.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_interval_seconds', '1',
    'Interval of seals; call bulwark.schedule_jobs after a change');

insert into bulwark_private.jobs (name, seconds_setting, command) values
  ('audit-seal', 'audit.seal_interval_seconds', 'select bulwark.seal_audit_log()');

insert into bulwark_private.jobs (name, every, command, function_path) values
  (
    'audit-checkpoint', '1 minute',
    $$select bulwark_private.request_function('bulwark-audit/checkpoint')$$,
    'bulwark-audit/checkpoint'
  ),
  ('audit-check', '5 minutes', 'select bulwark.check_audit_log()', null),
  (
    'audit-retention', '10 minutes',
    $$
      select bulwark.cleanup_old_audit_logs(
        (bulwark_private.setting('audit.retention_days'))::integer
      );
      select bulwark.prune_audit_log(keep_days)
      from (
        select (nullif(bulwark_private.setting('audit.keep_days'), 'null'))::integer as keep_days
      ) s
      where keep_days is not null
    $$, null
  );
