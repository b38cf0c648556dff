-- Grants of mfa. The build revokes everything else.

grant select on
  bulwark.mfa_usage_log,
  bulwark.mfa_resets
  to authenticated, service_role;

grant execute on function
  bulwark.begin_mfa_attempt(text),
  bulwark.begin_mfa_enrolment(),
  bulwark.begin_backup_codes(),
  bulwark.remove_mfa_factor(uuid),
  bulwark.trust_device(text),
  bulwark.present_trusted_device(text),
  bulwark.revoke_trusted_device(uuid),
  bulwark.mfa_status(),
  bulwark.my_sessions(),
  bulwark.end_session(uuid),
  bulwark_private.mfa_resets_to_decide()
  to authenticated;

grant execute on function
  bulwark.set_mfa_policy(uuid, boolean, interval, boolean),
  bulwark.mfa_compliance(uuid, text, uuid, integer),
  bulwark.request_mfa_reset(uuid, text, uuid),
  bulwark.approve_mfa_reset(uuid),
  bulwark.cancel_mfa_reset(uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.open_mfa_attempt(uuid),
  bulwark.complete_mfa_verification(uuid, uuid, bigint),
  bulwark.complete_mfa_backup_code(uuid, text),
  bulwark.store_mfa_secret(uuid, text, text),
  bulwark.complete_mfa_activation(uuid, uuid, bigint, text[]),
  bulwark.store_backup_codes(uuid, text[]),
  bulwark.cleanup_mfa()
  to service_role;
