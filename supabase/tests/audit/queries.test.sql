-- Search and export of the log: pages, filters, cursors and permissions.
begin;
set local search_path = bulwark, public, extensions;
select plan(56);
select tests.create_organizations();
create temporary table base as
  select pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000 as xid,
    (select coalesce(max(number), 0) from bulwark_private.audit_seals) as last;
grant select on base to public;
create function pg_temp.seal(through bigint)
  returns bigint
  language sql
as $$
  select bulwark_private.write_audit_seal(format('%1$s:%1$s:', b.xid + through + 1)::pg_snapshot)
  from base b;
$$;
create function pg_temp.entry(at bigint, organization text, number integer)
  returns void
  language sql
as $$
  insert into bulwark.audit_logs (
    id, xid, occurred_at, timeline, salt, source, severity, result, event_type, organization_id,
    actor_type, actor_id, correlation_id, resource_type, resource_id, action, details
  )
  select
    (substring(
      bulwark_private.audit_id_floor(now() - make_interval(secs => 1000 - number))::text for 24
    )
      || lpad(to_hex(number), 12, '0'))::uuid,
    (b.xid + at)::text::xid8, now() - make_interval(secs => 1000 - number),
    (select max(timeline) from bulwark_private.audit_timelines), gen_random_uuid(), 'service',
    case when number % 10 = 0 then 'error' else 'info' end::audit_severity,
    case when number % 20 = 0 then 'failure' else 'success' end::audit_result,
    case when number % 2 = 0 then 'data.read' else 'data.export' end,
    tests.organization_id(organization), 'user', tests.user_id('admin@' || organization || '.test'),
    md5('request' || number / 10)::uuid, 'public.tests', number::text, 'read',
    jsonb_build_object('text', format('needle_%s 100%%', number))
  from base b;
$$;
create function pg_temp.of(page jsonb)
  returns setof audit_logs
  language sql
as $$ select * from jsonb_populate_recordset(null::audit_logs, page -> 'entries'); $$;
select pg_temp.seal(0);
alter table audit_logs disable trigger audit_logs_stamp;
select count(pg_temp.entry(1 + n / 40, 'acme', n)) from generate_series(1, 120) as n;
select count(pg_temp.entry(2, 'globex', n)) from generate_series(201, 230) as n;
alter table audit_logs enable always trigger audit_logs_stamp;
select pg_temp.seal(1), pg_temp.seal(2);
select pg_temp.seal(3), pg_temp.seal(4);

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select resource_id
    from pg_temp.of(search_audit_logs(resource_type => 'public.tests', page_size => 3)) $$,
  array['120', '119', '118'], 'AUQ-01: a search brings the newest first'
);
select results_eq(
  $$ select resource_id
    from pg_temp.of(search_audit_logs(resource_type => 'public.tests', page_size => 3,
       before => (select id from audit_logs where resource_type = 'public.tests'
         and resource_id = '118'))) $$,
  array['117', '116', '115'], 'AUQ-02: and page by page the ones before'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(event_types => '{data.read}',
     resource_type => 'public.tests', page_size => 1000))),
  60, 'AUQ-03: by event type'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(severities => '{error,critical}',
     resource_type => 'public.tests', page_size => 1000))),
  12, 'AUQ-04: by severity'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(results => '{failure}', page_size => 1000))), 6,
  'AUQ-05: by result'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(actor_id => tests.user_id('admin@acme.test'),
     resource_type => 'public.tests', page_size => 1000))),
  120, 'AUQ-06: by actor'
);
select is(
  (select count(*)::int
   from pg_temp.of(search_audit_logs(resource_type => 'public.tests', resource_id => '7'))),
  1, 'AUQ-07: by resource'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(correlation_id => md5('request3')::uuid))), 10,
  'AUQ-08: by correlation id'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(
     since => now() - interval '1000 s' + interval '50 s', until => now() - interval '1000 s'
       + interval '59 s', resource_type => 'public.tests', page_size => 1000))),
  10, 'AUQ-09: by time, both ends included'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(search => 'needle_7 ', page_size => 1000))), 1,
  'AUQ-10: by text'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(search => 'needle%100', page_size => 1000))), 0,
  'AUQ-11: in which no character is a wildcard'
);
select is(
  (select count(*)::int
    from pg_temp.of(search_audit_logs(search => '100%', page_size => 1000))), 120,
  'AUQ-12: and each is found'
);
select is(
  (with recursive p (page) as (
     select search_audit_logs(results => '{failure}', page_size => 2, max_entries => 7)
     union all
     select search_audit_logs(results => '{failure}', page_size => 2, max_entries => 7,
       before => (p.page ->> 'next')::uuid)
     from p where p.page ->> 'next' is not null
   )
   select concat_ws(' ', count(f.id), count(distinct f.id), count(distinct p.page) > 4)
   from p left join lateral pg_temp.of(p.page) f on true),
  '6 6 t', 'AUQ-11a: a search that would read too much ends early, and goes on at its cursor'
);
select is(
  (select page -> 'entries' = '[]' and page ->> 'next' is not null
   from search_audit_logs(actor_id => tests.globex(), max_entries => 5) as page),
  true, 'AUQ-11b: also before it found anything'
);
select tests.error_is('AUQ-11c: it reads something', '22023 AUDIT_INVALID_LIMIT',
  $$ select search_audit_logs(max_entries => 0) $$);
