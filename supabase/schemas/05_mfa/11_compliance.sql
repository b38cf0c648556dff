-- MFA compliance: which members of an organization have a second factor, and which lack one that is
-- required or are locked.
-- Protects against a list of accounts that a password alone opens: it needs security:read, and
-- names and addresses need user:read besides.
-- SECURITY DEFINER: mfa_compliance, because clients read neither factors nor accounts.

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
