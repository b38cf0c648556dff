alter table bulwark_private.audit_check_progress add column late_reported_at timestamptz;
insert into bulwark_private.jobs (name, every, command) values
  ('audit-partitions', '1 hour', 'select bulwark_private.keep_audit_partitions()');

