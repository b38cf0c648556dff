-- Rate limits, cleanup: removes full buckets, and old blocks and violations.
-- Protects against a table that grows with every address. Removing a full bucket changes no
-- decision.
-- SECURITY DEFINER: cleanup_old_rate_limits, because not even the service role touches buckets.

insert into bulwark.settings (name, value, description) values
  ('rate_limits.keep_minutes', '60', 'Minutes for which a full bucket is kept'),
  ('rate_limits.maximum_buckets', '1000000',
    'Above this number full buckets are removed at once'),
  ('rate_limits.violation_days', '90',
    'Days after which violations and ended blocks are removed'),
  ('rate_limits.network_days', '180',
    'Days after which known networks and places of sign-ins are removed');

create function bulwark.cleanup_old_rate_limits()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch bigint;
  v_before bigint;
  v_days integer := (bulwark_private.setting('rate_limits.violation_days'))::integer;
  v_deleted bigint := 0;
  v_known constant interval := make_interval(
    days => (bulwark_private.setting('rate_limits.network_days'))::integer
  );
  v_keep interval := make_interval(
    mins => (bulwark_private.setting('rate_limits.keep_minutes'))::integer
  );
begin
  if (
    -- A bucket takes 120 bytes, free space included.
    select pg_relation_size(c.oid) / 120
    from pg_catalog.pg_class c where c.oid = 'bulwark_private.rate_limits'::regclass
  ) > (bulwark_private.setting('rate_limits.maximum_buckets'))::bigint then
    v_keep := '0';
  end if;
  v_before := date_part('epoch', clock_timestamp() - v_keep) * 1000000;
  -- Locked rows are left for the next run.
  loop
    delete from bulwark_private.rate_limits b
    where b.ctid = any (array(
      select o.ctid
      from bulwark_private.rate_limits o
      where o.full_at < v_before
      limit 50000
      for update skip locked
    ));
    get diagnostics v_batch = row_count;
    v_deleted := v_deleted + v_batch;
    exit when v_batch < 50000;
  end loop;
  delete from bulwark_private.rate_limit_violations v
  where v.ctid = any (array(
    select o.ctid from bulwark_private.rate_limit_violations o
    where o.occurred_at < now() - make_interval(days => v_days)
    for update skip locked
  ));
  delete from bulwark.rate_limit_blocks b
  where b.ctid = any (array(
    select o.ctid from bulwark.rate_limit_blocks o
    where o.expires_at < now() - make_interval(days => v_days)
    for update skip locked
  ));
  delete from bulwark.rate_limit_networks n
  where n.ctid = any (array(
    select o.ctid from bulwark.rate_limit_networks o
    where o.expires_at < now()
    for update skip locked
  ));
  delete from bulwark_private.known_networks k
  where k.ctid = any (array(
    select o.ctid from bulwark_private.known_networks o
    where o.last_seen_at < now() - v_known
    for update skip locked
  ));
  delete from bulwark_private.sign_in_places p
  where p.ctid = any (array(
    select o.ctid from bulwark_private.sign_in_places o
    where o.seen_at < now() - v_known
    for update skip locked
  ));
  return v_deleted;
end;
$$;
comment on function bulwark.cleanup_old_rate_limits() is
  'Removes buckets that have been full for rate_limits.keep_minutes (at once if there are more than
   rate_limits.maximum_buckets), and expired violations, blocks, listed networks, known networks and
   places. Returns the number of removed buckets.';

insert into bulwark_private.jobs (name, every, command) values
  ('rate-limits-cleanup', '1 minute', 'select bulwark.cleanup_old_rate_limits()');
