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
