-- Encrypted columns: declaring them, and authorizing access to their plaintext.
-- Protects against plaintext in a declared column: a check constraint refuses it for every writer.
-- SECURITY DEFINER: list_encrypted_columns, organizations_by_key, because the service role uses
-- nothing of bulwark_private; authorize_field_access, because clients may not write the log.

create table bulwark_private.encrypted_columns (
  relation regclass not null,
  column_name text not null,
  primary_key text not null,
  primary_key_type regtype not null,
  organization_column text,
  index_column text,
  normalization text not null,
  declared_at timestamptz not null default now(),
  primary key (relation, column_name),
  constraint encrypted_columns_normalization check (normalization in ('exact', 'folded'))
);
comment on table bulwark_private.encrypted_columns is
  'The declared columns, which contain only ciphertext: the column with the organization, the
   primary key that values are bound to, and the column with the blind index.';
alter table bulwark_private.encrypted_columns enable row level security;

create function bulwark.declare_encrypted_column(
  target regclass,
  column_name text,
  organization_column text default null,
  blind_index boolean default false,
  fold boolean default false
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_constraint constant name := bulwark_private.object_name(array[column_name], '_is_encrypted');
  v_index_column constant name := case
    when blind_index then bulwark_private.object_name(array[column_name], '_index')
  end;
  v_index_constraint constant name := bulwark_private.object_name(
    array[column_name], '_is_encrypted_index'
  );
  v_key name;
  v_key_type regtype;
  v_keys integer;
  v_table name := (select c.relname from pg_catalog.pg_class c where c.oid = target);
begin
  if num_nulls(target, column_name, blind_index, fold) > 0 or length(column_name) > 50 then
    raise exception 'Cannot declare column: an argument is null, or the name has over 50 characters'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  select count(*), min(a.attname::text), min(a.atttypid::bigint)::oid::regtype
  into v_keys, v_key, v_key_type
  from pg_catalog.pg_class c
  join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey::int2[])
  where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence = 'p';
  -- Values are bound to the key as text, so each key must have one spelling only.
  if v_keys <> 1 or v_key_type not in (
    'uuid', 'text', 'character varying', 'smallint', 'integer', 'bigint'
  ) then
    raise exception 'Cannot declare column: % is no table with a primary key of one column', target
      using errcode = 'wrong_object_type', detail = 'ENCRYPTION_NOT_A_TABLE',
            hint = 'The primary key is a uuid, text, or an integer type';
  end if;
  if not exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = target and a.attname = declare_encrypted_column.column_name
      and a.atttypid = 'text'::regtype and not a.attisdropped
  ) or (
    organization_column is not null and bulwark_private.organization_expression(
      target, declare_encrypted_column.organization_column, ''
    ) is null
  ) then
    raise exception 'Cannot declare column: it or the organization''s column has another type'
      using errcode = 'undefined_column', detail = 'ENCRYPTION_UNKNOWN_COLUMN',
            hint = 'It is text; the column of the organization is uuid, bigint, integer or text';
  end if;
  execute format('alter table %s drop constraint if exists %I', target, v_constraint);
  begin
    execute format(
      'alter table %s add constraint %I check (%I ~ %L)', target, v_constraint, column_name,
      '^bw1\.a256gcm\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{110,}$'
    );
  exception when check_violation then
    raise exception 'Cannot declare column: it holds plaintext'
      using errcode = 'check_violation', detail = 'ENCRYPTION_PLAINTEXT_PRESENT',
            hint = 'Encrypt into a new column first';
  end;
  -- Finds values under an old key in order, at a cost that depends on their number only.
  execute format(
    'create index if not exists %I on %s (substr(%I, 13, 22), %I)',
    bulwark_private.object_name(array[v_table, column_name], '_data_key_idx'), target,
    column_name, v_key
  );
  if blind_index then
    execute format(
      'alter table %s add column if not exists %I text collate "C"', target, v_index_column
    );
    execute format('alter table %s drop constraint if exists %I', target, v_index_constraint);
    execute format(
      'alter table %s add constraint %I check (%I ~ %L)', target, v_index_constraint,
      v_index_column, '^bwi1\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}$'
    );
    -- Includes the primary key, so that a search can continue at any place in index order.
    execute format(
      'create index if not exists %I on %s (%I, %I)',
      bulwark_private.object_name(array[v_table, column_name], '_blind_idx'), target,
      v_index_column, v_key
    );
  end if;
  insert into bulwark_private.encrypted_columns (
    relation, column_name, primary_key, primary_key_type, organization_column, index_column,
    normalization
  )
  values (
    target, declare_encrypted_column.column_name, v_key, v_key_type,
    declare_encrypted_column.organization_column, v_index_column,
    case when fold then 'folded' else 'exact' end
  )
  on conflict on constraint encrypted_columns_pkey do update
    set primary_key = excluded.primary_key, primary_key_type = excluded.primary_key_type,
        organization_column = excluded.organization_column, index_column = excluded.index_column,
        normalization = excluded.normalization;
  notify pgrst, 'reload schema';
