-- Security resolution: who takes care of an event, and how it ended.
-- Protects against an event that is closed without a word, by somebody who may not, or by one
-- organization for another; of a foreign event nobody learns that there is one.
-- SECURITY DEFINER: assign_security_event and resolve_security_event, because no client writes
--   events.

create function private.find_security_event(event_id uuid)
  returns public.security_events
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events;
begin
  perform private.require_caller();
  select * into v_event from public.security_events e where e.id = event_id;
  if not found or not private.caller_is_service() and not (
    case
      when v_event.organization_id is null then private.is_super_admin()
      else private.user_permits(private.require_user(), 'security:read', v_event.organization_id)
    end
  ) then
    raise exception 'Cannot change the security event: there is none here that you may see'
      using errcode = 'PT404', detail = 'SECURITY_EVENT_NOT_FOUND';
  end if;
  if v_event.organization_id is not null then
    perform private.require_permission('security:resolve', v_event.organization_id);
  end if;
  return v_event;
end;
$$;
comment on function private.find_security_event(uuid) is
  'An event that the caller may assign and resolve right now. Raises SECURITY_EVENT_NOT_FOUND, the
   same for a foreign one and for none, RBAC_PERMISSION_DENIED.';

create function private.take_security_event(event_id uuid)
  returns public.security_events
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events := private.find_security_event(event_id);
begin
  perform private.lock_rights(v_event.organization_id);
  perform private.hold_session();
  -- Whoever raises holds this lock and waits for nothing, so it comes free. The row is read again
  -- behind it.
  perform pg_advisory_xact_lock(private.security_event_lock(
    v_event.event_type, v_event.organization_id, v_event.user_id, v_event.subject
  ));
  perform from public.security_events e where e.id = event_id for update;
  v_event := private.find_security_event(event_id);
  if v_event.resolved_at is not null then
    raise exception 'Cannot change the security event: it is resolved'
      using errcode = 'PT409', detail = 'SECURITY_EVENT_RESOLVED',
            hint = 'Should it happen again, another one is raised';
  end if;
  return v_event;
end;
$$;
comment on function private.take_security_event(uuid) is
  'private.find_security_event, locked and open. Raises SECURITY_EVENT_RESOLVED besides.';

create function public.assign_security_event(event_id uuid, assignee uuid)
  returns public.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events := private.take_security_event(event_id);
begin
  -- The installation's own are read by super admins alone, whatever others hold system-wide.
  if assignee is not null and (
    private.user_permits(assignee, 'security:read', v_event.organization_id) is not true
    or v_event.organization_id is null and not exists (
      select from private.active_grants g
      where g.user_id = assignee
        and g.organization_id is null
        and g.role_id = private.super_admin_role()
    )
  ) then
    raise exception 'Cannot assign the security event: they could not read it'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_ASSIGNEE',
            hint = 'Choose a member who holds security:read';
  end if;
  update public.security_events e
  set assigned_to = assignee
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function public.assign_security_event(uuid, uuid) is
  'Says who takes care of an open event (security:resolve): a member who may read it, or null for
   nobody. Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_ASSIGNEE,
   RBAC_PERMISSION_DENIED.';

create function public.resolve_security_event(event_id uuid, note text)
  returns public.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event public.security_events := private.take_security_event(event_id);
begin
  if btrim(coalesce(note, ''), E' \t\r\n') = '' or length(note) > 2000 then
    raise exception 'Cannot resolve the security event: the note has 1 to 2000 characters'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_NOTE',
            hint = 'Say what it was and what was done';
  end if;
  update public.security_events e
  set resolved_at = clock_timestamp(), resolved_by = private.current_person(),
      resolution_note = note
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function public.resolve_security_event(uuid, text) is
  'Closes an open event with a note of what it was (security:resolve); the same happening again
   opens another. Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_NOTE,
   RBAC_PERMISSION_DENIED.';

revoke all on function
  private.find_security_event(uuid), private.take_security_event(uuid),
  public.assign_security_event(uuid, uuid), public.resolve_security_event(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.assign_security_event(uuid, uuid), public.resolve_security_event(uuid, text)
  to authenticated, service_role;
