-- The archive in SQL: who may do what, which month and files are due, what keeps a month, and what
-- a tombstone proves. tests/audit/archive.test.ts tests it with a bucket.
begin;
set local search_path = bulwark, public, extensions;
select plan(41);
select tests.create_organizations();
-- Entries of the past are made and sealed today; backdated.test.sql tests such times.
update bulwark.settings set value = '1000000000' where name = 'audit.clock_tolerance_seconds';
update bulwark.settings set value = '1000' where name = 'audit.archive_file_entries';
update bulwark.settings set value = '1' where name = 'audit.keep_days';
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
create temporary table mark as
  select id as after from bulwark.audit_logs order by id desc limit 1;
-- Entries of this transaction, in a later one.
create function pg_temp.later(at bigint)
  returns void
  language sql
as $$
  alter table bulwark.audit_logs disable trigger audit_logs_refuse_change;
  update bulwark.audit_logs e set xid = (b.xid + at)::text::xid8
  from tests.base b, mark m
  where e.xid = pg_current_xact_id() and e.id > m.after;
  alter table bulwark.audit_logs enable always trigger audit_logs_refuse_change;
$$;
create function pg_temp.signers() returns jsonb language sql as $$
  select jsonb_build_array(tests.log_signer('one'));
$$;
create function pg_temp.finish() returns text language sql as $$
  select concat_ws(' ', f ->> 'step', f ->> 'because', f ->> 'dropped')
  from bulwark.finish_audit_archive('2025-03-01', pg_temp.signers()) as f;
$$;
-- Records the next file as if it had been stored.
create function pg_temp.record() returns text language sql as $$
  select concat_ws(' ', o.slug, n.file ->> 'number', n.file ->> 'entries', case
    when bulwark.record_audit_archive_file('2025-03-01', n.file || jsonb_build_object(
      'removed', 0, 'place', 'https://s3.test/archive',
      'snapshot', format('%1$s:%1$s:', pg_current_xact_id()),
      'ndjson', '{"key": "n", "bytes": 1, "sha256": "00", "etag": "e"}'::jsonb,
      'parquet', '{"key": "p", "bytes": 1, "sha256": "00", "etag": "e"}'::jsonb
    ), pg_temp.signers()) then 'recorded' end)
  from (select bulwark.next_audit_archive('2025-03-31') -> 'file' as file) n
  left join bulwark.organizations o on o.id = (n.file ->> 'organization_id')::uuid
  where jsonb_typeof(n.file) = 'object';
$$;
create function pg_temp.verdict_after(statement text) returns text language plpgsql as $$
declare
  v_found text;
begin
  begin
    execute statement;
    select concat_ws(' ', v.intact, v.complete, v.problem) into v_found
    from bulwark.verify_audit_log() v;
    raise exception sqlstate 'TT000';
  exception when sqlstate 'TT000' then
    return v_found;
  end;
end;
$$;

select tests.seal_log(0);
select tests.log_entry(1, 'acme', n, '2025-03-10 12:00Z') from generate_series(1, 3) as n;
select tests.log_entry(1, 'globex', 1, '2025-03-10 12:00Z');
select tests.seal_log(1);
-- A transaction that was open when the month ended, and one of April.
select tests.log_entry(2, 'acme', 4, '2025-03-31 23:59Z');
select tests.log_entry(3, 'acme', 5, '2025-04-01 00:01Z');
select tests.seal_log(3);

-- who may
select is(
  tests.error_as('super@bulwark.test', 'authenticated', statement), '42501',
  format('ARC-01: not even a super_admin may: %s', statement)
)
from (values
  ('select next_audit_archive()'),
  ('select check_audit_archive(''2025-03-01'')'),
  ('select record_audit_archive_file(''2025-03-01'', ''{}'', ''[]'')'),
  ('select finish_audit_archive(''2025-03-01'', ''[]'')'),
  ('select begin_audit_restore(''2025-03-01'', ''x'')'),
  ('select restore_audit_entries(''2025-03-01'', 1, ''[]'')'),
  ('select discard_restored_audit_logs()')
) as s (statement);
select is(
  tests.error_as(null, 'service_role', statement), '42501',
  format('ARC-02: nor the service role: %s', statement)
)
from (values
  ('delete from audit_archives'),
  ('insert into audit_archived_logs (month) values (''2025-03-01'')'),
  ('update audit_archive_files set key = ''x'''),
  ('insert into audit_restored_logs (id) values (gen_random_uuid())')
) as s (statement);

-- what is due
select is(next_audit_archive(), null, 'ARC-03: nothing is due while the setting is null');
select is(next_audit_archive('2025-02-28'), null, 'ARC-04: no month that has not begun then');
select is(
  next_audit_archive('2025-03-31') ->> 'for', 'checkpoint',
  'ARC-05: a month waits for a checkpoint over its last seal'
);
select tests.sign_log();
select pg_temp.later(4);
select is(
  next_audit_archive('2025-03-31') ->> 'for', 'checkpoint', 'ARC-06: that was delivered'
);
select record_audit_delivery(t.tree_size, 'test') from audit_tree_head() t;
select is(next_audit_archive('2025-03-31') ->> 'step', 'check', 'ARC-07: then it is checked');
select is(
  (select a.last_seal - b.last from audit_archives a, tests.base b), 3::bigint,
  'ARC-08: up to the seal of the last transaction that was open when it ended'
);
select is(
  (select finish_audit_archive('2025-03-01', pg_temp.signers()) ->> 'step'), 'write',
  'ARC-09: nothing is dropped before'
);
do $$ begin
  for step in 1..100 loop
    exit when bulwark.check_audit_archive('2025-03-01');
  end loop;
