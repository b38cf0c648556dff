-- Built by npm run build from supabase/schemas/12_compliance: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

-- Compliance report, the present state: who has access, second factors, API keys, keys, retention
-- and open events of one organization.
-- Protects nothing by itself: bulwark.compliance_report decides who may ask, and every list here
-- has an end. A list that is cut says so.
-- No function here is SECURITY DEFINER.

create function bulwark_private.report_access(organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_after text;
  v_cut boolean := false;
  v_members jsonb := '[]';
  v_page jsonb;
  v_started constant timestamptz := clock_timestamp();
begin
  loop
    select coalesce(jsonb_agg(to_jsonb(m) - 'page_key' order by m.page_key), '[]'),
      max(m.page_key collate "C")
    into v_page, v_after
    from bulwark.list_members(
      report_access.organization_id, after => v_after, page_size => 1000
    ) m;
    v_members := v_members || v_page;
    exit when jsonb_array_length(v_page) < 1000;
    v_cut := jsonb_array_length(v_members) >= 5000
      or clock_timestamp() - v_started > interval '1 second';
    exit when v_cut;
  end loop;
  return jsonb_build_object(
    'members', v_members,
    'members_cut', v_cut,
    'members_total', (
      select count(distinct g.user_id) from bulwark_private.unexpired_grants g
      where g.organization_id = report_access.organization_id
    ),
    'administrators', (
      select count(distinct g.user_id)
      from bulwark_private.active_grants g
      where g.organization_id = report_access.organization_id
        and g.role_id = '00000000-0000-4000-8000-000000000080'
    ),
    -- Operators act inside every organization. Who they are is the installation's to tell.
    'super_admins', (
      select count(distinct g.user_id) from bulwark_private.active_grants g
      where g.organization_id is null and g.role_id = bulwark_private.super_admin_role()
    ),
    'pending_invitations', (
      select count(*) from bulwark.invitations i
      where i.organization_id = report_access.organization_id
        and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
    )
  );
end;
$$;
comment on function bulwark_private.report_access(uuid) is
  'Who has access and since when: up to 5,000 members, as bulwark.list_members lists them.';

create function bulwark_private.report_mfa(organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'required_from', p.required_from,
    'members', c.members,
    'enrolled', c.enrolled,
    'members_cut', c.members > 10000,
    'missing', c.missing,
    'missing_cut', c.members - c.enrolled > 500
  )
  from (
    select count(*) as members, count(*) filter (where f.enrolled) as enrolled,
      coalesce(
        to_jsonb((array_agg(m.user_id order by m.user_id) filter (where not f.enrolled))[1:500]),
        '[]'
      ) as missing
    from (
      select distinct g.user_id from bulwark_private.unexpired_grants g
      where g.organization_id = report_mfa.organization_id
        and g.starts_at <= now() and not g.suspended
      limit 10001
    ) m
    cross join lateral (select bulwark_private.has_second_factor(m.user_id)) f (enrolled)
  ) c
  left join bulwark.mfa_policies p on p.organization_id = report_mfa.organization_id;
$$;
comment on function bulwark_private.report_mfa(uuid) is
  'How many members have a second factor, and who has none: up to 10,000 members and 500 names.';

create function bulwark_private.report_api_keys(organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with keys as materialized (
    select k.id, k.owner_id, k.created_at, k.expires_at, k.issued_with_mfa, u.last_used_at
    from bulwark.api_keys k
    left join bulwark_private.api_key_uses u on u.api_key_id = k.id
    where k.organization_id = report_api_keys.organization_id
      and k.revoked_at is null and k.expires_at > now()
    order by k.created_at, k.id
    limit 10001
  )
  select jsonb_build_object(
    'in_force', count(*),
    'in_force_cut', count(*) > 10000,
    'older_than_30_days', count(*) filter (where k.created_at < now() - interval '30 days'),
    'older_than_90_days', count(*) filter (where k.created_at < now() - interval '90 days'),
    'older_than_180_days', count(*) filter (where k.created_at < now() - interval '180 days'),
    'never_used', count(*) filter (where k.last_used_at is null),
    'unused_for_90_days', count(*) filter (
      where coalesce(k.last_used_at, k.created_at) < now() - interval '90 days'
    ),
    'issued_without_mfa', count(*) filter (where not k.issued_with_mfa),
    'keys', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', l.id, 'name', l.name, 'first_characters', l.first_characters,
            'owner_id', l.owner_id, 'scopes', l.scopes, 'effective_scopes', l.effective_scopes,
            'status', l.status, 'created_at', l.created_at, 'expires_at', l.expires_at,
            'last_used_at', l.last_used_at
          )
          order by l.created_at, l.id
        ),
        '[]'
      )
      from bulwark.list_api_keys(report_api_keys.organization_id, page_size => 1000) l
    ),
    'keys_cut', count(*) > 1000
  )
  from keys k;
