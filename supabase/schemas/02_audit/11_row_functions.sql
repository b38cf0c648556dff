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

create function bulwark_private.audit_row_image(relation oid, source text, nulls jsonb)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Only the settings that change the JSON of this table's types are compared.
  select format(
    case when v.condition is null then 'to_jsonb(%1$s)'
    else 'case when %2$s then to_jsonb(%1$s) else bulwark_private.audit_json(%1$s) end' end,
    case
      when nulls = '{}' then source
      else format('jsonb_populate_record(%s, %L)', source, nulls)
    end,
    v.condition
  )
  from (
    select string_agg(format('current_setting(%L) %s', s.name, s.test), ' and ') as condition
    from (
      values ('timezone', $test$in ('UTC', 'Etc/UTC')$test$),
        ('datestyle', $test$like 'ISO%'$test$),
        ('intervalstyle', $test$= 'postgres'$test$),
        ('extra_float_digits', $test$in ('1', '2', '3')$test$),
        ('bytea_output', $test$= 'hex'$test$),
        ('lc_monetary', $test$= 'C'$test$)
    ) as s (name, test)
    where s.name in (
      select unnest(c.settings)
      from bulwark_private.audit_columns c
      where c.relation = audit_row_image.relation and not nulls ? c.name
    )
  ) v;
$$;
comment on function bulwark_private.audit_row_image(oid, text, jsonb) is
  'PL/pgSQL text that converts a row to JSON; ignored columns are set to null before.';

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
-- the index. For that alone it is declared immutable. It reads columns and index through functions
-- that see changes of other sessions at once, also in a transaction with an older snapshot.
create function bulwark_private.audit_table_fits(
  relation regclass,
  key_index regclass,
  definition text,
  watched text[]
)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_places constant jsonb := (
    select (g.options -> 'written' ->> 12)::jsonb
    from bulwark_private.audit_watched_tables g where g.relation = audit_table_fits.relation
  );
begin
  if pg_get_indexdef(key_index) is distinct from definition or not v_places ?& watched then
    return false;
  end if;
  -- A column's description begins with "column" and its name. On a server that speaks another
  -- language it never does; then audit_carefully writes every row.
  return not exists (
    select from unnest(watched) as w
    where starts_with(
      pg_describe_object('pg_class'::regclass, relation, (v_places ->> w)::integer),
      format('column %s of ', w)
    ) is not true
  );
end;
$$;
comment on function bulwark_private.audit_table_fits(regclass, regclass, text, text[]) is
  'Whether the key of an audited table still has this definition, and the watched columns still have
   the names that they had at enable_audit. Only for row functions (audit_row_body).';

-- Postgres initializes each expression again in every transaction, which costs more than evaluating
-- most of them, so conditions are combined into one. The block with a handler costs an insert two
-- percent.
create function bulwark_private.audit_row_body(relation oid, operation text, options text[])
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $make$
declare
  v_current constant text := case operation when 'delete' then 'v_before' else 'v_after' end;
  v_event constant integer := case operation when 'insert' then 7 when 'update' then 8 else 9 end;
  v_index constant regclass := (
    select i.indexrelid
    from pg_catalog.pg_index i where i.indrelid = audit_row_body.relation and i.indisprimary
  );
  v_key constant text[] := options[2]::text[];
  v_names constant text[] := array(
    select c.name::text from bulwark_private.audit_columns c
      where c.relation = audit_row_body.relation order by c.place
  );
  v_nulls constant jsonb := (
    select coalesce(jsonb_object_agg(i, null), '{}')
    from unnest(options[5]::text[]) as i
    where i <> all (v_key)
  );
  v_part constant text := format(
    'case when %s then bulwark_private.audit_image(%%1$s, %L, %L, %%2$s) else %%1$s end',
    case
      when options[5] = '{}' and options[6] = '{}' then 'pg_column_size(%2$s) > 32768' else 'true'
    end,
    options[5], options[6]
  );
  v_organization constant text := bulwark_private.organization_expression(
    relation, options[3], format('%s ->> %L', v_current, options[3])
  );
