-- Audit pruning: deletes whole seals with their entries from the beginning of the log; a month that
-- can go whole is dropped with its partition.
-- Protects against a beginning that is cut off: a sealed tombstone entry says through which seal
-- the log was pruned, and nothing can be deleted without one.
-- SECURITY DEFINER: prune_audit_log, because no client may change the log.

create table bulwark_private.audit_prunings (
  through_seal bigint primary key,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  snapshot pg_snapshot not null,
  record_id uuid not null,
  xid xid8 not null default pg_current_xact_id(),
  pruned_at timestamptz not null default now()
);
comment on table bulwark_private.audit_prunings is
  'Tombstones: through which seal the log was pruned, and the entry that records it.';

alter table bulwark_private.audit_prunings enable row level security;

insert into bulwark.settings (name, value, description) values
  ('audit.keep_days', 'null', 'After how many days whole seals are pruned; null: never');

create function bulwark_private.audit_pruning_is_recorded(through_seal bigint)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from bulwark_private.audit_prunings p
    join bulwark_private.audit_seals s on s.number = p.through_seal
    -- The record of the newest archive restates the pruning, whose own record may be archived.
    cross join lateral (
      select p.record_id as id, false as is_restated
      union all
      (
        select a.record_id, true from bulwark.audit_archives a
        where a.archived_at is not null
        order by a.month desc
        limit 1
      )
    ) k
    join bulwark.audit_logs e on e.id = k.id
    cross join lateral (
      select case when k.is_restated then e.details -> 'pruned' else e.details end as details
    ) d
    where p.through_seal = audit_pruning_is_recorded.through_seal
      and e.event_type = 'compliance.data_deleted'
      and e.source = 'system'
      and d.details ->> 'through_seal' = p.through_seal::text
      and d.details ->> 'seal_hash' = bulwark_private.base64(s.hash)
      and (
        bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
        or bulwark_private.audit_entry_is_sealed(e.id)
      )
  );
$$;
comment on function bulwark_private.audit_pruning_is_recorded(bigint) is
  'Whether the tombstone of a pruning has its entry, as sealed, for the same seal.';

-- The seals up to the first one whose snapshot begins after all transactions of the month hold all
-- of its entries: one that is not sealed, or sealed too late, keeps the month.
create function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint)
  returns table (end_id uuid, through_seal bigint)
  language plpgsql
  volatile
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_id uuid;
  v_partition record;
  v_timeline integer;
  v_xid xid8;
begin
  -- Whether a hold keeps something is asked entry by entry.
  if exists (select from bulwark.audit_legal_holds h where h.released_at is null) then
    return;
  end if;
  for v_partition in
    select p.relation, p.high
    from bulwark_private.audit_partitions p
    where p.is_closed and not p.is_default
      and p.high <= bulwark_private.audit_id_floor(now() - make_interval(days => keep_days))
    order by p.high
  loop
    execute format(
      'select e.timeline, e.xid, e.id from %s e
       order by e.timeline desc, e.xid desc, e.id desc limit 1', v_partition.relation
    )
    into v_timeline, v_xid, v_id;
    exit when v_id is not null;
  end loop;
  if v_id is null or exists (
    select from bulwark_private.audit_partitions p
    where p.high < v_partition.high and not p.is_closed
  ) then
    return;
  end if;
  return query
    select v_partition.high, f.number
    from (
      select s.number, s.sealed_at
      from bulwark_private.audit_seals s
      where s.number >= bulwark_private.audit_seal_of(v_timeline, v_xid, v_id)
        and s.through is null
        and (s.timeline > v_timeline or pg_snapshot_xmin(s.snapshot) > v_xid)
      order by s.number
      limit 1
    ) f
    where f.number > pruned
      and f.sealed_at < now() - make_interval(days => keep_days)
      and f.number <= coalesce(
        (select max(c.tree_size) from bulwark.audit_checkpoints c),
        (select max(l.number) - 1 from bulwark_private.audit_seals l)
      )
      -- A month that is being archived is exported first.
      and f.number < coalesce(
        (select a.first_seal from bulwark.audit_archives a where a.archived_at is null),
        f.number + 1
      );
end;
$$;
comment on function bulwark_private.prunable_audit_month(integer, bigint) is
  'The oldest month with entries, if it is closed, no hold is in force, and all of its entries are
   in seals that may be pruned: where it ends, and through which seal. No row if it cannot go
   whole.';

