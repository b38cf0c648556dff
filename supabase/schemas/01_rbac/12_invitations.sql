-- Invitations: how a user becomes a member of an organization.
-- Protects against tokens read from a dump (only a hash is stored) and against messages without
-- end. 25_invitees protects those that are accepted.
-- SECURITY DEFINER: invite_member, revoke_invitation, because clients may not write invitations;
--   bulwark_private.confirmed_email, because they may not read auth.users.

insert into bulwark.settings (name, value, description) values
  ('rbac.trust_sso_email', 'false',
    'Whether the address that a single sign-on provider asserts may accept invitations'),
  ('rbac.pending_invitations', '1000',
    'How many invitations an organization may have pending; a day, four times as many'),
  ('rbac.invitations_per_address', '10',
    'How many invitations an organization may make for one address within a day');

create table bulwark.invitations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  email text not null,
  role_id uuid not null references bulwark.roles (id) on delete cascade,
  -- Cascade instead of set null: null would give the invitation the operator's authority.
  invited_by uuid references auth.users (id) on delete cascade,
  -- The clock instead of the transaction's start: it is compared with the time of departures.
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid references auth.users (id) on delete set null,
  revoked_at timestamptz,
  declined boolean not null default false,
  role_expires_at timestamptz,
  constraint invitations_email_is_lower_case check (email = lower(email)),
  constraint invitations_is_accepted_or_revoked check (accepted_at is null or revoked_at is null),
  constraint invitations_ends_before_its_role check (expires_at <= role_expires_at)
);
comment on table bulwark.invitations is
  'Invitations of an e-mail address into an organization, with a role. Pending while accepted_at and
   revoked_at are null and expires_at is in the future.';
comment on column bulwark.invitations.declined is
  'Whether the invitee ended it, at revoked_at.';
comment on column bulwark.invitations.role_expires_at is
  'When the role ends that the invitee gets; null: it has no end.';
comment on column bulwark.invitations.invited_by is
  'The sender, whose rights the invitation depends on; null: the operator.';

create table bulwark_private.invitation_tokens (
  invitation_id uuid primary key references bulwark.invitations (id) on delete cascade,
  token_hash bytea not null unique
);
comment on table bulwark_private.invitation_tokens is
  'SHA-256 of each invitation token. The tokens have 256 random bits, so a plain hash is enough.';

create unique index invitations_pending_idx on bulwark.invitations (organization_id, email)
  where accepted_at is null and revoked_at is null;
create index invitations_organization_id_idx on bulwark.invitations (organization_id, created_at);
create index invitations_email_idx on bulwark.invitations (email);
create index invitations_role_id_idx on bulwark.invitations (role_id);
create index invitations_invited_by_idx on bulwark.invitations (invited_by);
create index invitations_accepted_by_idx on bulwark.invitations (accepted_by);

alter table bulwark.invitations enable row level security;
alter table bulwark_private.invitation_tokens enable row level security;

create function bulwark_private.confirmed_email()
  returns text
  language sql
  stable
  security definer            -- definer because clients may not read auth.users
  set search_path = pg_catalog, pg_temp
as $$
  select lower(u.email)
  from auth.users u
  where u.id = (select bulwark.current_person())
    and u.email_confirmed_at is not null
    and u.deleted_at is null
    and (u.banned_until is null or u.banned_until <= now())
    -- Accounts of identity providers may share an address with another account.
    and (not u.is_sso_user or bulwark_private.setting('rbac.trust_sso_email') = 'true');
$$;
comment on function bulwark_private.confirmed_email() is
  'The caller''s own e-mail address in lower case; null if it is not confirmed. Read from
   auth.users, because a token keeps an old address.';

