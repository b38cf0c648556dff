-- 02_audit: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
drop function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[]);
drop function bulwark_private.audit_row_image(relation oid, source text, nulls jsonb);
create function bulwark_private.audit_row_settings(relation oid, nulls jsonb)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format('current_setting(%L) %s', s.name, s.test), ' or ')
  from (
    values ('timezone', $test$not in ('UTC', 'Etc/UTC')$test$),
      ('datestyle', $test$not like 'ISO%'$test$),
      ('intervalstyle', $test$<> 'postgres'$test$),
      ('extra_float_digits', $test$not in ('1', '2', '3')$test$),
      ('bytea_output', $test$<> 'hex'$test$),
      ('lc_monetary', $test$<> 'C'$test$)
  ) as s (name, test)
  where s.name in (
    select unnest(c.settings)
    from bulwark_private.audit_columns c
    where c.relation = audit_row_settings.relation and not nulls ? c.name
  );
$$;
comment on function bulwark_private.audit_row_settings(oid, jsonb) is
  'SQL text that tells whether the session''s settings change the JSON of a row: only those are
   compared that matter for the types of this table. Null if none does.';
create function bulwark_private.audit_row_difference(relation oid, nulls jsonb)
  returns table (same text, unshown text, columns integer)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  -- Equal values of these types are the same bytes: their comparison costs less than that of rows.
  -- As a function call: the operator between rows of one column would compare the columns
  -- themselves.
  select
    format(
      'array_remove(array[%s]::text[], null)',
      string_agg(
        format('case when %s then %L end', d.is_same, c.name), E',\n      ' order by c.place
      )
    ),
    string_agg(
      format(
        E'\n      or %L <> all (v_same) and v_before -> %1$L is not distinct from v_after -> %1$L',
        c.name
      ), '' order by c.place
    ) filter (where not c.exact),
    count(*)
  from bulwark_private.audit_columns c
  cross join lateral (
    select case
      when c.type = any ('{bool, int2, int4, int8, uuid, date, timestamp, timestamptz}'::regtype[])
      then format('old.%1$I is not distinct from new.%1$I', c.name)
      when c.type = any ('{text, varchar}'::regtype[])
      then format('old.%1$I collate "C" is not distinct from new.%1$I collate "C"', c.name)
      else format('record_image_eq(row(old.%1$I), row(new.%1$I))', c.name)
    end as is_same
  ) d
  where c.relation = audit_row_difference.relation and not nulls ? c.name;
$$;
comment on function bulwark_private.audit_row_difference(oid, jsonb) is
  'For PL/pgSQL: an array of the columns that an update leaves as they are, a condition that is true
   if JSON does not show a change, and how many columns are compared.';
create function bulwark_private.audit_row_source(image text, nulls jsonb)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when nulls = '{}' then r.source
    else format('jsonb_populate_record(%s, %L)', r.source, nulls)
  end
  from (select case image when 'v_before' then 'old' else 'new' end as source) r;
$$;
comment on function bulwark_private.audit_row_source(text, jsonb) is
  'PL/pgSQL text of the row of an image. Ignored columns are set to null, so they are not read.';
create function bulwark_private.audit_row_part(image text, operation text, options text[])
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when operation = 'insert' and image = 'v_before' or operation = 'delete' and image = 'v_after'
    then 'null'
    when options[5] = '{}' and options[6] = '{}' then p.part
    else format(
      'bulwark_private.audit_image(%s, %L, %L, %s)', p.part, options[5], options[6], image
    )
  end
  from (
    select concat(image, case operation when 'update' then ' - v_same' end) as part
  ) p;
$$;
comment on function bulwark_private.audit_row_part(text, text, text[]) is
  'SQL text of the old or new values that the entry of an operation holds.';
create function bulwark_private.audit_table_fits(
  relation regclass,
  key_index regclass,
  definition text,
  watched text[],
  columns text[],
  types text[]
)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_fits boolean;
  v_places constant jsonb := (
    select (g.options -> 'written' ->> 12)::jsonb
    from bulwark_private.audit_watched_tables g where g.relation = audit_table_fits.relation
  );
begin
  if pg_get_indexdef(key_index) is distinct from definition or not v_places ?& watched then
    return false;
  end if;
  -- The columns of the table's row type. One that is gone is an error, and nothing fits then.
  execute format(
    'select to_jsonb(r) - $1 = ''{}'' and array[%s]::text[] = $2 from (select (null::%s).*) as r',
    (select string_agg(format('pg_typeof(r.%I)::text', c), ', ') from unnest(columns) as c),
    relation
  ) into v_fits using columns, types;
  -- A column's description begins with "column" and its name. On a server that speaks another
  -- language it never does; then audit_carefully writes every row.
  return v_fits and not exists (
    select from unnest(watched) as w
    where starts_with(
      pg_describe_object('pg_class'::regclass, relation, (v_places ->> w)::integer),
      format('column %s of ', w)
    ) is not true
  );
