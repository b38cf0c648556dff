-- Audit row functions: trigger functions that write entries row by row, generated for each table
-- with its options as constants.
-- Protects the speed of writes: reading options at run time costs a write a tenth. A later change
-- of the table fails no write: no field of a row is named, and audit_carefully takes over when
-- anything is unexpected.
-- SECURITY DEFINER: the functions generated here, because writers of audited tables may not write
--   the log.

create function bulwark_private.leave_row_function()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot append entry: the row needs a closer look'
    using errcode = 'data_exception';
end;
$$;
comment on function bulwark_private.leave_row_function() is
  'Raises an error that the row function catches to switch to audit_carefully. Clients never see
   it.';

create function bulwark_private.audit_shape(relation oid)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Names instead of numbers: a restore changes the numbers only.
  select md5(concat_ws(
    ' ', audit_shape.relation::regclass, pg_get_indexdef(i.indexrelid),
    (
      select string_agg(format('%I %s', c.name, c.type::regtype), ',' order by c.place)
      from bulwark_private.audit_columns c where c.relation = audit_shape.relation
    )
  ))
  from (values (true)) as always
  left join pg_catalog.pg_index i on i.indrelid = audit_shape.relation and i.indisprimary;
$$;
comment on function bulwark_private.audit_shape(oid) is
  'A hash of the name and columns of a table and the index of its key: row functions are made for
   these.';

-- Postgres evaluates it when it plans the call, once in each session, so it costs a write nothing.
-- The regclass constants of the call make Postgres plan it again after every change of the table or
-- the index. For that alone it is declared immutable. It reads columns and index in ways that see
-- changes of other sessions at once, also in a transaction with an older snapshot.
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

-- Postgres initializes each expression again in every transaction, which costs more than evaluating
-- most of them. So a write without surprises evaluates one condition, and only after that are the
-- surprises told apart. Fields are named only in the block that catches errors, which costs an
-- insert one percent.
create function bulwark_private.audit_row_body(relation oid, operation text, options text[])
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
comment on function bulwark_private.audit_row_body(oid, text, text[]) is
  'Body of the trigger function for one operation on a table.';

create function bulwark_private.audit_stem(target regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- A table that was renamed keeps its stem, and another one may have its name now.
  select s.stem
  from generate_series(0, (select count(*) from bulwark_private.audit_watched_tables)) as n
  cross join lateral md5(concat_ws(' ', target, nullif(n, 0))) as s (stem)
  where not exists (
    select from bulwark_private.audit_watched_tables g
    join pg_catalog.pg_class c on c.oid = g.relation
    where g.options ->> 'stem' = s.stem and g.relation <> target
  )
  order by n
  limit 1;
$$;
comment on function bulwark_private.audit_stem(regclass) is
  'The part of a name that tells the functions and triggers made for an audited table from those of
   others: a hash of the table''s name, so that it is the same in every database.';

create function bulwark_private.make_audit_function(
  relation oid,
  operation text,
  options text[],
  stem text
)
  returns name
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant name := format('audit_%s_%s', operation, stem);
begin
  execute format(
    'create or replace function bulwark_private.%I() returns trigger
      language plpgsql security definer
       set search_path = pg_catalog, pg_temp as %L',
    v_name, bulwark_private.audit_row_body(relation, operation, options)
  );
  -- Owned by the log's owner, so that it has these rights for every caller of enable_audit.
  execute format(
    'alter function bulwark_private.%I() owner to %s', v_name,
    (
      select c.relowner::regrole
      from pg_catalog.pg_class c
      where c.oid = 'bulwark.audit_logs'::regclass
    )
  );
  execute format('revoke all on function bulwark_private.%I() from public', v_name);
  execute format(
    'comment on function bulwark_private.%I() is %L',
    v_name,
    format('Trigger, made by enable_audit: the entry of each %s of a row of %s.', operation,
      options[1])
  );
  return v_name;
end;
$$;
comment on function bulwark_private.make_audit_function(oid, text, text[], text) is
  'Creates or replaces the trigger function for one operation on a table, and returns its name.';
