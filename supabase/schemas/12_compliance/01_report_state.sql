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
  v_members jsonb := '[]'::jsonb;
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
  'People with access and since when: up to 5,000 members, as bulwark.list_members lists them.';

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
