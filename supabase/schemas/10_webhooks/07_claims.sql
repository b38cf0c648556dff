-- Webhooks claims: how workers share the outbox.
-- Protects against losing a delivery with its worker (the claim expires, and another worker
-- delivers it under the same id), against two workers making the same attempt, and against an
-- account that occupies the workers: accounts, their organizations and their endpoints get equal
-- shares, and unproven endpoints get one attempt at a time, after the others.
-- SECURITY DEFINER: claim_webhook_deliveries, because the service role writes no table.

create function bulwark.claim_webhook_deliveries(
  worker text,
  maximum integer default 100,
  lease_seconds integer default 60,
  only_delivery uuid default null,
  busy_endpoints uuid[] default '{}',
  busy_accounts uuid[] default '{}',
  maximum_unproven integer default null
)
  returns json
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off       -- a plan made for an empty queue is kept for a full one
  set jit = off
as $$
declare
  v_claimed json;
  v_lapsed uuid[];
  v_now constant timestamptz := clock_timestamp();
  v_picked uuid[] := array[]::uuid[];
  v_account uuid;
  v_account_left integer := 0;
  v_left integer := 0;
  v_organization uuid;
  v_organization_left integer := 0;
  v_proven boolean;
  v_share integer;
  v_some uuid[];
  v_turn record;
begin
  if worker is null or worker !~ '^[\w.:-]{1,64}$' or maximum not between 1 and 1000
    or lease_seconds not between 5 and 3600 then
    raise exception 'Cannot claim deliveries: worker, maximum or lease are out of range'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_CLAIM';
  end if;
  if only_delivery is not null then
    v_picked := array(
      select d.id from bulwark.webhook_deliveries d
      where d.id = only_delivery and d.status = 'pending' and d.due_at <= v_now
        and (d.source <> 'invitation' or bulwark_private.hold_invitation(d.event_id))
      for update skip locked
    );
  else
    for v_turn in
      select *
      from bulwark_private.take_webhook_turns(
        coalesce(busy_endpoints, '{}'), coalesce(busy_accounts, '{}')
      )
    loop
      -- Unused shares go to the next accounts; the same within an account.
      if v_turn.proven is distinct from v_proven then
        v_left := maximum - cardinality(v_picked);
        if not v_turn.proven then
          v_left := least(v_left, coalesce(maximum_unproven, maximum));
        end if;
        v_account := null;
      end if;
      if v_turn.account_id is distinct from v_account then
        v_account_left := ceil(v_left::numeric / v_turn.accounts);
        v_organization_left := ceil(v_account_left::numeric / v_turn.organizations);
      elsif v_turn.organization_id is distinct from v_organization then
        v_organization_left := ceil(v_account_left::numeric / v_turn.organizations);
      end if;
      v_proven := v_turn.proven;
      v_account := v_turn.account_id;
      v_organization := v_turn.organization_id;
      v_share := ceil(v_organization_left::numeric / v_turn.endpoints);
      if not v_proven then
        v_share := least(v_share, 1);
      end if;
      continue when v_share <= 0;
      v_some := bulwark_private.pick_webhooks(v_turn.endpoint_id, v_share);
      if v_turn.in_order and cardinality(v_some) < v_share then
        v_some := v_some || bulwark_private.pick_webhooks_in_order(
          v_turn.endpoint_id, v_share - cardinality(v_some)
        );
      end if;
      if v_proven or v_some <> '{}' and bulwark_private.hold_webhook_endpoint(
        v_turn.endpoint_id, clock_timestamp() + make_interval(secs => lease_seconds)
      ) then
        v_picked := v_picked || v_some;
        v_left := v_left - cardinality(v_some);
        v_account_left := v_account_left - cardinality(v_some);
        v_organization_left := v_organization_left - cardinality(v_some);
      end if;
    end loop;
  end if;
  if v_picked = '{}' then
    return json_build_object('deliveries', '[]'::json, 'endpoints', '[]'::json);
  end if;
  -- The claim expired: its worker never reported a result.
  v_lapsed := array(
    select d.id from bulwark.webhook_deliveries d
    where d.id = any (v_picked) and d.attempt_id is not null
  );
  if v_lapsed <> '{}' then
    insert into bulwark.webhook_attempts (id, delivery_id, number, outcome, worker, started_at)
    select d.attempt_id, d.id, d.attempts, 'lost', d.claimed_by, d.claimed_at
    from bulwark.webhook_deliveries d
    where d.id = any (v_lapsed);
    update bulwark.webhook_deliveries d
    set status = 'dead', finished_at = v_now, attempt_id = null
    where d.id = any (v_lapsed)
      and d.attempts - d.attempts_before
        >= (bulwark_private.setting('webhooks.maximum_attempts'))::integer;
  end if;
  with claimed as (
    update bulwark.webhook_deliveries d
    set attempt_id = gen_random_uuid(),
      attempts = d.attempts + 1,
      claimed_by = worker,
      claimed_at = clock_timestamp(),
      due_at = clock_timestamp() + make_interval(secs => lease_seconds)
    where d.id = any (v_picked) and d.status = 'pending'
    returning d.id, d.sequence, d.endpoint_id, d.attempt_id, d.attempts, d.ordering_key, d.source,
      d.event_id
  )
  select json_build_object(
    'deliveries', (
      select coalesce(
        json_agg(
          json_build_object(
            'id', c.id,
            'attempt_id', c.attempt_id,
            'attempt', c.attempts,
            'endpoint_id', c.endpoint_id,
            'ordering_key', c.ordering_key,
            'body', case
              when c.source = 'invitation'
              then bulwark_private.invitation_message(c.event_id)
              else b.body
            end
          )
          order by c.sequence
        ),
        '[]'
      )
      from claimed c
      join bulwark_private.webhook_bodies b on b.delivery_id = c.id
    ),
    'endpoints', (
      select coalesce(json_agg(m.material), '[]')
      from bulwark_private.webhook_material m
      where m.endpoint_id in (select c.endpoint_id from claimed c)
    )
  )
  into v_claimed;
  return v_claimed;
end;
$$;
comment on function bulwark.claim_webhook_deliveries(
  text, integer, integer, uuid, uuid[], uuid[], integer
) is
  'Claims up to maximum due deliveries for a worker until the lease ends. Returns them with the
   encrypted addresses and secrets of their endpoints (service role only). Accounts, their
   organizations and their endpoints get equal shares. Unproven endpoints come last, with one
   delivery each and at most maximum_unproven in total. busy_endpoints and busy_accounts get none.
   only_delivery claims that delivery alone, also of a disabled endpoint. Errors:
   WEBHOOK_INVALID_CLAIM.';
