-- The log's partitions: made ahead, closed, fenced and watched; a missing one loses nothing.
begin;
set local search_path = bulwark, public, extensions;
select plan(34);
select tests.create_organizations();

create temporary view months as
  select p.*, p.relation::text as name from bulwark_private.audit_partitions p;
create function pg_temp.month(ahead integer) returns text language sql as $$
  select 'bulwark_private.audit_logs_' || to_char(
    date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead), 'YYYY_MM'
  );
$$;
create function pg_temp.traces(wanted text) returns text language sql as $$
  select string_agg(distinct e.severity::text, ',') from audit_logs e
  where e.resource_type like wanted and e.action like 'watched_object%'
    and e.xid = pg_current_xact_id();
$$;
-- The sealer's report of a change, which is then undone.
create function pg_temp.noticed(change text, wanted text) returns text language plpgsql as $$
declare
  v_found text;
begin
  begin
    execute change;
    perform bulwark_private.inspect_audit_fingerprints();
    v_found := pg_temp.traces(wanted);
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;

select set_eq(
  $$ select name from months where not is_default and not is_closed $$,
  $$ select pg_temp.month(n) from generate_series(0, 3) as n $$,
  'AUM-01: an installation has this month and the next three'
);
select is(
  (select count(*)::int from months where is_default and is_closed), 1,
  'AUM-02: and a default partition, whose use the sealer hears of'
);
select is(
  bulwark_private.keep_audit_partitions(), 0, 'AUM-03: the job leaves what is there as it is'
);
select bulwark_private.make_audit_partitions(5);
select set_eq(
  $$ select name from months where not is_default $$,
  $$ select pg_temp.month(n) from generate_series(0, 5) as n $$,
  'AUM-04: and makes months that are missing'
);
select is_empty(
  $$ select p.name, n.name from months p, months n
     where p.name < n.name and p.high > n.low and not p.is_default and not n.is_default $$,
  'AUM-05: no id belongs to two of them'
);
select isnt(
  pg_temp.traces('bulwark.audit_logs'), 'critical', 'AUM-06: the job is no alarm'
);
select is(
  (select tableoid::regclass::text from audit_logs order by id desc limit 1), pg_temp.month(0),
  'AUM-07: an entry of now is in this month'
);

-- fences
select is_empty(
  $$ select p.name from months p join pg_class c on c.oid = p.relation
     where not c.relrowsecurity or c.relnamespace <> 'bulwark_private'::regnamespace
       or exists (select from pg_policy y where y.polrelid = c.oid)
       or exists (
         select from unnest('{anon, authenticated, service_role, api_key, authenticator}'::text[]) r
         where has_any_column_privilege(r, c.oid, 'select, insert, update, references')
           or has_table_privilege(r, c.oid, 'delete, truncate, trigger')
       ) $$,
  'AUM-08: no API role may do anything with a partition'
);
select is(
  tests.error_as(
    'super@bulwark.test', 'authenticated', format('select from %s', pg_temp.month(0))
  ),
  '42501', 'AUM-09: not even a super_admin reads one'
);
select is_empty(
  $$ select p.name, t.tgname from months p
     cross join pg_trigger t
     where t.tgrelid = 'audit_logs'::regclass and t.tgname <> 'webhooks_take_audit_entries'
       and not exists (
         select from pg_trigger k
         where k.tgrelid = p.relation and k.tgname = t.tgname and k.tgenabled = 'A'
           and k.tgfoid = t.tgfoid and k.tgtype = t.tgtype
       ) $$,
  'AUM-10: each has the log''s triggers, always enabled'
);
select tests.act_as_owner();
select tests.error_is('AUM-11: the owner does not truncate one', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  format('truncate %s', pg_temp.month(0)));
select tests.error_is('AUM-12: nor change', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  format('update %s set action = null', pg_temp.month(0)));
select tests.error_is('AUM-13: nor delete', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  format('delete from %s', pg_temp.month(0)));

