-- Changes of code that protects the log: each leaves a trace.
begin;
set local search_path = bulwark, public, extensions;
select plan(64);
select tests.create_organizations();
select is(
  (select count(*)::int from bulwark_private.audit_watched_tables g
   where g.fingerprint <> bulwark_private.audit_fingerprint(g.relation)),
  0, 'AUK-01: the migrations left no trace'
);
create function pg_temp.traces(wanted bulwark.audit_severity)
  returns integer
  language sql
as $$
  select count(*)::int from bulwark.audit_logs e
  where e.resource_type = 'bulwark.audit_logs' and e.action = 'watched_object_changed'
    and e.severity = wanted and e.xid = pg_current_xact_id();
$$;
-- The sealer's report of a change, which is then undone.
create function pg_temp.noticed(change text, looks integer default 1)
  returns text
  language plpgsql
as $$
declare
  v_found text;
begin
  begin
    execute change;
    for v_look in 1..looks loop
      perform bulwark_private.inspect_audit_fingerprints();
      exit when pg_temp.traces('critical') > 0;
    end loop;
    v_found := case
      when pg_temp.traces('critical') > 0 then 'critical'
      when pg_temp.traces('warning') > 0 then 'warning'
      else 'nothing'
    end;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;
select bulwark_private.inspect_audit_fingerprints();
select is(
  (select g.catalogue from bulwark_private.audit_watched_tables g
   where g.relation = 'bulwark.audit_logs'::regclass),
  bulwark_private.audit_catalogue(), 'AUK-02: after a look the next one need not compare everything'
);
select is(pg_temp.noticed('select 1'), 'nothing', 'AUK-03: (nothing changed, nothing noticed)');

-- every function that protects the log, whatever its name
select is(
  pg_temp.noticed(format('alter function %s set work_mem = ''65kB''', f)), 'critical',
  format('AUK-%s: %s is watched', 9 + row_number() over (order by f.place), f)
)
from unnest('{
  bulwark_private.append_auth_entry, bulwark_private.audit_auth,
  bulwark_private.report_missing_checkpoint, bulwark_private.raise_audit_alarm,
  bulwark.raise_security_event, bulwark_private.count_security_event,
  bulwark_private.event_limit_is_reached, bulwark.evaluate_security_rules,
  bulwark_private.evaluate_security_rule, bulwark_private.inspect_audit_fingerprints,
  bulwark_private.settle_audit_timeline, bulwark_private.audit_timeline,
  bulwark_private.write_audit_seal,
  bulwark.seal_audit_log, bulwark.check_audit_log, bulwark_private.audit_rows,
  bulwark_private.audit_truncate, bulwark_private.audit_key, bulwark.enable_audit,
  bulwark_private.watch_auth, bulwark_private.setting, bulwark_private.uuid_or_null,
  bulwark_private.merkle_root, bulwark_private.largest_power_below, bulwark_private.base64,
  bulwark_private.name_bad_entry, bulwark_private.refuse_change, bulwark.keep_columns,
  bulwark_private.require_erasable, bulwark.erase_subject, bulwark_private.remove_audit_payloads,
  bulwark.prune_audit_log, bulwark.cleanup_old_audit_logs, bulwark_private.finish_audit_removal,
  bulwark.place_legal_hold, bulwark.release_legal_hold, bulwark.store_audit_checkpoint,
  bulwark_private.register_audit_keys, bulwark_private.audited_organizations,
  bulwark.organizations_with, bulwark.require_permission, bulwark_private.role_organization,
  bulwark.log_audit_event,
  bulwark_private.audit_fingerprint, bulwark_private.audit_carefully, bulwark_private.audit_json,
  bulwark_private.leave_row_function, bulwark_private.remembered_organization,
  bulwark_private.mend_restore, bulwark_private.is_audit_evidence
}'::text[]) with ordinality as f (f, place);

-- every way to change one
select is(pg_temp.noticed(change), expected, format('AUK-%s: %s', 60 + place, claim))
from (values
  (1, $$ create or replace function bulwark_private.report_missing_checkpoint() returns void
         language plpgsql set search_path = pg_catalog, pg_temp as 'begin end' $$,
    'critical', 'replaced by a function that does nothing'),
  (2, $$ drop function bulwark_private.raise_audit_alarm(text, text, jsonb);
         create function bulwark_private.raise_audit_alarm(
           action text, resource_type text, details jsonb
         )
         returns void language plpgsql as 'begin end' $$,
    'critical', 'dropped and made anew'),
  (3, $$ alter function bulwark_private.report_missing_checkpoint() rename to elsewhere;
         create function bulwark_private.report_missing_checkpoint() returns void
         language plpgsql as 'begin end' $$,
    'critical', 'moved away, with another in its place'),
  (4, $$ alter function bulwark_private.report_missing_checkpoint() set search_path = public $$,
    'critical', 'another search path'),
  (5, $$ grant usage, create on schema bulwark_private to service_role;
         alter function bulwark_private.report_missing_checkpoint() owner to service_role $$,
    'critical', 'another owner'),
  (6, $$ create function bulwark_private.raise_audit_alarm(
    action name, resource_type text, details jsonb
  )
         returns void language plpgsql as 'begin end' $$,
    'critical', 'another of the name beside it'),
  (7, $$ grant execute on function bulwark_private.append_audit_entry(text, uuid, text, text, text,
         bulwark.audit_result, bulwark.audit_severity, jsonb, jsonb, jsonb, uuid,
         bulwark.audit_source, uuid, uuid, text, text) to service_role $$,
    'critical', 'rights that nobody had'),
  (8, 'create or replace function bulwark_private.mine() returns void language sql as ''select 1''',
    'nothing', '(a function that nothing hangs on)')
) as t (place, change, expected, claim);

select is(
  pg_temp.noticed(
    $$ alter function bulwark_private.report_missing_checkpoint() set search_path = public;
       update bulwark_private.audit_watched_tables g
       set catalogue = bulwark_private.audit_catalogue()
       where g.relation = 'bulwark.audit_logs'::regclass $$,
    looks => 2000
  ),
  'critical', 'AUK-70: a change is noticed soon although somebody made the sealer think of none'
);
select is(
  pg_temp.noticed($$ update bulwark_private.audit_watched_tables g set options = '{"functions": []}'
    where g.relation = 'bulwark.audit_logs'::regclass $$),
  'critical', 'AUK-71: so is a list of watched code that was made shorter'
);

-- nobody reports the entries that the log makes about itself
select is_empty(
  $$ select p.proname, a[1]
     from pg_proc p
     cross join lateral regexp_matches(p.prosrc, 'append_audit_entry\((.*?);', 'g') as m
     cross join lateral regexp_matches(
       substring(m[1] from 'action => [^,]*'), '(?:=> |then |else )''([a-z_]+)''', 'g'
     ) as a
     where p.pronamespace = 'bulwark_private'::regnamespace
       and m[1] ~ '^\s*''(system\.|security\.suspicious_activity)'
       and not bulwark_private.is_audit_evidence(substring(m[1] from '''([a-z_.]+)'''), a[1]) $$,
  'AUK-72: each action of the log''s own has one writer'
);

select * from finish();
rollback;
