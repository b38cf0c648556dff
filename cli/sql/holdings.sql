-- The data that an uninstallation would destroy and that nothing can bring back: entries of the
-- audit log beyond those of the installation itself.
select count(*) as entries
from bulwark.audit_logs l
where l.organization_id is not null or l.actor_id is not null
  or l.resource_type !~ '^bulwark(_private)?\.' or l.event_type = 'authz.role_assigned'
