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
