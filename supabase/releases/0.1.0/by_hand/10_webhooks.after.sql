-- Until here the trigger of the log made the deliveries. It is dropped, and the lock that this
-- takes waited for every writer, so all entries that it saw are finished in this snapshot.
insert into bulwark_private.webhook_upgrades (timeline, snapshot)
select bulwark_private.audit_timeline(), pg_current_snapshot();
