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
