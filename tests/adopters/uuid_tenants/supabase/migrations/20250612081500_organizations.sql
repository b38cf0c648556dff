-- Companies, who works for them, and what each role may do.
create schema private;

create table public.roles (
  key text primary key,
  title text not null,
  rank integer not null unique
);

create table public.permissions (
  role text not null references public.roles (key),
  permission text not null,
  primary key (role, permission)
);

create table public.organizations (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 2 and 80),
  slug text not null unique,
  billing_email text,
  created_at timestamptz not null default now()
);

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text not null,
  current_organization uuid references public.organizations (id) on delete set null
);

create table public.organization_users (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid not null references public.profiles (id) on delete cascade,
  role text not null references public.roles (key),
  joined_at timestamptz not null default now(),
  primary key (organization_id, user_id)
);
create index on public.organization_users (user_id);

insert into public.roles values
  ('owner', 'Owner', 40), ('approver', 'Approver', 30), ('buyer', 'Buyer', 20), ('auditor', 'Auditor', 10);
insert into public.permissions values
  ('owner', 'members.manage'), ('owner', 'purchases.approve'), ('owner', 'purchases.create'),
  ('approver', 'purchases.approve'), ('approver', 'purchases.create'),
  ('buyer', 'purchases.create');

-- Security definer, so that a policy of organization_users does not ask itself.
create function private.my_organizations()
returns setof uuid
language sql stable security definer set search_path = ''
as $$
  select organization_id from public.organization_users where user_id = auth.uid()
$$;

-- May the caller do this in the organization they are looking at?
create function public.has_permission(permission text)
returns boolean
language sql stable security definer set search_path = ''
as $$
  select exists (
    select 1
    from public.profiles me
    join public.organization_users m on m.user_id = me.id and m.organization_id = me.current_organization
    join public.permissions p on p.role = m.role
    where me.id = auth.uid() and p.permission = has_permission.permission
  )
$$;

grant usage on schema private to authenticated;
grant execute on function private.my_organizations() to authenticated;

alter table public.roles enable row level security;
alter table public.permissions enable row level security;
alter table public.organizations enable row level security;
alter table public.profiles enable row level security;
alter table public.organization_users enable row level security;

create policy "roles are public" on public.roles for select using (true);
create policy "permissions are public" on public.permissions for select using (true);
create policy "own organizations" on public.organizations for select to authenticated
  using (id in (select private.my_organizations()));
create policy "own profile" on public.profiles for all to authenticated
  using (id = (select auth.uid())) with check (id = (select auth.uid()));
create policy "colleagues" on public.organization_users for select to authenticated
  using (organization_id in (select private.my_organizations()));
