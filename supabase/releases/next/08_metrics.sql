-- 08_metrics: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('metrics.alert_rules', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('metrics.max_metrics', '{"type": "integer", "minimum": 0, "maximum": 100000}'),
  ('metrics.series_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.minute_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('metrics.hour_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('metrics.day_days', '{"type": "integer", "minimum": 1, "maximum": 36500}');
create function bulwark.delete_alert_rule(name text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients and the service role write no table
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  delete from bulwark_private.alert_rules r where r.name = delete_alert_rule.name;
  if not found then
    raise exception 'Cannot delete alert rule: there is none with this name'
      using errcode = 'PT404', detail = 'METRICS_UNKNOWN_ALERT_RULE',
            hint = 'List them with list_alerts';
  end if;
end;
$$;
comment on function bulwark.delete_alert_rule(text) is
  'Deletes an alert rule with its state, and resolves its open security event. Needs system:admin.
   Errors: METRICS_UNKNOWN_ALERT_RULE, RBAC_PERMISSION_DENIED.';
revoke all on function bulwark.delete_alert_rule(name text) from public;
revoke all on function bulwark.delete_alert_rule(name text) from anon;
revoke all on function bulwark.delete_alert_rule(name text) from authenticated;
revoke all on function bulwark.delete_alert_rule(name text) from service_role;
grant execute on function bulwark.delete_alert_rule(text) to authenticated;
grant execute on function bulwark.delete_alert_rule(text) to service_role;
