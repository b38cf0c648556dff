-- Built by npm run build from supabase/schemas/09_cache: edit the sources, not this file.

-- Cache: what lets an edge function keep a caller's permissions between requests and still never
-- answer with a right that was taken: the version of those rights, and the rights themselves only
-- where that version is another than the one the function has.
-- Protects against a cached yes that outlives a revocation, an expiry, a ban or a deletion. Both
-- come from one snapshot, so that no version ever stands for rights of before or after it.
-- SECURITY DEFINER: my_permissions, because clients may not read the grants it decides from.

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
  -- What a session may do can be less than what its user holds; it is asked of one permission of
  -- each kind, because it is the same for all of a kind.
  if cardinality(v_here) > 0 and not bulwark.has_permission(v_here[1], organization_id) then
    v_here := '{}';
  end if;
  if cardinality(v_everywhere) > 0
    and not bulwark.has_permission(v_everywhere[1], organization_id) then
    v_everywhere := '{}';
  end if;
  -- The counters that every change of rights moves in its own transaction, and the list itself: no
  -- counter moves when a grant expires or an account is banned.
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
  'The caller''s permissions in an organization (null: system-wide roles only) and the version they
   have; null for permissions where that is the version the caller knows. Errors:
   RBAC_NOT_AUTHENTICATED.';

revoke all on function
  bulwark.my_permissions(organization_id uuid, known_version text)
  from public, anon, authenticated, service_role;

-- What is open to whom of cache. Everything else is revoked by the build.

grant execute on function bulwark.my_permissions(uuid, text) to authenticated;
