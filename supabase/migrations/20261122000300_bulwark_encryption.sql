-- Built by npm run build from supabase/schemas/03_encryption: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

-- Encryption: wrapped data keys, with a sequence of versions for each organization and for the
-- system.
-- Protects against readers of the database: the key-encryption keys are held by edge functions and
-- never enter it. A wrapped key that is copied to another row cannot be unwrapped.
-- SECURITY DEFINER: is_shredded, find_key_encryption_key, register_key_encryption_key,
-- reserve_data_key, read_data_keys, read_index_keys, because the service role reads no table of
-- bulwark_private.

create type bulwark_private.data_key_purpose as enum ('field', 'index');
comment on type bulwark_private.data_key_purpose is
  'field: encrypts fields; index: computes the blind indexes that fields are found by.';
create type bulwark_private.data_key_state as enum ('current', 'superseded', 'destroyed');
comment on type bulwark_private.data_key_state is
  'current: encrypts and decrypts; superseded: only decrypts; destroyed: can never be used again.';

create table bulwark_private.key_encryption_keys (
  id text primary key,
  derivation text not null,
  salt text,
  rounds bigint,
  check_value text not null,
  is_current boolean not null default false,
  registered_at timestamptz not null default now(),
  lost_at timestamptz,
  fault text,
  constraint key_encryption_keys_id_format check (id ~ '^[a-z0-9_-]{1,32}$'),
  constraint key_encryption_keys_derivation check (
    case derivation
      when 'raw' then salt is null and rounds is null
      when 'pbkdf2-sha256' then
        coalesce(length(salt) >= 22, false)
        and coalesce(rounds between 600000 and 10000000, false)
      else false
    end
  )
);
comment on table bulwark_private.key_encryption_keys is
  'The registered key-encryption keys: their ids and derivation parameters, never a key.';
comment on column bulwark_private.key_encryption_keys.check_value is
  'Derived from the key, to check that a secret is the one registered under the id.';
comment on column bulwark_private.key_encryption_keys.is_current is
  'Whether new data keys are wrapped under it. If none is current, functions use the first key of
   their secrets.';

comment on column bulwark_private.key_encryption_keys.lost_at is
  'When the owner declared that nobody has the key any more; null: it is in use.';
comment on column bulwark_private.key_encryption_keys.fault is
  'Why a function could not use the key when it last tried: missing, or wrong (it has another key
   under the id); null: it could.';

create table bulwark_private.data_keys (
  id uuid primary key,
  -- No foreign key: the destruction of an organization's keys must stay known when it is deleted.
  organization_id uuid,
  purpose bulwark_private.data_key_purpose not null,
  state bulwark_private.data_key_state not null default 'current',
  version bigint not null,
  messages bigint not null default 0,
  kek text not null references bulwark_private.key_encryption_keys (id),
  wrapped_key text,
  created_at timestamptz not null default now(),
  superseded_at timestamptz,
  destroyed_at timestamptz,
  constraint data_keys_version_is_taken unique nulls not distinct
    (organization_id, purpose, version),
  constraint data_keys_version_is_positive check (version > 0),
  constraint data_keys_destroyed_is_empty check ((state = 'destroyed') = (wrapped_key is null)),
  constraint data_keys_wrapped_key_format check (
    wrapped_key ~ '^bwk1\.[a-z0-9_-]{1,32}\.[A-Za-z0-9_-]{150}$'
  )
);
comment on table bulwark_private.data_keys is
  'Data keys, wrapped by a key-encryption key that the database does not have. organization_id null:
   the system''s.';
comment on column bulwark_private.data_keys.messages is
  'Number of messages reserved for encryption under the key; never less than were encrypted.';

create table bulwark_private.shredded_organizations (
  organization_id uuid primary key,
  slug text not null,
  data_keys bigint not null,
  shredded_at timestamptz not null default now(),
  shredded_by uuid
);
comment on table bulwark_private.shredded_organizations is
  'Organizations whose data keys were destroyed. They never get a key again.';

create index data_keys_kek_idx on bulwark_private.data_keys (kek);
create unique index data_keys_is_current_once_idx on bulwark_private.data_keys (
  (coalesce(organization_id, '00000000-0000-0000-0000-000000000000')), purpose
) where state = 'current';
create unique index key_encryption_keys_is_current_once_idx
  on bulwark_private.key_encryption_keys (is_current) where is_current;

alter table bulwark_private.key_encryption_keys enable row level security;
alter table bulwark_private.data_keys enable row level security;
alter table bulwark_private.shredded_organizations enable row level security;

insert into bulwark.settings (name, value, description) values
  ('encryption.messages_per_key', '1073741824',
    'How many messages a data key encrypts before a new version is made; at most 4294967296');

insert into bulwark.audit_event_types (name, severity, description) values
  ('encryption.key_created', 'info', 'A data key or key-encryption key came into use'),
  ('encryption.key_changed', 'info', 'A data key was superseded or wrapped anew'),
  ('encryption.keys_destroyed', 'critical', 'An organization''s data keys were destroyed');

create function bulwark_private.lock_data_keys(organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(
    hashtextextended(concat('bulwark data keys ', lock_data_keys.organization_id), 0)
  );
end;
$$;
comment on function bulwark_private.lock_data_keys(uuid) is
  'Serializes changes of an organization''s keys until commit.';

create function bulwark_private.require_not_shredded(organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from bulwark_private.shredded_organizations s
    where s.organization_id = require_not_shredded.organization_id
  ) then
    raise exception 'Cannot use data keys: those of the organization were destroyed'
      using errcode = 'PT410', detail = 'ENCRYPTION_KEY_DESTROYED',
        hint = 'Nothing brings them back; a new organization gets new keys';
  end if;
end;
$$;
comment on function bulwark_private.require_not_shredded(uuid) is
  'Raises ENCRYPTION_KEY_DESTROYED for a shredded organization.';

create function bulwark.is_shredded(for_organization uuid)
  returns boolean
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from bulwark_private.shredded_organizations s
    where s.organization_id = is_shredded.for_organization
  );
$$;
comment on function bulwark.is_shredded(uuid) is
  'Whether an organization''s data keys were destroyed (service role only).';

