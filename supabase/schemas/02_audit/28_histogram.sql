-- Audit histogram: counts of an organization's entries over time, for charts.
-- Protects against readers of other organizations (audit:read), and against a chart of a large log
-- that runs into the statement timeout: a call counts for about two seconds, then gives a cursor.
-- SECURITY DEFINER: audit_histogram, because row-level security would find out for each step again
--   which organizations the caller may read; one check precedes all steps.

create function bulwark.audit_histogram(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  bucket interval default '1 hour',
  group_by text default null,
  before uuid default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  actor_id uuid default null,
  resource_id text default null,
  search text default null
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each step again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  -- A Monday, so that buckets of seven days are weeks.
  c_origin constant timestamptz := timestamptz '2000-01-03T00:00:00Z';
  v_until constant timestamptz := coalesce(until, now());
  v_since constant timestamptz := coalesce(since, v_until - interval '1 day');
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_counts jsonb := '[]'::jsonb;
  v_floor uuid;
  v_low uuid;
  v_pattern constant text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_counts jsonb;
  v_step_started timestamptz;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if not (isfinite(v_since) and isfinite(v_until)) or v_since > v_until
    or v_since > now() + interval '1 day' then
    raise exception 'Cannot count the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  -- Months differ in length. Longer ones than a century would overflow.
  if bucket is null or extract(year from bucket) <> 0 or extract(month from bucket) <> 0
    or bucket < interval '1 second' or bucket > interval '36525 days'
    or v_until - v_since > 1000 * bucket then
    raise exception 'Cannot count the audit log: a range has up to 1000 buckets of days or less'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_BUCKET',
            hint = 'Choose longer buckets, such as ''1 day'', or a shorter range';
  end if;
  if group_by <> all (
    '{event_type,category,severity,result,source,actor_type,resource_type}'::text[]
  ) then
    raise exception 'Cannot count the audit log: entries cannot be grouped by that'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_GROUP',
            hint = 'One of event_type, category, severity, result, source, actor_type, '
              'resource_type';
  end if;
  if length(search) not between 2 and 200 then
    raise exception 'Cannot count the audit log: a search has 2 to 200 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  v_floor := bulwark_private.audit_id_floor(v_since - interval '1 microsecond');
  v_before := least(v_before, bulwark_private.audit_id_floor(v_until + interval '1 millisecond'));
  loop
    v_step_started := clock_timestamp();
    select l.id into v_low
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.id from bulwark.audit_logs e
        where (e.organization_id, e.id) < (audit_histogram.organization_id, v_before)
          and (e.organization_id, e.id) >= (audit_histogram.organization_id, v_floor)
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
      union all
      (
        select e.id from bulwark.audit_logs e
        where audit_histogram.organization_id is null and e.organization_id is null
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
    ) l;
    select jsonb_agg(to_jsonb(g)) into v_step_counts
    from (
      select date_bin(bucket, e.occurred_at, c_origin) as at,
        case group_by
          when 'event_type' then e.event_type
          when 'category' then split_part(e.event_type, '.', 1)
          when 'severity' then e.severity::text
          when 'result' then e.result::text
          when 'source' then e.source::text
          when 'actor_type' then e.actor_type::text
          when 'resource_type' then e.resource_type
        end as label,
        count(*)
      from (
        select k.* from bulwark.audit_logs k
        where k.organization_id = audit_histogram.organization_id
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.* from bulwark.audit_logs k
        where audit_histogram.organization_id is null and k.organization_id is null
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
      ) e
      where e.occurred_at >= v_since and e.occurred_at <= v_until
        and (event_types is null or e.event_type = any (event_types))
        and (severities is null or e.severity = any (severities))
        and (audit_histogram.actor_id is null or e.actor_id = audit_histogram.actor_id)
        and (audit_histogram.resource_id is null or e.resource_id = audit_histogram.resource_id)
        and (search is null or concat_ws(
          ' ', e.event_type, e.resource_type, e.resource_id, e.action, e.before, e.after, e.details
        ) ilike v_pattern)
      group by 1, 2
    ) g;
    v_counts := v_counts || coalesce(v_step_counts, '[]');
    v_before := v_low;
    exit when v_low is null or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '100 milliseconds' then
      v_step := least(v_step * 2, 16000);
    end if;
  end loop;
  return jsonb_build_object(
    'since', v_since,
    'until', v_until,
    'buckets', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.at, t.label), '[]')
      from (
        select c.at, c.label, sum(c.count) as count
        from jsonb_to_recordset(v_counts) as c (at timestamptz, label text, count bigint)
        group by c.at, c.label
      ) t
    ),
    'next', v_low
  );
end;
$$;
comment on function bulwark.audit_histogram(
  uuid, timestamptz, timestamptz, interval, text, uuid, text[], bulwark.audit_severity[], uuid,
  text, text
) is
  'Counts the entries of an organization (audit:read there; null: those without one, for a
   super_admin and the service role) by bucket of time: { since, until, buckets, next }, where
   buckets is a list of { at, label, count } without empty ones. Buckets are aligned to UTC, those
   of seven days to Mondays. Default: the last day, by hour. group_by is event_type, category,
   severity, result, source, actor_type or resource_type; without it label is null. It counts the
   entries that match all given filters, as search_audit_logs does, from the newest backwards, for
   about two seconds: if next is not null, pass it as before, with the same since, until and
   filters, and add the counts. Errors: AUDIT_INVALID_RANGE, AUDIT_INVALID_BUCKET,
   AUDIT_INVALID_GROUP, AUDIT_INVALID_SEARCH, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
