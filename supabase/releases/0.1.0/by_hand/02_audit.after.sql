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
