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
  v_counts jsonb := '[]'::jsonb;
  v_entries jsonb := '[]'::jsonb;
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

-- Personal data: every column of ours that can name a person, and the tables of the host that it
-- declares. One list for the test of erasure and for the export of what is known of a person.
-- Protects against a column that nobody thought of: a test fails for a new one that is not listed.
-- No function here is SECURITY DEFINER.

create function bulwark_private.personal_columns()
  returns table (
    relation regclass, name text, names text, fate text, because text, withheld boolean
  )
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select c.oid::regclass, n.name, l.names, l.fate, replace(l.because, ': ', '.'), l.withheld
  from (values
    ('audit_logs', 'actor_id', 'actor', 'erased', 'the payload of an entry', false),
    ('audit_logs', 'session_id correlation_id parent_id salt removed_by resource_id action
      database_user ip user_agent before after details', 'words', 'erased', 'the payload', false),
    ('audit_restored_logs', 'actor_id', 'actor', 'erased', 'the whole row', true),
    ('audit_restored_logs', 'session_id correlation_id parent_id salt removed_by resource_id action
      database_user ip user_agent before after details', 'words', 'erased', 'the row', true),
    ('invitations', 'email', 'address', 'erased', 'the whole row', false),
    ('invitation_accounts', 'user_id', 'person', 'erased', 'with the invitation', false),
    ('departures', 'user_id', 'person', 'kept', 'while an invitation of before could be valid',
      false),
    ('audit_legal_holds', 'subject_id', 'person', 'kept', 'why evidence was kept', true),
    ('audit_legal_holds', 'placed_by released_by', 'actor', 'kept', 'why evidence was kept', true),
    ('audit_legal_holds', 'resource_type resource_id reason', 'words', 'kept', 'the same', true),
    ('shredded_organizations', 'shredded_by', 'actor', 'kept', 'who destroyed the keys', false),
    ('shredded_organizations', 'slug', 'part', 'kept', 'who destroyed the keys', false),
    ('audit_exports', 'caller', 'person', 'kept', 'for a day: how far an export is', false),
    ('rate_limit_networks', 'created_by', 'actor', 'kept', 'until the list is changed', true),
    ('rate_limit_networks', 'network reason', 'words', 'kept', 'until the list is changed', true),
    ('webhook_endpoints', 'created_by', 'actor', 'kept', 'while the endpoint is', false),
    ('webhook_endpoints', 'name origin disabled_reason', 'part', 'row', 'of the organization',
      false),
    ('security_events', 'user_id', 'person', 'retention', 'security.resolved_retention_days', true),
    ('security_events', 'assigned_to resolved_by', 'actor', 'retention',
      'security.resolved_retention_days', true),
    ('security_events', 'subject details resolution_note', 'words', 'retention',
      'security.resolved_retention_days', true),
    ('deferred_security_events', 'user_id', 'person', 'retention',
      'security.resolved_retention_days', true),
    ('deferred_security_events', 'event_type subject details', 'words', 'retention',
      'security.resolved_retention_days', true),
    ('webhook_attempts', 'worker response', 'words', 'retention', 'webhooks: retention_days', true),
    ('webhook_deliveries', 'endpoint_id event_id event_type ordering_key claimed_by attempt_id',
      'words', 'retention', 'webhooks: retention_days', true),
    ('webhook_payloads', 'data', 'words', 'retention', 'webhooks: retention_days', true),
    ('rate_limit_blocks', 'user_id', 'person', 'retention', 'rate_limits.violation_days', false),
    ('rate_limit_blocks', 'lifted_by', 'actor', 'retention', 'rate_limits.violation_days', false),
    ('rate_limit_blocks', 'kind identifier rule api_key_id', 'part', 'retention',
      'rate_limits.violation_days', false),
    ('rate_limit_violations', 'user_id', 'person', 'retention', 'rate_limits.violation_days',
      false),
    ('rate_limit_violations', 'rule kind identifier api_key_id block_id', 'part', 'retention',
      'rate_limits.violation_days', false),
    ('known_networks', 'owner', 'person', 'retention', 'rate_limits.network_days', false),
    ('known_networks', 'network', 'part', 'retention', 'rate_limits.network_days', false),
    ('sign_in_places', 'user_id', 'person', 'retention', 'rate_limits.network_days', false),
    ('sign_in_places', 'latitude longitude', 'part', 'retention', 'rate_limits.network_days',
      false),
    ('mfa_usage_log', 'session_id event factor_id', 'part', 'retention', 'mfa.usage_log_days',
      false),
    ('mfa_resets', 'reason', 'part', 'retention', 'mfa.reset_days', false),
    ('mfa_secrets', 'name begun_in', 'part', 'row', 'of the account', false),
    ('mfa_attempts', 'session_id purpose', 'part', 'row', 'of the account', false),
    ('mfa_sessions', 'method', 'part', 'row', 'of the account', false),
    ('mfa_trusted_devices', 'name', 'part', 'row', 'of the account', false),
    ('api_keys', 'name environment first_characters scopes revoked_because', 'part', 'row',
      'of the account', false),
    ('organizations', 'name slug', 'part', 'row', 'of the organization, which names itself', false),
    ('organization_keys', 'key', 'part', 'row', 'of the organization', false),
    ('roles', 'name description', 'part', 'row', 'of the organization', false),
    ('webhook_turns', 'account_id', 'actor', 'row', 'of the endpoint', false),
    ('webhook_turns', 'ordering_key', 'part', 'row', 'of the endpoint', false),
    ('rate_limit_overrides', 'api_key_id', 'part', 'row', 'of the organization', false),
    ('access_reviews', 'started_by closed_by', 'actor', 'retention', 'compliance.review_days',
      false),
    ('access_reviews', 'name reviewers', 'words', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'user_id', 'person', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'decided_by', 'actor', 'retention', 'compliance.review_days', false),
    ('access_review_items', 'api_key_id access note', 'part', 'retention',
      'compliance.review_days', false),
    ('reencryptions', 'column_name place', 'part', 'row', 'of the data key: where work stopped',
      false),
    ('reencryption_failures', 'row_key fault', 'part', 'row', 'of the data key', false)
  ) as l (relation, columns, names, fate, because, withheld)
  join pg_catalog.pg_class c
    on c.relname = l.relation and c.relkind in ('r', 'p')
    and c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
  cross join lateral regexp_split_to_table(l.columns, '\s+') as n (name)
  union all
  -- A row about an account goes with it. Of those who acted on one, the column is emptied.
  select k.conrelid::regclass, a.attname,
    case when k.confdeltype = 'c' and a.attname not in ('invited_by', 'requested_by')
      then 'person' else 'actor' end,
    'row', 'of the account', false
  from pg_catalog.pg_constraint k
  join pg_catalog.pg_class c on c.oid = k.conrelid and not c.relispartition
  join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
  where k.contype = 'f'
    and k.confrelid = 'auth.users'::regclass
    and cardinality(k.conkey) = 1
    and bulwark_private.is_of_bulwark(k.conrelid);
$$;
comment on function bulwark_private.personal_columns() is
  'The columns of ours that can name a person. names: person (the row is about them), actor (they
   acted on it), address, words (text or JSON that may mention them), part (told with the row).
   fate: erased (by erase_subject), retention (after the days of the setting because), row (with its
   row), kept. withheld: not told to the person, but to those who may erase them.';

create table bulwark_private.personal_tables (
  relation regclass primary key,
  person_column text not null,
  organization_column text
);
comment on table bulwark_private.personal_tables is
  'Tables of the host with rows about people, and the column that says about whom.';
alter table bulwark_private.personal_tables enable row level security;
select bulwark.enable_audit(
  'bulwark_private.personal_tables',
  event_types => '{config.changed,config.changed,config.changed}'
);

create function bulwark.declare_personal_data(
  target regclass,
  person_column text,
  organization_column text default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_type regtype;
begin
  if bulwark_private.is_of_bulwark(target) or not exists (
    select from pg_catalog.pg_class c where c.oid = target and c.relkind in ('r', 'p')
  ) then
    raise exception 'Cannot declare personal data: it is no table of the application'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_TABLE';
  end if;
  select a.atttypid::regtype into v_type
  from pg_catalog.pg_attribute a
  where a.attrelid = target and a.attname = person_column and a.attnum > 0 and not a.attisdropped;
  if v_type is null or v_type::text not in ('uuid', 'text', 'character varying')
      and v_type::text !~ '(^|\.)citext$'
    or organization_column is not null and not exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = organization_column
        and a.attnum > 0 and not a.attisdropped
    ) then
    raise exception 'Cannot declare personal data: a column is missing or holds no id or address'
      using errcode = 'undefined_column', detail = 'COMPLIANCE_INVALID_COLUMN',
            hint = 'The person is a uuid of auth.users, or an e-mail address as text';
  end if;
  insert into bulwark_private.personal_tables as t (relation, person_column, organization_column)
  values (target, declare_personal_data.person_column, declare_personal_data.organization_column)
  on conflict on constraint personal_tables_pkey do update
    set person_column = excluded.person_column, organization_column = excluded.organization_column;
end;
$$;
comment on function bulwark.declare_personal_data(regclass, text, text) is
  'Says that a table of the application has rows about people: person_column holds the id of an
   account (uuid) or an e-mail address (text), organization_column the key of the organization. They
   are then in the exports of export_subject. For the owner. Errors: COMPLIANCE_INVALID_TABLE,
   COMPLIANCE_INVALID_COLUMN.';

-- Subject export, its pages: what names a person in one table, and in the audit log.
-- Protects against reading a large table in one go: a page follows the primary key, and a table
-- that has to be searched is read in chunks. No hash, secret or ciphertext is in a row: only listed
-- columns, ids, times and numbers are.
-- No function here is SECURITY DEFINER.

create function bulwark_private.subject_columns(target regclass, kinds text[])
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select p.name from bulwark_private.personal_columns() p
    where p.relation = target and p.names = any (kinds)
    union
    select t.person_column from bulwark_private.personal_tables t
    where t.relation = target and kinds && '{person}'
    order by 1
  );
