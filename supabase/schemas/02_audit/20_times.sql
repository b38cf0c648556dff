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
as $$
  with sealed as (
    select
      s.number, s.timeline, s.snapshot, s.sealed_at,
      p.timeline as after_timeline, p.snapshot as after_snapshot, p.sealed_at as after_sealed_at
    from bulwark_private.audit_seals s
    left join bulwark_private.audit_seals p on p.number = s.number - 1
    where s.number between first_seal and last_seal
      and (s.number = 1 or p.number is not null)
  ),
  tolerated as materialized (
    select make_interval(
      secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
    ) as time
  ),
  timed as (
    -- A transaction whose id is at or above a snapshot's xmax wrote after that seal.
    select s.number, s.sealed_at, s.after_sealed_at as not_before, e.id, e.occurred_at
    from sealed s
    cross join lateral (
      select e.id, e.occurred_at
      from bulwark.audit_logs e
      where e.timeline = s.timeline
        and e.xid >= case
          when s.after_timeline = s.timeline then pg_snapshot_xmax(s.after_snapshot) else '0'
        end
        and e.xid < pg_snapshot_xmax(s.snapshot)
        and pg_visible_in_snapshot(e.xid, s.snapshot)
        and (everybody or e.organization_id is not distinct from organization)
    ) e
    union all
    -- A transaction that was open in the last snapshot may be older: it began after the last seal
    -- whose xmax is at or below its id.
    select s.number, s.sealed_at, b.sealed_at, e.id, e.occurred_at
    from sealed s
    cross join lateral pg_snapshot_xip(s.after_snapshot) as open (xid)
    join bulwark.audit_logs e on e.timeline = s.timeline and e.xid = open.xid
    left join lateral (
      select k.sealed_at
      from bulwark_private.audit_seals k
      where k.timeline = s.timeline and pg_snapshot_xmax(k.snapshot) <= open.xid
      order by pg_snapshot_xmax(k.snapshot) desc, k.number desc
      limit 1
    ) b on true
    where s.after_timeline = s.timeline
      and pg_visible_in_snapshot(open.xid, s.snapshot)
      and (everybody or e.organization_id is not distinct from organization)
  )
  select
    t.number,
    t.id,
    case
      when t.occurred_at < t.not_before - d.time
      then format('it says %s, but seal %s was made before it', t.occurred_at, t.number - 1)
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
as $$
  with last_seal as (
    select s.timeline, s.snapshot from bulwark_private.audit_seals s order by s.number desc limit 1
  ),
  waiting as (
    select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
    from last_seal s
    join bulwark.audit_logs e on e.timeline = s.timeline and e.xid >= pg_snapshot_xmax(s.snapshot)
    union all
    select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
    from last_seal s
    cross join lateral pg_snapshot_xip(s.snapshot) as open (xid)
    join bulwark.audit_logs e on e.timeline = s.timeline and e.xid = open.xid
    union all
    select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
    from bulwark.audit_logs e
    where e.timeline > coalesce((select s.timeline from last_seal s), -1)
  ),
  judged as (
    select
      w.id,
      w.occurred_at < now() - make_interval(
        secs => (bulwark_private.setting('audit.seal_overdue_seconds'))::integer
      ) as overdue,
      -- No transaction can have written it: entries of other transactions are visible only once
      -- they lie before the snapshot.
      w.occurred_at > now() + make_interval(
        secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
      )
      or w.timeline = (select max(k.timeline) from bulwark_private.audit_timelines k)
        and w.xid >= pg_snapshot_xmax(pg_current_snapshot())
        and w.xid is distinct from pg_current_xact_id_if_assigned()
        and bulwark_private.audit_log_is_settled() as ahead
    from waiting w
    where everybody or w.organization_id is not distinct from organization
  )
  select count(*), count(*) filter (where j.ahead), (array_agg(j.id order by j.id))[1]
  from judged j
  where j.overdue or j.ahead;
$$;
comment on function bulwark_private.audit_unsealed(boolean, uuid) is
  'Counts committed entries that have waited for a seal longer than audit.seal_overdue_seconds, or
   whose time or transaction lies in the future, so that no seal holds them for long.';
