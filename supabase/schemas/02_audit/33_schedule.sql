-- Audit schedule: the jobs that seal, sign and clean up the log without anybody calling.
-- Protects against a log that silently stays unsealed.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_interval_seconds', '1',
    'Interval of seals; call bulwark.schedule_jobs after a change');

insert into bulwark_private.jobs (name, seconds_setting, command) values
  ('audit-seal', 'audit.seal_interval_seconds', 'select bulwark.seal_audit_log()');

create function bulwark_private.keep_audit_partitions()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_made regclass[] := array(select p from bulwark_private.make_audit_partitions() as p);
  v_known constant regclass[] := array(
    select g.relation
    from bulwark_private.audit_watched_tables g
    join bulwark_private.audit_partitions p on p.relation = g.relation
    where not p.is_closed and g.fingerprint = bulwark_private.audit_fingerprint(g.relation)
  );
  v_closed regclass[];
begin
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select p, false, bulwark_private.audit_fingerprint(p) from unnest(v_made) as p;
  v_closed := array(select p from bulwark_private.close_audit_partitions() as p);
  -- Accepts what the job did itself, and nothing that was touched before.
  update bulwark_private.audit_watched_tables g
  set fingerprint = bulwark_private.audit_fingerprint(g.relation)
  where g.relation = any (v_closed) and g.relation = any (v_known);
  perform bulwark_private.summarize_audit_partitions();
  return cardinality(v_made) + cardinality(v_closed);
end;
$$;
comment on function bulwark_private.keep_audit_partitions() is
  'Makes the partitions of the coming months and closes those that are over; returns how many. Also
   takes what is new into the index for searches.';

insert into bulwark_private.jobs (name, every, command) values
  ('audit-partitions', '1 hour', 'select bulwark_private.keep_audit_partitions()');

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
      where keep_days is not null;
      select bulwark.discard_restored_audit_logs(
        (bulwark_private.setting('audit.restored_days'))::integer
      )
    $$, null
  ),
  (
    'audit-archive', '10 minutes',
    $$select bulwark_private.request_function('bulwark-audit/archive')$$, 'bulwark-audit/archive'
  );
