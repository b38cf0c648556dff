-- What is open to whom of foundation. Everything else is revoked by the build.

-- Anybody may look a name up: each table and function says for whom it is.
grant usage on schema bulwark to anon, authenticated, service_role, supabase_auth_admin;

-- Policies run their helpers as the querying role, which therefore has to reach them.
grant usage on schema bulwark_private to authenticated, service_role;

grant execute on function bulwark.current_person() to authenticated;
