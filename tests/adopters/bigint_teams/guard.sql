-- Relay with Bulwark: its teams have bigint keys, and so has the helper of policies.
select bulwark.use_organizations('public.teams');
select bulwark.use_members(
  'public.team_members',
  organization => 'teamId',
  member => 'userId',
  role => 'role',
  roles => '{"owner": "admin", "member": "analyst", "guest": "viewer"}'
);

create policy "report: read" on "public"."reports" for select to "authenticated"
  using ("teamId" = any (array(select "bulwark"."team_ids"('analytics:read'))));
create policy "report: change" on "public"."reports" for update to "authenticated"
  using ("teamId" = any (array(select "bulwark"."team_ids"('analytics:write'))));

select bulwark.enable_audit('public.reports', organization_column => 'teamId');
select bulwark.enable_audit('public.messages', organization_column => 'teamId');
