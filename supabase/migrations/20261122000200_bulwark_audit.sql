-- Built by npm run build from supabase/schemas/02_audit: edit the sources, not this file.

-- Audit, plain answers: functions that later capabilities of the core replace with their own.
-- No function here is SECURITY DEFINER.

create function bulwark.raise_security_event(
  event_type text,
  organization_id uuid,
  user_id uuid,
  subject text,
  details jsonb default '{}'
)
  returns uuid
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select null::uuid; $$;
comment on function bulwark.raise_security_event(text, uuid, uuid, text, jsonb) is
  'Raises a security event: nothing until security_events is installed.';

create function bulwark_private.restore_problems()
  returns table (problem text, object text, grantee text)
  language sql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
as $$ select null::text, null::text, null::text where false; $$;
comment on function bulwark_private.restore_problems() is
  'The problems that a restore left: unknown until restores is installed.';

create function bulwark_private.mend_restore()
  returns void
  language sql
  volatile
  set search_path = pg_catalog, pg_temp
as $$ select; $$;
comment on function bulwark_private.mend_restore() is
  'Repairs what a restore lost or left open: nothing until restores is installed.';

-- Audit tables: the log, its event types, and who reads it.
-- Protects one organization's log from readers of another. audit_append_only keeps entries from
-- being altered, removed, forged or back-dated. A superuser can switch triggers off; verification
-- (audit_verification) detects that, nothing prevents it.
-- SECURITY DEFINER: audited_organizations, because clients cannot read the chains of organizations.

create type bulwark.audit_severity as enum ('debug', 'info', 'warning', 'error', 'critical');
comment on type bulwark.audit_severity is 'How serious an event is, in rising order.';
create type bulwark.audit_result as enum ('success', 'failure', 'partial');
comment on type bulwark.audit_result is 'Whether the event succeeded.';
create type bulwark.audit_source as enum ('table', 'auth', 'client', 'service', 'system');
comment on type bulwark.audit_source is
  'Where an entry comes from: the trigger of an audited table, the auth schema, a client''s report
   about itself, a report by the service role, or Bulwark''s own functions (system). Nobody can
   report an entry with source system, and only such an entry accounts for a removal.';
create type bulwark.audit_actor_type as enum (
  'user', 'api_key', 'service', 'anonymous', 'database'
);
comment on type bulwark.audit_actor_type is
  'Kind of actor: a person, an API key, the service role, a request without a user, or a database
   connection without an API role (database_user names its login role).';

create table bulwark.audit_event_types (
  name text primary key,
  description text not null,
  severity bulwark.audit_severity not null default 'info',
  reported_by_clients boolean not null default false,
  constraint audit_event_types_name_format check (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$'),
  constraint audit_event_types_name_length check (length(name) <= 64),
  constraint audit_event_types_closed_categories check (
    not reported_by_clients or split_part(name, '.', 1) <> all (
      array['auth', 'authz', 'config', 'security', 'settings', 'system']
    )
  ),
  -- More serious entries survive retention, so clients must not be able to report them.
  constraint audit_event_types_clients_report_up_to_warning check (
    not reported_by_clients or severity <= 'warning'
  )
);
comment on table bulwark.audit_event_types is
  'The catalogue of event types (category.name). A host application adds rows of its own.';
comment on column bulwark.audit_event_types.severity is
  'Severity of an entry whose writer names none.';
comment on column bulwark.audit_event_types.reported_by_clients is
  'Whether clients may report this type about themselves with log_audit_event.';

-- No foreign keys: an entry outlives the rows it is about. No check constraints: Postgres would
-- parse each of them again on every append, so the triggers check. Columns are ordered by
-- alignment. Partitions are months (audit_partitions), by the time in the id: so an id is unique in
-- the whole log, and an entry is found by it in one partition. Rows are routed before triggers run,
-- so the default makes the id: 48 bits of milliseconds, 12 of their fraction, version, random bits.
create table bulwark.audit_logs (
  id uuid primary key default (
    substr(
      overlay(
        encode(
          int8send((date_part('epoch', clock_timestamp()) * 4096000)::bigint)
            || int8send((-9223372036854775808) + (random() * 4611686018427387904)::bigint),
          'hex'
        )
        placing '7' from 14 for 0
      ),
      2
    )
  )::uuid,
  xid xid8 not null,
  occurred_at timestamptz not null,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  source bulwark.audit_source not null,
  severity bulwark.audit_severity not null,
  result bulwark.audit_result not null default 'success',
  actor_type bulwark.audit_actor_type,
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
) partition by range (id);
comment on table bulwark.audit_logs is
  'One entry for each event. Entries never change. Only retention and erasure remove a payload; the
   skeleton stays: id, xid, occurred_at, timeline, source, severity, result, organization_id,
   event_type, resource_type. All other columns are payload and may be personal data.';
comment on column bulwark.audit_logs.id is 'UUID version 7: ordered by time, down to the
   microsecond.';
comment on column bulwark.audit_logs.xid is
  'The transaction that wrote the entry; it decides which seal holds it.';
comment on column bulwark.audit_logs.timeline is
  'Number of the cluster that wrote the entry. Transaction ids restart where a dump is restored, so
   each cluster has a number of its own.';
comment on column bulwark.audit_logs.actor_id is
  'The actor, as the request claims it; anyone who can run SQL can claim to be anybody.
   database_user is known to the database itself.';
comment on column bulwark.audit_logs.database_user is
  'The session_user: the role that logged in to the database.';
comment on column bulwark.audit_logs.ip is
  'Client address. From the header that a trusted proxy writes (settings rate_limits.address_header
   and address_hops) or, for an auth event, as Supabase Auth saw it. While no proxy is trusted it is
   the first address of X-Forwarded-For, which the client can make up.';
comment on column bulwark.audit_logs.correlation_id is
  'Shared by all entries of a request: its header x-correlation-id if that is a UUID, else derived
   from the transaction id.';
comment on column bulwark.audit_logs.parent_id is 'The entry that this one belongs to.';
comment on column bulwark.audit_logs.before is
  'Old values; for an update only of the columns that changed.';
comment on column bulwark.audit_logs.after is
  'New values; for an update only of the columns that changed.';
comment on column bulwark.audit_logs.salt is
  'Blinds the commitment to the payload; removed together with the payload.';
comment on column bulwark.audit_logs.removed_by is
  'The entry that records the removal of the payload; null while the payload is present.';
comment on column bulwark.audit_logs.commitment is
  'SHA-256 of salt and payload, stored once the payload is removed, so that proofs stay valid.';

-- Indexes for the sealer (new entries by transaction, in the order of a seal), for readers (pages
-- of an organization by id) and for verification (entries that a removal record covers).
create index audit_logs_xid_idx on bulwark.audit_logs (timeline, xid, id);
create index audit_logs_organization_id_idx on bulwark.audit_logs (organization_id, id);
create index audit_logs_removed_by_idx on bulwark.audit_logs (removed_by)
  where removed_by is not null;
-- For searches by actor, correlation or resource. A filter for each 64 pages costs a writer next to
-- nothing, where three B-trees would cost as much as all other indexes together; it is made once
-- the pages are full, by autovacuum or the job.
create index audit_logs_search_idx on bulwark.audit_logs using brin (
  occurred_at,
  actor_id uuid_bloom_ops (n_distinct_per_range = 1000),
  correlation_id uuid_bloom_ops (n_distinct_per_range = 1000),
  resource_id text_bloom_ops (n_distinct_per_range = 1000)
) with (pages_per_range = 64, autosummarize = on);

alter table bulwark.audit_event_types enable row level security;
alter table bulwark.audit_logs enable row level security;

create function bulwark_private.audited_organizations()
  returns setof uuid
  language plpgsql
  stable
  rows 10
  security definer            -- definer because clients cannot read groups
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
begin
  return query select bulwark.organizations_with('audit:read');
  -- A deleted organization is listed only by its groups in the log.
  if bulwark.is_super_admin() then
    return query
      with recursive logged (organization_id) as (
        select min.organization_id
        from (
          select g.organization_id from bulwark_private.audit_groups g
          where g.organization_id is not null
          order by g.organization_id
          limit 1
        ) min
        union all
        select (
          select g.organization_id from bulwark_private.audit_groups g
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
        and not exists (select from bulwark.organizations o where o.id = l.organization_id);
  end if;
end;
$$;
comment on function bulwark_private.audited_organizations() is
  'The organizations whose log the caller may read, for the policy: those with audit:read and, for a
   super_admin, also deleted ones.';

create policy "Anyone signed in reads the catalogue of event types"
  on bulwark.audit_event_types for select to authenticated
  using ((select bulwark.current_person()) is not null);

-- Each side of the or uses an index; a bare is_super_admin() would make every reader scan the
-- table.
create policy "Members read the audit log of organizations where they may"
  on bulwark.audit_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

insert into bulwark.audit_event_types (name, severity, reported_by_clients, description) values
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

-- Audit leaves: the bytes that are hashed, defined once for sealing, verification, proofs and
-- export.
-- Protects against two places that encode the same entry differently, and keeps proofs valid after
-- erasure: the hash covers a commitment to the payload, which stays when the payload is removed.
-- No function here; the views read the log with the rights of the caller.

-- The payload is built as text, not as jsonb, so that the hashed bytes are exactly the exported
-- ones. concat() writes each value itself: a cast to text copies it twice more, and this is most of
-- what a seal costs.
create view bulwark_private.audit_payloads with (security_invoker = true) as
  select
    e.*,
    case when e.removed_by is null then concat(
      '{"actor_type":"', e.actor_type, '"',
      case when e.actor_id is not null then ',"actor_id":"' end,
      e.actor_id,
      case when e.actor_id is not null then '"' end,
      case when e.database_user is not null then ',"database_user":' end,
      to_json(e.database_user),
      case when e.session_id is not null then ',"session_id":"' end,
      e.session_id,
      case when e.session_id is not null then '"' end,
      case when e.ip is not null then concat(',"ip":', to_json(e.ip)) end,
      case when e.user_agent is not null then concat(',"user_agent":', to_json(e.user_agent)) end,
      case when e.resource_id is not null then ',"resource_id":' end,
      to_json(e.resource_id),
      case when e.action is not null then ',"action":' end,
      to_json(e.action),
      case when e.correlation_id is not null then ',"correlation_id":"' end,
      e.correlation_id,
      case when e.correlation_id is not null then '"' end,
      case when e.parent_id is not null then concat(',"parent_id":"', e.parent_id, '"') end,
      case when e.before is not null then ',"before":' end,
      e.before,
      case when e.after is not null then ',"after":' end,
      e.after,
      case when e.details is not null then ',"details":' end,
      e.details,
      '}'
    ) end as payload
  from bulwark.audit_logs e;
comment on view bulwark_private.audit_payloads is
  'Every entry with the exact text of its payload (null once it was removed).';

create view bulwark_private.audit_commitments with (security_invoker = true) as
  select
    p.*,
    case
      when p.removed_by is null then sha256(uuid_send(p.salt) || convert_to(p.payload, 'UTF8'))
      else p.commitment
    end as payload_commitment
  from bulwark_private.audit_payloads p;
comment on view bulwark_private.audit_commitments is
  'Every entry with the commitment to its payload: SHA-256(salt || payload).';

create view bulwark_private.audit_leaves with (security_invoker = true) as
  select
    c.id,
    c.organization_id,
    c.timeline,
    c.xid,
    c.occurred_at,
    c.removed_by,
    -- Nearly the bytes that are hashed, without reading them: compressed ones count 64 times.
    512
      + coalesce(pg_column_size(c.resource_id), 0)
      + coalesce(
        pg_column_size(c.before)
          * case when pg_column_compression(c.before) is null then 1 else 64 end, 0
      )
      + coalesce(
        pg_column_size(c.after)
          * case when pg_column_compression(c.after) is null then 1 else 64 end, 0
      )
      + coalesce(
        pg_column_size(c.details)
          * case when pg_column_compression(c.details) is null then 1 else 64 end, 0
      ) as size,
    sha256(
      '\x0001'::bytea
      || uuid_send(c.id)
      || coalesce('\x01'::bytea || uuid_send(c.organization_id), '\x00'::bytea)
      || int4send(c.timeline)
      || xid8send(c.xid)
      || timestamptz_send(c.occurred_at)
      -- Four lengths of two bytes each.
      || int8send(
        (octet_length(c.source::text)::bigint << 48)
        + (octet_length(c.severity::text)::bigint << 32)
        + (octet_length(c.result::text)::bigint << 16)
        + octet_length(c.event_type)::smallint
      )
      || int2send(coalesce(octet_length(c.resource_type), 0)::smallint)
      || convert_to(
        concat(c.source, c.severity, c.result, c.event_type, c.resource_type), 'UTF8'
      )
      || c.payload_commitment
    ) as leaf
  from bulwark_private.audit_commitments c;
comment on view bulwark_private.audit_leaves is
  'The leaf hash of every entry: SHA-256(0x00 || version 1 || skeleton || commitment), and its size,
   about and in bytes.';

-- Audit timelines: one for each cluster that the log has lived in. Entries are sealed by
-- transaction id, and those restart where a dump is restored, so each cluster writes under a
-- timeline of its own.
-- Protects against a restored or upgraded log that is never sealed, and against taking a restore
-- for live writes or live writes for a restore.
-- SECURITY DEFINER: audit_log_is_loading, because clients cannot read timelines, and triggers of
--   tables that clients write call it.

create table bulwark_private.audit_timelines (
  -- squawk-ignore prefer-bigint-over-int
  timeline integer primary key,
  relation oid not null,
  system_identifier bigint not null,
  postgres_timeline bigint not null,
  started_at timestamptz not null default clock_timestamp(),
  settled_at timestamptz,
  constraint audit_timelines_is_one_a_table unique (relation, system_identifier)
);
comment on table bulwark_private.audit_timelines is
  'The clusters that the log has lived in, identified by the cluster''s system identifier and the
   oid of the log''s table. After a dump is restored at least one of them differs.';
comment on column bulwark_private.audit_timelines.postgres_timeline is
  'The timeline of Postgres itself, which a recovery to a point in time changes within a cluster:
   then a fork is recorded.';
comment on column bulwark_private.audit_timelines.settled_at is
  'When the sealer recorded the start of the timeline and repaired what a restore loses; null
   before.';
alter table bulwark_private.audit_timelines enable row level security;

create function bulwark_private.audit_timeline()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeline integer;
  v_relation constant oid := 'bulwark.audit_logs'::regclass;
  v_system constant bigint := (select c.system_identifier from pg_catalog.pg_control_system() c);
begin
  select e.timeline into v_timeline
  from bulwark_private.audit_timelines e
  where e.relation = v_relation and e.system_identifier = v_system;
  if not found then
    -- One more than the last known number, also if the list of timelines was not restored.
    insert into bulwark_private.audit_timelines (
      timeline, relation, system_identifier, postgres_timeline
    )
    select
      greatest(
        (select max(e.timeline) from bulwark_private.audit_timelines e),
        (select max(s.timeline) from bulwark_private.audit_seals s),
        (select max(e.timeline) from bulwark.audit_logs e),
        0
      ) + 1,
      v_relation, v_system, c.timeline_id
    from pg_catalog.pg_control_checkpoint() c
    on conflict on constraint audit_timelines_is_one_a_table do nothing;
    -- A separate statement: the statement that calls this function does not see the insert.
    select e.timeline into strict v_timeline
    from bulwark_private.audit_timelines e
    where e.relation = v_relation and e.system_identifier = v_system;
  end if;
  return v_timeline;
end;
$$;
comment on function bulwark_private.audit_timeline() is
  'The timeline of this cluster; the first call after a restore inserts it. Read the timeline''s row
   in a later statement.';

-- A timeline is settled by the first run of the sealer, which also installs a stamp without
-- arguments (install_audit_stamp).
create function bulwark_private.audit_log_is_settled()
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = 'bulwark.audit_logs'::regclass
      and t.tgname = 'audit_logs_stamp'
      and t.tgnargs = 0
  ) and exists (
    select from bulwark_private.audit_timelines e
    where e.relation = 'bulwark.audit_logs'::regclass
      and e.system_identifier = (
        select c.system_identifier from pg_catalog.pg_control_system() c
      )
      and e.settled_at is not null
  );
$$;
comment on function bulwark_private.audit_log_is_settled() is
  'False from a restore or an upgrade until the first run of the sealer.';

-- Postgres evaluates it when it plans the call of the stamp, once in each session, because reading
-- the control file costs more than stamping an entry. The regclass constant of the call makes
-- Postgres plan it again when the stamp is installed. For that alone it is declared immutable.
create function bulwark_private.settled_audit_timeline(log regclass)
  returns integer
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select e.timeline
    from bulwark_private.audit_timelines e
    where e.relation = log
      and e.system_identifier = (
        select c.system_identifier from pg_catalog.pg_control_system() c
      )
      and e.settled_at is not null
  );
end;
$$;
comment on function bulwark_private.settled_audit_timeline(regclass) is
  'The timeline of this cluster once it is settled, else null. Only for audit_logs_stamp.';

create function bulwark_private.audit_log_is_loading()
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because clients cannot read timelines
  set search_path = pg_catalog, pg_temp
as $$
begin
  return current_setting('session_replication_role') = 'replica'
    and not bulwark_private.audit_log_is_settled();
end;
$$;
comment on function bulwark_private.audit_log_is_loading() is
  'Whether the current writes are a backup being restored: existing rows, not changes. Always false
   once the log has been sealed in this cluster, whatever session_replication_role is.';

create function bulwark_private.refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot change %: its rows are never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.refuse_change() is
  'Trigger: refuses every operation it is created for.';

create function bulwark_private.audit_timelines_stamp()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.audit_log_is_loading() then
    return new;
  end if;
  select s.system_identifier, c.timeline_id
  into new.system_identifier, new.postgres_timeline
  from pg_catalog.pg_control_system() s
  cross join pg_catalog.pg_control_checkpoint() c;
  new.relation := 'bulwark.audit_logs'::regclass;
  new.started_at := clock_timestamp();
  new.settled_at := null;
  return new;
end;
$$;
comment on function bulwark_private.audit_timelines_stamp() is
  'Trigger: an inserted timeline always describes this cluster, so only one can exist for it. A
   restore may insert others.';

insert into bulwark_private.audit_timelines (
  timeline, relation, system_identifier, postgres_timeline, settled_at
)
select 1, 'bulwark.audit_logs'::regclass, s.system_identifier, c.timeline_id, clock_timestamp()
from pg_catalog.pg_control_system() s
cross join pg_catalog.pg_control_checkpoint() c;

create trigger audit_timelines_stamp
  before insert on bulwark_private.audit_timelines
  for each row execute function bulwark_private.audit_timelines_stamp();
create trigger audit_timelines_keep_columns
  before update on bulwark_private.audit_timelines
  for each row execute function bulwark.keep_columns(
    'timeline', 'relation', 'system_identifier', 'started_at'
  );
create trigger audit_timelines_settle_once
  before update of settled_at on bulwark_private.audit_timelines
  for each row when (old.settled_at is not null) execute function bulwark_private.refuse_change();
create trigger audit_timelines_refuse_removal
  before delete on bulwark_private.audit_timelines
  for each row execute function bulwark_private.refuse_change();
create trigger audit_timelines_refuse_truncate
  before truncate on bulwark_private.audit_timelines
  for each statement execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_stamp;
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_keep_columns;
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_settle_once;
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_refuse_removal;
alter table bulwark_private.audit_timelines enable always trigger audit_timelines_refuse_truncate;

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

-- Audit partitions: the log by months, made ahead by a job.
-- Protects writers from a partition that is missing (the default partition takes what no other one
-- does, and that is reported), and readers from a way around row-level security: a partition is
-- open to nobody but its owner. Months that are over are closed, so that the sealer need not read
-- them.
-- No function here is SECURITY DEFINER: the owner runs the job.

create function bulwark_private.audit_id_floor(moment timestamptz)
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(
    -- The id has 48 bits of milliseconds: times before 1970 or after 10889 map to the ends of the
    -- range.
    int8send(
      least(greatest(floor(date_part('epoch', moment) * 1000)::bigint, 0), 281474976710655) << 16
    ) || '\x0000000000000000'::bytea,
    'hex'
  )::uuid;
$$;
comment on function bulwark_private.audit_id_floor(timestamptz) is
  'The smallest id that an entry at this time can have: turns a range of time into a range of the
   key.';

create table bulwark_private.audit_closings (
  below uuid primary key,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  xid xid8 not null default pg_current_xact_id(),
  closed_at timestamptz not null default now()
);
comment on table bulwark_private.audit_closings is
  'Below which id all partitions are closed: every entry there was committed before this
   transaction, or is in audit_late_entries. Not audited: the job closes each month.';

create table bulwark_private.audit_late_entries (
  id uuid primary key,
  xid xid8 not null default pg_current_xact_id()
);
comment on table bulwark_private.audit_late_entries is
  'Entries that were written into a closed partition or into the default one, until they are sealed:
   the clock was set back or far ahead, or the job that makes partitions does not run. Not audited:
   each is an entry.';
alter table bulwark_private.audit_closings enable row level security;
alter table bulwark_private.audit_late_entries enable row level security;

create view bulwark_private.audit_partitions with (security_invoker = true) as
  select
    c.oid::regclass as relation,
    case
      when b.bound <> 'DEFAULT'
      then coalesce(
        substring(b.bound from 'FROM \(''([0-9a-f-]{36})''\)')::uuid,
        '00000000-0000-0000-0000-000000000000'
      )
    end as low,
    substring(b.bound from 'TO \(''([0-9a-f-]{36})''\)')::uuid as high,
    b.bound = 'DEFAULT' as is_default,
    exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = c.oid and t.tgname = 'audit_logs_note_late'
    ) as is_closed
  from pg_catalog.pg_inherits i
  join pg_catalog.pg_class c on c.oid = i.inhrelid
  cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound) b
  where i.inhparent = 'bulwark.audit_logs'::regclass;
comment on view bulwark_private.audit_partitions is
  'The partitions of the log: each has the ids from low up to high, the default one all others.';

create function bulwark_private.audit_logs_note_late()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not bulwark_private.audit_log_is_loading() then
    insert into bulwark_private.audit_late_entries (id) values (new.id);
  end if;
  return null;
end;
$$;
comment on function bulwark_private.audit_logs_note_late() is
  'Trigger: tells the sealer of an entry in a partition that it does not read.';

create function bulwark_private.close_audit_partition(partition regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The lock waits for every transaction that has written here.
  execute format(
    'create trigger audit_logs_note_late after insert on %s
       for each row execute function bulwark_private.audit_logs_note_late()',
    partition
  );
  execute format('alter table %s enable always trigger audit_logs_note_late', partition);
end;
$$;
comment on function bulwark_private.close_audit_partition(regclass) is
  'From now on the sealer hears of each entry in this partition.';

create function bulwark_private.make_audit_partition(name text, low uuid, high uuid)
  returns regclass
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := name;
  v_partition regclass;
begin
  -- A partition that somebody detached keeps its name.
  while to_regclass(format('bulwark_private.%I', v_name)) is not null loop
    v_name := format('%s_more', v_name);
  end loop;
  execute format(
    'create table bulwark_private.%I (
       like bulwark.audit_logs including defaults including storage including compression
     )',
    v_name
  );
  v_partition := format('bulwark_private.%I', v_name)::regclass;
  perform bulwark_private.fence_audit_partition(v_partition);
  -- Attached, not created as a partition, which would block writers.
  execute format(
    'alter table bulwark.audit_logs attach partition %s %s', v_partition,
    case
      when high is null then 'default'
      else format('for values from (%s) to (%L)', coalesce(quote_literal(low), 'minvalue'), high)
    end
  );
  return v_partition;
end;
$$;
comment on function bulwark_private.make_audit_partition(text, uuid, uuid) is
  'Makes a partition of the log for the ids from low (null: the lowest) up to high, or, if both are
   null, the default one.';

create function bulwark_private.fence_audit_partition(partition regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Row-level security without a policy and no rights: what may be read is read through the log.
  execute format('alter table %s enable row level security', partition);
  execute format(
    'revoke all on %s from public, anon, authenticated, service_role, api_key', partition
  );
  -- The log's row triggers reach its partitions, those of statements do not.
  execute format(
    'create trigger audit_logs_refuse_truncate before truncate on %s
       for each statement execute function bulwark_private.refuse_change()',
    partition
  );
  execute format('alter table %s enable always trigger audit_logs_refuse_truncate', partition);
  execute format(
    'comment on table %s is %L', partition, 'Entries of the audit log. Not audited: it is the log.'
  );
end;
$$;
comment on function bulwark_private.fence_audit_partition(regclass) is
  'Closes a partition to everybody but its owner, who cannot truncate it either.';

create function bulwark_private.make_audit_partitions(months_ahead integer default 3)
  returns setof regclass
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'
as $$
declare
  v_first constant timestamp := date_trunc('month', clock_timestamp() at time zone 'UTC');
  v_high uuid;
  v_last timestamptz;
  v_low uuid;
  v_month timestamp;
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_partitions', 0));
  if not exists (select from bulwark_private.audit_partitions p where p.is_default) then
    return next bulwark_private.make_audit_partition('audit_logs_default', null, null);
    perform bulwark_private.close_audit_partition('bulwark_private.audit_logs_default');
  end if;
  for v_month in
    select generate_series(v_first, v_first + make_interval(months => months_ahead), '1 month')
  loop
    v_low := bulwark_private.audit_id_floor(v_month at time zone 'UTC');
    v_high := bulwark_private.audit_id_floor((v_month + interval '1 month') at time zone 'UTC');
    -- The part of the month that no other partition has.
    v_low := coalesce(
      (
        select p.high from bulwark_private.audit_partitions p
        where p.low <= v_low and p.high > v_low
        order by p.high desc
        limit 1
      ),
      v_low
    );
    v_high := coalesce(
      (
        select p.low from bulwark_private.audit_partitions p
        where p.low > v_low and p.low < v_high
        order by p.low
        limit 1
      ),
      v_high
    );
    -- Entries that the default partition took stay there, and so do those of the next minute.
    select e.occurred_at into v_last
    from bulwark_private.audit_logs_default e
    where e.id >= v_low and e.id < v_high
    order by e.id desc
    limit 1;
    if found then
      v_low := bulwark_private.audit_id_floor(
        greatest(v_last, clock_timestamp()) + interval '1 minute'
      );
    end if;
    -- The first partition of all has every earlier time.
    if not exists (select from bulwark_private.audit_partitions p where not p.is_default) then
      v_low := null;
    end if;
    if v_low < v_high is not false then
      return next bulwark_private.make_audit_partition(
        'audit_logs_' || to_char(v_month, 'YYYY_MM'), v_low, v_high
      );
    end if;
  end loop;
end;
$$;
comment on function bulwark_private.make_audit_partitions(integer) is
  'Makes the partitions of this month and of the next ones, as far as they are missing, and the
   default one; returns the new ones.';

create function bulwark_private.close_audit_partitions()
  returns setof regclass
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'
as $$
declare
  v_below uuid;
  v_over constant uuid := bulwark_private.audit_id_floor(
    date_trunc('month', (clock_timestamp() - interval '1 day') at time zone 'UTC')
      at time zone 'UTC'
  );
  v_partition record;
begin
  for v_partition in
    select p.relation, p.high, p.is_closed
    from bulwark_private.audit_partitions p where p.high <= v_over order by p.low
  loop
    if not v_partition.is_closed then
      perform bulwark_private.close_audit_partition(v_partition.relation);
      return next v_partition.relation;
    end if;
    v_below := v_partition.high;
  end loop;
  insert into bulwark_private.audit_closings (below, timeline)
  select v_below, bulwark_private.audit_timeline()
  where v_below is not null
  on conflict (below) do nothing;
exception
  -- Somebody still writes or reads there: the next run closes it.
  when lock_not_available then
    return;
end;
$$;
comment on function bulwark_private.close_audit_partitions() is
  'Closes the partitions of the months that ended a day ago or earlier; returns the newly closed
   ones.';

create function bulwark_private.summarize_audit_partitions()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '100ms'  -- less than a vacuum waits until it gives way
as $$
declare
  v_count integer := 0;
  v_index regclass;
begin
  for v_index in
    select i.indexrelid
    from bulwark_private.audit_partitions p
    join pg_catalog.pg_index i on i.indrelid = p.relation
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_am a on a.oid = c.relam and a.amname = 'brin'
    -- A closed month once more, as it may have been closed before its end was.
    where p.is_default or p.high > bulwark_private.audit_id_floor(now() - interval '40 days')
  loop
    v_count := v_count + brin_summarize_new_values(v_index);
  end loop;
  return v_count;
exception
  -- A vacuum is at work there, which does the same.
  when lock_not_available then
    return null;
end;
$$;
comment on function bulwark_private.summarize_audit_partitions() is
  'Takes full pages of the open months into the index for searches, as far as autovacuum has not.
   Returns how many ranges; null if a vacuum is doing it.';

create function bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(
    coalesce(
      (
        select c.below from bulwark_private.audit_closings c
        where c.timeline < audit_open_from.timeline
          or c.timeline = audit_open_from.timeline
          and pg_visible_in_snapshot(c.xid, audit_open_from.snapshot)
        order by c.below desc
        limit 1
      ),
      '00000000-0000-0000-0000-000000000000'
    ),
    (select l.id from bulwark_private.audit_late_entries l order by l.id limit 1)
  );
end;
$$;
comment on function bulwark_private.audit_open_from(integer, pg_snapshot) is
  'The lowest id that an entry can have that is not finished in a snapshot of this timeline. So only
   the partitions from there on are read for new entries.';

create function bulwark_private.remake_audit_partitions(first_month date)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_month timestamp;
  v_partition regclass;
begin
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p where not p.is_default
  loop
    execute format('drop table %s', v_partition);
  end loop;
  for v_month in
    select generate_series(
      date_trunc('month', first_month::timestamp),
      date_trunc('month', clock_timestamp() at time zone 'UTC'), '1 month'
    )
  loop
    perform bulwark_private.make_audit_partition(
      'audit_logs_' || to_char(v_month, 'YYYY_MM'),
      case
        when exists (select from bulwark_private.audit_partitions p where not p.is_default)
        then bulwark_private.audit_id_floor(v_month at time zone 'UTC')
      end,
      bulwark_private.audit_id_floor((v_month + interval '1 month') at time zone 'UTC')
    );
  end loop;
  perform bulwark_private.make_audit_partitions();
  perform bulwark_private.close_audit_partitions();
end;
$$;
comment on function bulwark_private.remake_audit_partitions(date) is
  'Replaces the partitions of a log without entries by those from a month on, so that a backup finds
   its own.';

select count(*) from bulwark_private.make_audit_partitions();

-- Audited tables: which tables the sealer watches, with the fingerprint of their last known good
-- state.
-- Protects against triggers that are dropped, replaced, or switched off and on again: the sealer
-- (audit_sealing) compares fingerprints (audit_fingerprints) each second and reports differences.
-- No function here is SECURITY DEFINER.

create table bulwark_private.audit_watched_tables (
  relation regclass primary key,
  captures boolean not null default true,
  options jsonb not null default '{}',
  fingerprint text not null,
  shape text,
  catalogue text,
  enabled_at timestamptz not null default now()
);
comment on table bulwark_private.audit_watched_tables is
  'The tables that the sealer watches: those audited by enable_audit and, with captures false, the
   audit log''s own and those of the auth schema.';
comment on column bulwark_private.audit_watched_tables.options is
  'The arguments of enable_audit; for audit_logs the names of the functions and views that protect
   the log.';
comment on column bulwark_private.audit_watched_tables.fingerprint is
  'State of the table''s triggers and their functions. A transaction that touches one of them
   changes it, even if it only switches a trigger off and on again.';
comment on column bulwark_private.audit_watched_tables.shape is
  'The columns and key that the table''s row functions were made for (audit_shape).';
comment on column bulwark_private.audit_watched_tables.catalogue is
  'Only for audit_logs: the hash of the catalogue when the sealer last compared all fingerprints
   (audit_catalogue).';
alter table bulwark_private.audit_watched_tables enable row level security;

-- Audit objects: fingerprints of the log's own tables and types, and of Postgres itself.
-- Protects against an owner who adds or removes a constraint, default, policy or right of a table
-- of the log, and against a superuser who replaces or shadows a function, operator, type or cast of
-- Postgres. Our code looks these up in pg_catalog first.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_word(
  kind text,
  name text,
  content text,
  touched text default null,
  lasting boolean default true
)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select concat(
    kind, '/', translate(name, ' |', '__'), '|',
    case
      when lasting then left(md5(content), 8)
      else abs(hashtextextended(content, 0) / 2)::text
    end,
    '|', touched
  );
$$;
comment on function bulwark_private.audit_word(text, text, text, text, boolean) is
  'A word of a fingerprint (audit_fingerprint), with any content. A part that a restore changes is a
   number, which the comparison after a restore (adopt_audit_fingerprints) ignores.';

create view bulwark_private.audit_tables with (security_invoker = true) as
  select
    c.oid, format('%s.%s', n.nspname, c.relname) as name, c.relkind, c.relpersistence,
    c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions, c.relowner, c.relacl,
    c.xmin as version
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'S') and c.relname like 'audit\_%'
    -- The log's partitions have fingerprints of their own.
    and not c.relispartition
    and (
      n.nspname = 'bulwark_private'
      or n.nspname = 'bulwark'
        and exists (select from bulwark_private.audit_watched_tables g where g.relation = c.oid)
    );
comment on view bulwark_private.audit_tables is 'The log''s own tables and their sequences.';

create view bulwark_private.audit_types with (security_invoker = true) as
  select t.oid, t.typtype, t.typowner, t.typacl, t.xmin as version
  from pg_catalog.pg_type t
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where n.nspname in ('bulwark_private', 'bulwark')
    and t.typname like 'audit\_%'
    -- Not the row types of tables and views.
    and (t.typtype in ('e', 'd') or exists (
      select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c'
    ));
comment on view bulwark_private.audit_types is 'The log''s own types.';

-- Types, operators and casts of the host are left out, because our code does not use them. Rights
-- are left out too: a platform may change those of Postgres's own functions.
create view bulwark_private.audit_system_objects with (security_invoker = true) as
  select
    'function' as kind, 'pg_proc'::regclass as catalogue, p.oid,
    hash_record_extended(row(
      p.oid, p.proname, p.proowner, p.prolang, p.prosrc, p.probin, p.prosecdef, p.provolatile,
      p.proisstrict, p.prorettype, p.proargtypes, p.proconfig, p.prosupport, p.prokind
    ), 0) as content
  from pg_catalog.pg_proc p
  where p.pronamespace = 'pg_catalog'::regnamespace
  union all
  select 'operator', 'pg_operator', o.oid, hash_record_extended(o, 0)
  from pg_catalog.pg_operator o
  where o.oprnamespace = 'pg_catalog'::regnamespace
  union all
  select
    'type', 'pg_type', t.oid,
    hash_record_extended(row(
      t.oid, t.typname, t.typowner, t.typlen, t.typtype, t.typinput, t.typoutput, t.typreceive,
      t.typsend, t.typelem, t.typbasetype, t.typcollation
    ), 0)
  from pg_catalog.pg_type t
  where t.typnamespace = 'pg_catalog'::regnamespace
  union all
  select 'cast', 'pg_cast', c.oid, hash_record_extended(c, 0)
  from pg_catalog.pg_cast c
  where (c.castsource < 16384 or c.castsource in (select t.oid from bulwark_private.audit_types t))
    and (c.casttarget < 16384 or c.casttarget in (select t.oid from bulwark_private.audit_types t))
  union all
  select 'operator_class', 'pg_opclass', o.oid, hash_record_extended(o, 0)
  from pg_catalog.pg_opclass o
  where o.opcnamespace = 'pg_catalog'::regnamespace
  union all
  select 'operator_family', 'pg_amop', o.oid, hash_record_extended(o, 0)
  from pg_catalog.pg_amop o
  where o.amoplefttype < 16384
  union all
  select 'operator_family', 'pg_amproc', o.oid, hash_record_extended(o, 0)
  from pg_catalog.pg_amproc o
  where o.amproclefttype < 16384
  union all
  select
    'language', 'pg_language', l.oid,
    hash_record_extended(row(l.oid, l.lanname, l.lanplcallfoid, l.lanpltrusted), 0)
  from pg_catalog.pg_language l
  where l.oid < 16384;
comment on view bulwark_private.audit_system_objects is
  'Postgres itself: the functions, operators and types in pg_catalog, where our code looks them up,
   and the casts and operator classes of those types.';

create function bulwark_private.audit_objects_fingerprint()
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with tables as materialized (select t.* from bulwark_private.audit_tables t),
  words (word) as (
    select bulwark_private.audit_word(
      'table', c.name,
      concat_ws(
        ' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
        c.reloptions,
        array(
          select i.inhparent::regclass::text from pg_catalog.pg_inherits i where i.inhrelid = c.oid
        )
      ),
      concat(c.oid, ':', c.version)
    )
    from tables c
    union all
    select bulwark_private.audit_word(
      'rights', c.name,
      concat_ws(' ', c.relowner::regrole, c.relacl, (
        select string_agg(concat(a.attname, a.attacl), ' ' order by a.attname)
        from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attacl is not null and not a.attisdropped
      )),
      lasting => false
    )
    from tables c
    union all
    select bulwark_private.audit_word(
      'rights', format_type(t.oid, null), concat_ws(' ', t.typowner::regrole, t.typacl),
      lasting => false
    )
    from bulwark_private.audit_types t
    union all
    select bulwark_private.audit_word(
      'rights', n.nspname, concat_ws(' ', n.nspowner::regrole, n.nspacl), lasting => false
    )
    from pg_catalog.pg_namespace n
    where n.nspname = 'bulwark_private'
    union all
    select bulwark_private.audit_word(
      'column', concat(c.name, '.', a.attname),
      concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
        a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)
      ),
      concat_ws(':', d.oid, a.xmin)
    )
    from tables c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid
    left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'
    union all
    -- With the right to switch triggers off one can also switch off those of a foreign key.
    select bulwark_private.audit_word(
      'constraint', concat(c.name, '.', k.conname),
      concat_ws(
        ' ', k.contype, k.convalidated, pg_get_constraintdef(k.oid),
        (
          select string_agg(t.tgenabled::text, '' order by t.tgrelid, t.tgtype, t.tgfoid)
          from pg_catalog.pg_trigger t where t.tgconstraint = k.oid
        )
      ),
      k.oid::text
    )
    from tables c
    join pg_catalog.pg_constraint k on k.conrelid = c.oid
    where k.contype in ('c', 'f', 'p', 'u', 'x')
    union all
    select bulwark_private.audit_word(
      case when i.indisunique then 'unique' else 'index' end,
      concat(c.name, '.', x.relname),
      concat_ws(
        ' ', pg_get_indexdef(i.indexrelid), i.indisunique, i.indisprimary, i.indimmediate,
        i.indisvalid, i.indislive
      )
    )
    from tables c
    join pg_catalog.pg_index i on i.indrelid = c.oid
    join pg_catalog.pg_class x on x.oid = i.indexrelid
    union all
    select bulwark_private.audit_word(
      'policy', concat(c.name, '.', p.polname),
      concat_ws(
        ' ', p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
        pg_get_expr(p.polwithcheck, p.polrelid)
      ),
      concat(p.oid, ':', p.xmin)
    )
    from tables c
    join pg_catalog.pg_policy p on p.polrelid = c.oid
    union all
    select bulwark_private.audit_word(
      'type', format_type(t.oid, null),
      concat_ws(
        ' ', t.typtype,
        array(
          select e.enumlabel from pg_catalog.pg_enum e
          where e.enumtypid = t.oid order by e.enumsortorder
        )
      ),
      concat(t.oid, ':', t.version)
    )
    from bulwark_private.audit_types t
    union all
    -- The ones that came with the cluster are too many to list.
    select bulwark_private.audit_word('system', o.kind, sum(o.content)::text, lasting => false)
    from bulwark_private.audit_system_objects o
    where o.oid < 16384
    group by o.kind
    union all
    select bulwark_private.audit_word(
      case when d.objid is null then 'new_' else 'extension_' end || o.kind,
      pg_describe_object(o.catalogue, o.oid, 0), o.content::text, lasting => false
    )
    from bulwark_private.audit_system_objects o
    left join pg_catalog.pg_depend d
      on d.classid = o.catalogue and d.objid = o.oid and d.deptype = 'e'
    where o.oid >= 16384
    union all
    select bulwark_private.audit_word(
      'event_trigger', e.evtname, concat_ws(' ', e.evtevent, e.evtfoid::regprocedure, e.evtenabled),
      concat(e.oid, ':', e.xmin)
    )
    from pg_catalog.pg_event_trigger e
  )
  select string_agg(w.word, ' ' order by w.word collate "C") from words w;
$$;
comment on function bulwark_private.audit_objects_fingerprint() is
  'The state of the log''s tables and types and of Postgres itself, as words of a fingerprint
   (audit_fingerprint).';

-- Audit fingerprints: the state of everything that protects the log, so that the sealer detects a
-- change.
-- Protects against an owner who replaces, drops, renames, overloads or reconfigures a function or
-- view that protects the log. These are found by following references in function bodies, triggers,
-- policies and views. A migration that changes one of them ends with
-- bulwark.refresh_audit_fingerprints().
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_code()
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  with recursive things (schema, name, relation) as materialized (
    select n.nspname, p.proname, null::oid
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('bulwark_private', 'bulwark')
      -- A function made by enable_audit belongs to the fingerprint of its own table.
      and p.proname !~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
    union
    select n.nspname, c.relname, c.oid
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('bulwark_private', 'bulwark') and c.relkind in ('r', 'p', 'v')
  ),
  -- Function bodies qualify all our names, because their search path does not contain our schemas.
  refers (schema, name, to_schema, to_name) as materialized (
    select distinct n.nspname, p.proname, m.word[1]::name, m.word[2]::name
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    cross join lateral regexp_matches(
      p.prosrc, '\m(bulwark_private|bulwark)\.([a-z_][a-z0-9_]*)', 'g'
    ) as m (word)
    where n.nspname in ('bulwark_private', 'bulwark')
      and p.proname !~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
    union
    select n.nspname, v.relname, o.nspname, coalesce(f.proname, r.relname)
    from pg_catalog.pg_class v
    join pg_catalog.pg_namespace n on n.oid = v.relnamespace
    join pg_catalog.pg_rewrite w on w.ev_class = v.oid
    join pg_catalog.pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
    left join pg_catalog.pg_proc f
      on d.refclassid = 'pg_proc'::regclass and f.oid = d.refobjid
    left join pg_catalog.pg_class r
      on d.refclassid = 'pg_class'::regclass and r.oid = d.refobjid and r.oid <> v.oid
    join pg_catalog.pg_namespace o on o.oid = coalesce(f.pronamespace, r.relnamespace)
    where v.relkind = 'v' and n.nspname in ('bulwark_private', 'bulwark')
  ),
  own (schema, name, relation) as materialized (
    select t.schema, t.name, t.relation
    from things t
    where t.relation is not null and t.name ~ '^audit_'
      and (t.schema = 'bulwark_private'
        or exists (
          select from bulwark_private.audit_watched_tables g where g.relation = t.relation
        ))
  ),
  -- Functions that use the log's own tables, and their callers. Nearly every function appends
  -- entries, so append_audit_entry is not followed to its callers.
  works (schema, name) as (
    select f.schema, f.name
    from refers f
    join own o on o.schema = f.to_schema and o.name = f.to_name
    union
    select f.schema, f.name
    from works w
    join refers f on f.to_schema = w.schema and f.to_name = w.name
    where w.name <> 'append_audit_entry' and 'bulwark_private' in (w.schema, f.schema)
  ),
  -- Those functions, and everything that they, triggers, policies and organization look-ups call.
  needed (schema, name) as (
    select w.schema, w.name from works w
    union
    select o.schema, o.name from own o
    union
    select n.nspname, p.proname
    from bulwark_private.audit_watched_tables g
    join pg_catalog.pg_trigger t on t.tgrelid = g.relation and not t.tgisinternal
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('bulwark', 'bulwark_private')
    union
    select n.nspname, p.proname
    from own o
    join pg_catalog.pg_policy y on y.polrelid = o.relation
    join pg_catalog.pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = y.oid
    join pg_catalog.pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    union
    select n.nspname, p.proname
    from bulwark_private.audit_watched_tables g
    join pg_catalog.pg_proc p on p.oid = to_regproc(g.options ->> 'organization_lookup')
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    union
    select f.to_schema, f.to_name
    from needed e
    join refers f on f.schema = e.schema and f.name = e.name
  )
  select jsonb_build_object(
    'functions', (
      select jsonb_agg(distinct concat(n.schema, '.', n.name))
      from needed n
      join pg_catalog.pg_namespace s on s.nspname = n.schema
      join pg_catalog.pg_proc p on p.pronamespace = s.oid and p.proname = n.name
      where p.proname !~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
    ),
    'views', (
      select jsonb_agg(distinct concat(n.schema, '.', n.name))
      from needed n
      join things t on t.schema = n.schema and t.name = n.name
      join pg_catalog.pg_class c on c.oid = t.relation and c.relkind = 'v'
    )
  );
$$;
comment on function bulwark_private.audit_code() is
  'The names of the functions and views that protect the log. It parses every function body, so it
   is called only when code changes.';

create function bulwark_private.audit_code_fingerprint(code jsonb)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select concat_ws(
    ' ',
    -- By name, so that a function created in its place, or an overload, is noticed too.
    (
      select string_agg(
        -- Any other change (owner, rights, settings) gives its row a new xmin.
        format('function/%s/%s|%s:%s|', t.name, f.oid, f.xmin, left(md5(f.prosrc), 8)), ' '
        order by t.name, f.oid
      )
      from jsonb_array_elements_text(code -> 'functions') as t (name)
      join pg_catalog.pg_namespace n on n.nspname = split_part(t.name, '.', 1)
      join pg_catalog.pg_proc f on f.pronamespace = n.oid and f.proname = split_part(t.name, '.', 2)
    ),
    (
      select string_agg(
        format('view/%s|%s:%s|', c.relname, r.xmin, c.xmin), ' ' order by t.name
      )
      from jsonb_array_elements_text(code -> 'views') as t (name)
      join pg_catalog.pg_namespace n on n.nspname = split_part(t.name, '.', 1)
      join pg_catalog.pg_class c
        on c.relnamespace = n.oid and c.relname = split_part(t.name, '.', 2) and c.relkind = 'v'
      join pg_catalog.pg_rewrite r on r.ev_class = c.oid
    )
  );
$$;
comment on function bulwark_private.audit_code_fingerprint(jsonb) is
  'State of the code that audit_code names, as words of a fingerprint (audit_fingerprint).';

create function bulwark_private.audit_fingerprint(relation regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- A word has three parts: the object, the code it runs, and the transaction that last touched it.
  -- The second part tells the sealer how serious a difference is. The hash of a function's text
  -- shows a function that was replaced in the transaction that created it, which leaves xmin
  -- unchanged.
  select concat_ws(
    ' ',
    concat('relation||', audit_fingerprint.relation),
    string_agg(
      format(
        '%s|%s:%s:%s|%s:%s', translate(t.tgname, ' |/', '___'), p.oid, p.xmin,
        left(md5(p.prosrc), 8), t.tgenabled, t.xmin
      ),
      ' ' order by t.tgname
    ),
    -- The triggers of a partition can be switched off one by one. Those of the log are watched as
    -- tables; one that the job did not make is an alarm.
    (
      select string_agg(
        bulwark_private.audit_word('new_partition', p.relation::text, ''), ' ' order by p.relation
      )
      from bulwark_private.audit_partitions p
      where audit_fingerprint.relation = 'bulwark.audit_logs'::regclass and p.relation not in (
        select g.relation from bulwark_private.audit_watched_tables g
      )
    ),
    -- A partition of the log. Not a function, which Postgres would plan for each of them.
    (
      select concat_ws(
        ' ',
        format(
          'table/%s|%s|%s:%s', c.relname,
          left(md5(concat_ws(
            ' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
            c.relreplident, c.reloptions,
            -- Its columns are those of the log; only these may differ.
            (
              select string_agg(
                concat_ws(' ', a.attname, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)),
                ',' order by a.attname
              )
              from pg_catalog.pg_attribute a
              left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
              join pg_catalog.pg_attribute l
                on l.attrelid = i.inhparent and l.attname = a.attname
              left join pg_catalog.pg_attrdef b on b.adrelid = l.attrelid and b.adnum = l.attnum
              where a.attrelid = c.oid and a.attnum > 0
                and (a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
                  is distinct from (l.attnotnull, pg_get_expr(b.adbin, b.adrelid))
            ),
            (
              select string_agg(pg_get_constraintdef(k.oid), ',' order by k.conname)
              from pg_catalog.pg_constraint k
              where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x')
            ),
            (select count(*) from pg_catalog.pg_policy y where y.polrelid = c.oid)
          )), 8),
          c.oid, c.xmin
        ),
        format(
          'rights/%s|%s|', c.relname,
          abs(hashtextextended(
            concat_ws(' ', pg_get_expr(c.relpartbound, c.oid), c.relowner::regrole, c.relacl, (
              select string_agg(concat(a.attname, a.attacl), ' ' order by a.attname)
              from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attacl is not null and not a.attisdropped
            )),
            0
          ) / 2)
        ),
        (
          select string_agg(
            format(
              '%s/%s|%s|', case when x.indisunique then 'unique' else 'index' end,
              translate(n.relname, ' |', '__'),
              left(md5(concat_ws(
                ' ', pg_get_indexdef(x.indexrelid), x.indisunique, x.indimmediate, x.indisvalid,
                x.indislive
              )), 8)
            ),
            ' ' order by n.relname
          )
          from pg_catalog.pg_index x
          join pg_catalog.pg_class n on n.oid = x.indexrelid
          where x.indrelid = c.oid
        )
      )
      from pg_catalog.pg_inherits i
      join pg_catalog.pg_class c on c.oid = i.inhrelid
      where i.inhrelid = audit_fingerprint.relation
        and i.inhparent = 'bulwark.audit_logs'::regclass
    ),
    (
      with recursive partitions (relation) as (
        select i.inhrelid from pg_catalog.pg_inherits i
        where i.inhparent = audit_fingerprint.relation
          and i.inhparent <> 'bulwark.audit_logs'::regclass
        union all
        select i.inhrelid from pg_catalog.pg_inherits i
        join partitions p on i.inhparent = p.relation
      )
      select string_agg(
        format('partition/%s/%s|%s|%s:%s', t.tgrelid, t.tgname, t.tgfoid, t.tgenabled, t.xmin), ' '
        order by t.tgrelid, t.tgname
      )
      -- From the partitions on, whatever the statistics say: most tables have none.
      from partitions r
      cross join lateral (
        select g.tgname, g.tgfoid, g.tgenabled, g.tgrelid, g.xmin
        from pg_catalog.pg_trigger g
        where g.tgrelid = r.relation offset 0
      ) t
      where (select p.pronamespace from pg_catalog.pg_proc p where p.oid = t.tgfoid)
        in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
    ),
    -- A rule can turn a write into nothing before any trigger runs.
    (
      select string_agg(
        format('rule/%s|%s|%s', translate(r.rulename, ' |', '__'), r.xmin, r.ev_enabled), ' '
        order by r.rulename
      )
      from pg_catalog.pg_rewrite r
      where r.ev_class = audit_fingerprint.relation
    ),
    -- Code that protects the log belongs to the fingerprint of audit_logs.
    case when audit_fingerprint.relation = 'bulwark.audit_logs'::regclass then
      concat_ws(
        ' ',
        bulwark_private.audit_code_fingerprint((
          select g.options from bulwark_private.audit_watched_tables g
          where g.relation = audit_fingerprint.relation
        )),
        bulwark_private.audit_objects_fingerprint()
      )
    end
  )
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  where t.tgrelid = audit_fingerprint.relation
    and not t.tgisinternal
    -- Triggers of the host are ignored on its own tables, and reported on the log's.
    and (
      p.pronamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
      or c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
        and c.relname ~ '^audit_'
    );
$$;
comment on function bulwark_private.audit_fingerprint(regclass) is
  'State of a table and its partitions: Bulwark''s triggers (on the log itself all triggers) and
   rules, with their functions, whether they are enabled, and the transactions that last touched
   them; for audit_logs also all code that protects the log.';

create function bulwark_private.audit_catalogue()
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Every change of a catalogue row changes its xmin or ctid. Hashes are summed, which needs no
  -- sort.
  -- Rows as old as the cluster are only counted.
  with stored as materialized (select g.* from bulwark_private.audit_watched_tables g),
  tables as materialized (
    select c.oid, c.xmin, c.ctid, c.relkind = 'i' and c.relispartition as copies
    from pg_catalog.pg_class c
    where c.relname like 'audit\_%'
  ),
  -- Without the indexes of partitions, which have no columns or triggers of their own.
  watched as materialized (
    select t.oid from tables t where not t.copies union select g.relation from stored g
  )
  select concat_ws(
    ' ',
    (
      select sum(hash_record_extended(
        row(g.relation, g.captures, g.options, g.fingerprint, g.shape, c.relname, c.relnamespace), 0
      ))
      from stored g
      left join pg_catalog.pg_class c on c.oid = g.relation
    ),
    (select sum(hash_record_extended(row(t.oid, t.xmin, t.ctid), 0)) from tables t),
    (
      select sum(hash_record_extended(row(t.oid, t.xmin, t.ctid), 0))
      from pg_catalog.pg_trigger t
      where not t.tgisinternal or t.tgrelid in (select w.oid from watched w)
    ),
    (
      select sum(hash_record_extended(row(r.oid, r.xmin, r.ctid, c.xmin), 0))
      from pg_catalog.pg_rewrite r
      join pg_catalog.pg_class c on c.oid = r.ev_class
      where c.relnamespace <> 'pg_catalog'::regnamespace
    ),
    (
      select sum(hash_record_extended(row(i.inhrelid, i.inhparent, i.xmin), 0))
      from pg_catalog.pg_inherits i
    ),
    (
      select sum(hash_record_extended(row(a.attrelid, a.attnum, a.xmin, a.ctid), 0))
      from watched w
      join pg_catalog.pg_attribute a on a.attrelid = w.oid and a.attnum > 0
    ),
    (
      select sum(hash_record_extended(row(d.oid, d.xmin, d.ctid), 0))
      from pg_catalog.pg_attrdef d
      where d.adrelid in (select t.oid from tables t)
    ),
    (
      select sum(hash_record_extended(row(k.oid, k.xmin, k.ctid), 0))
      from pg_catalog.pg_constraint k
      where k.conrelid in (select t.oid from tables t)
    ),
    (
      select sum(hash_record_extended(row(i.indexrelid, i.xmin, i.ctid), 0))
      from pg_catalog.pg_index i
      where i.indrelid in (select w.oid from watched w)
    ),
    (select sum(hash_record_extended(row(p.oid, p.xmin, p.ctid), 0)) from pg_catalog.pg_policy p),
    (select sum(hash_record_extended(row(e.oid, e.xmin, e.ctid), 0)) from pg_catalog.pg_enum e),
    (
      select sum(hash_record_extended(row(e.oid, e.xmin, e.ctid), 0))
      from pg_catalog.pg_event_trigger e
    ),
    (
      select sum(hash_record_extended(row(n.oid, n.xmin, n.ctid), 0))
      from pg_catalog.pg_namespace n
      where n.nspname = 'bulwark_private'
    ),
    (
      select concat(
        count(*) filter (where o.xmin = '1'), ':',
        sum(hash_record_extended(row(o.tableoid, o.oid, o.xmin, o.ctid), 0))
          filter (where o.xmin <> '1')
      )
      from (
        select p.tableoid, p.oid, p.xmin, p.ctid from pg_catalog.pg_proc p
        union all
        select t.tableoid, t.oid, t.xmin, t.ctid
        from pg_catalog.pg_type t
        where t.typnamespace = 'pg_catalog'::regnamespace or t.typname like 'audit\_%'
        union all
        select c.tableoid, c.oid, c.xmin, c.ctid from pg_catalog.pg_cast c
        union all
        select o.tableoid, o.oid, o.xmin, o.ctid from pg_catalog.pg_operator o
        union all
        select o.tableoid, o.oid, o.xmin, o.ctid from pg_catalog.pg_opclass o
        union all
        select o.tableoid, o.oid, o.xmin, o.ctid from pg_catalog.pg_amop o
        union all
        select o.tableoid, o.oid, o.xmin, o.ctid from pg_catalog.pg_amproc o
        union all
        select l.tableoid, l.oid, l.xmin, l.ctid from pg_catalog.pg_language l
      ) o
    )
  );
$$;
comment on function bulwark_private.audit_catalogue() is
  'A hash of audit_watched_tables and of the catalogue rows that fingerprints are made of. It is
   cheap: the sealer compares fingerprints only when it changes.';

create function bulwark.refresh_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_code jsonb;
begin
  -- Every table of the log is watched.
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select t.oid, false, bulwark_private.audit_fingerprint(t.oid)
  from bulwark_private.audit_tables t
  where t.relkind <> 'S'
  union all
  select p.relation, false, bulwark_private.audit_fingerprint(p.relation)
  from bulwark_private.audit_partitions p
  on conflict (relation) do nothing;
  v_code := bulwark_private.audit_code();
  update bulwark_private.audit_watched_tables g set options = v_code
  where g.relation = 'bulwark.audit_logs'::regclass and g.options is distinct from v_code;
  update bulwark_private.audit_watched_tables g
    set fingerprint = bulwark_private.audit_fingerprint(g.relation)
  where g.fingerprint is distinct from bulwark_private.audit_fingerprint(g.relation);
end;
$$;
comment on function bulwark.refresh_audit_fingerprints() is
  'Accepts the present state of everything that protects the log, which is recorded as an entry. A
   migration that changes it calls this as its last statement.';

-- Audit images: converts rows and their values into the JSON of an entry.
-- Protects writes from failing because JSON cannot hold a value, secrets from entering the log
-- (ignored columns are never read, redacted ones are masked), and images from a session's settings,
-- which are pinned here.
-- No function here is SECURITY DEFINER.

insert into bulwark.settings (name, value, description) values
  ('audit.refuse_unconvertible', 'false',
    'Whether an audited table refuses a value that JSON cannot hold; else the entry describes it');

create function bulwark_private.audit_value(value anyelement)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_error text;
  v_text text;
begin
  return to_jsonb(value);
exception
  -- Code of a type may raise anything; the application's write must not fail for it.
  when others then
    v_error := sqlstate;
    if (bulwark_private.setting('audit.refuse_unconvertible'))::boolean then
      raise exception 'Cannot record change: JSON cannot hold a value of type %', pg_typeof(value)
        using errcode = 'data_exception', detail = 'AUDIT_UNCONVERTIBLE_VALUE',
              hint = 'Ignore the column, or turn the setting audit.refuse_unconvertible off';
    end if;
    begin
      v_text := value::text;
      return jsonb_build_object(
        'unconvertible', pg_typeof(value)::text, 'error', v_error, 'bytes', octet_length(v_text),
        'sha256', encode(sha256(convert_to(v_text, 'UTF8')), 'hex')
      ) || case
        when octet_length(v_text) <= 1024 then jsonb_build_object('text', v_text) else '{}'
      end;
    exception
      when others then
        return jsonb_build_object(
          'unconvertible', pg_typeof(value)::text, 'error', v_error,
          'stored_bytes', pg_column_size(value)
        );
    end;
end;
$$;
comment on function bulwark_private.audit_value(anyelement) is
  'A value as JSON. If JSON cannot hold it: its type, the error, length and SHA-256 of its text, and
   the text itself up to 1,024 bytes. Errors, with the setting audit.refuse_unconvertible:
   AUDIT_UNCONVERTIBLE_VALUE.';

create function bulwark_private.audit_value(value anyelement, other anyelement)
  returns jsonb
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_value constant jsonb := bulwark_private.audit_value(value);
begin
  if record_image_eq(row(value), row(other))
    or coalesce(v_value, 'null')::text <> coalesce(
      bulwark_private.audit_value(other), 'null'
    )::text then
    return v_value;
  end if;
  return to_jsonb(value::text);
exception
  when others then
    return v_value;
end;
$$;
comment on function bulwark_private.audit_value(anyelement, anyelement) is
  'One side of a change. If both sides give the same JSON (a json column with duplicate keys, -0 and
   0, null and a JSON null), it is the value''s text.';

-- For sessions whose settings change the output of to_jsonb.
create function bulwark_private.audit_json(changed record)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
as $$ begin return to_jsonb(changed); end; $$;
comment on function bulwark_private.audit_json(record) is
  'A row as JSON, independent of the session''s settings.';

create function bulwark_private.audit_image(
  image jsonb,
  ignored text[],
  redacted text[],
  whole jsonb default null
)
  returns jsonb
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- No value passes through an aggregate: aggregates copy long values in quadratic time.
  -- A renamed column still holds its secret, and its new name is unknown here, so all are masked.
  if not coalesce(whole, image) ?& (ignored || redacted) then
    return (select jsonb_object_agg(k, '[redacted]') from jsonb_object_keys(image) as k);
  end if;
  image := image - ignored;
  image := image || (
    select coalesce(jsonb_object_agg(c, '[redacted]'), '{}')
    from unnest(redacted) as c
    where image ? c
  );
  if pg_column_size(image) > 32768 then
    image := image || (
      select coalesce(jsonb_object_agg(v.key, format('[%s bytes left out]', v.bytes)), '{}')
      from (
        select e.key, octet_length(e.value::text) as bytes from jsonb_each(image) as e offset 0
      ) v
      where v.bytes > 1024
    );
  end if;
  return image;
end;
$$;
comment on function bulwark_private.audit_image(jsonb, text[], text[], jsonb) is
  'A row, or the changed part of one, as an entry may hold it: without ignored columns, with
   redacted columns masked and, above 32,768 bytes, without values of more than 1,024. If the row
   lacks one of those columns because it was renamed, all values are masked.';

create function bulwark_private.audit_key(image jsonb, key_columns text[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when key_columns is null
    then 'sha256:' || encode(sha256(convert_to(image::text, 'UTF8')), 'hex')
    when cardinality(key_columns) = 1 then image ->> key_columns[1]
    else (select jsonb_object_agg(c, image -> c)::text from unnest(key_columns) as c)
  end;
$$;
comment on function bulwark_private.audit_key(jsonb, text[]) is
  'The resource_id of a row: its key, as a JSON object if it has several columns; for a row without
   a key a hash of its image.';

create function bulwark_private.audit_lookup(lookup regproc, value text)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case p.prorettype
    when 'uuid'::regtype then c.call
    else format('bulwark_private.organization_of((%s)::text)', c.call)
  end
  from pg_catalog.pg_proc p
  cross join lateral format(
    '%s((%s)::%s)', p.oid::regproc, value, format_type(p.proargtypes[0], null)
  ) as c (call)
  where p.oid = lookup;
$$;
comment on function bulwark_private.audit_lookup(regproc, text) is
  'SQL text that calls a look-up of the host with a value, also SQL, and gives the organization.';

create function bulwark_private.audit_organization(value text, lookup text)
  returns uuid
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_organization uuid;
begin
  if lookup <> '' then
    execute format('select %s', bulwark_private.audit_lookup(lookup::regproc, '$1'))
      into v_organization
      using value;
    return coalesce(v_organization, bulwark_private.remembered_organization(value, lookup));
  end if;
  return bulwark_private.uuid_or_null(value);
exception
  -- If a look-up of the host fails, the entry has no organization, and the host's write goes on.
  when others then
    raise warning 'Cannot find the organization of an audit entry: %', sqlerrm;
    return null;
end;
$$;
comment on function bulwark_private.audit_organization(text, text) is
  'The organization of a row: the value of its organization column, or the result of a look-up by
   it. Null, with a warning, if the look-up fails.';

create view bulwark_private.audit_columns with (security_invoker = true) as
  select
    a.attrelid as relation,
    a.attname as name,
    a.attnum as place,
    a.atttypid as type,
    t.exact or t.convertible as convertible,
    t.exact,
    case
      when a.atttypid = any ('{timestamptz, timestamptz[]}'::regtype[]) then '{timezone}'::text[]
      when a.atttypid = any ('{float4, float8, float4[], float8[]}'::regtype[])
      then '{extra_float_digits}'::text[]
      when t.exact and a.atttypid <> all ('{interval, bytea}'::regtype[]) or t.convertible
      then '{}'::text[]
      else '{
        timezone, datestyle, intervalstyle, extra_float_digits, bytea_output, lc_monetary
      }'::text[]
    end as settings
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type y on y.oid = a.atttypid
  cross join lateral (
    select
      y.typtype = 'e' and not exists (
        select from pg_catalog.pg_cast x
        where x.castsource = y.oid and x.casttarget = 'json'::regtype
      ) or y.oid = any ('{
        bool, int2, int4, int8, numeric, text, varchar, bpchar, name, uuid, date, time, timetz,
        timestamp, timestamptz, interval, bytea, inet, cidr
      }'::regtype[]) as exact,
      y.oid = any ('{
        float4, float8, jsonb, bool[], int2[], int4[], int8[], numeric[], float4[], float8[],
        text[], varchar[], uuid[], date[], timestamp[], timestamptz[]
      }'::regtype[]) as convertible
  ) t
  where a.attnum > 0 and not a.attisdropped;
comment on view bulwark_private.audit_columns is
  'Columns of tables: whether their type converts to JSON without errors, whether different values
   always give different JSON, and the settings that this depends on.';

-- PL/pgSQL caches the plan: every statement in bulk mode calls this.
create function bulwark_private.audit_key_columns(relation oid, known text[])
  returns text[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key constant text[] := (
    select array_agg(a.attname::text order by k.place)
    from pg_catalog.pg_index i
    cross join unnest(i.indkey) with ordinality as k (attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = audit_key_columns.relation
      and i.indisprimary
      and k.place <= i.indnkeyatts
  );
begin
  if v_key is not null or exists (
    select from unnest(known) as k
    where k <> all (array(
      select c.name::text from bulwark_private.audit_columns c
        where c.relation = audit_key_columns.relation
    ))
  ) then
    return v_key;
  end if;
  return known;
end;
$$;
comment on function bulwark_private.audit_key_columns(oid, text[]) is
  'The columns that identify a row of the table: its primary key or, if it has none any more, the
   known columns while all of them exist; else null.';

create function bulwark_private.audit_places(relation oid, names text[])
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_object_agg(a.attname, a.attnum), '{}')
  from pg_catalog.pg_attribute a
  where a.attrelid = audit_places.relation and a.attname = any (names) and not a.attisdropped;
$$;
comment on function bulwark_private.audit_places(oid, text[]) is
  'Numbers of the columns that have these names now. A column keeps its number when it is renamed.';

create function bulwark_private.audit_moved(relation oid, places jsonb)
  returns text[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p.name
    from jsonb_each_text(places) as p (name, place)
    left join pg_catalog.pg_attribute a
      on a.attrelid = audit_moved.relation and a.attnum = p.place::smallint
    where a.attname is distinct from p.name or a.attisdropped
    order by p.name
  );
end;
$$;
comment on function bulwark_private.audit_moved(oid, jsonb) is
  'Names in places (from audit_places) that no column or another column has now.';

-- Audit capture: every change of an audited table leaves an entry in the same transaction.
-- Protects against changes without a trace, also under session_replication_role (the triggers are
-- enabled always) and after the table was altered.
-- SECURITY DEFINER: the trigger functions audit_rows and audit_truncate, because the role that
--   changes an audited table may not write the log.

-- Row triggers have functions made for their table (make_audit_function); bulk mode and fallback
-- are here. The options are also the arguments of the triggers: 1 table, 2 key columns, 3
-- organization column, 4 look-up of the organization by it, 5 ignored and 6 redacted columns, 7 to
-- 9 event types and 10 to 12 severities of insert, update and delete. Stored in
-- audit_watched_tables only: 13 the numbers of columns 3, 5 and 6 (audit_places), which a restore
-- changes.
create function bulwark_private.audit_statement(
  relation oid,
  operation text,
  options text[],
  old_rows text,
  new_rows text,
  trusting boolean
)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_columns jsonb;
  v_count integer;
  v_changes text;
  v_key constant text[] := bulwark_private.audit_key_columns(relation, options[2]::text[]);
  v_moved constant text[] := bulwark_private.audit_moved(relation, (
    select (g.options -> 'written' ->> 12)::jsonb
    from bulwark_private.audit_watched_tables g where g.relation = audit_statement.relation
  ));
  v_new text;
  v_old text;
  v_organization constant text := bulwark_private.organization_expression(
    relation, options[3], format('c.image ->> %L', options[3])
  );
  v_same text;
begin
  -- Ignored columns are not read, unless they belong to the key. If two different values might give
  -- the same JSON, audit_value gets both.
  select
    coalesce(jsonb_object_agg(c.name, null), '{}'),
    count(*) filter (where k.kept),
    coalesce(string_agg(
      format(
        case
          when trusting and case operation when 'UPDATE' then c.exact else c.convertible end
          then 'p.%1$I'
          when operation = 'UPDATE' then 'bulwark_private.audit_value(p.%1$I, q.%1$I) as %1$I'
          else 'bulwark_private.audit_value(p.%1$I) as %1$I'
        end,
        c.name
      ),
      ', '
    ) filter (where k.kept), ''),
    coalesce(string_agg(
      format(
        case when trusting and c.exact then 'q.%1$I'
        else 'bulwark_private.audit_value(q.%1$I, p.%1$I) as %1$I' end,
        c.name
      ),
      ', '
    ) filter (where k.kept), ''),
    -- As a function call: the operator between rows of one column would compare the columns
    -- themselves.
    coalesce(string_agg(
      format('case when record_image_eq(row(p.%1$I), row(q.%1$I)) then %1$L end', c.name), ', '
    ) filter (where k.kept), '')
  into v_columns, v_count, v_old, v_new, v_same
  from bulwark_private.audit_columns c
  cross join lateral (
    select c.name <> all (options[5]::text[]) or c.name = any (v_key) as kept
  ) k
  where c.relation = audit_statement.relation;

  -- Another column has one of these names now, so the ignored and redacted columns are unknown.
  if v_moved && (options[5]::text[] || options[6]::text[]) then
    v_columns := '{}';
  end if;
  if options[3] = any (v_moved) then
    options[3] := '';
  end if;
  if operation = 'UPDATE' then
    -- Both transition tables list rows in the order of the update, so old and new rows are paired
    -- by position, also if the key changes or two rows swap keys. A row that moves to another
    -- organization is a delete in one and an insert in the other. A row without a key is shown
    -- whole.
    v_changes := format(
      $sql$
        select
          e.event,
          case e.event when 9 then d.old_image else d.new_image end as image,
          case e.event when 8 then d.old_image - d.same when 9 then d.old_image end as before,
          case e.event when 8 then d.new_image - d.same when 7 then d.new_image end as after
        from (
          select
            (select to_jsonb(r.*) from (select %1$s) r) as old_image,
            (select to_jsonb(r.*) from (select %2$s) r) as new_image,
            case when %3$L then c.same else '{}' end as same
          from (select row_number() over () as "audit place", s.* from %4$s s) p
          join (select row_number() over () as "audit place", s.* from %5$s s) q
            on q."audit place" = p."audit place"
          cross join lateral (select array_remove(array[%6$s]::text[], null) as same offset 0) c
          where cardinality(c.same) < %7$s
          offset 0
        ) d
        cross join lateral unnest(
          case
            when d.old_image -> %8$L is distinct from d.new_image -> %8$L then '{9,7}'
            else '{8}'
          end::integer[]
        ) as e (event)
      $sql$,
      v_old, v_new, v_key is not null, old_rows, new_rows, v_same, v_count, options[3]
    );
  else
    v_changes := format(
      $sql$
        select
          %1$s as event, s.image,
          case when %1$s = 9 then s.image end as before,
          case when %1$s = 7 then s.image end as after
        from (
          select to_jsonb(r.*) as image from (select %2$s from %3$s p offset 0) r offset 0
        ) s
      $sql$,
      case operation when 'INSERT' then 7 else 9 end, v_old,
      case operation when 'INSERT' then new_rows else old_rows end
    );
  end if;
  return format(
    $sql$
      insert into bulwark.audit_logs (
        source, severity, result, organization_id, event_type, resource_type, resource_id, action,
        before, after
      )
      select
        'table', (%1$L::text[])[c.event + 3]::bulwark.audit_severity, 'success', %2$s,
        (%1$L::text[])[c.event], %3$L, %4$s, %5$L,
        case
          when %6$L or pg_column_size(c.before) > 32768
          then bulwark_private.audit_image(c.before, %7$L, %8$L, %9$L)
          else c.before
        end,
        case
          when %6$L or pg_column_size(c.after) > 32768
          then bulwark_private.audit_image(c.after, %7$L, %8$L, %9$L)
          else c.after
        end
      from (%10$s) c
    $sql$,
    options,
    case
      when options[3] = '' then 'null::uuid'
      when options[4] = '' and v_organization is not null then v_organization
      else format('bulwark_private.audit_organization(c.image ->> %L, %L)', options[3], options[4])
    end,
    options[1],
    case
      when v_key is null then
        format(
          'bulwark_private.audit_key('
            'bulwark_private.audit_image(coalesce(c.before, c.after), %L, %L, %L), null)',
          options[5], options[6], v_columns
        )
      when cardinality(v_key) = 1 then format('c.image ->> %L', v_key[1])
      else format('bulwark_private.audit_key(c.image, %L)', v_key)
    end,
    lower(operation), options[5] <> '{}' or options[6] <> '{}', options[5], options[6], v_columns,
    v_changes
  );
end;
$$;
comment on function bulwark_private.audit_statement(oid, text, text[], text, text, boolean) is
  'SQL text that appends the entries of changed rows, for the table as it is now. trusting takes the
   types that audit_columns knows without testing them.';

create function bulwark_private.audit_carefully(
  relation oid,
  event integer,
  old record,
  new record,
  options text[]
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
as $$
begin
  execute bulwark_private.audit_statement(
    relation, ('[7:9]={INSERT,UPDATE,DELETE}'::text[])[event], options, '(select ($1).*)',
    '(select ($2).*)', false
  ) using old, new;
end;
$$;
comment on function bulwark_private.audit_carefully(oid, integer, record, record, text[]) is
  'Appends the entry of one row column by column, when the table''s own function cannot: JSON cannot
   hold a value, the key is another one, or JSON does not show the change. event is a position in
   the options (7 insert, 8 update, 9 delete).';

create function bulwark_private.audit_rows()
  returns trigger
  language plpgsql
  security definer            -- definer because writers of the table may not write the log
  set search_path = pg_catalog, pg_temp
  set timezone = 'UTC'
  set datestyle = 'ISO, YMD'
  set intervalstyle = 'postgres'
  set extra_float_digits = 1
  set bytea_output = 'hex'
  set quote_all_identifiers = off
  set lc_monetary = 'C'
  set jit = off               -- its cost estimates would compile a small statement for 200 ms
as $$
begin
  -- Planned for the actual rows: a plan cached from small statements is quadratic for large ones.
  execute bulwark_private.audit_statement(
    tg_relid, tg_op, tg_argv[:], 'old_rows', 'new_rows', true
  );
  return null;
end;
$$;
comment on function bulwark_private.audit_rows() is
  'Trigger: writes the entries of a whole statement at once, for tables that are loaded in bulk.';

create function bulwark_private.audit_truncate()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that truncates may not write the log
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into bulwark.audit_logs (source, severity, result, event_type, resource_type, action)
  values ('table', 'warning', 'success', tg_argv[8], tg_argv[0], 'truncate');
  return null;
end;
$$;
comment on function bulwark_private.audit_truncate() is
  'Trigger: an entry without an organization when an audited table is truncated.';

-- Audit parents: the organization of a row whose parent is deleted already.
-- Protects against entries without an organization: with organization_lookup, the rows that a
-- cascade deletes are looked up after their parent is gone.
-- SECURITY DEFINER: remember_organizations, because the role that deletes a parent may not write
--   here.

-- Only the transaction that wrote a row reads it.
create unlogged table bulwark_private.audit_parents (
  xid xid8 not null,
  value text not null,
  lookup text not null,
  organization_id uuid not null,
  primary key (xid, value, lookup)
);
comment on table bulwark_private.audit_parents is
  'Organizations of parents that a transaction deletes or gives another key, as they were before.
   Not audited: the tables hold the same, and the sealer empties it.';
alter table bulwark_private.audit_parents enable row level security;

create function bulwark_private.remembered_organization(value text, lookup text)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select p.organization_id
  from bulwark_private.audit_parents p
  where p.xid = pg_current_xact_id_if_assigned()
    and p.value = remembered_organization.value
    and p.lookup = remembered_organization.lookup;
$$;
comment on function bulwark_private.remembered_organization(text, text) is
  'The organization of a parent that this transaction deleted.';

-- Arguments: 0 the look-up of the organization, 1 SQL for the keys that it will be called with
-- after the row is deleted.
create function bulwark_private.remember_organizations()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that deletes a parent may not write here
  set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    execute format(
      $sql$
        insert into bulwark_private.audit_parents (xid, value, lookup, organization_id)
        select pg_current_xact_id(), o.value::text, %1$L, o.organization_id
        from (select k.value, %3$s as organization_id from (%2$s) k (value)) o
        where o.value is not null and o.organization_id is not null
        on conflict (xid, value, lookup) do update set organization_id = excluded.organization_id
      $sql$,
      tg_argv[0]::regproc, tg_argv[1], bulwark_private.audit_lookup(tg_argv[0]::regproc, 'k.value')
    ) using old;
  exception
    -- If the table was altered, entries lose their organization, and the host's write goes on.
    when others then
      raise warning 'Cannot remember the organization of audit entries: %', sqlerrm;
  end;
  return coalesce(new, old);
end;
$$;
comment on function bulwark_private.remember_organizations() is
  'Trigger: stores the organizations of rows before the parent that leads to them is deleted.';

create function bulwark_private.forget_parents(stem text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.tgrelid::regclass as relation, t.tgname as name
    from pg_catalog.pg_trigger t
    where t.tgfoid = 'bulwark_private.remember_organizations()'::regprocedure
      and starts_with(t.tgname, 'bulwark_parent_' || stem)
      and t.tgparentid = 0
  loop
    execute format('drop trigger %I on %s', v_trigger.name, v_trigger.relation);
    update bulwark_private.audit_watched_tables g
      set fingerprint = bulwark_private.audit_fingerprint(g.relation)
    where g.relation = v_trigger.relation;
  end loop;
end;
$$;
comment on function bulwark_private.forget_parents(text) is
  'Drops the triggers with this stem (audit_stem) from the tables that lead to the organizations of
   an audited table.';

create function bulwark_private.watch_parents(
  target regclass,
  organization_column text,
  organization_lookup regproc,
  stem text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number integer := 0;
  v_parent record;
begin
  for v_parent in
    -- From the foreign keys of the organization column upwards, through those that cascade.
    with recursive links as (
      select
        c.conrelid, c.confrelid, c.confdeltype, f.attname as child_column, r.attname as key_column
      from pg_catalog.pg_constraint c
      cross join unnest(c.conkey, c.confkey) as k (child, key)
      join pg_catalog.pg_attribute f on f.attrelid = c.conrelid and f.attnum = k.child
      join pg_catalog.pg_attribute r on r.attrelid = c.confrelid and r.attnum = k.key
      where c.contype = 'f'
    ), parents as (
      select
        l.confrelid as relation, l.key_column, array[l.conrelid, l.confrelid] as path,
        '<keys>' as template
      from links l
      where l.conrelid = target and l.child_column = organization_column
      union all
      select
        l.confrelid, l.key_column, p.path || l.confrelid,
        replace(
          p.template, '<keys>',
          format(
            'select p.%I from %s p where p.%I = any (array(<keys>))', p.key_column,
            p.relation::regclass, l.child_column
          ) collate "default"
        )
      from parents p
      join links l on l.conrelid = p.relation and l.confdeltype = 'c'
      where l.confrelid <> all (p.path) and cardinality(p.path) < 7
    )
    select distinct
      p.relation::regclass as relation, p.relation::regclass::text collate "C" as name,
      p.key_column,
      replace(p.template, '<keys>', format('select ($1).%I', p.key_column)) as keys
    from parents p
    join pg_catalog.pg_class t on t.oid = p.relation
    -- The auth schema is not ours. Its cascades pass through tables that have the trigger.
    where has_table_privilege(p.relation, 'trigger')
      and t.relnamespace::regnamespace::text <> 'auth'
    order by 2, 3, 4
  loop
    v_number := v_number + 1;
    execute format(
      'create trigger %I before delete or update of %I on %s for each row
         execute function bulwark_private.remember_organizations(%L, %L)',
      format('bulwark_parent_%s_%s', stem, v_number), v_parent.key_column,
      v_parent.relation, organization_lookup, v_parent.keys
    );
    update bulwark_private.audit_watched_tables g
      set fingerprint = bulwark_private.audit_fingerprint(g.relation)
    where g.relation = v_parent.relation;
  end loop;
end;
$$;
comment on function bulwark_private.watch_parents(regclass, text, regproc, text) is
  'Creates triggers on the tables that lead to the organizations of an audited table, as far as
   foreign keys reach.';

-- Audit row expressions: parts of the text of row functions (audit_row_functions) that depend on
-- the columns of a table.
-- Protects against an image that depends on a session's settings, and against a change that JSON
-- does not show.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_row_settings(relation oid, nulls jsonb)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format('current_setting(%L) %s', s.name, s.test), ' or ')
  from (
    values ('timezone', $test$not in ('UTC', 'Etc/UTC')$test$),
      ('datestyle', $test$not like 'ISO%'$test$),
      ('intervalstyle', $test$<> 'postgres'$test$),
      ('extra_float_digits', $test$not in ('1', '2', '3')$test$),
      ('bytea_output', $test$<> 'hex'$test$),
      ('lc_monetary', $test$<> 'C'$test$)
  ) as s (name, test)
  where s.name in (
    select unnest(c.settings)
    from bulwark_private.audit_columns c
    where c.relation = audit_row_settings.relation and not nulls ? c.name
  );
$$;
comment on function bulwark_private.audit_row_settings(oid, jsonb) is
  'SQL text that tells whether the session''s settings change the JSON of a row: only those are
   compared that matter for the types of this table. Null if none does.';

create function bulwark_private.audit_row_difference(relation oid, nulls jsonb)
  returns table (same text, unshown text, columns integer)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  -- Equal values of these types are the same bytes: their comparison costs less than that of rows.
  -- As a function call: the operator between rows of one column would compare the columns
  -- themselves.
  select
    format(
      'array_remove(array[%s]::text[], null)',
      string_agg(
        format('case when %s then %L end', d.is_same, c.name), E',\n      ' order by c.place
      )
    ),
    string_agg(
      format(
        E'\n      or %L <> all (v_same) and v_before -> %1$L is not distinct from v_after -> %1$L',
        c.name
      ), '' order by c.place
    ) filter (where not c.exact),
    count(*)
  from bulwark_private.audit_columns c
  cross join lateral (
    select case
      when c.type = any ('{bool, int2, int4, int8, uuid, date, timestamp, timestamptz}'::regtype[])
      then format('old.%1$I is not distinct from new.%1$I', c.name)
      when c.type = any ('{text, varchar}'::regtype[])
      then format('old.%1$I collate "C" is not distinct from new.%1$I collate "C"', c.name)
      else format('record_image_eq(row(old.%1$I), row(new.%1$I))', c.name)
    end as is_same
  ) d
  where c.relation = audit_row_difference.relation and not nulls ? c.name;
$$;
comment on function bulwark_private.audit_row_difference(oid, jsonb) is
  'For PL/pgSQL: an array of the columns that an update leaves as they are, a condition that is true
   if JSON does not show a change, and how many columns are compared.';

create function bulwark_private.audit_row_source(image text, nulls jsonb)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when nulls = '{}' then r.source
    else format('jsonb_populate_record(%s, %L)', r.source, nulls)
  end
  from (select case image when 'v_before' then 'old' else 'new' end as source) r;
$$;
comment on function bulwark_private.audit_row_source(text, jsonb) is
  'PL/pgSQL text of the row of an image. Ignored columns are set to null, so they are not read.';

create function bulwark_private.audit_row_part(image text, operation text, options text[])
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when operation = 'insert' and image = 'v_before' or operation = 'delete' and image = 'v_after'
    then 'null'
    when options[5] = '{}' and options[6] = '{}' then p.part
    else format(
      'bulwark_private.audit_image(%s, %L, %L, %s)', p.part, options[5], options[6], image
    )
  end
  from (
    select concat(image, case operation when 'update' then ' - v_same' end) as part
  ) p;
$$;
comment on function bulwark_private.audit_row_part(text, text, text[]) is
  'SQL text of the old or new values that the entry of an operation holds.';

-- Audit row functions: trigger functions that write entries row by row, generated for each table
-- with its options as constants.
-- Protects the speed of writes: reading options at run time costs a write a tenth. A later change
-- of the table fails no write: no field of a row is named, and audit_carefully takes over when
-- anything is unexpected.
-- SECURITY DEFINER: the functions generated here, because writers of audited tables may not write
--   the log.

create function bulwark_private.leave_row_function()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'Cannot append entry: the row needs a closer look'
    using errcode = 'data_exception';
end;
$$;
comment on function bulwark_private.leave_row_function() is
  'Raises an error that the row function catches to switch to audit_carefully. Clients never see
   it.';

create function bulwark_private.audit_shape(relation oid)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Names instead of numbers: a restore changes the numbers only.
  select md5(concat_ws(
    ' ', audit_shape.relation::regclass, pg_get_indexdef(i.indexrelid),
    (
      select string_agg(format('%I %s', c.name, c.type::regtype), ',' order by c.place)
      from bulwark_private.audit_columns c where c.relation = audit_shape.relation
    )
  ))
  from (values (true)) as always
  left join pg_catalog.pg_index i on i.indrelid = audit_shape.relation and i.indisprimary;
$$;
comment on function bulwark_private.audit_shape(oid) is
  'A hash of the name and columns of a table and the index of its key: row functions are made for
   these.';

-- Postgres evaluates it when it plans the call, once in each session, so it costs a write nothing.
-- The regclass constants of the call make Postgres plan it again after every change of the table or
-- the index. For that alone it is declared immutable. It reads columns and index in ways that see
-- changes of other sessions at once, also in a transaction with an older snapshot.
create function bulwark_private.audit_table_fits(
  relation regclass,
  key_index regclass,
  definition text,
  watched text[],
  columns text[],
  types text[]
)
  returns boolean
  language plpgsql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_fits boolean;
  v_places constant jsonb := (
    select (g.options -> 'written' ->> 12)::jsonb
    from bulwark_private.audit_watched_tables g where g.relation = audit_table_fits.relation
  );
begin
  if pg_get_indexdef(key_index) is distinct from definition or not v_places ?& watched then
    return false;
  end if;
  -- The columns of the table's row type. One that is gone is an error, and nothing fits then.
  execute format(
    'select to_jsonb(r) - $1 = ''{}'' and array[%s]::text[] = $2 from (select (null::%s).*) as r',
    (select string_agg(format('pg_typeof(r.%I)::text', c), ', ') from unnest(columns) as c),
    relation
  ) into v_fits using columns, types;
  -- A column's description begins with "column" and its name. On a server that speaks another
  -- language it never does; then audit_carefully writes every row.
  return v_fits and not exists (
    select from unnest(watched) as w
    where starts_with(
      pg_describe_object('pg_class'::regclass, relation, (v_places ->> w)::integer),
      format('column %s of ', w)
    ) is not true
  );
end;
$$;
comment on function bulwark_private.audit_table_fits(
  regclass, regclass, text, text[], text[], text[]
) is
  'Whether an audited table has these columns with these types, its key still has this definition,
   and the watched columns have the names that they had at enable_audit. Only for row functions
   (audit_row_body).';

-- Postgres initializes each expression again in every transaction, which costs more than evaluating
-- most of them. So a write without surprises evaluates one condition, and only after that are the
-- surprises told apart. Fields are named only in the block that catches errors, which costs an
-- insert one percent.
create function bulwark_private.audit_row_body(relation oid, operation text, options text[])
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $make$
declare
  v_columns text[];
  v_current constant text := case operation when 'delete' then 'v_before' else 'v_after' end;
  v_difference record;
  v_event constant integer := case operation when 'insert' then 7 when 'update' then 8 else 9 end;
  v_field text;
  v_images constant text[] := case operation
    when 'insert' then '{v_after}'::text[]
    when 'delete' then '{v_before}'
    else '{v_before,v_after}'
  end;
  v_index constant regclass := (
    select i.indexrelid
    from pg_catalog.pg_index i where i.indrelid = audit_row_body.relation and i.indisprimary
  );
  v_key constant text[] := options[2]::text[];
  v_nulls constant jsonb := (
    select coalesce(jsonb_object_agg(i, null), '{}')
    from unnest(options[5]::text[]) as i
    where i <> all (v_key)
  );
  v_organization constant text := bulwark_private.organization_expression(
    relation, options[3], format('%s ->> %L', v_current, options[3])
  );
  v_read_key constant text := format(
    E'v_key := %s;\n',
    case cardinality(v_key)
      when 1 then format('%s ->> %L', v_current, v_key[1])
      else format('bulwark_private.audit_key(%s, %L)', v_current, v_key)
    end
  );
  v_settings constant text := bulwark_private.audit_row_settings(relation, v_nulls);
  v_surprises text;
  v_types text[];
  v_whole constant boolean := options[5] = '{}' and options[6] = '{}';
begin
  if bulwark_private.audit_key_columns(relation, null) is distinct from v_key
    or bulwark_private.audit_moved(relation, options[13]::jsonb) <> '{}' then
    return format(
      E'\nbegin\n  perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);\n'
        '  return null;\nend;\n',
      v_event, options[:12]
    );
  end if;
  select array_agg(c.name::text order by c.place), array_agg(c.type::regtype::text order by c.place)
  into v_columns, v_types
  from bulwark_private.audit_columns c where c.relation = audit_row_body.relation;
  select * into v_difference from bulwark_private.audit_row_difference(relation, v_nulls);
  if options[4] = '' and v_organization like '(%)::uuid' and not v_nulls ? options[3] then
    v_field := format(
      '%s.%I', case operation when 'delete' then 'old' else 'new' end, options[3]
    );
  end if;
  v_surprises := concat(
    -- The key is gone or another one, the columns are others, or another column has a watched name.
    format(
      E'bulwark_private.audit_table_fits(\n        %L::regclass, %L::regclass, %L,\n'
        '        %L, %L,\n        %L\n      ) is not true\n      or %s',
      relation::regclass, v_index, pg_get_indexdef(v_index),
      array(select jsonb_object_keys(options[13]::jsonb)), v_columns, v_types,
      case cardinality(v_key)
        when 1 then 'v_key is null'
        else (
          select string_agg(format('%s ->> %L is null', v_current, k), ' or ')
          from unnest(v_key) as k
        )
      end
    ),
    E'\n      or ' || v_field || ' = ''00000000-0000-0000-0000-000000000000''',
    -- JSON does not show the change, or the row moved to another organization, which is two
    -- entries.
    case when operation = 'update' then concat(
      v_difference.unshown,
      case when options[3] <> '' and not v_nulls ? options[3] then
        format(E'\n      or %L <> all (v_same)', options[3])
      end
    ) end
  );
  return concat(
    E'\ndeclare\n  v_key text;\n  v_organization uuid;\n',
    case when operation = 'update' then E'  v_same text[];\n' end,
    (select string_agg(format(E'  %s jsonb;\n', i), '') from unnest(v_images) as i),
    E'begin\n  begin\n',
    case when operation = 'update' then format(E'    v_same := %s;\n', v_difference.same) end,
    (
      select string_agg(
        format(E'    %s := to_jsonb(%s);\n', i, bulwark_private.audit_row_source(i, v_nulls)), ''
      )
      from unnest(v_images) as i
    ),
    E'    ', v_read_key,
    E'    v_organization := ' || v_field || E';\n',
    E'    if ', v_surprises,
    case when operation = 'update' then
      format(E'\n      or cardinality(v_same) = %s', v_difference.columns)
    end,
    E'\n      or ' || v_settings,
    case when v_whole then (
      select string_agg(format(E'\n      or pg_column_size(%s) > 32768', i), '')
      from unnest(v_images) as i
    ) end,
    E' then\n      if ', v_surprises,
    E' then\n        perform bulwark_private.leave_row_function();\n      end if;\n',
    case when operation = 'update' then
      format(
        E'      if cardinality(v_same) = %s then\n        return null;\n      end if;\n',
        v_difference.columns
      )
    end,
    E'      if ' || v_settings || E' then\n' || (
      select string_agg(
        format(
          E'        %s := bulwark_private.audit_json(%s);\n', i,
          bulwark_private.audit_row_source(i, v_nulls)
        ), ''
      )
      from unnest(v_images) as i
    ) || E'        ' || v_read_key || E'      end if;\n',
    case when v_whole then (
      select string_agg(
        format(
          E'      %1$s := bulwark_private.audit_image(%1$s%2$s, ''{}'', ''{}'');\n', i,
          case operation when 'update' then ' - v_same' end
        ), ''
      )
      from unnest(v_images) as i
    ) end,
    E'    end if;\n',
    case when options[4] <> '' then
      format(
        E'    v_organization := coalesce(\n'
          '      %1$s,\n'
          '      bulwark_private.remembered_organization(%2$s ->> %3$L, %4$L)\n'
          '    );\n',
        bulwark_private.audit_lookup(
          options[4]::regproc, format('%s ->> %L', v_current, options[3])
        ),
        v_current, options[3], options[4]
      )
    end,
    format(
      $body$  exception
    -- Code of a type may raise anything; the application's write must not fail for it.
    when others then
      perform bulwark_private.audit_carefully(tg_relid, %s, old, new, %L);
      return null;
  end;
  insert into bulwark.audit_logs (
    source, severity, result, organization_id, event_type, resource_type, resource_id, action,
    before, after
  )
  values ('table', %L, 'success', %s, %L, %L, v_key, %L, %s, %s);
  return null;
end;
$body$,
      v_event, options[:12], options[v_event + 3],
      case
        when v_field is null and options[3] <> '' and options[4] = '' then v_organization
        else 'v_organization'
      end,
      options[v_event], options[1], operation,
      bulwark_private.audit_row_part('v_before', operation, options),
      bulwark_private.audit_row_part('v_after', operation, options)
    )
  );
end;
$make$;
comment on function bulwark_private.audit_row_body(oid, text, text[]) is
  'Body of the trigger function for one operation on a table.';

create function bulwark_private.audit_stem(target regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- A table that was renamed keeps its stem, and another one may have its name now.
  select s.stem
  from generate_series(0, (select count(*) from bulwark_private.audit_watched_tables)) as n
  cross join lateral md5(concat_ws(' ', target, nullif(n, 0))) as s (stem)
  where not exists (
    select from bulwark_private.audit_watched_tables g
    join pg_catalog.pg_class c on c.oid = g.relation
    where g.options ->> 'stem' = s.stem and g.relation <> target
  )
  order by n
  limit 1;
$$;
comment on function bulwark_private.audit_stem(regclass) is
  'The part of a name that tells the functions and triggers made for an audited table from those of
   others: a hash of the table''s name, so that it is the same in every database.';

create function bulwark_private.make_audit_function(
  relation oid,
  operation text,
  options text[],
  stem text
)
  returns name
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name constant name := format('audit_%s_%s', operation, stem);
begin
  execute format(
    'create or replace function bulwark_private.%I() returns trigger
      language plpgsql security definer
       set search_path = pg_catalog, pg_temp as %L',
    v_name, bulwark_private.audit_row_body(relation, operation, options)
  );
  -- Owned by the log's owner, so that it has these rights for every caller of enable_audit.
  execute format(
    'alter function bulwark_private.%I() owner to %s', v_name,
    (
      select c.relowner::regrole
      from pg_catalog.pg_class c
      where c.oid = 'bulwark.audit_logs'::regclass
    )
  );
  execute format('revoke all on function bulwark_private.%I() from public', v_name);
  execute format(
    'comment on function bulwark_private.%I() is %L',
    v_name,
    format('Trigger, made by enable_audit: the entry of each %s of a row of %s.', operation,
      options[1])
  );
  return v_name;
end;
$$;
comment on function bulwark_private.make_audit_function(oid, text, text[], text) is
  'Creates or replaces the trigger function for one operation on a table, and returns its name.';

-- Audit enabling: enable_audit starts auditing a table and disable_audit stops it; both are
-- recorded.
-- Protects against a table whose rows cannot be identified, a secret that enters the log through a
-- misspelt column name, and changes of Bulwark's own tables without a trace: all of them are
-- audited here.
-- No function here is SECURITY DEFINER.

create function bulwark_private.drop_audit_triggers(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_name name;
begin
  for v_name in
    select t.tgname
    from pg_catalog.pg_trigger t
    where t.tgrelid = target and t.tgname ~ '^bulwark_audit(_|$)' and t.tgparentid = 0
  loop
    execute format('drop trigger %I on %s', v_name, target);
  end loop;
  perform bulwark_private.forget_parents(g.options ->> 'stem')
  from bulwark_private.audit_watched_tables g
  where g.relation = target and g.options ? 'stem';
  -- Also drops functions whose table was dropped.
  for v_name in
    select p.proname
    from pg_catalog.pg_proc p
    where p.pronamespace = 'bulwark_private'::regnamespace
      and p.proname ~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
      and not exists (select from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
  loop
    execute format('drop function bulwark_private.%I()', v_name);
  end loop;
end;
$$;
comment on function bulwark_private.drop_audit_triggers(regclass) is
  'Drops Bulwark''s audit triggers from a table, and all row functions that no trigger uses any
   more.';

create function bulwark.disable_audit(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark_private.audit_watched_tables g where g.relation = target and g.captures
  ) then
    raise exception 'Cannot disable audit: % is not audited', target
      using errcode = 'PT404', detail = 'AUDIT_NOT_GUARDED',
        hint = 'Nothing is to be done: its changes are not recorded';
  end if;
  perform bulwark_private.drop_audit_triggers(target);
  delete from bulwark_private.audit_watched_tables g where g.relation = target;
end;
$$;
comment on function bulwark.disable_audit(regclass) is
  'Stops auditing a table. The deleted row of audit_watched_tables is itself recorded. Errors:
   AUDIT_NOT_GUARDED.';

create function bulwark.enable_audit(
  target regclass,
  organization_column text default null,
  ignore text[] default '{}',
  redact text[] default '{}',
  bulk boolean default false,
  event_types text[] default '{data.create,data.update,data.delete}',
  organization_lookup regproc default null,
  direct_only boolean default false
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text[];
  v_name text;
  v_operation text;
  v_stem constant text := bulwark_private.audit_stem(target);
  v_options text[];
  v_severities text[];
begin
  if num_nulls(target, ignore, redact, bulk, event_types, direct_only) > 0 then
    raise exception 'Cannot enable audit: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'AUDIT_NULL_ARGUMENT';
  end if;
  select concat(n.nspname, '.', c.relname) into v_name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.oid = target and c.relkind in ('r', 'p') and c.relpersistence <> 't';
  if not found or exists (
    select from bulwark_private.audit_watched_tables g where g.relation = target and not g.captures
  ) then
    raise exception 'Cannot enable audit: % is not a table that can be audited', target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Audit the tables under a view; the audit log protects itself';
  end if;
  if bulk and exists (
    select from pg_catalog.pg_class c where c.oid = target and c.relkind = 'p'
  ) then
    raise exception 'Cannot enable audit: % has partitions, which are also written to directly',
      target
      using errcode = 'wrong_object_type', detail = 'AUDIT_NOT_A_TABLE',
            hint = 'Audit it without bulk: then every write to a partition is an entry';
  end if;
  v_key := bulwark_private.audit_key_columns(target, null);
  if v_key is null then
    raise exception 'Cannot enable audit: % has no primary key', target
      using errcode = 'invalid_table_definition', detail = 'AUDIT_NO_PRIMARY_KEY',
            hint = 'Without one an entry could not say which row changed';
  end if;
  if exists (
    select from unnest(ignore || redact || organization_column) as c
    where c is not null and not exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = c and a.attnum > 0 and not a.attisdropped
    )
  ) then
    raise exception 'Cannot enable audit: % lacks a column that was named', target
      using errcode = 'undefined_column', detail = 'AUDIT_UNKNOWN_COLUMN',
        hint = 'Name columns that the table has, as they are spelled there';
  end if;
  if redact && v_key then
    raise exception 'Cannot enable audit: a key column names the row and cannot be redacted'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_KEY_REDACTED',
        hint = 'Redact other columns, or use a key without personal data';
  end if;
  if organization_column is not null
      and bulwark_private.organization_expression(target, organization_column, '') is null
    or organization_lookup is not null and not exists (
      select from pg_catalog.pg_proc p
      join pg_catalog.pg_attribute a on a.attrelid = target and a.attname = organization_column
      where p.oid = organization_lookup and p.proargtypes[0] = a.atttypid
    ) then
    raise exception 'Cannot enable audit: the organization column has another type'
      using errcode = 'datatype_mismatch', detail = 'AUDIT_INVALID_ORGANIZATION_COLUMN',
            hint = 'It is a uuid, bigint, integer or text, and the look-up takes the same type';
  end if;
  select array_agg(t.severity::text order by e.place) into v_severities
  from unnest(event_types) with ordinality as e (name, place)
  join bulwark.audit_event_types t on t.name = e.name;
  if cardinality(event_types) <> 3 or cardinality(v_severities) is distinct from 3 then
    raise exception 'Cannot enable audit: insert, update and delete each need a known event type'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;

  perform bulwark_private.drop_audit_triggers(target);
  v_options := array[
    v_name, v_key::text, coalesce(organization_column, ''), coalesce(organization_lookup::text, ''),
    ignore::text, redact::text
  ] || event_types || v_severities
    || bulwark_private.audit_places(target, ignore || redact || organization_column)::text;
  foreach v_operation in array '{insert,update,delete,truncate}'::text[] loop
    execute format(
      'create trigger %I after %s on %s %s for each %s %s execute function bulwark_private.%I(%s)',
      'bulwark_audit_' || v_operation, v_operation, target,
      case when bulk then case v_operation
        when 'insert' then 'referencing new table as new_rows'
        when 'update' then 'referencing old table as old_rows new table as new_rows'
        when 'delete' then 'referencing old table as old_rows'
      end end,
      case when bulk or v_operation = 'truncate' then 'statement' else 'row' end,
      case when direct_only then 'when (pg_trigger_depth() = 0)' end,
      case
        when v_operation = 'truncate' then 'audit_truncate'
        when bulk then 'audit_rows'
        else bulwark_private.make_audit_function(target, v_operation, v_options, v_stem)
      end,
      case when bulk or v_operation = 'truncate' then (
        select string_agg(quote_literal(o), ', ' order by place)
        from unnest(v_options[:12]) with ordinality as t (o, place)
      ) end
    );
    -- Enabled always: session_replication_role skips ordinary triggers.
    execute format(
      'alter table %s enable always trigger %I', target, 'bulwark_audit_' || v_operation
    );
  end loop;
  if organization_lookup is not null then
    perform bulwark_private.watch_parents(
      target, organization_column, organization_lookup, v_stem
    );
  end if;
  insert into bulwark_private.audit_watched_tables (relation, options, fingerprint, shape)
  values (
    target,
    jsonb_build_object(
      'organization_column', organization_column, 'ignore', ignore, 'redact', redact, 'bulk', bulk,
      'event_types', event_types, 'organization_lookup', organization_lookup,
      'direct_only', direct_only, 'written', v_options, 'stem', v_stem
    ),
    bulwark_private.audit_fingerprint(target), bulwark_private.audit_shape(target)
  )
  on conflict (relation) do update
    set options = excluded.options, fingerprint = excluded.fingerprint, shape = excluded.shape,
        enabled_at = now();
end;
$$;
comment on function bulwark.enable_audit(
  regclass, text, text[], text[], boolean, text[], regproc, boolean
) is
  'Audits a table: every insert, update (changed columns), delete and truncate leaves an entry.
   organization_column (uuid, bigint, integer or text) holds the organization''s key;
   organization_lookup, a function of the column''s type, finds it if the column holds another key.
   ignore leaves columns out, redact masks their values. bulk writes
   the entries of a statement at once. event_types are those of insert, update and delete.
   direct_only skips changes made by other triggers. A further call replaces all options; call it
   again after renaming the table. Errors: AUDIT_NOT_A_TABLE, AUDIT_NO_PRIMARY_KEY,
   AUDIT_UNKNOWN_COLUMN, AUDIT_KEY_REDACTED, AUDIT_INVALID_ORGANIZATION_COLUMN,
   AUDIT_UNKNOWN_EVENT_TYPE, AUDIT_NULL_ARGUMENT.';

create function bulwark_private.renew_audit_functions(everything boolean default false)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watched record;
begin
  for v_watched in
    select
      g.relation, g.shape_now,
      array(select jsonb_array_elements_text(g.options -> 'written')) as options
    from (
      select a.*, bulwark_private.audit_shape(a.relation) as shape_now
      from bulwark_private.audit_watched_tables a
      join pg_catalog.pg_class c on c.oid = a.relation
      where a.captures
    ) g
    where everything or g.shape_now is distinct from g.shape
  loop
    perform bulwark_private.make_audit_function(
      v_watched.relation, substring(p.proname from '^audit_([a-z]+)_'), v_watched.options,
      right(p.proname, 32)
    )
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = v_watched.relation
      and p.pronamespace = 'bulwark_private'::regnamespace
      and p.proname ~ '^audit_(insert|update|delete)_[0-9a-f]{32}$';
    update bulwark_private.audit_watched_tables g
    set shape = v_watched.shape_now, fingerprint = bulwark_private.audit_fingerprint(g.relation)
    where g.relation = v_watched.relation;
  end loop;
end;
$$;
comment on function bulwark_private.renew_audit_functions(boolean) is
  'Regenerates the row functions of tables that were altered (with everything: of all, after an
   upgrade). Until then audit_carefully
   writes their entries, which is slower. If the key changed or a watched column was renamed, it
   does so until enable_audit is called.';

create function bulwark_private.role_organization(role_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$ select r.organization_id from bulwark.roles r where r.id = role_organization.role_id; $$;
comment on function bulwark_private.role_organization(uuid) is
  'The organization that owns a role; null for a system role.';

create function bulwark_private.invitation_organization(invitation_id uuid)
  returns uuid
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select i.organization_id
  from bulwark.invitations i where i.id = invitation_organization.invitation_id;
$$;
comment on function bulwark_private.invitation_organization(uuid) is
  'The organization that sent an invitation.';

-- The list of audited tables comes first, so that every later change of it is recorded. catalogue
-- is ignored: changing it hides nothing, since the sealer also compares without it.
select bulwark.enable_audit(
  'bulwark_private.audit_watched_tables', ignore => '{catalogue}',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit('bulwark.organizations', organization_column => 'id');
select bulwark.enable_audit('bulwark.permissions');
select bulwark.enable_audit('bulwark.roles', organization_column => 'organization_id');
select bulwark.enable_audit(
  'bulwark.role_permissions', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization',
  event_types => '{authz.permission_granted,data.update,data.delete}'
);
select bulwark.enable_audit(
  'bulwark.role_inheritance', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization'
);
select bulwark.enable_audit(
  'bulwark.user_roles', organization_column => 'organization_id',
  event_types => '{authz.role_assigned,authz.role_assigned,authz.role_removed}'
);
-- The e-mail address is redacted: it may belong to somebody without an account, for whom nobody
-- could have it erased.
select bulwark.enable_audit(
  'bulwark.invitations', organization_column => 'organization_id', redact => '{email}'
);
select bulwark.enable_audit(
  'bulwark_private.invitation_tokens', organization_column => 'invitation_id',
  organization_lookup => 'bulwark_private.invitation_organization', ignore => '{token_hash}'
);
-- Triggers maintain this table, so only direct writes are recorded: they would grant rights by
-- hand.
select bulwark.enable_audit(
  'bulwark_private.effective_permissions', organization_column => 'role_id',
  organization_lookup => 'bulwark_private.role_organization', direct_only => true
);
-- The tables by which rbac decides about second factors.
-- The ignored columns change with every use, which the entry auth.mfa_verified records.
select bulwark.enable_audit(
  'bulwark.mfa_secrets', ignore => '{last_step, last_used_at}', redact => '{secret}'
);
select bulwark.enable_audit('bulwark.mfa_policies', organization_column => 'organization_id');
-- Only direct writes, which would forge a proof. Rows deleted with their session are not recorded.
select bulwark.enable_audit('bulwark_private.mfa_sessions', direct_only => true);
select bulwark.enable_audit('bulwark_private.mfa_backup_codes', ignore => '{code_hash}');
select bulwark.enable_audit(
  'bulwark_private.mfa_trusted_devices', ignore => '{token_hash, last_used_at}'
);
select bulwark.enable_audit('bulwark_private.reserved_slugs');
select bulwark.enable_audit(
  'bulwark_private.host_organizations',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.host_members',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark.settings', event_types => '{settings.updated,settings.updated,settings.updated}'
);
select bulwark.enable_audit(
  'bulwark_private.jobs', event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark.audit_event_types', event_types => '{config.changed,config.changed,config.changed}'
);

-- The log's own tables are watched the same way.
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest('{bulwark.audit_logs, bulwark_private.audit_timelines}'::regclass[]) as r;

-- Audit events: reported by clients and functions, and sign-ins seen on the auth schema.
-- Protects against a client that reports as somebody else, for a foreign organization, or in the
-- categories that serve as evidence; and against a sign-in that fails because of the log.
-- SECURITY DEFINER: log_audit_event, audit_auth and user_roles_report_lost_administrator, because
--   neither clients nor Supabase Auth may write the log.

insert into bulwark.settings (name, value, description) values
  ('audit.auth_entries', '100',
    'Maximum number of organizations that get an entry of a sign-in or account change of a member');

create table bulwark_private.audit_gaps (
  id bigint generated always as identity primary key,
  noticed_at timestamptz not null default clock_timestamp(),
  source text not null,
  reason text not null
);
comment on table bulwark_private.audit_gaps is
  'Events of the auth schema that could not be recorded, because a sign-in must not fail for the
   log: the place and the SQLSTATE. Verification counts them.';
alter table bulwark_private.audit_gaps enable row level security;

create function bulwark_private.is_audit_evidence(event_type text, action text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select event_type = 'compliance.data_deleted'
    or coalesce(action, '') = any ('{
      administrator_lost, checkpoint_forged, checkpoint_missing, checkpoint_refused,
      checkpoints_missing, export_audit_log, fork, partition_missing, restore_mended,
      stamp_replaced, timeline_started, verification_failed, watched_object_changed,
      watched_object_dropped
    }');
$$;
comment on function bulwark_private.is_audit_evidence(text, text) is
  'Whether an event is one that the log records about itself (source system), which nobody may
   report. A new action of the log is added here.';

create function bulwark.log_audit_event(
  event_type text,
  action text default null,
  organization_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  result bulwark.audit_result default 'success',
  severity bulwark.audit_severity default null,
  details jsonb default null,
  parent_id uuid default null,
  actor_id uuid default null
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because clients may not write the log
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_service constant boolean := bulwark_private.caller_is_service();
  v_text text;
begin
  if event_type is null or result is null then
    raise exception 'Cannot log event: the type or the result is null'
      using errcode = 'null_value_not_allowed', detail = 'AUDIT_NULL_ARGUMENT';
  end if;
  foreach v_text in array array[action, resource_type, resource_id] loop
    if v_text = '' or length(v_text) > 256 or v_text ~ '[[:cntrl:]]' then
      raise exception 'Cannot log event: action and resource have 1 to 256 printable characters'
        using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_TEXT';
    end if;
  end loop;
  if jsonb_typeof(details) <> 'object' then
    raise exception 'Cannot log event: the details are not a JSON object'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_DETAILS';
  end if;
  if octet_length(details::text) > 16384 then
    raise exception 'Cannot log event: the details have % bytes, at most 16384 are allowed',
      octet_length(details::text)
      using errcode = 'PT413', detail = 'AUDIT_DETAILS_TOO_LARGE';
  end if;
  if bulwark_private.is_audit_evidence(event_type, action) then
    raise exception 'Cannot log event: only the audit log itself records it'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_EVENT_NOT_REPORTABLE',
        hint = 'Report an event type of your own, or another one of audit_event_types';
  end if;
  if not v_service then
    if bulwark_private.require_user() is distinct
      from coalesce(actor_id, bulwark.current_person()) then
      raise exception 'Cannot log event: one reports one''s own acts only'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_ACTOR_NOT_YOU',
          hint = 'Leave actor_id out; the service role reports for others';
    end if;
    if exists (
      select from bulwark.audit_event_types t
      where t.name = log_audit_event.event_type and not t.reported_by_clients
    ) then
      raise exception 'Cannot log event: % is not reported by clients', event_type
        using errcode = 'insufficient_privilege', detail = 'AUDIT_EVENT_NOT_REPORTABLE',
          hint = 'The service role reports it; reported_by_clients of the type opens it';
    end if;
    if severity is null then
      select least(t.severity, 'warning') into severity
      from bulwark.audit_event_types t where t.name = log_audit_event.event_type;
    end if;
    if severity > 'warning' then
      raise exception 'Cannot log event: a client reports up to warning'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_SEVERITY_NOT_REPORTABLE',
          hint = 'Report it as warning, or with the service role';
    end if;
    if organization_id is not null and not bulwark.is_super_admin()
      and organization_id not in (select bulwark.member_organizations()) then
      raise exception 'Cannot log event: you are not a member of the organization'
        using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_A_MEMBER',
          hint = 'Name an organization of yours, or none';
    end if;
  end if;
  if parent_id is not null and not exists (
    select from bulwark.audit_logs e
    where e.id = log_audit_event.parent_id
      and e.organization_id is not distinct from log_audit_event.organization_id
      and (v_service or e.actor_id = bulwark.current_person())
  ) then
    raise exception 'Cannot log event: there is no such parent of yours'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ENTRY',
        hint = 'Name an entry of yours as parent_id, or none';
  end if;
  return bulwark_private.append_audit_entry(
    event_type => log_audit_event.event_type,
    organization_id => log_audit_event.organization_id,
    resource_type => log_audit_event.resource_type,
    resource_id => log_audit_event.resource_id,
    action => log_audit_event.action,
    result => log_audit_event.result,
    severity => log_audit_event.severity,
    details => log_audit_event.details,
    parent_id => log_audit_event.parent_id,
    source => case when v_service then 'service' else 'client' end::bulwark.audit_source,
    actor_id => case when v_service then log_audit_event.actor_id end
  );
end;
$$;
comment on function bulwark.log_audit_event(
  text, text, uuid, text, text, bulwark.audit_result, bulwark.audit_severity, jsonb, uuid, uuid
) is
  'Reports an event and returns the id of its entry. A client reports its own acts, of types open to
   clients, up to severity warning, in organizations of which it is a member. The service role
   reports everything except events that the log records about itself, also on behalf of actor_id.
   details: a JSON object of at most 16,384 bytes. Errors: AUDIT_UNKNOWN_EVENT_TYPE,
   AUDIT_EVENT_NOT_REPORTABLE, AUDIT_SEVERITY_NOT_REPORTABLE, AUDIT_ACTOR_NOT_YOU,
   AUDIT_NOT_A_MEMBER, AUDIT_UNKNOWN_ENTRY, AUDIT_INVALID_TEXT, AUDIT_INVALID_DETAILS,
   AUDIT_DETAILS_TOO_LARGE, AUDIT_NULL_ARGUMENT, RBAC_NOT_AUTHENTICATED.';

create function bulwark_private.append_auth_entry(
  event_type text,
  user_id uuid,
  resource_type text,
  resource_id text,
  action text,
  session jsonb default '{}',
  before jsonb default null,
  after jsonb default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_entry uuid;
  v_organization uuid;
  v_organizations constant uuid[] := array(
    select bulwark_private.organizations_of(
      append_auth_entry.user_id,
      -- A ban or deletion is still recorded in the organizations that lose the member.
      suspended => resource_type = 'auth.users'
        and (action = 'delete' or coalesce(after ?| '{banned_until,deleted_at}', false))
    )
  );
  v_parent uuid;
  v_told constant integer := greatest((bulwark_private.setting('audit.auth_entries'))::integer, 0);
begin
  -- One entry without an organization and, below it, one in each organization of the user, so that
  -- an organization sees the sign-ins of its members and can prove them. Their number is limited:
  -- the first entry lists the organizations without one.
  foreach v_organization in array array[null::uuid] || v_organizations[:v_told] loop
    v_entry := bulwark_private.append_audit_entry(
      event_type => append_auth_entry.event_type,
      organization_id => v_organization,
      resource_type => append_auth_entry.resource_type,
      resource_id => append_auth_entry.resource_id,
      action => append_auth_entry.action,
      result => case append_auth_entry.event_type
        when 'auth.login_failed' then 'failure' else 'success'
      end::bulwark.audit_result,
      before => append_auth_entry.before,
      after => append_auth_entry.after,
      details => case when v_parent is null and cardinality(v_organizations) > v_told then
        jsonb_build_object(
          'organizations', cardinality(v_organizations),
          'without_entry', v_organizations[v_told + 1:]
        )
      end,
      parent_id => v_parent,
      source => 'auth',
      -- Either the owner or an administrator may have changed the account: the table does not say.
      actor_id => case when resource_type <> 'auth.users' then append_auth_entry.user_id end,
      session_id => bulwark_private.uuid_or_null(session ->> 'id'),
      ip => left(session ->> 'ip', 64),
      user_agent => left(session ->> 'user_agent', 256)
    );
    v_parent := coalesce(v_parent, v_entry);
  end loop;
end;
$$;
comment on function bulwark_private.append_auth_entry(
  text, uuid, text, text, text, jsonb, jsonb, jsonb
) is
  'Records an act of a user in Supabase Auth, once for the installation and once for each
   organization of the user, up to the setting audit.auth_entries; the installation''s entry lists
   the others.';

create function bulwark_private.audit_auth()
  returns trigger
  language plpgsql
  security definer            -- definer because Supabase Auth may not write the log
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- a lock on the log, by a migration say, must not block sign-ins
as $$
declare
  v_after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  v_before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_event text;
  v_row jsonb := coalesce(v_after, v_before);
  v_resource text := 'auth.' || tg_table_name;
begin
  if tg_table_name = 'sessions' then
    perform bulwark_private.append_auth_entry(
      case tg_op
        when 'INSERT' then 'auth.login'
        when 'DELETE' then 'auth.logout'
        else 'auth.mfa_verified'
      end,
      (v_row ->> 'user_id')::uuid, v_resource, v_row ->> 'id', lower(tg_op), v_row
    );
  elsif tg_table_name = 'mfa_factors' then
    v_event := case
      when tg_op = 'DELETE' and v_before ->> 'status' = 'verified' then 'auth.mfa_disabled'
      when v_after ->> 'status' = 'verified'
        and v_before ->> 'status' is distinct from 'verified' then 'auth.mfa_enabled'
    end;
    if v_event is not null then
      perform bulwark_private.append_auth_entry(
        v_event, (v_row ->> 'user_id')::uuid, v_resource, v_row ->> 'id', v_row ->> 'factor_type'
      );
    end if;
  elsif tg_op <> 'UPDATE' then
    perform bulwark_private.append_auth_entry(
      case tg_op when 'INSERT' then 'data.create' else 'data.delete' end,
      (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', lower(tg_op)
    );
  else
    if v_after ->> 'encrypted_password' is distinct from v_before ->> 'encrypted_password' then
      perform bulwark_private.append_auth_entry(
        'auth.password_changed', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'update'
      );
    end if;
    if v_after ->> 'recovery_sent_at' <> coalesce(v_before ->> 'recovery_sent_at', '') then
      perform bulwark_private.append_auth_entry(
        'auth.password_reset', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'request'
      );
    end if;
    -- Of the other columns only those that decide about access, and never a token or a hash.
    select jsonb_object_agg(c, v_before -> c), jsonb_object_agg(c, v_after -> c)
    into v_before, v_after
    from unnest('{email, phone, banned_until, deleted_at, role, is_super_admin}'::text[]) as c
    where v_before -> c is distinct from v_after -> c;
    if v_after is not null then
      perform bulwark_private.append_auth_entry(
        'data.update', (v_row ->> 'id')::uuid, v_resource, v_row ->> 'id', 'update',
        before => v_before, after => v_after
      );
    end if;
  end if;
  return coalesce(new, old);
exception
  -- A sign-in must not fail because of the log, but the gap must be visible.
  when others then
    begin
      insert into bulwark_private.audit_gaps (source, reason)
      values (v_resource || ' ' || lower(tg_op), sqlstate);
    exception
      when others then
        raise warning 'Cannot record an event of %: %', v_resource, sqlstate;
    end;
    return coalesce(new, old);
end;
$$;
comment on function bulwark_private.audit_auth() is
  'Trigger: sign-ins, sign-outs, password, factor and account changes. Never raises: an event that
   cannot be recorded is counted in audit_gaps.';

create function bulwark_private.auth_watches()
  returns table (relation regclass, name text, event text)
  language sql
  stable
  rows 9
  set search_path = pg_catalog, pg_temp
as $$
  select to_regclass('auth.' || w.relation), 'bulwark_audit_' || w.event, w.event
  from (values
    ('users', 'insert'), ('users', 'update'), ('users', 'delete'),
    ('sessions', 'insert'), ('sessions', 'verify'), ('sessions', 'delete'),
    ('mfa_factors', 'insert'), ('mfa_factors', 'update'), ('mfa_factors', 'delete')
  ) as w (relation, event)
  where to_regclass('auth.' || w.relation) is not null;
$$;
comment on function bulwark_private.auth_watches() is
  'The triggers for the tables of the auth schema that exist.';

create function bulwark_private.watch_auth()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watch record;
begin
  for v_watch in select * from bulwark_private.auth_watches() loop
    execute format(
      'create or replace trigger %I %s on %s for each row %s '
        'execute function bulwark_private.audit_auth()',
      v_watch.name,
      case v_watch.event
        -- Before: after the deletion the user's organizations are gone.
        when 'delete' then 'before delete'
        when 'verify' then 'after update of aal'
        when 'update' then 'after update'
        else 'after insert'
      end,
      v_watch.relation,
      case v_watch.event
        when 'verify' then 'when (new.aal = ''aal2'' and old.aal is distinct from new.aal)'
      end
    );
  end loop;
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select distinct w.relation, false, bulwark_private.audit_fingerprint(w.relation)
  from bulwark_private.auth_watches() w
  on conflict (relation) do update set fingerprint = excluded.fingerprint;
end;
$$;
comment on function bulwark_private.watch_auth() is
  'Creates the triggers on the existing tables of the auth schema. Call it again after an upgrade of
   Supabase Auth added tables. They cannot be enabled always, because the schema is not ours:
   changes under session_replication_role are not seen.';

select bulwark_private.watch_auth();

create trigger audit_gaps_refuse_change
  before update or delete on bulwark_private.audit_gaps
  for each row execute function bulwark_private.refuse_change();
create trigger audit_gaps_refuse_truncate
  before truncate on bulwark_private.audit_gaps
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_gaps enable always trigger audit_gaps_refuse_change;
alter table bulwark_private.audit_gaps enable always trigger audit_gaps_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values ('bulwark_private.audit_gaps', false, bulwark_private.audit_fingerprint(
  'bulwark_private.audit_gaps'
));

-- At commit, because the organization itself may be in deletion, or another administrator may
-- follow.
create function bulwark_private.user_roles_report_lost_administrator()
  returns trigger
  language plpgsql
  security definer            -- definer because the role that commits may not write the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off    -- as in user_roles_note_departures
  set jit = off
as $$
begin
  if exists (select from bulwark.organizations o where o.id = old.organization_id)
    and not exists (
      select from bulwark_private.active_grants a
      where a.organization_id = old.organization_id
        and a.role_id = old.role_id
        and a.held_until = 'infinity'
    ) then
    perform bulwark_private.append_audit_entry(
      'authz.role_removed', old.organization_id, 'bulwark.organizations',
      old.organization_id::text, 'administrator_lost', severity => 'warning'
    );
  end if;
  return null;
end;
$$;
comment on function bulwark_private.user_roles_report_lost_administrator() is
  'Trigger: records that an organization was left without an administrator, as rows of the host and
   the setting rbac.delete_last_administrators allow.';

create constraint trigger user_roles_report_lost_administrator
  after delete on bulwark.user_roles
  deferrable initially deferred
  for each row when (old.role_id = '00000000-0000-4000-8000-000000000080')
  execute function bulwark_private.user_roles_report_lost_administrator();

-- Audit trees: the hashes of the log, which are RFC 6962 trees over leaves of its own.
-- Protects nothing by itself. Sealing, verification and proofs share these functions, so that each
-- hash is defined once. Every result depends on the arguments alone.
-- No function here is SECURITY DEFINER.

create type bulwark_private.audit_position as (
  timeline integer,
  xid xid8,
  id uuid
);
comment on type bulwark_private.audit_position is
  'The place of an entry in the order in which entries are sealed.';

create function bulwark_private.merkle_root(leaves bytea)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer := octet_length(leaves) / 32;
  v_level bytea := leaves;
  v_next bytea;
begin
  if v_count = 0 then
    return sha256('');
  end if;
  -- Pairing level by level, with an odd last node carried up unchanged, gives the same tree as
  -- splitting at the largest power of two.
  while v_count > 1 loop
    if v_count > 64 then
      select string_agg(sha256('\x01'::bytea || substring(v_level from i * 64 + 1 for 64)), '')
      into v_next
      from generate_series(0, v_count / 2 - 1) as i;
    else
      v_next := '';
      for i in 0 .. v_count / 2 - 1 loop
        v_next := v_next || sha256('\x01'::bytea || substring(v_level from i * 64 + 1 for 64));
      end loop;
    end if;
    if v_count % 2 = 1 then
      v_next := v_next || substring(v_level from (v_count - 1) * 32 + 1);
    end if;
    v_level := v_next;
    v_count := (v_count + 1) / 2;
  end loop;
  return v_level;
end;
$$;
comment on function bulwark_private.merkle_root(bytea) is
  'The RFC 6962 tree head over leaf hashes of 32 bytes each, one after the other.';

create function bulwark_private.largest_power_below(n bigint)
  returns bigint
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_power bigint := 1;
begin
  while v_power * 2 < n loop
    v_power := v_power * 2;
  end loop;
  return v_power;
end;
$$;
comment on function bulwark_private.largest_power_below(bigint) is
  'The largest power of two smaller than n (n > 1), where RFC 6962 splits a tree.';

create function bulwark_private.merkle_path(leaves bytea, index bigint)
  returns bytea[]
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint := octet_length(leaves) / 32;
  v_split bigint;
begin
  if v_count <= 1 then
    return array[]::bytea[];
  end if;
  v_split := bulwark_private.largest_power_below(v_count);
  if index < v_split then
    return bulwark_private.merkle_path(substring(leaves from 1 for (v_split * 32)::integer), index)
      || bulwark_private.merkle_root(substring(leaves from (v_split * 32 + 1)::integer));
  end if;
  return bulwark_private.merkle_path(
      substring(leaves from (v_split * 32 + 1)::integer), index - v_split
    )
    || bulwark_private.merkle_root(substring(leaves from 1 for (v_split * 32)::integer));
end;
$$;
comment on function bulwark_private.merkle_path(bytea, bigint) is
  'The RFC 6962 audit path of the leaf at index (from 0), from its sibling upwards.';

create function bulwark_private.audit_group_hash(
  organization_id uuid,
  seal bigint,
  entry_count bigint,
  entries_before bigint,
  previous bytea,
  root bytea
)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(
    '\x0001'::bytea
    || coalesce('\x01'::bytea || uuid_send(organization_id), '\x00'::bytea)
    || int8send(seal) || int8send(entry_count) || int8send(entries_before) || previous || root
  );
end;
$$;
comment on function bulwark_private.audit_group_hash(uuid, bigint, bigint, bigint, bytea, bytea) is
  'The leaf of an organization''s group in the tree of a seal.';

create function bulwark_private.audit_position_hash(place bulwark_private.audit_position)
  returns bytea
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(int4send(place.timeline) || xid8send(place.xid) || uuid_send(place.id));
end;
$$;
comment on function bulwark_private.audit_position_hash(bulwark_private.audit_position) is
  'The hash of the last entry of a seal that the next one continues.';

create function bulwark_private.audit_seal_hash(
  number bigint,
  previous_hash bytea,
  root bytea,
  timeline integer,
  sealed_at timestamptz,
  snapshot pg_snapshot,
  through bulwark_private.audit_position
)
  returns bytea
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(
    '\x01'::bytea || int8send(number) || previous_hash || root || int4send(timeline)
    || timestamptz_send(sealed_at) || int4send(octet_length(snapshot::text))
    || convert_to(snapshot::text, 'UTF8')
    -- Hashed by itself: a proof shows the hash, not the id of another organization's entry.
    || case
      when through is null then '\x00'::bytea
      else '\x01'::bytea || bulwark_private.audit_position_hash(through)
    end
  );
end;
$$;
comment on function bulwark_private.audit_seal_hash(
  bigint, bytea, bytea, integer, timestamptz, pg_snapshot, bulwark_private.audit_position
) is
  'The hash of a seal: the next seal chains to it, and it is the content of the seal''s leaf in the
   tree of all seals.';

create function bulwark_private.base64(value bytea)
  returns text
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return translate(encode(value, 'base64'), E'\n', '');
end;
$$;
comment on function bulwark_private.base64(bytea) is 'Base64 with padding and without line breaks.';

-- Audit archives: the months whose entries are in an object store, and where. Rows of a finished
-- month are its tombstone.
-- Protects against a month that vanishes: nothing of a tombstone changes, and a sealed entry
-- attests to it. Verification, searches, exports and proofs read from here which months are
-- archived.
-- No function here is SECURITY DEFINER.

create table bulwark.audit_archives (
  month date primary key,
  from_month date not null,
  end_id uuid not null,
  first_seal bigint not null,
  last_seal bigint not null,
  seal_hash bytea not null,
  checked_through bigint not null,
  holds_checked uuid[],
  holds_checked_through uuid,
  dropped bigint,
  record_id uuid,
  begun_at timestamptz not null default clock_timestamp(),
  archived_at timestamptz,
  constraint audit_archives_month_is_a_month check (date_trunc('month', month) = month),
  constraint audit_archives_is_whole check (
    num_nonnulls(archived_at, record_id, dropped) in (0, 3)
  )
);
comment on table bulwark.audit_archives is
  'Months of the log that are archived, or being archived while archived_at is null. The files of a
   month hold all entries of its seals; the seals'' own rows and hashes stay in the database.';
comment on column bulwark.audit_archives.from_month is
  'Where the part begins: the same month, or an earlier one if the log had no partitions then.';
comment on column bulwark.audit_archives.end_id is 'The ids of its entries are below this one.';
comment on column bulwark.audit_archives.first_seal is
  'The months'' seals follow one another without a gap. The last one may lie in the next month: it
   is the first after which no entry of the month can be sealed.';
comment on column bulwark.audit_archives.seal_hash is 'The hash of the last seal.';
comment on column bulwark.audit_archives.checked_through is
  'Up to which seal the month was verified before anything of it was exported.';
comment on column bulwark.audit_archives.holds_checked is
  'The legal holds that keep nothing of the month; null: not compared yet.';
comment on column bulwark.audit_archives.dropped is 'How many entries were dropped from the log.';
comment on column bulwark.audit_archives.record_id is
  'The entry that records it: who archived the month, and what it held.';

create table bulwark.audit_archived_logs (
  month date not null references bulwark.audit_archives (month),
  organization_id uuid,
  first_seal bigint not null,
  last_seal bigint not null,
  entries bigint not null,
  last_hash bytea not null,
  from_month date not null,
  exported_through bigint not null default 0,
  archived_at timestamptz,
  constraint audit_archived_logs_is_one unique nulls not distinct (month, organization_id)
);
comment on table bulwark.audit_archived_logs is
  'Part of each organization (null: the entries without one) in an archived month: its first and
   last seal, its number of entries, and the hash of its last group, which all before are chained
   to.';
comment on column bulwark.audit_archived_logs.exported_through is
  'The last seal whose entries are in a file that was read back and verified.';
comment on column bulwark.audit_archived_logs.archived_at is
  'When the month was dropped from the log; null before.';
create index audit_archived_logs_organization_id_idx
  on bulwark.audit_archived_logs (organization_id, month);

create table bulwark.audit_archive_files (
  month date not null,
  organization_id uuid,
  -- squawk-ignore prefer-bigint-over-int
  number integer not null,
  after text,
  cursor text not null,
  entries bigint not null,
  removed bigint not null,
  snapshot pg_snapshot not null,
  place text not null,
  key text not null,
  bytes bigint not null,
  sha256 bytea not null,
  etag text not null,
  parquet_key text not null,
  parquet_bytes bigint not null,
  parquet_sha256 bytea not null,
  parquet_etag text not null,
  verified_at timestamptz not null default clock_timestamp(),
  constraint audit_archive_files_is_one unique nulls not distinct (month, organization_id, number),
  constraint audit_archive_files_of_a_log foreign key (month)
    references bulwark.audit_archives (month)
);
comment on table bulwark.audit_archive_files is
  'The files of archived months, in order: each is a signed export (NDJSON) from one cursor to
   another, and the same entries as Parquet. They were read back and verified at verified_at.';
comment on column bulwark.audit_archive_files.removed is
  'How many entries have no payload in the file, because it was removed before.';
comment on column bulwark.audit_archive_files.snapshot is
  'Transactions that had ended before the file was written: their removals are in it.';
comment on column bulwark.audit_archive_files.place is
  'The URL under which key was stored. A bucket may have moved since.';

alter table bulwark.audit_archives enable row level security;
alter table bulwark.audit_archived_logs enable row level security;
alter table bulwark.audit_archive_files enable row level security;

create policy "A super_admin reads which months are archived"
  on bulwark.audit_archives for select to authenticated
  using ((select bulwark.is_super_admin()));
create policy "Members read which months of their logs are archived"
  on bulwark.audit_archived_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );
create policy "Members read where their organizations' logs are archived"
  on bulwark.audit_archive_files for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark_private.audit_archived_through()
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(a.last_seal), 0)
  from bulwark.audit_archives a
  where a.archived_at is not null;
$$;
comment on function bulwark_private.audit_archived_through() is
  'Through which seal the log is archived; 0: nothing is. Entries of these seals that are younger
   than the last archived month are still in the log as well.';

create function bulwark_private.archived_audit_months(
  organization_id uuid,
  since timestamptz,
  until timestamptz
)
  returns jsonb
  language plpgsql            -- plpgsql, because an sql function keeps the policies of another role
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select coalesce(jsonb_agg(distinct to_char(m.month, 'YYYY-MM')), '[]')
    from bulwark.audit_archived_logs l
    cross join lateral generate_series(l.from_month, l.month, interval '1 month') as m (month)
    where l.archived_at is not null
      and (archived_audit_months.organization_id is null
        or l.organization_id = archived_audit_months.organization_id)
      and m.month < coalesce(until at time zone 'UTC', 'infinity')
      and m.month + interval '1 month' > coalesce(since at time zone 'UTC', '-infinity')
  );
end;
$$;
comment on function bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz) is
  'The archived months of a log (null: of any) in a range of time, oldest first, as far as the
   caller may read of them.';

create function bulwark_private.audit_archives_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if old.archived_at is null then
    return coalesce(new, old);
  end if;
  raise exception 'Cannot change %: a tombstone is never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_archives_refuse_change() is
  'Trigger: a month changes while it is being archived, and never afterwards.';

create function bulwark_private.audit_archive_parts_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from bulwark.audit_archives a
    where a.month = old.month and a.archived_at is not null
  ) then
    return coalesce(new, old);
  end if;
  raise exception 'Cannot change %: a tombstone is never changed or removed', tg_table_name
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_archive_parts_refuse_change() is
  'Trigger: the parts of a month change while it is being archived, and never afterwards.';

create trigger audit_archives_refuse_change
  before update or delete on bulwark.audit_archives
  for each row execute function bulwark_private.audit_archives_refuse_change();
create trigger audit_archived_logs_refuse_change
  before update or delete on bulwark.audit_archived_logs
  for each row execute function bulwark_private.audit_archive_parts_refuse_change();
create trigger audit_archive_files_refuse_change
  before update or delete on bulwark.audit_archive_files
  for each row execute function bulwark_private.audit_archive_parts_refuse_change();
create trigger audit_archives_refuse_truncate
  before truncate on bulwark.audit_archives
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_archived_logs_refuse_truncate
  before truncate on bulwark.audit_archived_logs
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_archive_files_refuse_truncate
  before truncate on bulwark.audit_archive_files
  for each statement execute function bulwark_private.refuse_change();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_change;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_change;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_change;
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_truncate;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_truncate;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest(
  '{bulwark.audit_archives, bulwark.audit_archived_logs, bulwark.audit_archive_files}'::regclass[]
) as r;

-- Audit seals: blocks of a hash chain over the entries.
-- Protects against changes of sealed entries. Within a seal each organization's entries form an RFC
-- 6962 tree, and these trees are the leaves of the seal's tree. The groups of an organization are
-- chained, the seals are chained, and the seals are the leaves of the tree that checkpoints sign.
-- SECURITY DEFINER: audit_seals_extend_chain, because no client can read the chain;
--   audit_groups_refuse_change, because no client can read prunings.

create table bulwark_private.audit_seals (
  number bigint primary key,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  sealed_at timestamptz not null,
  snapshot pg_snapshot not null,
  through bulwark_private.audit_position,
  root bytea not null,
  previous_hash bytea not null,
  hash bytea not null,
  nodes bytea not null
);
comment on table bulwark_private.audit_seals is
  'The chain of seals. A seal holds the entries that are finished in its snapshot and in no earlier
   one. If there are more of them than one seal may hold, several seals with the same snapshot hold
   them, one after the other.';
comment on column bulwark_private.audit_seals.sealed_at is
  'When its snapshot was taken; seals that continue one another have the same time.';
comment on column bulwark_private.audit_seals.through is
  'The last entry of a seal that the next one continues; null: it holds all that were left.';
comment on column bulwark_private.audit_seals.nodes is
  'The nodes that this seal completes in the tree of all seals, from its own leaf upwards.';

create table bulwark_private.audit_groups (
  seal bigint not null,
  position bigint not null,
  organization_id uuid,
  entry_count bigint not null,
  entries_before bigint not null,
  previous bytea not null,
  root bytea not null,
  hash bytea not null,
  leaves bytea not null,
  primary key (seal, position)
);
comment on table bulwark_private.audit_groups is
  'The entries of one organization (null: those without one) in one seal, as the root of their tree,
   chained to the organization''s previous group. A tenant verifies its own chain without seeing
   others.';
comment on column bulwark_private.audit_groups.leaves is
  'Leaf hashes in order of (timeline, xid, id), with which verification names the entry that
   differs.';
alter table bulwark_private.audit_groups alter column leaves set storage external;

-- Finds the seal of an entry: the first whose snapshot has the entry's transaction finished.
create index audit_seals_snapshot_idx
  on bulwark_private.audit_seals (timeline, pg_snapshot_xmax(snapshot), number);
create index audit_seals_sealed_at_idx on bulwark_private.audit_seals (sealed_at);
create unique index audit_groups_organization_id_idx
  on bulwark_private.audit_groups (organization_id, seal) nulls not distinct;

alter table bulwark_private.audit_seals enable row level security;
alter table bulwark_private.audit_groups enable row level security;

create type bulwark_private.audit_range as (
  base_timeline integer,
  base_snapshot pg_snapshot,
  timeline integer,
  snapshot pg_snapshot,
  after bulwark_private.audit_position,
  through bulwark_private.audit_position
);
comment on type bulwark_private.audit_range is
  'The entries that are finished in a snapshot and not in its base (null: the beginning), of them
   those after one position and up to another (null: all).';

create view bulwark_private.audit_seal_ranges with (security_invoker = true) as
  select
    s.number,
    s.sealed_at,
    b.sealed_at as base_sealed_at,
    row(
      b.timeline, b.snapshot, s.timeline, s.snapshot, p.through, s.through
    )::bulwark_private.audit_range as range,
    -- If a seal before it is gone, so is the knowledge of where it begins.
    (
      select count(*) from bulwark_private.audit_seals k
      where k.number > coalesce(b.number, 0) and k.number < s.number
    ) = s.number - coalesce(b.number, 0) - 1 as known
  from bulwark_private.audit_seals s
  left join bulwark_private.audit_seals p on p.number = s.number - 1
  left join lateral (
    select k.number, k.timeline, k.snapshot, k.sealed_at
    from bulwark_private.audit_seals k
    where k.number < s.number and k.through is null
    order by k.number desc
    limit 1
  ) b on true;
comment on view bulwark_private.audit_seal_ranges is
  'Which entries each seal holds. The base is the last seal with an earlier snapshot.';

create function bulwark_private.audit_seal_nodes(number bigint, hash bytea)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_node bytea := sha256('\x00'::bytea || hash);
  v_nodes bytea := v_node;
  v_width bigint := 1;
begin
  -- A full subtree ends at every multiple of its width; its left half ended half a width earlier.
  while number % (v_width * 2) = 0 loop
    select sha256(
      '\x01'::bytea || substring(s.nodes from octet_length(s.nodes) - 31) || v_node
    )
    into v_node
    from bulwark_private.audit_seals s
    where s.number = audit_seal_nodes.number - v_width;
    v_nodes := v_nodes || v_node;
    v_width := v_width * 2;
  end loop;
  return v_nodes;
end;
$$;
comment on function bulwark_private.audit_seal_nodes(bigint, bytea) is
  'The nodes of the tree of all seals that the seal of this number and hash completes.';

create function bulwark_private.audit_group_before(organization uuid, seal bigint)
  returns setof bulwark_private.audit_groups
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
begin
  -- Sorted by both columns of the index, so that no other index can be taken for a faster one.
  if organization is null then
    return query
      select * from bulwark_private.audit_groups g
      where g.organization_id is null and g.seal < audit_group_before.seal
      order by g.organization_id desc, g.seal desc
      limit 1;
  else
    return query
      select * from bulwark_private.audit_groups g
      where (g.organization_id, g.seal) < (organization, audit_group_before.seal)
        and (g.organization_id, g.seal) >= (organization, 0)
      order by g.organization_id desc, g.seal desc
      limit 1;
  end if;
end;
$$;
comment on function bulwark_private.audit_group_before(uuid, bigint) is
  'The group that an organization''s group in a seal chains to.';

create function bulwark_private.audit_groups_of(
  organization uuid,
  first_seal bigint,
  last_seal bigint default null
)
  returns setof bulwark_private.audit_groups
  language plpgsql
  stable
  rows 100
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
begin
  if organization is null then
    return query
      select * from bulwark_private.audit_groups g
      where g.organization_id is null and g.seal between first_seal and coalesce(last_seal, g.seal)
      order by g.organization_id, g.seal
      limit 1000;
  else
    return query
      select * from bulwark_private.audit_groups g
      where (g.organization_id, g.seal) >= (organization, first_seal)
        and (g.organization_id, g.seal) <= (organization, coalesce(last_seal, 9223372036854775807))
      order by g.organization_id, g.seal
      limit 1000;
  end if;
end;
$$;
comment on function bulwark_private.audit_groups_of(uuid, bigint, bigint) is
  'The next groups of an organization (null: of the entries without one) in a range of seals, at
   most a thousand. Reads only these, whatever the statistics say.';

create function bulwark_private.audit_seals_extend_chain()
  returns trigger
  language plpgsql
  security definer            -- definer because no client can read the chain
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_last bulwark_private.audit_seals;
begin
  if bulwark_private.audit_log_is_loading() then
    return new;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  new.number := coalesce(v_last.number, 0) + 1;
  new.previous_hash := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
  new.sealed_at := greatest(clock_timestamp(), v_last.sealed_at);
  if v_last.through is not null then
    if (new.timeline, new.snapshot::text)
        is distinct from (v_last.timeline, v_last.snapshot::text)
      or new.through <= v_last.through then
      raise exception 'Cannot seal the audit log: the last seal has to be continued first'
        using errcode = 'object_not_in_prerequisite_state', detail = 'AUDIT_SEAL_IS_OPEN',
          hint = 'Call seal_audit_log() again: each call continues it';
    end if;
    new.sealed_at := v_last.sealed_at;
  end if;
  new.hash := bulwark_private.audit_seal_hash(
    new.number, new.previous_hash, new.root, new.timeline, new.sealed_at, new.snapshot, new.through
  );
  new.nodes := bulwark_private.audit_seal_nodes(new.number, new.hash);
  return new;
end;
$$;
comment on function bulwark_private.audit_seals_extend_chain() is
  'Trigger: number, time, previous hash, hash and tree nodes of a seal are computed here, whatever
   the insert says; a restore keeps its own.';

create function bulwark_private.audit_groups_refuse_change()
  returns trigger
  language plpgsql
  security definer            -- definer because no client can read prunings
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and exists (
    select from bulwark_private.audit_prunings p
    where p.xid = pg_current_xact_id() and old.seal <= p.through_seal
  ) then
    return old;
  end if;
  raise exception 'Cannot change the audit log: seals are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_groups_refuse_change() is
  'Trigger: groups are deleted only with the pruned prefix they belong to.';

create trigger audit_seals_extend_chain
  before insert on bulwark_private.audit_seals
  for each row execute function bulwark_private.audit_seals_extend_chain();
create trigger audit_seals_refuse_change
  before update or delete on bulwark_private.audit_seals
  for each row execute function bulwark_private.refuse_change();
create trigger audit_seals_refuse_truncate
  before truncate on bulwark_private.audit_seals
  for each statement execute function bulwark_private.refuse_change();
create trigger audit_groups_refuse_change
  before update or delete on bulwark_private.audit_groups
  for each row execute function bulwark_private.audit_groups_refuse_change();
create trigger audit_groups_refuse_truncate
  before truncate on bulwark_private.audit_groups
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_seals enable always trigger audit_seals_extend_chain;
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_change;
alter table bulwark_private.audit_seals enable always trigger audit_seals_refuse_truncate;
alter table bulwark_private.audit_groups enable always trigger audit_groups_refuse_change;
alter table bulwark_private.audit_groups enable always trigger audit_groups_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest('{bulwark_private.audit_seals, bulwark_private.audit_groups}'::regclass[]) as r;

-- Audit sealing: seals the entries committed since the last seal, each second and at no cost to
-- writers; also settles timelines and inspects watched objects.
-- Protects against entries that are never sealed, a restore or fork that is taken for the same log,
-- and triggers that were switched off.
-- SECURITY DEFINER: seal_audit_log, because the service role may not write seals.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_entries', '20000', 'Maximum number of entries in a seal'),
  ('audit.seal_bytes', '67108864', 'Size that the entries of a seal may have together');

create function bulwark_private.audit_segments(range bulwark_private.audit_range)
  returns table (timeline integer, low xid8, high xid8)
  language plpgsql
  stable
  rows 2
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
begin
  -- Transactions that were open in the base. A dump holds only committed ones.
  return query
    select (range).base_timeline, open.xid, open.xid
    from pg_snapshot_xip((range).base_snapshot) as open (xid)
    where (range).base_timeline < (range).timeline
      or pg_visible_in_snapshot(open.xid, (range).snapshot)
    order by open.xid;
  -- Entries that earlier timelines left unsealed; only after a restore.
  if (range).base_timeline < (range).timeline then
    timeline := (range).base_timeline;
    low := pg_snapshot_xmax((range).base_snapshot);
    return next;
  end if;
  if (range).base_timeline is distinct from (range).timeline then
    low := '0';
    timeline := coalesce((range).base_timeline, -1);
    loop
      select e.timeline into timeline from bulwark.audit_logs e
      where e.timeline > audit_segments.timeline and e.timeline < (range).timeline
      order by e.timeline
      limit 1;
      exit when timeline is null;
      return next;
    end loop;
  end if;
  timeline := (range).timeline;
  low := case
    when (range).base_timeline = (range).timeline then pg_snapshot_xmax((range).base_snapshot)
    else '0'
  end;
  high := pg_snapshot_xmax((range).snapshot);
  return next;
end;
$$;
comment on function bulwark_private.audit_segments(bulwark_private.audit_range) is
  'The transactions between a base and a snapshot, as ranges of the index, in order. Not the range
   from the old xmin, which would hold all that was written since the oldest open transaction.';

-- The plan does not depend on statistics, which are wrong after a bulk load: with sorting and other
-- scans switched off only the index in the order of a seal is left.
create function bulwark_private.audit_entries(
  range bulwark_private.audit_range,
  everybody boolean default true,
  organization uuid default null,
  hashed boolean default true,
  most integer default null,
  first_id uuid default null,
  last_id uuid default null
)
  returns table (
    id uuid,
    organization_id uuid,
    timeline integer,
    xid xid8,
    occurred_at timestamptz,
    removed_by uuid,
    leaf bytea,
    size integer
  )
  language plpgsql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_first constant uuid := coalesce(first_id, '00000000-0000-0000-0000-000000000000');
  v_last constant uuid := coalesce(last_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_after constant bulwark_private.audit_position := (range).after;
  v_count integer;
  v_from bulwark_private.audit_position;
  v_left integer := most;
  v_segment record;
  v_snapshot constant pg_snapshot := (range).snapshot;
  v_through constant bulwark_private.audit_position := (range).through;
  v_upto bulwark_private.audit_position;
begin
  for v_segment in select * from bulwark_private.audit_segments(range) loop
    v_from := (v_segment.timeline, v_segment.low, '00000000-0000-0000-0000-000000000000');
    v_upto := (
      v_segment.timeline, coalesce(v_segment.high, '18446744073709551615'),
      'ffffffff-ffff-ffff-ffff-ffffffffffff'
    );
    continue when v_after is not null and v_after > v_upto;
    exit when v_through is not null and v_through < v_from;
    if v_after is not null then
      v_from := greatest(v_from, v_after);
    end if;
    if v_through is not null then
      v_upto := least(v_upto, v_through);
    end if;
    return query
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at, e.removed_by,
        case when hashed then e.leaf end, case when not hashed then e.size end
      from bulwark_private.audit_leaves e
      where e.id >= v_first and e.id <= v_last
        and e.timeline = v_segment.timeline
        and (e.xid, e.id) >= (v_from.xid, v_from.id)
        and (e.xid, e.id) <= (v_upto.xid, v_upto.id)
        and (v_segment.timeline <> (range).timeline or pg_visible_in_snapshot(e.xid, v_snapshot))
        and (v_after is null or (e.timeline, e.xid, e.id)
          is distinct from (v_after.timeline, v_after.xid, v_after.id))
        and (everybody or e.organization_id is not distinct from organization)
      order by e.xid, e.id
      limit v_left;
    get diagnostics v_count = row_count;
    v_left := v_left - v_count;
    exit when v_left <= 0;
  end loop;
end;
$$;
comment on function bulwark_private.audit_entries(
  bulwark_private.audit_range, boolean, uuid, boolean, integer, uuid, uuid
) is
  'The entries of a range, at most so many, in the order of a seal, of all organizations or of one.
   Sealing, verification and export share it. hashed: with their leaves, the costly part; otherwise
   with their sizes. Only partitions with ids from the first to the last are read (null: all).';

create function bulwark_private.take_sealed_entries(
  seal bigint,
  range bulwark_private.audit_range
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return;
end;
$$;
comment on function bulwark_private.take_sealed_entries(bigint, bulwark_private.audit_range) is
  'Receives each committed entry once, in the transaction of its seal: nothing until webhooks is
   installed.';

-- Plans are made for the ids at hand, so that only the partitions that can have new entries are
-- even opened: the sealer often runs in a new session.
create function bulwark_private.write_audit_seal(snapshot pg_snapshot)
  returns bigint
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_base bulwark_private.audit_seals;
  v_bytes constant bigint := (bulwark_private.setting('audit.seal_bytes'))::bigint;
  v_first uuid;
  v_found record;
  v_last bulwark_private.audit_seals;
  v_most constant integer := (bulwark_private.setting('audit.seal_entries'))::integer;
  v_number bigint;
  v_range bulwark_private.audit_range;
  v_timeline constant integer := bulwark_private.audit_timeline();
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  if v_last.through is not null then
    -- More entries than a seal may hold: this one holds the next, of the same snapshot.
    select * into v_base
    from bulwark_private.audit_seals s where s.through is null order by s.number desc limit 1;
    v_range := (
      v_base.timeline, v_base.snapshot, v_last.timeline, v_last.snapshot, v_last.through, null
    );
  elsif v_last.timeline = v_timeline
    and pg_snapshot_xmax(v_last.snapshot) > pg_snapshot_xmax(snapshot) then
    -- Another session sealed a later snapshot while this one waited.
    return null;
  else
    v_range := (v_last.timeline, v_last.snapshot, v_timeline, snapshot, null, null);
  end if;
  if v_range.base_timeline = v_range.timeline then
    v_first := bulwark_private.audit_open_from(v_range.base_timeline, v_range.base_snapshot);
  end if;
  -- Whether there are any, and the last entry that fits, if there are more. The first always does.
  select
    count(*) = 0 as is_empty,
    (array_agg((f.timeline, f.xid, f.id)::bulwark_private.audit_position)
      filter (where f.fits and not f.next_fits))[1] as through
  into v_found
  from (
    select
      n.*,
      n.place <= v_most and (n.bytes <= v_bytes or n.place = 1) as fits,
      lead(n.place <= v_most and n.bytes <= v_bytes) over (order by n.place) as next_fits
    from (
      select e.timeline, e.xid, e.id, row_number() over w as place, sum(e.size) over w as bytes
      from bulwark_private.audit_entries(
        v_range, hashed => false, most => v_most + 1, first_id => v_first
      ) e
      window w as (order by e.timeline, e.xid, e.id)
    ) n
  ) f;
  -- A seal that continues another is written even if somebody deleted what it was to hold.
  if v_found.is_empty and v_last.through is null then
    return null;
  end if;
  if v_found.through is not null then
    v_range.through := v_found.through;
  end if;
  with trees as (
    select
      e.organization_id,
      count(*) as entry_count,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves
    from bulwark_private.audit_entries(v_range, first_id => v_first) e
    group by e.organization_id
  ),
  chained as (
    select
      t.organization_id,
      t.entry_count,
      t.leaves,
      bulwark_private.merkle_root(t.leaves) as root,
      coalesce(p.entries_before + p.entry_count, 0) as entries_before,
      coalesce(p.hash, decode(repeat('00', 32), 'hex')) as previous
    from trees t
    left join lateral bulwark_private.audit_group_before(
      t.organization_id, coalesce(v_last.number, 0) + 1
    ) p on true
  ),
  hashed as (
    select
      c.*,
      row_number() over (order by c.organization_id nulls first) - 1 as position,
      bulwark_private.audit_group_hash(
        c.organization_id, coalesce(v_last.number, 0) + 1, c.entry_count, c.entries_before,
        c.previous, c.root
      ) as hash
    from chained c
  ),
  sealed as (
    insert into bulwark_private.audit_seals (timeline, snapshot, through, root)
    select
      v_range.timeline, v_range.snapshot, v_range.through,
      bulwark_private.merkle_root(coalesce(string_agg(h.hash, '' order by h.position), ''))
    from hashed h
    having count(*) > 0 or v_last.through is not null
    returning number
  ),
  grouped as (
    insert into bulwark_private.audit_groups (
      seal, position, organization_id, entry_count, entries_before, previous, root, hash, leaves
    )
    select
      s.number, h.position, h.organization_id, h.entry_count, h.entries_before, h.previous, h.root,
      h.hash, h.leaves
    from hashed h
    cross join sealed s
  )
  select s.number into v_number from sealed s;
  if v_number is not null then
    perform bulwark_private.take_sealed_entries(v_number, v_range);
  end if;
  return v_number;
end;
$$;
comment on function bulwark_private.write_audit_seal(pg_snapshot) is
  'Seals entries that are finished in the snapshot and not sealed yet, as many as one seal may hold,
   and returns the seal''s number, or null if there are none; first it continues the last seal, if
   that needs it. The snapshot must be older than every write of the calling transaction.';

create function bulwark_private.inspect_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_catalogue constant text := bulwark_private.audit_catalogue();
  v_critical boolean;
  v_watched record;
begin
  -- Organizations cached by transactions that have ended.
  delete from bulwark_private.audit_parents p where p.xid < pg_snapshot_xmin(pg_current_snapshot());
  -- A full comparison about once a minute, so that a forged catalogue hash hides nothing for long.
  if random() > 0.02 and exists (
    select from bulwark_private.audit_watched_tables g
    where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue = v_catalogue
  ) then
    return;
  end if;
  -- The same lock order as a migration that alters the log and then calls
  -- refresh_audit_fingerprints: the log first, then audit_watched_tables. Otherwise the two would
  -- deadlock.
  lock table only bulwark.audit_logs in row exclusive mode;
  for v_watched in
    select
      g.relation,
      g.relation::text as name,
      string_to_array(g.fingerprint, ' ') as expected,
      string_to_array(
        concat_ws(
          ' ',
          bulwark_private.audit_fingerprint(g.relation),
          -- A renamed column masks every row (audit_image) or takes its organization; another key
          -- changes how rows are named. Both have to be reported.
          case
            when g.captures and (g.options -> 'written' ->> 1)::text[]
              is distinct from bulwark_private.audit_key_columns(g.relation, null)
            then 'missing/key||'
          end,
          (
            select string_agg(format('missing/%s||', translate(c, ' |', '__')), ' ' order by c)
            from unnest(
              bulwark_private.audit_moved(g.relation, (g.options -> 'written' ->> 12)::jsonb)
            ) as c
          )
        ),
        ' '
      ) as found,
      not exists (select from pg_catalog.pg_class c where c.oid = g.relation) as dropped
    from bulwark_private.audit_watched_tables g
  loop
    continue when v_watched.found = v_watched.expected and not v_watched.dropped;
    -- Critical: an object is switched off, changed, gone, or new between others. Objects that may
    -- come and go, or do no harm, are a warning.
    v_critical := v_watched.dropped
      or exists (select from unnest(v_watched.found) as f where f ~ '\|[DR]:[0-9]+$')
      or exists (
        -- Only words that differ are compared by their beginning: there may be thousands.
        select from (
          select unnest(v_watched.expected) except select unnest(v_watched.found)
        ) as gone (e)
        where e !~ '^(partition|missing|index|event_trigger|extension_[a-z_]+)/' and not exists (
          select from unnest(v_watched.found) as f
          where starts_with(f, substring(e from '^[^|]*\|[^|]*\|'))
        )
      )
      or exists (
        select from (
          select unnest(v_watched.found) except select unnest(v_watched.expected)
        ) as added (f)
        where f ~ '^((rule|function|policy|constraint|unique|new_[a-z_]+)/|[^/|]+\|[^|])'
          and not exists (
            select from unnest(v_watched.expected) as e
            where starts_with(e, substring(f from '^[^|]*\|[^|]*\|'))
          )
      );
    perform bulwark_private.append_audit_entry(
      'security.suspicious_activity',
      resource_type => v_watched.name,
      action => case
        when v_watched.dropped then 'watched_object_dropped' else 'watched_object_changed'
      end,
      severity => case when v_critical then 'critical' else 'warning' end::bulwark.audit_severity,
      -- Only the words that differ.
      details => jsonb_build_object(
        'expected', (
          select string_agg(w, ' ')
          from unnest(v_watched.expected) as w
          where w <> all (v_watched.found)
        ),
        'found', (
          select string_agg(w, ' ')
          from unnest(v_watched.found) as w
          where w <> all (v_watched.expected)
        )
      )
    );
    if v_critical then
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_watched.name,
        jsonb_build_object('dropped', v_watched.dropped)
      );
    end if;
    if v_watched.dropped then
      delete from bulwark_private.audit_watched_tables g where g.relation = v_watched.relation;
    else
      update bulwark_private.audit_watched_tables g
      set fingerprint = array_to_string(v_watched.found, ' ')
      where g.relation = v_watched.relation;
    end if;
  end loop;
  perform bulwark_private.renew_audit_functions();
  -- The hash from before the comparison, so that a change since then is compared in the next run.
  update bulwark_private.audit_watched_tables g set catalogue = v_catalogue
  where g.relation = 'bulwark.audit_logs'::regclass and g.catalogue is distinct from v_catalogue;
end;
$$;
comment on function bulwark_private.inspect_audit_fingerprints() is
  'Records every watched object that was touched by anything but enable_audit, also if it was
   switched off and on again between two runs.';

create function bulwark.seal_audit_log()
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write seals directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_number bigint;
  v_sealed bigint;
  v_snapshot pg_snapshot;
  v_started constant timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot seal the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_READ_COMMITTED',
        hint = 'Call it in a transaction of isolation level read committed';
  end if;
  -- With a transaction id of its own this transaction would count as finished in its own snapshot,
  -- and its later writes would never be sealed.
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'Cannot seal the audit log: the transaction has written already'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_SEAL_NEEDS_OWN_TRANSACTION',
            hint = 'Call seal_audit_log() in a request of its own';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select pg_current_snapshot() into v_snapshot;
  -- Before sealing: a seal belongs to the timeline of this cluster.
  if not bulwark_private.settle_audit_timeline() then
    return null;
  end if;
  loop
    v_sealed := bulwark_private.write_audit_seal(v_snapshot);
    exit when v_sealed is null;
    v_number := v_sealed;
    -- The next run goes on; a crash in between loses nothing.
    exit when clock_timestamp() - v_started > interval '3 seconds';
  end loop;
  perform bulwark_private.inspect_audit_fingerprints();
  perform bulwark_private.report_missing_checkpoint();
  if v_sealed is null then
    perform bulwark_private.report_late_entries(v_snapshot);
  end if;
  return v_number;
end;
$$;
comment on function bulwark.seal_audit_log() is
  'Seals the entries committed since the last seal and returns the newest seal''s number, or null if
   there were none; then checks timelines, watched objects and checkpoints. A seal holds at most
   audit.seal_entries entries and about audit.seal_bytes bytes, so a large transaction spans
   several. A call makes seals for about three seconds, and the next one goes on: call it until it
   returns null. Runs each second; call it before a verification that has to include the last
   second. Errors:
   AUDIT_SEAL_NEEDS_READ_COMMITTED, AUDIT_SEAL_NEEDS_OWN_TRANSACTION.';

-- Audit spans: which part of the log the entries of some seals lie in.
-- Protects against an entry that is hidden in a month where nobody looks for it: the index of every
-- partition is asked, not the time that a seal or an entry claims.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_span(first_seal bigint, last_seal bigint)
  returns table (first_id uuid, last_id uuid)
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_high bulwark_private.audit_position;
  v_low bulwark_private.audit_position;
begin
  select
    (r.range).base_timeline,
    least(
      pg_snapshot_xmin((r.range).base_snapshot), pg_snapshot_xmax((r.range).base_snapshot)
    )
  into v_low.timeline, v_low.xid
  from bulwark_private.audit_seal_ranges r
  where r.number >= first_seal
  order by r.number
  limit 1;
  select s.timeline, pg_snapshot_xmax(s.snapshot) into v_high.timeline, v_high.xid
  from bulwark_private.audit_seals s where s.number <= last_seal order by s.number desc limit 1;
  v_low.timeline := coalesce(v_low.timeline, -1);
  v_low.xid := coalesce(v_low.xid, '0');
  select (array_agg(f.low order by f.low))[1], (array_agg(f.high order by f.high desc))[1]
  into first_id, last_id
  from (
    select p.low, p.high
    from bulwark_private.audit_partitions p
    cross join lateral (
      select e.timeline, e.xid
      from bulwark.audit_logs e
      where e.id >= p.low and e.id < p.high
        and (e.timeline, e.xid) >= (v_low.timeline, v_low.xid)
        and (e.timeline, e.xid) <= (v_high.timeline, v_high.xid)
      order by e.timeline, e.xid, e.id
      limit 1
    ) e
    where not p.is_default
    union all
    (
      select d.id, d.id
      from bulwark_private.audit_logs_default d
      where (d.timeline, d.xid) >= (v_low.timeline, v_low.xid)
        and (d.timeline, d.xid) <= (v_high.timeline, v_high.xid)
      order by d.timeline, d.xid, d.id
    )
  ) f;
  return next;
end;
$$;
comment on function bulwark_private.audit_span(bigint, bigint) is
  'The first and the last id that entries of a range of seals may have, from the indexes of all
   partitions; null if there are no such entries.';

-- Audit settling: the first run of the sealer in a cluster into which the log was restored,
-- upgraded or forked.
-- Protects against a restored log that is never sealed, and against a restore that silently loses a
-- part of the log's protection.
-- No function here is SECURITY DEFINER.

create function bulwark_private.renew_audit_stamp(timeline bulwark_private.audit_timelines)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '100ms'
as $$
begin
  -- The lock blocks writers, so the timeout is short; it grows with the time the log has gone
  -- without a seal.
  perform set_config(
    'lock_timeout',
    least(
      100 + 20 * date_part('epoch', clock_timestamp() - timeline.started_at), 5000
    )::integer::text,
    true
  );
  perform bulwark_private.install_audit_stamp();
  return true;
exception
  when lock_not_available then
    return false;
end;
$$;
comment on function bulwark_private.renew_audit_stamp(bulwark_private.audit_timelines) is
  'Makes the trigger stamp entries with the settled timeline; false if writers keep the table
   busy.';

create function bulwark_private.adopt_audit_fingerprints()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_watched record;
begin
  -- A restore gives columns new numbers. They are found by name, except those reported as missing.
  update bulwark_private.audit_watched_tables g
  set options = jsonb_set(g.options, '{written, 12}', to_jsonb((p.places || k.kept)::text))
  from (
    select a.relation, a.fingerprint, (a.options -> 'written' ->> 12)::jsonb as before,
      bulwark_private.audit_places(
        a.relation, array(select jsonb_object_keys((a.options -> 'written' ->> 12)::jsonb))
      ) as places
    from bulwark_private.audit_watched_tables a where a.captures
  ) p
  cross join lateral (
    select coalesce(jsonb_object_agg(b.name, 0), '{}') as kept
    from jsonb_each(p.before) as b (name, place)
    where p.fingerprint like format('%%missing/%s||%%', translate(b.name, ' |', '__'))
  ) k
  where g.relation = p.relation and p.before is distinct from p.places || k.kept;
  -- A project that a backup of rows was loaded into may have later months than the backup.
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select p.relation, false, bulwark_private.audit_fingerprint(p.relation)
  from bulwark_private.audit_partitions p
  on conflict (relation) do nothing;
  -- A restore gives triggers and functions new numbers and transactions. Without the numbers both
  -- fingerprints have to be equal.
  for v_watched in
    select g.relation, g.relation::text as name, f.present,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.before, ' ')) as e
        where e <> all (string_to_array(k.after, ' ')) and e !~ '^(partition|missing)/'
      ) as lost,
      (
        select string_agg(e, ' ') from unnest(string_to_array(k.after, ' ')) as e
        where e <> all (string_to_array(k.before, ' '))
          and e !~ '^(partition/|audit_logs_note_late\|)'
      ) as gained
    from bulwark_private.audit_watched_tables g
    -- "offset 0" keeps the planner from computing the fingerprint anew for each of its words.
    cross join lateral (
      select bulwark_private.audit_fingerprint(g.relation) as present offset 0
    ) f
    cross join lateral (
      select
        regexp_replace(g.fingerprint, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as before,
        regexp_replace(f.present, '(?<=[|:/])[0-9]+(?=[|:/ ]|$)', '', 'g') as after
      offset 0
    ) k
  loop
    if v_watched.lost is not null or v_watched.gained is not null then
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => v_watched.name,
        action => 'watched_object_changed', severity => 'critical',
        details => jsonb_build_object('expected', v_watched.lost, 'found', v_watched.gained)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, v_watched.name, '{"restored": true}'
      );
    end if;
    update bulwark_private.audit_watched_tables g set fingerprint = v_watched.present
    where g.relation = v_watched.relation;
  end loop;
end;
$$;
comment on function bulwark_private.adopt_audit_fingerprints() is
  'After a restore: accepts the present fingerprints, and raises an alarm for each watched object
   that differs from before.';

create function bulwark_private.settle_audit_timeline()
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_timeline bulwark_private.audit_timelines;
  v_number integer;
  v_postgres_timeline bigint := (select c.timeline_id from pg_catalog.pg_control_checkpoint() c);
begin
  if not bulwark_private.audit_log_is_settled() then
    -- A restore that has not loaded any data yet.
    if not exists (select from bulwark_private.audit_timelines)
      and not exists (select from bulwark.audit_logs)
    then
      return false;
    end if;
    v_number := bulwark_private.audit_timeline();
    select * into strict v_timeline
    from bulwark_private.audit_timelines e where e.timeline = v_number;
    if not bulwark_private.renew_audit_stamp(v_timeline) then
      return false;
    end if;
    if v_timeline.settled_at is null then
      update bulwark_private.audit_timelines e set settled_at = clock_timestamp()
        where e.timeline = v_timeline.timeline;
      perform bulwark_private.append_audit_entry(
        'system.warning', resource_type => 'bulwark.audit_logs', action => 'timeline_started',
        details => to_jsonb(v_timeline)
      );
      -- The first seal here reads all partitions.
      delete from bulwark_private.audit_late_entries;
      perform bulwark_private.mend_restore();
      perform bulwark_private.adopt_audit_fingerprints();
    else
      -- The trigger was made for this cluster before, so somebody replaced it.
      perform bulwark_private.append_audit_entry(
        'security.suspicious_activity', resource_type => 'bulwark.audit_logs',
        action => 'stamp_replaced', severity => 'critical', details => to_jsonb(v_timeline)
      );
      perform bulwark.raise_security_event(
        'audit_protection_touched', null, null, 'bulwark.audit_logs', '{"stamp": "replaced"}'
      );
    end if;
  end if;
  v_number := bulwark_private.audit_timeline();
  select * into strict v_timeline
  from bulwark_private.audit_timelines e where e.timeline = v_number;
  if v_timeline.postgres_timeline <> v_postgres_timeline then
    update bulwark_private.audit_timelines e set postgres_timeline = v_postgres_timeline
    where e.timeline = v_timeline.timeline;
    perform bulwark_private.append_audit_entry(
      'system.warning', resource_type => 'bulwark.audit_logs', action => 'fork',
      details => jsonb_build_object(
        'postgres_timeline', v_postgres_timeline,
        'postgres_timeline_before', v_timeline.postgres_timeline
      )
    );
  end if;
  return true;
end;
$$;
comment on function bulwark_private.settle_audit_timeline() is
  'Starts a timeline after a restore or an upgrade, and records a fork after a recovery to a point
   in time or a promotion. False if nothing can be sealed yet: the next run tries again.';

-- Audit sealed entries: which seal holds an entry, whether the entry is unchanged since, and
-- whether a removal record accounts for a missing payload.
-- Protects against a payload that is stripped and passed off as retention.
-- No function here is SECURITY DEFINER.

create function bulwark_private.require_audit(permission text, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if organization_id is not null then
    perform bulwark.require_permission(permission, organization_id);
  elsif not bulwark_private.caller_is_service() and not bulwark.is_super_admin() then
    raise exception 'Cannot proceed: the log of the whole installation is for a super_admin'
      using errcode = 'insufficient_privilege', detail = 'RBAC_PERMISSION_DENIED',
            hint = 'Name an organization';
  end if;
end;
$$;
comment on function bulwark_private.require_audit(text, uuid) is
  'Checks that the caller may use a function on the audit log: the permission in the organization
   or, without one, a super_admin or the service role. Raises RBAC_PERMISSION_DENIED.';

create function bulwark_private.audit_seal_of(timeline integer, xid xid8, id uuid)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
  select coalesce(
    (
      select s.number
      from bulwark_private.audit_seals s
      where s.timeline = audit_seal_of.timeline
        and pg_snapshot_xmax(s.snapshot) > audit_seal_of.xid
        and pg_visible_in_snapshot(audit_seal_of.xid, s.snapshot)
        and (s.through is null or s.through
          >= row(
            audit_seal_of.timeline, audit_seal_of.xid, audit_seal_of.id
          )::bulwark_private.audit_position)
      order by pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    ),
    (
      select s.number
      from bulwark_private.audit_seals s
      where s.timeline > audit_seal_of.timeline
        and (s.through is null or s.through
          >= row(
            audit_seal_of.timeline, audit_seal_of.xid, audit_seal_of.id
          )::bulwark_private.audit_position)
      order by s.timeline, pg_snapshot_xmax(s.snapshot), s.number
      limit 1
    )
  );
$$;
comment on function bulwark_private.audit_seal_of(integer, xid8, uuid) is
  'The number of the seal that holds an entry; null while there is none.';

create function bulwark_private.audit_entry_is_sealed(entry_id uuid)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from bulwark_private.audit_leaves e
    join bulwark_private.audit_groups g
      on g.seal = bulwark_private.audit_seal_of(e.timeline, e.xid, e.id)
      and g.organization_id is not distinct from e.organization_id
    -- At a multiple of 32 bytes, not anywhere in the bytes.
    where e.id = entry_id and position(e.leaf in g.leaves) % 32 = 1
  );
$$;
comment on function bulwark_private.audit_entry_is_sealed(uuid) is
  'Whether an entry, as it is now, is among the leaves of its seal.';

create function bulwark_private.audit_digest(ids uuid[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(sha256(coalesce(string_agg(uuid_send(id), '' order by id), '')), 'base64')
  from unnest(ids) as id;
$$;
comment on function bulwark_private.audit_digest(uuid[]) is
  'SHA-256 over ids in rising order, base64: identifies the entries that a removal record covers.';

create function bulwark_private.audit_removal_problem(record_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_count bigint;
  v_digest text;
  v_record jsonb;
begin
  select e.details into v_record
  from bulwark.audit_logs e
  where e.id = record_id
    and e.event_type = 'compliance.data_deleted'
    and e.source = 'system'
    and (
      bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
      or bulwark_private.audit_entry_is_sealed(e.id)
    );
  if not found then
    return 'removal_without_record';
  end if;
  -- Pruning and archiving take some of the entries that a record covers; the tombstone restates the
  -- rest.
  select coalesce(
    (
      select e.details -> 'removals' -> audit_removal_problem.record_id::text
      from (
        select p.record_id from bulwark_private.audit_prunings p
        union all
        select a.record_id from bulwark.audit_archives a where a.record_id is not null
      ) p
      join bulwark.audit_logs e on e.id = p.record_id
      where e.details -> 'removals' ? audit_removal_problem.record_id::text
      order by e.id desc
      limit 1
    ),
    v_record
  )
  into v_record;
  select count(*), bulwark_private.audit_digest(array_agg(e.id)) into v_count, v_digest
  from bulwark.audit_logs e
  where e.removed_by = record_id;
  if (v_record ->> 'entries')::bigint is distinct from v_count
    or v_record ->> 'digest' is distinct from v_digest then
    return 'removal_record_differs';
  end if;
  return null;
end;
$$;
comment on function bulwark_private.audit_removal_problem(uuid) is
  'Problem of a removal record, or null: it has to exist, to be unchanged since it was sealed, and
   to cover exactly the entries that name it.';

-- Audit findings: one function for each way in which the log can differ from its seals.
-- Protects against a log that was altered around its triggers: an entry changed, removed, inserted
-- or moved, and a seal altered or dropped.
-- No function here is SECURITY DEFINER.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_overdue_seconds', '180',
    'Entries that wait longer for a seal make the log incomplete in verification'),
  ('audit.clock_tolerance_seconds', '300',
    'Tolerated difference between the time of an entry and the seals around it');

create function bulwark_private.name_bad_entry(seal bigint, organization uuid)
  returns table (problem text, entry uuid, detail text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with found as (
    select e.id, e.leaf, row_number() over (order by e.timeline, e.xid, e.id) as place
    from bulwark_private.audit_seal_ranges s
    cross join bulwark_private.audit_span(seal, seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, false, organization, first_id => i.first_id, last_id => i.last_id
    ) e
    where s.number = seal
  ),
  stored as (
    select g.leaves
    from bulwark_private.audit_groups g
    where g.seal = name_bad_entry.seal and g.organization_id is not distinct from organization
  ),
  sealed as (
    select i + 1 as place, substring(g.leaves from i * 32 + 1 for 32) as leaf
    from stored g
    cross join lateral generate_series(0, octet_length(g.leaves) / 32 - 1) as i
  ),
  counts as (
    select
      (select count(*) from sealed) as sealed,
      greatest(
        (select count(*) from found f where f.leaf not in (select s.leaf from sealed s)),
        (select count(*) from sealed s where s.leaf not in (select f.leaf from found f))
      ) as bad
  ),
  foreign_entry as (
    select f.id, f.place from found f
    where f.leaf not in (select s.leaf from sealed s)
    order by f.place limit 1
  ),
  lost_entry as (
    select s.place from sealed s
    where s.leaf not in (select f.leaf from found f)
    order by s.place limit 1
  )
  select
    case
      when f.id is null then 'entry_missing'
      when l.place is null then 'entry_inserted'
      else 'entry_altered'
    end,
    f.id,
    case
      when f.id is null then format(
        'entry %s of %s in seal %s is gone, after entry %s', l.place, c.sealed, seal,
        coalesce(
          (
            select p.id::text
            from found p
            join sealed s on s.leaf = p.leaf
            where s.place < l.place
            order by s.place desc
            limit 1
          ),
          'none'
        )
      )
      when l.place is null then format('seal %s has no such entry', seal)
      else format('entry %s of %s in seal %s is not as it was sealed', f.place, c.sealed, seal)
    end || case when c.bad > 1 then format(', and %s more', c.bad - 1) else '' end
  from counts c
  left join foreign_entry f on true
  left join lost_entry l on true;
$$;
comment on function bulwark_private.name_bad_entry(bigint, uuid) is
  'Names the first entry of an organization that differs from the leaves of a seal, and how it
   differs.';

create function bulwark_private.audit_seal_problems(
  first_seal bigint,
  last_seal bigint,
  pruned bigint
)
  returns table (seal bigint, problem text, detail text, missing boolean)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with chain as (
    select
      s.*,
      lag(s.number, 1, case when first_seal = 1 then 0 end) over w as number_before,
      lag(s.hash, 1, decode(repeat('00', 32), 'hex')) over w as hash_before,
      -- A seal goes on where the one before it, if that is continued, ends.
      lag(s.through) over w is not null and (
        s.through <= lag(s.through) over w
        or (s.timeline, s.snapshot::text)
          is distinct from (lag(s.timeline) over w, lag(s.snapshot::text) over w)
      ) as elsewhere,
      lag(s.sealed_at, 1, s.sealed_at) over w as sealed_before
    from bulwark_private.audit_seals s
    where s.number between first_seal - 1 and last_seal
    window w as (order by s.number)
  ),
  -- The groups of all organizations, for every caller: only a root computed without an organization
  -- proves that it has no entry in a seal. Materialized, so that each group is hashed once.
  trees as materialized (
    select
      g.seal,
      bool_or(g.hash is distinct from g.computed) as altered,
      bulwark_private.merkle_root(string_agg(g.computed, '' order by g.position)) as root
    from (
      select k.seal, k.position, k.hash, bulwark_private.audit_group_hash(
        k.organization_id, k.seal, k.entry_count, k.entries_before, k.previous, k.root
      ) as computed
      from bulwark_private.audit_groups k
      where k.seal between greatest(first_seal, pruned + 1) and last_seal
      offset 0
    ) g
    group by g.seal
  )
  select
    c.number,
    case
      when c.number_before is distinct from c.number - 1 then 'seal_missing'
      when c.previous_hash is distinct from c.hash_before or c.elsewhere then 'chain_broken'
      else 'seal_altered'
    end,
    case
      when c.number_before is distinct from c.number - 1
        then format('before seal %s at least one is gone', c.number)
      when c.previous_hash is distinct from c.hash_before or c.elsewhere
        then format('seal %s does not follow from the one before', c.number)
      else format('seal %s is not what its hash says', c.number)
    end,
    c.number_before is distinct from c.number - 1
  from chain c
  where c.number >= first_seal
    and (
      c.number_before is distinct from c.number - 1
      or c.previous_hash is distinct from c.hash_before
      or c.elsewhere
      or c.hash is distinct from bulwark_private.audit_seal_hash(
        c.number, c.previous_hash, c.root, c.timeline, c.sealed_at, c.snapshot, c.through
      )
      -- Null if a seal that it needs is gone, which is a finding of its own.
      or c.nodes <> bulwark_private.audit_seal_nodes(c.number, c.hash)
      or c.sealed_at < c.sealed_before
    )
  union all
  select
    s.number, 'group_altered',
    format('the organizations'' trees of seal %s do not make its root', s.number),
    -- If the seal and all groups match their own hashes, a group is gone.
    not coalesce(t.altered, false) and s.hash is not distinct from bulwark_private.audit_seal_hash(
      s.number, s.previous_hash, s.root, s.timeline, s.sealed_at, s.snapshot, s.through
    )
  from bulwark_private.audit_seals s
  left join trees t on t.seal = s.number
  where s.number between greatest(first_seal, pruned + 1) and last_seal
    and (
      coalesce(t.altered, false)
      or coalesce(t.root, bulwark_private.merkle_root('')) is distinct from s.root
    );
$$;
comment on function bulwark_private.audit_seal_problems(bigint, bigint, bigint) is
  'Problems of a range of seals themselves: gaps, links, hashes, and the trees under them. An
   organization has no entry in a seal only if the root is that of the other groups. missing:
   something is gone, not only changed.';

create function bulwark_private.compare_audit_groups(
  first_seal bigint,
  last_seal bigint,
  everybody boolean,
  organization uuid
)
  returns table (
    seal bigint,
    organization_id uuid,
    entries bigint,
    removed bigint,
    records uuid[],
    altered boolean,
    differs boolean,
    mistimed boolean
  )
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with tolerated as materialized (
    select make_interval(
      secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
    ) as time
  ),
  sealed as (
    select s.number, s.range, s.sealed_at, s.base_sealed_at
    from bulwark_private.audit_seal_ranges s
    -- Without the seal before it the new entries are unknown; the gap is reported already.
    where s.number between first_seal and last_seal and s.known
  ),
  found as (
    select
      s.number as seal,
      e.organization_id,
      count(*) as entries,
      count(e.removed_by) as removed,
      array_agg(distinct e.removed_by) filter (where e.removed_by is not null) as records,
      string_agg(e.leaf, '' order by e.timeline, e.xid, e.id) as leaves,
      -- Whether audit_backdated can find something here, which is milder on open transactions.
      coalesce(
        min(e.occurred_at) < s.base_sealed_at - (select t.time from tolerated t), false
      )
      or max(e.occurred_at) > s.sealed_at + (select t.time from tolerated t)
      -- The first six bytes of the id are the milliseconds of its time; infinity has none.
      or bool_or(case
        when not isfinite(e.occurred_at) then true
        else substring(uuid_send(e.id) from 1 for 6) not between
          substring(int8send((date_part('epoch', e.occurred_at) * 1000)::bigint - 1000) from 3)
          and substring(int8send((date_part('epoch', e.occurred_at) * 1000)::bigint + 1000) from 3)
      end) as mistimed
    from sealed s
    cross join bulwark_private.audit_span(first_seal, last_seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, everybody, organization, first_id => i.first_id, last_id => i.last_id
    ) e
    group by s.number, s.sealed_at, s.base_sealed_at, e.organization_id
  ),
  chained as (
    select
      g.*,
      lag(g.hash) over w as hash_before,
      lag(g.entries_before + g.entry_count) over w as counted_before
    from bulwark_private.audit_groups g
    where g.seal between first_seal and last_seal
      and (everybody or g.organization_id is not distinct from organization)
    window w as (partition by g.organization_id order by g.seal)
  ),
  kept as (
    select
      c.seal, c.organization_id, c.entry_count, c.leaves, c.root, c.previous, c.entries_before,
      coalesce(c.hash_before, b.hash) as hash_before,
      coalesce(c.counted_before, b.entries_before + b.entry_count) as counted_before
    from chained c
    -- offset 0 keeps the condition inside, so that the look-up runs only for groups that differ.
    left join lateral (
      select p.* from bulwark_private.audit_group_before(c.organization_id, c.seal) p
      where c.hash_before is null
      offset 0
    ) b on true
  ),
  compared as (
    select
      coalesce(k.seal, f.seal) as seal,
      coalesce(k.organization_id, f.organization_id) as organization_id,
      coalesce(f.entries, 0) as entries,
      coalesce(f.removed, 0) as removed,
      f.records,
      k.leaves,
      case
        when k.previous is distinct from coalesce(k.hash_before, decode(repeat('00', 32), 'hex'))
          or k.entries_before is distinct from coalesce(k.counted_before, 0)
          or k.root is distinct from bulwark_private.merkle_root(k.leaves)
          or k.entry_count is distinct from octet_length(k.leaves) / 32
        then k.seal is not null
        else false
      end as altered,
      k.leaves is distinct from f.leaves as differs,
      coalesce(f.mistimed, false) as mistimed
    from found f
    full join kept k
      on k.seal = f.seal
      and coalesce(k.organization_id, '00000000-0000-0000-0000-000000000000')
        = coalesce(f.organization_id, '00000000-0000-0000-0000-000000000000')
  )
  select
    c.seal, c.organization_id, c.entries, c.removed, c.records, c.altered, c.differs, c.mistimed
  from compared c
  where c.seal in (select s.number from sealed s);
$$;
comment on function bulwark_private.compare_audit_groups(bigint, bigint, boolean, uuid) is
  'Compares each organization''s entries in a range of seals, hashed again, with the sealed hashes.
   altered: the stored tree does not match its own hash. differs: the entries do not match the
   tree. mistimed: a time needs the closer look of audit_backdated.';

-- Audit times: entries whose time cannot be right, and entries that wait too long for a seal.
-- Protects against entries that are back-dated around the triggers, and entries that are never
-- sealed.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_backdated(
  first_seal bigint,
  last_seal bigint,
  everybody boolean,
  organization uuid
)
  returns table (seal bigint, entry uuid, detail text)
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with tolerated as materialized (
    select make_interval(
      secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
    ) as time
  ),
  entries as materialized (
    select
      s.number, s.sealed_at, s.base_sealed_at, e.timeline, e.xid, e.id, e.occurred_at,
      (s.range).base_timeline = e.timeline
        and e.xid < pg_snapshot_xmax((s.range).base_snapshot) as open
    from bulwark_private.audit_seal_ranges s
    cross join bulwark_private.audit_span(first_seal, last_seal) i
    cross join lateral bulwark_private.audit_entries(
      s.range, everybody, organization, false, first_id => i.first_id, last_id => i.last_id
    ) e
    where s.number between first_seal and last_seal and s.known
      and e.timeline = (s.range).timeline
  ),
  -- A transaction that was open in the base is older than it: it began after the last seal whose
  -- xmax is at or below its id.
  opened as materialized (
    select o.timeline, o.xid, b.sealed_at
    from (select distinct e.timeline, e.xid from entries e where e.open) o
    left join lateral (
      select k.sealed_at
      from bulwark_private.audit_seals k
      where k.timeline = o.timeline and pg_snapshot_xmax(k.snapshot) <= o.xid
      order by pg_snapshot_xmax(k.snapshot) desc, k.number desc
      limit 1
    ) b on true
  ),
  timed as (
    -- Any other transaction wrote after the base, since its id is at or above its xmax.
    select e.number, e.sealed_at, e.id, e.occurred_at,
      case when e.open then o.sealed_at else e.base_sealed_at end as not_before
    from entries e
    left join opened o on e.open and o.timeline = e.timeline and o.xid = e.xid
  )
  select
    t.number,
    t.id,
    case
      when t.occurred_at < t.not_before - d.time
      then format('it says %s, but it is younger than the seal of %s', t.occurred_at, t.not_before)
      when t.occurred_at > t.sealed_at + d.time
      then format('it says %s, after seal %s was made', t.occurred_at, t.number)
      else format('it says %s, its id another time', t.occurred_at)
    end
  from timed t
  cross join tolerated d
  where t.occurred_at < t.not_before - d.time
    or t.occurred_at > t.sealed_at + d.time
    -- The first six bytes of the id are the milliseconds of its time; infinity has none.
    or case
      when not isfinite(t.occurred_at) then true
      else substring(uuid_send(t.id) from 1 for 6) not between
        substring(int8send((date_part('epoch', t.occurred_at) * 1000)::bigint - 1000) from 3)
        and substring(int8send((date_part('epoch', t.occurred_at) * 1000)::bigint + 1000) from 3)
    end;
$$;
comment on function bulwark_private.audit_backdated(bigint, bigint, boolean, uuid) is
  'Entries in a range of seals whose time is impossible: before a seal that their transaction is
   younger than, after their own seal, or not that of their id. Writers cannot make one through the
   triggers, only a role that switches the triggers off.';

create function bulwark_private.audit_unsealed(everybody boolean, organization uuid)
  returns table (entries bigint, ahead bigint, first_entry uuid)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
  with last_seal as (
    select s.range from bulwark_private.audit_seal_ranges s order by s.number desc limit 1
  ),
  -- Each part is bounded; the newest are read as well, because a forged transaction lies there.
  waiting as (
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from last_seal s
      cross join lateral bulwark_private.audit_entries(
        row(
          (s.range).base_timeline, (s.range).base_snapshot, (s.range).timeline, (s.range).snapshot,
          (s.range).through, null
        )::bulwark_private.audit_range,
        hashed => false, most => 20000
      ) e
      where (s.range).through is not null
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from last_seal s
      cross join lateral pg_snapshot_xip((s.range).snapshot) as open (xid)
      cross join lateral (
        select * from bulwark.audit_logs e
        where e.timeline = (s.range).timeline and e.xid = open.xid
        order by e.timeline, e.xid, e.id
        limit 20000
      ) e
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from bulwark.audit_logs e
      where (e.timeline, e.xid) >= (
        coalesce((select (s.range).timeline from last_seal s), -1),
        coalesce((select pg_snapshot_xmax((s.range).snapshot) from last_seal s), '0')
      )
      order by e.timeline, e.xid, e.id
      limit 20000
    )
    union
    (
      select e.id, e.organization_id, e.timeline, e.xid, e.occurred_at
      from bulwark.audit_logs e
      where (e.timeline, e.xid) >= (
        coalesce((select (s.range).timeline from last_seal s), -1),
        coalesce((select pg_snapshot_xmax((s.range).snapshot) from last_seal s), '0')
      )
      order by e.timeline desc, e.xid desc, e.id desc
      limit 2000
    )
  ),
  -- Computed once, not once an entry.
  limits as materialized (
    select
      now() - make_interval(
        secs => (bulwark_private.setting('audit.seal_overdue_seconds'))::integer
      ) as overdue,
      now() + make_interval(
        secs => (bulwark_private.setting('audit.clock_tolerance_seconds'))::integer
      ) as ahead,
      (select max(k.timeline) from bulwark_private.audit_timelines k) as timeline,
      bulwark_private.audit_log_is_settled() as settled
  ),
  judged as (
    select
      w.id,
      w.occurred_at < l.overdue as overdue,
      -- No transaction can have written it: entries of other transactions are visible only once
      -- they lie before the snapshot.
      w.occurred_at > l.ahead
      or w.timeline = l.timeline
        and w.xid >= pg_snapshot_xmax(pg_current_snapshot())
        and w.xid is distinct from pg_current_xact_id_if_assigned()
        and l.settled as ahead
    from waiting w
    cross join limits l
    where everybody or w.organization_id is not distinct from organization
  )
  select count(*), count(*) filter (where j.ahead), (array_agg(j.id order by j.id))[1]
  from judged j
  where j.overdue or j.ahead;
$$;
comment on function bulwark_private.audit_unsealed(boolean, uuid) is
  'Counts committed entries that have waited for a seal longer than audit.seal_overdue_seconds, or
   whose time or transaction lies in the future, so that no seal holds them for long; among the
   first 20,000 that wait and the last 2,000.';

-- Audit verification: compares a range of the log with its seals and reports the differences.
-- Protects against a log that was altered around its triggers, a tail cut off behind a checkpoint,
-- and removals without a record.
-- SECURITY DEFINER: verify_audit_log, because no client can read seals, and a seal also holds
--   entries of other organizations.

create function bulwark.verify_audit_log(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  after_seal bigint default null,
  max_entries integer default 1000000,
  max_seconds integer default 5
)
  returns table (
    intact boolean,
    complete boolean,
    problem text,
    seal bigint,
    entry uuid,
    detail text,
    problems bigint,
    seals_checked bigint,
    entries_checked bigint,
    payloads_removed bigint,
    first_seal bigint,
    last_seal bigint,
    next_after_seal bigint
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_archived constant bigint := bulwark_private.audit_archived_through();
  v_chunk record;
  v_everybody constant boolean := organization_id is null;
  v_high bigint;
  v_last bulwark_private.audit_seals;
  v_pruned bigint := coalesce(
    (select max(p.through_seal) from bulwark_private.audit_prunings p), 0
  );
  v_records uuid[] := array[]::uuid[];
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 2000;
  v_step_started timestamptz;
  v_stop bigint;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if not (isfinite(since) and isfinite(until)) or since > until then
    raise exception 'Cannot verify the audit log: the range of time is empty or without end'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if max_entries < 1 or max_seconds < 1 or after_seal < 0 then
    raise exception 'Cannot verify the audit log: limits are positive'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  intact := true;
  complete := true;
  problems := 0;
  seals_checked := 0;
  entries_checked := 0;
  payloads_removed := 0;
  first_seal := greatest(
    coalesce(after_seal, 0) + 1,
    case when since is not null then coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at >= verify_audit_log.since
        order by s.sealed_at, s.number
        limit 1
      ),
      v_last.number + 1
    ) end
  );
  v_stop := case
    when until is null then v_last.number
    else (
      select s.number from bulwark_private.audit_seals s
      where s.sealed_at <= until
      order by s.sealed_at desc, s.number desc
      limit 1
    )
  end;
  last_seal := first_seal - 1;

  while last_seal < v_stop loop
    v_step_started := clock_timestamp();
    -- As many seals as hold so many entries or the rest of the limit, but at least one.
    select coalesce(max(w.number), v_stop) into v_high
    from (
      select s.number, sum(g.entries) over (order by s.number) as entries
      from (
        select s.number from bulwark_private.audit_seals s
        where s.number > last_seal and s.number <= v_stop
        order by s.number
        limit 1000
      ) s
      left join lateral (
        select sum(g.entry_count) as entries from bulwark_private.audit_groups g
          where g.seal = s.number
      ) g on true
    ) w
    where coalesce(w.entries, 0) <= least(v_step, max_entries - entries_checked)
      or w.number = last_seal + 1;

    for v_chunk in
      with compared as materialized (
        select * from bulwark_private.compare_audit_groups(
          greatest(last_seal, v_pruned) + 1, v_high, v_everybody, verify_audit_log.organization_id
        )
      )
      select
        0 as kind, p.seal, p.problem, null::uuid as entry, p.detail,
        0::bigint as entries, 0::bigint as removed, null::uuid[] as records, p.missing
      from bulwark_private.audit_seal_problems(last_seal + 1, v_high, v_pruned) p
      union all
      select
        1, c.tree_size, 'checkpoint_differs', null,
        format('the checkpoint of seal %s was signed over another tree', c.tree_size), 0, 0, null,
        false
      from bulwark.audit_checkpoints c
      where c.tree_size between last_seal + 1 and v_high
        -- Null if a seal of the tree is gone, which is a finding of its own.
        and c.root_hash <> bulwark_private.audit_tree_root(c.tree_size)
      union all
      select
        2, c.seal, 'group_altered', null,
        format('the leaves of an organization in seal %s were changed', c.seal), 0, 0, null, false
      from compared c
      where c.altered
      union all
      select
        3, c.seal, b.problem, b.entry, b.detail, 0, 0, null, b.problem = 'entry_missing'
      from (
        select * from compared c
        where c.differs and not c.altered and (c.seal > v_archived or c.entries > 0)
        offset 0
      ) c
      cross join lateral bulwark_private.name_bad_entry(c.seal, c.organization_id) b
      -- Of archived seals, only what is still in the log is compared.
      where c.seal > v_archived or b.problem <> 'entry_missing'
      union all
      select 4, d.seal, 'entry_backdated', d.entry, d.detail, 0, 0, null, false
      from (
        select min(c.seal) as first, max(c.seal) as last from compared c where c.mistimed
        having count(*) > 0
      ) m
      cross join lateral bulwark_private.audit_backdated(
        m.first, m.last, v_everybody, verify_audit_log.organization_id
      ) d
      union all
      select
        5, v_high, null, null, null, sum(c.entries), sum(c.removed),
        array(
          select distinct r from compared k cross join lateral unnest(k.records) as r
        ),
        false
      from compared c
      order by 2, 1
    loop
      entries_checked := entries_checked + coalesce(v_chunk.entries, 0);
      payloads_removed := payloads_removed + coalesce(v_chunk.removed, 0);
      v_records := v_records || v_chunk.records;
      if v_chunk.problem is not null then
        problems := problems + 1;
        complete := complete and not v_chunk.missing;
        intact := intact and v_chunk.problem in ('seal_missing', 'entry_missing');
        if problem is null then
          problem := v_chunk.problem;
          seal := v_chunk.seal;
          entry := v_chunk.entry;
          detail := v_chunk.detail;
        end if;
      end if;
    end loop;
    seals_checked := seals_checked + v_high - last_seal;
    last_seal := v_high;
    -- Large payloads and slow machines need smaller steps.
    v_step := case
      when clock_timestamp() - v_step_started > make_interval(secs => max_seconds / 5.0)
        then greatest(v_step / 4, 100)
      else least(v_step * 2, 20000)
    end;
    exit when entries_checked >= max_entries
      or clock_timestamp() - v_started > make_interval(secs => max_seconds);
  end loop;
  if last_seal < v_stop then
    next_after_seal := last_seal;
  end if;

  -- Problems of no single sealed entry: records, checkpoints and unsealed entries.
  for v_chunk in
    select r.problem, null::bigint as seal,
      (
        select e.id from bulwark.audit_logs e
        where e.removed_by = r.record
          and (v_everybody or e.organization_id = verify_audit_log.organization_id)
        order by e.id
        limit 1
      ) as entry,
      format('its payload was removed under record %s, which does not cover it', r.record) as detail
    from (
      select record, bulwark_private.audit_removal_problem(record) as problem
      from (select distinct unnest(v_records) as record) d
    ) r
    where r.problem is not null
    union all
    select 'pruning_without_record', p.through_seal, p.record_id,
      format('the log was pruned through seal %s without a sealed record', p.through_seal)
    from bulwark_private.audit_prunings p
    -- Earlier tombstones may have been pruned with the prefix of a later one.
    where p.through_seal = v_pruned and not bulwark_private.audit_pruning_is_recorded(v_pruned)
    union all
    select 'archive_without_record', v_archived, null,
      'the tombstones of archived months differ from the sealed record of them'
    where not bulwark_private.audit_archive_is_recorded()
    union all
    select 'checkpoint_ahead', c.tree_size, null,
      format('seal %s was signed and is gone', c.tree_size)
    from bulwark.audit_checkpoints c
    where c.tree_size > coalesce(v_last.number, 0)
    union all
    -- Entries that no seal can ever hold: of an unknown timeline, or of a pruned prefix.
    (
      select 'entry_inserted', null, e.id, 'the entry is of a timeline that the log never had'
      from (
        (
          select l.id, l.organization_id from bulwark.audit_logs l
          where l.timeline < least(
            (select min(k.timeline) from bulwark_private.audit_timelines k),
            (select k.timeline from bulwark_private.audit_seals k order by k.number limit 1)
          )
          order by l.timeline, l.xid, l.id
          limit 1000
        )
        union all
        (
          select l.id, l.organization_id from bulwark.audit_logs l
          where l.timeline > greatest(
            (select max(k.timeline) from bulwark_private.audit_timelines k), v_last.timeline
          )
          order by l.timeline desc, l.xid desc, l.id desc
          limit 1000
        )
      ) e
      where v_everybody or e.organization_id = verify_audit_log.organization_id
      limit 1
    )
    union all
    (
      select 'entry_inserted', p.through_seal, e.id, 'the entry lies in a part that was pruned'
      from bulwark_private.audit_prunings p
      cross join lateral bulwark_private.audit_entries(
        row(null, null, p.timeline, p.snapshot, null, null)::bulwark_private.audit_range,
        hashed => false, most => 1000
      ) e
      where p.through_seal = v_pruned
        and (v_everybody or e.organization_id = verify_audit_log.organization_id)
      limit 1
    )
    union all
    select 'entry_unsealed', null, u.first_entry,
      format(
        '%s entries wait for a seal longer than they should, %s of them from a time to come',
        u.entries, u.ahead
      )
    from bulwark_private.audit_unsealed(v_everybody, verify_audit_log.organization_id) u
    where u.entries > 0
    union all
    select 'gap_recorded', null, null,
      format('%s events of the auth schema could not be recorded', count(*))
    from bulwark_private.audit_gaps g
    where v_everybody
      and g.noticed_at between coalesce(since, '-infinity') and coalesce(until, 'infinity')
    having count(*) > 0
  loop
    problems := problems + 1;
    intact := intact and v_chunk.problem <> 'entry_inserted';
    complete := complete and v_chunk.problem = 'entry_inserted';
    if problem is null then
      problem := v_chunk.problem;
      seal := v_chunk.seal;
      entry := v_chunk.entry;
      detail := v_chunk.detail;
    end if;
  end loop;
  if problem is null and first_seal <= v_archived then
    detail := format(
      'the entries of the seals up to %s are archived: see bulwark.audit_archive_files', v_archived
    );
  end if;
  return next;
end;
$$;
comment on function bulwark.verify_audit_log(
  uuid, timestamptz, timestamptz, bigint, integer, integer
) is
  'Verifies the log of an organization (audit:read there; null: the whole installation, for a
   super_admin and the service role) over the seals made between two times. intact: nothing present
   was altered. complete: nothing is missing. problem names the first finding, with its seal and
   entry; problems counts them. Entries of archived months are not there to be compared, which
   detail says: verify their files. It stops after max_entries or max_seconds; pass next_after_seal
   as after_seal to continue, null at the end. Call seal_audit_log() before, in a request of its
   own, to include the last second. Errors: AUDIT_INVALID_RANGE, AUDIT_INVALID_LIMIT,
   RBAC_PERMISSION_DENIED.';

-- Audit seal tree: the RFC 6962 tree of all seals, whose head checkpoints sign.
-- Protects against a second history: its paths prove that a seal belongs to a head, and that a
-- later head contains an earlier one. Full subtrees are read from the seal that completed them.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_tree_node(first_leaf bigint, width bigint)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_level integer := 0;
  v_node bytea;
  v_split bigint;
begin
  while (1::bigint << v_level) < width loop
    v_level := v_level + 1;
  end loop;
  -- The seal that completed a full, aligned subtree stores its hash.
  if (1::bigint << v_level) = width and first_leaf % width = 0 then
    select substring(s.nodes from v_level * 32 + 1 for 32) into v_node
    from bulwark_private.audit_seals s
    where s.number = first_leaf + width;
    return v_node;
  end if;
  v_split := bulwark_private.largest_power_below(width);
  return sha256(
    '\x01'::bytea
    || bulwark_private.audit_tree_node(first_leaf, v_split)
    || bulwark_private.audit_tree_node(first_leaf + v_split, width - v_split)
  );
end;
$$;
comment on function bulwark_private.audit_tree_node(bigint, bigint) is
  'The RFC 6962 hash over width seals from leaf first_leaf (from 0) in the tree of all seals.';

create function bulwark_private.audit_tree_root(tree_size bigint)
  returns bytea
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select case tree_size
    when 0 then sha256('') else bulwark_private.audit_tree_node(0, tree_size)
  end;
$$;
comment on function bulwark_private.audit_tree_root(bigint) is
  'The head of the tree over the first tree_size seals.';

create function bulwark_private.audit_tree_path(leaf bigint, tree_size bigint)
  returns bytea[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint := 0;
  v_path bytea[] := array[]::bytea[];
  v_split bigint;
  v_width bigint := tree_size;
begin
  while v_width > 1 loop
    v_split := bulwark_private.largest_power_below(v_width);
    if leaf - v_first < v_split then
      v_path := bulwark_private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := bulwark_private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
    end if;
  end loop;
  return v_path;
end;
$$;
comment on function bulwark_private.audit_tree_path(bigint, bigint) is
  'The inclusion proof (RFC 9162 2.1.3) of a seal in the tree of tree_size seals.';

create function bulwark_private.audit_tree_consistency(from_size bigint, to_size bigint)
  returns bytea[]
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first bigint := 0;
  v_known boolean := true;
  v_old bigint := from_size;
  v_path bytea[] := array[]::bytea[];
  v_split bigint;
  v_width bigint := to_size;
begin
  while v_old < v_width loop
    v_split := bulwark_private.largest_power_below(v_width);
    if v_old <= v_split then
      v_path := bulwark_private.audit_tree_node(v_first + v_split, v_width - v_split) || v_path;
      v_width := v_split;
    else
      v_path := bulwark_private.audit_tree_node(v_first, v_split) || v_path;
      v_first := v_first + v_split;
      v_width := v_width - v_split;
      v_old := v_old - v_split;
      v_known := false;
    end if;
  end loop;
  -- The verifier knows the root of the old tree itself, but not of a part of it.
  if not v_known then
    v_path := bulwark_private.audit_tree_node(v_first, v_width) || v_path;
  end if;
  return v_path;
end;
$$;
comment on function bulwark_private.audit_tree_consistency(bigint, bigint) is
  'The consistency proof (RFC 9162 2.1.4) between two sizes of the tree of seals.';

-- Audit keys: the public keys that sign checkpoints, and how a key is registered.
-- Protects against a checkpoint that nobody signed. Postgres cannot verify Ed25519, so each key
-- comes with a secret that only its holder can derive. After the first, a new key also needs the
-- secret of a known key: the service role alone stores nothing under either.
-- No function here is SECURITY DEFINER.

create table bulwark.audit_keys (
  key_id text primary key,
  name text not null,
  public_key bytea not null unique,
  writer_hash bytea not null,
  registered_at timestamptz not null default now(),
  constraint audit_keys_key_id_format check (key_id ~ '^[0-9a-f]{8}$'),
  constraint audit_keys_name_format check (name ~ '^[^[:space:]+]{1,200}$'),
  constraint audit_keys_is_ed25519 check (octet_length(public_key) = 32)
);
comment on table bulwark.audit_keys is
  'Ed25519 public keys that signed checkpoints. A retired key stays, so that its checkpoints can be
   verified.';
comment on column bulwark.audit_keys.writer_hash is
  'SHA-256 of the secret that the holder derives from the private key (a signature over a constant
   text). Storing a checkpoint under this key requires the secret.';

create table bulwark_private.audit_key_acceptances (
  key_id text primary key,
  accepted_at timestamptz not null default now()
);
comment on table bulwark_private.audit_key_acceptances is
  'Keys that the owner accepted without the endorsement of a known key.';

alter table bulwark.audit_keys enable row level security;
alter table bulwark_private.audit_key_acceptances enable row level security;

create policy "Anyone signed in reads the keys of checkpoints"
  on bulwark.audit_keys for select to authenticated
  using ((select bulwark.current_person()) is not null);

create function bulwark_private.audit_key_id(name text, public_key bytea)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select encode(
    substring(sha256(convert_to(name, 'UTF8') || '\x0a01'::bytea || public_key) from 1 for 4), 'hex'
  );
$$;
comment on function bulwark_private.audit_key_id(text, bytea) is
  'The four bytes by which C2SP signed notes name an Ed25519 key, in hexadecimal.';

create function bulwark.accept_audit_key(key_id text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (key_id ~ '^[0-9a-f]{8}$') is not true then
    raise exception 'Cannot accept key: its id has 8 hexadecimal digits'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_KEY';
  end if;
  insert into bulwark_private.audit_key_acceptances (key_id) values (accept_audit_key.key_id)
  on conflict do nothing;
end;
$$;
comment on function bulwark.accept_audit_key(text) is
  'Accepts a signing key that no known key endorses, because that key is lost. For the owner of the
   database; recorded as an entry. Errors: AUDIT_INVALID_KEY.';

create function bulwark_private.register_audit_keys(signers jsonb)
  returns text[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_endorsed boolean;
  v_id text;
  v_ids text[] := array[]::text[];
  v_key bytea;
  v_signer jsonb;
begin
  if jsonb_typeof(signers) is distinct from 'array'
    or jsonb_array_length(signers) not between 1 and 8
    or exists (
      select from jsonb_array_elements(signers) as s
      where (s ->> 'name' ~ '^[^[:space:]+]{1,200}$') is not true
        or (s ->> 'public_key' ~ '^[A-Za-z0-9+/]{43}=$') is not true
        or (s ->> 'writer' ~ '^[A-Za-z0-9+/]{86}==$') is not true
    ) then
    raise exception 'Cannot store checkpoint: a signer has a name, a public key and its secret'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_KEY';
  end if;
  -- One at a time, so that two first calls do not both register the first key.
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_keys', 0));
  v_endorsed := not exists (select from bulwark.audit_keys) or exists (
    select
    from jsonb_array_elements(signers) as s
    join bulwark.audit_keys k
      on k.public_key = decode(s ->> 'public_key', 'base64')
      and k.writer_hash = sha256(decode(s ->> 'writer', 'base64'))
  );
  for v_signer in select s from jsonb_array_elements(signers) with ordinality as t (s, place)
    order by place
  loop
    v_key := decode(v_signer ->> 'public_key', 'base64');
    v_id := bulwark_private.audit_key_id(v_signer ->> 'name', v_key);
    if not v_endorsed and not exists (
      select from bulwark.audit_keys k where k.public_key = v_key
    ) and not exists (
      select from bulwark_private.audit_key_acceptances a where a.key_id = v_id
    ) then
      raise exception 'Cannot store checkpoint: no former key vouches for key %', v_id
        using errcode = 'insufficient_privilege', detail = 'AUDIT_KEY_NOT_ENDORSED',
              hint = 'Sign with the former key too, or as the owner: bulwark.accept_audit_key';
    end if;
    insert into bulwark.audit_keys as k (key_id, name, public_key, writer_hash)
    values (
      v_id, v_signer ->> 'name', v_key, sha256(decode(v_signer ->> 'writer', 'base64'))
    )
    on conflict do nothing;
    if not exists (
      select from bulwark.audit_keys k
      where k.key_id = v_id
        and k.public_key = v_key
        and k.writer_hash = sha256(decode(v_signer ->> 'writer', 'base64'))
    ) then
      raise exception 'Cannot store checkpoint: key % is registered otherwise', v_id
        using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_THE_KEY_HOLDER',
          hint = 'Sign with the key that is registered under this name and id';
    end if;
    v_ids := v_ids || v_id;
  end loop;
  return v_ids;
end;
$$;
comment on function bulwark_private.register_audit_keys(jsonb) is
  'Registers the keys of signers and returns their ids: the very first key, and later keys only
   together with a known or an accepted one. Errors: AUDIT_INVALID_KEY, AUDIT_KEY_NOT_ENDORSED,
   AUDIT_NOT_THE_KEY_HOLDER.';

create trigger audit_keys_refuse_change
  before update or delete on bulwark.audit_keys
  for each row execute function bulwark_private.refuse_change();
create trigger audit_keys_refuse_truncate
  before truncate on bulwark.audit_keys
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark.audit_keys enable always trigger audit_keys_refuse_change;
alter table bulwark.audit_keys enable always trigger audit_keys_refuse_truncate;
select bulwark.enable_audit(
  'bulwark.audit_keys', ignore => '{writer_hash}',
  event_types => '{config.changed,config.changed,config.changed}'
);
select bulwark.enable_audit(
  'bulwark_private.audit_key_acceptances',
  event_types => '{config.changed,config.changed,config.changed}'
);

-- Audit checkpoints: the signed heads of the log, and whether each was delivered outside the
-- database.
-- Protects against a rewritten or truncated tail: the key that signs never enters the database, so
-- access to the database alone cannot make another history.
-- SECURITY DEFINER: store_audit_checkpoint, record_audit_delivery, undelivered_audit_checkpoints,
--   because nobody may write checkpoints directly; audit_tree_head, because no client can read
--   seals.

create table bulwark.audit_checkpoints (
  tree_size bigint primary key,
  root_hash bytea not null,
  key_id text not null references bulwark.audit_keys (key_id),
  note text not null,
  signed_at timestamptz not null default clock_timestamp(),
  sink text,
  delivered_at timestamptz,
  delivery_error text,
  constraint audit_checkpoints_root_is_a_hash check (octet_length(root_hash) = 32),
  constraint audit_checkpoints_note_length check (octet_length(note) <= 8192)
);
comment on table bulwark.audit_checkpoints is
  'Signed heads of the tree of all seals (C2SP tlog-checkpoint), and whether each was delivered.';
create index audit_checkpoints_key_id_idx on bulwark.audit_checkpoints (key_id);
create index audit_checkpoints_undelivered_idx on bulwark.audit_checkpoints (tree_size)
  where delivered_at is null;

alter table bulwark.audit_checkpoints enable row level security;

create policy "Anyone signed in reads checkpoints"
  on bulwark.audit_checkpoints for select to authenticated
  using ((select bulwark.current_person()) is not null);

create function bulwark.audit_tree_head()
  returns table (
    tree_size bigint,
    root_hash text,
    sealed_at timestamptz,
    checkpoint_size bigint,
    checkpoint_at timestamptz
  )
  language sql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(s.number, 0),
    bulwark_private.base64(bulwark_private.audit_tree_root(coalesce(s.number, 0))),
    s.sealed_at,
    c.tree_size,
    c.signed_at
  from (values (true)) as one
  left join (
    select s.number, s.sealed_at from bulwark_private.audit_seals s order by s.number desc limit 1
  ) s on true
  left join (
    select c.tree_size, c.signed_at from bulwark.audit_checkpoints c
    order by c.tree_size desc
    limit 1
  ) c on true;
$$;
comment on function bulwark.audit_tree_head() is
  'The input of the next checkpoint: size and root (base64) of the tree of all seals, and the newest
   checkpoint.';

create function bulwark_private.audit_note_fits(
  note text,
  origin text,
  tree_size bigint,
  root_hash text,
  key_ids text[]
)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    octet_length(note) <= 8192
    and starts_with(note, concat_ws(E'\n', origin, tree_size, root_hash, '', ''))
    and right(note, 1) = E'\n'
    and (
      select array_agg(
          encode(substring(decode(l.line[2], 'base64') from 1 for 4), 'hex') order by l.place
        ) = key_ids
        and bool_and(l.line[1] = origin and octet_length(decode(l.line[2], 'base64')) = 68)
      from (
        select
          s.place,
          -- 68 bytes: four of the key id and an Ed25519 signature.
          regexp_match(s.line, '^\u2014 ([^[:space:]+]+) ([A-Za-z0-9+/]{91}=)$') as line
        from string_to_table(
          left(
            substring(
              note from length(concat_ws(E'\n', origin, tree_size, root_hash, '', '')) + 1
            ),
            -1
          ),
          E'\n'
        ) with ordinality as s (line, place)
      ) l
    ),
    false
  );
$$;
comment on function bulwark_private.audit_note_fits(text, text, bigint, text, text[]) is
  'Whether a text is a C2SP checkpoint of this log, size and root, with one Ed25519 signature line
   for each key, in their order. It does not verify signatures.';

create function bulwark.store_audit_checkpoint(
  tree_size bigint,
  root_hash text,
  note text,
  signers jsonb
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write checkpoints directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids constant text[] := bulwark_private.register_audit_keys(signers);
  -- The log keeps the name of its first key.
  v_origin constant text := (
    select k.name from bulwark.audit_keys k order by k.registered_at, k.key_id limit 1
  );
begin
  if tree_size is null or root_hash is null or note is null
    or tree_size not between 1 and coalesce(
      (select max(s.number) from bulwark_private.audit_seals s), 0
    )
    or root_hash <> bulwark_private.base64(bulwark_private.audit_tree_root(tree_size))
    or not bulwark_private.audit_note_fits(note, v_origin, tree_size, root_hash, v_ids) then
    raise exception 'Cannot store checkpoint: it does not match the log'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_CHECKPOINT_MISMATCH',
        hint = 'Run verify_audit_log: its problem says what differs';
  end if;
  insert into bulwark.audit_checkpoints (tree_size, root_hash, key_id, note)
  values (
    store_audit_checkpoint.tree_size, decode(store_audit_checkpoint.root_hash, 'base64'),
    v_ids[1], store_audit_checkpoint.note
  )
  on conflict on constraint audit_checkpoints_pkey do nothing;
  return found;
end;
$$;
comment on function bulwark.store_audit_checkpoint(bigint, text, text, jsonb) is
  'Stores a signed checkpoint whose size, root (base64) and origin are the log''s own; false if one
   of that size is stored already. signers, in the order of the note''s lines: name, public_key and
   writer (base64), the secret that only the key''s holder can derive. Signatures are made and
   verified outside. Errors: AUDIT_CHECKPOINT_MISMATCH, AUDIT_INVALID_KEY, AUDIT_KEY_NOT_ENDORSED,
   AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark.record_audit_delivery(
  tree_size bigint,
  sink text,
  error text default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write checkpoints directly
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark.audit_checkpoints c
  set sink = left(record_audit_delivery.sink, 200),
      delivered_at = case when error is null then clock_timestamp() end,
      delivery_error = left(record_audit_delivery.error, 500)
  where c.tree_size = record_audit_delivery.tree_size and c.delivered_at is null;
  if not found and not exists (
    select from bulwark.audit_checkpoints c where c.tree_size = record_audit_delivery.tree_size
  ) then
    raise exception 'Cannot record delivery: there is no such checkpoint'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_CHECKPOINT',
        hint = 'List them with: select tree_size from bulwark.audit_checkpoints';
  end if;
end;
$$;
comment on function bulwark.record_audit_delivery(bigint, text, text) is
  'Records where a checkpoint was delivered, or why it was not; the first delivery is kept. Errors:
   AUDIT_UNKNOWN_CHECKPOINT.';

create function bulwark.undelivered_audit_checkpoints(page_size integer default 100)
  returns table (tree_size bigint, note text)
  language sql
  stable
  rows 10
  security definer            -- definer for the same access as its siblings
  set search_path = pg_catalog, pg_temp
as $$
  select c.tree_size, c.note
  from bulwark.audit_checkpoints c
  where c.delivered_at is null
  order by c.tree_size
  limit least(greatest(page_size, 1), 1000);
$$;
comment on function bulwark.undelivered_audit_checkpoints(integer) is
  'Checkpoints that no sink has yet, oldest first.';

create function bulwark_private.audit_checkpoints_keep()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (new.tree_size, new.root_hash, new.key_id, new.note, new.signed_at)
    is distinct from (old.tree_size, old.root_hash, old.key_id, old.note, old.signed_at)
    or old.delivered_at is not null then
    raise exception 'Cannot change the checkpoint: only its first delivery is noted'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
  end if;
  return new;
end;
$$;
comment on function bulwark_private.audit_checkpoints_keep() is
  'Trigger: only the delivery of a checkpoint changes, and only once.';

create trigger audit_checkpoints_keep
  before update on bulwark.audit_checkpoints
  for each row execute function bulwark_private.audit_checkpoints_keep();
create trigger audit_checkpoints_refuse_removal
  before delete on bulwark.audit_checkpoints
  for each row execute function bulwark_private.refuse_change();
create trigger audit_checkpoints_refuse_truncate
  before truncate on bulwark.audit_checkpoints
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_keep;
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_refuse_removal;
alter table bulwark.audit_checkpoints enable always trigger audit_checkpoints_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values (
  'bulwark.audit_checkpoints', false, bulwark_private.audit_fingerprint('bulwark.audit_checkpoints')
);

-- Audit proofs: that an entry is in the log, and that a later log contains an earlier one.
-- Protects against a log that shows different contents to different readers: a proof and the public
-- key are enough to verify it without the database.
-- SECURITY DEFINER: audit_inclusion_proof, audit_consistency_proof, audit_group_nodes, because no
--   client can read seals.

create function bulwark_private.base64_array(hashes bytea[])
  returns jsonb
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(bulwark_private.base64(h) order by place), '[]')
  from unnest(hashes) with ordinality as t (h, place);
$$;
comment on function bulwark_private.base64_array(bytea[]) is
  'A path as JSON: an array of base64 hashes.';

create function bulwark_private.time_json(moment timestamptz)
  returns text
  language plpgsql
  stable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end;
$$;
comment on function bulwark_private.time_json(timestamptz) is
  'RFC 3339 in UTC, to the microsecond.';

create function bulwark_private.time_microseconds(moment timestamptz)
  returns bigint
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return ('x' || encode(timestamptz_send(moment), 'hex'))::bit(64)::bigint;
end;
$$;
comment on function bulwark_private.time_microseconds(timestamptz) is
  'Microseconds since 2000-01-01 UTC, as hashed.';

-- A view and text: a function with settings, or jsonb, costs each entry of an export several times
-- as much.
create view bulwark_private.audit_records with (security_invoker = true) as
  select
    c.*,
    concat(
      '"id":"', c.id,
      '","organization_id":', coalesce('"' || c.organization_id::text || '"', 'null'),
      ',"timeline":', c.timeline,
      ',"xid":"', c.xid,
      '","occurred_at":"',
      to_char(c.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
      '","occurred_at_us":',
      ('x' || encode(timestamptz_send(c.occurred_at), 'hex'))::bit(64)::bigint,
      ',"source":"', c.source,
      '","severity":"', c.severity,
      '","result":"', c.result,
      '","event_type":', to_json(c.event_type),
      ',"resource_type":', coalesce(to_json(c.resource_type)::text, 'null'),
      case
        when c.removed_by is null
        then concat(',"salt":"', c.salt, '","payload":', to_json(c.payload))
        else concat(
          ',"commitment":"', translate(encode(c.commitment, 'base64'), E'\n', ''),
          '","removed_by":"', c.removed_by, '"'
        )
      end
    ) as members
  from bulwark_private.audit_commitments c;
comment on view bulwark_private.audit_records is
  'Every entry with the members of its JSON object in proofs and exports, of which one is the exact
   text of its payload.';

create function bulwark_private.audit_group_json(grouped bulwark_private.audit_groups)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'organization_id', grouped.organization_id,
    'seal', grouped.seal,
    'entry_count', grouped.entry_count,
    'entries_before', grouped.entries_before,
    'previous', bulwark_private.base64(grouped.previous),
    'root', bulwark_private.base64(grouped.root)
  );
$$;
comment on function bulwark_private.audit_group_json(bulwark_private.audit_groups) is
  'An organization''s group in a seal, in the JSON of proofs and exports.';

create function bulwark_private.audit_group_proof(seal bigint, organization uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_checkpoint bulwark.audit_checkpoints;
  v_group bulwark_private.audit_groups;
  v_hashes bytea;
  v_seal bulwark_private.audit_seals;
  v_size bigint;
begin
  select * into v_group
  from bulwark_private.audit_groups g
  where g.seal = audit_group_proof.seal and g.organization_id is not distinct from organization;
  select * into v_seal from bulwark_private.audit_seals s where s.number = audit_group_proof.seal;
  if v_group.seal is null or v_seal.number is null then
    return null;
  end if;
  select string_agg(g.hash, '' order by g.position) into v_hashes
  from bulwark_private.audit_groups g where g.seal = audit_group_proof.seal;
  select * into v_checkpoint
  from bulwark.audit_checkpoints c
  where c.tree_size >= audit_group_proof.seal
  order by c.tree_size desc
  limit 1;
  v_size := coalesce(
    v_checkpoint.tree_size, (select max(s.number) from bulwark_private.audit_seals s)
  );
  return jsonb_build_object(
    'group', bulwark_private.audit_group_json(v_group),
    'group_index', v_group.position,
    'group_count', octet_length(v_hashes) / 32,
    'group_path', bulwark_private.base64_array(
      bulwark_private.merkle_path(v_hashes, v_group.position)
    ),
    'seal', jsonb_build_object(
      'number', v_seal.number,
      'previous_hash', bulwark_private.base64(v_seal.previous_hash),
      'root', bulwark_private.base64(v_seal.root),
      'timeline', v_seal.timeline,
      'sealed_at', bulwark_private.time_json(v_seal.sealed_at),
      'sealed_at_us', bulwark_private.time_microseconds(v_seal.sealed_at),
      'snapshot', v_seal.snapshot::text,
      'through', case
        when v_seal.through is not null
        then bulwark_private.base64(bulwark_private.audit_position_hash(v_seal.through))
      end,
      'hash', bulwark_private.base64(v_seal.hash)
    ),
    'tree_index', v_seal.number - 1,
    'tree_size', v_size,
    'tree_path', bulwark_private.base64_array(
      bulwark_private.audit_tree_path(v_seal.number - 1, v_size)
    ),
    'tree_root', bulwark_private.base64(bulwark_private.audit_tree_root(v_size)),
    'checkpoint', v_checkpoint.note
  );
end;
$$;
comment on function bulwark_private.audit_group_proof(bigint, uuid) is
  'The proof from an organization''s group through its seal to the newest checkpoint or, if none
   covers it yet, to the present tree. Of other organizations it contains only hashes.';

create function bulwark.audit_inclusion_proof(entry_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_entry bulwark_private.audit_commitments;
  v_group bulwark_private.audit_groups;
  v_index bigint;
  v_seal bigint;
begin
  perform bulwark_private.require_caller();
  select * into v_entry from bulwark_private.audit_commitments e where e.id = entry_id;
  -- For any id of an archived month, so that nobody learns whether there was such an entry.
  if v_entry.id is null and entry_id < (
    select a.end_id from bulwark.audit_archives a
    where a.archived_at is not null
    order by a.month desc
    limit 1
  ) then
    raise exception 'Cannot prove the entry: its month is archived'
      using errcode = 'PT410', detail = 'AUDIT_ENTRY_ARCHIVED',
            hint = 'The archive''s files prove it: see audit_archive_files';
  end if;
  -- The same answer for an entry that does not exist and one that the caller may not read.
  if v_entry.id is null or not bulwark_private.caller_is_service() and not bulwark.is_super_admin()
    and (
      v_entry.organization_id is null
      or v_entry.organization_id not in (select bulwark.organizations_with('audit:read'))
    ) then
    raise exception 'Cannot prove the entry: there is none here that you may read'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ENTRY',
        hint = 'Find entries with search_audit_logs';
  end if;
  v_seal := bulwark_private.audit_seal_of(v_entry.timeline, v_entry.xid, v_entry.id);
  if v_seal is null then
    raise exception 'Cannot prove the entry: it is not sealed yet'
      using errcode = 'PT409', detail = 'AUDIT_NOT_SEALED_YET', hint = 'Try again in a second';
  end if;
  select * into v_group
  from bulwark_private.audit_groups g
  where g.seal = v_seal and g.organization_id is not distinct from v_entry.organization_id;
  select position(l.leaf in v_group.leaves) - 1 into v_index
  from bulwark_private.audit_leaves l where l.id = entry_id;
  if (v_index >= 0 and v_index % 32 = 0) is not true then
    raise exception 'Cannot prove the entry: it is not what was sealed'
      using errcode = 'data_corrupted', detail = 'AUDIT_ENTRY_ALTERED',
            hint = 'Run verify_audit_log';
  end if;
  return bulwark_private.audit_group_proof(v_seal, v_entry.organization_id) || jsonb_build_object(
    'entry', (
      select concat('{', r.members, '}')::json
      from bulwark_private.audit_records r where r.id = entry_id
    ),
    'entry_index', v_index / 32,
    'entry_path', bulwark_private.base64_array(
      bulwark_private.merkle_path(v_group.leaves, v_index / 32)
    )
  );
end;
$$;
comment on function bulwark.audit_inclusion_proof(uuid) is
  'Proves that an entry (audit:read in its organization) is in the log: from the entry to its
   organization''s root, to its seal, to the newest checkpoint. Errors: AUDIT_UNKNOWN_ENTRY,
   AUDIT_ENTRY_ARCHIVED, AUDIT_NOT_SEALED_YET, AUDIT_ENTRY_ALTERED.';

create function bulwark.audit_consistency_proof(from_size bigint, to_size bigint)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_size bigint := coalesce((select max(s.number) from bulwark_private.audit_seals s), 0);
begin
  perform bulwark_private.require_caller();
  -- RFC 9162 defines no proof from size 0: every log contains the empty one.
  if (from_size between 1 and to_size and to_size <= v_size) is not true then
    raise exception 'Cannot prove consistency: the sizes are not 1 <= from <= to <= %', v_size
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  return jsonb_build_object(
    'from_size', from_size,
    'to_size', to_size,
    'from_root', bulwark_private.base64(bulwark_private.audit_tree_root(from_size)),
    'to_root', bulwark_private.base64(bulwark_private.audit_tree_root(to_size)),
    'path', bulwark_private.base64_array(bulwark_private.audit_tree_consistency(from_size, to_size))
  );
end;
$$;
comment on function bulwark.audit_consistency_proof(bigint, bigint) is
  'Proves that the log of to_size seals contains that of from_size seals unchanged (RFC 9162 2.1.4).
   For anyone signed in, from size 1 on. Errors: AUDIT_INVALID_RANGE and those of
   bulwark_private.require_user.';

create function bulwark_private.merkle_nodes(leaves bytea, first bigint, last bigint)
  returns bytea[]
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_nodes bytea[] := array[]::bytea[];
  v_place bigint := first;
  v_width bigint;
begin
  while v_place < last loop
    v_width := 1;
    while v_place % (v_width * 2) = 0 and v_place + v_width * 2 <= last loop
      v_width := v_width * 2;
    end loop;
    v_nodes := v_nodes || bulwark_private.merkle_root(
      substring(leaves from (v_place * 32 + 1)::integer for (v_width * 32)::integer)
    );
    v_place := v_place + v_width;
  end loop;
  return v_nodes;
end;
$$;
comment on function bulwark_private.merkle_nodes(bytea, bigint, bigint) is
  'The roots of the fewest full subtrees that cover the leaves from first (from 0) up to last.';

create function bulwark.audit_group_nodes(
  seal bigint,
  first bigint,
  last bigint,
  organization_id uuid default null
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_leaves bytea;
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  select g.leaves into v_leaves
  from bulwark_private.audit_groups g
  where g.seal = audit_group_nodes.seal
    and g.organization_id is not distinct from audit_group_nodes.organization_id;
  if (0 <= first and first <= last and last <= octet_length(v_leaves) / 32) is not true then
    raise exception 'Cannot prove a part of the seal: it has no such entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  return bulwark_private.base64_array(bulwark_private.merkle_nodes(v_leaves, first, last));
end;
$$;
comment on function bulwark.audit_group_nodes(bigint, bigint, bigint, uuid) is
  'For an export that begins or ends within a seal (audit:export; null: the entries without an
   organization): the nodes that cover the organization''s entries first to last, which are not in
   the export, so that its entries lead to the root. Errors: AUDIT_INVALID_RANGE,
   RBAC_PERMISSION_DENIED.';

-- Audit alarms: problems that the log reports by itself, and its status on request.
-- Protects against checkpoints that silently stop and against a log that is never verified: it
-- verifies itself continuously, in steps.
-- SECURITY DEFINER: check_audit_log, audit_status, because no client can read seals and audited
--   tables; report_checkpoint_problem, because not even the service role writes entries of the log
--   about itself.

insert into bulwark.settings (name, value, description) values
  ('audit.checkpoint_interval_seconds', '60',
    'Interval of checkpoints; an alarm is raised after three missed in a row');

create table bulwark_private.audit_check_progress (
  only_row boolean primary key default true check (only_row),
  after_seal bigint not null default 0,
  reported text[] not null default '{}',
  overdue_checkpoint bigint,
  late_reported_at timestamptz,
  checked_at timestamptz,
  pass_began_at timestamptz,
  passed_at timestamptz,
  problem_at timestamptz
);
comment on table bulwark_private.audit_check_progress is
  'Progress of the log''s verification of itself, and the findings reported so far, so that each is
   reported once; also the size of the checkpoint whose successor is overdue (null: none), and when
   entries outside of the open partitions were reported. Not audited: it changes with every run.';
comment on column bulwark_private.audit_check_progress.passed_at is
  'When the last pass over the whole log without a problem ended; checked_at: when a part was last
   verified; problem_at: when a part last had a problem.';
insert into bulwark_private.audit_check_progress default values;
alter table bulwark_private.audit_check_progress enable row level security;

create function bulwark_private.raise_audit_alarm(action text, resource_type text, details jsonb)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform bulwark_private.append_audit_entry(
    'system.error', resource_type => raise_audit_alarm.resource_type,
    action => raise_audit_alarm.action, severity => 'critical', result => 'failure',
    details => raise_audit_alarm.details
  );
  perform bulwark.raise_security_event(
    'audit_' || action, null, null, raise_audit_alarm.resource_type, raise_audit_alarm.details
  );
end;
$$;
comment on function bulwark_private.raise_audit_alarm(text, text, jsonb) is
  'Raises an alarm: a critical entry of the installation and the security event audit_<action>.
   Every alarm of the log goes through here.';

create function bulwark_private.audit_unsigned_since()
  returns timestamptz
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_last bulwark.audit_checkpoints;
begin
  select * into v_last from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  -- Without any known key checkpoints are not set up; audit_status says so, without an alarm. With
  -- a known key and no checkpoint, checkpoints were deleted.
  if v_last.tree_size is null and not exists (select from bulwark.audit_keys) then
    return null;
  end if;
  return (
    -- A seal that continues another has its time, and may be younger than the checkpoint.
    select case
      when p.through is null then s.sealed_at else greatest(s.sealed_at, v_last.signed_at)
    end
    from bulwark_private.audit_seals s
    left join bulwark_private.audit_seals p on p.number = s.number - 1
    where s.number = coalesce(v_last.tree_size, 0) + 1
  );
end;
$$;
comment on function bulwark_private.audit_unsigned_since() is
  'Since when the oldest seal without a signature waits for it; null: none does, or checkpoints are
   not set up.';

create function bulwark_private.report_missing_checkpoint()
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_interval constant interval := make_interval(
    secs => (bulwark_private.setting('audit.checkpoint_interval_seconds'))::integer
  );
  v_overdue bigint;
  v_reported bigint;
  v_waiting constant timestamptz := bulwark_private.audit_unsigned_since();
begin
  if v_waiting < now() - 3 * v_interval then
    select coalesce(max(c.tree_size), 0) into v_overdue from bulwark.audit_checkpoints c;
  end if;
  -- From the table, not from entries, which others can write.
  select p.overdue_checkpoint into v_reported from bulwark_private.audit_check_progress p;
  if v_overdue is not distinct from v_reported then
    return;
  end if;
  update bulwark_private.audit_check_progress p set overdue_checkpoint = v_overdue;
  if v_overdue is not null then
    perform bulwark_private.raise_audit_alarm(
      'checkpoint_missing', 'bulwark.audit_checkpoints',
      jsonb_build_object('tree_size', v_overdue, 'waiting_since', v_waiting)
    );
  end if;
end;
$$;
comment on function bulwark_private.report_missing_checkpoint() is
  'Raises an alarm, once for each checkpoint, when the next one is overdue.';

create function bulwark_private.report_late_entries(snapshot pg_snapshot)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
  v_first uuid;
  v_last uuid;
begin
  if not exists (select from bulwark_private.audit_late_entries) then
    return;
  end if;
  with sealed as (
    delete from bulwark_private.audit_late_entries l
    where pg_visible_in_snapshot(l.xid, report_late_entries.snapshot)
    returning l.id
  )
  select count(*), (array_agg(s.id order by s.id))[1], (array_agg(s.id order by s.id desc))[1]
  into v_count, v_first, v_last
  from sealed s;
  if v_count = 0 then
    return;
  end if;
  update bulwark_private.audit_check_progress p set late_reported_at = now()
  where p.late_reported_at is null or p.late_reported_at < now() - interval '1 hour';
  if found then
    perform bulwark_private.append_audit_entry(
      'system.error', resource_type => 'bulwark.audit_logs', action => 'partition_missing',
      severity => 'critical', result => 'failure',
      details => jsonb_build_object('entries', v_count, 'first', v_first, 'last', v_last)
    );
  end if;
end;
$$;
comment on function bulwark_private.report_late_entries(pg_snapshot) is
  'Records, at most once an hour, that entries were written into no partition of the present: the
   clock was wrong, or the job that makes partitions does not run. They are sealed like all
   others.';

create function bulwark.report_checkpoint_problem(action text, details jsonb default '{}')
  returns void
  language plpgsql
  volatile
  security definer            -- definer because the service role may not write such entries
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (action in ('checkpoint_refused', 'checkpoint_forged', 'checkpoints_missing')) is not true
    or jsonb_typeof(details) is distinct from 'object' or octet_length(details::text) > 4096 then
    raise exception 'Cannot report checkpoint problem: there is no such problem'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CHECKPOINT_PROBLEM';
  end if;
  perform bulwark_private.append_audit_entry(
    'system.error', resource_type => 'bulwark.audit_checkpoints',
    action => report_checkpoint_problem.action, severity => 'critical', result => 'failure',
    details => report_checkpoint_problem.details
  );
end;
$$;
comment on function bulwark.report_checkpoint_problem(text, jsonb) is
  'Records that a checkpoint was refused, forged or is missing, as a critical entry, which a rule
   turns into a security event. Called by the function that signs, as the service role: only it sees
   signatures and the sink. Errors: AUDIT_INVALID_CHECKPOINT_PROBLEM.';

create function bulwark.check_audit_log(max_entries integer default 1000000)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because no client can read progress and seals
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_failed boolean;
  v_finding text;
  v_progress bulwark_private.audit_check_progress;
  v_verdict record;
begin
  -- A second run waits, and continues where this one stopped.
  select * into v_progress from bulwark_private.audit_check_progress p for update;
  select * into v_verdict from bulwark.verify_audit_log(
    null, null, null, v_progress.after_seal, max_entries, 5
  );
  -- A verdict names only its first finding, so the number of findings is part of the key. Otherwise
  -- one altered entry would hide all later alterations.
  if v_verdict.problem is not null then
    v_finding := concat_ws(
      ' ', v_verdict.problem, v_verdict.seal, v_verdict.entry, v_verdict.problems,
      case when v_verdict.problem <> 'entry_unsealed' then v_verdict.detail end
    );
  end if;
  -- A recorded gap stays and is counted apart: it would hide that the log fails for other reasons.
  v_failed := coalesce(v_verdict.problem <> 'gap_recorded', false);
  if v_finding is not null and v_finding <> all (v_progress.reported) then
    perform bulwark_private.raise_audit_alarm(
      'verification_failed', 'bulwark.audit_logs', to_jsonb(v_verdict)
    );
  end if;
  update bulwark_private.audit_check_progress p
  set after_seal = coalesce(v_verdict.next_after_seal, 0),
      checked_at = clock_timestamp(),
      pass_began_at = case when p.after_seal = 0 then now() else p.pass_began_at end,
      passed_at = case
        when v_verdict.next_after_seal is null and not v_failed
          and (p.after_seal = 0 or coalesce(p.problem_at < p.pass_began_at, p.problem_at is null))
        then clock_timestamp()
        else p.passed_at
      end,
      problem_at = case when v_failed then clock_timestamp() else p.problem_at end,
      reported = case
        when v_finding is not null and v_finding <> all (p.reported)
        then (v_finding || p.reported)[1:100]
        else p.reported
      end;
  return v_verdict.intact and v_verdict.complete;
end;
$$;
comment on function bulwark.check_audit_log(integer) is
  'Verifies the next part of the log, starting over after the end, and raises an alarm once for each
   finding. Returns whether the part is intact and complete. For the scheduler and the service role.
   Errors: AUDIT_INVALID_LIMIT.';

create function bulwark_private.audit_verification_failed(
  progress bulwark_private.audit_check_progress
)
  returns boolean
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(progress.passed_at < progress.problem_at, progress.problem_at is not null);
$$;
comment on function bulwark_private.audit_verification_failed(
  bulwark_private.audit_check_progress
) is
  'Whether the log''s verification of itself found a problem and no whole pass since then did not.';

create function bulwark.audit_status()
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because no client can read seals and audited tables
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_checkpoint bulwark.audit_checkpoints;
  v_seal bulwark_private.audit_seals;
begin
  if not bulwark_private.caller_is_service() then
    perform bulwark_private.require_audit('system:monitor', null);
  end if;
  select * into v_seal from bulwark_private.audit_seals s order by s.number desc limit 1;
  select * into v_checkpoint from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  return jsonb_build_object(
    'timeline', (select max(e.timeline) from bulwark_private.audit_timelines e),
    'settled', bulwark_private.audit_log_is_settled(),
    'restore_problems', (
      select coalesce(jsonb_agg(distinct concat_ws(' ', p.problem, p.object, p.grantee)), '[]')
      from bulwark_private.restore_problems() p
    ),
    'last_seal', v_seal.number,
    'sealed_at', v_seal.sealed_at,
    'overdue_entries', (select u.entries from bulwark_private.audit_unsealed(true, null) u),
    'checkpoint_size', v_checkpoint.tree_size,
    'checkpoint_at', v_checkpoint.signed_at,
    'undelivered_checkpoints', (
      select count(*) from bulwark.audit_checkpoints c where c.delivered_at is null
    ),
    'archived_through_seal', bulwark_private.audit_archived_through(),
    'archived_through_month', (
      select max(a.month) from bulwark.audit_archives a where a.archived_at is not null
    ),
    'gaps', (select count(*) from bulwark_private.audit_gaps),
    'audited_tables', (
      select count(*) from bulwark_private.audit_watched_tables g where g.captures
    ),
    'touched_objects', (
      select coalesce(jsonb_agg(g.relation::text order by g.relation::text), '[]')
      from bulwark_private.audit_watched_tables g
      where g.fingerprint is distinct from bulwark_private.audit_fingerprint(g.relation)
    )
  );
end;
$$;
comment on function bulwark.audit_status() is
  'Status of the log: seals, overdue entries, checkpoints, deliveries, gaps, watched objects, and
   what a restore lost or left open (settled is false until the first seal after it). For the
   service role and a super_admin. Errors: RBAC_PERMISSION_DENIED.';

-- Audit queries: searches the log page by page.
-- Protects against readers of other organizations (row-level security, audit:read), and against a
-- search that reads for minutes: a step is bounded, and a page ends with a cursor.
-- SECURITY DEFINER: find_audit_entries, because it reads partitions, which are open to nobody.

-- In each partition the BRIN index is the only one that can answer: the conditions on id and
-- organization are written so that no other index matches them. So the plan does not depend on
-- statistics.
create function bulwark_private.audit_entries_with(
  key text,
  value text,
  low uuid,
  high uuid,
  most integer,
  organization uuid default null
)
  returns table (id uuid, organization_id uuid)
  language plpgsql
  stable
  rows 100
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = on    -- off in callers, and BRIN has no other scan
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_first constant timestamptz := bulwark_private.audit_id_time(low) - interval '1 second';
  v_last constant timestamptz := bulwark_private.audit_id_time(high) + interval '1 second';
  v_left integer := most;
  v_partition regclass;
begin
  if key = any (array['actor_id', 'correlation_id', 'resource_id']) is not true then
    raise exception 'Cannot search the audit log: no index has this column'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  for v_partition in
    select p.relation
    from bulwark_private.audit_partitions p
    where p.is_default
      or p.low < audit_entries_with.high and p.high > audit_entries_with.low
    order by p.low desc nulls last
  loop
    for id, organization_id in execute format(
      $query$
        select e.id, e.organization_id
        from %s e
        where e.%I = $1::%s and e.occurred_at >= $2 and e.occurred_at <= $3
          and (e.id >= $4 and e.id < $5) is true
          and ($6 is null or e.organization_id = $6) is true
        limit $7
      $query$, v_partition, key, case key when 'resource_id' then 'text' else 'uuid' end
    )
    using value, v_first, v_last, low, high, organization, v_left
    loop
      v_left := v_left - 1;
      return next;
    end loop;
    exit when v_left <= 0;
  end loop;
end;
$$;
comment on function bulwark_private.audit_entries_with(text, text, uuid, uuid, integer, uuid) is
  'The entries with ids from low up to high, in no order, whose actor_id, correlation_id or
   resource_id is the value: at most so many, of one organization or (null) of all. Errors:
   AUDIT_INVALID_SEARCH.';

create function bulwark_private.find_audit_entries(
  key text,
  value text,
  low uuid,
  high uuid,
  most integer
)
  returns uuid[]
  language plpgsql
  stable
  security definer            -- definer because partitions are open to nobody
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_everybody constant boolean := bulwark_private.caller_is_service() or bulwark.is_super_admin();
  v_count integer;
  v_found uuid[];
  v_organizations uuid[];
begin
  if not v_everybody then
    v_organizations := array(select bulwark_private.audited_organizations());
  end if;
  select
    count(*),
    coalesce(
      array_agg(e.id) filter (where v_everybody or e.organization_id = any (v_organizations)), '{}'
    )
  into v_count, v_found
  from bulwark_private.audit_entries_with(key, value, low, high, most) e;
  return case when v_count < most then v_found end;
end;
$$;
comment on function bulwark_private.find_audit_entries(text, text, uuid, uuid, integer) is
  'The ids of the entries that audit_entries_with finds and the caller may read; null if there are
   at least so many, in whichever organization, that a narrower range has to be asked for.';

create function bulwark_private.audit_entry_below(
  high uuid,
  low uuid,
  place integer,
  everybody boolean,
  organizations uuid[]
)
  returns uuid
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
begin
  return (
    select l.id
    from (
      (
        select e.id from bulwark.audit_logs e
        where everybody and e.id < high and e.id >= low
        order by e.id desc
        offset place limit 1
      )
      union all
      -- Sorted by both columns of the index, so that no other can be taken for a faster one. Only
      -- the conditions on the id alone leave partitions out.
      select e.id
      from unnest(organizations) as o (id)
      cross join lateral (
        select k.id from bulwark.audit_logs k
        where k.id < high and k.id >= low
          and (k.organization_id, k.id) < (o.id, high)
          and (k.organization_id, k.id) >= (o.id, low)
        order by k.organization_id desc, k.id desc
        offset place limit 1
      ) e
    ) l
    order by l.id desc
    limit 1
  );
end;
$$;
comment on function bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]) is
  'The entry at a place (from 0) below an id, newest first, as far as the caller may read: of all
   entries, or the newest of those of some organizations, each counted by itself. Null: none from
   low on.';

create function bulwark.search_audit_logs(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  results bulwark.audit_result[] default null,
  actor_id uuid default null,
  resource_type text default null,
  resource_id text default null,
  correlation_id uuid default null,
  search text default null,
  before uuid default null,
  page_size integer default 50,
  max_entries integer default 1000000
)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_all boolean := organization_id is null;
  v_archived jsonb;
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_entries jsonb := '[]'::jsonb;
  v_floor uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  v_found uuid[];
  v_from timestamptz := since;
  -- The column with an index, of those that are asked for the one that fits the fewest entries.
  v_key constant text := case
    when correlation_id is not null then 'correlation_id'
    when resource_id is not null then 'resource_id'
    when actor_id is not null then 'actor_id'
  end;
  v_last uuid;
  v_left integer := max_entries;
  v_low uuid;
  v_organizations uuid[] := array[organization_id];
  v_page jsonb;
  v_pattern constant text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_started timestamptz;
  -- The length of the range that the index is asked for next; null: read some entries first.
  v_window interval;
begin
  if page_size between 1 and 1000 is not true or max_entries between 1 and 10000000 is not true then
    raise exception 'Cannot search the audit log: a page has 1 to 1000 entries of 1 to 10,000,000'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot search the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if length(search) not between 2 and 200 then
    raise exception 'Cannot search the audit log: a search has 2 to 200 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  if exists (
    select from unnest(event_types) as t
    where not exists (select from bulwark.audit_event_types k where k.name = t)
  ) then
    raise exception 'Cannot search the audit log: an event type is not in the catalogue'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_UNKNOWN_EVENT_TYPE',
            hint = 'List them with: select name from audit_event_types';
  end if;
  -- Text has no index, so a search without a range of time covers the last month.
  if search is not null and v_from is null then
    v_from := coalesce(until, now()) - interval '31 days';
  end if;
  v_archived := bulwark_private.archived_audit_months(organization_id, v_from, until);
  if v_from is not null then
    -- The time of an entry is that of its id, rounded to a microsecond.
    v_floor := bulwark_private.audit_id_floor(v_from - interval '1 microsecond');
  end if;
  if until is not null then
    v_before := least(
      v_before, bulwark_private.audit_id_floor(until + interval '1 millisecond')
    );
  end if;
  -- Row-level security decides; this only keeps a step from reading what nobody may see.
  if current_user = 'authenticated' then
    -- Within, because the service role may not even name these functions.
    if not v_all then
      perform bulwark.require_permission('audit:read', organization_id);
    end if;
    if not bulwark.is_super_admin() then
      v_organizations := array(
        select o from bulwark.organizations_with('audit:read') as o
        where v_all or o = organization_id
      );
      v_all := false;
    end if;
  end if;
  -- Step by step, because a filter may match nothing among millions of entries. A value that is
  -- rare is found by the index, in ranges that grow; a frequent one by reading entries in order.
  loop
    v_step_started := clock_timestamp();
    v_found := null;
    if v_window is not null then
      -- The range ends at the next entry, so that times without any take no step.
      v_low := bulwark_private.audit_entry_below(v_before, v_floor, 0, v_all, v_organizations);
      exit when v_low is null;
      v_low := greatest(
        v_floor,
        bulwark_private.audit_id_floor(bulwark_private.audit_id_time(v_low) - v_window)
      );
      v_found := bulwark_private.find_audit_entries(
        v_key, coalesce(correlation_id::text, resource_id, actor_id::text), v_low, v_before, 500
      );
      if v_low = v_floor then
        v_low := null;
      end if;
    end if;
    if v_found is not null then
      v_left := v_left - cardinality(v_found);
      v_window := least(v_window * 8, interval '100 years');
    else
      v_step := least(v_step, v_left);
      v_low := bulwark_private.audit_entry_below(
        v_before, v_floor, v_step, v_all, v_organizations
      );
      v_left := v_left - v_step;
      if v_key is not null then
        v_window := 8 * greatest(
          least(bulwark_private.audit_id_time(v_before), clock_timestamp())
            - bulwark_private.audit_id_time(v_low),
          interval '1 second'
        );
      end if;
    end if;
    select jsonb_agg(to_jsonb(f) order by f.id desc), (array_agg(f.id order by f.id))[1]
    into v_page, v_last
    from (
      select e.*
      from (
        select * from bulwark.audit_logs k
        where v_found is null and v_all and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.*
        from unnest(v_found) as found (id)
        cross join lateral (
          select * from bulwark.audit_logs i where i.id = found.id
        ) k
        where v_all or k.organization_id = any (v_organizations)
        union all
        select k.*
        from unnest(case when v_found is null then v_organizations end) as o (id)
        cross join lateral (
          select * from bulwark.audit_logs i
          where i.id < v_before and i.id >= coalesce(v_low, v_floor)
            and (i.organization_id, i.id) < (o.id, v_before)
            and (i.organization_id, i.id) >= (o.id, coalesce(v_low, v_floor))
          order by i.organization_id desc, i.id desc
        ) k
      ) e
      where (v_from is null or e.occurred_at >= v_from)
        and (until is null or e.occurred_at <= until)
        and (event_types is null or e.event_type = any (event_types))
        and (severities is null or e.severity = any (severities))
        and (results is null or e.result = any (results))
        and (search_audit_logs.actor_id is null or e.actor_id = search_audit_logs.actor_id)
        and (search_audit_logs.resource_type is null
          or e.resource_type = search_audit_logs.resource_type)
        and (search_audit_logs.resource_id is null
          or e.resource_id = search_audit_logs.resource_id)
        and (search_audit_logs.correlation_id is null
          or e.correlation_id = search_audit_logs.correlation_id)
        and (search is null or concat_ws(
          ' ', e.event_type, e.resource_type, e.resource_id, e.action, e.before, e.after, e.details
        ) ilike v_pattern)
      order by e.id desc
      limit page_size - jsonb_array_length(v_entries)
    ) f;
    v_entries := v_entries || coalesce(v_page, '[]');
    if jsonb_array_length(v_entries) = page_size then
      return jsonb_build_object('entries', v_entries, 'next', v_last, 'archived', v_archived);
    end if;
    v_before := v_low;
    exit when v_low is null or v_left <= 0
      or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '200 milliseconds' then
      v_step := least(v_step * 2, 64000);
    end if;
  end loop;
  return jsonb_build_object('entries', v_entries, 'next', v_low, 'archived', v_archived);
end;
$$;
comment on function bulwark.search_audit_logs(
  uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[], bulwark.audit_result[], uuid,
  text, text, uuid, text, uuid, integer, integer
) is
  'A page of the entries that the caller may read and that match all given filters, newest first:
   { entries, next, archived }. archived lists the months of that time whose entries are in the
   archive and not here, such as 2026-01. Pass next as before to continue; null: there are no more.
   A page has fewer entries than page_size, or none, if it would read more than max_entries, in each
   organization, or for longer than about two seconds. Organization, time, actor, resource_id and
   correlation use an index. search looks for text in resource, action and payload, by default of
   the last 31 days. Errors: AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_SEARCH,
   AUDIT_UNKNOWN_EVENT_TYPE, and for an organization that is named and closed
   RBAC_PERMISSION_DENIED or MFA_REQUIRED.';

-- Audit exports: the log in the order it was sealed, page by page, and how far each caller has
-- exported it, so that an export of many pages, or of a log that is followed, is charged once.
-- Protects against unrecorded exports (audit:export, itself an entry), and against requests that
-- claim to continue an export in order not to be charged: only one request at a time continues,
-- where the one before it ended. A request that goes back starts another export.
-- SECURITY DEFINER: export_audit_log, because no client can read seals and it records itself;
--   continue_audit_export and note_audit_export, because clients may not write their own progress.

create table bulwark_private.audit_exports (
  caller uuid not null,
  organization_id uuid,
  seal bigint not null,
  place bigint not null,
  under_way boolean not null,
  noted_at timestamptz not null default now(),
  constraint audit_exports_is_one unique nulls not distinct (caller, organization_id)
);
comment on table bulwark_private.audit_exports is
  'Progress of users and API keys in exporting the log of an organization (null: the entries without
   one). Kept for a day and without foreign keys, because the log outlives organizations and
   accounts. Not audited: each page of an export is.';
comment on column bulwark_private.audit_exports.under_way is
  'Whether a request is reading on from there. A request that breaks off leaves it true; the next
   one is another export.';
alter table bulwark_private.audit_exports enable row level security;

create function bulwark.continue_audit_export(
  caller uuid,
  after text,
  organization_id uuid default null
)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because clients may not write their own progress
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_place bigint;
  v_seal bigint;
begin
  if after is null or after !~ '^[0-9]{1,15}:[0-9]{1,15}$' then
    return false;
  end if;
  v_seal := split_part(after, ':', 1)::bigint;
  v_place := split_part(after, ':', 2)::bigint;
  update bulwark_private.audit_exports e
  set seal = v_seal, place = v_place, under_way = true, noted_at = now()
  where e.caller = caller
    and e.organization_id is not distinct from organization_id
    and not e.under_way
    and (e.seal, e.place) <= (v_seal, v_place);
  return found;
end;
$$;
comment on function bulwark.continue_audit_export(uuid, text, uuid) is
  'Whether a request continues an export of this caller (service role only): it starts where the
   last one ended, or later, and no other request is continuing.';

create function bulwark.note_audit_export(
  caller uuid,
  reached text,
  begins boolean,
  ends boolean,
  organization_id uuid default null
)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because clients may not write their own progress
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  insert into bulwark_private.audit_exports as e (caller, organization_id, seal, place, under_way)
  values (
    caller, organization_id, split_part(reached, ':', 1)::bigint,
    split_part(reached, ':', 2)::bigint, not ends
  )
  on conflict on constraint audit_exports_is_one do update
    set seal = excluded.seal, place = excluded.place, under_way = excluded.under_way,
        noted_at = excluded.noted_at
    -- A late page never moves the progress back.
    where begins or (excluded.seal, excluded.place) >= (e.seal, e.place);
end;
$$;
comment on function bulwark.note_audit_export(uuid, text, boolean, boolean, uuid) is
  'Records where a page of an export ended (service role only). A page that begins an export resets
   the progress; after a page that ends a request another request may continue.';

create function bulwark.export_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 1000,
  since timestamptz default null,
  until timestamptz default null,
  signed boolean default false,
  purpose text default null
)
  returns json
  language plpgsql
  volatile
  security definer            -- definer because no client can read seals and it records itself
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_cursor text := after;
  v_entries text;
  v_bytes bigint := 0;
  v_first bigint;
  v_first_seal bigint;
  v_found bigint;
  v_from bigint;
  v_group bulwark_private.audit_groups;
  v_groups text[] := array[]::text[];
  v_left integer := page_size;
  v_news boolean := false;
  v_next text;
  v_page bigint;
  v_place bigint := 0;
  v_proved bigint;
  -- Archived entries are in files, so an export begins after them, as after pruned ones.
  v_pruned constant bigint := nullif(
    greatest(
      (select max(r.through_seal) from bulwark_private.audit_prunings r),
      bulwark_private.audit_archived_through()
    ), 0
  );
  v_range bulwark_private.audit_range;
  v_read integer := 0;
  v_seal bigint := 0;
  v_signed constant bigint := (select max(c.tree_size) from bulwark.audit_checkpoints c);
  v_size bigint;
  v_span record;
  v_started constant timestamptz := clock_timestamp();
  v_upto bigint := v_signed;
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  if page_size is null or page_size not between 1 and 5000 then
    raise exception 'Cannot export the audit log: a page has 1 to 5000 entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot export the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if length(purpose) not between 1 and 100 or purpose ~ '[[:cntrl:]]' then
    raise exception 'Cannot export the audit log: a purpose has 1 to 100 printable characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_TEXT';
  end if;
  if after is not null then
    if after !~ '^[0-9]{1,15}:[0-9]{1,15}$' then
      raise exception 'Cannot export the audit log: the cursor is not one of its own'
        using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CURSOR',
              hint = 'Pass on the value of next or cursor from the page before';
    end if;
    v_seal := split_part(after, ':', 1)::bigint;
    v_place := split_part(after, ':', 2)::bigint;
  end if;

  v_from := greatest(v_seal, v_pruned + 1);
  if since is not null then
    v_from := greatest(v_from, coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at >= since
        order by s.sealed_at, s.number
        limit 1
      ),
      9223372036854775807
    ));
  end if;
  if signed is not true then
    v_upto := null;
  end if;
  if until is not null then
    v_upto := least(v_upto, coalesce(
      (
        select s.number from bulwark_private.audit_seals s
        where s.sealed_at <= until
        order by s.sealed_at desc, s.number desc
        limit 1
      ),
      0
    ));
  end if;

  select s.first_id, s.last_id into v_span
  from (
    select min(g.seal) as first, max(g.seal) as last
    from bulwark_private.audit_groups_of(export_audit_log.organization_id, v_from, v_upto) g
  ) g
  cross join lateral bulwark_private.audit_span(g.first, g.last) s;
  for v_group in
    select * from bulwark_private.audit_groups_of(
      export_audit_log.organization_id, v_from, v_upto
    )
  loop
    v_read := v_read + 1;
    continue when v_group.seal = v_seal and v_group.entry_count <= v_place;
    -- A page is limited in entries, bytes and time, so that it stays below the statement timeout.
    -- It has at least one group, however long that waited: otherwise it would look like the end.
    if v_left = 0 or v_bytes > 4194304
      or v_groups <> '{}' and clock_timestamp() - v_started > interval '3 seconds' then
      v_next := v_cursor;
      exit;
    end if;
    v_first := case when v_group.seal = v_seal then v_place else 0 end;
    select (r.range).* into v_range
    from bulwark_private.audit_seal_ranges r where r.number = v_group.seal;
    with found as materialized (
      select m.id, row_number() over w as place, sum(m.size) over w as bytes
      from (
        select * from bulwark_private.audit_entries(
          v_range, false, export_audit_log.organization_id, false, (v_first + v_left)::integer,
          v_span.first_id, v_span.last_id
        ) e
        order by e.timeline, e.xid, e.id
        offset v_first
      ) m
      window w as (order by m.timeline, m.xid, m.id)
    )
    select
      string_agg(
        concat(
          '{', c.members,
          -- The sealed leaf at this position: shows which entry was altered.
          ',"leaf":', coalesce('"' || encode(nullif(
            substring(
              v_group.leaves from ((v_first + f.place - 1) * 32 + 1)::integer for 32
            ), ''
          ), 'base64') || '"', 'null'), '}'
        ), ','
        order by f.place
      ),
      count(*),
      coalesce(max(f.bytes), 0),
      (select count(*) from found),
      v_news or coalesce(
        bool_or(
          (c.source, c.event_type, c.action)
            is distinct from ('system'::bulwark.audit_source, 'data.export', 'export_audit_log')
        ),
        false
      )
    into v_entries, v_page, v_size, v_found, v_news
    from found f
    -- The limit keeps this a look-up, whatever the statistics say.
    cross join lateral (
      select r.members, r.source, r.event_type, r.action
      from bulwark_private.audit_records r where r.id = f.id limit 1
    ) c
    -- A page is bounded within a group, too; its first entry always fits.
    where f.bytes <= 4194304 - v_bytes or f.place = 1;
    v_groups := array_append(v_groups, concat(
      left(bulwark_private.audit_group_json(v_group)::text, -1),
      ',"first":', v_first, ',"entries":[', v_entries, ']}'
    ));
    v_first_seal := coalesce(v_first_seal, v_group.seal);
    if v_group.seal <= v_signed or v_signed is null then
      v_proved := v_group.seal;
    end if;
    v_bytes := v_bytes + v_size;
    v_left := v_left - v_page;
    v_cursor := format('%s:%s', v_group.seal, v_first + v_page);
    -- If rows are missing the group ends before its count; the next page must not start here again.
    if v_page >= v_found and (v_first + v_page >= v_group.entry_count or v_left > 0) then
      v_cursor := format('%s:%s', v_group.seal, v_group.entry_count);
    else
      v_next := v_cursor;
      exit;
    end if;
  end loop;
  -- The function that lists groups stops after a thousand.
  if v_read = 1000 then
    v_next := v_cursor;
  end if;

  -- A page that contains only records of exports is not recorded. Otherwise a follower would never
  -- reach the end of the log.
  if v_news then
    perform bulwark_private.append_audit_entry(
      'data.export',
      organization_id => export_audit_log.organization_id,
      resource_type => 'bulwark.audit_logs',
      action => 'export_audit_log',
      details => jsonb_build_object(
        'after', after, 'entries', page_size - v_left, 'cursor', v_cursor
      ) || jsonb_strip_nulls(jsonb_build_object('purpose', purpose))
    );
  end if;
  return json_build_object(
    'groups', concat('[', array_to_string(v_groups, ','), ']')::json,
    'entries', page_size - v_left,
    'next', v_next,
    'cursor', v_cursor,
    'pruned', (
      select v_pruned
      from bulwark_private.audit_group_before(export_audit_log.organization_id, v_pruned + 1)
    ),
    -- The group that the first one chains to, which proves that nothing is left out between them.
    'previous', (
      select bulwark_private.audit_group_json(g)
      from bulwark_private.audit_group_before(
        export_audit_log.organization_id, v_first_seal
      ) g
    ),
    'proof', bulwark_private.audit_group_proof(v_proved, export_audit_log.organization_id)
  );
end;
$$;
comment on function bulwark.export_audit_log(
  uuid, text, integer, timestamptz, timestamptz, boolean, text
) is
  'A page of an organization''s log (audit:export there; null: the entries without an organization,
   for a super_admin and the service role) in the order it was sealed, with its proof. next requests
   the next page and is null at the end. A follower continues later at cursor: no entry is ever
   sealed before it. signed ends the log at the newest checkpoint, so that all of it can be proved.
   Archived entries are not exported again: pruned is the seal up to which they, or pruned ones, are
   missing. Each page is recorded as data.export, with the purpose as the caller gives it. Errors:
   AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT, AUDIT_INVALID_RANGE, AUDIT_INVALID_TEXT,
   RBAC_PERMISSION_DENIED.';

-- Audit histogram: counts of an organization's entries over time, for charts.
-- Protects against readers of other organizations (audit:read), and against a chart of a large log
-- that runs into the statement timeout: a call counts for about two seconds, then gives a cursor.
-- SECURITY DEFINER: audit_histogram, because row-level security would find out for each step again
--   which organizations the caller may read; one check precedes all steps.

create function bulwark.audit_histogram(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null,
  bucket interval default '1 hour',
  group_by text default null,
  before uuid default null,
  event_types text[] default null,
  severities bulwark.audit_severity[] default null,
  actor_id uuid default null,
  resource_id text default null,
  search text default null
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each step again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  -- A Monday, so that buckets of seven days are weeks.
  c_origin constant timestamptz := timestamptz '2000-01-03T00:00:00Z';
  v_until constant timestamptz := coalesce(until, now());
  v_since constant timestamptz := coalesce(since, v_until - interval '1 day');
  v_before uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
  v_counts jsonb := '[]'::jsonb;
  v_floor uuid;
  v_low uuid;
  v_pattern constant text := '%'
    || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
  v_started constant timestamptz := clock_timestamp();
  v_step integer := 1000;
  v_step_counts jsonb;
  v_step_started timestamptz;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if not (isfinite(v_since) and isfinite(v_until)) or v_since > v_until
    or v_since > now() + interval '1 day' then
    raise exception 'Cannot count the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  -- Months differ in length. Longer ones than a century would overflow.
  if bucket is null or extract(year from bucket) <> 0 or extract(month from bucket) <> 0
    or bucket < interval '1 second' or bucket > interval '36525 days'
    or v_until - v_since > 1000 * bucket then
    raise exception 'Cannot count the audit log: a range has up to 1000 buckets of days or less'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_BUCKET',
            hint = 'Choose longer buckets, such as ''1 day'', or a shorter range';
  end if;
  if group_by <> all (
    '{event_type,category,severity,result,source,actor_type,resource_type}'::text[]
  ) then
    raise exception 'Cannot count the audit log: entries cannot be grouped by that'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_GROUP',
            hint = 'One of event_type, category, severity, result, source, actor_type, '
              'resource_type';
  end if;
  if length(search) not between 2 and 200 then
    raise exception 'Cannot count the audit log: a search has 2 to 200 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_SEARCH';
  end if;
  v_floor := bulwark_private.audit_id_floor(v_since - interval '1 microsecond');
  v_before := least(v_before, bulwark_private.audit_id_floor(v_until + interval '1 millisecond'));
  loop
    v_step_started := clock_timestamp();
    select l.id into v_low
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.id from bulwark.audit_logs e
        where (e.organization_id, e.id) < (audit_histogram.organization_id, v_before)
          and (e.organization_id, e.id) >= (audit_histogram.organization_id, v_floor)
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
      union all
      (
        select e.id from bulwark.audit_logs e
        where audit_histogram.organization_id is null and e.organization_id is null
          and e.id < v_before and e.id >= v_floor
        order by e.organization_id desc, e.id desc
        offset v_step limit 1
      )
    ) l;
    select jsonb_agg(to_jsonb(g)) into v_step_counts
    from (
      select date_bin(bucket, e.occurred_at, c_origin) as at,
        case group_by
          when 'event_type' then e.event_type
          when 'category' then split_part(e.event_type, '.', 1)
          when 'severity' then e.severity::text
          when 'result' then e.result::text
          when 'source' then e.source::text
          when 'actor_type' then e.actor_type::text
          when 'resource_type' then e.resource_type
        end as label,
        count(*)
      from (
        select k.* from bulwark.audit_logs k
        where k.organization_id = audit_histogram.organization_id
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
        union all
        select k.* from bulwark.audit_logs k
        where audit_histogram.organization_id is null and k.organization_id is null
          and k.id < v_before and k.id >= coalesce(v_low, v_floor)
      ) e
      where e.occurred_at >= v_since and e.occurred_at <= v_until
        and (event_types is null or e.event_type = any (event_types))
        and (severities is null or e.severity = any (severities))
        and (audit_histogram.actor_id is null or e.actor_id = audit_histogram.actor_id)
        and (audit_histogram.resource_id is null or e.resource_id = audit_histogram.resource_id)
        and (search is null or concat_ws(
          ' ', e.event_type, e.resource_type, e.resource_id, e.action, e.before, e.after, e.details
        ) ilike v_pattern)
      group by 1, 2
    ) g;
    v_counts := v_counts || coalesce(v_step_counts, '[]');
    v_before := v_low;
    exit when v_low is null or clock_timestamp() - v_started > interval '2 seconds';
    if clock_timestamp() - v_step_started < interval '100 milliseconds' then
      v_step := least(v_step * 2, 16000);
    end if;
  end loop;
  return jsonb_build_object(
    'since', v_since,
    'until', v_until,
    'buckets', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.at, t.label), '[]')
      from (
        select c.at, c.label, sum(c.count) as count
        from jsonb_to_recordset(v_counts) as c (at timestamptz, label text, count bigint)
        group by c.at, c.label
      ) t
    ),
    'next', v_low
  );
end;
$$;
comment on function bulwark.audit_histogram(
  uuid, timestamptz, timestamptz, interval, text, uuid, text[], bulwark.audit_severity[], uuid,
  text, text
) is
  'Counts the entries of an organization (audit:read there; null: those without one, for a
   super_admin and the service role) by bucket of time: { since, until, buckets, next }, where
   buckets is a list of { at, label, count } without empty ones. Buckets are aligned to UTC, those
   of seven days to Mondays. Default: the last day, by hour. group_by is event_type, category,
   severity, result, source, actor_type or resource_type; without it label is null. It counts the
   entries that match all given filters, as search_audit_logs does, from the newest backwards, for
   about two seconds: if next is not null, pass it as before, with the same since, until and
   filters, and add the counts. Errors: AUDIT_INVALID_RANGE, AUDIT_INVALID_BUCKET,
   AUDIT_INVALID_GROUP, AUDIT_INVALID_SEARCH, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

-- Audit periods: the part of the sealed log from which a period can be proved. It has one entry
-- that was sealed before the period and one that was sealed after it. Their signed seals prove
-- that nothing of the period is missing, so nobody has to believe this function.
-- Protects against readers of other organizations (audit:export).
-- SECURITY DEFINER: audit_period, because no client can read seals.

create function bulwark.audit_period(
  organization_id uuid default null,
  since timestamptz default null,
  until timestamptz default null
)
  returns table (after text, through text, entries bigint)
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_before bulwark_private.audit_groups;
  v_behind bulwark_private.audit_groups;
  v_first bigint;
  v_gone bigint;
  v_last bigint;
  v_signed constant bigint := coalesce(
    (select max(c.tree_size) from bulwark.audit_checkpoints c), 0
  );
begin
  perform bulwark_private.require_audit('audit:export', organization_id);
  if not (isfinite(since) and isfinite(until)) or since > until
    or since > now() + interval '1 day' then
    raise exception 'Cannot export the audit log: the range of time is empty or lies ahead'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RANGE';
  end if;
  if since is not null then
    select s.number into v_first
    from bulwark_private.audit_seals s
    where s.sealed_at >= since
    order by s.sealed_at, s.number
    limit 1;
    select * into v_before
    from bulwark_private.audit_group_before(
      audit_period.organization_id, least(v_first, v_signed + 1)
    );
    after := v_before.seal || ':' || (v_before.entry_count - 1);
  end if;
  select s.number into v_last
  from bulwark_private.audit_seals s
  where s.sealed_at >= until
  order by s.sealed_at, s.number
  limit 1;
  if v_last is not null then
    select * into v_behind
    from bulwark_private.audit_groups_of(audit_period.organization_id, v_last, v_signed)
    limit 1;
    through := v_behind.seal || ':1';
  end if;
  -- An export begins after what was pruned or archived.
  select g.entries_before + g.entry_count into v_gone
  from bulwark_private.audit_group_before(
    audit_period.organization_id,
    greatest(
      (select max(r.through_seal) from bulwark_private.audit_prunings r),
      bulwark_private.audit_archived_through()
    ) + 1
  ) g;
  entries := greatest(0, coalesce(
    v_behind.entries_before + 1,
    (
      select g.entries_before + g.entry_count
      from bulwark_private.audit_group_before(audit_period.organization_id, v_signed + 1) g
    ),
    0
  ) - greatest(v_before.entries_before + v_before.entry_count - 1, v_gone, 0));
  return next;
end;
$$;
comment on function bulwark.audit_period(uuid, timestamptz, timestamptz) is
  'The cursors between which an organization''s log (audit:export there; null: the entries without
   one, for a super_admin and the service role) proves all that was sealed from since and before
   until. after is null if nothing was sealed before; through is null if nothing signed was sealed
   since, so that an export ends with the log. entries counts what lies between them. Errors:
   AUDIT_INVALID_RANGE, RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

-- Audit tail: the entries that are new since a cursor, and how far an organization's log is sealed
-- and signed. Screens poll them.
-- Protects against readers of other organizations (audit:read), and against a follower that misses
-- an entry because its transaction committed after that of a newer one.
-- SECURITY DEFINER: tail_audit_log, because row-level security would find out at each poll which
--   organizations the caller may read; audit_coverage, because no client can read seals.

-- A cursor has the snapshot of the last poll, so that entries count as new if that one could not
-- see them, whatever their time is. The floor bounds the search: entries that were not yet visible
-- are not older. It stays behind while a transaction goes on that the last poll had to leave out.
create type bulwark_private.audit_tail as (
  timeline integer,
  polled_at timestamptz,
  floor timestamptz,
  seen pg_snapshot,
  -- Only while more than a page is new: the last entry given, and the snapshot of the first page.
  last uuid,
  next_polled_at timestamptz,
  next_floor timestamptz,
  seeing pg_snapshot
);
comment on type bulwark_private.audit_tail is 'The cursor of a follower of the log, decoded.';

create function bulwark_private.read_audit_tail(cursor text)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_tail bulwark_private.audit_tail;
begin
  v_tail := convert_from(decode(cursor, 'base64'), 'UTF8')::bulwark_private.audit_tail;
  if num_nulls(v_tail.timeline, v_tail.polled_at, v_tail.floor, v_tail.seen) = 0
    and isfinite(v_tail.polled_at) and isfinite(v_tail.floor)
    and num_nulls(v_tail.last, v_tail.next_polled_at, v_tail.next_floor, v_tail.seeing) in (0, 4)
  then
    return v_tail;
  end if;
  raise invalid_text_representation;
exception
  when data_exception then
    raise exception 'Cannot follow the audit log: the cursor is not one of its own'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_CURSOR',
            hint = 'Pass on the value of cursor from the call before';
end;
$$;
comment on function bulwark_private.read_audit_tail(text) is
  'Decodes the cursor of a follower. Raises AUDIT_INVALID_CURSOR.';

create function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail)
  returns bulwark_private.audit_tail
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- An entry is stamped before its transaction may get its number, and clocks are set back a
  -- little.
  c_leeway constant interval := interval '5 seconds';
  v_now constant timestamptz := clock_timestamp();
begin
  tail.seeing := pg_current_snapshot();
  tail.next_polled_at := v_now;
  tail.next_floor := greatest(v_now - interval '1 hour', case
    when not exists (select from pg_snapshot_xip(tail.seeing)) then v_now - c_leeway
    when exists (
      select from pg_snapshot_xip(tail.seeing) as x where x < pg_snapshot_xmax(tail.seen)
    ) then tail.floor
    -- All that are under way began after the last poll.
    else tail.polled_at - c_leeway
  end);
  return tail;
end;
$$;
comment on function bulwark_private.next_audit_tail(bulwark_private.audit_tail) is
  'The cursor with the snapshot of this poll, and how far back the next one must look: at most an
   hour.';

create function bulwark.tail_audit_log(
  organization_id uuid default null,
  after text default null,
  page_size integer default 50
)
  returns jsonb
  language plpgsql
  stable
  security definer            -- definer because row-level security would decide at each poll again
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_entries jsonb;
  v_floor uuid;
  v_last uuid;
  v_tail bulwark_private.audit_tail;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  if page_size between 1 and 1000 is not true then
    raise exception 'Cannot follow the audit log: a page has 1 to 1000 entries'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  if after is null then
    v_tail := bulwark_private.next_audit_tail(null);
    select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') into v_entries
    from (
      -- Sorted by both columns of the index, so that no other can be taken for a faster one.
      (
        select e.* from bulwark.audit_logs e
        where (e.organization_id, e.id) >= (tail_audit_log.organization_id, c_first)
          and (e.organization_id, e.id) <= (tail_audit_log.organization_id, c_last)
        order by e.organization_id desc, e.id desc limit page_size
      )
      union all
      (
        select e.* from bulwark.audit_logs e
        where tail_audit_log.organization_id is null and e.organization_id is null
        order by e.organization_id desc, e.id desc limit page_size
      )
    ) l;
  else
    v_tail := bulwark_private.read_audit_tail(after);
    if v_tail.last is null then
      v_tail := bulwark_private.next_audit_tail(v_tail);
    end if;
    v_floor := greatest(bulwark_private.audit_id_floor(v_tail.floor), v_tail.last);
    -- One more than a page, to know whether it is the last. In the index's order, so that a page
    -- reads no further: after a long absence most of the log may be new.
    select coalesce(jsonb_agg(to_jsonb(n) order by n.id), '[]') into v_entries
    from (
      (
        select e.* from bulwark.audit_logs e
        where (e.organization_id, e.id) >= (tail_audit_log.organization_id, v_floor)
          and (e.organization_id, e.id) <= (tail_audit_log.organization_id, c_last)
          and e.id is distinct from v_tail.last
          and (
            e.timeline > v_tail.timeline
            or not pg_visible_in_snapshot(e.xid, v_tail.seen)
              and pg_visible_in_snapshot(e.xid, v_tail.seeing)
          )
        order by e.organization_id, e.id limit page_size + 1
      )
      union all
      (
        select e.* from bulwark.audit_logs e
        where tail_audit_log.organization_id is null and e.organization_id is null
          and e.id >= v_floor
          and e.id is distinct from v_tail.last
          and (
            e.timeline > v_tail.timeline
            or not pg_visible_in_snapshot(e.xid, v_tail.seen)
              and pg_visible_in_snapshot(e.xid, v_tail.seeing)
          )
        order by e.organization_id, e.id limit page_size + 1
      )
    ) n;
  end if;
  if jsonb_array_length(v_entries) > page_size then
    v_entries := v_entries - page_size;
    v_last := (v_entries -> -1 ->> 'id')::uuid;
    v_tail.last := v_last;
  else
    v_tail := row(
      (select max(t.timeline) from bulwark_private.audit_timelines t), v_tail.next_polled_at,
      v_tail.next_floor, v_tail.seeing, null, null, null, null
    );
  end if;
  return jsonb_build_object(
    'entries', v_entries,
    'cursor', translate(encode(convert_to(v_tail::text, 'UTF8'), 'base64'), E'\n', ''),
    'more', v_last is not null
  );
end;
$$;
comment on function bulwark.tail_audit_log(uuid, text, integer) is
  'Follows an organization''s log (audit:read there; null: the entries without an organization, for
   a super_admin and the service role): { entries, cursor, more }, oldest first. Without after: the
   newest page. Pass cursor as after to get what became visible since, in whatever order its
   transactions commit; more says whether to ask again at once. With nothing new it costs one index
   look-up. Entries of a transaction that ran for more than an hour may be left out;
   export_audit_log leaves out none. Errors: AUDIT_INVALID_CURSOR, AUDIT_INVALID_LIMIT,
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

create function bulwark.audit_coverage(organization_id uuid default null)
  returns table (
    sealed_until timestamptz,
    sealed_entries bigint,
    signed_until timestamptz,
    signed_entries bigint,
    delivered_until timestamptz,
    newest_entry timestamptz
  )
  language plpgsql
  stable
  rows 1
  security definer            -- definer because no client can read seals
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set jit = off
as $$
declare
  c_first constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
  c_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_delivered bigint;
  v_last bigint;
  v_signed bigint;
begin
  perform bulwark_private.require_audit('audit:read', organization_id);
  select max(s.number) into v_last from bulwark_private.audit_seals s;
  select max(c.tree_size) into v_signed from bulwark.audit_checkpoints c;
  -- The newest before the first that was not delivered: without a sink none was.
  select max(c.tree_size) into v_delivered
  from bulwark.audit_checkpoints c
  where c.tree_size < coalesce(
    (select min(u.tree_size) from bulwark.audit_checkpoints u where u.delivered_at is null),
    9223372036854775807
  );
  return query
    select
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_last),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_last + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_signed),
      coalesce((
        select g.entries_before + g.entry_count
        from bulwark_private.audit_group_before(audit_coverage.organization_id, v_signed + 1) g
      ), 0),
      (select s.sealed_at from bulwark_private.audit_seals s where s.number = v_delivered),
      (
        select l.occurred_at
        from (
          (
            select e.occurred_at from bulwark.audit_logs e
            where (e.organization_id, e.id) >= (audit_coverage.organization_id, c_first)
              and (e.organization_id, e.id) <= (audit_coverage.organization_id, c_last)
            order by e.organization_id desc, e.id desc limit 1
          )
          union all
          (
            select e.occurred_at from bulwark.audit_logs e
            where audit_coverage.organization_id is null and e.organization_id is null
            order by e.organization_id desc, e.id desc limit 1
          )
        ) l
      );
end;
$$;
comment on function bulwark.audit_coverage(uuid) is
  'How far the log of an organization (audit:read there; null: of the entries without one, for a
   super_admin and the service role) is proved: until when it is sealed, signed and delivered to the
   sink, how many of its entries are, and the time of the newest. An entry of a transaction that was
   still going on at a seal is in a later one. Null: never. Each value is an index look-up. Errors:
   RBAC_PERMISSION_DENIED, MFA_REQUIRED.';

-- Audit legal holds: entries that must not be removed, whatever retention and erasure say.
-- Protects evidence against removal: a hold keeps the entries of an organization, a person or a
-- resource until it is released, also against a removal that was running when it was placed.
-- SECURITY DEFINER: place_legal_hold, release_legal_hold, because nobody may write holds directly;
--   the trigger audit_holds_reset_retention, because progress is kept in bulwark_private.

create table bulwark.audit_legal_holds (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid,
  subject_id uuid,
  resource_type text,
  resource_id text,
  reason text not null,
  placed_by uuid,
  placed_at timestamptz not null default now(),
  placed_by_operator boolean not null,
  released_by uuid,
  released_at timestamptz,
  constraint audit_legal_holds_holds_something
    check (num_nonnulls(organization_id, subject_id, resource_type) > 0),
  constraint audit_legal_holds_resource_has_a_type
    check (resource_id is null or resource_type is not null),
  constraint audit_legal_holds_reason_length check (length(btrim(reason)) between 1 and 1000)
);
comment on table bulwark.audit_legal_holds is
  'Holds on entries that match all given columns: an organization, a person or a resource. They must
   not be removed until the hold is released. No foreign keys: a hold outlives its subject.';
comment on column bulwark.audit_legal_holds.placed_by_operator is
  'A super_admin or the service role placed it, and only they can release it.';
create index audit_legal_holds_organization_id_idx on bulwark.audit_legal_holds (organization_id);

alter table bulwark.audit_legal_holds enable row level security;

create policy "Compliance officers read the holds of their organizations"
  on bulwark.audit_legal_holds for select to authenticated
  using (
    organization_id = any (array(select bulwark.organizations_with('compliance:read')))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

insert into bulwark.settings (name, value, description) values
  ('audit.legal_holds', '1000',
    'Legal holds in force for an organization, or for none; four times as many are placed a day');

create function bulwark_private.addresses_of(user_id uuid, organization_id uuid)
  returns text[]
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select array(
    select lower(u.email) from auth.users u
    where u.id = addresses_of.user_id and u.email <> ''
    union
    select i.email
    from bulwark.invitations i
    where (addresses_of.organization_id is null
        or i.organization_id = addresses_of.organization_id)
      and (
        i.accepted_by = addresses_of.user_id
        or i.id in (
          select a.invitation_id from bulwark_private.invitation_accounts a
          where a.user_id = addresses_of.user_id
        )
      )
  );
$$;
comment on function bulwark_private.addresses_of(uuid, uuid) is
  'The e-mail addresses of a person, in lower case: that of the account, and every address by which
   the organization (null: any) invited it, also after the account is deleted.';

create function bulwark_private.address_pattern(addresses text[])
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  -- With boundaries, so that b@x.test does not match a.b@x.test or b@x.test.example. Within JSON an
  -- escaped line break before the address ends with a letter.
  select concat(
    '(?:(?<![[:alnum:]._%+-])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))(?:',
    string_agg(regexp_replace(f.form, '([^[:alnum:]@])', '\\\1', 'g'), '|' order by f.form),
    ')(?![[:alnum:]_-]|\.[[:alnum:]])'
  )
  from (
    select a as form from unnest(addresses) as a
    union
    select btrim(to_json(a)::text, '"') from unnest(addresses) as a
  ) f
  having count(*) > 0;
$$;
comment on function bulwark_private.address_pattern(text[]) is
  'A regular expression that matches any of these addresses in lower-case text; null for none.';

create function bulwark_private.mentions_person(content text, user_id uuid, pattern text)
  returns boolean
  language plpgsql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
begin
  return position(user_id::text in content) > 0
    or position('@' in content) > 0 and coalesce(lower(content) ~ pattern, false);
end;
$$;
comment on function bulwark_private.mentions_person(text, uuid, text) is
  'Whether the contents of an entry name a person, by id or by an address
   (bulwark_private.address_pattern).';

create view bulwark_private.audit_removable with (security_invoker = true) as
  select e.*
  from bulwark.audit_logs e
  where e.removed_by is null
    and e.event_type <> 'compliance.data_deleted'
    and not exists (
      -- Materialized: addresses are looked up once a query, not once an entry.
      with holds as materialized (
        select
          h.*,
          bulwark_private.address_pattern(
            bulwark_private.addresses_of(h.subject_id, h.organization_id)
          ) as pattern
        from bulwark.audit_legal_holds h
        where h.released_at is null
      )
      select from holds h
      where (h.organization_id is null or h.organization_id = e.organization_id)
        and (
          h.subject_id is null
          or h.subject_id = e.actor_id
          or bulwark_private.mentions_person(
            concat_ws(' ', e.resource_id, e.action, e.before, e.after, e.details),
            h.subject_id, h.pattern
          )
        )
        and (h.resource_type is null or h.resource_type = e.resource_type)
        and (h.resource_id is null or h.resource_id = e.resource_id)
    );
comment on view bulwark_private.audit_removable is
  'Entries that have a payload and that no legal hold keeps. Records of removals are never
   removed.';

create function bulwark_private.begin_audit_removal()
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Under a stricter isolation level finish_audit_removal would not see holds placed meanwhile.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot remove from the audit log: the transaction is not READ COMMITTED'
      using errcode = 'invalid_transaction_state', detail = 'AUDIT_REMOVAL_NEEDS_READ_COMMITTED',
        hint = 'Begin the transaction with isolation level read committed';
  end if;
  return array(select h.id from bulwark.audit_legal_holds h where h.released_at is null);
end;
$$;
comment on function bulwark_private.begin_audit_removal() is
  'The holds in force before a removal selects its entries, for finish_audit_removal. Errors:
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

create function bulwark_private.finish_audit_removal(
  known_holds uuid[], organizations uuid[] default null
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Holds are placed under this lock: a hold in progress is waited for, and none is placed until
  -- the commit.
  perform pg_advisory_xact_lock_shared(hashtextextended('bulwark.audit_holds', 0));
  -- A removed payload no longer names its subject, so every new hold in its organization counts.
  if exists (
    select from bulwark.audit_legal_holds h
    where h.released_at is null
      and h.id <> all (known_holds)
      and (organizations is null
        or h.organization_id is null and organizations <> '{}'
        or h.organization_id = any (organizations))
  ) then
    raise exception 'Cannot remove from the audit log: a legal hold was placed meanwhile'
      using errcode = 'PT409', detail = 'AUDIT_HOLD_PLACED',
            hint = 'Run it again: entries under the new hold are then kept';
  end if;
end;
$$;
comment on function bulwark_private.finish_audit_removal(uuid[], uuid[]) is
  'Undoes a removal of entries of some organizations (null: of all) if a hold that may keep one of
   them was placed since begin_audit_removal. Every removal calls both. Errors: AUDIT_HOLD_PLACED.';

create function bulwark_private.audit_legal_holds_wait()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_holds', 0));
  return new;
end;
$$;
comment on function bulwark_private.audit_legal_holds_wait() is
  'Trigger: a new hold waits for removals that are about to commit, and later ones see it.';

create function bulwark.place_legal_hold(
  reason text,
  organization_id uuid default null,
  subject_id uuid default null,
  resource_type text default null,
  resource_id text default null
)
  returns uuid
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
  v_limit constant bigint := (bulwark_private.setting('audit.legal_holds'))::bigint;
begin
  perform bulwark_private.require_permission_to_act('compliance:manage', organization_id);
  if length(btrim(reason)) between 1 and 1000 is not true
    or num_nonnulls(organization_id, subject_id, resource_type) = 0
    or (resource_id is not null and resource_type is null) then
    raise exception 'Cannot place hold: it takes a reason and an organization, person or resource'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_HOLD';
  end if;
  -- Every removal checks every hold. The limit also counts holds that were released.
  perform bulwark_private.lock_count('audit_legal_holds', organization_id::text);
  if (
    select
      count(*) filter (where h.released_at is null) >= v_limit
      or count(*) filter (where h.placed_at > now() - interval '1 day') >= 4 * v_limit
    from bulwark.audit_legal_holds h
    where h.organization_id is not distinct from place_legal_hold.organization_id
      and (h.released_at is null or h.placed_at > now() - interval '1 day')
  ) then
    raise exception 'Cannot place hold: there are as many as there may be'
      using errcode = 'PT409', detail = 'AUDIT_TOO_MANY_HOLDS',
            hint = 'One hold can keep a whole organization; the limit is audit.legal_holds';
  end if;
  insert into bulwark.audit_legal_holds (
    reason, organization_id, subject_id, resource_type, resource_id, placed_by, placed_by_operator
  )
  values (
    btrim(place_legal_hold.reason), place_legal_hold.organization_id, place_legal_hold.subject_id,
    place_legal_hold.resource_type, place_legal_hold.resource_id, bulwark.current_person(),
    bulwark_private.caller_is_service() or bulwark.is_super_admin()
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function bulwark.place_legal_hold(text, uuid, uuid, text, text) is
  'Keeps the entries that match all arguments from retention, erasure and pruning (compliance:manage
   in the organization, system-wide without one), and returns the hold''s id. A running removal is
   undone if the hold may keep one of its entries. Errors: AUDIT_INVALID_HOLD, AUDIT_TOO_MANY_HOLDS,
   RBAC_PERMISSION_DENIED.';

create function bulwark.release_legal_hold(hold_id uuid)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write holds directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold bulwark.audit_legal_holds;
begin
  select * into v_hold from bulwark.audit_legal_holds h where h.id = hold_id;
  -- The same answer for a hold that does not exist and one of a foreign organization.
  if not found then
    v_hold.organization_id := gen_random_uuid();
  end if;
  perform bulwark_private.require_permission_to_act('compliance:manage', v_hold.organization_id);
  if v_hold.placed_by_operator and not bulwark_private.caller_is_service()
    and not bulwark.is_super_admin() then
    raise exception 'Cannot release hold: a super_admin or the operator placed it'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_HOLD_OUTRANKS_YOU',
            hint = 'Ask a super_admin';
  end if;
  update bulwark.audit_legal_holds h
  set released_at = now(), released_by = bulwark.current_person()
  where h.id = hold_id and h.released_at is null;
  if not found then
    raise exception 'Cannot release hold: it is not in force'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_HOLD',
        hint = 'List holds with: select id from bulwark.audit_legal_holds';
  end if;
end;
$$;
comment on function bulwark.release_legal_hold(uuid) is
  'Releases a legal hold (compliance:manage where it was placed; a hold placed by a super_admin or
   the service role only by them). Errors: AUDIT_UNKNOWN_HOLD, AUDIT_HOLD_OUTRANKS_YOU,
   RBAC_PERMISSION_DENIED.';

create function bulwark_private.audit_holds_reset_retention()
  returns trigger
  language plpgsql
  security definer            -- definer because progress is kept in bulwark_private
  set search_path = pg_catalog, pg_temp
as $$
begin
  update bulwark_private.audit_retention_progress p set through_id = null;
  return null;
end;
$$;
comment on function bulwark_private.audit_holds_reset_retention() is
  'Trigger: entries that a released hold kept are old already, so retention starts over.';

create trigger audit_legal_holds_wait
  before insert on bulwark.audit_legal_holds
  for each row execute function bulwark_private.audit_legal_holds_wait();
-- A released hold cannot be restored, and the scope of a hold never changes: place another one.
create trigger audit_legal_holds_stay_released
  before update on bulwark.audit_legal_holds
  for each row when (old.released_at is not null and new.released_at is null)
  execute function bulwark_private.refuse_change();
create trigger audit_legal_holds_keep_columns
  before update on bulwark.audit_legal_holds
  for each row execute function bulwark.keep_columns(
    'id', 'organization_id', 'subject_id', 'resource_type', 'resource_id', 'placed_at'
  );
create trigger audit_legal_holds_reset_retention
  after update on bulwark.audit_legal_holds
  for each statement execute function bulwark_private.audit_holds_reset_retention();
-- Enabled always: session_replication_role skips ordinary triggers.
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_wait;
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_stay_released;
alter table bulwark.audit_legal_holds enable always trigger audit_legal_holds_keep_columns;
select bulwark.enable_audit(
  'bulwark.audit_legal_holds', organization_column => 'organization_id',
  event_types => '{config.changed,config.changed,config.changed}'
);

-- Audit retention: removes the payloads of old entries.
-- Protects against removals without a trace: each one is an entry with the actor, the reason, the
-- entries and their number, and the log still verifies afterwards.
-- SECURITY DEFINER: cleanup_old_audit_logs, because no client may change the log.

create table bulwark_private.audit_retention_progress (
  only_row boolean primary key default true check (only_row),
  through_id uuid
);
comment on table bulwark_private.audit_retention_progress is
  'The last entry that retention has processed, so that it does not read the whole log each time.
   Not audited: each removal is sealed.';
insert into bulwark_private.audit_retention_progress default values;

alter table bulwark_private.audit_retention_progress enable row level security;

insert into bulwark.settings (name, value, description) values
  ('audit.retention_days', '90',
    'Minimum number of days that payloads are kept, also for the service role'),
  ('audit.removal_batch', '50000', 'Maximum number of entries that one run of retention removes');

create function bulwark_private.remove_audit_payloads(ids uuid[], organization uuid, details jsonb)
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_count integer;
  v_record uuid := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    organization_id => organization,
    resource_type => 'bulwark.audit_logs',
    action => details ->> 'kind',
    details => details || jsonb_build_object(
      'entries', cardinality(ids), 'digest', bulwark_private.audit_digest(ids)
    )
  );
begin
  update bulwark.audit_logs e
  set commitment = c.payload_commitment, removed_by = v_record, salt = null, actor_type = null,
      actor_id = null, database_user = null, session_id = null, ip = null, user_agent = null,
      resource_id = null, action = null, correlation_id = null, parent_id = null, before = null,
      after = null, details = null
  from bulwark_private.audit_commitments c
  where e.id = any (ids) and c.id = e.id;
  get diagnostics v_count = row_count;
  if v_count <> cardinality(ids) then
    raise exception 'Cannot remove payloads: another removal is under way'
      using errcode = 'PT409', detail = 'AUDIT_REMOVAL_CONFLICT',
        hint = 'Try again when the other one has ended';
  end if;
  return v_count;
end;
$$;
comment on function bulwark_private.remove_audit_payloads(uuid[], uuid, jsonb) is
  'Removes the payloads of entries of one organization under a record that covers exactly these
   entries.';

create function bulwark.cleanup_old_audit_logs(retention_days integer default 90)
  returns integer
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_batch record;
  v_floor uuid;
  v_holds uuid[];
  v_limit constant integer := (bulwark_private.setting('audit.removal_batch'))::integer;
  v_last uuid;
  v_organizations uuid[] := array[]::uuid[];
  v_removed integer := 0;
  v_through uuid;
begin
  if retention_days is null or retention_days not between 1 and 36500 then
    raise exception 'Cannot clean up the audit log: retention is 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  -- The service role may keep payloads longer than configured, never shorter: its key is on
  -- servers.
  if retention_days < (bulwark_private.setting('audit.retention_days'))::integer then
    raise exception 'Cannot clean up the audit log: payloads are kept % days',
      bulwark_private.setting('audit.retention_days')
      using errcode = 'insufficient_privilege', detail = 'AUDIT_RETENTION_TOO_SHORT',
            hint = 'The owner of the database decides: bulwark.settings, audit.retention_days';
  end if;
  v_floor := bulwark_private.audit_id_floor(now() - make_interval(days => retention_days));
  -- Locks the row, so that a second run waits instead of removing the same entries.
  select p.through_id into v_through from bulwark_private.audit_retention_progress p for update;
  v_holds := bulwark_private.begin_audit_removal();
  for v_batch in
    select d.organization_id, array_agg(d.id order by d.id) as ids, max(d.id::text)::uuid as last
    from (
      select e.id, e.organization_id
      from bulwark_private.audit_removable e
      where e.id < v_floor
        and e.occurred_at < now() - make_interval(days => retention_days)
        and (v_through is null or e.id > v_through)
        and e.severity not in ('error', 'critical')
      order by e.id
      limit v_limit
    ) d
    group by d.organization_id
  loop
    v_removed := v_removed + bulwark_private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      jsonb_build_object(
        'kind', 'retention', 'reason', format('older than %s days', retention_days)
      )
    );
    v_last := greatest(v_last, v_batch.last);
    v_organizations := v_organizations || v_batch.organization_id;
  end loop;
  update bulwark_private.audit_retention_progress p
  set through_id = greatest(v_through, case when v_removed < v_limit then v_floor else v_last end);
  perform bulwark_private.finish_audit_removal(v_holds, v_organizations);
  delete from bulwark_private.audit_exports e where e.noted_at < now() - interval '1 day';
  return v_removed;
end;
$$;
comment on function bulwark.cleanup_old_audit_logs(integer) is
  'Removes the payloads of entries older than so many days, except critical and error ones and those
   under a legal hold, at most audit.removal_batch of them; returns how many. Each organization gets
   a record of it. It also deletes the progress of exports that were not continued for a day. Call
   it again until it returns 0. Not fewer days than audit.retention_days. Errors:
   AUDIT_INVALID_RETENTION, AUDIT_RETENTION_TOO_SHORT, AUDIT_REMOVAL_CONFLICT, AUDIT_HOLD_PLACED,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

-- Audit erasure: removes the payloads of one person's entries, in bounded steps, and the
-- invitations of that person's addresses.
-- Protects the right to be forgotten, and the evidence that outlives it: entries that are critical
-- or of category security stay (GDPR Art. 17(3)(b) and (e)), unless a compliance manager of the
-- whole installation removes them too. The record names nobody, and counts the kept entries.
-- SECURITY DEFINER: erase_subject, because no client may change the log.

create function bulwark_private.require_erasable(user_id uuid, organization_id uuid)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
begin
  -- Only accounts, also former ones, actors and subjects of an earlier erasure can be erased, not
  -- organizations or other rows. An organization can erase only persons it knows, so that it
  -- cannot probe for accounts.
  if exists (
    select from bulwark_private.audit_groups g where g.organization_id = require_erasable.user_id
  ) or not exists (
    select from auth.users u
    where u.id = require_erasable.user_id
      and (require_erasable.organization_id is null or exists (
        select from bulwark.user_roles g
        where g.user_id = u.id and g.organization_id = require_erasable.organization_id
      ))
  ) and not exists (
    select from bulwark_private.audit_entries_with(
      'actor_id', require_erasable.user_id::text, '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff', 1, require_erasable.organization_id
    )
  ) and not exists (
    -- An account that is gone, and may never have acted: its own entries, which nobody can report.
    select
    from bulwark_private.audit_entries_with(
      'resource_id', require_erasable.user_id::text, '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff', 50000, require_erasable.organization_id
    ) i
    join bulwark.audit_logs e on e.id = i.id
    where e.source = 'auth' and e.resource_type = 'auth.users'
  ) and not exists (
    -- The records of removals that still cover an entry: one probe of an index for each.
    select
    from (
      select d.id
      from bulwark_private.audit_removals_below('ffffffff-ffff-ffff-ffff-ffffffffffff') as d (id)
      union
      select l.removed_by from bulwark_private.audit_logs_default l where l.removed_by is not null
    ) d
    cross join lateral (
      select * from bulwark.audit_logs r where r.id = d.id limit 1
    ) e
    where (require_erasable.organization_id is null
        or e.organization_id = require_erasable.organization_id)
      and e.event_type = 'compliance.data_deleted'
      and e.source = 'system'
      and e.details ->> 'subject' = bulwark_private.audit_subject(require_erasable.user_id)
  ) and not exists (
    select from bulwark_private.invitation_accounts a
    join bulwark.invitations i on i.id = a.invitation_id
    where a.user_id = require_erasable.user_id
      and (require_erasable.organization_id is null
        or i.organization_id = require_erasable.organization_id)
  ) then
    raise exception 'Cannot erase subject: nobody is known by that id'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_SUBJECT',
        hint = 'Pass the id of auth.users; after a deletion, the id that the log has';
  end if;
  if exists (
    select from bulwark.audit_legal_holds h
    where h.released_at is null
      and h.subject_id = require_erasable.user_id
      and (h.organization_id is null or require_erasable.organization_id is null
        or h.organization_id = require_erasable.organization_id)
  ) then
    raise exception 'Cannot erase subject: a legal hold keeps what is known of them'
      using errcode = 'PT409', detail = 'AUDIT_LEGAL_HOLD',
        hint = 'Release the hold with release_legal_hold first, or wait until it is released';
  end if;
end;
$$;
comment on function bulwark_private.require_erasable(uuid, uuid) is
  'Raises AUDIT_UNKNOWN_SUBJECT or AUDIT_LEGAL_HOLD if a person cannot be erased.';

create function bulwark_private.audit_subject(user_id uuid)
  returns text
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$ select encode(sha256(uuid_send(user_id)), 'hex'); $$;
comment on function bulwark_private.audit_subject(uuid) is
  'The person in the record of an erasure, as the hash of the id. A random id cannot be guessed from
   it, but it answers whether this person was erased.';

create function bulwark_private.erase_invitations(addresses text[], organization_id uuid)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_erased text[];
begin
  with erased as (
    delete from bulwark.invitations i
    where i.email = any (addresses)
      and (erase_invitations.organization_id is null
        or i.organization_id = erase_invitations.organization_id)
      and not exists (
        select from bulwark.audit_legal_holds h
        where h.released_at is null
          and (h.organization_id is null or h.organization_id = i.organization_id)
          and (h.subject_id is null
            or i.email = any (bulwark_private.addresses_of(h.subject_id, h.organization_id)))
          and (h.resource_type is null or h.resource_type = 'bulwark.invitations')
          and (h.resource_id is null or h.resource_id = i.id::text)
      )
    returning i.id
  )
  select array_agg(e.id::text) into v_erased from erased e;
  return array(
    select e.id
    from bulwark.audit_logs e
    where e.timeline = bulwark_private.audit_timeline()
      and e.xid = pg_current_xact_id()
      and e.resource_type = 'bulwark.invitations'
      and e.resource_id = any (v_erased)
  );
end;
$$;
comment on function bulwark_private.erase_invitations(text[], uuid) is
  'Deletes the invitations of these addresses in an organization (null: in all) that no legal hold
   keeps. Returns the entries that this wrote: they contain no address, but the person who
   accepted.';

create function bulwark_private.remove_subject_payloads(ids uuid[], subject uuid, details jsonb)
  returns table (removed integer, organizations uuid[])
  language plpgsql
  volatile
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_batch record;
begin
  removed := 0;
  organizations := '{}';
  for v_batch in
    select e.organization_id, array_agg(e.id order by e.id) as ids
    from bulwark_private.audit_removable e
    where e.id = any (remove_subject_payloads.ids)
    group by e.organization_id
  loop
    removed := removed + bulwark_private.remove_audit_payloads(
      v_batch.ids, v_batch.organization_id,
      details || jsonb_build_object(
        'kind', 'erasure', 'subject', bulwark_private.audit_subject(subject)
      )
    );
    organizations := organizations || v_batch.organization_id;
  end loop;
  return next;
end;
$$;
comment on function bulwark_private.remove_subject_payloads(uuid[], uuid, jsonb) is
  'Removes the payloads of these entries, except under a legal hold, with a record for each
   organization that identifies the person by a hash.';

create function bulwark.erase_subject(
  user_id uuid,
  reason text,
  organization_id uuid default null,
  evidence boolean default false,
  after uuid default null,
  max_entries integer default 5000,
  max_seconds integer default 4
)
  returns table (removed integer, kept integer, next_after uuid, archived jsonb)
  language plpgsql
  volatile
  rows 1
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_details constant jsonb := jsonb_build_object('reason', reason, 'evidence', evidence);
  v_found uuid[] := array[]::uuid[];
  v_holds uuid[];
  v_organizations uuid[];
  v_page record;
  v_pattern text;
  v_started constant timestamptz := clock_timestamp();
begin
  perform bulwark.require_permission(
    'compliance:manage', case when not evidence then organization_id end
  );
  if user_id is null or evidence is null or length(btrim(reason)) between 1 and 500 is not true then
    raise exception 'Cannot erase subject: it takes a user and a reason of up to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_ERASURE';
  end if;
  if max_entries between 1 and 50000 is not true or max_seconds between 1 and 60 is not true then
    raise exception 'Cannot erase subject: a step takes 1 to 50000 entries and 1 to 60 seconds'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_LIMIT';
  end if;
  v_holds := bulwark_private.begin_audit_removal();
  perform bulwark_private.require_erasable(user_id, organization_id);
  v_pattern := bulwark_private.address_pattern(
    bulwark_private.addresses_of(user_id, organization_id)
  );
  kept := 0;
  next_after := coalesce(after, '00000000-0000-0000-0000-000000000000');
  -- Reads the log in pages by id: a step is bounded by the entries it reads, not by those it finds.
  loop
    select
      count(*) as read,
      (array_agg(p.id order by p.id desc))[1] as last,
      array_agg(p.id order by p.id) filter (where p.named and not p.is_evidence) as found,
      count(*) filter (where p.named and p.is_evidence) as kept
    into v_page
    from (
      select
        e.id,
        e.removed_by is null and (
          e.actor_id = erase_subject.user_id
          or bulwark_private.mentions_person(
            concat_ws(' ', e.resource_id, e.action, e.before, e.after, e.details),
            erase_subject.user_id, v_pattern
          )
        ) as named,
        not evidence and (e.severity = 'critical' or e.event_type like 'security.%')
          as is_evidence
      from (
        (
          select * from bulwark.audit_logs l
          where erase_subject.organization_id is null and l.id > next_after
          order by l.id
          limit least(2000, max_entries)
        )
        union all
        -- Sorted by both columns of the index, so that no other can be taken for a faster one.
        (
          select * from bulwark.audit_logs l
          where (l.organization_id, l.id) > (erase_subject.organization_id, next_after)
            and (l.organization_id, l.id)
              <= (erase_subject.organization_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by l.organization_id, l.id
          limit least(2000, max_entries)
        )
      ) e
    ) p;
    v_found := v_found || v_page.found;
    kept := kept + v_page.kept;
    next_after := coalesce(v_page.last, next_after);
    if v_page.read < least(2000, max_entries) then
      next_after := null;
      exit;
    end if;
    exit when cardinality(v_found) >= max_entries
      or clock_timestamp() - v_started > make_interval(secs => max_seconds);
  end loop;
  select r.removed, r.organizations into removed, v_organizations
  from bulwark_private.remove_subject_payloads(v_found, user_id, v_details) r;
  -- Checked again at the end instead of locked throughout: changes of rights must not wait for a
  -- whole step.
  perform bulwark_private.require_permission_to_act(
    'compliance:manage', case when not evidence then organization_id end
  );
  -- Last, because a person's addresses are found by them; and after the rights, to keep the lock
  -- order.
  if next_after is null then
    select erase_subject.removed + r.removed, v_organizations || r.organizations
    into removed, v_organizations
    from bulwark_private.remove_subject_payloads(
      bulwark_private.erase_invitations(
        bulwark_private.addresses_of(user_id, organization_id), organization_id
      ),
      user_id, v_details
    ) r;
  end if;
  perform bulwark_private.finish_audit_removal(v_holds, v_organizations);
  -- Restored entries are copies, so whole rows go. The archive's files are out of reach.
  delete from bulwark.audit_restored_logs r
  where (erase_subject.organization_id is null or r.organization_id = erase_subject.organization_id)
    and (
      r.actor_id = erase_subject.user_id
      or bulwark_private.mentions_person(
        concat_ws(' ', r.resource_id, r.action, r.before, r.after, r.details),
        erase_subject.user_id, v_pattern
      )
    );
  archived := bulwark_private.archived_audit_months(erase_subject.organization_id, null, null);
  return next;
end;
$$;
comment on function bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer) is
  'Removes the payloads of entries that a user made or that name the user''s id or one of the
   user''s e-mail addresses, and at the end the invitations of those addresses (compliance:manage in
   the organization, or system-wide for all of them). Entries under a legal hold on something else
   stay, and so do entries that are critical or of category security, unless evidence is true
   (compliance:manage system-wide). One step of bounded size: call it again with after set to
   next_after until that is null. Returns how many this step removed and how many it kept as
   evidence, and the archived months, whose files it does not reach; restored entries it deletes.
   The records keep only a hash of the id. Errors: AUDIT_LEGAL_HOLD, AUDIT_HOLD_PLACED,
   AUDIT_UNKNOWN_SUBJECT, AUDIT_INVALID_ERASURE, AUDIT_INVALID_LIMIT, AUDIT_REMOVAL_CONFLICT,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED, RBAC_PERMISSION_DENIED.';

-- Audit archiving: the steps in which a month is written to an object store, file by file.
-- Protects against a month that is dropped before it is elsewhere: the database verifies the month,
-- says which file is the next, and records it only for a holder of the log's signing key, so that
-- the service role's key alone archives nothing.
-- SECURITY DEFINER: next_audit_archive, check_audit_archive, record_audit_archive_file,
--   forget_audit_archive_files, because nobody may write tombstones directly.

insert into bulwark.settings (name, value, description) values
  ('audit.archive_after_days', 'null',
    'After how many days the job archives a month; null: only npm run audit-archive does'),
  ('audit.archive_file_entries', '10000', 'Entries in a file of the archive');

create function bulwark_private.require_audit_writer(signers jsonb)
  returns void
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(signers) is distinct from 'array' or not exists (
    select
    from jsonb_array_elements(signers) as s
    join bulwark.audit_keys k
      on k.public_key = decode(s ->> 'public_key', 'base64')
      and k.writer_hash = sha256(decode(s ->> 'writer', 'base64'))
    where s ->> 'public_key' ~ '^[A-Za-z0-9+/]{43}=$' and s ->> 'writer' ~ '^[A-Za-z0-9+/]{86}==$'
  ) then
    raise exception 'Cannot archive: the caller does not hold a key of the log'
      using errcode = 'insufficient_privilege', detail = 'AUDIT_NOT_THE_KEY_HOLDER',
        hint = 'Let the function bulwark-audit archive: it has the signing key';
  end if;
end;
$$;
comment on function bulwark_private.require_audit_writer(jsonb) is
  'Checks that the caller can sign for the log, by the secret of store_audit_checkpoint. Errors:
   AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark_private.audit_id_time(id uuid)
  returns timestamptz
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  select to_timestamp(
    ('x' || encode(substring(uuid_send(id) from 1 for 6), 'hex'))::bit(48)::bigint / 1000.0
  );
$$;
comment on function bulwark_private.audit_id_time(uuid) is
  'The time in the id of an entry, to the millisecond.';

-- A transaction writes an entry under an id that it had at that time. So all entries of a month are
-- sealed once every transaction has ended that had one when the month was over; and those that are
-- there, whatever the clock said, once their own transactions have.
create function bulwark_private.last_seal_before(end_id uuid)
  returns bigint
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select e.number
  from (
    select s.number, s.timeline, pg_snapshot_xmax(s.snapshot) as xmax
    from bulwark_private.audit_seals s
    where s.sealed_at >= bulwark_private.audit_id_time(end_id) + make_interval(
      secs => least((bulwark_private.setting('audit.clock_tolerance_seconds'))::integer, 86400)
    )
    order by s.sealed_at, s.number
    limit 1
  ) over_by
  left join (
    select l.timeline, l.xid
    from bulwark.audit_logs l
    where l.id < end_id and l.tableoid <> 'bulwark_private.audit_logs_default'::regclass
    order by l.timeline desc, l.xid desc
    limit 1
  ) newest on true
  cross join lateral (
    select s.number
    from bulwark_private.audit_seals s
    where s.number >= over_by.number
      and s.through is null
      and (s.timeline > over_by.timeline or pg_snapshot_xmin(s.snapshot) >= over_by.xmax)
      and (newest.xid is null
        or (s.timeline, pg_snapshot_xmin(s.snapshot)) > (newest.timeline, newest.xid))
    order by s.number
    limit 1
  ) e;
$$;
comment on function bulwark_private.last_seal_before(uuid) is
  'The first seal after which no entry below an id can be sealed; null while there is none.';

create function bulwark_private.begin_audit_archive(month date, end_id uuid)
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_first constant bigint := greatest(
    bulwark_private.audit_archived_through(),
    (select max(p.through_seal) from bulwark_private.audit_prunings p)
  ) + 1;
  v_last bigint := bulwark_private.last_seal_before(end_id);
begin
  if v_last is null then
    return 'seal';
  end if;
  v_last := greatest(v_last, v_first - 1);
  if not exists (
    select from bulwark.audit_checkpoints c
    where c.tree_size >= v_last and c.delivered_at is not null
  ) then
    return 'checkpoint';
  end if;
  insert into bulwark.audit_archives (
    month, from_month, end_id, first_seal, last_seal, seal_hash, checked_through
  )
  select begin_audit_archive.month, least(begin_audit_archive.month, date_trunc('month', (
      select bulwark_private.audit_id_time(e.id) at time zone 'UTC'
      from bulwark.audit_logs e
      where e.id < begin_audit_archive.end_id
        and e.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      order by e.id limit 1
    ))::date), begin_audit_archive.end_id, v_first, v_last, s.hash, v_first - 1
  from bulwark_private.audit_seals s
  where s.number = v_last
  on conflict on constraint audit_archives_pkey do nothing;
  return null;
end;
$$;
comment on function bulwark_private.begin_audit_archive(date, uuid) is
  'Begins to archive a month, or says for which event it has to wait: the seal after the month, or a
   checkpoint over it that was delivered.';

create function bulwark_private.next_audit_archive_file(month date)
  returns jsonb
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_after text;
  v_log bulwark.audit_archived_logs;
  v_most constant bigint := (bulwark_private.setting('audit.archive_file_entries'))::bigint;
  v_part record;
begin
  select * into v_log
  from bulwark.audit_archived_logs l
  where l.month = next_audit_archive_file.month and l.exported_through < l.last_seal
  order by l.organization_id
  limit 1;
  if v_log.month is null then
    return null;
  end if;
  -- Whole groups: as many as a file may hold, but at least one.
  select max(g.seal) as seal, sum(g.entry_count) as entries into v_part
  from (
    select g.seal, g.entry_count, sum(g.entry_count) over (order by g.seal) as total,
      row_number() over (order by g.seal) as place
    from bulwark_private.audit_groups_of(
      v_log.organization_id, greatest(v_log.exported_through + 1, v_log.first_seal), v_log.last_seal
    ) g
  ) g
  where g.total <= v_most or g.place = 1;
  -- Each file begins where the one before ended, also that of the month before.
  select format('%s:%s', g.seal, g.entry_count) into v_after
  from bulwark_private.audit_group_before(
    v_log.organization_id, greatest(v_log.exported_through + 1, v_log.first_seal)
  ) g;
  return jsonb_build_object(
    'organization_id', v_log.organization_id,
    'number', (
      select count(*) + 1 from bulwark.audit_archive_files f
      where f.month = next_audit_archive_file.month
        and f.organization_id is not distinct from v_log.organization_id
    ),
    'after', v_after,
    'entries', v_part.entries,
    'cursor', format('%s:%s', v_part.seal, (
      select g.entry_count from bulwark_private.audit_groups g
      where g.seal = v_part.seal and g.organization_id is not distinct from v_log.organization_id
    ))
  );
end;
$$;
comment on function bulwark_private.next_audit_archive_file(date) is
  'The next file of a month: whose entries, from which cursor to which, and how many. Null once all
   are recorded.';

create function bulwark.next_audit_archive(through date default null)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_archive bulwark.audit_archives;
  v_days constant integer := (
    nullif(bulwark_private.setting('audit.archive_after_days'), 'null')
  )::integer;
  v_file jsonb;
  v_month date;
  v_step text;
  v_through constant date := date_trunc('month', coalesce(
    next_audit_archive.through,
    (now() at time zone 'UTC' - make_interval(days => v_days) - interval '1 month')::date
  ));
  v_wait text;
begin
  select a.month into v_month from bulwark.audit_archives a
  where a.archived_at is null order by a.month limit 1;
  if v_month is null then
    -- A partition may begin or end within a month, where the log was partitioned meanwhile.
    select date_trunc('month', bulwark_private.audit_id_time(p.high) at time zone 'UTC'
      - interval '1 millisecond')::date
    into v_month
    from bulwark_private.audit_partitions p where not p.is_default order by p.high limit 1;
  end if;
  if (v_month <= v_through) is not true then
    return null;
  end if;
  if not exists (select from bulwark.audit_archives a where a.month = v_month) then
    v_wait := bulwark_private.begin_audit_archive(
      v_month,
      bulwark_private.audit_id_floor((v_month + interval '1 month') at time zone 'UTC')
    );
    if v_wait is not null then
      return jsonb_build_object('month', v_month, 'step', 'wait', 'for', v_wait);
    end if;
  end if;
  select * into v_archive from bulwark.audit_archives a where a.month = v_month;
  if v_archive.checked_through < v_archive.last_seal then
    v_step := 'check';
  else
    v_file := bulwark_private.next_audit_archive_file(v_month);
    v_step := case when v_file is null then 'finish' else 'write' end;
  end if;
  return jsonb_build_object(
    'month', v_month,
    'step', v_step,
    'file', v_file,
    'snapshot', pg_current_snapshot()::text
  );
end;
$$;
comment on function bulwark.next_audit_archive(date) is
  'The next step of archiving the oldest month (service role): { month, step }, null if no month is
   due. Months through that of a date are due; null: those that ended audit.archive_after_days ago,
   none while that is null. step is check, write (with file), finish, or wait (for a seal or a
   delivered checkpoint after the month). Months are archived in order.';

create function bulwark.check_audit_archive(month date)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_archive bulwark.audit_archives;
  v_through bigint;
  v_verdict record;
begin
  select * into v_archive from bulwark.audit_archives a
  where a.month = check_audit_archive.month and a.archived_at is null
  for update;
  if v_archive.month is null then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  select * into v_verdict from bulwark.verify_audit_log(
    until => (
      select s.sealed_at from bulwark_private.audit_seals s where s.number = v_archive.last_seal
    ),
    after_seal => v_archive.checked_through,
    max_seconds => 3
  );
  -- The first finding: those in seals come before these, which say nothing about the month.
  if v_verdict.problem not in ('gap_recorded', 'entry_unsealed') then
    raise exception 'Cannot archive: the month is not intact: %, seal %',
      v_verdict.problem, coalesce(v_verdict.seal::text, 'none')
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_NOT_INTACT',
            hint = 'Run verify_audit_log';
  end if;
  v_through := coalesce(v_verdict.next_after_seal, v_archive.last_seal);
  insert into bulwark.audit_archived_logs as l (
    month, from_month, organization_id, first_seal, last_seal, entries, last_hash
  )
  select check_audit_archive.month, v_archive.from_month, g.organization_id, min(g.seal),
    max(g.seal), sum(g.entry_count), (array_agg(g.hash order by g.seal desc))[1]
  from bulwark_private.audit_groups g
  where g.seal > v_archive.checked_through and g.seal <= least(v_through, v_archive.last_seal)
  group by g.organization_id
  on conflict on constraint audit_archived_logs_is_one do update
    set last_seal = excluded.last_seal, entries = l.entries + excluded.entries,
        last_hash = excluded.last_hash;
  update bulwark.audit_archives a set checked_through = least(v_through, a.last_seal)
  where a.month = check_audit_archive.month;
  return v_through >= v_archive.last_seal;
end;
$$;
comment on function bulwark.check_audit_archive(date) is
  'Verifies the next seals of a month that is being archived and counts what each organization has
   in them (service role); returns whether that was the last step. Errors: AUDIT_UNKNOWN_ARCHIVE,
   AUDIT_ARCHIVE_NOT_INTACT.';

create function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb)
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_due jsonb;
begin
  perform bulwark_private.require_audit_writer(signers);
  perform from bulwark.audit_archives a
  where a.month = record_audit_archive_file.month and a.archived_at is null
    and a.checked_through = a.last_seal
  for update;
  if not found then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  v_due := bulwark_private.next_audit_archive_file(month);
  -- Another run was first.
  if v_due is null or not file @> v_due then
    return false;
  end if;
  insert into bulwark.audit_archive_files (
    month, organization_id, number, after, cursor, entries, removed, snapshot, place, key, bytes,
    sha256, etag, parquet_key, parquet_bytes, parquet_sha256, parquet_etag
  )
  select
    record_audit_archive_file.month, (file ->> 'organization_id')::uuid,
    (file ->> 'number')::integer, file ->> 'after', file ->> 'cursor',
    (file ->> 'entries')::bigint, (file ->> 'removed')::bigint,
    (file ->> 'snapshot')::pg_snapshot, file ->> 'place',
    n ->> 'key', (n ->> 'bytes')::bigint, decode(n ->> 'sha256', 'hex'), n ->> 'etag',
    p ->> 'key', (p ->> 'bytes')::bigint, decode(p ->> 'sha256', 'hex'), p ->> 'etag'
  from (select file -> 'ndjson' as n, file -> 'parquet' as p) f;
  update bulwark.audit_archived_logs l
  set exported_through = split_part(file ->> 'cursor', ':', 1)::bigint
  where l.month = record_audit_archive_file.month
    and l.organization_id is not distinct from (file ->> 'organization_id')::uuid;
  return true;
end;
$$;
comment on function bulwark.record_audit_archive_file(date, jsonb, jsonb) is
  'Records a file that was stored, read back and verified (service role and holder of the signing
   key): file is that of next_audit_archive with removed, snapshot, place, and key, bytes, sha256
   and etag of ndjson and parquet. False if it is not the next one any more. Errors:
   AUDIT_UNKNOWN_ARCHIVE, AUDIT_NOT_THE_KEY_HOLDER.';

create function bulwark.forget_audit_archive_files(month date, organization_id uuid default null)
  returns void
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark.audit_archive_files f
  where f.month = forget_audit_archive_files.month
    and f.organization_id is not distinct from forget_audit_archive_files.organization_id;
  update bulwark.audit_archived_logs l set exported_through = 0
  where l.month = forget_audit_archive_files.month
    and l.organization_id is not distinct from forget_audit_archive_files.organization_id;
end;
$$;
comment on function bulwark.forget_audit_archive_files(date, uuid) is
  'Lets the files of an organization be written again (service role), because they were deleted: a
   month that is being archived only.';

-- Audit pruning: deletes whole seals with their entries from the beginning of the log; a month that
-- can go whole is dropped with its partition.
-- Protects against a beginning that is cut off: a sealed tombstone entry says through which seal
-- the log was pruned, and nothing can be deleted without one.
-- SECURITY DEFINER: prune_audit_log, because no client may change the log.

create table bulwark_private.audit_prunings (
  through_seal bigint primary key,
  -- squawk-ignore prefer-bigint-over-int
  timeline integer not null,
  snapshot pg_snapshot not null,
  record_id uuid not null,
  xid xid8 not null default pg_current_xact_id(),
  pruned_at timestamptz not null default now()
);
comment on table bulwark_private.audit_prunings is
  'Tombstones: through which seal the log was pruned, and the entry that records it.';

alter table bulwark_private.audit_prunings enable row level security;

insert into bulwark.settings (name, value, description) values
  ('audit.keep_days', 'null', 'After how many days whole seals are pruned; null: never');

create function bulwark_private.audit_pruning_is_recorded(through_seal bigint)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from bulwark_private.audit_prunings p
    join bulwark_private.audit_seals s on s.number = p.through_seal
    -- The record of the newest archive restates the pruning, whose own record may be archived.
    cross join lateral (
      select p.record_id as id, false as is_restated
      union all
      (
        select a.record_id, true from bulwark.audit_archives a
        where a.archived_at is not null
        order by a.month desc
        limit 1
      )
    ) k
    join bulwark.audit_logs e on e.id = k.id
    cross join lateral (
      select case when k.is_restated then e.details -> 'pruned' else e.details end as details
    ) d
    where p.through_seal = audit_pruning_is_recorded.through_seal
      and e.event_type = 'compliance.data_deleted'
      and e.source = 'system'
      and d.details ->> 'through_seal' = p.through_seal::text
      and d.details ->> 'seal_hash' = bulwark_private.base64(s.hash)
      and (
        bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
        or bulwark_private.audit_entry_is_sealed(e.id)
      )
  );
$$;
comment on function bulwark_private.audit_pruning_is_recorded(bigint) is
  'Whether the tombstone of a pruning has its entry, as sealed, for the same seal.';

-- The seals up to the first one whose snapshot begins after all transactions of the month hold all
-- of its entries: one that is not sealed, or sealed too late, keeps the month.
create function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint)
  returns table (end_id uuid, through_seal bigint)
  language plpgsql
  volatile
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_id uuid;
  v_partition record;
  v_timeline integer;
  v_xid xid8;
begin
  -- Whether a hold keeps something is asked entry by entry.
  if exists (select from bulwark.audit_legal_holds h where h.released_at is null) then
    return;
  end if;
  for v_partition in
    select p.relation, p.high
    from bulwark_private.audit_partitions p
    where p.is_closed and not p.is_default
      and p.high <= bulwark_private.audit_id_floor(now() - make_interval(days => keep_days))
    order by p.high
  loop
    execute format(
      'select e.timeline, e.xid, e.id from %s e
       order by e.timeline desc, e.xid desc, e.id desc limit 1', v_partition.relation
    )
    into v_timeline, v_xid, v_id;
    exit when v_id is not null;
  end loop;
  if v_id is null or exists (
    select from bulwark_private.audit_partitions p
    where p.high < v_partition.high and not p.is_closed
  ) then
    return;
  end if;
  return query
    select v_partition.high, f.number
    from (
      select s.number, s.sealed_at
      from bulwark_private.audit_seals s
      where s.number >= bulwark_private.audit_seal_of(v_timeline, v_xid, v_id)
        and s.through is null
        and (s.timeline > v_timeline or pg_snapshot_xmin(s.snapshot) > v_xid)
      order by s.number
      limit 1
    ) f
    where f.number > pruned
      and f.sealed_at < now() - make_interval(days => keep_days)
      and f.number <= coalesce(
        (select max(c.tree_size) from bulwark.audit_checkpoints c),
        (select max(l.number) - 1 from bulwark_private.audit_seals l)
      )
      -- A month that is being archived is exported first.
      and f.number < coalesce(
        (select a.first_seal from bulwark.audit_archives a where a.archived_at is null),
        f.number + 1
      );
end;
$$;
comment on function bulwark_private.prunable_audit_month(integer, bigint) is
  'The oldest month with entries, if it is closed, no hold is in force, and all of its entries are
   in seals that may be pruned: where it ends, and through which seal. No row if it cannot go
   whole.';

create function bulwark.prune_audit_log(keep_days integer)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because no client may change the log
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_end uuid;
  v_entries bigint;
  v_holds uuid[];
  v_in_month bigint := 0;
  v_in_partition bigint;
  v_least constant integer := (nullif(bulwark_private.setting('audit.keep_days'), 'null'))::integer;
  v_month_records uuid[];
  v_partition regclass;
  v_pruned bigint;
  v_record uuid;
  v_records uuid[];
  v_seal bulwark_private.audit_seals;
  v_through bigint;
  v_upto uuid;
begin
  if keep_days is null or keep_days not between 1 and 36500 then
    raise exception 'Cannot prune the audit log: entries are kept 1 to 36500 days'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RETENTION';
  end if;
  if (keep_days >= v_least) is not true then
    raise exception 'Cannot prune the audit log: entries are kept %',
      coalesce(v_least || ' days', 'for ever')
      using errcode = 'insufficient_privilege', detail = 'AUDIT_RETENTION_TOO_SHORT',
            hint = 'The owner of the database decides: bulwark.settings, audit.keep_days';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  v_holds := bulwark_private.begin_audit_removal();
  select coalesce(max(p.through_seal), 0) into v_pruned from bulwark_private.audit_prunings p;
  select m.end_id, m.through_seal into v_end, v_through
  from bulwark_private.prunable_audit_month(keep_days, v_pruned) m;
  if v_end is null then
    -- A whole prefix: old enough, before the first entry under a hold, within one batch and, if
    -- checkpoints are made, not beyond the newest. It ends with a seal that is not continued.
    select max(w.number) filter (where w.is_last) into v_through
    from (
      select s.number, s.through is null as is_last,
        sum(g.entries) over (order by s.number) as entries
      from bulwark_private.audit_seals s
      left join lateral (
        select sum(g.entry_count) as entries from bulwark_private.audit_groups g
          where g.seal = s.number
      ) g on true
      where s.number > v_pruned
        and s.sealed_at < now() - make_interval(days => keep_days)
        and s.number <= coalesce(
          (select max(c.tree_size) from bulwark.audit_checkpoints c),
          (select max(l.number) - 1 from bulwark_private.audit_seals l)
        )
        -- A month that is being archived is exported first.
        and s.number < coalesce(
          (select a.first_seal from bulwark.audit_archives a where a.archived_at is null),
          s.number + 1
        )
      order by s.number
      limit 100000
    ) w
    where w.entries <= greatest(
      (bulwark_private.setting('audit.removal_batch'))::integer,
      (
        select sum(g.entry_count) from bulwark_private.audit_groups g
        where g.seal between v_pruned + 1 and (
          select min(s.number) from bulwark_private.audit_seals s
          where s.number > v_pruned and s.through is null
        )
      )
    );
  end if;
  select * into v_seal from bulwark_private.audit_seals s where s.number = v_through;
  if exists (select from bulwark.audit_legal_holds h where h.released_at is null) then
    select least(v_through, min(bulwark_private.audit_seal_of(e.timeline, e.xid, e.id)) - 1)
    into v_through
    from bulwark.audit_logs e
    where (e.timeline < v_seal.timeline
        or e.timeline = v_seal.timeline and e.xid < pg_snapshot_xmax(v_seal.snapshot))
      and e.removed_by is null
      and e.event_type <> 'compliance.data_deleted'
      and not exists (select from bulwark_private.audit_removable r where r.id = e.id);
    -- Nobody can see in the database whether a hold keeps something of an archived month.
    select least(v_through, min(a.first_seal) - 1) into v_through
    from bulwark.audit_archives a
    where a.archived_at is not null and a.last_seal > v_pruned;
    select max(s.number) into v_through
    from bulwark_private.audit_seals s where s.number <= v_through and s.through is null;
    select * into v_seal from bulwark_private.audit_seals s where s.number = v_through;
  end if;
  if v_through is null or v_through <= v_pruned then
    return 0;
  end if;

  -- The tombstone permits the deletion, and is complete before another session can see it.
  v_record := gen_random_uuid();
  insert into bulwark_private.audit_prunings (through_seal, timeline, snapshot, record_id)
  values (v_through, v_seal.timeline, v_seal.snapshot, v_record);
  if v_end is not null then
    for v_partition in
      select p.relation from bulwark_private.audit_partitions p
      where not p.is_default and p.high <= v_end
    loop
      -- A write here, if there can be one, waits and then finds no partition.
      execute format('lock table %s in share mode', v_partition);
      execute format('select count(*) from %s', v_partition) into v_in_partition;
      v_in_month := v_in_month + v_in_partition;
    end loop;
    v_month_records := array(select bulwark_private.audit_removals_below(v_end));
    if not exists (
      select from bulwark_private.prunable_audit_month(keep_days, v_pruned) m
      where m.end_id = v_end and m.through_seal = v_through
    ) then
      raise exception 'Cannot prune the audit log: an entry was written into the month meanwhile'
        using errcode = 'PT409', detail = 'AUDIT_REMOVAL_CONFLICT',
          hint = 'Try again';
    end if;
    perform bulwark_private.detach_audit_month(v_end);
  end if;
  -- Later months have nothing of these seals.
  select s.last_id into v_upto from bulwark_private.audit_span(v_pruned + 1, v_through) s;
  with gone as (
    delete from bulwark.audit_logs e
    where e.id < coalesce(v_upto, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      and (
        e.timeline < v_seal.timeline
        or e.timeline = v_seal.timeline
          and e.xid < pg_snapshot_xmax(v_seal.snapshot)
          and pg_visible_in_snapshot(e.xid, v_seal.snapshot)
      )
    returning e.removed_by
  )
  select count(*), array_agg(distinct g.removed_by) filter (where g.removed_by is not null)
  into v_entries, v_records
  from gone g;
  v_entries := v_entries + v_in_month;
  v_records := array(select unnest(v_records) union select unnest(v_month_records));
  -- Each organization's newest group stays, because the next one chains to it.
  delete from bulwark_private.audit_groups g
  where g.seal <= v_through and exists (
    select from bulwark_private.audit_groups n
    where n.seal > g.seal
      and n.seal <= v_through
      and (n.organization_id = g.organization_id
        or n.organization_id is null and g.organization_id is null)
  );
  v_record := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    resource_type => 'bulwark.audit_logs',
    action => 'pruning',
    details => jsonb_build_object(
      'kind', 'pruning',
      'reason', format('sealed more than %s days ago', keep_days),
      'through_seal', v_through,
      'seal_hash', bulwark_private.base64(v_seal.hash),
      'pruned', v_entries,
      'removals', (
        select coalesce(
          jsonb_object_agg(
            r.id, jsonb_build_object(
              'entries', r.entries, 'digest', bulwark_private.audit_digest(r.ids)
            )
          ),
          '{}'
        )
        from (
          select d.id, count(e.id) as entries,
            array_agg(e.id) filter (where e.id is not null) as ids
          from unnest(v_records) as d (id)
          join bulwark.audit_logs k on k.id = d.id
          left join bulwark.audit_logs e on e.removed_by = d.id
          group by d.id
        ) r
      )
    )
  );
  update bulwark_private.audit_prunings p set record_id = v_record where p.through_seal = v_through;
  perform bulwark_private.finish_audit_removal(v_holds);
  return v_entries;
end;
$$;
comment on function bulwark.prune_audit_log(integer) is
  'Deletes whole seals made more than so many days ago with their entries, from the beginning of the
   log up to the first entry under a legal hold, at most one batch; a closed month that can go whole
   is dropped with its partition instead, while writers wait for a moment. Returns how many entries.
   The seals'' own rows stay, so that the chain and every checkpoint still verify. A tombstone entry
   records it. Not fewer days than audit.keep_days, and not at all while that is null. Errors:
   AUDIT_INVALID_RETENTION, AUDIT_RETENTION_TOO_SHORT, AUDIT_HOLD_PLACED, AUDIT_REMOVAL_CONFLICT,
   AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

create function bulwark_private.audit_prunings_refuse_change()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.xid = pg_current_xact_id()
    and (new.through_seal, new.timeline, new.snapshot::text, new.xid)
      is not distinct from (old.through_seal, old.timeline, old.snapshot::text, old.xid) then
    return new;
  end if;
  raise exception 'Cannot change audit_prunings: its rows are never changed or removed'
    using errcode = 'insufficient_privilege', detail = 'AUDIT_LOG_IS_APPEND_ONLY';
end;
$$;
comment on function bulwark_private.audit_prunings_refuse_change() is
  'Trigger: a tombstone gets its record in the transaction that creates it, and never changes
   again.';

create trigger audit_prunings_refuse_change
  before update or delete on bulwark_private.audit_prunings
  for each row execute function bulwark_private.audit_prunings_refuse_change();
create trigger audit_prunings_refuse_truncate
  before truncate on bulwark_private.audit_prunings
  for each statement execute function bulwark_private.refuse_change();
alter table bulwark_private.audit_prunings enable always trigger audit_prunings_refuse_change;
alter table bulwark_private.audit_prunings enable always trigger audit_prunings_refuse_truncate;
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
values ('bulwark_private.audit_prunings', false, bulwark_private.audit_fingerprint(
  'bulwark_private.audit_prunings'
));

-- Audit archive restores: entries of an archived month, loaded back for an investigation.
-- Protects against a file that was altered in the bucket: an entry is loaded only if it is what its
-- seal holds. They lie in a table of their own, under the same policy as the log, for some days.
-- SECURITY DEFINER: begin_audit_restore, restore_audit_entries, discard_restored_audit_logs,
--   because nobody may write restored entries directly.

insert into bulwark.settings (name, value, description) values
  ('audit.restored_days', '30', 'After how many days restored entries of an archive are deleted');

create table bulwark.audit_restored_logs (
  like bulwark.audit_logs,
  month date not null,
  restored_at timestamptz not null default clock_timestamp(),
  primary key (id)
);
comment on table bulwark.audit_restored_logs is
  'Entries of archived months, loaded back for an investigation and verified against their seals:
   copies of what the archive''s files hold, with the columns of audit_logs. They are deleted after
   audit.restored_days. Not audited: who restored them is an entry.';
create index audit_restored_logs_organization_id_idx
  on bulwark.audit_restored_logs (organization_id, id);

alter table bulwark.audit_restored_logs enable row level security;

create policy "Members read the restored log of organizations where they may"
  on bulwark.audit_restored_logs for select to authenticated
  using (
    organization_id = any (array(select bulwark_private.audited_organizations()))
    or (organization_id is null and (select bulwark.is_super_admin()))
  );

create function bulwark_private.audit_leaf_of(entry jsonb)
  returns bytea
  language plpgsql
  stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The bytes of the view audit_leaves, from the JSON of an export; a test compares the two.
  return sha256(
    '\x0001'::bytea
    || uuid_send((entry ->> 'id')::uuid)
    || coalesce('\x01'::bytea || uuid_send((entry ->> 'organization_id')::uuid), '\x00'::bytea)
    || int4send((entry ->> 'timeline')::integer)
    || xid8send((entry ->> 'xid')::xid8)
    || timestamptz_send((entry ->> 'occurred_at')::timestamptz)
    || int2send(octet_length(entry ->> 'source')::smallint)
    || int2send(octet_length(entry ->> 'severity')::smallint)
    || int2send(octet_length(entry ->> 'result')::smallint)
    || int2send(octet_length(entry ->> 'event_type')::smallint)
    || int2send(coalesce(octet_length(entry ->> 'resource_type'), 0)::smallint)
    || convert_to(concat(
      entry ->> 'source', entry ->> 'severity', entry ->> 'result', entry ->> 'event_type',
      entry ->> 'resource_type'
    ), 'UTF8')
    || case
      when entry ? 'payload'
      then sha256(
        uuid_send((entry ->> 'salt')::uuid) || convert_to(entry ->> 'payload', 'UTF8')
      )
      else decode(entry ->> 'commitment', 'base64')
    end
  );
end;
$$;
comment on function bulwark_private.audit_leaf_of(jsonb) is
  'The leaf of an entry in the JSON of exports (bulwark_private.audit_entry_json).';

create function bulwark.begin_audit_restore(
  month date,
  reason text,
  organization_id uuid default null,
  everybody boolean default false
)
  returns setof bulwark.audit_archive_files
  language plpgsql
  volatile
  security definer            -- definer because nobody may write entries of the log
  set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(reason)) between 1 and 500 is not true then
    raise exception 'Cannot restore the archive: it takes a reason of up to 500 characters'
      using errcode = 'invalid_parameter_value', detail = 'AUDIT_INVALID_RESTORE';
  end if;
  if not exists (
    select from bulwark.audit_archives a
    where a.month = begin_audit_restore.month and a.archived_at is not null
  ) then
    raise exception 'Cannot restore the archive: the month is not archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'List the months with: select month from bulwark.audit_archives';
  end if;
  if exists (
    select from bulwark_private.audit_prunings p
    join bulwark.audit_archives a on a.month = begin_audit_restore.month
    where p.through_seal >= a.first_seal
  ) then
    raise exception 'Cannot restore the archive: the month was pruned'
      using errcode = 'PT410', detail = 'AUDIT_ARCHIVE_PRUNED',
            hint = 'Verify its files instead: npm run verify-audit';
  end if;
  perform bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    organization_id => begin_audit_restore.organization_id,
    resource_type => 'bulwark.audit_archives',
    action => 'restoring',
    details => jsonb_build_object('kind', 'restoring', 'month', month, 'reason', btrim(reason))
  );
  return query
    select f.* from bulwark.audit_archive_files f
    where f.month = begin_audit_restore.month
      and (everybody or f.organization_id is not distinct from begin_audit_restore.organization_id)
    order by f.organization_id, f.number;
end;
$$;
comment on function bulwark.begin_audit_restore(date, text, uuid, boolean) is
  'The files from which an organization''s entries (null: those without one; everybody: all) of an
   archived month are restored (service role), recorded as an entry with the reason. Errors:
   AUDIT_INVALID_RESTORE, AUDIT_UNKNOWN_ARCHIVE, AUDIT_ARCHIVE_PRUNED.';

create function bulwark.restore_audit_entries(
  month date,
  seal bigint,
  entries jsonb,
  organization_id uuid default null,
  first bigint default 0
)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write restored entries directly
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_bad uuid;
  v_count bigint;
  v_leaves bytea;
begin
  select g.leaves into v_leaves
  from bulwark_private.audit_groups g
  join bulwark.audit_archives a
    on a.month = restore_audit_entries.month and a.archived_at is not null
    and g.seal between a.first_seal and a.last_seal
  where g.seal = restore_audit_entries.seal
    and g.organization_id is not distinct from restore_audit_entries.organization_id;
  select (e.entry ->> 'id')::uuid into v_bad
  from jsonb_array_elements(restore_audit_entries.entries) with ordinality as e (entry, place)
  where bulwark_private.audit_leaf_of(e.entry) is distinct from
    substring(v_leaves from ((restore_audit_entries.first + e.place - 1) * 32 + 1)::integer for 32)
    or (e.entry ->> 'organization_id')::uuid
      is distinct from restore_audit_entries.organization_id
  order by e.place
  limit 1;
  if v_leaves is null or v_bad is not null then
    raise exception 'Cannot restore the archive: entry % is not what seal % holds',
      coalesce(v_bad::text, 'none'), restore_audit_entries.seal
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_ALTERED',
        hint = 'Restore the file from a copy of the bucket; verify_audit_log judges the rest';
  end if;
  insert into bulwark.audit_restored_logs
  select (jsonb_populate_record(
    null::bulwark.audit_restored_logs,
    coalesce((e.entry ->> 'payload')::jsonb, '{}') || (e.entry - 'payload') || jsonb_build_object(
      'month', restore_audit_entries.month,
      'restored_at', clock_timestamp(),
      'commitment', '\x' || encode(decode(e.entry ->> 'commitment', 'base64'), 'hex')
    )
  )).*
  from jsonb_array_elements(restore_audit_entries.entries) as e (entry)
  on conflict (id) do nothing;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint) is
  'Loads entries of an organization''s group in a seal, from position first on, in the JSON of
   exports (service role), and returns how many were not there yet. Each has to be what the seal
   holds. Errors: AUDIT_ARCHIVE_ALTERED.';

create function bulwark.discard_restored_audit_logs(older_than_days integer default 0)
  returns bigint
  language plpgsql
  volatile
  security definer            -- definer because nobody may write restored entries directly
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
begin
  delete from bulwark.audit_restored_logs r
  where r.restored_at <= clock_timestamp() - make_interval(days => older_than_days);
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function bulwark.discard_restored_audit_logs(integer) is
  'Deletes restored entries that were loaded so many days ago or earlier (service role), and returns
   how many. The job calls it with audit.restored_days.';

-- Audit tombstones: drops a month whose files are all recorded, and the entry that attests to it.
-- Protects against a month that is dropped with something that no file holds: an entry under a
-- legal hold, an entry that was never sealed, or one whose file still has a payload that was
-- removed.
-- SECURITY DEFINER: finish_audit_archive, because nobody may write tombstones directly.

create function bulwark_private.audit_month_is_held(archive bulwark.audit_archives)
  returns boolean
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_held boolean;
  v_holds constant uuid[] := array(
    select h.id from bulwark.audit_legal_holds h where h.released_at is null order by h.id
  );
  v_last uuid := archive.holds_checked_through;
  v_started constant timestamptz := clock_timestamp();
begin
  if archive.holds_checked is null or not v_holds <@ archive.holds_checked then
    v_last := '00000000-0000-0000-0000-000000000000';
  end if;
  while v_last is not null and v_holds <> '{}' loop
    select
      bool_or(e.removed_by is null and e.event_type <> 'compliance.data_deleted' and not exists (
        select from bulwark_private.audit_removable r where r.id = e.id
      )),
      (array_agg(e.id order by e.id desc))[1]
    into v_held, v_last
    from (
      select l.id, l.removed_by, l.event_type
      from bulwark.audit_logs l
      where l.id > v_last and l.id < archive.end_id
        and l.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      order by l.id
      limit 5000
    ) e;
    if v_held then
      update bulwark.audit_archives a set holds_checked = null, holds_checked_through = null
      where a.month = archive.month;
      return true;
    end if;
    exit when clock_timestamp() - v_started > interval '3 seconds';
  end loop;
  update bulwark.audit_archives a
  set holds_checked = v_holds, holds_checked_through = case when v_holds <> '{}' then v_last end
  where a.month = archive.month;
  return case when v_last is null or v_holds = '{}' then false end;
end;
$$;
comment on function bulwark_private.audit_month_is_held(bulwark.audit_archives) is
  'Whether a legal hold keeps an entry of a month; null: not known after three seconds, call it
   again. Afterwards holds_checked names the holds that were compared.';

-- One probe of an index for each record, however many entries it covers.
create function bulwark_private.audit_removals_below(end_id uuid)
  returns setof uuid
  language plpgsql
  stable
  rows 1000
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_partition regclass;
begin
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= end_id
  loop
    return query execute format(
      $query$
        with recursive records (id) as (
          (
            select p.removed_by from %1$s p
            where p.removed_by is not null
            order by p.removed_by
            limit 1
          )
          union all
          select (
            select p.removed_by from %1$s p
            where p.removed_by > r.id
            order by p.removed_by
            limit 1
          )
          from records r
          where r.id is not null
        )
        select r.id from records r where r.id is not null
      $query$, v_partition
    );
  end loop;
end;
$$;
comment on function bulwark_private.audit_removals_below(uuid) is
  'The records of the removals of payloads in the months below an id.';

create function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives)
  returns table (organization_id uuid)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select r.organization_id
  from bulwark_private.audit_removals_below(archive.end_id) as d (id)
  join bulwark.audit_logs r on r.id = d.id
  join bulwark.audit_archive_files f
    on f.month = archive.month and f.organization_id is not distinct from r.organization_id
  where r.timeline = (select max(t.timeline) from bulwark_private.audit_timelines t)
    and not pg_visible_in_snapshot(r.xid, f.snapshot)
  limit 1;
$$;
comment on function bulwark_private.outdated_audit_archive(bulwark.audit_archives) is
  'An organization whose files may still have payloads that were removed since they were written.';

create function bulwark_private.restated_audit_removals(end_id uuid)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set jit = off
as $$
  select coalesce(jsonb_object_agg(
    r.id, jsonb_build_object('entries', r.entries, 'digest', bulwark_private.audit_digest(r.ids))
  ), '{}')
  from (
    select d.id, count(e.id) as entries, array_agg(e.id) as ids
    from (
      select distinct a.id
      from bulwark_private.audit_removals_below(restated_audit_removals.end_id) as a (id)
    ) d
    cross join lateral (
      select l.id from bulwark.audit_logs l
      where l.removed_by = d.id and l.id >= restated_audit_removals.end_id
      union all
      select l.id from bulwark_private.audit_logs_default l
      where l.removed_by = d.id and l.id < restated_audit_removals.end_id
    ) e
    group by d.id
  ) r;
$$;
comment on function bulwark_private.restated_audit_removals(uuid) is
  'The removals that cover entries of a month and later ones, restated for those that stay.';

create function bulwark_private.audit_tombstones_digest(through date)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select encode(sha256(convert_to(concat_ws(
    E'\n',
    (
      select string_agg(concat_ws(
        ' ', a.month, a.from_month, a.end_id, a.first_seal, a.last_seal,
        bulwark_private.base64(a.seal_hash)
      ), E'\n' order by a.month)
      from bulwark.audit_archives a where a.month <= audit_tombstones_digest.through
    ),
    (
      select string_agg(concat_ws(
        ' ', l.month, l.organization_id, l.first_seal, l.last_seal, l.entries,
        bulwark_private.base64(l.last_hash)
      ), E'\n' order by l.month, l.organization_id)
      from bulwark.audit_archived_logs l where l.month <= audit_tombstones_digest.through
    ),
    (
      select string_agg(concat_ws(
        ' ', f.month, f.organization_id, f.number, f.after, f.cursor, f.entries, f.place, f.key,
        f.bytes, bulwark_private.base64(f.sha256), f.parquet_key, f.parquet_bytes,
        bulwark_private.base64(f.parquet_sha256)
      ), E'\n' order by f.month, f.organization_id, f.number)
      from bulwark.audit_archive_files f where f.month <= audit_tombstones_digest.through
    )
  ), 'UTF8')), 'base64');
$$;
comment on function bulwark_private.audit_tombstones_digest(date) is
  'SHA-256 over the tombstones of all months through one, base64.';

-- The newest entry attests to all tombstones, because those of before may be archived themselves.
create function bulwark_private.audit_archive_is_recorded()
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select exists (
        select
        from bulwark.audit_logs e
        where e.id = a.record_id
          and e.event_type = 'compliance.data_deleted'
          and e.source = 'system'
          and e.details ->> 'month' = a.month::text
          and e.details ->> 'through_seal' = a.last_seal::text
          and e.details ->> 'tombstones' = bulwark_private.audit_tombstones_digest(a.month)
          and (
            bulwark_private.audit_seal_of(e.timeline, e.xid, e.id) is null
            or bulwark_private.audit_entry_is_sealed(e.id)
          )
      )
      from bulwark.audit_archives a
      where a.archived_at is not null
      order by a.month desc
      limit 1
    ),
    true
  );
$$;
comment on function bulwark_private.audit_archive_is_recorded() is
  'Whether the newest tombstone has its entry, as sealed, and this attests to all tombstones as they
   are; true if nothing is archived.';

create function bulwark_private.detach_audit_month(end_id uuid)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '2s'     -- writers wait behind this lock
as $$
declare
  v_before constant text := bulwark_private.audit_fingerprint('bulwark.audit_logs');
  v_partition regclass;
begin
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= detach_audit_month.end_id
  loop
    execute format('alter table bulwark.audit_logs detach partition %s', v_partition);
    delete from bulwark_private.audit_watched_tables g where g.relation = v_partition;
    execute format('drop table %s', v_partition);
  end loop;
  -- A touch by somebody else is not accepted with it.
  update bulwark_private.audit_watched_tables g
  set fingerprint = bulwark_private.audit_fingerprint(g.relation)
  where g.relation = 'bulwark.audit_logs'::regclass and g.fingerprint = v_before;
end;
$$;
comment on function bulwark_private.detach_audit_month(uuid) is
  'Takes the partitions below an id out of the log and drops them. Writers wait for a moment, at
   most two seconds.';

create function bulwark.finish_audit_archive(month date, signers jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer            -- definer because nobody may write tombstones directly
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
declare
  v_archive bulwark.audit_archives;
  v_count bigint := 0;
  v_held boolean;
  v_in_partition bigint;
  v_organization uuid;
  v_partition regclass;
  v_record uuid;
  v_seal bulwark_private.audit_seals;
begin
  perform bulwark_private.require_audit_writer(signers);
  perform bulwark_private.begin_audit_removal();
  perform pg_advisory_xact_lock(hashtextextended('bulwark.audit_seals', 0));
  select * into v_archive from bulwark.audit_archives a
  where a.month = finish_audit_archive.month for update;
  if v_archive.month is null then
    raise exception 'Cannot archive: the month is not being archived'
      using errcode = 'PT404', detail = 'AUDIT_UNKNOWN_ARCHIVE',
        hint = 'Begin it with npm run audit-archive';
  end if;
  if v_archive.archived_at is not null then
    return jsonb_build_object('step', 'done', 'dropped', v_archive.dropped);
  end if;
  if v_archive.checked_through < v_archive.last_seal
    or bulwark_private.next_audit_archive_file(month) is not null then
    return jsonb_build_object('step', 'write');
  end if;
  if exists (
    select from bulwark_private.audit_partitions p
    where not p.is_default and p.low < v_archive.end_id and p.high > v_archive.end_id
  ) then
    return jsonb_build_object('step', 'copied', 'because', 'partition_not_over');
  end if;
  v_held := bulwark_private.audit_month_is_held(v_archive);
  if v_held is null then
    return jsonb_build_object('step', 'check');
  elsif v_held then
    return jsonb_build_object('step', 'copied', 'because', 'legal_hold');
  end if;
  -- Removals wait from here on, writers and readers do not.
  for v_partition in
    select p.relation from bulwark_private.audit_partitions p
    where not p.is_default and p.high <= v_archive.end_id
  loop
    execute format('lock table %s in share mode', v_partition);
    execute format('select count(*) from %s', v_partition) into v_in_partition;
    v_count := v_count + v_in_partition;
  end loop;
  perform pg_advisory_xact_lock_shared(hashtextextended('bulwark.audit_holds', 0));
  if exists (
    select from bulwark.audit_legal_holds h
    join bulwark.audit_archives a on a.month = finish_audit_archive.month
    where h.released_at is null and h.id <> all (a.holds_checked)
  ) then
    return jsonb_build_object('step', 'check');
  end if;
  select * into v_seal from bulwark_private.audit_seals s where s.number = v_archive.last_seal;
  if v_seal.hash is distinct from v_archive.seal_hash or exists (
    select from bulwark.audit_logs e
    where e.id < v_archive.end_id and e.tableoid <> 'bulwark_private.audit_logs_default'::regclass
      and (e.timeline, e.xid) >= (v_seal.timeline, pg_snapshot_xmin(v_seal.snapshot))
  ) then
    raise exception 'Cannot archive: the month has entries that its seals do not hold'
      using errcode = 'data_corrupted', detail = 'AUDIT_ARCHIVE_NOT_INTACT',
            hint = 'Run verify_audit_log';
  end if;
  select o.organization_id into v_organization
  from bulwark_private.outdated_audit_archive(v_archive) o;
  if found then
    return jsonb_build_object('step', 'stale', 'organization_id', v_organization);
  end if;
  v_record := bulwark_private.append_audit_entry(
    'compliance.data_deleted',
    resource_type => 'bulwark.audit_logs',
    action => 'archiving',
    details => jsonb_build_object(
      'kind', 'archiving',
      'month', month,
      'through_seal', v_archive.last_seal,
      'seal_hash', bulwark_private.base64(v_seal.hash),
      'archived', v_count,
      'tombstones', bulwark_private.audit_tombstones_digest(month),
      'pruned', (
        select jsonb_build_object(
          'through_seal', p.through_seal, 'seal_hash', bulwark_private.base64(s.hash)
        )
        from bulwark_private.audit_prunings p
        join bulwark_private.audit_seals s on s.number = p.through_seal
        where bulwark_private.audit_pruning_is_recorded(p.through_seal)
        order by p.through_seal desc
        limit 1
      ),
      'removals', bulwark_private.restated_audit_removals(v_archive.end_id)
    )
  );
  update bulwark.audit_archived_logs l set archived_at = clock_timestamp()
  where l.month = finish_audit_archive.month;
  update bulwark.audit_archives a
  set archived_at = clock_timestamp(), record_id = v_record, dropped = v_count
  where a.month = finish_audit_archive.month;
  perform bulwark_private.detach_audit_month(v_archive.end_id);
  return jsonb_build_object('step', 'done', 'dropped', v_count);
end;
$$;
comment on function bulwark.finish_audit_archive(date, jsonb) is
  'Drops a month whose files are all recorded, under a tombstone and its entry (service role and
   holder of the signing key): { step: done }. Otherwise step says why not: check (call it again),
   write (files are missing), copied (a legal hold keeps an entry, or the month''s partition is not
   over: files and month both stay), stale (payloads of an organization were removed after its files
   were written: delete those and write them again). Errors: AUDIT_UNKNOWN_ARCHIVE,
   AUDIT_ARCHIVE_NOT_INTACT, AUDIT_NOT_THE_KEY_HOLDER, AUDIT_REMOVAL_NEEDS_READ_COMMITTED.';

-- Audit schedule: the jobs that seal, sign and clean up the log without anybody calling.
-- Protects against a log that silently stays unsealed.
-- No function here is SECURITY DEFINER: pg_cron runs jobs as the role that scheduled them.

insert into bulwark.settings (name, value, description) values
  ('audit.seal_interval_seconds', '1',
    'Interval of seals; call bulwark.schedule_jobs after a change');

insert into bulwark_private.jobs (name, seconds_setting, command) values
  ('audit-seal', 'audit.seal_interval_seconds', 'select bulwark.seal_audit_log()');

create function bulwark_private.keep_audit_partitions()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_made regclass[] := array(select p from bulwark_private.make_audit_partitions() as p);
  v_known constant regclass[] := array(
    select g.relation
    from bulwark_private.audit_watched_tables g
    join bulwark_private.audit_partitions p on p.relation = g.relation
    where not p.is_closed and g.fingerprint = bulwark_private.audit_fingerprint(g.relation)
  );
  v_closed regclass[];
begin
  insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
  select p, false, bulwark_private.audit_fingerprint(p) from unnest(v_made) as p;
  v_closed := array(select p from bulwark_private.close_audit_partitions() as p);
  -- Accepts what the job did itself, and nothing that was touched before.
  update bulwark_private.audit_watched_tables g
  set fingerprint = bulwark_private.audit_fingerprint(g.relation)
  where g.relation = any (v_closed) and g.relation = any (v_known);
  perform bulwark_private.summarize_audit_partitions();
  return cardinality(v_made) + cardinality(v_closed);
end;
$$;
comment on function bulwark_private.keep_audit_partitions() is
  'Makes the partitions of the coming months and closes those that are over; returns how many. Also
   takes what is new into the index for searches.';

insert into bulwark_private.jobs (name, every, command) values
  ('audit-partitions', '1 hour', 'select bulwark_private.keep_audit_partitions()');

insert into bulwark_private.jobs (name, every, command, function_path) values
  (
    'audit-checkpoint', '1 minute',
    $$select bulwark_private.request_function('bulwark-audit/checkpoint')$$,
    'bulwark-audit/checkpoint'
  ),
  ('audit-check', '5 minutes', 'select bulwark.check_audit_log()', null),
  (
    'audit-retention', '10 minutes',
    $$
      select bulwark.cleanup_old_audit_logs(
        (bulwark_private.setting('audit.retention_days'))::integer
      );
      select bulwark.prune_audit_log(keep_days)
      from (
        select (nullif(bulwark_private.setting('audit.keep_days'), 'null'))::integer as keep_days
      ) s
      where keep_days is not null;
      select bulwark.discard_restored_audit_logs(
        (bulwark_private.setting('audit.restored_days'))::integer
      )
    $$, null
  ),
  (
    'audit-archive', '10 minutes',
    $$select bulwark_private.request_function('bulwark-audit/archive')$$, 'bulwark-audit/archive'
  );

-- Audit levels: how far sealing, signing and verification are behind, as numbers for metrics.
-- Protects against a log that falls behind unnoticed. Each number costs a few index look-ups,
-- whatever the size of the log.
-- No function here is SECURITY DEFINER.

create function bulwark_private.audit_waiting(
  most integer, snapshot pg_snapshot default pg_current_snapshot()
)
  returns table (entries bigint, since timestamptz)
  language plpgsql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan -- opens only the partitions that can have new entries
  set enable_seqscan = off
  set jit = off
as $$
declare
  v_first uuid;
  v_last bulwark_private.audit_seals;
  v_range bulwark_private.audit_range;
  v_timeline constant integer := (select max(t.timeline) from bulwark_private.audit_timelines t);
begin
  select * into v_last from bulwark_private.audit_seals s order by s.number desc limit 1;
  if v_last.number is not null and not bulwark_private.audit_log_is_settled() then
    -- Transaction ids of another cluster cannot be compared.
    entries := 0;
    since := v_last.sealed_at;
    return next;
    return;
  end if;
  if v_last.through is null then
    v_range := (v_last.timeline, v_last.snapshot, v_timeline, audit_waiting.snapshot, null, null);
  else
    v_range := (
      select row(
        (s.range).base_timeline, (s.range).base_snapshot, (s.range).timeline, (s.range).snapshot,
        (s.range).through, null
      )::bulwark_private.audit_range
      from bulwark_private.audit_seal_ranges s where s.number = v_last.number
    );
  end if;
  if v_range.base_timeline = v_range.timeline then
    v_first := bulwark_private.audit_open_from(v_range.base_timeline, v_range.base_snapshot);
  end if;
  return query
    select count(*), least(min(e.occurred_at), now())
    from bulwark_private.audit_entries(
      v_range, hashed => false, most => audit_waiting.most, first_id => v_first
    ) e
    having count(*) > 0;
  if not found then
    entries := 0;
    return next;
  end if;
end;
$$;
comment on function bulwark_private.audit_waiting(integer, pg_snapshot) is
  'How many committed entries wait for a seal, counted up to a maximum, and since when the first of
   them does (null: none waits). A restored log waits from its last seal until its first one here.';

create function bulwark_private.audit_levels()
  returns table (metric text, unit text, description text, labels jsonb, value double precision)
  language plpgsql
  stable
  rows 10
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  v_checks bulwark_private.audit_check_progress;
  v_signed timestamptz;
  v_waiting record;
begin
  select * into v_waiting from bulwark_private.audit_waiting(10000);
  select * into v_checks from bulwark_private.audit_check_progress p;
  select c.signed_at into v_signed
  from bulwark.audit_checkpoints c order by c.tree_size desc limit 1;
  return query
    select l.metric, l.unit, l.description, '{}'::jsonb, l.value::double precision
    from (
      values
        ('audit_unsealed_entries', '', 'Entries of the audit log that wait for a seal, up to 10000',
          v_waiting.entries),
        ('audit_seal_lag', 'seconds', 'How long the oldest entry without a seal waits',
          coalesce(extract(epoch from now() - v_waiting.since), 0)),
        ('audit_checkpoint_lag', 'seconds', 'How long the oldest seal without a signature waits',
          coalesce(
            extract(epoch from now() - bulwark_private.audit_unsigned_since()), 0
          )),
        ('audit_checkpoint_age', 'seconds', 'Time since the newest checkpoint was signed',
          extract(epoch from now() - v_signed)),
        ('audit_checkpoints_undelivered', '', 'Checkpoints not stored elsewhere, up to 10000',
          (
            select count(*)
            from (
              select from bulwark.audit_checkpoints c where c.delivered_at is null limit 10000
            ) c
          )),
        ('audit_verification_failed', '', 'Whether the log was found altered or incomplete: 0 or 1',
          bulwark_private.audit_verification_failed(v_checks)::integer),
        ('audit_verification_age', 'seconds', 'Time since a part of the log was verified',
          extract(epoch from now() - v_checks.checked_at)),
        ('audit_verification_pass_age', 'seconds', 'Time since the whole log was found intact',
          extract(epoch from now() - v_checks.passed_at)),
        ('audit_gaps', '', 'Events of Supabase Auth that could not be recorded, up to 10000',
          (
            select count(*) from (select from bulwark_private.audit_gaps limit 10000) g
          ))
    ) as l (metric, unit, description, value)
    where l.value is not null;
end;
$$;
comment on function bulwark_private.audit_levels() is
  'The levels of the audit log: see docs/metrics.md.';

revoke all on table
  bulwark.audit_event_types,
  bulwark.audit_logs,
  bulwark_private.audit_payloads,
  bulwark_private.audit_commitments,
  bulwark_private.audit_leaves,
  bulwark_private.audit_timelines,
  bulwark_private.audit_closings,
  bulwark_private.audit_late_entries,
  bulwark_private.audit_partitions,
  bulwark_private.audit_watched_tables,
  bulwark_private.audit_tables,
  bulwark_private.audit_types,
  bulwark_private.audit_system_objects,
  bulwark_private.audit_columns,
  bulwark_private.audit_parents,
  bulwark_private.audit_gaps,
  bulwark.audit_archives,
  bulwark.audit_archived_logs,
  bulwark.audit_archive_files,
  bulwark_private.audit_seals,
  bulwark_private.audit_groups,
  bulwark_private.audit_seal_ranges,
  bulwark.audit_keys,
  bulwark_private.audit_key_acceptances,
  bulwark.audit_checkpoints,
  bulwark_private.audit_records,
  bulwark_private.audit_check_progress,
  bulwark_private.audit_exports,
  bulwark.audit_legal_holds,
  bulwark_private.audit_removable,
  bulwark_private.audit_retention_progress,
  bulwark_private.audit_prunings,
  bulwark.audit_restored_logs
  from public, anon, authenticated, service_role;
revoke all on function
  bulwark.raise_security_event(event_type text, organization_id uuid, user_id uuid, subject text, details jsonb),
  bulwark_private.restore_problems(),
  bulwark_private.mend_restore(),
  bulwark_private.audited_organizations(),
  bulwark_private.audit_timeline(),
  bulwark_private.audit_log_is_settled(),
  bulwark_private.settled_audit_timeline(log regclass),
  bulwark_private.audit_log_is_loading(),
  bulwark_private.refuse_change(),
  bulwark_private.audit_timelines_stamp(),
  bulwark_private.audit_logs_stamp(),
  bulwark_private.install_audit_stamp(),
  bulwark_private.audit_logs_refuse_change(),
  bulwark_private.append_audit_entry(event_type text, organization_id uuid, resource_type text, resource_id text, action text, result bulwark.audit_result, severity bulwark.audit_severity, details jsonb, before jsonb, after jsonb, parent_id uuid, source bulwark.audit_source, actor_id uuid, session_id uuid, ip text, user_agent text),
  bulwark_private.audit_id_floor(moment timestamptz),
  bulwark_private.audit_logs_note_late(),
  bulwark_private.close_audit_partition(partition regclass),
  bulwark_private.make_audit_partition(name text, low uuid, high uuid),
  bulwark_private.fence_audit_partition(partition regclass),
  bulwark_private.make_audit_partitions(months_ahead integer),
  bulwark_private.close_audit_partitions(),
  bulwark_private.summarize_audit_partitions(),
  bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot),
  bulwark_private.remake_audit_partitions(first_month date),
  bulwark_private.audit_word(kind text, name text, content text, touched text, lasting boolean),
  bulwark_private.audit_objects_fingerprint(),
  bulwark_private.audit_code(),
  bulwark_private.audit_code_fingerprint(code jsonb),
  bulwark_private.audit_fingerprint(relation regclass),
  bulwark_private.audit_catalogue(),
  bulwark.refresh_audit_fingerprints(),
  bulwark_private.audit_value(value anyelement),
  bulwark_private.audit_value(value anyelement, other anyelement),
  bulwark_private.audit_json(changed record),
  bulwark_private.audit_image(image jsonb, ignored text[], redacted text[], whole jsonb),
  bulwark_private.audit_key(image jsonb, key_columns text[]),
  bulwark_private.audit_lookup(lookup regproc, value text),
  bulwark_private.audit_organization(value text, lookup text),
  bulwark_private.audit_key_columns(relation oid, known text[]),
  bulwark_private.audit_places(relation oid, names text[]),
  bulwark_private.audit_moved(relation oid, places jsonb),
  bulwark_private.audit_statement(relation oid, operation text, options text[], old_rows text, new_rows text, trusting boolean),
  bulwark_private.audit_carefully(relation oid, event integer, old record, new record, options text[]),
  bulwark_private.audit_rows(),
  bulwark_private.audit_truncate(),
  bulwark_private.remembered_organization(value text, lookup text),
  bulwark_private.remember_organizations(),
  bulwark_private.forget_parents(stem text),
  bulwark_private.watch_parents(target regclass, organization_column text, organization_lookup regproc, stem text),
  bulwark_private.audit_row_settings(relation oid, nulls jsonb),
  bulwark_private.audit_row_difference(relation oid, nulls jsonb),
  bulwark_private.audit_row_source(image text, nulls jsonb),
  bulwark_private.audit_row_part(image text, operation text, options text[]),
  bulwark_private.leave_row_function(),
  bulwark_private.audit_shape(relation oid),
  bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]),
  bulwark_private.audit_row_body(relation oid, operation text, options text[]),
  bulwark_private.audit_stem(target regclass),
  bulwark_private.make_audit_function(relation oid, operation text, options text[], stem text),
  bulwark_private.drop_audit_triggers(target regclass),
  bulwark.disable_audit(target regclass),
  bulwark.enable_audit(target regclass, organization_column text, ignore text[], redact text[], bulk boolean, event_types text[], organization_lookup regproc, direct_only boolean),
  bulwark_private.renew_audit_functions(everything boolean),
  bulwark_private.role_organization(role_id uuid),
  bulwark_private.invitation_organization(invitation_id uuid),
  bulwark_private.is_audit_evidence(event_type text, action text),
  bulwark.log_audit_event(event_type text, action text, organization_id uuid, resource_type text, resource_id text, result bulwark.audit_result, severity bulwark.audit_severity, details jsonb, parent_id uuid, actor_id uuid),
  bulwark_private.append_auth_entry(event_type text, user_id uuid, resource_type text, resource_id text, action text, session jsonb, before jsonb, after jsonb),
  bulwark_private.audit_auth(),
  bulwark_private.auth_watches(),
  bulwark_private.watch_auth(),
  bulwark_private.user_roles_report_lost_administrator(),
  bulwark_private.merkle_root(leaves bytea),
  bulwark_private.largest_power_below(n bigint),
  bulwark_private.merkle_path(leaves bytea, index bigint),
  bulwark_private.audit_group_hash(organization_id uuid, seal bigint, entry_count bigint, entries_before bigint, previous bytea, root bytea),
  bulwark_private.audit_position_hash(place bulwark_private.audit_position),
  bulwark_private.audit_seal_hash(number bigint, previous_hash bytea, root bytea, timeline integer, sealed_at timestamptz, snapshot pg_snapshot, through bulwark_private.audit_position),
  bulwark_private.base64(value bytea),
  bulwark_private.audit_archived_through(),
  bulwark_private.archived_audit_months(organization_id uuid, since timestamptz, until timestamptz),
  bulwark_private.audit_archives_refuse_change(),
  bulwark_private.audit_archive_parts_refuse_change(),
  bulwark_private.audit_seal_nodes(number bigint, hash bytea),
  bulwark_private.audit_group_before(organization uuid, seal bigint),
  bulwark_private.audit_groups_of(organization uuid, first_seal bigint, last_seal bigint),
  bulwark_private.audit_seals_extend_chain(),
  bulwark_private.audit_groups_refuse_change(),
  bulwark_private.audit_segments(range bulwark_private.audit_range),
  bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer, first_id uuid, last_id uuid),
  bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range),
  bulwark_private.write_audit_seal(snapshot pg_snapshot),
  bulwark_private.inspect_audit_fingerprints(),
  bulwark.seal_audit_log(),
  bulwark_private.audit_span(first_seal bigint, last_seal bigint),
  bulwark_private.renew_audit_stamp(timeline bulwark_private.audit_timelines),
  bulwark_private.adopt_audit_fingerprints(),
  bulwark_private.settle_audit_timeline(),
  bulwark_private.require_audit(permission text, organization_id uuid),
  bulwark_private.audit_seal_of(timeline integer, xid xid8, id uuid),
  bulwark_private.audit_entry_is_sealed(entry_id uuid),
  bulwark_private.audit_digest(ids uuid[]),
  bulwark_private.audit_removal_problem(record_id uuid),
  bulwark_private.name_bad_entry(seal bigint, organization uuid),
  bulwark_private.audit_seal_problems(first_seal bigint, last_seal bigint, pruned bigint),
  bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid),
  bulwark_private.audit_backdated(first_seal bigint, last_seal bigint, everybody boolean, organization uuid),
  bulwark_private.audit_unsealed(everybody boolean, organization uuid),
  bulwark.verify_audit_log(organization_id uuid, since timestamptz, until timestamptz, after_seal bigint, max_entries integer, max_seconds integer),
  bulwark_private.audit_tree_node(first_leaf bigint, width bigint),
  bulwark_private.audit_tree_root(tree_size bigint),
  bulwark_private.audit_tree_path(leaf bigint, tree_size bigint),
  bulwark_private.audit_tree_consistency(from_size bigint, to_size bigint),
  bulwark_private.audit_key_id(name text, public_key bytea),
  bulwark.accept_audit_key(key_id text),
  bulwark_private.register_audit_keys(signers jsonb),
  bulwark.audit_tree_head(),
  bulwark_private.audit_note_fits(note text, origin text, tree_size bigint, root_hash text, key_ids text[]),
  bulwark.store_audit_checkpoint(tree_size bigint, root_hash text, note text, signers jsonb),
  bulwark.record_audit_delivery(tree_size bigint, sink text, error text),
  bulwark.undelivered_audit_checkpoints(page_size integer),
  bulwark_private.audit_checkpoints_keep(),
  bulwark_private.base64_array(hashes bytea[]),
  bulwark_private.time_json(moment timestamptz),
  bulwark_private.time_microseconds(moment timestamptz),
  bulwark_private.audit_group_json(grouped bulwark_private.audit_groups),
  bulwark_private.audit_group_proof(seal bigint, organization uuid),
  bulwark.audit_inclusion_proof(entry_id uuid),
  bulwark.audit_consistency_proof(from_size bigint, to_size bigint),
  bulwark_private.merkle_nodes(leaves bytea, first bigint, last bigint),
  bulwark.audit_group_nodes(seal bigint, first bigint, last bigint, organization_id uuid),
  bulwark_private.raise_audit_alarm(action text, resource_type text, details jsonb),
  bulwark_private.audit_unsigned_since(),
  bulwark_private.report_missing_checkpoint(),
  bulwark_private.report_late_entries(snapshot pg_snapshot),
  bulwark.report_checkpoint_problem(action text, details jsonb),
  bulwark.check_audit_log(max_entries integer),
  bulwark_private.audit_verification_failed(progress bulwark_private.audit_check_progress),
  bulwark.audit_status(),
  bulwark_private.audit_entries_with(key text, value text, low uuid, high uuid, most integer, organization uuid),
  bulwark_private.find_audit_entries(key text, value text, low uuid, high uuid, most integer),
  bulwark_private.audit_entry_below(high uuid, low uuid, place integer, everybody boolean, organizations uuid[]),
  bulwark.search_audit_logs(organization_id uuid, since timestamptz, until timestamptz, event_types text[], severities bulwark.audit_severity[], results bulwark.audit_result[], actor_id uuid, resource_type text, resource_id text, correlation_id uuid, search text, before uuid, page_size integer, max_entries integer),
  bulwark.continue_audit_export(caller uuid, after text, organization_id uuid),
  bulwark.note_audit_export(caller uuid, reached text, begins boolean, ends boolean, organization_id uuid),
  bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean, purpose text),
  bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid, event_types text[], severities bulwark.audit_severity[], actor_id uuid, resource_id text, search text),
  bulwark.audit_period(organization_id uuid, since timestamptz, until timestamptz),
  bulwark_private.read_audit_tail(cursor text),
  bulwark_private.next_audit_tail(tail bulwark_private.audit_tail),
  bulwark.tail_audit_log(organization_id uuid, after text, page_size integer),
  bulwark.audit_coverage(organization_id uuid),
  bulwark_private.addresses_of(user_id uuid, organization_id uuid),
  bulwark_private.address_pattern(addresses text[]),
  bulwark_private.mentions_person(content text, user_id uuid, pattern text),
  bulwark_private.begin_audit_removal(),
  bulwark_private.finish_audit_removal(known_holds uuid[], organizations uuid[]),
  bulwark_private.audit_legal_holds_wait(),
  bulwark.place_legal_hold(reason text, organization_id uuid, subject_id uuid, resource_type text, resource_id text),
  bulwark.release_legal_hold(hold_id uuid),
  bulwark_private.audit_holds_reset_retention(),
  bulwark_private.remove_audit_payloads(ids uuid[], organization uuid, details jsonb),
  bulwark.cleanup_old_audit_logs(retention_days integer),
  bulwark_private.require_erasable(user_id uuid, organization_id uuid),
  bulwark_private.audit_subject(user_id uuid),
  bulwark_private.erase_invitations(addresses text[], organization_id uuid),
  bulwark_private.remove_subject_payloads(ids uuid[], subject uuid, details jsonb),
  bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer),
  bulwark_private.require_audit_writer(signers jsonb),
  bulwark_private.audit_id_time(id uuid),
  bulwark_private.last_seal_before(end_id uuid),
  bulwark_private.begin_audit_archive(month date, end_id uuid),
  bulwark_private.next_audit_archive_file(month date),
  bulwark.next_audit_archive(through date),
  bulwark.check_audit_archive(month date),
  bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb),
  bulwark.forget_audit_archive_files(month date, organization_id uuid),
  bulwark_private.audit_pruning_is_recorded(through_seal bigint),
  bulwark_private.prunable_audit_month(keep_days integer, pruned bigint),
  bulwark.prune_audit_log(keep_days integer),
  bulwark_private.audit_prunings_refuse_change(),
  bulwark_private.audit_leaf_of(entry jsonb),
  bulwark.begin_audit_restore(month date, reason text, organization_id uuid, everybody boolean),
  bulwark.restore_audit_entries(month date, seal bigint, entries jsonb, organization_id uuid, first bigint),
  bulwark.discard_restored_audit_logs(older_than_days integer),
  bulwark_private.audit_month_is_held(archive bulwark.audit_archives),
  bulwark_private.audit_removals_below(end_id uuid),
  bulwark_private.outdated_audit_archive(archive bulwark.audit_archives),
  bulwark_private.restated_audit_removals(end_id uuid),
  bulwark_private.audit_tombstones_digest(through date),
  bulwark_private.audit_archive_is_recorded(),
  bulwark_private.detach_audit_month(end_id uuid),
  bulwark.finish_audit_archive(month date, signers jsonb),
  bulwark_private.keep_audit_partitions(),
  bulwark_private.audit_waiting(most integer, snapshot pg_snapshot),
  bulwark_private.audit_levels()
  from public, anon, authenticated, service_role;

-- Grants of audit. The build revokes everything else.

-- Where a checkpoint was delivered concerns only the operator.
grant select (
  tree_size, root_hash, key_id, note, signed_at, delivered_at
) on bulwark.audit_checkpoints to authenticated;

grant select on
  bulwark.audit_event_types,
  bulwark.audit_logs,
  bulwark.audit_legal_holds,
  bulwark.audit_archives,
  bulwark.audit_archived_logs,
  bulwark.audit_archive_files,
  bulwark.audit_restored_logs
  to authenticated, service_role;

grant select (
  key_id, name, public_key, registered_at
) on bulwark.audit_keys to authenticated, service_role;

grant select on bulwark.audit_checkpoints to service_role;

grant execute on function bulwark_private.audited_organizations() to authenticated;

grant execute on function
  bulwark.log_audit_event(
    text, text, uuid, text, text, bulwark.audit_result, bulwark.audit_severity, jsonb, uuid, uuid
  ),
  bulwark.verify_audit_log(uuid, timestamptz, timestamptz, bigint, integer, integer),
  bulwark.audit_inclusion_proof(uuid),
  bulwark.audit_consistency_proof(bigint, bigint),
  bulwark.audit_group_nodes(bigint, bigint, bigint, uuid),
  bulwark.audit_status(),
  bulwark_private.audit_id_floor(timestamptz),
  bulwark_private.audit_id_time(uuid),
  bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]),
  bulwark_private.find_audit_entries(text, text, uuid, uuid, integer),
  bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz),
  bulwark.search_audit_logs(uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[],
    bulwark.audit_result[], uuid, text, text, uuid, text, uuid, integer,
    integer),
  bulwark.export_audit_log(uuid, text, integer, timestamptz, timestamptz, boolean, text),
  bulwark.audit_period(uuid, timestamptz, timestamptz),
  bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid, text[],
    bulwark.audit_severity[], uuid, text, text),
  bulwark.tail_audit_log(uuid, text, integer),
  bulwark.audit_coverage(uuid),
  bulwark.place_legal_hold(text, uuid, uuid, text, text),
  bulwark.release_legal_hold(uuid),
  bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer)
  to authenticated, service_role;

grant execute on function
  bulwark.seal_audit_log(),
  bulwark.audit_tree_head(),
  bulwark.store_audit_checkpoint(bigint, text, text, jsonb),
  bulwark.record_audit_delivery(bigint, text, text),
  bulwark.undelivered_audit_checkpoints(integer),
  bulwark.report_checkpoint_problem(text, jsonb),
  bulwark.check_audit_log(integer),
  bulwark.continue_audit_export(uuid, text, uuid),
  bulwark.note_audit_export(uuid, text, boolean, boolean, uuid),
  bulwark.cleanup_old_audit_logs(integer),
  bulwark.prune_audit_log(integer),
  bulwark.next_audit_archive(date),
  bulwark.check_audit_archive(date),
  bulwark.record_audit_archive_file(date, jsonb, jsonb),
  bulwark.forget_audit_archive_files(date, uuid),
  bulwark.finish_audit_archive(date, jsonb),
  bulwark.begin_audit_restore(date, text, uuid, boolean),
  bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint),
  bulwark.discard_restored_audit_logs(integer)
  to service_role;

insert into bulwark_private.capabilities values ('audit', '0.1.0');
