-- Audit seal tree: the RFC 6962 tree of all seals, whose head checkpoints sign.
-- Protects against a second history: its paths prove that a seal belongs to a head, and that a
-- later head contains an earlier one. Full subtrees are read from the seal that completed them.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_tree_node(first_leaf bigint, width bigint)
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
  -- The seal that completed a full, aligned subtree stores its hash.
  if (1::bigint << v_level) = width and first_leaf % width = 0 then
    select substring(s.nodes from v_level * 32 + 1 for 32) into v_node
    from bulwark_private.audit_seals s
    where s.number = first_leaf + width;
    return v_node;
  end if;
  v_split := bulwark_private.largest_power_below(width);
  return sha256(
    '\x01'::bytea
    || bulwark_private.audit_tree_node(first_leaf, v_split)
    || bulwark_private.audit_tree_node(first_leaf + v_split, width - v_split)
  );
end;
$$;
comment on function bulwark_private.audit_tree_node(bigint, bigint) is
  'The RFC 6962 hash over width seals from leaf first_leaf (from 0) in the tree of all seals.';

create function bulwark_private.audit_tree_root(tree_size bigint)
  returns bytea
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case tree_size
    when 0 then sha256('') else bulwark_private.audit_tree_node(0, tree_size)
  end;
$$;
comment on function bulwark_private.audit_tree_root(bigint) is
  'The head of the tree over the first tree_size seals.';

create function bulwark_private.audit_tree_path(leaf bigint, tree_size bigint)
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
    v_split := bulwark_private.largest_power_below(v_width);
    if leaf - v_first < v_split then
      v_path := bulwark_private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := bulwark_private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
    end if;
  end loop;
  return v_path;
end;
$$;
comment on function bulwark_private.audit_tree_path(bigint, bigint) is
  'The inclusion proof (RFC 9162 2.1.3) of a seal in the tree of tree_size seals.';

create function bulwark_private.audit_tree_consistency(from_size bigint, to_size bigint)
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
  while v_old < v_width loop
    v_split := bulwark_private.largest_power_below(v_width);
    if v_old <= v_split then
      v_path := bulwark_private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := bulwark_private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
      v_old := v_old - v_split;
      v_known := false;
    end if;
  end loop;
  -- The verifier knows the root of the old tree itself, but not of a part of it.
  if not v_known then
    v_path := bulwark_private.audit_tree_node(v_first, v_width) || v_path;
  end if;
  return v_path;
end;
$$;
comment on function bulwark_private.audit_tree_consistency(bigint, bigint) is
  'The consistency proof (RFC 9162 2.1.4) between two sizes of the tree of seals.';
