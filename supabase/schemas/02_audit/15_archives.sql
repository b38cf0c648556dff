-- Audit archives: the months whose entries are in an object store, and where. Rows of a finished
-- month are its tombstone.
-- Protects against a month that vanishes: nothing of a tombstone changes, and a sealed entry
-- attests to it. Verification, searches, exports and proofs read from here which months are
-- archived.
-- No function here is SECURITY DEFINER.

create table bulwark.audit_archives (
  month date primary key,
  from_month date not null,
  end_id uuid not null,
  first_seal bigint not null,
  last_seal bigint not null,
  seal_hash bytea not null,
  checked_through bigint not null,
  holds_checked uuid[],
  holds_checked_through uuid,
  dropped bigint,
  record_id uuid,
  begun_at timestamptz not null default clock_timestamp(),
  archived_at timestamptz,
  constraint audit_archives_month_is_a_month check (date_trunc('month', month) = month),
  constraint audit_archives_is_whole check (
    num_nonnulls(archived_at, record_id, dropped) in (0, 3)
  )
);
comment on table bulwark.audit_archives is
  'Months of the log that are archived, or being archived while archived_at is null. The files of a
   month hold all entries of its seals; the seals'' own rows and hashes stay in the database.';
comment on column bulwark.audit_archives.from_month is
  'Where the part begins: the same month, or an earlier one if the log had no partitions then.';
comment on column bulwark.audit_archives.end_id is 'The ids of its entries are below this one.';
comment on column bulwark.audit_archives.first_seal is
  'The months'' seals follow one another without a gap. The last one may lie in the next month: it
   is the first after which no entry of the month can be sealed.';
comment on column bulwark.audit_archives.seal_hash is 'The hash of the last seal.';
comment on column bulwark.audit_archives.checked_through is
  'Up to which seal the month was verified before anything of it was exported.';
comment on column bulwark.audit_archives.holds_checked is
  'The legal holds that keep nothing of the month; null: not compared yet.';
comment on column bulwark.audit_archives.dropped is 'How many entries were dropped from the log.';
comment on column bulwark.audit_archives.record_id is
  'The entry that records it: who archived the month, and what it held.';

create table bulwark.audit_archived_logs (
  month date not null references bulwark.audit_archives (month),
  organization_id uuid,
  first_seal bigint not null,
  last_seal bigint not null,
  entries bigint not null,
  last_hash bytea not null,
  from_month date not null,
  exported_through bigint not null default 0,
  archived_at timestamptz,
  constraint audit_archived_logs_is_one unique nulls not distinct (month, organization_id)
);
comment on table bulwark.audit_archived_logs is
  'Part of each organization (null: the entries without one) in an archived month: its first and
   last seal, its number of entries, and the hash of its last group, which all before are chained
   to.';
comment on column bulwark.audit_archived_logs.exported_through is
  'The last seal whose entries are in a file that was read back and verified.';
comment on column bulwark.audit_archived_logs.archived_at is
  'When the month was dropped from the log; null before.';
create index audit_archived_logs_organization_id_idx
  on bulwark.audit_archived_logs (organization_id, month);

create table bulwark.audit_archive_files (
  month date not null,
  organization_id uuid,
  -- squawk-ignore prefer-bigint-over-int
  number integer not null,
  after text,
  cursor text not null,
  entries bigint not null,
  removed bigint not null,
  snapshot pg_snapshot not null,
  place text not null,
  key text not null,
  bytes bigint not null,
  sha256 bytea not null,
  etag text not null,
  parquet_key text not null,
  parquet_bytes bigint not null,
  parquet_sha256 bytea not null,
  parquet_etag text not null,
  verified_at timestamptz not null default clock_timestamp(),
  constraint audit_archive_files_is_one unique nulls not distinct (month, organization_id, number),
  constraint audit_archive_files_of_a_log foreign key (month)
    references bulwark.audit_archives (month)
);
comment on table bulwark.audit_archive_files is
  'The files of archived months, in order: each is a signed export (NDJSON) from one cursor to
   another, and the same entries as Parquet. They were read back and verified at verified_at.';
comment on column bulwark.audit_archive_files.removed is
  'How many entries have no payload in the file, because it was removed before.';
comment on column bulwark.audit_archive_files.snapshot is
  'Transactions that had ended before the file was written: their removals are in it.';
comment on column bulwark.audit_archive_files.place is
  'The URL under which key was stored. A bucket may have moved since.';

alter table bulwark.audit_archives enable row level security;
alter table bulwark.audit_archived_logs enable row level security;
alter table bulwark.audit_archive_files enable row level security;

create policy "A super_admin reads which months are archived"
  on bulwark.audit_archives for select to authenticated
  using ((select bulwark.is_super_admin()));
create policy "Members read which months of their logs are archived"
  on bulwark.audit_archived_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );
create policy "Members read where their organizations' logs are archived"
  on bulwark.audit_archive_files for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark_private.audit_archived_through()
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(a.last_seal), 0)
  from bulwark.audit_archives a
  where a.archived_at is not null;
$$;
comment on function bulwark_private.audit_archived_through() is
  'Through which seal the log is archived; 0: nothing is. Entries of these seals that are younger
   than the last archived month are still in the log as well.';

create function bulwark_private.archived_audit_months(
  organization_id uuid,
  since timestamptz,
  until timestamptz
)
  returns jsonb
  language plpgsql            -- plpgsql, because an sql function keeps the policies of another role
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(jsonb_agg(distinct to_char(m.month, 'YYYY-MM')), '[]')
    from bulwark.audit_archived_logs l
    cross join lateral generate_series(l.from_month, l.month, interval '1 month') as m (month)
    where l.archived_at is not null
      and (archived_audit_months.organization_id is null
        or l.organization_id = archived_audit_months.organization_id)
      and m.month < coalesce(until at time zone 'UTC', 'infinity')
      and m.month + interval '1 month' > coalesce(since at time zone 'UTC', '-infinity')
  );
end;
$$;
comment on function bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz) is
  'The archived months of a log (null: of any) in a range of time, oldest first, as far as the
   caller may read of them.';

create function bulwark_private.audit_archives_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if old.archived_at is null then
    return coalesce(new, old);
  end if;
  raise exception 'Cannot change %: a tombstone is never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_archives_refuse_change() is
  'Trigger: a month changes while it is being archived, and never afterwards.';

create function bulwark_private.audit_archive_parts_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark.audit_archives a
    where a.month = old.month and a.archived_at is not null
  ) then
    return coalesce(new, old);
  end if;
  raise exception 'Cannot change %: a tombstone is never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_archive_parts_refuse_change() is
  'Trigger: the parts of a month change while it is being archived, and never afterwards.';

create trigger audit_archives_refuse_change
  before update or delete on bulwark.audit_archives
  for each row execute function bulwark_private.audit_archives_refuse_change();
create trigger audit_archived_logs_refuse_change
  before update or delete on bulwark.audit_archived_logs
  for each row execute function bulwark_private.audit_archive_parts_refuse_change();
create trigger audit_archive_files_refuse_change
  before update or delete on bulwark.audit_archive_files
  for each row execute function bulwark_private.audit_archive_parts_refuse_change();
create trigger audit_archives_refuse_truncate
  before truncate on bulwark.audit_archives
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_archived_logs_refuse_truncate
  before truncate on bulwark.audit_archived_logs
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_archive_files_refuse_truncate
  before truncate on bulwark.audit_archive_files
  for each statement execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_change;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_change;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_change;
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_truncate;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_truncate;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest(
  '{bulwark.audit_archives, bulwark.audit_archived_logs, bulwark.audit_archive_files}'::regclass[]
) as r;
