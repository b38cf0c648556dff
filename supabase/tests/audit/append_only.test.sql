-- The audit log is append-only for every role, and read only by those who may.
begin;
set local search_path = bulwark, public, extensions;
select plan(23);
select tests.create_organizations();

-- nobody changes the log: the service role
select tests.act_as_role('service_role');
select tests.error_is('AUD-53: the service role does not insert', '42501',
  $$ insert into audit_logs (source, severity, event_type)
                 values ('service', 'info', 'data.read') $$);
select tests.error_is('AUD-54: the service role does not update', '42501',
  $$ update audit_logs set details = '{}' $$);
select tests.error_is('AUD-55: the service role does not delete', '42501',
  $$ delete from audit_logs $$);
select tests.error_is('AUD-56: the service role does not truncate', '42501',
  $$ truncate audit_logs $$);

-- nobody changes the log: its owner
select tests.act_as_owner();
select tests.error_is('AUD-57: the owner does not update', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_logs set details = '{}' $$);
select tests.error_is('AUD-58: the owner does not delete', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ delete from audit_logs $$);
select tests.error_is('AUD-59: the owner does not truncate', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ truncate audit_logs $$);
select tests.error_is('AUD-60: the owner does not strip a payload by hand',
  '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_logs set removed_by = gen_random_uuid(), salt = null $$);
select is(
  (select string_agg(distinct tgenabled::text, '') from pg_trigger
   where tgrelid in ('audit_logs'::regclass, 'audit_checkpoints'::regclass,
     'bulwark_private.audit_seals'::regclass, 'bulwark_private.audit_groups'::regclass,
     'bulwark_private.audit_gaps'::regclass, 'bulwark_private.audit_prunings'::regclass,
     'audit_archives'::regclass, 'audit_archived_logs'::regclass, 'audit_archive_files'::regclass)
     and not tgisinternal),
  'A', 'AUD-61: the log''s own triggers fire always'
);
-- An id of this month, so that the row belongs to the same partition as the right one.
insert into audit_logs (id, xid, occurred_at, timeline, salt, source, severity, event_type, action)
select
  f.id, '3', '2001-01-01', 99, '00000000-0000-0000-0000-000000000000', 'service', 'info',
  'data.read', 'forged'
from bulwark_private.audit_id_floor(
  date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
) as f (id);
select ok(
  (select xid = pg_current_xact_id() and occurred_at > now() - interval '1 hour' and timeline < 99
     and salt <> '00000000-0000-0000-0000-000000000000'
     and id > bulwark_private.audit_id_floor(now() - interval '1 hour')
   from audit_logs where action = 'forged'),
  'AUD-62: identity, time, transaction, timeline and salt are never what an insert says'
);
select tests.error_is('AUD-540: an id of another time is not accepted', '0A000',
  $$ insert into audit_logs (id, source, severity, event_type)
     values ('f0000000-0000-7000-8000-000000000001', 'service', 'info', 'data.read') $$);
select tests.error_is('AUD-63: the owner does not truncate the seals',
  '42501 AUDIT_LOG_IS_APPEND_ONLY', $$ truncate bulwark_private.audit_seals $$);
insert into bulwark_private.audit_gaps (source, reason) values ('test', '00000');
select tests.error_is('AUD-64: a recorded gap stays', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ delete from bulwark_private.audit_gaps $$);

-- acting as others
select is(
  tests.error_as('admin@acme.test', 'authenticated', $$ update audit_logs set details = null $$),
  '42501', 'AUD-65: an administrator does not update'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ delete from audit_logs $$),
  '42501', 'AUD-66: a super_admin does not delete'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated',
    $$ select bulwark.enable_audit('bulwark.organizations') $$),
  '42501', 'AUD-67: nobody audits tables through the API'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ select seal_audit_log() $$),
  '42501', 'AUD-68: no person seals'
);
select is(
  tests.error_as('admin@acme.test', 'anon', $$ select from audit_logs $$),
  '42501', 'AUD-69: anon does not read the log'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated', $$ select from bulwark_private.audit_seals $$),
  '42501', 'AUD-70: seals are for no client'
);

-- acting as readers of two organizations
select tests.act_as('admin@acme.test');
select ok(
  (select count(*) > 0 and bool_and(organization_id = tests.acme())
   from audit_logs),
  'AUD-71: who holds audit:read reads the log of that organization, and of no other'
);
select tests.act_as('analyst@acme.test');
select is_empty($$ select from audit_logs $$, 'AUD-72: who does not hold audit:read reads nothing');
select tests.act_as('super@bulwark.test');
select ok(
  (select count(distinct organization_id) >= 2
     and count(*) filter (where organization_id is null) > 0
   from audit_logs),
  'AUD-73: a super_admin reads every organization''s and the installation''s own'
);
select tests.act_as_owner();
select is(
  (select count(*)::int from audit_logs where id is null or salt is null), 0,
  'AUD-74: the rows survived it all'
);

select * from finish();
rollback;