create function bulwark.find_key_encryption_key(key_id text)
  returns table (
    derivation text,
    salt text,
    rounds bigint,
    check_value text,
    is_lost boolean,
    fault text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select k.derivation, k.salt, k.rounds, k.check_value, k.lost_at is not null, k.fault
  from bulwark_private.key_encryption_keys k
  where k.id = find_key_encryption_key.key_id;
$$;
comment on function bulwark.find_key_encryption_key(text) is
  'The derivation parameters of a key-encryption key, whether it was declared lost, and the last
   fault (report_key_fault); no row if it is not registered (service role only).';

create function bulwark.register_key_encryption_key(
  key_id text,
  derivation text,
  check_value text,
  salt text default null,
  rounds integer default null
)
  returns void
  language sql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
  insert into bulwark_private.key_encryption_keys (id, derivation, salt, rounds, check_value)
  values (
    register_key_encryption_key.key_id, register_key_encryption_key.derivation,
    register_key_encryption_key.salt, register_key_encryption_key.rounds,
    register_key_encryption_key.check_value
  )
  on conflict (id) do nothing;
$$;
comment on function bulwark.register_key_encryption_key(text, text, text, text, integer) is
  'Stores the parameters of a key-encryption key unless its id is registered (service role only).';

create function bulwark.reserve_data_key(
  key_purpose text,
  messages integer,
  for_organization uuid default null
)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text,
    granted integer,
    current_kek text
  )
  language plpgsql
  volatile
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_granted integer := 0;
  v_key bulwark_private.data_keys;
begin
  if reserve_data_key.messages is null or reserve_data_key.messages not between 0 and 16777216 then
    raise exception 'Cannot reserve messages: 0 to 16777216 are set aside at once'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  perform bulwark_private.require_not_shredded(reserve_data_key.for_organization);
  select * into v_key
  from bulwark_private.data_keys k
  where coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(reserve_data_key.for_organization, '00000000-0000-0000-0000-000000000000')
    and k.purpose = reserve_data_key.key_purpose::bulwark_private.data_key_purpose
    and k.state = 'current'
  for update;
  if found and reserve_data_key.messages > 0 then
    v_granted := greatest(0, least(
      reserve_data_key.messages,
      least(
        (bulwark_private.setting('encryption.messages_per_key'))::bigint, 4294967296
      ) - v_key.messages
    ));
    update bulwark_private.data_keys k
    set messages = k.messages + v_granted
    where k.id = v_key.id;
  end if;
  return query
    select v_key.id, v_key.organization_id, v_key.purpose::text, v_key.version, v_key.wrapped_key,
      v_granted, (select k.id from bulwark_private.key_encryption_keys k where k.is_current);
end;
$$;
comment on function bulwark.reserve_data_key(text, integer, uuid) is
  'The current data key of an organization (null: the system), with this many of its messages
   reserved for the caller. granted is the number reserved, 0 if the key has reached its limit. A
   null id means that there is no key yet. Service role only. Errors: ENCRYPTION_KEY_DESTROYED,
   ENCRYPTION_INVALID_ARGUMENT.';

create function bulwark.read_data_keys(key_ids uuid[])
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
  from bulwark_private.data_keys k
  where k.id = any (read_data_keys.key_ids);
$$;
comment on function bulwark.read_data_keys(uuid[]) is
  'Wrapped data keys by id; wrapped_key is null for destroyed keys (service role only).';

create function bulwark.read_index_keys(for_organization uuid default null)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language plpgsql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_not_shredded(read_index_keys.for_organization);
  return query
    select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
    from bulwark_private.data_keys k
    where (
        k.organization_id = read_index_keys.for_organization
        or (k.organization_id is null and read_index_keys.for_organization is null)
      )
      and k.purpose = 'index'
      and not exists (
        select from bulwark_private.key_encryption_keys e
        where e.id = k.kek and e.lost_at is not null
      )
    order by k.version desc
    limit 10;
end;
$$;
comment on function bulwark.read_index_keys(uuid) is
  'The ten newest index keys of an organization (null: the system) that are not lost, the current
   one first (service role only). Errors: ENCRYPTION_KEY_DESTROYED.';

create trigger data_keys_keep_identity
  before update on bulwark_private.data_keys
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'purpose', 'version', 'created_at'
  );

select bulwark.enable_audit(
  'bulwark_private.key_encryption_keys', redact => '{salt,check_value}',
  event_types => '{encryption.key_created,encryption.key_changed,encryption.key_changed}'
);
select bulwark.enable_audit(
  'bulwark_private.data_keys', organization_column => 'organization_id', ignore => '{messages}',
  redact => '{wrapped_key}',
  event_types => '{encryption.key_created,encryption.key_changed,encryption.key_changed}'
);
select bulwark.enable_audit(
  'bulwark_private.shredded_organizations', organization_column => 'organization_id'
);

-- Encryption shredding: destroys an organization's data keys, which makes its encrypted data
-- unreadable.
-- Protects against data that outlives its organization. It cannot be undone, so the slug confirms
-- it, and it is audited.
-- SECURITY DEFINER: shred_organization, because clients may not write keys; the trigger
-- organizations_destroy_data_keys, because callers who delete may not either.

create function bulwark_private.destroy_data_keys(organization_id uuid, slug text)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_destroyed integer;
begin
  perform bulwark_private.lock_data_keys(destroy_data_keys.organization_id);
  update bulwark_private.data_keys k
  set state = 'destroyed', wrapped_key = null, destroyed_at = now()
  where k.organization_id = destroy_data_keys.organization_id and k.state <> 'destroyed';
  get diagnostics v_destroyed = row_count;
  insert into bulwark_private.shredded_organizations (organization_id, slug, data_keys, shredded_by)
  values (
    destroy_data_keys.organization_id, destroy_data_keys.slug, v_destroyed,
    bulwark.current_person()
  )
  on conflict do nothing;
  perform bulwark_private.append_audit_entry(
    event_type => 'encryption.keys_destroyed',
    organization_id => destroy_data_keys.organization_id,
    resource_type => 'bulwark.organizations',
    resource_id => destroy_data_keys.organization_id::text,
    action => 'shred',
    details => jsonb_build_object('slug', destroy_data_keys.slug, 'data_keys', v_destroyed)
  );
  return v_destroyed;
