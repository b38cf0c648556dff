-- Audit seals: blocks of a hash chain over the entries, made behind the writers so that they cost
-- them nothing.
-- Protects against a change of what is sealed: each organization's entries of a seal are the leaves
-- of an RFC 6962 tree, its trees are chained, the trees of a seal are the leaves of another, the
-- seals are chained and are themselves the leaves of the tree that checkpoints sign.
-- SECURITY DEFINER: seal_audit_log, because the service role may not write seals; the trigger
--   audit_seals_extend_chain, because it reads the chain whoever inserts.

create table private.audit_seals (
  number bigint primary key,
  era smallint not null,
  sealed_at timestamptz not null,
  snapshot pg_snapshot not null,
  root bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  nodes bytea not null
);
comment on table private.audit_seals is
  'The chain. A seal holds what its snapshot saw finished and the seal before did not.';
comment on column private.audit_seals.nodes is
  'The nodes that this seal completes in the tree over all seals, from its own leaf upwards.';

create table private.audit_groups (
  seal bigint not null,
  position bigint not null,
  organization_id uuid,
  entry_count bigint not null,
  entries_before bigint not null,
  previous bytea not null,
  root bytea not null,
  hash bytea not null,
  leaves bytea not null,
  primary key (seal, position)
);
comment on table private.audit_groups is
  'The entries of one organization (null: of none) in one seal, as the root of their tree, chained
   to the organization''s group before. A tenant verifies its own chain without seeing another''s.';
comment on column private.audit_groups.leaves is
  'The leaf hashes in order of (era, xid, id), so that verification can name the entry that
   differs.';
alter table private.audit_groups alter column leaves set storage external;

-- Finds the seal of an entry: the first whose snapshot saw the entry's transaction finished.
create index audit_seals_snapshot_idx
  on private.audit_seals (era, pg_snapshot_xmax(snapshot), number);
create index audit_seals_sealed_at_idx on private.audit_seals (sealed_at);
create unique index audit_groups_organization_id_idx
  on private.audit_groups (organization_id, seal) nulls not distinct;

alter table private.audit_seals enable row level security;
alter table private.audit_groups enable row level security;

create function private.merkle_root(leaves bytea)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := octet_length(leaves) / 32;
  v_level bytea := leaves;
  v_next bytea;
begin
  if v_count = 0 then
    return sha256('');
  end if;
  -- Splitting at the largest power of two is the same as pairing level by level and carrying an odd
  -- last node up unchanged.
  while v_count > 1 loop
    if v_count > 64 then
      select string_agg(sha256('\x01'::bytea || substring(v_level from i * 64 + 1 for 64)), '')
      into v_next
      from generate_series(0, v_count / 2 - 1) as i;
    else
      v_next := '';
      for i in 0 .. v_count / 2 - 1 loop
        v_next := v_next || sha256('\x01'::bytea || substring(v_level from i * 64 + 1 for 64));
      end loop;
    end if;
    if v_count % 2 = 1 then
      v_next := v_next || substring(v_level from (v_count - 1) * 32 + 1);
    end if;
    v_level := v_next;
    v_count := (v_count + 1) / 2;
  end loop;
  return v_level;
end;
$$;
comment on function private.merkle_root(bytea) is
  'The RFC 6962 tree head over leaf hashes of 32 bytes each, one after the other.';

create function private.merkle_path(leaves bytea, index bigint)
  returns bytea[]
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint := octet_length(leaves) / 32;
  v_split bigint;
begin
  if v_count <= 1 then
    return array[]::bytea[];
  end if;
  v_split := private.largest_power_below(v_count);
  if index < v_split then
    return private.merkle_path(substring(leaves from 1 for (v_split * 32)::integer), index)
      || private.merkle_root(substring(leaves from (v_split * 32 + 1)::integer));
  end if;
  return private.merkle_path(
      substring(leaves from (v_split * 32 + 1)::integer), index - v_split
    )
    || private.merkle_root(substring(leaves from 1 for (v_split * 32)::integer));
