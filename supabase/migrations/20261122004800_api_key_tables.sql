-- API keys and tables: a table that admits keys, under the permissions that its own policies ask.
-- Protects against a table that opens to programs by accident: none does unless it is said,
-- policies for people (auth.uid() = owner) do not count for keys, and each admitted command is
-- bound by a restrictive policy, so that no policy for everybody opens it further.
-- No function here is SECURITY DEFINER: the tables belong to whoever calls them.

create table private.api_key_admissions (
  relation regclass primary key,
  options jsonb not null,
  policies jsonb not null,
  admitted_at timestamptz not null default now()
);
comment on table private.api_key_admissions is
  'The tables that admit API keys, as they were asked to, and what followed from their policies
   then.';
alter table private.api_key_admissions enable row level security;

create function private.plain_permission_policy(expression text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    expression ~ ('^\(([[:alnum:]_]+|"([^"]|"")+") = ANY \(ARRAY\( SELECT '
      || 'private\.organizations_with\(''[a-z0-9_:]+''::text\) AS organizations_with\)\)\)$'),
    false
  );
$$;
comment on function private.plain_permission_policy(text) is
  'Whether a policy''s expression, as Postgres writes it, is a permission in the row''s organization
   and nothing else: <column> = any (array(select private.organizations_with(''x:y''))).';

create function private.api_key_policies_of(target regclass, options jsonb)
  returns table (command text, using_expression text, check_expression text)
  language plpgsql
  stable
  rows 4
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_permission text;
begin
  if options <> '{}' then
    for command, v_permission in
      select c.command, options ->> c.option
      from (values
        ('select', 'read'), ('insert', 'write'), ('update', 'write'), ('delete', 'delete')
      ) as c (command, option)
      where options ? c.option
    loop
      using_expression := format(
        '(%I = ANY (ARRAY( SELECT private.organizations_with(%L::text) AS organizations_with)))',
        options ->> 'organization_column', v_permission
      );
      check_expression := using_expression;
      return next;
    end loop;
    return;
  end if;
  return query
    select
      c.command,
      string_agg(distinct e.using_expression, ' OR ' order by e.using_expression),
      string_agg(distinct e.check_expression, ' OR ' order by e.check_expression)
    from (values ('select', 'r'::"char"), ('insert', 'a'), ('update', 'w'), ('delete', 'd'))
      as c (command, code)
    join pg_catalog.pg_policy p
      on p.polrelid = target
      and p.polcmd in (c.code, '*')
      and p.polpermissive
      and p.polroles && array[0::oid, 'authenticated'::regrole::oid]
    cross join lateral (
      select
        pg_get_expr(p.polqual, p.polrelid),
        coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid))
    ) as e (using_expression, check_expression)
    where (c.command = 'insert' or private.plain_permission_policy(e.using_expression))
      and (
        c.command not in ('insert', 'update')
        or private.plain_permission_policy(e.check_expression)
      )
    group by c.command;
end;
$$;
comment on function private.api_key_policies_of(regclass, jsonb) is
  'What an admission makes of a table: for each command the condition under which a key may. Without
   options: those policies for signed-in people that are a permission in the row''s organization and
   nothing else, joined by or; any other policy gives a key nothing.';

create function private.sequences_of(target regclass)
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select d.objid::regclass
  from pg_catalog.pg_depend d
  join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
  where d.refclassid = 'pg_class'::regclass and d.refobjid = target and d.deptype = 'a';
$$;
comment on function private.sequences_of(regclass) is
  'The sequences of a table''s serial columns; an identity column''s is asked of nobody.';