$$;
comment on function bulwark_private.subject_columns(regclass, text[]) is
  'The columns of a table that name a person in one of these ways.';

create function bulwark_private.subject_hidden(target regclass)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select a.attname::text
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = target and a.attnum > 0 and not a.attisdropped
      and bulwark_private.is_of_bulwark(target)
      and a.attname not in ('id', 'organization_id')
      and t.typcategory not in ('B', 'D', 'N', 'T', 'E')
      and not exists (
        select from bulwark_private.personal_columns() p
        where p.relation = target and p.name = a.attname
      )
      and not exists (
        select from pg_catalog.pg_constraint k
        where k.conrelid = target and k.contype = 'f' and a.attnum = any (k.conkey)
      )
  );
$$;
comment on function bulwark_private.subject_hidden(regclass) is
  'The columns of one of our tables that no export shows: all that are not listed, no reference and
   neither a time, a number nor an enumeration. None of a table of the host.';

create function bulwark_private.subject_key(target regclass)
  returns table (name text, type text)
  language sql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
as $$
  with keys as (
    select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, k.place
    from pg_catalog.pg_constraint c
    cross join unnest(c.conkey) with ordinality as k (number, place)
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number
    where c.conrelid = target and c.contype = 'p'
  )
  select k.name, k.type from (
    select * from keys
    union all
    -- Each partition counts its rows anew.
    select k.name, k.type, k.place
    from (values ('tableoid', 'oid', 1), ('ctid', 'tid', 2)) as k (name, type, place)
    where not exists (select from keys)
  ) k
  order by k.place;
$$;
comment on function bulwark_private.subject_key(regclass) is
  'The columns that a page of a table goes on after: its primary key, else the place of the row.';

create function bulwark_private.subject_organization_column(target regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (select t.organization_column from bulwark_private.personal_tables t where t.relation = target),
    (
      select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = 'organization_id'
        and bulwark_private.is_of_bulwark(target) and not a.attisdropped
    )
  );
$$;
comment on function bulwark_private.subject_organization_column(regclass) is
  'The column of a table that says whose organization''s a row is; null: none.';

create function bulwark_private.subject_query(target regclass, page_size integer)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with columns as materialized (
    select
      bulwark_private.subject_columns(target, '{person,address}') as own,
      bulwark_private.subject_columns(target, '{actor}') as acting,
      bulwark_private.subject_columns(target, '{words}') as words
  ),
  parts as (
    select c.own, c.acting, c.words,
      (
        select string_agg(format('t.%I', k.name), ', ' order by k.place)
        from bulwark_private.subject_key(target) with ordinality as k (name, type, place)
      ) as key,
      (
        select string_agg(format('($1 ->> %s)::%s', k.place - 1, k.type), ', ' order by k.place)
        from bulwark_private.subject_key(target) with ordinality as k (name, type, place)
      ) as after,
      concat_ws(', ',
        (
          select string_agg(
            format('case when lower(t.%I::text) = any ($3 || $2::text) then %L end', n, n), ', '
          )
          from unnest(c.own || c.acting) as n
        ),
        (
          select string_agg(
            format(
              'case when bulwark_private.mentions_person(t.%I::text, $2, $5) then %L end', n, n
            ), ', '
          )
          from unnest(c.words) as n
        )
      ) as named,
      -- A table with words is read in chunks, all others by their columns.
      case
        when cardinality(c.words) > 0 then 'true'
        else concat('(', (
          select string_agg(
            case
              when a.atttypid = 'uuid'::regtype then format('t.%I = $2', n)
              else format('lower(t.%I::text) = any ($3 || $2::text)', n)
            end, ' or '
          )
          from unnest(c.own || c.acting) as n
          join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = n
        ), ')')
      end as condition,
      case when cardinality(c.words) > 0 then 5000 else page_size end as "limit"
    from columns c
    where cardinality(c.own || c.acting || c.words) > 0
  )
  select format(
    $query$
      select case when count(*) = %s then (array_agg(p.key order by p.place desc))[1]::text end,
        coalesce(
          jsonb_agg(
            jsonb_build_object(
              'source', %L::text, 'names', p.named,
              'row', case
                when not $6 then p.content
                when p.named && %L::text[] then p.content - array(
                  select a from unnest(%L::text[]) as a where a <> all (p.named)
                )
                -- Rows that a person only acted on are about others: who, when and which.
                else (
                  select coalesce(jsonb_object_agg(e.key, e.value), '{}')
                  from jsonb_each(p.content) e
                  where e.key in ('id', 'organization_id') or e.key like '%%\_at'
                )
              end
            )
            order by p.place
          ) filter (where cardinality(p.named) > 0),
          '[]'
        )
      from (
        select to_jsonb(t) - %L::text[] as content, jsonb_build_array(%s) as key,
          array_remove(array[%s], null) as named, row_number() over (order by %s) as place
        from %s t
        where ($1 is null or row(%s) > row(%s))
          and ($4 is null or bulwark_private.organization_of(t.%I::text) = $4)
          and %s
        order by %s
        limit %s
      ) p
    $query$,
    q."limit", target, q.own, q.acting, bulwark_private.subject_hidden(target), q.key, q.named,
    q.key, target, q.key, q.after,
    -- Any column will do where no organization is asked for.
    coalesce(bulwark_private.subject_organization_column(target), 'ctid'),
    q.condition, q.key, q."limit"
  )
  from parts q;
