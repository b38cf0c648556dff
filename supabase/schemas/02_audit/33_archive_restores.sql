-- Audit archive restores: entries of an archived month, loaded back for an investigation.
-- Protects against a file that was altered in the bucket: an entry is loaded only if it is what its
-- seal holds. They lie in a table of their own, under the same policy as the log, for some days.
-- SECURITY DEFINER: begin_audit_restore, restore_audit_entries, discard_restored_audit_logs,
--   because nobody may write restored entries directly.

insert into bulwark.settings (name, value, description) values
  ('audit.restored_days', '30', 'After how many days restored entries of an archive are deleted');

create table bulwark.audit_restored_logs (
  like bulwark.audit_logs,
  month date not null,
  restored_at timestamptz not null default clock_timestamp(),
  primary key (id)
);
comment on table bulwark.audit_restored_logs is
  'Entries of archived months, loaded back for an investigation and verified against their seals:
   copies of what the archive''s files hold, with the columns of audit_logs. They are deleted after
   audit.restored_days. Not audited: who restored them is an entry.';
create index audit_restored_logs_organization_id_idx
  on bulwark.audit_restored_logs (organization_id, id);

alter table bulwark.audit_restored_logs enable row level security;

create policy "Members read the restored log of organizations where they may"
  on bulwark.audit_restored_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark_private.audit_leaf_of(entry jsonb)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The bytes of the view audit_leaves, from the JSON of an export; a test compares the two.
  return sha256(
    '\x0001'::bytea
    || uuid_send((entry ->> 'id')::uuid)
    || coalesce('\x01'::bytea || uuid_send((entry ->> 'organization_id')::uuid), '\x00'::bytea)
    || int4send((entry ->> 'timeline')::integer)
    || xid8send((entry ->> 'xid')::xid8)
    || timestamptz_send((entry ->> 'occurred_at')::timestamptz)
    || int2send(octet_length(entry ->> 'source')::smallint)
    || int2send(octet_length(entry ->> 'severity')::smallint)
    || int2send(octet_length(entry ->> 'result')::smallint)
    || int2send(octet_length(entry ->> 'event_type')::smallint)
    || int2send(coalesce(octet_length(entry ->> 'resource_type'), 0)::smallint)
    || convert_to(concat(
      entry ->> 'source', entry ->> 'severity', entry ->> 'result', entry ->> 'event_type',
      entry ->> 'resource_type'
    ), 'UTF8')
    || case
      when entry ? 'payload'
      then sha256(
        uuid_send((entry ->> 'salt')::uuid) || convert_to(entry ->> 'payload', 'UTF8')
      )
      else decode(entry ->> 'commitment', 'base64')
    end
  );
end;
$$;
comment on function bulwark_private.audit_leaf_of(jsonb) is
  'The leaf of an entry in the JSON of exports (bulwark_private.audit_entry_json).';

create function bulwark.begin_audit_restore(
  month date,
  reason text,
  organization_id uuid default null,
  everybody boolean default false
)
  returns setof bulwark.audit_archive_files
  language plpgsql
  volatile
  security definer            -- definer because nobody may write entries of the log
  set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(reason)) between 1 and 500 is not true then
    raise exception 'Cannot restore the archive: it takes a reason of up to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RESTORE';
  end if;
  if not exists (
    select from bulwark.audit_archives a
    where a.month = begin_audit_restore.month and a.archived_at is not null
  ) then
    raise exception 'Cannot restore the archive: the month is not archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'List the months with: select month from bulwark.audit_archives';
  end if;
  if exists (
    select from bulwark_private.audit_prunings p
    join bulwark.audit_archives a on a.month = begin_audit_restore.month
    where p.through_seal >= a.first_seal
  ) then
    raise exception 'Cannot restore the archive: the month was pruned'
      using errcode = 'PT410', detail = 'AUDIT_ARCHIVE_PRUNED',
            hint = 'Verify its files instead: npm run verify-audit';
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    organization_id => begin_audit_restore.organization_id,
    resource_type => 'bulwark.audit_archives',
    action => 'restoring',
    details => jsonb_build_object('kind', 'restoring', 'month', month, 'reason', btrim(reason))
  );
  return query
    select f.* from bulwark.audit_archive_files f
    where f.month = begin_audit_restore.month
      and (everybody or f.organization_id is not distinct from begin_audit_restore.organization_id)
    order by f.organization_id, f.number;
end;
$$;
comment on function bulwark.begin_audit_restore(date, text, uuid, boolean) is
  'The files from which an organization''s entries (null: those without one; everybody: all) of an
   archived month are restored (service role), recorded as an entry with the reason. Errors:
   AUDIT_INVALID_RESTORE, AUDIT_UNKNOWN_ARCHIVE, AUDIT_ARCHIVE_PRUNED.';

create function bulwark.restore_audit_entries(
  month date,
  seal bigint,
  entries jsonb,
  organization_id uuid default null,
  first bigint default 0
)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write restored entries directly
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_bad uuid;
  v_count bigint;
  v_leaves bytea;
begin
  select g.leaves into v_leaves
  from bulwark_private.audit_groups g
  join bulwark.audit_archives a
    on a.month = restore_audit_entries.month and a.archived_at is not null
    and g.seal between a.first_seal and a.last_seal
  where g.seal = restore_audit_entries.seal
    and g.organization_id is not distinct from restore_audit_entries.organization_id;
  select (e.entry ->> 'id')::uuid into v_bad
  from jsonb_array_elements(restore_audit_entries.entries) with ordinality as e (entry, place)
  where bulwark_private.audit_leaf_of(e.entry) is distinct from
    substring(v_leaves from ((restore_audit_entries.first + e.place - 1) * 32 + 1)::integer for 32)
    or (e.entry ->> 'organization_id')::uuid
      is distinct from restore_audit_entries.organization_id
  order by e.place
  limit 1;
  if v_leaves is null or v_bad is not null then
    raise exception 'Cannot restore the archive: entry % is not what seal % holds',
      coalesce(v_bad::text, 'none'), restore_audit_entries.seal
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_ALTERED',
        hint = 'Restore the file from a copy of the bucket; verify_audit_log judges the rest';
  end if;
  insert into bulwark.audit_restored_logs
  select (jsonb_populate_record(
    null::bulwark.audit_restored_logs,
    coalesce((e.entry ->> 'payload')::jsonb, '{}') || (e.entry - 'payload') || jsonb_build_object(
      'month', restore_audit_entries.month,
      'restored_at', clock_timestamp(),
      'commitment', '\x' || encode(decode(e.entry ->> 'commitment', 'base64'), 'hex')
    )
  )).*
  from jsonb_array_elements(restore_audit_entries.entries) as e (entry)
  on conflict (id) do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint) is
  'Loads entries of an organization''s group in a seal, from position first on, in the JSON of
   exports (service role), and returns how many were not there yet. Each has to be what the seal
   holds. Errors: AUDIT_ARCHIVE_ALTERED.';

create function bulwark.discard_restored_audit_logs(older_than_days integer default 0)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write restored entries directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from bulwark.audit_restored_logs r
  where r.restored_at <= clock_timestamp() - make_interval(days => older_than_days);
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function bulwark.discard_restored_audit_logs(integer) is
  'Deletes restored entries that were loaded so many days ago or earlier (service role), and returns
   how many. The job calls it with audit.restored_days.';
