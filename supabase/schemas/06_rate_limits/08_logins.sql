-- Sign-ins: attempts are charged before they are answered.
-- Protects against brute force and credential stuffing. Supabase Auth is not behind the Data API.
-- Its hooks limit each account (they do not know the address); the function `bulwark-login` charges
-- the address and the account before it asks Auth. An account has a separate bucket for each
-- network from which it has signed in before, which no stranger can drain.
-- SECURITY DEFINER: the two hooks, because Supabase Auth may not touch buckets; begin_login and
--   finish_login, because not even the service role does.

insert into bulwark.settings (name, value, description) values
  ('rate_limits.travel_kmh', '1000', 'A faster move between two sign-ins raises impossible_travel'),
  ('rate_limits.travel_km', '300', 'Shorter distances are ignored, because places are inexact');

create table bulwark_private.sign_in_places (
  user_id uuid primary key,
  latitude real not null,
  longitude real not null,
  seen_at timestamptz not null default clock_timestamp()
);
comment on table bulwark_private.sign_in_places is
  'Place of each user''s last sign-in, to a tenth of a degree, if a trusted proxy sends it. Not
   audited: places are personal data, and only the last one is kept.';
create index sign_in_places_seen_at_idx on bulwark_private.sign_in_places (seen_at);
alter table bulwark_private.sign_in_places enable row level security;

create function bulwark_private.charge_attempt(kind text, user_id uuid, valid boolean)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision bulwark.rate_limit_decision;
begin
  -- Every attempt is charged, and a correct one refunded: otherwise concurrent guesses would all be
  -- answered.
  v_decision := bulwark_private.decide_rate_limit(
    'auth_login', array[kind], array[user_id::text], null, 1, null, user_id, null
  );
  if v_decision.allowed and valid then
    update bulwark_private.rate_limits b
    set full_at = b.full_at - b.emission_us
    where b.id = bulwark_private.rate_limit_hash(
        concat(charge_attempt.kind, '/', charge_attempt.user_id)
      )
      and b.scope = (select r.scope from bulwark.rate_limit_rules r where r.name = 'auth_login');
  elsif v_decision.allowed then
    perform bulwark_private.append_auth_entry(
      'auth.login_failed', user_id, 'auth.users', user_id::text, kind
    );
  end if;
  if v_decision.allowed then
    return '{"decision": "continue"}'::jsonb;
  end if;
  if kind = 'password' then
    return jsonb_build_object(
      'decision', 'reject', 'message', 'Too many attempts: try again later',
      'should_logout_user', false
    );
  end if;
  -- Supabase Auth signs a user out everywhere when it is told to reject a second factor, so a thief
  -- of the password could end the owner's sessions. An error refuses the attempt and ends nothing.
  return jsonb_build_object('error', jsonb_build_object(
    'http_code', 429, 'message', 'Too many attempts: try again later'
  ));
end;
$$;
comment on function bulwark_private.charge_attempt(text, uuid, boolean) is
  'Decides an attempt for a hook of Supabase Auth. Over the limit correct and wrong attempts are
   refused alike; correct ones cost nothing.';

create function bulwark.password_verification_attempt_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because Supabase Auth may not touch buckets
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.charge_attempt(
    'password', (event ->> 'user_id')::uuid, (event ->> 'valid')::boolean
  );
end;
$$;
comment on function bulwark.password_verification_attempt_hook(jsonb) is
  'Password verification attempt hook of Supabase Auth ({user_id, valid}): limits an account by the
   rule auth_login. It does not know the address, so it blocks nobody.';

create function bulwark.mfa_verification_attempt_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because Supabase Auth may not touch buckets
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.charge_attempt(
    'second_factor', (event ->> 'user_id')::uuid, (event ->> 'valid')::boolean
  );
end;
$$;
comment on function bulwark.mfa_verification_attempt_hook(jsonb) is
  'MFA verification attempt hook of Supabase Auth ({factor_id, user_id, valid}): limits guesses at
   codes, in another bucket than passwords. Over the limit the attempt is refused with 429, and no
   session ends.';