end;
$$;
comment on function bulwark_private.audit_table_fits(
  regclass, regclass, text, text[], text[], text[]
) is
  'Whether an audited table has these columns with these types, its key still has this definition,
   and the watched columns have the names that they had at enable_audit. Only for row functions
   (audit_row_body).';
create or replace function bulwark_private.audit_row_body(relation oid, operation text, options text[])
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $make$
declare
  v_columns text[];
  v_current constant text := case operation when 'delete' then 'v_before' else 'v_after' end;
  v_difference record;
  v_event constant integer := case operation when 'insert' then 7 when 'update' then 8 else 9 end;
  v_field text;
  v_images constant text[] := case operation
    when 'insert' then '{v_after}'::text[]
    when 'delete' then '{v_before}'
    else '{v_before,v_after}'
  end;
  v_index constant regclass := (
    select i.indexrelid
    from pg_catalog.pg_index i where i.indrelid = audit_row_body.relation and i.indisprimary
  );
  v_key constant text[] := options[2]::text[];
  v_nulls constant jsonb := (
    select coalesce(jsonb_object_agg(i, null), '{}')
    from unnest(options[5]::text[]) as i
    where i <> all (v_key)
  );
  v_organization constant text := bulwark_private.organization_expression(
    relation, options[3], format('%s ->> %L', v_current, options[3])
  );
  v_read_key constant text := format(
    E'v_key := %s;\n',
    case cardinality(v_key)
      when 1 then format('%s ->> %L', v_current, v_key[1])
      else format('bulwark_private.audit_key(%s, %L)', v_current, v_key)
    end
  );
  v_settings constant text := bulwark_private.audit_row_settings(relation, v_nulls);
  v_surprises text;
  v_types text[];
  v_whole constant boolean := options[5] = '{}' and options[6] = '{}';
