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