$$;
comment on function bulwark_private.subject_query(regclass, integer) is
  'The query for a page of the rows of a table that name a person: after ($1), user ($2), addresses
   ($3), organization ($4), pattern of the addresses ($5), only own ($6). It gives the key that the
   next page goes on after, and the rows. Null: no column names anybody.';

create function bulwark_private.subject_rows(
  target regclass,
  user_id uuid,
  addresses text[],
  organization_id uuid,
  after text,
  page_size integer,
  only_own boolean,
  out rows jsonb,
  out next_after text
)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
begin
  rows := '[]'::jsonb;
  -- Without an organization the rows belong to the account, which is no organization's.
  if organization_id is not null
    and bulwark_private.subject_organization_column(target) is null then
    return;
  end if;
  execute coalesce(
    bulwark_private.subject_query(target, page_size), 'select null::text, ''[]''::jsonb'
  )
  into next_after, rows
  using after::jsonb, user_id, addresses, organization_id,
    bulwark_private.address_pattern(addresses), only_own;
end;
$$;
comment on function bulwark_private.subject_rows(
  regclass, uuid, text[], uuid, text, integer, boolean
) is
  'A page of the rows of a table that name a person, each with its source and the columns that do,
   and the key that the next page goes on after (null: none). only_own: without those who acted on
   the person, and of rows that the person only acted on, no more than ids and times.';

create function bulwark_private.subject_entries(
  user_id uuid,
  addresses text[],
  organization_id uuid,
  after text,
  only_own boolean,
  out rows jsonb,
  out next_after text,
  out withheld bigint
)
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_chunk constant integer := 2000;
  v_after constant uuid := coalesce(
    (after::jsonb ->> 0)::uuid, '00000000-0000-0000-0000-000000000000'
  );
  v_pattern constant text := bulwark_private.address_pattern(addresses);
  v_read record;
  -- A row that is withheld is not told by the entries about it either.
  v_withheld constant text[] := array(
    select distinct p.relation::text from bulwark_private.personal_columns() p where p.withheld
  );
begin
  select count(*) as read, (array_agg(p.id order by p.id desc))[1] as last,
    count(*) filter (where cardinality(p.named) > 0 and p.is_withheld) as withheld,
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'source', 'bulwark.audit_logs', 'names', p.named,
          'row', jsonb_strip_nulls(case
            when not only_own then p.content
            -- The values in entries are others' too: the person learns what, when and where from.
            when p.actor_id = subject_entries.user_id
              then p.content - '{before,after,details}'::text[]
            else p.content - '{before,after,details,actor_id,session_id,correlation_id,ip,
              user_agent,database_user}'::text[]
          end)
        )
        order by p.id
      ) filter (where cardinality(p.named) > 0 and not p.is_withheld),
      '[]'
    ) as rows
  into v_read
  from (
    select e.id, e.actor_id,
      to_jsonb(e) - '{xid,salt,commitment}'::text[] as content,
      array_remove(array[
        case when e.actor_id = subject_entries.user_id then 'actor_id' end,
        case when bulwark_private.mentions_person(e.resource_id, subject_entries.user_id, v_pattern)
          then 'resource_id' end,
        case when bulwark_private.mentions_person(
          concat_ws(' ', e.action, e.before, e.after, e.details), subject_entries.user_id, v_pattern
        ) then 'contents' end
      ], null) as named,
      only_own and e.actor_id is distinct from subject_entries.user_id
        and (e.severity = 'critical' or e.event_type like 'security.%'
          or e.resource_type = any (v_withheld)) as is_withheld
    from (
      (
        select * from bulwark.audit_logs l
        where subject_entries.organization_id is null and l.id > v_after
        order by l.id
        limit c_chunk
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select * from bulwark.audit_logs l
        where (l.organization_id, l.id) > (subject_entries.organization_id, v_after)
          and (l.organization_id, l.id)
            <= (subject_entries.organization_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by l.organization_id, l.id
        limit c_chunk
      )
    ) e
  ) p;
  rows := v_read.rows;
  withheld := v_read.withheld;
  next_after := case
    when v_read.read = c_chunk then jsonb_build_array(v_read.last)::text
  end;
end;
$$;
comment on function bulwark_private.subject_entries(uuid, text[], uuid, text, boolean) is
  'The entries among the next 2,000 that a person made or that name them. only_own: without values,
   without those who acted on the person, and without entries that are critical, of category
   security or about tables that are withheld, which are counted (withheld).';

-- Subject export: everything that names a person, page by page, for the person and for those who
-- may erase it (GDPR Art. 15 and 20).
-- Protects against a stolen password that takes a life's data (a second factor is asked for if
-- there is one), against an organization that reads another's data about the same person, and
-- against a person who learns through it who acted on them, and against an account that only claims
-- another's address. Each page is an entry of the log.
-- SECURITY DEFINER: export_subject, because no client reads these tables.