end;
$$;
comment on function bulwark_private.destroy_data_keys(uuid, text) is
  'Destroys every data key of an organization and writes an audit entry.';

create function bulwark.shred_organization(organization_id uuid, confirm_slug text)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because clients may not write keys
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act(
    'compliance:manage', shred_organization.organization_id
  );
  perform from bulwark.organizations o
  where o.id = shred_organization.organization_id and o.slug = shred_organization.confirm_slug
  for update;
  if not found then
    raise exception 'Cannot shred organization: no organization has this id and slug'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
            hint = 'Confirm with the slug of the organization';
  end if;
  perform bulwark_private.require_not_shredded(shred_organization.organization_id);
  return bulwark_private.destroy_data_keys(
    shred_organization.organization_id, shred_organization.confirm_slug
  );
end;
$$;
comment on function bulwark.shred_organization(uuid, text) is
  'Destroys all data keys of an organization, so that nothing it encrypted can be read again
   (compliance:manage, which only super_admin holds). The slug confirms it. Irreversible here;
   backups hold the wrapped keys until they expire. Returns the number of keys. Errors:
   RBAC_PERMISSION_DENIED, RBAC_UNKNOWN_ORGANIZATION, ENCRYPTION_KEY_DESTROYED.';

create function bulwark_private.organizations_destroy_data_keys()
  returns trigger
  language plpgsql
  security definer            -- definer because keys live in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from bulwark_private.data_keys k where k.organization_id = old.id
      and k.state <> 'destroyed'
  ) then
    perform bulwark_private.destroy_data_keys(old.id, old.slug);
  end if;
  return old;
end;
$$;
comment on function bulwark_private.organizations_destroy_data_keys() is
  'Trigger: shreds an organization that is deleted.';

create trigger organizations_destroy_data_keys
  before delete on bulwark.organizations
  for each row execute function bulwark_private.organizations_destroy_data_keys();

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

-- Rotation: creates a new version of a data key and queues the columns that are encrypted under the
-- old one. encryption_reencryption processes them.
-- Protects against a rotation that stops unnoticed: encryption_progress shows its state.
-- SECURITY DEFINER: add_data_key and encryption_progress, because the service role writes no table
-- and reads none of bulwark_private.

create type bulwark_private.reencryption_state as enum (
  'running', 'settling', 'done', 'incomplete'
);
comment on type bulwark_private.reencryption_state is
  'running; settling: waits until no function can still write under the old key; done; incomplete:
   finished, with rows that cannot be decrypted.';

create table bulwark_private.reencryptions (
  id bigint generated always as identity primary key,
  data_key_id uuid not null references bulwark_private.data_keys (id),
  relation regclass not null,
  column_name text not null,
  state bulwark_private.reencryption_state not null default 'running',
  -- The last row processed; null: none yet.
  place text,
  total bigint,
  done bigint not null default 0,
  changed_in_pass bigint not null default 0,
  missed_in_pass bigint not null default 0,
  failed_in_pass bigint not null default 0,
  leased_until timestamptz,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint reencryptions_is_one_a_column unique (data_key_id, relation, column_name)
);
comment on table bulwark_private.reencryptions is
  'Re-encryption work for a superseded data key, by column, and its progress. Not audited, because
   it is only progress.';

create table bulwark.reencryption_failures (
  id bigint generated always as identity primary key,
  reencryption_id bigint not null references bulwark_private.reencryptions (id),
  row_key text not null,
  fault text not null,
  noticed_at timestamptz not null default now(),
  constraint reencryption_failures_is_one_a_row unique (reencryption_id, row_key)
);
comment on table bulwark.reencryption_failures is
  'Rows that cannot be decrypted, and why: altered, moved, or of another organization. They are not
   changed. Not audited, because it is only progress.';

create index reencryptions_open_idx on bulwark_private.reencryptions (id)
  where state in ('running', 'settling');

alter table bulwark_private.reencryptions enable row level security;
alter table bulwark.reencryption_failures enable row level security;

insert into bulwark.settings (name, value, description) values
  ('encryption.settle_seconds', '330',
    'How long a function may still write under a superseded data key: '
      'its cache''s lifetime and more'),
  ('encryption.lease_seconds', '10',
    'Seconds after which an unfinished batch is given to another worker');

create function bulwark_private.queue_reencryption(
  organization_id uuid, purpose bulwark_private.data_key_purpose
)
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- All older keys are queued again, because values may have been written late or a column declared
  -- since. Finding nothing costs one index look-up.
  insert into bulwark_private.reencryptions as r (data_key_id, relation, column_name)
  select k.id, e.relation, e.column_name
  from bulwark_private.encrypted_columns e
  join bulwark_private.data_keys k
    on k.organization_id is not distinct from queue_reencryption.organization_id
    and k.purpose = queue_reencryption.purpose
    and k.state = 'superseded'
  where (k.purpose = 'field' or e.index_column is not null)
    and (e.organization_column is null) = (k.organization_id is null)
  order by k.version, e.relation, e.column_name
  on conflict on constraint reencryptions_is_one_a_column do update
    set state = 'running', finished_at = null
    where r.state = 'done';
$$;
comment on function bulwark_private.queue_reencryption(
  uuid, bulwark_private.data_key_purpose
) is
  'Queues the values under superseded data keys of an organization (null: the system) for
   re-encryption.';