begin
  if bulwark_private.audit_key_columns(relation, null) is distinct from v_key
    or bulwark_private.audit_moved(relation, options[13]::jsonb) <> '{}' then
    return format(
      E'\nbegin\n  perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);\n'
        '  return null;\nend;\n',
      v_event, options[:12]
    );
  end if;
  select array_agg(c.name::text order by c.place), array_agg(c.type::regtype::text order by c.place)
  into v_columns, v_types
  from bulwark_private.audit_columns c where c.relation = audit_row_body.relation;
  select * into v_difference from bulwark_private.audit_row_difference(relation, v_nulls);
  if options[4] = '' and v_organization like '(%)::uuid' and not v_nulls ? options[3] then
    v_field := format(
      '%s.%I', case operation when 'delete' then 'old' else 'new' end, options[3]
    );
  end if;
  v_surprises := concat(
    -- The key is gone or another one, the columns are others, or another column has a watched name.
    format(
      E'bulwark_private.audit_table_fits(\n        %L::regclass, %L::regclass, %L,\n'
        '        %L, %L,\n        %L\n      ) is not true\n      or %s',
      relation::regclass, v_index, pg_get_indexdef(v_index),
      array(select jsonb_object_keys(options[13]::jsonb)), v_columns, v_types,
      case cardinality(v_key)
        when 1 then 'v_key is null'
        else (
          select string_agg(format('%s ->> %L is null', v_current, k), ' or ')
          from unnest(v_key) as k
        )
      end
    ),
    E'\n      or ' || v_field || ' = ''00000000-0000-0000-0000-000000000000''',
    -- JSON does not show the change, or the row moved to another organization, which is two
    -- entries.
    case when operation = 'update' then concat(
      v_difference.unshown,
      case when options[3] <> '' and not v_nulls ? options[3] then
        format(E'\n      or %L <> all (v_same)', options[3])
      end
    ) end
  );
  return concat(
    E'\ndeclare\n  v_key text;\n  v_organization uuid;\n',
    case when operation = 'update' then E'  v_same text[];\n' end,
    (select string_agg(format(E'  %s jsonb;\n', i), '') from unnest(v_images) as i),
    E'begin\n  begin\n',
    case when operation = 'update' then format(E'    v_same := %s;\n', v_difference.same) end,
    (
      select string_agg(
        format(E'    %s := to_jsonb(%s);\n', i, bulwark_private.audit_row_source(i, v_nulls)), ''
      )
      from unnest(v_images) as i
    ),
    E'    ', v_read_key,
    E'    v_organization := ' || v_field || E';\n',
    E'    if ', v_surprises,
    case when operation = 'update' then
      format(E'\n      or cardinality(v_same) = %s', v_difference.columns)
    end,
    E'\n      or ' || v_settings,
    case when v_whole then (
      select string_agg(format(E'\n      or pg_column_size(%s) > 32768', i), '')
      from unnest(v_images) as i
    ) end,
    E' then\n      if ', v_surprises,
    E' then\n        perform bulwark_private.leave_row_function();\n      end if;\n',
    case when operation = 'update' then
      format(
        E'      if cardinality(v_same) = %s then\n        return null;\n      end if;\n',
        v_difference.columns
      )
    end,
    E'      if ' || v_settings || E' then\n' || (
      select string_agg(
        format(
          E'        %s := bulwark_private.audit_json(%s);\n', i,
          bulwark_private.audit_row_source(i, v_nulls)
        ), ''
      )
      from unnest(v_images) as i
    ) || E'        ' || v_read_key || E'      end if;\n',
    case when v_whole then (
      select string_agg(
        format(
          E'      %1$s := bulwark_private.audit_image(%1$s%2$s, ''{}'', ''{}'');\n', i,
          case operation when 'update' then ' - v_same' end
        ), ''
      )
      from unnest(v_images) as i
    ) end,
    E'    end if;\n',
    case when options[4] <> '' then
      format(
        E'    v_organization := coalesce(\n'
          '      %1$s,\n'
          '      bulwark_private.remembered_organization(%2$s ->> %3$L, %4$L)\n'
          '    );\n',
        bulwark_private.audit_lookup(
          options[4]::regproc, format('%s ->> %L', v_current, options[3])
        ),
        v_current, options[3], options[4]
      )
    end,
    format(
      $body$  exception
    -- Code of a type may raise anything; the application's write must not fail for it.
    when others then
      perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);
      return null;
  end;
  insert into bulwark.audit_logs (
    source, severity, result, organization_id, event_type, resource_type, resource_id, action,
    before, after
  )
  values ('table', %L, 'success', %s, %L, %L, v_key, %L, %s, %s);
  return null;
end;
$body$,
      v_event, options[:12], options[v_event + 3],
      case
        when v_field is null and options[3] <> '' and options[4] = '' then v_organization
        else 'v_organization'
      end,
      options[v_event], options[1], operation,
      bulwark_private.audit_row_part('v_before', operation, options),
      bulwark_private.audit_row_part('v_after', operation, options)
    )
  );
