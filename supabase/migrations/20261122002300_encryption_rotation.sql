-- Rotation: a new version of a data key at once, and what is under the old one re-encrypted in the
-- background, batch by batch.
-- Protects against a lost write (every change is compared with what was read), a batch done half
-- (the place and the rows move in one transaction) and a rotation that quietly stops.
-- SECURITY DEFINER, each because the service role writes no table and reads none of private:
--   add_data_key, next_reencryption_batch, apply_reencryption_batch, retry_reencryption,
--   choose_key_encryption_key, data_keys_to_rewrap, rewrap_data_keys, encryption_progress,
--   key_encryption_status.

create type private.reencryption_state as enum ('running', 'settling', 'done', 'incomplete');
comment on type private.reencryption_state is
  'Where a re-encryption is: at work, waiting until no function still writes under the old key, at
   its end, or at its end with rows left that do not decrypt.';

create table private.reencryptions (
  id bigint generated always as identity primary key,
  data_key_id uuid not null references private.data_keys (id),
  relation regclass not null,
  column_name text not null,
  state private.reencryption_state not null default 'running',
  -- The row that the next batch comes after; null: from the first.
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
comment on table private.reencryptions is
  'What is left to do under a superseded data key, column by column, and how far it is. Not audited:
   it says how far work is, not who may what.';

create table private.reencryption_failures (
  id bigint generated always as identity primary key,
  reencryption_id bigint not null references private.reencryptions (id),
  row_key text not null,
  fault text not null,
  noticed_at timestamptz not null default now(),
  constraint reencryption_failures_is_one_a_row unique (reencryption_id, row_key)
);
comment on table private.reencryption_failures is
  'Rows that do not decrypt, and why: altered, moved, or of another organization. They stay as they
   are. Not audited: they say how far work is.';

create index reencryptions_open_idx on private.reencryptions (id)
  where state in ('running', 'settling');

alter table private.reencryptions enable row level security;
alter table private.reencryption_failures enable row level security;

insert into private.settings (name, value, description) values
  ('encryption.settle_seconds', '330',
    'How long a function may still write under a superseded data key: its cache''s lifetime and more'),
  ('encryption.lease_seconds', '10',
    'After how long a batch that nobody finished is given to somebody else');

create function public.add_data_key(
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
  v_old private.data_keys;
begin
  if num_nulls(key_id, purpose, wrapped_key, after_version) > 0 then
    raise exception 'Cannot add data key: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  -- Shared with deletions: keys of an organization that is going are destroyed with it. The
  -- organization first, as where they are destroyed.
  perform from public.organizations o where o.id = add_data_key.organization_id for key share;
  v_exists := found or add_data_key.organization_id is null;
  perform private.lock_data_keys(add_data_key.organization_id);
  perform private.require_not_shredded(add_data_key.organization_id);
  if not v_exists then
    raise exception 'Cannot add data key: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION';
  end if;
  select * into v_old
  from private.data_keys k
  where coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
      = coalesce(add_data_key.organization_id, '00000000-0000-0000-0000-000000000000')
    and k.purpose = add_data_key.purpose::private.data_key_purpose
    and k.state = 'current'
  for update;
  if coalesce(v_old.version, 0) <> after_version then
    return false;
  end if;
  update private.data_keys k
  set state = 'superseded', superseded_at = now()
  where k.id = v_old.id;
  insert into private.data_keys (id, organization_id, purpose, version, kek, wrapped_key)
  values (
    key_id, add_data_key.organization_id, add_data_key.purpose::private.data_key_purpose,
    after_version + 1, split_part(add_data_key.wrapped_key, '.', 2), add_data_key.wrapped_key
  );
  -- Of all older keys: somebody may have written what he had long been given, or a column was
  -- declared since. Where there is nothing, one look into an index says so.
  insert into private.reencryptions as r (data_key_id, relation, column_name)
  select k.id, e.relation, e.column_name
  from private.encrypted_columns e
  join private.data_keys k
    on k.organization_id is not distinct from v_old.organization_id
    and k.purpose = v_old.purpose
    and k.state = 'superseded'
  where (k.purpose = 'field' or e.index_column is not null)
    and (e.organization_column is null) = (k.organization_id is null)
  order by k.version, e.relation, e.column_name
  on conflict on constraint reencryptions_is_one_a_column do update
    set state = 'running', finished_at = null
    where r.state = 'done';
  return true;
end;
$$;
comment on function public.add_data_key(uuid, text, text, integer, uuid) is
  'Makes a wrapped key the current one of an organization (null: the system), unless after_version is
   no longer the current version: then false. What is under the old one is queued to be re-encrypted.
   For functions alone. Errors: ENCRYPTION_KEY_DESTROYED, RBAC_UNKNOWN_ORGANIZATION,
   ENCRYPTION_INVALID_ARGUMENT.';

-- The rows of a column that are under a key, in the order of an index. Index values begin with their
-- key's id, so that their own index serves.
create function private.stale_rows_query(reencryption_id bigint)
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
  from private.reencryptions r
  join private.encrypted_columns e on e.relation = r.relation and e.column_name = r.column_name
  join private.data_keys k on k.id = r.data_key_id
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
    coalesce(format('t.%I', v_column.organization_column), 'null::uuid'),
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
comment on function private.stale_rows_query(bigint) is
  'The query for the rows of a re-encryption after a place ($1), in order.';

create function public.next_reencryption_batch(batch_size integer default 500)
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
  security definer            -- definer because the service role reads no table of private
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch jsonb;
  v_column private.encrypted_columns;
  v_next text;
  v_query text;
  v_settled boolean;
  v_state private.reencryption_state;
  v_work private.reencryptions;
begin
  if batch_size is null or batch_size not between 1 and 1000 then
    raise exception 'Cannot hand out batch: it has 1 to 1000 rows'
      using errcode = 'invalid_parameter_value', detail = 'ENCRYPTION_INVALID_ARGUMENT';
  end if;
  loop
    select r.* into v_work
    from private.reencryptions r
    join private.data_keys k on k.id = r.data_key_id
    where (
        r.state = 'running'
        or (
          r.state = 'settling'
          and k.superseded_at < clock_timestamp() - make_interval(
            secs => (private.setting('encryption.settle_seconds'))::float8
          )
        )
      )
      and (r.leased_until is null or r.leased_until < clock_timestamp())
    -- What was lent and never came back waits, so that one key that fails keeps no other waiting.
    order by r.leased_until nulls first, r.id
    limit 1
    for update of r skip locked;
    if not found then
      return;
    end if;
    select e.* into v_column
    from private.encrypted_columns e
    join pg_catalog.pg_class c on c.oid = e.relation
    where e.relation = v_work.relation and e.column_name = v_work.column_name;
    if not found or exists (
      select from private.data_keys k where k.id = v_work.data_key_id and k.state = 'destroyed'
    ) then
      -- The table is gone, or whoever it was encrypted for was shredded.
      update private.reencryptions r
      set state = 'done', finished_at = clock_timestamp(), updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue;
    end if;
    v_query := private.stale_rows_query(v_work.id);
    if v_work.total is null then
      execute format('select count(*) from (%s) s', v_query) into v_work.total using null::text;
      update private.reencryptions r set total = v_work.total where r.id = v_work.id;
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
      update private.reencryptions r
      set state = 'running',
          leased_until = clock_timestamp() + make_interval(
            secs => (private.setting('encryption.lease_seconds'))::float8
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
      -- Nothing is left that can be done. Functions that hold the old key may write a little longer.
      select k.superseded_at < clock_timestamp() - make_interval(
        secs => (private.setting('encryption.settle_seconds'))::float8
      )
      into v_settled
      from private.data_keys k where k.id = v_work.data_key_id;
      v_state := case
        when not v_settled then 'settling'::private.reencryption_state
        when v_work.place is null then 'done'
        else 'incomplete'
      end::private.reencryption_state;
      update private.reencryptions r
      set state = v_state, place = null, changed_in_pass = 0, missed_in_pass = 0,
          failed_in_pass = 0, finished_at = case when v_settled then clock_timestamp() end,
          updated_at = clock_timestamp()
      where r.id = v_work.id;
      continue when v_state <> 'incomplete';
      perform private.append_audit_entry(
        event_type => 'system.error',
        organization_id => (
          select k.organization_id from private.data_keys k where k.id = v_work.data_key_id
        ),
        resource_type => v_work.relation::text,
        action => 'reencrypt',
        result => 'partial',
        details => jsonb_build_object(
          'column', v_work.column_name, 'rows', v_work.failed_in_pass
        )
      );
    else
      -- Another pass, for what was written behind this one.
      update private.reencryptions r
      set place = null, changed_in_pass = 0, missed_in_pass = 0, failed_in_pass = 0
      where r.id = v_work.id;
    end if;
  end loop;
end;
$$;
comment on function public.next_reencryption_batch(integer) is
  'The next rows to re-encrypt, lent to the caller for a few seconds; no row where there is nothing to
   do now. For functions alone. Errors: ENCRYPTION_INVALID_ARGUMENT.';

-- Compared and swapped: a row that changed since it was read stays as it is now, and whoever holds
-- its lock is not waited for. The next pass finds it where it is still under the old key.
create function private.swap_rows_statement(reencryption_id bigint)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column private.encrypted_columns;
begin
  select e.* into strict v_column
  from private.reencryptions r
  join private.encrypted_columns e on e.relation = r.relation and e.column_name = r.column_name
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
comment on function private.swap_rows_statement(bigint) is
  'The statement that writes a batch ($1) of a re-encryption.';

create function public.apply_reencryption_batch(
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
  v_work private.reencryptions;
begin
  select r.* into v_work
  from private.reencryptions r
  where r.id = apply_reencryption_batch.reencryption_id
    and r.state = 'running'
    and r.place is not distinct from apply_reencryption_batch.place
  for update;
  if not found then
    -- Somebody else was given the batch meanwhile and has finished it.
    return 0;
  end if;
  v_statement := private.swap_rows_statement(v_work.id);
  execute v_statement using changes;
  get diagnostics v_changed = row_count;
  insert into private.reencryption_failures as e (reencryption_id, row_key, fault)
  select v_work.id, f.k, left(f.f, 64)
  from jsonb_to_recordset(failures) as f (k text, f text)
  on conflict on constraint reencryption_failures_is_one_a_row do update
    set fault = excluded.fault, noticed_at = now();
  get diagnostics v_failed = row_count;
  update private.reencryptions r
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
comment on function public.apply_reencryption_batch(bigint, text, jsonb, jsonb, text) is
  'Writes a batch and moves on, both or neither: changes are {k: primary key, c: ciphertext as it was
   read, n: the new one, i: the new blind index}. Only declared columns, only where the old value is
   still there. Returns how many rows changed. For functions alone.';

create function public.retry_reencryption()
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_retried integer;
begin
  delete from private.reencryption_failures f
  using private.reencryptions r
  where r.id = f.reencryption_id and r.state = 'incomplete';
  update private.reencryptions r
  set state = 'running', finished_at = null, changed_in_pass = 0, missed_in_pass = 0,
      failed_in_pass = 0
  where r.state = 'incomplete';
  get diagnostics v_retried = row_count;
  return v_retried;
end;
$$;
comment on function public.retry_reencryption() is
  'Begins anew what ended incomplete, once its rows were seen to. For functions alone.';

create function public.choose_key_encryption_key(key_id text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from private.key_encryption_keys k where k.id = key_id for update;
  if not found then
    raise exception 'Cannot choose key-encryption key: none is registered by that id'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY';
  end if;
  update private.key_encryption_keys k set is_current = false where k.is_current and k.id <> key_id;
  update private.key_encryption_keys k set is_current = true where not k.is_current and k.id = key_id;
end;
$$;
comment on function public.choose_key_encryption_key(text) is
  'Wraps new data keys under another key-encryption key from now on. For functions alone. Errors:
   ENCRYPTION_UNKNOWN_KEY.';

create function public.data_keys_to_rewrap(kek text, batch_size integer default 100)
  returns table (
    id uuid,
    organization_id uuid,
    purpose text,
    version bigint,
    wrapped_key text
  )
  language sql
  stable
  security definer            -- definer because the service role reads no table of private
  set search_path = pg_catalog, pg_temp
as $$
  select k.id, k.organization_id, k.purpose::text, k.version, k.wrapped_key
  from private.data_keys k
  where k.kek <> data_keys_to_rewrap.kek and k.state <> 'destroyed'
  order by k.id
  limit least(batch_size, 1000);
$$;
comment on function public.data_keys_to_rewrap(text, integer) is
  'Data keys that are wrapped by another key-encryption key than this one. For functions alone.';

create function public.rewrap_data_keys(changes jsonb)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed integer;
begin
  update private.data_keys k
  set wrapped_key = g.n, kek = split_part(g.n, '.', 2)
  from jsonb_to_recordset(changes) as g (id uuid, c text, n text)
  where k.id = g.id and k.wrapped_key = g.c;
  get diagnostics v_changed = row_count;
  return v_changed;
end;
$$;
comment on function public.rewrap_data_keys(jsonb) is
  'Writes rewrapped data keys: {id, c: as it was read, n: wrapped anew}, where the old one is still
   there. Returns how many changed. For functions alone.';

create function public.encryption_progress(organization_id uuid default null)
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
  security definer            -- definer because progress lives in private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform private.require_permission('encryption:rotate', encryption_progress.organization_id);
  return query
    select k.organization_id, k.purpose::text, k.version, r.relation::text, r.column_name,
      r.state::text,
      -- What its owner rewrote meanwhile is done as well.
      case when r.state in ('settling', 'done') then r.done else greatest(r.total, r.done) end,
      r.done,
      (select count(*) from private.reencryption_failures f where f.reencryption_id = r.id),
      r.started_at, r.updated_at, r.finished_at
    from private.reencryptions r
    join private.data_keys k on k.id = r.data_key_id
    where encryption_progress.organization_id is null
      or k.organization_id = encryption_progress.organization_id
    order by r.id desc
    limit 1000;
end;
$$;
comment on function public.encryption_progress(uuid) is
  'How far re-encryption is, for each superseded key and column, the newest first: of an organization
   (encryption:rotate there), or of all (null: system-wide). total is null until it has begun.
   Errors: RBAC_PERMISSION_DENIED.';

create function public.key_encryption_status()
  returns table (id text, is_current boolean, derivation text, data_keys bigint)
  language plpgsql
  stable
  security definer            -- definer because keys live in private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform private.require_permission('encryption:rotate', null);
  return query
    select k.id, k.is_current, k.derivation, (
      select count(*) from private.data_keys d where d.kek = k.id and d.state <> 'destroyed'
    )
    from private.key_encryption_keys k
    order by k.registered_at, k.id;
end;
$$;
comment on function public.key_encryption_status() is
  'Which key-encryption keys are registered and how many data keys each still wraps: one that wraps
   none may leave the secrets. Needs encryption:rotate system-wide. Errors:
   RBAC_PERMISSION_DENIED.';

-- Not guarded by the audit log: how far a rotation is, is written all the time and says nothing of
-- who did what; that a key changed is an entry of data_keys, and that rows failed one of its own.
revoke all on function
  private.stale_rows_query(bigint), private.swap_rows_statement(bigint),
  public.add_data_key(uuid, text, text, integer, uuid), public.next_reencryption_batch(integer),
  public.apply_reencryption_batch(bigint, text, jsonb, jsonb, text), public.retry_reencryption(),
  public.choose_key_encryption_key(text), public.data_keys_to_rewrap(text, integer),
  public.rewrap_data_keys(jsonb), public.encryption_progress(uuid),
  public.key_encryption_status()
  from public, anon, authenticated, service_role;
grant execute on function
  public.add_data_key(uuid, text, text, integer, uuid), public.next_reencryption_batch(integer),
  public.apply_reencryption_batch(bigint, text, jsonb, jsonb, text), public.retry_reencryption(),
  public.choose_key_encryption_key(text), public.data_keys_to_rewrap(text, integer),
  public.rewrap_data_keys(jsonb), public.encryption_progress(uuid),
  public.key_encryption_status()
  to service_role;
grant execute on function public.encryption_progress(uuid), public.key_encryption_status()
  to authenticated;
