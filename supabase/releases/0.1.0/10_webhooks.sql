-- 10_webhooks: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: gone: alter table bulwark.audit_logs enable always trigger webhooks_take_audit_entries;
-- By hand: changed: create table bulwark.webhook_subscriptions (
-- By hand: changed: create type bulwark.webhook_source as enum ('audit', 'security', 'test', 'invitation');
-- By hand: new: insert into bulwark_private.setting_rules (name, accepts) values
-- By hand: new: insert into bulwark.settings (name, value, description) values
alter type bulwark.webhook_source add value 'invitation';
alter table bulwark.webhook_subscriptions
  drop constraint webhook_subscriptions_pattern_format,
  add constraint webhook_subscriptions_pattern_format check (
    pattern
      ~ '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
    and length(pattern) <= 160
  );
insert into bulwark.settings (name, value, description) values
  ('webhooks.invitation_link', 'null',
    'The link of messages to invitees: an address of the application with {token} in it');
-- The settings that administrators may change.
insert into bulwark_private.setting_rules (name, accepts) values
  ('webhooks.maximum_endpoints', '{"type": "integer", "minimum": 0, "maximum": 10000}'),
  ('webhooks.maximum_attempts', '{"type": "integer", "minimum": 1, "maximum": 50}'),
  ('webhooks.retry_base_seconds', '{"type": "integer", "minimum": 1, "maximum": 3600}'),
  ('webhooks.retry_factor', '{"type": "number", "minimum": 1, "maximum": 10}'),
  ('webhooks.retry_maximum_seconds', '{"type": "integer", "minimum": 1, "maximum": 86400}'),
  ('webhooks.disable_after_failures', '{"type": "integer", "minimum": 1, "maximum": 100000}'),
  ('webhooks.disable_after_hours', '{"type": "integer", "minimum": 1, "maximum": 8760}'),
  ('webhooks.retention_days', '{"type": "integer", "minimum": 1, "maximum": 3650}'),
  ('webhooks.tests_per_minute', '{"type": "integer", "minimum": 0, "maximum": 1000}');
drop trigger webhooks_take_audit_entries on bulwark.audit_logs;
drop function bulwark_private.webhooks_take_audit_entries();
comment on table bulwark.webhook_subscriptions is
  'The events an endpoint receives: those whose type equals the pattern, or begins with it up to its
   asterisk, from a severity upwards. Types are audit.<type of the entry>, security.<type of the
   event> and security.<type of the event>.resolved. The type invitation.created, with the token,
   goes to one endpoint of the installation, which subscribes to it by name.';
create unique index webhook_subscriptions_invitations_idx on bulwark.webhook_subscriptions (pattern)
  where pattern = 'invitation.created';
create index webhook_deliveries_dead_idx
  on bulwark.webhook_deliveries (endpoint_id)
  where status = 'dead';
create table bulwark_private.webhook_upgrades (
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  snapshot pg_snapshot not null,
  xid xid8 not null default pg_current_xact_id(),
  primary key (timeline, xid)
);
comment on table bulwark_private.webhook_upgrades is
  'Upgrades from a version whose writers made the deliveries: those of the entries that are finished
   in the snapshot exist already. Not audited: a release writes it.';
alter table bulwark_private.webhook_upgrades enable row level security;
create function bulwark_private.queue_webhooks(entries uuid[])
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
begin
  insert into bulwark.webhook_deliveries (
    endpoint_id, organization_id, event_id, occurred_at, source, severity, event_type, ordering_key
  )
  select
    r.endpoint_id, r.organization_id, n.id, n.occurred_at, 'audit', n.severity,
    'audit.' || n.event_type,
    case r.ordering
      when 'resource' then bulwark_private.webhook_resource_key(n.resource_type, n.resource_id)
      when 'endpoint' then ''
    end
  from unnest(entries) with ordinality as t (id, place)
  join bulwark.audit_logs n on n.id = t.id
  cross join lateral (
    select distinct r.endpoint_id, r.organization_id, r.ordering
    from bulwark_private.webhook_routes r
    where r.scope = any (array[
        coalesce(n.organization_id, '00000000-0000-0000-0000-000000000000'),
        'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
      ])
      and r.minimum_severity <= n.severity
      and starts_with('audit.' || n.event_type, r.stem)
      and (r.open_ended or r.stem = 'audit.' || n.event_type)
  ) r
  order by t.place;
end;
$$;
comment on function bulwark_private.queue_webhooks(uuid[]) is
  'Writes a delivery for each of these audit entries and each subscribed endpoint, in this order.';
create or replace function bulwark_private.take_sealed_entries(
  seal bigint,
  range bulwark_private.audit_range
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_everybody constant boolean := exists (
    select from bulwark.webhook_subscriptions s
    where s.scope = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  );
  v_scopes uuid[];
begin
  if not v_everybody then
    v_scopes := array(
      select k.scope
      from bulwark_private.audit_groups g
      cross join lateral bulwark_private.webhook_scope(g.organization_id, false) as k (scope)
      where g.seal = take_sealed_entries.seal
        and exists (select from bulwark.webhook_subscriptions s where s.scope = k.scope)
    );
    if v_scopes = '{}' then
      return;
    end if;
  end if;
  -- Ids are ordered by time. So are the changes of a row, which its lock puts one after the other.
  perform bulwark_private.queue_webhooks(array(
    select e.id
    from bulwark_private.audit_entries(
      range, hashed => false, first_id => case
        when (range).base_timeline = (range).timeline
        then bulwark_private.audit_open_from((range).timeline, (range).base_snapshot)
      end
    ) e
    where (v_everybody
        or bulwark_private.webhook_scope(e.organization_id, false) = any (v_scopes))
      and not exists (
        select from bulwark_private.webhook_upgrades u
        where u.timeline = e.timeline
          and case
            when u.xid = e.xid
            then exists (select from bulwark.webhook_deliveries d where d.event_id = e.id)
            else pg_visible_in_snapshot(e.xid, u.snapshot)
          end
      )
    order by e.id
  ));
end;
$$;
comment on function bulwark_private.take_sealed_entries(bigint, bulwark_private.audit_range) is
  'Writes the deliveries of the entries of a seal, in its transaction: the log is the outbox, of
   which the sealer sees each committed entry once.';
create or replace function bulwark_private.require_webhook_rights(organization_id uuid, patterns text[])
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is null then
    if not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
      raise exception 'Cannot manage webhooks: those of the installation need a super_admin'
        using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
          hint = 'Name an organization, or ask a super_admin';
    end if;
    return;
  end if;
  perform bulwark.require_permission('webhook:manage', organization_id);
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'audit.')) then
    perform bulwark.require_permission('audit:read', organization_id);
  end if;
  if exists (select from unnest(patterns) as p where p = '*' or starts_with(p, 'security.')) then
    perform bulwark.require_permission('security:read', organization_id);
  end if;
