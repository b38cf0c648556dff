-- MFA resetting: requesting a reset, approving it, cancelling it, and carrying it out.
-- Protects against a request that counts as its own consent: nobody approves their own request, and
-- approving needs a fresh second factor. A consent counts only if its giver still has the right
-- when the last consent comes.
-- SECURITY DEFINER: request_mfa_reset, approve_mfa_reset and cancel_mfa_reset, because no role of
--   the API writes resets and factors.

insert into bulwark.security_event_types (name, severity, description) values
  ('mfa_reset_requested', 'high', 'Somebody asked to take the second factors from an account'),
  ('mfa_reset', 'high', 'The second factors were taken from an account');

insert into bulwark.settings (name, value, description) values
  ('mfa.resets_per_day', '10',
    'How many resets of one account may be requested in one organization within a day');

create function bulwark_private.complete_mfa_reset(reset bulwark.mfa_resets, person uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if person is not null then
    insert into bulwark_private.mfa_reset_consents (reset_id, organization_id, user_id)
    select reset.id, o, person
    from bulwark_private.mfa_reset_organizations(reset.user_id, reset.organization_id) as o
    where bulwark_private.mfa_reset_refusal(person, reset.user_id, o) is null
    on conflict do nothing;
    -- A consent counts only while its giver may reset the user.
    if exists (
      select from bulwark_private.mfa_reset_organizations(reset.user_id, reset.organization_id) as o
      where (
        select count(*)
        from bulwark_private.mfa_reset_consents c
        where c.reset_id = reset.id
          and c.organization_id is not distinct from o
          and bulwark_private.mfa_reset_refusal(c.user_id, reset.user_id, o) is null
      ) < 1 + bulwark_private.mfa_reset_needs_approval(o)::integer
    ) then
      return false;
    end if;
  end if;
  -- The account is locked first, as everywhere, so that no earlier attempt verifies a session
  -- later.
  perform bulwark_private.lock_mfa_account(reset.user_id);
  update bulwark_private.mfa_accounts a
  set failures = '{}', consecutive_failures = 0, locks = 0, locked_until = null,
      told_of_lock = false
  where a.user_id = reset.user_id;
  perform bulwark_private.forget_factors(reset.user_id);
  update bulwark.mfa_resets r set completed_at = now() where r.id = reset.id;
  -- Other open requests are settled by this one. One that is being decided right now is skipped.
  update bulwark.mfa_resets r
  set cancelled_at = now()
  where r.id in (
    select o.id from bulwark.mfa_resets o
    where o.user_id = reset.user_id and o.completed_at is null and o.cancelled_at is null
    for update skip locked
  );
  perform bulwark_private.record_mfa(
    'auth.mfa_disabled', 'reset', reset.user_id, null, actor_id => person,
    details => jsonb_build_object('reset_id', reset.id, 'requested_by', reset.requested_by)
  );
  perform bulwark.raise_security_event(
    'mfa_reset', null, reset.user_id, '', jsonb_build_object('reset_id', reset.id)
  );
  return true;
end;
$$;
comment on function bulwark_private.complete_mfa_reset(bulwark.mfa_resets, uuid) is
  'Adds the consent of a person (null: the operator, whose consent is enough). Once all consents are
   there it removes factors, backup codes, trusted devices and verifications of sessions, unlocks
   the account and returns true.';

create function bulwark.request_mfa_reset(
  user_id uuid,
  reason text,
  organization_id uuid default null
)
  returns table (reset_id uuid, completed boolean)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because no role of the API writes resets
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_refusal text;
  v_person uuid := case when not bulwark_private.caller_is_service()
    then bulwark_private.require_user() end;
  v_reset bulwark.mfa_resets;
begin
  if reason is null or length(btrim(reason)) not between 1 and 500 then
    raise exception 'Cannot reset factors: a reason has 1 to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_REASON';
  end if;
  perform bulwark.require_permission('mfa:reset', request_mfa_reset.organization_id);
  perform bulwark_private.lock_rights(o)
  from bulwark_private.mfa_reset_organizations(
    request_mfa_reset.user_id, request_mfa_reset.organization_id
  ) as o;
  perform bulwark_private.hold_session();
  perform bulwark.require_permission('mfa:reset', request_mfa_reset.organization_id);
  if v_person is not null then
    perform bulwark_private.require_step_up();
    if request_mfa_reset.organization_id is not null and not bulwark_private.is_member(
      request_mfa_reset.user_id, request_mfa_reset.organization_id
    ) then
      raise exception 'Cannot reset factors: the user is not a member of the organization'
        using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_A_MEMBER',
          hint = 'Leave organization_id out if you are an operator, or ask the right organization';
    end if;
    v_refusal := bulwark_private.mfa_reset_refusal(
      v_person, request_mfa_reset.user_id, request_mfa_reset.organization_id
    );
    perform bulwark_private.raise_mfa_reset_refusal(v_refusal);
  end if;
  perform bulwark_private.require_existing_user(request_mfa_reset.user_id);
  -- The limit does not apply to the operator, who helps if nobody else can.
  perform bulwark_private.lock_count(
    'mfa_resets', concat_ws('/', request_mfa_reset.user_id, request_mfa_reset.organization_id)
  );
  if v_person is not null and (
    select count(*) >= (bulwark_private.setting('mfa.resets_per_day'))::integer
    from bulwark.mfa_resets r
    where r.user_id = request_mfa_reset.user_id
      and r.organization_id is not distinct from request_mfa_reset.organization_id
      and r.requested_at > now() - interval '1 day'
  ) then
    raise exception 'Cannot reset factors: it was requested too often within a day'
      using errcode = 'PT429', detail = 'MFA_TOO_MANY_RESETS',
            hint = 'Wait, or ask the operator';
  end if;
  update bulwark.mfa_resets r
  set cancelled_at = now()
  where r.user_id = request_mfa_reset.user_id
    and r.completed_at is null
    and r.cancelled_at is null
    -- A reset by the operator needs no consent, so it settles open requests.
    and (r.expires_at <= now() or v_person is null);
  insert into bulwark.mfa_resets (user_id, organization_id, reason, requested_by)
  values (
    request_mfa_reset.user_id, request_mfa_reset.organization_id, btrim(request_mfa_reset.reason),
    v_person
  )
  on conflict (user_id, organization_id) where completed_at is null and cancelled_at is null
    do nothing
  returning * into v_reset;
  if not found then
    raise exception 'Cannot reset factors: somebody has requested it already'
      using errcode = 'PT409', detail = 'MFA_RESET_PENDING',
            hint = 'Approve that request with approve_mfa_reset, or cancel it';
  end if;
  -- One for each organization that must consent.
  perform bulwark.raise_security_event(
    'mfa_reset_requested', o, v_reset.user_id, '', jsonb_build_object('reset_id', v_reset.id)
  )
  from (
    select null
    union
    select bulwark_private.mfa_reset_organizations(v_reset.user_id, v_reset.organization_id)
  ) as concerned (o);
  return query select v_reset.id, bulwark_private.complete_mfa_reset(v_reset, v_person);
end;
$$;
comment on function bulwark.request_mfa_reset(uuid, text, uuid) is
  'Requests to remove the second factors of a member (mfa:reset there, and a verification within
   mfa.step_up_minutes), and does it at once if no further consent is needed. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED, MFA_VERIFICATION_REQUIRED, MFA_OWN_RESET,
   MFA_USER_OUTRANKS, MFA_RESET_PENDING, MFA_TOO_MANY_RESETS, MFA_INVALID_REASON,
   RBAC_NOT_A_MEMBER, RBAC_UNKNOWN_USER.';

