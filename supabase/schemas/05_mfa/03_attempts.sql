-- MFA attempts: verifying a code in three calls. The first, with the caller's token, begins an
-- attempt, charges it and commits. The second gives the function the encrypted secret. The third
-- completes the attempt.
-- Protects against a code used twice (the statement that accepts it also burns its time step),
-- bursts of guesses, and a function that names another account: it knows only the attempt, whose
-- user comes from the token that began it.
-- SECURITY DEFINER: begin_mfa_attempt, open_mfa_attempt, complete_mfa_verification and
--   complete_mfa_backup_code, because no role of the API reads or writes factors and attempts.

insert into bulwark.security_event_types (name, severity, description) values
  ('mfa_locked', 'high', 'Codes of a second factor were guessed until the account locked'),
  ('mfa_backup_code_used', 'medium', 'A backup code stood in for a second factor');

create function bulwark_private.tell_of_mfa_lock(user_id uuid, session_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
begin
  -- Once for each lock, however many attempts it refuses.
  update bulwark_private.mfa_accounts a
  set told_of_lock = true
  where a.user_id = tell_of_mfa_lock.user_id
    and not a.told_of_lock
    and (a.locked_until > clock_timestamp() or a.consecutive_failures >= 100)
  returning * into v_account;
  if not found then
    return;
  end if;
  perform bulwark_private.record_mfa(
    'security.suspicious_activity', 'locked', user_id, session_id, succeeded => false,
    details => jsonb_build_object(
      'consecutive_failures', v_account.consecutive_failures,
      'locked_until', case when v_account.consecutive_failures < 100 then v_account.locked_until end
    )
  );
  perform bulwark.raise_security_event('mfa_locked', null, user_id, '');
end;
$$;
comment on function bulwark_private.tell_of_mfa_lock(uuid, uuid) is
  'Records that an account is locked and raises mfa_locked, once for each lock.';

create function bulwark.begin_mfa_attempt(purpose text)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because clients write no attempts
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
  v_attempt uuid;
  v_failures timestamptz[];
  v_now timestamptz;
  v_session uuid := bulwark_private.require_session();
  v_user uuid := bulwark.current_person();
begin
  if purpose is null or purpose not in ('verify', 'backup_code', 'activate', 'disable') then
    raise exception 'Cannot begin attempt: there is no such purpose'
      using errcode = 'invalid_parameter_value', detail = 'MFA_UNKNOWN_PURPOSE',
            hint = 'One of verify, backup_code, activate, disable';
  end if;
  v_account := bulwark_private.lock_own_mfa_account();
  v_now := clock_timestamp();
  perform bulwark_private.forget_old_attempts(v_user);

  insert into bulwark_private.mfa_attempts (
    user_id, session_id, purpose, created_at, admitted, step
  )
  values (
    v_user, v_session, begin_mfa_attempt.purpose, v_now,
    v_account.consecutive_failures < 100
      and coalesce(v_account.locked_until <= v_now, true)
      -- Without a factor there is nothing to guess, so attempts before enrolment do not lock.
      and exists (select from bulwark.mfa_secrets f where f.user_id = v_user),
    floor(extract(epoch from v_now) / 30)
  )
  returning id, admitted into v_attempt, v_account.told_of_lock;
  -- Charged as a failure now and refunded on success, so that bursts and lost connections count.
  if v_account.told_of_lock then
    -- Failures that led to an earlier lock do not count again.
    v_failures := array(
      select f from unnest(v_account.failures) as f
      where f > v_now - interval '15 minutes' and v_account.locked_until is null
    ) || v_now;
    update bulwark_private.mfa_accounts a
    set failures = v_failures,
        consecutive_failures = a.consecutive_failures + 1,
        locks = a.locks + (cardinality(v_failures) >= 5)::integer,
        locked_until = case
          when cardinality(v_failures) >= 5
          then v_now + least(interval '15 minutes' * 2 ^ least(a.locks, 10), interval '1 day')
        end,
        told_of_lock = false
    where a.user_id = v_user;
  elsif not exists (
    -- The attempt that led to the lock may still turn out to be a right code sent twice, so the
    -- lock is reported when it completes; or here, once it can no longer complete.
    select from bulwark_private.mfa_attempts a
    where a.user_id = v_user and a.admitted and a.created_at = any (v_account.failures)
  ) then
    perform bulwark_private.tell_of_mfa_lock(v_user, v_session);
  end if;
  return v_attempt;
end;
$$;
comment on function bulwark.begin_mfa_attempt(text) is
  'Charges the caller one attempt at a code (to verify, activate or disable a factor, or to use a
   backup code) and returns its id. 5 failures within 15 minutes lock the account for 15 minutes,
   each further lock lasts twice as long, up to a day. 100 failures in a row lock it until an
   administrator resets it. The answer does not reveal whether the attempt was admitted. Errors:
   MFA_SESSION_REQUIRED, MFA_UNKNOWN_PURPOSE, RBAC_NOT_AUTHENTICATED.';

