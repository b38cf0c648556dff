-- Audit tombstones: drops a month whose files are all recorded, and the entry that attests to it.
-- Protects against a month that is dropped with something that no file holds: an entry under a
-- legal hold, an entry that was never sealed, or one whose file still has a payload that was
-- removed.
-- SECURITY DEFINER: finish_audit_archive, because nobody may write tombstones directly.

create function bulwark_private.audit_month_is_held(archive bulwark.audit_archives)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_held boolean;
  v_holds constant uuid[] := array(
    select h.id from bulwark.audit_legal_holds h where h.released_at is null order by h.id
  );
  v_last uuid := archive.holds_checked_through;
  v_started constant timestamptz := clock_timestamp();
begin
  if archive.holds_checked is null or not v_holds <@ archive.holds_checked then
    v_last := '00000000-0000-0000-0000-000000000000';
  end if;
  while v_last is not null and v_holds <> '{}' loop
    select
      bool_or(e.removed_by is null and e.event_type <> 'compliance.data_deleted' and not exists (
        select from bulwark_private.audit_removable r where r.id = e.id
      )),
      (array_agg(e.id order by e.id desc))[1]
    into v_held, v_last
    from (
      select l.id, l.removed_by, l.event_type
      from bulwark.audit_logs l
      where l.id > v_last and l.id < archive.end_id
        and l.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      order by l.id
      limit 5000
    ) e;
    if v_held then
      update bulwark.audit_archives a set holds_checked = null, holds_checked_through = null
      where a.month = archive.month;
      return true;
    end if;
    exit when clock_timestamp() - v_started > interval '3 seconds';
  end loop;
  update bulwark.audit_archives a
  set holds_checked = v_holds, holds_checked_through = case when v_holds <> '{}' then v_last end
  where a.month = archive.month;
  return case when v_last is null or v_holds = '{}' then false end;
end;
$$;
comment on function bulwark_private.audit_month_is_held(bulwark.audit_archives) is
  'Whether a legal hold keeps an entry of a month; null: not known after three seconds, call it
   again. Afterwards holds_checked names the holds that were compared.';

-- One probe of an index for each record, however many entries it covers.
create function bulwark_private.audit_removals_below(end_id uuid)
  returns setof uuid
  language plpgsql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_partition regclass;
begin
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= end_id
  loop
    return query execute format(
      $query$
        with recursive records (id) as (
          (
            select p.removed_by from %1$s p
            where p.removed_by is not null
            order by p.removed_by
            limit 1
          )
          union all
          select (
            select p.removed_by from %1$s p
            where p.removed_by > r.id
            order by p.removed_by
            limit 1
          )
          from records r
          where r.id is not null
        )
        select r.id from records r where r.id is not null
      $query$, v_partition
    );
  end loop;
end;
$$;
comment on function bulwark_private.audit_removals_below(uuid) is
  'The records of the removals of payloads in the months below an id.';

create function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives)
  returns table (organization_id uuid)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select r.organization_id
  from bulwark_private.audit_removals_below(archive.end_id) as d (id)
  join bulwark.audit_logs r on r.id = d.id
  join bulwark.audit_archive_files f
    on f.month = archive.month and f.organization_id is not distinct from r.organization_id
  where r.timeline = (select max(t.timeline) from bulwark_private.audit_timelines t)
    and not pg_visible_in_snapshot(r.xid, f.snapshot)
  limit 1;
$$;
comment on function bulwark_private.outdated_audit_archive(bulwark.audit_archives) is
  'An organization whose files may still have payloads that were removed since they were written.';

