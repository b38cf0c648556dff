-- Audit sealing: seals the entries committed since the last seal, each second and at no cost to
-- writers; also settles timelines and inspects watched objects.
-- Protects against entries that are never sealed, a restore or fork that is taken for the same log,
-- and triggers that were switched off.
-- SECURITY DEFINER: seal_audit_log, because the service role may not write seals.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_entries', '20000', 'Maximum number of entries in a seal'),
  ('audit.seal_bytes', '67108864', 'Size that the entries of a seal may have together');

create function bulwark_private.audit_segments(range bulwark_private.audit_range)
  returns table (timeline integer, low xid8, high xid8)
  language plpgsql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
begin
  -- Transactions that were open in the base. A dump holds only committed ones.
  return query
    select (range).base_timeline, open.xid, open.xid
    from pg_snapshot_xip((range).base_snapshot) as open (xid)
    where (range).base_timeline < (range).timeline
      or pg_visible_in_snapshot(open.xid, (range).snapshot)
    order by open.xid;
  -- Entries that earlier timelines left unsealed; only after a restore.
  if (range).base_timeline < (range).timeline then
    timeline := (range).base_timeline;
    low := pg_snapshot_xmax((range).base_snapshot);
    return next;
  end if;
  if (range).base_timeline is distinct from (range).timeline then
    low := '0';
    timeline := coalesce((range).base_timeline, -1);
    loop
      select e.timeline into timeline from bulwark.audit_logs e
      where e.timeline > audit_segments.timeline and e.timeline < (range).timeline
      order by e.timeline
      limit 1;
      exit when timeline is null;
      return next;
    end loop;
  end if;
  timeline := (range).timeline;
  low := case
    when (range).base_timeline = (range).timeline then pg_snapshot_xmax((range).base_snapshot)
    else '0'
  end;
  high := pg_snapshot_xmax((range).snapshot);
  return next;
end;
$$;
comment on function bulwark_private.audit_segments(bulwark_private.audit_range) is
  'The transactions between a base and a snapshot, as ranges of the index, in order. Not the range
   from the old xmin, which would hold all that was written since the oldest open transaction.';

