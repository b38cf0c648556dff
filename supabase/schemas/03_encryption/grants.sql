-- Encryption: grants. The build revokes everything else.

grant execute on function
  bulwark.encryption_progress(uuid),
  bulwark.key_encryption_status()
  to authenticated;

grant execute on function
  bulwark.shred_organization(uuid, text),
  bulwark.retry_reencryption(uuid),
  bulwark.encryption_overview(uuid),
  bulwark.authorize_field_access(text, text, text[], text[], uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.is_shredded(uuid),
  bulwark.find_key_encryption_key(text),
  bulwark.register_key_encryption_key(text, text, text, text, integer),
  bulwark.reserve_data_key(text, integer, uuid),
  bulwark.read_data_keys(uuid[]),
  bulwark.read_index_keys(uuid),
  bulwark.list_encrypted_columns(text),
  bulwark.organizations_by_key(text[]),
  bulwark.add_data_key(uuid, text, text, integer, uuid),
  bulwark.encryption_progress(uuid),
  bulwark.next_reencryption_batch(integer),
  bulwark.apply_reencryption_batch(bigint, text, jsonb, jsonb, text),
  bulwark.choose_key_encryption_key(text),
  bulwark.data_keys_to_rewrap(text, integer),
  bulwark.rewrap_data_keys(jsonb),
  bulwark.report_key_fault(text, text),
  bulwark.key_encryption_status()
  to service_role;
