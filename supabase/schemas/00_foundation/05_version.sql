-- Version: which capabilities of Bulwark are installed, and in which version.
-- Protects against an upgrade that starts from another version than the one that is there.
-- SECURITY DEFINER: version, installed_capabilities, because API roles read no table of
-- bulwark_private.

create table bulwark_private.capabilities (
  name text primary key,
  version text not null
);
comment on table bulwark_private.capabilities is
  'The installed capabilities, one row each. Every migration of one inserts its row, every upgrade
   sets the version of all. Not audited: only migrations write it.';
alter table bulwark_private.capabilities enable row level security;

create function bulwark.version()
  returns text
  language sql
  stable
  security definer            -- definer because API roles read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select c.version from bulwark_private.capabilities c where c.name = 'foundation';
$$;
comment on function bulwark.version() is
  'The version of Bulwark in this database, such as 0.1.0 or 0.1.0-alpha.1 (service role only).';

create function bulwark.installed_capabilities()
  returns table (capability text, version text)
  language sql
  stable
  security definer            -- definer because API roles read no table of bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
  select c.name, c.version from bulwark_private.capabilities c order by c.name;
$$;
comment on function bulwark.installed_capabilities() is
  'The installed capabilities by name, each with its version (service role only).';
