-- Rate limits: rules and token buckets. A bucket refills continuously and is stored as the time at
-- which it is full again (the theoretical arrival time of the generic cell rate algorithm). A call
-- adds its cost to that time; it is refused if the time would exceed a whole refill from now.
-- Protects against concurrent callers (one statement decides under the row's lock, on the
-- database's clock), against clocks that jump back, and against readers of the buckets: addresses
-- and accounts are hashed with a salt of this installation.
-- SECURITY DEFINER: set_rate_limit, clear_rate_limit, because no client writes rules.

create type bulwark.rate_limit_subject as enum ('caller', 'user_or_key', 'address_and_account');
comment on type bulwark.rate_limit_subject is
  'Which bucket a call is charged to: caller is the user''s, else the API key''s, else the
   address''s; user_or_key the user''s or API key''s; address_and_account both the address''s and
   the account''s.';
create type bulwark.rate_limit_failure as enum ('open', 'closed');
comment on type bulwark.rate_limit_failure is
  'Whether a call that cannot be decided is admitted (open) or refused (closed).';

-- One sequence for rules and overrides: each has its own buckets.
create sequence bulwark_private.rate_limit_scopes as integer;

create table bulwark.rate_limit_rules (
  name text primary key,
  capacity bigint not null,
  window_seconds bigint not null,
  identified_by bulwark.rate_limit_subject not null,
  when_store_fails bulwark.rate_limit_failure not null,
  raises text references bulwark.security_event_types (name),
  description text not null,
  -- squawk-ignore prefer-bigint-over-int
  scope integer not null default nextval('bulwark_private.rate_limit_scopes') unique,
  -- Rounded up to the microsecond, so that the rule is never exceeded.
  emission_us bigint not null
    generated always as ((window_seconds * 1000000 + capacity - 1) / capacity) stored,
  tolerance_us bigint not null generated always as (
    (window_seconds * 1000000 + capacity - 1) / capacity * (capacity - 1)
  ) stored,
  constraint rate_limit_rules_name_format check (name ~ '^[a-z][a-z0-9_]{2,62}$'),
  constraint rate_limit_rules_capacity check (capacity between 1 and 1000000),
  constraint rate_limit_rules_window check (window_seconds between 1 and 2678400)
);
comment on table bulwark.rate_limit_rules is
  'Token buckets: capacity calls at once, refilled evenly over the window. Applications may add
   rows.';
comment on column bulwark.rate_limit_rules.raises is
  'Type of the security event that a refusal under this rule raises; null: none.';
comment on column bulwark.rate_limit_rules.scope is
  'Id of the buckets of this rule; overrides have other ids.';
comment on column bulwark.rate_limit_rules.emission_us is
  'Microseconds in which one token is refilled.';
comment on column bulwark.rate_limit_rules.tolerance_us is
  'Microseconds until a bucket is full again, at most, for one more call to be admitted.';
create index rate_limit_rules_raises_idx on bulwark.rate_limit_rules (raises);

insert into bulwark.settings (name, value, description) values
  ('rate_limits.overrides', '10000',
    'Maximum number of overrides for organizations and API keys');

create table bulwark.rate_limit_overrides (
  id uuid primary key default gen_random_uuid(),
  rule text not null references bulwark.rate_limit_rules (name) on delete cascade,
  organization_id uuid references bulwark.organizations (id) on delete cascade,
  api_key_id uuid,
  capacity bigint not null,
  window_seconds bigint not null,
  -- squawk-ignore prefer-bigint-over-int
  scope integer not null default nextval('bulwark_private.rate_limit_scopes') unique,
  emission_us bigint not null
    generated always as ((window_seconds * 1000000 + capacity - 1) / capacity) stored,
  constraint rate_limit_overrides_of_one check (num_nonnulls(organization_id, api_key_id) = 1),
  constraint rate_limit_overrides_capacity check (capacity between 1 and 1000000),
  constraint rate_limit_overrides_window check (window_seconds between 1 and 2678400),
  constraint rate_limit_overrides_is_one unique nulls not distinct
    (rule, organization_id, api_key_id)
);
comment on table bulwark.rate_limit_overrides is
  'Limits for one organization or one API key, with their own buckets. An API key''s override comes
   before its organization''s.';
create index rate_limit_overrides_organization_id_idx
  on bulwark.rate_limit_overrides (organization_id);
-- Every decision looks up an override of its key.
create index rate_limit_overrides_api_key_id_idx on bulwark.rate_limit_overrides (api_key_id);

-- Unlogged: a crash refills all buckets, once; blocks are logged. The fill factor leaves room for
-- heap-only updates, so that a charge touches no index. The rule's numbers are copied into the row,
-- so that the charging statement can return them without reading the rule again.
create unlogged table bulwark_private.rate_limits (
  id uuid not null,
  full_at bigint not null,
  limit_at bigint,
  emission_us bigint not null,
  -- Narrow types, because there may be a million rows.
  -- squawk-ignore prefer-bigint-over-int
  scope integer not null,
  -- squawk-ignore prefer-bigint-over-int
  capacity integer not null,
  -- squawk-ignore prefer-bigint-over-int
  window_seconds integer not null,
  when_store_fails bulwark.rate_limit_failure not null,
  constraint rate_limits_pkey primary key (id, scope)
) with (
  fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0
);
comment on table bulwark_private.rate_limits is
  'Buckets: when each is full again, and whether its last call was admitted. Not audited and
   unlogged, because every request writes here. cleanup_old_rate_limits() removes full buckets,
   which are the same as none.';
comment on column bulwark_private.rate_limits.id is
  'A user''s id. For an API key the first 128 bits of SHA-256(kind, id), for any other identifier
   those of SHA-256(salt, kind, name).';
comment on column bulwark_private.rate_limits.full_at is 'Microseconds since 1970.';
comment on column bulwark_private.rate_limits.limit_at is
  'The latest full_at at which the last call was admitted, in microseconds; null: it was refused.';

create type bulwark_private.rate_limit_terms as (
  scope integer,
  emission_us bigint,
  capacity integer,
  window_seconds integer,
  when_store_fails bulwark.rate_limit_failure
);
comment on type bulwark_private.rate_limit_terms is
  'The numbers of a rule or its override, as they apply to one call.';

create table bulwark_private.rate_limit_salt (
  only_row boolean primary key default true check (only_row),
  salt bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
);
comment on table bulwark_private.rate_limit_salt is
  'Salt of the hashes of identifiers. Without it addresses and accounts cannot be found by trying
   all of them.';
insert into bulwark_private.rate_limit_salt default values;

alter table bulwark.rate_limit_rules enable row level security;
alter table bulwark.rate_limit_overrides enable row level security;
alter table bulwark_private.rate_limits enable row level security;
alter table bulwark_private.rate_limit_salt enable row level security;

create policy "Anyone signed in reads the rules"
  on bulwark.rate_limit_rules for select to authenticated
  using ((select bulwark.current_person()) is not null);

create policy "Members read the overrides of their organizations"
  on bulwark.rate_limit_overrides for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('settings:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark_private.rate_limit_hash(name text)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select encode(
      substring(sha256(s.salt || convert_to(name, 'UTF8')) from 1 for 16), 'hex'
    )::uuid
    from bulwark_private.rate_limit_salt s
  );
