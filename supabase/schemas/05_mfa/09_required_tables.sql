-- MFA-required tables: step-up for tables of the host application.
-- Protects against a policy that somebody adds later. Permissive policies are joined by "or", so
-- these are restrictive, one for each command. A check finds ways around them that open later.
-- No function here is SECURITY DEFINER: they run as the owner of the tables.

create table bulwark_private.mfa_required_tables (
  relation regclass primary key,
  max_age interval not null,
  created_at timestamptz not null default now()
);
comment on table bulwark_private.mfa_required_tables is
  'The tables that require a fresh verification of a second factor, and its maximum age.';
alter table bulwark_private.mfa_required_tables enable row level security;

create function bulwark_private.mfa_condition(max_age interval)
  returns text
  language sql
  immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- In seconds: how an interval is written depends on a setting.
  select format(
    '( SELECT bulwark.mfa_verified(make_interval(secs => (%s)::double precision)) AS mfa_verified)',
    extract(epoch from max_age)::bigint
  );
$$;
comment on function bulwark_private.mfa_condition(interval) is
  'The condition of the MFA policies, as Postgres itself writes it. It is evaluated once a query.';

create function bulwark_private.release_mfa(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from bulwark_private.mfa_required_tables g where g.relation = target;
  if not found then
    raise exception 'Cannot release %: it requires no second factor', target
      using errcode = 'PT404', detail = 'MFA_NOT_GUARDED',
        hint = 'Nothing is to be done: no policy of require_mfa is on it';
  end if;
  perform bulwark_private.drop_policies(target, 'bulwark_mfa_');
end;
$$;
comment on function bulwark_private.release_mfa(regclass) is
  'Drops the MFA policies of a table. Errors: MFA_NOT_GUARDED.';

create function bulwark.require_mfa(target regclass, max_age interval default '10 minutes')
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_command text;
  v_condition text;
begin
  if target is null or max_age is null then
    raise exception 'Cannot require MFA: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'MFA_NULL_ARGUMENT';
  end if;
  if max_age < interval '1 second' or max_age > interval '30 days' then
    raise exception 'Cannot require MFA: a verification is fresh for 1 second to 30 days'
      using errcode = 'invalid_parameter_value', detail = 'MFA_INVALID_MAX_AGE';
  end if;
  if not exists (
    select from pg_catalog.pg_class c
    where c.oid = target and c.relkind in ('r', 'p') and c.relrowsecurity
  ) then
    raise exception 'Cannot require MFA of %: it is no table with row-level security', target
      using errcode = 'wrong_object_type', detail = 'MFA_TABLE_WITHOUT_RLS',
            hint = 'Enable row level security on it, and give it policies of its own';
  end if;
  if exists (select from bulwark_private.mfa_required_tables g where g.relation = target) then
    perform bulwark_private.release_mfa(target);
  end if;
  v_condition := bulwark_private.mfa_condition(max_age);
  foreach v_command in array '{select, insert, update, delete}'::text[] loop
    perform bulwark_private.make_policy(
      target, 'bulwark_mfa_' || v_command, false, v_command, '{authenticated,api_key}',
      v_condition, v_condition
    );
  end loop;
  insert into bulwark_private.mfa_required_tables (relation, max_age)
  values (target, require_mfa.max_age);
end;
$$;
comment on function bulwark.require_mfa(regclass, interval) is
  'Requires MFA of a table: users read and write it only within max_age of verifying a second factor
   in the same session. The table''s own policies are still needed. Calling it again replaces
   max_age. bulwark.mfa_uncovered_tables lists the ways around it. Errors: MFA_TABLE_WITHOUT_RLS,
   MFA_INVALID_MAX_AGE, MFA_NULL_ARGUMENT.';

create function bulwark.mfa_uncovered_tables()
  returns table (relation text, role name, problem text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with recursive required as (
    select g.relation as oid, g.max_age, c.relrowsecurity, c.relowner
    from bulwark_private.mfa_required_tables g
    join pg_catalog.pg_class c on c.oid = g.relation
  ),
  view_sources as (
    select distinct
      d.refobjid as source,
      v.oid,
      v.relowner,
      v.relkind,
      v.relkind = 'm' or not coalesce(v.reloptions, '{}') && array[
        'security_invoker=true', 'security_invoker=on', 'security_invoker=1',
        'security_invoker=yes'
      ] as as_owner
    from pg_catalog.pg_depend d
    join pg_catalog.pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
    where d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
  ),
  -- Only roles that are subject to policies.
  roles as (
    select r.oid, r.rolname
    from pg_catalog.pg_roles r
    where not r.rolsuper and not r.rolbypassrls and r.rolname !~ '^pg_'
  ),
  commands (command, code, privilege) as (
    values ('select', 'r'::"char", 'select'), ('insert', 'a', 'insert'),
      ('update', 'w', 'update'), ('delete', 'd', 'delete')
  ),
  -- Views that read a required table, at any depth. One goes around the policies if the view next
  -- to the table runs with its owner's rights, or if a materialized view lies in between.
  views as (
    select g.oid as relation, g.relowner, v.oid, v.relowner as view_owner, v.as_owner,
      v.as_owner as goes_around
    from required g
    join view_sources v on v.source = g.oid
    union
    select b.relation, b.relowner, v.oid, v.relowner, v.as_owner,
      b.goes_around or v.relkind = 'm'
    from views b
    join view_sources v on v.source = b.oid
  ),
  -- Partitions, children and parents of a required table, at any depth.
  kin (relation, oid, how) as (
    select g.oid, i.inhrelid, 'directly in'
    from required g join pg_catalog.pg_inherits i on i.inhparent = g.oid
    union
    select g.oid, i.inhparent, 'through its parent'
    from required g join pg_catalog.pg_inherits i on i.inhrelid = g.oid
    union
    select k.relation, case k.how when 'directly in' then i.inhrelid else i.inhparent end, k.how
    from kin k
    join pg_catalog.pg_inherits i
      on k.oid = case k.how when 'directly in' then i.inhparent else i.inhrelid end
  ),
  intact as (
    select g.oid, k.command
    from required g
    cross join commands k
    where exists (
      select from bulwark_private.policies_of(g.oid, 'bulwark_mfa_' || k.command) p
      where p.name = 'bulwark_mfa_' || k.command
        and p.command = k.command
        and not p.permissive
        and p.roles = 'api_key, authenticated'
        and (k.command = 'insert' or p.using_expression = bulwark_private.mfa_condition(g.max_age))
        and (
          k.command not in ('insert', 'update')
          or p.check_expression = bulwark_private.mfa_condition(g.max_age)
        )
    )
  )
  select g.oid::regclass::text, null::name, 'row level security is off'
  from required g
  where not g.relrowsecurity
  union all
  select
    g.oid::regclass::text, 'authenticated', k.command || ': the MFA policy is missing or changed'
  from required g
  cross join commands k
  where not exists (select from intact i where i.oid = g.oid and i.command = k.command)
  union all
  -- The MFA policies do not apply to a role that is no member of authenticated.
  select
    g.oid::regclass::text, r.rolname,
    k.command || ': a policy admits the role, no MFA policy stops it'
  from required g
  cross join roles r
  cross join commands k
  where r.oid <> g.relowner
    and not pg_has_role(r.oid, 'authenticated', 'usage')
    -- The MFA policies apply to API keys too, and refuse them: they have no second factor.
    and not pg_has_role(r.oid, 'api_key', 'usage')
    and (
      has_table_privilege(r.oid, g.oid, k.privilege)
      or k.command <> 'delete' and has_any_column_privilege(r.oid, g.oid, k.privilege)
    )
    and exists (
      select from pg_catalog.pg_policy p
      where p.polrelid = g.oid
        and p.polpermissive
        and p.polcmd in (k.code, '*')
        and exists (
          select from unnest(p.polroles) as member
          where member = 0 or pg_has_role(r.oid, member, 'usage')
        )
    )
  union all
  -- Truncate ignores policies.
  select g.oid::regclass::text, r.rolname, 'truncate: the role may, and no policy can stop it'
  from required g
  cross join roles r
  where r.oid <> g.relowner
    and pg_has_role(r.oid, 'authenticated', 'usage')
    and has_table_privilege(r.oid, g.oid, 'truncate')
  union all
  -- A view without security_invoker reads with the rights of its owner.
  select distinct
    v.relation::regclass::text, r.rolname, format('through the view %s', v.oid::regclass)
  from views v
  cross join roles r
  where v.goes_around
    and v.as_owner
    and r.oid <> v.view_owner
    and r.oid <> v.relowner
    and (
      has_any_column_privilege(r.oid, v.oid, 'select, insert, update')
      or has_table_privilege(r.oid, v.oid, 'delete')
    )
  union all
  -- Policies of a parent do not apply to a direct read of its partition, nor those of the partition
  -- to a read through the parent.
  select distinct g.oid::regclass::text, r.rolname, format('%s %s', k.how, k.oid::regclass)
  from required g
  join kin k on k.relation = g.oid
  join pg_catalog.pg_class c on c.oid = k.oid
  cross join roles r
  where r.oid <> c.relowner
    and not exists (select from required o where o.oid = k.oid)
    and (
      has_any_column_privilege(r.oid, k.oid, 'select, insert, update')
      or has_table_privilege(r.oid, k.oid, 'delete')
    )
    and (
      not c.relrowsecurity
      or exists (select from pg_catalog.pg_policy p where p.polrelid = k.oid and p.polpermissive)
    );
$$;
comment on function bulwark.mfa_uncovered_tables() is
  'The ways around require_mfa: an MFA policy that was dropped or changed, a role that a policy
   admits and no MFA policy stops, truncate, a view with its owner''s rights, a partition, a parent.
   The host application''s tests should assert that it is empty. It does not see SECURITY DEFINER
   functions and cascading foreign keys.';

select bulwark.enable_audit(
  'bulwark_private.mfa_required_tables',
  event_types => '{config.changed,config.changed,config.changed}'
);
