-- API keys: credentials of programs. A key belongs to a member of one organization. It has those of
-- its scopes that its owner and the role api_user hold right now.
-- Protects against a key that outlives its owner or exceeds the owner's permissions: only the
-- maximum is stored with the key, and it can only shrink.
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
  'The decision of an organization about API keys. Without a row keys are allowed, unless the
   organization requires MFA: then they are closed until somebody allows them.';
comment on column bulwark.api_key_policies.decided_with_mfa is
  'Whether the decision was made with a freshly verified second factor, or by the operator. Where
   MFA is required, allowing keys without it does not count, even if it was decided before MFA was
   required.';
comment on column bulwark.api_key_policies.max_days is
  'Maximum lifetime of a key in days; null: the maximum of the installation.';

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
    check (name !~ '[[:cntrl:]]' and length(btrim(name)) between 1 and 100),
  constraint api_keys_environment_format check (environment ~ '^[a-z]{2,12}$'),
  constraint api_keys_scopes_are_some check (cardinality(scopes) between 1 and 100),
  constraint api_keys_networks_are_some check (cardinality(networks) between 1 and 50),
  constraint api_keys_expires_after_creation
    check (isfinite(expires_at) and expires_at >= created_at),
  constraint api_keys_revoked_for_a_reason
    check ((revoked_at is null) = (revoked_because is null)),
  constraint api_keys_reason_length check (length(btrim(revoked_because)) between 1 and 500),
  -- Holds also for writes that bypass the functions.
  constraint api_keys_has_one_successor unique (rotated_from)
);
comment on table bulwark.api_keys is
  'API keys without their secrets. Owners read their own, members with api_key:read all of the
   organization. Every change goes through a function.';
comment on column bulwark.api_keys.first_characters is
  'The first characters of the key, to recognize it by. The rest cannot be guessed.';
comment on column bulwark.api_keys.scopes is
  'The maximum of the key. Its effective permissions are fewer where its owner holds fewer.';
comment on column bulwark.api_keys.networks is
  'The networks from which the key is accepted; null: any. IPv6 networks are /64 or wider.';
comment on column bulwark.api_keys.issued_with_mfa is
  'Whether the session that issued the key had a freshly verified second factor.';
comment on column bulwark.api_keys.revoked_by is
  'The person who revoked it; null with revoked_at set: the operator, or a report of a leak.';

create table bulwark_private.api_key_hashes (
  api_key_id uuid primary key references bulwark.api_keys (id) on delete cascade,
  key_hash bytea not null unique,
  constraint api_key_hashes_is_sha256 check (octet_length(key_hash) = 32)
);
comment on table bulwark_private.api_key_hashes is
  'SHA-256 of each key. A key has 190 random bits, so a slow hash would add cost and no security.';

-- A table of its own, so that using a key does not update the row that holds its rights.
create table bulwark_private.api_key_uses (
  api_key_id uuid primary key references bulwark.api_keys (id) on delete cascade,
  last_used_at timestamptz not null
) with (fillfactor = 70);
comment on table bulwark_private.api_key_uses is
  'When each key was last used, written at most once in api_keys.use_precision_seconds. Not audited,
   because the entries made with the key say it already.';

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
    'Prefix of every API key: 2 to 12 letters by which scanners recognize it'),
  ('api_keys.environments', '["live", "test"]', 'The environments that a key can be issued for'),
  ('api_keys.default_days', '90', 'Default lifetime of a key in days'),
  ('api_keys.max_days', '365', 'Maximum lifetime of a key in days'),
  ('api_keys.max_overlap_days', '30', 'Longest overlap of a rotated key in days'),
  ('api_keys.limit_per_owner', '50', 'Maximum keys in force of one member in an organization'),
  ('api_keys.rate_limit_rules', '["api_strict", "api_default", "api_relaxed"]',
    'The rate limit rules that an issuer of a key can choose from'),
  ('api_keys.use_precision_seconds', '60', 'Precision of the last use of a key in seconds');

create function bulwark_private.api_user_role()
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select '00000000-0000-4000-8000-000000000010'::uuid; $$;
comment on function bulwark_private.api_user_role() is
  'The id of the system role api_user, the upper bound of what API keys may do.';

create view bulwark_private.api_key_states with (security_invoker = true) as
  select
    k.id, k.organization_id, k.owner_id, k.scopes, k.issued_with_mfa, k.expires_at,
    k.rate_limit_rule, k.networks,
    k.revoked_at is null
      and k.expires_at > now()
      -- Where a second factor is required, keys count only if somebody with a second factor allowed
      -- them and the key was issued with one.
      and (m.id is null or k.issued_with_mfa)
      and coalesce(p.allowed and (m.id is null or p.decided_with_mfa), m.id is null) as active
  from bulwark.api_keys k
  left join bulwark.api_key_policies p on p.organization_id = k.organization_id
  left join bulwark.mfa_policies m
    on m.organization_id = k.organization_id and m.required_from <= now();
comment on view bulwark_private.api_key_states is
  'Whether each key is in force: not revoked, not expired, and allowed by its organization.';

-- Only the owner's grants in this organization, and that of a super_admin. The cost must depend
-- neither on the owner's other organizations nor on the other members. The range condition (between
-- x and x) is deliberate: with an equality the planner may choose the index by organization, which
-- reads all members.
create view bulwark_private.api_key_member_roles with (security_invoker = true) as
  select k.*, g.role_id
  from bulwark_private.api_key_states k
  left join bulwark_private.active_grants g
    on g.user_id = k.owner_id and g.organization_id between k.organization_id and k.organization_id;
