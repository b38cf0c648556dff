-- Audit checkpoints: the signed heads of the log, and whether each was delivered outside the
-- database.
-- Protects against a rewritten or truncated tail: the key that signs never enters the database, so
-- access to the database alone cannot make another history.
-- SECURITY DEFINER: store_audit_checkpoint, record_audit_delivery, undelivered_audit_checkpoints,
--   because nobody may write checkpoints directly; audit_tree_head, because no client can read
--   seals.

create table bulwark.audit_checkpoints (
  tree_size bigint primary key,
  root_hash bytea not null,
  key_id text not null references bulwark.audit_keys (key_id),
  note text not null,
  signed_at timestamptz not null default clock_timestamp(),
  sink text,
  delivered_at timestamptz,
  delivery_error text,
  constraint audit_checkpoints_root_is_a_hash check (octet_length(root_hash) = 32),
  constraint audit_checkpoints_note_length check (octet_length(note) <= 8192)
);
comment on table bulwark.audit_checkpoints is
  'Signed heads of the tree of all seals (C2SP tlog-checkpoint), and whether each was delivered.';
create index audit_checkpoints_key_id_idx on bulwark.audit_checkpoints (key_id);
create index audit_checkpoints_undelivered_idx on bulwark.audit_checkpoints (tree_size)
  where delivered_at is null;

alter table bulwark.audit_checkpoints enable row level security;

create policy "Anyone signed in reads checkpoints"
  on bulwark.audit_checkpoints for select to authenticated
  using ((select bulwark.current_person()) is not null);

create function bulwark.audit_tree_head()
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
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(s.number, 0),
    bulwark_private.base64(bulwark_private.audit_tree_root(coalesce(s.number, 0))),
    s.sealed_at,
    c.tree_size,
    c.signed_at
  from (values (true)) as one
  left join (
    select s.number, s.sealed_at from bulwark_private.audit_seals s order by s.number desc limit 1
  ) s on true
  left join (
    select c.tree_size, c.signed_at from bulwark.audit_checkpoints c
    order by c.tree_size desc
    limit 1
  ) c on true;
$$;
comment on function bulwark.audit_tree_head() is
  'The input of the next checkpoint: size and root (base64) of the tree of all seals, and the newest
   checkpoint.';

create function bulwark_private.audit_note_fits(
  note text,
  origin text,
  tree_size bigint,
  root_hash text,
  key_ids text[]
)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    octet_length(note) <= 8192
    and starts_with(note, concat_ws(E'\n', origin, tree_size, root_hash, '', ''))
    and right(note, 1) = E'\n'
    and (
      select array_agg(
          encode(substring(decode(l.line[2], 'base64') from 1 for 4), 'hex') order by l.place
        ) = key_ids
        and bool_and(l.line[1] = origin and octet_length(decode(l.line[2], 'base64')) = 68)
      from (
        select
          s.place,
          -- 68 bytes: four of the key id and an Ed25519 signature.
          regexp_match(s.line, '^\u2014 ([^[:space:]+]+) ([A-Za-z0-9+/]{91}=)$') as line
        from string_to_table(
          left(
            substring(
              note from length(concat_ws(E'\n', origin, tree_size, root_hash, '', '')) + 1
            ),
            -1
          ),
          E'\n'
        ) with ordinality as s (line, place)
      ) l
    ),
    false
  );
$$;
comment on function bulwark_private.audit_note_fits(text, text, bigint, text, text[]) is
  'Whether a text is a C2SP checkpoint of this log, size and root, with one Ed25519 signature line
   for each key, in their order. It does not verify signatures.';

create function bulwark.store_audit_checkpoint(
  tree_size bigint,
  root_hash text,
  note text,
  signers jsonb
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write checkpoints directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids constant text[] := bulwark_private.register_audit_keys(signers);
  -- The log keeps the name of its first key.
  v_origin constant text := (
    select k.name from bulwark.audit_keys k order by k.registered_at, k.key_id limit 1
  );
begin
  if tree_size is null or root_hash is null or note is null
    or tree_size not between 1 and coalesce(
      (select max(s.number) from bulwark_private.audit_seals s), 0
    )
    or root_hash <> bulwark_private.base64(bulwark_private.audit_tree_root(tree_size))
    or not bulwark_private.audit_note_fits(note, v_origin, tree_size, root_hash, v_ids) then
    raise exception 'Cannot store checkpoint: it does not match the log'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_CHECKPOINT_MISMATCH',
        hint = 'Run verify_audit_log: its problem says what differs';
  end if;
  insert into bulwark.audit_checkpoints (tree_size, root_hash, key_id, note)
  values (
    store_audit_checkpoint.tree_size, decode(store_audit_checkpoint.root_hash, 'base64'),
    v_ids[1], store_audit_checkpoint.note
  )
  on conflict on constraint audit_checkpoints_pkey do nothing;
  return found;
end;
$$;
comment on function bulwark.store_audit_checkpoint(bigint, text, text, jsonb) is
  'Stores a signed checkpoint whose size, root (base64) and origin are the log''s own; false if one
   of that size is stored already. signers, in the order of the note''s lines: name, public_key and
   writer (base64), the secret that only the key''s holder can derive. Signatures are made and
   verified outside. Errors: AUDIT_CHECKPOINT_MISMATCH, AUDIT_INVALID_KEY, AUDIT_KEY_NOT_ENDORSED,
   AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark.record_audit_delivery(
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
  update bulwark.audit_checkpoints c
  set sink = left(record_audit_delivery.sink, 200),
      delivered_at = case when error is null then clock_timestamp() end,
      delivery_error = left(record_audit_delivery.error, 500)
  where c.tree_size = record_audit_delivery.tree_size and c.delivered_at is null;
  if not found and not exists (
    select from bulwark.audit_checkpoints c where c.tree_size = record_audit_delivery.tree_size
  ) then
    raise exception 'Cannot record delivery: there is no such checkpoint'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_CHECKPOINT',
        hint = 'List them with: select tree_size from bulwark.audit_checkpoints';
  end if;
end;
$$;
comment on function bulwark.record_audit_delivery(bigint, text, text) is
  'Records where a checkpoint was delivered, or why it was not; the first delivery is kept. Errors:
   AUDIT_UNKNOWN_CHECKPOINT.';

create function bulwark.undelivered_audit_checkpoints(page_size integer default 100)
  returns table (tree_size bigint, note text)
  language sql
  stable
  rows 10
  security definer            -- definer for the same access as its siblings
  set search_path = pg_catalog, pg_temp
as $$
  select c.tree_size, c.note
  from bulwark.audit_checkpoints c
  where c.delivered_at is null
  order by c.tree_size
  limit least(greatest(page_size, 1), 1000);
$$;
comment on function bulwark.undelivered_audit_checkpoints(integer) is
  'Checkpoints that no sink has yet, oldest first.';

create function bulwark_private.audit_checkpoints_keep()
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
comment on function bulwark_private.audit_checkpoints_keep() is
  'Trigger: only the delivery of a checkpoint changes, and only once.';

create trigger audit_checkpoints_keep
  before update on bulwark.audit_checkpoints
  for each row execute function bulwark_private.audit_checkpoints_keep();
create trigger audit_checkpoints_refuse_removal
  before delete on bulwark.audit_checkpoints
  for each row execute function bulwark_private.refuse_change();
create trigger audit_checkpoints_refuse_truncate
  before truncate on bulwark.audit_checkpoints
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_keep;
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_refuse_removal;
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values (
  'bulwark.audit_checkpoints', false, bulwark_private.audit_fingerprint('bulwark.audit_checkpoints')
);
