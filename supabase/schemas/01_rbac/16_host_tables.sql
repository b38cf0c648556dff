-- Tables of the host that Bulwark follows by triggers: which ones can be followed, and the lock
-- that their writers take.
-- Protects against changes that a trigger would not see, and against deadlocks with the deletion of
-- accounts.
-- SECURITY DEFINER: lock_host_rows, because writers of the table may not call lock_rights.

create function bulwark_private.require_host_table(target regclass)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if target is null then
    raise exception 'Cannot follow table: it is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from pg_catalog.pg_class c
    where c.oid = target
      and c.relkind = 'r'
      and c.relpersistence = 'p'
      and not c.relispartition
      and c.relnamespace::regnamespace::text not in (
        'bulwark', 'bulwark_private', 'pg_catalog', 'information_schema'
      )
      -- Triggers do not see what partitions and children lose or gain.
      and not exists (
        select from pg_catalog.pg_inherits i where c.oid in (i.inhrelid, i.inhparent)
      )
  ) then
    raise exception 'Cannot follow %: it is no ordinary table', target
      using errcode = 'wrong_object_type', detail = 'RBAC_HOST_TABLE_UNSUITABLE',
            hint = 'Views, partitions, parents, temporary and unlogged tables cannot be followed';
  end if;
end;
$$;
comment on function bulwark_private.require_host_table(regclass) is
  'Raises RBAC_HOST_TABLE_UNSUITABLE unless triggers on a table see every change of it.';

create function bulwark_private.require_host_column(
  target regclass,
  column_name text,
  types regtype[]
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
  v_type regtype;
begin
  select a.atttypid, t.typname into v_type, v_name
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_collation c on c.oid = a.attcollation
  where a.attrelid = target and a.attname = column_name and a.attnum > 0
    -- With other collations equal values may be different texts, and a change of one is missed.
    and c.collisdeterministic is not false;
  if v_type is null or v_type <> all (coalesce(types, array[v_type])) then
    raise exception 'Cannot follow %: it has no column % of a type that is supported',
      target, coalesce(quote_ident(column_name), 'null')
      using errcode = 'undefined_column', detail = 'RBAC_HOST_COLUMN_UNSUITABLE',
            hint = 'One of: ' || coalesce(array_to_string(types, ', '), 'any type');
  end if;
  return v_name;
end;
$$;
comment on function bulwark_private.require_host_column(regclass, text, regtype[]) is
  'The name of a column''s type in pg_type. Raises RBAC_HOST_COLUMN_UNSUITABLE if the table has no
   such column of one of the types (null: of any) with a deterministic collation.';

create function bulwark_private.host_key_types()
  returns regtype[]
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$ select '{uuid,bigint,integer,smallint,text,character varying}'::regtype[]; $$;
comment on function bulwark_private.host_key_types() is
  'The types that keys of organizations may have. Of each, equal keys are the same text.';

create function bulwark_private.is_unique_column(target regclass, column_name text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_index i on i.indrelid = a.attrelid
    where a.attrelid = target
      and a.attname = column_name
      and a.attnotnull
      and i.indisunique
      and i.indisvalid
      and i.indnkeyatts = 1
      and i.indkey[0] = a.attnum
      and i.indpred is null
  );
$$;
comment on function bulwark_private.is_unique_column(regclass, text) is
  'Whether a column is not null and unique by itself.';

-- Before the statement: it locks rows of the host, and the deletion of an account locks rights
-- before rows.
create function bulwark_private.lock_host_rows()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not call lock_rights
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(null);
  return null;
end;
$$;
comment on function bulwark_private.lock_host_rows() is
  'Trigger: a statement that writes a table of the host waits for the deletion of accounts before it
   locks a row.';
