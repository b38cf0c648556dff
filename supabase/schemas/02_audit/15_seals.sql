-- Audit seals: blocks of a hash chain over the entries.
-- Protects against changes of sealed entries. Within a seal each organization's entries form an RFC
-- 6962 tree, and these trees are the leaves of the seal's tree. The groups of an organization are
-- chained, the seals are chained, and the seals are the leaves of the tree that checkpoints sign.
-- SECURITY DEFINER: audit_seals_extend_chain, because no client can read the chain;
--   audit_groups_refuse_change, because no client can read prunings.

create table bulwark_private.audit_seals (
  number bigint primary key,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  sealed_at timestamptz not null,
  snapshot pg_snapshot not null,
  through bulwark_private.audit_position,
  root bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  nodes bytea not null
);
comment on table bulwark_private.audit_seals is
  'The chain of seals. A seal holds the entries that are finished in its snapshot and in no earlier
   one. If there are more of them than one seal may hold, several seals with the same snapshot hold
   them, one after the other.';
comment on column bulwark_private.audit_seals.sealed_at is
  'When its snapshot was taken; seals that continue one another have the same time.';
comment on column bulwark_private.audit_seals.through is
  'The last entry of a seal that the next one continues; null: it holds all that were left.';
comment on column bulwark_private.audit_seals.nodes is
  'The nodes that this seal completes in the tree of all seals, from its own leaf upwards.';