create function bulwark_private.require_kek_in_use(wrapped_key text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_lost_at timestamptz;
begin
  -- Waits for a declaration, which then counts. A function that still has the lost key in memory
  -- would otherwise wrap new data keys under it, and the next process could not read them.
  select k.lost_at into v_lost_at
  from bulwark_private.key_encryption_keys k
  where k.id = split_part(require_kek_in_use.wrapped_key, '.', 2)
  for key share;
  if v_lost_at is not null then
    raise exception 'Cannot wrap data key: the key-encryption key was declared lost'
      using errcode = 'PT410', detail = 'ENCRYPTION_KEY_LOST',
            hint = 'Give the functions another key, and deploy them again';
  end if;
end;
$$;
comment on function bulwark_private.require_kek_in_use(text) is
  'Raises ENCRYPTION_KEY_LOST if the key-encryption key of a wrapped data key was declared lost, and
   keeps it from being declared so until commit.';

create function bulwark.add_data_key(
  key_id uuid,
  purpose text,
  wrapped_key text,
  after_version integer,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_exists boolean;
  v_old bulwark_private.data_keys;
  v_purpose constant bulwark_private.data_key_purpose :=
    add_data_key.purpose::bulwark_private.data_key_purpose;
begin
  if num_nulls(key_id, purpose, wrapped_key, after_version) > 0 then
    raise exception 'Cannot add data key: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  -- Before the locks of data keys, as the declaration of a loss.
  perform bulwark_private.require_kek_in_use(add_data_key.wrapped_key);
  -- A shared lock against deletion, which destroys the organization's keys. Locks the organization
  -- first, like the destruction, so that they cannot deadlock.
  perform from bulwark.organizations o where o.id = add_data_key.organization_id for key share;
  v_exists := found or add_data_key.organization_id is null;
  perform bulwark_private.lock_data_keys(add_data_key.organization_id);
  perform bulwark_private.require_not_shredded(add_data_key.organization_id);
  if not v_exists then
    raise exception 'Cannot add data key: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  select * into v_old
  from bulwark_private.data_keys k
  where coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(add_data_key.organization_id, '00000000-0000-0000-0000-000000000000')
    and k.purpose = v_purpose
    and k.state = 'current'
  for update;
  if coalesce(v_old.version, 0) <> after_version then
    return false;
  end if;
  update bulwark_private.data_keys k
  set state = 'superseded', superseded_at = now()
  where k.id = v_old.id;
  insert into bulwark_private.data_keys (id, organization_id, purpose, version, kek, wrapped_key)
  select
    key_id, add_data_key.organization_id, v_purpose,
    -- There are versions without a current one if their key-encryption key was lost.
    coalesce(max(k.version), 0) + 1, split_part(add_data_key.wrapped_key, '.', 2),
    add_data_key.wrapped_key
  from bulwark_private.data_keys k
  where k.organization_id is not distinct from add_data_key.organization_id
    and k.purpose = v_purpose;
  perform bulwark_private.queue_reencryption(add_data_key.organization_id, v_purpose);
  return true;
end;
$$;
comment on function bulwark.add_data_key(uuid, text, text, integer, uuid) is
  'Makes a wrapped key the current one of an organization (null: the system). Returns false if
   after_version is no longer the current version. Queues values under the old key for
   re-encryption. Service role only. Errors: ENCRYPTION_KEY_DESTROYED, ENCRYPTION_KEY_LOST,
   RBAC_UNKNOWN_ORGANIZATION, ENCRYPTION_INVALID_ARGUMENT.';

-- The rows of a column under a key, in index order. Index values begin with the id of their key, so
-- the same index serves.
create function bulwark.encryption_progress(organization_id uuid default null)
  returns table (
    of_organization uuid,
    purpose text,
    version bigint,
    table_name text,
    column_name text,
    state text,
    total bigint,
    done bigint,
    failed bigint,
    started_at timestamptz,
    updated_at timestamptz,
    finished_at timestamptz
  )
  language plpgsql
  stable
  security definer            -- definer because progress lives in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('encryption:rotate', encryption_progress.organization_id);
  return query
    select k.organization_id, k.purpose::text, k.version, r.relation::text, r.column_name,
      r.state::text,
      -- Includes rows that were rewritten by others meanwhile.
      case when r.state in ('settling', 'done') then r.done else greatest(r.total, r.done) end,
      r.done,
      (select count(*) from bulwark.reencryption_failures f where f.reencryption_id = r.id),
      r.started_at, r.updated_at, r.finished_at
    from bulwark_private.reencryptions r
    join bulwark_private.data_keys k on k.id = r.data_key_id
    where encryption_progress.organization_id is null
      or k.organization_id = encryption_progress.organization_id
    order by r.id desc
    limit 1000;
end;
$$;
comment on function bulwark.encryption_progress(uuid) is
  'Progress of re-encryption by superseded key and column, newest first: of an organization
   (encryption:rotate there), or of all (null: system-wide). total is null until it has started.
   Errors: RBAC_PERMISSION_DENIED.';

-- Re-encryption: hands out rows under a superseded data key in batches and writes them back.
-- Protects against lost writes (each row is compared with the value that was read) and against
-- half-done batches (progress and rows are written in one transaction).
-- SECURITY DEFINER, because the service role writes no table and reads none of bulwark_private:
-- next_reencryption_batch, apply_reencryption_batch, retry_reencryption, encryption_overview.

create function bulwark_private.stale_rows_query(reencryption_id bigint)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
  v_column record;
begin
  select e.*, k.purpose, k.id as data_key_id into strict v_column
  from bulwark_private.reencryptions r
  join bulwark_private.encrypted_columns e on e.relation = r.relation
    and e.column_name = r.column_name
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.id = reencryption_id;
  v_key := translate(
    left(encode(uuid_send(v_column.data_key_id), 'base64'), 22), '+/', '-_'
  );
  return format(
    $query$
      select %1$s::text as place, t.%2$I::text as row_key, %3$s as organization_id,
        t.%4$I as ciphertext
      from %5$s t
      where %6$s and ($1 is null or %1$s > $1::%7$s)
      order by %1$s
    $query$,
    format('t.%I', case v_column.purpose
      when 'index' then v_column.index_column else v_column.primary_key end),
    v_column.primary_key,
    case
      when v_column.organization_column is null then 'null::uuid'
      else bulwark_private.organization_expression(
        v_column.relation, v_column.organization_column,
        format('t.%I', v_column.organization_column)
      )
    end,
    v_column.column_name,
    v_column.relation,
    case v_column.purpose
      when 'index' then format(
        't.%1$I >= %2$L and t.%1$I < %3$L', v_column.index_column, 'bwi1.' || v_key || '.',
        'bwi1.' || v_key || '/'
      )
      else format('substr(t.%I, 13, 22) = %L', v_column.column_name, v_key)
    end,
    case v_column.purpose when 'index' then 'text' else v_column.primary_key_type::text end
  );
end;
$$;
comment on function bulwark_private.stale_rows_query(bigint) is
  'The query for the rows of a re-encryption after a place ($1), in order.';

create function bulwark.next_reencryption_batch(batch_size integer default 500)
  returns table (
    reencryption_id bigint,
    schema_name text,
    table_name text,
    column_name text,
    is_indexed boolean,
    normalization text,
    place text,
    next_place text,
    batch jsonb
  )
  language plpgsql
  volatile
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch jsonb;
  v_column bulwark_private.encrypted_columns;
  v_next text;
  v_query text;
  v_settled boolean;
  v_state bulwark_private.reencryption_state;
  v_work bulwark_private.reencryptions;
begin
  if batch_size is null or batch_size not between 1 and 1000 then
    raise exception 'Cannot hand out batch: it has 1 to 1000 rows'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  loop
    select r.* into v_work
    from bulwark_private.reencryptions r
    join bulwark_private.data_keys k on k.id = r.data_key_id
    where (
        r.state = 'running'
        or (
          r.state = 'settling'
          and k.superseded_at < clock_timestamp() - make_interval(
            secs => (bulwark_private.setting('encryption.settle_seconds'))::float8
          )
        )
      )
      and (r.leased_until is null or r.leased_until < clock_timestamp())
    -- Work whose batch was lent and not returned comes last, so that a failing key does not delay
    -- others.
    order by r.leased_until nulls first, r.id
    limit 1
    for update of r skip locked;
    if not found then
      return;
    end if;
    select e.* into v_column
    from bulwark_private.encrypted_columns e
    join pg_catalog.pg_class c on c.oid = e.relation
    where e.relation = v_work.relation and e.column_name = v_work.column_name;
    if not found or exists (
      select from bulwark_private.data_keys k where k.id = v_work.data_key_id
        and k.state = 'destroyed'
    ) then
      -- The table was dropped, or the organization shredded.
      update bulwark_private.reencryptions r
      set state = 'done', finished_at = clock_timestamp(), updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue;
    end if;
    v_query := bulwark_private.stale_rows_query(v_work.id);
    if v_work.total is null then
      execute format('select count(*) from (%s) s', v_query) into v_work.total using null::text;
      update bulwark_private.reencryptions r set total = v_work.total where r.id = v_work.id;
    end if;
    execute format(
      $query$
        select jsonb_agg(
            jsonb_build_object('k', s.row_key, 'o', s.organization_id, 'c', s.ciphertext)
          ), max(s.place) filter (where s.number = s.rows)
        from (
          select b.*, row_number() over () as number, count(*) over () as rows
          from (%s limit %s) b
        ) s
      $query$,
      v_query, batch_size
    )
    into v_batch, v_next using v_work.place;
    if v_batch is not null then
      update bulwark_private.reencryptions r
      set state = 'running',
          leased_until = clock_timestamp() + make_interval(
            secs => (bulwark_private.setting('encryption.lease_seconds'))::float8
          )
      where r.id = v_work.id;
      return query
        select v_work.id, n.nspname::text, c.relname::text, v_work.column_name,
          v_column.index_column is not null, v_column.normalization, v_work.place, v_next, v_batch
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.oid = v_work.relation;
      return;
    end if;
    if v_work.place is null
      or v_work.failed_in_pass > 0 and v_work.changed_in_pass + v_work.missed_in_pass = 0 then
      -- Nothing is left to do now, but functions with the old key in their cache may still write
      -- under it.
      select k.superseded_at < clock_timestamp() - make_interval(
        secs => (bulwark_private.setting('encryption.settle_seconds'))::float8
      )
      into v_settled
      from bulwark_private.data_keys k where k.id = v_work.data_key_id;
      v_state := case
        when not v_settled then 'settling'::bulwark_private.reencryption_state
        when v_work.place is null then 'done'
        else 'incomplete'
      end::bulwark_private.reencryption_state;
      update bulwark_private.reencryptions r
      set state = v_state, place = null, changed_in_pass = 0, missed_in_pass = 0,
          failed_in_pass = 0, finished_at = case when v_settled then clock_timestamp() end,
          updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue when v_state <> 'incomplete';
      perform bulwark_private.append_audit_entry(
        event_type => 'system.error',
        organization_id => (
          select k.organization_id from bulwark_private.data_keys k where k.id = v_work.data_key_id
        ),
        resource_type => v_work.relation::text,
        action => 'reencrypt',
        result => 'partial',
        details => jsonb_build_object(
          'column', v_work.column_name, 'rows', v_work.failed_in_pass
        )
      );
    else
      -- Another pass, for rows written behind this one.
      update bulwark_private.reencryptions r
      set place = null, changed_in_pass = 0, missed_in_pass = 0, failed_in_pass = 0
      where r.id = v_work.id;
    end if;
  end loop;
end;
$$;
comment on function bulwark.next_reencryption_batch(integer) is
  'The next rows to re-encrypt, lent to the caller for a few seconds; no row if there is no work.
   Service role only. Errors: ENCRYPTION_INVALID_ARGUMENT.';

-- Compare and swap: a row that changed since it was read is skipped, and so is a locked row. The
-- next pass finds it if it is still under the old key.
create function bulwark_private.swap_rows_statement(reencryption_id bigint)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column bulwark_private.encrypted_columns;
begin
  select e.* into strict v_column
  from bulwark_private.reencryptions r
  join bulwark_private.encrypted_columns e on e.relation = r.relation
    and e.column_name = r.column_name
  where r.id = reencryption_id;
  return format(
    $query$
      with given as materialized (
        select g.k::%1$s as k, g.c, g.n, g.i
        from jsonb_to_recordset($1) as g (k text, c text, n text, i text)
      ),
      free as materialized (
        select t.%2$I as k
        from %3$s t
        join given g on t.%2$I = g.k and t.%4$I = g.c
        for update of t skip locked
      )
      update %3$s t
      set %4$I = g.n %5$s
      from given g
      join free f on f.k = g.k
      where t.%2$I = g.k and t.%4$I = g.c
    $query$,
    v_column.primary_key_type, v_column.primary_key, v_column.relation, v_column.column_name,
    case when v_column.index_column is not null then format(', %I = g.i', v_column.index_column) end
  );
end;
$$;
comment on function bulwark_private.swap_rows_statement(bigint) is
  'The statement that writes a batch ($1) of a re-encryption.';

create function bulwark.apply_reencryption_batch(
  reencryption_id bigint,
  next_place text,
  changes jsonb,
  failures jsonb default '[]',
  place text default null
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table of the host
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
  v_failed integer;
  v_statement text;
  v_work bulwark_private.reencryptions;
begin
  select r.* into v_work
  from bulwark_private.reencryptions r
  where r.id = apply_reencryption_batch.reencryption_id
    and r.state = 'running'
    and r.place is not distinct from apply_reencryption_batch.place
  for update;
  if not found then
    -- The loan expired, and another worker has finished the batch.
    return 0;
  end if;
  v_statement := bulwark_private.swap_rows_statement(v_work.id);
  execute v_statement using changes;
  get diagnostics v_changed = row_count;
  insert into bulwark.reencryption_failures as e (reencryption_id, row_key, fault)
  select v_work.id, f.k, left(f.f, 64)
  from jsonb_to_recordset(failures) as f (k text, f text)
  on conflict on constraint reencryption_failures_is_one_a_row do update
    set fault = excluded.fault, noticed_at = now();
  get diagnostics v_failed = row_count;
  update bulwark_private.reencryptions r
  set place = apply_reencryption_batch.next_place,
      done = r.done + v_changed,
      changed_in_pass = r.changed_in_pass + v_changed,
      missed_in_pass = r.missed_in_pass + jsonb_array_length(changes) - v_changed,
      failed_in_pass = r.failed_in_pass + v_failed,
      leased_until = null,
      updated_at = clock_timestamp()
  where r.id = v_work.id;
  return v_changed;
end;
$$;
comment on function bulwark.apply_reencryption_batch(bigint, text, jsonb, jsonb, text) is
  'Writes a batch and its progress in one transaction. changes are {k: primary key, c: ciphertext
   that was read, n: new ciphertext, i: new blind index}. Changes only declared columns, and only
   where the old value is unchanged. Returns the number of changed rows. Service role only.';

create function bulwark.retry_reencryption(organization_id uuid default null)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client and no service writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_retried integer;
begin
  perform bulwark_private.require_permission_to_act('encryption:rotate', organization_id);
  -- The rows are locked first: a worker locks them before it notes a failure.
  perform from bulwark_private.reencryptions r
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    )
  order by r.id
  for update of r;
  delete from bulwark.reencryption_failures f
  using bulwark_private.reencryptions r
  join bulwark_private.data_keys k on k.id = r.data_key_id
  where r.id = f.reencryption_id and r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    );
  update bulwark_private.reencryptions r
  set state = 'running', finished_at = null, changed_in_pass = 0, missed_in_pass = 0,
      failed_in_pass = 0
  from bulwark_private.data_keys k
  where k.id = r.data_key_id and r.state = 'incomplete'
    and (
      retry_reencryption.organization_id is null
      or k.organization_id = retry_reencryption.organization_id
    );
  get diagnostics v_retried = row_count;
  -- Progress is not audited, so that somebody asked for it is.
  if v_retried > 0 then
    perform bulwark_private.append_audit_entry(
      'data.update',
      organization_id => retry_reencryption.organization_id,
      resource_type => 'bulwark_private.reencryptions',
      action => 'retry_reencryption',
      details => jsonb_build_object('retried', v_retried)
    );
  end if;
  return v_retried;
