-- Audit append-only: how an entry comes into the log, and that it never changes there.
-- Protects against an entry that is altered, removed, forged or back-dated by anybody who works
-- through SQL, the service role included. A superuser can switch triggers off: what he does then
-- is found by verification (audit_verification), not prevented.
-- SECURITY DEFINER: audit_logs_refuse_change, because it looks into removal records and prunings
--   whoever writes.

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
alter table private.audit_eras enable row level security;

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
      -- What a trusted proxy wrote, where one is set; else the client's own claim. Only a request
      -- has headers, so nobody else pays for the look.
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
          and r.source = 'system'
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

create function private.append_audit_entry(
  event_type text,
  organization_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  action text default null,
  result public.audit_result default 'success',
  severity public.audit_severity default null,
  details jsonb default null,
  before jsonb default null,
  after jsonb default null,
  parent_id uuid default null,
  source public.audit_source default 'system',
  actor_id uuid default null,
  session_id uuid default null,
  ip text default null,
  user_agent text default null
)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
  v_severity public.audit_severity;
begin
  select coalesce(append_audit_entry.severity, t.severity) into v_severity
  from public.audit_event_types t where t.name = append_audit_entry.event_type;
  if not found then
    raise exception 'Cannot append audit entry: event type "%" is not in the catalogue',
      left(append_audit_entry.event_type, 64)
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;
  insert into public.audit_logs (
    source, severity, result, actor_type, organization_id, actor_id, session_id, parent_id,
    event_type, resource_type, resource_id, action, ip, user_agent, before, after, details
  )
  values (
    append_audit_entry.source, v_severity, append_audit_entry.result,
    case when append_audit_entry.actor_id is not null then 'user'::public.audit_actor_type end,
    append_audit_entry.organization_id, append_audit_entry.actor_id,
    append_audit_entry.session_id, append_audit_entry.parent_id, append_audit_entry.event_type,
    nullif(append_audit_entry.resource_type, ''), append_audit_entry.resource_id,
    append_audit_entry.action, append_audit_entry.ip, append_audit_entry.user_agent,
    append_audit_entry.before, append_audit_entry.after, append_audit_entry.details
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function private.append_audit_entry(
  text, uuid, text, text, text, public.audit_result, public.audit_severity, jsonb, jsonb, jsonb,
  uuid, public.audit_source, uuid, uuid, text, text
) is
  'Appends an entry for Bulwark''s own functions and returns its id. Without actor_id the actor is
   who the request says. Errors: AUDIT_UNKNOWN_EVENT_TYPE.';

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

revoke all on function
  private.audit_era(oid), private.audit_logs_stamp(), private.audit_logs_refuse_change(),
  private.refuse_change(),
  private.append_audit_entry(
    text, uuid, text, text, text, public.audit_result, public.audit_severity, jsonb, jsonb, jsonb,
    uuid, public.audit_source, uuid, uuid, text, text
  )
  from public, anon, authenticated, service_role;
