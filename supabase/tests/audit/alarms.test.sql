-- Alarms of the log itself: an overdue checkpoint, deleted checkpoints, and a failed verification.
-- The log is that of the whole database, so the counts are relative.
begin;
set local search_path = bulwark, public, extensions;
select plan(15);
select tests.create_organizations();
select tests.start_log();
create function pg_temp.alarms(action text)
  returns integer
  language sql
as $$
  select count(*)::int from bulwark.audit_logs e
  where e.action = alarms.action and e.event_type = 'system.error' and e.severity = 'critical'
    and e.organization_id is null and e.xid = pg_current_xact_id();
$$;
create function pg_temp.sign()
  returns void
  language sql
as $$
  select store_audit_checkpoint(
    tree_size, root_hash, tests.log_note(tree_size, root_hash, 'one'),
    jsonb_build_array(tests.log_signer('one'))
  )
  from audit_tree_head();
$$;
-- the log verifies itself
select tests.seal_log(0);
select tests.log_entry(1, 'acme', 1), tests.log_entry(1, 'globex', 8),
  tests.log_entry(1, 'acme', 9);
select tests.seal_log(1);
select is(
  (select bool_and(bulwark.check_audit_log(1)) from generate_series(1, 3)), true,
  'AUA-14: a log that is as it was sealed is checked in steps'
);
select is(pg_temp.alarms('verification_failed'), 0, 'AUA-15: without a word');
update bulwark_private.audit_check_progress set after_seal = (select last + 1 from tests.base);
alter table audit_logs disable trigger audit_logs_refuse_change;
update audit_logs set action = 'another' where id = tests.entry_id('acme1');
alter table audit_logs enable always trigger audit_logs_refuse_change;
select is(bulwark.check_audit_log(), false, 'AUA-16: an altered entry is found');
select is(pg_temp.alarms('verification_failed'), 1, 'AUA-17: and reported');
select is(
  (select details ->> 'entry' from audit_logs
   where action = 'verification_failed' and xid = pg_current_xact_id()),
  tests.entry_id('acme1')::text, 'AUA-18: by its name'
);
update bulwark_private.audit_check_progress set after_seal = (select last + 1 from tests.base);
select bulwark.check_audit_log();
select is(pg_temp.alarms('verification_failed'), 1, 'AUA-19: once');
alter table audit_logs disable trigger audit_logs_refuse_change;
update audit_logs set action = 'another' where id = tests.entry_id('acme9');
update bulwark_private.audit_check_progress set after_seal = (select last + 1 from tests.base);
select bulwark.check_audit_log();
select is(
  pg_temp.alarms('verification_failed'), 2,
  'AUA-23: one altered entry that is reported hides no other of its organization'
);
update audit_logs set action = 'another' where id = tests.entry_id('globex8');
alter table audit_logs enable always trigger audit_logs_refuse_change;
update bulwark_private.audit_check_progress set after_seal = (select last + 1 from tests.base);
select bulwark.check_audit_log();
select is(pg_temp.alarms('verification_failed'), 3, 'AUA-24: nor of another');
-- checkpoints
select bulwark_private.report_missing_checkpoint();
select is(
  pg_temp.alarms('checkpoint_missing'), 0, 'AUA-10: no checkpoint is due where none is made'
);
select pg_temp.sign();
select tests.log_entry(2, 'acme', 2);
select tests.seal_log(2);
select bulwark_private.report_missing_checkpoint();
select is(pg_temp.alarms('checkpoint_missing'), 0, 'AUA-11: nor a minute after the last');
select tests.age_seals(3, 3, '10 minutes');
select bulwark_private.report_missing_checkpoint(), bulwark_private.report_missing_checkpoint();
select is(pg_temp.alarms('checkpoint_missing'), 1, 'AUA-12: one that is overdue is reported, once');
alter table audit_checkpoints disable trigger audit_checkpoints_refuse_removal;
delete from audit_checkpoints;
select tests.age_seals(-1000000, 3, '10 minutes');
select bulwark_private.report_missing_checkpoint(), bulwark_private.report_missing_checkpoint();
select is(
  pg_temp.alarms('checkpoint_missing'), 2,
  'AUA-13: and so are checkpoints that are gone although a key is known'
);

select results_eq(
  $$ select event_type from security_events
     where subject in ('bulwark.audit_logs', 'bulwark.audit_checkpoints') order by event_type $$,
  array['audit_checkpoint_missing', 'audit_verification_failed'],
  'AUA-21: each is a security event too'
);
alter table audit_logs disable trigger audit_logs_refuse_change;
select bulwark_private.inspect_audit_fingerprints();
alter table audit_logs enable always trigger audit_logs_refuse_change;
select ok(
  exists (select from security_events where event_type = 'audit_protection_touched'
    and subject ~ 'audit_logs$'),
  'AUA-22: and so is a trigger that is switched off'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ select bulwark.check_audit_log() $$),
  '42501', 'AUA-20: no client runs it'
);

select * from finish();
rollback;
