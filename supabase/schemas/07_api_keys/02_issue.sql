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