create function bulwark_private.restated_audit_removals(end_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select coalesce(jsonb_object_agg(
    r.id, jsonb_build_object('entries', r.entries, 'digest', bulwark_private.audit_digest(r.ids))
  ), '{}')
  from (
    select d.id, count(e.id) as entries, array_agg(e.id) as ids
    from (
      select distinct a.id
      from bulwark_private.audit_removals_below(restated_audit_removals.end_id) as a (id)
    ) d
    cross join lateral (
      select l.id from bulwark.audit_logs l
      where l.removed_by = d.id and l.id >= restated_audit_removals.end_id
      union all
      select l.id from bulwark_private.audit_logs_default l
      where l.removed_by = d.id and l.id < restated_audit_removals.end_id
    ) e
    group by d.id
  ) r;
$$;
comment on function bulwark_private.restated_audit_removals(uuid) is
  'The removals that cover entries of a month and later ones, restated for those that stay.';

create function bulwark_private.audit_tombstones_digest(through date)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select encode(sha256(convert_to(concat_ws(
    E'\n',
    (
      select string_agg(concat_ws(
        ' ', a.month, a.from_month, a.end_id, a.first_seal, a.last_seal,
        bulwark_private.base64(a.seal_hash)
      ), E'\n' order by a.month)
      from bulwark.audit_archives a where a.month <= audit_tombstones_digest.through
    ),
    (
      select string_agg(concat_ws(
        ' ', l.month, l.organization_id, l.first_seal, l.last_seal, l.entries,
        bulwark_private.base64(l.last_hash)
      ), E'\n' order by l.month, l.organization_id)
      from bulwark.audit_archived_logs l where l.month <= audit_tombstones_digest.through
    ),
    (
      select string_agg(concat_ws(
        ' ', f.month, f.organization_id, f.number, f.after, f.cursor, f.entries, f.place, f.key,
        f.bytes, bulwark_private.base64(f.sha256), f.parquet_key, f.parquet_bytes,
        bulwark_private.base64(f.parquet_sha256)
      ), E'\n' order by f.month, f.organization_id, f.number)
      from bulwark.audit_archive_files f where f.month <= audit_tombstones_digest.through
    )
  ), 'UTF8')), 'base64');
$$;
comment on function bulwark_private.audit_tombstones_digest(date) is
  'SHA-256 over the tombstones of all months through one, base64.';

-- The newest entry attests to all tombstones, because those of before may be archived themselves.
create function bulwark_private.audit_archive_is_recorded()
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select exists (
        select
        from bulwark.audit_logs e
        where e.id = a.record_id
          and e.event_type = 'compliance.data_deleted'
          and e.source = 'system'
          and e.details ->> 'month' = a.month::text
          and e.details ->> 'through_seal' = a.last_seal::text
          and e.details ->> 'tombstones' = bulwark_private.audit_tombstones_digest(a.month)
          and (
            bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
            or bulwark_private.audit_entry_is_sealed(e.id)
          )
      )
      from bulwark.audit_archives a
      where a.archived_at is not null
      order by a.month desc
      limit 1
    ),
    true
  );
$$;
comment on function bulwark_private.audit_archive_is_recorded() is
  'Whether the newest tombstone has its entry, as sealed, and this attests to all tombstones as they
   are; true if nothing is archived.';