end;
$make$;
create function bulwark_private.take_sealed_entries(
  seal bigint,
  range bulwark_private.audit_range
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return;
end;
$$;
comment on function bulwark_private.take_sealed_entries(bigint, bulwark_private.audit_range) is
  'Receives each committed entry once, in the transaction of its seal: nothing until webhooks is
   installed.';
create or replace function bulwark_private.write_audit_seal(snapshot pg_snapshot)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_base bulwark_private.audit_seals;
  v_bytes constant bigint := (bulwark_private.setting('audit.seal_bytes'))::bigint;
  v_last bulwark_private.audit_seals;
  v_most constant integer := (bulwark_private.setting('audit.seal_entries'))::integer;
  v_number bigint;
  v_range bulwark_private.audit_range;
  v_through bulwark_private.audit_position;
  v_timeline constant integer := bulwark_private.audit_timeline();
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  if v_last.through is not null then
    -- More entries than a seal may hold: this one holds the next, of the same snapshot.
    select * into v_base
    from bulwark_private.audit_seals s where s.through is null order by s.number desc limit 1;
    v_range := (
      v_base.timeline, v_base.snapshot, v_last.timeline, v_last.snapshot, v_last.through, null
    );
  elsif v_last.timeline = v_timeline
    and pg_snapshot_xmax(v_last.snapshot) > pg_snapshot_xmax(snapshot) then
    -- Another session sealed a later snapshot while this one waited.
    return null;
  else
    v_range := (v_last.timeline, v_last.snapshot, v_timeline, snapshot, null, null);
  end if;
  -- The last entry that fits, if there are more. The first always does.
  select f.timeline, f.xid, f.id into v_through
  from (
    select
      n.*,
      n.place <= v_most and (n.bytes <= v_bytes or n.place = 1) as fits,
      lead(n.place <= v_most and n.bytes <= v_bytes) over (order by n.place) as next_fits
    from (
      select e.timeline, e.xid, e.id, row_number() over w as place, sum(e.size) over w as bytes
      from bulwark_private.audit_entries(v_range, hashed => false, most => v_most + 1) e
      window w as (order by e.timeline, e.xid, e.id)
    ) n
  ) f
  where f.fits and not f.next_fits;
  if v_through is not null then
    v_range.through := v_through;
  end if;
  with trees as (
    select
      e.organization_id,
      count(*) as entry_count,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves
    from bulwark_private.audit_entries(v_range) e
    group by e.organization_id
  ),
  chained as (
    select
      t.organization_id,
      t.entry_count,
      t.leaves,
      bulwark_private.merkle_root(t.leaves) as root,
      coalesce(p.entries_before + p.entry_count, 0) as entries_before,
      coalesce(p.hash, decode(repeat('00', 32), 'hex')) as previous
    from trees t
    left join lateral bulwark_private.audit_group_before(
      t.organization_id, coalesce(v_last.number, 0) + 1
    ) p on true
  ),
  hashed as (
    select
      c.*,
      row_number() over (order by c.organization_id nulls first) - 1 as position,
      bulwark_private.audit_group_hash(
        c.organization_id, coalesce(v_last.number, 0) + 1, c.entry_count, c.entries_before,
        c.previous, c.root
      ) as hash
    from chained c
  ),
  sealed as (
    insert into bulwark_private.audit_seals (timeline, snapshot, through, root)
    select
      v_range.timeline, v_range.snapshot, v_range.through,
      bulwark_private.merkle_root(coalesce(string_agg(h.hash, '' order by h.position), ''))
    from hashed h
    -- A seal that continues another is written even if somebody deleted what it was to hold.
    having count(*) > 0 or v_last.through is not null
    returning number
  ),
  grouped as (
    insert into bulwark_private.audit_groups (
      seal, position, organization_id, entry_count, entries_before, previous, root, hash, leaves
    )
    select
      s.number, h.position, h.organization_id, h.entry_count, h.entries_before, h.previous, h.root,
      h.hash, h.leaves
    from hashed h
    cross join sealed s
  )
  select s.number into v_number from sealed s;
  if v_number is not null then
    perform bulwark_private.take_sealed_entries(v_number, v_range);
  end if;
  return v_number;
end;
$$;
create or replace function bulwark_private.adopt_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watched record;
begin
  -- A restore gives columns new numbers. They are found by name, except those reported as missing.
  update bulwark_private.audit_watched_tables g
  set options = jsonb_set(g.options, '{written, 12}', to_jsonb((p.places || k.kept)::text))
  from (
    select a.relation, a.fingerprint, (a.options -> 'written' ->> 12)::jsonb as before,
      bulwark_private.audit_places(
        a.relation, array(select jsonb_object_keys((a.options -> 'written' ->> 12)::jsonb))
      ) as places
    from bulwark_private.audit_watched_tables a where a.captures
  ) p
  cross join lateral (
    select coalesce(jsonb_object_agg(b.name, 0), '{}') as kept
    from jsonb_each(p.before) as b (name, place)
    where p.fingerprint like format('%%missing/%s||%%', translate(b.name, ' |', '__'))
  ) k
  where g.relation = p.relation and p.before is distinct from p.places || k.kept;
  -- A restore gives triggers and functions new numbers and transactions. Without the numbers both
  -- fingerprints have to be equal.
  for v_watched in
    select g.relation, g.relation::text as name, f.present,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.before, ' ')) as e
        where e <> all (string_to_array(k.after, ' ')) and e !~ '^(partition|missing)/'
      ) as lost,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.after, ' ')) as e
        where e <> all (string_to_array(k.before, ' ')) and e !~ '^partition/'
      ) as gained
    from bulwark_private.audit_watched_tables g
    -- "offset 0" keeps the planner from computing the fingerprint anew for each of its words.
    cross join lateral (
      select bulwark_private.audit_fingerprint(g.relation) as present offset 0
    ) f
    cross join lateral (
      select
        regexp_replace(g.fingerprint, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as before,
        regexp_replace(f.present, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as after
      offset 0
    ) k
  loop
    if v_watched.lost is not null or v_watched.gained is not null then
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => v_watched.name,
        action => 'watched_object_changed', severity => 'critical',
        details => jsonb_build_object('expected', v_watched.lost, 'found', v_watched.gained)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_watched.name, '{"restored": true}'
      );
    end if;
    update bulwark_private.audit_watched_tables g set fingerprint = v_watched.present
    where g.relation = v_watched.relation;
  end loop;
end;
$$;
create or replace function bulwark.search_audit_logs(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  results bulwark.audit_result[] default null,
  actor_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  correlation_id uuid default null,
  search text default null,
  before uuid default null,
  page_size integer default 50,
  max_entries integer default 1000000
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_all boolean := organization_id is null;
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_entries jsonb := '[]'::jsonb;
  v_floor uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  v_from timestamptz := since;
  v_last uuid;
  v_left integer := max_entries;
  v_low uuid;
  v_organizations uuid[] := array[organization_id];
  v_page jsonb;
  v_pattern constant text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_started timestamptz;
begin
  if page_size between 1 and 1000 is not true or max_entries between 1 and 10000000 is not true then
    raise exception 'Cannot search the audit log: a page has 1 to 1000 entries of 1 to 10,000,000'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot search the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if length(search) not between 2 and 200 then
    raise exception 'Cannot search the audit log: a search has 2 to 200 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  if exists (
    select from unnest(event_types) as t
    where not exists (select from bulwark.audit_event_types k where k.name = t)
  ) then
    raise exception 'Cannot search the audit log: an event type is not in the catalogue'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;
  -- Text has no index, so a search without a range of time covers the last month.
  if search is not null and v_from is null then
    v_from := coalesce(until, now()) - interval '31 days';
  end if;
  if v_from is not null then
    v_floor := bulwark_private.audit_id_floor(v_from);
  end if;
  if until is not null then
    v_before := least(
      v_before, bulwark_private.audit_id_floor(until + interval '1 millisecond')
    );
  end if;
  -- Row-level security decides; this only keeps a step from reading what nobody may see.
  if current_user = 'authenticated' then
    -- Within, because the service role may not even name these functions.
    if not v_all then
      perform bulwark.require_permission('audit:read', organization_id);
    end if;
    if not bulwark.is_super_admin() then
      v_organizations := array(
        select o from bulwark.organizations_with('audit:read') as o
        where v_all or o = organization_id
      );
      v_all := false;
    end if;
  end if;
  -- Step by step, because a filter may match nothing among millions of entries.
  loop
    v_step_started := clock_timestamp();
    v_step := least(v_step, v_left);
    select l.id into v_low
    from (
      (
        select e.id from bulwark.audit_logs e
        where v_all and e.id < v_before and e.id >= v_floor
        order by e.id desc
        offset v_step limit 1
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      select e.id
      from unnest(v_organizations) as o (id)
      cross join lateral (
        select k.id from bulwark.audit_logs k
        where (k.organization_id, k.id) < (o.id, v_before)
          and (k.organization_id, k.id) >= (o.id, v_floor)
        order by k.organization_id desc, k.id desc
        offset v_step limit 1
      ) e
    ) l
    order by l.id desc
    limit 1;
    select jsonb_agg(to_jsonb(f) order by f.id desc), (array_agg(f.id order by f.id))[1]
    into v_page, v_last
    from (
      select e.*
      from (
        select * from bulwark.audit_logs k
        where v_all and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.*
        from unnest(v_organizations) as o (id)
        cross join lateral (
          select * from bulwark.audit_logs i
          where (i.organization_id, i.id) < (o.id, v_before)
            and (i.organization_id, i.id) >= (o.id, coalesce(v_low, v_floor))
          order by i.organization_id desc, i.id desc
        ) k
      ) e
      where (v_from is null or e.occurred_at >= v_from)
        and (until is null or e.occurred_at <= until)
        and (event_types is null or e.event_type = any (event_types))
        and (severities is null or e.severity = any (severities))
        and (results is null or e.result = any (results))
        and (search_audit_logs.actor_id is null or e.actor_id = search_audit_logs.actor_id)
        and (search_audit_logs.resource_type is null
          or e.resource_type = search_audit_logs.resource_type)
        and (search_audit_logs.resource_id is null
          or e.resource_id = search_audit_logs.resource_id)
        and (search_audit_logs.correlation_id is null
          or e.correlation_id = search_audit_logs.correlation_id)
        and (search is null or concat_ws(
          ' ', e.event_type, e.resource_type, e.resource_id, e.action, e.before, e.after, e.details
        ) ilike v_pattern)
      order by e.id desc
      limit page_size - jsonb_array_length(v_entries)
    ) f;
    v_entries := v_entries || coalesce(v_page, '[]');
    if jsonb_array_length(v_entries) = page_size then
      return jsonb_build_object('entries', v_entries, 'next', v_last);
    end if;
    v_before := v_low;
    v_left := v_left - v_step;
    exit when v_low is null or v_left <= 0
      or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '200 milliseconds' then
      v_step := least(v_step * 2, 64000);
    end if;
  end loop;
  return jsonb_build_object('entries', v_entries, 'next', v_low);
end;
$$;
comment on function bulwark.search_audit_logs(
  uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[], bulwark.audit_result[], uuid,
  text, text, uuid, text, uuid, integer, integer
) is
  'A page of the entries that the caller may read and that match all given filters, newest first:
   { entries, next }. Pass next as before to continue; null: there are no more. A page has fewer
   entries than page_size, or none, if it would read more than max_entries, in each organization, or
   for longer than about two seconds. Only organization and time use an index. search
   looks for text in resource, action and payload, by default of the last 31 days. Errors:
   AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_SEARCH, AUDIT_UNKNOWN_EVENT_TYPE, and for
   an organization that is named and closed RBAC_PERMISSION_DENIED or MFA_REQUIRED.';
create function bulwark.audit_histogram(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  bucket interval default '1 hour',
  group_by text default null,
  before uuid default null
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each step again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  -- A Monday, so that buckets of seven days are weeks.
  c_origin constant timestamptz := timestamptz '2000-01-03T00:00:00Z';
  v_until constant timestamptz := coalesce(until, now());
  v_since constant timestamptz := coalesce(since, v_until - interval '1 day');
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_counts jsonb := '[]'::jsonb;
  v_floor uuid;
  v_low uuid;
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_counts jsonb;
  v_step_started timestamptz;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if not (isfinite(v_since) and isfinite(v_until)) or v_since > v_until
    or v_since > now() + interval '1 day' then
    raise exception 'Cannot count the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  -- Months differ in length.
  if bucket is null or extract(year from bucket) <> 0 or extract(month from bucket) <> 0
    or bucket < interval '1 second' or v_until - v_since > 1000 * bucket then
    raise exception 'Cannot count the audit log: a range has up to 1000 buckets of days or less'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_BUCKET',
            hint = 'Choose longer buckets, such as ''1 day'', or a shorter range';
  end if;
  if group_by <> all (
    '{event_type,category,severity,result,source,actor_type,resource_type}'::text[]
  ) then
    raise exception 'Cannot count the audit log: entries cannot be grouped by that'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_GROUP',
            hint = 'One of event_type, category, severity, result, source, actor_type, '
              'resource_type';
  end if;
  v_floor := bulwark_private.audit_id_floor(v_since);
  v_before := least(v_before, bulwark_private.audit_id_floor(v_until + interval '1 millisecond'));
  loop
    v_step_started := clock_timestamp();
    select l.id into v_low
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.id from bulwark.audit_logs e
        where (e.organization_id, e.id) < (audit_histogram.organization_id, v_before)
          and (e.organization_id, e.id) >= (audit_histogram.organization_id, v_floor)
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
      union all
      (
        select e.id from bulwark.audit_logs e
        where audit_histogram.organization_id is null and e.organization_id is null
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
    ) l;
    select jsonb_agg(to_jsonb(g)) into v_step_counts
    from (
      select date_bin(bucket, e.occurred_at, c_origin) as at,
        case group_by
          when 'event_type' then e.event_type
          when 'category' then split_part(e.event_type, '.', 1)
          when 'severity' then e.severity::text
          when 'result' then e.result::text
          when 'source' then e.source::text
          when 'actor_type' then e.actor_type::text
          when 'resource_type' then e.resource_type
        end as label,
        count(*)
      from (
        select k.* from bulwark.audit_logs k
        where k.organization_id = audit_histogram.organization_id
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.* from bulwark.audit_logs k
        where audit_histogram.organization_id is null and k.organization_id is null
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
      ) e
      where e.occurred_at >= v_since and e.occurred_at <= v_until
      group by 1, 2
    ) g;
    v_counts := v_counts || coalesce(v_step_counts, '[]');
    v_before := v_low;
    exit when v_low is null or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '100 milliseconds' then
      v_step := least(v_step * 2, 16000);
    end if;
  end loop;
  return jsonb_build_object(
    'since', v_since,
    'until', v_until,
    'buckets', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.at, t.label), '[]')
      from (
        select c.at, c.label, sum(c.count) as count
        from jsonb_to_recordset(v_counts) as c (at timestamptz, label text, count bigint)
        group by c.at, c.label
      ) t
    ),
    'next', v_low
  );
