-- The owner changes code that the log's promises hang on: each change leaves a trace, whether or not
-- it is undone.
begin;
select plan(56);
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
create function pg_temp.noticed(change text)
  returns text
  language plpgsql
as $$
declare
  v_found text;
begin
  begin
    execute change;
    perform private.inspect_audit_guards();
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
select is(pg_temp.noticed('select 1'), 'nothing', 'AUK-02: (nothing changed, nothing noticed)');

-- every function that the promises hang on, by any name
select is(
  pg_temp.noticed(format('alter function %s set work_mem = ''65kB''', f)), 'critical',
  format('AUK-%s: %s is watched', 9 + row_number() over (order by f.place), f)
)
from unnest('{
  "private.append_auth_entry(text,uuid,text,text,text,jsonb,jsonb,jsonb)", "private.audit_auth()",
  "private.report_missing_checkpoint()", "private.raise_audit_alarm(text,text,jsonb)",
  "private.raise_security_event(text,uuid,uuid,text,jsonb)",
  "private.count_security_event(text,uuid,uuid,text,jsonb,bigint)",
  "private.has_no_room_for_event(text,text)", "public.evaluate_security_rules()",
  "private.evaluate_security_rule(private.security_rules,integer,pg_snapshot)",
  "private.inspect_audit_guards()", "private.settle_audit_era()", "private.audit_era()",
  "private.write_audit_seal(pg_snapshot)", "public.seal_audit_log()", "public.check_audit_log(integer)",
  "private.audit_row()", "private.audit_rows()", "private.audit_truncate()",
  "private.audit_key(jsonb,text[])", "private.enable_audit(regclass,text,text[],text[],boolean,text[],regproc,boolean)",
  "private.watch_auth()", "private.setting(text)", "private.uuid_or_null(text)",
  "private.merkle_root(bytea)", "private.largest_power_below(bigint)", "private.base64(bytea)",
  "private.name_bad_entry(bigint,uuid)", "private.refuse_change()", "private.keep_columns()",
  "private.require_erasable(uuid,uuid)", "public.erase_subject(uuid,text,uuid,boolean,uuid,integer,integer)",
  "private.remove_audit_payloads(uuid[],uuid,jsonb)", "public.prune_audit_log(integer)",
  "public.cleanup_old_audit_logs(integer)", "private.finish_audit_removal(uuid[],uuid[])",
  "public.place_legal_hold(text,uuid,uuid,text,text)", "public.release_legal_hold(uuid)",
  "public.store_audit_checkpoint(bigint,text,text,jsonb)", "private.register_audit_keys(jsonb)",
  "private.audited_organizations()", "private.organizations_with(text)",
  "private.require_permission(text,uuid)", "private.role_organization(uuid)",
  "private.webhooks_take_audit_entries()", "public.log_audit_event(text,text,uuid,text,text,public.audit_result,public.audit_severity,jsonb,uuid,uuid)",
  "private.audit_fingerprint(regclass)"
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

select * from finish();
rollback;
