-- Keys of organizations: hosts whose own tables have bigint or text keys, and the ids of ours.
-- Protects against two keys that share an id: the id is a hash of the key, the table refuses a
-- second key for it, and a text key in the form of such an id is refused. Also against a new
-- organization with the key of a deleted one, whose log and security events it would read.
-- No function here is SECURITY DEFINER.

create table bulwark_private.organization_keys (
  organization_id uuid primary key references bulwark.organizations (id) on delete cascade,
  key text not null unique
);
comment on table bulwark_private.organization_keys is
  'The key that each organization has in the table of the host (bulwark.use_organizations), as text.
   Not audited: the organizations are.';
alter table bulwark_private.organization_keys enable row level security;

create function bulwark_private.organization_of(key text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := bulwark_private.uuid_or_null(key);
  v_hash text;
begin
  if v_id is not null then
    return v_id;
  end if;
  v_hash := encode(sha256(convert_to('bulwark.organizations/' || key, 'UTF8')), 'hex');
  -- RFC 9562, version 8: the digits for version and variant are fixed, the others are the hash.
  return (
    left(v_hash, 12) || '8' || substr(v_hash, 13, 3) || '8' || substr(v_hash, 16, 15)
  )::uuid;
end;
$$;
comment on function bulwark_private.organization_of(text) is
  'The id of the organization with a key of the host: a UUID itself, for any other text 120 bits of
   its SHA-256 as a UUID of version 8. The same in every database and at all times. Whether the
   organization exists is not asked.';

create function bulwark_private.is_hashed_id(key text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.uuid_or_null(key)::text ~ '^.{14}8.{4}8' is true;
$$;
comment on function bulwark_private.is_hashed_id(text) is
  'Whether a text has the form of the ids that bulwark_private.organization_of makes. As the key of
   one organization it could take the id of another.';

create function bulwark_private.require_plain_key(key text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.uuid_or_null(key)::text <> key then
    raise exception 'Cannot follow the key of an organization: it is a UUID with capital letters'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Write UUIDs in columns of text in lower case';
  end if;
end;
$$;
comment on function bulwark_private.require_plain_key(text) is
  'Raises RBAC_HOST_KEY_REFUSED for a second spelling of a UUID: rows that name one organization by
   two keys would change each other''s members.';

create table bulwark_private.former_organizations (
  organization_id uuid primary key
);
comment on table bulwark_private.former_organizations is
  'The ids of deleted organizations. No other one gets such an id: it would read the log of the
   first. Not audited: the deletions are.';
alter table bulwark_private.former_organizations enable row level security;

create function bulwark_private.organizations_note_deletion()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.former_organizations (organization_id)
  select c.id from changed c
  on conflict do nothing;
  return null;
end;
$$;
comment on function bulwark_private.organizations_note_deletion() is
  'Trigger: records the ids of deleted organizations.';

create function bulwark_private.organizations_refuse_id()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The UUID of zeros stands for the installation, in indexes of keys and endpoints.
  if new.id = '00000000-0000-0000-0000-000000000000' then
    raise exception 'Cannot make organization: no organization has the UUID of zeros'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
  if bulwark_private.setting('rbac.reuse_organization_keys') is distinct from 'true' and exists (
    select from bulwark_private.former_organizations f where f.organization_id = new.id
  ) then
    raise exception 'Cannot make organization: another one had its key and was deleted'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Use a new key: with this one, the organization could read the log of the other';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.organizations_refuse_id() is
  'Trigger: an id is used once, unless the setting rbac.reuse_organization_keys says otherwise.
   Errors: RBAC_HOST_KEY_REFUSED.';

create trigger organizations_refuse_id
  before insert on bulwark.organizations
  for each row execute function bulwark_private.organizations_refuse_id();
create trigger organizations_note_deletion
  after delete on bulwark.organizations referencing old table as changed
  for each statement execute function bulwark_private.organizations_note_deletion();

create function bulwark.organization_id(key text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.organization_of(key);
end;
$$;
comment on function bulwark.organization_id(text) is
  'The id of the organization with a key of your own table (bulwark.use_organizations), for
   functions that take one: organization_id(team_id::text). A UUID is its own id. It is computed and
   says nothing about whether the organization exists.';
