-- Built by npm run build from supabase/schemas/01_rbac: edit the sources, not this file.

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

-- Locks: the one order in which every function takes them.
-- Protects against deadlocks, against a change that waits for ever because others keep sharing the
-- lock, and against acting on a right that is just being revoked.
-- SECURITY DEFINER: the trigger function, because Supabase Auth deletes accounts.
--
-- The order:
--   1. Rights (bulwark_private.lock_rights): first those of the installation, then those of
--      organizations, by id. Acting on a right shares the lock, changing rights needs it alone.
--   2. The caller's session (bulwark_private.hold_session), so that a sign-out waits.
--   3. A count (bulwark_private.lock_count) that an insertion must not take past its limit.
--   4. Rows: an organization or an account before its dependents, shared rows before one's own.
--      Clean-up jobs and the workers of webhooks skip locked rows, because a person's transaction
--      holds several of them in an order of its own.
--   5. Queues of one table or log (data keys, security events, seals). A function that holds such a
--      lock takes no other lock of this list.
-- A right is checked twice: before the locks, so that strangers neither wait nor make others wait,
-- and after them, because it may have been revoked meanwhile.

create function bulwark_private.holds_all_rights()
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- No setting, because callers can set those.
  return exists (
    select from bulwark_private.permission_versions v
    where v.organization_id is null and v.xmin = pg_current_xact_id_if_assigned()::xid
  );
end;
$$;
comment on function bulwark_private.holds_all_rights() is
  'Whether this transaction has locked the rights of the installation alone: it then wrote this row.
   After a subtransaction that did, the answer is no.';

create function bulwark_private.lock_rights(organization_id uuid, exclusively boolean default false)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_everywhere constant bigint := hashtextextended('bulwark.rights', 0);
  v_here constant bigint := hashtextextended('bulwark.rights/' || organization_id, 0);
begin
  -- Advisory locks are granted in the order of the requests. With row locks, a series of shared
  -- locks could keep a writer waiting for ever.
  if organization_id is null and exclusively then
    perform pg_advisory_xact_lock(v_everywhere);
    -- The mark of holds_all_rights, which ends with the transaction, like the lock.
    update bulwark_private.permission_versions v set version = v.version
    where v.organization_id is null;
  else
    -- The caller's right may come from a system-wide role, which must not change either.
    perform pg_advisory_xact_lock_shared(v_everywhere);
  end if;
  -- Who holds all rights needs no further locks: tens of thousands would not fit into the table of
  -- locks.
  if organization_id is not null and not bulwark_private.holds_all_rights() then
    if exclusively then
      perform pg_advisory_xact_lock(v_here);
    else
      perform pg_advisory_xact_lock_shared(v_here);
    end if;
  end if;
  -- Under REPEATABLE READ the transaction reads from an old snapshot. If the rights have changed
  -- since, it fails here with 40001.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform from bulwark_private.permission_versions v where v.organization_id is null for share;
    perform from bulwark_private.permission_versions v
    where v.organization_id = lock_rights.organization_id
    for share;
  end if;
end;
$$;
comment on function bulwark_private.lock_rights(uuid, boolean) is
  'Locks the rights in an organization (null: system-wide ones) against changes until commit.
   exclusively: also against others acting on them. Lock several organizations in the order of their
   ids.';

create function bulwark_private.lock_rights_of_many(organizations bigint)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organizations > 1000 then
    perform bulwark_private.lock_rights(null, exclusively => true);
  end if;
end;
$$;
comment on function bulwark_private.lock_rights_of_many(bigint) is
  'Call it before locking a number of organizations alone: for many, one lock of all is taken.';

create function bulwark_private.lock_count(what text, whose text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(
    hashtextextended(concat_ws('/', 'bulwark.count', what, whose), 0)
  );
end;
$$;
comment on function bulwark_private.lock_count(text, text) is
  'Serializes counted insertions, so that concurrent ones do not exceed a limit. Count after it,
   insert before commit.';

create function bulwark_private.lock_account_deletion()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth deletes accounts
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(null, exclusively => true);
  return null;
end;
$$;
comment on function bulwark_private.lock_account_deletion() is
  'Trigger: deleting an account deletes grants in any number of organizations. So before its row is
   locked, the deletion waits for everybody who acts on rights.';

create function bulwark_private.watch_account_deletion()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  create or replace trigger bulwark_rights_lock
    before delete on auth.users
    for each statement execute function bulwark_private.lock_account_deletion();
end;
$$;
comment on function bulwark_private.watch_account_deletion() is
  'Creates the trigger on auth.users. Called again after a restore, because backups leave it out.';

select bulwark_private.watch_account_deletion();

-- Rules of roles and grants that bind every writer: functions, the service role and migrations.
-- Protects one organization from another, an organization from losing its last administrator, and
-- against concurrent changes that are harmless alone but not in combination: changes of one
-- organization queue.
-- SECURITY DEFINER: the trigger functions, because effective permissions and versions are in
--   bulwark_private, and the rules concern grants that the writer may not see.

create function bulwark_private.bump_permission_version(organization_id uuid)
  returns boolean
  language plpgsql
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan kept from a small table would read all versions each time
  set jit = off
as $$
begin
  perform bulwark_private.lock_rights(bump_permission_version.organization_id, exclusively => true);
  -- The update makes caches notice, and makes a concurrent change under REPEATABLE READ fail with
  -- 40001 instead of deciding from an old snapshot.
  if bump_permission_version.organization_id is null then
    update bulwark_private.permission_versions v set version = v.version + 1
    where v.organization_id is null;
  else
    update bulwark_private.permission_versions v set version = v.version + 1
    where v.organization_id = bump_permission_version.organization_id;
  end if;
  return found;
end;
$$;
comment on function bulwark_private.bump_permission_version(uuid) is
  'Records a change of rights in an organization (null: system-wide) and holds its lock until
   commit, so that changes queue. False if the organization is being deleted.';

create function bulwark_private.organizations_start_permission_version()
  returns trigger
  language plpgsql
  security definer            -- definer because versions are in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.permission_versions (organization_id) values (new.id);
  return null;
end;
$$;
comment on function bulwark_private.organizations_start_permission_version() is
  'Trigger: creates the version of a new organization''s rights.';

create function bulwark_private.refresh_effective_permissions(role_ids uuid[])
  returns void
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_affected uuid[];
begin
  -- The lock first: otherwise the result would miss a concurrent change.
  if exists (
    select from bulwark.roles r where r.id = any (role_ids) and r.organization_id is null
  ) then
    perform bulwark_private.bump_permission_version(null);
    update bulwark_private.permission_versions set version = version + 1
    where organization_id is not null;
  else
    perform bulwark_private.bump_permission_version(o.organization_id)
    from (
      select distinct r.organization_id from bulwark.roles r where r.id = any (role_ids) order by 1
    ) as o;
  end if;

  with recursive heirs (role_id) as (
    select unnest(role_ids)
    union
    select i.role_id
    from heirs h
    join bulwark.role_inheritance i on i.inherits_role_id = h.role_id
  )
  select array_agg(r.id) into v_affected
  from bulwark.roles r
  where r.id in (select h.role_id from heirs h);

  delete from bulwark_private.effective_permissions e where e.role_id = any (v_affected);

  with recursive ancestry (role_id, ancestor_id) as (
    select id, id from unnest(v_affected) as id
    union
    select a.role_id, i.inherits_role_id
    from ancestry a
    join bulwark.role_inheritance i on i.role_id = a.ancestor_id
  ),
  ranked as (
    update bulwark.roles r
    set level = (
      select coalesce(max(s.level), 0)
      from ancestry a
      join bulwark.roles s on s.id = a.ancestor_id and s.organization_id is null
      where a.role_id = r.id
    )
    where r.id = any (v_affected) and r.organization_id is not null
  )
  insert into bulwark_private.effective_permissions (role_id, permission)
  select distinct a.role_id, p.permission
  from ancestry a
  join bulwark.role_permissions p on p.role_id = a.ancestor_id;
end;
$$;
comment on function bulwark_private.refresh_effective_permissions(uuid[]) is
  'Recomputes the effective permissions of roles and of all roles that inherit them, and the levels
   of organizations'' own ones.';

create function bulwark_private.role_links_refresh()
  returns trigger
  language plpgsql
  security definer            -- definer because it writes to bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.refresh_effective_permissions(
    (select array_agg(distinct c.role_id) from changed c)
  );
  return null;
end;
$$;
comment on function bulwark_private.role_links_refresh() is
  'Trigger: updates effective permissions by the end of the statement.';

create function bulwark_private.role_inheritance_validate()
  returns trigger
  language plpgsql
  security definer            -- definer because a client that may insert need not see both roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
  v_inherited_organization uuid;
begin
  select r.organization_id into v_organization
  from bulwark.roles r where r.id = new.role_id;
  select r.organization_id into v_inherited_organization
  from bulwark.roles r where r.id = new.inherits_role_id;
  if v_inherited_organization is not null
    and v_inherited_organization is distinct from v_organization then
    raise exception 'Cannot inherit role: it belongs to another organization'
      using errcode = 'check_violation', detail = 'RBAC_UNKNOWN_ROLE',
        hint = 'Inherit from a system role or from one of the same organization';
  end if;
  if new.inherits_role_id = bulwark_private.super_admin_role() then
    raise exception 'Cannot inherit role: super_admin is granted, never inherited'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Inherit from admin, or name the permissions';
  end if;
  -- Two concurrent changes could form a cycle, so one waits for the other.
  perform bulwark_private.bump_permission_version(v_organization);
  if exists (
    with recursive ancestry (role_id) as (
      select new.inherits_role_id
      union
      select i.inherits_role_id
      from ancestry a
      join bulwark.role_inheritance i on i.role_id = a.role_id
    )
    select from ancestry a where a.role_id = new.role_id
  ) then
    raise exception 'Cannot inherit role: it would inherit itself'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_CYCLE',
        hint = 'Take the role out of those that it inherits from';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.role_inheritance_validate() is
  'Trigger: no cycle, no role of another organization, no super_admin by inheritance.';

create function bulwark_private.user_roles_validate()
  returns trigger
  language plpgsql
  security definer            -- definer because a client that may insert need not see the role
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  select * into v_role from bulwark.roles r where r.id = new.role_id;
  if v_role.organization_id is not null
    and v_role.organization_id is distinct from new.organization_id then
    raise exception 'Cannot grant role: it belongs to another organization'
      using errcode = 'check_violation', detail = 'RBAC_UNKNOWN_ROLE',
        hint = 'Grant a system role or one of the same organization';
  end if;
  if new.role_id = bulwark_private.super_admin_role() and new.organization_id is not null then
    raise exception 'Cannot grant role: super_admin is system-wide, not of one organization'
      using errcode = 'check_violation', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Grant admin in the organization, or super_admin without one';
  end if;
  if bulwark_private.setting('rbac.anonymous_members') is distinct from 'true' then
    perform bulwark_private.require_named_account(new.user_id);
  end if;
  return new;
end;
$$;
comment on function bulwark_private.user_roles_validate() is
  'Trigger: a role is granted in its own organization only, super_admin in none, and to anonymous
   accounts only if the setting rbac.anonymous_members says so.';

create function bulwark_private.user_roles_keep_administrator()
  returns trigger
  language plpgsql
  security definer            -- definer because it counts everybody's grants
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in user_roles_note_departures
  set jit = off
as $$
declare
  v_exists boolean;
  v_is_excused boolean;
  v_organization uuid;
  v_was_administrator boolean;
begin
  -- The changed rows are read once, because a statement may change many organizations.
  for v_organization, v_was_administrator, v_is_excused in
    select
      c.organization_id,
      -- Only a grant that has begun and does not expire counts as an administrator's.
      bool_or(
        c.role_id = bulwark_private.admin_role() and c.expires_at is null and c.starts_at <= now()
      ),
      -- The host's rows decide about its members, a setting about deleted accounts.
      bool_or(
        c.source = 'host'
        or (
          bulwark_private.setting('rbac.delete_last_administrators') = 'true'
          and not exists (select from auth.users u where u.id = c.user_id)
        )
      )
    from changed c
    group by c.organization_id
    order by c.organization_id nulls first
  loop
    -- The lock before the count, so that the count sees concurrent revocations. In a statement of
    -- its own: Postgres does not evaluate it beside a condition that is known to be false.
    v_exists := bulwark_private.bump_permission_version(v_organization);
    if v_exists
      and tg_op <> 'INSERT'
      and v_was_administrator
      and v_is_excused is not true
      -- The organization itself may be in deletion.
      and exists (select from bulwark.organizations o where o.id = v_organization)
      and not exists (
        select from bulwark_private.active_grants a
        where a.organization_id = v_organization
          and a.role_id = bulwark_private.admin_role()
          and a.held_until = 'infinity'
      ) then
      raise exception 'Cannot take the role from the last administrator of an organization'
        using errcode = 'PT409', detail = 'RBAC_LAST_ADMINISTRATOR',
              hint = 'Make someone else an administrator without an expiry first';
    end if;
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.user_roles_keep_administrator() is
  'Trigger: an organization always keeps an administrator whose grant has begun and does not
   expire, unless a row of the host ended the last one''s, or the setting
   rbac.delete_last_administrators lets their account be deleted.';

create trigger organizations_start_permission_version
  after insert on bulwark.organizations
  for each row execute function bulwark_private.organizations_start_permission_version();
create trigger role_inheritance_validate
  before insert on bulwark.role_inheritance
  for each row execute function bulwark_private.role_inheritance_validate();
create trigger role_inheritance_refresh_on_insert
  after insert on bulwark.role_inheritance referencing new table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_inheritance_refresh_on_delete
  after delete on bulwark.role_inheritance referencing old table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_permissions_refresh_on_insert
  after insert on bulwark.role_permissions referencing new table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger role_permissions_refresh_on_delete
  after delete on bulwark.role_permissions referencing old table as changed
  for each statement execute function bulwark_private.role_links_refresh();
create trigger user_roles_validate
  before insert on bulwark.user_roles
  for each row execute function bulwark_private.user_roles_validate();
create trigger user_roles_keep_administrator_on_insert
  after insert on bulwark.user_roles referencing new table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();
create trigger user_roles_keep_administrator_on_update
  after update on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();
create trigger user_roles_keep_administrator_on_delete
  after delete on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_keep_administrator();

-- The catalogue: Bulwark's permissions, the system roles, and which role holds what.
-- Protects nothing by itself: it is data. Ids are the same in every installation.
-- No function here.

insert into bulwark.permissions (name, description) values
  ('user:create', 'Invite people into the organization'),
  ('user:read', 'See who is a member'),
  ('user:update', 'Change members'' profiles'),
  ('user:delete', 'Remove members'),
  ('org:create', 'Make organizations on others'' behalf'),
  ('org:read', 'See the organization'),
  ('org:update', 'Rename the organization'),
  ('org:delete', 'Delete the organization'),
  ('analytics:read', 'Read analytics'),
  ('analytics:write', 'Write analytics'),
  ('analytics:delete', 'Delete analytics'),
  ('analytics:export', 'Export analytics'),
  ('conversation:read', 'Read conversations'),
  ('conversation:write', 'Write conversations'),
  ('conversation:delete', 'Delete conversations'),
  ('symbi:assess', 'Run SYMBI assessments'),
  ('symbi:validate', 'Validate SYMBI assessments'),
  ('symbi:export', 'Export SYMBI assessments'),
  ('audit:read', 'Read the audit log'),
  ('audit:export', 'Export the audit log'),
  ('api_key:create', 'Create API keys'),
  ('api_key:read', 'See API keys'),
  ('api_key:revoke', 'Revoke API keys'),
  ('settings:read', 'Read settings'),
  ('settings:write', 'Change settings'),
  ('compliance:read', 'Read compliance records'),
  ('compliance:manage', 'Manage retention, holds and erasure'),
  ('system:admin', 'Administer the installation'),
  ('system:monitor', 'Read metrics and health'),
  ('role:read', 'See roles and who holds them'),
  ('role:grant', 'Grant and revoke roles'),
  ('role:manage', 'Make, change and delete the organization''s own roles'),
  ('security:read', 'Read security events'),
  ('security:resolve', 'Assign and resolve security events'),
  ('encryption:encrypt', 'Encrypt fields'),
  ('encryption:decrypt', 'Decrypt fields'),
  ('encryption:rotate', 'Rotate encryption keys'),
  ('mfa:reset', 'Reset a member''s second factor'),
  ('webhook:read', 'See webhooks and their deliveries'),
  ('webhook:manage', 'Manage webhooks');

insert into bulwark.roles (id, name, description, level) values
  ('00000000-0000-4000-8000-000000000100', 'super_admin',
    'The whole installation, inside every organization too', 100),
  ('00000000-0000-4000-8000-000000000080', 'admin',
    'Everything in one organization but system administration', 80),
  ('00000000-0000-4000-8000-000000000050', 'analyst', 'Reads and writes analytics', 50),
  ('00000000-0000-4000-8000-000000000020', 'viewer', 'Reads', 20),
  ('00000000-0000-4000-8000-000000000010', 'api_user', 'Programs', 10);

insert into bulwark.role_permissions (role_id, permission)
select r.id, unnest(held.permissions)
from (values
  ('super_admin', array['org:create', 'org:delete', 'compliance:manage', 'system:admin']),
  ('admin', array[
    'user:create', 'user:update', 'user:delete', 'org:update', 'analytics:delete',
    'conversation:delete', 'audit:read', 'audit:export', 'api_key:create', 'api_key:read',
    'api_key:revoke', 'settings:write', 'compliance:read', 'system:monitor', 'role:grant',
    'role:manage', 'security:read', 'security:resolve', 'encryption:rotate', 'mfa:reset',
    'webhook:read', 'webhook:manage']),
  ('analyst', array[
    'analytics:write', 'analytics:export', 'conversation:write', 'symbi:assess',
    'symbi:validate', 'symbi:export', 'encryption:encrypt', 'encryption:decrypt']),
  ('viewer', array[
    'user:read', 'org:read', 'analytics:read', 'conversation:read', 'settings:read',
    'role:read']),
  ('api_user', array[
    'analytics:read', 'analytics:write', 'conversation:read', 'conversation:write',
    'symbi:assess', 'encryption:encrypt'])
) as held (role, permissions)
join bulwark.roles r on r.name = held.role and r.organization_id is null;

insert into bulwark.role_inheritance (role_id, inherits_role_id)
select r.id, i.id
from (values ('super_admin', 'admin'), ('admin', 'analyst'), ('analyst', 'viewer'))
  as link (role, inherits)
join bulwark.roles r on r.name = link.role and r.organization_id is null
join bulwark.roles i on i.name = link.inherits and i.organization_id is null;

-- MFA sessions: which session has verified a second factor, and which organization requires it.
-- Permission decisions need both, so these tables come before them; the rest of MFA is in 05_mfa.
-- Protects against a token that outlives its session or belongs to another one, and against forged
-- claims: the decision reads a row of the session, and only while the session is live.
-- SECURITY DEFINER: mfa_verified and bulwark_private.session_passes_mfa, because clients may read
--   neither sessions nor factors.

create table bulwark.mfa_policies (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  required_from timestamptz,
  reset_needs_approval boolean not null default false,
  approval_until timestamptz,
  updated_at timestamptz not null default now(),
  updated_by uuid references auth.users (id) on delete set null,
  constraint mfa_policies_is_one_an_organization unique nulls not distinct (organization_id),
  constraint mfa_policies_required_from_is_finite check (isfinite(required_from))
);
comment on table bulwark.mfa_policies is
  'The second factors that an organization requires; organization_id null: those that the
   installation requires of system-wide roles. Members read it, set_mfa_policy writes it.';
comment on column bulwark.mfa_policies.required_from is
  'The end of the grace period: from then on sessions without a second factor get no permission.
   Null: MFA is not required.';
comment on column bulwark.mfa_policies.reset_needs_approval is
  'Whether a reset of a member''s factors needs the consent of two people.';
comment on column bulwark.mfa_policies.approval_until is
  'Until when two people are still needed after reset_needs_approval was set to false. Otherwise one
   administrator could loosen the policy and then reset somebody alone.';

create table bulwark.mfa_secrets (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  secret text not null,
  begun_in uuid not null,
  begun_as_first boolean not null,
  last_step bigint not null default 0,
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  last_used_at timestamptz,
  constraint mfa_secrets_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 64)
);
comment on table bulwark.mfa_secrets is
  'TOTP factors. The secret is ciphertext, bound to this row and its user; no role of the API reads
   the table, the service role included.';
comment on column bulwark.mfa_secrets.begun_in is
  'The session that began the enrolment; no other one can finish it.';
comment on column bulwark.mfa_secrets.last_step is
  'The newest time step whose code was accepted. Codes of it and of older ones are refused.';
comment on column bulwark.mfa_secrets.activated_at is
  'When the first code was accepted; null: not yet a factor.';

create table bulwark_private.mfa_trusted_devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  constraint mfa_trusted_devices_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 64)
);
comment on table bulwark_private.mfa_trusted_devices is
  'Devices that skip the MFA prompt. SHA-256 of each token; the tokens have 256 random bits, so a
   plain hash is enough.';
create table bulwark_private.mfa_backup_codes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  code_hash bytea not null unique,
  used_at timestamptz,
  created_at timestamptz not null default now(),
  constraint mfa_backup_codes_hash_length check (length(code_hash) = 32)
);
comment on table bulwark_private.mfa_backup_codes is
  'HMAC-SHA-256 of each backup code under a pepper that only the function has. Without the pepper a
   code cannot be checked against a copy of this table.';

create table bulwark_private.mfa_sessions (
  session_id uuid primary key references auth.sessions (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  verified_at timestamptz,
  method text,
  -- The proof: deleted with its factor or set of backup codes.
  factor_id uuid references bulwark.mfa_secrets (id) on delete cascade,
  step bigint,
  backup_code_id uuid references bulwark_private.mfa_backup_codes (id) on delete cascade,
  -- A device that is revoked or expires no longer verifies the session.
  trusted_device_id uuid references bulwark_private.mfa_trusted_devices (id) on delete set null,
  constraint mfa_sessions_method_is_known check (method in ('totp', 'backup_code')),
  constraint mfa_sessions_says_something
    check ((verified_at is null) = (method is null))
);
comment on table bulwark_private.mfa_sessions is
  'The sessions in which a second factor was verified (last at verified_at, by a factor and time
   step or by a backup code), or a trusted device presented. A row counts only while its session is
   live, and is deleted with its proof.';

create index mfa_policies_updated_by_idx on bulwark.mfa_policies (updated_by);
create index mfa_secrets_user_id_idx on bulwark.mfa_secrets (user_id);
create index mfa_trusted_devices_user_id_idx on bulwark_private.mfa_trusted_devices (user_id);
create index mfa_sessions_user_id_idx on bulwark_private.mfa_sessions (user_id);
create index mfa_backup_codes_user_id_idx on bulwark_private.mfa_backup_codes (user_id);
create index mfa_sessions_factor_id_idx on bulwark_private.mfa_sessions (factor_id);
create index mfa_sessions_backup_code_id_idx on bulwark_private.mfa_sessions (backup_code_id);
create index mfa_sessions_trusted_device_id_idx on bulwark_private.mfa_sessions (trusted_device_id);

alter table bulwark.mfa_policies enable row level security;
alter table bulwark.mfa_secrets enable row level security;
alter table bulwark_private.mfa_trusted_devices enable row level security;
alter table bulwark_private.mfa_backup_codes enable row level security;
alter table bulwark_private.mfa_sessions enable row level security;