end;
$$;
comment on function private.merkle_path(bytea, bigint) is
  'The RFC 6962 audit path of the leaf at index (from 0), from its sibling upwards.';

create function private.largest_power_below(n bigint)
  returns bigint
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_power bigint := 1;
begin
  while v_power * 2 < n loop
    v_power := v_power * 2;
  end loop;
  return v_power;
end;
$$;
comment on function private.largest_power_below(bigint) is
  'The largest power of two smaller than n (n > 1), where RFC 6962 splits a tree.';

create function private.audit_group_hash(
  organization_id uuid,
  seal bigint,
  entry_count bigint,
  entries_before bigint,
  previous bytea,
  root bytea
)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(
    '\x0001'::bytea
    || coalesce('\x01'::bytea || uuid_send(organization_id), '\x00'::bytea)
    || int8send(seal) || int8send(entry_count) || int8send(entries_before) || previous || root
  );
end;
$$;
comment on function private.audit_group_hash(uuid, bigint, bigint, bigint, bytea, bytea) is
  'The leaf of an organization in the tree of a seal.';

create function private.audit_seal_hash(
  number bigint,
  previous_hash bytea,
  root bytea,
  era integer,
  sealed_at timestamptz,
  snapshot pg_snapshot
)
  returns bytea
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(
    '\x01'::bytea || int8send(number) || previous_hash || root || int4send(era)
    || timestamptz_send(sealed_at) || int4send(octet_length(snapshot::text))
    || convert_to(snapshot::text, 'UTF8')
  );
end;
$$;
comment on function private.audit_seal_hash(
  bigint, bytea, bytea, integer, timestamptz, pg_snapshot
) is 'What the next seal chains to, and what the tree of all seals has as its leaf''s content.';

create function private.audit_entries(
  after_era integer,
  after_snapshot pg_snapshot,
  era integer,
  snapshot pg_snapshot,
  everybody boolean default true,
  organization uuid default null,
  hashed boolean default true
)
  returns table (
    id uuid,
    organization_id uuid,
    era integer,
    xid xid8,
    removed_by uuid,
    leaf bytea
  )
  language sql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
as $$
  -- Two index scans, never the range from the old xmin: it would read everything written since the
  -- oldest transaction that was open then.
  select e.id, e.organization_id, e.era, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from private.audit_leaves e
  where e.era = audit_entries.era
    and e.xid >= case
      when after_era = audit_entries.era then pg_snapshot_xmax(after_snapshot) else '0'
    end
    and e.xid < pg_snapshot_xmax(audit_entries.snapshot)
    and pg_visible_in_snapshot(e.xid, audit_entries.snapshot)
    and (everybody or e.organization_id is not distinct from organization)
  union all
  select e.id, e.organization_id, e.era, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from private.audit_leaves e
  where e.era = audit_entries.era
    and after_era = audit_entries.era
    and e.xid = any (array(select pg_snapshot_xip(after_snapshot)))
    and pg_visible_in_snapshot(e.xid, audit_entries.snapshot)
    and (everybody or e.organization_id is not distinct from organization)
  union all
  -- What an earlier era left unsealed: a dump holds only what was committed.
  select e.id, e.organization_id, e.era, e.xid, e.removed_by,
    case when hashed then e.leaf end
  from private.audit_leaves e
  where after_era is distinct from audit_entries.era
    and e.era < audit_entries.era
    and e.era >= coalesce(after_era, 0)
    and (
      e.era is distinct from after_era
      or e.xid >= pg_snapshot_xmax(after_snapshot)
      or e.xid = any (array(select pg_snapshot_xip(after_snapshot)))
    )
    and (everybody or e.organization_id is not distinct from organization);
$$;
comment on function private.audit_entries(
  integer, pg_snapshot, integer, pg_snapshot, boolean, uuid, boolean
) is
  'The entries, with their leaves, of the seal that follows one with the first era and snapshot
   (null: of the first seal) and has the second, of everybody or of one organization: sealing,
   verification and export read the same. Leaves are the costly part, so they can be left out.';