end;
$$;
comment on function bulwark.audit_histogram(
  uuid, timestamptz, timestamptz, interval, text, uuid
) is
  'Counts the entries of an organization (audit:read there; null: those without one, for a
   super_admin and the service role) by bucket of time: { since, until, buckets, next }, where
   buckets is a list of { at, label, count } without empty ones. Buckets are aligned to UTC, those
   of seven days to Mondays. Default: the last day, by hour. group_by is event_type, category,
   severity, result, source, actor_type or resource_type; without it label is null. It counts from
   the newest entry backwards, for about two seconds: if next is not null, pass it as before, with
   the same since and until, and add the counts. Errors: AUDIT_INVALID_RANGE, AUDIT_INVALID_BUCKET,
   AUDIT_INVALID_GROUP, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
create type bulwark_private.audit_tail as (
  timeline integer,
  polled_at timestamptz,
  floor timestamptz,
  seen pg_snapshot,
  -- Only while more than a page is new: the last entry given, and the snapshot of the first page.
  last uuid,
  next_polled_at timestamptz,
  next_floor timestamptz,
  seeing pg_snapshot
);
comment on type bulwark_private.audit_tail is 'The cursor of a follower of the log, decoded.';
create function bulwark_private.read_audit_tail(cursor text)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_tail bulwark_private.audit_tail;
begin
  v_tail := convert_from(decode(cursor, 'base64'), 'UTF8')::bulwark_private.audit_tail;
  if num_nulls(v_tail.timeline, v_tail.polled_at, v_tail.floor, v_tail.seen) = 0
    and isfinite(v_tail.polled_at) and isfinite(v_tail.floor)
    and num_nulls(v_tail.last, v_tail.next_polled_at, v_tail.next_floor, v_tail.seeing) in (0, 4)
  then
    return v_tail;
  end if;
  raise invalid_text_representation;
