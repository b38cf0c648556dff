-- Organizations of the host: a table of the host's is where organizations are made, renamed and
-- deleted; triggers on it do the same here, in the same transaction.
-- Protects against rights in an organization that the host has deleted, against a key that changes
-- under an organization, and against the host's names and slugs that ours could not hold. A table
-- that was altered since fails closed: writes of it are refused until it is adopted again.
-- SECURITY DEFINER: the trigger functions, because writers of the host's table may not write
--   organizations.

create table bulwark_private.host_organizations (
  only_row boolean primary key default true check (only_row),
  relation regclass not null,
  key_column text not null,
  key_type text not null,
  name_column text not null,
  slug_column text,
  helper text
);
comment on table bulwark_private.host_organizations is
  'The table of the host that organizations follow (bulwark.use_organizations); no row: they are
   made by bulwark.create_organization.';
comment on column bulwark_private.host_organizations.helper is
  'The function of schema bulwark that policies of the host ask for keys in their own type; null for
   UUIDs, whose helper is organizations_with.';
alter table bulwark_private.host_organizations enable row level security;

create function bulwark_private.require_own_organizations()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation regclass;
begin
  select h.relation into v_relation from bulwark_private.host_organizations h;
  if found then
    raise exception 'Cannot change organizations here: the application makes them'
      using errcode = 'PT409', detail = 'RBAC_ORGANIZATIONS_ARE_HOSTS',
            hint = format('Write the table %s', v_relation);
  end if;
end;
$$;
comment on function bulwark_private.require_own_organizations() is
  'Raises RBAC_ORGANIZATIONS_ARE_HOSTS if organizations follow a table of the host.';

create function bulwark_private.require_host(relation oid)
  returns bulwark_private.host_organizations
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
begin
  select * into v_host
  from bulwark_private.host_organizations h
  where h.relation = require_host.relation
    and not exists (
      select from unnest(array[h.key_column, h.name_column, h.slug_column]) as c (name)
      where c.name is not null and not exists (
        select
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = h.relation and a.attname = c.name
          and (c.name <> h.key_column or t.typname = h.key_type)
      )
    );
  if not found then
    raise exception 'Cannot change %: it was altered since organizations follow it',
      relation::regclass
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_TABLE_CHANGED',
            hint = 'Call bulwark.use_organizations with its present columns';
  end if;
  return v_host;
end;
$$;
comment on function bulwark_private.require_host(oid) is
  'How organizations follow a table. Raises RBAC_HOST_TABLE_CHANGED if its columns are others now.';

create function bulwark_private.host_name(name text, organization_id uuid)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    nullif(btrim(left(btrim(regexp_replace(
      name, '[[:cntrl:]\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+', ' ', 'g'
    )), 120)), ''),
    organization_id::text
  );
$$;
comment on function bulwark_private.host_name(text, uuid) is
  'A name of the host as ours: without characters that do not print, cut to 120. The id if nothing
   is left.';

create function bulwark_private.host_slug(slug text, organization_id uuid)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when slug ~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$'
      -- Only the organization itself gets a slug that is made of its id.
      and slug !~ '^org-[0-9a-f]{8}-[0-9a-f]{4}-'
      and not exists (
        select from bulwark.organizations o
        where o.slug = host_slug.slug and o.id <> host_slug.organization_id
      )
    then slug
    else 'org-' || organization_id
  end;
$$;
comment on function bulwark_private.host_slug(text, uuid) is
  'A slug of the host as ours: org- and the id if it is missing, taken, or no slug.';

