-- Sessions: who is calling. A token stays valid until it expires, even after a sign-out. So its
-- user counts as the caller only while the session is live.
-- Protects against a token that outlives a sign-out, that names another user's session or none, or
-- that Supabase Auth did not issue: its subject may be no UUID, its claims may not fit into jsonb.
-- SECURITY DEFINER: current_person and require_user, because clients may not read sessions and
--   accounts.

insert into bulwark.settings (name, value, description) values
  ('sessions.accept_tokens_without_session', 'false',
    'Whether a token that names no session, such as one of third-party auth, acts for its subject;
     such tokens cannot be ended before they expire');

-- The one definition of a live session. Time-boxes and inactivity timeouts of Supabase Auth are not
-- in these tables: Auth applies them when the session is refreshed.
create view bulwark_private.unexpired_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal::text as aal, s.factor_id
  from auth.sessions s
  where s.not_after is null or s.not_after > now();
comment on view bulwark_private.unexpired_sessions is
  'The sessions that are neither signed out nor expired, those of suspended accounts among them.';

create view bulwark_private.live_sessions with (security_invoker = true) as
  select s.id, s.user_id, s.created_at, s.aal, s.factor_id
  from bulwark_private.unexpired_sessions s
  join auth.users u on u.id = s.user_id
  where u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now());
comment on view bulwark_private.live_sessions is
  'The sessions that are neither signed out nor expired, of accounts neither banned nor deleted.';

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
  -- JSON with \u0000 or half a surrogate pair is valid, but reading any claim of it would fail. The
  -- type is json because a number may be larger than jsonb can hold.
  if position('\u' in v_claims) > 0 then
    v_claims := regexp_replace(v_claims, '\\u(0000|[Dd][89A-Fa-f][0-9A-Fa-f]{2})', '\\ufffd', 'g');
  end if;
  return v_claims::json;
end;
$$;
comment on function bulwark_private.claims() is
  'The claims of the request''s token; null without a token. All functions read claims through it.';

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
  'A claim of the request''s token as a UUID; null if it is missing or no UUID. The object it names
   may not exist.';

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
  v_claimed constant text := v_claims ->> 'session_id';
  v_session constant uuid := bulwark_private.uuid_or_null(v_claimed);
  v_user constant uuid := bulwark_private.uuid_or_null(v_claims ->> 'sub');
begin
  -- A request with an API key is no person, even if its token names one.
  if v_user is null or current_setting('role') = 'api_key' then
    return null;
  end if;
  if v_claimed is not null then
    return (
      select s.user_id
      from bulwark_private.live_sessions s
      where s.id = v_session and s.user_id = v_user
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
  'The user who is calling, in a live session of theirs. Null if nobody is signed in, for an API
   key, an ended session and a suspended account. Write it in policies as
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
      using errcode = 'insufficient_privilege', detail = 'ACCOUNT_SUSPENDED',
        hint = 'The operator of the application can lift the ban';
  end if;
  raise exception 'Cannot proceed: the session has ended, or the token names none of the user''s'
    using errcode = 'PT401', detail = 'SESSION_ENDED', hint = 'Sign in again';
end;
$$;
comment on function bulwark_private.require_user() is
  'The user who is calling. Raises RBAC_NOT_AUTHENTICATED, TOKEN_SUBJECT_INVALID, SESSION_ENDED or
   ACCOUNT_SUSPENDED.';

create function bulwark_private.require_subject()
  returns void
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An API key is no user, even if its token names one.
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
  'Raises RBAC_NOT_AUTHENTICATED if the request''s token names no subject, and TOKEN_SUBJECT_INVALID
   if the subject is no UUID.';

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
  -- The account first, in the order of its deletion. The lock on the session is not shared: a
  -- series of shared locks could keep a sign-out waiting for ever.
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
  'Makes a sign-out wait until commit, so that everything the caller creates precedes it. Raises the
   errors of bulwark_private.require_user if the sign-out came first. Every function that writes for
   a user calls it, after the locks of rights.';

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
  'Raises the errors of bulwark_private.require_user, unless the service role is calling. Functions
   that would otherwise answer "there is none that you may see" call it first.';

create function bulwark_private.require_named_account(user_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Through jsonb, because older versions of Supabase Auth lack the column.
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
  'Raises ACCOUNT_ANONYMOUS for an anonymous account, which has no way to sign in again.';
