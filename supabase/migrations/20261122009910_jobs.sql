-- Jobs: schedules what runs with nobody calling, once everything is there. It stays the last
-- migration.
-- Protects against a job that runs between two migrations: the sealer would take the functions of
-- the later ones for somebody's change and raise a critical alarm.
-- No function here is SECURITY DEFINER.

-- What protects the log, as all migrations left it.
select private.refresh_audit_guards();

select private.schedule_rbac_jobs(), private.schedule_audit_jobs(),
  private.schedule_encryption_jobs(), private.schedule_security_jobs(),
  private.schedule_mfa_jobs(), private.schedule_rate_limit_jobs(),
  private.schedule_metrics_jobs(), private.schedule_webhook_jobs();
