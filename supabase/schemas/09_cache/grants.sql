-- What is open to whom of cache. Everything else is revoked by the build.

grant execute on function bulwark.my_permissions(uuid, text) to authenticated;
