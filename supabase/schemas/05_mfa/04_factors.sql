-- MFA factors: enrolling, activating and removing them, and backup codes.
-- Protects against a thief of the password who enrolls a factor: the first one needs a recent
-- sign-in, every other a fresh verification, and of two concurrent first ones only one counts.
-- SECURITY DEFINER, each because no role of the API reads or writes factors: begin_mfa_enrolment,
--   store_mfa_secret, complete_mfa_activation, begin_backup_codes, store_backup_codes,
--   remove_mfa_factor.

create function bulwark_private.begin_ticket(purpose text, session_id uuid)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_ticket uuid;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.lock_own_mfa_account();
  -- Beginning again in one session starts over.
  delete from bulwark_private.mfa_attempts a
  where a.user_id = v_user
    and a.session_id = begin_ticket.session_id
    and a.purpose = begin_ticket.purpose;
  perform bulwark_private.forget_old_attempts(v_user);
  insert into bulwark_private.mfa_attempts (user_id, session_id, purpose, admitted, step)
  values (v_user, begin_ticket.session_id, begin_ticket.purpose, true, 0)
  returning id into v_ticket;
  return v_ticket;
end;
$$;
comment on function bulwark_private.begin_ticket(text, uuid) is
  'Creates a ticket: the function may do one thing for the caller, whose right was just checked.';

create function bulwark.begin_mfa_enrolment()
  returns table (factor_id uuid, user_id uuid, issuer text, account text)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients read neither factors nor sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_factors bigint;
  v_session uuid := bulwark_private.require_session();
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_named_account(v_user);
  select count(*) into v_factors
  from bulwark.mfa_secrets f where f.user_id = v_user and f.activated_at is not null;
  if v_factors + bulwark_private.native_factors(v_user) > 0 then
    perform bulwark_private.require_step_up();
  elsif not exists (
    select from bulwark_private.live_sessions s
    where s.id = v_session
      and s.created_at > now() - make_interval(
        mins => (bulwark_private.setting('mfa.recent_sign_in_minutes'))::integer
      )
  ) then
    raise exception 'Cannot enroll factor: the sign-in is too long ago'
      using errcode = 'insufficient_privilege', detail = 'MFA_RECENT_SIGN_IN_REQUIRED',
            hint = 'Sign in again';
  end if;
  if v_factors >= 5 then
    raise exception 'Cannot enroll factor: an account has at most 5'
      using errcode = 'PT409', detail = 'MFA_TOO_MANY_FACTORS', hint = 'Remove one first';
  end if;
  return query
    select
      bulwark_private.begin_ticket('enroll', v_session), v_user,
      bulwark_private.setting('mfa.issuer') #>> '{}', coalesce(u.email, u.id::text)::text
    from auth.users u
    where u.id = v_user;
end;
$$;
comment on function bulwark.begin_mfa_enrolment() is
  'Begins the enrolment of a factor: its future id, and the names that an authenticator app shows.
   The first factor needs a sign-in within mfa.recent_sign_in_minutes. Every other (native ones
   count) needs a verification within mfa.step_up_minutes. Errors: MFA_RECENT_SIGN_IN_REQUIRED,
   MFA_VERIFICATION_REQUIRED, MFA_TOO_MANY_FACTORS, MFA_SESSION_REQUIRED, ACCOUNT_ANONYMOUS and
   those of bulwark_private.require_user.';

create function bulwark.store_mfa_secret(factor_id uuid, secret text, name text)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes factors
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_ticket bulwark_private.mfa_attempts := bulwark_private.take_mfa_attempt(factor_id, '{enroll}');
begin
  if v_ticket.admitted is not true then
    return false;
  end if;
  -- Beginning again in one session starts over.
  delete from bulwark.mfa_secrets f
  where f.user_id = v_ticket.user_id
    and f.begun_in = v_ticket.session_id
    and f.activated_at is null;
  insert into bulwark.mfa_secrets (id, user_id, name, secret, begun_in, begun_as_first)
  select
    v_ticket.id, v_ticket.user_id, store_mfa_secret.name, store_mfa_secret.secret,
    v_ticket.session_id, not exists (
      select from bulwark.mfa_secrets f
      where f.user_id = v_ticket.user_id and f.activated_at is not null
    ) and bulwark_private.native_factors(v_ticket.user_id) = 0;
  return true;
end;
$$;
comment on function bulwark.store_mfa_secret(uuid, text, text) is
  'Stores the encrypted secret of a factor whose enrolment was begun (service role only). False if
   the enrolment is unknown, was used, or is older than two minutes.';

create function bulwark_private.replace_backup_codes(user_id uuid, code_hashes text[])
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(code_hashes) is distinct from 10 then
    raise exception 'Cannot store backup codes: a set has 10'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_BACKUP_CODES';
  end if;
  delete from bulwark_private.mfa_backup_codes c where c.user_id = replace_backup_codes.user_id;
  insert into bulwark_private.mfa_backup_codes (user_id, code_hash)
  select replace_backup_codes.user_id, decode(h, 'hex') from unnest(code_hashes) as h;
end;
$$;
comment on function bulwark_private.replace_backup_codes(uuid, text[]) is
  'Replaces all backup codes of an account, used or not. Raises MFA_INVALID_BACKUP_CODES.';