$$;
comment on function bulwark_private.report_api_keys(uuid) is
  'API keys in force by age and last use: up to 10,000 counted, and the newest 1,000 listed.';

create function bulwark_private.report_keys(organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'data_keys', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.purpose, d.version desc), '[]')
      from (
        select k.purpose, k.version, k.state, k.kek, k.created_at, k.superseded_at, k.destroyed_at
        from bulwark_private.data_keys k
        where k.organization_id = report_keys.organization_id
        order by k.created_at desc
        limit 100
      ) d
    ),
    'data_keys_total', (
      select count(*) from bulwark_private.data_keys k
      where k.organization_id = report_keys.organization_id
    ),
    'key_encryption_keys', (
      select coalesce(jsonb_agg(
        jsonb_build_object(
          'id', k.id, 'registered_at', k.registered_at, 'current', k.is_current
        )
        order by k.registered_at desc, k.id
      ), '[]')
      from bulwark_private.key_encryption_keys k
    ),
    'signing_keys', (
      select coalesce(jsonb_agg(
        jsonb_build_object('key_id', k.key_id, 'name', k.name, 'registered_at', k.registered_at)
        order by k.registered_at desc, k.key_id
      ), '[]')
      from bulwark.audit_keys k
    )
  );
$$;
comment on function bulwark_private.report_keys(uuid) is
  'The ids and ages of the organization''s data keys (the newest 100), of the keys that wrap them
   and of the keys that sign the log. Never a key.';

create function bulwark_private.report_retention(organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'settings', (
      select coalesce(jsonb_object_agg(s.name, s.value), '{}')
      from bulwark.settings s
      where s.name in (
        'audit.retention_days', 'audit.keep_days', 'audit.archive_after_days',
        'security.resolved_retention_days', 'rbac.invitation_retention_days',
        'mfa.usage_log_days', 'mfa.reset_days', 'rate_limits.violation_days'
      )
    ),
    'holds_in_force', (
      select coalesce(jsonb_agg(to_jsonb(h) order by h.placed_at desc, h.id), '[]')
      from (
        select l.id, l.subject_id, l.resource_type, l.placed_by, l.placed_by_operator, l.placed_at
        from bulwark.audit_legal_holds l
        where l.organization_id = report_retention.organization_id and l.released_at is null
        order by l.placed_at desc
        limit 1000
      ) h
    ),
    'archived_months', bulwark_private.archived_audit_months(
      report_retention.organization_id, null, null
    )
  );
$$;
comment on function bulwark_private.report_retention(uuid) is
  'How long data about people is kept, and the legal holds in force.';

