-- Policies: creating, listing and dropping policies on tables of the host. The prefix of their
-- names tells which ones are Bulwark's.
-- Protects nothing by itself: MFA-required tables and tables that admit API keys use it.
-- No function here is SECURITY DEFINER.

create function bulwark_private.make_policy(
  target regclass,
  name text,
  permissive boolean,
  command text,
  roles name[],
  using_expression text,
  check_expression text
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    'create policy %I on %s as %s for %s to %s %s %s',
    name, target, case when permissive then 'permissive' else 'restrictive' end,
    case command
      when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
      when 'delete' then 'delete' else 'all'
    end,
    (select string_agg(quote_ident(r), ', ') from unnest(roles) as r),
    case
      when command <> 'insert' and using_expression is not null
      then format('using (%s)', using_expression)
    end,
    case
      when command not in ('select', 'delete') and check_expression is not null
      then format('with check (%s)', check_expression)
    end
  );
end;
$$;
comment on function bulwark_private.make_policy(
  regclass, text, boolean, text, name[], text, text
) is
  'Creates a policy, with the expressions that its command supports. The expressions are SQL and
   must come from Postgres or a migration, never from a caller.';

create function bulwark_private.policies_of(target regclass, prefix text)
  returns table (
    name text, permissive boolean, command text, roles text, using_expression text,
    check_expression text
  )
  language sql
  stable
  rows 5
  set search_path = pg_catalog, pg_temp
as $$
  select
    p.polname::text, p.polpermissive,
    case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
      else 'all'
    end,
    -- Ordered by name, because a restored dump has another order.
    (
      select string_agg(m.role::regrole::text, ', ' order by m.role::regrole::text collate "C")
      from unnest(p.polroles) as m (role)
    ),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
  from pg_catalog.pg_policy p
  where p.polrelid = target and starts_with(p.polname::text, prefix)
  order by p.polname;
$$;
comment on function bulwark_private.policies_of(regclass, text) is
  'The present policies of a table whose names begin with the prefix.';

create function bulwark_private.drop_policies(target regclass, prefix text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy text;
begin
  for v_policy in select p.name from bulwark_private.policies_of(target, prefix) p loop
    execute format('drop policy %I on %s', v_policy, target);
  end loop;
end;
$$;
comment on function bulwark_private.drop_policies(regclass, text) is
  'Drops the policies of a table whose names begin with the prefix.';

create function bulwark_private.is_of_bulwark(target regclass)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_catalog.pg_class c
    where c.oid = target
      and c.relnamespace in ('bulwark'::regnamespace, 'bulwark_private'::regnamespace)
  );
$$;
comment on function bulwark_private.is_of_bulwark(regclass) is
  'Whether a table is one of Bulwark''s own.';