create function bulwark_private.find_mfa_reset(reset_id uuid)
  returns bulwark.mfa_resets
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset bulwark.mfa_resets;
begin
  perform bulwark_private.require_caller();
  select * into v_reset
  from bulwark.mfa_resets r
  where r.id = reset_id
    and r.completed_at is null
    and r.cancelled_at is null
    and r.expires_at > now();
  -- A missing reset and one that the caller may not see get the same answer.
  if not found or (
    bulwark_private.caller_is_service()
    or v_reset.user_id = bulwark.current_person()
    or exists (
      select from bulwark_private.mfa_reset_organizations(
        v_reset.user_id, v_reset.organization_id
      ) as o
      where bulwark_private.session_permits(bulwark.current_person(), 'mfa:reset', o)
    )
  ) is not true then
    raise exception 'Cannot find reset: none is open with this id'
      using errcode = 'PT404', detail = 'MFA_UNKNOWN_RESET',
        hint = 'Request it again with request_mfa_reset: a request is open for a day';
  end if;
  return v_reset;
end;
$$;
comment on function bulwark_private.find_mfa_reset(uuid) is
  'An open reset that the caller may decide. Raises MFA_UNKNOWN_RESET.';

create function bulwark_private.take_mfa_reset(reset_id uuid)
  returns bulwark.mfa_resets
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset bulwark.mfa_resets := bulwark_private.find_mfa_reset(reset_id);
begin
  perform bulwark_private.lock_rights(o)
  from bulwark_private.mfa_reset_organizations(v_reset.user_id, v_reset.organization_id) as o;
  perform bulwark_private.hold_session();
  perform from bulwark.mfa_resets r where r.id = reset_id for update;
  return bulwark_private.find_mfa_reset(reset_id);
