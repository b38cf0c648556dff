-- API keys, access to tables: opens a table to keys under the permissions of its own policies.
-- Protects against opening a table by accident: tables are closed by default, policies for people
-- (auth.uid() = owner) do not count for keys, and every command has a restrictive policy for keys,
-- so that no policy for PUBLIC opens more.
-- No function here is SECURITY DEFINER: the tables belong to the caller.

create function bulwark.expel_api_keys(target regclass)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_sequence regclass;
begin
  delete from bulwark_private.api_key_table_access a where a.relation = target;
  if not found then
    raise exception 'Cannot expel API keys: % does not admit them', target
      using errcode = 'PT404', detail = 'API_KEY_TABLE_NOT_ADMITTED',
        hint = 'Nothing is to be done: API keys cannot reach it';
  end if;
  perform bulwark_private.drop_policies(target, 'bulwark_api_key_');
  execute format('revoke all on %s from api_key', target);
  for v_sequence in select * from bulwark_private.sequences_of(target) loop
    execute format('revoke all on sequence %s from api_key', v_sequence);
  end loop;
end;
$$;
comment on function bulwark.expel_api_keys(regclass) is
  'Closes a table to API keys again. Grants by other roles stay and are listed by
   bulwark.api_key_table_problems. Errors: API_KEY_TABLE_NOT_ADMITTED.';

create function bulwark_private.open_to_api_keys(target regclass, command text, derived jsonb)
  returns void
  language plpgsql
  volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_column text;
  v_verb constant text := case command
    when 'select' then 'select' when 'insert' then 'insert' when 'update' then 'update'
    else 'delete'
  end;
