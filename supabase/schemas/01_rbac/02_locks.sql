-- Locks: the one order in which every function takes them.
-- Protects against two functions that wait for each other, against a change that never gets its
-- turn because others keep sharing the lock, and against acting on a right that is just being
-- taken.
-- SECURITY DEFINER: the trigger function, because Supabase Auth deletes accounts.
--
-- The order:
--   1. Rights (bulwark_private.lock_rights): first those of the installation, then those of
--   organizations,
--      by id. Whoever acts on a right shares the lock; whoever changes rights holds it alone.
--   2. The caller's session (bulwark_private.hold_session), so that a sign-out waits.
--   3. A count (bulwark_private.lock_count) that an insertion must not take past its limit.
--   4. Rows: an organization or an account before what belongs to it, what is shared before what is
--      one's own. Whoever cleans up waits for nobody's row.
--   5. What one table or log queues on itself (data keys, security events, seals): whoever holds
--      such a lock takes none of the above any more.
-- A right is decided twice: before the locks, so that strangers neither wait nor make others wait,
-- and behind them, because it may have gone meanwhile.

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
  -- Advisory locks are granted in the order in which they were asked for. On a row, ten who share
  -- it in turn would keep a writer waiting for ever.
  if organization_id is null and exclusively then
    perform pg_advisory_xact_lock(v_everywhere);
  else
    -- The caller's right may come from a system-wide role: that must not change meanwhile either.
    perform pg_advisory_xact_lock_shared(v_everywhere);
  end if;
  if organization_id is not null then
    if exclusively then
      perform pg_advisory_xact_lock(v_here);
    else
      perform pg_advisory_xact_lock_shared(v_here);
    end if;
  end if;
  -- Under REPEATABLE READ the transaction keeps its old picture of the rights. If they have changed
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
  'Until commit the rights in an organization (null: system-wide ones) stay as they are;
   exclusively: nobody acts on them or changes them but the caller. Take those of several
   organizations in the order of their ids.';

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
  'Lets insertions that are counted happen one after the other, so that many at once do not pass a
   limit together. Count after it, insert before commit.';

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
  'Trigger: an account takes grants in any number of organizations along. Before its row is locked
   the deletion waits for everybody who acts on rights.';

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
  'Makes the trigger on auth.users, which a backup leaves out.';

select bulwark_private.watch_account_deletion();
