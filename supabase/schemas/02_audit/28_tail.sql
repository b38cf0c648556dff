-- Audit tail: the entries that are new since a cursor, and how far an organization's log is sealed
-- and signed. Screens poll them.
-- Protects against readers of other organizations (audit:read), and against a follower that misses
-- an entry because its transaction committed after that of a newer one.
-- SECURITY DEFINER: tail_audit_log, because row-level security would find out at each poll which
--   organizations the caller may read; audit_coverage, because no client can read seals.

-- A cursor has the snapshot of the last poll, so that entries count as new if that one could not
-- see them, whatever their time is. The floor bounds the search: entries that were not yet visible
-- are not older. It stays behind while a transaction goes on that the last poll had to leave out.
create type bulwark_private.audit_tail as (
  timeline integer,
  polled_at timestamptz,
  floor timestamptz,
  seen pg_snapshot,
  -- Only while more than a page is new: the last entry given, and the snapshot of the first page.
  last uuid,
  next_polled_at timestamptz,
  next_floor timestamptz,
  seeing pg_snapshot
);
comment on type bulwark_private.audit_tail is 'The cursor of a follower of the log, decoded.';

create function bulwark_private.read_audit_tail(cursor text)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_tail bulwark_private.audit_tail;
begin
  v_tail := convert_from(decode(cursor, 'base64'), 'UTF8')::bulwark_private.audit_tail;
  if num_nulls(v_tail.timeline, v_tail.polled_at, v_tail.floor, v_tail.seen) = 0
    and isfinite(v_tail.polled_at) and isfinite(v_tail.floor)
    and num_nulls(v_tail.last, v_tail.next_polled_at, v_tail.next_floor, v_tail.seeing) in (0, 4)
  then
    return v_tail;
  end if;
  raise invalid_text_representation;
exception
  when data_exception then
    raise exception 'Cannot follow the audit log: the cursor is not one of its own'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CURSOR',
            hint = 'Pass on the value of cursor from the call before';
end;
$$;
comment on function bulwark_private.read_audit_tail(text) is
  'Decodes the cursor of a follower. Raises AUDIT_INVALID_CURSOR.';

create function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- An entry is stamped before its transaction may get its number, and clocks are set back a
  -- little.
  c_leeway constant interval := interval '5 seconds';
  v_now constant timestamptz := clock_timestamp();
begin
  tail.seeing := pg_current_snapshot();
  tail.next_polled_at := v_now;
  tail.next_floor := greatest(v_now - interval '1 hour', case
    when not exists (select from pg_snapshot_xip(tail.seeing)) then v_now - c_leeway
    when exists (
      select from pg_snapshot_xip(tail.seeing) as x where x < pg_snapshot_xmax(tail.seen)
    ) then tail.floor
    -- All that are under way began after the last poll.
    else tail.polled_at - c_leeway
  end);
  return tail;
end;
$$;
comment on function bulwark_private.next_audit_tail(bulwark_private.audit_tail) is
  'The cursor with the snapshot of this poll, and how far back the next one must look: at most an
   hour.';

