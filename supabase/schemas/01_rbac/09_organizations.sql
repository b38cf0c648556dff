-- Organizations: creating, renaming and deleting tenants.
-- Protects against organizations without an administrator, misleading or reserved names, and
-- deletion by others than a super_admin. Clients cannot write the table.
-- SECURITY DEFINER: create_organization, update_organization, delete_organization, because clients
--   may write neither organizations nor grants.

insert into bulwark.settings (name, value, description) values
  ('rbac.self_service_organizations', 'true',
    'Whether everybody signed in may create an organization; otherwise org:create is needed'),
  ('rbac.self_service_limit', '10',
    'How many organizations one account may create without org:create'),
  ('rbac.anonymous_members', 'false',
    'Whether an anonymous account may be a member of an organization'),
  ('rbac.reuse_organization_keys', 'false',
    'Whether a key of the host may be used again after its organization was deleted; the new one
     then reads the log of the old one'),
  ('rbac.delete_last_administrators', 'false',
    'Whether deleting an account may leave organizations without an administrator');

create table bulwark_private.reserved_slugs (
  slug text primary key
);
comment on table bulwark_private.reserved_slugs is
  'Slugs that no organization may take, because paths of applications begin with them.';
alter table bulwark_private.reserved_slugs enable row level security;
insert into bulwark_private.reserved_slugs
select unnest(array[
  'about', 'account', 'accounts', 'admin', 'api', 'app', 'assets', 'auth', 'billing', 'blog',
  'bulwark', 'callback', 'cdn', 'console', 'dashboard', 'docs', 'download', 'functions', 'health',
  'help', 'home', 'internal', 'invitations', 'legal', 'login', 'logout', 'mail', 'metrics', 'new',
  'null', 'oauth', 'organizations', 'pricing', 'privacy', 'public', 'rest', 'root', 'security',
  'settings', 'signin', 'signup', 'static', 'status', 'storage', 'super-admin', 'supabase',
  'support', 'system', 'terms', 'undefined', 'webhooks', 'well-known', 'www']);

create function bulwark_private.require_organization_name(name text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Besides control characters: characters that hide or reverse the text around them.
  if name is null or length(btrim(name)) not between 1 and 120
    or name ~ '[[:cntrl:]\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]' then
    raise exception 'Cannot name organization: a name has 1 to 120 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_name(text) is
  'Raises RBAC_INVALID_NAME.';

create function bulwark_private.require_organization_slug(slug text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if slug is null or slug !~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$' or slug ~ '^..--' then
    raise exception 'Cannot name organization: a slug has 3 to 63 of a-z, 0-9 and inner hyphens'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_SLUG';
  end if;
  if exists (
    select from bulwark_private.reserved_slugs r where r.slug = require_organization_slug.slug
  ) then
    raise exception 'Cannot name organization: the slug is reserved'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_SLUG_RESERVED',
        hint = 'Choose another slug';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_slug(text) is
  'Raises RBAC_INVALID_SLUG or RBAC_SLUG_RESERVED.';

create function bulwark_private.require_existing_user(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null then
    raise exception 'Cannot name user: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from auth.users u
    where u.id = user_id
      and u.deleted_at is null
      and (u.banned_until is null or u.banned_until <= now())
  ) then
    raise exception 'Cannot name user: there is no such account, or it is suspended'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_USER',
        hint = 'Pass the id of an account that can sign in';
  end if;
end;
$$;
comment on function bulwark_private.require_existing_user(uuid) is
  'Raises RBAC_UNKNOWN_USER. Only for callers who may name any account, because it reveals which
   ones exist.';

-- Supabase Auth may not execute create_organization itself: a SECURITY DEFINER function of somebody
-- who may has called it, in a trigger.
create function bulwark_private.caller_is_sign_up()
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.caller_role() = 'supabase_auth_admin'
    and pg_trigger_depth() > 0
    and bulwark_private.claims() is null
    and not has_function_privilege(
      'supabase_auth_admin', 'bulwark.create_organization(text, text, uuid)', 'execute'
    );
end;
$$;
comment on function bulwark_private.caller_is_sign_up() is
  'Whether a SECURITY DEFINER trigger of the host is calling while Supabase Auth writes an account.
   No request of the Data API reaches it: its role is another one.';

create function bulwark.create_organization(
  name text,
  slug text,
  administrator_id uuid default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations or grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_administrator uuid := coalesce(administrator_id, v_caller);
  v_by_itself boolean := false;
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  if not bulwark_private.caller_is_service() and not bulwark_private.caller_is_sign_up() then
    v_caller := bulwark_private.require_user();
    perform bulwark_private.require_named_account(v_caller);
    v_by_itself := v_administrator = v_caller
      and bulwark_private.setting('rbac.self_service_organizations') = 'true'
      and not bulwark_private.session_permits(v_caller, 'org:create', null);
    if not v_by_itself then
      perform bulwark_private.require_permission_to_act('org:create', null);
    end if;
  end if;
  perform bulwark_private.lock_rights(null);
  perform bulwark_private.hold_session();
  if v_by_itself then
    perform bulwark_private.lock_count('organizations', v_caller::text);
    if (
      select count(*) >= (bulwark_private.setting('rbac.self_service_limit'))::integer
      from bulwark.organizations o where o.created_by = v_caller and o.self_service
    ) then
      raise exception 'Cannot create organization: you have made as many as one account may'
        using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_ORGANIZATIONS',
          hint = 'Delete one, or ask the operator: rbac.self_service_limit';
    end if;
  end if;
  perform bulwark_private.require_organization_name(name);
  perform bulwark_private.require_organization_slug(slug);
  perform bulwark_private.require_existing_user(v_administrator);
  begin
    insert into bulwark.organizations (name, slug, created_by, self_service)
    values (
      btrim(create_organization.name), create_organization.slug, v_caller, v_by_itself
    )
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot create organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  insert into bulwark.user_roles (user_id, role_id, organization_id, granted_by)
  values (v_administrator, bulwark_private.admin_role(), v_organization.id, v_caller);
  return v_organization;
end;
$$;
comment on function bulwark.create_organization(text, text, uuid) is
  'Creates an organization with its first administrator: the caller, or administrator_id if the
   caller holds org:create system-wide. A SECURITY DEFINER trigger of yours on auth.users may call
   it with new.id. Errors: RBAC_INVALID_NAME, RBAC_INVALID_SLUG, RBAC_SLUG_RESERVED,
   RBAC_SLUG_TAKEN, RBAC_PERMISSION_DENIED, RBAC_UNKNOWN_USER, RBAC_TOO_MANY_ORGANIZATIONS,
   ACCOUNT_ANONYMOUS, RBAC_ORGANIZATIONS_ARE_HOSTS.';

create function bulwark.update_organization(
  organization_id uuid,
  name text default null,
  slug text default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_act('org:update', organization_id);
  select * into v_organization
  from bulwark.organizations o
  where o.id = organization_id
  for no key update;
  if not found then
    raise exception 'Cannot rename organization: it does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  -- A value that stays is not checked: the slug may have become reserved since.
  if name <> v_organization.name then
    perform bulwark_private.require_organization_name(name);
  end if;
  if slug <> v_organization.slug then
    perform bulwark_private.require_organization_slug(slug);
  end if;
  begin
    update bulwark.organizations o
    set name = coalesce(btrim(update_organization.name), o.name),
        slug = coalesce(update_organization.slug, o.slug)
    where o.id = organization_id
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot rename organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  return v_organization;
end;
$$;
comment on function bulwark.update_organization(uuid, text, text) is
  'Renames an organization (org:update there). A name or slug that is omitted or null stays. Errors:
   those of create_organization, and RBAC_UNKNOWN_ORGANIZATION for the service role and
   super_admin.';

create function bulwark.delete_organization(organization_id uuid, confirm_slug text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in delete_host_organization
  set jit = off
as $$
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_change('org:delete', organization_id);
  delete from bulwark.organizations o
  where o.id = organization_id and o.slug = confirm_slug;
  if not found then
    raise exception 'Cannot delete organization: none has this id and this slug'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
            hint = 'Confirm with the slug of the organization';
  end if;
end;
$$;
comment on function bulwark.delete_organization(uuid, text) is
  'Deletes an organization with its roles, grants and invitations. Needs org:delete, which only
   super_admin holds, and the slug as confirmation. Errors: RBAC_PERMISSION_DENIED,
   RBAC_UNKNOWN_ORGANIZATION, RBAC_ORGANIZATIONS_ARE_HOSTS.';
