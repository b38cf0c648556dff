-- Audit images: converts rows and their values into the JSON of an entry.
-- Protects writes from failing because JSON cannot hold a value, secrets from entering the log
-- (ignored columns are never read, redacted ones are masked), and images from a session's settings,
-- which are pinned here.
-- No function here is SECURITY DEFINER.

insert into bulwark.settings (name, value, description) values
  ('audit.refuse_unconvertible', 'false',
    'Whether an audited table refuses a value that JSON cannot hold; else the entry describes it');

create function bulwark_private.audit_value(value anyelement)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_error text;
  v_text text;
begin
  return to_jsonb(value);
exception
  -- Code of a type may raise anything; the application's write must not fail for it.
  when others then
    v_error := sqlstate;
    if (bulwark_private.setting('audit.refuse_unconvertible'))::boolean then
      raise exception 'Cannot record change: JSON cannot hold a value of type %', pg_typeof(value)
        using errcode = 'data_exception', detail = 'AUDIT_UNCONVERTIBLE_VALUE',
              hint = 'Ignore the column, or turn the setting audit.refuse_unconvertible off';
    end if;
    begin
      v_text := value::text;
      return jsonb_build_object(
        'unconvertible', pg_typeof(value)::text, 'error', v_error, 'bytes', octet_length(v_text),
        'sha256', encode(sha256(convert_to(v_text, 'UTF8')), 'hex')
      ) || case
        when octet_length(v_text) <= 1024 then jsonb_build_object('text', v_text) else '{}'
      end;
    exception
      when others then
        return jsonb_build_object(
          'unconvertible', pg_typeof(value)::text, 'error', v_error,
          'stored_bytes', pg_column_size(value)
        );
    end;
end;
$$;
comment on function bulwark_private.audit_value(anyelement) is
  'A value as JSON. If JSON cannot hold it: its type, the error, length and SHA-256 of its text, and
   the text itself up to 1,024 bytes. Errors, with the setting audit.refuse_unconvertible:
   AUDIT_UNCONVERTIBLE_VALUE.';

create function bulwark_private.audit_value(value anyelement, other anyelement)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_value constant jsonb := bulwark_private.audit_value(value);
begin
  if record_image_eq(row(value), row(other))
    or coalesce(v_value, 'null')::text <> coalesce(
      bulwark_private.audit_value(other), 'null'
    )::text then
    return v_value;
  end if;
  return to_jsonb(value::text);
exception
  when others then
    return v_value;
end;
$$;
comment on function bulwark_private.audit_value(anyelement, anyelement) is
  'One side of a change. If both sides give the same JSON (a json column with duplicate keys, -0 and
   0, null and a JSON null), it is the value''s text.';

-- For sessions whose settings change the output of to_jsonb.
create function bulwark_private.audit_json(changed record)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
as $$ begin return to_jsonb(changed); end; $$;
comment on function bulwark_private.audit_json(record) is
  'A row as JSON, independent of the session''s settings.';

