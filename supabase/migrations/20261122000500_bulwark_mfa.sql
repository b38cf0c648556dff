-- Built by npm run build from supabase/schemas/05_mfa: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

-- MFA: accounts, attempts, and the log of their use.
-- Protects a second factor against guessing: an attempt is charged and committed in its own
-- request, before any secret is read. So a burst or a failing request is not free.
-- No function here is SECURITY DEFINER.

insert into bulwark.settings (name, value, description) values
  ('mfa.issuer', '"Bulwark"', 'The name that authenticator apps show beside the account'),
  ('mfa.recent_sign_in_minutes', '10',
    'How recent a sign-in must be to add the first factor without a second one'),
  ('mfa.step_up_minutes', '10',
    'How fresh a verification must be to change factors, trust a device or reset a member'),
  ('mfa.trusted_device_days', '30', 'How long a device stays trusted'),
  ('mfa.usage_log_days', '180', 'How long the log of uses is kept');

create table bulwark_private.mfa_accounts (
  user_id uuid primary key references auth.users (id) on delete cascade,
  failures timestamptz[] not null default '{}',
  consecutive_failures bigint not null default 0,
  locks bigint not null default 0,
  locked_until timestamptz,
  told_of_lock boolean not null default false
) with (fillfactor = 70);
comment on table bulwark_private.mfa_accounts is
  'The throttle of each account, over all its factors: unsuccessful attempts of the last 15 minutes,
   those in a row, and the number of locks. A lock on the row serializes an account''s attempts. Not
   audited: each attempt has an entry of its own.';
comment on column bulwark_private.mfa_accounts.locks is
  'Locks since the last success. Each lasts twice as long as the one before.';

create table bulwark_private.mfa_attempts (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  session_id uuid not null,
  purpose text not null,
  admitted boolean not null,
  step bigint not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint mfa_attempts_purpose_is_known
    check (purpose in ('verify', 'backup_code', 'activate', 'disable', 'enroll', 'regenerate'))
);
comment on table bulwark_private.mfa_attempts is
  'Attempts that sessions have begun; each is valid once and for two minutes. admitted is false if
   the account is locked, which is answered like a wrong code. Not audited: each attempt has an
   entry of its own.';
comment on column bulwark_private.mfa_attempts.step is
  'The time step (30 seconds since 1970) of the database''s clock, which the code must match.';

create table bulwark.mfa_usage_log (
  id bigint generated always as identity primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  session_id uuid,
  event text not null,
  succeeded boolean not null,
  factor_id uuid,
  occurred_at timestamptz not null default clock_timestamp(),
  constraint mfa_usage_log_event_is_known check (event in (
    'verify', 'backup_code', 'activate', 'disable', 'regenerate', 'trust', 'trusted_device',
    'reset', 'locked'
  ))
);
comment on table bulwark.mfa_usage_log is
  'Every use of an account''s second factors, for its owner to read. Not audited: the audit log has
   its own entry for each.';

create index mfa_attempts_user_id_idx on bulwark_private.mfa_attempts (user_id);
create index mfa_usage_log_user_id_idx on bulwark.mfa_usage_log (user_id, id);
create index mfa_usage_log_occurred_at_idx on bulwark.mfa_usage_log (occurred_at);

alter table bulwark_private.mfa_accounts enable row level security;
alter table bulwark_private.mfa_attempts enable row level security;
alter table bulwark.mfa_usage_log enable row level security;

create function bulwark_private.require_session()
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant uuid := bulwark_private.claimed_id('session_id');
begin
  perform bulwark_private.require_user();
  if v_session is null then
    raise exception 'Cannot proceed: the token names no session, and factors are verified in one'
      using errcode = 'insufficient_privilege', detail = 'MFA_SESSION_REQUIRED',
            hint = 'Sign in with Supabase Auth';
  end if;
  return v_session;
end;
$$;
comment on function bulwark_private.require_session() is
  'The caller''s session. Raises the errors of bulwark_private.require_user, and
   MFA_SESSION_REQUIRED for an accepted token without a session.';

create function bulwark_private.require_step_up()
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session uuid := bulwark_private.require_session();
begin
  if not bulwark.mfa_verified(
    make_interval(mins => (bulwark_private.setting('mfa.step_up_minutes'))::integer)
  ) then
    raise exception 'Cannot proceed: a second factor has to be verified again'
      using errcode = 'insufficient_privilege', detail = 'MFA_VERIFICATION_REQUIRED',
            hint = 'Verify a second factor in this session; a trusted device is not enough';
  end if;
  return v_session;
end;
$$;
comment on function bulwark_private.require_step_up() is
  'The caller''s session, in which a second factor was verified within mfa.step_up_minutes. Raises
   MFA_VERIFICATION_REQUIRED or MFA_SESSION_REQUIRED.';

