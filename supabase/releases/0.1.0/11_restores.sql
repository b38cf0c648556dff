-- 11_restores: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
drop function bulwark.empty_for_restore();
create or replace function bulwark_private.restore_problems()
  returns table (problem text, object text, grantee text)
  language plpgsql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_scheduled boolean;
begin
  return query
    select distinct 'privilege_open', o.object, o.grantee from bulwark_private.opened_privileges() o
    union all
    select 'trigger_missing', w.relation::text, w.name
    from bulwark_private.outside_triggers() w
    where not exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = w.relation and t.tgname = w.name and t.tgenabled in ('O', 'A')
    )
    union all
    -- pg_restore --disable-triggers turns "always" triggers into ordinary ones.
    select 'trigger_not_always', g.relation::text, t.tgname::text
    from bulwark_private.audit_watched_tables g
    cross join unnest(string_to_array(g.fingerprint, ' ')) as word
    join pg_catalog.pg_trigger t
      on t.tgrelid = g.relation and t.tgname = split_part(word, '|', 1) and t.tgenabled <> 'A'
    where word ~ '^[^|/]+\|[^|]*\|A:'
      -- A partition's follows its table's.
      and not exists (
        select from pg_catalog.pg_trigger p where p.oid = t.tgparentid and p.tgenabled <> 'A'
      )
    union all
    select 'role_not_granted', 'api_key', 'authenticator'
    where not pg_has_role('authenticator', 'api_key', 'member');
  if to_regclass('cron.job') is not null then
    execute
      $query$ select exists (select from cron.job where jobname = 'bulwark-audit-seal') $query$
    into v_scheduled;
    if not v_scheduled then
      return query select 'job_missing', 'bulwark-audit-seal', null::text;
    end if;
  end if;
end;
$$;
create function bulwark.empty_for_restore(first_month date default '2026-11-01')
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role constant text := current_setting('session_replication_role');
  v_tables constant regclass[] := array(
    select c.oid from pg_catalog.pg_class c
    where c.relkind in ('r', 'p') and bulwark_private.is_of_bulwark(c.oid) order by c.oid
  );
  v_table regclass;
  v_trigger record;
begin
  if exists (select from bulwark.organizations) or exists (select from bulwark.audit_keys)
    or exists (select from auth.users) then
    raise exception 'Cannot empty the project for a restore: it is in use'
      using errcode = 'object_not_in_prerequisite_state', detail = 'RESTORE_PROJECT_IN_USE',
            hint = 'Restore into a new project that has nothing but the migrations';
  end if;
  -- As a replica, because tables of the host may have foreign keys to these, without rows yet.
  perform set_config('session_replication_role', 'replica', true);
  foreach v_table in array v_tables loop
    for v_trigger in
      select t.tgname, t.tgenabled from pg_catalog.pg_trigger t
      where t.tgrelid = v_table and t.tgenabled = 'A' and not t.tgisinternal
    loop
      execute format('alter table %s disable trigger %I', v_table, v_trigger.tgname);
    end loop;
  end loop;
  foreach v_table in array v_tables loop
    execute format('delete from %s', v_table);
  end loop;
  foreach v_table in array v_tables loop
    for v_trigger in
      select t.tgname from pg_catalog.pg_trigger t
      where t.tgrelid = v_table and t.tgenabled = 'D' and not t.tgisinternal
    loop
      execute format('alter table %s enable always trigger %I', v_table, v_trigger.tgname);
    end loop;
  end loop;
  perform set_config('session_replication_role', v_role, true);
  perform bulwark_private.remake_audit_partitions(first_month);
  -- A stamp with an argument: rows loaded as a replica keep their values, and the first seal begins
  -- a timeline.
  create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
    for each row execute function bulwark_private.audit_logs_stamp('none');
  alter table bulwark.audit_logs enable always trigger audit_logs_stamp;
end;
$$;
comment on function bulwark.empty_for_restore(date) is
  'Deletes all rows that the migrations inserted into Bulwark''s tables, the log included, so that a
   data-only backup can be loaded; the log gets the partitions of the months from the given one on,
   which is the first that the backup has. For the owner, in the transaction of the restore, in a
   project without users, organizations and audit keys. Errors: RESTORE_PROJECT_IN_USE.';
revoke all on function bulwark.empty_for_restore(first_month date) from public;
revoke all on function bulwark.empty_for_restore(first_month date) from anon;
revoke all on function bulwark.empty_for_restore(first_month date) from authenticated;
revoke all on function bulwark.empty_for_restore(first_month date) from service_role;