exception
  when data_exception then
    raise exception 'Cannot follow the audit log: the cursor is not one of its own'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CURSOR',
            hint = 'Pass on the value of cursor from the call before';
end;
$$;
comment on function bulwark_private.read_audit_tail(text) is
  'Decodes the cursor of a follower. Raises AUDIT_INVALID_CURSOR.';
create function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- An entry is stamped before its transaction may get its number, and clocks are set back a
  -- little.
  c_leeway constant interval := interval '5 seconds';
  v_now constant timestamptz := clock_timestamp();
begin
  tail.seeing := pg_current_snapshot();
  tail.next_polled_at := v_now;
  tail.next_floor := greatest(v_now - interval '1 hour', case
    when not exists (select from pg_snapshot_xip(tail.seeing)) then v_now - c_leeway
    when exists (
      select from pg_snapshot_xip(tail.seeing) as x where x < pg_snapshot_xmax(tail.seen)
    ) then tail.floor
    -- All that are under way began after the last poll.
    else tail.polled_at - c_leeway
  end);
  return tail;
end;
$$;
comment on function bulwark_private.next_audit_tail(bulwark_private.audit_tail) is
  'The cursor with the snapshot of this poll, and how far back the next one must look: at most an
   hour.';
create function bulwark.tail_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 50
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each poll again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_entries jsonb;
  v_floor uuid;
  v_last uuid;
  v_tail bulwark_private.audit_tail;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if page_size between 1 and 1000 is not true then
    raise exception 'Cannot follow the audit log: a page has 1 to 1000 entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if after is null then
    v_tail := bulwark_private.next_audit_tail(null);
    select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') into v_entries
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.* from bulwark.audit_logs e
        where (e.organization_id, e.id) >= (tail_audit_log.organization_id, c_first)
          and (e.organization_id, e.id) <= (tail_audit_log.organization_id, c_last)
        order by e.organization_id desc, e.id desc limit page_size
      )
      union all
      (
        select e.* from bulwark.audit_logs e
        where tail_audit_log.organization_id is null and e.organization_id is null
        order by e.organization_id desc, e.id desc limit page_size
      )
    ) l;
  else
    v_tail := bulwark_private.read_audit_tail(after);
    if v_tail.last is null then
      v_tail := bulwark_private.next_audit_tail(v_tail);
    end if;
    v_floor := bulwark_private.audit_id_floor(v_tail.floor);
    -- Materialized, so that the order of the page does not decide which index is used.
    with recent as materialized (
      select e.* from bulwark.audit_logs e
      where e.organization_id = tail_audit_log.organization_id and e.id >= v_floor
      union all
      select e.* from bulwark.audit_logs e
      where tail_audit_log.organization_id is null and e.organization_id is null
        and e.id >= v_floor
    )
    select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]') into v_entries
    from (
      select *
      from recent r
      where (v_tail.last is null or r.id > v_tail.last)
        and (
          r.timeline > v_tail.timeline
          or not pg_visible_in_snapshot(r.xid, v_tail.seen)
            and pg_visible_in_snapshot(r.xid, v_tail.seeing)
        )
      order by r.id
      -- One more than a page, to know whether it is the last.
      limit page_size + 1
    ) n;
  end if;
  if jsonb_array_length(v_entries) > page_size then
    v_entries := v_entries - page_size;
    v_last := (v_entries -> -1 ->> 'id')::uuid;
    v_tail.last := v_last;
  else
    v_tail := row(
      (select max(t.timeline) from bulwark_private.audit_timelines t), v_tail.next_polled_at,
      v_tail.next_floor, v_tail.seeing, null, null, null, null
    );
  end if;
  return jsonb_build_object(
    'entries', v_entries,
    'cursor', translate(encode(convert_to(v_tail::text, 'UTF8'), 'base64'), E'\n', ''),
    'more', v_last is not null
  );
