-- Invitees: seeing, previewing, accepting and declining invitations.
-- Protects against forwarded or guessed tokens (only the invited, confirmed address may answer),
-- tokens used twice, invitations that outlive the rights of their sender, and against what a
-- forwarded token would tell (a masked address, and no id).
-- SECURITY DEFINER: all of bulwark, because clients may read neither accounts nor tokens and write
--   neither invitations nor grants.

create function bulwark_private.invitation_holds(user_id uuid, invitation bulwark.invitations)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return invitation.accepted_at is null
    and invitation.revoked_at is null
    and invitation.expires_at > now()
    and not bulwark_private.has_departed_since(user_id, invitation)
    and (
      invitation.invited_by is null
      or bulwark_private.user_permits(
        invitation.invited_by, 'user:create', invitation.organization_id
      )
      and bulwark_private.grant_refusal(
        invitation.invited_by, invitation.role_id, invitation.organization_id,
        invitation.role_expires_at
      ) is null
    );
end;
$$;
comment on function bulwark_private.invitation_holds(uuid, bulwark.invitations) is
  'Whether an invitation is pending, its sender may still grant the role, and the user has not left
   the organization since. The address is not asked.';

create function bulwark_private.require_confirmed_email()
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_email constant text := bulwark_private.confirmed_email();
begin
  if v_email is null then
    raise exception 'Cannot answer invitation: your own e-mail address is not confirmed'
      using errcode = 'insufficient_privilege', detail = 'RBAC_EMAIL_NOT_CONFIRMED',
        hint = 'Follow the link that Supabase Auth sent to this address';
  end if;
  return v_email;
end;
$$;
comment on function bulwark_private.require_confirmed_email() is
  'bulwark_private.confirmed_email; raises RBAC_EMAIL_NOT_CONFIRMED instead of null.';

create function bulwark_private.take_invitation(invitation_id uuid, token_hash bytea)
  returns bulwark.user_roles
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller constant uuid := bulwark_private.require_user();
  v_email text;
  v_grant bulwark.user_roles;
  v_invitation bulwark.invitations;
begin
  perform bulwark_private.require_own_members();
  v_email := bulwark_private.require_confirmed_email();
  -- Waits for every change of rights there, so that the sender's present rights decide. For an
  -- invitation of somebody else no lock is taken.
  perform bulwark_private.bump_permission_version(i.organization_id)
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  perform bulwark_private.hold_session();
  -- The account's address may have changed while waiting.
  v_email := bulwark_private.confirmed_email();
  select * into v_invitation
  from bulwark.invitations i where i.id = invitation_id and i.email = v_email;
  if v_invitation.id is null
    or bulwark_private.invitation_holds(v_caller, v_invitation) is not true then
    v_invitation := null;
  end if;
  -- One statement checks and accepts, so that a concurrent second attempt finds nothing to update.
  update bulwark.invitations i
  set accepted_at = now(), accepted_by = v_caller
  where i.id = v_invitation.id
    and i.accepted_at is null
    and i.revoked_at is null
    and (
      take_invitation.token_hash is null
      or exists (
        select from bulwark_private.invitation_tokens t
        where t.invitation_id = i.id and t.token_hash = take_invitation.token_hash
      )
    );
  if not found then
    raise exception 'Cannot accept invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Ask for a new one, sent to the address of this account';
  end if;
  insert into bulwark.user_roles as g
    (user_id, role_id, organization_id, expires_at, granted_by)
  values (
    v_caller, v_invitation.role_id, v_invitation.organization_id, v_invitation.role_expires_at,
    v_invitation.invited_by
  )
  -- An invitation shortens no role that the invitee has.
  on conflict on constraint user_roles_is_granted_once do update
    set starts_at = least(g.starts_at, now()),
        expires_at = nullif(
          greatest(coalesce(g.expires_at, 'infinity'), coalesce(excluded.expires_at, 'infinity')),
          'infinity'
        ),
        granted_by = excluded.granted_by
  returning * into v_grant;
  return v_grant;
end;
$$;
comment on function bulwark_private.take_invitation(uuid, bytea) is
  'Makes the caller a member with the invited role, once, if the invitation is theirs and holds.
   With a hash, it must be that of its token. Errors: those of accept_invitation.';

create function bulwark.accept_invitation(token text)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hash constant bytea := sha256(convert_to(token, 'UTF8'));
begin
  return bulwark_private.take_invitation(
    (select t.invitation_id from bulwark_private.invitation_tokens t where t.token_hash = v_hash),
    v_hash
  );
