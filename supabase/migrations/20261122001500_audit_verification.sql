-- Audit verification: reads the log against its seals and says what differs.
-- Protects against a log that somebody altered around its triggers: an entry changed, removed,
-- inserted or moved, a payload stripped without a record, a seal altered or dropped, a tail cut off
-- behind a checkpoint, and entries that nobody seals.
-- SECURITY DEFINER: verify_audit_log, because seals are for no client, and an organization's own
--   entries are read beside those of others that share a seal.

insert into private.settings (name, value, description) values
  ('audit.seal_overdue_seconds', '180',
    'An entry older than this without a seal makes verification call the log incomplete');

create function private.require_audit(permission text, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is not null then
    perform private.require_permission(permission, organization_id);
  elsif not private.caller_is_service() and not private.is_super_admin() then
    raise exception 'Cannot proceed: the log of the whole installation is for a super_admin'
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
            hint = 'Name an organization';
  end if;
end;
$$;
comment on function private.require_audit(text, uuid) is
  'Guard for functions on the audit log: the permission in the organization or, without one, a
   super_admin or the service role. Raises RBAC_PERMISSION_DENIED.';

create function private.audit_seal_of(era integer, xid xid8)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select s.number
      from private.audit_seals s
      where s.era = audit_seal_of.era
        and pg_snapshot_xmax(s.snapshot) > audit_seal_of.xid
        and pg_visible_in_snapshot(audit_seal_of.xid, s.snapshot)
      order by pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    ),
    (
      select s.number
      from private.audit_seals s
      where s.era > audit_seal_of.era
      order by s.era, pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    )
  );
$$;
comment on function private.audit_seal_of(integer, xid8) is
  'The number of the seal that holds what a transaction wrote; null while there is none.';

create function private.audit_entry_is_sealed(entry_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from private.audit_leaves e
    join private.audit_groups g
      on g.seal = private.audit_seal_of(e.era, e.xid)
      and g.organization_id is not distinct from e.organization_id
    -- At one of the places of 32 bytes, not anywhere in the bytes.
    where e.id = entry_id and position(e.leaf in g.leaves) % 32 = 1
  );
$$;
comment on function private.audit_entry_is_sealed(uuid) is
  'Whether an entry is, as it stands, among the leaves of its seal.';

