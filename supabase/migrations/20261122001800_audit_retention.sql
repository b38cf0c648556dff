-- Audit retention: removing payloads by age and by person, pruning old seals, and the legal holds
-- that stop both.
-- Protects against removals without a trace: each one is an entry that says who, why, which and how
-- many, and the log still verifies afterwards.
-- SECURITY DEFINER: cleanup_old_audit_logs, erase_subject, prune_audit_log, place_legal_hold,
--   release_legal_hold, because no client may change the log or write holds; the trigger
--   audit_holds_reset_retention, because progress is kept in private.

create table public.audit_legal_holds (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid,
  subject_id uuid,
  resource_type text,
  resource_id text,
  reason text not null,
  placed_by uuid,
  placed_at timestamptz not null default now(),
  released_by uuid,
  released_at timestamptz,
  constraint audit_legal_holds_holds_something
    check (num_nonnulls(organization_id, subject_id, resource_type) > 0),
  constraint audit_legal_holds_resource_has_a_type
    check (resource_id is null or resource_type is not null),
  constraint audit_legal_holds_reason_length check (length(btrim(reason)) between 1 and 1000)
);
comment on table public.audit_legal_holds is
  'What may not be removed from the log: the entries that match every column given, of an
   organization, a person or a resource, until released. No foreign keys: a hold outlives what it
   is about.';
create index audit_legal_holds_organization_id_idx on public.audit_legal_holds (organization_id);

create table private.audit_prunings (
  through_seal bigint primary key,
  era smallint not null,
  snapshot pg_snapshot not null,
  record_id uuid not null,
  xid xid8 not null default pg_current_xact_id(),
  pruned_at timestamptz not null default now()
);
comment on table private.audit_prunings is
  'Tombstones: through which seal the log was pruned, and the entry that records it.';

create table private.audit_retention_progress (
  only_row boolean primary key default true check (only_row),
  through_id uuid
);
comment on table private.audit_retention_progress is
  'Up to which entry retention is through, so that it does not read the whole log each time.';
insert into private.audit_retention_progress default values;

alter table public.audit_legal_holds enable row level security;
alter table private.audit_prunings enable row level security;
alter table private.audit_retention_progress enable row level security;

create policy "Compliance officers read the holds of their organizations"
  on public.audit_legal_holds for select to authenticated
  using (
    organization_id = any (array(select private.organizations_with('compliance:read')))
    or (organization_id is null and (select private.is_super_admin()))
  );

insert into private.settings (name, value, description) values
  ('audit.retention_days', '90', 'After how many days the payloads of entries are removed'),
  ('audit.keep_days', 'null', 'After how many days whole seals are pruned; null: never'),
  ('audit.removal_batch', '50000', 'How many entries one run of retention removes at most'),
  ('audit.seal_interval_seconds', '1', 'How often the log is sealed, where the scheduler can');

create view private.audit_removable with (security_invoker = true) as
  select e.*
  from public.audit_logs e
  where e.removed_by is null
    and e.event_type <> 'compliance.data_deleted'
    and not exists (
      select from public.audit_legal_holds h
      where h.released_at is null
        and (h.organization_id is null or h.organization_id = e.organization_id)
        and (
          h.subject_id is null
          or h.subject_id = e.actor_id
          or position(
            h.subject_id::text in concat(e.resource_id, e.before, e.after, e.details)
          ) > 0
        )
        and (h.resource_type is null or h.resource_type = e.resource_type)
        and (h.resource_id is null or h.resource_id = e.resource_id)
    );
comment on view private.audit_removable is
  'Entries that still have a payload that no legal hold keeps. Records of removals are never
   removed.';

create function private.remove_audit_payloads(ids uuid[], organization uuid, details jsonb)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
  v_record uuid := private.append_audit_entry(
    'compliance.data_deleted',
    organization_id => organization,
    resource_type => 'public.audit_logs',
    action => details ->> 'kind',
    details => details || jsonb_build_object(
      'entries', cardinality(ids), 'digest', private.audit_digest(ids)
    )
  );
begin
  update public.audit_logs e
  set commitment = c.payload_commitment, removed_by = v_record, salt = null, actor_type = null,
      actor_id = null, database_user = null, session_id = null, ip = null, user_agent = null,
      resource_id = null, action = null, correlation_id = null, parent_id = null, before = null,
      after = null, details = null
  from private.audit_commitments c
  where e.id = any (ids) and c.id = e.id;
  get diagnostics v_count = row_count;
  if v_count <> cardinality(ids) then
    raise exception 'Cannot remove payloads: another removal is under way'
      using errcode = 'serialization_failure', detail = 'AUDIT_REMOVAL_CONFLICT';
  end if;
  return v_count;
