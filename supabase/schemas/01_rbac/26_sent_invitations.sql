-- Sent invitations: listing them with their state, and sending one again.
-- Protects against more messages than invite_member would send, which does the sending.
-- SECURITY DEFINER: list_invitations, resend_invitation, because clients may not read auth.users
--   and write no invitations.

create function bulwark_private.invitation_state(invitation bulwark.invitations)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when invitation.accepted_at is not null then 'accepted'
    when invitation.declined then 'declined'
    when invitation.revoked_at is not null then 'revoked'
    when invitation.expires_at <= now() then 'expired'
    else 'pending'
  end;
$$;
comment on function bulwark_private.invitation_state(bulwark.invitations) is
  'pending, accepted, declined, revoked or expired.';

create function bulwark.list_invitations(
  organization_id uuid,
  states text[] default null,
  before uuid default null,
  page_size integer default 50
)
  returns table (
    invitation_id uuid,
    email text,
    role text,
    state text,
    invited_by uuid,
    invited_by_name text,
    created_at timestamptz,
    expires_at timestamptz,
    ended_at timestamptz,
    accepted_by uuid,
    role_expires_at timestamptz
  )
  language plpgsql
  stable
  rows 50
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform bulwark.require_permission('user:create', organization_id);
  return query
    select
      i.id, i.email, r.name, s.state, i.invited_by, bulwark_private.printable_name(p.said_name),
      i.created_at, i.expires_at, coalesce(i.accepted_at, i.revoked_at), i.accepted_by,
      i.role_expires_at
    from bulwark.invitations i
    join bulwark.roles r on r.id = i.role_id
    cross join lateral (select bulwark_private.invitation_state(i)) s (state)
    left join bulwark_private.people p on p.user_id = i.invited_by
    where i.organization_id = list_invitations.organization_id
      and (states is null or s.state = any (states))
      and (
        before is null
        or (i.created_at, i.id) < (
          select b.created_at, b.id from bulwark.invitations b
          where b.id = before and b.organization_id = list_invitations.organization_id
        )
      )
    order by i.created_at desc, i.id desc
    limit least(greatest(page_size, 1), 1000);
end;
$$;
comment on function bulwark.list_invitations(uuid, text[], uuid, integer) is
  'The invitations of an organization (user:create), newest first, by page: before is the id of
   the last one of the previous page. states: of pending, accepted, declined, revoked and
   expired; null for all. ended_at: when it was accepted, declined or revoked. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark.resend_invitation(
  invitation_id uuid,
  expires_in interval default '7 days'
)
  returns table (new_invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_invitation bulwark.invitations;
begin
  select * into v_invitation
  from bulwark.invitations i where i.id = resend_invitation.invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  perform bulwark_private.require_permission_to_change(
    'user:create', coalesce(v_invitation.organization_id, gen_random_uuid())
  );
  select * into v_invitation
  from bulwark.invitations i where i.id = v_invitation.id;
  if bulwark_private.invitation_state(v_invitation) in ('pending', 'expired') is not true then
    raise exception 'Cannot send invitation again: it was answered or revoked'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
            hint = 'Invite the address again with invite_member';
  end if;
  return query
    select n.* from bulwark.invite_member(
      v_invitation.organization_id, v_invitation.email,
      (select r.name from bulwark.roles r where r.id = v_invitation.role_id), expires_in,
      v_invitation.role_expires_at
    ) n;
end;
$$;
comment on function bulwark.resend_invitation(uuid, interval) is
  'Invites the address of a pending or expired invitation again with its role and the role''s end,
   as invite_member does: a new invitation with a new token, of the caller, replaces it. Errors:
   RBAC_INVITATION_INVALID and those of invite_member.';
