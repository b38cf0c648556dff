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
