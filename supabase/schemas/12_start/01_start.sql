-- Start: what runs with nobody calling begins once everything is there. It stays the last
-- migration.
-- Protects against a job that runs between two migrations: the sealer would take the functions of
-- the later ones for somebody's change and raise a critical alarm.

-- What protects the log, as all migrations left it.
select bulwark.refresh_audit_fingerprints();

select bulwark.schedule_jobs();
