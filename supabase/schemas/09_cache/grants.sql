-- Grants of cache. The build revokes everything else.

grant execute on function bulwark.my_permissions(uuid, text) to authenticated;
