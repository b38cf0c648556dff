-- Retention, erasure, legal holds and pruning. The test is one transaction, so its writes after a
-- seal are given a later transaction id, as they would have in reality.
begin;
set local search_path = bulwark, public, extensions;
select plan(52);
select tests.create_organizations();
-- Entries of the past are made and sealed today, and later their seals are made older than they
-- are; backdated.test.sql tests such times.
update bulwark.settings set value = '1000000000' where name = 'audit.clock_tolerance_seconds';
update bulwark.settings set value = '30' where name = 'audit.keep_days';
select tests.start_log();
-- Where pg_cron runs, retention may have run already; this file's entries are older than that.
update bulwark_private.audit_retention_progress set through_id = null;
select is(tests.seal_log(0), 1, 'AUR-01: (the set-up is sealed)');
create temporary table mark as
  select id as after from bulwark.audit_logs order by id desc limit 1;
create function pg_temp.later(at bigint)
  returns void
  language sql
as $$
  update bulwark.audit_logs e set xid = (b.xid + at)::text::xid8
  from tests.base b, mark m
  where e.xid = pg_current_xact_id() and e.id > m.after;
$$;
create function pg_temp.entry(
  number integer,
  organization text,
  days integer,
  severity audit_severity default 'info',
  actor text default 'analyst@acme.test'
)
  returns void
  language sql
as $$
  insert into bulwark.audit_logs (
    id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id, actor_type,
    actor_id, resource_type, resource_id, action, ip, after
  )
  select
    (substring(bulwark_private.audit_id_floor(now() - make_interval(days => days))::text for 24)
      || lpad(to_hex(number), 12, '0'))::uuid,
    (b.xid + 1)::text::xid8, now() - make_interval(days => days),
    (select max(timeline) from bulwark_private.audit_timelines), gen_random_uuid(), 'table',
    severity,
    'data.create',
    tests.organization_id(organization), 'user', tests.user_id(actor), 'public.tests',
    number::text, 'insert', '203.0.113.9', jsonb_build_object('number', number)
  from tests.base b;
$$;
create temporary view made as
  select e.*, ('x' || substring(e.id::text from 25))::bit(48)::bigint as number
  from bulwark.audit_logs e
  where e.resource_type = 'public.tests';

alter table audit_logs disable trigger audit_logs_stamp;
select pg_temp.entry(n, 'acme', 100) from generate_series(1, 5) as n;
select pg_temp.entry(n, 'globex', 100, actor => 'admin@globex.test')
from generate_series(6, 8) as n;
select pg_temp.entry(9, 'acme', 100, 'error');
select pg_temp.entry(10, 'acme', 100, 'critical');
select pg_temp.entry(11, 'acme', 10);
select pg_temp.entry(12, 'globex', 100, actor => 'viewer@globex.test');
select pg_temp.entry(13, 'acme', 10, actor => 'viewer@globex.test');
alter table audit_logs enable always trigger audit_logs_stamp;
select is(tests.seal_log(1), 2, 'AUR-02: (and so are entries of 100 and of 10 days ago)');
select is(tests.log_verdict(), 't t', 'AUR-03: the log verifies');

-- permissions
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ select cleanup_old_audit_logs() $$),
  '42501', 'AUR-04: no person runs retention'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated', $$ select prune_audit_log(1) $$),
  '42501', 'AUR-05: no person prunes'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated',
    $$ select erase_subject(tests.user_id('viewer@globex.test'), 'x',
      tests.acme()) $$),
  '42501 RBAC_PERMISSION_DENIED', 'AUR-06: an administrator does not erase'
);
select is(
  tests.error_as('admin@acme.test', 'authenticated',
    $$ select place_legal_hold('x', tests.acme()) $$),
  '42501 RBAC_PERMISSION_DENIED', 'AUR-07: nor place holds'
);
select is(
  tests.error_as('super@bulwark.test', 'authenticated',
    $$ select bulwark_private.remove_audit_payloads('{}', null, '{}') $$),
  '42501', 'AUR-08: nobody removes payloads otherwise'
);

-- holds
select tests.error_is('AUR-09: a hold holds something', '22023 AUDIT_INVALID_HOLD',
  $$ select place_legal_hold('case 1') $$);
select tests.error_is('AUR-10: and has a reason', '22023 AUDIT_INVALID_HOLD',
  $$ select place_legal_hold('', tests.acme()) $$);
