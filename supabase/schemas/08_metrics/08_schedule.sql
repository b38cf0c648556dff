-- Metrics schedule: what evaluates alerts and rolls up what ages with nobody calling.
-- Protects against an alert that nobody evaluates. No function here is SECURITY DEFINER: pg_cron
-- runs jobs as whoever scheduled them.

create function bulwark_private.schedule_metrics_jobs()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.schedule_job(
    'bulwark-alerts', '* * * * *', 'select bulwark.evaluate_alerts()'
  );
  return bulwark_private.schedule_job(
    'bulwark-metrics', '*/10 * * * *', 'select bulwark.roll_up_metrics()'
  );
end;
$$;
comment on function bulwark_private.schedule_metrics_jobs() is
  'Schedules the evaluation of alerts each minute and the roll-up of metrics where pg_cron is
   installed; false where it is not. Call it again after installing it.';
