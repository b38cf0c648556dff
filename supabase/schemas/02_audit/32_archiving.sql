-- Audit archiving: the steps in which a month is written to an object store, file by file.
-- Protects against a month that is dropped before it is elsewhere: the database verifies the month,
-- says which file is the next, and records it only for a holder of the log's signing key, so that
-- the service role's key alone archives nothing.
-- SECURITY DEFINER: next_audit_archive, check_audit_archive, record_audit_archive_file,
--   forget_audit_archive_files, because nobody may write tombstones directly.

insert into bulwark.settings (name, value, description) values
  ('audit.archive_after_days', 'null',
    'After how many days the job archives a month; null: only npm run audit-archive does'),
  ('audit.archive_file_entries', '10000', 'Entries in a file of the archive');

create function bulwark_private.require_audit_writer(signers jsonb)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(signers) is distinct from 'array' or not exists (
    select
    from jsonb_array_elements(signers) as s
    join bulwark.audit_keys k
      on k.public_key = decode(s ->> 'public_key', 'base64')
      and k.writer_hash = sha256(decode(s ->> 'writer', 'base64'))
    where s ->> 'public_key' ~ '^[A-Za-z0-9+/]{43}=$' and s ->> 'writer' ~ '^[A-Za-z0-9+/]{86}==$'
  ) then
    raise exception 'Cannot archive: the caller does not hold a key of the log'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_THE_KEY_HOLDER',
        hint = 'Let the function bulwark-audit archive: it has the signing key';
  end if;
end;
$$;
comment on function bulwark_private.require_audit_writer(jsonb) is
  'Checks that the caller can sign for the log, by the secret of store_audit_checkpoint. Errors:
   AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark_private.audit_id_time(id uuid)
  returns timestamptz
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select to_timestamp(
    ('x' || encode(substring(uuid_send(id) from 1 for 6), 'hex'))::bit(48)::bigint / 1000.0
  );
$$;
comment on function bulwark_private.audit_id_time(uuid) is
  'The time in the id of an entry, to the millisecond.';

-- A transaction writes an entry under an id that it had at that time. So all entries of a month are
-- sealed once every transaction has ended that had one when the month was over; and those that are
-- there, whatever the clock said, once their own transactions have.
create function bulwark_private.last_seal_before(end_id uuid)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select e.number
  from (
    select s.number, s.timeline, pg_snapshot_xmax(s.snapshot) as xmax
    from bulwark_private.audit_seals s
    where s.sealed_at >= bulwark_private.audit_id_time(end_id) + make_interval(
      secs => least((bulwark_private.setting('audit.clock_tolerance_seconds'))::integer, 86400)
    )
    order by s.sealed_at, s.number
    limit 1
  ) over_by
  left join (
    select l.timeline, l.xid
    from bulwark.audit_logs l
    where l.id < end_id and l.tableoid <> 'bulwark_private.audit_logs_default'::regclass
    order by l.timeline desc, l.xid desc
    limit 1
  ) newest on true
  cross join lateral (
    select s.number
    from bulwark_private.audit_seals s
    where s.number >= over_by.number
      and s.through is null
      and (s.timeline > over_by.timeline or pg_snapshot_xmin(s.snapshot) >= over_by.xmax)
      and (newest.xid is null
        or (s.timeline, pg_snapshot_xmin(s.snapshot)) > (newest.timeline, newest.xid))
    order by s.number
    limit 1
  ) e;
$$;
comment on function bulwark_private.last_seal_before(uuid) is
  'The first seal after which no entry below an id can be sealed; null while there is none.';

create function bulwark_private.begin_audit_archive(month date, end_id uuid)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first constant bigint := greatest(
    bulwark_private.audit_archived_through(),
    (select max(p.through_seal) from bulwark_private.audit_prunings p)
  ) + 1;
  v_last bigint := bulwark_private.last_seal_before(end_id);
begin
  if v_last is null then
    return 'seal';
  end if;
  v_last := greatest(v_last, v_first - 1);
  if not exists (
    select from bulwark.audit_checkpoints c
    where c.tree_size >= v_last and c.delivered_at is not null
  ) then
    return 'checkpoint';
  end if;
  insert into bulwark.audit_archives (
    month, from_month, end_id, first_seal, last_seal, seal_hash, checked_through
  )
  select begin_audit_archive.month, least(begin_audit_archive.month, date_trunc('month', (
      select bulwark_private.audit_id_time(e.id) at time zone 'UTC'
      from bulwark.audit_logs e
      where e.id < begin_audit_archive.end_id
        and e.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      order by e.id limit 1
    ))::date), begin_audit_archive.end_id, v_first, v_last, s.hash, v_first - 1
  from bulwark_private.audit_seals s
  where s.number = v_last
  on conflict on constraint audit_archives_pkey do nothing;
  return null;
