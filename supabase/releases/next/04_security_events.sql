-- 04_security_events: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('security.resolved_retention_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('security.open_events_about_nobody', '{"type": "integer", "minimum": 10, "maximum": 100000}');
create or replace function bulwark.list_security_events(
  organization_id uuid default null,
  include_resolved boolean default false,
  minimum_severity bulwark.security_severity default 'low',
  before uuid default null,
  page_size integer default 50
)
  returns setof bulwark.security_events
  language plpgsql
  stable
  rows 50
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Row-level security decides; this only says so instead of answering with nothing. Within,
  -- because the service role may not even name the function.
  if current_user = 'authenticated' then
    perform bulwark.require_permission('security:read', organization_id);
  end if;
  return query
    select e.*
    from bulwark.security_events e
    where e.organization_id is not distinct from list_security_events.organization_id
      and (include_resolved or e.resolved_at is null)
      and e.severity >= minimum_severity
      and (
        before is null
        or (e.raised_at, e.id) < (
          select b.raised_at, b.id from bulwark.security_events b where b.id = before
        )
      )
    order by e.raised_at desc, e.id desc
    limit least(greatest(page_size, 1), 1000);
end;
$$;
comment on function bulwark.list_security_events(
  uuid, boolean, bulwark.security_severity, uuid, integer
) is
  'The events of an organization (security:read there; null: those of the installation, for a
   super_admin), newest first, by page: before is the id of the last event of the previous page.
   Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
