-- Things that a restore loses or leaves open are reported, mended, and raise an alarm.
begin;
set local search_path = bulwark, public, extensions;
select plan(18);
select tests.create_organizations();

select is_empty(
  $$ select * from bulwark_private.restore_problems() $$,
  'RST-01: an installation has none of the problems'
);
select is(
  bulwark.audit_status() -> 'restore_problems', '[]', 'RST-01: and its status says so'
);

select set_eq(
  $$ select t.tgrelid::regclass, t.tgname::text from pg_trigger t
     join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
     where c.relnamespace = 'auth'::regnamespace
       and p.pronamespace = 'bulwark_private'::regnamespace $$,
  $$ select relation, name from bulwark_private.outside_triggers() $$,
  'RST-09: every trigger of ours on the auth schema is one that a restore puts back'
);

-- acting as a new project's default privileges and a dump without the auth schema
grant execute on function bulwark.seal_audit_log() to anon;
grant all on table bulwark.audit_logs to authenticated;
grant select on bulwark.settings to public;
grant usage on sequence bulwark_private.audit_gaps_id_seq to anon;
select set_eq(
  $$ select distinct object, grantee from bulwark_private.opened_privileges() $$,
  $$ values
    ('function bulwark.seal_audit_log()', 'anon'), ('table bulwark.audit_logs', 'authenticated'),
    ('table bulwark.settings', 'public'), ('sequence bulwark_private.audit_gaps_id_seq', 'anon') $$,
  'RST-02: what no migration granted is found on functions, tables and sequences'
);
select is_empty(
  $$ select from bulwark_private.opened_privileges()
     where object = 'table bulwark.audit_logs' and privilege = 'SELECT' $$,
  'RST-02: and what one granted is not'
);
alter table bulwark.audit_logs enable trigger audit_logs_refuse_change;
revoke api_key from authenticator;
select set_eq(
  $$ select problem, object, grantee from bulwark_private.restore_problems()
     where problem <> 'privilege_open' $$,
  $$ values
    ('trigger_not_always', 'bulwark.audit_logs', 'audit_logs_refuse_change'),
    ('role_not_granted', 'api_key', 'authenticator') $$,
  'RST-03: triggers that are ordinary ones now, and the role of API keys'
);
select ok(
  bulwark.audit_status() -> 'restore_problems' ? 'role_not_granted api_key authenticator',
  'RST-03: the status names each'
);

select bulwark_private.mend_restore();
select is_empty(
  $$ select * from bulwark_private.restore_problems() $$, 'RST-04: all of them are mended'
);
select ok(
  not has_function_privilege('anon', 'bulwark.seal_audit_log()', 'execute')
    and not has_table_privilege('authenticated', 'bulwark.audit_logs', 'insert')
    and not has_sequence_privilege('anon', 'bulwark_private.audit_gaps_id_seq', 'usage')
    and has_table_privilege('authenticated', 'bulwark.audit_logs', 'select'),
  'RST-04: what was opened is closed, and nothing else'
);
select is(
  (select string_agg(distinct t.tgenabled::text, '') from pg_trigger t
   where t.tgname = 'audit_logs_refuse_change'),
  'A', 'RST-04: triggers fire always again'
);
select results_eq(
  $$ select severity::text, (details ->> 'problems')::int > 3, details -> 'left'
     from bulwark.audit_logs where action = 'restore_mended' $$,
  $$ values ('critical', true, 'null'::jsonb) $$,
  'RST-05: that something was open is a critical entry'
);
select isnt_empty(
  $$ select from bulwark.security_events
     where event_type = 'audit_protection_touched' and subject = 'restore' $$,
  'RST-05: and a security event'
);
select bulwark_private.mend_restore();
select is(
  (select count(*) from bulwark.audit_logs where action = 'restore_mended'), 1::bigint,
  'RST-05: mending nothing leaves no entry'
);

-- acting as the owner of a host's own function
create function public.host_greets() returns text language sql as $$ select 'hello' $$;
create function public.host_greets_safely() returns text
  language sql set search_path = pg_catalog, pg_temp as $$ select 'hello' $$;
select is_empty(
  $$ select from bulwark_private.opened_privileges() $$,
  'RST-06: the host''s own grants are the host''s'
);

-- acting as the sealer, in a cluster that a dump was restored into
alter table bulwark.organizations disable trigger bulwark_audit_update;
create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
  for each row execute function bulwark_private.audit_logs_stamp('1/1', '1');
alter table bulwark.audit_logs enable always trigger audit_logs_stamp;
alter table bulwark_private.audit_timelines disable trigger audit_timelines_keep_columns;
update bulwark_private.audit_timelines set system_identifier = 1;
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_keep_columns;
select ok(
  bulwark_private.settle_audit_timeline(), 'RST-07: the first seal after a restore settles'
);
select results_eq(
  $$ select timeline, system_identifier <> 1, settled_at is not null
     from bulwark_private.audit_timelines order by timeline $$,
  $$ values (1, false, true), (2, true, true) $$, 'RST-07: and begins a timeline'
);
select set_eq(
  $$ select action, resource_type from bulwark.audit_logs
     where action in ('timeline_started', 'restore_mended', 'watched_object_changed')
       and timeline = 2 $$,
  $$ values ('timeline_started', 'bulwark.audit_logs'), ('restore_mended', 'bulwark.audit_logs') $$,
  'RST-07: what was mended is recorded, and numbers that changed are no alarm'
);

-- acting as the owner of a project that is in use
select tests.error_is('RST-08: a project in use is not emptied', '55000 RESTORE_PROJECT_IN_USE',
  'select bulwark.empty_for_restore()');
select * from finish();
rollback;
