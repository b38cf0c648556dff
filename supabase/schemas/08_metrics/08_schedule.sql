-- Metrics, schedule: jobs that evaluate alerts and roll up old points.

insert into bulwark_private.jobs (name, every, local_every, command) values
  ('metrics-alerts', '1 minute', '5 seconds', 'select bulwark.evaluate_alerts()'),
  ('metrics-retention', '10 minutes', null, 'select bulwark.roll_up_metrics()');
