-- Grants of rate limits. The build revokes everything else.

-- PostgREST calls the hook with the role of the request.
grant usage on schema bulwark_private to anon;
grant usage on schema bulwark, bulwark_private to api_key;

grant select on
  bulwark.rate_limit_rules,
  bulwark.rate_limit_overrides,
  bulwark.rate_limit_networks,
  bulwark.rate_limit_blocks
  to authenticated, service_role;

grant execute on function
  bulwark_private.charge_request(),
  bulwark_private.resolve_api_key(),
  bulwark.check_request()
  to anon, authenticated, service_role, api_key;

grant execute on function bulwark.rate_limit_caller() to authenticated, api_key;

grant execute on function
  bulwark.rate_limit_usage(uuid),
  bulwark.set_rate_limit(text, integer, integer, uuid, uuid),
  bulwark.clear_rate_limit(text, uuid, uuid),
  bulwark.list_network(text, bulwark.network_verdict, text, timestamptz),
  bulwark.unlist_network(text),
  bulwark.lift_rate_limit_block(uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.check_rate_limit(text, uuid, uuid, text, text, uuid, integer, integer),
  bulwark.rate_limit_rule(text, uuid, uuid),
  bulwark.rate_limit_block_of(text, uuid, uuid, text, text),
  bulwark.record_rate_limit_denial(text, text[], text[], text, uuid, uuid, uuid),
  bulwark.check_rate_limits(text[], uuid[], text[]),
  bulwark.begin_login(text, text, text),
  bulwark.finish_login(text, text, uuid, real, real),
  bulwark.cleanup_old_rate_limits()
  to service_role;

grant execute on function
  bulwark.password_verification_attempt_hook(jsonb),
  bulwark.mfa_verification_attempt_hook(jsonb)
  to supabase_auth_admin;