comment on view bulwark_private.api_key_member_roles is
  'Each key with the roles of its owner in its organization: a row for each, or one without a
   role.';

create view bulwark_private.api_key_roles with (security_invoker = true) as
  select k.*, false as everywhere from bulwark_private.api_key_member_roles k
  union all
  select k.*, g.role_id, true
  from bulwark_private.api_key_states k
  left join bulwark_private.active_grants g
    on g.user_id = k.owner_id
    and g.organization_id is null
    and g.role_id = bulwark_private.super_admin_role()
    and (
      k.issued_with_mfa
      or not exists (
        select from bulwark.mfa_policies m
        where m.organization_id is null and m.required_from <= now()
      )
    );
comment on view bulwark_private.api_key_roles is
  'api_key_member_roles, and (everywhere) a row for each key with the role super_admin if its owner
   is one, otherwise without a role.';

create view bulwark_private.api_key_holdings with (security_invoker = true) as
  select
    k.id as api_key_id, k.organization_id, k.networks, k.active, h.permission, k.everywhere
  from bulwark_private.api_key_roles k
  join bulwark_private.effective_permissions h
    on h.role_id = k.role_id and h.permission = any (k.scopes)
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission;
comment on view bulwark_private.api_key_holdings is
  'The permissions of each key, without regard to whether it is in force: those of its scopes that
   api_user and its owner hold, the latter by a role there or (everywhere) as a super_admin.';

create view bulwark_private.api_key_lookups with (security_invoker = true) as
  select
    k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks,
    -- Permissions are looked up first and with any role, that of programs if the owner has none, so
    -- that the time of a refusal does not tell its reason.
    exists (
      select
      from bulwark_private.effective_permissions h
      join bulwark_private.effective_permissions e
        on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
      where h.role_id = coalesce(
          k.role_id,
          (select bulwark_private.api_user_role() from auth.users u where u.id = k.owner_id)
        )
        and h.permission = any (k.scopes)
    )
      and k.role_id is not null
      and k.active as in_force
  from bulwark_private.api_key_member_roles k;
comment on view bulwark_private.api_key_lookups is
  'Each key as a look-up returns it, a row for each row of api_key_member_roles: in force if it has
   any permission right now by that role.';

create view bulwark_private.api_key_permissions with (security_invoker = true) as
  select h.api_key_id, h.organization_id, h.permission, h.networks, h.everywhere
  from bulwark_private.api_key_holdings h
  where h.active;
comment on view bulwark_private.api_key_permissions is
  'The effective permissions of each key right now.';

create function bulwark_private.network_is_allowed(networks cidr[], address text)
  returns boolean
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Fails closed: with a list, an unknown address is refused. The address is always compared, so
  -- that the time of a refusal does not tell whether the key has a list.
  return coalesce(address::inet <<= any (coalesce(networks, '{0.0.0.0/0}')), false)
    or networks is null;
end;
$$;
comment on function bulwark_private.network_is_allowed(cidr[], text) is
  'Whether a key with this list of networks is accepted from an address as written by
   bulwark_private.client_network (null: unknown).';

-- Replaces the plain answer of rbac.
create or replace function bulwark_private.api_key_organizations(permission text)
  returns setof uuid
  language plpgsql
  stable
  parallel safe
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  -- For the role api_key, PostgREST has verified the claims or the hook has looked them up.
  v_key constant uuid := bulwark_private.uuid_or_null(
    bulwark_private.claims() ->> 'api_key_id'
  );
  v_networks cidr[];
  v_organization uuid;
begin
  -- The first part of bulwark_private.api_key_permissions alone: few owners are super_admins.
  select k.organization_id, k.networks into v_organization, v_networks
  from bulwark_private.api_key_member_roles k
  join bulwark_private.effective_permissions h
    on h.role_id = k.role_id and h.permission = api_key_organizations.permission
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
  where k.id = v_key and k.active and h.permission = any (k.scopes)
  limit 1;
  if not found then
    select p.organization_id, p.networks into v_organization, v_networks
    from bulwark_private.api_key_permissions p
    where p.api_key_id = v_key
      and p.permission = api_key_organizations.permission
      and p.everywhere
    limit 1;
  end if;
  if found and (
    v_networks is null
    or bulwark_private.network_is_allowed(
      v_networks,
      bulwark_private.client_address(nullif(current_setting('request.headers', true), '')::jsonb)
    )
  ) then
    return next v_organization;
  end if;
end;
$$;
comment on function bulwark_private.api_key_organizations(text) is
  'The organization of the request''s API key if the key holds the permission right now. Empty where
   the key was revoked or has expired, whatever the token claims.';

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
  'Trigger: a key''s expiry never moves later and a revocation is final, for every writer.';

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
  'Whether an organization requires a second factor right now.';

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
  'Decides whether the organization allows API keys, and their maximum lifetime in days
   (settings:write). Disallowing stops all of its keys at once; allowing again reactivates those
   that were neither revoked nor have expired. Where the organization requires MFA, allowing needs a
   verification within mfa.step_up_minutes. An earlier decision without one stops counting when MFA
   becomes required. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED, MFA_VERIFICATION_REQUIRED,
   API_KEY_INVALID_EXPIRY, API_KEY_NULL_ARGUMENT, RBAC_UNKNOWN_ORGANIZATION.';

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
  bulwark_private.api_key_states, bulwark_private.api_key_member_roles,
  bulwark_private.api_key_roles, bulwark_private.api_key_holdings,
  bulwark_private.api_key_lookups, bulwark_private.api_key_permissions
  from public, anon, authenticated, service_role;
