-- Plans that do not depend on statistics: those of an empty log, and wrong ones as after a bulk
-- load. Counts what is read, never time. Transaction ids are made up.
begin;
set local search_path = bulwark, public, extensions;
select plan(41);
select tests.create_organizations();
-- Ten years.
select count(*) from bulwark_private.make_audit_partitions(119);
select tests.start_log();
select tests.seal_log(0);
update tests.base set last = (select max(number) from bulwark_private.audit_seals);
analyze audit_logs, bulwark_private.audit_groups, bulwark_private.audit_seals;

-- 40 seals of 50 entries: those of acme in the first and the last, of globex in all.
alter table audit_logs disable trigger audit_logs_stamp;
insert into audit_logs (
  id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id, actor_type,
  resource_type, resource_id, action
)
select tests.entry_id(n::text), (b.xid + 1 + n / 50)::text::xid8, now(),
  (select max(timeline) from bulwark_private.audit_timelines), md5(n::text)::uuid, 'service',
  'info', 'data.read',
  case when n / 50 in (0, 39) and n % 2 = 0 then tests.acme() else tests.globex() end,
  'service', 'public.tests', n::text, 'read'
from generate_series(0, 1999) as n, tests.base b;
alter table audit_logs enable always trigger audit_logs_stamp;
create temporary table read_tables as
  select p.relation::oid from bulwark_private.audit_partitions p
  union all
  select unnest('{bulwark_private.audit_groups, bulwark_private.audit_seals}'::regclass[]);
create function pg_temp.read_by(statement text)
  returns table (scans bigint, fetched bigint)
  language plpgsql
as $$
declare
  v_fetched bigint;
  v_scans bigint;
begin
  select sum(pg_stat_get_xact_numscans(t.relation)),
    sum(pg_stat_get_xact_tuples_fetched(t.relation))
  into v_scans, v_fetched
  from read_tables t;
  execute statement;
  select sum(pg_stat_get_xact_numscans(t.relation)) - v_scans,
    sum(pg_stat_get_xact_tuples_fetched(t.relation)) - v_fetched
  into scans, fetched
  from read_tables t;
  return next;
end;
$$;
-- Statements, and the rows that each may fetch. The log has over 2,000. A search through the index
-- reads what is not in it yet: new pages.
create temporary table bounded (name text, bound bigint, statement text);
insert into bounded values
  ('verification of a seal', 500,
    'select verify_audit_log(after_seal => b.last + 39, max_entries => 50) from tests.base b'),
  ('verification of an organization''s seal', 500,
    'select verify_audit_log(tests.acme(), after_seal => b.last + 39, max_entries => 50)
     from tests.base b'),
  ('a page of an export', 400,
    'select export_audit_log(tests.acme(), (select last from tests.base) || '':0'', 30)'),
  ('the export of an organization with a few groups among many', 300,
    'select export_audit_log(tests.acme(), ((select last from tests.base) + 2) || '':0'', 30)'),
  ('an inclusion proof', 100,
    'select audit_inclusion_proof(tests.entry_id(''500''))'),
  ('the status of the log', 300, 'select audit_status()'),
  ('a search', 300, 'select search_audit_logs(tests.acme(), page_size => 10)'),
  ('a search without an organization', 300,
    'select search_audit_logs(page_size => 10)'),
  ('one of a time', 300,
    'select search_audit_logs(tests.acme(), until => now() - interval ''1 day'')'),
  ('a search that finds nothing', 600,
    'select search_audit_logs(tests.globex(), actor_id => tests.globex(), max_entries => 200)'),
  ('a search for an actor through the index', 10000,
    'select search_audit_logs(tests.globex(), actor_id => tests.globex())'),
  ('a search for a resource without an organization', 10000,
    'select search_audit_logs(resource_type => ''public.tests'', resource_id => ''none'')'),
  ('a chart of few entries among many', 300,
    'select audit_histogram(tests.acme(), since => now() - interval ''30 days'',
      bucket => ''1 day'')'),
  ('a poll of a follower with nothing new', 50,
    'select tail_audit_log(tests.acme(), encode(convert_to(row(
       (select max(timeline) from bulwark_private.audit_timelines), now(),
       now() + interval ''1 hour'', pg_current_snapshot(), null, null, null, null
     )::text, ''UTF8''), ''base64''))'),
  ('a page of a follower that missed most of the log', 100,
    'select tail_audit_log(tests.globex(), encode(convert_to(row(
       (select max(timeline) from bulwark_private.audit_timelines), now(),
       now() - interval ''10 years'', ''1:1:''::pg_snapshot, null, null, null, null
     )::text, ''UTF8''), ''base64''), 5)'),
  ('how far a log is proved', 50, 'select audit_coverage(tests.acme())'),
  ('the part that proves a period', 50,
    'select audit_period(tests.acme(), now() - interval ''1 day'', now() + interval ''1 day'')'),
  ('retention of what is old', 200, 'select cleanup_old_audit_logs(90)'),
  ('a step of an erasure', 500,
    'select erase_subject(tests.user_id(''admin@acme.test''), ''asked'', tests.acme(),
       max_entries => 20)'),
  ('another seal', 100, 'select tests.seal_log(99)');

select is(
  (select max(r.fetched) < 500 and sum(r.scans) = 0
   from generate_series(1, 40) as n
   cross join lateral pg_temp.read_by(format('select tests.seal_log(%s)', n)) r),
  true, 'AUL-01: a seal reads its entries by their transactions'
);
set local request.jwt.claims = '{"role": "service_role"}';
create function pg_temp.check(state text)
  returns setof text
  language sql
as $$
  select is(
    (select format('%s whole scans%s', r.scans, case when r.fetched > b.bound then
        format(', %s rows', r.fetched) end)
     from pg_temp.read_by(b.statement) r),
    '0 whole scans', format('AUL-02: %s, with %s statistics', b.name, state)
  )
  from bounded b;
$$;
select pg_temp.check('stale');
alter table audit_logs alter column xid set (n_distinct = 1);
alter table audit_logs alter column organization_id set (n_distinct = 1);
alter table bulwark_private.audit_groups alter column organization_id set (n_distinct = 1);
alter table bulwark_private.audit_groups alter column seal set (n_distinct = 1);
analyze audit_logs, bulwark_private.audit_groups, bulwark_private.audit_seals;
select pg_temp.check('wrong');
select * from finish();
rollback;
