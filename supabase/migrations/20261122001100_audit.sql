-- Audit: the log of who did what, its vocabulary, and the rule that an entry never changes.
-- Protects against an entry that is altered, removed, forged or back-dated by anybody who works
-- through SQL, the service role included. A superuser can switch triggers off: what he does then
-- is found by verification (audit_verification), not prevented.
-- SECURITY DEFINER: audit_logs_refuse_change, because it looks into removal records and prunings
--   whoever writes; private.audited_organizations, because the chains of organizations are for no
--   client.

create type public.audit_severity as enum ('debug', 'info', 'warning', 'error', 'critical');
comment on type public.audit_severity is 'How serious an event is, in rising order.';
create type public.audit_result as enum ('success', 'failure', 'partial');
comment on type public.audit_result is 'How what the entry tells of ended.';
create type public.audit_source as enum ('table', 'auth', 'client', 'service');
comment on type public.audit_source is
  'How an entry came to be: seen by the trigger of a guarded table, seen on the auth schema,
   reported by a client about itself, or recorded by Bulwark and the operator''s functions.';
create type public.audit_actor_type as enum ('user', 'api_key', 'service', 'anonymous', 'database');
comment on type public.audit_actor_type is
  'What acted: a person, an API key, the service role, a request without a user, or somebody
   connected to the database without an API role (database_user says as whom).';

create table public.audit_event_types (
  name text primary key,
  description text not null,
  severity public.audit_severity not null default 'info',
  reported_by_clients boolean not null default false,
  constraint audit_event_types_name_format check (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$'),
  constraint audit_event_types_name_length check (length(name) <= 64),
  constraint audit_event_types_closed_categories check (
    not reported_by_clients or split_part(name, '.', 1) <> all (
      array['auth', 'authz', 'config', 'security', 'settings', 'system']
    )
  ),
  -- What is more serious is kept when payloads are cleaned up, and who reports does not decide that.
  constraint audit_event_types_clients_report_up_to_warning check (
    not reported_by_clients or severity <= 'warning'
  )
);
comment on table public.audit_event_types is
  'The catalogue of event types (category.name). A host application adds rows of its own.';
comment on column public.audit_event_types.severity is
  'What an entry has when its writer names none.';
comment on column public.audit_event_types.reported_by_clients is
  'Whether a client may report it of itself with log_audit_event.';

-- No foreign keys: an entry outlives what it tells of. No check constraints: each would be parsed
-- anew on every append; the triggers check. Columns stand in order of their alignment.
create table public.audit_logs (
  id uuid primary key,
  xid xid8 not null,
  occurred_at timestamptz not null,
  era smallint not null,
  source public.audit_source not null,
  severity public.audit_severity not null,
  result public.audit_result not null default 'success',
  actor_type public.audit_actor_type,
  organization_id uuid,
  actor_id uuid,
  session_id uuid,
  correlation_id uuid,
  parent_id uuid,
  salt uuid,
  removed_by uuid,
  event_type text not null,
  resource_type text,
  resource_id text,
  action text,
  database_user text,
  ip text,
  user_agent text,
  before jsonb,
  after jsonb,
  details jsonb,
  commitment bytea
);
comment on table public.audit_logs is
  'What happened, one entry each, never changed and never removed but by retention and erasure,
   which take the payload and leave the skeleton: id, xid, occurred_at, era, source, severity,
   result, organization_id, event_type, resource_type. Everything else is payload and may be
   personal.';
comment on column public.audit_logs.id is 'UUID version 7: ordered by time, down to the
   microsecond.';
comment on column public.audit_logs.xid is
  'The transaction that wrote the entry; it decides which seal holds it.';
comment on column public.audit_logs.era is
  'Counts the clusters the log has lived in: transaction ids restart where a dump is restored.';
comment on column public.audit_logs.actor_id is
  'Who acted, as the request claims: whoever can run SQL can claim anything. database_user is what
   the database itself knows.';
comment on column public.audit_logs.database_user is 'The session_user: who logged in to the
   database.';
comment on column public.audit_logs.ip is
  'Where the request came from by the header that a trusted proxy writes (the settings
   rate_limits.address_header and address_hops) or, of an auth event, by what Supabase Auth saw. While
   no proxy is trusted it is the first address of X-Forwarded-For, the client''s own claim.';