create function private.audit_seal_nodes(number bigint, hash bytea)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_node bytea := sha256('\x00'::bytea || hash);
  v_nodes bytea := v_node;
  v_width bigint := 1;
begin
  -- A full subtree ends at every multiple of its width: its left half ended half a width ago.
  while number % (v_width * 2) = 0 loop
    select sha256(
      '\x01'::bytea || substring(s.nodes from octet_length(s.nodes) - 31) || v_node
    )
    into v_node
    from private.audit_seals s
    where s.number = audit_seal_nodes.number - v_width;
    v_nodes := v_nodes || v_node;
    v_width := v_width * 2;
  end loop;
  return v_nodes;
end;
$$;
comment on function private.audit_seal_nodes(bigint, bytea) is
  'The nodes of the tree over all seals that the seal of this number and hash completes.';

create function private.audit_group_before(organization uuid, seal bigint)
  returns table (hash bytea, counted bigint)
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization is null then
    return query
      select g.hash, g.entries_before + g.entry_count
      from private.audit_groups g
      where g.organization_id is null and g.seal < audit_group_before.seal
      order by g.seal desc
      limit 1;
  else
    return query
      select g.hash, g.entries_before + g.entry_count
      from private.audit_groups g
      where g.organization_id = organization and g.seal < audit_group_before.seal
      order by g.seal desc
      limit 1;
  end if;
end;
$$;
comment on function private.audit_group_before(uuid, bigint) is
  'The group that an organization''s group in a seal chains to, and how many entries end with it.';

create function private.audit_seals_extend_chain()
  returns trigger
  language plpgsql
  security definer            -- definer because it reads the chain whoever inserts
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_last private.audit_seals;
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from private.audit_seals s order by s.number desc limit 1;
  new.number := coalesce(v_last.number, 0) + 1;
  new.previous_hash := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
  new.sealed_at := greatest(clock_timestamp(), v_last.sealed_at);
  new.hash := private.audit_seal_hash(
    new.number, new.previous_hash, new.root, new.era, new.sealed_at, new.snapshot
  );
  new.nodes := private.audit_seal_nodes(new.number, new.hash);
  return new;
end;
$$;
comment on function private.audit_seals_extend_chain() is
  'Trigger: number, time, previous hash, hash and tree nodes of a seal are those that extend the
   chain, whatever the insert says.';

create function private.audit_groups_refuse_change()
  returns trigger
  language plpgsql
  security definer            -- definer because prunings are for no client
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and exists (
    select from private.audit_prunings p
    where p.xid = pg_current_xact_id() and old.seal <= p.through_seal
  ) then
    return old;
  end if;
  raise exception 'Cannot change the audit log: seals are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function private.audit_groups_refuse_change() is
  'Trigger: groups leave only with the pruned prefix they belong to.';

create function private.write_audit_seal(snapshot pg_snapshot)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_era integer := (select max(e.era) from private.audit_eras e);
  v_last private.audit_seals;
  v_number bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from private.audit_seals s order by s.number desc limit 1;
  -- Somebody else sealed a later picture while this one waited.
  if v_last.era = v_era and pg_snapshot_xmax(v_last.snapshot) > pg_snapshot_xmax(snapshot) then
    return null;
  end if;
  with trees as (
    select
      e.organization_id,
      count(*) as entry_count,
      string_agg(e.leaf, '' order by e.era, e.xid, e.id) as leaves
    from private.audit_entries(v_last.era, v_last.snapshot, v_era, write_audit_seal.snapshot) e
    group by e.organization_id
  ),
  chained as (
    select
      t.organization_id,
      t.entry_count,
      t.leaves,
      private.merkle_root(t.leaves) as root,
      coalesce(p.counted, 0) as entries_before,
      coalesce(p.hash, decode(repeat('00', 32), 'hex')) as previous
    from trees t
    left join lateral private.audit_group_before(
      t.organization_id, coalesce(v_last.number, 0) + 1
    ) p on true
  ),
  hashed as (
    select
      c.*,
      row_number() over (order by c.organization_id nulls first) - 1 as position,
      private.audit_group_hash(
        c.organization_id, coalesce(v_last.number, 0) + 1, c.entry_count, c.entries_before,
        c.previous, c.root
      ) as hash
    from chained c
  ),
  sealed as (
    insert into private.audit_seals (era, snapshot, root)
    select
      v_era, write_audit_seal.snapshot,
      private.merkle_root(string_agg(h.hash, '' order by h.position))
    from hashed h
    having count(*) > 0
    returning number
  ),
  grouped as (
    insert into private.audit_groups (
      seal, position, organization_id, entry_count, entries_before, previous, root, hash, leaves
    )
    select
      s.number, h.position, h.organization_id, h.entry_count, h.entries_before, h.previous, h.root,
      h.hash, h.leaves
    from hashed h
    cross join sealed s
  )
  select s.number into v_number from sealed s;
  return v_number;
