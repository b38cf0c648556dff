-- Values of every type that a column can have: no write fails because of the log, and every change
-- of a value is an entry.
begin;
set local search_path = bulwark, public, extensions;
select plan(6);
select tests.create_organizations();

-- types of extensions, if they are installed, and made-up ones
do $$
declare
  v_name text;
begin
  for v_name in
    select e.name from pg_available_extensions e
    where e.installed_version is null
      and e.name = any ('{citext, cube, hstore, isn, lo, ltree, seg, postgis}')
  loop
    begin
      execute format('create extension %I schema extensions', v_name);
    exception
      when insufficient_privilege then raise notice 'not allowed: %', v_name;
    end;
  end loop;
end;
$$;
create type public.odd_labels as enum ('', ' ', '"', 'a,b', '{}', 'null', E'\\', E'new\nline', 'ü');
create type public.raising as enum ('one', 'two');
create function public.raise_json(public.raising)
  returns json
  language plpgsql
as $$ begin raise exception 'no json of this'; end; $$;
create cast (public.raising as json) with function public.raise_json(public.raising);
create domain public.raising_domain as public.raising;
create type public.raising_range as range (subtype = public.raising);
create type public.raising_row as (a integer, b public.raising, c public.raising[]);
create domain public.raising_rows as public.raising_row[];
create domain public.odd_document as json;
create type public.odd_row as (a json, b xml, c tstzrange, d public.odd_labels);

-- Values tried with each type.
create temporary table sample (value text);
insert into sample
select unnest(array[
  '', ' ', 'a', 'A', '0', '1', '-1', '2', '1.50', '1.5', 'NaN', 'Infinity', '-Infinity', '-0', 't',
  'f', 'null', '{}', '{NULL}', '{{1,2},{3,4}}', '[0:0]={1}', '{1}', '{"a"}', '{a,NULL}', '[0]={1}',
  'empty', '(,)', '[1,2)', '[1.5,2]', '[2026-01-01,2026-01-02)', '[1,3)', '{[1,2),[4,5)}',
  '{[2026-01-01,2026-01-02)}', '{"[1,2)"}', '{"[2026-01-01,2026-01-02)"}', '{"{[1,2)}"}',
  '{"{[2026-01-01,2026-01-02)}"}', '2026-01-02', 'infinity', '0044-03-15 BC', '24:00:00',
  '12:34:56+14', '1 year -2 days', '{2026-01-02}', '{12:34:56}', '{1 day}', '\x', '\x00ff', '101',
  '127.0.0.1', '10.0.0.0/8', '::1', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
  '{127.0.0.1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{08:00:2b:01:02:03:04:05}',
  '00000000-0000-4000-8000-000000000001', '{00000000-0000-4000-8000-000000000001}',
  '{"a": "\u0000"}', '1e400000', '"\ud800"', '{"{\"a\": \"\\u0000\"}"}', '<a/>', '<a>&#233;</a>',
  'no markup <', '{<a/>}', '{1,-1,0}', '{"{1,-1,0}"}', '(0,0)', '(NaN,-0)', '{"(0,0)"}',
  '[(0,0),(1,1)]', '{"[(0,0),(1,1)]"}', '(1,1),(0,0)', '{(1,1),(0,0)}', '((0,0),(1,1),(2,0))',
  '{"((0,0),(1,1),(2,0))"}', '<(0,0),1>', '{"<(0,0),1>"}', '{"a:1A ''b c'':2"}', 'a:1A ''b c'':2',
  'a & !b', '{a & !b}', '0/0', 'F/FFFFFFFF', '{0/0}', '10:20:10,14', '{"10:20:10,14"}', 'pg_class',
  '{pg_class}', 'pg_catalog', '{pg_catalog}', 'postgres', '{postgres}', 'int4', '{int4}', 'sum',
  '{now}', 'now', 'now()', '{now()}', '*(int4,int4)', '{"*(int4,int4)"}', '||/', '{||/}', 'english',
  '{english}', 'simple', '{simple}', '"C"', '{"\"C\""}', '"default"', '{"\"default\""}',
  'postgres=r/postgres', '{postgres=r/postgres}', '$1.50', '{$1.50}', 'a=>1, b=>NULL',
  '{"a=>1"}', 'a.b.c', '{a.b.c}', 'a.*{2}|b@', '{a.*}', '1..2', '{1..2}', '~5', '978-0-393-04002-9',
  '{978-0-393-04002-9}', '1436-4522', '{1436-4522}', '036000291452', '{036000291452}',
  '9790260000438', '{9790260000438}', '9771436452008', '{9771436452008}', 'one', '{one,two}',
  '[one,two]', '{"[one,two]"}', '{[one,two]}', '{"{[one,two]}"}', '(1,one,"{two}")',
  '{"(1,one,\"{two}\")"}', '({},<a/>,"[2026-01-01,)",ü)', '{"({},<a/>,empty,\\" \\")"}',
  '{"",NULL," ","\\"","a,b"}', E'\\', E'new\nline', 'POINT(0 0)', '{POINT(0 0)}', repeat('ü', 600),
  repeat('x', 70000)
]);

