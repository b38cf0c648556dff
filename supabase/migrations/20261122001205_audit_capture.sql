-- Audit capture: every change of a guarded table leaves an entry, in the same transaction.
-- Protects against changes without a trace, also under session_replication_role (the triggers fire
-- always), and against secrets in the log: ignored columns are left out, redacted ones masked.
-- SECURITY DEFINER: the trigger functions audit_row, audit_rows, audit_truncate, because whoever
--   changes a guarded table may not write the log.

create function private.audit_image(
  image jsonb,
  ignored text[],
  redacted text[],
  whole jsonb default null
)
  returns jsonb
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A column that has another name now still holds what was to stay out, and nobody here knows
  -- which one it is.
  if not coalesce(whole, image) ?& (ignored || redacted) then
    return (select jsonb_object_agg(v.key, '[redacted]') from jsonb_each(image) as v);
  end if;
  image := image - ignored;
  image := image || (
    select coalesce(jsonb_object_agg(c, '[redacted]'), '{}')
    from unnest(redacted) as c
    where image ? c
  );
  if pg_column_size(image) > 32768 then
    select jsonb_object_agg(
      v.key,
      case
        when octet_length(v.value::text) <= 1024 then v.value
        else to_jsonb(format('[%s bytes left out]', octet_length(v.value::text)))
      end
    )
    into image
    from jsonb_each(image) as v;
  end if;
  return image;
end;
$$;
comment on function private.audit_image(jsonb, text[], text[], jsonb) is
  'A row, or the part of a whole one that changed, as an entry may hold it: without ignored columns,
   with redacted ones masked and, where it is larger than 32,768 bytes, without values of more than
   1,024. Where the whole row lacks one of those columns, since it was renamed, all are masked.';

create function private.audit_organization(value text, lookup text)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  if lookup = '' then
    return value::uuid;
  end if;
  execute format('select %s($1)', lookup::regproc) into v_organization using value::uuid;
  return v_organization;
end;
$$;
comment on function private.audit_organization(text, text) is
  'The organization of a row: the value of its organization column, or what a function makes of
   it.';