create function bulwark.complete_mfa_activation(
  attempt_id uuid,
  factor_id uuid,
  step bigint,
  backup_code_hashes text[]
)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes factors
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt bulwark_private.mfa_attempts := bulwark_private.take_mfa_attempt(
    attempt_id, '{activate}'
  );
  v_first boolean;
begin
  select not exists (
    select from bulwark.mfa_secrets f
    where f.user_id = v_attempt.user_id and f.activated_at is not null
  )
  into v_first;
  -- Several enrolments may have begun while there was room for one factor.
  v_attempt.admitted := v_attempt.admitted and (
    select count(*) < 5
    from bulwark.mfa_secrets f
    where f.user_id = v_attempt.user_id and f.activated_at is not null
  );
  -- An enrolment that began as the first factor needed no verification, so it fails if another
  -- factor was activated meanwhile.
  update bulwark.mfa_secrets f
  set activated_at = clock_timestamp(), last_used_at = clock_timestamp(),
      last_step = complete_mfa_activation.step
  where v_attempt.admitted
    and f.id = complete_mfa_activation.factor_id
    and f.user_id = v_attempt.user_id
    and f.begun_in = v_attempt.session_id
    and f.created_at > now() - interval '1 hour'
    and f.activated_at is null
    and (
      bulwark_private.session_mfa(v_attempt.session_id, v_attempt.user_id) > '-infinity'
      or f.begun_as_first and v_first and bulwark_private.native_factors(v_attempt.user_id) = 0
    )
    and complete_mfa_activation.step between v_attempt.step - 1 and v_attempt.step + 1;
  if not found then
    return bulwark_private.refuse_mfa_attempt(v_attempt, factor_id, step);
  end if;
  delete from bulwark.mfa_secrets f
  where f.user_id = v_attempt.user_id and f.activated_at is null;
  if v_first then
    perform bulwark_private.replace_backup_codes(v_attempt.user_id, backup_code_hashes);
  end if;
  perform bulwark_private.accept_mfa_attempt(v_attempt, 'totp', factor_id, step);
  perform bulwark_private.record_mfa(
    'auth.mfa_enabled', 'activate', v_attempt.user_id, v_attempt.session_id,
    factor_id => complete_mfa_activation.factor_id
  );
  return jsonb_build_object('accepted', true, 'backup_codes_stored', v_first);
end;
$$;
comment on function bulwark.complete_mfa_activation(uuid, uuid, bigint, text[]) is
  'Completes an attempt with the first code of a factor (service role only). Activates the factor,
   burns the code''s step and verifies the session. For an account''s first factor it also stores
   the hashes (hex) of ten backup codes. Returns {"accepted": …, "backup_codes_stored": …}.';

create function bulwark.begin_backup_codes()
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because clients read no factors
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session uuid := bulwark_private.require_step_up();
begin
  if not exists (
    select from bulwark.mfa_secrets f
    where f.user_id = bulwark.current_person() and f.activated_at is not null
  ) then
    raise exception 'Cannot make backup codes: the account has no second factor'
      using errcode = 'PT409', detail = 'MFA_NOT_ENROLLED', hint = 'Enroll a factor first';
  end if;
  return bulwark_private.begin_ticket('regenerate', v_session);
end;
$$;
comment on function bulwark.begin_backup_codes() is
  'Begins a new set of backup codes for the caller, who has verified a second factor within
   mfa.step_up_minutes. Errors: MFA_VERIFICATION_REQUIRED, MFA_SESSION_REQUIRED, MFA_NOT_ENROLLED.';

create function bulwark.store_backup_codes(ticket_id uuid, code_hashes text[])
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes codes
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_ticket bulwark_private.mfa_attempts := bulwark_private.take_mfa_attempt(
    ticket_id, '{regenerate}'
  );
begin
  if v_ticket.admitted is not true then
    return false;
  end if;
  -- Deleting the old set ends the verification of sessions that used a code of it, except in the
  -- session that creates the new set.
  update bulwark_private.mfa_sessions m set backup_code_id = null
    where m.session_id = v_ticket.session_id;
  perform bulwark_private.replace_backup_codes(v_ticket.user_id, code_hashes);
  perform bulwark_private.record_mfa(
    'auth.mfa_enabled', 'regenerate', v_ticket.user_id, v_ticket.session_id
  );
  return true;
end;
$$;
comment on function bulwark.store_backup_codes(uuid, text[]) is
  'Stores the hashes (hex) of a new set of ten backup codes that was begun (service role only).
   Older codes become invalid, and so do verifications of other sessions by them. False if the
   ticket is unknown or was used.';

create function bulwark.remove_mfa_factor(factor_id uuid)
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
comment on function bulwark.remove_mfa_factor(uuid) is
  'Removes a factor of the caller, who has verified one within mfa.step_up_minutes. Ends the
   verification of all other sessions, and of this one if it used that factor. With the last factor,
   backup codes and trusted devices are deleted too. Errors: MFA_VERIFICATION_REQUIRED,
   MFA_SESSION_REQUIRED, MFA_UNKNOWN_FACTOR.';
