-- Tally with Bulwark: contracts are open to whom Bulwark lets, in the organizations of Tally.
select bulwark.use_organizations('public.organizations', slug => 'slug');
select bulwark.use_members(
  'public.organization_users',
  organization => 'organization_id',
  member => 'user_id',
  role => 'role',
  roles => '{"owner": "admin", "approver": "analyst", "buyer": "viewer", "auditor": "viewer"}'
);

create policy "Members read contracts where they may" on public.contracts
  for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:read'))));
create policy "Members change contracts where they may" on public.contracts
  for update to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('analytics:write'))));

select bulwark.enable_audit('public.contracts', organization_column => 'organization_id');
