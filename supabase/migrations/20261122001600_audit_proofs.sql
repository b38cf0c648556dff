-- Audit proofs: that an entry is in the log, that a later log contains an earlier one, and the
-- signed checkpoints both are measured against.
-- Protects against a rewritten or truncated tail: a checkpoint is signed outside the database with
-- a key that never enters it, so nobody who only holds the database can make another history.
-- SECURITY DEFINER: audit_tree_head, register_audit_key, store_audit_checkpoint,
--   record_audit_delivery, undelivered_audit_checkpoints, audit_inclusion_proof,
--   audit_consistency_proof, audit_status, because seals are for no client and checkpoints are
--   written by nobody directly.

create table public.audit_keys (
  key_id text primary key,
  name text not null,
  public_key bytea not null unique,
  registered_at timestamptz not null default now(),
  constraint audit_keys_key_id_format check (key_id ~ '^[0-9a-f]{8}$'),
  constraint audit_keys_name_format check (name ~ '^[^[:space:]+]{1,200}$'),
  constraint audit_keys_is_ed25519 check (octet_length(public_key) = 32)
);
comment on table public.audit_keys is
  'The Ed25519 public keys that checkpoints were signed with. A retired key stays, so that what it
   signed can be verified.';

create table public.audit_checkpoints (
  tree_size bigint primary key,
  root_hash bytea not null,
  key_id text not null references public.audit_keys (key_id),
  note text not null,
  signed_at timestamptz not null default clock_timestamp(),
  sink text,
  delivered_at timestamptz,
  delivery_error text,
  constraint audit_checkpoints_root_is_a_hash check (octet_length(root_hash) = 32),
  constraint audit_checkpoints_note_length check (octet_length(note) <= 8192)
);
comment on table public.audit_checkpoints is
  'Signed heads of the tree over all seals (C2SP tlog-checkpoint), and whether each left the
   database.';
create index audit_checkpoints_key_id_idx on public.audit_checkpoints (key_id);
create index audit_checkpoints_undelivered_idx on public.audit_checkpoints (tree_size)
  where delivered_at is null;

alter table public.audit_keys enable row level security;
alter table public.audit_checkpoints enable row level security;

create policy "Anyone signed in reads the keys of checkpoints"
  on public.audit_keys for select to authenticated
  using (true);

create policy "Anyone signed in reads checkpoints"
  on public.audit_checkpoints for select to authenticated
  using (true);

insert into private.settings (name, value, description) values
  ('audit.checkpoint_interval_seconds', '60',
    'How often the tree head is signed; three missed in a row are reported');

create function private.audit_tree_node(first_leaf bigint, width bigint)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_level integer := 0;
  v_node bytea;
  v_split bigint;
begin
  while (1::bigint << v_level) < width loop
    v_level := v_level + 1;
  end loop;
  -- A full, aligned subtree was stored by the seal that completed it.
  if (1::bigint << v_level) = width and first_leaf % width = 0 then
    select substring(s.nodes from v_level * 32 + 1 for 32) into v_node
    from private.audit_seals s
    where s.number = first_leaf + width;
    return v_node;
  end if;
  v_split := private.largest_power_below(width);
  return sha256(
    '\x01'::bytea
    || private.audit_tree_node(first_leaf, v_split)
    || private.audit_tree_node(first_leaf + v_split, width - v_split)
  );
end;
$$;
comment on function private.audit_tree_node(bigint, bigint) is
  'The RFC 6962 hash over width seals from leaf first_leaf (from 0) in the tree of all seals.';

create function private.audit_tree_root(tree_size bigint)
  returns bytea
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case tree_size
    when 0 then sha256('') else private.audit_tree_node(0, tree_size)
  end;
$$;
comment on function private.audit_tree_root(bigint) is
  'The head of the tree over the first tree_size seals.';

