-- Start: accepts the state after the migrations as the expected one, and schedules the jobs once
-- everything is there. It is the last migration, and follows each capability that is added later.
-- Protects against a job that runs between two migrations: the sealer would take functions of the
-- later ones for tampering and raise a critical alarm.

-- Default privileges open the sequences of identity columns, which need no grant to work.
do $$
declare
  v_sequence regclass;
begin
  for v_sequence in select p.oid from bulwark_private.present_privileges p
    where p.kind = 'sequence' loop
    execute format(
      'revoke all on sequence %s from public, anon, authenticated, service_role, api_key',
      v_sequence
    );
  end loop;
end;
$$;
select bulwark_private.remember_privileges();

select bulwark.refresh_audit_fingerprints();
-- From here on the sealer runs: each migration of a capability that is added refreshes by itself.
update bulwark_private.audit_watched_tables g
set catalogue = coalesce(g.catalogue, 'not compared yet')
where g.relation = 'bulwark.audit_logs'::regclass;

select bulwark.schedule_jobs();
