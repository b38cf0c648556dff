-- Audit queries: searches the log page by page, and exports it in the order it was sealed.
-- Protects against readers of other organizations (row-level security, audit:read) and unrecorded
-- exports (audit:export, itself an entry).
-- SECURITY DEFINER: export_audit_log, because no client can read seals and it records itself.

create function bulwark_private.audit_id_floor(moment timestamptz)
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(
    -- The id has 48 bits of milliseconds: times before 1970 or after 10889 map to the ends of the
    -- range.
    int8send(
      least(greatest((date_part('epoch', moment) * 1000)::bigint, 0), 281474976710655) << 16
    ) || '\x0000000000000000'::bytea,
    'hex'
  )::uuid;
$$;
comment on function bulwark_private.audit_id_floor(timestamptz) is
  'The smallest id that an entry at this time can have: turns a range of time into a range of the
   key.';

create function bulwark_private.search_audit_logs(
  organization_id uuid,
  since timestamptz,
  until timestamptz,
  event_types text[],
  severities bulwark.audit_severity[],
  results bulwark.audit_result[],
  actor_id uuid,
  resource_type text,
  resource_id text,
  correlation_id uuid,
  search text,
  before uuid,
  page_size integer
)
  returns setof bulwark.audit_logs
  language plpgsql
  stable
  rows 50
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan
  set jit = off
as $$
declare
  v_from timestamptz := since;
  v_organizations uuid[];
  v_pattern text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  if page_size is null or page_size not between 1 and 1000 then
    raise exception 'Cannot search the audit log: a page has 1 to 1000 entries'
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
  -- Row-level security decides; the list of organizations only lets the index be used.
  if organization_id is null and current_user = 'authenticated'
    and not bulwark.is_super_admin() then
    v_organizations := array(select bulwark.organizations_with('audit:read'));
    if cardinality(v_organizations) = 1 then
      organization_id := v_organizations[1];
    end if;
  end if;
  return query
    select e.*
    from bulwark.audit_logs e
    where (search_audit_logs.organization_id is null
        or e.organization_id = search_audit_logs.organization_id)
      and (v_organizations is null or e.organization_id = any (v_organizations))
      and (search_audit_logs.before is null or e.id < search_audit_logs.before)
      and (v_from is null
        or e.id >= bulwark_private.audit_id_floor(v_from) and e.occurred_at >= v_from)
      and (until is null
        or e.id < bulwark_private.audit_id_floor(until + interval '1 millisecond')
        and e.occurred_at <= until)
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
    limit page_size;
end;
$$;
comment on function bulwark_private.search_audit_logs(
  uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[], bulwark.audit_result[], uuid,
  text, text, uuid, text, uuid, integer
) is
  'Implements bulwark.search_audit_logs; row-level security applies.';

-- In SQL, because PL/pgSQL does not accept reserved words as parameter names.
create function bulwark.search_audit_logs(
  organization_id uuid default null,
  "from" timestamptz default null,
  "to" timestamptz default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  results bulwark.audit_result[] default null,
  actor_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  correlation_id uuid default null,
  search text default null,
  before uuid default null,
  page_size integer default 50
)
  returns setof bulwark.audit_logs
  language sql
  stable
  rows 50
  set search_path = pg_catalog, pg_temp
as $$
  select * from bulwark_private.search_audit_logs(
    search_audit_logs.organization_id, "from", "to", event_types, severities, results,
    search_audit_logs.actor_id, search_audit_logs.resource_type, search_audit_logs.resource_id,
    search_audit_logs.correlation_id, search, search_audit_logs.before, page_size
  );
$$;
comment on function bulwark.search_audit_logs(
  uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[], bulwark.audit_result[], uuid,
  text, text, uuid, text, uuid, integer
) is
  'A page of the entries that the caller may read and that match all given filters, newest first.
   before, the id of the last entry of a page, requests the next page. search looks for text in
   resource, action and payload, by default of the last 31 days. Errors: AUDIT_INVALID_LIMIT,
   AUDIT_INVALID_RANGE, AUDIT_INVALID_SEARCH, AUDIT_UNKNOWN_EVENT_TYPE.';