create function bulwark.prune_audit_log(keep_days integer)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_end uuid;
  v_entries bigint;
  v_holds uuid[];
  v_in_month bigint := 0;
  v_in_partition bigint;
  v_least constant integer := (nullif(bulwark_private.setting('audit.keep_days'), 'null'))::integer;
  v_month_records uuid[];
  v_partition regclass;
  v_pruned bigint;
  v_record uuid;
  v_records uuid[];
  v_seal bulwark_private.audit_seals;
  v_through bigint;
  v_upto uuid;
begin
  if keep_days is null or keep_days not between 1 and 36500 then
    raise exception 'Cannot prune the audit log: entries are kept 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  if (keep_days >= v_least) is not true then
    raise exception 'Cannot prune the audit log: entries are kept %',
      coalesce(v_least || ' days', 'for ever')
      using errcode = 'insufficient_privilege', detail = 'AUDIT_RETENTION_TOO_SHORT',
            hint = 'The owner of the database decides: bulwark.settings, audit.keep_days';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  v_holds := bulwark_private.begin_audit_removal();
  select coalesce(max(p.through_seal), 0) into v_pruned from bulwark_private.audit_prunings p;
  select m.end_id, m.through_seal into v_end, v_through
  from bulwark_private.prunable_audit_month(keep_days, v_pruned) m;
  if v_end is null then
    -- A whole prefix: old enough, before the first entry under a hold, within one batch and, if
    -- checkpoints are made, not beyond the newest. It ends with a seal that is not continued.
    select max(w.number) filter (where w.is_last) into v_through
    from (
      select s.number, s.through is null as is_last,
        sum(g.entries) over (order by s.number) as entries
      from bulwark_private.audit_seals s
      left join lateral (
        select sum(g.entry_count) as entries from bulwark_private.audit_groups g
          where g.seal = s.number
      ) g on true
      where s.number > v_pruned
        and s.sealed_at < now() - make_interval(days => keep_days)
        and s.number <= coalesce(
          (select max(c.tree_size) from bulwark.audit_checkpoints c),
          (select max(l.number) - 1 from bulwark_private.audit_seals l)
        )
        -- A month that is being archived is exported first.
        and s.number < coalesce(
          (select a.first_seal from bulwark.audit_archives a where a.archived_at is null),
          s.number + 1
        )
      order by s.number
      limit 100000
    ) w
    where w.entries <= greatest(
      (bulwark_private.setting('audit.removal_batch'))::integer,
      (
        select sum(g.entry_count) from bulwark_private.audit_groups g
        where g.seal between v_pruned + 1 and (
          select min(s.number) from bulwark_private.audit_seals s
          where s.number > v_pruned and s.through is null
        )
      )
    );
  end if;
  select * into v_seal from bulwark_private.audit_seals s where s.number = v_through;
  if exists (select from bulwark.audit_legal_holds h where h.released_at is null) then
    select least(v_through, min(bulwark_private.audit_seal_of(e.timeline, e.xid, e.id)) - 1)
    into v_through
    from bulwark.audit_logs e
    where (e.timeline < v_seal.timeline
        or e.timeline = v_seal.timeline and e.xid < pg_snapshot_xmax(v_seal.snapshot))
      and e.removed_by is null
      and e.event_type <> 'compliance.data_deleted'
      and not exists (select from bulwark_private.audit_removable r where r.id = e.id);
    -- Nobody can see in the database whether a hold keeps something of an archived month.
    select least(v_through, min(a.first_seal) - 1) into v_through
    from bulwark.audit_archives a
    where a.archived_at is not null and a.last_seal > v_pruned;
    select max(s.number) into v_through
    from bulwark_private.audit_seals s where s.number <= v_through and s.through is null;
    select * into v_seal from bulwark_private.audit_seals s where s.number = v_through;
  end if;
  if v_through is null or v_through <= v_pruned then
    return 0;
  end if;

  -- The tombstone permits the deletion, and is complete before another session can see it.
  v_record := gen_random_uuid();
  insert into bulwark_private.audit_prunings (through_seal, timeline, snapshot, record_id)
  values (v_through, v_seal.timeline, v_seal.snapshot, v_record);
  if v_end is not null then
    for v_partition in
      select p.relation from bulwark_private.audit_partitions p
      where not p.is_default and p.high <= v_end
    loop
      -- A write here, if there can be one, waits and then finds no partition.
      execute format('lock table %s in share mode', v_partition);
      execute format('select count(*) from %s', v_partition) into v_in_partition;
      v_in_month := v_in_month + v_in_partition;
    end loop;
    v_month_records := array(select bulwark_private.audit_removals_below(v_end));
    if not exists (
      select from bulwark_private.prunable_audit_month(keep_days, v_pruned) m
      where m.end_id = v_end and m.through_seal = v_through
    ) then
      raise exception 'Cannot prune the audit log: an entry was written into the month meanwhile'
        using errcode = 'PT409', detail = 'AUDIT_REMOVAL_CONFLICT',
          hint = 'Try again';
    end if;
    perform bulwark_private.detach_audit_month(v_end);
  end if;
  -- Later months have nothing of these seals.
  select s.last_id into v_upto from bulwark_private.audit_span(v_pruned + 1, v_through) s;
  with gone as (
    delete from bulwark.audit_logs e
    where e.id < coalesce(v_upto, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      and (
        e.timeline < v_seal.timeline
        or e.timeline = v_seal.timeline
          and e.xid < pg_snapshot_xmax(v_seal.snapshot)
          and pg_visible_in_snapshot(e.xid, v_seal.snapshot)
      )
    returning e.removed_by
  )
  select count(*), array_agg(distinct g.removed_by) filter (where g.removed_by is not null)
  into v_entries, v_records
  from gone g;
  v_entries := v_entries + v_in_month;
  v_records := array(select unnest(v_records) union select unnest(v_month_records));
  -- Each organization's newest group stays, because the next one chains to it.
  delete from bulwark_private.audit_groups g
  where g.seal <= v_through and exists (
    select from bulwark_private.audit_groups n
    where n.seal > g.seal
      and n.seal <= v_through
      and (n.organization_id = g.organization_id
        or n.organization_id is null and g.organization_id is null)
  );
  v_record := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    resource_type => 'bulwark.audit_logs',
    action => 'pruning',
    details => jsonb_build_object(
      'kind', 'pruning',
      'reason', format('sealed more than %s days ago', keep_days),
      'through_seal', v_through,
      'seal_hash', bulwark_private.base64(v_seal.hash),
      'pruned', v_entries,
      'removals', (
        select coalesce(
          jsonb_object_agg(
            r.id, jsonb_build_object(
              'entries', r.entries, 'digest', bulwark_private.audit_digest(r.ids)
            )
          ),
          '{}'
        )
        from (
          select d.id, count(e.id) as entries,
            array_agg(e.id) filter (where e.id is not null) as ids
          from unnest(v_records) as d (id)
          join bulwark.audit_logs k on k.id = d.id
          left join bulwark.audit_logs e on e.removed_by = d.id
          group by d.id
        ) r
      )
    )
  );
  update bulwark_private.audit_prunings p set record_id = v_record where p.through_seal = v_through;
  perform bulwark_private.finish_audit_removal(v_holds);
  return v_entries;