end;
$$;
comment on function bulwark.tail_audit_log(uuid, text, integer) is
  'Follows an organization''s log (audit:read there; null: the entries without an organization, for
   a super_admin and the service role): { entries, cursor, more }, oldest first. Without after: the
   newest page. Pass cursor as after to get what became visible since, in whatever order its
   transactions commit; more says whether to ask again at once. With nothing new it costs one index
   look-up. Entries of a transaction that ran for more than an hour may be left out;
   export_audit_log leaves out none. Errors: AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT,
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
create function bulwark.audit_coverage(organization_id uuid default null)
  returns table (
    sealed_until timestamptz,
    sealed_entries bigint,
    signed_until timestamptz,
    signed_entries bigint,
    delivered_until timestamptz,
    newest_entry timestamptz
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_delivered bigint;
  v_last bigint;
  v_signed bigint;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  select max(s.number) into v_last from bulwark_private.audit_seals s;
  select max(c.tree_size) into v_signed from bulwark.audit_checkpoints c;
  -- The newest before the first that was not delivered: without a sink none was.
  select max(c.tree_size) into v_delivered
  from bulwark.audit_checkpoints c
  where c.tree_size < coalesce(
    (select min(u.tree_size) from bulwark.audit_checkpoints u where u.delivered_at is null),
    9223372036854775807
  );
  return query
    select
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_last),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_last + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_signed),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_signed + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_delivered),
      (
        select l.occurred_at
        from (
          (
            select e.occurred_at from bulwark.audit_logs e
            where (e.organization_id, e.id) >= (audit_coverage.organization_id, c_first)
              and (e.organization_id, e.id) <= (audit_coverage.organization_id, c_last)
            order by e.organization_id desc, e.id desc limit 1
          )
          union all
          (
            select e.occurred_at from bulwark.audit_logs e
            where audit_coverage.organization_id is null and e.organization_id is null
            order by e.organization_id desc, e.id desc limit 1
          )
        ) l
      );
