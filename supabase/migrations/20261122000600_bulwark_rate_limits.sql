-- Built by npm run build from supabase/schemas/06_rate_limits: edit the sources, not this file.

-- A restore may have opened privileges. The start would take them for expected ones.
do $$
begin
  if to_regprocedure('bulwark.close_privileges()') is not null then
    perform bulwark.close_privileges();
  end if;
end;
$$;

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

-- The address of a request, the networks that are listed as allowed or blocked, and the networks
-- that are known of an account or an API key.
-- Protects against forged addresses: only entries that trusted proxies wrote to the header count.
-- An IPv6 /64 counts as one client.
-- SECURITY DEFINER: list_network and unlist_network, because no client writes the lists.

insert into bulwark.settings (name, value, description) values
  ('rate_limits.listed_networks', '10000', 'Maximum number of listed networks');

create type bulwark.network_verdict as enum ('allow', 'block');
comment on type bulwark.network_verdict is
  'allow: not limited by address and never blocked; block: refused, reads included.';

create table bulwark.rate_limit_networks (
  network cidr primary key,
  verdict bulwark.network_verdict not null,
  reason text not null,
  created_by uuid,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint rate_limit_networks_reason_length check (length(btrim(reason)) between 1 and 500)
);
comment on table bulwark.rate_limit_networks is
  'Networks listed by administrators. Where two overlap, allow takes precedence.';
create index rate_limit_networks_network_idx
  on bulwark.rate_limit_networks using gist (network inet_ops);
alter table bulwark.rate_limit_networks enable row level security;

create policy "Super admins read the lists of networks"
  on bulwark.rate_limit_networks for select to authenticated
  using ((select bulwark.is_super_admin()));

create function bulwark_private.client_network(address text)
  returns text
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text := btrim(left(address, 100));
  v_groups text;
  v_inet inet;
  v_last text;
begin
  -- Some proxies append the port.
  if position(':' in v_address) > 0 or left(v_address, 1) = '[' then
    v_address := coalesce(
      substring(v_address from '^\[([^\]]*)\](?::\d{1,5})?$'),
      substring(v_address from '^([\d.]+):\d{1,5}$'),
      v_address
    );
  end if;
  if v_address ~ '^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$' then
    return v_address;
  end if;
  if v_address is null
    or v_address !~ '^[0-9A-Fa-f:.]{2,45}$'
    or position(':' in v_address) = 0 then
    return null;
  end if;
  -- Checked before the cast, because catching its error takes a subtransaction, and Postgres before
  -- 17 refuses those in a parallel plan. An IPv4 address at the end stands for two groups.
  v_groups := v_address;
  if position('.' in v_address) > 0 then
    v_last := substring(v_address from '[^:]*$');
    if bulwark_private.client_network(v_last) is null then
      return null;
    end if;
    v_groups := left(v_address, -length(v_last)) || '0:0';
  end if;
  if v_groups !~ '^(?:[^:]{1,4}:){7}[^:]{1,4}$'
    and (
      v_groups !~ '^(?:[^:]{1,4}(?::[^:]{1,4})*)?::(?:[^:]{1,4}(?::[^:]{1,4})*)?$'
      or regexp_count(v_groups, '[^:]+') > 7
    ) then
    return null;
  end if;
  v_inet := v_address::inet;
  -- An IPv4-mapped IPv6 address is the same client.
  if v_inet <<= '::ffff:0:0/96' then
    return host('0.0.0.0'::inet + (v_inet - '::ffff:0.0.0.0'::inet));
  end if;
  return network(set_masklen(v_inet, 64))::text;
end;
$$;
comment on function bulwark_private.client_network(text) is
  'The network by which an address is limited: IPv4 as it is, IPv6 by its /64; null: no address.';

create function bulwark_private.forwarded_address(headers jsonb, header text, hops integer)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return btrim(split_part(headers ->> lower(header), ',', -greatest(hops, 1)));
end;
$$;
comment on function bulwark_private.forwarded_address(jsonb, text, integer) is
  'The entry that the outermost trusted proxy wrote to the header; null if no header is trusted.
   Entries further left are claims of the client.';

create function bulwark_private.client_address(headers jsonb)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.client_network(bulwark_private.forwarded_address(
    headers, bulwark_private.setting('rate_limits.address_header') #>> '{}',
    (bulwark_private.setting('rate_limits.address_hops'))::integer
  ));
end;
$$;
comment on function bulwark_private.client_address(jsonb) is
  'The network of a request, by the trusted header and number of proxies; null if none is trusted or
   the entry is no address.';

create function bulwark.list_network(
  network text,
  verdict bulwark.network_verdict,
  reason text,
  expires_at timestamptz default null
)
  returns bulwark.rate_limit_networks
  language plpgsql
  volatile
  security definer            -- definer because no client writes the lists
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_listed bulwark.rate_limit_networks;
  v_network cidr;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  begin
    v_network := network::cidr;
  exception
    when invalid_text_representation then
      v_network := null;
  end;
  -- IPv6 callers are known by their /64, so a narrower network would match nobody.
  if v_network is null
    or masklen(v_network) not between (case family(v_network) when 4 then 8 else 16 end)
      and (case family(v_network) when 4 then 32 else 64 end) then
    raise exception 'Cannot list the network: it is not a /8 to /32 (IPv6: /16 to /64)'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_NETWORK',
            hint = 'An IPv4 address, or a network such as 203.0.113.0/24 without host bits';
  end if;
  if verdict is null or coalesce(length(btrim(reason)), 0) not between 1 and 500
    or expires_at <= now() then
    raise exception 'Cannot list the network: it needs a verdict, a reason and no end in the past'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_LISTING';
  end if;
  perform bulwark_private.lock_count('rate_limit_networks', null);
  if not exists (select from bulwark.rate_limit_networks n where n.network = v_network)
    and (select count(*) from bulwark.rate_limit_networks)
      >= (bulwark_private.setting('rate_limits.listed_networks'))::integer then
    raise exception 'Cannot list the network: the maximum number is reached'
      using errcode = 'PT409', detail = 'RATE_LIMIT_TOO_MANY_NETWORKS',
            hint = 'List a wider one; the limit is the setting rate_limits.listed_networks';
  end if;
  insert into bulwark.rate_limit_networks as n (network, verdict, reason, created_by, expires_at)
  values (v_network, verdict, reason, bulwark.current_person(), expires_at)
  on conflict on constraint rate_limit_networks_pkey do update
    set verdict = excluded.verdict, reason = excluded.reason, created_by = excluded.created_by,
        created_at = now(), expires_at = excluded.expires_at
  returning n.* into v_listed;
  return v_listed;
end;
$$;
comment on function bulwark.list_network(text, bulwark.network_verdict, text, timestamptz) is
  'Lists a network as allowed or blocked, from the next request on. Needs system:admin. Errors:
   RATE_LIMIT_INVALID_NETWORK, RATE_LIMIT_INVALID_LISTING, RATE_LIMIT_TOO_MANY_NETWORKS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.unlist_network(network text)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the lists
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  delete from bulwark.rate_limit_networks n
  where n.network::text in (
    unlist_network.network, unlist_network.network || '/32', unlist_network.network || '/128'
  );
  if not found then
    raise exception 'Cannot unlist the network: it is not listed'
      using errcode = 'PT404', detail = 'RATE_LIMIT_UNKNOWN_NETWORK',
            hint = 'As in: select network from rate_limit_networks';
  end if;
end;
$$;
comment on function bulwark.unlist_network(text) is
  'Removes a network from the list; it must be written as listed. Needs system:admin. Errors:
   RATE_LIMIT_UNKNOWN_NETWORK, RBAC_PERMISSION_DENIED.';

create table bulwark_private.known_networks (
  owner uuid not null,
  network uuid not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  constraint known_networks_pkey primary key (owner, network)
);
comment on table bulwark_private.known_networks is
  'Networks from which an account has signed in or an API key was used. Accounts and networks are
   hashed, keys have their id. Not audited: the sign-ins are.';
create index known_networks_last_seen_at_idx on bulwark_private.known_networks (last_seen_at);
alter table bulwark_private.known_networks enable row level security;

