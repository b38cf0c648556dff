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
