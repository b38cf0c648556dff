-- MFA sessions: which session has verified a second factor, and which organization requires it.
-- Permission decisions need both, so these tables come before them; the rest of MFA is in 05_mfa.
-- Protects against a token that outlives its session or belongs to another one, and against forged
-- claims: the decision reads a row of the session, and only while the session is live.
-- SECURITY DEFINER: mfa_verified and bulwark_private.session_passes_mfa, because clients may read
--   neither sessions nor factors.

create table bulwark.mfa_policies (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  required_from timestamptz,
  reset_needs_approval boolean not null default false,
  approval_until timestamptz,
  updated_at timestamptz not null default now(),
  updated_by uuid references auth.users (id) on delete set null,
  constraint mfa_policies_is_one_an_organization unique nulls not distinct (organization_id),
  constraint mfa_policies_required_from_is_finite check (isfinite(required_from))
);
comment on table bulwark.mfa_policies is
  'The second factors that an organization requires; organization_id null: those that the
   installation requires of system-wide roles. Members read it, set_mfa_policy writes it.';
comment on column bulwark.mfa_policies.required_from is
  'The end of the grace period: from then on sessions without a second factor get no permission.
   Null: MFA is not required.';
comment on column bulwark.mfa_policies.reset_needs_approval is
  'Whether a reset of a member''s factors needs the consent of two people.';
comment on column bulwark.mfa_policies.approval_until is
  'Until when two people are still needed after reset_needs_approval was set to false. Otherwise one
   administrator could loosen the policy and then reset somebody alone.';

create table bulwark.mfa_secrets (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  secret text not null,
  begun_in uuid not null,
  begun_as_first boolean not null,
  last_step bigint not null default 0,
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  last_used_at timestamptz,
  constraint mfa_secrets_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 64)
);
comment on table bulwark.mfa_secrets is
  'TOTP factors. The secret is ciphertext, bound to this row and its user; no role of the API reads
   the table, the service role included.';
comment on column bulwark.mfa_secrets.begun_in is
  'The session that began the enrolment; no other one can finish it.';
comment on column bulwark.mfa_secrets.last_step is
  'The newest time step whose code was accepted. Codes of it and of older ones are refused.';
comment on column bulwark.mfa_secrets.activated_at is
  'When the first code was accepted; null: not yet a factor.';

create table bulwark_private.mfa_trusted_devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  constraint mfa_trusted_devices_name_is_printable
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 64)
);
comment on table bulwark_private.mfa_trusted_devices is
  'Devices that skip the MFA prompt. SHA-256 of each token; the tokens have 256 random bits, so a
   plain hash is enough.';
create table bulwark_private.mfa_backup_codes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  code_hash bytea not null unique,
  used_at timestamptz,
  created_at timestamptz not null default now(),
  constraint mfa_backup_codes_hash_length check (length(code_hash) = 32)
);
comment on table bulwark_private.mfa_backup_codes is
  'HMAC-SHA-256 of each backup code under a pepper that only the function has. Without the pepper a
   code cannot be checked against a copy of this table.';

create table bulwark_private.mfa_sessions (
  session_id uuid primary key references auth.sessions (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  verified_at timestamptz,
  method text,
  -- The proof: deleted with its factor or set of backup codes.
  factor_id uuid references bulwark.mfa_secrets (id) on delete cascade,
  step bigint,
  backup_code_id uuid references bulwark_private.mfa_backup_codes (id) on delete cascade,
  -- A device that is revoked or expires no longer verifies the session.
  trusted_device_id uuid references bulwark_private.mfa_trusted_devices (id) on delete set null,
  constraint mfa_sessions_method_is_known check (method in ('totp', 'backup_code')),
  constraint mfa_sessions_says_something
    check ((verified_at is null) = (method is null))
);
comment on table bulwark_private.mfa_sessions is
  'The sessions in which a second factor was verified (last at verified_at, by a factor and time
   step or by a backup code), or a trusted device presented. A row counts only while its session is
   live, and is deleted with its proof.';

create index mfa_policies_updated_by_idx on bulwark.mfa_policies (updated_by);
create index mfa_secrets_user_id_idx on bulwark.mfa_secrets (user_id);
create index mfa_trusted_devices_user_id_idx on bulwark_private.mfa_trusted_devices (user_id);
create index mfa_sessions_user_id_idx on bulwark_private.mfa_sessions (user_id);
create index mfa_backup_codes_user_id_idx on bulwark_private.mfa_backup_codes (user_id);
create index mfa_sessions_factor_id_idx on bulwark_private.mfa_sessions (factor_id);
create index mfa_sessions_backup_code_id_idx on bulwark_private.mfa_sessions (backup_code_id);
create index mfa_sessions_trusted_device_id_idx on bulwark_private.mfa_sessions (trusted_device_id);

alter table bulwark.mfa_policies enable row level security;
alter table bulwark.mfa_secrets enable row level security;
alter table bulwark_private.mfa_trusted_devices enable row level security;
alter table bulwark_private.mfa_backup_codes enable row level security;
alter table bulwark_private.mfa_sessions enable row level security;

