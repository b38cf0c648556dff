-- Setting rules: the settings that administrators may change, and the values that each accepts.
-- Protects against a setting that fails every request, and against administrators who change what
-- binds them too: a setting without a rule is changed only by the owner of the database.
-- No function here is SECURITY DEFINER.

create table bulwark_private.setting_rules (
  name text primary key references bulwark.settings (name) on delete cascade,
  accepts jsonb not null
);
comment on table bulwark_private.setting_rules is
  'The settings that bulwark.set_setting changes, and the values that each accepts, as a JSON
   Schema. Not audited: only migrations write it.';
alter table bulwark_private.setting_rules enable row level security;

create function bulwark_private.schema_accepts(schema jsonb, value jsonb)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number numeric;
  v_type constant text := schema ->> 'type';
begin
  if v_type in ('integer', 'number') and jsonb_typeof(value) = 'number' then
    v_number := value::numeric;
    return (v_type = 'number' or v_number = trunc(v_number))
      and v_number >= (schema -> 'minimum')::numeric
      and v_number <= (schema -> 'maximum')::numeric;
  elsif v_type = 'string' and jsonb_typeof(value) = 'string' then
    return value #>> '{}' ~ (schema ->> 'pattern');
  elsif v_type = 'array' and jsonb_typeof(value) = 'array' then
    return jsonb_array_length(value) >= (schema -> 'minItems')::integer
      and jsonb_array_length(value) <= (schema -> 'maxItems')::integer
      and not exists (
        select from jsonb_array_elements(value) as i (item)
        where not bulwark_private.schema_accepts(schema -> 'items', i.item)
      );
  end if;
  return coalesce(v_type = 'boolean' and jsonb_typeof(value) = 'boolean', false);
end;
$$;
comment on function bulwark_private.schema_accepts(jsonb, jsonb) is
  'Whether a JSON Schema of a rule accepts a value: a boolean, an integer or number from minimum to
   maximum, a string of a pattern, or an array of minItems to maxItems items. False for null.';
