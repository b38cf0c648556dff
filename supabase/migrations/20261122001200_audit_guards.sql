-- Audit guards: which tables are watched, and how what protects them looked when it was last right.
-- Protects against a guard that is taken off, switched off and on again, or replaced: the sealer
-- (audit_sealing) compares the fingerprint each second and reports what differs. A migration that
-- adds a trigger of Bulwark's to a guarded table, or replaces a function that the fingerprint of
-- audit_logs covers, therefore refreshes it.
-- No function here is SECURITY DEFINER.

create table private.audit_guards (
  relation regclass primary key,
  captures boolean not null default true,
  options jsonb not null default '{}',
  fingerprint text not null,
  shape text,
  enabled_at timestamptz not null default now()
);
comment on table private.audit_guards is
  'The tables whose triggers the sealer watches: those that enable_audit guards and (captures is
   false) the audit log''s own.';
comment on column private.audit_guards.fingerprint is
  'What the table''s triggers and their functions looked like; a transaction that touches one, even
   to switch it off and on again, leaves another fingerprint.';
comment on column private.audit_guards.shape is
  'What the table''s row functions were made for (audit_shape).';
alter table private.audit_guards enable row level security;

create function private.audit_fingerprint(relation regclass)
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Words of three parts: what it is, which code it runs, and who touched it last. The sealer tells
  -- by the second how serious a difference is. The hash of a function's text tells of one that was
  -- replaced in the transaction that made it, which has the same xmin.
  select concat_ws(
    ' ',
    concat('relation||', audit_fingerprint.relation),
    string_agg(
      format(
        '%s|%s:%s:%s|%s:%s', t.tgname, p.oid, p.xmin, left(md5(p.prosrc), 8), t.tgenabled, t.xmin
      ),
      ' ' order by t.tgname
    ),
    -- A partition has triggers of its own, which can be switched off alone.
    (
      with recursive partitions (relation) as (
        select i.inhrelid from pg_catalog.pg_inherits i
        where i.inhparent = audit_fingerprint.relation
        union all
        select i.inhrelid from pg_catalog.pg_inherits i
        join partitions p on i.inhparent = p.relation
      )
      select string_agg(
        format('partition/%s/%s|%s|%s:%s', t.tgrelid, t.tgname, t.tgfoid, t.tgenabled, t.xmin), ' '
        order by t.tgrelid, t.tgname
      )
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
      where t.tgrelid in (select r.relation from partitions r)
        and p.pronamespace = 'private'::regnamespace
    ),
    -- A rule can turn a write into nothing before any trigger sees it.
    (
      select string_agg(
        format('rule/%s|%s|%s', r.rulename, r.xmin, r.ev_enabled), ' ' order by r.rulename
      )
      from pg_catalog.pg_rewrite r
      where r.ev_class = audit_fingerprint.relation
    ),
    -- Triggers call functions, and views say what is hashed: those of the log go with the table
    -- they all belong to. A function that enable_audit made goes with its own table.
    (
      select string_agg(
        format('%s/%s|%s:%s|', f.proname, f.oid, f.xmin, left(md5(f.prosrc), 8)), ' '
        order by f.proname, f.oid
      )
      from pg_catalog.pg_proc f
      where audit_fingerprint.relation = 'public.audit_logs'::regclass
        and (
          f.pronamespace = 'private'::regnamespace
            and f.proname ~ '(^|_)audit(ed)?(_|$)|^merkle_|^base64|^time_(json|microseconds)$'
              '|^(uuid_or_null|setting|refuse_change|name_bad_entry|require_erasable)$'
            and f.proname !~ '^audit_(insert|update|delete)_[0-9a-f]{32}$'
          or f.pronamespace = 'public'::regnamespace
            and f.proname ~ '(^|_)audit(_|$)|^(erase_subject|place_legal_hold|release_legal_hold)$'
        )
    ),
    (
      select string_agg(format('view/%s|%s|', c.relname, r.xmin), ' ' order by c.relname)
      from pg_catalog.pg_class c
      join pg_catalog.pg_rewrite r on r.ev_class = c.oid
      where audit_fingerprint.relation = 'public.audit_logs'::regclass
        and c.relnamespace = 'private'::regnamespace
        and c.relkind = 'v'
        and c.relname ~ '^audit_'
    )
  )
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  where t.tgrelid = audit_fingerprint.relation
    and not t.tgisinternal
    -- The host's triggers are its own business, but on the log itself nobody's is.
    and (
      p.pronamespace = 'private'::regnamespace
      or c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        and c.relname ~ '^audit_'
    );
$$;
comment on function private.audit_fingerprint(regclass) is
  'Bulwark''s triggers on a table and its partitions (on the log itself all) and the rules there,
   with their functions, state and the transactions that last touched them; of the log its functions
   and views too.';

revoke all on function private.audit_fingerprint(regclass)
  from public, anon, authenticated, service_role;