create function bulwark_private.require_room_for_invitation(organization_id uuid, email text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant bigint := (bulwark_private.setting('rbac.pending_invitations'))::bigint;
begin
  if (
    select
      count(*) filter (
        where i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
      ) >= v_limit
      -- The second limit holds even if invitations are revoked in between.
      or count(*) filter (where i.created_at > now() - interval '1 day') >= 4 * v_limit
    from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and (
        i.created_at > now() - interval '1 day'
        or i.accepted_at is null and i.revoked_at is null
      )
  ) then
    raise exception 'Cannot invite member: the organization has as many invitations as it may'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Revoke those that are not needed, or have rbac.pending_invitations raised';
  end if;
  -- Each may be a message to somebody who did not ask for it.
  if (
    select count(*) from bulwark.invitations i
    where i.organization_id = require_room_for_invitation.organization_id
      and i.email = require_room_for_invitation.email
      and i.created_at > now() - interval '1 day'
  ) >= (bulwark_private.setting('rbac.invitations_per_address'))::integer then
    raise exception 'Cannot invite member: the address was invited too often today'
      using errcode = 'insufficient_privilege', detail = 'RBAC_TOO_MANY_INVITATIONS',
            hint = 'Try again tomorrow';
  end if;
end;
$$;
comment on function bulwark_private.require_room_for_invitation(uuid, text) is
  'Raises RBAC_TOO_MANY_INVITATIONS if an organization has rbac.pending_invitations pending ones, or
   created four times as many within a day, or rbac.invitations_per_address for the address. The
   caller holds the exclusive lock of the organization''s rights, so the count is exact.';

create function bulwark_private.issue_invitation_token(invitation_id uuid)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_token constant text := translate(
    encode(extensions.gen_random_bytes(32), 'base64'), E'+/=\n', '-_'
  );
begin
  insert into bulwark_private.invitation_tokens as t (invitation_id, token_hash)
  values (issue_invitation_token.invitation_id, sha256(convert_to(v_token, 'UTF8')))
  on conflict on constraint invitation_tokens_pkey do update set token_hash = excluded.token_hash;
  return v_token;
end;
$$;
comment on function bulwark_private.issue_invitation_token(uuid) is
  'A new token of an invitation, which replaces the one before. Only its hash is stored.';

create function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select false; $$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: false, the
   application sends it. The capability webhooks replaces this function.';

create function bulwark.invite_member(
  organization_id uuid,
  email text,
  role text,
  expires_in interval default '7 days',
  role_expires_at timestamptz default null
)
  returns table (invitation_id uuid, token text, expires_at timestamptz)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller uuid := bulwark.current_person();
  v_email text := lower(btrim(email));
  v_expires_at timestamptz;
  v_invitation uuid;
  v_now timestamptz;
  v_role bulwark.roles;
begin
  perform bulwark_private.require_own_members();
  perform bulwark_private.require_permission_to_change('user:create', organization_id);
  v_now := clock_timestamp();
  if organization_id is null then
    raise exception 'Cannot invite member: the organization is null'
      using errcode = 'null_value_not_allowed', detail = 'RBAC_NULL_ARGUMENT';
  end if;
  if v_email is null or length(v_email) > 254
    or v_email !~ '^[^@[:space:][:cntrl:]]{1,64}@[^@[:space:][:cntrl:]]+$' then
    raise exception 'Cannot invite member: that is not an e-mail address'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EMAIL';
  end if;
  if not bulwark_private.lasts_up_to(expires_in, '90 days') or now() + expires_in = now() then
    raise exception 'Cannot invite member: an invitation lasts up to 90 days'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY';
  end if;
  if role_expires_at <= v_now or not isfinite(role_expires_at) then
    raise exception 'Cannot invite member: the role would end in the past'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_INVALID_EXPIRY',
            hint = 'Leave role_expires_at null for a role without an end';
  end if;
  -- Nobody accepts a role that has ended.
  v_expires_at := least(v_now + expires_in, role_expires_at);
  v_role := bulwark_private.find_role(role, organization_id);
  if v_role.id = bulwark_private.super_admin_role() then
    raise exception 'Cannot invite member: super_admin is system-wide, not of one organization'
      using errcode = 'invalid_parameter_value', detail = 'RBAC_ROLE_NOT_ASSIGNABLE',
        hint = 'Invite as admin';
  end if;
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.raise_grant_refusal(
      bulwark_private.grant_refusal(v_caller, v_role.id, organization_id, role_expires_at),
      'invite member'
    );
  end if;

  update bulwark.invitations i
  set revoked_at = now()
  where i.organization_id = invite_member.organization_id
    and i.email = v_email
    and i.accepted_at is null
    and i.revoked_at is null;
  perform bulwark_private.require_room_for_invitation(invite_member.organization_id, v_email);
  insert into bulwark.invitations
    (organization_id, email, role_id, invited_by, created_at, expires_at, role_expires_at)
  values (
    invite_member.organization_id, v_email, v_role.id, v_caller, v_now, v_expires_at,
    invite_member.role_expires_at
  )
  returning id into v_invitation;
  insert into bulwark_private.invitation_accounts (invitation_id, user_id)
  select v_invitation, u.id from auth.users u where u.email = v_email;
  return query
    select v_invitation,
      case
        when not bulwark_private.announce_invitation(v_invitation)
        then bulwark_private.issue_invitation_token(v_invitation)
      end,
      v_expires_at;
end;
$$;
comment on function bulwark.invite_member(uuid, text, text, interval, timestamptz) is
  'Invites an e-mail address into an organization with a role (user:create and role:grant, rank
   as for grant_role) for up to 90 days. The role begins when the invitee accepts and lasts until
   role_expires_at (null: no end), when the invitation ends, too. The token (base64url, 256 bits)
   is returned only here; the application sends it. It is null if an endpoint for invitations
   sends it (capability webhooks). An earlier pending invitation of the same address is revoked.
   Errors: RBAC_PERMISSION_DENIED, RBAC_INVALID_EMAIL, RBAC_INVALID_EXPIRY, RBAC_UNKNOWN_ROLE,
   RBAC_ROLE_NOT_ASSIGNABLE, RBAC_ROLE_OUTRANKS_GRANTER, RBAC_GRANT_OUTLIVES_GRANTER,
   RBAC_TOO_MANY_INVITATIONS, RBAC_UNKNOWN_ORGANIZATION, RBAC_MEMBERS_ARE_HOSTS.';

create function bulwark.revoke_invitation(invitation_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  select i.organization_id into v_organization
  from bulwark.invitations i where i.id = invitation_id;
  -- A missing invitation and one of a foreign organization get the same answer.
  if not found then
    v_organization := gen_random_uuid();
  end if;
  perform bulwark_private.require_permission_to_change('user:create', v_organization);
  update bulwark.invitations i
  set revoked_at = now()
  where i.id = invitation_id and i.accepted_at is null and i.revoked_at is null;
  if not found then
    raise exception 'Cannot revoke invitation: it is no longer pending'
      using errcode = 'PT404', detail = 'RBAC_INVITATION_INVALID',
        hint = 'List pending ones with list_invitations';
  end if;
end;
$$;
comment on function bulwark.revoke_invitation(uuid) is
  'Ends a pending invitation (user:create in its organization). Errors: RBAC_PERMISSION_DENIED,
   RBAC_INVITATION_INVALID.';

create trigger invitations_keep_columns
  before update on bulwark.invitations
  for each row execute function bulwark.keep_columns(
    'organization_id', 'email', 'role_id', 'invited_by', 'expires_at', 'role_expires_at'
  );

create policy "Inviters read what they sent, invitees what was sent to them"
  on bulwark.invitations for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('user:create')))
    or email = (select bulwark_private.confirmed_email())
  );