create function bulwark_private.rename_host_organization(
  organization_id uuid,
  name text,
  slug text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark.organizations o
  set name = rename_host_organization.name,
      slug = coalesce(rename_host_organization.slug, o.slug)
  where o.id = organization_id
    and (
      o.name <> rename_host_organization.name or o.slug <> rename_host_organization.slug
    );
exception when unique_violation then
  -- Another transaction took the slug meanwhile.
  update bulwark.organizations o
  set name = rename_host_organization.name,
      slug = bulwark_private.host_slug(null, organization_id)
  where o.id = organization_id;
end;
$$;
comment on function bulwark_private.rename_host_organization(uuid, text, text) is
  'Renames an organization if its name or slug is another one; slug null keeps it.';

create function bulwark_private.keep_host_organization(
  host bulwark_private.host_organizations,
  key text,
  name text,
  slug text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := bulwark_private.organization_of(key);
  v_made boolean;
  v_name constant text := bulwark_private.host_name(name, v_id);
  -- Without a column of slugs the caller gives any text.
  v_slug constant text := case when host.slug_column is not null then slug end;
begin
  perform bulwark_private.require_plain_key(key);
  if host.key_type <> 'uuid' and bulwark_private.is_hashed_id(key) then
    raise exception 'Cannot make organization: its key has the form of an id of Bulwark'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose a key that is no UUID';
  end if;
  insert into bulwark.organizations (id, name, slug, created_by)
  values (v_id, v_name, bulwark_private.host_slug(v_slug, v_id), bulwark.current_person())
  on conflict do nothing;
  v_made := found;
  if not v_made and exists (select from bulwark.organizations o where o.id = v_id) then
    perform bulwark_private.rename_host_organization(
      v_id, v_name,
      case when host.slug_column is not null then bulwark_private.host_slug(v_slug, v_id) end
    );
  elsif not v_made then
    -- Another transaction took the slug meanwhile. Nobody else's is made of this id.
    insert into bulwark.organizations (id, name, slug, created_by)
    values (v_id, v_name, bulwark_private.host_slug(null, v_id), bulwark.current_person());
  end if;
  insert into bulwark_private.organization_keys (organization_id, key)
  values (v_id, keep_host_organization.key)
  on conflict on constraint organization_keys_pkey do nothing;
  if found then
    -- Its members may be there already, if the host's foreign key is deferred.
    perform bulwark_private.follow_members_of(key);
  elsif not exists (
    select from bulwark_private.organization_keys k
    where k.organization_id = v_id and k.key = keep_host_organization.key
  ) then
    raise exception 'Cannot make organization: another key has its id'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
end;
$$;
comment on function bulwark_private.keep_host_organization(
  bulwark_private.host_organizations, text, text, text
) is
  'Makes the organization of a row of the host, or renames it. Errors: RBAC_HOST_KEY_REFUSED.';

create function bulwark_private.delete_host_organization(organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- the cascades keep their plans, too
  set jit = off
as $$
begin
  perform bulwark_private.lock_rights(organization_id, exclusively => true);
  delete from bulwark.organizations o where o.id = organization_id;
end;
$$;
comment on function bulwark_private.delete_host_organization(uuid) is
  'Deletes an organization whose row the host has deleted, after everybody who acts on rights
   there.';

-- Statement by statement, so that organizations are locked in the order of their ids.
create function bulwark_private.follow_host_organizations()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_organizations := bulwark_private.require_host(tg_relid);
  v_key text;
  v_name text;
  v_slug text;
begin
  if tg_op = 'TRUNCATE' then
    perform bulwark_private.lock_rights_of_many(
      (select count(*) from bulwark_private.organization_keys)
    );
    perform bulwark_private.delete_host_organization(k.organization_id)
    from (select * from bulwark_private.organization_keys order by organization_id) k;
    return null;
  end if;
  perform bulwark_private.lock_rights_of_many((select count(*) from changed));
  for v_key, v_name, v_slug in
    execute format(
      'select c.%1$I::text, c.%2$I::text, c.%3$I::text
       from changed c order by bulwark_private.organization_of(c.%1$I::text)',
      v_host.key_column, v_host.name_column, coalesce(v_host.slug_column, v_host.name_column)
    )
  loop
    if tg_op = 'INSERT' then
      perform bulwark_private.keep_host_organization(v_host, v_key, v_name, v_slug);
    else
      perform bulwark_private.delete_host_organization(bulwark_private.organization_of(v_key));
    end if;
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.follow_host_organizations() is
  'Trigger: makes and deletes the organizations of rows that the host has inserted and deleted.
   Errors: RBAC_HOST_TABLE_CHANGED, RBAC_HOST_KEY_REFUSED.';

create function bulwark_private.follow_host_name()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_organizations := bulwark_private.require_host(tg_relid);
  v_key text;
  v_key_before text;
  v_name text;
  v_slug text;
begin
  execute format(
    'select ($1).%1$I::text, ($2).%1$I::text, ($2).%2$I::text, ($2).%3$I::text',
    v_host.key_column, v_host.name_column, coalesce(v_host.slug_column, v_host.name_column)
  ) into v_key_before, v_key, v_name, v_slug using old, new;
  if v_key is distinct from v_key_before then
    raise exception 'Cannot change the key of an organization: its log and its data name it'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Make another one, and delete this one';
  end if;
  perform bulwark_private.keep_host_organization(v_host, v_key, v_name, v_slug);
  return null;
end;
$$;
comment on function bulwark_private.follow_host_name() is
  'Trigger: renames the organization of a row; its key never changes. Errors:
   RBAC_HOST_TABLE_CHANGED, RBAC_HOST_KEY_REFUSED.';