create function bulwark_private.subject_account(user_id uuid, organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_kept constant text[] := array[
    'id', 'email', 'phone', 'created_at', 'updated_at', 'email_confirmed_at', 'phone_confirmed_at',
    'last_sign_in_at', 'banned_until', 'deleted_at', 'raw_user_meta_data', 'provider',
    'identity_data', 'ip', 'user_agent', 'aal', 'not_after', 'refreshed_at', 'friendly_name',
    'factor_type', 'status', 'is_anonymous'
  ];
  v_found jsonb;
  v_rows jsonb := '[]'::jsonb;
  v_table text;
begin
  if organization_id is not null then
    select coalesce(
      jsonb_agg(jsonb_build_object(
        'source', 'auth.users', 'names', array['id'],
        'row', jsonb_build_object(
          'id', p.user_id, 'email', p.email,
          'name', bulwark_private.printable_name(p.said_name)
        )
      )),
      '[]'
    ) into v_rows
    from bulwark_private.people p
    where p.user_id = subject_account.user_id
      and exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = p.user_id and g.organization_id = subject_account.organization_id
      );
    return v_rows;
  end if;
  foreach v_table in array array['users', 'identities', 'sessions', 'mfa_factors'] loop
    continue when to_regclass('auth.' || v_table) is null;
    execute format(
      $query$
        select jsonb_agg(
          jsonb_build_object(
            'source', %L::text, 'names', array[%L::text],
            'row', (
              select jsonb_object_agg(e.key, e.value)
              from jsonb_each(to_jsonb(t)) e where e.key = any ($2)
            )
          )
        )
        from (select * from auth.%I t where t.%I = $1 limit 1000) t
      $query$,
      'auth.' || v_table, case v_table when 'users' then 'id' else 'user_id' end,
      v_table, case v_table when 'users' then 'id' else 'user_id' end
    ) into v_found using user_id, c_kept;
    v_rows := v_rows || coalesce(v_found, '[]');
  end loop;
  return v_rows;
end;
$$;
comment on function bulwark_private.subject_account(uuid, uuid) is
  'Data of Supabase Auth about a person, without tokens and hashes; of a member of an organization
   only the name and the address.';

create function bulwark_private.subject_sources()
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array['account'] || array(
    select distinct p.relation::text from bulwark_private.personal_columns() p
    where p.names <> 'part' and p.relation <> 'bulwark.audit_logs'::regclass
    union
    select t.relation::text from bulwark_private.personal_tables t
    join pg_catalog.pg_class c on c.oid = t.relation
    order by 1
  ) || array['log'];
$$;
comment on function bulwark_private.subject_sources() is
  'Where an export looks, in its order: the account, each table, and the log.';

create function bulwark_private.subject_is_known(user_id uuid, organization_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- An organization exports only persons it knows, so that it cannot probe for accounts.
  select exists (
    select from auth.users u
    where u.id = subject_is_known.user_id and subject_is_known.organization_id is null
  ) or exists (
    select from bulwark.user_roles g
    where g.user_id = subject_is_known.user_id
      and g.organization_id = subject_is_known.organization_id
  ) or exists (
    select from bulwark_private.departures d
    where d.user_id = subject_is_known.user_id
      and d.organization_id = subject_is_known.organization_id
  ) or exists (
    select from bulwark_private.invitation_accounts a
    join bulwark.invitations i on i.id = a.invitation_id
    where a.user_id = subject_is_known.user_id
      and (subject_is_known.organization_id is null
        or i.organization_id = subject_is_known.organization_id)
  ) or exists (
    select from bulwark.audit_logs e
    where e.actor_id = subject_is_known.user_id
      and (subject_is_known.organization_id is null
        or e.organization_id = subject_is_known.organization_id)
  );
$$;
comment on function bulwark_private.subject_is_known(uuid, uuid) is
  'Whether a person has an account (in an organization: has or had a role there), was invited, or
   made an entry of the log.';

create function bulwark_private.own_addresses(user_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select e.email from (select bulwark_private.confirmed_email()) e (email)
    where e.email is not null
    union
    select i.email from bulwark.invitations i where i.accepted_by = own_addresses.user_id
  );
$$;
comment on function bulwark_private.own_addresses(uuid) is
  'The addresses that the caller has proved to be theirs: the confirmed one, and those of accepted
   invitations. An account with another''s address, unconfirmed or of an identity provider, gets
   nothing of theirs.';

create function bulwark.export_subject(
  user_id uuid default null,
  organization_id uuid default null,
  after text default null,
  page_size integer default 500
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client reads these tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_addresses text[];
  v_key text;
  v_own boolean := false;
  v_page record;
  v_rows jsonb := '[]'::jsonb;
  v_source integer := 1;
  v_sources constant text[] := bulwark_private.subject_sources();
  v_started constant timestamptz := clock_timestamp();
  v_user uuid := user_id;
  v_withheld bigint := 0;
begin
  if not bulwark_private.caller_is_service() then
    v_own := bulwark_private.require_user() = coalesce(user_id, bulwark.current_person())
      and organization_id is null;
  end if;
  if v_own then
    v_user := bulwark.current_person();
  else
    perform bulwark.require_permission('compliance:manage', organization_id);
    if v_user is null then
      raise exception 'Cannot export subject: the person is null'
        using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
    end if;
    if not bulwark_private.subject_is_known(v_user, organization_id) then
      raise exception 'Cannot export subject: nobody is known by that id'
        using errcode = 'PT404', detail = 'COMPLIANCE_UNKNOWN_SUBJECT',
          hint = 'Pass the id of auth.users; after a deletion, the id that the log has';
    end if;
  end if;
  if not bulwark_private.caller_is_service()
    and bulwark_private.has_second_factor(bulwark.current_person()) then
    perform bulwark_private.require_step_up();
  end if;
  if page_size between 1 and 5000 is not true then
    raise exception 'Cannot export subject: a page has 1 to 5000 rows'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_LIMIT';
  end if;
  if after is not null then
    -- The longest name that fits, because the name of a table may have spaces.
    v_source := (
      select s.place
      from unnest(v_sources) with ordinality as s (name, place)
      where starts_with(after, s.name || ' ')
      order by length(s.name) desc
      limit 1
    );
    v_key := nullif(substr(after, length(v_sources[v_source]) + 2), '');
    if v_source is null or length(after) > 4000 or v_key !~ '^\[.+\]$' then
      raise exception 'Cannot export subject: the cursor is not one of this export'
        using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_CURSOR';
    end if;
  end if;
  -- An export that leaves out a column would look complete.
  if exists (
    select from bulwark_private.personal_tables t
    join pg_catalog.pg_class c on c.oid = t.relation
    where 0 < (
      select count(*) from unnest(array[t.person_column, t.organization_column]) as n
      where n is not null and not exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = t.relation and a.attname = n and not a.attisdropped
      )
    )
  ) then
    raise exception 'Cannot export subject: a declared column is gone'
      using errcode = 'undefined_column', detail = 'COMPLIANCE_INVALID_COLUMN',
            hint = 'Call declare_personal_data again for the table';
  end if;
  -- One at a time, because each page may read a part of the log.
  if not pg_try_advisory_xact_lock(
    hashtextextended('bulwark.subject_export/' || coalesce(bulwark.current_person(), v_user), 0)
  ) then
    raise exception 'Cannot export subject: another page is being made'
      using errcode = 'PT409', detail = 'COMPLIANCE_EXPORT_RUNNING',
        hint = 'Wait for that page, then ask again';
  end if;
  v_addresses := case
    when v_own then bulwark_private.own_addresses(v_user)
    else bulwark_private.addresses_of(v_user, organization_id)
  end;
  while v_source <= cardinality(v_sources) loop
    if v_sources[v_source] = 'account' then
      v_rows := v_rows || bulwark_private.subject_account(v_user, organization_id);
      v_key := null;
    elsif v_sources[v_source] = 'log' then
      select * into v_page from bulwark_private.subject_entries(
        v_user, v_addresses, organization_id, v_key, v_own
      );
      v_rows := v_rows || v_page.rows;
      v_withheld := v_withheld + v_page.withheld;
      v_key := v_page.next_after;
    elsif v_own and exists (
      select from bulwark_private.personal_columns() p
      where p.relation = v_sources[v_source]::regclass and p.withheld
    ) then
      v_key := null;
    else
      select * into v_page from bulwark_private.subject_rows(
        v_sources[v_source]::regclass, v_user, v_addresses, organization_id, v_key, page_size, v_own
      );
      v_rows := v_rows || v_page.rows;
      v_key := v_page.next_after;
    end if;
    if v_key is null then
      v_source := v_source + 1;
    end if;
    exit when jsonb_array_length(v_rows) >= page_size
      or clock_timestamp() - v_started > interval '2 seconds';
  end loop;
  -- Last, so that nobody loses the right while a page is made and gets it all the same.
  if not v_own then
    perform bulwark_private.require_permission_to_act('compliance:manage', organization_id);
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.export', organization_id, 'auth.users', action => 'export_subject',
    details => jsonb_build_object(
      'subject', bulwark_private.audit_subject(v_user), 'own', v_own,
      'rows', jsonb_array_length(v_rows), 'continued', after is not null
    )
  );
  return jsonb_build_object(
    'subject', v_user,
    'rows', v_rows,
    'withheld', v_withheld,
    'archived', bulwark_private.archived_audit_months(organization_id, null, null),
    'next', case when v_source <= cardinality(v_sources)
      then concat(v_sources[v_source], ' ', v_key) end
  );
