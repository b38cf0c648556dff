-- API keys, deriving access: computes a key's access to a table from the policies and privileges of
-- signed-in people, and the resulting state in comparable form.
-- Protects against a key that gets more than people have: a permissive policy counts only if it is
-- a plain permission, a restrictive policy counts always.
-- No function here is SECURITY DEFINER.

create table bulwark_private.api_key_table_access (
  relation regclass primary key,
  options jsonb not null,
  derived jsonb not null,
  made jsonb not null,
  admitted_at timestamptz not null default now()
);
comment on table bulwark_private.api_key_table_access is
  'The tables that are open to API keys: the requested options, the access derived from the table''s
   policies and privileges then, and the resulting state.';
alter table bulwark_private.api_key_table_access enable row level security;

create function bulwark_private.plain_permission_policy(expression text)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    p.parts[2] = 'organizations_with' or p.parts[2] in (
      select h.helper from bulwark_private.host_organizations h
    ),
    false
  )
  from (values (true)) as always
  left join lateral regexp_match(
    -- Columns of type varchar are compared as text.
    replace(
      regexp_replace(expression, '^\(\(([^()]+)\)::text = ', '(\1 = '), '))::text[]))', ')))'
    ),
    '^\(([a-z_][a-z0-9_]*|"(?:[^"]|"")+") = ANY \(\(?ARRAY\( SELECT '
      || 'bulwark\.([a-z][a-z0-9_]*)\(''[a-z0-9_:]+''::text\) AS \2\)\)\)$'
  ) as p (parts) on true;
$$;
comment on function bulwark_private.plain_permission_policy(text) is
  'Whether a policy''s expression, as printed by Postgres, is a permission in the row''s
   organization and nothing else: <column> = any (array(select
   bulwark.organizations_with(''x:y''))), or with the helper that bulwark.use_organizations made.';

create function bulwark_private.applies_to(roles oid[], member name)
  returns boolean
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from unnest(roles) as r (role)
    where r.role = 0 or pg_has_role(member, r.role, 'usage')
  );
$$;
comment on function bulwark_private.applies_to(oid[], name) is
  'Whether a policy for these roles applies to a role; 0 is PUBLIC.';

create function bulwark_private.api_key_policies_of(target regclass, options jsonb)
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
        '(%1$I = ANY (ARRAY( SELECT bulwark.%2$I(%3$L::text) AS %2$I)))',
        options ->> 'organization_column',
        bulwark_private.organization_helper(target, options ->> 'organization_column'), v_permission
      );
      check_expression := using_expression;
      return next;
    end loop;
    return;
  end if;
  return query
    select
      c.command,
      -- The order must not depend on the collation: a restored dump may have another one.
      string_agg(distinct e.using_expression collate "C", ' OR '),
      string_agg(distinct e.check_expression collate "C", ' OR ')
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
    where (c.command = 'insert' or bulwark_private.plain_permission_policy(e.using_expression))
      and (
        c.command not in ('insert', 'update')
        or bulwark_private.plain_permission_policy(e.check_expression)
      )
    group by c.command;
end;
$$;
comment on function bulwark_private.api_key_policies_of(regclass, jsonb) is
  'The condition for keys on each command of a table. Without options it is the plain permission
   policies for signed-in people, joined by or; all other policies give a key nothing.';

create function bulwark_private.sequences_of(target regclass)
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
comment on function bulwark_private.sequences_of(regclass) is
  'The sequences of a table''s serial columns. Identity columns need no privilege.';

create function bulwark_private.api_key_derivation(target regclass, options jsonb)
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
        -- Null: the whole table. A command that a key gets on no column has an empty list.
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
    'sequences', (
      select jsonb_agg(s.sequence::text order by s.sequence::text collate "C")
      from bulwark_private.sequences_of(target) as s (sequence)
      where has_sequence_privilege('authenticated', s.sequence, 'usage')
    ),
    -- Restrictive policies for people are copied for keys; those for PUBLIC or api_key apply
    -- anyway.
    'copies', (
      select jsonb_agg(to_jsonb(r) - 'name' - 'roles' order by r.name collate "C")
      from bulwark_private.policies_of(target, '') r
      join pg_catalog.pg_policy o on o.polrelid = target and o.polname::text = r.name
      where not r.permissive
        and bulwark_private.applies_to(o.polroles, 'authenticated')
        and not bulwark_private.applies_to(o.polroles, 'api_key')
    )
  )
  from bulwark_private.api_key_policies_of(target, options) p
  having count(*) > 0;
$$;
comment on function bulwark_private.api_key_derivation(regclass, jsonb) is
  'The access to a table for API keys as it would be derived now; null where it would be empty.';

create function bulwark_private.api_key_privileges(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(jsonb_agg(p.granted order by p.granted::text collate "C"), '[]')
  from (
    select jsonb_build_array(
      g.privilege_type || case when g.is_grantable then ', and to grant it' else '' end, o.name
    ) as granted
    from (
      select c.relacl, null from pg_catalog.pg_class c where c.oid = target
      union all
      select a.attacl, a.attname
      from pg_catalog.pg_attribute a where a.attrelid = target and not a.attisdropped
      union all
      select c.relacl, c.relname
      from bulwark_private.sequences_of(target) as s (sequence)
      join pg_catalog.pg_class c on c.oid = s.sequence
    ) as o (acl, name)
    cross join pg_catalog.aclexplode(o.acl) as g
    where g.grantee = 'api_key'::regrole
  ) p;
$$;
comment on function bulwark_private.api_key_privileges(regclass) is
  'The privileges of API keys on a table, its columns and the sequences of its serial columns.';

create function bulwark_private.api_key_access_state(target regclass)
  returns jsonb
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'policies', (
      select jsonb_agg(to_jsonb(p) order by p.name collate "C")
      from bulwark_private.policies_of(target, 'bulwark_api_key_') p
    ),
    'privileges', bulwark_private.api_key_privileges(target)
  );
$$;
comment on function bulwark_private.api_key_access_state(regclass) is
  'The current policies and privileges of a table that are about API keys.';

select bulwark.enable_audit(
  'bulwark_private.api_key_table_access',
  event_types => '{config.changed,config.changed,config.changed}'
);