create function bulwark_private.report_events(
  organization_id uuid,
  since timestamptz,
  until timestamptz
)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with events as materialized (
    select e.*
    from bulwark.security_events e
    where e.organization_id = report_events.organization_id
    order by e.raised_at desc, e.id desc
    limit 20001
  )
  select jsonb_build_object(
    'open', count(*) filter (where e.resolved_at is null),
    'open_by_severity', (
      select coalesce(jsonb_object_agg(s.severity, s.count), '{}')
      from (
        select o.severity, count(*) from events o where o.resolved_at is null group by o.severity
      ) s
    ),
    'oldest_open_at', min(e.raised_at) filter (where e.resolved_at is null),
    'unassigned', count(*) filter (where e.resolved_at is null and e.assigned_to is null),
    'raised_in_range', count(*) filter (where e.raised_at between since and until),
    'resolved_in_range', count(*) filter (where e.resolved_at between since and until),
    'median_hours_to_resolve', round((
      percentile_cont(0.5) within group (
        order by extract(epoch from e.resolved_at - e.raised_at) / 3600
      ) filter (where e.resolved_at between since and until)
    )::numeric, 1),
    'events_cut', count(*) > 20000,
    'open_events', (
      select coalesce(jsonb_agg(to_jsonb(l) order by l.raised_at desc, l.id), '[]')
      from (
        select o.id, o.event_type, o.severity, o.raised_at, o.last_seen_at, o.occurrences,
          o.user_id, o.assigned_to
        from events o
        where o.resolved_at is null
        order by o.raised_at desc, o.id desc
        limit 500
      ) l
    ),
    'open_events_cut', count(*) filter (where e.resolved_at is null) > 500
  )
  from events e;
$$;
comment on function bulwark_private.report_events(uuid, timestamptz, timestamptz) is
  'The open security events of an organization, and how long those took that were resolved in the
   range: of its newest 20,000, the newest 500 open ones listed.';

-- Compliance report, the acts of a range of time: read from the audit log by its index, from the
-- newest entry backwards, and verified.
-- Protects against a report over a large log that runs into the statement timeout and says nothing
-- of it: each part ends after a second or two and says how far it came.
-- No function here is SECURITY DEFINER.

create function bulwark_private.report_section(
  event_type text,
  resource_type text,
  severity bulwark.audit_severity
)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when event_type in ('authz.role_assigned', 'authz.role_removed') then 'grants'
    when event_type = 'compliance.data_deleted' or resource_type = 'bulwark.audit_legal_holds'
      then 'retention'
    when resource_type in (
      'bulwark_private.data_keys', 'bulwark_private.shredded_organizations',
      'bulwark_private.webhook_secrets', 'bulwark_private.encrypted_columns'
    ) then 'keys'
    when severity = 'critical' or event_type like 'security.%' then 'incidents'
    when event_type in (
      'authz.permission_granted', 'config.changed', 'settings.updated', 'api.key_created',
      'api.key_revoked', 'auth.mfa_disabled', 'data.export'
    ) or event_type like 'compliance.%' or resource_type in (
      'bulwark.organizations', 'bulwark.roles', 'bulwark.role_permissions',
      'bulwark.role_inheritance', 'bulwark.mfa_policies', 'bulwark.mfa_resets',
      'bulwark.api_key_policies'
    ) then 'privileged'
  end;
$$;
comment on function bulwark_private.report_section(text, text, bulwark.audit_severity) is
  'The section of a compliance report that lists an entry: grants, retention, keys, incidents or
   privileged; null: entries that are only counted.';

