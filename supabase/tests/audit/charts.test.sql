-- Charts and followers of the log: counts by time, what is new, and how far it is proved.
begin;
set local search_path = bulwark, public, extensions;
select plan(47);
select tests.create_organizations();
create temporary table base as
  select (select max(timeline) from bulwark_private.audit_timelines) as timeline;
grant select on base to public;
create function pg_temp.entry(organization text, number integer, at timestamptz)
  returns void
  language sql
as $$
  insert into bulwark.audit_logs (
    id, xid, occurred_at, timeline, salt, source, severity, result, event_type, organization_id,
    actor_type, resource_type, resource_id
  )
  select
    (substring(bulwark_private.audit_id_floor(at)::text for 24)
      || lpad(to_hex(number), 12, '0'))::uuid,
    pg_current_xact_id(), at, b.timeline, gen_random_uuid(), 'service',
    case when number % 10 = 0 then 'error' else 'info' end::audit_severity,
    case when number % 20 = 0 then 'failure' else 'success' end::audit_result,
    case when number % 2 = 0 then 'data.read' else 'data.export' end,
    tests.organization_id(organization), 'user', 'public.tests', number::text
  from base b;
$$;
create function pg_temp.counts(histogram jsonb)
  returns table (at timestamptz, label text, count bigint)
  language sql
as $$
  select * from jsonb_to_recordset(histogram -> 'buckets')
    as b (at timestamptz, label text, count bigint);
$$;
alter table audit_logs disable trigger audit_logs_stamp;
-- An entry a minute for two hours of acme, three of globex and one of the installation.
select count(pg_temp.entry('acme', n, '2020-01-01T10:00:00Z'::timestamptz + n * interval '1 min'))
from generate_series(0, 119) as n;
select count(pg_temp.entry('globex', n, '2020-01-01T10:00:00Z'::timestamptz + n * interval '1 min'))
from generate_series(201, 203) as n;
select count(pg_temp.entry(null, 301, '2020-01-01T10:00:00Z'));
-- More than one step counts at first.
select count(pg_temp.entry('acme', n, '2019-01-01T00:00:00Z'::timestamptz + n * interval '1 min'))
from generate_series(1, 3500) as n;
alter table audit_logs enable always trigger audit_logs_stamp;

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select results_eq(
  $$ select at, label, count from pg_temp.counts(audit_histogram(
       tests.acme(), '2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z')) $$,
  $$ values ('2020-01-01T10:00:00Z'::timestamptz, null::text, 60::bigint),
       ('2020-01-01T11:00:00Z', null, 60) $$,
  'AUI-01: entries are counted by hour, without empty ones'
);
select results_eq(
  $$ select at, count from pg_temp.counts(audit_histogram(
       tests.acme(), '2020-01-01T10:30:00Z', '2020-01-01T11:29:00Z', '30 minutes')) $$,
  $$ values ('2020-01-01T10:30:00Z'::timestamptz, 30::bigint), ('2020-01-01T11:00:00Z', 30) $$,
  'AUI-02: of a range, both ends included, in any bucket'
);
select results_eq(
  $$ select at from pg_temp.counts(audit_histogram(
       tests.acme(), '2019-12-01T00:00:00Z', '2020-01-02T00:00:00Z', '7 days')) $$,
  array['2019-12-30T00:00:00Z'::timestamptz], 'AUI-03: a bucket of seven days begins on a Monday'
);
select results_eq(
  format($$ select label, count from pg_temp.counts(audit_histogram(
       tests.acme(), '2020-01-01T10:00:00Z', '2020-01-01T11:00:00Z', '1 day', %L)) $$, g),
  e, 'AUI-04: by ' || g
)
from (values
  ('event_type', $$ values ('data.export', 30::bigint), ('data.read', 31) $$),
  ('category', $$ values ('data', 61::bigint) $$),
  ('severity', $$ values ('error', 7::bigint), ('info', 54) $$),
  ('result', $$ values ('failure', 4::bigint), ('success', 57) $$),
  ('source', $$ values ('service', 61::bigint) $$),
  ('actor_type', $$ values ('user', 61::bigint) $$),
  ('resource_type', $$ values ('public.tests', 61::bigint) $$)
) as c (g, e);
select results_eq(
  $$ select at, label, count from pg_temp.counts(audit_histogram(
       tests.acme(), '2019-01-01T00:00:00Z', '2019-01-04T00:00:00Z', '1 day', 'result')) $$,
  $$ select date_trunc('day', '2019-01-01T00:00:00Z'::timestamptz + n * interval '1 min', 'UTC'),
       case when n % 20 = 0 then 'failure' else 'success' end, count(*)
     from generate_series(1, 3500) as n group by 1, 2 order by 1, 2 $$,
  'AUI-18: in several steps, each entry once'
);
select results_eq(
  format($$ select sum(count)::int from pg_temp.counts(audit_histogram(
       tests.acme(), '2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z', %s)) $$, f),
  array[e], 'AUI-19: as many as a search finds ' || claim
)
from (values
  ('by type', 'event_types => ''{data.export}''', 60),
  ('by severity', 'severities => ''{error,critical}''', 12),
  ('by both', 'event_types => ''{data.read}'', severities => ''{error}''', 12),
  ('by resource', 'resource_id => ''7''', 1),
  ('by text, in which no character is a wildcard', 'search => ''public.tests 11_''', null),
  ('by actor', 'actor_id => gen_random_uuid()', null)
) as c (claim, f, e);
select is(
  (select (h ->> 'until')::timestamptz - (h ->> 'since')::timestamptz
   from audit_histogram(tests.acme()) as h), interval '1 day',
  'AUI-05: without a range it is the last day'
);
select is(
  audit_histogram(tests.acme()) -> 'next', 'null'::jsonb, 'AUI-06: and all of it is counted'
);
select is(
  (select sum(c.count)
   from pg_temp.counts(audit_histogram(
     tests.acme(), '2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z', before => (
       select id from audit_logs where organization_id = tests.acme() and resource_id = '50'
         and occurred_at > '2020-01-01'
         and resource_type = 'public.tests'))) c),
  50::numeric, 'AUI-07: a cursor goes on where a call ended'
);
select tests.error_is('AUI-08: ' || claim, '22023 ' || code, call)
from (values
  ('a range has an end', 'AUDIT_INVALID_RANGE',
    $$ select audit_histogram(tests.acme(), '-infinity') $$),
  ('and a length', 'AUDIT_INVALID_RANGE',
    $$ select audit_histogram(tests.acme(), '2020-01-02', '2020-01-01') $$),
  ('a chart is not finer than screens', 'AUDIT_INVALID_BUCKET',
    $$ select audit_histogram(tests.acme(), now() - interval '1 day', bucket => '1 minute') $$),
  ('a month is no length', 'AUDIT_INVALID_BUCKET',
    $$ select audit_histogram(tests.acme(), bucket => '1 month') $$),
  ('nor are millions of days', 'AUDIT_INVALID_BUCKET',
    $$ select audit_histogram(tests.acme(), bucket => '2000000000 days') $$),
  ('nor is null', 'AUDIT_INVALID_BUCKET',
    $$ select audit_histogram(tests.acme(), bucket => null) $$),
  ('what identifies people is no group', 'AUDIT_INVALID_GROUP',
    $$ select audit_histogram(tests.acme(), group_by => 'actor_id') $$),
  ('a letter is no text to search for', 'AUDIT_INVALID_SEARCH',
    $$ select audit_histogram(tests.acme(), search => 'a') $$)
) as c (claim, code, call);

