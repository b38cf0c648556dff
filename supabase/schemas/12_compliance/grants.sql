-- Compliance: grants. The build revokes everything else.

grant select on
  bulwark.access_reviews,
  bulwark.access_review_items
  to authenticated, service_role;

grant execute on function
  bulwark.compliance_report(uuid, timestamptz, timestamptz),
  bulwark.export_subject(uuid, uuid, text, integer),
  bulwark.start_access_review(uuid, text, timestamptz, uuid[]),
  bulwark.list_access_review(uuid, boolean, uuid, integer),
  bulwark.close_access_review(uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.decide_access(uuid, bulwark.access_review_decision, text, text)
  to authenticated;

grant execute on function
  bulwark.remind_access_reviews()
  to service_role;
