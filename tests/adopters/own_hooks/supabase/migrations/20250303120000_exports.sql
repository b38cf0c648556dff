-- Copies of a whole workspace that people order; made at night.
create table public.exports (
  id uuid primary key default extensions.uuid_generate_v4(),
  workspace text not null references public.workspaces on delete cascade,
  format text not null check (format in ('markdown', 'pdf')),
  ordered_at timestamptz not null default now()
);
create index exports_workspace on public.exports (workspace);
alter table public.exports enable row level security;
