-- API keys: what a program holds instead of a session. A key belongs to a member of one
-- organization and may there what its scopes name, as far as the role api_user and its owner hold
-- it right now.
-- Protects against a key that outlives or outgrows its owner: nothing that a key may is stored with
-- it but the most it could ever be, and that only ever shrinks.
-- SECURITY DEFINER: set_api_key_policy, because no client writes policies.

create table bulwark.api_key_policies (
  organization_id uuid primary key references bulwark.organizations (id) on delete cascade,
  allowed boolean not null,
  decided_with_mfa boolean not null,
  max_days bigint,
  updated_at timestamptz not null default now(),
  updated_by uuid references auth.users (id) on delete set null,
  constraint api_key_policies_max_days check (max_days between 1 and 3650)
);
comment on table bulwark.api_key_policies is
  'What an organization decided about API keys. Without a row keys are allowed, unless the
   organization requires MFA: then they are not until somebody allows them.';
comment on column bulwark.api_key_policies.decided_with_mfa is
  'Whether a second factor was freshly verified when it was decided, or the operator decided. Where
   MFA is required, a yes without it does not count, also if it was said before MFA was required.';
comment on column bulwark.api_key_policies.max_days is
  'For how long a key is issued at most; null: as long as the installation allows.';

create table bulwark.api_keys (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  owner_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  environment text not null,
  first_characters text not null,
  scopes text[] not null,
  networks cidr[],
  rate_limit_rule text not null references bulwark.rate_limit_rules (name),
  issued_with_mfa boolean not null,
  rotated_from uuid references bulwark.api_keys (id) on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_by uuid references auth.users (id) on delete set null,
  revoked_because text,
  constraint api_keys_name_is_printable
    check (length(btrim(name)) between 1 and 100 and name !~ '[[:cntrl:]]'),
  constraint api_keys_environment_format check (environment ~ '^[a-z]{2,12}$'),
  constraint api_keys_scopes_are_some check (cardinality(scopes) between 1 and 100),
  constraint api_keys_networks_are_some check (cardinality(networks) between 1 and 50),
  constraint api_keys_expires_after_creation
    check (isfinite(expires_at) and expires_at >= created_at),
  constraint api_keys_revoked_for_a_reason
    check ((revoked_at is null) = (revoked_because is null)),
  constraint api_keys_reason_length check (length(btrim(revoked_because)) between 1 and 500),
  -- Two successors of one key cannot be, whoever writes.
  constraint api_keys_has_one_successor unique (rotated_from)
);
comment on table bulwark.api_keys is
  'API keys, without anything that could be used as one. Owners see theirs, members with
   api_key:read all of the organization''s; every change goes through a function.';
comment on column bulwark.api_keys.first_characters is
  'How the key begins, to recognize it by. What is left of it is beyond guessing.';
comment on column bulwark.api_keys.scopes is
  'The most that the key may: what it may right now is less where its owner holds less.';
comment on column bulwark.api_keys.networks is
  'From where the key is accepted; null: from anywhere. IPv6 by /64 or wider.';
comment on column bulwark.api_keys.issued_with_mfa is
  'Whether a second factor was freshly verified in the session that issued it.';
comment on column bulwark.api_keys.revoked_by is
  'Who revoked it; null with revoked_at set: the operator, or a report that it had leaked.';

create table bulwark_private.api_key_hashes (
  api_key_id uuid primary key references bulwark.api_keys (id) on delete cascade,
  key_hash bytea not null unique,
  constraint api_key_hashes_is_sha256 check (octet_length(key_hash) = 32)
);
comment on table bulwark_private.api_key_hashes is
  'SHA-256 of each key. A key is 190 random bits, which nobody guesses: a slow hash would only slow
   down us, and an index look-up tells nothing about keys one does not have.';

-- Apart from the key, so that being used does not touch what says who may what.
create table bulwark_private.api_key_uses (
  api_key_id uuid primary key references bulwark.api_keys (id) on delete cascade,
  last_used_at timestamptz not null
) with (fillfactor = 70);
comment on table bulwark_private.api_key_uses is
  'When each key was last used, written at most once in api_keys.use_precision_seconds. Not audited:
   it says nothing that the entries made with the key do not.';

create index api_keys_organization_id_idx on bulwark.api_keys (organization_id, created_at, id);
create index api_keys_owner_id_idx on bulwark.api_keys (owner_id, organization_id);
create index api_keys_revoked_by_idx on bulwark.api_keys (revoked_by) where revoked_by is not null;
create index api_keys_rate_limit_rule_idx on bulwark.api_keys (rate_limit_rule);
create index api_key_policies_updated_by_idx on bulwark.api_key_policies (updated_by);

alter table bulwark.api_key_policies enable row level security;
alter table bulwark.api_keys enable row level security;
alter table bulwark_private.api_key_hashes enable row level security;
alter table bulwark_private.api_key_uses enable row level security;

