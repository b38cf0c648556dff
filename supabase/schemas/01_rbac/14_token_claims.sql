-- Claims for display: the caller's organizations and roles inside the access token, so that a
-- frontend can draw its menu without a request. No policy and no function of Bulwark reads them.
-- SECURITY DEFINER: bulwark.custom_access_token_hook, because Supabase Auth may not read roles.

create function bulwark.custom_access_token_hook(event jsonb)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because supabase_auth_admin may not read roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organizations jsonb;
begin
  select coalesce(jsonb_agg(
    jsonb_build_object('id', held.id, 'slug', held.slug, 'roles', held.roles) order by held.slug
  ), '[]')
  into v_organizations
  from (
    -- A token travels in a header of every request: twenty organizations are enough for a menu.
    select o.id, o.slug, jsonb_agg(r.name order by r.level desc, r.name) as roles
    from bulwark_private.active_grants g
    join bulwark.organizations o on o.id = g.organization_id
    join bulwark.roles r on r.id = g.role_id
    where g.user_id = (event ->> 'user_id')::uuid
    group by o.id, o.slug
    order by o.slug
    limit 20
  ) as held;
  return jsonb_set(event, '{claims,organizations}', v_organizations);
exception
  -- Claims for display are not worth a sign-in.
  when others then
    return event;
end;
$$;
comment on function bulwark.custom_access_token_hook(jsonb) is
  'Supabase Auth''s custom access token hook: adds the claim organizations, an array of at most 20
   {id, slug, roles}, in order of slug. For display only: it is as old as the token.';
