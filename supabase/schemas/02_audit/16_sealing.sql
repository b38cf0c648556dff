-- Audit sealing: seals the entries committed since the last seal, each second and at no cost to
-- writers; also settles timelines and inspects watched objects.
-- Protects against entries that are never sealed, a restore or fork that is taken for the same log,
-- and triggers that were switched off.
-- SECURITY DEFINER: seal_audit_log, because the service role may not write seals.

create function bulwark_private.audit_entries(
  after_timeline integer,
  after_snapshot pg_snapshot,
  timeline integer,
  snapshot pg_snapshot,
  everybody boolean default true,
  organization uuid default null,
  hashed boolean default true
)
  returns table (
    id uuid,
    organization_id uuid,
    timeline integer,
    xid xid8,
    removed_by uuid,
    leaf bytea
  )
  language sql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
as $$
  -- Two index scans instead of the range from the old xmin, which would read everything written
  -- since the oldest open transaction.
  select e.id, e.organization_id, e.timeline, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from bulwark_private.audit_leaves e
  where e.timeline = audit_entries.timeline
    and e.xid >= case
      when after_timeline = audit_entries.timeline then pg_snapshot_xmax(after_snapshot) else '0'
    end
    and e.xid < pg_snapshot_xmax(audit_entries.snapshot)
    and pg_visible_in_snapshot(e.xid, audit_entries.snapshot)
    and (everybody or e.organization_id is not distinct from organization)
  union all
  select e.id, e.organization_id, e.timeline, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from bulwark_private.audit_leaves e
  where e.timeline = audit_entries.timeline
    and after_timeline = audit_entries.timeline
    and e.xid = any (array(select pg_snapshot_xip(after_snapshot)))
    and pg_visible_in_snapshot(e.xid, audit_entries.snapshot)
    and (everybody or e.organization_id is not distinct from organization)
  union all
  -- Entries that an earlier timeline left unsealed; a dump holds only committed ones.
  select e.id, e.organization_id, e.timeline, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from bulwark_private.audit_leaves e
  where after_timeline is distinct from audit_entries.timeline
    and e.timeline < audit_entries.timeline
    and e.timeline >= coalesce(after_timeline, 0)
    and (
      e.timeline is distinct from after_timeline
      or e.xid >= pg_snapshot_xmax(after_snapshot)
      or e.xid = any (array(select pg_snapshot_xip(after_snapshot)))
    )
    and (everybody or e.organization_id is not distinct from organization);
$$;
comment on function bulwark_private.audit_entries(
  integer, pg_snapshot, integer, pg_snapshot, boolean, uuid, boolean
) is
  'The entries, with their leaves, of the seal that follows a seal with the first timeline and
   snapshot (null: of the first seal) and has the second, of all organizations or of one. Sealing,
   verification and export share it. hashed false omits the leaves, the costly part.';

create function bulwark_private.write_audit_seal(snapshot pg_snapshot)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_timeline constant integer := bulwark_private.audit_timeline();
  v_last bulwark_private.audit_seals;
  v_number bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  -- Another session sealed a later snapshot while this one waited.
  if v_last.timeline = v_timeline
    and pg_snapshot_xmax(v_last.snapshot) > pg_snapshot_xmax(snapshot) then
    return null;
  end if;
  with trees as (
    select
      e.organization_id,
      count(*) as entry_count,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves
    from bulwark_private.audit_entries(
      v_last.timeline, v_last.snapshot, v_timeline, write_audit_seal.snapshot
    ) e
    group by e.organization_id
  ),
  chained as (
    select
      t.organization_id,
      t.entry_count,
      t.leaves,
      bulwark_private.merkle_root(t.leaves) as root,
      coalesce(p.counted, 0) as entries_before,
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
    insert into bulwark_private.audit_seals (timeline, snapshot, root)
    select
      v_timeline, write_audit_seal.snapshot,
      bulwark_private.merkle_root(string_agg(h.hash, '' order by h.position))
    from hashed h
    having count(*) > 0
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
  return v_number;
end;
$$;
comment on function bulwark_private.write_audit_seal(pg_snapshot) is
  'Seals the entries that are finished in the snapshot and not sealed yet, and returns the seal''s
   number, or null if there are none. The snapshot must be older than every write of the calling
   transaction.';

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
  lock table bulwark.audit_logs in row exclusive mode;
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
        select from unnest(v_watched.expected) as e
        where e !~ '^(partition|missing|index|event_trigger|extension_[a-z_]+)/' and not exists (
          select from unnest(v_watched.found) as f
          where starts_with(f, substring(e from '^[^|]*\|[^|]*\|'))
        )
      )
      or exists (
        select from unnest(v_watched.found) as f
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
  v_snapshot pg_snapshot;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot seal the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_READ_COMMITTED';
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
  v_number := bulwark_private.write_audit_seal(v_snapshot);
  perform bulwark_private.inspect_audit_fingerprints();
  perform bulwark_private.report_missing_checkpoint();
  return v_number;
end;
$$;
comment on function bulwark.seal_audit_log() is
  'Seals the entries committed since the last seal and returns the new seal''s number, or null if
   there were none; then checks timelines, watched objects and checkpoints. Runs each second; call
   it before a verification that has to include the last second. Errors:
   AUDIT_SEAL_NEEDS_READ_COMMITTED, AUDIT_SEAL_NEEDS_OWN_TRANSACTION.';
