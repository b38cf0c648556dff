-- Searches by actor, correlation or resource: found by an index among many entries, and only what
-- the caller may read.
begin;
set local search_path = bulwark, public, extensions;
select plan(18);
select tests.create_organizations();
create function pg_temp.write(organization uuid, actor uuid, amount integer)
  returns bigint
  language sql
as $$
  with written as (
    insert into bulwark.audit_logs (
      source, severity, event_type, organization_id, actor_type, actor_id, resource_type,
      resource_id
    )
    select 'service', 'info', 'data.read', organization, 'user', actor, 'public.searched',
      n::text
    from generate_series(1, amount) as n
    returning id
  )
  select count(*) from written;
$$;
create function pg_temp.of(page jsonb)
  returns setof audit_logs
  language sql
as $$ select * from jsonb_populate_recordset(null::audit_logs, page -> 'entries'); $$;
create function pg_temp.rare() returns uuid language sql as $$ select md5('rare')::uuid; $$;
create function pg_temp.often() returns uuid language sql as $$ select md5('often')::uuid; $$;
create function pg_temp.found(actor uuid, most integer default 500)
  returns integer
  language sql
as $$
  select cardinality(bulwark_private.find_audit_entries(
    'actor_id', actor::text, '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff', most
  ));
$$;
select pg_temp.write(tests.acme(), pg_temp.rare(), 3);
select pg_temp.write(tests.globex(), pg_temp.rare(), 2);
select pg_temp.write(tests.acme(), pg_temp.often(), 4000);

-- acting as the administrator of acme
select tests.act_as('admin@acme.test');
select is(
  (select concat_ws(' ', jsonb_array_length(p -> 'entries'), p ->> 'next')
   from search_audit_logs(tests.acme(), actor_id => pg_temp.rare(), max_entries => 2000) p),
  '3', 'AUF-30: a rare actor is found without reading what lies before'
);
select is(
  (select count(*)::int
   from pg_temp.of(search_audit_logs(actor_id => pg_temp.rare(), max_entries => 2000))),
  3, 'AUF-31: also in all organizations, of which foreign ones are closed'
);
select results_eq(
  $$ select resource_id
    from pg_temp.of(search_audit_logs(actor_id => pg_temp.rare(), page_size => 2)) $$,
  array['3', '2'], 'AUF-32: newest first'
);
select is(
  (with recursive p (page) as (
     select search_audit_logs(actor_id => pg_temp.often(), page_size => 700)
     union all
     select search_audit_logs(actor_id => pg_temp.often(), page_size => 700,
       before => (p.page ->> 'next')::uuid)
     from p where p.page ->> 'next' is not null
   )
   select concat_ws(' ', count(f.id), count(distinct f.id))
   from p left join lateral pg_temp.of(p.page) f on true),
  '4000 4000', 'AUF-33: a frequent one page by page, each entry once'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(
     actor_id => pg_temp.often(), resource_type => 'public.searched', resource_id => '7',
     max_entries => 2000))),
  1, 'AUF-34: of several filters the rarest uses the index'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(
     actor_id => pg_temp.often(), severities => '{critical}', results => '{success}'))),
  0, 'AUF-35: and the others still count'
);
select is(
  (select count(*)::int from pg_temp.of(search_audit_logs(
     actor_id => pg_temp.rare(), until => now() - interval '1 hour'))),
  0, 'AUF-36: as does the time'
);
select is(
  (select concat_ws(' ', jsonb_array_length(p -> 'entries'), p ->> 'next')
   from search_audit_logs(actor_id => md5('nobody')::uuid, max_entries => 2000) p),
  '0', 'AUF-37: of an actor who did nothing the first page says so'
);
select is(pg_temp.found(pg_temp.rare()), 3, 'AUF-38: the index gives entries that may be read');
select is(
  pg_temp.found(pg_temp.often()), null, 'AUF-39: and none if there are more than were asked for'
);
select tests.error_is('AUF-40: it answers for its own columns only', '22023 AUDIT_INVALID_SEARCH',
  $$ select bulwark_private.find_audit_entries('ip', '1', '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff', 1) $$);
select tests.error_is('AUF-41: the search below it is closed', '42501',
  $$ select * from bulwark_private.audit_entries_with('actor_id', md5('rare'),
    '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 1) $$);

-- acting as the administrator of globex
select tests.act_as('admin@globex.test');
select is(pg_temp.found(pg_temp.rare()), 2, 'AUF-42: of the same actor elsewhere nothing is read');
select is(
  (select count(*)::int
   from pg_temp.of(search_audit_logs(actor_id => pg_temp.often(), page_size => 1000))),
  0, 'AUF-43: nor of one who acted only there'
);

-- acting as somebody without a role
select tests.act_as('stranger@bulwark.test');
select is(pg_temp.found(pg_temp.rare()), 0, 'AUF-44: others read nothing');

-- acting as the service role
select tests.act_as_role('service_role');
select is(pg_temp.found(pg_temp.rare()), 5, 'AUF-45: the service role everything');

-- acting as the owner
select tests.act_as_owner();
select is(
  (select count(*)::int
   from bulwark_private.audit_partitions p
   join pg_catalog.pg_index i on i.indrelid = p.relation
   join pg_catalog.pg_class c on c.oid = i.indexrelid
   join pg_catalog.pg_am a on a.oid = c.relam
   where a.amname = 'brin'),
  (select count(*)::int from bulwark_private.audit_partitions),
  'AUF-46: every partition has the index'
);
select is(
  (select bulwark_private.summarize_audit_partitions() >= 0
     and pg_temp.found(pg_temp.rare()) = 5),
  true, 'AUF-47: which finds the same after the job took full pages into it'
);

select * from finish();
rollback;
