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