create function bulwark_private.record_mfa(
  event_type text,
  action text,
  user_id uuid,
  session_id uuid,
  succeeded boolean default true,
  factor_id uuid default null,
  actor_id uuid default null,
  details jsonb default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry uuid;
  v_organization uuid;
  v_parent uuid;
begin
  insert into bulwark.mfa_usage_log (user_id, session_id, event, succeeded, factor_id)
  values (
    record_mfa.user_id, record_mfa.session_id, action, record_mfa.succeeded, record_mfa.factor_id
  );
  -- As for sign-ins: one entry for the installation and one for each organization of the user.
  for v_organization in
    select null::uuid
    union all
    select bulwark_private.organizations_of(record_mfa.user_id)
  loop
    v_entry := bulwark_private.append_audit_entry(
      event_type => record_mfa.event_type,
      organization_id => v_organization,
      resource_type => 'bulwark.mfa_secrets',
      resource_id => coalesce(record_mfa.factor_id, record_mfa.user_id)::text,
      action => record_mfa.action,
      result => case when succeeded then 'success' else 'failure' end::bulwark.audit_result,
      severity => case when succeeded then null else 'warning' end::bulwark.audit_severity,
      details => record_mfa.details,
      parent_id => v_parent,
      -- Without a session of the user it was somebody else: actor_id, or the request's caller.
      actor_id => coalesce(
        record_mfa.actor_id, case when record_mfa.session_id is not null then record_mfa.user_id end
      ),
      session_id => record_mfa.session_id
    );
    v_parent := coalesce(v_parent, v_entry);
  end loop;
end;
$$;
comment on function bulwark_private.record_mfa(
  text, text, uuid, uuid, boolean, uuid, uuid, jsonb
) is
  'Records an event of a second factor in the user''s own log and in the audit log: there for the
   installation and for each organization of the user. It never contains a code, secret or token.';

create function bulwark_private.forget_factors(user_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark_private.mfa_sessions m where m.user_id = forget_factors.user_id;
  delete from bulwark_private.mfa_trusted_devices d where d.user_id = forget_factors.user_id;
  delete from bulwark_private.mfa_backup_codes c where c.user_id = forget_factors.user_id;
  delete from bulwark.mfa_secrets f where f.user_id = forget_factors.user_id;
  delete from bulwark_private.mfa_attempts a where a.user_id = forget_factors.user_id;
end;
$$;
comment on function bulwark_private.forget_factors(uuid) is
  'Deletes an account''s factors, backup codes, trusted devices, attempts, and verifications of its
   sessions.';

create policy "Users read the log of their own factors"
  on bulwark.mfa_usage_log for select to authenticated
  using (user_id = (select bulwark.current_person()));

-- MFA locks: operations on one account's attempts, factors and devices are serialized.
-- Protects against deadlocks, also with the deletion of the account, and against concurrent
-- requests that exceed a limit.
-- No function here is SECURITY DEFINER.

create function bulwark_private.lock_mfa_account(user_id uuid)
  returns bulwark_private.mfa_accounts
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
begin
  -- The account before its dependent rows, in the order of its deletion.
  perform from auth.users u where u.id = lock_mfa_account.user_id for key share;
  if not found then
    return null;
  end if;
  insert into bulwark_private.mfa_accounts (user_id) values (lock_mfa_account.user_id)
  on conflict do nothing;
  select * into v_account
  from bulwark_private.mfa_accounts a
  where a.user_id = lock_mfa_account.user_id
  for update;
  return v_account;
end;
$$;
comment on function bulwark_private.lock_mfa_account(uuid) is
  'Locks an account''s attempts, factors and devices, and its deletion, until commit. Null if the
   account is deleted.';

create function bulwark_private.lock_own_mfa_account()
  returns bulwark_private.mfa_accounts
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
begin
  perform bulwark_private.hold_session();
  v_account := bulwark_private.lock_mfa_account(bulwark.current_person());
  if v_account.user_id is null then
    perform bulwark_private.require_user();
  end if;
  return v_account;
end;
$$;
comment on function bulwark_private.lock_own_mfa_account() is
  'bulwark_private.lock_mfa_account for the caller; a sign-out waits too. Raises the errors of
   bulwark_private.require_user if the session has ended.';

create function bulwark_private.forget_old_attempts(user_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The limit of 20 bounds the table. Attempts that were not admitted go first, then the oldest.
  delete from bulwark_private.mfa_attempts a
  where a.user_id = forget_old_attempts.user_id
    and (
      a.created_at < clock_timestamp() - interval '2 minutes'
      or a.id in (
        select o.id from bulwark_private.mfa_attempts o
        where o.user_id = forget_old_attempts.user_id
        order by o.admitted desc, o.created_at desc, o.id
        offset 19
      )
    );
end;
$$;
comment on function bulwark_private.forget_old_attempts(uuid) is
  'Makes room for one more attempt or ticket of a locked account: deletes those older than two
   minutes, and the oldest of more than 19.';

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

-- MFA devices: trusted devices, which skip the prompt for 30 days; and the caller's MFA status.
-- Protects against tokens read from a dump (only a hash is stored), and against trusted devices as
-- a way around step-up: they never count as a fresh verification.
-- SECURITY DEFINER: trust_device, present_trusted_device, revoke_trusted_device and mfa_status,
--   because clients may read neither devices nor factors.

create function bulwark_private.require_device_name(name text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if name is null or length(btrim(name)) not between 1 and 64 or name ~ '[[:cntrl:]]' then
    raise exception 'Cannot name device: a name has 1 to 64 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_NAME';
  end if;
end;
$$;
comment on function bulwark_private.require_device_name(text) is
  'Raises MFA_INVALID_NAME unless the name has 1 to 64 printable characters.';

create function bulwark.trust_device(name text)
  returns table (device_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients write no devices
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_device bulwark_private.mfa_trusted_devices;
  v_session constant uuid := bulwark_private.require_step_up();
  v_token text;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_device_name(trust_device.name);
  if not exists (
    select from bulwark.mfa_secrets f
    where f.user_id = v_user and f.activated_at is not null
  ) then
    raise exception 'Cannot trust device: the account has no second factor'
      using errcode = 'PT409', detail = 'MFA_NOT_ENROLLED', hint = 'Enroll a factor first';
  end if;
  perform bulwark_private.lock_own_mfa_account();
  -- At most 20 devices: the oldest makes room.
  delete from bulwark_private.mfa_trusted_devices d
  where d.id in (
    select o.id from bulwark_private.mfa_trusted_devices o
    where o.user_id = v_user
    order by o.created_at desc
    offset 19
  );
  v_token := translate(encode(extensions.gen_random_bytes(32), 'base64'), E'+/=\n', '-_');
  insert into bulwark_private.mfa_trusted_devices (user_id, name, token_hash, expires_at)
  values (
    v_user, btrim(trust_device.name), sha256(convert_to(v_token, 'UTF8')),
    now() + make_interval(days => (bulwark_private.setting('mfa.trusted_device_days'))::integer)
  )
  returning * into v_device;
  perform bulwark_private.record_mfa(
    'auth.mfa_verified', 'trust', v_user, v_session,
    details => jsonb_build_object('device_id', v_device.id)
  );
  return query select v_device.id, v_token, v_device.expires_at;
end;
$$;
comment on function bulwark.trust_device(text) is
  'Trusts the device of the caller, who has verified a second factor within mfa.step_up_minutes, for
   mfa.trusted_device_days. The token (base64url, 256 bits) is returned only here. The oldest of
   more than 20 devices are deleted. Errors: MFA_VERIFICATION_REQUIRED,
   MFA_SESSION_REQUIRED, MFA_NOT_ENROLLED, MFA_INVALID_NAME.';

create function bulwark.present_trusted_device(token text)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because clients read no devices
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_device uuid;
  v_session constant uuid := bulwark_private.require_session();
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.lock_own_mfa_account();
  update bulwark_private.mfa_trusted_devices d
  set last_used_at = clock_timestamp()
  where d.token_hash = sha256(convert_to(present_trusted_device.token, 'UTF8'))
    and d.user_id = v_user
    and d.expires_at > now()
    and exists (
      select from bulwark.mfa_secrets f
      where f.user_id = d.user_id and f.activated_at is not null
    )
  returning d.id into v_device;
  if found then
    insert into bulwark_private.mfa_sessions (session_id, user_id, trusted_device_id)
    values (v_session, v_user, v_device)
    on conflict (session_id) do update set trusted_device_id = excluded.trusted_device_id;
  end if;
  perform bulwark_private.record_mfa(
    'auth.mfa_verified', 'trusted_device', v_user, v_session, succeeded => v_device is not null,
    details => jsonb_build_object('device_id', v_device)
  );
  return v_device is not null;
end;
$$;
comment on function bulwark.present_trusted_device(text) is
  'Lets a trusted device skip the prompt: the session then satisfies organizations that require MFA,
   but mfa_verified stays false. Returns false alike for wrong, expired, revoked and other users''
   tokens. Errors: MFA_SESSION_REQUIRED and those of bulwark_private.require_user.';

create function bulwark.revoke_trusted_device(device_id uuid default null)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because clients write no devices
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_revoked bigint;
  v_user constant uuid := bulwark_private.require_user();
begin
  perform bulwark_private.lock_own_mfa_account();
  delete from bulwark_private.mfa_trusted_devices d
  where d.user_id = v_user
    and (revoke_trusted_device.device_id is null or d.id = revoke_trusted_device.device_id);
  get diagnostics v_revoked = row_count;
  return v_revoked;
end;
$$;
comment on function bulwark.revoke_trusted_device(uuid) is
  'Revokes one trusted device of the caller, or all of them; sessions that they verified no longer
   are. Returns how many. Errors: MFA_SESSION_REQUIRED and those of bulwark_private.require_user.';

create function bulwark.mfa_status()
  returns table (
    enrolled boolean,
    native_factors bigint,
    verified_at timestamptz,
    satisfied boolean,
    locked boolean,
    backup_codes_left bigint,
    factors jsonb,
    trusted_devices jsonb
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because clients read neither factors nor devices
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant uuid := bulwark_private.require_session();
  v_user constant uuid := bulwark.current_person();
  v_satisfied boolean := bulwark_private.session_passes_mfa();
  v_verified_at timestamptz := nullif(bulwark_private.session_mfa(v_session, v_user), '-infinity');
begin
  return query
    select
      exists (
        select from bulwark.mfa_secrets f where f.user_id = v_user and f.activated_at is not null
      ),
      bulwark_private.native_factors(v_user),
      v_verified_at,
      v_satisfied,
      -- Details only for a verified session, so that a thief of the password does not learn them.
      case when v_satisfied then exists (
        select from bulwark_private.mfa_accounts a
        where a.user_id = v_user
          and (a.locked_until > now() or a.consecutive_failures >= 100)
      ) end,
      case when v_satisfied then (
        select count(*) from bulwark_private.mfa_backup_codes c
        where c.user_id = v_user and c.used_at is null
      ) end,
      case when v_satisfied then (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', f.id, 'name', f.name, 'activated_at', f.activated_at,
          'last_used_at', f.last_used_at
        ) order by f.activated_at), '[]')
        from bulwark.mfa_secrets f where f.user_id = v_user and f.activated_at is not null
      ) end,
      case when v_satisfied then (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', d.id, 'name', d.name, 'created_at', d.created_at, 'expires_at', d.expires_at,
          'last_used_at', d.last_used_at
        ) order by d.created_at), '[]')
        from bulwark_private.mfa_trusted_devices d where d.user_id = v_user and d.expires_at > now()
      ) end;
