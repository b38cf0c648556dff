-- Audit retention: removes the payloads of old entries.
-- Protects against removals without a trace: each one is an entry with the actor, the reason, the
-- entries and their number, and the log still verifies afterwards.
-- SECURITY DEFINER: cleanup_old_audit_logs, because no client may change the log.

create table bulwark_private.audit_retention_progress (
  only_row boolean primary key default true check (only_row),
  through_id uuid
);
comment on table bulwark_private.audit_retention_progress is
  'The last entry that retention has processed, so that it does not read the whole log each time.
   Not audited: each removal is sealed.';
insert into bulwark_private.audit_retention_progress default values;

alter table bulwark_private.audit_retention_progress enable row level security;

insert into bulwark.settings (name, value, description) values
  ('audit.retention_days', '90',
    'Minimum number of days that payloads are kept, also for the service role'),
  ('audit.removal_batch', '50000', 'Maximum number of entries that one run of retention removes');

create function bulwark_private.remove_audit_payloads(ids uuid[], organization uuid, details jsonb)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_count integer;
  v_record uuid := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    organization_id => organization,
    resource_type => 'bulwark.audit_logs',
    action => details ->> 'kind',
    details => details || jsonb_build_object(
      'entries', cardinality(ids), 'digest', bulwark_private.audit_digest(ids)
    )
  );
begin
  update bulwark.audit_logs e
  set commitment = c.payload_commitment, removed_by = v_record, salt = null, actor_type = null,
      actor_id = null, database_user = null, session_id = null, ip = null, user_agent = null,
      resource_id = null, action = null, correlation_id = null, parent_id = null, before = null,
      after = null, details = null
  from bulwark_private.audit_commitments c
  where e.id = any (ids) and c.id = e.id;
  get diagnostics v_count = row_count;
  if v_count <> cardinality(ids) then
    raise exception 'Cannot remove payloads: another removal is under way'
      using errcode = 'PT409', detail = 'AUDIT_REMOVAL_CONFLICT',
        hint = 'Try again when the other one has ended';
  end if;
  return v_count;
end;
$$;
comment on function bulwark_private.remove_audit_payloads(uuid[], uuid, jsonb) is
  'Removes the payloads of entries of one organization under a record that covers exactly these
   entries.';

create function bulwark.cleanup_old_audit_logs(retention_days integer default 90)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_batch record;
  v_floor uuid;
  v_holds uuid[];
  v_limit constant integer := (bulwark_private.setting('audit.removal_batch'))::integer;
  v_last uuid;
  v_organizations uuid[] := array[]::uuid[];
  v_removed integer := 0;
  v_through uuid;
begin
  if retention_days is null or retention_days not between 1 and 36500 then
    raise exception 'Cannot clean up the audit log: retention is 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  -- The service role may keep payloads longer than configured, never shorter: its key is on
  -- servers.
  if retention_days < (bulwark_private.setting('audit.retention_days'))::integer then
    raise exception 'Cannot clean up the audit log: payloads are kept % days',
      bulwark_private.setting('audit.retention_days')
      using errcode = 'insufficient_privilege', detail = 'AUDIT_RETENTION_TOO_SHORT',
            hint = 'The owner of the database decides: bulwark.settings, audit.retention_days';
  end if;
  v_floor := bulwark_private.audit_id_floor(now() - make_interval(days => retention_days));
  -- Locks the row, so that a second run waits instead of removing the same entries.
  select p.through_id into v_through from bulwark_private.audit_retention_progress p for update;
  v_holds := bulwark_private.begin_audit_removal();
  for v_batch in
    select d.organization_id, array_agg(d.id order by d.id) as ids, max(d.id::text)::uuid as last
    from (
      select e.id, e.organization_id
      from bulwark_private.audit_removable e
      where e.id < v_floor
        and e.occurred_at < now() - make_interval(days => retention_days)
        and (v_through is null or e.id > v_through)
        and e.severity not in ('error', 'critical')
      order by e.id
      limit v_limit
    ) d
    group by d.organization_id
  loop
    v_removed := v_removed + bulwark_private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      jsonb_build_object(
        'kind', 'retention', 'reason', format('older than %s days', retention_days)
      )
    );
    v_last := greatest(v_last, v_batch.last);
    v_organizations := v_organizations || v_batch.organization_id;
  end loop;
  update bulwark_private.audit_retention_progress p
  set through_id = greatest(v_through, case when v_removed < v_limit then v_floor else v_last end);
  perform bulwark_private.finish_audit_removal(v_holds, v_organizations);
  delete from bulwark_private.audit_exports e where e.noted_at < now() - interval '1 day';
  return v_removed;
end;
$$;
comment on function bulwark.cleanup_old_audit_logs(integer) is
  'Removes the payloads of entries older than so many days, except critical and error ones and those
   under a legal hold, at most audit.removal_batch of them; returns how many. Each organization gets
   a record of it. It also deletes the progress of exports that were not continued for a day. Call
   it again until it returns 0. Not fewer days than audit.retention_days. Errors:
   AUDIT_INVALID_RETENTION, AUDIT_RETENTION_TOO_SHORT, AUDIT_REMOVAL_CONFLICT, AUDIT_HOLD_PLACED,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';