create function private.audit_digest(ids uuid[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(sha256(coalesce(string_agg(uuid_send(id), '' order by id), '')), 'base64')
  from unnest(ids) as id;
$$;
comment on function private.audit_digest(uuid[]) is
  'SHA-256 over ids in rising order, base64: how a removal record says which entries it covers.';

create function private.audit_removal_problem(record_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_digest text;
  v_record jsonb;
begin
  select e.details into v_record
  from public.audit_logs e
  where e.id = record_id
    and e.event_type = 'compliance.data_deleted'
    and e.source = 'service'
    and (private.audit_seal_of(e.era, e.xid) is null or private.audit_entry_is_sealed(e.id));
  if not found then
    return 'removal_without_record';
  end if;
  -- Pruning takes part of what a record covers; the tombstone says what is left of it.
  select coalesce(
    (
      select e.details -> 'removals' -> audit_removal_problem.record_id::text
      from private.audit_prunings p
      join public.audit_logs e on e.id = p.record_id
      where e.details -> 'removals' ? audit_removal_problem.record_id::text
      order by p.through_seal desc
      limit 1
    ),
    v_record
  )
  into v_record;
  select count(*), private.audit_digest(array_agg(e.id)) into v_count, v_digest
  from public.audit_logs e
  where e.removed_by = record_id;
  if (v_record ->> 'entries')::bigint is distinct from v_count
    or v_record ->> 'digest' is distinct from v_digest then
    return 'removal_record_differs';
  end if;
  return null;
end;
$$;
comment on function private.audit_removal_problem(uuid) is
  'What is wrong with the record under which payloads were removed, or null: it has to exist, to be
   as it was sealed, and to cover exactly the entries that name it.';

create function private.name_bad_entry(seal bigint, organization uuid)
  returns table (problem text, entry uuid, detail text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with found as (
    select e.id, e.leaf, row_number() over (order by e.era, e.xid, e.id) as place
    from private.audit_seals s
    left join private.audit_seals p on p.number = s.number - 1
    cross join lateral private.audit_entries(
      p.era, p.snapshot, s.era, s.snapshot, false, organization
    ) e
    where s.number = seal
  ),
  stored as (
    select g.leaves
    from private.audit_groups g
    where g.seal = name_bad_entry.seal and g.organization_id is not distinct from organization
  ),
  sealed as (
    select i + 1 as place, substring(g.leaves from i * 32 + 1 for 32) as leaf
    from stored g
    cross join lateral generate_series(0, octet_length(g.leaves) / 32 - 1) as i
  ),
  counts as (
    select (select count(*) from found) as found, (select count(*) from sealed) as sealed
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
    end
  from counts c
  left join foreign_entry f on true
  left join lost_entry l on true;
$$;
comment on function private.name_bad_entry(bigint, uuid) is
  'Which entry of an organization differs from the leaves that a seal has, and how.';

create function private.audit_seal_problems(
  first_seal bigint,
  last_seal bigint,
  pruned bigint,
  everybody boolean,
  organization uuid
)
  returns table (seal bigint, problem text, detail text)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with chain as (
    select
      s.*,
      lag(s.number, 1, case when first_seal = 1 then 0 end) over w as number_before,
      lag(s.hash, 1, decode(repeat('00', 32), 'hex')) over w as hash_before,
      lag(s.sealed_at, 1, s.sealed_at) over w as sealed_before
    from private.audit_seals s
    where s.number between first_seal - 1 and last_seal
    window w as (order by s.number)
  )
  select
    c.number,
    case
      when c.number_before is distinct from c.number - 1 then 'seal_missing'
      when c.previous_hash is distinct from c.hash_before then 'chain_broken'
      else 'seal_altered'
    end,
    case
      when c.number_before is distinct from c.number - 1
        then format('before seal %s at least one is gone', c.number)
      when c.previous_hash is distinct from c.hash_before
        then format('seal %s does not follow from the one before', c.number)
      else format('seal %s is not what its hash says', c.number)
    end
  from chain c
  where c.number >= first_seal
    and (
      c.number_before is distinct from c.number - 1
      or c.previous_hash is distinct from c.hash_before
      or c.hash is distinct from private.audit_seal_hash(
        c.number, c.previous_hash, c.root, c.era, c.sealed_at, c.snapshot
      )
      -- Null where a seal that it needs is gone, which is a finding of its own.
      or c.nodes <> private.audit_seal_nodes(c.number, c.hash)
      or c.sealed_at < c.sealed_before
    )
  union all
  select
    s.number, 'group_altered',
    format('the organizations'' trees of seal %s do not make its root', s.number)
  from private.audit_seals s
  left join (
    select g.seal, g.position, g.hash, private.audit_group_hash(
      g.organization_id, g.seal, g.entry_count, g.entries_before, g.previous, g.root
    ) as computed
    from private.audit_groups g
    where g.seal between greatest(first_seal, pruned + 1) and last_seal
    offset 0
  ) h on h.seal = s.number
  where s.number between greatest(first_seal, pruned + 1) and last_seal
    and (
      everybody or exists (
        select from private.audit_groups g
        where g.seal = s.number and g.organization_id is not distinct from organization
      )
    )
  group by s.number, s.root
  having bool_or(h.hash is distinct from h.computed)
    or private.merkle_root(coalesce(string_agg(h.computed, '' order by h.position), ''))
      is distinct from s.root;
$$;
comment on function private.audit_seal_problems(bigint, bigint, bigint, boolean, uuid) is
  'What is wrong with a range of seals themselves: gaps, links, hashes, and the trees under them (of
   one organization: where it has a part).';

create function private.compare_audit_groups(
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
    differs boolean
  )
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with sealed as (
    select s.number, s.era, s.snapshot, p.era as after_era, p.snapshot as after_snapshot
    from private.audit_seals s
    left join private.audit_seals p on p.number = s.number - 1
    where s.number between first_seal and last_seal
      -- Without the seal before nobody can say what was new; that it is gone is a finding already.
      and (s.number = 1 or p.number is not null)
  ),
  found as (
    select
      s.number as seal,
      e.organization_id,
      count(*) as entries,
      count(e.removed_by) as removed,
      array_agg(distinct e.removed_by) filter (where e.removed_by is not null) as records,
      string_agg(e.leaf, '' order by e.era, e.xid, e.id) as leaves
    from sealed s
    cross join lateral private.audit_entries(
      s.after_era, s.after_snapshot, s.era, s.snapshot, everybody, organization
    ) e
    group by s.number, e.organization_id
  ),
  chained as (
    select
      g.*,
      lag(g.hash) over w as hash_before,
      lag(g.entries_before + g.entry_count) over w as counted_before
    from private.audit_groups g
    where g.seal between first_seal and last_seal
      and (everybody or g.organization_id is not distinct from organization)
    window w as (partition by g.organization_id order by g.seal)
  ),
  kept as (
    select
      c.seal, c.organization_id, c.entry_count, c.leaves, c.root, c.previous, c.entries_before,
      coalesce(c.hash_before, b.hash) as hash_before,
      coalesce(c.counted_before, b.counted) as counted_before
    from chained c
    -- offset 0 keeps the condition inside, so that the look-up runs where it is needed only.
    left join lateral (
      select p.* from private.audit_group_before(c.organization_id, c.seal) p
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
          or k.root is distinct from private.merkle_root(k.leaves)
          or k.entry_count is distinct from octet_length(k.leaves) / 32
        then k.seal is not null
        else false
      end as altered,
      k.leaves is distinct from f.leaves as differs
    from found f
    full join kept k
      on k.seal = f.seal
      and coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
        = coalesce(f.organization_id, '00000000-0000-0000-0000-000000000000')
  )
  select c.seal, c.organization_id, c.entries, c.removed, c.records, c.altered, c.differs
  from compared c
  where c.seal in (select s.number from sealed s);
$$;
comment on function private.compare_audit_groups(bigint, bigint, boolean, uuid) is
  'Each organization''s entries in a range of seals, hashed anew and compared with what was sealed:
   altered where the stored tree is not what it says, differs where the entries are not the
   tree''s.';

create function private.audit_unsealed(everybody boolean, organization uuid)
  returns table (entries bigint, first_entry uuid)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with last_seal as (
    select s.era, s.snapshot from private.audit_seals s order by s.number desc limit 1
  ),
  waiting as (
    select e.id, e.organization_id, e.occurred_at
    from last_seal s
    join public.audit_logs e on e.era = s.era and e.xid >= pg_snapshot_xmax(s.snapshot)
    union all
    select e.id, e.organization_id, e.occurred_at
    from last_seal s
    cross join lateral pg_snapshot_xip(s.snapshot) as open (xid)
    join public.audit_logs e on e.era = s.era and e.xid = open.xid
    union all
    select e.id, e.organization_id, e.occurred_at
    from public.audit_logs e
    where e.era > coalesce((select s.era from last_seal s), -1)
  )
  select count(*), (array_agg(w.id order by w.id))[1]
  from waiting w
  where w.occurred_at < now() - make_interval(
      secs => (private.setting('audit.seal_overdue_seconds'))::integer
    )
    and (everybody or w.organization_id is not distinct from organization);
$$;
comment on function private.audit_unsealed(boolean, uuid) is
  'How many committed entries have waited for a seal longer than audit.seal_overdue_seconds.';

create function private.verify_audit_log(
  organization_id uuid,
  since timestamptz,
  until timestamptz,
  after_seal bigint,
  max_entries integer,
  max_seconds integer
)
  returns table (
    intact boolean,
    complete boolean,
    problem text,
    seal bigint,
    entry uuid,
    detail text,
    problems bigint,
    seals_checked bigint,
    entries_checked bigint,
    payloads_removed bigint,
    first_seal bigint,
    last_seal bigint,
    next_after_seal bigint
  )
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
declare
  v_chunk record;
  v_everybody constant boolean := organization_id is null;
  v_high bigint;
  v_last private.audit_seals;
  v_pruned bigint := coalesce((select max(p.through_seal) from private.audit_prunings p), 0);
  v_records uuid[] := array[]::uuid[];
  v_started constant timestamptz := clock_timestamp();
  v_stop bigint;
begin
  perform private.require_audit('audit:read', organization_id);
  if not (isfinite(since) and isfinite(until)) or since > until then
    raise exception 'Cannot verify the audit log: the range of time is empty or without end'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if max_entries < 1 or max_seconds < 1 or after_seal < 0 then
    raise exception 'Cannot verify the audit log: limits are positive'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  select * into v_last from private.audit_seals s order by s.number desc limit 1;
  intact := true;
  complete := true;
  problems := 0;
  seals_checked := 0;
  entries_checked := 0;
  payloads_removed := 0;
  first_seal := greatest(
    coalesce(after_seal, 0) + 1,
    case when since is not null then coalesce(
      (
        select s.number from private.audit_seals s
        where s.sealed_at >= verify_audit_log.since
        order by s.sealed_at, s.number
        limit 1
      ),
      v_last.number + 1
    ) end
  );
  v_stop := case
    when until is null then v_last.number
    else (
      select s.number from private.audit_seals s
      where s.sealed_at <= until
      order by s.sealed_at desc, s.number desc
      limit 1
    )
  end;
  last_seal := first_seal - 1;

  while last_seal < v_stop loop
    -- As many seals as hold 20,000 entries, or what is left of the limit; one at least.
    select coalesce(max(w.number), v_stop) into v_high
    from (
      select s.number, sum(g.entries) over (order by s.number) as entries
      from (
        select s.number from private.audit_seals s
        where s.number > last_seal and s.number <= v_stop
        order by s.number
        limit 1000
      ) s
      left join lateral (
        select sum(g.entry_count) as entries from private.audit_groups g where g.seal = s.number
      ) g on true
    ) w
    where coalesce(w.entries, 0) <= least(20000, max_entries - entries_checked)
      or w.number = last_seal + 1;

    for v_chunk in
      with compared as materialized (
        select * from private.compare_audit_groups(
          greatest(last_seal, v_pruned) + 1, v_high, v_everybody, verify_audit_log.organization_id
        )
      )
      select
        0 as kind, p.seal, p.problem, null::uuid as entry, p.detail,
        0::bigint as entries, 0::bigint as removed, null::uuid[] as records
      from private.audit_seal_problems(
        last_seal + 1, v_high, v_pruned, v_everybody, verify_audit_log.organization_id
      ) p
      union all
      select
        1, c.tree_size, 'checkpoint_differs', null,
        format('the checkpoint of seal %s was signed over another tree', c.tree_size), 0, 0, null
      from public.audit_checkpoints c
      where c.tree_size between last_seal + 1 and v_high
        -- Null where a seal of the tree is gone, which is a finding of its own.
        and c.root_hash <> private.audit_tree_root(c.tree_size)
      union all
      select
        2, c.seal, 'group_altered', null,
        format('the leaves of an organization in seal %s were changed', c.seal), 0, 0, null
      from compared c
      where c.altered
      union all
      select 3, c.seal, b.problem, b.entry, b.detail, 0, 0, null
      from (select * from compared c where c.differs and not c.altered offset 0) c
      cross join lateral private.name_bad_entry(c.seal, c.organization_id) b
      union all
      select
        4, v_high, null, null, null, sum(c.entries), sum(c.removed),
        array(
          select distinct r from compared k cross join lateral unnest(k.records) as r
        )
      from compared c
      order by 2, 1
    loop
      entries_checked := entries_checked + coalesce(v_chunk.entries, 0);
      payloads_removed := payloads_removed + coalesce(v_chunk.removed, 0);
      v_records := v_records || v_chunk.records;
      if v_chunk.problem is not null then
        problems := problems + 1;
        if v_chunk.problem in ('seal_missing', 'entry_missing') then
          complete := false;
        else
          intact := false;
        end if;
        if problem is null then
          problem := v_chunk.problem;
          seal := v_chunk.seal;
          entry := v_chunk.entry;
          detail := v_chunk.detail;
        end if;
      end if;
    end loop;
    seals_checked := seals_checked + v_high - last_seal;
    last_seal := v_high;
    exit when entries_checked >= max_entries
      or clock_timestamp() - v_started > make_interval(secs => max_seconds);
  end loop;
  if last_seal < v_stop then
    next_after_seal := last_seal;
  end if;

  -- What is not wrong with any entry but missing around them.
  for v_chunk in
    select r.problem, null::bigint as seal,
      (
        select e.id from public.audit_logs e where e.removed_by = r.record order by e.id limit 1
      ) as entry,
      format('its payload was removed under record %s, which does not cover it', r.record) as detail
    from (
      select record, private.audit_removal_problem(record) as problem
      from (select distinct unnest(v_records) as record) d
    ) r
    where r.problem is not null
    union all
    select 'pruning_without_record', p.through_seal, p.record_id,
      format('the log was pruned through seal %s without a sealed record', p.through_seal)
    from private.audit_prunings p
    -- Earlier ones may have gone with the prefix that a later one took.
    where p.through_seal = v_pruned and not private.audit_pruning_is_recorded(v_pruned)
    union all
    select 'checkpoint_ahead', c.tree_size, null,
      format('seal %s was signed and is gone', c.tree_size)
    from public.audit_checkpoints c
    where c.tree_size > coalesce(v_last.number, 0)
    union all
    -- What no seal can ever hold: an era that never was, a prefix that is pruned.
    (
      select 'entry_inserted', null, e.id, 'the entry is of an era that the log never had'
      from public.audit_logs e
      where e.era < (select min(k.era) from private.audit_eras k)
        or e.era > (select max(k.era) from private.audit_eras k)
      limit 1
    )
    union all
    (
      select 'entry_inserted', p.through_seal, e.id, 'the entry lies in a part that was pruned'
      from private.audit_prunings p
      cross join lateral private.audit_entries(null, null, p.era, p.snapshot, hashed => false) e
      where p.through_seal = v_pruned
        and (v_everybody or e.organization_id = verify_audit_log.organization_id)
      limit 1
    )
    union all
    select 'entry_unsealed', null, u.first_entry,
      format('%s entries wait for a seal longer than they should', u.entries)
    from private.audit_unsealed(v_everybody, verify_audit_log.organization_id) u
    where u.entries > 0
    union all
    select 'gap_recorded', null, null,
      format('%s events of the auth schema could not be recorded', count(*))
    from private.audit_gaps g
    where v_everybody
      and g.noticed_at between coalesce(since, '-infinity') and coalesce(until, 'infinity')
    having count(*) > 0
  loop
    problems := problems + 1;
    intact := intact and v_chunk.problem <> 'entry_inserted';
    complete := complete and v_chunk.problem = 'entry_inserted';
    if problem is null then
      problem := v_chunk.problem;
      seal := v_chunk.seal;
      entry := v_chunk.entry;
      detail := v_chunk.detail;
    end if;
  end loop;
  return next;
end;
$$;
comment on function private.verify_audit_log(
  uuid, timestamptz, timestamptz, bigint, integer, integer
) is 'What public.verify_audit_log promises.';

-- In SQL, since PL/pgSQL takes no reserved words for the names that a caller would expect.
create function public.verify_audit_log(
  organization_id uuid default null,
  "from" timestamptz default null,
  "to" timestamptz default null,
  after_seal bigint default null,
  max_entries integer default 1000000,
  max_seconds integer default 5
)
  returns table (
    intact boolean,
    complete boolean,
    problem text,
    seal bigint,
    entry uuid,
    detail text,
    problems bigint,
    seals_checked bigint,
    entries_checked bigint,
    payloads_removed bigint,
    first_seal bigint,
    last_seal bigint,
    next_after_seal bigint
  )
  language sql
  stable
  rows 1
  security definer            -- definer because seals are for no client
  set search_path = pg_catalog, pg_temp
as $$
  select * from private.verify_audit_log(
    verify_audit_log.organization_id, "from", "to", after_seal, max_entries, max_seconds
  );
$$;
comment on function public.verify_audit_log(
  uuid, timestamptz, timestamptz, bigint, integer, integer
) is
  'Verifies the log of an organization (audit:read there; null: the whole installation, for a
   super_admin and the service role) over the seals made from one time to another. intact: nothing
   that is here was altered; complete: nothing is missing. problem names the first finding, with its
   seal and entry; problems counts them. It stops after max_entries or max_seconds, and
   next_after_seal is where to go on (after_seal), null at the end. Call seal_audit_log() before, in
   a request of its own, to include the last second. Errors: AUDIT_INVALID_RANGE,
   AUDIT_INVALID_LIMIT, RBAC_PERMISSION_DENIED.';

revoke all on function
  private.require_audit(text, uuid),
  private.audit_seal_of(integer, xid8), private.audit_entry_is_sealed(uuid),
  private.audit_digest(uuid[]), private.audit_removal_problem(uuid),
  private.name_bad_entry(bigint, uuid),
  private.audit_seal_problems(bigint, bigint, bigint, boolean, uuid),
  private.compare_audit_groups(bigint, bigint, boolean, uuid),
  private.audit_unsealed(boolean, uuid),
  private.verify_audit_log(uuid, timestamptz, timestamptz, bigint, integer, integer),
  public.verify_audit_log(uuid, timestamptz, timestamptz, bigint, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.verify_audit_log(uuid, timestamptz, timestamptz, bigint, integer, integer)
  to authenticated, service_role;
