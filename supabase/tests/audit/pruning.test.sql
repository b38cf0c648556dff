-- Pruning of whole months: dropped with their partition, and what keeps one.
begin;
set local search_path = bulwark, public, extensions;
select plan(15);
select tests.create_organizations();
-- Entries of the past are made and sealed today.
update bulwark.settings set value = '1000000000' where name = 'audit.clock_tolerance_seconds';
update bulwark.settings set value = '30' where name = 'audit.keep_days';
update bulwark.settings set value = '4' where name = 'audit.removal_batch';
select tests.start_log();

-- The first partition reaches back to the beginning: two months are cut off it.
do $$
declare
  v_first record;
  v_month date;
begin
  select p.relation, p.high into v_first
  from bulwark_private.audit_partitions p where not p.is_default order by p.high limit 1;
  execute format('alter table bulwark.audit_logs detach partition %s', v_first.relation);
  execute format(
    'alter table bulwark.audit_logs attach partition %s for values from (%L) to (%L)',
    v_first.relation, bulwark_private.audit_id_floor('2025-05-01 00:00Z'), v_first.high
  );
  foreach v_month in array array['2025-03-01', '2025-04-01']::date[] loop
    perform bulwark_private.make_audit_partition(
      'audit_logs_' || to_char(v_month, 'YYYY_MM'),
      bulwark_private.audit_id_floor(v_month::timestamp at time zone 'UTC'),
      bulwark_private.audit_id_floor((v_month + interval '1 month') at time zone 'UTC')
    );
  end loop;
end;
$$;
-- Thirty entries of March, of which one is of a seal that also has one of April.
select count(tests.log_entry(1, o.slug, n, '2025-03-10 00:00Z'::timestamptz + n * interval '1 h'))
from (values ('acme', 20), ('globex', 9)) as o (slug, entries)
cross join lateral generate_series(1, o.entries) as n;
create temporary table mark as select max(id::text)::uuid as after from audit_logs
where xid = pg_current_xact_id();
select tests.seal_log(1);
select tests.log_entry(2, 'acme', 30, '2025-03-31 23:59Z'),
  tests.log_entry(2, 'acme', 31, '2025-04-01 00:01Z');
select tests.seal_log(2);
select tests.log_entry(3, 'globex', 32, '2025-04-02 00:00Z');
select tests.seal_log(3);
select tests.log_entry(4, 'globex', 33);
select tests.seal_log(4);
select tests.age_seals(-1000000, 3, '100 days');
select refresh_audit_fingerprints();
create function pg_temp.march() returns integer language sql as $$
  select count(*)::integer from bulwark.audit_logs e
  where e.id < bulwark_private.audit_id_floor('2025-04-01 00:00Z');
$$;
create function pg_temp.months() returns text language sql as $$
  select string_agg(right(p.relation::text, 7), ' ' order by p.low)
  from bulwark_private.audit_partitions p
  where not p.is_default and p.high <= bulwark_private.audit_id_floor('2025-05-01 00:00Z');
$$;
-- The end of the month that can go whole, after something that is then undone.
create function pg_temp.prunable_after(statement text) returns text language plpgsql as $$
declare
  v_found text;
begin
  begin
    execute statement;
    select to_char(bulwark_private.audit_id_time(m.end_id) at time zone 'UTC', 'YYYY-MM-DD ')
      || m.through_seal - b.last
    into v_found
    from tests.base b, bulwark_private.prunable_audit_month(30, 0) m;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;

select is(pg_temp.march(), 30, 'AUR-130: (a month of thirty entries)');
select is(
  pg_temp.prunable_after('select'), null, 'AUR-131: a month that is not closed does not go whole'
);
select bulwark_private.close_audit_partition('bulwark_private.audit_logs_2025_03');
select refresh_audit_fingerprints();
select is(
  pg_temp.prunable_after('select'), '2025-04-01 2',
  'AUR-132: a closed one does, through the seal that has its last entry'
);
select is(
  pg_temp.prunable_after(statement), null, format('AUR-133: not %s', claim)
)
from (values
  (1, $$ select tests.log_entry(5, 'acme', 40, '2025-03-20 00:00Z') $$,
    'while one of its entries is not sealed'),
  (2, $$ select tests.log_entry(5, 'acme', 41, '2025-03-20 00:00Z'), tests.seal_log(5) $$,
    'while one was sealed only now'),
  (3, $$ select place_legal_hold('case 1', tests.globex()) $$, 'while a hold is in force'),
  (4, $$ insert into audit_archives
      (month, from_month, end_id, first_seal, last_seal, seal_hash, checked_through)
    select '2025-03-01', '2025-03-01', bulwark_private.audit_id_floor('2025-04-01 00:00Z'),
      b.last + 1, b.last + 2, '\x00', 0 from tests.base b $$, 'while it is being archived'),
  (5, $$ select tests.age_seals(1, 3, '10 days') $$, 'while its seals are too young')
) as c (place, statement, claim)
order by place;
create temporary table result as select prune_audit_log(30) as entries;
select ok((select entries >= 31 from result), 'AUR-134: it is pruned at once, whatever a batch is');
select is(pg_temp.months(), '2025_04', 'AUR-135: with its partition');
select is(pg_temp.march(), 0, 'AUR-136: so none of its entries is left');
select is(
  (select count(*)::int from audit_logs e
   where e.id >= bulwark_private.audit_id_floor('2025-04-01 00:00Z')
     and e.id < bulwark_private.audit_id_floor('2025-05-01 00:00Z')),
  1, 'AUR-137: of the next month those of the same seals go, and no others'
);
-- Entries that this transaction wrote since the first seal, as if a later one had.
alter table audit_logs disable trigger audit_logs_refuse_change;
update audit_logs e set xid = (b.xid + 6)::text::xid8
from tests.base b, mark m
where e.xid = pg_current_xact_id() and e.id > m.after;
alter table audit_logs enable always trigger audit_logs_refuse_change;
select tests.seal_log(6);
select is(
  (select concat_ws(' ', intact, complete, problem) from verify_audit_log()), 't t',
  'AUR-138: the rest verifies'
);
select is(
  (select (e.details ->> 'pruned')::bigint - r.entries
   from audit_logs e, result r, tests.base b
   where e.event_type = 'compliance.data_deleted' and e.details ->> 'kind' = 'pruning'
     and (e.details ->> 'through_seal')::bigint = b.last + 2),
  0::bigint, 'AUR-139: and the tombstone counts what went'
);
select bulwark_private.inspect_audit_fingerprints();
select is_empty(
  $$ select * from audit_logs e
     where e.action like 'watched_object%' and e.severity = 'critical'
       and e.xid = pg_current_xact_id() and e.resource_type like '%audit_logs%' $$,
  'AUR-140: the sealer takes it for no attack'
);

select * from finish();
rollback;
