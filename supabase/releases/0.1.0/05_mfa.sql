-- 05_mfa: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  -- At least one character that is seen.
  ('mfa.issuer', '{"type": "string", "pattern":
      "^(?=.{1,64}$)[^\\u0001-\\u001f\\u007f:]*[^\\u0001- \\u007f-\\u00a0\\u00ad\\u1680\\u2000-'
      '\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff:][^\\u0001-\\u001f\\u007f:]*$"}'),
  ('mfa.recent_sign_in_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.step_up_minutes', '{"type": "integer", "minimum": 1, "maximum": 60}'),
  ('mfa.trusted_device_days', '{"type": "integer", "minimum": 1, "maximum": 90}'),
  ('mfa.usage_log_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.reset_days', '{"type": "integer", "minimum": 30, "maximum": 3650}'),
  ('mfa.resets_per_day', '{"type": "integer", "minimum": 1, "maximum": 1000}');
create or replace function bulwark.remove_mfa_factor(factor_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients write no factors
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant uuid := bulwark_private.require_step_up();
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.lock_own_mfa_account();
  delete from bulwark.mfa_secrets f
  where f.id = remove_mfa_factor.factor_id
    and f.user_id = v_user
    and f.activated_at is not null;
  if not found then
    raise exception 'Cannot remove factor: you have none with this id'
      using errcode = 'PT404', detail = 'MFA_UNKNOWN_FACTOR',
        hint = 'List yours with mfa_status';
  end if;
  if not exists (
    select from bulwark.mfa_secrets f
    where f.user_id = v_user and f.activated_at is not null
  ) then
    perform bulwark_private.forget_factors(v_user);
  else
    -- The finder of a lost device may have verified a session with it.
    delete from bulwark_private.mfa_sessions m where m.user_id = v_user
      and m.session_id <> v_session;
  end if;
  perform bulwark_private.record_mfa(
    'auth.mfa_disabled', 'disable', v_user, v_session,
    factor_id => remove_mfa_factor.factor_id
  );
end;
$$;
create or replace function bulwark.set_mfa_policy(
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
comment on table bulwark_private.mfa_reset_consents is
  'The people who consented to a reset, for which organization. A consent counts while its giver
   may reset.';
create or replace function bulwark.request_mfa_reset(
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
create or replace function bulwark_private.find_mfa_reset(reset_id uuid)
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
create or replace function bulwark_private.release_mfa(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark_private.mfa_required_tables g where g.relation = target;
  if not found then
    raise exception 'Cannot release %: it requires no second factor', target
      using errcode = 'PT404', detail = 'MFA_NOT_GUARDED',
        hint = 'Nothing is to be done: no policy of require_mfa is on it';
  end if;
  perform bulwark_private.drop_policies(target, 'bulwark_mfa_');
end;
$$;
create function bulwark.mfa_compliance(
  organization_id uuid,
  state text default null,
  after uuid default null,
  page_size integer default 100
)
  returns table (
    user_id uuid,
    name text,
    email text,
    enrolled boolean,
    required_from timestamptz,
    overdue boolean,
    locked boolean,
    locked_until timestamptz,
    last_used_at timestamptz,
    suspended boolean,
    last_sign_in_at timestamptz
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because clients read neither factors nor accounts
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_names boolean;
  v_required timestamptz;
begin
  if organization_id is null then
    raise exception 'Cannot list compliance: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'MFA_NULL_ARGUMENT';
  end if;
  perform bulwark.require_permission('security:read', organization_id);
  if state <> all ('{enrolled,missing,overdue,locked}'::text[]) then
    raise exception 'Cannot list compliance: there is no such state'
      using errcode = 'invalid_parameter_value', detail = 'MFA_UNKNOWN_STATE',
            hint = 'One of enrolled, missing, overdue, locked';
  end if;
  v_names := bulwark_private.caller_is_service() or bulwark_private.session_permits(
    bulwark.current_person(), 'user:read', organization_id
  );
  select p.required_from into v_required
  from bulwark.mfa_policies p
  where p.organization_id = mfa_compliance.organization_id;
  return query
    select
      m.user_id,
      case when v_names then bulwark_private.printable_name(p.said_name) end,
      case when v_names then p.email end,
      f.enrolled, v_required, v_required <= now() and not f.enrolled, l.locked, l.locked_until,
      (select max(s.last_used_at) from bulwark.mfa_secrets s where s.user_id = m.user_id),
      m.suspended, p.last_sign_in_at
    from (
      select g.user_id, bool_or(g.suspended) as suspended
      from bulwark_private.unexpired_grants g
      where g.organization_id = mfa_compliance.organization_id
        and g.starts_at <= now()
        and (mfa_compliance.after is null or g.user_id > mfa_compliance.after)
      group by g.user_id
    ) m
    join bulwark_private.people p on p.user_id = m.user_id
    cross join lateral (select bulwark_private.has_second_factor(m.user_id)) f (enrolled)
    cross join lateral (
      select coalesce(bool_or(a.locked_until > now() or a.consecutive_failures >= 100), false),
        max(a.locked_until) filter (
          where a.locked_until > now() and a.consecutive_failures < 100
        )
      from bulwark_private.mfa_accounts a
      where a.user_id = m.user_id
    ) l (locked, locked_until)
    where case mfa_compliance.state
      when 'enrolled' then f.enrolled
      when 'missing' then not f.enrolled
      when 'overdue' then v_required <= now() and not f.enrolled
      when 'locked' then l.locked
      else true
    end
    order by m.user_id
    limit least(greatest(mfa_compliance.page_size, 1), 1000);
end;
$$;
comment on function bulwark.mfa_compliance(uuid, text, uuid, integer) is
  'The members of an organization and their second factors (security:read; name and email are null
   without user:read), by user_id: after is that of the last row of the previous page. enrolled: has
   a second factor, of Bulwark or of Supabase Auth. overdue: MFA is required (since required_from,
   null: not) and there is none. locked: too many wrong codes; locked_until null: until a reset.
   last_used_at: of the factors of Bulwark; last_sign_in_at: of the account. state lists only those
   who are enrolled, missing (no factor), overdue or locked. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED, MFA_UNKNOWN_STATE, MFA_NULL_ARGUMENT.';
create function bulwark.my_sessions()
  returns table (
    id uuid,
    is_current boolean,
    created_at timestamptz,
    refreshed_at timestamptz,
    not_after timestamptz,
    mfa_verified_at timestamptz,
    ip text,
    user_agent text
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
  v_shown constant boolean := not bulwark_private.has_second_factor(v_user)
    or bulwark_private.session_passes_mfa();
begin
  return query
    select
      s.id, s.id is not distinct from bulwark_private.claimed_id('session_id'), s.created_at,
      -- Through jsonb, because older versions of Supabase Auth lack these columns. The time of
      -- refreshed_at is in UTC without saying so.
      coalesce((j ->> 'refreshed_at')::timestamp at time zone 'UTC', s.updated_at), s.not_after,
      nullif(bulwark_private.session_mfa(s.id, v_user), '-infinity'),
      case when v_shown then host((j ->> 'ip')::inet) end,
      case when v_shown then left(j ->> 'user_agent', 256) end
    from bulwark_private.live_sessions l
    join auth.sessions s on s.id = l.id
    cross join lateral to_jsonb(s) as j
    where l.user_id = v_user
    order by 4 desc, s.id
    limit 1000;
end;
$$;
comment on function bulwark.my_sessions() is
  'The live sessions of the caller''s account, the one used last first. refreshed_at: when its token
   was last issued; not_after: its end, null: none is set; mfa_verified_at: when a second factor was
   verified in it. ip and user_agent are null where Supabase Auth does not know them, and while the
   account has a second factor that this session lacks. Errors: those of
   bulwark_private.require_user.';
create function bulwark.end_session(session_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not delete sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  -- Both in one order, so that two sessions may end each other at once.
  perform from auth.users u where u.id = v_user for key share;
  perform from auth.sessions s
  where s.user_id = v_user
    and s.id in (end_session.session_id, bulwark_private.claimed_id('session_id'))
  order by s.id
  for update;
  perform bulwark_private.hold_session();
  delete from auth.sessions s where s.id = end_session.session_id and s.user_id = v_user;
  if not found then
    raise exception 'Cannot end session: you have none with this id'
      using errcode = 'PT404', detail = 'SESSION_NOT_FOUND',
            hint = 'List them with my_sessions';
  end if;
end;
$$;
comment on function bulwark.end_session(uuid) is
  'Ends a session of the caller''s own account, also the current one, as a sign-out does: it cannot
   be refreshed, and Bulwark accepts its token from then on nowhere. Only policies and services that
   look at the token alone accept it until it expires. Recorded as auth.logout. Errors:
   SESSION_NOT_FOUND and those of bulwark_private.require_user.';
create function bulwark_private.mfa_coverage()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 4
  set search_path = pg_catalog, pg_temp
  set jit = off
as $$
  with members as materialized (
    select m.user_id, m.required,
      f.user_id is not null or bulwark_private.native_factors(m.user_id) > 0 as enrolled
    from (
      select g.user_id, coalesce(bool_or(p.required_from <= now()), false) as required
      from bulwark_private.active_grants g
      left join bulwark.mfa_policies p on p.organization_id is not distinct from g.organization_id
      group by g.user_id
    ) m
    left join (
      select distinct s.user_id from bulwark.mfa_secrets s where s.activated_at is not null
    ) f on f.user_id = m.user_id
  ),
  counted as (
    select
      count(*) filter (where m.enrolled) as enrolled,
      count(*) filter (where not m.enrolled and not m.required) as missing,
      count(*) filter (where not m.enrolled and m.required) as overdue,
      count(*) as members
    from members m
  )
  select l.metric, l.unit, l.description, l.labels, l.value::double precision
  from counted c
  cross join lateral (
    values
      ('mfa_coverage', 'percent', 'Members with a second factor, of all members', '{}'::jsonb,
        coalesce(100.0 * c.enrolled / nullif(c.members, 0), 100)),
      ('mfa_members', '', 'Members by their second factor', '{"state": "enrolled"}', c.enrolled),
      ('mfa_members', '', 'Members by their second factor', '{"state": "missing"}', c.missing),
      ('mfa_members', '', 'Members by their second factor', '{"state": "overdue"}', c.overdue)
  ) as l (metric, unit, description, labels, value);
$$;
comment on function bulwark_private.mfa_coverage() is
  'The coverage of second factors: see docs/metrics.md. A member counts once, whatever the number of
   organizations. It reads every grant, so it is measured less often than levels.';
revoke all on function bulwark.mfa_compliance(organization_id uuid, state text, after uuid, page_size integer) from public;
revoke all on function bulwark.mfa_compliance(organization_id uuid, state text, after uuid, page_size integer) from anon;
revoke all on function bulwark.mfa_compliance(organization_id uuid, state text, after uuid, page_size integer) from authenticated;
revoke all on function bulwark.mfa_compliance(organization_id uuid, state text, after uuid, page_size integer) from service_role;
revoke all on function bulwark.my_sessions() from public;
revoke all on function bulwark.my_sessions() from anon;
revoke all on function bulwark.my_sessions() from authenticated;
revoke all on function bulwark.my_sessions() from service_role;
revoke all on function bulwark.end_session(session_id uuid) from public;
revoke all on function bulwark.end_session(session_id uuid) from anon;
revoke all on function bulwark.end_session(session_id uuid) from authenticated;
revoke all on function bulwark.end_session(session_id uuid) from service_role;
revoke all on function bulwark_private.mfa_coverage() from public;
revoke all on function bulwark_private.mfa_coverage() from anon;
revoke all on function bulwark_private.mfa_coverage() from authenticated;
revoke all on function bulwark_private.mfa_coverage() from service_role;
grant execute on function bulwark.my_sessions() to authenticated;
grant execute on function bulwark.end_session(uuid) to authenticated;
grant execute on function bulwark.mfa_compliance(uuid, text, uuid, integer) to authenticated;
grant execute on function bulwark.mfa_compliance(uuid, text, uuid, integer) to service_role;
