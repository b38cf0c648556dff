-- Sessions: who is calling. A token is valid until it expires, also when its session has ended, so
-- whoever it names counts only while that session lives.
-- Protects against a token that outlives a sign-out, that names another person's session or none,
-- and that is not Supabase Auth's: its subject need not be a UUID, its claims need not fit jsonb.
-- SECURITY DEFINER, each because clients may not read sessions and accounts: current_person,
--   require_user, both of bulwark_private.

insert into bulwark.settings (name, value, description) values
  ('sessions.accept_tokens_without_session', 'false',
    'Whether a token that names no session, such as one of third-party auth, acts for its subject;
     such tokens cannot be ended before they expire');

-- The one definition of a session that lives. Time-boxes and inactivity time-outs of Supabase Auth
-- are not in these tables: Auth applies them when the session is refreshed.
create view bulwark_private.live_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal::text as aal, s.factor_id
  from auth.sessions s
  join auth.users u on u.id = s.user_id
  where (s.not_after is null or s.not_after > now())
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now());
comment on view bulwark_private.live_sessions is
  'The sessions that count right now: not signed out, not run out, of an account neither banned nor
   deleted.';

create function bulwark_private.claims()
  returns json
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
  -- A text with \u0000 or half a surrogate pair is JSON, but no claim could be read beside it. As
  -- json and not jsonb, because a number may be larger than jsonb holds.
  if position('\u' in v_claims) > 0 then
    v_claims := regexp_replace(v_claims, '\\u(0000|[Dd][89A-Fa-f][0-9A-Fa-f]{2})', '\\ufffd', 'g');
  end if;
  return v_claims::json;
end;
$$;
comment on function bulwark_private.claims() is
  'The claims of the request''s token; null where there is none. Everything that reads a claim reads
   it here.';

create function bulwark_private.claimed_id(claim text)
  returns uuid
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.uuid_or_null(bulwark_private.claims() ->> claim);
end;
$$;
comment on function bulwark_private.claimed_id(text) is
  'A claim of the request''s token as a UUID, whether what it names exists or not; null where the
   claim is missing or no UUID.';

create function bulwark.current_person()
  returns uuid
  language plpgsql            -- not sql: a nested sql function is planned anew at every call
  stable
  parallel safe
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_claims constant json := bulwark_private.claims();
  v_user constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'sub');
begin
  -- A program is no person, whomever its token names beside the key.
  if v_user is null or current_setting('role') = 'api_key' then
    return null;
  end if;
  if v_claims ->> 'session_id' is not null then
    return (
      select s.user_id
      from bulwark_private.live_sessions s
      where s.id = bulwark_private.uuid_or_null(v_claims ->> 'session_id') and s.user_id = v_user
    );
  end if;
  if bulwark_private.setting('sessions.accept_tokens_without_session') = 'true' then
    return (
      select u.id
      from auth.users u
      where u.id = v_user
        and u.deleted_at is null
        and (u.banned_until is null or u.banned_until <= now())
    );
  end if;
  return null;
end;
$$;
comment on function bulwark.current_person() is
  'The person who is calling, in a session of theirs that lives; null for everybody else: nobody
   signed in, a program, a session that ended, a suspended account. In a policy always as
   (select bulwark.current_person()).';

create function bulwark_private.require_user()
  returns uuid
  language plpgsql
  stable
  parallel safe
  security definer            -- definer because clients may not read sessions and accounts
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_person constant uuid := bulwark.current_person();
begin
  if v_person is not null then
    return v_person;
  end if;
  perform bulwark_private.require_subject();
  if exists (
    select from auth.users u
    where u.id = bulwark_private.claimed_id('sub')
      and (u.deleted_at is not null or u.banned_until > now())
      and (
        bulwark_private.claims() ->> 'session_id' is null
        or exists (
          select from auth.sessions s
          where s.id = bulwark_private.claimed_id('session_id') and s.user_id = u.id
        )
      )
  ) then
    raise exception 'Cannot proceed: the account is suspended'
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_SUSPENDED';
  end if;
  raise exception 'Cannot proceed: the session has ended, or the token names none of the user''s'
    using errcode = 'PT401', detail = 'SESSION_ENDED', hint = 'Sign in again';
end;
$$;
comment on function bulwark_private.require_user() is
  'The person who is calling. Raises RBAC_NOT_AUTHENTICATED where there is none,
   TOKEN_SUBJECT_INVALID, SESSION_ENDED, ACCOUNT_SUSPENDED.';

create function bulwark_private.require_subject()
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key is nobody, whatever its token says.
  if coalesce(bulwark_private.claims() ->> 'sub', '') = ''
    or current_setting('role') = 'api_key' then
    raise exception 'Cannot identify the caller: the request carries no user'
      using errcode = 'insufficient_privilege', detail = 'RBAC_NOT_AUTHENTICATED',
            hint = 'Sign in first';
  end if;
  if bulwark_private.claimed_id('sub') is null then
    raise exception 'Cannot identify the caller: the token''s subject is no UUID'
      using errcode = 'insufficient_privilege', detail = 'TOKEN_SUBJECT_INVALID',
            hint = 'People are accounts of Supabase Auth, and their ids are UUIDs';
  end if;
end;
$$;
comment on function bulwark_private.require_subject() is
  'Raises RBAC_NOT_AUTHENTICATED where the request''s token names nobody, and TOKEN_SUBJECT_INVALID
   where it names no account.';

create function bulwark_private.hold_session()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant uuid := bulwark_private.claimed_id('session_id');
  v_user constant uuid := bulwark_private.claimed_id('sub');
begin
  if v_session is null or bulwark_private.caller_is_service() then
    return;
  end if;
  -- The account first, as its deletion does. The session not shared: of many who share a row in
  -- turn a sign-out would wait for ever.
  perform from auth.users u where u.id = v_user for key share;
  perform from auth.sessions s
  where s.id = v_session and s.user_id = v_user
  for no key update;
  if not found then
    perform bulwark_private.require_user();
  end if;
end;
$$;
comment on function bulwark_private.hold_session() is
  'Until commit a sign-out waits: what the caller makes is from before it. Raises what
   bulwark_private.require_user raises where the sign-out was first. Every function that makes,
   changes or ends something for a person calls it, behind the locks of rights.';

create function bulwark_private.require_caller()
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_user();
  end if;
end;
$$;
comment on function bulwark_private.require_caller() is
  'Raises what bulwark_private.require_user raises, unless the service role is calling. First of all
   in a function that answers "there is none that you may see".';

create function bulwark_private.require_named_account(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Through jsonb, because Supabase Auth before anonymous sign-ins has no such column.
  if (
    select (to_jsonb(u) -> 'is_anonymous') = 'true'
    from auth.users u where u.id = require_named_account.user_id
  ) then
    raise exception 'Cannot proceed: the account is anonymous'
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_ANONYMOUS',
            hint = 'Add an e-mail address or another way to sign in first';
  end if;
end;
$$;
comment on function bulwark_private.require_named_account(uuid) is
  'Raises ACCOUNT_ANONYMOUS for an account without a way to sign in again.';
