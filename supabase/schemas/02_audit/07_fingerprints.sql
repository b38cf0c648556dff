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
