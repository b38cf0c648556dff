-- Departures: who left an organization. They end older invitations.
-- Protects against returning by an older invitation: with another address of the same account, with
-- the same address of another account, or beside a grant that expired.
-- SECURITY DEFINER: the triggers, because neither the role that revokes a grant nor Supabase Auth
--   may write invitations; cleanup_invitations, because no API role may.

-- No foreign keys to accounts, because rows of both tables outlive them.
create table bulwark_private.departures (
  organization_id uuid not null references bulwark.organizations (id) on delete cascade,
  user_id uuid not null,
  left_at timestamptz not null,
  primary key (organization_id, user_id)
);
comment on table bulwark_private.departures is
  'When an account left an organization. Kept as long as an earlier invitation could be valid. Not
   audited: the end of each grant is.';

create table bulwark_private.invitation_accounts (
  invitation_id uuid not null references bulwark.invitations (id) on delete cascade,
  user_id uuid not null,
  primary key (invitation_id, user_id)
);
comment on table bulwark_private.invitation_accounts is
  'The accounts that had the invited address while the invitation was pending. Not audited: accounts
   and invitations are.';
create index invitation_accounts_user_id_idx on bulwark_private.invitation_accounts (user_id);

alter table bulwark_private.departures enable row level security;
alter table bulwark_private.invitation_accounts enable row level security;

create function bulwark_private.depart(user_id uuid, organization_id uuid, left_at timestamptz)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark_private.departures as d (organization_id, user_id, left_at)
  values (depart.organization_id, depart.user_id, depart.left_at)
  on conflict on constraint departures_pkey do update
    set left_at = greatest(d.left_at, excluded.left_at);
  update bulwark.invitations i
  set revoked_at = clock_timestamp()
  where i.organization_id = depart.organization_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.created_at <= depart.left_at
    -- By the account's present address, and by every address at which it was ever invited.
    and i.email in (
      select lower(u.email) from auth.users u where u.id = depart.user_id
      union
      select e.email
      from bulwark_private.invitation_accounts a
      join bulwark.invitations e on e.id = a.invitation_id
      where a.user_id = depart.user_id
    );
end;
$$;
comment on function bulwark_private.depart(uuid, uuid, timestamptz) is
  'Records that an account left an organization, and revokes its earlier invitations there.';

create function bulwark_private.has_departed_since(
  user_id uuid,
  invitation bulwark.invitations
)
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from bulwark_private.departures d
    where d.organization_id = invitation.organization_id
      and d.left_at >= invitation.created_at
      and (
        d.user_id = has_departed_since.user_id
        or d.user_id in (
          select a.user_id from bulwark_private.invitation_accounts a
          where a.invitation_id = invitation.id
        )
      )
  ) or exists (
    -- An expired grant keeps its row until somebody deletes it.
    select from bulwark.user_roles g
    where g.user_id = has_departed_since.user_id
      and g.organization_id = invitation.organization_id
      and g.expires_at between invitation.created_at and now()
  ) and not exists (
    select from bulwark_private.unexpired_grants g
    where g.user_id = has_departed_since.user_id
      and g.organization_id = invitation.organization_id
  );
end;
$$;
comment on function bulwark_private.has_departed_since(uuid, bulwark.invitations) is
  'Whether a user, or another account that had the invited address, left the organization after the
   invitation was created: by removal, deletion of the account, or expiry of the grant.';

create function bulwark_private.user_roles_note_departures()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that revokes may not write invitations
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- a plan kept from small tables would read all grants for each member
  set jit = off
as $$
begin
  perform bulwark_private.depart(c.user_id, c.organization_id, c.left_at)
  from (
    select
      o.user_id, o.organization_id,
      max(least(coalesce(o.expires_at, 'infinity'), clock_timestamp())) as left_at
    from changed o
    group by o.user_id, o.organization_id
  ) c
  -- The organization itself may be in deletion, with its invitations.
  where exists (select from bulwark.organizations o where o.id = c.organization_id)
    and not exists (
      select from bulwark_private.unexpired_grants g
      where g.user_id = c.user_id and g.organization_id = c.organization_id
    );
  return null;
end;
$$;
comment on function bulwark_private.user_roles_note_departures() is
  'Trigger: records departures, so that removed members cannot return by an older invitation.';

create function bulwark_private.note_invited_account()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not read invitations
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a sign-up or a change of address must not wait for long
as $$
begin
  insert into bulwark_private.invitation_accounts (invitation_id, user_id)
  select i.id, new.id
  from bulwark.invitations i
  where i.email = lower(new.email) and i.accepted_at is null and i.revoked_at is null
  on conflict do nothing;
  if tg_op = 'UPDATE' and new.deleted_at is not null and old.deleted_at is null then
    perform bulwark_private.depart(new.id, g.organization_id, clock_timestamp())
    from (
      select distinct g.organization_id
      from bulwark_private.unexpired_grants g
      where g.user_id = new.id and g.organization_id is not null
      order by 1
    ) g;
  end if;
  return null;
exception
  -- An error here must not make a sign-up fail.
  when others then
    raise warning 'Cannot note whom an invitation has reached: %', sqlstate;
    return null;
end;
$$;
comment on function bulwark_private.note_invited_account() is
  'Trigger: records accounts that have an invited address. A soft deletion is a departure.';

create trigger user_roles_note_departures
  after delete on bulwark.user_roles referencing old table as changed
  for each statement execute function bulwark_private.user_roles_note_departures();
create function bulwark_private.watch_invited_accounts()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  create or replace trigger bulwark_invited_account
    after insert or update of email, deleted_at on auth.users
    for each row execute function bulwark_private.note_invited_account();
end;
$$;
comment on function bulwark_private.watch_invited_accounts() is
  'Creates the trigger on auth.users. Called again after a restore, because backups leave it out.';
select bulwark_private.watch_invited_accounts();

insert into bulwark.settings (name, value, description) values
  ('rbac.invitation_retention_days', '90',
    'How long an invitation is kept after it was accepted, was revoked or has expired');

create function bulwark.cleanup_invitations()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because no role of the API writes invitations
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('rbac.invitation_retention_days'))::integer
  );
  v_forgotten bigint;
begin
  -- Rows that somebody has locked are left for the next run.
  delete from bulwark.invitations i
  where i.id in (
    select o.id from bulwark.invitations o
    where least(coalesce(o.accepted_at, o.revoked_at, o.expires_at), o.expires_at) < v_before
    for update skip locked
  );
  get diagnostics v_forgotten = row_count;
  -- No invitation is valid for longer than 90 days.
  delete from bulwark_private.departures d
  where (d.organization_id, d.user_id) in (
    select o.organization_id, o.user_id from bulwark_private.departures o
    where o.left_at < now() - interval '91 days'
    for update skip locked
  );
  return v_forgotten;
end;
$$;
comment on function bulwark.cleanup_invitations() is
  'Deletes invitations, with their addresses, rbac.invitation_retention_days after they ended.
   Returns how many. For the scheduler (service role only).';

insert into bulwark_private.jobs (name, every, command) values
  ('rbac-cleanup', '1 hour', 'select bulwark.cleanup_invitations()');
