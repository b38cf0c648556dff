-- Audit findings: one function for each way in which the log can differ from its seals.
-- Protects against a log that was altered around its triggers: an entry changed, removed, inserted
-- or moved, and a seal altered or dropped.
-- No function here is SECURITY DEFINER.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_overdue_seconds', '180',
    'Entries that wait longer for a seal make the log incomplete in verification'),
  ('audit.clock_tolerance_seconds', '300',
    'Tolerated difference between the time of an entry and the seals around it');

create function bulwark_private.name_bad_entry(seal bigint, organization uuid)
  returns table (problem text, entry uuid, detail text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with found as (
    select e.id, e.leaf, row_number() over (order by e.timeline, e.xid, e.id) as place
    from bulwark_private.audit_seal_ranges s
    cross join bulwark_private.audit_span(seal, seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, false, organization, first_id => i.first_id, last_id => i.last_id
    ) e
    where s.number = seal
  ),
  stored as (
    select g.leaves
    from bulwark_private.audit_groups g
    where g.seal = name_bad_entry.seal and g.organization_id is not distinct from organization
  ),
  sealed as (
    select i + 1 as place, substring(g.leaves from i * 32 + 1 for 32) as leaf
    from stored g
    cross join lateral generate_series(0, octet_length(g.leaves) / 32 - 1) as i
  ),
  counts as (
    select
      (select count(*) from sealed) as sealed,
      greatest(
        (select count(*) from found f where f.leaf not in (select s.leaf from sealed s)),
        (select count(*) from sealed s where s.leaf not in (select f.leaf from found f))
      ) as bad
  ),
  foreign_entry as (
    select f.id, f.place from found f
    where f.leaf not in (select s.leaf from sealed s)
    order by f.place limit 1
  ),
  lost_entry as (
    select s.place from sealed s
    where s.leaf not in (select f.leaf from found f)
    order by s.place limit 1
  )
  select
    case
      when f.id is null then 'entry_missing'
      when l.place is null then 'entry_inserted'
      else 'entry_altered'
    end,
    f.id,
    case
      when f.id is null then format(
        'entry %s of %s in seal %s is gone, after entry %s', l.place, c.sealed, seal,
        coalesce(
          (
            select p.id::text
            from found p
            join sealed s on s.leaf = p.leaf
            where s.place < l.place
            order by s.place desc
            limit 1
          ),
          'none'
        )
      )
      when l.place is null then format('seal %s has no such entry', seal)
      else format('entry %s of %s in seal %s is not as it was sealed', f.place, c.sealed, seal)
    end || case when c.bad > 1 then format(', and %s more', c.bad - 1) else '' end
  from counts c
  left join foreign_entry f on true
  left join lost_entry l on true;
$$;
comment on function bulwark_private.name_bad_entry(bigint, uuid) is
  'Names the first entry of an organization that differs from the leaves of a seal, and how it
   differs.';

create function bulwark_private.audit_seal_problems(
  first_seal bigint,
  last_seal bigint,
  pruned bigint
)
  returns table (seal bigint, problem text, detail text, missing boolean)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with chain as (
    select
      s.*,
      lag(s.number, 1, case when first_seal = 1 then 0 end) over w as number_before,
      lag(s.hash, 1, decode(repeat('00', 32), 'hex')) over w as hash_before,
      -- A seal goes on where the one before it, if that is continued, ends.
      lag(s.through) over w is not null and (
        s.through <= lag(s.through) over w
        or (s.timeline, s.snapshot::text)
          is distinct from (lag(s.timeline) over w, lag(s.snapshot::text) over w)
      ) as elsewhere,
      lag(s.sealed_at, 1, s.sealed_at) over w as sealed_before
    from bulwark_private.audit_seals s
    where s.number between first_seal - 1 and last_seal
    window w as (order by s.number)
  ),
  -- The groups of all organizations, for every caller: only a root computed without an organization
  -- proves that it has no entry in a seal. Materialized, so that each group is hashed once.
  trees as materialized (
    select
      g.seal,
      bool_or(g.hash is distinct from g.computed) as altered,
      bulwark_private.merkle_root(string_agg(g.computed, '' order by g.position)) as root
    from (
      select k.seal, k.position, k.hash, bulwark_private.audit_group_hash(
        k.organization_id, k.seal, k.entry_count, k.entries_before, k.previous, k.root
      ) as computed
      from bulwark_private.audit_groups k
      where k.seal between greatest(first_seal, pruned + 1) and last_seal
      offset 0
    ) g
    group by g.seal
  )
  select
    c.number,
    case
      when c.number_before is distinct from c.number - 1 then 'seal_missing'
      when c.previous_hash is distinct from c.hash_before or c.elsewhere then 'chain_broken'
      else 'seal_altered'
    end,
    case
      when c.number_before is distinct from c.number - 1
        then format('before seal %s at least one is gone', c.number)
      when c.previous_hash is distinct from c.hash_before or c.elsewhere
        then format('seal %s does not follow from the one before', c.number)
      else format('seal %s is not what its hash says', c.number)
    end,
    c.number_before is distinct from c.number - 1
  from chain c
  where c.number >= first_seal
    and (
      c.number_before is distinct from c.number - 1
      or c.previous_hash is distinct from c.hash_before
      or c.elsewhere
      or c.hash is distinct from bulwark_private.audit_seal_hash(
        c.number, c.previous_hash, c.root, c.timeline, c.sealed_at, c.snapshot, c.through
      )
      -- Null if a seal that it needs is gone, which is a finding of its own.
      or c.nodes <> bulwark_private.audit_seal_nodes(c.number, c.hash)
      or c.sealed_at < c.sealed_before
    )
  union all
  select
    s.number, 'group_altered',
    format('the organizations'' trees of seal %s do not make its root', s.number),
    -- If the seal and all groups match their own hashes, a group is gone.
    not coalesce(t.altered, false) and s.hash is not distinct from bulwark_private.audit_seal_hash(
      s.number, s.previous_hash, s.root, s.timeline, s.sealed_at, s.snapshot, s.through
    )
  from bulwark_private.audit_seals s
  left join trees t on t.seal = s.number
  where s.number between greatest(first_seal, pruned + 1) and last_seal
    and (
      coalesce(t.altered, false)
      or coalesce(t.root, bulwark_private.merkle_root('')) is distinct from s.root
    );
$$;
comment on function bulwark_private.audit_seal_problems(bigint, bigint, bigint) is
  'Problems of a range of seals themselves: gaps, links, hashes, and the trees under them. An
   organization has no entry in a seal only if the root is that of the other groups. missing:
   something is gone, not only changed.';

create function bulwark_private.compare_audit_groups(
  first_seal bigint,
  last_seal bigint,
  everybody boolean,
  organization uuid
)
  returns table (
    seal bigint,
    organization_id uuid,
    entries bigint,
    removed bigint,
    records uuid[],
    altered boolean,
    differs boolean,
    mistimed boolean
  )
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with tolerated as materialized (
    select make_interval(
      secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
    ) as time
  ),
  sealed as (
    select s.number, s.range, s.sealed_at, s.base_sealed_at
    from bulwark_private.audit_seal_ranges s
    -- Without the seal before it the new entries are unknown; the gap is reported already.
    where s.number between first_seal and last_seal and s.known
  ),
  found as (
    select
      s.number as seal,
      e.organization_id,
      count(*) as entries,
      count(e.removed_by) as removed,
      array_agg(distinct e.removed_by) filter (where e.removed_by is not null) as records,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves,
      -- Whether audit_backdated can find something here, which is milder on open transactions.
      coalesce(
        min(e.occurred_at) < s.base_sealed_at - (select t.time from tolerated t), false
      )
      or max(e.occurred_at) > s.sealed_at + (select t.time from tolerated t)
      -- The first six bytes of the id are the milliseconds of its time; infinity has none.
      or bool_or(case
        when not isfinite(e.occurred_at) then true
        else substring(uuid_send(e.id) from 1 for 6) not between
          substring(int8send((date_part('epoch', e.occurred_at) * 1000)::bigint - 1000) from 3)
          and substring(int8send((date_part('epoch', e.occurred_at) * 1000)::bigint + 1000) from 3)
      end) as mistimed
    from sealed s
    cross join bulwark_private.audit_span(first_seal, last_seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, everybody, organization, first_id => i.first_id, last_id => i.last_id
    ) e
    group by s.number, s.sealed_at, s.base_sealed_at, e.organization_id
  ),
  chained as (
    select
      g.*,
      lag(g.hash) over w as hash_before,
      lag(g.entries_before + g.entry_count) over w as counted_before
    from bulwark_private.audit_groups g
    where g.seal between first_seal and last_seal
      and (everybody or g.organization_id is not distinct from organization)
    window w as (partition by g.organization_id order by g.seal)
  ),
  kept as (
    select
      c.seal, c.organization_id, c.entry_count, c.leaves, c.root, c.previous, c.entries_before,
      coalesce(c.hash_before, b.hash) as hash_before,
      coalesce(c.counted_before, b.entries_before + b.entry_count) as counted_before
    from chained c
    -- offset 0 keeps the condition inside, so that the look-up runs only for groups that differ.
    left join lateral (
      select p.* from bulwark_private.audit_group_before(c.organization_id, c.seal) p
      where c.hash_before is null
      offset 0
    ) b on true
  ),
  compared as (
    select
      coalesce(k.seal, f.seal) as seal,
      coalesce(k.organization_id, f.organization_id) as organization_id,
      coalesce(f.entries, 0) as entries,
      coalesce(f.removed, 0) as removed,
      f.records,
      k.leaves,
      case
        when k.previous is distinct from coalesce(k.hash_before, decode(repeat('00', 32), 'hex'))
          or k.entries_before is distinct from coalesce(k.counted_before, 0)
          or k.root is distinct from bulwark_private.merkle_root(k.leaves)
          or k.entry_count is distinct from octet_length(k.leaves) / 32
        then k.seal is not null
        else false
      end as altered,
      k.leaves is distinct from f.leaves as differs,
      coalesce(f.mistimed, false) as mistimed
    from found f
    full join kept k
      on k.seal = f.seal
      and coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
        = coalesce(f.organization_id, '00000000-0000-0000-0000-000000000000')
  )
  select
    c.seal, c.organization_id, c.entries, c.removed, c.records, c.altered, c.differs, c.mistimed
  from compared c
  where c.seal in (select s.number from sealed s);
$$;
comment on function bulwark_private.compare_audit_groups(bigint, bigint, boolean, uuid) is
  'Compares each organization''s entries in a range of seals, hashed again, with the sealed hashes.
   altered: the stored tree does not match its own hash. differs: the entries do not match the
   tree. mistimed: a time needs the closer look of audit_backdated.';