create function private.expel_api_keys(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_policy name;
  v_sequence regclass;
begin
  delete from private.api_key_admissions a where a.relation = target;
  if not found then
    raise exception 'Cannot expel API keys: % does not admit them', target
      using errcode = 'PT404', detail = 'API_KEY_TABLE_NOT_ADMITTED';
  end if;
  for v_policy in
    select p.polname from pg_catalog.pg_policy p
    where p.polrelid = target and p.polname ~ '^bulwark_api_key_'
  loop
    execute format('drop policy %I on %s', v_policy, target);
  end loop;
  execute format('revoke all on %s from api_key', target);
  for v_sequence in select * from private.sequences_of(target) loop
    execute format('revoke all on sequence %s from api_key', v_sequence);
  end loop;
end;
$$;
comment on function private.expel_api_keys(regclass) is
  'Closes a table to API keys again. Errors: API_KEY_TABLE_NOT_ADMITTED.';

create function private.grant_to_api_keys(target regclass, command text)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column name;
  v_sequence regclass;
  v_verb constant text := case command
    when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update' else 'delete'
  end;
begin
  if has_table_privilege('authenticated', target, command) then
    execute format('grant %s on %s to api_key', v_verb, target);
  elsif command <> 'delete' then
    for v_column in
      select a.attname
      from pg_catalog.pg_attribute a
      where a.attrelid = target
        and a.attnum > 0
        and not a.attisdropped
        and has_column_privilege('authenticated', target, a.attnum, command)
    loop
      execute format('grant %s (%I) on %s to api_key', v_verb, v_column, target);
    end loop;
  end if;
  if command = 'insert' then
    for v_sequence in select * from private.sequences_of(target) loop
      execute format('grant usage on sequence %s to api_key', v_sequence);
    end loop;
  end if;
end;
$$;
comment on function private.grant_to_api_keys(regclass, text) is
  'Gives keys a command on a table as far as signed-in people have it, by columns where they do.';

create function private.make_api_key_policy(
  target regclass,
  name text,
  permissive boolean,
  command text,
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
    'create policy %I on %s as %s for %s to api_key %s %s',
    'bulwark_api_key_' || name,
    target,
    case when permissive then 'permissive' else 'restrictive' end,
    case command
      when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
      when 'delete' then 'delete' else 'all'
    end,
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
comment on function private.make_api_key_policy(regclass, text, boolean, text, text, text) is
  'One policy of a table that admits API keys, out of expressions that Postgres itself wrote.';

create function private.admit_api_keys(
  target regclass,
  read_permission text default null,
  write_permission text default null,
  delete_permission text default null,
  organization_column name default 'organization_id'
)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_bound record;
  v_derived jsonb;
  v_options jsonb := jsonb_strip_nulls(jsonb_build_object(
    'read', read_permission, 'write', write_permission, 'delete', delete_permission
  ));
  v_permission text;
begin
  if target is null or organization_column is null then
    raise exception 'Cannot admit API keys: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  if not exists (
    select from pg_catalog.pg_class c
    where c.oid = target and c.relkind in ('r', 'p') and c.relrowsecurity
  ) then
    raise exception 'Cannot admit API keys: % is no table with row-level security', target
      using errcode = 'wrong_object_type', detail = 'API_KEY_TABLE_WITHOUT_RLS',
            hint = 'Enable row level security on it, and give it policies of its own';
  end if;
  if exists (select from private.mfa_guards g where g.relation = target) then
    raise exception 'Cannot admit API keys: % asks for a second factor', target
      using errcode = 'wrong_object_type', detail = 'API_KEY_TABLE_NEEDS_MFA',
            hint = 'A key never passes where a second factor is required';
  end if;
  for v_permission in select o.value from jsonb_each_text(v_options) as o loop
    perform private.require_known_permission(v_permission);
  end loop;
  if v_options <> '{}' then
    v_options := v_options || jsonb_build_object('organization_column', organization_column);
    if not exists (
      select from pg_catalog.pg_attribute a
      where a.attrelid = target and a.attname = organization_column and a.attnum > 0
        and not a.attisdropped and a.atttypid = 'uuid'::regtype
    ) then
      raise exception 'Cannot admit API keys: % has no column "%" of type uuid', target,
        organization_column
        using errcode = 'undefined_column', detail = 'API_KEY_INVALID_ORGANIZATION_COLUMN';
    end if;
  end if;
  select jsonb_agg(to_jsonb(p) order by p.command) into v_derived
  from private.api_key_policies_of(target, v_options) p;
  if v_derived is null then
    raise exception 'Cannot admit API keys: no policy of % is a permission alone', target
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_NOTHING_TO_ADMIT',
            hint = 'Name the permissions: read_permission, write_permission, delete_permission';
  end if;
  if exists (select from private.api_key_admissions a where a.relation = target) then
    perform private.expel_api_keys(target);
  end if;
  for v_bound in select p.* from private.api_key_policies_of(target, v_options) p loop
    perform private.make_api_key_policy(
      target, 'permissive_' || v_bound.command, true, v_bound.command, v_bound.using_expression,
      v_bound.check_expression
    );
    perform private.make_api_key_policy(
      target, 'restrictive_' || v_bound.command, false, v_bound.command, v_bound.using_expression,
      v_bound.check_expression
    );
    perform private.grant_to_api_keys(target, v_bound.command);
  end loop;
  -- What restricts people restricts keys.
  perform private.make_api_key_policy(
    target, 'copy_' || row_number() over (order by p.polname), false,
    case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
      else 'all'
    end,
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
  )
  from pg_catalog.pg_policy p
  where p.polrelid = target
    and not p.polpermissive
    and 'authenticated'::regrole::oid = any (p.polroles);
  insert into private.api_key_admissions (relation, options, policies)
  values (target, v_options, v_derived);
end;
$$;
comment on function private.admit_api_keys(regclass, text, text, text, name) is
  'Opens a table to API keys. Without permissions: each command under those of the table''s policies
   for signed-in people that are a permission in the row''s organization and nothing else. With
   them: select under read_permission, insert and update under write_permission, delete under
   delete_permission, each in the organization that organization_column names, and no other command.
   Keys get no privilege that signed-in people lack, and the table''s restrictive policies hold for
   them too. Call it again after changing policies; private.api_key_table_problems tells. Errors:
   API_KEY_TABLE_WITHOUT_RLS, API_KEY_TABLE_NEEDS_MFA, API_KEY_NOTHING_TO_ADMIT,
   API_KEY_INVALID_ORGANIZATION_COLUMN, API_KEY_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function private.api_key_table_problems()
  returns table (relation text, problem text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select a.relation::text, 'row level security is off'
  from private.api_key_admissions a
  join pg_catalog.pg_class c on c.oid = a.relation
  where not c.relrowsecurity
  union all
  select a.relation::text, 'its policies have changed: admit API keys again'
  from private.api_key_admissions a
  where a.policies is distinct from (
    select jsonb_agg(to_jsonb(p) order by p.command)
    from private.api_key_policies_of(a.relation, a.options) p
  )
  union all
  select a.relation::text, format('%s: what bounds API keys is missing', d.bound ->> 'command')
  from private.api_key_admissions a
  cross join jsonb_array_elements(a.policies) as d (bound)
  where not exists (
    select from pg_catalog.pg_policy p
    where p.polrelid = a.relation
      and p.polname = 'bulwark_api_key_restrictive_' || (d.bound ->> 'command')
      and not p.polpermissive
      and p.polroles = array['api_key'::regrole::oid]
  )
  union all
  select c.oid::regclass::text, 'open to API keys without having been admitted'
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^(pg_|information_schema$)'
    and not exists (select from private.api_key_admissions a where a.relation = c.oid)
    and exists (
      select from pg_catalog.aclexplode(c.relacl) as g
      where g.grantee = 'api_key'::regrole::oid
      union all
      select
      from pg_catalog.pg_attribute t
      cross join pg_catalog.aclexplode(t.attacl) as g
      where t.attrelid = c.oid and g.grantee = 'api_key'::regrole::oid
    );
$$;
comment on function private.api_key_table_problems() is
  'What is not as admit_api_keys left it, and what is open to API keys without it. For the tests of
   the host application: it has to be empty.';

select private.enable_audit(
  'private.api_key_admissions', event_types => '{config.changed,config.changed,config.changed}'
);

revoke all on private.api_key_admissions from public, anon, authenticated, service_role;
revoke all on function
  private.plain_permission_policy(text), private.api_key_policies_of(regclass, jsonb),
  private.sequences_of(regclass), private.expel_api_keys(regclass),
  private.grant_to_api_keys(regclass, text),
  private.make_api_key_policy(regclass, text, boolean, text, text, text),
  private.admit_api_keys(regclass, text, text, text, name), private.api_key_table_problems()
  from public, anon, authenticated, service_role;