comment on column public.audit_logs.correlation_id is
  'The same in all entries of a request: its header x-correlation-id where that is a UUID, else made
   of the transaction id.';
comment on column public.audit_logs.parent_id is 'The entry this one belongs to.';
comment on column public.audit_logs.before is 'Old values: of an update only those that changed.';
comment on column public.audit_logs.after is 'New values: of an update only those that changed.';
comment on column public.audit_logs.salt is
  'Blinds the commitment to the payload, and leaves together with the payload.';
comment on column public.audit_logs.removed_by is
  'The entry that records why the payload is gone; null while it is here.';
comment on column public.audit_logs.commitment is
  'Of a removed payload: SHA-256 of salt and payload, so that every proof still holds.';

-- The sealer finds what is new by transaction, readers page through organizations by id, and
-- verification counts what a removal record covers.
create index audit_logs_xid_idx on public.audit_logs (era, xid);
create index audit_logs_organization_id_idx on public.audit_logs (organization_id, id);
create index audit_logs_removed_by_idx on public.audit_logs (removed_by)
  where removed_by is not null;

create table private.audit_eras (
  era smallint primary key,
  relation oid not null,
  system_identifier bigint not null,
  timeline bigint not null,
  started_at timestamptz not null default clock_timestamp(),
  constraint audit_eras_is_one_a_table unique (relation, system_identifier)
);
comment on table private.audit_eras is
  'The clusters the log has lived in, told apart by the table''s own oid: it is another one after a
   dump is restored, and stays the same as long as transaction ids go on.';

alter table public.audit_event_types enable row level security;
alter table public.audit_logs enable row level security;
alter table private.audit_eras enable row level security;

create function private.audited_organizations()
  returns setof uuid
  language plpgsql
  stable
  rows 10
  security definer            -- definer because groups are for no client
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query select private.organizations_with('audit:read');
  -- An organization that was deleted is in no list but that of the log.
  if private.is_super_admin() then
    return query
      with recursive logged (organization_id) as (
        select min.organization_id
        from (
          select g.organization_id from private.audit_groups g
          where g.organization_id is not null
          order by g.organization_id
          limit 1
        ) min
        union all
        select (
          select g.organization_id from private.audit_groups g
          where g.organization_id > l.organization_id
          order by g.organization_id
          limit 1
        )
        from logged l
        where l.organization_id is not null
      )
      select l.organization_id
      from logged l
      where l.organization_id is not null
        and not exists (select from public.organizations o where o.id = l.organization_id);
  end if;
end;
$$;
comment on function private.audited_organizations() is
  'The organizations whose log the caller may read, for the policy: those with audit:read and, of a
   super_admin, those that no longer exist too.';

create policy "Anyone signed in reads the catalogue of event types"
  on public.audit_event_types for select to authenticated
  using (true);

-- Each side of the or has an index; a bare is_super_admin() would make everybody scan.
create policy "Members read the audit log of organizations where they may"
  on public.audit_logs for select to authenticated
  using (
    organization_id = any (array(select private.audited_organizations()))
    or (organization_id is null and (select private.is_super_admin()))
  );

-- The bytes that are hashed, in one place for sealing, verification, proofs and export. The payload
-- is built as text, not as jsonb: what is hashed is then exactly what is exported.
create view private.audit_payloads with (security_invoker = true) as
  select
    e.*,
    case when e.removed_by is null then concat(
      '{"actor_type":"', e.actor_type, '"',
      ',"actor_id":"' || e.actor_id::text || '"',
      ',"database_user":' || to_json(e.database_user)::text,
      ',"session_id":"' || e.session_id::text || '"',
      ',"ip":' || to_json(e.ip)::text,
      ',"user_agent":' || to_json(e.user_agent)::text,
      ',"resource_id":' || to_json(e.resource_id)::text,
      ',"action":' || to_json(e.action)::text,
      ',"correlation_id":"' || e.correlation_id::text || '"',
      ',"parent_id":"' || e.parent_id::text || '"',
      ',"before":' || e.before::text,
      ',"after":' || e.after::text,
      ',"details":' || e.details::text,
      '}'
    ) end as payload
  from public.audit_logs e;
comment on view private.audit_payloads is
  'Every entry with the exact text of its payload (null where it was removed).';

