-- Metrics schedule: what evaluates alerts and rolls up what ages with nobody calling.
-- Protects against an alert that nobody evaluates. No function here is SECURITY DEFINER: pg_cron
-- runs jobs as whoever scheduled them.

insert into bulwark_private.jobs (name, every, local_every, command) values
  ('metrics-alerts', '1 minute', '5 seconds', 'select bulwark.evaluate_alerts()'),
  ('metrics-retention', '10 minutes', null, 'select bulwark.roll_up_metrics()');