create temporary table holds (name text, id uuid);
grant all on holds to public;
select tests.act_as('super@bulwark.test');
insert into holds values (
  'globex viewer',
  place_legal_hold('case 1', subject_id => tests.user_id('viewer@globex.test'))
);
insert into holds values (
  'row 2',
  place_legal_hold(
    'case 2', tests.acme(), resource_type => 'public.tests', resource_id => '2'
  )
);
select tests.act_as_owner();
select is(
  (select count(*)::int from audit_logs e join holds h on h.id::text = e.resource_id
   where e.event_type = 'config.changed' and e.actor_id = tests.user_id('super@bulwark.test')),
  2, 'AUR-11: a hold is an entry'
);
select tests.error_is('AUR-12: retention is at least a day', '22023 AUDIT_INVALID_RETENTION',
  $$ select cleanup_old_audit_logs(0) $$);
select tests.error_is('AUR-13: and a number', '22023 AUDIT_INVALID_RETENTION',
  $$ select cleanup_old_audit_logs(null) $$);

-- retention
select is(cleanup_old_audit_logs(36500), 0, 'AUR-50: a hundred years keep everything');
update bulwark_private.audit_retention_progress set through_id = null;
select is(
  bulwark_private.audit_id_floor('1960-01-01'), '00000000-0000-0000-0000-000000000000'::uuid,
  'AUR-51: a moment before 1970 is the beginning'
);
select tests.error_is('AUR-52: only a person is erased', 'PT404 AUDIT_UNKNOWN_SUBJECT',
  $$ select erase_subject(tests.acme(), 'not a person') $$);
select is(cleanup_old_audit_logs(), 7, 'AUR-14: retention removes what is older than 90 days');
select results_eq(
  $$ select number::int from made where removed_by is not null order by number $$,
  array[1, 3, 4, 5, 6, 7, 8],
  'AUR-15: not what is newer, serious, or under a hold'
);
select ok(
  (select bool_and(num_nonnulls(salt, actor_type, actor_id, database_user, session_id, ip,
     user_agent, resource_id, action, correlation_id, parent_id, before, after, details) = 0
     and octet_length(commitment) = 32 and organization_id is not null)
   from made where removed_by is not null),
  'AUR-16: of a removed payload nothing stays but the commitment'
);
select results_eq(
  $$ select r.organization_id, r.details ->> 'kind', (r.details ->> 'entries')::int
     from audit_logs r, mark m
     where r.event_type = 'compliance.data_deleted' and r.id > m.after
     order by (r.details ->> 'entries')::int desc $$,
  $$ values (tests.acme(), 'retention', 4),
            (tests.globex(), 'retention', 3) $$,
  'AUR-17: each organization has a record of what was removed'
);
select is(cleanup_old_audit_logs(), 0, 'AUR-18: a second run finds nothing');
alter table audit_logs disable trigger audit_logs_refuse_change;
select pg_temp.later(2);
alter table audit_logs enable always trigger audit_logs_refuse_change;
select is(tests.seal_log(2), 3, 'AUR-19: the records are sealed');
select is(tests.log_verdict(), 't t', 'AUR-20: and the log still verifies');
select is(
  (select payloads_removed from tests.base b, verify_audit_log(after_seal => b.last) v), 7::bigint,
  'AUR-21: which counts the removed payloads'
);
select tests.error_is('AUR-22: entries without payload keep their proofs', 'no error',
  $$ select audit_inclusion_proof(id) from made where removed_by is not null $$);
select tests.act_as('super@bulwark.test');
select tests.error_is('AUR-23: a hold is released', 'no error',
  $$ select release_legal_hold(id) from holds where name = 'row 2' $$);
select tests.error_is('AUR-24: once', 'PT404 AUDIT_UNKNOWN_HOLD',
  $$ select release_legal_hold(id) from holds where name = 'row 2' $$);
select tests.act_as_owner();
select is(cleanup_old_audit_logs(), 1, 'AUR-25: and what it kept is removed then');

-- erasure
select tests.error_is('AUR-26: a hold on a person stops the erasure', 'PT409 AUDIT_LEGAL_HOLD',
  $$ select erase_subject(tests.user_id('viewer@globex.test'), 'asked for') $$);
select tests.error_is('AUR-27: nobody is no subject', '22023 AUDIT_INVALID_ERASURE',
  $$ select erase_subject(null, 'x') $$);
select tests.error_is('AUR-28: and a reason is needed', '22023 AUDIT_INVALID_ERASURE',
  $$ select erase_subject(gen_random_uuid(), '') $$);
