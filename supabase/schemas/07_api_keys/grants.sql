-- API keys: grants. The build revokes everything else.

grant select on
  bulwark.api_key_policies,
  bulwark.api_keys
  to authenticated, service_role;

grant execute on function
  bulwark.api_key_options(uuid),
  bulwark.create_api_key(uuid, text, text[], timestamptz, text, text[], text),
  bulwark.rotate_api_key(uuid, interval, timestamptz)
  to authenticated;

grant execute on function
  bulwark.set_api_key_policy(uuid, boolean, integer),
  bulwark.revoke_api_key(uuid, text),
  bulwark.list_api_keys(uuid, boolean, uuid, integer)
  to authenticated, service_role;

grant execute on function
  bulwark.exchange_api_key(text, text),
  bulwark.report_leaked_api_keys(jsonb)
  to service_role;