insert into bulwark.settings (name, value, description) values
  ('api_keys.prefix', '"bwk"',
    'What every API key begins with: 2 to 12 letters by which scanners recognize it'),
  ('api_keys.environments', '["live", "test"]', 'The environments that a key can be issued for'),
  ('api_keys.default_days', '90', 'For how long a key is issued where nobody says'),
  ('api_keys.max_days', '365', 'For how long a key is issued at most'),
  ('api_keys.max_overlap_days', '30', 'For how long a rotated key goes on at most'),
  ('api_keys.limit_per_owner', '50', 'How many keys in force one member has in an organization'),
  ('api_keys.rate_limit_rules', '["api_strict", "api_default", "api_relaxed"]',
    'Among which rules whoever issues a key chooses its own'),
  ('api_keys.use_precision_seconds', '60', 'How exactly the last use of a key is known');

create function bulwark_private.api_user_role()
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select '00000000-0000-4000-8000-000000000010'::uuid; $$;
comment on function bulwark_private.api_user_role() is
  'The id of the system role api_user: what programs may at most.';

create view bulwark_private.api_key_states with (security_invoker = true) as
  select
    k.id, k.organization_id, k.owner_id, k.scopes, k.issued_with_mfa, k.expires_at,
    k.rate_limit_rule, k.networks,
    k.revoked_at is null
      and k.expires_at > now()
      -- A key never passes where a second factor is required: somebody has to have decided that
      -- programs may, and one to have been verified when the key was issued.
      and (m.id is null or k.issued_with_mfa)
      and coalesce(p.allowed and (m.id is null or p.decided_with_mfa), m.id is null) as active
  from bulwark.api_keys k
  left join bulwark.api_key_policies p on p.organization_id = k.organization_id
  left join bulwark.mfa_policies m
    on m.organization_id = k.organization_id and m.required_from <= now();
comment on view bulwark_private.api_key_states is
  'Whether each key counts right now: not revoked, not expired, and allowed by its organization.';

create view bulwark_private.api_key_holdings with (security_invoker = true) as
  select k.id as api_key_id, k.organization_id, k.networks, k.active, h.permission
  from bulwark_private.api_key_states k
  -- Of the owner's grants those in the organization and that of a super_admin, and no others: what
  -- a look-up takes shall follow neither from how many organizations the owner is in nor from how
  -- many members this one has. By equality the planner may take the index by organization, which
  -- reads all of its members, for as good as the one by user; by a range it does not.
  cross join lateral (
    select g.role_id
    from bulwark_private.active_grants g
    where g.user_id = k.owner_id
      and g.organization_id between k.organization_id and k.organization_id
    union all
    select s.role_id
    from bulwark_private.active_grants s
    where s.user_id = k.owner_id
      and s.organization_id is null
      and s.role_id = bulwark_private.super_admin_role()
      and (
        k.issued_with_mfa
        or not exists (
          select from bulwark.mfa_policies m
          where m.organization_id is null and m.required_from <= now()
        )
      )
  ) g
  join bulwark_private.effective_permissions h
    on h.role_id = g.role_id and h.permission = any (k.scopes)
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission;
comment on view bulwark_private.api_key_holdings is
  'What each key may, were it in force: its scopes, as far as programs and its owner hold them.';

create view bulwark_private.api_key_permissions with (security_invoker = true) as
  select h.api_key_id, h.organization_id, h.permission, h.networks
  from bulwark_private.api_key_holdings h
  where h.active;
comment on view bulwark_private.api_key_permissions is 'What each key may right now.';

create function bulwark_private.network_is_allowed(networks cidr[], address text)
  returns boolean
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- With a list, an address that nobody trustworthy wrote is not on it. Compared first, so that
  -- being refused for the address takes no longer than being refused without a list.
  return coalesce(address::inet <<= any (coalesce(networks, '{0.0.0.0/0}')), false)
    or networks is null;
end;
$$;
comment on function bulwark_private.network_is_allowed(cidr[], text) is
  'Whether a key with this list of networks is accepted from an address, as
   bulwark_private.client_network writes it (null: unknown).';

create function bulwark_private.api_key_organizations(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  -- Of a request with role api_key the claims are what PostgREST verified or the hook looked up.
  v_key constant uuid := bulwark_private.uuid_or_null(
    bulwark_private.claims() ->> 'api_key_id'
  );
begin
  return query
    select p.organization_id
    from bulwark_private.api_key_permissions p
    where p.api_key_id = v_key
      and p.permission = api_key_organizations.permission
      and case
        when p.networks is null then true
        else bulwark_private.network_is_allowed(
          p.networks,
          bulwark_private.client_address(
            nullif(current_setting('request.headers', true), '')::jsonb
          )
        )
      end
    limit 1;
end;
$$;
comment on function bulwark_private.api_key_organizations(text) is
  'The organization of the key that the request is made with, if the key holds the permission right
   now; none where it was revoked or has expired, whatever the token says.';

create function bulwark_private.api_keys_only_narrow()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if new.expires_at > old.expires_at
    or old.revoked_at is not null and (
      new.revoked_at is distinct from old.revoked_at
      or new.revoked_because is distinct from old.revoked_because
    ) then
    raise exception 'Cannot change the API key: it can only be narrowed'
      using errcode = 'check_violation', detail = 'API_KEY_ONLY_NARROWS',
            hint = 'Issue another one';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.api_keys_only_narrow() is
  'Trigger: a key''s end never moves further away, and a revocation is final, whoever writes.';

create trigger api_keys_keep_columns
  before update on bulwark.api_keys
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'owner_id', 'environment', 'first_characters', 'scopes', 'networks',
    'rate_limit_rule', 'issued_with_mfa', 'created_at'
  );
