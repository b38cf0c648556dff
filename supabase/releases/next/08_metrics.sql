-- 08_metrics: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
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