end;
$$;
comment on function bulwark.prune_audit_log(integer) is
  'Deletes whole seals made more than so many days ago with their entries, from the beginning of the
   log up to the first entry under a legal hold, at most one batch; a closed month that can go whole
   is dropped with its partition instead, while writers wait for a moment. Returns how many entries.
   The seals'' own rows stay, so that the chain and every checkpoint still verify. A tombstone entry
   records it. Not fewer days than audit.keep_days, and not at all while that is null. Errors:
   AUDIT_INVALID_RETENTION, AUDIT_RETENTION_TOO_SHORT, AUDIT_HOLD_PLACED, AUDIT_REMOVAL_CONFLICT,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

create function bulwark_private.audit_prunings_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.xid = pg_current_xact_id()
    and (new.through_seal, new.timeline, new.snapshot::text, new.xid)
      is not distinct from (old.through_seal, old.timeline, old.snapshot::text, old.xid) then
    return new;
  end if;
  raise exception 'Cannot change audit_prunings: its rows are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_prunings_refuse_change() is
  'Trigger: a tombstone gets its record in the transaction that creates it, and never changes
   again.';

create trigger audit_prunings_refuse_change
  before update or delete on bulwark_private.audit_prunings
  for each row execute function bulwark_private.audit_prunings_refuse_change();
create trigger audit_prunings_refuse_truncate
  before truncate on bulwark_private.audit_prunings
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_prunings enable always trigger audit_prunings_refuse_change;
alter table bulwark_private.audit_prunings enable always trigger audit_prunings_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values ('bulwark_private.audit_prunings', false, bulwark_private.audit_fingerprint(
  'bulwark_private.audit_prunings'
));
