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
