create table public.notes (
  id uuid primary key default extensions.uuid_generate_v4(),
  workspace text not null references public.workspaces on delete cascade,
  author uuid default auth.uid() references public.profiles on delete set null,
  title text not null default '',
  body text not null default '',
  place point,
  tags text[] not null default '{}',
  updated_at timestamptz not null default now()
);
create index notes_workspace on public.notes (workspace);
create index notes_author on public.notes (author);
create index notes_tags on public.notes using gin (tags);
alter table public.notes enable row level security;

create policy "Read notes" on public.notes for select to authenticated
  using (workspace = any ((select public.my_workspaces())::text[]));
create policy "Write notes" on public.notes for insert to authenticated
  with check (exists (
    select from public.workspace_people p
    where p.workspace = notes.workspace and p.person = (select auth.uid()) and p.level <> 'reader'
  ));

-- Notes appear on the other devices at once.
alter publication supabase_realtime add table public.notes;
alter table public.notes replica identity full;

-- Photos: <workspace>/<note>/<file>
insert into storage.buckets (id, name, public) values ('photos', 'photos', false);
create policy "Photos of my workspaces" on storage.objects for select to authenticated
  using (bucket_id = 'photos' and (storage.foldername(name))[1] = any ((select public.my_workspaces())::text[]));
create policy "Upload photos" on storage.objects for insert to authenticated
  with check (bucket_id = 'photos' and (storage.foldername(name))[1] = any ((select public.my_workspaces())::text[]));
