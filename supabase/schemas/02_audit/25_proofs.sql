-- Audit proofs: that an entry is in the log, and that a later log contains an earlier one.
-- Protects against a log that shows different contents to different readers: a proof and the public
-- key are enough to verify it without the database.
-- SECURITY DEFINER: audit_inclusion_proof, audit_consistency_proof, audit_group_nodes, because no
--   client can read seals.

create function bulwark_private.base64_array(hashes bytea[])
  returns jsonb
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(bulwark_private.base64(h) order by place), '[]')
  from unnest(hashes) with ordinality as t (h, place);
$$;
comment on function bulwark_private.base64_array(bytea[]) is
  'A path as JSON: an array of base64 hashes.';

create function bulwark_private.time_json(moment timestamptz)
  returns text
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end;
$$;
comment on function bulwark_private.time_json(timestamptz) is
  'RFC 3339 in UTC, to the microsecond.';

create function bulwark_private.time_microseconds(moment timestamptz)
  returns bigint
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return ('x' || encode(timestamptz_send(moment), 'hex'))::bit(64)::bigint;
end;
$$;
comment on function bulwark_private.time_microseconds(timestamptz) is
  'Microseconds since 2000-01-01 UTC, as hashed.';

-- A view and text: a function with settings, or jsonb, costs each entry of an export several times
-- as much.
create view bulwark_private.audit_records with (security_invoker = true) as
  select
    c.*,
    concat(
      '"id":"', c.id,
      '","organization_id":', coalesce('"' || c.organization_id::text || '"', 'null'),
      ',"timeline":', c.timeline,
      ',"xid":"', c.xid,
      '","occurred_at":"',
      to_char(c.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      '","occurred_at_us":',
      ('x' || encode(timestamptz_send(c.occurred_at), 'hex'))::bit(64)::bigint,
      ',"source":"', c.source,
      '","severity":"', c.severity,
      '","result":"', c.result,
      '","event_type":', to_json(c.event_type),
      ',"resource_type":', coalesce(to_json(c.resource_type)::text, 'null'),
      case
        when c.removed_by is null
        then concat(',"salt":"', c.salt, '","payload":', to_json(c.payload))
        else concat(
          ',"commitment":"', translate(encode(c.commitment, 'base64'), E'\n', ''),
          '","removed_by":"', c.removed_by, '"'
        )
      end
    ) as members
  from bulwark_private.audit_commitments c;
comment on view bulwark_private.audit_records is
  'Every entry with the members of its JSON object in proofs and exports, of which one is the exact
   text of its payload.';

create function bulwark_private.audit_group_json(grouped bulwark_private.audit_groups)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'organization_id', grouped.organization_id,
    'seal', grouped.seal,
    'entry_count', grouped.entry_count,
    'entries_before', grouped.entries_before,
    'previous', bulwark_private.base64(grouped.previous),
    'root', bulwark_private.base64(grouped.root)
  );
$$;
comment on function bulwark_private.audit_group_json(bulwark_private.audit_groups) is
  'An organization''s group in a seal, in the JSON of proofs and exports.';

