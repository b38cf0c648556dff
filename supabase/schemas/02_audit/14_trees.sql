-- Audit trees: the hashes of the log, which are RFC 6962 trees over leaves of its own.
-- Protects nothing by itself. Sealing, verification and proofs share these functions, so that each
-- hash is defined once. Every result depends on the arguments alone.
-- No function here is SECURITY DEFINER.

create type bulwark_private.audit_position as (
  timeline integer,
  xid xid8,
  id uuid
);
comment on type bulwark_private.audit_position is
  'The place of an entry in the order in which entries are sealed.';

create function bulwark_private.merkle_root(leaves bytea)
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
  -- Pairing level by level, with an odd last node carried up unchanged, gives the same tree as
  -- splitting at the largest power of two.
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
comment on function bulwark_private.merkle_root(bytea) is
  'The RFC 6962 tree head over leaf hashes of 32 bytes each, one after the other.';

create function bulwark_private.largest_power_below(n bigint)
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
comment on function bulwark_private.largest_power_below(bigint) is
  'The largest power of two smaller than n (n > 1), where RFC 6962 splits a tree.';

create function bulwark_private.merkle_path(leaves bytea, index bigint)
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
  v_split := bulwark_private.largest_power_below(v_count);
  if index < v_split then
    return bulwark_private.merkle_path(substring(leaves from 1 for (v_split * 32)::integer), index)
      || bulwark_private.merkle_root(substring(leaves from (v_split * 32 + 1)::integer));
  end if;
  return bulwark_private.merkle_path(
      substring(leaves from (v_split * 32 + 1)::integer), index - v_split
    )
    || bulwark_private.merkle_root(substring(leaves from 1 for (v_split * 32)::integer));
end;
$$;
comment on function bulwark_private.merkle_path(bytea, bigint) is
  'The RFC 6962 audit path of the leaf at index (from 0), from its sibling upwards.';

create function bulwark_private.audit_group_hash(
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
comment on function bulwark_private.audit_group_hash(uuid, bigint, bigint, bigint, bytea, bytea) is
  'The leaf of an organization''s group in the tree of a seal.';

create function bulwark_private.audit_position_hash(place bulwark_private.audit_position)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(int4send(place.timeline) || xid8send(place.xid) || uuid_send(place.id));
end;
$$;
comment on function bulwark_private.audit_position_hash(bulwark_private.audit_position) is
  'The hash of the last entry of a seal that the next one continues.';

create function bulwark_private.audit_seal_hash(
  number bigint,
  previous_hash bytea,
  root bytea,
  timeline integer,
  sealed_at timestamptz,
  snapshot pg_snapshot,
  through bulwark_private.audit_position
)
  returns bytea
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(
    '\x01'::bytea || int8send(number) || previous_hash || root || int4send(timeline)
    || timestamptz_send(sealed_at) || int4send(octet_length(snapshot::text))
    || convert_to(snapshot::text, 'UTF8')
    -- Hashed by itself: a proof shows the hash, not the id of another organization's entry.
    || case
      when through is null then '\x00'::bytea
      else '\x01'::bytea || bulwark_private.audit_position_hash(through)
    end
  );
end;
$$;
comment on function bulwark_private.audit_seal_hash(
  bigint, bytea, bytea, integer, timestamptz, pg_snapshot, bulwark_private.audit_position
) is
  'The hash of a seal: the next seal chains to it, and it is the content of the seal''s leaf in the
   tree of all seals.';

create function bulwark_private.base64(value bytea)
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
comment on function bulwark_private.base64(bytea) is 'Base64 with padding and without line breaks.';