end;
$$;
comment on function bulwark.retry_reencryption(uuid) is
  'Restarts the incomplete re-encryptions of an organization (encryption:rotate there; null: all,
   system-wide), after their rows were fixed. Returns how many. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

create function bulwark.encryption_overview(organization_id uuid default null)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because keys and progress live in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('encryption:rotate', organization_id);
  return jsonb_build_object(
    'shredded_at', (
      select s.shredded_at from bulwark_private.shredded_organizations s
      where s.organization_id = encryption_overview.organization_id
    ),
    'messages_per_key', bulwark_private.setting('encryption.messages_per_key'),
    'keys', (
      select coalesce(jsonb_agg(to_jsonb(k) order by k.purpose, k.version desc), '[]')
      from (
        select d.purpose, d.version, d.state, d.messages, d.created_at, d.superseded_at,
          d.destroyed_at
        from bulwark_private.data_keys d
        where d.organization_id is not distinct from encryption_overview.organization_id
        order by d.version desc
        limit 100
      ) k
    ),
    'columns', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'table', e.relation::text, 'column', e.column_name,
        'blind_index', e.index_column is not null, 'declared_at', e.declared_at
      ) order by e.relation::text, e.column_name), '[]')
      from bulwark_private.encrypted_columns e
      where (e.organization_column is null) = (encryption_overview.organization_id is null)
    ),
    'reencryptions', (
      select coalesce(jsonb_agg(to_jsonb(p) - 'of_organization' order by p.started_at desc), '[]')
      from bulwark.encryption_progress(encryption_overview.organization_id) p
      where p.state <> 'done'
        and p.of_organization is not distinct from encryption_overview.organization_id
    ),
    'failures', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'table', x.table_name, 'column', x.column_name, 'fault', x.fault, 'rows', x.rows,
        'row_keys', x.row_keys
      ) order by x.table_name, x.column_name, x.fault), '[]')
      from (
        select r.relation::text as table_name, r.column_name, f.fault, count(*) as rows,
          (array_agg(f.row_key order by f.id))[1:10] as row_keys
        from bulwark_private.data_keys d
        join bulwark_private.reencryptions r on r.data_key_id = d.id
        join bulwark.reencryption_failures f on f.reencryption_id = r.id
        where d.organization_id is not distinct from encryption_overview.organization_id
        group by 1, 2, 3
      ) x
    )
  );