-- Older versions of Supabase Auth lack these tables, so the functions that read them are generated.
-- The time of a native verification is the one that Auth recorded, not the token's. Deleting a
-- factor leaves its session at aal2, so the factor itself must still exist: the one that verified
-- the session, or any one if Auth does not say which.
create function bulwark.read_native_mfa(
  claims regclass default to_regclass('auth.mfa_amr_claims'),
  factors regclass default to_regclass('auth.mfa_factors')
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    $make$
      create or replace function bulwark_private.native_mfa_at(session_id uuid)
        returns timestamptz
        language plpgsql
        stable
        set search_path = pg_catalog, pg_temp
      as $body$ begin return (%s); end; $body$
    $make$,
    case
      when claims is null or factors is null
      then 'case when session_id is null then null end::timestamptz'
      else format(
        'select max(c.updated_at)
          from %s c
          join bulwark_private.live_sessions s on s.id = c.session_id
          where c.session_id = native_mfa_at.session_id and s.aal = ''aal2''
            and (c.authentication_method in (''totp'', ''recovery_code'')
              or c.authentication_method like ''mfa/%%'')
            and exists (
              select from %s f
              where f.user_id = s.user_id and f.status::text = ''verified''
                and (s.factor_id is null or f.id = s.factor_id)
            )',
        claims, factors
      )
    end
  );
  execute format(
    $make$
      create or replace function bulwark_private.native_factors(user_id uuid)
        returns bigint
        language plpgsql
        stable
        set search_path = pg_catalog, pg_temp
      as $body$ begin return (%s); end; $body$
    $make$,
    case
      when factors is null then 'case when user_id is not null then 0 end::bigint'
      else format(
        'select count(*) from %s f
          where f.user_id = native_factors.user_id and f.status::text = ''verified''',
        factors
      )
    end
  );
end;
$$;
comment on function bulwark.read_native_mfa(regclass, regclass) is
  'Creates bulwark_private.native_mfa_at and bulwark_private.native_factors for the tables of
   Supabase Auth that exist. Call it again after an upgrade of Supabase Auth adds them.';

select bulwark.read_native_mfa();
comment on function bulwark_private.native_mfa_at(uuid) is
  'When a native factor (of Supabase Auth) that the account still has was last verified in a
   session; null: never.';
comment on function bulwark_private.native_factors(uuid) is
  'How many verified native factors (of Supabase Auth) an account has.';

create function bulwark_private.session_mfa(session_id uuid, user_id uuid)
  returns timestamptz
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return (
    select case
      -- Bulwark's factors win: with the password alone anybody could add a first native factor, so
      -- a native one does not verify an account that has a factor of Bulwark.
      when exists (
        select from bulwark.mfa_secrets f where f.user_id = s.user_id and f.activated_at is not null
      )
      then (
        select coalesce(m.verified_at, case
          when exists (
            select from bulwark_private.mfa_trusted_devices d
            where d.id = m.trusted_device_id and d.expires_at > now()
          )
          then '-infinity'::timestamptz
        end)
        from bulwark_private.mfa_sessions m
        where m.session_id = s.id and m.user_id = s.user_id
      )
      else bulwark_private.native_mfa_at(s.id)
    end
    from bulwark_private.live_sessions s
    where s.id = session_mfa.session_id and s.user_id = session_mfa.user_id
  );
end;
$$;
comment on function bulwark_private.session_mfa(uuid, uuid) is
  'When a second factor was last verified in a live session of the user; -infinity if only a trusted
   device was presented, which is never fresh; null: neither.';

create function bulwark.mfa_verified(max_age interval)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key has no second factor, even if its token names a person.
  return current_setting('role') <> 'api_key' and coalesce(
    bulwark_private.session_mfa(
      bulwark_private.claimed_id('session_id'), bulwark_private.claimed_id('sub')
    )
      > clock_timestamp() - max_age,
    false
  );
end;
$$;
comment on function bulwark.mfa_verified(interval) is
  'Whether the caller verified a second factor in this session within max_age (step-up). Write it in
   policies as (select bulwark.mfa_verified(''10 minutes'')). False for a trusted device, an ended
   session, a token without a session, and a null max_age.';

create function bulwark_private.session_passes_mfa()
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- caller_is_service() inlined, because this runs in every decision of organizations that require
  -- MFA. API keys are decided elsewhere.
  if coalesce(nullif(current_setting('role'), 'none'), session_user::text) in (
    'service_role', 'postgres', 'supabase_admin'
  ) then
    return true;
  end if;
  return bulwark_private.session_mfa(
    bulwark_private.claimed_id('session_id'), bulwark_private.claimed_id('sub')
  )
    is not null;
end;
$$;
comment on function bulwark_private.session_passes_mfa() is
  'Whether the caller''s session satisfies an organization that requires MFA: a second factor was
   verified or a trusted device presented in it. True for the service role; false for API keys,
   whose rights are decided elsewhere.';

create trigger mfa_secrets_keep_columns
  before update on bulwark.mfa_secrets
  for each row execute function bulwark.keep_columns(
    'id', 'user_id', 'begun_in', 'begun_as_first', 'created_at'
  );
create trigger mfa_policies_keep_columns
  before update on bulwark.mfa_policies
  for each row execute function bulwark.keep_columns('id', 'organization_id');
create trigger mfa_policies_touch
  before update on bulwark.mfa_policies
  for each row execute function bulwark_private.touch_updated_at();

revoke all on function bulwark_private.native_mfa_at(uuid), bulwark_private.native_factors(uuid)
  from public, anon, authenticated, service_role;

-- Decisions: whether a user may do something in an organization. They are made from the tables and
-- never from claims, so that a revocation counts even while the token is valid.
-- Protects against stale tokens, and the tables of roles from unauthorized reads.
-- SECURITY DEFINER, each because clients may not read the grants it decides from:
--   organizations_with, member_organizations, is_super_admin, user_permits, session_permits.

-- Read memberships from these two views, never from user_roles, whose rows may have expired. The
-- conventions test lists the exceptions.
create view bulwark_private.unexpired_grants with (security_invoker = true) as
  select
    g.user_id,
    g.role_id,
    g.organization_id,
    g.starts_at,
    coalesce(g.expires_at, 'infinity') as held_until,
    -- A ban and a soft deletion revoke all grants.
    u.deleted_at is not null or coalesce(u.banned_until > now(), false) as suspended,
    g.source,
    g.granted_by,
    g.created_at
  from bulwark.user_roles g
  join auth.users u on u.id = g.user_id
  where g.expires_at is null or g.expires_at > now();
comment on view bulwark_private.unexpired_grants is
  'The grants that have not expired, including those that have not begun and those of suspended
   accounts (banned or soft-deleted). For rules that must also hold once they become active.';

create view bulwark_private.active_grants with (security_invoker = true) as
  select g.user_id, g.role_id, g.organization_id, g.held_until, g.source
  from bulwark_private.unexpired_grants g
  where g.starts_at <= now() and not g.suspended;
comment on view bulwark_private.active_grants is
  'The grants that count now: begun, not expired, of an account neither banned nor deleted. Members
   of an organization are the users with such a grant there.';

create view bulwark_private.held_permissions with (security_invoker = true) as
  select
    g.user_id,
    g.organization_id,
    e.permission,
    g.held_until,
    -- super_admin is the only system-wide role that counts inside every organization.
    g.organization_id is null and g.role_id = bulwark_private.super_admin_role() as everywhere
  from bulwark_private.active_grants g
  join bulwark_private.effective_permissions e on e.role_id = g.role_id;
comment on view bulwark_private.held_permissions is
  'The permissions of each user now, with the organization and the end.';

create function bulwark_private.is_member(user_id uuid, organization_id uuid)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark_private.active_grants g
    where g.user_id = is_member.user_id and g.organization_id = is_member.organization_id
  );
end;
$$;
comment on function bulwark_private.is_member(uuid, uuid) is
  'Whether a user is a member of an organization now.';

create function bulwark_private.organizations_of(user_id uuid, suspended boolean default false)
  returns setof uuid
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select distinct g.organization_id
    from bulwark_private.unexpired_grants g
    where g.user_id = organizations_of.user_id
      and g.organization_id is not null
      and g.starts_at <= now()
      and (organizations_of.suspended or not g.suspended)
    order by 1;
end;
$$;
comment on function bulwark_private.organizations_of(uuid, boolean) is
  'The organizations of which a user is a member now, ordered by id. With suspended a ban or
   deletion of the account is ignored, so that the organizations learn of the ban itself.';

create function bulwark_private.require_known_permission(permission text)
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  if permission is null then
    raise exception 'Cannot check permission: the permission is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from bulwark.permissions p where p.name = require_known_permission.permission
  ) then
    raise exception 'Cannot check permission: "%" is not in the catalogue', left(permission, 64)
      using errcode = 'invalid_parameter_value', detail = 'RBAC_UNKNOWN_PERMISSION',
            hint = 'List them with: select name from permissions';
  end if;
end;
$$;
comment on function bulwark_private.require_known_permission(text) is
  'Raises RBAC_UNKNOWN_PERMISSION for a permission that is not in the catalogue, so that a typo is
   an error and not a silent refusal.';

create function bulwark_private.user_permits(user_id uuid, permission text, organization_id uuid)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return exists (
    select from bulwark_private.held_permissions h
    where h.user_id = user_permits.user_id
      and h.permission = user_permits.permission
      and (
        h.organization_id = user_permits.organization_id
        or h.everywhere
        or (h.organization_id is null and user_permits.organization_id is null)
      )
  );
end;
$$;
comment on function bulwark_private.user_permits(uuid, text, uuid) is
  'Whether a user holds a permission in an organization (null: system-wide). It does not check the
   caller.';

create function bulwark_private.session_permits(
  user_id uuid,
  permission text,
  organization_id uuid,
  session_id uuid default null
)
  returns boolean
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  if current_setting('role') = 'api_key' then
    return false;
  end if;
  return exists (
    select from bulwark_private.held_permissions h
    where h.user_id = session_permits.user_id
      and h.permission = session_permits.permission
      and (
        h.organization_id = session_permits.organization_id
        or h.everywhere
        or (h.organization_id is null and session_permits.organization_id is null)
      )
      and (
        session_permits.session_id is null
        or exists (
          select from bulwark_private.unexpired_sessions s
          where s.id = session_permits.session_id and s.user_id = session_permits.user_id
        )
      )
      -- The session is looked up only if a second factor is required.
      and (
        not exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id = session_permits.organization_id
              or (p.organization_id is null and h.organization_id is null)
            )
            and p.required_from <= now()
        )
        or bulwark_private.session_passes_mfa()
      )
  );
end;
$$;
comment on function bulwark_private.session_permits(uuid, text, uuid, uuid) is
  'bulwark_private.user_permits for the caller''s own session. If the organization requires MFA (for
   system-wide roles: the installation), a second factor must be verified in the session. False for
   API keys. Pass bulwark.current_person(), or the claimed user together with the claimed session,
   which is then looked up in the same query.';

create function bulwark.is_super_admin()
  returns boolean
  language sql
  stable
  parallel safe
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
  -- Case instead of "and", so that the session is looked up for a super_admin only.
  select case
    when current_setting('role') = 'api_key' then false
    when exists (
      select from bulwark_private.active_grants g
      where g.user_id = (select bulwark.current_person())
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
    then not exists (
        select from bulwark.mfa_policies p
        where p.organization_id is null and p.required_from <= now()
      )
      or bulwark_private.session_passes_mfa()
    else false
  end;
$$;
comment on function bulwark.is_super_admin() is
  'Whether the caller is a super_admin, and verified if the installation requires MFA of system-wide
   roles. Write it in policies as (select bulwark.is_super_admin()).';

create function bulwark_private.api_key_organizations(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Without the capability api_keys no key may do anything. It replaces this function.
  return;
end;
$$;
comment on function bulwark_private.api_key_organizations(text) is
  'The organizations in which the request''s API key holds a permission: none.';

create function bulwark.organizations_with(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 10
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_user uuid;
begin
  -- An API key may do less than its owner, and only in one organization.
  if current_setting('role') = 'api_key' then
    return query select bulwark_private.api_key_organizations(organizations_with.permission);
    if not found then
      perform bulwark_private.require_known_permission(organizations_with.permission);
    end if;
    return;
  end if;
  v_user := bulwark.current_person();
  -- One cached plan, because this runs in every query on a table with such a policy.
  return query
    with held as materialized (
      select h.organization_id, h.everywhere
      from bulwark_private.held_permissions h
      where h.user_id = v_user and h.permission = organizations_with.permission
    )
    -- Duplicates do no harm in an array, and removing them would cost more than the rest. An
    -- organization that requires MFA is left out until the session is verified. Case instead of
    -- "or", so that the session is looked up only if needed.
    select h.organization_id
    from held h
    where h.organization_id is not null
      and case
        when exists (
          select from bulwark.mfa_policies p
          where p.organization_id = h.organization_id and p.required_from <= now()
        )
        then (select bulwark_private.session_passes_mfa())
        else true
      end
    union all
    select o.id
    from bulwark.organizations o
    where (select bool_or(h.everywhere) from held h)
      and case
        when exists (
          select from bulwark.mfa_policies p
          where (p.organization_id = o.id or p.organization_id is null) and p.required_from <= now()
        )
        then (select bulwark_private.session_passes_mfa())
        else true
      end;
  if not found then
    perform bulwark_private.require_known_permission(organizations_with.permission);
  end if;
end;
$$;
comment on function bulwark.organizations_with(text) is
  'The organizations in which the caller holds a permission, for policies in the array form:
   organization_id = any (array(select bulwark.organizations_with(''audit:read''))). It runs once a
   query and may return an organization twice. A super_admin gets every organization; an API key
   gets its own, if the key holds the permission. An organization that requires MFA is left out
   while the session is not verified. Errors: RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.member_organizations()
  returns setof uuid
  language sql
  stable
  parallel safe
  rows 10
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
  select distinct g.organization_id
  from bulwark_private.active_grants g
  where g.user_id = (select bulwark.current_person()) and g.organization_id is not null
    and current_setting('role') <> 'api_key';
$$;
comment on function bulwark.member_organizations() is
  'The organizations of which the caller is a member now; none for an API key.';

create policy "Anyone signed in reads the catalogue of permissions"
  on bulwark.permissions for select to authenticated
  using ((select bulwark.current_person()) is not null);

create policy "Members read their organizations"
  on bulwark.organizations for select to authenticated
  using (
    id = any (array(select bulwark.member_organizations()))
    or id = any (array(select bulwark.organizations_with('org:read')))
  );

create policy "Anyone signed in reads system roles, members their own"
  on bulwark.roles for select to authenticated
  using (
    (organization_id is null and (select bulwark.current_person()) is not null)
    or organization_id = any (array(select bulwark.organizations_with('role:read')))
  );

create policy "Readers of a role read its permissions"
  on bulwark.role_permissions for select to authenticated
  using (role_id in (select r.id from bulwark.roles r));

create policy "Readers of a role read its inheritance"
  on bulwark.role_inheritance for select to authenticated
  using (role_id in (select r.id from bulwark.roles r));

create policy "Users read their own grants, members those of all"
  on bulwark.user_roles for select to authenticated
  using (
    user_id = (select bulwark.current_person())
    or organization_id = any (array(select bulwark.organizations_with('role:read')))
    -- Both sides of the "or" can use an index; a bare is_super_admin() would force a full scan.
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

-- Checks: functions call them first; they raise if the caller lacks the right.
-- Protects against acting on a right that was just revoked, and against probing other people's
-- rights: a missing and a forbidden organization or person get the same answer.
-- SECURITY DEFINER: require_permission, can_see_user and mfa_required, because clients may read
--   neither the grants nor sessions.

create function bulwark.require_permission(permission text, organization_id uuid)
  returns void
  language plpgsql
  stable
  security definer            -- definer because it decides from user_roles
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_known_permission(require_permission.permission);
  if bulwark_private.caller_is_service() then
    return;
  end if;
  if bulwark_private.session_permits(
    bulwark_private.require_user(), permission, organization_id
  ) is not true then
    if bulwark_private.user_permits(bulwark.current_person(), permission, organization_id) then
      raise exception 'Cannot proceed: a second factor is required'
        using errcode = 'insufficient_privilege', detail = 'MFA_REQUIRED',
              hint = 'Verify a second factor in this session, or enrol one first';
    end if;
    raise exception 'Cannot proceed: permission % is missing', require_permission.permission
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
            hint = 'Ask an administrator of the organization for a role that holds it';
  end if;
end;
$$;
comment on function bulwark.require_permission(text, uuid) is
  'Check for functions: raises RBAC_PERMISSION_DENIED unless the caller holds the permission in the
   organization (null: system-wide), and MFA_REQUIRED if they hold it but the organization requires
   MFA and the session is not verified. The service role passes. A missing organization and one that
   is closed to the caller get the same answer.
   Errors: also those of has_permission.';

create function bulwark_private.require_permission_to_change(permission text, organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission(permission, organization_id);
  if not bulwark_private.bump_permission_version(organization_id) then
    raise exception 'Cannot proceed: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  perform bulwark_private.hold_session();
  perform bulwark.require_permission(permission, organization_id);
end;
$$;
comment on function bulwark_private.require_permission_to_change(text, uuid) is
  'bulwark.require_permission for functions that change rights: decided again behind the lock, after
   every concurrent change of rights there. So nobody acts on a right that was just revoked.';

create function bulwark_private.require_permission_to_act(permission text, organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission(permission, organization_id);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark.require_permission(permission, organization_id);
end;
$$;
comment on function bulwark_private.require_permission_to_act(text, uuid) is
  'bulwark.require_permission for functions that write but change no rights: nobody revokes the
   right until commit. It waits for concurrent changes of rights.';

create function bulwark_private.can_see_user(
  user_id uuid,
  organization_id uuid,
  former boolean default false
)
  returns boolean
  language sql
  stable
  security definer            -- definer because it decides from everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.caller_is_service()
    or (can_see_user.user_id = bulwark.current_person() and current_setting('role') <> 'api_key')
    or (can_see_user.organization_id is null and bulwark.is_super_admin())
    -- Through session_permits for a super_admin too: the organization may require MFA.
    or (
      bulwark_private.session_permits(
        bulwark.current_person(), 'user:read', can_see_user.organization_id
      )
      and (
        bulwark.is_super_admin()
        or can_see_user.organization_id in (
          select bulwark_private.organizations_of(can_see_user.user_id, suspended => true)
        )
        or former and exists (
          select from bulwark.user_roles g
          where g.user_id = can_see_user.user_id
            and g.organization_id = can_see_user.organization_id
        )
      )
    );
$$;
comment on function bulwark_private.can_see_user(uuid, uuid, boolean) is
  'Whether the caller may see a user''s rights in an organization: their own, those of fellow
   members with user:read, all as super_admin or service role. With former also those of users whose
   grant there has expired or not begun.';

create function bulwark_private.require_visible_user(
  user_id uuid,
  organization_id uuid,
  former boolean default false
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null then
    raise exception 'Cannot look up user: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_caller();
  if bulwark_private.can_see_user(user_id, organization_id, former) is not true then
    raise exception 'Cannot look up user: there is none here that you may see'
      using errcode = 'insufficient_privilege', detail = 'RBAC_USER_NOT_VISIBLE',
        hint = 'Pass the organization that you share with the user';
  end if;
end;
$$;
comment on function bulwark_private.require_visible_user(uuid, uuid, boolean) is
  'Raises RBAC_USER_NOT_VISIBLE, the same for a stranger and for a missing user, and the errors of
   bulwark_private.require_user.';

create function bulwark.mfa_required(organization_id uuid default null)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_user();
  return exists (
      select from bulwark_private.active_grants g
      where g.user_id = bulwark.current_person()
        and (
          g.organization_id is not distinct from mfa_required.organization_id
          or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
        )
        and exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id is not distinct from mfa_required.organization_id
              or (p.organization_id is null and g.organization_id is null)
            )
            and p.required_from <= now()
        )
    )
    and not bulwark_private.session_passes_mfa();
end;
$$;
comment on function bulwark.mfa_required(uuid) is
  'Whether the caller, a member, gets no permission in the organization (null: by system-wide roles)
   until a second factor is verified in this session. False for non-members. Errors:
   RBAC_NOT_AUTHENTICATED.';

-- Questions: clients ask for their own permissions, and for those of users that they may see.
-- Protects against probing other people's rights: a stranger and a missing user get one answer.
-- SECURITY DEFINER, each because clients may not read the grants it decides from:
--   has_permission, check_permissions, user_has_permission, get_user_roles, explain_permission.

create function bulwark.has_permission(permission text, organization_id uuid default null)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims constant json := bulwark_private.claims();
  v_session constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'session_id');
begin
  if bulwark_private.session_permits(
    case
      when v_session is null then bulwark.current_person()
      else bulwark_private.uuid_or_null(v_claims ->> 'sub')
    end,
    permission, organization_id, v_session
  ) then
    return true;
  end if;
  perform bulwark_private.require_subject();
  -- Only a refusal may be a typo: a permission that the caller holds exists.
  perform bulwark_private.require_known_permission(has_permission.permission);
  return false;
end;
$$;
comment on function bulwark.has_permission(text, uuid) is
  'Whether the caller holds a permission in an organization; null: by system-wide roles only. False
   for a foreign or missing organization, and for one that requires MFA while the session is not
   verified (see mfa_required). Errors: RBAC_NOT_AUTHENTICATED,
   RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.user_has_permission(
  user_id uuid,
  permission text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_known_permission(user_has_permission.permission);
  perform bulwark_private.require_visible_user(user_id, organization_id);
  return bulwark_private.user_permits(user_id, permission, organization_id);
end;
$$;
comment on function bulwark.user_has_permission(uuid, text, uuid) is
  'Whether a user holds a permission in an organization, regardless of MFA in their session. The
   user must be the caller or a fellow member that user:read makes visible. Errors:
   RBAC_USER_NOT_VISIBLE, RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark.check_permissions(permissions text[], organization_id uuid default null)
  returns table (permission text, allowed boolean)
  language plpgsql
  stable
  rows 40
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark.current_person();
  v_unknown text;
begin
  perform bulwark_private.require_subject();
  if cardinality(permissions) > 100 or array_ndims(permissions) > 1 then
    raise exception 'Cannot check permissions: a batch is a plain list of at most 100'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if permissions is null or array_position(permissions, null) is not null then
    raise exception 'Cannot check permissions: the list is null or has a null in it'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  select wanted into v_unknown
  from unnest(permissions) as wanted
  where not exists (select from bulwark.permissions p where p.name = wanted)
  limit 1;
  if found then
    perform bulwark_private.require_known_permission(v_unknown);
  end if;
  return query
    select wanted, bulwark_private.session_permits(
      v_user, wanted, check_permissions.organization_id
    )
    from unnest(permissions) with ordinality as asked (wanted, place)
    group by wanted
    order by min(place);
end;
$$;
comment on function bulwark.check_permissions(text[], uuid) is
  'has_permission for a batch of up to 100 permissions: one row for each distinct permission, in the
   order given. One unknown permission fails the batch. Errors: RBAC_BATCH_TOO_LARGE and those of
   has_permission.';

create function bulwark.get_user_roles(user_id uuid, organization_id uuid default null)
  returns table (
    role text,
    level smallint,
    starts_at timestamptz,
    expires_at timestamptz,
    active boolean,
    granted_by uuid
  )
  language plpgsql
  stable
  rows 10
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_visible_user(
    get_user_roles.user_id, get_user_roles.organization_id, former => true
  );
  return query
    select
      r.name,
      r.level,
      g.starts_at,
      g.expires_at,
      exists (
        select from bulwark_private.active_grants a
        where a.user_id = g.user_id
          and a.role_id = g.role_id
          and a.organization_id is not distinct from g.organization_id
          and a.source = g.source
      ),
      g.granted_by
    from bulwark.user_roles g
    join bulwark.roles r on r.id = g.role_id
    where g.user_id = get_user_roles.user_id
      and g.organization_id is not distinct from get_user_roles.organization_id
    order by r.level desc, r.name;
end;
$$;
comment on function bulwark.get_user_roles(uuid, uuid) is
  'The roles granted to a user in an organization (null: system-wide), highest first. Grants that
   have not begun or have expired have active = false. Errors: RBAC_USER_NOT_VISIBLE,
   RBAC_NULL_ARGUMENT.';

create function bulwark.explain_permission(
  user_id uuid,
  permission text,
  organization_id uuid default null
)
  returns table (
    allowed boolean,
    reason text,
    role text,
    inherited_from text,
    system_wide boolean,
    starts_at timestamptz,
    expires_at timestamptz
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read everybody's grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_visible boolean;
  v_withheld boolean := false;
begin
  perform bulwark_private.require_known_permission(explain_permission.permission);
  perform bulwark_private.require_visible_user(
    explain_permission.user_id, explain_permission.organization_id, former => true
  );
  -- For a former member only the organization's own grants are visible.
  v_visible := bulwark_private.can_see_user(
    explain_permission.user_id, explain_permission.organization_id
  );
  -- MFA is considered for the caller only: other users' sessions stay private.
  if explain_permission.user_id = bulwark.current_person() then
    v_withheld := bulwark_private.user_permits(user_id, permission, organization_id)
      and not bulwark_private.session_permits(user_id, permission, organization_id);
  end if;
  return query
    with recursive grants as (
      select g.*, r.name as role_name
      from bulwark.user_roles g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = explain_permission.user_id
        and (
          g.organization_id is not distinct from explain_permission.organization_id
          or (
            v_visible and g.organization_id is null
              and g.role_id = bulwark_private.super_admin_role()
          )
        )
    ),
    ancestry (role_id, ancestor_id) as (
      select g.role_id, g.role_id from grants g
      union
      select a.role_id, i.inherits_role_id
      from ancestry a
      join bulwark.role_inheritance i on i.role_id = a.ancestor_id
    )
    select
      a.user_id is not null and not v_withheld,
      case
        when a.user_id is not null and v_withheld then 'mfa_required'
        when a.user_id is not null then 'active'
        when g.starts_at > now() then 'not_started'
        when g.expires_at <= now() then 'expired'
        else 'account_suspended'
      end,
      g.role_name,
      r.name,
      g.organization_id is null,
      g.starts_at,
      g.expires_at
    from grants g
    join ancestry c on c.role_id = g.role_id
    join bulwark.role_permissions p
      on p.role_id = c.ancestor_id and p.permission = explain_permission.permission
    join bulwark.roles r on r.id = c.ancestor_id
    left join bulwark_private.active_grants a
      on a.user_id = g.user_id
      and a.role_id = g.role_id
      and a.organization_id is not distinct from g.organization_id
      and a.source = g.source
    order by 1 desc, g.expires_at desc nulls first, g.role_name, r.name;
  if not found then
    return query
      select
        false,
        case
          when exists (
            select from bulwark.user_roles g
            where g.user_id = explain_permission.user_id
              and g.organization_id is not distinct from explain_permission.organization_id
          ) then 'not_in_roles'
          else 'no_role'
        end,
        null::text, null::text, null::boolean, null::timestamptz, null::timestamptz;
  end if;
end;
$$;
comment on function bulwark.explain_permission(uuid, text, uuid) is
  'Why a user has a permission or not. One row for each granted role that holds it, with the role
   that it inherits it from, and the reason: active, not_started, expired, account_suspended or, for
   the caller in a session without the required second factor, mfa_required. If no role holds it:
   one row with the reason not_in_roles or no_role. Errors: RBAC_USER_NOT_VISIBLE,
   RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

-- Organizations: creating, renaming and deleting tenants.
-- Protects against organizations without an administrator, misleading or reserved names, and
-- deletion by others than a super_admin. Clients cannot write the table.
-- SECURITY DEFINER: create_organization, update_organization, delete_organization, because clients
--   may write neither organizations nor grants.

insert into bulwark.settings (name, value, description) values
  ('rbac.self_service_organizations', 'true',
    'Whether everybody signed in may create an organization; otherwise org:create is needed'),
  ('rbac.self_service_limit', '10',
    'How many organizations one account may create without org:create'),
  ('rbac.anonymous_members', 'false',
    'Whether an anonymous account may be a member of an organization'),
  ('rbac.reuse_organization_keys', 'false',
    'Whether a key of the host may be used again after its organization was deleted; the new one
     then reads the log of the old one'),
  ('rbac.delete_last_administrators', 'false',
    'Whether deleting an account may leave organizations without an administrator');

create table bulwark_private.reserved_slugs (
  slug text primary key
);
comment on table bulwark_private.reserved_slugs is
  'Slugs that no organization may take, because paths of applications begin with them.';
alter table bulwark_private.reserved_slugs enable row level security;
insert into bulwark_private.reserved_slugs
select unnest(array[
  'about', 'account', 'accounts', 'admin', 'api', 'app', 'assets', 'auth', 'billing', 'blog',
  'bulwark', 'callback', 'cdn', 'console', 'dashboard', 'docs', 'download', 'functions', 'health',
  'help', 'home', 'internal', 'invitations', 'legal', 'login', 'logout', 'mail', 'metrics', 'new',
  'null', 'oauth', 'organizations', 'pricing', 'privacy', 'public', 'rest', 'root', 'security',
  'settings', 'signin', 'signup', 'static', 'status', 'storage', 'super-admin', 'supabase',
  'support', 'system', 'terms', 'undefined', 'webhooks', 'well-known', 'www']);

create function bulwark_private.require_organization_name(name text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Besides control characters: characters that hide or reverse the text around them.
  if name is null or length(btrim(name)) not between 1 and 120
    or name ~ '[[:cntrl:]\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]' then
    raise exception 'Cannot name organization: a name has 1 to 120 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_name(text) is
  'Raises RBAC_INVALID_NAME.';

create function bulwark_private.require_organization_slug(slug text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if slug is null or slug !~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$' or slug ~ '^..--' then
    raise exception 'Cannot name organization: a slug has 3 to 63 of a-z, 0-9 and inner hyphens'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_SLUG';
  end if;
  if exists (
    select from bulwark_private.reserved_slugs r where r.slug = require_organization_slug.slug
  ) then
    raise exception 'Cannot name organization: the slug is reserved'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_SLUG_RESERVED',
        hint = 'Choose another slug';
  end if;
end;
$$;
comment on function bulwark_private.require_organization_slug(text) is
  'Raises RBAC_INVALID_SLUG or RBAC_SLUG_RESERVED.';

create function bulwark_private.require_existing_user(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null then
    raise exception 'Cannot name user: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from auth.users u
    where u.id = user_id
      and u.deleted_at is null
      and (u.banned_until is null or u.banned_until <= now())
  ) then
    raise exception 'Cannot name user: there is no such account, or it is suspended'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_USER',
        hint = 'Pass the id of an account that can sign in';
  end if;
end;
$$;
comment on function bulwark_private.require_existing_user(uuid) is
  'Raises RBAC_UNKNOWN_USER. Only for callers who may name any account, because it reveals which
   ones exist.';

-- Supabase Auth may not execute create_organization itself: a SECURITY DEFINER function of somebody
-- who may has called it, in a trigger.
create function bulwark_private.caller_is_sign_up()
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.caller_role() = 'supabase_auth_admin'
    and pg_trigger_depth() > 0
    and bulwark_private.claims() is null
    and not has_function_privilege(
      'supabase_auth_admin', 'bulwark.create_organization(text, text, uuid)', 'execute'
    );
end;
$$;
comment on function bulwark_private.caller_is_sign_up() is
  'Whether a SECURITY DEFINER trigger of the host is calling while Supabase Auth writes an account.
   No request of the Data API reaches it: its role is another one.';

create function bulwark.create_organization(
  name text,
  slug text,
  administrator_id uuid default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations or grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_administrator uuid := coalesce(administrator_id, v_caller);
  v_by_itself boolean := false;
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  if not bulwark_private.caller_is_service() and not bulwark_private.caller_is_sign_up() then
    v_caller := bulwark_private.require_user();
    perform bulwark_private.require_named_account(v_caller);
    v_by_itself := v_administrator = v_caller
      and bulwark_private.setting('rbac.self_service_organizations') = 'true'
      and not bulwark_private.session_permits(v_caller, 'org:create', null);
    if not v_by_itself then
      perform bulwark_private.require_permission_to_act('org:create', null);
    end if;
  end if;
  perform bulwark_private.lock_rights(null);
  perform bulwark_private.hold_session();
  if v_by_itself then
    perform bulwark_private.lock_count('organizations', v_caller::text);
    if (
      select count(*) >= (bulwark_private.setting('rbac.self_service_limit'))::integer
      from bulwark.organizations o where o.created_by = v_caller and o.self_service
    ) then
      raise exception 'Cannot create organization: you have made as many as one account may'
        using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_ORGANIZATIONS',
          hint = 'Delete one, or ask the operator: rbac.self_service_limit';
    end if;
  end if;
  perform bulwark_private.require_organization_name(name);
  perform bulwark_private.require_organization_slug(slug);
  perform bulwark_private.require_existing_user(v_administrator);
  begin
    insert into bulwark.organizations (name, slug, created_by, self_service)
    values (
      btrim(create_organization.name), create_organization.slug, v_caller, v_by_itself
    )
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot create organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  insert into bulwark.user_roles (user_id, role_id, organization_id, granted_by)
  values (v_administrator, bulwark_private.admin_role(), v_organization.id, v_caller);
  return v_organization;
end;
$$;
comment on function bulwark.create_organization(text, text, uuid) is
  'Creates an organization with its first administrator: the caller, or administrator_id if the
   caller holds org:create system-wide. A SECURITY DEFINER trigger of yours on auth.users may call
   it with new.id. Errors: RBAC_INVALID_NAME, RBAC_INVALID_SLUG, RBAC_SLUG_RESERVED,
   RBAC_SLUG_TAKEN, RBAC_PERMISSION_DENIED, RBAC_UNKNOWN_USER, RBAC_TOO_MANY_ORGANIZATIONS,
   ACCOUNT_ANONYMOUS, RBAC_ORGANIZATIONS_ARE_HOSTS.';

create function bulwark.update_organization(
  organization_id uuid,
  name text default null,
  slug text default null
)
  returns bulwark.organizations
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization bulwark.organizations;
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_act('org:update', organization_id);
  select * into v_organization
  from bulwark.organizations o
  where o.id = organization_id
  for no key update;
  if not found then
    raise exception 'Cannot rename organization: it does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  -- A value that stays is not checked: the slug may have become reserved since.
  if name <> v_organization.name then
    perform bulwark_private.require_organization_name(name);
  end if;
  if slug <> v_organization.slug then
    perform bulwark_private.require_organization_slug(slug);
  end if;
  begin
    update bulwark.organizations o
    set name = coalesce(btrim(update_organization.name), o.name),
        slug = coalesce(update_organization.slug, o.slug)
    where o.id = organization_id
    returning * into v_organization;
  exception when unique_violation then
    raise exception 'Cannot rename organization: the slug is taken'
      using errcode = 'unique_violation', detail = 'RBAC_SLUG_TAKEN',
        hint = 'Choose another slug';
  end;
  return v_organization;
end;
$$;
comment on function bulwark.update_organization(uuid, text, text) is
  'Renames an organization (org:update there). A name or slug that is omitted or null stays. Errors:
   those of create_organization, and RBAC_UNKNOWN_ORGANIZATION for the service role and
   super_admin.';

create function bulwark.delete_organization(organization_id uuid, confirm_slug text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write organizations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in delete_host_organization
  set jit = off
as $$
begin
  perform bulwark_private.require_own_organizations();
  perform bulwark_private.require_permission_to_change('org:delete', organization_id);
  delete from bulwark.organizations o
  where o.id = organization_id and o.slug = confirm_slug;
  if not found then
    raise exception 'Cannot delete organization: none has this id and this slug'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
            hint = 'Confirm with the slug of the organization';
  end if;
end;
$$;
comment on function bulwark.delete_organization(uuid, text) is
  'Deletes an organization with its roles, grants and invitations. Needs org:delete, which only
   super_admin holds, and the slug as confirmation. Errors: RBAC_PERMISSION_DENIED,
   RBAC_UNKNOWN_ORGANIZATION, RBAC_ORGANIZATIONS_ARE_HOSTS.';

-- Grants: giving a role to a member and taking it back.
-- Protects against giving more than one has: a higher role, a permission that the giver does not
-- hold, or a longer time than the giver's own.
-- SECURITY DEFINER: grant_role, revoke_role, because clients may not write grants.

create function bulwark_private.find_role(name text, organization_id uuid)
  returns bulwark.roles
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  if name is null then
    raise exception 'Cannot find role: the role is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  -- A later version may add a system role whose name an organization uses: the system role wins.
  select * into v_role
  from bulwark.roles r
  where r.name = find_role.name
    and (r.organization_id is null or r.organization_id = find_role.organization_id)
  order by r.organization_id nulls first
  limit 1;
  if not found then
    raise exception 'Cannot find role: there is no "%" here', left(name, 64)
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ROLE',
            hint = 'List them with: select name from roles';
  end if;
  return v_role;
end;
$$;
comment on function bulwark_private.find_role(text, uuid) is
  'A system role or a role of that organization, by name. Raises RBAC_UNKNOWN_ROLE.';

-- Rank has three parts: level, permissions, and time. A role held until Friday cannot be granted
-- until Saturday.
create function bulwark_private.grant_refusal(
  granter uuid,
  role_id uuid,
  organization_id uuid,
  held_until timestamptz
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_until constant timestamptz := coalesce(held_until, 'infinity');
  v_grants_until timestamptz;
  v_level constant smallint := (
    select r.level from bulwark.roles r where r.id = grant_refusal.role_id
  );
  v_own_level smallint;
  v_own_lasting_level smallint;
  v_missing boolean;
  v_shortest timestamptz;
begin
  select max(h.held_until) into v_grants_until
  from bulwark_private.held_permissions h
  where h.user_id = granter
    and h.permission = 'role:grant'
    and (h.organization_id is not distinct from grant_refusal.organization_id or h.everywhere);
  if v_grants_until is null then
    return 'RBAC_PERMISSION_DENIED';
  end if;

  select max(r.level), coalesce(max(r.level) filter (where g.held_until >= v_until), -1)
  into v_own_level, v_own_lasting_level
  from bulwark_private.active_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = granter
    and (
      g.organization_id is not distinct from grant_refusal.organization_id
      or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
    );
  select bool_or(held.until is null), min(held.until) into v_missing, v_shortest
  from bulwark_private.effective_permissions e
  left join lateral (
    select max(h.held_until) as until
    from bulwark_private.held_permissions h
    where h.user_id = granter
      and h.permission = e.permission
      and (h.organization_id is not distinct from grant_refusal.organization_id or h.everywhere)
  ) as held on true
  where e.role_id = grant_refusal.role_id;

  if v_missing or v_own_level < v_level or (
    role_id = bulwark_private.super_admin_role() and not exists (
      select from bulwark_private.active_grants g
      where g.user_id = granter
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
  ) then
    return 'RBAC_ROLE_OUTRANKS_GRANTER';
  end if;
  if least(v_grants_until, v_shortest) < v_until or v_own_lasting_level < v_level then
    return 'RBAC_GRANT_OUTLIVES_GRANTER';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.grant_refusal(uuid, uuid, uuid, timestamptz) is
  'The error code that says why a user may not give (or, with held_until now(), take) a role in an
   organization; null if they may.';

create function bulwark_private.raise_grant_refusal(refusal text, action text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if refusal is not null then
    raise exception 'Cannot %: %', action, case refusal
        when 'RBAC_PERMISSION_DENIED' then 'permission role:grant is missing'
        when 'RBAC_ROLE_OUTRANKS_GRANTER' then 'it outranks your own'
        else 'it would last longer than your own'
      end
      using errcode = 'insufficient_privilege', detail = refusal,
            hint = 'Ask someone with a higher role';
  end if;
end;
$$;
comment on function bulwark_private.raise_grant_refusal(text, text) is
  'Raises the error that bulwark_private.grant_refusal returned; null raises nothing.';

create function bulwark.grant_role(
  user_id uuid,
  role text,
  organization_id uuid default null,
  starts_at timestamptz default null,
  expires_at timestamptz default null
)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_role bulwark.roles;
  v_grant bulwark.user_roles;
  v_starts_at timestamptz := greatest(coalesce(starts_at, now()), now());
begin
  if user_id is null then
    raise exception 'Cannot grant role: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if expires_at <= now() or expires_at <= v_starts_at or not isfinite(v_starts_at)
    or not isfinite(expires_at) then
    raise exception 'Cannot grant role: it would expire in the past or before it starts'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY',
            hint = 'Leave expires_at null for a role without an end';
  end if;
  if not bulwark_private.caller_is_service() then
    v_caller := bulwark_private.require_user();
    perform bulwark_private.require_permission_to_change('role:grant', organization_id);
    -- Only an invitation makes somebody a member. An expired grant is no membership.
    if organization_id is not null and not bulwark.is_super_admin() and not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = grant_role.user_id and g.organization_id = grant_role.organization_id
    ) then
      raise exception 'Cannot grant role: the user is not a member of the organization'
        using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
              hint = 'Invite them with invite_member';
    end if;
  end if;
  if bulwark_private.caller_is_service() then
    perform bulwark_private.bump_permission_version(organization_id);
  end if;
  v_role := bulwark_private.find_role(role, organization_id);
  if v_role.id = bulwark_private.super_admin_role() and organization_id is not null then
    raise exception 'Cannot grant role: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Grant admin in the organization, or super_admin without one';
  end if;
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, expires_at), 'grant role'
    );
  end if;
  perform bulwark_private.require_existing_user(user_id);
  if organization_id is not null and not exists (
    select from bulwark.organizations o where o.id = grant_role.organization_id
  ) then
    raise exception 'Cannot grant role: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  insert into bulwark.user_roles as g
    (user_id, role_id, organization_id, starts_at, expires_at, granted_by)
  values (
    grant_role.user_id, v_role.id, grant_role.organization_id, v_starts_at,
    grant_role.expires_at, v_caller
  )
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = case
          when grant_role.starts_at is null then least(g.starts_at, excluded.starts_at)
          else excluded.starts_at
        end,
        expires_at = excluded.expires_at,
        granted_by = excluded.granted_by
  returning * into v_grant;
  return v_grant;
end;
$$;
comment on function bulwark.grant_role(uuid, text, uuid, timestamptz, timestamptz) is
  'Grants a role to a member (role:grant), from starts_at (null: now) until expires_at (null: no
   end); granting it again replaces the window. The role must not outrank the granter, hold what the
   granter lacks, or last longer. Errors: RBAC_PERMISSION_DENIED, RBAC_NOT_A_MEMBER,
   RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE, RBAC_ROLE_OUTRANKS_GRANTER,
   RBAC_GRANT_OUTLIVES_GRANTER, RBAC_INVALID_EXPIRY, RBAC_NULL_ARGUMENT, RBAC_LAST_ADMINISTRATOR;
   to the service role and super_admin also RBAC_UNKNOWN_USER, RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.revoke_role(user_id uuid, role text, organization_id uuid default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_role bulwark.roles;
begin
  if user_id is null then
    raise exception 'Cannot revoke role: the user is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if bulwark_private.caller_is_service() then
    perform bulwark_private.bump_permission_version(organization_id);
    v_role := bulwark_private.find_role(role, organization_id);
  elsif user_id is distinct from bulwark_private.require_user() then
    perform bulwark_private.require_permission_to_change('role:grant', organization_id);
    v_role := bulwark_private.find_role(role, organization_id);
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, now()), 'revoke role'
    );
  else
    -- Anybody may give up their own role. A role of a foreign organization is not found.
    select r.* into v_role
    from bulwark.roles r
    join bulwark.user_roles g on g.role_id = r.id
    where g.user_id = v_caller
      and g.organization_id is not distinct from revoke_role.organization_id
      and r.name = revoke_role.role;
    if found then
      perform bulwark_private.bump_permission_version(organization_id);
      perform bulwark_private.hold_session();
    end if;
  end if;
  delete from bulwark.user_roles g
  where g.user_id = revoke_role.user_id
    and g.role_id = v_role.id
    and g.organization_id is not distinct from revoke_role.organization_id
    and g.source = 'own';
  if not found then
    perform bulwark_private.require_no_host_grant(user_id, v_role.id, organization_id);
    raise exception 'Cannot revoke role: the user does not hold it'
      using errcode = 'PT404', detail = 'RBAC_GRANT_NOT_FOUND',
        hint = 'List the roles of the user with get_user_roles';
  end if;
end;
$$;
comment on function bulwark.revoke_role(uuid, text, uuid) is
  'Revokes a role, effective on the next request: one''s own always, another user''s with
   role:grant and a rank at least as high. Errors: RBAC_GRANT_NOT_FOUND, RBAC_GRANT_IS_HOSTS,
   RBAC_LAST_ADMINISTRATOR, RBAC_PERMISSION_DENIED, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_UNKNOWN_ROLE,
   RBAC_NULL_ARGUMENT.';

-- An organization's own roles. They may inherit from several roles.
-- Protects against a role that holds more than its author: also by editing a role that the editor
-- holds, one that other roles inherit, or one that outlasts the editor's own grant.
-- SECURITY DEFINER: create_role, update_role, delete_role, because clients may not write roles.

-- A role may outlive its author's grant, so it may only hold what the author holds without expiry.
-- The list is read before the edit, because the editor may hold the edited role.
create function bulwark_private.lasting_permissions(user_id uuid, organization_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct h.permission), '{}')
  from bulwark_private.held_permissions h
  where h.user_id = lasting_permissions.user_id
    and h.held_until = 'infinity'
    and (h.organization_id = lasting_permissions.organization_id or h.everywhere);
$$;
comment on function bulwark_private.lasting_permissions(uuid, uuid) is
  'The permissions a user holds in an organization without an expiry.';

create function bulwark_private.set_role_contents(
  role_id uuid,
  organization_id uuid,
  permissions text[],
  inherits text[]
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_inherited uuid[];
  v_name text;
begin
  if cardinality(permissions) > 200 or array_ndims(permissions) > 1
    or cardinality(inherits) > 20 or array_ndims(inherits) > 1 then
    raise exception 'Cannot set role: plain lists of at most 200 permissions and 20 inherited roles'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if array_position(permissions || inherits, null) is not null then
    raise exception 'Cannot set role: a permission or an inherited role is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if permissions is not null then
    foreach v_name in array permissions loop
      perform bulwark_private.require_known_permission(v_name);
    end loop;
    -- Only the differences, so that the log has no entries for unchanged permissions.
    delete from bulwark.role_permissions p
    where p.role_id = set_role_contents.role_id and p.permission <> all (permissions);
    insert into bulwark.role_permissions (role_id, permission)
    select distinct set_role_contents.role_id, unnest(permissions)
    on conflict do nothing;
  end if;
  if inherits is not null then
    v_inherited := array(
      select (bulwark_private.find_role(n, organization_id)).id from unnest(inherits) as n
    );
    delete from bulwark.role_inheritance i
    where i.role_id = set_role_contents.role_id and i.inherits_role_id <> all (v_inherited);
    insert into bulwark.role_inheritance (role_id, inherits_role_id)
    select distinct set_role_contents.role_id, unnest(v_inherited)
    on conflict do nothing;
  end if;
end;
$$;
comment on function bulwark_private.set_role_contents(uuid, uuid, text[], text[]) is
  'Replaces the permissions and the inherited roles of a role; null keeps a list.';

create function bulwark_private.require_role_rank(
  role_id uuid,
  held text[],
  level smallint
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_permission text;
  v_level smallint;
begin
  -- Editing a role also changes the roles that inherit it.
  with recursive heirs (role_id) as (
    select require_role_rank.role_id
    union
    select i.role_id
    from heirs h
    join bulwark.role_inheritance i on i.inherits_role_id = h.role_id
  )
  select
    max(r.level),
    (
      select min(e.permission)
      from bulwark_private.effective_permissions e
      where e.role_id in (select h.role_id from heirs h) and e.permission <> all (held)
    )
  into v_level, v_permission
  from bulwark.roles r
  where r.id in (select h.role_id from heirs h);
  if v_permission is not null then
    raise exception 'Cannot set role: you do not hold % yourself, without an end', v_permission
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_NOT_HELD',
            hint = 'A role holds no more than its maker, also where other roles inherit it';
  end if;
  if v_level > level then
    raise exception 'Cannot set role: it outranks your own'
      using errcode = 'insufficient_privilege', detail = 'RBAC_ROLE_OUTRANKS_GRANTER',
            hint = 'Ask someone with a higher role';
  end if;
end;
$$;
comment on function bulwark_private.require_role_rank(uuid, text[], smallint) is
  'Raises RBAC_PERMISSION_NOT_HELD or RBAC_ROLE_OUTRANKS_GRANTER if a role, or a role that inherits
   it, exceeds the given permissions or level.';

create function bulwark_private.lasting_level(user_id uuid, organization_id uuid)
  returns smallint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(r.level), 0::smallint)
  from bulwark_private.active_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = lasting_level.user_id
    and g.held_until = 'infinity'
    and (
      g.organization_id = lasting_level.organization_id
      or (g.organization_id is null and g.role_id = bulwark_private.super_admin_role())
    );
$$;
comment on function bulwark_private.lasting_level(uuid, uuid) is
  'The highest level a user holds in an organization without an expiry.';

create function bulwark_private.find_own_role(name text, organization_id uuid)
  returns bulwark.roles
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles := bulwark_private.find_role(name, organization_id);
begin
  if v_role.organization_id is null then
    raise exception 'Cannot change role: it is a system role'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_IS_SYSTEM',
            hint = 'Make a role of your own that inherits from it';
  end if;
  return v_role;
end;
$$;
comment on function bulwark_private.find_own_role(text, uuid) is
  'An organization''s own role, by name. Raises RBAC_UNKNOWN_ROLE or RBAC_ROLE_IS_SYSTEM.';

create function bulwark_private.require_role_name(name text, description text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if name is null or name !~ '^[a-z][a-z0-9_]{1,62}$' then
    raise exception 'Cannot name role: a name has 2 to 63 of a-z, 0-9, _ and begins with a letter'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if description is null or length(description) > 500 then
    raise exception 'Cannot name role: a description has at most 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME';
  end if;
  if exists (
    select from bulwark.roles r where r.organization_id is null and r.name = require_role_name.name
  ) then
    raise exception 'Cannot name role: a system role has that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end if;
end;
$$;
comment on function bulwark_private.require_role_name(text, text) is
  'Raises RBAC_INVALID_NAME, or RBAC_ROLE_EXISTS for the name of a system role.';

create function bulwark.create_role(
  organization_id uuid,
  name text,
  permissions text[] default '{}',
  inherits text[] default '{}',
  description text default ''
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  if organization_id is null then
    raise exception 'Cannot create role: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT',
            hint = 'System roles are made by migrations';
  end if;
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  perform bulwark_private.require_role_name(name, description);
  if (
    select count(*) >= 100 from bulwark.roles r
    where r.organization_id = create_role.organization_id
  ) then
    raise exception 'Cannot create role: an organization has at most 100 of its own'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_TOO_MANY_ROLES',
        hint = 'Delete roles that nobody needs with delete_role';
  end if;
  begin
    insert into bulwark.roles (organization_id, name, description, created_by)
    values (
      create_role.organization_id, create_role.name, create_role.description,
      bulwark.current_person()
    )
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot create role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name, or change that role with update_role';
  end;
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  select * into v_role from bulwark.roles r where r.id = v_role.id;
  return v_role;
end;
$$;
comment on function bulwark.create_role(uuid, text, text[], text[], text) is
  'Creates a role of an organization (role:manage) from permissions and inherited roles. The caller
   must hold all of them there without expiry. Errors: RBAC_PERMISSION_DENIED,
   RBAC_INVALID_NAME, RBAC_ROLE_EXISTS, RBAC_UNKNOWN_PERMISSION, RBAC_UNKNOWN_ROLE,
   RBAC_PERMISSION_NOT_HELD, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_ROLE_NOT_ASSIGNABLE,
   RBAC_BATCH_TOO_LARGE, RBAC_TOO_MANY_ROLES, RBAC_NULL_ARGUMENT, RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.update_role(
  organization_id uuid,
  role text,
  name text default null,
  permissions text[] default null,
  inherits text[] default null,
  description text default null
)
  returns bulwark.roles
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_held text[];
  v_level smallint;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  v_role := bulwark_private.find_own_role(role, organization_id);
  v_held := bulwark_private.lasting_permissions(bulwark.current_person(), organization_id);
  v_level := bulwark_private.lasting_level(bulwark.current_person(), organization_id);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  perform bulwark_private.require_role_name(
    coalesce(name, v_role.name), coalesce(description, v_role.description)
  );
  perform bulwark_private.set_role_contents(v_role.id, organization_id, permissions, inherits);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(v_role.id, v_held, v_level);
  end if;
  begin
    update bulwark.roles r
    set name = coalesce(update_role.name, r.name),
        description = coalesce(update_role.description, r.description)
    where r.id = v_role.id
    returning * into v_role;
  exception when unique_violation then
    raise exception 'Cannot rename role: the organization has one of that name'
      using errcode = 'unique_violation', detail = 'RBAC_ROLE_EXISTS',
        hint = 'Choose another name';
  end;
  return v_role;
end;
$$;
comment on function bulwark.update_role(uuid, text, text, text[], text[], text) is
  'Changes an organization''s own role (role:manage): its name, description, permissions and
   inherited roles. The lists are replaced as a whole; null keeps a part. The role and the roles
   that inherit it must stay within the editor''s own permissions, before and after. Errors: those
   of create_role, RBAC_ROLE_CYCLE, RBAC_ROLE_IS_SYSTEM.';

create function bulwark.delete_role(organization_id uuid, role text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write roles
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_role bulwark.roles;
begin
  perform bulwark_private.require_permission_to_change('role:manage', organization_id);
  v_role := bulwark_private.find_own_role(role, organization_id);
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_role_rank(
      v_role.id,
      bulwark_private.lasting_permissions(bulwark.current_person(), organization_id),
      bulwark_private.lasting_level(bulwark.current_person(), organization_id)
    );
  end if;
  delete from bulwark.user_roles g where g.role_id = v_role.id and g.expires_at <= now();
  if exists (select from bulwark.user_roles g where g.role_id = v_role.id)
    or exists (select from bulwark.role_inheritance i where i.inherits_role_id = v_role.id) then
    raise exception 'Cannot delete role: somebody holds it or another role inherits it'
      using errcode = 'foreign_key_violation', detail = 'RBAC_ROLE_IN_USE',
            hint = 'Revoke it from its holders and take it out of the roles that inherit it';
  end if;
  delete from bulwark.roles r where r.id = v_role.id;
end;
$$;
comment on function bulwark.delete_role(uuid, text) is
  'Deletes an organization''s own role (role:manage) with its pending invitations, unless somebody
   holds it or a role inherits it. Errors: RBAC_ROLE_IN_USE, RBAC_ROLE_IS_SYSTEM,
   RBAC_UNKNOWN_ROLE, RBAC_PERMISSION_DENIED, RBAC_PERMISSION_NOT_HELD,
   RBAC_ROLE_OUTRANKS_GRANTER.';

-- Invitations: how a user becomes a member of an organization.
-- Protects against tokens read from a dump (only a hash is stored) and against messages without
-- end. 25_invitees protects those that are accepted.
-- SECURITY DEFINER: invite_member, revoke_invitation, because clients may not write invitations;
--   bulwark_private.confirmed_email, because they may not read auth.users.

insert into bulwark.settings (name, value, description) values
  ('rbac.trust_sso_email', 'false',
    'Whether the address that a single sign-on provider asserts may accept invitations'),
  ('rbac.pending_invitations', '1000',
    'How many invitations an organization may have pending; a day, four times as many'),
  ('rbac.invitations_per_address', '10',
    'How many invitations an organization may make for one address within a day');

create table bulwark.invitations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  email text not null,
  role_id uuid not null references bulwark.roles (id) on delete cascade,
  -- Cascade instead of set null: null would give the invitation the operator's authority.
  invited_by uuid references auth.users (id) on delete cascade,
  -- The clock instead of the transaction's start: it is compared with the time of departures.
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references auth.users (id) on delete set null,
  revoked_at timestamptz,
  declined boolean not null default false,
  role_expires_at timestamptz,
  constraint invitations_email_is_lower_case check (email = lower(email)),
  constraint invitations_is_accepted_or_revoked check (accepted_at is null or revoked_at is null),
  constraint invitations_ends_before_its_role check (expires_at <= role_expires_at)
);
comment on table bulwark.invitations is
  'Invitations of an e-mail address into an organization, with a role. Pending while accepted_at and
   revoked_at are null and expires_at is in the future.';
comment on column bulwark.invitations.declined is
  'Whether the invitee ended it, at revoked_at.';
comment on column bulwark.invitations.role_expires_at is
  'When the role ends that the invitee gets; null: it has no end.';
comment on column bulwark.invitations.invited_by is
  'The sender, whose rights the invitation depends on; null: the operator.';

create table bulwark_private.invitation_tokens (
  invitation_id uuid primary key references bulwark.invitations (id) on delete cascade,
  token_hash bytea not null unique
);
comment on table bulwark_private.invitation_tokens is
  'SHA-256 of each invitation token. The tokens have 256 random bits, so a plain hash is enough.';

create unique index invitations_pending_idx on bulwark.invitations (organization_id, email)
  where accepted_at is null and revoked_at is null;
create index invitations_organization_id_idx on bulwark.invitations (organization_id, created_at);
create index invitations_email_idx on bulwark.invitations (email);
create index invitations_role_id_idx on bulwark.invitations (role_id);
create index invitations_invited_by_idx on bulwark.invitations (invited_by);
create index invitations_accepted_by_idx on bulwark.invitations (accepted_by);

alter table bulwark.invitations enable row level security;
alter table bulwark_private.invitation_tokens enable row level security;

create function bulwark_private.confirmed_email()
  returns text
  language sql
  stable
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
  select lower(u.email)
  from auth.users u
  where u.id = (select bulwark.current_person())
    and u.email_confirmed_at is not null
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now())
    -- Accounts of identity providers may share an address with another account.
    and (not u.is_sso_user or bulwark_private.setting('rbac.trust_sso_email') = 'true');
$$;
comment on function bulwark_private.confirmed_email() is
  'The caller''s own e-mail address in lower case; null if it is not confirmed. Read from
   auth.users, because a token keeps an old address.';

create function bulwark_private.require_room_for_invitation(organization_id uuid, email text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('rbac.pending_invitations'))::bigint;
begin
  if (
    select
      count(*) filter (
        where i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
      ) >= v_limit
      -- The second limit holds even if invitations are revoked in between.
      or count(*) filter (where i.created_at > now() - interval '1 day') >= 4 * v_limit
    from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and (
        i.created_at > now() - interval '1 day'
        or i.accepted_at is null and i.revoked_at is null
      )
  ) then
    raise exception 'Cannot invite member: the organization has as many invitations as it may'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Revoke those that are not needed, or have rbac.pending_invitations raised';
  end if;
  -- Each may be a message to somebody who did not ask for it.
  if (
    select count(*) from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and i.email = require_room_for_invitation.email
      and i.created_at > now() - interval '1 day'
  ) >= (bulwark_private.setting('rbac.invitations_per_address'))::integer then
    raise exception 'Cannot invite member: the address was invited too often today'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Try again tomorrow';
  end if;
end;
$$;
comment on function bulwark_private.require_room_for_invitation(uuid, text) is
  'Raises RBAC_TOO_MANY_INVITATIONS if an organization has rbac.pending_invitations pending ones, or
   created four times as many within a day, or rbac.invitations_per_address for the address. The
   caller holds the exclusive lock of the organization''s rights, so the count is exact.';

create function bulwark_private.issue_invitation_token(invitation_id uuid)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_token constant text := translate(
    encode(extensions.gen_random_bytes(32), 'base64'), E'+/=\n', '-_'
  );
begin
  insert into bulwark_private.invitation_tokens as t (invitation_id, token_hash)
  values (issue_invitation_token.invitation_id, sha256(convert_to(v_token, 'UTF8')))
  on conflict on constraint invitation_tokens_pkey do update set token_hash = excluded.token_hash;
  return v_token;
end;
$$;
comment on function bulwark_private.issue_invitation_token(uuid) is
  'A new token of an invitation, which replaces the one before. Only its hash is stored.';

create function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select false; $$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: false, the
   application sends it. The capability webhooks replaces this function.';

create function bulwark.invite_member(
  organization_id uuid,
  email text,
  role text,
  expires_in interval default '7 days',
  role_expires_at timestamptz default null
)
  returns table (invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_email text := lower(btrim(email));
  v_expires_at timestamptz;
  v_invitation uuid;
  v_now timestamptz;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_own_members();
  perform bulwark_private.require_permission_to_change('user:create', organization_id);
  v_now := clock_timestamp();
  if organization_id is null then
    raise exception 'Cannot invite member: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if v_email is null or length(v_email) > 254
    or v_email !~ '^[^@[:space:][:cntrl:]]{1,64}@[^@[:space:][:cntrl:]]+$' then
    raise exception 'Cannot invite member: that is not an e-mail address'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EMAIL';
  end if;
  if not bulwark_private.lasts_up_to(expires_in, '90 days') or now() + expires_in = now() then
    raise exception 'Cannot invite member: an invitation lasts up to 90 days'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY';
  end if;
  if role_expires_at <= v_now or not isfinite(role_expires_at) then
    raise exception 'Cannot invite member: the role would end in the past'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY',
            hint = 'Leave role_expires_at null for a role without an end';
  end if;
  -- Nobody accepts a role that has ended.
  v_expires_at := least(v_now + expires_in, role_expires_at);
  v_role := bulwark_private.find_role(role, organization_id);
  if v_role.id = bulwark_private.super_admin_role() then
    raise exception 'Cannot invite member: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Invite as admin';
  end if;
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, role_expires_at),
      'invite member'
    );
  end if;

  update bulwark.invitations i
  set revoked_at = now()
  where i.organization_id = invite_member.organization_id
    and i.email = v_email
    and i.accepted_at is null
    and i.revoked_at is null;
  perform bulwark_private.require_room_for_invitation(invite_member.organization_id, v_email);
  insert into bulwark.invitations
    (organization_id, email, role_id, invited_by, created_at, expires_at, role_expires_at)
  values (
    invite_member.organization_id, v_email, v_role.id, v_caller, v_now, v_expires_at,
    invite_member.role_expires_at
  )
  returning id into v_invitation;
  insert into bulwark_private.invitation_accounts (invitation_id, user_id)
  select v_invitation, u.id from auth.users u where u.email = v_email;
  return query
    select v_invitation,
      case
        when not bulwark_private.announce_invitation(v_invitation)
        then bulwark_private.issue_invitation_token(v_invitation)
      end,
      v_expires_at;
end;
$$;
comment on function bulwark.invite_member(uuid, text, text, interval, timestamptz) is
  'Invites an e-mail address into an organization with a role (user:create and role:grant, rank
   as for grant_role) for up to 90 days. The role begins when the invitee accepts and lasts until
   role_expires_at (null: no end), when the invitation ends, too. The token (base64url, 256 bits)
   is returned only here; the application sends it. It is null if an endpoint for invitations
   sends it (capability webhooks). An earlier pending invitation of the same address is revoked.
   Errors: RBAC_PERMISSION_DENIED, RBAC_INVALID_EMAIL, RBAC_INVALID_EXPIRY, RBAC_UNKNOWN_ROLE,
   RBAC_ROLE_NOT_ASSIGNABLE, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_GRANT_OUTLIVES_GRANTER,
   RBAC_TOO_MANY_INVITATIONS, RBAC_UNKNOWN_ORGANIZATION, RBAC_MEMBERS_ARE_HOSTS.';

create function bulwark.revoke_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  select i.organization_id into v_organization
  from bulwark.invitations i where i.id = invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  if not found then
    v_organization := gen_random_uuid();
  end if;
  perform bulwark_private.require_permission_to_change('user:create', v_organization);
  update bulwark.invitations i
  set revoked_at = now()
  where i.id = invitation_id and i.accepted_at is null and i.revoked_at is null;
  if not found then
    raise exception 'Cannot revoke invitation: it is no longer pending'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List pending ones with list_invitations';
  end if;
end;
$$;
comment on function bulwark.revoke_invitation(uuid) is
  'Ends a pending invitation (user:create in its organization). Errors: RBAC_PERMISSION_DENIED,
   RBAC_INVITATION_INVALID.';

create trigger invitations_keep_columns
  before update on bulwark.invitations
  for each row execute function bulwark.keep_columns(
    'organization_id', 'email', 'role_id', 'invited_by', 'expires_at', 'role_expires_at'
  );

create policy "Inviters read what they sent, invitees what was sent to them"
  on bulwark.invitations for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('user:create')))
    or email = (select bulwark_private.confirmed_email())
  );

-- Departures: who left an organization. They end older invitations.
-- Protects against returning by an older invitation: with another address of the same account, with
-- the same address of another account, or beside a grant that expired.
-- SECURITY DEFINER: the triggers, because neither the role that revokes a grant nor Supabase Auth
--   may write invitations; cleanup_invitations, because no API role may.

-- No foreign keys to accounts, because rows of both tables outlive them.
create table bulwark_private.departures (
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  user_id uuid not null,
  left_at timestamptz not null,
  primary key (organization_id, user_id)
);
comment on table bulwark_private.departures is
  'When an account left an organization. Kept as long as an earlier invitation could be valid. Not
   audited: the end of each grant is.';

create table bulwark_private.invitation_accounts (
  invitation_id uuid not null references bulwark.invitations (id) on delete cascade,
  user_id uuid not null,
  primary key (invitation_id, user_id)
);
comment on table bulwark_private.invitation_accounts is
  'The accounts that had the invited address while the invitation was pending. Not audited: accounts
   and invitations are.';
create index invitation_accounts_user_id_idx on bulwark_private.invitation_accounts (user_id);

alter table bulwark_private.departures enable row level security;
alter table bulwark_private.invitation_accounts enable row level security;

create function bulwark_private.depart(user_id uuid, organization_id uuid, left_at timestamptz)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.departures as d (organization_id, user_id, left_at)
  values (depart.organization_id, depart.user_id, depart.left_at)
  on conflict on constraint departures_pkey do update
    set left_at = greatest(d.left_at, excluded.left_at);
  update bulwark.invitations i
  set revoked_at = clock_timestamp()
  where i.organization_id = depart.organization_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.created_at <= depart.left_at
    -- By the account's present address, and by every address at which it was ever invited.
    and i.email in (
      select lower(u.email) from auth.users u where u.id = depart.user_id
      union
      select e.email
      from bulwark_private.invitation_accounts a
      join bulwark.invitations e on e.id = a.invitation_id
      where a.user_id = depart.user_id
    );
end;
$$;
comment on function bulwark_private.depart(uuid, uuid, timestamptz) is
  'Records that an account left an organization, and revokes its earlier invitations there.';

create function bulwark_private.has_departed_since(
  user_id uuid,
  invitation bulwark.invitations
)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark_private.departures d
    where d.organization_id = invitation.organization_id
      and d.left_at >= invitation.created_at
      and (
        d.user_id = has_departed_since.user_id
        or d.user_id in (
          select a.user_id from bulwark_private.invitation_accounts a
          where a.invitation_id = invitation.id
        )
      )
  ) or exists (
    -- An expired grant keeps its row until somebody deletes it.
    select from bulwark.user_roles g
    where g.user_id = has_departed_since.user_id
      and g.organization_id = invitation.organization_id
      and g.expires_at between invitation.created_at and now()
  ) and not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = has_departed_since.user_id
      and g.organization_id = invitation.organization_id
  );
end;
$$;
comment on function bulwark_private.has_departed_since(uuid, bulwark.invitations) is
  'Whether a user, or another account that had the invited address, left the organization after the
   invitation was created: by removal, deletion of the account, or expiry of the grant.';

create function bulwark_private.user_roles_note_departures()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that revokes may not write invitations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan kept from small tables would read all grants for each member
  set jit = off
as $$
begin
  perform bulwark_private.depart(c.user_id, c.organization_id, c.left_at)
  from (
    select
      o.user_id, o.organization_id,
      max(least(coalesce(o.expires_at, 'infinity'), clock_timestamp())) as left_at
    from changed o
    group by o.user_id, o.organization_id
  ) c
  -- The organization itself may be in deletion, with its invitations.
  where exists (select from bulwark.organizations o where o.id = c.organization_id)
    and not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = c.user_id and g.organization_id = c.organization_id
    );
  return null;
end;
$$;
comment on function bulwark_private.user_roles_note_departures() is
  'Trigger: records departures, so that removed members cannot return by an older invitation.';

create function bulwark_private.note_invited_account()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not read invitations
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a sign-up or a change of address must not wait for long
as $$
begin
  insert into bulwark_private.invitation_accounts (invitation_id, user_id)
  select i.id, new.id
  from bulwark.invitations i
  where i.email = lower(new.email) and i.accepted_at is null and i.revoked_at is null
  on conflict do nothing;
  if tg_op = 'UPDATE' and new.deleted_at is not null and old.deleted_at is null then
    perform bulwark_private.depart(new.id, g.organization_id, clock_timestamp())
    from (
      select distinct g.organization_id
      from bulwark_private.unexpired_grants g
      where g.user_id = new.id and g.organization_id is not null
      order by 1
    ) g;
  end if;
  return null;
exception
  -- An error here must not make a sign-up fail.
  when others then
    raise warning 'Cannot note whom an invitation has reached: %', sqlstate;
    return null;
end;
$$;
comment on function bulwark_private.note_invited_account() is
  'Trigger: records accounts that have an invited address. A soft deletion is a departure.';

create trigger user_roles_note_departures
  after delete on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_note_departures();
create function bulwark_private.watch_invited_accounts()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  create or replace trigger bulwark_invited_account
    after insert or update of email, deleted_at on auth.users
    for each row execute function bulwark_private.note_invited_account();
end;
$$;
comment on function bulwark_private.watch_invited_accounts() is
  'Creates the trigger on auth.users. Called again after a restore, because backups leave it out.';
select bulwark_private.watch_invited_accounts();

insert into bulwark.settings (name, value, description) values
  ('rbac.invitation_retention_days', '90',
    'How long an invitation is kept after it was accepted, was revoked or has expired');

create function bulwark.cleanup_invitations()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('rbac.invitation_retention_days'))::integer
  );
  v_forgotten bigint;
begin
  -- Rows that somebody has locked are left for the next run.
  delete from bulwark.invitations i
  where i.id in (
    select o.id from bulwark.invitations o
    where least(coalesce(o.accepted_at, o.revoked_at, o.expires_at), o.expires_at) < v_before
    for update skip locked
  );
  get diagnostics v_forgotten = row_count;
  -- No invitation is valid for longer than 90 days.
  delete from bulwark_private.departures d
  where (d.organization_id, d.user_id) in (
    select o.organization_id, o.user_id from bulwark_private.departures o
    where o.left_at < now() - interval '91 days'
    for update skip locked
  );
  return v_forgotten;
end;
$$;
comment on function bulwark.cleanup_invitations() is
  'Deletes invitations, with their addresses, rbac.invitation_retention_days after they ended.
   Returns how many. For the scheduler (service role only).';

insert into bulwark_private.jobs (name, every, command) values
  ('rbac-cleanup', '1 hour', 'select bulwark.cleanup_invitations()');

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

-- Keys of organizations: hosts whose own tables have bigint or text keys, and the ids of ours.
-- Protects against two keys that share an id: the id is a hash of the key, the table refuses a
-- second key for it, and a text key in the form of such an id is refused. Also against a new
-- organization with the key of a deleted one, whose log and security events it would read.
-- No function here is SECURITY DEFINER.

create table bulwark_private.organization_keys (
  organization_id uuid primary key references bulwark.organizations (id) on delete cascade,
  key text not null unique
);
comment on table bulwark_private.organization_keys is
  'The key that each organization has in the table of the host (bulwark.use_organizations), as text.
   Not audited: the organizations are.';
alter table bulwark_private.organization_keys enable row level security;

create function bulwark_private.organization_of(key text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := bulwark_private.uuid_or_null(key);
  v_hash text;
begin
  if v_id is not null then
    return v_id;
  end if;
  v_hash := encode(sha256(convert_to('bulwark.organizations/' || key, 'UTF8')), 'hex');
  -- RFC 9562, version 8: the digits for version and variant are fixed, the others are the hash.
  return (
    left(v_hash, 12) || '8' || substr(v_hash, 13, 3) || '8' || substr(v_hash, 16, 15)
  )::uuid;
end;
$$;
comment on function bulwark_private.organization_of(text) is
  'The id of the organization with a key of the host: a UUID itself, for any other text 120 bits of
   its SHA-256 as a UUID of version 8. The same in every database and at all times. Whether the
   organization exists is not asked.';

create function bulwark_private.is_hashed_id(key text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.uuid_or_null(key)::text ~ '^.{14}8.{4}8' is true;
$$;
comment on function bulwark_private.is_hashed_id(text) is
  'Whether a text has the form of the ids that bulwark_private.organization_of makes. As the key of
   one organization it could take the id of another.';

create function bulwark_private.require_plain_key(key text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.uuid_or_null(key)::text <> key then
    raise exception 'Cannot follow the key of an organization: it is a UUID with capital letters'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Write UUIDs in columns of text in lower case';
  end if;
end;
$$;
comment on function bulwark_private.require_plain_key(text) is
  'Raises RBAC_HOST_KEY_REFUSED for a second spelling of a UUID: rows that name one organization by
   two keys would change each other''s members.';

create table bulwark_private.former_organizations (
  organization_id uuid primary key
);
comment on table bulwark_private.former_organizations is
  'The ids of deleted organizations. No other one gets such an id: it would read the log of the
   first. Not audited: the deletions are.';
alter table bulwark_private.former_organizations enable row level security;

create function bulwark_private.organizations_note_deletion()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.former_organizations (organization_id)
  select c.id from changed c
  on conflict do nothing;
  return null;
end;
$$;
comment on function bulwark_private.organizations_note_deletion() is
  'Trigger: records the ids of deleted organizations.';

create function bulwark_private.organizations_refuse_id()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The UUID of zeros stands for the installation, in indexes of keys and endpoints.
  if new.id = '00000000-0000-0000-0000-000000000000' then
    raise exception 'Cannot make organization: no organization has the UUID of zeros'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
  if bulwark_private.setting('rbac.reuse_organization_keys') is distinct from 'true' and exists (
    select from bulwark_private.former_organizations f where f.organization_id = new.id
  ) then
    raise exception 'Cannot make organization: another one had its key and was deleted'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Use a new key: with this one, the organization could read the log of the other';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.organizations_refuse_id() is
  'Trigger: an id is used once, unless the setting rbac.reuse_organization_keys says otherwise.
   Errors: RBAC_HOST_KEY_REFUSED.';

create trigger organizations_refuse_id
  before insert on bulwark.organizations
  for each row execute function bulwark_private.organizations_refuse_id();
create trigger organizations_note_deletion
  after delete on bulwark.organizations referencing old table as changed
  for each statement execute function bulwark_private.organizations_note_deletion();

create function bulwark.organization_id(key text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.organization_of(key);
end;
$$;
comment on function bulwark.organization_id(text) is
  'The id of the organization with a key of your own table (bulwark.use_organizations), for
   functions that take one: organization_id(team_id::text). A UUID is its own id. It is computed and
   says nothing about whether the organization exists.';

-- Tables of the host that Bulwark follows by triggers: which ones can be followed, and the lock
-- that their writers take.
-- Protects against changes that a trigger would not see, and against deadlocks with the deletion of
-- accounts.
-- SECURITY DEFINER: lock_host_rows, because writers of the table may not call lock_rights.

create function bulwark_private.require_host_table(target regclass)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if target is null then
    raise exception 'Cannot follow table: it is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from pg_catalog.pg_class c
    where c.oid = target
      and c.relkind = 'r'
      and c.relpersistence = 'p'
      and not c.relispartition
      and c.relnamespace::regnamespace::text not in (
        'bulwark', 'bulwark_private', 'pg_catalog', 'information_schema'
      )
      -- Triggers do not see what partitions and children lose or gain.
      and not exists (
        select from pg_catalog.pg_inherits i where c.oid in (i.inhrelid, i.inhparent)
      )
  ) then
    raise exception 'Cannot follow %: it is no ordinary table', target
      using errcode = 'wrong_object_type', detail = 'RBAC_HOST_TABLE_UNSUITABLE',
            hint = 'Views, partitions, parents, temporary and unlogged tables cannot be followed';
  end if;
end;
$$;
comment on function bulwark_private.require_host_table(regclass) is
  'Raises RBAC_HOST_TABLE_UNSUITABLE unless triggers on a table see every change of it.';

create function bulwark_private.require_host_column(
  target regclass,
  column_name text,
  types regtype[]
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
  v_type regtype;
begin
  select a.atttypid, t.typname into v_type, v_name
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_collation c on c.oid = a.attcollation
  where a.attrelid = target and a.attname = column_name and a.attnum > 0
    -- With other collations equal values may be different texts, and a change of one is missed.
    and c.collisdeterministic is not false;
  if v_type is null or v_type <> all (coalesce(types, array[v_type])) then
    raise exception 'Cannot follow %: it has no column % of a type that is supported',
      target, coalesce(quote_ident(column_name), 'null')
      using errcode = 'undefined_column', detail = 'RBAC_HOST_COLUMN_UNSUITABLE',
            hint = 'One of: ' || coalesce(array_to_string(types, ', '), 'any type');
  end if;
  return v_name;
end;
$$;
comment on function bulwark_private.require_host_column(regclass, text, regtype[]) is
  'The name of a column''s type in pg_type. Raises RBAC_HOST_COLUMN_UNSUITABLE if the table has no
   such column of one of the types (null: of any) with a deterministic collation.';

create function bulwark_private.host_key_types()
  returns regtype[]
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$ select '{uuid,bigint,integer,smallint,text,character varying}'::regtype[]; $$;
comment on function bulwark_private.host_key_types() is
  'The types that keys of organizations may have. Of each, equal keys are the same text.';

create function bulwark_private.is_unique_column(target regclass, column_name text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_index i on i.indrelid = a.attrelid
    where a.attrelid = target
      and a.attname = column_name
      and a.attnotnull
      and i.indisunique
      and i.indisvalid
      and i.indnkeyatts = 1
      and i.indkey[0] = a.attnum
      and i.indpred is null
  );
$$;
comment on function bulwark_private.is_unique_column(regclass, text) is
  'Whether a column is not null and unique by itself.';

-- Before the statement: it locks rows of the host, and the deletion of an account locks rights
-- before rows.
create function bulwark_private.lock_host_rows()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not call lock_rights
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(null);
  return null;
end;
$$;
comment on function bulwark_private.lock_host_rows() is
  'Trigger: a statement that writes a table of the host waits for the deletion of accounts before it
   locks a row.';

-- Organizations of the host: a table of the host's is where organizations are made, renamed and
-- deleted; triggers on it do the same here, in the same transaction.
-- Protects against rights in an organization that the host has deleted, against a key that changes
-- under an organization, and against the host's names and slugs that ours could not hold. A table
-- that was altered since fails closed: writes of it are refused until it is adopted again.
-- SECURITY DEFINER: the trigger functions, because writers of the host's table may not write
--   organizations.

create table bulwark_private.host_organizations (
  only_row boolean primary key default true check (only_row),
  relation regclass not null,
  key_column text not null,
  key_type text not null,
  name_column text not null,
  slug_column text,
  helper text
);
comment on table bulwark_private.host_organizations is
  'The table of the host that organizations follow (bulwark.use_organizations); no row: they are
   made by bulwark.create_organization.';
comment on column bulwark_private.host_organizations.helper is
  'The function of schema bulwark that policies of the host ask for keys in their own type; null for
   UUIDs, whose helper is organizations_with.';
alter table bulwark_private.host_organizations enable row level security;

create function bulwark_private.require_own_organizations()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation regclass;
begin
  select h.relation into v_relation from bulwark_private.host_organizations h;
  if found then
    raise exception 'Cannot change organizations here: the application makes them'
      using errcode = 'PT409', detail = 'RBAC_ORGANIZATIONS_ARE_HOSTS',
            hint = format('Write the table %s', v_relation);
  end if;
end;
$$;
comment on function bulwark_private.require_own_organizations() is
  'Raises RBAC_ORGANIZATIONS_ARE_HOSTS if organizations follow a table of the host.';

create function bulwark_private.require_host(relation oid)
  returns bulwark_private.host_organizations
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
begin
  select * into v_host
  from bulwark_private.host_organizations h
  where h.relation = require_host.relation
    and not exists (
      select from unnest(array[h.key_column, h.name_column, h.slug_column]) as c (name)
      where c.name is not null and not exists (
        select
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = h.relation and a.attname = c.name
          and (c.name <> h.key_column or t.typname = h.key_type)
      )
    );
  if not found then
    raise exception 'Cannot change %: it was altered since organizations follow it',
      relation::regclass
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_TABLE_CHANGED',
            hint = 'Call bulwark.use_organizations with its present columns';
  end if;
  return v_host;
end;
$$;
comment on function bulwark_private.require_host(oid) is
  'How organizations follow a table. Raises RBAC_HOST_TABLE_CHANGED if its columns are others now.';

create function bulwark_private.host_name(name text, organization_id uuid)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    nullif(btrim(left(btrim(regexp_replace(
      name, '[[:cntrl:]\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+', ' ', 'g'
    )), 120)), ''),
    organization_id::text
  );
$$;
comment on function bulwark_private.host_name(text, uuid) is
  'A name of the host as ours: without characters that do not print, cut to 120. The id if nothing
   is left.';

create function bulwark_private.host_slug(slug text, organization_id uuid)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when slug ~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$'
      -- Only the organization itself gets a slug that is made of its id.
      and slug !~ '^org-[0-9a-f]{8}-[0-9a-f]{4}-'
      and not exists (
        select from bulwark.organizations o
        where o.slug = host_slug.slug and o.id <> host_slug.organization_id
      )
    then slug
    else 'org-' || organization_id
  end;
$$;
comment on function bulwark_private.host_slug(text, uuid) is
  'A slug of the host as ours: org- and the id if it is missing, taken, or no slug.';

create function bulwark_private.rename_host_organization(
  organization_id uuid,
  name text,
  slug text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark.organizations o
  set name = rename_host_organization.name,
      slug = coalesce(rename_host_organization.slug, o.slug)
  where o.id = organization_id
    and (
      o.name <> rename_host_organization.name or o.slug <> rename_host_organization.slug
    );
exception when unique_violation then
  -- Another transaction took the slug meanwhile.
  update bulwark.organizations o
  set name = rename_host_organization.name,
      slug = bulwark_private.host_slug(null, organization_id)
  where o.id = organization_id;
end;
$$;
comment on function bulwark_private.rename_host_organization(uuid, text, text) is
  'Renames an organization if its name or slug is another one; slug null keeps it.';

create function bulwark_private.keep_host_organization(
  host bulwark_private.host_organizations,
  key text,
  name text,
  slug text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := bulwark_private.organization_of(key);
  v_made boolean;
  v_name constant text := bulwark_private.host_name(name, v_id);
  -- Without a column of slugs the caller gives any text.
  v_slug constant text := case when host.slug_column is not null then slug end;
begin
  perform bulwark_private.require_plain_key(key);
  if host.key_type <> 'uuid' and bulwark_private.is_hashed_id(key) then
    raise exception 'Cannot make organization: its key has the form of an id of Bulwark'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose a key that is no UUID';
  end if;
  insert into bulwark.organizations (id, name, slug, created_by)
  values (v_id, v_name, bulwark_private.host_slug(v_slug, v_id), bulwark.current_person())
  on conflict do nothing;
  v_made := found;
  if not v_made and exists (select from bulwark.organizations o where o.id = v_id) then
    perform bulwark_private.rename_host_organization(
      v_id, v_name,
      case when host.slug_column is not null then bulwark_private.host_slug(v_slug, v_id) end
    );
  elsif not v_made then
    -- Another transaction took the slug meanwhile. Nobody else's is made of this id.
    insert into bulwark.organizations (id, name, slug, created_by)
    values (v_id, v_name, bulwark_private.host_slug(null, v_id), bulwark.current_person());
  end if;
  insert into bulwark_private.organization_keys (organization_id, key)
  values (v_id, keep_host_organization.key)
  on conflict on constraint organization_keys_pkey do nothing;
  if found then
    -- Its members may be there already, if the host's foreign key is deferred.
    perform bulwark_private.follow_members_of(key);
  elsif not exists (
    select from bulwark_private.organization_keys k
    where k.organization_id = v_id and k.key = keep_host_organization.key
  ) then
    raise exception 'Cannot make organization: another key has its id'
      using errcode = 'unique_violation', detail = 'RBAC_HOST_KEY_REFUSED',
        hint = 'Choose another key';
  end if;
end;
$$;
comment on function bulwark_private.keep_host_organization(
  bulwark_private.host_organizations, text, text, text
) is
  'Makes the organization of a row of the host, or renames it. Errors: RBAC_HOST_KEY_REFUSED.';

create function bulwark_private.delete_host_organization(organization_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- the cascades keep their plans, too
  set jit = off
as $$
begin
  perform bulwark_private.lock_rights(organization_id, exclusively => true);
  delete from bulwark.organizations o where o.id = organization_id;
end;
$$;
comment on function bulwark_private.delete_host_organization(uuid) is
  'Deletes an organization whose row the host has deleted, after everybody who acts on rights
   there.';

-- Statement by statement, so that organizations are locked in the order of their ids.
create function bulwark_private.follow_host_organizations()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_organizations := bulwark_private.require_host(tg_relid);
  v_key text;
  v_name text;
  v_slug text;
begin
  if tg_op = 'TRUNCATE' then
    perform bulwark_private.lock_rights_of_many(
      (select count(*) from bulwark_private.organization_keys)
    );
    perform bulwark_private.delete_host_organization(k.organization_id)
    from (select * from bulwark_private.organization_keys order by organization_id) k;
    return null;
  end if;
  perform bulwark_private.lock_rights_of_many((select count(*) from changed));
  for v_key, v_name, v_slug in
    execute format(
      'select c.%1$I::text, c.%2$I::text, c.%3$I::text
       from changed c order by bulwark_private.organization_of(c.%1$I::text)',
      v_host.key_column, v_host.name_column, coalesce(v_host.slug_column, v_host.name_column)
    )
  loop
    if tg_op = 'INSERT' then
      perform bulwark_private.keep_host_organization(v_host, v_key, v_name, v_slug);
    else
      perform bulwark_private.delete_host_organization(bulwark_private.organization_of(v_key));
    end if;
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.follow_host_organizations() is
  'Trigger: makes and deletes the organizations of rows that the host has inserted and deleted.
   Errors: RBAC_HOST_TABLE_CHANGED, RBAC_HOST_KEY_REFUSED.';

create function bulwark_private.follow_host_name()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write organizations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_organizations := bulwark_private.require_host(tg_relid);
  v_key text;
  v_key_before text;
  v_name text;
  v_slug text;
begin
  execute format(
    'select ($1).%1$I::text, ($2).%1$I::text, ($2).%2$I::text, ($2).%3$I::text',
    v_host.key_column, v_host.name_column, coalesce(v_host.slug_column, v_host.name_column)
  ) into v_key_before, v_key, v_name, v_slug using old, new;
  if v_key is distinct from v_key_before then
    raise exception 'Cannot change the key of an organization: its log and its data name it'
      using errcode = 'check_violation', detail = 'RBAC_HOST_KEY_REFUSED',
            hint = 'Make another one, and delete this one';
  end if;
  perform bulwark_private.keep_host_organization(v_host, v_key, v_name, v_slug);
  return null;
end;
$$;
comment on function bulwark_private.follow_host_name() is
  'Trigger: renames the organization of a row; its key never changes. Errors:
   RBAC_HOST_TABLE_CHANGED, RBAC_HOST_KEY_REFUSED.';

-- Adopting a table of the host as the one where organizations are made.
-- Protects against adopting half of it: rows are taken over and triggers created under one lock.
-- SECURITY DEFINER: the helper of policies that make_host_helper creates, because clients may not
--   read the keys. Nothing else here; all of it is the owner's.

create function bulwark_private.host_organization_triggers()
  returns table (relation regclass, name text)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select h.relation, 'bulwark_organizations_' || t
  from bulwark_private.host_organizations h
  cross join unnest('{lock,insert,update,delete,truncate}'::text[]) as t;
$$;
comment on function bulwark_private.host_organization_triggers() is
  'The triggers by which organizations follow a table of the host.';

create function bulwark_private.watch_host_organizations()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_changed text;
  v_host bulwark_private.host_organizations;
begin
  select * into v_host from bulwark_private.host_organizations;
  if not found then
    return;
  end if;
  select string_agg(format('old.%1$I is distinct from new.%1$I', c), ' or ') into v_changed
  from unnest(array[v_host.key_column, v_host.name_column, v_host.slug_column]) as c
  where c is not null;
  execute format(
    'create or replace trigger bulwark_organizations_lock
      before insert or update or delete or truncate on %1$s
      for each statement execute function bulwark_private.lock_host_rows();
    create or replace trigger bulwark_organizations_insert
      after insert on %1$s referencing new table as changed
      for each statement execute function bulwark_private.follow_host_organizations();
    create or replace trigger bulwark_organizations_update
      after update on %1$s for each row when (%2$s)
      execute function bulwark_private.follow_host_name();
    create or replace trigger bulwark_organizations_delete
      after delete on %1$s referencing old table as changed
      for each statement execute function bulwark_private.follow_host_organizations();
    create or replace trigger bulwark_organizations_truncate
      after truncate on %1$s
      for each statement execute function bulwark_private.follow_host_organizations()',
    v_host.relation, v_changed
  );
end;
$$;
comment on function bulwark_private.watch_host_organizations() is
  'Creates the triggers by which organizations follow a table of the host, and enables them.';

create function bulwark_private.make_host_helper(
  helper text,
  relation regclass,
  key_type text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if helper !~ '^[a-z][a-z0-9_]{0,62}$' then
    raise exception 'Cannot make the helper of policies: % is no plain name', quote_ident(helper)
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_NAME',
            hint = 'Name it: helper => ''team_ids''';
  end if;
  if exists (
    select from pg_catalog.pg_proc p
    where p.pronamespace = 'bulwark'::regnamespace
      and p.proname = helper
      and (obj_description(p.oid, 'pg_proc') ~ '^Made by use_organizations:') is not true
  ) then
    raise exception 'Cannot make the helper of policies: there is another function bulwark.%',
      helper
      using errcode = 'duplicate_function', detail = 'RBAC_HOST_HELPER_TAKEN',
            hint = 'Name it: helper => ''team_ids''';
  end if;
  execute format(
    'create or replace function bulwark.%2$I(permission text)
      returns setof %3$I
      language plpgsql
      stable
      parallel safe
      rows 10
      security definer
      set search_path = pg_catalog, pg_temp
      set plan_cache_mode = force_generic_plan
    as $body$
    begin
      return query
        select k.key::%3$I
        from bulwark.organizations_with($1) as o (id)
        join bulwark_private.organization_keys k on k.organization_id = o.id;
    end;
    $body$;
    revoke all on function bulwark.%2$I(text) from public, anon, authenticated, service_role;
    grant execute on function bulwark.%2$I(text) to authenticated, api_key;
    alter function bulwark.%2$I(text) owner to %1$s;
    comment on function bulwark.%2$I(text) is %4$L',
    (
      select c.relowner::regrole from pg_catalog.pg_class c
      where c.oid = 'bulwark.organizations'::regclass
    ),
    helper, key_type,
    format(
      'Made by use_organizations: the keys in %s of the organizations that organizations_with '
        'returns, for policies in the array form. Errors: RBAC_UNKNOWN_PERMISSION.', relation
    )
  );
end;
$$;
comment on function bulwark_private.make_host_helper(text, regclass, text) is
  'Makes the function that returns organizations_with in the keys of the host. It reads the keys as
   the owner, since clients may not. Errors: RBAC_HOST_HELPER_TAKEN, RBAC_INVALID_NAME.';

create function bulwark_private.take_over_organizations(
  host bulwark_private.host_organizations,
  repeated boolean
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_foreign uuid;
  v_key text;
  v_name text;
  v_slug text;
begin
  for v_foreign in
    execute format(
      'select o.id from bulwark.organizations o
       left join only %1$s t on bulwark_private.organization_of(t.%2$I::text) = o.id
       where t.%2$I is null order by o.id',
      host.relation, host.key_column
    )
  loop
    if not repeated then
      raise exception 'Cannot follow %: there are organizations that are not in it', host.relation
        using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_IN_USE',
              hint = format('Delete them, or insert rows for them, first %s', v_foreign);
    end if;
    perform bulwark_private.delete_host_organization(v_foreign);
  end loop;
  for v_key, v_name, v_slug in
    execute format(
      'select t.%1$I::text, t.%2$I::text, t.%3$I::text
       from only %4$s t order by bulwark_private.organization_of(t.%1$I::text)',
      host.key_column, host.name_column, coalesce(host.slug_column, host.name_column),
      host.relation
    )
  loop
    perform bulwark_private.keep_host_organization(host, v_key, v_name, v_slug);
  end loop;
end;
$$;
comment on function bulwark_private.take_over_organizations(
  bulwark_private.host_organizations, boolean
) is
  'Makes organizations of the rows that the host has. Others are an error, if the table is followed
   for the first time, and are deleted otherwise: their rows are gone.';

create function bulwark.use_organizations(
  target regclass,
  id text default 'id',
  name text default 'name',
  slug text default null,
  helper text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
  v_known regclass;
  v_texts constant regtype[] := array_remove(array[
    'text', 'character varying', to_regtype('extensions.citext'), to_regtype('public.citext')
  ]::regtype[], null);
begin
  perform bulwark_private.require_host_table(target);
  v_host := row(
    true, target, id,
    bulwark_private.require_host_column(target, id, bulwark_private.host_key_types()),
    name, slug, helper
  );
  perform bulwark_private.require_host_column(target, name, v_texts);
  if slug is not null then
    perform bulwark_private.require_host_column(target, slug, v_texts);
  end if;
  if not bulwark_private.is_unique_column(target, id) then
    raise exception 'Cannot follow %: % is not unique, or may be null', target, quote_ident(id)
      using errcode = 'invalid_table_definition', detail = 'RBAC_HOST_COLUMN_UNSUITABLE',
            hint = 'It must be not null, and the primary key or unique by itself';
  end if;
  -- Rights before rows. No row is written between reading the table and watching it.
  perform bulwark_private.lock_rights(null, exclusively => true);
  execute format('lock table %s in share row exclusive mode', target);
  select h.relation into v_known from bulwark_private.host_organizations h;
  if v_known <> target then
    raise exception 'Cannot follow %: organizations follow % already', target, v_known
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_IN_USE',
            hint = 'Call bulwark.release_organizations first';
  end if;
  if v_host.helper is null and v_host.key_type <> 'uuid' then
    v_host.helper := (
      select format('%s_ids', regexp_replace(
        regexp_replace(lower(c.relname), 'ies$', 'y'), 's$', ''
      ))
      from pg_catalog.pg_class c where c.oid = target
    );
  end if;
  if v_host.helper is not null then
    perform bulwark_private.make_host_helper(v_host.helper, target, v_host.key_type);
  end if;
  delete from bulwark_private.host_organizations;
  insert into bulwark_private.host_organizations select v_host.*;
  perform bulwark_private.watch_host_organizations();
  perform bulwark_private.take_over_organizations(v_host, v_known is not null);
end;
$$;
comment on function bulwark.use_organizations(regclass, text, text, text, text) is
  'Takes organizations from a table of yours: ours are made, renamed and deleted with its rows, in
   the same transaction, and its rows are taken over. id: a unique column (uuid, bigint, integer,
   smallint, text); name and slug: columns of text, slug null: org- and the id. helper: the name of
   the function of policies that returns keys of your type, as in
   team_id = any (array(select bulwark.team_ids(''analytics:read''))); null: made of the table''s
   name, none for UUIDs. For the owner (migrations). Call it again after altering the table, and to
   repair what was written while its triggers were disabled. Errors: RBAC_HOST_TABLE_UNSUITABLE,
   RBAC_HOST_COLUMN_UNSUITABLE, RBAC_HOST_IN_USE, RBAC_HOST_HELPER_TAKEN, RBAC_HOST_KEY_REFUSED.';

create function bulwark.release_organizations()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.relation, t.name
    from bulwark_private.host_organization_triggers() t
    join pg_catalog.pg_class c on c.oid = t.relation
  loop
    execute format('drop trigger if exists %I on %s', v_trigger.name, v_trigger.relation);
  end loop;
  delete from bulwark_private.host_organizations;
end;
$$;
comment on function bulwark.release_organizations() is
  'Organizations no longer follow a table of yours: bulwark.create_organization makes them again.
   Those that exist stay, with their keys, and so does the function of policies.';

create function bulwark_private.host_row_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_organizations;
begin
  select * into v_host from bulwark_private.host_organizations;
  if not found then
    return;
  end if;
  begin
    perform bulwark_private.require_host_table(v_host.relation);
    v_host := bulwark_private.require_host(v_host.relation);
  exception when wrong_object_type or object_not_in_prerequisite_state then
    return query select 'table_altered', v_host.relation::text;
    return;
  end;
  return query
    select 'trigger_missing', format('%s on %s', t.name, t.relation)
    from bulwark_private.host_organization_triggers() t
    where not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = t.relation and g.tgname = t.name and g.tgenabled in ('O', 'A')
        and g.tgfoid::regproc::text ~ '^bulwark_private\.(lock_host_rows|follow_host_)'
    )
    union all
    select 'key_not_unique', format('%s.%I', v_host.relation, v_host.key_column)
    where not bulwark_private.is_unique_column(v_host.relation, v_host.key_column)
    union all
    select 'helper_missing', format('bulwark.%I(text)', v_host.helper)
    where v_host.helper is not null
      and to_regprocedure(format('bulwark.%I(text)', v_host.helper)) is null;
  return query execute format(
    'select case when o.id is null then %3$L else %4$L end, coalesce(t.%2$I::text, o.id::text)
     from bulwark.organizations o
     full join only %1$s t on bulwark_private.organization_of(t.%2$I::text) = o.id
     where o.id is null or t.%2$I is null',
    v_host.relation, v_host.key_column, 'organization_missing', 'row_missing'
  );
end;
$$;
comment on function bulwark_private.host_row_problems() is
  'Where organizations no longer follow the table of the host.';

create function bulwark_private.host_organization_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select p.problem, p.object from bulwark_private.host_row_problems() p
    union all
    select p.problem, p.object from bulwark_private.host_member_problems() p;
end;
$$;
comment on function bulwark_private.host_organization_problems() is
  'Where Bulwark no longer follows the tables of the host: table_altered, trigger_missing,
   key_not_unique, index_missing, helper_missing, organization_missing (a row without one),
   row_missing (an organization without one), grant_missing, grant_left. bulwark.use_organizations
   and bulwark.use_members repair all but the index and the key.';

-- Members of the host: tables of the host's say who is a member of which organization; triggers on
-- them grant and revoke the roles here, in the same transaction.
-- Protects against a member who was removed there and still may here, also if two rows of one
-- member change at once: the grants are computed from the rows behind the lock of the
-- organization's rights. A table that was altered since fails closed.
-- SECURITY DEFINER: the trigger functions, because writers of the host's tables and Supabase Auth
--   may not write grants.

create table bulwark_private.host_members (
  relation regclass primary key,
  organization_column text not null,
  organization_type text not null,
  member_column text not null,
  role_column text,
  roles jsonb not null,
  otherwise text,
  check (role_column is not null or otherwise is not null)
);
comment on table bulwark_private.host_members is
  'The tables of the host that say who is a member (bulwark.use_members).';
comment on column bulwark_private.host_members.roles is
  'The system role of each value of role_column; null: none.';
comment on column bulwark_private.host_members.otherwise is
  'The system role of other values, or of every row if role_column is null.';
alter table bulwark_private.host_members enable row level security;

create function bulwark_private.require_own_members()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from bulwark_private.host_members) then
    raise exception 'Cannot invite members here: the application makes them'
      using errcode = 'PT409', detail = 'RBAC_MEMBERS_ARE_HOSTS', hint = (
        select 'Write the table ' || string_agg(h.relation::text, ', ' order by h.relation::text)
        from bulwark_private.host_members h
      );
  end if;
end;
$$;
comment on function bulwark_private.require_own_members() is
  'Raises RBAC_MEMBERS_ARE_HOSTS if members follow a table of the host.';

create function bulwark_private.require_no_host_grant(
  user_id uuid,
  role_id uuid,
  organization_id uuid
)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from bulwark.user_roles g
    where g.user_id = require_no_host_grant.user_id
      and g.role_id = require_no_host_grant.role_id
      and g.organization_id = require_no_host_grant.organization_id
      and g.source = 'host'
  ) then
    raise exception 'Cannot revoke role: the application grants it'
      using errcode = 'PT409', detail = 'RBAC_GRANT_IS_HOSTS', hint = (
        select 'Change the row in ' || string_agg(h.relation::text, ', ' order by h.relation::text)
        from bulwark_private.host_members h
      );
  end if;
end;
$$;
comment on function bulwark_private.require_no_host_grant(uuid, uuid, uuid) is
  'Raises RBAC_GRANT_IS_HOSTS if a grant follows a row of the host.';

create function bulwark_private.host_role(host bulwark_private.host_members, value text)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant text := case
    when host.role_column is not null and host.roles ? value then host.roles ->> value
    else host.otherwise
  end;
begin
  if host.role_column is not null and value is null then
    return null;
  end if;
  if v_name is null and (host.roles ? value) is not true then
    raise exception 'Cannot follow %: its role "%" stands for none here',
      host.relation, left(value, 64)
      using errcode = 'check_violation', detail = 'RBAC_HOST_ROLE_UNKNOWN',
            hint = 'Name it in roles, or a role for others in otherwise, of bulwark.use_members';
  end if;
  return case when v_name is not null then (bulwark_private.find_role(v_name, null)).id end;
end;
$$;
comment on function bulwark_private.host_role(bulwark_private.host_members, text) is
  'The system role for a value of the host''s role column; null: none. Errors:
   RBAC_HOST_ROLE_UNKNOWN, RBAC_UNKNOWN_ROLE.';

create function bulwark_private.require_members_host(relation oid)
  returns bulwark_private.host_members
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  select * into v_host
  from bulwark_private.host_members h
  where h.relation = require_members_host.relation
    and not exists (
      select from unnest(array[h.organization_column, h.member_column, h.role_column]) as c (name)
      where c.name is not null and not exists (
        select
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = h.relation and a.attname = c.name
          and (c.name <> h.organization_column or t.typname = h.organization_type)
      )
    );
  if not found then
    raise exception 'Cannot change %: it was altered since members follow it', relation::regclass
      using errcode = 'object_not_in_prerequisite_state', detail = 'RBAC_HOST_TABLE_CHANGED',
            hint = 'Call bulwark.use_members with its present columns';
  end if;
  return v_host;
end;
$$;
comment on function bulwark_private.require_members_host(oid) is
  'How members follow a table. Raises RBAC_HOST_TABLE_CHANGED if its columns are others now.';

create function bulwark_private.may_be_member(user_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from auth.users u
    where u.id = may_be_member.user_id
      -- Through jsonb, because older versions of Supabase Auth lack the column.
      and (
        (to_jsonb(u) -> 'is_anonymous') is distinct from 'true'
        or bulwark_private.setting('rbac.anonymous_members') = 'true'
      )
  );
$$;
comment on function bulwark_private.may_be_member(uuid) is
  'Whether an account exists and is not anonymous, or anonymous ones may be members.';

create function bulwark_private.host_grants(key text default null, members uuid[] default null)
  returns table (organization_id uuid, user_id uuid, role_id uuid)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  for v_host in select * from bulwark_private.host_members loop
    v_host := bulwark_private.require_members_host(v_host.relation);
    for organization_id, user_id, role_id in
      execute format(
        'select r.organization_id, r.user_id, r.role_id
         from (
           select bulwark_private.organization_of(m.%1$I::text) as organization_id,
             m.%2$I as user_id, bulwark_private.host_role($3, m.%3$I::text) as role_id
           from only %4$s m
           where ($1 is null or m.%1$I = $1::%5$I) and ($2 is null or m.%2$I = any ($2))
           group by m.%1$I, m.%2$I, m.%3$I
         ) r
         where r.role_id is not null and bulwark_private.may_be_member(r.user_id)',
        v_host.organization_column, v_host.member_column,
        coalesce(v_host.role_column, v_host.member_column), v_host.relation,
        v_host.organization_type
      ) using key, members, v_host
    loop
      return next;
    end loop;
  end loop;
end;
$$;
comment on function bulwark_private.host_grants(text, uuid[]) is
  'The grants that follow from the host''s rows: of some members in the organization with a key, or
   all. Whether the organization exists is not asked. Errors: RBAC_HOST_ROLE_UNKNOWN,
   RBAC_HOST_TABLE_CHANGED.';

-- From all rows of the members, behind the lock: a concurrent change of another row has been
-- committed by then, and is seen.
create function bulwark_private.follow_members(key text, members uuid[])
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization constant uuid := bulwark_private.organization_of(key);
  v_roles uuid[];
  v_users uuid[];
begin
  perform bulwark_private.require_plain_key(key);
  perform bulwark_private.lock_rights(v_organization, exclusively => true);
  if not exists (select from bulwark.organizations o where o.id = v_organization) then
    return;
  end if;
  select array_agg(g.user_id), array_agg(g.role_id) into v_users, v_roles
  from bulwark_private.host_grants(key, members) g;
  -- First the new ones, so that a change of role is no departure.
  insert into bulwark.user_roles (user_id, role_id, organization_id, granted_by, source)
  select w.user_id, w.role_id, v_organization, bulwark.current_person(), 'host'
  from unnest(v_users, v_roles) as w (user_id, role_id)
  on conflict on constraint user_roles_is_granted_once do nothing;
  -- With the last row of a member everything ends that was granted beside it.
  delete from bulwark.user_roles g
  where g.organization_id = v_organization
    and g.user_id in (select unnest(members))
    and case g.source
      when 'host' then (g.user_id, g.role_id) not in (select * from unnest(v_users, v_roles))
      else g.user_id not in (select unnest(v_users)) and exists (
        select from bulwark.user_roles h
        where h.user_id = g.user_id and h.organization_id = v_organization and h.source = 'host'
      )
    end;
end;
$$;
comment on function bulwark_private.follow_members(text, uuid[]) is
  'Grants members of an organization the roles of the host''s rows, and revokes the rest.';

create function bulwark_private.follow_members_of(key text default null, member uuid default null)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
  v_key text;
  v_members uuid[];
begin
  for v_host in select * from bulwark_private.host_members loop
    v_host := bulwark_private.require_members_host(v_host.relation);
    for v_key, v_members in
      execute format(
        'select m.%2$I::text, array_agg(distinct m.%3$I)
         from only %1$s m
         where m.%2$I is not null and m.%3$I is not null
           and ($1 is null or m.%2$I = $1::%4$I) and ($2 is null or m.%3$I = $2)
         group by m.%2$I
         order by bulwark_private.organization_of(m.%2$I::text)',
        v_host.relation, v_host.organization_column, v_host.member_column,
        v_host.organization_type
      ) using key, member
    loop
      perform bulwark_private.follow_members(v_key, v_members);
    end loop;
  end loop;
end;
$$;
comment on function bulwark_private.follow_members_of(text, uuid) is
  'bulwark_private.follow_members for one organization, the organizations of one account, or all.';

create function bulwark_private.follow_granted()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights_of_many((
    select count(distinct g.organization_id) from bulwark.user_roles g where g.source = 'host'
  ));
  perform bulwark_private.follow_members(coalesce(k.key, g.organization_id::text), g.members)
  from (
    select r.organization_id, array_agg(distinct r.user_id) as members
    from bulwark.user_roles r where r.source = 'host'
    group by 1
    order by 1
  ) g
  left join bulwark_private.organization_keys k on k.organization_id = g.organization_id;
end;
$$;
comment on function bulwark_private.follow_granted() is
  'bulwark_private.follow_members for everybody who has a grant of the host''s, so that those
   without a row lose it.';

-- Statement by statement, so that organizations are locked in the order of their ids.
create function bulwark_private.follow_host_members()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant bulwark_private.host_members := bulwark_private.require_members_host(tg_relid);
  v_columns constant text := format(
    'select m.%I::text as key, m.%I as member, m.%I::text as role from ',
    v_host.organization_column, v_host.member_column,
    coalesce(v_host.role_column, v_host.member_column)
  );
  v_new constant text := v_columns || 'new_rows m';
  v_old constant text := v_columns || 'old_rows m';
  v_changed constant text := case tg_op
    when 'INSERT' then v_new
    when 'DELETE' then v_old
    else format('(%1$s except %2$s) union (%2$s except %1$s)', v_old, v_new)
  end;
  v_organizations bigint;
  v_key text;
  v_members uuid[];
begin
  if tg_op = 'TRUNCATE' then
    perform bulwark_private.follow_granted();
    return null;
  end if;
  execute format('select count(distinct c.key) from (%s) c', v_changed) into v_organizations;
  perform bulwark_private.lock_rights_of_many(v_organizations);
  for v_key, v_members in
    execute format(
      'select c.key, array_agg(distinct c.member)
       from (%s) c where c.key is not null and c.member is not null
       group by 1 order by bulwark_private.organization_of(c.key)',
      v_changed
    )
  loop
    perform bulwark_private.follow_members(v_key, v_members);
  end loop;
  return null;
end;
$$;
comment on function bulwark_private.follow_host_members() is
  'Trigger: grants and revokes what rows of the host stand for. Errors: RBAC_HOST_ROLE_UNKNOWN,
   RBAC_HOST_TABLE_CHANGED.';

create function bulwark_private.follow_named_account()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not write grants
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a change of the account must not wait for long
as $$
begin
  perform bulwark_private.follow_members_of(member => new.id);
  return null;
exception
  -- An error here must not make the change of the account fail. The missing grant is a problem that
  -- the operator sees.
  when others then
    raise warning 'Cannot follow the memberships of an account: %', sqlstate;
    return null;
end;
$$;
comment on function bulwark_private.follow_named_account() is
  'Trigger: an account that is no longer anonymous gets the grants of its rows.';

create function bulwark_private.watch_named_accounts()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Older versions of Supabase Auth have no anonymous accounts.
  if not exists (
    select from pg_catalog.pg_attribute a
    where a.attrelid = 'auth.users'::regclass and a.attname = 'is_anonymous'
  ) then
    return false;
  end if;
  create or replace trigger bulwark_named_account
    after update on auth.users
    for each row when (old.is_anonymous and not new.is_anonymous)
    execute function bulwark_private.follow_named_account();
  return true;
end;
$$;
comment on function bulwark_private.watch_named_accounts() is
  'Creates the trigger on auth.users, if accounts can be anonymous. Called again after a restore,
   because backups leave it out.';
select bulwark_private.watch_named_accounts();

-- Organization columns: the organization of a row of the host, by the value of its column. The
-- column has the type of the host's own keys.
-- Protects against a guard that takes a value for another organization: keys are converted in one
-- way only (organization_of), and columns of other types are refused.
-- No function here is SECURITY DEFINER.

create function bulwark_private.organization_expression(
  relation oid,
  column_name text,
  value text
)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when a.atttypid = 'uuid'::regtype then format('(%s)::uuid', value)
    when a.atttypid = any (bulwark_private.host_key_types())
    then format('bulwark_private.organization_of((%s)::text)', value)
  end
  from pg_catalog.pg_attribute a
  where a.attrelid = organization_expression.relation
    and a.attname = organization_expression.column_name
    and a.attnum > 0
    and not a.attisdropped
    -- Where two texts are equal, a policy would take the key of one organization for another's.
    and not exists (
      select from pg_catalog.pg_collation c
      where c.oid = a.attcollation and not c.collisdeterministic
    );
$$;
comment on function bulwark_private.organization_expression(oid, text, text) is
  'SQL text for the organization that a column of a table names, from SQL text for its value. Null
   if the table has no such column or its type holds no organization: it is a uuid, an integer
   type, or text or varchar in a deterministic collation.';

create function bulwark_private.organization_helper(relation oid, column_name text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when a.atttypid = 'uuid'::regtype then 'organizations_with'
    else (
      select h.helper
      from bulwark_private.host_organizations h
      join pg_catalog.pg_type k on k.oid = h.key_type::regtype
      -- Integers of all sizes are compared with one another, and so are texts.
      where k.typcategory = t.typcategory
    )
  end
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
  where a.attrelid = organization_helper.relation
    and a.attname = organization_helper.column_name
    and a.attnum > 0
    and not a.attisdropped
    and bulwark_private.organization_expression(relation, column_name, '') is not null;
$$;
comment on function bulwark_private.organization_helper(oid, text) is
  'The function of schema bulwark that a policy asks for the organizations of a permission, in the
   type of a column: organizations_with or the helper that bulwark.use_organizations made. Null if
   there is none.';

-- Adopting tables of the host that say who is a member.
-- Protects against adopting half of one: rows are taken over and triggers created under one lock;
-- and against a mapping that would make members super_admin.
-- No function here is SECURITY DEFINER: all of it is the owner's.

create function bulwark_private.host_member_triggers()
  returns table (relation regclass, name text)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select h.relation, 'bulwark_members_' || t
  from bulwark_private.host_members h
  cross join unnest('{lock,insert,update,delete,truncate}'::text[]) as t;
$$;
comment on function bulwark_private.host_member_triggers() is
  'The triggers by which members follow tables of the host.';

create function bulwark_private.watch_host_members()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_host bulwark_private.host_members;
begin
  for v_host in select * from bulwark_private.host_members loop
    execute format(
      'create or replace trigger bulwark_members_lock
        before insert or update or delete or truncate on %1$s
        for each statement execute function bulwark_private.lock_host_rows();
      create or replace trigger bulwark_members_insert
        after insert on %1$s referencing new table as new_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_update
        after update on %1$s referencing old table as old_rows new table as new_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_delete
        after delete on %1$s referencing old table as old_rows
        for each statement execute function bulwark_private.follow_host_members();
      create or replace trigger bulwark_members_truncate
        after truncate on %1$s
        for each statement execute function bulwark_private.follow_host_members()',
      v_host.relation
    );
  end loop;
end;
$$;
comment on function bulwark_private.watch_host_members() is
  'Creates the triggers by which members follow tables of the host, and enables them.';

create function bulwark_private.require_host_roles(roles jsonb, otherwise text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  if jsonb_typeof(roles) is distinct from 'object'
    or jsonb_path_exists(roles, '$.* ? (@.type() != "string" && @.type() != "null")') then
    raise exception 'Cannot follow table: roles is no object of names'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_HOST_ROLE_UNKNOWN',
            hint = 'Such as {"owner": "admin", "member": "analyst", "invited": null}';
  end if;
  for v_name in
    select r.value from jsonb_each_text(roles) r where r.value is not null
    union
    select otherwise where otherwise is not null
  loop
    if (bulwark_private.find_role(v_name, null)).id = bulwark_private.super_admin_role() then
      raise exception 'Cannot follow table: super_admin is system-wide, not of one organization'
        using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
          hint = 'Map the value to admin';
    end if;
  end loop;
end;
$$;
comment on function bulwark_private.require_host_roles(jsonb, text) is
  'Checks the mapping of bulwark.use_members: an object of names of system roles and nulls. Errors:
   RBAC_HOST_ROLE_UNKNOWN, RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE.';

create function bulwark_private.host_grant_differences()
  returns table (problem text, organization_id uuid, user_id uuid)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select
    case when g.user_id is null then 'grant_missing' else 'grant_left' end,
    coalesce(g.organization_id, w.organization_id), coalesce(g.user_id, w.user_id)
  from (select * from bulwark.user_roles r where r.source = 'host') g
  full join (
    select distinct h.*
    from bulwark_private.host_grants() h
    join bulwark.organizations o on o.id = h.organization_id
  ) w
    on w.user_id = g.user_id and w.organization_id = g.organization_id and w.role_id = g.role_id
  where g.user_id is null or w.user_id is null;
$$;
comment on function bulwark_private.host_grant_differences() is
  'The grants that rows of the host stand for and that are missing, and those that no row stands
   for.';

create function bulwark.use_members(
  target regclass,
  organization text default 'organization_id',
  member text default 'user_id',
  role text default 'role',
  roles jsonb default '{}',
  otherwise text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text;
begin
  perform bulwark_private.require_host_table(target);
  v_type := bulwark_private.require_host_column(
    target, organization, bulwark_private.host_key_types()
  );
  perform bulwark_private.require_host_column(target, member, '{uuid}');
  if role is not null then
    perform bulwark_private.require_host_column(target, role, null);
  elsif otherwise is null then
    raise exception 'Cannot follow %: it has neither a column of roles nor a role for all', target
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_host_roles(roles, otherwise);
  -- Rights before rows. No row is written between reading the table and watching it.
  perform bulwark_private.lock_rights(null, exclusively => true);
  execute format('lock table %s in share row exclusive mode', target);
  -- A table that was dropped gives nothing any more.
  delete from bulwark_private.host_members h
  where h.relation = target
    or not exists (select from pg_catalog.pg_class c where c.oid = h.relation);
  insert into bulwark_private.host_members
  values (target, organization, v_type, member, role, roles, otherwise);
  perform bulwark_private.watch_host_members();
  perform bulwark_private.follow_members(coalesce(k.key, c.organization_id::text), c.members)
  from (
    select d.organization_id, array_agg(d.user_id) as members
    from bulwark_private.host_grant_differences() d
    group by 1
    order by 1
  ) c
  left join bulwark_private.organization_keys k on k.organization_id = c.organization_id;
end;
$$;
comment on function bulwark.use_members(regclass, text, text, text, jsonb, text) is
  'Takes memberships from a table of yours: roles are granted and revoked with its
   rows, in the same transaction, and the present rows are taken over. organization and member name
   its columns (member: uuid, the id of an account), role the column that roles maps to system
   roles: {"owner": "admin", "invited": null}. otherwise: the role of other values; null: they are
   an error. With role null every row stands for otherwise. Rows without an organization, an account
   or a role grant nothing. It may be called for several tables. For the owner (migrations). Call it
   again after altering the table, and to repair what was written while its triggers were disabled.
   Errors: RBAC_HOST_TABLE_UNSUITABLE, RBAC_HOST_COLUMN_UNSUITABLE, RBAC_HOST_ROLE_UNKNOWN,
   RBAC_UNKNOWN_ROLE, RBAC_ROLE_NOT_ASSIGNABLE, RBAC_NULL_ARGUMENT.';

create function bulwark.release_members()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  perform bulwark_private.lock_rights(null, exclusively => true);
  for v_trigger in
    select t.relation, t.name
    from bulwark_private.host_member_triggers() t
    join pg_catalog.pg_class c on c.oid = t.relation
  loop
    execute format('drop trigger if exists %I on %s', v_trigger.name, v_trigger.relation);
  end loop;
  delete from bulwark_private.host_members;
  delete from bulwark.user_roles g
  where g.source = 'host' and exists (
    select from bulwark.user_roles o
    where o.user_id = g.user_id and o.organization_id = g.organization_id
      and o.role_id = g.role_id and o.source = 'own'
  );
  update bulwark.user_roles g set source = 'own' where g.source = 'host';
end;
$$;
comment on function bulwark.release_members() is
  'Members no longer follow tables of yours: those who are members stay, with grants that functions
   change from now on.';

create function bulwark_private.host_member_problems()
  returns table (problem text, object text)
  language plpgsql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation regclass;
begin
  for v_relation in select h.relation from bulwark_private.host_members h loop
    begin
      perform bulwark_private.require_host_table(v_relation);
      perform bulwark_private.require_members_host(v_relation);
    exception when wrong_object_type or object_not_in_prerequisite_state then
      return query select 'table_altered', v_relation::text;
      return;
    end;
  end loop;
  return query
    select 'trigger_missing', format('%s on %s', t.name, t.relation)
    from bulwark_private.host_member_triggers() t
    where not exists (
      select from pg_catalog.pg_trigger g
      where g.tgrelid = t.relation and g.tgname = t.name and g.tgenabled in ('O', 'A')
        and g.tgfoid in (
          'bulwark_private.lock_host_rows'::regproc, 'bulwark_private.follow_host_members'::regproc
        )
    )
    union all
    -- Without one, each change of a member reads the whole table.
    select 'index_missing', h.relation::text
    from bulwark_private.host_members h
    where not exists (
      select
      from pg_catalog.pg_index i
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indrelid = h.relation and i.indisvalid and i.indpred is null
        and a.attname in (h.organization_column, h.member_column)
    );
  return query
    select d.problem, format('%s in %s', d.user_id, d.organization_id)
    from bulwark_private.host_grant_differences() d;
end;
$$;
comment on function bulwark_private.host_member_problems() is
  'Where members no longer follow the tables of the host.';

-- Members: who belongs to an organization, with names and addresses, and the names behind ids.
-- Protects against the enumeration of addresses: only members of one's own organization are found,
-- with user:read; whether they have a second factor and when they signed in is told to those who
-- hold security:read. The address of a former member is not told: it may be a new one.
-- SECURITY DEFINER: list_members, list_names, because clients may not read auth.users.

-- The name is what an account says of itself. Nothing is decided by it.
create view bulwark_private.people with (security_invoker = true) as
  select
    u.id as user_id,
    lower(u.email) as email,
    left(
      coalesce(u.raw_user_meta_data ->> 'full_name', u.raw_user_meta_data ->> 'name'), 500
    ) as said_name,
    u.last_sign_in_at
  from auth.users u;
comment on view bulwark_private.people is
  'Accounts with their address in lower case and the name that they say of themselves, as it is
   stored. Show it through bulwark_private.printable_name.';

create function bulwark_private.printable_name(said_name text)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select bulwark_private.host_name(said_name, null); $$;
comment on function bulwark_private.printable_name(text) is
  'A name without characters that do not print or that reverse what follows, cut to 120; null if
   nothing is left.';

create function bulwark_private.has_second_factor(user_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark.mfa_secrets f
    where f.user_id = has_second_factor.user_id and f.activated_at is not null
  ) or bulwark_private.native_factors(user_id) > 0;
end;
$$;
comment on function bulwark_private.has_second_factor(uuid) is
  'Whether an account has an activated second factor, of Bulwark or of Supabase Auth.';

create function bulwark.list_members(
  organization_id uuid,
  search text default null,
  role text default null,
  after text default null,
  page_size integer default 50
)
  returns table (
    user_id uuid,
    email text,
    name text,
    roles jsonb,
    member_since timestamptz,
    suspended boolean,
    mfa_enrolled boolean,
    last_sign_in_at timestamptz,
    page_key text
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_search constant text := lower(nullif(btrim(search), ''));
  v_sees_security boolean;
begin
  if organization_id is null then
    raise exception 'Cannot list members: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark.require_permission('user:read', organization_id);
  v_sees_security := bulwark_private.caller_is_service() or bulwark_private.session_permits(
    bulwark.current_person(), 'security:read', organization_id
  );
  return query
    with page as materialized (
      select p.*, k.page_key
      from (
        select distinct g.user_id
        from bulwark_private.unexpired_grants g
        where g.organization_id = list_members.organization_id
          and (
            list_members.role is null
            or g.role_id in (
              select r.id from bulwark.roles r
              where r.name = list_members.role
                and (r.organization_id is null or r.organization_id = g.organization_id)
            )
          )
      ) m
      join bulwark_private.people p on p.user_id = m.user_id
      -- In the key, not looked up by an id: that would tell how addresses of others are sorted.
      cross join lateral (select concat(p.email, '/', p.user_id) collate "C") k (page_key)
      where (list_members.after is null or k.page_key > list_members.after)
        -- No pattern: in one, the characters % and _ would stand for others.
        and (
          v_search is null
          or strpos(p.email, v_search) > 0
          or strpos(lower(p.said_name), v_search) > 0
        )
      order by k.page_key
      limit least(greatest(list_members.page_size, 1), 1000)
    )
    select
      p.user_id,
      p.email,
      bulwark_private.printable_name(p.said_name),
      h.roles,
      h.member_since,
      h.suspended,
      case when v_sees_security then bulwark_private.has_second_factor(p.user_id) end,
      case when v_sees_security then p.last_sign_in_at end,
      p.page_key
    from page p
    cross join lateral (
      select
        jsonb_agg(
          jsonb_build_object(
            'role', r.name, 'level', r.level, 'source', g.source,
            'starts_at', g.starts_at, 'expires_at', nullif(g.held_until, 'infinity'),
            'active', g.starts_at <= now() and not g.suspended, 'granted_by', g.granted_by
          )
          order by r.level desc, r.name, g.source
        ) as roles,
        min(g.created_at) as member_since,
        bool_or(g.suspended) as suspended
      from bulwark_private.unexpired_grants g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = p.user_id and g.organization_id = list_members.organization_id
    ) h
    order by p.page_key;
end;
$$;
comment on function bulwark.list_members(uuid, text, text, text, integer) is
  'The members of an organization (user:read), by address: those with a role that has not expired.
   search is a part of an address or a name, role the name of a role, after the page_key of the last
   row of the previous page; a page has up to 1,000. roles: a list of role, level, source (own or
   host), starts_at, expires_at, active and granted_by, highest first. name is what the account says
   of itself, and may be null, as email may. suspended: banned or deleted. mfa_enrolled and
   last_sign_in_at are null without security:read. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED,
   RBAC_NULL_ARGUMENT.';

create function bulwark.list_names(organization_id uuid, user_ids uuid[])
  returns table (user_id uuid, name text, email text, is_member boolean)
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_all constant boolean := organization_id is null;
  v_caller constant uuid := bulwark.current_person();
begin
  if user_ids is null then
    raise exception 'Cannot list names: the list is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if cardinality(user_ids) > 1000 or array_ndims(user_ids) > 1 then
    raise exception 'Cannot list names: a batch is a plain list of at most 1,000'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE';
  end if;
  if v_all then
    perform bulwark_private.require_caller();
    if not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
      raise exception 'Cannot list names: without an organization it needs a super_admin'
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
          hint = 'Name an organization, or ask a super_admin';
    end if;
  else
    perform bulwark.require_permission('user:read', organization_id);
  end if;
  return query
    select
      p.user_id,
      bulwark_private.printable_name(p.said_name),
      case when v_all or m.is_member or p.user_id = v_caller then p.email end,
      m.is_member
    from (select distinct unnest(list_names.user_ids)) i (user_id)
    join bulwark_private.people p on p.user_id = i.user_id
    cross join lateral (
      select exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = i.user_id and g.organization_id = list_names.organization_id
      )
    ) m (is_member)
    where v_all or m.is_member or p.user_id = v_caller
      or exists (
        select from bulwark.user_roles g
        where g.user_id = i.user_id and g.organization_id = list_names.organization_id
      )
      or exists (
        select from bulwark_private.departures d
        where d.user_id = i.user_id and d.organization_id = list_names.organization_id
      );
end;
$$;
comment on function bulwark.list_names(uuid, uuid[]) is
  'The names behind up to 1,000 ids of accounts, wherever ids are shown: actors, assignees, owners
   of keys. Of members of the organization (user:read there), and without an address of those who
   left it in the last 91 days. For organization_id null, of all accounts (super_admin). Other ids
   get no row, whether they exist or not. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED,
   RBAC_BATCH_TOO_LARGE, RBAC_NULL_ARGUMENT.';

-- Changes of members: all roles of one at once, removal, leaving.
-- Protects against more than one may give or take, also in a list of roles; against a removal that
-- takes half of the roles; and organizations from losing their last administrator (03_rules).
-- SECURITY DEFINER: set_member_roles, remove_member, leave_organization, because clients may not
--   write grants.

create function bulwark_private.require_membership(user_id uuid, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if user_id is null or organization_id is null then
    raise exception 'Cannot change member: the user or the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = require_membership.user_id
      and g.organization_id = require_membership.organization_id
  ) then
    raise exception 'Cannot change member: the user is not a member of the organization'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
            hint = 'Invite them with invite_member';
  end if;
end;
$$;
comment on function bulwark_private.require_membership(uuid, uuid) is
  'Raises RBAC_NOT_A_MEMBER unless a user has a grant there that has not expired, the same for a
   stranger and for a missing user; RBAC_NULL_ARGUMENT for null.';

create function bulwark_private.take_roles(
  user_id uuid,
  organization_id uuid,
  kept uuid[],
  taker uuid
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_grant record;
begin
  for v_grant in
    select g.role_id, g.source
    from bulwark_private.unexpired_grants g
    where g.user_id = take_roles.user_id
      and g.organization_id = take_roles.organization_id
      and g.role_id <> all (kept)
  loop
    if v_grant.source = 'host' then
      perform bulwark_private.require_no_host_grant(user_id, v_grant.role_id, organization_id);
    end if;
    if taker is not null then
      perform bulwark_private.raise_grant_refusal(
        bulwark_private.grant_refusal(taker, v_grant.role_id, organization_id, now()),
        'take role'
      );
    end if;
  end loop;
  delete from bulwark.user_roles g
  where g.user_id = take_roles.user_id
    and g.organization_id = take_roles.organization_id
    and g.role_id <> all (kept)
    and g.source = 'own'
    and (g.expires_at is null or g.expires_at > now());
end;
$$;
comment on function bulwark_private.take_roles(uuid, uuid, uuid[], uuid) is
  'Takes the roles of a member that are not kept, if the taker ranks at least as high as each (null:
   whatever they are). Errors: RBAC_GRANT_IS_HOSTS, RBAC_PERMISSION_DENIED,
   RBAC_ROLE_OUTRANKS_GRANTER, RBAC_LAST_ADMINISTRATOR.';

create function bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[])
  returns setof bulwark.user_roles
  language plpgsql
  volatile
  rows 5
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_added uuid[];
  v_caller uuid := bulwark.current_person();
  v_is_service constant boolean := bulwark_private.caller_is_service();
  v_role_id uuid;
  v_roles uuid[];
begin
  if cardinality(roles) not between 1 and 20 or array_ndims(roles) > 1 then
    raise exception 'Cannot set roles: a plain list of 1 to 20 roles'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_BATCH_TOO_LARGE',
            hint = 'Without a role nobody is a member: call remove_member';
  end if;
  if roles is null or array_position(roles, null) is not null then
    raise exception 'Cannot set roles: the list is null or has a null in it'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_change('role:grant', organization_id);
  perform bulwark_private.require_membership(user_id, organization_id);
  v_roles := array(
    select distinct (bulwark_private.find_role(n, organization_id)).id from unnest(roles) as n
  );
  if bulwark_private.super_admin_role() = any (v_roles) then
    raise exception 'Cannot set roles: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Choose admin';
  end if;
  v_added := array(
    select r from unnest(v_roles) as r
    where not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = set_member_roles.user_id
        and g.organization_id = set_member_roles.organization_id
        and g.role_id = r
    )
  );
  if cardinality(v_added) > 0 then
    perform bulwark_private.require_existing_user(user_id);
  end if;
  if not v_is_service then
    foreach v_role_id in array v_added loop
      perform bulwark_private.raise_grant_refusal(
        bulwark_private.grant_refusal(v_caller, v_role_id, organization_id, null), 'grant role'
      );
    end loop;
  end if;
  -- First the new ones, so that a change of role is no departure.
  insert into bulwark.user_roles as g (user_id, role_id, organization_id, granted_by)
  select set_member_roles.user_id, r, set_member_roles.organization_id, v_caller
  from unnest(v_added) as r
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = excluded.starts_at, expires_at = null, granted_by = excluded.granted_by;
  perform bulwark_private.take_roles(
    user_id, organization_id, v_roles, case when not v_is_service then v_caller end
  );
  return query
    select g.* from bulwark.user_roles g
    where g.user_id = set_member_roles.user_id
      and g.organization_id = set_member_roles.organization_id
      and g.role_id = any (v_roles);
end;
$$;
comment on function bulwark.set_member_roles(uuid, uuid, text[]) is
  'Makes a list of 1 to 20 roles the roles of a member (role:grant), all or nothing, and returns the
   grants. Roles that the member has keep their window, new ones begin now and have no end. The
   caller must be able to grant each that is added and to revoke each that is taken. Errors: those
   of grant_role and revoke_role, and RBAC_BATCH_TOO_LARGE.';

create function bulwark.remove_member(organization_id uuid, user_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_change('user:delete', organization_id);
  perform bulwark_private.require_membership(user_id, organization_id);
  perform bulwark_private.take_roles(
    user_id, organization_id, '{}',
    case when not bulwark_private.caller_is_service() then bulwark.current_person() end
  );
end;
$$;
comment on function bulwark.remove_member(uuid, uuid) is
  'Removes a member from an organization with all their roles (user:delete and role:grant, and a
   rank at least as high as each role), effective on the next request. Invitations of before do not
   bring them back. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED, RBAC_NOT_A_MEMBER,
   RBAC_GRANT_IS_HOSTS, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_LAST_ADMINISTRATOR, RBAC_NULL_ARGUMENT; to
   the service role and super_admin also RBAC_UNKNOWN_ORGANIZATION.';

create function bulwark.leave_organization(organization_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller constant uuid := bulwark_private.require_user();
begin
  -- Before the lock, so that strangers do not make others wait.
  perform bulwark_private.require_membership(v_caller, organization_id);
  perform bulwark_private.bump_permission_version(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark_private.require_membership(v_caller, organization_id);
  perform bulwark_private.take_roles(v_caller, organization_id, '{}', null);
end;
$$;
comment on function bulwark.leave_organization(uuid) is
  'Ends the caller''s own membership with all its roles. Like revoking one''s own role, it needs no
   permission and no second factor. A foreign and a missing organization get one answer. Errors:
   RBAC_NOT_A_MEMBER, RBAC_LAST_ADMINISTRATOR, RBAC_GRANT_IS_HOSTS, RBAC_NULL_ARGUMENT, and those of
   bulwark_private.require_user.';

-- RBAC whoami: the caller's account, organizations and permissions in one answer, with a version.
-- Protects against a screen that shows more than Postgres would do: the permissions are those of
-- the session right now, as has_permission answers. Nothing else is decided by this answer.
-- SECURITY DEFINER: whoami, because clients may read neither accounts, sessions nor all grants.

create function bulwark_private.permissions_here(
  user_id uuid,
  organization_id uuid,
  passes_mfa boolean
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- bulwark_private.session_permits for all permissions at once.
  return (
    select coalesce(jsonb_agg(distinct h.permission), '[]')
    from bulwark_private.held_permissions h
    where h.user_id = permissions_here.user_id
      and (
        h.organization_id = permissions_here.organization_id
        or h.everywhere
        or (h.organization_id is null and permissions_here.organization_id is null)
      )
      and (
        passes_mfa
        or not exists (
          select from bulwark.mfa_policies p
          where (
              p.organization_id = permissions_here.organization_id
              or (p.organization_id is null and h.organization_id is null)
            )
            and p.required_from <= now()
        )
      )
  );
end;
$$;
comment on function bulwark_private.permissions_here(uuid, uuid, boolean) is
  'The permissions of a user in an organization (null: system-wide) in a session that has or has not
   proven a second factor, as a sorted list.';

create function bulwark.whoami(known_version text default null)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients may read neither accounts nor all grants
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_account jsonb;
  v_enrolled boolean;
  v_user constant uuid := bulwark_private.require_user();
  v_verified_at timestamptz := bulwark_private.session_mfa(
    bulwark_private.claimed_id('session_id'), v_user
  );
  v_version text;
begin
  v_enrolled := bulwark_private.has_second_factor(v_user);
  select jsonb_build_object(
    'id', u.id,
    'email', p.email,
    'email_confirmed', u.email_confirmed_at is not null,
    'name', bulwark_private.printable_name(p.said_name),
    -- Through jsonb, because older versions of Supabase Auth lack the column.
    'anonymous', coalesce((to_jsonb(u) -> 'is_anonymous') = 'true', false)
  )
  into v_account
  from auth.users u
  join bulwark_private.people p on p.user_id = u.id
  where u.id = v_user;
  -- All that the answer is made of. Contents of roles are in the versions of rights, and the rest
  -- changes without one: times that pass, names, and the session.
  select md5(concat_ws(
    '/', v_account, v_enrolled, v_verified_at,
    (select v.version from bulwark_private.permission_versions v where v.organization_id is null),
    (
      select concat(p.required_from, p.required_from <= now())
      from bulwark.mfa_policies p where p.organization_id is null
    ),
    string_agg(concat_ws(
      ',', g.organization_id, g.role_id, g.source, v.version, o.name, o.slug, p.required_from,
      p.required_from <= now()
    ), '/' order by g.organization_id, g.role_id, g.source)
  ))
  into v_version
  from bulwark_private.active_grants g
  left join bulwark.organizations o on o.id = g.organization_id
  left join bulwark_private.permission_versions v on v.organization_id = g.organization_id
  left join bulwark.mfa_policies p on p.organization_id = g.organization_id
  where g.user_id = v_user;
  if v_version = known_version then
    return null;
  end if;
  return jsonb_build_object(
    'version', v_version,
    'user', v_account,
    'mfa', jsonb_build_object(
      'enrolled', v_enrolled,
      'verified_at', nullif(v_verified_at, '-infinity'),
      'satisfied', v_verified_at is not null
    ),
    'roles', (
      select coalesce(jsonb_agg(r.name order by r.level desc, r.name), '[]')
      from bulwark_private.active_grants g
      join bulwark.roles r on r.id = g.role_id
      where g.user_id = v_user and g.organization_id is null
    ),
    'permissions', bulwark_private.permissions_here(v_user, null, v_verified_at is not null),
    'organizations', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'id', o.id,
          'name', o.name,
          'slug', o.slug,
          'roles', o.roles,
          'permissions', bulwark_private.permissions_here(
            v_user, o.id, v_verified_at is not null
          ),
          'mfa_required', coalesce(p.required_from <= now(), false),
          'mfa_required_from', p.required_from,
          'mfa_met', coalesce(p.required_from > now(), true) or v_verified_at is not null
        )
        order by o.slug
      ), '[]')
      from (
        select o.id, o.name, o.slug, jsonb_agg(distinct r.name) as roles
        from bulwark_private.active_grants g
        join bulwark.organizations o on o.id = g.organization_id
        join bulwark.roles r on r.id = g.role_id
        where g.user_id = v_user
        group by o.id
        order by o.slug
        limit 100
      ) o
      left join bulwark.mfa_policies p on p.organization_id = o.id
    )
  );
end;
$$;
comment on function bulwark.whoami(text) is
  'The caller: version, user (id, email, email_confirmed, name, anonymous), mfa of the account
   and session (enrolled, verified_at, satisfied), system-wide roles and permissions, and the first
   100 organizations by slug (id, name, slug, roles, permissions, mfa_required, mfa_required_from,
   mfa_met). Permissions are those that the session has right now. Null if known_version is still
   current. Errors: those of bulwark_private.require_user.';

-- Settings: administrators of the installation list and change them.
-- Protects against a value that fails every request, and against an administrator who changes what
-- binds administrators too, such as the retention of the audit log.
-- SECURITY DEFINER: list_settings, set_setting, because clients read and write no settings.

insert into bulwark_private.setting_rules (name, accepts) values
  ('rbac.self_service_organizations', '{"type": "boolean"}'),
  ('rbac.self_service_limit', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('rbac.anonymous_members', '{"type": "boolean"}'),
  ('rbac.delete_last_administrators', '{"type": "boolean"}'),
  ('rbac.pending_invitations', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitations_per_address', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitation_retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}');

create function bulwark.list_settings()
  returns table (name text, value jsonb, description text, accepts jsonb)
  language plpgsql
  stable
  rows 100
  security definer            -- definer because clients read no settings
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:admin', null);
  return query
    select s.name, s.value, s.description, r.accepts
    from bulwark.settings s
    left join bulwark_private.setting_rules r on r.name = s.name
    order by s.name collate "C";
end;
$$;
comment on function bulwark.list_settings() is
  'All settings with their values (system:admin). accepts: the values that set_setting takes, as a
   JSON Schema; null: only the owner of the database changes it. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

-- The value is json: text whose reading as jsonb may fail (a number out of range, a character
-- \u0000) is refused here and not by PostgREST.
create function bulwark.set_setting(name text, value json)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients write no settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_accepts jsonb;
  v_value jsonb;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.setting(name);
  select r.accepts into v_accepts
  from bulwark_private.setting_rules r where r.name = set_setting.name;
  if not found then
    raise exception 'Cannot set %: only the owner of the database changes it', set_setting.name
      using errcode = 'insufficient_privilege', detail = 'SETTING_IS_OPERATORS',
            hint = 'In the SQL editor: update bulwark.settings';
  end if;
  begin
    v_value := value::jsonb;
  exception when data_exception then
    v_value := null;            -- which no rule accepts
  end;
  if not bulwark_private.schema_accepts(v_accepts, v_value) then
    raise exception 'Cannot set %: it does not accept this value', set_setting.name
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = format('It accepts %s', v_accepts);
  end if;
  update bulwark.settings s
  set value = v_value
  where s.name = set_setting.name and s.value <> v_value;
end;
$$;
comment on function bulwark.set_setting(text, json) is
  'Changes a setting that list_settings shows with accepts (system:admin). It counts from the next
   statement on, and is recorded as settings.updated. Errors: SETTING_IS_OPERATORS,
   SETTING_INVALID_VALUE, UNKNOWN_SETTING, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

-- Invitees: seeing, previewing, accepting and declining invitations.
-- Protects against forwarded or guessed tokens (only the invited, confirmed address may answer),
-- tokens used twice, invitations that outlive the rights of their sender, and against what a
-- forwarded token would tell (a masked address, and no id).
-- SECURITY DEFINER: all of bulwark, because clients may read neither accounts nor tokens and write
--   neither invitations nor grants.

create function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return invitation.accepted_at is null
    and invitation.revoked_at is null
    and invitation.expires_at > now()
    and not bulwark_private.has_departed_since(user_id, invitation)
    and (
      invitation.invited_by is null
      or bulwark_private.user_permits(
        invitation.invited_by, 'user:create', invitation.organization_id
      )
      and bulwark_private.grant_refusal(
        invitation.invited_by, invitation.role_id, invitation.organization_id,
        invitation.role_expires_at
      ) is null
    );
end;
$$;
comment on function bulwark_private.invitation_holds(uuid, bulwark.invitations) is
  'Whether an invitation is pending, its sender may still grant the role, and the user has not left
   the organization since. The address is not asked.';

create function bulwark_private.require_confirmed_email()
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_email constant text := bulwark_private.confirmed_email();
begin
  if v_email is null then
    raise exception 'Cannot answer invitation: your own e-mail address is not confirmed'
      using errcode = 'insufficient_privilege', detail = 'RBAC_EMAIL_NOT_CONFIRMED',
        hint = 'Follow the link that Supabase Auth sent to this address';
  end if;
  return v_email;
end;
$$;
comment on function bulwark_private.require_confirmed_email() is
  'bulwark_private.confirmed_email; raises RBAC_EMAIL_NOT_CONFIRMED instead of null.';

create function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea)
  returns bulwark.user_roles
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller constant uuid := bulwark_private.require_user();
  v_email text;
  v_grant bulwark.user_roles;
  v_invitation bulwark.invitations;
begin
  perform bulwark_private.require_own_members();
  v_email := bulwark_private.require_confirmed_email();
  -- Waits for every change of rights there, so that the sender's present rights decide. For an
  -- invitation of somebody else no lock is taken.
  perform bulwark_private.bump_permission_version(i.organization_id)
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  perform bulwark_private.hold_session();
  -- The account's address may have changed while waiting.
  v_email := bulwark_private.confirmed_email();
  select * into v_invitation
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  if v_invitation.id is null
    or bulwark_private.invitation_holds(v_caller, v_invitation) is not true then
    v_invitation := null;
  end if;
  -- One statement checks and accepts, so that a concurrent second attempt finds nothing to update.
  update bulwark.invitations i
  set accepted_at = now(), accepted_by = v_caller
  where i.id = v_invitation.id
    and i.accepted_at is null
    and i.revoked_at is null
    and (
      take_invitation.token_hash is null
      or exists (
        select from bulwark_private.invitation_tokens t
        where t.invitation_id = i.id and t.token_hash = take_invitation.token_hash
      )
    );
  if not found then
    raise exception 'Cannot accept invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Ask for a new one, sent to the address of this account';
  end if;
  insert into bulwark.user_roles as g
    (user_id, role_id, organization_id, expires_at, granted_by)
  values (
    v_caller, v_invitation.role_id, v_invitation.organization_id, v_invitation.role_expires_at,
    v_invitation.invited_by
  )
  -- An invitation shortens no role that the invitee has.
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = least(g.starts_at, now()),
        expires_at = nullif(
          greatest(coalesce(g.expires_at, 'infinity'), coalesce(excluded.expires_at, 'infinity')),
          'infinity'
        ),
        granted_by = excluded.granted_by
  returning * into v_grant;
  return v_grant;
end;
$$;
comment on function bulwark_private.take_invitation(uuid, bytea) is
  'Makes the caller a member with the invited role, once, if the invitation is theirs and holds.
   With a hash, it must be that of its token. Errors: those of accept_invitation.';

create function bulwark.accept_invitation(token text)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash constant bytea := sha256(convert_to(token, 'UTF8'));
begin
  return bulwark_private.take_invitation(
    (select t.invitation_id from bulwark_private.invitation_tokens t where t.token_hash = v_hash),
    v_hash
  );
end;
$$;
comment on function bulwark.accept_invitation(text) is
  'Makes the caller a member with the invited role, once. The caller''s confirmed e-mail address
   must be the invited one, and the sender must still be able to grant the role. Wrong, used,
   revoked, expired and other people''s tokens get one answer. Errors: RBAC_INVITATION_INVALID,
   RBAC_EMAIL_NOT_CONFIRMED, RBAC_NOT_AUTHENTICATED, RBAC_MEMBERS_ARE_HOSTS.';

create function bulwark.my_invitations()
  returns table (
    invitation_id uuid,
    organization_id uuid,
    organization_name text,
    organization_slug text,
    role text,
    role_description text,
    invited_by uuid,
    invited_by_name text,
    invited_by_email text,
    created_at timestamptz,
    expires_at timestamptz,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read organization and sender
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  return query
    select
      i.id, o.id, o.name, o.slug, r.name, r.description, i.invited_by,
      bulwark_private.printable_name(p.said_name), p.email, i.created_at, i.expires_at,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.organizations o on o.id = i.organization_id
    join bulwark.roles r on r.id = i.role_id
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.email = (select bulwark_private.confirmed_email())
      and i.accepted_at is null
      and i.revoked_at is null
      and bulwark_private.invitation_holds(v_user, i)
    order by i.created_at desc, i.id
    limit 100;
end;
$$;
comment on function bulwark.my_invitations() is
  'The invitations that the caller can accept now, newest first, up to 100: those of their confirmed
   address. invited_by is null for the operator. Empty while the address is not confirmed. Errors:
   those of bulwark_private.require_user.';

create function bulwark.preview_invitation(token text)
  returns table (
    invitation_id uuid,
    organization_name text,
    role text,
    invited_by_name text,
    email text,
    expires_at timestamptz,
    is_mine boolean,
    role_expires_at timestamptz
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not read tokens
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_user constant uuid := bulwark.current_person();
begin
  -- The lock makes a GET fail (405): only a POST is charged by the rate limits.
  select i.* into v_invitation
  from bulwark_private.invitation_tokens t
  join bulwark.invitations i on i.id = t.invitation_id
  where t.token_hash = sha256(convert_to(token, 'UTF8'))
  for key share of t;
  -- No error for a wrong token: the charge of a request that fails is rolled back.
  return query
    select
      case when m.is_mine then v_invitation.id end,
      o.name,
      r.name,
      bulwark_private.printable_name(p.said_name),
      case
        when m.is_mine then v_invitation.email
        else left(v_invitation.email, 1) || '***' || substring(v_invitation.email from '@.*$')
      end,
      v_invitation.expires_at,
      m.is_mine,
      v_invitation.role_expires_at
    from bulwark.organizations o
    join bulwark.roles r on r.id = v_invitation.role_id
    left join bulwark_private.people p on p.user_id = v_invitation.invited_by
    cross join lateral (
      select coalesce(v_invitation.email = bulwark_private.confirmed_email(), false)
    ) m (is_mine)
    where o.id = v_invitation.organization_id
      and bulwark_private.invitation_holds(v_user, v_invitation);
end;
$$;
comment on function bulwark.preview_invitation(text) is
  'The invitation of a token, for a page that asks somebody to sign up or in; no user is needed.
   No row for a wrong, used, revoked or expired token. is_mine: the caller''s confirmed address
   was invited; otherwise the address is masked and the id null. Call it by POST; a GET is
   refused (25006).';

create function bulwark.accept_my_invitation(invitation_id uuid)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.take_invitation(invitation_id, null);
end;
$$;
comment on function bulwark.accept_my_invitation(uuid) is
  'accept_invitation by id, for an invitation of my_invitations: the confirmed address takes the
   place of the token. Errors: those of accept_invitation.';

create function bulwark.decline_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_user();
  perform bulwark_private.require_confirmed_email();
  perform bulwark_private.hold_session();
  update bulwark.invitations i
  set revoked_at = now(), declined = true
  where i.id = invitation_id
    and i.email = bulwark_private.confirmed_email()
    and i.accepted_at is null
    and i.revoked_at is null;
  if not found then
    raise exception 'Cannot decline invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List yours with my_invitations';
  end if;
end;
$$;
comment on function bulwark.decline_invitation(uuid) is
  'Ends a pending invitation of the caller''s confirmed address. Errors: RBAC_INVITATION_INVALID,
   RBAC_EMAIL_NOT_CONFIRMED, and those of bulwark_private.require_user.';

-- Sent invitations: listing them with their state, and sending one again.
-- Protects against more messages than invite_member would send, which does the sending.
-- SECURITY DEFINER: list_invitations, resend_invitation, because clients may not read auth.users
--   and write no invitations.

create function bulwark_private.invitation_state(invitation bulwark.invitations)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when invitation.accepted_at is not null then 'accepted'
    when invitation.declined then 'declined'
    when invitation.revoked_at is not null then 'revoked'
    when invitation.expires_at <= now() then 'expired'
    else 'pending'
  end;
$$;
comment on function bulwark_private.invitation_state(bulwark.invitations) is
  'pending, accepted, declined, revoked or expired.';

create function bulwark.list_invitations(
  organization_id uuid,
  states text[] default null,
  before uuid default null,
  page_size integer default 50
)
  returns table (
    invitation_id uuid,
    email text,
    role text,
    state text,
    invited_by uuid,
    invited_by_name text,
    created_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    accepted_by uuid,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform bulwark.require_permission('user:create', organization_id);
  return query
    select
      i.id, i.email, r.name, s.state, i.invited_by, bulwark_private.printable_name(p.said_name),
      i.created_at, i.expires_at, coalesce(i.accepted_at, i.revoked_at), i.accepted_by,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.roles r on r.id = i.role_id
    cross join lateral (select bulwark_private.invitation_state(i)) s (state)
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.organization_id = list_invitations.organization_id
      and (states is null or s.state = any (states))
      and (
        before is null
        or (i.created_at, i.id) < (
          select b.created_at, b.id from bulwark.invitations b
          where b.id = before and b.organization_id = list_invitations.organization_id
        )
      )
    order by i.created_at desc, i.id desc
    limit least(greatest(page_size, 1), 1000);
end;
$$;
comment on function bulwark.list_invitations(uuid, text[], uuid, integer) is
  'The invitations of an organization (user:create), newest first, by page: before is the id of
   the last one of the previous page. states: of pending, accepted, declined, revoked and
   expired; null for all. ended_at: when it was accepted, declined or revoked. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark.resend_invitation(
  invitation_id uuid,
  expires_in interval default '7 days'
)
  returns table (new_invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_invitation bulwark.invitations;
begin
  select * into v_invitation
  from bulwark.invitations i where i.id = resend_invitation.invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  perform bulwark_private.require_permission_to_change(
    'user:create', coalesce(v_invitation.organization_id, gen_random_uuid())
  );
  select * into v_invitation
  from bulwark.invitations i where i.id = v_invitation.id;
  if bulwark_private.invitation_state(v_invitation) in ('pending', 'expired') is not true then
    raise exception 'Cannot send invitation again: it was answered or revoked'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Invite the address again with invite_member';
  end if;
  return query
    select n.* from bulwark.invite_member(
      v_invitation.organization_id, v_invitation.email,
      (select r.name from bulwark.roles r where r.id = v_invitation.role_id), expires_in,
      v_invitation.role_expires_at
    ) n;
end;
$$;
comment on function bulwark.resend_invitation(uuid, interval) is
  'Invites the address of a pending or expired invitation again with its role and the role''s end,
   as invite_member does: a new invitation with a new token, of the caller, replaces it. Errors:
   RBAC_INVITATION_INVALID and those of invite_member.';

revoke all on table
  bulwark.permissions,
  bulwark.organizations,
  bulwark.roles,
  bulwark.role_permissions,
  bulwark.role_inheritance,
  bulwark.user_roles,
  bulwark_private.effective_permissions,
  bulwark_private.permission_versions,
  bulwark.mfa_policies,
  bulwark.mfa_secrets,
  bulwark_private.mfa_trusted_devices,
  bulwark_private.mfa_backup_codes,
  bulwark_private.mfa_sessions,
  bulwark_private.unexpired_grants,
  bulwark_private.active_grants,
  bulwark_private.held_permissions,
  bulwark_private.reserved_slugs,
  bulwark.invitations,
  bulwark_private.invitation_tokens,
  bulwark_private.departures,
  bulwark_private.invitation_accounts,
  bulwark_private.organization_keys,
  bulwark_private.former_organizations,
  bulwark_private.host_organizations,
  bulwark_private.host_members,
  bulwark_private.people
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.super_admin_role(),
  bulwark_private.admin_role(),
  bulwark_private.holds_all_rights(),
  bulwark_private.lock_rights(organization_id uuid, exclusively boolean),
  bulwark_private.lock_rights_of_many(organizations bigint),
  bulwark_private.lock_count(what text, whose text),
  bulwark_private.lock_account_deletion(),
  bulwark_private.watch_account_deletion(),
  bulwark_private.bump_permission_version(organization_id uuid),
  bulwark_private.organizations_start_permission_version(),
  bulwark_private.refresh_effective_permissions(role_ids uuid[]),
  bulwark_private.role_links_refresh(),
  bulwark_private.role_inheritance_validate(),
  bulwark_private.user_roles_validate(),
  bulwark_private.user_roles_keep_administrator(),
  bulwark.read_native_mfa(claims regclass, factors regclass),
  bulwark_private.session_mfa(session_id uuid, user_id uuid),
  bulwark.mfa_verified(max_age interval),
  bulwark_private.session_passes_mfa(),
  bulwark_private.is_member(user_id uuid, organization_id uuid),
  bulwark_private.organizations_of(user_id uuid, suspended boolean),
  bulwark_private.require_known_permission(permission text),
  bulwark_private.user_permits(user_id uuid, permission text, organization_id uuid),
  bulwark_private.session_permits(user_id uuid, permission text, organization_id uuid, session_id uuid),
  bulwark.is_super_admin(),
  bulwark_private.api_key_organizations(permission text),
  bulwark.organizations_with(permission text),
  bulwark.member_organizations(),
  bulwark.require_permission(permission text, organization_id uuid),
  bulwark_private.require_permission_to_change(permission text, organization_id uuid),
  bulwark_private.require_permission_to_act(permission text, organization_id uuid),
  bulwark_private.can_see_user(user_id uuid, organization_id uuid, former boolean),
  bulwark_private.require_visible_user(user_id uuid, organization_id uuid, former boolean),
  bulwark.mfa_required(organization_id uuid),
  bulwark.has_permission(permission text, organization_id uuid),
  bulwark.user_has_permission(user_id uuid, permission text, organization_id uuid),
  bulwark.check_permissions(permissions text[], organization_id uuid),
  bulwark.get_user_roles(user_id uuid, organization_id uuid),
  bulwark.explain_permission(user_id uuid, permission text, organization_id uuid),
  bulwark_private.require_organization_name(name text),
  bulwark_private.require_organization_slug(slug text),
  bulwark_private.require_existing_user(user_id uuid),
  bulwark_private.caller_is_sign_up(),
  bulwark.create_organization(name text, slug text, administrator_id uuid),
  bulwark.update_organization(organization_id uuid, name text, slug text),
  bulwark.delete_organization(organization_id uuid, confirm_slug text),
  bulwark_private.find_role(name text, organization_id uuid),
  bulwark_private.grant_refusal(granter uuid, role_id uuid, organization_id uuid, held_until timestamptz),
  bulwark_private.raise_grant_refusal(refusal text, action text),
  bulwark.grant_role(user_id uuid, role text, organization_id uuid, starts_at timestamptz, expires_at timestamptz),
  bulwark.revoke_role(user_id uuid, role text, organization_id uuid),
  bulwark_private.lasting_permissions(user_id uuid, organization_id uuid),
  bulwark_private.set_role_contents(role_id uuid, organization_id uuid, permissions text[], inherits text[]),
  bulwark_private.require_role_rank(role_id uuid, held text[], level smallint),
  bulwark_private.lasting_level(user_id uuid, organization_id uuid),
  bulwark_private.find_own_role(name text, organization_id uuid),
  bulwark_private.require_role_name(name text, description text),
  bulwark.create_role(organization_id uuid, name text, permissions text[], inherits text[], description text),
  bulwark.update_role(organization_id uuid, role text, name text, permissions text[], inherits text[], description text),
  bulwark.delete_role(organization_id uuid, role text),
  bulwark_private.confirmed_email(),
  bulwark_private.require_room_for_invitation(organization_id uuid, email text),
  bulwark_private.issue_invitation_token(invitation_id uuid),
  bulwark_private.announce_invitation(invitation_id uuid),
  bulwark.invite_member(organization_id uuid, email text, role text, expires_in interval, role_expires_at timestamptz),
  bulwark.revoke_invitation(invitation_id uuid),
  bulwark_private.depart(user_id uuid, organization_id uuid, left_at timestamptz),
  bulwark_private.has_departed_since(user_id uuid, invitation bulwark.invitations),
  bulwark_private.user_roles_note_departures(),
  bulwark_private.note_invited_account(),
  bulwark_private.watch_invited_accounts(),
  bulwark.cleanup_invitations(),
  bulwark_private.next_access_token_hook(),
  bulwark_private.add_organization_claims(event jsonb),
  bulwark.custom_access_token_hook(event jsonb),
  bulwark_private.organization_of(key text),
  bulwark_private.is_hashed_id(key text),
  bulwark_private.require_plain_key(key text),
  bulwark_private.organizations_note_deletion(),
  bulwark_private.organizations_refuse_id(),
  bulwark.organization_id(key text),
  bulwark_private.require_host_table(target regclass),
  bulwark_private.require_host_column(target regclass, column_name text, types regtype[]),
  bulwark_private.host_key_types(),
  bulwark_private.is_unique_column(target regclass, column_name text),
  bulwark_private.lock_host_rows(),
  bulwark_private.require_own_organizations(),
  bulwark_private.require_host(relation oid),
  bulwark_private.host_name(name text, organization_id uuid),
  bulwark_private.host_slug(slug text, organization_id uuid),
  bulwark_private.rename_host_organization(organization_id uuid, name text, slug text),
  bulwark_private.keep_host_organization(host bulwark_private.host_organizations, key text, name text, slug text),
  bulwark_private.delete_host_organization(organization_id uuid),
  bulwark_private.follow_host_organizations(),
  bulwark_private.follow_host_name(),
  bulwark_private.host_organization_triggers(),
  bulwark_private.watch_host_organizations(),
  bulwark_private.make_host_helper(helper text, relation regclass, key_type text),
  bulwark_private.take_over_organizations(host bulwark_private.host_organizations, repeated boolean),
  bulwark.use_organizations(target regclass, id text, name text, slug text, helper text),
  bulwark.release_organizations(),
  bulwark_private.host_row_problems(),
  bulwark_private.host_organization_problems(),
  bulwark_private.require_own_members(),
  bulwark_private.require_no_host_grant(user_id uuid, role_id uuid, organization_id uuid),
  bulwark_private.host_role(host bulwark_private.host_members, value text),
  bulwark_private.require_members_host(relation oid),
  bulwark_private.may_be_member(user_id uuid),
  bulwark_private.host_grants(key text, members uuid[]),
  bulwark_private.follow_members(key text, members uuid[]),
  bulwark_private.follow_members_of(key text, member uuid),
  bulwark_private.follow_granted(),
  bulwark_private.follow_host_members(),
  bulwark_private.follow_named_account(),
  bulwark_private.watch_named_accounts(),
  bulwark_private.organization_expression(relation oid, column_name text, value text),
  bulwark_private.organization_helper(relation oid, column_name text),
  bulwark_private.host_member_triggers(),
  bulwark_private.watch_host_members(),
  bulwark_private.require_host_roles(roles jsonb, otherwise text),
  bulwark_private.host_grant_differences(),
  bulwark.use_members(target regclass, organization text, member text, role text, roles jsonb, otherwise text),
  bulwark.release_members(),
  bulwark_private.host_member_problems(),
  bulwark_private.printable_name(said_name text),
  bulwark_private.has_second_factor(user_id uuid),
  bulwark.list_members(organization_id uuid, search text, role text, after text, page_size integer),
  bulwark.list_names(organization_id uuid, user_ids uuid[]),
  bulwark_private.require_membership(user_id uuid, organization_id uuid),
  bulwark_private.take_roles(user_id uuid, organization_id uuid, kept uuid[], taker uuid),
  bulwark.set_member_roles(organization_id uuid, user_id uuid, roles text[]),
  bulwark.remove_member(organization_id uuid, user_id uuid),
  bulwark.leave_organization(organization_id uuid),
  bulwark_private.permissions_here(user_id uuid, organization_id uuid, passes_mfa boolean),
  bulwark.whoami(known_version text),
  bulwark.list_settings(),
  bulwark.set_setting(name text, value json),
  bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations),
  bulwark_private.require_confirmed_email(),
  bulwark_private.take_invitation(invitation_id uuid, token_hash bytea),
  bulwark.accept_invitation(token text),
  bulwark.my_invitations(),
  bulwark.preview_invitation(token text),
  bulwark.accept_my_invitation(invitation_id uuid),
  bulwark.decline_invitation(invitation_id uuid),
  bulwark_private.invitation_state(invitation bulwark.invitations),
  bulwark.list_invitations(organization_id uuid, states text[], before uuid, page_size integer),
  bulwark.resend_invitation(invitation_id uuid, expires_in interval)
  from public, anon, authenticated, service_role;

-- Grants of rbac. The build revokes everything else.

grant select on
  bulwark.permissions,
  bulwark.organizations,
  bulwark.roles,
  bulwark.role_permissions,
  bulwark.role_inheritance,
  bulwark.user_roles,
  bulwark.mfa_policies,
  bulwark.invitations
  to authenticated, service_role;

grant execute on function
  bulwark.is_super_admin(),
  bulwark.member_organizations(),
  bulwark.require_permission(text, uuid),
  bulwark.has_permission(text, uuid),
  bulwark.user_has_permission(uuid, text, uuid),
  bulwark.check_permissions(text[], uuid),
  bulwark.get_user_roles(uuid, uuid),
  bulwark.explain_permission(uuid, text, uuid),
  bulwark.mfa_required(uuid),
  bulwark_private.confirmed_email(),
  bulwark.accept_invitation(text),
  bulwark.my_invitations(),
  bulwark.accept_my_invitation(uuid),
  bulwark.decline_invitation(uuid),
  bulwark.whoami(text),
  bulwark.leave_organization(uuid)
  to authenticated;

-- Before they sign up, invitees have no account.
grant execute on function bulwark.preview_invitation(text) to anon, authenticated;

-- Policies of tables that are open to API keys call organizations_with, policies of MFA-required
-- tables mfa_verified, which is false for keys.
grant execute on function bulwark.organizations_with(text), bulwark.mfa_verified(interval)
  to authenticated, api_key;

grant execute on function
  bulwark.list_settings(),
  bulwark.set_setting(text, json),
  bulwark.create_organization(text, text, uuid),
  bulwark.update_organization(uuid, text, text),
  bulwark.delete_organization(uuid, text),
  bulwark.grant_role(uuid, text, uuid, timestamptz, timestamptz),
  bulwark.revoke_role(uuid, text, uuid),
  bulwark.list_members(uuid, text, text, text, integer),
  bulwark.list_names(uuid, uuid[]),
  bulwark.set_member_roles(uuid, uuid, text[]),
  bulwark.remove_member(uuid, uuid),
  bulwark.create_role(uuid, text, text[], text[], text),
  bulwark.update_role(uuid, text, text, text[], text[], text),
  bulwark.delete_role(uuid, text),
  bulwark.invite_member(uuid, text, text, interval, timestamptz),
  bulwark.revoke_invitation(uuid),
  bulwark.list_invitations(uuid, text[], uuid, integer),
  bulwark.resend_invitation(uuid, interval)
  to authenticated, service_role;

grant execute on function
  bulwark.user_has_permission(uuid, text, uuid),
  bulwark.get_user_roles(uuid, uuid),
  bulwark.explain_permission(uuid, text, uuid),
  bulwark.cleanup_invitations()
  to service_role;

-- Computed from the argument alone.
grant execute on function
  bulwark.organization_id(text),
  bulwark_private.organization_of(text),
  bulwark_private.uuid_or_null(text)
  to authenticated, service_role;

grant execute on function
  bulwark.custom_access_token_hook(jsonb),
  bulwark_private.next_access_token_hook(),
  bulwark_private.add_organization_claims(jsonb)
  to supabase_auth_admin;

insert into bulwark_private.capabilities values ('rbac', '0.1.0');
