-- Audit eras: in which cluster the log lives. Transaction ids, by which entries are sealed, restart
-- where a dump is restored, so that each cluster's entries are of an era of their own.
-- Protects against a restored or upgraded log that nobody seals, and against a restore that passes
-- for live writes or the other way round.
-- SECURITY DEFINER: audit_log_is_loading, because eras are for no client and triggers of tables
--   that clients write to ask it.

create table bulwark_private.audit_eras (
  -- squawk-ignore prefer-bigint-over-int
  era integer primary key,
  relation oid not null,
  system_identifier bigint not null,
  timeline bigint not null,
  started_at timestamptz not null default clock_timestamp(),
  settled_at timestamptz,
  constraint audit_eras_is_one_a_table unique (relation, system_identifier)
);
comment on table bulwark_private.audit_eras is
  'The clusters the log has lived in, told apart by their identifier and by the table''s own oid: it
   is another one after a dump is restored.';
comment on column bulwark_private.audit_eras.settled_at is
  'When the sealer recorded that the era began, and looked after what a restore loses.';
alter table bulwark_private.audit_eras enable row level security;

-- Reading the control file costs more than stamping an entry, so a session remembers what it read.
-- A session that sets it by hand gains nothing: the trigger compares it with its arguments.
create function bulwark_private.audit_cluster()
  returns text
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  return set_config(
    'bulwark.audit_cluster',
    concat(
      (select c.system_identifier from pg_catalog.pg_control_system() c), '/',
      'bulwark.audit_logs'::regclass::oid
    ),
    false
  );
end;
$$;
comment on function bulwark_private.audit_cluster() is
  'The cluster and the table that the log lives in, as text; the session remembers it.';

create function bulwark_private.audit_era()
  returns integer
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_era integer;
  v_relation constant oid := 'bulwark.audit_logs'::regclass;
  v_system constant bigint := (select c.system_identifier from pg_catalog.pg_control_system() c);
begin
  select e.era into v_era
  from bulwark_private.audit_eras e
  where e.relation = v_relation and e.system_identifier = v_system;
  if not found then
    -- After the last one that is known of, also where the list of eras was not restored.
    insert into bulwark_private.audit_eras (era, relation, system_identifier, timeline)
    select
      greatest(
        (select max(e.era) from bulwark_private.audit_eras e),
        (select max(s.era) from bulwark_private.audit_seals s),
        (select max(e.era) from bulwark.audit_logs e),
        0
      ) + 1,
      v_relation, v_system, c.timeline_id
    from pg_catalog.pg_control_checkpoint() c
    on conflict on constraint audit_eras_is_one_a_table do nothing;
    -- A statement of its own: one that calls this function does not see what it inserts.
    select e.era into strict v_era
    from bulwark_private.audit_eras e
    where e.relation = v_relation and e.system_identifier = v_system;
  end if;
  return v_era;
end;
$$;
comment on function bulwark_private.audit_era() is
  'The era of the log in this cluster; the first call after a restore begins one. Read the era''s
   row in a later statement.';

create function bulwark_private.audit_log_is_settled()
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- The trigger that stamps entries has the cluster as its first argument.
  select exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = 'bulwark.audit_logs'::regclass
      and t.tgname = 'audit_logs_stamp'
      and starts_with(encode(t.tgargs, 'escape'), bulwark_private.audit_cluster() || '\000')
  );
$$;
comment on function bulwark_private.audit_log_is_settled() is
  'False from a restore or an upgrade until the sealer has run for the first time.';

create function bulwark_private.audit_log_is_loading()
  returns boolean
  language plpgsql
  volatile
  security definer            -- definer because eras are for no client
  set search_path = pg_catalog, pg_temp
as $$
begin
  return current_setting('session_replication_role') = 'replica'
    and not bulwark_private.audit_log_is_settled();
end;
$$;
comment on function bulwark_private.audit_log_is_loading() is
  'Whether what is written now is a backup that is being restored: rows that were, not changes. In a
   log that is sealed it never is, whatever session_replication_role says.';

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
comment on function bulwark_private.refuse_change() is 'Trigger: refuses whatever it is made for.';

create function bulwark_private.audit_eras_stamp()
  returns trigger
  language plpgsql
  set search_path = pg_catalog, pg_temp
as $$
begin
  if bulwark_private.audit_log_is_loading() then
    return new;
  end if;
  select s.system_identifier, c.timeline_id
  into new.system_identifier, new.timeline
  from pg_catalog.pg_control_system() s
  cross join pg_catalog.pg_control_checkpoint() c;
  new.relation := 'bulwark.audit_logs'::regclass;
  new.started_at := clock_timestamp();
  new.settled_at := null;
  return new;
end;
$$;
comment on function bulwark_private.audit_eras_stamp() is
  'Trigger: an era is that of this cluster, whatever the insert says, and so there is one. Only a
   restore brings others.';

insert into bulwark_private.audit_eras (era, relation, system_identifier, timeline, settled_at)
select 1, 'bulwark.audit_logs'::regclass, s.system_identifier, c.timeline_id, clock_timestamp()
from pg_catalog.pg_control_system() s
cross join pg_catalog.pg_control_checkpoint() c;

create trigger audit_eras_stamp
  before insert on bulwark_private.audit_eras
  for each row execute function bulwark_private.audit_eras_stamp();
create trigger audit_eras_keep_columns
  before update on bulwark_private.audit_eras
  for each row execute function bulwark.keep_columns(
    'era', 'relation', 'system_identifier', 'started_at'
  );
create trigger audit_eras_settle_once
  before update of settled_at on bulwark_private.audit_eras
  for each row when (old.settled_at is not null) execute function bulwark_private.refuse_change();
create trigger audit_eras_refuse_removal
  before delete on bulwark_private.audit_eras
  for each row execute function bulwark_private.refuse_change();
create trigger audit_eras_refuse_truncate
  before truncate on bulwark_private.audit_eras
  for each statement execute function bulwark_private.refuse_change();
-- Always: session_replication_role skips ordinary triggers.
alter table bulwark_private.audit_eras enable always trigger audit_eras_stamp;
alter table bulwark_private.audit_eras enable always trigger audit_eras_keep_columns;
alter table bulwark_private.audit_eras enable always trigger audit_eras_settle_once;
alter table bulwark_private.audit_eras enable always trigger audit_eras_refuse_removal;
alter table bulwark_private.audit_eras enable always trigger audit_eras_refuse_truncate;