end;
$$;
comment on function private.remove_audit_payloads(uuid[], uuid, jsonb) is
  'Takes the payloads of entries of one organization under a record that covers exactly them.';

create function public.cleanup_old_audit_logs(retention_days integer default 90)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch record;
  v_floor uuid;
  v_limit constant integer := (private.setting('audit.removal_batch'))::integer;
  v_last uuid;
  v_removed integer := 0;
  v_through uuid;
begin
  if retention_days is null or retention_days not between 1 and 36500 then
    raise exception 'Cannot clean up the audit log: retention is 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  v_floor := private.audit_id_floor(now() - make_interval(days => retention_days));
  -- Locks the row, so that a second run waits instead of removing the same.
  select p.through_id into v_through from private.audit_retention_progress p for update;
  for v_batch in
    select d.organization_id, array_agg(d.id order by d.id) as ids, max(d.id::text)::uuid as last
    from (
      select e.id, e.organization_id
      from private.audit_removable e
      where e.id < v_floor
        and e.occurred_at < now() - make_interval(days => retention_days)
        and (v_through is null or e.id > v_through)
        and e.severity not in ('error', 'critical')
      order by e.id
      limit v_limit
    ) d
    group by d.organization_id
  loop
    v_removed := v_removed + private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      jsonb_build_object(
        'kind', 'retention', 'reason', format('older than %s days', retention_days)
      )
    );
    v_last := greatest(v_last, v_batch.last);
  end loop;
  update private.audit_retention_progress p
  set through_id = greatest(v_through, case when v_removed < v_limit then v_floor else v_last end);
  return v_removed;
end;
$$;
comment on function public.cleanup_old_audit_logs(integer) is
  'Removes the payloads of entries older than so many days, critical and error ones and those under
   a legal hold excepted, at most audit.removal_batch of them; returns how many. Each organization
   gets a record of it. Run it again until it returns 0. Errors: AUDIT_INVALID_RETENTION.';

create function public.erase_subject(
  user_id uuid,
  reason text,
  organization_id uuid default null
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch record;
  v_removed integer := 0;
begin
  perform private.require_permission('compliance:manage', organization_id);
  if user_id is null or length(btrim(reason)) between 1 and 500 is not true then
    raise exception 'Cannot erase subject: it takes a user and a reason of up to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_ERASURE';
  end if;
  -- What names an organization or a row is no person's: only accounts and actors are erased.
  if not exists (select from auth.users u where u.id = erase_subject.user_id)
    and not exists (select from public.audit_logs e where e.actor_id = erase_subject.user_id)
  then
    raise exception 'Cannot erase subject: nobody is known by that id'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_SUBJECT';
  end if;
  if exists (
    select from public.audit_legal_holds h
    where h.released_at is null
      and h.subject_id = user_id
      and (h.organization_id is null or erase_subject.organization_id is null
        or h.organization_id = erase_subject.organization_id)
  ) then
    raise exception 'Cannot erase subject: a legal hold keeps what is known of them'
      using errcode = 'PT409', detail = 'AUDIT_LEGAL_HOLD';
  end if;
  for v_batch in
    select e.organization_id, array_agg(e.id order by e.id) as ids
    from private.audit_removable e
    where (erase_subject.organization_id is null
        or e.organization_id = erase_subject.organization_id)
      and (
        e.actor_id = erase_subject.user_id
        or position(
          erase_subject.user_id::text in concat(e.resource_id, e.before, e.after, e.details)
        ) > 0
      )
    group by e.organization_id
  loop
    v_removed := v_removed + private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      -- The hash of a random id names nobody, but answers whether this person was erased.
      jsonb_build_object(
        'kind', 'erasure', 'reason', reason, 'subject', encode(sha256(uuid_send(user_id)), 'hex')
      )
    );
  end loop;
  return v_removed;
end;
$$;
comment on function public.erase_subject(uuid, text, uuid) is
  'Removes the payloads of all entries that a user made or that name the user''s id
   (compliance:manage in the organization, or system-wide for all of them), but for those under a
   legal hold on something else; returns how many. It reads the whole log, so run it as the service
   role where that is long. The records keep only a hash of the id. Errors:
   AUDIT_LEGAL_HOLD, AUDIT_INVALID_ERASURE, RBAC_PERMISSION_DENIED.';