create function bulwark_private.audit_image(
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
  -- No value passes through an aggregate: aggregates copy long values in quadratic time.
  -- A renamed column still holds its secret, and its new name is unknown here, so all are masked.
  if not coalesce(whole, image) ?& (ignored || redacted) then
    return (select jsonb_object_agg(k, '[redacted]') from jsonb_object_keys(image) as k);
  end if;
  image := image - ignored;
  image := image || (
    select coalesce(jsonb_object_agg(c, '[redacted]'), '{}')
    from unnest(redacted) as c
    where image ? c
  );
  if pg_column_size(image) > 32768 then
    image := image || (
      select coalesce(jsonb_object_agg(v.key, format('[%s bytes left out]', v.bytes)), '{}')
      from (
        select e.key, octet_length(e.value::text) as bytes from jsonb_each(image) as e offset 0
      ) v
      where v.bytes > 1024
    );
  end if;
  return image;
end;
$$;
comment on function bulwark_private.audit_image(jsonb, text[], text[], jsonb) is
  'A row, or the changed part of one, as an entry may hold it: without ignored columns, with
   redacted columns masked and, above 32,768 bytes, without values of more than 1,024. If the row
   lacks one of those columns because it was renamed, all values are masked.';

create function bulwark_private.audit_key(image jsonb, key_columns text[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when key_columns is null
    then 'sha256:' || encode(sha256(convert_to(image::text, 'UTF8')), 'hex')
    when cardinality(key_columns) = 1 then image ->> key_columns[1]
    else (select jsonb_object_agg(c, image -> c)::text from unnest(key_columns) as c)
  end;
$$;
comment on function bulwark_private.audit_key(jsonb, text[]) is
  'The resource_id of a row: its key, as a JSON object if it has several columns; for a row without
   a key a hash of its image.';

create function bulwark_private.audit_lookup(lookup regproc, value text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case p.prorettype
    when 'uuid'::regtype then c.call
    else format('bulwark_private.organization_of((%s)::text)', c.call)
  end
  from pg_catalog.pg_proc p
  cross join lateral format(
    '%s((%s)::%s)', p.oid::regproc, value, format_type(p.proargtypes[0], null)
  ) as c (call)
  where p.oid = lookup;
$$;
comment on function bulwark_private.audit_lookup(regproc, text) is
  'SQL text that calls a look-up of the host with a value, also SQL, and gives the organization.';

create function bulwark_private.audit_organization(value text, lookup text)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  if lookup <> '' then
    execute format('select %s', bulwark_private.audit_lookup(lookup::regproc, '$1'))
      into v_organization
      using value;
    return coalesce(v_organization, bulwark_private.remembered_organization(value, lookup));
  end if;
  return bulwark_private.uuid_or_null(value);
exception
  -- If a look-up of the host fails, the entry has no organization, and the host's write goes on.
  when others then
    raise warning 'Cannot find the organization of an audit entry: %', sqlerrm;
    return null;
end;
$$;
comment on function bulwark_private.audit_organization(text, text) is
  'The organization of a row: the value of its organization column, or the result of a look-up by
   it. Null, with a warning, if the look-up fails.';

create view bulwark_private.audit_columns with (security_invoker = true) as
  select
    a.attrelid as relation,
    a.attname as name,
    a.attnum as place,
    a.atttypid as type,
    t.exact or t.convertible as convertible,
    t.exact,
    case
      when a.atttypid = any ('{timestamptz, timestamptz[]}'::regtype[]) then '{timezone}'::text[]
      when a.atttypid = any ('{float4, float8, float4[], float8[]}'::regtype[])
      then '{extra_float_digits}'::text[]
      when t.exact and a.atttypid <> all ('{interval, bytea}'::regtype[]) or t.convertible
      then '{}'::text[]
      else '{
        timezone, datestyle, intervalstyle, extra_float_digits, bytea_output, lc_monetary
      }'::text[]
    end as settings
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type y on y.oid = a.atttypid
  cross join lateral (
    select
      y.typtype = 'e' and not exists (
        select from pg_catalog.pg_cast x
        where x.castsource = y.oid and x.casttarget = 'json'::regtype
      ) or y.oid = any ('{
        bool, int2, int4, int8, numeric, text, varchar, bpchar, name, uuid, date, time, timetz,
        timestamp, timestamptz, interval, bytea, inet, cidr
      }'::regtype[]) as exact,
      y.oid = any ('{
        float4, float8, jsonb, bool[], int2[], int4[], int8[], numeric[], float4[], float8[],
        text[], varchar[], uuid[], date[], timestamp[], timestamptz[]
      }'::regtype[]) as convertible
  ) t
  where a.attnum > 0 and not a.attisdropped;
comment on view bulwark_private.audit_columns is
  'Columns of tables: whether their type converts to JSON without errors, whether different values
   always give different JSON, and the settings that this depends on.';

-- PL/pgSQL caches the plan: every statement in bulk mode calls this.
create function bulwark_private.audit_key_columns(relation oid, known text[])
  returns text[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text[] := (
    select array_agg(a.attname::text order by k.place)
    from pg_catalog.pg_index i
    cross join unnest(i.indkey) with ordinality as k (attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = audit_key_columns.relation
      and i.indisprimary
      and k.place <= i.indnkeyatts
  );
begin
  if v_key is not null or exists (
    select from unnest(known) as k
    where k <> all (array(
      select c.name::text from bulwark_private.audit_columns c
        where c.relation = audit_key_columns.relation
    ))
  ) then
    return v_key;
  end if;
  return known;
end;
$$;
comment on function bulwark_private.audit_key_columns(oid, text[]) is
  'The columns that identify a row of the table: its primary key or, if it has none any more, the
   known columns while all of them exist; else null.';

create function bulwark_private.audit_places(relation oid, names text[])
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_object_agg(a.attname, a.attnum), '{}')
  from pg_catalog.pg_attribute a
  where a.attrelid = audit_places.relation and a.attname = any (names) and not a.attisdropped;
$$;
comment on function bulwark_private.audit_places(oid, text[]) is
  'Numbers of the columns that have these names now. A column keeps its number when it is renamed.';

create function bulwark_private.audit_moved(relation oid, places jsonb)
  returns text[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p.name
    from jsonb_each_text(places) as p (name, place)
    left join pg_catalog.pg_attribute a
      on a.attrelid = audit_moved.relation and a.attnum = p.place::smallint
    where a.attname is distinct from p.name or a.attisdropped
    order by p.name
  );
end;
$$;
comment on function bulwark_private.audit_moved(oid, jsonb) is
  'Names in places (from audit_places) that no column or another column has now.';
