-- MFA locks: one account's attempts, factors and devices are decided one after the other.
-- Protects against two that wait for each other, also where the account is being deleted, and
-- against bursts that pass a limit together.
-- No function here is SECURITY DEFINER.

create function bulwark_private.lock_mfa_account(user_id uuid)
  returns bulwark_private.mfa_accounts
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
begin
  -- The account before what belongs to it, as its deletion locks them.
  perform from auth.users u where u.id = lock_mfa_account.user_id for key share;
  if not found then
    return null;
  end if;
  insert into bulwark_private.mfa_accounts (user_id) values (lock_mfa_account.user_id)
  on conflict do nothing;
  select * into v_account
  from bulwark_private.mfa_accounts a
  where a.user_id = lock_mfa_account.user_id
  for update;
  return v_account;
end;
$$;
comment on function bulwark_private.lock_mfa_account(uuid) is
  'Until commit nothing else is decided about the account''s attempts, factors and devices, and it
   is not deleted. Null where it is gone.';

create function bulwark_private.lock_own_mfa_account()
  returns bulwark_private.mfa_accounts
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_account bulwark_private.mfa_accounts;
begin
  perform bulwark_private.hold_session();
  v_account := bulwark_private.lock_mfa_account(bulwark.current_person());
  if v_account.user_id is null then
    perform bulwark_private.require_user();
  end if;
  return v_account;
end;
$$;
comment on function bulwark_private.lock_own_mfa_account() is
  'bulwark_private.lock_mfa_account for the caller, whose session does not end either. Raises what
   bulwark_private.require_user raises where it has.';

create function bulwark_private.forget_old_attempts(user_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Nobody has twenty prompts open: of those who ask without end the oldest make room, first those
  -- that were not admitted, which are worth nothing.
  delete from bulwark_private.mfa_attempts a
  where a.user_id = forget_old_attempts.user_id
    and (
      a.created_at < clock_timestamp() - interval '2 minutes'
      or a.id in (
        select o.id from bulwark_private.mfa_attempts o
        where o.user_id = forget_old_attempts.user_id
        order by o.admitted desc, o.created_at desc, o.id
        offset 19
      )
    );
end;
$$;
comment on function bulwark_private.forget_old_attempts(uuid) is
  'Makes room for one more attempt or ticket of an account whose row is locked: those of two minutes
   ago go, and of more than 19 the oldest.';