-- Writes values of types to audited tables, a column for each type, and compares the entries with
-- what was written. Several types at a time: auditing a table takes longer than writing to it.
create function pg_temp.try_types(types regtype[])
  returns table (type text, number integer, problem text)
  language plpgsql
as $$
declare
  v_capture text;
  v_expected jsonb := '{}';
  v_found jsonb;
  v_number integer;
  v_numbers integer[] := '{}';
  v_problems jsonb := '{}';
  v_sample text;
  v_writes jsonb;
begin
  -- Everything is rolled back, so that the catalogue does not fill with dead rows.
  create temporary table written as
    select g.id from generate_series(0, (select count(*)::integer from sample)) as g (id);
  for place in 1 .. cardinality(types) loop
    execute format('alter table written add v%s %s, add hidden%1$s %2$s', place, types[place]);
    v_number := 0;
    for v_sample in
      select s.value from sample s where s.value ~ '^[{[]' or types[place]::text !~ '\[\]$'
    loop
      begin
        execute format(
          'update written set v%s = %L, hidden%1$s = %2$L where id = %s',
          place, v_sample, v_number + 1
        );
        v_number := v_number + 1;
      exception
        when others then continue;
      end;
    end loop;
    v_numbers := v_numbers || v_number;
    -- Each row gets the value of the next one, and the last row gets none.
    execute format(
      'select jsonb_strip_nulls(jsonb_build_object(
         ''insert'', count(*), ''delete'', count(*), ''update'',
         nullif(count(*) filter (where not record_image_eq(row(w.v), row(w.next))), 0)
       ))
       from (select o.v%1$s as v, lead(o.v%1$s) over (order by o.id) as next from written o) w',
      place
    ) into v_writes;
    v_expected := v_expected || jsonb_build_object(concat('v', place), v_writes);
  end loop;
  foreach v_capture in array '{row,bulk}'::text[] loop
    begin
      create table public.typed (like written including indexes, primary key (id));
      perform bulwark.enable_audit(
        'public.typed', bulk => v_capture = 'bulk',
        ignore => array(select concat('hidden', g.n) from generate_subscripts(types, 1) as g (n))
      );
      insert into public.typed select w.* from written w;
      execute format(
        'update public.typed t set %s from written w where w.id = t.id + 1',
        (
          select string_agg(format('v%s = w.v%1$s, hidden%1$s = null', g.n), ', ')
          from generate_subscripts(types, 1) as g (n)
        )
      );
      execute format(
        'update public.typed t set %s where t.id = (select max(w.id) from written w)',
        (
          select string_agg(format('v%s = null, hidden%1$s = null', g.n), ', ')
          from generate_subscripts(types, 1) as g (n)
        )
      );
      delete from public.typed;
      select jsonb_object_agg(c.key, c.writes) into v_found
      from (
        select a.key, jsonb_object_agg(a.action, a.n) as writes
        from (
          select k.key, e.action, count(*) as n
          from bulwark.audit_logs e
          cross join lateral jsonb_each(coalesce(e.before, e.after)) k
          where e.resource_type = 'public.typed' and e.xid = pg_current_xact_id() and k.key <> 'id'
            and (
              e.action <> 'update' or k.value::text is distinct from (e.after -> k.key)::text
            )
          group by k.key, e.action
        ) a
        group by a.key
      ) c;
      raise exception sqlstate 'TT000';
    exception
      when sqlstate 'TT000' then
        select v_problems || coalesce(jsonb_object_agg(
          substring(d.key from '\d+'),
          format('%s: %s: %s, not %s', v_capture, d.key, d.found, d.expected)
        ), '{}') into v_problems
        from (
          select coalesce(f.key, x.key) as key, f.value as found, x.value as expected
          from jsonb_each(v_found) f
          full join jsonb_each(v_expected) x on x.key = f.key
          where f.value is distinct from x.value
        ) d;
      when others then
        v_problems := v_problems
          || jsonb_build_object('1', format('%s: %s %s', v_capture, sqlstate, sqlerrm));
    end;
  end loop;
  raise exception sqlstate 'TT000';