-- what somebody does to one
select refresh_audit_fingerprints();
select is(
  pg_temp.noticed(format(change, pg_temp.month(2)), coalesce(place, pg_temp.month(2))), severity,
  format('AUM-14: %s is noticed', claim)
)
from (values
  (1, 'alter table bulwark.audit_logs detach partition %s', null, 'critical',
    'a partition that is detached'),
  (2, 'drop table %s', '%', 'critical', 'one that is dropped'),
  (3, 'alter table %s disable trigger audit_logs_stamp', null, 'critical',
    'a trigger that is off'),
  (4, 'alter table %1$s disable trigger audit_logs_refuse_change;
    alter table %1$s enable always trigger audit_logs_refuse_change', null, 'warning',
    'one that was off'),
  (5, 'drop trigger audit_logs_refuse_truncate on %s', null, 'critical', 'one that is gone'),
  (6, 'grant select on %s to authenticated', null, 'critical', 'a right on one'),
  (7, 'alter table %s disable row level security', null, 'critical',
    'row-level security that is off'),
  (8, 'create policy mine on %s using (true)', null, 'critical', 'a policy'),
  (9, 'alter table %1$s disable trigger all; truncate %1$s; alter table %1$s enable trigger all',
    null, 'warning', 'one that is emptied'),
  (11, 'alter table %s alter column organization_id set not null', null, 'critical',
    'a column that refuses entries'),
  (10, 'create table public.mine (like bulwark.audit_logs including all);
     alter table bulwark.audit_logs attach partition public.mine
       for values from (''f0000000-0000-7000-8000-000000000000'') to (maxvalue)',
    'bulwark.audit_logs', 'critical', 'a partition that the job did not make')
) as t (place_in_list, change, place, severity, claim)
order by place_in_list;

-- months that are over
select is(
  (select count(*)::int from bulwark_private.close_audit_partitions()), 0,
  'AUM-15: a month that is not over stays open'
);
-- As if this month were over.
select bulwark_private.close_audit_partition(pg_temp.month(0)::regclass);
insert into bulwark_private.audit_closings (below, timeline)
select p.high, bulwark_private.audit_timeline() from months p where p.name = pg_temp.month(0);
select is(
  (select count(*)::int from bulwark_private.audit_late_entries), 0,
  'AUM-16: closing it makes no entry late'
);
select bulwark_private.append_audit_entry('data.read', tests.acme(), action => 'late');
select is(
  (select count(*)::int from audit_logs e join bulwark_private.audit_late_entries l using (id)
   where e.action = 'late'),
  1, 'AUM-17: the sealer hears of a later one'
);
select is(
  bulwark_private.audit_open_from(
    bulwark_private.audit_timeline(), pg_current_snapshot()
  ) <= (select l.id from bulwark_private.audit_late_entries l order by l.id limit 1),
  true, 'AUM-18: and reads from there on'
);

-- a missing partition
do $$
begin
  execute format('alter table bulwark.audit_logs detach partition %s', pg_temp.month(0));
end;
$$;
select lives_ok(
  $$ select bulwark_private.append_audit_entry('data.read', tests.acme(), action => 'homeless') $$,
  'AUM-19: without a partition a write does not fail'
);
select is(
  (select tableoid::regclass::text from audit_logs where action = 'homeless'),
  'bulwark_private.audit_logs_default', 'AUM-20: the default partition takes it'
);
select bulwark_private.report_late_entries('999999999999:999999999999:');
select is(
  (select e.severity::text || ' ' || (e.details ->> 'entries' >= '1')::text
   from audit_logs e where e.action = 'partition_missing'),
  'critical true', 'AUM-21: the sealer reports it'
);
select is(
  (select count(*)::int from bulwark_private.audit_late_entries l
   where not exists (
     select from audit_logs e where e.id = l.id and e.action = 'partition_missing'
   )),
  0, 'AUM-22: and is done with it'
);
select bulwark_private.make_audit_partitions();
select ok(
  (select low > bulwark_private.audit_id_floor(now()) from months
   where name = pg_temp.month(0) || '_more'),
  'AUM-23: the job makes a partition for the rest of the month'
);
select is(
  (select count(*)::int from audit_logs where action = 'homeless'), 1,
  'AUM-24: what the default partition has stays there'
);

select * from finish();
rollback;