create function bulwark.tail_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 50
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each poll again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_entries jsonb;
  v_floor uuid;
  v_last uuid;
  v_tail bulwark_private.audit_tail;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if page_size between 1 and 1000 is not true then
    raise exception 'Cannot follow the audit log: a page has 1 to 1000 entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if after is null then
    v_tail := bulwark_private.next_audit_tail(null);
    select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') into v_entries
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.* from bulwark.audit_logs e
        where (e.organization_id, e.id) >= (tail_audit_log.organization_id, c_first)
          and (e.organization_id, e.id) <= (tail_audit_log.organization_id, c_last)
        order by e.organization_id desc, e.id desc limit page_size
      )
      union all
      (
        select e.* from bulwark.audit_logs e
        where tail_audit_log.organization_id is null and e.organization_id is null
        order by e.organization_id desc, e.id desc limit page_size
      )
    ) l;
  else
    v_tail := bulwark_private.read_audit_tail(after);
    if v_tail.last is null then
      v_tail := bulwark_private.next_audit_tail(v_tail);
    end if;
    v_floor := greatest(bulwark_private.audit_id_floor(v_tail.floor), v_tail.last);
    -- One more than a page, to know whether it is the last. In the index's order, so that a page
    -- reads no further: after a long absence most of the log may be new.
    select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]') into v_entries
    from (
      (
        select e.* from bulwark.audit_logs e
        where (e.organization_id, e.id) >= (tail_audit_log.organization_id, v_floor)
          and (e.organization_id, e.id) <= (tail_audit_log.organization_id, c_last)
          and e.id is distinct from v_tail.last
          and (
            e.timeline > v_tail.timeline
            or not pg_visible_in_snapshot(e.xid, v_tail.seen)
              and pg_visible_in_snapshot(e.xid, v_tail.seeing)
          )
        order by e.organization_id, e.id limit page_size + 1
      )
      union all
      (
        select e.* from bulwark.audit_logs e
        where tail_audit_log.organization_id is null and e.organization_id is null
          and e.id >= v_floor
          and e.id is distinct from v_tail.last
          and (
            e.timeline > v_tail.timeline
            or not pg_visible_in_snapshot(e.xid, v_tail.seen)
              and pg_visible_in_snapshot(e.xid, v_tail.seeing)
          )
        order by e.organization_id, e.id limit page_size + 1
      )
    ) n;
  end if;
  if jsonb_array_length(v_entries) > page_size then
    v_entries := v_entries - page_size;
    v_last := (v_entries -> -1 ->> 'id')::uuid;
    v_tail.last := v_last;
  else
    v_tail := row(
      (select max(t.timeline) from bulwark_private.audit_timelines t), v_tail.next_polled_at,
      v_tail.next_floor, v_tail.seeing, null, null, null, null
    );
  end if;
  return jsonb_build_object(
    'entries', v_entries,
    'cursor', translate(encode(convert_to(v_tail::text, 'UTF8'), 'base64'), E'\n', ''),
    'more', v_last is not null
  );
end;
$$;
comment on function bulwark.tail_audit_log(uuid, text, integer) is
  'Follows an organization''s log (audit:read there; null: the entries without an organization, for
   a super_admin and the service role): { entries, cursor, more }, oldest first. Without after: the
   newest page. Pass cursor as after to get what became visible since, in whatever order its
   transactions commit; more says whether to ask again at once. With nothing new it costs one index
   look-up. Entries of a transaction that ran for more than an hour may be left out;
   export_audit_log leaves out none. Errors: AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT,
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark.audit_coverage(organization_id uuid default null)
  returns table (
    sealed_until timestamptz,
    sealed_entries bigint,
    signed_until timestamptz,
    signed_entries bigint,
    delivered_until timestamptz,
    newest_entry timestamptz
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_delivered bigint;
  v_last bigint;
  v_signed bigint;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  select max(s.number) into v_last from bulwark_private.audit_seals s;
  select max(c.tree_size) into v_signed from bulwark.audit_checkpoints c;
  -- The newest before the first that was not delivered: without a sink none was.
  select max(c.tree_size) into v_delivered
  from bulwark.audit_checkpoints c
  where c.tree_size < coalesce(
    (select min(u.tree_size) from bulwark.audit_checkpoints u where u.delivered_at is null),
    9223372036854775807
  );
  return query
    select
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_last),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_last + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_signed),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_signed + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_delivered),
      (
        select l.occurred_at
        from (
          (
            select e.occurred_at from bulwark.audit_logs e
            where (e.organization_id, e.id) >= (audit_coverage.organization_id, c_first)
              and (e.organization_id, e.id) <= (audit_coverage.organization_id, c_last)
            order by e.organization_id desc, e.id desc limit 1
          )
          union all
          (
            select e.occurred_at from bulwark.audit_logs e
            where audit_coverage.organization_id is null and e.organization_id is null
            order by e.organization_id desc, e.id desc limit 1
          )
        ) l
      );
end;
$$;
comment on function bulwark.audit_coverage(uuid) is
  'How far the log of an organization (audit:read there; null: of the entries without one, for a
   super_admin and the service role) is proved: until when it is sealed, signed and delivered to the
   sink, how many of its entries are, and the time of the newest. An entry of a transaction that was
   still going on at a seal is in a later one. Null: never. Each value is an index look-up. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
