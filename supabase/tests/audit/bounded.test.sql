-- Seals of bounded size: a transaction larger than a seal spans several, which verify, prove and
-- export as one, and of which no part can be altered, left out or moved. Transaction ids are made
-- up.
begin;
set local search_path = bulwark, public, extensions;
select plan(25);
select tests.create_organizations();
select tests.start_log();
select tests.seal_log(0);
update tests.base set last = (select max(number) from bulwark_private.audit_seals);
update settings set value = '4' where name = 'audit.seal_entries';

-- Transaction 1 stays open while 2, which is larger than a seal, is sealed.
select count(tests.log_entry(1, 'globex', n)) from generate_series(101, 106) as n;
select count(tests.log_entry(2, 'acme', n)) from generate_series(1, 9) as n;
select count(tests.log_entry(2, 'globex', n)) from generate_series(201, 202) as n;
create temporary table parts as
  select tests.seal_log(2, '1') as part from generate_series(1, 2);
select results_eq(
  $$ select s.number - b.last, g.entries, s.through is null
     from bulwark_private.audit_seals s
     cross join lateral (
       select sum(g.entry_count)::integer as entries
       from bulwark_private.audit_groups g where g.seal = s.number
     ) g, tests.base b
     where s.number > b.last and g.entries is not null
       and s.number >= b.last + (select min(part) from parts)
     order by s.number $$,
  $$ values (1::bigint, 4, false), (2, 4, false) $$,
  'AUB-01: a seal holds no more than it may, and says that the next continues it'
);

-- A crash here, and a later snapshot: transaction 1 has finished, and 3 has written.
select count(tests.log_entry(3, 'acme', n)) from generate_series(21, 22) as n;
select is(tests.seal_log(3), 3, 'AUB-02: the next run first continues what was begun');
select is(
  (select s.sealed_at = p.sealed_at and s.snapshot::text = p.snapshot::text and s.through is null
   from bulwark_private.audit_seals s, bulwark_private.audit_seals p, tests.base b
   where s.number = b.last + 3 and p.number = b.last + 1),
  true, 'AUB-03: with the same snapshot, and the time when it was taken'
);
select is(tests.seal_log(3), 4, 'AUB-04: then it seals what came later');
select is(tests.seal_log(3), 5, 'AUB-05: until everything is sealed');
select is(tests.seal_log(3), null, 'AUB-06: and then there is nothing');
select results_eq(
  $$ select bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) - b.last as seal, count(*)
     from audit_logs e, tests.base b where e.resource_type = 'public.tests'
     group by 1 order by 1 $$,
  $$ values (1::bigint, 4::bigint), (2, 4), (3, 3), (4, 4), (5, 4) $$,
  'AUB-07: every entry lies in one of them'
);
select is(
  (select count(*) from audit_logs e where e.resource_type = 'public.tests'
     and not bulwark_private.audit_entry_is_sealed(e.id)), 0::bigint,
  'AUB-08: and is what it holds'
);
select is(tests.log_verdict(), 't t', 'AUB-09: the log verifies');
select is(tests.log_verdict('acme'), 't t', 'AUB-10: and so does that of an organization');
select is(
  (select array_agg(v.seals_checked order by c.n)
   from tests.base b
   cross join generate_series(0, 4) as c (n)
   cross join lateral verify_audit_log(after_seal => b.last + c.n, max_entries => 1) v),
  '{1,1,1,1,1}'::bigint[], 'AUB-11: part by part, within any budget'
);

-- Alterations by somebody who owns a part, and everything else.
alter table audit_logs disable trigger audit_logs_stamp;
alter table audit_logs disable trigger audit_logs_refuse_change;
alter table bulwark_private.audit_seals disable trigger audit_seals_refuse_change;
alter table bulwark_private.audit_seals disable trigger audit_seals_extend_chain;
alter table bulwark_private.audit_groups disable trigger audit_groups_refuse_change;
create function pg_temp.entry_of(part integer, place integer)
  returns uuid
  language sql
as $$
  select e.id from audit_logs e, tests.base b
  where e.resource_type = 'public.tests'
    and bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) = b.last + part
  order by e.timeline, e.xid, e.id
  offset place - 1 limit 1;