end;
$$;
comment on function private.write_audit_seal(pg_snapshot) is
  'Seals what the snapshot saw finished and no seal holds yet, and returns the seal''s number: null
   where there is nothing. The snapshot must be older than any write of the calling transaction.';

create function private.settle_audit_era()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_relation constant oid := 'public.audit_logs'::regclass;
  v_arguments bytea := (
    select t.tgargs from pg_catalog.pg_trigger t
    where t.tgrelid = v_relation and t.tgname = 'audit_logs_stamp'
  );
  v_era private.audit_eras;
  v_timeline bigint := (select c.timeline_id from pg_catalog.pg_control_checkpoint() c);
begin
  select * into v_era from private.audit_eras e where e.era = private.audit_era(v_relation);
  if v_arguments is distinct from
    convert_to(v_relation::text, 'UTF8') || '\x00' || convert_to(v_era.era::text, 'UTF8') || '\x00'
  then
    -- A restored dump brought the arguments of another cluster. Writers wait for the lock, so
    -- where it is not free at once the next run tries again.
    perform set_config('lock_timeout', '100ms', true);
    execute format(
      'create or replace trigger audit_logs_stamp before insert on public.audit_logs
         for each row execute function private.audit_logs_stamp(%L, %L)',
      v_relation, v_era.era
    );
    alter table public.audit_logs enable always trigger audit_logs_stamp;
    perform private.append_audit_entry(
      'system.warning', resource_type => 'public.audit_logs', action => 'era_started',
      details => to_jsonb(v_era)
    );
    -- The dump brought the triggers too, each touched by another transaction than before.
    update private.audit_guards g set fingerprint = private.audit_fingerprint(g.relation);
  end if;
  if v_era.timeline <> v_timeline then
    update private.audit_eras e set timeline = v_timeline where e.era = v_era.era;
    perform private.append_audit_entry(
      'system.warning', resource_type => 'public.audit_logs', action => 'fork',
      details => jsonb_build_object('timeline', v_timeline, 'timeline_before', v_era.timeline)
    );
  end if;
exception
  when lock_not_available then
    return;
end;
$$;
comment on function private.settle_audit_era() is
  'Begins an era where a dump was restored, and records a fork where the cluster was recovered to a
   point in time or promoted.';

create function private.inspect_audit_guards()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_guard record;
begin
  for v_guard in
    select
      g.relation,
      g.relation::text as name,
      g.fingerprint as expected,
      private.audit_fingerprint(g.relation) as found,
      not exists (select from pg_catalog.pg_class c where c.oid = g.relation) as dropped,
      exists (
        select from pg_catalog.pg_trigger t
        join pg_catalog.pg_proc p on p.oid = t.tgfoid
        where t.tgrelid = g.relation
          and not t.tgisinternal
          and p.pronamespace = 'private'::regnamespace
          and t.tgenabled = 'D'
      ) as disabled
    from private.audit_guards g
  loop
    continue when v_guard.found = v_guard.expected and not v_guard.dropped;
    perform private.append_audit_entry(
      'security.suspicious_activity',
      resource_type => v_guard.name,
      action => case when v_guard.dropped then 'guard_dropped' else 'guard_changed' end,
      severity => case
        when v_guard.dropped or v_guard.disabled
          or v_guard.expected ~ 'bulwark_audit' and v_guard.found !~ 'bulwark_audit'
        then 'critical' else 'warning'
      end::public.audit_severity,
      details => jsonb_build_object('expected', v_guard.expected, 'found', v_guard.found)
    );
    if v_guard.dropped then
      delete from private.audit_guards g where g.relation = v_guard.relation;
    else
      update private.audit_guards g set fingerprint = v_guard.found
      where g.relation = v_guard.relation;
    end if;
  end loop;
