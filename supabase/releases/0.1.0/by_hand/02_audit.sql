alter table bulwark_private.audit_check_progress
  add column late_reported_at timestamptz,
  add column checked_at timestamptz,
  add column pass_began_at timestamptz,
  add column passed_at timestamptz,
  add column problem_at timestamptz;
insert into bulwark_private.jobs (name, every, command) values
  ('audit-partitions', '1 hour', 'select bulwark_private.keep_audit_partitions()');

