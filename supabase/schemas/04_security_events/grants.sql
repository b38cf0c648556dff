-- Security events: grants. The build revokes everything else.

grant select on
  bulwark.security_event_types,
  bulwark.security_events
  to authenticated, service_role;

grant execute on function
  bulwark.list_security_events(
    uuid, boolean, bulwark.security_severity, uuid, integer, uuid, boolean, text
  ),
  bulwark.assign_security_event(uuid, uuid),
  bulwark.resolve_security_event(uuid, text)
  to authenticated, service_role;

grant execute on function
  bulwark.report_security_event(text, uuid, uuid, text, jsonb),
  bulwark.evaluate_security_rules(),
  bulwark.cleanup_security_events(integer)
  to service_role;