end;
$$;
comment on function bulwark_private.take_mfa_reset(uuid) is
  'bulwark_private.find_mfa_reset, with a lock on the reset and on the rights of every organization
   concerned.';

create function bulwark.approve_mfa_reset(reset_id uuid)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes resets
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusals text[];
  v_person uuid := case when not bulwark_private.caller_is_service()
    then bulwark_private.require_user() end;
  v_reset bulwark.mfa_resets := bulwark_private.take_mfa_reset(reset_id);
begin
  if v_person is not null then
    perform bulwark_private.require_step_up();
    if v_person = v_reset.requested_by then
      raise exception 'Cannot approve reset: you requested it yourself'
        using errcode = 'insufficient_privilege', detail = 'MFA_OWN_REQUEST',
              hint = 'Ask another administrator';
    end if;
    v_refusals := array(
      select bulwark_private.mfa_reset_refusal(v_person, v_reset.user_id, o)
      from bulwark_private.mfa_reset_organizations(v_reset.user_id, v_reset.organization_id) as o
    );
    if array_position(v_refusals, null) is null then
      perform bulwark_private.raise_mfa_reset_refusal(
        coalesce(
          (select o from unnest(v_refusals) as o where o <> 'RBAC_PERMISSION_DENIED' limit 1),
          'RBAC_PERMISSION_DENIED'
        )
      );
    end if;
  end if;
  return bulwark_private.complete_mfa_reset(v_reset, v_person);
end;
$$;
comment on function bulwark.approve_mfa_reset(uuid) is
  'Consents to a reset that somebody else requested, for every organization concerned in which the
   caller may reset the user. True once all consents are there and the reset is done. Errors:
   MFA_UNKNOWN_RESET, MFA_OWN_REQUEST, MFA_OWN_RESET, MFA_USER_OUTRANKS, RBAC_NOT_A_MEMBER,
   RBAC_PERMISSION_DENIED, MFA_VERIFICATION_REQUIRED, MFA_SESSION_REQUIRED.';

create function bulwark.cancel_mfa_reset(reset_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes resets
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset bulwark.mfa_resets := bulwark_private.take_mfa_reset(reset_id);
begin
  -- Otherwise a thief of the password could cancel the reset that the owner needs.
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_step_up();
  end if;
  update bulwark.mfa_resets r set cancelled_at = now() where r.id = v_reset.id;
end;
$$;
comment on function bulwark.cancel_mfa_reset(uuid) is
  'Cancels an open reset. The account itself may, and everybody who may reset it; both need a
   verification within mfa.step_up_minutes. Errors: MFA_UNKNOWN_RESET,
   MFA_VERIFICATION_REQUIRED, MFA_SESSION_REQUIRED.';
