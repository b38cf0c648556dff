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