end;
$$;
comment on function bulwark.audit_coverage(uuid) is
  'How far the log of an organization (audit:read there; null: of the entries without one, for a
   super_admin and the service role) is proved: until when it is sealed, signed and delivered to the
   sink, how many of its entries are, and the time of the newest. An entry of a transaction that was
   still going on at a seal is in a later one. Null: never. Each value is an index look-up. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from public;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from anon;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from authenticated;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from service_role;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from public;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from anon;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from authenticated;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from service_role;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from public;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from anon;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from authenticated;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from service_role;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid) from public;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid) from anon;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid) from authenticated;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid) from service_role;
revoke all on function bulwark_private.read_audit_tail(cursor text) from public;
revoke all on function bulwark_private.read_audit_tail(cursor text) from anon;
revoke all on function bulwark_private.read_audit_tail(cursor text) from authenticated;
revoke all on function bulwark_private.read_audit_tail(cursor text) from service_role;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from public;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from anon;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from authenticated;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from service_role;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from public;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from anon;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from authenticated;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from service_role;
revoke all on function bulwark.audit_coverage(organization_id uuid) from public;
revoke all on function bulwark.audit_coverage(organization_id uuid) from anon;
revoke all on function bulwark.audit_coverage(organization_id uuid) from authenticated;
revoke all on function bulwark.audit_coverage(organization_id uuid) from service_role;
grant execute on function bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid) to authenticated;
grant execute on function bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid) to service_role;
grant execute on function bulwark.tail_audit_log(uuid, text, integer) to authenticated;
grant execute on function bulwark.tail_audit_log(uuid, text, integer) to service_role;
grant execute on function bulwark.audit_coverage(uuid) to authenticated;
grant execute on function bulwark.audit_coverage(uuid) to service_role;