create function bulwark_private.report_log(
  organization_id uuid,
  since timestamptz,
  until timestamptz
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_listed constant integer := 500;
  v_before uuid := bulwark_private.audit_id_floor(until + interval '1 millisecond');
  v_counts jsonb := '[]';
  v_entries jsonb := '[]';
  v_floor constant uuid := bulwark_private.audit_id_floor(since - interval '1 microsecond');
  v_full text[] := array[]::text[];
  v_low uuid;
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_counts jsonb;
  v_step_entries jsonb;
  v_step_started timestamptz;
  v_sections jsonb;
begin
  loop
    v_step_started := clock_timestamp();
    -- Sorted by both columns of the index, so that no other can be taken for a faster one.
    select e.id into v_low
    from bulwark.audit_logs e
    where (e.organization_id, e.id) < (report_log.organization_id, v_before)
      and (e.organization_id, e.id) >= (report_log.organization_id, v_floor)
      and e.id < v_before and e.id >= v_floor
    order by e.organization_id desc, e.id desc
    offset v_step limit 1;
    with read as materialized (
      select e.*, bulwark_private.report_section(e.event_type, e.resource_type, e.severity)
        as section
      from bulwark.audit_logs e
      where e.organization_id = report_log.organization_id
        and e.id < v_before and e.id >= coalesce(v_low, v_floor)
        and e.occurred_at >= since and e.occurred_at <= until
    )
    select
      (
        select jsonb_agg(to_jsonb(c))
        from (
          select r.section, r.event_type, r.result, count(*)
          from read r group by r.section, r.event_type, r.result
        ) c
      ),
      (
        select jsonb_agg(
          jsonb_strip_nulls(jsonb_build_object(
            'section', l.section, 'id', l.id, 'at', l.occurred_at, 'type', l.event_type,
            'action', l.action, 'result', l.result, 'severity', l.severity,
            'actor_type', l.actor_type, 'actor_id', l.actor_id,
            'resource_type', l.resource_type, 'resource_id', l.resource_id,
            'user_id', coalesce(l.after ->> 'user_id', l.before ->> 'user_id'),
            'role_id', coalesce(l.after ->> 'role_id', l.before ->> 'role_id'),
            'expires_at', l.after ->> 'expires_at',
            'kind', case when l.section = 'retention' then l.details ->> 'kind' end,
            'entries', case when l.section = 'retention' then l.details -> 'entries' end,
            'reason', case when l.section = 'retention' then l.details ->> 'reason' end,
            'payload_removed', case when l.removed_by is not null then true end
          ))
          order by l.id desc
        )
        from (
          select r.*, row_number() over (partition by r.section order by r.id desc) as place
          from read r
          where r.section <> all (v_full)
        ) l
        where l.place <= c_listed
      )
    into v_step_counts, v_step_entries;
    v_counts := v_counts || coalesce(v_step_counts, '[]');
    v_entries := v_entries || coalesce(v_step_entries, '[]');
    v_full := array(
      select s.section
      from jsonb_to_recordset(v_entries) as s (section text)
      group by s.section having count(*) >= c_listed
    );
    v_before := v_low;
    exit when v_low is null or clock_timestamp() - v_started > interval '1.5 seconds';
    if clock_timestamp() - v_step_started < interval '100 milliseconds' then
      v_step := least(v_step * 2, 16000);
    end if;
  end loop;
  select jsonb_object_agg(s.name, jsonb_build_object(
    'total', coalesce((
      select sum(c.count) from jsonb_to_recordset(v_counts) as c (section text, count bigint)
      where c.section = s.name
    ), 0),
    'entries', (
      select coalesce(jsonb_agg(e.entry - 'section' order by e.place), '[]')
      from (
        select k.entry, k.place
        from jsonb_array_elements(v_entries) with ordinality as k (entry, place)
        where k.entry ->> 'section' = s.name
        order by k.place
        limit c_listed
      ) e
    )
  )) into v_sections
  from unnest('{grants,privileged,keys,retention,incidents}'::text[]) as s (name);
  return v_sections || jsonb_build_object('log', jsonb_build_object(
    'complete', v_low is null,
    -- The time in the id of the oldest entry that was read.
    'read_since', case when v_low is null then since else to_timestamp(
      ('x' || translate(left(v_low::text, 13), '-', ''))::bit(48)::bigint / 1000.0
    ) end,
    'listed_at_most', c_listed,
    'entries', coalesce((
      select sum(c.count) from jsonb_to_recordset(v_counts) as c (count bigint)
    ), 0),
    'by_type', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.type, t.result), '[]')
      from (
        select c.event_type as type, c.result, sum(c.count) as count
        from jsonb_to_recordset(v_counts) as c (event_type text, result text, count bigint)
        group by c.event_type, c.result
      ) t
    )
  ));
