-- The parts of a hosted project that the local stack leaves out, as far as migrations of
-- applications touch them: Storage, Vault and Realtime's publication. Runs as supabase_admin.

create role supabase_storage_admin nologin noinherit;
-- Hosted, an extension (supautils) lets postgres make policies on tables of Storage.
grant supabase_storage_admin to postgres;
create schema storage authorization supabase_storage_admin;
grant usage on schema storage to postgres, anon, authenticated, service_role;

set role supabase_storage_admin;
create table storage.buckets (
  id text primary key,
  name text not null unique,
  owner uuid,
  public boolean default false,
  created_at timestamptz default now()
);
create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text references storage.buckets (id),
  name text,
  owner_id text,
  metadata jsonb,
  created_at timestamptz default now(),
  unique (bucket_id, name)
);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
create function storage.foldername(name text) returns text[] language sql immutable as $$
  select (string_to_array(name, '/'))[:array_length(string_to_array(name, '/'), 1) - 1]
$$;
grant all on all tables in schema storage to postgres, anon, authenticated, service_role;
reset role;

create schema vault;
grant usage on schema vault to postgres with grant option;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text unique,
  description text not null default '',
  secret bytea not null
);
create view vault.decrypted_secrets as
  select s.*, extensions.pgp_sym_decrypt(s.secret, 'root key') as decrypted_secret
  from vault.secrets s;
create function vault.create_secret(new_secret text, new_name text, new_description text default '')
  returns uuid
  language sql
  security definer
  set search_path = ''
as $$
  insert into vault.secrets (name, description, secret)
  values (new_name, new_description, extensions.pgp_sym_encrypt(new_secret, 'root key'))
  returning id;
$$;
revoke all on function vault.create_secret(text, text, text) from public;
grant execute on function vault.create_secret(text, text, text) to postgres, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;

create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;
