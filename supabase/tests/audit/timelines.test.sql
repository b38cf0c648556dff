-- The cluster that the log lives in, and how loading a backup is told from writing.
begin;
set local search_path = bulwark, public, extensions;
select plan(18);

select results_eq(
  $$ select timeline, settled_at is not null from bulwark_private.audit_timelines $$,
  $$ values (1, true) $$,
  'AUD-80: the log begins in a timeline of its own, which needs no look after a restore'
);
select ok(bulwark_private.audit_log_is_settled(), 'AUD-80: and nothing was restored');

-- acting as the owner, in a log that is sealed
select tests.error_is('AUD-81: nobody adds a timeline: it would be this cluster''s, which has one',
  '23505',
  $$ insert into bulwark_private.audit_timelines
       (timeline, relation, system_identifier, postgres_timeline)
     values (32767, 1, 1, 1) $$);
set local session_replication_role = replica;
select tests.error_is('AUD-81: not as a replica either', '23505',
  $$ insert into bulwark_private.audit_timelines
       (timeline, relation, system_identifier, postgres_timeline)
     values (32767, 1, 1, 1) $$);
select tests.error_is('AUD-81: that a timeline was settled is not taken back',
  '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update bulwark_private.audit_timelines set settled_at = null $$);
select tests.error_is('AUD-81: a timeline does not move to another cluster',
  '23514 COLUMN_IS_FIXED',
  $$ update bulwark_private.audit_timelines set system_identifier = 7 $$);

-- A row as a dump contains it.
create temporary table dumped as
  select e.* from bulwark.audit_logs e order by e.id limit 1;
update dumped set
  id = '01900000-0000-7000-8000-000000000001', xid = '7', occurred_at = '2026-01-01',
  database_user = 'somebody';

insert into bulwark.audit_logs select * from dumped;
select is_empty(
  $$ select from bulwark.audit_logs e join dumped d on d.id = e.id $$,
  'AUD-82: in a log that is sealed an entry has the database''s id, as a replica too'
);
select results_eq(
  $$ select xid = pg_current_xact_id(), occurred_at >= now(), database_user = session_user
     from bulwark.audit_logs order by id desc limit 1 $$,
  $$ values (true, true, true) $$,
  'AUD-82: and its time, transaction and user'
);
select results_eq(
  $$ with made as (
       insert into bulwark_private.audit_seals (number, timeline, sealed_at, snapshot, root,
         previous_hash, hash,
         nodes)
       values (999, 1, '2026-01-01', '1:1:', '\x00', '\x00', '\x00', '\x00')
       returning number, sealed_at
     )
     select number < 999, sealed_at >= now() from made $$,
  $$ values (true, true) $$,
  'AUD-82: a seal extends the chain, whatever it says'
);

-- The tables after a restore into another cluster.
create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
  for each row execute function bulwark_private.audit_logs_stamp('1/1', '1');
alter table bulwark.audit_logs enable always trigger audit_logs_stamp;

select ok(
  not bulwark_private.audit_log_is_settled(), 'AUD-83: another cluster''s stamp is recognized'
);
insert into bulwark.audit_logs select * from dumped;
select results_eq(
  $$ select e from bulwark.audit_logs e join dumped d on d.id = e.id $$,
  $$ select d::bulwark.audit_logs from (select * from dumped) d $$,
  'AUD-83: an entry that a restore loads stays what it is'
);
insert into bulwark_private.audit_seals (
  number, timeline, sealed_at, snapshot, root, previous_hash, hash, nodes
)
values (999, 1, '2026-01-01', '1:1:', '\x00', '\x00', '\x00', '\x00');
select isnt_empty(
  $$ select from bulwark_private.audit_seals where number = 999 and sealed_at = '2026-01-01' $$,
  'AUD-83: and so does a seal'
);
insert into bulwark_private.audit_timelines (
  timeline, relation, system_identifier, postgres_timeline, settled_at
)
values (7, 1, 1, 1, '2026-01-01');
select isnt_empty(
  $$ select from bulwark_private.audit_timelines
     where timeline = 7 and settled_at = '2026-01-01' $$,
  'AUD-83: and a timeline'
);
insert into bulwark.permissions values ('test:loaded', 'x');
select is_empty(
  $$ select from bulwark.audit_logs where resource_id = 'test:loaded' $$,
  'AUD-84: a row that a restore loads is no change'
);
set local session_replication_role = origin;
insert into bulwark.permissions values ('test:written', 'x');
select isnt_empty(
  $$ select from bulwark.audit_logs
     where resource_id = 'test:written' and timeline = 1 and xid = pg_current_xact_id() $$,
  'AUD-84: what is written before the first seal is one, and of this cluster''s timeline'
);

-- acting as the sealer
select ok(bulwark_private.settle_audit_timeline(), 'AUD-85: the sealer settles first');
select ok(bulwark_private.audit_log_is_settled(), 'AUD-85: after that nothing is loaded any more');
insert into bulwark.audit_logs select * from dumped;
select is(
  (select count(*) from bulwark.audit_logs e join dumped d on d.id = e.id), 1::bigint,
  'AUD-85: entries are stamped again'
);

select * from finish();
rollback;
