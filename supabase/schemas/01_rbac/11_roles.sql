-- An organization's own roles. They may inherit from several roles.
-- Protects against a role that holds more than its author: also by editing a role that the editor
-- holds, one that other roles inherit, or one that outlasts the editor's own grant.
-- SECURITY DEFINER: create_role, update_role, delete_role, because clients may not write roles.

-- A role may outlive its author's grant, so it may only hold what the author holds without expiry.
-- The list is read before the edit, because the editor may hold the edited role.
create function bulwark_private.lasting_permissions(user_id uuid, organization_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct h.permission), '{}')
  from bulwark_private.held_permissions h
  where h.user_id = lasting_permissions.user_id
    and h.held_until = 'infinity'
    and (h.organization_id = lasting_permissions.organization_id or h.everywhere);
$$;
comment on function bulwark_private.lasting_permissions(uuid, uuid) is
  'The permissions a user holds in an organization without an expiry.';

create function bulwark_private.set_role_contents(
  role_id uuid,
  organization_id uuid,
  permissions text[],
  inherits text[]
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_inherited uuid[];
  v_name text;
begin
  if cardinality(permissions) > 200 or array_ndims(permissions) > 1
    or cardinality(inherits) > 20 or array_ndims(inherits) > 1 then
    raise exception 'Cannot set role: plain lists of at most 200 permissions and 20 inherited roles'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if array_position(permissions || inherits, null) is not null then
    raise exception 'Cannot set role: a permission or an inherited role is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if permissions is not null then
    foreach v_name in array permissions loop
      perform bulwark_private.require_known_permission(v_name);
    end loop;
    -- Only the differences, so that the log has no entries for unchanged permissions.
    delete from bulwark.role_permissions p
    where p.role_id = set_role_contents.role_id and p.permission <> all (permissions);
    insert into bulwark.role_permissions (role_id, permission)
    select distinct set_role_contents.role_id, unnest(permissions)
    on conflict do nothing;
  end if;
  if inherits is not null then
    v_inherited := array(
      select (bulwark_private.find_role(n, organization_id)).id from unnest(inherits) as n
    );
    delete from bulwark.role_inheritance i
    where i.role_id = set_role_contents.role_id and i.inherits_role_id <> all (v_inherited);
    insert into bulwark.role_inheritance (role_id, inherits_role_id)
    select distinct set_role_contents.role_id, unnest(v_inherited)
    on conflict do nothing;
  end if;
end;
$$;
comment on function bulwark_private.set_role_contents(uuid, uuid, text[], text[]) is
  'Replaces the permissions and the inherited roles of a role; null keeps a list.';

create function bulwark_private.require_role_rank(
  role_id uuid,
  held text[],
  level smallint
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_permission text;
  v_level smallint;
begin
  -- Editing a role also changes the roles that inherit it.
  with recursive heirs (role_id) as (
    select require_role_rank.role_id
    union
    select i.role_id
    from heirs h
    join bulwark.role_inheritance i on i.inherits_role_id = h.role_id
  )
  select
    max(r.level),
    (
      select min(e.permission)
      from bulwark_private.effective_permissions e
      where e.role_id in (select h.role_id from heirs h) and e.permission <> all (held)
    )
  into v_level, v_permission
  from bulwark.roles r
  where r.id in (select h.role_id from heirs h);
  if v_permission is not null then
    raise exception 'Cannot set role: you do not hold % yourself, without an end', v_permission
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_NOT_HELD',
            hint = 'A role holds no more than its maker, also where other roles inherit it';
  end if;
  if v_level > level then
    raise exception 'Cannot set role: it outranks your own'
      using errcode = 'insufficient_privilege', detail = 'RBAC_ROLE_OUTRANKS_GRANTER',
            hint = 'Ask someone with a higher role';
  end if;
end;
$$;
comment on function bulwark_private.require_role_rank(uuid, text[], smallint) is
  'Raises RBAC_PERMISSION_NOT_HELD or RBAC_ROLE_OUTRANKS_GRANTER if a role, or a role that inherits
   it, exceeds the given permissions or level.';

create function bulwark_private.lasting_level(user_id uuid, organization_id uuid)
  returns smallint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(r.level), 0::smallint)
  from bulwark_private.active_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = lasting_level.user_id
    and g.held_until = 'infinity'
    and (
      g.organization_id = lasting_level.organization_id
      or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
    );
$$;
comment on function bulwark_private.lasting_level(uuid, uuid) is
  'The highest level a user holds in an organization without an expiry.';

create function bulwark_private.find_own_role(name text, organization_id uuid)
  returns bulwark.roles
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles := bulwark_private.find_role(name, organization_id);
begin
  if v_role.organization_id is null then
    raise exception 'Cannot change role: it is a system role'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_IS_SYSTEM',
            hint = 'Make a role of your own that inherits from it';
  end if;
  return v_role;
end;
$$;
comment on function bulwark_private.find_own_role(text, uuid) is
  'An organization''s own role, by name. Raises RBAC_UNKNOWN_ROLE or RBAC_ROLE_IS_SYSTEM.';

create function bulwark_private.require_role_name(name text, description text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if name is null or name !~ '^[a-z][a-z0-9_]{1,62}$' then
    raise exception 'Cannot name role: a name has 2 to 63 of a-z, 0-9, _ and begins with a letter'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if description is null or length(description) > 500 then
    raise exception 'Cannot name role: a description has at most 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if exists (
    select from bulwark.roles r where r.organization_id is null and r.name = require_role_name.name
  ) then
    raise exception 'Cannot name role: a system role has that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end if;
end;
$$;
comment on function bulwark_private.require_role_name(text, text) is
  'Raises RBAC_INVALID_NAME, or RBAC_ROLE_EXISTS for the name of a system role.';

create function bulwark.create_role(
  organization_id uuid,
  name text,
  permissions text[] default '{}',
  inherits text[] default '{}',
  description text default ''
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  if organization_id is null then
    raise exception 'Cannot create role: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT',
            hint = 'System roles are made by migrations';
  end if;
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  perform bulwark_private.require_role_name(name, description);
  if (
    select count(*) >= 100 from bulwark.roles r
    where r.organization_id = create_role.organization_id
  ) then
    raise exception 'Cannot create role: an organization has at most 100 of its own'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_TOO_MANY_ROLES',
        hint = 'Delete roles that nobody needs with delete_role';
  end if;
  begin
    insert into bulwark.roles (organization_id, name, description, created_by)
    values (
      create_role.organization_id, create_role.name, create_role.description,
      bulwark.current_person()
    )
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot create role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name, or change that role with update_role';
  end;
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  select * into v_role from bulwark.roles r where r.id = v_role.id;
  return v_role;
end;
$$;
comment on function bulwark.create_role(uuid, text, text[], text[], text) is
  'Creates a role of an organization (role:manage) from permissions and inherited roles. The caller
   must hold all of them there without expiry. Errors: RBAC_PERMISSION_DENIED,
   RBAC_INVALID_NAME, RBAC_ROLE_EXISTS, RBAC_UNKNOWN_PERMISSION, RBAC_UNKNOWN_ROLE,
   RBAC_PERMISSION_NOT_HELD, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_ROLE_NOT_ASSIGNABLE,
   RBAC_BATCH_TOO_LARGE, RBAC_TOO_MANY_ROLES, RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.update_role(
  organization_id uuid,
  role text,
  name text default null,
  permissions text[] default null,
  inherits text[] default null,
  description text default null
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  v_role := bulwark_private.find_own_role(role, organization_id);
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  perform bulwark_private.require_role_name(
    coalesce(name, v_role.name), coalesce(description, v_role.description)
  );
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  begin
    update bulwark.roles r
    set name = coalesce(update_role.name, r.name),
        description = coalesce(update_role.description, r.description)
    where r.id = v_role.id
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot rename role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end;
  return v_role;
end;
$$;
comment on function bulwark.update_role(uuid, text, text, text[], text[], text) is
  'Changes an organization''s own role (role:manage): its name, description, permissions and
   inherited roles. The lists are replaced as a whole; null keeps a part. The role and the roles
   that inherit it must stay within the editor''s own permissions, before and after. Errors: those
   of create_role, RBAC_ROLE_CYCLE, RBAC_ROLE_IS_SYSTEM.';

create function bulwark.delete_role(organization_id uuid, role text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  v_role := bulwark_private.find_own_role(role, organization_id);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(
      v_role.id,
      bulwark_private.lasting_permissions(bulwark.current_person(), organization_id),
      bulwark_private.lasting_level(bulwark.current_person(), organization_id)
    );
  end if;
  delete from bulwark.user_roles g where g.role_id = v_role.id and g.expires_at <= now();
  if exists (select from bulwark.user_roles g where g.role_id = v_role.id)
    or exists (select from bulwark.role_inheritance i where i.inherits_role_id = v_role.id) then
    raise exception 'Cannot delete role: somebody holds it or another role inherits it'
      using errcode = 'foreign_key_violation', detail = 'RBAC_ROLE_IN_USE',
            hint = 'Revoke it from its holders and take it out of the roles that inherit it';
  end if;
  delete from bulwark.roles r where r.id = v_role.id;
end;
$$;
comment on function bulwark.delete_role(uuid, text) is
  'Deletes an organization''s own role (role:manage) with its pending invitations, unless somebody
   holds it or a role inherits it. Errors: RBAC_ROLE_IN_USE, RBAC_ROLE_IS_SYSTEM,
   RBAC_UNKNOWN_ROLE, RBAC_PERMISSION_DENIED, RBAC_PERMISSION_NOT_HELD,
   RBAC_ROLE_OUTRANKS_GRANTER.';