create function bulwark.open_mfa_attempt(attempt_id uuid)
  returns table (user_id uuid, factor_id uuid, secret text, step bigint)
  language sql
  stable
  rows 1
  security definer            -- definer because not even the service role reads secrets
  set search_path = pg_catalog, pg_temp
as $$
  select f.user_id, f.id, f.secret, a.step
  from bulwark_private.mfa_attempts a
  join bulwark.mfa_secrets f on f.user_id = a.user_id
  where a.id = attempt_id
    and a.admitted
    and a.created_at > now() - interval '2 minutes'
    and case a.purpose
      when 'verify' then f.activated_at is not null
      when 'activate' then f.begun_in = a.session_id
        -- Also one that this session has just activated: its first code may be sent again because
        -- the answer was lost, and that is no guess.
        and (f.activated_at is null or f.activated_at > now() - interval '2 minutes')
      else false
    end
  order by f.last_used_at desc nulls last, f.id;
$$;
comment on function bulwark.open_mfa_attempt(uuid) is
  'The encrypted secrets for an admitted attempt, and the time step of the database''s clock
   (service role only). No rows for any other attempt.';

create function bulwark_private.take_mfa_attempt(attempt_id uuid, purposes text[])
  returns bulwark_private.mfa_attempts
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt bulwark_private.mfa_attempts;
begin
  -- The account is locked first, as everywhere.
  perform bulwark_private.lock_mfa_account(a.user_id)
  from bulwark_private.mfa_attempts a where a.id = attempt_id;
  delete from bulwark_private.mfa_attempts a
  where a.id = attempt_id
    and a.purpose = any (purposes)
    and a.created_at > clock_timestamp() - interval '2 minutes'
  returning * into v_attempt;
  -- After a sign-out there is no session left to verify.
  if not exists (
    select from bulwark_private.live_sessions s
    where s.id = v_attempt.session_id and s.user_id = v_attempt.user_id
    for key share
  ) then
    v_attempt.admitted := false;
  end if;
  return v_attempt;
end;
$$;
comment on function bulwark_private.take_mfa_attempt(uuid, text[]) is
  'Deletes and returns an attempt, so that a second completion gets null. admitted is false if the
   session has ended.';

create function bulwark_private.refund_mfa_attempt(attempt bulwark_private.mfa_attempts)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Also lifts a lock that this charge caused. A locked account is charged no further attempts, so
  -- the fifth failure is part of the lock.
  update bulwark_private.mfa_accounts a
  set failures = array_remove(a.failures, attempt.created_at),
      consecutive_failures = a.consecutive_failures - 1,
      locks = a.locks - (a.locked_until is not null and cardinality(a.failures) = 5)::integer,
      locked_until = case when cardinality(a.failures) <> 5 then a.locked_until end
  where a.user_id = attempt.user_id and attempt.created_at = any (a.failures);
end;
$$;
comment on function bulwark_private.refund_mfa_attempt(bulwark_private.mfa_attempts) is
  'Refunds the charge of one attempt, unless a later success has cleared it.';

create function bulwark_private.refuse_mfa_attempt(
  attempt bulwark_private.mfa_attempts,
  factor_id uuid default null,
  step bigint default null,
  backup_code_hash bytea default null
)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- After a double click or a lost answer the same session sends its code again. It is refused, but
  -- not counted as a guess. From any other session it is a replay.
  if attempt.admitted and exists (
    select from bulwark_private.mfa_sessions m
    where m.session_id = attempt.session_id
      and m.user_id = attempt.user_id
      and m.verified_at > clock_timestamp() - interval '2 minutes'
      and (
        m.factor_id = refuse_mfa_attempt.factor_id and m.step = refuse_mfa_attempt.step
        or m.backup_code_id = (
          select c.id from bulwark_private.mfa_backup_codes c
          where c.code_hash = refuse_mfa_attempt.backup_code_hash
        )
      )
  ) then
    perform bulwark_private.refund_mfa_attempt(attempt);
  elsif attempt.admitted then
    perform bulwark_private.record_mfa(
      'auth.mfa_verified', attempt.purpose, attempt.user_id, attempt.session_id,
      succeeded => false
    );
    perform bulwark_private.tell_of_mfa_lock(attempt.user_id, attempt.session_id);
  end if;
  return '{"accepted": false}'::jsonb;
end;
$$;
comment on function bulwark_private.refuse_mfa_attempt(
  bulwark_private.mfa_attempts, uuid, bigint, bytea
) is
  'Records a wrong code, which stays charged, and returns the one answer for all refusals. The code
   that just verified this session is neither recorded nor charged.';