create function bulwark_private.export_audit_log(
  organization_id uuid,
  after text,
  page_size integer,
  since timestamptz,
  until timestamptz,
  signed boolean
)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_cursor text := after;
  v_entries jsonb;
  v_first bigint;
  v_group record;
  v_bytes bigint := 0;
  v_groups jsonb[] := array[]::jsonb[];
  v_left integer := page_size;
  v_news boolean := false;
  v_next text;
  v_page bigint;
  v_place bigint := 0;
  v_pruned constant bigint := (select max(r.through_seal) from bulwark_private.audit_prunings r);
  v_seal bigint := 0;
  v_signed constant bigint := (select max(c.tree_size) from bulwark.audit_checkpoints c);
  v_started constant timestamptz := clock_timestamp();
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

  for v_group in
    select g as stored, g.seal, g.entry_count, s.timeline, s.snapshot,
      p.timeline as after_timeline, p.snapshot as after_snapshot
    from bulwark_private.audit_groups g
    join bulwark_private.audit_seals s on s.number = g.seal
    left join bulwark_private.audit_seals p on p.number = g.seal - 1
    where (
        g.organization_id = export_audit_log.organization_id
        or export_audit_log.organization_id is null and g.organization_id is null
      )
      and g.seal >= v_seal
      and g.seal > coalesce(v_pruned, 0)
      and (g.seal > v_seal or g.entry_count > v_place)
      and (since is null or s.sealed_at >= since)
      and (until is null or s.sealed_at <= until)
      and (signed is not true or v_signed is null or g.seal <= v_signed)
    order by g.seal
  loop
    -- A page is limited in entries, bytes and time, so that it stays below the statement timeout.
    -- It has at least one group, however long that waited: otherwise it would look like the end.
    if v_left = 0 or v_bytes > 4194304
      or v_groups <> '{}' and clock_timestamp() - v_started > interval '3 seconds' then
      v_next := v_cursor;
      exit;
    end if;
    v_first := case when v_group.seal = v_seal then v_place else 0 end;
    select
      coalesce(
        jsonb_agg(
          bulwark_private.audit_entry_json(c) || jsonb_build_object('leaf', m.leaf)
          order by c.timeline, c.xid, c.id
        ),
        '[]'
      ),
      count(*),
      v_news or coalesce(
        bool_or(
          (e.source, e.event_type, e.action)
            is distinct from ('system'::bulwark.audit_source, 'data.export', 'export_audit_log')
        ),
        false
      )
    into v_entries, v_page, v_news
    from (
      select
        m.id,
        -- The sealed leaf at this position: shows which entry was altered.
        bulwark_private.base64(nullif(
          substring(
            (v_group.stored).leaves
            from ((row_number() over (order by m.timeline, m.xid, m.id) - 1) * 32 + 1)::integer
            for 32
          ),
          ''
        )) as leaf
      from bulwark_private.audit_entries(
        v_group.after_timeline, v_group.after_snapshot, v_group.timeline, v_group.snapshot,
        false, export_audit_log.organization_id, false
      ) m
      order by m.timeline, m.xid, m.id
      offset v_first
      limit v_left
    ) m
    join bulwark_private.audit_commitments c on c.id = m.id
    join bulwark.audit_logs e on e.id = m.id;
    v_groups := array_append(
      v_groups,
      bulwark_private.audit_group_json(v_group.stored)
        || jsonb_build_object('first', v_first, 'entries', v_entries)
    );
    v_bytes := v_bytes + pg_column_size(v_entries);
    v_left := v_left - v_page;
    v_cursor := format('%s:%s', v_group.seal, v_first + v_page);
    -- If rows are missing the group ends before its count; the next page must not start here again.
    if v_first + v_page >= v_group.entry_count or v_left > 0 then
      v_cursor := format('%s:%s', v_group.seal, v_group.entry_count);
    else
      v_next := v_cursor;
      exit;
    end if;
  end loop;

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
      from bulwark_private.audit_groups g
      where (
          g.organization_id = export_audit_log.organization_id
          or export_audit_log.organization_id is null and g.organization_id is null
        )
        and g.seal < (v_groups[1] ->> 'seal')::bigint
      order by g.seal desc
      limit 1
    ),
    'proof', bulwark_private.audit_group_proof(
      (
        select max(g.seal)
        from bulwark_private.audit_groups g
        where g.organization_id is not distinct from export_audit_log.organization_id
          and g.seal between (v_groups[1] ->> 'seal')::bigint
            and least((v_groups[cardinality(v_groups)] ->> 'seal')::bigint, v_signed)
      ),
      export_audit_log.organization_id
    )
  );
end;
$$;
comment on function bulwark_private.export_audit_log(
  uuid, text, integer, timestamptz, timestamptz, boolean
) is
  'Implements bulwark.export_audit_log.';

create function bulwark.export_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 1000,
  "from" timestamptz default null,
  "to" timestamptz default null,
  signed boolean default false
)
  returns jsonb
  language sql
  volatile
  security definer            -- definer because no client can read seals and it records itself
  set search_path = pg_catalog, pg_temp
as $$
  select bulwark_private.export_audit_log(organization_id, after, page_size, "from", "to", signed);
$$;
comment on function bulwark.export_audit_log(
  uuid, text, integer, timestamptz, timestamptz, boolean
) is
  'A page of an organization''s log (audit:export there; null: the entries without an organization,
   for a super_admin and the service role) in the order it was sealed, with its proof. next requests
   the next page and is null at the end. A follower continues later at cursor: no entry is ever
   sealed before it. signed ends the log at the newest checkpoint, so that all of it can be proved.
   Each page is recorded as data.export. Errors: AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT,
   AUDIT_INVALID_RANGE, RBAC_PERMISSION_DENIED.';