end;
$$;
comment on function bulwark.declare_encrypted_column(regclass, text, text, boolean, boolean) is
  'Declares that a text column contains only ciphertext: a check constraint refuses everything else,
   and rotation re-encrypts it. organization_column (uuid, bigint, integer or text) is the column
   that determines the key; without it the system''s key is used. blind_index adds <column>_index to
   search by; fold makes it ignore case, Unicode form and outer blanks. The table needs a primary
   key of one column: uuid, text or an integer. Errors: ENCRYPTION_NOT_A_TABLE,
   ENCRYPTION_UNKNOWN_COLUMN, ENCRYPTION_PLAINTEXT_PRESENT, ENCRYPTION_INVALID_ARGUMENT.';

create function bulwark_private.qualified_name(table_name text)
  returns text[]
  language sql
  immutable
  strict
  set search_path = pg_catalog, pg_temp
as $$
  select case strpos(table_name, '.')
    when 0 then array['public', table_name]
    else array[split_part(table_name, '.', 1), substr(table_name, strpos(table_name, '.') + 1)]
  end;
$$;
comment on function bulwark_private.qualified_name(text) is
  'Schema and name of a table that a client names: `name` (in public) or `schema.name`, unquoted.';

create function bulwark.list_encrypted_columns(table_name text)
  returns table (
    column_name text,
    primary_key text,
    primary_key_type text,
    organization_column text,
    index_column text,
    normalization text,
    schema_name text,
    relation_name text,
    organization_type text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select e.column_name, e.primary_key, e.primary_key_type::text, e.organization_column,
    e.index_column, e.normalization, n.nspname::text, c.relname::text,
    (
      select format_type(a.atttypid, null)
      from pg_catalog.pg_attribute a
      where a.attrelid = e.relation and a.attname = e.organization_column and not a.attisdropped
    )
  from bulwark_private.encrypted_columns e
  join pg_catalog.pg_class c on c.oid = e.relation
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where e.relation = (
    select to_regclass(format('%I.%I', q.name[1], q.name[2]))
    from bulwark_private.qualified_name(list_encrypted_columns.table_name) as q (name)
  );
$$;
comment on function bulwark.list_encrypted_columns(text) is
  'The declared columns of a table, `name` (in public) or `schema.name`, its schema and name, and
   the type of the organization''s column (service role only).';

create function bulwark.organizations_by_key(keys text[])
  returns uuid[]
  language sql
  stable
  security definer            -- definer because API roles call no function of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select array_agg(bulwark_private.organization_of(k.key) order by k.place)
  from unnest(keys) with ordinality as k (key, place);
$$;
comment on function bulwark.organizations_by_key(text[]) is
  'The organizations that keys of the host name, in their order (service role only).';

create function bulwark.authorize_field_access(
  action text,
  table_name text,
  columns text[],
  primary_keys text[],
  organization_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_permission text := case authorize_field_access.action
    when 'encrypt' then 'encryption:encrypt'
    when 'decrypt' then 'encryption:decrypt'
    when 'find' then 'encryption:decrypt'
  end;
begin
  if v_permission is null or num_nulls(table_name, columns, primary_keys) > 0
    or length(table_name) > 127 or cardinality(columns) > 100 or cardinality(primary_keys) > 100
    or exists (
      select from unnest(columns || primary_keys) as n (name)
      where n.name is null or length(n.name) > 100
    ) then
    raise exception
      'Cannot authorize: it takes encrypt, decrypt or find and up to 100 names of each'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  perform bulwark.require_permission(v_permission, authorize_field_access.organization_id);
  perform bulwark_private.append_audit_entry(
    event_type => 'compliance.data_accessed',
    organization_id => authorize_field_access.organization_id,
    resource_type => array_to_string(bulwark_private.qualified_name(table_name), '.'),
    action => authorize_field_access.action,
    details => jsonb_build_object(
      'columns', to_jsonb(columns), 'primary_keys', to_jsonb(primary_keys)
    )
  );
end;
$$;
comment on function bulwark.authorize_field_access(text, text, text[], text[], uuid) is
  'Whether the caller may encrypt fields (encryption:encrypt), or decrypt or search them
   (encryption:decrypt), in an organization (null: the system). If so, writes an audit entry first.
   The function encryption calls it as the caller. Errors: RBAC_PERMISSION_DENIED,
   ENCRYPTION_INVALID_ARGUMENT.';

select bulwark.enable_audit(
  'bulwark_private.encrypted_columns',
  event_types => '{config.changed,config.changed,config.changed}'
);
