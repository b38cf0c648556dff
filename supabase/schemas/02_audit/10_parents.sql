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