select tests.error_is('AUQ-13: a foreign organization is closed', '42501 RBAC_PERMISSION_DENIED',
  $$ select search_audit_logs(organization_id => tests.globex()) $$);
select is_empty(
  $$ select * from pg_temp.of(search_audit_logs(page_size => 1000)) e
     where e.organization_id is distinct from tests.acme() $$,
  'AUQ-14: and nothing else of it is found without naming one'
);
select is_empty(
  $$ select * from pg_temp.of(search_audit_logs(actor_id => tests.user_id('admin@globex.test'))) $$,
  'AUQ-15: nor by its people'
);
select tests.error_is('AUQ-16: a page has a limit', '22023 AUDIT_INVALID_LIMIT',
  $$ select * from pg_temp.of(search_audit_logs(page_size => 1001)) $$);
select tests.error_is('AUQ-17: the far future is an error', '22023 AUDIT_INVALID_RANGE',
  $$ select * from pg_temp.of(search_audit_logs(since => now() + interval '1 year')) $$);
select tests.error_is('AUQ-18: and so is no time at all', '22023 AUDIT_INVALID_RANGE',
  $$ select * from pg_temp.of(search_audit_logs(until => '-infinity')) $$);
select tests.error_is('AUQ-19: and a type that does not exist', '22023 AUDIT_UNKNOWN_EVENT_TYPE',
  $$ select * from pg_temp.of(search_audit_logs(event_types => '{data.raed}')) $$);
select tests.error_is('AUQ-20: and a text too short', '22023 AUDIT_INVALID_SEARCH',
  $$ select * from pg_temp.of(search_audit_logs(search => 'x')) $$);

-- exporting as the administrator of acme
create temporary table pages (number integer, page jsonb);
select tests.act_as_owner();
grant all on pages to public;
create temporary view exported as
  select p.number as page, g.g ->> 'seal' as seal, e.e
  from pages p
  cross join lateral jsonb_array_elements(p.page -> 'groups') with ordinality as g (g, place)
  cross join lateral jsonb_array_elements(g.g -> 'entries') with ordinality as e (e, place);
grant select on exported to public;
select tests.act_as('admin@acme.test');
do $$
declare
  v_cursor text;
  v_page jsonb;
begin
  for i in 1 .. 100 loop
    v_page := export_audit_log(tests.acme(), v_cursor, 17);
    insert into pages values (i, v_page);
    v_cursor := v_page ->> 'next';
    exit when v_cursor is null;
  end loop;
