-- Every table that clients can insert into, through a function or a trigger, has a limit on its
-- rows or a retention. A table that is not listed here fails this file.
begin;
set local search_path = bulwark, public, extensions;
select plan(4);

create temporary view sources as
  select p.oid, concat(n.nspname, '.', p.proname) as name, p.prosrc as source,
    p.prorettype = 'trigger'::regtype or exists (
      select from unnest('{anon,authenticated,api_key}'::text[]) as client
      where has_function_privilege(client, p.oid, 'execute')
    ) as is_for_clients
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ('bulwark', 'bulwark_private') and p.prokind = 'f'
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');
create temporary table calls as
  select distinct s.name as caller, concat(m[1], '.', m[2]) as callee
  from sources s, regexp_matches(s.source, '\m(bulwark|bulwark_private)\.([a-z0-9_]+)\M', 'g') as m;
create temporary table insertions as
  select distinct s.name, concat(m[1], '.', m[2]) as relation
  from sources s, regexp_matches(
    s.source, '\minsert\s+into\s+(bulwark|bulwark_private)\.([a-z0-9_]+)', 'gi'
  ) as m;
create temporary view growing as
  with recursive reached (name) as (
    select s.name from sources s where s.is_for_clients
    union
    select c.callee from reached r join calls c on c.caller = r.name
  )
  select distinct i.relation from reached r join insertions i using (name);

-- limit: a function refuses beyond the setting. age: rows go after the setting's days or hours.
-- own: one for what is named, or a number written down there, which the table cannot exceed.
create temporary table bounds (relation text, kind text, by text);
insert into bounds values
  ('bulwark_private.alert_rules', 'limit', 'metrics.alert_rules'),
  ('bulwark.access_reviews', 'limit', 'compliance.reviews'),
  ('bulwark.access_reviews', 'age', 'compliance.review_days'),
  ('bulwark.access_review_items', 'own', '10,000 a review'),
  ('bulwark.api_keys', 'limit', 'api_keys.limit_per_owner'),
  ('bulwark.audit_legal_holds', 'limit', 'audit.legal_holds'),
  ('bulwark.invitations', 'limit', 'rbac.pending_invitations'),
  ('bulwark.mfa_resets', 'limit', 'mfa.resets_per_day'),
  ('bulwark.organizations', 'limit', 'rbac.self_service_limit'),
  ('bulwark.rate_limit_networks', 'limit', 'rate_limits.listed_networks'),
  ('bulwark.rate_limit_overrides', 'limit', 'rate_limits.overrides'),
  ('bulwark.webhook_endpoints', 'limit', 'webhooks.maximum_endpoints'),
  ('bulwark_private.rate_limits', 'limit', 'rate_limits.maximum_buckets'),
  ('bulwark.audit_logs', 'age', 'audit.retention_days'),
  ('bulwark.invitations', 'age', 'rbac.invitation_retention_days'),
  ('bulwark.mfa_resets', 'age', 'mfa.reset_days'),
  ('bulwark.mfa_usage_log', 'age', 'mfa.usage_log_days'),
  ('bulwark.rate_limit_blocks', 'age', 'rate_limits.violation_days'),
  ('bulwark_private.rate_limit_violations', 'age', 'rate_limits.violation_days'),
  ('bulwark_private.known_networks', 'age', 'rate_limits.network_days'),
  ('bulwark.security_events', 'age', 'security.resolved_retention_days'),
  ('bulwark.webhook_deliveries', 'age', 'webhooks.retention_days'),
  ('bulwark_private.webhook_payloads', 'age', 'webhooks.retention_days'),
  ('bulwark_private.departures', 'own', 'a member and organization, for 91 days'),
  ('bulwark_private.deferred_security_events', 'own', 'counted and removed within the minute'),
  ('bulwark_private.audit_late_entries', 'own', 'removed with the next seal'),
  ('bulwark_private.audit_parents', 'own', 'removed with the next seal'),
  ('bulwark_private.audit_timelines', 'own', 'one a cluster'),
  ('bulwark_private.audit_gaps', 'own', 'an event of Auth that could not be recorded'),
  ('bulwark_private.api_key_hashes', 'own', 'one a key'),
  ('bulwark_private.api_key_uses', 'own', 'one a key'),
  ('bulwark_private.effective_permissions', 'own', 'a role and permission'),
  ('bulwark_private.invitation_accounts', 'own',
    'an invitation, and those who had its address meanwhile'),
  ('bulwark_private.invitation_tokens', 'own', 'one an invitation'),
  ('bulwark_private.mfa_accounts', 'own', 'one an account'),
  ('bulwark_private.mfa_attempts', 'own', '20 an account'),
  ('bulwark_private.mfa_reset_consents', 'own', 'a reset, organization and person'),
  ('bulwark_private.mfa_sessions', 'own', 'one a session'),
  ('bulwark_private.mfa_trusted_devices', 'own', '20 an account'),
  ('bulwark_private.former_organizations', 'own', 'one an organization'),
  ('bulwark_private.host_members', 'own', 'one a table of the host'),
  ('bulwark_private.host_organizations', 'own', 'one'),
  ('bulwark_private.organization_keys', 'own', 'one an organization'),
  ('bulwark_private.permission_versions', 'own', 'one an organization'),
  ('bulwark_private.shredded_organizations', 'own', 'one an organization'),
  ('bulwark_private.webhook_destinations', 'own', 'one an endpoint'),
  ('bulwark_private.webhook_secrets', 'own', '5 an endpoint'),
  ('bulwark_private.webhook_turns', 'own', 'one an endpoint'),
  ('bulwark.api_key_policies', 'own', 'one an organization'),
  ('bulwark.mfa_policies', 'own', 'one an organization'),
  ('bulwark.role_inheritance', 'own', '20 a role'),
  ('bulwark.role_permissions', 'own', '200 a role'),
  ('bulwark.roles', 'own', '100 an organization'),
  ('bulwark.user_roles', 'own', 'an account, role and organization'),
  ('bulwark.webhook_endpoint_health', 'own', 'one an endpoint'),
  ('bulwark.webhook_subscriptions', 'own', '50 an endpoint');
delete from bounds where not tests.is_expected(relation);

select is_empty(
  $$ select relation from growing except select relation from bounds $$,
  'CONV-31: whatever clients can make grow has a bound'
);
select is_empty(
  $$ select relation from bounds where tests.is_complete() except select relation from growing $$,
  'CONV-32: and what has one here, they can make grow'
);
select is_empty(
  $$ select b.by from bounds b
     where b.kind not in ('limit', 'age', 'own') or b.kind <> 'own'
       and not exists (select from bulwark.settings s where s.name = b.by) $$,
  'CONV-33: limits and ages are settings'
);
-- The buckets are removed by a schedule, the rest is refused where it is made.
select is_empty(
  $$ select b.by from bounds b
     where b.kind = 'limit' and not exists (
       select from sources s
       where strpos(s.source, format('bulwark_private.setting(%L)', b.by)) > 0
         and (
           s.source ~ '\m(lock_count|require_permission_to_change)\('
           -- Its callers hold the organization's rights alone.
           or s.name in (
             'bulwark_private.require_room_for_invitation', 'bulwark.cleanup_old_rate_limits'
           )
         )
     ) $$,
  'CONV-34: a limit is counted behind a lock, so that calls at once do not pass it together'
);

select * from finish();
rollback;