end;
$$;
create or replace function bulwark_private.find_webhook_endpoint(endpoint_id uuid, changes_content boolean)
  returns bulwark.webhook_endpoints
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
  v_user constant uuid := bulwark.current_person();
begin
  perform bulwark_private.require_caller();
  select * into v_endpoint from bulwark.webhook_endpoints e where e.id = endpoint_id;
  if not found or bulwark_private.sees_webhooks(v_endpoint.organization_id) is not true then
    raise exception 'Cannot find the webhook endpoint: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_ENDPOINT',
        hint = 'List them with: select id from webhook_endpoints';
  end if;
  perform bulwark_private.require_webhook_rights(
    v_endpoint.organization_id,
    -- A new address also receives waiting and replayed deliveries, so their types are checked too.
    -- A caller who may read everything needs no check of each.
    case when changes_content then array(
      select s.pattern
      from bulwark.webhook_subscriptions s
      where s.endpoint_id = find_webhook_endpoint.endpoint_id
      union all
      select o.source || '.*'
      from unnest('{audit,security}'::bulwark.webhook_source[]) as o (source)
      where bulwark_private.user_permits(v_user, o.source || ':read', v_endpoint.organization_id)
          is not true
        and exists (
          select from bulwark.webhook_deliveries d
          where d.endpoint_id = find_webhook_endpoint.endpoint_id and d.source = o.source
        )
    ) end
  );
  return v_endpoint;
