-- Compliance: grants. The build revokes everything else.

grant execute on function
  bulwark.compliance_report(uuid, timestamptz, timestamptz),
  bulwark.export_subject(uuid, uuid, text, integer)
  to authenticated, service_role;
