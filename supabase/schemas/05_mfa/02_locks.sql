-- MFA locks: operations on one account's attempts, factors and devices are serialized.
-- Protects against deadlocks, also with the deletion of the account, and against concurrent
-- requests that exceed a limit.
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
  -- The account before its dependent rows, in the order of its deletion.
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
  'Locks an account''s attempts, factors and devices, and its deletion, until commit. Null if the
   account is deleted.';

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
  'bulwark_private.lock_mfa_account for the caller; a sign-out waits too. Raises the errors of
   bulwark_private.require_user if the session has ended.';

create function bulwark_private.forget_old_attempts(user_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The limit of 20 bounds the table. Attempts that were not admitted go first, then the oldest.
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
  'Makes room for one more attempt or ticket of a locked account: deletes those older than two
   minutes, and the oldest of more than 19.';
