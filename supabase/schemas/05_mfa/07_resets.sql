-- MFA resets: a user lost the device and the backup codes. This file decides who must consent.
-- Protects against persuading one administrator to remove a factor. A factor belongs to the account
-- and protects all its organizations, so each one that requires MFA has to consent. The consent
-- comes from somebody who may reset members there and whom the member does not outrank; from two
-- people, if the policy says so. Nobody resets their own account.
-- SECURITY DEFINER: mfa_resets_to_decide, because no role of the API reads others' grants.

create table bulwark.mfa_resets (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  reason text not null,
  requested_by uuid references auth.users (id) on delete set null,
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '1 day',
  completed_at timestamptz,
  cancelled_at timestamptz,
  constraint mfa_resets_reason_length check (length(btrim(reason)) between 1 and 500),
  constraint mfa_resets_ends_once check (completed_at is null or cancelled_at is null)
);
comment on table bulwark.mfa_resets is
  'Requests to remove the second factors of an account. Read by the account and by those who may
   reset members of the organization. Open for a day, until completed or cancelled.';
-- One an organization, so that no organization blocks another's request.
create unique index mfa_resets_open_idx on bulwark.mfa_resets (user_id, organization_id)
  nulls not distinct where completed_at is null and cancelled_at is null;
create index mfa_resets_user_id_idx on bulwark.mfa_resets (user_id, requested_at);
create index mfa_resets_organization_id_idx on bulwark.mfa_resets (organization_id, requested_at);
create index mfa_resets_requested_by_idx on bulwark.mfa_resets (requested_by);

create table bulwark_private.mfa_reset_consents (
  id uuid primary key default gen_random_uuid(),
  reset_id uuid not null references bulwark.mfa_resets (id) on delete cascade,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  given_at timestamptz not null default clock_timestamp(),
  constraint mfa_reset_consents_is_given_once
    unique nulls not distinct (reset_id, organization_id, user_id)
);
comment on table bulwark_private.mfa_reset_consents is
  'The people who consented to a reset, for which organization. A consent counts while its giver
   may reset.';
create index mfa_reset_consents_organization_id_idx on bulwark_private.mfa_reset_consents (
  organization_id
);
create index mfa_reset_consents_user_id_idx on bulwark_private.mfa_reset_consents (user_id);

alter table bulwark.mfa_resets enable row level security;
alter table bulwark_private.mfa_reset_consents enable row level security;

create function bulwark_private.mfa_reset_refusal(person uuid, user_id uuid, organization_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.user_permits(person, 'mfa:reset', organization_id) is not true then
    return 'RBAC_PERMISSION_DENIED';
  end if;
  if person = user_id then
    return 'MFA_OWN_RESET';
  end if;
  if organization_id is not null and not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = mfa_reset_refusal.user_id
      and g.organization_id = mfa_reset_refusal.organization_id
  ) then
    return 'RBAC_NOT_A_MEMBER';
  end if;
  -- A user with a system-wide role is reset only by somebody with mfa:reset system-wide.
  if exists (
      select from bulwark_private.active_grants g
      where g.user_id = mfa_reset_refusal.user_id and g.organization_id is null
    ) and not bulwark_private.user_permits(person, 'mfa:reset', null) then
    return 'MFA_USER_OUTRANKS';
  end if;
  -- Rank is level and permissions, as for grants: a reset can give access to the user's rights.
  if exists (
    select from bulwark_private.held_permissions h
    where h.user_id = mfa_reset_refusal.user_id
      and h.organization_id is not distinct from mfa_reset_refusal.organization_id
      and not bulwark_private.user_permits(person, h.permission, mfa_reset_refusal.organization_id)
  ) or (
    select coalesce(max(r.level) filter (where g.user_id = mfa_reset_refusal.user_id), 0)
      > coalesce(max(r.level) filter (where g.user_id = person), 0)
    from bulwark_private.active_grants g
    join bulwark.roles r on r.id = g.role_id
    where g.user_id in (person, mfa_reset_refusal.user_id)
      and (
        g.organization_id is not distinct from mfa_reset_refusal.organization_id
        or g.organization_id is null and g.role_id = bulwark_private.super_admin_role()
      )
  ) then
    return 'MFA_USER_OUTRANKS';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.mfa_reset_refusal(uuid, uuid, uuid) is
  'The error code that says why a person may not consent, for an organization, to the reset of a
   user; null if they may.';

create function bulwark_private.raise_mfa_reset_refusal(refusal text)
  returns void
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if refusal is not null then
    raise exception 'Cannot reset factors: %', case refusal
        when 'RBAC_PERMISSION_DENIED' then 'permission mfa:reset is missing'
        when 'MFA_OWN_RESET' then 'they are your own'
        when 'RBAC_NOT_A_MEMBER' then 'the user is not a member of the organization'
        else 'the user outranks you'
      end
      using errcode = 'insufficient_privilege', detail = refusal,
            hint = 'Ask another administrator';
  end if;
end;
$$;
comment on function bulwark_private.raise_mfa_reset_refusal(text) is
  'Raises the error that bulwark_private.mfa_reset_refusal returned; null raises nothing.';

create function bulwark_private.mfa_reset_needs_approval(organization_id uuid)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark.mfa_policies p
    where p.organization_id is not distinct from mfa_reset_needs_approval.organization_id
      and (p.reset_needs_approval or p.approval_until > now())
  );
end;
$$;
comment on function bulwark_private.mfa_reset_needs_approval(uuid) is
  'Whether an organization requires two people to reset a member.';

create function bulwark_private.mfa_reset_organizations(user_id uuid, organization_id uuid)
  returns setof uuid
  language sql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
as $$
  select o.id
  from (
    select mfa_reset_organizations.organization_id
    union
    select p.organization_id
    -- A grant that has not begun counts too: the factor will protect that organization as well.
    from bulwark_private.unexpired_grants g
    join bulwark.mfa_policies p on p.organization_id = g.organization_id
    where g.user_id = mfa_reset_organizations.user_id
      and (
        p.required_from is not null or bulwark_private.mfa_reset_needs_approval(p.organization_id)
      )
  ) as o (id)
  order by o.id nulls first;
$$;
comment on function bulwark_private.mfa_reset_organizations(uuid, uuid) is
  'The organizations that must consent to reset a user, ordered by id: the one where it is
   requested, and every one of the user''s that requires MFA or asks for two people.';

create function bulwark_private.mfa_resets_to_decide()
  returns setof uuid
  language plpgsql
  stable
  rows 5
  security definer            -- definer because clients read neither policies nor others' grants
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organizations uuid[] := array(select bulwark.organizations_with('mfa:reset'));
begin
  return query
    select r.id
    from bulwark.mfa_resets r
    where r.completed_at is null
      and r.cancelled_at is null
      and r.expires_at > now()
      and cardinality(v_organizations) > 0
      and exists (
        select from bulwark_private.mfa_reset_organizations(r.user_id, r.organization_id) as o
        where o = any (v_organizations)
      );
end;
$$;
comment on function bulwark_private.mfa_resets_to_decide() is
  'The ids of open resets to which the caller may consent.';

create policy "Users read resets of their own, members those they may decide"
  on bulwark.mfa_resets for select to authenticated
  using (
    user_id = (select bulwark.current_person())
    or organization_id = any (array(select bulwark.organizations_with('mfa:reset')))
    or id = any (array(select bulwark_private.mfa_resets_to_decide()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

select bulwark.enable_audit('bulwark.mfa_resets', organization_column => 'organization_id');
select bulwark.enable_audit(
  'bulwark_private.mfa_reset_consents', organization_column => 'organization_id'
);