create table bulwark_private.audit_groups (
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
comment on table bulwark_private.audit_groups is
  'The entries of one organization (null: those without one) in one seal, as the root of their tree,
   chained to the organization''s previous group. A tenant verifies its own chain without seeing
   others.';
comment on column bulwark_private.audit_groups.leaves is
  'Leaf hashes in order of (timeline, xid, id), with which verification names the entry that
   differs.';
alter table bulwark_private.audit_groups alter column leaves set storage external;

-- Finds the seal of an entry: the first whose snapshot has the entry's transaction finished.
create index audit_seals_snapshot_idx
  on bulwark_private.audit_seals (timeline, pg_snapshot_xmax(snapshot), number);
create index audit_seals_sealed_at_idx on bulwark_private.audit_seals (sealed_at);
create unique index audit_groups_organization_id_idx
  on bulwark_private.audit_groups (organization_id, seal) nulls not distinct;

alter table bulwark_private.audit_seals enable row level security;
alter table bulwark_private.audit_groups enable row level security;

create type bulwark_private.audit_range as (
  base_timeline integer,
  base_snapshot pg_snapshot,
  timeline integer,
  snapshot pg_snapshot,
  after bulwark_private.audit_position,
  through bulwark_private.audit_position
);
comment on type bulwark_private.audit_range is
  'The entries that are finished in a snapshot and not in its base (null: the beginning), of them
   those after one position and up to another (null: all).';

create view bulwark_private.audit_seal_ranges with (security_invoker = true) as
  select
    s.number,
    s.sealed_at,
    b.sealed_at as base_sealed_at,
    row(
      b.timeline, b.snapshot, s.timeline, s.snapshot, p.through, s.through
    )::bulwark_private.audit_range as range,
    -- If a seal before it is gone, so is the knowledge of where it begins.
    (
      select count(*) from bulwark_private.audit_seals k
      where k.number > coalesce(b.number, 0) and k.number < s.number
    ) = s.number - coalesce(b.number, 0) - 1 as known
  from bulwark_private.audit_seals s
  left join bulwark_private.audit_seals p on p.number = s.number - 1
  left join lateral (
    select k.number, k.timeline, k.snapshot, k.sealed_at
    from bulwark_private.audit_seals k
    where k.number < s.number and k.through is null
    order by k.number desc
    limit 1
  ) b on true;
comment on view bulwark_private.audit_seal_ranges is
  'Which entries each seal holds. The base is the last seal with an earlier snapshot.';

create function bulwark_private.audit_seal_nodes(number bigint, hash bytea)
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
  -- A full subtree ends at every multiple of its width; its left half ended half a width earlier.
  while number % (v_width * 2) = 0 loop
    select sha256(
      '\x01'::bytea || substring(s.nodes from octet_length(s.nodes) - 31) || v_node
    )
    into v_node
    from bulwark_private.audit_seals s
    where s.number = audit_seal_nodes.number - v_width;
    v_nodes := v_nodes || v_node;
    v_width := v_width * 2;
  end loop;
  return v_nodes;
end;
$$;
comment on function bulwark_private.audit_seal_nodes(bigint, bytea) is
  'The nodes of the tree of all seals that the seal of this number and hash completes.';

create function bulwark_private.audit_group_before(organization uuid, seal bigint)
  returns setof bulwark_private.audit_groups
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
begin
  -- Sorted by both columns of the index, so that no other index can be taken for a faster one.
  if organization is null then
    return query
      select * from bulwark_private.audit_groups g
      where g.organization_id is null and g.seal < audit_group_before.seal
      order by g.organization_id desc, g.seal desc
      limit 1;
  else
    return query
      select * from bulwark_private.audit_groups g
      where (g.organization_id, g.seal) < (organization, audit_group_before.seal)
        and (g.organization_id, g.seal) >= (organization, 0)
      order by g.organization_id desc, g.seal desc
      limit 1;
  end if;
end;
$$;
comment on function bulwark_private.audit_group_before(uuid, bigint) is
  'The group that an organization''s group in a seal chains to.';

create function bulwark_private.audit_groups_of(
  organization uuid,
  first_seal bigint,
  last_seal bigint default null
)
  returns setof bulwark_private.audit_groups
  language plpgsql
  stable
  rows 100
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
begin
  if organization is null then
    return query
      select * from bulwark_private.audit_groups g
      where g.organization_id is null and g.seal between first_seal and coalesce(last_seal, g.seal)
      order by g.organization_id, g.seal
      limit 1000;
  else
    return query
      select * from bulwark_private.audit_groups g
      where (g.organization_id, g.seal) >= (organization, first_seal)
        and (g.organization_id, g.seal) <= (organization, coalesce(last_seal, 9223372036854775807))
      order by g.organization_id, g.seal
      limit 1000;
  end if;
end;
$$;
comment on function bulwark_private.audit_groups_of(uuid, bigint, bigint) is
  'The next groups of an organization (null: of the entries without one) in a range of seals, at
   most a thousand. Reads only these, whatever the statistics say.';

create function bulwark_private.audit_seals_extend_chain()
  returns trigger
  language plpgsql
  security definer            -- definer because no client can read the chain
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_last bulwark_private.audit_seals;
begin
  if bulwark_private.audit_log_is_loading() then
    return new;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  new.number := coalesce(v_last.number, 0) + 1;
  new.previous_hash := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
  new.sealed_at := greatest(clock_timestamp(), v_last.sealed_at);
  if v_last.through is not null then
    if (new.timeline, new.snapshot::text)
        is distinct from (v_last.timeline, v_last.snapshot::text)
      or new.through <= v_last.through then
      raise exception 'Cannot seal the audit log: the last seal has to be continued first'
        using errcode = 'object_not_in_prerequisite_state', detail = 'AUDIT_SEAL_IS_OPEN',
          hint = 'Call seal_audit_log() again: each call continues it';
    end if;
    new.sealed_at := v_last.sealed_at;
  end if;
  new.hash := bulwark_private.audit_seal_hash(
    new.number, new.previous_hash, new.root, new.timeline, new.sealed_at, new.snapshot, new.through
  );
  new.nodes := bulwark_private.audit_seal_nodes(new.number, new.hash);
  return new;
end;
$$;
comment on function bulwark_private.audit_seals_extend_chain() is
  'Trigger: number, time, previous hash, hash and tree nodes of a seal are computed here, whatever
   the insert says; a restore keeps its own.';

create function bulwark_private.audit_groups_refuse_change()
  returns trigger
  language plpgsql
  security definer            -- definer because no client can read prunings
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and exists (
    select from bulwark_private.audit_prunings p
    where p.xid = pg_current_xact_id() and old.seal <= p.through_seal
  ) then
    return old;
  end if;
  raise exception 'Cannot change the audit log: seals are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_groups_refuse_change() is
  'Trigger: groups are deleted only with the pruned prefix they belong to.';

create trigger audit_seals_extend_chain
  before insert on bulwark_private.audit_seals
  for each row execute function bulwark_private.audit_seals_extend_chain();
create trigger audit_seals_refuse_change
  before update or delete on bulwark_private.audit_seals
  for each row execute function bulwark_private.refuse_change();
create trigger audit_seals_refuse_truncate
  before truncate on bulwark_private.audit_seals
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_groups_refuse_change
  before update or delete on bulwark_private.audit_groups
  for each row execute function bulwark_private.audit_groups_refuse_change();
create trigger audit_groups_refuse_truncate
  before truncate on bulwark_private.audit_groups
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_seals enable always trigger audit_seals_extend_chain;
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_truncate;
alter table bulwark_private.audit_groups enable always trigger audit_groups_refuse_change;
alter table bulwark_private.audit_groups enable always trigger audit_groups_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest('{bulwark_private.audit_seals, bulwark_private.audit_groups}'::regclass[]) as r;