-- Older versions of Supabase Auth lack these tables, so the functions that read them are generated.
-- The time of a native verification is the one that Auth recorded, not the token's. Deleting a
-- factor leaves its session at aal2, so the factor itself must still exist: the one that verified
-- the session, or any one if Auth does not say which.
create function bulwark.read_native_mfa(
  claims regclass default to_regclass('auth.mfa_amr_claims'),
  factors regclass default to_regclass('auth.mfa_factors')
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    $make$
      create or replace function bulwark_private.native_mfa_at(session_id uuid)
        returns timestamptz
        language plpgsql
        stable
        set search_path = pg_catalog, pg_temp
      as $body$ begin return (%s); end; $body$
    $make$,
    case
      when claims is null or factors is null
      then 'case when session_id is null then null end::timestamptz'
      else format(
        'select max(c.updated_at)
          from %s c
          join bulwark_private.live_sessions s on s.id = c.session_id
          where c.session_id = native_mfa_at.session_id and s.aal = ''aal2''
            and (c.authentication_method in (''totp'', ''recovery_code'')
              or c.authentication_method like ''mfa/%%'')
            and exists (
              select from %s f
              where f.user_id = s.user_id and f.status::text = ''verified''
                and (s.factor_id is null or f.id = s.factor_id)
            )',
        claims, factors
      )
    end
  );
  execute format(
    $make$
      create or replace function bulwark_private.native_factors(user_id uuid)
        returns bigint
        language plpgsql
        stable
        set search_path = pg_catalog, pg_temp
      as $body$ begin return (%s); end; $body$
    $make$,
    case
      when factors is null then 'case when user_id is not null then 0 end::bigint'
      else format(
        'select count(*) from %s f
          where f.user_id = native_factors.user_id and f.status::text = ''verified''',
        factors
      )
    end
  );
end;
$$;
comment on function bulwark.read_native_mfa(regclass, regclass) is
  'Creates bulwark_private.native_mfa_at and bulwark_private.native_factors for the tables of
   Supabase Auth that exist. Call it again after an upgrade of Supabase Auth adds them.';

select bulwark.read_native_mfa();
comment on function bulwark_private.native_mfa_at(uuid) is
  'When a native factor (of Supabase Auth) that the account still has was last verified in a
   session; null: never.';
comment on function bulwark_private.native_factors(uuid) is
  'How many verified native factors (of Supabase Auth) an account has.';

create function bulwark_private.session_mfa(session_id uuid, user_id uuid)
  returns timestamptz
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return (
    select case
      -- Bulwark's factors win: with the password alone anybody could add a first native factor, so
      -- a native one does not verify an account that has a factor of Bulwark.
      when exists (
        select from bulwark.mfa_secrets f where f.user_id = s.user_id and f.activated_at is not null
      )
      then (
        select coalesce(m.verified_at, case
          when exists (
            select from bulwark_private.mfa_trusted_devices d
            where d.id = m.trusted_device_id and d.expires_at > now()
          )
          then '-infinity'::timestamptz
        end)
        from bulwark_private.mfa_sessions m
        where m.session_id = s.id and m.user_id = s.user_id
      )
      else bulwark_private.native_mfa_at(s.id)
    end
    from bulwark_private.live_sessions s
    where s.id = session_mfa.session_id and s.user_id = session_mfa.user_id
  );
end;
$$;
comment on function bulwark_private.session_mfa(uuid, uuid) is
  'When a second factor was last verified in a live session of the user; -infinity if only a trusted
   device was presented, which is never fresh; null: neither.';

create function bulwark.mfa_verified(max_age interval)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key has no second factor, even if its token names a person.
  return current_setting('role') <> 'api_key' and coalesce(
    bulwark_private.session_mfa(
      bulwark_private.claimed_id('session_id'), bulwark_private.claimed_id('sub')
    )
      > clock_timestamp() - max_age,
    false
  );
end;
$$;
comment on function bulwark.mfa_verified(interval) is
  'Whether the caller verified a second factor in this session within max_age (step-up). Write it in
   policies as (select bulwark.mfa_verified(''10 minutes'')). False for a trusted device, an ended
   session, a token without a session, and a null max_age.';

create function bulwark_private.session_passes_mfa()
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- caller_is_service() inlined, because this runs in every decision of organizations that require
  -- MFA. API keys are decided elsewhere.
  if coalesce(nullif(current_setting('role'), 'none'), session_user::text) in (
    'service_role', 'postgres', 'supabase_admin'
  ) then
    return true;
  end if;
  return bulwark_private.session_mfa(
    bulwark_private.claimed_id('session_id'), bulwark_private.claimed_id('sub')
  )
    is not null;
end;
$$;
comment on function bulwark_private.session_passes_mfa() is
  'Whether the caller''s session satisfies an organization that requires MFA: a second factor was
   verified or a trusted device presented in it. True for the service role; false for API keys,
   whose rights are decided elsewhere.';

create trigger mfa_secrets_keep_columns
  before update on bulwark.mfa_secrets
  for each row execute function bulwark.keep_columns(
    'id', 'user_id', 'begun_in', 'begun_as_first', 'created_at'
  );
create trigger mfa_policies_keep_columns
  before update on bulwark.mfa_policies
  for each row execute function bulwark.keep_columns('id', 'organization_id');
create trigger mfa_policies_touch
  before update on bulwark.mfa_policies
  for each row execute function bulwark_private.touch_updated_at();

revoke all on function bulwark_private.native_mfa_at(uuid), bulwark_private.native_factors(uuid)
  from public, anon, authenticated, service_role;
