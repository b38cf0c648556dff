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