$$;
create temporary table second as select pg_temp.entry_of(2, 1) as id;
grant select on second to authenticated;
select is(
  tests.log_verdict_after($$ delete from audit_logs e using second s where e.id = s.id $$),
  't f entry_missing 2', 'AUB-12: an entry that is gone from a part is missed'
);
select is(
  (select string_agg(split_part(tests.log_verdict_after(format($$
    insert into audit_logs select (jsonb_populate_record(e, jsonb_build_object('id',
      (%L::uuid)::text))).* from audit_logs e join second s on s.id = e.id $$,
    overlay(pg_temp.entry_of(p, 4)::text placing l from 36 for 1))), ' ', 3), ' ')
   from generate_series(1, 2) as p
   cross join lateral (
     select case when right(pg_temp.entry_of(p, 4)::text, 1) = 'f' then 'e' else 'f' end as l
   ) f),
  'entry_inserted entry_inserted', 'AUB-13: one cannot be put between two parts'
);
select is(
  tests.log_verdict_after($$ delete from bulwark_private.audit_seals s using tests.base b
    where s.number = b.last + 2 $$), 't f seal_missing 3', 'AUB-14: a part cannot be left out'
);
select is(
  split_part(tests.log_verdict_after($$ delete from bulwark_private.audit_groups g
    using tests.base b where g.seal = b.last + 2 $$), ' ', 3), 'group_altered',
  'AUB-15: nor what it holds'
);
select is(
  split_part(tests.log_verdict_after($$ update bulwark_private.audit_seals s set through = null
    from tests.base b where s.number = b.last + 2 $$), ' ', 3), 'seal_altered',
  'AUB-16: a part is hashed with where it ends'
);
-- A chain that is right by itself, but skips the rest of a snapshot.
select is(
  split_part(tests.log_verdict_after($$
    delete from bulwark_private.audit_groups g using tests.base b where g.seal > b.last + 2;
    delete from bulwark_private.audit_seals s using tests.base b where s.number > b.last + 2;
    insert into bulwark_private.audit_seals (number, timeline, sealed_at, snapshot, through, root,
      previous_hash, hash, nodes)
    select f.number, f.timeline, f.sealed_at, f.snapshot, null, sha256(''), f.hash,
      bulwark_private.audit_seal_hash(f.number, f.hash, sha256(''), f.timeline, f.sealed_at,
        f.snapshot, null), ''
    from (
      select s.number + 1 as number, s.timeline, s.sealed_at, s.hash,
        format('%1$s:%1$s:', b.xid + 9)::pg_snapshot as snapshot
      from bulwark_private.audit_seals s, tests.base b where s.number = b.last + 2
    ) f;
    update bulwark_private.audit_seals s set nodes = bulwark_private.audit_seal_nodes(
      s.number, s.hash) from tests.base b where s.number = b.last + 3 $$), ' ', 3),
  'chain_broken', 'AUB-17: a seal with another snapshot does not continue a part'
);
alter table bulwark_private.audit_seals enable always trigger audit_seals_extend_chain;
select tests.error_is('AUB-18: and cannot be written', '55000 AUDIT_SEAL_IS_OPEN', $$
  do $do$
  begin
    delete from bulwark_private.audit_groups g using tests.base b where g.seal > b.last + 2;
    delete from bulwark_private.audit_seals s using tests.base b where s.number > b.last + 2;
    insert into bulwark_private.audit_seals (timeline, snapshot, root)
    select s.timeline, format('%1$s:%1$s:', b.xid + 9)::pg_snapshot, ''
    from bulwark_private.audit_seals s, tests.base b where s.number = b.last + 2;
  end
  $do$
$$);
alter table audit_logs enable always trigger audit_logs_stamp;
alter table audit_logs enable always trigger audit_logs_refuse_change;
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
alter table bulwark_private.audit_groups enable always trigger audit_groups_refuse_change;

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
create temporary table pages (n integer, page jsonb);
do $$
declare
  v_page jsonb;
begin
  for n in 1..20 loop
    v_page := export_audit_log(tests.acme(), v_page ->> 'next', 3);
    insert into pages values (n, v_page);
    exit when v_page ->> 'next' is null;
  end loop;
end;
$$;
select results_eq(
  $$ select e ->> 'id' from pages p, jsonb_array_elements(p.page -> 'groups') as g,
       jsonb_array_elements(g -> 'entries') as e
     where e ->> 'resource_type' = 'public.tests' $$,
  $$ select e.id::text from audit_logs e where e.resource_type = 'public.tests'
     order by e.timeline, e.xid, e.id $$,
  'AUB-19: an export pages through the parts in order, and leaves nothing out'
);
select is(
  (select bool_and(e ->> 'leaf' is not null)
   from pages p, jsonb_array_elements(p.page -> 'groups') as g,
     jsonb_array_elements(g -> 'entries') as e
   where e ->> 'resource_type' = 'public.tests'),
  true, 'AUB-20: every entry with the leaf that was sealed'
);
select is(
  (select count(distinct audit_inclusion_proof(e.id) -> 'group' ->> 'seal')
   from audit_logs e where e.resource_type = 'public.tests'), 4::bigint,
  'AUB-21: an entry is proved from its own part'
);
select is(
  (select (audit_inclusion_proof(e.id) -> 'seal' ->> 'through') is not null
   from audit_logs e, second s where e.id = s.id), true,
  'AUB-22: whose end the proof has as a hash'
);
reset role;

-- bounded in bytes
update settings set value = '1' where name = 'audit.seal_bytes';
select count(tests.log_entry(5, 'acme', n)) from generate_series(31, 33) as n;
select results_eq(
  $$ select tests.seal_log(5) from generate_series(1, 4) $$, array[6, 7, 8, null],
  'AUB-23: a seal is bounded in bytes, and holds at least one entry'
);
select is(tests.log_verdict(), 't t', 'AUB-24: the log verifies');

-- pruning
update settings set value = '1' where name = 'audit.keep_days';
update settings set value = '1' where name = 'audit.removal_batch';
select tests.age_seals(-1000, 2, '3 days');
select prune_audit_log(1) > 0;
select is(
  (select s.through is null from bulwark_private.audit_prunings p
   join bulwark_private.audit_seals s on s.number = p.through_seal
   order by p.through_seal desc limit 1), true,
  'AUB-25: a large transaction is pruned as a whole or not at all'
);
select * from finish();
rollback;
