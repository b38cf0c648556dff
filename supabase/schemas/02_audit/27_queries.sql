-- Audit queries: searches the log page by page.
-- Protects against readers of other organizations (row-level security, audit:read), and against a
-- search that reads for minutes: a step is bounded, and a page ends with a cursor.
-- SECURITY DEFINER: find_audit_entries, because it reads partitions, which are open to nobody.

-- In each partition the BRIN index is the only one that can answer: the conditions on id and
-- organization are written so that no other index matches them. So the plan does not depend on
-- statistics.
create function bulwark_private.audit_entries_with(
  key text,
  value text,
  low uuid,
  high uuid,
  most integer,
  organization uuid default null
)
  returns table (id uuid, organization_id uuid)
  language plpgsql
  stable
  rows 100
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = on    -- off in callers, and BRIN has no other scan
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_first constant timestamptz := bulwark_private.audit_id_time(low) - interval '1 second';
  v_last constant timestamptz := bulwark_private.audit_id_time(high) + interval '1 second';
  v_left integer := most;
  v_partition regclass;
begin
  if key = any (array['actor_id', 'correlation_id', 'resource_id']) is not true then
    raise exception 'Cannot search the audit log: no index has this column'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  for v_partition in
    select p.relation
    from bulwark_private.audit_partitions p
    where p.is_default
      or p.low < audit_entries_with.high and p.high > audit_entries_with.low
    order by p.low desc nulls last
  loop
    for id, organization_id in execute format(
      $query$
        select e.id, e.organization_id
        from %s e
        where e.%I = $1::%s and e.occurred_at >= $2 and e.occurred_at <= $3
          and (e.id >= $4 and e.id < $5) is true
          and ($6 is null or e.organization_id = $6) is true
        limit $7
      $query$, v_partition, key, case key when 'resource_id' then 'text' else 'uuid' end
    )
    using value, v_first, v_last, low, high, organization, v_left
    loop
      v_left := v_left - 1;
      return next;
    end loop;
    exit when v_left <= 0;
  end loop;
end;
$$;
comment on function bulwark_private.audit_entries_with(text, text, uuid, uuid, integer, uuid) is
  'The entries with ids from low up to high, in no order, whose actor_id, correlation_id or
   resource_id is the value: at most so many, of one organization or (null) of all. Errors:
   AUDIT_INVALID_SEARCH.';

create function bulwark_private.find_audit_entries(
  key text,
  value text,
  low uuid,
  high uuid,
  most integer
)
  returns uuid[]
  language plpgsql
  stable
  security definer            -- definer because partitions are open to nobody
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_everybody constant boolean := bulwark_private.caller_is_service() or bulwark.is_super_admin();
  v_count integer;
  v_found uuid[];
  v_organizations uuid[];
begin
  if not v_everybody then
    v_organizations := array(select bulwark_private.audited_organizations());
  end if;
  select
    count(*),
    coalesce(
      array_agg(e.id) filter (where v_everybody or e.organization_id = any (v_organizations)), '{}'
    )
  into v_count, v_found
  from bulwark_private.audit_entries_with(key, value, low, high, most) e;
  return case when v_count < most then v_found end;
end;
$$;
comment on function bulwark_private.find_audit_entries(text, text, uuid, uuid, integer) is
  'The ids of the entries that audit_entries_with finds and the caller may read; null if there are
   at least so many, in whichever organization, that a narrower range has to be asked for.';

