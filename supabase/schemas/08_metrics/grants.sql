-- Grants of metrics. The build revokes everything else.

grant execute on function
  bulwark.read_metric(text, timestamptz, timestamptz, jsonb, interval, text),
  bulwark.list_metrics(),
  bulwark.scrape_metrics(),
  bulwark.top_queries(integer),
  bulwark.list_alerts(),
  bulwark.check_health(),
  bulwark.delete_alert_rule(text),
  bulwark.set_alert_rule(text, text, bulwark.metric_statistic, double precision, double precision,
    jsonb, interval, interval, interval, interval, bigint, boolean, boolean, text)
  to authenticated, service_role;

grant execute on function bulwark.record_metrics(uuid, jsonb) to service_role;
