-- Built by npm run build from supabase/schemas/12_start: edit the sources, not this file.

-- Start: schedules the jobs once everything is there. It stays the last migration.
-- Protects against a job that runs between two migrations: the sealer would take functions of the
-- later ones for tampering and raise a critical alarm.

-- The state of the protections after all migrations is the expected one.
select bulwark.refresh_audit_fingerprints();

select bulwark.schedule_jobs();

