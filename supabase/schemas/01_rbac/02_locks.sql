-- Locks: the one order in which every function takes them.
-- Protects against deadlocks, against a change that waits for ever because others keep sharing the
-- lock, and against acting on a right that is just being revoked.
-- SECURITY DEFINER: the trigger function, because Supabase Auth deletes accounts.
--
-- The order:
--   1. Rights (bulwark_private.lock_rights): first those of the installation, then those of
--      organizations, by id. Acting on a right shares the lock, changing rights needs it alone.
--   2. The caller's session (bulwark_private.hold_session), so that a sign-out waits.
--   3. A count (bulwark_private.lock_count) that an insertion must not take past its limit.
--   4. Rows: an organization or an account before its dependents, shared rows before one's own.
--      Clean-up jobs and the workers of webhooks skip locked rows, because a person's transaction
--      holds several of them in an order of its own.
--   5. Queues of one table or log (data keys, security events, seals). A function that holds such a
--      lock takes no other lock of this list.
-- A right is checked twice: before the locks, so that strangers neither wait nor make others wait,
-- and after them, because it may have been revoked meanwhile.

create function bulwark_private.holds_all_rights()
  returns boolean
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- No setting, because callers can set those.
  return exists (
    select from bulwark_private.permission_versions v
    where v.organization_id is null and v.xmin = pg_current_xact_id_if_assigned()::xid
  );
end;
$$;
comment on function bulwark_private.holds_all_rights() is
  'Whether this transaction has locked the rights of the installation alone: it then wrote this row.
   After a subtransaction that did, the answer is no.';

create function bulwark_private.lock_rights(organization_id uuid, exclusively boolean default false)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_everywhere constant bigint := hashtextextended('bulwark.rights', 0);
  v_here constant bigint := hashtextextended('bulwark.rights/' || organization_id, 0);
begin
  -- Advisory locks are granted in the order of the requests. With row locks, a series of shared
  -- locks could keep a writer waiting for ever.
  if organization_id is null and exclusively then
    perform pg_advisory_xact_lock(v_everywhere);
    -- The mark of holds_all_rights, which ends with the transaction, like the lock.
    update bulwark_private.permission_versions v set version = v.version
    where v.organization_id is null;
  else
    -- The caller's right may come from a system-wide role, which must not change either.
    perform pg_advisory_xact_lock_shared(v_everywhere);
  end if;
  -- Who holds all rights needs no further locks: tens of thousands would not fit into the table of
  -- locks.
  if organization_id is not null and not bulwark_private.holds_all_rights() then
    if exclusively then
      perform pg_advisory_xact_lock(v_here);
    else
      perform pg_advisory_xact_lock_shared(v_here);
    end if;
  end if;
  -- Under REPEATABLE READ the transaction reads from an old snapshot. If the rights have changed
  -- since, it fails here with 40001.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform from bulwark_private.permission_versions v where v.organization_id is null for share;
    perform from bulwark_private.permission_versions v
    where v.organization_id = lock_rights.organization_id
    for share;
  end if;
end;
$$;
comment on function bulwark_private.lock_rights(uuid, boolean) is
  'Locks the rights in an organization (null: system-wide ones) against changes until commit.
   exclusively: also against others acting on them. Lock several organizations in the order of their
   ids.';

create function bulwark_private.lock_rights_of_many(organizations bigint)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organizations > 1000 then
    perform bulwark_private.lock_rights(null, exclusively => true);
  end if;
end;
$$;
comment on function bulwark_private.lock_rights_of_many(bigint) is
  'Call it before locking a number of organizations alone: for many, one lock of all is taken.';

create function bulwark_private.lock_count(what text, whose text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(
    hashtextextended(concat_ws('/', 'bulwark.count', what, whose), 0)
  );
end;
$$;
comment on function bulwark_private.lock_count(text, text) is
  'Serializes counted insertions, so that concurrent ones do not exceed a limit. Count after it,
   insert before commit.';

create function bulwark_private.lock_account_deletion()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth deletes accounts
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.lock_rights(null, exclusively => true);
  return null;
end;
$$;
comment on function bulwark_private.lock_account_deletion() is
  'Trigger: deleting an account deletes grants in any number of organizations. So before its row is
   locked, the deletion waits for everybody who acts on rights.';

create function bulwark_private.watch_account_deletion()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  create or replace trigger bulwark_rights_lock
    before delete on auth.users
    for each statement execute function bulwark_private.lock_account_deletion();
end;
$$;
comment on function bulwark_private.watch_account_deletion() is
  'Creates the trigger on auth.users. Called again after a restore, because backups leave it out.';

select bulwark_private.watch_account_deletion();