end;
$$;
comment on function bulwark_private.rate_limit_hash(text) is
  'Hash of an identifier: the first 128 bits of a salted SHA-256.';

create function bulwark_private.charge_buckets(
  ids uuid[],
  terms bulwark_private.rate_limit_terms,
  cost integer default 1
)
  returns table (id uuid, full_at bigint, present bigint, admitted boolean)
  language plpgsql
  volatile
  rows 2
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
#variable_conflict use_column
declare
  -- The time of the call, before it may wait for the lock of its bucket.
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
  v_cost constant bigint := terms.emission_us * cost;
  v_limit constant bigint := v_present + terms.emission_us * terms.capacity - v_cost;
begin
  -- Rows are locked in order of id, so that calls never deadlock. A full_at beyond a whole refill
  -- comes from a clock that has jumped back or from a larger window: such a bucket counts as empty.
  return query
    insert into bulwark_private.rate_limits as b (
      id, scope, full_at, limit_at, emission_us, capacity, window_seconds, when_store_fails
    )
    select
      i.id, terms.scope, v_present + v_cost, v_limit, terms.emission_us, terms.capacity,
      terms.window_seconds, terms.when_store_fails
    from unnest(ids) as i (id)
    order by i.id
    on conflict (id, scope) do update set
      full_at = case
        when b.full_at <= excluded.limit_at then greatest(b.full_at, v_present) + v_cost
        else least(b.full_at, excluded.limit_at + v_cost)
      end,
      limit_at = case when b.full_at <= excluded.limit_at then excluded.limit_at end,
      emission_us = excluded.emission_us, capacity = excluded.capacity,
      window_seconds = excluded.window_seconds, when_store_fails = excluded.when_store_fails
    returning b.id, b.full_at, v_present, b.limit_at is not null;
end;
$$;
comment on function bulwark_private.charge_buckets(
  uuid[], bulwark_private.rate_limit_terms, integer
) is
  'Charges each bucket that has enough tokens, in one statement. The rows stay locked until the
   transaction ends. cost is 1 to the capacity; ids must be distinct. full_at and present are in
   microseconds since 1970.';

create function bulwark_private.require_rate_limit_rule(rule text)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if rule is null or not exists (
    select from bulwark.rate_limit_rules r where r.name = rule
  ) then
    raise exception 'Cannot limit: there is no rule "%"', left(rule, 64)
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_UNKNOWN_RULE',
            hint = 'List them with: select name from rate_limit_rules';
  end if;
end;
$$;
comment on function bulwark_private.require_rate_limit_rule(text) is
  'Raises RATE_LIMIT_UNKNOWN_RULE for a rule that does not exist.';

