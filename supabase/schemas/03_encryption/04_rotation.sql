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