create function public.place_legal_hold(
  reason text,
  organization_id uuid default null,
  subject_id uuid default null,
  resource_type text default null,
  resource_id text default null
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  perform private.require_permission('compliance:manage', organization_id);
  if length(btrim(reason)) between 1 and 1000 is not true
    or num_nonnulls(organization_id, subject_id, resource_type) = 0
    or (resource_id is not null and resource_type is null) then
    raise exception 'Cannot place hold: it takes a reason and an organization, person or resource'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_HOLD';
  end if;
  insert into public.audit_legal_holds (
    reason, organization_id, subject_id, resource_type, resource_id, placed_by
  )
  values (
    btrim(place_legal_hold.reason), place_legal_hold.organization_id, place_legal_hold.subject_id,
    place_legal_hold.resource_type, place_legal_hold.resource_id, auth.uid()
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function public.place_legal_hold(text, uuid, uuid, text, text) is
  'Keeps the entries that match everything given from retention, erasure and pruning
   (compliance:manage in the organization, system-wide without one), and returns the hold''s id.
   Errors: AUDIT_INVALID_HOLD, RBAC_PERMISSION_DENIED.';

create function public.release_legal_hold(hold_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold public.audit_legal_holds;
begin
  select * into v_hold from public.audit_legal_holds h where h.id = hold_id;
  -- A hold that does not exist and one of a foreign organization are the same answer.
  if not found then
    v_hold.organization_id := gen_random_uuid();
  end if;
  perform private.require_permission('compliance:manage', v_hold.organization_id);
  update public.audit_legal_holds h
  set released_at = now(), released_by = auth.uid()
  where h.id = hold_id and h.released_at is null;
  if not found then
    raise exception 'Cannot release hold: it is not in force'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_HOLD';
  end if;
end;
$$;
comment on function public.release_legal_hold(uuid) is
  'Ends a legal hold (compliance:manage where it was placed). Errors: AUDIT_UNKNOWN_HOLD,
   RBAC_PERMISSION_DENIED.';

create function private.audit_holds_reset_retention()
  returns trigger
  language plpgsql
  security definer            -- definer because progress is kept in private
  set search_path = pg_catalog, pg_temp
as $$
begin
  update private.audit_retention_progress p set through_id = null;
  return null;
end;
$$;
comment on function private.audit_holds_reset_retention() is
  'Trigger: what a released hold kept is old already, so retention begins anew.';

create function private.audit_pruning_is_recorded(through_seal bigint)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from private.audit_prunings p
    join private.audit_seals s on s.number = p.through_seal
    join public.audit_logs e on e.id = p.record_id
    where p.through_seal = audit_pruning_is_recorded.through_seal
      and e.event_type = 'compliance.data_deleted'
      and e.source = 'service'
      and e.details ->> 'through_seal' = p.through_seal::text
      and e.details ->> 'seal_hash' = private.base64(s.hash)
      and (private.audit_seal_of(e.era, e.xid) is null or private.audit_entry_is_sealed(e.id))
  );
$$;
comment on function private.audit_pruning_is_recorded(bigint) is
  'Whether the tombstone of a pruning has its entry, as sealed, about the same seal.';

create function public.prune_audit_log(keep_days integer)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entries bigint;
  v_pruned bigint;
  v_record uuid;
  v_records uuid[];
  v_seal private.audit_seals;
  v_through bigint;
begin
  if keep_days is null or keep_days not between 1 and 36500 then
    raise exception 'Cannot prune the audit log: entries are kept 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select coalesce(max(p.through_seal), 0) into v_pruned from private.audit_prunings p;
  -- A whole prefix: old enough, before the first entry that a hold keeps, within one batch, and
  -- where checkpoints are made not beyond the newest.
  select max(w.number) into v_through
  from (
    select s.number, sum(g.entries) over (order by s.number) as entries
    from private.audit_seals s
    left join lateral (
      select sum(g.entry_count) as entries from private.audit_groups g where g.seal = s.number
    ) g on true
    where s.number > v_pruned
      and s.sealed_at < now() - make_interval(days => keep_days)
      and s.number <= coalesce(
        (select max(c.tree_size) from public.audit_checkpoints c),
        (select max(l.number) - 1 from private.audit_seals l)
      )
    order by s.number
    limit 100000
  ) w
  where w.entries <= greatest(
    (private.setting('audit.removal_batch'))::integer,
    (select sum(g.entry_count) from private.audit_groups g where g.seal = v_pruned + 1)
  );
  select * into v_seal from private.audit_seals s where s.number = v_through;
  if exists (select from public.audit_legal_holds h where h.released_at is null) then
    select least(v_through, min(private.audit_seal_of(e.era, e.xid)) - 1) into v_through
    from public.audit_logs e
    where (e.era < v_seal.era
        or e.era = v_seal.era and e.xid < pg_snapshot_xmax(v_seal.snapshot))
      and e.removed_by is null
      and e.event_type <> 'compliance.data_deleted'
      and not exists (select from private.audit_removable r where r.id = e.id);
    select * into v_seal from private.audit_seals s where s.number = v_through;
  end if;
  if v_through is null or v_through <= v_pruned then
    return 0;
  end if;

  -- The tombstone opens the way for the deletion and is complete before anybody can see it.
  v_record := gen_random_uuid();
  insert into private.audit_prunings (through_seal, era, snapshot, record_id)
  values (v_through, v_seal.era, v_seal.snapshot, v_record);
  with gone as (
    delete from public.audit_logs e
    where e.era < v_seal.era
      or e.era = v_seal.era
        and e.xid < pg_snapshot_xmax(v_seal.snapshot)
        and pg_visible_in_snapshot(e.xid, v_seal.snapshot)
    returning e.removed_by
  )
  select count(*), array_agg(distinct g.removed_by) filter (where g.removed_by is not null)
  into v_entries, v_records
  from gone g;
  -- Each organization's newest group stays, for the next one chains to it.
  delete from private.audit_groups g
  where g.seal <= v_through and exists (
    select from private.audit_groups n
    where n.seal > g.seal
      and n.seal <= v_through
      and (n.organization_id = g.organization_id
        or n.organization_id is null and g.organization_id is null)
  );
  v_record := private.append_audit_entry(
    'compliance.data_deleted',
    resource_type => 'public.audit_logs',
    action => 'pruning',
    details => jsonb_build_object(
      'kind', 'pruning',
      'reason', format('sealed more than %s days ago', keep_days),
      'through_seal', v_through,
      'seal_hash', private.base64(v_seal.hash),
      'pruned', v_entries,
      'removals', (
        select coalesce(
          jsonb_object_agg(
            r.id, jsonb_build_object('entries', r.entries, 'digest', private.audit_digest(r.ids))
          ),
          '{}'
        )
        from (
          select d.id, count(e.id) as entries,
            array_agg(e.id) filter (where e.id is not null) as ids
          from unnest(v_records) as d (id)
          join public.audit_logs k on k.id = d.id
          left join public.audit_logs e on e.removed_by = d.id
          group by d.id
        ) r
      )
    )
  );
  update private.audit_prunings p set record_id = v_record where p.through_seal = v_through;
  return v_entries;
end;
$$;
comment on function public.prune_audit_log(integer) is
  'Deletes whole seals made more than so many days ago with their entries, from the beginning of the
   log up to the first entry under a legal hold, at most one batch; returns how many entries. The
   seals'' own rows stay, so that the chain and every checkpoint still verify. A tombstone entry
   records it. Errors: AUDIT_INVALID_RETENTION.';

create function private.audit_prunings_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.xid = pg_current_xact_id()
    and (new.through_seal, new.era, new.snapshot::text, new.xid)
      is not distinct from (old.through_seal, old.era, old.snapshot::text, old.xid) then
    return new;
  end if;
  raise exception 'Cannot change audit_prunings: its rows are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function private.audit_prunings_refuse_change() is
  'Trigger: a tombstone gets its record in the transaction that makes it and never changes again.';

create trigger audit_legal_holds_reset_retention
  after update on public.audit_legal_holds
  for each statement execute function private.audit_holds_reset_retention();
create trigger audit_prunings_refuse_change
  before update or delete on private.audit_prunings
  for each row execute function private.audit_prunings_refuse_change();
create trigger audit_prunings_refuse_truncate
  before truncate on private.audit_prunings
  for each statement execute function private.refuse_change();
alter table private.audit_prunings enable always trigger audit_prunings_refuse_change;
alter table private.audit_prunings enable always trigger audit_prunings_refuse_truncate;
insert into private.audit_guards (relation, captures, fingerprint)
values ('private.audit_prunings', false, private.audit_fingerprint('private.audit_prunings'));
select private.enable_audit(
  'public.audit_legal_holds', organization_column => 'organization_id',
  event_types => '{config.changed,config.changed,config.changed}'
);

revoke all on public.audit_legal_holds from public, anon, authenticated, service_role;
revoke all on private.audit_removable from public, anon, authenticated, service_role;
grant select on public.audit_legal_holds to authenticated, service_role;

revoke all on function
  private.remove_audit_payloads(uuid[], uuid, jsonb),
  private.audit_holds_reset_retention(), private.audit_pruning_is_recorded(bigint),
  private.audit_prunings_refuse_change(),
  public.cleanup_old_audit_logs(integer), public.erase_subject(uuid, text, uuid),
  public.place_legal_hold(text, uuid, uuid, text, text), public.release_legal_hold(uuid),
  public.prune_audit_log(integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.erase_subject(uuid, text, uuid),
  public.place_legal_hold(text, uuid, uuid, text, text), public.release_legal_hold(uuid)
  to authenticated, service_role;
grant execute on function
  public.cleanup_old_audit_logs(integer), public.prune_audit_log(integer)
  to service_role;