begin
  if bulwark_private.audit_key_columns(relation, null) is distinct from v_key
    or bulwark_private.audit_moved(relation, options[13]::jsonb) <> '{}' then
    return format(
      E'\nbegin\n  perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);\n'
        '  return null;\nend;\n',
      v_event, options[:12]
    );
  end if;
  return concat(
    E'\ndeclare\n',
    case when operation <> 'delete' then E'  v_after jsonb;\n' end,
    case when operation <> 'insert' then E'  v_before jsonb;\n' end,
    case when operation = 'update' then E'  v_changed text[];\n  v_same text[];\n' end,
    case when options[4] <> '' then E'  v_organization uuid;\n' end,
    E'begin\n  begin\n',
    case when operation <> 'insert' then
      format(E'    v_before := %s;\n', bulwark_private.audit_row_image(relation, 'old', v_nulls))
    end,
    case when operation <> 'delete' then
      format(E'    v_after := %s;\n', bulwark_private.audit_row_image(relation, 'new', v_nulls))
    end,
    case when operation = 'update' then
      $body$    select
      coalesce(array_agg(o.key) filter (where o.value = v_after -> o.key), '{}'),
      coalesce(array_agg(o.key) filter (where o.value is distinct from v_after -> o.key), '{}')
    into v_same, v_changed
    from jsonb_each(v_before) as o;
$body$
    end,
    -- The key is gone or another one, a column was added, or another column has a watched name now.
    -- The cast of the organization is here because errors are caught here; keys of the host raise
    -- none.
    format(
      E'    if %1$s - %2$L::text[] <> ''{}''\n'
        '      or bulwark_private.audit_table_fits(%3$L::regclass, %4$L::regclass, %5$L, %6$L)\n'
        '        is not true or %7$s',
      v_current, v_names, relation::regclass, v_index, pg_get_indexdef(v_index),
      array(select jsonb_object_keys(options[13]::jsonb)),
      (select string_agg(format('%s ->> %L is null', v_current, k), ' or ') from unnest(v_key) as k)
    ),
    case when options[3] <> '' and options[4] = '' and v_organization like '(%)::uuid' then
      format(' or %s = ''00000000-0000-0000-0000-000000000000''', v_organization)
    end,
    case when operation = 'update' then format(
      $body$
      -- JSON does not show the change, or the row moved to another organization, which is two
      -- entries.
      or jsonb_populate_record(
          old,
          jsonb_object(v_changed, array_fill(null::text, array[cardinality(v_changed)])) || %1$L
        ) *<> jsonb_populate_record(
          new,
          jsonb_object(v_changed, array_fill(null::text, array[cardinality(v_changed)])) || %1$L
        )
      or %2$L = any (v_changed)$body$,
      v_nulls, options[3]
    ) end,
    E' then\n      perform bulwark_private.leave_row_function();\n    end if;\n',
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
  select 'table', %L, 'success', %s, %L, %L, %s, %L, %s, %s%s;
  return null;
end;
$body$,
      v_event, options[:12], options[v_event + 3],
      case
        when options[3] = '' then 'null::uuid'
        when options[4] = '' then v_organization
        else 'v_organization'
      end,
      options[v_event], options[1],
      case cardinality(v_key)
        when 1 then format('%s ->> %L', v_current, v_key[1])
        else format('bulwark_private.audit_key(%s, %L)', v_current, v_key)
      end,
      operation,
      case operation
        when 'update' then format(v_part, 'v_before - v_same', 'v_before')
        when 'delete' then format(v_part, 'v_before', 'v_before')
        else 'null'
      end,
      case operation
        when 'update' then format(v_part, 'v_after - v_same', 'v_after')
        when 'insert' then format(v_part, 'v_after', 'v_after')
        else 'null'
      end,
      case when operation = 'update' then ' where v_changed <> ''{}''' end
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
