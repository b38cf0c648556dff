-- Fieldnotes with Bulwark: both hooks call Bulwark first, and Bulwark calls ours.
update bulwark.settings set value = '"public.add_workspace_claims"'
where name = 'rbac.next_access_token_hook';
select bulwark.install_request_hook();

select bulwark.use_organizations('public.workspaces', name => 'title');
select bulwark.use_members(
  'public.workspace_people',
  organization => 'workspace',
  member => 'person',
  role => 'level',
  roles => '{"admin": "admin", "editor": "analyst", "reader": "viewer"}'
);

create policy "Read exports" on public.exports for select to authenticated
  using (workspace = any (array(select bulwark.workspace_ids('analytics:read'))));
create policy "Change exports" on public.exports for update to authenticated
  using (workspace = any (array(select bulwark.workspace_ids('analytics:write'))));

select bulwark.enable_audit('public.exports', organization_column => 'workspace');
