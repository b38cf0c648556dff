-- RBAC whoami: the caller's account, organizations and permissions in one answer, with a version.
-- Protects against a screen that shows more than Postgres would do: the permissions are those of
-- the session right now, as has_permission answers. Nothing else is decided by this answer.
-- SECURITY DEFINER: whoami, because clients may read neither accounts, sessions nor all grants.

create function bulwark_private.permissions_here(
  user_id uuid,
  organization_id uuid,
  passes_mfa boolean
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- bulwark_private.session_permits for all permissions at once.
  return (
    select coalesce(jsonb_agg(distinct h.permission), '[]')
    from bulwark_private.held_permissions h
    where h.user_id = permissions_here.user_id
      and (
        h.organization_id = permissions_here.organization_id
        or h.everywhere
        or (h.organization_id is null and permissions_here.organization_id is null)
      )
      and (
        passes_mfa
        or not exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id = permissions_here.organization_id
              or (p.organization_id is null and h.organization_id is null)
            )
            and p.required_from <= now()
        )
      )
  );
end;
$$;
comment on function bulwark_private.permissions_here(uuid, uuid, boolean) is
  'The permissions of a user in an organization (null: system-wide) in a session that has or has not
   proven a second factor, as a sorted list.';

create function bulwark.whoami(known_version text default null)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients may read neither accounts nor all grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_account jsonb;
  v_enrolled boolean;
  v_user constant uuid := bulwark_private.require_user();
  v_verified_at timestamptz := bulwark_private.session_mfa(
    bulwark_private.claimed_id('session_id'), v_user
  );
  v_version text;
begin
  v_enrolled := bulwark_private.has_second_factor(v_user);
  select jsonb_build_object(
    'id', u.id,
    'email', p.email,
    'email_confirmed', u.email_confirmed_at is not null,
    'name', bulwark_private.printable_name(p.said_name),
    -- Through jsonb, because older versions of Supabase Auth lack the column.
    'anonymous', coalesce((to_jsonb(u) -> 'is_anonymous') = 'true', false)
  )
  into v_account
  from auth.users u
  join bulwark_private.people p on p.user_id = u.id
  where u.id = v_user;
  -- All that the answer is made of. Contents of roles are in the versions of rights, and the rest
  -- changes without one: times that pass, names, and the session.
  select md5(concat_ws(
    '/', v_account, v_enrolled, v_verified_at,
    (select v.version from bulwark_private.permission_versions v where v.organization_id is null),
    (
      select concat(p.required_from, p.required_from <= now())
      from bulwark.mfa_policies p where p.organization_id is null
    ),
    string_agg(concat_ws(
      ',', g.organization_id, g.role_id, g.source, v.version, o.name, o.slug, p.required_from,
      p.required_from <= now()
    ), '/' order by g.organization_id, g.role_id, g.source)
  ))
  into v_version
  from bulwark_private.active_grants g
  left join bulwark.organizations o on o.id = g.organization_id
  left join bulwark_private.permission_versions v on v.organization_id = g.organization_id
  left join bulwark.mfa_policies p on p.organization_id = g.organization_id
  where g.user_id = v_user;
  if v_version = known_version then
    return null;
  end if;
  return jsonb_build_object(
    'version', v_version,
    'user', v_account,
    'mfa', jsonb_build_object(
      'enrolled', v_enrolled,
      'verified_at', nullif(v_verified_at, '-infinity'),
      'satisfied', v_verified_at is not null
    ),
    'roles', (
      select coalesce(jsonb_agg(r.name order by r.level desc, r.name), '[]')
      from bulwark_private.active_grants g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = v_user and g.organization_id is null
    ),
    'permissions', bulwark_private.permissions_here(v_user, null, v_verified_at is not null),
    'organizations', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'id', o.id,
          'name', o.name,
          'slug', o.slug,
          'roles', o.roles,
          'permissions', bulwark_private.permissions_here(
            v_user, o.id, v_verified_at is not null
          ),
          'mfa_required', coalesce(p.required_from <= now(), false),
          'mfa_required_from', p.required_from,
          'mfa_met', coalesce(p.required_from > now(), true) or v_verified_at is not null
        )
        order by o.slug
      ), '[]')
      from (
        select o.id, o.name, o.slug, jsonb_agg(distinct r.name) as roles
        from bulwark_private.active_grants g
        join bulwark.organizations o on o.id = g.organization_id
        join bulwark.roles r on r.id = g.role_id
        where g.user_id = v_user
        group by o.id
        order by o.slug
        limit 100
      ) o
      left join bulwark.mfa_policies p on p.organization_id = o.id
    )
  );
end;
$$;
comment on function bulwark.whoami(text) is
  'The caller: version, user (id, email, email_confirmed, name, anonymous), mfa of the account
   and session (enrolled, verified_at, satisfied), system-wide roles and permissions, and the first
   100 organizations by slug (id, name, slug, roles, permissions, mfa_required, mfa_required_from,
   mfa_met). Permissions are those that the session has right now. Null if known_version is still
   current. Errors: those of bulwark_private.require_user.';
