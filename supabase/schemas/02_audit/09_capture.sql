-- Audit capture: every change of an audited table leaves an entry in the same transaction.
-- Protects against changes without a trace, also under session_replication_role (the triggers are
-- enabled always) and after the table was altered.
-- SECURITY DEFINER: the trigger functions audit_rows and audit_truncate, because the role that
--   changes an audited table may not write the log.

-- Row triggers have functions made for their table (make_audit_function); bulk mode and fallback
-- are here. The options are also the arguments of the triggers: 1 table, 2 key columns, 3
-- organization column, 4 look-up of the organization by it, 5 ignored and 6 redacted columns, 7 to
-- 9 event types and 10 to 12 severities of insert, update and delete. Stored in
-- audit_watched_tables only: 13 the numbers of columns 3, 5 and 6 (audit_places), which a restore
-- changes.
create function bulwark_private.audit_statement(
  relation oid,
  operation text,
  options text[],
  old_rows text,
  new_rows text,
  trusting boolean
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns jsonb;
  v_count integer;
  v_changes text;
  v_key constant text[] := bulwark_private.audit_key_columns(relation, options[2]::text[]);
  v_moved constant text[] := bulwark_private.audit_moved(relation, (
    select (g.options -> 'written' ->> 12)::jsonb
    from bulwark_private.audit_watched_tables g where g.relation = audit_statement.relation
  ));
  v_new text;
  v_old text;
  v_organization constant text := bulwark_private.organization_expression(
    relation, options[3], format('c.image ->> %L', options[3])
  );
  v_same text;
begin
  -- Ignored columns are not read, unless they belong to the key. If two different values might give
  -- the same JSON, audit_value gets both.
  select
    coalesce(jsonb_object_agg(c.name, null), '{}'),
    count(*) filter (where k.kept),
    coalesce(string_agg(
      format(
        case
          when trusting and case operation when 'UPDATE' then c.exact else c.convertible end
          then 'p.%1$I'
          when operation = 'UPDATE' then 'bulwark_private.audit_value(p.%1$I, q.%1$I) as %1$I'
          else 'bulwark_private.audit_value(p.%1$I) as %1$I'
        end,
        c.name
      ),
      ', '
    ) filter (where k.kept), ''),
    coalesce(string_agg(
      format(
        case when trusting and c.exact then 'q.%1$I'
        else 'bulwark_private.audit_value(q.%1$I, p.%1$I) as %1$I' end,
        c.name
      ),
      ', '
    ) filter (where k.kept), ''),
    -- As a function call: the operator between rows of one column would compare the columns
    -- themselves.
    coalesce(string_agg(
      format('case when record_image_eq(row(p.%1$I), row(q.%1$I)) then %1$L end', c.name), ', '
    ) filter (where k.kept), '')
  into v_columns, v_count, v_old, v_new, v_same
  from bulwark_private.audit_columns c
  cross join lateral (
    select c.name <> all (options[5]::text[]) or c.name = any (v_key) as kept
  ) k
  where c.relation = audit_statement.relation;

  -- Another column has one of these names now, so the ignored and redacted columns are unknown.
  if v_moved && (options[5]::text[] || options[6]::text[]) then
    v_columns := '{}';
  end if;
  if options[3] = any (v_moved) then
    options[3] := '';
  end if;
  if operation = 'UPDATE' then
    -- Both transition tables list rows in the order of the update, so old and new rows are paired
    -- by position, also if the key changes or two rows swap keys. A row that moves to another
    -- organization is a delete in one and an insert in the other. A row without a key is shown
    -- whole.
    v_changes := format(
      $sql$
        select
          e.event,
          case e.event when 9 then d.old_image else d.new_image end as image,
          case e.event when 8 then d.old_image - d.same when 9 then d.old_image end as before,
          case e.event when 8 then d.new_image - d.same when 7 then d.new_image end as after
        from (
          select
            (select to_jsonb(r.*) from (select %1$s) r) as old_image,
            (select to_jsonb(r.*) from (select %2$s) r) as new_image,
            case when %3$L then c.same else '{}' end as same
          from (select row_number() over () as "audit place", s.* from %4$s s) p
          join (select row_number() over () as "audit place", s.* from %5$s s) q
            on q."audit place" = p."audit place"
          cross join lateral (select array_remove(array[%6$s]::text[], null) as same offset 0) c
          where cardinality(c.same) < %7$s
          offset 0
        ) d
        cross join lateral unnest(
          case
            when d.old_image -> %8$L is distinct from d.new_image -> %8$L then '{9,7}'
            else '{8}'
          end::integer[]
        ) as e (event)
      $sql$,
      v_old, v_new, v_key is not null, old_rows, new_rows, v_same, v_count, options[3]
    );
  else
    v_changes := format(
      $sql$
        select
          %1$s as event, s.image,
          case when %1$s = 9 then s.image end as before,
          case when %1$s = 7 then s.image end as after
        from (
          select to_jsonb(r.*) as image from (select %2$s from %3$s p offset 0) r offset 0
        ) s
      $sql$,
      case operation when 'INSERT' then 7 else 9 end, v_old,
      case operation when 'INSERT' then new_rows else old_rows end
    );
  end if;
  return format(
    $sql$
      insert into bulwark.audit_logs (
        source, severity, result, organization_id, event_type, resource_type, resource_id, action,
        before, after
      )
      select
        'table', (%1$L::text[])[c.event + 3]::bulwark.audit_severity, 'success', %2$s,
        (%1$L::text[])[c.event], %3$L, %4$s, %5$L,
        case
          when %6$L or pg_column_size(c.before) > 32768
          then bulwark_private.audit_image(c.before, %7$L, %8$L, %9$L)
          else c.before
        end,
        case
          when %6$L or pg_column_size(c.after) > 32768
          then bulwark_private.audit_image(c.after, %7$L, %8$L, %9$L)
          else c.after
        end
      from (%10$s) c
    $sql$,
    options,
    case
      when options[3] = '' then 'null::uuid'
      when options[4] = '' and v_organization is not null then v_organization
      else format('bulwark_private.audit_organization(c.image ->> %L, %L)', options[3], options[4])
    end,
    options[1],
    case
      when v_key is null then
        format(
          'bulwark_private.audit_key('
            'bulwark_private.audit_image(coalesce(c.before, c.after), %L, %L, %L), null)',
          options[5], options[6], v_columns
        )
      when cardinality(v_key) = 1 then format('c.image ->> %L', v_key[1])
      else format('bulwark_private.audit_key(c.image, %L)', v_key)
    end,
    lower(operation), options[5] <> '{}' or options[6] <> '{}', options[5], options[6], v_columns,
    v_changes
  );
end;
$$;
comment on function bulwark_private.audit_statement(oid, text, text[], text, text, boolean) is
  'SQL text that appends the entries of changed rows, for the table as it is now. trusting takes the
   types that audit_columns knows without testing them.';

create function bulwark_private.audit_carefully(
  relation oid,
  event integer,
  old record,
  new record,
  options text[]
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
as $$
begin
  execute bulwark_private.audit_statement(
    relation, ('[7:9]={INSERT,UPDATE,DELETE}'::text[])[event], options, '(select ($1).*)',
    '(select ($2).*)', false
  ) using old, new;
end;
$$;
comment on function bulwark_private.audit_carefully(oid, integer, record, record, text[]) is
  'Appends the entry of one row column by column, when the table''s own function cannot: JSON cannot
   hold a value, the key is another one, or JSON does not show the change. event is a position in
   the options (7 insert, 8 update, 9 delete).';

create function bulwark_private.audit_rows()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write the log
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
  set jit = off               -- its cost estimates would compile a small statement for 200 ms
as $$
begin
  -- Planned for the actual rows: a plan cached from small statements is quadratic for large ones.
  execute bulwark_private.audit_statement(
    tg_relid, tg_op, tg_argv[:], 'old_rows', 'new_rows', true
  );
  return null;
end;
$$;
comment on function bulwark_private.audit_rows() is
  'Trigger: writes the entries of a whole statement at once, for tables that are loaded in bulk.';

create function bulwark_private.audit_truncate()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that truncates may not write the log
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark.audit_logs (source, severity, result, event_type, resource_type, action)
  values ('table', 'warning', 'success', tg_argv[8], tg_argv[0], 'truncate');
  return null;
end;
$$;
comment on function bulwark_private.audit_truncate() is
  'Trigger: an entry without an organization when an audited table is truncated.';
