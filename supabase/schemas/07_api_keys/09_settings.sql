-- API keys settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks keys, such as a rule that does not exist. All other settings
-- are the operator's.
-- No function here is SECURITY DEFINER.

insert into bulwark_private.setting_rules (name, accepts) values
  ('api_keys.environments', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "string", "pattern": "^[a-z]{2,12}$"}}'),
  ('api_keys.default_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_overlap_days', '{"type": "integer", "minimum": 0, "maximum": 365}'),
  ('api_keys.limit_per_owner', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('api_keys.rate_limit_rules', '{"type": "array", "minItems": 1, "maxItems": 100, "items":
      {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,62}$"}}'),
  ('api_keys.use_precision_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}');

create function bulwark_private.settings_require_known_rules()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  select coalesce(i.item #>> '{}', 'null') into v_unknown
  from jsonb_array_elements(
    case when jsonb_typeof(new.value) = 'array' then new.value else jsonb_build_array(new.value) end
  ) as i (item)
  where not exists (
    select from bulwark.rate_limit_rules r where to_jsonb(r.name) = i.item
  )
  limit 1;
  if found then
    raise exception 'Cannot set %: there is no rate limit rule %', new.name, left(v_unknown, 64)
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = 'List them with: select name from rate_limit_rules';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.settings_require_known_rules() is
  'Trigger: raises SETTING_INVALID_VALUE where api_keys.rate_limit_rules names a rule that does not
   exist, also for the owner of the database.';

create trigger settings_require_known_rules
  before update on bulwark.settings
  for each row when (new.name = 'api_keys.rate_limit_rules' and new.value <> old.value)
  execute function bulwark_private.settings_require_known_rules();