end;
$$;
comment on function bulwark.export_subject(uuid, uuid, text, integer) is
  'All data about a person: a page of rows of { source, names, row }, where names are the columns
   that name them, of the account, our tables, tables of declare_personal_data and the log. next
   continues as after, and is null at the end; a page takes about two seconds. A caller who has a
   second factor needs a fresh one. For the person (null: oneself) without what others did to them
   in detail, investigations and holds (withheld counts such entries), and for compliance:manage:
   system-wide of everything, in an organization of what is the organization''s. archived lists
   months that are in the archive instead. Errors: COMPLIANCE_UNKNOWN_SUBJECT,
   COMPLIANCE_NULL_ARGUMENT,
   COMPLIANCE_INVALID_LIMIT, COMPLIANCE_INVALID_CURSOR, COMPLIANCE_INVALID_COLUMN,
   COMPLIANCE_EXPORT_RUNNING,
   RBAC_PERMISSION_DENIED, MFA_VERIFICATION_REQUIRED, MFA_REQUIRED.';

-- Access reviews: campaigns in which named reviewers decide about each member and API key.
-- Protects against a review of oneself, evidence that is changed afterwards, and a decision about
-- access that is no longer as the reviewer saw it.
-- No function here is SECURITY DEFINER.

create type bulwark.access_review_decision as enum ('keep', 'end');
comment on type bulwark.access_review_decision is 'Whether access stays or ends.';
create type bulwark.access_review_outcome as enum ('kept', 'ended', 'gone');
comment on type bulwark.access_review_outcome is
  'The result for the reviewed access: kept, ended by the review, or gone before the decision.';

create table bulwark.access_reviews (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  name text not null,
  reviewers uuid[] not null,
  due_at timestamptz not null,
  started_by uuid,
  started_at timestamptz not null default clock_timestamp(),
  reminded_at timestamptz,
  closed_by uuid,
  closed_at timestamptz,
  constraint access_reviews_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 120),
  constraint access_reviews_reviewers_are_some
    check (
      cardinality(reviewers) >= 1 and cardinality(reviewers) <= 50
      and array_position(reviewers, null) is null
    ),
  constraint access_reviews_is_due_after_start check (isfinite(due_at) and due_at > started_at)
);
comment on table bulwark.access_reviews is
  'Campaigns that review the access of an organization. Without foreign keys to accounts: who
   reviewed is evidence, which outlives them.';
create index access_reviews_organization_id_idx
  on bulwark.access_reviews (organization_id, started_at);
create index access_reviews_due_at_idx on bulwark.access_reviews (due_at) where closed_at is null;

create table bulwark.access_review_items (
  id uuid primary key default gen_random_uuid(),
  review_id uuid not null references bulwark.access_reviews (id) on delete cascade,
  organization_id uuid not null,
  user_id uuid not null,
  api_key_id uuid,
  access jsonb not null,
  decision bulwark.access_review_decision,
  outcome bulwark.access_review_outcome,
  note text,
  decided_by uuid,
  decided_at timestamptz,
  constraint access_review_items_note_length check (length(btrim(note)) between 1 and 500),
  constraint access_review_items_decided_as_a_whole
    check (num_nonnulls(decision, outcome, decided_by, decided_at) in (0, 4)),
  constraint access_review_items_nobody_decides_about_themselves
    check (decided_by is distinct from user_id)
);
comment on table bulwark.access_review_items is
  'An item of a campaign: a member, or an API key of the member user_id. access is what they could
   do at the start and, once decided, at the decision.';
create unique index access_review_items_review_id_idx
  on bulwark.access_review_items (review_id, user_id, api_key_id) nulls not distinct;
create index access_review_items_user_id_idx on bulwark.access_review_items (user_id);

alter table bulwark.access_reviews enable row level security;
alter table bulwark.access_review_items enable row level security;

create policy "Members read access reviews of organizations where they may"
  on bulwark.access_reviews for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('compliance:read'))));
create policy "Members read what is reviewed in organizations where they may"
  on bulwark.access_review_items for select to authenticated
  using (organization_id = any (array(select bulwark.organizations_with('compliance:read'))));

insert into bulwark.settings (name, value, description) values
  ('compliance.review_reminder_days', '7',
    'How many days before an access review is due the daily reminders begin'),
  ('compliance.reviews', '200',
    'How many access reviews an organization may have, closed ones too'),
  ('compliance.review_days', '2557', 'How long a closed access review is kept');
insert into bulwark_private.setting_rules (name, accepts) values
  ('compliance.review_reminder_days', '{"type": "integer", "minimum": 1, "maximum": 90}'),
  ('compliance.reviews', '{"type": "integer", "minimum": 1, "maximum": 10000}');
insert into bulwark.audit_event_types (name, severity, description) values
  ('compliance.review_started', 'info', 'An access review was started'),
  ('compliance.review_due', 'warning', 'An access review is due or overdue'),
  ('compliance.review_closed', 'info', 'An access review was closed');