exception
  when sqlstate 'TT000' then
    return query
      select types[g.n]::text, v_numbers[g.n], v_problems ->> g.n::text
      from generate_subscripts(types, 1) as g (n);
end;
$$;
set local client_min_messages = error;
create temporary table tried as
  select r.*
  from (
    select array_agg(l.oid::regtype order by l.oid) as types
    from (
      select t.oid, row_number() over (order by t.oid) / 20 as part
      from pg_type t
      join pg_namespace n on n.oid = t.typnamespace
      left join pg_type e on e.typarray = t.oid
      left join pg_class c on c.oid = coalesce(e.typrelid, t.typrelid) and c.oid <> 0
      where t.typtype <> 'p' and coalesce(e.typtype, t.typtype) <> 'p' and t.typisdefined
        and coalesce(c.relkind, 'c') = 'c'
        and (
          n.nspname in ('pg_catalog', 'extensions')
          or coalesce(e.typname, t.typname) ~ '^(odd_(labels|row|document)|raising)'
        )
    ) l
    group by l.part
  ) p
  cross join lateral pg_temp.try_types(p.types) r;
select is_empty(
  'select t.* from tried t where t.problem is not null',
  'AUT-01: values of every type are written, changed and deleted, each with an entry, in bulk too'
);
select cmp_ok((select count(*) from tried), '>', 190::bigint, 'AUT-02: (there are many types)');
select is_empty(
  $$ select t.type from tried t where t.number = 0
       and t.type !~ '^pg_(node_tree|ndistinct|dependencies|mcv_list|brin_)'
       and t.type !~ 'g(ts|h)|_gist|_trial' $$,
  'AUT-03: (values were found for all but those that nobody can write)'
);

create table public.typed (
  id integer primary key, v public.raising_row, hidden public.raising_row[]
);
select bulwark.enable_audit('public.typed', ignore => '{hidden}');
insert into public.typed values (1, '(1,one,{two})', '{"(1,one,{two})"}');
select is(
  (select concat_ws(' ', e.after #>> '{v,unconvertible}', e.after #>> '{v,text}')
   from audit_logs e where e.resource_type = 'public.typed' and e.resource_id = '1'),
  'public.raising_row (1,one,{two})', 'AUT-04: what cannot be converted is recorded as such'
);
update bulwark.settings set value = 'true' where name = 'audit.refuse_unconvertible';
select tests.error_is('AUT-05: an ignored column is not converted', 'no error',
  $$ insert into public.typed (id, hidden) values (2, '{"(1,one,{two})"}') $$);
select tests.error_is('AUT-06: as one can tell by the setting that refuses',
  '22000 AUDIT_UNCONVERTIBLE_VALUE',
  $$ insert into public.typed (id, v) values (3, '(1,one,{two})') $$);

select * from finish();
rollback;
