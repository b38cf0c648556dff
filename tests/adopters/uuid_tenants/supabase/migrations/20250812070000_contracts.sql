-- Contracts with suppliers. Only our back office reads them for now.
create table public.contracts (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id) on delete cascade,
  supplier text not null,
  yearly_cents bigint not null,
  ends_on date not null
);
create index on public.contracts (organization_id);
alter table public.contracts enable row level security;
