-- Grants of foundation. The build revokes everything else.

-- Everybody may look names up; each table and function has grants of its own.
grant usage on schema bulwark to anon, authenticated, service_role, supabase_auth_admin;

-- Policies call their helpers as the querying role, and the token hook its parts as Supabase Auth.
grant usage on schema bulwark_private to authenticated, service_role, supabase_auth_admin;

grant execute on function bulwark.current_person() to authenticated;

grant execute on function bulwark.version(), bulwark.installed_capabilities() to service_role;