end;
$$;
comment on function bulwark_private.report_log(uuid, timestamptz, timestamptz) is
  'The entries of an organization in a range of time, counted by type, and of each section the
   newest 500. Reads for about 1.5 seconds, the newest first: complete says whether that was
   everything, and read_since from when on it was read.';

create function bulwark_private.report_verification(
  organization_id uuid,
  since timestamptz,
  until timestamptz
)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'verdict', (
      select to_jsonb(v) - 'next_after_seal' || jsonb_build_object(
        'whole_range', v.next_after_seal is null, 'next_after_seal', v.next_after_seal
      )
      from bulwark.verify_audit_log(
        report_verification.organization_id, since, until,
        max_entries => 1000000, max_seconds => 1
      ) v
    ),
    'coverage', (select to_jsonb(c) from bulwark.audit_coverage(
      report_verification.organization_id
    ) c),
    'checkpoint', (
      select to_jsonb(c)
      from (
        select n.tree_size, n.key_id, n.signed_at, n.sink, n.delivered_at, n.note
        from bulwark.audit_checkpoints n
        where n.signed_at <= until
        order by n.tree_size desc
        limit 1
      ) c
    ),
    'open_alarms', (
      select count(*) from bulwark.security_events e
      where e.organization_id is null and e.resolved_at is null and e.event_type like 'audit\_%'
    )
  );
$$;
comment on function bulwark_private.report_verification(uuid, timestamptz, timestamptz) is
  'The verdict on the log of the range (about a second of it: whole_range says whether that was
   all), how far the log is sealed, signed and delivered, and the newest checkpoint of the range.';

-- Compliance report: the evidence about one organization in one document, for an auditor.
-- Protects against a report that shows more than its reader may list: each part needs the
-- permission of the list it comes from. The report is an entry of the log, and names that entry.
-- SECURITY DEFINER: compliance_report, because no client reads seals, keys and grants of others.

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
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION';
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
   one document: access, mfa, api_keys, keys_in_use, retention_rules and events are the present
   state; grants, privileged, keys, retention and incidents are entries of the range, the newest
   500 of each with their total; log says how far it was read, verification whether it is intact.
   It takes about four seconds at most; what was cut says so. Needs compliance:read, audit:read,
   audit:export, user:read, security:read and api_key:read there, and is itself an entry (entry)
   with the SHA-256 of its text without that id. Errors: COMPLIANCE_INVALID_RANGE,
   COMPLIANCE_NULL_ARGUMENT, RBAC_PERMISSION_DENIED, MFA_REQUIRED; to the service role
   RBAC_UNKNOWN_ORGANIZATION.';

revoke all on function
  bulwark_private.report_access(organization_id uuid),
  bulwark_private.report_mfa(organization_id uuid),
  bulwark_private.report_api_keys(organization_id uuid),
  bulwark_private.report_keys(organization_id uuid),
  bulwark_private.report_retention(organization_id uuid),
  bulwark_private.report_events(organization_id uuid, since timestamptz, until timestamptz),
  bulwark_private.report_section(event_type text, resource_type text, severity bulwark.audit_severity),
  bulwark_private.report_log(organization_id uuid, since timestamptz, until timestamptz),
  bulwark_private.report_verification(organization_id uuid, since timestamptz, until timestamptz),
  bulwark.compliance_report(organization_id uuid, since timestamptz, until timestamptz)
  from public, anon, authenticated, service_role;

-- Compliance: grants. The build revokes everything else.

grant execute on function
  bulwark.compliance_report(uuid, timestamptz, timestamptz)
  to authenticated, service_role;

insert into bulwark_private.capabilities values ('compliance', '0.1.0-alpha.1');

-- The sealer may be running already. It would take this migration for tampering.
select bulwark.refresh_audit_fingerprints();