create function bulwark_private.audit_entry_below(
  high uuid,
  low uuid,
  place integer,
  everybody boolean,
  organizations uuid[]
)
  returns uuid
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
begin
  return (
    select l.id
    from (
      (
        select e.id from bulwark.audit_logs e
        where everybody and e.id < high and e.id >= low
        order by e.id desc
        offset place limit 1
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one. Only
      -- the conditions on the id alone leave partitions out.
      select e.id
      from unnest(organizations) as o (id)
      cross join lateral (
        select k.id from bulwark.audit_logs k
        where k.id < high and k.id >= low
          and (k.organization_id, k.id) < (o.id, high)
          and (k.organization_id, k.id) >= (o.id, low)
        order by k.organization_id desc, k.id desc
        offset place limit 1
      ) e
    ) l
    order by l.id desc
    limit 1
  );
end;
$$;
comment on function bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]) is
  'The entry at a place (from 0) below an id, newest first, as far as the caller may read: of all
   entries, or the newest of those of some organizations, each counted by itself. Null: none from
   low on.';

create function bulwark.search_audit_logs(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  results bulwark.audit_result[] default null,
  actor_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  correlation_id uuid default null,
  search text default null,
  before uuid default null,
  page_size integer default 50,
  max_entries integer default 1000000
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
  v_all boolean := organization_id is null;
  v_archived jsonb;
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_entries jsonb := '[]'::jsonb;
  v_floor uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  v_found uuid[];
  v_from timestamptz := since;
  -- The column with an index, of those that are asked for the one that fits the fewest entries.
  v_key constant text := case
    when correlation_id is not null then 'correlation_id'
    when resource_id is not null then 'resource_id'
    when actor_id is not null then 'actor_id'
  end;
  v_last uuid;
  v_left integer := max_entries;
  v_low uuid;
  v_organizations uuid[] := array[organization_id];
  v_page jsonb;
  v_pattern constant text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_started timestamptz;
  -- The length of the range that the index is asked for next; null: read some entries first.
  v_window interval;
begin
  if page_size between 1 and 1000 is not true or max_entries between 1 and 10000000 is not true then
    raise exception 'Cannot search the audit log: a page has 1 to 1000 entries of 1 to 10,000,000'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot search the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if length(search) not between 2 and 200 then
    raise exception 'Cannot search the audit log: a search has 2 to 200 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  if exists (
    select from unnest(event_types) as t
    where not exists (select from bulwark.audit_event_types k where k.name = t)
  ) then
    raise exception 'Cannot search the audit log: an event type is not in the catalogue'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;
  -- Text has no index, so a search without a range of time covers the last month.
  if search is not null and v_from is null then
    v_from := coalesce(until, now()) - interval '31 days';
  end if;
  v_archived := bulwark_private.archived_audit_months(organization_id, v_from, until);
  if v_from is not null then
    -- The time of an entry is that of its id, rounded to a microsecond.
    v_floor := bulwark_private.audit_id_floor(v_from - interval '1 microsecond');
  end if;
  if until is not null then
    v_before := least(
      v_before, bulwark_private.audit_id_floor(until + interval '1 millisecond')
    );
  end if;
  -- Row-level security decides; this only keeps a step from reading what nobody may see.
  if current_user = 'authenticated' then
    -- Within, because the service role may not even name these functions.
    if not v_all then
      perform bulwark.require_permission('audit:read', organization_id);
    end if;
    if not bulwark.is_super_admin() then
      v_organizations := array(
        select o from bulwark.organizations_with('audit:read') as o
        where v_all or o = organization_id
      );
      v_all := false;
    end if;
  end if;
  -- Step by step, because a filter may match nothing among millions of entries. A value that is
  -- rare is found by the index, in ranges that grow; a frequent one by reading entries in order.
  loop
    v_step_started := clock_timestamp();
    v_found := null;
    if v_window is not null then
      -- The range ends at the next entry, so that times without any take no step.
      v_low := bulwark_private.audit_entry_below(v_before, v_floor, 0, v_all, v_organizations);
      exit when v_low is null;
      v_low := greatest(
        v_floor,
        bulwark_private.audit_id_floor(bulwark_private.audit_id_time(v_low) - v_window)
      );
      v_found := bulwark_private.find_audit_entries(
        v_key, coalesce(correlation_id::text, resource_id, actor_id::text), v_low, v_before, 500
      );
      if v_low = v_floor then
        v_low := null;
      end if;
    end if;
    if v_found is not null then
      v_left := v_left - cardinality(v_found);
      v_window := least(v_window * 8, interval '100 years');
    else
      v_step := least(v_step, v_left);
      v_low := bulwark_private.audit_entry_below(
        v_before, v_floor, v_step, v_all, v_organizations
      );
      v_left := v_left - v_step;
      if v_key is not null then
        v_window := 8 * greatest(
          least(bulwark_private.audit_id_time(v_before), clock_timestamp())
            - bulwark_private.audit_id_time(v_low),
          interval '1 second'
        );
      end if;
    end if;
    select jsonb_agg(to_jsonb(f) order by f.id desc), (array_agg(f.id order by f.id))[1]
    into v_page, v_last
    from (
      select e.*
      from (
        select * from bulwark.audit_logs k
        where v_found is null and v_all and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.*
        from unnest(v_found) as found (id)
        cross join lateral (
          select * from bulwark.audit_logs i where i.id = found.id
        ) k
        where v_all or k.organization_id = any (v_organizations)
        union all
        select k.*
        from unnest(case when v_found is null then v_organizations end) as o (id)
        cross join lateral (
          select * from bulwark.audit_logs i
          where i.id < v_before and i.id >= coalesce(v_low, v_floor)
            and (i.organization_id, i.id) < (o.id, v_before)
            and (i.organization_id, i.id) >= (o.id, coalesce(v_low, v_floor))
          order by i.organization_id desc, i.id desc
        ) k
      ) e
      where (v_from is null or e.occurred_at >= v_from)
        and (until is null or e.occurred_at <= until)
        and (event_types is null or e.event_type = any (event_types))
        and (severities is null or e.severity = any (severities))
        and (results is null or e.result = any (results))
        and (search_audit_logs.actor_id is null or e.actor_id = search_audit_logs.actor_id)
        and (search_audit_logs.resource_type is null
          or e.resource_type = search_audit_logs.resource_type)
        and (search_audit_logs.resource_id is null
          or e.resource_id = search_audit_logs.resource_id)
        and (search_audit_logs.correlation_id is null
          or e.correlation_id = search_audit_logs.correlation_id)
        and (search is null or concat_ws(
          ' ', e.event_type, e.resource_type, e.resource_id, e.action, e.before, e.after, e.details
        ) ilike v_pattern)
      order by e.id desc
      limit page_size - jsonb_array_length(v_entries)
    ) f;
    v_entries := v_entries || coalesce(v_page, '[]');
    if jsonb_array_length(v_entries) = page_size then
      return jsonb_build_object('entries', v_entries, 'next', v_last, 'archived', v_archived);
    end if;
    v_before := v_low;
    exit when v_low is null or v_left <= 0
      or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '200 milliseconds' then
      v_step := least(v_step * 2, 64000);
    end if;
  end loop;
  return jsonb_build_object('entries', v_entries, 'next', v_low, 'archived', v_archived);
end;
$$;
comment on function bulwark.search_audit_logs(
  uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[], bulwark.audit_result[], uuid,
  text, text, uuid, text, uuid, integer, integer
) is
  'A page of the entries that the caller may read and that match all given filters, newest first:
   { entries, next, archived }. archived lists the months of that time whose entries are in the
   archive and not here, such as 2026-01. Pass next as before to continue; null: there are no more.
   A page has fewer entries than page_size, or none, if it would read more than max_entries, in each
   organization, or for longer than about two seconds. Organization, time, actor, resource_id and
   correlation use an index. search looks for text in resource, action and payload, by default of
   the last 31 days. Errors: AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_SEARCH,
   AUDIT_UNKNOWN_EVENT_TYPE, and for an organization that is named and closed
   RBAC_PERMISSION_DENIED or MFA_REQUIRED.';
