-- Audit sealed entries: which seal holds an entry, whether the entry is unchanged since, and
-- whether a removal record accounts for a missing payload.
-- Protects against a payload that is stripped and passed off as retention.
-- No function here is SECURITY DEFINER.

create function bulwark_private.require_audit(permission text, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is not null then
    perform bulwark.require_permission(permission, organization_id);
  elsif not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
    raise exception 'Cannot proceed: the log of the whole installation is for a super_admin'
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
            hint = 'Name an organization';
  end if;
end;
$$;
comment on function bulwark_private.require_audit(text, uuid) is
  'Checks that the caller may use a function on the audit log: the permission in the organization
   or, without one, a super_admin or the service role. Raises RBAC_PERMISSION_DENIED.';

create function bulwark_private.audit_seal_of(timeline integer, xid xid8, id uuid)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
  select coalesce(
    (
      select s.number
      from bulwark_private.audit_seals s
      where s.timeline = audit_seal_of.timeline
        and pg_snapshot_xmax(s.snapshot) > audit_seal_of.xid
        and pg_visible_in_snapshot(audit_seal_of.xid, s.snapshot)
        and (s.through is null or s.through
          >= row(
            audit_seal_of.timeline, audit_seal_of.xid, audit_seal_of.id
          )::bulwark_private.audit_position)
      order by pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    ),
    (
      select s.number
      from bulwark_private.audit_seals s
      where s.timeline > audit_seal_of.timeline
        and (s.through is null or s.through
          >= row(
            audit_seal_of.timeline, audit_seal_of.xid, audit_seal_of.id
          )::bulwark_private.audit_position)
      order by s.timeline, pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    )
  );
$$;
comment on function bulwark_private.audit_seal_of(integer, xid8, uuid) is
  'The number of the seal that holds an entry; null while there is none.';

create function bulwark_private.audit_entry_is_sealed(entry_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from bulwark_private.audit_leaves e
    join bulwark_private.audit_groups g
      on g.seal = bulwark_private.audit_seal_of(e.timeline, e.xid, e.id)
      and g.organization_id is not distinct from e.organization_id
    -- At a multiple of 32 bytes, not anywhere in the bytes.
    where e.id = entry_id and position(e.leaf in g.leaves) % 32 = 1
  );
$$;
comment on function bulwark_private.audit_entry_is_sealed(uuid) is
  'Whether an entry, as it is now, is among the leaves of its seal.';

create function bulwark_private.audit_digest(ids uuid[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(sha256(coalesce(string_agg(uuid_send(id), '' order by id), '')), 'base64')
  from unnest(ids) as id;
$$;
comment on function bulwark_private.audit_digest(uuid[]) is
  'SHA-256 over ids in rising order, base64: identifies the entries that a removal record covers.';

create function bulwark_private.audit_removal_problem(record_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_count bigint;
  v_digest text;
  v_record jsonb;
begin
  select e.details into v_record
  from bulwark.audit_logs e
  where e.id = record_id
    and e.event_type = 'compliance.data_deleted'
    and e.source = 'system'
    and (
      bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
      or bulwark_private.audit_entry_is_sealed(e.id)
    );
  if not found then
    return 'removal_without_record';
  end if;
  -- Pruning and archiving take some of the entries that a record covers; the tombstone restates the
  -- rest.
  select coalesce(
    (
      select e.details -> 'removals' -> audit_removal_problem.record_id::text
      from (
        select p.record_id from bulwark_private.audit_prunings p
        union all
        select a.record_id from bulwark.audit_archives a where a.record_id is not null
      ) p
      join bulwark.audit_logs e on e.id = p.record_id
      where e.details -> 'removals' ? audit_removal_problem.record_id::text
      order by e.id desc
      limit 1
    ),
    v_record
  )
  into v_record;
  select count(*), bulwark_private.audit_digest(array_agg(e.id)) into v_count, v_digest
  from bulwark.audit_logs e
  where e.removed_by = record_id;
  if (v_record ->> 'entries')::bigint is distinct from v_count
    or v_record ->> 'digest' is distinct from v_digest then
    return 'removal_record_differs';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.audit_removal_problem(uuid) is
  'Problem of a removal record, or null: it has to exist, to be unchanged since it was sealed, and
   to cover exactly the entries that name it.';
