-- Wrapping: the key-encryption keys of data keys, and rewrapping data keys under another one.
-- Protects against removing a key-encryption key that is still needed: key_encryption_status counts
-- its data keys. The keys themselves never enter the database.
-- SECURITY DEFINER, because the service role writes no table and reads none of bulwark_private:
-- choose_key_encryption_key, data_keys_to_rewrap, rewrap_data_keys, key_encryption_status.

create function bulwark.choose_key_encryption_key(key_id text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from bulwark_private.key_encryption_keys k where k.id = key_id for update;
  if not found then
    raise exception 'Cannot choose key-encryption key: the id is not registered'
      using errcode = 'PT404', detail = 'ENCRYPTION_UNKNOWN_KEY';
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
  order by k.id
  limit least(batch_size, 1000);
$$;
comment on function bulwark.data_keys_to_rewrap(text, integer) is
  'Data keys that are wrapped by another key-encryption key (service role only).';

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
   one is unchanged. Returns the number changed. Service role only.';

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