create function bulwark_private.access_of_member(user_id uuid, organization_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'        -- times are a part of the version
as $$
  select jsonb_agg(
    jsonb_build_object(
      'role', r.name, 'level', r.level, 'source', g.source, 'starts_at', g.starts_at,
      'expires_at', nullif(g.held_until, 'infinity')
    )
    order by r.level desc, r.name, g.source
  )
  from bulwark_private.unexpired_grants g
  join bulwark.roles r on r.id = g.role_id
  where g.user_id = access_of_member.user_id
    and g.organization_id = access_of_member.organization_id;
$$;
comment on function bulwark_private.access_of_member(uuid, uuid) is
  'The roles of a member that have not expired; null: no member.';

create function bulwark_private.access_of_key(key_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'        -- times are a part of the version
as $$
  select jsonb_build_object(
    'name', k.name, 'first_characters', k.first_characters, 'scopes', k.scopes,
    'networks', k.networks, 'created_at', k.created_at, 'expires_at', k.expires_at
  )
  from bulwark.api_keys k
  where k.id = key_id and k.revoked_at is null and k.expires_at > now();
$$;
comment on function bulwark_private.access_of_key(uuid) is
  'The most that an API key in force could do; null: it is not in force.';

create function bulwark_private.access_version(access jsonb)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$ select left(encode(sha256(convert_to(access::text, 'utf8')), 'hex'), 16); $$;
comment on function bulwark_private.access_version(jsonb) is
  'The version of an access, by which a decision says which one it is about.';

create trigger access_reviews_keep_columns
  before update on bulwark.access_reviews
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'name', 'reviewers', 'due_at', 'started_by', 'started_at'
  );
create trigger access_reviews_stay_closed
  before update on bulwark.access_reviews
  for each row when (old.closed_at is not null)
  execute function bulwark_private.refuse_change();
create trigger access_review_items_keep_columns
  before update on bulwark.access_review_items
  for each row execute function bulwark.keep_columns(
    'id', 'review_id', 'organization_id', 'user_id', 'api_key_id'
  );
create trigger access_review_items_stay_decided
  before update on bulwark.access_review_items
  for each row when (old.decision is not null)
  execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.access_reviews enable always trigger access_reviews_keep_columns;
alter table bulwark.access_reviews enable always trigger access_reviews_stay_closed;
alter table bulwark.access_review_items enable always trigger access_review_items_keep_columns;
alter table bulwark.access_review_items enable always trigger access_review_items_stay_decided;

select bulwark.enable_audit(
  'bulwark.access_reviews', organization_column => 'organization_id', ignore => '{reminded_at}'
);
select bulwark.enable_audit(
  'bulwark.access_review_items', organization_column => 'organization_id'
);

-- Reviewing: starts a campaign, decides about one access at a time, and closes it.
-- Protects against a reviewer who ends what outranks them: an end is the real removal, with the
-- reviewer's own rights, in the same transaction as the decision. Of two reviewers that decide at
-- once the second is refused.
-- SECURITY DEFINER: start_access_review, list_access_review, decide_access, close_access_review,
--   because no client writes reviews or reads the grants of others; remind_access_reviews, because
--   no API role writes the log.

create function bulwark.start_access_review(
  organization_id uuid,
  name text,
  due_at timestamptz,
  reviewers uuid[]
)
  returns bulwark.access_reviews
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_items bigint;
  v_review bulwark.access_reviews;
begin
  if num_nulls(organization_id, name, due_at, reviewers) > 0 then
    raise exception 'Cannot start review: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_act('role:grant', organization_id);
  if length(btrim(name)) not between 1 and 120 or name ~ '[[:cntrl:]]'
    or cardinality(reviewers) not between 1 and 50 or array_ndims(reviewers) > 1
    or not isfinite(due_at) or due_at <= clock_timestamp()
    or due_at > now() + interval '366 days' then
    raise exception 'Cannot start review: it has a name, 1 to 50 reviewers and a year at most'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_REVIEW';
  end if;
  if exists (
    select from unnest(reviewers) as r
    where bulwark_private.is_member(r, start_access_review.organization_id) is not true
  ) then
    raise exception 'Cannot start review: a reviewer is not a member of the organization'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
        hint = 'Choose members: list_members lists them';
  end if;
  perform bulwark_private.lock_count('access_reviews', organization_id::text);
  if (
    select count(*) from bulwark.access_reviews r
    where r.organization_id = start_access_review.organization_id
  ) >= (bulwark_private.setting('compliance.reviews'))::bigint then
    raise exception 'Cannot start review: the organization has as many as it may have'
      using errcode = 'PT409', detail = 'COMPLIANCE_TOO_MANY_REVIEWS',
            hint = 'They go compliance.review_days after they were closed';
  end if;
  insert into bulwark.access_reviews (organization_id, name, reviewers, due_at, started_by)
  values (
    start_access_review.organization_id, btrim(start_access_review.name),
    array(select distinct r from unnest(start_access_review.reviewers) as r order by 1),
    start_access_review.due_at, bulwark.current_person()
  )
  returning * into v_review;
  insert into bulwark.access_review_items
    (review_id, organization_id, user_id, api_key_id, access)
  select v_review.id, v_review.organization_id, m.user_id, m.api_key_id, m.access
  from (
    select g.user_id, null::uuid as api_key_id,
      bulwark_private.access_of_member(g.user_id, v_review.organization_id) as access
    from (
      select distinct u.user_id from bulwark_private.unexpired_grants u
      where u.organization_id = v_review.organization_id
      limit 10001
    ) g
    union all
    (
      select k.owner_id, k.id, bulwark_private.access_of_key(k.id)
      from bulwark.api_keys k
      where k.organization_id = v_review.organization_id
        and k.revoked_at is null and k.expires_at > now()
      limit 10001
    )
  ) m;
  get diagnostics v_items = row_count;
  if v_items > 10000 then
    raise exception 'Cannot start review: it would have more than 10,000 members and keys'
      using errcode = 'PT409', detail = 'COMPLIANCE_TOO_MANY_ITEMS',
        hint = 'Remove members and revoke keys that are not needed first';
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.review_started', v_review.organization_id, 'bulwark.access_reviews',
    v_review.id::text, 'start',
    details => jsonb_build_object(
      'name', v_review.name, 'due_at', v_review.due_at, 'items', v_items,
      'reviewers', v_review.reviewers
    )
  );
  return v_review;
end;
$$;
comment on function bulwark.start_access_review(uuid, text, timestamptz, uuid[]) is
  'Starts a review of every member and every API key in force of an organization (role:grant), up
   to 10,000, by 1 to 50 members until due_at, a year ahead at most. The event
   audit.compliance.review_due reminds the reviewers. Errors: COMPLIANCE_INVALID_REVIEW,
   COMPLIANCE_TOO_MANY_ITEMS, COMPLIANCE_TOO_MANY_REVIEWS, COMPLIANCE_NULL_ARGUMENT,
   RBAC_NOT_A_MEMBER, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark_private.find_access_review(
  review_id uuid, reading boolean
)
  returns bulwark.access_reviews
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_review bulwark.access_reviews;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_review from bulwark.access_reviews r where r.id = review_id;
  -- The same answer for a review that does not exist and one of a foreign organization.
  if not found or not bulwark_private.caller_is_service()
    and not (
      v_user = any (v_review.reviewers)
      and bulwark_private.session_permits(v_user, 'user:read', v_review.organization_id)
    )
    and not (
      reading
      and bulwark_private.session_permits(v_user, 'compliance:read', v_review.organization_id)
    ) then
    raise exception 'Cannot find review: there is none that you may see or decide'
      using errcode = 'PT404', detail = 'COMPLIANCE_UNKNOWN_REVIEW',
        hint = 'List them with: select id from access_reviews';
  end if;
  return v_review;
