-- Only the log writes entries about itself: nobody who reports events can forge one, and no alarm
-- depends on the text of an entry.
begin;
set local search_path = bulwark, public, extensions;
select plan(28);
select tests.create_organizations();
select tests.start_log();
create function pg_temp.alarms(action text)
  returns integer
  language sql
as $$
  select count(*)::int from bulwark.audit_logs e
  where e.action = alarms.action and e.event_type = 'system.error' and e.source = 'system'
    and e.xid = pg_current_xact_id();
$$;
create function pg_temp.report(event_type text, action text)
  returns text
  language sql
as $$
  select tests.error(format('select log_audit_event(%L, %L)', event_type, action));
$$;

-- acting as the service role
select tests.act_as_role('service_role');
select is(
  pg_temp.report(k.event_type, k.action), '42501 AUDIT_EVENT_NOT_REPORTABLE',
  format('AUV-%s: the service role does not report %s %s', k.place, k.event_type, k.action)
)
from (values
  ('01', 'compliance.data_deleted', 'erasure'), ('02', 'compliance.data_deleted', null),
  ('03', 'system.error', 'checkpoint_missing'), ('04', 'system.error', 'verification_failed'),
  ('05', 'system.error', 'checkpoint_refused'), ('06', 'system.error', 'checkpoint_forged'),
  ('07', 'system.error', 'checkpoints_missing'), ('08', 'system.warning', 'fork'),
  ('09', 'system.warning', 'timeline_started'),
  ('10', 'security.suspicious_activity', 'watched_object_changed'),
  ('11', 'security.suspicious_activity', 'watched_object_dropped'),
  ('12', 'data.export', 'export_audit_log'),
  ('27', 'security.suspicious_activity', 'stamp_replaced'),
  ('28', 'system.warning', 'restore_mended')
) as k (place, event_type, action);
select is(
  pg_temp.report('system.error', 'disk_full'), 'no error', 'AUV-13: but what else is wrong it does'
);
select tests.error_is(
  'AUV-14: nor does it open a security event about the log, behind which a true one would hide',
  '42501 SECURITY_EVENT_NOT_REPORTABLE',
  $$ select report_security_event('audit_checkpoint_missing', null, null,
    'bulwark.audit_checkpoints') $$);
select tests.error_is('AUV-15: the function that signs says so when it does not', 'no error',
  $$ select report_checkpoint_problem('checkpoint_refused', '{"reason": "x"}') $$);
select tests.error_is('AUV-16: and nothing else', '22023 AUDIT_INVALID_CHECKPOINT_PROBLEM',
  $$ select report_checkpoint_problem('checkpoint_missing') $$);
select tests.act_as('admin@acme.test');
select is(
  pg_temp.report('data.export', 'export_audit_log'), '42501 AUDIT_EVENT_NOT_REPORTABLE',
  'AUV-17: nor does a client claim an export'
);
select tests.error_is('AUV-18: nor report a problem of checkpoints', '42501',
  $$ select report_checkpoint_problem('checkpoint_refused') $$);
select tests.act_as_owner();
select is(
  (select source::text from audit_logs
   where action = 'checkpoint_refused' and xid = pg_current_xact_id()),
  'system', 'AUV-19: the log''s own entries are of its own source'
);

-- an entry of another source, as if written some other way, is not believed
select tests.seal_log(0);
select tests.log_entry(1, 'acme', n) from generate_series(1, 2) as n;
alter table audit_logs disable trigger audit_logs_refuse_change;
update audit_logs
set event_type = 'compliance.data_deleted', action = 'erasure', details = jsonb_build_object(
  'entries', 1, 'digest', bulwark_private.audit_digest(array[tests.entry_id('acme1')])
)
where id = tests.entry_id('acme2');
alter table audit_logs enable always trigger audit_logs_refuse_change;
create function pg_temp.strip()
  returns text
  language sql
as $$
  select format(
    'update audit_logs e
     set commitment = c.payload_commitment, removed_by = %L, salt = null, actor_type = null,
       database_user = null, action = null, details = null
     from bulwark_private.audit_commitments c where c.id = e.id and e.id = %L',
    tests.entry_id('acme2'), tests.entry_id('acme1')
  );
$$;
select tests.error_is('AUV-20: no payload leaves under a forged record',
  '42501 AUDIT_LOG_IS_APPEND_ONLY', pg_temp.strip());
select tests.seal_log(1);
alter table audit_logs disable trigger audit_logs_refuse_change;
select is(
  tests.log_verdict_after(pg_temp.strip(), 'acme'),
  't f removal_without_record ' || tests.entry_id('acme1'),
  'AUV-21: and one that was stripped is not excused by it'
);
update audit_logs set source = 'system' where id = tests.entry_id('acme2');
select matches(
  tests.log_verdict_after(pg_temp.strip(), 'acme'), '^f f entry_altered',
  'AUV-25: nor by a source that is changed afterwards, since it is hashed'
);
update audit_logs set source = 'service' where id = tests.entry_id('acme2');
alter table audit_logs enable always trigger audit_logs_refuse_change;

-- alarms depend on the log's state
select store_audit_checkpoint(
  tree_size, root_hash, tests.log_note(tree_size, root_hash, 'one'),
  jsonb_build_array(tests.log_signer('one'))
)
from audit_tree_head();
select tests.log_entry(2, 'acme', 3);
select tests.seal_log(2);
select tests.age_seals(3, 3, '10 minutes');
select bulwark_private.append_audit_entry(
  'system.error', resource_type => 'bulwark.audit_checkpoints', action => 'checkpoint_missing',
  source => s, severity => 'critical',
  details => jsonb_build_object('tree_size', (select tree_size from audit_checkpoints))
)
from unnest('{service,client,table}'::audit_source[]) as s;
select bulwark_private.report_missing_checkpoint();
select is(
  pg_temp.alarms('checkpoint_missing'), 1, 'AUV-22: an alarm that was forged before silences none'
);
select bulwark_private.report_missing_checkpoint();
select is(pg_temp.alarms('checkpoint_missing'), 1, 'AUV-23: which comes once');
select store_audit_checkpoint(
  tree_size, root_hash, tests.log_note(tree_size, root_hash, 'one'),
  jsonb_build_array(tests.log_signer('one'))
)
from audit_tree_head();
select bulwark_private.report_missing_checkpoint();
select tests.log_entry(3, 'acme', 4);
select tests.seal_log(3);
select tests.age_seals(4, 4, '10 minutes');
select bulwark_private.report_missing_checkpoint();
select is(pg_temp.alarms('checkpoint_missing'), 2, 'AUV-24: and again for the next one');

-- the log's own removals
update bulwark.settings set value = '1' where name = 'audit.retention_days';
select tests.log_entry(4, 'globex', 1, now() - interval '3 days');
select cleanup_old_audit_logs(2);
select is(
  (select array_agg(distinct source::text) from audit_logs
   where event_type = 'compliance.data_deleted' and action = 'retention'
     and xid = pg_current_xact_id()),
  array['system'], 'AUV-26: a removal of the log''s own is of its own source'
);

select * from finish();
rollback;