create function bulwark_private.audit_group_proof(seal bigint, organization uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_checkpoint bulwark.audit_checkpoints;
  v_group bulwark_private.audit_groups;
  v_hashes bytea;
  v_seal bulwark_private.audit_seals;
  v_size bigint;
begin
  select * into v_group
  from bulwark_private.audit_groups g
  where g.seal = audit_group_proof.seal and g.organization_id is not distinct from organization;
  select * into v_seal from bulwark_private.audit_seals s where s.number = audit_group_proof.seal;
  if v_group.seal is null or v_seal.number is null then
    return null;
  end if;
  select string_agg(g.hash, '' order by g.position) into v_hashes
  from bulwark_private.audit_groups g where g.seal = audit_group_proof.seal;
  select * into v_checkpoint
  from bulwark.audit_checkpoints c
  where c.tree_size >= audit_group_proof.seal
  order by c.tree_size desc
  limit 1;
  v_size := coalesce(
    v_checkpoint.tree_size, (select max(s.number) from bulwark_private.audit_seals s)
  );
  return jsonb_build_object(
    'group', bulwark_private.audit_group_json(v_group),
    'group_index', v_group.position,
    'group_count', octet_length(v_hashes) / 32,
    'group_path', bulwark_private.base64_array(
      bulwark_private.merkle_path(v_hashes, v_group.position)
    ),
    'seal', jsonb_build_object(
      'number', v_seal.number,
      'previous_hash', bulwark_private.base64(v_seal.previous_hash),
      'root', bulwark_private.base64(v_seal.root),
      'timeline', v_seal.timeline,
      'sealed_at', bulwark_private.time_json(v_seal.sealed_at),
      'sealed_at_us', bulwark_private.time_microseconds(v_seal.sealed_at),
      'snapshot', v_seal.snapshot::text,
      'through', case
        when v_seal.through is not null
        then bulwark_private.base64(bulwark_private.audit_position_hash(v_seal.through))
      end,
      'hash', bulwark_private.base64(v_seal.hash)
    ),
    'tree_index', v_seal.number - 1,
    'tree_size', v_size,
    'tree_path', bulwark_private.base64_array(
      bulwark_private.audit_tree_path(v_seal.number - 1, v_size)
    ),
    'tree_root', bulwark_private.base64(bulwark_private.audit_tree_root(v_size)),
    'checkpoint', v_checkpoint.note
  );
end;
$$;
comment on function bulwark_private.audit_group_proof(bigint, uuid) is
  'The proof from an organization''s group through its seal to the newest checkpoint or, if none
   covers it yet, to the present tree. Of other organizations it contains only hashes.';

create function bulwark.audit_inclusion_proof(entry_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_entry bulwark_private.audit_commitments;
  v_group bulwark_private.audit_groups;
  v_index bigint;
  v_seal bigint;
begin
  perform bulwark_private.require_caller();
  select * into v_entry from bulwark_private.audit_commitments e where e.id = entry_id;
  -- For any id of an archived month, so that nobody learns whether there was such an entry.
  if v_entry.id is null and entry_id < (
    select a.end_id from bulwark.audit_archives a
    where a.archived_at is not null
    order by a.month desc
    limit 1
  ) then
    raise exception 'Cannot prove the entry: its month is archived'
      using errcode = 'PT410', detail = 'AUDIT_ENTRY_ARCHIVED',
            hint = 'The archive''s files prove it: see audit_archive_files';
  end if;
  -- The same answer for an entry that does not exist and one that the caller may not read.
  if v_entry.id is null or not bulwark_private.caller_is_service() and not bulwark.is_super_admin()
    and (
      v_entry.organization_id is null
      or v_entry.organization_id not in (select bulwark.organizations_with('audit:read'))
    ) then
    raise exception 'Cannot prove the entry: there is none here that you may read'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ENTRY',
        hint = 'Find entries with search_audit_logs';
  end if;
  v_seal := bulwark_private.audit_seal_of(v_entry.timeline, v_entry.xid, v_entry.id);
  if v_seal is null then
    raise exception 'Cannot prove the entry: it is not sealed yet'
      using errcode = 'PT409', detail = 'AUDIT_NOT_SEALED_YET', hint = 'Try again in a second';
  end if;
  select * into v_group
  from bulwark_private.audit_groups g
  where g.seal = v_seal and g.organization_id is not distinct from v_entry.organization_id;
  select position(l.leaf in v_group.leaves) - 1 into v_index
  from bulwark_private.audit_leaves l where l.id = entry_id;
  if (v_index >= 0 and v_index % 32 = 0) is not true then
    raise exception 'Cannot prove the entry: it is not what was sealed'
      using errcode = 'data_corrupted', detail = 'AUDIT_ENTRY_ALTERED',
            hint = 'Run verify_audit_log';
  end if;
  return bulwark_private.audit_group_proof(v_seal, v_entry.organization_id) || jsonb_build_object(
    'entry', (
      select concat('{', r.members, '}')::json
      from bulwark_private.audit_records r where r.id = entry_id
    ),
    'entry_index', v_index / 32,
    'entry_path', bulwark_private.base64_array(
      bulwark_private.merkle_path(v_group.leaves, v_index / 32)
    )
  );
end;
$$;
comment on function bulwark.audit_inclusion_proof(uuid) is
  'Proves that an entry (audit:read in its organization) is in the log: from the entry to its
   organization''s root, to its seal, to the newest checkpoint. Errors: AUDIT_UNKNOWN_ENTRY,
   AUDIT_ENTRY_ARCHIVED, AUDIT_NOT_SEALED_YET, AUDIT_ENTRY_ALTERED.';

create function bulwark.audit_consistency_proof(from_size bigint, to_size bigint)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_size bigint := coalesce((select max(s.number) from bulwark_private.audit_seals s), 0);
begin
  perform bulwark_private.require_caller();
  -- RFC 9162 defines no proof from size 0: every log contains the empty one.
  if (from_size between 1 and to_size and to_size <= v_size) is not true then
    raise exception 'Cannot prove consistency: the sizes are not 1 <= from <= to <= %', v_size
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  return jsonb_build_object(
    'from_size', from_size,
    'to_size', to_size,
    'from_root', bulwark_private.base64(bulwark_private.audit_tree_root(from_size)),
    'to_root', bulwark_private.base64(bulwark_private.audit_tree_root(to_size)),
    'path', bulwark_private.base64_array(bulwark_private.audit_tree_consistency(from_size, to_size))
  );
end;
$$;
comment on function bulwark.audit_consistency_proof(bigint, bigint) is
  'Proves that the log of to_size seals contains that of from_size seals unchanged (RFC 9162 2.1.4).
   For anyone signed in, from size 1 on. Errors: AUDIT_INVALID_RANGE and those of
   bulwark_private.require_user.';

create function bulwark_private.merkle_nodes(leaves bytea, first bigint, last bigint)
  returns bytea[]
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_nodes bytea[] := array[]::bytea[];
  v_place bigint := first;
  v_width bigint;
begin
  while v_place < last loop
    v_width := 1;
    while v_place % (v_width * 2) = 0 and v_place + v_width * 2 <= last loop
      v_width := v_width * 2;
    end loop;
    v_nodes := v_nodes || bulwark_private.merkle_root(
      substring(leaves from (v_place * 32 + 1)::integer for (v_width * 32)::integer)
    );
    v_place := v_place + v_width;
  end loop;
  return v_nodes;
end;
$$;
comment on function bulwark_private.merkle_nodes(bytea, bigint, bigint) is
  'The roots of the fewest full subtrees that cover the leaves from first (from 0) up to last.';

create function bulwark.audit_group_nodes(
  seal bigint,
  first bigint,
  last bigint,
  organization_id uuid default null
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_leaves bytea;
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  select g.leaves into v_leaves
  from bulwark_private.audit_groups g
  where g.seal = audit_group_nodes.seal
    and g.organization_id is not distinct from audit_group_nodes.organization_id;
  if (0 <= first and first <= last and last <= octet_length(v_leaves) / 32) is not true then
    raise exception 'Cannot prove a part of the seal: it has no such entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  return bulwark_private.base64_array(bulwark_private.merkle_nodes(v_leaves, first, last));
end;
$$;
comment on function bulwark.audit_group_nodes(bigint, bigint, bigint, uuid) is
  'For an export that begins or ends within a seal (audit:export; null: the entries without an
   organization): the nodes that cover the organization''s entries first to last, which are not in
   the export, so that its entries lead to the root. Errors: AUDIT_INVALID_RANGE,
   RBAC_PERMISSION_DENIED.';
