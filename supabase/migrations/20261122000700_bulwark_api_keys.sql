-- Built by npm run build from supabase/schemas/07_api_keys: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

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

-- API keys: issuing them.
-- Protects against keys that hold more than their issuer, keys issued in another person's name, and
-- keys issued without the second factor that the organization requires. A key is shown once, in the
-- answer. It is generated here, so it is in no statement and no parameter.
-- SECURITY DEFINER: create_api_key, because no client writes keys.

create function bulwark_private.random_base62(length integer)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_alphabet constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  v_byte integer;
  v_bytes bytea;
  v_text text := '';
begin
  while length(v_text) < random_base62.length loop
    v_bytes := extensions.gen_random_bytes(64);
    for v_place in 0..63 loop
      v_byte := get_byte(v_bytes, v_place);
      -- 248 is the largest multiple of 62 in a byte. Larger values are discarded, as they would
      -- favour the first characters.
      if v_byte < 248 and length(v_text) < random_base62.length then
        v_text := v_text || substr(c_alphabet, 1 + v_byte % 62, 1);
      end if;
    end loop;
  end loop;
  return v_text;
end;
$$;
comment on function bulwark_private.random_base62(integer) is
  'A random text of this many characters of 0-9A-Za-z, 5.95 bits each.';

create function bulwark_private.checksum_base62(content text)
  returns text
  language plpgsql
  immutable
  strict
  set search_path = pg_catalog, pg_temp
as $$
declare
  c_alphabet constant text := '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  -- CRC-32 (ISO 3309), half a byte at a time.
  c_table constant bigint[] := array[
    0, 498536548, 997073096, 651767980, 1994146192, 1802195444, 1303535960, 1342533948,
    3988292384, 4027552580, 3604390888, 3412177804, 2607071920, 2262029012, 2685067896, 3183342108
  ];
  v_bytes constant bytea := convert_to(content, 'UTF8');
  v_byte integer;
  v_crc bigint := 4294967295;
  v_text text := '';
