-- Claims for display: the user's organizations and roles in the access token, so that a frontend
-- can draw its menu without a request. No policy and no function of Bulwark reads them.
-- SECURITY DEFINER: add_organization_claims and next_access_token_hook, because Supabase Auth may
--   read neither roles nor settings. custom_access_token_hook is not, so that the host's own hook
--   runs with the rights of Supabase Auth.

insert into bulwark.settings (name, value, description) values
  ('rbac.next_access_token_hook', 'null',
    'The host''s own access token hook, as schema.name; it runs before Bulwark''s');

alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_rbac_token_hook check (
    name <> 'rbac.next_access_token_hook' or jsonb_typeof(value) in ('string', 'null')
  );

create function bulwark_private.next_access_token_hook()
  returns text
  language sql
  stable
  security definer            -- definer because supabase_auth_admin may not read settings
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.quote_qualified(
    bulwark_private.setting('rbac.next_access_token_hook') #>> '{}'
  );
$$;
comment on function bulwark_private.next_access_token_hook() is
  'The host''s own access token hook, quoted for a statement; null if there is none.';

create function bulwark_private.add_organization_claims(event jsonb)
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
    -- Every request carries the token in a header, so its size is limited.
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
  -- An error here must not make a sign-in fail.
  when others then
    return event;
end;
$$;
comment on function bulwark_private.add_organization_claims(jsonb) is
  'The event with the claim organizations; unchanged if an error occurs.';

create function bulwark.custom_access_token_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_next constant text := bulwark_private.next_access_token_hook();
begin
  if v_next is not null then
    -- The host's function may rely on the usual search path.
    perform set_config('search_path', 'public, extensions', true);
    execute format('select %s($1)', v_next) into event using event;
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    if event ? 'error' then
      return event;
    end if;
  end if;
  return bulwark_private.add_organization_claims(event);
end;
$$;
comment on function bulwark.custom_access_token_hook(jsonb) is
  'Supabase Auth''s custom access token hook: adds the claim organizations, an array of at most 20
   {id, slug, roles}, ordered by slug. For display only: it is as old as the token. The host''s own
   hook (the setting rbac.next_access_token_hook) runs first, and its refusals stand.';
