-- Security resolution: assigning and closing events.
-- Protects against events that are closed without a note, without permission, or by another
-- organization. Does not reveal whether another organization's event exists.
-- SECURITY DEFINER: assign_security_event and resolve_security_event, because no client writes
-- events.

create function bulwark_private.find_security_event(event_id uuid)
  returns bulwark.security_events
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events;
begin
  perform bulwark_private.require_caller();
  select * into v_event from bulwark.security_events e where e.id = event_id;
  if not found or not bulwark_private.caller_is_service() and not (
    case
      when v_event.organization_id is null then bulwark.is_super_admin()
      else bulwark_private.user_permits(
        bulwark_private.require_user(), 'security:read', v_event.organization_id
      )
    end
  ) then
    raise exception 'Cannot change the security event: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'SECURITY_EVENT_NOT_FOUND',
        hint = 'List them with list_security_events';
  end if;
  if v_event.organization_id is not null then
    perform bulwark.require_permission('security:resolve', v_event.organization_id);
  end if;
  return v_event;
end;
$$;
comment on function bulwark_private.find_security_event(uuid) is
  'An event that the caller may assign and resolve right now. Raises SECURITY_EVENT_NOT_FOUND, the
   same for another organization''s event and for an unknown one, and RBAC_PERMISSION_DENIED.';

create function bulwark_private.take_security_event(event_id uuid)
  returns bulwark.security_events
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.find_security_event(event_id);
begin
  perform bulwark_private.lock_rights(v_event.organization_id);
  perform bulwark_private.hold_session();
  -- Raising holds this lock without waiting, so the wait here is short. The row may have changed,
  -- so it is read again.
  perform pg_advisory_xact_lock(bulwark_private.security_event_lock(
    v_event.event_type, v_event.organization_id, v_event.user_id, v_event.subject
  ));
  perform from bulwark.security_events e where e.id = event_id for update;
  v_event := bulwark_private.find_security_event(event_id);
  if v_event.resolved_at is not null then
    raise exception 'Cannot change the security event: it is resolved'
      using errcode = 'PT409', detail = 'SECURITY_EVENT_RESOLVED',
            hint = 'If it happens again, a new event is raised';
  end if;
  return v_event;
end;
$$;
comment on function bulwark_private.take_security_event(uuid) is
  'Locks an open event, see bulwark_private.find_security_event. Raises also
   SECURITY_EVENT_RESOLVED.';

create function bulwark.assign_security_event(event_id uuid, assignee uuid)
  returns bulwark.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.take_security_event(event_id);
begin
  -- Only super admins may read events of the installation, so only they can be assigned.
  if assignee is not null and (
    bulwark_private.user_permits(assignee, 'security:read', v_event.organization_id) is not true
    or v_event.organization_id is null and not exists (
      select from bulwark_private.active_grants g
      where g.user_id = assignee
        and g.organization_id is null
        and g.role_id = bulwark_private.super_admin_role()
    )
  ) then
    raise exception 'Cannot assign the security event: the assignee may not read it'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_ASSIGNEE',
            hint = 'Choose a member who holds security:read';
  end if;
  update bulwark.security_events e
  set assigned_to = assignee
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function bulwark.assign_security_event(uuid, uuid) is
  'Assigns an open event (security:resolve) to a member who may read it, or to nobody (null).
   Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_ASSIGNEE,
   RBAC_PERMISSION_DENIED.';

create function bulwark.resolve_security_event(event_id uuid, note text)
  returns bulwark.security_events
  language plpgsql
  volatile
  security definer            -- definer because no client writes events
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_event bulwark.security_events := bulwark_private.take_security_event(event_id);
begin
  if btrim(coalesce(note, ''), E' \t\r\n') = '' or length(note) > 2000 then
    raise exception 'Cannot resolve the security event: the note has 1 to 2000 characters'
      using errcode = 'invalid_parameter_value', detail = 'SECURITY_INVALID_NOTE',
            hint = 'Say what it was and what was done';
  end if;
  update bulwark.security_events e
  set resolved_at = clock_timestamp(), resolved_by = bulwark.current_person(),
      resolution_note = note
  where e.id = event_id
  returning * into v_event;
  return v_event;
end;
$$;
comment on function bulwark.resolve_security_event(uuid, text) is
  'Closes an open event with a note (security:resolve). The next occurrence opens a new event.
   Errors: SECURITY_EVENT_NOT_FOUND, SECURITY_EVENT_RESOLVED, SECURITY_INVALID_NOTE,
   RBAC_PERMISSION_DENIED.';