end $$;
select is(
  next_audit_archive('2025-03-31') ->> 'step', 'write', 'ARC-10: and written to files'
);
select ok(
  (select l.entries = sum(g.entry_count) and l.entries >= 5
   from audit_archived_logs l
   join bulwark_private.audit_groups g
     on g.organization_id = l.organization_id and g.seal between l.first_seal and l.last_seal
   where l.organization_id = tests.acme() group by l.entries),
  'ARC-11: and counts what each organization has in the seals'
);
select tests.error_is('ARC-12: a file needs the signing key', '42501 AUDIT_NOT_THE_KEY_HOLDER',
  $$ select record_audit_archive_file('2025-03-01', '{}',
    jsonb_build_array(tests.log_signer('one', 'guessed'))) $$);
select is(
  record_audit_archive_file('2025-03-01', '{"number": 99}', pg_temp.signers()), false,
  'ARC-13: a file that is not the next one is not recorded'
);
create temporary table recorded as select '' as what where false;
do $$
declare
  v_what text;
begin
  for file in 1..500 loop
    v_what := pg_temp.record();
    exit when v_what is null;
    insert into recorded values (v_what);
  end loop;
end;
$$;
select is_empty(
  $$ select what from recorded where what !~ 'recorded$' $$, 'ARC-14: each file is recorded once'
);
select is(
  (select sum(f.entries) from audit_archive_files f),
  (select sum(l.entries) from audit_archived_logs l),
  'ARC-15: the files hold each entry'
);

-- what keeps a month
create temporary table hold as
  select place_legal_hold('case 1', tests.acme(), resource_type => 'public.tests') as id;
select is(pg_temp.finish(), 'copied legal_hold', 'ARC-16: a hold keeps the month');
select release_legal_hold(h.id) from hold h;
select tests.error_is(
  'ARC-17: an entry that no seal holds keeps it', 'XX001 AUDIT_ARCHIVE_NOT_INTACT',
  $$ do $do$ begin
       perform tests.log_entry(90, 'acme', 90, '2025-03-20 00:00Z');
       perform pg_temp.finish();
     end $do$ $$);
-- A removal that covers entries of the month and later ones.
select bulwark_private.remove_audit_payloads(
  array[tests.entry_id('acme2', '2025-03-10 12:00Z'), tests.entry_id('acme5', '2025-04-01 00:01Z')],
  tests.acme(), '{"kind": "retention"}'
);
select is(
  finish_audit_archive('2025-03-01', pg_temp.signers()) ->> 'step', 'stale',
  'ARC-18: a payload that was removed since has to leave the files first'
);
select forget_audit_archive_files('2025-03-01', tests.acme());
select is(
  (select count(*) from audit_archive_files f where f.organization_id = tests.acme()), 0::bigint,
  'ARC-19: which are then written again'
);
select pg_temp.later(4);
select tests.seal_log(4);
do $$ begin
  for file in 1..500 loop
    exit when pg_temp.record() is null;
  end loop;
  -- As of a snapshot in which the removal was over.
  update bulwark.audit_archive_files f
  set snapshot = format('%1$s:%1$s:', b.xid + 5)::pg_snapshot from tests.base b;
end $$;
select is(
  (select concat_ws(' ', intact, complete, problem) from verify_audit_log()), 't t',
  'ARC-20: (the log verifies before)'
);
select is(
  (select bool_and(bulwark_private.audit_leaf_of(concat('{', c.members, '}')::jsonb) = l.leaf)
   from bulwark_private.audit_records c join bulwark_private.audit_leaves l on l.id = c.id),
  true, 'ARC-21: audit_leaf_of() gives the leaf of every entry'
);

-- the drop
select is(pg_temp.finish(), 'done 5', 'ARC-22: then the month is dropped');
select is(to_regclass('bulwark_private.audit_logs_2025_03'), null, 'ARC-23: with its partition');
select pg_temp.later(5);
select tests.seal_log(5);
select is(
  (select concat_ws(' ', intact, complete, problem, detail ~ 'are archived')
   from verify_audit_log()),
  't t t', 'ARC-24: the log verifies, removals that cover archived entries included, and says so'
);
select is(pg_temp.finish(), 'done 5', 'ARC-25: once done, it stays done');
select is(
  pg_temp.verdict_after(statement), verdict, format('ARC-26: verification finds %s', claim)
)
from (values
  ('alter table bulwark.audit_archives disable trigger user;
    update bulwark.audit_archives set seal_hash = ''\x00''', 't f archive_without_record',
    'a tombstone that was changed'),
  ('alter table bulwark.audit_archive_files disable trigger user;
    delete from bulwark.audit_archive_files', 't f archive_without_record',
    'a file that was struck off'),
  ('alter table bulwark.audit_logs disable trigger user;
    update bulwark.audit_logs set severity = ''debug''
    where id = tests.entry_id(''acme5'', ''2025-04-01 00:01Z'')', 'f t entry_altered',
    'an entry of the archived seals that is still there and was altered')
) as c (statement, verdict, claim);
select tests.error_is('ARC-27: a tombstone stays what it is', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_archives set dropped = 0 $$);
select place_legal_hold('case 2', resource_type => 'public.tests');
select tests.age_seals(-1000000, 3, '100 days');
select is(
  prune_audit_log(1), 0::bigint, 'ARC-28: while a hold is in force nothing archived is pruned'
);
select release_legal_hold(h.id) from audit_legal_holds h where h.reason = 'case 2';
select ok(prune_audit_log(1) > 0, 'ARC-29: afterwards it is');
select tests.error_is('ARC-30: and is not restored any more', 'PT410 AUDIT_ARCHIVE_PRUNED',
  $$ select begin_audit_restore('2025-03-01', 'case 3') $$);

select * from finish();
rollback;