end;
$$;
create or replace function bulwark_private.store_webhook_subscriptions(
  endpoint bulwark.webhook_endpoints,
  subscriptions jsonb
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_patterns text[];
begin
  if jsonb_typeof(subscriptions) is distinct from 'array'
    or jsonb_array_length(subscriptions) not between 1 and 50
    or exists (
      select from jsonb_array_elements(subscriptions) s
      where jsonb_typeof(s) <> 'object'
        or jsonb_typeof(s -> 'pattern') is distinct from 'string'
        or s ->> 'pattern' !~
          '^(\*|invitation\.created|(audit|security)(\.[a-z][a-z0-9_]*)*\.(\*|[a-z][a-z0-9_]*))$'
        or length(s ->> 'pattern') > 160
        or coalesce(s ->> 'minimum_severity', 'debug') <> all (
          enum_range(null::bulwark.audit_severity)::text[]
        )
        or s - '{pattern,minimum_severity}'::text[] <> '{}'
    ) then
    raise exception 'Cannot subscribe: subscriptions are a list of 1 to 50 patterns with severities'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION',
            hint = '[{"pattern": "audit.authz.*", "minimum_severity": "warning"}]';
  end if;
  v_patterns := array(select s ->> 'pattern' from jsonb_array_elements(subscriptions) s);
  -- The receiver of this event gets tokens that accept invitations. Each delivery makes a new token
  -- and ends the one before, so a second receiver would get tokens that no longer work.
  if 'invitation.created' = any (v_patterns) and (
    endpoint.organization_id is not null or endpoint.format <> 'json' or exists (
      select from bulwark.webhook_subscriptions s
      where s.pattern = 'invitation.created' and s.endpoint_id <> endpoint.id
    )
  ) then
    raise exception 'Cannot subscribe: one endpoint of the installation, as json, gets invitations'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_SUBSCRIPTION';
  end if;
  perform bulwark_private.require_webhook_rights(endpoint.organization_id, v_patterns);
  delete from bulwark.webhook_subscriptions s
  where s.endpoint_id = endpoint.id and s.pattern <> all (v_patterns);
  insert into bulwark.webhook_subscriptions (endpoint_id, pattern, minimum_severity, scope)
  select
    endpoint.id, s ->> 'pattern',
    min(coalesce(s ->> 'minimum_severity', 'debug')::bulwark.audit_severity),
    bulwark_private.webhook_scope(endpoint.organization_id, endpoint.every_organization)
  from jsonb_array_elements(subscriptions) s
  group by s ->> 'pattern'
  on conflict on constraint webhook_subscriptions_pkey do update
    set minimum_severity = excluded.minimum_severity;
end;
$$;
create or replace function bulwark.create_webhook_endpoint(
  id uuid,
  organization_id uuid,
  name text,
  origin text,
  destination text,
  secret_id uuid,
  secret text,
  subscriptions jsonb,
  format bulwark.webhook_format default 'json',
  ordering bulwark.webhook_ordering default 'none',
  include_details boolean default false,
  follow_redirects boolean default false,
  every_organization boolean default false
)
  returns bulwark.webhook_endpoints
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endpoint bulwark.webhook_endpoints;
begin
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_rights(organization_id);
  perform bulwark_private.hold_session();
  perform bulwark_private.require_webhook_rights(organization_id, null);
  perform bulwark_private.lock_count('webhook_endpoints', organization_id::text);
  if (
    select count(*) from bulwark.webhook_endpoints e
    where e.organization_id is not distinct from create_webhook_endpoint.organization_id
  ) >= (bulwark_private.setting('webhooks.maximum_endpoints'))::integer then
    raise exception 'Cannot create webhook endpoint: the limit is reached'
      using errcode = 'PT409', detail = 'WEBHOOK_TOO_MANY_ENDPOINTS',
            hint = 'Delete one first; the limit is the setting webhooks.maximum_endpoints';
  end if;
  if exists (
    select from bulwark.webhook_endpoints e where e.id = create_webhook_endpoint.id
  ) or exists (
    select from bulwark.webhook_deliveries d where d.endpoint_id = create_webhook_endpoint.id
  ) then
    raise exception 'Cannot create webhook endpoint: the id was used before'
      using errcode = 'unique_violation', detail = 'WEBHOOK_ID_TAKEN',
        hint = 'Choose a new random id';
  end if;
  insert into bulwark.webhook_endpoints (
    id, organization_id, every_organization, name, origin, format, ordering, include_details,
    follow_redirects, created_by
  )
  values (
    create_webhook_endpoint.id, create_webhook_endpoint.organization_id,
    create_webhook_endpoint.every_organization, create_webhook_endpoint.name,
    create_webhook_endpoint.origin, create_webhook_endpoint.format,
    create_webhook_endpoint.ordering, create_webhook_endpoint.include_details,
    create_webhook_endpoint.follow_redirects, bulwark.current_person()
  )
  returning * into v_endpoint;
  insert into bulwark_private.webhook_destinations (endpoint_id, organization_id, ciphertext)
  values (v_endpoint.id, v_endpoint.organization_id, destination);
  insert into bulwark_private.webhook_secrets (id, endpoint_id, organization_id, ciphertext)
  values (secret_id, v_endpoint.id, v_endpoint.organization_id, secret);
  insert into bulwark.webhook_endpoint_health (endpoint_id) values (v_endpoint.id);
  insert into bulwark_private.webhook_turns (endpoint_id, account_id)
  values (v_endpoint.id, bulwark_private.webhook_account(v_endpoint.organization_id));
  perform bulwark_private.store_webhook_subscriptions(v_endpoint, subscriptions);
  return v_endpoint;
end;
$$;
create or replace function bulwark_private.hold_webhook_endpoint(endpoint_id uuid, until timestamptz)
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
create or replace function bulwark_private.pick_webhooks(endpoint_id uuid, maximum integer)
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
create or replace function bulwark_private.pick_webhooks_in_order(endpoint_id uuid, maximum integer)
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
create or replace function bulwark.claim_webhook_deliveries(
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
create or replace function bulwark.complete_webhook_deliveries(results jsonb)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_maximum constant integer := (bulwark_private.setting('webhooks.maximum_attempts'))::integer;
  v_now constant timestamptz := clock_timestamp();
  v_endpoint record;
  v_endpoints uuid[];
  v_taken bigint := 0;
begin
  if jsonb_typeof(results) is distinct from 'array' then
    raise exception 'Cannot complete deliveries: the results are not a list'
      using errcode = 'invalid_parameter_value', detail = 'WEBHOOK_INVALID_RESULTS';
  end if;
  -- Claimed but not attempted: unchanged, and due again.
  with returned as (
    update bulwark.webhook_deliveries d
    set attempt_id = null, attempts = d.attempts - 1, due_at = v_now, claimed_by = null,
      claimed_at = null
    from jsonb_to_recordset(results) as r (attempt_id uuid, delivery_id uuid, outcome text)
    where d.id = r.delivery_id and d.attempt_id = r.attempt_id and r.outcome is null
    returning d.endpoint_id
  )
  select coalesce(array_agg(r.endpoint_id), '{}') into v_endpoints from returned r;
  for v_endpoint in
    with finished as (
      update bulwark.webhook_deliveries d
      set attempt_id = null,
        status = case
          when r.outcome = 'delivered' then 'delivered'
          when d.attempts - d.attempts_before >= v_maximum then 'dead'
          else 'pending'
        end::bulwark.webhook_delivery_status,
        finished_at = case
          when r.outcome = 'delivered' or d.attempts - d.attempts_before >= v_maximum then v_now
        end,
        due_at = case
          when r.outcome = 'delivered' then v_now
          else v_now
            + bulwark_private.webhook_wait(d.attempts - d.attempts_before, r.retry_after_seconds)
        end
      from jsonb_to_recordset(results) as r (
        attempt_id uuid, delivery_id uuid, outcome bulwark.webhook_outcome, status smallint,
        latency_ms bigint, response text, retry_after_seconds integer
      )
      where d.id = r.delivery_id and d.attempt_id = r.attempt_id and r.outcome is not null
      returning
        r.attempt_id, d.id, d.endpoint_id, d.attempts, r.outcome, d.claimed_by, d.claimed_at,
        r.latency_ms, r.status, left(r.response, 1024) as response
    ),
    logged as (
      insert into bulwark.webhook_attempts (
        id, delivery_id, number, outcome, worker, started_at, latency_ms, status, response
      )
      select
        f.attempt_id, f.id, f.attempts, f.outcome, f.claimed_by, f.claimed_at, f.latency_ms,
        f.status, f.response
      from finished f
    )
    select
      f.endpoint_id,
      count(*) as attempts,
      count(*) filter (where f.outcome <> 'delivered') as failures,
      -- A slow failure occupies a worker like a timeout.
      count(*) filter (
        where f.outcome = 'timed_out' or f.outcome <> 'delivered' and f.latency_ms >= 5000
      ) as timeouts,
      coalesce(bool_or(f.status = 410), false) as gone
    from finished f
    group by f.endpoint_id
    order by f.endpoint_id
  loop
    v_endpoints := v_endpoints || v_endpoint.endpoint_id;
    v_taken := v_taken + v_endpoint.attempts;
    perform bulwark_private.note_webhook_health(
      v_endpoint.endpoint_id, v_endpoint.attempts - v_endpoint.failures, v_endpoint.failures,
      v_endpoint.timeouts, v_endpoint.gone
    );
  end loop;
  -- Another worker has the delivery by now, but the outcome of this attempt is recorded.
  if v_taken < jsonb_array_length(results) then
    update bulwark.webhook_attempts a
    set outcome = r.outcome, status = r.status, latency_ms = r.latency_ms,
      response = left(r.response, 1024)
    from jsonb_to_recordset(results) as r (
      attempt_id uuid, delivery_id uuid, outcome bulwark.webhook_outcome, status smallint,
      latency_ms bigint, response text
    )
    where a.delivery_id = r.delivery_id and a.id = r.attempt_id and a.outcome = 'lost'
      and r.outcome is not null
      -- Deliveries that are being pruned take their attempts along.
      and a.delivery_id in (
        select d.id from bulwark.webhook_deliveries d
        where d.id in (
          select r.delivery_id from jsonb_to_recordset(results) as r (delivery_id uuid)
        )
        for key share skip locked
      );
  end if;
  perform bulwark_private.end_webhook_attempts(v_endpoints);
  return v_taken;
end;
$$;
create or replace function bulwark_private.note_webhook_health(
  endpoint_id uuid,
  successes bigint,
  failures bigint,
  timeouts bigint,
  gone boolean
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Repeated successes change nothing, so nothing is locked or written.
  if failures = 0 and not exists (
    select from bulwark.webhook_endpoint_health h
    where h.endpoint_id = note_webhook_health.endpoint_id
      and (h.consecutive_failures > 0 or not h.proven)
  ) then
    return;
  end if;
  -- One worker at a time counts for an endpoint, in the order of endpoints. None waits for the row
  -- itself: somebody who deletes several endpoints locks them in another order, which would be a
  -- deadlock. The count is lost then.
  perform pg_advisory_xact_lock(hashtextextended('bulwark.webhook_health/' || endpoint_id, 0));
  update bulwark.webhook_endpoint_health h
  set consecutive_failures = case
      when successes > 0 then 0
      else h.consecutive_failures + failures
    end,
    -- The timeouts of a batch count once, and only if they outnumber its successes.
    consecutive_timeouts = case
      when timeouts > successes then h.consecutive_timeouts + 1
      else 0
    end,
    proven = timeouts <= successes
      and (successes > 0 or h.proven and h.consecutive_failures + failures < 3),
    failing_since = case
      when successes = 0 then coalesce(h.failing_since, clock_timestamp())
    end,
    last_failure_at = case when failures > 0 then clock_timestamp() else h.last_failure_at end
  where h.endpoint_id = (
    select f.endpoint_id
    from bulwark.webhook_endpoint_health f
    where f.endpoint_id = note_webhook_health.endpoint_id
    for update skip locked
  );
  if gone or successes = 0 then
    perform bulwark_private.disable_failing_webhook(endpoint_id, gone);
  end if;
end;
$$;
create or replace function bulwark.replay_webhook_delivery(delivery_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because no client writes the tables
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_delivery bulwark.webhook_deliveries;
begin
  perform bulwark_private.require_caller();
  select * into v_delivery
  from bulwark.webhook_deliveries d where d.id = replay_webhook_delivery.delivery_id;
  if not found or bulwark_private.sees_webhooks(v_delivery.organization_id) is not true then
    raise exception 'Cannot replay the delivery: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_DELIVERY',
        hint = 'List them with: select id from webhook_deliveries';
  end if;
  perform bulwark_private.take_webhook_endpoint(v_delivery.endpoint_id, false);
  if bulwark_private.replay_webhooks(array[delivery_id]) = 0 then
    raise exception 'Cannot replay the delivery: it is still being attempted'
      using errcode = 'PT409', detail = 'WEBHOOK_DELIVERY_PENDING',
        hint = 'Wait: it is delivered, or given up after its last attempt';
  end if;
end;
$$;
create or replace function bulwark.prune_webhook_deliveries(maximum integer default 100000)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because the service role writes no table
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_before constant timestamptz := now() - make_interval(
    days => (bulwark_private.setting('webhooks.retention_days'))::integer
  );
  v_pruned integer;
begin
  -- Rows that somebody has locked are left for the next run.
  delete from bulwark_private.webhook_secrets s
  where s.id in (
    select o.id from bulwark_private.webhook_secrets o
    where o.expires_at <= now()
    for update skip locked
  );
  with recursive seen (endpoint_id) as (
    (select d.endpoint_id from bulwark.webhook_deliveries d order by d.endpoint_id limit 1)
    union all
    select (
      select d.endpoint_id
      from bulwark.webhook_deliveries d
      where d.endpoint_id > s.endpoint_id
      order by d.endpoint_id
      limit 1
    )
    from seen s
    where s.endpoint_id is not null
  )
  delete from bulwark.webhook_deliveries d
  where d.id = any (
    array(
      select o.id
      from seen s
      join bulwark.webhook_deliveries o on o.endpoint_id = s.endpoint_id
      where not exists (select from bulwark.webhook_endpoints e where e.id = s.endpoint_id)
      limit maximum
      for update of o skip locked
    )
    || array(
      select o.id
      from bulwark.webhook_deliveries o
      where o.occurred_at < v_before
        and (
          o.finished_at < v_before
          -- Pending deliveries of an endpoint that was disabled longer ago than the retention.
          or o.status = 'pending' and exists (
            select from bulwark.webhook_endpoints e
            where e.id = o.endpoint_id and e.disabled_at < v_before
          )
        )
      limit maximum
      for update skip locked
    )
  );
  get diagnostics v_pruned = row_count;
  return v_pruned;
end;
$$;
create function bulwark.webhook_stats(
  organization_id uuid default null,
  since timestamptz default null
)
  returns table (
    endpoint_id uuid,
    name text,
    state text,
    counted_since timestamptz,
    pending bigint,
    delivered bigint,
    dead bigint,
    attempts bigint,
    p50_ms double precision,
    p95_ms double precision,
    oldest_pending_at timestamptz,
    last_delivered_at timestamptz,
    failing_since timestamptz
  )
  language plpgsql
  stable
  rows 25
  security definer            -- definer because row-level security would decide for each delivery
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
#variable_conflict use_column
declare
  v_since constant timestamptz := coalesce(webhook_stats.since, now() - interval '1 day');
begin
  if webhook_stats.organization_id is not null then
    perform bulwark.require_permission('webhook:read', webhook_stats.organization_id);
  else
    perform bulwark_private.require_webhook_rights(null, null);
  end if;
  return query
    select
      e.id, e.name, coalesce(e.disabled_reason, 'enabled'), s.counted_since, coalesce(s.pending, 0),
      coalesce(s.delivered, 0), coalesce(s.dead, 0), coalesce(s.attempts, 0)::bigint, t.p50, t.p95,
      s.oldest_pending_at, s.last_delivered_at, h.failing_since
    from bulwark.webhook_endpoints e
    join bulwark.webhook_endpoint_health h on h.endpoint_id = e.id
    cross join lateral (
      select
        min(d.occurred_at) as counted_since,
        count(*) filter (where d.status = 'pending') as pending,
        count(*) filter (where d.status = 'delivered') as delivered,
        count(*) filter (where d.status = 'dead') as dead,
        sum(d.attempts) as attempts,
        min(d.occurred_at) filter (where d.status = 'pending') as oldest_pending_at,
        max(d.finished_at) filter (where d.status = 'delivered') as last_delivered_at,
        array_agg(d.id order by d.sequence desc) filter (where d.status = 'delivered') as done
      from (
        select * from bulwark.webhook_deliveries r
        where r.endpoint_id = e.id
        order by r.sequence desc
        limit 1000
      ) d
      where d.occurred_at >= v_since
    ) s
    cross join lateral (
      select
        percentile_disc(0.5) within group (order by a.latency_ms)::double precision as p50,
        percentile_disc(0.95) within group (order by a.latency_ms)::double precision as p95
      from bulwark.webhook_attempts a
      where a.delivery_id = any (s.done[1:200]) and a.outcome = 'delivered'
    ) t
    where e.organization_id is not distinct from webhook_stats.organization_id
    order by e.name, e.id;
end;
$$;
comment on function bulwark.webhook_stats(uuid, timestamptz) is
  'The endpoints of an organization (webhook:read there; null: of the installation, for a
   super_admin) with state (enabled, manual, failing or gone) and counts of the newest 1,000
   deliveries of each since a time (default: a day ago): pending, delivered, dead and attempts;
   latencies in milliseconds of the newest 200 delivered; counted_since: the oldest event counted.
   Errors: RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
create function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because clients read neither routes nor bodies
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_body jsonb;
  v_delivery bulwark.webhook_deliveries;
  v_endpoint bulwark.webhook_endpoints;
  v_entry bulwark.audit_logs;
  v_event bulwark.security_events;
begin
  perform bulwark_private.require_caller();
  select * into v_endpoint
  from bulwark.webhook_endpoints e where e.id = preview_webhook_delivery.endpoint_id;
  if not found or bulwark_private.sees_webhooks(v_endpoint.organization_id) is not true then
    raise exception 'Cannot find the webhook endpoint: it does not exist or you may not see it'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_ENDPOINT',
        hint = 'List them with: select id from webhook_endpoints';
  end if;
  if v_endpoint.organization_id is not null then
    perform bulwark.require_permission('webhook:read', v_endpoint.organization_id);
  end if;
  select * into v_entry from bulwark.audit_logs a where a.id = event_id;
  if found then
    v_delivery.source := 'audit';
    v_delivery.organization_id := v_entry.organization_id;
    v_delivery.occurred_at := v_entry.occurred_at;
    v_delivery.severity := v_entry.severity;
    v_delivery.event_type := 'audit.' || v_entry.event_type;
  else
    select * into v_event from bulwark.security_events s where s.id = event_id;
    v_delivery.source := 'security';
    v_delivery.organization_id := v_event.organization_id;
    v_delivery.occurred_at := coalesce(v_event.resolved_at, v_event.raised_at);
    v_delivery.severity := case v_event.severity
      when 'low' then 'info'::bulwark.audit_severity
      when 'medium' then 'warning'
      when 'high' then 'error'
      else 'critical'
    end;
    v_delivery.event_type := concat(
      'security.', v_event.event_type,
      case when v_event.resolved_at is not null then '.resolved' end
    );
  end if;
  -- A foreign event and none get the same answer.
  if num_nonnulls(v_entry.id, v_event.id) = 0
    or not v_endpoint.every_organization
      and v_delivery.organization_id is distinct from v_endpoint.organization_id
  then
    raise exception 'Cannot preview the delivery: the endpoint gets no event with this id'
      using errcode = 'PT404', detail = 'WEBHOOK_UNKNOWN_EVENT',
        hint = 'Pass the id of an entry or event that the endpoint subscribes to';
  end if;
  if v_delivery.organization_id is not null then
    perform bulwark.require_permission(v_delivery.source || ':read', v_delivery.organization_id);
  end if;
  begin
    -- Workers read bodies from this view, so the preview is not another text. The delivery is
    -- undone at once, and nobody else ever sees it.
    insert into bulwark.webhook_deliveries (
      endpoint_id, organization_id, event_id, occurred_at, source, severity, status, event_type
    )
    values (
      v_endpoint.id, v_endpoint.organization_id, preview_webhook_delivery.event_id,
      v_delivery.occurred_at, v_delivery.source, v_delivery.severity, 'delivered',
      v_delivery.event_type
    )
    returning id into v_delivery.id;
    if v_event.id is not null then
      insert into bulwark_private.webhook_payloads (delivery_id, data)
      values (v_delivery.id, to_jsonb(v_event));
    end if;
    select b.body into v_body
    from bulwark_private.webhook_bodies b where b.delivery_id = v_delivery.id;
    raise exception using errcode = 'BWK01';
  exception
    when sqlstate 'BWK01' then
      null;
  end;
  return jsonb_build_object(
    'subscribed', exists (
      select from bulwark.webhook_subscriptions s
      where s.endpoint_id = v_endpoint.id
        and s.minimum_severity <= v_delivery.severity
        and starts_with(v_delivery.event_type, s.stem)
        and (s.open_ended or s.stem = v_delivery.event_type)
    ),
    'enabled', v_endpoint.disabled_at is null,
    'format', v_endpoint.format,
    'event', v_body
  );
end;
$$;
comment on function bulwark.preview_webhook_delivery(uuid, uuid) is
  'The content that an endpoint would get for an event, the id of an audit entry or a security
   event, as it is now (webhook:read, and audit:read or security:read where the event belongs):
   { subscribed (a subscription matches), enabled, format, event }. The function webhooks makes the
   body of the event, in the endpoint''s format. Nothing is sent or kept, and it has no address or
   secret. Errors: WEBHOOK_UNKNOWN_ENDPOINT, WEBHOOK_UNKNOWN_EVENT,
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';
alter table bulwark.settings
  -- squawk-ignore constraint-missing-not-valid
  add constraint settings_webhooks_invitation_link check (
    name <> 'webhooks.invitation_link' or value = 'null'
    or jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^https?://[^[:space:]]*\{token\}'
  );
create or replace function bulwark_private.announce_invitation(invitation_id uuid)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark.webhook_deliveries (
    endpoint_id, event_id, occurred_at, source, severity, event_type
  )
  select s.endpoint_id, i.id, i.created_at, 'invitation', 'info', s.pattern
  from bulwark.invitations i
  join bulwark.webhook_subscriptions s on s.pattern = 'invitation.created'
  where i.id = announce_invitation.invitation_id;
  return found;
end;
$$;
comment on function bulwark_private.announce_invitation(uuid) is
  'Whether the invitation will be sent to the invitee, with a token that is made then: writes a
   delivery to the endpoint with the subscription invitation.created; false if there is none.';
create function bulwark_private.invitation_message(invitation_id uuid)
  returns json
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation bulwark.invitations;
  v_token text;
begin
  select * into v_invitation
  from bulwark.invitations i
  where i.id = invitation_message.invitation_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.expires_at > now();
  if found then
    v_token := bulwark_private.issue_invitation_token(v_invitation.id);
  end if;
  return json_build_object(
    'type', 'invitation.created',
    'timestamp', to_char(
      coalesce(v_invitation.created_at, now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ),
    'severity', 'info',
    'data', case
      when v_token is null then json_build_object('id', invitation_id, 'removed', true)
      else (
        select json_build_object(
          'id', v_invitation.id,
          'organization', json_build_object('id', o.id, 'name', o.name, 'slug', o.slug),
          'email', v_invitation.email,
          'role', r.name,
          'invited_by', case when p.user_id is not null then json_build_object(
            'name', bulwark_private.printable_name(p.said_name), 'email', p.email
          ) end,
          'expires_at', v_invitation.expires_at,
          'role_expires_at', v_invitation.role_expires_at,
          'token', v_token,
          'link', replace(
            bulwark_private.setting('webhooks.invitation_link') #>> '{}', '{token}', v_token
          )
        )
        from bulwark.organizations o
        join bulwark.roles r on r.id = v_invitation.role_id
        left join bulwark_private.people p on p.user_id = v_invitation.invited_by
        where o.id = v_invitation.organization_id
      )
    end
  );
end;
$$;
comment on function bulwark_private.invitation_message(uuid) is
  'The content of a delivery about an invitation, with a new token, which replaces the one before.
   Without, and with removed true, if the invitation is no longer pending.';
create function bulwark_private.webhook_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language sql
  stable
  rows 7
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- statistics lag behind an outbox that fills
  set jit = off
as $$
  -- Each branch reads the index of its condition.
  with pending as materialized (
    (
      select d.endpoint_id from bulwark.webhook_deliveries d
      where d.status = 'pending' and d.ordering_key is null
      limit 100000
    )
    union all
    (
      select d.endpoint_id from bulwark.webhook_deliveries d
      where d.status = 'pending' and d.ordering_key is not null
      limit 100000
    )
  ),
  -- With an order, only the first delivery of a key is due; the first key stands for the others.
  oldest as (
    select min(f.due_at) as due_at
    from bulwark.webhook_endpoints e
    cross join lateral (
      select least(
        (
          select min(d.due_at) from bulwark.webhook_deliveries d
          where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is null
        ),
        (
          select d.due_at from bulwark.webhook_deliveries d
          where d.endpoint_id = e.id and d.status = 'pending' and d.ordering_key is not null
          order by d.ordering_key, d.sequence
          limit 1
        )
      )
    ) f (due_at)
    where e.disabled_at is null
  )
  select l.metric, l.unit, l.description, l.labels, l.value::double precision
  from (
    select
      'webhook_deliveries', '', 'Webhook deliveries, up to 100000 of a kind',
      '{"status": "pending"}'::jsonb, (
        select count(*) from pending p
        join bulwark.webhook_endpoints e on e.id = p.endpoint_id and e.disabled_at is null
      )
    union all
    select
      'webhook_deliveries', '', 'Webhook deliveries, up to 100000 of a kind',
      '{"status": "dead"}', (
        select count(*)
        from (
          select from bulwark.webhook_deliveries d where d.status = 'dead' limit 100000
        ) d
      )
    union all
    select
      'webhook_delivery_lag', 'seconds', 'How long the oldest due webhook delivery waits',
      '{}', greatest(coalesce((select extract(epoch from now() - o.due_at) from oldest o), 0), 0)
    union all
    select
      'webhook_endpoints_disabled', '', 'Endpoints that get nothing',
      jsonb_build_object('reason', r.reason), count(e.id)
    from unnest('{manual,failing,gone}'::text[]) as r (reason)
    left join bulwark.webhook_endpoints e on e.disabled_reason = r.reason
    group by r.reason
    union all
    select
      'alerts_silenced', '', 'Alerts that reach nobody', '{"reason": "no_receiver"}', count(*)
    from bulwark.security_event_types t
    where t.severity in ('high', 'critical') and not exists (
      select from bulwark.webhook_subscriptions s
      join bulwark.webhook_endpoints e on e.id = s.endpoint_id
      where e.organization_id is null and e.disabled_at is null and case
        when s.open_ended then starts_with('security.' || t.name, s.stem)
        else s.pattern = 'security.' || t.name
      end
    )
  ) as l (metric, unit, description, labels, value);
$$;
comment on function bulwark_private.webhook_levels() is
  'The levels of webhooks: see docs/metrics.md. Deliveries to disabled endpoints do not wait.';
revoke all on table bulwark_private.webhook_upgrades from public;
revoke all on table bulwark_private.webhook_upgrades from anon;
revoke all on table bulwark_private.webhook_upgrades from authenticated;
revoke all on table bulwark_private.webhook_upgrades from service_role;
revoke all on function bulwark_private.queue_webhooks(entries uuid[]) from public;
revoke all on function bulwark_private.queue_webhooks(entries uuid[]) from anon;
revoke all on function bulwark_private.queue_webhooks(entries uuid[]) from authenticated;
revoke all on function bulwark_private.queue_webhooks(entries uuid[]) from service_role;
revoke all on function bulwark_private.hold_invitation(invitation_id uuid) from public;
revoke all on function bulwark_private.hold_invitation(invitation_id uuid) from anon;
revoke all on function bulwark_private.hold_invitation(invitation_id uuid) from authenticated;
revoke all on function bulwark_private.hold_invitation(invitation_id uuid) from service_role;
revoke all on function bulwark.webhook_stats(organization_id uuid, since timestamptz) from public;
revoke all on function bulwark.webhook_stats(organization_id uuid, since timestamptz) from anon;
revoke all on function bulwark.webhook_stats(organization_id uuid, since timestamptz) from authenticated;
revoke all on function bulwark.webhook_stats(organization_id uuid, since timestamptz) from service_role;
revoke all on function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid) from public;
revoke all on function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid) from anon;
revoke all on function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid) from authenticated;
revoke all on function bulwark.preview_webhook_delivery(endpoint_id uuid, event_id uuid) from service_role;
revoke all on function bulwark_private.invitation_message(invitation_id uuid) from public;
revoke all on function bulwark_private.invitation_message(invitation_id uuid) from anon;
revoke all on function bulwark_private.invitation_message(invitation_id uuid) from authenticated;
revoke all on function bulwark_private.invitation_message(invitation_id uuid) from service_role;
revoke all on function bulwark_private.webhook_levels() from public;
revoke all on function bulwark_private.webhook_levels() from anon;
revoke all on function bulwark_private.webhook_levels() from authenticated;
revoke all on function bulwark_private.webhook_levels() from service_role;
grant execute on function bulwark.webhook_stats(uuid, timestamptz) to authenticated;
grant execute on function bulwark.webhook_stats(uuid, timestamptz) to service_role;
grant execute on function bulwark.preview_webhook_delivery(uuid, uuid) to authenticated;
grant execute on function bulwark.preview_webhook_delivery(uuid, uuid) to service_role;
-- Until here the trigger of the log made the deliveries. It is dropped, and the lock that this
-- takes waited for every writer, so all entries that it saw are finished in this snapshot.
insert into bulwark_private.webhook_upgrades (timeline, snapshot)
select bulwark_private.audit_timeline(), pg_current_snapshot();