create function private.audit_tree_path(leaf bigint, tree_size bigint)
  returns bytea[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint := 0;
  v_path bytea[] := array[]::bytea[];
  v_split bigint;
  v_width bigint := tree_size;
begin
  while v_width > 1 loop
    v_split := private.largest_power_below(v_width);
    if leaf - v_first < v_split then
      v_path := private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
    end if;
  end loop;
  return v_path;
end;
$$;
comment on function private.audit_tree_path(bigint, bigint) is
  'The inclusion proof (RFC 9162 2.1.3) of a seal in the tree of tree_size seals.';

create function private.audit_tree_consistency(from_size bigint, to_size bigint)
  returns bytea[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint := 0;
  v_known boolean := true;
  v_old bigint := from_size;
  v_path bytea[] := array[]::bytea[];
  v_split bigint;
  v_width bigint := to_size;
begin
  if from_size = 0 then
    return v_path;
  end if;
  while v_old < v_width loop
    v_split := private.largest_power_below(v_width);
    if v_old <= v_split then
      v_path := private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
      v_old := v_old - v_split;
      v_known := false;
    end if;
  end loop;
  -- The old tree itself is known to who asks; a part of it is not.
  if not v_known then
    v_path := private.audit_tree_node(v_first, v_width) || v_path;
  end if;
  return v_path;
end;
$$;
comment on function private.audit_tree_consistency(bigint, bigint) is
  'The consistency proof (RFC 9162 2.1.4) between two sizes of the tree of seals.';

create function private.base64(value bytea)
  returns text
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return translate(encode(value, 'base64'), E'\n', '');
end;
$$;
comment on function private.base64(bytea) is 'Base64 with padding and without line breaks.';

create function private.base64_array(hashes bytea[])
  returns jsonb
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(private.base64(h) order by place), '[]')
  from unnest(hashes) with ordinality as t (h, place);
$$;
comment on function private.base64_array(bytea[]) is 'A path as JSON: an array of base64 hashes.';

create function private.time_json(moment timestamptz)
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
comment on function private.time_json(timestamptz) is 'RFC 3339 in UTC, to the microsecond.';

create function private.time_microseconds(moment timestamptz)
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
comment on function private.time_microseconds(timestamptz) is
  'Microseconds since 2000-01-01 in UTC, as the hashes have them.';

create function private.audit_entry_json(entry private.audit_commitments)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'id', entry.id,
    'organization_id', entry.organization_id,
    'era', entry.era,
    'xid', entry.xid::text,
    'occurred_at', private.time_json(entry.occurred_at),
    'occurred_at_us', private.time_microseconds(entry.occurred_at),
    'source', entry.source,
    'severity', entry.severity,
    'result', entry.result,
    'event_type', entry.event_type,
    'resource_type', entry.resource_type
  ) || case
    when entry.removed_by is null
    then jsonb_build_object('salt', entry.salt, 'payload', entry.payload)
    else jsonb_build_object(
      'commitment', private.base64(entry.commitment), 'removed_by', entry.removed_by
    )
  end;
$$;
comment on function private.audit_entry_json(private.audit_commitments) is
  'An entry as proofs and exports carry it, with the exact text of its payload.';

create function private.audit_group_json(grouped private.audit_groups)
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
    'previous', private.base64(grouped.previous),
    'root', private.base64(grouped.root)
  );
$$;
comment on function private.audit_group_json(private.audit_groups) is
  'An organization''s group in a seal as proofs and exports carry it.';

