-- Rate limits, batches: concurrent calls of users, decided in one statement.
-- Protects the database from one query a call by a busy function. A batch only admits: refusals,
-- overrides and other callers are left to check_rate_limit. Buckets are locked in order of their
-- ids, so that batches never deadlock. A locked bucket is skipped: a user's slow write to the Data
-- API holds it until it ends, and must not delay the other calls of the batch.
-- SECURITY DEFINER: check_rate_limits, because not even the service role touches buckets.

create function bulwark.check_rate_limits(rules text[], user_ids uuid[], addresses text[])
  returns setof bulwark.rate_limit_decision
  language plpgsql
  volatile
  rows 20
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
  set lock_timeout = '1s'
as $$
declare
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
begin
  if cardinality(rules) not between 1 and 100 or array_ndims(rules) <> 1
    or cardinality(user_ids) is distinct from cardinality(rules)
    or cardinality(addresses) is distinct from cardinality(rules) then
    raise exception 'Cannot limit: a batch has 1 to 100 rules and as many users and addresses'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_CALLS';
  end if;
  return query
    with asked as materialized (
      select
        c.place, r.name as rule, c.user_id, r.scope, r.capacity, r.window_seconds, r.emission_us,
        r.tolerance_us, r.when_store_fails
      from unnest(rules, user_ids, addresses) with ordinality as c (rule, user_id, address, place)
      join bulwark.rate_limit_rules r
        on r.name = c.rule and r.identified_by <> 'address_and_account'
      where c.user_id is not null
        and (
          c.address is null
          or (
            bulwark_private.rate_limit_status(
              '{user}', array[c.user_id::text], bulwark_private.client_network(c.address)
            )
          ).blocked_until is null
        )
    ),
    wanted as materialized (
      -- All calls on one bucket are admitted, or none of them here.
      select
        a.rule, a.user_id, a.scope, a.emission_us, a.tolerance_us, a.capacity, a.window_seconds,
        a.when_store_fails, count(*) as calls
      from asked a
      group by
        a.rule, a.user_id, a.scope, a.emission_us, a.tolerance_us, a.capacity, a.window_seconds,
        a.when_store_fails
      having count(*) <= a.capacity
    ),
    free as materialized (
      select f.id, f.scope
      from wanted w
      cross join lateral (
        select b.id, b.scope
        from bulwark_private.rate_limits b
        where b.id = w.user_id and b.scope = w.scope
        for update skip locked
      ) f
    ),
    charged as (
      insert into bulwark_private.rate_limits as b (
        id, scope, full_at, limit_at, emission_us, capacity, window_seconds, when_store_fails
      )
      select
        w.user_id, w.scope, v_present + w.emission_us * w.calls,
        v_present + w.tolerance_us - w.emission_us * (w.calls - 1), w.emission_us,
        w.capacity::integer, w.window_seconds::integer, w.when_store_fails
      from wanted w
      left join free f on f.id = w.user_id and f.scope = w.scope
      -- A new bucket may have been created by an uncommitted transaction: see check_rate_limit.
      where f.id is not null or (
        not exists (
          select from bulwark_private.rate_limits b where b.id = w.user_id and b.scope = w.scope
        )
        and pg_try_advisory_xact_lock_shared(hashtext(w.rule), hashtext(w.user_id::text))
      )
      order by w.user_id, w.scope
      on conflict (id, scope) do update set
        full_at = greatest(b.full_at, v_present) + (excluded.full_at - v_present),
        limit_at = excluded.limit_at, emission_us = excluded.emission_us,
        capacity = excluded.capacity, window_seconds = excluded.window_seconds,
        when_store_fails = excluded.when_store_fails
        where b.full_at <= excluded.limit_at
      returning b.id, b.scope, b.full_at
    )
    select
      c.id is not null, null::text, a.rule, a.capacity::integer, a.window_seconds::integer,
      ((v_present + a.tolerance_us + a.emission_us - c.full_at) / a.emission_us)::integer,
      ((c.full_at - v_present + 999999) / 1000000)::integer, null::integer, a.when_store_fails,
      (c.id is not null)::integer
    from generate_series(1, cardinality(rules)) as n (place)
    left join asked a on a.place = n.place
    left join charged c on c.id = a.user_id and c.scope = a.scope
    order by n.place;
end;
$$;
comment on function bulwark.check_rate_limits(text[], uuid[], text[]) is
  'Admits a batch of up to 100 calls of users (service role only), one token each and without
   overrides, in their order. Calls with allowed = false were neither charged nor counted: pass them
   to check_rate_limit, which decides them. remaining is what all calls of the batch leave.
   Errors: RATE_LIMIT_INVALID_CALLS.';