end;
$$;
comment on function private.inspect_audit_guards() is
  'Records every guard whose triggers or their functions were touched by other than enable_audit,
   also where somebody switched them off and on again between two looks.';

create function public.seal_audit_log()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write seals directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number bigint;
  v_snapshot pg_snapshot;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot seal the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_READ_COMMITTED';
  end if;
  -- With a transaction id of its own this transaction would count as finished in its own picture,
  -- and what it wrote later would never be sealed.
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'Cannot seal the audit log: the transaction has written already'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_OWN_TRANSACTION',
            hint = 'Call seal_audit_log() in a request of its own';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select pg_current_snapshot() into v_snapshot;
  v_number := private.write_audit_seal(v_snapshot);
  perform private.settle_audit_era();
  perform private.inspect_audit_guards();
  perform private.report_missing_checkpoint();
  return v_number;
end;
$$;
comment on function public.seal_audit_log() is
  'Seals what was committed since the last seal and returns the new seal''s number, or null where
   there was nothing; then looks after eras, guards and checkpoints. Runs each second, and on
   demand before a verification that has to be up to date. Errors: AUDIT_SEAL_NEEDS_READ_COMMITTED,
   AUDIT_SEAL_NEEDS_OWN_TRANSACTION.';

create trigger audit_seals_extend_chain
  before insert on private.audit_seals
  for each row execute function private.audit_seals_extend_chain();
create trigger audit_seals_refuse_change
  before update or delete on private.audit_seals
  for each row execute function private.refuse_change();
create trigger audit_seals_refuse_truncate
  before truncate on private.audit_seals
  for each statement execute function private.refuse_change();
create trigger audit_groups_refuse_change
  before update or delete on private.audit_groups
  for each row execute function private.audit_groups_refuse_change();
create trigger audit_groups_refuse_truncate
  before truncate on private.audit_groups
  for each statement execute function private.refuse_change();
alter table private.audit_seals enable always trigger audit_seals_extend_chain;
alter table private.audit_seals enable always trigger audit_seals_refuse_change;
alter table private.audit_seals enable always trigger audit_seals_refuse_truncate;
alter table private.audit_groups enable always trigger audit_groups_refuse_change;
alter table private.audit_groups enable always trigger audit_groups_refuse_truncate;
insert into private.audit_guards (relation, captures, fingerprint)
select r, false, private.audit_fingerprint(r)
from unnest('{private.audit_seals, private.audit_groups}'::regclass[]) as r;

revoke all on function
  private.merkle_root(bytea), private.merkle_path(bytea, bigint),
  private.largest_power_below(bigint),
  private.audit_group_hash(uuid, bigint, bigint, bigint, bytea, bytea),
  private.audit_seal_hash(bigint, bytea, bytea, integer, timestamptz, pg_snapshot),
  private.audit_entries(integer, pg_snapshot, integer, pg_snapshot, boolean, uuid, boolean),
  private.audit_group_before(uuid, bigint), private.audit_seal_nodes(bigint, bytea),
  private.audit_seals_extend_chain(),
  private.audit_groups_refuse_change(),
  private.write_audit_seal(pg_snapshot), private.settle_audit_era(),
  private.inspect_audit_guards(), public.seal_audit_log()
  from public, anon, authenticated, service_role;
grant execute on function public.seal_audit_log() to service_role;
