-- Functions for bucket stores outside the database. Rules, blocks, lists and violations stay here.
-- Protects against a store that does not know blocks: it asks for them and reports its refusals.
-- SECURITY DEFINER: rate_limit_rule, rate_limit_block_of and record_rate_limit_denial, because not
--   even the service role reads the salt or writes blocks; rate_limit_caller, because no client
--   reads sessions.

create function bulwark.rate_limit_caller()
  returns table (user_id uuid, api_key_id uuid, organization_id uuid)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client reads sessions
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- API keys are charged by the capability api_keys, which replaces this function.
  if bulwark_private.caller_role() <> 'api_key' then
    return query select bulwark.current_person(), null::uuid, null::uuid;
  end if;
end;
$$;
comment on function bulwark.rate_limit_caller() is
  'The caller of this request, for a function that limits it: the user of a live session.';

create function bulwark.rate_limit_rule(
  rule text,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns table (
    capacity integer,
    window_seconds integer,
    identified_by bulwark.rate_limit_subject,
    when_store_fails bulwark.rate_limit_failure,
    scope integer
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because not even the service role reads overrides
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  perform bulwark_private.require_rate_limit_rule(rule);
  return query
    select
      coalesce(o.capacity, r.capacity)::integer,
      coalesce(o.window_seconds, r.window_seconds)::integer, r.identified_by, r.when_store_fails,
      coalesce(o.scope, r.scope)
    from bulwark.rate_limit_rules r
    left join lateral (
      select v.*
      from bulwark.rate_limit_overrides v
      where v.rule = r.name
        and (v.api_key_id = api_key_id or v.organization_id = organization_id)
      order by v.api_key_id nulls last
      limit 1
    ) o on true
    where r.name = rule;
end;
$$;
comment on function bulwark.rate_limit_rule(text, uuid, uuid) is
  'A rule with the override that applies, for a store outside the database (service role only).
   Errors: RATE_LIMIT_UNKNOWN_RULE.';

create function bulwark.rate_limit_block_of(
  rule text,
  user_id uuid default null,
  api_key_id uuid default null,
  address text default null,
  account text default null
)
  returns table (allowed boolean, retry_after_seconds integer)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because blocks are kept under a secret salt
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_address constant text := bulwark_private.client_network(address);
  v_identifiers record;
  v_status record;
begin
  v_identifiers := bulwark_private.rate_limit_identifiers(
    (select r.identified_by from bulwark.rate_limit_rules r where r.name = rule),
    user_id, api_key_id, v_address, left(lower(btrim(account)), 320)
  );
  v_status := bulwark_private.rate_limit_status(
    v_identifiers.kinds, v_identifiers.names, v_address
  );
  allowed := v_status.listed and v_status.blocked_until is null;
  -- greatest() ignores nulls and would return 1.
  retry_after_seconds := case when v_status.blocked_until is not null then
    greatest(1, ceil(date_part('epoch', v_status.blocked_until - clock_timestamp())))
  end;
  return next;
end;
$$;
comment on function bulwark.rate_limit_block_of(text, uuid, uuid, text, text) is
  'For a store outside the database (service role only): whether the address is in an allowed
   network, and for how many more seconds the caller is blocked (null: not blocked).';

create function bulwark.record_rate_limit_denial(
  rule text,
  kinds text[],
  names text[],
  address text default null,
  organization_id uuid default null,
  user_id uuid default null,
  api_key_id uuid default null
)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes blocks
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  perform bulwark_private.require_rate_limit_rule(rule);
  if coalesce(cardinality(kinds), 0) not between 1 and 4
    or cardinality(kinds) is distinct from cardinality(names)
    or not kinds <@ '{address,user,api_key,account,shared}' or array_position(names, null) > 0 then
    raise exception 'Cannot record the refusal: it needs 1 to 4 kinds and as many names'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_IDENTIFIERS';
  end if;
  v_until := bulwark_private.note_denial(
    rule, kinds, names, bulwark_private.client_network(address), organization_id, user_id,
    api_key_id
  );
  return ceil(date_part('epoch', v_until - clock_timestamp()));
end;
$$;
comment on function bulwark.record_rate_limit_denial(
  text, text[], text[], text, uuid, uuid, uuid
) is
  'Counts a refusal by a store outside the database (service role only). Returns for how many
   seconds it blocks the caller, or null. Errors: RATE_LIMIT_UNKNOWN_RULE,
   RATE_LIMIT_INVALID_IDENTIFIERS.';
