-- Audit exports: the log in the order it was sealed, page by page, and how far each caller has
-- exported it, so that an export of many pages, or of a log that is followed, is charged once.
-- Protects against unrecorded exports (audit:export, itself an entry), and against requests that
-- claim to continue an export in order not to be charged: only one request at a time continues,
-- where the one before it ended. A request that goes back starts another export.
-- SECURITY DEFINER: export_audit_log, because no client can read seals and it records itself;
--   continue_audit_export and note_audit_export, because clients may not write their own progress.

create table bulwark_private.audit_exports (
  caller uuid not null,
  organization_id uuid,
  seal bigint not null,
  place bigint not null,
  under_way boolean not null,
  noted_at timestamptz not null default now(),
  constraint audit_exports_is_one unique nulls not distinct (caller, organization_id)
);
comment on table bulwark_private.audit_exports is
  'Progress of users and API keys in exporting the log of an organization (null: the entries without
   one). Kept for a day and without foreign keys, because the log outlives organizations and
   accounts. Not audited: each page of an export is.';
comment on column bulwark_private.audit_exports.under_way is
  'Whether a request is reading on from there. A request that breaks off leaves it true; the next
   one is another export.';
alter table bulwark_private.audit_exports enable row level security;

create function bulwark.continue_audit_export(
  caller uuid,
  after text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because clients may not write their own progress
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_place bigint;
  v_seal bigint;
begin
  if after is null or after !~ '^[0-9]{1,15}:[0-9]{1,15}$' then
    return false;
  end if;
  v_seal := split_part(after, ':', 1)::bigint;
  v_place := split_part(after, ':', 2)::bigint;
  update bulwark_private.audit_exports e
  set seal = v_seal, place = v_place, under_way = true, noted_at = now()
  where e.caller = caller
    and e.organization_id is not distinct from organization_id
    and not e.under_way
    and (e.seal, e.place) <= (v_seal, v_place);
  return found;
end;
$$;
comment on function bulwark.continue_audit_export(uuid, text, uuid) is
  'Whether a request continues an export of this caller (service role only): it starts where the
   last one ended, or later, and no other request is continuing.';

create function bulwark.note_audit_export(
  caller uuid,
  reached text,
  begins boolean,
  ends boolean,
  organization_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write their own progress
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  insert into bulwark_private.audit_exports as e (caller, organization_id, seal, place, under_way)
  values (
    caller, organization_id, split_part(reached, ':', 1)::bigint,
    split_part(reached, ':', 2)::bigint, not ends
  )
  on conflict on constraint audit_exports_is_one do update
    set seal = excluded.seal, place = excluded.place, under_way = excluded.under_way,
        noted_at = excluded.noted_at
    -- A late page never moves the progress back.
    where begins or (excluded.seal, excluded.place) >= (e.seal, e.place);
end;
$$;
comment on function bulwark.note_audit_export(uuid, text, boolean, boolean, uuid) is
  'Records where a page of an export ended (service role only). A page that begins an export resets
   the progress; after a page that ends a request another request may continue.';

create function bulwark.export_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 1000,
  since timestamptz default null,
  until timestamptz default null,
  signed boolean default false,
  purpose text default null
)
  returns json
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
  v_entries text;
  v_bytes bigint := 0;
  v_first bigint;
  v_first_seal bigint;
  v_found bigint;
  v_from bigint;
  v_group bulwark_private.audit_groups;
  v_groups text[] := array[]::text[];
  v_left integer := page_size;
  v_news boolean := false;
  v_next text;
  v_page bigint;
  v_place bigint := 0;
  v_proved bigint;
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
  if length(purpose) not between 1 and 100 or purpose ~ '[[:cntrl:]]' then
    raise exception 'Cannot export the audit log: a purpose has 1 to 100 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_TEXT';
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
      string_agg(
        concat(
          '{', c.members,
          -- The sealed leaf at this position: shows which entry was altered.
          ',"leaf":', coalesce('"' || encode(nullif(
            substring(
              v_group.leaves from ((v_first + f.place - 1) * 32 + 1)::integer for 32
            ), ''
          ), 'base64') || '"', 'null'), '}'
        ), ','
        order by f.place
      ),
      count(*),
      coalesce(max(f.bytes), 0),
      (select count(*) from found),
      v_news or coalesce(
        bool_or(
          (c.source, c.event_type, c.action)
            is distinct from ('system'::bulwark.audit_source, 'data.export', 'export_audit_log')
        ),
        false
      )
    into v_entries, v_page, v_size, v_found, v_news
    from found f
    -- The limit keeps this a look-up, whatever the statistics say.
    cross join lateral (
      select r.members, r.source, r.event_type, r.action
      from bulwark_private.audit_records r where r.id = f.id limit 1
    ) c
    -- A page is bounded within a group, too; its first entry always fits.
    where f.bytes <= 4194304 - v_bytes or f.place = 1;
    v_groups := array_append(v_groups, concat(
      left(bulwark_private.audit_group_json(v_group)::text, -1),
      ',"first":', v_first, ',"entries":[', v_entries, ']}'
    ));
    v_first_seal := coalesce(v_first_seal, v_group.seal);
    if v_group.seal <= v_signed or v_signed is null then
      v_proved := v_group.seal;
    end if;
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
      ) || jsonb_strip_nulls(jsonb_build_object('purpose', purpose))
    );
  end if;
  return json_build_object(
    'groups', concat('[', array_to_string(v_groups, ','), ']')::json,
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
        export_audit_log.organization_id, v_first_seal
      ) g
    ),
    'proof', bulwark_private.audit_group_proof(v_proved, export_audit_log.organization_id)
  );
end;
$$;
comment on function bulwark.export_audit_log(
  uuid, text, integer, timestamptz, timestamptz, boolean, text
) is
  'A page of an organization''s log (audit:export there; null: the entries without an organization,
   for a super_admin and the service role) in the order it was sealed, with its proof. next requests
   the next page and is null at the end. A follower continues later at cursor: no entry is ever
   sealed before it. signed ends the log at the newest checkpoint, so that all of it can be proved.
   Archived entries are not exported again: pruned is the seal up to which they, or pruned ones, are
   missing. Each page is recorded as data.export, with the purpose as the caller gives it. Errors:
   AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_TEXT,
   RBAC_PERMISSION_DENIED.';