create view private.audit_commitments with (security_invoker = true) as
  select
    p.*,
    case
      when p.removed_by is null then sha256(uuid_send(p.salt) || convert_to(p.payload, 'UTF8'))
      else p.commitment
    end as payload_commitment
  from private.audit_payloads p;
comment on view private.audit_commitments is
  'Every entry with the commitment to its payload: SHA-256(salt || payload).';

create view private.audit_leaves with (security_invoker = true) as
  select
    c.id,
    c.organization_id,
    c.era,
    c.xid,
    c.removed_by,
    sha256(
      '\x0001'::bytea
      || uuid_send(c.id)
      || coalesce('\x01'::bytea || uuid_send(c.organization_id), '\x00'::bytea)
      || int4send(c.era)
      || xid8send(c.xid)
      || timestamptz_send(c.occurred_at)
      || int2send(octet_length(c.source::text)::smallint)
      || int2send(octet_length(c.severity::text)::smallint)
      || int2send(octet_length(c.result::text)::smallint)
      || int2send(octet_length(c.event_type)::smallint)
      || int2send(coalesce(octet_length(c.resource_type), 0)::smallint)
      || convert_to(
        concat(c.source, c.severity, c.result, c.event_type, c.resource_type), 'UTF8'
      )
      || c.payload_commitment
    ) as leaf
  from private.audit_commitments c;
comment on view private.audit_leaves is
  'The leaf hash of every entry: SHA-256(0x00 || version 1 || skeleton || commitment).';

create function private.uuid_or_null(value text)
  returns uuid
  language plpgsql
  immutable
  strict
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when value ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then value::uuid
  end;
end;
$$;
comment on function private.uuid_or_null(text) is
  'The text as a UUID, or null: what a request claims must never make a write fail.';

create function private.audit_era(relation oid)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_era integer;
  v_system bigint := (select c.system_identifier from pg_catalog.pg_control_system() c);
begin
  select e.era into v_era
  from private.audit_eras e
  where e.relation = audit_era.relation and e.system_identifier = v_system;
  if not found then
    insert into private.audit_eras (era, relation, system_identifier, timeline)
    select coalesce(max(e.era), 0) + 1, audit_era.relation, v_system, c.timeline_id
    from pg_catalog.pg_control_checkpoint() c
    left join private.audit_eras e on true
    group by c.timeline_id
    on conflict on constraint audit_eras_is_one_a_table do nothing;
    select e.era into strict v_era
    from private.audit_eras e
    where e.relation = audit_era.relation and e.system_identifier = v_system;
  end if;
  return v_era;
end;
$$;
comment on function private.audit_era(oid) is
  'The era of the log in this table of this cluster; the first call after a restore begins one.';

-- Runs once an entry. Each expression is set up anew in every transaction, which costs more than
-- what it computes: there are few, and none calls a function of ours that SQL can spell out.
create function private.audit_logs_stamp()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims text := current_setting('request.jwt.claims', true);
  v_headers text := current_setting('request.headers', true);
  v_request jsonb;
  v_ticks bigint;
  v_trusted text;
  v_value text;