-- The plan does not depend on statistics, which are wrong after a bulk load: with sorting and other
-- scans switched off only the index in the order of a seal is left.
create function bulwark_private.audit_entries(
  range bulwark_private.audit_range,
  everybody boolean default true,
  organization uuid default null,
  hashed boolean default true,
  most integer default null,
  first_id uuid default null,
  last_id uuid default null
)
  returns table (
    id uuid,
    organization_id uuid,
    timeline integer,
    xid xid8,
    occurred_at timestamptz,
    removed_by uuid,
    leaf bytea,
    size integer
  )
  language plpgsql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_first constant uuid := coalesce(first_id, '00000000-0000-0000-0000-000000000000');
  v_last constant uuid := coalesce(last_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_after constant bulwark_private.audit_position := (range).after;
  v_count integer;
  v_from bulwark_private.audit_position;
  v_left integer := most;
  v_segment record;
  v_snapshot constant pg_snapshot := (range).snapshot;
  v_through constant bulwark_private.audit_position := (range).through;
  v_upto bulwark_private.audit_position;
begin
  for v_segment in select * from bulwark_private.audit_segments(range) loop
    v_from := (v_segment.timeline, v_segment.low, '00000000-0000-0000-0000-000000000000');
    v_upto := (
      v_segment.timeline, coalesce(v_segment.high, '18446744073709551615'),
      'ffffffff-ffff-ffff-ffff-ffffffffffff'
    );
    continue when v_after is not null and v_after > v_upto;
    exit when v_through is not null and v_through < v_from;
    if v_after is not null then
      v_from := greatest(v_from, v_after);
    end if;
    if v_through is not null then
      v_upto := least(v_upto, v_through);
    end if;
    return query
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at, e.removed_by,
        case when hashed then e.leaf end, case when not hashed then e.size end
      from bulwark_private.audit_leaves e
      where e.id >= v_first and e.id <= v_last
        and e.timeline = v_segment.timeline
        and (e.xid, e.id) >= (v_from.xid, v_from.id)
        and (e.xid, e.id) <= (v_upto.xid, v_upto.id)
        and (v_segment.timeline <> (range).timeline or pg_visible_in_snapshot(e.xid, v_snapshot))
        and (v_after is null or (e.timeline, e.xid, e.id)
          is distinct from (v_after.timeline, v_after.xid, v_after.id))
        and (everybody or e.organization_id is not distinct from organization)
      order by e.xid, e.id
      limit v_left;
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
    exit when v_left <= 0;
  end loop;
end;
$$;
comment on function bulwark_private.audit_entries(
  bulwark_private.audit_range, boolean, uuid, boolean, integer, uuid, uuid
) is
  'The entries of a range, at most so many, in the order of a seal, of all organizations or of one.
   Sealing, verification and export share it. hashed: with their leaves, the costly part; otherwise
   with their sizes. Only partitions with ids from the first to the last are read (null: all).';

create function bulwark_private.take_sealed_entries(
  seal bigint,
  range bulwark_private.audit_range
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return;
end;
$$;
comment on function bulwark_private.take_sealed_entries(bigint, bulwark_private.audit_range) is
  'Receives each committed entry once, in the transaction of its seal: nothing until webhooks is
   installed.';

-- Plans are made for the ids at hand, so that only the partitions that can have new entries are
-- even opened: the sealer often runs in a new session.
create function bulwark_private.write_audit_seal(snapshot pg_snapshot)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_base bulwark_private.audit_seals;
  v_bytes constant bigint := (bulwark_private.setting('audit.seal_bytes'))::bigint;
  v_first uuid;
  v_found record;
  v_last bulwark_private.audit_seals;
  v_most constant integer := (bulwark_private.setting('audit.seal_entries'))::integer;
  v_number bigint;
  v_range bulwark_private.audit_range;
  v_timeline constant integer := bulwark_private.audit_timeline();
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  if v_last.through is not null then
    -- More entries than a seal may hold: this one holds the next, of the same snapshot.
    select * into v_base
    from bulwark_private.audit_seals s where s.through is null order by s.number desc limit 1;
    v_range := (
      v_base.timeline, v_base.snapshot, v_last.timeline, v_last.snapshot, v_last.through, null
    );
  elsif v_last.timeline = v_timeline
    and pg_snapshot_xmax(v_last.snapshot) > pg_snapshot_xmax(snapshot) then
    -- Another session sealed a later snapshot while this one waited.
    return null;
  else
    v_range := (v_last.timeline, v_last.snapshot, v_timeline, snapshot, null, null);
  end if;
  if v_range.base_timeline = v_range.timeline then
    v_first := bulwark_private.audit_open_from(v_range.base_timeline, v_range.base_snapshot);
  end if;
  -- Whether there are any, and the last entry that fits, if there are more. The first always does.
  select
    count(*) = 0 as is_empty,
    (array_agg((f.timeline, f.xid, f.id)::bulwark_private.audit_position)
      filter (where f.fits and not f.next_fits))[1] as through
  into v_found
  from (
    select
      n.*,
      n.place <= v_most and (n.bytes <= v_bytes or n.place = 1) as fits,
      lead(n.place <= v_most and n.bytes <= v_bytes) over (order by n.place) as next_fits
    from (
      select e.timeline, e.xid, e.id, row_number() over w as place, sum(e.size) over w as bytes
      from bulwark_private.audit_entries(
        v_range, hashed => false, most => v_most + 1, first_id => v_first
      ) e
      window w as (order by e.timeline, e.xid, e.id)
    ) n
  ) f;
  -- A seal that continues another is written even if somebody deleted what it was to hold.
  if v_found.is_empty and v_last.through is null then
    return null;
  end if;
  if v_found.through is not null then
    v_range.through := v_found.through;
  end if;
  with trees as (
    select
      e.organization_id,
      count(*) as entry_count,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves
    from bulwark_private.audit_entries(v_range, first_id => v_first) e
    group by e.organization_id
  ),
  chained as (
    select
      t.organization_id,
      t.entry_count,
      t.leaves,
      bulwark_private.merkle_root(t.leaves) as root,
      coalesce(p.entries_before + p.entry_count, 0) as entries_before,
      coalesce(p.hash, decode(repeat('00', 32), 'hex')) as previous
    from trees t
    left join lateral bulwark_private.audit_group_before(
      t.organization_id, coalesce(v_last.number, 0) + 1
    ) p on true
  ),
  hashed as (
    select
      c.*,
      row_number() over (order by c.organization_id nulls first) - 1 as position,
      bulwark_private.audit_group_hash(
        c.organization_id, coalesce(v_last.number, 0) + 1, c.entry_count, c.entries_before,
        c.previous, c.root
      ) as hash
    from chained c
  ),
  sealed as (
    insert into bulwark_private.audit_seals (timeline, snapshot, through, root)
    select
      v_range.timeline, v_range.snapshot, v_range.through,
      bulwark_private.merkle_root(coalesce(string_agg(h.hash, '' order by h.position), ''))
    from hashed h
    having count(*) > 0 or v_last.through is not null
    returning number
  ),
  grouped as (
    insert into bulwark_private.audit_groups (
      seal, position, organization_id, entry_count, entries_before, previous, root, hash, leaves
    )
    select
      s.number, h.position, h.organization_id, h.entry_count, h.entries_before, h.previous, h.root,
      h.hash, h.leaves
    from hashed h
    cross join sealed s
  )
  select s.number into v_number from sealed s;
  if v_number is not null then
    perform bulwark_private.take_sealed_entries(v_number, v_range);
  end if;
  return v_number;
end;
$$;
comment on function bulwark_private.write_audit_seal(pg_snapshot) is
  'Seals entries that are finished in the snapshot and not sealed yet, as many as one seal may hold,
   and returns the seal''s number, or null if there are none; first it continues the last seal, if
   that needs it. The snapshot must be older than every write of the calling transaction.';

create function bulwark_private.inspect_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_catalogue constant text := bulwark_private.audit_catalogue();
  v_critical boolean;
  v_watched record;
begin
  -- Organizations cached by transactions that have ended.
  delete from bulwark_private.audit_parents p where p.xid < pg_snapshot_xmin(pg_current_snapshot());
  -- A full comparison about once a minute, so that a forged catalogue hash hides nothing for long.
  if random() > 0.02 and exists (
    select from bulwark_private.audit_watched_tables g
    where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue = v_catalogue
  ) then
    return;
  end if;
  -- The same lock order as a migration that alters the log and then calls
  -- refresh_audit_fingerprints: the log first, then audit_watched_tables. Otherwise the two would
  -- deadlock.
  lock table only bulwark.audit_logs in row exclusive mode;
  for v_watched in
    select
      g.relation,
      g.relation::text as name,
      string_to_array(g.fingerprint, ' ') as expected,
      string_to_array(
        concat_ws(
          ' ',
          bulwark_private.audit_fingerprint(g.relation),
          -- A renamed column masks every row (audit_image) or takes its organization; another key
          -- changes how rows are named. Both have to be reported.
          case
            when g.captures and (g.options -> 'written' ->> 1)::text[]
              is distinct from bulwark_private.audit_key_columns(g.relation, null)
            then 'missing/key||'
          end,
          (
            select string_agg(format('missing/%s||', translate(c, ' |', '__')), ' ' order by c)
            from unnest(
              bulwark_private.audit_moved(g.relation, (g.options -> 'written' ->> 12)::jsonb)
            ) as c
          )
        ),
        ' '
      ) as found,
      not exists (select from pg_catalog.pg_class c where c.oid = g.relation) as dropped
    from bulwark_private.audit_watched_tables g
  loop
    continue when v_watched.found = v_watched.expected and not v_watched.dropped;
    -- Critical: an object is switched off, changed, gone, or new between others. Objects that may
    -- come and go, or do no harm, are a warning.
    v_critical := v_watched.dropped
      or exists (select from unnest(v_watched.found) as f where f ~ '\|[DR]:[0-9]+$')
      or exists (
        -- Only words that differ are compared by their beginning: there may be thousands.
        select from (
          select unnest(v_watched.expected) except select unnest(v_watched.found)
        ) as gone (e)
        where e !~ '^(partition|missing|index|event_trigger|extension_[a-z_]+)/' and not exists (
          select from unnest(v_watched.found) as f
          where starts_with(f, substring(e from '^[^|]*\|[^|]*\|'))
        )
      )
      or exists (
        select from (
          select unnest(v_watched.found) except select unnest(v_watched.expected)
        ) as added (f)
        where f ~ '^((rule|function|policy|constraint|unique|new_[a-z_]+)/|[^/|]+\|[^|])'
          and not exists (
            select from unnest(v_watched.expected) as e
            where starts_with(e, substring(f from '^[^|]*\|[^|]*\|'))
          )
      );
    perform bulwark_private.append_audit_entry(
      'security.suspicious_activity',
      resource_type => v_watched.name,
      action => case
        when v_watched.dropped then 'watched_object_dropped' else 'watched_object_changed'
      end,
      severity => case when v_critical then 'critical' else 'warning' end::bulwark.audit_severity,
      -- Only the words that differ.
      details => jsonb_build_object(
        'expected', (
          select string_agg(w, ' ')
          from unnest(v_watched.expected) as w
          where w <> all (v_watched.found)
        ),
        'found', (
          select string_agg(w, ' ')
          from unnest(v_watched.found) as w
          where w <> all (v_watched.expected)
        )
      )
    );
    if v_critical then
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_watched.name,
        jsonb_build_object('dropped', v_watched.dropped)
      );
    end if;
    if v_watched.dropped then
      delete from bulwark_private.audit_watched_tables g where g.relation = v_watched.relation;
    else
      update bulwark_private.audit_watched_tables g
      set fingerprint = array_to_string(v_watched.found, ' ')
      where g.relation = v_watched.relation;
    end if;
  end loop;
  perform bulwark_private.renew_audit_functions();
  -- The hash from before the comparison, so that a change since then is compared in the next run.
  update bulwark_private.audit_watched_tables g set catalogue = v_catalogue
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is distinct from v_catalogue;
end;
$$;
comment on function bulwark_private.inspect_audit_fingerprints() is
  'Records every watched object that was touched by anything but enable_audit, also if it was
   switched off and on again between two runs.';

create function bulwark.seal_audit_log()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write seals directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number bigint;
  v_sealed bigint;
  v_snapshot pg_snapshot;
  v_started constant timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot seal the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_READ_COMMITTED',
        hint = 'Call it in a transaction of isolation level read committed';
  end if;
  -- With a transaction id of its own this transaction would count as finished in its own snapshot,
  -- and its later writes would never be sealed.
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'Cannot seal the audit log: the transaction has written already'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_OWN_TRANSACTION',
            hint = 'Call seal_audit_log() in a request of its own';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select pg_current_snapshot() into v_snapshot;
  -- Before sealing: a seal belongs to the timeline of this cluster.
  if not bulwark_private.settle_audit_timeline() then
    return null;
  end if;
  loop
    v_sealed := bulwark_private.write_audit_seal(v_snapshot);
    exit when v_sealed is null;
    v_number := v_sealed;
    -- The next run goes on; a crash in between loses nothing.
    exit when clock_timestamp() - v_started > interval '3 seconds';
  end loop;
  perform bulwark_private.inspect_audit_fingerprints();
  perform bulwark_private.report_missing_checkpoint();
  if v_sealed is null then
    perform bulwark_private.report_late_entries(v_snapshot);
  end if;
  return v_number;
end;
$$;
comment on function bulwark.seal_audit_log() is
  'Seals the entries committed since the last seal and returns the newest seal''s number, or null if
   there were none; then checks timelines, watched objects and checkpoints. A seal holds at most
   audit.seal_entries entries and about audit.seal_bytes bytes, so a large transaction spans
   several. A call makes seals for about three seconds, and the next one goes on: call it until it
   returns null. Runs each second; call it before a verification that has to include the last
   second. Errors:
   AUDIT_SEAL_NEEDS_READ_COMMITTED, AUDIT_SEAL_NEEDS_OWN_TRANSACTION.';