end;
$$;
comment on function bulwark.mfa_status() is
  'The second factors of the caller''s account, and the state of the session. satisfied: the session
   satisfies organizations that require MFA, by a factor (verified_at) or a trusted device. The
   columns after it are null until then. Errors: MFA_SESSION_REQUIRED and those of
   bulwark_private.require_user.';

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

-- MFA resets: a user lost the device and the backup codes. This file decides who must consent.
-- Protects against persuading one administrator to remove a factor. A factor belongs to the account
-- and protects all its organizations, so each one that requires MFA has to consent. The consent
-- comes from somebody who may reset members there and whom the member does not outrank; from two
-- people, if the policy says so. Nobody resets their own account.
-- SECURITY DEFINER: mfa_resets_to_decide, because no role of the API reads others' grants.

create table bulwark.mfa_resets (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  reason text not null,
  requested_by uuid references auth.users (id) on delete set null,
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '1 day',
  completed_at timestamptz,
  cancelled_at timestamptz,
  constraint mfa_resets_reason_length check (length(btrim(reason)) between 1 and 500),
  constraint mfa_resets_ends_once check (completed_at is null or cancelled_at is null)
);
comment on table bulwark.mfa_resets is
  'Requests to remove the second factors of an account. Read by the account and by those who may
   reset members of the organization. Open for a day, until completed or cancelled.';
