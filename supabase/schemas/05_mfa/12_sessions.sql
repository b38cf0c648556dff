-- Sessions: users see where they are signed in, and end sessions of theirs.
-- Protects against a session that its owner does not recognize: nothing of Bulwark accepts a token
-- of an ended session, though it is valid until it expires. Addresses and devices are hidden from a
-- thief of the password, who lacks the second factor.
-- SECURITY DEFINER: my_sessions, end_session, because clients may not read or delete sessions.

create function bulwark.my_sessions()
  returns table (
    id uuid,
    is_current boolean,
    created_at timestamptz,
    refreshed_at timestamptz,
    not_after timestamptz,
    mfa_verified_at timestamptz,
    ip text,
    user_agent text
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
  v_shown constant boolean := not bulwark_private.has_second_factor(v_user)
    or bulwark_private.session_passes_mfa();
begin
  return query
    select
      s.id, s.id is not distinct from bulwark_private.claimed_id('session_id'), s.created_at,
      -- Through jsonb, because older versions of Supabase Auth lack these columns. The time of
      -- refreshed_at is in UTC without saying so.
      coalesce((j ->> 'refreshed_at')::timestamp at time zone 'UTC', s.updated_at), s.not_after,
      nullif(bulwark_private.session_mfa(s.id, v_user), '-infinity'),
      case when v_shown then host((j ->> 'ip')::inet) end,
      case when v_shown then left(j ->> 'user_agent', 256) end
    from bulwark_private.live_sessions l
    join auth.sessions s on s.id = l.id
    cross join lateral to_jsonb(s) as j
    where l.user_id = v_user
    order by 4 desc, s.id
    limit 1000;
end;
$$;
comment on function bulwark.my_sessions() is
  'The live sessions of the caller''s account, the one used last first. refreshed_at: when its token
   was last issued; not_after: its end, null: none is set; mfa_verified_at: when a second factor was
   verified in it. ip and user_agent are null where Supabase Auth does not know them, and while the
   account has a second factor that this session lacks. Errors: those of
   bulwark_private.require_user.';

create function bulwark.end_session(session_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not delete sessions
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  -- Both in one order, so that two sessions may end each other at once.
  perform from auth.users u where u.id = v_user for key share;
  perform from auth.sessions s
  where s.user_id = v_user
    and s.id in (end_session.session_id, bulwark_private.claimed_id('session_id'))
  order by s.id
  for update;
  perform bulwark_private.hold_session();
  delete from auth.sessions s where s.id = end_session.session_id and s.user_id = v_user;
  if not found then
    raise exception 'Cannot end session: you have none with this id'
      using errcode = 'PT404', detail = 'SESSION_NOT_FOUND',
            hint = 'List them with my_sessions';
  end if;
end;
$$;
comment on function bulwark.end_session(uuid) is
  'Ends a session of the caller''s own account, also the current one, as a sign-out does: it cannot
   be refreshed, and Bulwark accepts its token from then on nowhere. Only policies and services that
   look at the token alone accept it until it expires. Recorded as auth.logout. Errors:
   SESSION_NOT_FOUND and those of bulwark_private.require_user.';