create function bulwark_private.detach_audit_month(end_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- writers wait behind this lock
as $$
declare
  v_before constant text := bulwark_private.audit_fingerprint('bulwark.audit_logs');
  v_partition regclass;
begin
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= detach_audit_month.end_id
  loop
    execute format('alter table bulwark.audit_logs detach partition %s', v_partition);
    delete from bulwark_private.audit_watched_tables g where g.relation = v_partition;
    execute format('drop table %s', v_partition);
  end loop;
  -- A touch by somebody else is not accepted with it.
  update bulwark_private.audit_watched_tables g
  set fingerprint = bulwark_private.audit_fingerprint(g.relation)
  where g.relation = 'bulwark.audit_logs'::regclass and g.fingerprint = v_before;
end;
$$;
comment on function bulwark_private.detach_audit_month(uuid) is
  'Takes the partitions below an id out of the log and drops them. Writers wait for a moment, at
   most two seconds.';

create function bulwark.finish_audit_archive(month date, signers jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_archive bulwark.audit_archives;
  v_count bigint := 0;
  v_held boolean;
  v_in_partition bigint;
  v_organization uuid;
  v_partition regclass;
  v_record uuid;
  v_seal bulwark_private.audit_seals;
begin
  perform bulwark_private.require_audit_writer(signers);
  perform bulwark_private.begin_audit_removal();
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_archive from bulwark.audit_archives a
  where a.month = finish_audit_archive.month for update;
  if v_archive.month is null then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  if v_archive.archived_at is not null then
    return jsonb_build_object('step', 'done', 'dropped', v_archive.dropped);
  end if;
  if v_archive.checked_through < v_archive.last_seal
    or bulwark_private.next_audit_archive_file(month) is not null then
    return jsonb_build_object('step', 'write');
  end if;
  if exists (
    select from bulwark_private.audit_partitions p
    where not p.is_default and p.low < v_archive.end_id and p.high > v_archive.end_id
  ) then
    return jsonb_build_object('step', 'copied', 'because', 'partition_not_over');
  end if;
  v_held := bulwark_private.audit_month_is_held(v_archive);
  if v_held is null then
    return jsonb_build_object('step', 'check');
  elsif v_held then
    return jsonb_build_object('step', 'copied', 'because', 'legal_hold');
  end if;
  -- Removals wait from here on, writers and readers do not.
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= v_archive.end_id
  loop
    execute format('lock table %s in share mode', v_partition);
    execute format('select count(*) from %s', v_partition) into v_in_partition;
    v_count := v_count + v_in_partition;
  end loop;
  perform pg_advisory_xact_lock_shared(hashtextextended('bulwark.audit_holds', 0));
  if exists (
    select from bulwark.audit_legal_holds h
    join bulwark.audit_archives a on a.month = finish_audit_archive.month
    where h.released_at is null and h.id <> all (a.holds_checked)
  ) then
    return jsonb_build_object('step', 'check');
  end if;
  select * into v_seal from bulwark_private.audit_seals s where s.number = v_archive.last_seal;
  if v_seal.hash is distinct from v_archive.seal_hash or exists (
    select from bulwark.audit_logs e
    where e.id < v_archive.end_id and e.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      and (e.timeline, e.xid) >= (v_seal.timeline, pg_snapshot_xmin(v_seal.snapshot))
  ) then
    raise exception 'Cannot archive: the month has entries that its seals do not hold'
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_NOT_INTACT',
            hint = 'Run verify_audit_log';
  end if;
  select o.organization_id into v_organization
  from bulwark_private.outdated_audit_archive(v_archive) o;
  if found then
    return jsonb_build_object('step', 'stale', 'organization_id', v_organization);
  end if;
  v_record := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    resource_type => 'bulwark.audit_logs',
    action => 'archiving',
    details => jsonb_build_object(
      'kind', 'archiving',
      'month', month,
      'through_seal', v_archive.last_seal,
      'seal_hash', bulwark_private.base64(v_seal.hash),
      'archived', v_count,
      'tombstones', bulwark_private.audit_tombstones_digest(month),
      'pruned', (
        select jsonb_build_object(
          'through_seal', p.through_seal, 'seal_hash', bulwark_private.base64(s.hash)
        )
        from bulwark_private.audit_prunings p
        join bulwark_private.audit_seals s on s.number = p.through_seal
        where bulwark_private.audit_pruning_is_recorded(p.through_seal)
        order by p.through_seal desc
        limit 1
      ),
      'removals', bulwark_private.restated_audit_removals(v_archive.end_id)
    )
  );
  update bulwark.audit_archived_logs l set archived_at = clock_timestamp()
  where l.month = finish_audit_archive.month;
  update bulwark.audit_archives a
  set archived_at = clock_timestamp(), record_id = v_record, dropped = v_count
  where a.month = finish_audit_archive.month;
  perform bulwark_private.detach_audit_month(v_archive.end_id);
  return jsonb_build_object('step', 'done', 'dropped', v_count);
end;
$$;
comment on function bulwark.finish_audit_archive(date, jsonb) is
  'Drops a month whose files are all recorded, under a tombstone and its entry (service role and
   holder of the signing key): { step: done }. Otherwise step says why not: check (call it again),
   write (files are missing), copied (a legal hold keeps an entry, or the month''s partition is not
   over: files and month both stay), stale (payloads of an organization were removed after its files
   were written: delete those and write them again). Errors: AUDIT_UNKNOWN_ARCHIVE,
   AUDIT_ARCHIVE_NOT_INTACT, AUDIT_NOT_THE_KEY_HOLDER, AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';