-- One an organization, so that no organization blocks another's request.
create unique index mfa_resets_open_idx on bulwark.mfa_resets (user_id, organization_id)
  nulls not distinct where completed_at is null and cancelled_at is null;
create index mfa_resets_user_id_idx on bulwark.mfa_resets (user_id, requested_at);
create index mfa_resets_organization_id_idx on bulwark.mfa_resets (organization_id, requested_at);
create index mfa_resets_requested_by_idx on bulwark.mfa_resets (requested_by);

create table bulwark_private.mfa_reset_consents (
  id uuid primary key default gen_random_uuid(),
  reset_id uuid not null references bulwark.mfa_resets (id) on delete cascade,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  given_at timestamptz not null default clock_timestamp(),
  constraint mfa_reset_consents_is_given_once
    unique nulls not distinct (reset_id, organization_id, user_id)
);
comment on table bulwark_private.mfa_reset_consents is
  'The people who consented to a reset, for which organization. A consent counts while its giver
   may reset.';
create index mfa_reset_consents_organization_id_idx on bulwark_private.mfa_reset_consents (
  organization_id
);
create index mfa_reset_consents_user_id_idx on bulwark_private.mfa_reset_consents (user_id);

alter table bulwark.mfa_resets enable row level security;
alter table bulwark_private.mfa_reset_consents enable row level security;

create function bulwark_private.mfa_reset_refusal(person uuid, user_id uuid, organization_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.user_permits(person, 'mfa:reset', organization_id) is not true then
    return 'RBAC_PERMISSION_DENIED';
  end if;
  if person = user_id then
    return 'MFA_OWN_RESET';
  end if;
  if organization_id is not null and not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = mfa_reset_refusal.user_id
      and g.organization_id = mfa_reset_refusal.organization_id
  ) then
    return 'RBAC_NOT_A_MEMBER';
  end if;
  -- A user with a system-wide role is reset only by somebody with mfa:reset system-wide.
  if exists (
      select from bulwark_private.active_grants g
      where g.user_id = mfa_reset_refusal.user_id and g.organization_id is null
    ) and not bulwark_private.user_permits(person, 'mfa:reset', null) then
    return 'MFA_USER_OUTRANKS';
  end if;
  -- Rank is level and permissions, as for grants: a reset can give access to the user's rights.
  if exists (
    select from bulwark_private.held_permissions h
    where h.user_id = mfa_reset_refusal.user_id
      and h.organization_id is not distinct from mfa_reset_refusal.organization_id
      and not bulwark_private.user_permits(person, h.permission, mfa_reset_refusal.organization_id)
  ) or (
    select coalesce(max(r.level) filter (where g.user_id = mfa_reset_refusal.user_id), 0)
      > coalesce(max(r.level) filter (where g.user_id = person), 0)
    from bulwark_private.active_grants g
    join bulwark.roles r on r.id = g.role_id
    where g.user_id in (person, mfa_reset_refusal.user_id)
      and (
        g.organization_id is not distinct from mfa_reset_refusal.organization_id
        or g.organization_id is null and g.role_id = bulwark_private.super_admin_role()
      )
  ) then
    return 'MFA_USER_OUTRANKS';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.mfa_reset_refusal(uuid, uuid, uuid) is
  'The error code that says why a person may not consent, for an organization, to the reset of a
   user; null if they may.';