create function private.audit_group_proof(seal bigint, organization uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_checkpoint public.audit_checkpoints;
  v_group private.audit_groups;
  v_hashes bytea;
  v_seal private.audit_seals;
  v_size bigint;
begin
  select * into v_group
  from private.audit_groups g
  where g.seal = audit_group_proof.seal and g.organization_id is not distinct from organization;
  select * into v_seal from private.audit_seals s where s.number = audit_group_proof.seal;
  if v_group.seal is null or v_seal.number is null then
    return null;
  end if;
  select string_agg(g.hash, '' order by g.position) into v_hashes
  from private.audit_groups g where g.seal = audit_group_proof.seal;
  select * into v_checkpoint
  from public.audit_checkpoints c
  where c.tree_size >= audit_group_proof.seal
  order by c.tree_size desc
  limit 1;
  v_size := coalesce(
    v_checkpoint.tree_size, (select max(s.number) from private.audit_seals s)
  );
  return jsonb_build_object(
    'group', private.audit_group_json(v_group),
    'group_index', v_group.position,
    'group_count', octet_length(v_hashes) / 32,
    'group_path', private.base64_array(private.merkle_path(v_hashes, v_group.position)),
    'seal', jsonb_build_object(
      'number', v_seal.number,
      'previous_hash', private.base64(v_seal.previous_hash),
      'root', private.base64(v_seal.root),
      'era', v_seal.era,
      'sealed_at', private.time_json(v_seal.sealed_at),
      'sealed_at_us', private.time_microseconds(v_seal.sealed_at),
      'snapshot', v_seal.snapshot::text,
      'hash', private.base64(v_seal.hash)
    ),
    'tree_index', v_seal.number - 1,
    'tree_size', v_size,
    'tree_path', private.base64_array(private.audit_tree_path(v_seal.number - 1, v_size)),
    'tree_root', private.base64(private.audit_tree_root(v_size)),
    'checkpoint', v_checkpoint.note
  );
end;
$$;
comment on function private.audit_group_proof(bigint, uuid) is
  'From an organization''s group through its seal to the newest checkpoint or, where none covers it
   yet, to the tree as it is. Of other organizations it holds only hashes.';

create function public.audit_inclusion_proof(entry_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because seals are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry private.audit_commitments;
  v_group private.audit_groups;
  v_index bigint;
  v_seal bigint;
begin
  select * into v_entry from private.audit_commitments e where e.id = entry_id;
  -- An entry that does not exist and one that is closed to the caller are the same answer.
  if v_entry.id is null or not private.caller_is_service() and not private.is_super_admin()
    and (
      v_entry.organization_id is null
      or v_entry.organization_id not in (select private.organizations_with('audit:read'))
    ) then
    raise exception 'Cannot prove the entry: there is none here that you may read'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ENTRY';
  end if;
  v_seal := private.audit_seal_of(v_entry.era, v_entry.xid);
  if v_seal is null then
    raise exception 'Cannot prove the entry: it is not sealed yet'
      using errcode = 'PT409', detail = 'AUDIT_NOT_SEALED_YET', hint = 'Try again in a second';
  end if;
  select * into v_group
  from private.audit_groups g
  where g.seal = v_seal and g.organization_id is not distinct from v_entry.organization_id;
  select position(l.leaf in v_group.leaves) - 1 into v_index
  from private.audit_leaves l where l.id = entry_id;
  if (v_index >= 0 and v_index % 32 = 0) is not true then
    raise exception 'Cannot prove the entry: it is not what was sealed'
      using errcode = 'data_corrupted', detail = 'AUDIT_ENTRY_ALTERED',
            hint = 'Run verify_audit_log';
  end if;
  return private.audit_group_proof(v_seal, v_entry.organization_id) || jsonb_build_object(
    'entry', private.audit_entry_json(v_entry),
    'entry_index', v_index / 32,
    'entry_path', private.base64_array(private.merkle_path(v_group.leaves, v_index / 32))
  );
end;
$$;
comment on function public.audit_inclusion_proof(uuid) is
  'Proves that an entry (audit:read in its organization) is in the log: entry to its organization''s
   root, to its seal, to the newest checkpoint. Errors: AUDIT_UNKNOWN_ENTRY, AUDIT_NOT_SEALED_YET,
   AUDIT_ENTRY_ALTERED.';

create function public.audit_consistency_proof(from_size bigint, to_size bigint)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because seals are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_size bigint := coalesce((select max(s.number) from private.audit_seals s), 0);
begin
  if from_size is null or to_size is null or from_size < 0 or from_size > to_size
    or to_size > v_size then
    raise exception 'Cannot prove consistency: the sizes are not 0 <= from <= to <= %', v_size
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  return jsonb_build_object(
    'from_size', from_size,
    'to_size', to_size,
    'from_root', private.base64(private.audit_tree_root(from_size)),
    'to_root', private.base64(private.audit_tree_root(to_size)),
    'path', private.base64_array(private.audit_tree_consistency(from_size, to_size))
  );
end;
$$;
comment on function public.audit_consistency_proof(bigint, bigint) is
  'Proves that the log of to_size seals contains that of from_size seals unchanged (RFC 9162 2.1.4).
   Errors: AUDIT_INVALID_RANGE.';

create function public.audit_tree_head()
  returns table (
    tree_size bigint,
    root_hash text,
    sealed_at timestamptz,
    checkpoint_size bigint,
    checkpoint_at timestamptz
  )
  language sql
  stable
  rows 1
  security definer            -- definer because seals are for no client
  set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(s.number, 0),
    private.base64(private.audit_tree_root(coalesce(s.number, 0))),
    s.sealed_at,
    c.tree_size,
    c.signed_at
  from (values (true)) as one
  left join (
    select s.number, s.sealed_at from private.audit_seals s order by s.number desc limit 1
  ) s on true
  left join (
    select c.tree_size, c.signed_at from public.audit_checkpoints c
    order by c.tree_size desc
    limit 1
  ) c on true;
$$;
comment on function public.audit_tree_head() is
  'What the next checkpoint signs: the size and root (base64) of the tree over all seals, and the
   newest checkpoint there is.';

create function public.register_audit_key(key_name text, key_id text, public_key text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write keys directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bytea;
begin
  if key_name is null or key_name !~ '^[^[:space:]+]{1,200}$' or key_id is null
    or key_id !~ '^[0-9a-f]{8}$' or public_key is null
    or public_key !~ '^[A-Za-z0-9+/]{43}=$' then
    raise exception 'Cannot register key: it takes a name, 8 hex digits and 32 bytes of base64'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_KEY';
  end if;
  v_key := decode(public_key, 'base64');
  insert into public.audit_keys as k (key_id, name, public_key)
  values (register_audit_key.key_id, key_name, v_key)
  on conflict do nothing;
  if not exists (
    select from public.audit_keys k
    where k.key_id = register_audit_key.key_id and k.name = key_name and k.public_key = v_key
  ) then
    raise exception 'Cannot register key: the id or the key is registered otherwise'
      using errcode = 'unique_violation', detail = 'AUDIT_KEY_EXISTS';
  end if;
end;
$$;
comment on function public.register_audit_key(text, text, text) is
  'Makes a checkpoint key known: its C2SP name, key id (8 hex digits) and Ed25519 public key
   (base64). Registering it again is no error. Errors: AUDIT_INVALID_KEY, AUDIT_KEY_EXISTS.';

create function public.store_audit_checkpoint(
  tree_size bigint,
  root_hash text,
  key_id text,
  note text
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write checkpoints directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key public.audit_keys;
begin
  select * into v_key from public.audit_keys k where k.key_id = store_audit_checkpoint.key_id;
  if not found then
    raise exception 'Cannot store checkpoint: the key is not registered'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_KEY', hint = 'Call register_audit_key first';
  end if;
  if tree_size is null or root_hash is null or note is null
    or tree_size not between 1 and coalesce((select max(s.number) from private.audit_seals s), 0)
    or root_hash <> private.base64(private.audit_tree_root(tree_size))
    or split_part(note, E'\n', 1) <> v_key.name
    or split_part(note, E'\n', 2) <> tree_size::text
    or split_part(note, E'\n', 3) <> root_hash then
    raise exception 'Cannot store checkpoint: it does not match the log'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_CHECKPOINT_MISMATCH';
  end if;
  insert into public.audit_checkpoints (tree_size, root_hash, key_id, note)
  values (
    store_audit_checkpoint.tree_size, decode(store_audit_checkpoint.root_hash, 'base64'),
    store_audit_checkpoint.key_id, store_audit_checkpoint.note
  )
  on conflict on constraint audit_checkpoints_pkey do nothing;
  return found;
end;
$$;
comment on function public.store_audit_checkpoint(bigint, text, text, text) is
  'Stores a signed checkpoint whose size and root (base64) are the log''s own and whose origin is
   the key''s name; false where one of that size is stored already. The signature is made and
   verified outside. Errors: AUDIT_CHECKPOINT_MISMATCH, AUDIT_UNKNOWN_KEY.';

create function public.record_audit_delivery(
  tree_size bigint,
  sink text,
  error text default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write checkpoints directly
  set search_path = pg_catalog, pg_temp
as $$
begin
  update public.audit_checkpoints c
  set sink = left(record_audit_delivery.sink, 200),
      delivered_at = case when error is null then clock_timestamp() end,
      delivery_error = left(record_audit_delivery.error, 500)
  where c.tree_size = record_audit_delivery.tree_size and c.delivered_at is null;
  if not found and not exists (
    select from public.audit_checkpoints c where c.tree_size = record_audit_delivery.tree_size
  ) then
    raise exception 'Cannot record delivery: there is no such checkpoint'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_CHECKPOINT';
  end if;
end;
$$;
comment on function public.record_audit_delivery(bigint, text, text) is
  'Notes where a checkpoint was delivered, or why not; the first delivery stands. Errors:
   AUDIT_UNKNOWN_CHECKPOINT.';

create function public.undelivered_audit_checkpoints(page_size integer default 100)
  returns table (tree_size bigint, note text)
  language sql
  stable
  rows 10
  security definer            -- definer for the same reach as its siblings
  set search_path = pg_catalog, pg_temp
as $$
  select c.tree_size, c.note
  from public.audit_checkpoints c
  where c.delivered_at is null
  order by c.tree_size
  limit least(greatest(page_size, 1), 1000);
$$;
comment on function public.undelivered_audit_checkpoints(integer) is
  'Checkpoints that no sink has yet, oldest first.';

create function private.audit_checkpoints_keep()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (new.tree_size, new.root_hash, new.key_id, new.note, new.signed_at)
    is distinct from (old.tree_size, old.root_hash, old.key_id, old.note, old.signed_at)
    or old.delivered_at is not null then
    raise exception 'Cannot change the checkpoint: only its first delivery is noted'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
  end if;
  return new;
end;
$$;
comment on function private.audit_checkpoints_keep() is
  'Trigger: of a checkpoint only the delivery changes, once.';

create function private.report_missing_checkpoint()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_interval interval := make_interval(
    secs => (private.setting('audit.checkpoint_interval_seconds'))::integer
  );
  v_last public.audit_checkpoints;
  v_waiting timestamptz;
begin
  select * into v_last from public.audit_checkpoints c order by c.tree_size desc limit 1;
  -- Where none was ever made, checkpoints are not set up: audit_status says so, no alert does.
  if v_last.tree_size is null then
    return;
  end if;
  select s.sealed_at into v_waiting
  from private.audit_seals s where s.number = v_last.tree_size + 1;
  if v_waiting < now() - 3 * v_interval and not exists (
    select from public.audit_logs e
    where e.organization_id is null
      and e.event_type = 'system.error'
      and e.action = 'checkpoint_missing'
      and e.details ->> 'tree_size' = v_last.tree_size::text
      and e.id > private.audit_id_floor(v_last.signed_at)
  ) then
    perform private.append_audit_entry(
      'system.error',
      resource_type => 'public.audit_checkpoints',
      action => 'checkpoint_missing',
      details => jsonb_build_object('tree_size', v_last.tree_size, 'waiting_since', v_waiting)
    );
  end if;
end;
$$;
comment on function private.report_missing_checkpoint() is
  'Records once for each checkpoint that its successor is overdue.';

create function private.audit_id_floor(moment timestamptz)
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(
    -- 48 bits of milliseconds: what lies before 1970 or after 10889 is the end of the range.
    int8send(
      least(greatest((date_part('epoch', moment) * 1000)::bigint, 0), 281474976710655) << 16
    ) || '\x0000000000000000'::bytea,
    'hex'
  )::uuid;
$$;
comment on function private.audit_id_floor(timestamptz) is
  'Not more than the id of any entry from that moment on: a range of time as a range of the key.';

create function public.audit_status()
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because seals and guards are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_checkpoint public.audit_checkpoints;
  v_seal private.audit_seals;
begin
  if not private.caller_is_service() then
    perform private.require_audit('system:monitor', null);
  end if;
  select * into v_seal from private.audit_seals s order by s.number desc limit 1;
  select * into v_checkpoint from public.audit_checkpoints c order by c.tree_size desc limit 1;
  return jsonb_build_object(
    'era', (select max(e.era) from private.audit_eras e),
    'last_seal', v_seal.number,
    'sealed_at', v_seal.sealed_at,
    'overdue_entries', (select u.entries from private.audit_unsealed(true, null) u),
    'checkpoint_size', v_checkpoint.tree_size,
    'checkpoint_at', v_checkpoint.signed_at,
    'undelivered_checkpoints', (
      select count(*) from public.audit_checkpoints c where c.delivered_at is null
    ),
    'gaps', (select count(*) from private.audit_gaps),
    'guarded_tables', (select count(*) from private.audit_guards g where g.captures),
    'touched_guards', (
      select coalesce(jsonb_agg(g.relation::text order by g.relation::text), '[]')
      from private.audit_guards g
      where g.fingerprint is distinct from private.audit_fingerprint(g.relation)
    )
  );
end;
$$;
comment on function public.audit_status() is
  'How the log is doing: seals, overdue entries, checkpoints, deliveries, gaps and guards. For the
   service role and a super_admin. Errors: RBAC_PERMISSION_DENIED.';

create trigger audit_keys_refuse_change
  before update or delete on public.audit_keys
  for each row execute function private.refuse_change();
create trigger audit_keys_refuse_truncate
  before truncate on public.audit_keys
  for each statement execute function private.refuse_change();
create trigger audit_checkpoints_keep
  before update on public.audit_checkpoints
  for each row execute function private.audit_checkpoints_keep();
create trigger audit_checkpoints_refuse_removal
  before delete on public.audit_checkpoints
  for each row execute function private.refuse_change();
create trigger audit_checkpoints_refuse_truncate
  before truncate on public.audit_checkpoints
  for each statement execute function private.refuse_change();
alter table public.audit_keys enable always trigger audit_keys_refuse_change;
alter table public.audit_keys enable always trigger audit_keys_refuse_truncate;
alter table public.audit_checkpoints enable always trigger audit_checkpoints_keep;
alter table public.audit_checkpoints enable always trigger audit_checkpoints_refuse_removal;
alter table public.audit_checkpoints enable always trigger audit_checkpoints_refuse_truncate;
select private.enable_audit(
  'public.audit_keys', event_types => '{config.changed,config.changed,config.changed}'
);
insert into private.audit_guards (relation, captures, fingerprint)
values ('public.audit_checkpoints', false, private.audit_fingerprint('public.audit_checkpoints'));

revoke all on public.audit_keys, public.audit_checkpoints
  from public, anon, authenticated, service_role;
grant select on public.audit_keys, public.audit_checkpoints to service_role;
grant select on public.audit_keys to authenticated;
-- Where a checkpoint was delivered is the operator's business.
grant select (tree_size, root_hash, key_id, note, signed_at, delivered_at)
  on public.audit_checkpoints to authenticated;

revoke all on function
  private.audit_tree_node(bigint, bigint), private.audit_tree_root(bigint),
  private.audit_tree_path(bigint, bigint), private.audit_tree_consistency(bigint, bigint),
  private.base64(bytea), private.base64_array(bytea[]), private.time_json(timestamptz),
  private.time_microseconds(timestamptz), private.audit_entry_json(private.audit_commitments),
  private.audit_group_json(private.audit_groups), private.audit_group_proof(bigint, uuid),
  private.audit_checkpoints_keep(), private.report_missing_checkpoint(),
  private.audit_id_floor(timestamptz),
  public.audit_inclusion_proof(uuid), public.audit_consistency_proof(bigint, bigint),
  public.audit_tree_head(), public.register_audit_key(text, text, text),
  public.store_audit_checkpoint(bigint, text, text, text),
  public.record_audit_delivery(bigint, text, text),
  public.undelivered_audit_checkpoints(integer), public.audit_status()
  from public, anon, authenticated, service_role;
grant execute on function
  public.audit_inclusion_proof(uuid), public.audit_consistency_proof(bigint, bigint),
  public.audit_status()
  to authenticated, service_role;
grant execute on function
  public.audit_tree_head(), public.register_audit_key(text, text, text),
  public.store_audit_checkpoint(bigint, text, text, text),
  public.record_audit_delivery(bigint, text, text),
  public.undelivered_audit_checkpoints(integer)
  to service_role;