end;
$$;
comment on function bulwark_private.find_access_review(uuid, boolean) is
  'A review that the caller decides (a reviewer who holds user:read there) or reads
   (compliance:read). Raises COMPLIANCE_UNKNOWN_REVIEW.';

create function bulwark.list_access_review(
  review_id uuid,
  undecided boolean default false,
  after uuid default null,
  page_size integer default 100
)
  returns table (
    id uuid,
    user_id uuid,
    email text,
    name text,
    api_key_id uuid,
    access jsonb,
    version text,
    decision bulwark.access_review_decision,
    outcome bulwark.access_review_outcome,
    note text,
    decided_by uuid,
    decided_at timestamptz
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because no client reads the grants of others
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_review constant bulwark.access_reviews := bulwark_private.find_access_review(review_id, true);
  -- As in list_members.
  v_names constant boolean := bulwark_private.caller_is_service()
    or bulwark_private.session_permits(
      bulwark.current_person(), 'user:read', v_review.organization_id
    );
begin
  return query
    select
      i.id, i.user_id, m.email, bulwark_private.printable_name(m.said_name), i.api_key_id,
      p.access,
      bulwark_private.access_version(p.access),
      i.decision, i.outcome, i.note, i.decided_by, i.decided_at
    from (
      select * from bulwark.access_review_items t
      where t.review_id = v_review.id
        and (not undecided or t.decision is null)
        and (list_access_review.after is null or t.id > list_access_review.after)
      order by t.id
      limit least(greatest(page_size, 1), 1000)
    ) i
    -- Of members only, as in list_members.
    left join bulwark_private.people m
      on v_names and m.user_id = i.user_id and exists (
        select from bulwark_private.unexpired_grants g
        where g.user_id = i.user_id and g.organization_id = v_review.organization_id
      )
    cross join lateral (
      select case
        when i.decision is not null or v_review.closed_at is not null then i.access
        when i.api_key_id is not null then bulwark_private.access_of_key(i.api_key_id)
        else bulwark_private.access_of_member(i.user_id, v_review.organization_id)
      end
    ) p (access)
    order by i.id;
end;
$$;
comment on function bulwark.list_access_review(uuid, boolean, uuid, integer) is
  'The items of a review, for its reviewers (user:read) and readers (compliance:read; email and
   name need user:read, too), by id: after is that of the last row of the previous page. access is
   what a member or key can do now (null: nothing any more) or, once decided, could do then;
   version goes with the decision. Errors:
   COMPLIANCE_UNKNOWN_REVIEW.';

create function bulwark.decide_access(
  item_id uuid,
  decision bulwark.access_review_decision,
  version text default null,
  note text default null
)
  returns bulwark.access_review_items
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_access jsonb;
  v_item bulwark.access_review_items;
  v_outcome bulwark.access_review_outcome;
  v_review bulwark.access_reviews;
  v_user constant uuid := bulwark_private.require_user();
begin
  if decision is null or item_id is null then
    raise exception 'Cannot decide: the item or the decision is null'
      using errcode = 'null_value_not_allowed', detail = 'COMPLIANCE_NULL_ARGUMENT';
  end if;
  if length(btrim(note)) not between 1 and 500 or note ~ '[[:cntrl:]]' then
    raise exception 'Cannot decide: a note has 1 to 500 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'COMPLIANCE_INVALID_NOTE';
  end if;
  select * into v_item from bulwark.access_review_items i where i.id = item_id;
  v_review := bulwark_private.find_access_review(v_item.review_id, false);
  if v_item.user_id = v_user then
    raise exception 'Cannot decide: nobody reviews their own access'
      using errcode = 'insufficient_privilege', detail = 'COMPLIANCE_OWN_ACCESS',
            hint = 'Another reviewer decides';
  end if;
  -- Rights before rows. An end changes rights, so it waits for everybody who acts on them.
  if decision = 'end' and v_item.api_key_id is null then
    perform bulwark_private.require_permission_to_change('user:read', v_review.organization_id);
  else
    perform bulwark_private.require_permission_to_act('user:read', v_review.organization_id);
  end if;
  perform from bulwark.access_reviews r where r.id = v_review.id and r.closed_at is null for share;
  if not found then
    raise exception 'Cannot decide: the review is closed'
      using errcode = 'PT409', detail = 'COMPLIANCE_REVIEW_CLOSED',
        hint = 'Start another review; members and keys can be ended outside of one';
  end if;
  select * into v_item from bulwark.access_review_items i where i.id = item_id for update;
  if v_item.decision is not null then
    raise exception 'Cannot decide: somebody has decided already'
      using errcode = 'PT409', detail = 'COMPLIANCE_ALREADY_DECIDED',
        hint = 'List the undecided ones with list_access_review';
  end if;
  v_access := case
    when v_item.api_key_id is not null then bulwark_private.access_of_key(v_item.api_key_id)
    else bulwark_private.access_of_member(v_item.user_id, v_review.organization_id)
  end;
  if v_access is null then
    v_outcome := 'gone';
  elsif decision = 'keep' then
    -- Access that has grown since the reviewer saw it is not kept unseen.
    if version is distinct from bulwark_private.access_version(v_access) then
      raise exception 'Cannot decide: the access is no longer as it was listed'
        using errcode = 'PT409', detail = 'COMPLIANCE_ACCESS_CHANGED',
              hint = 'List it again, and decide about that version';
    end if;
    v_outcome := 'kept';
  else
    -- With the reviewer's own rights and rank.
    if v_item.api_key_id is not null then
      perform bulwark.revoke_api_key(
        v_item.api_key_id, coalesce(btrim(note), 'Ended by an access review')
      );
    else
      perform bulwark.remove_member(v_review.organization_id, v_item.user_id);
    end if;
    v_outcome := 'ended';
  end if;
  update bulwark.access_review_items i
  set decision = decide_access.decision, outcome = v_outcome, note = btrim(decide_access.note),
      access = coalesce(v_access, i.access), decided_by = v_user, decided_at = clock_timestamp()
  where i.id = item_id
  returning * into v_item;
  return v_item;
