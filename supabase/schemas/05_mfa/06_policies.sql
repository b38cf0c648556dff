-- MFA policies: whether an organization requires second factors. Every permission decision enforces
-- them.
-- Protects against a policy that is weakened by the session it should stop: weakening it needs a
-- fresh verification.
-- SECURITY DEFINER: set_mfa_policy, because clients may not write policies.

insert into bulwark.security_event_types (name, severity, description) values
  ('mfa_policy_weakened', 'high', 'An organization requires less of second factors than before');

create function bulwark.set_mfa_policy(
  organization_id uuid,
  required boolean,
  grace_period interval default null,
  reset_needs_approval boolean default false
)
  returns bulwark.mfa_policies
  language plpgsql
  volatile
  security definer            -- definer because clients may not write policies
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_new bulwark.mfa_policies;
  v_old bulwark.mfa_policies;
  v_required_from timestamptz;
  v_weaker boolean;
begin
  if required is null or reset_needs_approval is null then
    raise exception 'Cannot set MFA policy: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'MFA_NULL_ARGUMENT';
  end if;
  if grace_period is not null and not bulwark_private.lasts_up_to(grace_period, '90 days') then
    raise exception 'Cannot set MFA policy: a grace period has up to 90 days'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_GRACE_PERIOD';
  end if;
  perform bulwark_private.require_permission_to_change(
    case when organization_id is null then 'system:admin' else 'settings:write' end,
    organization_id
  );
  select * into v_old
  from bulwark.mfa_policies p
  where p.organization_id is not distinct from set_mfa_policy.organization_id;
  if required then
    v_required_from := case
      -- A policy in force keeps its date also if it is asked for at once.
      when grace_period is null or v_old.required_from <= now() and grace_period = interval '0'
        then coalesce(v_old.required_from, now())
      else now() + grace_period
    end;
  end if;
  v_weaker := coalesce(v_old.required_from < coalesce(v_required_from, 'infinity'), false)
    or coalesce(v_old.reset_needs_approval, false) and not reset_needs_approval;
  if v_weaker and not bulwark_private.caller_is_service() then
    perform bulwark_private.require_step_up();
  end if;
  insert into bulwark.mfa_policies as p
    (organization_id, required_from, reset_needs_approval, approval_until, updated_by)
  values (
    set_mfa_policy.organization_id, v_required_from, set_mfa_policy.reset_needs_approval,
    case
      when set_mfa_policy.reset_needs_approval or bulwark_private.caller_is_service() then null
      -- A reset request stays open for as long.
      when v_old.reset_needs_approval then now() + interval '1 day'
      else v_old.approval_until
    end,
    bulwark.current_person()
  )
  on conflict on constraint mfa_policies_is_one_an_organization do update
    set required_from = excluded.required_from,
        reset_needs_approval = excluded.reset_needs_approval,
        approval_until = excluded.approval_until,
        updated_by = excluded.updated_by
  returning * into v_new;
  if v_weaker then
    perform bulwark.raise_security_event(
      'mfa_policy_weakened', organization_id, bulwark.current_person(), '',
      jsonb_build_object('required_from', v_required_from, 'approval', reset_needs_approval)
    );
  end if;
  return v_new;
end;
$$;
comment on function bulwark.set_mfa_policy(uuid, boolean, interval, boolean) is
  'Sets the MFA policy of an organization (settings:write there), or of system-wide roles
   (organization_id null, system:admin): whether sessions need a second factor after a grace period
   of up to 90 days, and whether a reset needs a second person. Without a grace period the policy
   keeps the date it has, and a new one applies at once. Weakening it needs a verification within
   mfa.step_up_minutes, and resets need a second person for one more day. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED, MFA_VERIFICATION_REQUIRED, MFA_INVALID_GRACE_PERIOD,
   MFA_NULL_ARGUMENT, RBAC_UNKNOWN_ORGANIZATION.';

create policy "Members read what their organizations ask of second factors"
  on bulwark.mfa_policies for select to authenticated
  using (
    organization_id = any (array(select bulwark.member_organizations()))
    or organization_id = any (array(select bulwark.organizations_with('settings:read')))
    or organization_id is null
  );
