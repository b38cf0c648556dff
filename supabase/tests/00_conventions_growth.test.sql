-- What clients can make grow, and where that ends. A table that a function or trigger of theirs
-- comes to insert into says here by what it is bounded, or this file fails.
begin;
select plan(4);

create temporary view sources as
  select p.oid, concat(n.nspname, '.', p.proname) as name, p.prosrc as source,
    p.prorettype = 'trigger'::regtype or exists (
      select from unnest('{anon,authenticated,api_key}'::text[]) as client
      where has_function_privilege(client, p.oid, 'execute')
    ) as is_for_clients
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private') and p.prokind = 'f'
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');
create temporary table calls as
  select distinct s.name as caller, concat(m[1], '.', m[2]) as callee
  from sources s, regexp_matches(s.source, '\m(public|private)\.([a-z0-9_]+)\M', 'g') as m;
create temporary table insertions as
  select distinct s.name, concat(m[1], '.', m[2]) as relation
  from sources s, regexp_matches(
    s.source, '\minsert\s+into\s+(public|private)\.([a-z0-9_]+)', 'gi'
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
  ('private.alert_rules', 'limit', 'metrics.alert_rules'),
  ('public.api_keys', 'limit', 'api_keys.limit_per_owner'),
  ('public.audit_legal_holds', 'limit', 'audit.legal_holds'),
  ('public.invitations', 'limit', 'rbac.pending_invitations'),
  ('public.mfa_resets', 'limit', 'mfa.resets_per_day'),
  ('public.organizations', 'limit', 'rbac.self_service_limit'),
  ('public.rate_limit_networks', 'limit', 'rate_limits.listed_networks'),
  ('public.rate_limit_overrides', 'limit', 'rate_limits.overrides'),
  ('public.webhook_endpoints', 'limit', 'webhooks.maximum_endpoints'),
  ('private.rate_limits', 'limit', 'rate_limits.maximum_buckets'),
  ('public.audit_logs', 'age', 'audit.retention_days'),
  ('public.invitations', 'age', 'rbac.invitation_retention_days'),
  ('public.mfa_resets', 'age', 'mfa.reset_days'),
  ('public.mfa_usage_log', 'age', 'mfa.usage_log_days'),
  ('public.rate_limit_blocks', 'age', 'rate_limits.violation_days'),
  ('private.rate_limit_violations', 'age', 'rate_limits.violation_days'),
  ('private.known_networks', 'age', 'rate_limits.network_days'),
  ('public.security_events', 'age', 'security.resolved_retention_days'),
  ('public.webhook_deliveries', 'age', 'webhooks.retention_days'),
  ('private.webhook_payloads', 'age', 'webhooks.retention_days'),
  ('private.departures', 'own', 'a member and organization, for 91 days'),
  ('private.security_event_echoes', 'own', 'counted and removed within the minute'),
  ('private.audit_parents', 'own', 'removed with the next seal'),
  ('private.audit_eras', 'own', 'one a cluster'),
  ('private.audit_gaps', 'own', 'an event of Auth that could not be recorded'),
  ('private.api_key_hashes', 'own', 'one a key'),
  ('private.api_key_uses', 'own', 'one a key'),
  ('private.effective_permissions', 'own', 'a role and permission'),
  ('private.invitation_accounts', 'own', 'an invitation, and those who had its address meanwhile'),
  ('private.invitation_tokens', 'own', 'one an invitation'),
  ('private.mfa_accounts', 'own', 'one an account'),
  ('private.mfa_attempts', 'own', '20 an account'),
  ('private.mfa_reset_consents', 'own', 'a reset, organization and person'),
  ('private.mfa_sessions', 'own', 'one a session'),
  ('private.mfa_trusted_devices', 'own', '20 an account'),
  ('private.permission_versions', 'own', 'one an organization'),
  ('private.shredded_organizations', 'own', 'one an organization'),
  ('private.webhook_destinations', 'own', 'one an endpoint'),
  ('private.webhook_secrets', 'own', '5 an endpoint'),
  ('private.webhook_turns', 'own', 'one an endpoint'),
  ('public.api_key_policies', 'own', 'one an organization'),
  ('public.mfa_policies', 'own', 'one an organization'),
  ('public.role_inheritance', 'own', '20 a role'),
  ('public.role_permissions', 'own', '200 a role'),
  ('public.roles', 'own', '100 an organization'),
  ('public.user_roles', 'own', 'an account, role and organization'),
  ('public.webhook_endpoint_health', 'own', 'one an endpoint'),
  ('public.webhook_subscriptions', 'own', '50 an endpoint');

select is_empty(
  $$ select relation from growing except select relation from bounds $$,
  'CONV-31: whatever clients can make grow has a bound'
);
select is_empty(
  $$ select relation from bounds except select relation from growing $$,
  'CONV-32: and what has one here, they can make grow'
);
select is_empty(
  $$ select b.by from bounds b
     where b.kind not in ('limit', 'age', 'own') or b.kind <> 'own'
       and not exists (select from private.settings s where s.name = b.by) $$,
  'CONV-33: limits and ages are settings'
);
-- The buckets are removed by a schedule, the rest is refused where it is made.
select is_empty(
  $$ select b.by from bounds b
     where b.kind = 'limit' and not exists (
       select from sources s
       where strpos(s.source, format('private.setting(%L)', b.by)) > 0
         and (
           s.source ~ '\m(lock_count|require_permission_to_change)\('
           -- Its callers hold the organization's rights alone.
           or s.name in ('private.require_room_for_invitation', 'public.cleanup_old_rate_limits')
         )
     ) $$,
  'CONV-34: a limit is counted behind a lock, so that calls at once do not pass it together'
);

select * from finish();
rollback;