end;
$$;
comment on function bulwark.decide_access(
  uuid, bulwark.access_review_decision, text, text
) is
  'Decides about one access, once and for good (a reviewer who holds user:read, about others). keep
   needs the version of list_access_review. end removes the member (user:delete, role:grant and a
   rank at least as high) or revokes the key (api_key:revoke) in the same transaction. outcome gone:
   it had ended before. Errors: COMPLIANCE_UNKNOWN_REVIEW, COMPLIANCE_OWN_ACCESS,
   COMPLIANCE_REVIEW_CLOSED, COMPLIANCE_ALREADY_DECIDED, COMPLIANCE_ACCESS_CHANGED,
   COMPLIANCE_INVALID_NOTE, COMPLIANCE_NULL_ARGUMENT, and those of remove_member and
   revoke_api_key.';

create function bulwark_private.access_review_totals(review_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'items', count(*),
    'undecided', count(*) filter (where i.decision is null),
    'kept', count(*) filter (where i.outcome = 'kept'),
    'ended', count(*) filter (where i.outcome = 'ended'),
    'gone', count(*) filter (where i.outcome = 'gone')
  )
  from bulwark.access_review_items i
  where i.review_id = access_review_totals.review_id;
$$;
comment on function bulwark_private.access_review_totals(uuid) is
  'How many items of a review are decided, and how.';

create function bulwark.close_access_review(review_id uuid)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client writes reviews
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_review bulwark.access_reviews := bulwark_private.find_access_review(review_id, true);
  v_totals jsonb;
begin
  perform bulwark_private.require_permission_to_act('role:grant', v_review.organization_id);
  update bulwark.access_reviews r
  set closed_at = clock_timestamp(), closed_by = bulwark.current_person()
  where r.id = v_review.id and r.closed_at is null
  returning * into v_review;
  if not found then
    raise exception 'Cannot close review: it is closed'
      using errcode = 'PT409', detail = 'COMPLIANCE_REVIEW_CLOSED',
        hint = 'Nothing is to be done: it keeps its totals';
  end if;
  v_totals := bulwark_private.access_review_totals(v_review.id) || jsonb_build_object(
    'name', v_review.name, 'due_at', v_review.due_at,
    'in_time', v_review.closed_at <= v_review.due_at,
    -- The evidence as it is now, so that a later change of it by the owner shows.
    'sha256', (
      select encode(
        sha256(convert_to(coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]')::text, 'utf8')),
        'hex'
      )
      from bulwark.access_review_items i where i.review_id = v_review.id
    )
  );
  perform bulwark_private.append_audit_entry(
    'compliance.review_closed', v_review.organization_id, 'bulwark.access_reviews',
    v_review.id::text, 'close', details => v_totals
  );
  return v_totals;
end;
$$;
comment on function bulwark.close_access_review(uuid) is
  'Closes a review for good (role:grant), and returns its totals: items, undecided, kept, ended,
   gone, in_time, and the SHA-256 of its items, which the entry compliance.review_closed has too.
   Errors: COMPLIANCE_UNKNOWN_REVIEW, COMPLIANCE_REVIEW_CLOSED, RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

create function bulwark.remind_access_reviews()
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no API role writes the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_days constant interval := make_interval(
    days => (bulwark_private.setting('compliance.review_reminder_days'))::integer
  );
  v_count integer := 0;
  v_review bulwark.access_reviews;
begin
  for v_review in
    select * from bulwark.access_reviews r
    where r.closed_at is null
      and r.due_at < now() + v_days
      and (r.reminded_at is null or r.reminded_at < now() - interval '23 hours 30 minutes')
    order by r.due_at
    limit 1000
    for update skip locked
  loop
    update bulwark.access_reviews r set reminded_at = now() where r.id = v_review.id;
    perform bulwark_private.append_audit_entry(
      'compliance.review_due', v_review.organization_id, 'bulwark.access_reviews',
      v_review.id::text, case when v_review.due_at < now() then 'overdue' else 'due' end,
      details => bulwark_private.access_review_totals(v_review.id) || jsonb_build_object(
        'name', v_review.name, 'due_at', v_review.due_at, 'reviewers', v_review.reviewers
      )
    );
    v_count := v_count + 1;
  end loop;
  -- Small steps, because a review has up to 10,000 rows. Their entries stay in the log.
  delete from bulwark.access_reviews r
  where r.id in (
    select o.id from bulwark.access_reviews o
    where o.closed_at < now() - make_interval(
      days => (bulwark_private.setting('compliance.review_days'))::integer
    )
    order by o.closed_at
    limit 5
    for update skip locked
  );
  return v_count;
end;
$$;
comment on function bulwark.remind_access_reviews() is
  'Reminds of open reviews, once a day from compliance.review_reminder_days before they are due
   until they are closed: an entry compliance.review_due each, which webhooks deliver. Deletes
   reviews compliance.review_days after they were closed. Returns how many reminders. For the
   scheduler (service role only).';

insert into bulwark_private.jobs (name, every, command) values
  ('compliance-reminders', '1 hour', 'select bulwark.remind_access_reviews()');

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

revoke all on table
  bulwark_private.personal_tables,
  bulwark.access_reviews,
  bulwark.access_review_items
  from public, anon, authenticated, service_role;
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
  bulwark_private.personal_columns(),
  bulwark.declare_personal_data(target regclass, person_column text, organization_column text),
  bulwark_private.subject_columns(target regclass, kinds text[]),
  bulwark_private.subject_hidden(target regclass),
  bulwark_private.subject_key(target regclass),
  bulwark_private.subject_organization_column(target regclass),
  bulwark_private.subject_query(target regclass, page_size integer),
  bulwark_private.subject_rows(target regclass, user_id uuid, addresses text[], organization_id uuid, after text, page_size integer, only_own boolean, out rows jsonb, out next_after text),
  bulwark_private.subject_entries(user_id uuid, addresses text[], organization_id uuid, after text, only_own boolean, out rows jsonb, out next_after text, out withheld bigint),
  bulwark_private.subject_account(user_id uuid, organization_id uuid),
  bulwark_private.subject_sources(),
  bulwark_private.subject_is_known(user_id uuid, organization_id uuid),
  bulwark_private.own_addresses(user_id uuid),
  bulwark.export_subject(user_id uuid, organization_id uuid, after text, page_size integer),
  bulwark_private.access_of_member(user_id uuid, organization_id uuid),
  bulwark_private.access_of_key(key_id uuid),
  bulwark_private.access_version(access jsonb),
  bulwark.start_access_review(organization_id uuid, name text, due_at timestamptz, reviewers uuid[]),
  bulwark_private.find_access_review(review_id uuid, reading boolean),
  bulwark.list_access_review(review_id uuid, undecided boolean, after uuid, page_size integer),
  bulwark.decide_access(item_id uuid, decision bulwark.access_review_decision, version text, note text),
  bulwark_private.access_review_totals(review_id uuid),
  bulwark.close_access_review(review_id uuid),
  bulwark.remind_access_reviews(),
  bulwark_private.report_reviews(organization_id uuid),
  bulwark.compliance_report(organization_id uuid, since timestamptz, until timestamptz)
  from public, anon, authenticated, service_role;

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

insert into bulwark_private.capabilities values ('compliance', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
