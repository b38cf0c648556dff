-- Cache: what lets an edge function keep a caller's permissions between requests and still never
-- answer with a right that was taken: the version of those rights, and the rights themselves only
-- where that version is another than the one the function has.
-- Protects against a cached yes that outlives a revocation, an expiry, a ban or a deletion. Both
-- come from one snapshot, so that no version ever stands for rights of before or after it.
-- SECURITY DEFINER: my_permissions, because clients may not read the grants it decides from.

create function private.permission_version(user_id uuid, organization_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return concat_ws(
    '-',
    (select v.version from private.permission_versions v where v.organization_id is null),
    (
      select v.version from private.permission_versions v
      where v.organization_id = permission_version.organization_id
    ),
    -- No version moves when a grant expires or begins, or when an account is banned.
    (
      select md5(permission_version.user_id || coalesce(string_agg(
        concat_ws('/', g.role_id, g.organization_id), ',' order by g.role_id, g.organization_id
      ), ''))
      from private.active_grants g
      where g.user_id = permission_version.user_id
        and (g.organization_id is null or g.organization_id = permission_version.organization_id)
    )
  );
end;
$$;
comment on function private.permission_version(uuid, uuid) is
  'Names what a user holds in an organization: the versions that every change of rights moves in its
   own transaction, and the grants that count right now.';

create function public.my_permissions(
  organization_id uuid default null,
  known_version text default null
)
  returns table (version text, permissions text[])
  language plpgsql
  stable
  rows 1
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_user constant uuid := private.require_user();
  v_version constant text := private.permission_version(v_user, organization_id);
begin
  return query
    select
      v_version,
      case when v_version is distinct from known_version then (
        -- private.user_permits for all permissions at once.
        select coalesce(array_agg(distinct h.permission), '{}')
        from private.held_permissions h
        where h.user_id = v_user
          and (
            h.organization_id = my_permissions.organization_id
            or h.everywhere
            or (h.organization_id is null and my_permissions.organization_id is null)
          )
      ) end;
end;
$$;
comment on function public.my_permissions(uuid, text) is
  'The caller''s permissions in an organization (null: system-wide roles only) and the version they
   have; null for permissions where that is the version the caller knows. Errors:
   RBAC_NOT_AUTHENTICATED.';

revoke all on function private.permission_version(uuid, uuid), public.my_permissions(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.my_permissions(uuid, text) to authenticated;
