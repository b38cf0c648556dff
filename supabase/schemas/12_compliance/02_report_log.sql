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
