-- Makes a fresh cluster look like a hosted Supabase database before the first migration: the same
-- roles with the same rights, the same schemas, defaults and timeouts. Runs once, as the superuser
-- supabase_admin. Passwords are set by platform.ts.

-- Roles. `postgres`, which runs the migrations, is not a superuser.
create role postgres login createrole createdb bypassrls replication;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_auth_admin login noinherit createrole;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data,
  pg_signal_backend to postgres with admin option;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';

-- Settings that the hosted platform lets postgres change, although only a superuser could.
grant set on parameter log_min_duration_statement, log_parameter_max_length, log_statement,
  session_replication_role to postgres;
grant set on parameter pgrst.db_pre_request to postgres;

-- Schemas.
alter database postgres owner to postgres;
grant usage on schema public to postgres, anon, authenticated, service_role;

create schema extensions;
grant all on schema extensions to postgres;
grant usage on schema extensions to anon, authenticated, service_role;
create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;
create extension pg_stat_statements with schema extensions;

create schema auth authorization supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_auth_admin in schema auth
  grant select, insert, update, delete, references, trigger on tables to postgres;
alter default privileges for role supabase_auth_admin in schema auth
  grant all on sequences to postgres;

-- The Data API reads the schema anew after each change of it, except in temporary schemas.
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  perform from pg_event_trigger_ddl_commands()
  where schema_name is distinct from 'pg_temp' and command_tag in (
    'ALTER FOREIGN TABLE', 'ALTER FUNCTION', 'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA',
    'ALTER TABLE', 'ALTER TYPE', 'ALTER VIEW', 'COMMENT', 'CREATE FOREIGN TABLE',
    'CREATE FUNCTION', 'CREATE MATERIALIZED VIEW', 'CREATE RULE', 'CREATE SCHEMA', 'CREATE TABLE',
    'CREATE TABLE AS', 'CREATE TRIGGER', 'CREATE TYPE', 'CREATE VIEW', 'SELECT INTO');
  if found then
    notify pgrst, 'reload schema';
  end if;
end;
$$;
create function extensions.pgrst_drop_watch() returns event_trigger language plpgsql as $$
begin
  perform from pg_event_trigger_dropped_objects()
  where not is_temporary and object_type in (
    'foreign table', 'function', 'materialized view', 'rule', 'schema', 'table', 'trigger', 'type',
    'view');
  if found then
    notify pgrst, 'reload schema';
  end if;
end;
$$;
create event trigger pgrst_ddl_watch on ddl_command_end
  execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();

-- Everything made in public belongs to all three API roles by name: what a migration forgets to
-- revoke is open here exactly as it is when hosted.
alter default privileges for role postgres in schema public
  grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