end;
$$;
comment on function bulwark.encryption_overview(uuid) is
  'The encryption of an organization (encryption:rotate there; null: of the system, system-wide):
   { shredded_at, messages_per_key, keys, columns, reencryptions, failures }. keys: the newest 100
   data keys without the keys themselves: purpose, version, state, messages, created_at,
   superseded_at, destroyed_at. columns: table, column, blind_index, declared_at. reencryptions:
   those that are not done, as encryption_progress has them. failures: table, column, fault, rows
   that cannot be decrypted, and the primary keys of the first ten. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

-- Wrapping: the key-encryption keys of data keys, and rewrapping data keys under another one.
-- Protects against removing a key-encryption key that is still needed: key_encryption_status counts
-- its data keys. The keys themselves never enter the database. And against a lost one, which would
-- stop encryption for ever: the owner declares it lost, and new data keys are made.
-- SECURITY DEFINER, because the service role writes no table and reads none of bulwark_private:
-- choose_key_encryption_key, data_keys_to_rewrap, rewrap_data_keys, key_encryption_status,
-- report_key_fault.

create function bulwark.choose_key_encryption_key(key_id text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from bulwark_private.key_encryption_keys k
  where k.id = key_id and k.lost_at is null
  for update;
  if not found then
    raise exception 'Cannot choose key-encryption key: the id is not registered, or was lost'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List usable ids with: select id from bulwark.key_encryption_status()';
  end if;
  update bulwark_private.key_encryption_keys k set is_current = false
  where k.is_current and k.id <> key_id;
  update bulwark_private.key_encryption_keys k set is_current = true
  where not k.is_current and k.id = key_id;
end;
$$;
comment on function bulwark.choose_key_encryption_key(text) is
  'Wraps new data keys under this key-encryption key from now on (service role only). Errors:
   ENCRYPTION_UNKNOWN_KEY.';

create function bulwark.data_keys_to_rewrap(kek text, batch_size integer default 100)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
  from bulwark_private.data_keys k
  where k.kek <> data_keys_to_rewrap.kek and k.state <> 'destroyed'
    and not exists (
      select from bulwark_private.key_encryption_keys e
      where e.id = k.kek and e.lost_at is not null
    )
  order by k.id
  limit least(batch_size, 1000);
$$;
comment on function bulwark.data_keys_to_rewrap(text, integer) is
  'Data keys that are wrapped by another key-encryption key that is not lost (service role only).';

create function bulwark.rewrap_data_keys(changes jsonb)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
begin
  perform bulwark_private.require_kek_in_use(g.n)
  from (
    select distinct on (split_part(c.n, '.', 2)) c.n
    from jsonb_to_recordset(changes) as c (n text)
    order by split_part(c.n, '.', 2)
  ) g;
  update bulwark_private.data_keys k
  set wrapped_key = g.n, kek = split_part(g.n, '.', 2)
  from jsonb_to_recordset(changes) as g (id uuid, c text, n text)
  where k.id = g.id and k.wrapped_key = g.c;
  get diagnostics v_changed = row_count;
  return v_changed;
end;
$$;
comment on function bulwark.rewrap_data_keys(jsonb) is
  'Writes rewrapped data keys: {id, c: wrapped key that was read, n: new one}, only where the old
   one is unchanged. Returns the number changed. Service role only. Errors: ENCRYPTION_KEY_LOST.';

create function bulwark.key_encryption_status()
  returns table (id text, is_current boolean, derivation text, data_keys bigint)
  language plpgsql
  stable
  security definer            -- definer because keys live in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('encryption:rotate', null);
  return query
    select k.id, k.is_current, k.derivation, (
      select count(*) from bulwark_private.data_keys d where d.kek = k.id and d.state <> 'destroyed'
    )
    from bulwark_private.key_encryption_keys k
    order by k.registered_at, k.id;
end;
$$;
comment on function bulwark.key_encryption_status() is
  'The registered key-encryption keys and the number of data keys that each wraps. A key that wraps
   none may be removed from the secrets. Needs encryption:rotate system-wide. Errors:
   RBAC_PERMISSION_DENIED.';

create function bulwark.report_key_fault(key_id text, fault text default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  if num_nulls(key_id) > 0 or report_key_fault.fault not in ('missing', 'wrong') then
    raise exception 'Cannot report key-encryption key: it is missing, wrong, or in order (null)'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  update bulwark_private.key_encryption_keys k
  set fault = report_key_fault.fault
  where k.id = report_key_fault.key_id and k.fault is distinct from report_key_fault.fault;
end;
$$;
comment on function bulwark.report_key_fault(text, text) is
  'Remembers that a function could not use a key-encryption key (missing, or wrong: another key has
   its id), or again can (null). bulwark doctor shows it. Service role only. Errors:
   ENCRYPTION_INVALID_ARGUMENT.';

create function bulwark.declare_key_lost(key_id text)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_data_keys integer;
begin
  perform from bulwark_private.key_encryption_keys k where k.id = key_id for update;
  if not found then
    raise exception 'Cannot declare key lost: the id is not registered'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List the ids with: select id from bulwark.key_encryption_status()';
  end if;
  update bulwark_private.key_encryption_keys k
  set lost_at = coalesce(k.lost_at, now()), is_current = false
  where k.id = key_id;
  -- Without a current data key, the next encryption makes one.
  update bulwark_private.data_keys k
  set state = 'superseded', superseded_at = now()
  where k.kek = key_id and k.state = 'current';
  -- The worker finds the lost values, and lists them.
  perform bulwark_private.queue_reencryption(k.organization_id, k.purpose)
  from (
    select distinct d.organization_id, d.purpose from bulwark_private.data_keys d
    where d.kek = key_id and d.state <> 'destroyed'
  ) k;
  select count(*) into v_data_keys
  from bulwark_private.data_keys k
  where k.kek = key_id and k.state <> 'destroyed';
  return v_data_keys;
end;
$$;
comment on function bulwark.declare_key_lost(text) is
  'Goes on without a key-encryption key that nobody has any more: data keys that it wraps are no
   longer used, new ones are made under another key, and values under the lost one are answered with
   ENCRYPTION_KEY_LOST and listed in bulwark.reencryption_failures. Returns how many data keys are
   lost. For the owner of the database; recorded as an entry. Errors: ENCRYPTION_UNKNOWN_KEY.';

create function bulwark.declare_key_found(key_id text)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark_private.key_encryption_keys k set lost_at = null
  where k.id = key_id and k.lost_at is not null;
  if not found then
    raise exception 'Cannot declare key found: no lost key has this id'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY',
        hint = 'List the ids with: select id from bulwark.key_encryption_status()';
  end if;
  -- The rows that were given up are read again, and re-encrypted.
  return bulwark.retry_reencryption();
end;
$$;
comment on function bulwark.declare_key_found(text) is
  'Takes declare_key_lost back, after the functions have the key again: its values can be read, and
   are re-encrypted under the present data keys. Returns how many re-encryptions begin anew. For the
   owner of the database; recorded as an entry. Errors: ENCRYPTION_UNKNOWN_KEY.';

-- Encryption schedule: continues re-encryption regularly.
-- Protects against a rotation that is started and never finished.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

create function bulwark_private.request_encryption_work()
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark_private.reencryptions r where r.state in ('running', 'settling')
  ) then
    return null;
  end if;
  return bulwark_private.request_function('bulwark-encryption/work');
