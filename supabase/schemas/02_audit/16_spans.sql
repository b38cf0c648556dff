-- Audit spans: which part of the log the entries of some seals lie in.
-- Protects against an entry that is hidden in a month where nobody looks for it: the index of every
-- partition is asked, not the time that a seal or an entry claims.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_span(first_seal bigint, last_seal bigint)
  returns table (first_id uuid, last_id uuid)
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_high bulwark_private.audit_position;
  v_low bulwark_private.audit_position;
begin
  select
    (r.range).base_timeline,
    least(
      pg_snapshot_xmin((r.range).base_snapshot), pg_snapshot_xmax((r.range).base_snapshot)
    )
  into v_low.timeline, v_low.xid
  from bulwark_private.audit_seal_ranges r
  where r.number >= first_seal
  order by r.number
  limit 1;
  select s.timeline, pg_snapshot_xmax(s.snapshot) into v_high.timeline, v_high.xid
  from bulwark_private.audit_seals s where s.number <= last_seal order by s.number desc limit 1;
  v_low.timeline := coalesce(v_low.timeline, -1);
  v_low.xid := coalesce(v_low.xid, '0');
  select (array_agg(f.low order by f.low))[1], (array_agg(f.high order by f.high desc))[1]
  into first_id, last_id
  from (
    select p.low, p.high
    from bulwark_private.audit_partitions p
    cross join lateral (
      select e.timeline, e.xid
      from bulwark.audit_logs e
      where e.id >= p.low and e.id < p.high
        and (e.timeline, e.xid) >= (v_low.timeline, v_low.xid)
        and (e.timeline, e.xid) <= (v_high.timeline, v_high.xid)
      order by e.timeline, e.xid, e.id
      limit 1
    ) e
    where not p.is_default
    union all
    (
      select d.id, d.id
      from bulwark_private.audit_logs_default d
      where (d.timeline, d.xid) >= (v_low.timeline, v_low.xid)
        and (d.timeline, d.xid) <= (v_high.timeline, v_high.xid)
      order by d.timeline, d.xid, d.id
    )
  ) f;
  return next;
end;
$$;
comment on function bulwark_private.audit_span(bigint, bigint) is
  'The first and the last id that entries of a range of seals may have, from the indexes of all
   partitions; null if there are no such entries.';