end;
$$;
comment on function bulwark_private.begin_audit_archive(date, uuid) is
  'Begins to archive a month, or says for which event it has to wait: the seal after the month, or a
   checkpoint over it that was delivered.';

create function bulwark_private.next_audit_archive_file(month date)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_after text;
  v_log bulwark.audit_archived_logs;
  v_most constant bigint := (bulwark_private.setting('audit.archive_file_entries'))::bigint;
  v_part record;
begin
  select * into v_log
  from bulwark.audit_archived_logs l
  where l.month = next_audit_archive_file.month and l.exported_through < l.last_seal
  order by l.organization_id
  limit 1;
  if v_log.month is null then
    return null;
  end if;
  -- Whole groups: as many as a file may hold, but at least one.
  select max(g.seal) as seal, sum(g.entry_count) as entries into v_part
  from (
    select g.seal, g.entry_count, sum(g.entry_count) over (order by g.seal) as total,
      row_number() over (order by g.seal) as place
    from bulwark_private.audit_groups_of(
      v_log.organization_id, greatest(v_log.exported_through + 1, v_log.first_seal), v_log.last_seal
    ) g
  ) g
  where g.total <= v_most or g.place = 1;
  -- Each file begins where the one before ended, also that of the month before.
  select format('%s:%s', g.seal, g.entry_count) into v_after
  from bulwark_private.audit_group_before(
    v_log.organization_id, greatest(v_log.exported_through + 1, v_log.first_seal)
  ) g;
  return jsonb_build_object(
    'organization_id', v_log.organization_id,
    'number', (
      select count(*) + 1 from bulwark.audit_archive_files f
      where f.month = next_audit_archive_file.month
        and f.organization_id is not distinct from v_log.organization_id
    ),
    'after', v_after,
    'entries', v_part.entries,
    'cursor', format('%s:%s', v_part.seal, (
      select g.entry_count from bulwark_private.audit_groups g
      where g.seal = v_part.seal and g.organization_id is not distinct from v_log.organization_id
    ))
  );
end;
$$;
comment on function bulwark_private.next_audit_archive_file(date) is
  'The next file of a month: whose entries, from which cursor to which, and how many. Null once all
   are recorded.';

create function bulwark.next_audit_archive(through date default null)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_archive bulwark.audit_archives;
  v_days constant integer := (
    nullif(bulwark_private.setting('audit.archive_after_days'), 'null')
  )::integer;
  v_file jsonb;
  v_month date;
  v_step text;
  v_through constant date := date_trunc('month', coalesce(
    next_audit_archive.through,
    (now() at time zone 'UTC' - make_interval(days => v_days) - interval '1 month')::date
  ));
  v_wait text;
begin
  select a.month into v_month from bulwark.audit_archives a
  where a.archived_at is null order by a.month limit 1;
  if v_month is null then
    -- A partition may begin or end within a month, where the log was partitioned meanwhile.
    select date_trunc('month', bulwark_private.audit_id_time(p.high) at time zone 'UTC'
      - interval '1 millisecond')::date
    into v_month
    from bulwark_private.audit_partitions p where not p.is_default order by p.high limit 1;
  end if;
  if (v_month <= v_through) is not true then
    return null;
  end if;
  if not exists (select from bulwark.audit_archives a where a.month = v_month) then
    v_wait := bulwark_private.begin_audit_archive(
      v_month,
      bulwark_private.audit_id_floor((v_month + interval '1 month') at time zone 'UTC')
    );
    if v_wait is not null then
      return jsonb_build_object('month', v_month, 'step', 'wait', 'for', v_wait);
    end if;
  end if;
  select * into v_archive from bulwark.audit_archives a where a.month = v_month;
  if v_archive.checked_through < v_archive.last_seal then
    v_step := 'check';
  else
    v_file := bulwark_private.next_audit_archive_file(v_month);
    v_step := case when v_file is null then 'finish' else 'write' end;
  end if;
  return jsonb_build_object(
    'month', v_month,
    'step', v_step,
    'file', v_file,
    'snapshot', pg_current_snapshot()::text
  );
end;
$$;
comment on function bulwark.next_audit_archive(date) is
  'The next step of archiving the oldest month (service role): { month, step }, null if no month is
   due. Months through that of a date are due; null: those that ended audit.archive_after_days ago,
   none while that is null. step is check, write (with file), finish, or wait (for a seal or a
   delivered checkpoint after the month). Months are archived in order.';

create function bulwark.check_audit_archive(month date)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_archive bulwark.audit_archives;
  v_through bigint;
  v_verdict record;
