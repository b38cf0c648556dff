-- Audit queries: searches the log page by page, and exports it in the order it was sealed.
-- Protects against readers of other organizations (row-level security, audit:read) and unrecorded
-- exports (audit:export, itself an entry).
-- SECURITY DEFINER: export_audit_log, because no client can read seals and it records itself.

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
  v_from timestamptz := since;
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
  -- Step by step, because a filter may match nothing among millions of entries.
  loop
    v_step_started := clock_timestamp();
    v_step := least(v_step, v_left);
    select l.id into v_low
    from (
      (
        select e.id from bulwark.audit_logs e
        where v_all and e.id < v_before and e.id >= v_floor
        order by e.id desc
        offset v_step limit 1
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one. Only
      -- the conditions on the id alone leave partitions out.
      select e.id
      from unnest(v_organizations) as o (id)
      cross join lateral (
        select k.id from bulwark.audit_logs k
        where k.id < v_before and k.id >= v_floor
          and (k.organization_id, k.id) < (o.id, v_before)
          and (k.organization_id, k.id) >= (o.id, v_floor)
        order by k.organization_id desc, k.id desc
        offset v_step limit 1
      ) e
    ) l
    order by l.id desc
    limit 1;
    select jsonb_agg(to_jsonb(f) order by f.id desc), (array_agg(f.id order by f.id))[1]
    into v_page, v_last
    from (
      select e.*
      from (
        select * from bulwark.audit_logs k
        where v_all and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.*
        from unnest(v_organizations) as o (id)
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
    v_left := v_left - v_step;
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
   organization, or for longer than about two seconds. Only organization and time use an index.
   search looks for text in resource, action and payload, by default of the last 31 days. Errors:
   AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_SEARCH, AUDIT_UNKNOWN_EVENT_TYPE, and for
   an organization that is named and closed RBAC_PERMISSION_DENIED or MFA_REQUIRED.';

create function bulwark.export_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 1000,
  since timestamptz default null,
  until timestamptz default null,
  signed boolean default false
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no client can read seals and it records itself
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_cursor text := after;
  v_entries jsonb;
  v_bytes bigint := 0;
  v_first bigint;
  v_found bigint;
  v_from bigint;
  v_group bulwark_private.audit_groups;
  v_groups jsonb[] := array[]::jsonb[];
  v_left integer := page_size;
  v_news boolean := false;
  v_next text;
  v_page bigint;
  v_place bigint := 0;
  -- Archived entries are in files, so an export begins after them, as after pruned ones.
  v_pruned constant bigint := nullif(
    greatest(
      (select max(r.through_seal) from bulwark_private.audit_prunings r),
      bulwark_private.audit_archived_through()
    ), 0
  );
  v_range bulwark_private.audit_range;
  v_read integer := 0;
  v_seal bigint := 0;
  v_signed constant bigint := (select max(c.tree_size) from bulwark.audit_checkpoints c);
  v_size bigint;
  v_span record;
  v_started constant timestamptz := clock_timestamp();
  v_upto bigint := v_signed;
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  if page_size is null or page_size not between 1 and 5000 then
    raise exception 'Cannot export the audit log: a page has 1 to 5000 entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot export the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if after is not null then
    if after !~ '^[0-9]{1,15}:[0-9]{1,15}$' then
      raise exception 'Cannot export the audit log: the cursor is not one of its own'
        using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CURSOR',
              hint = 'Pass on the value of next or cursor from the page before';
    end if;
    v_seal := split_part(after, ':', 1)::bigint;
    v_place := split_part(after, ':', 2)::bigint;
  end if;

  v_from := greatest(v_seal, v_pruned + 1);
  if since is not null then
    v_from := greatest(v_from, coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at >= since
        order by s.sealed_at, s.number
        limit 1
      ),
      9223372036854775807
    ));
  end if;
  if signed is not true then
    v_upto := null;
  end if;
  if until is not null then
    v_upto := least(v_upto, coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at <= until
        order by s.sealed_at desc, s.number desc
        limit 1
      ),
      0
    ));
  end if;

  select s.first_id, s.last_id into v_span
  from (
    select min(g.seal) as first, max(g.seal) as last
    from bulwark_private.audit_groups_of(export_audit_log.organization_id, v_from, v_upto) g
  ) g
  cross join lateral bulwark_private.audit_span(g.first, g.last) s;
  for v_group in
    select * from bulwark_private.audit_groups_of(
      export_audit_log.organization_id, v_from, v_upto
    )
  loop
    v_read := v_read + 1;
    continue when v_group.seal = v_seal and v_group.entry_count <= v_place;
    -- A page is limited in entries, bytes and time, so that it stays below the statement timeout.
    -- It has at least one group, however long that waited: otherwise it would look like the end.
    if v_left = 0 or v_bytes > 4194304
      or v_groups <> '{}' and clock_timestamp() - v_started > interval '3 seconds' then
      v_next := v_cursor;
      exit;
    end if;
    v_first := case when v_group.seal = v_seal then v_place else 0 end;
    select (r.range).* into v_range
    from bulwark_private.audit_seal_ranges r where r.number = v_group.seal;
    with found as materialized (
      select m.id, row_number() over w as place, sum(m.size) over w as bytes
      from (
        select * from bulwark_private.audit_entries(
          v_range, false, export_audit_log.organization_id, false, (v_first + v_left)::integer,
          v_span.first_id, v_span.last_id
        ) e
        order by e.timeline, e.xid, e.id
        offset v_first
      ) m
      window w as (order by m.timeline, m.xid, m.id)
    )
    select
      coalesce(
        jsonb_agg(
          bulwark_private.audit_entry_json(c.entry) || jsonb_build_object(
            -- The sealed leaf at this position: shows which entry was altered.
            'leaf', bulwark_private.base64(nullif(
              substring(
                v_group.leaves from ((v_first + f.place - 1) * 32 + 1)::integer for 32
              ), ''
            ))
          )
          order by f.place
        ),
        '[]'
      ),
      count(*),
      coalesce(max(f.bytes), 0),
      (select count(*) from found),
      v_news or coalesce(
        bool_or(
          ((c.entry).source, (c.entry).event_type, (c.entry).action)
            is distinct from ('system'::bulwark.audit_source, 'data.export', 'export_audit_log')
        ),
        false
      )
    into v_entries, v_page, v_size, v_found, v_news
    from found f
    -- The limit keeps this a look-up, whatever the statistics say.
    cross join lateral (
      select e as entry from bulwark_private.audit_commitments e where e.id = f.id limit 1
    ) c
    -- A page is bounded within a group, too; its first entry always fits.
    where f.bytes <= 4194304 - v_bytes or f.place = 1;
    v_groups := array_append(
      v_groups,
      bulwark_private.audit_group_json(v_group)
        || jsonb_build_object('first', v_first, 'entries', v_entries)
    );
    v_bytes := v_bytes + v_size;
    v_left := v_left - v_page;
    v_cursor := format('%s:%s', v_group.seal, v_first + v_page);
    -- If rows are missing the group ends before its count; the next page must not start here again.
    if v_page >= v_found and (v_first + v_page >= v_group.entry_count or v_left > 0) then
      v_cursor := format('%s:%s', v_group.seal, v_group.entry_count);
    else
      v_next := v_cursor;
      exit;
    end if;
  end loop;
  -- The function that lists groups stops after a thousand.
  if v_read = 1000 then
    v_next := v_cursor;
  end if;

  -- A page that contains only records of exports is not recorded. Otherwise a follower would never
  -- reach the end of the log.
  if v_news then
    perform bulwark_private.append_audit_entry(
      'data.export',
      organization_id => export_audit_log.organization_id,
      resource_type => 'bulwark.audit_logs',
      action => 'export_audit_log',
      details => jsonb_build_object(
        'after', after, 'entries', page_size - v_left, 'cursor', v_cursor
      )
    );
  end if;
  return jsonb_build_object(
    'groups', to_jsonb(v_groups),
    'entries', page_size - v_left,
    'next', v_next,
    'cursor', v_cursor,
    'pruned', (
      select v_pruned
      from bulwark_private.audit_group_before(export_audit_log.organization_id, v_pruned + 1)
    ),
    -- The group that the first one chains to, which proves that nothing is left out between them.
    'previous', (
      select bulwark_private.audit_group_json(g)
      from bulwark_private.audit_group_before(
        export_audit_log.organization_id, (v_groups[1] ->> 'seal')::bigint
      ) g
    ),
    'proof', bulwark_private.audit_group_proof(
      (
        select max((g ->> 'seal')::bigint)
        from unnest(v_groups) as g
        where v_signed is null or (g ->> 'seal')::bigint <= v_signed
      ),
      export_audit_log.organization_id
    )
  );
end;
$$;
comment on function bulwark.export_audit_log(
  uuid, text, integer, timestamptz, timestamptz, boolean
) is
  'A page of an organization''s log (audit:export there; null: the entries without an organization,
   for a super_admin and the service role) in the order it was sealed, with its proof. next requests
   the next page and is null at the end. A follower continues later at cursor: no entry is ever
   sealed before it. signed ends the log at the newest checkpoint, so that all of it can be proved.
   Archived entries are not exported again: pruned is the seal up to which they, or pruned ones, are
   missing. Each page is recorded as data.export. Errors: AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT,
   AUDIT_INVALID_RANGE, RBAC_PERMISSION_DENIED.';
