-- MFA sessions: which session has proven a second factor, and which organization insists on it.
-- Permission decisions stand upon it, so it comes before them; the rest of MFA comes much later.
-- Protects against a token that outlives its session or belongs to another one, and against claims:
-- what counts is a row keyed on the session, while the session itself lives.
-- SECURITY DEFINER: mfa_verified and bulwark_private.session_passes_mfa, because clients may read
-- neither
--   sessions nor factors.

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
  'What an organization asks of second factors; without an organization: what the installation asks
   of whoever acts by a system-wide role. Members read it, set_mfa_policy writes it.';
comment on column bulwark.mfa_policies.required_from is
  'From when on sessions without a second factor get no permission; null: never. The end of the
   grace period.';
comment on column bulwark.mfa_policies.reset_needs_approval is
  'Whether a member''s factor is reset only by two people together.';
comment on column bulwark.mfa_policies.approval_until is
  'Until when it still is although the policy no longer asks for it, so that nobody loosens the
   policy and then resets somebody alone.';

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
    check (length(btrim(name)) between 1 and 64 and name !~ '[[:cntrl:]]')
);
comment on table bulwark.mfa_secrets is
  'TOTP factors. The secret is ciphertext, bound to this row and its user; no role of the API reads
   the table, the service role included.';
comment on column bulwark.mfa_secrets.begun_in is
  'The session that began the enrolment; no other one can finish it.';
comment on column bulwark.mfa_secrets.last_step is
  'The newest time step whose code was accepted: no code of it or of an older one ever is again.';
comment on column bulwark.mfa_secrets.activated_at is
  'When a first code proved that the user has it; null: not yet a factor.';

create table bulwark_private.mfa_trusted_devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz,
  constraint mfa_trusted_devices_name_is_printable
    check (length(btrim(name)) between 1 and 64 and name !~ '[[:cntrl:]]')
);
comment on table bulwark_private.mfa_trusted_devices is
  'Devices that skip the prompt. SHA-256 of each token; the tokens have 256 random bits, so a plain
   hash is enough.';
create table bulwark_private.mfa_backup_codes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  code_hash bytea not null unique,
  used_at timestamptz,
  created_at timestamptz not null default now(),
  constraint mfa_backup_codes_hash_length check (length(code_hash) = 32)
);
comment on table bulwark_private.mfa_backup_codes is
  'HMAC-SHA-256 of each backup code under a pepper that only the function has: without it a copy of
   this table does not even tell a right code from a wrong one.';

create table bulwark_private.mfa_sessions (
  session_id uuid primary key references auth.sessions (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  verified_at timestamptz,
  method text,
  -- The proof: it is deleted with the factor or the set of codes that it was made of.
  factor_id uuid references bulwark.mfa_secrets (id) on delete cascade,
  step bigint,
  backup_code_id uuid references bulwark_private.mfa_backup_codes (id) on delete cascade,
  -- When a device is revoked or expires, the sessions it opened are closed with it.
  trusted_device_id uuid references bulwark_private.mfa_trusted_devices (id) on delete set null,
  constraint mfa_sessions_method_is_known check (method in ('totp', 'backup_code')),
  constraint mfa_sessions_says_something
    check ((verified_at is null) = (method is null))
);
comment on table bulwark_private.mfa_sessions is
  'The sessions in which a second factor was proven (verified_at, the last time, by which factor and
   time step or which backup code), or a trusted device shown. A row counts only while its session
   lives, and goes with what proved it.';

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

-- Supabase Auth's tables for its own factors came late and are missing where it has none, so what
-- reads them is made to fit. The freshness of a native factor is the time Auth recorded, not the
-- token's. An administrator who deletes a factor leaves the session at aal2, so the factor itself
-- is looked for: the one the session was verified by, or any where Auth does not say which.
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
  'Makes bulwark_private.native_mfa_at and bulwark_private.native_factors for those tables of
   Supabase Auth that exist; call it again after an upgrade of Supabase Auth brought them.';

select bulwark.read_native_mfa();
comment on function bulwark_private.native_mfa_at(uuid) is
  'When a factor of Supabase Auth''s own that the account still has was last verified in a session;
   null: never.';
comment on function bulwark_private.native_factors(uuid) is
  'How many verified factors of Supabase Auth''s own an account has.';

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
      -- Bulwark's factors win: whoever has one is not verified by a native factor, which anybody
      -- who knows the password can add to an account that has no native one.
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
  'When a second factor was last proven in a session that lives and is the user''s; -infinity where
   only a trusted device was shown, which is never fresh; null: neither.';

create function bulwark.mfa_verified(max_age interval)
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Whomever the token of an API key names beside the key: a program has proven nothing.
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
  'Whether the caller proved a second factor in this very session within max_age: step-up, for
   policies as (select mfa_verified(''10 minutes'')). False for a trusted device, an ended session,
   a token without a session, and a null max_age.';

create function bulwark_private.session_passes_mfa()
  returns boolean
  language plpgsql
  stable
  security definer            -- definer because clients may read neither sessions nor factors
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Spelled out as in caller_is_service(): this runs in front of every decision where MFA is
  -- required. An API key has proven nothing: what it may is decided without asking this.
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
  'Whether the caller''s session satisfies an organization that requires MFA: a second factor proven
   or a trusted device shown in it. True for the service role, which is no session of a person''s;
   false for API keys, whose rights are decided elsewhere.';

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
