-- Audit row expressions: parts of the text of row functions (audit_row_functions) that depend on
-- the columns of a table.
-- Protects against an image that depends on a session's settings, and against a change that JSON
-- does not show.
-- No function here is SECURITY DEFINER.

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
