-- Audit keys: the public keys that sign checkpoints, and how a key is registered.
-- Protects against a checkpoint that nobody signed. Postgres cannot verify Ed25519, so each key
-- comes with a secret that only its holder can derive. After the first, a new key also needs the
-- secret of a known key: the service role alone stores nothing under either.
-- No function here is SECURITY DEFINER.

create table bulwark.audit_keys (
  key_id text primary key,
  name text not null,
  public_key bytea not null unique,
  writer_hash bytea not null,
  registered_at timestamptz not null default now(),
  constraint audit_keys_key_id_format check (key_id ~ '^[0-9a-f]{8}$'),
  constraint audit_keys_name_format check (name ~ '^[^[:space:]+]{1,200}$'),
  constraint audit_keys_is_ed25519 check (octet_length(public_key) = 32)
);
comment on table bulwark.audit_keys is
  'Ed25519 public keys that signed checkpoints. A retired key stays, so that its checkpoints can be
   verified.';
comment on column bulwark.audit_keys.writer_hash is
  'SHA-256 of the secret that the holder derives from the private key (a signature over a constant
   text). Storing a checkpoint under this key requires the secret.';

create table bulwark_private.audit_key_acceptances (
  key_id text primary key,
  accepted_at timestamptz not null default now()
);
comment on table bulwark_private.audit_key_acceptances is
  'Keys that the owner accepted without the endorsement of a known key.';

alter table bulwark.audit_keys enable row level security;
alter table bulwark_private.audit_key_acceptances enable row level security;

create policy "Anyone signed in reads the keys of checkpoints"
  on bulwark.audit_keys for select to authenticated
  using ((select bulwark.current_person()) is not null);

create function bulwark_private.audit_key_id(name text, public_key bytea)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(
    substring(sha256(convert_to(name, 'UTF8') || '\x0a01'::bytea || public_key) from 1 for 4), 'hex'
  );
$$;
comment on function bulwark_private.audit_key_id(text, bytea) is
  'The four bytes by which C2SP signed notes name an Ed25519 key, in hexadecimal.';

create function bulwark.accept_audit_key(key_id text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (key_id ~ '^[0-9a-f]{8}$') is not true then
    raise exception 'Cannot accept key: its id has 8 hexadecimal digits'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_KEY';
  end if;
  insert into bulwark_private.audit_key_acceptances (key_id) values (accept_audit_key.key_id)
  on conflict do nothing;
end;
$$;
comment on function bulwark.accept_audit_key(text) is
  'Accepts a signing key that no known key endorses, because that key is lost. For the owner of the
   database; recorded as an entry. Errors: AUDIT_INVALID_KEY.';

create function bulwark_private.register_audit_keys(signers jsonb)
  returns text[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endorsed boolean;
  v_id text;
  v_ids text[] := array[]::text[];
  v_key bytea;
  v_signer jsonb;
begin
  if jsonb_typeof(signers) is distinct from 'array'
    or jsonb_array_length(signers) not between 1 and 8
    or exists (
      select from jsonb_array_elements(signers) as s
      where (s ->> 'name' ~ '^[^[:space:]+]{1,200}$') is not true
        or (s ->> 'public_key' ~ '^[A-Za-z0-9+/]{43}=$') is not true
        or (s ->> 'writer' ~ '^[A-Za-z0-9+/]{86}==$') is not true
    ) then
    raise exception 'Cannot store checkpoint: a signer has a name, a public key and its secret'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_KEY';
  end if;
  -- One at a time, so that two first calls do not both register the first key.
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_keys', 0));
  v_endorsed := not exists (select from bulwark.audit_keys) or exists (
    select
    from jsonb_array_elements(signers) as s
    join bulwark.audit_keys k
      on k.public_key = decode(s ->> 'public_key', 'base64')
      and k.writer_hash = sha256(decode(s ->> 'writer', 'base64'))
  );
  for v_signer in select s from jsonb_array_elements(signers) with ordinality as t (s, place)
    order by place
  loop
    v_key := decode(v_signer ->> 'public_key', 'base64');
    v_id := bulwark_private.audit_key_id(v_signer ->> 'name', v_key);
    if not v_endorsed and not exists (
      select from bulwark.audit_keys k where k.public_key = v_key
    ) and not exists (
      select from bulwark_private.audit_key_acceptances a where a.key_id = v_id
    ) then
      raise exception 'Cannot store checkpoint: no former key vouches for key %', v_id
        using errcode = 'insufficient_privilege', detail = 'AUDIT_KEY_NOT_ENDORSED',
              hint = 'Sign with the former key too, or as the owner: bulwark.accept_audit_key';
    end if;
    insert into bulwark.audit_keys as k (key_id, name, public_key, writer_hash)
    values (
      v_id, v_signer ->> 'name', v_key, sha256(decode(v_signer ->> 'writer', 'base64'))
    )
    on conflict do nothing;
    if not exists (
      select from bulwark.audit_keys k
      where k.key_id = v_id
        and k.public_key = v_key
        and k.writer_hash = sha256(decode(v_signer ->> 'writer', 'base64'))
    ) then
      raise exception 'Cannot store checkpoint: key % is registered otherwise', v_id
        using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_THE_KEY_HOLDER',
          hint = 'Sign with the key that is registered under this name and id';
    end if;
    v_ids := v_ids || v_id;
  end loop;
  return v_ids;
end;
$$;
comment on function bulwark_private.register_audit_keys(jsonb) is
  'Registers the keys of signers and returns their ids: the very first key, and later keys only
   together with a known or an accepted one. Errors: AUDIT_INVALID_KEY, AUDIT_KEY_NOT_ENDORSED,
   AUDIT_NOT_THE_KEY_HOLDER.';

create trigger audit_keys_refuse_change
  before update or delete on bulwark.audit_keys
  for each row execute function bulwark_private.refuse_change();
create trigger audit_keys_refuse_truncate
  before truncate on bulwark.audit_keys
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark.audit_keys enable always trigger audit_keys_refuse_change;
alter table bulwark.audit_keys enable always trigger audit_keys_refuse_truncate;
select bulwark.enable_audit(
  'bulwark.audit_keys', ignore => '{writer_hash}',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.audit_key_acceptances',
  event_types => '{config.changed,config.changed,config.changed}'
);