end;
$$;
comment on function bulwark.accept_invitation(text) is
  'Makes the caller a member with the invited role, once. The caller''s confirmed e-mail address
   must be the invited one, and the sender must still be able to grant the role. Wrong, used,
   revoked, expired and other people''s tokens get one answer. Errors: RBAC_INVITATION_INVALID,
   RBAC_EMAIL_NOT_CONFIRMED, RBAC_NOT_AUTHENTICATED, RBAC_MEMBERS_ARE_HOSTS.';

create function bulwark.my_invitations()
  returns table (
    invitation_id uuid,
    organization_id uuid,
    organization_name text,
    organization_slug text,
    role text,
    role_description text,
    invited_by uuid,
    invited_by_name text,
    invited_by_email text,
    created_at timestamptz,
    expires_at timestamptz,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients may not read organization and sender
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_user constant uuid := bulwark_private.require_user();
begin
  return query
    select
      i.id, o.id, o.name, o.slug, r.name, r.description, i.invited_by,
      bulwark_private.printable_name(p.said_name), p.email, i.created_at, i.expires_at,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.organizations o on o.id = i.organization_id
    join bulwark.roles r on r.id = i.role_id
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.email = (select bulwark_private.confirmed_email())
      and i.accepted_at is null
      and i.revoked_at is null
      and bulwark_private.invitation_holds(v_user, i)
    order by i.created_at desc, i.id
    limit 100;
end;
$$;
comment on function bulwark.my_invitations() is
  'The invitations that the caller can accept now, newest first, up to 100: those of their confirmed
   address. invited_by is null for the operator. Empty while the address is not confirmed. Errors:
   those of bulwark_private.require_user.';

create function bulwark.preview_invitation(token text)
  returns table (
    invitation_id uuid,
    organization_name text,
    role text,
    invited_by_name text,
    email text,
    expires_at timestamptz,
    is_mine boolean,
    role_expires_at timestamptz
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not read tokens
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_user constant uuid := bulwark.current_person();
begin
  -- The lock makes a GET fail (405): only a POST is charged by the rate limits.
  select i.* into v_invitation
  from bulwark_private.invitation_tokens t
  join bulwark.invitations i on i.id = t.invitation_id
  where t.token_hash = sha256(convert_to(token, 'UTF8'))
  for key share of t;
  -- No error for a wrong token: the charge of a request that fails is rolled back.
  return query
    select
      case when m.is_mine then v_invitation.id end,
      o.name,
      r.name,
      bulwark_private.printable_name(p.said_name),
      case
        when m.is_mine then v_invitation.email
        else left(v_invitation.email, 1) || '***' || substring(v_invitation.email from '@.*$')
      end,
      v_invitation.expires_at,
      m.is_mine,
      v_invitation.role_expires_at
    from bulwark.organizations o
    join bulwark.roles r on r.id = v_invitation.role_id
    left join bulwark_private.people p on p.user_id = v_invitation.invited_by
    cross join lateral (
      select coalesce(v_invitation.email = bulwark_private.confirmed_email(), false)
    ) m (is_mine)
    where o.id = v_invitation.organization_id
      and bulwark_private.invitation_holds(v_user, v_invitation);
end;
$$;
comment on function bulwark.preview_invitation(text) is
  'The invitation of a token, for a page that asks somebody to sign up or in; no user is needed.
   No row for a wrong, used, revoked or expired token. is_mine: the caller''s confirmed address
   was invited; otherwise the address is masked and the id null. Call it by POST; a GET is
   refused (25006).';

create function bulwark.accept_my_invitation(invitation_id uuid)
  returns bulwark.user_roles
  language plpgsql
  volatile
  security definer            -- definer because clients may write neither invitations nor grants
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.take_invitation(invitation_id, null);
end;
$$;
comment on function bulwark.accept_my_invitation(uuid) is
  'accept_invitation by id, for an invitation of my_invitations: the confirmed address takes the
   place of the token. Errors: those of accept_invitation.';

create function bulwark.decline_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_user();
  perform bulwark_private.require_confirmed_email();
  perform bulwark_private.hold_session();
  update bulwark.invitations i
  set revoked_at = now(), declined = true
  where i.id = invitation_id
    and i.email = bulwark_private.confirmed_email()
    and i.accepted_at is null
    and i.revoked_at is null;
  if not found then
    raise exception 'Cannot decline invitation: it is not valid for this account'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List yours with my_invitations';
  end if;
end;
$$;
comment on function bulwark.decline_invitation(uuid) is
  'Ends a pending invitation of the caller''s confirmed address. Errors: RBAC_INVITATION_INVALID,
   RBAC_EMAIL_NOT_CONFIRMED, and those of bulwark_private.require_user.';
