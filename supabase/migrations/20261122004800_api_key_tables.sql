-- API keys and tables: a table that admits keys, under the permissions that its own policies ask.
-- Protects against a table that opens to programs by accident: none does unless it is said,
-- policies for people (auth.uid() = owner) do not count for keys, and each command, admitted or
-- not, is bound by a restrictive policy, so that no policy for everybody opens it further.
-- No function here is SECURITY DEFINER: the tables belong to whoever calls them.

create table private.api_key_admissions (
  relation regclass primary key,
  options jsonb not null,
  derived jsonb not null,
  made jsonb not null,
  admitted_at timestamptz not null default now()
);
comment on table private.api_key_admissions is
  'The tables that admit API keys: as they were asked to, what followed from their policies and
   privileges then, and what was made of it.';
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

create function private.api_key_derivation(target regclass, options jsonb)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'commands', jsonb_object_agg(
      p.command,
      jsonb_build_object(
        'using', p.using_expression,
        'check', p.check_expression,
        -- Null: the whole table; commands that a key gets on no column at all have an empty list.
        'columns', case
          when not has_table_privilege('authenticated', target, p.command) then coalesce(
            (
              select jsonb_agg(a.attname order by a.attnum)
              from pg_catalog.pg_attribute a
              where a.attrelid = target
                and a.attnum > 0
                and not a.attisdropped
                and p.command <> 'delete'
                and has_column_privilege(
                  'authenticated', target, a.attnum,
                  case when p.command = 'delete' then 'select' else p.command end
                )
            ),
            '[]'
          )
        end
      )
    ),
    -- What restricts people restricts keys; what names everybody or keys does so by itself.
    'copies', (
      select jsonb_agg(to_jsonb(r) - 'name' - 'roles' order by r.name)
      from private.policies_of(target, '') r
      join pg_catalog.pg_policy o on o.polrelid = target and o.polname::text = r.name
      where not r.permissive
        and 'authenticated'::regrole::oid = any (o.polroles)
        and 'api_key'::regrole::oid <> all (o.polroles)
    )
  )
  from private.api_key_policies_of(target, options) p
  having count(*) > 0;
$$;
comment on function private.api_key_derivation(regclass, jsonb) is
  'All that an admission makes a table''s policies and privileges out of, as it is now; null where
   nothing is to be admitted.';

create function private.api_key_privileges(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(p.granted order by p.granted), '[]')
  from (
    select jsonb_build_array(g.privilege_type) as granted
    from pg_catalog.pg_class c
    cross join pg_catalog.aclexplode(c.relacl) as g
    where c.oid = target and g.grantee = 'api_key'::regrole
    union all
    select jsonb_build_array(g.privilege_type, a.attname)
    from pg_catalog.pg_attribute a
    cross join pg_catalog.aclexplode(a.attacl) as g
    where a.attrelid = target and g.grantee = 'api_key'::regrole
  ) p;
$$;
comment on function private.api_key_privileges(regclass) is
  'What a table, and each of its columns, grants to API keys.';

create function private.api_key_admission_state(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'policies', (
      select jsonb_agg(to_jsonb(p) order by p.name)
      from private.policies_of(target, 'bulwark_api_key_') p
    ),
    'privileges', private.api_key_privileges(target)
  );
$$;
comment on function private.api_key_admission_state(regclass) is
  'The policies and privileges by which a table admits API keys, as they are now.';

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
  v_sequence regclass;
begin
  delete from private.api_key_admissions a where a.relation = target;
  if not found then
    raise exception 'Cannot expel API keys: % does not admit them', target
      using errcode = 'PT404', detail = 'API_KEY_TABLE_NOT_ADMITTED';
  end if;
  perform private.drop_policies(target, 'bulwark_api_key_');
  execute format('revoke all on %s from api_key', target);
  for v_sequence in select * from private.sequences_of(target) loop
    execute format('revoke all on sequence %s from api_key', v_sequence);
  end loop;
end;
$$;
comment on function private.expel_api_keys(regclass) is
  'Closes a table to API keys again. Errors: API_KEY_TABLE_NOT_ADMITTED.';

create function private.open_to_api_keys(target regclass, command text, derived jsonb)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column text;
  v_sequence regclass;
  v_verb constant text := case command
    when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
    else 'delete'
  end;
begin
  perform private.make_policy(
    target, 'bulwark_api_key_permissive_' || command, true, command, '{api_key}',
    derived ->> 'using', derived ->> 'check'
  );
  if derived -> 'columns' = 'null' then
    execute format('grant %s on %s to api_key', v_verb, target);
  else
    for v_column in select * from jsonb_array_elements_text(derived -> 'columns') loop
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
comment on function private.open_to_api_keys(regclass, text, jsonb) is
  'Gives keys one command on a table, under what was derived for it: on the columns on which
   signed-in people have it.';

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
  v_command text;
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
  v_derived := private.api_key_derivation(target, v_options);
  if v_derived is null then
    raise exception 'Cannot admit API keys: no policy of % is a permission alone', target
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_NOTHING_TO_ADMIT',
            hint = 'Name the permissions: read_permission, write_permission, delete_permission';
  end if;
  if exists (select from private.api_key_admissions a where a.relation = target) then
    perform private.expel_api_keys(target);
  end if;
  foreach v_command in array '{select, insert, update, delete}'::text[] loop
    if v_derived -> 'commands' ? v_command then
      perform private.open_to_api_keys(target, v_command, v_derived -> 'commands' -> v_command);
    end if;
    -- What is not opened is bound as well, so that no grant and no policy beside this opens it.
    perform private.make_policy(
      target, 'bulwark_api_key_restrictive_' || v_command, false, v_command, '{api_key}',
      coalesce(v_derived #>> array['commands', v_command, 'using'], 'false'),
      coalesce(v_derived #>> array['commands', v_command, 'check'], 'false')
    );
  end loop;
  perform private.make_policy(
    target, 'bulwark_api_key_copy_' || c.place, false, c.copy ->> 'command', '{api_key}',
    c.copy ->> 'using_expression', c.copy ->> 'check_expression'
  )
  from jsonb_array_elements(nullif(v_derived -> 'copies', 'null'))
    with ordinality as c (copy, place);
  insert into private.api_key_admissions (relation, options, derived, made)
  values (target, v_options, v_derived, private.api_key_admission_state(target));
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
  select a.relation::text, p.problem
  from private.api_key_admissions a
  -- A table that was dropped has no problems.
  join pg_catalog.pg_class c on c.oid = a.relation
  cross join lateral (
    select 'row level security is off' as problem where not c.relrowsecurity
    union all
    select 'its policies or privileges have changed: admit API keys again'
    where private.api_key_derivation(a.relation, a.options) is distinct from a.derived
    union all
    select 'what admits and bounds API keys has changed: admit them again'
    where private.api_key_admission_state(a.relation) is distinct from a.made
  ) p
  union all
  select c.oid::regclass::text, 'open to API keys without having been admitted'
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^(pg_|information_schema$)'
    and not exists (select from private.api_key_admissions a where a.relation = c.oid)
    and private.api_key_privileges(c.oid) <> '[]';
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
  private.api_key_derivation(regclass, jsonb), private.api_key_privileges(regclass),
  private.api_key_admission_state(regclass), private.sequences_of(regclass),
  private.expel_api_keys(regclass), private.open_to_api_keys(regclass, text, jsonb),
  private.admit_api_keys(regclass, text, text, text, name), private.api_key_table_problems()
  from public, anon, authenticated, service_role;
