-- Settings: administrators of the installation list and change them.
-- Protects against a value that fails every request, and against an administrator who changes what
-- binds administrators too, such as the retention of the audit log.
-- SECURITY DEFINER: list_settings, set_setting, because clients read and write no settings.

insert into bulwark_private.setting_rules (name, accepts) values
  ('rbac.self_service_organizations', '{"type": "boolean"}'),
  ('rbac.self_service_limit', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('rbac.anonymous_members', '{"type": "boolean"}'),
  ('rbac.delete_last_administrators', '{"type": "boolean"}'),
  ('rbac.pending_invitations', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitations_per_address', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('rbac.invitation_retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}');

create function bulwark.list_settings()
  returns table (name text, value jsonb, description text, accepts jsonb)
  language plpgsql
  stable
  rows 100
  security definer            -- definer because clients read no settings
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:admin', null);
  return query
    select s.name, s.value, s.description, r.accepts
    from bulwark.settings s
    left join bulwark_private.setting_rules r on r.name = s.name
    order by s.name collate "C";
end;
$$;
comment on function bulwark.list_settings() is
  'All settings with their values (system:admin). accepts: the values that set_setting takes, as a
   JSON Schema; null: only the owner of the database changes it. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

-- The value is json: text whose reading as jsonb may fail (a number out of range, a character
-- \u0000) is refused here and not by PostgREST.
create function bulwark.set_setting(name text, value json)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients write no settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_accepts jsonb;
  v_value jsonb;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.setting(name);
  select r.accepts into v_accepts
  from bulwark_private.setting_rules r where r.name = set_setting.name;
  if not found then
    raise exception 'Cannot set %: only the owner of the database changes it', set_setting.name
      using errcode = 'insufficient_privilege', detail = 'SETTING_IS_OPERATORS',
            hint = 'In the SQL editor: update bulwark.settings';
  end if;
  begin
    v_value := value::jsonb;
  exception when data_exception then
    v_value := null;            -- which no rule accepts
  end;
  if not bulwark_private.schema_accepts(v_accepts, v_value) then
    raise exception 'Cannot set %: it does not accept this value', set_setting.name
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = format('It accepts %s', v_accepts);
  end if;
  update bulwark.settings s
  set value = v_value
  where s.name = set_setting.name and s.value <> v_value;
end;
$$;
comment on function bulwark.set_setting(text, json) is
  'Changes a setting that list_settings shows with accepts (system:admin). It counts from the next
   statement on, and is recorded as settings.updated. Errors: SETTING_IS_OPERATORS,
   SETTING_INVALID_VALUE, UNKNOWN_SETTING, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
