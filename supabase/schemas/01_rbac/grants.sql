-- Grants of rbac. The build revokes everything else.

grant select on
  bulwark.permissions,
  bulwark.organizations,
  bulwark.roles,
  bulwark.role_permissions,
  bulwark.role_inheritance,
  bulwark.user_roles,
  bulwark.mfa_policies,
  bulwark.invitations
  to authenticated, service_role;

grant execute on function
  bulwark.is_super_admin(),
  bulwark.member_organizations(),
  bulwark.require_permission(text, uuid),
  bulwark.has_permission(text, uuid),
  bulwark.user_has_permission(uuid, text, uuid),
  bulwark.check_permissions(text[], uuid),
  bulwark.get_user_roles(uuid, uuid),
  bulwark.explain_permission(uuid, text, uuid),
  bulwark.mfa_required(uuid),
  bulwark_private.confirmed_email(),
  bulwark.accept_invitation(text),
  bulwark.my_invitations(),
  bulwark.accept_my_invitation(uuid),
  bulwark.decline_invitation(uuid),
  bulwark.whoami(text),
  bulwark.leave_organization(uuid)
  to authenticated;

-- Before they sign up, invitees have no account.
grant execute on function bulwark.preview_invitation(text) to anon, authenticated;

-- Policies of tables that are open to API keys call organizations_with, policies of MFA-required
-- tables mfa_verified, which is false for keys.
grant execute on function bulwark.organizations_with(text), bulwark.mfa_verified(interval)
  to authenticated, api_key;

grant execute on function
  bulwark.list_settings(),
  bulwark.set_setting(text, json),
  bulwark.create_organization(text, text, uuid),
  bulwark.update_organization(uuid, text, text),
  bulwark.delete_organization(uuid, text),
  bulwark.grant_role(uuid, text, uuid, timestamptz, timestamptz),
  bulwark.revoke_role(uuid, text, uuid),
  bulwark.list_members(uuid, text, text, text, integer),
  bulwark.list_names(uuid, uuid[]),
  bulwark.set_member_roles(uuid, uuid, text[]),
  bulwark.remove_member(uuid, uuid),
  bulwark.create_role(uuid, text, text[], text[], text),
  bulwark.update_role(uuid, text, text, text[], text[], text),
  bulwark.delete_role(uuid, text),
  bulwark.invite_member(uuid, text, text, interval, timestamptz),
  bulwark.revoke_invitation(uuid),
  bulwark.list_invitations(uuid, text[], uuid, integer),
  bulwark.resend_invitation(uuid, interval)
  to authenticated, service_role;

grant execute on function
  bulwark.user_has_permission(uuid, text, uuid),
  bulwark.get_user_roles(uuid, uuid),
  bulwark.explain_permission(uuid, text, uuid),
  bulwark.cleanup_invitations()
  to service_role;

-- Computed from the argument alone.
grant execute on function
  bulwark.organization_id(text),
  bulwark_private.organization_of(text),
  bulwark_private.uuid_or_null(text)
  to authenticated, service_role;

grant execute on function
  bulwark.custom_access_token_hook(jsonb),
  bulwark_private.next_access_token_hook(),
  bulwark_private.add_organization_claims(jsonb)
  to supabase_auth_admin;
