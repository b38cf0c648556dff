-- Compliance: grants. The build revokes everything else.

grant execute on function
  bulwark.compliance_report(uuid, timestamptz, timestamptz)
  to authenticated, service_role;