end;
$$;
select ok((select count(*) > 7 from pages), 'AUQ-21: an export comes in pages');
select is(
  (select max((page ->> 'entries')::int) from pages), 17, 'AUQ-22: of the size asked for'
);
select is(
  (select count(distinct e ->> 'id')::int from exported
   where e ->> 'resource_type' = 'public.tests'),
  120, 'AUQ-23: that hold every entry'
);
select is(
  (select count(*)::int from exported where e ->> 'resource_type' = 'public.tests'), 120,
  'AUQ-24: once'
);
select is_empty(
  $$ select from exported
     where e ->> 'organization_id' is distinct from tests.acme()::text $$,
  'AUQ-25: and nothing of anybody else'
);
select is_empty(
  $$ select from pages
     where page::text ~ tests.globex()::text or page::text ~ 'globex' $$,
  'AUQ-26: not even its name'
);
select tests.act_as_owner();
select is(
  (select count(*)::int from audit_logs
   where action = 'export_audit_log' and event_type = 'data.export'
     and organization_id = tests.acme()
     and actor_id = tests.user_id('admin@acme.test')),
  (select count(*)::int from pages), 'AUQ-27: each page is itself an entry'
);
select is_empty(
  $$ select from exported x
     join bulwark_private.audit_leaves l on l.id = (x.e ->> 'id')::uuid
     where l.leaf <> sha256(
       '\x0001'::bytea || uuid_send((x.e ->> 'id')::uuid)
       || '\x01'::bytea || uuid_send((x.e ->> 'organization_id')::uuid)
       || int4send((x.e ->> 'timeline')::int) || int8send((x.e ->> 'xid')::bigint)
       || int8send((x.e ->> 'occurred_at_us')::bigint)
       || int2send(length(x.e ->> 'source')::int2) || int2send(length(x.e ->> 'severity')::int2)
       || int2send(length(x.e ->> 'result')::int2) || int2send(length(x.e ->> 'event_type')::int2)
       || int2send(length(x.e ->> 'resource_type')::int2)
       || convert_to(concat(x.e ->> 'source', x.e ->> 'severity', x.e ->> 'result',
         x.e ->> 'event_type', x.e ->> 'resource_type'), 'UTF8')
       || sha256(uuid_send((x.e ->> 'salt')::uuid) || convert_to(x.e ->> 'payload', 'UTF8'))) $$,
  'AUQ-28: what is exported hashes to what was sealed'
);
select is_empty(
  $$ select from (
       select (
         g ->> 'previous'
       ) as previous, lag(bulwark_private.base64(bulwark_private.audit_group_hash(
           (g ->> 'organization_id')::uuid, (g ->> 'seal')::bigint, (g ->> 'entry_count')::bigint,
           (g ->> 'entries_before')::bigint, decode(g ->> 'previous', 'base64'),
           decode(g ->> 'root', 'base64')))) over (order by (g ->> 'seal')::bigint) as hash
       from (select distinct on (g ->> 'seal') g from pages,
             jsonb_array_elements(page -> 'groups') as g) d) c
     where c.hash is not null and c.hash <> c.previous $$,
  'AUQ-29: its groups are a chain'
);
select ok(
  (select page #>> '{proof,group,organization_id}' = tests.acme()::text
   from pages order by number desc limit 1),
  'AUQ-30: with a proof of its end'
);
select tests.act_as('admin@acme.test');
select is(
  (select export_audit_log(tests.acme(),
     (select page ->> 'cursor' from pages order by number desc limit 1)) #>> '{entries}'),
  '0', 'AUQ-31: a follower at the end gets nothing, until there is something'
);
select is(
  (select count(*)::int from audit_logs where action = 'export_audit_log'),
  (select count(*)::int from pages), 'AUQ-32: and asking for nothing is no entry'
);
select ok(
  (select bool_and((g ->> 'seal')::bigint > b.last)
   from base b, json_array_elements(export_audit_log(
     tests.acme(), since => now() - interval '1 minute') -> 'groups') as g),
  'AUQ-33: an export can be of a range of time'
);
select is(
  export_audit_log(
    tests.acme(), until => now() - interval '10 years'
  ) ->> 'entries',
  '0', 'AUQ-34: also an empty one'
);
select tests.error_is('AUQ-35: a cursor is one of its own', '22023 AUDIT_INVALID_CURSOR',
  $$ select export_audit_log(tests.acme(), 'nonsense') $$);
select tests.error_is('AUQ-36: a page has a limit', '22023 AUDIT_INVALID_LIMIT',
  $$ select export_audit_log(tests.acme(), page_size => 5001) $$);
select tests.error_is('AUQ-37: a range has an end', '22023 AUDIT_INVALID_RANGE',
  $$ select export_audit_log(tests.acme(), since => 'infinity') $$);
select tests.error_is('AUQ-37a: a purpose is short', '22023 AUDIT_INVALID_TEXT',
  format('select export_audit_log(tests.acme(), purpose => %L)', p))
from (values (''), (repeat('x', 101)), (E'a\nb')) as purposes (p);
select export_audit_log(tests.acme(), page_size => 1, purpose => 'verification');
select is(
  (select details ->> 'purpose' from audit_logs
   where action = 'export_audit_log' and organization_id = tests.acme()
   order by id desc limit 1),
  'verification', 'AUQ-37b: and stands in the entry of the export'
);
select is(
  (select count(*)::int from audit_logs
   where action = 'export_audit_log' and organization_id = tests.acme() and details ? 'purpose'),
  1, 'AUQ-37c: of that one alone'
);
select tests.error_is('AUQ-37d: a period has an end', '22023 AUDIT_INVALID_RANGE',
  $$ select * from audit_period(tests.acme(), now(), now() - interval '1 day') $$);
select tests.error_is('AUQ-37e: nobody asks for a period of a foreign log',
  '42501 RBAC_PERMISSION_DENIED', $$ select * from audit_period(tests.globex()) $$);
select tests.error_is('AUQ-38: nobody exports a foreign log', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_audit_log(tests.globex()) $$);
select tests.error_is('AUQ-39: nor the installation''s', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_audit_log() $$);
select tests.error_is('AUQ-40: nor asks how it does', '42501 RBAC_PERMISSION_DENIED',
  $$ select audit_status() $$);

-- acting as others
select tests.act_as('analyst@acme.test');
select is_empty(
  $$ select * from pg_temp.of(search_audit_logs()) $$, 'AUQ-41: without audit:read there is nothing'
);
select tests.error_is('AUQ-42: without audit:export no export', '42501 RBAC_PERMISSION_DENIED',
  $$ select export_audit_log(tests.acme()) $$);
select tests.error_is('AUQ-42a: nor a period to export', '42501 RBAC_PERMISSION_DENIED',
  $$ select * from audit_period(tests.acme()) $$);
select tests.act_as('super@bulwark.test');
select ok(
  (select count(distinct organization_id) >= 2
   from pg_temp.of(search_audit_logs(page_size => 1000))),
  'AUQ-43: a super_admin searches everywhere'
);
select tests.error_is('AUQ-44: and exports what belongs to no organization', 'no error',
  $$ select export_audit_log(), audit_status() $$);
select tests.act_as_role('service_role');
select ok(
  (select count(*) = 1000 or count(*) > 150 from pg_temp.of(search_audit_logs(page_size => 1000))),
  'AUQ-45: the service role searches everywhere'
);

select tests.act_as_owner();
select * from finish();
rollback;
