-- 02_audit: built by npm run build; edit the sources, or supabase/releases/next/by_hand.
-- By hand: gone: insert into bulwark_private.jobs (name, every, command, function_path) values
-- By hand: changed: create table bulwark.audit_logs (
-- By hand: new: select count(*) from bulwark_private.make_audit_partitions();
-- By hand: new: insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
-- By hand: changed: create table bulwark_private.audit_check_progress (
-- By hand: new: insert into bulwark.settings (name, value, description) values
-- By hand: new: insert into bulwark.settings (name, value, description) values
-- By hand: new: insert into bulwark_private.jobs (name, every, command) values
-- By hand: new: insert into bulwark_private.jobs (name, every, command, function_path) values
alter table bulwark_private.audit_check_progress
  add column late_reported_at timestamptz,
  add column checked_at timestamptz,
  add column pass_began_at timestamptz,
  add column passed_at timestamptz,
  add column problem_at timestamptz;
insert into bulwark_private.jobs (name, every, command) values
  ('audit-partitions', '1 hour', 'select bulwark_private.keep_audit_partitions()');
drop function bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean);
drop function bulwark_private.audit_entry_json(entry bulwark_private.audit_commitments);
drop function bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer);
drop function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[]);
drop function bulwark_private.audit_row_image(relation oid, source text, nulls jsonb);
drop function bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid);
drop function bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer);
create index audit_logs_search_idx on bulwark.audit_logs using brin (
  occurred_at,
  actor_id uuid_bloom_ops (n_distinct_per_range = 1000),
  correlation_id uuid_bloom_ops (n_distinct_per_range = 1000),
  resource_id text_bloom_ops (n_distinct_per_range = 1000)
) with (pages_per_range = 64, autosummarize = on);
create or replace view bulwark_private.audit_payloads with (security_invoker = true) as
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
create or replace view bulwark_private.audit_leaves with (security_invoker = true) as
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
create or replace function bulwark_private.audit_logs_stamp()
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
create or replace function bulwark_private.audit_id_floor(moment timestamptz)
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
create or replace view bulwark_private.audit_tables with (security_invoker = true) as
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
create or replace function bulwark_private.audit_fingerprint(relation regclass)
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
create or replace function bulwark_private.audit_catalogue()
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
create or replace function bulwark.refresh_audit_fingerprints()
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
create or replace function bulwark_private.audit_row_body(relation oid, operation text, options text[])
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
create or replace function bulwark.disable_audit(target regclass)
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
create or replace function bulwark.enable_audit(
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
create or replace function bulwark_private.is_audit_evidence(event_type text, action text)
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
create or replace function bulwark.log_audit_event(
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
create or replace function bulwark_private.append_auth_entry(
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
create or replace function bulwark_private.user_roles_report_lost_administrator()
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
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_change;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_change;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_change;
alter table bulwark.audit_archives enable always trigger audit_archives_refuse_truncate;
alter table bulwark.audit_archived_logs enable always trigger audit_archived_logs_refuse_truncate;
alter table bulwark.audit_archive_files enable always trigger audit_archive_files_refuse_truncate;
create or replace function bulwark_private.audit_seals_extend_chain()
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
create or replace function bulwark_private.audit_segments(range bulwark_private.audit_range)
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
create or replace function bulwark_private.write_audit_seal(snapshot pg_snapshot)
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
create or replace function bulwark_private.inspect_audit_fingerprints()
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
create or replace function bulwark.seal_audit_log()
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
create or replace function bulwark_private.adopt_audit_fingerprints()
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
create or replace function bulwark_private.settle_audit_timeline()
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
create or replace function bulwark_private.audit_removal_problem(record_id uuid)
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
create or replace function bulwark_private.name_bad_entry(seal bigint, organization uuid)
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
create or replace function bulwark_private.compare_audit_groups(
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
create or replace function bulwark_private.audit_backdated(
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
create or replace function bulwark.verify_audit_log(
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
create or replace function bulwark_private.register_audit_keys(signers jsonb)
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
create or replace function bulwark.store_audit_checkpoint(
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
create or replace function bulwark.record_audit_delivery(
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
create or replace function bulwark.audit_inclusion_proof(entry_id uuid)
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
comment on table bulwark_private.audit_check_progress is
  'Progress of the log''s verification of itself, and the findings reported so far, so that each is
   reported once; also the size of the checkpoint whose successor is overdue (null: none), and when
   entries outside of the open partitions were reported. Not audited: it changes with every run.';
comment on column bulwark_private.audit_check_progress.passed_at is
  'When the last pass over the whole log without a problem ended; checked_at: when a part was last
   verified; problem_at: when a part last had a problem.';
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
create or replace function bulwark_private.report_missing_checkpoint()
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
create or replace function bulwark.check_audit_log(max_entries integer default 1000000)
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
create or replace function bulwark.audit_status()
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
create or replace function bulwark.search_audit_logs(
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
create or replace function bulwark_private.begin_audit_removal()
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
create or replace function bulwark_private.finish_audit_removal(
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
create or replace function bulwark.release_legal_hold(hold_id uuid)
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
create or replace function bulwark_private.remove_audit_payloads(ids uuid[], organization uuid, details jsonb)
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
create or replace function bulwark_private.require_erasable(user_id uuid, organization_id uuid)
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
create or replace function bulwark.erase_subject(
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
create or replace function bulwark_private.audit_pruning_is_recorded(through_seal bigint)
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
create or replace function bulwark.prune_audit_log(keep_days integer)
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
revoke all on table bulwark_private.audit_closings from public;
revoke all on table bulwark_private.audit_closings from anon;
revoke all on table bulwark_private.audit_closings from authenticated;
revoke all on table bulwark_private.audit_closings from service_role;
revoke all on table bulwark_private.audit_late_entries from public;
revoke all on table bulwark_private.audit_late_entries from anon;
revoke all on table bulwark_private.audit_late_entries from authenticated;
revoke all on table bulwark_private.audit_late_entries from service_role;
revoke all on table bulwark_private.audit_partitions from public;
revoke all on table bulwark_private.audit_partitions from anon;
revoke all on table bulwark_private.audit_partitions from authenticated;
revoke all on table bulwark_private.audit_partitions from service_role;
revoke all on table bulwark.audit_archives from public;
revoke all on table bulwark.audit_archives from anon;
revoke all on table bulwark.audit_archives from authenticated;
revoke all on table bulwark.audit_archives from service_role;
revoke all on table bulwark.audit_archived_logs from public;
revoke all on table bulwark.audit_archived_logs from anon;
revoke all on table bulwark.audit_archived_logs from authenticated;
revoke all on table bulwark.audit_archived_logs from service_role;
revoke all on table bulwark.audit_archive_files from public;
revoke all on table bulwark.audit_archive_files from anon;
revoke all on table bulwark.audit_archive_files from authenticated;
revoke all on table bulwark.audit_archive_files from service_role;
revoke all on table bulwark_private.audit_records from public;
revoke all on table bulwark_private.audit_records from anon;
revoke all on table bulwark_private.audit_records from authenticated;
revoke all on table bulwark_private.audit_records from service_role;
revoke all on table bulwark.audit_restored_logs from public;
revoke all on table bulwark.audit_restored_logs from anon;
revoke all on table bulwark.audit_restored_logs from authenticated;
revoke all on table bulwark.audit_restored_logs from service_role;
revoke all on function bulwark_private.audit_logs_note_late() from public;
revoke all on function bulwark_private.audit_logs_note_late() from anon;
revoke all on function bulwark_private.audit_logs_note_late() from authenticated;
revoke all on function bulwark_private.audit_logs_note_late() from service_role;
revoke all on function bulwark_private.close_audit_partition(partition regclass) from public;
revoke all on function bulwark_private.close_audit_partition(partition regclass) from anon;
revoke all on function bulwark_private.close_audit_partition(partition regclass) from authenticated;
revoke all on function bulwark_private.close_audit_partition(partition regclass) from service_role;
revoke all on function bulwark_private.make_audit_partition(name text, low uuid, high uuid) from public;
revoke all on function bulwark_private.make_audit_partition(name text, low uuid, high uuid) from anon;
revoke all on function bulwark_private.make_audit_partition(name text, low uuid, high uuid) from authenticated;
revoke all on function bulwark_private.make_audit_partition(name text, low uuid, high uuid) from service_role;
revoke all on function bulwark_private.fence_audit_partition(partition regclass) from public;
revoke all on function bulwark_private.fence_audit_partition(partition regclass) from anon;
revoke all on function bulwark_private.fence_audit_partition(partition regclass) from authenticated;
revoke all on function bulwark_private.fence_audit_partition(partition regclass) from service_role;
revoke all on function bulwark_private.make_audit_partitions(months_ahead integer) from public;
revoke all on function bulwark_private.make_audit_partitions(months_ahead integer) from anon;
revoke all on function bulwark_private.make_audit_partitions(months_ahead integer) from authenticated;
revoke all on function bulwark_private.make_audit_partitions(months_ahead integer) from service_role;
revoke all on function bulwark_private.close_audit_partitions() from public;
revoke all on function bulwark_private.close_audit_partitions() from anon;
revoke all on function bulwark_private.close_audit_partitions() from authenticated;
revoke all on function bulwark_private.close_audit_partitions() from service_role;
revoke all on function bulwark_private.summarize_audit_partitions() from public;
revoke all on function bulwark_private.summarize_audit_partitions() from anon;
revoke all on function bulwark_private.summarize_audit_partitions() from authenticated;
revoke all on function bulwark_private.summarize_audit_partitions() from service_role;
revoke all on function bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot) from public;
revoke all on function bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot) from anon;
revoke all on function bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot) from authenticated;
revoke all on function bulwark_private.audit_open_from(timeline integer, snapshot pg_snapshot) from service_role;
revoke all on function bulwark_private.remake_audit_partitions(first_month date) from public;
revoke all on function bulwark_private.remake_audit_partitions(first_month date) from anon;
revoke all on function bulwark_private.remake_audit_partitions(first_month date) from authenticated;
revoke all on function bulwark_private.remake_audit_partitions(first_month date) from service_role;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_settings(relation oid, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_difference(relation oid, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from public;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from anon;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from authenticated;
revoke all on function bulwark_private.audit_row_source(image text, nulls jsonb) from service_role;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from public;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from anon;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from authenticated;
revoke all on function bulwark_private.audit_row_part(image text, operation text, options text[]) from service_role;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from public;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from anon;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from authenticated;
revoke all on function bulwark_private.audit_table_fits(relation regclass, key_index regclass, definition text, watched text[], columns text[], types text[]) from service_role;
revoke all on function bulwark_private.audit_archived_through() from public;
revoke all on function bulwark_private.audit_archived_through() from anon;
revoke all on function bulwark_private.audit_archived_through() from authenticated;
revoke all on function bulwark_private.audit_archived_through() from service_role;
revoke all on function bulwark_private.archived_audit_months(organization_id uuid, since timestamptz, until timestamptz) from public;
revoke all on function bulwark_private.archived_audit_months(organization_id uuid, since timestamptz, until timestamptz) from anon;
revoke all on function bulwark_private.archived_audit_months(organization_id uuid, since timestamptz, until timestamptz) from authenticated;
revoke all on function bulwark_private.archived_audit_months(organization_id uuid, since timestamptz, until timestamptz) from service_role;
revoke all on function bulwark_private.audit_archives_refuse_change() from public;
revoke all on function bulwark_private.audit_archives_refuse_change() from anon;
revoke all on function bulwark_private.audit_archives_refuse_change() from authenticated;
revoke all on function bulwark_private.audit_archives_refuse_change() from service_role;
revoke all on function bulwark_private.audit_archive_parts_refuse_change() from public;
revoke all on function bulwark_private.audit_archive_parts_refuse_change() from anon;
revoke all on function bulwark_private.audit_archive_parts_refuse_change() from authenticated;
revoke all on function bulwark_private.audit_archive_parts_refuse_change() from service_role;
revoke all on function bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer, first_id uuid, last_id uuid) from public;
revoke all on function bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer, first_id uuid, last_id uuid) from anon;
revoke all on function bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer, first_id uuid, last_id uuid) from authenticated;
revoke all on function bulwark_private.audit_entries(range bulwark_private.audit_range, everybody boolean, organization uuid, hashed boolean, most integer, first_id uuid, last_id uuid) from service_role;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from public;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from anon;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from authenticated;
revoke all on function bulwark_private.take_sealed_entries(seal bigint, range bulwark_private.audit_range) from service_role;
revoke all on function bulwark_private.audit_span(first_seal bigint, last_seal bigint) from public;
revoke all on function bulwark_private.audit_span(first_seal bigint, last_seal bigint) from anon;
revoke all on function bulwark_private.audit_span(first_seal bigint, last_seal bigint) from authenticated;
revoke all on function bulwark_private.audit_span(first_seal bigint, last_seal bigint) from service_role;
revoke all on function bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid) from public;
revoke all on function bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid) from anon;
revoke all on function bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid) from authenticated;
revoke all on function bulwark_private.compare_audit_groups(first_seal bigint, last_seal bigint, everybody boolean, organization uuid) from service_role;
revoke all on function bulwark_private.audit_unsigned_since() from public;
revoke all on function bulwark_private.audit_unsigned_since() from anon;
revoke all on function bulwark_private.audit_unsigned_since() from authenticated;
revoke all on function bulwark_private.audit_unsigned_since() from service_role;
revoke all on function bulwark_private.report_late_entries(snapshot pg_snapshot) from public;
revoke all on function bulwark_private.report_late_entries(snapshot pg_snapshot) from anon;
revoke all on function bulwark_private.report_late_entries(snapshot pg_snapshot) from authenticated;
revoke all on function bulwark_private.report_late_entries(snapshot pg_snapshot) from service_role;
revoke all on function bulwark_private.audit_verification_failed(progress bulwark_private.audit_check_progress) from public;
revoke all on function bulwark_private.audit_verification_failed(progress bulwark_private.audit_check_progress) from anon;
revoke all on function bulwark_private.audit_verification_failed(progress bulwark_private.audit_check_progress) from authenticated;
revoke all on function bulwark_private.audit_verification_failed(progress bulwark_private.audit_check_progress) from service_role;
revoke all on function bulwark_private.audit_entries_with(key text, value text, low uuid, high uuid, most integer, organization uuid) from public;
revoke all on function bulwark_private.audit_entries_with(key text, value text, low uuid, high uuid, most integer, organization uuid) from anon;
revoke all on function bulwark_private.audit_entries_with(key text, value text, low uuid, high uuid, most integer, organization uuid) from authenticated;
revoke all on function bulwark_private.audit_entries_with(key text, value text, low uuid, high uuid, most integer, organization uuid) from service_role;
revoke all on function bulwark_private.find_audit_entries(key text, value text, low uuid, high uuid, most integer) from public;
revoke all on function bulwark_private.find_audit_entries(key text, value text, low uuid, high uuid, most integer) from anon;
revoke all on function bulwark_private.find_audit_entries(key text, value text, low uuid, high uuid, most integer) from authenticated;
revoke all on function bulwark_private.find_audit_entries(key text, value text, low uuid, high uuid, most integer) from service_role;
revoke all on function bulwark_private.audit_entry_below(high uuid, low uuid, place integer, everybody boolean, organizations uuid[]) from public;
revoke all on function bulwark_private.audit_entry_below(high uuid, low uuid, place integer, everybody boolean, organizations uuid[]) from anon;
revoke all on function bulwark_private.audit_entry_below(high uuid, low uuid, place integer, everybody boolean, organizations uuid[]) from authenticated;
revoke all on function bulwark_private.audit_entry_below(high uuid, low uuid, place integer, everybody boolean, organizations uuid[]) from service_role;
revoke all on function bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean, purpose text) from public;
revoke all on function bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean, purpose text) from anon;
revoke all on function bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean, purpose text) from authenticated;
revoke all on function bulwark.export_audit_log(organization_id uuid, after text, page_size integer, since timestamptz, until timestamptz, signed boolean, purpose text) from service_role;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid, event_types text[], severities bulwark.audit_severity[], actor_id uuid, resource_id text, search text) from public;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid, event_types text[], severities bulwark.audit_severity[], actor_id uuid, resource_id text, search text) from anon;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid, event_types text[], severities bulwark.audit_severity[], actor_id uuid, resource_id text, search text) from authenticated;
revoke all on function bulwark.audit_histogram(organization_id uuid, since timestamptz, until timestamptz, bucket interval, group_by text, before uuid, event_types text[], severities bulwark.audit_severity[], actor_id uuid, resource_id text, search text) from service_role;
revoke all on function bulwark.audit_period(organization_id uuid, since timestamptz, until timestamptz) from public;
revoke all on function bulwark.audit_period(organization_id uuid, since timestamptz, until timestamptz) from anon;
revoke all on function bulwark.audit_period(organization_id uuid, since timestamptz, until timestamptz) from authenticated;
revoke all on function bulwark.audit_period(organization_id uuid, since timestamptz, until timestamptz) from service_role;
revoke all on function bulwark_private.read_audit_tail(cursor text) from public;
revoke all on function bulwark_private.read_audit_tail(cursor text) from anon;
revoke all on function bulwark_private.read_audit_tail(cursor text) from authenticated;
revoke all on function bulwark_private.read_audit_tail(cursor text) from service_role;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from public;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from anon;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from authenticated;
revoke all on function bulwark_private.next_audit_tail(tail bulwark_private.audit_tail) from service_role;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from public;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from anon;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from authenticated;
revoke all on function bulwark.tail_audit_log(organization_id uuid, after text, page_size integer) from service_role;
revoke all on function bulwark.audit_coverage(organization_id uuid) from public;
revoke all on function bulwark.audit_coverage(organization_id uuid) from anon;
revoke all on function bulwark.audit_coverage(organization_id uuid) from authenticated;
revoke all on function bulwark.audit_coverage(organization_id uuid) from service_role;
revoke all on function bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer) from public;
revoke all on function bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer) from anon;
revoke all on function bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer) from authenticated;
revoke all on function bulwark.erase_subject(user_id uuid, reason text, organization_id uuid, evidence boolean, after uuid, max_entries integer, max_seconds integer) from service_role;
revoke all on function bulwark_private.require_audit_writer(signers jsonb) from public;
revoke all on function bulwark_private.require_audit_writer(signers jsonb) from anon;
revoke all on function bulwark_private.require_audit_writer(signers jsonb) from authenticated;
revoke all on function bulwark_private.require_audit_writer(signers jsonb) from service_role;
revoke all on function bulwark_private.audit_id_time(id uuid) from public;
revoke all on function bulwark_private.audit_id_time(id uuid) from anon;
revoke all on function bulwark_private.audit_id_time(id uuid) from authenticated;
revoke all on function bulwark_private.audit_id_time(id uuid) from service_role;
revoke all on function bulwark_private.last_seal_before(end_id uuid) from public;
revoke all on function bulwark_private.last_seal_before(end_id uuid) from anon;
revoke all on function bulwark_private.last_seal_before(end_id uuid) from authenticated;
revoke all on function bulwark_private.last_seal_before(end_id uuid) from service_role;
revoke all on function bulwark_private.begin_audit_archive(month date, end_id uuid) from public;
revoke all on function bulwark_private.begin_audit_archive(month date, end_id uuid) from anon;
revoke all on function bulwark_private.begin_audit_archive(month date, end_id uuid) from authenticated;
revoke all on function bulwark_private.begin_audit_archive(month date, end_id uuid) from service_role;
revoke all on function bulwark_private.next_audit_archive_file(month date) from public;
revoke all on function bulwark_private.next_audit_archive_file(month date) from anon;
revoke all on function bulwark_private.next_audit_archive_file(month date) from authenticated;
revoke all on function bulwark_private.next_audit_archive_file(month date) from service_role;
revoke all on function bulwark.next_audit_archive(through date) from public;
revoke all on function bulwark.next_audit_archive(through date) from anon;
revoke all on function bulwark.next_audit_archive(through date) from authenticated;
revoke all on function bulwark.next_audit_archive(through date) from service_role;
revoke all on function bulwark.check_audit_archive(month date) from public;
revoke all on function bulwark.check_audit_archive(month date) from anon;
revoke all on function bulwark.check_audit_archive(month date) from authenticated;
revoke all on function bulwark.check_audit_archive(month date) from service_role;
revoke all on function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb) from public;
revoke all on function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb) from anon;
revoke all on function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb) from authenticated;
revoke all on function bulwark.record_audit_archive_file(month date, file jsonb, signers jsonb) from service_role;
revoke all on function bulwark.forget_audit_archive_files(month date, organization_id uuid) from public;
revoke all on function bulwark.forget_audit_archive_files(month date, organization_id uuid) from anon;
revoke all on function bulwark.forget_audit_archive_files(month date, organization_id uuid) from authenticated;
revoke all on function bulwark.forget_audit_archive_files(month date, organization_id uuid) from service_role;
revoke all on function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint) from public;
revoke all on function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint) from anon;
revoke all on function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint) from authenticated;
revoke all on function bulwark_private.prunable_audit_month(keep_days integer, pruned bigint) from service_role;
revoke all on function bulwark_private.audit_leaf_of(entry jsonb) from public;
revoke all on function bulwark_private.audit_leaf_of(entry jsonb) from anon;
revoke all on function bulwark_private.audit_leaf_of(entry jsonb) from authenticated;
revoke all on function bulwark_private.audit_leaf_of(entry jsonb) from service_role;
revoke all on function bulwark.begin_audit_restore(month date, reason text, organization_id uuid, everybody boolean) from public;
revoke all on function bulwark.begin_audit_restore(month date, reason text, organization_id uuid, everybody boolean) from anon;
revoke all on function bulwark.begin_audit_restore(month date, reason text, organization_id uuid, everybody boolean) from authenticated;
revoke all on function bulwark.begin_audit_restore(month date, reason text, organization_id uuid, everybody boolean) from service_role;
revoke all on function bulwark.restore_audit_entries(month date, seal bigint, entries jsonb, organization_id uuid, first bigint) from public;
revoke all on function bulwark.restore_audit_entries(month date, seal bigint, entries jsonb, organization_id uuid, first bigint) from anon;
revoke all on function bulwark.restore_audit_entries(month date, seal bigint, entries jsonb, organization_id uuid, first bigint) from authenticated;
revoke all on function bulwark.restore_audit_entries(month date, seal bigint, entries jsonb, organization_id uuid, first bigint) from service_role;
revoke all on function bulwark.discard_restored_audit_logs(older_than_days integer) from public;
revoke all on function bulwark.discard_restored_audit_logs(older_than_days integer) from anon;
revoke all on function bulwark.discard_restored_audit_logs(older_than_days integer) from authenticated;
revoke all on function bulwark.discard_restored_audit_logs(older_than_days integer) from service_role;
revoke all on function bulwark_private.audit_month_is_held(archive bulwark.audit_archives) from public;
revoke all on function bulwark_private.audit_month_is_held(archive bulwark.audit_archives) from anon;
revoke all on function bulwark_private.audit_month_is_held(archive bulwark.audit_archives) from authenticated;
revoke all on function bulwark_private.audit_month_is_held(archive bulwark.audit_archives) from service_role;
revoke all on function bulwark_private.audit_removals_below(end_id uuid) from public;
revoke all on function bulwark_private.audit_removals_below(end_id uuid) from anon;
revoke all on function bulwark_private.audit_removals_below(end_id uuid) from authenticated;
revoke all on function bulwark_private.audit_removals_below(end_id uuid) from service_role;
revoke all on function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives) from public;
revoke all on function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives) from anon;
revoke all on function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives) from authenticated;
revoke all on function bulwark_private.outdated_audit_archive(archive bulwark.audit_archives) from service_role;
revoke all on function bulwark_private.restated_audit_removals(end_id uuid) from public;
revoke all on function bulwark_private.restated_audit_removals(end_id uuid) from anon;
revoke all on function bulwark_private.restated_audit_removals(end_id uuid) from authenticated;
revoke all on function bulwark_private.restated_audit_removals(end_id uuid) from service_role;
revoke all on function bulwark_private.audit_tombstones_digest(through date) from public;
revoke all on function bulwark_private.audit_tombstones_digest(through date) from anon;
revoke all on function bulwark_private.audit_tombstones_digest(through date) from authenticated;
revoke all on function bulwark_private.audit_tombstones_digest(through date) from service_role;
revoke all on function bulwark_private.audit_archive_is_recorded() from public;
revoke all on function bulwark_private.audit_archive_is_recorded() from anon;
revoke all on function bulwark_private.audit_archive_is_recorded() from authenticated;
revoke all on function bulwark_private.audit_archive_is_recorded() from service_role;
revoke all on function bulwark_private.detach_audit_month(end_id uuid) from public;
revoke all on function bulwark_private.detach_audit_month(end_id uuid) from anon;
revoke all on function bulwark_private.detach_audit_month(end_id uuid) from authenticated;
revoke all on function bulwark_private.detach_audit_month(end_id uuid) from service_role;
revoke all on function bulwark.finish_audit_archive(month date, signers jsonb) from public;
revoke all on function bulwark.finish_audit_archive(month date, signers jsonb) from anon;
revoke all on function bulwark.finish_audit_archive(month date, signers jsonb) from authenticated;
revoke all on function bulwark.finish_audit_archive(month date, signers jsonb) from service_role;
revoke all on function bulwark_private.keep_audit_partitions() from public;
revoke all on function bulwark_private.keep_audit_partitions() from anon;
revoke all on function bulwark_private.keep_audit_partitions() from authenticated;
revoke all on function bulwark_private.keep_audit_partitions() from service_role;
revoke all on function bulwark_private.audit_waiting(most integer, snapshot pg_snapshot) from public;
revoke all on function bulwark_private.audit_waiting(most integer, snapshot pg_snapshot) from anon;
revoke all on function bulwark_private.audit_waiting(most integer, snapshot pg_snapshot) from authenticated;
revoke all on function bulwark_private.audit_waiting(most integer, snapshot pg_snapshot) from service_role;
revoke all on function bulwark_private.audit_levels() from public;
revoke all on function bulwark_private.audit_levels() from anon;
revoke all on function bulwark_private.audit_levels() from authenticated;
revoke all on function bulwark_private.audit_levels() from service_role;
grant select on table bulwark.audit_archives to authenticated;
grant select on table bulwark.audit_archives to service_role;
grant select on table bulwark.audit_archived_logs to authenticated;
grant select on table bulwark.audit_archived_logs to service_role;
grant select on table bulwark.audit_archive_files to authenticated;
grant select on table bulwark.audit_archive_files to service_role;
grant select on table bulwark.audit_restored_logs to authenticated;
grant select on table bulwark.audit_restored_logs to service_role;
grant execute on function bulwark_private.audit_id_time(uuid) to authenticated;
grant execute on function bulwark_private.audit_id_time(uuid) to service_role;
grant execute on function bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]) to authenticated;
grant execute on function bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]) to service_role;
grant execute on function bulwark_private.find_audit_entries(text, text, uuid, uuid, integer) to authenticated;
grant execute on function bulwark_private.find_audit_entries(text, text, uuid, uuid, integer) to service_role;
grant execute on function bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz) to authenticated;
grant execute on function bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz) to service_role;
grant execute on function bulwark.export_audit_log(uuid, text, integer, timestamptz, timestamptz, boolean, text) to authenticated;
grant execute on function bulwark.export_audit_log(uuid, text, integer, timestamptz, timestamptz, boolean, text) to service_role;
grant execute on function bulwark.audit_period(uuid, timestamptz, timestamptz) to authenticated;
grant execute on function bulwark.audit_period(uuid, timestamptz, timestamptz) to service_role;
grant execute on function bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid, text[], bulwark.audit_severity[], uuid, text, text) to authenticated;
grant execute on function bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid, text[], bulwark.audit_severity[], uuid, text, text) to service_role;
grant execute on function bulwark.tail_audit_log(uuid, text, integer) to authenticated;
grant execute on function bulwark.tail_audit_log(uuid, text, integer) to service_role;
grant execute on function bulwark.audit_coverage(uuid) to authenticated;
grant execute on function bulwark.audit_coverage(uuid) to service_role;
grant execute on function bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer) to authenticated;
grant execute on function bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer) to service_role;
grant execute on function bulwark.next_audit_archive(date) to service_role;
grant execute on function bulwark.check_audit_archive(date) to service_role;
grant execute on function bulwark.record_audit_archive_file(date, jsonb, jsonb) to service_role;
grant execute on function bulwark.forget_audit_archive_files(date, uuid) to service_role;
grant execute on function bulwark.finish_audit_archive(date, jsonb) to service_role;
grant execute on function bulwark.begin_audit_restore(date, text, uuid, boolean) to service_role;
grant execute on function bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint) to service_role;
grant execute on function bulwark.discard_restored_audit_logs(integer) to service_role;
-- The log becomes a partitioned table, with the present one as its first partition. Writers wait
-- for the rest of the upgrade. Postgres proves the partition's bound by reading the table, unless a
-- constraint that was validated before does (docs/releases.md).
do $$
declare
  v_bound uuid;
  v_comment constant text := obj_description('bulwark.audit_logs'::regclass, 'pg_class');
  v_end timestamp;
  v_grants text[];
  v_high uuid;
  v_indexes text[];
  v_old constant regclass := 'bulwark.audit_logs'::regclass;
  v_policies text[];
  v_statement text;
  v_table text;
  v_triggers text[];
  v_views text[];
