-- A project in use: an application with tables, functions, policies and triggers of its own, Vault,
-- people, and data of Bulwark. Every pgTAP file runs in it, because adopters have one. Runs as
-- postgres, after the helpers.

-- Vault, of the shape that hosted projects have.
create schema vault;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(), name text unique, secret text not null
);
create view vault.decrypted_secrets as
  select s.id, s.name, s.secret as decrypted_secret from vault.secrets s;
create function vault.create_secret(new_secret text, new_name text default null) returns uuid
  language sql as $$
  insert into vault.secrets (name, secret) values (new_name, new_secret) returning id;
$$;
select vault.create_secret('https://project.test', 'bulwark_project_url'),
  vault.create_secret('hush-hush', 'bulwark_scheduler_secret'),
  vault.create_secret('sk_live', 'payments');

-- Names that Bulwark uses too, in the schemas of the application.
create schema private;
create type public.role as enum ('owner', 'member');
create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade, display_name text
);
create table public.organizations (
  id bigint generated always as identity primary key, name text not null
);
create table public.members (
  organization bigint not null references public.organizations (id) on delete cascade,
  member uuid not null references public.profiles (id) on delete cascade,
  role public.role not null default 'member',
  primary key (organization, member)
);
create table public.roles (name text primary key);
create table public.permissions (name text primary key);
create table public.audit_logs (
  id bigint generated always as identity primary key, actor uuid references auth.users (id),
  event text not null, at timestamptz not null default now()
);
create table private.settings (name text primary key, value text);
create view public.colleagues as select p.id, p.display_name from public.profiles p;
create materialized view public.sizes as
  select m.organization, count(*) as members from public.members m group by m.organization;

-- Functions without a search path, with comments for nobody, open to all.
create function public.has_permission(permission text) returns boolean language sql stable as $$
  select exists (select from public.members m where m.member = auth.uid() and m.role = 'owner');
$$;
create function public.is_member(organization bigint) returns boolean
  language sql stable security definer as $$
  select exists (
    select from public.members m
    where m.organization = is_member.organization and m.member = auth.uid()
  );
$$;
create function public.current_user_id() returns uuid language sql stable as 'select auth.uid()';
create function private.note() returns trigger language plpgsql security definer as $$
begin
  insert into public.audit_logs (actor, event) values (auth.uid(), tg_table_name || tg_op);
  return null;
end;
$$;
create trigger note after insert or update or delete on public.members
  for each row execute function private.note();
create function public.handle_new_user() returns trigger language plpgsql security definer as $$
begin
  insert into public.profiles (id, display_name) values (new.id, new.email);
  return new;
end;
$$;
create trigger on_auth_user_created after insert on auth.users
  for each row execute function public.handle_new_user();

alter table public.profiles enable row level security;
alter table public.organizations enable row level security;
alter table public.members enable row level security;
create policy anybody on public.profiles using (true);
create policy own on public.members for all using (member = auth.uid());
create policy members on public.organizations for select using (public.is_member(id));

-- A table under Bulwark's protection.
create table public.documents (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  author uuid references public.profiles (id) on delete set null,
  body text
);
create index documents_organization_id_idx on public.documents (organization_id);
alter table public.documents enable row level security;
create policy "Members read documents where they may" on public.documents
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
select bulwark.enable_audit('public.documents', organization_column => 'organization_id');

-- People, organizations and what they left. Names that no test uses.
select tests.create_user(u || '@nakatomi.test') from unnest('{ada, grace, alan}'::text[]) as u;
insert into public.organizations (name) values ('Nakatomi');
insert into public.members (organization, member, role)
select 1, p.id,
  (case p.display_name when 'ada@nakatomi.test' then 'owner' else 'member' end)::public.role
from public.profiles p;
select bulwark.create_organization('Nakatomi', 'nakatomi', tests.user_id('ada@nakatomi.test'));
select bulwark.create_organization('Tyrell', 'tyrell', tests.user_id('alan@nakatomi.test'));
select bulwark.grant_role(
  tests.user_id('grace@nakatomi.test'), 'analyst', tests.organization_id('nakatomi')
);
select bulwark.log_audit_event('data.export', organization_id => tests.organization_id('nakatomi'));
begin;
select tests.act_as('ada@nakatomi.test');
select bulwark.create_role(tests.organization_id('nakatomi'), 'bookkeeper', '{audit:read}');
select bulwark.invite_member(tests.organization_id('nakatomi'), 'later@nakatomi.test', 'viewer');
select bulwark.create_api_key(
  tests.organization_id('nakatomi'), 'Nightly', '{analytics:read}'
);
select tests.act_as_owner();
insert into public.documents (organization_id, author, body)
select o.id, tests.user_id('ada@nakatomi.test'), 'First'
from bulwark.organizations o where o.slug = 'nakatomi';
commit;
select bulwark.seal_audit_log();