create function bulwark_private.note_key_network(
  api_key_id uuid, organization_id uuid, address text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_network uuid;
  v_seen timestamptz;
begin
  select h.network, k.last_seen_at into v_network, v_seen
  from bulwark_private.rate_limit_salt s
  cross join lateral (
    select encode(
      substring(sha256(s.salt || convert_to('network/' || address, 'UTF8')) from 1 for 16), 'hex'
    )::uuid as network
  ) h
  left join bulwark_private.known_networks k on k.owner = api_key_id and k.network = h.network;
  if v_seen > now() - interval '1 day' then
    return;
  end if;
  if v_seen is null and exists (
    select from bulwark_private.known_networks k where k.owner = api_key_id
  ) then
    perform bulwark.raise_security_event(
      'key_from_new_network', organization_id, null, api_key_id::text,
      jsonb_build_object('network', v_network)
    );
  end if;
  insert into bulwark_private.known_networks as k (owner, network)
  values (api_key_id, v_network)
  on conflict on constraint known_networks_pkey do update set last_seen_at = excluded.last_seen_at;
end;
$$;
comment on function bulwark_private.note_key_network(uuid, uuid, text) is
  'Records the networks of an API key. Each new one after the first raises a security event.';

select bulwark.enable_audit(
  'bulwark.rate_limit_networks',
  event_types => '{security.ip_blocked,config.changed,config.changed}'
);

-- Blocks: callers who continue after being refused are blocked, for longer each time.
-- Protects against callers who ignore refusals, and against locking a victim out: a block applies
-- to an address, an API key, or an account from one address. An account alone is slowed down and
-- never blocked. Blocks and violations are in logged tables and survive a crash.
-- SECURITY DEFINER: lift_rate_limit_block, because no client writes blocks.

insert into bulwark.settings (name, value, description) values
  ('rate_limits.denials_before_block', '20',
    'Number of refusals within the window that cause a block'),
  ('rate_limits.denials_window_seconds', '600', 'The window in which refusals are counted'),
  ('rate_limits.block_minutes', '[1, 5, 15, 60, 1440]',
    'Duration of the first, second, ... block'),
  ('rate_limits.block_memory_hours', '24',
    'Hours after its end in which a block makes the next one longer');

alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_rate_limits_blocks check (
    case name
      when 'rate_limits.denials_before_block' then value between '1' and '1000000'
      when 'rate_limits.denials_window_seconds' then value between '1' and '2678400'
      when 'rate_limits.block_minutes' then
        jsonb_typeof(value) = 'array' and value <> '[]' and not value @? (
          'strict $[*] ? (@.type() != "number" || @ < 1 || @ > 525600)'
        )
      when 'rate_limits.block_memory_hours' then value between '0' and '87600'
      else true
    end
  );

create table bulwark.rate_limit_blocks (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  identifier uuid not null,
  rule text not null,
  step bigint not null,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid,
  blocked_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  lifted_at timestamptz,
  lifted_by uuid,
  constraint rate_limit_blocks_kind check (kind in ('address', 'api_key', 'pair')),
  constraint rate_limit_blocks_step check (step > 0)
);
comment on table bulwark.rate_limit_blocks is
  'Blocked callers: an address, an API key, or a pair of an address and an account.';
comment on column bulwark.rate_limit_blocks.identifier is
  'Salted hash of the blocked identifier: see bulwark_private.rate_limit_hash.';
comment on column bulwark.rate_limit_blocks.rule is 'The rule of the last refusal.';
comment on column bulwark.rate_limit_blocks.step is 'Position among consecutive blocks, from 1.';
create index rate_limit_blocks_identifier_idx on bulwark.rate_limit_blocks (identifier, expires_at)
  where lifted_at is null;
create index rate_limit_blocks_expires_at_idx on bulwark.rate_limit_blocks (expires_at);

create table bulwark_private.rate_limit_violations (
  id bigint generated always as identity primary key,
  rule text not null,
  kind text not null,
  identifier uuid not null,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid,
  block_id uuid,
  occurred_at timestamptz not null default clock_timestamp()
);
comment on table bulwark_private.rate_limit_violations is
  'The first refusal of a caller in a row, and (block_id) the one that caused a block. Refusals in
   between are only counted. Not audited: each row is written with an audit entry.';
create index rate_limit_violations_occurred_at_idx
  on bulwark_private.rate_limit_violations (occurred_at);

alter table bulwark.rate_limit_blocks enable row level security;
alter table bulwark_private.rate_limit_violations enable row level security;

create policy "Members read blocks of their organizations' API keys"
  on bulwark.rate_limit_blocks for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('security:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );
create index rate_limit_blocks_organization_id_idx on bulwark.rate_limit_blocks (organization_id);

create function bulwark_private.blockable(kinds text[], names text[], address text)
  returns table (kind text, name text)
  language sql
  immutable
  rows 2
  set search_path = pg_catalog, pg_temp
as $$
  select i.kind, i.name
  from unnest(kinds, names) as i (kind, name)
  where i.kind in ('address', 'api_key')
  union all
  select 'pair', address || '/' || i.name
  from unnest(kinds, names) as i (kind, name)
  where i.kind in ('user', 'account', 'password', 'second_factor') and address is not null;
$$;
comment on function bulwark_private.blockable(text[], text[], text) is
  'The identifiers for which such a call can be blocked: its address, its API key, and each account
   paired with the address.';

create function bulwark_private.rate_limit_status(
  kinds text[],
  names text[],
  address text,
  out listed boolean,
  out blocked_until timestamptz
)
  returns record
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
begin
  -- Fast path: without lists and blocks nothing has to be hashed.
  if not exists (select from bulwark.rate_limit_networks)
    and not exists (
      select from bulwark.rate_limit_blocks b where b.expires_at > now() and b.lifted_at is null
    ) then
    listed := false;
    return;
  end if;
  -- A blocked address is blocked for every rule, also for rules that charge only the user. From an
  -- allowed network only an API key can be blocked.
  select
    coalesce(n.allowed, false),
    greatest(
      case when n.allowed is not true and n.blocked then now() + interval '1 day' end,
      (
        select max(b.expires_at)
        from bulwark.rate_limit_blocks b
        where b.identifier = any (array(
            select encode(
              substring(sha256(s.salt || convert_to('block/' || c.name, 'UTF8')) from 1 for 16),
              'hex'
            )::uuid
            from bulwark_private.rate_limit_salt s
            cross join (
              select 'address/' || address as name
              union all
              select case
                when i.kind = 'api_key' then 'api_key/' || i.name
                when i.kind in ('user', 'account', 'password', 'second_factor')
                then concat('pair/', address || '/', i.name)
              end
              from unnest(kinds, names) as i (kind, name)
            ) c
            where c.name is not null
          ))
          and b.lifted_at is null
          and b.expires_at > clock_timestamp()
          and (n.allowed is not true or b.kind = 'api_key')
      )
    )
  into listed, blocked_until
  from (
    select bool_or(l.verdict = 'allow') as allowed, bool_or(l.verdict = 'block') as blocked
    from bulwark.rate_limit_networks l
    where l.network >>= address::inet
      and (l.expires_at is null or l.expires_at > now())
  ) n;
end;
$$;
comment on function bulwark_private.rate_limit_status(text[], text[], text) is
  'Whether the address is in an allowed network, and until when the caller is blocked (null: not
   blocked): by a listed network, or by a block of the address, the API key, or the account from
   this address.';

create function bulwark_private.add_rate_limit_block(
  rule text,
  kind text,
  identifier uuid,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid
)
  returns bulwark.rate_limit_blocks
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_block bulwark.rate_limit_blocks;
  v_memory interval := make_interval(
    hours => (bulwark_private.setting('rate_limits.block_memory_hours'))::integer
  );
  v_minutes jsonb := bulwark_private.setting('rate_limits.block_minutes');
  v_step bigint;
begin
  select count(*) + 1 into v_step
  from bulwark.rate_limit_blocks b
  where b.identifier = add_rate_limit_block.identifier
    and b.lifted_at is null
    and b.expires_at > clock_timestamp() - v_memory;
  insert into bulwark.rate_limit_blocks
    (kind, identifier, rule, step, organization_id, user_id, api_key_id, expires_at)
  values (
    add_rate_limit_block.kind, add_rate_limit_block.identifier, add_rate_limit_block.rule, v_step,
    add_rate_limit_block.organization_id, add_rate_limit_block.user_id,
    add_rate_limit_block.api_key_id,
    clock_timestamp() + make_interval(
      mins => (v_minutes -> (least(v_step, jsonb_array_length(v_minutes)) - 1)::integer)::integer
    )
  )
  returning * into v_block;
  if v_step > 1 then
    perform bulwark.raise_security_event(
      'rate_limit_abuse', organization_id, user_id, identifier::text,
      jsonb_build_object('rule', rule, 'kind', kind, 'block', v_block.id)
    );
  end if;
  return v_block;
end;
$$;
comment on function bulwark_private.add_rate_limit_block(text, text, uuid, uuid, uuid, uuid) is
  'Adds a block, longer than the previous one. From the second on it raises a security event.';

create function bulwark_private.note_denial(
  rule text,
  kinds text[],
  names text[],
  address text,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid,
  times integer default 1
)
  returns timestamptz
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_block bulwark.rate_limit_blocks;
  v_denied record;
  v_event constant text := (
    select r.raises from bulwark.rate_limit_rules r where r.name = note_denial.rule
  );
  v_denials constant integer :=
    (bulwark_private.setting('rate_limits.denials_before_block'))::integer;
  v_window constant integer :=
    (bulwark_private.setting('rate_limits.denials_window_seconds'))::integer;
  v_times constant integer := least(times, v_denials);
  -- Scope 0: refusals are counted in buckets too.
  v_terms constant bulwark_private.rate_limit_terms := row(
    0, ceil(v_window * 1000000::float8 / v_denials), v_denials, v_window, 'closed'
  );
  v_until timestamptz;
begin
  for v_denied in
    with denied as (
      select i.kind, i.name from unnest(kinds, names) as i (kind, name)
      union
      select b.kind, b.name from bulwark_private.blockable(kinds, names, address) b
    ),
    hashed as materialized (
      select
        d.kind,
        bulwark_private.rate_limit_hash(concat('denials/', d.kind, '/', d.name)) as bucket,
        bulwark_private.rate_limit_hash(concat('block/', d.kind, '/', d.name)) as identifier
      from denied d
    )
    select
      h.*, c.admitted and times <= v_denials as admitted,
      c.full_at <= c.present + v_terms.emission_us * v_times as first
    from bulwark_private.charge_buckets(
      (select array_agg(a.bucket) from hashed a), v_terms, v_times
    ) c
    join hashed h on h.bucket = c.id
    order by h.bucket
  loop
    continue when v_denied.admitted and not v_denied.first;
    v_block := null;
    if not v_denied.admitted then
      -- Counting starts again, so that further refusals lead to the next block.
      delete from bulwark_private.rate_limits b
      where b.id = v_denied.bucket and b.scope = v_terms.scope;
      if v_denied.kind in ('address', 'api_key', 'pair') then
        v_block := bulwark_private.add_rate_limit_block(
          rule, v_denied.kind, v_denied.identifier, organization_id,
          case when v_denied.kind = 'pair' then user_id end,
          case when v_denied.kind = 'api_key' then api_key_id end
        );
        v_until := greatest(v_until, v_block.expires_at);
      end if;
    end if;
    insert into bulwark_private.rate_limit_violations
      (rule, kind, identifier, organization_id, user_id, api_key_id, block_id)
    values (
      note_denial.rule, v_denied.kind, v_denied.identifier, note_denial.organization_id,
      note_denial.user_id, note_denial.api_key_id, v_block.id
    );
    perform bulwark_private.append_audit_entry(
      event_type => 'api.rate_limit', organization_id => note_denial.organization_id,
      resource_type => 'bulwark_private.rate_limit_violations',
      resource_id => v_denied.identifier::text,
      action => note_denial.rule, result => 'failure',
      details => jsonb_build_object('kind', v_denied.kind, 'block', v_block.id)
    );
    if v_event is not null and v_denied.kind <> 'pair' then
      perform bulwark.raise_security_event(
        v_event, organization_id, case when v_denied.kind <> 'address' then user_id end,
        v_denied.identifier::text, jsonb_build_object('rule', rule, 'kind', v_denied.kind)
      );
    end if;
  end loop;
  return v_until;
end;
$$;
comment on function bulwark_private.note_denial(
  text, text[], text[], text, uuid, uuid, uuid, integer
) is
  'Counts refusals of identifiers, records the first one in a row, and blocks after too many.
   Returns until when, or null. Each identifier has its own count.';

create function bulwark.lift_rate_limit_block(block_id uuid)
  returns bulwark.rate_limit_blocks
  language plpgsql
  volatile
  security definer            -- definer because no client writes blocks
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_block bulwark.rate_limit_blocks;
begin
  perform bulwark_private.require_permission_to_act('system:admin', null);
  update bulwark.rate_limit_blocks b
  set lifted_at = clock_timestamp(), lifted_by = bulwark.current_person()
  where b.id = block_id and b.lifted_at is null and b.expires_at > clock_timestamp()
  returning * into v_block;
  if not found then
    raise exception 'Cannot lift the block: it is not in force'
      using errcode = 'PT404', detail = 'RATE_LIMIT_UNKNOWN_BLOCK',
        hint = 'List those in force with: select id from rate_limit_blocks';
  end if;
  return v_block;
end;
$$;
comment on function bulwark.lift_rate_limit_block(uuid) is
  'Ends a block from the next request on; it no longer makes later ones longer. Needs system:admin.
   Errors: RATE_LIMIT_UNKNOWN_BLOCK, RBAC_PERMISSION_DENIED.';

select bulwark.enable_audit(
  'bulwark.rate_limit_blocks', organization_column => 'organization_id',
  event_types => '{security.ip_blocked,data.update,data.delete}'
);

-- Decisions: whether a call is admitted, for edge functions and for the Data API.
-- Protects against callers who choose their own bucket: only the service role may ask, with
-- identifiers that it has verified. All buckets of a call are charged, or none: a call that is
-- refused for its address costs the account nothing.
-- SECURITY DEFINER: check_rate_limit, because not even the service role reads or writes buckets.

create type bulwark.rate_limit_decision as (
  allowed boolean,
  reason text,
  rule text,
  capacity integer,
  window_seconds integer,
  remaining integer,
  reset_seconds integer,
  retry_after_seconds integer,
  when_store_fails bulwark.rate_limit_failure,
  admitted integer
);
comment on type bulwark.rate_limit_decision is
  'A decision: reason (rate or block) if it is refused; reset_seconds until the bucket is full
   again; retry_after_seconds until the same call would be admitted (null if it was); admitted is
   how many calls of a batch are admitted. allowed means all of them.';

create function bulwark_private.api_key_bucket(api_key_id uuid)
  returns uuid
  language plpgsql            -- not sql: an sql function is planned anew at every call
  immutable
  strict
  set search_path = pg_catalog, pg_temp
as $$
begin
  return encode(
    substring(sha256(convert_to('api_key/' || api_key_id, 'UTF8')) from 1 for 16), 'hex'
  )::uuid;
end;
$$;
comment on function bulwark_private.api_key_bucket(uuid) is
  'The id of an API key''s buckets. Hashed to differ from a user with the same id; not salted,
   because a key is no personal data.';

create function bulwark_private.charge_ahead(
  ids uuid[],
  terms bulwark_private.rate_limit_terms,
  cost integer,
  calls integer
)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_fit bigint;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
begin
  -- Rows must exist to be locked; in order of id, as charge_buckets locks them.
  insert into bulwark_private.rate_limits
    (id, scope, full_at, emission_us, capacity, window_seconds, when_store_fails)
  select
    i.id, terms.scope, v_present, terms.emission_us, terms.capacity, terms.window_seconds,
    terms.when_store_fails
  from unnest(ids) as i (id)
  order by i.id
  on conflict (id, scope) do nothing;
  select
    min(
      (terms.emission_us * terms.capacity - greatest(0, l.full_at - v_present))
      / (terms.emission_us * cost)
    )
  into v_fit
  from (
    select b.full_at
    from bulwark_private.rate_limits b
    where b.id = any (ids) and b.scope = terms.scope
    order by b.id
    for update
  ) l;
  -- The caller decides the last call that fits, and the first that does not.
  v_fit := least(greatest(v_fit, 0), calls - 1);
  if v_fit > 0 then
    perform bulwark_private.charge_buckets(ids, terms, (cost * v_fit)::integer);
  end if;
  return v_fit;
end;
$$;
comment on function bulwark_private.charge_ahead(
  uuid[], bulwark_private.rate_limit_terms, integer, integer
) is
  'Charges a batch of equal calls as far as all buckets have tokens, except for the last call;
   returns how many. The rows stay locked until the transaction ends.';

create function bulwark_private.decide_rate_limit(
  rule text,
  kinds text[],
  names text[],
  address text,
  cost integer,
  organization_id uuid,
  user_id uuid,
  api_key_id uuid,
  calls integer default 1
)
  returns bulwark.rate_limit_decision
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
as $$
declare
  v_address text := address;
  v_admitted uuid[];
  v_ahead integer := 0;
  v_buckets uuid[];
  v_decision bulwark.rate_limit_decision;
  v_denied uuid[];
  v_full_at bigint;
  v_present bigint;
  v_status record;
  v_terms bulwark_private.rate_limit_terms;
  v_waits bigint;
  v_until timestamptz;
begin
  select
    coalesce(o.scope, r.scope), coalesce(o.emission_us, r.emission_us),
    coalesce(o.capacity, r.capacity), coalesce(o.window_seconds, r.window_seconds),
    r.when_store_fails
  into v_terms
  from bulwark.rate_limit_rules r
  left join lateral (
    select v.*
    from bulwark.rate_limit_overrides v
    where v.rule = r.name
      and (
        v.api_key_id = decide_rate_limit.api_key_id
        or v.organization_id = decide_rate_limit.organization_id
      )
    order by v.api_key_id nulls last
    limit 1
  ) o on true
  where r.name = decide_rate_limit.rule;
  if not found then
    perform bulwark_private.require_rate_limit_rule(rule);
  end if;
  if cost is null or cost not between 1 and v_terms.capacity then
    raise exception 'Cannot limit: a call under % costs 1 to % tokens', rule, v_terms.capacity
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_COST';
  end if;
  v_decision := row(
    true, null, rule, v_terms.capacity, v_terms.window_seconds, v_terms.capacity, 0, null,
    v_terms.when_store_fails, calls
  );

  if v_address is not null or 'api_key' = any (kinds) then
    v_status := bulwark_private.rate_limit_status(kinds, names, v_address);
    if v_status.blocked_until is not null then
      v_decision.allowed := false;
      v_decision.admitted := 0;
      v_decision.reason := 'block';
      v_decision.remaining := 0;
      v_decision.reset_seconds :=
        greatest(1, ceil(date_part('epoch', v_status.blocked_until - clock_timestamp())));
      v_decision.retry_after_seconds := v_decision.reset_seconds;
      return v_decision;
    end if;
    if v_status.listed then
      select coalesce(array_agg(i.kind), '{}'), coalesce(array_agg(i.name), '{}')
      into kinds, names
      from unnest(kinds, names) as i (kind, name)
      where i.kind <> 'address';
      v_address := null;
    end if;
    if kinds = '{}' then
      return v_decision;
    end if;
  end if;

  v_buckets := array(
    select case
      when i.kind = 'user' then i.name::uuid
      when i.kind = 'api_key' then bulwark_private.api_key_bucket(i.name::uuid)
      else encode(
        substring(sha256(s.salt || convert_to(concat(i.kind, '/', i.name), 'UTF8')) from 1 for 16),
        'hex'
      )::uuid
    end
    from bulwark_private.rate_limit_salt s
    cross join unnest(kinds, names) with ordinality as i (kind, name, place)
    order by i.place
  );
  if calls > 1 then
    v_ahead := bulwark_private.charge_ahead(v_buckets, v_terms, cost, calls);
  end if;
  select
    max(c.full_at), max(c.full_at) filter (where not c.admitted),
    array_agg(c.id) filter (where c.admitted), array_agg(c.id) filter (where not c.admitted),
    max(c.present)
  into v_full_at, v_waits, v_admitted, v_denied, v_present
  from bulwark_private.charge_buckets(v_buckets, v_terms, cost) c;
  if v_denied is not null and v_admitted is not null then
    -- No other transaction has seen these charges: the rows are still locked.
    update bulwark_private.rate_limits b
    set full_at = b.full_at - v_terms.emission_us * cost
    where b.id = any (v_admitted) and b.scope = v_terms.scope;
  end if;
  v_decision.remaining := greatest(
    0, (v_present + v_terms.emission_us * v_terms.capacity - v_full_at) / v_terms.emission_us
  );
  v_decision.reset_seconds := ceil(greatest(0, v_full_at - v_present) / 1e6);
  if v_denied is null then
    v_decision.admitted := v_ahead + 1;
    if v_decision.admitted < calls then
      -- A token was refilled while the calls before were charged.
      v_decision.allowed := false;
      v_decision.reason := 'rate';
      v_decision.retry_after_seconds := 1;
    end if;
    return v_decision;
  end if;
  v_decision.admitted := v_ahead;
  v_decision.allowed := false;
  v_decision.reason := 'rate';
  v_decision.remaining := least(v_decision.remaining, cost - 1);
  v_decision.retry_after_seconds := greatest(
    1, ceil((v_waits + v_terms.emission_us * (cost - v_terms.capacity) - v_present) / 1e6)
  );
  select
    bulwark_private.note_denial(
      decide_rate_limit.rule, array_agg(i.kind), array_agg(i.name), v_address,
      decide_rate_limit.organization_id, decide_rate_limit.user_id, decide_rate_limit.api_key_id,
      calls - v_ahead
    )
  into v_until
  from unnest(kinds, names, v_buckets) as i (kind, name, bucket)
  where i.bucket = any (v_denied);
  if v_until is not null then
    v_decision.reason := 'block';
    v_decision.retry_after_seconds := greatest(
      v_decision.retry_after_seconds, ceil(date_part('epoch', v_until - clock_timestamp()))
    );
  end if;
  return v_decision;
end;
$$;
comment on function bulwark_private.decide_rate_limit(
  text, text[], text[], text, integer, uuid, uuid, uuid, integer
) is
  'Decides a call, or a batch of equal calls: listed networks, blocks, then the buckets of all
   identifiers. Refusals are counted and returned. Errors: RATE_LIMIT_UNKNOWN_RULE,
   RATE_LIMIT_INVALID_COST.';

create function bulwark_private.rate_limit_identifiers(
  subject bulwark.rate_limit_subject,
  user_id uuid,
  api_key_id uuid,
  address text,
  account text,
  out kinds text[],
  out names text[]
)
  returns record
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if subject = 'address_and_account' then
    kinds := array_remove(array[
      case when address is not null then 'address' end,
      case when account is not null then 'account' end
    ], null);
    names := array_remove(array[address, account], null);
  elsif user_id is not null then
    kinds := '{user}';
    names := array[user_id::text];
  elsif api_key_id is not null then
    kinds := '{api_key}';
    names := array[api_key_id::text];
  elsif subject = 'caller' and address is not null then
    kinds := '{address}';
    names := array[address];
  else
    kinds := '{}';
    names := '{}';
  end if;
  -- Callers without an identifier share one bucket.
  if kinds = '{}' or (subject = 'address_and_account' and address is null) then
    kinds := kinds || '{shared}';
    names := names || '{nobody}';
  end if;
end;
$$;
comment on function bulwark_private.rate_limit_identifiers(
  bulwark.rate_limit_subject, uuid, uuid, text, text
) is
  'The identifiers to which a call is charged. Calls without a trusted address share one bucket.';

create function bulwark.check_rate_limit(
  rule text,
  user_id uuid default null,
  api_key_id uuid default null,
  address text default null,
  account text default null,
  organization_id uuid default null,
  cost integer default 1,
  calls integer default 1
)
  returns bulwark.rate_limit_decision
  language plpgsql
  volatile
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- a slow request to the Data API may hold a bucket's lock for long
as $$
#variable_conflict use_variable
declare
  v_address text;
  v_bucket constant uuid := coalesce(user_id, bulwark_private.api_key_bucket(api_key_id));
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_ignored text;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
  v_until timestamptz;
begin
  if address is not null then
    v_address := bulwark_private.client_network(address);
  end if;
  if calls is null or calls not between 1 and 1000 then
    raise exception 'Cannot limit: 1 to 1000 calls are decided at once'
      using errcode = 'invalid_parameter_value', detail = 'RATE_LIMIT_INVALID_CALLS';
  end if;
  -- Other transactions do not see a new bucket before this one commits, but they see this lock:
  -- check_rate_limits then skips the bucket instead of waiting.
  if user_id is not null then
    -- An assignment instead of perform, which would run it as a query.
    v_ignored := pg_advisory_xact_lock(hashtext(rule), hashtext(user_id::text));
  end if;
  -- Fast path of most calls: a user or an API key, one token, no override, no block. One statement
  -- decides it and writes only if it admits. All other calls continue below.
  if v_bucket is not null and cost = 1 and calls = 1 then
    if v_address is not null or user_id is null then
      v_until := (
        bulwark_private.rate_limit_status(
          case when user_id is null then '{api_key}' else '{user}' end::text[],
          array[coalesce(user_id, api_key_id)::text], v_address
        )
      ).blocked_until;
    end if;
    if v_until is null then
      insert into bulwark_private.rate_limits as b (
        id, scope, full_at, limit_at, emission_us, capacity, window_seconds, when_store_fails
      )
      select
        v_bucket, r.scope, v_present + r.emission_us, v_present + r.tolerance_us, r.emission_us,
        r.capacity::integer, r.window_seconds::integer, r.when_store_fails
      from bulwark.rate_limit_rules r
      where r.name = rule
        and r.identified_by <> 'address_and_account'
        and not exists (
          select from bulwark.rate_limit_overrides o
          where o.rule = r.name
            and (o.api_key_id = api_key_id or o.organization_id = organization_id)
        )
      on conflict (id, scope) do update set
        full_at = greatest(b.full_at, v_present) + excluded.emission_us,
        limit_at = excluded.limit_at, emission_us = excluded.emission_us,
        capacity = excluded.capacity, window_seconds = excluded.window_seconds,
        when_store_fails = excluded.when_store_fails
        where b.full_at <= excluded.limit_at
      returning
        true, null::text, rule, b.capacity, b.window_seconds,
        ((b.limit_at + b.emission_us - b.full_at) / b.emission_us)::integer,
        ((b.full_at - v_present + 999999) / 1000000)::integer, null::integer, b.when_store_fails,
        1
      into v_decision;
    end if;
  end if;

  if v_decision.allowed is not true then
    v_identifiers := bulwark_private.rate_limit_identifiers(
      (select r.identified_by from bulwark.rate_limit_rules r where r.name = rule),
      user_id, api_key_id, v_address, left(lower(btrim(account)), 320)
    );
    v_decision := bulwark_private.decide_rate_limit(
      rule, v_identifiers.kinds, v_identifiers.names, v_address, cost, organization_id, user_id,
      api_key_id, calls
    );
  end if;
  if v_decision.admitted > 0 and api_key_id is not null and v_address is not null then
    perform bulwark_private.note_key_network(api_key_id, organization_id, v_address);
  end if;
  return v_decision;
end;
$$;
comment on function bulwark.check_rate_limit(
  text, uuid, uuid, text, text, uuid, integer, integer
) is
  'Decides a call and charges it (service role only). Pass only verified values: user, API key,
   organization (whose override applies), the address as a trusted proxy wrote it, the account of a
   sign-in. Of a batch of equal calls as many are admitted as there are tokens. Refusals are
   returned. A bucket that is locked for more than a second fails the call with 55P03. Errors:
   RATE_LIMIT_UNKNOWN_RULE, RATE_LIMIT_INVALID_COST, RATE_LIMIT_INVALID_CALLS.';

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

-- Requests to the Data API: the pre-request hook of PostgREST (db_pre_request).
-- Protects every table and function of the exposed schemas: requests of blocked callers are
-- refused, reads included, and writing requests are charged. Limits: reads cannot be charged (their
-- transactions are read-only), nor failing requests (their charge is rolled back).
-- SECURITY DEFINER: charge_request, because clients touch neither buckets nor blocks. check_request
--   is not, so that the host's own hook runs with the rights of the request.

insert into bulwark.settings (name, value, description) values
  (
    'rate_limits.request_rules',
    '{"*": "api_default", "/rpc/preview_invitation": "api_strict"}',
    'Rule of a writing request by its path (/rpc/name); *: all other paths'
  ),
  ('rate_limits.request_wait_ms', '1000',
    'How long a request waits for a bucket that another request of its caller holds'),
  ('rate_limits.next_request_check', 'null',
    'The host''s own pre-request hook, as schema.name; it runs after this one');

alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_rate_limits_requests check (
    case name
      when 'rate_limits.request_rules' then
        jsonb_typeof(value) = 'object' and value ? '*'
        and not value @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
      when 'rate_limits.request_wait_ms' then value between '1' and '60000'
      when 'rate_limits.next_request_check' then jsonb_typeof(value) in ('string', 'null')
      else true
    end
  );

create function bulwark_private.exposed_limit_headers()
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select 'RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, '
    'X-RateLimit-Reset, Retry-After';
$$;
comment on function bulwark_private.exposed_limit_headers() is
  'The headers that pages of other origins may read, in addition to PostgREST''s.';

create function bulwark_private.refuse_request(decision bulwark.rate_limit_decision)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_blocked constant boolean := decision.reason = 'block';
begin
  -- PostgREST builds the response from SQLSTATE PGRST, headers included. Headers that were set
  -- before are lost.
  raise exception using
    errcode = 'PGRST',
    message = json_build_object(
      'code', 'PT429',
      'message', case
        when v_blocked then 'Cannot proceed: the caller is blocked for now'
        else 'Cannot proceed: too many requests'
      end,
      'details', case
        when v_blocked then 'RATE_LIMIT_BLOCKED'
        else 'RATE_LIMIT_EXCEEDED'
      end,
      'hint', format('Try again in %s seconds', decision.retry_after_seconds)
    )::text,
    detail = json_build_object(
      'status', 429,
      'headers', json_build_object(
        'Retry-After', decision.retry_after_seconds::text,
        'RateLimit-Policy',
        format('"%s";q=%s;w=%s', decision.rule, decision.capacity, decision.window_seconds),
        'RateLimit', format('"%s";r=0;t=%s', decision.rule, decision.retry_after_seconds),
        'X-RateLimit-Limit', decision.capacity::text,
        'X-RateLimit-Remaining', '0',
        'X-RateLimit-Reset', decision.reset_seconds::text,
        'Access-Control-Expose-Headers', bulwark_private.exposed_limit_headers()
      )
    )::text;
end;
$$;
comment on function bulwark_private.refuse_request(bulwark.rate_limit_decision) is
  'Raises SQLSTATE PGRST: PostgREST answers 429 with the headers of the decision.';

create function bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_headers constant jsonb := nullif(current_setting('response.headers', true), '')::jsonb;
  -- As text, because building it as jsonb takes several times as long. A rule's name has only
  -- letters, digits and underscores.
  v_ours constant text := format(
    '[{"RateLimit-Policy": "\"%1$s\";q=%2$s;w=%3$s"}, {"RateLimit": "\"%1$s\";r=%4$s;t=%5$s"}, '
      '{"X-RateLimit-Limit": "%2$s"}, {"X-RateLimit-Remaining": "%4$s"}, '
      '{"X-RateLimit-Reset": "%5$s"}, {"Access-Control-Expose-Headers": "%6$s"}]',
    decision.rule, decision.capacity, decision.window_seconds, decision.remaining,
    decision.reset_seconds, bulwark_private.exposed_limit_headers()
  );
begin
  return case when v_headers is null then v_ours else (v_headers || v_ours::jsonb)::text end;
end;
$$;
comment on function bulwark_private.headers_with_decision(bulwark.rate_limit_decision) is
  'The headers of the response so far and those of the decision, as PostgREST reads them.';

-- A view and no function, so that the request's plan contains the look-up.
create view bulwark_private.api_key_rules with (security_invoker = true) as
  select null::uuid as api_key_id, null::text as rule where false;
comment on view bulwark_private.api_key_rules is
  'The rate limit rule of each API key: none until api_keys is installed, which replaces the view.';

create function bulwark_private.resolve_api_key()
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Without the capability api_keys, which replaces this function, no key and no token of one is
  -- valid. The header alone means nothing.
  if current_setting('role') = 'api_key' then
    raise exception 'Cannot authenticate: the API key is not valid'
      using errcode = 'PT401', detail = 'API_KEY_INVALID';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.resolve_api_key() is
  'The part of check_request that resolves API keys: refuses the role api_key.';

create function bulwark_private.decode_path(path text)
  returns text
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return convert_from(convert_to(
    regexp_replace(
      to_json(path)::text, '%([0-9A-Fa-f]{2})', '\\u00\1', 'g'
    )::jsonb #>> '{}', 'LATIN1'
  ), 'UTF8');
end;
$$;
comment on function bulwark_private.decode_path(text) is
  'The path of a request, which PostgREST passes undecoded.';

create function bulwark_private.charge_request()
  returns text
  language plpgsql
  volatile
  security definer            -- definer because clients touch neither buckets nor blocks
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan -- planning anew costs more than the query
  set enable_seqscan = off    -- a plan made for a small table would read all of it
as $$
declare
  v_address text;
  v_claims json;
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_key uuid;
  v_listed boolean;
  v_next text;
  v_organization uuid;
  v_path text;
  v_reads constant boolean := current_setting('transaction_read_only')::boolean;
  v_role text;
  v_rule text;
  v_rules jsonb;
  v_ignored text;
  v_settings jsonb;
  v_status record;
  v_user uuid;
  v_wait text;
begin
  -- This runs before every request, and a read needs no more than this, unless somebody is blocked.
  if v_reads then
    select
      s.value #>> '{}',
      exists (
        select from bulwark.rate_limit_blocks b where b.expires_at > now() and b.lifted_at is null
      )
      -- In order, because the other index of this table takes longer to begin with.
      or (select true from bulwark.rate_limit_networks n order by n.network limit 1) is not null
    into v_next, v_listed
    from bulwark.settings s
    where s.name = 'rate_limits.next_request_check';
    if not v_listed then
      return case when v_next is not null then bulwark_private.quote_qualified(v_next) end;
    end if;
  end if;
  v_role := bulwark_private.caller_role();
  select
    jsonb_object_agg(s.name, s.value),
    exists (
      select from bulwark.rate_limit_blocks b where b.expires_at > now() and b.lifted_at is null
    )
    or (select true from bulwark.rate_limit_networks n order by n.network limit 1) is not null
  into v_settings, v_listed
  from bulwark.settings s
  where s.name in (
    'rate_limits.address_header', 'rate_limits.address_hops', 'rate_limits.request_rules',
    'rate_limits.request_wait_ms', 'rate_limits.next_request_check'
  )
  having count(*) = 5;
  if not found then
    raise exception 'Cannot limit the request: a setting is missing'
      using errcode = 'invalid_parameter_value', detail = 'UNKNOWN_SETTING',
        hint = 'Insert it again: bulwark.settings lacks a row that begins with rate_limits';
  end if;
  v_next := bulwark_private.quote_qualified(v_settings ->> 'rate_limits.next_request_check');
  if v_role in ('service_role', 'postgres', 'supabase_admin') then
    return v_next;
  end if;
  if v_role = 'api_key' then
    v_claims := bulwark_private.claims();
    v_key := bulwark_private.uuid_or_null(v_claims ->> 'api_key_id');
    v_organization := bulwark_private.uuid_or_null(v_claims ->> 'organization_id');
  elsif v_role <> 'anon' then
    -- Requests with the token of an ended session are charged to their address.
    v_user := bulwark.current_person();
  end if;
  -- A user who writes is charged as the user. The address matters only if one may be blocked.
  if v_listed or v_user is null then
    v_address := bulwark_private.forwarded_address(
      nullif(current_setting('request.headers', true), '')::jsonb,
      v_settings ->> 'rate_limits.address_header',
      (v_settings -> 'rate_limits.address_hops')::integer
    );
  end if;
  -- A letter written as %63 must not evade the path's rule.
  v_path := coalesce(current_setting('request.path', true), '');
  if position('%' in v_path) > 0 then
    v_path := bulwark_private.decode_path(v_path);
  end if;
  v_rules := v_settings -> 'rate_limits.request_rules';
  if v_key is not null and not v_rules ? v_path then
    -- API keys have their own rule.
    select k.rule into v_rule from bulwark_private.api_key_rules k where k.api_key_id = v_key;
  else
    v_rule := v_rules ->> case when v_rules ? v_path then v_path else '*' end;
  end if;

  if v_reads or v_rule is null then
    if v_listed and (v_address is not null or v_key is not null) then
      v_address := bulwark_private.client_network(v_address);
      v_identifiers := bulwark_private.rate_limit_identifiers(
        'caller', v_user, v_key, v_address, null
      );
      v_status := bulwark_private.rate_limit_status(
        v_identifiers.kinds, v_identifiers.names, v_address
      );
      if v_status.blocked_until is not null then
        perform bulwark_private.refuse_request(
          bulwark_private.blocked_decision(v_rule, v_status.blocked_until)
        );
      end if;
    end if;
    return v_next;
  end if;

  -- The bucket stays locked until the request ends. Other requests of the caller wait for it, for a
  -- limited time.
  v_wait := current_setting('lock_timeout');
  v_ignored := set_config('lock_timeout', v_settings ->> 'rate_limits.request_wait_ms', true);
  begin
    -- The same lock as in check_rate_limit, here for keys and addresses too.
    v_ignored := pg_advisory_xact_lock(
      hashtext(v_rule), hashtext(coalesce(v_user::text, v_key::text, v_address, ''))
    );
    v_decision := bulwark.check_rate_limit(
      v_rule, v_user, v_key, v_address, null, v_organization
    );
  exception
    when lock_not_available then
      -- Refused even if the rule fails open: a caller's slow request must not let their other
      -- requests through uncharged.
      select false, 'rate', r.name, r.capacity, r.window_seconds, 0, 1, 1, r.when_store_fails, 0
      into v_decision
      from bulwark.rate_limit_rules r where r.name = v_rule;
  end;
  v_ignored := set_config('lock_timeout', v_wait, true);
  if v_decision.allowed is not true then
    perform bulwark_private.refuse_request(v_decision);
  end if;
  v_ignored := set_config(
    'response.headers', bulwark_private.headers_with_decision(v_decision), true
  );
  return v_next;
end;
$$;
comment on function bulwark_private.charge_request() is
  'The part of check_request that needs buckets and blocks: refuses the request (429) or sets its
   headers. Returns the name of the next hook, or null.';

create function bulwark_private.blocked_decision(rule text, blocked_until timestamptz)
  returns bulwark.rate_limit_decision
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select
    false, 'block', r.name, r.capacity::integer, r.window_seconds::integer, 0, w.seconds, w.seconds,
    r.when_store_fails, 0
  from (
    select greatest(1, ceil(date_part('epoch', blocked_until - clock_timestamp())))::integer
  ) as w (seconds)
  left join bulwark.rate_limit_rules r on r.name = coalesce(rule, 'api_default');
$$;
comment on function bulwark_private.blocked_decision(text, timestamptz) is
  'The decision for a blocked caller.';

create function bulwark.check_request()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb;
  v_next text;
  v_ours jsonb;
  v_ignored text;
  v_theirs jsonb;
begin
  -- The order matters: resolve API keys, decide about the caller, then run the next hook.
  if current_setting('role') = 'api_key'
    or position('"x-api-key"' in current_setting('request.headers', true)) > 0 then
    v_claims := bulwark_private.resolve_api_key();
    if v_claims is not null then
      -- Set here, because a SECURITY DEFINER function cannot set the role.
      -- Assignments instead of perform, which would run each call as a query.
      v_ignored := set_config('request.jwt.claims', v_claims::text, true);
      v_ignored := set_config('role', 'api_key', true);
    end if;
  end if;
  v_next := bulwark_private.charge_request();
  if v_next is not null then
    v_ours := nullif(current_setting('response.headers', true), '')::jsonb;
    -- The host's hook may rely on the usual path.
    v_ignored := set_config('search_path', 'public, extensions', true);
    execute format('select %s()', v_next);
    -- A hook that sets headers and does not know of ours must not remove them.
    v_theirs := coalesce(nullif(current_setting('response.headers', true), ''), '[]')::jsonb;
    if not v_theirs @> v_ours then
      v_ignored := set_config('response.headers', (v_ours || v_theirs)::text, true);
    end if;
  end if;
end;
$$;
comment on function bulwark.check_request() is
  'Pre-request hook of PostgREST, see install_request_hook. Refuses blocked callers and requests
   over the limit with 429, charges writing requests, sets RateLimit headers, and runs the host''s
   own hook.';

create function bulwark.install_request_hook()
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_present text;
begin
  select substring(s.setting from '=(.*)$') into v_present
  from pg_catalog.pg_db_role_setting d
  cross join unnest(d.setconfig) as s (setting)
  where d.setrole = 'authenticator'::regrole
    and d.setdatabase in (
      0, (select b.oid from pg_catalog.pg_database b where b.datname = current_database())
    )
    and s.setting ~ '^pgrst\.db_pre_request=.'
  order by d.setdatabase desc
  limit 1;
  if to_regproc(v_present) is distinct from 'bulwark.check_request'::regproc then
    update bulwark.settings s set value = to_jsonb(v_present)
    where s.name = 'rate_limits.next_request_check' and v_present is not null;
    alter role authenticator set pgrst.db_pre_request = 'bulwark.check_request';
  end if;
  notify pgrst, 'reload config';
  return (
    select s.value #>> '{}' from bulwark.settings s
    where s.name = 'rate_limits.next_request_check'
  );
end;
$$;
comment on function bulwark.install_request_hook() is
  'Installs check_request as the pre-request hook of PostgREST. A hook that was installed before is
   kept in the setting rate_limits.next_request_check and runs after it. Returns the name of that
   hook, or null. For the project''s owner (postgres); calling it again changes nothing.';

-- Sign-ins: attempts are charged before they are answered.
-- Protects against brute force and credential stuffing. Supabase Auth is not behind the Data API.
-- Its hooks limit each account (they do not know the address); the function `bulwark-login` charges
-- the address and the account before it asks Auth. An account has a separate bucket for each
-- network from which it has signed in before, which no stranger can drain.
-- SECURITY DEFINER: the two hooks, because Supabase Auth may not touch buckets; begin_login and
--   finish_login, because not even the service role does.

insert into bulwark.settings (name, value, description) values
  ('rate_limits.travel_kmh', '1000', 'A faster move between two sign-ins raises impossible_travel'),
  ('rate_limits.travel_km', '300', 'Shorter distances are ignored, because places are inexact');

create table bulwark_private.sign_in_places (
  user_id uuid primary key,
  latitude real not null,
  longitude real not null,
  seen_at timestamptz not null default clock_timestamp()
);
comment on table bulwark_private.sign_in_places is
  'Place of each user''s last sign-in, to a tenth of a degree, if a trusted proxy sends it. Not
   audited: places are personal data, and only the last one is kept.';
create index sign_in_places_seen_at_idx on bulwark_private.sign_in_places (seen_at);
alter table bulwark_private.sign_in_places enable row level security;

create function bulwark_private.charge_attempt(kind text, user_id uuid, valid boolean)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision bulwark.rate_limit_decision;
begin
  -- Every attempt is charged, and a correct one refunded: otherwise concurrent guesses would all be
  -- answered.
  v_decision := bulwark_private.decide_rate_limit(
    'auth_login', array[kind], array[user_id::text], null, 1, null, user_id, null
  );
  if v_decision.allowed and valid then
    update bulwark_private.rate_limits b
    set full_at = b.full_at - b.emission_us
    where b.id = bulwark_private.rate_limit_hash(
        concat(charge_attempt.kind, '/', charge_attempt.user_id)
      )
      and b.scope = (select r.scope from bulwark.rate_limit_rules r where r.name = 'auth_login');
  elsif v_decision.allowed then
    perform bulwark_private.append_auth_entry(
      'auth.login_failed', user_id, 'auth.users', user_id::text, kind
    );
  end if;
  if v_decision.allowed then
    return '{"decision": "continue"}'::jsonb;
  end if;
  if kind = 'password' then
    return jsonb_build_object(
      'decision', 'reject', 'message', 'Too many attempts: try again later',
      'should_logout_user', false
    );
  end if;
  -- Supabase Auth signs a user out everywhere when it is told to reject a second factor, so a thief
  -- of the password could end the owner's sessions. An error refuses the attempt and ends nothing.
  return jsonb_build_object('error', jsonb_build_object(
    'http_code', 429, 'message', 'Too many attempts: try again later'
  ));
end;
$$;
comment on function bulwark_private.charge_attempt(text, uuid, boolean) is
  'Decides an attempt for a hook of Supabase Auth. Over the limit correct and wrong attempts are
   refused alike; correct ones cost nothing.';

create function bulwark.password_verification_attempt_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because Supabase Auth may not touch buckets
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.charge_attempt(
    'password', (event ->> 'user_id')::uuid, (event ->> 'valid')::boolean
  );
end;
$$;
comment on function bulwark.password_verification_attempt_hook(jsonb) is
  'Password verification attempt hook of Supabase Auth ({user_id, valid}): limits an account by the
   rule auth_login. It does not know the address, so it blocks nobody.';

create function bulwark.mfa_verification_attempt_hook(event jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because Supabase Auth may not touch buckets
  set search_path = pg_catalog, pg_temp
as $$
begin
  return bulwark_private.charge_attempt(
    'second_factor', (event ->> 'user_id')::uuid, (event ->> 'valid')::boolean
  );
end;
$$;
comment on function bulwark.mfa_verification_attempt_hook(jsonb) is
  'MFA verification attempt hook of Supabase Auth ({factor_id, user_id, valid}): limits guesses at
   codes, in another bucket than passwords. Over the limit the attempt is refused with 429, and no
   session ends.';

create function bulwark.begin_login(
  account text,
  address text default null,
  rule text default 'auth_login'
)
  returns table (
    allowed boolean,
    reason text,
    capacity integer,
    window_seconds integer,
    remaining integer,
    reset_seconds integer,
    retry_after_seconds integer
  )
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because not even the service role touches buckets
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '1s'     -- another transaction may hold the bucket's lock
as $$
#variable_conflict use_variable
declare
  v_account constant text := left(lower(btrim(account)), 320);
  v_address constant text := bulwark_private.client_network(address);
  v_decision bulwark.rate_limit_decision;
  v_identifiers record;
  v_user constant uuid := (
    select u.id from auth.users u where u.email = v_account order by u.created_at limit 1
  );
begin
  v_identifiers := bulwark_private.rate_limit_identifiers(
    'address_and_account', null, null, v_address, v_account
  );
  if exists (
    select from bulwark_private.known_networks k
    where k.owner = bulwark_private.rate_limit_hash('account/' || v_account)
      and k.network = bulwark_private.rate_limit_hash('network/' || v_address)
  ) then
    v_identifiers.names[array_position(v_identifiers.kinds, 'account')] :=
      concat(v_account, ' from ', v_address);
  end if;
  v_decision := bulwark_private.decide_rate_limit(
    rule, v_identifiers.kinds, v_identifiers.names, v_address, 1, null, v_user, null
  );
  return query
    select
      v_decision.allowed, v_decision.reason, v_decision.capacity, v_decision.window_seconds,
      v_decision.remaining, v_decision.reset_seconds, v_decision.retry_after_seconds;
end;
$$;
comment on function bulwark.begin_login(text, text, text) is
  'Charges the address and the account before a sign-in, or with the rule password_reset before a
   reset (service role only). The answer does not depend on whether the account exists.
   Errors: RATE_LIMIT_UNKNOWN_RULE.';

create function bulwark_private.note_place(user_id uuid, latitude real, longitude real)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hours float8;
  v_km float8;
  v_last bulwark_private.sign_in_places;
begin
  if latitude is null or longitude is null or latitude not between -90 and 90
    or longitude not between -180 and 180 then
    return;
  end if;
  select * into v_last from bulwark_private.sign_in_places p where p.user_id = note_place.user_id;
  if found then
    -- Haversine formula with the Earth's mean radius in km.
    v_km := 2 * 6371 * asin(sqrt(least(1,
      power(sind((latitude - v_last.latitude) / 2), 2)
      + cosd(latitude) * cosd(v_last.latitude)
        * power(sind((longitude - v_last.longitude) / 2), 2)
    )));
    v_hours := date_part('epoch', clock_timestamp() - v_last.seen_at) / 3600;
    if v_km > (bulwark_private.setting('rate_limits.travel_km'))::float8
      and v_km > (
        bulwark_private.setting('rate_limits.travel_kmh')
      )::float8 * greatest(v_hours, 0) then
      perform bulwark.raise_security_event(
        'impossible_travel', null, user_id, '',
        jsonb_build_object('km', round(v_km::numeric), 'minutes', round((v_hours * 60)::numeric))
      );
    end if;
  end if;
  insert into bulwark_private.sign_in_places as p (user_id, latitude, longitude)
  values (
    note_place.user_id, round(latitude::numeric, 1)::real, round(longitude::numeric, 1)::real
  )
  on conflict on constraint sign_in_places_pkey do update
    set latitude = excluded.latitude, longitude = excluded.longitude, seen_at = excluded.seen_at;
end;
$$;
comment on function bulwark_private.note_place(uuid, real, real) is
  'Stores the place of a sign-in. If the user cannot have travelled there from the last place in
   time, it raises a security event.';

create function bulwark.finish_login(
  account text,
  address text default null,
  user_id uuid default null,
  latitude real default null,
  longitude real default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because not even the service role writes these tables
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_account constant text := left(lower(btrim(account)), 320);
  v_address constant text := bulwark_private.client_network(address);
  v_owner constant uuid := bulwark_private.rate_limit_hash('account/' || v_account);
  v_network constant uuid := bulwark_private.rate_limit_hash('network/' || v_address);
  v_recorded uuid;
  v_user constant uuid := (
    select u.id from auth.users u where u.email = v_account order by u.created_at limit 1
  );
begin
  if user_id is null then
    -- Where Supabase Auth calls the hook, that has recorded the attempt: it counts once. The entry
    -- here adds the network. Each entry of the hook stands for one attempt: one that the hook
    -- refused has none, and is not taken for an earlier attempt.
    select e.id into v_recorded
    from bulwark.audit_logs e
    where e.event_type = 'auth.login_failed' and e.action = 'password' and e.source = 'auth'
      and e.resource_type = 'auth.users' and e.resource_id = v_user::text
      and e.parent_id is null
      and e.id >= bulwark_private.audit_id_floor(clock_timestamp() - interval '10 seconds')
      and not exists (
        select from bulwark.audit_logs c
        where c.resource_type = e.resource_type and c.resource_id = e.resource_id
          and c.id > e.id and c.parent_id = e.id and c.details ? 'network'
      )
    order by e.id
    limit 1;
    perform bulwark_private.append_audit_entry(
      event_type => 'auth.login_failed', result => 'failure', action => 'password',
      parent_id => v_recorded,
      resource_type => case when v_user is null then 'account' else 'auth.users' end,
      resource_id => coalesce(v_user, v_owner)::text,
      details => jsonb_build_object('network', v_network), ip => v_address
    );
    return;
  end if;
  if v_network is not null then
    insert into bulwark_private.known_networks as k (owner, network)
    values (v_owner, v_network)
    on conflict on constraint known_networks_pkey do update
      set last_seen_at = excluded.last_seen_at;
  end if;
  perform bulwark_private.note_place(user_id, latitude, longitude);
end;
$$;
comment on function bulwark.finish_login(text, text, uuid, real, real) is
  'Records the result of a sign-in (service role only). Without a user it failed and is written to
   the audit log, below the entry of the password hook if there is one; with one its network becomes
   known and its place is compared with the last one.';

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

-- Usage: the limits of an organization and how much of them its API keys have left.
-- Protects against readers of other organizations (settings:read), and of its keys (api_key:read).
-- SECURITY DEFINER: rate_limit_usage, because clients read neither buckets nor overrides of keys.

-- A view and no function, as bulwark_private.api_key_rules.
create view bulwark_private.organization_api_keys with (security_invoker = true) as
  select null::uuid as organization_id, null::uuid as api_key_id, null::text as name,
    null::text as rule, null::timestamptz as created_at
  where false;
comment on view bulwark_private.organization_api_keys is
  'The API keys in force of each organization: none until api_keys is installed, which replaces the
   view.';

create function bulwark.rate_limit_usage(organization_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because clients read neither buckets nor overrides of keys
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_keys jsonb;
  v_present constant bigint := date_part('epoch', clock_timestamp()) * 1000000;
begin
  perform bulwark.require_permission('settings:read', organization_id);
  if bulwark_private.caller_is_service() or bulwark_private.session_permits(
    bulwark.current_person(), 'api_key:read', organization_id
  ) then
    select coalesce(jsonb_agg(to_jsonb(u) order by u.remaining, u.created_at desc), '[]')
    into v_keys
    from (
      select k.api_key_id, k.name, k.rule, l.capacity, l.window_seconds,
        -- A bucket that is gone is full.
        case
          when b.id is null then l.capacity
          else least(l.capacity, greatest(
            0, (v_present + l.emission_us * l.capacity - b.full_at) / l.emission_us
          ))
        end as remaining,
        coalesce(ceil(greatest(0, b.full_at - v_present) / 1e6)::integer, 0) as reset_seconds,
        b.id is not null and b.limit_at is null as refused,
        (
          select max(x.expires_at)
          from bulwark.rate_limit_blocks x
          where x.organization_id = rate_limit_usage.organization_id
            and x.api_key_id = k.api_key_id
            and x.lifted_at is null
            and x.expires_at > clock_timestamp()
        ) as blocked_until,
        k.created_at
      from (
        select * from bulwark_private.organization_api_keys o
        where o.organization_id = rate_limit_usage.organization_id
        order by o.created_at desc
        limit 1000
      ) k
      join bulwark.rate_limit_rules r on r.name = k.rule
      left join lateral (
        select v.scope, v.capacity, v.window_seconds, v.emission_us
        from bulwark.rate_limit_overrides v
        where v.rule = r.name
          and (
            v.api_key_id = k.api_key_id or v.organization_id = rate_limit_usage.organization_id
          )
        order by v.api_key_id nulls last
        limit 1
      ) v on true
      cross join lateral (
        select coalesce(v.scope, r.scope), coalesce(v.capacity, r.capacity),
          coalesce(v.window_seconds, r.window_seconds), coalesce(v.emission_us, r.emission_us)
      ) l (scope, capacity, window_seconds, emission_us)
      left join bulwark_private.rate_limits b
        on b.id = bulwark_private.api_key_bucket(k.api_key_id) and b.scope = l.scope
    ) u;
  end if;
  return jsonb_build_object(
    'rules', (
      select jsonb_agg(jsonb_build_object(
        'name', r.name, 'description', r.description, 'identified_by', r.identified_by,
        'capacity', coalesce(v.capacity, r.capacity),
        'window_seconds', coalesce(v.window_seconds, r.window_seconds),
        'overridden', v.id is not null
      ) order by r.name)
      from bulwark.rate_limit_rules r
      left join bulwark.rate_limit_overrides v
        on v.rule = r.name and v.organization_id = rate_limit_usage.organization_id
    ),
    'api_keys', v_keys
  );
end;
$$;
comment on function bulwark.rate_limit_usage(uuid) is
  'The limits of an organization (settings:read there; null: those of all): { rules, api_keys }.
   rules: name, description, identified_by, capacity and window_seconds as they apply to it, and
   whether they are overridden for it. api_keys (null without api_key:read): the keys in force, up
   to the newest 1,000, those with the least left first: api_key_id, name, rule, capacity,
   window_seconds, remaining, reset_seconds, whether the last call was refused, and blocked_until.
   Calls that functions count in Redis are not in it. Errors: RBAC_PERMISSION_DENIED,
   MFA_REQUIRED.';

-- Rate limits settings: those that administrators of the installation may change, and the
-- values that each accepts.
-- Protects against a value that breaks limits. All other settings are the operator's.
-- No function here.

insert into bulwark_private.setting_rules (name, accepts) values
  ('rate_limits.overrides', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.listed_networks', '{"type": "integer", "minimum": 0, "maximum": 1000000}'),
  ('rate_limits.denials_before_block', '{"type": "integer", "minimum": 1, "maximum": 1000000}'),
  ('rate_limits.denials_window_seconds', '{"type": "integer", "minimum": 1, "maximum": 2678400}'),
  ('rate_limits.block_minutes', '{"type": "array", "minItems": 1, "maxItems": 20, "items":
      {"type": "integer", "minimum": 1, "maximum": 525600}}'),
  ('rate_limits.block_memory_hours', '{"type": "integer", "minimum": 0, "maximum": 87600}'),
  ('rate_limits.request_wait_ms', '{"type": "integer", "minimum": 1, "maximum": 60000}'),
  ('rate_limits.violation_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.network_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('rate_limits.travel_kmh', '{"type": "integer", "minimum": 100, "maximum": 100000}'),
  ('rate_limits.travel_km', '{"type": "integer", "minimum": 0, "maximum": 40000}');

-- Rate limits levels: how many callers are blocked now, for metrics.
-- Protects against an attack, or a limit that is too low, that nobody sees.
-- No function here is SECURITY DEFINER.

create function bulwark_private.rate_limit_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 3
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
  with blocked as materialized (
    select b.kind from bulwark.rate_limit_blocks b
    where b.expires_at > now() and b.lifted_at is null
    limit 100000
  )
  select
    'blocked_callers', '', 'Blocks that are in force, up to 100000',
    jsonb_build_object('kind', k.kind), count(b.kind)::double precision
  from unnest('{address,api_key,pair}'::text[]) as k (kind)
  left join blocked b on b.kind = k.kind
  group by k.kind;
$$;
comment on function bulwark_private.rate_limit_levels() is
  'The levels of rate limits: see docs/metrics.md.';

revoke all on table
  bulwark.rate_limit_rules,
  bulwark.rate_limit_overrides,
  bulwark_private.rate_limits,
  bulwark_private.rate_limit_salt,
  bulwark.rate_limit_networks,
  bulwark_private.known_networks,
  bulwark.rate_limit_blocks,
  bulwark_private.rate_limit_violations,
  bulwark_private.api_key_rules,
  bulwark_private.sign_in_places,
  bulwark_private.organization_api_keys
  from public, anon, authenticated, service_role;
revoke all on sequence
  bulwark_private.rate_limit_scopes
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark_private.rate_limit_hash(name text),
  bulwark_private.charge_buckets(ids uuid[], terms bulwark_private.rate_limit_terms, cost integer),
  bulwark_private.require_rate_limit_rule(rule text),
  bulwark.set_rate_limit(rule text, capacity integer, window_seconds integer, organization_id uuid, api_key_id uuid),
  bulwark.clear_rate_limit(rule text, organization_id uuid, api_key_id uuid),
  bulwark_private.client_network(address text),
  bulwark_private.forwarded_address(headers jsonb, header text, hops integer),
  bulwark_private.client_address(headers jsonb),
  bulwark.list_network(network text, verdict bulwark.network_verdict, reason text, expires_at timestamptz),
  bulwark.unlist_network(network text),
  bulwark_private.note_key_network(api_key_id uuid, organization_id uuid, address text),
  bulwark_private.blockable(kinds text[], names text[], address text),
  bulwark_private.rate_limit_status(kinds text[], names text[], address text, out listed boolean, out blocked_until timestamptz),
  bulwark_private.add_rate_limit_block(rule text, kind text, identifier uuid, organization_id uuid, user_id uuid, api_key_id uuid),
  bulwark_private.note_denial(rule text, kinds text[], names text[], address text, organization_id uuid, user_id uuid, api_key_id uuid, times integer),
  bulwark.lift_rate_limit_block(block_id uuid),
  bulwark_private.api_key_bucket(api_key_id uuid),
  bulwark_private.charge_ahead(ids uuid[], terms bulwark_private.rate_limit_terms, cost integer, calls integer),
  bulwark_private.decide_rate_limit(rule text, kinds text[], names text[], address text, cost integer, organization_id uuid, user_id uuid, api_key_id uuid, calls integer),
  bulwark_private.rate_limit_identifiers(subject bulwark.rate_limit_subject, user_id uuid, api_key_id uuid, address text, account text, out kinds text[], out names text[]),
  bulwark.check_rate_limit(rule text, user_id uuid, api_key_id uuid, address text, account text, organization_id uuid, cost integer, calls integer),
  bulwark.rate_limit_caller(),
  bulwark.rate_limit_rule(rule text, organization_id uuid, api_key_id uuid),
  bulwark.rate_limit_block_of(rule text, user_id uuid, api_key_id uuid, address text, account text),
  bulwark.record_rate_limit_denial(rule text, kinds text[], names text[], address text, organization_id uuid, user_id uuid, api_key_id uuid),
  bulwark.check_rate_limits(rules text[], user_ids uuid[], addresses text[]),
  bulwark_private.exposed_limit_headers(),
  bulwark_private.refuse_request(decision bulwark.rate_limit_decision),
  bulwark_private.headers_with_decision(decision bulwark.rate_limit_decision),
  bulwark_private.resolve_api_key(),
  bulwark_private.decode_path(path text),
  bulwark_private.charge_request(),
  bulwark_private.blocked_decision(rule text, blocked_until timestamptz),
  bulwark.check_request(),
  bulwark.install_request_hook(),
  bulwark_private.charge_attempt(kind text, user_id uuid, valid boolean),
  bulwark.password_verification_attempt_hook(event jsonb),
  bulwark.mfa_verification_attempt_hook(event jsonb),
  bulwark.begin_login(account text, address text, rule text),
  bulwark_private.note_place(user_id uuid, latitude real, longitude real),
  bulwark.finish_login(account text, address text, user_id uuid, latitude real, longitude real),
  bulwark.cleanup_old_rate_limits(),
  bulwark.rate_limit_usage(organization_id uuid),
  bulwark_private.rate_limit_levels()
  from public, anon, authenticated, service_role;

-- Grants of rate limits. The build revokes everything else.

-- PostgREST calls the hook with the role of the request.
grant usage on schema bulwark_private to anon;
grant usage on schema bulwark, bulwark_private to api_key;

grant select on
  bulwark.rate_limit_rules,
  bulwark.rate_limit_overrides,
  bulwark.rate_limit_networks,
  bulwark.rate_limit_blocks
  to authenticated, service_role;

grant execute on function
  bulwark_private.charge_request(),
  bulwark_private.resolve_api_key(),
  bulwark.check_request()
  to anon, authenticated, service_role, api_key;

grant execute on function bulwark.rate_limit_caller() to authenticated, api_key;

grant execute on function
  bulwark.rate_limit_usage(uuid),
  bulwark.set_rate_limit(text, integer, integer, uuid, uuid),
  bulwark.clear_rate_limit(text, uuid, uuid),
  bulwark.list_network(text, bulwark.network_verdict, text, timestamptz),
  bulwark.unlist_network(text),
  bulwark.lift_rate_limit_block(uuid)
  to authenticated, service_role;

grant execute on function
  bulwark.check_rate_limit(text, uuid, uuid, text, text, uuid, integer, integer),
  bulwark.rate_limit_rule(text, uuid, uuid),
  bulwark.rate_limit_block_of(text, uuid, uuid, text, text),
  bulwark.record_rate_limit_denial(text, text[], text[], text, uuid, uuid, uuid),
  bulwark.check_rate_limits(text[], uuid[], text[]),
  bulwark.begin_login(text, text, text),
  bulwark.finish_login(text, text, uuid, real, real),
  bulwark.cleanup_old_rate_limits()
  to service_role;

grant execute on function
  bulwark.password_verification_attempt_hook(jsonb),
  bulwark.mfa_verification_attempt_hook(jsonb)
  to supabase_auth_admin;

insert into bulwark_private.capabilities values ('rate_limits', '0.1.0');

-- A sealer that runs already would take this migration for tampering.
select bulwark.refresh_audit_fingerprints()
where exists (
  select from bulwark_private.audit_watched_tables g
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is not null
);