begin
  new.occurred_at := clock_timestamp();
  new.xid := pg_current_xact_id();
  -- The arguments were right when the trigger was made; in a restored table they are another's.
  if tg_relid = tg_argv[0]::oid then
    new.era := tg_argv[1]::smallint;
  else
    new.era := private.audit_era(tg_relid)::smallint;
  end if;
  new.salt := gen_random_uuid();
  -- Version 7: milliseconds, then twelve bits of their fraction, then the variant and random bits,
  -- which only have to differ: the secure kind, which the salt needs, costs far more.
  v_ticks := (date_part('epoch', new.occurred_at) * 4096000)::bigint;
  new.id := encode(
    int8send(((v_ticks >> 12) << 16) | 28672 | (v_ticks & 4095))
      || int8send((-9223372036854775808) + (random() * 4611686018427387904)::bigint),
    'hex'
  )::uuid;
  new.database_user := session_user::text;
  if new.actor_type is null then
    new.actor_type := case current_setting('role')
      when 'authenticated' then 'user'::public.audit_actor_type
      when 'service_role' then 'service'::public.audit_actor_type
      when 'api_key' then 'api_key'::public.audit_actor_type
      when 'anon' then 'anonymous'::public.audit_actor_type
      else 'database'::public.audit_actor_type
    end;
    if v_claims <> '' then
      v_request := v_claims::jsonb;
      -- A claim makes nobody a key: what a token of another role says of one is not believed.
      v_value := v_request ->> case new.actor_type when 'api_key' then 'api_key_id' else 'sub' end;
      if v_value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        new.actor_id := v_value::uuid;
      end if;
      v_value := v_request ->> 'session_id';
      if v_value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        new.session_id := v_value::uuid;
      end if;
    end if;
  end if;
  if v_headers <> '' then
    v_request := v_headers::jsonb;
    if new.ip is null then
      -- What a trusted proxy wrote, where one is set; else the client's own claim. Only a request has
      -- headers, so nobody else pays for the look.
      select s.value #>> '{}' into v_trusted
      from private.settings s where s.name = 'rate_limits.address_header';
      if v_trusted is null then
        new.ip := left(btrim(split_part(v_request ->> 'x-forwarded-for', ',', 1)), 64);
      else
        new.ip := left(btrim(split_part(
          v_request ->> lower(v_trusted), ',',
          -greatest((private.setting('rate_limits.address_hops'))::integer, 1)
        )), 64);
      end if;
    end if;
    if new.user_agent is null then
      new.user_agent := left(v_request ->> 'user-agent', 256);
    end if;
    v_value := v_request ->> 'x-correlation-id';
    new.correlation_id := case
      when v_value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then v_value::uuid
    end;
  end if;
  if new.correlation_id is null then
    new.correlation_id := encode(
      int4send(new.era) || '\x000080008000'::bytea || substring(xid8send(new.xid) from 3), 'hex'
    )::uuid;
  end if;
  return new;
end;
$$;
comment on function private.audit_logs_stamp() is
  'Trigger: identity, time, transaction, era and salt of an entry are the database''s, whatever the
   insert says; so are actor, session, address and correlation where the writer names no actor.';

create function private.audit_logs_refuse_change()
  returns trigger
  language plpgsql
  security definer            -- definer because removal records and prunings are for no client
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' then
    -- A removal takes the payload whole, keeps the commitment, and has a record made in the same
    -- transaction.
    if old.removed_by is null
      and num_nonnulls(
        new.salt, new.actor_type, new.actor_id, new.database_user, new.session_id, new.ip,
        new.user_agent, new.resource_id, new.action, new.correlation_id, new.parent_id, new.before,
        new.after, new.details
      ) = 0
      and (
        new.id, new.xid, new.occurred_at, new.era, new.source, new.severity, new.result,
        new.organization_id, new.event_type, new.resource_type
      ) is not distinct from (
        old.id, old.xid, old.occurred_at, old.era, old.source, old.severity, old.result,
        old.organization_id, old.event_type, old.resource_type
      )
      and old.event_type <> 'compliance.data_deleted'
      and new.commitment = (
        select c.payload_commitment from private.audit_commitments c where c.id = old.id
      )
      and exists (
        select from public.audit_logs r
        where r.id = new.removed_by
          and r.event_type = 'compliance.data_deleted'
          and r.source = 'service'
          and r.xid = pg_current_xact_id()
          and r.organization_id is not distinct from old.organization_id
      ) then
      return new;
    end if;
  elsif tg_op = 'DELETE' then
    if exists (
      select from private.audit_prunings p
      where p.xid = pg_current_xact_id()
        and (old.era < p.era or old.era = p.era and pg_visible_in_snapshot(old.xid, p.snapshot))
    ) then
      return old;
    end if;
  end if;
  raise exception 'Cannot change the audit log: entries are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY',
          hint = 'Retention: cleanup_old_audit_logs; erasure: erase_subject';
end;
$$;
comment on function private.audit_logs_refuse_change() is
  'Trigger: lets through only the removal of a payload under a record of the same transaction and
   the pruning of a sealed prefix under its tombstone; everything else raises
   AUDIT_LOG_IS_APPEND_ONLY.';

create function private.refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot change %: its rows are never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function private.refuse_change() is 'Trigger: refuses whatever it is made for.';

select private.audit_era('public.audit_logs'::regclass);
do $$
begin
  execute format(
    'create trigger audit_logs_stamp before insert on public.audit_logs
       for each row execute function private.audit_logs_stamp(%L, %L)',
    'public.audit_logs'::regclass::oid, private.audit_era('public.audit_logs'::regclass)
  );