create function bulwark_private.raise_mfa_reset_refusal(refusal text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if refusal is not null then
    raise exception 'Cannot reset factors: %', case refusal
        when 'RBAC_PERMISSION_DENIED' then 'permission mfa:reset is missing'
        when 'MFA_OWN_RESET' then 'they are your own'
        when 'RBAC_NOT_A_MEMBER' then 'the user is not a member of the organization'
        else 'the user outranks you'
      end
      using errcode = 'insufficient_privilege', detail = refusal,
            hint = 'Ask another administrator';
  end if;
end;
$$;
comment on function bulwark_private.raise_mfa_reset_refusal(text) is
  'Raises the error that bulwark_private.mfa_reset_refusal returned; null raises nothing.';

create function bulwark_private.mfa_reset_needs_approval(organization_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark.mfa_policies p
    where p.organization_id is not distinct from mfa_reset_needs_approval.organization_id
      and (p.reset_needs_approval or p.approval_until > now())
  );
end;
$$;
comment on function bulwark_private.mfa_reset_needs_approval(uuid) is
  'Whether an organization requires two people to reset a member.';

create function bulwark_private.mfa_reset_organizations(user_id uuid, organization_id uuid)
  returns setof uuid
  language sql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
as $$
  select o.id
  from (
    select mfa_reset_organizations.organization_id
    union
    select p.organization_id
    -- A grant that has not begun counts too: the factor will protect that organization as well.
    from bulwark_private.unexpired_grants g
    join bulwark.mfa_policies p on p.organization_id = g.organization_id
    where g.user_id = mfa_reset_organizations.user_id
      and (
        p.required_from is not null or bulwark_private.mfa_reset_needs_approval(p.organization_id)
      )
  ) as o (id)
  order by o.id nulls first;
$$;
comment on function bulwark_private.mfa_reset_organizations(uuid, uuid) is
  'The organizations that must consent to reset a user, ordered by id: the one where it is
   requested, and every one of the user''s that requires MFA or asks for two people.';

create function bulwark_private.mfa_resets_to_decide()
  returns setof uuid
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients read neither policies nor others' grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organizations uuid[] := array(select bulwark.organizations_with('mfa:reset'));
begin
  return query
    select r.id
    from bulwark.mfa_resets r
    where r.completed_at is null
      and r.cancelled_at is null
      and r.expires_at > now()
      and cardinality(v_organizations) > 0
      and exists (
        select from bulwark_private.mfa_reset_organizations(r.user_id, r.organization_id) as o
        where o = any (v_organizations)
      );
end;
$$;
comment on function bulwark_private.mfa_resets_to_decide() is
  'The ids of open resets to which the caller may consent.';

create policy "Users read resets of their own, members those they may decide"
  on bulwark.mfa_resets for select to authenticated
  using (
    user_id = (select bulwark.current_person())
    or organization_id = any (array(select bulwark.organizations_with('mfa:reset')))
    or id = any (array(select bulwark_private.mfa_resets_to_decide()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

select bulwark.enable_audit('bulwark.mfa_resets', organization_column => 'organization_id');
select bulwark.enable_audit(
  'bulwark_private.mfa_reset_consents', organization_column => 'organization_id'
);

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

-- MFA-required tables: step-up for tables of the host application.
-- Protects against a policy that somebody adds later. Permissive policies are joined by "or", so
-- these are restrictive, one for each command. A check finds ways around them that open later.
-- No function here is SECURITY DEFINER: they run as the owner of the tables.

create table bulwark_private.mfa_required_tables (
  relation regclass primary key,
  max_age interval not null,
  created_at timestamptz not null default now()
);
comment on table bulwark_private.mfa_required_tables is
  'The tables that require a fresh verification of a second factor, and its maximum age.';
alter table bulwark_private.mfa_required_tables enable row level security;

create function bulwark_private.mfa_condition(max_age interval)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- In seconds: how an interval is written depends on a setting.
  select format(
    '( SELECT bulwark.mfa_verified(make_interval(secs => (%s)::double precision)) AS mfa_verified)',
    extract(epoch from max_age)::bigint
  );
$$;
comment on function bulwark_private.mfa_condition(interval) is
  'The condition of the MFA policies, as Postgres itself writes it. It is evaluated once a query.';

create function bulwark_private.release_mfa(target regclass)
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
comment on function bulwark_private.release_mfa(regclass) is
  'Drops the MFA policies of a table. Errors: MFA_NOT_GUARDED.';

create function bulwark.require_mfa(target regclass, max_age interval default '10 minutes')
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_command text;
  v_condition text;
begin
  if target is null or max_age is null then
    raise exception 'Cannot require MFA: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'MFA_NULL_ARGUMENT';
  end if;
  if max_age < interval '1 second' or max_age > interval '30 days' then
    raise exception 'Cannot require MFA: a verification is fresh for 1 second to 30 days'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_MAX_AGE';
  end if;
  if not exists (
    select from pg_catalog.pg_class c
    where c.oid = target and c.relkind in ('r', 'p') and c.relrowsecurity
  ) then
    raise exception 'Cannot require MFA of %: it is no table with row-level security', target
      using errcode = 'wrong_object_type', detail = 'MFA_TABLE_WITHOUT_RLS',
            hint = 'Enable row level security on it, and give it policies of its own';
  end if;
  if exists (select from bulwark_private.mfa_required_tables g where g.relation = target) then
    perform bulwark_private.release_mfa(target);
  end if;
  v_condition := bulwark_private.mfa_condition(max_age);
  foreach v_command in array '{select, insert, update, delete}'::text[] loop
    perform bulwark_private.make_policy(
      target, 'bulwark_mfa_' || v_command, false, v_command, '{authenticated,api_key}',
      v_condition, v_condition
    );
  end loop;
  insert into bulwark_private.mfa_required_tables (relation, max_age)
  values (target, require_mfa.max_age);
end;
$$;
comment on function bulwark.require_mfa(regclass, interval) is
  'Requires MFA of a table: users read and write it only within max_age of verifying a second factor
   in the same session. The table''s own policies are still needed. Calling it again replaces
   max_age. bulwark.mfa_uncovered_tables lists the ways around it. Errors: MFA_TABLE_WITHOUT_RLS,
   MFA_INVALID_MAX_AGE, MFA_NULL_ARGUMENT.';

create function bulwark.mfa_uncovered_tables()
  returns table (relation text, role name, problem text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with recursive required as (
    select g.relation as oid, g.max_age, c.relrowsecurity, c.relowner
    from bulwark_private.mfa_required_tables g
    join pg_catalog.pg_class c on c.oid = g.relation
  ),
  view_sources as (
    select distinct
      d.refobjid as source,
      v.oid,
      v.relowner,
      v.relkind,
      v.relkind = 'm' or not coalesce(v.reloptions, '{}') && array[
        'security_invoker=true', 'security_invoker=on', 'security_invoker=1',
        'security_invoker=yes'
      ] as as_owner
    from pg_catalog.pg_depend d
    join pg_catalog.pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
    where d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
  ),
  -- Only roles that are subject to policies.
  roles as (
    select r.oid, r.rolname
    from pg_catalog.pg_roles r
    where not r.rolsuper and not r.rolbypassrls and r.rolname !~ '^pg_'
  ),
  commands (command, code, privilege) as (
    values ('select', 'r'::"char", 'select'), ('insert', 'a', 'insert'),
      ('update', 'w', 'update'), ('delete', 'd', 'delete')
  ),
  -- Views that read a required table, at any depth. One goes around the policies if the view next
  -- to the table runs with its owner's rights, or if a materialized view lies in between.
  views as (
    select g.oid as relation, g.relowner, v.oid, v.relowner as view_owner, v.as_owner,
      v.as_owner as goes_around
    from required g
    join view_sources v on v.source = g.oid
    union
    select b.relation, b.relowner, v.oid, v.relowner, v.as_owner,
      b.goes_around or v.relkind = 'm'
    from views b
    join view_sources v on v.source = b.oid
  ),
  -- Partitions, children and parents of a required table, at any depth.
  kin (relation, oid, how) as (
    select g.oid, i.inhrelid, 'directly in'
    from required g join pg_catalog.pg_inherits i on i.inhparent = g.oid
    union
    select g.oid, i.inhparent, 'through its parent'
    from required g join pg_catalog.pg_inherits i on i.inhrelid = g.oid
    union
    select k.relation, case k.how when 'directly in' then i.inhrelid else i.inhparent end, k.how
    from kin k
    join pg_catalog.pg_inherits i
      on k.oid = case k.how when 'directly in' then i.inhparent else i.inhrelid end
  ),
  intact as (
    select g.oid, k.command
    from required g
    cross join commands k
    where exists (
      select from bulwark_private.policies_of(g.oid, 'bulwark_mfa_' || k.command) p
      where p.name = 'bulwark_mfa_' || k.command
        and p.command = k.command
        and not p.permissive
        and p.roles = 'api_key, authenticated'
        and (k.command = 'insert' or p.using_expression = bulwark_private.mfa_condition(g.max_age))
        and (
          k.command not in ('insert', 'update')
          or p.check_expression = bulwark_private.mfa_condition(g.max_age)
        )
    )
  )
  select g.oid::regclass::text, null::name, 'row level security is off'
  from required g
  where not g.relrowsecurity
  union all
  select
    g.oid::regclass::text, 'authenticated', k.command || ': the MFA policy is missing or changed'
  from required g
  cross join commands k
  where not exists (select from intact i where i.oid = g.oid and i.command = k.command)
  union all
  -- The MFA policies do not apply to a role that is no member of authenticated.
  select
    g.oid::regclass::text, r.rolname,
    k.command || ': a policy admits the role, no MFA policy stops it'
  from required g
  cross join roles r
  cross join commands k
  where r.oid <> g.relowner
    and not pg_has_role(r.oid, 'authenticated', 'usage')
    -- The MFA policies apply to API keys too, and refuse them: they have no second factor.
    and not pg_has_role(r.oid, 'api_key', 'usage')
    and (
      has_table_privilege(r.oid, g.oid, k.privilege)
      or k.command <> 'delete' and has_any_column_privilege(r.oid, g.oid, k.privilege)
    )
    and exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = g.oid
        and p.polpermissive
        and p.polcmd in (k.code, '*')
        and exists (
          select from unnest(p.polroles) as member
          where member = 0 or pg_has_role(r.oid, member, 'usage')
        )
    )
  union all
  -- Truncate ignores policies.
  select g.oid::regclass::text, r.rolname, 'truncate: the role may, and no policy can stop it'
  from required g
  cross join roles r
  where r.oid <> g.relowner
    and pg_has_role(r.oid, 'authenticated', 'usage')
    and has_table_privilege(r.oid, g.oid, 'truncate')
  union all
  -- A view without security_invoker reads with the rights of its owner.
  select distinct
    v.relation::regclass::text, r.rolname, format('through the view %s', v.oid::regclass)
  from views v
  cross join roles r
  where v.goes_around
    and v.as_owner
    and r.oid <> v.view_owner
    and r.oid <> v.relowner
    and (
      has_any_column_privilege(r.oid, v.oid, 'select, insert, update')
      or has_table_privilege(r.oid, v.oid, 'delete')
    )
  union all
  -- Policies of a parent do not apply to a direct read of its partition, nor those of the partition
  -- to a read through the parent.
  select distinct g.oid::regclass::text, r.rolname, format('%s %s', k.how, k.oid::regclass)
  from required g
  join kin k on k.relation = g.oid
  join pg_catalog.pg_class c on c.oid = k.oid
  cross join roles r
  where r.oid <> c.relowner
    and not exists (select from required o where o.oid = k.oid)
    and (
      has_any_column_privilege(r.oid, k.oid, 'select, insert, update')
      or has_table_privilege(r.oid, k.oid, 'delete')
    )
    and (
      not c.relrowsecurity
      or exists (select from pg_catalog.pg_policy p where p.polrelid = k.oid and p.polpermissive)
    );
$$;
comment on function bulwark.mfa_uncovered_tables() is
  'The ways around require_mfa: an MFA policy that was dropped or changed, a role that a policy
   admits and no MFA policy stops, truncate, a view with its owner''s rights, a partition, a parent.
   The host application''s tests should assert that it is empty. It does not see SECURITY DEFINER
   functions and cascading foreign keys.';

select bulwark.enable_audit(
  'bulwark_private.mfa_required_tables',
  event_types => '{config.changed,config.changed,config.changed}'
);

-- MFA schedule: deletes expired and unfinished rows.
-- Security does not depend on it: every function that reads these rows checks their time.
-- SECURITY DEFINER: cleanup_mfa, because no role of the API writes these tables.

insert into bulwark.settings (name, value, description) values
  ('mfa.reset_days', '180',
    'How many days a reset is kept after it was completed, cancelled or expired');

create function bulwark.cleanup_mfa()
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes these tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_free uuid[];
  v_logged_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('mfa.usage_log_days'))::integer
  );
  v_people uuid[];
begin
  -- The accounts are locked first, as everywhere. Locked ones are left for the next run.
  v_people := array(
    select u.id
    from auth.users u
    where u.id in (
      select l.user_id from bulwark.mfa_usage_log l where l.occurred_at < v_logged_before
      union all
      select a.user_id from bulwark_private.mfa_attempts a
      where a.created_at < now() - interval '2 minutes'
      union all
      select d.user_id from bulwark_private.mfa_trusted_devices d where d.expires_at < now()
      union all
      select f.user_id from bulwark.mfa_secrets f
      where f.activated_at is null and f.created_at < now() - interval '1 hour'
    )
    for key share skip locked
  );
  v_free := array(
    select a.user_id from bulwark_private.mfa_accounts a
    where a.user_id = any (v_people)
    for update skip locked
  );
  v_people := array(
    select p from unnest(v_people) as p
    where p = any (v_free)
      or not exists (select from bulwark_private.mfa_accounts a where a.user_id = p)
  );
  delete from bulwark.mfa_usage_log l
  where l.user_id = any (v_people) and l.occurred_at < v_logged_before;
  delete from bulwark_private.mfa_attempts a
  where a.user_id = any (v_people) and a.created_at < now() - interval '2 minutes';
  delete from bulwark_private.mfa_trusted_devices d
  where d.user_id = any (v_people) and d.expires_at < now();
  delete from bulwark.mfa_secrets f
  where f.user_id = any (v_people)
    and f.activated_at is null and f.created_at < now() - interval '1 hour';
  delete from bulwark.mfa_resets r
  where r.id in (
    select o.id from bulwark.mfa_resets o
    where coalesce(o.completed_at, o.cancelled_at, o.expires_at) < now() - make_interval(
      days => (bulwark_private.setting('mfa.reset_days'))::integer
    )
    for update skip locked
  );
end;
$$;
comment on function bulwark.cleanup_mfa() is
  'Deletes log rows after mfa.usage_log_days, resets mfa.reset_days after they ended, attempts after
   two minutes, enrolments that were not finished within an hour, and expired devices.';

insert into bulwark_private.jobs (name, every, command) values
  ('mfa-cleanup', '15 minutes', 'select bulwark.cleanup_mfa()');

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

-- Sessions: users see where they are signed in, and end sessions of theirs.
-- Protects against a session that its owner does not recognize: nothing of Bulwark accepts a token
-- of an ended session, though it is valid until it expires. Addresses and devices are hidden from a
-- thief of the password, who lacks the second factor.
-- SECURITY DEFINER: my_sessions, end_session, because clients may not read or delete sessions.

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

-- MFA settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks second factors. All other settings are the operator's.
-- No function here.

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

-- MFA levels: how many members have a second factor, for metrics.
-- Protects against accounts that a password alone opens, and nobody counts. Only counts leave the
-- database: mfa_compliance says who it is.
-- No function here is SECURITY DEFINER.

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

revoke all on table
  bulwark_private.mfa_accounts,
  bulwark_private.mfa_attempts,
  bulwark.mfa_usage_log,
  bulwark.mfa_resets,
  bulwark_private.mfa_reset_consents,
  bulwark_private.mfa_required_tables
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.require_session(),
  bulwark_private.require_step_up(),
  bulwark_private.record_mfa(event_type text, action text, user_id uuid, session_id uuid, succeeded boolean, factor_id uuid, actor_id uuid, details jsonb),
  bulwark_private.forget_factors(user_id uuid),
  bulwark_private.lock_mfa_account(user_id uuid),
  bulwark_private.lock_own_mfa_account(),
  bulwark_private.forget_old_attempts(user_id uuid),
  bulwark_private.tell_of_mfa_lock(user_id uuid, session_id uuid),
  bulwark.begin_mfa_attempt(purpose text),
  bulwark.open_mfa_attempt(attempt_id uuid),
  bulwark_private.take_mfa_attempt(attempt_id uuid, purposes text[]),
  bulwark_private.refund_mfa_attempt(attempt bulwark_private.mfa_attempts),
  bulwark_private.refuse_mfa_attempt(attempt bulwark_private.mfa_attempts, factor_id uuid, step bigint, backup_code_hash bytea),
  bulwark_private.accept_mfa_attempt(attempt bulwark_private.mfa_attempts, method text, factor_id uuid, step bigint, backup_code_id uuid),
  bulwark.complete_mfa_verification(attempt_id uuid, factor_id uuid, step bigint),
  bulwark.complete_mfa_backup_code(attempt_id uuid, code_hash text),
  bulwark_private.begin_ticket(purpose text, session_id uuid),
  bulwark.begin_mfa_enrolment(),
  bulwark.store_mfa_secret(factor_id uuid, secret text, name text),
  bulwark_private.replace_backup_codes(user_id uuid, code_hashes text[]),
  bulwark.complete_mfa_activation(attempt_id uuid, factor_id uuid, step bigint, backup_code_hashes text[]),
  bulwark.begin_backup_codes(),
  bulwark.store_backup_codes(ticket_id uuid, code_hashes text[]),
  bulwark.remove_mfa_factor(factor_id uuid),
  bulwark_private.require_device_name(name text),
  bulwark.trust_device(name text),
  bulwark.present_trusted_device(token text),
  bulwark.revoke_trusted_device(device_id uuid),
  bulwark.mfa_status(),
  bulwark.set_mfa_policy(organization_id uuid, required boolean, grace_period interval, reset_needs_approval boolean),
  bulwark_private.mfa_reset_refusal(person uuid, user_id uuid, organization_id uuid),
  bulwark_private.raise_mfa_reset_refusal(refusal text),
  bulwark_private.mfa_reset_needs_approval(organization_id uuid),
  bulwark_private.mfa_reset_organizations(user_id uuid, organization_id uuid),
  bulwark_private.mfa_resets_to_decide(),
  bulwark_private.complete_mfa_reset(reset bulwark.mfa_resets, person uuid),
  bulwark.request_mfa_reset(user_id uuid, reason text, organization_id uuid),
  bulwark_private.find_mfa_reset(reset_id uuid),
  bulwark_private.take_mfa_reset(reset_id uuid),
  bulwark.approve_mfa_reset(reset_id uuid),
  bulwark.cancel_mfa_reset(reset_id uuid),
  bulwark_private.mfa_condition(max_age interval),
  bulwark_private.release_mfa(target regclass),
  bulwark.require_mfa(target regclass, max_age interval),
  bulwark.mfa_uncovered_tables(),
  bulwark.cleanup_mfa(),
  bulwark.mfa_compliance(organization_id uuid, state text, after uuid, page_size integer),
  bulwark.my_sessions(),
  bulwark.end_session(session_id uuid),
  bulwark_private.mfa_coverage()
  from public, anon, authenticated, service_role;

-- Grants of mfa. The build revokes everything else.

grant select on
  bulwark.mfa_usage_log,
  bulwark.mfa_resets
  to authenticated, service_role;

grant execute on function
  bulwark.begin_mfa_attempt(text),
  bulwark.begin_mfa_enrolment(),
  bulwark.begin_backup_codes(),
  bulwark.remove_mfa_factor(uuid),
  bulwark.trust_device(text),
  bulwark.present_trusted_device(text),
  bulwark.revoke_trusted_device(uuid),
  bulwark.mfa_status(),
  bulwark.my_sessions(),
  bulwark.end_session(uuid),
  bulwark_private.mfa_resets_to_decide()
  to authenticated;

grant execute on function
  bulwark.set_mfa_policy(uuid, boolean, interval, boolean),
  bulwark.mfa_compliance(uuid, text, uuid, integer),
  bulwark.request_mfa_reset(uuid, text, uuid),
  bulwark.approve_mfa_reset(uuid),
  bulwark.cancel_mfa_reset(uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.open_mfa_attempt(uuid),
  bulwark.complete_mfa_verification(uuid, uuid, bigint),
  bulwark.complete_mfa_backup_code(uuid, text),
  bulwark.store_mfa_secret(uuid, text, text),
  bulwark.complete_mfa_activation(uuid, uuid, bigint, text[]),
  bulwark.store_backup_codes(uuid, text[]),
  bulwark.cleanup_mfa()
  to service_role;

insert into bulwark_private.capabilities values ('mfa', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
