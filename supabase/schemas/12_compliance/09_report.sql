-- Compliance report: the evidence about one organization in one document, for an auditor.
-- Protects against a report that shows more than its reader may list: each part needs the
-- permission of the list it comes from. The report is an entry of the log, and names that entry.
-- SECURITY DEFINER: compliance_report, because no client reads seals, keys and grants of others.

create function bulwark_private.report_reviews(organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'open', count(*) filter (where r.closed_at is null),
    'overdue', count(*) filter (where r.closed_at is null and r.due_at < now()),
    'last_closed_at', max(r.closed_at),
    'reviews', (
      select coalesce(jsonb_agg(to_jsonb(l) order by l.started_at desc, l.id), '[]')
      from (
        select n.id, n.name, n.started_at, n.due_at, n.closed_at, n.reviewers,
          bulwark_private.access_review_totals(n.id) as totals
        from bulwark.access_reviews n
        where n.organization_id = report_reviews.organization_id
        order by n.started_at desc
        limit 20
      ) l
    ),
    'reviews_cut', count(*) > 20
  )
  from bulwark.access_reviews r
  where r.organization_id = report_reviews.organization_id;
$$;
comment on function bulwark_private.report_reviews(uuid) is
  'The access reviews of an organization, the newest 20 listed with where they stand.';

create function bulwark.compliance_report(
  organization_id uuid,
  since timestamptz default null,
  until timestamptz default null
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client reads seals, keys and others' grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry uuid;
  v_permission text;
  v_report jsonb;
  v_until constant timestamptz := least(coalesce(until, clock_timestamp()), clock_timestamp());
  v_since constant timestamptz := coalesce(since, v_until - interval '90 days');
begin
  if organization_id is null then
    raise exception 'Cannot report: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
  end if;
  foreach v_permission in array array[
    'compliance:read', 'audit:read', 'audit:export', 'user:read', 'security:read', 'api_key:read'
  ] loop
    perform bulwark.require_permission(v_permission, organization_id);
  end loop;
  if not (isfinite(v_since) and isfinite(v_until)) or v_since >= v_until then
    raise exception 'Cannot report: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_RANGE';
  end if;
  if not exists (
    select from bulwark.organizations o where o.id = compliance_report.organization_id
  ) then
    raise exception 'Cannot report: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  v_report := jsonb_build_object(
    'kind', 'bulwark compliance report',
    'format', 1,
    'version', bulwark.version(),
    'capabilities', (
      select jsonb_agg(c.name order by c.name) from bulwark_private.capabilities c
    ),
    'organization', (
      select jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug)
      from bulwark.organizations o where o.id = compliance_report.organization_id
    ),
    'since', v_since,
    'until', v_until,
    'made_at', clock_timestamp(),
    'made_by', bulwark.current_person(),
    'access', bulwark_private.report_access(organization_id),
    'mfa', bulwark_private.report_mfa(organization_id),
    'api_keys', bulwark_private.report_api_keys(organization_id),
    'reviews', bulwark_private.report_reviews(organization_id),
    'keys_in_use', bulwark_private.report_keys(organization_id),
    'retention_rules', bulwark_private.report_retention(organization_id),
    'events', bulwark_private.report_events(organization_id, v_since, v_until),
    'verification', bulwark_private.report_verification(organization_id, v_since, v_until)
  ) || bulwark_private.report_log(organization_id, v_since, v_until);
  -- Last, so that nobody loses the right while it is made and gets it all the same.
  perform bulwark_private.require_permission_to_act('audit:export', organization_id);
  v_entry := bulwark_private.append_audit_entry(
    'compliance.export', organization_id, 'bulwark.organizations', organization_id::text,
    'compliance_report',
    details => jsonb_build_object(
      'since', v_since, 'until', v_until,
      'sha256', encode(sha256(convert_to(v_report::text, 'utf8')), 'hex')
    )
  );
  return v_report || jsonb_build_object('entry', v_entry);
end;
$$;
comment on function bulwark.compliance_report(uuid, timestamptz, timestamptz) is
  'The evidence about an organization from since (default: 90 days before until) to until (now), in
   one document: access, mfa, api_keys, reviews, keys_in_use, retention_rules and events are the
   present state; grants, privileged, keys, retention and incidents are entries of the range, the
   newest 500 of each with their total; log says how far it was read, verification whether it is
   intact.
   It takes about four seconds at most; what was cut says so. Needs compliance:read, audit:read,
   audit:export, user:read, security:read and api_key:read there, and is itself an entry (entry)
   with the SHA-256 of its text without that id. Errors: COMPLIANCE_INVALID_RANGE,
   COMPLIANCE_NULL_ARGUMENT, RBAC_PERMISSION_DENIED, MFA_REQUIRED; to the service role
   RBAC_UNKNOWN_ORGANIZATION.';
