-- Jobs: schedules what runs with nobody calling, once everything is there. It stays the last
-- migration.
-- Protects against a job that runs between two migrations: the sealer would take the functions of
-- the later ones for somebody's change and raise a critical alarm.
-- No function here is SECURITY DEFINER.

-- What protects the log, as all migrations left it.
select bulwark.refresh_audit_guards();

select bulwark_private.schedule_rbac_jobs(), bulwark_private.schedule_audit_jobs(),
  bulwark_private.schedule_encryption_jobs(), bulwark_private.schedule_security_jobs(),
  bulwark_private.schedule_mfa_jobs(), bulwark_private.schedule_rate_limit_jobs(),
  bulwark_private.schedule_metrics_jobs(), bulwark_private.schedule_webhook_jobs();
