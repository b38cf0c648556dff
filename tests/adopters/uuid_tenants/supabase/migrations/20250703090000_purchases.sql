create type public.purchase_status as enum ('draft', 'submitted', 'approved', 'rejected');

create table public.purchases (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id) on delete cascade,
  title text not null,
  cents bigint not null check (cents > 0),
  status public.purchase_status not null default 'draft',
  requested_by uuid not null default auth.uid() references public.profiles (id),
  created_at timestamptz not null default now()
);
create index on public.purchases (organization_id);
create index on public.purchases (requested_by);
alter table public.purchases enable row level security;

create policy "read purchases" on public.purchases for select to authenticated
  using (organization_id in (select private.my_organizations()));
create policy "request purchases" on public.purchases for insert to authenticated
  with check (
    organization_id in (select private.my_organizations())
    and requested_by = (select auth.uid())
    and (select public.has_permission('purchases.create'))
  );
create policy "decide purchases" on public.purchases for update to authenticated
  using (
    organization_id in (select private.my_organizations())
    and (select public.has_permission('purchases.approve'))
  );

create function private.nobody_approves_their_own()
returns trigger
language plpgsql
as $$
begin
  if new.status = 'approved' and new.requested_by = auth.uid() then
    raise exception 'Somebody else has to approve this';
  end if;
  return new;
end;
$$;
create trigger nobody_approves_their_own before update of status on public.purchases
  for each row execute function private.nobody_approves_their_own();

create view public.spending with (security_invoker = true) as
  select organization_id, date_trunc('month', created_at) as month, sum(cents) as cents
  from public.purchases
  where status = 'approved'
  group by 1, 2;