begin
  perform bulwark_private.make_policy(
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
end;
$$;
comment on function bulwark_private.open_to_api_keys(regclass, text, jsonb) is
  'Opens one command on a table to keys under the derived condition, on the columns on which
   signed-in people have it.';

create function bulwark.admit_api_keys(
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
  v_problem record;
  v_options jsonb := jsonb_strip_nulls(jsonb_build_object(
    'read', read_permission, 'write', write_permission, 'delete', delete_permission
  ));
  v_permission text;
  v_sequence regclass;
begin
  if target is null or organization_column is null then
    raise exception 'Cannot admit API keys: an argument is null'
      using errcode = 'null_value_not_allowed', detail = 'API_KEY_NULL_ARGUMENT';
  end if;
  for v_permission in select o.value from jsonb_each_text(v_options) as o loop
    perform bulwark_private.require_known_permission(v_permission);
  end loop;
  if v_options <> '{}' then
    v_options := v_options || jsonb_build_object('organization_column', organization_column);
    if bulwark_private.organization_helper(target, organization_column) is null then
      raise exception 'Cannot admit API keys: % has no column "%" with organizations', target,
        organization_column
        using errcode = 'undefined_column', detail = 'API_KEY_INVALID_ORGANIZATION_COLUMN',
              hint = 'It is a uuid, or a key of the table given to bulwark.use_organizations';
    end if;
  end if;
  v_derived := bulwark_private.api_key_derivation(target, v_options);
  for v_problem in
    select o.*
    from bulwark_private.api_key_eligibility_problems(
      target, array(select c.command from jsonb_object_keys(v_derived -> 'commands') as c (command))
    ) o
  loop
    raise exception 'Cannot admit API keys: %', v_problem.problem
      using errcode = 'wrong_object_type', detail = v_problem.code, hint = v_problem.hint;
  end loop;
  if v_derived is null then
    raise exception 'Cannot admit API keys: no policy of % is a plain permission', target
      using errcode = 'invalid_parameter_value', detail = 'API_KEY_NOTHING_TO_ADMIT',
            hint = 'Name the permissions: read_permission, write_permission, delete_permission';
  end if;
  if exists (select from bulwark_private.api_key_table_access a where a.relation = target) then
    perform bulwark.expel_api_keys(target);
  end if;
  -- Grants by other roles can be revoked by those roles only.
  if bulwark_private.api_key_privileges(target) <> '[]' then
    raise exception 'Cannot admit API keys: % or its sequences are granted to them already', target
      using errcode = 'wrong_object_type', detail = 'API_KEY_TABLE_OPEN_OTHERWISE',
            hint = 'Revoke it from api_key: admit_api_keys makes all grants itself';
  end if;
  foreach v_command in array '{select, insert, update, delete}'::text[] loop
    if v_derived -> 'commands' ? v_command then
      perform bulwark_private.open_to_api_keys(
        target, v_command, v_derived -> 'commands' -> v_command
      );
    end if;
    -- Closed commands get a restrictive policy too, so that other grants and policies do not open
    -- them.
    perform bulwark_private.make_policy(
      target, 'bulwark_api_key_restrictive_' || v_command, false, v_command, '{api_key}',
      coalesce(v_derived #>> array['commands', v_command, 'using'], 'false'),
      coalesce(v_derived #>> array['commands', v_command, 'check'], 'false')
    );
  end loop;
  if v_derived -> 'commands' ? 'insert' then
    for v_sequence in
      select s.value::regclass
      from jsonb_array_elements_text(nullif(v_derived -> 'sequences', 'null')) as s
    loop
      execute format('grant usage on sequence %s to api_key', v_sequence);
    end loop;
  end if;
  perform bulwark_private.make_policy(
    target, 'bulwark_api_key_copy_' || c.place, false, c.copy ->> 'command', '{api_key}',
    c.copy ->> 'using_expression', c.copy ->> 'check_expression'
  )
  from jsonb_array_elements(nullif(v_derived -> 'copies', 'null'))
    with ordinality as c (copy, place);
  insert into bulwark_private.api_key_table_access (relation, options, derived, made)
  values (target, v_options, v_derived, bulwark_private.api_key_access_state(target));
end;
$$;
comment on function bulwark.admit_api_keys(regclass, text, text, text, name) is
  'Opens a table to API keys. Without permissions: each command under the table''s policies for
   signed-in people that are a permission in the row''s organization and nothing else. With
   permissions: select under read_permission, insert and update under write_permission, delete under
   delete_permission, each in the organization in organization_column (a uuid, or a key of the table
   given to bulwark.use_organizations), and no other command. Keys get no privilege that signed-in
   people lack, and the table''s restrictive policies apply to them too. Call it again after
   changing policies (bulwark.api_key_table_problems lists such changes). Errors: those of
   bulwark_private.api_key_eligibility_problems (API_KEY_TABLE_WITHOUT_RLS,
   API_KEY_TABLE_OF_BULWARK, API_KEY_SCHEMA_CLOSED, API_KEY_TABLE_NEEDS_MFA,
   API_KEY_RESTRICTION_UNCLEAR, API_KEY_TABLE_OPEN_OTHERWISE), API_KEY_NOTHING_TO_ADMIT,
   API_KEY_INVALID_ORGANIZATION_COLUMN, API_KEY_NULL_ARGUMENT, RBAC_UNKNOWN_PERMISSION.';

create function bulwark_private.open_to_everybody(target regclass)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_catalog.pg_class c
    cross join lateral (
      select c.relacl
      union all
      select a.attacl from pg_catalog.pg_attribute a where a.attrelid = c.oid
    ) as o (acl)
    cross join pg_catalog.aclexplode(o.acl) as g
    where c.oid = target
      and g.grantee = 0
      and (
        not c.relrowsecurity
        or g.privilege_type = 'TRUNCATE'
        or exists (
          select from pg_catalog.pg_policy p
          where p.polrelid = c.oid and p.polpermissive
            and bulwark_private.applies_to(p.polroles, 'api_key')
        )
      )
  );
$$;
comment on function bulwark_private.open_to_everybody(regclass) is
  'Whether PUBLIC, and so a key, has a privilege on a relation that no policy limits.';

create function bulwark_private.unlisted_api_key_access()
  returns setof regclass
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  with tables (oid) as (
    select c.oid
    from bulwark_private.api_key_table_access a
    join pg_catalog.pg_class c on c.oid = a.relation and c.relkind in ('r', 'p')
  ),
  admitted (oid) as materialized (
    select t.oid from tables t
    union
    select s.sequence::oid from tables t, bulwark_private.sequences_of(t.oid) as s (sequence)
  )
  select c.oid::regclass
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and n.nspname !~ '^(pg_|information_schema$)'
    and (
      bulwark_private.api_key_privileges(c.oid) <> '[]'
      or pg_has_role('api_key', c.relowner, 'usage')
      -- Relations that extensions open to PUBLIC are deliberate.
      or bulwark_private.open_to_everybody(c.oid)
        and has_schema_privilege('api_key', n.oid, 'usage')
        and not exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
        )
    )
    and c.oid not in (select a.oid from admitted a)
    -- Views with security_invoker only show rows of tables that are open to the key.
    and not (
      c.relkind = 'v'
      and coalesce(c.reloptions, '{}') && array[
        'security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'
      ]
      and not exists (
        select from pg_catalog.pg_rewrite w where w.ev_class = c.oid and w.ev_type <> '1'
      )
    );
$$;
comment on function bulwark_private.unlisted_api_key_access() is
  'The relations that are open to API keys without admit_api_keys: by a grant to api_key or to
   PUBLIC, or by ownership.';

create function bulwark.api_key_table_problems()
  returns table (relation text, problem text)
  language sql
  stable
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
  select a.relation::text, p.problem
  from bulwark_private.api_key_table_access a
  -- Skips tables that were dropped, also where their OID was reused by another kind of relation.
  join pg_catalog.pg_class c on c.oid = a.relation and c.relkind in ('r', 'p')
  cross join lateral (
    select o.problem
    from bulwark_private.api_key_eligibility_problems(
      a.relation,
      array(select k.command from jsonb_object_keys(a.derived -> 'commands') as k (command))
    ) o
    -- An MFA requirement added later applies to keys too and closes the table, so it is no problem.
    where o.code <> 'API_KEY_TABLE_NEEDS_MFA'
      or not exists (
        select from bulwark_private.mfa_required_tables m where m.relation = a.relation
      )
    union all
    select 'its policies or privileges have changed: admit API keys again'
    where bulwark_private.api_key_derivation(a.relation, a.options) is distinct from a.derived
    union all
    select 'the policies or privileges of API keys have changed: admit them again'
    where bulwark_private.api_key_access_state(a.relation) is distinct from a.made
  ) p
  union all
  select o::text, 'open to API keys without having been admitted'
  from bulwark_private.unlisted_api_key_access() as o
  union all
  select null, 'the role api_key has attributes or memberships that it must not have'
  from pg_catalog.pg_roles r
  where r.rolname = 'api_key'
    and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolreplication
      or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid))
  union all
  select null, format('%s has the rights of API keys', m.member::regrole)
  from pg_catalog.pg_auth_members m
  where m.roleid = 'api_key'::regrole
    and m.member in ('anon'::regrole, 'authenticated'::regrole)
  union all
  select null, 'default privileges open future tables to API keys'
  where exists (
    select from pg_catalog.pg_default_acl d
    cross join pg_catalog.aclexplode(d.defaclacl) as g
    where d.defaclobjtype in ('r', 'S') and g.grantee in (0, 'api_key'::regrole)
  );
$$;
comment on function bulwark.api_key_table_problems() is
  'Differences from the state that admit_api_keys left, reasons added since why a table is not
   eligible, and relations open to API keys in other ways; relation is null for rights of the role
   api_key itself. For the tests of the host application, where the result must be empty. Does not
   inspect SECURITY DEFINER functions and triggers.';
