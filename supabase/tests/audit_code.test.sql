-- The owner changes code that the log's promises hang on: each change leaves a trace.
begin;
select plan(65);
select tests.create_organizations();
select is(
  (select count(*)::int from private.audit_guards g
   where g.fingerprint <> private.audit_fingerprint(g.relation)),
  0, 'AUK-01: the migrations left no trace'
);
create function pg_temp.traces(wanted public.audit_severity)
  returns integer
  language sql
as $$
  select count(*)::int from public.audit_logs e
  where e.resource_type = 'public.audit_logs' and e.action = 'guard_changed'
    and e.severity = wanted and e.xid = pg_current_xact_id();
$$;
-- What the sealer says of a change, which is then undone.
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
      perform private.inspect_audit_guards();
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
select private.inspect_audit_guards();
select is(
  (select g.catalogue from private.audit_guards g
   where g.relation = 'public.audit_logs'::regclass),
  private.audit_catalogue(), 'AUK-02: after a look the next one need not compare everything'
);
select is(pg_temp.noticed('select 1'), 'nothing', 'AUK-03: (nothing changed, nothing noticed)');

-- every function that the promises hang on, by any name
select is(
  pg_temp.noticed(format('alter function %s set work_mem = ''65kB''', f)), 'critical',
  format('AUK-%s: %s is watched', 9 + row_number() over (order by f.place), f)
)
from unnest('{
  private.append_auth_entry, private.audit_auth, private.report_missing_checkpoint,
  private.raise_audit_alarm, private.raise_security_event, private.count_security_event,
  private.has_no_room_for_event, public.evaluate_security_rules, private.evaluate_security_rule,
  private.inspect_audit_guards, private.settle_audit_era, private.audit_era,
  private.write_audit_seal, public.seal_audit_log, public.check_audit_log, private.audit_rows,
  private.audit_truncate, private.audit_key, private.enable_audit, private.watch_auth,
  private.setting, private.uuid_or_null, private.merkle_root, private.largest_power_below,
  private.base64, private.name_bad_entry, private.refuse_change, private.keep_columns,
  private.require_erasable, public.erase_subject, private.remove_audit_payloads,
  public.prune_audit_log, public.cleanup_old_audit_logs, private.finish_audit_removal,
  public.place_legal_hold, public.release_legal_hold, public.store_audit_checkpoint,
  private.register_audit_keys, private.audited_organizations, private.organizations_with,
  private.require_permission, private.role_organization, private.webhooks_take_audit_entries,
  public.log_audit_event, private.audit_fingerprint, private.audit_carefully,
  private.audit_json, private.leave_row_function, private.remembered_organization,
  private.mend_restore, private.is_audit_evidence
}'::text[]) with ordinality as f (f, place);

-- every way to change one
select is(pg_temp.noticed(change), expected, format('AUK-%s: %s', 60 + place, claim))
from (values
  (1, $$ create or replace function private.report_missing_checkpoint() returns void
         language plpgsql set search_path = pg_catalog, pg_temp as 'begin end' $$,
    'critical', 'replaced by a function that does nothing'),
  (2, $$ drop function private.raise_audit_alarm(text, text, jsonb);
         create function private.raise_audit_alarm(action text, resource_type text, details jsonb)
         returns void language plpgsql as 'begin end' $$,
    'critical', 'dropped and made anew'),
  (3, $$ alter function private.report_missing_checkpoint() rename to elsewhere;
         create function private.report_missing_checkpoint() returns void
         language plpgsql as 'begin end' $$,
    'critical', 'moved away, with another in its place'),
  (4, $$ alter function private.report_missing_checkpoint() set search_path = public $$,
    'critical', 'another search path'),
  (5, $$ grant usage, create on schema private to service_role;
         alter function private.report_missing_checkpoint() owner to service_role $$,
    'critical', 'another owner'),
  (6, $$ create function private.raise_audit_alarm(action name, resource_type text, details jsonb)
         returns void language plpgsql as 'begin end' $$,
    'critical', 'another of the name beside it'),
  (7, $$ grant execute on function private.append_audit_entry(text, uuid, text, text, text,
         public.audit_result, public.audit_severity, jsonb, jsonb, jsonb, uuid,
         public.audit_source, uuid, uuid, text, text) to service_role $$,
    'critical', 'rights that nobody had'),
  (8, 'create or replace function private.mine() returns void language sql as ''select 1''',
    'nothing', '(a function that nothing hangs on)')
) as t (place, change, expected, claim);

select is(
  pg_temp.noticed(
    $$ alter function private.report_missing_checkpoint() set search_path = public;
       update private.audit_guards g set catalogue = private.audit_catalogue()
       where g.relation = 'public.audit_logs'::regclass $$,
    looks => 2000
  ),
  'critical', 'AUK-70: a change is noticed soon although somebody made the sealer think of none'
);
select is(
  pg_temp.noticed($$ update private.audit_guards g set options = '{"functions": []}'
    where g.relation = 'public.audit_logs'::regclass $$),
  'critical', 'AUK-71: so is a list of watched code that was made shorter'
);

-- nobody reports what the log says of itself
select is_empty(
  $$ select p.proname, a[1]
     from pg_proc p
     cross join lateral regexp_matches(p.prosrc, 'append_audit_entry\((.*?);', 'g') as m
     cross join lateral regexp_matches(
       substring(m[1] from 'action => [^,]*'), '(?:=> |then |else )''([a-z_]+)''', 'g'
     ) as a
     where p.pronamespace = 'private'::regnamespace
       and m[1] ~ '^\s*''(system\.|security\.suspicious_activity)'
       and not private.is_audit_evidence(substring(m[1] from '''([a-z_.]+)'''), a[1]) $$,
  'AUK-72: each action of the log''s own has one writer'
);

select * from finish();
rollback;
