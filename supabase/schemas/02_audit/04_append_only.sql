-- Audit append-only: stamps new entries and refuses every change of existing ones.
-- Protects against entries that are altered, removed, forged or back-dated through SQL, also by the
-- service role. A superuser can switch triggers off; verification (audit_verification) detects
-- that, nothing prevents it.
-- SECURITY DEFINER: audit_logs_refuse_change, because no writer can read removal records and
--   prunings.

-- Runs for every entry. Postgres initializes each expression again in every transaction, which
-- costs more than evaluating it. So there are few expressions, and built-in SQL replaces calls of
-- our own functions.
create function bulwark_private.audit_logs_stamp()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_age interval;
  v_request json;
  v_timeline constant integer := case
    when tg_nargs = 0
    then bulwark_private.settled_audit_timeline('bulwark.audit_logs'::regclass)
  end;
  v_trusted text;
  v_value text;
begin
  -- A restored or upgraded cluster has no settled timeline yet. A log that was emptied for a
  -- restore has a stamp with an argument.
  if v_timeline is not null then
    new.timeline := v_timeline;
  elsif current_setting('session_replication_role') = 'replica' then
    -- Nothing was sealed in this cluster yet, so this is a restore. An entry of a transaction was
    -- loaded and stays as it is. Another one reports a row that was loaded, which is no change.
    if new.xid is null then
      return null;
    end if;
    return new;
  else
    new.timeline := bulwark_private.audit_timeline();
  end if;
  new.xid := pg_current_xact_id();
  new.salt := gen_random_uuid();
  -- The time is that of the id, which the column's default has just made and which has chosen the
  -- partition. Random bits only have to differ; secure ones, which the salt needs, cost far more.
  v_value := new.id::text;
  new.occurred_at := to_timestamp((
    'x' || substr(v_value, 1, 8) || substr(v_value, 10, 4) || substr(v_value, 16, 3)
  )::bit(60)::bigint / 4096000.0::double precision);
  v_age := clock_timestamp() - new.occurred_at;
  -- An id that somebody made up. Postgres refuses a new one that belongs to another partition.
  if v_age between interval '-1 millisecond' and interval '10 seconds' is not true then
    new.occurred_at := clock_timestamp();
    v_value := encode(
      int8send((date_part('epoch', new.occurred_at) * 4096000)::bigint)
        || int8send((-9223372036854775808) + (random() * 4611686018427387904)::bigint),
      'hex'
    );
    new.id := substr(overlay(v_value placing '7' from 14 for 0), 2)::uuid;
  end if;
  new.database_user := session_user::text;
  if new.actor_type is null then
    new.actor_type := case current_setting('role')
      when 'authenticated' then 'user'::bulwark.audit_actor_type
      when 'service_role' then 'service'::bulwark.audit_actor_type
      when 'api_key' then 'api_key'::bulwark.audit_actor_type
      when 'anon' then 'anonymous'::bulwark.audit_actor_type
      else 'database'::bulwark.audit_actor_type
    end;
    if current_setting('request.jwt.claims', true) <> '' then
      v_request := bulwark_private.claims();
      -- api_key_id counts only under the role api_key: a token of another role can claim any key.
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
  if current_setting('request.headers', true) <> '' then
    v_request := current_setting('request.headers', true)::json;
    if new.ip is null then
      -- The header of a trusted proxy if one is set, else the client's claim. Only requests have
      -- headers, so other writers do not pay for this query.
      select s.value #>> '{}' into v_trusted
      from bulwark.settings s where s.name = 'rate_limits.address_header';
      if v_trusted is null then
        new.ip := left(btrim(split_part(v_request ->> 'x-forwarded-for', ',', 1)), 64);
      else
        new.ip := left(btrim(split_part(
          v_request ->> lower(v_trusted), ',',
          -greatest((bulwark_private.setting('rate_limits.address_hops'))::integer, 1)
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
  new.correlation_id := coalesce(
    new.correlation_id,
    encode(
      int4send(new.timeline) || '\x000080008000'::bytea
        || substring(xid8send(new.xid) from 3),
      'hex'
    )::uuid
  );
  return new;
end;
$$;
comment on function bulwark_private.audit_logs_stamp() is
  'Trigger: id, time, transaction, timeline and salt of an entry are set by the database, whatever
   the insert says; so are actor, session, address and correlation id if the writer names no
   actor.';

-- Creating a trigger takes a lock that blocks writers, so the wait for it is short.
create function bulwark_private.install_audit_stamp()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  create or replace trigger audit_logs_stamp before insert on bulwark.audit_logs
    for each row execute function bulwark_private.audit_logs_stamp();
  -- Enabled always: session_replication_role skips ordinary triggers.
  alter table bulwark.audit_logs enable always trigger audit_logs_stamp;
end;
$$;
comment on function bulwark_private.install_audit_stamp() is
  'Creates the trigger that stamps entries. Every session then reads the timeline anew.';

create function bulwark_private.audit_logs_refuse_change()
  returns trigger
  language plpgsql
  security definer            -- definer because clients cannot read removal records and prunings
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' then
    -- A removal takes the whole payload, keeps the commitment, and needs a record from the same
    -- transaction.
    if old.removed_by is null
      and num_nonnulls(
        new.salt, new.actor_type, new.actor_id, new.database_user, new.session_id, new.ip,
        new.user_agent, new.resource_id, new.action, new.correlation_id, new.parent_id, new.before,
        new.after, new.details
      ) = 0
      and (
        new.id, new.xid, new.occurred_at, new.timeline, new.source, new.severity, new.result,
        new.organization_id, new.event_type, new.resource_type
      ) is not distinct from (
        old.id, old.xid, old.occurred_at, old.timeline, old.source, old.severity, old.result,
        old.organization_id, old.event_type, old.resource_type
      )
      and old.event_type <> 'compliance.data_deleted'
      and new.commitment = (
        select c.payload_commitment from bulwark_private.audit_commitments c where c.id = old.id
      )
      and exists (
        select from bulwark.audit_logs r
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
      select from bulwark_private.audit_prunings p
      where p.xid = pg_current_xact_id()
        and (
          old.timeline < p.timeline
          or old.timeline = p.timeline and pg_visible_in_snapshot(old.xid, p.snapshot)
        )
    ) then
      return old;
    end if;
  end if;
  raise exception 'Cannot change the audit log: entries are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY',
          hint = 'Retention: cleanup_old_audit_logs; erasure: erase_subject';
end;
$$;
comment on function bulwark_private.audit_logs_refuse_change() is
  'Trigger: allows only the removal of a payload under a record of the same transaction, and the
   pruning of a sealed prefix under its tombstone. Everything else raises
   AUDIT_LOG_IS_APPEND_ONLY.';

create function bulwark_private.append_audit_entry(
  event_type text,
  organization_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  action text default null,
  result bulwark.audit_result default 'success',
  severity bulwark.audit_severity default null,
  details jsonb default null,
  before jsonb default null,
  after jsonb default null,
  parent_id uuid default null,
  source bulwark.audit_source default 'system',
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
  v_severity bulwark.audit_severity;
begin
  select coalesce(append_audit_entry.severity, t.severity) into v_severity
  from bulwark.audit_event_types t where t.name = append_audit_entry.event_type;
  if not found then
    raise exception 'Cannot append audit entry: event type "%" is not in the catalogue',
      left(append_audit_entry.event_type, 64)
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;
  insert into bulwark.audit_logs (
    source, severity, result, actor_type, organization_id, actor_id, session_id, parent_id,
    event_type, resource_type, resource_id, action, ip, user_agent, before, after, details
  )
  values (
    append_audit_entry.source, v_severity, append_audit_entry.result,
    case when append_audit_entry.actor_id is not null then 'user'::bulwark.audit_actor_type end,
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
comment on function bulwark_private.append_audit_entry(
  text, uuid, text, text, text, bulwark.audit_result, bulwark.audit_severity, jsonb, jsonb, jsonb,
  uuid, bulwark.audit_source, uuid, uuid, text, text
) is
  'Appends an entry for Bulwark''s own functions and returns its id. Without actor_id the actor is
   the one of the request. Errors: AUDIT_UNKNOWN_EVENT_TYPE.';

select bulwark_private.install_audit_stamp();
create trigger audit_logs_refuse_change
  before update or delete on bulwark.audit_logs
  for each row execute function bulwark_private.audit_logs_refuse_change();
create trigger audit_logs_refuse_truncate
  before truncate on bulwark.audit_logs
  for each statement execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.audit_logs enable always trigger audit_logs_refuse_change;
alter table bulwark.audit_logs enable always trigger audit_logs_refuse_truncate;