begin
  select * into v_archive from bulwark.audit_archives a
  where a.month = check_audit_archive.month and a.archived_at is null
  for update;
  if v_archive.month is null then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  select * into v_verdict from bulwark.verify_audit_log(
    until => (
      select s.sealed_at from bulwark_private.audit_seals s where s.number = v_archive.last_seal
    ),
    after_seal => v_archive.checked_through,
    max_seconds => 3
  );
  -- The first finding: those in seals come before these, which say nothing about the month.
  if v_verdict.problem not in ('gap_recorded', 'entry_unsealed') then
    raise exception 'Cannot archive: the month is not intact: %, seal %',
      v_verdict.problem, coalesce(v_verdict.seal::text, 'none')
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_NOT_INTACT',
            hint = 'Run verify_audit_log';
  end if;
  v_through := coalesce(v_verdict.next_after_seal, v_archive.last_seal);
  insert into bulwark.audit_archived_logs as l (
    month, from_month, organization_id, first_seal, last_seal, entries, last_hash
  )
  select check_audit_archive.month, v_archive.from_month, g.organization_id, min(g.seal),
    max(g.seal), sum(g.entry_count), (array_agg(g.hash order by g.seal desc))[1]
  from bulwark_private.audit_groups g
  where g.seal > v_archive.checked_through and g.seal <= least(v_through, v_archive.last_seal)
  group by g.organization_id
  on conflict on constraint audit_archived_logs_is_one do update
    set last_seal = excluded.last_seal, entries = l.entries + excluded.entries,
        last_hash = excluded.last_hash;
  update bulwark.audit_archives a set checked_through = least(v_through, a.last_seal)
  where a.month = check_audit_archive.month;
  return v_through >= v_archive.last_seal;
end;
$$;
comment on function bulwark.check_audit_archive(date) is
  'Verifies the next seals of a month that is being archived and counts what each organization has
   in them (service role); returns whether that was the last step. Errors: AUDIT_UNKNOWN_ARCHIVE,
   AUDIT_ARCHIVE_NOT_INTACT.';

create function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_due jsonb;
begin
  perform bulwark_private.require_audit_writer(signers);
  perform from bulwark.audit_archives a
  where a.month = record_audit_archive_file.month and a.archived_at is null
    and a.checked_through = a.last_seal
  for update;
  if not found then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  v_due := bulwark_private.next_audit_archive_file(month);
  -- Another run was first.
  if v_due is null or not file @> v_due then
    return false;
  end if;
  insert into bulwark.audit_archive_files (
    month, organization_id, number, after, cursor, entries, removed, snapshot, place, key, bytes,
    sha256, etag, parquet_key, parquet_bytes, parquet_sha256, parquet_etag
  )
  select
    record_audit_archive_file.month, (file ->> 'organization_id')::uuid,
    (file ->> 'number')::integer, file ->> 'after', file ->> 'cursor',
    (file ->> 'entries')::bigint, (file ->> 'removed')::bigint,
    (file ->> 'snapshot')::pg_snapshot, file ->> 'place',
    n ->> 'key', (n ->> 'bytes')::bigint, decode(n ->> 'sha256', 'hex'), n ->> 'etag',
    p ->> 'key', (p ->> 'bytes')::bigint, decode(p ->> 'sha256', 'hex'), p ->> 'etag'
  from (select file -> 'ndjson' as n, file -> 'parquet' as p) f;
  update bulwark.audit_archived_logs l
  set exported_through = split_part(file ->> 'cursor', ':', 1)::bigint
  where l.month = record_audit_archive_file.month
    and l.organization_id is not distinct from (file ->> 'organization_id')::uuid;
  return true;
end;
$$;
comment on function bulwark.record_audit_archive_file(date, jsonb, jsonb) is
  'Records a file that was stored, read back and verified (service role and holder of the signing
   key): file is that of next_audit_archive with removed, snapshot, place, and key, bytes, sha256
   and etag of ndjson and parquet. False if it is not the next one any more. Errors:
   AUDIT_UNKNOWN_ARCHIVE, AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark.forget_audit_archive_files(month date, organization_id uuid default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark.audit_archive_files f
  where f.month = forget_audit_archive_files.month
    and f.organization_id is not distinct from forget_audit_archive_files.organization_id;
  update bulwark.audit_archived_logs l set exported_through = 0
  where l.month = forget_audit_archive_files.month
    and l.organization_id is not distinct from forget_audit_archive_files.organization_id;
end;
$$;
comment on function bulwark.forget_audit_archive_files(date, uuid) is
  'Lets the files of an organization be written again (service role), because they were deleted: a
   month that is being archived only.';
