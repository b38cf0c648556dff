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