select release_legal_hold(id) from holds where name = 'globex viewer';
select ok(
  (select removed >= 3 and kept = 0 and next_after is null
   from erase_subject(tests.user_id('viewer@globex.test'), 'asked for')),
  'AUR-29: an erasure takes what the person did and what names them'
);
select is_empty(
  $$ select from audit_logs e, mark m
     where e.id <= m.after and e.event_type <> 'compliance.data_deleted'
       and (e.actor_id = tests.user_id('viewer@globex.test')
         or position(tests.user_id('viewer@globex.test')::text
           in concat(e.resource_id, e.before, e.after, e.details)) > 0) $$,
  'AUR-30: everywhere'
);
select is(
  (select count(*)::int from made where number in (12, 13) and removed_by is null), 0,
  'AUR-31: in every organization'
);
select is_empty(
  $$ select from audit_logs where event_type = 'compliance.data_deleted'
     and details::text ~ tests.user_id('viewer@globex.test')::text $$,
  'AUR-32: the record does not name them'
);
select ok(
  exists (select from audit_logs where event_type = 'compliance.data_deleted'
    and details ->> 'subject'
      = encode(sha256(uuid_send(tests.user_id('viewer@globex.test'))), 'hex')),
  'AUR-33: but answers who asks about them'
);
alter table audit_logs disable trigger audit_logs_refuse_change;
select pg_temp.later(3);
alter table audit_logs enable always trigger audit_logs_refuse_change;
select is(tests.seal_log(3), 4, 'AUR-35: (sealed)');
select is(tests.log_verdict(), 't t', 'AUR-36: the log still verifies');

-- a record that does not cover what names it
alter table audit_logs disable trigger audit_logs_refuse_change;
select is(
  tests.log_verdict_after($$ update audit_logs e
    set commitment = c.payload_commitment, salt = null, after = null, ip = null,
        removed_by = (select removed_by from made where number = 1)
    from bulwark_private.audit_commitments c, made m
    where m.number = 11 and e.id = m.id and c.id = m.id $$),
  't f removal_record_differs ' || (
    select min(id::text) from made
    where removed_by = (select removed_by from made where number = 1)
  ), 'AUR-37: a payload slipped under an old record is found'
);
alter table audit_logs enable always trigger audit_logs_refuse_change;
select tests.error_is('AUR-38: and its trigger does not let it happen',
  '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update audit_logs e
    set commitment = sha256('x'), salt = null, actor_type = null, actor_id = null, after = null,
        ip = null, resource_id = null, action = null,
        removed_by = (select removed_by from made where number = 1)
    from made m where m.number = 11 and e.id = m.id $$);

-- pruning
select tests.error_is('AUR-39: what is pruned is at least a day old',
  '22023 AUDIT_INVALID_RETENTION', $$ select prune_audit_log(0) $$);
select is(prune_audit_log(30), 0::bigint, 'AUR-40: nothing old enough, nothing pruned');
select tests.age_seals(-1000000, 3, '100 days');
select is(
  (select concat_ws(' ', intact, complete, problem) from verify_audit_log()), 't t',
  'AUR-41: (old seals verify)'
);
select place_legal_hold('case 3', resource_type => 'public.tests', resource_id => '9');
select ok(
  (select count(*) = 13 from made where prune_audit_log(30) >= 0),
  'AUR-42: a hold stops pruning before the seal that holds the entry'
);
select is(
  (select max(through_seal) - b.last from bulwark_private.audit_prunings,
    tests.base b group by b.last),
  1::bigint, 'AUR-43: what is before it goes'
);
select release_legal_hold(h.id) from audit_legal_holds h where h.reason = 'case 3';
select ok(prune_audit_log(30) > 13, 'AUR-44: then the old prefix goes whole');
select is_empty($$ select from made $$, 'AUR-45: with its entries');
select ok(
  exists (
    select from audit_logs e, tests.base b where e.event_type = 'compliance.data_deleted'
      and e.details ->> 'kind' = 'pruning' and (e.details ->> 'through_seal')::bigint = b.last + 3
  ),
  'AUR-46: and leaves a tombstone'
);
alter table audit_logs disable trigger audit_logs_refuse_change;
select pg_temp.later(4);
alter table audit_logs enable always trigger audit_logs_refuse_change;
select ok(tests.seal_log(4) = 5, 'AUR-47: that is sealed');
select is(
  (select concat_ws(' ', intact, complete, problem) from verify_audit_log()), 't t',
  'AUR-48: after it every remaining seal verifies'
);
select is(
  (select concat_ws(
      ' ', (x.page ->> 'pruned')::bigint - b.last, g.seal <= b.last + 3,
      bulwark_private.base64(g.hash) = x.page #>> '{groups,0,previous}'
    )
   from tests.base b
   cross join (
     select bulwark.export_audit_log(null, null, 5, null, null, false)
   ) as x (page)
   join bulwark_private.audit_groups g on g.organization_id is null
     and g.seal = (x.page #>> '{previous,seal}')::bigint),
  '3 t t', 'AUR-48a: an export names the pruned group that its first one is chained to'
);
select tests.error_is('AUR-49: a tombstone stays what it is', '42501 AUDIT_LOG_IS_APPEND_ONLY',
  $$ update bulwark_private.audit_prunings set record_id = gen_random_uuid(), xid = '1' $$);

select * from finish();
rollback;
