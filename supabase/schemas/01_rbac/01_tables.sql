-- Roles and permissions: the tables of roles, permissions, organizations and grants.
-- Protects against turning one grant into another: owner and links of a row never change. The
-- tables are read under row-level security (06_decisions), and no API role writes them. The rules
-- that bind every writer are in 03_rules.
-- No function here is SECURITY DEFINER.

create table bulwark.permissions (
  name text primary key,
  description text not null,
  constraint permissions_name_format check (name ~ '^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$'),
  constraint permissions_name_length check (length(name) <= 64)
);
comment on table bulwark.permissions is
  'The catalogue of permissions (category:action). A host application adds rows of its own.';

create table bulwark.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  slug text not null unique,
  created_by uuid references auth.users (id) on delete set null,
  self_service boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint organizations_name_length check (length(btrim(name)) between 1 and 120),
  constraint organizations_name_is_printable check (name !~ '[[:cntrl:]]'),
  constraint organizations_slug_format check (slug ~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$')
);
comment on table bulwark.organizations is
  'The tenants. Members read theirs; every change goes through a function.';
comment on column bulwark.organizations.self_service is
  'Whether an account created it without org:create, which counts against
   rbac.self_service_limit.';

create table bulwark.roles (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  name text not null,
  description text not null default '',
  level smallint not null default 0,
  created_by uuid references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint roles_name_is_taken unique nulls not distinct (organization_id, name),
  constraint roles_name_format check (name ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint roles_description_length check (length(description) <= 500),
  constraint roles_level_range check (level between 0 and 100)
);
comment on table bulwark.roles is
  'System roles (organization_id null) and the organizations'' own roles.';
comment on column bulwark.roles.level is
  'The rank. An organization''s own role has the highest level among the roles it inherits.';

create table bulwark.role_permissions (
  role_id uuid not null references bulwark.roles (id) on delete cascade,
  permission text not null references bulwark.permissions (name),
  primary key (role_id, permission)
);
comment on table bulwark.role_permissions is
  'The permissions of a role itself, without inherited ones.';

create table bulwark.role_inheritance (
  role_id uuid not null references bulwark.roles (id) on delete cascade,
  -- Deferred, here and in user_roles, because deleting an organization deletes both ends.
  inherits_role_id uuid not null
    references bulwark.roles (id) deferrable initially deferred,
  primary key (role_id, inherits_role_id),
  constraint role_inheritance_is_not_reflexive check (role_id <> inherits_role_id)
);
comment on table bulwark.role_inheritance is
  'Which roles a role inherits: it holds their permissions too. Cycles are refused.';

create table bulwark.user_roles (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  role_id uuid not null references bulwark.roles (id) deferrable initially deferred,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  starts_at timestamptz not null default now(),
  expires_at timestamptz,
  granted_by uuid references auth.users (id) on delete set null,
  source text not null default 'own',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint user_roles_is_granted_once
    unique nulls not distinct (user_id, organization_id, role_id, source),
  constraint user_roles_source_is_known check (source in ('own', 'host')),
  constraint user_roles_expires_after_start check (expires_at > starts_at),
  constraint user_roles_window_is_finite
    check (isfinite(starts_at) and (expires_at is null or isfinite(expires_at)))
);
comment on table bulwark.user_roles is
  'Grants: who holds which role, where and when. organization_id null means system-wide.';
comment on column bulwark.user_roles.source is
  'own: given by a function here. host: it follows a row of the application (bulwark.use_members),
   and is changed there.';

-- A check is one index look-up.
create table bulwark_private.effective_permissions (
  role_id uuid not null references bulwark.roles (id) on delete cascade,
  permission text not null references bulwark.permissions (name),
  primary key (role_id, permission)
);
comment on table bulwark_private.effective_permissions is
  'The permissions of each role with all inherited ones. Triggers on role_permissions and
   role_inheritance maintain it.';

create table bulwark_private.permission_versions (
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  version bigint not null default 1,
  constraint permission_versions_is_one_an_organization unique nulls not distinct (organization_id)
);
comment on table bulwark_private.permission_versions is
  'The version of each organization''s rights, and one (null) of system-wide rights. Every change of
   rights increments it in the same transaction, so that caches notice. Not audited: the changes
   are.';
insert into bulwark_private.permission_versions (organization_id) values (null);

create index roles_created_by_idx on bulwark.roles (created_by);
create index organizations_created_by_idx on bulwark.organizations (created_by);
create index role_permissions_permission_idx on bulwark.role_permissions (permission);
create index role_inheritance_inherits_role_id_idx on bulwark.role_inheritance (inherits_role_id);
create index user_roles_role_id_idx on bulwark.user_roles (role_id);
create index user_roles_organization_id_idx on bulwark.user_roles (organization_id, role_id);
create index user_roles_granted_by_idx on bulwark.user_roles (granted_by);
create index effective_permissions_permission_idx
  on bulwark_private.effective_permissions (permission);

alter table bulwark.permissions enable row level security;
alter table bulwark.organizations enable row level security;
alter table bulwark.roles enable row level security;
alter table bulwark.role_permissions enable row level security;
alter table bulwark.role_inheritance enable row level security;
alter table bulwark.user_roles enable row level security;
alter table bulwark_private.effective_permissions enable row level security;
alter table bulwark_private.permission_versions enable row level security;

-- The system roles have fixed ids, so that decisions compare a constant.
create function bulwark_private.super_admin_role()
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select '00000000-0000-4000-8000-000000000100'::uuid; $$;
comment on function bulwark_private.super_admin_role() is 'The id of the system role super_admin.';

create function bulwark_private.admin_role()
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select '00000000-0000-4000-8000-000000000080'::uuid; $$;
comment on function bulwark_private.admin_role() is 'The id of the system role admin.';

create trigger organizations_touch_updated_at
  before update on bulwark.organizations
  for each row execute function bulwark_private.touch_updated_at();
create trigger roles_keep_columns
  before update on bulwark.roles
  for each row execute function bulwark.keep_columns('id', 'organization_id');
create trigger roles_touch_updated_at
  before update on bulwark.roles
  for each row execute function bulwark_private.touch_updated_at();
create trigger role_inheritance_keep_columns
  before update on bulwark.role_inheritance
  for each row execute function bulwark.keep_columns('role_id', 'inherits_role_id');
create trigger role_permissions_keep_columns
  before update on bulwark.role_permissions
  for each row execute function bulwark.keep_columns('role_id', 'permission');
create trigger user_roles_keep_columns
  before update on bulwark.user_roles
  for each row execute function bulwark.keep_columns('user_id', 'role_id', 'organization_id');
create trigger user_roles_touch_updated_at
  before update on bulwark.user_roles
  for each row execute function bulwark_private.touch_updated_at();

revoke all on
  bulwark.permissions, bulwark.organizations, bulwark.roles, bulwark.role_permissions,
  bulwark.role_inheritance, bulwark.user_roles
  from public, anon, authenticated, service_role;