create function bulwark.set_rate_limit(
  rule text,
  capacity integer,
  window_seconds integer,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes rules
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark.require_permission('system:admin', null);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.require_permission_to_act('system:admin', null);
  perform bulwark_private.require_rate_limit_rule(rule);
  if capacity is null or capacity not between 1 and 1000000
    or window_seconds is null or window_seconds not between 1 and 2678400
    or num_nonnulls(organization_id, api_key_id) > 1 then
    raise exception 'Cannot set the rate limit: 1 to 1000000 calls in 1 second to 31 days, of one'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_LIMIT';
  end if;
  if num_nonnulls(organization_id, api_key_id) = 0 then
    update bulwark.rate_limit_rules r
    set capacity = set_rate_limit.capacity, window_seconds = set_rate_limit.window_seconds
    where r.name = set_rate_limit.rule;
    return;
  end if;
  if organization_id is not null and not exists (
    select from bulwark.organizations o where o.id = set_rate_limit.organization_id
  ) then
    raise exception 'Cannot set the rate limit: the organization does not exist'
      using errcode = 'PT404', detail = 'RBAC_UNKNOWN_ORGANIZATION',
        hint = 'List yours with: select id from bulwark.organizations';
  end if;
  perform bulwark_private.lock_count('rate_limit_overrides', null);
  if not exists (
    select from bulwark.rate_limit_overrides o
    where o.rule = set_rate_limit.rule
      and o.organization_id is not distinct from set_rate_limit.organization_id
      and o.api_key_id is not distinct from set_rate_limit.api_key_id
  ) and (select count(*) from bulwark.rate_limit_overrides)
    >= (bulwark_private.setting('rate_limits.overrides'))::integer then
    raise exception 'Cannot set the rate limit: the maximum number of overrides is reached'
      using errcode = 'PT409', detail = 'RATE_LIMIT_TOO_MANY_OVERRIDES',
            hint = 'Clear one first; the limit is the setting rate_limits.overrides';
  end if;
  insert into bulwark.rate_limit_overrides as o
    (rule, organization_id, api_key_id, capacity, window_seconds)
  values (
    set_rate_limit.rule, set_rate_limit.organization_id, set_rate_limit.api_key_id,
    set_rate_limit.capacity, set_rate_limit.window_seconds
  )
  on conflict on constraint rate_limit_overrides_is_one do update
    set capacity = excluded.capacity, window_seconds = excluded.window_seconds;
end;
$$;
comment on function bulwark.set_rate_limit(text, integer, integer, uuid, uuid) is
  'Changes a rule, or its override for an organization or an API key. Needs system:admin, so that
   no organization raises its own limits. Errors: RATE_LIMIT_UNKNOWN_RULE,
   RATE_LIMIT_INVALID_LIMIT, RATE_LIMIT_TOO_MANY_OVERRIDES, RBAC_UNKNOWN_ORGANIZATION,
   RBAC_PERMISSION_DENIED.';

create function bulwark.clear_rate_limit(
  rule text,
  organization_id uuid default null,
  api_key_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes rules
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  delete from bulwark.rate_limit_overrides o
  where o.rule = clear_rate_limit.rule
    and o.organization_id is not distinct from clear_rate_limit.organization_id
    and o.api_key_id is not distinct from clear_rate_limit.api_key_id;
  if not found then
    raise exception 'Cannot clear the rate limit: there is no such override'
      using errcode = 'PT404', detail = 'RATE_LIMIT_UNKNOWN_OVERRIDE',
        hint = 'List them with: select * from rate_limit_overrides';
  end if;
end;
$$;
comment on function bulwark.clear_rate_limit(text, uuid, uuid) is
  'Removes the override of an organization or an API key. Needs system:admin. Errors:
   RATE_LIMIT_UNKNOWN_OVERRIDE, RBAC_PERMISSION_DENIED.';

insert into bulwark.rate_limit_rules
  (name, capacity, window_seconds, identified_by, when_store_fails, raises, description)
values
  ('api_default', 60, 60, 'caller', 'open', null, 'Requests without another rule'),
  ('api_strict', 10, 60, 'caller', 'closed', null, 'Expensive or sensitive operations'),
  ('api_relaxed', 120, 60, 'caller', 'open', null, 'Cheap and frequent operations'),
  ('auth_login', 5, 900, 'address_and_account', 'closed', 'brute_force', 'Sign-ins'),
  ('password_reset', 3, 3600, 'address_and_account', 'closed', 'brute_force', 'Password resets'),
  ('export', 10, 3600, 'user_or_key', 'closed', null, 'Bulk exports'),
  ('symbi_assessment', 30, 60, 'user_or_key', 'open', null, 'SYMBI assessments');

select bulwark.enable_audit(
  'bulwark.rate_limit_rules', event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark.rate_limit_overrides', organization_column => 'organization_id',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.rate_limit_salt', redact => '{salt}',
  event_types => '{config.changed,config.changed,config.changed}'
);

-- Every call reads these few rows: the planner must know that they fit on one page.
analyze bulwark.rate_limit_rules, bulwark_private.rate_limit_salt;