end;
$$;
comment on function bulwark_private.request_encryption_work() is
  'Calls the function encryption through pg_net to continue re-encryption, if there is work. Returns
   the request''s id, else null. Errors: SCHEDULER_NOT_CONFIGURED.';

insert into bulwark_private.jobs (name, every, local_every, command, function_path) values
  (
    'encryption-work', '1 minute', '15 seconds', 'select bulwark_private.request_encryption_work()',
    'bulwark-encryption/work'
  );

-- Encryption levels: how much of its limit the most used data key has used, for metrics.
-- Protects against a key that encrypts more than it may, because nobody made a new version.
-- No function here is SECURITY DEFINER.

create function bulwark_private.encryption_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 3
  set search_path = pg_catalog, pg_temp
as $$
  with used as (
    select k.messages::double precision / l.most as share
    from bulwark_private.data_keys k
    cross join (
      select least(
        (bulwark_private.setting('encryption.messages_per_key'))::bigint, 4294967296
      ) as most
    ) l
    where k.state = 'current'
  )
  select l.metric, l.unit, l.description, '{}'::jsonb, l.value
  from (
    select
      'data_key_usage', 'percent', 'Messages of the most used data key, of its limit',
      coalesce(max(u.share), 0) * 100
    from used u
    union all
    select
      'data_keys_near_limit', '', 'Data keys that have used 90 percent of their limit',
      count(*)::double precision
    from used u where u.share >= 0.9
    union all
    select
      'reencryptions_incomplete', '', 'Re-encryptions that ended with rows nobody can decrypt',
      count(*)::double precision
    from bulwark_private.reencryptions r where r.state = 'incomplete'
  ) as l (metric, unit, description, value);