create trigger api_keys_only_narrow
  before update on bulwark.api_keys
  for each row execute function bulwark_private.api_keys_only_narrow();
create trigger api_key_hashes_keep_columns
  before update on bulwark_private.api_key_hashes
  for each row execute function bulwark.keep_columns('key_hash', 'api_key_id');
create trigger api_key_policies_keep_columns
  before update on bulwark.api_key_policies
  for each row execute function bulwark.keep_columns('organization_id');
create trigger api_key_policies_touch_updated_at
  before update on bulwark.api_key_policies
  for each row execute function bulwark_private.touch_updated_at();

create function bulwark_private.mfa_is_required_in(organization_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from bulwark.mfa_policies m
    where m.organization_id = mfa_is_required_in.organization_id and m.required_from <= now()
  );
$$;
comment on function bulwark_private.mfa_is_required_in(uuid) is
  'Whether an organization requires a second factor of its members right now.';

create function bulwark.set_api_key_policy(
  organization_id uuid,
  allowed boolean,
  max_days integer default null
)
  returns bulwark.api_key_policies
  language plpgsql
  volatile
  security definer            -- definer because no client writes policies
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy bulwark.api_key_policies;
begin
  if organization_id is null or allowed is null then
    raise exception 'Cannot set the policy: the organization or the decision is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  if max_days not between 1 and 3650 then
    raise exception 'Cannot set the policy: keys are issued for 1 to 3650 days'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_EXPIRY';
  end if;
  perform bulwark_private.require_permission_to_change('settings:write', organization_id);
  if allowed and bulwark_private.mfa_is_required_in(organization_id)
    and not bulwark_private.caller_is_service() then
    perform bulwark_private.require_step_up();
  end if;
  insert into bulwark.api_key_policies as p
    (organization_id, allowed, decided_with_mfa, max_days, updated_by)
  values (
    set_api_key_policy.organization_id, set_api_key_policy.allowed,
    bulwark_private.caller_is_service() or bulwark.mfa_verified(
      make_interval(mins => (bulwark_private.setting('mfa.step_up_minutes'))::integer)
    ),
    set_api_key_policy.max_days, bulwark.current_person()
  )
  on conflict on constraint api_key_policies_pkey do update
    set allowed = excluded.allowed, decided_with_mfa = excluded.decided_with_mfa,
        max_days = excluded.max_days, updated_by = excluded.updated_by
  returning p.* into v_policy;
  return v_policy;
end;
$$;
comment on function bulwark.set_api_key_policy(uuid, boolean, integer) is
  'Decides whether the organization has API keys at all, and for how many days they are issued at
   most (settings:write). Saying no stops all of its keys at once; saying yes again lets those go
   on that were neither revoked nor have expired. Where the organization requires MFA, saying yes
   needs a verification within mfa.step_up_minutes; a yes that was said without one before MFA was
   required no longer counts then, and has to be said again. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED, MFA_VERIFICATION_REQUIRED, API_KEY_INVALID_EXPIRY, API_KEY_NULL_ARGUMENT,
   RBAC_UNKNOWN_ORGANIZATION.';

create policy "Members read what their organizations decided about API keys"
  on bulwark.api_key_policies for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('settings:read')))
    or organization_id = any (array(select bulwark.organizations_with('api_key:read')))
  );

create policy "Owners read their API keys, members with api_key:read all"
  on bulwark.api_keys for select to authenticated
  using (
    owner_id = (select bulwark.current_person())
    or organization_id = any (array(select bulwark.organizations_with('api_key:read')))
  );

create function bulwark_private.api_key_organization(api_key_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$ select k.organization_id from bulwark.api_keys k where k.id = api_key_id; $$;
comment on function bulwark_private.api_key_organization(uuid) is 'The organization of a key.';

select bulwark.enable_audit(
  'bulwark.api_key_policies', organization_column => 'organization_id',
  event_types => '{settings.updated,settings.updated,settings.updated}'
);
select bulwark.enable_audit(
  'bulwark.api_keys', organization_column => 'organization_id',
  event_types => '{api.key_created,data.update,data.delete}'
);
select bulwark.enable_audit(
  'bulwark_private.api_key_hashes', organization_column => 'api_key_id',
  organization_lookup => 'bulwark_private.api_key_organization', redact => '{key_hash}'
);
revoke all on
  bulwark_private.api_key_states, bulwark_private.api_key_holdings,
  bulwark_private.api_key_permissions
  from public, anon, authenticated, service_role;
