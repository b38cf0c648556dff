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
        ('lc_monetary', (
          select format('= %L', substring(c from '=(.*)$'))
          from pg_catalog.pg_proc p
          cross join unnest(p.proconfig) as c
          where p.oid = 'bulwark_private.audit_json(record)'::regprocedure
            and starts_with(c, 'lc_monetary=')
        ))
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
  select md5(concat_ws(
    ' ', i.indexrelid,
    (
      select string_agg(format('%I %s', c.name, c.type), ',' order by c.place)
      from bulwark_private.audit_columns c where c.relation = audit_shape.relation
    )
  ))
  from (values (true)) as always
  left join pg_catalog.pg_index i on i.indrelid = audit_shape.relation and i.indisprimary;
$$;
comment on function bulwark_private.audit_shape(oid) is
  'A hash of the columns of a table and the index of its key: row functions are made for these.';

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
  v_index constant oid := (
    select i.indexrelid
    from pg_catalog.pg_index i where i.indrelid = audit_row_body.relation and i.indisprimary
  );
  v_key constant text[] := options[2]::text[];
  v_names constant text[] := array(
    select c.name::text from bulwark_private.audit_columns c
      where c.relation = audit_row_body.relation
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
begin
  if bulwark_private.audit_key_columns(relation, null) is distinct from v_key
    or bulwark_private.audit_moved(relation, options[13]::jsonb) <> '{}' then
    return format(
      E'\nbegin\n  perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);\n'
        '  return null;\nend;\n',
      v_event, options
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
    -- The key is gone or another one, or a column was added. The cast of the organization is here
    -- because errors are caught here.
    format(
      E'    if %1$s - %2$L::text[] <> ''{}''\n'
        '      or has_table_privilege(%3$s::oid, ''select'') is null or %4$s',
      v_current, v_names, v_index,
      (select string_agg(format('%s ->> %L is null', v_current, k), ' or ') from unnest(v_key) as k)
    ),
    case when options[3] <> '' and options[4] = '' then
      format(
        ' or (%s ->> %L)::uuid = ''00000000-0000-0000-0000-000000000000''', v_current, options[3]
      )
    end,
    -- Another column has the name now. A column's description begins with "column" and its name. On
    -- a server that speaks another language it never does; then audit_carefully writes every row.
    (
      select string_agg(
        format(
          E'\n      or starts_with(pg_describe_object(%s::oid, %s::oid, %s), %L) is not true',
          'pg_class'::regclass::oid, relation, p.place, format('column %s of ', p.name)
        ),
        ''
      )
      from jsonb_each_text(options[13]::jsonb) as p (name, place)
    ),
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
          '      %1$s((%2$s ->> %3$L)::uuid),\n'
          '      bulwark_private.remembered_organization((%2$s ->> %3$L)::uuid, %1$L)\n'
          '    );\n',
        options[4], v_current, options[3]
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
      v_event, options, options[v_event + 3],
      case
        when options[3] = '' then 'null::uuid'
        when options[4] = '' then format('(%s ->> %L)::uuid', v_current, options[3])
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

create function bulwark_private.make_audit_function(
  relation oid,
  operation text,
  options text[],
  made name default null
)
  returns name
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The name is random: a rename or a restore gives the table's name or oid to another table.
  v_name constant name := coalesce(
    made, format('audit_%s_%s', operation, replace(gen_random_uuid()::text, '-', ''))
  );
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
comment on function bulwark_private.make_audit_function(oid, text, text[], name) is
  'Creates the trigger function for one operation on a table, or replaces the one named made, and
   returns its name.';