create function bulwark_private.accept_mfa_attempt(
  attempt bulwark_private.mfa_attempts,
  method text,
  factor_id uuid default null,
  step bigint default null,
  backup_code_id uuid default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark_private.mfa_accounts a
  set failures = '{}', consecutive_failures = 0, locks = 0, locked_until = null,
      told_of_lock = false
  where a.user_id = attempt.user_id;
  insert into bulwark_private.mfa_sessions as m
    (session_id, user_id, verified_at, method, factor_id, step, backup_code_id)
  values (
    attempt.session_id, attempt.user_id, clock_timestamp(), accept_mfa_attempt.method,
    accept_mfa_attempt.factor_id, accept_mfa_attempt.step, accept_mfa_attempt.backup_code_id
  )
  on conflict (session_id) do update
    set verified_at = excluded.verified_at, method = excluded.method,
        factor_id = excluded.factor_id, step = excluded.step,
        backup_code_id = excluded.backup_code_id;
  perform bulwark_private.record_mfa(
    'auth.mfa_verified', attempt.purpose, attempt.user_id, attempt.session_id,
    factor_id => accept_mfa_attempt.factor_id
  );
end;
$$;
comment on function bulwark_private.accept_mfa_attempt(
  bulwark_private.mfa_attempts, text, uuid, bigint, uuid
) is
  'Clears the account''s failures and locks, and marks the session as verified, with the proof.';

create function bulwark.complete_mfa_verification(attempt_id uuid, factor_id uuid, step bigint)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes factors and sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt bulwark_private.mfa_attempts := bulwark_private.take_mfa_attempt(
    attempt_id, '{verify}'
  );
begin
  -- One statement checks and burns the step, so that a concurrent second one finds a newer step.
  update bulwark.mfa_secrets f
  set last_step = complete_mfa_verification.step, last_used_at = clock_timestamp()
  where v_attempt.admitted
    and f.id = complete_mfa_verification.factor_id
    and f.user_id = v_attempt.user_id
    and f.activated_at is not null
    and f.last_step < complete_mfa_verification.step
    and complete_mfa_verification.step between v_attempt.step - 1 and v_attempt.step + 1;
  if not found then
    return bulwark_private.refuse_mfa_attempt(v_attempt, factor_id, step);
  end if;
  perform bulwark_private.accept_mfa_attempt(v_attempt, 'totp', factor_id, step);
  return '{"accepted": true}'::jsonb;
end;
$$;
comment on function bulwark.complete_mfa_verification(uuid, uuid, bigint) is
  'Completes an attempt (service role only) with the factor and the time step that the code matches,
   or with nulls if it matches none. Burns the step and verifies the session, or counts the failure.
   Returns {"accepted": …} and never raises, so that a failure is committed.';

create function bulwark.complete_mfa_backup_code(attempt_id uuid, code_hash text)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes codes and sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt bulwark_private.mfa_attempts := bulwark_private.take_mfa_attempt(
    attempt_id, '{backup_code, disable}'
  );
  v_code uuid;
  v_hash constant bytea := decode(complete_mfa_backup_code.code_hash, 'hex');
  v_left bigint;
begin
  update bulwark_private.mfa_backup_codes c
  set used_at = clock_timestamp()
  where v_attempt.admitted
    and c.code_hash = v_hash
    and c.user_id = v_attempt.user_id
    and c.used_at is null
  returning c.id into v_code;
  if not found then
    return bulwark_private.refuse_mfa_attempt(v_attempt, backup_code_hash => v_hash);
  end if;
  perform bulwark_private.accept_mfa_attempt(v_attempt, 'backup_code', backup_code_id => v_code);
  if v_attempt.purpose = 'disable' then
    perform bulwark_private.forget_factors(v_attempt.user_id);
    perform bulwark_private.record_mfa(
      'auth.mfa_disabled', 'disable', v_attempt.user_id, v_attempt.session_id
    );
    return '{"accepted": true}'::jsonb;
  end if;
  select count(*) into v_left
  from bulwark_private.mfa_backup_codes c
  where c.user_id = v_attempt.user_id and c.used_at is null;
  perform bulwark.raise_security_event(
    'mfa_backup_code_used', null, v_attempt.user_id, '', jsonb_build_object('left', v_left)
  );
  return jsonb_build_object('accepted', true, 'backup_codes_left', v_left);
end;
$$;
comment on function bulwark.complete_mfa_backup_code(uuid, text) is
  'Completes an attempt with the hash (hex) of a backup code (service role only). Spends the code
   and verifies the session; an attempt with the purpose disable also removes all factors of the
   account. Returns {"accepted": …, "backup_codes_left": …} and never raises.';

-- A declared column is re-encrypted when keys are rotated, and accepts only ciphertext.
select bulwark.declare_encrypted_column('bulwark.mfa_secrets', 'secret');
