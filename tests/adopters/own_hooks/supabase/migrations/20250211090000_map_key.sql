-- The key of the map service is in Vault; only signed-in people get map tiles.
create function public.map_key()
returns text
language sql stable security definer set search_path = ''
as $$
  select decrypted_secret from vault.decrypted_secrets where name = 'map_key';
$$;
revoke execute on function public.map_key() from public, anon;