begin
  lock table bulwark.audit_logs in access exclusive mode;
  -- Up to the end of the month of the newest entry, should that lie ahead.
  select date_trunc('month', greatest(clock_timestamp(), max(l.occurred_at)) at time zone 'UTC')
    + interval '1 month'
  into v_end
  from (select l.occurred_at from bulwark.audit_logs l order by l.id desc limit 1) l;
  v_high := bulwark_private.audit_id_floor(v_end at time zone 'UTC');
  -- Or where the constraint says.
  select substring(pg_get_constraintdef(k.oid) from '''([0-9a-f-]{36})''')::uuid into v_bound
  from pg_catalog.pg_constraint k
  where k.conrelid = v_old and k.conname = 'audit_logs_bound' and k.convalidated;
  if v_bound is not null then
    v_high := v_bound;
    v_end := to_timestamp(
      ('x' || translate(left(v_bound::text, 13), '-', ''))::bit(48)::bigint / 1000.0
    ) at time zone 'UTC';
  end if;
  v_table := 'audit_logs_' || to_char(v_end - interval '1 day', 'YYYY_MM');
  -- Everything that hangs on the table by its name is made again on the new one.
  v_triggers := array(
    select pg_get_triggerdef(t.oid)
      || case t.tgenabled
        when 'A' then format('; alter table %s enable always trigger %I', v_old, t.tgname)
        else ''
      end
    from pg_catalog.pg_trigger t
    where t.tgrelid = v_old and not t.tgisinternal
    order by t.tgname
  );
  v_indexes := array(
    select pg_get_indexdef(i.indexrelid)
    from pg_catalog.pg_index i
    where i.indrelid = v_old and not i.indisprimary
    order by i.indexrelid
  );
  v_policies := array(
    select format(
      'create policy %I on %s as %s for %s to %s using (%s)', p.policyname, v_old, p.permissive,
      p.cmd, array_to_string(p.roles, ', '), p.qual
    )
    from pg_catalog.pg_policies p
    where p.schemaname = 'bulwark' and p.tablename = 'audit_logs'
  );
  v_grants := array(
    select format('grant %s on %s to %I', a.privilege_type, v_old, r.rolname)
    from pg_catalog.pg_class c
    cross join aclexplode(c.relacl) a
    join pg_catalog.pg_roles r on r.oid = a.grantee
    where c.oid = v_old and a.grantee <> c.relowner
  );
  v_views := array(
    select distinct format(
      'create or replace view %s with (security_invoker = true) as %s', w.ev_class::regclass,
      pg_get_viewdef(w.ev_class)
    )
    from pg_catalog.pg_depend d
    join pg_catalog.pg_rewrite w on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
    where d.refclassid = 'pg_class'::regclass and d.refobjid = v_old
  );
  for v_statement in
    select format('drop trigger %I on %s', t.tgname, v_old)
    from pg_catalog.pg_trigger t where t.tgrelid = v_old and not t.tgisinternal
    union all
    select format('drop policy %I on %s', p.policyname, v_old)
    from pg_catalog.pg_policies p
    where p.schemaname = 'bulwark' and p.tablename = 'audit_logs'
    union all
    -- As Postgres names those of the other partitions.
    select format(
      'alter index %s rename to %I', i.indexrelid::regclass,
      concat_ws(
        '_', v_table,
        case
          when i.indisprimary then 'pkey'
          -- Of 63 characters the name of the table stays whole.
          else left(
            (
              select string_agg(a.attname, '_' order by a.attnum) from pg_catalog.pg_attribute a
              where a.attrelid = i.indexrelid
            ),
            58 - length(v_table)
          ) || '_idx'
        end
      )
    )
    from pg_catalog.pg_index i
    where i.indrelid = v_old
  loop
    execute v_statement;
  end loop;
  execute format('alter table bulwark.audit_logs rename to %I', v_table);
  execute format('alter table bulwark.%I set schema bulwark_private', v_table);
  execute format(
    'create table bulwark.audit_logs (
       like bulwark_private.%I including defaults including storage including compression
         including comments
     ) partition by range (id)', v_table
  );
  revoke all on bulwark.audit_logs from public, anon, authenticated, service_role, api_key;
  alter table bulwark.audit_logs enable row level security;
  execute format('comment on table bulwark.audit_logs is %L', v_comment);
  for v_statement in
    select format('comment on column bulwark_private.%I.%I is null', v_table, a.attname)
    from pg_catalog.pg_attribute a where a.attrelid = v_old and a.attnum > 0
  loop
    execute v_statement;
  end loop;
  alter table bulwark.audit_logs alter column id set default (
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
  )::uuid;
  execute format('alter table bulwark_private.%I alter column id set default %s', v_table, (
    select pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
    join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = 'bulwark.audit_logs'::regclass and a.attname = 'id'
  ));
  perform bulwark_private.fence_audit_partition(v_old);
  execute format(
    'alter table bulwark.audit_logs attach partition bulwark_private.%I
       for values from (minvalue) to (%L)', v_table, v_high
  );
  execute format(
    'alter table bulwark_private.%I drop constraint if exists audit_logs_bound', v_table
  );
  alter table bulwark.audit_logs add primary key (id);
  foreach v_statement in array v_indexes || v_views || v_policies || v_grants || v_triggers loop
    execute v_statement;
  end loop;
  -- The clusters and the watched tables know the log by its oid.
  alter table bulwark_private.audit_timelines disable trigger audit_timelines_keep_columns;
  update bulwark_private.audit_timelines set relation = 'bulwark.audit_logs'::regclass
  where relation = v_old
    and system_identifier = (select c.system_identifier from pg_catalog.pg_control_system() c);
  alter table bulwark_private.audit_timelines enable always trigger audit_timelines_keep_columns;
  update bulwark_private.audit_watched_tables set relation = 'bulwark.audit_logs'::regclass
  where relation = v_old;
end;
$$;

select count(*) from bulwark_private.make_audit_partitions();

-- The archive of months.
insert into bulwark.settings (name, value, description) values
  ('audit.archive_after_days', 'null',
    'After how many days the job archives a month; null: only npm run audit-archive does'),
  ('audit.archive_file_entries', '10000', 'Entries in a file of the archive'),
  ('audit.restored_days', '30', 'After how many days restored entries of an archive are deleted');
update bulwark_private.jobs set command = $$
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
    $$
where name = 'audit-retention';
insert into bulwark_private.jobs (name, every, command, function_path) values
  (
    'audit-archive', '10 minutes',
    $$select bulwark_private.request_function('bulwark-audit/archive')$$, 'bulwark-audit/archive'
  );
insert into bulwark_private.audit_watched_tables (relation, captures, fingerprint)
select r, false, bulwark_private.audit_fingerprint(r)
from unnest(
  '{bulwark.audit_archives, bulwark.audit_archived_logs, bulwark.audit_archive_files}'::regclass[]
) as r;
