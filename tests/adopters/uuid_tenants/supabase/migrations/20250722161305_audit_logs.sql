-- Who changed a purchase; our accountants ask for it.
create table public.audit_logs (
  id bigint generated always as identity primary key,
  organization_id uuid not null references public.organizations (id) on delete cascade,
  actor uuid references auth.users (id) on delete set null,
  action text not null,
  record jsonb not null,
  at timestamptz not null default now()
);
create index on public.audit_logs (organization_id, at desc);
alter table public.audit_logs enable row level security;
create policy "read our log" on public.audit_logs for select to authenticated
  using (organization_id in (select private.my_organizations()));
revoke insert, update, delete, truncate on public.audit_logs from anon, authenticated;

create function private.log_purchase()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into public.audit_logs (organization_id, actor, action, record)
  values (new.organization_id, auth.uid(), lower(tg_op), to_jsonb(new));
  return null;
end;
$$;
create trigger log_purchase after insert or update on public.purchases
  for each row execute function private.log_purchase();