end;
$$;
create trigger audit_logs_refuse_change
  before update or delete on public.audit_logs
  for each row execute function private.audit_logs_refuse_change();
create trigger audit_logs_refuse_truncate
  before truncate on public.audit_logs
  for each statement execute function private.refuse_change();
create trigger audit_eras_keep_columns
  before update on private.audit_eras
  for each row execute function private.keep_columns('era', 'relation', 'started_at');
create trigger audit_eras_refuse_removal
  before delete on private.audit_eras
  for each row execute function private.refuse_change();
create trigger audit_eras_refuse_truncate
  before truncate on private.audit_eras
  for each statement execute function private.refuse_change();
-- Always: session_replication_role skips ordinary triggers.
alter table public.audit_logs enable always trigger audit_logs_stamp;
alter table public.audit_logs enable always trigger audit_logs_refuse_change;
alter table public.audit_logs enable always trigger audit_logs_refuse_truncate;
alter table private.audit_eras enable always trigger audit_eras_keep_columns;
alter table private.audit_eras enable always trigger audit_eras_refuse_removal;
alter table private.audit_eras enable always trigger audit_eras_refuse_truncate;

insert into public.audit_event_types (name, severity, reported_by_clients, description) values
  ('auth.login', 'info', false, 'A session began'),
  ('auth.logout', 'info', false, 'A session ended'),
  ('auth.login_failed', 'warning', false, 'A sign-in was refused'),
  ('auth.mfa_enabled', 'info', false, 'A second factor was added'),
  ('auth.mfa_disabled', 'warning', false, 'A second factor was removed'),
  ('auth.mfa_verified', 'info', false, 'A second factor was verified'),
  ('auth.password_changed', 'info', false, 'A password was changed'),
  ('auth.password_reset', 'info', false, 'A password reset was asked for'),
  ('authz.permission_granted', 'info', false, 'A role came to hold a permission'),
  ('authz.permission_denied', 'warning', false, 'Something was refused for want of a permission'),
  ('authz.role_assigned', 'info', false, 'Somebody was given a role, or its window was changed'),
  ('authz.role_removed', 'info', false, 'A role was taken from somebody'),
  ('data.read', 'info', true, 'Data was read'),
  ('data.create', 'info', false, 'A row was made'),
  ('data.update', 'info', false, 'A row was changed'),
  ('data.delete', 'info', false, 'Rows were deleted'),
  ('data.export', 'info', true, 'Data left the system in bulk'),
  ('api.request', 'debug', true, 'A request was made'),
  ('api.error', 'error', false, 'A request failed'),
  ('api.rate_limit', 'warning', false, 'A request was refused for its rate'),
  ('api.key_created', 'info', false, 'An API key was issued'),
  ('api.key_revoked', 'info', false, 'An API key was revoked'),
  ('config.changed', 'warning', false, 'The configuration of Bulwark was changed'),
  ('settings.updated', 'info', false, 'A setting was changed'),
  ('security.breach_attempt', 'critical', false, 'Somebody tried to break in'),
  ('security.suspicious_activity', 'warning', false, 'Something looks wrong'),
  ('security.ip_blocked', 'warning', false, 'An address was blocked'),
  ('compliance.data_accessed', 'info', true, 'Regulated data was accessed'),
  ('compliance.data_deleted', 'warning', false, 'Payloads of the audit log were removed'),
  ('compliance.export', 'info', true, 'A record was exported for compliance'),
  ('system.error', 'error', false, 'The installation has a fault'),
  ('system.warning', 'warning', false, 'The installation needs attention'),
  ('system.startup', 'info', false, 'A part of the installation started'),
  ('system.shutdown', 'info', false, 'A part of the installation stopped');

revoke all on public.audit_event_types, public.audit_logs
  from public, anon, authenticated, service_role;
revoke all on private.audit_payloads, private.audit_commitments, private.audit_leaves
  from public, anon, authenticated, service_role;
grant select on public.audit_event_types, public.audit_logs to authenticated, service_role;

revoke all on function
  private.audited_organizations(), private.uuid_or_null(text),
  private.audit_era(oid), private.audit_logs_stamp(),
  private.audit_logs_refuse_change(), private.refuse_change()
  from public, anon, authenticated, service_role;
grant execute on function private.audited_organizations() to authenticated;
