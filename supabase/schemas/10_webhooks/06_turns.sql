-- Webhooks turns: which deliveries the next claim takes.
-- Protects the order of deliveries where it was requested. Protects against an account,
-- organization, endpoint or ordering key that occupies the workers: each gets its share, and a
-- hanging endpoint gets one attempt at a time and pauses. The cost of a claim depends only on the
-- number of endpoints with pending deliveries.
-- No function here is SECURITY DEFINER: claim_webhook_deliveries calls them.

create function bulwark_private.take_webhook_turns(busy_endpoints uuid[], busy_accounts uuid[])
  returns table (
    endpoint_id uuid,
    organization_id uuid,
    account_id uuid,
    in_order boolean,
    proven boolean,
    accounts bigint,
    organizations bigint,
    endpoints bigint
  )
  language plpgsql
  volatile
  rows 10
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_seed constant bigint := (random() * 1e15)::bigint;
begin
  return query
    -- A loose index scan over endpoints with pending deliveries; others cost nothing.
    with recursive loose (endpoint_id) as (
      (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from loose b
      cross join lateral (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    ),
    ordered (endpoint_id) as (
      (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null
        order by d.endpoint_id
        limit 1
      )
      union all
      select n.endpoint_id
      from ordered b
      cross join lateral (
        select d.endpoint_id from bulwark.webhook_deliveries d
        where d.status = 'pending' and d.ordering_key is not null and d.endpoint_id > b.endpoint_id
        order by d.endpoint_id
        limit 1
      ) n
    ),
    waiting as (
      select
        e.id as endpoint_id,
        e.organization_id,
        t.account_id,
        bool_or(w.in_order) as in_order,
        h.proven,
        -- Random order, new for each claim.
        uuid_hash_extended(t.account_id, v_seed) as account_place,
        uuid_hash_extended(e.organization_id, v_seed) as organization_place,
        uuid_hash_extended(e.id, v_seed) as endpoint_place
      from (
        select o.endpoint_id, true as in_order from ordered o
        union all
        select l.endpoint_id, false from loose l
        -- The first row of the index. "exists" may scan the whole table.
        where (
          select d.due_at from bulwark.webhook_deliveries d
          where d.endpoint_id = l.endpoint_id and d.status = 'pending' and d.ordering_key is null
          order by d.due_at
          limit 1
        ) <= clock_timestamp()
      ) w
      join bulwark.webhook_endpoints e on e.id = w.endpoint_id and e.disabled_at is null
      join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id
      join bulwark_private.webhook_turns t on t.endpoint_id = e.id
      where e.id <> all (busy_endpoints)
        and t.account_id <> all (busy_accounts)
        and (h.proven or (t.held_until > clock_timestamp()) is not true)
      group by e.id, t.account_id, h.proven
    )
    select
      w.endpoint_id, w.organization_id, w.account_id, w.in_order, w.proven,
      dense_rank() over (partition by w.proven order by w.account_place desc),
      dense_rank() over (
        partition by w.proven, w.account_place order by w.organization_place desc
      ),
      row_number() over (
        partition by w.proven, w.account_place, w.organization_place order by w.endpoint_place desc
      )
    from waiting w
    order by w.proven desc, w.account_place, w.organization_place, w.endpoint_place;
end;
$$;
comment on function bulwark_private.take_webhook_turns(uuid[], uuid[]) is
  'The endpoints with pending deliveries that are not busy and, if unproven, not held, in random
   order by account, then organization, proven ones first. Also returns how many accounts,
   organizations of the account and endpoints of the organization follow.';

create function bulwark_private.hold_webhook_endpoint(endpoint_id uuid, until timestamptz)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Somebody who changes or deletes the endpoint holds its row. The update below would wait for it:
  -- a row that this transaction has updated before is checked against its foreign key again.
  perform from bulwark.webhook_endpoints e where e.id = hold_webhook_endpoint.endpoint_id
  for key share skip locked;
  if not found then
    return false;
  end if;
  update bulwark_private.webhook_turns t set held_until = until
  where t.endpoint_id = (
    select f.endpoint_id
    from bulwark_private.webhook_turns f
    where f.endpoint_id = hold_webhook_endpoint.endpoint_id
      and (f.held_until > clock_timestamp()) is not true
    -- A locked row means that another claim takes the endpoint right now.
    for update skip locked
  );
  return found;
end;
$$;
comment on function bulwark_private.hold_webhook_endpoint(uuid, timestamptz) is
  'Reserves the only attempt of an unproven endpoint until its result arrives or its claim expires.
   False if it is taken, or somebody is changing the endpoint.';

create function bulwark_private.webhook_pause(timeouts bigint)
  returns interval
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select make_interval(secs => least(60, power(2, least(timeouts, 16) - 1)))
  where timeouts > 0;
$$;
comment on function bulwark_private.webhook_pause(bigint) is
  'The pause of an endpoint after this many consecutive timeouts: 1, 2, 4, … up to 60 seconds; null
   for none.';

create function bulwark_private.end_webhook_attempts(endpoint_ids uuid[])
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
  update bulwark_private.webhook_turns t
  set held_until = clock_timestamp() + bulwark_private.webhook_pause(h.consecutive_timeouts)
  from bulwark.webhook_endpoint_health h
  where h.endpoint_id = t.endpoint_id
    and t.endpoint_id in (
      select f.endpoint_id
      from bulwark_private.webhook_turns f
      join bulwark.webhook_endpoint_health h on h.endpoint_id = f.endpoint_id
      where f.endpoint_id = any (endpoint_ids)
        and (f.held_until is not null or h.consecutive_timeouts > 0)
      -- Skips locked rows: a claim that holds one may wait for a lock of the caller.
      for update of f skip locked
    );
$$;
comment on function bulwark_private.end_webhook_attempts(uuid[]) is
  'Ends the attempts of unproven endpoints, so that the next one may start; after a timeout with a
   pause.';

create function bulwark_private.hold_invitation(invitation_id uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from bulwark.invitations i where i.id = hold_invitation.invitation_id
  for key share skip locked;
  if not found then
    return not exists (
      select from bulwark.invitations i where i.id = hold_invitation.invitation_id
    );
  end if;
  -- The claim replaces the token, which somebody may be looking at.
  perform from bulwark_private.invitation_tokens t
  where t.invitation_id = hold_invitation.invitation_id
  for update skip locked;
  return found or not exists (
    select from bulwark_private.invitation_tokens t
    where t.invitation_id = hold_invitation.invitation_id
  );
end;
$$;
comment on function bulwark_private.hold_invitation(uuid) is
  'Keeps an invitation and its token from being changed until commit; true also if it is gone. False
   if another transaction deletes it or looks at the token.';

create function bulwark_private.pick_webhooks(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  return array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.endpoint_id = pick_webhooks.endpoint_id
      and d.status = 'pending'
      and d.ordering_key is null
      and d.due_at <= clock_timestamp()
      and (d.source <> 'invitation' or bulwark_private.hold_invitation(d.event_id))
    order by d.due_at
    limit maximum
    for update skip locked
  );
end;
$$;
comment on function bulwark_private.pick_webhooks(uuid, integer) is
  'Locks due deliveries of an endpoint without order, but for messages to invitees whose invitation
   is being deleted.';

create function bulwark_private.pick_webhooks_in_order(endpoint_id uuid, maximum integer)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  c_endless constant bigint := 9223372036854775807;
  -- Bounds the cost of a claim when many keys wait.
  c_looks constant integer := 250;
  v_free text[] := array[]::text[];
  v_from text;
  v_key record;
  v_locked uuid[];
  v_looks integer := 0;
  v_now timestamptz;
  v_run uuid[];
begin
  -- One claim at a time. The lock is followed by a new snapshot, which sees the previous claim.
  if not pg_try_advisory_xact_lock(hashtextextended('bulwark.webhooks/' || endpoint_id, 0)) then
    return array[]::uuid[];
  end if;
  v_now := clock_timestamp();
  select t.ordering_key into v_from
  from bulwark_private.webhook_turns t where t.endpoint_id = pick_webhooks_in_order.endpoint_id;
  for v_key in
    -- Continues after the last key served, then wraps around.
    with recursive behind (name, due_at) as (
      (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (v_from, c_endless)
        order by d.ordering_key, d.sequence
        limit 1
      )
      union all
      select n.*
      from behind b
      cross join lateral (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (b.name, c_endless)
        order by d.ordering_key, d.sequence
        limit 1
      ) n
    ),
    before (name, due_at) as (
      (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and d.ordering_key <= v_from
        order by d.ordering_key, d.sequence
        limit 1
      )
      union all
      select n.*
      from before b
      cross join lateral (
        select d.ordering_key, d.due_at from bulwark.webhook_deliveries d
        where d.endpoint_id = pick_webhooks_in_order.endpoint_id
          and d.status = 'pending' and d.ordering_key is not null
          and (d.ordering_key, d.sequence) > (b.name, c_endless) and d.ordering_key <= v_from
        order by d.ordering_key, d.sequence
        limit 1
      ) n
    )
    select b.* from behind b union all select b.* from before b
  loop
    v_looks := v_looks + 1;
    -- A delivery in progress or waiting for a retry blocks the later ones of its key.
    if v_key.due_at <= v_now and not exists (
      select from bulwark.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key = v_key.name and d.attempts > 0
        and d.due_at > v_now
    ) then
      v_free := v_free || v_key.name;
    end if;
    exit when v_looks >= c_looks or cardinality(v_free) >= maximum;
  end loop;
  if v_looks >= c_looks or v_free <> '{}' then
    update bulwark_private.webhook_turns t set ordering_key = v_key.name
    where t.endpoint_id = (
      select f.endpoint_id
      from bulwark_private.webhook_turns f
      where f.endpoint_id = pick_webhooks_in_order.endpoint_id and f.ordering_key <> v_key.name
      for update skip locked
    );
  end if;
  if v_free = '{}' then
    return array[]::uuid[];
  end if;
  -- Takes consecutive deliveries of each key, from its first.
  v_run := array(
    select r.id
    from unnest(v_free) as f (name)
    cross join lateral (
      select d.id
      from bulwark.webhook_deliveries d
      where d.endpoint_id = pick_webhooks_in_order.endpoint_id
        and d.status = 'pending' and d.ordering_key is not null and d.ordering_key = f.name
      order by d.sequence
      limit maximum / cardinality(v_free)
    ) r
  );
  v_locked := array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.id = any (v_run) and d.status = 'pending' and d.due_at <= v_now
    for update skip locked
  );
  -- A locked delivery is being completed late, so the later ones of its key wait.
  return case when cardinality(v_locked) = cardinality(v_run) then v_run else array(
    select d.id
    from bulwark.webhook_deliveries d
    where d.id = any (v_locked) and not exists (
      select from bulwark.webhook_deliveries b
      where b.id = any (v_run) and b.id <> all (v_locked)
        and b.ordering_key = d.ordering_key and b.sequence < d.sequence
    )
  ) end;
end;
$$;
comment on function bulwark_private.pick_webhooks_in_order(uuid, integer) is
  'Locks due deliveries of an endpoint in order. Skips keys with a delivery in progress or waiting
   for a retry, and takes consecutive deliveries of the other keys in turn.';
