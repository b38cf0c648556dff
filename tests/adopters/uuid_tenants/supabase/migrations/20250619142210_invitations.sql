create table public.invitations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references public.organizations (id) on delete cascade,
  email text not null,
  role text not null references public.roles (key),
  token uuid not null unique default gen_random_uuid(),
  accepted_at timestamptz,
  unique (organization_id, email)
);
alter table public.invitations enable row level security;

create policy "owners invite" on public.invitations for all to authenticated
  using (organization_id in (select private.my_organizations()) and public.has_permission('members.manage'))
  with check (organization_id in (select private.my_organizations()) and public.has_permission('members.manage'));

create function public.accept_invitation(token uuid)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  invitation public.invitations;
begin
  update public.invitations i
  set accepted_at = now()
  where i.token = accept_invitation.token and i.accepted_at is null
    and i.email = (select u.email from auth.users u where u.id = auth.uid())
  returning * into invitation;
  if not found then
    raise exception 'This invitation is not for you' using errcode = 'P0001';
  end if;

  insert into public.organization_users (organization_id, user_id, role)
  values (invitation.organization_id, auth.uid(), invitation.role)
  on conflict do nothing;
  update public.profiles set current_organization = invitation.organization_id where id = auth.uid();
  return invitation.organization_id;
end;
$$;
revoke execute on function public.accept_invitation(uuid) from public, anon;
