-- Built by npm run build from supabase/schemas/09_cache: edit the sources, not this file.

-- Cache: lets an edge function cache a caller's permissions. It asks with the version it has, and
-- gets the current version, with the permissions only if they have changed.
-- Protects against a cached permission that outlives a revocation, an expiry, a ban or a deletion.
-- Version and permissions come from one snapshot.
-- SECURITY DEFINER: my_permissions, because clients may not read all grants.

create function bulwark.my_permissions(
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
  v_everywhere text[];
  v_here text[];
  v_user constant uuid := bulwark_private.require_user();
  v_version text;
begin
  -- bulwark_private.user_permits for all permissions at once.
  select
    coalesce(array_agg(p.permission order by p.permission) filter (where not p.everywhere), '{}'),
    coalesce(array_agg(p.permission order by p.permission) filter (where p.everywhere), '{}')
  into v_here, v_everywhere
  from (
    select h.permission, bool_and(h.everywhere) as everywhere
    from bulwark_private.held_permissions h
    where h.user_id = v_user
      and (
        h.organization_id = my_permissions.organization_id
        or h.everywhere
        or (h.organization_id is null and my_permissions.organization_id is null)
      )
    group by h.permission
  ) as p;
  -- A session may be restricted further than its user (MFA). The restriction is the same for all
  -- permissions of an organization, and for all system-wide ones, so one check of each suffices.
  if cardinality(v_here) > 0 and not bulwark.has_permission(v_here[1], organization_id) then
    v_here := '{}';
  end if;
  if cardinality(v_everywhere) > 0
    and not bulwark.has_permission(v_everywhere[1], organization_id) then
    v_everywhere := '{}';
  end if;
  -- The counters change in the transaction of every change of permissions. The hash of the list is
  -- included because an expiry or a ban changes no counter.
  v_version := concat_ws(
    '-',
    (select v.version from bulwark_private.permission_versions v where v.organization_id is null),
    (
      select v.version from bulwark_private.permission_versions v
      where v.organization_id = my_permissions.organization_id
    ),
    md5(concat_ws(',', v_user, my_permissions.organization_id, v_here, v_everywhere))
  );
  return query
    select v_version, case when v_version is distinct from known_version
      then v_here || v_everywhere end;
end;
$$;
comment on function bulwark.my_permissions(uuid, text) is
  'The caller''s permissions in an organization (null: system-wide roles only) and their version.
   permissions is null if known_version is still current. Errors:
   RBAC_NOT_AUTHENTICATED.';

revoke all on function
  bulwark.my_permissions(organization_id uuid, known_version text)
  from public, anon, authenticated, service_role;

-- Grants of cache. The build revokes everything else.

grant execute on function bulwark.my_permissions(uuid, text) to authenticated;

insert into bulwark_private.capabilities values ('cache', '0.1.0');