create function private.audit_key(image jsonb, key_columns text[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_object_agg(c, image -> c)::text from unnest(key_columns) as c;
$$;
comment on function private.audit_key(jsonb, text[]) is
  'The resource_id of a row whose key has several columns: a JSON object.';

-- Inserts row by row have a function made for the table (make_audit_insert); the rest shares these.
-- Arguments of audit_row, audit_rows and audit_truncate: 0 table, 1 key columns, 2 organization
-- column, 3 function that finds the organization by it, 4 ignored and 5 redacted columns, 6 to 8
-- event types and 9 to 11 severities of insert, update and delete. These functions run once a
-- write, so the common case is spelled out in them and calls nothing.
create function private.audit_row()
  returns trigger
  language plpgsql
  security definer            -- definer because whoever changes the table may not write the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_after jsonb;
  v_before jsonb;
  v_event integer;
  v_image jsonb;
  v_organization uuid;
begin
  if tg_op = 'UPDATE' then
    v_event := 7;
    v_before := to_jsonb(old);
    v_image := to_jsonb(new);
    if v_before -> tg_argv[2] is distinct from v_image -> tg_argv[2] then
      -- The row leaves one organization and enters another: each sees its own half.
      perform private.append_audit_entry(
        event_type => tg_argv[8],
        severity => tg_argv[11]::public.audit_severity,
        organization_id => private.audit_organization(v_before ->> tg_argv[2], tg_argv[3]),
        resource_type => tg_argv[0],
        resource_id => case
          when tg_argv[1] like '{%,%' then private.audit_key(v_before, tg_argv[1]::text[])
          else v_before #>> tg_argv[1]::text[]
        end,
        action => 'update',
        source => 'table',
        before => private.audit_image(v_before, tg_argv[4]::text[], tg_argv[5]::text[])
      );
      v_event := 6;
      v_before := null;
      v_after := v_image;
    else
      select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, v_image -> o.key)
      into v_before, v_after
      from jsonb_each(v_before - tg_argv[4]::text[]) o
      where o.value is distinct from v_image -> o.key;
      if v_before is null then
        return null;
      end if;
    end if;
  else
    v_event := 8;
    v_before := to_jsonb(old);
    v_image := v_before;
  end if;
  if tg_argv[4] <> '{}' or tg_argv[5] <> '{}'
    or pg_column_size(v_before) > 32768 or pg_column_size(v_after) > 32768 then
    v_before := private.audit_image(v_before, tg_argv[4]::text[], tg_argv[5]::text[], v_image);
    v_after := private.audit_image(v_after, tg_argv[4]::text[], tg_argv[5]::text[], v_image);
  end if;
  if tg_argv[3] <> '' then
    v_organization := private.audit_organization(v_image ->> tg_argv[2], tg_argv[3]);
  elsif tg_argv[2] <> '' then
    v_organization := (v_image ->> tg_argv[2])::uuid;
  end if;
  insert into public.audit_logs (
    source, severity, organization_id, event_type, resource_type, resource_id, action, before, after
  )
  values (
    'table', tg_argv[v_event + 3]::public.audit_severity, v_organization, tg_argv[v_event],
    tg_argv[0],
    case
      when tg_argv[1] like '{%,%' then private.audit_key(v_image, tg_argv[1]::text[])
      else v_image #>> tg_argv[1]::text[]
    end,
    lower(tg_op), v_before, v_after
  );
  return null;
end;
$$;
comment on function private.audit_row() is
  'Trigger: an entry for each row that a guarded table loses or changes.';

create function private.audit_rows()
  returns trigger
  language plpgsql
  security definer            -- definer because whoever changes the table may not write the log
  set search_path = pg_catalog, pg_temp
  set jit = off               -- its estimates make a small statement compile for 200 ms
as $$
-- n.* and o.* are the rows, also where a table has columns named n and o.
declare
  v_composite constant boolean := tg_argv[1] like '{%,%';
  v_key constant text[] := tg_argv[1]::text[];
  v_ignored constant text[] := tg_argv[4]::text[];
  v_redacted constant text[] := tg_argv[5]::text[];
  v_trims constant boolean := tg_argv[4] <> '{}' or tg_argv[5] <> '{}';
begin
  if tg_op = 'INSERT' then
    insert into public.audit_logs (
      source, severity, organization_id, event_type, resource_type, resource_id, action, after
    )
    select
      'table', tg_argv[9]::public.audit_severity,
      case when tg_argv[2] <> '' then
        case
          when tg_argv[3] = '' then (r.image ->> tg_argv[2])::uuid
          else private.audit_organization(r.image ->> tg_argv[2], tg_argv[3])
        end
      end,
      tg_argv[6], tg_argv[0],
      case when v_composite then private.audit_key(r.image, v_key) else r.image #>> v_key end,
      'insert',
      case
        when v_trims or pg_column_size(r.image) > 32768
        then private.audit_image(r.image, v_ignored, v_redacted)
        else r.image
      end
    from (select to_jsonb(n.*) as image from new_rows n offset 0) r;
  elsif tg_op = 'DELETE' then
    insert into public.audit_logs (
      source, severity, organization_id, event_type, resource_type, resource_id, action, before
    )
    select
      'table', tg_argv[11]::public.audit_severity,
      case when tg_argv[2] <> '' then
        case
          when tg_argv[3] = '' then (r.image ->> tg_argv[2])::uuid
          else private.audit_organization(r.image ->> tg_argv[2], tg_argv[3])
        end
      end,
      tg_argv[8], tg_argv[0],
      case when v_composite then private.audit_key(r.image, v_key) else r.image #>> v_key end,
      'delete',
      case
        when v_trims or pg_column_size(r.image) > 32768
        then private.audit_image(r.image, v_ignored, v_redacted)
        else r.image
      end
    from (select to_jsonb(o.*) as image from old_rows o offset 0) r;
  else
    -- Both transition tables list the rows in the order in which they were updated, so old and new
    -- pair by place, also where the key itself changes or two rows swap theirs.
    insert into public.audit_logs (
      source, severity, organization_id, event_type, resource_type, resource_id, action, before,
      after
    )
    select
      'table', tg_argv[c.event + 3]::public.audit_severity,
      case when tg_argv[2] <> '' then
        case
          when tg_argv[3] = '' then (c.image ->> tg_argv[2])::uuid
          else private.audit_organization(c.image ->> tg_argv[2], tg_argv[3])
        end
      end,
      tg_argv[c.event], tg_argv[0],
      case when v_composite then private.audit_key(c.image, v_key) else c.image #>> v_key end,
      'update',
      case
        when v_trims or pg_column_size(c.before) > 32768
        then private.audit_image(c.before, v_ignored, v_redacted, c.image)
        else c.before
      end,
      case
        when v_trims or pg_column_size(c.after) > 32768
        then private.audit_image(c.after, v_ignored, v_redacted, c.image)
        else c.after
      end
    from (
      -- A row that leaves one organization and enters another is a delete and an insert.
      select
        e.event,
        case when e.event = 8 then p.image else q.image end as image,
        case e.event when 7 then d.before when 8 then p.image end as before,
        case e.event when 7 then d.after when 6 then q.image end as after
      from (select row_number() over () as place, to_jsonb(o.*) as image from old_rows o) p
      join (select row_number() over () as place, to_jsonb(n.*) as image from new_rows n) q
        on q.place = p.place
      cross join lateral (
        select
          jsonb_object_agg(k.key, k.value) as before,
          jsonb_object_agg(k.key, q.image -> k.key) as after
        from jsonb_each(p.image) k
        where k.value is distinct from q.image -> k.key and k.key <> all (v_ignored)
      ) d
      cross join lateral unnest(
        case
          when p.image -> tg_argv[2] is distinct from q.image -> tg_argv[2] then '{8,6}'
          when d.before is not null then '{7}'
          else '{}'
        end::integer[]
      ) as e (event)
    ) c;
  end if;
  return null;
end;
$$;
comment on function private.audit_rows() is
  'Trigger: the entries of a whole statement at once, for tables that are loaded in bulk.';

create function private.audit_truncate()
  returns trigger
  language plpgsql
  security definer            -- definer because whoever empties the table may not write the log
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into public.audit_logs (source, severity, event_type, resource_type, action)
  values ('table', 'warning', tg_argv[8], tg_argv[0], 'truncate');
  return null;
end;
$$;
comment on function private.audit_truncate() is
  'Trigger: an entry without an organization for a guarded table that is emptied.';

revoke all on function
  private.audit_image(jsonb, text[], text[], jsonb), private.audit_organization(text, text),
  private.audit_key(jsonb, text[]), private.audit_row(), private.audit_rows(),
  private.audit_truncate()
  from public, anon, authenticated, service_role;