create function bulwark.begin_login(
  account text,
  address text default null,
  rule text default 'auth_login'
)
  returns table (
    allowed boolean,
    reason text,
    capacity integer,
    window_seconds integer,
    remaining integer,
    reset_seconds integer,
    retry_after_seconds integer
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- another transaction may hold the bucket's lock
as $$
#variable_conflict use_variable
declare
  v_account constant text := left(lower(btrim(account)), 320);
  v_address constant text := bulwark_private.client_network(address);
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_user constant uuid := (
    select u.id from auth.users u where u.email = v_account order by u.created_at limit 1
  );
begin
  v_identifiers := bulwark_private.rate_limit_identifiers(
    'address_and_account', null, null, v_address, v_account
  );
  if exists (
    select from bulwark_private.known_networks k
    where k.owner = bulwark_private.rate_limit_hash('account/' || v_account)
      and k.network = bulwark_private.rate_limit_hash('network/' || v_address)
  ) then
    v_identifiers.names[array_position(v_identifiers.kinds, 'account')] :=
      concat(v_account, ' from ', v_address);
  end if;
  v_decision := bulwark_private.decide_rate_limit(
    rule, v_identifiers.kinds, v_identifiers.names, v_address, 1, null, v_user, null
  );
  return query
    select
      v_decision.allowed, v_decision.reason, v_decision.capacity, v_decision.window_seconds,
      v_decision.remaining, v_decision.reset_seconds, v_decision.retry_after_seconds;
end;
$$;
comment on function bulwark.begin_login(text, text, text) is
  'Charges the address and the account before a sign-in, or with the rule password_reset before a
   reset (service role only). The answer does not depend on whether the account exists.
   Errors: RATE_LIMIT_UNKNOWN_RULE.';

create function bulwark_private.note_place(user_id uuid, latitude real, longitude real)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hours float8;
  v_km float8;
  v_last bulwark_private.sign_in_places;
begin
  if latitude is null or longitude is null or latitude not between -90 and 90
    or longitude not between -180 and 180 then
    return;
  end if;
  select * into v_last from bulwark_private.sign_in_places p where p.user_id = note_place.user_id;
  if found then
    -- Haversine formula with the Earth's mean radius in km.
    v_km := 2 * 6371 * asin(sqrt(least(1,
      power(sind((latitude - v_last.latitude) / 2), 2)
      + cosd(latitude) * cosd(v_last.latitude)
        * power(sind((longitude - v_last.longitude) / 2), 2)
    )));
    v_hours := date_part('epoch', clock_timestamp() - v_last.seen_at) / 3600;
    if v_km > (bulwark_private.setting('rate_limits.travel_km'))::float8
      and v_km > (
        bulwark_private.setting('rate_limits.travel_kmh')
      )::float8 * greatest(v_hours, 0) then
      perform bulwark.raise_security_event(
        'impossible_travel', null, user_id, '',
        jsonb_build_object('km', round(v_km::numeric), 'minutes', round((v_hours * 60)::numeric))
      );
    end if;
  end if;
  insert into bulwark_private.sign_in_places as p (user_id, latitude, longitude)
  values (
    note_place.user_id, round(latitude::numeric, 1)::real, round(longitude::numeric, 1)::real
  )
  on conflict on constraint sign_in_places_pkey do update
    set latitude = excluded.latitude, longitude = excluded.longitude, seen_at = excluded.seen_at;
end;
$$;
comment on function bulwark_private.note_place(uuid, real, real) is
  'Stores the place of a sign-in. If the user cannot have travelled there from the last place in
   time, it raises a security event.';

create function bulwark.finish_login(
  account text,
  address text default null,
  user_id uuid default null,
  latitude real default null,
  longitude real default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes these tables
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_account constant text := left(lower(btrim(account)), 320);
  v_address constant text := bulwark_private.client_network(address);
  v_owner constant uuid := bulwark_private.rate_limit_hash('account/' || v_account);
  v_network constant uuid := bulwark_private.rate_limit_hash('network/' || v_address);
  v_recorded uuid;
  v_user constant uuid := (
    select u.id from auth.users u where u.email = v_account order by u.created_at limit 1
  );
begin
  if user_id is null then
    -- Where Supabase Auth calls the hook, that has recorded the attempt: it counts once. The entry
    -- here adds the network. Each entry of the hook stands for one attempt: one that the hook
    -- refused has none, and is not taken for an earlier attempt.
    select e.id into v_recorded
    from bulwark.audit_logs e
    where e.event_type = 'auth.login_failed' and e.action = 'password' and e.source = 'auth'
      and e.resource_type = 'auth.users' and e.resource_id = v_user::text
      and e.parent_id is null
      and e.id >= bulwark_private.audit_id_floor(clock_timestamp() - interval '10 seconds')
      and not exists (
        select from bulwark.audit_logs c
        where c.resource_type = e.resource_type and c.resource_id = e.resource_id
          and c.id > e.id and c.parent_id = e.id and c.details ? 'network'
      )
    order by e.id
    limit 1;
    perform bulwark_private.append_audit_entry(
      event_type => 'auth.login_failed', result => 'failure', action => 'password',
      parent_id => v_recorded,
      resource_type => case when v_user is null then 'account' else 'auth.users' end,
      resource_id => coalesce(v_user, v_owner)::text,
      details => jsonb_build_object('network', v_network), ip => v_address
    );
    return;
  end if;
  if v_network is not null then
    insert into bulwark_private.known_networks as k (owner, network)
    values (v_owner, v_network)
    on conflict on constraint known_networks_pkey do update
      set last_seen_at = excluded.last_seen_at;
  end if;
  perform bulwark_private.note_place(user_id, latitude, longitude);
end;
$$;
comment on function bulwark.finish_login(text, text, uuid, real, real) is
  'Records the result of a sign-in (service role only). Without a user it failed and is written to
   the audit log, below the entry of the password hook if there is one; with one its network becomes
   known and its place is compared with the last one.';