$$;
comment on function bulwark_private.encryption_levels() is
  'The levels of encryption: see docs/metrics.md.';

revoke all on table
  bulwark_private.key_encryption_keys,
  bulwark_private.data_keys,
  bulwark_private.shredded_organizations,
  bulwark_private.encrypted_columns,
  bulwark_private.reencryptions,
  bulwark.reencryption_failures
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.lock_data_keys(organization_id uuid),
  bulwark_private.require_not_shredded(organization_id uuid),
  bulwark.is_shredded(for_organization uuid),
  bulwark.find_key_encryption_key(key_id text),
  bulwark.register_key_encryption_key(key_id text, derivation text, check_value text, salt text, rounds integer),
  bulwark.reserve_data_key(key_purpose text, messages integer, for_organization uuid),
  bulwark.read_data_keys(key_ids uuid[]),
  bulwark.read_index_keys(for_organization uuid),
  bulwark_private.destroy_data_keys(organization_id uuid, slug text),
  bulwark.shred_organization(organization_id uuid, confirm_slug text),
  bulwark_private.organizations_destroy_data_keys(),
  bulwark.declare_encrypted_column(target regclass, column_name text, organization_column text, blind_index boolean, fold boolean),
  bulwark_private.qualified_name(table_name text),
  bulwark.list_encrypted_columns(table_name text),
  bulwark.organizations_by_key(keys text[]),
  bulwark.authorize_field_access(action text, table_name text, columns text[], primary_keys text[], organization_id uuid),
  bulwark_private.queue_reencryption(organization_id uuid, purpose bulwark_private.data_key_purpose),
  bulwark_private.require_kek_in_use(wrapped_key text),
  bulwark.add_data_key(key_id uuid, purpose text, wrapped_key text, after_version integer, organization_id uuid),
  bulwark.encryption_progress(organization_id uuid),
  bulwark_private.stale_rows_query(reencryption_id bigint),
  bulwark.next_reencryption_batch(batch_size integer),
  bulwark_private.swap_rows_statement(reencryption_id bigint),
  bulwark.apply_reencryption_batch(reencryption_id bigint, next_place text, changes jsonb, failures jsonb, place text),
  bulwark.retry_reencryption(organization_id uuid),
  bulwark.encryption_overview(organization_id uuid),
  bulwark.choose_key_encryption_key(key_id text),
  bulwark.data_keys_to_rewrap(kek text, batch_size integer),
  bulwark.rewrap_data_keys(changes jsonb),
  bulwark.key_encryption_status(),
  bulwark.report_key_fault(key_id text, fault text),
  bulwark.declare_key_lost(key_id text),
  bulwark.declare_key_found(key_id text),
  bulwark_private.request_encryption_work(),
  bulwark_private.encryption_levels()
  from public, anon, authenticated, service_role;

-- Encryption: grants. The build revokes everything else.

grant execute on function
  bulwark.encryption_progress(uuid),
  bulwark.key_encryption_status()
  to authenticated;

grant execute on function
  bulwark.shred_organization(uuid, text),
  bulwark.retry_reencryption(uuid),
  bulwark.encryption_overview(uuid),
  bulwark.authorize_field_access(text, text, text[], text[], uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.is_shredded(uuid),
  bulwark.find_key_encryption_key(text),
  bulwark.register_key_encryption_key(text, text, text, text, integer),
  bulwark.reserve_data_key(text, integer, uuid),
  bulwark.read_data_keys(uuid[]),
  bulwark.read_index_keys(uuid),
  bulwark.list_encrypted_columns(text),
  bulwark.organizations_by_key(text[]),
  bulwark.add_data_key(uuid, text, text, integer, uuid),
  bulwark.encryption_progress(uuid),
  bulwark.next_reencryption_batch(integer),
  bulwark.apply_reencryption_batch(bigint, text, jsonb, jsonb, text),
  bulwark.choose_key_encryption_key(text),
  bulwark.data_keys_to_rewrap(text, integer),
  bulwark.rewrap_data_keys(jsonb),
  bulwark.report_key_fault(text, text),
  bulwark.key_encryption_status()
  to service_role;

insert into bulwark_private.capabilities values ('encryption', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
