-- Security events levels: how many events are open, by severity, for metrics.
-- Protects against incidents that nobody handles. No label names an organization or a person.
-- No function here is SECURITY DEFINER.

create function bulwark_private.security_event_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select
    'security_events_open', '', 'Open security events',
    jsonb_build_object('severity', s.severity), count(e.id)::double precision
  from unnest(enum_range(null::bulwark.security_severity)) as s (severity)
  left join bulwark.security_events e on e.severity = s.severity and e.resolved_at is null
  group by s.severity
  union all
  select
    'alerts_silenced', '', 'Alerts that reach nobody',
    '{"reason": "security_rule_disabled"}', count(*)::double precision
  from bulwark.security_rules r where not r.enabled;
$$;
comment on function bulwark_private.security_event_levels() is
  'The levels of security events: see docs/metrics.md.';
