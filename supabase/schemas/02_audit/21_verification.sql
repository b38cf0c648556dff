-- Audit verification: compares a range of the log with its seals and reports the differences.
-- Protects against a log that was altered around its triggers, a tail cut off behind a checkpoint,
-- and removals without a record.
-- SECURITY DEFINER: verify_audit_log, because no client can read seals, and a seal also holds
--   entries of other organizations.

create function bulwark.verify_audit_log(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  after_seal bigint default null,
  max_entries integer default 1000000,
  max_seconds integer default 5
)
  returns table (
    intact boolean,
    complete boolean,
    problem text,
    seal bigint,
    entry uuid,
    detail text,
    problems bigint,
    seals_checked bigint,
    entries_checked bigint,
    payloads_removed bigint,
    first_seal bigint,
    last_seal bigint,
    next_after_seal bigint
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_archived constant bigint := bulwark_private.audit_archived_through();
  v_chunk record;
  v_everybody constant boolean := organization_id is null;
  v_high bigint;
  v_last bulwark_private.audit_seals;
  v_pruned bigint := coalesce(
    (select max(p.through_seal) from bulwark_private.audit_prunings p), 0
  );
  v_records uuid[] := array[]::uuid[];
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 2000;
  v_step_started timestamptz;
  v_stop bigint;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if not (isfinite(since) and isfinite(until)) or since > until then
    raise exception 'Cannot verify the audit log: the range of time is empty or without end'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if max_entries < 1 or max_seconds < 1 or after_seal < 0 then
    raise exception 'Cannot verify the audit log: limits are positive'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  intact := true;
  complete := true;
  problems := 0;
  seals_checked := 0;
  entries_checked := 0;
  payloads_removed := 0;
  first_seal := greatest(
    coalesce(after_seal, 0) + 1,
    case when since is not null then coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at >= verify_audit_log.since
        order by s.sealed_at, s.number
        limit 1
      ),
      v_last.number + 1
    ) end
  );
  v_stop := case
    when until is null then v_last.number
    else (
      select s.number from bulwark_private.audit_seals s
      where s.sealed_at <= until
      order by s.sealed_at desc, s.number desc
      limit 1
    )
  end;
  last_seal := first_seal - 1;

  while last_seal < v_stop loop
    v_step_started := clock_timestamp();
    -- As many seals as hold so many entries or the rest of the limit, but at least one.
    select coalesce(max(w.number), v_stop) into v_high
    from (
      select s.number, sum(g.entries) over (order by s.number) as entries
      from (
        select s.number from bulwark_private.audit_seals s
        where s.number > last_seal and s.number <= v_stop
        order by s.number
        limit 1000
      ) s
      left join lateral (
        select sum(g.entry_count) as entries from bulwark_private.audit_groups g
          where g.seal = s.number
      ) g on true
    ) w
    where coalesce(w.entries, 0) <= least(v_step, max_entries - entries_checked)
      or w.number = last_seal + 1;

    for v_chunk in
      with compared as materialized (
        select * from bulwark_private.compare_audit_groups(
          greatest(last_seal, v_pruned) + 1, v_high, v_everybody, verify_audit_log.organization_id
        )
      )
      select
        0 as kind, p.seal, p.problem, null::uuid as entry, p.detail,
        0::bigint as entries, 0::bigint as removed, null::uuid[] as records, p.missing
      from bulwark_private.audit_seal_problems(last_seal + 1, v_high, v_pruned) p
      union all
      select
        1, c.tree_size, 'checkpoint_differs', null,
        format('the checkpoint of seal %s was signed over another tree', c.tree_size), 0, 0, null,
        false
      from bulwark.audit_checkpoints c
      where c.tree_size between last_seal + 1 and v_high
        -- Null if a seal of the tree is gone, which is a finding of its own.
        and c.root_hash <> bulwark_private.audit_tree_root(c.tree_size)
      union all
      select
        2, c.seal, 'group_altered', null,
        format('the leaves of an organization in seal %s were changed', c.seal), 0, 0, null, false
      from compared c
      where c.altered
      union all
      select
        3, c.seal, b.problem, b.entry, b.detail, 0, 0, null, b.problem = 'entry_missing'
      from (
        select * from compared c
        where c.differs and not c.altered and (c.seal > v_archived or c.entries > 0)
        offset 0
      ) c
      cross join lateral bulwark_private.name_bad_entry(c.seal, c.organization_id) b
      -- Of archived seals, only what is still in the log is compared.
      where c.seal > v_archived or b.problem <> 'entry_missing'
      union all
      select 4, d.seal, 'entry_backdated', d.entry, d.detail, 0, 0, null, false
      from (
        select min(c.seal) as first, max(c.seal) as last from compared c where c.mistimed
        having count(*) > 0
      ) m
      cross join lateral bulwark_private.audit_backdated(
        m.first, m.last, v_everybody, verify_audit_log.organization_id
      ) d
      union all
      select
        5, v_high, null, null, null, sum(c.entries), sum(c.removed),
        array(
          select distinct r from compared k cross join lateral unnest(k.records) as r
        ),
        false
      from compared c
      order by 2, 1
    loop
      entries_checked := entries_checked + coalesce(v_chunk.entries, 0);
      payloads_removed := payloads_removed + coalesce(v_chunk.removed, 0);
      v_records := v_records || v_chunk.records;
      if v_chunk.problem is not null then
        problems := problems + 1;
        complete := complete and not v_chunk.missing;
        intact := intact and v_chunk.problem in ('seal_missing', 'entry_missing');
        if problem is null then
          problem := v_chunk.problem;
          seal := v_chunk.seal;
          entry := v_chunk.entry;
          detail := v_chunk.detail;
        end if;
      end if;
    end loop;
    seals_checked := seals_checked + v_high - last_seal;
    last_seal := v_high;
    -- Large payloads and slow machines need smaller steps.
    v_step := case
      when clock_timestamp() - v_step_started > make_interval(secs => max_seconds / 5.0)
        then greatest(v_step / 4, 100)
      else least(v_step * 2, 20000)
    end;
    exit when entries_checked >= max_entries
      or clock_timestamp() - v_started > make_interval(secs => max_seconds);
  end loop;
  if last_seal < v_stop then
    next_after_seal := last_seal;
  end if;

  -- Problems of no single sealed entry: records, checkpoints and unsealed entries.
  for v_chunk in
    select r.problem, null::bigint as seal,
      (
        select e.id from bulwark.audit_logs e
        where e.removed_by = r.record
          and (v_everybody or e.organization_id = verify_audit_log.organization_id)
        order by e.id
        limit 1
      ) as entry,
      format('its payload was removed under record %s, which does not cover it', r.record) as detail
    from (
      select record, bulwark_private.audit_removal_problem(record) as problem
      from (select distinct unnest(v_records) as record) d
    ) r
    where r.problem is not null
    union all
    select 'pruning_without_record', p.through_seal, p.record_id,
      format('the log was pruned through seal %s without a sealed record', p.through_seal)
    from bulwark_private.audit_prunings p
    -- Earlier tombstones may have been pruned with the prefix of a later one.
    where p.through_seal = v_pruned and not bulwark_private.audit_pruning_is_recorded(v_pruned)
    union all
    select 'archive_without_record', v_archived, null,
      'the tombstones of archived months differ from the sealed record of them'
    where not bulwark_private.audit_archive_is_recorded()
    union all
    select 'checkpoint_ahead', c.tree_size, null,
      format('seal %s was signed and is gone', c.tree_size)
    from bulwark.audit_checkpoints c
    where c.tree_size > coalesce(v_last.number, 0)
    union all
    -- Entries that no seal can ever hold: of an unknown timeline, or of a pruned prefix.
    (
      select 'entry_inserted', null, e.id, 'the entry is of a timeline that the log never had'
      from (
        (
          select l.id, l.organization_id from bulwark.audit_logs l
          where l.timeline < least(
            (select min(k.timeline) from bulwark_private.audit_timelines k),
            (select k.timeline from bulwark_private.audit_seals k order by k.number limit 1)
          )
          order by l.timeline, l.xid, l.id
          limit 1000
        )
        union all
        (
          select l.id, l.organization_id from bulwark.audit_logs l
          where l.timeline > greatest(
            (select max(k.timeline) from bulwark_private.audit_timelines k), v_last.timeline
          )
          order by l.timeline desc, l.xid desc, l.id desc
          limit 1000
        )
      ) e
      where v_everybody or e.organization_id = verify_audit_log.organization_id
      limit 1
    )
    union all
    (
      select 'entry_inserted', p.through_seal, e.id, 'the entry lies in a part that was pruned'
      from bulwark_private.audit_prunings p
      cross join lateral bulwark_private.audit_entries(
        row(null, null, p.timeline, p.snapshot, null, null)::bulwark_private.audit_range,
        hashed => false, most => 1000
      ) e
      where p.through_seal = v_pruned
        and (v_everybody or e.organization_id = verify_audit_log.organization_id)
      limit 1
    )
    union all
    select 'entry_unsealed', null, u.first_entry,
      format(
        '%s entries wait for a seal longer than they should, %s of them from a time to come',
        u.entries, u.ahead
      )
    from bulwark_private.audit_unsealed(v_everybody, verify_audit_log.organization_id) u
    where u.entries > 0
    union all
    select 'gap_recorded', null, null,
      format('%s events of the auth schema could not be recorded', count(*))
    from bulwark_private.audit_gaps g
    where v_everybody
      and g.noticed_at between coalesce(since, '-infinity') and coalesce(until, 'infinity')
    having count(*) > 0
  loop
    problems := problems + 1;
    intact := intact and v_chunk.problem <> 'entry_inserted';
    complete := complete and v_chunk.problem = 'entry_inserted';
    if problem is null then
      problem := v_chunk.problem;
      seal := v_chunk.seal;
      entry := v_chunk.entry;
      detail := v_chunk.detail;
    end if;
  end loop;
  if problem is null and first_seal <= v_archived then
    detail := format(
      'the entries of the seals up to %s are archived: see bulwark.audit_archive_files', v_archived
    );
  end if;
  return next;
end;
$$;
comment on function bulwark.verify_audit_log(
  uuid, timestamptz, timestamptz, bigint, integer, integer
) is
  'Verifies the log of an organization (audit:read there; null: the whole installation, for a
   super_admin and the service role) over the seals made between two times. intact: nothing present
   was altered. complete: nothing is missing. problem names the first finding, with its seal and
   entry; problems counts them. Entries of archived months are not there to be compared, which
   detail says: verify their files. It stops after max_entries or max_seconds; pass next_after_seal
   as after_seal to continue, null at the end. Call seal_audit_log() before, in a request of its
   own, to include the last second. Errors: AUDIT_INVALID_RANGE, AUDIT_INVALID_LIMIT,
   RBAC_PERMISSION_DENIED.';