-- the tail
create temporary table tail (number integer, page jsonb);
grant all on tail to public;
insert into tail select 1, tail_audit_log(tests.acme(), page_size => 3);
select is(
  (select array[
     (select count(*) from jsonb_array_elements(page -> 'entries'))::text, page ->> 'more'
   ] from tail), '{3,false}', 'AUI-09: a follower begins with the newest page'
);
select is(
  (select page -> 'entries' -> -1 ->> 'id' from tail),
  (select id::text from audit_logs where organization_id = tests.acme() order by id desc limit 1),
  'AUI-10: whose last entry is the newest'
);
select is(
  tail_audit_log(tests.acme(), (select page ->> 'cursor' from tail)) -> 'entries', '[]',
  'AUI-11: and then there is nothing new'
);
select tests.error_is('AUI-12: a cursor is one of its own', '22023 AUDIT_INVALID_CURSOR',
  format('select tail_audit_log(tests.acme(), %L)', c))
from (values ('x'), (''), ('KCk='), (encode('(1,now,now,7:3:,,,,)', 'base64')),
  (encode('(1,infinity,infinity,3:3:,,,,)', 'base64'))) as cursors (c);
select tests.error_is('AUI-13: a page has a limit', '22023 AUDIT_INVALID_LIMIT',
  $$ select tail_audit_log(tests.acme(), page_size => 1001) $$);

-- how far it is proved
select tests.act_as_owner();
select bulwark_private.write_audit_seal(format('%1$s:%1$s:',
  pg_current_xact_id()::text::bigint + 1)::pg_snapshot);
select tests.act_as('admin@acme.test');
select is(
  (select array[
     sealed_entries = (select count(*) from audit_logs where organization_id = tests.acme()),
     sealed_until > now() - interval '1 hour', signed_entries = 0,
     signed_until is null or signed_until < sealed_until,
     newest_entry = (select occurred_at from audit_logs where organization_id = tests.acme()
       order by id desc limit 1)
   ] from audit_coverage(tests.acme())),
  '{t,t,t,t,t}', 'AUI-14: the log says how far it is sealed, and how far signed'
);

-- acting as somebody else
select tests.act_as('admin@globex.test');
select tests.error_is('AUI-15: a foreign log is ' || claim, '42501 RBAC_PERMISSION_DENIED', call)
from (values
  ('not counted', $$ select audit_histogram(tests.acme()) $$),
  ('not followed', $$ select tail_audit_log(tests.acme()) $$),
  ('not followed with a cursor of its own', $$ select tail_audit_log(tests.acme(),
     (select page ->> 'cursor' from tail)) $$),
  ('not examined', $$ select * from audit_coverage(tests.acme()) $$),
  ('the same as none', $$ select audit_histogram(gen_random_uuid()) $$),
  ('also the installation''s', $$ select audit_histogram() $$),
  ('whose tail is closed', $$ select tail_audit_log() $$)
) as c (claim, call);
select tests.act_as('viewer@acme.test');
select tests.error_is('AUI-16: a member without audit:read counts nothing',
  '42501 RBAC_PERMISSION_DENIED', $$ select audit_histogram(tests.acme()) $$);
select tests.act_as('super@bulwark.test');
select results_eq(
  $$ select label, count from pg_temp.counts(audit_histogram(
       null, '2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z', group_by => 'event_type'))
     where at = '2020-01-01T10:00:00Z' $$,
  $$ values ('data.export', 1::bigint) $$,
  'AUI-17: a super_admin counts what belongs to no organization'
);
select * from finish();
rollback;