begin
  for v_place in 0..octet_length(v_bytes) - 1 loop
    v_byte := get_byte(v_bytes, v_place);
    v_crc := c_table[1 + ((v_crc # v_byte) & 15)] # (v_crc >> 4);
    v_crc := c_table[1 + ((v_crc # (v_byte >> 4)) & 15)] # (v_crc >> 4);
  end loop;
  v_crc := v_crc # 4294967295;
  for v_place in 1..6 loop
    v_text := substr(c_alphabet, 1 + (v_crc % 62)::integer, 1) || v_text;
    v_crc := v_crc / 62;
  end loop;
  return v_text;
end;
$$;
comment on function bulwark_private.checksum_base62(text) is
  'CRC-32 as six characters of 0-9A-Za-z. Tells mistyped keys and unrelated tokens from keys without
   a query.';

create function bulwark_private.require_issuer(organization_id uuid)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  if organization_id is null then
    raise exception 'Cannot issue an API key: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  perform bulwark_private.require_permission_to_act('api_key:create', organization_id);
  if bulwark_private.user_permits(v_user, 'api_key:create', organization_id) is not true then
    raise exception 'Cannot issue an API key: the caller is not a signed-in person'
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
        hint = 'Sign in: keys are issued by people';
  end if;
  if coalesce(
    (
      select p.allowed and (
        p.decided_with_mfa or not bulwark_private.mfa_is_required_in(p.organization_id)
      )
      from bulwark.api_key_policies p
      where p.organization_id = require_issuer.organization_id
    ),
    not bulwark_private.mfa_is_required_in(organization_id)
  ) is not true then
    raise exception 'Cannot issue an API key: the organization does not allow any'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_NOT_ALLOWED',
            hint = 'A member with settings:write can allow them with set_api_key_policy';
  end if;
  if bulwark_private.mfa_is_required_in(organization_id) then
    perform bulwark_private.require_step_up();
  end if;
  return v_user;
end;
$$;
comment on function bulwark_private.require_issuer(uuid) is
  'The caller, if allowed to issue keys in the organization now: api_key:create, the organization''s
   policy, and a fresh verification where MFA is required. Raises RBAC_NOT_AUTHENTICATED,
   RBAC_PERMISSION_DENIED, API_KEY_NOT_ALLOWED, MFA_REQUIRED, MFA_VERIFICATION_REQUIRED.';

create function bulwark_private.api_key_expiry(organization_id uuid, wanted timestamptz)
  returns timestamptz
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_days bigint := (bulwark_private.setting('api_keys.max_days'))::bigint;
begin
  select least(v_days, p.max_days) into v_days
  from (select) as one
  left join bulwark.api_key_policies p on p.organization_id = api_key_expiry.organization_id;
  wanted := coalesce(wanted, now() + make_interval(
    days => least(v_days, (bulwark_private.setting('api_keys.default_days'))::bigint)::integer
  ));
  if wanted <= now() or wanted > now() + make_interval(days => v_days::integer, mins => 5) then
    raise exception 'Cannot issue an API key: it must expire within % days', v_days
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_EXPIRY';
  end if;
  return wanted;
end;
$$;
comment on function bulwark_private.api_key_expiry(uuid, timestamptz) is
  'The expiry of a key that is issued now, from the requested one (null: the default). Raises
   API_KEY_INVALID_EXPIRY.';

create function bulwark_private.api_key_networks(networks text[])
  returns cidr[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_network cidr;
  v_networks cidr[];
  v_text text;
begin
  if networks is null then
    return null;
  end if;
  if cardinality(networks) not between 1 and 50 or array_ndims(networks) > 1 then
    raise exception 'Cannot issue an API key: its networks are a plain list of 1 to 50'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_NETWORK';
  end if;
  foreach v_text in array networks loop
    begin
      v_network := v_text::cidr;
    exception
      when invalid_text_representation then
        v_network := null;
    end;
    -- IPv6 callers are identified by their /64, so a narrower network would never match.
    if v_network is null or (family(v_network) = 6 and masklen(v_network) > 64) then
      raise exception 'Cannot issue an API key: a network is invalid or narrower than /64 of IPv6'
        using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_NETWORK',
              hint = 'An IPv4 address, or a network such as 203.0.113.0/24 without host bits';
    end if;
    v_networks := v_networks || v_network;
  end loop;
  return v_networks;
end;
$$;
comment on function bulwark_private.api_key_networks(text[]) is
  'A list of networks in the stored form. Raises API_KEY_INVALID_NETWORK.';

create function bulwark_private.require_scopes(scopes text[], organization_id uuid)
  returns text[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_scope text;
begin
  if coalesce(cardinality(scopes), 0) not between 1 and 100 or array_ndims(scopes) > 1
    or array_position(scopes, null) > 0 then
    raise exception 'Cannot issue an API key: its scopes are a plain list of 1 to 100 permissions'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_SCOPES';
  end if;
  foreach v_scope in array scopes loop
    perform bulwark_private.require_known_permission(v_scope);
    if not exists (
      select from bulwark_private.effective_permissions e
      where e.role_id = bulwark_private.api_user_role() and e.permission = v_scope
    ) then
      raise exception 'Cannot issue an API key: % is not for programs', v_scope
        using errcode = 'insufficient_privilege', detail = 'API_KEY_SCOPE_NOT_FOR_PROGRAMS',
              hint = 'API keys can have the permissions of the role api_user';
    end if;
    if bulwark_private.session_permits(
      bulwark.current_person(), v_scope, organization_id
    ) is not true then
      raise exception 'Cannot issue an API key: you do not hold % yourself', v_scope
        using errcode = 'insufficient_privilege', detail = 'API_KEY_SCOPE_NOT_HELD',
              hint = 'A key cannot have more permissions than its issuer';
    end if;
  end loop;
  return array(select distinct s from unnest(scopes) as s order by s);
end;
$$;
comment on function bulwark_private.require_scopes(text[], uuid) is
  'The scopes without duplicates, if api_user and the caller hold all of them. Raises
   API_KEY_INVALID_SCOPES, RBAC_UNKNOWN_PERMISSION, API_KEY_SCOPE_NOT_FOR_PROGRAMS,
   API_KEY_SCOPE_NOT_HELD.';

create function bulwark_private.require_room_for_key(
  organization_id uuid, owner_id uuid, times integer
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('api_keys.limit_per_owner'))::bigint;
begin
  perform bulwark_private.lock_count('api_keys', concat_ws('/', organization_id, owner_id));
  -- Each key has its own rate limit, so issuing and revoking in turn would evade it.
  if (
    select
      count(*) filter (where k.revoked_at is null and k.expires_at > now()) >= times * v_limit
      or count(*) filter (where k.created_at > now() - interval '1 hour') >= 4 * v_limit
    from bulwark.api_keys k
    where k.organization_id = require_room_for_key.organization_id
      and k.owner_id = require_room_for_key.owner_id
      and (k.revoked_at is null or k.created_at > now() - interval '1 hour')
  ) then
    raise exception 'Cannot issue an API key: you have reached the limit'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_TOO_MANY',
            hint = 'Revoke those that are not needed any more, and issue fewer an hour';
  end if;
end;
$$;
comment on function bulwark_private.require_room_for_key(uuid, uuid, integer) is
  'Raises API_KEY_TOO_MANY where a member has reached this multiple of api_keys.limit_per_owner keys
   in force in an organization, or was issued four times the limit there within an hour.';

create type bulwark.issued_api_key as (
  id uuid,
  api_key text,
  name text,
  first_characters text,
  scopes text[],
  expires_at timestamptz
);
comment on type bulwark.issued_api_key is
  'A key that was just issued. api_key is the key itself, which cannot be shown again.';

create function bulwark_private.issue_api_key(new_key bulwark.api_keys)
  returns bulwark.issued_api_key
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_secret constant text := bulwark_private.random_base62(32);
  v_start constant text := concat_ws(
    '_', bulwark_private.setting('api_keys.prefix') #>> '{}', new_key.environment, ''
  );
  v_hash bytea;
  v_issued bulwark.issued_api_key;
begin
  v_issued.api_key := v_start || v_secret || bulwark_private.checksum_base62(v_secret);
  v_issued.first_characters := v_start || left(v_secret, 4);
  -- Computed in assignments, so that the statements receive parameters: constants in a statement
  -- are part of its plan, and some servers log plans.
  v_hash := sha256(convert_to(v_issued.api_key, 'UTF8'));
  insert into bulwark.api_keys (
    organization_id, owner_id, name, environment, first_characters, scopes, networks,
    rate_limit_rule, issued_with_mfa, rotated_from, expires_at
  )
  values (
    new_key.organization_id, new_key.owner_id, btrim(new_key.name), new_key.environment,
    v_issued.first_characters, new_key.scopes, new_key.networks, new_key.rate_limit_rule,
    bulwark.mfa_verified(
      make_interval(mins => (bulwark_private.setting('mfa.step_up_minutes'))::integer)
    ),
    new_key.rotated_from, new_key.expires_at
  )
  returning id, name, scopes, expires_at
  into v_issued.id, v_issued.name, v_issued.scopes, v_issued.expires_at;
  insert into bulwark_private.api_key_hashes (api_key_id, key_hash)
  values (v_issued.id, v_hash);
  return v_issued;
end;
$$;
comment on function bulwark_private.issue_api_key(bulwark.api_keys) is
  'Creates a key from checked values. Format: <prefix>_<environment>_<32 random
   characters><checksum>.';

create function bulwark.create_api_key(
  organization_id uuid,
  name text,
  scopes text[],
  expires_at timestamptz default null,
  environment text default 'live',
  networks text[] default null,
  rate_limit_rule text default 'api_default'
)
  returns bulwark.issued_api_key
  language plpgsql
  volatile
  security definer            -- definer because no client writes keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
begin
  v_key.organization_id := organization_id;
  v_key.owner_id := bulwark_private.require_issuer(organization_id);
  if name is null or length(btrim(name)) not between 1 and 100 or name ~ '[[:cntrl:]]' then
    raise exception 'Cannot issue an API key: a name has 1 to 100 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_NAME';
  end if;
  if (bulwark_private.setting('api_keys.environments') ? environment) is not true then
    raise exception 'Cannot issue an API key: there is no such environment'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_UNKNOWN_ENVIRONMENT',
            hint = 'The setting api_keys.environments lists them';
  end if;
  perform bulwark_private.require_rate_limit_rule(rate_limit_rule);
  if not bulwark_private.setting('api_keys.rate_limit_rules') ? rate_limit_rule then
    raise exception 'Cannot issue an API key: this rate limit rule cannot be chosen'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_RULE_NOT_OPEN',
            hint = 'The setting api_keys.rate_limit_rules lists those that can be chosen';
  end if;
  v_key.name := name;
  v_key.environment := environment;
  v_key.rate_limit_rule := rate_limit_rule;
  v_key.scopes := bulwark_private.require_scopes(scopes, organization_id);
  v_key.networks := bulwark_private.api_key_networks(networks);
  v_key.expires_at := bulwark_private.api_key_expiry(organization_id, expires_at);
  perform bulwark_private.require_room_for_key(organization_id, v_key.owner_id, 1);
  return bulwark_private.issue_api_key(v_key);
end;
$$;
comment on function bulwark.create_api_key(uuid, text, text[], timestamptz, text, text[], text) is
  'Issues a key to the caller (api_key:create) and shows it once. scopes: permissions that both the
   role api_user and the caller hold. expires_at: default 90 days from now; every key expires.
   networks: the only networks it is accepted from. Where the organization requires MFA, it must
   allow keys and a second factor must be verified within mfa.step_up_minutes. Errors:
   RBAC_PERMISSION_DENIED, API_KEY_NOT_ALLOWED, API_KEY_INVALID_NAME, API_KEY_INVALID_SCOPES,
   API_KEY_SCOPE_NOT_FOR_PROGRAMS, API_KEY_SCOPE_NOT_HELD, API_KEY_INVALID_EXPIRY,
   API_KEY_INVALID_NETWORK, API_KEY_UNKNOWN_ENVIRONMENT, API_KEY_RULE_NOT_OPEN, API_KEY_TOO_MANY,
   API_KEY_NULL_ARGUMENT, RBAC_NOT_AUTHENTICATED, RBAC_UNKNOWN_PERMISSION, RATE_LIMIT_UNKNOWN_RULE,
   MFA_REQUIRED, MFA_VERIFICATION_REQUIRED.';

-- API keys: rotating, revoking and listing them.
-- Protects against two successors of one key, against showing a key to anybody but its owner, and
-- against overwriting the author or reason of a revocation.
-- SECURITY DEFINER: rotate_api_key, revoke_api_key, because no client writes keys; list_api_keys,
-- because no client reads uses.

create function bulwark_private.api_key_not_found()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot find the API key: it does not exist or you may not see it'
    using errcode = 'PT404', detail = 'API_KEY_NOT_FOUND',
      hint = 'List them with list_api_keys';
end;
$$;
comment on function bulwark_private.api_key_not_found() is
  'Raises API_KEY_NOT_FOUND, the same for another organization''s key and for an unknown one.';

create function bulwark.rotate_api_key(
  key_id uuid,
  overlap interval default '24 hours',
  expires_at timestamptz default null
)
  returns bulwark.issued_api_key
  language plpgsql
  volatile
  security definer            -- definer because no client writes keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_issued bulwark.issued_api_key;
  v_key bulwark.api_keys;
  v_owner constant uuid := bulwark_private.require_user();
  v_scopes text[];
begin
  if not bulwark_private.lasts_up_to(
    overlap, make_interval(days => (bulwark_private.setting('api_keys.max_overlap_days'))::integer)
  ) then
    raise exception 'Cannot rotate the API key: the overlap is too long, negative or null'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_OVERLAP';
  end if;
  -- The answer contains a key that acts for its owner, so only the owner may rotate it.
  select * into v_key from bulwark.api_keys k where k.id = key_id and k.owner_id = v_owner;
  if not found then
    perform bulwark_private.api_key_not_found();
  end if;
  perform bulwark_private.require_issuer(v_key.organization_id);
  select * into v_key from bulwark.api_keys k where k.id = key_id for no key update;
  if exists (select from bulwark.api_keys s where s.rotated_from = v_key.id) then
    raise exception 'Cannot rotate the API key: it has a successor'
      using errcode = 'PT409', detail = 'API_KEY_ALREADY_ROTATED',
            hint = 'Rotate the successor';
  end if;
  if v_key.revoked_at is not null or v_key.expires_at <= now() then
    raise exception 'Cannot rotate the API key: it is revoked or has expired'
      using errcode = 'PT409', detail = 'API_KEY_NOT_ACTIVE',
            hint = 'Issue another one';
  end if;
  select array_agg(s order by s) into v_scopes
  from unnest(v_key.scopes) as s
  join bulwark_private.effective_permissions e
    on e.role_id = bulwark_private.api_user_role() and e.permission = s
  where bulwark_private.session_permits(v_key.owner_id, s, v_key.organization_id);
  if v_scopes is null then
    raise exception 'Cannot rotate the API key: you hold none of its scopes any more'
      using errcode = 'insufficient_privilege', detail = 'API_KEY_SCOPE_NOT_HELD',
        hint = 'Issue another key, with the permissions that you hold now';
  end if;
  v_key.scopes := v_scopes;
  v_key.rotated_from := v_key.id;
  update bulwark.api_keys k
  set expires_at = least(k.expires_at, now() + overlap)
  where k.id = v_key.id;
  perform bulwark_private.require_room_for_key(v_key.organization_id, v_owner, 2);
  v_key.expires_at := bulwark_private.api_key_expiry(
    v_key.organization_id,
    coalesce(
      rotate_api_key.expires_at,
      -- The same lifetime again, up to the maximum.
      now() + least(
        v_key.expires_at - v_key.created_at,
        make_interval(days => least(
          (bulwark_private.setting('api_keys.max_days'))::bigint,
          (
            select p.max_days from bulwark.api_key_policies p
            where p.organization_id = v_key.organization_id
          )
        )::integer)
      )
    )
  );
  v_issued := bulwark_private.issue_api_key(v_key);
  -- A rate limit set for this key alone is copied, so that rotation does not evade it.
  insert into bulwark.rate_limit_overrides (rule, api_key_id, capacity, window_seconds)
  select o.rule, v_issued.id, o.capacity, o.window_seconds
  from bulwark.rate_limit_overrides o
  where o.api_key_id = v_key.id;
  return v_issued;
end;
$$;
comment on function bulwark.rotate_api_key(uuid, interval, timestamptz) is
  'Issues the successor of the caller''s own key and shows it once. The successor has the same name,
   networks, rule and limits, and those scopes that the caller still holds. The old key stays valid
   for the overlap. A key has one successor, also under concurrent calls. During the overlap a
   member may have twice api_keys.limit_per_owner keys. Errors: API_KEY_NOT_FOUND,
   API_KEY_ALREADY_ROTATED, API_KEY_NOT_ACTIVE, API_KEY_INVALID_OVERLAP, API_KEY_INVALID_EXPIRY,
   API_KEY_TOO_MANY, and those of create_api_key about the issuer.';

create function bulwark_private.end_api_key(key bulwark.api_keys, because text, revoked_by uuid)
  returns bulwark.api_keys
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
begin
  update bulwark.api_keys k
  set revoked_at = clock_timestamp(), revoked_by = end_api_key.revoked_by, revoked_because = because
  where k.id = key.id and k.revoked_at is null
  returning k.* into v_key;
  if found then
    perform bulwark_private.append_audit_entry(
      'api.key_revoked', v_key.organization_id, 'bulwark.api_keys', v_key.id::text, 'revoke',
      details => jsonb_build_object(
        'name', v_key.name, 'first_characters', v_key.first_characters, 'because', because
      )
    );
    return v_key;
  end if;
  return key;
end;
$$;
comment on function bulwark_private.end_api_key(bulwark.api_keys, text, uuid) is
  'Revokes a key once; the first reason is kept.';

create function bulwark_private.find_revocable_key(key_id uuid)
  returns bulwark.api_keys
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_key from bulwark.api_keys k where k.id = key_id;
  if not found or not bulwark_private.caller_is_service()
    and v_key.owner_id is distinct from v_user
    and bulwark_private.session_permits(v_user, 'api_key:revoke', v_key.organization_id) is not true
  then
    perform bulwark_private.api_key_not_found();
  end if;
  return v_key;
end;
$$;
comment on function bulwark_private.find_revocable_key(uuid) is
  'A key that the caller may revoke right now. Raises API_KEY_NOT_FOUND,
   RBAC_NOT_AUTHENTICATED.';

create function bulwark.revoke_api_key(key_id uuid, because text)
  returns bulwark.api_keys
  language plpgsql
  volatile
  security definer            -- definer because no client writes keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
  v_user constant uuid := bulwark.current_person();
begin
  if because is null or length(btrim(because)) not between 1 and 500 or because ~ '[[:cntrl:]]' then
    raise exception 'Cannot revoke the API key: the reason has 1 to 500 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_REASON';
  end if;
  v_key := bulwark_private.find_revocable_key(key_id);
  perform bulwark_private.lock_rights(v_key.organization_id);
  perform bulwark_private.hold_session();
  perform from bulwark.api_keys k where k.id = key_id for no key update;
  v_key := bulwark_private.find_revocable_key(key_id);
  return bulwark_private.end_api_key(v_key, btrim(because), v_user);
end;
$$;
comment on function bulwark.revoke_api_key(uuid, text) is
  'Revokes a key for good, with effect on its next use: the caller''s own, or any key of an
   organization where the caller holds api_key:revoke. A revoked key stays as it is. Errors:
   API_KEY_NOT_FOUND, API_KEY_INVALID_REASON, RBAC_NOT_AUTHENTICATED.';

create function bulwark.list_api_keys(
  organization_id uuid,
  include_ended boolean default false,
  before uuid default null,
  page_size integer default 100
)
  returns table (
    id uuid,
    name text,
    environment text,
    first_characters text,
    owner_id uuid,
    scopes text[],
    effective_scopes text[],
    status text,
    networks cidr[],
    rate_limit_rule text,
    rotated_from uuid,
    created_at timestamptz,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by uuid,
    revoked_because text
  )
  language plpgsql
  stable
  rows 100
  security definer            -- definer because uses are for no client to read
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_all boolean := bulwark_private.caller_is_service();
  v_user uuid;
begin
  if not v_all then
    v_user := bulwark_private.require_user();
    v_all := bulwark_private.session_permits(v_user, 'api_key:read', list_api_keys.organization_id);
    -- Members see their own, also when they have none. A former member's keys remain visible too.
    if not v_all and not bulwark_private.is_member(v_user, list_api_keys.organization_id)
      and not exists (
        select from bulwark.api_keys k
        where k.owner_id = v_user and k.organization_id = list_api_keys.organization_id
      ) then
      perform bulwark.require_permission('api_key:read', list_api_keys.organization_id);
    end if;
  end if;
  return query
    -- Limits the page first, so that permissions are computed for its keys only.
    with page as materialized (
      select k.*
      from bulwark.api_keys k
      where k.organization_id = list_api_keys.organization_id
        and (v_all or k.owner_id = v_user)
        and (include_ended or k.revoked_at is null and k.expires_at > now())
        and (
          before is null
          or (k.created_at, k.id) < (
            select b.created_at, b.id from bulwark.api_keys b
            where b.id = before and b.organization_id = list_api_keys.organization_id
          )
        )
      order by k.created_at desc, k.id desc
      limit least(greatest(page_size, 1), 1000)
    )
    select
      k.id, k.name, k.environment, k.first_characters, k.owner_id, k.scopes,
      coalesce(p.held, '{}'),
      case
        when k.revoked_at is not null then 'revoked'
        when k.expires_at <= now() then 'expired'
        when p.held is null then 'suspended'
        else 'active'
      end,
      k.networks, k.rate_limit_rule, k.rotated_from, k.created_at, k.expires_at, u.last_used_at,
      k.revoked_at, k.revoked_by, k.revoked_because
    from page k
    left join bulwark_private.api_key_uses u on u.api_key_id = k.id
    cross join lateral (
      select array_agg(distinct e.permission) as held
      from bulwark_private.api_key_permissions e
      where e.api_key_id = k.id
    ) p
    order by k.created_at desc, k.id desc;
end;
$$;
comment on function bulwark.list_api_keys(uuid, boolean, uuid, integer) is
  'The keys of an organization, newest first: all with api_key:read, otherwise the caller''s own.
   before is the id of the last key of the previous page. status is active, suspended (no
   permissions right now), expired or revoked. effective_scopes are the permissions right now.
   last_used_at is exact to api_keys.use_precision_seconds and does not count reads with the header
   x-api-key. Errors: RBAC_NOT_AUTHENTICATED, and RBAC_PERMISSION_DENIED for those who are no member
   and have no key there.';

-- API keys in use: exchanged for a token by the function api-keys, or sent to the Data API as
-- header x-api-key and resolved before the request.
-- Protects against finding out why a key is refused: a wrong, malformed, revoked, expired,
-- suspended or foreign key, or one from another network, takes the same steps to the same answer.
-- Protects the raw key: it is hashed at once, removed from the request's headers, and refused where
-- the server would log it.
-- SECURITY DEFINER: resolve_api_key and rate_limit_caller, because no client reads hashes and
-- sessions; exchange_api_key and report_leaked_api_keys, because the service role reads no hashes.

insert into bulwark.security_event_types (name, severity, description) values
  ('api_key_leaked', 'critical', 'An API key was found in public and has been revoked');

create type bulwark_private.found_api_key as (
  id uuid,
  organization_id uuid,
  expires_at timestamptz,
  rate_limit_rule text,
  networks cidr[],
  in_force boolean
);
comment on type bulwark_private.found_api_key is
  'Result of a key look-up. Does not say whether the key is accepted from the request''s address.';

create function bulwark_private.super_admin_key_is_in_force(api_key_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
begin
  return (
    select
      exists (
        select
        from bulwark_private.effective_permissions h
        join bulwark_private.effective_permissions e
          on e.role_id = bulwark_private.api_user_role() and e.permission = h.permission
        where h.role_id = k.role_id and h.permission = any (k.scopes)
      )
      and k.active
    from bulwark_private.api_key_roles k
    where k.id = super_admin_key_is_in_force.api_key_id and k.everywhere
  );
end;
$$;
comment on function bulwark_private.super_admin_key_is_in_force(uuid) is
  'Whether a key is in force because its owner is a super_admin. Asked last, since few are.';

create function bulwark_private.api_key_status(api_key_id uuid)
  returns bulwark_private.found_api_key
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_key bulwark_private.found_api_key;
begin
  select k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks, k.in_force
  into v_key
  from bulwark_private.api_key_lookups k
  where k.id = api_key_status.api_key_id
  order by k.in_force desc
  limit 1;
  if v_key.in_force is not true then
    v_key.in_force := bulwark_private.super_admin_key_is_in_force(api_key_status.api_key_id);
  end if;
  return v_key;
end;
$$;
comment on function bulwark_private.api_key_status(uuid) is
  'The status of a key: in force if it has any permission right now.';

create function bulwark_private.find_api_key(key_hash bytea)
  returns bulwark_private.found_api_key
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_key bulwark_private.found_api_key;
  v_known boolean;
begin
  -- Finds the hash or the next one (after the last one the first), so that an unknown key takes the
  -- same steps and the time of a refusal tells nothing.
  select
    f.known, k.id, k.organization_id, k.expires_at, k.rate_limit_rule, k.networks,
    k.in_force and f.known
  into
    v_known, v_key.id, v_key.organization_id, v_key.expires_at, v_key.rate_limit_rule,
    v_key.networks, v_key.in_force
  from (
    (
      select h.api_key_id, h.key_hash = find_api_key.key_hash as known
      from bulwark_private.api_key_hashes h
      where h.key_hash >= find_api_key.key_hash
      order by h.key_hash
      limit 1
    )
    union all
    (select h.api_key_id, false from bulwark_private.api_key_hashes h order by h.key_hash limit 1)
    limit 1
  ) f
  cross join lateral (
    select l.*
    from bulwark_private.api_key_lookups l
    where l.id = f.api_key_id
    order by l.in_force desc
    limit 1
  ) k;
  -- All refusals take this step too.
  if v_key.in_force is not true then
    v_key.in_force := bulwark_private.super_admin_key_is_in_force(v_key.id) and v_known;
  end if;
  return v_key;
end;
$$;
comment on function bulwark_private.find_api_key(bytea) is
  'The key with this SHA-256, in force if it has any permission right now. Where it is not in force,
   the other columns belong to another key and mean nothing.';

create function bulwark_private.api_key_use_is_due(api_key_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return not exists (
    select from bulwark_private.api_key_uses u
    cross join bulwark.settings s
    where u.api_key_id = api_key_use_is_due.api_key_id
      and s.name = 'api_keys.use_precision_seconds'
      -- A time in the future comes from a clock that was set back since.
      and u.last_used_at between clock_timestamp() - make_interval(secs => s.value::float8)
        and clock_timestamp()
  );
end;
$$;
comment on function bulwark_private.api_key_use_is_due(uuid) is
  'Whether api_keys.use_precision_seconds have passed since the last recorded use of the key.';

create function bulwark_private.note_api_key_use(
  api_key_id uuid, organization_id uuid, address text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- Skips instead of waiting: a concurrent call records the same. In stricter isolation levels the
  -- update could fail the request.
  if current_setting('transaction_isolation') <> 'read committed'
    or not pg_try_advisory_xact_lock(hashtextextended('bulwark.api_key/' || api_key_id, 0)) then
    return;
  end if;
  insert into bulwark_private.api_key_uses as u (api_key_id, last_used_at)
  values (note_api_key_use.api_key_id, clock_timestamp())
  on conflict on constraint api_key_uses_pkey do update set last_used_at = excluded.last_used_at;
  if address is not null then
    perform bulwark_private.note_key_network(api_key_id, organization_id, address);
  end if;
end;
$$;
comment on function bulwark_private.note_api_key_use(uuid, uuid, text) is
  'Records when and from which network a key was used, unless a concurrent call is doing so.';

create function bulwark.exchange_api_key(key_hash text, address text default null)
  returns table (
    api_key_id uuid,
    organization_id uuid,
    expires_at timestamptz,
    allowed boolean,
    reason text,
    rule text,
    capacity integer,
    window_seconds integer,
    remaining integer,
    reset_seconds integer,
    retry_after_seconds integer
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because not even the service role reads hashes
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- a request does not wait long for a rate limit bucket that is locked
as $$
#variable_conflict use_variable
declare
  v_address constant text := bulwark_private.client_network(address);
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_key bulwark_private.found_api_key;
begin
  if key_hash is null or key_hash !~ '^[0-9a-f]{64}$' then
    raise exception 'Cannot look the API key up: its hash is not 64 hex digits'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_HASH';
  end if;
  v_key := bulwark_private.find_api_key(decode(key_hash, 'hex'));
  if (
    bulwark_private.network_is_allowed(v_key.networks, v_address) and v_key.in_force
  ) is not true then
    v_key := null;
  end if;
  if v_key.id is not null then
    v_decision := bulwark.check_rate_limit(
      v_key.rate_limit_rule, null, v_key.id, v_address, null, v_key.organization_id
    );
  else
    -- Refusals are charged to the address and not to the key, so that guessing is limited and the
    -- holder of the key is not.
    v_identifiers := bulwark_private.rate_limit_identifiers('caller', null, null, v_address, null);
    v_decision := bulwark_private.decide_rate_limit(
      'api_default', v_identifiers.kinds, v_identifiers.names, v_address, 1, null, null, null
    );
  end if;
  if v_key.id is not null and v_decision.allowed
    and bulwark_private.api_key_use_is_due(v_key.id) then
    perform bulwark_private.note_api_key_use(v_key.id, v_key.organization_id, v_address);
  end if;
  return query
    select
      v_key.id, v_key.organization_id, v_key.expires_at, v_decision.allowed, v_decision.reason,
      v_decision.rule, v_decision.capacity, v_decision.window_seconds, v_decision.remaining,
      v_decision.reset_seconds, v_decision.retry_after_seconds;
end;
$$;
comment on function bulwark.exchange_api_key(text, text) is
  'The owner of the key with this SHA-256 in hex, with the decision of the rate limit (service role
   only). api_key_id is null for every key that is not in force. The address is the one written by a
   trusted proxy. Errors: API_KEY_INVALID_HASH.';

create function bulwark_private.parameters_are_logged()
  returns boolean
  language plpgsql            -- plpgsql, because an sql function is planned anew at every call
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if concat_ws(
      '/', current_setting('log_parameter_max_length'),
      current_setting('log_parameter_max_length_on_error'),
      -- A custom plan contains the parameters.
      current_setting('debug_print_plan')
    ) <> '0/0/off' then
    return true;
  end if;
  -- Settings of modules that log parameters or plans; null where the module is not loaded.
  if current_setting('auto_explain.log_min_duration', true) <> '-1' then
    if current_setting('auto_explain.log_parameter_max_length', true) <> '0'
      or current_setting('auto_explain.log_verbose', true) not in ('off', 'false') then
      return true;
    end if;
  end if;
  return coalesce(current_setting('pgaudit.log_parameter', true) not in ('off', 'false'), false);
end;
$$;
comment on function bulwark_private.parameters_are_logged() is
  'Whether the server may log statement parameters on this connection. The headers of a request are
   such a parameter. Covers logs of all, slow and failed statements, and of plans.';

-- Replaces the plain answer of rate limits, which refuses every key.
create or replace function bulwark_private.resolve_api_key()
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because hashes are for no client
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text;
  v_claims jsonb;
  v_headers jsonb;
  v_key bulwark_private.found_api_key;
  v_role constant text := bulwark_private.caller_role();
  v_ignored text;
begin
  begin
    v_headers := coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  exception
    -- Unreadable headers (a null byte, say) are refused here, by an error that does not quote them.
    when data_exception then
      v_headers := null;
  end;
  if v_headers ? 'x-api-key' then
    -- An assignment instead of perform, which would run it as a query.
    v_ignored := set_config('request.headers', (v_headers - 'x-api-key')::text, true);
  end if;
  if v_role = 'api_key' then
    -- The token may be valid for minutes after its key ended, so the key is checked again.
    v_claims := bulwark_private.claims()::jsonb;
    -- Bulwark signs no token of a key with a person's id. Policies of the host would trust that id.
    if not v_claims ? 'sub' then
      v_key := bulwark_private.api_key_status(
        bulwark_private.uuid_or_null(v_claims ->> 'api_key_id')
      );
    end if;
  elsif v_role = 'anon' then
    -- The key may be in the log by now. The sender is told at once, whether the key is right or
    -- not.
    if bulwark_private.parameters_are_logged() then
      raise exception 'Cannot authenticate: the server may log the headers of requests'
        using errcode = 'PT503', detail = 'API_KEY_HEADER_CLOSED',
              hint = 'Exchange the key for a token, or set log_parameter_max_length to 0';
    end if;
    v_key := bulwark_private.find_api_key(
      sha256(convert_to(coalesce(v_headers ->> 'x-api-key', ''), 'UTF8'))
    );
  elsif v_headers is not null then
    -- A request that is already authenticated keeps its identity.
    return null;
  end if;
  -- The address is read in every refusal too, so that the time does not tell.
  if v_key.in_force is not true or v_key.networks is not null or v_headers is null then
    v_address := bulwark_private.client_address(v_headers);
    if (
      bulwark_private.network_is_allowed(v_key.networks, v_address) and v_key.in_force
      and v_headers is not null
    ) is not true then
      raise exception 'Cannot authenticate: the API key is not valid'
        using errcode = 'PT401', detail = 'API_KEY_INVALID';
    end if;
  end if;
  if v_role = 'api_key' then
    return null;
  end if;
  if not current_setting('transaction_read_only')::boolean
    and bulwark_private.api_key_use_is_due(v_key.id) then
    perform bulwark_private.note_api_key_use(
      v_key.id, v_key.organization_id, coalesce(
        v_address, bulwark_private.client_address(v_headers)
      )
    );
  end if;
  return jsonb_build_object(
    'role', 'api_key', 'api_key_id', v_key.id, 'organization_id', v_key.organization_id
  );
end;
$$;
comment on function bulwark_private.resolve_api_key() is
  'The part of check_request that resolves API keys. Removes the header x-api-key from every
   request. Returns the claims of the key if the request is not authenticated otherwise, else null.
   Raises API_KEY_INVALID for a key, or its token, that is not in force, and API_KEY_HEADER_CLOSED
   for every key where the server may log it. Reads do not record a use, since their transaction
   writes nothing.';

-- Replaces the plain answer of rate limits.
create or replace view bulwark_private.api_key_rules with (security_invoker = true) as
  select k.id as api_key_id, k.rate_limit_rule as rule from bulwark.api_keys k;
comment on view bulwark_private.api_key_rules is 'The rate limit rule of each API key.';

-- Replaces the plain answer of rate limits, which knows no keys.
create or replace function bulwark.rate_limit_caller()
  returns table (user_id uuid, api_key_id uuid, organization_id uuid)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client reads sessions or keys
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.caller_role() = 'api_key' then
    return query
      select null::uuid, k.id, k.organization_id
      from bulwark_private.api_key_status(bulwark_private.claimed_id('api_key_id')) k
      where k.in_force;
  else
    return query select bulwark.current_person(), null::uuid, null::uuid;
  end if;
end;
$$;
comment on function bulwark.rate_limit_caller() is
  'The caller of this request, for a function that limits it: the user of a live session, or an
   active API key.';

create function bulwark.report_leaked_api_keys(reports jsonb)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role reads hashes
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key bulwark.api_keys;
  v_report jsonb;
begin
  if jsonb_typeof(reports) is distinct from 'array' or jsonb_array_length(reports) > 1000 then
    raise exception 'Cannot take the report: it is not a list of at most 1000 entries'
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_INVALID_REPORT';
  end if;
  -- In order of the hash, so that two reports of the same keys cannot deadlock.
  for v_report in
    select r.report
    from jsonb_array_elements(reports) as r (report)
    where r.report ->> 'key_hash' ~ '^[0-9a-f]{64}$'
    order by r.report ->> 'key_hash'
  loop
    select k.* into v_key
    from bulwark_private.api_key_hashes h
    join bulwark.api_keys k on k.id = h.api_key_id
    where h.key_hash = decode(v_report ->> 'key_hash', 'hex')
    for no key update of k;
    continue when not found or v_key.revoked_at is not null;
    perform bulwark_private.end_api_key(v_key, 'Reported as leaked', null);
    perform bulwark.raise_security_event(
      'api_key_leaked', v_key.organization_id, v_key.owner_id, v_key.id::text,
      jsonb_strip_nulls(jsonb_build_object(
        'name', v_key.name,
        'first_characters', v_key.first_characters,
        'found_at', left(v_report ->> 'url', 500),
        'found_in', left(v_report ->> 'source', 64)
      ))
    );
  end loop;
end;
$$;
comment on function bulwark.report_leaked_api_keys(jsonb) is
  'Revokes the keys of a report and raises a critical security event for each that was in force
   (service role only). A report is a list of {key_hash, url, source}. The answer does not tell
   which of the keys exist. Errors: API_KEY_INVALID_REPORT.';

-- PostgREST passes request headers as a statement parameter, and a server that logs statements logs
-- parameters. This turns such logs off for the Data API's connections. Where only a superuser may
-- do so, the header stays closed until it is done.
do $$
declare
  v_setting text;
begin
  foreach v_setting in array
    '{log_parameter_max_length, auto_explain.log_parameter_max_length}'::text[]
  loop
    continue when current_setting(v_setting, true) is null;
    -- One block each, so that a refused setting does not undo the others.
    begin
      execute format('alter role authenticator set %s = 0', v_setting);
    exception
      when insufficient_privilege or reserved_name then
        raise notice 'API keys in headers may be closed: % of authenticator is not 0', v_setting;
    end;
  end loop;
end;
$$;

-- API keys, deriving access: computes a key's access to a table from the policies and privileges of
-- signed-in people, and the resulting state in comparable form.
-- Protects against a key that gets more than people have: a permissive policy counts only if it is
-- a plain permission, a restrictive policy counts always.
-- No function here is SECURITY DEFINER.

create table bulwark_private.api_key_table_access (
  relation regclass primary key,
  options jsonb not null,
  derived jsonb not null,
  made jsonb not null,
  admitted_at timestamptz not null default now()
);
comment on table bulwark_private.api_key_table_access is
  'The tables that are open to API keys: the requested options, the access derived from the table''s
   policies and privileges then, and the resulting state.';
alter table bulwark_private.api_key_table_access enable row level security;

create function bulwark_private.plain_permission_policy(expression text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    p.parts[2] = 'organizations_with' or p.parts[2] in (
      select h.helper from bulwark_private.host_organizations h
    ),
    false
  )
  from (values (true)) as always
  left join lateral regexp_match(
    -- Columns of type varchar are compared as text.
    replace(
      regexp_replace(expression, '^\(\(([^()]+)\)::text = ', '(\1 = '), '))::text[]))', ')))'
    ),
    '^\(([a-z_][a-z0-9_]*|"(?:[^"]|"")+") = ANY \(\(?ARRAY\( SELECT '
      || 'bulwark\.([a-z][a-z0-9_]*)\(''[a-z0-9_:]+''::text\) AS \2\)\)\)$'
  ) as p (parts) on true;
$$;
comment on function bulwark_private.plain_permission_policy(text) is
  'Whether a policy''s expression, as printed by Postgres, is a permission in the row''s
   organization and nothing else: <column> = any (array(select
   bulwark.organizations_with(''x:y''))), or with the helper that bulwark.use_organizations made.';

create function bulwark_private.applies_to(roles oid[], member name)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from unnest(roles) as r (role)
    where r.role = 0 or pg_has_role(member, r.role, 'usage')
  );
$$;
comment on function bulwark_private.applies_to(oid[], name) is
  'Whether a policy for these roles applies to a role; 0 is PUBLIC.';

create function bulwark_private.api_key_policies_of(target regclass, options jsonb)
  returns table (command text, using_expression text, check_expression text)
  language plpgsql
  stable
  rows 4
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_permission text;
begin
  if options <> '{}' then
    for command, v_permission in
      select c.command, options ->> c.option
      from (values
        ('select', 'read'), ('insert', 'write'), ('update', 'write'), ('delete', 'delete')
      ) as c (command, option)
      where options ? c.option
    loop
      using_expression := format(
        '(%1$I = ANY (ARRAY( SELECT bulwark.%2$I(%3$L::text) AS %2$I)))',
        options ->> 'organization_column',
        bulwark_private.organization_helper(target, options ->> 'organization_column'), v_permission
      );
      check_expression := using_expression;
      return next;
    end loop;
    return;
  end if;
  return query
    select
      c.command,
      -- The order must not depend on the collation: a restored dump may have another one.
      string_agg(distinct e.using_expression collate "C", ' OR '),
      string_agg(distinct e.check_expression collate "C", ' OR ')
    from (values ('select', 'r'::"char"), ('insert', 'a'), ('update', 'w'), ('delete', 'd'))
      as c (command, code)
    join pg_catalog.pg_policy p
      on p.polrelid = target
      and p.polcmd in (c.code, '*')
      and p.polpermissive
      and p.polroles && array[0::oid, 'authenticated'::regrole::oid]
    cross join lateral (
      select
        pg_get_expr(p.polqual, p.polrelid),
        coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid))
    ) as e (using_expression, check_expression)
    where (c.command = 'insert' or bulwark_private.plain_permission_policy(e.using_expression))
      and (
        c.command not in ('insert', 'update')
        or bulwark_private.plain_permission_policy(e.check_expression)
      )
    group by c.command;
end;
$$;
comment on function bulwark_private.api_key_policies_of(regclass, jsonb) is
  'The condition for keys on each command of a table. Without options it is the plain permission
   policies for signed-in people, joined by or; all other policies give a key nothing.';

create function bulwark_private.sequences_of(target regclass)
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select d.objid::regclass
  from pg_catalog.pg_depend d
  join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
  where d.refclassid = 'pg_class'::regclass and d.refobjid = target and d.deptype = 'a';
$$;
comment on function bulwark_private.sequences_of(regclass) is
  'The sequences of a table''s serial columns. Identity columns need no privilege.';

create function bulwark_private.api_key_derivation(target regclass, options jsonb)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'commands', jsonb_object_agg(
      p.command,
      jsonb_build_object(
        'using', p.using_expression,
        'check', p.check_expression,
        -- Null: the whole table. A command that a key gets on no column has an empty list.
        'columns', case
          when not has_table_privilege('authenticated', target, p.command) then coalesce(
            (
              select jsonb_agg(a.attname order by a.attnum)
              from pg_catalog.pg_attribute a
              where a.attrelid = target
                and a.attnum > 0
                and not a.attisdropped
                and p.command <> 'delete'
                and has_column_privilege(
                  'authenticated', target, a.attnum,
                  case when p.command = 'delete' then 'select' else p.command end
                )
            ),
            '[]'
          )
        end
      )
    ),
    'sequences', (
      select jsonb_agg(s.sequence::text order by s.sequence::text collate "C")
      from bulwark_private.sequences_of(target) as s (sequence)
      where has_sequence_privilege('authenticated', s.sequence, 'usage')
    ),
    -- Restrictive policies for people are copied for keys; those for PUBLIC or api_key apply
    -- anyway.
    'copies', (
      select jsonb_agg(to_jsonb(r) - 'name' - 'roles' order by r.name collate "C")
      from bulwark_private.policies_of(target, '') r
      join pg_catalog.pg_policy o on o.polrelid = target and o.polname::text = r.name
      where not r.permissive
        and bulwark_private.applies_to(o.polroles, 'authenticated')
        and not bulwark_private.applies_to(o.polroles, 'api_key')
    )
  )
  from bulwark_private.api_key_policies_of(target, options) p
  having count(*) > 0;
$$;
comment on function bulwark_private.api_key_derivation(regclass, jsonb) is
  'The access to a table for API keys as it would be derived now; null where it would be empty.';

create function bulwark_private.api_key_privileges(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(p.granted order by p.granted::text collate "C"), '[]')
  from (
    select jsonb_build_array(
      g.privilege_type || case when g.is_grantable then ', and to grant it' else '' end, o.name
    ) as granted
    from (
      select c.relacl, null from pg_catalog.pg_class c where c.oid = target
      union all
      select a.attacl, a.attname
      from pg_catalog.pg_attribute a where a.attrelid = target and not a.attisdropped
      union all
      select c.relacl, c.relname
      from bulwark_private.sequences_of(target) as s (sequence)
      join pg_catalog.pg_class c on c.oid = s.sequence
    ) as o (acl, name)
    cross join pg_catalog.aclexplode(o.acl) as g
    where g.grantee = 'api_key'::regrole
  ) p;
$$;
comment on function bulwark_private.api_key_privileges(regclass) is
  'The privileges of API keys on a table, its columns and the sequences of its serial columns.';

create function bulwark_private.api_key_access_state(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'policies', (
      select jsonb_agg(to_jsonb(p) order by p.name collate "C")
      from bulwark_private.policies_of(target, 'bulwark_api_key_') p
    ),
    'privileges', bulwark_private.api_key_privileges(target)
  );
$$;
comment on function bulwark_private.api_key_access_state(regclass) is
  'The current policies and privileges of a table that are about API keys.';

select bulwark.enable_audit(
  'bulwark_private.api_key_table_access',
  event_types => '{config.changed,config.changed,config.changed}'
);

-- API keys, eligibility of tables: why a table cannot be opened to keys, also as later changes make
-- it.
-- Protects against access that no policy of the table controls: inheritance, cascades, rules and
-- ownership. Protects against restrictive policies that ask for a person: a key has no person.
-- No function here is SECURITY DEFINER.

create function bulwark_private.depends_on_row_only(expression text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- An allow list: an unknown function or query may depend on the person, and so may one of the
  -- same name in another schema.
  select expression is null
    or bulwark_private.plain_permission_policy(expression)
    or regexp_replace(
      expression, '(?<!\.)\m(coalesce|greatest|least|nullif|now|lower|upper|length)\(', '(', 'gi'
    ) !~* ('[[:alnum:]_"]\(|(?<!")\m(select|user|current_user|current_role|session_user'
      || '|system_user|current_catalog|current_schema)\M');
$$;
comment on function bulwark_private.depends_on_row_only(text) is
  'Whether a policy''s expression, as printed by Postgres, depends only on the row, the time or a
   permission, so that a key gets the same result as its owner, or a narrower one.';

create function bulwark_private.mfa_required_tables_behind(target regclass, commands text[])
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with recursive above (oid) as (
    select target::oid
    union
    select i.inhparent from above a join pg_catalog.pg_inherits i on i.inhrelid = a.oid
  ),
  below (oid, command) as (
    select target::oid, c.command from unnest(commands) as c (command)
    union
    select e.oid, e.command
    from below b
    cross join lateral (
      select i.inhrelid, b.command from pg_catalog.pg_inherits i where i.inhparent = b.oid
      union all
      -- Cascades run as the table's owner, who is not subject to policies.
      select k.conrelid, case when k.confdeltype = 'c' then b.command else 'update' end
      from pg_catalog.pg_constraint k
      where k.contype = 'f'
        and k.confrelid = b.oid
        and case b.command when 'delete' then k.confdeltype when 'update' then k.confupdtype end
          in ('c', 'n', 'd')
        and (
          b.command = 'delete'
          or b.oid <> target
          or exists (
            select from unnest(k.confkey) as c (number)
            where has_column_privilege('authenticated', target, c.number, 'update')
          )
        )
    ) as e (oid, command)
  )
  select g.relation
  from bulwark_private.mfa_required_tables g
  where g.relation in (select a.oid from above a union all select b.oid from below b)
  order by g.relation::text collate "C";
$$;
comment on function bulwark_private.mfa_required_tables_behind(regclass, text[]) is
  'The tables with an MFA requirement that these commands on a table would bypass: the table itself,
   its parents, its partitions and children, and the targets of cascading foreign keys.';

create function bulwark_private.api_key_eligibility_problems(target regclass, commands text[])
  returns table (code text, problem text, hint text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select
    'API_KEY_TABLE_WITHOUT_RLS',
    format('%s is not a permanent table with row-level security', target),
    'Enable row level security on it, and give it policies of its own'
  where not exists (
    select from pg_catalog.pg_class c
    where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence <> 't'
      and c.relrowsecurity
  )
  union all
  select
    'API_KEY_TABLE_OF_BULWARK', format('%s is Bulwark''s own', target),
    'Programs get its contents from functions'
  where bulwark_private.is_of_bulwark(target)
  union all
  select
    'API_KEY_SCHEMA_CLOSED', format('%s may not use the schema of %s', r.role, target),
    format('grant usage on schema %s to %s; functions in it that anybody may call open with it',
      c.relnamespace::regnamespace, r.role)
  from pg_catalog.pg_class c
  cross join unnest('{authenticated, api_key}'::name[]) as r (role)
  where c.oid = target and not has_schema_privilege(r.role, c.relnamespace, 'usage')
  union all
  select
    'API_KEY_TABLE_NEEDS_MFA',
    case
      when g = target then format('%s has an MFA requirement', target)
      else format('%s would bypass the MFA requirement of %s', target, g)
    end,
    'A key never counts as a second factor'
  from bulwark_private.mfa_required_tables_behind(target, commands) as g
  union all
  -- Recognizes an MFA requirement in the host application's own policies by the functions and
  -- claims it uses.
  select
    'API_KEY_TABLE_NEEDS_MFA',
    format('people need a second factor for %s on %s', upper(c.command), target),
    'A key never counts as a second factor'
  from unnest(commands) as c (command)
  where (
    select bool_and(
      concat_ws(' ', pg_get_expr(p.polqual, target), pg_get_expr(p.polwithcheck, target))
        ~ '\mmfa_verified\(|''aal'
    )
    from pg_catalog.pg_policy p
    where p.polrelid = target
      and p.polpermissive
      and p.polcmd::text in ('*', translate(left(c.command, 1), 'siud', 'rawd'))
      and bulwark_private.applies_to(p.polroles, 'authenticated')
  )
  union all
  select
    'API_KEY_RESTRICTION_UNCLEAR',
    format('the restrictive policy %I of %s depends on more than the row', p.polname, target),
    'If it is right for keys as it is, write it for named roles, api_key among them'
  from pg_catalog.pg_policy p
  where p.polrelid = target
    and not p.polpermissive
    and bulwark_private.applies_to(p.polroles, 'authenticated')
    and 'api_key'::regrole::oid <> all (p.polroles)
    and (
      bulwark_private.depends_on_row_only(pg_get_expr(p.polqual, p.polrelid)) is not true
      or bulwark_private.depends_on_row_only(pg_get_expr(p.polwithcheck, p.polrelid)) is not true
    )
  union all
  select
    'API_KEY_TABLE_OPEN_OTHERWISE', format('the rules of %s act with its owner''s rights', target),
    'Replace the rule by a trigger'
  where exists (select from pg_catalog.pg_rewrite w where w.ev_class = target and w.ev_type <> '1')
  union all
  select
    'API_KEY_TABLE_OPEN_OTHERWISE', format('API keys have the rights of the owner of %s', target),
    'Policies do not apply to the owner of a table'
  from pg_catalog.pg_class c
  where c.oid = target and pg_has_role('api_key', c.relowner, 'usage')
  union all
  select distinct
    'API_KEY_TABLE_OPEN_OTHERWISE',
    format('%s lets API keys %s, to which policies do not apply', target, lower(g.privilege_type)),
    'Revoke it from public and from api_key'
  from (
    select c.relacl from pg_catalog.pg_class c where c.oid = target
    union all
    select a.attacl from pg_catalog.pg_attribute a where a.attrelid = target
  ) as o (acl)
  cross join pg_catalog.aclexplode(o.acl) as g
  where g.grantee in (0, 'api_key'::regrole)
    and g.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE');
$$;
comment on function bulwark_private.api_key_eligibility_problems(regclass, text[]) is
  'The reasons why a table cannot be opened to keys for these commands, with error code and hint;
   empty where it can.';

-- API keys, access to tables: opens a table to keys under the permissions of its own policies.
-- Protects against opening a table by accident: tables are closed by default, policies for people
-- (auth.uid() = owner) do not count for keys, and every command has a restrictive policy for keys,
-- so that no policy for PUBLIC opens more.
-- No function here is SECURITY DEFINER: the tables belong to the caller.

create function bulwark.expel_api_keys(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_sequence regclass;
begin
  delete from bulwark_private.api_key_table_access a where a.relation = target;
  if not found then
    raise exception 'Cannot expel API keys: % does not admit them', target
      using errcode = 'PT404', detail = 'API_KEY_TABLE_NOT_ADMITTED',
        hint = 'Nothing is to be done: API keys cannot reach it';
  end if;
  perform bulwark_private.drop_policies(target, 'bulwark_api_key_');
  execute format('revoke all on %s from api_key', target);
  for v_sequence in select * from bulwark_private.sequences_of(target) loop
    execute format('revoke all on sequence %s from api_key', v_sequence);
  end loop;
end;
$$;
comment on function bulwark.expel_api_keys(regclass) is
  'Closes a table to API keys again. Grants by other roles stay and are listed by
   bulwark.api_key_table_problems. Errors: API_KEY_TABLE_NOT_ADMITTED.';

create function bulwark_private.open_to_api_keys(target regclass, command text, derived jsonb)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column text;
  v_verb constant text := case command
    when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
    else 'delete'
  end;
begin
  perform bulwark_private.make_policy(
    target, 'bulwark_api_key_permissive_' || command, true, command, '{api_key}',
    derived ->> 'using', derived ->> 'check'
  );
  if derived -> 'columns' = 'null' then
    execute format('grant %s on %s to api_key', v_verb, target);
  else
    for v_column in select * from jsonb_array_elements_text(derived -> 'columns') loop
      execute format('grant %s (%I) on %s to api_key', v_verb, v_column, target);
    end loop;
  end if;
end;
$$;
comment on function bulwark_private.open_to_api_keys(regclass, text, jsonb) is
  'Opens one command on a table to keys under the derived condition, on the columns on which
   signed-in people have it.';

create function bulwark.admit_api_keys(
  target regclass,
  read_permission text default null,
  write_permission text default null,
  delete_permission text default null,
  organization_column name default 'organization_id'
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_command text;
  v_derived jsonb;
  v_problem record;
  v_options jsonb := jsonb_strip_nulls(jsonb_build_object(
    'read', read_permission, 'write', write_permission, 'delete', delete_permission
  ));
  v_permission text;
  v_sequence regclass;
begin
  if target is null or organization_column is null then
    raise exception 'Cannot admit API keys: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  for v_permission in select o.value from jsonb_each_text(v_options) as o loop
    perform bulwark_private.require_known_permission(v_permission);
  end loop;
  if v_options <> '{}' then
    v_options := v_options || jsonb_build_object('organization_column', organization_column);
    if bulwark_private.organization_helper(target, organization_column) is null then
      raise exception 'Cannot admit API keys: % has no column "%" with organizations', target,
        organization_column
        using errcode = 'undefined_column', detail = 'API_KEY_INVALID_ORGANIZATION_COLUMN',
              hint = 'It is a uuid, or a key of the table given to bulwark.use_organizations';
    end if;
  end if;
  v_derived := bulwark_private.api_key_derivation(target, v_options);
  for v_problem in
    select o.*
    from bulwark_private.api_key_eligibility_problems(
      target, array(select c.command from jsonb_object_keys(v_derived -> 'commands') as c (command))
    ) o
  loop
    raise exception 'Cannot admit API keys: %', v_problem.problem
      using errcode = 'wrong_object_type', detail = v_problem.code, hint = v_problem.hint;
  end loop;
  if v_derived is null then
    raise exception 'Cannot admit API keys: no policy of % is a plain permission', target
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_NOTHING_TO_ADMIT',
            hint = 'Name the permissions: read_permission, write_permission, delete_permission';
  end if;
  if exists (select from bulwark_private.api_key_table_access a where a.relation = target) then
    perform bulwark.expel_api_keys(target);
  end if;
  -- Grants by other roles can be revoked by those roles only.
  if bulwark_private.api_key_privileges(target) <> '[]' then
    raise exception 'Cannot admit API keys: % or its sequences are granted to them already', target
      using errcode = 'wrong_object_type', detail = 'API_KEY_TABLE_OPEN_OTHERWISE',
            hint = 'Revoke it from api_key: admit_api_keys makes all grants itself';
  end if;
  foreach v_command in array '{select, insert, update, delete}'::text[] loop
    if v_derived -> 'commands' ? v_command then
      perform bulwark_private.open_to_api_keys(
        target, v_command, v_derived -> 'commands' -> v_command
      );
    end if;
    -- Closed commands get a restrictive policy too, so that other grants and policies do not open
    -- them.
    perform bulwark_private.make_policy(
      target, 'bulwark_api_key_restrictive_' || v_command, false, v_command, '{api_key}',
      coalesce(v_derived #>> array['commands', v_command, 'using'], 'false'),
      coalesce(v_derived #>> array['commands', v_command, 'check'], 'false')
    );
  end loop;
  if v_derived -> 'commands' ? 'insert' then
    for v_sequence in
      select s.value::regclass
      from jsonb_array_elements_text(nullif(v_derived -> 'sequences', 'null')) as s
    loop
      execute format('grant usage on sequence %s to api_key', v_sequence);
    end loop;
  end if;
  perform bulwark_private.make_policy(
    target, 'bulwark_api_key_copy_' || c.place, false, c.copy ->> 'command', '{api_key}',
    c.copy ->> 'using_expression', c.copy ->> 'check_expression'
  )
  from jsonb_array_elements(nullif(v_derived -> 'copies', 'null'))
    with ordinality as c (copy, place);
  insert into bulwark_private.api_key_table_access (relation, options, derived, made)
  values (target, v_options, v_derived, bulwark_private.api_key_access_state(target));
end;
$$;
comment on function bulwark.admit_api_keys(regclass, text, text, text, name) is
  'Opens a table to API keys. Without permissions: each command under the table''s policies for
   signed-in people that are a permission in the row''s organization and nothing else. With
   permissions: select under read_permission, insert and update under write_permission, delete under
   delete_permission, each in the organization in organization_column (a uuid, or a key of the table
   given to bulwark.use_organizations), and no other command. Keys get no privilege that signed-in
   people lack, and the table''s restrictive policies apply to them too. Call it again after
   changing policies (bulwark.api_key_table_problems lists such changes). Errors: those of
   bulwark_private.api_key_eligibility_problems (API_KEY_TABLE_WITHOUT_RLS,
   API_KEY_TABLE_OF_BULWARK, API_KEY_SCHEMA_CLOSED, API_KEY_TABLE_NEEDS_MFA,
   API_KEY_RESTRICTION_UNCLEAR, API_KEY_TABLE_OPEN_OTHERWISE), API_KEY_NOTHING_TO_ADMIT,
   API_KEY_INVALID_ORGANIZATION_COLUMN, API_KEY_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark_private.open_to_everybody(target regclass)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_catalog.pg_class c
    cross join lateral (
      select c.relacl
      union all
      select a.attacl from pg_catalog.pg_attribute a where a.attrelid = c.oid
    ) as o (acl)
    cross join pg_catalog.aclexplode(o.acl) as g
    where c.oid = target
      and g.grantee = 0
      and (
        not c.relrowsecurity
        or g.privilege_type = 'TRUNCATE'
        or exists (
          select from pg_catalog.pg_policy p
          where p.polrelid = c.oid and p.polpermissive
            and bulwark_private.applies_to(p.polroles, 'api_key')
        )
      )
  );
$$;
comment on function bulwark_private.open_to_everybody(regclass) is
  'Whether PUBLIC, and so a key, has a privilege on a relation that no policy limits.';

create function bulwark_private.unlisted_api_key_access()
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with tables (oid) as (
    select c.oid
    from bulwark_private.api_key_table_access a
    join pg_catalog.pg_class c on c.oid = a.relation and c.relkind in ('r', 'p')
  ),
  admitted (oid) as materialized (
    select t.oid from tables t
    union
    select s.sequence::oid from tables t, bulwark_private.sequences_of(t.oid) as s (sequence)
  )
  select c.oid::regclass
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and n.nspname !~ '^(pg_|information_schema$)'
    and (
      bulwark_private.api_key_privileges(c.oid) <> '[]'
      or pg_has_role('api_key', c.relowner, 'usage')
      -- Relations that extensions open to PUBLIC are deliberate.
      or bulwark_private.open_to_everybody(c.oid)
        and has_schema_privilege('api_key', n.oid, 'usage')
        and not exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
        )
    )
    and c.oid not in (select a.oid from admitted a)
    -- Views with security_invoker only show rows of tables that are open to the key.
    and not (
      c.relkind = 'v'
      and coalesce(c.reloptions, '{}') && array[
        'security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'
      ]
      and not exists (
        select from pg_catalog.pg_rewrite w where w.ev_class = c.oid and w.ev_type <> '1'
      )
    );
$$;
comment on function bulwark_private.unlisted_api_key_access() is
  'The relations that are open to API keys without admit_api_keys: by a grant to api_key or to
   PUBLIC, or by ownership.';

create function bulwark.api_key_table_problems()
  returns table (relation text, problem text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select a.relation::text, p.problem
  from bulwark_private.api_key_table_access a
  -- Skips tables that were dropped, also where their OID was reused by another kind of relation.
  join pg_catalog.pg_class c on c.oid = a.relation and c.relkind in ('r', 'p')
  cross join lateral (
    select o.problem
    from bulwark_private.api_key_eligibility_problems(
      a.relation,
      array(select k.command from jsonb_object_keys(a.derived -> 'commands') as k (command))
    ) o
    -- An MFA requirement added later applies to keys too and closes the table, so it is no problem.
    where o.code <> 'API_KEY_TABLE_NEEDS_MFA'
      or not exists (
        select from bulwark_private.mfa_required_tables m where m.relation = a.relation
      )
    union all
    select 'its policies or privileges have changed: admit API keys again'
    where bulwark_private.api_key_derivation(a.relation, a.options) is distinct from a.derived
    union all
    select 'the policies or privileges of API keys have changed: admit them again'
    where bulwark_private.api_key_access_state(a.relation) is distinct from a.made
  ) p
  union all
  select o::text, 'open to API keys without having been admitted'
  from bulwark_private.unlisted_api_key_access() as o
  union all
  select null, 'the role api_key has attributes or memberships that it must not have'
  from pg_catalog.pg_roles r
  where r.rolname = 'api_key'
    and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolreplication
      or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
  union all
  select null, format('%s has the rights of API keys', m.member::regrole)
  from pg_catalog.pg_auth_members m
  where m.roleid = 'api_key'::regrole
    and m.member in ('anon'::regrole, 'authenticated'::regrole)
  union all
  select null, 'default privileges open future tables to API keys'
  where exists (
    select from pg_catalog.pg_default_acl d
    cross join pg_catalog.aclexplode(d.defaclacl) as g
    where d.defaclobjtype in ('r', 'S') and g.grantee in (0, 'api_key'::regrole)
  );
$$;
comment on function bulwark.api_key_table_problems() is
  'Differences from the state that admit_api_keys left, reasons added since why a table is not
   eligible, and relations open to API keys in other ways; relation is null for rights of the role
   api_key itself. For the tests of the host application, where the result must be empty. Does not
   inspect SECURITY DEFINER functions and triggers.';

-- API key options: what the caller may choose for a new key, for the form that issues one.
-- Protects nothing that create_api_key does not check: it says beforehand what that would refuse.
-- SECURITY DEFINER: api_key_options, because clients read neither grants nor settings.

-- Replaces the plain answer of rate limits.
create or replace view bulwark_private.organization_api_keys with (security_invoker = true) as
  select k.organization_id, k.id as api_key_id, k.name, k.rate_limit_rule as rule, k.created_at
  from bulwark.api_keys k
  where k.revoked_at is null and k.expires_at > now();
comment on view bulwark_private.organization_api_keys is
  'The API keys in force of each organization.';

create function bulwark.api_key_options(organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients read neither grants nor settings
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('api_keys.limit_per_owner'))::bigint;
  v_mfa constant boolean := bulwark_private.mfa_is_required_in(organization_id);
  v_policy bulwark.api_key_policies;
  v_user constant uuid := bulwark_private.require_user();
begin
  if organization_id is null then
    raise exception 'Cannot list options: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  perform bulwark.require_permission('api_key:create', organization_id);
  select * into v_policy
  from bulwark.api_key_policies p where p.organization_id = api_key_options.organization_id;
  return jsonb_build_object(
    'allowed', coalesce(v_policy.allowed and (v_policy.decided_with_mfa or not v_mfa), not v_mfa),
    'step_up_required', v_mfa and not bulwark.mfa_verified(
      make_interval(mins => (bulwark_private.setting('mfa.step_up_minutes'))::integer)
    ),
    'scopes', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'permission', p.name, 'description', p.description
      ) order by p.name), '[]')
      from bulwark_private.effective_permissions e
      join bulwark.permissions p on p.name = e.permission
      where e.role_id = bulwark_private.api_user_role()
        and bulwark_private.session_permits(v_user, p.name, api_key_options.organization_id)
    ),
    'environments', bulwark_private.setting('api_keys.environments'),
    'rate_limit_rules', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', r.name, 'description', r.description,
        'capacity', coalesce(v.capacity, r.capacity),
        'window_seconds', coalesce(v.window_seconds, r.window_seconds)
      ) order by o.place), '[]')
      from jsonb_array_elements_text(bulwark_private.setting('api_keys.rate_limit_rules'))
        with ordinality as o (name, place)
      join bulwark.rate_limit_rules r on r.name = o.name
      left join bulwark.rate_limit_overrides v
        on v.rule = r.name and v.organization_id = api_key_options.organization_id
    ),
    'default_days', least(
      (bulwark_private.setting('api_keys.default_days'))::bigint,
      (bulwark_private.setting('api_keys.max_days'))::bigint, v_policy.max_days
    ),
    'max_days', least(
      (bulwark_private.setting('api_keys.max_days'))::bigint, v_policy.max_days
    ),
    'max_overlap_days', bulwark_private.setting('api_keys.max_overlap_days'),
    'keys_left', greatest(0, v_limit - (
      select count(*)
      from bulwark.api_keys k
      where k.organization_id = api_key_options.organization_id and k.owner_id = v_user
        and k.revoked_at is null and k.expires_at > now()
    ))
  );
end;
$$;
comment on function bulwark.api_key_options(uuid) is
  'The choices of the caller for a new key in an organization (api_key:create there): { allowed (the
   organization''s policy), step_up_required (a second factor has to be verified first), scopes
   (permission, description: those that create_api_key accepts), environments, rate_limit_rules
   (name, description, capacity, window_seconds), default_days, max_days, max_overlap_days,
   keys_left }. Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED, RBAC_NOT_AUTHENTICATED,
   API_KEY_NULL_ARGUMENT.';

-- API keys settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks keys, such as a rule that does not exist. All other settings
-- are the operator's.
-- No function here is SECURITY DEFINER.

insert into bulwark_private.setting_rules (name, accepts) values
  ('api_keys.environments', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "string", "pattern": "^[a-z]{2,12}$"}}'),
  ('api_keys.default_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('api_keys.max_overlap_days', '{"type": "integer", "minimum": 0, "maximum": 365}'),
  ('api_keys.limit_per_owner', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('api_keys.rate_limit_rules', '{"type": "array", "minItems": 1, "maxItems": 100, "items":
      {"type": "string", "pattern": "^[a-z][a-z0-9_]{2,62}$"}}'),
  ('api_keys.use_precision_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}');

create function bulwark_private.settings_require_known_rules()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  select coalesce(i.item #>> '{}', 'null') into v_unknown
  from jsonb_array_elements(
    case when jsonb_typeof(new.value) = 'array' then new.value else jsonb_build_array(new.value) end
  ) as i (item)
  where not exists (
    select from bulwark.rate_limit_rules r where to_jsonb(r.name) = i.item
  )
  limit 1;
  if found then
    raise exception 'Cannot set %: there is no rate limit rule %', new.name, left(v_unknown, 64)
      using errcode = 'invalid_parameter_value', detail = 'SETTING_INVALID_VALUE',
            hint = 'List them with: select name from rate_limit_rules';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.settings_require_known_rules() is
  'Trigger: raises SETTING_INVALID_VALUE where api_keys.rate_limit_rules names a rule that does not
   exist, also for the owner of the database.';

create trigger settings_require_known_rules
  before update on bulwark.settings
  for each row when (new.name = 'api_keys.rate_limit_rules' and new.value <> old.value)
  execute function bulwark_private.settings_require_known_rules();

revoke all on table
  bulwark.api_key_policies,
  bulwark.api_keys,
  bulwark_private.api_key_hashes,
  bulwark_private.api_key_uses,
  bulwark_private.api_key_states,
  bulwark_private.api_key_member_roles,
  bulwark_private.api_key_roles,
  bulwark_private.api_key_holdings,
  bulwark_private.api_key_lookups,
  bulwark_private.api_key_permissions,
  bulwark_private.api_key_table_access
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.api_user_role(),
  bulwark_private.network_is_allowed(networks cidr[], address text),
  bulwark_private.api_keys_only_narrow(),
  bulwark_private.mfa_is_required_in(organization_id uuid),
  bulwark.set_api_key_policy(organization_id uuid, allowed boolean, max_days integer),
  bulwark_private.api_key_organization(api_key_id uuid),
  bulwark_private.random_base62(length integer),
  bulwark_private.checksum_base62(content text),
  bulwark_private.require_issuer(organization_id uuid),
  bulwark_private.api_key_expiry(organization_id uuid, wanted timestamptz),
  bulwark_private.api_key_networks(networks text[]),
  bulwark_private.require_scopes(scopes text[], organization_id uuid),
  bulwark_private.require_room_for_key(organization_id uuid, owner_id uuid, times integer),
  bulwark_private.issue_api_key(new_key bulwark.api_keys),
  bulwark.create_api_key(organization_id uuid, name text, scopes text[], expires_at timestamptz, environment text, networks text[], rate_limit_rule text),
  bulwark_private.api_key_not_found(),
  bulwark.rotate_api_key(key_id uuid, overlap interval, expires_at timestamptz),
  bulwark_private.end_api_key(key bulwark.api_keys, because text, revoked_by uuid),
  bulwark_private.find_revocable_key(key_id uuid),
  bulwark.revoke_api_key(key_id uuid, because text),
  bulwark.list_api_keys(organization_id uuid, include_ended boolean, before uuid, page_size integer),
  bulwark_private.super_admin_key_is_in_force(api_key_id uuid),
  bulwark_private.api_key_status(api_key_id uuid),
  bulwark_private.find_api_key(key_hash bytea),
  bulwark_private.api_key_use_is_due(api_key_id uuid),
  bulwark_private.note_api_key_use(api_key_id uuid, organization_id uuid, address text),
  bulwark.exchange_api_key(key_hash text, address text),
  bulwark_private.parameters_are_logged(),
  bulwark.report_leaked_api_keys(reports jsonb),
  bulwark_private.plain_permission_policy(expression text),
  bulwark_private.applies_to(roles oid[], member name),
  bulwark_private.api_key_policies_of(target regclass, options jsonb),
  bulwark_private.sequences_of(target regclass),
  bulwark_private.api_key_derivation(target regclass, options jsonb),
  bulwark_private.api_key_privileges(target regclass),
  bulwark_private.api_key_access_state(target regclass),
  bulwark_private.depends_on_row_only(expression text),
  bulwark_private.mfa_required_tables_behind(target regclass, commands text[]),
  bulwark_private.api_key_eligibility_problems(target regclass, commands text[]),
  bulwark.expel_api_keys(target regclass),
  bulwark_private.open_to_api_keys(target regclass, command text, derived jsonb),
  bulwark.admit_api_keys(target regclass, read_permission text, write_permission text, delete_permission text, organization_column name),
  bulwark_private.open_to_everybody(target regclass),
  bulwark_private.unlisted_api_key_access(),
  bulwark.api_key_table_problems(),
  bulwark.api_key_options(organization_id uuid),
  bulwark_private.settings_require_known_rules()
  from public, anon, authenticated, service_role;

-- API keys: grants. The build revokes everything else.

grant select on
  bulwark.api_key_policies,
  bulwark.api_keys
  to authenticated, service_role;

grant execute on function
  bulwark.api_key_options(uuid),
  bulwark.create_api_key(uuid, text, text[], timestamptz, text, text[], text),
  bulwark.rotate_api_key(uuid, interval, timestamptz)
  to authenticated;

grant execute on function
  bulwark.set_api_key_policy(uuid, boolean, integer),
  bulwark.revoke_api_key(uuid, text),
  bulwark.list_api_keys(uuid, boolean, uuid, integer)
  to authenticated, service_role;

grant execute on function
  bulwark.exchange_api_key(text, text),
  bulwark.report_leaked_api_keys(jsonb)
  to service_role;

insert into bulwark_private.capabilities values ('api_keys', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
