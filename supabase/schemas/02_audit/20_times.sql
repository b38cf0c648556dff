-- Audit times: entries whose time cannot be right, and entries that wait too long for a seal.
-- Protects against entries that are back-dated around the triggers, and entries that are never
-- sealed.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_backdated(
  first_seal bigint,
  last_seal bigint,
  everybody boolean,
  organization uuid
)
  returns table (seal bigint, entry uuid, detail text)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with tolerated as materialized (
    select make_interval(
      secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
    ) as time
  ),
  entries as materialized (
    select
      s.number, s.sealed_at, s.base_sealed_at, e.timeline, e.xid, e.id, e.occurred_at,
      (s.range).base_timeline = e.timeline
        and e.xid < pg_snapshot_xmax((s.range).base_snapshot) as open
    from bulwark_private.audit_seal_ranges s
    cross join bulwark_private.audit_span(first_seal, last_seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, everybody, organization, false, first_id => i.first_id, last_id => i.last_id
    ) e
    where s.number between first_seal and last_seal and s.known
      and e.timeline = (s.range).timeline
  ),
  -- A transaction that was open in the base is older than it: it began after the last seal whose
  -- xmax is at or below its id.
  opened as materialized (
    select o.timeline, o.xid, b.sealed_at
    from (select distinct e.timeline, e.xid from entries e where e.open) o
    left join lateral (
      select k.sealed_at
      from bulwark_private.audit_seals k
      where k.timeline = o.timeline and pg_snapshot_xmax(k.snapshot) <= o.xid
      order by pg_snapshot_xmax(k.snapshot) desc, k.number desc
      limit 1
    ) b on true
  ),
  timed as (
    -- Any other transaction wrote after the base, since its id is at or above its xmax.
    select e.number, e.sealed_at, e.id, e.occurred_at,
      case when e.open then o.sealed_at else e.base_sealed_at end as not_before
    from entries e
    left join opened o on e.open and o.timeline = e.timeline and o.xid = e.xid
  )
  select
    t.number,
    t.id,
    case
      when t.occurred_at < t.not_before - d.time
      then format('it says %s, but it is younger than the seal of %s', t.occurred_at, t.not_before)
      when t.occurred_at > t.sealed_at + d.time
      then format('it says %s, after seal %s was made', t.occurred_at, t.number)
      else format('it says %s, its id another time', t.occurred_at)
    end
  from timed t
  cross join tolerated d
  where t.occurred_at < t.not_before - d.time
    or t.occurred_at > t.sealed_at + d.time
    -- The first six bytes of the id are the milliseconds of its time; infinity has none.
    or case
      when not isfinite(t.occurred_at) then true
      else substring(uuid_send(t.id) from 1 for 6) not between
        substring(int8send((date_part('epoch', t.occurred_at) * 1000)::bigint - 1000) from 3)
        and substring(int8send((date_part('epoch', t.occurred_at) * 1000)::bigint + 1000) from 3)
    end;
$$;
comment on function bulwark_private.audit_backdated(bigint, bigint, boolean, uuid) is
  'Entries in a range of seals whose time is impossible: before a seal that their transaction is
   younger than, after their own seal, or not that of their id. Writers cannot make one through the
   triggers, only a role that switches the triggers off.';

create function bulwark_private.audit_unsealed(everybody boolean, organization uuid)
  returns table (entries bigint, ahead bigint, first_entry uuid)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with last_seal as (
    select s.range from bulwark_private.audit_seal_ranges s order by s.number desc limit 1
  ),
  -- Each part is bounded; the newest are read as well, because a forged transaction lies there.
  waiting as (
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from last_seal s
      cross join lateral bulwark_private.audit_entries(
        row(
          (s.range).base_timeline, (s.range).base_snapshot, (s.range).timeline, (s.range).snapshot,
          (s.range).through, null
        )::bulwark_private.audit_range,
        hashed => false, most => 20000
      ) e
      where (s.range).through is not null
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from last_seal s
      cross join lateral pg_snapshot_xip((s.range).snapshot) as open (xid)
      cross join lateral (
        select * from bulwark.audit_logs e
        where e.timeline = (s.range).timeline and e.xid = open.xid
        order by e.timeline, e.xid, e.id
        limit 20000
      ) e
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from bulwark.audit_logs e
      where (e.timeline, e.xid) >= (
        coalesce((select (s.range).timeline from last_seal s), -1),
        coalesce((select pg_snapshot_xmax((s.range).snapshot) from last_seal s), '0')
      )
      order by e.timeline, e.xid, e.id
      limit 20000
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from bulwark.audit_logs e
      where (e.timeline, e.xid) >= (
        coalesce((select (s.range).timeline from last_seal s), -1),
        coalesce((select pg_snapshot_xmax((s.range).snapshot) from last_seal s), '0')
      )
      order by e.timeline desc, e.xid desc, e.id desc
      limit 2000
    )
  ),
  -- Computed once, not once an entry.
  limits as materialized (
    select
      now() - make_interval(
        secs => (bulwark_private.setting('audit.seal_overdue_seconds'))::integer
      ) as overdue,
      now() + make_interval(
        secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
      ) as ahead,
      (select max(k.timeline) from bulwark_private.audit_timelines k) as timeline,
      bulwark_private.audit_log_is_settled() as settled
  ),
  judged as (
    select
      w.id,
      w.occurred_at < l.overdue as overdue,
      -- No transaction can have written it: entries of other transactions are visible only once
      -- they lie before the snapshot.
      w.occurred_at > l.ahead
      or w.timeline = l.timeline
        and w.xid >= pg_snapshot_xmax(pg_current_snapshot())
        and w.xid is distinct from pg_current_xact_id_if_assigned()
        and l.settled as ahead
    from waiting w
    cross join limits l
    where everybody or w.organization_id is not distinct from organization
  )
  select count(*), count(*) filter (where j.ahead), (array_agg(j.id order by j.id))[1]
  from judged j
  where j.overdue or j.ahead;
$$;
comment on function bulwark_private.audit_unsealed(boolean, uuid) is
  'Counts committed entries that have waited for a seal longer than audit.seal_overdue_seconds, or
   whose time or transaction lies in the future, so that no seal holds them for long; among the
   first 20,000 that wait and the last 2,000.';
